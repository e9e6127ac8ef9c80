//! The messages of Apache Kafka 3.7.0 as one table (`messages.txt`): API, versions, fields; those of groups of the
//! consumer protocol (KIP-848), which 3.7 has in an early form, are 4.1.0's, and so is version 6 of DescribeGroups.
//!
//! It is the harness's own, so that what judges a broker shares no codec with it. It must not hold
//! anything that is not a fact of the protocol.
//!
//! A line of the table is `api KEY NAME VERSIONS flexible VERSIONS on LISTENERS`, `request`, `response`, or a
//! field: `NAME TYPE VERSIONS [null VERSIONS] [tag NUMBER VERSIONS] [= DEFAULT]`, indented by its depth.
//! `[]` is an array of the fields below it, `{}` a structure of them.

use std::sync::LazyLock;

/// A range of versions, both ends included; an empty one has `from` above `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// First version.
    pub from: i16,
    /// Last version; [`i16::MAX`] for "and all later ones".
    pub to: i16,
}

impl Versions {
    /// No version at all.
    pub const NONE: Versions = Versions { from: 1, to: 0 };

    /// Whether `version` is one of them.
    pub fn has(self, version: i16) -> bool {
        (self.from..=self.to).contains(&version)
    }

    fn parse(text: &str) -> Option<Self> {
        if text == "none" {
            return Some(Self::NONE);
        }
        if let Some(from) = text.strip_suffix('+') {
            return Some(Versions { from: from.parse().ok()?, to: i16::MAX });
        }
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        Some(Versions { from: from.parse().ok()?, to: to.parse().ok()? })
    }
}

/// What a field holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// One byte.
    Bool,
    /// A signed number of so many bytes.
    Int(u8),
    /// Two bytes without sign (ports in voters' endpoints).
    Uint16,
    /// Eight bytes, IEEE 754.
    Float64,
    /// Text.
    String,
    /// Sixteen bytes.
    Uuid,
    /// Bytes of any kind.
    Bytes,
    /// Record batches or message sets.
    Records,
    /// A structure of these fields.
    Struct(Vec<Field>),
    /// An array.
    Array(Box<Type>),
}

/// One field of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Name, in snake case.
    pub name: String,
    /// What it holds.
    pub kind: Type,
    /// Versions that have it.
    pub versions: Versions,
    /// Versions in which it may be null.
    pub nullable: Versions,
    /// Versions in which it is a tagged field, and its tag.
    pub tag: Option<(u32, Versions)>,
    /// Its default where that is not zero, false, empty.
    pub default: Option<String>,
}

/// One API.
#[derive(Clone, Debug)]
pub struct Api {
    /// Its number.
    pub key: i16,
    /// Its name, as Kafka's documentation has it.
    pub name: String,
    /// Versions that 3.7.0 knows.
    pub versions: Versions,
    /// Versions with compact lengths and tagged fields (KIP-482).
    pub flexible: Versions,
    /// Fields of the request.
    pub request: Vec<Field>,
    /// Fields of the response.
    pub response: Vec<Field>,
}

static APIS: LazyLock<Vec<Api>> = LazyLock::new(|| {
    parse(include_str!("messages.txt")).expect("the table is part of the program, and a test reads it")
});

/// All APIs, by number.
pub fn apis() -> &'static [Api] {
    &APIS
}

/// The API of that name.
pub fn api(name: &str) -> Option<&'static Api> {
    apis().iter().find(|api| api.name == name)
}

/// One field line and how deep it stands.
struct Line {
    depth: usize,
    field: Field,
    nested: Nested,
}

enum Nested {
    No,
    Array,
    Struct,
}

