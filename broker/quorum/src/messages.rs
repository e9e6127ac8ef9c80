//! Builds and takes apart the protocol's messages, each with its one topic and one partition.
//!
//! No rule is decided here: only fields are put in place.

use bytes::Bytes;
use jackdaw_wire::messages::*;
use jackdaw_wire::types::{METADATA_TOPIC_ID, METADATA_TOPIC_NAME};
use jackdaw_wire::{ErrorCode, OffsetAndEpoch, StrBytes};

use crate::{Config, LeaderAndEpoch, Validity};

fn topic_name() -> TopicName {
    TopicName(StrBytes::from_static_str(METADATA_TOPIC_NAME))
}

fn cluster_id(config: &Config) -> Option<StrBytes> {
    Some(StrBytes::from_string(config.cluster_id.clone()))
}

fn code(error: Option<ErrorCode>) -> i16 {
    error.map_or(0, |error| error.code())
}

fn leader_or_sentinel(current: LeaderAndEpoch) -> BrokerId {
    BrokerId(current.leader.unwrap_or(-1))
}

/// The one partition of a message, if it is the metadata partition and alone.
macro_rules! singleton {
    ($topics:expr, $name:ident, $partition:ident) => {
        match $topics.as_slice() {
            [topic] if topic.$name.as_str() == METADATA_TOPIC_NAME => match topic.partitions.as_slice() {
                [partition] if partition.$partition == 0 => Some(partition),
                _ => None,
            },
            _ => None,
        }
    };
}
pub(crate) use singleton;

/// The one partition of a Fetch request. Versions below 13 name topics, and the quorum's goes by its id alone
/// (`RaftUtil.hasValidTopicPartition`).
pub(crate) fn fetch_partition(request: &FetchRequest) -> Option<&fetch_request::FetchPartition> {
    match request.topics.as_slice() {
        [topic] if topic.topic_id == METADATA_TOPIC_ID => match topic.partitions.as_slice() {
            [partition] if partition.partition == 0 => Some(partition),
            _ => None,
        },
        _ => None,
    }
}

pub(crate) fn fetched_partition(response: &FetchResponse) -> Option<&fetch_response::PartitionData> {
    match response.responses.as_slice() {
        [topic] if topic.topic_id == METADATA_TOPIC_ID || topic.topic.as_str() == METADATA_TOPIC_NAME => {
            match topic.partitions.as_slice() {
                [partition] if partition.partition_index == 0 => Some(partition),
                _ => None,
            }
        }
        _ => None,
    }
}

/// `FetchRequest.replicaId`: the old field up to version 14, the replica state since.
pub(crate) fn replica_id(request: &FetchRequest) -> i32 {
    if request.replica_id.0 != -1 { request.replica_id.0 } else { request.replica_state.replica_id.0 }
}

pub(crate) fn vote_request(config: &Config, epoch: i32, end: OffsetAndEpoch) -> VoteRequest {
    let partition = vote_request::PartitionData::default()
        .with_candidate_epoch(epoch)
        .with_candidate_id(BrokerId(config.node_id))
        .with_last_offset_epoch(end.epoch)
        .with_last_offset(end.offset);
    let topic =
        vote_request::TopicData::default().with_topic_name(topic_name()).with_partitions(vec![partition]);
    VoteRequest::default().with_cluster_id(cluster_id(config)).with_topics(vec![topic])
}

pub(crate) fn vote_response(
    error: Option<ErrorCode>,
    current: LeaderAndEpoch,
    vote_granted: bool,
) -> VoteResponse {
    let partition = vote_response::PartitionData::default()
        .with_error_code(code(error))
        .with_leader_id(leader_or_sentinel(current))
        .with_leader_epoch(current.epoch)
        .with_vote_granted(vote_granted);
    let topic =
        vote_response::TopicData::default().with_topic_name(topic_name()).with_partitions(vec![partition]);
    VoteResponse::default().with_topics(vec![topic])
}

