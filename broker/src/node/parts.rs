//! The parts of a node and how they are joined.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jackdaw_log::{Disk, LogDir, LogDirError, RealDisk};
use jackdaw_metadata::controller::ControllerSettings;
use jackdaw_metadata::{ConfigResource, MetadataDelta, MetadataImage, PartitionRegistration, features};
use jackdaw_wire::Uuid;
use jackdaw_wire::metadata_record::{FeatureLevelRecord, MetadataRecord};
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::dirs::{self, DirsError, NodeDirs};
use super::listeners;
use super::records::RecordsRuntime;
use crate::apis::{self, BrokerApis, ControllerApis};
use crate::config::{Config, Listener, dynamic};
use crate::controller::bootstrap::{self, BootstrapError};
use crate::controller::{self, BrokerWatch, ControllerHandle, ControllerOptions, TopicSchema};
use crate::coordinators::groups::{self, GroupCoordinators, Known};
use crate::coordinators::settings_feed::SettingsFeed;
use crate::coordinators::topics_feed::TopicsFeed;
use crate::coordinators::transactions::{self, MarkerWriter, TransactionCoordinators};
use crate::descriptors;
use crate::dispatch::Scope;
use crate::lifecycle::{
    Lifecycle, LifecycleError, LifecycleOptions, register_controller, supported_features,
};
use crate::loader::{self, LoaderError, LoaderHandle, Publisher};
use crate::net::{BindError, Bound, Handler, Limits, NodeClient, Resolver, Server};
use crate::raft::{self, RaftError, RaftHandle, RaftOptions, VoterAddress};
use crate::replicas::{ReplicaManager, ReplicaOptions};
use crate::to_controller::{Assignments, ControllerChannel, IsrSender};

/// Connections get this long to finish what they are serving when a node stops.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);
/// Kafka's own bound on a controlled shutdown.
const CONTROLLED_SHUTDOWN_PATIENCE: Duration = Duration::from_secs(5 * 60);

/// Why a node does not start, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Dirs(#[from] DirsError),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("{0}")]
    Raft(Arc<RaftError>),
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    #[error(transparent)]
    Lifecycle(#[from] LifecycleError),
    #[error(transparent)]
    Loader(#[from] LoaderError),
    #[error(transparent)]
    LogDir(#[from] LogDirError),
    /// As `LogManager.handleLogDirFailure` has it.
    #[error("all log dirs in {0} have failed")]
    NoLogDirLeft(String),
    #[error("{0}")]
    Task(String),
}

impl From<RaftError> for StartError {
    fn from(error: RaftError) -> Self {
        Self::Raft(Arc::new(error))
    }
}

/// A node whose parts run.
pub struct Node {
    config: Arc<Config>,
    raft: RaftHandle,
    loader: LoaderHandle,
    controller: Option<Face>,
    broker: Option<Broker>,
    _records: Option<RecordsRuntime>,
    /// Locked for as long as the node lives; the broker's are the replica manager's as well.
    _dirs: Vec<Arc<LogDir>>,
}

/// A set of listeners that accept.
struct Face {
    server: Server,
}

struct Broker {
    lifecycle: Arc<Lifecycle>,
    replicas: Arc<ReplicaManager>,
    coordinators: BrokerCoordinators,
    apis: Arc<BrokerApis>,
    server: Server,
    /// Bound, and accepting nothing before the broker is unfenced.
    waiting: Vec<Bound>,
}

/// Feeds images to the coordinators, after the replica manager has taken its roles from them.
#[derive(Clone)]
struct BrokerCoordinators {
    topics: Arc<TopicsFeed>,
    settings: Arc<SettingsFeed>,
    groups: Arc<GroupCoordinators>,
    transactions: Arc<TransactionCoordinators>,
    markers: Arc<MarkerWriter>,
}

impl Publisher for BrokerCoordinators {
    fn publish<'a>(&'a self, image: &'a Arc<MetadataImage>, delta: &'a MetadataDelta) -> BoxFuture<'a, ()> {
        async move {
            self.topics.apply(image, delta);
            self.settings.apply(image, delta);
            self.groups.apply(image);
            self.groups.forget_deleted(delta);
            self.transactions.apply(image);
        }
        .boxed()
    }
}

