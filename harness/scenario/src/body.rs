//! The body of a request: from what a scenario writes to the tree of [`crate::value`], by the table of
//! [`crate::schema`].
//!
//! The same walk serves twice: when a file is read, with every variable unknown, so that faults are told
//! with their place before anything starts; and when the step is done.

use crate::records::{Batch, Record, codec};
use crate::schema::{Field, Type};
use crate::value::{Value, default_of};
use jackdaw_compose::yaml::{Entry, Kind, Node};
use jackdaw_compose::{Code, Diagnostic, Span, nearest};

/// What `$name`, `now` and `id of TOPIC` stand for.
pub trait Known {
    /// A saved value.
    fn saved(&self, name: &str) -> Option<Value>;
    /// The id of a topic.
    fn topic_id(&self, topic: &str) -> Option<[u8; 16]>;
    /// The moment that scenarios call now, in ms since the epoch.
    fn now_ms(&self) -> i64;
}

/// Result of a walk: a finding with its place.
pub type Built<T> = Result<T, Box<Diagnostic>>;

/// A finding about a value.
pub fn wrong(span: &Span, message: impl Into<String>) -> Box<Diagnostic> {
    Box::new(Diagnostic::new(Code::ScenarioValue, message, span))
}

/// An unknown word among known ones.
pub fn unknown<'a>(
    what: &str,
    word: &str,
    span: &Span,
    known: impl IntoIterator<Item = &'a str> + Clone,
) -> Box<Diagnostic> {
    let finding = Diagnostic::new(Code::ScenarioKey, format!("there is no {what} `{word}`"), span);
    let help = match nearest(word, known.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known are: {}", known.into_iter().collect::<Vec<_>>().join(", ")),
    };
    Box::new(finding.help(help))
}

/// The tree of a message from its fields in the file.
///
/// # Errors
/// The first fault.
pub fn build(
    fields: &[Field],
    body: Option<&Node>,
    version: i16,
    lenient: bool,
    known: &dyn Known,
) -> Built<Value> {
    Builder { version, lenient, known }.fields(fields, body)
}

struct Builder<'a> {
    version: i16,
    /// Fields that this version lacks are left out: the step is sent in several.
    lenient: bool,
    known: &'a dyn Known,
}

