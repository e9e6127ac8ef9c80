//! Message sets of magic 0 and 1: what clients older than Kafka 0.11 send (Produce below 3) and can read (Fetch
//! below 4). All of it is a cold path.

use std::io::{self, BufReader, Read};

use bytes::{BufMut, BytesMut};

use crate::batch::{self, BatchError, NO_TIMESTAMP, TimestampType};
use crate::compression::{self, Allowance, Compression, CompressionError};

/// Offset and size, before every message.
const LOG_OVERHEAD_BYTES: usize = 12;
/// crc, magic, attributes, and the lengths of key and value: the least of a message.
const OVERHEAD_V0_BYTES: usize = 4 + 1 + 1 + 4 + 4;
/// The same with a timestamp.
const OVERHEAD_V1_BYTES: usize = OVERHEAD_V0_BYTES + 8;
const TIMESTAMP_TYPE_BIT: u8 = 0x08;
const COMPRESSION_MASK: u8 = 0x07;
/// Where the checksum of an LZ4 frame's header is, if the frame does not say how long it is.
pub(crate) const LZ4_HEADER_CHECKSUM_AT: usize = 6;

/// Why bytes are no message of magic 0 or 1.
#[derive(Debug, thiserror::Error)]
pub enum LegacyError {
    #[error(transparent)]
    Batch(#[from] BatchError),
    #[error("Record is corrupt: its parts do not fill its {0} bytes")]
    Corrupt(usize),
    #[error("Record is corrupt (stored crc = {stored}, computed crc = {computed})")]
    Crc { stored: u32, computed: u32 },
    #[error(transparent)]
    Compression(#[from] CompressionError),
}

/// One message, borrowed. A compressed one has a whole message set for its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    pub offset: i64,
    pub magic: i8,
    pub attributes: u8,
    /// `NO_TIMESTAMP` in magic 0.
    pub timestamp_ms: i64,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    stored_crc: u32,
    /// What the checksum covers.
    checked: &'a [u8],
    /// With offset and size in front.
    pub size_bytes: usize,
}

impl<'a> Message<'a> {
    /// The message that `bytes` begin with. `Truncated` if they end inside of it.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, LegacyError> {
        let size_bytes = batch::size_of_next(bytes)?;
        let needed = BatchError::Truncated { needed: size_bytes, available: bytes.len() };
        let whole = bytes.get(..size_bytes).ok_or(needed)?;
        let corrupt = || LegacyError::Corrupt(size_bytes);
        let (head, message) = whole.split_first_chunk::<LOG_OVERHEAD_BYTES>().ok_or_else(corrupt)?;
        let (crc, checked) = message.split_first_chunk::<4>().ok_or_else(corrupt)?;
        let (&[magic, attributes], mut rest) = checked.split_first_chunk::<2>().ok_or_else(corrupt)?;
        let timestamp_ms = match magic {
            0 => NO_TIMESTAMP,
            1 => i64::from_be_bytes(take(&mut rest).ok_or_else(corrupt)?),
            other => return Err(BatchError::UnknownMagic(other as i8).into()),
        };
        let key = nullable(&mut rest).ok_or_else(corrupt)?;
        let value = nullable(&mut rest).ok_or_else(corrupt)?;
        let [offset @ .., _, _, _, _] = *head;
        Ok(Self {
            offset: i64::from_be_bytes(offset),
            magic: magic as i8,
            attributes,
            timestamp_ms,
            key,
            value,
            stored_crc: u32::from_be_bytes(*crc),
            checked,
            size_bytes,
        })
    }

    pub fn check_crc(&self) -> Result<(), LegacyError> {
        let computed = crc32(self.checked);
        let stored = self.stored_crc;
        if stored == computed { Ok(()) } else { Err(LegacyError::Crc { stored, computed }) }
    }

    pub fn compression(&self) -> Result<Compression, BatchError> {
        let id = self.attributes & COMPRESSION_MASK;
        Compression::from_id(id).ok_or(BatchError::UnknownCompression(id.into()))
    }

    pub fn timestamp_type(&self) -> TimestampType {
        if self.magic > 0 && self.attributes & TIMESTAMP_TYPE_BIT != 0 {
            TimestampType::LogAppendTime
        } else {
            TimestampType::CreateTime
        }
    }

