//! Appending: checks, rolls, one vectored write per run of batches, then the books
//! (`UnifiedLog.append`, `LogSegment.shouldRoll`).

use std::io::IoSlice;
use std::sync::Arc;

use bytes::Bytes;
use jackdaw_wire::batch::{HEADER_BYTES, complete_batches};
use jackdaw_wire::validate::{AppendOrigin, StampedBatch};

use crate::batch::BatchMeta;
use crate::cut::Extent;
use crate::epochs::EpochCache;
use crate::error::{AppendError, AtPath, StorageError};
use crate::index::{AbortedTxn, Entry, OffsetEntry, TimeEntry};
use crate::log::{AppendInfo, Checked, Incoming, Log};
use crate::producer::{Origin, Updates, VerificationGuard};
use crate::reader::OffsetPosition;
use crate::segment::{Segment, Tail};

impl Log {
    /// Appends batches that were validated and stamped with offsets from [`Log::log_end_offset`] on. They are written
    /// as they are, header and body; the batches of one call succeed or fail together.
    ///
    /// `guard` is what [`Log::start_verification`] gave before the coordinator was asked, where it gave one.
    ///
    /// # Errors
    /// Producer state (`Client` and `Coordinator`), and `LargerThanSegment`. After an error other than storage's
    /// the log is as it was.
    pub fn append_leader(
        &mut self,
        batches: &[StampedBatch],
        origin: AppendOrigin,
        guard: Option<VerificationGuard>,
        now_ms: i64,
    ) -> Result<AppendInfo, AppendError> {
        let origin = Origin::from(origin);
        let incoming: Vec<_> = batches
            .iter()
            .map(|batch| Incoming {
                meta: BatchMeta::from(&batch.info),
                header: &batch.header,
                body: &batch.body,
            })
            .collect();
        let size_bytes: usize = incoming.iter().map(|batch| batch.meta.size_bytes).sum();
        let limit_bytes = self.config.segment_bytes as u64;
        if size_bytes as u64 > limit_bytes {
            let partition = self.partition().clone();
            return Err(AppendError::LargerThanSegment {
                size_bytes: size_bytes as u64,
                limit_bytes,
                partition,
            });
        }
        self.check_offsets(&incoming)?;
        self.append(&incoming, origin, guard, now_ms)
    }

    /// Appends a leader's bytes verbatim; a batch that is cut off at the end is left out. Also what a raft leader
    /// appends, whose batches carry their offsets and epoch already. Checks checksums and offsets.
    ///
    /// # Errors
    /// `Corrupt`, `UnexpectedOffset` and `OffsetsOutOfOrder`; then nothing is appended.
    pub fn append_follower(&mut self, records: &Bytes, now_ms: i64) -> Result<AppendInfo, AppendError> {
        let mut incoming = Vec::new();
        let batches = complete_batches(records).collect::<Result<Vec<_>, _>>();
        let batches = batches.map_err(|fault| self.corrupt(&fault))?;
        for batch in &batches {
            batch.check_crc().map_err(|fault| self.corrupt(&fault))?;
            let meta = BatchMeta::parse(&batch.bytes).map_err(|fault| self.corrupt(&fault))?;
            incoming.push(Incoming { meta, header: &batch.bytes[..HEADER_BYTES], body: batch.body() });
        }
        self.check_offsets(&incoming)?;
        self.append(&incoming, Origin::Replication, None, now_ms)
    }

    fn corrupt(&self, fault: &dyn std::fmt::Display) -> AppendError {
        AppendError::Corrupt { partition: self.partition().clone(), why: fault.to_string() }
    }

