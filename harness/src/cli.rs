//! The command line: every command and flag once, with its words of help. Docker Compose's words where it
//! has them.

mod words;

use clap::error::{ContextKind, ContextValue};
use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
pub use words::{Build, Cp, Ls, Run};

const AFTER: &str = "\
Exit codes:
  0    done
  1    not done: a node is not ready, an obligation is broken, a scenario differs, the engine or the system failed
  2    bad input: the file, an argument, a port that is taken, a folder that cannot be written
  3    no runtime: the chosen one does not answer, or Apache Kafka cannot be run here
  130  ended by Ctrl-C or SIGTERM
  exec and run give the exit code of their command, wait that of the last service; of exec 126 if it cannot be run, 127 if it is not there.";

/// Brings a Kafka compose file up in seconds: brokers written in Rust, on a Docker engine or as processes.
#[derive(Debug, Parser)]
#[command(name = "jackdaw", version, after_help = AFTER, disable_help_subcommand = true)]
pub struct Cli {
    /// What is asked for beside the command.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Options that stand before the command or after it.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Compose file; may be given more than once, later ones add to earlier ones
    #[arg(short = 'f', long = "file", global = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Project name
    #[arg(short = 'p', long, global = true, value_name = "NAME")]
    pub project_name: Option<String>,
    /// Profile to enable; may be given more than once
    #[arg(long = "profile", global = true, value_name = "NAME")]
    pub profiles: Vec<String>,
    /// File of variables, in place of .env
    #[arg(long = "env-file", global = true, value_name = "FILE")]
    pub env_files: Vec<PathBuf>,
    /// Folder that relative paths start from
    #[arg(long, global = true, value_name = "DIR")]
    pub project_directory: Option<PathBuf>,
    /// Where services run; by default (and without JACKDAW_RUNTIME) a Docker engine if one answers, else processes
    #[arg(long, global = true, value_enum)]
    pub runtime: Option<RuntimeChoice>,
    /// Brokers in ZooKeeper mode: run them as a KRaft quorum, or refuse the file
    #[arg(long, global = true, value_enum, default_value_t = ZooKeeperChoice::Replace)]
    pub zookeeper: ZooKeeperChoice,
    /// Print without colours (so does NO_COLOR)
    #[arg(long, global = true)]
    pub no_color: bool,
    /// Colours: never, always or auto
    #[arg(long, global = true, value_name = "WHEN", hide = true)]
    pub ansi: Option<String>,
    /// How progress is shown; there is one way
    #[arg(long, global = true, value_name = "KIND", hide = true)]
    pub progress: Option<String>,
    /// For scripts of Docker Compose; without effect
    #[arg(long, global = true, hide = true)]
    pub compatibility: bool,
    /// For scripts of Docker Compose; without effect
    #[arg(long, global = true, value_name = "NUMBER", hide = true)]
    pub parallel: Option<i64>,
}

/// See [`Global::runtime`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RuntimeChoice {
    /// Containers of a Docker engine
    Docker,
    /// Processes on loopback addresses
    Process,
}

/// See [`Global::zookeeper`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ZooKeeperChoice {
    /// A KRaft quorum in its place
    Replace,
    /// An error
    Refuse,
}

