//! Brokers that would keep their metadata in ZooKeeper: those of one ensemble become one KRaft quorum, in which each is
//! broker and controller, and the ensemble is not needed.
//! It must not look at a node that says its roles, nor at one that is moving from the one to the other.

use std::collections::BTreeMap;

use jackdaw_compose::{Code, Diagnostic, Project, Service, Severity};

use crate::Provider;
use crate::cluster::on_host_network;
use crate::draft::Draft;
use crate::lint::{is_loopback, reached};
use crate::node::variable;
use crate::plan::{Listener, Origin};

/// What becomes of brokers in ZooKeeper mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ZooKeeper {
    /// They run as a KRaft quorum, with a warning that shows what was made of them.
    #[default]
    Replace,
    /// They are refused, with what would make KRaft nodes of them.
    Refuse,
}

/// A node before Kafka's own rules are applied to it.
pub(crate) struct Drafted<'a> {
    pub(crate) service: &'a Service,
    pub(crate) provider: Provider,
    pub(crate) draft: Draft,
}

/// The broker ids from which Kafka gives brokers that have none.
const FIRST_GENERATED_ID: i32 = 1001;
const CONTROLLER_PORT: u16 = 9093;

/// What KRaft has no use for.
const GONE: [&str; 8] = [
    "broker.id",
    "broker.id.generation.enable",
    "inter.broker.protocol.version",
    "control.plane.listener.name",
    "advertised.host.name",
    "advertised.port",
    "host.name",
    "port",
];

/// Replaces ZooKeeper, or refuses it; the services that are not needed any more.
pub(crate) fn replace(
    project: &Project,
    nodes: &mut [Drafted<'_>],
    policy: ZooKeeper,
    out: &mut Vec<Diagnostic>,
) -> Vec<String> {
    let mut ensembles: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (at, node) in nodes.iter().enumerate() {
        if let Some(ensemble) = ensemble(project, node) {
            ensembles.entry(ensemble).or_default().push(at);
        }
    }
    let mut unneeded: Vec<String> = Vec::new();
    for members in ensembles.values() {
        let made = quorum(project, nodes, members);
        let servers = servers(project, nodes, members);
        out.push(said(nodes, &made, &servers, policy));
        for (at, settings) in made {
            nodes[at].draft.is_refused = policy == ZooKeeper::Refuse;
            if policy == ZooKeeper::Replace {
                apply(&mut nodes[at].draft, settings);
            }
        }
        unneeded.extend(servers.into_iter().filter(|_| policy == ZooKeeper::Replace));
    }
    unneeded.sort();
    unneeded.dedup();
    unneeded
}

fn get<'a>(draft: &'a Draft, key: &str) -> Option<&'a str> {
    draft.properties.get(key).map(str::trim).filter(|value| !value.is_empty())
}

/// `HOST:PORT` of an ensemble, each without the folder that stands behind the last.
fn hosts(draft: &Draft) -> impl Iterator<Item = &str> {
    let connect = get(draft, "zookeeper.connect").unwrap_or_default();
    let servers = connect.split('/').next().unwrap_or_default().split(',');
    servers.map(|server| server.trim().rsplit_once(':').map_or(server.trim(), |(host, _)| host))
}

/// What names the ensemble of a broker in ZooKeeper mode.
fn ensemble(project: &Project, node: &Drafted<'_>) -> Option<String> {
    let draft = &node.draft;
    if get(draft, "process.roles").is_some() || get(draft, "controller.quorum.voters").is_some() {
        return None;
    }
    let connect = get(draft, "zookeeper.connect")?;
    let folder = connect.split_once('/').map(|(_, folder)| folder).unwrap_or_default();
    let mut servers: Vec<String> = hosts(draft)
        .map(|host| match reached(project, node.service, host) {
            Some(service) => service.name.value.clone(),
            None if is_loopback(host) && !on_host_network(node.service) => {
                format!("{host} of {}", node.service.name.value)
            }
            None => host.to_owned(),
        })
        .collect();
    servers.sort();
    Some(format!("{}/{folder}", servers.join(",")))
}

