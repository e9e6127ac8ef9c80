//! How the records inside Kafka's own logs are laid out: Kafka's message format (flexible and not, KIP-482),
//! for structs that one declarative table describes.
//!
//! `record_structs!` turns a table of fields (name, type, default, versions, tag) into structs with their codec.
//! What such a record means is not known here.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use uuid::Uuid;

use crate::types::kafka_base64;
use crate::varint::{self, VarintError};

/// Tagged fields that this version of the table does not know, kept so that nothing is lost in passing them on.
pub type UnknownTaggedFields = BTreeMap<u32, Bytes>;

/// Why a record could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error("the record ends early")]
    Truncated,
    #[error(transparent)]
    Varint(#[from] VarintError),
    #[error("a length of {0} is out of range")]
    BadLength(i64),
    #[error("a field that may not be null is null")]
    UnexpectedNull,
    #[error("a string is not UTF-8")]
    NotUtf8,
    #[error("tag {tag} does not fill its {size} bytes")]
    TagSize { tag: u32, size: usize },
    #[error("{record} has no version {version}")]
    UnknownVersion { record: &'static str, version: i16 },
    #[error("field {field} is set, but {record} has it from version {since} on, not in version {version}")]
    FieldNotInVersion { record: &'static str, field: &'static str, since: i16, version: i16 },
    #[error("unknown frame version {0} (only frame version 1 is supported)")]
    UnknownFrameVersion(u32),
    #[error("unknown metadata record type {0}")]
    UnknownRecordType(u32),
    #[error("found {bytes} byte(s) of garbage after {record}")]
    TrailingBytes { record: &'static str, bytes: usize },
    #[error("a value of {0} is too long for its field")]
    TooLong(usize),
}

/// What a field must know of the record it is in.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub version: i16,
    /// Compact lengths and tagged fields.
    pub flexible: bool,
}

/// A value with a place in Kafka's message format.
pub trait Codec: Sized {
    fn write(&self, out: &mut BytesMut, shape: Shape) -> Result<(), RecordError>;
    fn read(input: &mut Bytes, shape: Shape) -> Result<Self, RecordError>;
    /// As Kafka's own tools show it (the generated `JsonConverter`s).
    fn json(&self, out: &mut String, shape: Shape);
}

/// A record with versions of its own.
pub trait Versioned: Codec {
    const NAME: &'static str;
    const MIN_VERSION: i16;
    const MAX_VERSION: i16;
    /// The first flexible version; `i16::MAX` if there is none.
    const FLEXIBLE_FROM: i16;

    /// The shape of a version, or the refusal of one that does not exist.
    fn shape(version: i16) -> Result<Shape, RecordError> {
        if version < Self::MIN_VERSION || version > Self::MAX_VERSION {
            return Err(RecordError::UnknownVersion { record: Self::NAME, version });
        }
        Ok(Shape { version, flexible: version >= Self::FLEXIBLE_FROM })
    }

    /// Writes the fields, without any version in front.
    fn write_version(&self, out: &mut BytesMut, version: i16) -> Result<(), RecordError> {
        self.write(out, Self::shape(version)?)
    }

    /// Reads the fields; bytes behind them are refused, as `AbstractApiMessageSerde` does.
    fn read_version(input: &mut Bytes, version: i16) -> Result<Self, RecordError> {
        let value = Self::read(input, Self::shape(version)?)?;
        match input.len() {
            0 => Ok(value),
            bytes => Err(RecordError::TrailingBytes { record: Self::NAME, bytes }),
        }
    }
}

macro_rules! fixed_size {
    ($($type:ty: $put:ident $get:ident;)*) => {$(
        impl Codec for $type {
            fn write(&self, out: &mut BytesMut, _: Shape) -> Result<(), RecordError> {
                out.$put(*self);
                Ok(())
            }
            fn read(input: &mut Bytes, _: Shape) -> Result<Self, RecordError> {
                input.$get().map_err(|_| RecordError::Truncated)
            }
            fn json(&self, out: &mut String, _: Shape) {
                let _ = write!(out, "{self:?}");
            }
        }
    )*};
}

fixed_size! {
    i8: put_i8 try_get_i8;
    i16: put_i16 try_get_i16;
    u16: put_u16 try_get_u16;
    i32: put_i32 try_get_i32;
    i64: put_i64 try_get_i64;
    f64: put_f64 try_get_f64;
}

impl Codec for bool {
    fn write(&self, out: &mut BytesMut, _: Shape) -> Result<(), RecordError> {
        out.put_u8(u8::from(*self));
        Ok(())
    }
    fn read(input: &mut Bytes, _: Shape) -> Result<Self, RecordError> {
        Ok(input.try_get_u8().map_err(|_| RecordError::Truncated)? != 0)
    }
    fn json(&self, out: &mut String, _: Shape) {
        let _ = write!(out, "{self}");
    }
}

impl Codec for Uuid {
    fn write(&self, out: &mut BytesMut, _: Shape) -> Result<(), RecordError> {
        out.put_slice(self.as_bytes());
        Ok(())
    }
    fn read(input: &mut Bytes, _: Shape) -> Result<Self, RecordError> {
        input.try_get_u128().map(Uuid::from_u128).map_err(|_| RecordError::Truncated)
    }
    fn json(&self, out: &mut String, _: Shape) {
        let _ = write!(out, "\"{}\"", kafka_base64(self));
    }
}

/// How long lengths are where the format is not flexible: 2 bytes for strings, 4 for everything else.
#[derive(Clone, Copy)]
enum Width {
    Two,
    Four,
}

pub(crate) fn read_uvarint(input: &mut Bytes) -> Result<u32, RecordError> {
    let mut at = 0;
    let value = varint::read_u32(input, &mut at)?;
    input.advance(at);
    Ok(value)
}

/// A length that may be null. It is never larger than what is left to read, as every element of every array takes
/// at least a byte: whoever allocates by it cannot be made to allocate more than the input's own size in elements.
fn read_length(input: &mut Bytes, shape: Shape, width: Width) -> Result<Option<usize>, RecordError> {
    let length = if shape.flexible {
        i64::from(read_uvarint(input)?) - 1
    } else {
        match width {
            Width::Two => i64::from(i16::read(input, shape)?),
            Width::Four => i64::from(i32::read(input, shape)?),
        }
    };
    match length {
        -1 => Ok(None),
        length if length < -1 => Err(RecordError::BadLength(length)),
        length if length > input.len() as i64 => Err(RecordError::Truncated),
        length => Ok(Some(length as usize)),
    }
}

fn write_length(
    out: &mut BytesMut,
    shape: Shape,
    width: Width,
    length: Option<usize>,
) -> Result<(), RecordError> {
    let too_long = || RecordError::TooLong(length.unwrap_or(0));
    if shape.flexible {
        let raw = length.map_or(Ok(0), |length| u32::try_from(length + 1)).map_err(|_| too_long())?;
        varint::put_u32(out, raw);
        return Ok(());
    }
    match width {
        Width::Two => out.put_i16(length.map_or(Ok(-1), i16::try_from).map_err(|_| too_long())?),
        Width::Four => out.put_i32(length.map_or(Ok(-1), i32::try_from).map_err(|_| too_long())?),
    }
    Ok(())
}

/// A value that has a length in front, and hence a null.
pub trait WithLength: Sized {
    fn write_nullable(value: Option<&Self>, out: &mut BytesMut, shape: Shape) -> Result<(), RecordError>;
    fn read_nullable(input: &mut Bytes, shape: Shape) -> Result<Option<Self>, RecordError>;
    /// See [`Codec::json`].
    fn show(&self, out: &mut String, shape: Shape);
}

impl WithLength for String {
    fn write_nullable(value: Option<&Self>, out: &mut BytesMut, shape: Shape) -> Result<(), RecordError> {
        write_length(out, shape, Width::Two, value.map(String::len))?;
        out.put_slice(value.map_or(&[], |text| text.as_bytes()));
        Ok(())
    }
    fn read_nullable(input: &mut Bytes, shape: Shape) -> Result<Option<Self>, RecordError> {
        let Some(length) = read_length(input, shape, Width::Two)? else { return Ok(None) };
        let text = std::str::from_utf8(&input[..length]).map_err(|_| RecordError::NotUtf8)?.to_owned();
        input.advance(length);
        Ok(Some(text))
    }
    fn show(&self, out: &mut String, _: Shape) {
        out.push('"');
        for letter in self.chars() {
            let _ = match letter {
                '"' | '\\' => write!(out, "\\{letter}"),
                '\n' => write!(out, "\\n"),
                '\r' => write!(out, "\\r"),
                '\t' => write!(out, "\\t"),
                letter if letter < ' ' => write!(out, "\\u{:04X}", u32::from(letter)),
                letter => write!(out, "{letter}"),
            };
        }
        out.push('"');
    }
}

impl WithLength for Bytes {
    fn write_nullable(value: Option<&Self>, out: &mut BytesMut, shape: Shape) -> Result<(), RecordError> {
        write_length(out, shape, Width::Four, value.map(Bytes::len))?;
        out.put_slice(value.map_or(&[], |bytes| bytes.as_ref()));
        Ok(())
    }
    fn read_nullable(input: &mut Bytes, shape: Shape) -> Result<Option<Self>, RecordError> {
        Ok(read_length(input, shape, Width::Four)?.map(|length| input.split_to(length)))
    }
    fn show(&self, out: &mut String, _: Shape) {
        let _ = write!(out, "\"{}\"", STANDARD.encode(self));
    }
}

impl<T: Codec> WithLength for Vec<T> {
    fn write_nullable(value: Option<&Self>, out: &mut BytesMut, shape: Shape) -> Result<(), RecordError> {
        write_length(out, shape, Width::Four, value.map(Vec::len))?;
        value.into_iter().flatten().try_for_each(|element| element.write(out, shape))
    }
    fn read_nullable(input: &mut Bytes, shape: Shape) -> Result<Option<Self>, RecordError> {
        let Some(length) = read_length(input, shape, Width::Four)? else { return Ok(None) };
        (0..length).map(|_| T::read(input, shape)).collect::<Result<_, _>>().map(Some)
    }
    fn show(&self, out: &mut String, shape: Shape) {
        out.push('[');
        for (index, element) in self.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            element.json(out, shape);
        }
        out.push(']');
    }
}

