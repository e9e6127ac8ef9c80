//! What each image makes of its environment and its mounted files.

use std::collections::BTreeMap;
use std::sync::Arc;

use jackdaw_compose::{Code, Source};
use jackdaw_conventions::{Cluster, Files, NodePlan, Provider, entrypoint};

use crate::{cluster, project};

#[test]
fn images_are_known_by_the_end_of_their_name() {
    let table = [
        ("bitnami/kafka", Some(Provider::Bitnami)),
        ("bitnami/kafka:3.7.0", Some(Provider::Bitnami)),
        ("docker.io/bitnami/kafka:latest", Some(Provider::Bitnami)),
        ("public.ecr.aws/bitnami/kafka:3.5.1", Some(Provider::Bitnami)),
        ("bitnamilegacy/kafka:3.7", Some(Provider::Bitnami)),
        ("registry.local:5000/mirror/bitnami/kafka:3", Some(Provider::Bitnami)),
        ("apache/kafka:3.7.0@sha256:00", Some(Provider::Apache)),
        ("apache/kafka-native:3.8.0", Some(Provider::Apache)),
        ("confluentinc/cp-kafka:7.6.0", Some(Provider::Confluent)),
        ("confluentinc/cp-server", Some(Provider::Confluent)),
        ("confluentinc/confluent-local:7.5.0", Some(Provider::Confluent)),
        ("bitnami/kafka-exporter", None),
        ("bitnami/zookeeper", None),
        ("confluentinc/cp-schema-registry:7.6.0", None),
        ("provectuslabs/kafka-ui", None),
        ("kafka", None),
        ("kafka:3.7", None),
    ];
    for (image, expected) in table {
        assert_eq!(Provider::of_image(image), expected, "{image}");
    }
}

/// Files by path.
struct Shown(BTreeMap<&'static str, &'static str>);

impl Files for Shown {
    fn read(&self, path: &str) -> Option<Arc<Source>> {
        self.0.get(path).map(|text| Source::new(path, *text))
    }
}

fn node(provider: Provider, env: &[(&str, &str)], files: &[(&'static str, &'static str)]) -> NodePlan {
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    entrypoint(provider, env, &Shown(files.iter().copied().collect()))
}

fn get<'a>(node: &'a NodePlan, key: &str) -> &'a str {
    node.properties.get(key).unwrap_or("-")
}

const KRAFT: [(&str, &str); 5] = [
    ("KAFKA_CFG_PROCESS_ROLES", "controller,broker"),
    ("KAFKA_CFG_NODE_ID", "1"),
    ("KAFKA_CFG_CONTROLLER_QUORUM_VOTERS", "1@localhost:9093"),
    ("KAFKA_CFG_LISTENERS", "PLAINTEXT://:9092,CONTROLLER://:9093"),
    ("KAFKA_CFG_CONTROLLER_LISTENER_NAMES", "CONTROLLER"),
];

fn kraft(more: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    KRAFT.into_iter().chain(more.iter().copied()).collect()
}

#[test]
fn bitnami_names_become_properties() {
    let node = node(
        Provider::Bitnami,
        &kraft(&[
            ("KAFKA_CFG_LISTENER_NAME_SASL_PLAINTEXT_PLAIN_SASL_JAAS_CONFIG", "verbatim = x"),
            ("KAFKA_CFG_LISTENER_NAME_SASL_SSL_CONNECTIONS_MAX_REAUTH_MS", "5"),
            ("KAFKA_CFG_MESSAGE_MAX_BYTES", "5"),
            ("KAFKA_MAX_MESSAGE_BYTES", "6"),
            ("KAFKA_CFG_NUM_PARTITIONS", "2"),
            ("KAFKA_NUM_PARTITIONS", "7"),
            ("KAFKA_HEAP_OPTS", "-Xmx1g"),
            ("OTHER", "x"),
        ]),
        &[],
    );
    let table = [
        ("listener.name.sasl_plaintext.plain.sasl.jaas.config", "verbatim = x"),
        ("listener.name.sasl_ssl.connections.max.reauth.ms", "5"),
        ("message.max.bytes", "6"),
        ("num.partitions", "7"),
        ("offsets.topic.replication.factor", "1"),
        ("transaction.state.log.min.isr", "1"),
        ("log.dirs", "/bitnami/kafka/data"),
        ("heap.opts", "-"),
    ];
    for (key, expected) in table {
        assert_eq!(get(&node, key), expected, "{key}");
    }
    assert_eq!(node.user, "1001:0");
    let codes: Vec<Code> = node.diagnostics.iter().map(|found| found.code).collect();
    assert_eq!(codes, [Code::MeaninglessVariable], "{:#?}", node.diagnostics);
}

