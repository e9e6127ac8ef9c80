//! The image as a drop-in: the three-broker file that people copy, run by our launcher and by Docker Compose itself
//! with nothing changed but who made the image. On the engine of this machine; without one the tests are skipped by
//! name, but under CI, where they fail.

#![allow(clippy::unwrap_used, reason = "a panic in a test's helper is the failure report")]

mod common;

use common::engine_answers;
use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_jackdaw");
/// Time in which three nodes have to serve, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);
const IMAGE: &str = "bitnami/kafka:3.7.0";
const CONTAINERS: [&str; 3] = ["Kafka00Container", "Kafka01Container", "Kafka02Container"];
const INSIDE: &str = "Kafka00Service:9092,Kafka01Service:9092,Kafka02Service:9092";

/// The file has fixed ports and names: one test at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn said(output: &Output) -> String {
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

fn ok(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, said(&output));
    text(&output.stdout)
}

fn docker(words: &[&str]) -> Command {
    let mut command = Command::new("docker");
    command.args(words);
    command
}

/// Three nodes, each a controller and a broker, as the tutorials have them: the cluster id's variable misspelt, node
/// and broker ids both given, an internal listener published beside the external one.
fn three_brokers() -> String {
    let mut file = String::from("networks:\n  kafka_network:\nvolumes:\n  Kafka00:\n    driver: local\n");
    file += "  Kafka01:\n    driver: local\n  Kafka02:\n    driver: local\nservices:\n";
    for id in 0..3 {
        file += &format!(
            "  Kafka0{id}Service:
    image: {IMAGE}
    restart: unless-stopped
    container_name: Kafka0{id}Container
    ports:
      - '{inside}:9092'
      - '1000{id}:1000{id}'
    environment:
      - KAFKA_CFG_AUTO_CREATE_TOPICS_ENABLE=true
      - KAFKA_CFG_BROKER_ID={id}
      - KAFKA_CFG_NODE_ID={id}
      - KAFKA_KRAFT_CLTER_ID=HsDBs9l6UUmQq7Y5E6bNlw
      - KAFKA_CFG_CONTROLLER_QUORUM_VOTERS=0@Kafka00Service:9093,1@Kafka01Service:9093,2@Kafka02Service:9093
      - KAFKA_CFG_PROCESS_ROLES=controller,broker
      - ALLOW_PLAINTEXT_LISTENER=yes
      - KAFKA_CFG_LISTENERS=PLAINTEXT://:9092,CONTROLLER://:9093,EXTERNAL://:1000{id}
      - KAFKA_CFG_ADVERTISED_LISTENERS=PLAINTEXT://Kafka0{id}Service:9092,EXTERNAL://localhost:1000{id}
      - KAFKA_CFG_LISTENER_SECURITY_PROTOCOL_MAP=CONTROLLER:PLAINTEXT,EXTERNAL:PLAINTEXT,PLAINTEXT:PLAINTEXT
      - KAFKA_CFG_CONTROLLER_LISTENER_NAMES=CONTROLLER
      - KAFKA_CFG_OFFSETS_TOPIC_REPLICATION_FACTOR=3
      - KAFKA_CFG_TRANSACTION_STATE_LOG_REPLICATION_FACTOR=3
      - KAFKA_CFG_TRANSACTION_STATE_LOG_MIN_ISR=2
    networks:
      - kafka_network
    volumes:
      - \"Kafka0{id}:/bitnami/kafka\"
",
            inside = internal(9092 + id),
        );
    }
    file
}

/// The port under which the tutorial publishes an internal listener, which leads nowhere. Where a cluster of this
/// machine's has it, any other does as well.
fn internal(port: u16) -> u16 {
    match TcpListener::bind(("0.0.0.0", port)) {
        Ok(_) => port,
        Err(_) => jackdaw_scenario::ports::free_ports(1).unwrap()[0],
    }
}

/// Who brings the file up: our launcher, or a Docker Compose.
struct Launcher {
    folder: tempfile::TempDir,
    program: PathBuf,
    first: Vec<&'static str>,
    _alone: MutexGuard<'static, ()>,
}

impl Launcher {
    fn new(program: &Path, first: &[&'static str], project: &str) -> Self {
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = tempfile::Builder::new().prefix(project).tempdir().unwrap();
        fs::write(folder.path().join("docker-compose.yml"), three_brokers()).unwrap();
        Self { folder, program: program.to_owned(), first: first.to_vec(), _alone: alone }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.first).args(words).current_dir(self.folder.path());
        command.env_remove("COMPOSE_FILE").env_remove("COMPOSE_PROJECT_NAME");
        command
    }
}

