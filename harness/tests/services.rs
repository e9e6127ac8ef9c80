//! What stands beside the brokers in a compose file: healthchecks, services that wait for them, and scripts on a Kafka
//! image that make topics and end. Alike on each runtime.

#![allow(clippy::unwrap_used, reason = "a panic in a test's helper is the failure report")]

mod common;

use common::engine_answers;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output, Stdio};

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

struct Project {
    folder: tempfile::TempDir,
    runtime: &'static str,
}

impl Project {
    fn new(runtime: &'static str, image: &str, health: &str, script: &str) -> Self {
        let (bin, tool) = match image.starts_with("apache") {
            true => ("/opt/kafka/bin", "kafka-topics.sh"),
            false => ("/usr/bin", "kafka-topics"),
        };
        let text = FILE.replace("HEALTH", health).replace("SCRIPT", script);
        let text = text.replace("IMAGE", image).replace("BIN/TOOL", &format!("{bin}/{tool}"));
        let project = Project { folder: tempfile::tempdir().unwrap(), runtime };
        fs::write(project.folder.path().join("compose.yml"), text).unwrap();
        let scripts = project.folder.path().join("scripts");
        fs::create_dir(&scripts).unwrap();
        let create =
            format!("#!/bin/bash\nset -e\n{bin}/{tool} --bootstrap-server kafka:9092 --create --topic $1\n");
        fs::write(scripts.join("create.sh"), create).unwrap();
        fs::set_permissions(scripts.join("create.sh"), fs::Permissions::from_mode(0o755)).unwrap();
        project
    }

    fn run(&self, line: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_jackdaw"));
        command.args(["--runtime", self.runtime, "-p", "jd-services"]).args(line.split(' '));
        command.current_dir(self.folder.path()).env("JACKDAW_HOME", self.folder.path().join("home"));
        command.env_remove("COMPOSE_FILE").stdin(Stdio::null()).output().unwrap()
    }

    fn ok(&self, line: &str) -> String {
        let output = self.run(line);
        assert!(output.status.success(), "jackdaw {line}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    fn of(&self, service: &str, key: &str) -> Value {
        let all: Value = serde_json::from_str(&self.ok("ps -a --format json")).unwrap();
        let found = all.as_array().unwrap().iter().find(|one| one["Service"] == service);
        found.map(|one| one[key].clone()).unwrap_or_default()
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let _ = self.run("down -v -t 2");
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
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
        let project = Project::new(runtime, image, health, script);
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
            assert_eq!(project.of("kafka", "Health"), "healthy", "{health}");
        }
    }
}

fn a_script_that_fails_is_shown_on(runtime: &'static str) {
    let script = "command: bash -c 'echo about to fail; exit 3'";
    let project = Project::new(runtime, APACHE, "[CMD, nc, -z, localhost, '9092']", script);
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
    let project = Project::new("process", APACHE, health, "command: 'true'");
    let file = project.folder.path().join("compose.yml");
    let text = fs::read_to_string(&file).unwrap().replace("interval: 20s", "interval: 1s");
    fs::write(&file, text).unwrap();
    let output = project.run("up -d");
    let told = said(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("topics: kafka is unhealthy") && told.contains("unhealthy: no luck"), "{told}");
    assert_eq!(project.of("topics", "State"), "created");
}