/// Text for people, JSON for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table
    Table,
    /// One JSON document
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create and start the services; attached unless -d is given
    Up(Up),
    /// Stop and remove what `up` made; volumes only with -v
    Down(Down),
    /// List the containers (or the processes that stand for them)
    Ps(Ps),
    /// Show what services printed
    Logs(Logs),
    /// Stop services
    Stop(Timed),
    /// Start stopped services
    Start(Named),
    /// Stop and start services
    Restart(Timed),
    /// Send a signal to services
    Kill(Kill),
    /// Freeze services
    Pause(Named),
    /// Let frozen services go on
    Unpause(Named),
    /// Show the processes of services
    Top(Named),
    /// List the projects of which anything runs
    Ls(Ls),
    /// Run a command once in a container (or as a process) of its own, with what its service depends on
    Run(Run),
    /// Copy between a service's container and this machine
    Cp(Cp),
    /// Say what would be built: nothing, an image that is to be built is stood in for or left out
    Build(Build),
    /// Run a command in a service's container (or beside its process)
    Exec(Exec),
    /// Print the file as it is understood
    Config(Config),
    /// Create the services' containers, and start none
    Create(Up),
    /// Print where a port of a service is published
    Port(Port),
    /// Remove stopped containers
    Rm(Rm),
    /// Wait until services end, and print their exit codes
    Wait(Named),
    /// Say what would be pulled: nothing, for Kafka's images
    Pull(Pull),
    /// Print the version
    Version {
        /// Only the number
        #[arg(long)]
        short: bool,
    },
    /// Hold the running cluster to its file, one obligation a line
    Check(Check),
    /// Run one broker on a server.properties
    Broker(Broker),
    /// Make the image that stands in for Kafka's
    #[command(subcommand)]
    Image(Image),
    /// Say whether the node of this container serves (the image's health check)
    Healthy(Healthy),
    /// Run scenarios and compare every reply with what Apache Kafka answered
    Conformance(Conformance),
    /// Run scenarios on Apache Kafka and keep what it answers
    Record(Record),
    /// Explain a diagnostic's code
    Explain {
        /// A code such as JK0012; none lists all of them
        code: Option<String>,
    },
    /// Run the supervisor of a project (the process runtime starts it)
    #[command(hide = true)]
    Supervise {
        /// Folder of the project
        root: PathBuf,
    },
    /// Do a step of an image's entrypoint (its scripts do)
    #[command(hide = true)]
    Container(Container),
    /// Become the JVM that runs one node (the process runtime starts it)
    #[command(hide = true)]
    ApacheKafka(ApacheKafka),
    /// Become a tool of Apache Kafka, such as kafka.tools.DumpLogSegments
    #[command(hide = true)]
    KafkaTool {
        /// Its class
        class: String,
        /// Its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Take one look at an address and print what is seen
    #[command(hide = true)]
    Probe {
        /// The question, as JSON
        look: String,
    },
    /// Look at addresses until all are as they should, and print what is found
    #[command(hide = true)]
    Await {
        /// The looks, as JSON
        looks: String,
        /// Time it may take
        timeout_ms: u64,
    },
}

/// `up`
#[derive(Debug, Args)]
pub struct Up {
    /// Return as soon as the cluster is ready, and leave it running
    #[arg(short, long)]
    pub detach: bool,
    /// Print what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// How the dry run is printed
    #[arg(long, value_enum, default_value = "table", requires = "dry_run")]
    pub format: Format,
    /// Make containers anew even if nothing changed
    #[arg(long, conflicts_with = "no_recreate")]
    pub force_recreate: bool,
    /// Keep containers even if their configuration changed
    #[arg(long)]
    pub no_recreate: bool,
    /// Make containers, start none
    #[arg(long)]
    pub no_start: bool,
    /// Without the services that the named ones depend on
    #[arg(long)]
    pub no_deps: bool,
    /// Remove containers of services that the file does not have
    #[arg(long)]
    pub remove_orphans: bool,
    /// New unnamed volumes in place of those of the last containers
    #[arg(short = 'V', long)]
    pub renew_anon_volumes: bool,
    /// Detach, once ready (`-d` waits as well)
    #[arg(long)]
    pub wait: bool,
    /// Seconds until a cluster that is not ready counts as failed
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub wait_timeout: u64,
    /// Do not wait until the cluster is ready
    #[arg(long, conflicts_with = "wait")]
    pub no_wait: bool,
    /// Seconds that services have to stop when attached `up` ends or they are made anew
    #[arg(short, long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
    /// Who runs a node, as SERVICE=PROVIDER: jackdaw, or apache-kafka[:VERSION]; '*' is every node
    #[arg(long, value_name = "SERVICE=PROVIDER")]
    pub provider: Vec<String>,
    /// Print log lines without the service's name
    #[arg(long)]
    pub no_log_prefix: bool,
    /// Stop everything when one container ends (attached)
    #[arg(long, conflicts_with = "detach")]
    pub abort_on_container_exit: bool,
    /// End with the exit code of that service, and stop everything when one container ends (attached)
    #[arg(long, value_name = "SERVICE", conflicts_with = "detach")]
    pub exit_code_from: Option<String>,
    /// How many containers of a service: 1, or 0 for none
    #[arg(long, value_name = "SERVICE=NUMBER")]
    pub scale: Vec<String>,
    /// For scripts of Docker Compose: no image is built here
    #[arg(long, hide = true)]
    pub build: bool,
    /// For scripts of Docker Compose: no image is built here
    #[arg(long, hide = true, conflicts_with = "build")]
    pub no_build: bool,
    /// For scripts of Docker Compose: the file's `pull_policy` decides
    #[arg(long, hide = true, value_name = "POLICY")]
    pub pull: Option<String>,
    /// For scripts of Docker Compose
    #[arg(long, hide = true)]
    pub quiet_pull: bool,
    /// Services, with what they depend on; all without
    pub services: Vec<String>,
}

