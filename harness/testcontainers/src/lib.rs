//! A Kafka-compatible cluster in containers, over [`testcontainers`].
//!
//! ```no_run
//! use jackdaw_testcontainers::Cluster;
//!
//! # async fn example() -> Result<(), jackdaw_testcontainers::Error> {
//! let cluster = Cluster::start(3).await?;
//! println!("bootstrap.servers={}", cluster.bootstrap_servers());
//! # Ok(()) }
//! ```
//!
//! The image is Jackdaw's, which `jackdaw image build --tag jackdaw:latest` leaves on the engine; any other that has
//! the layout of `apache/kafka`, that one included, does as well ([`Builder::image`]). The brokers are on a network of
//! their own; dropping the [`Cluster`] removes it with the containers. One broker alone is a [`Broker`], an
//! [`Image`](testcontainers::Image) like any other.
//!
//! What must not be here: anything of a broker, or of an engine. This crate names containers, ports and settings.

mod broker;

pub use broker::{Broker, CLIENTS};
/// Whose types are part of this crate's.
pub use testcontainers;

use broker::INSIDE;
use futures_util::future::join_all;
use std::fmt;
use testcontainers::core::client::ClientError;
use testcontainers::core::error::WaitContainerError;
use testcontainers::core::logs::WaitLogError;
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, ImageExt, TestcontainersError};

/// How much of a container's log an error carries.
const LAST_LINES: usize = 15;

/// Why there is no cluster.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No broker was asked for.
    #[error("a cluster has one broker at least")]
    NoBroker,
    /// A setting that is not for the user to make.
    #[error("`{0}` is the cluster's own: it gives each broker its value")]
    OwnSetting(String),
    /// The image has to be made, or pulled.
    #[error("the engine has no image {image} ({source}): `jackdaw image build --tag {image}` makes it")]
    NoImage {
        /// Its name.
        image: String,
        /// What became of the attempt to pull it.
        source: Box<ClientError>,
    },
    /// A broker's process has ended.
    #[error("broker {id} ended before it served; it said at last:\n{lines}")]
    Ended {
        /// Its node id.
        id: u16,
        /// The end of its log.
        lines: String,
    },
    /// Any other failure of a container.
    #[error("broker {id}: {source}")]
    Container {
        /// Its node id.
        id: u16,
        /// What testcontainers says.
        source: Box<TestcontainersError>,
    },
}

impl Error {
    fn of(id: u16, image: &str, error: TestcontainersError) -> Self {
        match error {
            TestcontainersError::Client(source @ ClientError::PullImage { .. }) => {
                Self::NoImage { image: image.to_owned(), source: Box::new(source) }
            }
            TestcontainersError::WaitContainer(WaitContainerError::WaitLog(WaitLogError::EndOfStream(
                said,
            ))) => {
                let last = &said[said.len().saturating_sub(LAST_LINES)..];
                Self::Ended { id, lines: last.iter().map(|line| String::from_utf8_lossy(line)).collect() }
            }
            other => Self::Container { id, source: Box::new(other) },
        }
    }
}

/// A cluster to be.
#[derive(Clone, Debug)]
pub struct Builder {
    brokers: u16,
    broker: Broker,
}

impl Builder {
    /// How many brokers, with the node ids 1, 2, …; one, unless this says otherwise.
    #[must_use]
    pub fn brokers(mut self, brokers: u16) -> Self {
        self.brokers = brokers;
        self
    }

    /// The image's name, with its tag; `jackdaw:latest` unless this says otherwise.
    #[must_use]
    pub fn image(mut self, reference: &str) -> Self {
        self.broker = self.broker.image(reference);
        self
    }

    /// A line of every broker's `server.properties`.
    #[must_use]
    pub fn setting(mut self, key: &str, value: impl fmt::Display) -> Self {
        self.broker = self.broker.setting(key, value);
        self
    }

