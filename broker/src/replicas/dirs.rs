//! The log directories of this broker: which serve, what their checkpoints said at the start, and what changed since.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use jackdaw_log::{Checkpoint, LogDir, LogDirError, PartitionFolder, StorageError};
use jackdaw_wire::{TopicPartition, Uuid};
use tokio::sync::mpsc;

use crate::descriptors;
use crate::seldom::Seldom;

/// One log directory.
pub(super) struct Dir {
    pub log_dir: Arc<LogDir>,
    pub id: Uuid,
    online: AtomicBool,
    /// What is to be written at the next checkpoint; an idle directory writes nothing.
    stale: [AtomicBool; 4],
    /// Where the compaction of each partition goes on.
    cleaned: Mutex<HashMap<TopicPartition, i64>>,
    /// What was there when the broker started.
    found: Mutex<Found>,
    failures: mpsc::Sender<Uuid>,
    /// Logs that are here, or are being opened here.
    logs: AtomicUsize,
    no_descriptors: Seldom,
}

/// A log's place in a directory. Its directory counts it from the moment it is chosen: the partitions of a new topic are
/// placed side by side.
pub(super) struct Placed(Arc<Dir>);

impl std::ops::Deref for Placed {
    type Target = Arc<Dir>;

    fn deref(&self) -> &Arc<Dir> {
        &self.0
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        self.0.logs.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A directory as it was left.
#[derive(Default)]
pub(super) struct Found {
    pub was_clean: bool,
    pub high_watermarks: HashMap<TopicPartition, i64>,
    pub recovery_points: HashMap<TopicPartition, i64>,
    pub log_starts: HashMap<TopicPartition, i64>,
    /// Until the first image says which of them are ours.
    pub folders: Vec<PartitionFolder>,
    /// Ours, and not opened yet.
    pub logs: HashSet<TopicPartition>,
}

fn slot(which: Checkpoint) -> usize {
    match which {
        Checkpoint::RecoveryPoint => 0,
        Checkpoint::Replication => 1,
        Checkpoint::LogStart => 2,
        Checkpoint::Cleaner => 3,
    }
}

impl Dir {
    pub fn new(log_dir: Arc<LogDir>, id: Uuid, failures: mpsc::Sender<Uuid>) -> Arc<Self> {
        Arc::new(Self {
            log_dir,
            id,
            online: AtomicBool::new(true),
            stale: [const { AtomicBool::new(false) }; 4],
            cleaned: Mutex::default(),
            found: Mutex::default(),
            failures,
            logs: AtomicUsize::new(0),
            no_descriptors: Seldom::new(),
        })
    }

    /// Reads what is there. Changes nothing.
    pub fn look(&self) -> Result<(), LogDirError> {
        let found = Found {
            was_clean: self.log_dir.clean_shutdown()?.is_some(),
            high_watermarks: self.log_dir.read_checkpoint(Checkpoint::Replication)?,
            recovery_points: self.log_dir.read_checkpoint(Checkpoint::RecoveryPoint)?,
            log_starts: self.log_dir.read_checkpoint(Checkpoint::LogStart)?,
            folders: self.log_dir.folders()?,
            logs: HashSet::new(),
        };
        *self.found() = found;
        *self.cleaned() = self.log_dir.read_checkpoint(Checkpoint::Cleaner)?;
        Ok(())
    }

    pub fn found(&self) -> std::sync::MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cleaned(&self) -> std::sync::MutexGuard<'_, HashMap<TopicPartition, i64>> {
        self.cleaned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the last compaction of the partition ended.
    pub fn cleaned_to(&self, tp: &TopicPartition) -> Option<i64> {
        self.cleaned().get(tp).copied()
    }

    pub fn set_cleaned(&self, tp: &TopicPartition, offset: i64) {
        self.cleaned().insert(tp.clone(), offset);
        self.note(Checkpoint::Cleaner);
    }

    /// The log was cut, or is gone: nothing from this offset on was compacted
    /// (`LogCleanerManager.maybeTruncateCheckpoint`).
    pub fn cleaned_no_further(&self, tp: &TopicPartition, offset: Option<i64>) {
        let mut cleaned = self.cleaned();
        match (cleaned.get_mut(tp), offset) {
            (Some(noted), Some(offset)) if *noted > offset => *noted = offset,
            (Some(_), None) => drop(cleaned.remove(tp)),
            _ => return,
        }
        drop(cleaned);
        self.note(Checkpoint::Cleaner);
    }

    /// Takes a place for a log.
    pub fn place(self: &Arc<Self>) -> Placed {
        self.logs.fetch_add(1, Ordering::AcqRel);
        Placed(Arc::clone(self))
    }

    /// Those that were found here and are not opened yet count, too.
    pub fn logs(&self) -> usize {
        self.found().logs.len() + self.logs.load(Ordering::Acquire)
    }

    pub fn is_online(&self) -> bool {
        self.online.load(Ordering::Acquire)
    }

    /// Nothing in the directory can be promised any more. Its partitions go offline, the process stays. That there was
    /// no descriptor to be had says nothing of the directory: what was asked for can be asked for again.
    pub fn failed(&self, error: &StorageError) {
        if error.is_out_of_descriptors() {
            if let Some(more) = self.no_descriptors.due() {
                tracing::error!(
                    target: "kafka.server.ReplicaManager",
                    "{error}: the limit is {} file descriptors. What needed one is refused until some are given back; a \
                     higher limit (ulimit -n) keeps that from happening.{more}",
                    descriptors::limit_shown()
                );
            }
            return;
        }
        if self.online.swap(false, Ordering::AcqRel) {
            tracing::error!(
                target: "kafka.server.LogDirFailureChannel",
                "Error in log dir {}: {error}. Its partitions go offline.",
                self.log_dir.path().display()
            );
            // The queue has a place for each directory, and each fails once.
            let _ = self.failures.try_send(self.id);
        }
    }

    pub fn high_watermarks_moved(&self) {
        self.note(Checkpoint::Replication);
    }

    pub fn recovery_points_moved(&self) {
        self.note(Checkpoint::RecoveryPoint);
    }

    pub fn log_starts_moved(&self) {
        self.note(Checkpoint::LogStart);
    }

    pub fn note(&self, which: Checkpoint) {
        let stale = &self.stale[slot(which)];
        // Mostly it is set already, and a read shares the line where a write would not.
        if !stale.load(Ordering::Relaxed) {
            stale.store(true, Ordering::Relaxed);
        }
    }

    /// Whether the checkpoint is to be written; it counts as written from here on.
    pub fn take_stale(&self, which: Checkpoint) -> bool {
        self.stale[slot(which)].swap(false, Ordering::Relaxed)
    }
}
