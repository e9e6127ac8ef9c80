//! One segment: a `.log` file with its indexes. The writer and the readers share it; what changes lies behind a
//! lock that is never held across I/O, so that a reader waits for nobody's disk.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::batch::{BatchMeta, FoundBatch, HeaderWalk};
use crate::disk::{DiskFile, remove_if_exists};
use crate::error::{AtPath, StorageError};
use crate::index::{self, AbortedTxn, Entry, OffsetEntry, TimeEntry};
use crate::names;
use crate::place::{LazyFile, Place, locked};

/// A timestamp and the offset that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimestampOffset {
    pub timestamp_ms: i64,
    pub offset: i64,
}

/// An open file and where it lies.
pub(crate) type OpenFile = (PathBuf, Arc<dyn DiskFile>);

/// Positions of this many last batches are remembered: whoever reads the tail finds his place without the index.
const RECENT_BATCHES: usize = 32;
const NO_TIMESTAMP: i64 = -1;

#[derive(Debug)]
struct State {
    /// Of the log file, as far as it is written.
    size_bytes: u64,
    /// `None` until the index was looked into.
    offset_entries: Option<u32>,
    time_entries: Option<u32>,
    last_time_entry: Option<TimestampOffset>,
    /// `None` until it was looked up.
    max_timestamp: Option<TimestampOffset>,
    /// Last offsets and positions of the last batches, without a hole, up to the end.
    recent: VecDeque<(i64, u64)>,
    modified_ms: i64,
    /// What the transaction index held before another segment took its name.
    pinned_aborted: Option<Arc<Vec<AbortedTxn>>>,
}

#[derive(Debug)]
pub(crate) struct Segment {
    place: Arc<Place>,
    pub base_offset: i64,
    log: LazyFile,
    offset_index: LazyFile,
    time_index: LazyFile,
    state: Mutex<State>,
}

/// What only the writer knows of the segment it appends to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tail {
    /// When the file was begun, for rolling a segment whose records have no timestamps.
    pub created_ms: i64,
    /// The largest timestamp of the first batch (`rollingBasedTimestamp`).
    pub first_timestamp_ms: Option<i64>,
    pub bytes_since_index_entry: u64,
}

impl Segment {
    /// A segment that lies on the disk.
    pub fn existing(place: Arc<Place>, base_offset: i64, size_bytes: u64, modified_ms: i64) -> Self {
        let state = State {
            size_bytes,
            offset_entries: None,
            time_entries: None,
            last_time_entry: None,
            max_timestamp: None,
            recent: VecDeque::new(),
            modified_ms,
            pinned_aborted: None,
        };
        Self {
            place,
            base_offset,
            log: LazyFile::default(),
            offset_index: LazyFile::default(),
            time_index: LazyFile::default(),
            state: Mutex::new(state),
        }
    }

    /// What a listing says of the index files: what is empty need not be opened to be known. Whether they consist of
    /// whole entries.
    pub fn listed_indexes(&self, offset_index_bytes: u64, time_index_bytes: u64) -> bool {
        let mut state = locked(&self.state);
        if offset_index_bytes == 0 {
            state.offset_entries = Some(0);
        }
        if time_index_bytes == 0 {
            state.time_entries = Some(0);
        }
        offset_index_bytes.is_multiple_of(OffsetEntry::BYTES as u64)
            && time_index_bytes.is_multiple_of(TimeEntry::BYTES as u64)
    }

    /// Neither records nor index entries, by what the listing said.
    pub fn is_known_empty(&self) -> bool {
        let state = locked(&self.state);
        state.size_bytes == 0 && state.offset_entries == Some(0) && state.time_entries == Some(0)
    }

