//! What must be true of the quorum as a whole, whatever happened: the promises of Raft, checked from outside.
//!
//! No rule of the machine is used here: only what nodes have on their disks, and what they said of it.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use jackdaw_wire::OffsetAndEpoch;

use super::disk::{Batch, Disk};

/// A leader as it was when it was elected.
#[derive(Debug)]
struct Elected {
    node: i32,
    life: u64,
    disk: Disk,
}

/// A batch that is committed for all time.
#[derive(Debug)]
struct Committed {
    batch: Batch,
    /// Of the leader that committed it first.
    epoch: i32,
}

/// Remembers what was ever promised.
#[derive(Debug, Default)]
pub struct Oracle {
    leaders: BTreeMap<i32, Elected>,
    votes: BTreeMap<(i32, i32), i32>,
    /// Per batch end and epoch: the hash of everything up to there. Log matching: there is only one.
    chains: BTreeMap<OffsetAndEpoch, u64>,
    /// In order, with no gaps.
    committed: Vec<Committed>,
    /// Per voter: how many of the first committed batches its synced log has.
    safe: BTreeMap<i32, usize>,
}

fn chain(before: u64, batch: &Batch) -> u64 {
    let mut hasher = DefaultHasher::new();
    (before, &batch.bytes).hash(&mut hasher);
    hasher.finish()
}

/// Leader completeness: what an epoch has committed, every leader of a later epoch has. A leader of an *earlier*
/// epoch need not have it: when votes come late, one may still be elected after the later epoch has committed.
fn check_complete(epoch: i32, leader: &Elected, committed: &Committed) {
    let batch = &committed.batch;
    assert!(
        committed.epoch >= epoch || leader.disk.has(batch),
        "leader {} of epoch {epoch} was elected without {}..{} of epoch {}, committed in epoch {}",
        leader.node,
        batch.base_offset,
        batch.end_offset,
        batch.epoch,
        committed.epoch
    );
}

impl Oracle {
    /// One leader per epoch; and not the same node twice, as a restart may have lost what it appended.
    pub fn elected(&mut self, node: i32, life: u64, epoch: i32, disk: &Disk) {
        let leader = Elected { node, life, disk: disk.clone() };
        self.committed.iter().for_each(|committed| check_complete(epoch, &leader, committed));
        let first = self.leaders.entry(epoch).or_insert(leader);
        assert_eq!((first.node, first.life), (node, life), "two leaders in epoch {epoch}");
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
        self.committed.last().map_or(0, |committed| committed.batch.end_offset)
    }

    /// A node that leads `epoch`, or follows its leader, says that everything below `mark` is committed: it is, for
    /// all time, and it survives any crash of a minority.
    pub fn committed<'a>(
        &mut self,
        node: i32,
        epoch: i32,
        mark: i64,
        disk: &Disk,
        voters: impl Iterator<Item = (i32, &'a Disk)>,
    ) {
        let known_end = self.committed_end();
        let first = disk.batches().partition_point(|batch| batch.base_offset < known_end);
        for batch in disk.batches()[first..].iter().take_while(|batch| batch.end_offset <= mark) {
            let committed = Committed { batch: batch.clone(), epoch };
            for (&later, leader) in self.leaders.range(epoch + 1..) {
                check_complete(later, leader, &committed);
            }
            self.committed.push(committed);
        }
        assert!(self.committed_end() >= mark, "node {node} commits {mark}, beyond all it has");
        let last = self.committed.partition_point(|committed| committed.batch.end_offset <= mark);
        if let Some(last) = last.checked_sub(1).and_then(|at| self.committed.get(at)) {
            assert!(disk.has(&last.batch), "node {node} commits other than was committed up to {mark}");
        }
        if self.committed_end() > known_end {
            voters.for_each(|(voter, disk)| self.count_safe(voter, disk));
            self.check_safe();
        }
    }

    /// A voter's disk has changed: a majority still has all that is committed.
    pub fn synced(&mut self, voter: i32, disk: &Disk) {
        self.count_safe(voter, disk);
        self.check_safe();
    }

    fn count_safe(&mut self, voter: i32, disk: &Disk) {
        // Logs that have a batch have all before it: `appended` sees to that.
        let count = self.committed.partition_point(|committed| disk.has_synced(&committed.batch));
        self.safe.insert(voter, count);
    }

    fn check_safe(&self) {
        let mut counts: Vec<usize> = self.safe.values().copied().collect();
        counts.sort_unstable_by(|left, right| right.cmp(left));
        let on_majority = counts.get(counts.len() / 2).copied().unwrap_or_default();
        assert!(
            on_majority >= self.committed.len(),
            "committed up to {}, but a majority of the disks has less: {:?}",
            self.committed_end(),
            self.safe
                .iter()
                .map(|(&voter, &count)| (
                    voter,
                    self.committed[..count].last().map(|last| last.batch.end_offset)
                ))
                .collect::<Vec<_>>()
        );
    }

    /// What a snapshot of the committed log up to `id` contains: long enough to come in pieces.
    pub fn snapshot_content(id: OffsetAndEpoch) -> Vec<u8> {
        let length = 1 + (id.offset as usize * 37) % 300;
        (0..length).map(|at| (at as i64 * 31 + id.offset * 7 + i64::from(id.epoch)) as u8).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    /// A disk with batches of one record each, of these epochs.
    fn disk(epochs: &[i32]) -> Disk {
        let mut disk = Disk::default();
        for (offset, &epoch) in (0..).zip(epochs) {
            disk.append(Batch {
                base_offset: offset,
                end_offset: offset + 1,
                epoch,
                bytes: vec![0; 4].into(),
            });
        }
        disk.sync();
        disk
    }

    fn commit(oracle: &mut Oracle, epoch: i32, disks: [&Disk; 3]) {
        let mark = disks[0].end_offset();
        oracle.committed(1, epoch, mark, disks[0], (1..).zip(disks));
    }

    fn check_notices(breach: &str, happen: impl FnOnce()) {
        let noticed = catch_unwind(AssertUnwindSafe(happen)).is_err();
        assert!(noticed, "{breach} goes unnoticed");
    }

    #[test]
    fn a_leader_whose_votes_came_late_need_not_have_what_a_later_epoch_committed() {
        let mut oracle = Oracle::default();
        oracle.elected(1, 0, 3, &disk(&[1]));
        commit(&mut oracle, 3, [&disk(&[1, 3]), &disk(&[1, 3]), &disk(&[1])]);
        // Its vote of epoch 2 was given before epoch 3 was heard of.
        oracle.elected(3, 0, 2, &disk(&[1]));
    }

    #[test]
    fn a_leader_must_have_what_earlier_epochs_committed_whichever_is_told_first() {
        let (short, long) = (disk(&[1]), disk(&[1, 2]));
        check_notices("an election without committed records", || {
            let mut oracle = Oracle::default();
            commit(&mut oracle, 2, [&long, &long, &short]);
            oracle.elected(3, 0, 3, &short);
        });
        check_notices("a commit that a later leader lacks", || {
            let mut oracle = Oracle::default();
            oracle.elected(3, 0, 3, &short);
            commit(&mut oracle, 2, [&long, &long, &short]);
        });
    }

    #[test]
    fn a_majority_must_keep_what_is_committed() {
        let (short, long) = (disk(&[1]), disk(&[1, 2]));
        check_notices("a commit on one disk", || commit(&mut Oracle::default(), 2, [&long, &short, &short]));
        check_notices("a commit that is lost again", || {
            let mut oracle = Oracle::default();
            commit(&mut oracle, 2, [&long, &long, &short]);
            oracle.synced(2, &short);
        });
    }
}
