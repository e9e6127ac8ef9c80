//! Host ports that the file leaves open (`"9092"`, `"0:9092"`, `"9092-9099:9092"`): which one each becomes, and where a
//! node is then advertised. No I/O: whoever calls knows which ports are free.
//!
//! An engine would choose when the container starts, after the node was told its address, and again at each start.

use crate::digest;
use crate::model::{Instance, Observed, PortSpec, ProjectSpec, ServiceSpec};
use crate::ready::is_inside;
use jackdaw_conventions::{Listener, NodePlan};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Where a port comes from if the file does not say: of IANA's dynamic ports, those from which Linux takes no near end
/// of a connection unless it is told to.
pub const DYNAMIC: (u16, u16) = (61_000, u16::MAX);

/// What engines call the host from within.
const HOST_FROM_WITHIN: &str = "host.docker.internal";

/// Settles every port that is open: what its container was made with; where there is none, or somebody else has taken
/// that meanwhile, one that is free, the same for the same names as long as it can be had. A new one is one that
/// `is_claimed` first.
///
/// # Errors
/// Where none is free.
pub fn settle(
    spec: &mut ProjectSpec,
    observed: &Observed,
    is_free: &dyn Fn(&PortSpec, u16) -> bool,
    is_claimed: &dyn Fn(u16) -> bool,
) -> Result<(), String> {
    let mut claimed: BTreeSet<u16> =
        spec.services.iter().flat_map(|service| &service.ports).filter_map(|port| port.published).collect();
    let project = spec.name.clone();
    for service in spec.services.iter_mut().filter(|service| !is_on_host(service)) {
        let there = observed.of(&service.name);
        let listeners = service.node.iter().flat_map(|node| &node.listeners);
        let inside: BTreeSet<u16> = listeners.map(|listener| listener.port).collect();
        for port in &mut service.ports {
            let Some((low, high)) = port.open.filter(|_| port.published.is_none()) else { continue };
            let had = given(there, port, &claimed).filter(|had| (low..=high).contains(had));
            let is_ours = there.is_some_and(|instance| instance.state.is_live());
            let keeps = had.filter(|had| is_ours || is_free(port, *had));
            let mut others = candidates(&project, &service.name, port, low, high);
            let fits = |at: &u16| {
                !claimed.contains(at) && !inside.contains(at) && is_claimed(*at) && is_free(port, *at)
            };
            let Some(at) = keeps.or_else(|| others.find(fits)) else {
                let target = port.target;
                return Err(format!("{}: no host port of {low}-{high} is free for {target}", service.name));
            };
            service.has_lost_its_port |= there.is_some() && had != Some(at);
            claimed.insert(at);
            port.published = Some(at);
        }
    }
    advertise(spec);
    Ok(())
}

/// Fills in what the containers that are there were made with, for commands that make none.
pub fn recall(spec: &mut ProjectSpec, observed: &Observed) {
    for service in &mut spec.services {
        let mut claimed = BTreeSet::new();
        for port in service.ports.iter_mut().filter(|port| port.open.is_some()) {
            port.published = given(observed.of(&service.name), port, &claimed);
            claimed.extend(port.published);
        }
    }
    advertise(spec);
}

/// `network_mode: host` publishes nothing.
fn is_on_host(service: &ServiceSpec) -> bool {
    service.compose.network_mode.as_ref().is_some_and(|mode| mode.value == "host")
}

fn given(instance: Option<&Instance>, port: &PortSpec, claimed: &BTreeSet<u16>) -> Option<u16> {
    let same = |ip: IpAddr| port.host_ip.is_none_or(|wanted| wanted == ip || wanted.is_unspecified());
    let mut made = instance?.publishes.iter().filter(|made| {
        made.target == port.target
            && made.protocol == port.protocol
            && same(made.ip)
            && !claimed.contains(&made.published)
    });
    made.next().map(|made| made.published)
}

/// A range of the file's is tried from its beginning, as engines do; the dynamic ports from a place of the name's own.
fn candidates(
    project: &str,
    service: &str,
    port: &PortSpec,
    low: u16,
    high: u16,
) -> impl Iterator<Item = u16> + use<> {
    let count = u32::from(high.saturating_sub(low)) + 1;
    let name = format!("{project} {service} {}", port.target);
    let of_name = u32::from_str_radix(&digest::hex(name.as_bytes())[..6], 16).unwrap_or(0) % count;
    let first = if (low, high) == DYNAMIC { of_name } else { 0 };
    (0..count).filter_map(move |step| u16::try_from(u32::from(low) + (first + step) % count).ok())
}

/// Advertises each listener that an open port leads to on what that became, where it is the host's clients that are
/// sent there.
fn advertise(spec: &mut ProjectSpec) {
    let moves: Vec<Vec<Listener>> = spec.services.iter().map(|service| moves(spec, service)).collect();
    for (service, moves) in spec.services.iter_mut().zip(moves) {
        if let Some(node) = &mut service.node {
            moves.iter().for_each(|moved| node.advertise(moved));
        }
        service.readdressed = moves;
    }
}

fn moves(spec: &ProjectSpec, service: &ServiceSpec) -> Vec<Listener> {
    let Some(node) = service.node.as_ref().filter(|node| node.roles.broker) else { return Vec::new() };
    let for_clients = node.advertised.iter().filter(|listener| !node.is_controller_listener(&listener.name));
    for_clients.filter_map(|advertised| moved(spec, service, node, advertised)).collect()
}

fn moved(
    spec: &ProjectSpec,
    service: &ServiceSpec,
    node: &NodePlan,
    advertised: &Listener,
) -> Option<Listener> {
    let listener = node.listeners.iter().find(|listener| listener.name == advertised.name)?;
    let leading =
        || service.ports.iter().filter(|port| port.target == listener.port && port.protocol == "tcp");
    if leading().any(|port| port.published == Some(advertised.port)) {
        return None;
    }
    let port = leading().filter(|port| port.open.is_some()).find_map(|port| port.published)?;
    let host = host_of(spec, service, node, advertised)?;
    Some(Listener { host, port, ..advertised.clone() })
}

/// The host that clients of this machine find the node under, if the advertised one is meant for them.
fn host_of(
    spec: &ProjectSpec,
    service: &ServiceSpec,
    node: &NodePlan,
    advertised: &Listener,
) -> Option<String> {
    let host = advertised.host.as_str();
    if node.nameless.contains(&advertised.name) {
        // Its own name, which only containers can resolve: it is theirs if there are any.
        return (!has_neighbours(spec, service)).then(|| "localhost".to_owned());
    }
    let is_address = host.parse::<IpAddr>().is_ok_and(|ip| !ip.is_unspecified());
    let is_hosts = is_address || host == "localhost" || host == HOST_FROM_WITHIN;
    (is_hosts && !is_inside(spec, service, host)).then(|| host.to_owned())
}

fn has_neighbours(spec: &ProjectSpec, service: &ServiceSpec) -> bool {
    let on = |other: &ServiceSpec, key: &str| other.compose.networks.iter().any(|net| net.key.value == key);
    let own = &service.compose.networks;
    let mut others = spec.services.iter().filter(|other| other.name != service.name);
    others.any(|other| own.iter().any(|network| on(other, &network.key.value)))
}

#[cfg(test)]
mod tests;
