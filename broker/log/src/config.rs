//! What the settings of a topic make of its log: [`TopicConfigs`], a value for every key of the table in `settings`, and
//! [`LogConfig`], the same as typed fields.
//!
//! Refusals are worded as Kafka words them: clients show them to people who search for these very words.

use std::collections::BTreeMap;

use jackdaw_settings::keys::topics::{self, Handle};
use jackdaw_settings::keys::{Value, parse};

/// A value or a name is not acceptable; the text is Kafka's. INVALID_CONFIG.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("Unknown topic config name: {name}")]
    UnknownName { name: String },
    #[error("{refusal}")]
    InvalidValue { name: &'static str, refusal: String },
    #[error(
        "conflict topic config setting min.compaction.lag.ms ({min_ms}) > max.compaction.lag.ms ({max_ms})"
    )]
    CompactionLagsConflict { min_ms: i64, max_ms: i64 },
    #[error(
        "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage."
    )]
    NoTieredStorage,
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
    pub min_insync_replicas: i32,
    pub compression_type: CompressionType,
    pub preallocate: bool,
    pub message_timestamp_type: TimestampType,
    /// With the deprecated `message.timestamp.difference.max.ms` taken into account.
    pub message_timestamp_before_max_ms: i64,
    /// With the deprecated `message.timestamp.difference.max.ms` taken into account.
    pub message_timestamp_after_max_ms: i64,
    pub message_downconversion_enable: bool,
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
        let default = |row: &'static topics::TopicKey| {
            let value = parse(&row.key, row.key.default.unwrap_or_default());
            (row.key.name, value.expect("a test parses every default of the table"))
        };
        Self { values: topics::all().map(default).collect() }
    }
}

impl TopicConfigs {
    /// These values with some replaced. Checks names, values and their relations, in the order of
    /// `LogConfig.validate`.
    pub fn with<'a>(
        &self,
        overrides: impl IntoIterator<Item = (&'a str, &'a str)> + Clone,
    ) -> Result<Self, ConfigError> {
        let unknown = overrides.clone().into_iter().find(|(name, _)| topics::find(name).is_none());
        if let Some((name, _)) = unknown {
            return Err(ConfigError::UnknownName { name: name.to_owned() });
        }
        let mut values = self.values.clone();
        for (name, text) in overrides {
            if let Some(topics::TopicKey { key, .. }) = topics::find(name) {
                let value = parse(key, text)
                    .map_err(|refusal| ConfigError::InvalidValue { name: key.name, refusal })?;
                values.insert(key.name, value);
            }
        }
        let all = Self { values };
        all.check_relations()?;
        Ok(all)
    }

    fn check_relations(&self) -> Result<(), ConfigError> {
        let min_ms = self.read(topics::MIN_COMPACTION_LAG_MS);
        let max_ms = self.read(topics::MAX_COMPACTION_LAG_MS);
        if min_ms > max_ms {
            return Err(ConfigError::CompactionLagsConflict { min_ms, max_ms });
        }
        if self.read(topics::REMOTE_STORAGE_ENABLE) {
            return Err(ConfigError::NoTieredStorage);
        }
        Ok(())
    }

    /// The value of a setting, if there is one of that name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    fn read<T: Clone + Default>(&self, key: Handle<T>) -> T {
        self.values.get(key.name).and_then(key.read).cloned().unwrap_or_default()
    }

    fn compression_type(&self) -> CompressionType {
        match self.read(topics::COMPRESSION_TYPE).as_str() {
            "uncompressed" => CompressionType::Uncompressed,
            "gzip" => CompressionType::Gzip,
            "snappy" => CompressionType::Snappy,
            "lz4" => CompressionType::Lz4,
            "zstd" => CompressionType::Zstd,
            _ => CompressionType::Producer,
        }
    }

    /// The deprecated setting stands in for a new one at its default (`LogConfig.getMessageTimestampBeforeMaxMs`).
    fn timestamp_limit_ms(&self, key: Handle<i64>) -> i64 {
        match self.read(key) {
            i64::MAX => self.read(topics::MESSAGE_TIMESTAMP_DIFFERENCE_MAX_MS),
            limit => limit,
        }
    }

    /// The same as typed fields.
    pub fn to_log_config(&self) -> LogConfig {
        let has_policy = |policy: &str| self.read(topics::CLEANUP_POLICY).iter().any(|item| item == policy);
        LogConfig {
            segment_bytes: self.read(topics::SEGMENT_BYTES),
            segment_ms: self.read(topics::SEGMENT_MS),
            segment_jitter_ms: self.read(topics::SEGMENT_JITTER_MS),
            segment_index_bytes: self.read(topics::SEGMENT_INDEX_BYTES),
            flush_messages: self.read(topics::FLUSH_MESSAGES),
            flush_ms: self.read(topics::FLUSH_MS),
            retention_bytes: self.read(topics::RETENTION_BYTES),
            retention_ms: self.read(topics::RETENTION_MS),
            max_message_bytes: self.read(topics::MAX_MESSAGE_BYTES),
            index_interval_bytes: self.read(topics::INDEX_INTERVAL_BYTES),
            file_delete_delay_ms: self.read(topics::FILE_DELETE_DELAY_MS),
            delete_retention_ms: self.read(topics::DELETE_RETENTION_MS),
            min_compaction_lag_ms: self.read(topics::MIN_COMPACTION_LAG_MS),
            max_compaction_lag_ms: self.read(topics::MAX_COMPACTION_LAG_MS),
            min_cleanable_dirty_ratio: self.read(topics::MIN_CLEANABLE_DIRTY_RATIO),
            compact: has_policy("compact"),
            delete: has_policy("delete"),
            min_insync_replicas: self.read(topics::MIN_INSYNC_REPLICAS),
            compression_type: self.compression_type(),
            preallocate: self.read(topics::PREALLOCATE),
            message_timestamp_type: match self.read(topics::MESSAGE_TIMESTAMP_TYPE).as_str() {
                "LogAppendTime" => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            message_timestamp_before_max_ms: self.timestamp_limit_ms(topics::MESSAGE_TIMESTAMP_BEFORE_MAX_MS),
            message_timestamp_after_max_ms: self.timestamp_limit_ms(topics::MESSAGE_TIMESTAMP_AFTER_MAX_MS),
            message_downconversion_enable: self.read(topics::MESSAGE_DOWNCONVERSION_ENABLE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_parses_and_prints_back() {
        for topics::TopicKey { key, .. } in topics::all() {
            let default = key.default.unwrap();
            assert_eq!(parse(key, default).map(|value| value.to_string()), Ok(default.to_owned()));
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
