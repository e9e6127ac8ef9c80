//! Opening a log: leftovers of interrupted work go, what may be torn is checked and cut, producer state is rebuilt
//! (`LogLoader.load`, `LogSegment.recover`, `UnifiedLog.rebuildProducerState`).
//!
//! After an unclean stop everything from the recovery point's segment on is read and checked; before it, nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jackdaw_wire::types::TopicPartition;

use crate::batch::{self, BatchMeta, HeaderWalk};
use crate::config::LogConfig;
use crate::disk::{FileInfo, remove_if_exists};
use crate::epochs::EpochCache;
use crate::error::{AtPath, OpenError, StorageError};
use crate::log::{Doomed, OpenState};
use crate::names;
use crate::place::Place;
use crate::producer::{Origin, ProducerState, Updates};
use crate::recover::{self, Recovery};
use crate::segment::{Segment, Tail};
use crate::snapshots::Snapshots;
use crate::{checkpoint, leftovers};

pub(crate) struct Loaded {
    pub segments: Vec<Arc<Segment>>,
    pub tail: Tail,
    pub log_start_offset: i64,
    pub log_end_offset: i64,
    pub recovery_point: i64,
    pub epochs: EpochCache,
    pub producers: ProducerState,
    pub snapshots: Snapshots,
    pub doomed: Vec<Doomed>,
}

/// The segments of a folder, and which of them lack an index.
struct Files {
    segments: BTreeMap<i64, Arc<Segment>>,
    without_index: BTreeSet<i64>,
    snapshots: BTreeSet<i64>,
}

pub(crate) fn load(
    place: &Arc<Place>,
    config: &LogConfig,
    state: &OpenState,
    now_ms: i64,
) -> Result<Loaded, OpenError> {
    let listing = leftovers::clear(place)?;
    let mut files = read_listing(place, &listing)?;
    let path = place.path(names::LEADER_EPOCH_CHECKPOINT);
    let on_disk = checkpoint::read(&*place.disk, &path)?;
    let mut epochs = EpochCache::from_entries(on_disk.iter().copied());
    let snapshots = Snapshots::new(Arc::clone(place), std::mem::take(&mut files.snapshots));
    let mut recovery =
        Recovery { place, config, state, now_ms, epochs: &mut epochs, snapshots, doomed: Vec::new() };
    recovery.repair_indexes(&files.segments, &files.without_index)?;
    if !state.clean_shutdown {
        recovery.recover_unflushed(&mut files.segments)?;
    }
    let end = recovery.settle_end(&mut files.segments)?;
    let Recovery { mut snapshots, doomed, .. } = recovery;
    let segments: Vec<_> = files.segments.into_values().collect();
    let active = segments.last().expect("settle_end leaves a segment");
    active.trim_indexes()?;
    let log_start_offset = state.log_start_offset.max(segments[0].base_offset);
    epochs.truncate_from_end(end);
    if !state.clean_shutdown {
        epochs = with_missing_epochs(epochs, &segments, log_start_offset, end)?;
    }
    epochs.truncate_from_start(state.log_start_offset);
    if epochs.entries() != on_disk {
        checkpoint::write(&*place.disk, &path, epochs.entries().iter())?;
    }
    let mut producers = ProducerState::default();
    snapshots.remove_strays(&segments.iter().map(|segment| segment.base_offset).collect())?;
    let rebuild = Rebuild {
        segments: &segments,
        log_start_offset,
        log_end_offset: end,
        now_ms,
        expiration_ms: state.producer_expiration_ms,
        partition: &place.partition,
    };
    rebuild.run(&mut producers, &mut snapshots, state.clean_shutdown)?;
    if !state.clean_shutdown {
        // What recovery removed must not come back beside what is appended from now on.
        place.sync_folder()?;
    }
    let tail = tail_of(active)?;
    // A loaded log is idle until someone writes or reads; its files open again then.
    for segment in &segments {
        segment.close_files();
    }
    Ok(Loaded {
        tail: Tail { created_ms: now_ms, ..tail },
        log_start_offset,
        log_end_offset: end,
        recovery_point: if state.clean_shutdown { end } else { surely_flushed(&segments, state).min(end) },
        epochs,
        producers,
        snapshots,
        doomed,
        segments,
    })
}