#[test]
fn bitnami_secrets_come_from_files_and_a_mounted_file_silences_the_environment() {
    let env =
        kraft(&[("KAFKA_KRAFT_CLUSTER_ID_FILE", "/run/secrets/id"), ("KAFKA_CFG_NODE_ID_FILE", "/none")]);
    let with_secret = node(Provider::Bitnami, &env, &[("/run/secrets/id", "HsDBs9l6UUmQq7Y5E6bNlw\n")]);
    assert_eq!(with_secret.cluster_id.map(|id| id.value), Some(String::from("HsDBs9l6UUmQq7Y5E6bNlw")));
    assert_eq!(with_secret.diagnostics.iter().map(|d| d.code).collect::<Vec<_>>(), [Code::SecretFile]);

    let file = "process.roles=controller,broker\nnode.id=7\ncontroller.quorum.voters=7@localhost:9093\n\
                listeners=PLAINTEXT://:9092,CONTROLLER://:9093\ncontroller.listener.names=CONTROLLER\n";
    let mounted = node(Provider::Bitnami, &kraft(&[]), &[("/bitnami/kafka/config/server.properties", file)]);
    assert_eq!(mounted.node_id, 7);
    assert_eq!(get(&mounted, "num.partitions"), "-");
    assert_eq!(mounted.diagnostics.iter().map(|d| d.code).collect::<Vec<_>>(), [Code::EnvironmentIgnored]);
}

#[test]
fn bitnami_users_become_jaas_lines() {
    let env = kraft(&[
        ("KAFKA_CFG_LISTENER_SECURITY_PROTOCOL_MAP", "CONTROLLER:PLAINTEXT,PLAINTEXT:SASL_PLAINTEXT"),
        ("KAFKA_CFG_INTER_BROKER_LISTENER_NAME", "PLAINTEXT"),
        ("KAFKA_CFG_SASL_ENABLED_MECHANISMS", "PLAIN,SCRAM-SHA-256"),
        ("KAFKA_INTER_BROKER_USER", "b"),
        ("KAFKA_INTER_BROKER_PASSWORD", "bp"),
        ("KAFKA_CLIENT_USERS", "c,d"),
        ("KAFKA_CLIENT_PASSWORDS", "cp,dp"),
    ]);
    let node = node(Provider::Bitnami, &env, &[]);
    assert_eq!(
        get(&node, "listener.name.plaintext.plain.sasl.jaas.config"),
        "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"b\" password=\"bp\" \
         user_c=\"cp\" user_d=\"dp\" user_b=\"bp\";"
    );
    assert!(
        get(&node, "listener.name.plaintext.scram-sha-256.sasl.jaas.config").contains("ScramLoginModule")
    );
}

#[test]
fn older_bitnami_images_run_alone_where_nothing_is_said() {
    let nodes = |tag: &str| cluster(&format!("services: {{k: {{image: \"bitnami/kafka:{tag}\"}}}}")).nodes;
    assert_eq!(nodes("3.5.1")[0].node_id, 1);
    assert!(nodes("3.5.1")[0].diagnostics.is_empty());
    assert_eq!(nodes("3.7.0")[0].diagnostics[0].code, Code::MissingSetting);
}

#[test]
fn apache_names_become_properties_with_dashes_and_underscores() {
    let env = [
        ("KAFKA_PROCESS_ROLES", "broker,controller"),
        ("KAFKA_NODE_ID", "1"),
        ("KAFKA_CONTROLLER_QUORUM_VOTERS", "1@localhost:9093"),
        ("KAFKA_LISTENERS", "PLAINTEXT://:9092,CONTROLLER://:9093"),
        ("KAFKA_ADVERTISED_LISTENERS", "PLAINTEXT://k:9092"),
        ("KAFKA_CONTROLLER_LISTENER_NAMES", "CONTROLLER"),
        ("KAFKA_A_B__C___D", "x"),
        ("KAFKA_HEAP_OPTS", "-Xmx1g"),
        ("KAFKA_OPTS", "-D"),
    ];
    let plan = node(Provider::Apache, &env, &[]);
    for (key, expected) in
        [("a.b_c-d", "x"), ("heap.opts", "-Xmx1g"), ("opts", "-"), ("log.dirs", "/tmp/kafka-logs")]
    {
        assert_eq!(get(&plan, key), expected, "{key}");
    }
    let confluent = node(Provider::Confluent, &env, &[]);
    for (key, expected) in
        [("a.b_c-d", "x"), ("heap.opts", "-"), ("opts", "-"), ("log.dirs", "/var/lib/kafka/data")]
    {
        assert_eq!(get(&confluent, key), expected, "{key}");
    }
}