/// `down`
#[derive(Debug, Args)]
pub struct Down {
    /// Remove the volumes, and with them the data
    #[arg(short, long)]
    pub volumes: bool,
    /// Seconds that services have to stop
    #[arg(short, long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
    /// Remove containers of services that the file does not have
    #[arg(long)]
    pub remove_orphans: bool,
    /// For scripts of Docker Compose: images stay
    #[arg(long, hide = true, value_name = "WHICH")]
    pub rmi: Option<String>,
}

/// `ps`
#[derive(Debug, Args)]
pub struct Ps {
    /// Stopped ones too
    #[arg(short, long)]
    pub all: bool,
    /// How it is printed
    #[arg(long, value_enum, default_value = "table")]
    pub format: Format,
    /// Ids only
    #[arg(short, long)]
    pub quiet: bool,
    /// Names of the services only
    #[arg(long = "services")]
    pub only_services: bool,
    /// Only those in that state
    #[arg(long, value_name = "STATE")]
    pub status: Vec<String>,
    /// Only those of which that is so: status=STATE
    #[arg(long, value_name = "FILTER")]
    pub filter: Vec<String>,
    /// For scripts of Docker Compose; without effect
    #[arg(long, hide = true)]
    pub no_trunc: bool,
    /// Only these services
    pub services: Vec<String>,
}

/// `logs`
#[derive(Debug, Args)]
pub struct Logs {
    /// Go on with what comes (`-f` after `logs` means this)
    #[arg(long)]
    pub follow: bool,
    /// Only so many of the last lines of each
    #[arg(short = 'n', long, value_name = "LINES")]
    pub tail: Option<String>,
    /// With times
    #[arg(short, long)]
    pub timestamps: bool,
    /// Only from this time on: 2024-08-30T12:00:00, or a duration ago such as 10m
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub since: Option<String>,
    /// Only up to this time
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub until: Option<String>,
    /// Without the service's name
    #[arg(long)]
    pub no_log_prefix: bool,
    /// Only these services
    pub services: Vec<String>,
}

/// `port`
#[derive(Debug, Args)]
pub struct Port {
    /// tcp or udp
    #[arg(long, default_value = "tcp")]
    pub protocol: String,
    /// The service
    pub service: String,
    /// The port in its container
    pub port: u16,
}

/// `rm`
#[derive(Debug, Args)]
pub struct Rm {
    /// Without a question (none is asked; `-f` after `rm` means this)
    #[arg(long)]
    pub force: bool,
    /// Stop them first
    #[arg(short, long)]
    pub stop: bool,
    /// With their unnamed volumes
    #[arg(short, long)]
    pub volumes: bool,
    /// Only these services
    pub services: Vec<String>,
}

/// `pull`
#[derive(Debug, Args)]
pub struct Pull {
    /// Say nothing
    #[arg(short, long)]
    pub quiet: bool,
    /// For scripts of Docker Compose
    #[arg(long, hide = true)]
    pub ignore_pull_failures: bool,
    /// Only these services
    pub services: Vec<String>,
}

