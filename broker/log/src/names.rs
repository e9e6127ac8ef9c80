//! What files and folders of a log directory are called. Pure text: nothing here touches a disk.
//!
//! Kafka refuses to start when a folder in a log directory reads as no partition (`LocalLog.parseTopicPartitionName`),
//! so the forms here are all there may be.

use jackdaw_wire::types::{OffsetAndEpoch, TopicPartition};
use uuid::Uuid;

pub const LOG_SUFFIX: &str = ".log";
pub const OFFSET_INDEX_SUFFIX: &str = ".index";
pub const TIME_INDEX_SUFFIX: &str = ".timeindex";
pub const TXN_INDEX_SUFFIX: &str = ".txnindex";
/// What a segment consists of; the last is there only after a transaction was aborted.
pub const SEGMENT_SUFFIXES: [&str; 4] =
    [LOG_SUFFIX, OFFSET_INDEX_SUFFIX, TIME_INDEX_SUFFIX, TXN_INDEX_SUFFIX];
pub const PRODUCER_SNAPSHOT_SUFFIX: &str = ".snapshot";
/// On files that are waiting for `file.delete.delay.ms` to pass.
pub const DELETED_SUFFIX: &str = ".deleted";
/// On a segment that compaction is still writing.
pub const CLEANED_SUFFIX: &str = ".cleaned";
/// On a finished segment that is about to take the place of others.
pub const SWAP_SUFFIX: &str = ".swap";

pub const LEADER_EPOCH_CHECKPOINT: &str = "leader-epoch-checkpoint";
pub const PARTITION_METADATA: &str = "partition.metadata";
pub const QUORUM_STATE: &str = "quorum-state";
pub const META_PROPERTIES: &str = "meta.properties";
pub const CLEAN_SHUTDOWN: &str = ".kafka_cleanshutdown";
pub const LOCK: &str = ".lock";
/// The records that start an empty metadata log, in the metadata log directory (`BootstrapDirectory`).
pub const BOOTSTRAP_CHECKPOINT: &str = "bootstrap.checkpoint";

/// Longest name a file system takes; names of doomed folders are cut to it.
const LONGEST_NAME: usize = 255;
const OFFSET_WIDTH: usize = 20;
const EPOCH_WIDTH: usize = 10;

/// `00000000000000000042.log` and its siblings (`LogFileUtils.filenamePrefixFromOffset`).
pub fn segment_file(base_offset: i64, suffix: &str) -> String {
    format!("{base_offset:020}{suffix}")
}

/// The offset a file name starts with: all before the first dot (`LogFileUtils.offsetFromFileName`).
pub fn offset_of_file(name: &str) -> Option<i64> {
    let digits = &name[..name.find('.')?];
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().filter(|offset| *offset <= crate::batch::MAX_OFFSET)
}

/// What a folder in a log directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FolderKind {
    Live,
    /// Waits to be removed.
    Delete,
    /// A replica on its way to this directory (`AlterReplicaLogDirs`).
    Future,
    /// Was here when the cluster's image did not know it; kept, no longer served.
    Stray,
}

impl FolderKind {
    fn suffix(self) -> &'static str {
        match self {
            FolderKind::Live => "",
            FolderKind::Delete => "-delete",
            FolderKind::Future => "-future",
            FolderKind::Stray => "-stray",
        }
    }
}

/// The name reads as no partition's folder; Kafka would refuse to start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{name}' is not in the form of topic-partition or topic-partition.uniqueId-delete (if marked for deletion). \
         Kafka's log directories (and children) should only contain Kafka topic data."
)]
pub struct FolderNameError {
    pub name: String,
}

/// Reads a folder name (`LocalLog.parseTopicPartitionName`).
pub fn parse_folder(name: &str) -> Result<(TopicPartition, FolderKind), FolderNameError> {
    let refuse = || FolderNameError { name: name.to_owned() };
    let kind = [FolderKind::Delete, FolderKind::Future, FolderKind::Stray]
        .into_iter()
        .find(|kind| name.ends_with(kind.suffix()))
        .unwrap_or(FolderKind::Live);
    let live = if kind == FolderKind::Live {
        name
    } else {
        // `topic-N.uniqueId-delete`: something has to stand on each side of the last dot.
        let stem = name.strip_suffix(kind.suffix()).ok_or_else(refuse)?;
        let dot = stem.rfind('.').filter(|dot| *dot + 1 < stem.len()).ok_or_else(refuse)?;
        &stem[..dot]
    };
    let dash = live.rfind('-').ok_or_else(refuse)?;
    let (topic, partition) = (&live[..dash], &live[dash + 1..]);
    if topic.is_empty() || partition.is_empty() {
        return Err(refuse());
    }
    let partition = partition.parse().map_err(|_| refuse())?;
    Ok((TopicPartition::new(topic, partition), kind))
}

/// `topic-N`.
pub fn live_folder(partition: &TopicPartition) -> String {
    partition.to_string()
}