pub(crate) fn begin_epoch_request(config: &Config, epoch: i32) -> BeginQuorumEpochRequest {
    let partition = begin_quorum_epoch_request::PartitionData::default()
        .with_leader_id(BrokerId(config.node_id))
        .with_leader_epoch(epoch);
    let topic = begin_quorum_epoch_request::TopicData::default()
        .with_topic_name(topic_name())
        .with_partitions(vec![partition]);
    BeginQuorumEpochRequest::default().with_cluster_id(cluster_id(config)).with_topics(vec![topic])
}

pub(crate) fn begin_epoch_response(
    error: Option<ErrorCode>,
    current: LeaderAndEpoch,
) -> BeginQuorumEpochResponse {
    let partition = begin_quorum_epoch_response::PartitionData::default()
        .with_error_code(code(error))
        .with_leader_id(leader_or_sentinel(current))
        .with_leader_epoch(current.epoch);
    let topic = begin_quorum_epoch_response::TopicData::default()
        .with_topic_name(topic_name())
        .with_partitions(vec![partition]);
    BeginQuorumEpochResponse::default().with_topics(vec![topic])
}

pub(crate) fn end_epoch_request(config: &Config, epoch: i32, successors: &[i32]) -> EndQuorumEpochRequest {
    let partition = end_quorum_epoch_request::PartitionData::default()
        .with_leader_id(BrokerId(config.node_id))
        .with_leader_epoch(epoch)
        .with_preferred_successors(successors.to_vec());
    let topic = end_quorum_epoch_request::TopicData::default()
        .with_topic_name(topic_name())
        .with_partitions(vec![partition]);
    EndQuorumEpochRequest::default().with_cluster_id(cluster_id(config)).with_topics(vec![topic])
}

pub(crate) fn end_epoch_response(
    error: Option<ErrorCode>,
    current: LeaderAndEpoch,
) -> EndQuorumEpochResponse {
    let partition = end_quorum_epoch_response::PartitionData::default()
        .with_error_code(code(error))
        .with_leader_id(leader_or_sentinel(current))
        .with_leader_epoch(current.epoch);
    let topic = end_quorum_epoch_response::TopicData::default()
        .with_topic_name(topic_name())
        .with_partitions(vec![partition]);
    EndQuorumEpochResponse::default().with_topics(vec![topic])
}

pub(crate) fn fetch_request(config: &Config, epoch: i32, end: OffsetAndEpoch) -> FetchRequest {
    let partition = fetch_request::FetchPartition::default()
        .with_current_leader_epoch(epoch)
        .with_last_fetched_epoch(end.epoch)
        .with_fetch_offset(end.offset)
        .with_log_start_offset(-1);
    let topic = fetch_request::FetchTopic::default()
        .with_topic(topic_name())
        .with_topic_id(METADATA_TOPIC_ID)
        .with_partitions(vec![partition]);
    let replica = fetch_request::ReplicaState::default().with_replica_id(BrokerId(config.node_id));
    FetchRequest::default()
        .with_cluster_id(cluster_id(config))
        .with_replica_id(BrokerId(-1))
        .with_replica_state(replica)
        .with_max_wait_ms(config.fetch_max_wait_ms)
        .with_max_bytes(config.fetch_max_bytes)
        .with_topics(vec![topic])
}

pub(crate) fn fetch_response(
    error: Option<ErrorCode>,
    current: LeaderAndEpoch,
    high_watermark: Option<i64>,
    log_start: i64,
    validity: Validity,
) -> FetchResponse {
    let leader = fetch_response::LeaderIdAndEpoch::default()
        .with_leader_id(leader_or_sentinel(current))
        .with_leader_epoch(current.epoch);
    let mut partition = fetch_response::PartitionData::default()
        .with_error_code(code(error))
        .with_high_watermark(high_watermark.unwrap_or(-1))
        .with_log_start_offset(log_start)
        .with_current_leader(leader)
        .with_aborted_transactions(Some(Vec::new()))
        .with_records(Some(Bytes::new()));
    match validity {
        Validity::Valid => {}
        Validity::Diverging(end) => {
            partition.diverging_epoch.epoch = end.epoch;
            partition.diverging_epoch.end_offset = end.offset;
        }
        Validity::Snapshot(id) => {
            partition.snapshot_id.epoch = id.epoch;
            partition.snapshot_id.end_offset = id.offset;
        }
    }
    let topic = fetch_response::FetchableTopicResponse::default()
        .with_topic(topic_name())
        .with_topic_id(METADATA_TOPIC_ID)
        .with_partitions(vec![partition]);
    FetchResponse::default().with_responses(vec![topic])
}

