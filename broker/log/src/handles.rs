//! Which of the logs' files are open: as many as there is room for. A file that nobody has used for longest is closed
//! for the next one, and opens again when it is needed.
//!
//! The clock of this is second chance: a use costs one flag, and whoever opens a file walks over those that were used
//! since. Bytes that were written and not synced stay in the page cache when a file is closed.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use crate::disk::DiskFile;
use crate::place::locked;

/// Those of one disk, or of one process.
#[derive(Debug)]
pub struct OpenFiles {
    /// How many may stay open; more are for as long as they are in use.
    most: AtomicUsize,
    /// Whoever was opened or looked at first is in front. Those that were closed otherwise are still among them.
    queue: Mutex<VecDeque<Weak<Handle>>>,
}

impl Default for OpenFiles {
    fn default() -> Self {
        Self::new()
    }
}

impl OpenFiles {
    /// Without a limit.
    pub const fn new() -> Self {
        Self { most: AtomicUsize::new(usize::MAX), queue: Mutex::new(VecDeque::new()) }
    }

    /// How many files may stay open from now on.
    pub fn keep(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
        self.close_beyond(most);
    }

    /// Closes a part of what is open and not in use, because there is no descriptor left; whether there was any.
    pub fn make_room(&self) -> bool {
        let open = locked(&self.queue).len();
        self.close_beyond(open - open.div_ceil(4)) > 0
    }

    pub(crate) fn admit(&self, handle: &Arc<Handle>) {
        let most = self.most.load(Ordering::Relaxed);
        if most == usize::MAX {
            return;
        }
        let open = {
            let mut queue = locked(&self.queue);
            queue.push_back(Arc::downgrade(handle));
            queue.len()
        };
        if open > most {
            self.close_beyond(most);
        }
    }

    /// How many were closed, or had been.
    fn close_beyond(&self, most: usize) -> usize {
        let mut closed = Vec::new();
        let mut gone = 0;
        let mut queue = locked(&self.queue);
        // Once around takes the flags, and once more finds them taken.
        for _ in 0..2 * queue.len() {
            if queue.len() <= most {
                break;
            }
            let Some(front) = queue.pop_front() else { break };
            match front.upgrade() {
                Some(handle) if handle.is_pinned.load(Ordering::Relaxed) => {}
                Some(handle) if handle.is_used.swap(false, Ordering::Relaxed) => queue.push_back(front),
                Some(handle) => closed.extend(locked(&handle.file).take()),
                None => gone += 1,
            }
        }
        drop(queue);
        // Whoever holds one for a read or a write has it until then; closing may take its time.
        closed.len() + gone
    }
}

/// An open file, unless it was closed meanwhile.
#[derive(Debug)]
pub(crate) struct Handle {
    file: Mutex<Option<Arc<dyn DiskFile>>>,
    is_used: AtomicBool,
    /// What lies under its name is not this file any more.
    is_pinned: AtomicBool,
}

impl Handle {
    pub fn new(file: Arc<dyn DiskFile>) -> Arc<Self> {
        Arc::new(Self {
            file: Mutex::new(Some(file)),
            is_used: AtomicBool::new(true),
            is_pinned: AtomicBool::new(false),
        })
    }

    pub fn file(&self) -> Option<Arc<dyn DiskFile>> {
        let file = locked(&self.file).clone()?;
        if !self.is_used.load(Ordering::Relaxed) {
            self.is_used.store(true, Ordering::Relaxed);
        }
        Some(file)
    }

    /// Stays open from here on; the file, unless it was closed before.
    pub fn pin(&self) -> Option<Arc<dyn DiskFile>> {
        self.is_pinned.store(true, Ordering::Relaxed);
        self.file()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Disk, OpenMode, RealDisk};

    fn opened(files: &OpenFiles, folder: &std::path::Path, count: usize) -> Vec<Arc<Handle>> {
        let open = |number: usize| {
            let file = RealDisk.open(&folder.join(number.to_string()), OpenMode::Create).unwrap();
            let handle = Handle::new(file);
            files.admit(&handle);
            handle
        };
        (0..count).map(open).collect()
    }

    fn open_ones(handles: &[Arc<Handle>]) -> Vec<usize> {
        let is_open = |handle: &Arc<Handle>| locked(&handle.file).is_some();
        (0..handles.len()).filter(|number| is_open(&handles[*number])).collect()
    }

    #[test]
    fn files_stay_open_within_the_limit_and_those_used_since_outlive_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let files = OpenFiles::new();
        files.keep(4);
        let handles = opened(&files, folder.path(), 6);
        assert_eq!(open_ones(&handles), [2, 3, 4, 5]);
        // The walk took their flags.
        assert!(handles[2].file().is_some() && handles[0].file().is_none());
        let more = opened(&files, folder.path(), 2);
        assert_eq!((open_ones(&handles), open_ones(&more)), (vec![2, 5], vec![0, 1]));
    }

    #[test]
    fn a_file_whose_name_has_other_contents_is_never_closed() {
        let folder = tempfile::tempdir().unwrap();
        let files = OpenFiles::new();
        files.keep(1);
        let first = opened(&files, folder.path(), 1);
        assert!(first[0].pin().is_some());
        opened(&files, folder.path(), 8);
        assert_eq!(open_ones(&first), [0]);
    }

    #[test]
    fn a_part_of_what_is_open_makes_room() {
        let folder = tempfile::tempdir().unwrap();
        let files = OpenFiles::new();
        assert!(!files.make_room());
        files.keep(100);
        let handles = opened(&files, folder.path(), 8);
        assert!(files.make_room());
        assert_eq!(open_ones(&handles).len(), 6);
    }
}