/// Feeds images to the replica manager, and tells the controller where replicas came to lie elsewhere than it has
/// them (KIP-858, `ReplicaManager.maybeUpdateTopicAssignment`): a broker with several directories is not told one,
/// and a folder that replaces a lost one has a new id. Until the controller knows it, that replica cannot lead.
struct ToReplicas {
    replicas: Arc<ReplicaManager>,
    assignments: Assignments,
    config: Arc<Config>,
    limits: Arc<Limits>,
    resolver: Arc<Resolver>,
}

impl ToReplicas {
    /// Settings of this broker, or of all, that were made while it runs (KIP-226).
    fn configure(&self, image: &MetadataImage, delta: &MetadataDelta) {
        let (own, all) = (ConfigResource::broker(self.config.node_id), ConfigResource::default_broker());
        let set = |resource| image.config(resource).map(|set| BTreeMap::clone(set)).unwrap_or_default();
        let (broker, cluster) = (set(&own), set(&all));
        let touched = |resource| delta.changed_configs.contains(resource);
        let is_news = touched(&own) || touched(&all);
        if !is_news && (!delta.from_snapshot || (broker.is_empty() && cluster.is_empty())) {
            return;
        }
        for (name, why) in [&cluster, &broker].into_iter().flat_map(dynamic::without_effect) {
            tracing::warn!(
                target: "kafka.server.DynamicBrokerConfig",
                "`{name}` was set while this broker runs and has no effect: {why}"
            );
        }
        let current = dynamic::Current::of(&self.config, &broker, &cluster);
        let (limits, resolver, network) =
            (Arc::clone(&self.limits), Arc::clone(&self.resolver), current.network.clone());
        // Apart: a name may take its time to be resolved.
        tokio::spawn(async move { limits.set(&network, &resolver).await });
        self.replicas.reconfigure(image, &current);
    }

    fn assign(&self, image: &MetadataImage, delta: &MetadataDelta) {
        if !image.metadata_version().has_directories() {
            return;
        }
        let node_id = self.replicas.node_id();
        let tell = |topic_id: Uuid, index: i32, partition: &PartitionRegistration| {
            let known = partition.directory(node_id);
            if let (Some(known), Some(actual)) = (known, self.replicas.directory_of(topic_id, index))
                && known != actual
            {
                self.assignments.assign(topic_id, index, actual);
            }
        };
        if delta.from_snapshot {
            for topic in image.topics.iter() {
                topic.partitions.iter().for_each(|(index, partition)| tell(topic.id, *index, partition));
            }
            return;
        }
        for (topic_id, topic) in &delta.changed_topics {
            topic.partitions.iter().for_each(|(index, change)| tell(*topic_id, *index, &change.current));
        }
    }
}

impl Publisher for ToReplicas {
    fn publish<'a>(&'a self, image: &'a Arc<MetadataImage>, delta: &'a MetadataDelta) -> BoxFuture<'a, ()> {
        async move {
            self.configure(image, delta);
            self.replicas.apply(image, delta).await;
            self.assign(image, delta);
        }
        .boxed()
    }
}

/// What opening the parts passes from one to the next.
struct Opening<'a> {
    config: &'a Arc<Config>,
    resolver: &'a Arc<Resolver>,
    cluster_id: &'a str,
    raft: &'a RaftHandle,
    broker_epoch: Arc<AtomicI64>,
    /// Of this node's broker, new with each process.
    incarnation: Uuid,
}

