//! Whole files: the three-broker cluster with its misspelt id, the one at the root of the repository, and how a
//! quorum comes by its cluster id.

use jackdaw_compose::{Code, LoadOptions, Severity, load};
use jackdaw_conventions::{Cluster, ClusterIdOrigin, Provider, excuse_others};

use crate::{cluster, said};

/// Three brokers as tutorials write them; `extra` stands in each environment.
fn three_brokers(extra: &str) -> String {
    let mut text = String::from("networks:\n  net:\nvolumes:\n  v0:\n  v1:\n  v2:\nservices:\n");
    for id in 0..3 {
        text.push_str(&format!(
            r#"  broker{id}:
    image: bitnami/kafka:3.7.0
    restart: unless-stopped
    ports:
      - '909{port}:9092' # for containers
      - '1000{id}:1000{id}'
    environment:
      # settings
      - KAFKA_CFG_BROKER_ID={id}
      - KAFKA_CFG_NODE_ID={id}
{extra}      - KAFKA_CFG_CONTROLLER_QUORUM_VOTERS=0@broker0:9093,1@broker1:9093,2@broker2:9093
      - KAFKA_CFG_PROCESS_ROLES=controller,broker
      - ALLOW_PLAINTEXT_LISTENER=yes
      - KAFKA_CFG_LISTENERS=PLAINTEXT://:9092,CONTROLLER://:9093,EXTERNAL://:1000{id}
      - KAFKA_CFG_ADVERTISED_LISTENERS=PLAINTEXT://broker{id}:9092,EXTERNAL://localhost:1000{id}
      - KAFKA_CFG_LISTENER_SECURITY_PROTOCOL_MAP=CONTROLLER:PLAINTEXT,EXTERNAL:PLAINTEXT,PLAINTEXT:PLAINTEXT
      - KAFKA_CFG_CONTROLLER_LISTENER_NAMES=CONTROLLER
      - KAFKA_CFG_OFFSETS_TOPIC_REPLICATION_FACTOR=3
    networks:
      - net
    volumes:
      - "v{id}:/bitnami/kafka"
"#,
            port = id + 2
        ));
    }
    text
}

#[test]
fn a_misspelt_cluster_id_is_one_warning_and_the_cluster_is_whole() {
    let cluster = cluster(&three_brokers("      - KAFKA_KRAFT_CLTER_ID=HsDBs9l6UUmQq7Y5E6bNlw\n"));
    let warnings: Vec<_> = cluster.diagnostics.iter().filter(|d| d.severity >= Severity::Warning).collect();
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    assert_eq!(warnings[0].code, Code::NearMissVariable);
    insta::assert_snapshot!(cluster.diagnostics.iter().map(|d| d.render(false, 110)).collect::<String>());

    let ids: Vec<&str> =
        cluster.nodes.iter().filter_map(|n| Some(n.cluster_id.as_ref()?.value.as_str())).collect();
    assert_eq!(ids.len(), 3);
    assert!(ids.iter().all(|id| *id == ids[0] && id.len() == 22), "{ids:?}");
    assert_eq!(cluster.quorums, [vec![0, 1, 2]]);
}

#[test]
fn every_line_of_a_plan_knows_where_it_was_written() {
    let cluster = cluster(&three_brokers(""));
    let node = cluster.node("broker1").expect("it is a node");
    let mut out = String::new();
    for property in node.properties.iter() {
        let place =
            property.origin.span().position().map_or_else(|| String::from("the image"), |at| at.to_string());
        out.push_str(&format!("{}={}  # {place}\n", property.key, property.value));
    }
    out.push_str(&format!("{:?}\n{:?} as {}\n", node.roles, node.data_dirs, node.user));
    insta::assert_snapshot!(out);
}

#[test]
fn the_cluster_of_this_repository_has_nothing_to_warn_of() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let loaded = load(&LoadOptions { working_dir: root, ..LoadOptions::default() });
    assert!(loaded.diagnostics.is_empty(), "{:#?}", loaded.diagnostics);
    let project = loaded.project.expect("it loads");
    let cluster = Cluster::of(&project);
    assert_eq!(said(&cluster, Severity::Warning), "");
    assert_eq!(cluster.quorums, [vec![0, 1, 2]]);
    let advertised: Vec<String> =
        cluster.nodes.iter().flat_map(|n| &n.advertised).map(ToString::to_string).collect();
    assert_eq!(
        advertised,
        [
            "PLAINTEXT://Kafka00Service:9092",
            "EXTERNAL://localhost:10000",
            "PLAINTEXT://Kafka01Service:9092",
            "EXTERNAL://localhost:10001",
            "PLAINTEXT://Kafka02Service:9092",
            "EXTERNAL://localhost:10002",
        ]
    );
    for node in &cluster.nodes {
        assert_eq!(node.provider, Provider::Bitnami);
        assert_eq!(node.cluster_id.as_ref().map(|id| id.value.as_str()), Some("HsDBs9l6UUmQq7Y5E6bNlw"));
        assert_eq!(node.data_dirs[0].path, "/bitnami/kafka/data");
        assert_eq!(node.data_dirs[0].mount, Some(0));
    }
    let names: Vec<&str> =
        project.services.iter().filter_map(|s| Some(s.container_name.as_ref()?.value.as_str())).collect();
    assert_eq!(names, ["Kafka00Container", "Kafka01Container", "Kafka02Container", "KafkaWebUiContainer"]);
}

