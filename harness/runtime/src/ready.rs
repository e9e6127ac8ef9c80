//! When a cluster is ready: every broker is registered and unfenced, and answers on each address that it
//! advertises, seen from where that address is meant to be used.

use crate::kafka::{Broker, Node};
use crate::model::{PortSpec, ProjectSpec, ServiceSpec};
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
    let mut looks = Vec::new();
    for service in services {
        let Some(node) = &service.node else { continue };
        // A file may have several clusters: a broker shows those of its own.
        let same = services.iter().filter(|other| other.quorum == service.quorum);
        let nodes = same.filter_map(|other| other.node.as_ref());
        let brokers: Vec<&NodePlan> = nodes.filter(|node| node.roles.broker).collect();
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
                accepts_only: !node.is_plaintext(&listener.name),
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
    Look {
        service: service.name.clone(),
        listener: advertised.name.clone(),
        host: advertised.host.clone(),
        port: advertised.port,
        listens_on: listener.map_or(advertised.port, |listener| listener.port),
        vantage: vantage(spec, service, node, advertised),
        brokers: shown.collect(),
        accepts_only: !node.is_plaintext(&advertised.name),
    }
}

/// The host that stands for the machine itself.
const LOCALHOST: &str = "localhost";

fn on_host(service: &ServiceSpec) -> bool {
    service.compose.network_mode.as_ref().is_some_and(|mode| mode.value == "host")
}

/// Where an advertised address is meant to be used: a name of the network inside it; a loopback address on which the
/// container itself listens, and that nothing publishes, inside the container; anything else on the host.
fn vantage(spec: &ProjectSpec, service: &ServiceSpec, node: &NodePlan, advertised: &Listener) -> Vantage {
    if is_inside(spec, service, &advertised.host) {
        return Vantage::Network;
    }
    let target = node.listeners.iter().find(|listener| listener.name == advertised.name).map(|l| l.port);
    let is_published = service.ports.iter().any(|port| Some(port.target) == target);
    let is_for_itself = target == Some(advertised.port) && !is_published && !on_host(service);
    if is_loopback(&advertised.host) && is_for_itself { Vantage::Itself } else { Vantage::Host }
}

