//! Brokers of ZooKeeper's days, and nodes on images of somebody else.

use jackdaw_compose::{Code, Severity};
use jackdaw_conventions::{Cluster, Provider, ZooKeeper};

use crate::{cluster, project, said};

/// A broker as cp-kafka's own example has it.
fn broker(name: &str, id: i32, more: &str) -> String {
    format!(
        "  {name}:
    image: confluentinc/cp-kafka:7.7.0
    depends_on: [zookeeper]
    ports: ['{id}9092:{id}9092']
    environment:
      KAFKA_BROKER_ID: {id}
      KAFKA_ZOOKEEPER_CONNECT: 'zookeeper:2181'
      KAFKA_LISTENER_SECURITY_PROTOCOL_MAP: PLAINTEXT:PLAINTEXT,PLAINTEXT_HOST:PLAINTEXT
      KAFKA_ADVERTISED_LISTENERS: PLAINTEXT://{name}:9095,PLAINTEXT_HOST://localhost:{id}9092
      KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR: 1
      KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR: 1
{more}"
    )
}

const SERVER: &str =
    "  zookeeper: {image: 'confluentinc/cp-zookeeper:7.7.0', environment: {ZOOKEEPER_CLIENT_PORT: 2181}}\n";

fn file(services: &[&str]) -> String {
    format!("services:\n{}", services.concat())
}

fn settings<'a>(cluster: &'a Cluster, keys: &[&str]) -> Vec<&'a str> {
    let node = &cluster.nodes[0];
    keys.iter().map(|key| node.properties.get(key).unwrap_or("-")).collect()
}

#[test]
fn brokers_of_one_ensemble_are_one_quorum_and_its_servers_are_not_needed() {
    let text = file(&[SERVER, &broker("one", 1, ""), &broker("two", 2, "")]);
    let cluster = cluster(&text);
    assert_eq!(
        settings(
            &cluster,
            &["node.id", "process.roles", "controller.quorum.voters", "listeners", "zookeeper.connect"]
        ),
        [
            "1",
            "broker,controller",
            "1@one:9093,2@two:9093",
            "PLAINTEXT://0.0.0.0:9095,PLAINTEXT_HOST://0.0.0.0:19092,CONTROLLER://:9093",
            "-"
        ]
    );
    assert_eq!(cluster.quorums, [vec![0, 1]]);
    assert_eq!(cluster.unneeded, ["zookeeper"]);
    assert_eq!(cluster.nodes[0].cluster_id, cluster.nodes[1].cluster_id);
    let told: Vec<_> = cluster.diagnostics.iter().map(|found| (found.code, found.severity)).collect();
    assert_eq!(told, [(Code::ZooKeeperMode, Severity::Warning)], "{}", said(&cluster, Severity::Hint));
    // So wide that nothing is wrapped.
    insta::assert_snapshot!(cluster.diagnostics[0].render(false, 400));
}

#[test]
fn a_file_that_is_refused_is_told_its_own_values() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let project = project(dir.path(), &file(&[SERVER, &broker("one", 1, ""), &broker("two", 2, "")]));
    let cluster = Cluster::with(&project, ZooKeeper::Refuse);
    let told: Vec<_> = cluster.diagnostics.iter().map(|found| (found.code, found.severity)).collect();
    assert_eq!(told, [(Code::ZooKeeperMode, Severity::Error)], "{}", said(&cluster, Severity::Hint));
    let help = cluster.diagnostics[0].help.clone().unwrap_or_default();
    for expected in [
        "two: KAFKA_NODE_ID=2 KAFKA_PROCESS_ROLES=broker,controller",
        "KAFKA_CONTROLLER_QUORUM_VOTERS=1@one:9093,2@two:9093",
        "and drop zookeeper",
    ] {
        assert!(help.contains(expected), "{help}");
    }
    assert!(cluster.unneeded.is_empty());
}

