//! What is not said: findings that would be true of another file than this one.

use jackdaw_compose::{Code, LoadOptions, Severity, load};
use jackdaw_conventions::excuse_others;

use crate::{cluster, said};

/// A node that is advertised inside as its service and on the host's port 29092.
fn advertised(service: &str, others: &str) -> String {
    format!(
        "services:
  kafka:
    image: apache/kafka:3.7.0
    {service}
    environment:
      KAFKA_NODE_ID: 1
      KAFKA_PROCESS_ROLES: broker,controller
      KAFKA_CONTROLLER_QUORUM_VOTERS: 1@localhost:9093
      KAFKA_LISTENERS: INSIDE://:9092,HOST://:29092,CONTROLLER://:9093
      KAFKA_ADVERTISED_LISTENERS: INSIDE://kafka:9092,HOST://localhost:29092
      KAFKA_LISTENER_SECURITY_PROTOCOL_MAP: INSIDE:PLAINTEXT,HOST:PLAINTEXT,CONTROLLER:PLAINTEXT
      KAFKA_CONTROLLER_LISTENER_NAMES: CONTROLLER
      KAFKA_INTER_BROKER_LISTENER_NAME: INSIDE
      KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR: 1
      KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR: 1
{others}"
    )
}

#[test]
fn an_advertised_port_that_somebody_publishes_is_published() {
    for (why, service, others, is_told) in [
        ("it is not published", "ports: ['9092:9092']", "", true),
        ("it is published", "ports: ['29092:29092']", "", false),
        ("a proxy does", "ports: ['9092:9092']", "  proxy: {image: nginx, ports: ['29092:1']}\n", false),
        ("nothing is", "tty: true", "", true),
        (
            "whose network it has does",
            "network_mode: service:net",
            "  net: {image: pause, ports: ['29092:29092']}\n",
            false,
        ),
    ] {
        let cluster = cluster(&advertised(service, others));
        let told = cluster.diagnostics.iter().any(|d| d.code == Code::AdvertisedNotPublished);
        assert_eq!(told, is_told, "{why}: {}", said(&cluster, Severity::Hint));
    }
    let by_itself = advertised("tty: true", "").replace("LISTENER_NAME: INSIDE", "LISTENER_NAME: HOST");
    assert_eq!(said(&cluster(&by_itself), Severity::Hint), "", "it replicates over localhost, alone");
}

#[test]
fn a_listener_that_was_not_understood_is_one_error() {
    let text = advertised("ports: ['29092:29092']", "").replace("INSIDE://:9092", "INSIDE:9092");
    let cluster = cluster(&text);
    let codes: Vec<Code> = cluster.diagnostics.iter().map(|found| found.code).collect();
    assert_eq!(codes, [Code::InvalidListener], "{}", said(&cluster, Severity::Hint));
}

#[test]
fn an_empty_image_of_a_node_is_said_with_what_is_assumed() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let text = advertised("ports: ['29092:29092']", "  app: {image: $NONE}\n")
        .replace("apache/kafka:3.7.0", "$NONE");
    std::fs::write(dir.path().join("compose.yml"), text).expect("a file");
    let options = LoadOptions { working_dir: dir.path().to_path_buf(), ..LoadOptions::default() };
    let mut loaded = load(&options);
    excuse_others(&loaded.project.expect("it loads"), &mut loaded.diagnostics);
    let empty = loaded.diagnostics.iter().filter(|found| found.code == Code::MissingImage);
    assert_eq!(
        empty.map(|found| found.message.clone()).collect::<Vec<_>>(),
        ["the image of `app` is empty: $NONE is not set"]
    );
}

#[test]
fn a_hint_that_nothing_is_to_be_done_about_is_one_line() {
    let text = advertised("ports: ['29092:29092']", "").replace("kafka:3.7.0", "kafka:4.1.0");
    let cluster = cluster(&text);
    let drawn: String = cluster.diagnostics.iter().map(|found| found.render(false, 100)).collect();
    assert_eq!(
        drawn,
        "compose.yml:3:25: hint[JK0113]: apache/kafka:4.1.0 is of another version of Kafka: what runs behaves as Kafka \
         3.7\n"
    );
}

/// Kafka reads protocols in any case (`SecurityProtocol.forName`), and the map's last entry of a name.
#[test]
fn protocols_are_read_as_the_node_reads_them() {
    let text = advertised("ports: ['29092:29092']", "")
        .replace("INSIDE:PLAINTEXT,HOST:PLAINTEXT", "INSIDE:plaintext,HOST:SSL,HOST:Plaintext");
    let cluster = cluster(&text);
    assert!(cluster.diagnostics.is_empty(), "{}", said(&cluster, Severity::Hint));
}
