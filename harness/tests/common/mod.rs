//! A three-broker cluster for tests, started and taken down by the real command line.
//!
//! Each cluster has a folder, a project name and host ports of its own, so that tests run side by
//! side. Dropping it takes it down with its volumes.

#![allow(dead_code, reason = "each test and benchmark takes the part it needs")]
#![allow(clippy::unwrap_used, reason = "a panic in a test helper is the failure report")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// One running project of three brokers.
pub struct Cluster {
    folder: TempDir,
    /// By node id.
    services: Vec<String>,
    ports: Vec<u16>,
    runtime: &'static str,
    program: PathBuf,
}

impl Cluster {
    /// Starts three brokers as processes, with extra environment lines, and waits until all serve.
    pub fn up(extra_environment: &[&str]) -> Self {
        Self::up_on("process", extra_environment)
    }

    /// The same on a runtime of choice.
    pub fn up_on(runtime: &'static str, extra_environment: &[&str]) -> Self {
        Self::up_with(runtime, extra_environment, &[])
    }

    /// The same as processes of another provider, as `--provider` names it.
    pub fn up_by(provider: &str, extra_environment: &[&str]) -> Self {
        Self::up_with("process", extra_environment, &["--provider", provider])
    }

    fn up_with(runtime: &'static str, extra_environment: &[&str], arguments: &[&str]) -> Self {
        let ports = jackdaw_scenario::ports::free_ports(3).unwrap();
        let services = (0..ports.len()).map(|id| format!("kafka{id}")).collect();
        Self::of(&compose_text(&ports, extra_environment), services, ports, runtime, &this_build(), arguments)
    }

    /// Three brokers as processes of another build of this program.
    pub fn up_of(program: &Path, extra_environment: &[&str]) -> Self {
        let ports = jackdaw_scenario::ports::free_ports(3).unwrap();
        let services = (0..ports.len()).map(|id| format!("kafka{id}")).collect();
        Self::of(&compose_text(&ports, extra_environment), services, ports, "process", program, &[])
    }

    /// The cluster of the project's own compose.yml, as processes, on the host ports that stand there.
    pub fn of_the_project() -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../compose.yml");
        let services = ["Kafka00Service", "Kafka01Service", "Kafka02Service"].map(str::to_owned).to_vec();
        Self::of(
            &std::fs::read_to_string(file).unwrap(),
            services,
            vec![10_000, 10_001, 10_002],
            "process",
            &this_build(),
            &[],
        )
    }

    fn of(
        compose: &str,
        services: Vec<String>,
        ports: Vec<u16>,
        runtime: &'static str,
        program: &Path,
        arguments: &[&str],
    ) -> Self {
        let folder = tempfile::Builder::new().prefix("jackdaw-test-").tempdir().unwrap();
        std::fs::write(folder.path().join("compose.yml"), compose).unwrap();
        let cluster = Self { folder, services, ports, runtime, program: program.to_owned() };
        cluster.ok(&[&["up", "-d"], arguments].concat());
        cluster
    }

    /// The services' names in the order of their node ids.
    pub fn services(&self) -> Vec<String> {
        self.services.clone()
    }

    /// What a client on the host pastes into `bootstrap.servers`.
    pub fn bootstrap(&self) -> String {
        self.ports.iter().map(|port| format!("localhost:{port}")).collect::<Vec<_>>().join(",")
    }

    /// Runs `jackdaw ARGUMENTS` on this project.
    pub fn run(&self, arguments: &[&str]) -> Output {
        Command::new(&self.program)
            .args(arguments)
            .current_dir(self.folder.path())
            .env("JACKDAW_HOME", self.folder.path().join("home"))
            .env("JACKDAW_RUNTIME", self.runtime)
            .env_remove("COMPOSE_FILE")
            .env_remove("COMPOSE_PROJECT_NAME")
            .output()
            .unwrap()
    }

    /// Runs `jackdaw ARGUMENTS`, expects success and returns what it printed to stdout.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "jackdaw {arguments:?}: {}\n{stdout}\n{stderr}", output.status);
        stdout
    }

    /// The project's folder, with its compose file.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let logs = self.run(&["logs", "--tail", "40"]);
            eprintln!("{}", text(&logs.stdout));
        }
        let output = self.run(&["down", "-v", "-t", "2"]);
        if !std::thread::panicking() {
            assert!(output.status.success(), "down: {}", text(&output.stderr));
        }
    }
}

fn this_build() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_jackdaw"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Whether a Docker engine answers. Without one the test is skipped by name; under CI that is a failure.
pub fn engine_answers(test: &str) -> bool {
    let ping = ["--runtime", "docker", "-p", "jackdaw-ping", "ps"];
    let output = Command::new(env!("CARGO_BIN_EXE_jackdaw")).args(ping).current_dir("/").output().unwrap();
    let answers = output.status.success();
    let in_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(answers || !in_ci, "{test}: CI has to have a Docker engine: {}", text(&output.stderr));
    if !answers {
        // Past the capture of a passing test's output: a skip is to be seen.
        let _ = writeln!(std::io::stderr(), "skipped: {test}: no Docker engine answers");
    }
    answers
}

fn compose_text(ports: &[u16], extra_environment: &[&str]) -> String {
    let voters: Vec<String> = (0..ports.len()).map(|id| format!("{id}@kafka{id}:9093")).collect();
    let mut text = String::from("services:\n");
    for (id, port) in ports.iter().enumerate() {
        let mut environment = vec![
            "KAFKA_KRAFT_CLUSTER_ID=HsDBs9l6UUmQq7Y5E6bNlw".to_owned(),
            format!("KAFKA_CFG_NODE_ID={id}"),
            "KAFKA_CFG_PROCESS_ROLES=controller,broker".to_owned(),
            format!("KAFKA_CFG_CONTROLLER_QUORUM_VOTERS={}", voters.join(",")),
            format!("KAFKA_CFG_LISTENERS=PLAINTEXT://:9092,CONTROLLER://:9093,EXTERNAL://:{port}"),
            format!("KAFKA_CFG_ADVERTISED_LISTENERS=PLAINTEXT://kafka{id}:9092,EXTERNAL://localhost:{port}"),
            "KAFKA_CFG_LISTENER_SECURITY_PROTOCOL_MAP=CONTROLLER:PLAINTEXT,EXTERNAL:PLAINTEXT,PLAINTEXT:PLAINTEXT"
                .to_owned(),
            "KAFKA_CFG_CONTROLLER_LISTENER_NAMES=CONTROLLER".to_owned(),
        ];
        environment.extend(extra_environment.iter().map(|line| (*line).to_owned()));
        text.push_str(&format!(
            "  kafka{id}:\n    image: bitnami/kafka:3.7.0\n    restart: unless-stopped\n    ports: ['{port}:{port}']\n    volumes: ['data{id}:/bitnami/kafka']\n    environment:\n"
        ));
        environment.iter().for_each(|line| text.push_str(&format!("      - {line}\n")));
    }
    text.push_str("volumes:\n");
    (0..ports.len()).for_each(|id| text.push_str(&format!("  data{id}:\n")));
    text
}
