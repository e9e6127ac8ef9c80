//! Kafka's tools without a JVM say what Kafka's say: the lines of `fixtures/tools.txt`, recorded from Apache Kafka
//! 3.7.0, against a cluster of Jackdaw's.

#![allow(clippy::unwrap_used, reason = "a panic in a test helper is the failure report")]

mod common;

use common::Cluster;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;

/// Small topics of Kafka's own, so that no line waits for them.
const SETTINGS: [&str; 4] = [
    "KAFKA_CFG_OFFSETS_TOPIC_NUM_PARTITIONS=1",
    "KAFKA_CFG_OFFSETS_TOPIC_REPLICATION_FACTOR=3",
    "KAFKA_CFG_GROUP_INITIAL_REBALANCE_DELAY_MS=0",
    "KAFKA_CFG_TRANSACTION_STATE_LOG_NUM_PARTITIONS=1",
];
/// As the release's `config/tools-log4j.properties`.
const LOG4J: &str = "log4j.rootLogger=WARN, stderr\n\
    log4j.appender.stderr=org.apache.log4j.ConsoleAppender\n\
    log4j.appender.stderr.layout=org.apache.log4j.PatternLayout\n\
    log4j.appender.stderr.layout.ConversionPattern=[%d] %p %m (%c)%n\n\
    log4j.appender.stderr.Target=System.err\n";

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn recordings() -> PathBuf {
    workspace().join("fixtures/apache-kafka-3.7.0/tools")
}

/// The snapshots and their lines.
fn snapshots() -> Vec<(String, Vec<String>)> {
    let text = fs::read_to_string(workspace().join("fixtures/tools.txt")).unwrap();
    let mut snapshots: Vec<(String, Vec<String>)> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            Some(name) => snapshots.push((name.to_owned(), Vec::new())),
            None => snapshots.last_mut().unwrap().1.push(line.to_owned()),
        }
    }
    snapshots
}

/// Who runs the tools.
#[derive(Clone, Copy)]
enum Provider {
    Jackdaw,
    ApacheKafka,
}

/// One snapshot's surroundings.
struct Place<'a> {
    bootstrap: &'a str,
    /// The log directory of node 0.
    logs: String,
    folder: tempfile::TempDir,
    provider: Provider,
    /// Names for what differs from run to run, in the order of their coming.
    ids: BTreeMap<String, String>,
}

impl Place<'_> {
    /// Runs one line; what is kept of what it did.
    fn run(&mut self, line: &str) -> String {
        let folder = self.folder.path().to_str().unwrap().to_owned();
        let filled = line.replace("$B", self.bootstrap).replace("$D", &self.logs).replace("$F", &folder);
        if let Some((name, text)) = filled.strip_prefix("> ").and_then(|rest| rest.split_once(' ')) {
            fs::write(self.folder.path().join(name), unescaped(text)).unwrap();
            return String::new();
        }
        let (words, stdin) = match filled.split_once(" < ") {
            Some((words, stdin)) => (words, unescaped(stdin)),
            None => (filled.as_str(), String::new()),
        };
        let words: Vec<&str> = words.split_whitespace().collect();
        let output = self.output(words[0], &words[1..], &stdin);
        let mut told = format!("$ {line}\n");
        told += &self.stable(&String::from_utf8_lossy(&output.stdout), "  ");
        let stderr = String::from_utf8_lossy(&output.stderr);
        let shows_help = words.contains(&"--help") || words.contains(&"-h");
        told += &self.stable(&if shows_help { stderr.into_owned() } else { without_options(&stderr) }, "! ");
        match output.status.code() {
            Some(0) => {}
            code => told += &format!("exit {}\n", code.unwrap()),
        }
        told + "\n"
    }

    fn output(&self, tool: &str, words: &[&str], stdin: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_jackdaw"));
        match self.provider {
            Provider::Jackdaw => {
                command.arg0(format!("/opt/kafka/bin/{tool}.sh"));
            }
            Provider::ApacheKafka => {
                let log4j = self.folder.path().join("log4j.properties");
                fs::write(&log4j, LOG4J).unwrap();
                command.env("JDK_JAVA_OPTIONS", format!("-Dlog4j.configuration=file:{}", log4j.display()));
                command.args(["kafka-tool", jackdaw_tools::dispatch(tool).unwrap().class, "--"]);
            }
        }
        command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A tool that refuses its arguments reads nothing.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        child.wait_with_output().unwrap()
    }

    /// What a tool printed, without what no two runs have in common.
    fn stable(&mut self, text: &str, mark: &str) -> String {
        let mut kept = String::new();
        for line in text.lines() {
            let frame = line.starts_with("\tat ") || (line.starts_with("\t... ") && line.ends_with(" more"));
            // The JVM's word on its options, and what Kafka's client warns of while it waits.
            let noise =
                line.starts_with("NOTE: Picked up") || (line.starts_with('[') && line.contains("] WARN "));
            if frame || noise {
                continue;
            }
            kept += format!("{mark}{}", self.named(line)).trim_end();
            kept.push('\n');
        }
        kept
    }

    /// A line with names for ports, folders, ids and times.
    fn named(&mut self, line: &str) -> String {
        let mut line = line.replace(self.folder.path().to_str().unwrap(), "$F").replace(&self.logs, "$D");
        line = line.replace(self.bootstrap, "$B");
        for (index, server) in self.bootstrap.split(',').enumerate() {
            let port = server.rsplit(':').next().unwrap();
            line = line.replace(&format!(":{port}"), &format!(":PORT{index}"));
        }
        let long = regex(r"[A-Za-z0-9_-]{22}");
        let ids: Vec<String> = long.find_iter(&line).map(|found| found.as_str().to_owned()).collect();
        for id in ids {
            // A word of humps, as the names of classes are.
            let is_word = id.starts_with('-') || regex("^([A-Z]?[a-z]{2,}-?)+$").is_match(&id);
            let alone = line.split(|letter: char| !(letter.is_ascii_alphanumeric() || "-_".contains(letter)));
            if is_word || id.starts_with("AAAAAAAA") || !alone.clone().any(|word| word == id) {
                continue;
            }
            let next = format!("ID{}", self.ids.len());
            line = line.replace(&id, &*self.ids.entry(id.clone()).or_insert(next));
        }
        line = regex(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}\]").replace_all(&line, "[TIME]").into_owned();
        line = regex(r"\tEpoch: \d+").replace_all(&line, "\tEpoch: EPOCH").into_owned();
        // Which broker coordinates a group is placement's to choose, and that begins anywhere.
        line =
            regex(r"localhost:PORT\d \(\d\)").replace_all(&line, "localhost:PORT (COORDINATOR)").into_owned();
        line = regex(r"perf-consumer-\d+").replace_all(&line, "perf-consumer-NUMBER").into_owned();
        line = regex(r"crc: \d+").replace_all(&line, "crc: CRC").into_owned();
        line = regex(r"\bproducerId: \d+").replace_all(&line, "producerId: PRODUCER").into_owned();
        line = regex(r#""timestamp":\d{13}"#).replace_all(&line, r#""timestamp":TIME"#).into_owned();
        line =
            regex(r#""avg_throughput":[0-9.E]+"#).replace_all(&line, r#""avg_throughput":RATE"#).into_owned();
        line = regex(r"Time: ?\d{13}").replace_all(&line, "Time: TIME").into_owned();
        line
    }
}

