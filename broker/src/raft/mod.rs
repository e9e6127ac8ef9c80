//! The metadata quorum of a running node: the shell of tokio around the pure machine of `jackdaw-quorum`.
//!
//! What belongs here: the metadata log folder, `quorum-state`, fsync, timers, and the clients to the voters.
//! What must not be here: rules of elections and replication (the machine has them) and the meaning of metadata
//! records (the loader and the controller have it).

mod handle;
mod options;

pub use handle::{
    AppendError, LeaderAndEpoch, RaftEvent, RaftHandle, RaftRequest, RaftResponse, SnapshotError,
};
pub use options::{RaftOptions, VoterAddress};
