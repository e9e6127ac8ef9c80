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
                self.recover(segment, &mut producers)?;
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

    /// Checks the segments that may be torn. Where one had to be cut, or where records are missing between two, the
    /// rest goes: nothing behind a hole is part of the log.
    pub fn recover_unflushed(&mut self, segments: &mut BTreeMap<i64, Arc<Segment>>) -> Result<(), OpenError> {
        let from = self.recovered_from(segments);
        let unflushed: Vec<_> = segments.range(from..).map(|(_, segment)| Arc::clone(segment)).collect();
        let Some(first) = unflushed.first() else { return Ok(()) };
        let mut producers = self.producers_before(segments, first.base_offset)?;
        let mut before: Option<(i64, i64)> = None;
        for segment in &unflushed {
            let base = segment.base_offset;
            // Only compaction leaves a hole that is none.
            let may_have_hole = |before: i64| before < self.state.cleaned_to;
            let follows =
                before.is_none_or(|(before, end)| base == end || (base > end && may_have_hole(before)));
            if !follows {
                tracing::warn!(
                    "[{}] Segment {base} does not follow the records before it",
                    self.place.partition
                );
                self.drop_from(segments, base)?;
                return Ok(());
            }
            tracing::info!("[{}] Recovering unflushed segment {base}", self.place.partition);
            let recovered = self.recover(segment, &mut producers)?;
            before = Some((base, recovered.next_offset));
            if recovered.truncated_bytes > 0 {
                tracing::warn!(
                    "[{}] Corruption found in segment {base}, truncating to offset {}",
                    self.place.partition,
                    recovered.next_offset
                );
                self.drop_from(segments, base + 1)?;
                return Ok(());
            }
        }
        Ok(())
    }

    /// Takes segments out of the log.
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
        for segment in dropped.values() {
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
                next_offset = self.recover(&last, &mut producers)?.next_offset;
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
    /// into account (`LogSegment.recover`).
    fn recover(&mut self, segment: &Segment, producers: &mut ProducerState) -> Result<Recovered, OpenError> {
        segment.truncate_aborted(i64::MIN)?;
        if segment.is_known_empty() {
            // Most partitions of most brokers: nothing to open, nothing to check.
            return Ok(Recovered { truncated_bytes: 0, next_offset: segment.base_offset });
        }
        let mut books = Books::new(segment.base_offset, self.config.index_interval_bytes as u64);
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
        if truncated_bytes > 0 {
            let path = segment.path(names::LOG_SUFFIX);
            let file = segment.log_file()?;
            file.set_len(books.bytes).and_then(|()| file.sync()).at("truncating", &path)?;
        }
        books.finish();
        segment.rebuilt(books.bytes, &books.offsets, &books.times, books.max)?;
        self.snapshots.take(producers, true)?;
        Ok(Recovered { truncated_bytes, next_offset: books.next_offset })
    }
}

struct Recovered {
    truncated_bytes: u64,
    next_offset: i64,
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
            last_epoch: -1,
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
