//! A broker whose ZooKeeper runs in its own container is its whole cluster: it needs none, and is its own controller,
//! on the port where its ZooKeeper would have been. Launchers of tests start such pairs.
//! It must not be asked of a node that has others.

use jackdaw_compose::{Code, Diagnostic};

use crate::draft::Draft;
use crate::lint::is_loopback;

const CONTROLLER: &str = "CONTROLLER";

/// Gives such a node a quorum of its own.
pub(crate) fn without_zookeeper(draft: &mut Draft) {
    let get = |key: &str| draft.properties.get(key).map(str::trim).filter(|value| !value.is_empty());
    let Some(zookeeper) = get("zookeeper.connect").filter(|_| get("process.roles").is_none()) else { return };
    let zookeeper = zookeeper.split('/').next().unwrap_or_default().to_owned();
    let inside = |(host, port): (&str, &str)| is_loopback(host) && port.parse::<u16>().is_ok();
    if !zookeeper.rsplit_once(':').is_some_and(inside) {
        return;
    }
    let id = get("node.id").or_else(|| get("broker.id")).unwrap_or("1").to_owned();
    let listeners = get("listeners").unwrap_or("PLAINTEXT://:9092");
    let listeners = format!("{listeners},{CONTROLLER}://{zookeeper}");
    let protocols = get("listener.security.protocol.map").map(|map| format!("{map},{CONTROLLER}:PLAINTEXT"));
    let span = draft.properties.span("zookeeper.connect");
    let message = format!("this node's ZooKeeper is to be at {zookeeper}, in its own container");
    let said = Diagnostic::new(Code::ZooKeeperInside, message, &span)
        .help("nothing to do: the node is its own controller there, and needs no ZooKeeper");
    draft.diagnostics.push(said);
    let protocols = protocols.map(|map| ("listener.security.protocol.map", map));
    let made = [
        ("node.id", id.clone()),
        ("process.roles", "broker,controller".to_owned()),
        ("controller.quorum.voters", format!("{id}@{zookeeper}")),
        ("controller.listener.names", CONTROLLER.to_owned()),
        ("listeners", listeners),
    ];
    crate::zookeeper::apply(draft, made.into_iter().chain(protocols).collect());
}
