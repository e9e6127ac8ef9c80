//! kafka-python's integration tests, from its source distribution.

use super::Room;
use super::cluster::{BOOTSTRAP, Cluster};
use super::table::{Ended, Results};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the tests need beside the client: the runner with its report, and the codecs.
const BESIDE: &[&str] = &[
    "pytest==8.4.2",
    "pytest-mock==3.15.1",
    "pytest-timeout==2.4.0",
    "pytest-reportlog==0.4.0",
    "py==1.11.0",
    "crc32c==2.7.1",
    "lz4==4.4.4",
    "python-snappy==0.7.3",
    "zstandard==0.25.0",
];
/// The distribution leaves this file out; of a cluster that is there already, it only has to bear the name.
const SERVICE: &str = "class ExternalService:\n    def __init__(self, host, port):\n        pass\n\n\
    class SpawnedService:\n    pass\n";
/// Nothing of TLS and SASL: these tests start brokers of their own.
const TESTS: [&str; 3] = ["admin", "consumer", "producer"];

/// Fetches the source distribution and installs it in an environment of its own.
pub fn prepare(room: &Room) -> anyhow::Result<()> {
    let sources = sources(room);
    let ready = room.folder.join("ready");
    if ready.is_file() {
        return Ok(());
    }
    room.output(Command::new("python3").args(["-m", "venv", "--clear", "env"]).current_dir(&room.folder))?;
    let pip = |words: &[&str]| {
        let mut pip = Command::new(python(room));
        room.output(
            pip.args(["-m", "pip", "--quiet", "--disable-pip-version-check"])
                .args(words)
                .current_dir(&room.folder),
        )
    };
    let package = format!("{}=={}", room.suite.package_name(), room.suite.version);
    pip(&["download", "--no-deps", "--no-binary", ":all:", "--dest", ".", &package])?;
    let archive = sources.with_extension("").file_name().map(|_| format!("{}.tar.gz", sources.display()));
    room.output(Command::new("tar").arg("xzf").args(archive).current_dir(&room.folder))?;
    pip(&[&["install"], BESIDE].concat())?;
    pip(&["install", &sources.display().to_string()])?;
    // `test` must be the suite's own package, and not the one of Python's library.
    fs::write(sources.join("test/__init__.py"), "")?;
    fs::write(sources.join("test/service.py"), SERVICE)?;
    Ok(fs::write(ready, "")?)
}

fn python(room: &Room) -> PathBuf {
    room.folder.join("env/bin/python")
}

fn sources(room: &Room) -> PathBuf {
    room.folder.join(format!("{}-{}", room.suite.package_name().replace('-', "_"), room.suite.version))
}

/// Every integration test of the client.
pub fn run(room: &Room, _: &Cluster, log: &Path) -> anyhow::Result<Results> {
    let report = room.folder.join("report.jsonl");
    if report.exists() {
        fs::remove_file(&report)?;
    }
    let mut pytest = Command::new(python(room));
    pytest
        .args(["-m", "pytest", "-p", "no:cacheprovider", "--tb=native", "--report-log"])
        .arg(&report)
        .current_dir(sources(room));
    pytest.args(TESTS.map(|subject| format!("test/integration/test_{subject}_integration.py")));
    let first = BOOTSTRAP.split(',').next().unwrap_or_default();
    pytest.env("KAFKA_URI", format!("kafka://{first}")).env("KAFKA_VERSION", "3.7.0");
    // It has to exist, and is used for brokers of their own.
    pytest.env("KAFKA_ROOT", &room.folder);
    let (_, status) = room.said(&mut pytest, log)?;
    // All ran, with or without failures; anything else is an interrupt, an error of its own, or nothing to run.
    anyhow::ensure!(
        matches!(status.code(), Some(0 | 1)),
        "pytest ended with {status}; see {}",
        log.display()
    );
    Ok(reports(&fs::read_to_string(report)?))
}

/// pytest-reportlog: a line for each of a test's setup, call and teardown. The worst of them counts.
fn reports(text: &str) -> Results {
    let mut results = Results::new();
    for report in text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let (Some(id), Some(outcome)) = (report["nodeid"].as_str(), report["outcome"].as_str()) else {
            continue;
        };
        let Some((_, test)) = id.split_once("::") else { continue };
        let ended = match outcome {
            "passed" => Ended::Passes,
            "skipped" => Ended::Skipped,
            _ => Ended::Fails,
        };
        let entry = results.entry(test.to_owned()).or_insert(ended);
        if ended != Ended::Passes {
            *entry = ended;
        }
    }
    results
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_phase_of_a_test_counts() {
        let text = r#"{"pytest_version": "8", "$report_type": "SessionStart"}
            {"nodeid": "test/x.py::a", "when": "setup", "outcome": "passed"}
            {"nodeid": "test/x.py::a", "when": "call", "outcome": "passed"}
            {"nodeid": "test/x.py::a", "when": "teardown", "outcome": "failed"}
            {"nodeid": "test/x.py::b[lz4]", "when": "setup", "outcome": "skipped"}
            {"nodeid": "test/x.py::b[lz4]", "when": "teardown", "outcome": "passed"}
            {"nodeid": "test/x.py::c", "when": "call", "outcome": "passed"}"#;
        let expected = [("a", Ended::Fails), ("b[lz4]", Ended::Skipped), ("c", Ended::Passes)];
        assert_eq!(reports(text), expected.map(|(name, ended)| (name.to_owned(), ended)).into());
    }
}
