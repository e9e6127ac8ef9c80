//! The topic-level settings: one table of names, types, defaults, checks and broker-level synonyms (Kafka's
//! `LogConfig`, `TopicConfig` and `ServerTopicConfigSynonyms`), and [`LogConfig`], the same as typed fields.
//!
//! Refusals are worded as Kafka words them: clients show them to people who search for these very words.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jackdaw_settings::metadata_version;

/// The type of a setting, as DescribeConfigs and the documentation name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueType {
    Boolean,
    String,
    Int,
    Long,
    Double,
    List,
}

impl ValueType {
    fn name(self) -> &'static str {
        match self {
            ValueType::Boolean => "BOOLEAN",
            ValueType::String => "STRING",
            ValueType::Int => "INT",
            ValueType::Long => "LONG",
            ValueType::Double => "DOUBLE",
            ValueType::List => "LIST",
        }
    }
}

/// A parsed value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Boolean(bool),
    String(String),
    Int(i32),
    Long(i64),
    Double(f64),
    List(Vec<String>),
}

impl Value {
    fn as_number(&self) -> Option<f64> {
        match self {
            Value::Int(number) => Some(f64::from(*number)),
            // As Java's `doubleValue`, with its rounding at the far ends.
            Value::Long(number) => Some(*number as f64),
            Value::Double(number) => Some(*number),
            _ => None,
        }
    }
}

/// As `ConfigDef.convertToString`: what DescribeConfigs shows.
impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::Boolean(value) => write!(f, "{value}"),
            Value::String(value) => f.write_str(value),
            Value::Int(value) => write!(f, "{value}"),
            Value::Long(value) => write!(f, "{value}"),
            Value::Double(value) => write!(f, "{value:?}"),
            Value::List(values) => f.write_str(&values.join(",")),
        }
    }
}

/// What values a setting takes.
#[derive(Debug, Clone, Copy)]
pub enum Check {
    Any,
    AtLeast(i64),
    Between(i64, i64),
    OneOf(&'static [&'static str]),
    ListOf(&'static [&'static str]),
    /// `[partition]:[broker]` pairs or `*` (`ThrottledReplicaListValidator`).
    ThrottledReplicas,
    /// A version string that `MetadataVersion.fromVersionString` knows.
    MetadataVersion,
}

/// The unit of a broker-level synonym, where it is not the setting's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Same,
    Minutes,
    Hours,
}

impl Unit {
    /// Milliseconds in one; 1 where the unit is the setting's own.
    pub fn factor(self) -> i64 {
        match self {
            Unit::Same => 1,
            Unit::Minutes => 60_000,
            Unit::Hours => 3_600_000,
        }
    }
}

/// A broker-level setting that is the default of a topic-level one.
#[derive(Debug, Clone, Copy)]
pub struct Synonym {
    pub name: &'static str,
    pub unit: Unit,
}

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct TopicConfigDef {
    pub name: &'static str,
    pub value_type: ValueType,
    /// As Kafka prints it.
    pub default: &'static str,
    pub check: Check,
    /// Broker-level names, the strongest first (`ServerTopicConfigSynonyms.ALL_TOPIC_CONFIG_SYNONYMS`).
    pub synonyms: &'static [Synonym],
    pub doc: &'static str,
}

/// A value or a name is not acceptable; the text is Kafka's. INVALID_CONFIG.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("Unknown topic config name: {name}")]
    UnknownName { name: String },
    #[error("Invalid value {value} for configuration {name}: {why}")]
    InvalidValue { name: &'static str, value: String, why: String },
    #[error(
        "conflict topic config setting min.compaction.lag.ms ({min_ms}) > max.compaction.lag.ms ({max_ms})"
    )]
    CompactionLagsConflict { min_ms: i64, max_ms: i64 },
    #[error(
        "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage."
    )]
    NoTieredStorage,
}