fn is_loopback(host: &str) -> bool {
    matches!(host, "localhost" | "127.0.0.1" | "::1")
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

/// Addresses of the host to which nothing in the file leads: another port than the published one, another machine. Each
/// is looked at, once its node is known to serve where it listens.
#[derive(Debug, Default)]
pub struct Doubtful {
    /// To look at.
    pub looks: Vec<Look>,
    /// What nobody on the host is sent to, with the reason why that cannot be seen from here.
    pub unseen: Vec<(Look, String)>,
}

/// Takes what is doubtful out of the looks, and leaves one at the listener itself in its place.
pub async fn doubtful(spec: &ProjectSpec, looks: &mut [Look]) -> Doubtful {
    let mut known: BTreeMap<String, bool> = BTreeMap::new();
    let mut out = Doubtful::default();
    for look in looks.iter_mut().filter(|look| look.vantage == Vantage::Host) {
        let is_here = match known.get(&look.host) {
            Some(is_here) => *is_here,
            None => is_this_machine(&look.host).await,
        };
        known.insert(look.host.clone(), is_here);
        if is_here && is_published(spec, look) {
            continue;
        }
        match for_containers(spec, &look.host) {
            true => out.unseen.push((
                look.clone(),
                format!(
                    "{}: {} is advertised at {}, a name that only containers have: it cannot be looked at from here",
                    look.service,
                    look.listener,
                    look.address()
                ),
            )),
            false => out.looks.push(look.clone()),
        }
        *look = look.clone().at_the_listener();
    }
    out
}

/// Whether the file leads from an address of this machine to the listener behind it.
fn is_published(spec: &ProjectSpec, look: &Look) -> bool {
    let Some(service) = spec.service(&look.service) else { return false };
    let leads = |port: &PortSpec| port.published == Some(look.port) && port.target == look.listens_on;
    on_host(service) || service.ports.iter().any(leads)
}

/// Whether a host is a name of Docker's own for this machine, or one that the file gives to containers.
fn for_containers(spec: &ProjectSpec, host: &str) -> bool {
    let given = spec.services.iter().flat_map(|service| &service.compose.extra_hosts);
    host.ends_with(".docker.internal") || given.into_iter().any(|entry| entry.value.0 == host)
}

/// Why a node is not ready whose advertised address nobody answers at.
pub fn nobody_answers(spec: &ProjectSpec, look: &Look, why: &str) -> String {
    let service = spec.service(&look.service);
    let ports = service.into_iter().flat_map(|service| &service.ports);
    let published =
        ports.into_iter().find(|port| port.target == look.listens_on).and_then(|port| port.published);
    let (name, at, inside) = (&look.listener, look.address(), look.listens_on);
    let remedy = match published {
        Some(port) => format!(
            "advertise {name}://localhost:{port}, where it is published, or publish \"{}:{inside}\"",
            look.port
        ),
        None => format!("publish \"{}:{inside}\", or advertise it at an address that leads to it", look.port),
    };
    format!("{name} is advertised at {at}, and clients that are sent there find nobody ({why}): {remedy}")
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

    /// Advertised, published, where the node is looked at, and where clients are sent that nothing leads to.
    const ADVERTISED: [(&str, &str, &str, &str); 9] = [
        ("localhost:19092", "19092:9094", "localhost:19092 Host", ""),
        ("localhost:19092", "29092:9094", "localhost:9094 Itself", "localhost:19092"),
        ("localhost:9094", "29092:9092", "localhost:9094 Itself", ""),
        ("localhost:9094", "29092:9094", "localhost:9094 Itself", "localhost:9094"),
        ("one:9094", "19092:9094", "one:9094 Network", ""),
        ("127.0.0.1:19092", "19092:9094", "127.0.0.1:19092 Host", ""),
        ("192.0.2.7:19092", "19092:9094", "localhost:9094 Itself", "192.0.2.7:19092"),
        ("nobody.invalid:19092", "19092:9094", "localhost:9094 Itself", "nobody.invalid:19092"),
        ("host.docker.internal:19092", "19092:9094", "localhost:9094 Itself", "unseen"),
    ];

    #[tokio::test]
    async fn an_address_that_nothing_leads_to_is_looked_at_beside_its_listener() {
        for (advertised, published, expected, doubted) in ADVERTISED {
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
            let doubt = doubtful(&spec, &mut looks).await;
            let out = looks.iter().find(|look| look.listener == "OUT").unwrap();
            assert_eq!(format!("{} {:?}", out.address(), out.vantage), expected, "{advertised} {published}");
            let seen = doubt.looks.iter().map(Look::address);
            let told: Vec<String> = seen.chain(doubt.unseen.iter().map(|_| "unseen".to_owned())).collect();
            assert_eq!(told.join(" "), doubted, "{advertised} {published}");
        }
    }

    #[test]
    fn a_port_that_leads_elsewhere_is_told_with_the_one_that_leads_there() {
        let node = "image: 'bitnami/kafka:3.7.0', ports: ['21230:9094']";
        let spec = crate::testing::spec_of(&format!("services: {{kafka: {{{node}}}}}"));
        let look = Look {
            service: "kafka".into(),
            listener: "OUT".into(),
            host: "localhost".into(),
            port: 29999,
            listens_on: 9094,
            vantage: Vantage::Host,
            brokers: Vec::new(),
            accepts_only: false,
        };
        let told = nobody_answers(&spec, &look, "refused");
        assert!(
            told.contains("OUT is advertised at localhost:29999") && told.contains("localhost:21230"),
            "{told}"
        );
    }

    /// Two brokers that share nothing but the file.
    #[test]
    fn a_broker_shows_those_of_its_own_cluster() {
        let node = |name: &str, port: u16| {
            format!(
                "  {name}:
    image: apache/kafka:3.7.0
    ports: ['{port}:{port}']
    environment:
      KAFKA_NODE_ID: 1
      KAFKA_PROCESS_ROLES: broker,controller
      KAFKA_CONTROLLER_QUORUM_VOTERS: 1@localhost:9093
      KAFKA_CONTROLLER_LISTENER_NAMES: C
      KAFKA_LISTENERS: PLAINTEXT://:{port},C://:9093
      KAFKA_ADVERTISED_LISTENERS: PLAINTEXT://localhost:{port}
      KAFKA_LISTENER_SECURITY_PROTOCOL_MAP: PLAINTEXT:PLAINTEXT,C:PLAINTEXT
"
            )
        };
        let text = format!("services:\n{}{}", node("orders", 21231), node("billing", 21232));
        let spec = crate::testing::spec_of(&text);
        let services: Vec<_> = spec.services.iter().collect();
        let looks = looks(&spec, &services);
        let shown = looks.iter().map(|look| format!("{:?}", look.brokers)).collect::<Vec<_>>();
        assert_eq!(shown, [r#"[(1, "localhost", 21231)]"#, r#"[(1, "localhost", 21232)]"#]);
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
