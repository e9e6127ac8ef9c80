//! How a record is written to stdout: Kafka's message formatters by the names of their classes, and its deserializers.

use crate::clients::consumer::Fetched;
use crate::errors::Exception;
use crate::print;
use crate::properties::Properties;
use jackdaw_wire::Uuid;
use std::io::Write;

/// A formatter.
#[derive(Debug)]
pub enum Formatter {
    /// `kafka.tools.DefaultMessageFormatter`
    Default(Layout),
    /// `kafka.tools.LoggingMessageFormatter`
    Logging(Layout),
    /// `kafka.tools.NoOpMessageFormatter`
    Nothing,
}

/// What of a record is written, and what stands in between.
#[derive(Debug)]
pub struct Layout {
    timestamp: bool,
    key: bool,
    value: bool,
    partition: bool,
    offset: bool,
    headers: bool,
    key_separator: String,
    line_separator: String,
    headers_separator: String,
    null_literal: String,
    key_type: Type,
    value_type: Type,
    header_type: Type,
}

/// Kafka's deserializers whose values have a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Bytes,
    String,
    Short,
    Integer,
    Long,
    Float,
    Double,
    Boolean,
    Uuid,
}

type Result<T> = std::result::Result<T, Exception>;

impl Type {
    fn of(properties: &Properties, key: &str) -> Result<Self> {
        let Some(class) = properties.get(key) else { return Ok(Type::Bytes) };
        Ok(match class.strip_prefix("org.apache.kafka.common.serialization.") {
            Some("StringDeserializer") => Type::String,
            Some("ShortDeserializer") => Type::Short,
            Some("IntegerDeserializer") => Type::Integer,
            Some("LongDeserializer") => Type::Long,
            Some("FloatDeserializer") => Type::Float,
            Some("DoubleDeserializer") => Type::Double,
            Some("BooleanDeserializer") => Type::Boolean,
            Some("UUIDDeserializer") => Type::Uuid,
            _ => return Err(Exception::new("java.lang.ClassNotFoundException", class.as_str())),
        })
    }

    fn text(self, bytes: &[u8]) -> Result<Vec<u8>> {
        let wrong = |name: &str| {
            let message = format!(
                "Size of data received by {name}Deserializer is not {}",
                match self {
                    Type::Short => 2,
                    Type::Integer | Type::Float => 4,
                    Type::Boolean => 1,
                    _ => 8,
                }
            );
            Exception::kafka("SerializationException", message)
        };
        let text = match self {
            Type::Bytes => return Ok(bytes.to_vec()),
            Type::String => String::from_utf8_lossy(bytes).into_owned(),
            Type::Short => bytes.try_into().map(i16::from_be_bytes).map_err(|_| wrong("Short"))?.to_string(),
            Type::Integer => {
                bytes.try_into().map(i32::from_be_bytes).map_err(|_| wrong("Integer"))?.to_string()
            }
            Type::Long => bytes.try_into().map(i64::from_be_bytes).map_err(|_| wrong("Long"))?.to_string(),
            Type::Float => java_float(
                f64::from(bytes.try_into().map(f32::from_be_bytes).map_err(|_| wrong("Float"))?),
                &bytes.try_into().map(f32::from_be_bytes).unwrap_or_default().to_string(),
            ),
            Type::Double => {
                let number = bytes.try_into().map(f64::from_be_bytes).map_err(|_| wrong("Double"))?;
                java_float(number, &number.to_string())
            }
            Type::Boolean => match bytes {
                [1] => "true".to_owned(),
                [0] => "false".to_owned(),
                _ => return Err(wrong("Boolean")),
            },
            Type::Uuid => {
                let text = String::from_utf8_lossy(bytes).into_owned();
                let parsed = Uuid::parse_str(&text)
                    .map_err(|_| Exception::kafka("SerializationException", "Error parsing data into UUID"));
                parsed?.to_string()
            }
        };
        Ok(text.into_bytes())
    }
}

/// Java always writes a fraction.
fn java_float(number: f64, text: &str) -> String {
    if number.is_finite() && !text.contains('.') { format!("{text}.0") } else { text.to_owned() }
}

impl Formatter {
    /// The formatter of that class.
    ///
    /// # Errors
    /// When there is none.
    pub fn of(class: &str, properties: &Properties) -> Result<Self> {
        match class {
            "kafka.tools.DefaultMessageFormatter" => Layout::of(properties).map(Formatter::Default),
            "kafka.tools.LoggingMessageFormatter" => Layout::of(properties).map(Formatter::Logging),
            "kafka.tools.NoOpMessageFormatter" => Ok(Formatter::Nothing),
            _ => Err(Exception::new("java.lang.ClassNotFoundException", class)),
        }
    }