const fn same(name: &'static str) -> Synonym {
    Synonym { name, unit: Unit::Same }
}

const fn in_unit(name: &'static str, unit: Unit) -> Synonym {
    Synonym { name, unit }
}

const COMPRESSION_TYPES: &[&str] = &["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"];
const CLEANUP_POLICIES: &[&str] = &["compact", "delete"];
const TIMESTAMP_TYPES: &[&str] = &["CreateTime", "LogAppendTime"];
/// Size of the smallest record of the oldest format (`LegacyRecord.RECORD_OVERHEAD_V0`).
const SMALLEST_SEGMENT_BYTES: i64 = 14;

macro_rules! def {
    ($name:literal, $type:ident, $default:literal, $check:expr, [$($synonym:expr),*], $doc:literal) => {
        TopicConfigDef {
            name: $name,
            value_type: ValueType::$type,
            default: $default,
            check: $check,
            synonyms: &[$($synonym),*],
            doc: $doc,
        }
    };
}

/// Every topic-level setting of Kafka 3.7, by name.
#[rustfmt::skip] // one setting, one row
pub static TOPIC_CONFIGS: &[TopicConfigDef] = &[
    def!("cleanup.policy", List, "delete", Check::ListOf(CLEANUP_POLICIES), [same("log.cleanup.policy")],
        "What happens to old segments: 'delete' discards them by age and size, 'compact' keeps the last value of each key; both may be given, separated by a comma."),
    def!("compression.type", String, "producer", Check::OneOf(COMPRESSION_TYPES), [same("compression.type")],
        "The codec that batches have on disk; 'producer' keeps what the producer chose, 'uncompressed' removes it."),
    def!("delete.retention.ms", Long, "86400000", Check::AtLeast(0), [same("log.cleaner.delete.retention.ms")],
        "How long tombstones stay readable in a compacted topic."),
    def!("file.delete.delay.ms", Long, "60000", Check::AtLeast(0), [same("log.segment.delete.delay.ms")],
        "How long a file that is no longer part of the log stays on disk, for readers that still hold it."),
    def!("flush.messages", Long, "9223372036854775807", Check::AtLeast(1), [same("log.flush.interval.messages")],
        "After how many records the log is fsynced; 1 makes every acknowledged record durable."),
    def!("flush.ms", Long, "9223372036854775807", Check::AtLeast(0), [same("log.flush.interval.ms"), same("log.flush.scheduler.interval.ms")],
        "After how long records that are in the log are fsynced."),
    def!("follower.replication.throttled.replicas", List, "", Check::ThrottledReplicas, [],
        "Replicas whose replication is throttled on the follower side: [partition]:[broker] pairs, or '*'."),
    def!("index.interval.bytes", Int, "4096", Check::AtLeast(0), [same("log.index.interval.bytes")],
        "After how many bytes of records the next index entry is written."),
    def!("leader.replication.throttled.replicas", List, "", Check::ThrottledReplicas, [],
        "Replicas whose replication is throttled on the leader side: [partition]:[broker] pairs, or '*'."),
    def!("local.retention.bytes", Long, "-2", Check::AtLeast(-2), [same("log.local.retention.bytes")],
        "With tiered storage: how much of a partition stays on local disks; -2 follows retention.bytes."),
    def!("local.retention.ms", Long, "-2", Check::AtLeast(-2), [same("log.local.retention.ms")],
        "With tiered storage: how long segments stay on local disks; -2 follows retention.ms."),
    def!("max.compaction.lag.ms", Long, "9223372036854775807", Check::AtLeast(1), [same("log.cleaner.max.compaction.lag.ms")],
        "The longest a record of a compacted topic may wait for compaction."),
    def!("max.message.bytes", Int, "1048588", Check::AtLeast(0), [same("message.max.bytes")],
        "The largest batch that is accepted, after compression."),
    def!("message.downconversion.enable", Boolean, "true", Check::Any, [same("log.message.downconversion.enable")],
        "Whether batches are converted for consumers that know older formats only."),
    def!("message.format.version", String, "3.0-IV1", Check::MetadataVersion, [same("log.message.format.version")],
        "Deprecated; ignored from inter.broker.protocol.version 3.0 on."),
    def!("message.timestamp.after.max.ms", Long, "9223372036854775807", Check::AtLeast(0), [same("log.message.timestamp.after.max.ms")],
        "How far in the future a record's own timestamp may be."),
    def!("message.timestamp.before.max.ms", Long, "9223372036854775807", Check::AtLeast(0), [same("log.message.timestamp.before.max.ms")],
        "How far in the past a record's own timestamp may be."),
    def!("message.timestamp.difference.max.ms", Long, "9223372036854775807", Check::AtLeast(0), [same("log.message.timestamp.difference.max.ms")],
        "Deprecated; stands in for the two above where they are at their default."),
    def!("message.timestamp.type", String, "CreateTime", Check::OneOf(TIMESTAMP_TYPES), [same("log.message.timestamp.type")],
        "Whether a record's timestamp is the producer's or that of its append."),
    def!("min.cleanable.dirty.ratio", Double, "0.5", Check::Between(0, 1), [same("log.cleaner.min.cleanable.ratio")],
        "How much of a log has to be uncompacted before it is compacted again."),
    def!("min.compaction.lag.ms", Long, "0", Check::AtLeast(0), [same("log.cleaner.min.compaction.lag.ms")],
        "How long a record stays uncompacted at least."),
    def!("min.insync.replicas", Int, "1", Check::AtLeast(1), [same("min.insync.replicas")],
        "How many in-sync replicas a write with acks=all needs."),
    def!("preallocate", Boolean, "false", Check::Any, [same("log.preallocate")],
        "Whether a new segment's file is made at its full size at once."),
    def!("remote.storage.enable", Boolean, "false", Check::Any, [],
        "Whether the topic is kept in tiered storage as well."),
    def!("retention.bytes", Long, "-1", Check::Any, [same("log.retention.bytes")],
        "How large a partition may grow before its oldest segments are discarded; -1 sets no limit."),
    def!("retention.ms", Long, "604800000", Check::AtLeast(-1), [same("log.retention.ms"), in_unit("log.retention.minutes", Unit::Minutes), in_unit("log.retention.hours", Unit::Hours)],
        "How old the newest record of a segment may get before the segment is discarded; -1 sets no limit."),
    def!("segment.bytes", Int, "1073741824", Check::AtLeast(SMALLEST_SEGMENT_BYTES), [same("log.segment.bytes")],
        "How large a segment's file gets before the next one is begun."),
    def!("segment.index.bytes", Int, "10485760", Check::AtLeast(4), [same("log.index.size.max.bytes")],
        "How large a segment's index gets before the next segment is begun."),
    def!("segment.jitter.ms", Long, "0", Check::AtLeast(0), [same("log.roll.jitter.ms"), in_unit("log.roll.jitter.hours", Unit::Hours)],
        "The most that is taken off segment.ms at random, so that not all partitions roll at once."),
    def!("segment.ms", Long, "604800000", Check::AtLeast(1), [same("log.roll.ms"), in_unit("log.roll.hours", Unit::Hours)],
        "After how long the next segment is begun although the current one is not full."),
    def!("unclean.leader.election.enable", Boolean, "false", Check::Any, [same("unclean.leader.election.enable")],
        "Whether a replica that is not in sync may lead as a last resort, which may lose records."),
];

