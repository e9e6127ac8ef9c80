//! Batches of magic 2 as message sets of magic 0 or 1, for consumers that know nothing younger (Fetch below 4). A cold
//! path; what is not converted is not touched here.

use std::io;

use bytes::{BufMut, Bytes, BytesMut};

use crate::batch::{self, BatchError, BatchRef, HEADER_BYTES, RecordsError, StructureError, TimestampType};
use crate::compression::{Allowance, Compression, CompressionError, Packer};
use crate::legacy::{LZ4_HEADER_CHECKSUM_AT, MessageShape, write_message};
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
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl DownConversionError {
    /// What makes a conversion end before this batch, which is the first one of the next fetch.
    fn is_the_end(&self) -> bool {
        use CompressionError::AllowanceSpent;
        let is_spent = matches!(self, Self::Records(RecordsError::Compression(AllowanceSpent)));
        is_spent || matches!(self, Self::Zstd) || self.is_too_large()
    }

    /// A record is larger than what is converted.
    pub fn is_too_large(&self) -> bool {
        matches!(self, Self::Records(RecordsError::Compression(CompressionError::TooLarge { .. })))
    }
}

/// What an old client is to be given.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// 0 or 1.
    pub magic: i8,
    /// Plain records before this offset are left out.
    pub first_offset: i64,
    /// A compressed record that unpacks to more is refused: one is in memory at a time.
    pub record_limit_bytes: usize,
    /// What the batches behind the first one may unpack to; that one comes whole. The client asks for the rest again.
    pub unpacked_bytes: usize,
}

/// Converts (`RecordsUtil.downConvert`, `LazyDownConversionRecords`) batches that were read as `read_bytes` bytes. The
/// result is as long as what was read, or as the first converted batch if that is longer: what is more is cut off, and
/// what is less is filled up with the beginning of a message that old consumers leave aside as one that did not fit.
/// Control batches are left out; so are headers, and of plain batches the records before the first offset.
///
/// # Errors
/// Corrupt batches, a record that unpacks to too much, and a first batch in zstd; a later one in zstd ends the
/// conversion.
pub fn down_convert<E>(
    batches: impl IntoIterator<Item = Result<BatchRef, E>>,
    read_bytes: usize,
    wanted: &Wanted,
) -> Result<Bytes, DownConversionError>
where
    DownConversionError: From<E>,
{
    let mut out = BytesMut::new();
    let mut size_bytes = 0;
    let mut is_first = true;
    let allowance = Allowance::new(wanted.unpacked_bytes);
    for batch in batches {
        let batch = batch?;
        size_bytes = size_bytes.max(SMALLEST_FILLER_BYTES);
        if !is_first && out.len() >= size_bytes {
            break;
        }
        let unbounded = Allowance::new(usize::MAX);
        let allowed = if is_first { &unbounded } else { &allowance };
        match convert_batch(&batch, wanted, allowed, &mut out) {
            Err(error) if !is_first && error.is_the_end() => break,
            converted => converted?,
        }
        if is_first && !out.is_empty() {
            is_first = false;
            size_bytes = read_bytes.max(out.len());
            allowance.take(usize::MAX - unbounded.left_bytes());
        }
    }
    fill(&mut out, size_bytes);
    Ok(out.freeze())
}

