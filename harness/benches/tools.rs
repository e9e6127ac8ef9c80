//! How long Kafka's command line tools take against a three-broker cluster: ours beside the JVM's, which run on the same
//! machine in turns; and the image's health check, which the JVM's images have none of (people call a tool there).
//! Milliseconds from the start of the process to its end; best and median of RUNS.
//!
//! `cargo bench -p harness --bench tools`. The JVM's column is empty where there is no Java, or no jar of the release.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot measure ends there")]

#[path = "../tests/common/mod.rs"]
mod common;

use common::Cluster;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const RUNS: usize = 5;
const SETTINGS: [&str; 2] =
    ["KAFKA_CFG_OFFSETS_TOPIC_NUM_PARTITIONS=1", "KAFKA_CFG_GROUP_INITIAL_REBALANCE_DELAY_MS=0"];
/// Tool and arguments, behind `--bootstrap-server`; what the producer is given.
const LINES: [(&str, &str); 11] = [
    ("kafka-topics --list", ""),
    ("kafka-topics --describe", ""),
    ("kafka-console-producer --topic quick", "c\n"),
    ("kafka-console-consumer --topic quick --from-beginning --max-messages 2", ""),
    ("kafka-console-consumer --topic quick --group quick --from-beginning --max-messages 1", ""),
    ("kafka-broker-api-versions", ""),
    ("kafka-consumer-groups --list", ""),
    ("kafka-configs --topic quick --describe", ""),
    ("kafka-get-offsets --topic quick", ""),
    ("kafka-metadata-quorum describe --status", ""),
    ("kafka-log-dirs --describe", ""),
];

fn main() {
    let cluster = Cluster::up(&SETTINGS);
    let bootstrap = cluster.bootstrap();
    let created =
        run(&bootstrap, "kafka-topics --create --topic quick --replica-assignment 0:1:2", "", false);
    created.and_then(|_| run(&bootstrap, "kafka-console-producer --topic quick", "a\nb\n", false)).unwrap();
    let has_jvm = run(&bootstrap, LINES[0].0, "", true).is_some();
    println!("{:>9} {:>7} {:>9} {:>7}   ms", "Jackdaw", "best", "Kafka", "best");
    for (line, input) in LINES {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..RUNS {
            ours.push(run(&bootstrap, line, input, false).unwrap());
            theirs.extend(has_jvm.then(|| run(&bootstrap, line, input, true).unwrap()));
        }
        println!("{}{}   {line}", told(&mut ours), told(&mut theirs));
    }
    let healthy = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_jackdaw"));
        took(command.arg("healthy"), "").unwrap()
    };
    let mut ours: Vec<Duration> = (0..RUNS).map(|_| healthy()).collect();
    println!("{}{}   healthy", told(&mut ours), told(&mut []));
}

/// Median and best.
fn told(took: &mut [Duration]) -> String {
    took.sort_unstable();
    let ms = |took: Duration| took.as_secs_f64() * 1000.0;
    match (took.get(took.len() / 2), took.first()) {
        (Some(median), Some(best)) => format!("{:>9.1} {:>7.1} ", ms(*median), ms(*best)),
        _ => format!("{:>9} {:>7} ", "-", "-"),
    }
}

/// How long a tool took; none where it failed.
fn run(bootstrap: &str, line: &str, input: &str, by_jvm: bool) -> Option<Duration> {
    let (tool, words) = line.split_once(' ').unwrap_or((line, ""));
    let mut command = Command::new(env!("CARGO_BIN_EXE_jackdaw"));
    if by_jvm {
        command.args(["kafka-tool", jackdaw_tools::dispatch(tool)?.class, "--"]);
    } else {
        command.arg0(format!("/opt/kafka/bin/{tool}.sh"));
    }
    took(command.args(["--bootstrap-server", bootstrap]).args(words.split_whitespace()), input)
}

fn took(command: &mut Command, input: &str) -> Option<Duration> {
    let started = Instant::now();
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
    // A tool that refuses its arguments reads nothing.
    let _ = child.stdin.take()?.write_all(input.as_bytes());
    let ended = child.wait().ok()?;
    ended.success().then(|| started.elapsed())
}
