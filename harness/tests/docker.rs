//! The Docker runtime from the outside, on the engine of this machine. Without one these tests are skipped
//! by name, but under CI, where they fail.

#![allow(clippy::unwrap_used, reason = "a panic in a test's helper is the failure report")]

mod common;

use common::engine_answers;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

const CLUSTER_ID: &str = "HsDBs9l6UUmQq7Y5E6bNlw";

/// A project on the engine, gone when dropped.
struct Project {
    folder: tempfile::TempDir,
    name: String,
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

impl Project {
    fn new(name: &str) -> Self {
        let project = Project { folder: tempfile::tempdir().unwrap(), name: format!("jd-{name}") };
        project.write("");
        project
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// One node; `extra` goes into its environment.
    fn write(&self, extra: &str) {
        self.write_with("data", CLUSTER_ID, extra);
    }

    /// One node on that volume or folder, of that cluster.
    fn write_with(&self, volume: &str, cluster_id: &str, extra: &str) {
        let text = format!(
            "volumes: {{data: {{}}}}
services:
  one:
    image: bitnami/kafka:3.7.0
    volumes: ['{volume}:/bitnami/kafka']
    environment:
      KAFKA_KRAFT_CLUSTER_ID: {cluster_id}
      KAFKA_CFG_NODE_ID: 0
      KAFKA_CFG_PROCESS_ROLES: controller,broker
      KAFKA_CFG_CONTROLLER_QUORUM_VOTERS: 0@one:9093
      KAFKA_CFG_LISTENERS: PLAINTEXT://:9092,CONTROLLER://:9093
      KAFKA_CFG_ADVERTISED_LISTENERS: PLAINTEXT://one:9092
      KAFKA_CFG_LISTENER_SECURITY_PROTOCOL_MAP: CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
      KAFKA_CFG_CONTROLLER_LISTENER_NAMES: CONTROLLER
{extra}"
        );
        fs::write(self.path("compose.yml"), text).unwrap();
    }

    fn run(&self, line: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_jackdaw"));
        command.args(["--runtime", "docker", "-p", &self.name]).args(line.split_whitespace());
        command.current_dir(self.folder.path()).env_remove("COMPOSE_FILE").stdin(Stdio::null());
        command.output().unwrap()
    }

    fn ok(&self, line: &str) -> String {
        let output = self.run(line);
        assert!(output.status.success(), "jackdaw {line}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    fn instance(&self) -> Value {
        let all: Value = serde_json::from_str(&self.ok("ps -a --format json")).unwrap();
        all[0].clone()
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let _ = self.run("down -v -t 1");
    }
}

#[test]
fn a_project_is_made_kept_changed_and_removed_on_an_engine() {
    if !engine_answers("a_project_is_made_kept_changed_and_removed_on_an_engine") {
        return;
    }
    let project = Project::new("engine");
    let table = project.ok("up -d");
    assert!(table.contains("controller,broker   ready"), "{table}");
    let first = project.instance();
    assert_eq!((&first["Name"], &first["State"]), (&"jd-engine-one-1".into(), &"running".into()));
    assert!(project.ok("up --dry-run").contains("nothing to do"));
    assert!(project.ok("exec -T one jackdaw --version").starts_with("jackdaw "));
    assert_eq!(project.run("exec -T one jackdaw explain JK9999").status.code(), Some(2), "its own exit code");

    project.ok("kill one");
    assert_eq!(project.instance()["ExitCode"], 137, "killed by command, it stays down");
    project.ok("start");
    project.ok("up -d");
    assert_eq!(project.instance()["ID"], first["ID"], "the same container came back");
    assert_eq!(project.ok("logs --no-log-prefix").matches("Kafka Server started").count(), 2);

    project.write("      KAFKA_CFG_NUM_PARTITIONS: 3\n");
    project.ok("up -d");
    assert_ne!(project.instance()["ID"], first["ID"], "a changed one is made anew");
    project.ok("stop");
    assert_eq!(project.instance()["ExitCode"], 0, "it stopped cleanly");

    let told = said(&project.run("down"));
    assert!(told.contains("Network jd-engine_default") && !told.contains("Volume"), "{told}");
    assert!(said(&project.run("down -v")).contains("Volume jd-engine_data"));
    assert!(project.instance().is_null());
}

#[test]
fn what_lies_in_a_data_folder_is_told_before_the_node_starts() {
    if !engine_answers("what_lies_in_a_data_folder_is_told_before_the_node_starts") {
        return;
    }
    let project = Project::new("folders");
    project.ok("up -d");
    project.write_with("data", "AsDBs9l6UUmQq7Y5E6bNlw", "");
    let told = said(&project.run("up -d"));
    assert!(
        told.contains(&format!("belongs to cluster {CLUSTER_ID}")) && told.contains("   ready"),
        "{told}"
    );
    project.ok("down -v");

    project.write_with("./kafka", CLUSTER_ID, "");
    fs::create_dir(project.path("kafka")).unwrap();
    fs::set_permissions(project.path("kafka"), PermissionsExt::from_mode(0o555)).unwrap();
    let output = project.run("up -d");
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("one: data folder ") && said(&output).contains("chown -R 1001:0"));
    assert!(project.instance().is_null(), "nothing was made");
}
