//! `<offset>.snapshot`: the producers of a partition as of an offset, in version 1 of Kafka's format
//! (`ProducerStateManager.writeSnapshot`). Without the one at the log's end, a JVM that finds a clean stop forgets
//! every producer.

use crate::producer::{ProducerBatch, ProducerEntry};

const VERSION: i16 = 1;
const CRC_AT: usize = 2;
/// The checksum covers all from the count of entries on.
const ENTRIES_AT: usize = 6;
const ENTRY_BYTES: usize = 8 + 2 + 4 + 8 + 4 + 8 + 4 + 8;

/// Why a snapshot is not usable; the loader falls back to an earlier one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SnapshotFault {
    #[error("Snapshot contained an unknown file version {0}")]
    Version(i16),
    #[error("Snapshot is corrupt (CRC is no longer valid). Stored crc: {stored}. Computed crc: {computed}")]
    Crc { stored: u32, computed: u32 },
    #[error("Snapshot failed schema validation: {bytes} bytes")]
    Length { bytes: usize },
}

pub(crate) fn encode<'a>(producers: impl ExactSizeIterator<Item = &'a ProducerEntry>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ENTRIES_AT + 4 + producers.len() * ENTRY_BYTES);
    bytes.extend(VERSION.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend((producers.len() as i32).to_be_bytes());
    for entry in producers {
        bytes.extend(entry.producer_id.to_be_bytes());
        bytes.extend(entry.producer_epoch.to_be_bytes());
        bytes.extend(entry.last_sequence().to_be_bytes());
        bytes.extend(entry.last_data_offset().to_be_bytes());
        bytes.extend(entry.last_offset_delta().to_be_bytes());
        bytes.extend(entry.last_timestamp_ms.to_be_bytes());
        bytes.extend(entry.coordinator_epoch.to_be_bytes());
        bytes.extend(entry.current_txn_first_offset.unwrap_or(-1).to_be_bytes());
    }
    let crc = crc32c::crc32c(&bytes[ENTRIES_AT..]);
    bytes[CRC_AT..ENTRIES_AT].copy_from_slice(&crc.to_be_bytes());
    bytes
}

pub(crate) fn decode(bytes: &[u8]) -> Result<Vec<ProducerEntry>, SnapshotFault> {
    let fault = SnapshotFault::Length { bytes: bytes.len() };
    let mut fields = Fields(bytes);
    let version = fields.i16().ok_or(fault.clone())?;
    if version != VERSION {
        return Err(SnapshotFault::Version(version));
    }
    let stored = fields.i32().ok_or(fault.clone())? as u32;
    let computed = crc32c::crc32c(fields.0);
    if stored != computed {
        return Err(SnapshotFault::Crc { stored, computed });
    }
    let count = fields.i32().ok_or(fault.clone())?;
    (0..count).map(|_| entry(&mut fields).ok_or(fault.clone())).collect()
}

fn entry(fields: &mut Fields<'_>) -> Option<ProducerEntry> {
    let producer_id = fields.i64()?;
    let producer_epoch = fields.i16()?;
    let last_sequence = fields.i32()?;
    let last_offset = fields.i64()?;
    let offset_delta = fields.i32()?;
    let timestamp_ms = fields.i64()?;
    let coordinator_epoch = fields.i32()?;
    let txn_first_offset = fields.i64()?;
    let batch = ProducerBatch { last_sequence, last_offset, offset_delta, timestamp_ms };
    Some(ProducerEntry {
        producer_id,
        producer_epoch,
        coordinator_epoch,
        last_timestamp_ms: timestamp_ms,
        current_txn_first_offset: (txn_first_offset >= 0).then_some(txn_first_offset),
        batches: if last_offset >= 0 { vec![batch] } else { Vec::new() },
    })
}

struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn i16(&mut self) -> Option<i16> {
        self.take().map(i16::from_be_bytes)
    }

    fn i32(&mut self) -> Option<i32> {
        self.take().map(i32::from_be_bytes)
    }

    fn i64(&mut self) -> Option<i64> {
        self.take().map(i64::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_read_back_and_damage_is_found() {
        let batch = ProducerBatch { last_sequence: 9, last_offset: 42, offset_delta: 4, timestamp_ms: 1000 };
        let with_batch = ProducerEntry {
            producer_id: 7,
            producer_epoch: 1,
            coordinator_epoch: 3,
            last_timestamp_ms: 1000,
            current_txn_first_offset: Some(38),
            batches: vec![batch],
        };
        let without = ProducerEntry {
            producer_id: 8,
            current_txn_first_offset: None,
            batches: vec![],
            ..with_batch.clone()
        };
        let entries = [with_batch, without];
        let bytes = encode(entries.iter());
        assert_eq!(bytes.len(), 10 + 2 * 46);
        assert_eq!(decode(&bytes).unwrap(), entries);
        let mut damaged = bytes.clone();
        damaged[20] ^= 1;
        assert!(matches!(decode(&damaged), Err(SnapshotFault::Crc { .. })));
        damaged = bytes.clone();
        damaged[1] = 2;
        assert_eq!(decode(&damaged), Err(SnapshotFault::Version(2)));
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length]).is_err(), "cut at {length}");
        }
    }
}
