//! What Kafka promises of a partition under clean elections, looked at from outside after each event.
//!
//! Who sees everything need not wait for the election that makes a broken rule cost a record: what any replica takes
//! for committed must be, at that very moment, in the log of each member of the ISR that the controller has, for any
//! of them may lead next. The rules of replication must not be restated here, only what they are for.

use super::log::{ModelLog, Record};

#[derive(Debug, Default)]
pub(super) struct Oracle {
    /// The longest prefix that any replica took for committed.
    committed: Vec<Record>,
    acknowledged: usize,
}

impl Oracle {
    /// A running replica takes its log for committed up to `high_watermark`.
    pub fn commits(&mut self, broker: i32, log: &mut ModelLog, high_watermark: i64) {
        let end = high_watermark as usize;
        if end <= log.verified {
            return;
        }
        for at in log.verified..end {
            let held = log.records()[at];
            match self.committed.get(at) {
                Some(committed) => assert_eq!(
                    *committed, held,
                    "broker {broker} takes another record for committed at offset {at}"
                ),
                None => self.committed.push(held),
            }
        }
        log.verified = end;
    }

    /// The broker may lead: nothing that is committed may be lacking.
    pub fn may_lead(&self, broker: i32, log: &mut ModelLog) {
        for at in log.verified..self.committed.len() {
            assert_eq!(
                log.records().get(at),
                Some(&self.committed[at]),
                "broker {broker} is in the ISR without what is committed at offset {at}"
            );
        }
        log.verified = self.committed.len().max(log.verified);
    }

    /// A producer was told that its record is safe.
    pub fn acknowledges(&mut self, offset: i64, record: Record) {
        let committed = self.committed.get(offset as usize);
        assert_eq!(committed, Some(&record), "acknowledged at offset {offset} what is not committed");
        self.acknowledged += 1;
    }

    pub fn acknowledged(&self) -> usize {
        self.acknowledged
    }
}
