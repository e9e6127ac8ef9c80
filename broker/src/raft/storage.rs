//! What the quorum keeps on the disk: the metadata log, its snapshots and `quorum-state`, in the folder
//! `__cluster_metadata-0` (`KafkaMetadataLog`, `FileBasedStateStore`).
//!
//! All of it blocks; it is used from the quorum's own thread only. No rule of the quorum is decided here.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use jackdaw_log::{
    Disk, FlushPlan, FlushTicket, Log, LogConfig, LogReader, OpenState, QuorumState, QuorumStateStore,
};
use jackdaw_quorum::{ElectionState, LogState};
use jackdaw_wire::OffsetAndEpoch;
use jackdaw_wire::segment::Segment;
use jackdaw_wire::types::{METADATA_TOPIC_ID, TopicPartition};

use super::error::RaftError;
use super::options::RaftOptions;
use super::snapshots::{MAX_BATCH_BYTES, PartialSnapshot, SnapshotFolder};

pub(super) struct Storage {
    log: Log,
    pub reader: LogReader,
    pub snapshots: SnapshotFolder,
    kept: Vec<(OffsetAndEpoch, u64)>,
    state: QuorumStateStore,
    voters: Vec<i32>,
    download: Option<PartialSnapshot>,
    retention_bytes: i64,
    retention_ms: i64,
    unique: u64,
}

/// What was found: the election that `quorum-state` tells of with the voters it names, and the log.
pub(super) type Found = (Option<(ElectionState, Vec<i32>)>, LogState);

fn log_config(options: &RaftOptions) -> LogConfig {
    LogConfig {
        segment_bytes: i32::try_from(options.segment_bytes).unwrap_or(i32::MAX),
        segment_ms: i64::try_from(options.segment_ms).unwrap_or(i64::MAX),
        max_message_bytes: MAX_BATCH_BYTES as i32,
        // Snapshots decide what goes, never age or size alone.
        retention_bytes: -1,
        retention_ms: -1,
        ..LogConfig::default()
    }
}

/// The folder of the metadata log below `metadata.log.dir`.
pub(super) fn metadata_folder(metadata_log_dir: &Path) -> PathBuf {
    metadata_log_dir.join(jackdaw_log::names::live_folder(&TopicPartition::cluster_metadata()))
}

impl Storage {
    /// Opens what is there, recovering the log in full as Kafka does at every start; everything kept is on the disk
    /// afterwards.
    pub fn open(disk: Arc<dyn Disk>, options: &RaftOptions, now_ms: i64) -> Result<(Self, Found), RaftError> {
        let folder = metadata_folder(&options.metadata_log_dir);
        let partition = TopicPartition::cluster_metadata();
        let config = Arc::new(log_config(options));
        let unclean = OpenState::default();
        let mut log = Log::open(Arc::clone(&disk), &folder, partition, config, unclean, now_ms)?;
        if log.topic_id().is_none() {
            log.assign_topic_id(METADATA_TOPIC_ID)?;
        }
        let snapshots = SnapshotFolder::new(Arc::clone(&disk), &folder);
        let kept = snapshots.recover(log.log_start_offset())?;
        let mut voters: Vec<i32> = options.voters.iter().map(|voter| voter.id).collect();
        voters.sort_unstable();
        let mut storage = Self {
            reader: log.reader(),
            log,
            snapshots,
            kept,
            state: QuorumStateStore::new(disk, &folder),
            voters,
            download: None,
            retention_bytes: options.retention_bytes,
            retention_ms: options.retention_ms,
            // Only has to differ from what a crash left, and that was removed above.
            unique: now_ms.unsigned_abs(),
        };
        storage.take_over_newer_snapshot(now_ms)?;
        storage.log.flush()?;
        let persisted = storage.state.read()?.map(|state| {
            let election =
                ElectionState { epoch: state.leader_epoch, leader: state.leader_id, voted: state.voted_id };
            (election, state.voters)
        });
        let found = (persisted, storage.log_state());
        Ok((storage, found))
    }

    /// A crash between the end of a download and the emptying of the log (`KafkaMetadataLog.apply`).
    fn take_over_newer_snapshot(&mut self, now_ms: i64) -> Result<(), RaftError> {
        let Some(&(latest, size_bytes)) = self.kept.last() else { return Ok(()) };
        let log_epoch = self.log.latest_epoch().unwrap_or(0);
        let is_newer = latest.epoch > log_epoch
            || (latest.epoch == log_epoch && latest.offset > self.log.log_end_offset());
        if is_newer {
            self.empty_at(latest, size_bytes, now_ms)?;
        }
        Ok(())
    }

    fn log_state(&self) -> LogState {
        LogState {
            start_offset: self.log.log_start_offset(),
            end_offset: self.log.log_end_offset(),
            flushed_offset: self.log.log_end_offset(),
            epochs: self
                .log
                .epochs()
                .entries()
                .iter()
                .map(|entry| (entry.epoch, entry.start_offset))
                .collect(),
            snapshots: self.kept.iter().copied().collect(),
        }
    }

    pub fn latest_snapshot(&self) -> Option<OffsetAndEpoch> {
        self.kept.last().map(|(id, _)| *id)
    }

    pub fn has_snapshot(&self, id: OffsetAndEpoch) -> bool {
        self.kept.iter().any(|(kept, _)| *kept == id)
    }

    /// Durable on return.
    pub fn persist(&self, election: ElectionState) -> Result<(), RaftError> {
        let state = QuorumState {
            leader_epoch: election.epoch,
            leader_id: election.leader,
            voted_id: election.voted,
            voters: self.voters.clone(),
        };
        Ok(self.state.write(&state)?)
    }

