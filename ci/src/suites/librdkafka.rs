//! librdkafka's own tests: their sources come with the crate that binds to it.

use super::Room;
use super::cluster::{BOOTSTRAP, Cluster};
use super::table::{Ended, Results};
use anyhow::Context as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Has cargo fetch the crate, copies nothing of it but into the cache, and builds the tests there.
pub fn prepare(room: &Room) -> anyhow::Result<()> {
    let runner = tests(room).join("test-runner");
    if runner.is_file() {
        return Ok(());
    }
    fs::create_dir_all(room.folder.join("src"))?;
    fs::write(room.folder.join("src/lib.rs"), "")?;
    let version = room.suite.version.split_once('+').map_or(room.suite.version, |(version, _)| version);
    let manifest = format!(
        "[package]\nname = \"fetch\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n\
         [dependencies]\nrdkafka-sys = \"={version}\"\n"
    );
    fs::write(room.folder.join("Cargo.toml"), manifest)?;
    room.output(
        Command::new(env!("CARGO")).args(["vendor", "--versioned-dirs", "-q"]).current_dir(&room.folder),
    )?;
    let tests = tests(room);
    let sources = tests.parent().context("the tests lie in the sources")?;
    anyhow::ensure!(tests.is_dir(), "rdkafka-sys {} has no tests", room.suite.version);
    // Packages are made without the bits that allow execution.
    room.output(Command::new("chmod").args(["-R", "u+x", "."]).current_dir(sources))?;
    room.output(
        Command::new("./configure")
            .args(["--disable-ssl", "--disable-gssapi", "--disable-curl"])
            .current_dir(sources),
    )?;
    room.output(Command::new("make").args(["-j2", "libs"]).current_dir(sources))?;
    room.output(Command::new("make").args(["-j2", "-C", "tests", "build"]).current_dir(sources))?;
    Ok(())
}

fn tests(room: &Room) -> PathBuf {
    room.folder.join(format!("vendor/rdkafka-sys-{}/librdkafka/tests", room.suite.version))
}

/// This test ends at the first of its parts that fails, and some are about ACLs: the others are asked for by name, too.
const IN_PARTS: &str = "0081_admin";
const PARTS: &[&str] = &[
    "do_test_CreateTopics:",
    "do_test_DeleteTopics:",
    "do_test_CreatePartitions:",
    "do_test_AlterConfigs:",
    "do_test_IncrementalAlterConfigs:",
    "do_test_DescribeConfigs:",
    "do_test_DescribeConfigs_groups:",
    "do_test_DeleteRecords:",
    "do_test_ListConsumerGroups:",
    "do_test_DescribeConsumerGroups:",
    "without authorized operations",
    "do_test_DeleteGroups:",
    "do_test_DeleteConsumerGroupOffsets:",
    "do_test_ListOffsets:",
    "do_test_AlterConsumerGroupOffsets:",
    "do_test_ListConsumerGroupOffsets:",
];

/// In the quick set these say that they pass, and do nothing.
const EMPTY_WHEN_QUICK: &[&str] = &[
    "0018_cgrp_term",
    "0019_list_groups",
    "0026_consume_pause",
    "0045_subscribe_update",
    "0045_resubscribe_with_regex",
    "0045_subscribe_many_updates",
    "0050_subscribe_adds",
    "0061_consumer_lag",
    "0089_max_poll_interval",
    "0102_static_group_rebalance",
    "0113_cooperative_rebalance",
    "0122_buffer_cleaning_after_rebalance",
    "0132_strategy_ordering",
    "0137_barrier_batch_consume",
];

/// The quick set, without those that need no cluster.
pub fn run(room: &Room, cluster: &Cluster, log: &Path) -> anyhow::Result<Results> {
    let quick = |words: &[(&str, &str)]| {
        let mut runner = runner(room, cluster)?;
        whole(&room.said(runner.arg("-Q").envs(words.iter().copied()), log)?.0)
    };
    let mut results = quick(&[])?;
    results.retain(|test, _| !EMPTY_WHEN_QUICK.contains(&test.as_str()));
    for part in PARTS {
        let part_of = quick(&[("TESTS", IN_PARTS), ("SUBTESTS", part)])?;
        // Whoever ends badly shows no table.
        let ended = part_of.get(IN_PARTS).copied().unwrap_or(Ended::Fails);
        results.insert(format!("{IN_PARTS}, {}", part.trim_end_matches(':')), ended);
    }
    Ok(results)
}

