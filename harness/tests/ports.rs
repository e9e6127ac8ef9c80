//! A host port that the file leaves open, from the outside: whatever it became is what clients are told, what the
//! commands show, and what stays; nobody writes anything. As processes, and on the engine of this machine (skipped by
//! name without one, but under CI, where that fails).

#![allow(clippy::unwrap_used, reason = "a panic in a test's helper is the failure report")]

mod common;
mod support;

use common::engine_answers;
use support::Project;

const PROGRAM: &str = env!("CARGO_BIN_EXE_jackdaw");
/// Nothing but an image and a port; its healthcheck is one that people write, and is sent on from where it asks.
const FILE: &str = "services:
  kafka:
    image: apache/kafka:3.7.0
    ports: ['9092']
    healthcheck:
      test: /opt/kafka/bin/kafka-topics.sh --bootstrap-server localhost:9092 --list || exit 1
      interval: 1s
      retries: 30
";

fn project_on(runtime: &'static str, text: &str) -> Project {
    Project::new(&format!("open-{runtime}"), runtime, text)
}

fn published(project: &Project) -> u64 {
    project.instance("kafka")["Publishers"][0]["PublishedPort"].as_u64().unwrap()
}

/// Everything but what an engine alone can do.
fn holds_to_its_port(project: &Project) -> u64 {
    let table = project.ok("up -d");
    let port = published(project);
    assert!(table.contains(&format!("bootstrap.servers=localhost:{port}")), "{table}");
    assert!(project.ok("ps").contains(&format!(":{port}->9092/tcp")));
    let checked = project.ok("check");
    assert!(checked.contains(&format!("1@localhost:{port}")) && !checked.contains(":9092"), "{checked}");
    let config = project.ok("config");
    assert!(config.contains("target: 9092") && !config.contains("published"), "{config}");

    let server = format!("localhost:{port}");
    for line in ["restart", "stop", "start"] {
        project.ok(line);
    }
    assert!(project.ok("up -d").contains(&server), "the port that it had");
    project.ok("check");
    assert!(project.ok("up --dry-run").contains("nothing to do"));
    project.ok("up -d --force-recreate");
    assert_eq!(published(project), port, "a new container takes the old one's place");
    port
}

#[test]
fn a_port_that_is_open_is_advertised_as_what_it_became_on_processes() {
    let project = project_on("process", FILE);
    let port = holds_to_its_port(&project);
    let inside = format!("exec -T kafka {PROGRAM} topics --list --bootstrap-server localhost:9092");
    project.ok(&inside);
    project.ok("down -v");
    assert!(project.ok("up -d").contains(&format!("localhost:{port}")), "the same names, the same port");

    // Who takes it while the node is down has it.
    project.ok("stop");
    let taker = std::net::TcpListener::bind(("127.0.0.1", u16::try_from(port).unwrap())).unwrap();
    let table = project.ok("up -d");
    let other = published(&project);
    assert!(other != port && table.contains(&format!("localhost:{other}")), "{table}");
    drop(taker);
    project.ok("check");
}

#[test]
fn a_port_that_is_open_is_advertised_as_what_it_became_on_an_engine() {
    if !engine_answers("a_port_that_is_open_is_advertised_as_what_it_became_on_an_engine") {
        return;
    }
    let project = project_on("docker", FILE);
    holds_to_its_port(&project);
    until_healthy(&project);
    drop(project);

    // Started by a command of the file's, the image's own scripts make its settings.
    let by_command = format!("{FILE}    command: [bash, -c, 'echo by hand; exec /etc/kafka/docker/run']\n");
    let project = project_on("docker", &by_command);
    let table = project.ok("up -d");
    let port = published(&project);
    assert!(table.contains(&format!("bootstrap.servers=localhost:{port}")), "{table}");
    project.ok("check");
    until_healthy(&project);
}

/// Its healthcheck asks localhost:9092 inside, and is sent on from there.
fn until_healthy(project: &Project) {
    project.until("kafka", |kafka| kafka["Health"] == "healthy");
}