/// Gives structs a null of their own, with the mark in front that nullable structs have: a byte.
macro_rules! nullable_structs {
    ($($name:ident;)*) => {$(
        impl $crate::record_codec::WithLength for $name {
            fn write_nullable(
                value: Option<&Self>,
                out: &mut ::bytes::BytesMut,
                shape: $crate::record_codec::Shape,
            ) -> Result<(), $crate::record_codec::RecordError> {
                let mark: i8 = if value.is_some() { 1 } else { -1 };
                $crate::record_codec::Codec::write(&mark, out, shape)?;
                value.map_or(Ok(()), |value| $crate::record_codec::Codec::write(value, out, shape))
            }
            fn read_nullable(
                input: &mut ::bytes::Bytes,
                shape: $crate::record_codec::Shape,
            ) -> Result<Option<Self>, $crate::record_codec::RecordError> {
                match <i8 as $crate::record_codec::Codec>::read(input, shape)? {
                    ..0 => Ok(None),
                    _ => $crate::record_codec::Codec::read(input, shape).map(Some),
                }
            }
            fn show(&self, out: &mut String, shape: $crate::record_codec::Shape) {
                $crate::record_codec::Codec::json(self, out, shape);
            }
        }
    )*};
}

pub(crate) use nullable_structs;

impl<T: WithLength> Codec for Option<T> {
    fn write(&self, out: &mut BytesMut, shape: Shape) -> Result<(), RecordError> {
        T::write_nullable(self.as_ref(), out, shape)
    }
    fn read(input: &mut Bytes, shape: Shape) -> Result<Self, RecordError> {
        T::read_nullable(input, shape)
    }
    fn json(&self, out: &mut String, shape: Shape) {
        match self {
            Some(value) => value.show(out, shape),
            None => out.push_str("null"),
        }
    }
}

