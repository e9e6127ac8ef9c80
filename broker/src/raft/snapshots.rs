//! Snapshot files of the metadata log: their names and life on the disk, and their records.
//!
//! A snapshot is written to a `.part` file, synced and renamed, so that one with its final name is always whole
//! (`FileRawSnapshotWriter`, `RecordsSnapshotWriter`).

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use jackdaw_log::names::{self, SnapshotFileKind};
use jackdaw_log::{Disk, DiskFile, OpenMode};
use jackdaw_wire::OffsetAndEpoch;
use jackdaw_wire::batch::{BatchBuilder, batches};
use jackdaw_wire::control_record::{ControlRecord, SnapshotFooterRecord, SnapshotHeaderRecord};
use jackdaw_wire::metadata_record::MetadataRecord;
use jackdaw_wire::record_codec::RecordError;

use super::error::RaftError;

/// `KafkaRaftClient.MAX_BATCH_SIZE_BYTES`: the largest batch of the log and of snapshots.
pub(super) const MAX_BATCH_BYTES: usize = 8 << 20;
/// A batch of a snapshot is closed once it holds so much: no reader needs a larger buffer.
const SNAPSHOT_BATCH_BYTES: usize = 1 << 20;

/// The snapshots of one metadata log folder.
#[derive(Debug, Clone)]
pub(super) struct SnapshotFolder {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
}

/// What a snapshot says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SnapshotContent {
    pub last_contained_log_time_ms: i64,
    pub records: Vec<MetadataRecord>,
}

impl SnapshotFolder {
    pub fn new(disk: Arc<dyn Disk>, folder: &Path) -> Self {
        Self { disk, folder: folder.to_path_buf() }
    }

    fn path(&self, id: OffsetAndEpoch) -> PathBuf {
        self.folder.join(names::snapshot_file(id))
    }

    fn io(operation: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> RaftError {
        let path = path.to_path_buf();
        move |source| RaftError::Io { operation, path, source }
    }

    /// The whole snapshots at or above the log's start, with their sizes. Unfinished, doomed and older ones are
    /// removed, once it is certain that what is left can stand for what the log lacks.
    pub fn recover(&self, log_start: i64) -> Result<Vec<(OffsetAndEpoch, u64)>, RaftError> {
        let (mut kept, mut doomed) = (Vec::new(), Vec::new());
        for file in self.disk.list(&self.folder).map_err(Self::io("listing", &self.folder))? {
            match names::parse_snapshot_file(&file.name) {
                Some((id, SnapshotFileKind::Complete)) if id.offset >= log_start => {
                    kept.push((id, file.size_bytes))
                }
                Some(_) => doomed.push(self.folder.join(&file.name)),
                None => {}
            }
        }
        kept.sort_unstable();
        if log_start > 0 && kept.is_empty() {
            return Err(RaftError::InconsistentSnapshots { log_start, latest: None });
        }
        for path in doomed {
            self.disk.remove_file(&path).map_err(Self::io("removing", &path))?;
        }
        Ok(kept)
    }

    pub fn remove(&self, id: OffsetAndEpoch) -> Result<(), RaftError> {
        let path = self.path(id);
        match self.disk.remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Self::io("removing", &path)(error))
            }
            _ => Ok(()),
        }
    }

    /// `length` bytes from `position` on, or as many as there are.
    pub fn read(&self, id: OffsetAndEpoch, position: u64, length: usize) -> Result<Bytes, RaftError> {
        let path = self.path(id);
        let file = self.disk.open(&path, OpenMode::Read).map_err(Self::io("opening", &path))?;
        let available = file.len().map_err(Self::io("reading", &path))?.saturating_sub(position);
        let mut bytes = vec![0; length.min(usize::try_from(available).unwrap_or(usize::MAX))];
        let read = file.read_at(position, &mut bytes).map_err(Self::io("reading", &path))?;
        bytes.truncate(read);
        Ok(bytes.into())
    }

    /// Reads and decodes a whole snapshot.
    pub fn load(&self, id: OffsetAndEpoch) -> Result<SnapshotContent, RaftError> {
        let bytes = self.read(id, 0, usize::MAX)?;
        let mut content = SnapshotContent { last_contained_log_time_ms: 0, records: Vec::new() };
        let mut offset = 0;
        let mut scratch = Vec::new();
        for batch in batches(&bytes) {
            let undecodable = |reason: &dyn std::fmt::Display| RaftError::Undecodable {
                offset,
                reason: format!("in snapshot {id}: {reason}"),
            };
            let batch = batch.map_err(|error| undecodable(&error))?;
            batch.check_crc().map_err(|error| undecodable(&error))?;
            for record in batch.records(MAX_BATCH_BYTES, &mut scratch).map_err(|error| undecodable(&error))? {
                let record = record.map_err(|error| undecodable(&error))?;
                let value = record.value.unwrap_or_default();
                if batch.header.is_control() {
                    let control = ControlRecord::decode(record.key.unwrap_or_default(), value);
                    if let ControlRecord::SnapshotHeader(header) =
                        control.map_err(|error| undecodable(&error))?
                    {
                        content.last_contained_log_time_ms = header.last_contained_log_timestamp;
                    }
                } else {
                    let decoded = MetadataRecord::decode(Bytes::copy_from_slice(value));
                    content.records.push(decoded.map_err(|error| undecodable(&error))?);
                }
            }
            offset = batch.header.next_offset();
        }
        Ok(content)
    }

    /// Writes a whole snapshot; durable on return. Returns its size in bytes.
    pub fn write(&self, id: OffsetAndEpoch, batches: &[Bytes], unique: u64) -> Result<u64, RaftError> {
        let mut partial = self.begin(id, unique)?;
        for batch in batches {
            partial.append(batch)?;
        }
        partial.finish()
    }

    /// Begins a snapshot whose bytes come piece by piece.
    pub fn begin(&self, id: OffsetAndEpoch, unique: u64) -> Result<PartialSnapshot, RaftError> {
        let path = self.folder.join(names::partial_snapshot_file(id, unique));
        let file = self.disk.open(&path, OpenMode::Truncate).map_err(Self::io("creating", &path))?;
        Ok(PartialSnapshot { files: self.clone(), id, path, file, size_bytes: 0 })
    }
}

