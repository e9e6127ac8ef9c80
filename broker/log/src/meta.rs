//! The small files that say whose a folder is and how it was left: `meta.properties`, `.kafka_cleanshutdown`,
//! `partition.metadata` and `quorum-state`.
//!
//! Each is written so that a JVM reads it, and read as a JVM writes it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jackdaw_wire::types::{Uuid, ZERO_UUID, kafka_base64, parse_kafka_base64};
use serde::{Deserialize, Serialize};

use crate::disk::{Disk, OpenMode, read_file, remove_if_exists, replace_file};
use crate::error::{AtPath, StorageError};
use crate::names;

/// `meta.properties` (`MetaProperties`). Version 1 is KRaft's: cluster and node id are always there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetaProperties {
    pub cluster_id: Option<String>,
    pub node_id: Option<i32>,
    /// New in 3.7. Where a file lacks one, one is made and the file rewritten; it never changes afterwards, because
    /// a replica assigned to a directory that its broker no longer registers cannot be elected.
    pub directory_id: Option<Uuid>,
    /// 0 (ZooKeeper's days) or 1.
    pub version: u8,
}

impl MetaProperties {
    /// `None` when there is no file: the directory was never formatted.
    pub fn read(disk: &dyn Disk, log_dir: &Path) -> Result<Option<Self>, StorageError> {
        const OPERATION: &str = "reading";
        let path = log_dir.join(names::META_PROPERTIES);
        let Some(contents) = read_file(disk, &path).at(OPERATION, &path)? else { return Ok(None) };
        let parsed = Self::parse(&String::from_utf8_lossy(&contents));
        parsed.map(Some).map_err(|why| StorageError::invalid(OPERATION, path, why))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut meta = Self { cluster_id: None, node_id: None, directory_id: None, version: 0 };
        let mut node_id = None;
        let mut broker_id = None;
        for (key, value) in text.lines().filter_map(property) {
            match key {
                "version" => {
                    meta.version = match value.trim() {
                        "0" => 0,
                        "1" => 1,
                        _ => return Err(format!("Invalid meta.properties version string '{value}'")),
                    };
                }
                "cluster.id" => meta.cluster_id = Some(unescaped(value)),
                "node.id" => node_id = Some(value),
                "broker.id" => broker_id = Some(value),
                "directory.id" => {
                    let id = parse_kafka_base64(value);
                    meta.directory_id =
                        Some(id.map_err(|error| format!("Unable to read directory.id as a Uuid: {error}"))?);
                }
                _ => {}
            }
        }
        let (name, id) = if meta.version == 0 { ("broker.id", broker_id) } else { ("node.id", node_id) };
        if let Some(id) = id {
            meta.node_id =
                Some(id.parse().map_err(|_| format!("Unable to read {name} as a base-10 number."))?);
        }
        if meta.version > 0 && meta.cluster_id.is_none() {
            return Err("cluster.id was not found.".to_owned());
        }
        if meta.version > 0 && meta.node_id.is_none() {
            return Err("Failed to find node.id".to_owned());
        }
        Ok(meta)
    }

    /// Replaces the file; durable on return.
    pub fn write(&self, disk: &dyn Disk, log_dir: &Path) -> Result<(), StorageError> {
        // `Properties.store` opens with comments; the first is empty, as Kafka passes it.
        let mut text = String::from("#\n");
        let mut put = |key: &str, value: &dyn std::fmt::Display| {
            let _ = writeln!(text, "{key}={value}");
        };
        if let Some(cluster_id) = &self.cluster_id {
            put("cluster.id", &escaped(cluster_id));
        }
        if let Some(directory_id) = &self.directory_id {
            put("directory.id", &kafka_base64(directory_id));
        }
        if let Some(node_id) = self.node_id {
            put(if self.version == 0 { "broker.id" } else { "node.id" }, &node_id);
        }
        put("version", &self.version);
        let path = log_dir.join(names::META_PROPERTIES);
        replace_file(disk, &path, text.as_bytes()).at("writing", &path)
    }
}

