//! What can be set on single topics (Kafka's `LogConfig` and `TopicConfig`), and the node's keys that are its default
//! (`ServerTopicConfigSynonyms`).
//!
//! A key that acts has a typed handle, through which alone its value is read; one that has no effect has none. The gate
//! finds a handle that nobody uses.

use super::*;

/// Size of the smallest record of the oldest format (`LegacyRecord.RECORD_OVERHEAD_V0`).
const SMALLEST_SEGMENT_BYTES: i64 = 14;

/// A node's key that is the default of a topic's key.
#[derive(Clone, Copy, Debug)]
pub struct Synonym {
    pub name: &'static str,
    /// Units of the topic's key in one of the node's: minutes and hours have their milliseconds.
    factor: i64,
}

impl Synonym {
    /// The node's value in the unit of the topic's key.
    pub fn to_topic(&self, text: &str) -> String {
        match text.trim().parse::<i64>() {
            Ok(number) if self.factor != 1 => number.saturating_mul(self.factor).to_string(),
            _ => text.trim().to_owned(),
        }
    }
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct TopicKey {
    pub key: Key,
    /// The strongest first.
    pub synonyms: &'static [Synonym],
}

/// Reads the value of one key of topics.
#[derive(Clone, Copy, Debug)]
pub struct Handle<T> {
    pub name: &'static str,
    /// Takes the value out of its kind.
    pub read: fn(&Value) -> Option<&T>,
}

macro_rules! topic_keys {
    ($($name:literal: $kind:ident = $default:tt, $check:ident $(($($bound:expr),*))?,
        $honour:ident($which:ident), [$($synonym:literal $(* $factor:literal)?),*]; $doc:literal)*) => {
        static TOPICS: &[TopicKey] = &[$(TopicKey {
            key: Key {
                name: $name,
                kind: Kind::$kind,
                default: keys!(@default $default),
                check: keys!(@check $check $(($($bound),*))?),
                dynamic: true,
                internal: false,
                honour: topic_keys!(@honour $honour $which),
                doc: $doc,
            },
            synonyms: &[$(Synonym { name: $synonym, factor: 1 $(* $factor)? }),*],
        }),*];
        $(topic_keys!(@handle $honour $which $kind $name);)*
    };
    (@honour acts $handle:ident) => { Honour::Acts };
    (@honour no_effect $why:ident) => { Honour::NoEffect($why) };
    (@handle no_effect $why:ident $kind:ident $name:literal) => {};
    (@handle acts $handle:ident $kind:ident $name:literal) => {
        pub const $handle: Handle<topic_keys!(@type $kind)> = Handle {
            name: $name,
            read: |value| match value {
                Value::$kind(value) => Some(value),
                _ => None,
            },
        };
    };
    (@type Bool) => { bool };
    (@type Str) => { String };
    (@type Int) => { i32 };
    (@type Long) => { i64 };
    (@type Double) => { f64 };
    (@type List) => { Vec<String> };
}

/// Every key, by name.
pub fn all() -> impl Iterator<Item = &'static TopicKey> {
    TOPICS.iter()
}

/// The row of a key.
pub fn find(name: &str) -> Option<&'static TopicKey> {
    all().find(|row| row.key.name == name)
}

/// Names that are set on a topic to another value than their default and do nothing, with the reason.
pub fn without_effect<'a>(
    set: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> impl Iterator<Item = (&'static str, &'static str)> {
    set.into_iter().filter_map(|(name, value)| match find(name)?.key {
        Key { name, honour: Honour::NoEffect(why), default, .. } if default != Some(value.trim()) => {
            Some((name, why))
        }
        _ => None,
    })
}