pub(crate) type Settings = Vec<(&'static str, String)>;

/// The settings that make a quorum of them.
fn quorum(project: &Project, nodes: &[Drafted<'_>], members: &[usize]) -> Vec<(usize, Settings)> {
    let ids = ids(nodes, members);
    let mut taken: Vec<u16> = Vec::new();
    for at in members {
        let entries = get(&nodes[*at].draft, "listeners").unwrap_or_default();
        taken.extend(entries.split(',').filter_map(Listener::parse).map(|listener| listener.port));
    }
    let mut ports = Vec::new();
    for at in members {
        let port = (CONTROLLER_PORT..).find(|port| !taken.contains(port)).unwrap_or(CONTROLLER_PORT);
        // Whoever shares the host's network shares its ports.
        taken.extend(Some(port).filter(|_| on_host_network(nodes[*at].service)));
        ports.push(port);
    }
    let places = members.iter().zip(&ids).zip(&ports);
    let voters = places.map(|((at, id), port)| format!("{id}@{}:{port}", host(project, nodes[*at].service)));
    let voters = voters.collect::<Vec<_>>().join(",");
    let all = members.iter().zip(ids).zip(ports);
    all.map(|((at, id), port)| (*at, settings(&nodes[*at].draft, &id, &voters, port))).collect()
}

/// The brokers' ids; those that have none get one as Kafka would give it.
fn ids(nodes: &[Drafted<'_>], members: &[usize]) -> Vec<String> {
    let own = |at: &usize| {
        let draft = &nodes[*at].draft;
        get(draft, "node.id").or_else(|| get(draft, "broker.id")).filter(|id| *id != "-1")
    };
    let mut next = FIRST_GENERATED_ID;
    let given = members.iter().map(|at| match own(at) {
        Some(id) => id.to_owned(),
        None => {
            next += 1;
            (next - 1).to_string()
        }
    });
    given.collect()
}

/// The name by which the others reach a node.
fn host(project: &Project, service: &Service) -> String {
    if on_host_network(service) {
        return String::from("localhost");
    }
    let shared = service.network_mode.as_ref().and_then(|mode| mode.value.strip_prefix("service:"));
    let at = shared.and_then(|name| project.service(name)).unwrap_or(service);
    at.name.value.clone()
}

fn settings(draft: &Draft, id: &str, voters: &str, port: u16) -> Settings {
    let listeners = match get(draft, "listeners") {
        Some(listeners) => listeners.to_owned(),
        None => format!("PLAINTEXT://:{}", get(draft, "port").unwrap_or("9092")),
    };
    let is_taken = |name: &str| listeners.contains(&format!("{name}://"));
    let name = if is_taken("CONTROLLER") { "QUORUM" } else { "CONTROLLER" };
    let mut made = vec![
        ("node.id", id.to_owned()),
        ("process.roles", String::from("broker,controller")),
        ("controller.quorum.voters", voters.to_owned()),
        ("controller.listener.names", name.to_owned()),
        ("listeners", format!("{},{name}://:{port}", listeners.trim_end_matches(','))),
    ];
    if let (None, Some(host)) = (get(draft, "advertised.listeners"), get(draft, "advertised.host.name")) {
        let port = get(draft, "advertised.port").or_else(|| get(draft, "port")).unwrap_or("9092");
        made.push(("advertised.listeners", format!("PLAINTEXT://{host}:{port}")));
    }
    if let Some(map) = get(draft, "listener.security.protocol.map") {
        let has = map.split(',').any(|pair| pair.split(':').next().is_some_and(|key| key.trim() == name));
        made.extend((!has).then(|| {
            ("listener.security.protocol.map", format!("{},{name}:PLAINTEXT", map.trim_end_matches(',')))
        }));
    }
    made
}

/// Makes a draft that of a KRaft node.
pub(crate) fn apply(draft: &mut Draft, settings: Settings) {
    let origin = |draft: &Draft, key: &str| draft.properties.property(key).map(|found| found.origin.clone());
    let id = origin(draft, "broker.id");
    let gone: Vec<String> = draft.properties.iter().map(|property| property.key.clone()).collect();
    for key in gone.iter().filter(|key| key.starts_with("zookeeper.") || GONE.contains(&key.as_str())) {
        draft.properties.remove(key);
    }
    for (key, value) in settings {
        let was = origin(draft, key).or_else(|| id.clone().filter(|_| key == "node.id"));
        draft.properties.set(key, value, was.unwrap_or(Origin::Image));
    }
    draft.ignores_command = true;
}

/// The services of the file that are the ensemble and that nobody else asks.
fn servers(project: &Project, nodes: &[Drafted<'_>], members: &[usize]) -> Vec<String> {
    let is_node = |service: &Service| nodes.iter().any(|node| node.service.name == service.name);
    let found = members.iter().flat_map(|at| {
        hosts(&nodes[*at].draft).filter_map(|host| reached(project, nodes[*at].service, host))
    });
    let mut names: Vec<String> =
        found.filter(|service| !is_node(service)).map(|service| service.name.value.clone()).collect();
    names.sort();
    names.dedup();
    let asks = |other: &Service, server: &Service| {
        let values = other.environment.iter().filter_map(|var| var.value.as_ref()).map(|value| &value.value);
        let words = [&other.entrypoint, &other.command].into_iter().flatten().flat_map(|words| &words.value);
        let text: Vec<&String> = values.chain(words).collect();
        let called = other.networks.iter().flat_map(|on| server.names_on(&on.key.value));
        let mut called = called.map(|name| format!("{name}:")).collect::<Vec<_>>().into_iter();
        called.any(|name| text.iter().any(|text| text.contains(&name)))
    };
    let is_free = |name: &String| {
        let Some(server) = project.service(name) else { return false };
        let others =
            project.services.iter().filter(|other| !is_node(other) && !names.contains(&other.name.value));
        others.into_iter().all(|other| !asks(other, server))
    };
    names.iter().filter(|name| is_free(name)).cloned().collect()
}

/// One finding for one quorum, with what was made of each node.
fn said(
    nodes: &[Drafted<'_>],
    made: &[(usize, Settings)],
    servers: &[String],
    policy: ZooKeeper,
) -> Diagnostic {
    let names: Vec<String> =
        made.iter().map(|(at, _)| format!("`{}`", nodes[*at].service.name.value)).collect();
    let (keeps, runs) = match names.len() {
        1 => ("keeps its metadata in ZooKeeper", "it runs as a KRaft quorum of its own"),
        _ => ("keep their metadata in ZooKeeper", "they run as one KRaft quorum"),
    };
    let refused = policy == ZooKeeper::Refuse;
    let runs = if refused { "that is refused here" } else { runs };
    let place = |at: usize| nodes[at].draft.properties.span("zookeeper.connect");
    let first = made.first().map(|(at, _)| place(*at)).unwrap_or_default();
    let mut found =
        Diagnostic::new(Code::ZooKeeperMode, format!("{} {keeps}: {runs}", names.join(", ")), &first)
            .label("ZooKeeper")
            .help(shown(nodes, made, servers, refused));
    found.related = made.iter().skip(1).map(|(at, _)| (place(*at), String::from("and here"))).collect();
    found.severity = if refused { Severity::Error } else { Severity::Warning };
    found
}

/// The settings of each node, as they are or as they would have to be written.
fn shown(nodes: &[Drafted<'_>], made: &[(usize, Settings)], servers: &[String], refused: bool) -> String {
    let mut lines = Vec::new();
    for (at, settings) in made {
        let Drafted { service, provider, draft } = &nodes[*at];
        lines.push(format!("{}: {}", service.name.value, self::lines(*provider, draft, settings, refused)));
    }
    let servers = servers.join(", ");
    lines.push(match (refused, servers.is_empty()) {
        (true, true) => String::from("set these, and remove what names ZooKeeper"),
        (true, false) => format!("set these, remove what names ZooKeeper, and drop {servers}"),
        (false, true) => String::from("with `--zookeeper refuse` such a file is refused"),
        (false, false) => format!(
            "not started, and waited for by nobody: {servers}; with `--zookeeper refuse` such a file is refused"
        ),
    });
    let topics = made.iter().any(|(at, _)| {
        nodes[*at].service.environment.iter().any(|var| var.name.value == "KAFKA_CREATE_TOPICS")
    });
    lines.extend(topics.then(|| String::from("nobody makes the topics of KAFKA_CREATE_TOPICS")));
    lines.join("\n")
}

/// Settings as they are written: as variables, where those have an effect.
pub(crate) fn lines(provider: Provider, draft: &Draft, settings: &Settings, as_variables: bool) -> String {
    let name = |key: &str| match as_variables && !draft.ignores_environment {
        true => variable(provider, key),
        false => key.to_owned(),
    };
    let all = settings.iter().map(|(key, value)| format!("{}={value}", name(key)));
    all.collect::<Vec<_>>().join(" ")
}

/// What would make a node of its own of a broker, or leave it in the quorum that it names already.
pub(crate) fn alone(draft: &Draft, host: &str) -> Settings {
    let id = get(draft, "node.id").or_else(|| get(draft, "broker.id")).unwrap_or("1");
    let voters = get(draft, "controller.quorum.voters").map(str::to_owned);
    settings(draft, id, &voters.unwrap_or_else(|| format!("{id}@{host}:{CONTROLLER_PORT}")), CONTROLLER_PORT)
}