/// A value as `Properties.store` writes it, as far as one line goes.
fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, '\\' | '=' | ':' | '#' | '!') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn unescaped(value: &str) -> String {
    let mut chars = value.chars();
    std::iter::from_fn(|| match chars.next() {
        Some('\\') => chars.next(),
        other => other,
    })
    .collect()
}

/// One line of a Java properties file; of ids only a cluster's needs its escapes. A leading `#` or `!` is a comment.
fn property(line: &str) -> Option<(&str, &str)> {
    let line = line.trim_start();
    if line.is_empty() || line.starts_with(['#', '!']) {
        return None;
    }
    let (key, value) = line.split_once(['=', ':'])?;
    Some((key.trim_end(), value.trim_start()))
}

/// How a log directory was left, if it was left cleanly (`CleanShutdownFileHandler`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CleanShutdown {
    /// The epoch the broker had, or -1 when the file does not say. It returns as PreviousBrokerEpoch.
    pub broker_epoch: i64,
}

#[derive(Serialize, Deserialize)]
struct CleanShutdownContent {
    version: i32,
    #[serde(rename = "brokerEpoch")]
    broker_epoch: i64,
}

impl CleanShutdown {
    /// `None` when there is no marker. Its presence alone, even empty, means clean.
    pub(crate) fn read(disk: &dyn Disk, log_dir: &Path) -> Result<Option<Self>, StorageError> {
        let path = log_dir.join(names::CLEAN_SHUTDOWN);
        let contents = read_file(disk, &path).at("reading", &path)?;
        Ok(contents.map(|contents| {
            let parsed = serde_json::from_slice::<CleanShutdownContent>(&contents);
            Self { broker_epoch: parsed.map_or(-1, |content| content.broker_epoch) }
        }))
    }

    pub(crate) fn write(self, disk: &dyn Disk, log_dir: &Path) -> Result<(), StorageError> {
        let path = log_dir.join(names::CLEAN_SHUTDOWN);
        let text = format!("{{\"version\":0,\"brokerEpoch\":{}}}", self.broker_epoch);
        let write = || {
            let file = disk.open(&path, OpenMode::Truncate)?;
            file.write_at(0, &mut [std::io::IoSlice::new(text.as_bytes())])?;
            file.sync()?;
            disk.sync_dir(log_dir)
        };
        write().at("writing", &path)
    }

    pub(crate) fn remove(disk: &dyn Disk, log_dir: &Path) -> Result<(), StorageError> {
        let path = log_dir.join(names::CLEAN_SHUTDOWN);
        if remove_if_exists(disk, &path).at("removing", &path)? {
            // The marker must not come back after a crash: recovery would be skipped.
            disk.sync_dir(log_dir).at("syncing", log_dir)?;
        }
        Ok(())
    }
}

/// The topic id of a partition folder, from its `partition.metadata` (`PartitionMetadataFile`). One live folder
/// without it stops a JVM at start.
pub fn read_topic_id(disk: &dyn Disk, folder: &Path) -> Result<Option<Uuid>, StorageError> {
    const OPERATION: &str = "reading";
    let path = folder.join(names::PARTITION_METADATA);
    let Some(contents) = read_file(disk, &path).at(OPERATION, &path)? else { return Ok(None) };
    let text = String::from_utf8_lossy(&contents);
    let malformed = |line: &str| {
        let why = format!("Malformed line in checkpoint file [{}]: {line}", path.display());
        StorageError::invalid(OPERATION, &path, why)
    };
    let mut lines = text.lines();
    let mut value = || {
        let line = lines.next().unwrap_or("");
        line.split_once(':').map(|(_, value)| value.trim()).ok_or_else(|| malformed(line))
    };
    let version = value()?;
    if version.parse::<i32>().map_err(|_| malformed(version))? < 0 {
        let why = format!("Unrecognized version of partition metadata file: {version}");
        return Err(StorageError::invalid(OPERATION, path, why));
    }
    let id = value()?;
    match parse_kafka_base64(id) {
        Ok(ZERO_UUID) => {
            Err(StorageError::invalid(OPERATION, path, "Invalid topic ID in partition metadata file"))
        }
        Ok(id) => Ok(Some(id)),
        Err(error) => Err(StorageError::invalid(OPERATION, path, error.to_string())),
    }
}