pub(crate) fn fetch_snapshot_request(
    config: &Config,
    epoch: i32,
    id: OffsetAndEpoch,
    position: i64,
) -> FetchSnapshotRequest {
    let snapshot_id =
        fetch_snapshot_request::SnapshotId::default().with_end_offset(id.offset).with_epoch(id.epoch);
    let partition = fetch_snapshot_request::PartitionSnapshot::default()
        .with_current_leader_epoch(epoch)
        .with_snapshot_id(snapshot_id)
        .with_position(position);
    let topic = fetch_snapshot_request::TopicSnapshot::default()
        .with_name(topic_name())
        .with_partitions(vec![partition]);
    FetchSnapshotRequest::default()
        .with_cluster_id(cluster_id(config))
        .with_replica_id(BrokerId(config.node_id))
        .with_max_bytes(config.fetch_max_bytes)
        .with_topics(vec![topic])
}

/// Without bytes: the shell fills them in.
pub(crate) fn fetch_snapshot_response(
    error: Option<ErrorCode>,
    current: LeaderAndEpoch,
    piece: Option<(OffsetAndEpoch, u64, i64)>,
) -> FetchSnapshotResponse {
    let leader = fetch_snapshot_response::LeaderIdAndEpoch::default()
        .with_leader_id(leader_or_sentinel(current))
        .with_leader_epoch(current.epoch);
    let mut partition = fetch_snapshot_response::PartitionSnapshot::default()
        .with_error_code(code(error))
        .with_current_leader(leader);
    if let Some((id, size_bytes, position)) = piece {
        partition.snapshot_id.end_offset = id.offset;
        partition.snapshot_id.epoch = id.epoch;
        partition.size = i64::try_from(size_bytes).unwrap_or(i64::MAX);
        partition.position = position;
    }
    let topic = fetch_snapshot_response::TopicSnapshot::default()
        .with_name(topic_name())
        .with_partitions(vec![partition]);
    FetchSnapshotResponse::default().with_topics(vec![topic])
}

/// The answer to a FetchSnapshot of a partition that is not the metadata partition.
pub(crate) fn fetch_snapshot_unknown(request: &FetchSnapshotRequest) -> FetchSnapshotResponse {
    let (name, index) = request.topics.first().map_or_else(
        || (topic_name(), 0),
        |topic| (topic.name.clone(), topic.partitions.first().map_or(0, |partition| partition.partition)),
    );
    let partition = fetch_snapshot_response::PartitionSnapshot::default()
        .with_index(index)
        .with_error_code(ErrorCode::UnknownTopicOrPartition.code());
    let topic =
        fetch_snapshot_response::TopicSnapshot::default().with_name(name).with_partitions(vec![partition]);
    FetchSnapshotResponse::default().with_topics(vec![topic])
}

pub(crate) fn describe_response(
    partition: describe_quorum_response::PartitionData,
) -> DescribeQuorumResponse {
    let topic = describe_quorum_response::TopicData::default()
        .with_topic_name(topic_name())
        .with_partitions(vec![partition]);
    DescribeQuorumResponse::default().with_topics(vec![topic])
}

/// `DescribeQuorumRequest.getPartitionLevelErrorResponse`: the asked topics with that error.
pub(crate) fn describe_error(request: &DescribeQuorumRequest, error: ErrorCode) -> DescribeQuorumResponse {
    let topics = request
        .topics
        .iter()
        .map(|topic| {
            let partitions = topic
                .partitions
                .iter()
                .map(|partition| {
                    describe_quorum_response::PartitionData::default()
                        .with_partition_index(partition.partition_index)
                        .with_error_code(error.code())
                })
                .collect();
            describe_quorum_response::TopicData::default()
                .with_topic_name(topic.topic_name.clone())
                .with_partitions(partitions)
        })
        .collect();
    DescribeQuorumResponse::default().with_topics(topics)
}