#[test]
fn a_quorum_has_one_cluster_id_however_it_comes_by_it() {
    let origin = |text: &str| {
        let cluster = cluster(text);
        let id = cluster.nodes[2].cluster_id.clone().expect("there is one");
        let kind = match id.origin {
            ClusterIdOrigin::Given(_) => "given",
            ClusterIdOrigin::Image => "image",
            ClusterIdOrigin::Derived => "derived",
        };
        assert!(cluster.nodes.iter().all(|n| n.cluster_id.as_ref().map(|i| &i.value) == Some(&id.value)));
        (kind, id.value)
    };
    assert_eq!(
        origin(&three_brokers("      - KAFKA_KRAFT_CLUSTER_ID=HsDBs9l6UUmQq7Y5E6bNlw\n")).1,
        "HsDBs9l6UUmQq7Y5E6bNlw"
    );
    assert_eq!(origin(&three_brokers("")).0, "derived");
    let one_given = three_brokers("").replacen(
        "NODE_ID=0\n",
        "NODE_ID=0\n      - KAFKA_KRAFT_CLUSTER_ID=HsDBs9l6UUmQq7Y5E6bNlw\n",
        1,
    );
    assert_eq!(origin(&one_given), ("given", String::from("HsDBs9l6UUmQq7Y5E6bNlw")));
    let apache = three_brokers("")
        .replace("bitnami/kafka:3.7.0", "apache/kafka:3.7.0")
        .replace("KAFKA_CFG_", "KAFKA_");
    assert_eq!(origin(&apache), ("image", String::from("5L6g3nShT-eMCtK--X86sw")));
}

#[test]
fn services_that_only_use_the_tools_are_no_nodes() {
    let service = |lines: &str| format!("services:\n  k:\n    image: bitnami/kafka\n{lines}");
    let nodes = |lines: &str| cluster(&service(lines)).nodes.len();
    let table = [
        ("", 1),
        ("    command: /opt/bitnami/scripts/kafka/run.sh\n", 1),
        ("    entrypoint: [sh, -c, \"sleep 1; exec /opt/bitnami/scripts/kafka/entrypoint.sh /run.sh\"]\n", 1),
        ("    command: kafka-topics.sh --create --topic t --bootstrap-server k:9092\n", 0),
        ("    entrypoint: [\"/bin/sh\", \"-c\", \"until kafka-topics.sh --list; do sleep 1; done\"]\n", 0),
    ];
    for (lines, expected) in table {
        assert_eq!(nodes(lines), expected, "{lines}");
    }
}

/// One node, with an image and a line of its environment.
fn lone(image: &str, line: &str) -> String {
    format!(
        "services:
  k:
    image: {image}
    environment:
      {line}
      KAFKA_NODE_ID: 1
      KAFKA_PROCESS_ROLES: broker,controller
      KAFKA_CONTROLLER_QUORUM_VOTERS: 1@k:9093
      KAFKA_CONTROLLER_LISTENER_NAMES: C
      KAFKA_LISTENERS: PLAINTEXT://:9092,C://:9093
      KAFKA_LISTENER_SECURITY_PROTOCOL_MAP: PLAINTEXT:PLAINTEXT,C:PLAINTEXT
"
    )
}

#[test]
fn any_text_is_a_cluster_id_and_an_unusual_one_is_hinted_at() {
    for (id, hinted) in [("test_kafka_cluster_id", true), ("HsDBs9l6UUmQq7Y5E6bNlw", false)] {
        let cluster = cluster(&lone("apache/kafka:3.7.0", &format!("CLUSTER_ID: {id}")));
        assert_eq!(cluster.nodes[0].cluster_id.as_ref().map(|id| id.value.as_str()), Some(id));
        let found = cluster.diagnostics.iter().find(|d| d.code == Code::InvalidClusterId);
        assert_eq!(found.map(|d| d.severity), hinted.then_some(Severity::Hint), "{id}");
    }
}

