//! The metadata quorum of a running node: the shell of tokio around the pure machine of `jackdaw-quorum`.
//!
//! What belongs here: the metadata log folder, `quorum-state`, fsync, timers, and the clients to the voters.
//! What must not be here: rules of elections and replication (the machine has them) and the meaning of metadata
//! records (the loader and the controller have it).

mod driver;
mod error;
mod feeder;
mod handle;
mod options;
mod peers;
mod serve;
mod snapshots;
mod storage;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use jackdaw_log::Disk;
use jackdaw_quorum::{Config, Quorum};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

pub use error::RaftError;
pub use handle::{
    AppendError, LeaderAndEpoch, RaftEvent, RaftHandle, RaftRequest, RaftResponse, SnapshotError,
};
pub use options::{RaftOptions, VoterAddress};

use crate::net::Resolver;
use driver::{Driver, Parts};
use feeder::SnapshotTrigger;
use peers::Peers;
use storage::{Found, Storage};

/// Commands that wait for the quorum's thread before callers wait.
const COMMAND_QUEUE: usize = 1_024;
const EVENT_QUEUE: usize = 256;

/// Opens the metadata log below `options.metadata_log_dir`, recovers it and starts this node's part in the quorum,
/// as a voter or as an observer. Returns when the log is open; elections follow.
///
/// # Errors
/// What is on the disk cannot be read or contradicts the configuration.
pub async fn start(
    options: RaftOptions,
    disk: Arc<dyn Disk>,
    resolver: Arc<Resolver>,
) -> Result<RaftHandle, RaftError> {
    let now_ms = crate::clock::wall().0;
    let (storage, found, options) = tokio::task::spawn_blocking(move || {
        Storage::open(disk, &options, now_ms).map(|(storage, found)| (storage, found, options))
    })
    .await
    .map_err(|error| RaftError::Thread(std::io::Error::other(error)))??;
    run(storage, found, &options, &resolver, now_ms)
}

fn machine_config(options: &RaftOptions) -> Config {
    let ms = |value: u64| i64::try_from(value).unwrap_or(i64::MAX / 4);
    let voters = options.voters.iter().map(|voter| voter.id);
    Config {
        election_timeout_ms: ms(options.election_timeout_ms),
        fetch_timeout_ms: ms(options.fetch_timeout_ms),
        election_backoff_max_ms: ms(options.election_backoff_max_ms),
        request_timeout_ms: ms(options.request_timeout_ms),
        retry_backoff_ms: ms(options.retry_backoff_ms),
        random_seed: rand::random(),
        ..Config::new(options.node_id, voters, options.cluster_id.clone())
    }
}

fn run(
    storage: Storage,
    (persisted, log): Found,
    options: &RaftOptions,
    resolver: &Arc<Resolver>,
    now_ms: i64,
) -> Result<RaftHandle, RaftError> {
    let quorum = Quorum::new(machine_config(options), persisted, log, now_ms)?;
    let (commands, command_queue) = mpsc::channel(COMMAND_QUEUE);
    let events = mpsc::channel(EVENT_QUEUE);
    let leader = watch::Sender::new(quorum.leader_and_epoch());
    let leader_seen = leader.subscribe();
    let runtime = Handle::current();
    let driver = Driver::new(Parts {
        node_id: options.node_id,
        quorum,
        storage,
        now_ms,
        commands: command_queue,
        peers: Peers::new(options, resolver, events.0.clone(), runtime.clone()),
        events,
        runtime,
        leader,
        trigger: SnapshotTrigger {
            max_bytes: options.max_bytes_between_snapshots,
            max_interval_ms: options.max_snapshot_interval_ms,
        },
    })?;
    let (outcome, outcome_seen) = watch::channel(None);
    let node_id = options.node_id;
    // Timers of its own: the thread must end in order also when the node's runtime goes first.
    let timers =
        tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(RaftError::Thread)?;
    let body = move || {
        let ended = timers.block_on(driver.run()).map_err(Arc::new);
        if let Err(error) = &ended {
            tracing::error!(target: "kafka.raft", "[RaftManager id={node_id}] stopped: {error}");
        }
        outcome.send_replace(Some(ended));
    };
    let thread = std::thread::Builder::new().name(format!("raft-{node_id}"));
    thread.spawn(body).map_err(RaftError::Thread)?;
    Ok(RaftHandle { commands, leader: leader_seen, outcome: outcome_seen, node_id })
}
