//! The log of one partition, as its one writer has it (Kafka's `UnifiedLog` and `LocalLog`).
//!
//! The writer keeps the books; readers get them through [`LogReader`]. Time comes in as an argument. High
//! watermarks, replicas and requests are none of its business.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jackdaw_wire::types::{TopicPartition, Uuid};

use crate::batch::BatchMeta;
use crate::config::LogConfig;
use crate::cut::Cut;
use crate::disk::Disk;
use crate::epochs::EpochCache;
use crate::error::{AppendError, AtPath, OpenError, StorageError};
use crate::names::{self, FolderKind};
use crate::place::Place;
use crate::producer::{Origin, ProducerState, VerificationGuard};
use crate::reader::{LogReader, OffsetPosition};
use crate::segment::{Segment, Tail};
use crate::shared::{Published, Shared};
use crate::snapshots::Snapshots;
use crate::{checkpoint, load, meta};

/// How a log was left, and what its directory's checkpoints say of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenState {
    /// The directory has its marker: no recovery. Always `false` for the metadata log.
    pub clean_shutdown: bool,
    /// From the recovery point checkpoint; 0 when it says nothing.
    pub recovery_point: i64,
    /// From the log start checkpoint; 0 when it says nothing.
    pub log_start_offset: i64,
    /// `producer.id.expiration.ms`.
    pub producer_expiration_ms: i64,
    /// `transaction.partition.verification.enable`: batches of a transaction need a guard to open it here.
    pub verify_transactions: bool,
}

/// `producer.id.expiration.ms` where nothing else is said: a day.
pub const DEFAULT_PRODUCER_EXPIRATION_MS: i64 = 86_400_000;

impl Default for OpenState {
    fn default() -> Self {
        Self {
            clean_shutdown: false,
            recovery_point: 0,
            log_start_offset: 0,
            producer_expiration_ms: DEFAULT_PRODUCER_EXPIRATION_MS,
            verify_transactions: false,
        }
    }
}

/// What an append did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppendInfo {
    /// For a duplicate, those of the batch that was there already.
    pub first_offset: i64,
    pub last_offset: i64,
    pub max_timestamp_ms: i64,
    /// The last offset of the batch with the largest timestamp.
    pub offset_of_max_timestamp: i64,
    pub log_start_offset: i64,
    /// Where the first batch lies.
    pub position: OffsetPosition,
    /// Appended bytes; 0 for a duplicate.
    pub size_bytes: usize,
    /// The producer sent it before; nothing was appended. Answered as success, with `first_offset`.
    pub is_duplicate: bool,
    /// A segment was closed: Kafka flushes it in the background now.
    pub rolled: bool,
}

/// Files that are no longer part of the log and wait for `file.delete.delay.ms`.
#[derive(Debug)]
pub(crate) struct Doomed {
    pub paths: Vec<PathBuf>,
    pub due_ms: i64,
}

/// A log, open for writing.
#[derive(Debug)]
pub struct Log {
    pub(crate) place: Arc<Place>,
    pub(crate) config: Arc<LogConfig>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) segments: Arc<Vec<Arc<Segment>>>,
    pub(crate) tail: Tail,
    pub(crate) log_start_offset: i64,
    pub(crate) log_end_offset: i64,
    pub(crate) recovery_point: i64,
    pub(crate) epochs: Arc<EpochCache>,
    pub(crate) producers: ProducerState,
    pub(crate) snapshots: Snapshots,
    pub(crate) doomed: Vec<Doomed>,
    /// Closed segments whose indexes are not synced yet.
    pub(crate) unsynced_closed: Vec<Arc<Segment>>,
    /// How often names in the folder changed, and up to which of these it is synced.
    pub(crate) folder_changes: u64,
    pub(crate) folder_synced: u64,
    /// So they are after a clean stop, until the next append.
    pub(crate) active_indexes_synced: bool,
    /// A recovery point that may be on the disk: the one that this log was opened with, or one from before a cut.
    pub(crate) checkpointed: i64,
    /// How often the end was cut: a flush begun before says nothing of what was written after.
    pub(crate) truncations: u64,
    /// A cut that the files have not followed yet. Whatever would change the log finishes it first.
    pub(crate) unfinished: Option<Cut>,
    pub(crate) producer_expiration_ms: i64,
    verify_transactions: bool,
    pub(crate) topic_id: Option<Uuid>,
}

/// The parts of a batch that are to be written, and its books.
pub(crate) struct Incoming<'a> {
    pub meta: BatchMeta,
    pub header: &'a [u8],
    pub body: &'a [u8],
}