    /// Makes an empty segment; leftovers of the same name go.
    pub fn create(
        place: Arc<Place>,
        base_offset: i64,
        preallocate_bytes: u64,
        now_ms: i64,
    ) -> Result<Self, StorageError> {
        for suffix in names::SEGMENT_SUFFIXES {
            let path = place.path(&names::segment_file(base_offset, suffix));
            if remove_if_exists(&*place.disk, &path).at("removing", &path)? {
                tracing::warn!(
                    "Newly rolled segment file {} already exists; deleting it first",
                    path.display()
                );
            }
        }
        let segment = Self::existing(place, base_offset, 0, now_ms);
        if let Err(error) = segment.create_files(preallocate_bytes) {
            segment.remove_created();
            return Err(error);
        }
        {
            let mut state = locked(&segment.state);
            state.offset_entries = Some(0);
            state.time_entries = Some(0);
            state.max_timestamp = Some(TimestampOffset { timestamp_ms: NO_TIMESTAMP, offset: base_offset });
            state.last_time_entry = state.max_timestamp;
        }
        Ok(segment)
    }

    fn create_files(&self, preallocate_bytes: u64) -> Result<(), StorageError> {
        let log = self.log.create(&self.place, &self.name(names::LOG_SUFFIX))?;
        if preallocate_bytes > 0 {
            let path = self.path(names::LOG_SUFFIX);
            log.set_len(preallocate_bytes).at("preallocating", &path)?;
        }
        self.offset_index.create(&self.place, &self.name(names::OFFSET_INDEX_SUFFIX))?;
        self.time_index.create(&self.place, &self.name(names::TIME_INDEX_SUFFIX))?;
        Ok(())
    }

    /// Takes back what [`Segment::create`] made, as far as it goes. An empty segment that the log does not know of would
    /// lie in the middle of the one before, and be taken for the log's end after a clean stop.
    pub fn remove_created(&self) {
        for suffix in names::SEGMENT_SUFFIXES {
            let path = self.path(suffix);
            if let Err(error) = remove_if_exists(&*self.place.disk, &path) {
                tracing::warn!("{} cannot be taken back: {error}", path.display());
            }
        }
    }

    fn name(&self, suffix: &str) -> String {
        names::segment_file(self.base_offset, suffix)
    }

    pub fn path(&self, suffix: &str) -> PathBuf {
        self.place.path(&self.name(suffix))
    }

    pub fn log_file(&self) -> Result<Arc<dyn DiskFile>, StorageError> {
        self.log.open(&self.place, &self.name(names::LOG_SUFFIX))
    }

    fn offset_index_file(&self) -> Result<Arc<dyn DiskFile>, StorageError> {
        // An index may be missing; then it starts empty, and lookups scan.
        self.offset_index.create(&self.place, &self.name(names::OFFSET_INDEX_SUFFIX))
    }

    fn time_index_file(&self) -> Result<Arc<dyn DiskFile>, StorageError> {
        self.time_index.create(&self.place, &self.name(names::TIME_INDEX_SUFFIX))
    }

    /// Closes the files; they open again when they are needed.
    pub fn close_files(&self) {
        self.log.close();
        self.offset_index.close();
        self.time_index.close();
    }

    pub fn size_bytes(&self) -> u64 {
        locked(&self.state).size_bytes
    }

    fn relative(&self, offset: i64) -> u32 {
        (offset - self.base_offset) as u32
    }

    /// Whether an index can hold this offset: relative offsets are Java's non-negative ints.
    pub fn takes_offset(&self, offset: i64) -> bool {
        (0..=i64::from(i32::MAX)).contains(&(offset - self.base_offset))
    }

    pub fn offset_entries(&self) -> Result<u32, StorageError> {
        if let Some(count) = locked(&self.state).offset_entries {
            return Ok(count);
        }
        let path = self.path(names::OFFSET_INDEX_SUFFIX);
        let count = index::count_entries::<OffsetEntry>(&*self.offset_index_file()?, &path)?;
        Ok(*locked(&self.state).offset_entries.get_or_insert(count))
    }

    pub fn time_entries(&self) -> Result<u32, StorageError> {
        if let Some(count) = locked(&self.state).time_entries {
            return Ok(count);
        }
        let path = self.path(names::TIME_INDEX_SUFFIX);
        let count = index::count_entries::<TimeEntry>(&*self.time_index_file()?, &path)?;
        Ok(*locked(&self.state).time_entries.get_or_insert(count))
    }

