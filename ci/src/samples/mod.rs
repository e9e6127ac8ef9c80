//! What becomes of other people's compose files: `cargo run -p ci -- samples FOLDER` brings up the Kafka services of each
//! file in a folder, as processes and, where an engine answers, on Docker, one file after the other, and keeps a table in
//! `fixtures/samples.md`. The files are their authors': none of their text enters the repository.
//!
//! It judges by the product's own words and exit codes. A port that is taken is this machine's fault, and told as such.

mod table;

use crate::{conformance, results, tidy};
use anyhow::Context as _;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use table::{Ended, Part, RUNTIMES, Row, Runtime};

/// The variable that names the folder where no argument does.
const FOLDER: &str = "JACKDAW_SAMPLES";
/// Time in which the nodes of a file have to be ready.
const READY_SECONDS: &str = "30";
/// Time in which healthchecks and scripts that make topics come to an end, once the nodes are ready.
const SETTLED: Duration = Duration::from_secs(5);
const REST: Duration = Duration::from_millis(100);
/// The project that each file is brought up as.
const PROJECT: &str = "jd-sample";

/// `samples [--only RUNTIME] [FOLDER]`. Exit codes as the product's: 0 all was tried, 1 it could not be, 2 bad input.
pub fn main(words: &[&str]) -> ExitCode {
    let (only, words) = match words {
        ["--only", runtime, rest @ ..] => (Some(Runtime::of(runtime)), rest),
        rest => (None, rest),
    };
    let given = words.first().map(PathBuf::from);
    let folder = given.or_else(|| std::env::var_os(FOLDER).map(PathBuf::from));
    let folder = folder.filter(|folder| folder.is_dir() && words.len() < 2);
    let (Some(folder), false) = (folder, only == Some(None)) else {
        eprintln!(
            "usage: cargo run -p ci -- samples [--only process|docker] FOLDER, or {FOLDER}=FOLDER in its place"
        );
        return ExitCode::from(2);
    };
    match all(&folder, only.flatten()) {
        Ok(file) => {
            eprintln!("the table is in {}", file.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What is not tried is kept as it was.
fn all(folder: &Path, only: Option<Runtime>) -> anyhow::Result<PathBuf> {
    let program = conformance::program()?;
    let mut files: Vec<PathBuf> = fs::read_dir(folder)?.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yml" || extension == "yaml"));
    files.sort();
    anyhow::ensure!(!files.is_empty(), "no compose file is in {}", folder.display());
    let ping = ["--runtime", "docker", "-p", "jackdaw-ping", "ps", "-q"];
    let answers = || Command::new(&program).args(ping).current_dir("/").output();
    let runtimes = match only {
        Some(one) => vec![one],
        None if answers()?.status.success() => RUNTIMES.to_vec(),
        None => vec![Runtime::Process],
    };
    let kept = tidy::root().join("fixtures/samples.md");
    let mut parts = fs::read_to_string(&kept).map(|text| table::parse(&text)).unwrap_or_default();
    for runtime in runtimes {
        let mut rows = Vec::new();
        for file in &files {
            let sample = Sample::of(&program, file, runtime)?;
            let found = sample.tried()?;
            let words: Vec<String> = found.iter().map(Row::line).collect();
            eprintln!("{} on {}:\n   {}", sample.name(), runtime.word(), words.join("\n   "));
            rows.extend(found);
        }
        let date = results::date(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs());
        parts.retain(|(other, _)| *other != runtime);
        parts.push((runtime, Part { date, rows }));
    }
    parts.sort_by_key(|(runtime, _)| *runtime as u8);
    fs::write(&kept, table::text(&parts))?;
    Ok(kept)
}

/// A file in a folder of its own, where nothing lies beside it.
struct Sample<'a> {
    program: &'a Path,
    file: PathBuf,
    runtime: Runtime,
    folder: PathBuf,
}

/// A Kafka service of a file.
struct Service {
    name: String,
    container: String,
    is_node: bool,
}

impl<'a> Sample<'a> {
    fn of(program: &'a Path, file: &Path, runtime: Runtime) -> anyhow::Result<Self> {
        let name = file.file_name().context("a file has a name")?;
        let folder = std::env::temp_dir().join(format!("jackdaw-samples-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("home"))?;
        let copy = folder.join(name);
        fs::copy(file, &copy)?;
        Ok(Sample { program, file: copy, runtime, folder })
    }

    fn name(&self) -> String {
        self.file.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn run(&self, words: &[&str]) -> anyhow::Result<Output> {
        let mut command = Command::new(self.program);
        command.args(["--runtime", self.runtime.word(), "-p", PROJECT, "-f"]).arg(&self.file).args(words);
        command.current_dir(&self.folder);
        // What the machine has set is no part of the file, but for where programs are.
        command
            .env_clear()
            .env("HOME", self.folder.join("home"))
            .env("JACKDAW_HOME", self.folder.join("state"));
        let kept = ["PATH", "DOCKER_HOST"].map(|name| (name, std::env::var_os(name)));
        command.envs(kept.into_iter().filter_map(|(name, value)| Some((name, value?))));
        command.stdin(Stdio::null()).output().with_context(|| format!("{}", self.program.display()))
    }

    fn row(&self, service: &str, ended: Ended) -> Row {
        Row { file: self.name(), service: service.to_owned(), runtime: self.runtime, ended }
    }

    /// Brings its Kafka services up, looks at them, and takes them down again.
    fn tried(&self) -> anyhow::Result<Vec<Row>> {
        let networks = self.make_external_networks()?;
        let rows = self.brought_up();
        for network in &networks {
            docker(&["network", "rm", network]);
        }
        fs::remove_dir_all(&self.folder).with_context(|| format!("{}", self.folder.display()))?;
        rows
    }

    fn brought_up(&self) -> anyhow::Result<Vec<Row>> {
        let planned = self.run(&["up", "--dry-run", "--format", "json"])?;
        if !planned.status.success() {
            return Ok(vec![self.row("", Ended::No(self.reason(&planned)))]);
        }
        let plan: Value = serde_json::from_slice(&planned.stdout)?;
        let services = kafka_services(&plan);
        if services.is_empty() {
            return Ok(vec![self.row("", Ended::No(left_out(&plan)))]);
        }
        let names: Vec<&str> = services.iter().map(|service| service.name.as_str()).collect();
        let began = Instant::now();
        let up =
            self.run(&[&["up", "-d", "--wait-timeout", READY_SECONDS][..], names.as_slice()].concat())?;
        let took_ms = began.elapsed().as_millis();
        let is_up = up.status.success();
        let seen = self.settled(is_up)?;
        let mut rows = Vec::new();
        for service in &services {
            let ended = if is_up { ended(service, &seen, took_ms) } else { Ended::No(self.reason(&up)) };
            rows.push(self.row(&service.name, self.with_last_line(service, ended)?));
        }
        let down = self.run(&["down", "-v", "-t", "5"])?;
        anyhow::ensure!(down.status.success(), "{}: down: {}", self.name(), self.reason(&down));
        Ok(rows)
    }

    /// The launcher's own message: the first error, without the drawing around it and this machine's paths.
    fn reason(&self, output: &Output) -> String {
        let said = String::from_utf8_lossy(&output.stderr);
        let first = table::first_error(&said).unwrap_or_else(|| format!("it ended with {}", output.status));
        first.replace(&format!("{}/", self.folder.display()), "")
    }

    /// Of a script that failed, what it said last.
    fn with_last_line(&self, service: &Service, ended: Ended) -> anyhow::Result<Ended> {
        let Ended::No(why) = ended else { return Ok(ended) };
        if service.is_node {
            return Ok(Ended::No(why));
        }
        let logs = self.run(&["logs", "-n", "1", "--no-log-prefix", &service.name])?;
        let last =
            String::from_utf8_lossy(&logs.stdout).trim().replace(&format!("{}/", self.folder.display()), "");
        Ok(Ended::No(if last.is_empty() { why } else { format!("{why}: {last}") }))
    }

    /// What `ps` shows once nothing is starting any more.
    fn settled(&self, is_up: bool) -> anyhow::Result<Value> {
        let deadline = Instant::now() + SETTLED;
        loop {
            let shown = self.run(&["ps", "-a", "--format", "json"])?;
            let lines = serde_json::Deserializer::from_slice(&shown.stdout).into_iter::<Value>();
            let seen = Value::Array(lines.map_while(Result::ok).collect());
            let starting = seen.as_array().into_iter().flatten().any(|one| one["Health"] == "starting");
            if !is_up || !starting || Instant::now() > deadline {
                return Ok(seen);
            }
            std::thread::sleep(REST);
        }
    }

    /// Networks that the file wants to be there already, as its reader would make them.
    fn make_external_networks(&self) -> anyhow::Result<Vec<String>> {
        if self.runtime != Runtime::Docker {
            return Ok(Vec::new());
        }
        // What cannot be read is told by what comes next.
        let config = self.run(&["config", "--format", "json"])?.stdout;
        let config: Value = serde_json::from_slice(&config).unwrap_or_default();
        let networks = config["networks"].as_object().into_iter().flat_map(|networks| networks.values());
        let external = networks.filter(|network| network["external"] == true);
        let names = external.filter_map(|network| Some(network["name"].as_str()?.to_owned()));
        Ok(names.filter(|name| docker(&["network", "create", name])).collect())
    }
}

fn docker(words: &[&str]) -> bool {
    let quiet = || Stdio::null();
    let status = Command::new("docker").args(words).stdin(quiet()).stdout(quiet()).stderr(quiet()).status();
    status.is_ok_and(|status| status.success())
}

/// Services that the plan creates and that are Kafka's: nodes, and those that use its tools. On Docker others are
/// created, too; what they run is a pulled image.
fn kafka_services(plan: &Value) -> Vec<Service> {
    let steps = || plan["steps"].as_array().into_iter().flatten();
    let is_foreign = |name: &str| {
        let pulled = steps().filter(|step| step["do"] == "pull_image");
        pulled
            .flat_map(|step| step["services"].as_array().into_iter().flatten())
            .any(|service| service == name)
    };
    let created = steps().filter(|step| step["do"] == "create");
    let services = created.filter_map(|step| {
        let name = step["service"].as_str()?;
        let is_node = step["summary"].as_str()?.starts_with("node ");
        (!is_foreign(name)).then(|| Service {
            name: name.to_owned(),
            container: step["container"].as_str().unwrap_or_default().to_owned(),
            is_node,
        })
    });
    services.collect()
}

/// Why nothing of a file is Kafka's.
fn left_out(plan: &Value) -> String {
    let steps = plan["steps"].as_array().into_iter().flatten();
    let out = steps.filter(|step| step["do"] == "leave_out");
    let first: Vec<String> = out
        .take(1)
        .map(|step| {
            let word = |key: &str| step[key].as_str().unwrap_or_default();
            format!("{}: {}", word("service"), word("reason"))
        })
        .collect();
    match first.first() {
        Some(first) => format!("no Kafka service is known ({first})"),
        None => "no Kafka service is known".to_owned(),
    }
}

fn ended(service: &Service, seen: &Value, took_ms: u128) -> Ended {
    let mut all = seen.as_array().into_iter().flatten();
    let Some(one) = all.find(|one| one["Service"] == service.name.as_str()) else {
        return Ended::No(format!("{} is not there", service.container));
    };
    let health = one["Health"].as_str().unwrap_or_default().to_owned();
    match (service.is_node, one["State"].as_str().unwrap_or_default(), one["ExitCode"].as_i64()) {
        (true, "running", _) => Ended::Ready { took_ms, health },
        (false, "exited", Some(0)) => Ended::Done,
        (false, "running", _) => Ended::Runs,
        (_, state, code) => Ended::No(format!("{state}, exit code {}", code.unwrap_or(0))),
    }
}