    /// Starts the cluster, and returns once every broker serves.
    ///
    /// # Errors
    /// See [`Error`]; nothing is left behind then but what testcontainers leaves.
    pub async fn start(self) -> Result<Cluster, Error> {
        if self.brokers == 0 {
            return Err(Error::NoBroker);
        }
        if let Some(key) = self.broker.own_setting() {
            return Err(Error::OwnSetting(key.to_owned()));
        }
        let network = format!("jackdaw-{:016x}", rand::random::<u64>());
        let image = self.broker.reference();
        let hosts: Vec<String> = (1..=self.brokers).map(|id| format!("{network}-{id}")).collect();
        let started = (1..=self.brokers).zip(&hosts).map(async |(id, host)| {
            let broker = self.broker.clone().member(id, &hosts);
            let container = broker.with_network(&network).with_container_name(host).start().await;
            let failed = |error| Error::of(id, &image, error);
            let container = container.map_err(failed)?;
            let address = address(&container).await.map_err(failed)?;
            Ok::<_, Error>((container, address))
        });
        // Each is waited for, whatever becomes of the others: one that is given up in the middle would stay.
        let started: Result<Vec<_>, Error> = join_all(started).await.into_iter().collect();
        let (containers, addresses): (Vec<_>, Vec<_>) = started?.into_iter().unzip();
        Ok(Cluster { containers, network, bootstrap: addresses.join(",") })
    }
}

async fn address(container: &ContainerAsync<Broker>) -> Result<String, TestcontainersError> {
    let port = container.get_host_port_ipv4(CLIENTS).await?;
    Ok(broker::address(&container.get_host().await?.to_string(), port))
}

/// A running cluster; dropping it removes it.
#[derive(Debug)]
pub struct Cluster {
    containers: Vec<ContainerAsync<Broker>>,
    network: String,
    bootstrap: String,
}

impl Cluster {
    /// A cluster of one broker, to be changed before it starts.
    ///
    /// It has Kafka's defaults, but for what makes tests wait: groups do not wait for more members before their first
    /// rebalance, and the topics of groups and transactions have one partition, on up to three brokers.
    pub fn builder() -> Builder {
        Builder { brokers: 1, broker: Broker::default() }
    }

    /// Starts so many brokers, on Jackdaw's image.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn start(brokers: u16) -> Result<Self, Error> {
        Self::builder().brokers(brokers).start().await
    }

    /// What clients outside of the cluster's network take as `bootstrap.servers`.
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap
    }

    /// The network, for other containers to join.
    pub fn network(&self) -> &str {
        &self.network
    }

    /// What clients in containers on [`Cluster::network`] take as `bootstrap.servers`.
    pub fn bootstrap_servers_inside(&self) -> String {
        let address = |id| format!("{}-{id}:{INSIDE}", self.network);
        (1..=self.containers.len()).map(address).collect::<Vec<_>>().join(",")
    }

    /// The brokers' containers, by node id from 1: to stop one, to pause it, to look into it.
    pub fn containers(&self) -> &[ContainerAsync<Broker>] {
        &self.containers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_tells_what_to_do_or_what_the_broker_said() {
        let lines: Vec<_> = (0..40).map(|n| format!("line {n}\n").into()).collect();
        let ended = WaitContainerError::WaitLog(WaitLogError::EndOfStream(lines));
        let error = Error::of(2, "x:1", ended.into()).to_string();
        assert!(error.starts_with("broker 2 ended before it served; it said at last:\nline 25\n"), "{error}");
        assert!(error.ends_with("line 39\n"), "{error}");
        let refused =
            testcontainers::bollard::errors::Error::DockerStreamError { error: "no such host".into() };
        let pulled = ClientError::PullImage { descriptor: "x:1".into(), err: refused };
        let error = Error::of(1, "x:1", pulled.into()).to_string();
        assert!(
            error.contains("no such host") && error.ends_with("`jackdaw image build --tag x:1` makes it")
        );
    }
}
