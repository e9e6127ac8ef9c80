//! Where a log lies: its disk, its folder, whose it is. Shared by the writer and all readers, because a folder may
//! be renamed while files in it are still to be opened.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jackdaw_wire::types::TopicPartition;

use crate::disk::{Disk, DiskFile, OpenMode};
use crate::error::{AtPath, StorageError};

#[derive(Debug)]
pub(crate) struct Place {
    pub disk: Arc<dyn Disk>,
    pub partition: TopicPartition,
    folder: Mutex<Arc<Path>>,
}

/// A lock whose holder cannot leave anything half done, so that poison means nothing.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Place {
    pub fn new(disk: Arc<dyn Disk>, folder: &Path, partition: TopicPartition) -> Self {
        Self { disk, partition, folder: Mutex::new(Arc::from(folder)) }
    }

    pub fn folder(&self) -> Arc<Path> {
        Arc::clone(&locked(&self.folder))
    }

    pub fn moved_to(&self, folder: &Path) {
        *locked(&self.folder) = Arc::from(folder);
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    pub fn sync_folder(&self) -> Result<(), StorageError> {
        let folder = self.folder();
        self.disk.sync_dir(&folder).at("syncing", &folder)
    }
}

/// A file that is opened when it is first needed and may be closed again while nobody uses it: an idle partition
/// costs no descriptors.
#[derive(Debug, Default)]
pub(crate) struct LazyFile {
    handle: Mutex<Option<Arc<dyn DiskFile>>>,
}

impl LazyFile {
    /// The open file. Two first users may both open it; one handle is kept.
    pub fn open(&self, place: &Place, name: &str) -> Result<Arc<dyn DiskFile>, StorageError> {
        self.open_as(place, name, OpenMode::ReadWrite)
    }

    /// The open file, made when it is missing.
    pub fn create(&self, place: &Place, name: &str) -> Result<Arc<dyn DiskFile>, StorageError> {
        self.open_as(place, name, OpenMode::Create)
    }

    fn open_as(&self, place: &Place, name: &str, mode: OpenMode) -> Result<Arc<dyn DiskFile>, StorageError> {
        if let Some(file) = &*locked(&self.handle) {
            return Ok(Arc::clone(file));
        }
        let path = place.path(name);
        let opened = place.disk.open(&path, mode).at("opening", &path)?;
        Ok(Arc::clone(locked(&self.handle).get_or_insert(opened)))
    }

    pub fn is_open(&self) -> bool {
        locked(&self.handle).is_some()
    }

    pub fn close(&self) {
        *locked(&self.handle) = None;
    }
}
