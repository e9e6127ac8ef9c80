//! Recovery: reads every batch that may not have reached the disk whole, cuts at the first that did not, and
//! rebuilds what is derived from batches (`LogSegment.recover`, `LogLoader.recoverLog`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use jackdaw_wire::batch::{BatchRef, HEADER_BYTES};

use crate::batch::{BatchFault, BatchMeta, is_legacy};
use crate::config::LogConfig;
use crate::disk::DiskFile;
use crate::epochs::EpochCache;
use crate::error::{AtPath, OpenError, StorageError};
use crate::index::{AbortedTxn, OffsetEntry, TimeEntry};
use crate::load::{Rebuild, apply};
use crate::log::{Doomed, OpenState};
use crate::names;
use crate::place::Place;
use crate::producer::{CompletedTxn, ProducerState};
use crate::segment::{Segment, TimestampOffset};
use crate::snapshots::Snapshots;

/// A transaction that ended, and the last stable offset after it.
pub(crate) struct EndedTxn {
    pub txn: CompletedTxn,
    pub last_stable_offset: i64,
}

pub(crate) struct Recovery<'a> {
    pub place: &'a Arc<Place>,
    pub config: &'a LogConfig,
    pub state: &'a OpenState,
    pub now_ms: i64,
    pub epochs: &'a mut EpochCache,
    pub snapshots: Snapshots,
    pub doomed: Vec<Doomed>,
}

/// No batch has an epoch before this one.
const NO_EPOCH: i32 = -1;
/// Read at once while scanning.
const CHUNK_BYTES: usize = 1 << 20;

