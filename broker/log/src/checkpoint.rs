//! Kafka's small text checkpoints: a version, a count, and one entry per line (`CheckpointFile`).
//!
//! Always replaced in one step; a reader sees the old contents or the new.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;

use jackdaw_wire::types::TopicPartition;

use crate::disk::{Disk, read_file, replace_file};
use crate::error::{AtPath, StorageError};

const VERSION: &str = "0";

/// One entry: some words on a line.
pub(crate) trait Line: Sized {
    fn write(&self, line: &mut String);
    fn parse(line: &str) -> Option<Self>;
}

/// Where a leader epoch begins (`EpochEntry`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochEntry {
    pub epoch: i32,
    pub start_offset: i64,
}

impl Line for EpochEntry {
    fn write(&self, line: &mut String) {
        // Writing to a String cannot fail.
        let _ = write!(line, "{} {}", self.epoch, self.start_offset);
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let entry = Self { epoch: words.next()?.parse().ok()?, start_offset: words.next()?.parse().ok()? };
        words.next().is_none().then_some(entry)
    }
}

struct PartitionOffset(TopicPartition, i64);

impl Line for PartitionOffset {
    fn write(&self, line: &mut String) {
        let _ = write!(line, "{} {} {}", self.0.topic, self.0.partition, self.1);
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let topic = words.next()?;
        let partition = words.next()?.parse().ok()?;
        let offset = words.next()?.parse().ok()?;
        words.next().is_none().then(|| Self(TopicPartition::new(topic, partition), offset))
    }
}

/// Empty when there is no file, or one without a count (a JVM creates it empty before its first write).
pub(crate) fn read<T: Line>(disk: &dyn Disk, path: &Path) -> Result<Vec<T>, StorageError> {
    const OPERATION: &str = "reading the checkpoint";
    let Some(contents) = read_file(disk, path).at(OPERATION, path)? else { return Ok(Vec::new()) };
    let text = String::from_utf8_lossy(&contents);
    let malformed = |line: &str| {
        let why = format!("Malformed line in checkpoint file [{}]: {line}", path.display());
        StorageError::invalid(OPERATION, path, why)
    };
    let mut lines = text.lines();
    match lines.next() {
        None => return Ok(Vec::new()),
        Some(VERSION) => {}
        Some(other) => {
            let why = format!("Unrecognised version:{other}, expected version: {VERSION}");
            return Err(StorageError::invalid(OPERATION, path, why));
        }
    }
    let Some(count) = lines.next() else { return Ok(Vec::new()) };
    let count: usize = count.parse().map_err(|_| malformed(count))?;
    let entries =
        lines.map(|line| T::parse(line).ok_or_else(|| malformed(line))).collect::<Result<Vec<_>, _>>()?;
    if entries.len() != count {
        let why =
            format!("Expected [{count}] entries in checkpoint file, but found only [{}]", entries.len());
        return Err(StorageError::invalid(OPERATION, path, why));
    }
    Ok(entries)
}

/// Replaces the file; durable on return.
pub(crate) fn write<'a, T: Line + 'a>(
    disk: &dyn Disk,
    path: &Path,
    entries: impl ExactSizeIterator<Item = &'a T>,
) -> Result<(), StorageError> {
    let mut text = format!("{VERSION}\n{}\n", entries.len());
    for entry in entries {
        entry.write(&mut text);
        text.push('\n');
    }
    replace_file(disk, path, text.as_bytes()).at("writing the checkpoint", path)
}

/// An offset per partition, for a whole log directory (`OffsetCheckpointFile`). Partitions of one name are one
/// entry; the last wins.
pub(crate) fn read_offsets(
    disk: &dyn Disk,
    path: &Path,
) -> Result<HashMap<TopicPartition, i64>, StorageError> {
    Ok(read::<PartitionOffset>(disk, path)?.into_iter().map(|entry| (entry.0, entry.1)).collect())
}

/// Fsynced, the folder too.
pub(crate) fn write_offsets<'a>(
    disk: &dyn Disk,
    path: &Path,
    offsets: impl IntoIterator<Item = (&'a TopicPartition, i64)>,
) -> Result<(), StorageError> {
    let entries: Vec<_> =
        offsets.into_iter().map(|(partition, offset)| PartitionOffset(partition.clone(), offset)).collect();
    write(disk, path, entries.iter())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;

    #[test]
    fn contents_are_kafkas_and_damage_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("recovery-point-offset-checkpoint");
        assert_eq!(read_offsets(&RealDisk, &path).unwrap().len(), 0, "no file");
        let partition = TopicPartition::new("orders", 3);
        write_offsets(&RealDisk, &path, [(&partition, 42)]).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "0\n1\norders 3 42\n");
        assert_eq!(read_offsets(&RealDisk, &path).unwrap(), HashMap::from([(partition, 42)]));
        for (contents, complaint) in [
            ("", None),
            ("0\n", None),
            ("1\n0\n", Some("Unrecognised version")),
            ("0\nx\n", Some("Malformed line")),
            ("0\n1\n", Some("Expected [1] entries")),
            ("0\n1\norders 3\n", Some("Malformed line")),
            ("0\n1\norders 3 4 5\n", Some("Malformed line")),
        ] {
            std::fs::write(&path, contents).unwrap();
            let told = read_offsets(&RealDisk, &path).err().map(|error| error.to_string());
            match complaint {
                None => assert_eq!(told, None, "{contents:?}"),
                Some(words) => {
                    assert!(told.as_ref().is_some_and(|told| told.contains(words)), "{contents:?}: {told:?}")
                }
            }
        }
    }
}
