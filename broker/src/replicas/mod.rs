//! The partitions of this broker: produce, fetch and replication over `jackdaw-log` and `jackdaw-replication`.
//!
//! What belongs here: who writes a partition and when, waiting producers and fetchers, fetch sessions, follower
//! fetchers, checkpoints, retention. What must not be here: the rules of ISR and high watermark (they are
//! `jackdaw-replication`'s), the format of logs (`jackdaw-log`'s), sockets.

mod admin;
mod append;
mod cleaner;
mod dirs;
mod fetch;
mod fetcher;
mod flush;
mod interest;
mod markers;
mod nearest;
mod offsets;
mod old_format;
mod own;
mod partition;
mod pending;
mod produce;
mod read;
mod roles;
mod session;
mod shared;
pub mod sink;
#[cfg(test)]
mod tests;
mod upkeep;
mod verify;
mod without_effect;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use jackdaw_log::{LogDir, LogDirError, TopicConfigs};
use jackdaw_metadata::{MetadataDelta, MetadataImage};
use jackdaw_wire::Uuid;
use jackdaw_wire::messages::write_txn_markers_request::WritableTxnMarker;
use jackdaw_wire::messages::{
    DeleteRecordsRequest, DeleteRecordsResponse, DescribeLogDirsRequest, DescribeLogDirsResponse,
    DescribeProducersRequest, DescribeProducersResponse, FetchRequest, ListOffsetsRequest,
    ListOffsetsResponse, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, ProduceRequest,
    ProduceResponse,
};
use tokio::sync::{mpsc, watch};

use self::dirs::Dir;
use self::partition::Context;
use self::session::SessionCache;
use self::shared::Shared;
use self::without_effect::WithoutEffect;
use crate::config::dynamic::Current;
use crate::config::{ProducersConfig, ReplicationConfig, StorageConfig};
use crate::dispatch::{RequestContext, Response};
use crate::net::{Peers, Resolver};
pub use fetcher::{Loss, LostLeaders};
pub use markers::MarkerResults;
pub use own::{OwnAppend, OwnLog};
pub use sink::{AlterPartitionSink, BrokerState, CommittedIsr, IsrChange, IsrChangeDone};

/// What a replica manager is made of.
pub struct ReplicaOptions {
    pub node_id: i32,
    pub replication: ReplicationConfig,
    pub storage: StorageConfig,
    /// The broker's values of the topic-level settings, which topics override.
    pub topic_defaults: TopicConfigs,
    pub producers: ProducersConfig,
    /// `request.timeout.ms`: how long other brokers are waited for.
    pub request_timeout: Duration,
    /// The log directories, locked and formatted, each with its `directory.id`.
    pub log_dirs: Vec<(Arc<LogDir>, Uuid)>,
    /// The listener on which leaders are reached.
    pub inter_broker_listener: Arc<str>,
    pub resolver: Arc<Resolver>,
    pub alter_partition: Arc<dyn AlterPartitionSink>,
    /// This broker's epoch, -1 before it is registered.
    pub broker_epoch: Arc<AtomicI64>,
}

/// What a ProduceRequest came to.
#[derive(Debug)]
pub struct Produced {
    pub response: ProduceResponse,
    /// Some partition failed: with acks=0 the connection is closed, because there is no reply to say so
    /// (`KafkaApis.handleProduceRequest`).
    pub failed: bool,
}

/// A log directory and whether it serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DirectoryState {
    pub id: Uuid,
    pub is_online: bool,
}

/// All partitions of this broker.
pub struct ReplicaManager {
    shared: Arc<Shared>,
    previous_broker_epoch: i64,
    directories_changed: watch::Receiver<u64>,
}

