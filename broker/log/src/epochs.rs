//! Which leader epoch wrote which offsets of a log (Kafka's `LeaderEpochFileCache`): what followers compare to
//! find where their log and the leader's part (KIP-101, KIP-279).
//!
//! Pure: entries change here, the log writes them to `leader-epoch-checkpoint`.

use crate::checkpoint::EpochEntry;

/// Start offsets of epochs, both strictly growing. Cheap to hand to readers: a log has few epochs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EpochCache {
    entries: Vec<EpochEntry>,
}

impl EpochCache {
    pub(crate) fn from_entries(entries: impl IntoIterator<Item = EpochEntry>) -> Self {
        let mut cache = Self::default();
        for entry in entries {
            cache.assign(entry.epoch, entry.start_offset);
        }
        cache
    }

    pub fn entries(&self) -> &[EpochEntry] {
        &self.entries
    }

    pub fn latest(&self) -> Option<EpochEntry> {
        self.entries.last().copied()
    }

    pub fn latest_epoch(&self) -> Option<i32> {
        self.latest().map(|entry| entry.epoch)
    }

    pub fn earliest(&self) -> Option<EpochEntry> {
        self.entries.first().copied()
    }

    /// The epoch before `epoch` that has records here.
    pub fn previous_epoch(&self, epoch: i32) -> Option<i32> {
        self.entries.iter().rev().map(|entry| entry.epoch).find(|earlier| *earlier < epoch)
    }

    /// The epoch of the record at `offset`.
    pub fn epoch_for_offset(&self, offset: i64) -> Option<i32> {
        let after = self.entries.partition_point(|entry| entry.start_offset <= offset);
        after.checked_sub(1).map(|index| self.entries[index].epoch)
    }

    /// Notes that `epoch` starts at `start_offset`; whether anything changed. Entries that contradict it go: the
    /// newest word wins (`maybeTruncateNonMonotonicEntries`). Negative epochs and offsets are not epochs.
    pub(crate) fn assign(&mut self, epoch: i32, start_offset: i64) -> bool {
        let is_news = match self.latest() {
            Some(latest) => epoch != latest.epoch || start_offset < latest.start_offset,
            None => true,
        };
        if !is_news || epoch < 0 || start_offset < 0 {
            return false;
        }
        while self.latest().is_some_and(|last| last.epoch >= epoch || last.start_offset >= start_offset) {
            self.entries.pop();
        }
        self.entries.push(EpochEntry { epoch, start_offset });
        true
    }

    /// As recovery learns epochs from records: never back.
    pub(crate) fn assign_if_newer(&mut self, epoch: i32, start_offset: i64) {
        if self.latest_epoch().is_none_or(|latest| epoch > latest) {
            self.assign(epoch, start_offset);
        }
    }

    /// Where records of `epoch`, or of the largest epoch below it, end: `(epoch, end offset)`. `None` when this log
    /// cannot tell (`LeaderEpochFileCache.endOffsetFor`).
    pub fn end_offset_for(&self, epoch: i32, log_end_offset: i64) -> Option<(i32, i64)> {
        if epoch < 0 {
            return None;
        }
        if self.latest_epoch() == Some(epoch) {
            return Some((epoch, log_end_offset));
        }
        let higher = self.entries.partition_point(|entry| entry.epoch <= epoch);
        let end = self.entries.get(higher)?.start_offset;
        let floor = higher.checked_sub(1).map_or(epoch, |index| self.entries[index].epoch);
        Some((floor, end))
    }

    /// Forgets epochs that start at or after `end_offset`; whether anything changed.
    pub(crate) fn truncate_from_end(&mut self, end_offset: i64) -> bool {
        let kept = self.entries.partition_point(|entry| entry.start_offset < end_offset);
        let changed = end_offset >= 0 && kept < self.entries.len();
        if changed {
            self.entries.truncate(kept);
        }
        changed
    }

    /// Forgets epochs that end before `start_offset`; the one it falls into starts there now. Whether anything
    /// changed.
    pub(crate) fn truncate_from_start(&mut self, start_offset: i64) -> bool {
        let covered = self.entries.partition_point(|entry| entry.start_offset <= start_offset);
        let Some(last_covered) = covered.checked_sub(1) else { return false };
        let changed = last_covered > 0 || self.entries[last_covered].start_offset != start_offset;
        self.entries[last_covered].start_offset = start_offset;
        self.entries.drain(..last_covered);
        changed
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(entries: &[(i32, i64)]) -> EpochCache {
        EpochCache::from_entries(
            entries.iter().map(|&(epoch, start_offset)| EpochEntry { epoch, start_offset }),
        )
    }

    #[test]
    fn the_newest_word_about_an_epoch_wins() {
        for (before, (epoch, start), after) in [
            (&[][..], (0, 0), &[(0, 0)][..]),
            (&[(0, 0)], (0, 5), &[(0, 0)]),
            (&[(0, 0)], (1, 5), &[(0, 0), (1, 5)]),
            (&[(0, 0), (1, 5)], (2, 5), &[(0, 0), (2, 5)]),
            (&[(0, 0), (2, 5)], (1, 7), &[(0, 0), (1, 7)]),
            (&[(0, 0), (2, 5), (3, 9)], (4, 3), &[(0, 0), (4, 3)]),
            (&[(0, 0), (2, 5)], (2, 3), &[(0, 0), (2, 3)]),
            (&[(1, 4)], (-1, 4), &[(1, 4)]),
        ] {
            let mut changed = cache(before);
            changed.assign(epoch, start);
            assert_eq!(changed, cache(after), "{before:?} + {epoch}@{start}");
        }
    }

    #[test]
    fn ends_of_epochs_are_told_as_kafka_tells_them() {
        let epochs = cache(&[(2, 10), (3, 20), (6, 30)]);
        for (asked, told) in [
            (-1, None),
            (0, Some((0, 10))),
            (1, Some((1, 10))),
            (2, Some((2, 20))),
            (3, Some((3, 30))),
            (5, Some((3, 30))),
            (6, Some((6, 99))),
            (7, None),
        ] {
            assert_eq!(epochs.end_offset_for(asked, 99), told, "epoch {asked}");
        }
        assert_eq!(cache(&[]).end_offset_for(0, 99), None);
        assert_eq!(
            [9, 10, 29, 30].map(|offset| epochs.epoch_for_offset(offset)),
            [None, Some(2), Some(3), Some(6)]
        );
        assert_eq!([2, 3, 7].map(|epoch| epochs.previous_epoch(epoch)), [None, Some(2), Some(6)]);
    }

    #[test]
    fn truncation_keeps_the_epochs_of_what_is_left() {
        let all = [(2, 10), (3, 20), (6, 30)];
        for (end, after) in [(31, &all[..]), (30, &all[..2]), (11, &all[..1]), (10, &[]), (0, &[])] {
            let mut epochs = cache(&all);
            assert_eq!(epochs.truncate_from_end(end), after.len() < all.len());
            assert_eq!(epochs, cache(after), "end {end}");
        }
        for (start, after) in [
            (9, &all[..]),
            (10, &all[..]),
            (15, &[(2, 15), (3, 20), (6, 30)]),
            (20, &all[1..]),
            (25, &[(3, 25), (6, 30)]),
            (40, &[(6, 40)]),
        ] {
            let mut epochs = cache(&all);
            assert_eq!(epochs.truncate_from_start(start), after != all);
            assert_eq!(epochs, cache(after), "start {start}");
        }
    }
}