/// How far a log is flushed that was not stopped. The checkpoint may be from before a cut, and what lies in its segment
/// written anew since; the segments before are synced in any case, when they are closed at the latest.
fn surely_flushed(segments: &[Arc<Segment>], state: &OpenState) -> i64 {
    let holding = segments.partition_point(|segment| segment.base_offset <= state.recovery_point);
    holding.checked_sub(1).map_or(state.recovery_point, |last| segments[last].base_offset)
}

/// Adds the epochs of records before the first noted one. A crash may undo the removal of old segments, but not that
/// of their epochs.
fn with_missing_epochs(
    noted: EpochCache,
    segments: &[Arc<Segment>],
    log_start_offset: i64,
    log_end_offset: i64,
) -> Result<EpochCache, StorageError> {
    let noted_from = noted.earliest().map_or(log_end_offset, |entry| entry.start_offset);
    if noted_from <= log_start_offset {
        return Ok(noted);
    }
    let mut epochs = EpochCache::default();
    for segment in segments.iter().take_while(|segment| segment.base_offset < noted_from) {
        let path = segment.path(names::LOG_SUFFIX);
        let file = segment.log_file()?;
        let mut walk = HeaderWalk::new(&*file, &path, 0, segment.size_bytes());
        while let Some(Ok(found)) = walk.next()? {
            if found.meta.last_offset >= log_start_offset && found.meta.base_offset < noted_from {
                epochs.assign_if_newer(found.meta.leader_epoch, found.meta.base_offset.max(log_start_offset));
            }
        }
    }
    for entry in noted.entries() {
        epochs.assign_if_newer(entry.epoch, entry.start_offset);
    }
    Ok(epochs)
}

/// What the writer has to know of a segment that it goes on with.
pub(crate) fn tail_of(active: &Segment) -> Result<Tail, StorageError> {
    Ok(Tail {
        created_ms: active.modified_ms(),
        first_timestamp_ms: active.first_batch_timestamp_ms()?,
        bytes_since_index_entry: 0,
    })
}

fn read_listing(place: &Arc<Place>, listing: &[FileInfo]) -> Result<Files, StorageError> {
    let sizes: BTreeMap<&str, u64> =
        listing.iter().map(|file| (file.name.as_str(), file.size_bytes)).collect();
    let mut files =
        Files { segments: BTreeMap::new(), without_index: BTreeSet::new(), snapshots: BTreeSet::new() };
    for file in listing {
        let Some(base_offset) = names::offset_of_file(&file.name) else { continue };
        let size_of = |suffix: &str| sizes.get(names::segment_file(base_offset, suffix).as_str()).copied();
        if file.name.ends_with(names::LOG_SUFFIX) {
            let segment =
                Segment::existing(Arc::clone(place), base_offset, file.size_bytes, file.modified_ms);
            let indexes = size_of(names::OFFSET_INDEX_SUFFIX).zip(size_of(names::TIME_INDEX_SUFFIX));
            if !indexes.is_some_and(|(offsets, times)| segment.listed_indexes(offsets, times)) {
                files.without_index.insert(base_offset);
            }
            files.segments.insert(base_offset, Arc::new(segment));
        } else if file.name.ends_with(names::PRODUCER_SNAPSHOT_SUFFIX) {
            files.snapshots.insert(base_offset);
        } else if names::SEGMENT_SUFFIXES.iter().any(|suffix| file.name.ends_with(suffix))
            && size_of(names::LOG_SUFFIX).is_none()
        {
            let path = place.path(&file.name);
            tracing::warn!(
                "Found an orphaned index file {}, with no corresponding log file.",
                path.display()
            );
            remove_if_exists(&*place.disk, &path).at("removing", &path)?;
        }
    }
    Ok(files)
}

