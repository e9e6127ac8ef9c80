//! The task behind a broker's life.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jackdaw_metadata::MetadataImage;
use jackdaw_wire::messages::broker_registration_request::{Feature, Listener as RegisteredListener};
use jackdaw_wire::messages::{
    BrokerHeartbeatRequest, BrokerHeartbeatResponse, BrokerId, BrokerRegistrationRequest,
};
use jackdaw_wire::types::kafka_base64;
use jackdaw_wire::{ErrorCode, StrBytes, Uuid};
use tokio::sync::{mpsc, oneshot, watch};

use super::{BrokerState, Command, LifecycleError, LifecycleOptions, security_protocol_id};
use crate::clock;
use crate::errors::LinkError;
use crate::to_controller::ask;

const LOGGER: &str = "kafka.server.BrokerLifecycleManager";
const REGISTRATION_VERSION: i16 = 3;
const HEARTBEAT_VERSION: i16 = 1;
/// The first pause after a refusal; doubles up to the maximum.
const MIN_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(1);
/// The pause between heartbeats while a controlled shutdown is under way and nothing new is known.
const SHUTDOWN_PAUSE: Duration = Duration::from_millis(25);
/// A controlled shutdown without any controller for this long is given up.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(2);

pub(super) struct Life {
    options: LifecycleOptions,
    incarnation: Uuid,
    state: watch::Sender<BrokerState>,
    ready: bool,
    offline: BTreeSet<Uuid>,
    shutdown: Option<oneshot::Sender<()>>,
    /// The offset that the last accepted heartbeat told.
    told_offset: i64,
    /// Told since the last heartbeat: a failed directory, readiness, a wish to stop.
    news: bool,
    failures: u32,
}

impl Life {
    pub(super) fn new(options: LifecycleOptions, state: watch::Sender<BrokerState>) -> Self {
        Self {
            incarnation: options.incarnation,
            options,
            state,
            ready: false,
            offline: BTreeSet::new(),
            shutdown: None,
            told_offset: -1,
            news: false,
            failures: 0,
        }
    }