macro_rules! never_null {
    ($($type:ty $(where $param:ident)?;)*) => {$(
        impl$(<$param: Codec>)? Codec for $type {
            fn write(&self, out: &mut BytesMut, shape: Shape) -> Result<(), RecordError> {
                Self::write_nullable(Some(self), out, shape)
            }
            fn read(input: &mut Bytes, shape: Shape) -> Result<Self, RecordError> {
                Self::read_nullable(input, shape)?.ok_or(RecordError::UnexpectedNull)
            }
            fn json(&self, out: &mut String, shape: Shape) {
                self.show(out, shape);
            }
        }
    )*};
}

never_null! {
    String;
    Bytes;
    Vec<T> where T;
}

/// Collects the tagged fields of one struct and writes them in the order of tags, as every reader expects.
#[derive(Default)]
pub struct TaggedFields(BTreeMap<u32, Bytes>);

impl TaggedFields {
    pub fn add(&mut self, tag: u32, value: &impl Codec, shape: Shape) -> Result<(), RecordError> {
        let mut bytes = BytesMut::new();
        value.write(&mut bytes, shape)?;
        self.0.insert(tag, bytes.freeze());
        Ok(())
    }

    pub fn write(self, unknown: &UnknownTaggedFields, out: &mut BytesMut) -> Result<(), RecordError> {
        let mut all = self.0;
        for (tag, bytes) in unknown {
            all.entry(*tag).or_insert_with(|| bytes.clone());
        }
        varint::put_u32(out, all.len() as u32);
        for (tag, bytes) in &all {
            varint::put_u32(out, *tag);
            varint::put_u32(out, u32::try_from(bytes.len()).map_err(|_| RecordError::TooLong(bytes.len()))?);
            out.put_slice(bytes);
        }
        Ok(())
    }
}

