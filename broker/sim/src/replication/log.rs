//! The log of one simulated replica, as far as replication can tell: records with their epochs, the epoch cache, and
//! how much of it would survive the loss of power.
//!
//! It restates what `LeaderEpochFileCache` and a log on disk promise; it must not use the broker's own.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    pub epoch: i32,
    pub value: u64,
}

#[derive(Debug, Default)]
pub(super) struct ModelLog {
    records: Vec<Record>,
    /// The epoch cache: where each epoch starts.
    epochs: Vec<(i32, i64)>,
    /// So many records are on disk, whatever happens.
    pub synced: usize,
    /// So many records were compared with what is committed, and are unchanged since.
    pub verified: usize,
}

impl ModelLog {
    pub fn end(&self) -> i64 {
        self.records.len() as i64
    }

    pub fn records(&self) -> &[Record] {
        &self.records
    }

    pub fn latest_epoch(&self) -> Option<i32> {
        self.epochs.last().map(|(epoch, _)| *epoch)
    }

    /// `LeaderEpochFileCache.assign`: entries that would not be in order go.
    pub fn assign_epoch(&mut self, epoch: i32, start: i64) {
        let is_known = |(last, from): &(i32, i64)| *last == epoch && *from <= start;
        if !self.epochs.last().is_some_and(is_known) {
            self.epochs.retain(|(other, from)| *other < epoch && *from < start);
            self.epochs.push((epoch, start));
        }
    }

    pub fn append(&mut self, record: Record) {
        self.assign_epoch(record.epoch, self.end());
        self.records.push(record);
    }

    pub fn truncate(&mut self, end: i64) {
        self.records.truncate(end as usize);
        self.epochs.retain(|(_, start)| *start < end);
        self.synced = self.synced.min(self.records.len());
        self.verified = self.verified.min(self.records.len());
    }

    pub fn sync(&mut self) {
        self.synced = self.records.len();
    }

    /// `LeaderEpochFileCache.endOffsetFor`.
    pub fn end_of_epoch(&self, epoch: i32) -> Option<(i32, i64)> {
        if self.latest_epoch() == Some(epoch) {
            return Some((epoch, self.end()));
        }
        let (_, next_start) = *self.epochs.iter().find(|(e, _)| *e > epoch)?;
        let floor = self.epochs.iter().rev().find(|(e, _)| *e <= epoch);
        Some((floor.map_or(epoch, |(e, _)| *e), next_start))
    }
}
