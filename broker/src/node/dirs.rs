//! A node's log directories before anything else is touched: locked, formatted where that is asked for, and checked
//! to belong to this node and to one cluster (`KafkaRaftServer.initializeLogDirs`, `MetaPropertiesEnsemble`).
//!
//! Must not open logs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jackdaw_log::{Disk, LogDir, LogDirError, MetaProperties, StorageError};
use jackdaw_wire::types::{self, kafka_base64};
use jackdaw_wire::{TopicPartition, Uuid};

use crate::config::Config;

/// Why a node cannot use its directories. The wording is Kafka's where Kafka says the same.
#[derive(Debug, thiserror::Error)]
pub enum DirsError {
    #[error(transparent)]
    LogDir(#[from] LogDirError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("Cluster ID string '{0}' is empty or holds what no line of meta.properties does")]
    NotAClusterId(String),
    #[error("No readable meta.properties files found.")]
    NothingFormatted,
    #[error("No `meta.properties` found in {} (have you run `kafka-storage.sh` to format the directory?)", .0.display())]
    NotFormatted(PathBuf),
    #[error("Error: {what} not found in {}", dir.display())]
    Incomplete { what: &'static str, dir: PathBuf },
    #[error(
        "Stored node id {stored} doesn't match previous node id {configured} in {}. If you moved your data, make sure \
         your configured node id matches. If you intend to create a new node, you should remove all data in your data \
         directories.",
        path.display()
    )]
    OtherNode { stored: i32, configured: i32, path: PathBuf },
    #[error("Invalid cluster.id in: {}. Expected {expected}, but read {stored}", path.display())]
    OtherCluster { stored: String, expected: String, path: PathBuf },
    #[error("Duplicate directory ID {id} found. It was the ID of {}, but also of {}", first.display(), second.display())]
    DuplicateId { id: String, first: PathBuf, second: PathBuf },
    #[error("Invalid reserved directory ID {id} found in {}", dir.display())]
    ReservedId { id: String, dir: PathBuf },
    #[error(
        "Found unexpected metadata location in data directory `{}` (the configured metadata directory is {}).",
        found.display(), configured.display()
    )]
    StrayMetadataLog { found: PathBuf, configured: PathBuf },
}

/// The directories of a node that may start.
#[derive(Debug)]
pub struct NodeDirs {
    /// `log.dirs`, locked, each with its directory id.
    pub data: Vec<(LogDir, Uuid)>,
    /// `metadata.log.dir`, where it is not one of the above.
    pub metadata_only: Option<LogDir>,
    pub cluster_id: String,
    /// What is worth a line in the log.
    pub notes: Vec<String>,
    /// Worth a warning.
    pub warnings: Vec<String>,
}

/// Locks, formats (only with a cluster id, and only what holds nothing yet) and checks all directories.
///
/// # Errors
/// See [`DirsError`]; nothing was written unless every directory could be locked and read.
pub fn prepare(
    disk: &Arc<dyn Disk>,
    config: &Config,
    cluster_id: Option<&str>,
) -> Result<NodeDirs, DirsError> {
    let mut paths = config.log_dirs.clone();
    let metadata_is_apart = !paths.contains(&config.metadata_log_dir);
    if metadata_is_apart {
        paths.push(config.metadata_log_dir.clone());
    }
    let mut opened: Vec<(LogDir, Option<MetaProperties>)> = Vec::new();
    for path in &paths {
        let dir = LogDir::open(Arc::clone(disk), path)?;
        let meta = dir.meta_properties()?;
        opened.push((dir, meta));
    }
    let mut notes = Vec::new();
    let mut warnings = Vec::new();
    let stored = check(config, &opened)?;
    let cluster_id = agree(stored, cluster_id, &mut warnings)?;
    let mut data = Vec::new();
    for (dir, meta) in opened {
        let meta = complete(&dir, meta, config.node_id, cluster_id.as_ref(), &mut notes)?;
        let id = meta
            .directory_id
            .ok_or(DirsError::Incomplete { what: "directory ID", dir: dir.path().to_owned() })?;
        data.push((dir, id));
    }
    let metadata_only = if metadata_is_apart { data.pop().map(|(dir, _)| dir) } else { None };
    check_metadata_log(disk, config)?;
    let cluster_id = cluster_id.map(|(id, _)| id).ok_or(DirsError::NothingFormatted)?;
    Ok(NodeDirs { data, metadata_only, cluster_id, notes, warnings })
}