/// Reads the tagged section; `known` takes the fields it knows and says whether it did.
pub fn read_tagged_fields(
    input: &mut Bytes,
    mut known: impl FnMut(u32, &mut Bytes) -> Result<bool, RecordError>,
) -> Result<UnknownTaggedFields, RecordError> {
    let mut unknown = UnknownTaggedFields::new();
    for _ in 0..read_uvarint(input)? {
        let tag = read_uvarint(input)?;
        let size = read_uvarint(input)? as usize;
        if size > input.len() {
            return Err(RecordError::Truncated);
        }
        let bytes = input.split_to(size);
        let mut rest = bytes.clone();
        if !known(tag, &mut rest)? {
            unknown.insert(tag, bytes);
        } else if !rest.is_empty() {
            return Err(RecordError::TagSize { tag, size });
        }
    }
    Ok(unknown)
}

/// A field's name, as Kafka writes it, behind a comma unless it is the first one.
pub fn put_json_name(out: &mut String, field: &str) {
    if !out.ends_with('{') {
        out.push(',');
    }
    out.push('"');
    let mut raise = false;
    for letter in field.chars() {
        match letter {
            '_' => raise = true,
            letter if raise => {
                out.push(letter.to_ascii_uppercase());
                raise = false;
            }
            letter => out.push(letter),
        }
    }
    out.push_str("\":");
}