/// Commands with a time to stop.
#[derive(Debug, Args)]
pub struct Timed {
    /// For scripts of Docker Compose: what the file restarts with a service is restarted
    #[arg(long, hide = true)]
    pub no_deps: bool,
    /// Seconds that services have to stop
    #[arg(short, long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
    /// Only these services
    pub services: Vec<String>,
}

/// Commands with nothing but services.
#[derive(Debug, Args)]
pub struct Named {
    /// For scripts of Docker Compose; without effect
    #[arg(long, hide = true)]
    pub wait: bool,
    /// Only these services
    pub services: Vec<String>,
}

/// `kill`
#[derive(Debug, Args)]
pub struct Kill {
    /// The signal
    #[arg(short, long, default_value = "SIGKILL")]
    pub signal: String,
    /// Only these services
    pub services: Vec<String>,
}

/// `exec`
#[derive(Debug, Args)]
pub struct Exec {
    /// In the background
    #[arg(short, long)]
    pub detach: bool,
    /// With our standard input (it is given anyway)
    #[arg(short, long)]
    pub interactive: bool,
    /// With a terminal (it is given where we have one)
    #[arg(short, long)]
    pub tty: bool,
    /// Without a terminal
    #[arg(short = 'T', long = "no-tty", conflicts_with = "tty")]
    pub no_tty: bool,
    /// Extra variable
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub env: Vec<String>,
    /// As that user
    #[arg(short, long)]
    pub user: Option<String>,
    /// In that folder
    #[arg(short, long)]
    pub workdir: Option<String>,
    /// The service
    pub service: String,
    /// The command and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    pub command: Vec<String>,
}

/// `config`
#[derive(Debug, Args)]
pub struct Config {
    /// How it is printed
    #[arg(long, value_enum, default_value = "yaml")]
    pub format: ConfigFormat,
    /// Names of the services only
    #[arg(long, group = "what")]
    pub services: bool,
    /// Names of the volumes only
    #[arg(long, group = "what")]
    pub volumes: bool,
    /// Images only
    #[arg(long, group = "what")]
    pub images: bool,
    /// Names of the networks only
    #[arg(long, group = "what")]
    pub networks: bool,
    /// Names of the profiles only
    #[arg(long = "profiles", group = "what")]
    pub list_profiles: bool,
    /// A digest for each of these services (`*` for all), another one where the service changed
    #[arg(long, group = "what", value_name = "SERVICES")]
    pub hash: Option<String>,
    /// The variables that the file is filled in with
    #[arg(long, group = "what")]
    pub environment: bool,
    /// For scripts of Docker Compose: it is refused, with what to use
    #[arg(long, hide = true)]
    pub no_interpolate: bool,
    /// Write it to this file
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Say only whether it is valid
    #[arg(short, long, group = "what")]
    pub quiet: bool,
}

/// See [`Config::format`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ConfigFormat {
    /// YAML
    Yaml,
    /// JSON
    Json,
}

/// `check`
#[derive(Debug, Args)]
pub struct Check {
    /// How it is printed
    #[arg(long, value_enum, default_value = "table")]
    pub format: Format,
    /// Also kill the leader of a partition and see it come back
    #[arg(long)]
    pub disruptive: bool,
}

/// `broker`
#[derive(Debug, Args)]
pub struct Broker {
    /// Names that are resolved before the system's, as in /etc/hosts
    #[arg(long, value_name = "FILE")]
    pub hosts: Option<PathBuf>,
    /// Format empty log folders for this cluster
    #[arg(long, value_name = "ID")]
    pub cluster_id: Option<String>,
    /// The configuration
    pub properties: PathBuf,
    /// A setting that wins over the file's
    #[arg(long = "override", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// A port of the loopback address that leads to one of the node's
    #[arg(long, value_name = "PORT=PORT", hide = true)]
    pub forward: Vec<String>,
}

/// `image`
#[derive(Debug, Subcommand)]
pub enum Image {
    /// Make it on the Docker engine, and print its names
    Build(ImageBuild),
}

/// `image build`
#[derive(Debug, Args)]
pub struct ImageBuild {
    /// Name for it, such as bitnami/kafka:3.7.0, whose conventions it then has; may be given more than once
    #[arg(short, long, value_name = "NAME")]
    pub tag: Vec<String>,
    /// Write its root file system here, as tar, in place of making it on an engine
    #[arg(long, value_name = "FILE", conflicts_with = "tag")]
    pub output: Option<PathBuf>,
}

