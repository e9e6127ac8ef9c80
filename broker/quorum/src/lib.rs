//! KRaft's quorum as a pure state machine: no clock, no socket, no file, no thread, no randomness of its own.
//!
//! Time, entropy (one seed), messages, the ends of flushes and evidence about peers come in through
//! [`Quorum::step`]; what is to be done goes out as [`Effect`]s, **to be carried out in order, each finished before
//! the next one begins**. That order is the whole durability argument: what a message promises (a vote, an epoch, a
//! truncated log) is persisted by an effect before the effect that sends it. The exception is [`Effect::Flush`],
//! which is only started; its end comes back as [`Input::Flushed`], and no offset counts before.
//!
//! The rules are those of Apache Kafka 3.7 (`KafkaRaftClient`, `QuorumState` and its states). What is intended to
//! differ is in [`evidence`] (earlier elections) and at `Leader::told` (the high watermark is told at once).

mod api;
mod candidate;
mod connection;
mod evidence;
mod follower;
mod inbound;
mod leader;
mod log_state;
mod machine;
mod messages;
mod responses;
mod serve;
mod state;
mod validate;

pub use api::{
    Appends, Config, Effect, ElectionState, Input, LeaderAndEpoch, NewAppend, QuorumError, Request, Response,
};
pub use log_state::{LogState, Validity};
pub use machine::Quorum;

#[cfg(test)]
mod tests;
