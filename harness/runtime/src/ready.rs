//! When a cluster is ready: every broker is registered and unfenced, and answers on each address that it
//! advertises, seen from where that address is meant to be used.

use crate::kafka::{Broker, Node};
use crate::model::{ProjectSpec, ServiceSpec};
use jackdaw_conventions::{Listener, NodePlan};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::time::Instant;

/// Rest between two looks at the same address: a node is up within some hundreds of milliseconds.
const REST: Duration = Duration::from_millis(20);
/// A name server that says nothing for so long knows nothing.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(3);
/// A single look may not take longer.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);

/// From where an advertised address is meant to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Vantage {
    /// From this machine.
    Host,
    /// From the other services of its network.
    Network,
    /// From the node's own container only.
    Itself,
}

/// One address to look at, and what has to be seen there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// Service that advertises it.
    pub service: String,
    /// Listener.
    pub listener: String,
    /// Host as advertised.
    pub host: String,
    /// Port as advertised.
    pub port: u16,
    /// Port on which the listener listens, in its container.
    pub listens_on: u16,
    /// Where it is used.
    pub vantage: Vantage,
    /// Brokers that this listener has to show: id, host, port. Empty for a controller's listener, which
    /// answers ApiVersions only.
    pub brokers: Vec<(i32, String, u16)>,
    /// TLS or SASL stands before it: only that it accepts connections is seen.
    pub accepts_only: bool,
}

impl Look {
    /// `host:port`.
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// The same question, asked of the listener itself from beside it.
    fn at_the_listener(self) -> Self {
        Look { host: LOCALHOST.into(), port: self.listens_on, vantage: Vantage::Itself, ..self }
    }
}

/// What was found at each address: nothing wrong, or what.
pub type Findings = Vec<std::result::Result<(), String>>;

/// All looks that the given services ask for.
pub fn looks(spec: &ProjectSpec, services: &[&ServiceSpec]) -> Vec<Look> {
    let brokers: Vec<&NodePlan> = services
        .iter()
        .filter_map(|service| service.node.as_ref())
        .filter(|node| node.roles.broker)
        .collect();
    let mut looks = Vec::new();
    for service in services {
        let Some(node) = &service.node else { continue };
        if node.roles.broker {
            looks.extend(
                node.advertised
                    .iter()
                    .filter(|advertised| !node.is_controller_listener(&advertised.name))
                    .map(|advertised| broker_look(spec, service, node, advertised, &brokers)),
            );
        } else if let Some(listener) = node.controller_listener() {
            looks.push(Look {
                service: service.name.clone(),
                listener: listener.name.clone(),
                host: if on_host(service) { LOCALHOST.to_owned() } else { service.name.clone() },
                port: listener.port,
                listens_on: listener.port,
                vantage: if on_host(service) { Vantage::Host } else { Vantage::Network },
                brokers: Vec::new(),
                accepts_only: !is_plaintext(node, &listener.name),
            });
        }
    }
    looks
}

fn broker_look(
    spec: &ProjectSpec,
    service: &ServiceSpec,
    node: &NodePlan,
    advertised: &Listener,
    brokers: &[&NodePlan],
) -> Look {
    // A listener shows every broker that has one of that name; a broker without is not shown (KIP-103).
    let shown = brokers.iter().filter_map(|broker| {
        let endpoint = broker.advertised.iter().find(|listener| listener.name == advertised.name)?;
        Some((broker.node_id, endpoint.host.clone(), endpoint.port))
    });
    let listener = node.listeners.iter().find(|listener| listener.name == advertised.name);
    let look = Look {
        service: service.name.clone(),
        listener: advertised.name.clone(),
        host: advertised.host.clone(),
        port: advertised.port,
        listens_on: listener.map_or(advertised.port, |listener| listener.port),
        vantage: vantage(spec, service, node, advertised),
        brokers: shown.collect(),
        accepts_only: !is_plaintext(node, &advertised.name),
    };
    // What is advertised there leads nobody here, which was said of the file; whether the node serves is to be seen.
    if look.vantage == Vantage::Itself && look.listens_on != look.port {
        look.at_the_listener()
    } else {
        look
    }
}

/// The host that stands for the machine itself.
const LOCALHOST: &str = "localhost";

fn on_host(service: &ServiceSpec) -> bool {
    service.compose.network_mode.as_ref().is_some_and(|mode| mode.value == "host")
}

fn is_plaintext(node: &NodePlan, listener: &str) -> bool {
    let map = node.properties.get("listener.security.protocol.map").unwrap_or_default();
    let protocol = map.split(',').filter_map(|entry| entry.trim().split_once(':'));
    let named = protocol.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(listener));
    named.map_or(listener, |(_, protocol)| protocol).eq_ignore_ascii_case("PLAINTEXT")
}