    /// Cuts a JVM's zero tails off. Only the writer may, and only before it appends entries.
    pub fn trim_indexes(&self) -> Result<(), StorageError> {
        let offsets = u64::from(self.offset_entries()?) * OffsetEntry::BYTES as u64;
        let times = u64::from(self.time_entries()?) * TimeEntry::BYTES as u64;
        // What counts as empty by its listing is empty.
        if offsets > 0 || self.offset_index.is_open() {
            self.trim(&self.offset_index_file()?, names::OFFSET_INDEX_SUFFIX, offsets)?;
        }
        if times > 0 || self.time_index.is_open() {
            self.trim(&self.time_index_file()?, names::TIME_INDEX_SUFFIX, times)?;
        }
        Ok(())
    }

    fn trim(&self, file: &Arc<dyn DiskFile>, suffix: &str, size_bytes: u64) -> Result<(), StorageError> {
        let path = self.path(suffix);
        if file.len().at("measuring", &path)? != size_bytes {
            file.set_len(size_bytes).at("trimming", &path)?;
        }
        Ok(())
    }

    /// Cuts what a preallocated file has behind the records.
    pub fn trim_log(&self) -> Result<(), StorageError> {
        let path = self.path(names::LOG_SUFFIX);
        let file = self.log_file()?;
        let size = self.size_bytes();
        if file.len().at("measuring", &path)? > size {
            file.set_len(size).at("trimming", &path)?;
        }
        Ok(())
    }

    fn last_time_entry(&self) -> Result<TimestampOffset, StorageError> {
        if let Some(entry) = locked(&self.state).last_time_entry {
            return Ok(entry);
        }
        let count = self.time_entries()?;
        let path = self.path(names::TIME_INDEX_SUFFIX);
        let entry = match count.checked_sub(1) {
            Some(last) => index::read_entry::<TimeEntry>(&*self.time_index_file()?, &path, last)?,
            None => None,
        };
        let entry =
            entry.map_or(TimestampOffset { timestamp_ms: NO_TIMESTAMP, offset: self.base_offset }, |entry| {
                TimestampOffset {
                    timestamp_ms: entry.timestamp_ms,
                    offset: self.base_offset + i64::from(entry.relative_offset),
                }
            });
        Ok(*locked(&self.state).last_time_entry.get_or_insert(entry))
    }

    /// The largest timestamp here and the last offset of its batch; (-1, base) when there is none
    /// (`readMaxTimestampAndOffsetSoFar`).
    pub fn max_timestamp(&self) -> Result<TimestampOffset, StorageError> {
        if let Some(known) = locked(&self.state).max_timestamp {
            return Ok(known);
        }
        let last = self.last_time_entry()?;
        Ok(*locked(&self.state).max_timestamp.get_or_insert(last))
    }

    /// The largest timestamp, or when the file was last written where records have none (`largestTimestamp`).
    pub fn largest_timestamp_ms(&self) -> Result<i64, StorageError> {
        let max = self.max_timestamp()?.timestamp_ms;
        Ok(if max >= 0 { max } else { locked(&self.state).modified_ms })
    }

    pub fn modified_ms(&self) -> i64 {
        locked(&self.state).modified_ms
    }