topic_keys! {
    "cleanup.policy": List = "delete", one_of("compact", "delete"), acts(CLEANUP_POLICY), ["log.cleanup.policy"];
        "What happens to old segments: 'delete' discards them by age and size, 'compact' keeps the last value of each key; both may be given, separated by a comma."
    "compression.type": Str = "producer", one_of("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"), acts(COMPRESSION_TYPE), ["compression.type"];
        "The codec that batches have on disk; 'producer' keeps what the producer chose, 'uncompressed' removes it."
    "delete.retention.ms": Long = "86400000", at_least(0), acts(DELETE_RETENTION_MS), ["log.cleaner.delete.retention.ms"];
        "How long tombstones stay readable in a compacted topic."
    "file.delete.delay.ms": Long = "60000", at_least(0), acts(FILE_DELETE_DELAY_MS), ["log.segment.delete.delay.ms"];
        "How long a file that is no longer part of the log stays on disk, for readers that still hold it."
    "flush.messages": Long = "9223372036854775807", at_least(1), acts(FLUSH_MESSAGES), ["log.flush.interval.messages"];
        "After how many records the log is fsynced; 1 makes every acknowledged record durable."
    "flush.ms": Long = "9223372036854775807", at_least(0), acts(FLUSH_MS), ["log.flush.interval.ms", "log.flush.scheduler.interval.ms"];
        "After how long records that are in the log are fsynced."
    "follower.replication.throttled.replicas": List = "", throttled_replicas, no_effect(QUOTAS), [];
        "Replicas whose replication is throttled on the follower side: [partition]:[broker] pairs, or '*'."
    "index.interval.bytes": Int = "4096", at_least(0), acts(INDEX_INTERVAL_BYTES), ["log.index.interval.bytes"];
        "After how many bytes of records the next index entry is written."
    "leader.replication.throttled.replicas": List = "", throttled_replicas, no_effect(QUOTAS), [];
        "Replicas whose replication is throttled on the leader side: [partition]:[broker] pairs, or '*'."
    "local.retention.bytes": Long = "-2", at_least(-2), no_effect(TIERED), ["log.local.retention.bytes"];
        "With tiered storage: how much of a partition stays on local disks; -2 follows retention.bytes."
    "local.retention.ms": Long = "-2", at_least(-2), no_effect(TIERED), ["log.local.retention.ms"];
        "With tiered storage: how long segments stay on local disks; -2 follows retention.ms."
    "max.compaction.lag.ms": Long = "9223372036854775807", at_least(1), acts(MAX_COMPACTION_LAG_MS), ["log.cleaner.max.compaction.lag.ms"];
        "The longest a record of a compacted topic may wait for compaction."
    "max.message.bytes": Int = "1048588", at_least(0), acts(MAX_MESSAGE_BYTES), ["message.max.bytes"];
        "The largest batch that is accepted, after compression."
    "message.downconversion.enable": Bool = "true", any, acts(MESSAGE_DOWNCONVERSION_ENABLE), ["log.message.downconversion.enable"];
        "Whether batches are converted for consumers that know older formats only."
    "message.format.version": Str = "3.0-IV1", metadata_version, no_effect(FORMAT), ["log.message.format.version"];
        "Deprecated; ignored from inter.broker.protocol.version 3.0 on."
    "message.timestamp.after.max.ms": Long = "9223372036854775807", at_least(0), acts(MESSAGE_TIMESTAMP_AFTER_MAX_MS), ["log.message.timestamp.after.max.ms"];
        "How far in the future a record's own timestamp may be."
    "message.timestamp.before.max.ms": Long = "9223372036854775807", at_least(0), acts(MESSAGE_TIMESTAMP_BEFORE_MAX_MS), ["log.message.timestamp.before.max.ms"];
        "How far in the past a record's own timestamp may be."
    "message.timestamp.difference.max.ms": Long = "9223372036854775807", at_least(0), acts(MESSAGE_TIMESTAMP_DIFFERENCE_MAX_MS), ["log.message.timestamp.difference.max.ms"];
        "Deprecated; stands in for the two above where they are at their default."
    "message.timestamp.type": Str = "CreateTime", one_of("CreateTime", "LogAppendTime"), acts(MESSAGE_TIMESTAMP_TYPE), ["log.message.timestamp.type"];
        "Whether a record's timestamp is the producer's or that of its append."
    "min.cleanable.dirty.ratio": Double = "0.5", between(0.0, 1.0), acts(MIN_CLEANABLE_DIRTY_RATIO), ["log.cleaner.min.cleanable.ratio"];
        "How much of a log has to be uncompacted before it is compacted again."
    "min.compaction.lag.ms": Long = "0", at_least(0), acts(MIN_COMPACTION_LAG_MS), ["log.cleaner.min.compaction.lag.ms"];
        "How long a record stays uncompacted at least."
    "min.insync.replicas": Int = "1", at_least(1), acts(MIN_INSYNC_REPLICAS), ["min.insync.replicas"];
        "How many in-sync replicas a write with acks=all needs."
    "preallocate": Bool = "false", any, acts(PREALLOCATE), ["log.preallocate"];
        "Whether a new segment's file is made at its full size at once."
    "remote.storage.enable": Bool = "false", any, acts(REMOTE_STORAGE_ENABLE), [];
        "Whether the topic is kept in tiered storage as well."
    "retention.bytes": Long = "-1", any, acts(RETENTION_BYTES), ["log.retention.bytes"];
        "How large a partition may grow before its oldest segments are discarded; -1 sets no limit."
    "retention.ms": Long = "604800000", at_least(-1), acts(RETENTION_MS), ["log.retention.ms", "log.retention.minutes" * 60_000, "log.retention.hours" * 3_600_000];
        "How old the newest record of a segment may get before the segment is discarded; -1 sets no limit."
    "segment.bytes": Int = "1073741824", at_least(SMALLEST_SEGMENT_BYTES), acts(SEGMENT_BYTES), ["log.segment.bytes"];
        "How large a segment's file gets before the next one is begun."
    "segment.index.bytes": Int = "10485760", at_least(4), acts(SEGMENT_INDEX_BYTES), ["log.index.size.max.bytes"];
        "How large a segment's index gets before the next segment is begun."
    "segment.jitter.ms": Long = "0", at_least(0), acts(SEGMENT_JITTER_MS), ["log.roll.jitter.ms", "log.roll.jitter.hours" * 3_600_000];
        "The most that is taken off segment.ms at random, so that not all partitions roll at once."
    "segment.ms": Long = "604800000", at_least(1), acts(SEGMENT_MS), ["log.roll.ms", "log.roll.hours" * 3_600_000];
        "After how long the next segment is begun although the current one is not full."
    "unclean.leader.election.enable": Bool = "false", any, acts(UNCLEAN_LEADER_ELECTION_ENABLE), ["unclean.leader.election.enable"];
        "Whether a replica that is not in sync may lead as a last resort, which may lose records."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_every_key_of_3_7_by_name() {
        assert_eq!(all().count(), 31);
        assert!(all().is_sorted_by_key(|row| row.key.name));
        for synonym in all().flat_map(|row| row.synonyms) {
            assert!(super::super::find(synonym.name).is_some(), "{}", synonym.name);
        }
    }

    #[test]
    fn what_a_topic_sets_in_vain_is_found() {
        let set = [
            ("leader.replication.throttled.replicas", "*"),
            ("follower.replication.throttled.replicas", ""),
            ("local.retention.ms", "-2"),
            ("message.format.version", "2.8"),
            ("retention.ms", "5"),
            ("no.such", "1"),
        ];
        assert_eq!(
            without_effect(set).collect::<Vec<_>>(),
            [("leader.replication.throttled.replicas", QUOTAS), ("message.format.version", FORMAT)]
        );
    }
}
