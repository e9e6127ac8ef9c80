//! Every trap that is told before a start: a good file, one thing changed, and what is said.

use std::collections::BTreeSet;

use jackdaw_compose::{Code, Severity};

use crate::{cluster, said};

/// Two good nodes: a controller that is a broker, too, and a broker. Nothing is said of them but that no
/// `replication.factor` above two may be asked for.
const GOOD: &str = r#"services:
  one:
    image: apache/kafka:3.7.0
    ports: ["19092:19092"]
    environment:
      CLUSTER_ID: HsDBs9l6UUmQq7Y5E6bNlw
      KAFKA_NODE_ID: 1
      KAFKA_PROCESS_ROLES: broker,controller
      KAFKA_CONTROLLER_QUORUM_VOTERS: 1@one:9093
      KAFKA_LISTENERS: INTERNAL://:9092,HOST://:19092,CONTROLLER://:9093
      KAFKA_ADVERTISED_LISTENERS: INTERNAL://one:9092,HOST://localhost:19092
      KAFKA_LISTENER_SECURITY_PROTOCOL_MAP: INTERNAL:PLAINTEXT,HOST:PLAINTEXT,CONTROLLER:PLAINTEXT
      KAFKA_CONTROLLER_LISTENER_NAMES: CONTROLLER
      KAFKA_INTER_BROKER_LISTENER_NAME: INTERNAL
      KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR: 2
      KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR: 2
      KAFKA_LOG_DIRS: /var/lib/kafka/data
    volumes: ["data1:/var/lib/kafka/data"]
  two:
    image: confluentinc/cp-kafka:7.7.0
    ports: ["29092:29092"]
    environment:
      CLUSTER_ID: HsDBs9l6UUmQq7Y5E6bNlw
      KAFKA_NODE_ID: 2
      KAFKA_PROCESS_ROLES: broker
      KAFKA_CONTROLLER_QUORUM_VOTERS: 1@one:9093
      KAFKA_LISTENERS: INTERNAL://:9092,HOST://:29092
      KAFKA_ADVERTISED_LISTENERS: INTERNAL://two:9092,HOST://localhost:29092
      KAFKA_LISTENER_SECURITY_PROTOCOL_MAP: INTERNAL:PLAINTEXT,HOST:PLAINTEXT,CONTROLLER:PLAINTEXT
      KAFKA_CONTROLLER_LISTENER_NAMES: CONTROLLER
      KAFKA_INTER_BROKER_LISTENER_NAME: INTERNAL
      KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR: 2
      KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR: 2
    volumes: ["data2:/var/lib/kafka/data"]
  app:
    image: app
    environment: {BOOTSTRAP: "one:9092,two:9092"}
volumes: {data1: , data2: }
"#;