    /// Writes a record.
    ///
    /// # Errors
    /// When a deserializer cannot read it.
    pub fn write(&self, record: &Fetched, out: &mut impl Write) -> Result<()> {
        match self {
            Formatter::Nothing => Ok(()),
            Formatter::Default(layout) => layout.write(record, out),
            Formatter::Logging(layout) => {
                layout.write(record, out)?;
                let text = |bytes: &Option<Vec<u8>>| {
                    bytes.as_ref().map_or("null".into(), |bytes| String::from_utf8_lossy(bytes).into_owned())
                };
                let time =
                    if record.timestamp_ms < 0 { String::new() } else { format!("{}, ", time(record)) };
                let said = format!("{time}key:{}, value:{}", text(&record.key), text(&record.value));
                let _ = writeln!(out, "[{}] INFO {said} (kafka.tools.LoggingMessageFormatter)", print::now());
                Ok(())
            }
        }
    }
}

fn time(record: &Fetched) -> String {
    let name = if record.log_append_time { "LogAppendTime" } else { "CreateTime" };
    format!("{name}:{}", record.timestamp_ms)
}

impl Layout {
    fn of(properties: &Properties) -> Result<Self> {
        let is = |key: &str, default: bool| {
            properties.get(key).map_or(default, |value| value.trim().eq_ignore_ascii_case("true"))
        };
        let or = |key: &str, default: &str| properties.get(key).map_or(default, String::as_str).to_owned();
        Ok(Layout {
            timestamp: is("print.timestamp", false),
            key: is("print.key", false),
            value: is("print.value", true),
            partition: is("print.partition", false),
            offset: is("print.offset", false),
            headers: is("print.headers", false),
            key_separator: or("key.separator", "\t"),
            line_separator: or("line.separator", "\n"),
            headers_separator: or("headers.separator", ","),
            null_literal: or("null.literal", "null"),
            key_type: Type::of(properties, "key.deserializer")?,
            value_type: Type::of(properties, "value.deserializer")?,
            header_type: Type::of(properties, "headers.deserializer")?,
        })
    }

    fn write(&self, record: &Fetched, out: &mut impl Write) -> Result<()> {
        let text = |kind: Type, bytes: Option<&Vec<u8>>| {
            kind.text(bytes.map_or(self.null_literal.as_bytes(), Vec::as_slice))
        };
        let mut columns: Vec<Vec<u8>> = Vec::new();
        if self.timestamp {
            let time = if record.timestamp_ms < 0 { "NO_TIMESTAMP".to_owned() } else { time(record) };
            columns.push(time.into_bytes());
        }
        if self.partition {
            columns.push(format!("Partition:{}", record.partition).into_bytes());
        }
        if self.offset {
            columns.push(format!("Offset:{}", record.offset).into_bytes());
        }
        if self.headers {
            let mut column = Vec::new();
            for (index, (key, value)) in record.headers.iter().enumerate() {
                if index > 0 {
                    column.extend_from_slice(self.headers_separator.as_bytes());
                }
                column.extend_from_slice(format!("{key}:").as_bytes());
                column.extend(text(self.header_type, value.as_ref())?);
            }
            columns.push(if record.headers.is_empty() { b"NO_HEADERS".to_vec() } else { column });
        }
        if self.key {
            columns.push(text(self.key_type, record.key.as_ref())?);
        }
        if self.value {
            columns.push(text(self.value_type, record.value.as_ref())?);
        }
        if columns.is_empty() {
            return Ok(());
        }
        let mut line = columns.join(self.key_separator.as_bytes());
        line.extend_from_slice(self.line_separator.as_bytes());
        // Whether anybody reads it shows when it is handed on.
        let _ = out.write_all(&line);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(properties: &[(&str, &str)], record: &Fetched) -> String {
        let properties =
            properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let mut out = Vec::new();
        Layout::of(&properties).unwrap().write(record, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn columns_stand_in_kafkas_order() {
        let record = Fetched {
            topic: "t".into(),
            partition: 2,
            offset: 7,
            timestamp_ms: 1000,
            log_append_time: false,
            key: None,
            value: Some(b"value".to_vec()),
            headers: vec![("h".into(), Some(b"1".to_vec())), ("i".into(), None)],
        };
        let all = ["timestamp", "key", "offset", "partition", "headers"].map(|what| format!("print.{what}"));
        let all: Vec<(&str, &str)> = all.iter().map(|key| (key.as_str(), "true")).collect();
        assert_eq!(
            written(&all, &record),
            "CreateTime:1000\tPartition:2\tOffset:7\th:1,i:null\tnull\tvalue\n"
        );
        assert_eq!(written(&[("print.value", "false"), ("print.key", "true")], &record), "null\n");
        let number = Fetched { value: Some(7_i64.to_be_bytes().to_vec()), ..record };
        let long = "org.apache.kafka.common.serialization.LongDeserializer";
        assert_eq!(written(&[("value.deserializer", long)], &number), "7\n");
    }
}
