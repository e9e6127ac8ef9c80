//! What the log needs to know of a batch, and how batches are found in a file.
//!
//! The wire crate owns the format; here are only the few fields by which a log keeps its books, read from the
//! fixed header without touching the records behind it.

use std::path::Path;

use jackdaw_wire::batch::{BatchError, BatchHeader, HEADER_BYTES, LOG_OVERHEAD_BYTES, size_of_next};
use jackdaw_wire::control_record::ControlRecord;
use jackdaw_wire::records::records;
use jackdaw_wire::validate::BatchInfo;

use crate::disk::DiskFile;
use crate::error::{AtPath, StorageError};

/// Transaction end marker (`EndTransactionMarker`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EndMarker {
    pub is_abort: bool,
    pub coordinator_epoch: i32,
}

/// The books of one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchMeta {
    pub base_offset: i64,
    pub last_offset: i64,
    pub size_bytes: usize,
    pub leader_epoch: i32,
    pub max_timestamp_ms: i64,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub last_sequence: i32,
    pub is_transactional: bool,
    pub is_control: bool,
}

/// The largest offset that a batch or a segment may begin with: what is counted on from it stays a number. Only damage
/// gets there.
pub(crate) const MAX_OFFSET: i64 = i64::MAX - (1 << 33);

/// Why bytes are no batch of a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BatchFault {
    #[error(transparent)]
    Batch(#[from] BatchError),
    #[error("an offset below zero")]
    NegativeOffset,
    #[error("no log gets as far as offset {0}")]
    OffsetTooLarge(i64),
    #[error("offset {offset} does not follow {previous}")]
    OffsetGoesBack { previous: i64, offset: i64 },
    #[error("leader epoch {epoch} follows epoch {previous}")]
    EpochGoesBack { previous: i32, epoch: i32 },
}

impl From<&BatchInfo> for BatchMeta {
    fn from(info: &BatchInfo) -> Self {
        Self {
            base_offset: info.base_offset,
            last_offset: info.last_offset,
            size_bytes: info.size_bytes,
            leader_epoch: info.partition_leader_epoch,
            max_timestamp_ms: info.max_timestamp,
            producer_id: info.producer_id,
            producer_epoch: info.producer_epoch,
            base_sequence: info.base_sequence,
            last_sequence: info.last_sequence,
            is_transactional: info.is_transactional,
            is_control: info.is_control,
        }
    }
}

impl BatchMeta {
    /// Reads a header. `bytes` may go on behind it, and need not hold the records.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchFault> {
        let header = BatchHeader::parse(bytes)?;
        if header.base_offset < 0 || header.last_offset_delta < 0 {
            return Err(BatchFault::NegativeOffset);
        }
        if header.base_offset > MAX_OFFSET {
            return Err(BatchFault::OffsetTooLarge(header.base_offset));
        }
        Ok(Self {
            base_offset: header.base_offset,
            last_offset: header.last_offset(),
            size_bytes: header.size_bytes(),
            leader_epoch: header.partition_leader_epoch,
            max_timestamp_ms: header.max_timestamp,
            producer_id: header.producer_id,
            producer_epoch: header.producer_epoch,
            base_sequence: header.base_sequence,
            last_sequence: header.last_sequence(),
            is_transactional: header.is_transactional(),
            is_control: header.is_control(),
        })
    }

    pub fn has_producer_id(&self) -> bool {
        self.producer_id > -1
    }
}

/// Whether a file goes on in a format of before 0.11, which is known and not read here. Torn bytes may look like
/// it; only a right checksum (the CRC-32 of that format) makes it one.
pub(crate) fn is_legacy(bytes: &[u8]) -> bool {
    if !matches!(BatchHeader::parse(bytes), Err(BatchError::LegacyMagic(_))) {
        return false;
    }
    let whole = size_of_next(bytes).ok().and_then(|size| bytes.get(..size));
    let stored = bytes.get(LOG_OVERHEAD_BYTES..MAGIC_AT).and_then(|word| word.first_chunk::<4>());
    match (whole, stored) {
        (Some(message), Some(stored)) => crc32(&message[MAGIC_AT..]) == u32::from_be_bytes(*stored),
        _ => false,
    }
}

