//! A broker's life as the cluster sees it: registered, unfenced as soon as it can serve, stopping, gone
//! (Kafka's `BrokerLifecycleManager`), and a controller's registration.
//!
//! Nothing waits for a timer where an event will do: heartbeats leave early when there is something to say. What a
//! broker must have done before it may be unfenced is the node's to say.

mod broker;
mod controllers;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jackdaw_metadata::{MetadataImage, VersionRange, features};
use jackdaw_wire::Uuid;
use tokio::sync::{mpsc, oneshot, watch};

use crate::config::Listener;
use crate::to_controller::ControllerChannel;

pub use controllers::register_controller;

/// `BrokerState` of Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokerState {
    /// Not registered, or not caught up with the own registration.
    Starting,
    /// Caught up, and still fenced.
    Recovery,
    /// Unfenced.
    Running,
    /// Moving its leaders away.
    PendingControlledShutdown,
    /// No more heartbeats.
    ShuttingDown,
}

impl BrokerState {
    /// The name in Kafka's log lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "STARTING",
            Self::Recovery => "RECOVERY",
            Self::Running => "RUNNING",
            Self::PendingControlledShutdown => "PENDING_CONTROLLED_SHUTDOWN",
            Self::ShuttingDown => "SHUTTING_DOWN",
        }
    }
}

/// Who a broker is, and how it keeps in touch.
pub struct LifecycleOptions {
    pub node_id: i32,
    /// New at each start of the process.
    pub incarnation: Uuid,
    pub cluster_id: String,
    /// What clients and peers are told; never a controller listener.
    pub advertised_listeners: Vec<Listener>,
    pub rack: Option<String>,
    /// Ids of the log directories that are online at start.
    pub directories: Vec<Uuid>,
    /// From the clean-shutdown markers; -1 after an unclean stop.
    pub previous_broker_epoch: i64,
    /// `broker.heartbeat.interval.ms`
    pub heartbeat_interval_ms: u64,
    /// `initial.broker.registration.timeout.ms`
    pub registration_timeout_ms: u64,
    /// What the node supports.
    pub features: Features,
    pub channel: ControllerChannel,
    /// Images that have been acted on.
    pub images: watch::Receiver<Arc<MetadataImage>>,
    /// Where the broker epoch is told to everyone who needs it; -1 before the registration.
    pub broker_epoch: Arc<AtomicI64>,
}

/// Why a broker's life ended before it was asked to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LifecycleError {
    #[error("unable to register with the controller quorum within {0} ms")]
    RegistrationTimeout(u64),
    #[error("the node is stopping")]
    Stopped,
}

pub(crate) enum Command {
    ReadyToUnfence,
    DirectoryFailed(Uuid),
    ControlledShutdown(oneshot::Sender<()>),
}

/// A handle on the broker's life. Dropping it ends the heartbeats.
pub struct Lifecycle {
    commands: mpsc::Sender<Command>,
    state: watch::Receiver<BrokerState>,
    failure: watch::Receiver<Option<LifecycleError>>,
    broker_epoch: Arc<AtomicI64>,
}

impl Lifecycle {
    /// Begins to register at once.
    pub fn start(options: LifecycleOptions) -> Self {
        let (commands, queue) = mpsc::channel(16);
        let (state_sender, state) = watch::channel(BrokerState::Starting);
        let (failure_sender, failure) = watch::channel(None);
        let broker_epoch = Arc::clone(&options.broker_epoch);
        tokio::spawn(broker::Life::new(options, state_sender).run(queue, failure_sender));
        Self { commands, state, failure, broker_epoch }
    }

    /// The state, as it changes.
    pub fn state(&self) -> watch::Receiver<BrokerState> {
        self.state.clone()
    }

    /// The broker epoch; -1 before the registration.
    pub fn broker_epoch(&self) -> i64 {
        self.broker_epoch.load(Ordering::Acquire)
    }

    /// The broker can serve: it asks to be unfenced as soon as its own registration has been applied.
    pub async fn ready_to_unfence(&self) {
        let _ = self.commands.send(Command::ReadyToUnfence).await;
    }

    /// Returns once the broker was unfenced.
    ///
    /// # Errors
    /// See [`LifecycleError`].
    pub async fn unfenced(&self) -> Result<(), LifecycleError> {
        let mut state = self.state.clone();
        let reached =
            state.wait_for(|state| *state != BrokerState::Starting && *state != BrokerState::Recovery);
        match reached.await.map(|state| *state) {
            Ok(BrokerState::Running) => Ok(()),
            _ => Err(self.failure.borrow().clone().unwrap_or(LifecycleError::Stopped)),
        }
    }

    /// A log directory failed: the controller takes its replicas offline.
    pub async fn directory_failed(&self, directory: Uuid) {
        let _ = self.commands.send(Command::DirectoryFailed(directory)).await;
    }

    /// Moves leaders away and returns when the controller lets go; at once where the broker never ran; and after a
    /// short while without any controller, because leaders can then not be moved, and waiting would only make the
    /// stop longer (the reference waits for five minutes).
    pub async fn controlled_shutdown(&self) {
        let (done, finished) = oneshot::channel();
        if self.commands.send(Command::ControlledShutdown(done)).await.is_ok() {
            let _ = finished.await;
        }
    }
}

/// Features with the levels that a node supports, as it registers with them.
pub type Features = BTreeMap<&'static str, VersionRange>;

/// Those of a node whose settings name the consumer protocol of groups, or do not.
pub fn supported_features(consumer_groups: bool) -> Features {
    let levels = VersionRange { min: features::MINIMUM, max: features::LATEST };
    let of_groups = VersionRange { min: 0, max: features::LATEST_GROUP_VERSION };
    let of_groups = consumer_groups.then_some((features::GROUP_VERSION, of_groups));
    [(features::METADATA_VERSION, levels)].into_iter().chain(of_groups).collect()
}

/// `SecurityProtocol.id`.
pub(crate) fn security_protocol_id(name: &str) -> i16 {
    match name {
        "SSL" => 1,
        "SASL_PLAINTEXT" => 2,
        "SASL_SSL" => 3,
        _ => 0,
    }
}
