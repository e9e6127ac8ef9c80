//! Kafka's transaction coordinator, for one partition of `__transaction_state` (`TransactionCoordinator`,
//! `TransactionStateManager`, `TransactionMarkerChannelManager` of 3.7).
//!
//! Pure: no clock, no socket, no file, no randomness. Requests, loaded records, outcomes of appends and of markers
//! and the time go in; replies, records to append and markers to write come out ([`Effect`]). Whatever a reply
//! promises was appended and replicated before it; no marker leaves before the decision it tells.

mod coordinator;
mod end;
mod markers;
mod record;
mod requests;
mod state;
mod transaction;
mod upkeep;

pub use coordinator::{Coordinator, Now, Settings};
pub use markers::{MarkerOutcome, Markers};
pub use record::LoadError;
pub use requests::{AppendFailure, Described, Effect, Listed, Reply, Request};
pub use state::State;
