//! Programs as users write them, on the project's own compose.yml and its ports, while a broker is killed: a Spring
//! Boot producer and consumer, and a Kafka Streams word count with exactly-once. They lie in `scenarios/apps` and are
//! built with Maven; where there is no Maven or no JDK the tests are skipped by name, and under `CI=true` they fail.

#![allow(clippy::unwrap_used, reason = "a panic in a test helper is the failure report")]

mod common;

use common::Cluster;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);
/// Time in which Maven fetches what the machine does not have yet, and builds.
const BUILD: Duration = Duration::from_secs(400);
/// Where the application.yml puts the application.
const HTTP: u16 = 8088;
/// Where compose.yml puts the brokers.
const BROKERS: [u16; 6] = [9092, 9093, 9094, 10_000, 10_001, 10_002];

/// A program that ends with the test, and the lines that it prints.
struct Program {
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Program {
    fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (sender, lines) = channel();
        let streams: [Box<dyn std::io::Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for stream in streams {
            let sender = sender.clone();
            std::thread::spawn(move || {
                BufReader::new(stream).lines().map_while(Result::ok).all(|line| sender.send(line).is_ok())
            });
        }
        Self { child, lines, said: Vec::new() }
    }

    fn java(jar: &Path) -> Command {
        let mut java = Command::new("java");
        java.args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx256m", "-jar"]).arg(jar);
        java
    }

    fn await_line(&mut self, part: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let is_it = line.contains(part);
                    self.said.push(line);
                    if is_it {
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("it did not say `{part}` within {PATIENCE:?}"),
                Err(RecvTimeoutError::Disconnected) => panic!("it ended before it said `{part}`"),
            }
        }
    }

    fn await_end(&mut self, patience: Duration) -> ExitStatus {
        let deadline = Instant::now() + patience;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.said.push(line),
                Err(RecvTimeoutError::Timeout) => panic!("it did not end within {patience:?}"),
                Err(RecvTimeoutError::Disconnected) => return self.child.wait().unwrap(),
            }
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            self.said.extend(self.lines.iter());
            let last = self.said.len().saturating_sub(60);
            eprintln!("the program said, at last:\n{}", self.said[last..].join("\n"));
        }
    }
}

/// The folder of the built programs, and the ports for as long as the guard lives. None where the tools are missing.
fn programs(test: &str, ports: &[u16]) -> Option<(PathBuf, MutexGuard<'static, ()>)> {
    static PORTS: Mutex<()> = Mutex::new(());
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let has = |tool: &&str| Command::new(tool).arg("-version").output().is_ok_and(|o| o.status.success());
    let missing: Vec<&str> = ["mvn", "java", "javac"].into_iter().filter(|tool| !has(tool)).collect();
    if !missing.is_empty() {
        let why = format!("no {} is on PATH", missing.join(", no "));
        let in_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!in_ci, "{test}: CI has to have Maven and a JDK: {why}");
        // Past the capture of a passing test's output: a skip is to be seen.
        let _ = writeln!(std::io::stderr(), "skipped: {test}: {why}");
        return None;
    }
    let alone = PORTS.lock().unwrap_or_else(PoisonError::into_inner);
    for port in BROKERS.iter().chain(ports) {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, *port));
        let why = "somebody else has port";
        assert!(free.is_ok(), "{test}: {why} {port}, which compose.yml or application.yml names: {free:?}");
    }
    Some((BUILT.get_or_init(build).clone(), alone))
}

fn build() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("apps");
    let mut maven = Program::start(
        Command::new("mvn")
            .args(["--batch-mode", "--quiet", "package", "--file"])
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/apps/pom.xml"))
            .arg(format!("-Dapps.target={}", target.display())),
    );
    let ended = maven.await_end(BUILD);
    assert!(ended.success(), "mvn package: {ended}");
    target
}

/// Asks the application; its answer.
fn http(method: &str, path: &str, body: &str) -> Value {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, HTTP)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap_or_else(|error| panic!("{method} {path}: {error}"));
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    assert!(head.split(' ').nth(1) == Some("200"), "{method} {path}: {reply}");
    serde_json::from_str(body).unwrap()
}

/// Sends that many messages, and gives their places.
fn send(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers
        .map(|n| http("POST", &format!("/messages?key={n}"), &format!("message {n}")).to_string())
        .collect()
}

/// What the listener has, as soon as it is so many.
fn listened(count: usize) -> BTreeSet<String> {
    let within_ms = PATIENCE.as_millis() - 5_000;
    let told = http("GET", &format!("/messages?count={count}&withinMs={within_ms}"), "");
    told.as_array().unwrap().iter().map(Value::to_string).collect()
}

/// What brokers know of a partition.
struct Watcher(BaseConsumer);

impl Watcher {
    fn new(cluster: &Cluster) -> Self {
        Self(ClientConfig::new().set("bootstrap.servers", cluster.bootstrap()).create().unwrap())
    }

    /// The leader's service, and the replicas in sync, of every partition.
    fn of(&self, topic: &str) -> Vec<(i32, usize)> {
        let metadata = self.0.fetch_metadata(Some(topic), PATIENCE).unwrap();
        metadata.topics()[0].partitions().iter().map(|p| (p.leader(), p.isr().len())).collect()
    }

