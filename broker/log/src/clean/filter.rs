//! What compaction leaves of one batch (`MemoryRecords.filterTo`, `Cleaner.cleanInto`).

use std::collections::HashMap;

use bytes::Bytes;
use jackdaw_wire::batch::{BatchBuilder, BatchHeader, BatchRef, TimestampType};
use jackdaw_wire::compression::Compression;
use jackdaw_wire::records::RecordRef;

use super::offset_map::OffsetMap;
use super::transactions::CleanedTransactions;

/// A batch that unpacks to more is not compacted; the log says so and stays as it is.
const LARGEST_UNPACKED_BATCH_BYTES: usize = 1 << 30;

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
    /// Where compressed batches are unpacked.
    pub scratch: &'a mut Vec<u8>,
}

impl Filter<'_> {
    /// What is left of the batch, if anything; an error tells what is wrong with it.
    pub fn batch(
        &mut self,
        batch: &BatchRef,
        transactions: &mut CleanedTransactions,
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
        let mut scratch = std::mem::take(self.scratch);
        let left = self.rebuild(batch, is_lone_marker, &mut scratch);
        *self.scratch = scratch;
        let left = left?;
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
        scratch: &mut Vec<u8>,
    ) -> Result<Option<Bytes>, String> {
        let header = &batch.header;
        let mut kept = Vec::with_capacity(usize::try_from(header.record_count).unwrap_or(0).min(1 << 16));
        let mut has_tombstone = false;
        let records = batch.records(LARGEST_UNPACKED_BATCH_BYTES, scratch).map_err(|e| e.to_string())?;
        for record in records {
            let record = record.map_err(|e| e.to_string())?;
            if header.is_control() || self.keeps(header, &record) {
                has_tombstone |= record.value.is_none();
                kept.push(record);
            }
        }
        if kept.is_empty() {
            return Ok(None);
        }
        let known = header.delete_horizon_ms();
        let sets_horizon = known.is_none() && (has_tombstone || is_lone_marker);
        if kept.len() == usize::try_from(header.record_count).unwrap_or(0) && !sets_horizon {
            return Ok(Some(batch.bytes.clone()));
        }
        let horizon_ms = match sets_horizon {
            true => Some(self.now_ms.saturating_add(self.delete_retention_ms)),
            false => known,
        };
        Ok(Some(packed(header, &kept, horizon_ms)?))
    }

    /// `Cleaner.shouldRetainRecord`.
    fn keeps(&self, header: &BatchHeader, record: &RecordRef<'_>) -> bool {
        let offset = header.base_offset + i64::from(record.offset_delta);
        if offset > self.map.latest_offset() {
            return true;
        }
        let Some(key) = record.key else { return false };
        let is_latest = offset >= self.map.get(key);
        let keeps_tombstones = header.delete_horizon_ms().is_none_or(|horizon_ms| self.now_ms < horizon_ms);
        is_latest && (record.value.is_some() || keeps_tombstones)
    }
}

/// The kept records as a batch like the one they came from: offsets, sequences and codec are its own.
fn packed(header: &BatchHeader, kept: &[RecordRef<'_>], horizon_ms: Option<i64>) -> Result<Bytes, String> {
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
    if let Some(horizon_ms) = horizon_ms {
        builder = builder.delete_horizon(horizon_ms);
    }
    for record in kept {
        let timestamp_ms = header.timestamp_of(record.timestamp_delta_ms);
        builder.append_at(record.offset_delta, timestamp_ms, record.key, record.value, record.headers);
    }
    match header.compression().map_err(|e| e.to_string())? {
        Compression::None => Ok(builder.build()),
        codec => builder.build_compressed(codec).map_err(|e| e.to_string()),
    }
}
