//! What is wanted and what is there, in words that both runtimes share. Data only: no I/O.

use crate::process::reference::Release;
use jackdaw_compose::{HealthTest, MountOptions};
use jackdaw_conventions::{Listener, NodePlan, Provider};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::path::PathBuf;

/// The state that a project's file asks for.
#[derive(Debug, Clone)]
pub struct ProjectSpec {
    /// Project name, as in Docker Compose's `com.docker.compose.project`.
    pub name: String,
    /// Folder that relative paths of the file start from.
    pub working_dir: PathBuf,
    /// The compose files, as given.
    pub config_files: Vec<PathBuf>,
    /// Services, dependencies before their dependants.
    pub services: Vec<ServiceSpec>,
    /// Networks that the services use.
    pub networks: Vec<NetworkSpec>,
    /// Named volumes that the services use.
    pub volumes: Vec<VolumeSpec>,
}

impl ProjectSpec {
    /// The service of that name.
    pub fn service(&self, name: &str) -> Option<&ServiceSpec> {
        self.services.iter().find(|service| service.name == name)
    }

    /// Services that are Kafka nodes of ours.
    pub fn nodes(&self) -> impl Iterator<Item = (&ServiceSpec, &NodePlan)> {
        self.services.iter().filter_map(|service| Some((service, service.node.as_ref()?)))
    }
}

/// One service and the one container that runs it.
#[derive(Debug, Clone)]
pub struct ServiceSpec {
    /// Name in the file.
    pub name: String,
    /// Name of its container: `container_name`, or `PROJECT-SERVICE-1`.
    pub container: String,
    /// Image as the file names it.
    pub image: String,
    /// Present where the service starts a Kafka node.
    pub node: Option<NodePlan>,
    /// Whose image it is, where Jackdaw stands in for that: a node's, or one that is used for its tools.
    pub stands_in: Option<Provider>,
    /// Which of the file's clusters the node belongs to.
    pub quorum: Option<usize>,
    /// Present where Apache Kafka itself runs the node.
    pub reference: Option<Release>,
    /// Published ports, host addresses parsed.
    pub ports: Vec<PortSpec>,
    /// Listeners that are advertised elsewhere than the file says, since the port that leads to them was left open.
    pub readdressed: Vec<Listener>,
    /// Its container was made for a host port that somebody else has by now.
    pub has_lost_its_port: bool,
    /// Volumes, binds and tmpfs, volumes by the engine's names; secrets and configs.
    pub mounts: Vec<MountSpec>,
    /// Secrets and configs that cannot be had, a sentence each.
    pub missing: Vec<String>,
    /// Restart policy.
    pub restart: Restart,
    /// Signal that asks it to stop.
    pub stop_signal: String,
    /// Time between that signal and SIGKILL; Docker's default is 10 s.
    pub stop_grace_ms: u64,
    /// Digest of all that makes the container what it is: another one means that it is made anew.
    pub hash: String,
    /// The rest of what the file says.
    pub compose: jackdaw_compose::Service,
}

impl ServiceSpec {
    /// Whether the file says how its health is found out.
    pub fn has_own_check(&self) -> bool {
        let test = self.compose.healthcheck.as_ref().map(|check| &check.test);
        matches!(test, Some(HealthTest::Command(_) | HealthTest::Shell(_)))
    }

    /// Whether it mounts the volume that the engine knows by that name.
    pub fn mounts_volume(&self, name: &str) -> bool {
        self.mounts.iter().any(|mount| matches!(&mount.source, MountSource::Volume(own) if own == name))
    }

    /// Whether it does something for the nodes, and is none: a script that makes topics, a shell to work in.
    pub fn is_tool(&self) -> bool {
        self.stands_in.is_some() && self.node.is_none()
    }
}

/// One published port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortSpec {
    /// Host address; `None` means all of them.
    pub host_ip: Option<IpAddr>,
    /// Host port; `None` where it is open and nobody has chosen yet.
    pub published: Option<u16>,
    /// First and last of the host ports that it may become, where the file leaves that open.
    pub open: Option<(u16, u16)>,
    /// Port in the container.
    pub target: u16,
    /// `tcp` or `udp`.
    pub protocol: String,
}

/// What is mounted where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MountSpec {
    /// Path inside the container.
    pub target: String,
    /// What lies there.
    pub source: MountSource,
    /// Whether a missing folder of the host is made.
    pub create: bool,
    /// Without the right to write.
    pub read_only: bool,
    /// What else the file says of it.
    pub options: MountOptions,
}