impl ReplicaManager {
    /// Looks at what the directories hold, and changes nothing in them: logs are opened when the first image puts
    /// them here. Call it within the runtime that shall do the work.
    ///
    /// # Errors
    /// A directory that cannot be read, or that holds a folder of no partition, as Kafka refuses it.
    pub fn open(options: ReplicaOptions) -> Result<Self, LogDirError> {
        let (failures, failed) = mpsc::channel(options.log_dirs.len().max(1));
        let (changed, directories_changed) = watch::channel(0);
        let mut dirs = Vec::with_capacity(options.log_dirs.len());
        let mut epochs = Vec::new();
        for (log_dir, id) in &options.log_dirs {
            epochs.push(log_dir.clean_shutdown()?.map_or(-1, |clean| clean.broker_epoch));
            let dir = Dir::new(Arc::clone(log_dir), *id, failures.clone());
            dir.look()?;
            dirs.push(dir);
        }
        // Directories that disagree say nothing (`LogManager.readBrokerEpochFromCleanShutdownFiles`).
        let agreed = epochs.first().copied().filter(|first| epochs.iter().all(|epoch| epoch == first));
        let context = Arc::new(Context {
            node_id: options.node_id,
            sink: Arc::clone(&options.alter_partition),
            runtime: tokio::runtime::Handle::current(),
            brokers: RwLock::default(),
        });
        let slots =
            usize::try_from(options.replication.max_incremental_fetch_session_cache_slots).unwrap_or(0);
        let shared = Arc::new(Shared {
            context,
            dirs,
            image: RwLock::default(),
            hosted: RwLock::new(HashMap::new()),
            placing: Mutex::default(),
            sessions: SessionCache::new(slots),
            fetchers: fetcher::Fetchers::default(),
            verifications: verify::Verifications::default(),
            peers: Peers::new(
                Arc::clone(&options.resolver),
                Arc::clone(&options.inter_broker_listener),
                format!("AddPartitionsToTxnSenderThread-{}", options.node_id),
            ),
            upkeep: upkeep::Upkeep::default(),
            cleaning: cleaner::CleaningState::default(),
            without_effect: WithoutEffect::default(),
            defaults: RwLock::new(admin::Defaults::new(options.topic_defaults.clone(), options.producers)),
            has_image: AtomicBool::new(false),
            options,
        });
        tokio::spawn(upkeep::run(Arc::downgrade(&shared)));
        cleaner::start(&shared, &shared.options.storage.cleaner);
        tokio::spawn(watch_failures(Arc::downgrade(&shared), failed, changed));
        Ok(Self { shared, previous_broker_epoch: agreed.unwrap_or(-1), directories_changed })
    }

    /// The newest image that has come.
    pub fn image(&self) -> Arc<MetadataImage> {
        self.shared.image()
    }

    /// The runtime that it was opened in.
    pub fn runtime(&self) -> &tokio::runtime::Handle {
        &self.shared.context.runtime
    }

    /// This broker's id.
    pub fn node_id(&self) -> i32 {
        self.shared.options.node_id
    }

    /// The broker epoch that the last clean stop noted, -1 after any other: for the registration.
    pub fn previous_broker_epoch(&self) -> i64 {
        self.previous_broker_epoch
    }

    /// Brings roles, logs and settings in line with the image. Returns when every partition of the delta has its
    /// role; what follows (fetching, deleting files) goes on behind. Called in log order, one call at a time.
    ///
    /// The first call must bring an image that has reached the high watermark of this cluster's quorum: what it
    /// does not know of is put aside as stray.
    pub async fn apply(&self, image: &Arc<MetadataImage>, delta: &MetadataDelta) {
        self.shared.apply(image, delta).await;
    }

