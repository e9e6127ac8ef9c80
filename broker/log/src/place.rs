//! Where a log lies: its disk, its folder, whose it is. Shared by the writer and all readers, because a folder may
//! be renamed while files in it are still to be opened.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jackdaw_wire::types::TopicPartition;

use crate::disk::{Disk, DiskFile, OpenMode};
use crate::error::{AtPath, StorageError};
use crate::handles::Handle;

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

/// A file that is opened when it is first needed and closed again while nobody uses it and others need room
/// ([`crate::OpenFiles`]): an idle partition costs no descriptors.
#[derive(Debug, Default)]
pub(crate) struct LazyFile {
    handle: Mutex<Option<Arc<Handle>>>,
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
        if let Some(file) = self.opened() {
            return Ok(file);
        }
        let path = place.path(name);
        let opened = place.disk.open(&path, mode).at("opening", &path)?;
        let mut handle = locked(&self.handle);
        if let Some(file) = handle.as_ref().and_then(|handle| handle.file()) {
            return Ok(file);
        }
        let opened_handle = Handle::new(Arc::clone(&opened));
        *handle = Some(Arc::clone(&opened_handle));
        drop(handle);
        place.disk.open_files().admit(&opened_handle);
        Ok(opened)
    }

    fn opened(&self) -> Option<Arc<dyn DiskFile>> {
        locked(&self.handle).as_ref()?.file()
    }

    /// Keeps the file open that is open now; whether it is.
    pub fn pin(&self) -> bool {
        locked(&self.handle).as_ref().and_then(|handle| handle.pin()).is_some()
    }

    pub fn is_open(&self) -> bool {
        self.opened().is_some()
    }

    pub fn close(&self) {
        *locked(&self.handle) = None;
    }
}
