//! What ends a node's quorum. All of it is fatal to the node: without its metadata log it can promise nothing.

use std::path::PathBuf;

use jackdaw_log::{OpenError, ReadError, StorageError};
use jackdaw_quorum::QuorumError;
use jackdaw_wire::OffsetAndEpoch;

/// Why the quorum could not start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum RaftError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Append(#[from] jackdaw_log::AppendError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("{operation} failed on {path}: {source}", path = .path.display())]
    Io { operation: &'static str, path: PathBuf, source: std::io::Error },
    /// `KafkaMetadataLog.recoverSnapshots`.
    #[error(
        "Inconsistent snapshot state: there must be a snapshot at an offset larger then the current log start offset {log_start}, but the latest snapshot is {}",
        .latest.map_or_else(|| "none".to_owned(), |latest| latest.to_string())
    )]
    InconsistentSnapshots { log_start: i64, latest: Option<OffsetAndEpoch> },
    #[error("the metadata log holds what is no record of it at offset {offset}: {reason}")]
    Undecodable { offset: i64, reason: String },
    #[error(transparent)]
    Quorum(#[from] QuorumError),
    #[error("the thread of the quorum could not be started: {0}")]
    Thread(std::io::Error),
}
