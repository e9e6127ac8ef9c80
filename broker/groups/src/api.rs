//! What goes into the machine and what comes out: requests, replies, effects, settings.
//!
//! Requests and replies are Kafka's own messages, of no version: what a version cannot say, whoever encodes it leaves
//! out. A refusal has the shape of its request, and this is the one place that knows them.

use jackdaw_wire::compression::Compression;
use jackdaw_wire::consumer_group::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, DescribedConsumerGroup,
};
use jackdaw_wire::messages::delete_groups_response::DeletableGroupResult;
use jackdaw_wire::messages::describe_groups_response::DescribedGroup;
use jackdaw_wire::messages::list_groups_response::ListedGroup;
use jackdaw_wire::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use jackdaw_wire::messages::offset_fetch_request::OffsetFetchRequestGroup;
use jackdaw_wire::messages::offset_fetch_response::OffsetFetchResponseGroup;
use jackdaw_wire::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use jackdaw_wire::messages::{
    GroupId, HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    LeaveGroupResponse, OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse,
    SyncGroupRequest, SyncGroupResponse, TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};
use jackdaw_wire::{Bytes, ErrorCode, StrBytes, Uuid};

use crate::consumer::ConsumerConfig;
use crate::offsets::TopicPartition;

/// The settings that act on groups (`GroupConfig`, `OffsetConfig`).
#[derive(Debug, Clone)]
pub struct Config {
    /// `group.min.session.timeout.ms`
    pub min_session_timeout_ms: i32,
    /// `group.max.session.timeout.ms`
    pub max_session_timeout_ms: i32,
    /// `group.max.size`
    pub max_size: usize,
    /// `group.initial.rebalance.delay.ms`
    pub initial_rebalance_delay_ms: i64,
    /// `offset.metadata.max.bytes`, which Kafka counts in UTF-16 units.
    pub max_metadata_length: usize,
    /// `offsets.retention.minutes`
    pub retention_ms: i64,
    /// `offsets.retention.check.interval.ms`
    pub retention_check_interval_ms: i64,
    /// `offsets.topic.compression.codec`
    pub compression: Compression,
    /// The settings of the consumer protocol.
    pub consumer: ConsumerConfig,
}

/// Who asks to join, and in which version.
#[derive(Debug, Clone)]
pub struct Caller {
    pub version: i16,
    pub client_id: StrBytes,
    /// As Java prints an address: `/127.0.0.1`.
    pub client_host: StrBytes,
}

/// What the machine is asked, or told.
#[derive(Debug, Clone)]
pub enum Request {
    /// `unique` makes the member's id, should it need a new one.
    Join {
        caller: Caller,
        unique: Uuid,
        request: JoinGroupRequest,
    },
    Sync(SyncGroupRequest),
    Heartbeat(HeartbeatRequest),
    /// Members in `members`, whatever the version.
    Leave(LeaveGroupRequest),
    /// Partitions that exist, in this version.
    Commit {
        version: i16,
        request: OffsetCommitRequest,
    },
    TxnCommit(TxnOffsetCommitRequest),
    Fetch {
        group: OffsetFetchRequestGroup,
        require_stable: bool,
    },
    Describe(GroupId),
    /// Groups in these states and of these types; empty: all.
    List {
        states: Vec<StrBytes>,
        types: Vec<StrBytes>,
    },
    Delete(GroupId),
    DeleteOffsets(OffsetDeleteRequest),
    /// `unique` makes the member's id, should it not bring one.
    ConsumerHeartbeat {
        caller: Caller,
        unique: Uuid,
        request: ConsumerGroupHeartbeatRequest,
    },
    ConsumerDescribe(GroupId),
    /// A transaction's marker is in the log (no reply).
    TransactionEnded {
        producer_id: i64,
        is_commit: bool,
    },
    /// Partitions are gone with their topics (no reply).
    PartitionsDeleted(Vec<TopicPartition>),
}

