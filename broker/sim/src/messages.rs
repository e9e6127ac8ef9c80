//! Requests and responses as bytes, made up from the table that they are checked by: true ones, and where in them the
//! lengths and the booleans are, so that a test can make each of them lie.

use jackdaw_wire::schema::{Field, Kind, Message, Struct};
use jackdaw_wire::varint;

use crate::seeds::Rng;

/// An unknown tag is at least this large: no message has a known one there.
const FIRST_UNKNOWN_TAG: u32 = 64;

/// What a place in a message means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    Bool,
    /// A length of 2 bytes.
    Short,
    /// A length of 4 bytes.
    Int,
    /// A compact length, or the number, the tag or the size of a tagged field.
    Varint,
}

#[derive(Debug, Clone, Copy)]
pub struct Place {
    pub at: usize,
    pub length: usize,
    pub meaning: Meaning,
}

/// A message as it is sent, behind its header.
#[derive(Debug, Clone, Default)]
pub struct Encoded {
    pub bytes: Vec<u8>,
    pub places: Vec<Place>,
}

impl Encoded {
    /// The same message with other bytes at a place.
    pub fn with(&self, place: Place, bytes: &[u8]) -> Vec<u8> {
        let (before, behind) = (&self.bytes[..place.at], &self.bytes[place.at + place.length..]);
        [before, bytes, behind].concat()
    }
}

/// What a place must never be believed to say, whatever lies behind it, and what may be true by chance.
pub fn extremes(meaning: Meaning) -> Vec<Vec<u8>> {
    let varint = |value: u32| {
        let mut bytes = Vec::new();
        varint::put_u32(&mut bytes, value);
        bytes
    };
    match meaning {
        Meaning::Bool => [2, 3, 0x7f, 0x80, 0xff].map(|byte| vec![byte]).into(),
        Meaning::Short => {
            [i16::MAX, i16::MAX - 1, i16::MIN, -2, 256].map(|n| n.to_be_bytes().to_vec()).into()
        }
        Meaning::Int => {
            let numbers = [i32::MAX, i32::MAX - 1, i32::MIN, -2, 1 << 30, 1 << 24, 1 << 20, 70_000];
            numbers.map(|number| number.to_be_bytes().to_vec()).into()
        }
        Meaning::Varint => {
            let mut all: Vec<_> =
                [u32::MAX, u32::MAX - 1, 1 << 31, 1 << 30, 1 << 24, 1 << 20, 70_000].map(varint).into();
            all.extend([
                vec![0x80, 0x80, 0x80, 0x80, 0x70],
                vec![0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
                vec![0xff; 5],
                vec![0x80; 12],
                vec![0x80, 0x80, 0x80, 0x70],
            ]);
            all
        }
    }
}

/// Makes up a message. No tagged field has its default, so that whoever reads the message and writes it again writes the
/// same bytes.
pub fn random(message: &Message, version: i16, rng: &mut Rng) -> Encoded {
    random_with(message, version, FIRST_UNKNOWN_TAG, rng)
}

/// As [`random`], with tags that the table does not know from 0 on.
pub fn with_near_tags(message: &Message, version: i16, rng: &mut Rng) -> Encoded {
    random_with(message, version, 0, rng)
}

fn random_with(message: &Message, version: i16, unknown_from: u32, rng: &mut Rng) -> Encoded {
    let flexible = version >= message.flexible_from;
    let mut writer = Writer { version, flexible, unknown_from, rng, out: Encoded::default() };
    writer.structure(&message.body, false);
    writer.out
}

struct Writer<'a> {
    version: i16,
    flexible: bool,
    unknown_from: u32,
    rng: &'a mut Rng,
    out: Encoded,
}

