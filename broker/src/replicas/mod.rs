//! The partitions of this broker: produce, fetch and replication over `jackdaw-log` and `jackdaw-replication`.
//!
//! What belongs here: who writes a partition and when, waiting producers and fetchers, fetch sessions, follower
//! fetchers, checkpoints, retention. What must not be here: the rules of ISR and high watermark (they are
//! `jackdaw-replication`'s), the format of logs (`jackdaw-log`'s), sockets.

pub mod sink;

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use jackdaw_metadata::{MetadataDelta, MetadataImage};
use jackdaw_wire::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use jackdaw_wire::messages::offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult};
use jackdaw_wire::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use jackdaw_wire::messages::{
    FetchRequest, ListOffsetsRequest, ListOffsetsResponse, OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse, ProduceRequest, ProduceResponse,
};
use jackdaw_wire::{ErrorCode, Uuid};

use crate::config::{ReplicationConfig, StorageConfig};
use crate::dispatch::{RequestContext, Response};
use crate::net::Resolver;
pub use sink::{AlterPartitionSink, BrokerState, CommittedIsr, IsrChange, IsrChangeDone};

/// What a replica manager is made of.
pub struct ReplicaOptions {
    pub node_id: i32,
    pub replication: ReplicationConfig,
    pub storage: StorageConfig,
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

/// All partitions of this broker. Cheap to share behind an `Arc`.
pub struct ReplicaManager {
    node_id: i32,
}

impl ReplicaManager {
    /// This broker's id.
    pub fn node_id(&self) -> i32 {
        self.node_id
    }

    /// Brings roles, logs and settings in line with the image. Returns when every partition of the delta has its
    /// role; what follows (fetching, deleting files) goes on behind. Called in log order, one call at a time.
    pub async fn apply(&self, image: &Arc<MetadataImage>, delta: &MetadataDelta) {
        let _ = (image, delta);
    }

    /// Appends. Everything up to the append happens in this call, so that pipelined requests keep the order of the
    /// calls; the future waits for the acknowledgements that `acks` asks for.
    pub fn produce(
        &self,
        context: &RequestContext,
        request: ProduceRequest,
    ) -> impl Future<Output = Produced> + Send + 'static {
        let _ = context;
        let topic = |t: jackdaw_wire::messages::produce_request::TopicProduceData| {
            let partition = |index| {
                PartitionProduceResponse::default()
                    .with_index(index)
                    .with_error_code(ErrorCode::UnknownTopicOrPartition.code())
                    .with_base_offset(-1)
            };
            let partitions = t.partition_data.iter().map(|p| partition(p.index)).collect();
            TopicProduceResponse::default().with_name(t.name).with_partition_responses(partitions)
        };
        let responses = request.topic_data.into_iter().map(topic).collect();
        let response = ProduceResponse::default().with_responses(responses);
        std::future::ready(Produced { response, failed: true })
    }

    /// Reads, waiting up to the request's `max_wait_ms` for `min_bytes`. For clients and followers alike; fetches
    /// of `__cluster_metadata` on a controller listener are not for here.
    pub fn fetch(
        &self,
        context: &RequestContext,
        request: FetchRequest,
    ) -> impl Future<Output = Response> + Send + 'static {
        let response = jackdaw_wire::messages::FetchResponse::default()
            .with_error_code(ErrorCode::UnknownTopicOrPartition.code());
        let _ = request;
        std::future::ready(Response::encode(context, &response))
    }

    /// Offsets by timestamp or by name (-1 latest, -2 earliest, -3 of the largest timestamp, -4 earliest local).
    pub async fn list_offsets(
        &self,
        context: &RequestContext,
        request: ListOffsetsRequest,
    ) -> ListOffsetsResponse {
        let _ = context;
        let unknown = |index| {
            ListOffsetsPartitionResponse::default()
                .with_partition_index(index)
                .with_error_code(ErrorCode::UnknownTopicOrPartition.code())
        };
        let topics = request.topics.into_iter().map(|t| {
            let partitions = t.partitions.iter().map(|p| unknown(p.partition_index)).collect();
            ListOffsetsTopicResponse::default().with_name(t.name).with_partitions(partitions)
        });
        ListOffsetsResponse::default().with_topics(topics.collect())
    }

    /// The end offset of the largest epoch not above the asked one.
    pub async fn offset_for_leader_epoch(
        &self,
        context: &RequestContext,
        request: OffsetForLeaderEpochRequest,
    ) -> OffsetForLeaderEpochResponse {
        let _ = context;
        let unknown = |partition| {
            EpochEndOffset::default()
                .with_partition(partition)
                .with_error_code(ErrorCode::UnknownTopicOrPartition.code())
        };
        let topics = request.topics.into_iter().map(|t| {
            let partitions = t.partitions.iter().map(|p| unknown(p.partition)).collect();
            OffsetForLeaderTopicResult::default().with_topic(t.topic).with_partitions(partitions)
        });
        OffsetForLeaderEpochResponse::default().with_topics(topics.collect())
    }

    /// Directory ids that serve, for registration and heartbeats; changes when one fails.
    pub fn online_directories(&self) -> Vec<Uuid> {
        Vec::new()
    }

    /// Stops fetchers, closes every log cleanly, checkpoints, and only then writes the clean-shutdown markers with
    /// this broker epoch.
    pub async fn shutdown(&self, broker_epoch: i64) {
        let _ = broker_epoch;
    }
}