#[test]
fn apache_has_a_configuration_of_its_own_until_one_variable_is_set() {
    let alone = node(Provider::Apache, &[("CLUSTER_ID", ""), ("PATH", "/bin")], &[]);
    assert_eq!(alone.node_id, 1);
    assert_eq!(get(&alone, "log.dirs"), "/tmp/kraft-combined-logs");
    assert_eq!(alone.cluster_id.as_ref().map(|id| id.value.as_str()), Some("5L6g3nShT-eMCtK--X86sw"));
    assert!(alone.diagnostics.is_empty(), "{:#?}", alone.diagnostics);

    let lost = node(Provider::Apache, &[("KAFKA_HEAP_OPTS", "-Xmx1g")], &[]);
    assert_eq!(lost.diagnostics[0].code, Code::MissingSetting);

    let file = [(
        "/mnt/shared/config/server.properties",
        "process.roles=broker,controller\nnode.id=4\nnum.partitions=2\n",
    )];
    let mounted = node(Provider::Apache, &[("KAFKA_NUM_PARTITIONS", "9")], &file);
    assert_eq!((get(&mounted, "node.id"), get(&mounted, "num.partitions")), ("4", "9"));
}

#[test]
fn listeners_follow_the_advertised_ones_where_they_are_not_set() {
    let env = [("KAFKA_PROCESS_ROLES", "broker"), ("KAFKA_ADVERTISED_LISTENERS", "A://h:1,B://localhost:2")];
    for provider in [Provider::Apache, Provider::Confluent] {
        assert_eq!(get(&node(provider, &env, &[]), "listeners"), "A://0.0.0.0:1,B://0.0.0.0:2", "{provider}");
    }
}

#[test]
fn files_are_found_through_mounts_secrets_and_configs() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    std::fs::create_dir(dir.path().join("conf")).expect("a folder");
    let file = "process.roles=broker,controller\nnode.id=4\n";
    std::fs::write(dir.path().join("conf/server.properties"), file).expect("a file");
    let text = "services:\n  a: {image: \"apache/kafka:3.7.0\", volumes: [\"./conf:/mnt/shared/config\"]}\n  \
                b: {image: \"apache/kafka:3.7.0\", configs: [{source: c, target: /mnt/shared/config/server.properties}]}\n\
                configs: {c: {content: \"process.roles=broker,controller\\nnode.id=5\"}}\n";
    let cluster = Cluster::of(&project(dir.path(), text));
    let ids: Vec<i32> = cluster.nodes.iter().map(|node| node.node_id).collect();
    assert_eq!(ids, [4, 5]);
    let place = cluster.nodes[0].properties.span("node.id").position().expect("it is in a file");
    assert_eq!(place.to_string(), "conf/server.properties:2:9");
}

#[test]
fn an_environment_says_whose_conventions_it_follows() {
    for (names, expected) in [
        (&["KAFKA_CFG_NODE_ID", "PATH"][..], Provider::Bitnami),
        (&["ALLOW_PLAINTEXT_LISTENER", "KAFKA_NODE_ID"], Provider::Bitnami),
        (&["CLUSTER_ID", "KAFKA_NODE_ID"], Provider::Apache),
        (&["KAFKA_CONFLUENT_SUPPORT_METRICS_ENABLE", "KAFKA_NODE_ID"], Provider::Confluent),
        (&["PATH", "HOME"], Provider::Apache),
    ] {
        assert_eq!(Provider::of_environment(names.iter().copied()), expected, "{names:?}");
    }
}

#[test]
fn inside_a_container_each_variable_that_has_no_effect_is_named() {
    let said = |provider, env: &[(&str, &str)]| -> Vec<String> {
        let node = node(provider, env, &[]);
        let help = |d: &jackdaw_compose::Diagnostic| d.help.clone().unwrap_or_default();
        node.diagnostics.iter().map(|d| format!("{}: {}", d.message, help(d))).collect()
    };
    let misspelt = said(Provider::Bitnami, &kraft(&[("KAFKA_KRAFT_CLTER_ID", "HsDBs9l6UUmQq7Y5E6bNlw")]));
    assert_eq!(misspelt.len(), 1, "{misspelt:?}");
    assert!(misspelt[0].starts_with("the bitnami image does not know KAFKA_KRAFT_CLTER_ID: did you mean"));
    let foreign = said(Provider::Apache, &[("KAFKA_CFG_NODE_ID", "1")]);
    assert!(
        foreign.iter().any(|line| line.contains("does not read KAFKA_CFG_NODE_ID: write KAFKA_NODE_ID")),
        "{foreign:?}"
    );
    let heap = said(Provider::Bitnami, &kraft(&[("KAFKA_HEAP_OPTS", "-Xmx1g"), ("PATH", "/bin")]));
    assert_eq!(heap, ["KAFKA_HEAP_OPTS has no meaning here: there is no Java virtual machine: "]);
}