/// Declares structs of Kafka's message format.
///
/// ```text
/// /// What it is.
/// Name 0..=2 flexible 0 {          // a record with versions; `Name {` is a struct inside of others
///     field: Type = default, since 1 until 2 tag 0 ignorable;
/// }
/// ```
/// `= default`, `until`, `tag` and `ignorable` may be left out. `Option<Type>` is a nullable field. A field that is
/// set but not in the version being written is an error, unless it is `ignorable`.
macro_rules! record_structs {
    ($(
        $(#[$meta:meta])*
        $name:ident $($min:literal..=$max:literal flexible $flexible:literal)? {
            $(
                $(#[$field_meta:meta])*
                $field:ident: $type:ty $(= $default:expr)?, since $since:literal $(until $until:literal)? $(tag $tag:literal)? $(ignorable $ignorable:literal)?;
            )*
        }
    )*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type,)*
            /// Tagged fields of later versions, passed on untouched.
            pub unknown_tagged_fields: $crate::record_codec::UnknownTaggedFields,
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    $($field: $crate::record_codec::record_structs!(@default $type $(, $default)?),)*
                    unknown_tagged_fields: Default::default(),
                }
            }
        }

        impl $crate::record_codec::Codec for $name {
            #[allow(unused_mut, unused_variables, reason = "structs without tagged fields, or without fields")]
            fn write(
                &self,
                out: &mut ::bytes::BytesMut,
                shape: $crate::record_codec::Shape,
            ) -> Result<(), $crate::record_codec::RecordError> {
                let mut tags = $crate::record_codec::TaggedFields::default();
                $(
                    if $crate::record_codec::record_structs!(@in shape.version, $since $(, $until)?) {
                        $crate::record_codec::record_structs!(@write self.$field, out, tags, shape, $crate::record_codec::record_structs!(@default $type $(, $default)?) $(, $tag)?);
                    } else if !$crate::record_codec::record_structs!(@ignorable $($ignorable)?)
                        && self.$field != $crate::record_codec::record_structs!(@default $type $(, $default)?)
                    {
                        return Err($crate::record_codec::RecordError::FieldNotInVersion {
                            record: stringify!($name),
                            field: stringify!($field),
                            since: $since,
                            version: shape.version,
                        });
                    }
                )*
                if shape.flexible {
                    tags.write(&self.unknown_tagged_fields, out)?;
                }
                Ok(())
            }

            #[allow(unused_mut, unused_variables, reason = "structs without tagged fields, or without fields")]
            fn read(
                input: &mut ::bytes::Bytes,
                shape: $crate::record_codec::Shape,
            ) -> Result<Self, $crate::record_codec::RecordError> {
                let mut value = Self::default();
                $(
                    if $crate::record_codec::record_structs!(@untagged $($tag)?)
                        && $crate::record_codec::record_structs!(@in shape.version, $since $(, $until)?)
                    {
                        value.$field = $crate::record_codec::Codec::read(input, shape)?;
                    }
                )*
                if shape.flexible {
                    let unknown = $crate::record_codec::read_tagged_fields(input, |tag, bytes| {
                        $($crate::record_codec::record_structs!(@read_tag value.$field, tag, bytes, shape, $since $(, $tag)?);)*
                        Ok(false)
                    })?;
                    value.unknown_tagged_fields = unknown;
                }
                Ok(value)
            }

            #[allow(unused_mut, unused_variables, reason = "structs without fields")]
            fn json(&self, out: &mut String, shape: $crate::record_codec::Shape) {
                out.push('{');
                $(
                    // What is tagged is left out at its default.
                    if $crate::record_codec::record_structs!(@in shape.version, $since $(, $until)?)
                        && ($crate::record_codec::record_structs!(@untagged $($tag)?)
                            || self.$field != $crate::record_codec::record_structs!(@default $type $(, $default)?))
                    {
                        $crate::record_codec::put_json_name(out, stringify!($field));
                        $crate::record_codec::Codec::json(&self.$field, out, shape);
                    }
                )*
                out.push('}');
            }
        }

        $(impl $crate::record_codec::Versioned for $name {
            const NAME: &'static str = stringify!($name);
            const MIN_VERSION: i16 = $min;
            const MAX_VERSION: i16 = $max;
            const FLEXIBLE_FROM: i16 = $flexible;
        })?
    )*};
    (@default $type:ty) => { <$type>::default() };
    (@default $type:ty, $default:expr) => { $default };
    (@in $version:expr, $since:literal) => { $version >= $since };
    (@in $version:expr, $since:literal, $until:literal) => { ($since..=$until).contains(&$version) };
    (@ignorable) => { false };
    (@ignorable $ignorable:literal) => { $ignorable };
    (@untagged) => { true };
    (@untagged $tag:literal) => { false };
    (@write $value:expr, $out:ident, $tags:ident, $shape:ident, $default:expr) => {
        $crate::record_codec::Codec::write(&$value, $out, $shape)?
    };
    (@write $value:expr, $out:ident, $tags:ident, $shape:ident, $default:expr, $tag:literal) => {
        if $value != $default {
            $tags.add($tag, &$value, $shape)?;
        }
    };
    (@read_tag $value:expr, $seen:ident, $bytes:ident, $shape:ident, $since:literal) => {};
    (@read_tag $value:expr, $seen:ident, $bytes:ident, $shape:ident, $since:literal, $tag:literal) => {
        if $seen == $tag && $shape.version >= $since {
            $value = $crate::record_codec::Codec::read($bytes, $shape)?;
            return Ok(true);
        }
    };
}

pub(crate) use record_structs;
