//! A Kafka-compatible cluster inside the process that tests with it: no container, no JVM, no other process.
//!
//! ```
//! use jackdaw_embedded::Cluster;
//! use rdkafka::config::ClientConfig;
//! use rdkafka::producer::{FutureProducer, FutureRecord};
//! use std::time::Duration;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let cluster = Cluster::builder().brokers(3).setting("num.partitions", 6).start()?;
//! let producer: FutureProducer =
//!     ClientConfig::new().set("bootstrap.servers", cluster.bootstrap_servers()).create()?;
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let record = FutureRecord::to("greetings").key("a").payload("hello");
//! producer.send(record, Duration::from_secs(5)).await.map_err(|(error, _)| error)?;
//! # Ok::<(), rdkafka::error::KafkaError>(()) })?;
//! # Ok(()) }
//! ```
//!
//! The nodes are those of `jackdaw broker`: each a broker and a controller, joined by Kafka's own protocol over
//! loopback. They log through [`tracing`]; without a subscriber they are silent. What the cluster has is gone when the
//! [`Cluster`] is dropped: its threads, its ports, its data.
//!
//! What must not be here: anything of a node. This crate names ports and folders, starts, waits and stops.

mod nodes;
mod ports;

use jackdaw_broker::node::StartError;
use ports::Ports;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::oneshot;

/// What every node has a value of its own for, or the cluster relies on.
const OWN: [&str; 8] = [
    "advertised.listeners",
    "controller.listener.names",
    "controller.quorum.voters",
    "listeners",
    "log.dirs",
    "metadata.log.dir",
    "node.id",
    "process.roles",
];

/// Why there is no cluster.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No broker was asked for.
    #[error("a cluster has one broker at least")]
    NoBroker,
    /// A setting that is not for the user to make.
    #[error("`{0}` is the cluster's own: it gives each node its value")]
    OwnSetting(String),
    /// What a node says to its settings, one item a fault.
    #[error("{}", .0.join("; "))]
    Settings(Vec<String>),
    /// The folder for the brokers' data cannot be made.
    #[error("no folder for the brokers' data: {0}")]
    Folder(io::Error),
    /// There are no ports to be had.
    #[error("no free port on 127.0.0.1: {0}")]
    Ports(io::Error),
    /// The system gives no threads.
    #[error("the cluster's threads cannot be started: {0}")]
    Threads(io::Error),
    /// A broker did not come up.
    #[error("broker {id} does not start: {source}")]
    Broker {
        /// Its node id.
        id: i32,
        /// What it says.
        source: StartError,
    },
    /// It takes too long.
    #[error("the cluster is not ready after {0:?}")]
    NotReady(Duration),
}

/// A cluster to be.
#[derive(Clone, Debug)]
pub struct Builder {
    brokers: u16,
    settings: Vec<(String, String)>,
}

impl Builder {
    /// How many brokers, with the node ids 1, 2, …; one, unless this says otherwise.
    #[must_use]
    pub fn brokers(mut self, brokers: u16) -> Self {
        self.brokers = brokers;
        self
    }

    /// A line of every broker's `server.properties`.
    #[must_use]
    pub fn setting(mut self, key: impl Into<String>, value: impl fmt::Display) -> Self {
        self.settings.push((key.into(), value.to_string()));
        self
    }

    /// Starts the cluster, and returns once every broker serves and knows of all the others. Blocks for as long: a
    /// fraction of a second.
    ///
    /// # Errors
    /// See [`Error`]; nothing is left behind then.
    pub fn start(self) -> Result<Cluster, Error> {
        if self.brokers == 0 {
            return Err(Error::NoBroker);
        }
        if let Some((key, _)) = self.settings.iter().find(|(key, _)| OWN.contains(&key.as_str())) {
            return Err(Error::OwnSetting(key.clone()));
        }
        let folder = tempfile::Builder::new().prefix("jackdaw-").tempdir().map_err(Error::Folder)?;
        let ports = (0..self.brokers).map(|_| Ports::reserve()).collect::<Result<Vec<_>, _>>();
        let ports = ports.map_err(Error::Ports)?;
        let bootstrap: Vec<String> =
            ports.iter().map(|ports| format!("127.0.0.1:{}", ports.client())).collect();
        let configs = nodes::configs(&ports, folder.path(), &self.settings)?;
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = mpsc::channel();
        let body = move || nodes::run(configs, ports, &tell, stopped);
        // A thread of its own may wait for the end of a runtime, which an async test may not.
        let thread = std::thread::Builder::new().name("jackdaw-cluster".to_owned());
        let thread = thread.spawn(body).map_err(Error::Threads)?;
        let cluster =
            Cluster { bootstrap: bootstrap.join(","), stop: Some(stop), thread: Some(thread), folder };
        match told.recv() {
            Ok(Ok(())) => Ok(cluster),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(Error::Threads(io::Error::other("they ended without a word"))),
        }
    }
}

/// A running cluster; dropping it stops it.
#[derive(Debug)]
pub struct Cluster {
    bootstrap: String,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    // Dropped last, after the threads that write there.
    folder: TempDir,
}

impl Cluster {
    /// A cluster of one broker, to be changed before it starts.
    ///
    /// It has Kafka's defaults, but for what makes tests wait: groups do not wait for more members before their first
    /// rebalance, and the topics of groups and transactions have one partition, on up to three brokers.
    pub fn builder() -> Builder {
        Builder { brokers: 1, settings: Vec::new() }
    }

    /// What clients take as `bootstrap.servers`.
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap
    }

    /// The folder of the brokers' data: `1`, `2`, …, each a log directory as Kafka has it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of its threads was told where it happened; there is nothing left to stop.
            let _ = thread.join();
        }
    }
}
