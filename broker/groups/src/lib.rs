//! Consumer groups: of the classic protocol, as Kafka 3.7's `GroupCoordinator` has them, and of the consumer protocol
//! ([`consumer`]), as Kafka 4.1's has them. One [`Groups`] coordinates the groups of one partition of
//! `__consumer_offsets`.
//!
//! No clock, no randomness, no I/O: requests with tokens, append outcomes, loaded records and the time go in;
//! [`Effect`]s come out. What must be durable first is promised only after its append is known to be committed.
//! Which broker coordinates a group, and how a record reaches the log, is not known here.

mod admin;
mod api;
mod commit;
mod consumer;
mod expire;
mod group;
mod join;
mod load;
mod machine;
mod member;
mod membership;
mod offsets;
mod rebalance;
mod record;
mod settings;
mod subscription;
mod sync;
mod topics;

pub use api::{Append, Caller, Config, Effect, Reply, Request};
pub use consumer::{Assignor, ConsumerConfig, MigrationPolicy};
pub use group::GroupState;
pub use load::{LoadError, RecordPlace};
pub use machine::{Groups, of_offset_write};
pub use offsets::{CommittedOffset, TopicPartition};
pub use settings::{GroupSettings, OwnSettings};
pub use topics::{Topic, Topics};