/// The setting of that name.
pub fn lookup(name: &str) -> Option<&'static TopicConfigDef> {
    TOPIC_CONFIGS.iter().find(|def| def.name == name)
}

impl TopicConfigDef {
    fn refuse(&self, value: impl Into<String>, why: impl Into<String>) -> ConfigError {
        ConfigError::InvalidValue { name: self.name, value: value.into(), why: why.into() }
    }

    /// Parses and checks a value (`ConfigDef.parseType`, then the validator).
    pub fn parse(&self, text: &str) -> Result<Value, ConfigError> {
        let value = self.parse_type(text)?;
        self.check(&value)?;
        Ok(value)
    }

    fn parse_type(&self, text: &str) -> Result<Value, ConfigError> {
        let trimmed = text.trim();
        let not_a_number = || self.refuse(text, format!("Not a number of type {}", self.value_type.name()));
        Ok(match self.value_type {
            ValueType::Boolean if trimmed.eq_ignore_ascii_case("true") => Value::Boolean(true),
            ValueType::Boolean if trimmed.eq_ignore_ascii_case("false") => Value::Boolean(false),
            ValueType::Boolean => return Err(self.refuse(text, "Expected value to be either true or false")),
            ValueType::String => Value::String(trimmed.to_owned()),
            ValueType::Int => Value::Int(trimmed.parse().map_err(|_| not_a_number())?),
            ValueType::Long => Value::Long(trimmed.parse().map_err(|_| not_a_number())?),
            ValueType::Double => Value::Double(trimmed.parse().map_err(|_| not_a_number())?),
            ValueType::List if trimmed.is_empty() => Value::List(Vec::new()),
            ValueType::List => Value::List(trimmed.split(',').map(|item| item.trim().to_owned()).collect()),
        })
    }

