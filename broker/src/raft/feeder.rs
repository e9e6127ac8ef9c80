//! Tells one subscriber the committed log: snapshot, batches, who leads. Reads the log's files at the subscriber's
//! own pace, so that a slow one never holds up the quorum.

use bytes::Bytes;
use jackdaw_log::LogReader;
use jackdaw_wire::OffsetAndEpoch;
use jackdaw_wire::batch::{BatchRef, complete_batches};
use jackdaw_wire::metadata_record::MetadataRecord;
use tokio::sync::{mpsc, watch};

use super::error::RaftError;
use super::handle::{LeaderAndEpoch, RaftEvent};
use super::snapshots::{MAX_BATCH_BYTES, SnapshotFolder};
use super::storage::read_batches;
use crate::clock;

/// How much of the log is read at once.
const CHUNK_BYTES: usize = 1 << 20;

/// How far the quorum is; subscribers follow it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Progress {
    /// Everything below is committed.
    pub high_watermark: i64,
    pub leader: LeaderAndEpoch,
    /// Where this node's own epoch begins, while it leads.
    pub epoch_start: Option<i64>,
    pub latest_snapshot: Option<OffsetAndEpoch>,
}

/// When a snapshot is wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct SnapshotTrigger {
    pub max_bytes: u64,
    /// 0: never by time.
    pub max_interval_ms: u64,
}

pub(super) struct Feeder {
    pub reader: LogReader,
    pub snapshots: SnapshotFolder,
    pub progress: watch::Receiver<Progress>,
    pub events: mpsc::Sender<RaftEvent>,
    pub node_id: i32,
    pub trigger: SnapshotTrigger,
    next_offset: i64,
    told_mark: i64,
    told_leader: Option<LeaderAndEpoch>,
    bytes_since_snapshot: u64,
    last_snapshot: tokio::time::Instant,
    in_transaction: bool,
}

/// The subscriber is gone, or the log cannot be read.
enum End {
    Unsubscribed,
    Unreadable(RaftError),
}

impl From<RaftError> for End {
    fn from(error: RaftError) -> Self {
        End::Unreadable(error)
    }
}

impl Feeder {
    pub fn new(
        reader: LogReader,
        snapshots: SnapshotFolder,
        progress: watch::Receiver<Progress>,
        events: mpsc::Sender<RaftEvent>,
        node_id: i32,
        trigger: SnapshotTrigger,
    ) -> Self {
        Self {
            reader,
            snapshots,
            progress,
            events,
            node_id,
            trigger,
            next_offset: 0,
            told_mark: 0,
            told_leader: None,
            bytes_since_snapshot: 0,
            last_snapshot: clock::timer(),
            in_transaction: false,
        }
    }

    /// Runs until the subscriber or the quorum is gone.
    pub async fn run(mut self) -> Result<(), RaftError> {
        loop {
            let progress = self.progress.borrow_and_update().clone();
            match self.follow(&progress).await {
                Ok(()) => {}
                Err(End::Unsubscribed) => return Ok(()),
                Err(End::Unreadable(error)) => return Err(error),
            }
            if self.progress.changed().await.is_err() {
                return Ok(());
            }
        }
    }

    async fn tell(&self, event: RaftEvent) -> Result<(), End> {
        self.events.send(event).await.map_err(|_| End::Unsubscribed)
    }

    async fn follow(&mut self, progress: &Progress) -> Result<(), End> {
        while self.next_offset < progress.high_watermark {
            let latest = self.progress.borrow().latest_snapshot;
            let below_start = self.next_offset < self.reader.log_start_offset();
            match latest {
                Some(id) if (self.next_offset == 0 || below_start) && id.offset > self.next_offset => {
                    self.tell_snapshot(id).await?;
                }
                _ => self.tell_batches(progress.high_watermark).await?,
            }
        }
        if progress.high_watermark > self.told_mark {
            self.told_mark = progress.high_watermark;
            self.tell(RaftEvent::HighWatermark(progress.high_watermark)).await?;
        }
        self.tell_leader(progress).await
    }

    /// That this node leads is told only after the first batch of its epoch, and so after all that others committed.
    async fn tell_leader(&mut self, progress: &Progress) -> Result<(), End> {
        let leads = progress.leader.is_leader(self.node_id);
        let is_caught_up = progress.epoch_start.is_some_and(|start| self.next_offset > start);
        if self.told_leader == Some(progress.leader) || (leads && !is_caught_up) {
            return Ok(());
        }
        self.told_leader = Some(progress.leader);
        self.tell(RaftEvent::Leader(progress.leader)).await
    }