/// Where an advertised address is meant to be used: a name of the network inside it; a loopback address
/// that nothing publishes inside the container; anything else on the host.
fn vantage(spec: &ProjectSpec, service: &ServiceSpec, node: &NodePlan, advertised: &Listener) -> Vantage {
    if is_inside(spec, service, &advertised.host) {
        return Vantage::Network;
    }
    let is_local = matches!(advertised.host.as_str(), "localhost" | "127.0.0.1" | "::1");
    let on_host = on_host(service);
    let target = node.listeners.iter().find(|listener| listener.name == advertised.name).map(|l| l.port);
    let published = service
        .ports
        .iter()
        .any(|port| port.published == Some(advertised.port) && Some(port.target) == target);
    if is_local && !on_host && !published { Vantage::Itself } else { Vantage::Host }
}

/// Whether a host is a name or an address of the service's own networks.
pub(crate) fn is_inside(spec: &ProjectSpec, service: &ServiceSpec, host: &str) -> bool {
    let on_a_network = service.compose.networks.iter().any(|network| {
        let others = spec.services.iter().flat_map(|other| {
            let names = other.compose.names_on(&network.key.value);
            let container = (!names.is_empty()).then_some(other.container.as_str());
            names.into_iter().chain(container)
        });
        others.into_iter().any(|name| name == host)
    });
    on_a_network || service.compose.hostname.as_ref().is_some_and(|name| name.value == host)
}

/// Looks at advertised addresses of another machine, or of none, are turned to the listener itself: what a client that
/// is sent there finds cannot be seen from here. One warning each.
pub async fn keep_to_this_machine(looks: &mut [Look]) -> Vec<String> {
    let mut foreign: BTreeMap<String, bool> = BTreeMap::new();
    let mut told = Vec::new();
    for look in looks.iter_mut().filter(|look| look.vantage == Vantage::Host) {
        let is_foreign = match foreign.get(&look.host) {
            Some(known) => *known,
            None => !is_this_machine(&look.host).await,
        };
        foreign.insert(look.host.clone(), is_foreign);
        if is_foreign {
            let (address, port) = (look.address(), look.listens_on);
            told.push(format!(
                "{}: {} is advertised at {address}, which is no address of this machine: clients are sent there all \
                 the same; ready means that the node answers on its port {port}",
                look.service, look.listener
            ));
            *look = look.clone().at_the_listener();
        }
    }
    told
}

async fn is_this_machine(host: &str) -> bool {
    let own = crate::process::holder::host_addresses();
    let is_own = |ip: IpAddr| ip.is_loopback() || own.contains(&ip);
    match host.parse::<IpAddr>() {
        Ok(ip) => is_own(ip),
        Err(_) => {
            let asked = tokio::time::timeout(RESOLVE_TIMEOUT, tokio::net::lookup_host((host, 0))).await;
            asked.is_ok_and(|found| found.is_ok_and(|mut found| found.any(|address| is_own(address.ip()))))
        }
    }
}

/// Looks until everything is as it should be, or the time is over. `names` are resolved before the
/// system's.
pub async fn until_ready(looks: &[Look], names: &BTreeMap<String, IpAddr>, timeout: Duration) -> Findings {
    let deadline = Instant::now() + timeout;
    futures_util::future::join_all(looks.iter().map(|look| watch(look, names, deadline))).await
}

async fn watch(
    look: &Look,
    names: &BTreeMap<String, IpAddr>,
    deadline: Instant,
) -> std::result::Result<(), String> {
    loop {
        let limit = LOOK_TIMEOUT.min(deadline.saturating_duration_since(Instant::now()));
        let found = match tokio::time::timeout(limit, once(look, names)).await {
            Ok(found) => found,
            Err(_) => Err(format!("{} does not answer", look.address())),
        };
        if found.is_ok() || Instant::now() + REST >= deadline {
            return found;
        }
        tokio::time::sleep(REST).await;
    }
}

/// One look at one address.
///
/// # Errors
/// What is wrong, in a sentence.
pub async fn once(look: &Look, names: &BTreeMap<String, IpAddr>) -> std::result::Result<(), String> {
    let address = look.address();
    let candidates =
        resolve(&look.host, look.port, names).await.map_err(|why| format!("{address}: {why}"))?;
    let mut refused = format!("{address}: no address");
    for candidate in candidates {
        match Node::open(candidate).await {
            Ok(mut connection) => return speak(look, &mut connection).await,
            Err(error) => refused = format!("{address}: {error}"),
        }
    }
    Err(refused)
}

async fn speak(look: &Look, connection: &mut Node) -> std::result::Result<(), String> {
    let address = look.address();
    if look.accepts_only {
        return Ok(());
    }
    let said = |error: std::io::Error| format!("{address}: {error}");
    connection.api_versions().await.map_err(said)?;
    if look.brokers.is_empty() {
        return Ok(());
    }
    let seen = connection.brokers().await.map_err(said)?;
    judge(look, &seen)
}

