//! What leaves a log: its end when a leader disagrees, its beginning by age, size or order, and the files of both
//! (`UnifiedLog.truncateTo`, `deleteOldSegments`).

use std::sync::Arc;

use crate::disk::remove_if_exists;
use crate::error::{AtPath, StorageError};
use crate::load;
use crate::log::{Doomed, Log};
use crate::names;
use crate::segment::Segment;

/// A cut whose files are still to follow: descriptors may run out on the way, and the disk may fail.
#[derive(Debug)]
pub(crate) struct Cut {
    /// Segments that went, whose files are still there, from the last to the first: an interruption leaves no hole, which
    /// recovery would believe.
    removed: Vec<Arc<Segment>>,
    extent: Extent,
    now_ms: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// What lies behind the end. Epochs that begin at the end go with it.
    Tail,
    /// What a failed append left. An epoch that begins at the end was noted by whoever leads.
    FailedAppend,
    /// All.
    Whole,
}

impl Log {
    /// Cuts everything from `offset` on; whether anything went. Durable on return: what was cut cannot come back
    /// between later records after a crash.
    ///
    /// The directory's recovery point checkpoint may stay ahead of the cut: up to there segments are synced as they are
    /// closed. Kafka writes the checkpoint first (`LogManager.truncateTo`).
    ///
    /// # Errors
    /// The log ends at `offset` nevertheless. What is left to do is done before the log is changed again.
    pub fn truncate_to(&mut self, offset: i64, now_ms: i64) -> Result<bool, StorageError> {
        self.finish_cut()?;
        let offset = offset.max(0);
        let end = self.log_end_offset;
        if offset >= end {
            if self.change_epochs(|epochs| epochs.truncate_from_end(end))? {
                self.publish();
            }
            return Ok(false);
        }
        if self.segments[0].base_offset > offset {
            self.truncate_fully_and_start_at(offset, now_ms)?;
            return Ok(true);
        }
        self.begin_cut(offset, Extent::Tail, now_ms);
        self.finish_cut()?;
        Ok(true)
    }

    /// From here on the log ends at `offset`; [`Log::finish_cut`] brings the files there.
    pub(crate) fn begin_cut(&mut self, offset: i64, extent: Extent, now_ms: i64) {
        self.note_checkpoint();
        self.truncations += 1;
        let kept = self.segments.partition_point(|segment| segment.base_offset <= offset);
        let mut removed = Arc::make_mut(&mut self.segments).split_off(kept);
        removed.reverse();
        self.log_end_offset = offset;
        self.recovery_point = self.recovery_point.min(offset);
        let active_base = self.active().base_offset;
        self.unsynced_closed.retain(|closed| closed.base_offset < active_base);
        // Readers first: they must not look for what is about to go.
        self.shared.with(|published| {
            published.segments = Arc::clone(&self.segments);
            published.log_end_offset = published.log_end_offset.min(offset);
        });
        self.unfinished = Some(Cut { removed, extent, now_ms });
    }

    /// The directory's checkpoint may say what the recovery point is now for some time after the cut: what is appended
    /// behind it is made safe from that as it is from the one that the log was opened with.
    fn note_checkpoint(&mut self) {
        self.checkpointed = self.checkpointed.max(self.recovery_point());
    }

    /// Does what a cut has left to do, if there is any. May be called again where it failed.
    pub(crate) fn finish_cut(&mut self) -> Result<(), StorageError> {
        let Some(mut cut) = self.unfinished.take() else { return Ok(()) };
        let done = match cut.extent {
            Extent::Whole => self.start_over(&mut cut),
            Extent::Tail | Extent::FailedAppend => self.cut_tail(&mut cut),
        };
        if done.is_err() {
            self.unfinished = Some(cut);
        }
        done
    }

    fn cut_tail(&mut self, cut: &mut Cut) -> Result<(), StorageError> {
        let (offset, now_ms) = (self.log_end_offset, cut.now_ms);
        let active = Arc::clone(self.active());
        self.doom(&cut.removed, now_ms)?;
        cut.removed.clear();
        self.snapshots.remove_beyond(offset)?;
        self.place.sync_folder()?;
        self.active_indexes_synced = false;
        active.truncate_to(offset, now_ms)?;
        active.truncate_aborted(offset)?;
        self.tail = load::tail_of(&active)?;
        let epochs_end = offset.saturating_add(i64::from(cut.extent == Extent::FailedAppend));
        self.change_epochs(|epochs| epochs.truncate_from_end(epochs_end))?;
        self.log_start_offset = self.log_start_offset.min(offset);
        self.rebuild_producers(now_ms)?;
        self.publish();
        Ok(())
    }

