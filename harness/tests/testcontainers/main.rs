//! Testcontainers with our image: the Kafka modules that others wrote, as they are, for Java, Python, Go and Rust, and
//! our own crate. The programs lie in `scenarios/apps/testcontainers`, what they need comes from their registries into
//! a cache. Where an engine or a language's tools are missing a test is skipped by name; under `CI=true` it fails.

#![allow(clippy::unwrap_used, reason = "a panic in a test helper is the failure report")]

#[path = "../common/mod.rs"]
mod common;
mod relay;

use common::engine_answers;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use relay::Relay;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const JACKDAW: &str = env!("CARGO_BIN_EXE_jackdaw");
/// Seconds in which a program has to do its work, its containers' start included.
const PATIENCE_S: u32 = 120;
/// Seconds in which a language's tools fetch what the machine does not have yet, and build.
const BUILD_S: u32 = 600;
/// What stands before the address in a program's output.
const SERVERS: &str = "bootstrap.servers=";

/// A program that a test needs, and how it is asked whether it is there.
type Tool = (&'static str, &'static str);

/// Whether the test can run here.
fn can_run(test: &str, tools: &[Tool]) -> bool {
    if !engine_answers(test) {
        return false;
    }
    let has = |(tool, asks): &&Tool| Command::new(tool).arg(asks).output().is_ok_and(|o| o.status.success());
    let missing: Vec<&str> = tools.iter().filter(|tool| !has(tool)).map(|(tool, _)| *tool).collect();
    let in_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(missing.is_empty() || !in_ci, "{test}: CI has to have {}", missing.join(", "));
    if !missing.is_empty() {
        // Past the capture of a passing test's output: a skip is to be seen.
        let _ = writeln!(std::io::stderr(), "skipped: {test}: no {} is on PATH", missing.join(", no "));
    }
    missing.is_empty()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A command that is ended when it takes too long.
fn within(seconds: u32, program: impl AsRef<Path>) -> Command {
    let mut command = Command::new("timeout");
    command.args(["-k", "5", &seconds.to_string()]).arg(program.as_ref());
    // The reaper of what a killed program leaves is an image that not every engine can pull.
    command.stdin(Stdio::null()).env("TESTCONTAINERS_RYUK_DISABLED", "true");
    // Inside a container they take its gateway for the engine's machine; here the engine runs beside the test.
    command.env("TESTCONTAINERS_HOST_OVERRIDE", "localhost");
    command
}

/// What it prints to stdout.
fn ok(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = || format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, said());
    text(&output.stdout)
}

fn docker(words: &[&str]) -> Command {
    let mut command = within(60, "docker");
    command.args(words);
    command
}

/// A program's folder.
fn program(language: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/apps/testcontainers").join(language)
}

/// A folder that outlives the workspace's target, held by one test at a time.
fn cache(language: &str) -> (PathBuf, File) {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").unwrap_or_else(|| set("HOME").unwrap().join(".cache"));
    let cache = cache.join("jackdaw/testcontainers");
    fs::create_dir_all(&cache).unwrap();
    let lock = File::create(cache.join("lock")).unwrap();
    lock.lock().unwrap();
    (cache.join(language), lock)
}

