//! A message as a tree, and its bytes: encoding and decoding by the table of [`crate::schema`].
//!
//! Decoding is strict: what a real client would stumble over is an error here. It must not know any API.

use crate::schema::{Field, Type};

/// A value of a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Null.
    Null,
    /// A boolean.
    Bool(bool),
    /// A number of any width.
    Int(i64),
    /// A floating point number.
    Float(f64),
    /// Text.
    Str(String),
    /// An id.
    Uuid([u8; 16]),
    /// Bytes, records among them.
    Bytes(Vec<u8>),
    /// Fields by name, in the order of the table.
    Struct(Vec<(String, Value)>),
    /// Elements.
    Array(Vec<Value>),
}

impl Value {
    /// A field of a structure, or an element of an array by its number.
    pub fn get(&self, name: &str) -> Option<&Value> {
        match self {
            Value::Struct(fields) => fields.iter().find(|(field, _)| field == name).map(|(_, value)| value),
            Value::Array(items) => items.get(name.parse::<usize>().ok()?),
            _ => None,
        }
    }

    /// The value at `a.0.b`.
    pub fn at(&self, path: &str) -> Option<&Value> {
        path.split('.').try_fold(self, |value, name| value.get(name))
    }

    /// A number.
    pub fn int(&self) -> Option<i64> {
        match self {
            Value::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// A text.
    pub fn str(&self) -> Option<&str> {
        match self {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The elements of an array; none of anything else.
    pub fn items(&self) -> &[Value] {
        match self {
            Value::Array(items) => items,
            _ => &[],
        }
    }
}

/// What a field is when nothing is said about it.
pub fn default_of(field: &Field) -> Value {
    let text = field.default.as_deref();
    match &field.kind {
        _ if text == Some("null") => Value::Null,
        Type::Bool => Value::Bool(text == Some("true")),
        Type::Int(_) | Type::Uint16 => Value::Int(text.and_then(|text| text.parse().ok()).unwrap_or(0)),
        Type::Float64 => Value::Float(0.0),
        Type::String => Value::Str(text.unwrap_or_default().to_owned()),
        Type::Uuid => Value::Uuid([0; 16]),
        Type::Bytes => Value::Bytes(Vec::new()),
        Type::Records => Value::Null,
        Type::Struct(fields) => {
            Value::Struct(fields.iter().map(|field| (field.name.clone(), default_of(field))).collect())
        }
        Type::Array(_) => Value::Array(Vec::new()),
    }
}

/// The bytes of a message in one version.
///
/// # Errors
/// A value that its type cannot hold.
pub fn encode(fields: &[Field], value: &Value, version: i16, flexible: bool) -> Result<Vec<u8>, String> {
    let mut writer = Writer { out: Vec::new(), version, flexible };
    writer.fields(fields, value)?;
    Ok(writer.out)
}

struct Writer {
    out: Vec<u8>,
    version: i16,
    flexible: bool,
}

/// An unsigned varint.
pub fn put_uvarint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

impl Writer {
    fn fields(&mut self, fields: &[Field], value: &Value) -> Result<(), String> {
        let mut tagged = Vec::new();
        let version = self.version;
        for field in fields.iter().filter(|field| field.versions.has(version)) {
            let default = default_of(field);
            let given = value.get(&field.name).unwrap_or(&default);
            match field.tag.filter(|(_, versions)| versions.has(self.version)) {
                Some((tag, _)) if *given != default => {
                    let mut inner =
                        Writer { out: Vec::new(), version: self.version, flexible: self.flexible };
                    inner.value(field, &field.kind, given)?;
                    tagged.push((tag, inner.out));
                }
                Some(_) => {}
                None => self.value(field, &field.kind, given)?,
            }
        }
        if self.flexible {
            tagged.sort_by_key(|(tag, _)| *tag);
            put_uvarint(&mut self.out, tagged.len() as u64);
            for (tag, bytes) in tagged {
                put_uvarint(&mut self.out, u64::from(tag));
                put_uvarint(&mut self.out, bytes.len() as u64);
                self.out.extend(bytes);
            }
        }
        Ok(())
    }

    /// A length before its elements; -1 for null.
    fn length(&mut self, length: Option<usize>, short: bool) {
        if self.flexible {
            put_uvarint(&mut self.out, length.map_or(0, |length| length as u64 + 1));
        } else if short {
            self.out.extend((length.map_or(-1, |length| length as i16)).to_be_bytes());
        } else {
            self.out.extend((length.map_or(-1, |length| length as i32)).to_be_bytes());
        }
    }

    fn value(&mut self, field: &Field, kind: &Type, value: &Value) -> Result<(), String> {
        let wrong = || Err(format!("`{}` cannot hold {value:?}", field.name));
        match (kind, value) {
            (Type::String, Value::Null) => self.length(None, true),
            (Type::Bytes | Type::Records | Type::Array(_), Value::Null) => self.length(None, false),
            (Type::Struct(_), Value::Null) => self.out.push(0xff),
            (Type::Bool, Value::Bool(value)) => self.out.push(u8::from(*value)),
            (Type::Int(width), Value::Int(value)) => {
                let bits = u32::from(*width) * 8;
                if bits < 64 && (*value >= 1 << (bits - 1) || *value < -(1 << (bits - 1))) {
                    return wrong();
                }
                self.out.extend(&value.to_be_bytes()[8 - usize::from(*width)..]);
            }
            (Type::Uint16, Value::Int(value)) => self.out.extend(&value.to_be_bytes()[6..]),
            (Type::Float64, Value::Float(value)) => self.out.extend(value.to_be_bytes()),
            (Type::Uuid, Value::Uuid(id)) => self.out.extend(id),
            (Type::String, Value::Str(text)) => {
                self.length(Some(text.len()), true);
                self.out.extend(text.as_bytes());
            }
            (Type::Bytes | Type::Records, Value::Bytes(bytes)) => {
                self.length(Some(bytes.len()), false);
                self.out.extend(bytes);
            }
            (Type::Struct(fields), Value::Struct(_)) => {
                if field.nullable.has(self.version) && matches!(field.kind, Type::Struct(_)) {
                    self.out.push(1);
                }
                self.fields(fields, value)?;
            }
            (Type::Array(of), Value::Array(items)) => {
                self.length(Some(items.len()), false);
                items.iter().try_for_each(|item| self.value(field, of, item))?;
            }
            _ => return wrong(),
        }
        Ok(())
    }
}

/// The tree of a message in one version; bytes that are left over are an error.
///
/// # Errors
/// Where the bytes are not that message.
pub fn decode(fields: &[Field], bytes: &[u8], version: i16, flexible: bool) -> Result<Value, String> {
    let mut reader = Reader { bytes, at: 0, version, flexible };
    let value = reader.fields(fields)?;
    let left = bytes.len() - reader.at;
    if left > 0 {
        return Err(format!("{left} bytes are left over behind the message"));
    }
    Ok(value)
}

/// Takes values off the front of bytes.
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    version: i16,
    flexible: bool,
}

impl<'a> Reader<'a> {
    /// Reads plain values, outside any message.
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes, at: 0, version: 0, flexible: false }
    }

    /// Bytes that are not read yet.
    pub fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The next bytes.
    ///
    /// # Errors
    /// When there are not so many.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len());
        let end =
            end.ok_or_else(|| format!("{count} bytes are due at {}, {} are there", self.at, self.left()))?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    /// A signed number of so many bytes.
    ///
    /// # Errors
    /// At the end of the bytes.
    pub fn int(&mut self, width: usize) -> Result<i64, String> {
        let bytes = self.take(width)?;
        let sign = if bytes.first().is_some_and(|byte| byte & 0x80 != 0) { -1_i64 } else { 0 };
        Ok(bytes.iter().fold(sign, |value, byte| value << 8 | i64::from(*byte)))
    }

    /// An unsigned varint.
    ///
    /// # Errors
    /// At the end of the bytes, or beyond ten of them.
    pub fn uvarint(&mut self) -> Result<u64, String> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("a varint of more than ten bytes".into())
    }

