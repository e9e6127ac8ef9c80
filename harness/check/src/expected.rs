//! What a compose file promises of its cluster, as the obligations need it. It asks nobody.

use jackdaw_compose::Project;
use jackdaw_conventions::{Cluster, Listener, NodePlan};
use std::collections::BTreeSet;

/// From where an address is meant to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Vantage {
    /// The machine that runs the cluster: through published ports.
    Host,
    /// The services' own network: by service and container names.
    Inside,
}

impl Vantage {
    /// The word for it in a report.
    pub fn word(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Inside => "inside",
        }
    }
}

/// One listener of a broker that clients may use.
#[derive(Clone, Debug)]
pub struct ExpectedListener {
    /// Listener name.
    pub name: String,
    /// Whom the advertised address is for.
    pub vantage: Vantage,
    /// Where it is entered from that vantage: the service itself, or the published port.
    pub entrance: (String, u16),
    /// The advertised host and port.
    pub advertised: (String, u16),
}

/// One broker of the file.
#[derive(Clone, Debug)]
pub struct ExpectedBroker {
    /// Service name.
    pub service: String,
    /// `node.id`.
    pub node_id: i32,
    /// Client listeners that speak plaintext, in the file's order.
    pub listeners: Vec<ExpectedListener>,
    /// Client listeners that a plain client cannot talk to, by name.
    pub secured: Vec<String>,
}

/// One cluster, as its file describes it.
#[derive(Clone, Debug)]
pub struct Expected {
    /// In the file's order.
    pub brokers: Vec<ExpectedBroker>,
    /// Ids of `controller.quorum.voters`.
    pub voters: BTreeSet<i32>,
}

impl Expected {
    /// Reads the promises off the file's node plans, for each cluster of the file.
    pub fn each(project: &Project, cluster: &Cluster) -> Vec<Self> {
        let inside = inside_names(project);
        let of = |quorum: &Vec<usize>| {
            let nodes = || quorum.iter().map(|at| &cluster.nodes[*at]);
            let brokers = nodes().filter(|node| node.roles.broker);
            Self {
                brokers: brokers.map(|node| broker(project, node, &inside)).collect(),
                voters: nodes().flat_map(|node| &node.voters).map(|voter| voter.id).collect(),
            }
        };
        cluster.quorums.iter().map(of).collect()
    }

    /// `bootstrap.servers` for a client at that vantage, if any listener is meant for it.
    pub fn bootstrap(&self, vantage: Vantage) -> Option<String> {
        let addresses: Vec<String> = self
            .brokers
            .iter()
            .flat_map(|broker| broker.listeners.iter().find(|listener| listener.vantage == vantage))
            .map(|listener| format!("{}:{}", listener.advertised.0, listener.advertised.1))
            .collect();
        (!addresses.is_empty()).then(|| addresses.join(","))
    }

    /// The service that runs a broker.
    pub fn service_of(&self, node_id: i32) -> Option<&str> {
        self.brokers.iter().find(|broker| broker.node_id == node_id).map(|broker| broker.service.as_str())
    }
}

/// Every name by which a service is known on some network of the file.
fn inside_names(project: &Project) -> BTreeSet<String> {
    let services = project.services.iter();
    services
        .flat_map(|service| {
            let networks = service.networks.iter().flat_map(|network| service.names_on(&network.key.value));
            let hostname = service.hostname.iter().map(|name| name.value.as_str());
            networks.chain(hostname).map(str::to_owned).collect::<Vec<_>>()
        })
        .collect()
}

fn broker(project: &Project, node: &NodePlan, inside: &BTreeSet<String>) -> ExpectedBroker {
    let (mut listeners, mut secured) = (Vec::new(), Vec::new());
    for advertised in node.advertised.iter().filter(|listener| !node.is_controller_listener(&listener.name)) {
        if is_plaintext(node, &advertised.name) {
            listeners.push(listener(project, node, advertised, inside));
        } else {
            secured.push(advertised.name.clone());
        }
    }
    ExpectedBroker { service: node.service.clone(), node_id: node.node_id, listeners, secured }
}

fn listener(
    project: &Project,
    node: &NodePlan,
    advertised: &Listener,
    inside: &BTreeSet<String>,
) -> ExpectedListener {
    let bound = node.listeners.iter().find(|listener| listener.name == advertised.name);
    let target = bound.map_or(advertised.port, |listener| listener.port);
    let vantage = if inside.contains(&advertised.host) { Vantage::Inside } else { Vantage::Host };
    let published = project.service(&node.service).and_then(|service| published_port(service, target));
    let entrance = match (vantage, published) {
        (Vantage::Inside, _) => (node.service.clone(), target),
        (Vantage::Host, Some(port)) => ("localhost".to_owned(), port),
        (Vantage::Host, None) => (advertised.host.clone(), advertised.port),
    };
    ExpectedListener {
        name: advertised.name.clone(),
        vantage,
        entrance,
        advertised: (advertised.host.clone(), advertised.port),
    }
}

fn published_port(service: &jackdaw_compose::Service, target: u16) -> Option<u16> {
    service.ports.iter().find(|port| port.target == target).and_then(|port| match port.published {
        jackdaw_compose::Published::Port(port) => Some(port),
        jackdaw_compose::Published::Ephemeral | jackdaw_compose::Published::AnyOf(..) => None,
    })
}

/// `listener.security.protocol.map`; a listener that it does not name is called after its protocol. This is a witness of
/// its own: what the checks expect is not computed by the code that readiness goes by.
fn is_plaintext(node: &NodePlan, listener: &str) -> bool {
    let map = node.properties.get("listener.security.protocol.map").unwrap_or_default();
    let named = map.split(',').filter_map(|entry| entry.split_once(':'));
    let protocol = named.into_iter().find(|(name, _)| name.trim().eq_ignore_ascii_case(listener));
    protocol.map_or(listener, |(_, protocol)| protocol.trim()).eq_ignore_ascii_case("PLAINTEXT")
}