impl Recovery<'_> {
    /// Rebuilds indexes that are missing or cannot be right, of segments that are not recovered anyway.
    pub fn repair_indexes(
        &mut self,
        segments: &BTreeMap<i64, Arc<Segment>>,
        missing: &BTreeSet<i64>,
    ) -> Result<(), OpenError> {
        let recovered_from = self.recovered_from(segments);
        for (base_offset, segment) in segments {
            if !self.state.clean_shutdown && *base_offset >= recovered_from {
                break;
            }
            if missing.contains(base_offset) || !segment.indexes_look_right()? {
                tracing::warn!("Rebuilding the indexes of {}", segment.path(names::LOG_SUFFIX).display());
                let mut producers = self.producers_before(segments, *base_offset)?;
                self.recover(segment, &mut producers, NO_EPOCH, &mut BTreeMap::new())?;
                // It lies before the recovery point: no later flush would think of it.
                for (path, file) in segment.files_to_sync(true)? {
                    file.sync().at("syncing", &path)?;
                }
            }
        }
        Ok(())
    }

    /// The base offset of the first segment that is recovered after an unclean stop: the one the recovery point
    /// lies in.
    fn recovered_from(&self, segments: &BTreeMap<i64, Arc<Segment>>) -> i64 {
        let floor = segments.range(..=self.state.recovery_point).next_back();
        floor.map_or(i64::MIN, |(base, _)| *base)
    }

    /// Checks the segments that may be torn. Where one lost something the rest goes: nothing behind a loss is part of
    /// the log.
    ///
    /// Offsets that are missing are no loss (`LogLoader.recoverLog`): compaction removes records, here or where this
    /// log was copied from, and a copy may have a gap at every roll. What is lost is known by checksums, by the size
    /// of a file (less than its index knows of it, see [`Segment::vouch_for_end`]), and by offsets or epochs that go
    /// back.
    pub fn recover_unflushed(&mut self, segments: &mut BTreeMap<i64, Arc<Segment>>) -> Result<(), OpenError> {
        let from = self.recovered_from(segments);
        let unflushed: Vec<_> = segments.range(from..).map(|(_, segment)| Arc::clone(segment)).collect();
        let Some(first) = unflushed.first() else { return Ok(()) };
        let mut producers = self.producers_before(segments, first.base_offset)?;
        let mut before: Option<Recovered> = None;
        for (number, segment) in unflushed.iter().enumerate() {
            let base = segment.base_offset;
            if let Some(before) = before.as_ref().filter(|before| base < before.next_offset) {
                tracing::warn!(
                    "[{}] Segment {base} begins before the end of the one before it, {}",
                    self.place.partition,
                    before.next_offset
                );
                return Ok(self.drop_from(segments, base)?);
            }
            tracing::info!("[{}] Recovering unflushed segment {base}", self.place.partition);
            let next = unflushed.get(number + 1).map(|next| next.base_offset);
            let lost_end = next.map_or(Ok(false), |next| segment.lost_its_end(next))?;
            if lost_end {
                // First of all: the index that knows of the loss is written anew.
                self.drop_from(segments, base + 1)?;
            }
            let last_epoch = before.as_ref().map_or(NO_EPOCH, |before| before.last_epoch);
            let recovered = self.recover(segment, &mut producers, last_epoch, segments)?;
            let is_behind_gap = before.is_some_and(|before| base > before.next_offset);
            if lost_end || recovered.truncated_bytes > 0 {
                tracing::warn!(
                    "[{}] Corruption found in segment {base}, truncating to offset {}",
                    self.place.partition,
                    recovered.next_offset
                );
                if is_behind_gap && segment.size_bytes() == 0 {
                    // A gap that no record lies behind is none: the log ends before it.
                    self.drop_from(segments, base)?;
                }
                return Ok(());
            }
            before = Some(recovered);
        }
        self.drop_empty_end(segments, from)
    }

    /// A power cut may take the end of a segment and leave the name of the next, where nothing was written yet: the
    /// log then ends before the gap, so that a follower asks for what is missing.
    fn drop_empty_end(
        &mut self,
        segments: &mut BTreeMap<i64, Arc<Segment>>,
        recovered_from: i64,
    ) -> Result<(), OpenError> {
        loop {
            let mut from_last = segments.range(recovered_from..).rev().map(|(_, segment)| segment);
            let (Some(last), Some(before)) = (from_last.next(), from_last.next()) else { return Ok(()) };
            let base = last.base_offset;
            if last.size_bytes() > 0 || before.next_offset()?.0 == base {
                return Ok(());
            }
            tracing::warn!("[{}] Segment {base} is empty, and lies behind a gap", self.place.partition);
            self.drop_from(segments, base)?;
        }
    }

    /// Takes segments out of the log, from the last on: an interruption leaves no hole.
    fn drop_from(
        &mut self,
        segments: &mut BTreeMap<i64, Arc<Segment>>,
        base_offset: i64,
    ) -> Result<(), StorageError> {
        let dropped = segments.split_off(&base_offset);
        if dropped.is_empty() {
            return Ok(());
        }
        let mut paths = Vec::new();
        for segment in dropped.values().rev() {
            segment.rename_files("", names::DELETED_SUFFIX)?;
            for suffix in names::SEGMENT_SUFFIXES {
                let name = names::segment_file(segment.base_offset, suffix);
                paths.push(self.place.path(&format!("{name}{}", names::DELETED_SUFFIX)));
            }
            paths.extend(self.snapshots.mark_deleted(segment.base_offset)?);
        }
        self.doomed
            .push(Doomed { paths, due_ms: self.now_ms.saturating_add(self.config.file_delete_delay_ms) });
        self.place.sync_folder()
    }

    /// Finds the log's end, and makes a first segment where there is none. A log that ends before its start is
    /// begun anew there.
    pub fn settle_end(&mut self, segments: &mut BTreeMap<i64, Arc<Segment>>) -> Result<i64, OpenError> {
        let start = self.state.log_start_offset;
        let mut end = None;
        if let Some(last) = segments.values().next_back().cloned() {
            let (mut next_offset, whole_bytes) = last.next_offset()?;
            if whole_bytes < last.size_bytes() {
                tracing::warn!("{} has a torn end", last.path(names::LOG_SUFFIX).display());
                let mut producers = self.producers_before(segments, last.base_offset)?;
                next_offset = self.recover(&last, &mut producers, NO_EPOCH, segments)?.next_offset;
            }
            end = Some(next_offset);
        }
        if let Some(too_early) = end.filter(|end| *end < start) {
            tracing::warn!(
                "[{}] Deleting all segments because logEndOffset ({too_early}) is smaller than logStartOffset {start}",
                self.place.partition
            );
            self.drop_from(segments, i64::MIN)?;
            self.epochs.clear();
            self.snapshots.remove_all()?;
            end = None;
        }
        if let Some(end) = end {
            return Ok(end);
        }
        let segment = Segment::create(Arc::clone(self.place), start, 0, self.now_ms)?;
        self.place.sync_folder()?;
        segments.insert(start, Arc::new(segment));
        Ok(start)
    }

    /// The producers as of the beginning of a segment.
    fn producers_before(
        &mut self,
        segments: &BTreeMap<i64, Arc<Segment>>,
        base_offset: i64,
    ) -> Result<ProducerState, StorageError> {
        let before: Vec<_> = segments.range(..base_offset).map(|(_, segment)| Arc::clone(segment)).collect();
        let mut producers = ProducerState::default();
        // Snapshots behind this segment may be from records that are about to be cut: they are made again.
        let rebuild = Rebuild {
            segments: &before,
            log_start_offset: self.state.log_start_offset,
            log_end_offset: base_offset,
            now_ms: self.now_ms,
            expiration_ms: self.state.producer_expiration_ms,
            partition: &self.place.partition,
        };
        rebuild.run(&mut producers, &mut self.snapshots, false)?;
        Ok(producers)
    }

    /// Reads a whole segment, cuts it where batches stop being right, rebuilds its indexes, and takes its batches
    /// into account (`LogSegment.recover`). Those of `segments` that lie behind a cut go.
    fn recover(
        &mut self,
        segment: &Segment,
        producers: &mut ProducerState,
        last_epoch: i32,
        segments: &mut BTreeMap<i64, Arc<Segment>>,
    ) -> Result<Recovered, OpenError> {
        segment.truncate_aborted(i64::MIN)?;
        if segment.is_known_empty() {
            // Most partitions of most brokers: nothing to open, nothing to check.
            return Ok(Recovered { truncated_bytes: 0, next_offset: segment.base_offset, last_epoch });
        }
        let mut books = Books::new(segment.base_offset, self.config.index_interval_bytes as u64);
        books.last_epoch = last_epoch;
        let mut scan = Scan::from(segment, 0)?;
        let mut fault = None;
        while let Some(next) = scan.next()? {
            let batch = match next.and_then(|batch| books.check(segment, batch)) {
                Ok(batch) => batch,
                Err(found) => {
                    fault = Some(found);
                    break;
                }
            };
            books.add(&batch.meta);
            self.epochs.assign_if_newer(batch.meta.leader_epoch, batch.meta.base_offset);
            if batch.meta.has_producer_id() {
                let body = batch.bytes.get(HEADER_BYTES..);
                for ended in apply(producers, &batch.meta, body, &self.place.partition) {
                    note_aborted(segment, &ended)?;
                }
            }
            producers.set_map_end_offset(batch.meta.last_offset + 1);
        }
        if let Some(fault) = &fault {
            if scan.is_legacy() {
                let why =
                    format!("{} holds message format v0 or v1", segment.path(names::LOG_SUFFIX).display());
                return Err(OpenError::Inconsistent { partition: self.place.partition.clone(), why });
            }
            let path = segment.path(names::LOG_SUFFIX);
            tracing::warn!(
                "Found invalid messages in {} at byte offset {}: {fault}",
                path.display(),
                books.bytes
            );
        }
        let truncated_bytes = segment.size_bytes() - books.bytes;
        let path = segment.path(names::LOG_SUFFIX);
        let file = segment.log_file()?;
        if truncated_bytes > 0 {
            // Before the cut: a start that is interrupted here would take it for a gap.
            self.drop_from(segments, segment.base_offset + 1)?;
            file.set_len(books.bytes).and_then(|()| file.sync()).at("truncating", &path)?;
        } else if segments.range(segment.base_offset + 1..).next().is_some() {
            // The index that vouches for its end is written anew.
            file.sync().at("syncing", &path)?;
        }
        books.finish();
        segment.rebuilt(books.bytes, &books.offsets, &books.times, books.max)?;
        self.snapshots.take(producers, true)?;
        Ok(Recovered { truncated_bytes, next_offset: books.next_offset, last_epoch: books.last_epoch })
    }
}