impl Builder<'_> {
    fn fields(&self, fields: &[Field], body: Option<&Node>) -> Built<Value> {
        let entries = match body {
            None => &[],
            Some(node) => mapping(node)?,
        };
        for entry in entries {
            let name = entry.key.value.as_str();
            let mut named = fields.iter().filter(|field| field.name == name).peekable();
            if named.peek().is_none() {
                let names = fields.iter().map(|field| field.name.as_str());
                return Err(unknown("field", name, &entry.key.span, names));
            }
            if !self.lenient && !named.any(|field| field.versions.has(self.version)) {
                let message = format!("version {} has no field `{name}`", self.version);
                return Err(wrong(&entry.key.span, message));
            }
        }
        let mut built = Vec::new();
        for field in fields.iter().filter(|field| field.versions.has(self.version)) {
            let given = entries.iter().find(|entry| entry.key.value == field.name);
            let value = match given {
                Some(entry) => self.value(field, &field.kind, &entry.value)?,
                None => default_of(field),
            };
            built.push((field.name.clone(), value));
        }
        Ok(Value::Struct(built))
    }

    fn value(&self, field: &Field, kind: &Type, node: &Node) -> Built<Value> {
        let refuse = |wanted: &str| {
            Err(wrong(
                &node.span,
                format!("`{}` takes {wanted}, and this is {}", field.name, node.type_name()),
            ))
        };
        if let Some(name) = variable(node) {
            return self.saved(name, node);
        }
        Ok(match (kind, &node.kind) {
            (Type::Records, _) => self.records(node)?,
            (Type::String | Type::Bytes | Type::Array(_) | Type::Struct(_), Kind::Null) => Value::Null,
            (Type::Bool, Kind::Bool(value)) => Value::Bool(*value),
            (Type::Int(_) | Type::Uint16, Kind::Int(value)) => Value::Int(*value),
            (Type::Int(8), Kind::Str(_)) => Value::Int(self.time(node)?),
            (Type::Int(_) | Type::Uint16, _) => return refuse("a number"),
            (Type::Float64, Kind::Float(value)) => Value::Float(*value),
            (Type::Float64, Kind::Int(value)) => Value::Float(*value as f64),
            (Type::Uuid, Kind::Str(text)) => Value::Uuid(self.uuid(text, node)?),
            (Type::String, _) => match node.scalar_text() {
                Some(text) => Value::Str(text),
                None => return refuse("a text"),
            },
            (Type::Bytes, Kind::Str(text)) => match text.strip_prefix("hex:") {
                Some(digits) => Value::Bytes(hex(digits, &node.span)?),
                None => Value::Bytes(text.clone().into_bytes()),
            },
            (Type::Struct(fields), Kind::Map(_)) => self.fields(fields, Some(node))?,
            (Type::Array(of), Kind::Seq(items)) => {
                Value::Array(items.iter().map(|item| self.value(field, of, item)).collect::<Built<_>>()?)
            }
            (Type::Array(_), _) => return refuse("a list"),
            (Type::Struct(_), _) => return refuse("a mapping"),
            (Type::Bool, _) => return refuse("true or false"),
            (Type::Float64 | Type::Uuid | Type::Bytes, _) => return refuse("a text"),
        })
    }

    fn saved(&self, name: &str, node: &Node) -> Built<Value> {
        self.known.saved(name).ok_or_else(|| {
            let finding =
                Diagnostic::new(Code::ScenarioValue, format!("nothing was saved as `{name}`"), &node.span);
            Box::new(
                finding.help(format!("an earlier step keeps it with `save: {{ {name}: path.in.reply }}`")),
            )
        })
    }

    fn uuid(&self, text: &str, node: &Node) -> Built<[u8; 16]> {
        if let Some(topic) = text.strip_prefix("id of ") {
            return self.known.topic_id(topic).ok_or_else(|| {
                wrong(&node.span, format!("the id of {topic} is not known here: create it first"))
            });
        }
        let digits = text.replace('-', "");
        hex(&digits, &node.span)?
            .try_into()
            .map_err(|_| wrong(&node.span, "an id is `id of TOPIC`, or 16 bytes as hexadecimal digits"))
    }

    /// `now`, `now+5`, `now-3600000`, a number.
    fn time(&self, node: &Node) -> Built<i64> {
        let text = node.as_str().unwrap_or_default();
        let offset = text.strip_prefix("now").map(|rest| if rest.is_empty() { "0" } else { rest });
        match (&node.kind, offset.map(|offset| offset.trim_start_matches('+').parse::<i64>())) {
            (Kind::Int(value), _) => Ok(*value),
            (_, Some(Ok(offset))) => Ok(self.known.now_ms() + offset),
            _ => Err(wrong(&node.span, "a number, or `now`, `now+MS`, `now-MS`")),
        }
    }

    fn number(&self, node: &Node) -> Built<i64> {
        match variable(node) {
            Some(name) => self.saved(name, node)?.int().ok_or_else(|| wrong(&node.span, "a number is due")),
            None => self.time(node),
        }
    }

    /// One batch, a list of batches, or a list of values; `hex:` for bytes as they are.
    fn records(&self, node: &Node) -> Built<Value> {
        let is_batch = |node: &Node| node.get("records").is_some();
        let batches = match &node.kind {
            Kind::Null => return Ok(Value::Null),
            Kind::Str(text) if text.starts_with("hex:") => {
                return Ok(Value::Bytes(hex(&text[4..], &node.span)?));
            }
            Kind::Map(_) => vec![self.batch(node)?],
            Kind::Seq(items) if items.iter().all(is_batch) => {
                items.iter().map(|item| self.batch(item)).collect::<Built<_>>()?
            }
            Kind::Seq(_) => vec![Batch { records: self.list(node)?, ..self.empty() }],
            _ => {
                return Err(wrong(&node.span, "records are a batch, a list of batches, or a list of values"));
            }
        };
        let mut bytes = Vec::new();
        for batch in batches {
            bytes.extend(batch.bytes().map_err(|why| wrong(&node.span, why))?);
        }
        Ok(Value::Bytes(bytes))
    }

    fn empty(&self) -> Batch {
        Batch { timestamp_ms: self.known.now_ms(), ..Batch::default() }
    }

    fn batch(&self, node: &Node) -> Built<Batch> {
        const KEYS: [&str; 19] = [
            "records",
            "magic",
            "codec",
            "base_offset",
            "leader_epoch",
            "timestamp",
            "first_timestamp",
            "max_timestamp",
            "log_append_time",
            "transactional",
            "control",
            "producer_id",
            "producer_epoch",
            "base_sequence",
            "last_offset_delta",
            "count",
            "crc",
            "length",
            "cut",
        ];
        let mut batch = self.empty();
        for entry in mapping(node)? {
            let value = &entry.value;
            let flag = || match value.kind {
                Kind::Bool(flag) => Ok(flag),
                _ => Err(wrong(&value.span, "true or false")),
            };
            match entry.key.value.as_str() {
                "records" => batch.records = self.list(value)?,
                "magic" => batch.magic = self.number(value)? as i8,
                "codec" => match value.as_str().filter(|name| codec(name).is_some()) {
                    Some(name) => batch.codec = name.to_owned(),
                    None => return Err(wrong(&value.span, "codecs are none, gzip, snappy, lz4, zstd")),
                },
                "base_offset" => batch.base_offset = self.number(value)?,
                "leader_epoch" => batch.leader_epoch = self.number(value)?,
                "timestamp" => batch.timestamp_ms = self.number(value)?,
                "first_timestamp" => batch.first_timestamp_ms = Some(self.number(value)?),
                "max_timestamp" => batch.max_timestamp_ms = Some(self.number(value)?),
                "log_append_time" => batch.log_append_time = flag()?,
                "transactional" => batch.transactional = flag()?,
                "control" => batch.control = flag()?,
                "producer_id" => batch.producer_id = self.number(value)?,
                "producer_epoch" => batch.producer_epoch = self.number(value)?,
                "base_sequence" => batch.base_sequence = self.number(value)?,
                "last_offset_delta" => batch.last_offset_delta = Some(self.number(value)?),
                "count" => batch.count = Some(self.number(value)?),
                "crc" if value.as_str() == Some("wrong") => batch.wrong_crc = true,
                "length" => batch.length = Some(self.number(value)?),
                "cut" => batch.cut_bytes = self.number(value)? as usize,
                "crc" => return Err(wrong(&value.span, "the checksum is right, or `wrong`")),
                other => return Err(unknown("key of a batch", other, &entry.key.span, KEYS)),
            }
        }
        Ok(batch)
    }

    fn list(&self, node: &Node) -> Built<Vec<Record>> {
        let Kind::Seq(items) = &node.kind else { return Err(wrong(&node.span, "records are a list")) };
        let mut records = Vec::new();
        for item in items {
            match &item.kind {
                Kind::Map(entries) => {
                    let (record, times) = self.record(entries)?;
                    records.extend(std::iter::repeat_n(record, times));
                }
                _ => records.push(Record { value: self.bytes(item)?, ..Record::default() }),
            }
        }
        Ok(records)
    }

    fn record(&self, entries: &[Entry]) -> Built<(Record, usize)> {
        const KEYS: [&str; 7] = ["key", "value", "headers", "timestamp", "offset_delta", "bytes", "times"];
        let (mut record, mut times) = (Record::default(), 1);
        for entry in entries {
            let value = &entry.value;
            match entry.key.value.as_str() {
                "key" => record.key = self.bytes(value)?,
                "value" => record.value = self.bytes(value)?,
                "timestamp" => record.timestamp_ms = Some(self.number(value)?),
                "offset_delta" => record.offset_delta = Some(self.number(value)?),
                "bytes" => record.value = Some(vec![b'x'; self.number(value)? as usize]),
                "times" => times = self.number(value)? as usize,
                "headers" => {
                    for header in mapping(value)? {
                        let bytes = self.bytes(&header.value)?.unwrap_or_default();
                        record.headers.push((header.key.value.clone(), bytes));
                    }
                }
                other => return Err(unknown("key of a record", other, &entry.key.span, KEYS)),
            }
        }
        Ok((record, times))
    }

    fn bytes(&self, node: &Node) -> Built<Option<Vec<u8>>> {
        match (&node.kind, node.scalar_text()) {
            (Kind::Null, _) => Ok(None),
            (_, Some(text)) => Ok(Some(match text.strip_prefix("hex:") {
                Some(digits) => hex(digits, &node.span)?,
                None => text.into_bytes(),
            })),
            _ => Err(wrong(&node.span, format!("a text is due, and this is {}", node.type_name()))),
        }
    }
}

/// The entries of a mapping.
///
/// # Errors
/// Where it is none.
pub fn mapping(node: &Node) -> Built<&[Entry]> {
    match &node.kind {
        Kind::Map(entries) => Ok(entries),
        _ => Err(wrong(&node.span, format!("a mapping is due, and this is {}", node.type_name()))),
    }
}

fn variable(node: &Node) -> Option<&str> {
    node.as_str()?.strip_prefix('$')
}

/// Bytes from hexadecimal digits; blanks are for the reader.
///
/// # Errors
/// Where they are none.
pub fn hex(digits: &str, span: &Span) -> Built<Vec<u8>> {
    let digits: Vec<u8> = digits.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let byte =
        |pair: &[u8]| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let bytes: Option<Vec<u8>> =
        digits.chunks(2).map(|pair| byte(pair).filter(|_| pair.len() == 2)).collect();
    bytes.ok_or_else(|| wrong(span, "not an even number of hexadecimal digits"))
}
