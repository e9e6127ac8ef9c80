//! Keeps lengths that a client claims from becoming memory.
//!
//! The decoders of `kafka_protocol` reserve room for as many elements as an array says it has, before they read one.
//! A few bytes can thus ask for gigabytes, which ends the process. Decoding therefore goes through a buffer that
//! answers a length it cannot believe with one that every decoder refuses.

use bytes::{Buf, Bytes, TryGetError};
use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::Decodable;
use kafka_protocol::protocol::buf::{ByteBuf, NotEnoughBytesError};

use crate::varint;

/// Requests that hold large bytes and no arrays at all: for them a length is as good as the bytes that are there.
pub(crate) const HAS_NO_ARRAYS: &[i16] =
    &[ApiKey::Envelope as i16, ApiKey::PushTelemetry as i16, ApiKey::SaslAuthenticate as i16];

/// More elements than any request has. Times the size of an element it is an amount of address space that can be
/// reserved for a moment.
const MOST_ELEMENTS: usize = 1 << 20;
/// Below this, not even the bytes that are left are counted.
const HARMLESS: usize = 1 << 10;
/// A length that is refused wherever one is read: neither a number of elements nor the -1 of null.
const NO_LENGTH: i32 = -2;

/// Which lengths are believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    /// Up to what is left to read.
    Remaining,
    /// Up to what is left to read, and never more than [`MOST_ELEMENTS`].
    Elements,
}

/// Decodes a message, believing no length beyond the limit.
///
/// Where a message is not flexible, a length looks like any other 32-bit number. So it is decoded once with every
/// large number replaced: if that succeeds, none of them was a length, and it can be decoded as it stands.
pub(crate) fn decode<M: Decodable>(
    version: i16,
    is_flexible: bool,
    body: &mut Bytes,
    limit: Limit,
) -> Result<M, String> {
    let replace = !is_flexible;
    let mut guarded = Guarded { bytes: body.clone(), limit, replace, replaced: false, varint_left: 0 };
    let first = M::decode(&mut guarded, version).map_err(|error| error.to_string())?;
    if !guarded.replaced {
        *body = guarded.bytes;
        return Ok(first);
    }
    drop(first);
    let mut guarded = Guarded { bytes: body.clone(), limit, replace: false, replaced: false, varint_left: 0 };
    let message = M::decode(&mut guarded, version).map_err(|error| error.to_string())?;
    *body = guarded.bytes;
    Ok(message)
}

struct Guarded {
    bytes: Bytes,
    limit: Limit,
    replace: bool,
    replaced: bool,
    /// Bytes of a variable-length integer that was believed and is still being read.
    varint_left: usize,
}

impl Guarded {
    fn believes(&self, length: usize) -> bool {
        let most = match self.limit {
            Limit::Remaining => self.bytes.len(),
            Limit::Elements => self.bytes.len().min(MOST_ELEMENTS),
        };
        length <= most.max(HARMLESS)
    }
}

impl Buf for Guarded {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }

    fn try_get_i32(&mut self) -> Result<i32, TryGetError> {
        let value = self.bytes.try_get_i32()?;
        if self.replace && usize::try_from(value).is_ok_and(|length| !self.believes(length)) {
            self.replaced = true;
            return Ok(NO_LENGTH);
        }
        Ok(value)
    }

    /// Bytes are read one by one for booleans and for variable-length integers, which are lengths, counts and tags.
    fn try_get_u8(&mut self) -> Result<u8, TryGetError> {
        if self.varint_left > 0 {
            self.varint_left -= 1;
        } else if self.bytes.first().is_some_and(|byte| *byte >= 0x80) {
            let mut length = 0;
            let value = varint::read_u32(&self.bytes, &mut length).ok();
            let value = value.filter(|value| self.believes((*value as usize).saturating_sub(1)));
            if value.is_none() {
                return Err(TryGetError { requested: usize::MAX, available: self.bytes.len() });
            }
            self.varint_left = length - 1;
        }
        self.bytes.try_get_u8()
    }
}

impl ByteBuf for Guarded {
    fn peek_bytes(&mut self, range: std::ops::Range<usize>) -> Bytes {
        self.bytes.slice(range)
    }

    fn get_bytes(&mut self, size: usize) -> Bytes {
        self.bytes.split_to(size)
    }
}

/// Why a Produce request is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WalkError {
    #[error("it ends early")]
    Truncated,
    #[error("it has a length of {0}")]
    BadLength(i64),
}

impl From<TryGetError> for WalkError {
    fn from(_: TryGetError) -> Self {
        Self::Truncated
    }
}

impl From<NotEnoughBytesError> for WalkError {
    fn from(_: NotEnoughBytesError) -> Self {
        Self::Truncated
    }
}

/// Steps through a Produce request, so that each of its lengths is known to be true before any is believed. It is
/// the one request whose bytes are rightly large and which has arrays as well.
pub(crate) fn walk_produce(version: i16, body: &Bytes) -> Result<(), WalkError> {
    const FLEXIBLE_FROM: i16 = 9;
    const TRANSACTIONAL_FROM: i16 = 3;
    let mut walk = Walk { rest: body, flexible: version >= FLEXIBLE_FROM };
    if version >= TRANSACTIONAL_FROM {
        walk.text()?;
    }
    // acks, timeout
    walk.skip(2 + 4)?;
    for _ in 0..walk.length(4)?.unwrap_or(0) {
        walk.text()?;
        for _ in 0..walk.length(4)?.unwrap_or(0) {
            // index
            walk.skip(4)?;
            let records = walk.length(4)?.unwrap_or(0);
            walk.skip(records)?;
            walk.tagged_fields()?;
        }
        walk.tagged_fields()?;
    }
    walk.tagged_fields()
}

struct Walk<'a> {
    rest: &'a [u8],
    flexible: bool,
}

impl Walk<'_> {
    fn skip(&mut self, length: usize) -> Result<(), WalkError> {
        self.rest = self.rest.get(length..).ok_or(WalkError::Truncated)?;
        Ok(())
    }

    fn uvarint(&mut self) -> Result<u32, WalkError> {
        let mut at = 0;
        let value = varint::read_u32(self.rest, &mut at).map_err(|_| WalkError::Truncated)?;
        self.skip(at)?;
        Ok(value)
    }

    /// A length of `width` bytes, or a compact one; none for null.
    fn length(&mut self, width: usize) -> Result<Option<usize>, WalkError> {
        let length = match (self.flexible, width) {
            (true, _) => i64::from(self.uvarint()?) - 1,
            (false, 2) => i64::from(self.rest.try_get_i16()?),
            (false, _) => i64::from(self.rest.try_get_i32()?),
        };
        match length {
            -1 => Ok(None),
            length => usize::try_from(length).map(Some).map_err(|_| WalkError::BadLength(length)),
        }
    }

    fn text(&mut self) -> Result<(), WalkError> {
        let length = self.length(2)?.unwrap_or(0);
        self.skip(length)
    }

    fn tagged_fields(&mut self) -> Result<(), WalkError> {
        if self.flexible {
            for _ in 0..self.uvarint()? {
                self.uvarint()?;
                let size = self.uvarint()? as usize;
                self.skip(size)?;
            }
        }
        Ok(())
    }
}