    fn check_offsets(&self, incoming: &[Incoming<'_>]) -> Result<(), AppendError> {
        let Some((first, last)) = incoming.first().zip(incoming.last()) else { return Ok(()) };
        if first.meta.base_offset < self.log_end_offset {
            return Err(AppendError::UnexpectedOffset {
                first_offset: first.meta.base_offset,
                last_offset: last.meta.last_offset,
                log_end_offset: self.log_end_offset,
                partition: self.partition().clone(),
            });
        }
        for pair in incoming.windows(2) {
            if pair[1].meta.base_offset <= pair[0].meta.last_offset {
                return Err(AppendError::OffsetsOutOfOrder {
                    previous: pair[0].meta.last_offset,
                    last_offset: pair[1].meta.last_offset,
                    partition: self.partition().clone(),
                });
            }
        }
        Ok(())
    }

    fn append(
        &mut self,
        incoming: &[Incoming<'_>],
        origin: Origin,
        guard: Option<VerificationGuard>,
        now_ms: i64,
    ) -> Result<AppendInfo, AppendError> {
        let Some(first) = incoming.first() else { return Ok(self.nothing_appended()) };
        self.finish_cut()?;
        let checked = match self.check_producers(incoming, origin, guard)? {
            Checked::New(updates) => updates,
            Checked::Duplicate(batch) => {
                return Ok(AppendInfo {
                    first_offset: batch.first_offset(),
                    last_offset: batch.last_offset,
                    max_timestamp_ms: batch.timestamp_ms,
                    offset_of_max_timestamp: batch.last_offset,
                    is_duplicate: true,
                    ..self.nothing_appended()
                });
            }
        };
        let mut info = AppendInfo { first_offset: first.meta.base_offset, ..self.nothing_appended() };
        self.note_epochs(incoming)?;
        let end = self.log_end_offset;
        let mut writes = false;
        if let Err(error) = self.append_runs(incoming, checked, now_ms, &mut info, &mut writes) {
            if writes {
                self.undo_append(end, now_ms);
            }
            return Err(error);
        }
        for batch in incoming {
            if batch.meta.max_timestamp_ms > info.max_timestamp_ms {
                info.max_timestamp_ms = batch.meta.max_timestamp_ms;
                info.offset_of_max_timestamp = batch.meta.last_offset;
            }
        }
        info.last_offset = self.log_end_offset - 1;
        self.publish();
        Ok(info)
    }

    /// Tells through `writes` that there is something to undo where it fails.
    fn append_runs(
        &mut self,
        incoming: &[Incoming<'_>],
        checked: Updates,
        now_ms: i64,
        info: &mut AppendInfo,
        writes: &mut bool,
    ) -> Result<(), AppendError> {
        let mut checked = Some(checked);
        let mut rest = incoming;
        while !rest.is_empty() {
            let (run, behind) = rest.split_at(self.run_length(rest));
            // A roll takes a snapshot: it has to know the producers of the runs before, and of no later ones.
            let updates = match checked.take().filter(|_| run.len() == incoming.len()) {
                Some(updates) => updates,
                None => self.updates_of(run)?,
            };
            info.rolled |= self.roll_for(run, now_ms)?;
            // Whether there is a descriptor is known before there is something to undo.
            self.active().log_file()?;
            if info.size_bytes == 0 {
                info.position = self.end_position(info.first_offset);
            }
            *writes = true;
            self.append_run(run, now_ms)?;
            self.apply_producers(updates)?;
            info.size_bytes += run.iter().map(|batch| batch.meta.size_bytes).sum::<usize>();
            rest = behind;
        }
        Ok(())
    }

    /// The batches of one call succeed or fail together, and no remnant of what failed may lie behind the end: what is
    /// appended later would be followed by it. Where that fails, too, it is done before anything else is.
    fn undo_append(&mut self, end: i64, now_ms: i64) {
        self.begin_cut(end, Extent::FailedAppend, now_ms);
        if let Err(error) = self.finish_cut() {
            tracing::warn!(
                "[{}] What a failed append left is not cut off yet: {error}",
                self.place.partition
            );
        }
    }

    /// The effect of a part of an append whose whole was checked: only a follower's comes in parts.
    fn updates_of(&self, run: &[Incoming<'_>]) -> Result<Updates, AppendError> {
        match self.check_producers(run, Origin::Replication, None)? {
            Checked::New(updates) => Ok(updates),
            Checked::Duplicate(_) => Ok(Updates::default()),
        }
    }

    fn nothing_appended(&self) -> AppendInfo {
        AppendInfo {
            first_offset: self.log_end_offset,
            last_offset: self.log_end_offset - 1,
            max_timestamp_ms: -1,
            offset_of_max_timestamp: -1,
            log_start_offset: self.log_start_offset,
            position: self.end_position(self.log_end_offset),
            size_bytes: 0,
            is_duplicate: false,
            rolled: false,
        }
    }

    fn end_position(&self, offset: i64) -> OffsetPosition {
        let active = self.active();
        OffsetPosition { offset, segment_base_offset: active.base_offset, position: active.size_bytes() }
    }

    /// Epochs are written before the records they are about: what is noted beyond the log's end is forgotten on
    /// load, what is not noted would be lost.
    fn note_epochs(&mut self, incoming: &[Incoming<'_>]) -> Result<(), StorageError> {
        let latest = self.latest_epoch();
        if incoming.iter().all(|batch| Some(batch.meta.leader_epoch) == latest) {
            return Ok(());
        }
        let assign_all = |epochs: &mut EpochCache| {
            let assign =
                |batch: &Incoming<'_>| epochs.assign(batch.meta.leader_epoch, batch.meta.base_offset);
            incoming.iter().map(assign).fold(false, |changed, news| changed | news)
        };
        self.change_epochs(assign_all).map(|_| ())
    }

    /// How many of the batches go into one segment together: as many as fit into a segment, one at least.
    fn run_length(&self, batches: &[Incoming<'_>]) -> usize {
        let limit = self.config.segment_bytes as u64;
        let mut bytes = 0;
        let fitting = batches.iter().take_while(|batch| {
            bytes += batch.meta.size_bytes as u64;
            bytes <= limit
        });
        fitting.count().max(1)
    }

    /// Begins a new segment where the run does not belong into the current one; whether it did.
    fn roll_for(&mut self, run: &[Incoming<'_>], now_ms: i64) -> Result<bool, StorageError> {
        let Some((first, last)) = run.first().zip(run.last()) else { return Ok(false) };
        let bytes: u64 = run.iter().map(|batch| batch.meta.size_bytes as u64).sum();
        let max_timestamp = run.iter().map(|batch| batch.meta.max_timestamp_ms).max().unwrap_or(-1);
        if !self.should_roll(bytes, max_timestamp, last.meta.last_offset, now_ms)? {
            return Ok(false);
        }
        self.roll(first.meta.base_offset, now_ms)
    }

    /// `LogSegment.shouldRoll`.
    fn should_roll(
        &self,
        bytes: u64,
        max_timestamp_ms: i64,
        last_offset: i64,
        now_ms: i64,
    ) -> Result<bool, StorageError> {
        let active = self.active();
        let size = active.size_bytes();
        let index_bytes = self.config.segment_index_bytes as u32;
        let offset_index_is_full = active.offset_entries()? >= index_bytes / OffsetEntry::BYTES as u32;
        let time_index_is_full =
            active.time_entries()? >= (index_bytes / TimeEntry::BYTES as u32).saturating_sub(1);
        let waited_ms = match self.tail.first_timestamp_ms.filter(|timestamp| size > 0 && *timestamp >= 0) {
            Some(first) => max_timestamp_ms.saturating_sub(first),
            None => now_ms.saturating_sub(self.tail.created_ms),
        };
        let is_due = waited_ms > self.config.max_segment_ms() - self.jitter_ms(active.base_offset);
        // An index smaller than one entry would be full for ever.
        let index_is_full = offset_index_is_full || time_index_is_full;
        let is_full = size + bytes > self.config.segment_bytes as u64;
        Ok(size > 0 && (is_full || is_due || index_is_full) || !active.takes_offset(last_offset))
    }

    /// Something between 0 and `segment.jitter.ms`, different for each segment of each partition: without a source
    /// of randomness, from their names.
    fn jitter_ms(&self, base_offset: i64) -> i64 {
        let bound = self.config.segment_jitter_ms.min(self.config.segment_ms);
        if bound <= 0 {
            return 0;
        }
        let name = format!("{}/{base_offset}", self.place.partition);
        i64::from(crc32c::crc32c(name.as_bytes())) % bound
    }

    /// Closes the active segment and begins one at `offset`, or at the log end if that is later
    /// (`LocalLog.roll`). Whether there is a new one: an empty active segment that starts there serves as well.
    pub(crate) fn roll(&mut self, offset: i64, now_ms: i64) -> Result<bool, StorageError> {
        let base_offset = offset.max(self.log_end_offset);
        let active = Arc::clone(self.active());
        if active.base_offset == base_offset {
            return Ok(false);
        }
        active.finish_time_index()?;
        active.trim_log()?;
        if base_offset <= self.checkpointed && !self.active_indexes_synced {
            // A checkpoint that may be on the disk would have recovery begin behind the segment that ends here.
            for (path, file) in active.files_to_sync(true)? {
                file.sync().at("syncing", &path)?;
            }
        } else if self.recovery_point < self.log_end_offset {
            active.vouch_for_end(self.config.segment_index_bytes as u32 / OffsetEntry::BYTES as u32)?;
        }
        let segment = self.new_segment(base_offset, now_ms)?;
        self.producers.set_map_end_offset(base_offset);
        if let Err(error) = self.snapshots.take(&self.producers, false) {
            segment.remove_created();
            return Err(error);
        }
        self.go_on_in(now_ms);
        Arc::make_mut(&mut self.segments).push(segment);
        self.unsynced_closed.push(active);
        self.publish();
        Ok(true)
    }

    pub(crate) fn new_segment(&self, base_offset: i64, now_ms: i64) -> Result<Arc<Segment>, StorageError> {
        let preallocated = if self.config.preallocate { self.config.segment_bytes as u64 } else { 0 };
        Segment::create(Arc::clone(&self.place), base_offset, preallocated, now_ms).map(Arc::new)
    }

    /// A new segment is the active one.
    pub(crate) fn go_on_in(&mut self, now_ms: i64) {
        self.folder_changes += 1;
        self.tail = Tail { created_ms: now_ms, first_timestamp_ms: None, bytes_since_index_entry: 0 };
    }

    fn append_run(&mut self, run: &[Incoming<'_>], now_ms: i64) -> Result<(), StorageError> {
        let metas: Vec<BatchMeta> = run.iter().map(|batch| batch.meta).collect();
        let mut parts: Vec<IoSlice<'_>> = Vec::with_capacity(run.len() * 2);
        for batch in run {
            parts.push(IoSlice::new(batch.header));
            parts.push(IoSlice::new(batch.body));
        }
        self.active_indexes_synced = false;
        let interval = self.config.index_interval_bytes as u64;
        let active = Arc::clone(self.active());
        active.append(&mut self.tail, &metas, &mut parts, interval, now_ms)?;
        if let Some(last) = metas.last() {
            self.log_end_offset = last.last_offset + 1;
        }
        Ok(())
    }

    fn apply_producers(&mut self, updates: Updates) -> Result<(), StorageError> {
        let completed = self.producers.apply(updates);
        for txn in completed {
            if txn.is_aborted {
                let last_stable_offset = self.producers.last_stable_offset(&txn);
                self.active().append_aborted(&AbortedTxn {
                    producer_id: txn.producer_id,
                    first_offset: txn.first_offset,
                    last_offset: txn.last_offset,
                    last_stable_offset,
                })?;
            }
            self.producers.complete(&txn);
        }
        self.producers.set_map_end_offset(self.log_end_offset);
        Ok(())
    }
}
