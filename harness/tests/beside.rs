//! What a command finds beside a node that is a process: what it would find in the node's container, and nothing of
//! whoever calls it.

#![allow(clippy::unwrap_used, reason = "a panic in a test's helper is the failure report")]

mod support;

use std::fs;
use support::{Project, said};

/// One node with a folder and a file mounted.
const FILE: &str = "services:
  kafka:
    image: bitnami/kafka:3.7.0
    hostname: broker.example
    working_dir: /scripts
    environment:
      KAFKA_CFG_NODE_ID: 1
      KAFKA_CFG_PROCESS_ROLES: controller,broker
      KAFKA_CFG_LISTENERS: PLAINTEXT://:9092,CONTROLLER://:9093
      KAFKA_CFG_ADVERTISED_LISTENERS: PLAINTEXT://kafka:9092
      KAFKA_CFG_LISTENER_SECURITY_PROTOCOL_MAP: CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
      KAFKA_CFG_CONTROLLER_QUORUM_VOTERS: 1@kafka:9093
      KAFKA_CFG_CONTROLLER_LISTENER_NAMES: CONTROLLER
    volumes: ['./s:/scripts', './log4j.properties:/opt/bitnami/kafka/config/log4j.properties']
    healthcheck: {test: 'test -f /bitnami/kafka/data/meta.properties', interval: 300ms, retries: 3}
  tool:
    image: bitnami/kafka:3.7.0
    volumes: ['./log4j.properties:/etc/one.properties']
    command: [cat, /etc/one.properties]
";

fn project() -> Project {
    let project = Project::new("beside", "process", FILE);
    fs::create_dir(project.path("s")).unwrap();
    fs::write(project.path("s/x"), "").unwrap();
    fs::write(project.path("log4j.properties"), "log4j.rootLogger=WARN\n").unwrap();
    project
}

#[test]
fn a_command_finds_the_container_s_surroundings_and_none_of_the_caller_s() {
    let project = project().with("LEAK", "yes").with("TZ", "Asia/Tokyo");
    project.ok("up -d");
    assert_eq!(
        project.ok("logs --no-log-prefix tool"),
        "log4j.rootLogger=WARN\n",
        "a single file is mounted"
    );
    project.until("kafka", |kafka| kafka["Health"] == "healthy");
    for (line, expected) in [
        ("hostname", "broker.example\n"),
        ("hostname -s", "broker\n"),
        ("pwd", "/scripts\n"),
        ("ls", "x\n"),
        ("cat /opt/bitnami/kafka/config/log4j.properties", "log4j.rootLogger=WARN\n"),
        ("grep node.id /opt/bitnami/kafka/config/server.properties", "node.id=1\n"),
        ("ls /bitnami/kafka/data/meta.properties", ""),
        ("printenv KAFKA_CFG_NODE_ID", "1\n"),
    ] {
        let told = project.ok(&format!("exec -T kafka {line}"));
        assert!(told.contains(expected), "{line}: {told}");
    }
    for name in ["LEAK", "TZ", "JACKDAW_HOME"] {
        let output = project.run(&format!("exec -T kafka printenv {name}"));
        assert_eq!(output.status.code(), Some(1), "{name}: {}", said(&output));
    }
    assert_eq!(project.ok("exec -T -e LEAK kafka printenv LEAK"), "yes\n", "a name alone is the caller's");
    project.ok("exec -T kafka touch /tmp/made");
    assert!(project.state("instances/jd-beside-kafka-1/root/tmp/made").exists(), "the container's /tmp");
    let own = rustix::process::geteuid().as_raw();
    assert_eq!(project.ok(&format!("exec -T -u {own} kafka true")), "");
    let output = project.run("exec -T -u 54321 kafka true");
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("leave the user out"), "{}", said(&output));
}

/// A node that its own command formats and starts, on a file that the command writes.
const BY_HAND: &str = "services:
  b1:
    image: apache/kafka:3.7.0
    hostname: b1
    ports: ['9094']
    command:
      - bash
      - -c
      - |
        cat > /tmp/k.properties <<PROPS
        process.roles=broker,controller
        node.id=7
        controller.quorum.voters=7@b1:9093
        controller.listener.names=CONTROLLER
        listeners=PLAINTEXT://:9092,CONTROLLER://:9093,EXTERNAL://:9094
        advertised.listeners=PLAINTEXT://b1:9092,EXTERNAL://localhost:9094
        listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,EXTERNAL:PLAINTEXT
        log.dirs=/tmp/data
        PROPS
        /opt/kafka/bin/kafka-storage.sh format -t 4L6g3nShT-eMCtK--X86sw -c /tmp/k.properties
        EXEC/opt/kafka/bin/kafka-server-start.sh /tmp/k.properties --override num.partitions=4
