//! The cluster that the suites are pointed at: brought up and taken down here and nowhere else, through the product's
//! own command line, under a project name of its own. It knows nothing of any suite.

use super::Side;
use super::interrupt::{Group, Interrupt};
use crate::conformance::program;
use anyhow::Context as _;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;

const PROJECT: &str = "jackdaw-suites";
/// The published ports of `compose.yml`.
pub const BOOTSTRAP: &str = "127.0.0.1:19190,127.0.0.1:19191,127.0.0.1:19192";
/// Kafka's own, so that there are ACLs to be made and told. It allows everything to everyone here.
const AUTHORIZER: &str = "org.apache.kafka.metadata.authorizer.StandardAuthorizer";
/// `up` says this once the cluster is ready.
const READY: &str = "bootstrap.servers=";

/// A cluster that runs; taken down with its data when dropped.
pub struct Cluster {
    program: PathBuf,
    /// `jackdaw up`, attached. Whatever becomes of it, what it started is taken down by name.
    up: Child,
    _group: Group,
    log: PathBuf,
}

impl Cluster {
    /// Starts the nodes, waits until they are ready, and writes what they print to `log`.
    pub fn up(side: Side, log: &Path, interrupt: &Interrupt) -> anyhow::Result<Self> {
        let program = program()?;
        // Of a run that was killed.
        down(&program)?;
        let mut command = jackdaw(&program);
        command.args(["up", "--wait-timeout", "180"]).stdout(Stdio::piped());
        if side == Side::Reference {
            command.args(["--provider", "*=apache-kafka"]).env("SUITES_AUTHORIZER", AUTHORIZER);
        }
        let (mut up, group) = interrupt.spawn(&mut command)?;
        let said = up.stdout.take().context("its output is piped")?;
        let cluster = Cluster { program, up, _group: group, log: log.to_owned() };
        let ready = keep(said, File::create(log)?).recv();
        interrupt.check()?;
        ready.with_context(|| format!("the cluster did not come up; {} has its log", log.display()))?;
        Ok(cluster)
    }

    /// An error where it did not last.
    pub fn check(&mut self) -> anyhow::Result<()> {
        let ended = self.up.try_wait()?;
        anyhow::ensure!(ended.is_none(), "the cluster ended first; {} has its log", self.log.display());
        Ok(())
    }

    /// A command about a node, such as `kill`.
    pub fn act(&self, words: &[&str]) -> anyhow::Result<()> {
        let status =
            jackdaw(&self.program).args(words).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        anyhow::ensure!(status.success(), "jackdaw {} ended with {status}", words.join(" "));
        Ok(())
    }

    /// One of Apache Kafka's tools, on whatever release the reference is.
    pub fn tool(&self, class: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["kafka-tool", class]);
        command
    }

    /// The product's program.
    pub fn program(&self) -> &Path {
        &self.program
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Err(error) = down(&self.program) {
            eprintln!("   {error:#}");
        }
        // With nothing left to watch it ends by itself.
        let _ = self.up.wait();
    }
}

fn jackdaw(program: &Path) -> Command {
    let mut command = Command::new(program);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/suites/compose.yml");
    command.args(["--runtime", "process", "-p", PROJECT, "-f"]).arg(file);
    command
}

fn down(program: &Path) -> anyhow::Result<()> {
    let output = jackdaw(program).args(["down", "-v", "-t", "10"]).output()?;
    anyhow::ensure!(
        output.status.success(),
        "jackdaw down ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

/// Copies lines to the log until they end; hears of the one that says ready, or of nothing where it never comes.
fn keep(said: ChildStdout, mut log: File) -> mpsc::Receiver<()> {
    let (ready, heard) = mpsc::channel();
    thread::spawn(move || {
        let mut ready = Some(ready);
        for line in BufReader::new(said).split(b'\n').map_while(Result::ok) {
            if line.starts_with(READY.as_bytes())
                && let Some(ready) = ready.take()
            {
                // Whoever waited may be gone.
                let _ = ready.send(());
            }
            // A full disk must not stop the cluster, whose pipe this is.
            let _ = log.write_all(&line).and_then(|()| log.write_all(b"\n"));
        }
    });
    heard
}
