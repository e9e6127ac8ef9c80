//! A cluster as a scenario needs it, and the one way to get one: the product's own command line.
//! It must not know what a scenario does with it.

use crate::dump;
use crate::model::{Act, Listener, Provider, Role, Shape};
use crate::ports::free_ports;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const CLIENT_PORT: u16 = 9092;
const CONTROLLER_PORT: u16 = 9093;
/// Every cluster of scenarios has this id; transcripts show it.
const CLUSTER_ID: &str = "HsDBs9l6UUmQq7Y5E6bNlw";

/// The provider whose answers are recorded.
pub const REFERENCE: &str = "apache-kafka";

/// Characters of a container's id, and of the form that is its host name.
const LONG_ID: usize = 64;
const SHORT_ID: usize = 12;
/// The exit code that says what is missing on this machine.
const NO_RUNTIME: i32 = 3;
/// Time in which a node must refuse its file, and how often one looks.
const ALONE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(25);

/// Why a cluster did not do what it was told.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Trouble(pub String);

/// Result of an order.
pub type Done<T = ()> = Result<T, Trouble>;

/// Nodes that can be started, hurt and reached.
pub trait Cluster {
    /// Where a listener of a node is reached from here.
    ///
    /// # Errors
    /// When the node has none.
    fn address(&mut self, node: i32, listener: Listener) -> Done<SocketAddr>;
    /// Texts that depend on the run (host ports, addresses), each with a stable name.
    ///
    /// # Errors
    /// When nobody knows.
    fn names(&mut self) -> Done<Vec<(String, String)>>;
    /// Stops, kills, starts a node; returns when that is done.
    ///
    /// # Errors
    /// When it is not.
    fn act(&mut self, act: Act, node: i32) -> Done;
    /// Deletes the data of a node that does not run.
    ///
    /// # Errors
    /// As the file system says.
    fn wipe(&mut self, node: i32) -> Done;
    /// A node that does not run gets the data folder of another one, in place of its own.
    ///
    /// # Errors
    /// As the file system says.
    fn share(&mut self, from: i32, with: i32) -> Done;
    /// The exit code of a node's process, once it ended.
    ///
    /// # Errors
    /// When nobody knows.
    fn exit_code(&mut self, node: i32) -> Done<Option<i64>>;
    /// Runs a node on these settings until it ends: its exit code and what it printed; no code where it would not end.
    ///
    /// # Errors
    /// As the system says.
    fn run_alone(&mut self, settings: &BTreeMap<String, Option<String>>) -> Done<(Option<i64>, String)>;
    /// What a node printed.
    ///
    /// # Errors
    /// When nobody knows.
    fn log(&mut self, node: i32) -> Done<String>;
    /// From now on the node is run by that provider, on the same data.
    ///
    /// # Errors
    /// When it does not start.
    fn provide(&mut self, node: i32, provider: Provider) -> Done;
    /// What Kafka's own tool finds in the data of a node that does not run.
    ///
    /// # Errors
    /// When the tool cannot be run.
    fn dump(&mut self, node: i32, contents: &[String]) -> Done<String>;
}

/// How clusters are started.
#[derive(Clone, Debug)]
pub struct Means {
    /// The program: this one.
    pub program: PathBuf,
    /// Who provides the nodes: `jackdaw`, or what `up --provider` knows.
    pub provider: String,
    /// The provider whose answers count, and who takes part where Apache Kafka does.
    pub reference: String,
    /// `--runtime`.
    pub runtime: Option<String>,
    /// The words that have the program run one node on a `server.properties`.
    pub alone: Vec<String>,
}

impl Means {
    /// For a cluster of this shape, which may be held to another release.
    fn of(&self, shape: &Shape) -> Self {
        let reference = shape.reference();
        let provider = if self.provider == REFERENCE { reference.clone() } else { self.provider.clone() };
        Means { provider, reference, ..self.clone() }
    }

    /// As `up --provider` knows it.
    fn word(&self, provider: Provider) -> String {
        match provider {
            Provider::UnderTest => self.provider.clone(),
            Provider::Reference => self.reference.clone(),
        }
    }
}

/// A project of the command line, in a folder of its own; taken down when dropped.
#[derive(Debug)]
pub struct Project {
    means: Means,
    folder: Option<TempDir>,
    root: PathBuf,
    ports: BTreeMap<i32, u16>,
    addresses: BTreeMap<i32, IpAddr>,
    providers: BTreeMap<i32, String>,
}

