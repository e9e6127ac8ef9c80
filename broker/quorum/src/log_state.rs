//! What the machine knows of the metadata log: its ends, its epochs, its snapshots. No record is kept here.
//!
//! The shell does to the files what the effects say; this mirror changes with the effects, so both agree after each
//! step. The lookups follow `LeaderEpochFileCache` and `KafkaMetadataLog`.

use std::collections::BTreeMap;

use jackdaw_wire::OffsetAndEpoch;

/// The mirror of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogState {
    /// First offset kept.
    pub start_offset: i64,
    /// Offset after the last one.
    pub end_offset: i64,
    /// Everything below is on the disk.
    pub flushed_offset: i64,
    /// Where each epoch starts: the leader epoch checkpoint, in rising order.
    pub epochs: Vec<(i32, i64)>,
    /// Whole snapshots and their sizes in bytes.
    pub snapshots: BTreeMap<OffsetAndEpoch, u64>,
}

/// What a leader finds when it compares a follower's log end with its own log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    Valid,
    /// Truncate to this end of that epoch, and ask again.
    Diverging(OffsetAndEpoch),
    /// Fetch this snapshot first.
    Snapshot(OffsetAndEpoch),
}

impl LogState {
    /// No record and no snapshot: a log that never was written.
    pub fn is_pristine(&self) -> bool {
        self.end_offset == 0 && self.snapshots.is_empty()
    }

    pub fn latest_snapshot(&self) -> Option<OffsetAndEpoch> {
        self.snapshots.keys().next_back().copied()
    }

    /// The snapshot that stands for everything below the log's start.
    pub fn earliest_snapshot(&self) -> Option<OffsetAndEpoch> {
        self.snapshots.keys().next().copied()
    }

    /// The epoch of the last record or, where the log is empty, of the snapshot it starts at; 0 where there is
    /// neither (`KafkaMetadataLog.lastFetchedEpoch`).
    pub fn last_epoch(&self) -> i32 {
        match self.epochs.last() {
            Some(&(epoch, _)) => epoch,
            None => self.latest_snapshot().map_or(0, |id| id.epoch),
        }
    }

    /// The log's end with its epoch: what votes compare.
    pub fn end(&self) -> OffsetAndEpoch {
        OffsetAndEpoch::new(self.end_offset, self.last_epoch())
    }

    /// The end of the largest epoch not above `epoch` (`KafkaMetadataLog.endOffsetForEpoch`).
    pub fn end_for_epoch(&self, epoch: i32) -> OffsetAndEpoch {
        let after = self.epochs.partition_point(|&(known, _)| known <= epoch);
        let floor = after.checked_sub(1).and_then(|at| self.epochs.get(at)).copied();
        match (floor, self.epochs.get(after)) {
            (Some((known, _)), None) if known == epoch => OffsetAndEpoch::new(self.end_offset, epoch),
            // Above every epoch that the log knows: its end is all that can be offered.
            (_, None) => self.end(),
            (Some((known, _)), Some(&(_, next_start))) => OffsetAndEpoch::new(next_start, known),
            (None, Some(&(_, next_start))) => match self.earliest_snapshot() {
                Some(id) if id.offset == next_start => id,
                _ => OffsetAndEpoch::new(next_start, epoch),
            },
        }
    }

    /// Compares a follower's end with this log (`ReplicatedLog.validateOffsetAndEpoch`, and the leader's own rule
    /// that a Fetch at 0 gets the snapshot, if there is any).
    pub fn validate_end(&self, offset: i64, epoch: i32) -> Validity {
        if let (0, Some(latest)) = (offset, self.latest_snapshot()) {
            return Validity::Snapshot(latest);
        }
        if self.start_offset == 0 && offset == 0 {
            return Validity::Valid;
        }
        if let (Some(earliest), Some(latest)) = (self.earliest_snapshot(), self.latest_snapshot()) {
            let unknown_start = offset == self.start_offset && epoch != earliest.epoch;
            if offset < self.start_offset || unknown_start || epoch < earliest.epoch {
                return Validity::Snapshot(latest);
            }
        }
        let end = self.end_for_epoch(epoch);
        if end.epoch != epoch || end.offset < offset { Validity::Diverging(end) } else { Validity::Valid }
    }

    /// Where a follower cuts its log after a diverging epoch (`ReplicatedLog.truncateToEndOffset`).
    pub fn truncation_point(&self, leader: OffsetAndEpoch) -> i64 {
        if leader.epoch == 0 {
            return leader.offset.min(self.end_offset);
        }
        let local = self.end_for_epoch(leader.epoch);
        if local.epoch == leader.epoch { local.offset.min(leader.offset) } else { local.offset }
    }

    /// A batch of `epoch` now fills `[base_offset, end_offset)`.
    pub(crate) fn appended(&mut self, epoch: i32, end_offset: i64) {
        if self.epochs.last().is_none_or(|&(last, _)| last < epoch) {
            self.epochs.push((epoch, self.end_offset));
        }
        self.end_offset = end_offset;
    }

    pub(crate) fn truncated(&mut self, end_offset: i64) {
        self.end_offset = self.end_offset.min(end_offset);
        self.flushed_offset = self.flushed_offset.min(end_offset);
        self.epochs.retain(|&(_, start)| start < end_offset);
    }

    /// The log was emptied and starts and ends at the snapshot's end; older snapshots are gone.
    pub(crate) fn restarted(&mut self, id: OffsetAndEpoch, size_bytes: u64) {
        self.start_offset = id.offset;
        self.end_offset = id.offset;
        self.flushed_offset = id.offset;
        self.epochs.clear();
        self.snapshots.clear();
        self.snapshots.insert(id, size_bytes);
    }

    /// Segments and snapshots below the snapshot that ends at `log_start` are gone.
    pub(crate) fn cleaned(&mut self, log_start: i64) {
        self.start_offset = self.start_offset.max(log_start);
        self.snapshots.retain(|id, _| id.offset >= log_start);
        let covered = self.epochs.partition_point(|&(_, start)| start <= log_start);
        if covered > 0 {
            self.epochs.drain(..covered - 1);
            self.epochs[0].1 = log_start;
        }
    }
}
