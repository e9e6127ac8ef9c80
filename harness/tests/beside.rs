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