fn convert_batch(
    batch: &BatchRef,
    wanted: &Wanted,
    allowance: &Allowance,
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
        magic: wanted.magic,
        codec: Compression::None,
        timestamp_type: header.timestamp_type(),
        timestamp_ms,
    };
    let place = |record: &RecordRef<'_>| {
        let offset = header.base_offset + i64::from(record.offset_delta);
        (offset, header.timestamp_of(record.timestamp_delta_ms))
    };
    let mut put = |shape, offset, key: Option<&[u8]>, value: Option<&[u8]>| {
        write_message(shape, offset, key, value, |bytes| {
            out.put_slice(bytes);
            Ok::<_, DownConversionError>(())
        })
    };
    if codec == Compression::None {
        return batch.each_record(allowance, wanted.record_limit_bytes, |record| {
            let (offset, timestamp_ms) = place(&record);
            match offset >= wanted.first_offset {
                true => put(shape(timestamp_ms), offset, record.key, record.value),
                false => Ok(()),
            }
        });
    }
    let mut inner = Packer::new(codec)?;
    let mut ends = None;
    let mut max_timestamp_ms = batch::NO_TIMESTAMP;
    batch.each_record(allowance, wanted.record_limit_bytes, |record| {
        let (offset, timestamp_ms) = place(&record);
        let (first, _) = *ends.insert((ends.map_or(offset, |(first, _)| first), offset));
        // Offsets inside of a message of magic 1 count from its first one (KIP-31).
        let inner_offset = if wanted.magic == 0 { offset } else { offset - first };
        max_timestamp_ms = max_timestamp_ms.max(timestamp_ms);
        let shape = shape(timestamp_ms);
        write_message(shape, inner_offset, record.key, record.value, |bytes| inner.write(bytes))?;
        Ok::<_, DownConversionError>(())
    })?;
    let Some((_, last)) = ends else { return Ok(()) };
    let timestamp_ms = match header.timestamp_type() {
        TimestampType::LogAppendTime => header.max_timestamp,
        TimestampType::CreateTime => max_timestamp_ms,
    };
    let packed = for_old_clients(codec, wanted.magic, inner.finish()?);
    put(MessageShape { codec, ..shape(timestamp_ms) }, last, None, Some(&packed))
}

/// What is packed, as clients of that magic look for it.
fn for_old_clients(codec: Compression, magic: i8, packed: Bytes) -> Bytes {
    if codec != Compression::Lz4 || magic > 0 {
        return packed;
    }
    let mut packed = BytesMut::from(packed);
    packed[LZ4_HEADER_CHECKSUM_AT] = BROKEN_LZ4_HEADER_CHECKSUM;
    packed.freeze()
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
    use crate::compression;
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
                    let mut inner = Vec::new();
                    let offsets = message.unpack(&Allowance::new(1 << 20), 1 << 20, |message| {
                        inner.push(message.offset.to_string());
                        Ok::<_, legacy::LegacyError>(())
                    });
                    offsets.unwrap();
                    format!("{} of {}", codec.name(), inner.join(" "))
                }
            };
            told.push(format!("{} at {}: {value}", message.offset, message.timestamp_ms));
        }
        if !rest.is_empty() {
            told.push(format!("{} bytes of filling", rest.len()));
        }
        told
    }

    fn convert(records: &Bytes, magic: i8, first_offset: i64) -> Result<Bytes, DownConversionError> {
        let wanted = Wanted { magic, first_offset, record_limit_bytes: 1 << 20, unpacked_bytes: 3_000 };
        down_convert(batch::complete_batches(records), records.len(), &wanted)
    }

    fn converted(records: &[Bytes], magic: i8, first_offset: i64) -> Vec<String> {
        told(&convert(&records.concat().into(), magic, first_offset).unwrap())
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
        let set = convert(&batch(0, Compression::Lz4, &[b"a"]), 0, 0).unwrap();
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
    fn the_first_batch_comes_whole_and_the_others_as_far_as_is_allowed() {
        let big = [&[7; 1000][..]; 3];
        let of = |count: usize| {
            let batches: Vec<Bytes> =
                (0..count).map(|at| batch(3 * at as i64, Compression::Gzip, &big)).collect();
            let told = converted(&batches, 1, 0);
            told.iter().filter(|message| message.contains("gzip of")).count()
        };
        assert_eq!((of(1), of(2), of(3)), (1, 1, 1), "3,000 bytes are allowed, and the first one spent them");
        let [huge, small] = [&[0; 1 << 20][..], b"small"].map(|value| batch(0, Compression::Gzip, &[value]));
        let refused = convert(&huge, 1, 0).unwrap_err();
        assert!(refused.is_too_large(), "{refused}");
        assert!(convert(&[small, huge].concat().into(), 1, 0).is_ok(), "it is met with when its turn comes");
    }

    #[test]
    fn zstd_ends_the_conversion() {
        let zstd = batch(1, Compression::Zstd, &[b"z"]);
        let refused = convert(&zstd, 1, 0);
        assert!(matches!(refused, Err(DownConversionError::Zstd)));
        let told = converted(&[batch(0, Compression::None, &[b"a"]), zstd], 1, 0);
        assert_eq!((told[0].as_str(), told.len()), ("0 at 1000: 1 bytes", 2));
    }
}