/// Reads the table; the error is the line it does not understand.
fn parse(text: &'static str) -> Result<Vec<Api>, &'static str> {
    let mut apis: Vec<Api> = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(head) = lines.next() {
        let words: Vec<&str> = head.split(' ').collect();
        let ["api", key, name, versions, "flexible", flexible, "on", _] = words[..] else { return Err(head) };
        let mut api = Api {
            key: key.parse().map_err(|_| head)?,
            name: name.to_owned(),
            versions: Versions::parse(versions).ok_or(head)?,
            flexible: Versions::parse(flexible).ok_or(head)?,
            request: Vec::new(),
            response: Vec::new(),
        };
        for part in ["request", "response"] {
            if lines.next() != Some(part) {
                return Err(head);
            }
            let mut fields = Vec::new();
            while let Some(line) = lines.next_if(|line| line.starts_with(' ')) {
                fields.push(field(line).ok_or(line)?);
            }
            let mut fields = fields.into_iter().peekable();
            let nested = nest(&mut fields, 1);
            match part {
                "request" => api.request = nested,
                _ => api.response = nested,
            }
        }
        apis.push(api);
    }
    Ok(apis)
}

fn nest(lines: &mut std::iter::Peekable<std::vec::IntoIter<Line>>, depth: usize) -> Vec<Field> {
    let mut fields = Vec::new();
    while let Some(mut line) = lines.next_if(|line| line.depth >= depth) {
        let children = nest(lines, line.depth + 1);
        match line.nested {
            Nested::No => {}
            Nested::Array => line.field.kind = Type::Array(Box::new(Type::Struct(children))),
            Nested::Struct => line.field.kind = Type::Struct(children),
        }
        fields.push(line.field);
    }
    fields
}

fn field(line: &str) -> Option<Line> {
    let trimmed = line.trim_start();
    let depth = (line.len() - trimmed.len()) / 2;
    let mut words = trimmed.split(' ');
    let (name, kind, versions) = (words.next()?, words.next()?, words.next()?);
    let nested = match kind {
        "[]" => Nested::Array,
        "{}" => Nested::Struct,
        _ => Nested::No,
    };
    let mut field = Field {
        name: name.to_owned(),
        kind: if matches!(nested, Nested::No) { scalar(kind)? } else { Type::Bool },
        versions: Versions::parse(versions)?,
        nullable: Versions::NONE,
        tag: None,
        default: None,
    };
    while let Some(word) = words.next() {
        match word {
            "null" => field.nullable = Versions::parse(words.next()?)?,
            "tag" => field.tag = Some((words.next()?.parse().ok()?, Versions::parse(words.next()?)?)),
            "=" => field.default = Some(words.next()?.to_owned()),
            _ => return None,
        }
    }
    Some(Line { depth, field, nested })
}

fn scalar(kind: &str) -> Option<Type> {
    Some(match kind {
        "bool" => Type::Bool,
        "int8" => Type::Int(1),
        "int16" => Type::Int(2),
        "int32" => Type::Int(4),
        "int64" => Type::Int(8),
        "uint16" => Type::Uint16,
        "float64" => Type::Float64,
        "string" => Type::String,
        "uuid" => Type::Uuid,
        "bytes" => Type::Bytes,
        "records" => Type::Records,
        _ => Type::Array(Box::new(scalar(kind.strip_prefix("[]")?)?)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_understood_whole() {
        assert_eq!(parse(include_str!("messages.txt")).map(|apis| apis.len()), Ok(72));
    }

    #[test]
    fn a_field_knows_its_versions_tag_and_default() {
        let fetch = api("Fetch").unwrap();
        assert_eq!((fetch.key, fetch.versions), (1, Versions { from: 0, to: 16 }));
        let cluster_id = &fetch.request[0];
        assert_eq!(cluster_id.tag, Some((0, Versions { from: 12, to: i16::MAX })));
        assert_eq!(cluster_id.default.as_deref(), Some("null"));
        let Type::Array(topics) = &fetch.response[3].kind else { panic!("{:?}", fetch.response[3]) };
        let Type::Struct(topic) = &**topics else { panic!("{topics:?}") };
        assert_eq!(
            topic.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(),
            ["topic", "topic_id", "partitions"]
        );
    }
}