/// The magic's place, and where the checksum of the old formats begins to count.
const MAGIC_AT: usize = 16;

/// CRC-32 as in gzip, bit by bit: needed once, for a file that is refused.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

/// The end marker that a control batch of a producer carries in its one uncompressed record; `None` for other
/// control records.
pub(crate) fn end_marker(body: &[u8]) -> Option<EndMarker> {
    let record = records(body, 1).next()?.ok()?;
    match ControlRecord::decode(record.key?, record.value?).ok()? {
        ControlRecord::Abort { coordinator_epoch } => Some(EndMarker { is_abort: true, coordinator_epoch }),
        ControlRecord::Commit { coordinator_epoch } => Some(EndMarker { is_abort: false, coordinator_epoch }),
        _ => None,
    }
}

/// A batch found in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FoundBatch {
    pub position: u64,
    pub meta: BatchMeta,
}

impl FoundBatch {
    pub fn end(&self) -> u64 {
        self.position + self.meta.size_bytes as u64
    }
}

/// Walks the headers of the batches in a file through a small window, from `position` up to `end`.
pub(crate) struct HeaderWalk<'a> {
    file: &'a dyn DiskFile,
    path: &'a Path,
    position: u64,
    end: u64,
    window: Vec<u8>,
    window_at: u64,
}

/// Large enough for the batches between two index entries of small records.
const WINDOW_BYTES: u64 = 8 * 1024;

/// What comes next in a file: a batch, or bytes that are none. A disk that fails is another matter.
pub type Step = Result<FoundBatch, BatchFault>;

impl<'a> HeaderWalk<'a> {
    pub fn new(file: &'a dyn DiskFile, path: &'a Path, position: u64, end: u64) -> Self {
        Self { file, path, position, end, window: Vec::new(), window_at: 0 }
    }

    /// The next batch that lies wholly before the end; `Ok(Err(_))` where what follows is none.
    pub fn next(&mut self) -> Result<Option<Step>, StorageError> {
        if self.position >= self.end {
            return Ok(None);
        }
        let header = match self.window_of(self.position)? {
            Some(offset) => &self.window[offset..],
            None => &[],
        };
        let meta = match BatchMeta::parse(header) {
            Ok(meta) => meta,
            Err(fault) => return Ok(Some(Err(fault))),
        };
        let found = FoundBatch { position: self.position, meta };
        if found.end() > self.end {
            let have = (self.end - self.position) as usize;
            let cut_off = BatchError::Truncated { needed: meta.size_bytes, available: have };
            return Ok(Some(Err(cut_off.into())));
        }
        self.position = found.end();
        Ok(Some(Ok(found)))
    }

    /// Brings the header at `position` into the window; where in the window it starts.
    fn window_of(&mut self, position: u64) -> Result<Option<usize>, StorageError> {
        let needed_to = (position + HEADER_BYTES as u64).min(self.end);
        let window_to = self.window_at + self.window.len() as u64;
        if position < self.window_at || needed_to > window_to {
            let wanted = WINDOW_BYTES.min(self.end - position) as usize;
            self.window.resize(wanted, 0);
            let read = self.file.read_at(position, &mut self.window).at("reading", self.path)?;
            self.window.truncate(read);
            self.window_at = position;
        }
        Ok(Some((position - self.window_at) as usize).filter(|offset| *offset <= self.window.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_right_checksum_makes_torn_bytes_an_old_message() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        // Offset 5, then a message of magic 1 with attributes, timestamp, null key and the value "x".
        let mut message = vec![1, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, b'x'];
        let crc = crc32(&message).to_be_bytes();
        let mut bytes = 5i64.to_be_bytes().to_vec();
        bytes.extend((message.len() as i32 + 4).to_be_bytes());
        bytes.extend(crc);
        bytes.append(&mut message);
        assert!(is_legacy(&bytes));
        bytes[30] ^= 1;
        assert!(!is_legacy(&bytes));
    }
}