/// `healthy`
#[derive(Debug, Args)]
pub struct Healthy {
    /// The node's configuration, as the node was given it; by default the first node that runs here is asked
    pub properties: Option<PathBuf>,
    /// Milliseconds until a node that does not answer counts as sick
    #[arg(long, value_name = "MS", default_value_t = Healthy::default().timeout_ms)]
    pub timeout_ms: u32,
}

impl Default for Healthy {
    fn default() -> Self {
        Healthy { properties: None, timeout_ms: 1000 }
    }
}

/// `container`
#[derive(Debug, Args)]
pub struct Container {
    /// Whose conventions; by default those that the environment is written for
    #[arg(long, value_enum)]
    pub convention: Option<Convention>,
    /// Which step
    #[arg(value_enum)]
    pub step: ContainerStep,
    /// The words of the script that does it
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<String>,
}

/// See [`Container::convention`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Convention {
    /// bitnami/kafka
    Bitnami,
    /// apache/kafka
    Apache,
    /// confluentinc/cp-kafka
    Confluent,
}

/// See [`Container::step`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ContainerStep {
    /// What the image starts with
    Entrypoint,
    /// Settings, data folders and the scripts that run once
    Setup,
    /// All steps of a node
    Run,
    /// Make the settings of the environment
    Configure,
    /// See to the data folders
    Ensure,
    /// Become the node
    Launch,
}

/// `apache-kafka`
#[derive(Debug, Args)]
pub struct ApacheKafka {
    /// Folder of its jars
    #[arg(long)]
    pub libs: PathBuf,
    /// Names and addresses, as in /etc/hosts
    #[arg(long, value_name = "FILE")]
    pub hosts: Option<PathBuf>,
    /// Format empty log folders for this cluster
    #[arg(long, value_name = "ID")]
    pub cluster_id: Option<String>,
    /// The configuration
    pub properties: PathBuf,
}

/// Where scenarios and recordings lie.
#[derive(Debug, Clone, Args)]
pub struct Rooms {
    /// Folder of the scenarios
    #[arg(long, value_name = "DIR", default_value = "scenarios")]
    pub scenarios: PathBuf,
    /// Folder of the recordings
    #[arg(long, value_name = "DIR", default_value = "fixtures/apache-kafka-3.7.0")]
    pub fixtures: PathBuf,
}

/// `conformance`
#[derive(Debug, Args)]
pub struct Conformance {
    /// Where scenarios and recordings lie
    #[command(flatten)]
    pub rooms: Rooms,
    /// Write a JUnit report
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Who runs the nodes: jackdaw, or apache-kafka[:VERSION]
    #[arg(long, default_value = "jackdaw")]
    pub provider: String,
    /// Clusters at a time; one where Apache Kafka takes part
    #[arg(long, default_value_t = 2)]
    pub jobs: usize,
    /// Run nothing; print the named differences as a table
    #[arg(long)]
    pub differences: bool,
    /// Put that table between its marks in this file
    #[arg(long, value_name = "FILE", requires = "differences")]
    pub into: Option<PathBuf>,
    /// Print each transcript
    #[arg(long)]
    pub show: bool,
    /// Scenarios; all without
    pub names: Vec<String>,
}

/// `record`
#[derive(Debug, Args)]
pub struct Record {
    /// Where scenarios and recordings lie
    #[command(flatten)]
    pub rooms: Rooms,
    /// Scenarios; all without
    pub names: Vec<String>,
}

/// Parses; ends the program with a help, or with what is wrong.
pub fn parse(words: &[String]) -> Cli {
    Cli::try_parse_from(words).unwrap_or_else(|mut error| {
        if let Some(ContextValue::String(unknown)) = error.get(ContextKind::InvalidSubcommand) {
            // The parser's own guess may be a command that nobody is meant to see.
            let meant = meant(unknown);
            error.remove(ContextKind::SuggestedSubcommand);
            if let Some(meant) = meant {
                error.insert(ContextKind::SuggestedSubcommand, ContextValue::String(meant));
            }
        }
        error.exit()
    })
}