    fn check(&self, value: &Value) -> Result<(), ConfigError> {
        let refuse = |why: String| Err(self.refuse(value_in_message(value), why));
        match (self.check, value) {
            (Check::Any, _) => Ok(()),
            (Check::AtLeast(least), value) => match value.as_number() {
                Some(number) if number < least as f64 => refuse(format!("Value must be at least {least}")),
                _ => Ok(()),
            },
            (Check::Between(least, most), value) => match value.as_number() {
                Some(number) if number < least as f64 => refuse(format!("Value must be at least {least}")),
                Some(number) if number > most as f64 => refuse(format!("Value must be no more than {most}")),
                _ => Ok(()),
            },
            (Check::OneOf(choices), Value::String(choice)) if !choices.contains(&choice.as_str()) => {
                refuse(format!("String must be one of: {}", choices.join(", ")))
            }
            (Check::ListOf(choices), Value::List(items)) => {
                match items.iter().find(|item| !choices.contains(&item.as_str())) {
                    Some(item) => {
                        Err(self.refuse(item, format!("String must be one of: {}", choices.join(", "))))
                    }
                    None => Ok(()),
                }
            }
            (Check::ThrottledReplicas, Value::List(items)) if !are_throttled_replicas(items) => {
                refuse(format!(
                    "{} must be the literal '*' or a list of replicas in the following format: \
                 [partitionId]:[brokerId],[partitionId]:[brokerId],...",
                    self.name
                ))
            }
            (Check::MetadataVersion, Value::String(version))
                if metadata_version::level_of(version).is_none() =>
            {
                refuse(format!("Version {version} is not a valid version"))
            }
            _ => Ok(()),
        }
    }
}

