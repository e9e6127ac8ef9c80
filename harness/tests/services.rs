//! What stands beside the brokers in a compose file: healthchecks, services that wait for them, and scripts on a Kafka
//! image that make topics and end. Alike on each runtime.

#![allow(clippy::unwrap_used, reason = "a panic in a test's helper is the failure report")]

mod common;
mod support;

use common::engine_answers;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use support::{Project, said};

/// One node with a healthcheck, a script that waits for it, and one that waits for the script. SCRIPT, HEALTH and AFTER
/// stand for what differs.
const FILE: &str = "services:
  kafka:
    image: IMAGE
    environment:
      CLUSTER_ID: HsDBs9l6UUmQq7Y5E6bNlw
      KAFKA_NODE_ID: 1
      KAFKA_PROCESS_ROLES: broker,controller
      KAFKA_CONTROLLER_QUORUM_VOTERS: 1@127.0.0.1:9093
      KAFKA_CONTROLLER_LISTENER_NAMES: CONTROLLER
      KAFKA_LISTENERS: PLAINTEXT://:9092,CONTROLLER://:9093
      KAFKA_ADVERTISED_LISTENERS: PLAINTEXT://kafka:9092
      KAFKA_LISTENER_SECURITY_PROTOCOL_MAP: PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
    healthcheck: {test: HEALTH, interval: 20s, retries: 3}
  topics:
    image: IMAGE
    depends_on: {kafka: {condition: service_healthy}}
    volumes: ['./scripts:/scripts']
    SCRIPT
  after:
    image: IMAGE
    depends_on: {topics: {condition: service_completed_successfully}}
    entrypoint: [/bin/sh, -c]
    command: ['BIN/TOOL --bootstrap-server kafka:9092 --list']
";

/// Projects of one name start on the same addresses, and these start side by side.
static PROJECTS: AtomicUsize = AtomicUsize::new(0);

fn project_on(runtime: &'static str, image: &str, health: &str, script: &str) -> Project {
    let (bin, tool) = match image.starts_with("apache") {
        true => ("/opt/kafka/bin", "kafka-topics.sh"),
        false => ("/usr/bin", "kafka-topics"),
    };
    let text = FILE.replace("HEALTH", health).replace("SCRIPT", script);
    let text = text.replace("IMAGE", image).replace("BIN/TOOL", &format!("{bin}/{tool}"));
    let project = Project::new(&format!("services-{}", PROJECTS.fetch_add(1, Relaxed)), runtime, &text);
    let create =
        format!("#!/bin/bash\nset -e\n{bin}/{tool} --bootstrap-server kafka:9092 --create --topic $1\n");
    fs::create_dir(project.path("scripts")).unwrap();
    fs::write(project.path("scripts/create.sh"), create).unwrap();
    fs::set_permissions(project.path("scripts/create.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    project
}

const APACHE: &str = "apache/kafka:3.7.0";
const CONFLUENT: &str = "confluentinc/cp-kafka:7.7.0";

/// Image, healthcheck, and how the topic `made` comes to be.
const GOOD: [(&str, &str, &str); 4] = [
    (
        APACHE,
        "[CMD-SHELL, './opt/kafka/bin/kafka-topics.sh --bootstrap-server localhost:9092 --list || exit 1']",
        "command: bash -c 'until nc -z kafka 9092; do sleep 0.1; done; cd /opt/kafka/bin && ./kafka-topics.sh \
         --create --if-not-exists --topic made --bootstrap-server kafka:9092'",
    ),
    (
        APACHE,
        "[CMD, /opt/kafka/bin/kafka-broker-api-versions.sh, --bootstrap-server, 'kafka:9092']",
        "entrypoint: [/scripts/create.sh, made]",
    ),
    (CONFLUENT, "[CMD, nc, -z, localhost, '9092']", "entrypoint: [sh, -c, 'bash /scripts/create.sh made']"),
    (
        CONFLUENT,
        "'echo > /dev/tcp/127.0.0.1/9092'",
        "network_mode: service:kafka\n    command: kafka-topics --create --topic made --bootstrap-server localhost:9092",
    ),
];

fn scripts_make_topics_on(runtime: &'static str) {
    for (image, health, script) in GOOD {
        let project = project_on(runtime, image, health, script);
        let table = project.ok("up -d");
        assert!(
            table.contains("broker,controller") || table.contains("controller,broker   ready"),
            "{table}"
        );
        for service in ["topics", "after"] {
            let line = table.lines().find(|line| line.starts_with(service)).unwrap_or_default();
            assert!(line.ends_with(" done"), "{health}: {table}");
        }
        assert_eq!(project.ok("logs --no-log-prefix after").trim(), "made", "{health}");
        // An engine asks when the interval is over, and not before; processes are asked at once.
        if runtime == "process" {
            assert_eq!(project.instance("kafka")["Health"], "healthy", "{health}");
        }
    }
}

fn a_script_that_fails_is_shown_on(runtime: &'static str) {
    let script = "command: bash -c 'echo about to fail; exit 3'";
    let project = project_on(runtime, APACHE, "[CMD, nc, -z, localhost, '9092']", script);
    let output = project.run("up -d");
    let told = said(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("topics exited with code 3") && told.contains("  about to fail"), "{told}");
    // Nobody waits for it: the cluster is up, and what went wrong is told.
    let output = project.run("up -d kafka topics");
    let told = said(&output);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("topics did not do its work") && told.contains("  about to fail"), "{told}");
    assert!(told.contains("failed (3)"), "{told}");
}

#[test]
fn scripts_make_topics_beside_processes() {
    scripts_make_topics_on("process");
}

#[test]
fn scripts_make_topics_beside_containers() {
    if engine_answers("scripts_make_topics_beside_containers") {
        scripts_make_topics_on("docker");
    }
}

#[test]
fn a_script_that_fails_is_shown_beside_processes() {
    a_script_that_fails_is_shown_on("process");
}

#[test]
fn a_script_that_fails_is_shown_beside_containers() {
    if engine_answers("a_script_that_fails_is_shown_beside_containers") {
        a_script_that_fails_is_shown_on("docker");
    }
}

#[test]
fn a_node_that_is_unhealthy_keeps_its_dependants_from_starting() {
    let health = "[CMD-SHELL, 'echo no luck; exit 1']";
    let project = project_on("process", APACHE, health, "command: 'true'");
    let file = project.path("compose.yml");
    let text = fs::read_to_string(&file).unwrap().replace("interval: 20s", "interval: 1s");
    fs::write(&file, text).unwrap();
    let output = project.run("up -d");
    let told = said(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("topics: kafka is unhealthy") && told.contains("unhealthy: no luck"), "{told}");
    assert_eq!(project.instance("topics")["State"], "created");
}
