//! Records for consumers that know nothing younger than message sets of magic 0 or 1 (Fetch below 4).
//!
//! Holds one batch, one record and the result in memory, whatever the records unpack to. What may take long is done
//! apart from the other work of a thread.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use jackdaw_wire::ErrorCode;
use jackdaw_wire::batch::{self, BatchRef};
use jackdaw_wire::compression::Allowance;
use jackdaw_wire::down_convert::{DownConversionError, Wanted, down_convert};
use jackdaw_wire::segment::{self, Segment};
use jackdaw_wire::validate::RECORD_LIMIT_BYTES;

use super::read::in_memory;
use crate::apart::apart;

/// Converts what a partition was read for.
pub fn convert(records: &[Segment], magic: i8, first_offset: i64) -> Result<Vec<Segment>, ErrorCode> {
    let read_bytes = segment::total_bytes(records);
    if read_bytes == 0 {
        return Ok(Vec::new());
    }
    let unpacked_bytes = Allowance::LEAST_BYTES;
    let wanted = Wanted { magic, first_offset, record_limit_bytes: RECORD_LIMIT_BYTES, unpacked_bytes };
    let batches = records.iter().flat_map(Batches::of);
    let converted = apart(|| down_convert(batches, read_bytes, &wanted));
    converted.map(|old| vec![old.into()]).map_err(|error| match error {
        DownConversionError::Zstd => ErrorCode::UnsupportedCompressionType,
        DownConversionError::Io(_) => ErrorCode::KafkaStorageError,
        error if error.is_too_large() => ErrorCode::MessageTooLarge,
        _ => ErrorCode::CorruptMessage,
    })
}

/// The whole batches of a piece, read one after the other.
enum Batches<'a> {
    InMemory(batch::Batches),
    InFile { file: &'a Arc<File>, at: u64, left: usize },
}

impl<'a> Batches<'a> {
    fn of(segment: &'a Segment) -> Self {
        match segment {
            Segment::Bytes(bytes) => Self::InMemory(batch::complete_batches(bytes)),
            Segment::File { file, offset, len } => Self::InFile { file, at: *offset, left: *len },
        }
    }
}

impl Iterator for Batches<'_> {
    type Item = Result<BatchRef, DownConversionError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::InMemory(batches) => batches.next().map(|batch| batch.map_err(Into::into)),
            Self::InFile { file, at, left } => {
                let batch = next_of_file(file, *at, *left);
                match &batch {
                    Ok(Some(batch)) => {
                        *at += batch.bytes.len() as u64;
                        *left -= batch.bytes.len();
                    }
                    _ => *left = 0,
                }
                batch.transpose()
            }
        }
    }
}

/// The batch at a place in a file; none where it does not end within `left` bytes.
fn next_of_file(file: &Arc<File>, at: u64, left: usize) -> Result<Option<BatchRef>, DownConversionError> {
    let mut start = [0; batch::HEADER_BYTES];
    if left < start.len() {
        return Ok(None);
    }
    file.read_exact_at(&mut start, at)?;
    let size_bytes = batch::size_of_next(&start)?;
    if size_bytes > left {
        return Ok(None);
    }
    let whole = Segment::File { file: Arc::clone(file), offset: at, len: size_bytes };
    Ok(Some(BatchRef::parse(&in_memory(&whole)?)?))
}
