//! Folders that this crate writes, judged by Kafka's own `DumpLogSegments`. Runs where a JVM and the jars of Kafka
//! 3.7.0 are found (`JACKDAW_KAFKA_LIBS`, else the launcher's cache); elsewhere it is skipped by name, and under
//! `CI=true` it fails.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{NOW_MS, TestLog, batch, end_marker, keyed, transactional};
use jackdaw_log::{CleanOptions, LogConfig, MapBudget};

/// The jars, or what is missing.
fn kafka_libs() -> Result<PathBuf, String> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    let cached = cache.map(|cache| cache.join("jackdaw").join("apache-kafka-3.7.0"));
    let has_jars = |folder: &PathBuf| folder.join("kafka_2.13-3.7.0.jar").is_file();
    let libs = [set("JACKDAW_KAFKA_LIBS"), cached].into_iter().flatten().find(has_jars);
    let has_java = Command::new("java").arg("-version").output().is_ok_and(|output| output.status.success());
    match libs {
        _ if !has_java => Err("no JVM is on PATH".into()),
        Some(libs) => Ok(libs),
        None => Err("JACKDAW_KAFKA_LIBS names no folder with the jars of Kafka 3.7.0".into()),
    }
}

/// The jars for a test. Without them it is skipped by name; under CI that is a failure.
fn libs_for(test: &str) -> Option<PathBuf> {
    match kafka_libs() {
        Ok(libs) => Some(libs),
        Err(why) => {
            let in_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
            assert!(!in_ci, "{test}: CI has to have the reference: {why}");
            // Past the capture of a passing test's output: a skip is to be seen.
            let _ = writeln!(std::io::stderr(), "skipped: {test}: {why}");
            None
        }
    }
}

/// What the tool says about the files; standard error holds its complaints.
fn dump(libs: &Path, files: &[PathBuf], arguments: &[&str]) -> (String, String) {
    let list: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    let output = Command::new("java")
        .arg("-cp")
        .arg(libs.join("*"))
        .args(["-Xmx256m", "kafka.tools.DumpLogSegments", "--files", &list.join(",")])
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (said, complained) = (text(output.stdout), text(output.stderr));
    assert!(output.status.success(), "{said}\n{complained}");
    // Without a configuration the logging library says so; that is no complaint about the files.
    let complained =
        complained.lines().filter(|line| !line.starts_with("log4j:") && !line.starts_with("SLF4J"));
    (said, complained.collect::<Vec<_>>().join("\n"))
}

fn files_of(folder: &Path, suffix: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(suffix))
        .collect();
    files.sort();
    files
}

fn is_of(path: &Path, kind: &str) -> bool {
    path.to_string_lossy().ends_with(kind)
}

#[test]
fn kafkas_own_tool_finds_nothing_wrong_with_our_folders() {
    let Some(libs) = libs_for("kafkas_own_tool_finds_nothing_wrong_with_our_folders") else { return };
    let config = LogConfig { segment_bytes: 20_000, index_interval_bytes: 300, ..LogConfig::default() };
    let mut log = TestLog::new(config);
    for number in 0..300 {
        // Follower appends of several batches and timestamps that go back now and then.
        let timestamp = 1_700_000_000_000 + number * 10 - (number % 7) * 25;
        let base = log.end();
        let first = batch(base, 1, timestamp, 3, None);
        let second = batch(base + 3, 1, timestamp + 5, 2, Some((number % 4 + 1, (number / 4 * 2) as i32)));
        log.append_verbatim(&[first, second]);
        if number % 50 == 49 {
            log.append_verbatim(&[transactional(log.end(), 2, 99, 0, (number / 50) as i32)]);
            log.append_verbatim(&[end_marker(log.end(), 2, 99, number % 100 == 49)]);
        }
    }
    log.log.close_clean().unwrap();
    let folder = log.folder();
    let all = files_of(&folder, "");
    let kinds = [".log", ".index", ".timeindex", ".txnindex", ".snapshot"];
    let known: Vec<PathBuf> =
        all.iter().filter(|path| kinds.iter().any(|kind| is_of(path, kind))).cloned().collect();
    assert!(known.iter().filter(|path| is_of(path, ".log")).count() > 3, "{all:?}");
    let (said, complained) = dump(&libs, &known, &["--deep-iteration"]);
    assert_eq!(complained, "");
    assert!(said.contains("isvalid: true") && !said.contains("isvalid: false"), "{said}");
    assert!(said.contains("position: ") && said.contains("timestamp: "), "{said}");
    assert!(said.contains("producerId: 99 firstOffset: "), "{said}");
    for producer in [1, 2, 3, 4, 99] {
        assert!(said.contains(&format!("producerId: {producer} producerEpoch: 0 ")), "{said}");
    }
    let indexes: Vec<PathBuf> =
        known.into_iter().filter(|path| path.to_string_lossy().ends_with("index")).collect();
    let (said, complained) = dump(&libs, &indexes, &["--index-sanity-check"]);
    assert_eq!(complained, "");
    assert!(said.matches("passed sanity check").count() > 6, "{said}");
}