    /// Lives until told to stop. `failure` hears why it ended before that.
    pub(super) async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        failure: watch::Sender<Option<LifecycleError>>,
    ) {
        let id = self.options.node_id;
        tracing::info!(
            target: LOGGER,
            "[BrokerLifecycleManager id={id}] Incarnation {} of broker {id} in cluster {} is now STARTING.",
            kafka_base64(&self.incarnation),
            self.options.cluster_id
        );
        let ended = self.live(&mut commands).await;
        tracing::info!(
            target: LOGGER,
            "[BrokerLifecycleManager id={id}] Transitioning from {} to SHUTTING_DOWN.",
            self.current().name()
        );
        failure.send_replace(ended.err());
        self.enter(BrokerState::ShuttingDown);
        if let Some(done) = self.shutdown.take() {
            let _ = done.send(());
        }
    }

    async fn live(&mut self, commands: &mut mpsc::Receiver<Command>) -> Result<(), LifecycleError> {
        self.register(commands).await?;
        let mut images = self.options.images.clone();
        loop {
            if self.heartbeat_is_due(&images.borrow_and_update()) {
                // A heartbeat that waits for a controller must not keep commands waiting.
                let beat = self.send_heartbeat(images.borrow().provenance.offset);
                match beat.await {
                    Ok(response) => {
                        if self.answered(&response) {
                            return Ok(());
                        }
                    }
                    Err(LinkError::Stopped) => return Err(LifecycleError::Stopped),
                    Err(_) if self.shutdown.is_some() => return self.without_controller(),
                    Err(error @ LinkError::Timeout) => {
                        self.failures += 1;
                        let id = self.options.node_id;
                        tracing::info!(
                            target: LOGGER, "[BrokerLifecycleManager id={id}] Unable to send a heartbeat: {error}"
                        );
                    }
                    Err(error) => self.refused(&error.to_string()),
                }
            }
            self.wait(commands, &mut images).await?;
            if self.shutdown.is_some() && self.current() == BrokerState::Starting {
                return Ok(());
            }
        }
    }

    fn current(&self) -> BrokerState {
        *self.state.borrow()
    }

    fn enter(&self, state: BrokerState) {
        self.state.send_replace(state);
    }

    /// Registers, for as long as it takes or the timeout allows.
    async fn register(&mut self, commands: &mut mpsc::Receiver<Command>) -> Result<(), LifecycleError> {
        let id = self.options.node_id;
        let timeout_ms = self.options.registration_timeout_ms;
        let deadline = clock::now() + Duration::from_millis(timeout_ms);
        let request = self.registration();
        let channel = self.options.channel.clone();
        loop {
            let left = deadline.saturating_duration_since(clock::now());
            if left.is_zero() {
                tracing::error!(
                    target: LOGGER,
                    "[BrokerLifecycleManager id={id}] Shutting down because we were unable to register with the \
                     controller quorum."
                );
                return Err(LifecycleError::RegistrationTimeout(timeout_ms));
            }
            let reply = tokio::select! {
                reply = ask(&channel, REGISTRATION_VERSION, &request, left) => reply,
                command = commands.recv() => {
                    self.command(command.ok_or(LifecycleError::Stopped)?);
                    if self.shutdown.is_some() {
                        return Err(LifecycleError::Stopped);
                    }
                    continue;
                }
            };
            match reply {
                Ok(reply) if reply.error_code == 0 => {
                    let epoch = reply.broker_epoch;
                    self.options.broker_epoch.store(epoch, Ordering::Release);
                    self.failures = 0;
                    tracing::info!(
                        target: LOGGER,
                        "[BrokerLifecycleManager id={id}] Successfully registered broker {id} with broker epoch {epoch}"
                    );
                    return Ok(());
                }
                Ok(reply) => tracing::info!(
                    target: LOGGER,
                    "[BrokerLifecycleManager id={id}] Unable to register broker {id} because the controller \
                     returned error {}",
                    ErrorCode::name_of(reply.error_code)
                ),
                Err(LinkError::Stopped) => return Err(LifecycleError::Stopped),
                // Nobody leads yet: so it is whenever a cluster starts.
                Err(error @ LinkError::Timeout) => tracing::info!(
                    target: LOGGER,
                    "[BrokerLifecycleManager id={id}] Unable to register broker {id}: {error}"
                ),
                Err(error) => tracing::warn!(
                    target: LOGGER,
                    "[BrokerLifecycleManager id={id}] Unable to register broker {id}: {error}"
                ),
            }
            self.failures += 1;
            tokio::time::sleep(self.pause().min(left)).await;
        }
    }

    fn registration(&self) -> BrokerRegistrationRequest {
        let options = &self.options;
        let listeners = options.advertised_listeners.iter().map(|listener| {
            RegisteredListener::default()
                .with_name(StrBytes::from_string(listener.name.to_string()))
                .with_host(StrBytes::from_string(listener.host.clone()))
                .with_port(listener.port)
                .with_security_protocol(security_protocol_id(&listener.security_protocol))
        });
        let features = options.features.iter().map(|(&name, range)| {
            Feature::default()
                .with_name(StrBytes::from_static_str(name))
                .with_min_supported_version(range.min)
                .with_max_supported_version(range.max)
        });
        let mut directories = options.directories.clone();
        directories.sort_unstable();
        BrokerRegistrationRequest::default()
            .with_broker_id(BrokerId(options.node_id))
            .with_cluster_id(StrBytes::from_string(options.cluster_id.clone()))
            .with_incarnation_id(self.incarnation)
            .with_listeners(listeners.collect())
            .with_features(features.collect())
            .with_rack(options.rack.clone().map(StrBytes::from_string))
            .with_log_dirs(directories)
            .with_previous_broker_epoch(options.previous_broker_epoch)
    }

    fn pause(&self) -> Duration {
        MIN_PAUSE.saturating_mul(1 << self.failures.saturating_sub(1).min(8)).min(MAX_PAUSE)
    }

    /// Whether there is something to say before the interval is over. The first heartbeat waits for the own
    /// registration to be applied, so that one is enough to be unfenced.
    fn heartbeat_is_due(&self, image: &MetadataImage) -> bool {
        let applied = image.provenance.offset >= self.epoch();
        match self.current() {
            BrokerState::Starting => applied || self.news,
            BrokerState::Recovery => self.news || self.failures > 0,
            // A neighbour that stops is held until we have told that we know its new leaders.
            BrokerState::Running => self.news || self.failures > 0 || self.neighbour_waits(image),
            BrokerState::PendingControlledShutdown => true,
            BrokerState::ShuttingDown => false,
        }
    }

    fn neighbour_waits(&self, image: &MetadataImage) -> bool {
        let offset = image.provenance.offset;
        let mut others = image.brokers.values().filter(|b| b.id != self.options.node_id);
        offset > self.told_offset && others.any(|b| b.in_controlled_shutdown && !b.fenced)
    }

    fn epoch(&self) -> i64 {
        self.options.broker_epoch.load(Ordering::Acquire)
    }

    async fn send_heartbeat(&mut self, offset: i64) -> Result<BrokerHeartbeatResponse, LinkError> {
        self.news = false;
        let request = BrokerHeartbeatRequest::default()
            .with_broker_id(BrokerId(self.options.node_id))
            .with_broker_epoch(self.epoch())
            .with_current_metadata_offset(offset)
            .with_want_fence(!self.ready)
            .with_want_shut_down(self.current() == BrokerState::PendingControlledShutdown)
            .with_offline_log_dirs(self.offline.iter().copied().collect());
        let patience = match self.shutdown {
            Some(_) => SHUTDOWN_PATIENCE,
            None => Duration::from_millis(self.options.heartbeat_interval_ms.max(500)),
        };
        let response = ask(&self.options.channel, HEARTBEAT_VERSION, &request, patience).await?;
        if response.error_code == 0 {
            self.told_offset = offset;
        }
        Ok(response)
    }

    /// Returns true when the controller lets the broker go.
    fn answered(&mut self, response: &BrokerHeartbeatResponse) -> bool {
        let id = self.options.node_id;
        if let Some(code) = ErrorCode::try_from_code(response.error_code) {
            self.refused(&code.to_string());
            return false;
        }
        self.failures = 0;
        if self.current() == BrokerState::Starting && response.is_caught_up {
            tracing::info!(
                target: LOGGER,
                "[BrokerLifecycleManager id={id}] The broker has caught up. Transitioning from STARTING to RECOVERY."
            );
            self.enter(BrokerState::Recovery);
        }
        match self.current() {
            BrokerState::Recovery if !response.is_fenced => {
                tracing::info!(
                    target: LOGGER,
                    "[BrokerLifecycleManager id={id}] The broker has been unfenced. Transitioning from RECOVERY to \
                     RUNNING."
                );
                self.enter(BrokerState::Running);
                false
            }
            // Fenced although we want to serve: the session ran out, or someone thought us gone. Ask again.
            BrokerState::Running if response.is_fenced && self.ready => {
                self.news = true;
                false
            }
            BrokerState::PendingControlledShutdown if response.should_shut_down => {
                tracing::info!(
                    target: LOGGER,
                    "[BrokerLifecycleManager id={id}] The controller has asked us to exit controlled shutdown."
                );
                true
            }
            _ => false,
        }
    }

    fn refused(&mut self, why: &str) {
        self.failures += 1;
        tracing::warn!(
            target: LOGGER,
            "[BrokerLifecycleManager id={}] Broker {} sent a heartbeat request but received error {why}.",
            self.options.node_id,
            self.options.node_id
        );
    }

    fn without_controller(&self) -> Result<(), LifecycleError> {
        tracing::warn!(
            target: LOGGER,
            "[BrokerLifecycleManager id={}] No controller answers: stopping without a controlled shutdown.",
            self.options.node_id
        );
        Ok(())
    }

    /// Until something happens, or the next heartbeat is due by time.
    async fn wait(
        &mut self,
        commands: &mut mpsc::Receiver<Command>,
        images: &mut watch::Receiver<Arc<MetadataImage>>,
    ) -> Result<(), LifecycleError> {
        let interval = match self.current() {
            _ if self.failures > 0 => self.pause(),
            BrokerState::PendingControlledShutdown => SHUTDOWN_PAUSE,
            _ => Duration::from_millis(self.options.heartbeat_interval_ms),
        };
        let due = tokio::time::sleep(interval);
        tokio::pin!(due);
        loop {
            tokio::select! {
                command = commands.recv() => {
                    self.command(command.ok_or(LifecycleError::Stopped)?);
                    return Ok(());
                }
                changed = images.changed(), if self.failures == 0 => {
                    changed.map_err(|_| LifecycleError::Stopped)?;
                    let image = Arc::clone(&images.borrow_and_update());
                    if self.heartbeat_is_due(&image) {
                        self.news = true;
                        return Ok(());
                    }
                }
                () = &mut due => {
                    self.news = true;
                    return Ok(());
                }
            }
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::ReadyToUnfence => {
                self.ready = true;
                // Asked for together with catching up, if that is still ahead.
                self.news = self.current() != BrokerState::Starting;
            }
            Command::DirectoryFailed(directory) => {
                self.news |= self.offline.insert(directory);
            }
            Command::ControlledShutdown(done) => {
                if self.current() == BrokerState::Running {
                    tracing::info!(
                        target: LOGGER,
                        "[BrokerLifecycleManager id={}] Beginning controlled shutdown.",
                        self.options.node_id
                    );
                }
                if matches!(self.current(), BrokerState::Running | BrokerState::Recovery) {
                    self.enter(BrokerState::PendingControlledShutdown);
                }
                self.shutdown = Some(done);
                self.news = true;
            }
        }
    }
}
