//! One node: the order in which its parts start and stop, and what ends it.
//!
//! Start: directories, ports, quorum, controller, image, broker; a broker's ports are bound before it registers and
//! accept once it is unfenced. Stop: leaderships handed over, broker connections closed, logs closed cleanly, the
//! quorum last. What the parts do is theirs; nothing here decides anything about records or the cluster.

pub mod dirs;
mod listeners;
mod parts;
mod records;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::Config;
use crate::descriptors;
use crate::logging;
use crate::net::Resolver;

pub use parts::{Node, StartError};

const LOGGER: &str = "kafka.server.KafkaRaftServer";

/// What a node is started with.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// `server.properties`
    pub properties: PathBuf,
    /// A file like `/etc/hosts` that is asked before the system.
    pub hosts: Option<PathBuf>,
    /// Formats the log directories that hold nothing yet for this cluster (`kafka-storage format --ignore-formatted`).
    pub cluster_id: Option<String>,
    /// Settings that win over the file's.
    pub overrides: Vec<(String, String)>,
}

/// How a node ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Stopped by SIGTERM or SIGINT, cleanly: 0.
    Stopped,
    /// Could not start, or could not go on: 1, as of Kafka, whatever the reason.
    Failed,
}

impl Exit {
    /// The process's exit code.
    pub fn code(self) -> i32 {
        match self {
            Self::Stopped => 0,
            Self::Failed => 1,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        // The codes are 0 and 1.
        Self::from(u8::try_from(exit.code()).unwrap_or(1))
    }
}

/// Runs a node on a runtime of its own until it ends.
pub fn run_blocking(options: RunOptions) -> Exit {
    descriptors::raise_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("jackdaw").build();
    match runtime {
        Ok(runtime) => {
            let exit = runtime.block_on(run(options));
            // Whatever still runs has nothing left to save.
            runtime.shutdown_background();
            exit
        }
        Err(e) => {
            logging::init(None);
            tracing::error!(target: LOGGER, "Exiting Kafka due to fatal exception: {e}");
            Exit::Failed
        }
    }
}

/// Runs a node until SIGTERM, SIGINT, or something that it cannot go on from.
pub async fn run(options: RunOptions) -> Exit {
    logging::init(None);
    let (config, resolver) = match load(&options) {
        Ok(loaded) => loaded,
        Err(refusals) => {
            for refusal in refusals {
                tracing::error!(target: "kafka.Kafka$", "Exiting Kafka due to fatal exception: {refusal}");
            }
            return Exit::Failed;
        }
    };
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(e) => {
            tracing::error!(target: LOGGER, "Exiting Kafka due to fatal exception: {e}");
            return Exit::Failed;
        }
    };
    let node_id = config.node_id;
    let mut node = match Node::open(Arc::new(config), Arc::new(resolver), options.cluster_id.as_deref()).await
    {
        Ok(node) => node,
        Err(error) => {
            fatal(node_id, &error);
            return Exit::Failed;
        }
    };
    let ended = tokio::select! {
        ended = live(&mut node) => Some(ended),
        name = signals.next() => {
            tracing::info!(target: "org.apache.kafka.common.utils.LoggingSignalHandler", "Terminating process due to signal {name}");
            None
        }
    };
    match ended {
        None => {
            node.stop().await;
            Exit::Stopped
        }
        Some(error) => {
            fatal(node_id, &error);
            node.abandon().await;
            Exit::Failed
        }
    }
}

/// Becomes ready, then lives; returns why it cannot go on.
async fn live(node: &mut Node) -> StartError {
    let failure = node.failure();
    tokio::pin!(failure);
    tokio::select! {
        ready = node.become_ready() => if let Err(error) = ready { return error },
        error = &mut failure => return error,
    }
    failure.await
}

fn fatal(node_id: i32, error: &StartError) {
    tracing::error!(target: LOGGER, "[KafkaRaftServer nodeId={node_id}] Exiting Kafka due to fatal exception: {error}");
}

fn load(options: &RunOptions) -> Result<(Config, Resolver), Vec<String>> {
    let resolver = match &options.hosts {
        Some(path) => Resolver::from_hosts_file(path).map_err(|e| vec![e.to_string()])?,
        None => Resolver::system(),
    };
    let (config, warnings) = Config::from_properties(&options.properties, &options.overrides)
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    for warning in warnings {
        tracing::warn!(target: "kafka.server.KafkaConfig", "{warning}");
    }
    Ok((config, resolver))
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
