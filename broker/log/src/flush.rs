//! Making a log durable, split in two: the log says which files, someone else syncs them where blocking hurts
//! nobody, the log notes the result. One sync serves all appends before it.

use std::path::PathBuf;
use std::sync::Arc;

use crate::disk::{Disk, OpenMode};
use crate::error::{AtPath, StorageError};
use crate::log::Log;
use crate::segment::{OpenFile, Segment};

/// What has to be synced so that everything before [`FlushPlan::up_to`] is durable.
#[derive(Debug)]
pub struct FlushPlan {
    files: Vec<OpenFile>,
    folder: Option<(PathBuf, Arc<dyn Disk>)>,
    ticket: FlushTicket,
}

/// Tells the log which plan was carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlushTicket {
    up_to: i64,
    truncations: u64,
    /// Base offsets of the closed segments that were synced with their indexes.
    closed: Vec<i64>,
    snapshots: Vec<i64>,
    folder_changes: u64,
}

impl FlushPlan {
    /// The offset before which all will be durable.
    pub fn up_to(&self) -> i64 {
        self.ticket.up_to
    }

    /// Nothing was appended since the last flush.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.folder.is_none()
    }

    /// Syncs the files; blocks. Any thread may do it, while appends go on.
    ///
    /// # Errors
    /// After a failed sync nothing is known of the files: the directory has to go offline.
    pub fn run(&self) -> Result<FlushTicket, StorageError> {
        for (path, file) in &self.files {
            file.sync().at("syncing", path)?;
        }
        if let Some((folder, disk)) = &self.folder {
            disk.sync_dir(folder).at("syncing", folder)?;
        }
        Ok(self.ticket.clone())
    }
}

impl Log {
    /// What to sync for all that is appended so far. Indexes of the active segment are left out: recovery rebuilds
    /// them from the recovery point on.
    pub fn flush_plan(&self) -> Result<FlushPlan, StorageError> {
        let mut files = Vec::new();
        for closed in &self.unsynced_closed {
            files.extend(closed.files_to_sync(true)?);
        }
        let is_listed = |segment: &Arc<Segment>| {
            self.unsynced_closed.iter().any(|closed| closed.base_offset == segment.base_offset)
        };
        if self.recovery_point < self.log_end_offset {
            for (number, segment) in self.segments.iter().enumerate().rev() {
                let is_active = number + 1 == self.segments.len();
                if !is_listed(segment) && segment.size_bytes() > 0 {
                    files.extend(segment.files_to_sync(!is_active)?);
                }
                if segment.base_offset <= self.recovery_point {
                    break;
                }
            }
        }
        for offset in &self.snapshots.unsynced {
            let path = self.snapshots.path(*offset);
            let file = self.place.disk.open(&path, OpenMode::ReadWrite).at("opening", &path)?;
            files.push((path, file));
        }
        let has_news = self.folder_synced < self.folder_changes;
        let folder = has_news.then(|| (self.place.folder().to_path_buf(), Arc::clone(&self.place.disk)));
        let ticket = FlushTicket {
            up_to: self.log_end_offset,
            truncations: self.truncations,
            closed: self.unsynced_closed.iter().map(|segment| segment.base_offset).collect(),
            snapshots: self.snapshots.unsynced.clone(),
            folder_changes: self.folder_changes,
        };
        Ok(FlushPlan { files, folder, ticket })
    }

    /// Notes that a plan was carried out; whether it counts. One from before a truncation says nothing of what came
    /// after, and is ignored.
    pub fn flushed(&mut self, ticket: &FlushTicket) -> bool {
        if ticket.truncations != self.truncations {
            return false;
        }
        self.recovery_point = self.recovery_point.max(ticket.up_to);
        self.unsynced_closed.retain(|segment| !ticket.closed.contains(&segment.base_offset));
        self.snapshots.unsynced.retain(|offset| !ticket.snapshots.contains(offset));
        self.folder_synced = self.folder_synced.max(ticket.folder_changes);
        true
    }

    /// Plan, sync and note in one, for whoever may block.
    pub fn flush(&mut self) -> Result<(), StorageError> {
        let plan = self.flush_plan()?;
        let ticket = plan.run()?;
        self.flushed(&ticket);
        Ok(())
    }

    /// How many records are not durable yet; `flush.messages` bounds it.
    pub fn unflushed_records(&self) -> i64 {
        self.log_end_offset - self.recovery_point
    }

    /// Brings everything to the disk so that the next start needs no recovery: records, trimmed indexes, the
    /// producer snapshot at the log end (`UnifiedLog.close`). Only after this of every log may the directory's clean
    /// shutdown marker be written.
    pub fn close_clean(&mut self) -> Result<(), StorageError> {
        self.finish_cut()?;
        let active = Arc::clone(self.active());
        active.finish_time_index()?;
        active.trim_log()?;
        active.trim_indexes()?;
        self.snapshots.take(&self.producers, true)?;
        self.flush()?;
        for (path, file) in active.files_to_sync(true)? {
            file.sync().at("syncing", &path)?;
        }
        self.active_indexes_synced = true;
        self.write_epochs(&self.epochs)?;
        self.place.sync_folder()?;
        self.close_idle_files();
        Ok(())
    }
}
