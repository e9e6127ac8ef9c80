//! Values of keys: parsed by type, then checked, and refused in the words of Kafka's `ConfigDef`. Clients show them to
//! people who search for these very words.

use std::fmt;

use super::{Check, Key, Kind, split_list};
use crate::metadata_version;

/// A parsed value, by the kind of its key; passwords and classes are text.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Bool(bool),
    Str(String),
    Int(i32),
    Short(i16),
    Long(i64),
    Double(f64),
    List(Vec<String>),
}

impl Value {
    fn as_number(&self) -> Option<f64> {
        match self {
            Value::Int(number) => Some(f64::from(*number)),
            Value::Short(number) => Some(f64::from(*number)),
            // As Java's `doubleValue`, with its rounding at the far ends.
            Value::Long(number) => Some(*number as f64),
            Value::Double(number) => Some(*number),
            _ => None,
        }
    }

    /// Java prints a list in brackets inside its messages.
    fn in_message(&self) -> String {
        match self {
            Value::List(items) => format!("[{}]", items.join(", ")),
            other => other.to_string(),
        }
    }
}

/// As `ConfigDef.convertToString`: what DescribeConfigs shows.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Bool(value) => write!(f, "{value}"),
            Value::Str(value) => f.write_str(value),
            Value::Int(value) => write!(f, "{value}"),
            Value::Short(value) => write!(f, "{value}"),
            Value::Long(value) => write!(f, "{value}"),
            Value::Double(value) => write!(f, "{value:?}"),
            Value::List(values) => f.write_str(&values.join(",")),
        }
    }
}

/// The value of a key, where it fits (`ConfigDef.parseType`, then the validator).
///
/// # Errors
/// Kafka's `ConfigException` text.
pub fn parse(key: &Key, text: &str) -> Result<Value, String> {
    let invalid =
        |value: &str, why: String| format!("Invalid value {value} for configuration {}: {why}", key.name);
    let value = parse_type(key.kind, text.trim()).map_err(|why| invalid(text, why))?;
    check(key, &value).map_err(|(value, why)| invalid(&value, why))?;
    Ok(value)
}

fn parse_type(kind: Kind, text: &str) -> Result<Value, String> {
    fn number<T: std::str::FromStr>(text: &str, kind: &str) -> Result<T, String> {
        text.parse().map_err(|_| format!("Not a number of type {kind}"))
    }
    Ok(match kind {
        Kind::Bool if text.eq_ignore_ascii_case("true") => Value::Bool(true),
        Kind::Bool if text.eq_ignore_ascii_case("false") => Value::Bool(false),
        Kind::Bool => return Err("Expected value to be either true or false".to_owned()),
        Kind::Int => Value::Int(number(text, "INT")?),
        Kind::Short => Value::Short(number(text, "SHORT")?),
        Kind::Long => Value::Long(number(text, "LONG")?),
        Kind::Double => Value::Double(number(text, "DOUBLE")?),
        Kind::List => Value::List(split_list(text)),
        Kind::Str | Kind::Password | Kind::Class => Value::Str(text.to_owned()),
    })
}

fn check(key: &Key, value: &Value) -> Result<(), (String, String)> {
    let refuse = |why: String| Err((value.in_message(), why));
    match (key.check, value) {
        (Check::AtLeast(min), value) if value.as_number().is_some_and(|n| n < min as f64) => {
            refuse(format!("Value must be at least {min}"))
        }
        (Check::Between(min, max), value) => match value.as_number() {
            Some(n) if n < min => refuse(format!("Value must be at least {min}")),
            Some(n) if n > max => refuse(format!("Value must be no more than {max}")),
            _ => Ok(()),
        },
        (Check::OneOf(known), Value::Str(_) | Value::List(_)) => {
            let items = match value {
                Value::List(items) => items.clone(),
                other => vec![other.to_string()],
            };
            match items.into_iter().find(|item| !known.contains(&item.as_str())) {
                Some(item) => Err((item, format!("String must be one of: {}", known.join(", ")))),
                None => Ok(()),
            }
        }
        (Check::NonEmpty, Value::Str(text)) if text.is_empty() => {
            refuse("String must be non-empty".to_owned())
        }
        (Check::MetadataVersion, Value::Str(version)) if metadata_version::level_of(version).is_none() => {
            refuse(format!("Version {version} is not a valid version"))
        }
        (Check::ThrottledReplicas, Value::List(items)) if !are_throttled_replicas(items) => refuse(format!(
            "{} must be the literal '*' or a list of replicas in the following format: \
             [partitionId]:[brokerId],[partitionId]:[brokerId],...",
            key.name
        )),
        _ => Ok(()),
    }
}

fn are_throttled_replicas(items: &[String]) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_pair = |item: &String| match item.split_once(':') {
        Some((partition, broker)) => is_number(partition) && is_number(broker),
        None => item.is_empty(),
    };
    items.iter().all(is_pair) || items.concat() == "*"
}