/// Writes `partition.metadata`; durable on return.
pub fn write_topic_id(disk: &dyn Disk, folder: &Path, topic_id: Uuid) -> Result<(), StorageError> {
    let path = folder.join(names::PARTITION_METADATA);
    let text = format!("version: 0\ntopic_id: {}", kafka_base64(&topic_id));
    replace_file(disk, &path, text.as_bytes()).at("writing", &path)
}

/// What a node has promised in the quorum (`ElectionState`), kept in `quorum-state`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumState {
    pub leader_epoch: i32,
    pub leader_id: Option<i32>,
    pub voted_id: Option<i32>,
    /// In ascending order of id.
    pub voters: Vec<i32>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct QuorumStateJson {
    cluster_id: String,
    leader_id: i32,
    leader_epoch: i32,
    voted_id: i32,
    applied_offset: i64,
    current_voters: Option<Vec<VoterJson>>,
    #[serde(rename = "data_version")]
    data_version: i16,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct VoterJson {
    voter_id: i32,
}

const NOBODY: i32 = -1;

/// `quorum-state` in the folder of the metadata log (`FileBasedStateStore`).
#[derive(Debug)]
pub struct QuorumStateStore {
    disk: Arc<dyn Disk>,
    path: PathBuf,
}

impl QuorumStateStore {
    /// `folder` is `__cluster_metadata-0`.
    pub fn new(disk: Arc<dyn Disk>, folder: &Path) -> Self {
        Self { disk, path: folder.join(names::QUORUM_STATE) }
    }

    /// `None` on a node that never voted. Another `data_version` is an error, as in Kafka.
    pub fn read(&self) -> Result<Option<QuorumState>, StorageError> {
        const OPERATION: &str = "reading the quorum state";
        let Some(contents) = read_file(&*self.disk, &self.path).at(OPERATION, &self.path)? else {
            return Ok(None);
        };
        let line = contents.split(|byte| *byte == b'\n').next().unwrap_or(&[]);
        let refuse = |why: String| StorageError::invalid(OPERATION, &self.path, why);
        let json: QuorumStateJson =
            serde_json::from_slice(line).map_err(|error| refuse(error.to_string()))?;
        if json.data_version != 0 {
            return Err(refuse(format!("Unknown data version of {}", json.data_version)));
        }
        let somebody = |id: i32| (id != NOBODY).then_some(id);
        let mut voters: Vec<_> =
            json.current_voters.into_iter().flatten().map(|voter| voter.voter_id).collect();
        voters.sort_unstable();
        Ok(Some(QuorumState {
            leader_epoch: json.leader_epoch,
            leader_id: somebody(json.leader_id),
            voted_id: somebody(json.voted_id),
            voters,
        }))
    }

    /// Durable on return: a vote counts only after this.
    pub fn write(&self, state: &QuorumState) -> Result<(), StorageError> {
        const OPERATION: &str = "writing the quorum state";
        let json = QuorumStateJson {
            cluster_id: String::new(),
            leader_id: state.leader_id.unwrap_or(NOBODY),
            leader_epoch: state.leader_epoch,
            voted_id: state.voted_id.unwrap_or(NOBODY),
            applied_offset: 0,
            current_voters: Some(state.voters.iter().map(|&voter_id| VoterJson { voter_id }).collect()),
            data_version: 0,
        };
        let text = serde_json::to_vec(&json).map_err(std::io::Error::from).at(OPERATION, &self.path)?;
        replace_file(&*self.disk, &self.path, &text).at(OPERATION, &self.path)
    }

    /// Removes the file, as a node does whose metadata log is gone.
    pub fn clear(&self) -> Result<(), StorageError> {
        remove_if_exists(&*self.disk, &self.path).at("removing", &self.path).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;

    #[test]
    fn meta_properties_are_what_a_jvm_writes_and_reads() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("meta.properties");
        assert_eq!(MetaProperties::read(&RealDisk, folder.path()).unwrap(), None);
        let written = "#\n#Sun Nov 22 19:46:06 UTC 2026\nnode.id=1\ndirectory.id=4L6g3nShT-eMCtK--X86sw\nversion=1\ncluster.id=MkU3OEVBNTcwNTJENDM2Qg\n";
        std::fs::write(&path, written).unwrap();
        let meta = MetaProperties::read(&RealDisk, folder.path()).unwrap().unwrap();
        assert_eq!(
            (meta.version, meta.node_id, meta.cluster_id.as_deref()),
            (1, Some(1), Some("MkU3OEVBNTcwNTJENDM2Qg"))
        );
        meta.write(&RealDisk, folder.path()).unwrap();
        assert_eq!(MetaProperties::read(&RealDisk, folder.path()).unwrap(), Some(meta));
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "#\ncluster.id=MkU3OEVBNTcwNTJENDM2Qg\ndirectory.id=4L6g3nShT-eMCtK--X86sw\nnode.id=1\nversion=1\n"
        );
        for (contents, complaint) in [
            ("version=2\n", "Invalid meta.properties version"),
            ("version=1\nnode.id=1\n", "cluster.id was not found."),
            ("version=1\ncluster.id=x\n", "Failed to find node.id"),
            ("version=1\ncluster.id=x\nnode.id=one\n", "base-10"),
            ("version=1\ncluster.id=x\nnode.id=1\ndirectory.id=!\n", "Unable to read directory.id"),
        ] {
            std::fs::write(&path, contents).unwrap();
            let told = MetaProperties::read(&RealDisk, folder.path()).unwrap_err().to_string();
            assert!(told.contains(complaint), "{contents:?}: {told}");
        }
    }

    #[test]
    fn a_clean_shutdown_marker_counts_even_when_it_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(names::CLEAN_SHUTDOWN);
        for (contents, epoch) in [("", -1), ("{\"version\":0,\"brokerEpoch\":17}", 17), ("garbage", -1)] {
            std::fs::write(&path, contents).unwrap();
            let read = CleanShutdown::read(&RealDisk, folder.path()).unwrap();
            assert_eq!(read, Some(CleanShutdown { broker_epoch: epoch }), "{contents:?}");
        }
        CleanShutdown { broker_epoch: 5 }.write(&RealDisk, folder.path()).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"version\":0,\"brokerEpoch\":5}");
        CleanShutdown::remove(&RealDisk, folder.path()).unwrap();
        assert_eq!(CleanShutdown::read(&RealDisk, folder.path()).unwrap(), None);
    }

    #[test]
    fn partition_metadata_names_the_topic_id() {
        let folder = tempfile::tempdir().unwrap();
        let id = parse_kafka_base64("4L6g3nShT-eMCtK--X86sw").unwrap();
        assert_eq!(read_topic_id(&RealDisk, folder.path()).unwrap(), None);
        write_topic_id(&RealDisk, folder.path(), id).unwrap();
        let path = folder.path().join("partition.metadata");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "version: 0\ntopic_id: 4L6g3nShT-eMCtK--X86sw");
        assert_eq!(read_topic_id(&RealDisk, folder.path()).unwrap(), Some(id));
        for bad in
            ["", "version: 0", "version: x\ntopic_id: y", "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAA"]
        {
            std::fs::write(&path, bad).unwrap();
            assert!(read_topic_id(&RealDisk, folder.path()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn quorum_state_is_one_json_line_as_a_jvm_writes_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = QuorumStateStore::new(Arc::new(RealDisk), folder.path());
        assert_eq!(store.read().unwrap(), None);
        let state =
            QuorumState { leader_epoch: 3, leader_id: None, voted_id: Some(1), voters: vec![1, 2, 3] };
        store.write(&state).unwrap();
        let path = folder.path().join("quorum-state");
        let line = r#"{"clusterId":"","leaderId":-1,"leaderEpoch":3,"votedId":1,"appliedOffset":0,"currentVoters":[{"voterId":1},{"voterId":2},{"voterId":3}],"data_version":0}"#;
        assert_eq!(std::fs::read_to_string(&path).unwrap(), line);
        assert_eq!(store.read().unwrap(), Some(state));
        std::fs::write(&path, line.replace("\"data_version\":0", "\"data_version\":1")).unwrap();
        assert!(store.read().is_err());
    }
}