    /// A signed varint in zigzag form.
    ///
    /// # Errors
    /// As [`Reader::uvarint`].
    pub fn varint(&mut self) -> Result<i64, String> {
        let raw = self.uvarint()?;
        Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
    }

    fn fields(&mut self, fields: &[Field]) -> Result<Value, String> {
        let mut read = Vec::new();
        let mut tagged = Vec::new();
        let version = self.version;
        for field in fields.iter().filter(|field| field.versions.has(version)) {
            match field.tag.filter(|(_, versions)| versions.has(self.version)) {
                Some((tag, _)) => {
                    tagged.push((tag, read.len()));
                    read.push((field.name.clone(), default_of(field)));
                }
                None => {
                    let value =
                        self.value(field, &field.kind).map_err(|why| format!("{}: {why}", field.name))?;
                    read.push((field.name.clone(), value));
                }
            }
        }
        if self.flexible {
            for _ in 0..self.uvarint()? {
                let (tag, size) = (self.uvarint()?, self.uvarint()? as usize);
                let bytes = self.take(size)?;
                let known = tagged.iter().find(|(known, _)| u64::from(*known) == tag);
                let Some((_, place)) = known else {
                    read.push((format!("unknown_tag_{tag}"), Value::Bytes(bytes.to_vec())));
                    continue;
                };
                let name = &read[*place].0;
                let field = fields.iter().find(|f| f.name == *name && f.versions.has(self.version));
                let field = field.ok_or("a tag of no field")?;
                let mut inner = Reader { bytes, at: 0, version: self.version, flexible: true };
                read[*place].1 = inner.value(field, &field.kind)?;
            }
        }
        Ok(Value::Struct(read))
    }