impl Writer<'_> {
    fn put(&mut self, meaning: Meaning, bytes: &[u8]) {
        self.out.places.push(Place { at: self.out.bytes.len(), length: bytes.len(), meaning });
        self.out.bytes.extend_from_slice(bytes);
    }

    fn put_varint(&mut self, value: u32) {
        let mut bytes = Vec::new();
        varint::put_u32(&mut bytes, value);
        self.put(Meaning::Varint, &bytes);
    }

    fn put_length(&mut self, is_text: bool, length: Option<usize>) {
        match (self.flexible, is_text) {
            (true, _) => self.put_varint(length.map_or(0, |length| length as u32 + 1)),
            (false, true) => {
                let length = length.map_or(-1, |length| length as i16);
                self.put(Meaning::Short, &length.to_be_bytes());
            }
            (false, false) => {
                let length = length.map_or(-1, |length| length as i32);
                self.put(Meaning::Int, &length.to_be_bytes());
            }
        }
    }

    fn structure(&mut self, structure: &Struct, is_set: bool) {
        let fields: Vec<&Field> = structure.fields.iter().filter(|field| field.is_in(self.version)).collect();
        for field in fields.iter().filter(|field| field.tag.is_none()) {
            self.field(field, is_set);
        }
        if !self.flexible {
            return;
        }
        let mut tagged: Vec<_> = fields.iter().filter(|field| field.tag.is_some()).collect();
        tagged.retain(|_| self.rng.chance(60));
        let unknown = self.unknown_tags(&fields);
        self.put_varint((tagged.len() + unknown.len()) as u32);
        for field in tagged {
            self.put_varint(field.tag.unwrap_or_default());
            let outer = std::mem::take(&mut self.out);
            self.field(field, true);
            let inner = std::mem::replace(&mut self.out, outer);
            self.put_varint(inner.bytes.len() as u32);
            let start = self.out.bytes.len();
            self.out.bytes.extend(inner.bytes);
            let places = inner.places.into_iter();
            self.out.places.extend(places.map(|place| Place { at: place.at + start, ..place }));
        }
        for tag in unknown {
            self.put_varint(tag);
            let size = self.rng.below(9);
            self.put_varint(size as u32);
            self.random_bytes(size as usize);
        }
    }

    /// Rising, and none of them known.
    fn unknown_tags(&mut self, fields: &[&Field]) -> Vec<u32> {
        let (from, percent) = if self.unknown_from == 0 { (0, 50) } else { (self.unknown_from, 15) };
        let mut tags = Vec::new();
        let mut tag = from;
        while tags.len() < 3 && self.rng.chance(percent) {
            tag += self.rng.below(6) as u32;
            if fields.iter().all(|field| field.tag != Some(tag)) {
                tags.push(tag);
            }
            tag += 1;
        }
        tags
    }

    fn random_bytes(&mut self, length: usize) {
        for _ in 0..length {
            let byte = self.rng.next_u64() as u8;
            self.out.bytes.push(byte);
        }
    }

    /// `is_set`: it must not be what it is where nothing is said.
    fn field(&mut self, field: &Field, is_set: bool) {
        let may_be_null =
            !is_set && field.may_be_null(self.version) && !matches!(field.kind, Kind::Struct(_));
        if may_be_null && self.rng.chance(20) {
            self.put_length(matches!(field.kind, Kind::Text), None);
        } else {
            self.value(&field.kind, is_set);
        }
    }

    fn value(&mut self, kind: &Kind, is_set: bool) {
        let least = u64::from(is_set);
        match kind {
            Kind::Bool => {
                let value = is_set || self.rng.chance(50);
                self.put(Meaning::Bool, &[u8::from(value)]);
            }
            Kind::Number(bytes) => {
                // Neither 0 nor -1, which are what nothing says.
                let first = 1 + self.rng.below(100) as u8;
                self.out.bytes.push(first);
                self.random_bytes(bytes - 1);
            }
            Kind::Text => {
                let length = least + self.rng.below(8);
                self.put_length(true, Some(length as usize));
                for _ in 0..length {
                    let letter = b'a' + self.rng.below(26) as u8;
                    self.out.bytes.push(letter);
                }
            }
            Kind::Bytes => {
                let length = (least + self.rng.below(20)) as usize;
                self.put_length(false, Some(length));
                self.random_bytes(length);
            }
            Kind::Struct(structure) => self.structure(structure, is_set),
            Kind::Array(element) => {
                let length = least + self.rng.below(4);
                self.put_length(false, Some(length as usize));
                (0..length).for_each(|_| self.value(element, false));
            }
        }
    }
}