    async fn tell_snapshot(&mut self, id: OffsetAndEpoch) -> Result<(), End> {
        let content = match self.snapshots.load(id) {
            Ok(content) => content,
            // Removed since, for a newer one.
            Err(_) if self.progress.borrow().latest_snapshot != Some(id) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        self.next_offset = id.offset;
        self.bytes_since_snapshot = 0;
        self.in_transaction = false;
        let last_contained_log_time_ms = content.last_contained_log_time_ms;
        self.tell(RaftEvent::Snapshot { id, last_contained_log_time_ms, records: content.records }).await
    }

    async fn tell_batches(&mut self, high_watermark: i64) -> Result<(), End> {
        let read = read_batches(&self.reader, self.next_offset, high_watermark, CHUNK_BYTES);
        let records = match read {
            Ok(records) => records,
            // The log was cut from the front since: the next look finds the snapshot.
            Err(_) if self.next_offset < self.reader.log_start_offset() => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        // The last batch of a chunk may be cut off; it comes whole with the next chunk.
        for batch in complete_batches(&records) {
            let batch = batch.map_err(|error| undecodable(self.next_offset, &error))?;
            if batch.header.base_offset < self.next_offset {
                continue;
            }
            let event = decode(&batch)?;
            self.note(&event, batch.bytes.len());
            self.next_offset = batch.header.next_offset();
            let (epoch, time_ms) = (batch.header.partition_leader_epoch, batch.header.max_timestamp);
            self.tell(event).await?;
            self.maybe_want_snapshot(epoch, time_ms).await?;
        }
        Ok(())
    }

    fn note(&mut self, event: &RaftEvent, size_bytes: usize) {
        self.bytes_since_snapshot += size_bytes as u64;
        if let RaftEvent::Committed { records, .. } = event {
            for (_, record) in records {
                match record {
                    MetadataRecord::BeginTransaction(_) => self.in_transaction = true,
                    MetadataRecord::EndTransaction(_) | MetadataRecord::AbortTransaction(_) => {
                        self.in_transaction = false;
                    }
                    _ => {}
                }
            }
        }
    }

    /// `SnapshotGenerator`: by bytes or by time, and never inside a transaction, which a snapshot cannot show.
    async fn maybe_want_snapshot(&mut self, epoch: i32, last_contained_log_time_ms: i64) -> Result<(), End> {
        let interval = std::time::Duration::from_millis(self.trigger.max_interval_ms);
        let is_due = !interval.is_zero() && self.last_snapshot.elapsed() >= interval;
        if self.in_transaction || !(self.bytes_since_snapshot >= self.trigger.max_bytes || is_due) {
            return Ok(());
        }
        self.bytes_since_snapshot = 0;
        self.last_snapshot = clock::timer();
        let id = OffsetAndEpoch::new(self.next_offset, epoch);
        self.tell(RaftEvent::SnapshotWanted { id, last_contained_log_time_ms }).await
    }
}

fn undecodable(offset: i64, reason: &dyn std::fmt::Display) -> RaftError {
    RaftError::Undecodable { offset, reason: reason.to_string() }
}

/// A batch of the log as an event.
fn decode(batch: &BatchRef) -> Result<RaftEvent, RaftError> {
    let header = &batch.header;
    let mut records = Vec::new();
    if !header.is_control() {
        let mut scratch = Vec::new();
        let found = batch.records(MAX_BATCH_BYTES, &mut scratch);
        for (at, record) in found.map_err(|error| undecodable(header.base_offset, &error))?.enumerate() {
            let offset = header.base_offset + at as i64;
            let record = record.map_err(|error| undecodable(offset, &error))?;
            let value = Bytes::copy_from_slice(record.value.unwrap_or_default());
            records
                .push((offset, MetadataRecord::decode(value).map_err(|error| undecodable(offset, &error))?));
        }
    }
    Ok(RaftEvent::Committed {
        base_offset: header.base_offset,
        last_offset: header.last_offset(),
        epoch: header.partition_leader_epoch,
        append_time_ms: header.max_timestamp,
        records,
    })
}
