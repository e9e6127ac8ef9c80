//! Which transactions are open at a place of the log while it is compacted (`CleanedTransactionMetadata`): records of
//! aborted ones go at once, and a marker stays for as long as any record of its transaction does.

use std::collections::{BTreeMap, HashMap, HashSet};

use jackdaw_wire::batch::{BatchHeader, BatchRef};

use crate::batch::end_marker;
use crate::index::AbortedTxn;

#[derive(Debug, Clone, Copy)]
struct Aborted {
    txn: AbortedTxn,
    /// A batch of it is still in the log.
    was_seen: bool,
}

#[derive(Debug, Default)]
pub(crate) struct CleanedTransactions {
    committed: HashSet<i64>,
    aborted: HashMap<i64, Aborted>,
    /// Aborted ones that begin further on, by first offset.
    ahead: BTreeMap<(i64, i64), AbortedTxn>,
    /// Aborted ones whose marker stays: the index of the segment that is written.
    kept: Vec<AbortedTxn>,
}

impl CleanedTransactions {
    pub fn add_aborted(&mut self, txns: Vec<AbortedTxn>) {
        self.ahead.extend(txns.into_iter().map(|txn| ((txn.first_offset, txn.producer_id), txn)));
    }

    pub fn take_kept(&mut self) -> Vec<AbortedTxn> {
        std::mem::take(&mut self.kept)
    }

    fn pass(&mut self, offset: i64) {
        while let Some(entry) = self.ahead.first_entry().filter(|entry| entry.key().0 <= offset) {
            let txn = entry.remove();
            self.aborted.entry(txn.producer_id).or_insert(Aborted { txn, was_seen: false });
        }
    }

    /// Takes a control batch into account; whether it may go.
    pub fn control_batch(&mut self, batch: &BatchRef) -> bool {
        self.pass(batch.header.last_offset());
        if batch.header.record_count == 0 {
            return true;
        }
        let producer = batch.header.producer_id;
        match end_marker(batch.body()) {
            Some(marker) if marker.is_abort => match self.aborted.remove(&producer) {
                Some(Aborted { txn, was_seen: true }) => {
                    self.kept.push(txn);
                    false
                }
                _ => true,
            },
            Some(_) => !self.committed.remove(&producer),
            None => false,
        }
    }

    /// Takes a batch of records into account; whether it is of an aborted transaction.
    pub fn batch(&mut self, header: &BatchHeader) -> bool {
        self.pass(header.last_offset());
        if !header.is_transactional() {
            return false;
        }
        match self.aborted.get_mut(&header.producer_id) {
            Some(aborted) => {
                aborted.was_seen = true;
                true
            }
            None => {
                self.committed.insert(header.producer_id);
                false
            }
        }
    }
}