/// What the machine answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    Join(JoinGroupResponse),
    Sync(SyncGroupResponse),
    Heartbeat(HeartbeatResponse),
    /// Members in `members`, whatever the version.
    Leave(LeaveGroupResponse),
    Commit(OffsetCommitResponse),
    TxnCommit(TxnOffsetCommitResponse),
    Fetch(OffsetFetchResponseGroup),
    Describe {
        group: DescribedGroup,
        /// Why there is no such group, in words; from version 6 on that is an error (KIP-1043).
        not_found: Option<String>,
    },
    List(Vec<ListedGroup>),
    Delete(DeletableGroupResult),
    DeleteOffsets(OffsetDeleteResponse),
    ConsumerHeartbeat(ConsumerGroupHeartbeatResponse),
    ConsumerDescribe(Box<DescribedConsumerGroup>),
}

impl Reply {
    /// With the reason in words, where the reply has room for it.
    pub(crate) fn with_message(mut self, message: Option<String>) -> Self {
        match &mut self {
            Self::ConsumerHeartbeat(reply) => reply.error_message = message,
            Self::ConsumerDescribe(reply) => reply.error_message = message,
            _ => {}
        }
        self
    }
}

/// What the machine wants done, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    Reply { token: u64, reply: Reply },
    Append(Append),
}

/// A batch for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// Under which the outcome is to be told, once `offsets.commit.required.acks` are there; none for tombstones,
    /// which nobody waits for.
    pub ticket: Option<u64>,
    pub batch: Bytes,
}

/// An error code as messages have it; 0 is none.
pub(crate) fn code(error: Option<ErrorCode>) -> i16 {
    error.map_or(0, |error| error.code())
}

impl Request {
    /// The one group whose records it must wait for while they are on their way; none where it must not. A commit in a
    /// transaction is verified for the call that brings it, and whoever reads it waits for the transaction anyway.
    pub(crate) fn group(&self) -> Option<StrBytes> {
        let id = match self {
            Self::Join { request, .. } => &request.group_id,
            Self::Sync(request) => &request.group_id,
            Self::Heartbeat(request) => &request.group_id,
            Self::Leave(request) => &request.group_id,
            Self::Commit { request, .. } => &request.group_id,
            Self::Fetch { group, .. } => &group.group_id,
            Self::Describe(id) | Self::Delete(id) | Self::ConsumerDescribe(id) => id,
            Self::DeleteOffsets(request) => &request.group_id,
            Self::ConsumerHeartbeat { request, .. } => {
                return Some(StrBytes::from(request.group_id.clone()));
            }
            Self::TxnCommit(_)
            | Self::List { .. }
            | Self::TransactionEnded { .. }
            | Self::PartitionsDeleted(_) => return None,
        };
        Some(id.0.clone())
    }

    /// Whether the group id may be asked about (`GroupCoordinator.isValidGroupId`): those that only keep offsets may
    /// have an empty name.
    pub fn check(&self) -> Result<(), ErrorCode> {
        let id = match self {
            Self::Join { request, .. } => &request.group_id,
            Self::Sync(request) => &request.group_id,
            Self::Heartbeat(request) => &request.group_id,
            Self::Leave(request) => &request.group_id,
            Self::TxnCommit(request) => &request.group_id,
            Self::DeleteOffsets(request) => &request.group_id,
            Self::ConsumerDescribe(id) => id,
            _ => return Ok(()),
        };
        if id.is_empty() { Err(ErrorCode::InvalidGroupId) } else { Ok(()) }
    }