#[test]
fn kafkas_own_tool_reads_what_compaction_left() {
    let Some(libs) = libs_for("kafkas_own_tool_reads_what_compaction_left") else { return };
    let config =
        LogConfig { compact: true, segment_bytes: 2_000, index_interval_bytes: 100, ..LogConfig::default() };
    let mut log = TestLog::new(config);
    for number in 0..200 {
        let (base, key) = (log.end(), format!("key-{}", number % 17));
        let value = (number % 5 > 0).then_some("a value");
        match number % 10 {
            3 => log.append_verbatim(&[keyed(base, Some((9, number / 10)), &[(&key, value)])]),
            4 => log.append_verbatim(&[end_marker(base, 0, 9, number % 20 == 4)]),
            _ => log.append_verbatim(&[keyed(base, None, &[(&key, value), ("same", Some("x"))])]),
        }
    }
    let (end, config) = (log.end(), log.config.clone());
    log.log.high_watermark_moved(end);
    let cleanable = log.log.reader().cleanable(None, end, &config, NOW_MS).unwrap();
    let budget = MapBudget { bytes: 1 << 20, load_factor: 0.9 };
    let options = CleanOptions { budget, write_buffer_bytes: 500, seeds: (3, 4), now_ms: NOW_MS };
    let mut cleaning = log.log.begin_cleaning(&cleanable, options);
    cleaning.index(&mut |_| Ok(())).unwrap();
    while let Some(group) = cleaning.next_group(&mut |_| Ok(())).unwrap() {
        assert!(log.log.swap_in(group, NOW_MS).unwrap());
    }
    log.log.close_clean().unwrap();
    let folder = log.folder();
    let (said, complained) = dump(&libs, &files_of(&folder, ".log"), &["--deep-iteration"]);
    // The tool says so of every log with holes, and holes are what compaction is for; going back is not.
    let is_hole = |pair: (&str, &str)| matches!((pair.0.trim().parse::<i64>(), pair.1.parse::<i64>()), (Ok(before), Ok(after)) if before < after);
    let is_of_holes = |line: &str| {
        line.starts_with("Non-consecutive offsets in ")
            || line.split_once(" is followed by ").is_some_and(is_hole)
    };
    assert!(complained.lines().all(is_of_holes), "{complained}");
    assert!(said.contains("isvalid: true") && !said.contains("isvalid: false"), "{said}");
    assert!(said.contains("deleteHorizonMs: OptionalLong["), "{said}");
    let indexes: Vec<PathBuf> =
        files_of(&folder, "index").into_iter().filter(|path| !is_of(path, ".txnindex")).collect();
    let (said, complained) = dump(&libs, &indexes, &["--index-sanity-check"]);
    assert_eq!(complained, "");
    assert!(said.matches("passed sanity check").count() > 2, "{said}");
}