/// Where a mount comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum MountSource {
    /// A named volume: the name the engine knows it by.
    Volume(String),
    /// A volume without name.
    Anonymous,
    /// A folder or file of the host.
    Bind(PathBuf),
    /// Memory.
    Tmpfs {
        /// Upper bound.
        size_bytes: Option<u64>,
        /// Permission bits.
        mode: Option<u32>,
        /// The options of the short form, as they were written.
        options: Option<String>,
    },
    /// A kind that only some engines know, by its name, and where it comes from.
    Other(String, String),
    /// A file that the compose file itself, or the environment, has: a secret or a config.
    Text {
        /// Its content.
        text: String,
        /// Its permission bits.
        mode: u32,
        /// Its owner and group.
        owner: (u64, u64),
    },
}

/// A network of the project.
#[derive(Debug, Clone)]
pub struct NetworkSpec {
    /// Key in the file.
    pub key: String,
    /// Name on the engine.
    pub name: String,
    /// Made by somebody else.
    pub external: bool,
    /// The rest of what the file says.
    pub compose: jackdaw_compose::Network,
}

/// A named volume of the project.
#[derive(Debug, Clone)]
pub struct VolumeSpec {
    /// Key in the file.
    pub key: String,
    /// Name on the engine.
    pub name: String,
    /// Made by somebody else.
    pub external: bool,
    /// The rest of what the file says.
    pub compose: jackdaw_compose::Volume,
}

/// Docker's restart policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// Stays down.
    #[default]
    No,
    /// Comes back whatever the exit code.
    Always,
    /// Comes back after a failure, at most so many times in a row (0: without limit).
    OnFailure(u32),
    /// As `Always`, unless it was stopped before the supervisor (or engine) went down.
    UnlessStopped,
}

/// What a runtime holds of a project.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Observed {
    /// Containers, or what stands for them.
    pub instances: Vec<Instance>,
    /// Names of the project's networks.
    pub networks: Vec<String>,
    /// Names of the project's volumes.
    pub volumes: Vec<String>,
    /// Images that are there, of those asked for.
    pub images: Vec<String>,
}

impl Observed {
    /// The instance of a service.
    pub fn of(&self, service: &str) -> Option<&Instance> {
        self.instances.iter().find(|instance| instance.service == service)
    }
}

/// Docker's states of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Made, never started.
    Created,
    /// Its main process runs.
    Running,
    /// Frozen.
    Paused,
    /// Exited; the restart policy is about to start it again.
    Restarting,
    /// Exited.
    Exited,
    /// Being removed, or could not be.
    Dead,
}

impl State {
    /// Docker's word for it.
    pub fn word(self) -> &'static str {
        match self {
            State::Created => "created",
            State::Running => "running",
            State::Paused => "paused",
            State::Restarting => "restarting",
            State::Exited => "exited",
            State::Dead => "dead",
        }
    }

    /// Whether there is something to stop.
    pub fn is_live(self) -> bool {
        matches!(self, State::Running | State::Paused | State::Restarting)
    }
}

/// One container or process group, as seen.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Instance {
    /// Container id, or the name again where there is none.
    pub id: String,
    /// Container name.
    pub name: String,
    /// Service it runs.
    pub service: String,
    /// Image it runs.
    pub image: String,
    /// Its state.
    pub state: State,
    /// Exit code, once exited.
    pub exit_code: Option<i64>,
    /// Health as Docker words it, where there is a healthcheck.
    pub health: Option<String>,
    /// The spec's hash at creation.
    pub hash: Option<String>,
    /// Creation time since the epoch.
    pub created_ms: u64,
    /// Start time since the epoch.
    pub started_ms: Option<u64>,
    /// Exit time since the epoch.
    pub finished_ms: Option<u64>,
    /// Times the policy brought it back since it was last started by hand.
    pub restarts: u32,
    /// Published ports, while it runs.
    pub ports: Vec<BoundPort>,
    /// Ports that it was made to publish, whether it runs or not.
    pub publishes: Vec<BoundPort>,
    /// Address inside: on its first network, or its loopback address.
    pub address: Option<IpAddr>,
    /// Process id of the main process, where this machine runs it.
    pub pid: Option<i32>,
    /// Why it could not be started, where that is known.
    pub error: Option<String>,
    /// What it runs.
    pub command: String,
}

/// A port that is published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundPort {
    /// Host address.
    pub ip: IpAddr,
    /// Host port.
    pub published: u16,
    /// Port in the container.
    pub target: u16,
    /// `tcp` or `udp`.
    pub protocol: String,
}

/// A service of the file that this runtime will not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// The service.
    pub service: String,
    /// Why, in a sentence.
    pub reason: String,
}