impl Log {
    /// Opens the log in `folder`, which is made when it is missing, and recovers it as far as `state` asks for
    /// (`LogLoader.load`).
    ///
    /// # Errors
    /// Storage errors concern the whole log directory. Damaged records are no error: they are cut off.
    pub fn open(
        disk: Arc<dyn Disk>,
        folder: &Path,
        partition: TopicPartition,
        config: Arc<LogConfig>,
        state: OpenState,
        now_ms: i64,
    ) -> Result<Self, OpenError> {
        if disk.info(folder).at("looking at", folder)?.is_none() {
            disk.create_dir_all(folder).at("creating", folder)?;
            if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                disk.sync_dir(parent).at("syncing", parent)?;
            }
        }
        let place = Arc::new(Place::new(disk, folder, partition));
        let loaded = load::load(&place, &config, &state, now_ms)?;
        let segments = Arc::new(loaded.segments);
        let epochs = Arc::new(loaded.epochs);
        let published = Published {
            segments: Arc::clone(&segments),
            log_start_offset: loaded.log_start_offset,
            log_end_offset: loaded.log_end_offset,
            active_bytes: segments.last().map_or(0, |segment| segment.size_bytes()),
            epochs: Arc::clone(&epochs),
            first_open_offset: loaded.producers.first_open_offset(),
            ended: loaded.producers.ended(),
        };
        let topic_id = meta::read_topic_id(&*place.disk, folder)?;
        Ok(Self {
            shared: Arc::new(Shared::new(Arc::clone(&place), published)),
            config,
            segments,
            tail: loaded.tail,
            log_start_offset: loaded.log_start_offset,
            log_end_offset: loaded.log_end_offset,
            recovery_point: loaded.recovery_point.max(loaded.log_start_offset).min(loaded.log_end_offset),
            epochs,
            producers: loaded.producers,
            snapshots: loaded.snapshots,
            doomed: loaded.doomed,
            unsynced_closed: Vec::new(),
            folder_changes: 1,
            folder_synced: 0,
            active_indexes_synced: state.clean_shutdown,
            checkpointed: state.recovery_point,
            truncations: 0,
            unfinished: None,
            producer_expiration_ms: state.producer_expiration_ms,
            verify_transactions: state.verify_transactions,
            topic_id,
            place,
        })
    }

    /// A reader of this log.
    pub fn reader(&self) -> LogReader {
        LogReader::new(Arc::clone(&self.shared))
    }

    pub fn partition(&self) -> &TopicPartition {
        &self.place.partition
    }

    /// The folder the log lies in.
    pub fn folder(&self) -> Arc<Path> {
        self.place.folder()
    }

    pub fn config(&self) -> &Arc<LogConfig> {
        &self.config
    }

    /// New settings act from the next append on.
    pub fn set_config(&mut self, config: Arc<LogConfig>) {
        self.config = config;
    }

    pub fn log_start_offset(&self) -> i64 {
        self.log_start_offset
    }

    /// The offset of the next record.
    pub fn log_end_offset(&self) -> i64 {
        self.log_end_offset
    }

    /// Everything before this offset is on disk for good.
    pub fn flushed_offset(&self) -> i64 {
        self.recovery_point
    }

    /// What the directory's recovery point checkpoint has to say: from the segment of this offset on, a start after a
    /// crash recovers. Not behind a segment whose records are synced, but whose indexes may be torn.
    pub fn recovery_point(&self) -> i64 {
        let active = self.active();
        let mut limit = self.log_end_offset;
        if !self.active_indexes_synced && active.size_bytes() > 0 {
            limit -= 1;
        }
        if let Some(closed) = self.unsynced_closed.first() {
            limit = limit.min(closed.base_offset);
        }
        self.recovery_point.min(limit)
    }

    pub fn epochs(&self) -> &EpochCache {
        &self.epochs
    }

    pub fn latest_epoch(&self) -> Option<i32> {
        self.epochs.latest_epoch()
    }

    /// Where the records of `epoch`, or of the largest before it, end: `(epoch, end offset)`; `None` when unknown.
    pub fn end_offset_for_epoch(&self, epoch: i32) -> Option<(i32, i64)> {
        self.epochs.end_offset_for(epoch, self.log_end_offset)
    }

    pub fn producers(&self) -> &ProducerState {
        &self.producers
    }

    pub fn segment_count(&self) -> usize {
        self.segments.len()
    }

    pub fn size_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.size_bytes()).sum()
    }

    /// The topic id of `partition.metadata`, if the folder has one.
    pub fn topic_id(&self) -> Option<Uuid> {
        self.topic_id
    }

    /// Gives the folder its topic id, durably. A folder that has another keeps it; the caller compares.
    pub fn assign_topic_id(&mut self, topic_id: Uuid) -> Result<(), StorageError> {
        if self.topic_id.is_none() {
            meta::write_topic_id(&*self.place.disk, &self.place.folder(), topic_id)?;
            self.topic_id = Some(topic_id);
        }
        Ok(())
    }

    /// Notes where a leader epoch starts, as a leader does when it is elected; durable on return.
    pub fn assign_epoch_start(&mut self, epoch: i32, start_offset: i64) -> Result<(), StorageError> {
        self.finish_cut()?;
        if self.change_epochs(|epochs| epochs.assign(epoch, start_offset))? {
            self.publish();
        }
        Ok(())
    }

    /// Tells how far records are replicated: ended transactions below it are forgotten.
    pub fn high_watermark_moved(&mut self, high_watermark: i64) {
        if self.producers.ended().is_some() {
            self.producers.forget_replicated(high_watermark);
            self.publish();
        }
    }

    /// Begins to verify that a producer's transaction includes this partition: the guard that its first append here
    /// has to show. `None` where the transaction is open here, or where nothing is verified.
    pub fn start_verification(
        &mut self,
        producer_id: i64,
        sequence: i32,
        epoch: i16,
        now_ms: i64,
    ) -> Option<VerificationGuard> {
        if !self.verify_transactions {
            return None;
        }
        self.producers.start_verification(producer_id, sequence, epoch, now_ms)
    }

    /// `producer.id.expiration.ms` and `transaction.partition.verification.enable`, from here on.
    pub fn set_producer_rules(&mut self, expiration_ms: i64, verify_transactions: bool) {
        self.producer_expiration_ms = expiration_ms;
        self.verify_transactions = verify_transactions;
    }

    /// Forgets producers that were silent for long (`producer.id.expiration.ms`).
    pub fn remove_expired_producers(&mut self, now_ms: i64) {
        self.producers.remove_expired(now_ms, self.producer_expiration_ms);
    }

    /// Closes files that nobody uses; they open again when needed. For partitions that were idle for a while.
    pub fn close_idle_files(&self) {
        for segment in self.segments.iter() {
            segment.close_files();
        }
    }

    /// Renames the folder to its `-delete`, `-future` or `-stray` form; durable on return. Readers go on reading.
    /// `unique` has to be random.
    pub fn mark_folder(&mut self, kind: FolderKind, unique: Uuid) -> Result<PathBuf, StorageError> {
        let name = match kind {
            FolderKind::Live => names::live_folder(&self.place.partition),
            _ => names::marked_folder(&self.place.partition, kind, unique),
        };
        let from = self.place.folder();
        let parent = from.parent().unwrap_or(Path::new(""));
        let to = parent.join(name);
        self.place.disk.rename(&from, &to).at("renaming", &from)?;
        self.place.moved_to(&to);
        for doomed in &mut self.doomed {
            for path in &mut doomed.paths {
                if let Some(name) = path.file_name() {
                    *path = to.join(name);
                }
            }
        }
        self.place.disk.sync_dir(parent).at("syncing", parent)?;
        Ok(to)
    }

    pub(crate) fn active(&self) -> &Arc<Segment> {
        self.segments.last().expect("a log always has a segment: load and truncation make one")
    }

    /// Changes the epochs on the disk, then here: a change that failed is one when it is asked for again. Durable on
    /// return. Kafka leaves some rewrites to the page cache; a crash may then empty the file, and the epochs of what lies
    /// before the recovery point are nowhere else.
    pub(crate) fn change_epochs(
        &mut self,
        change: impl FnOnce(&mut EpochCache) -> bool,
    ) -> Result<bool, StorageError> {
        let mut epochs = EpochCache::clone(&self.epochs);
        let changed = change(&mut epochs);
        if changed {
            self.write_epochs(&epochs)?;
            self.epochs = Arc::new(epochs);
        }
        Ok(changed)
    }

    pub(crate) fn write_epochs(&self, epochs: &EpochCache) -> Result<(), StorageError> {
        let path = self.place.path(names::LEADER_EPOCH_CHECKPOINT);
        checkpoint::write(&*self.place.disk, &path, epochs.entries().iter())
    }

    /// Shows readers the log as it is now.
    pub(crate) fn publish(&self) {
        self.shared.publish(Published {
            segments: Arc::clone(&self.segments),
            log_start_offset: self.log_start_offset,
            log_end_offset: self.log_end_offset,
            active_bytes: self.active().size_bytes(),
            epochs: Arc::clone(&self.epochs),
            first_open_offset: self.producers.first_open_offset(),
            ended: self.producers.ended(),
        });
    }

    pub(crate) fn check_producers(
        &self,
        incoming: &[Incoming<'_>],
        origin: Origin,
        guard: Option<VerificationGuard>,
    ) -> Result<Checked, AppendError> {
        let mut updates = crate::producer::Updates::default();
        for batch in incoming.iter().filter(|batch| batch.meta.has_producer_id()) {
            if origin == Origin::Client
                && let Some(duplicate) = self.producers.find_duplicate(&batch.meta)
            {
                return Ok(Checked::Duplicate(duplicate));
            }
            let needs_guard = self.verify_transactions
                && origin != Origin::Replication
                && batch.meta.is_transactional
                && !batch.meta.is_control;
            if needs_guard && !self.producers.is_verified(batch.meta.producer_id, guard) {
                return Err(AppendError::UnverifiedTransaction {
                    producer_id: batch.meta.producer_id,
                    partition: self.partition().clone(),
                });
            }
            let marker = if batch.meta.is_control { crate::batch::end_marker(batch.body) } else { None };
            self.producers.check(&mut updates, &batch.meta, marker, origin, &self.place.partition)?;
        }
        Ok(Checked::New(updates))
    }
}

/// What the producer state says of an append.
pub(crate) enum Checked {
    New(crate::producer::Updates),
    Duplicate(crate::producer::ProducerBatch),
}
