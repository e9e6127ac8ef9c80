//! What must be true of the quorum as a whole, whatever happened: the promises of Raft, checked from outside.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use jackdaw_wire::OffsetAndEpoch;

use super::disk::{Batch, Disk};

/// Remembers what was ever promised.
#[derive(Debug, Default)]
pub struct Oracle {
    leaders: BTreeMap<i32, (i32, u64)>,
    votes: BTreeMap<(i32, i32), i32>,
    /// Per batch end and epoch: the hash of everything up to there. Log matching: there is only one.
    chains: BTreeMap<OffsetAndEpoch, u64>,
    /// Committed batches, in order, with no gaps.
    pub committed: Vec<Batch>,
}

fn chain(before: u64, batch: &Batch) -> u64 {
    let mut hasher = DefaultHasher::new();
    (before, &batch.bytes).hash(&mut hasher);
    hasher.finish()
}

impl Oracle {
    /// One leader per epoch; and not the same node twice, as a restart may have lost what it appended.
    pub fn elected(&mut self, node: i32, life: u64, epoch: i32, disk: &Disk) {
        let first = *self.leaders.entry(epoch).or_insert((node, life));
        assert_eq!(first, (node, life), "two leaders in epoch {epoch}");
        let end = self.committed_end();
        assert!(
            disk.end_offset() >= end,
            "leader {node} of epoch {epoch} lacks committed records below {end}"
        );
        for committed in self.committed.iter().filter(|batch| batch.base_offset >= disk.start_offset()) {
            let at = disk.batches().partition_point(|batch| batch.base_offset < committed.base_offset);
            assert_eq!(
                disk.batches().get(at),
                Some(committed),
                "leader {node} of epoch {epoch} has other than the committed records"
            );
        }
    }

    pub fn voted(&mut self, voter: i32, epoch: i32, candidate: i32) {
        let first = *self.votes.entry((voter, epoch)).or_insert(candidate);
        assert_eq!(first, candidate, "node {voter} voted twice in epoch {epoch}");
    }

    /// A batch was appended after `before` (the log's end, with its epoch).
    pub fn appended(&mut self, node: i32, before: OffsetAndEpoch, batch: &Batch) {
        let base = if before.offset == 0 { Some(0) } else { self.chains.get(&before).copied() };
        let base = base.unwrap_or_else(|| panic!("node {node} appends after {before}, which nobody wrote"));
        let id = OffsetAndEpoch::new(batch.end_offset, batch.epoch);
        let hash = chain(base, batch);
        let known = *self.chains.entry(id).or_insert(hash);
        assert_eq!(known, hash, "node {node} has another log up to {id} than someone else");
    }

    pub fn committed_end(&self) -> i64 {
        self.committed.last().map_or(0, |batch| batch.end_offset)
    }

    /// A node says that everything below `mark` is committed: it is, for all time, and it survives any crash of a
    /// minority.
    pub fn committed<'a>(
        &mut self,
        node: i32,
        mark: i64,
        disk: &Disk,
        voters: impl Iterator<Item = &'a Disk>,
    ) {
        let known_end = self.committed_end();
        for batch in disk.batches().iter().take_while(|batch| batch.end_offset <= mark) {
            if batch.base_offset >= known_end {
                self.committed.push(batch.clone());
            } else {
                let at = self.committed.partition_point(|known| known.base_offset < batch.base_offset);
                assert_eq!(self.committed.get(at), Some(batch), "node {node} changes what was committed");
            }
        }
        assert!(self.committed_end() >= mark, "node {node} commits {mark}, beyond all it has");
        let newest: Vec<Batch> =
            self.committed.iter().filter(|batch| batch.base_offset >= known_end).cloned().collect();
        let disks: Vec<&Disk> = voters.collect();
        for batch in newest {
            let safe = disks.iter().filter(|disk| disk.has_synced(&batch)).count();
            assert!(
                safe > disks.len() / 2,
                "node {node} commits {mark}, but {}..{} is safe on {safe} of {} disks",
                batch.base_offset,
                batch.end_offset,
                disks.len()
            );
        }
    }

    /// What a snapshot of the committed log up to `id` contains: long enough to come in pieces.
    pub fn snapshot_content(id: OffsetAndEpoch) -> Vec<u8> {
        let length = 1 + (id.offset as usize * 37) % 300;
        (0..length).map(|at| (at as i64 * 31 + id.offset * 7 + i64::from(id.epoch)) as u8).collect()
    }
}