/// What all formatted directories agree on: the cluster they belong to.
fn check(config: &Config, dirs: &[(LogDir, Option<MetaProperties>)]) -> Result<Option<String>, DirsError> {
    let mut cluster: Option<String> = None;
    let mut ids: BTreeMap<Uuid, PathBuf> = BTreeMap::new();
    for (dir, meta) in dirs.iter().filter_map(|(dir, meta)| Some((dir, meta.as_ref()?))) {
        let path = dir.path().join("meta.properties");
        let lacks = |what| DirsError::Incomplete { what, dir: dir.path().to_owned() };
        let stored = meta.node_id.ok_or_else(|| lacks("node ID"))?;
        if stored != config.node_id {
            return Err(DirsError::OtherNode { stored, configured: config.node_id, path });
        }
        let stored = meta.cluster_id.clone().ok_or_else(|| lacks("cluster ID"))?;
        let expected = cluster.get_or_insert_with(|| stored.clone()).clone();
        if stored != expected {
            return Err(DirsError::OtherCluster { stored, expected, path });
        }
        if let Some(id) = meta.directory_id {
            if is_reserved(&id) {
                return Err(DirsError::ReservedId { id: kafka_base64(&id), dir: dir.path().to_owned() });
            }
            if let Some(first) = ids.insert(id, dir.path().to_owned()) {
                return Err(DirsError::DuplicateId {
                    id: kafka_base64(&id),
                    first,
                    second: dir.path().to_owned(),
                });
            }
        }
    }
    Ok(cluster)
}

/// What the volume says wins over what it is told; the flag says whether formatting was asked for.
fn agree(
    stored: Option<String>,
    given: Option<&str>,
    warnings: &mut Vec<String>,
) -> Result<Option<(String, bool)>, DirsError> {
    // `StorageTool` of 3.7 takes any text; what it makes up itself is a UUID.
    if let Some(given) = given.filter(|given| given.trim().is_empty() || given.contains(char::is_control)) {
        return Err(DirsError::NotAClusterId(given.to_owned()));
    }
    match (stored, given) {
        (Some(stored), Some(given)) if stored != given => {
            warnings.push(format!(
                "The log directories belong to cluster {stored}; the configured cluster id {given} is ignored."
            ));
            Ok(Some((stored, true)))
        }
        (Some(stored), given) => Ok(Some((stored, given.is_some()))),
        (None, Some(given)) => Ok(Some((given.to_owned(), true))),
        (None, None) => Err(DirsError::NothingFormatted),
    }
}

/// A directory's identity: made where the directory is new, completed where it was written before 3.7.
fn complete(
    dir: &LogDir,
    meta: Option<MetaProperties>,
    node_id: i32,
    cluster: Option<&(String, bool)>,
    notes: &mut Vec<String>,
) -> Result<MetaProperties, DirsError> {
    let meta = match (meta, cluster) {
        (Some(meta), _) if meta.directory_id.is_some() => return Ok(meta),
        (Some(meta), _) => {
            notes.push(format!("Rewriting {}/meta.properties", dir.path().display()));
            MetaProperties { directory_id: Some(new_id()), ..meta }
        }
        (None, Some((cluster_id, true))) => {
            notes.push(format!("Formatting {} for cluster {cluster_id}.", dir.path().display()));
            MetaProperties {
                cluster_id: Some(cluster_id.clone()),
                node_id: Some(node_id),
                directory_id: Some(new_id()),
                version: 1,
            }
        }
        (None, _) => return Err(DirsError::NotFormatted(dir.path().to_owned())),
    };
    dir.write_meta_properties(&meta)?;
    Ok(meta)
}

/// The metadata log lies in one place only.
fn check_metadata_log(disk: &Arc<dyn Disk>, config: &Config) -> Result<(), DirsError> {
    let folder = TopicPartition::new("__cluster_metadata", 0).to_string();
    for dir in config.log_dirs.iter().filter(|dir| **dir != config.metadata_log_dir) {
        let found = dir.join(&folder);
        if exists(disk, &found) {
            return Err(DirsError::StrayMetadataLog { found, configured: config.metadata_log_dir.clone() });
        }
    }
    Ok(())
}

fn exists(disk: &Arc<dyn Disk>, path: &Path) -> bool {
    // A folder that cannot be looked at is met again, with its error, when logs are opened.
    matches!(disk.info(path), Ok(Some(_)))
}

/// `DirectoryId.reserved`: the first hundred values have meanings.
fn is_reserved(id: &Uuid) -> bool {
    id.as_u128() < 100
}