/// The command or tool that was meant by a word that is none. Tools stand before all options, as they have their own.
fn meant(unknown: &str) -> Option<String> {
    let bare = unknown.strip_suffix(".sh").unwrap_or(unknown);
    let bare = bare.strip_prefix("kafka-").unwrap_or(bare);
    let cli = Cli::command();
    let commands =
        cli.get_subcommands().filter(|command| !command.is_hide_set()).map(|command| command.get_name());
    let tools = jackdaw_tools::TOOLS.iter().map(|tool| tool.name);
    let nearest = jackdaw_compose::nearest(bare, commands.chain(tools))?;
    Some(if jackdaw_tools::find(nearest).is_some() {
        format!("jackdaw {nearest} …")
    } else {
        nearest.to_owned()
    })
}

/// The command line of this process, with the one short flag that means several things told apart: `-f` is
/// `--file`, but after `logs` it is `--follow` and after `rm` `--force`, as with Docker Compose.
pub fn arguments(given: impl IntoIterator<Item = String>) -> Vec<String> {
    const WITH_VALUE: [&str; 11] = [
        "--ansi",
        "--progress",
        "--parallel",
        "-f",
        "--file",
        "-p",
        "--project-name",
        "--profile",
        "--env-file",
        "--project-directory",
        "--runtime",
    ];
    let mut words = Vec::new();
    let (mut command, mut value_next) = (None::<String>, false);
    for word in given {
        let is_first = words.is_empty();
        let short = word.strip_prefix('-').filter(|rest| !rest.is_empty());
        match (&command, short) {
            (Some(name), Some(flags)) if name == "logs" && flags.chars().all(|flag| "ft".contains(flag)) => {
                let long = |flag| if flag == 'f' { "--follow" } else { "--timestamps" };
                words.extend(flags.chars().map(|flag| long(flag).to_owned()));
                continue;
            }
            (Some(name), Some(flags)) if name == "rm" && flags.chars().all(|flag| "fsv".contains(flag)) => {
                let long = |flag| match flag {
                    'f' => "--force",
                    's' => "--stop",
                    _ => "--volumes",
                };
                words.extend(flags.chars().map(|flag| long(flag).to_owned()));
                continue;
            }
            (None, None) if !is_first && !value_next => command = Some(word.clone()),
            _ => {}
        }
        value_next = command.is_none() && WITH_VALUE.contains(&word.as_str());
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_word_that_is_no_command_leads_to_the_nearest_one_or_to_a_tool() {
        for (unknown, expected) in [
            ("upp", Some("up")),
            ("topic", Some("jackdaw topics …")),
            ("kafka-topics.sh", Some("jackdaw topics …")),
            ("kafka-console-consumer", Some("jackdaw console-consumer …")),
            ("frobnicate", None),
        ] {
            assert_eq!(meant(unknown).as_deref(), expected, "{unknown}");
        }
    }

    #[test]
    fn the_file_may_stand_before_the_command_or_after_it() {
        for line in ["jackdaw -f a.yml -p demo ps", "jackdaw ps -f a.yml -p demo"] {
            let cli = Cli::parse_from(line.split(' '));
            assert_eq!(cli.global.files, [PathBuf::from("a.yml")], "{line}");
            assert_eq!(cli.global.project_name.as_deref(), Some("demo"), "{line}");
        }
    }

    #[test]
    fn after_logs_the_short_f_follows() {
        let line = "jackdaw -f a.yml logs -ft -n 5 Kafka00Service".split(' ').map(str::to_owned);
        let cli = Cli::parse_from(arguments(line));
        assert_eq!(cli.global.files, [PathBuf::from("a.yml")]);
        let Command::Logs(logs) = cli.command else { panic!("{:?}", cli.command) };
        assert!(logs.follow && logs.timestamps);
        assert_eq!(
            (logs.tail.as_deref(), logs.services.as_slice()),
            (Some("5"), &["Kafka00Service".into()][..])
        );
    }
}