impl Drop for Launcher {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for container in CONTAINERS {
                let logs = docker(&["logs", "--tail", "30", container]).output();
                eprintln!("{container}: {}", logs.map(|logs| said(&logs)).unwrap_or_default());
            }
        }
        let _ = self.command(&["down", "-v"]).output();
    }
}

/// Waits until the nodes say so themselves.
fn until_healthy(containers: &[&str]) {
    let deadline = Instant::now() + PATIENCE;
    for container in containers {
        loop {
            let output = docker(&["exec", container, "jackdaw", "healthy"]).output().unwrap();
            if output.status.success() {
                break;
            }
            let is_over = Instant::now() > deadline || said(&output).contains("is not running");
            assert!(!is_over, "{container}: {}", said(&output));
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Words typed into `docker exec -i CONTAINER /bin/bash`.
fn typed(container: &str, lines: &str) -> String {
    let mut command = docker(&["exec", "-i", container, "/bin/bash"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{lines}: {}", said(&output));
    text(&output.stdout)
}

/// Two records of different partitions come in either order.
fn both_are_there(told: &str) {
    let mut lines: Vec<&str> = told.lines().filter(|line| ["one", "two"].contains(line)).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["one", "two"], "{told}");
}

/// What the tutorial does once the file is up.
fn follow_the_tutorial() {
    until_healthy(&CONTAINERS);
    let ids: Vec<String> = CONTAINERS
        .iter()
        .map(|container| typed(container, "grep cluster.id /bitnami/kafka/data/meta.properties\n"))
        .collect();
    assert!(ids.iter().all(|id| *id == ids[0] && id.len() > 30), "one cluster: {ids:?}");
    let create = format!(
        "cd /opt/bitnami/kafka/bin\n./kafka-topics.sh --create --topic tester --bootstrap-server {INSIDE} \
         --partitions 3 --replication-factor 2\n"
    );
    let told = typed(CONTAINERS[0], &create);
    assert!(told.contains("Created topic tester."), "{told}");
    let produce = format!(
        "cd /opt/bitnami/kafka/bin\nprintf 'one\\ntwo\\n' | ./kafka-console-producer.sh --topic tester \
         --bootstrap-server {INSIDE}\n"
    );
    typed(CONTAINERS[1], &produce);
    let consume = format!(
        "cd /opt/bitnami/kafka/bin\n./kafka-console-consumer.sh --topic tester --from-beginning --max-messages 2 \
         --timeout-ms 30000 --bootstrap-server {INSIDE}\n"
    );
    both_are_there(&typed(CONTAINERS[2], &consume));
    for container in CONTAINERS {
        ok(&mut docker(&["restart", container]));
        until_healthy(&[container]);
    }
    both_are_there(&typed(CONTAINERS[0], &consume));
    let words = ["console-consumer", "--topic", "tester", "--from-beginning", "--max-messages", "2"];
    let mut outside = Command::new(PROGRAM);
    outside.args(words).args(["--timeout-ms", "30000", "--bootstrap-server", "localhost:10000"]);
    both_are_there(&ok(&mut outside));
    for container in CONTAINERS {
        let logs = said(&docker(&["logs", container]).output().unwrap());
        let started = format!("[KafkaServer id={}] started", container.chars().nth(6).unwrap());
        assert!(logs.contains("Kafka Server started") && logs.contains(&started), "{logs}");
        assert!(logs.contains("Transitioning from RECOVERY to RUNNING"), "{logs}");
        assert!(logs.contains("signal SIGTERM"), "stopped by its own hand: {logs}");
    }
}

#[test]
fn the_tutorial_s_file_runs_to_the_letter_under_our_launcher() {
    if !engine_answers("the_tutorial_s_file_runs_to_the_letter_under_our_launcher") {
        return;
    }
    let launcher = Launcher::new(Path::new(PROGRAM), &["--runtime", "docker"], "jd-letter-");
    ok(&mut launcher.command(&["up", "-d"]));
    follow_the_tutorial();
}

/// The Docker Composes that people have: v2 as `.ci/run` builds it, and the distribution's (Debian's is 1.29). One that
/// is missing is skipped by name, but under CI, where that is a failure.
fn composes(test: &str) -> Vec<PathBuf> {
    let home = std::env::var("HOME").unwrap_or_default();
    let built = Path::new(&home).join(".cache/jackdaw/docker-compose-v2.40.3/docker-compose");
    let path = std::env::var("PATH").unwrap_or_default();
    let on_path = path.split(':').map(|folder| Path::new(folder).join("docker-compose"));
    let installed = on_path.into_iter().find(|path| path.is_file()).unwrap_or("docker-compose".into());
    let in_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    let (there, missing): (Vec<PathBuf>, Vec<PathBuf>) =
        [built, installed].into_iter().partition(|path| path.is_file());
    for compose in missing {
        let compose = compose.display();
        assert!(!in_ci, "{test}: CI has to have {compose}");
        let _ = writeln!(std::io::stderr(), "skipped: {test}, with {compose}: it is not here");
    }
    there
}

/// An image of ours under a name that may be somebody's already: given back when dropped.
struct Tagged {
    name: &'static str,
    before: Option<String>,
}

impl Tagged {
    fn new(name: &'static str) -> Self {
        let found = docker(&["image", "inspect", "--format", "{{.Id}}", name]).output().unwrap();
        let before = found.status.success().then(|| text(&found.stdout).trim().to_owned());
        ok(Command::new(PROGRAM).args(["image", "build", "--tag", name]));
        Self { name, before }
    }
}

impl Drop for Tagged {
    fn drop(&mut self) {
        let _ = match &self.before {
            Some(before) => docker(&["tag", before, self.name]).output(),
            None => docker(&["rmi", self.name]).output(),
        };
    }
}

/// A container, gone when dropped.
struct Container(&'static str);

impl Container {
    fn run(name: &'static str, words: &[&str]) -> Self {
        let _ = docker(&["rm", "-fv", name]).output();
        let container = Self(name);
        ok(docker(&["run", "-d", "--name", name]).args(words));
        container
    }

    fn logs(&self) -> String {
        said(&docker(&["logs", self.0]).output().unwrap())
    }

    /// Its exit code, once it has ended.
    fn ended(&self) -> String {
        ok(&mut docker(&["wait", self.0])).trim().to_owned()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}: {}", self.0, self.logs());
        }
        let _ = docker(&["rm", "-fv", self.0]).output();
    }
}

#[test]
fn apache_s_image_starts_with_nothing_said_and_stops_cleanly() {
    if !engine_answers("apache_s_image_starts_with_nothing_said_and_stops_cleanly") {
        return;
    }
    let image = Tagged::new("jackdaw.test/apache/kafka:3.7.0");
    let node = Container::run("jd-apache", &[image.name]);
    until_healthy(&[node.0]);
    let told = typed(node.0, "id -u; grep -c . /opt/kafka/config/server.properties; pwd\n");
    assert!(told.starts_with("1000\n2") && told.ends_with("/\n"), "{told}");
    ok(&mut docker(&["stop", node.0]));
    assert_eq!(node.ended(), "0", "{}", node.logs());
    assert!(node.logs().contains("shut down completed"), "{}", node.logs());
    ok(&mut docker(&["start", node.0]));
    until_healthy(&[node.0]);
}

#[test]
fn a_launcher_may_wait_in_the_container_and_call_confluent_s_steps_itself() {
    if !engine_answers("a_launcher_may_wait_in_the_container_and_call_confluent_s_steps_itself") {
        return;
    }
    let image = Tagged::new("jackdaw.test/confluentinc/cp-kafka:7.6.0");
    let wait = "while [ ! -f /tmp/start.sh ]; do sleep 0.1; done; /tmp/start.sh";
    let env = ["-e", "KAFKA_NODE_ID=1", "-e", "KAFKA_PROCESS_ROLES=broker,controller", "-e"];
    let more = ["KAFKA_CONTROLLER_QUORUM_VOTERS=1@localhost:9094", "-e", "CLUSTER_ID=4L6g3nShT-eMCtK--X86sw"];
    let listeners = [
        "-e",
        "KAFKA_LISTENERS=PLAINTEXT://0.0.0.0:9093,BROKER://0.0.0.0:9092,CONTROLLER://0.0.0.0:9094",
        "-e",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP=BROKER:PLAINTEXT,PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "-e",
        "KAFKA_INTER_BROKER_LISTENER_NAME=BROKER",
        "-e",
        "KAFKA_CONTROLLER_LISTENER_NAMES=CONTROLLER",
        "-e",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR=1",
    ];
    let words = [&env[..], &more, &listeners, &["--entrypoint", "sh", image.name, "-c", wait]].concat();
    let node = Container::run("jd-confluent", &words);
    let folder = tempfile::tempdir().unwrap();
    let start = folder.path().join("start.sh");
    let text = "#!/bin/bash
export KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://localhost:32768,BROKER://$(hostname -i):9092
/etc/confluent/docker/configure
/etc/confluent/docker/launch
";
    fs::write(&start, text).unwrap();
    fs::set_permissions(&start, PermissionsExt::from_mode(0o777)).unwrap();
    ok(&mut docker(&["cp", start.to_str().unwrap(), "jd-confluent:/tmp/start.sh"]));
    until_healthy(&[node.0]);
    let told = typed(
        node.0,
        "grep advertised /etc/kafka/kafka.properties; cat /var/lib/kafka/data/meta.properties\n",
    );
    assert!(told.contains("PLAINTEXT://localhost:32768,BROKER://172."), "{told}");
    assert!(told.contains("cluster.id=4L6g3nShT-eMCtK--X86sw"), "{told}");
    ok(&mut docker(&["stop", node.0]));
    assert!(node.logs().contains("shut down completed"), "the shells hand the signal on: {}", node.logs());
}

#[test]
fn steps_and_settings_of_the_image_may_be_changed_before_they_are_used() {
    if !engine_answers("steps_and_settings_of_the_image_may_be_changed_before_they_are_used") {
        return;
    }
    let image = Tagged::new("jackdaw.test/changed/apache/kafka:3.7.0");
    let start =
        "cd /opt/kafka && sed -i 's/^num.partitions=.*/num.partitions=2/' config/kraft/server.properties &&
bin/kafka-storage.sh format -t $(bin/kafka-storage.sh random-uuid) -c config/kraft/server.properties &&
exec bin/kafka-server-start.sh config/kraft/server.properties";
    let node = Container::run("jd-changed-apache", &[image.name, "sh", "-c", start]);
    until_healthy(&[node.0]);
    let create = "/opt/kafka/bin/kafka-topics.sh --bootstrap-server localhost:9092 --create --topic t\n";
    let describe = create.replace("--create", "--describe");
    let told = typed(node.0, &format!("{create}{describe}"));
    assert!(told.contains("PartitionCount: 2"), "{told}");

    let image = Tagged::new("jackdaw.test/changed/confluentinc/cp-kafka:7.6.0");
    let start = "sed -i '/KAFKA_ZOOKEEPER_CONNECT/d' /etc/confluent/docker/configure
echo 'echo ensured for $KAFKA_NODE_ID' >> /etc/confluent/docker/ensure
exec /etc/confluent/docker/run";
    let env = [
        "KAFKA_NODE_ID=1",
        "KAFKA_PROCESS_ROLES=broker,controller",
        "KAFKA_CONTROLLER_QUORUM_VOTERS=1@localhost:9093",
        "KAFKA_LISTENERS=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093",
        "KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://localhost:9092",
        "KAFKA_CONTROLLER_LISTENER_NAMES=CONTROLLER",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "CLUSTER_ID=4L6g3nShT-eMCtK--X86sw",
    ];
    let env: Vec<&str> = env.iter().flat_map(|pair| ["-e", pair]).collect();
    let node =
        Container::run("jd-changed-confluent", &[&env[..], &[image.name, "bash", "-c", start]].concat());
    until_healthy(&[node.0]);
    assert!(node.logs().contains("ensured for 1"), "{}", node.logs());
}

#[test]
fn what_bitnami_s_entrypoint_does_is_done() {
    if !engine_answers("what_bitnami_s_entrypoint_does_is_done") {
        return;
    }
    let image = Tagged::new("jackdaw.test/bitnami/kafka:3.7.0");
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        fs::write(folder.path().join(name), text).unwrap();
        folder.path().join(name).display().to_string()
    };
    let script = write("init.sh", "echo \"prepared by $(id -u)\"\n");
    let secret = write("id", "HsDBs9l6UUmQq7Y5E6bNlw\n");
    let env = ["KAFKA_CFG_NODE_ID=0", "KAFKA_CFG_PROCESS_ROLES=controller,broker", "KAFKA_HEAP_OPTS=-Xmx1g"];
    let more = [
        "KAFKA_CFG_CONTROLLER_QUORUM_VOTERS=0@localhost:9093",
        "KAFKA_CFG_LISTENERS=PLAINTEXT://:9092,CONTROLLER://:9093",
        "KAFKA_CFG_LISTENER_SECURITY_PROTOCOL_MAP=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "KAFKA_CFG_CONTROLLER_LISTENER_NAMES=CONTROLLER",
        "KAFKA_KRAFT_CLUSTER_ID_FILE=/run/secrets/id",
    ];
    let env: Vec<&str> = env.iter().chain(&more).flat_map(|pair| ["-e", pair]).collect();
    let mounts = [
        "-v".to_owned(),
        format!("{script}:/docker-entrypoint-initdb.d/init.sh"),
        "-v".to_owned(),
        format!("{secret}:/run/secrets/id"),
    ];
    let mounts: Vec<&str> = mounts.iter().map(String::as_str).collect();
    let run = "exec /opt/bitnami/scripts/kafka/run.sh --override num.partitions=3";
    let words = [&env[..], &mounts, &[image.name, "bash", "-c", run]].concat();
    let node = Container::run("jd-bitnami", &words);
    until_healthy(&[node.0]);
    ok(&mut docker(&["restart", node.0]));
    until_healthy(&[node.0]);
    let logs = node.logs();
    assert_eq!(logs.matches("prepared by 1001").count(), 1, "{logs}");
    assert!(logs.contains("no effect here, where no Java virtual machine is: KAFKA_HEAP_OPTS"), "{logs}");
    let told = typed(node.0, "cat /bitnami/kafka/data/meta.properties; tr '\\0' ' ' < /proc/1/cmdline\n");
    assert!(told.contains("cluster.id=HsDBs9l6UUmQq7Y5E6bNlw"), "{told}");
    assert!(told.contains("--override num.partitions=3"), "{told}");
}

#[test]
fn what_cannot_work_ends_the_container_with_the_reason() {
    if !engine_answers("what_cannot_work_ends_the_container_with_the_reason") {
        return;
    }
    let image = Tagged::new("jackdaw.test/refused/bitnami/kafka:3.7.0");
    let nothing = Container::run("jd-nothing", &[image.name]);
    assert_eq!(nothing.ended(), "1");
    assert!(nothing.logs().contains("set KAFKA_CFG_PROCESS_ROLES"), "{}", nothing.logs());

    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let mount = format!("{}:/bitnami/kafka", folder.path().display());
    let env = [
        "KAFKA_CFG_NODE_ID=0",
        "KAFKA_CFG_PROCESS_ROLES=controller,broker",
        "KAFKA_CFG_CONTROLLER_QUORUM_VOTERS=0@localhost:9093",
        "KAFKA_CFG_LISTENERS=PLAINTEXT://:9092,CONTROLLER://:9093",
        "KAFKA_CFG_CONTROLLER_LISTENER_NAMES=CONTROLLER",
        "KAFKA_CFG_LISTENER_SECURITY_PROTOCOL_MAP=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    ];
    let env: Vec<&str> = env.iter().flat_map(|pair| ["-e", pair]).collect();
    let foreign = Container::run("jd-foreign", &[&env[..], &["-v", &mount, image.name]].concat());
    assert_eq!(foreign.ended(), "1");
    let logs = foreign.logs();
    assert!(logs.contains("data folder /bitnami/kafka/data cannot be written"), "{logs}");
    assert!(logs.contains("the node runs as 1001:0; on the host, `sudo chown -R 1001:0`"), "{logs}");
}

#[test]
fn the_tutorial_s_file_runs_to_the_letter_under_docker_compose() {
    let name = "the_tutorial_s_file_runs_to_the_letter_under_docker_compose";
    if !engine_answers(name) {
        return;
    }
    let composes = composes(name);
    if composes.is_empty() {
        return;
    }
    let _image = Tagged::new(IMAGE);
    for compose in composes {
        let launcher = Launcher::new(&compose, &[], "jd-compose-");
        ok(&mut launcher.command(&["up", "-d"]));
        follow_the_tutorial();
        let logs = said(&docker(&["logs", CONTAINERS[0]]).output().unwrap());
        assert!(
            logs.contains("the bitnami image does not know KAFKA_KRAFT_CLTER_ID")
                && logs.contains("did you mean KAFKA_KRAFT_CLUSTER_ID?"),
            "{logs}"
        );
    }
}