    /// Appends. Everything up to the append happens in this call, so that pipelined requests keep the order of the
    /// calls; the future waits for the acknowledgements that `acks` asks for.
    pub fn produce(
        &self,
        context: &RequestContext,
        request: ProduceRequest,
    ) -> impl Future<Output = Produced> + Send + 'static + use<> {
        self.shared.produce(context, request)
    }

    /// Reads, waiting up to the request's `max_wait_ms` for `min_bytes`. For clients and followers alike; fetches
    /// of `__cluster_metadata` on a controller listener are not for here.
    pub fn fetch(
        &self,
        context: &RequestContext,
        request: FetchRequest,
    ) -> impl Future<Output = Response> + Send + 'static + use<> {
        self.shared.fetch(context, request)
    }

    /// Offsets by timestamp or by name (-1 latest, -2 earliest, -3 of the largest timestamp, -4 earliest local).
    pub async fn list_offsets(
        &self,
        context: &RequestContext,
        request: ListOffsetsRequest,
    ) -> ListOffsetsResponse {
        self.shared.list_offsets(context, request).await
    }

    /// Ends transactions in the partitions led here; what became of each marker, when it is committed.
    pub async fn write_txn_markers(&self, markers: &[WritableTxnMarker]) -> Vec<MarkerResults> {
        self.shared.write_markers(markers).await
    }

    /// Who writes to the partitions led here.
    pub async fn describe_producers(&self, request: DescribeProducersRequest) -> DescribeProducersResponse {
        self.shared.describe_producers(request).await
    }

    /// The end offset of the largest epoch not above the asked one.
    pub async fn offset_for_leader_epoch(
        &self,
        _context: &RequestContext,
        request: OffsetForLeaderEpochRequest,
    ) -> OffsetForLeaderEpochResponse {
        self.shared.offset_for_leader_epoch(request)
    }

    /// The broker's own settings changed while it runs. Called between two calls of [`ReplicaManager::apply`], with
    /// the image that says so.
    pub fn reconfigure(&self, image: &MetadataImage, current: &Current) {
        self.shared.reconfigure(image, current);
    }

    /// Deletes records by moving log starts; the reply comes when the live replicas have followed.
    pub async fn delete_records(&self, request: DeleteRecordsRequest) -> DeleteRecordsResponse {
        self.shared.delete_records(request).await
    }

    /// Directories, the space that they have, and what lies in them.
    pub async fn describe_log_dirs(&self, request: &DescribeLogDirsRequest) -> DescribeLogDirsResponse {
        self.shared.describe_log_dirs(request).await
    }

    /// Every log directory, for registration and heartbeats.
    pub fn directories(&self) -> Vec<DirectoryState> {
        let state = |dir: &Arc<Dir>| DirectoryState { id: dir.id, is_online: dir.is_online() };
        self.shared.dirs.iter().map(state).collect()
    }

    /// The directory that a replica lies in; none where it is not here or not online.
    pub fn directory_of(&self, topic_id: Uuid, partition: i32) -> Option<Uuid> {
        match self.shared.hosted(topic_id, partition)? {
            shared::Hosted::Online(partition) => Some(partition.dir.id),
            shared::Hosted::Offline => None,
        }
    }

    /// Directory ids that serve.
    pub fn online_directories(&self) -> Vec<Uuid> {
        self.directories().into_iter().filter(|dir| dir.is_online).map(|dir| dir.id).collect()
    }

    /// Changes whenever a directory fails.
    pub fn directories_changed(&self) -> watch::Receiver<u64> {
        self.directories_changed.clone()
    }

    /// Leaders that this node follows and has lost the connection to.
    pub fn lost_leaders(&self) -> watch::Receiver<LostLeaders> {
        self.shared.fetchers.lost.subscribe()
    }

    /// Stops fetchers, closes every log cleanly, checkpoints, and only then writes the clean-shutdown markers with
    /// this broker epoch.
    pub async fn shutdown(&self, broker_epoch: i64) {
        self.shared.shutdown(broker_epoch).await;
    }
}

/// Whoever tells the controller hears of a failed directory only when nothing is fetched into it any more: a fetch that
/// comes later says to its leader that the replica is well.
async fn watch_failures(
    shared: std::sync::Weak<Shared>,
    mut failed: mpsc::Receiver<Uuid>,
    changed: watch::Sender<u64>,
) {
    while let Some(id) = failed.recv().await {
        let Some(shared) = shared.upgrade() else { return };
        shared.directory_failed(id);
        changed.send_modify(|version| *version += 1);
    }
}
