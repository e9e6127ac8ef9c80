//! What the rest of the node sees of its quorum: one handle to ask, one stream of events to follow.
//!
//! The handle only passes messages to the driver task; it holds no state of the quorum itself.

pub use jackdaw_quorum::{LeaderAndEpoch, Request as RaftRequest, Response as RaftResponse};
use std::sync::Arc;

use jackdaw_wire::metadata_record::MetadataRecord;
use jackdaw_wire::types::OffsetAndEpoch;
use tokio::sync::{mpsc, oneshot, watch};

use super::error::RaftError;

/// The committed metadata log as it is told to subscribers, in log order and without gaps.
#[derive(Debug, Clone)]
pub enum RaftEvent {
    /// Throw the image away and start again from these records; the next `Committed` begins at `id.offset`.
    Snapshot { id: OffsetAndEpoch, last_contained_log_time_ms: i64, records: Vec<MetadataRecord> },
    /// One committed batch. Transaction markers are among the records; control batches (a leader change) have none,
    /// but still move the offset.
    Committed {
        base_offset: i64,
        last_offset: i64,
        epoch: i32,
        append_time_ms: i64,
        records: Vec<(i64, MetadataRecord)>,
    },
    /// Everything below this offset has been told.
    HighWatermark(i64),
    /// The leader changed. That this node leads is told only after every record that earlier epochs committed
    /// (`KafkaRaftClient.maybeFireLeaderChange`); `epoch` is then the one to append with.
    Leader(LeaderAndEpoch),
    /// Enough was appended since the last snapshot (`metadata.log.max.record.bytes.between.snapshots`): answer with
    /// `RaftHandle::write_snapshot` of the image as it is at this point of the stream. Only one subscriber needs to.
    SnapshotWanted { id: OffsetAndEpoch, last_contained_log_time_ms: i64 },
}

/// Why records were not appended. None of them is in the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    #[error("not the leader of epoch {epoch}; in epoch {} {} leads",
        .current.epoch, .current.leader.map_or_else(|| "nobody".to_owned(), |id| format!("node {id}")))]
    NotLeader { epoch: i32, current: LeaderAndEpoch },
    #[error("a batch of {size_bytes} bytes is larger than the {max_bytes} bytes that the metadata log takes")]
    TooLarge { size_bytes: usize, max_bytes: usize },
    #[error("a record cannot be written at metadata.version {metadata_version}: {reason}")]
    Unwritable { metadata_version: i16, reason: String },
    #[error("the quorum is stopped")]
    Stopped,
}

/// Why a snapshot was not written.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("snapshot {id} lies beyond the high watermark {high_watermark}")]
    Uncommitted { id: OffsetAndEpoch, high_watermark: i64 },
    #[error("epoch {} does not reach offset {}", .id.epoch, .id.offset)]
    EpochMismatch { id: OffsetAndEpoch },
    #[error("a record cannot be written at metadata.version {metadata_version}: {reason}")]
    Unwritable { metadata_version: i16, reason: String },
    #[error("snapshot file: {0}")]
    Io(#[from] std::io::Error),
    #[error("the quorum is stopped")]
    Stopped,
}

/// A message to the driver task.
pub(super) enum Command {
    Append {
        epoch: i32,
        metadata_version: i16,
        records: Vec<MetadataRecord>,
        reply: oneshot::Sender<Result<i64, AppendError>>,
    },
    Request {
        request: RaftRequest,
        reply: oneshot::Sender<RaftResponse>,
    },
    Subscribe {
        events: mpsc::Sender<RaftEvent>,
    },
    WriteSnapshot {
        id: OffsetAndEpoch,
        last_contained_log_time_ms: i64,
        metadata_version: i16,
        records: Vec<MetadataRecord>,
        reply: oneshot::Sender<Result<(), SnapshotError>>,
    },
    Resign {
        epoch: i32,
    },
    Shutdown {
        reply: oneshot::Sender<()>,
    },
}

/// A cheap handle on this node's quorum.
#[derive(Clone)]
pub struct RaftHandle {
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) leader: watch::Receiver<LeaderAndEpoch>,
    pub(super) outcome: watch::Receiver<Option<Result<(), Arc<RaftError>>>>,
    pub(super) node_id: i32,
}

impl RaftHandle {
    /// This node's id.
    pub fn node_id(&self) -> i32 {
        self.node_id
    }

    /// The current leader and epoch; changes as soon as the machine knows.
    pub fn leader(&self) -> watch::Receiver<LeaderAndEpoch> {
        self.leader.clone()
    }

    /// Appends the records as one atomic batch at this leader's log end, each in the highest version that
    /// `metadata_version` knows, and returns the offset of the last one. Appends are taken in call order (the
    /// message is queued when the future is first polled). That the batch is committed is told by
    /// `RaftEvent::Committed`; when the epoch ends first, it may be lost.
    pub async fn append(
        &self,
        epoch: i32,
        metadata_version: i16,
        records: Vec<MetadataRecord>,
    ) -> Result<i64, AppendError> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Append { epoch, metadata_version, records, reply };
        self.commands.send(command).await.map_err(|_| AppendError::Stopped)?;
        answer.await.unwrap_or(Err(AppendError::Stopped))
    }

    /// Steps down from `epoch`. Without effect when this node does not lead it (any more).
    pub async fn resign(&self, epoch: i32) {
        // A stopped quorum leads nothing: there is nothing left to resign from.
        let _ = self.commands.send(Command::Resign { epoch }).await;
    }

    /// Answers a request of the quorum's protocol; a Fetch waits up to its `max_wait_ms`. `None` once stopped.
    pub async fn handle_request(&self, request: RaftRequest) -> Option<RaftResponse> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Request { request, reply }).await.ok()?;
        answer.await.ok()
    }

    /// Follows the committed log from its beginning. The quorum never waits for a subscriber: a slow one is told
    /// later, from the log.
    pub async fn subscribe(&self, events: mpsc::Sender<RaftEvent>) {
        // A stopped quorum drops the sender, which ends the subscriber's stream.
        let _ = self.commands.send(Command::Subscribe { events }).await;
    }

    /// Writes a snapshot of the log up to `id` (exclusive). One that exists already is left as it is.
    pub async fn write_snapshot(
        &self,
        id: OffsetAndEpoch,
        last_contained_log_time_ms: i64,
        metadata_version: i16,
        records: Vec<MetadataRecord>,
    ) -> Result<(), SnapshotError> {
        let (reply, answer) = oneshot::channel();
        let command =
            Command::WriteSnapshot { id, last_contained_log_time_ms, metadata_version, records, reply };
        self.commands.send(command).await.map_err(|_| SnapshotError::Stopped)?;
        answer.await.unwrap_or(Err(SnapshotError::Stopped))
    }

    /// Waits until the quorum has stopped: as asked, or because of what no node can go on from; then the node must
    /// stop too.
    pub async fn stopped(&self) -> Result<(), Arc<RaftError>> {
        let mut outcome = self.outcome.clone();
        match outcome.wait_for(Option::is_some).await {
            Ok(ended) => ended.clone().unwrap_or(Ok(())),
            // The thread died without a word: a panic, which the log tells of.
            Err(_) => Err(Arc::new(RaftError::Thread(std::io::Error::other("the quorum's thread panicked")))),
        }
    }

    /// Hands leadership over where it can (EndQuorumEpoch, for a few seconds at most), flushes and stops.
    pub async fn shutdown(&self) {
        let (reply, answer) = oneshot::channel();
        if self.commands.send(Command::Shutdown { reply }).await.is_ok() {
            let _ = answer.await;
        }
    }
}