#[test]
fn what_is_made_of_a_broker_keeps_what_the_file_says() {
    let keys = ["node.id", "controller.quorum.voters", "listeners", "advertised.listeners"];
    for (why, service, expected) in [
        (
            "wurstmeister's, with nothing else",
            "image: wurstmeister/kafka:2.13-2.8.1\n    environment: {KAFKA_ZOOKEEPER_CONNECT: 'zk:2181'}",
            ["1001", "1001@kafka:9093", "PLAINTEXT://:9092,CONTROLLER://:9093", "PLAINTEXT://kafka:9092"],
        ),
        (
            "the names of older days",
            "image: wurstmeister/kafka\n    environment: {KAFKA_ZOOKEEPER_CONNECT: 'zk:2181', KAFKA_BROKER_ID: 4, \
             KAFKA_ADVERTISED_HOST_NAME: 10.0.0.1, KAFKA_PORT: 9095}",
            ["4", "4@kafka:9093", "PLAINTEXT://:9095,CONTROLLER://:9093", "PLAINTEXT://10.0.0.1:9095"],
        ),
        (
            "a listener on the controllers' port, and under their name",
            "image: bitnami/kafka\n    environment: {KAFKA_CFG_ZOOKEEPER_CONNECT: 'zk:2181', KAFKA_BROKER_ID: 7, \
             KAFKA_CFG_LISTENERS: 'CONTROLLER://:9093,PLAINTEXT://:9092'}",
            ["7", "7@kafka:9094", "CONTROLLER://:9093,PLAINTEXT://:9092,QUORUM://:9094", "-"],
        ),
        (
            "the host's network",
            "image: bitnami/kafka\n    network_mode: host\n    environment: {KAFKA_CFG_ZOOKEEPER_CONNECT: \
             'localhost:2181', KAFKA_BROKER_ID: 7, KAFKA_CFG_ADVERTISED_LISTENERS: 'PLAINTEXT://localhost:9092'}",
            ["7", "7@localhost:9093", "PLAINTEXT://:9092,CONTROLLER://:9093", "PLAINTEXT://localhost:9092"],
        ),
        (
            "debezium's names",
            "image: quay.io/debezium/kafka:2.7\n    environment: {ZOOKEEPER_CONNECT: 'zk:2181'}",
            ["1", "1@kafka:9093", "PLAINTEXT://0.0.0.0:9092,CONTROLLER://:9093", "PLAINTEXT://kafka:9092"],
        ),
        (
            "strimzi's command",
            "image: quay.io/strimzi/kafka:0.40.0-kafka-3.7.0\n    command: ['sh', '-c', 'bin/kafka-server-start.sh \
             config/server.properties --override listeners=$${KAFKA_LISTENERS} --override \
             advertised.listeners=$${KAFKA_ADVERTISED_LISTENERS} --override zookeeper.connect=$${ZK:-zk:2181}']\n    \
             environment: {KAFKA_LISTENERS: 'PLAINTEXT://0.0.0.0:9092', KAFKA_ADVERTISED_LISTENERS: \
             'PLAINTEXT://localhost:9092'}\n    ports: ['9092:9092']",
            [
                "0",
                "0@kafka:9093",
                "PLAINTEXT://0.0.0.0:9092,CONTROLLER://:9093",
                "PLAINTEXT://localhost:9092",
            ],
        ),
    ] {
        let cluster = cluster(&format!("services:\n  zk: {{image: zookeeper}}\n  kafka:\n    {service}\n"));
        let mut found = settings(&cluster, &keys);
        if expected[3] == "-" {
            found[3] = "-";
        }
        assert_eq!(found, expected, "{why}");
        assert!(cluster.nodes[0].ignores_command, "{why}");
        let factors = cluster.diagnostics.iter().filter(|found| found.code == Code::ReplicationFactor);
        assert_eq!(factors.count(), 0, "{why}");
        let zk = cluster.diagnostics.iter().filter(|found| found.code == Code::ZooKeeperMode);
        assert_eq!(zk.map(|found| found.severity).collect::<Vec<_>>(), [Severity::Warning], "{why}");
    }
}

#[test]
fn ensembles_apart_are_quorums_apart_and_a_server_that_others_ask_stays() {
    let other = broker("two", 2, "").replace("zookeeper:2181", "zookeeper:2181/two");
    let text = file(&[SERVER, &broker("one", 1, ""), &other]);
    let apart = cluster(&text);
    assert_eq!(apart.quorums, [vec![0], vec![1]]);
    assert_eq!(apart.unneeded, ["zookeeper"]);

    let solr = "  solr: {image: solr, environment: {ZK_HOST: 'zookeeper:2181'}}\n";
    let shared = cluster(&file(&[SERVER, &broker("one", 1, ""), solr]));
    assert!(shared.unneeded.is_empty());
}

#[test]
fn a_broker_on_its_way_to_kraft_is_refused_with_its_own_values() {
    let moving = broker(
        "one",
        1,
        "      KAFKA_CONTROLLER_QUORUM_VOTERS: 9@c:9093\n      KAFKA_ZOOKEEPER_METADATA_MIGRATION_ENABLE: 'true'\n",
    );
    let cluster = cluster(&file(&[SERVER, &moving]));
    let found =
        cluster.diagnostics.iter().find(|found| found.code == Code::ZooKeeperMode).expect("it is told");
    assert_eq!(found.severity, Severity::Error);
    let help = found.help.clone().unwrap_or_default();
    assert!(
        help.contains("KAFKA_NODE_ID=1") && help.contains("KAFKA_CONTROLLER_QUORUM_VOTERS=9@c:9093"),
        "{help}"
    );
}

#[test]
fn a_node_is_known_by_what_it_says() {
    let kraft = "environment: {KAFKA_PROCESS_ROLES: 'broker,controller', KAFKA_NODE_ID: 1, \
        KAFKA_CONTROLLER_QUORUM_VOTERS: '1@k:9093', KAFKA_LISTENERS: 'PLAINTEXT://:9092,CONTROLLER://:9093', \
        KAFKA_CONTROLLER_LISTENER_NAMES: CONTROLLER}";
    for (image, service, expected) in [
        ("my-kafka:1", kraft, Some(Provider::Apache)),
        ("wurstmeister/kafka", kraft, Some(Provider::Apache)),
        ("quay.io/debezium/kafka:2.7", "environment: {CLUSTER_ID: a, NODE_ID: 1}", Some(Provider::Apache)),
        (
            "quay.io/strimzi/kafka:latest",
            "command: sh -c 'bin/kafka-storage.sh format -t $$(bin/kafka-storage.sh random-uuid) -c \
             config/kraft/server.properties && bin/kafka-server-start.sh config/kraft/server.properties'",
            Some(Provider::Apache),
        ),
        ("redpandadata/redpanda", "command: redpanda start --kafka-addr PLAINTEXT://0.0.0.0:9092", None),
        ("app", "environment: {KAFKA_ZOOKEEPER_CONNECT: 'zk:2181'}", None),
        ("app", "environment: {KAFKA_NODE_ID: 1, KAFKA_LISTENERS: a}", None),
        ("wurstmeister/zookeeper", "tty: true", None),
    ] {
        let cluster = cluster(&format!("services:\n  k:\n    image: {image}\n    {service}\n"));
        assert_eq!(cluster.nodes.first().map(|node| node.provider), expected, "{image}");
        assert_eq!(said(&cluster, Severity::Error), "", "{image}");
        for node in &cluster.nodes {
            assert_eq!((node.node_id, node.roles.broker, node.roles.controller), (1, true, true), "{image}");
        }
    }
}