struct Recovered {
    truncated_bytes: u64,
    next_offset: i64,
    /// Of the last batch up to here.
    last_epoch: i32,
}

fn note_aborted(segment: &Segment, ended: &EndedTxn) -> Result<(), StorageError> {
    if !ended.txn.is_aborted {
        return Ok(());
    }
    segment.append_aborted(&AbortedTxn {
        producer_id: ended.txn.producer_id,
        first_offset: ended.txn.first_offset,
        last_offset: ended.txn.last_offset,
        last_stable_offset: ended.last_stable_offset,
    })
}

/// What is derived from the batches of a segment while it is scanned.
pub(crate) struct Books {
    base_offset: i64,
    interval_bytes: u64,
    bytes: u64,
    last_entry_at: u64,
    next_offset: i64,
    last_epoch: i32,
    max: TimestampOffset,
    pub offsets: Vec<OffsetEntry>,
    pub times: Vec<TimeEntry>,
}

pub(crate) struct ScannedBatch {
    pub meta: BatchMeta,
    pub bytes: Bytes,
}

impl Books {
    pub fn new(base_offset: i64, interval_bytes: u64) -> Self {
        Self {
            base_offset,
            interval_bytes,
            bytes: 0,
            last_entry_at: 0,
            next_offset: base_offset,
            last_epoch: NO_EPOCH,
            max: TimestampOffset { timestamp_ms: -1, offset: base_offset },
            offsets: Vec::new(),
            times: Vec::new(),
        }
    }