#[test]
fn a_broker_with_a_zookeeper_of_its_own_is_its_own_controller() {
    let env = |zookeeper: &'static str| {
        [
            ("KAFKA_BROKER_ID", "1"),
            ("KAFKA_ZOOKEEPER_CONNECT", zookeeper),
            ("KAFKA_LISTENERS", "PLAINTEXT://0.0.0.0:9093,BROKER://0.0.0.0:9092"),
            ("KAFKA_ADVERTISED_LISTENERS", "PLAINTEXT://localhost:32768,BROKER://here:9092"),
            ("KAFKA_LISTENER_SECURITY_PROTOCOL_MAP", "BROKER:PLAINTEXT,PLAINTEXT:PLAINTEXT"),
            ("KAFKA_INTER_BROKER_LISTENER_NAME", "BROKER"),
        ]
    };
    let alone = node(Provider::Confluent, &env("localhost:2181/kafka"), &[]);
    for (key, expected) in [
        ("zookeeper.connect", "-"),
        ("process.roles", "broker,controller"),
        ("node.id", "1"),
        ("controller.quorum.voters", "1@localhost:2181"),
        ("listeners", "PLAINTEXT://0.0.0.0:9093,BROKER://0.0.0.0:9092,CONTROLLER://localhost:2181"),
        ("listener.security.protocol.map", "BROKER:PLAINTEXT,PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"),
    ] {
        assert_eq!(get(&alone, key), expected, "{key}");
    }
    let codes = |node: &NodePlan| node.diagnostics.iter().map(|found| found.code).collect::<Vec<_>>();
    assert_eq!(codes(&alone), [Code::ZooKeeperInside], "{:#?}", alone.diagnostics);
    for shared in ["zookeeper:2181", "localhost:2181,zookeeper:2181", "localhost"] {
        assert_eq!(codes(&node(Provider::Confluent, &env(shared), &[])), [Code::ZooKeeperMode], "{shared}");
    }
}

#[test]
fn a_broker_that_is_started_by_hand_has_the_settings_of_its_file() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let settings = "process.roles=broker,controller\nnode.id=7\ncontroller.quorum.voters=7@k:9093\n\
                    listeners=PLAINTEXT://:9092,CONTROLLER://:9093\ncontroller.listener.names=CONTROLLER\n";
    std::fs::write(dir.path().join("k.properties"), settings).expect("a file");
    for (command, expected) in [
        ("/opt/kafka/bin/kafka-server-start.sh /etc/k.properties", 7),
        (
            "bash -c \"kafka-storage.sh format -t x -c /etc/k.properties; exec kafka-server-start.sh /etc/k.properties\"",
            7,
        ),
        ("kafka-server-start.sh /opt/kafka/config/server.properties", 1),
    ] {
        let text = format!(
            "services: {{k: {{image: apache/kafka, command: '{command}', volumes: ['./k.properties:/etc/k.properties']}}}}"
        );
        let cluster = Cluster::of(&project(dir.path(), &text));
        assert_eq!(cluster.nodes[0].node_id, expected, "{command}");
    }
}

#[test]
fn confluent_local_starts_a_node_where_nothing_is_said() {
    for (environment, advertised, id) in [
        ("{}", "PLAINTEXT://localhost:29092", "4L6g3nShT-eMCtK--X86sw"),
        (
            "{KAFKA_ADVERTISED_LISTENERS: 'PLAINTEXT://k:29092,PLAINTEXT_HOST://localhost:9092', CLUSTER_ID: mine}",
            "PLAINTEXT://k:29092",
            "mine",
        ),
    ] {
        let cluster = cluster(&format!(
            "services: {{k: {{image: 'confluentinc/confluent-local:7.5.0', ports: ['9092:9092'], \
             environment: {environment}}}}}"
        ));
        assert!(!jackdaw_compose::has_errors(&cluster.diagnostics), "{:#?}", cluster.diagnostics);
        let node = &cluster.nodes[0];
        assert_eq!(node.advertised[0].to_string(), advertised);
        assert_eq!(node.cluster_id.as_ref().map(|given| given.value.as_str()), Some(id));
    }
}