/// Rebuilding producer state from a snapshot and the records behind it.
pub(crate) struct Rebuild<'a> {
    pub segments: &'a [Arc<Segment>],
    pub log_start_offset: i64,
    pub log_end_offset: i64,
    pub now_ms: i64,
    pub expiration_ms: i64,
    pub partition: &'a TopicPartition,
}

impl Rebuild<'_> {
    /// `from_clean` as Kafka has it: a clean stop without any snapshot means that there are no producers.
    pub fn run(
        &self,
        producers: &mut ProducerState,
        snapshots: &mut Snapshots,
        from_clean: bool,
    ) -> Result<(), StorageError> {
        let end = self.log_end_offset;
        // The last two segments and the end: where a later truncation is likely to land.
        let worth_a_snapshot: Vec<i64> = self
            .segments
            .iter()
            .rev()
            .take(2)
            .rev()
            .map(|segment| segment.base_offset)
            .chain([end])
            .collect();
        if snapshots.is_empty() && from_clean {
            for offset in worth_a_snapshot {
                producers.set_map_end_offset(offset);
                snapshots.take(producers, true)?;
            }
            producers.set_map_end_offset(end);
            return Ok(());
        }
        let was_empty = producers.is_empty() && producers.map_end_offset() >= end;
        snapshots.reload(producers, self.log_start_offset, end, self.now_ms, self.expiration_ms)?;
        if end > producers.map_end_offset() && !was_empty {
            let first =
                self.segments.partition_point(|segment| segment.base_offset <= producers.map_end_offset());
            for segment in &self.segments[first.saturating_sub(1)..] {
                if segment.base_offset >= end {
                    break;
                }
                let start = segment.base_offset.max(producers.map_end_offset()).max(self.log_start_offset);
                producers.set_map_end_offset(start);
                if worth_a_snapshot.contains(&segment.base_offset) {
                    snapshots.take(producers, true)?;
                }
                self.replay(segment, start, producers)?;
            }
        }
        producers.set_map_end_offset(end);
        snapshots.take(producers, true)
    }

    fn replay(
        &self,
        segment: &Segment,
        start: i64,
        producers: &mut ProducerState,
    ) -> Result<(), StorageError> {
        let size = segment.size_bytes();
        let Some(first) = segment.find(start, size)? else { return Ok(()) };
        let path = segment.path(names::LOG_SUFFIX);
        let file = segment.log_file()?;
        let mut walk = HeaderWalk::new(&*file, &path, first.position, size);
        while let Some(Ok(found)) = walk.next()? {
            if found.meta.base_offset >= self.log_end_offset {
                break;
            }
            if !found.meta.has_producer_id() {
                continue;
            }
            let mut bytes = Vec::new();
            if found.meta.is_control {
                bytes.resize(found.meta.size_bytes, 0);
                file.read_at(found.position, &mut bytes).at("reading", &path)?;
            }
            apply(producers, &found.meta, bytes.get(jackdaw_wire::batch::HEADER_BYTES..), self.partition);
        }
        Ok(())
    }
}

/// Takes one batch of a log into account, as a replica does: what is in the log is right. The transactions it ended.
pub(crate) fn apply(
    producers: &mut ProducerState,
    meta: &BatchMeta,
    body: Option<&[u8]>,
    partition: &TopicPartition,
) -> Vec<recover::EndedTxn> {
    let mut updates = Updates::default();
    let marker = body.filter(|_| meta.is_control).and_then(batch::end_marker);
    if let Err(error) = producers.check(&mut updates, meta, marker, Origin::Replication, partition) {
        tracing::warn!("{error}");
    }
    let completed = producers.apply(updates);
    let mut ended = Vec::new();
    for txn in completed {
        let last_stable_offset = producers.last_stable_offset(&txn);
        producers.complete(&txn);
        ended.push(recover::EndedTxn { txn, last_stable_offset });
    }
    ended
}