/// Our image under names that may be somebody's already: given back when dropped, with the containers that are left.
struct Images(Vec<(&'static str, Option<String>)>);

impl Images {
    fn new(names: &[&'static str]) -> Self {
        let id = |name| docker(&["image", "inspect", "--format", "{{.Id}}", name]).output().unwrap();
        let before = |name: &&'static str| {
            let found = id(*name);
            (*name, found.status.success().then(|| text(&found.stdout).trim().to_owned()))
        };
        let images = Self(names.iter().map(before).collect());
        let mut build = within(PATIENCE_S, JACKDAW);
        build.args(["image", "build"]);
        for name in names {
            build.args(["--tag", name]);
        }
        ok(&mut build);
        images
    }

    /// Containers of these images.
    fn containers(&self) -> Vec<String> {
        let of = |(name, _): &(&str, Option<String>)| {
            let filter = format!("ancestor={name}");
            let listed = docker(&["ps", "-aq", "--filter", &filter]).output().unwrap();
            text(&listed.stdout).lines().map(str::to_owned).collect::<Vec<_>>()
        };
        self.0.iter().flat_map(of).collect()
    }

    /// Networks that these are on.
    fn networks(&self) -> Vec<String> {
        let mut inspect = docker(&["inspect", "--format", "{{.HostConfig.NetworkMode}}"]);
        ok(inspect.args(self.containers())).lines().map(str::to_owned).collect()
    }
}

impl Drop for Images {
    fn drop(&mut self) {
        for container in self.containers() {
            if std::thread::panicking() {
                let logs = docker(&["logs", "--tail", "40", &container]).output();
                let said = logs.map(|logs| text(&logs.stdout) + &text(&logs.stderr)).unwrap_or_default();
                eprintln!("container {container} was left:\n{said}");
            }
            drop(docker(&["rm", "-fv", &container]).output());
        }
        for (name, before) in &self.0 {
            drop(match before {
                Some(before) => docker(&["tag", before, name]).output(),
                None => docker(&["rmi", name]).output(),
            });
        }
    }
}

/// A program that prints the address of its brokers and keeps them until its standard input is closed.
struct Held {
    child: Child,
    said: Box<dyn Iterator<Item = String>>,
    servers: String,
}

impl Held {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let servers = said.find_map(|line| Some(line.split_once(SERVERS)?.1.to_owned()));
        let servers = servers.unwrap_or_else(|| panic!("{command:?} had no broker: {:?}", child.wait()));
        Self { child, said: Box::new(said), servers }
    }

    fn end(mut self) {
        drop(self.child.stdin.take());
        let last: Vec<String> = self.said.collect();
        let ended = self.child.wait().unwrap();
        assert!(ended.success(), "{ended}: {last:?}");
    }
}

/// A record as it comes back to a member of a group.
fn echo(servers: &str, value: &str, replicas: i32) -> String {
    let client = || {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", servers);
        config
    };
    let admin: AdminClient<DefaultClientContext> = client().create().unwrap();
    let topic = NewTopic::new("greetings", 1, TopicReplication::Fixed(replicas));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let made = runtime.block_on(admin.create_topics(&[topic], &AdminOptions::new())).unwrap();
    assert!(made.iter().all(Result::is_ok), "{made:?}");
    let patience = Duration::from_secs(30);
    let producer: BaseProducer = client().set("acks", "all").create().unwrap();
    producer.send(BaseRecord::<(), str>::to("greetings").payload(value)).unwrap();
    producer.flush(patience).unwrap();
    let consumer: BaseConsumer =
        client().set("group.id", "readers").set("auto.offset.reset", "earliest").create().unwrap();
    consumer.subscribe(&["greetings"]).unwrap();
    let deadline = Instant::now() + patience;
    while Instant::now() < deadline {
        if let Some(Ok(record)) = consumer.poll(Duration::from_millis(100)) {
            return text(record.payload().unwrap());
        }
    }
    panic!("no record within {patience:?}");
}

#[test]
fn java_s_kafka_modules_run_our_image() {
    let tools = [("mvn", "-version"), ("java", "-version"), ("javac", "-version")];
    if !can_run("java_s_kafka_modules_run_our_image", &tools) {
        return;
    }
    let (_, building) = cache("java");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("testcontainers");
    let mut maven = within(BUILD_S, "mvn");
    maven.args(["--batch-mode", "--quiet", "package", "--also-make", "--projects", "testcontainers/java"]);
    maven.arg("--file").arg(program("../pom.xml")).arg(format!("-Dapps.target={}", target.display()));
    ok(&mut maven);
    drop(building);
    let (apache, confluent) = ("apache/kafka:3.7.0", "confluentinc/cp-kafka:7.6.1");
    let _images = Images::new(&[apache, confluent]);
    let mut java = within(PATIENCE_S, "java");
    java.args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-jar"]);
    let told = ok(java.arg(target.join("testcontainers/testcontainers.jar")).args([apache, confluent]));
    let expected = [
        "org.testcontainers.kafka.KafkaContainer: hello from Java",
        "org.testcontainers.kafka.ConfluentKafkaContainer: hello from Java",
        // With KRaft, and with a ZooKeeper that is not there.
        "org.testcontainers.containers.KafkaContainer: hello from Java",
        "org.testcontainers.containers.KafkaContainer: hello from Java",
    ];
    assert_eq!(told.lines().collect::<Vec<_>>(), expected);
}

/// An environment with what the program needs, made anew when that changes.
fn python_environment(folder: &Path) -> PathBuf {
    let (wanted, made) = (program("python/requirements.txt"), folder.join("requirements.txt"));
    let python = folder.join("bin/python");
    if fs::read(&made).ok() != Some(fs::read(&wanted).unwrap()) {
        ok(within(BUILD_S, "python3").args(["-m", "venv", "--clear"]).arg(folder));
        let mut pip = within(BUILD_S, &python);
        pip.args(["-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--requirement"]);
        ok(pip.arg(&wanted));
        fs::copy(&wanted, &made).unwrap();
    }
    python
}

#[test]
fn python_s_kafka_module_runs_our_image() {
    if !can_run("python_s_kafka_module_runs_our_image", &[("python3", "--version")]) {
        return;
    }
    let (folder, building) = cache("python");
    let python = python_environment(&folder);
    drop(building);
    let image = "confluentinc/cp-kafka:7.6.0";
    let _images = Images::new(&[image]);
    let told = ok(within(PATIENCE_S, python).arg(program("python/modules.py")).arg(image));
    // With KRaft, and with a ZooKeeper that is not there.
    assert_eq!(told, "KafkaContainer: hello from Python\n".repeat(2));
}

#[test]
fn go_s_kafka_module_runs_our_image() {
    if !can_run("go_s_kafka_module_runs_our_image", &[("go", "version")]) {
        return;
    }
    let (_, building) = cache("go");
    let built = Path::new(env!("CARGO_TARGET_TMPDIR")).join("testcontainers-go");
    let mut go = within(BUILD_S, "go");
    ok(go.args(["build", "-mod=readonly", "-o"]).arg(&built).arg(".").current_dir(program("go")));
    drop(building);
    let image = "confluentinc/confluent-local:7.5.0";
    let _images = Images::new(&[image]);
    assert_eq!(ok(within(PATIENCE_S, built).arg(image)), "kafka.Run: hello from Go\n");
}

/// The program of our crate for Rust, which is tested on the way.
fn rust_program() -> PathBuf {
    let (target, _building) = cache("rust");
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("testcontainers/Cargo.toml");
    let mut cargo = within(BUILD_S, env!("CARGO"));
    cargo.args(["test", "--quiet", "--locked", "--manifest-path"]).arg(manifest);
    ok(cargo.arg("--target-dir").arg(&target).env_remove("RUSTFLAGS"));
    let built = Path::new(env!("CARGO_TARGET_TMPDIR")).join("testcontainers-rust");
    fs::copy(target.join("debug/examples/held"), &built).unwrap();
    built
}

#[test]
fn rust_s_kafka_module_and_our_own_crate_run_our_image() {
    if !can_run("rust_s_kafka_module_and_our_own_crate_run_our_image", &[]) {
        return;
    }
    let program = rust_program();
    let relay = Relay::start();
    let image = "jackdaw.test/cluster:1";
    let images = Images::new(&["apache/kafka-native:3.8.0", "apache/kafka:3.8.0", image]);
    let held = |words: &[&str]| {
        Held::start(within(PATIENCE_S, &program).args(words).env("DOCKER_HOST", relay.host()))
    };
    for (words, brokers) in
        [(&["native"][..], 1), (&["jvm"], 1), (&["broker", image], 1), (&["cluster", image], 3)]
    {
        let held = held(words);
        assert_eq!(held.servers.split(',').count(), brokers, "{words:?}");
        assert_eq!(echo(&held.servers, "hello from Rust", brokers as i32), "hello from Rust", "{words:?}");
        let networks = images.networks();
        held.end();
        assert_eq!(images.containers(), [""; 0], "{words:?}: what was started is removed");
        for network in networks.iter().filter(|network| network.starts_with("jackdaw-")) {
            let left = docker(&["network", "inspect", network]).output().unwrap();
            assert!(!left.status.success(), "{words:?}: and its network: {network}");
        }
    }
    for (image, why) in [
        (image, "Invalid value many for configuration"),
        ("jackdaw.test/nothing:1", "`jackdaw image build --tag jackdaw.test/nothing:1` makes it"),
    ] {
        let refused = held(&["refused", image]);
        assert!(refused.servers.contains(why), "{}", refused.servers);
        refused.end();
    }
    assert_eq!(images.containers(), [""; 0], "what was refused is removed");
}