/// Name, what is replaced, by what. An empty replacement of a whole line removes it.
const TRAPS: &[(&str, &str, &str)] = &[
    ("nothing", "", ""),
    (
        "a misspelt variable",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR",
        "KAFKA_OFSETS_TOPIC_REPLICATION_FACTOR",
    ),
    (
        "a variable of the JVM",
        "CLUSTER_ID: HsDBs9l6UUmQq7Y5E6bNlw\n      KAFKA_NODE_ID: 2",
        "CLUSTER_ID: HsDBs9l6UUmQq7Y5E6bNlw\n      KAFKA_HEAP_OPTS: -Xmx1g\n      KAFKA_NODE_ID: 2",
    ),
    ("bitnami's variable on an apache image", "KAFKA_LOG_DIRS", "KAFKA_CFG_LOG_DIRS"),
    ("apache's variables on a bitnami image", "apache/kafka:3.7.0", "bitnami/kafka:3.7.0"),
    ("ZooKeeper", "KAFKA_PROCESS_ROLES: broker\n", "KAFKA_ZOOKEEPER_CONNECT: zk:2181\n"),
    ("no roles", "      KAFKA_PROCESS_ROLES: broker,controller\n", ""),
    ("an unknown role", "broker,controller", "broker,contoller"),
    ("no id", "      KAFKA_NODE_ID: 2\n", ""),
    (
        "no voters",
        "KAFKA_NODE_ID: 2\n      KAFKA_PROCESS_ROLES: broker\n      KAFKA_CONTROLLER_QUORUM_VOTERS: 1@one:9093\n",
        "KAFKA_NODE_ID: 2\n      KAFKA_PROCESS_ROLES: broker\n",
    ),
    ("two ids in one", "KAFKA_NODE_ID: 2", "KAFKA_NODE_ID: 2\n      KAFKA_BROKER_ID: 3"),
    ("an id that is none", "CLUSTER_ID: HsDBs9l6UUmQq7Y5E6bNlw", "CLUSTER_ID: my-cluster"),
    (
        "no cluster id",
        "      CLUSTER_ID: HsDBs9l6UUmQq7Y5E6bNlw\n      KAFKA_NODE_ID: 2",
        "      KAFKA_NODE_ID: 2",
    ),
    (
        "different cluster ids",
        "CLUSTER_ID: HsDBs9l6UUmQq7Y5E6bNlw\n      KAFKA_NODE_ID: 2",
        "CLUSTER_ID: 5L6g3nShT-eMCtK--X86sw\n      KAFKA_NODE_ID: 2",
    ),
    ("a broken listener", "HOST://:29092", "HOST:29092"),
    (
        "no protocol for a name",
        "INTERNAL:PLAINTEXT,HOST:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "INTERNAL:PLAINTEXT,HOST:PLAINTEXT",
    ),
    ("TLS", "HOST:PLAINTEXT", "HOST:SSL"),
    ("a protocol that is none", "HOST:PLAINTEXT", "HOST:PLAIN"),
    ("a controller that is no voter", "1@one:9093", "3@one:9093"),
    ("a broker that is a voter", "1@one:9093", "1@one:9093,2@two:9093"),
    ("one id twice", "KAFKA_NODE_ID: 2", "KAFKA_NODE_ID: 1"),
    ("an advertised port that is another's", "\"29092:29092\"", "\"39092:29092\""),
    ("an advertised port that is not published", "    ports: [\"29092:29092\"]\n", ""),
    ("localhost between brokers", "INTERNAL://two:9092", "INTERNAL://localhost:9092"),
    ("localhost for a container", "two:9092\"}", "two:29092\"}"),
    ("the controller advertised", "HOST://localhost:19092", "HOST://localhost:19092,CONTROLLER://one:9093"),
    (
        "no inter-broker listener",
        "KAFKA_INTER_BROKER_LISTENER_NAME: INTERNAL",
        "KAFKA_INTER_BROKER_LISTENER_NAME: BROKER",
    ),
    ("the implied inter-broker listener", "      KAFKA_INTER_BROKER_LISTENER_NAME: INTERNAL\n", ""),
    ("a voter that has no name here", "1@one:9093", "1@kafka-one:9093"),
    ("a voter's port", "1@one:9093", "1@one:9094"),
    (
        "other voters",
        "KAFKA_NODE_ID: 2\n      KAFKA_PROCESS_ROLES: broker\n      KAFKA_CONTROLLER_QUORUM_VOTERS: 1@one:9093",
        "KAFKA_NODE_ID: 2\n      KAFKA_PROCESS_ROLES: broker\n      KAFKA_CONTROLLER_QUORUM_VOTERS: 1@one:9093,5@elsewhere.example:9093",
    ),
    (
        "more replicas than brokers",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR: 2",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR: 3",
    ),
    ("more replicas than brokers, unsaid", "      KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR: 2\n", ""),
    ("more in sync than there are", "KAFKA_LOG_DIRS", "KAFKA_MIN_INSYNC_REPLICAS: 2\n      KAFKA_LOG_DIRS"),
    ("a volume beside the data", "      KAFKA_LOG_DIRS: /var/lib/kafka/data\n", ""),
    ("one volume for two", "data2:/var", "data1:/var"),
    ("an internal port published", "\"19092:19092\"", "\"19092:19092\", \"9092:9092\""),
    ("one port for two listeners", "HOST://:29092", "HOST://:9092"),
    ("advertised without listening", "INTERNAL://:9092,HOST://:29092", "INTERNAL://:9092"),
    ("no controller listener", ",CONTROLLER://:9093", ""),
    ("no controller listener names", "      KAFKA_CONTROLLER_LISTENER_NAMES: CONTROLLER\n", ""),
    ("a controller listener on a broker", "HOST://:29092", "HOST://:29092,CONTROLLER://:9093"),
    ("one address for two", "HOST://localhost:29092", "HOST://localhost:19092"),
    ("no address", "INTERNAL://two:9092", "INTERNAL://0.0.0.0:9092"),
    ("an address that nobody has", "INTERNAL://two:9092", "INTERNAL://tow:9092"),
    (
        "several of one",
        "image: confluentinc/cp-kafka:7.7.0",
        "image: confluentinc/cp-kafka:7.7.0\n    scale: 2",
    ),
    ("another version", "cp-kafka:7.7.0", "cp-kafka:8.0.0"),
    ("a value that came to nothing", "KAFKA_PROCESS_ROLES: broker\n", "KAFKA_PROCESS_ROLES: ${ROLES}\n"),
    (
        "roles under bitnami's name",
        "KAFKA_PROCESS_ROLES: broker,controller",
        "KAFKA_CFG_PROCESS_ROLES: broker,controller",
    ),
    ("a controller's port that the system chooses", "CONTROLLER://:9093", "CONTROLLER://:0"),
    ("an image to be built", "image: apache/kafka:3.7.0", "build: ."),
    ("an image that came to nothing", "image: apache/kafka:3.7.0", "image: ${IMAGE}"),
    ("a Kafka of somebody else", "confluentinc/cp-kafka:7.7.0", "ghcr.io/acme/kafka:7"),
    (
        "a mounted file that is not there",
        "\"data2:/var/lib/kafka/data\"",
        "\"data2:/var/lib/kafka/data\", \"./jaas.conf:/etc/kafka/jaas.conf\"",
    ),
    (
        "bootstrap servers and no voters",
        "KAFKA_CONTROLLER_QUORUM_VOTERS: 1@one:9093",
        "KAFKA_CONTROLLER_QUORUM_BOOTSTRAP_SERVERS: one:9093",
    ),
    ("a host without a name", "INTERNAL://two:9092", "INTERNAL://:9092"),
    (
        "a broken listener before the brokers'",
        "INTERNAL://:9092,HOST://:29092",
        "INTERNAL:9092,HOST://:29092",
    ),
    ("a published port without a listener", "[\"29092:29092\"]", "[\"29092:29092\", \"8090:8090\"]"),
    (
        "a port of the JVM's",
        "[\"29092:29092\"]\n    environment:",
        "[\"29092:29092\", \"9101:9101\"]\n    environment:\n      KAFKA_JMX_PORT: 9101",
    ),
    ("a published listener on loopback", "HOST://:29092", "HOST://localhost:29092"),
    ("a controller on loopback", "CONTROLLER://:9093", "CONTROLLER://127.0.0.1:9093"),
    (
        "a command that makes its settings",
        "image: apache/kafka:3.7.0",
        "image: apache/kafka:3.7.0\n    command: bash -c 'make > /tmp/x; kafka-server-start.sh /tmp/x'",
    ),
];