    /// The reply that says `error` and nothing else; none where no reply is due.
    pub fn refusal(&self, error: ErrorCode) -> Option<Reply> {
        let loading = error == ErrorCode::CoordinatorLoadInProgress;
        let code = error.code();
        Some(match self {
            Self::Join { request, .. } => Reply::Join(join_refusal(&request.member_id, error)),
            // Members find out by asking on; what they have stays theirs (`handleSyncGroup`, `handleHeartbeat`).
            Self::Sync(_) if loading => Reply::Sync(sync_refusal(ErrorCode::RebalanceInProgress)),
            Self::Sync(_) => Reply::Sync(sync_refusal(error)),
            Self::Heartbeat(_) if loading => Reply::Heartbeat(HeartbeatResponse::default()),
            Self::Heartbeat(_) => Reply::Heartbeat(HeartbeatResponse::default().with_error_code(code)),
            Self::Leave(_) => Reply::Leave(LeaveGroupResponse::default().with_error_code(code)),
            Self::Commit { request, .. } => Reply::Commit(commit_refusal(request, error)),
            Self::TxnCommit(request) => Reply::TxnCommit(txn_commit_refusal(request, error)),
            Self::Fetch { group, .. } => {
                let id = group.group_id.clone();
                Reply::Fetch(OffsetFetchResponseGroup::default().with_group_id(id).with_error_code(code))
            }
            Self::Describe(id) => Reply::Describe {
                group: DescribedGroup::default().with_group_id(id.clone()).with_error_code(code),
                not_found: None,
            },
            Self::List { .. } => Reply::List(Vec::new()),
            Self::Delete(id) => {
                Reply::Delete(DeletableGroupResult::default().with_group_id(id.clone()).with_error_code(code))
            }
            Self::DeleteOffsets(_) => {
                Reply::DeleteOffsets(OffsetDeleteResponse::default().with_error_code(code))
            }
            Self::ConsumerHeartbeat { .. } => Reply::ConsumerHeartbeat(ConsumerGroupHeartbeatResponse {
                error_code: code,
                ..Default::default()
            }),
            Self::ConsumerDescribe(id) => Reply::ConsumerDescribe(Box::new(DescribedConsumerGroup {
                error_code: code,
                group_id: id.to_string(),
                ..Default::default()
            })),
            Self::TransactionEnded { .. } | Self::PartitionsDeleted(_) => return None,
        })
    }
}

pub(crate) fn join_refusal(member_id: &StrBytes, error: ErrorCode) -> JoinGroupResponse {
    JoinGroupResponse::default()
        .with_error_code(error.code())
        .with_generation_id(-1)
        .with_protocol_name(None)
        .with_member_id(member_id.clone())
}

pub(crate) fn sync_refusal(error: ErrorCode) -> SyncGroupResponse {
    SyncGroupResponse::default().with_error_code(error.code())
}

pub(crate) fn commit_refusal(request: &OffsetCommitRequest, error: ErrorCode) -> OffsetCommitResponse {
    let topic = |topic: &jackdaw_wire::messages::offset_commit_request::OffsetCommitRequestTopic| {
        let partition = |p: &jackdaw_wire::messages::offset_commit_request::OffsetCommitRequestPartition| {
            OffsetCommitResponsePartition::default()
                .with_partition_index(p.partition_index)
                .with_error_code(error.code())
        };
        OffsetCommitResponseTopic::default()
            .with_name(topic.name.clone())
            .with_partitions(topic.partitions.iter().map(partition).collect())
    };
    OffsetCommitResponse::default().with_topics(request.topics.iter().map(topic).collect())
}

fn txn_commit_refusal(request: &TxnOffsetCommitRequest, error: ErrorCode) -> TxnOffsetCommitResponse {
    let topic = |topic: &jackdaw_wire::messages::txn_offset_commit_request::TxnOffsetCommitRequestTopic| {
        let partition =
            |p: &jackdaw_wire::messages::txn_offset_commit_request::TxnOffsetCommitRequestPartition| {
                TxnOffsetCommitResponsePartition::default()
                    .with_partition_index(p.partition_index)
                    .with_error_code(error.code())
            };
        TxnOffsetCommitResponseTopic::default()
            .with_name(topic.name.clone())
            .with_partitions(topic.partitions.iter().map(partition).collect())
    };
    TxnOffsetCommitResponse::default().with_topics(request.topics.iter().map(topic).collect())
}