    /// Throws all records away and goes on at `offset`, as a follower does whose log ends before the leader's
    /// begins, or a voter that takes over a snapshot. As with [`Log::truncate_to`], the log is at `offset` also where
    /// this fails.
    pub fn truncate_fully_and_start_at(&mut self, offset: i64, now_ms: i64) -> Result<(), StorageError> {
        self.finish_cut()?;
        self.note_checkpoint();
        self.truncations += 1;
        self.unsynced_closed.clear();
        self.log_start_offset = offset;
        self.log_end_offset = offset;
        self.recovery_point = offset;
        let removed = self.segments.iter().rev().cloned().collect();
        self.unfinished = Some(Cut { removed, extent: Extent::Whole, now_ms });
        self.finish_cut()
    }

    fn start_over(&mut self, cut: &mut Cut) -> Result<(), StorageError> {
        let (offset, now_ms) = (self.log_end_offset, cut.now_ms);
        self.doom(&cut.removed, now_ms)?;
        cut.removed.clear();
        // Those that went stay the log's until there is another: it is never without one.
        let segment = self.new_segment(offset, now_ms)?;
        self.go_on_in(now_ms);
        self.segments = Arc::new(vec![segment]);
        self.change_epochs(|epochs| {
            epochs.clear();
            true
        })?;
        self.snapshots.remove_all()?;
        self.producers.clear(offset);
        self.place.sync_folder()?;
        self.snapshots.take(&self.producers, true)?;
        self.publish();
        Ok(())
    }

    fn rebuild_producers(&mut self, now_ms: i64) -> Result<(), StorageError> {
        if !self.producers.is_empty() {
            // Also where they claim to be of the end as it is now: a failed append may have told them of more.
            self.producers.set_map_end_offset(-1);
        }
        let rebuilt = load::Rebuild {
            segments: &self.segments,
            log_start_offset: self.log_start_offset,
            log_end_offset: self.log_end_offset,
            now_ms,
            expiration_ms: self.producer_expiration_ms,
            partition: &self.place.partition,
        };
        rebuilt.run(&mut self.producers, &mut self.snapshots, false)
    }

    /// Moves the log's start forward, never back; whether it moved. Segments before it go with the next
    /// [`Log::enforce_retention`]. The caller has checked that `offset` is at most the high watermark
    /// (`maybeIncrementLogStartOffset`).
    pub fn advance_log_start(&mut self, offset: i64) -> Result<bool, StorageError> {
        self.finish_cut()?;
        let offset = offset.min(self.log_end_offset);
        if offset <= self.log_start_offset {
            return Ok(false);
        }
        self.change_epochs(|epochs| epochs.truncate_from_start(offset))?;
        self.log_start_offset = offset;
        self.recovery_point = self.recovery_point.max(offset);
        self.snapshots.log_start_moved(&mut self.producers, offset);
        self.publish();
        Ok(true)
    }

    /// Removes whole segments that are too old, too many bytes, or before the log's start; how many. Nothing above
    /// `high_watermark` goes. Compacted logs that are not also deleted lose only what is before their start
    /// (`UnifiedLog.deleteOldSegments`). Also removes files whose delay has passed.
    pub fn enforce_retention(&mut self, now_ms: i64, high_watermark: i64) -> Result<usize, StorageError> {
        self.finish_cut()?;
        let mut removed = self.remove_before_start(now_ms, high_watermark)?;
        if self.config.delete {
            removed += self.remove_oversize(now_ms, high_watermark)?;
            removed += self.remove_outdated(now_ms, high_watermark)?;
        }
        self.remove_doomed(now_ms)?;
        Ok(removed)
    }

    fn remove_before_start(&mut self, now_ms: i64, high_watermark: i64) -> Result<usize, StorageError> {
        let start = self.log_start_offset;
        self.remove_oldest(now_ms, high_watermark, |_, next| {
            Ok(next.is_some_and(|next| next.base_offset <= start))
        })
    }

