//! What compaction leaves of one batch (`MemoryRecords.filterTo`, `Cleaner.cleanInto`).
//!
//! Records are unpacked as they are looked at, and once more as those that stay are copied: a small batch may hold
//! gigabytes of them.

use std::collections::HashMap;
use std::ops::ControlFlow;

use bytes::Bytes;
use jackdaw_wire::batch::{BatchBuilder, BatchHeader, BatchRef, RecordsError, TimestampType, Visit};
use jackdaw_wire::compression::Allowance;
use jackdaw_wire::records::RecordShape;

use super::offset_map::{KeyHash, OffsetMap};
use super::transactions::CleanedTransactions;

/// What a producer wrote last (`LastRecord`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LastRecord {
    /// None right after a new epoch: then it is the marker of that epoch.
    pub data_offset: Option<i64>,
    pub producer_epoch: i16,
}

/// By what records are kept.
#[derive(Debug)]
pub(crate) struct Filter<'a> {
    pub map: &'a OffsetMap,
    pub last_records: &'a HashMap<i64, LastRecord>,
    pub now_ms: i64,
    pub delete_retention_ms: i64,
}

impl Filter<'_> {
    /// What is left of the batch, if anything; an error tells what is wrong with it. Its records pass through
    /// `buffer`.
    pub fn batch(
        &self,
        batch: &BatchRef,
        transactions: &mut CleanedTransactions,
        buffer: &mut Vec<u8>,
    ) -> Result<Option<Bytes>, String> {
        let header = &batch.header;
        let horizon_ms = header.delete_horizon_ms();
        let may_go = match header.is_control() {
            true => transactions.control_batch(batch),
            false => transactions.batch(header),
        };
        // Markers stay for a while after the last record of their transaction, as tombstones do.
        let discards = may_go && (!header.is_control() || horizon_ms.is_some_and(|ms| ms <= self.now_ms));
        let is_last = header.has_producer_id() && self.is_last_of_producer(header);
        if discards {
            return Ok(is_last.then(|| header.emptied()));
        }
        let is_lone_marker = may_go && header.is_control();
        let left = self.rebuild(batch, is_lone_marker, buffer).map_err(|error| error.to_string())?;
        Ok(left.or_else(|| is_last.then(|| header.emptied())))
    }

    /// The producer's epoch or last sequence are nowhere else in the log.
    fn is_last_of_producer(&self, header: &BatchHeader) -> bool {
        self.last_records.get(&header.producer_id).is_some_and(|last| match last.data_offset {
            Some(offset) => header.last_offset() == offset,
            None => header.is_control() && header.producer_epoch == last.producer_epoch,
        })
    }

    fn rebuild(
        &self,
        batch: &BatchRef,
        is_lone_marker: bool,
        buffer: &mut Vec<u8>,
    ) -> Result<Option<Bytes>, RecordsError> {
        let (header, kept) = (&batch.header, Places::default());
        let mut look = Look { filter: self, header, key: self.map.key(), kept, has_tombstone: false };
        let unbounded = Allowance::new(usize::MAX);
        batch.walk(&unbounded, buffer, &mut look)?;
        let Look { kept, has_tombstone, .. } = look;
        if kept.count == 0 {
            return Ok(None);
        }
        let known = header.delete_horizon_ms();
        let sets_horizon = known.is_none() && (has_tombstone || is_lone_marker);
        if kept.count == kept.len && !sets_horizon {
            return Ok(Some(batch.bytes.clone()));
        }
        let horizon_ms = match sets_horizon {
            true => Some(self.now_ms.saturating_add(self.delete_retention_ms)),
            false => known,
        };
        let mut places = kept.iter();
        batch.copy_some(builder_like(header, horizon_ms), buffer, || places.next().unwrap_or(false)).map(Some)
    }

    /// `Cleaner.shouldRetainRecord`.
    fn keeps(&self, header: &BatchHeader, record: RecordShape, key: (u64, u64)) -> bool {
        let offset = header.base_offset + i64::from(record.offset_delta);
        if offset > self.map.latest_offset() {
            return true;
        }
        let is_latest = record.has_key() && offset >= self.map.get(key);
        let keeps_tombstones = header.delete_horizon_ms().is_none_or(|horizon_ms| self.now_ms < horizon_ms);
        is_latest && (record.has_value() || keeps_tombstones)
    }
}

/// Finds out which records of a batch stay.
struct Look<'a> {
    filter: &'a Filter<'a>,
    header: &'a BatchHeader,
    key: KeyHash,
    kept: Places,
    has_tombstone: bool,
}

impl Visit for Look<'_> {
    type Error = RecordsError;

    fn key(&mut self, piece: &[u8]) {
        self.key.add(piece);
    }

    fn record(&mut self, record: RecordShape) -> Result<ControlFlow<()>, RecordsError> {
        let key = self.key.take();
        let stays = self.header.is_control() || self.filter.keeps(self.header, record, key);
        self.has_tombstone |= stays && !record.has_value();
        self.kept.push(stays);
        Ok(ControlFlow::Continue(()))
    }
}

/// A yes or no for each record of a batch, of which there may be hundreds of millions.
#[derive(Default)]
struct Places {
    words: Vec<u64>,
    len: usize,
    /// How many are a yes.
    count: usize,
}

impl Places {
    fn push(&mut self, yes: bool) {
        if self.len.is_multiple_of(64) {
            self.words.push(0);
        }
        if let Some(word) = self.words.last_mut() {
            *word |= u64::from(yes) << (self.len % 64);
        }
        self.len += 1;
        self.count += usize::from(yes);
    }

    fn iter(&self) -> impl Iterator<Item = bool> {
        self.words.iter().flat_map(|word| (0..64).map(move |bit| word >> bit & 1 == 1))
    }
}

/// For a batch like the one that the records come from: offsets and sequences are its own.
fn builder_like(header: &BatchHeader, horizon_ms: Option<i64>) -> BatchBuilder {
    let mut builder = BatchBuilder::new(header.base_offset, header.partition_leader_epoch)
        .producer(header.producer_id, header.producer_epoch, header.base_sequence)
        .last_offset_delta(header.last_offset_delta);
    if header.is_transactional() {
        builder = builder.transactional();
    }
    if header.is_control() {
        builder = builder.control();
    }
    if header.timestamp_type() == TimestampType::LogAppendTime {
        builder = builder.log_append_time(header.max_timestamp);
    }
    match horizon_ms {
        Some(horizon_ms) => builder.delete_horizon(horizon_ms),
        None => builder,
    }
}