/// A snapshot on its way to the disk.
#[derive(Debug)]
pub(super) struct PartialSnapshot {
    files: SnapshotFolder,
    pub id: OffsetAndEpoch,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    pub size_bytes: u64,
}

impl PartialSnapshot {
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), RaftError> {
        let written = self.file.write_at(self.size_bytes, &mut [IoSlice::new(bytes)]);
        written.map_err(SnapshotFolder::io("writing", &self.path))?;
        self.size_bytes += bytes.len() as u64;
        Ok(())
    }

    /// Syncs it and gives it its name.
    pub fn finish(self) -> Result<u64, RaftError> {
        let (disk, to) = (&self.files.disk, self.files.path(self.id));
        self.file.sync().map_err(SnapshotFolder::io("syncing", &self.path))?;
        disk.rename(&self.path, &to).map_err(SnapshotFolder::io("renaming", &self.path))?;
        disk.sync_dir(&self.files.folder).map_err(SnapshotFolder::io("syncing", &self.files.folder))?;
        Ok(self.size_bytes)
    }
}

/// The batches of a snapshot: header, records, footer, with offsets from 0 on and all of the snapshot's epoch.
/// `values` are encoded records.
///
/// # Errors
/// As encoding control records has them: none in practice.
pub(super) fn snapshot_batches(
    id: OffsetAndEpoch,
    last_contained_log_time_ms: i64,
    now_ms: i64,
    values: &[Bytes],
) -> Result<Vec<Bytes>, RecordError> {
    let header = SnapshotHeaderRecord {
        last_contained_log_timestamp: last_contained_log_time_ms,
        ..SnapshotHeaderRecord::default()
    };
    let mut out = vec![ControlRecord::SnapshotHeader(header).to_batch(0, id.epoch, now_ms)?];
    let mut builder = BatchBuilder::new(1, id.epoch);
    for value in values {
        if builder.size_bytes() >= SNAPSHOT_BATCH_BYTES {
            let next = builder.next_offset();
            out.push(std::mem::replace(&mut builder, BatchBuilder::new(next, id.epoch)).build());
        }
        builder.append(now_ms, None, Some(value));
    }
    let next = builder.next_offset();
    if !builder.is_empty() {
        out.push(builder.build());
    }
    let footer = ControlRecord::SnapshotFooter(SnapshotFooterRecord::default());
    out.push(footer.to_batch(next, id.epoch, now_ms)?);
    Ok(out)
}