    /// Appends `parts`, which are the batches of `run`, and keeps the indexes.
    pub fn append(
        &self,
        tail: &mut Tail,
        run: &[BatchMeta],
        parts: &mut [IoSlice<'_>],
        index_interval_bytes: u64,
        now_ms: i64,
    ) -> Result<(), StorageError> {
        let mut max = self.max_timestamp()?;
        let mut last_time = self.last_time_entry()?;
        let (offset_entries, time_entries) = (self.offset_entries()?, self.time_entries()?);
        let begins_at = self.size_bytes();
        let mut position = begins_at;
        let mut new_tail = *tail;
        if position == 0 {
            new_tail.first_timestamp_ms = run.first().map(|meta| meta.max_timestamp_ms);
        }
        let (mut new_offsets, mut new_times) = (Vec::new(), Vec::new());
        let mut recent = Vec::with_capacity(run.len());
        for meta in run {
            if meta.max_timestamp_ms > max.timestamp_ms {
                max = TimestampOffset { timestamp_ms: meta.max_timestamp_ms, offset: meta.last_offset };
            }
            if new_tail.bytes_since_index_entry > index_interval_bytes {
                let entry = OffsetEntry {
                    relative_offset: self.relative(meta.last_offset),
                    position: position as u32,
                };
                entry.encode(&mut new_offsets);
                if max.timestamp_ms > last_time.timestamp_ms {
                    self.time_entry(max).encode(&mut new_times);
                    last_time = max;
                }
                new_tail.bytes_since_index_entry = 0;
            }
            new_tail.bytes_since_index_entry += meta.size_bytes as u64;
            recent.push((meta.last_offset, position));
            position += meta.size_bytes as u64;
        }
        // All of them are open before anything is written: there may be no descriptor.
        let offset_index = (!new_offsets.is_empty()).then(|| self.offset_index_file()).transpose()?;
        let time_index = (!new_times.is_empty()).then(|| self.time_index_file()).transpose()?;
        let path = self.path(names::LOG_SUFFIX);
        self.log_file()?.write_at(begins_at, parts).at("appending", &path)?;
        if let Some(file) = offset_index {
            self.write_entries::<OffsetEntry>(
                &file,
                names::OFFSET_INDEX_SUFFIX,
                offset_entries,
                &new_offsets,
            )?;
        }
        if let Some(file) = time_index {
            self.write_entries::<TimeEntry>(&file, names::TIME_INDEX_SUFFIX, time_entries, &new_times)?;
        }
        *tail = new_tail;
        let mut state = locked(&self.state);
        state.size_bytes = position;
        state.offset_entries = Some(offset_entries + (new_offsets.len() / OffsetEntry::BYTES) as u32);
        state.time_entries = Some(time_entries + (new_times.len() / TimeEntry::BYTES) as u32);
        state.last_time_entry = Some(last_time);
        state.max_timestamp = Some(max);
        state.modified_ms = now_ms;
        for batch in recent {
            if state.recent.len() == RECENT_BATCHES {
                state.recent.pop_front();
            }
            state.recent.push_back(batch);
        }
        Ok(())
    }

    fn time_entry(&self, at: TimestampOffset) -> TimeEntry {
        TimeEntry { timestamp_ms: at.timestamp_ms, relative_offset: self.relative(at.offset) }
    }

    fn write_entries<E: Entry>(
        &self,
        file: &Arc<dyn DiskFile>,
        suffix: &str,
        behind: u32,
        bytes: &[u8],
    ) -> Result<(), StorageError> {
        if bytes.is_empty() {
            return Ok(());
        }
        let position = u64::from(behind) * E::BYTES as u64;
        file.write_at(position, &mut [IoSlice::new(bytes)]).at("appending", &self.path(suffix))
    }

    /// Notes the largest timestamp at the end of the time index, as is done when a segment is closed
    /// (`onBecomeInactiveSegment`).
    pub fn finish_time_index(&self) -> Result<(), StorageError> {
        let (max, last) = (self.max_timestamp()?, self.last_time_entry()?);
        if max.timestamp_ms <= last.timestamp_ms {
            return Ok(());
        }
        let count = self.time_entries()?;
        let mut bytes = Vec::with_capacity(TimeEntry::BYTES);
        self.time_entry(max).encode(&mut bytes);
        self.write_entries::<TimeEntry>(&self.time_index_file()?, names::TIME_INDEX_SUFFIX, count, &bytes)?;
        let mut state = locked(&self.state);
        state.time_entries = Some(count + 1);
        state.last_time_entry = Some(max);
        Ok(())
    }

    /// Makes sure, before another segment gets records, that a power cut which takes the end of this one is noticed:
    /// its last batch has an entry in the index, and the index is durable. That is a small file where the records may
    /// be many; they are synced themselves only where no entry can be made.
    pub fn vouch_for_end(&self, max_index_entries: u32) -> Result<(), StorageError> {
        let last_batch = locked(&self.state).recent.back().copied();
        let count = self.offset_entries()?;
        // The batch at position 0 is never indexed.
        let indexable = last_batch.filter(|(_, position)| *position > 0 && count < max_index_entries);
        let Some((last_offset, position)) = indexable else {
            let path = self.path(names::LOG_SUFFIX);
            return self.log_file()?.sync().at("syncing", &path);
        };
        let path = self.path(names::OFFSET_INDEX_SUFFIX);
        let file = self.offset_index_file()?;
        let last_entry = match count.checked_sub(1) {
            Some(last) => index::read_entry::<OffsetEntry>(&*file, &path, last)?,
            None => None,
        };
        let position = position as u32;
        if last_entry.is_none_or(|entry| entry.position < position) {
            let mut bytes = Vec::with_capacity(OffsetEntry::BYTES);
            OffsetEntry { relative_offset: self.relative(last_offset), position }.encode(&mut bytes);
            self.write_entries::<OffsetEntry>(&file, names::OFFSET_INDEX_SUFFIX, count, &bytes)?;
            locked(&self.state).offset_entries = Some(count + 1);
        }
        file.sync().at("syncing", &path)
    }

    /// Whether the index knows a batch that the file does not have: one behind its end, and before the next segment.
    pub fn lost_its_end(&self, next_base_offset: i64) -> Result<bool, StorageError> {
        let Some(last) = self.offset_entries()?.checked_sub(1) else { return Ok(false) };
        let path = self.path(names::OFFSET_INDEX_SUFFIX);
        let last = index::read_entry::<OffsetEntry>(&*self.offset_index_file()?, &path, last)?;
        let Some(entry) = last else { return Ok(false) };
        let (end, whole_bytes) = self.next_offset()?;
        let offset = self.base_offset + i64::from(entry.relative_offset);
        Ok(u64::from(entry.position) >= whole_bytes && (end..next_base_offset).contains(&offset))
    }

    /// Replaces log size, indexes and books after a recovery scan.
    pub fn rebuilt(
        &self,
        size_bytes: u64,
        offsets: &[OffsetEntry],
        times: &[TimeEntry],
        max: TimestampOffset,
    ) -> Result<(), StorageError> {
        self.rewrite(&self.offset_index_file()?, names::OFFSET_INDEX_SUFFIX, offsets)?;
        self.rewrite(&self.time_index_file()?, names::TIME_INDEX_SUFFIX, times)?;
        let last_time_entry = times.last().map_or(
            TimestampOffset { timestamp_ms: NO_TIMESTAMP, offset: self.base_offset },
            |entry| TimestampOffset {
                timestamp_ms: entry.timestamp_ms,
                offset: self.base_offset + i64::from(entry.relative_offset),
            },
        );
        let mut state = locked(&self.state);
        state.size_bytes = size_bytes;
        state.offset_entries = Some(offsets.len() as u32);
        state.time_entries = Some(times.len() as u32);
        state.last_time_entry = Some(last_time_entry);
        state.max_timestamp = Some(max);
        state.recent.clear();
        Ok(())
    }

    fn rewrite<E: Entry>(
        &self,
        file: &Arc<dyn DiskFile>,
        suffix: &str,
        entries: &[E],
    ) -> Result<(), StorageError> {
        let mut bytes = Vec::with_capacity(entries.len() * E::BYTES);
        for entry in entries {
            entry.encode(&mut bytes);
        }
        let path = self.path(suffix);
        file.set_len(0).at("emptying", &path)?;
        file.write_at(0, &mut [IoSlice::new(&bytes)]).at("writing", &path)
    }

    /// The first batch whose last offset is at or after `offset`, if there is one before `end` bytes
    /// (`translateOffset`).
    pub fn find(&self, offset: i64, end: u64) -> Result<Option<FoundBatch>, StorageError> {
        let path = self.path(names::LOG_SUFFIX);
        let file = self.log_file()?;
        let start = match self.recent_position(offset) {
            Recent::At(position) => position,
            Recent::AfterAll => return Ok(None),
            Recent::Unknown => self.indexed_position(&*file, offset)?,
        };
        let mut walk = HeaderWalk::new(&*file, &path, start, end);
        while let Some(Ok(found)) = walk.next()? {
            if found.meta.last_offset >= offset {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn recent_position(&self, offset: i64) -> Recent {
        let state = locked(&self.state);
        let Some((first_last_offset, first_position)) = state.recent.front().copied() else {
            return Recent::Unknown;
        };
        if offset <= first_last_offset && first_position > 0 {
            return Recent::Unknown;
        }
        let number = state.recent.partition_point(|(last_offset, _)| *last_offset < offset);
        state.recent.get(number).map_or(Recent::AfterAll, |(_, position)| Recent::At(*position))
    }

    /// Where to start looking for `offset`, by the index. An entry that points at no batch is not believed.
    fn indexed_position(&self, file: &dyn DiskFile, offset: i64) -> Result<u64, StorageError> {
        let Some(entry) = self.find_offset_entry(offset)? else { return Ok(0) };
        let position = u64::from(entry.position);
        let path = self.path(names::LOG_SUFFIX);
        match HeaderWalk::new(file, &path, position, self.size_bytes()).next()? {
            Some(Ok(found)) if (self.base_offset..=offset).contains(&found.meta.base_offset) => Ok(position),
            _ => {
                tracing::warn!("Index entry for offset {offset} of {} points at no batch", path.display());
                Ok(0)
            }
        }
    }

    fn find_offset_entry(&self, offset: i64) -> Result<Option<OffsetEntry>, StorageError> {
        let count = self.offset_entries()?;
        let path = self.path(names::OFFSET_INDEX_SUFFIX);
        let is_before = |entry: &OffsetEntry| self.base_offset + i64::from(entry.relative_offset) <= offset;
        Ok(index::find_last(&*self.offset_index_file()?, &path, count, is_before)?.map(|(_, entry)| entry))
    }

    /// The offset of the first index entry at or behind a position, if there is one.
    pub fn indexed_offset_at(&self, position: u64) -> Result<Option<i64>, StorageError> {
        let count = self.offset_entries()?;
        if count == 0 {
            return Ok(None);
        }
        let path = self.path(names::OFFSET_INDEX_SUFFIX);
        let file = self.offset_index_file()?;
        let is_before = |entry: &OffsetEntry| u64::from(entry.position) < position;
        let next = index::find_last(&*file, &path, count, is_before)?.map_or(0, |(number, _)| number + 1);
        if next >= count {
            return Ok(None);
        }
        let entry = index::read_entry::<OffsetEntry>(&*file, &path, next)?;
        Ok(entry.map(|entry| self.base_offset + i64::from(entry.relative_offset)))
    }

    /// The offset after which records may have a timestamp at or after `timestamp_ms`, by the time index.
    pub fn offset_by_time(&self, timestamp_ms: i64) -> Result<i64, StorageError> {
        let count = self.time_entries()?;
        let path = self.path(names::TIME_INDEX_SUFFIX);
        let is_before = |entry: &TimeEntry| entry.timestamp_ms <= timestamp_ms;
        let found = index::find_last(&*self.time_index_file()?, &path, count, is_before)?;
        Ok(found.map_or(self.base_offset, |(_, entry)| self.base_offset + i64::from(entry.relative_offset)))
    }

    /// Where to look for `offset`: at a batch before it, or at the start.
    pub fn position_before(&self, offset: i64) -> Result<u64, StorageError> {
        self.indexed_position(&*self.log_file()?, offset)
    }

    /// The offset behind the last batch, and where the whole batches end, walking from the last index entry on
    /// (`readNextOffset`). An end before the file's end means damage.
    pub fn next_offset(&self) -> Result<(i64, u64), StorageError> {
        let size = self.size_bytes();
        if size == 0 {
            return Ok((self.base_offset, 0));
        }
        let file = self.log_file()?;
        let path = self.path(names::LOG_SUFFIX);
        let from = self.indexed_position(&*file, i64::MAX)?;
        let mut walk = HeaderWalk::new(&*file, &path, from, size);
        let (mut next_offset, mut end) = (self.base_offset, from);
        while let Some(Ok(found)) = walk.next()? {
            next_offset = found.meta.last_offset + 1;
            end = found.end();
        }
        Ok((next_offset, end))
    }

    /// The offset behind the last whole batch of a file that is no segment yet.
    pub fn next_offset_of(file: &dyn DiskFile, path: &Path, size: u64) -> Result<Option<i64>, StorageError> {
        let mut walk = HeaderWalk::new(file, path, 0, size);
        let mut next_offset = None;
        while let Some(Ok(found)) = walk.next()? {
            next_offset = Some(found.meta.last_offset + 1);
        }
        Ok(next_offset)
    }

    /// Whether the index files can be what they have to be: the last entry lies within the records.
    pub fn indexes_look_right(&self) -> Result<bool, StorageError> {
        let Some(last) = self.offset_entries()?.checked_sub(1) else { return Ok(true) };
        let path = self.path(names::OFFSET_INDEX_SUFFIX);
        let last = index::read_entry::<OffsetEntry>(&*self.offset_index_file()?, &path, last)?;
        Ok(last.is_some_and(|entry| u64::from(entry.position) < self.size_bytes()))
    }

    /// The largest timestamp of the first batch, for rolling by time.
    pub fn first_batch_timestamp_ms(&self) -> Result<Option<i64>, StorageError> {
        if self.size_bytes() == 0 {
            return Ok(None);
        }
        let path = self.path(names::LOG_SUFFIX);
        let first = HeaderWalk::new(&*self.log_file()?, &path, 0, self.size_bytes()).next()?;
        Ok(first.and_then(Result::ok).map(|found| found.meta.max_timestamp_ms))
    }

    /// Cuts everything from `offset` on, durably: what is cut must not come back between later records after a
    /// crash. The index goes first, for it vouches for records. How many bytes went.
    pub fn truncate_to(&self, offset: i64, now_ms: i64) -> Result<u64, StorageError> {
        let size = self.size_bytes();
        let cut_at = self.find(offset, size)?.map(|found| found.position);
        let offsets = self.kept_entries::<OffsetEntry>(
            &self.offset_index_file()?,
            names::OFFSET_INDEX_SUFFIX,
            self.offset_entries()?,
            |entry| self.base_offset + i64::from(entry.relative_offset) < offset,
        )?;
        let times = self.kept_entries::<TimeEntry>(
            &self.time_index_file()?,
            names::TIME_INDEX_SUFFIX,
            self.time_entries()?,
            |entry| self.base_offset + i64::from(entry.relative_offset) < offset,
        )?;
        let new_size = cut_at.unwrap_or(size);
        {
            let mut state = locked(&self.state);
            state.size_bytes = new_size;
            state.offset_entries = Some(offsets);
            state.time_entries = Some(times);
            state.last_time_entry = None;
            state.max_timestamp = None;
            state.modified_ms = now_ms;
            state.recent.retain(|(last_offset, _)| *last_offset < offset);
        }
        // Also what a failed append, or a cut that failed, left behind the end.
        let path = self.path(names::LOG_SUFFIX);
        let file = self.log_file()?;
        if cut_at.is_some() || file.len().at("measuring", &path)? > new_size {
            file.set_len(new_size).and_then(|()| file.sync()).at("truncating", &path)?;
        }
        let max = self.scan_max_timestamp()?;
        locked(&self.state).max_timestamp = Some(max);
        Ok(size - new_size)
    }

    fn kept_entries<E: Entry>(
        &self,
        file: &Arc<dyn DiskFile>,
        suffix: &str,
        count: u32,
        is_kept: impl Fn(&E) -> bool,
    ) -> Result<u32, StorageError> {
        let path = self.path(suffix);
        let kept = index::find_last(&**file, &path, count, is_kept)?.map_or(0, |(number, _)| number + 1);
        file.set_len(u64::from(kept) * E::BYTES as u64).at("truncating", &path)?;
        if kept < count {
            file.sync().at("syncing", &path)?;
        }
        Ok(kept)
    }

    /// The largest timestamp, from the last time index entry and the batches behind it (`readLargestTimestamp`).
    fn scan_max_timestamp(&self) -> Result<TimestampOffset, StorageError> {
        let mut max = self.last_time_entry()?;
        let file = self.log_file()?;
        let path = self.path(names::LOG_SUFFIX);
        let from = self.indexed_position(&*file, max.offset)?;
        let mut walk = HeaderWalk::new(&*file, &path, from, self.size_bytes());
        while let Some(Ok(found)) = walk.next()? {
            if found.meta.max_timestamp_ms > max.timestamp_ms {
                max = TimestampOffset {
                    timestamp_ms: found.meta.max_timestamp_ms,
                    offset: found.meta.last_offset,
                };
            }
        }
        Ok(max)
    }

    pub fn append_aborted(&self, txn: &AbortedTxn) -> Result<(), StorageError> {
        let path = self.path(names::TXN_INDEX_SUFFIX);
        let file = self.place.disk.open(&path, crate::disk::OpenMode::Create).at("opening", &path)?;
        let mut bytes = Vec::with_capacity(AbortedTxn::BYTES);
        txn.encode(&mut bytes);
        let end = file.len().at("measuring", &path)?;
        let end = end - end % AbortedTxn::BYTES as u64;
        file.write_at(end, &mut [IoSlice::new(&bytes)]).at("appending", &path)
    }

    /// Keeps everything that a reader may need of this segment: its files get new contents under the same names. The
    /// writer closes no files of a segment that is no longer part of the log.
    pub fn pin(&self) -> Result<(), StorageError> {
        // Between the two it may be closed for another file.
        while !self.log.pin() {
            self.log_file()?;
        }
        while !self.offset_index.pin() {
            self.offset_index_file()?;
        }
        while !self.time_index.pin() {
            self.time_index_file()?;
        }
        let aborted = self.aborted()?;
        locked(&self.state).pinned_aborted = Some(aborted);
        Ok(())
    }

    /// Undoes [`Segment::pin`]: what lies under its name is this segment after all. It opens again when it is needed.
    pub fn unpin(&self) {
        self.close_files();
        locked(&self.state).pinned_aborted = None;
    }

    /// Aborted transactions of this segment, in order. Most segments have no such file.
    pub fn aborted(&self) -> Result<Arc<Vec<AbortedTxn>>, StorageError> {
        if let Some(pinned) = &locked(&self.state).pinned_aborted {
            return Ok(Arc::clone(pinned));
        }
        self.read_aborted().map(Arc::new)
    }

    fn read_aborted(&self) -> Result<Vec<AbortedTxn>, StorageError> {
        let path = self.path(names::TXN_INDEX_SUFFIX);
        match self.place.disk.open(&path, crate::disk::OpenMode::Read) {
            Ok(file) => index::read_all(&*file, &path),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(StorageError::new("opening", path, error)),
        }
    }

    /// Keeps only aborted transactions that ended before `offset`.
    pub fn truncate_aborted(&self, offset: i64) -> Result<(), StorageError> {
        let all = self.aborted()?;
        let kept = all.iter().take_while(|txn| txn.last_offset < offset).count();
        if kept == all.len() {
            return Ok(());
        }
        let path = self.path(names::TXN_INDEX_SUFFIX);
        let file = self.place.disk.open(&path, crate::disk::OpenMode::ReadWrite).at("opening", &path)?;
        file.set_len((kept * AbortedTxn::BYTES) as u64).at("truncating", &path)
    }

    /// The files that hold this segment, for a flush: all of them, or the records only.
    pub fn files_to_sync(&self, with_indexes: bool) -> Result<Vec<OpenFile>, StorageError> {
        let mut files = vec![(self.path(names::LOG_SUFFIX), self.log_file()?)];
        if with_indexes {
            files.push((self.path(names::OFFSET_INDEX_SUFFIX), self.offset_index_file()?));
            files.push((self.path(names::TIME_INDEX_SUFFIX), self.time_index_file()?));
            let path = self.path(names::TXN_INDEX_SUFFIX);
            match self.place.disk.open(&path, crate::disk::OpenMode::ReadWrite) {
                Ok(file) => files.push((path, file)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(StorageError::new("opening", path, error)),
            }
        }
        Ok(files)
    }

    /// The four files with a suffix added or taken off, as many as there are.
    pub fn rename_files(&self, from_suffix: &str, to_suffix: &str) -> Result<(), StorageError> {
        for suffix in names::SEGMENT_SUFFIXES {
            let from = self.place.path(&format!("{}{from_suffix}", self.name(suffix)));
            let to = self.place.path(&format!("{}{to_suffix}", self.name(suffix)));
            match self.place.disk.rename(&from, &to) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(StorageError::new("renaming", from, error)),
            }
        }
        Ok(())
    }
}

enum Recent {
    At(u64),
    AfterAll,
    Unknown,
}