impl Node {
    /// Opens directories and ports and starts the parts; a broker begins to register.
    pub async fn open(
        config: Arc<Config>,
        resolver: Arc<Resolver>,
        cluster_id: Option<&str>,
    ) -> Result<Self, StartError> {
        let node_id = config.node_id;
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        disk.open_files().keep(descriptors::for_files());
        let NodeDirs { data, metadata_only, cluster_id, notes, warnings } = {
            let (disk, config, given) =
                (Arc::clone(&disk), Arc::clone(&config), cluster_id.map(str::to_owned));
            let prepare = move || dirs::prepare(&disk, &config, given.as_deref());
            tokio::task::spawn_blocking(prepare).await.map_err(|e| StartError::Task(e.to_string()))??
        };
        for note in notes {
            tracing::info!(target: super::LOGGER, "[KafkaRaftServer nodeId={node_id}] {note}");
        }
        for warning in warnings {
            tracing::warn!(target: super::LOGGER, "[KafkaRaftServer nodeId={node_id}] {warning}");
        }
        let data: Vec<(Arc<LogDir>, Uuid)> = data.into_iter().map(|(dir, id)| (Arc::new(dir), id)).collect();
        let mut held: Vec<Arc<LogDir>> = data.iter().map(|(dir, _)| Arc::clone(dir)).collect();
        held.extend(metadata_only.map(Arc::new));

        let limits = Limits::new(&config.network);
        if !config.network.max_connections_per_ip_overrides.is_empty() {
            limits.set(&config.network, &resolver).await;
        }
        let controller_ports = listeners::bind(&config, Scope::Controller, &resolver, &limits).await?;
        let broker_ports = listeners::bind(&config, Scope::Broker, &resolver, &limits).await?;
        let raft =
            raft::start(raft_options(&config, &cluster_id), Arc::clone(&disk), Arc::clone(&resolver)).await?;
        let opening = Opening {
            config: &config,
            resolver: &resolver,
            cluster_id: &cluster_id,
            raft: &raft,
            broker_epoch: Arc::new(AtomicI64::new(-1)),
            incarnation: dirs::new_id(),
        };
        let controller = match config.roles.controller {
            true => Some(opening.controller()?),
            false => None,
        };
        let records = match config.roles.broker {
            true => Some(RecordsRuntime::start().map_err(|e| StartError::Task(e.to_string()))?),
            false => None,
        };
        let replicas = match &records {
            Some(records) => Some(opening.replicas(data, records).await?),
            None => None,
        };
        let coordinators = replicas.as_ref().map(|replicas| opening.coordinators(replicas));
        let mut publishers: Vec<Arc<dyn Publisher>> =
            replicas.iter().map(|replicas| opening.publisher(replicas, &limits)).collect();
        publishers.extend(coordinators.iter().map(|coordinators| Arc::new(coordinators.clone()) as _));
        let (handle, events) = controller.unzip();
        let loader = loader::start(raft.clone(), events, publishers).await;
        let controller =
            handle.map(|handle| opening.serve_controller(handle, &loader, controller_ports, &limits));
        let broker = replicas
            .zip(coordinators)
            .map(|(replicas, them)| opening.broker(replicas, them, &loader, broker_ports, &limits));
        Ok(Self { config, raft, loader, controller, broker, _records: records, _dirs: held })
    }

    /// A broker waits until it is unfenced and then accepts; a controller alone is ready as it is.
    pub async fn become_ready(&mut self) -> Result<(), StartError> {
        let node_id = self.config.node_id;
        if let Some(broker) = &mut self.broker {
            broker.lifecycle.ready_to_unfence().await;
            broker.lifecycle.unfenced().await?;
            for bound in broker.waiting.drain(..) {
                serve(&broker.server, bound, Arc::clone(&broker.apis) as _, "DataPlaneAcceptor");
            }
            tracing::info!(
                target: "kafka.server.BrokerServer",
                "[BrokerServer id={node_id}] Transition from STARTING to STARTED"
            );
            // Kafka says this with ZooKeeper only; launchers of that time still wait for it.
            tracing::info!(target: "kafka.server.KafkaServer", "[KafkaServer id={node_id}] started");
        }
        tracing::info!(
            target: "kafka.server.BrokerServer",
            "Jackdaw version: {}, for Kafka 3.7.0", env!("CARGO_PKG_VERSION")
        );
        tracing::info!(target: super::LOGGER, "[KafkaRaftServer nodeId={node_id}] Kafka Server started");
        Ok(())
    }

    /// The cluster as this node knows it.
    pub fn images(&self) -> watch::Receiver<Arc<MetadataImage>> {
        self.loader.images.clone()
    }

    /// Resolves when some part cannot go on.
    pub fn failure(&mut self) -> impl Future<Output = StartError> + use<> {
        let raft = self.raft.clone();
        let lost = tokio::spawn(std::future::pending::<Result<(), LoaderError>>());
        let loader = std::mem::replace(&mut self.loader.task, lost);
        let replicas = self.broker.as_ref().map(|broker| Arc::downgrade(&broker.replicas));
        let log_dirs: Vec<String> =
            self.config.log_dirs.iter().map(|dir| dir.display().to_string()).collect();
        async move {
            let raft_stopped = async {
                match raft.stopped().await {
                    Err(error) => StartError::Raft(error),
                    // As asked: whoever asked is stopping the node.
                    Ok(()) => std::future::pending().await,
                }
            };
            let loader_stopped = async {
                match loader.await {
                    Ok(Err(error)) => StartError::Loader(error),
                    Err(e) if e.is_panic() => StartError::Task(format!("the metadata loader panicked: {e}")),
                    _ => std::future::pending().await,
                }
            };
            let no_log_dir_left = async {
                if !every_log_dir_fails(replicas).await {
                    std::future::pending().await
                }
                StartError::NoLogDirLeft(log_dirs.join(", "))
            };
            tokio::select! {
                error = raft_stopped => error,
                error = loader_stopped => error,
                error = no_log_dir_left => error,
            }
        }
    }