static NUMBER: AtomicU32 = AtomicU32::new(1);

/// What [`take_all_down`] has to know of the run.
#[derive(Debug)]
struct Live {
    /// Projects that are up, or coming up.
    projects: Vec<(Means, PathBuf)>,
    /// Commands of scenarios that are under way.
    commands: usize,
    /// Nothing is begun any more, and what is up belongs to whoever ends the run.
    is_ending: bool,
}

static LIVE: Mutex<Live> = Mutex::new(Live { projects: Vec::new(), commands: 0, is_ending: false });
static COMMAND_DONE: Condvar = Condvar::new();

fn live() -> MutexGuard<'static, Live> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

const DOWN: [&str; 4] = ["down", "-v", "-t", "1"];

/// Takes down every cluster that is up: for whoever has to end at once. A command that is under way is waited for,
/// as it may be the one that brings a cluster up; scenarios get no further.
pub fn take_all_down() {
    let mut live = live();
    live.is_ending = true;
    while live.commands > 0 {
        live = COMMAND_DONE.wait(live).unwrap_or_else(PoisonError::into_inner);
    }
    let projects = std::mem::take(&mut live.projects);
    drop(live);
    for (means, root) in projects {
        // There is nobody left to tell.
        let _ = command(&means, &root, &DOWN);
        let _ = std::fs::remove_dir_all(&root);
    }
}

/// Returns unless the run is being ended elsewhere, which ends the process.
pub fn unless_ending() {
    drop(live_unless_ending());
}

fn live_unless_ending() -> MutexGuard<'static, Live> {
    loop {
        let live = live();
        if !live.is_ending {
            return live;
        }
        drop(live);
        std::thread::park();
    }
}

/// Runs the command line in a project's folder, on behalf of a scenario.
fn output(means: &Means, root: &Path, words: &[&str]) -> Done<Output> {
    {
        let mut live = live();
        if live.is_ending {
            return Err(Trouble("the run is being ended".into()));
        }
        live.commands += 1;
    }
    let done = command(means, root, words);
    live().commands -= 1;
    COMMAND_DONE.notify_all();
    done
}

fn command(means: &Means, root: &Path, words: &[&str]) -> Done<Output> {
    let mut command = Command::new(&means.program);
    if let Some(runtime) = &means.runtime {
        command.args(["--runtime", runtime]);
    }
    command
        .args(words)
        .current_dir(root)
        .env("JACKDAW_HOME", root.join("home"))
        .env_remove("COMPOSE_FILE")
        .env_remove("COMPOSE_PROJECT_NAME")
        .output()
        .map_err(|error| Trouble(format!("{}: {error}", means.program.display())))
}

impl Project {
    /// Starts a cluster and waits until it is ready, unless the shape says that it is not to be started.
    ///
    /// # Errors
    /// What the command line said, and where the logs are kept.
    pub fn up(shape: &Shape, means: &Means) -> Result<Self, (Trouble, String)> {
        let mut project = Self::prepare(shape, means).map_err(|trouble| (trouble, String::new()))?;
        let mode = if shape.started { ["up", "-d"] } else { ["up", "--no-start"] };
        match project.up_with(&mode) {
            Ok(_) => Ok(project),
            Err(trouble) => {
                let kept = project.keep_logs();
                Err((trouble, kept))
            }
        }
    }

    fn prepare(shape: &Shape, means: &Means) -> Done<Self> {
        let io = |error: std::io::Error| Trouble(format!("a folder for a cluster: {error}"));
        let folder = Self::folder(means.of(shape)).map_err(io)?;
        let free = free_ports(shape.nodes.len()).map_err(io)?;
        let ports: BTreeMap<i32, u16> = shape.nodes.keys().copied().zip(free).collect();
        let root = folder.path().to_owned();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("scenario-{}-{number}", std::process::id());
        // Containers write to folders of this machine: as whoever made them.
        let made = std::fs::metadata(&root).map_err(io)?;
        let text = compose(shape, &name, &ports, &format!("{}:{}", made.uid(), made.gid()));
        std::fs::write(root.join("compose.yml"), text).map_err(io)?;
        for node in shape.nodes.keys() {
            std::fs::create_dir_all(root.join(format!("data{node}"))).map_err(io)?;
        }
        let means = means.of(shape);
        let providers = shape
            .nodes
            .keys()
            .map(|node| {
                let by_reference = shape.by_reference.contains(node);
                (*node, means.word(if by_reference { Provider::Reference } else { Provider::UnderTest }))
            })
            .collect();
        let addresses = BTreeMap::new();
        Ok(Project { means, folder: Some(folder), root, ports, addresses, providers })
    }

