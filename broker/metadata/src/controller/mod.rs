//! The active controller's brain: requests in, records and replies out (Kafka's `QuorumController`).
//!
//! Records count as soon as they are made: the next request is decided on the image that has them, though they are
//! not committed yet. Who drives this must append them in order, hold each reply until its offset is committed, and
//! throw the whole controller away when the epoch ends. It knows no clock, no socket, no log.

mod activation;
mod alter_configs;
mod alter_partition;
mod brokers;
mod create_partitions;
mod create_topics;
mod delete_topics;
mod directories;
mod elections;
mod error;
mod index;
mod partition_change;
mod reassignments;
mod request;
mod sessions;
#[cfg(test)]
mod tests;
mod timers;
mod update_features;

use std::sync::Arc;

use jackdaw_wire::MetadataRecord;
use jackdaw_wire::types::DIR_UNASSIGNED;
use uuid::Uuid;

use crate::apply::ApplyError;
use crate::config_schema::ConfigSchema;
use crate::delta::MetadataDelta;
use crate::image::MetadataImage;
use crate::random::Entropy;

pub use delete_topics::delete_on_standby;
pub use error::ApiError;
pub use index::{PartitionId, PartitionIndex};
pub use partition_change::{Election, PartitionChange, Surroundings};
pub use reassignments::list_partition_reassignments;
pub use request::{Request, Response};
pub use sessions::{BrokerState, Sessions};
pub use timers::{Tick, TickReason};

/// The most records that one request may make (`QuorumController.MAX_RECORDS_PER_USER_OP`).
const MAX_RECORDS_PER_REQUEST: usize = 10_000;
/// Producer ids come in blocks of this many (`ProducerIdsBlock`).
const PRODUCER_ID_BLOCK_SIZE: i32 = 1_000;

/// What a controller is told by its configuration.
#[derive(Debug, Clone)]
pub struct ControllerSettings {
    /// `node.id`.
    pub node_id: i32,
    /// The cluster that brokers must name.
    pub cluster_id: String,
    /// Ids of all controllers.
    pub voters: Vec<i32>,
    /// `broker.session.timeout.ms`.
    pub session_timeout_ms: i64,
    /// `num.partitions`.
    pub default_partitions: i32,
    /// `default.replication.factor`.
    pub default_replication_factor: i16,
    /// `delete.topic.enable`.
    pub delete_topics: bool,
    /// `leader.imbalance.check.interval.seconds` in milliseconds; `None` without `auto.leader.rebalance.enable`.
    pub rebalance_interval_ms: Option<i64>,
    /// `metadata.max.idle.interval.ms`; `None` when it is 0.
    pub no_op_interval_ms: Option<i64>,
    /// Groups of the consumer protocol may be switched on (`group.coordinator.rebalance.protocols`).
    pub consumer_groups: bool,
    /// The records of `bootstrap.checkpoint`; empty for the defaults.
    pub bootstrap: Vec<MetadataRecord>,
}

/// Where the metadata log stands when this node begins to lead it.
#[derive(Debug, Clone)]
pub struct LogStart {
    /// All that is committed, without the records of an open transaction.
    pub image: MetadataImage,
    /// The offset that the first record will get.
    pub next_offset: i64,
    /// No record was ever committed outside a transaction that is still open.
    pub is_empty: bool,
    /// A transaction is open that nobody will finish.
    pub open_transaction: bool,
}

/// What became of a request.
#[derive(Debug)]
pub struct Outcome {
    /// To be appended as one batch; empty when nothing changes.
    pub records: Vec<MetadataRecord>,
    /// To be sent when the batch is committed, and everything before it.
    pub response: Response,
    /// The reply may leave once this offset is committed.
    pub commit_offset: i64,
}

/// The active controller of one epoch.
pub struct Controller {
    settings: ControllerSettings,
    schema: Arc<dyn ConfigSchema>,
    image: MetadataImage,
    index: PartitionIndex,
    sessions: Sessions,
    next_offset: i64,
    timers: timers::Timers,
}

/// What one request is decided with.
struct Work {
    now_ms: i64,
    api_version: i16,
    entropy: Entropy,
    /// The broker whose heartbeat was answered with a controlled shutdown.
    stopping: Option<i32>,
}

impl Controller {
    /// Takes over the log, and returns the records that this takes, to be appended as one batch. Every session
    /// starts afresh: brokers have not had a chance to be heard yet.
    ///
    /// # Errors
    /// Why this node cannot lead this log (`ActivationRecordsGenerator`); it must resign.
    pub fn activate(
        settings: ControllerSettings,
        schema: Arc<dyn ConfigSchema>,
        log: LogStart,
        now_ms: i64,
    ) -> Result<(Self, Vec<MetadataRecord>), ActivationError> {
        let records = activation::records(&settings.bootstrap, &log)?;
        let mut sessions = Sessions::new(settings.session_timeout_ms);
        for broker in log.image.brokers.values() {
            sessions.register(broker.id, broker.fenced, now_ms);
        }
        let mut controller = Self {
            index: PartitionIndex::of(&log.image),
            timers: timers::Timers::new(&settings, now_ms),
            image: log.image,
            next_offset: log.next_offset,
            settings,
            schema,
            sessions,
        };
        controller.apply(&records, now_ms)?;
        Ok((controller, records))
    }

