//! What is mounted or set and has no effect, and remedies that have one.

use jackdaw_compose::{Code, LoadOptions, load};
use jackdaw_conventions::Cluster;

use crate::cluster;

const SETTINGS: &str = "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@localhost:9093\n\
    controller.listener.names=CONTROLLER\nlisteners=PLAINTEXT://:9092,CONTROLLER://:9093\n";

/// A project beside which lies a `server.properties`.
fn beside_settings(image: &str, service: &str) -> Cluster {
    let dir = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(dir.path().join("server.properties"), SETTINGS).expect("a file");
    let text = format!("services:\n  kafka:\n    image: {image}\n    {service}\n");
    std::fs::write(dir.path().join("compose.yml"), text).expect("a file");
    let options = LoadOptions { working_dir: dir.path().to_path_buf(), ..LoadOptions::default() };
    Cluster::of(&load(&options).project.expect("it loads"))
}

#[test]
fn settings_that_no_image_reads_are_told_with_the_place_where_they_would_be() {
    const KRAFT: &str = "environment: {KAFKA_PROCESS_ROLES: 'broker,controller', KAFKA_NODE_ID: 1, \
        KAFKA_CONTROLLER_QUORUM_VOTERS: '1@localhost:9093', KAFKA_ADVERTISED_LISTENERS: 'PLAINTEXT://kafka:9092'}\n    ";
    let mounted = |at: &str| format!("volumes: ['./server.properties:{at}']");
    for (image, service, help) in [
        (
            "apache/kafka",
            mounted("/opt/kafka/config/server.properties"),
            Some("/mnt/shared/config/server.properties"),
        ),
        ("apache/kafka", mounted("/opt/kafka/config/kraft/server.properties"), Some("/mnt/shared/config/")),
        ("apache/kafka", "volumes: ['.:/opt/kafka/config']".to_owned(), Some("/mnt/shared/config/")),
        ("apache/kafka", mounted("/mnt/shared/config/server.properties"), None),
        (
            "bitnami/kafka",
            mounted("/opt/bitnami/kafka/config/server.properties"),
            Some("/bitnami/kafka/config/"),
        ),
        ("bitnami/kafka", mounted("/bitnami/kafka/config/server.properties"), None),
        (
            "confluentinc/cp-kafka",
            KRAFT.to_owned() + &mounted("/etc/kafka/server.properties"),
            Some("kafka-server-start /etc/kafka/server.properties"),
        ),
        (
            "confluentinc/cp-kafka",
            "command: kafka-server-start /etc/kafka/server.properties\n    ".to_owned()
                + &mounted("/etc/kafka/server.properties"),
            None,
        ),
    ] {
        let cluster = beside_settings(image, &service);
        let found = cluster.diagnostics.iter().find(|found| found.code == Code::UnreadSettings);
        let told = found.and_then(|found| found.help.clone());
        assert_eq!(told.is_some(), help.is_some(), "{service}: {told:?}");
        assert!(told.unwrap_or_default().contains(help.unwrap_or_default()), "{service}");
        assert!(found.is_none_or(|found| !found.span.is_nowhere()), "{service}");
    }
}

/// What helps against the first finding of a code.
fn help(cluster: &Cluster, code: Code) -> String {
    let found = cluster.diagnostics.iter().find(|found| found.code == code);
    found.and_then(|found| found.help.clone()).unwrap_or_default()
}

#[test]
fn a_remedy_names_what_has_an_effect() {
    let by_file = beside_settings(
        "bitnami/kafka",
        "volumes: ['./server.properties:/bitnami/kafka/config/server.properties']",
    );
    assert_eq!(help(&by_file, Code::ReplicationFactor), "set offsets.topic.replication.factor=1");

    let by_alias = cluster(
        "services:\n  kafka:\n    image: bitnami/kafka\n    environment:\n      KAFKA_CFG_PROCESS_ROLES: broker,controller\n      \
         KAFKA_CFG_NODE_ID: 1\n      KAFKA_CFG_CONTROLLER_QUORUM_VOTERS: 1@kafka:9093\n      \
         KAFKA_CFG_CONTROLLER_LISTENER_NAMES: CONTROLLER\n      \
         KAFKA_CFG_LISTENERS: PLAINTEXT://:9092,CONTROLLER://:9093\n      KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR: 3\n",
    );
    assert_eq!(help(&by_alias, Code::ReplicationFactor), "set KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR=1");

    let bundled = cluster(
        "services:\n  kafka:\n    image: apache/kafka\n    ports: ['9092:9092']\n    \
         volumes: ['data:/var/lib/kafka/data']\nvolumes: {data: }\n",
    );
    assert_eq!(help(&bundled, Code::VolumeMissesData), "mount it at /tmp/kraft-combined-logs");
}