    /// Appends batches that carry their offsets and epoch.
    pub fn append(&mut self, records: &Bytes, now_ms: i64) -> Result<(), RaftError> {
        self.log.append_follower(records, now_ms)?;
        Ok(())
    }

    pub fn truncate(&mut self, end_offset: i64, now_ms: i64) -> Result<(), RaftError> {
        self.log.truncate_to(end_offset, now_ms)?;
        Ok(())
    }

    pub fn flush_plan(&self) -> Result<FlushPlan, RaftError> {
        Ok(self.log.flush_plan()?)
    }

    pub fn flushed(&mut self, ticket: &FlushTicket) {
        self.log.flushed(ticket);
    }

    pub fn flush_now(&mut self) -> Result<(), RaftError> {
        Ok(self.log.flush()?)
    }

    pub fn high_watermark_moved(&mut self, mark: i64) {
        self.log.high_watermark_moved(mark);
    }

    /// Whole batches of `[offset, end)`, at most `max_bytes` unless the first is larger.
    pub fn read(&self, offset: i64, end: i64, max_bytes: i32) -> Result<Bytes, RaftError> {
        read_batches(&self.reader, offset, end, usize::try_from(max_bytes).unwrap_or(0))
    }

    pub fn write_chunk(&mut self, id: OffsetAndEpoch, position: i64, bytes: &[u8]) -> Result<(), RaftError> {
        if position == 0 {
            self.unique += 1;
            self.download = Some(self.snapshots.begin(id, self.unique)?);
        }
        match &mut self.download {
            Some(partial) if partial.id == id => partial.append(bytes),
            _ => Ok(()),
        }
    }

    /// The downloaded snapshot becomes the log.
    pub fn restart_at(&mut self, id: OffsetAndEpoch, now_ms: i64) -> Result<(), RaftError> {
        let Some(partial) = self.download.take() else { return Ok(()) };
        let size_bytes = partial.finish()?;
        self.empty_at(id, size_bytes, now_ms)
    }

    fn empty_at(&mut self, id: OffsetAndEpoch, size_bytes: u64, now_ms: i64) -> Result<(), RaftError> {
        self.log.truncate_fully_and_start_at(id.offset, now_ms)?;
        self.log.flush()?;
        for (old, _) in std::mem::replace(&mut self.kept, vec![(id, size_bytes)]) {
            if old != id {
                self.snapshots.remove(old)?;
            }
        }
        Ok(())
    }

    /// A number for the name of the next snapshot's `.part` file.
    pub fn next_unique(&mut self) -> u64 {
        self.unique += 1;
        self.unique
    }

    pub fn snapshot_written(&mut self, id: OffsetAndEpoch, size_bytes: u64) {
        self.kept.push((id, size_bytes));
        self.kept.sort_unstable();
    }

    /// Removes the oldest snapshots, and what they stand for, while there is a newer one and they are too old or all
    /// is too large (`KafkaMetadataLog.maybeClean`). Returns the new start of the log, if it moved.
    pub fn clean(&mut self, now_ms: i64, high_watermark: i64) -> Result<Option<i64>, RaftError> {
        let mut log_start = None;
        while let [(oldest, oldest_bytes), (next, _), ..] = self.kept.as_slice() {
            let (oldest, oldest_bytes, next) = (*oldest, *oldest_bytes, *next);
            let snapshot_bytes: u64 = self.kept.iter().map(|(_, size_bytes)| size_bytes).sum();
            let total_bytes = self.log.size_bytes() + snapshot_bytes;
            let too_large = u64::try_from(self.retention_bytes).is_ok_and(|limit| total_bytes > limit);
            let too_old = self.retention_ms >= 0 && {
                let written_ms = self.snapshots.load(oldest)?.last_contained_log_time_ms;
                now_ms - written_ms > self.retention_ms
            };
            if !(too_large || too_old) || next.offset > high_watermark {
                break;
            }
            tracing::debug!(target: "kafka.raft", "removing snapshot {oldest} of {oldest_bytes} bytes");
            if self.log.advance_log_start(next.offset)? {
                log_start = Some(next.offset);
            }
            self.log.enforce_retention(now_ms, high_watermark)?;
            self.kept.remove(0);
            self.snapshots.remove(oldest)?;
        }
        self.log.remove_doomed(now_ms)?;
        Ok(log_start)
    }

    pub fn close(&mut self) -> Result<(), RaftError> {
        Ok(self.log.close_clean()?)
    }
}

/// Reads batches into memory.
pub(super) fn read_batches(
    reader: &LogReader,
    offset: i64,
    end: i64,
    max_bytes: usize,
) -> Result<Bytes, RaftError> {
    let found = reader.read(offset, max_bytes, end, true)?;
    if let [Segment::Bytes(bytes)] = found.records.as_slice() {
        return Ok(bytes.clone());
    }
    let mut out = BytesMut::with_capacity(found.size_bytes);
    for piece in &found.records {
        match piece {
            Segment::Bytes(bytes) => out.extend_from_slice(bytes),
            Segment::File { file, offset, len } => {
                let from = out.len();
                out.resize(from + len, 0);
                std::os::unix::fs::FileExt::read_exact_at(&**file, &mut out[from..], *offset).map_err(
                    |source| {
                        let path = reader.partition().to_string().into();
                        RaftError::Io { operation: "reading", path, source }
                    },
                )?;
            }
        }
    }
    Ok(out.freeze())
}