    /// Reads the message set inside a compressed message, one message at a time. One that is cut off at the end is
    /// left out.
    ///
    /// # Errors
    /// `TooLarge` for a message of more than `limit_bytes`; what `visit` says.
    pub fn unpack<E: From<LegacyError>>(
        &self,
        allowance: &Allowance,
        limit_bytes: usize,
        mut visit: impl FnMut(Message<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let codec = self.compression().map_err(LegacyError::from)?;
        let packed = self.value.unwrap_or_default();
        let repaired = (self.magic == 0 && codec == Compression::Lz4).then(|| repair_lz4_header(packed));
        let failed = |error: io::Error| LegacyError::from(CompressionError::of_stream(codec.name(), &error));
        let packed = repaired.as_deref().unwrap_or(packed);
        let mut stream =
            BufReader::new(compression::reader(codec, packed, allowance).map_err(LegacyError::from)?);
        let mut message = Vec::new();
        let mut read_up_to = |size_bytes: usize, message: &mut Vec<u8>| {
            let wanted = size_bytes - message.len();
            (&mut stream).take(wanted as u64).read_to_end(message).map_err(failed)?;
            Ok::<bool, LegacyError>(message.len() == size_bytes)
        };
        while read_up_to(batch::HEADER_UP_TO_MAGIC_BYTES, &mut message)? {
            let size_bytes = batch::size_of_next(&message).map_err(LegacyError::from)?;
            if size_bytes > limit_bytes {
                let too_large = CompressionError::TooLarge { codec: codec.name(), limit_bytes };
                return Err(LegacyError::from(too_large).into());
            }
            if !read_up_to(size_bytes, &mut message)? {
                break;
            }
            visit(Message::parse(&message)?)?;
            message.clear();
        }
        Ok(())
    }
}

/// Clients of magic 0 counted the frame's magic into the checksum of its header (KIP-57). It is one byte: the right
/// one is the one that is accepted.
fn repair_lz4_header(frame: &[u8]) -> Vec<u8> {
    let mut repaired = frame.to_vec();
    if repaired.len() > LZ4_HEADER_CHECKSUM_AT {
        for candidate in 0..=u8::MAX {
            repaired[LZ4_HEADER_CHECKSUM_AT] = candidate;
            let allowance = Allowance::new(usize::MAX);
            let opened = compression::reader(Compression::Lz4, &repaired, &allowance);
            if opened.is_ok_and(|mut stream| stream.read(&mut [0]).is_ok()) {
                break;
            }
        }
    }
    repaired
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, left) = rest.split_first_chunk::<N>()?;
    *rest = left;
    Some(*taken)
}

/// A length of four bytes and as many bytes; a negative length is null.
fn nullable<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let Ok(length) = usize::try_from(i32::from_be_bytes(take(rest)?)) else { return Some(None) };
    let (bytes, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(Some(bytes))
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// Iterates over a message set, leaving out a message that is cut off at the end. The first error ends it.
pub fn messages(bytes: &[u8]) -> impl Iterator<Item = Result<Message<'_>, LegacyError>> {
    let mut rest = bytes;
    std::iter::from_fn(move || match Message::parse(rest) {
        Ok(message) => {
            rest = &rest[message.size_bytes..];
            Some(Ok(message))
        }
        Err(LegacyError::Batch(BatchError::Truncated { .. })) => None,
        Err(error) => {
            rest = &[];
            Some(Err(error))
        }
    })
}

/// How a message that is written looks; its codec is [`Compression::None`] unless its value is a packed message set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MessageShape {
    pub magic: i8,
    pub codec: Compression,
    pub timestamp_type: TimestampType,
    pub timestamp_ms: i64,
}

/// A message up to the length of its key, not yet with its checksum.
fn message_head(shape: MessageShape, offset: i64, key: Option<&[u8]>, value: Option<&[u8]>) -> BytesMut {
    let overhead = if shape.magic == 0 { OVERHEAD_V0_BYTES } else { OVERHEAD_V1_BYTES };
    let size = overhead + key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len);
    let mut head = BytesMut::with_capacity(LOG_OVERHEAD_BYTES + OVERHEAD_V1_BYTES);
    head.put_i64(offset);
    head.put_i32(size as i32);
    head.put_u32(0);
    head.put_i8(shape.magic);
    let log_append_time = shape.magic > 0 && shape.timestamp_type == TimestampType::LogAppendTime;
    head.put_u8(shape.codec.id() | if log_append_time { TIMESTAMP_TYPE_BIT } else { 0 });
    if shape.magic > 0 {
        head.put_i64(shape.timestamp_ms);
    }
    head
}

/// Writes one message, piece by piece.
pub(crate) fn write_message<E>(
    shape: MessageShape,
    offset: i64,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    mut write: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    const CHECKED_FROM: usize = LOG_OVERHEAD_BYTES + 4;
    let mut head = message_head(shape, offset, key, value);
    let length = |part: Option<&[u8]>| part.map_or(-1, |part| part.len() as i32).to_be_bytes();
    let (key_length, value_length) = (length(key), length(value));
    let parts = [&key_length[..], key.unwrap_or_default(), &value_length, value.unwrap_or_default()];
    let mut crc = flate2::Crc::new();
    crc.update(&head[CHECKED_FROM..]);
    parts.iter().for_each(|part| crc.update(part));
    head[LOG_OVERHEAD_BYTES..CHECKED_FROM].copy_from_slice(&crc.sum().to_be_bytes());
    write(&head)?;
    parts.into_iter().try_for_each(write)
}