    /// The orderly way out.
    pub async fn stop(self) {
        let node_id = self.config.node_id;
        tracing::info!(target: super::LOGGER, "[KafkaRaftServer nodeId={node_id}] shutting down");
        if let Some(broker) = self.broker {
            broker.stop(self.config.lifecycle.controlled_shutdown_enable).await;
        }
        self.raft.shutdown().await;
        if let Some(controller) = self.controller {
            controller.server.close(CLOSE_PATIENCE).await;
        }
        tracing::info!(target: super::LOGGER, "[KafkaRaftServer nodeId={node_id}] shut down completed");
    }

    /// After a failure: logs are closed as well as they can be, and nobody is asked for anything.
    pub async fn abandon(self) {
        if let Some(broker) = self.broker {
            broker.stop(false).await;
        }
    }
}

impl Broker {
    async fn stop(self, controlled: bool) {
        let Self { lifecycle, replicas, coordinators, apis, server, waiting } = self;
        if controlled {
            let granted =
                tokio::time::timeout(CONTROLLED_SHUTDOWN_PATIENCE, lifecycle.controlled_shutdown()).await;
            if granted.is_err() {
                tracing::error!(
                    target: "kafka.server.BrokerServer",
                    "Timed out waiting for the controller to approve controlled shutdown"
                );
            }
        }
        drop(waiting);
        // Members that wait for others are sent on their way, so that connections can close.
        coordinators.groups.shutdown().await;
        coordinators.transactions.shutdown().await;
        server.close(CLOSE_PATIENCE).await;
        drop(apis);
        replicas.shutdown(lifecycle.broker_epoch()).await;
        tracing::info!(target: "kafka.server.BrokerServer", "shut down completed");
    }
}

fn serve(server: &Server, bound: Bound, handler: Arc<dyn Handler>, acceptor: &str) {
    tracing::info!(
        target: "kafka.network.SocketServer",
        "Awaiting socket connections on {} for {} ({acceptor}).", bound.address, bound.name
    );
    server.serve(bound, handler);
}

fn raft_options(config: &Config, cluster_id: &str) -> RaftOptions {
    let ms = |value: i32| u64::try_from(value).unwrap_or_default();
    let long = |value: i64| u64::try_from(value).unwrap_or_default();
    let voter = |v: &crate::config::Voter| VoterAddress {
        id: v.id,
        host: v.address.host.clone(),
        port: v.address.port,
    };
    let voters = config.voters.iter().map(voter).collect();
    RaftOptions {
        election_timeout_ms: ms(config.quorum.election_timeout_ms),
        fetch_timeout_ms: ms(config.quorum.fetch_timeout_ms),
        election_backoff_max_ms: ms(config.quorum.election_backoff_max_ms),
        request_timeout_ms: ms(config.quorum.request_timeout_ms),
        retry_backoff_ms: ms(config.quorum.retry_backoff_ms),
        segment_bytes: u32::try_from(config.metadata_log.segment_bytes).unwrap_or(u32::MAX),
        segment_ms: long(config.metadata_log.segment_ms),
        retention_bytes: config.metadata_log.max_retention_bytes,
        retention_ms: config.metadata_log.max_retention_ms,
        max_bytes_between_snapshots: long(config.metadata_log.max_bytes_between_snapshots),
        max_snapshot_interval_ms: long(config.metadata_log.max_snapshot_interval_ms),
        ..RaftOptions::new(config.node_id, cluster_id, voters, config.metadata_log_dir.clone())
    }
}

/// What the first controller of an empty log writes, where nothing was left for it: only a version that is not the
/// default needs saying.
fn bootstrap_records(found: Vec<MetadataRecord>, metadata_version: i16) -> Vec<MetadataRecord> {
    if !found.is_empty() || metadata_version == features::LATEST {
        return found;
    }
    let level = FeatureLevelRecord {
        name: features::METADATA_VERSION.into(),
        feature_level: metadata_version,
        ..FeatureLevelRecord::default()
    };
    vec![level.into()]
}

