//! The steps that run scenarios, through the product's own command line: what is chosen for which of them.
//! The scenarios judge; nothing here reads a transcript.

use crate::{Outcome, cargo, in_ci, tidy};
use anyhow::Context as _;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Clusters at a time. A cluster at rest costs next to nothing, and scenarios wait more than they work.
const JOBS: &str = "3";

/// What containers could change: names, addresses and ports; signals and exit codes; volumes.
const ON_DOCKER: &[&str] = &[
    "api-versions-on-the-client-listener",
    "controlled-shutdown-moves-leaders-first",
    "describe-cluster",
    "leader-failover",
    "metadata-shows-the-listener-that-was-asked",
    "produce-codecs",
    "quorum-described",
    "restart-clean",
    "restart-unclean",
    "start-refused-by-a-bad-number",
    "topic-create-defaults",
];

/// One of each kind, on clusters that most of them share: enough to notice that a recording went stale.
const ON_REFERENCE: &[&str] = &[
    "api-versions-on-the-client-listener",
    "configs-of-a-topic",
    "fetch-positions",
    "list-offsets",
    "metadata-in-every-version",
    "produce-old-formats",
    "produce-sequences",
    "topic-create-refusals",
];

/// All scenarios on Jackdaw, as processes.
pub fn processes() -> Outcome {
    run("processes", &["--runtime", "process", "--jobs", JOBS], &[])
}

/// Some on a Docker engine.
pub fn docker() -> Outcome {
    on_engine("docker", ON_DOCKER)
}

/// All on a Docker engine.
pub fn docker_all() -> Outcome {
    on_engine("docker-all", &[])
}

/// Some on Apache Kafka.
pub fn reference() -> Outcome {
    on_jvm("reference", ON_REFERENCE)
}

/// All on Apache Kafka.
pub fn reference_all() -> Outcome {
    on_jvm("reference-all", &[])
}

fn on_engine(report: &str, names: &[&str]) -> Outcome {
    let ping = ["--runtime", "docker", "-p", "jackdaw-ping", "ps", "-q"];
    let answers = Command::new(program()?).args(ping).current_dir("/").output()?.status.success();
    anyhow::ensure!(answers || !in_ci(), "no Docker engine answers");
    if !answers {
        return Ok("skipped: no Docker engine answers".into());
    }
    run(report, &["--runtime", "docker", "--jobs", "2"], names)
}

fn on_jvm(report: &str, names: &[&str]) -> Outcome {
    let java = Command::new("java").arg("-version").output().is_ok_and(|output| output.status.success());
    anyhow::ensure!(java || !in_ci(), "no JVM: install one (Debian: openjdk-17-jre-headless)");
    if !java {
        return Ok("skipped: no JVM".into());
    }
    run(report, &["--runtime", "process", "--provider", "apache-kafka"], names)
}

/// The README's table must be the one that the scenarios give.
pub fn differences() -> Outcome {
    let readme = tidy::root().join("README.md");
    let copy = folder()?.join("README.md");
    fs::copy(&readme, &copy)?;
    let written = Command::new(program()?)
        .args(["conformance", "--differences", "--into"])
        .arg(&copy)
        .current_dir(tidy::root())
        .output()?;
    anyhow::ensure!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr).trim());
    anyhow::ensure!(
        fs::read(&readme)? == fs::read(&copy)?,
        "the table is not that of the scenarios: `jackdaw conformance --differences --into README.md` writes it"
    );
    Ok(String::new())
}

/// The program as it stands.
pub fn program() -> anyhow::Result<PathBuf> {
    cargo(&["build", "--quiet", "--locked", "-p", "harness"])?;
    Ok(target().join("debug").join("jackdaw"))
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| tidy::root().join("target"), PathBuf::from)
}

/// Where reports are left.
fn folder() -> anyhow::Result<PathBuf> {
    let folder = target().join("conformance");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Runs scenarios, shows what they say as they say it, and keeps the sum.
fn run(report: &str, flags: &[&str], names: &[&str]) -> Outcome {
    let mut child = Command::new(program()?)
        .arg("conformance")
        .args(flags)
        .arg("--junit")
        .arg(folder()?.join(format!("{report}.xml")))
        .args(names)
        .current_dir(tidy::root())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut sum = String::new();
    for line in BufReader::new(child.stdout.take().context("its output is piped")?).lines() {
        let line = line?;
        println!("{line}");
        if line.contains(" scenarios answer as ") {
            sum = line;
        }
    }
    let status = child.wait()?;
    anyhow::ensure!(status.success(), "jackdaw conformance ended with {status}: {sum}");
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chosen_scenarios_are_there() {
        for name in ON_DOCKER.iter().chain(ON_REFERENCE) {
            let scenario = tidy::root().join("scenarios").join(name).join("scenario.yml");
            assert!(scenario.is_file(), "{name}");
        }
    }
}