    /// A folder that whoever ends the run knows of from its first moment.
    fn folder(means: Means) -> std::io::Result<TempDir> {
        let mut live = live_unless_ending();
        let folder = tempfile::Builder::new().prefix("jackdaw-scenario-").tempdir()?;
        live.projects.push((means, folder.path().to_owned()));
        Ok(folder)
    }

    fn up_with(&mut self, words: &[&str]) -> Done<String> {
        let foreign = self.providers.iter().filter(|(_, provider)| *provider != "jackdaw");
        let flags: Vec<String> = foreign
            .flat_map(|(node, provider)| ["--provider".into(), format!("kafka{node}={provider}")])
            .collect();
        let mut all: Vec<&str> = words.to_vec();
        all.extend(flags.iter().map(String::as_str));
        all.extend(["--wait-timeout", "120"]);
        self.run(&all)
    }

    /// Runs a command on the project; its standard output.
    fn run(&self, words: &[&str]) -> Done<String> {
        let output = self.output(words)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(Trouble(format!("jackdaw {} ended with {}: {}", words.join(" "), output.status, said.trim())))
    }

    fn output(&self, words: &[&str]) -> Done<Output> {
        output(&self.means, &self.root, words)
    }

    fn seen(&self) -> Done<Vec<Json>> {
        let text = self.run(&["ps", "-a", "--format", "json"])?;
        let lines = serde_json::Deserializer::from_str(&text).into_iter::<Json>();
        lines.collect::<Result<_, _>>().map_err(|error| Trouble(format!("jackdaw ps: {error}")))
    }

    fn seen_node(&self, node: i32) -> Done<Json> {
        let service = format!("kafka{node}");
        let mut seen = self.seen()?.into_iter();
        seen.find(|one| one["Service"] == service.as_str())
            .ok_or_else(|| Trouble(format!("{service} is not there")))
    }

    /// Writes the logs beside the compose file, keeps the folder, and says where.
    pub fn keep_logs(&mut self) -> String {
        let logs = self.output(&["logs", "--no-color"]).map(|output| output.stdout).unwrap_or_default();
        let path = self.root.join("cluster.log");
        let written = std::fs::write(&path, logs);
        if let Some(folder) = self.folder.take() {
            let _ = folder.keep();
        }
        match written {
            Ok(()) => format!("its logs are in {}", path.display()),
            Err(error) => format!("its logs could not be kept: {error}"),
        }
    }

    /// The folder with the compose file and the data.
    pub fn root(&self) -> &Path {
        &self.root
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let done = self.run(&DOWN);
        let mut live = live();
        if live.is_ending {
            // `take_all_down` needs the folder, and removes it.
            self.folder.take().map(TempDir::keep);
            return;
        }
        live.projects.retain(|(_, root)| *root != self.root);
        if let Err(trouble) = done {
            eprintln!("{trouble}");
        }
    }
}

impl Cluster for Project {
    fn address(&mut self, node: i32, listener: Listener) -> Done<SocketAddr> {
        let port = match listener {
            Listener::External => {
                let port =
                    self.ports.get(&node).ok_or_else(|| Trouble(format!("node {node} has no port")))?;
                return Ok(SocketAddr::new(IpAddr::from([127, 0, 0, 1]), *port));
            }
            Listener::Client => CLIENT_PORT,
            Listener::Controller => CONTROLLER_PORT,
        };
        if !self.addresses.contains_key(&node) {
            let seen = self.seen_node(node)?;
            let address = seen["Address"].as_str().and_then(|address| address.parse().ok());
            let address = address.ok_or_else(|| Trouble(format!("node {node} has no address")))?;
            self.addresses.insert(node, address);
        }
        Ok(SocketAddr::new(self.addresses[&node], port))
    }

