//! One log directory: its lock, its identity, how it was left, its checkpoints and the partition folders in it.
//!
//! A `LogDir` does not open logs; it says what there is and keeps the files that concern all of them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jackdaw_wire::types::TopicPartition;

use crate::checkpoint;
use crate::disk::{Disk, DiskLock};
use crate::error::{AtPath, StorageError};
use crate::meta::{CleanShutdown, MetaProperties};
use crate::names::{self, FolderKind, FolderNameError};

/// Why a log directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LogDirError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("Failed to acquire lock on file .lock in {path}. A Kafka instance in another process or thread is using \
             this directory.", path = path.display())]
    Locked { path: PathBuf },
    #[error("Found directory {path}, {name}", path = path.display())]
    ForeignFolder { path: PathBuf, name: FolderNameError },
}

/// The offsets that a log directory keeps for all of its partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checkpoint {
    /// Up to where each log is known to be fsynced.
    RecoveryPoint,
    /// High watermarks.
    Replication,
    /// Starts of logs that were cut by DeleteRecords; others start at their first segment.
    LogStart,
    /// Where compaction goes on.
    Cleaner,
}

impl Checkpoint {
    fn file_name(self) -> &'static str {
        match self {
            Checkpoint::RecoveryPoint => "recovery-point-offset-checkpoint",
            Checkpoint::Replication => "replication-offset-checkpoint",
            Checkpoint::LogStart => "log-start-offset-checkpoint",
            Checkpoint::Cleaner => "cleaner-offset-checkpoint",
        }
    }
}

/// A folder of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionFolder {
    pub path: PathBuf,
    pub partition: TopicPartition,
    pub kind: FolderKind,
}

/// A locked log directory.
#[derive(Debug)]
pub struct LogDir {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    _lock: Box<dyn DiskLock>,
}

