//! Open ports: what they become, what stays, and who is told.

use super::*;
use crate::model::{BoundPort, State};
use crate::plan::{Kind, Means, UpOptions, up};
use crate::testing::{spec_of, there};

/// One node as the apache image has it, with these ports, and with these addresses advertised.
fn one(ports: &str, advertised: &str) -> String {
    format!(
        "services:
  kafka:
    image: apache/kafka:3.7.0
    ports: {ports}
    environment:
      KAFKA_NODE_ID: 1
      KAFKA_PROCESS_ROLES: broker,controller
      KAFKA_CONTROLLER_QUORUM_VOTERS: 1@localhost:9093
      KAFKA_LISTENERS: PLAINTEXT://:9092,CONTROLLER://:9093,OTHER://:9094
      KAFKA_LISTENER_SECURITY_PROTOCOL_MAP: CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,OTHER:PLAINTEXT
      KAFKA_CONTROLLER_LISTENER_NAMES: CONTROLLER
{advertised}"
    )
}

fn advertising(listeners: &str) -> String {
    format!("      KAFKA_ADVERTISED_LISTENERS: {listeners}\n")
}

fn settled(spec: &mut ProjectSpec, observed: &Observed, taken: &[u16]) {
    settle(spec, observed, &|_, at| !taken.contains(&at), &|_| true).unwrap();
}

/// Published ports and advertised listeners, with the first dynamic port written as `P`.
fn told(spec: &ProjectSpec) -> (String, String) {
    let service = spec.service("kafka").unwrap();
    let chosen = service.ports.iter().find(|port| port.open == Some(DYNAMIC)).and_then(|port| port.published);
    let named = |text: String| match chosen {
        Some(chosen) => text.replace(&chosen.to_string(), "P"),
        None => text,
    };
    let ports = service.ports.iter().map(|port| {
        let at = port.published.map_or("?".to_owned(), |at| at.to_string());
        format!("{at}->{}", port.target)
    });
    let ports = ports.collect::<Vec<_>>().join(" ");
    let node = service.node.as_ref().unwrap();
    let advertised = node.properties.get("advertised.listeners").unwrap_or("as it listens");
    (named(ports), named(advertised.to_owned()))
}

#[test]
fn an_open_port_is_advertised_as_what_it_became_where_the_host_s_clients_are_sent() {
    for (ports, written, expected_ports, expected) in [
        ("['9092']", "PLAINTEXT://localhost:9092", "P->9092", "PLAINTEXT://localhost:P"),
        ("['0:9092']", "PLAINTEXT://127.0.0.1:9092", "P->9092", "PLAINTEXT://127.0.0.1:P"),
        ("['127.0.0.1::9092']", "PLAINTEXT://localhost:29092", "P->9092", "PLAINTEXT://localhost:P"),
        ("['9092']", "PLAINTEXT://192.0.2.7:9092", "P->9092", "PLAINTEXT://192.0.2.7:P"),
        (
            "[{target: 9092}]",
            "PLAINTEXT://host.docker.internal:9092",
            "P->9092",
            "PLAINTEXT://host.docker.internal:P",
        ),
        // Only the listener that it leads to; not the one that containers use.
        (
            "['9094']",
            "PLAINTEXT://kafka:9092,OTHER://localhost:9094",
            "P->9094",
            "PLAINTEXT://kafka:9092,OTHER://localhost:P",
        ),
        ("['9092']", "PLAINTEXT://kafka:9092", "P->9092", "PLAINTEXT://kafka:9092"),
        ("['9092']", "PLAINTEXT://kafka.example.com:9092", "P->9092", "PLAINTEXT://kafka.example.com:9092"),
        // A port of the file's own leads there already.
        (
            "['9092', '9192:9092']",
            "PLAINTEXT://localhost:9192",
            "P->9092 9192->9092",
            "PLAINTEXT://localhost:9192",
        ),
        ("['9292:9092']", "PLAINTEXT://localhost:9092", "9292->9092", "PLAINTEXT://localhost:9092"),
        // A range of the file's: the first of it that is free.
        ("['9192-9193:9092']", "PLAINTEXT://localhost:9192", "9193->9092", "PLAINTEXT://localhost:9193"),
        ("['9193-9199:9092']", "PLAINTEXT://localhost:9193", "9193->9092", "PLAINTEXT://localhost:9193"),
        // Nobody is told a UDP port: the engine chooses.
        ("['9092/udp']", "PLAINTEXT://localhost:9092", "?->9092", "PLAINTEXT://localhost:9092"),
    ] {
        let mut spec = spec_of(&one(ports, &advertising(written)));
        settled(&mut spec, &Observed::default(), &[9192]);
        assert_eq!(told(&spec), (expected_ports.into(), expected.into()), "{ports} {written}");
    }
}