    /// Whether a batch with a right checksum may follow the ones before. One whose offset or epoch goes back is a
    /// remnant of a tail that was cut off before a crash.
    fn check(&self, segment: &Segment, batch: ScannedBatch) -> Result<ScannedBatch, BatchFault> {
        let offset = batch.meta.base_offset;
        if offset < self.next_offset || !segment.takes_offset(batch.meta.last_offset) {
            return Err(BatchFault::OffsetGoesBack { previous: self.next_offset - 1, offset });
        }
        if batch.meta.leader_epoch < self.last_epoch {
            return Err(BatchFault::EpochGoesBack {
                previous: self.last_epoch,
                epoch: batch.meta.leader_epoch,
            });
        }
        Ok(batch)
    }

    pub fn add(&mut self, meta: &BatchMeta) {
        if meta.max_timestamp_ms > self.max.timestamp_ms {
            self.max = TimestampOffset { timestamp_ms: meta.max_timestamp_ms, offset: meta.last_offset };
        }
        if self.bytes - self.last_entry_at > self.interval_bytes {
            let relative_offset = (meta.last_offset - self.base_offset) as u32;
            self.offsets.push(OffsetEntry { relative_offset, position: self.bytes as u32 });
            self.note_time();
            self.last_entry_at = self.bytes;
        }
        self.bytes += meta.size_bytes as u64;
        self.next_offset = meta.last_offset + 1;
        self.last_epoch = meta.leader_epoch;
    }

    fn note_time(&mut self) {
        let last = self.times.last().map_or(-1, |entry| entry.timestamp_ms);
        if self.max.timestamp_ms > last {
            let relative_offset = (self.max.offset - self.base_offset) as u32;
            self.times.push(TimeEntry { timestamp_ms: self.max.timestamp_ms, relative_offset });
        }
    }

    pub fn finish(&mut self) {
        self.note_time();
    }
}

/// Reads whole batches one after the other, and checks their checksums.
pub(crate) struct Scan {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    buffer: Bytes,
    /// Where in the file the buffer begins.
    position: u64,
    size: u64,
}

impl Scan {
    /// Begins at a batch's position.
    pub fn from(segment: &Segment, position: u64) -> Result<Self, StorageError> {
        let path = segment.path(names::LOG_SUFFIX);
        Ok(Self {
            file: segment.log_file()?,
            path,
            buffer: Bytes::new(),
            position,
            size: segment.size_bytes(),
        })
    }

    pub fn next(&mut self) -> Result<Option<Result<ScannedBatch, BatchFault>>, StorageError> {
        if self.position >= self.size {
            return Ok(None);
        }
        let meta = match self.parse(HEADER_BYTES)? {
            Ok(meta) => meta,
            Err(fault) => return Ok(Some(Err(fault))),
        };
        self.fill(meta.size_bytes)?;
        let checked = BatchRef::parse(&self.buffer).and_then(|batch| batch.check_crc().map(|()| batch.bytes));
        Ok(Some(match checked {
            Ok(bytes) => {
                self.buffer = self.buffer.slice(bytes.len()..);
                self.position += bytes.len() as u64;
                Ok(ScannedBatch { meta, bytes })
            }
            Err(fault) => Err(fault.into()),
        }))
    }

    fn parse(&mut self, needed: usize) -> Result<Result<BatchMeta, BatchFault>, StorageError> {
        self.fill(needed)?;
        Ok(BatchMeta::parse(&self.buffer))
    }

    /// Brings `needed` bytes into the buffer, or what is left of the file.
    fn fill(&mut self, needed: usize) -> Result<(), StorageError> {
        let left = self.size - self.position;
        if self.buffer.len() >= needed || self.buffer.len() as u64 >= left {
            return Ok(());
        }
        let wanted = left.min(needed.max(CHUNK_BYTES) as u64) as usize;
        let mut fresh = BytesMut::zeroed(wanted);
        let read = self.file.read_at(self.position, &mut fresh).at("reading", &self.path)?;
        fresh.truncate(read);
        self.buffer = fresh.freeze();
        Ok(())
    }

    fn is_legacy(&self) -> bool {
        is_legacy(&self.buffer)
    }
}
