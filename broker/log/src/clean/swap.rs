//! A compacted segment takes the place of others (`LocalLog.replaceSegments`).
//!
//! Its files become `.swap`, durably: from there on a crash finishes the work. Those it replaces become `.deleted`,
//! and only then it takes its name; a crash between leaves no moment in which neither is there.

use std::sync::Arc;

use super::CleanedGroup;
use crate::error::StorageError;
use crate::log::Log;
use crate::names;
use crate::segment::Segment;

impl Log {
    /// Whether the group took its place. It does not where the segments it was made from changed meanwhile; then its
    /// files are removed.
    pub fn swap_in(&mut self, group: CleanedGroup, now_ms: i64) -> Result<bool, StorageError> {
        self.finish_cut()?;
        let first = self.segments.iter().position(|segment| Arc::ptr_eq(segment, &group.replaced[0]));
        let is_same = first.is_some_and(|first| {
            let present = self.segments[first..].iter().zip(&group.replaced);
            // The active segment is never replaced, so there is one more.
            self.segments.len() > first + group.replaced.len()
                && present.filter(|(now, then)| Arc::ptr_eq(now, then)).count() == group.replaced.len()
        });
        let Some(first) = first.filter(|_| is_same && group.truncations == self.truncations) else {
            group.discard()?;
            return Ok(false);
        };
        let CleanedGroup { replaced, base_offset, size_bytes, .. } = group;
        let modified_ms = replaced.last().map_or(now_ms, |segment| segment.modified_ms());
        let segment = Segment::existing(Arc::clone(&self.place), base_offset, size_bytes, modified_ms);
        // Readers that hold them read on: what is behind their names is about to change.
        let ready = replaced.iter().try_for_each(|segment| segment.pin()).and_then(|()| {
            segment.rename_files(names::CLEANED_SUFFIX, names::SWAP_SUFFIX)?;
            self.place.sync_folder()
        });
        if let Err(error) = ready {
            // It may be the very descriptors of these that are lacking, and the next try needs no fewer.
            replaced.iter().for_each(|segment| segment.unpin());
            // It must not take its place at some later start, when the log may be another.
            segment.rename_files(names::SWAP_SUFFIX, names::CLEANED_SUFFIX)?;
            super::discard(&self.place, base_offset)?;
            return Err(error);
        }
        self.doom_replaced(&replaced, now_ms)?;
        segment.rename_files(names::SWAP_SUFFIX, "")?;
        let range = first..first + replaced.len();
        Arc::make_mut(&mut self.segments).splice(range, [Arc::new(segment)]);
        self.unsynced_closed.retain(|closed| !replaced.iter().any(|gone| Arc::ptr_eq(closed, gone)));
        self.publish();
        // What the names are is what the log is, whether or not this succeeds.
        self.place.sync_folder()?;
        Ok(true)
    }

    /// The producer snapshot at the group's own base stays: it is of what lies before.
    fn doom_replaced(&mut self, replaced: &[Arc<Segment>], now_ms: i64) -> Result<(), StorageError> {
        self.doom(&replaced[1..], now_ms)?;
        let snapshot = self.snapshots.take_out(replaced[0].base_offset);
        self.doom(&replaced[..1], now_ms)?;
        if snapshot {
            self.snapshots.put_back(replaced[0].base_offset);
        }
        Ok(())
    }
}
