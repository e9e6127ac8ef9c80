//! What commands and the supervisor say to each other: one JSON object a line over a Unix socket, one
//! request per connection. Private to one version of the binary.

use super::health::HealthSpec;
use crate::model::{Instance, PortSpec, Restart};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// Everything the supervisor has to know to run one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceSpec {
    /// Container name.
    pub name: String,
    /// Service name.
    pub service: String,
    /// Image that is stood in for.
    pub image: String,
    /// The spec's hash.
    pub hash: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// The whole environment.
    pub env: BTreeMap<String, String>,
    /// Working directory.
    pub cwd: PathBuf,
    /// The service's working directory, where commands beside it start.
    #[serde(default)]
    pub inside: PathBuf,
    /// The service's own loopback address.
    pub address: IpAddr,
    /// Ports as the file publishes them.
    pub ports: Vec<PortSpec>,
    /// The sockets that are forwarded for them.
    pub forwards: Vec<Forward>,
    /// Its healthcheck.
    #[serde(default)]
    pub health: Option<HealthSpec>,
    /// Whether it starts processes of its own, which are to end with it.
    #[serde(default)]
    pub starts_others: bool,
    /// Names of the volumes that it mounts.
    #[serde(default)]
    pub volumes: Vec<String>,
    /// Restart policy.
    pub restart: Restart,
    /// Signal that asks the program to stop, as a number.
    pub stop_signal: i32,
    /// Time it has before SIGKILL.
    pub stop_grace_ms: u64,
    /// Creation time since the epoch.
    pub created_ms: u64,
    /// The project's compose files.
    #[serde(default)]
    pub config_files: Vec<PathBuf>,
}

/// One forwarded socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    /// Where clients connect.
    pub from: SocketAddr,
    /// Where they are taken.
    pub to: SocketAddr,
}

/// A command.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Request {
    /// What is there?
    List,
    /// Make an instance, without starting it.
    Create(Box<InstanceSpec>),
    /// Start it.
    Start {
        /// Instance name.
        name: String,
    },
    /// Ask it to stop, and kill it after the grace period.
    Stop {
        /// Instance name.
        name: String,
        /// Another grace period than the spec's.
        grace_ms: Option<u64>,
    },
    /// Send a signal.
    Kill {
        /// Instance name.
        name: String,
        /// Signal number.
        signal: i32,
    },
    /// Freeze it.
    Pause {
        /// Instance name.
        name: String,
    },
    /// Let it go on.
    Unpause {
        /// Instance name.
        name: String,
    },
    /// Forget it; killed first where it runs.
    Remove {
        /// Instance name.
        name: String,
    },
    /// Say what happens, until the caller hangs up.
    Events,
    /// End, once no instance is left.
    Quit,
}

/// An answer, or one of the lines that follow [`Request::Events`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "said", rename_all = "snake_case")]
pub enum Reply {
    /// Done.
    Done,
    /// To [`Request::List`].
    Instances {
        /// All of them, in order of creation.
        instances: Vec<Instance>,
    },
    /// Not done.
    Refused {
        /// Why, in a sentence.
        why: String,
    },
    /// Something happened to an instance.
    Event(Event),
}

/// What can happen to an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Instance name.
    pub name: String,
    /// What happened.
    pub what: Happening,
}

/// See [`Event`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Happening {
    /// Its process runs.
    Started,
    /// Its process ended.
    Exited {
        /// Exit code; 128 + n after signal n.
        code: i64,
        /// Whether its policy brings it back.
        restarting: bool,
    },
    /// It is gone.
    Removed,
}