    fn names(&mut self) -> Done<Vec<(String, String)>> {
        let ports = self.ports.iter();
        let mut names: Vec<(String, String)> =
            ports.map(|(node, port)| (port.to_string(), format!("<port of node {node}>"))).collect();
        let seen = self.seen()?;
        for node in self.ports.keys() {
            let service = format!("kafka{node}");
            let one = seen.iter().find(|one| one["Service"] == service.as_str());
            let word = |key: &str| one.and_then(|one| one[key].as_str()).unwrap_or_default().to_owned();
            // A listener without a host is advertised with the machine's name: in a container the short form of its
            // id, on a process's own address that address.
            let id = word("ID");
            let host = id.get(..SHORT_ID).filter(|_| id.len() == LONG_ID).map(str::to_owned);
            let texts = host.into_iter().chain([word("Address")]).filter(|text| !text.is_empty());
            names.extend(texts.map(|text| (text, format!("<address of node {node}>"))));
        }
        // An address may begin as another does.
        names.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        Ok(names)
    }

    fn act(&mut self, act: Act, node: i32) -> Done {
        let service = format!("kafka{node}");
        let words: Vec<&str> = match act {
            Act::Kill => vec!["kill", &service],
            Act::Stop => vec!["stop", "-t", "60", &service],
            Act::Start => vec!["start", &service],
            Act::Pause => vec!["kill", "-s", "SIGSTOP", &service],
            Act::Resume => vec!["kill", "-s", "SIGCONT", &service],
        };
        self.addresses.remove(&node);
        self.run(&words).map(drop)
    }

    fn wipe(&mut self, node: i32) -> Done {
        let data = self.root.join(format!("data{node}"));
        let done = std::fs::remove_dir_all(&data).and_then(|()| std::fs::create_dir_all(&data));
        done.map_err(|error| Trouble(format!("{}: {error}", data.display())))
    }

    fn share(&mut self, from: i32, with: i32) -> Done {
        let data = self.root.join(format!("data{with}"));
        let done = std::fs::remove_dir_all(&data)
            .and_then(|()| std::os::unix::fs::symlink(self.root.join(format!("data{from}")), &data));
        done.map_err(|error| Trouble(format!("{}: {error}", data.display())))
    }

    fn exit_code(&mut self, node: i32) -> Done<Option<i64>> {
        let seen = self.seen_node(node)?;
        let ended = matches!(seen["State"].as_str(), Some("exited" | "dead"));
        Ok(seen["ExitCode"].as_i64().filter(|_| ended))
    }

    fn run_alone(&mut self, settings: &BTreeMap<String, Option<String>>) -> Done<(Option<i64>, String)> {
        let io = |error: std::io::Error| Trouble(format!("a node on a file: {error}"));
        let file = self.root.join("server.properties");
        std::fs::write(&file, properties(&self.root, settings)).map_err(io)?;
        let printed = tempfile::NamedTempFile::new_in(&self.root).map_err(io)?;
        let mut child = Command::new(&self.means.program)
            .args(&self.means.alone)
            .args(["--cluster-id", CLUSTER_ID])
            .arg(&file)
            .current_dir(&self.root)
            .stdout(printed.reopen().map_err(io)?)
            .stderr(printed.reopen().map_err(io)?)
            .spawn()
            .map_err(io)?;
        let began = Instant::now();
        let ended = loop {
            match child.try_wait().map_err(io)? {
                Some(status) => break Some(status),
                None if began.elapsed() >= ALONE => {
                    child.kill().and_then(|()| child.wait()).map_err(io)?;
                    break None;
                }
                None => std::thread::sleep(LOOK),
            }
        };
        let code = ended.and_then(|status| status.code()).map(i64::from);
        let text = std::fs::read(printed.path()).map_err(io)?;
        Ok((code, String::from_utf8_lossy(&text).into_owned()))
    }

    fn log(&mut self, node: i32) -> Done<String> {
        self.run(&["logs", "--no-log-prefix", &format!("kafka{node}")])
    }

    fn provide(&mut self, node: i32, provider: Provider) -> Done {
        self.providers.insert(node, self.means.word(provider));
        self.addresses.remove(&node);
        self.up_with(&["up", "-d", "--no-wait", "--no-deps", &format!("kafka{node}")]).map(drop)
    }