    fn remove_oversize(&mut self, now_ms: i64, high_watermark: i64) -> Result<usize, StorageError> {
        let Ok(limit) = u64::try_from(self.config.retention_bytes) else { return Ok(0) };
        let Some(mut excess) = self.size_bytes().checked_sub(limit) else { return Ok(0) };
        self.remove_oldest(now_ms, high_watermark, |segment, _| {
            match excess.checked_sub(segment.size_bytes()) {
                Some(left) => {
                    excess = left;
                    Ok(true)
                }
                None => Ok(false),
            }
        })
    }

    fn remove_outdated(&mut self, now_ms: i64, high_watermark: i64) -> Result<usize, StorageError> {
        let limit_ms = self.config.retention_ms;
        if limit_ms < 0 {
            return Ok(0);
        }
        self.remove_oldest(now_ms, high_watermark, |segment, _| {
            Ok(now_ms.saturating_sub(segment.largest_timestamp_ms()?) > limit_ms)
        })
    }

    /// Removes segments from the oldest on, as long as they may go and `is_due` says so (`deletableSegments`).
    fn remove_oldest(
        &mut self,
        now_ms: i64,
        high_watermark: i64,
        mut is_due: impl FnMut(&Segment, Option<&Segment>) -> Result<bool, StorageError>,
    ) -> Result<usize, StorageError> {
        let mut count = 0;
        for (number, segment) in self.segments.iter().enumerate() {
            let next = self.segments.get(number + 1).map(AsRef::as_ref);
            let end = next.map_or(self.log_end_offset, |next| next.base_offset);
            let is_last_and_empty = next.is_none() && segment.size_bytes() == 0;
            if high_watermark < end || is_last_and_empty || !is_due(segment, next)? {
                break;
            }
            count += 1;
        }
        if count == 0 {
            return Ok(0);
        }
        if count == self.segments.len() {
            // A log always has a segment to append to.
            self.roll(self.log_end_offset, now_ms)?;
        }
        // First what may fail: what is no longer among the segments is not looked at again.
        self.advance_log_start(self.segments[count].base_offset)?;
        let kept = Arc::make_mut(&mut self.segments).split_off(count);
        let removed = std::mem::replace(&mut self.segments, Arc::new(kept));
        let names: Vec<i64> = removed.iter().map(|segment| segment.base_offset).collect();
        let list = names.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
        tracing::info!("[{}] Deleting the segments that begin at {list}", self.place.partition);
        self.unsynced_closed.retain(|closed| !names.contains(&closed.base_offset));
        self.publish();
        self.doom(&removed, now_ms)?;
        Ok(count)
    }

    /// Renames the files of segments that are no longer part of the log, and their producer snapshots, to
    /// `.deleted`; they go when `file.delete.delay.ms` has passed.
    pub(crate) fn doom(&mut self, removed: &[Arc<Segment>], now_ms: i64) -> Result<(), StorageError> {
        if removed.is_empty() {
            return Ok(());
        }
        let mut paths = Vec::new();
        for segment in removed {
            segment.rename_files("", names::DELETED_SUFFIX)?;
            for suffix in names::SEGMENT_SUFFIXES {
                let name = names::segment_file(segment.base_offset, suffix);
                paths.push(self.place.path(&format!("{name}{}", names::DELETED_SUFFIX)));
            }
            paths.extend(self.snapshots.mark_deleted(segment.base_offset)?);
        }
        self.folder_changes += 1;
        let due_ms = now_ms.saturating_add(self.config.file_delete_delay_ms);
        self.doomed.push(Doomed { paths, due_ms });
        Ok(())
    }

    /// When the next files are due for [`Log::remove_doomed`], in the caller's milliseconds.
    pub fn next_removal_ms(&self) -> Option<i64> {
        self.doomed.iter().map(|doomed| doomed.due_ms).min()
    }

    /// Removes the files whose delay has passed.
    pub fn remove_doomed(&mut self, now_ms: i64) -> Result<(), StorageError> {
        let (due, waiting) =
            std::mem::take(&mut self.doomed).into_iter().partition(|doomed| doomed.due_ms <= now_ms);
        self.doomed = waiting;
        let due: Vec<Doomed> = due;
        for path in due.iter().flat_map(|doomed| &doomed.paths) {
            remove_if_exists(&*self.place.disk, path).at("removing", path)?;
        }
        Ok(())
    }
}