fn changed(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "the good file has no {from}");
    if from.is_empty() { GOOD.to_owned() } else { GOOD.replace(from, to) }
}

#[test]
fn each_trap_is_told_with_its_place() {
    let mut out = String::new();
    for (name, from, to) in TRAPS {
        let found = said(&cluster(&changed(from, to)), Severity::Hint);
        let lines: String = found.lines().map(|line| format!("  {line}\n")).collect();
        out.push_str(&format!("{name}\n{}\n", if lines.is_empty() { "  nothing\n" } else { &lines }));
    }
    insta::assert_snapshot!(out);
}

#[test]
fn every_code_about_nodes_and_clusters_is_raised_by_some_file() {
    let raised: BTreeSet<Code> = TRAPS
        .iter()
        .flat_map(|(_, from, to)| cluster(&changed(from, to)).diagnostics)
        .map(|diagnostic| diagnostic.code)
        .collect();
    // Raised by files and secrets that a text alone cannot have, or only inside a container; see `images`.
    let elsewhere = [
        Code::SecretFile,
        Code::EnvironmentIgnored,
        Code::InvalidProperties,
        Code::ZooKeeperInside,
        Code::UnreadSettings,
    ];
    let missing: Vec<String> = Code::ALL
        .iter()
        .filter(|code| {
            (100..300).contains(&code.number()) && !raised.contains(code) && !elsewhere.contains(code)
        })
        .map(|code| format!("{code} {}", code.title()))
        .collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn some_traps_are_drawn_whole() {
    let drawn = |name: &str| -> String {
        let (_, from, to) = TRAPS.iter().find(|(n, _, _)| *n == name).expect("it is in the table");
        cluster(&changed(from, to)).diagnostics.iter().map(|d| d.render(false, 110)).collect()
    };
    let names = [
        "ZooKeeper",
        "an advertised port that is another's",
        "localhost for a container",
        "a volume beside the data",
    ];
    insta::assert_snapshot!(names.map(drawn).join("\n"));
}

#[test]
fn nodes_on_the_hosts_network_may_use_localhost() {
    let mut text = String::from("services:\n");
    for id in 1..=3 {
        text.push_str(&format!(
            "  k{id}:\n    image: confluentinc/cp-kafka:7.7.0\n    network_mode: host\n    environment:\n      \
             CLUSTER_ID: HsDBs9l6UUmQq7Y5E6bNlw\n      KAFKA_NODE_ID: {id}\n      KAFKA_PROCESS_ROLES: broker,controller\n      \
             KAFKA_CONTROLLER_QUORUM_VOTERS: |\n        1@localhost:19093,\n        2@localhost:29093,\n        3@localhost:39093\n      \
             KAFKA_LISTENERS: PLAINTEXT://:{id}9092,CONTROLLER://:{id}9093\n      \
             KAFKA_ADVERTISED_LISTENERS: PLAINTEXT://localhost:{id}9092\n      KAFKA_CONTROLLER_LISTENER_NAMES: CONTROLLER\n"
        ));
    }
    let cluster = cluster(&text);
    assert_eq!(said(&cluster, Severity::Warning), "");
    assert_eq!(cluster.quorums, [vec![0, 1, 2]]);
}