#[test]
fn a_node_that_says_nothing_of_its_address_is_the_host_s_if_it_is_alone() {
    let alone = one("['9092']", "");
    let mut spec = spec_of(&alone);
    settled(&mut spec, &Observed::default(), &[]);
    assert_eq!(told(&spec).1, "PLAINTEXT://localhost:P,OTHER://kafka:9094");
    let mut spec = spec_of(&one("['9092']", &advertising("PLAINTEXT://:9092,OTHER://kafka:9094")));
    settled(&mut spec, &Observed::default(), &[]);
    assert_eq!(told(&spec).1, "PLAINTEXT://localhost:P,OTHER://kafka:9094", "no host is said");
    let mut spec = spec_of(&format!("{alone}  app:\n    image: example/app:1\n"));
    settled(&mut spec, &Observed::default(), &[]);
    let as_written = "PLAINTEXT://kafka:9092,OTHER://kafka:9094".to_owned();
    assert_eq!(told(&spec), ("P->9092".into(), as_written), "the app would be sent to itself");
}

#[test]
fn the_image_s_own_default_moves_too() {
    let mut spec = spec_of("services:\n  kafka:\n    image: apache/kafka:3.7.0\n    ports: ['9092']\n");
    settled(&mut spec, &Observed::default(), &[]);
    assert_eq!(told(&spec), ("P->9092".into(), "PLAINTEXT://localhost:P".into()));
    let service = spec.service("kafka").unwrap();
    let moved = &service.readdressed[0];
    let node = service.node.as_ref().unwrap();
    assert_eq!(node.beside(moved), Some((moved.port, 9092)), "its healthcheck is sent there, too");
    let elsewhere = Listener { host: "192.0.2.7".into(), ..moved.clone() };
    assert_eq!(node.beside(&elsewhere), None);
}

#[test]
fn the_same_names_get_the_same_ports_and_no_two_services_one() {
    let text = one("['9092', '9094']", "");
    let text = format!("{text}{}", text.trim_start_matches("services:\n").replace("kafka:\n", "other:\n"));
    let chosen = |taken: &[u16]| -> Vec<u16> {
        let mut spec = spec_of(&text);
        settled(&mut spec, &Observed::default(), taken);
        spec.services
            .iter()
            .flat_map(|service| service.ports.iter().filter_map(|port| port.published))
            .collect()
    };
    let first = chosen(&[]);
    assert_eq!(first, chosen(&[]));
    assert!(first.iter().all(|port| *port >= DYNAMIC.0), "{first:?}");
    assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), 4, "{first:?}");
    let other = chosen(&first[..1]);
    assert_eq!((other[0] != first[0], &other[2..]), (true, &first[2..]), "one is taken, the others stay");
}

#[test]
fn a_range_that_is_taken_is_refused() {
    let mut spec = spec_of(&one("['9192-9193:9092']", ""));
    let refused = settle(&mut spec, &Observed::default(), &|_, _| false, &|_| true).unwrap_err();
    assert_eq!(refused, "kafka: no host port of 9192-9193 is free for 9092");
}

/// The container of the spec's only service, made to publish that port.
fn made(spec: &ProjectSpec, state: State, published: u16) -> Observed {
    let ip = [127, 0, 0, 1].into();
    let port = BoundPort { ip, published, target: 9092, protocol: "tcp".into() };
    let instance = Instance { publishes: vec![port], ..there(&spec.services[0], state) };
    Observed { instances: vec![instance], ..Observed::default() }
}

#[test]
fn a_container_keeps_its_port_until_somebody_else_takes_it() {
    let fresh = || spec_of(&one("['9092']", &advertising("PLAINTEXT://localhost:9092")));
    let steps = |state: State, taken: &[u16]| {
        let mut spec = fresh();
        let observed = made(&spec, state, 61_007);
        settled(&mut spec, &observed, taken);
        let means = Means { kind: Kind::Process, own_image: None, has_tools: false };
        let services: Vec<&ServiceSpec> = spec.services.iter().collect();
        let plan = up(&spec, &services, &[], &observed, &means, &UpOptions::default());
        (spec.services[0].ports[0].published, plan.to_string())
    };
    let (port, plan) = steps(State::Running, &[61_007]);
    assert!(port == Some(61_007) && plan.contains("nothing to do"), "it is the one that holds it: {plan}");
    let (port, plan) = steps(State::Exited, &[]);
    assert!(port == Some(61_007) && !plan.contains("create"), "{plan}");
    let (port, plan) = steps(State::Exited, &[61_007]);
    assert_ne!(port, Some(61_007));
    let text = format!("9092 published on {})", port.unwrap());
    assert!(plan.contains("(its host port is taken by now)") && plan.contains(&text), "{plan}");

    let mut spec = fresh();
    let observed = made(&spec, State::Exited, 61_007);
    recall(&mut spec, &observed);
    assert_eq!(spec.services[0].node.as_ref().unwrap().advertised[0].port, 61_007, "commands know it");
    let mut nothing = fresh();
    recall(&mut nothing, &Observed::default());
    assert_eq!(told(&nothing), ("?->9092".into(), "PLAINTEXT://localhost:9092".into()));
}