/// Java prints a list in brackets inside its messages.
fn value_in_message(value: &Value) -> String {
    match value {
        Value::List(items) => format!("[{}]", items.join(", ")),
        other => other.to_string(),
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

/// What the final codec of a batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompressionType {
    /// Whatever the producer sent.
    Producer,
    Uncompressed,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

/// Whose clock a record's timestamp comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampType {
    CreateTime,
    LogAppendTime,
}

/// The settings of one log, typed. Shared between logs (`Arc`) and replaced as a whole when a topic's overrides
/// change.
#[derive(Debug, Clone, PartialEq)]
pub struct LogConfig {
    pub segment_bytes: i32,
    pub segment_ms: i64,
    pub segment_jitter_ms: i64,
    pub segment_index_bytes: i32,
    pub flush_messages: i64,
    pub flush_ms: i64,
    pub retention_bytes: i64,
    pub retention_ms: i64,
    pub max_message_bytes: i32,
    pub index_interval_bytes: i32,
    pub file_delete_delay_ms: i64,
    pub delete_retention_ms: i64,
    pub min_compaction_lag_ms: i64,
    pub max_compaction_lag_ms: i64,
    pub min_cleanable_dirty_ratio: f64,
    /// `cleanup.policy` contains `compact`.
    pub compact: bool,
    /// `cleanup.policy` contains `delete`.
    pub delete: bool,
    pub unclean_leader_election_enable: bool,
    pub min_insync_replicas: i32,
    pub compression_type: CompressionType,
    pub preallocate: bool,
    pub message_timestamp_type: TimestampType,
    /// With the deprecated `message.timestamp.difference.max.ms` taken into account.
    pub message_timestamp_before_max_ms: i64,
    /// With the deprecated `message.timestamp.difference.max.ms` taken into account.
    pub message_timestamp_after_max_ms: i64,
    pub message_downconversion_enable: bool,
    pub leader_replication_throttled_replicas: Vec<String>,
    pub follower_replication_throttled_replicas: Vec<String>,
}

impl Default for LogConfig {
    fn default() -> Self {
        let values = TopicConfigs::default();
        values.to_log_config()
    }
}

impl LogConfig {
    /// `segment.ms`, or `max.compaction.lag.ms` where a compacted topic has to be closed earlier
    /// (`LogConfig.maxSegmentMs`).
    pub fn max_segment_ms(&self) -> i64 {
        if self.compact && self.max_compaction_lag_ms > 0 {
            self.segment_ms.min(self.max_compaction_lag_ms)
        } else {
            self.segment_ms
        }
    }
}

/// A value for every topic-level setting: the broker's defaults, with a topic's overrides on top.
#[derive(Debug, Clone, PartialEq)]
pub struct TopicConfigs {
    values: BTreeMap<&'static str, Value>,
}

impl Default for TopicConfigs {
    fn default() -> Self {
        let values = TOPIC_CONFIGS
            .iter()
            .map(|def| (def.name, def.parse(def.default).expect("a test parses every default of the table")))
            .collect();
        Self { values }
    }
}

impl TopicConfigs {
    /// These values with some replaced. Checks names, values and their relations, in the order of
    /// `LogConfig.validate`.
    pub fn with<'a>(
        &self,
        overrides: impl IntoIterator<Item = (&'a str, &'a str)> + Clone,
    ) -> Result<Self, ConfigError> {
        let unknown = overrides.clone().into_iter().find(|(name, _)| lookup(name).is_none());
        if let Some((name, _)) = unknown {
            return Err(ConfigError::UnknownName { name: name.to_owned() });
        }
        let mut values = self.values.clone();
        for (name, text) in overrides {
            if let Some(def) = lookup(name) {
                values.insert(def.name, def.parse(text)?);
            }
        }
        let all = Self { values };
        all.check_relations()?;
        Ok(all)
    }

    fn check_relations(&self) -> Result<(), ConfigError> {
        let min_ms = self.long("min.compaction.lag.ms");
        let max_ms = self.long("max.compaction.lag.ms");
        if min_ms > max_ms {
            return Err(ConfigError::CompactionLagsConflict { min_ms, max_ms });
        }
        if self.boolean("remote.storage.enable") {
            return Err(ConfigError::NoTieredStorage);
        }
        Ok(())
    }

    /// The value of a setting, if there is one of that name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    fn long(&self, name: &str) -> i64 {
        match self.values.get(name) {
            Some(Value::Long(value)) => *value,
            Some(Value::Int(value)) => i64::from(*value),
            _ => 0,
        }
    }

    fn int(&self, name: &str) -> i32 {
        match self.values.get(name) {
            Some(Value::Int(value)) => *value,
            _ => 0,
        }
    }

    fn boolean(&self, name: &str) -> bool {
        matches!(self.values.get(name), Some(Value::Boolean(true)))
    }

    fn list(&self, name: &str) -> &[String] {
        match self.values.get(name) {
            Some(Value::List(items)) => items,
            _ => &[],
        }
    }

    fn string(&self, name: &str) -> &str {
        match self.values.get(name) {
            Some(Value::String(text)) => text,
            _ => "",
        }
    }

    fn compression_type(&self) -> CompressionType {
        match self.string("compression.type") {
            "uncompressed" => CompressionType::Uncompressed,
            "gzip" => CompressionType::Gzip,
            "snappy" => CompressionType::Snappy,
            "lz4" => CompressionType::Lz4,
            "zstd" => CompressionType::Zstd,
            _ => CompressionType::Producer,
        }
    }

    /// The deprecated setting stands in for a new one at its default (`LogConfig.getMessageTimestampBeforeMaxMs`).
    fn timestamp_limit_ms(&self, name: &str) -> i64 {
        match self.long(name) {
            i64::MAX => self.long("message.timestamp.difference.max.ms"),
            limit => limit,
        }
    }

    /// The same as typed fields.
    pub fn to_log_config(&self) -> LogConfig {
        let has_policy = |policy: &str| self.list("cleanup.policy").iter().any(|item| item == policy);
        LogConfig {
            segment_bytes: self.int("segment.bytes"),
            segment_ms: self.long("segment.ms"),
            segment_jitter_ms: self.long("segment.jitter.ms"),
            segment_index_bytes: self.int("segment.index.bytes"),
            flush_messages: self.long("flush.messages"),
            flush_ms: self.long("flush.ms"),
            retention_bytes: self.long("retention.bytes"),
            retention_ms: self.long("retention.ms"),
            max_message_bytes: self.int("max.message.bytes"),
            index_interval_bytes: self.int("index.interval.bytes"),
            file_delete_delay_ms: self.long("file.delete.delay.ms"),
            delete_retention_ms: self.long("delete.retention.ms"),
            min_compaction_lag_ms: self.long("min.compaction.lag.ms"),
            max_compaction_lag_ms: self.long("max.compaction.lag.ms"),
            min_cleanable_dirty_ratio: match self.values.get("min.cleanable.dirty.ratio") {
                Some(Value::Double(ratio)) => *ratio,
                _ => 0.5,
            },
            compact: has_policy("compact"),
            delete: has_policy("delete"),
            unclean_leader_election_enable: self.boolean("unclean.leader.election.enable"),
            min_insync_replicas: self.int("min.insync.replicas"),
            compression_type: self.compression_type(),
            preallocate: self.boolean("preallocate"),
            message_timestamp_type: match self.string("message.timestamp.type") {
                "LogAppendTime" => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            message_timestamp_before_max_ms: self.timestamp_limit_ms("message.timestamp.before.max.ms"),
            message_timestamp_after_max_ms: self.timestamp_limit_ms("message.timestamp.after.max.ms"),
            message_downconversion_enable: self.boolean("message.downconversion.enable"),
            leader_replication_throttled_replicas: self
                .list("leader.replication.throttled.replicas")
                .to_vec(),
            follower_replication_throttled_replicas: self
                .list("follower.replication.throttled.replicas")
                .to_vec(),
        }
    }
}