    fn dump(&mut self, node: i32, contents: &[String]) -> Done<String> {
        let both = |words: &[&str]| {
            let output = self.output(words)?;
            // The tool's own failure is what it has to tell; without a tool there is none.
            if output.status.code() == Some(NO_RUNTIME) {
                return Err(Trouble(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
            }
            Ok([output.stdout, output.stderr]
                .map(|text| String::from_utf8_lossy(&text).into_owned())
                .concat())
        };
        let data = self.root.join(format!("data{node}"));
        Ok(dump::read(&data, both)? + &dump::contents(&data, contents, both)?)
    }
}

/// A plain `server.properties` of one node, with settings over it.
fn properties(root: &Path, settings: &BTreeMap<String, Option<String>>) -> String {
    let plain = [
        ("node.id", "1".to_owned()),
        ("process.roles", "broker,controller".to_owned()),
        ("controller.quorum.voters", format!("1@127.0.0.1:{CONTROLLER_PORT}")),
        ("controller.listener.names", "CONTROLLER".to_owned()),
        (
            "listeners",
            format!("PLAINTEXT://127.0.0.1:{CLIENT_PORT},CONTROLLER://127.0.0.1:{CONTROLLER_PORT}"),
        ),
        ("log.dirs", root.join("alone").display().to_string()),
    ];
    let mut all: BTreeMap<&str, Option<String>> =
        plain.into_iter().map(|(key, value)| (key, Some(value))).collect();
    all.extend(settings.iter().map(|(key, value)| (key.as_str(), value.clone())));
    all.into_iter().filter_map(|(key, value)| Some(format!("{key}={}\n", value?))).collect()
}

/// The compose file of a shape.
pub fn compose(shape: &Shape, name: &str, ports: &BTreeMap<i32, u16>, user: &str) -> String {
    let voters: Vec<String> = shape
        .nodes
        .iter()
        .filter(|(_, role)| **role != Role::Broker)
        .map(|(node, _)| format!("{node}@kafka{node}:{CONTROLLER_PORT}"))
        .collect();
    let mut text = format!("name: {name}\nservices:\n");
    for (node, role) in &shape.nodes {
        let port = ports.get(node).copied().unwrap_or_default();
        let client = format!("PLAINTEXT://:{CLIENT_PORT}");
        let controller = format!("CONTROLLER://:{CONTROLLER_PORT}");
        let listeners = match role {
            Role::Combined => format!("{client},{controller},EXTERNAL://:{port}"),
            Role::Broker => format!("{client},EXTERNAL://:{port}"),
            Role::Controller => controller,
        };
        let mut settings: BTreeMap<&str, String> = BTreeMap::from([
            ("node.id", node.to_string()),
            ("process.roles", role.setting().to_owned()),
            ("controller.quorum.voters", voters.join(",")),
            ("listeners", listeners),
            ("controller.listener.names", "CONTROLLER".to_owned()),
            (
                "listener.security.protocol.map",
                "CONTROLLER:PLAINTEXT,EXTERNAL:PLAINTEXT,PLAINTEXT:PLAINTEXT".to_owned(),
            ),
        ]);
        if *role != Role::Controller {
            let advertised = format!("PLAINTEXT://kafka{node}:{CLIENT_PORT},EXTERNAL://localhost:{port}");
            settings.insert("advertised.listeners", advertised);
        }
        let own = shape.node_settings.get(node).into_iter().flatten();
        settings.extend(shape.settings.iter().chain(own).map(|(key, value)| (key.as_str(), value.clone())));
        let _ = writeln!(
            text,
            "  kafka{node}:\n    image: bitnami/kafka:3.7.0\n    restart: \"no\"\n    user: '{user}'"
        );
        if *role != Role::Controller {
            let _ = writeln!(text, "    ports: ['127.0.0.1:{port}:{port}']");
        }
        let _ = writeln!(text, "    volumes: ['./data{node}:/bitnami/kafka']\n    environment:");
        let _ = writeln!(text, "      KAFKA_KRAFT_CLUSTER_ID: {CLUSTER_ID}");
        for (key, value) in settings {
            let variable = key.replace('.', "_").to_uppercase();
            let _ = writeln!(text, "      KAFKA_CFG_{variable}: {}", Json::String(value));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compose_file_of_a_shape_is_one_that_loads() {
        let shape = crate::parse(
            "n",
            "f",
            "protects: a\nsource: b\ncluster: { brokers: 1, settings: { num.partitions: 2 }, nodes: { 4: { role: broker, settings: { broker.rack: r } } } }\nsteps: [{ kill: node 1 }]\n",
        )
        .unwrap()
        .shape;
        let ports = BTreeMap::from([(1, 40001), (4, 40004)]);
        insta::assert_snapshot!(compose(&shape, "scenario-1", &ports, "1000:1000"));
    }
}