    fn await_in_sync(&self, topic: &str, replicas: usize) {
        let deadline = Instant::now() + PATIENCE;
        while !self.of(topic).iter().all(|(leader, isr)| *leader >= 0 && *isr == replicas) {
            assert!(
                Instant::now() < deadline,
                "{topic} has not its {replicas} replicas: {:?}",
                self.of(topic)
            );
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }
}

#[test]
fn a_spring_application_gets_its_messages_back_while_a_broker_is_killed() {
    let test = "a_spring_application_gets_its_messages_back_while_a_broker_is_killed";
    let Some((programs, _alone)) = programs(test, &[HTTP]) else { return };
    let cluster = Cluster::of_the_project();
    let mut application = Program::start(&mut Program::java(&programs.join("spring/spring.jar")));
    application.await_line("Started Application");
    let mut sent = send(0..30);
    let listens = |sent: &[String]| {
        assert_eq!(
            listened(sent.len()),
            sent.iter().cloned().collect(),
            "what was sent is what was listened to"
        );
    };
    listens(&sent);
    let watcher = Watcher::new(&cluster);
    let partitions = watcher.of("tester");
    let first: Value = serde_json::from_str(&sent[0]).unwrap();
    let (leader, _) = partitions[first["partition"].as_u64().unwrap() as usize];
    let leader = &cluster.services()[leader as usize];
    cluster.ok(&["kill", "-s", "SIGKILL", leader]);
    sent.extend(send(30..60));
    listens(&sent);
    cluster.ok(&["start", leader]);
    watcher.await_in_sync("tester", 2);
    sent.extend(send(60..90));
    listens(&sent);
    let places: BTreeSet<String> = sent
        .iter()
        .map(|message| serde_json::from_str::<Value>(message).unwrap()["partition"].to_string())
        .collect();
    assert_eq!(places.len(), partitions.len(), "every partition took its part");
}

const SENTENCES: &str = "sentences";
const COUNTS: &str = "counts";

/// Who writes sentences, and what is to be counted.
struct Writer {
    producer: ThreadedProducer<DefaultProducerContext>,
    expected: BTreeMap<String, u64>,
}

impl Writer {
    fn write(&mut self, numbers: std::ops::Range<usize>) {
        for number in numbers {
            let words = [format!("of{}", number % 7), format!("by{}", number % 11), "all".to_owned()];
            let (key, sentence) = (number.to_string(), words.join(" "));
            self.producer.send(BaseRecord::to(SENTENCES).key(&key).payload(&sentence)).unwrap();
            words.into_iter().for_each(|word| *self.expected.entry(word).or_default() += 1);
        }
        self.producer.flush(PATIENCE).unwrap();
    }
}

/// Who reads what was counted and committed: every count of a word, in the order of their coming.
struct Reader {
    consumer: BaseConsumer,
    counts: BTreeMap<String, Vec<u64>>,
}

impl Reader {
    fn of(cluster: &Cluster) -> Self {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", cluster.bootstrap())
            .set("group.id", "nobody")
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .create()
            .unwrap();
        let mut assignment = TopicPartitionList::new();
        for partition in 0..3 {
            assignment.add_partition_offset(COUNTS, partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&assignment).unwrap();
        Self { consumer, counts: BTreeMap::new() }
    }

    fn read_until(&mut self, is_enough: impl Fn(&BTreeMap<String, Vec<u64>>) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_enough(&self.counts) {
            assert!(Instant::now() < deadline, "no more counts: {:?}", self.counts);
            // Errors are of brokers that are away for a while.
            let Some(Ok(message)) = self.consumer.poll(Duration::from_millis(100)) else { continue };
            let word = String::from_utf8(message.key().unwrap().to_vec()).unwrap();
            let count = std::str::from_utf8(message.payload().unwrap()).unwrap().parse().unwrap();
            self.counts.entry(word).or_default().push(count);
        }
    }

    /// Each word was counted up to what was written, one by one.
    fn read_exactly(&mut self, expected: &BTreeMap<String, u64>) {
        let total: u64 = expected.values().sum();
        self.read_until(|counts| counts.values().map(Vec::len).sum::<usize>() as u64 >= total);
        let due = expected.iter().map(|(word, count)| (word.clone(), (1..=*count).collect())).collect();
        assert_eq!(self.counts, due);
    }
}

fn create_topics(cluster: &Cluster) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", cluster.bootstrap()).create().unwrap();
    let topic = |name| NewTopic::new(name, 3, TopicReplication::Fixed(3));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let topics = [topic(SENTENCES), topic(COUNTS)];
    let created = runtime.block_on(admin.create_topics(&topics, &AdminOptions::new())).unwrap();
    assert!(created.iter().all(Result::is_ok), "{created:?}");
}

#[test]
fn a_word_count_is_exact_while_a_broker_is_killed() {
    let test = "a_word_count_is_exact_while_a_broker_is_killed";
    let Some((programs, _alone)) = programs(test, &[]) else { return };
    let cluster = Cluster::of_the_project();
    create_topics(&cluster);
    let mut java = Program::java(&programs.join("word-count/word-count.jar"));
    let mut program = Program::start(java.arg(cluster.bootstrap()).arg(cluster.folder().join("state")));
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cluster.bootstrap()).set("enable.idempotence", "true");
    let mut writer = Writer { producer: config.create().unwrap(), expected: BTreeMap::new() };
    let mut reader = Reader::of(&cluster);
    writer.write(0..300);
    program.await_line("state RUNNING");
    // In the middle of it.
    reader.read_until(|counts| counts.values().map(Vec::len).sum::<usize>() > 100);
    let watcher = Watcher::new(&cluster);
    let (leader, _) = watcher.of(SENTENCES)[0];
    let leader = &cluster.services()[leader as usize];
    cluster.ok(&["kill", "-s", "SIGKILL", leader]);
    writer.write(300..600);
    reader.read_exactly(&writer.expected);
    cluster.ok(&["start", leader]);
    watcher.await_in_sync(SENTENCES, 3);
    writer.write(600..900);
    reader.read_exactly(&writer.expected);
}