/// What the quick set leaves out.
pub fn run_whole(room: &Room, cluster: &Cluster, log: &Path) -> anyhow::Result<Results> {
    let mut runner = runner(room, cluster)?;
    let mut results = whole(&room.said(runner.env("TESTS", EMPTY_WHEN_QUICK.join(",")), log)?.0)?;
    results.retain(|test, _| EMPTY_WHEN_QUICK.contains(&test.as_str()));
    Ok(results)
}

/// Two tests at a time, none of which needs no cluster.
fn runner(room: &Room, cluster: &Cluster) -> anyhow::Result<Command> {
    let tests = tests(room);
    fs::write(tests.join("test.conf"), format!("bootstrap.servers={BOOTSTRAP}\n"))?;
    // It ends by an abort where a test that failed left threads, which loses what is still in its buffer.
    let mut runner = Command::new("stdbuf");
    runner
        .args(["-oL", "./test-runner", "-p2", "-L"])
        .current_dir(&tests)
        .env("KAFKA_PATH", tools(room, cluster)?);
    runner
        .env("BROKERS", BOOTSTRAP)
        .env("TEST_KAFKA_VERSION", "3.7.0")
        .env("LD_LIBRARY_PATH", "../src:../src-cpp");
    Ok(runner)
}

/// A folder that has Kafka's command lines, as the tests want them.
fn tools(room: &Room, cluster: &Cluster) -> anyhow::Result<PathBuf> {
    let kafka = room.folder.join("kafka");
    fs::create_dir_all(kafka.join("bin"))?;
    for (name, class) in [
        ("kafka-topics.sh", "org.apache.kafka.tools.TopicCommand"),
        ("kafka-acls.sh", "kafka.admin.AclCommand"),
    ] {
        let script = kafka.join("bin").join(name);
        fs::write(
            &script,
            format!("#!/bin/sh\nexec '{}' kafka-tool {class} \"$@\"\n", cluster.program().display()),
        )?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    }
    Ok(kafka)
}

/// The lines of the runner's closing table: `| name | STATE | seconds | …`, in colours. Asked to end, it still shows
/// one, in which what it did not come to was never started.
fn whole(text: &str) -> anyhow::Result<Results> {
    let mut results = Results::new();
    for line in text.lines().filter(|line| line.starts_with('|')) {
        let plain = without_colours(line);
        let cells: Vec<&str> = plain.split('|').map(str::trim).collect();
        let [_, name, state, ..] = cells.as_slice() else { continue };
        let ended = match *state {
            "PASSED" => Ended::Passes,
            "SKIPPED" => Ended::Skipped,
            "FAILED" | "RUNNING" => Ended::Fails,
            "DNS" => anyhow::bail!("it was ended before it came to {name}"),
            _ => continue,
        };
        if *name != "<MAIN>" {
            results.insert((*name).to_owned(), ended);
        }
    }
    Ok(results)
}

fn without_colours(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        out += before;
        rest = after.split_once('m').map_or("", |(_, rest)| rest);
    }
    out + rest
}

#[cfg(test)]
mod tests_of_the_reading {
    use super::*;

    #[test]
    fn the_closing_table_is_read() {
        let text = "TEST 2026 (bare, scenario default) SUMMARY\n\
            |\u{1b}[32m <MAIN>                                   |     PASSED |  10.100s \u{1b}[0m|\n\
            |\u{1b}[32m 0001_multiobj                            |     PASSED |   3.100s \u{1b}[0m|\n\
            |\u{1b}[31m 0081_admin                               |     FAILED |   0.412s \u{1b}[0m|\u{1b}[31m x | y\u{1b}[0m\n\
            |\u{1b}[36m 0115_producer_auth                       |    SKIPPED |   0.000s \u{1b}[0m|\n";
        let expected = [
            ("0001_multiobj", Ended::Passes),
            ("0081_admin", Ended::Fails),
            ("0115_producer_auth", Ended::Skipped),
        ];
        assert_eq!(whole(text).unwrap(), expected.map(|(name, ended)| (name.to_owned(), ended)).into());
        let cut_short = format!("{text}| 0120_asymmetric_subscription | DNS | 0.000s |\n");
        assert!(whole(&cut_short).is_err());
    }
}