/// `topic-N.<32 hex digits>-delete` and so on; the topic is cut where the name would get too long
/// (`LocalLog.logDirNameWithSuffixCappedLength`). `unique` has to be random.
pub fn marked_folder(partition: &TopicPartition, kind: FolderKind, unique: Uuid) -> String {
    let end = format!("-{}.{}{}", partition.partition, unique.simple(), kind.suffix());
    let topic = &partition.topic;
    let mut kept = topic.len();
    if kind != FolderKind::Future {
        kept = kept.min(LONGEST_NAME - end.len());
        while !topic.is_char_boundary(kept) {
            kept -= 1;
        }
    }
    format!("{}{end}", &topic[..kept])
}

/// What a file of the metadata log's snapshots is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotFileKind {
    Complete,
    /// Still being written; removed on load.
    Partial,
    /// Doomed; removed on load.
    Deleted,
}

/// `<20-digit end offset>-<10-digit epoch>.checkpoint` (`Snapshots.snapshotPath`).
pub fn snapshot_file(id: OffsetAndEpoch) -> String {
    format!("{:020}-{:010}.checkpoint", id.offset, id.epoch)
}

/// The name a snapshot has while it is written. `unique` has to be random.
pub fn partial_snapshot_file(id: OffsetAndEpoch, unique: u64) -> String {
    format!("{:020}-{:010}-{unique}.checkpoint.part", id.offset, id.epoch)
}

/// The name a snapshot waits for its removal under.
pub fn deleted_snapshot_file(id: OffsetAndEpoch) -> String {
    format!("{}{DELETED_SUFFIX}", snapshot_file(id))
}

/// Reads a snapshot's file name; `None` for any other file (`Snapshots.parse`; `bootstrap.checkpoint` lies in
/// another folder).
pub fn parse_snapshot_file(name: &str) -> Option<(OffsetAndEpoch, SnapshotFileKind)> {
    let kind = if name.ends_with(".checkpoint.part") {
        SnapshotFileKind::Partial
    } else if name.ends_with(".checkpoint.deleted") {
        SnapshotFileKind::Deleted
    } else if name.ends_with(".checkpoint") {
        SnapshotFileKind::Complete
    } else {
        return None;
    };
    let offset = name.get(..OFFSET_WIDTH)?.parse().ok()?;
    let epoch = name.get(OFFSET_WIDTH + 1..OFFSET_WIDTH + 1 + EPOCH_WIDTH)?.parse().ok()?;
    Some((OffsetAndEpoch::new(offset, epoch), kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_read_as_kafka_reads_them() {
        let unique = "0123456789abcdef0123456789abcdef";
        for (name, expected) in [
            ("orders-0", Some(("orders", 0, FolderKind::Live))),
            ("my-topic.v1-12", Some(("my-topic.v1", 12, FolderKind::Live))),
            (&format!("orders-3.{unique}-delete"), Some(("orders", 3, FolderKind::Delete))),
            (&format!("a.b-3.{unique}-future"), Some(("a.b", 3, FolderKind::Future))),
            (&format!("orders-3.{unique}-stray"), Some(("orders", 3, FolderKind::Stray))),
            ("orders-delete", None),
            ("orders-3.-delete", None),
            ("lost+found", None),
            ("-3", None),
            ("orders-", None),
            ("orders-x", None),
            ("", None),
        ] {
            let expected = expected.map(|(topic, number, kind)| (TopicPartition::new(topic, number), kind));
            assert_eq!(parse_folder(name).ok(), expected, "{name}");
        }
    }

    #[test]
    fn marked_folders_fit_a_file_system_and_read_back() {
        let partition = TopicPartition::new("t".repeat(249), 7);
        let name = marked_folder(&partition, FolderKind::Delete, Uuid::from_u128(5));
        assert_eq!(name.len(), 255);
        let (read, kind) = parse_folder(&name).unwrap();
        assert_eq!((read.partition, kind), (7, FolderKind::Delete));
    }

    #[test]
    fn snapshots_of_the_metadata_log_are_named_by_offset_and_epoch() {
        let id = OffsetAndEpoch::new(1234, 5);
        assert_eq!(snapshot_file(id), "00000000000000001234-0000000005.checkpoint");
        for (name, kind) in [
            (snapshot_file(id), SnapshotFileKind::Complete),
            (partial_snapshot_file(id, 77), SnapshotFileKind::Partial),
            (deleted_snapshot_file(id), SnapshotFileKind::Deleted),
        ] {
            assert_eq!(parse_snapshot_file(&name), Some((id, kind)), "{name}");
        }
        assert_eq!(parse_snapshot_file("bootstrap.checkpoint"), None);
        assert_eq!(parse_snapshot_file("00000000000000000000.log"), None);
    }

    #[test]
    fn segment_files_carry_their_base_offset() {
        assert_eq!(segment_file(42, LOG_SUFFIX), "00000000000000000042.log");
        assert_eq!(offset_of_file("00000000000000000042.log.swap"), Some(42));
        for name in ["leader-epoch-checkpoint", "partition.metadata", ".lock", "+5.log"] {
            assert_eq!(offset_of_file(name), None, "{name}");
        }
    }
}
