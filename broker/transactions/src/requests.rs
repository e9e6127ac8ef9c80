//! What is asked of a coordinator, and what it says and wants done.

use std::collections::BTreeSet;

use bytes::Bytes;
use jackdaw_wire::{ErrorCode, TopicPartition};

use crate::markers::{MarkerOutcome, Markers};
use crate::state::State;

/// A request, as far as a coordinator must know of it. What every version means alike is one thing here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    InitProducerId {
        transactional_id: String,
        timeout_ms: i32,
        /// Who the producer says it is (KIP-360).
        expected: Option<(i64, i16)>,
        /// An id that nobody has, where one was asked for by [`Reply::NeedsProducerId`].
        fresh_id: Option<i64>,
    },
    /// AddPartitionsToTxn, and AddOffsetsToTxn with the partition of the group's offsets.
    AddPartitions {
        transactional_id: String,
        producer_id: i64,
        producer_epoch: i16,
        partitions: BTreeSet<TopicPartition>,
    },
    /// Whether partitions are part of the transaction; changes nothing (KIP-890).
    Verify {
        transactional_id: String,
        producer_id: i64,
        producer_epoch: i16,
        partitions: BTreeSet<TopicPartition>,
    },
    End {
        transactional_id: String,
        producer_id: i64,
        producer_epoch: i16,
        commits: bool,
    },
    Describe {
        transactional_id: String,
    },
    List {
        /// Empty: all.
        producer_ids: BTreeSet<i64>,
        /// None: all.
        states: Option<BTreeSet<State>>,
    },
    /// What became of [`Effect::WriteMarkers`]. Nobody waits for an answer.
    MarkersWritten {
        transactional_id: String,
        /// Of the markers.
        coordinator_epoch: i32,
        outcomes: Vec<(TopicPartition, MarkerOutcome)>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    ProducerId {
        producer_id: i64,
        producer_epoch: i16,
    },
    /// The request has to be asked again, with a fresh producer id.
    NeedsProducerId,
    Done,
    /// The partitions that are not part of the transaction.
    Verified(Vec<TopicPartition>),
    Described(Described),
    Listed(Vec<Listed>),
    Error(ErrorCode),
}

/// One transaction, for DescribeTransactions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    pub state: State,
    pub timeout_ms: i32,
    /// -1 where none has begun.
    pub start_ms: i64,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub partitions: BTreeSet<TopicPartition>,
}

/// One transaction, for ListTransactions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub transactional_id: String,
    pub producer_id: i64,
    pub state: State,
}

/// Why an append failed, as a coordinator's client is told of it (`appendTransactionToLog`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppendFailure(pub ErrorCode);

impl AppendFailure {
    /// From what a producer would have been told.
    pub fn of(error: ErrorCode) -> Self {
        use ErrorCode as E;
        Self(match error {
            E::UnknownTopicOrPartition
            | E::NotEnoughReplicas
            | E::NotEnoughReplicasAfterAppend
            | E::RequestTimedOut => E::CoordinatorNotAvailable,
            E::NotLeaderOrFollower | E::KafkaStorageError => E::NotCoordinator,
            E::MessageTooLarge | E::RecordListTooLarge => E::UnknownServerError,
            other => other,
        })
    }
}

/// What a coordinator wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    Reply {
        token: u64,
        reply: Reply,
    },
    /// To its own partition, all together, by all of the ISR; no value is a tombstone. The outcome is to be told.
    Append {
        ticket: u64,
        records: Vec<(Bytes, Option<Bytes>)>,
        timeout_ms: i32,
    },
    WriteMarkers(Markers),
}
