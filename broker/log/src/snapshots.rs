//! The `.snapshot` files of a partition: which there are, and when one is written or removed
//! (`ProducerStateManager` and `UnifiedLog.rebuildProducerState`).

use std::collections::BTreeSet;
use std::io::IoSlice;
use std::path::PathBuf;
use std::sync::Arc;

use crate::disk::{OpenMode, read_file, remove_if_exists};
use crate::error::{AtPath, StorageError};
use crate::names;
use crate::place::Place;
use crate::producer::ProducerState;
use crate::producer_snapshot;

#[derive(Debug)]
pub(crate) struct Snapshots {
    place: Arc<Place>,
    offsets: BTreeSet<i64>,
    /// Of the newest one written or loaded; none is written at or below it.
    last_offset: i64,
    /// Written, not yet synced.
    pub unsynced: Vec<i64>,
}

impl Snapshots {
    pub fn new(place: Arc<Place>, offsets: BTreeSet<i64>) -> Self {
        Self { place, offsets, last_offset: 0, unsynced: Vec::new() }
    }

    pub fn path(&self, offset: i64) -> PathBuf {
        self.place.path(&names::segment_file(offset, names::PRODUCER_SNAPSHOT_SUFFIX))
    }

    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// Writes one at the end of what `producers` take into account, unless there is one
    /// (`ProducerStateManager.takeSnapshot`).
    pub fn take(&mut self, producers: &ProducerState, sync: bool) -> Result<(), StorageError> {
        let offset = producers.map_end_offset();
        if offset <= self.last_offset {
            return Ok(());
        }
        let path = self.path(offset);
        let contents = producer_snapshot::encode(producers.producers());
        let write = || {
            let file = self.place.disk.open(&path, OpenMode::Truncate)?;
            file.write_at(0, &mut [IoSlice::new(&contents)])?;
            if sync { file.sync() } else { Ok(()) }
        };
        write().at("writing", &path)?;
        if !sync {
            self.unsynced.push(offset);
        }
        self.offsets.insert(offset);
        self.last_offset = offset;
        Ok(())
    }

    pub fn remove(&mut self, offset: i64) -> Result<(), StorageError> {
        self.offsets.remove(&offset);
        self.unsynced.retain(|unsynced| *unsynced != offset);
        let path = self.path(offset);
        remove_if_exists(&*self.place.disk, &path).at("removing", &path).map(|_| ())
    }

    /// Removes those of records that are about to be cut off. The folder has to be synced before other records take
    /// their place: a snapshot of the old ones would be believed after a crash.
    pub fn remove_beyond(&mut self, log_end_offset: i64) -> Result<(), StorageError> {
        let gone = self.offsets.split_off(&log_end_offset.saturating_add(1));
        gone.into_iter().try_for_each(|offset| self.remove(offset))
    }

    /// Takes one out of the log and gives its name a suffix; the path to remove later.
    pub fn mark_deleted(&mut self, offset: i64) -> Result<Option<PathBuf>, StorageError> {
        if !self.offsets.remove(&offset) {
            return Ok(None);
        }
        self.unsynced.retain(|unsynced| *unsynced != offset);
        let path = self.path(offset);
        let name = names::segment_file(offset, names::PRODUCER_SNAPSHOT_SUFFIX);
        let doomed = self.place.path(&format!("{name}{}", names::DELETED_SUFFIX));
        match self.place.disk.rename(&path, &doomed) {
            Ok(()) => Ok(Some(doomed)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StorageError::new("renaming", path, error)),
        }
    }

    /// Leaves one out of the books while its segment's other files go; whether there was one.
    pub fn take_out(&mut self, offset: i64) -> bool {
        self.offsets.remove(&offset)
    }

    pub fn put_back(&mut self, offset: i64) {
        self.offsets.insert(offset);
    }

    pub fn remove_all(&mut self) -> Result<(), StorageError> {
        for offset in std::mem::take(&mut self.offsets) {
            self.remove(offset)?;
        }
        self.last_offset = 0;
        Ok(())
    }

    /// Of those that belong to no segment only the newest may stay, and only behind the last segment
    /// (`removeStraySnapshots`).
    pub fn remove_strays(&mut self, segment_bases: &BTreeSet<i64>) -> Result<(), StorageError> {
        let mut strays: Vec<i64> = self.offsets.difference(segment_bases).copied().collect();
        let last_base = segment_bases.last().copied();
        if let (Some(newest), Some(last_base)) = (strays.last().copied(), last_base)
            && newest >= last_base
        {
            strays.pop();
        }
        strays.into_iter().try_for_each(|offset| self.remove(offset))
    }

    /// Brings `producers` back to a snapshot at or before `log_end_offset`; those beyond the log go
    /// (`ProducerStateManager.truncateAndReload`).
    pub fn reload(
        &mut self,
        producers: &mut ProducerState,
        log_start_offset: i64,
        log_end_offset: i64,
        now_ms: i64,
        expiration_ms: i64,
    ) -> Result<(), StorageError> {
        let outside = |offset: &i64| *offset > log_end_offset || *offset <= log_start_offset;
        let gone: Vec<i64> = self.offsets.iter().copied().filter(outside).collect();
        gone.into_iter().try_for_each(|offset| self.remove(offset))?;
        if producers.map_end_offset() == log_end_offset {
            self.log_start_moved(producers, log_start_offset);
            return Ok(());
        }
        producers.clear(log_start_offset);
        self.last_offset = log_start_offset;
        while let Some(newest) = self.offsets.last().copied() {
            let path = self.path(newest);
            let contents = read_file(&*self.place.disk, &path).at("reading", &path)?;
            match producer_snapshot::decode(&contents.unwrap_or_default()) {
                Ok(entries) => {
                    producers.load(entries, newest, now_ms, expiration_ms);
                    self.last_offset = newest;
                    return Ok(());
                }
                Err(fault) => {
                    tracing::warn!("Failed to load producer snapshot from '{}': {fault}", path.display());
                    self.remove(newest)?;
                }
            }
        }
        Ok(())
    }

    /// `ProducerStateManager.onLogStartOffsetIncremented`.
    pub fn log_start_moved(&mut self, producers: &mut ProducerState, log_start_offset: i64) {
        producers.forget_replicated(log_start_offset);
        if producers.map_end_offset() < log_start_offset {
            producers.set_map_end_offset(log_start_offset);
        }
        self.last_offset = self.offsets.last().copied().unwrap_or(log_start_offset);
    }
}