#[test]
fn a_node_advertises_its_service_s_name_where_it_advertises_none() {
    for (line, expected) in [
        ("KAFKA_ADVERTISED_LISTENERS: PLAINTEXT://:9092", "PLAINTEXT://k:9092"),
        ("KAFKA_NUM_PARTITIONS: 1", "PLAINTEXT://k:9092"),
        ("KAFKA_ADVERTISED_LISTENERS: PLAINTEXT://other:9092", "PLAINTEXT://other:9092"),
    ] {
        let cluster = cluster(&lone("apache/kafka:3.7.0", line));
        assert_eq!(cluster.nodes[0].advertised[0].to_string(), expected, "{line}");
        assert_eq!(cluster.nodes[0].properties.get("advertised.listeners"), Some(expected), "{line}");
    }
}

#[test]
fn an_env_file_that_others_lack_keeps_no_node_from_starting() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let text = lone("apache/kafka:3.7.0", "KAFKA_NUM_PARTITIONS: 1");
    for (nodes, others, severity) in
        [("", "env_file: a.env", Severity::Warning), ("    env_file: a.env\n", "tty: true", Severity::Error)]
    {
        let text = format!("{text}{nodes}  app:\n    image: app\n    {others}\n");
        std::fs::write(dir.path().join("compose.yml"), text).expect("a file");
        let options = LoadOptions { working_dir: dir.path().to_path_buf(), ..LoadOptions::default() };
        let mut loaded = load(&LoadOptions { project_name: Some("p".into()), ..options });
        excuse_others(&loaded.project.expect("it loads"), &mut loaded.diagnostics);
        let found: Vec<_> = loaded.diagnostics.iter().map(|d| (d.code, d.severity)).collect();
        assert_eq!(found, [(Code::EnvFileNotFound, severity)]);
    }
}

/// A node of its own name whose voters, host name and networks are what is tried.
fn node(name: &str, id: i32, voters: &str, more: &str) -> String {
    format!(
        "  {name}:
    image: bitnami/kafka:3.7.0
    {more}
    environment:
      KAFKA_CFG_NODE_ID: {id}
      KAFKA_CFG_PROCESS_ROLES: controller,broker
      KAFKA_CFG_LISTENERS: PLAINTEXT://:9092,CONTROLLER://:9093
      KAFKA_CFG_LISTENER_SECURITY_PROTOCOL_MAP: CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
      KAFKA_CFG_CONTROLLER_QUORUM_VOTERS: {voters}
      KAFKA_CFG_CONTROLLER_LISTENER_NAMES: CONTROLLER
"
    )
}

#[test]
fn whom_the_voters_name_decides_who_is_one_cluster_and_not_their_text() {
    let pair = |one: (&str, &str), two: (&str, &str), second: i32| {
        let nodes = [node("one", 1, one.0, one.1), node("two", second, two.0, two.1)].concat();
        cluster(&format!("services:\n{nodes}networks: {{a: {{}}, b: {{}}}}\n"))
    };
    let localhost = ("1@localhost:9093", "stdin_open: false");
    let apart = |network: &str| format!("networks: {{{network}: {{aliases: [kafka]}}}}");
    let (a, b) = (apart("a"), apart("b"));
    for (one, two, second, quorums, why) in [
        (localhost, localhost, 1, 2, "each is alone with itself"),
        (("1@kafka:9093", a.as_str()), ("1@kafka:9093", b.as_str()), 1, 2, "one name on two networks"),
        (
            ("1@kafka:9093", "hostname: kafka"),
            ("1@kafka:9093", "hostname: kafka"),
            1,
            2,
            "each calls itself so",
        ),
        (
            ("1@h1:9093,2@h2:9093", "hostname: h1"),
            ("1@h1:9093,2@h2:9093", "hostname: h2"),
            2,
            1,
            "host names",
        ),
        (
            ("1@one:9093,2@two:9093", "hostname: h1"),
            ("1@h1:9093,2@two:9093", ""),
            2,
            1,
            "two names of one voter",
        ),
    ] {
        let two = (two.0, if two.1.is_empty() { "stdin_open: false" } else { two.1 });
        let cluster = pair(one, two, second);
        assert_eq!(cluster.quorums.len(), quorums, "{why}: {}", said(&cluster, Severity::Warning));
        let ids: Vec<&str> =
            cluster.nodes.iter().filter_map(|n| Some(n.cluster_id.as_ref()?.value.as_str())).collect();
        assert_eq!(ids[0] == ids[1], quorums == 1, "{why}: {ids:?}");
        let errors = said(&cluster, Severity::Error);
        assert!(errors.is_empty() || why == "two names of one voter", "{why}: {errors}");
    }
}