/// Whether a listener shows the brokers it should, each under its advertised address.
fn judge(look: &Look, seen: &[Broker]) -> std::result::Result<(), String> {
    let address = look.address();
    let missing: Vec<String> = look
        .brokers
        .iter()
        .filter(|(id, ..)| !seen.iter().any(|broker| broker.id == *id))
        .map(|(id, ..)| id.to_string())
        .collect();
    if !missing.is_empty() {
        return Err(format!("{address}: broker {} not registered and unfenced yet", missing.join(", ")));
    }
    let other = look.brokers.iter().find_map(|(id, host, port)| {
        let broker = seen.iter().find(|broker| broker.id == *id)?;
        // A node without a name in the file advertises its machine's.
        let elsewhere = broker.host != *host && !host.is_empty();
        (elsewhere || broker.port != i32::from(*port)).then_some((id, broker))
    });
    match other {
        Some((id, broker)) => {
            Err(format!("{address}: broker {id} is advertised as {}:{}", broker.host, broker.port))
        }
        None => Ok(()),
    }
}

async fn resolve(
    host: &str,
    port: u16,
    names: &BTreeMap<String, IpAddr>,
) -> std::result::Result<Vec<SocketAddr>, String> {
    if let Some(known) = names.get(host) {
        return Ok(vec![SocketAddr::new(*known, port)]);
    }
    let found = tokio::net::lookup_host((host, port)).await.map_err(|error| error.to_string())?;
    Ok(found.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::seed;

    #[test]
    fn each_advertised_address_is_looked_at_from_where_it_is_used() {
        let spec = seed();
        let services: Vec<_> = spec.services.iter().collect();
        let lines: Vec<String> = looks(&spec, &services)
            .iter()
            .map(|look| format!("{} {} {} {:?}", look.service, look.listener, look.address(), look.vantage))
            .collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    /// Advertised, published, and where it is looked at.
    const ADVERTISED: [(&str, &str, &str); 7] = [
        ("localhost:19092", "19092:9094", "localhost:19092 Host"),
        ("localhost:19092", "29092:9094", "localhost:9094 Itself"),
        ("localhost:9094", "29092:9092", "localhost:9094 Itself"),
        ("one:9094", "19092:9094", "one:9094 Network"),
        ("127.0.0.1:19092", "19092:9094", "127.0.0.1:19092 Host"),
        ("192.0.2.7:19092", "19092:9094", "localhost:9094 Itself"),
        ("nobody.invalid:19092", "19092:9094", "localhost:9094 Itself"),
    ];

    #[tokio::test]
    async fn an_address_that_leads_nobody_here_is_looked_at_where_it_listens() {
        for (advertised, published, expected) in ADVERTISED {
            let text = format!(
                "services:
  one:
    image: apache/kafka:3.7.0
    ports: ['{published}']
    environment:
      KAFKA_NODE_ID: 1
      KAFKA_PROCESS_ROLES: broker,controller
      KAFKA_CONTROLLER_QUORUM_VOTERS: 1@one:9093
      KAFKA_CONTROLLER_LISTENER_NAMES: C
      KAFKA_LISTENERS: PLAINTEXT://:9092,OUT://:9094,C://:9093
      KAFKA_ADVERTISED_LISTENERS: PLAINTEXT://one:9092,OUT://{advertised}
      KAFKA_LISTENER_SECURITY_PROTOCOL_MAP: PLAINTEXT:PLAINTEXT,OUT:PLAINTEXT,C:PLAINTEXT
"
            );
            let spec = crate::testing::spec_of(&text);
            let services: Vec<_> = spec.services.iter().collect();
            let mut looks = looks(&spec, &services);
            let told = keep_to_this_machine(&mut looks).await;
            let out = looks.iter().find(|look| look.listener == "OUT").unwrap();
            assert_eq!(format!("{} {:?}", out.address(), out.vantage), expected, "{advertised} {published}");
            let is_foreign = advertised.starts_with("192.") || advertised.starts_with("nobody");
            assert_eq!(told.len(), usize::from(is_foreign), "{told:?}");
        }
    }

    #[test]
    fn a_listener_that_shows_too_few_or_elsewhere_is_not_ready() {
        let spec = seed();
        let services: Vec<_> = spec.services.iter().collect();
        let look = &looks(&spec, &services)[1];
        let at = |id: i32, host: &str, port| Broker { id, host: host.into(), port };
        let all = [at(0, "localhost", 10000), at(1, "localhost", 10001), at(2, "localhost", 10002)];
        assert_eq!(judge(look, &all), Ok(()));
        assert!(judge(look, &all[..2]).unwrap_err().contains("broker 2 not registered"));
        let moved = [all[0].clone(), all[1].clone(), at(2, "Kafka02Service", 9092)];
        assert!(judge(look, &moved).unwrap_err().contains("broker 2 is advertised as Kafka02Service:9092"));
    }
}