/// What stands before the table of options that follows a refusal; where it is asked for, it is compared.
fn without_options(stderr: &str) -> String {
    let table = regex(r"(?m)^Option( \(\* = required\))? +Description *$");
    match table.find(stderr) {
        Some(found) => format!("{}(the options)\n", &stderr[..found.start()]),
        None => stderr.to_owned(),
    }
}

/// Compiled once: making one takes longer than most tools do.
fn regex(pattern: &'static str) -> regex::Regex {
    static MADE: Mutex<BTreeMap<&str, regex::Regex>> = Mutex::new(BTreeMap::new());
    MADE.lock().unwrap().entry(pattern).or_insert_with(|| regex::Regex::new(pattern).unwrap()).clone()
}

fn unescaped(text: &str) -> String {
    text.replace("\\n", "\n").replace("\\t", "\t")
}

/// Where node 0 keeps its logs, below the home of the process runtime.
fn logs(cluster: &Cluster) -> String {
    let project = cluster.folder().file_name().unwrap().to_str().unwrap().to_lowercase();
    let volume = cluster.folder().join(format!("home/{project}/volumes/{project}_data0/data"));
    volume.to_str().unwrap().to_owned()
}

fn transcript(cluster: &Cluster, provider: Provider, lines: &[String]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let (bootstrap, logs) = (&cluster.bootstrap(), logs(cluster));
    let mut place = Place { bootstrap, logs, folder, provider, ids: BTreeMap::new() };
    lines.iter().map(|line| place.run(line)).collect()
}

#[test]
fn the_tools_say_what_kafkas_say() {
    let cluster = Cluster::up(&SETTINGS);
    let only = std::env::var("JACKDAW_TOOLS").ok();
    let mut wrong = Vec::new();
    for (name, lines) in snapshots()
        .iter()
        .filter(|(name, _)| only.as_ref().is_none_or(|only| only.split(',').any(|only| only == name)))
    {
        let recorded = fs::read_to_string(recordings().join(format!("{name}.snap"))).unwrap();
        let told = transcript(&cluster, Provider::Jackdaw, lines);
        if told != recorded {
            let folder = workspace().join("target/tools");
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(format!("{name}.snap")), &told).unwrap();
            wrong.push(format!("{name}: {}", first_difference(&recorded, &told)));
        }
    }
    assert!(wrong.is_empty(), "what was told lies in target/tools\n{}", wrong.join("\n"));
}

fn first_difference(recorded: &str, told: &str) -> String {
    let (mut recorded_lines, mut told_lines) = (recorded.lines(), told.lines());
    let mut command = "";
    loop {
        match (recorded_lines.next(), told_lines.next()) {
            (Some(due), Some(line)) if due == line => {
                command = if line.starts_with("$ ") { line } else { command };
            }
            (due, line) => {
                return format!(
                    "{command}\n  Kafka:   {}\n  Jackdaw: {}",
                    due.unwrap_or("-"),
                    line.unwrap_or("-")
                );
            }
        }
    }
}

/// Needs a JVM, and Apache Kafka's jars.
#[test]
#[ignore = "writes the recordings"]
fn record() {
    let cluster = Cluster::up_by("*=apache-kafka", &SETTINGS);
    let only = std::env::var("JACKDAW_TOOLS").ok();
    fs::create_dir_all(recordings()).unwrap();
    for (name, lines) in snapshots()
        .iter()
        .filter(|(name, _)| only.as_ref().is_none_or(|only| only.split(',').any(|only| only == name)))
    {
        let told = transcript(&cluster, Provider::ApacheKafka, lines);
        fs::write(recordings().join(format!("{name}.snap")), told).unwrap();
    }
}
