//! The Docker runtime from the outside, on the engine of this machine. Without one these tests are skipped
//! by name, but under CI, where they fail.

#![allow(clippy::unwrap_used, reason = "a panic in a test's helper is the failure report")]

mod common;
mod support;

use common::engine_answers;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use support::{Project, said};

const CLUSTER_ID: &str = "HsDBs9l6UUmQq7Y5E6bNlw";

/// One node on that volume or folder, of that cluster; `extra` goes into its environment.
fn node(volume: &str, cluster_id: &str, extra: &str) -> String {
    format!(
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
    )
}

#[test]
fn a_project_is_made_kept_changed_and_removed_on_an_engine() {
    if !engine_answers("a_project_is_made_kept_changed_and_removed_on_an_engine") {
        return;
    }
    let project = Project::new("engine", "docker", &node("data", CLUSTER_ID, ""));
    let table = project.ok("up -d");
    assert!(table.contains("controller,broker   ready"), "{table}");
    let first = project.instance("one");
    assert_eq!((&first["Name"], &first["State"]), (&"jd-engine-one-1".into(), &"running".into()));
    assert!(project.ok("up --dry-run").contains("nothing to do"));
    assert!(project.ok("exec -T one jackdaw --version").starts_with("jackdaw "));
    assert_eq!(project.run("exec -T one jackdaw explain JK9999").status.code(), Some(2), "its own exit code");

    project.ok("kill one");
    assert_eq!(project.instance("one")["ExitCode"], 137, "killed by command, it stays down");
    project.ok("start");
    project.ok("up -d");
    assert_eq!(project.instance("one")["ID"], first["ID"], "the same container came back");
    assert_eq!(project.ok("logs --no-log-prefix").matches("Kafka Server started").count(), 2);

    project.write_text(&node("data", CLUSTER_ID, "      KAFKA_CFG_NUM_PARTITIONS: 3\n"));
    project.ok("up -d");
    assert_ne!(project.instance("one")["ID"], first["ID"], "a changed one is made anew");
    project.ok("stop");
    assert_eq!(project.instance("one")["ExitCode"], 0, "it stopped cleanly");

    let told = said(&project.run("down"));
    assert!(told.contains("Network jd-engine_default") && !told.contains("Volume"), "{told}");
    assert!(said(&project.run("down -v")).contains("Volume jd-engine_data"));
    assert!(project.instance("one").is_null());
}

#[test]
fn what_lies_in_a_data_folder_is_told_before_the_node_starts() {
    if !engine_answers("what_lies_in_a_data_folder_is_told_before_the_node_starts") {
        return;
    }
    let project = Project::new("folders", "docker", &node("data", CLUSTER_ID, ""));
    project.ok("up -d");
    project.write_text(&node("data", "AsDBs9l6UUmQq7Y5E6bNlw", ""));
    let told = said(&project.run("up -d"));
    assert!(
        told.contains(&format!("belongs to cluster {CLUSTER_ID}")) && told.contains("   ready"),
        "{told}"
    );
    project.ok("down -v");

    project.write_text(&node("./kafka", CLUSTER_ID, ""));
    fs::create_dir(project.path("kafka")).unwrap();
    fs::set_permissions(project.path("kafka"), PermissionsExt::from_mode(0o555)).unwrap();
    let output = project.run("up -d");
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("one: data folder ") && said(&output).contains("chown -R 1001:0"));
    assert!(project.instance("one").is_null(), "nothing was made");
}
