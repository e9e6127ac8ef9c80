//! A host port that the file leaves open, from the outside: whatever it became is what clients are told, what the
//! commands show, and what stays; nobody writes anything. As processes, and on the engine of this machine (skipped by
//! name without one, but under CI, where that fails).

#![allow(clippy::unwrap_used, reason = "a panic in a test's helper is the failure report")]

mod common;

use common::engine_answers;
use serde_json::Value;
use std::fs;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

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

struct Project {
    folder: tempfile::TempDir,
    runtime: &'static str,
}

impl Project {
    fn new(runtime: &'static str, text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("compose.yml"), text).unwrap();
        Self { folder, runtime }
    }

    fn run(&self, line: &str) -> Output {
        let mut command = Command::new(PROGRAM);
        command.args(["--runtime", self.runtime, "-p", &format!("jd-open-{}", self.runtime)]);
        command.args(line.split_whitespace()).current_dir(self.folder.path()).stdin(Stdio::null());
        command.env("JACKDAW_HOME", self.folder.path().join("home")).env_remove("COMPOSE_FILE");
        command.output().unwrap()
    }

    fn ok(&self, line: &str) -> String {
        let output = self.run(line);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "jackdaw {line}: {out}{err}");
        out.into_owned()
    }

    fn instance(&self) -> Value {
        let all: Value = serde_json::from_str(&self.ok("ps -a --format json")).unwrap();
        all[0].clone()
    }

    fn published(&self) -> u64 {
        self.instance()["Publishers"][0]["PublishedPort"].as_u64().unwrap()
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let output = self.run("logs --tail 30");
            eprintln!("{}", String::from_utf8_lossy(&output.stdout));
        }
        let _ = self.run("down -v -t 2");
    }
}

/// Everything but what an engine alone can do.
fn holds_to_its_port(project: &Project) -> u64 {
    let table = project.ok("up -d");
    let port = project.published();
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
    assert_eq!(project.published(), port, "a new container takes the old one's place");
    port
}

#[test]
fn a_port_that_is_open_is_advertised_as_what_it_became_on_processes() {
    let project = Project::new("process", FILE);
    let port = holds_to_its_port(&project);
    let inside = format!("exec -T kafka {PROGRAM} topics --list --bootstrap-server localhost:9092");
    project.ok(&inside);
    project.ok("down -v");
    assert!(project.ok("up -d").contains(&format!("localhost:{port}")), "the same names, the same port");

    // Who takes it while the node is down has it.
    project.ok("stop");
    let taker = std::net::TcpListener::bind(("127.0.0.1", u16::try_from(port).unwrap())).unwrap();
    let table = project.ok("up -d");
    let other = project.published();
    assert!(other != port && table.contains(&format!("localhost:{other}")), "{table}");
    drop(taker);
    project.ok("check");
}

#[test]
fn a_port_that_is_open_is_advertised_as_what_it_became_on_an_engine() {
    if !engine_answers("a_port_that_is_open_is_advertised_as_what_it_became_on_an_engine") {
        return;
    }
    let project = Project::new("docker", FILE);
    holds_to_its_port(&project);
    until_healthy(&project);
    drop(project);

    // Started by a command of the file's, the image's own scripts make its settings.
    let by_command = format!("{FILE}    command: [bash, -c, 'echo by hand; exec /etc/kafka/docker/run']\n");
    let project = Project::new("docker", &by_command);
    let table = project.ok("up -d");
    let port = project.published();
    assert!(table.contains(&format!("bootstrap.servers=localhost:{port}")), "{table}");
    project.ok("check");
    until_healthy(&project);
}

/// Its healthcheck asks localhost:9092 inside, and is sent on from there.
fn until_healthy(project: &Project) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while project.instance()["Health"] != "healthy" {
        assert!(Instant::now() < deadline, "{}", project.instance());
        std::thread::sleep(Duration::from_millis(200));
    }
}
