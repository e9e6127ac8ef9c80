//! Steps through a message by the table, so that each of its lengths is known to be true before any is believed, and
//! tells what decoding it will take.
//!
//! The decoders of `kafka_protocol` reserve room for as many elements as an array says it has, before they read one. What
//! was walked to its end can be given to them: every array has all its elements, every string and every tagged field all
//! its bytes. Nothing is allocated here, and the time it takes is that of the bytes.

use kafka_protocol::protocol::StrBytes;

use super::{Field, Kind, Message, Struct};

/// More elements than any request has, all of its arrays together.
const MOST_ELEMENTS: usize = 1 << 20;
/// What the allocator adds to each piece of memory, and what it rounds to.
const ALLOCATION_BYTES: usize = 16;
/// A struct with one unknown tagged field has a node of a tree for it, which has room for eleven.
const FIRST_TAG_BYTES: usize = 448;
/// Nodes that were filled in rising order are half full.
const NEXT_TAG_BYTES: usize = 96;

/// What a message takes in memory once it is decoded, besides the bytes that it is decoded from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Measure {
    /// Of all arrays together, and the tagged fields that are not known.
    pub elements: usize,
    pub decoded_bytes: usize,
}

/// Why bytes are not the message that they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WalkError {
    #[error("it ends inside {0}")]
    Truncated(&'static str),
    #[error("{0} has a length of {1}")]
    BadLength(&'static str, i64),
    #[error("{0} is null")]
    Null(&'static str),
    #[error("{0} is neither true nor false but {1}")]
    NoBoolean(&'static str, u8),
    #[error("{0} has a number that does not fit 32 bits")]
    LongVarint(&'static str),
    #[error("{0} does not fill the {1} bytes of its tag")]
    TagSize(&'static str, usize),
    #[error("it has more than {MOST_ELEMENTS} elements")]
    TooManyElements,
    #[error("there is no such version")]
    NoSuchVersion,
}

/// Walks `bytes`; says what decoding takes, and how many of them the message has.
pub(crate) fn walk(
    message: &'static Message,
    version: i16,
    bytes: &[u8],
) -> Result<(Measure, usize), WalkError> {
    if version < 0 || version > message.max_version {
        return Err(WalkError::NoSuchVersion);
    }
    let flexible = version >= message.flexible_from;
    let measure = Measure { elements: 0, decoded_bytes: message.body.size_bytes };
    let mut walk = Walk { rest: bytes, version, flexible, is_copied: message.is_copied, measure };
    walk.structure(message.name, &message.body)?;
    Ok((walk.measure, bytes.len() - walk.rest.len()))
}

/// How many bytes the tagged section has that `bytes` begin with, whatever its fields are.
pub(crate) fn skip_tagged_fields(bytes: &[u8]) -> Result<usize, WalkError> {
    let mut walk =
        Walk { rest: bytes, version: 0, flexible: true, is_copied: false, measure: Measure::default() };
    walk.tagged_fields("the header", &[])?;
    Ok(bytes.len() - walk.rest.len())
}

struct Walk<'a> {
    rest: &'a [u8],
    version: i16,
    flexible: bool,
    is_copied: bool,
    measure: Measure,
}

impl<'a> Walk<'a> {
    fn take(&mut self, name: &'static str, length: usize) -> Result<&'a [u8], WalkError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(WalkError::Truncated(name))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const LENGTH: usize>(&mut self, name: &'static str) -> Result<[u8; LENGTH], WalkError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(WalkError::Truncated(name))?;
        self.rest = rest;
        Ok(*taken)
    }

    /// No more than 32 bits in no more than 5 bytes. Leading zeros are allowed, as the reference allows them.
    fn uvarint(&mut self, name: &'static str) -> Result<u32, WalkError> {
        const LONGEST: usize = 5;
        let mut value = 0;
        for index in 0..LONGEST {
            let [byte] = self.array(name)?;
            if index + 1 == LONGEST && byte > 0x0f {
                break;
            }
            value |= u32::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(WalkError::LongVarint(name))
    }

    /// The length in front of a value; none for null. It is no larger than what is left, as no element of any array is
    /// encoded in less than a byte.
    fn length(&mut self, name: &'static str, is_text: bool) -> Result<Option<usize>, WalkError> {
        let length = if self.flexible {
            i64::from(self.uvarint(name)?) - 1
        } else if is_text {
            i64::from(i16::from_be_bytes(self.array(name)?))
        } else {
            i64::from(i32::from_be_bytes(self.array(name)?))
        };
        if length == -1 {
            return Ok(None);
        }
        let most = if is_text { i64::from(i16::MAX) } else { i64::from(i32::MAX) };
        let length = usize::try_from(length)
            .ok()
            .filter(|_| length <= most)
            .ok_or(WalkError::BadLength(name, length))?;
        if length > self.rest.len() { Err(WalkError::Truncated(name)) } else { Ok(Some(length)) }
    }

    fn charge(&mut self, bytes: usize) {
        if bytes > 0 {
            self.measure.decoded_bytes +=
                bytes.next_multiple_of(ALLOCATION_BYTES).saturating_add(ALLOCATION_BYTES);
        }
    }

    fn count(&mut self, elements: usize) -> Result<(), WalkError> {
        self.measure.elements += elements;
        if self.measure.elements > MOST_ELEMENTS { Err(WalkError::TooManyElements) } else { Ok(()) }
    }

    fn structure(&mut self, name: &'static str, structure: &'static Struct) -> Result<(), WalkError> {
        for field in structure.fields {
            if field.tag.is_none() && field.is_in(self.version) {
                self.value(field.name, &field.kind, field.may_be_null(self.version))?;
            }
        }
        if self.flexible { self.tagged_fields(name, structure.fields) } else { Ok(()) }
    }

    fn value(&mut self, name: &'static str, kind: &'static Kind, may_be_null: bool) -> Result<(), WalkError> {
        let length = match kind {
            Kind::Bool => {
                let [byte] = self.array(name)?;
                return if byte > 1 { Err(WalkError::NoBoolean(name, byte)) } else { Ok(()) };
            }
            Kind::Number(bytes) => return self.take(name, *bytes).map(drop),
            Kind::Struct(structure) => return self.structure(name, structure),
            Kind::Text => self.length(name, true)?,
            Kind::Bytes | Kind::Array(_) => self.length(name, false)?,
        };
        let Some(length) = length else {
            return if may_be_null { Ok(()) } else { Err(WalkError::Null(name)) };
        };
        match kind {
            Kind::Array(element) => self.elements(name, element, length),
            _ => {
                self.take(name, length)?;
                if self.is_copied {
                    self.charge(length);
                }
                Ok(())
            }
        }
    }

    fn elements(
        &mut self,
        name: &'static str,
        element: &'static Kind,
        length: usize,
    ) -> Result<(), WalkError> {
        self.count(length)?;
        let reserved = length.saturating_mul(self.size_of(element));
        // Arrays that are copied grow while they are read.
        self.charge(if self.is_copied { 2 * reserved } else { reserved });
        if let Kind::Number(bytes) = element {
            return self.take(name, length.saturating_mul(*bytes)).map(drop);
        }
        (0..length).try_for_each(|_| self.value(name, element, false))
    }

    /// What an element takes in its array.
    fn size_of(&self, kind: &Kind) -> usize {
        match kind {
            Kind::Bool => 1,
            Kind::Number(bytes) => *bytes,
            Kind::Text | Kind::Bytes => size_of::<StrBytes>(),
            Kind::Struct(structure) => structure.size_bytes,
            Kind::Array(_) => size_of::<Vec<u8>>(),
        }
    }

    /// What is known is walked inside of its size, and what is not is stepped over. In which order they come and whether
    /// one comes twice is not looked at, as the reference does not.
    fn tagged_fields(&mut self, name: &'static str, fields: &'static [Field]) -> Result<(), WalkError> {
        let mut unknown = 0;
        for _ in 0..self.uvarint(name)? {
            let tag = self.uvarint(name)?;
            let size = self.uvarint(name)? as usize;
            let bytes = self.take(name, size)?;
            let known = fields.iter().find(|field| field.tag == Some(tag) && field.is_in(self.version));
            let Some(field) = known else {
                unknown += 1;
                self.count(1)?;
                self.measure.decoded_bytes += if unknown == 1 { FIRST_TAG_BYTES } else { NEXT_TAG_BYTES };
                continue;
            };
            let behind = std::mem::replace(&mut self.rest, bytes);
            self.value(field.name, &field.kind, field.may_be_null(self.version))?;
            if !self.rest.is_empty() {
                return Err(WalkError::TagSize(field.name, size));
            }
            self.rest = behind;
        }
        Ok(())
    }
}