/// A random id (UUID version 4) that Kafka's own generator could have made: not reserved, no dash in front.
pub fn new_id() -> Uuid {
    loop {
        let mut bytes: [u8; 16] = rand::random();
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        let id = types::Uuid::from_bytes(bytes);
        if !is_reserved(&id) && !kafka_base64(&id).starts_with('-') {
            return id;
        }
    }
}

#[cfg(test)]
mod tests {
    use jackdaw_log::RealDisk;

    use super::*;

    const CLUSTER: &str = "5L6g3nShT-eMCtK--X86sw";
    const OTHER: &str = "MkU3OEVBNTcwNTJENDM2Qg";

    fn config(dirs: &[&Path], extra: &str) -> Config {
        let dirs = dirs.iter().map(|d| d.display().to_string()).collect::<Vec<_>>().join(",");
        let text = format!(
            "process.roles=broker\nnode.id=1\ncontroller.quorum.voters=2@k:1\ncontroller.listener.names=C\n\
             log.dirs={dirs}\n{extra}"
        );
        Config::parse("s", text.as_bytes(), &[]).unwrap().0
    }

    fn run(config: &Config, cluster: Option<&str>) -> Result<NodeDirs, String> {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        prepare(&disk, config, cluster).map_err(|e| e.to_string())
    }

    #[test]
    fn directories_are_formatted_once_and_keep_their_ids() {
        let root = tempfile::tempdir().unwrap();
        let (a, b) = (root.path().join("a"), root.path().join("b"));
        let both = config(&[&a, &b], "");
        let first = run(&both, Some(CLUSTER)).unwrap();
        assert_eq!((first.cluster_id.as_str(), first.data.len(), first.notes.len()), (CLUSTER, 2, 2));
        let ids: Vec<_> = first.data.iter().map(|(_, id)| *id).collect();
        drop(first);
        let again = run(&both, Some(OTHER)).unwrap();
        assert_eq!(again.cluster_id, CLUSTER);
        assert!(again.warnings[0].contains(OTHER), "{:?}", again.warnings);
        assert_eq!(again.data.iter().map(|(_, id)| *id).collect::<Vec<_>>(), ids);
    }

    #[test]
    fn any_text_is_a_cluster_id() {
        for text in ["test_kafka_cluster_id", "my-cluster", "a:b=c #1!", "MkU3OEVBNTcwNTJENDM2QkQxQk"] {
            let root = tempfile::tempdir().unwrap();
            let config = config(&[root.path()], "");
            drop(run(&config, Some(text)).unwrap());
            assert_eq!(run(&config, None).unwrap().cluster_id, text);
        }
    }

    #[test]
    fn a_folder_of_another_node_or_cluster_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let (a, b) = (root.path().join("a"), root.path().join("b"));
        assert_eq!(run(&config(&[&a], ""), None).unwrap_err(), "No readable meta.properties files found.");
        drop(run(&config(&[&a], ""), Some(CLUSTER)).unwrap());
        let only_one = run(&config(&[&a, &b], ""), None).unwrap_err();
        assert!(only_one.starts_with("No `meta.properties` found in"), "{only_one}");
        drop(run(&config(&[&b], ""), Some(OTHER)).unwrap());
        let mixed = run(&config(&[&a, &b], ""), None).unwrap_err();
        assert!(mixed.contains(&format!("Expected {CLUSTER}, but read {OTHER}")), "{mixed}");
        let other_node = Config { node_id: 3, ..config(&[&a], "") };
        assert!(
            run(&other_node, None)
                .unwrap_err()
                .starts_with("Stored node id 1 doesn't match previous node id 3 in")
        );
        for none in ["", " ", "a\nb"] {
            assert!(run(&config(&[&a], ""), Some(none)).unwrap_err().starts_with("Cluster ID string"));
        }
    }

    #[test]
    fn the_metadata_log_lies_in_its_directory_only() {
        let root = tempfile::tempdir().unwrap();
        let (a, m) = (root.path().join("a"), root.path().join("m"));
        let apart = config(&[&a], &format!("metadata.log.dir={}\n", m.display()));
        let dirs = run(&apart, Some(CLUSTER)).unwrap();
        assert_eq!((dirs.data.len(), dirs.metadata_only.is_some()), (1, true));
        drop(dirs);
        std::fs::create_dir(a.join("__cluster_metadata-0")).unwrap();
        assert!(
            run(&apart, None)
                .unwrap_err()
                .starts_with("Found unexpected metadata location in data directory")
        );
    }

    #[test]
    fn new_ids_are_such_as_kafka_makes() {
        for _ in 0..100 {
            let id = new_id();
            assert_eq!((id.get_version_num(), kafka_base64(&id).starts_with('-')), (4, false));
        }
    }
}
