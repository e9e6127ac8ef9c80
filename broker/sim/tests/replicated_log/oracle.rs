//! What is promised of one partition, seen from outside.

use std::collections::BTreeMap;

/// A record, as far as it is told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    pub key: u64,
    pub value: u64,
}

/// The records that some replica took for committed.
#[derive(Debug, Default)]
pub struct Oracle {
    committed: BTreeMap<i64, Written>,
    end: i64,
    /// The last of the ISR lost its power. Of what it had flushed, what it comes back with is what there is.
    is_reset: bool,
    /// What superseded a record was lost once: the record may be here and not there.
    has_lost: bool,
    lost_at: i64,
}

impl Oracle {
    pub fn end(&self) -> i64 {
        self.end
    }

    /// Whether what was committed was lost once, as may be: high watermarks from before are not believed.
    pub fn has_lost(&self) -> bool {
        self.has_lost
    }

    /// A replica with this log takes it for committed up to `high_watermark`. A later copy may lack what compaction took.
    pub fn commits(&mut self, broker: i32, records: &BTreeMap<i64, Written>, high_watermark: i64) {
        for (offset, found) in records.range(..high_watermark) {
            match self.committed.get(offset) {
                Some(known) => {
                    assert_eq!(known, found, "broker {broker} has another record at offset {offset}")
                }
                None if self.has_lost && *offset < self.end => {}
                None => {
                    assert!(
                        *offset >= self.end,
                        "broker {broker} has a record at offset {offset}, where none was"
                    );
                    self.committed.insert(*offset, *found);
                }
            }
        }
        self.end = self.end.max(high_watermark);
    }

    /// The broker may lead: it has all that is committed, or of each key the last where it compacts.
    pub fn may_lead(
        &mut self,
        broker: i32,
        records: &BTreeMap<i64, Written>,
        log_end: i64,
        is_compacted: bool,
    ) {
        assert!(log_end >= self.end, "broker {broker} ends at {log_end}, and {} is committed", self.end);
        if !is_compacted {
            let found = records.range(..self.end);
            assert!(found.eq(self.committed.iter()), "broker {broker} lacks records that are committed");
            return;
        }
        if std::mem::take(&mut self.is_reset) {
            // What superseded a record may be among the lost, and the record may never have been copied here.
            self.lost_at = log_end;
            self.committed = records.range(..self.end).map(|(offset, written)| (*offset, *written)).collect();
        }
        let mut last = BTreeMap::new();
        for (offset, written) in &self.committed {
            last.insert(written.key, (*offset, *written));
        }
        // What superseded an older one may have been lost after one replica compacted by it, and before another did.
        let floor = self.lost_at;
        for (offset, written) in last.values().filter(|(offset, _)| *offset >= floor) {
            let found = records.get(offset);
            // What is not committed yet may have taken its place in no log: compaction ends below the high watermark.
            assert_eq!(
                found,
                Some(written),
                "broker {broker} lacks the last of key {} at {offset}",
                written.key
            );
        }
        for (offset, found) in records.range(..self.end) {
            let known = self.committed.get(offset);
            let is_known = known == Some(found) || (self.has_lost && known.is_none());
            assert!(is_known, "broker {broker} has {found:?} at {offset}, and committed is {known:?}");
        }
    }

    /// The last member of the ISR lost its power, and had flushed so much.
    pub fn lost_power(&mut self, flushed: i64) {
        self.end = self.end.min(flushed);
        self.committed.split_off(&self.end);
        self.is_reset = true;
        self.has_lost = true;
    }
}
