//! One partition's replication state: leader and follower, log end, high watermark, ISR and fencing.
//!
//! Pure: no clock, no socket, no file, no thread, no randomness. Times and offsets come in as arguments, and what
//! must be done outside comes back as a value. It keeps no records; it only knows offsets and epochs.
//!
//! The rules are those of Kafka 3.7's `Partition`, `Replica` and `AbstractFetcherThread` (KIP-101, KIP-279,
//! KIP-497, KIP-595's truncation on fetch, KIP-903's broker epochs).

pub mod brokers;
pub mod follower;
pub mod isr;
pub mod leader;
pub mod remote;
pub mod replica;

pub use brokers::{BrokerView, Brokers};
pub use follower::{FetchState, FetchedPartition, FollowerState, OutOfRange, Step, TruncationTarget};
pub use isr::{AlterOutcome, BrokerState, CommittedIsr, Proposal};
pub use leader::{Effects, FollowerFetch, FollowerRefusal, LeaderState};
pub use remote::RemoteReplica;
pub use replica::{
    AppendRefusal, BecameFollower, BecameLeader, Isolation, OffsetBounds, Registration, Replica, Role,
};

/// An offset that is not known (`UnifiedLog.UnknownOffset`).
pub const UNKNOWN_OFFSET: i64 = -1;
/// An epoch that is not known (`RecordBatch.NO_PARTITION_LEADER_EPOCH`).
pub const UNKNOWN_EPOCH: i32 = -1;
/// The leader of a partition that has none.
pub const NO_LEADER: i32 = -1;