/// Tells the controller of directories that fail.
async fn tell_failures(
    mut changed: watch::Receiver<u64>,
    replicas: std::sync::Weak<ReplicaManager>,
    lifecycle: Arc<Lifecycle>,
) {
    let mut told = BTreeSet::new();
    while changed.changed().await.is_ok() {
        let Some(replicas) = replicas.upgrade() else { return };
        for failed in replicas.directories().into_iter().filter(|dir| !dir.is_online) {
            if told.insert(failed.id) {
                lifecycle.directory_failed(failed.id).await;
            }
        }
    }
}

/// Resolves when none of a broker's directories is online any more, or with false when the broker is gone.
async fn every_log_dir_fails(replicas: Option<std::sync::Weak<ReplicaManager>>) -> bool {
    let upgraded = || replicas.as_ref().and_then(std::sync::Weak::upgrade);
    let Some(mut changed) = upgraded().map(|replicas| replicas.directories_changed()) else { return false };
    loop {
        match upgraded() {
            None => return false,
            Some(replicas) if !replicas.directories().iter().any(|dir| dir.is_online) => return true,
            Some(_) => {}
        }
        if changed.changed().await.is_err() {
            return false;
        }
    }
}

impl Opening<'_> {
    /// A way to the active controller, with connections of its own: replies on one connection come in order, and a
    /// heartbeat must not wait behind a topic that is being created.
    fn channel(&self) -> ControllerChannel {
        let client = |voter: &crate::config::Voter| {
            let id = self.config.node_id.to_string();
            (voter.id, NodeClient::new(voter.address.clone(), Arc::clone(self.resolver), &id))
        };
        let voters: HashMap<i32, NodeClient> = self.config.voters.iter().map(client).collect();
        ControllerChannel::new(self.raft.leader(), voters)
    }

    fn controller(
        &self,
    ) -> Result<(ControllerHandle, tokio::sync::mpsc::Sender<loader::LogEvent>), StartError> {
        let config = self.config;
        let found = bootstrap::read(&config.metadata_log_dir)?;
        let rebalance = config.replication.auto_leader_rebalance_enable;
        let idle_ms = i64::from(config.metadata_log.max_idle_interval_ms);
        let settings = ControllerSettings {
            node_id: config.node_id,
            cluster_id: self.cluster_id.to_owned(),
            voters: config.voters.iter().map(|v| v.id).collect(),
            session_timeout_ms: i64::from(config.lifecycle.session_timeout_ms),
            default_partitions: config.topics.num_partitions,
            default_replication_factor: i16::try_from(config.topics.default_replication_factor)
                .unwrap_or(i16::MAX),
            delete_topics: config.topics.delete_enable,
            rebalance_interval_ms: rebalance
                .then(|| config.replication.leader_imbalance_check_interval_seconds.saturating_mul(1000)),
            no_op_interval_ms: (idle_ms > 0).then_some(idle_ms),
            consumer_groups: config.groups.consumer.enabled,
            bootstrap: bootstrap_records(found, config.bootstrap_metadata_version),
        };
        let schema = TopicSchema::new(config.topic_overrides.clone(), config.groups.rules);
        Ok(controller::start(ControllerOptions { settings, schema, raft: self.raft.clone() }))
    }

    /// Reads what the directories hold, on a thread that may block.
    async fn replicas(
        &self,
        log_dirs: Vec<(Arc<LogDir>, Uuid)>,
        records: &RecordsRuntime,
    ) -> Result<Arc<ReplicaManager>, StartError> {
        let config = self.config;
        let epoch = Arc::clone(&self.broker_epoch);
        let options = ReplicaOptions {
            node_id: config.node_id,
            replication: config.replication.clone(),
            storage: config.storage.clone(),
            topic_defaults: config.topic_defaults.clone(),
            producers: config.producers,
            request_timeout: Duration::from_millis(
                u64::try_from(config.network.request_timeout_ms).unwrap_or_default(),
            ),
            log_dirs,
            inter_broker_listener: Arc::clone(&config.inter_broker_listener_name),
            resolver: Arc::clone(self.resolver),
            alter_partition: Arc::new(IsrSender::start(config.node_id, Arc::clone(&epoch), self.channel())),
            broker_epoch: epoch,
        };
        let opened = records.handle().spawn_blocking(move || ReplicaManager::open(options)).await;
        Ok(Arc::new(opened.map_err(|e| StartError::Task(e.to_string()))??))
    }

    fn coordinators(&self, replicas: &Arc<ReplicaManager>) -> BrokerCoordinators {
        let is_needed = self.config.groups.consumer.enabled;
        let topics = Arc::new(TopicsFeed::new(is_needed));
        let settings = Arc::new(SettingsFeed::new(is_needed));
        let known = Known { topics: Arc::clone(&topics), settings: Arc::clone(&settings) };
        let groups = Arc::new(groups::coordinators(self.config, Arc::clone(replicas), known));
        let markers = Arc::new(MarkerWriter { replicas: Arc::clone(replicas), groups: Arc::clone(&groups) });
        let transactions = transactions::coordinators(
            self.config,
            self.resolver,
            Arc::clone(replicas),
            Arc::clone(&markers),
        );
        BrokerCoordinators { topics, settings, groups, transactions, markers }
    }

    fn publisher(&self, replicas: &Arc<ReplicaManager>, limits: &Arc<Limits>) -> Arc<dyn Publisher> {
        let assignments =
            Assignments::start(self.config.node_id, Arc::clone(&self.broker_epoch), self.channel());
        Arc::new(ToReplicas {
            replicas: Arc::clone(replicas),
            assignments,
            config: Arc::clone(self.config),
            limits: Arc::clone(limits),
            resolver: Arc::clone(self.resolver),
        })
    }

    fn serve_controller(
        &self,
        handle: ControllerHandle,
        loader: &LoaderHandle,
        ports: Vec<Bound>,
        limits: &Arc<Limits>,
    ) -> Face {
        let config = self.config;
        let is_controller = |l: &&Listener| config.is_controller_listener(&l.name);
        let told = listeners::told(config.listeners.iter().filter(is_controller), &ports);
        let features = supported_features(config.groups.consumer.enabled);
        let images = loader.images.clone();
        tokio::spawn(register_controller(config.node_id, told, features, self.channel(), images));
        handle.watch_brokers(
            loader.images.clone(),
            BrokerWatch {
                node_id: config.node_id,
                own_incarnation: config.roles.broker.then_some(self.incarnation),
                resolver: Arc::clone(self.resolver),
                inter_broker_listener: Arc::clone(&config.inter_broker_listener_name),
            },
        );
        let apis = Arc::new(ControllerApis::new(
            Arc::clone(config),
            self.cluster_id.to_owned(),
            self.raft.clone(),
            handle,
            loader.images.clone(),
        ));
        let server = Server::new(config.node_id, Arc::clone(limits), Handle::current());
        for bound in ports {
            serve(&server, bound, Arc::clone(&apis) as _, "ControllerAcceptor");
        }
        Face { server }
    }

    fn broker(
        &self,
        replicas: Arc<ReplicaManager>,
        coordinators: BrokerCoordinators,
        loader: &LoaderHandle,
        ports: Vec<Bound>,
        limits: &Arc<Limits>,
    ) -> Broker {
        let config = self.config;
        let ms = |value: i32| u64::try_from(value).unwrap_or_default();
        let lifecycle = Arc::new(Lifecycle::start(LifecycleOptions {
            node_id: config.node_id,
            incarnation: self.incarnation,
            cluster_id: self.cluster_id.to_owned(),
            advertised_listeners: listeners::told(&config.advertised_listeners, &ports),
            rack: config.rack.clone(),
            directories: replicas.online_directories(),
            previous_broker_epoch: replicas.previous_broker_epoch(),
            heartbeat_interval_ms: ms(config.lifecycle.heartbeat_interval_ms),
            registration_timeout_ms: ms(config.lifecycle.initial_registration_timeout_ms),
            features: supported_features(config.groups.consumer.enabled),
            channel: self.channel(),
            images: loader.images.clone(),
            broker_epoch: Arc::clone(&self.broker_epoch),
        }));
        let failures = replicas.directories_changed();
        tokio::spawn(tell_failures(failures, Arc::downgrade(&replicas), Arc::clone(&lifecycle)));
        let apis = Arc::new(BrokerApis::new(apis::Parts {
            config: Arc::clone(config),
            cluster_id: self.cluster_id.to_owned(),
            image: loader.images.clone(),
            given: loader.given.clone(),
            replicas: Arc::clone(&replicas),
            groups: Arc::clone(&coordinators.groups),
            transactions: Arc::clone(&coordinators.transactions),
            markers: Arc::clone(&coordinators.markers),
            controller: Arc::new(self.channel()),
            broker_epoch: Arc::clone(&self.broker_epoch),
        }));
        let server = Server::new(config.node_id, Arc::clone(limits), replicas.runtime().clone());
        Broker { lifecycle, replicas, coordinators, apis, server, waiting: ports }
    }
}