    /// Answers one request. `random` must be fresh: topic ids and placement come from it.
    ///
    /// # Errors
    /// A record that was made here contradicts the image. That is a bug: the node must resign.
    pub fn handle(
        &mut self,
        now_ms: i64,
        random: u64,
        api_version: i16,
        request: &Request,
    ) -> Result<Outcome, ApplyError> {
        let mut work = Work { now_ms, api_version, entropy: Entropy::new(random), stopping: None };
        let mut records = Vec::new();
        let answer = self.answer(request, &mut work, &mut records);
        let response = match answer {
            Ok(_) if records.len() > MAX_RECORDS_PER_REQUEST && is_bounded(request) => {
                records.clear();
                request.refuse(&ApiError::too_many_records())
            }
            Ok(response) => response,
            Err(error) => {
                records.clear();
                request.refuse(&error)
            }
        };
        self.apply(&records, now_ms)?;
        let commit_offset = self.next_offset - 1;
        if let Some(broker) = work.stopping {
            // The shutdown ends when every other broker has applied what this heartbeat wrote.
            self.sessions.begin_controlled_shutdown(broker, commit_offset);
        }
        Ok(Outcome { records, response, commit_offset })
    }

    fn answer(
        &mut self,
        request: &Request,
        work: &mut Work,
        records: &mut Vec<MetadataRecord>,
    ) -> Result<Response, ApiError> {
        Ok(match request {
            Request::RegisterBroker(r) => self.register_broker(r, work, records)?.into(),
            Request::Heartbeat(r) => self.heartbeat(r, work, records)?.into(),
            Request::UnregisterBroker(r) => self.unregister_broker(r, records)?.into(),
            Request::RegisterController(r) => self.register_controller(r, records)?.into(),
            Request::AlterPartition(r) => self.alter_partition(r, work.api_version, records)?.into(),
            Request::AssignReplicasToDirs(r) => self.assign_replicas_to_dirs(r, records)?.into(),
            Request::AllocateProducerIds(r) => self.allocate_producer_ids(r, records)?.into(),
            Request::CreateTopics(r) => self.create_topics(r, work, records)?.into(),
            Request::DeleteTopics(r) => self.delete_topics(r, work.api_version, records)?.into(),
            Request::CreatePartitions(r) => self.create_partitions(r, work, records).into(),
            Request::ElectLeaders(r) => self.elect_leaders(r, records)?.into(),
            Request::IncrementalAlterConfigs(r) => self.incremental_alter_configs(r, records).into(),
            Request::AlterConfigs(r) => self.alter_configs(r, records).into(),
            Request::AlterPartitionReassignments(r) => self.alter_partition_reassignments(r, records).into(),
            Request::ListPartitionReassignments(r) => list_partition_reassignments(&self.image, r).into(),
            Request::UpdateFeatures(r) => self.update_features(r, records).into(),
        })
    }

    /// The image with everything that was made so far, committed or not.
    pub fn image(&self) -> &MetadataImage {
        &self.image
    }

    /// The offset that the next record will get.
    pub fn next_offset(&self) -> i64 {
        self.next_offset
    }

    /// The level that records are to be written in. It is that of the image, or of the bootstrap records while
    /// those are on their way.
    pub fn metadata_version(&self) -> i16 {
        self.image.metadata_version().0
    }

    fn apply(&mut self, records: &[MetadataRecord], now_ms: i64) -> Result<(), ApplyError> {
        let mut delta = MetadataDelta::default();
        for record in records {
            self.image.apply(self.next_offset, record, &mut delta)?;
            self.next_offset += 1;
        }
        self.index.update(&delta);
        for (id, previous) in &delta.changed_brokers {
            match self.image.brokers.get(id) {
                None => self.sessions.remove(*id),
                Some(broker) => {
                    if previous.as_ref().is_none_or(|p| p.epoch != broker.epoch) {
                        self.sessions.remove(*id);
                    }
                    self.sessions.register(*id, broker.fenced, now_ms);
                }
            }
        }
        self.timers.after_change(self.index.is_imbalanced(), now_ms);
        Ok(())
    }

    /// Whether the broker is registered, unfenced, not stopping, and not known to be gone.
    fn is_active(&self, broker: i32) -> bool {
        self.image.brokers.get(&broker).is_some_and(|b| b.is_active()) && !self.sessions.is_gone(broker)
    }

    fn default_directory(&self, broker: i32) -> Uuid {
        // A broker that is not registered is refused elsewhere, with the error that belongs to it.
        self.image.brokers.get(&broker).map_or(DIR_UNASSIGNED, |b| b.default_directory())
    }
}

/// Requests of users are bounded; what brokers report must go through.
fn is_bounded(request: &Request) -> bool {
    matches!(
        request,
        Request::CreateTopics(_)
            | Request::DeleteTopics(_)
            | Request::CreatePartitions(_)
            | Request::ElectLeaders(_)
            | Request::IncrementalAlterConfigs(_)
            | Request::AlterConfigs(_)
            | Request::AlterPartitionReassignments(_)
            | Request::UnregisterBroker(_)
    )
}

/// Why a node cannot lead this log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActivationError {
    /// The log's level knows no transactions, yet one is open.
    #[error(
        "Detected in-progress transaction, but the metadata.version {0} does not support transactions. Cannot continue."
    )]
    TransactionNotSupported(&'static str),
    /// The activation records contradict the image.
    #[error(transparent)]
    Apply(#[from] ApplyError),
}