";

#[test]
fn a_node_s_own_command_is_what_runs() {
    for exec in ["exec ", ""] {
        let port = jackdaw_scenario::ports::free_ports(1).unwrap()[0];
        let text = BY_HAND.replace("EXEC", exec).replace("localhost:9094", &format!("localhost:{port}"));
        let text = text.replace("'9094'", &format!("'{port}:9094'"));
        let project = Project::new(&format!("own-command-{}", exec.len()), "process", &text);
        let table = project.ok("up -d");
        assert!(table.contains("b1        7 "), "{table}");
        let topics = "exec -T b1 /opt/kafka/bin/kafka-topics.sh --bootstrap-server b1:9092";
        let told = project.ok(&format!("{topics} --create --topic t"));
        assert!(told.contains("Created topic t"), "{told}");
        let made = project.ok(&format!("{topics} --describe"));
        assert!(made.contains("PartitionCount: 4"), "{made}");
        assert!(project.ok("exec -T b1 cat /tmp/data/meta.properties").contains("4L6g3nShT-eMCtK--X86sw"));
        project.ok("stop");
        let logs = project.ok("logs --no-log-prefix");
        assert!(
            logs.contains("Formatting") && logs.contains("[KafkaRaftServer nodeId=7] shut down completed"),
            "it ends as it should: {logs}"
        );
    }
}

#[test]
fn a_node_that_only_running_its_command_would_show_is_refused() {
    let text = BY_HAND.replace("node.id=7", "node.id=$$(cat /id)").replace("EXEC", "");
    let project = Project::new("open-command", "process", &text);
    let output = project.run("up -d");
    let told = said(&output);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("b1: its command makes the settings that its node starts on"), "{told}");
}

#[test]
fn the_scripts_of_a_node_run_once_before_it_and_a_command_around_the_image_s_is_run() {
    let text = FILE.replace(
        "hostname: broker.example",
        "command: ['bash', '-c', 'echo around $$0; /opt/bitnami/scripts/kafka/run.sh']",
    );
    let text = text.replace("volumes: ['./s:", "volumes: ['./init:/docker-entrypoint-initdb.d', './s:");
    let project = Project::new("init-scripts", "process", &text);
    for folder in ["s", "init"] {
        fs::create_dir(project.path(folder)).unwrap();
    }
    fs::write(project.path("log4j.properties"), "").unwrap();
    fs::write(project.path("init/1.sh"), "#!/bin/bash\necho prepared; ls /bitnami/kafka; touch /tmp/ran\n")
        .unwrap();
    project.ok("up -d kafka");
    project.ok("restart kafka");
    project.until("kafka", |kafka| kafka["Health"] == "healthy");
    let logs = project.ok("logs --no-log-prefix kafka");
    assert_eq!(logs.matches("prepared").count(), 1, "{logs}");
    assert_eq!(logs.matches("around").count(), 2, "{logs}");
    project.ok("exec -T kafka ls /tmp/ran");
    assert!(
        project.ok("exec -T kafka cat /opt/bitnami/kafka/config/server.properties").contains("node.id=1")
    );
}

#[test]
fn run_is_a_command_of_its_own_beside_what_its_service_needs() {
    let text = FILE.replace(
        "command: [cat, /etc/one.properties]",
        "command: [cat, /etc/one.properties]\n    depends_on: {kafka: {condition: service_healthy}}",
    );
    let project = Project::new("run", "process", &text);
    fs::create_dir(project.path("s")).unwrap();
    fs::write(project.path("log4j.properties"), "").unwrap();
    let made = project.run("run --rm -T -e NAME=made tool bash -c kafka-topics.sh${IFS}--bootstrap-server${IFS}kafka:9092${IFS}--create${IFS}--topic${IFS}$NAME");
    assert!(made.status.success(), "{}", said(&made));
    let topics = project.ok("run --rm kafka kafka-topics.sh --bootstrap-server kafka:9092 --list");
    assert_eq!(topics, "made\n", "only what the command says is on standard output");
    assert_eq!(project.run("run tool bash -c exit${IFS}7").status.code(), Some(7));
    assert_eq!(project.run("run --no-deps --entrypoint false tool").status.code(), Some(1));
    let output = project.run("run kafka");
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("name the command to run"), "{}", said(&output));
    assert_eq!(project.run("run -it tool bash").status.code(), Some(2));
    let left = project.ok("ps -a --format json");
    assert_eq!(left.lines().count(), 1, "nothing is left of them: {left}");
}
