//! The entries of `.index`, `.timeindex` and `.txnindex`, and how they are searched.
//!
//! Our index files have their true size. A JVM that was killed leaves them at full size with a tail of zeros, so
//! the end of a file is found by its contents.

use std::path::Path;

use crate::disk::DiskFile;
use crate::error::{AtPath, StorageError};

/// An entry of fixed size.
pub(crate) trait Entry: Copy {
    const BYTES: usize;
    fn encode(&self, bytes: &mut Vec<u8>);
    fn decode(bytes: &[u8]) -> Self;
    /// What the zeros behind a JVM's last entry decode to.
    fn is_blank(&self) -> bool;
}

/// `.index`: the last offset of a batch, relative to the segment's base, and where that batch starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OffsetEntry {
    pub relative_offset: u32,
    pub position: u32,
}

/// `.timeindex`: the largest timestamp so far, and the last offset of the batch that has it, relative to the base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimeEntry {
    pub timestamp_ms: i64,
    pub relative_offset: u32,
}

/// `.txnindex`: an aborted transaction (`AbortedTxn`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbortedTxn {
    pub producer_id: i64,
    pub first_offset: i64,
    /// That of its end marker.
    pub last_offset: i64,
    /// The last stable offset after it ended.
    pub last_stable_offset: i64,
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    i64::from_be_bytes(word)
}

impl Entry for OffsetEntry {
    const BYTES: usize = 8;

    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.relative_offset.to_be_bytes());
        bytes.extend(self.position.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> Self {
        Self { relative_offset: u32_at(bytes, 0), position: u32_at(bytes, 4) }
    }

    /// The batch at position 0 is never indexed.
    fn is_blank(&self) -> bool {
        self.position == 0
    }
}

impl Entry for TimeEntry {
    const BYTES: usize = 12;

    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.timestamp_ms.to_be_bytes());
        bytes.extend(self.relative_offset.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> Self {
        Self { timestamp_ms: i64_at(bytes, 0), relative_offset: u32_at(bytes, 8) }
    }

    fn is_blank(&self) -> bool {
        self.timestamp_ms == 0 && self.relative_offset == 0
    }
}

impl Entry for AbortedTxn {
    const BYTES: usize = 34;

    fn encode(&self, bytes: &mut Vec<u8>) {
        const VERSION: i16 = 0;
        bytes.extend(VERSION.to_be_bytes());
        for field in [self.producer_id, self.first_offset, self.last_offset, self.last_stable_offset] {
            bytes.extend(field.to_be_bytes());
        }
    }

    fn decode(bytes: &[u8]) -> Self {
        Self {
            producer_id: i64_at(bytes, 2),
            first_offset: i64_at(bytes, 10),
            last_offset: i64_at(bytes, 18),
            last_stable_offset: i64_at(bytes, 26),
        }
    }

    fn is_blank(&self) -> bool {
        false
    }
}

/// Largest entry there is; all are read through a buffer of this size.
const ENTRY_BUFFER: usize = 64;

/// One entry; `None` where the file does not reach (a writer may have cut it meanwhile).
pub(crate) fn read_entry<E: Entry>(
    file: &dyn DiskFile,
    path: &Path,
    number: u32,
) -> Result<Option<E>, StorageError> {
    let mut buffer = [0; ENTRY_BUFFER];
    let bytes = &mut buffer[..E::BYTES];
    let read = file.read_at(u64::from(number) * E::BYTES as u64, bytes).at("reading", path)?;
    Ok((read == E::BYTES).then(|| E::decode(bytes)))
}

/// How many entries the file holds, the zero tail of a JVM's file not counted.
pub(crate) fn count_entries<E: Entry>(file: &dyn DiskFile, path: &Path) -> Result<u32, StorageError> {
    let size = file.len().at("measuring", path)?;
    let whole = (size / E::BYTES as u64) as u32;
    match whole.checked_sub(1) {
        None => return Ok(0),
        Some(last) => match read_entry::<E>(file, path, last)? {
            Some(entry) if !entry.is_blank() => return Ok(whole),
            _ => {}
        },
    }
    // The blank entries are a tail: entries in use grow and never look blank behind the first.
    let found = find_last::<E>(file, path, whole, |entry| !entry.is_blank())?;
    Ok(found.map_or(0, |(number, _)| number + 1))
}

/// The last of the first `count` entries that `holds` for; it has to hold for a beginning of them and for nothing
/// after.
pub(crate) fn find_last<E: Entry>(
    file: &dyn DiskFile,
    path: &Path,
    count: u32,
    holds: impl Fn(&E) -> bool,
) -> Result<Option<(u32, E)>, StorageError> {
    let (mut low, mut high) = (0, count);
    let mut found = None;
    while low < high {
        let middle = low + (high - low) / 2;
        match read_entry::<E>(file, path, middle)? {
            Some(entry) if holds(&entry) => {
                found = Some((middle, entry));
                low = middle + 1;
            }
            _ => high = middle,
        }
    }
    Ok(found)
}

/// All entries of a whole file, as `.txnindex` is read.
pub(crate) fn read_all<E: Entry>(file: &dyn DiskFile, path: &Path) -> Result<Vec<E>, StorageError> {
    let size = file.len().at("measuring", path)? as usize;
    let mut bytes = vec![0; size - size % E::BYTES];
    let read = file.read_at(0, &mut bytes).at("reading", path)?;
    Ok(bytes[..read].chunks_exact(E::BYTES).map(E::decode).collect())
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;

    use super::*;
    use crate::disk::{Disk, OpenMode, RealDisk};

    #[test]
    fn the_end_of_a_zero_tailed_index_is_found_by_its_contents() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("00000000000000000000.index");
        for count in [0u32, 1, 2, 7, 1000] {
            let file = RealDisk.open(&path, OpenMode::Truncate).unwrap();
            let mut bytes = Vec::new();
            for number in 0..count {
                OffsetEntry { relative_offset: number * 3, position: (number + 1) * 100 }.encode(&mut bytes);
            }
            file.write_at(0, &mut [IoSlice::new(&bytes)]).unwrap();
            for size in [bytes.len() as u64, 10_485_760] {
                file.set_len(size).unwrap();
                assert_eq!(count_entries::<OffsetEntry>(&*file, &path).unwrap(), count, "{size} bytes");
            }
            let found =
                find_last::<OffsetEntry>(&*file, &path, count, |entry| entry.relative_offset <= 10).unwrap();
            let expected = count.min(4).checked_sub(1);
            assert_eq!(found.map(|(number, _)| number), expected, "{count} entries");
        }
    }

    #[test]
    fn entries_are_as_long_as_kafkas() {
        let txn = AbortedTxn { producer_id: 1, first_offset: 2, last_offset: 3, last_stable_offset: 4 };
        let time = TimeEntry { timestamp_ms: 5, relative_offset: 6 };
        let mut bytes = Vec::new();
        txn.encode(&mut bytes);
        assert_eq!((bytes.len(), AbortedTxn::decode(&bytes)), (34, txn));
        bytes.clear();
        time.encode(&mut bytes);
        assert_eq!((bytes.len(), TimeEntry::decode(&bytes)), (12, time));
    }
}