/// The range a check allows, as the documentation and DescribeConfigs of Kafka print it.
impl std::fmt::Display for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Check::Any => Ok(()),
            Check::AtLeast(least) => write!(f, "[{least},...]"),
            Check::Between(least, most) => write!(f, "[{least},...,{most}]"),
            Check::OneOf(choices) | Check::ListOf(choices) => {
                f.write_char('[')?;
                f.write_str(&choices.join(", "))?;
                f.write_char(']')
            }
            Check::ThrottledReplicas => f.write_str("[partitionId]:[brokerId],[partitionId]:[brokerId],..."),
            Check::MetadataVersion => f.write_str("[0.8.0,...,3.7]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_parses_and_prints_back() {
        for def in TOPIC_CONFIGS {
            assert_eq!(
                def.parse(def.default).map(|value| value.to_string()),
                Ok(def.default.to_owned()),
                "{}",
                def.name
            );
        }
        let config = LogConfig::default();
        assert_eq!((config.segment_bytes, config.retention_ms), (1 << 30, 7 * 24 * 3_600_000));
        assert!(config.delete && !config.compact);
    }

    #[test]
    fn refusals_use_kafkas_words() {
        for ((name, value), expected) in [
            (("nonsense", "1"), "Unknown topic config name: nonsense"),
            (
                ("retention.ms", "-2"),
                "Invalid value -2 for configuration retention.ms: Value must be at least -1",
            ),
            (
                ("retention.ms", "x"),
                "Invalid value x for configuration retention.ms: Not a number of type LONG",
            ),
            (
                ("segment.bytes", "3000000000"),
                "Invalid value 3000000000 for configuration segment.bytes: Not a number of type INT",
            ),
            (
                ("segment.bytes", "13"),
                "Invalid value 13 for configuration segment.bytes: Value must be at least 14",
            ),
            (
                ("min.cleanable.dirty.ratio", "1.5"),
                "Invalid value 1.5 for configuration min.cleanable.dirty.ratio: Value must be no more than 1",
            ),
            (
                ("cleanup.policy", "delete,shred"),
                "Invalid value shred for configuration cleanup.policy: String must be one of: compact, delete",
            ),
            (
                ("compression.type", "brotli"),
                "Invalid value brotli for configuration compression.type: String must be one of: uncompressed, zstd, lz4, snappy, gzip, producer",
            ),
            (
                ("preallocate", "yes"),
                "Invalid value yes for configuration preallocate: Expected value to be either true or false",
            ),
            (
                ("leader.replication.throttled.replicas", "a:b"),
                "Invalid value [a:b] for configuration leader.replication.throttled.replicas: leader.replication.throttled.replicas must be the literal '*' or a list of replicas in the following format: [partitionId]:[brokerId],[partitionId]:[brokerId],...",
            ),
            (
                ("message.format.version", "9.9"),
                "Invalid value 9.9 for configuration message.format.version: Version 9.9 is not a valid version",
            ),
            (("min.compaction.lag.ms", "9223372036854775807"), ""),
            (("max.compaction.lag.ms", "5"), ""),
        ] {
            let told = TopicConfigs::default()
                .with([(name, value)])
                .map(|_| String::new())
                .unwrap_or_else(|error| error.to_string());
            assert_eq!(told, expected);
        }
        let lags = [("min.compaction.lag.ms", "10"), ("max.compaction.lag.ms", "5")];
        assert_eq!(
            TopicConfigs::default().with(lags).unwrap_err().to_string(),
            "conflict topic config setting min.compaction.lag.ms (10) > max.compaction.lag.ms (5)"
        );
    }

    #[test]
    fn overrides_become_typed_fields() {
        let overrides = [
            ("cleanup.policy", "compact, delete"),
            ("compression.type", "lz4"),
            ("message.timestamp.difference.max.ms", "1000"),
            ("message.timestamp.after.max.ms", "7"),
            ("max.compaction.lag.ms", "50"),
            ("leader.replication.throttled.replicas", "0:1,1:2"),
            ("message.format.version", "2.8-IV1"),
        ];
        let config = TopicConfigs::default().with(overrides).unwrap().to_log_config();
        assert!(config.compact && config.delete);
        assert_eq!(config.compression_type, CompressionType::Lz4);
        assert_eq!(
            (config.message_timestamp_before_max_ms, config.message_timestamp_after_max_ms),
            (1000, 7)
        );
        assert_eq!(config.max_segment_ms(), 50);
    }
}