    fn length(&mut self, short: bool) -> Result<Option<usize>, String> {
        if self.flexible {
            return Ok((self.uvarint()? as usize).checked_sub(1));
        }
        Ok(usize::try_from(self.int(if short { 2 } else { 4 })?).ok())
    }

    fn value(&mut self, field: &Field, kind: &Type) -> Result<Value, String> {
        Ok(match kind {
            Type::Bool => Value::Bool(self.take(1)?[0] != 0),
            Type::Int(width) => Value::Int(self.int(usize::from(*width))?),
            Type::Uint16 => Value::Int(self.int(2)? & 0xffff),
            Type::Float64 => Value::Float(f64::from_bits(self.int(8)? as u64)),
            Type::Uuid => {
                let mut id = [0; 16];
                id.copy_from_slice(self.take(16)?);
                Value::Uuid(id)
            }
            Type::String => match self.length(true)? {
                None => self.null(field)?,
                Some(length) => {
                    let text = std::str::from_utf8(self.take(length)?).map_err(|error| error.to_string())?;
                    Value::Str(text.to_owned())
                }
            },
            Type::Bytes | Type::Records => match self.length(false)? {
                None => self.null(field)?,
                Some(length) => Value::Bytes(self.take(length)?.to_vec()),
            },
            Type::Struct(fields) => {
                let nullable = field.nullable.has(self.version) && matches!(field.kind, Type::Struct(_));
                if nullable && self.int(1)? < 0 {
                    return Ok(Value::Null);
                }
                self.fields(fields)?
            }
            Type::Array(of) => match self.length(false)? {
                None => self.null(field)?,
                Some(length) => {
                    Value::Array((0..length).map(|_| self.value(field, of)).collect::<Result<_, _>>()?)
                }
            },
        })
    }

    fn null(&self, field: &Field) -> Result<Value, String> {
        let may = field.nullable.has(self.version);
        if may {
            Ok(Value::Null)
        } else {
            Err(format!("null, which version {} does not allow", self.version))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{api, apis};

    #[test]
    fn every_message_of_every_version_comes_back_from_its_bytes() {
        for api in apis() {
            for version in api.versions.from..=api.versions.to {
                for fields in [&api.request, &api.response] {
                    let full = fields.iter().filter(|f| f.versions.has(version));
                    let value =
                        Value::Struct(full.map(|f| (f.name.clone(), filled(&f.kind, version))).collect());
                    let flexible = api.flexible.has(version);
                    let bytes = encode(fields, &value, version, flexible).unwrap();
                    let back = decode(fields, &bytes, version, flexible);
                    assert_eq!(back, Ok(value), "{} {version}", api.name);
                }
            }
        }
    }

    /// A value that differs from every default.
    fn filled(kind: &Type, version: i16) -> Value {
        match kind {
            Type::Bool => Value::Bool(true),
            Type::Int(_) | Type::Uint16 => Value::Int(7),
            Type::Float64 => Value::Float(1.5),
            Type::String => Value::Str("text".into()),
            Type::Uuid => Value::Uuid([3; 16]),
            Type::Bytes | Type::Records => Value::Bytes(vec![1, 2]),
            Type::Struct(fields) => {
                let there = fields.iter().filter(|field| field.versions.has(version));
                Value::Struct(there.map(|field| (field.name.clone(), filled(&field.kind, version))).collect())
            }
            Type::Array(of) => Value::Array(vec![filled(of, version); 2]),
        }
    }

    #[test]
    fn known_bytes_of_a_metadata_request() {
        let api = api("Metadata").unwrap();
        let topic = Value::Struct(vec![("name".into(), Value::Str("t".into()))]);
        let request = Value::Struct(vec![("topics".into(), Value::Array(vec![topic]))]);
        assert_eq!(encode(&api.request, &request, 1, false).unwrap(), [0, 0, 0, 1, 0, 1, b't']);
        let flexible = encode(&api.request, &request, 9, true).unwrap();
        assert_eq!(flexible, [2, 2, b't', 0, 1, 0, 0, 0]);
    }

    #[test]
    fn what_is_short_or_left_over_is_told() {
        let fields = &api("Metadata").unwrap().request;
        assert_eq!(
            decode(fields, &[0, 0, 0, 0, 9], 1, false).unwrap_err(),
            "1 bytes are left over behind the message"
        );
        assert!(decode(fields, &[0, 0, 0, 2, 0, 1], 1, false).is_err());
        assert!(decode(fields, &[0xff; 4], 0, false).unwrap_err().contains("null"));
    }
}
