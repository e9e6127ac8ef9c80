//! The tests of franz-go's client package, its group and transaction ETL chains among them.

use super::Room;
use super::cluster::{BOOTSTRAP, Cluster};
use super::table::{Ended, Results};
use anyhow::Context as _;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

const PACKAGE: &str = "pkg/kgo";

/// Has go fetch the module; its checksum database vouches for it.
pub fn prepare(room: &Room) -> anyhow::Result<()> {
    sources(room).map(drop)
}

/// The module's folder in go's cache.
fn sources(room: &Room) -> anyhow::Result<String> {
    let module = format!("{}@{}", room.suite.package_name(), room.suite.version);
    let said = room
        .output(Command::new("go").args(["mod", "download", "-json", &module]).current_dir(&room.folder))?;
    let said: Value = serde_json::from_str(&said)?;
    Ok(said["Dir"].as_str().context("go says where a module is")?.to_owned())
}

/// The whole package.
pub fn run(room: &Room, _: &Cluster, log: &Path) -> anyhow::Result<Results> {
    let mut go = Command::new("go");
    go.args(["test", "-json", "-count=1", "-timeout=30m", "./..."]);
    go.current_dir(Path::new(&sources(room)?).join(PACKAGE));
    go.env("KGO_SEEDS", BOOTSTRAP)
        .env("KGO_TEST_RF", "3")
        .env("KGO_TEST_RECORDS", "50000")
        .env("KGO_LOG_LEVEL", "none");
    events(&room.said(&mut go, log)?.0)
}

/// What go says of a test binary that somebody else ended.
const CUT_SHORT: [&str; 4] = ["signal: hangup", "signal: interrupt", "signal: killed", "signal: terminated"];

/// `go test -json`: one event a line. Only whole tests count, not their parts.
fn events(text: &str) -> anyhow::Result<Results> {
    let mut results = Results::new();
    for event in text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let said = event["Output"].as_str().unwrap_or_default().trim();
        anyhow::ensure!(!CUT_SHORT.contains(&said), "the tests were ended from outside: {said}");
        let ended = match event["Action"].as_str() {
            Some("pass") => Ended::Passes,
            // A test that was begun and never ended took the package down with it.
            Some("fail" | "run") => Ended::Fails,
            Some("skip") => Ended::Skipped,
            _ => continue,
        };
        if let Some(test) = event["Test"].as_str().filter(|test| !test.contains('/')) {
            results.insert(test.to_owned(), ended);
        }
    }
    Ok(results)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_never_ended_failed() {
        let text = r#"go: downloading
            {"Action":"run","Test":"TestA"}
            {"Action":"run","Test":"TestA/part"}
            {"Action":"fail","Test":"TestA/part"}
            {"Action":"pass","Test":"TestA"}
            {"Action":"run","Test":"TestB"}
            {"Action":"skip","Test":"TestC"}
            {"Action":"fail"}"#;
        let expected = [("TestA", Ended::Passes), ("TestB", Ended::Fails), ("TestC", Ended::Skipped)];
        assert_eq!(events(text).unwrap(), expected.map(|(name, ended)| (name.to_owned(), ended)).into());
        let killed = format!("{text}\n{}", r#"{"Action":"output","Output":"signal: killed\n"}"#);
        assert!(events(&killed).is_err());
    }
}
