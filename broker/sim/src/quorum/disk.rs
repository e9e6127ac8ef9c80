//! A node's disk as far as the quorum can tell: `quorum-state`, the log, snapshots; and what a crash leaves of it.

use std::collections::BTreeMap;

use bytes::Bytes;
use jackdaw_quorum::{ElectionState, LogState};
use jackdaw_wire::OffsetAndEpoch;
use jackdaw_wire::batch::batches;

use crate::seeds::Rng;

/// One batch of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    pub base_offset: i64,
    pub end_offset: i64,
    pub epoch: i32,
    pub bytes: Bytes,
}

/// The batches of `records`, which must be whole.
pub fn split(records: &Bytes) -> Vec<Batch> {
    batches(records)
        .map(|batch| {
            let batch = batch.expect("the machine passes on whole batches only");
            Batch {
                base_offset: batch.header.base_offset,
                end_offset: batch.header.next_offset(),
                epoch: batch.header.partition_leader_epoch,
                bytes: batch.bytes,
            }
        })
        .collect()
}

#[derive(Debug, Clone)]
enum Change {
    Append(Batch),
    Truncate(i64),
}

#[derive(Debug, Clone, Default)]
struct Files {
    start_offset: i64,
    batches: Vec<Batch>,
    /// Where each epoch starts: the leader epoch checkpoint.
    epochs: Vec<(i32, i64)>,
}

impl Files {
    /// Whether the log has that batch, or starts at a snapshot that stands for it.
    fn has(&self, wanted: &Batch) -> bool {
        if wanted.end_offset <= self.start_offset {
            return true;
        }
        let at = self.batches.partition_point(|batch| batch.base_offset < wanted.base_offset);
        self.batches.get(at) == Some(wanted)
    }

    fn end_offset(&self) -> i64 {
        self.batches.last().map_or(self.start_offset, |batch| batch.end_offset)
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Append(batch) => {
                assert_eq!(batch.base_offset, self.end_offset(), "a batch must continue the log");
                if self.epochs.last().is_none_or(|&(epoch, _)| epoch < batch.epoch) {
                    self.epochs.push((batch.epoch, batch.base_offset));
                }
                self.batches.push(batch.clone());
            }
            Change::Truncate(end_offset) => {
                self.batches.retain(|batch| batch.end_offset <= *end_offset);
                assert_eq!(self.end_offset(), *end_offset, "a log is truncated between batches");
                self.epochs.retain(|&(_, start)| start < *end_offset);
            }
        }
    }
}

#[derive(Debug, Clone, Default)]
pub struct Disk {
    pub election: Option<ElectionState>,
    pub snapshots: BTreeMap<OffsetAndEpoch, Bytes>,
    /// A snapshot that is being fetched; lost in a crash.
    pub partial: Option<(OffsetAndEpoch, Vec<u8>)>,
    synced: Files,
    /// What the running node reads: `synced` and all changes since.
    files: Files,
    changes: Vec<Change>,
    /// How many changes were ever synced: flushes speak of absolute counts.
    synced_changes: usize,
}

impl Disk {
    pub fn start_offset(&self) -> i64 {
        self.files.start_offset
    }

    pub fn end_offset(&self) -> i64 {
        self.files.end_offset()
    }

    /// The log's end with the epoch of its last record, or of the snapshot it starts at.
    pub fn end(&self) -> OffsetAndEpoch {
        let last = self.files.epochs.last().map(|&(epoch, _)| epoch);
        let epoch = last.or(self.snapshots.keys().next_back().map(|id| id.epoch)).unwrap_or(0);
        OffsetAndEpoch::new(self.files.end_offset(), epoch)
    }

    pub fn batches(&self) -> &[Batch] {
        &self.files.batches
    }

    pub fn has(&self, wanted: &Batch) -> bool {
        self.files.has(wanted)
    }

    /// As [`Disk::has`], whatever crash comes next.
    pub fn has_synced(&self, wanted: &Batch) -> bool {
        self.synced.has(wanted)
    }

    fn change(&mut self, change: Change) {
        self.files.apply(&change);
        self.changes.push(change);
    }

    pub fn append(&mut self, batch: Batch) {
        self.change(Change::Append(batch));
    }

    pub fn truncate(&mut self, end_offset: i64) {
        self.change(Change::Truncate(end_offset));
    }

    /// The count to hand to [`Disk::synced_up_to`] when a flush that begins now ends.
    pub fn change_count(&self) -> usize {
        self.synced_changes + self.changes.len()
    }

    pub fn synced_up_to(&mut self, count: usize) {
        let fresh = count.saturating_sub(self.synced_changes).min(self.changes.len());
        for change in self.changes.drain(..fresh) {
            self.synced.apply(&change);
        }
        self.synced_changes += fresh;
    }

    pub fn sync(&mut self) {
        self.synced_up_to(self.change_count());
    }

    /// The fetched snapshot becomes the whole log.
    pub fn restart_at(&mut self, id: OffsetAndEpoch) {
        let (partial_id, content) = self.partial.take().expect("a snapshot is finished that was never begun");
        assert_eq!(partial_id, id, "another snapshot is finished than was fetched");
        self.become_snapshot(id, content.into());
    }

    fn become_snapshot(&mut self, id: OffsetAndEpoch, content: Bytes) {
        self.snapshots = BTreeMap::from([(id, content)]);
        self.synced_changes += self.changes.len();
        self.changes.clear();
        self.files = Files { start_offset: id.offset, ..Files::default() };
        self.synced = self.files.clone();
    }

    /// Removes what the snapshot that ends at `log_start` stands for.
    pub fn clean(&mut self, log_start: i64) {
        self.sync();
        self.snapshots.retain(|id, _| id.offset >= log_start);
        self.files.start_offset = log_start;
        self.files.batches.retain(|batch| batch.end_offset > log_start);
        let covered = self.files.epochs.partition_point(|&(_, start)| start <= log_start);
        if covered > 0 {
            self.files.epochs.drain(..covered - 1);
            self.files.epochs[0].1 = log_start;
        }
        self.synced = self.files.clone();
    }

    /// Power fails: of the unsynced changes only the first few may have reached the disk, or none.
    pub fn crash(&mut self, rng: &mut Rng) {
        let most = if rng.chance(50) { self.changes.len() as u64 } else { 0 };
        let kept = rng.below(most + 1) as usize;
        self.synced_up_to(self.synced_changes + kept);
        self.changes.clear();
        self.files = self.synced.clone();
        self.partial = None;
    }

    /// What recovery finds. It fsyncs what it keeps, so all of it counts as flushed. A snapshot that outlived the
    /// unsynced log it was made of takes its place (`KafkaMetadataLog.apply`).
    pub fn recover(&mut self) -> LogState {
        let log_epoch = self.files.epochs.last().map_or(0, |&(epoch, _)| epoch);
        let log_end = OffsetAndEpoch::new(self.files.end_offset(), log_epoch);
        if let Some((&id, content)) = self.snapshots.iter().next_back()
            && id > log_end
        {
            self.become_snapshot(id, content.clone());
        }
        LogState {
            start_offset: self.files.start_offset,
            end_offset: self.files.end_offset(),
            flushed_offset: self.files.end_offset(),
            epochs: self.files.epochs.clone(),
            snapshots: self.snapshots.iter().map(|(id, content)| (*id, content.len() as u64)).collect(),
        }
    }
}