impl LogDir {
    /// Makes the folder when it is missing and takes its lock for as long as the value lives
    /// (`LogManager.lockLogDirs`).
    pub fn open(disk: Arc<dyn Disk>, path: &Path) -> Result<Self, LogDirError> {
        if disk.info(path).at("looking at", path)?.is_none() {
            disk.create_dir_all(path).at("creating", path)?;
            if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                disk.sync_dir(parent).at("syncing", parent)?;
            }
        }
        let lock_file = path.join(names::LOCK);
        match disk.try_lock(&lock_file).at("locking", &lock_file)? {
            Some(lock) => Ok(Self { disk, path: path.to_owned(), _lock: lock }),
            None => Err(LogDirError::Locked { path: path.to_owned() }),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// `None` on a directory that was never formatted.
    pub fn meta_properties(&self) -> Result<Option<MetaProperties>, StorageError> {
        MetaProperties::read(&*self.disk, &self.path)
    }

    /// Durable on return.
    pub fn write_meta_properties(&self, meta: &MetaProperties) -> Result<(), StorageError> {
        meta.write(&*self.disk, &self.path)
    }

    /// How the directory was left; `None` after a crash. Read before [`LogDir::remove_clean_shutdown`].
    pub fn clean_shutdown(&self) -> Result<Option<CleanShutdown>, StorageError> {
        CleanShutdown::read(&*self.disk, &self.path)
    }

    /// Removes the marker, durably. Has to happen before any log is loaded (`LogManager.loadLogs`).
    pub fn remove_clean_shutdown(&self) -> Result<(), StorageError> {
        CleanShutdown::remove(&*self.disk, &self.path)
    }

    /// Writes the marker, durably. Only after every log of the directory was closed cleanly and the checkpoints are
    /// written: what follows is loaded without recovery.
    pub fn write_clean_shutdown(&self, broker_epoch: i64) -> Result<(), StorageError> {
        CleanShutdown { broker_epoch }.write(&*self.disk, &self.path)
    }

    /// Empty when the file is missing.
    pub fn read_checkpoint(&self, which: Checkpoint) -> Result<HashMap<TopicPartition, i64>, StorageError> {
        checkpoint::read_offsets(&*self.disk, &self.path.join(which.file_name()))
    }

    /// Replaces the whole checkpoint; durable on return. `__cluster_metadata` is in none.
    pub fn write_checkpoint<'a>(
        &self,
        which: Checkpoint,
        offsets: impl IntoIterator<Item = (&'a TopicPartition, i64)>,
    ) -> Result<(), StorageError> {
        checkpoint::write_offsets(&*self.disk, &self.path.join(which.file_name()), offsets)
    }

    /// The partition folders, `__cluster_metadata-0` among them. A folder of any other name is an error, as in
    /// Kafka; plain files are ignored.
    pub fn folders(&self) -> Result<Vec<PartitionFolder>, LogDirError> {
        let mut folders = Vec::new();
        for entry in self.disk.list(&self.path).at("listing", &self.path)? {
            if !entry.is_dir {
                continue;
            }
            let path = self.path.join(&entry.name);
            match names::parse_folder(&entry.name) {
                Ok((partition, kind)) => folders.push(PartitionFolder { path, partition, kind }),
                Err(name) => return Err(LogDirError::ForeignFolder { path, name }),
            }
        }
        folders.sort_by(|left, right| left.path.cmp(&right.path));
        Ok(folders)
    }

    /// The folder a partition has here, or will have.
    pub fn folder_of(&self, partition: &TopicPartition) -> PathBuf {
        self.path.join(names::live_folder(partition))
    }

    /// Removes a marked folder and all that is in it.
    pub fn remove_folder(&self, folder: &PartitionFolder) -> Result<(), StorageError> {
        self.disk.remove_dir_all(&folder.path).at("removing", &folder.path)
    }

    /// Size of the volume and what is free on it, in bytes; for DescribeLogDirs.
    pub fn space(&self) -> Result<Option<(u64, u64)>, StorageError> {
        self.disk.space(&self.path).at("measuring", &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;

    fn open(path: &Path) -> LogDir {
        LogDir::open(Arc::new(RealDisk), path).unwrap()
    }

    #[test]
    fn a_log_dir_lists_partitions_and_refuses_foreign_folders() {
        let folder = tempfile::tempdir().unwrap();
        let dir = open(&folder.path().join("data"));
        for name in ["orders-0", "__cluster_metadata-0", "gone-1.0123456789abcdef0123456789abcdef-delete"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        std::fs::write(dir.path().join("a-file"), "").unwrap();
        let found: Vec<_> =
            dir.folders().unwrap().into_iter().map(|f| (f.partition.to_string(), f.kind)).collect();
        assert_eq!(
            found,
            [
                ("__cluster_metadata-0".to_owned(), FolderKind::Live),
                ("gone-1".to_owned(), FolderKind::Delete),
                ("orders-0".to_owned(), FolderKind::Live),
            ]
        );
        std::fs::create_dir(dir.path().join("lost+found")).unwrap();
        assert!(matches!(dir.folders(), Err(LogDirError::ForeignFolder { .. })));
    }

    #[test]
    fn checkpoints_lie_where_kafka_looks_for_them() {
        let folder = tempfile::tempdir().unwrap();
        let dir = open(folder.path());
        let partition = TopicPartition::new("orders", 0);
        for (which, name) in [
            (Checkpoint::RecoveryPoint, "recovery-point-offset-checkpoint"),
            (Checkpoint::Replication, "replication-offset-checkpoint"),
            (Checkpoint::LogStart, "log-start-offset-checkpoint"),
            (Checkpoint::Cleaner, "cleaner-offset-checkpoint"),
        ] {
            assert!(dir.read_checkpoint(which).unwrap().is_empty());
            dir.write_checkpoint(which, [(&partition, 9)]).unwrap();
            assert_eq!(dir.read_checkpoint(which).unwrap()[&partition], 9);
            assert!(dir.path().join(name).is_file());
        }
    }

    #[test]
    fn the_lock_is_one_that_another_process_sees() {
        let folder = tempfile::tempdir().unwrap();
        let _dir = open(folder.path());
        // A POSIX lock does not exclude its own process: ask the kernel who holds it, as fcntl(F_GETLK) would.
        let inode = {
            use std::os::unix::fs::MetadataExt as _;
            std::fs::metadata(folder.path().join(".lock")).unwrap().ino()
        };
        let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
        let held = locks.lines().any(|line| line.contains("POSIX") && line.contains(&format!(":{inode} ")));
        assert!(held || locks.is_empty(), "no POSIX lock on inode {inode} in:\n{locks}");
    }
}
