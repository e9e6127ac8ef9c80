//! Batches of magic 2 as message sets of magic 0 or 1, for consumers that know nothing younger (Fetch below 4). A cold
//! path; what is not converted is not touched here.

use bytes::{BufMut, Bytes, BytesMut};

use crate::batch::{self, BatchError, BatchRef, HEADER_BYTES, RecordsError, StructureError, TimestampType};
use crate::compression::{self, Compression, CompressionError};
use crate::legacy::{LZ4_HEADER_CHECKSUM_AT, MessageShape, put_message};
use crate::records::RecordRef;

/// The checksum that clients of magic 0 look for in the header of an LZ4 frame of independent blocks of 64 KiB: it
/// counts the frame's magic as well (KIP-57).
const BROKEN_LZ4_HEADER_CHECKSUM: u8 = 0x1a;
/// Offset and length: the least that a reader takes for a message that goes on.
const SMALLEST_FILLER_BYTES: usize = 12;
/// One filler is no longer (`LazyDownConversionRecordsSend.MAX_READ_SIZE`).
const LARGEST_FILLER_BYTES: usize = 128 * 1024;

/// Why batches cannot be given to an old client.
#[derive(Debug, thiserror::Error)]
pub enum DownConversionError {
    #[error(transparent)]
    Batch(#[from] BatchError),
    #[error(transparent)]
    Records(#[from] RecordsError),
    #[error(transparent)]
    Structure(#[from] StructureError),
    #[error(transparent)]
    Compression(#[from] CompressionError),
    /// To be answered with UNSUPPORTED_COMPRESSION_TYPE.
    #[error("Down-conversion of zstandard-compressed batches is not supported")]
    Zstd,
}

/// Converts (`RecordsUtil.downConvert`, `LazyDownConversionRecords`). The result is as long as what was read, or as the
/// first converted batch if that is longer: what is more is cut off, and what is less is filled up with the beginning
/// of a message that old consumers leave aside as one that did not fit. Control batches are left out; so are headers,
/// and of plain batches the records before `first_offset`.
///
/// # Errors
/// Corrupt batches, records that unpack to more than `limit_bytes`, and a first batch in zstd; a later one in zstd ends
/// the conversion.
pub fn down_convert(
    records: &Bytes,
    to_magic: i8,
    first_offset: i64,
    limit_bytes: usize,
) -> Result<Bytes, DownConversionError> {
    let mut out = BytesMut::with_capacity(records.len());
    let mut size_bytes = SMALLEST_FILLER_BYTES;
    let mut scratch = Vec::new();
    for batch in batch::complete_batches(records) {
        let batch = batch?;
        let is_first = out.is_empty();
        if !is_first && out.len() >= size_bytes {
            break;
        }
        match convert_batch(&batch, to_magic, first_offset, limit_bytes, &mut scratch, &mut out) {
            Err(DownConversionError::Zstd) if !is_first => break,
            converted => converted?,
        }
        if is_first && !out.is_empty() {
            size_bytes = records.len().max(out.len());
        }
    }
    let has_batches = batch::complete_batches(records).next().is_some();
    fill(&mut out, if has_batches { size_bytes } else { 0 });
    Ok(out.freeze())
}

fn convert_batch(
    batch: &BatchRef,
    to_magic: i8,
    first_offset: i64,
    limit_bytes: usize,
    scratch: &mut Vec<u8>,
    out: &mut BytesMut,
) -> Result<(), DownConversionError> {
    let header = batch.header;
    if header.is_control() {
        return Ok(());
    }
    let codec = header.compression()?;
    if codec == Compression::Zstd {
        return Err(DownConversionError::Zstd);
    }
    let shape = |timestamp_ms| MessageShape {
        magic: to_magic,
        codec: Compression::None,
        timestamp_type: header.timestamp_type(),
        timestamp_ms,
    };
    let place = |record: &RecordRef<'_>| {
        let offset = header.base_offset + i64::from(record.offset_delta);
        (offset, header.timestamp_of(record.timestamp_delta_ms))
    };
    let records = batch.records(limit_bytes, scratch)?;
    if codec == Compression::None {
        for record in records {
            let record = record?;
            let (offset, timestamp_ms) = place(&record);
            if offset >= first_offset {
                put_message(out, shape(timestamp_ms), offset, record.key, record.value);
            }
        }
        return Ok(());
    }
    let mut inner = BytesMut::new();
    let mut ends = None;
    let mut max_timestamp_ms = batch::NO_TIMESTAMP;
    for record in records {
        let record = record?;
        let (offset, timestamp_ms) = place(&record);
        let (first, _) = *ends.insert((ends.map_or(offset, |(first, _)| first), offset));
        // Offsets inside of a message of magic 1 count from its first one (KIP-31).
        let inner_offset = if to_magic == 0 { offset } else { offset - first };
        max_timestamp_ms = max_timestamp_ms.max(timestamp_ms);
        put_message(&mut inner, shape(timestamp_ms), inner_offset, record.key, record.value);
    }
    let Some((_, last)) = ends else { return Ok(()) };
    let timestamp_ms = match header.timestamp_type() {
        TimestampType::LogAppendTime => header.max_timestamp,
        TimestampType::CreateTime => max_timestamp_ms,
    };
    let packed = pack(codec, to_magic, &inner)?;
    put_message(out, MessageShape { codec, ..shape(timestamp_ms) }, last, None, Some(&packed));
    Ok(())
}

fn pack(codec: Compression, magic: i8, inner: &[u8]) -> Result<Bytes, CompressionError> {
    let packed = compression::compress(codec, inner)?;
    if codec != Compression::Lz4 || magic > 0 {
        return Ok(packed);
    }
    let mut packed = BytesMut::from(packed);
    packed[LZ4_HEADER_CHECKSUM_AT] = BROKEN_LZ4_HEADER_CHECKSUM;
    Ok(packed.freeze())
}

/// Cuts, or fills up with the beginning of a message that is longer than what is left
/// (`LazyDownConversionRecordsSend.buildOverflowBatch`).
fn fill(out: &mut BytesMut, size_bytes: usize) {
    out.truncate(size_bytes);
    while out.len() < size_bytes {
        let left = size_bytes - out.len();
        let end = out.len() + left.min(LARGEST_FILLER_BYTES);
        out.put_i64(-1);
        out.put_i32((left + 1).max(HEADER_BYTES) as i32);
        out.resize(end.max(out.len()), 0);
        out.truncate(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::BatchBuilder;
    use crate::legacy::{self, Message};
    use crate::records::HeadersRef;

    fn batch(base_offset: i64, codec: Compression, values: &[&[u8]]) -> Bytes {
        let mut builder = BatchBuilder::new(base_offset, 0);
        for (delta, value) in values.iter().enumerate() {
            builder.append_at(delta as i32, 1000 - delta as i64, None, Some(value), HeadersRef::default());
        }
        if codec == Compression::None { builder.build() } else { builder.build_compressed(codec).unwrap() }
    }

    fn told(set: &Bytes) -> Vec<String> {
        let mut told = Vec::new();
        let mut rest = &set[..];
        while let Ok(message) = Message::parse(rest) {
            message.check_crc().unwrap();
            rest = &rest[message.size_bytes..];
            let codec = message.compression().unwrap();
            let value = match codec {
                Compression::None => format!("{} bytes", message.value.unwrap().len()),
                _ => {
                    let unpacked = message.unpack(1 << 20).unwrap();
                    let inner = legacy::messages(&unpacked).map(|inner| inner.unwrap().offset.to_string());
                    format!("{} of {}", codec.name(), inner.collect::<Vec<_>>().join(" "))
                }
            };
            told.push(format!("{} at {}: {value}", message.offset, message.timestamp_ms));
        }
        if !rest.is_empty() {
            told.push(format!("{} bytes of filling", rest.len()));
        }
        told
    }

    fn converted(records: &[Bytes], magic: i8, first_offset: i64) -> Vec<String> {
        told(&down_convert(&records.concat().into(), magic, first_offset, 1 << 20).unwrap())
    }

    #[test]
    fn a_codec_stays_and_offsets_are_relative_in_magic_1() {
        for codec in [Compression::Gzip, Compression::Snappy, Compression::Lz4] {
            let batches = [batch(5, codec, &[&[1; 90], &[2; 90]])];
            let of = |offsets: &str| format!("6 at {}: {} of {offsets}", -1, codec.name());
            assert_eq!(converted(&batches, 0, 6)[0], of("5 6"));
            assert_eq!(converted(&batches, 1, 6)[0], of("0 1").replace("at -1", "at 1000"));
        }
    }

    #[test]
    fn clients_of_magic_0_find_the_lz4_checksum_that_they_look_for() {
        let set = down_convert(&batch(0, Compression::Lz4, &[b"a"]), 0, 0, 1 << 20).unwrap();
        let frame = Message::parse(&set).unwrap().value.unwrap();
        assert!(compression::decompress_into(Compression::Lz4, frame, 100, &mut Vec::new()).is_err());
        assert_eq!(frame[LZ4_HEADER_CHECKSUM_AT], BROKEN_LZ4_HEADER_CHECKSUM);
    }

    #[test]
    fn the_size_of_what_was_read_is_kept() {
        let none = Compression::None;
        assert_eq!(
            converted(&[batch(0, none, &[b"a"])], 1, 0),
            ["0 at 1000: 1 bytes", "34 bytes of filling"],
            "what is shorter is filled up"
        );
        let small = batch(9, none, &[&b""[..]; 9]);
        let told = converted(&[batch(0, none, &[&[1; 200]]), small.clone()], 1, 0);
        assert_eq!((told.len(), told[5].as_str()), (6, "24 bytes of filling"), "what is longer is cut");
        assert_eq!(converted(&[small.clone(), small], 1, 0).len(), 9, "but the first batch comes whole");
        assert_eq!(converted(&[batch(0, none, &[b"a"])], 1, 1), ["12 bytes of filling"]);
        assert!(converted(&[], 1, 0).is_empty());
    }

    #[test]
    fn zstd_ends_the_conversion() {
        let zstd = batch(1, Compression::Zstd, &[b"z"]);
        let refused = down_convert(&zstd, 1, 0, 1 << 20);
        assert!(matches!(refused, Err(DownConversionError::Zstd)));
        let told = converted(&[batch(0, Compression::None, &[b"a"]), zstd], 1, 0);
        assert_eq!((told[0].as_str(), told.len()), ("0 at 1000: 1 bytes", 2));
    }
}
