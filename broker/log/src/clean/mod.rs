//! Log compaction (`LogCleaner`): of each key the last value stays.
//!
//! A [`Cleaning`] works beside the writer, on any thread that may block, over segments that no longer change. It
//! writes each group of segments into one new segment under other names; the writer then lets that take their place
//! ([`Log::swap_in`]), in steps of which a crash undoes or finishes all (`LocalLog.replaceSegments`).
//!
//! What is cleaned is never recovered by scanning: whoever runs this flushes the log and writes the directory's
//! recovery point checkpoint before the first swap.

mod filter;
mod offset_map;
mod plan;
mod swap;
mod transactions;

use std::collections::{HashMap, VecDeque};
use std::io::IoSlice;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use jackdaw_wire::batch::{RecordsError, Visit};
use jackdaw_wire::compression::Allowance;
use jackdaw_wire::records::RecordShape;

pub use offset_map::MapBudget;
pub use plan::Cleanable;

use self::filter::{Filter, LastRecord};
use self::offset_map::{KeyHash, OffsetMap};
use self::transactions::CleanedTransactions;
use crate::batch::BatchMeta;
use crate::config::LogConfig;
use crate::disk::{DiskFile, OpenMode, remove_if_exists};
use crate::error::{AtPath, StorageError};
use crate::index::{AbortedTxn, Entry, OffsetEntry, TimeEntry};
use crate::log::Log;
use crate::names;
use crate::place::Place;
use crate::reader::aborted_between;
use crate::recover::{Books, Scan};
use crate::segment::Segment;
use crate::shared::Published;

/// So many segments become one at the most: the files of all of them are open while it takes their place.
const MOST_SEGMENTS_PER_GROUP: usize = 16;

/// Why a round of compaction ended early. The log is as it was before the group it was at.
#[derive(Debug, thiserror::Error)]
pub enum CleanError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Whoever is asked for leave said no: the partition goes away, or the node stops.
    #[error("compaction was called off")]
    Aborted,
    #[error("the batch at offset {offset} of {path} cannot be read: {why}", path = path.display())]
    Unreadable { offset: i64, path: PathBuf, why: String },
}

/// Asked before each read and told of each write, in bytes: it may take its time, and may call the round off.
pub type Leave<'a> = &'a mut dyn FnMut(usize) -> Result<(), CleanError>;

/// How a round is done.
#[derive(Debug, Clone, Copy)]
pub struct CleanOptions {
    pub budget: MapBudget,
    /// Bytes gathered before they are written.
    pub write_buffer_bytes: usize,
    /// Random.
    pub seeds: (u64, u64),
    pub now_ms: i64,
}

/// What a round did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CleanStats {
    pub bytes_read: u64,
    pub bytes_written: u64,
}

/// A round of compaction over what the log was when it began.
#[derive(Debug)]
pub struct Cleaning {
    place: Arc<Place>,
    config: Arc<LogConfig>,
    log: Published,
    first_dirty: i64,
    first_uncleanable: i64,
    last_records: HashMap<i64, LastRecord>,
    truncations: u64,
    options: CleanOptions,
    map: Option<OffsetMap>,
    groups: VecDeque<Vec<Arc<Segment>>>,
    transactions: CleanedTransactions,
    stats: CleanStats,
}

/// A new segment that is to take the place of others. Its files lie beside theirs.
#[derive(Debug)]
pub struct CleanedGroup {
    place: Arc<Place>,
    replaced: Vec<Arc<Segment>>,
    base_offset: i64,
    size_bytes: u64,
    truncations: u64,
}

impl Log {
    /// Begins a round over the segments before `first_uncleanable` of [`Cleanable`].
    pub fn begin_cleaning(&self, cleanable: &Cleanable, options: CleanOptions) -> Cleaning {
        let last_record = |entry: &crate::producer::ProducerEntry| {
            let data_offset = Some(entry.last_data_offset()).filter(|offset| *offset >= 0);
            (entry.producer_id, LastRecord { data_offset, producer_epoch: entry.producer_epoch })
        };
        Cleaning {
            place: Arc::clone(&self.place),
            config: Arc::clone(&self.config),
            log: self.shared.look(),
            first_dirty: cleanable.first_dirty_offset,
            first_uncleanable: cleanable.first_uncleanable_offset,
            last_records: self.producers.producers().map(last_record).collect(),
            truncations: self.truncations,
            options,
            map: None,
            groups: VecDeque::new(),
            transactions: CleanedTransactions::default(),
            stats: CleanStats::default(),
        }
    }
}

impl Cleaning {
    /// Learns the last offset of each key of the dirty part. Where this round ends: the next begins there.
    pub fn index(&mut self, leave: Leave<'_>) -> Result<i64, CleanError> {
        let range = (self.first_uncleanable - self.first_dirty).max(0);
        let records = u64::try_from(range).unwrap_or(0);
        let mut map = OffsetMap::new(&self.options.budget, records, self.options.seeds);
        map.reached(self.first_dirty - 1);
        let mut transactions = CleanedTransactions::default();
        transactions.add_aborted(aborted_between(&self.log, self.first_dirty, self.first_uncleanable)?);
        let first = self.log.segment_of(self.first_dirty).unwrap_or(0);
        let segments = Arc::clone(&self.log.segments);
        for (number, segment) in segments.iter().enumerate().skip(first) {
            if segment.base_offset >= self.first_uncleanable {
                break;
            }
            if self.index_segment(segment, &mut map, &mut transactions, leave)? {
                break;
            }
            let next = segments.get(number + 1).map_or(self.first_uncleanable, |next| next.base_offset);
            map.reached(next - 1);
        }
        let end = map.latest_offset() + 1;
        self.group_segments(end);
        self.map = Some(map);
        Ok(end)
    }

    /// Whether the map is full.
    fn index_segment(
        &mut self,
        segment: &Segment,
        map: &mut OffsetMap,
        transactions: &mut CleanedTransactions,
        leave: Leave<'_>,
    ) -> Result<bool, CleanError> {
        let mut scan = Scan::from(segment, segment.position_before(self.first_dirty)?)?;
        let mut buffer = Vec::new();
        while let Some(batch) = next_batch(&mut scan, segment, leave)? {
            let header = &batch.header;
            if header.is_control() {
                transactions.control_batch(&batch);
            } else if !transactions.batch(header) {
                let (first_dirty, base_offset, key) = (self.first_dirty, header.base_offset, map.key());
                let mut index = Index { map, key, base_offset, first_dirty, is_full: false };
                let walked = batch.walk(&Allowance::new(usize::MAX), &mut buffer, &mut index);
                walked.map_err(|error| unreadable(segment, base_offset, error.to_string()))?;
                if index.is_full {
                    return Ok(true);
                }
            }
            if header.last_offset() >= self.first_dirty {
                map.reached(header.last_offset());
            }
        }
        Ok(false)
    }

    /// Segments that together are no larger than one may be become one (`groupSegmentsBySize`).
    fn group_segments(&mut self, end: i64) {
        let limit = self.config.segment_bytes as u64;
        let index_limit = self.config.segment_index_bytes as u64;
        let mut group: Vec<Arc<Segment>> = Vec::new();
        let (mut bytes, mut index_bytes) = (0, 0);
        for (number, segment) in self.log.segments.iter().enumerate() {
            if segment.base_offset >= end.min(self.first_uncleanable) {
                break;
            }
            // An index that cannot be counted is counted when it is used.
            let entries =
                u64::from(segment.offset_entries().unwrap_or(0).max(segment.time_entries().unwrap_or(0)));
            let (size, index_size) = (segment.size_bytes(), entries * TimeEntry::BYTES as u64);
            let next = self.log.segments.get(number + 1).map_or(end, |next| next.base_offset);
            let fits = group.first().is_some_and(|first| {
                group.len() < MOST_SEGMENTS_PER_GROUP
                    && bytes + size <= limit
                    && index_bytes + index_size <= index_limit
                    && (size == 0 || next - 1 - first.base_offset <= i64::from(i32::MAX))
            });
            if !fits && !group.is_empty() {
                self.groups.push_back(std::mem::take(&mut group));
                (bytes, index_bytes) = (0, 0);
            }
            bytes += size;
            index_bytes += index_size;
            group.push(Arc::clone(segment));
        }
        if !group.is_empty() {
            self.groups.push_back(group);
        }
    }

    /// Writes the next group, synced, beside the segments it is to replace; none when all are done.
    pub fn next_group(&mut self, leave: Leave<'_>) -> Result<Option<CleanedGroup>, CleanError> {
        let Some(segments) = self.groups.pop_front() else { return Ok(None) };
        let base_offset = segments[0].base_offset;
        // Those that were replaced keep their files open for as long as somebody has them.
        let behind = self.log.segments.partition_point(|segment| segment.base_offset < base_offset);
        Arc::make_mut(&mut self.log.segments).drain(..behind);
        let written = self.write_group(&segments, leave);
        let group = CleanedGroup {
            place: Arc::clone(&self.place),
            replaced: segments,
            base_offset,
            size_bytes: *written.as_ref().unwrap_or(&0),
            truncations: self.truncations,
        };
        match written {
            Ok(_) => Ok(Some(group)),
            Err(error) => {
                group.discard()?;
                Err(error)
            }
        }
    }

    pub fn stats(&self) -> CleanStats {
        self.stats
    }

    fn write_group(&mut self, segments: &[Arc<Segment>], leave: Leave<'_>) -> Result<u64, CleanError> {
        let base_offset = segments[0].base_offset;
        let mut output = Output::create(&self.place, base_offset, &self.config)?;
        let Some(map) = self.map.take() else { return Err(CleanError::Aborted) };
        let mut buffer = Vec::new();
        let last_records = std::mem::take(&mut self.last_records);
        let filter = Filter {
            map: &map,
            last_records: &last_records,
            now_ms: self.options.now_ms,
            delete_retention_ms: self.config.delete_retention_ms,
        };
        for (number, segment) in segments.iter().enumerate() {
            let end = match segments.get(number + 1) {
                Some(next) => next.base_offset,
                None => segment.next_offset()?.0,
            };
            // All of the segment's, for its new index.
            self.transactions.add_aborted(aborted_between(&self.log, segment.base_offset, end)?);
            let mut scan = Scan::from(segment, 0)?;
            while let Some(batch) = next_batch(&mut scan, segment, leave)? {
                self.stats.bytes_read += batch.bytes.len() as u64;
                let left = filter.batch(&batch, &mut self.transactions, &mut buffer);
                let left = left.map_err(|why| unreadable(segment, batch.header.base_offset, why))?;
                if let Some(left) = left {
                    self.stats.bytes_written += left.len() as u64;
                    output.add(left, self.options.write_buffer_bytes, leave)?;
                }
            }
        }
        let size_bytes = output.finish(&self.transactions.take_kept())?;
        self.map = Some(map);
        self.last_records = last_records;
        Ok(size_bytes)
    }
}

/// Puts the keys of a batch into the map until that is full.
struct Index<'a> {
    map: &'a mut OffsetMap,
    key: KeyHash,
    base_offset: i64,
    first_dirty: i64,
    is_full: bool,
}

impl Visit for Index<'_> {
    type Error = RecordsError;

    fn key(&mut self, piece: &[u8]) {
        self.key.add(piece);
    }

    fn record(&mut self, record: RecordShape) -> Result<ControlFlow<()>, RecordsError> {
        let (key, offset) = (self.key.take(), self.base_offset + i64::from(record.offset_delta));
        if !record.has_key() || offset < self.first_dirty {
            return Ok(ControlFlow::Continue(()));
        }
        if self.map.is_full() {
            self.is_full = true;
            return Ok(ControlFlow::Break(()));
        }
        self.map.put(key, offset);
        Ok(ControlFlow::Continue(()))
    }
}

fn next_batch(
    scan: &mut Scan,
    segment: &Segment,
    leave: Leave<'_>,
) -> Result<Option<jackdaw_wire::batch::BatchRef>, CleanError> {
    let Some(next) = scan.next()? else { return Ok(None) };
    let batch = next.map_err(|fault| unreadable(segment, -1, fault.to_string()))?;
    leave(batch.bytes.len())?;
    let parsed = jackdaw_wire::batch::BatchRef::parse(&batch.bytes);
    parsed.map(Some).map_err(|fault| unreadable(segment, batch.meta.base_offset, fault.to_string()))
}

fn unreadable(segment: &Segment, offset: i64, why: String) -> CleanError {
    CleanError::Unreadable { offset, path: segment.path(names::LOG_SUFFIX), why }
}

/// The files of a segment that is being written.
struct Output {
    place: Arc<Place>,
    base_offset: i64,
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    books: Books,
    written: u64,
    gathered: Vec<Bytes>,
    gathered_bytes: usize,
}

fn cleaned_path(place: &Place, base_offset: i64, suffix: &str) -> PathBuf {
    place.path(&format!("{}{}", names::segment_file(base_offset, suffix), names::CLEANED_SUFFIX))
}

impl Output {
    fn create(place: &Arc<Place>, base_offset: i64, config: &LogConfig) -> Result<Self, StorageError> {
        let path = cleaned_path(place, base_offset, names::LOG_SUFFIX);
        let file = place.disk.open(&path, OpenMode::Truncate).at("opening", &path)?;
        Ok(Self {
            place: Arc::clone(place),
            base_offset,
            file,
            path,
            books: Books::new(base_offset, config.index_interval_bytes as u64),
            written: 0,
            gathered: Vec::new(),
            gathered_bytes: 0,
        })
    }

    fn add(&mut self, batch: Bytes, buffer_bytes: usize, leave: Leave<'_>) -> Result<(), CleanError> {
        let meta = BatchMeta::parse(&batch).map_err(|fault| CleanError::Unreadable {
            offset: self.base_offset,
            path: self.path.clone(),
            why: fault.to_string(),
        })?;
        self.books.add(&meta);
        self.gathered_bytes += batch.len();
        self.gathered.push(batch);
        if self.gathered_bytes >= buffer_bytes {
            leave(self.gathered_bytes)?;
            self.write()?;
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), StorageError> {
        let mut parts: Vec<IoSlice<'_>> = self.gathered.iter().map(|batch| IoSlice::new(batch)).collect();
        self.file.write_at(self.written, &mut parts).at("writing", &self.path)?;
        self.written += self.gathered_bytes as u64;
        self.gathered.clear();
        self.gathered_bytes = 0;
        Ok(())
    }

    /// Syncs everything; the size of the records.
    fn finish(mut self, aborted: &[AbortedTxn]) -> Result<u64, StorageError> {
        self.write()?;
        self.file.sync().at("syncing", &self.path)?;
        self.books.finish();
        self.write_index::<OffsetEntry>(names::OFFSET_INDEX_SUFFIX, &self.books.offsets)?;
        self.write_index::<TimeEntry>(names::TIME_INDEX_SUFFIX, &self.books.times)?;
        if !aborted.is_empty() {
            self.write_index::<AbortedTxn>(names::TXN_INDEX_SUFFIX, aborted)?;
        }
        Ok(self.written)
    }

    fn write_index<E: Entry>(&self, suffix: &str, entries: &[E]) -> Result<(), StorageError> {
        let mut bytes = Vec::with_capacity(entries.len() * E::BYTES);
        entries.iter().for_each(|entry| entry.encode(&mut bytes));
        let path = cleaned_path(&self.place, self.base_offset, suffix);
        let file = self.place.disk.open(&path, OpenMode::Truncate).at("opening", &path)?;
        file.write_at(0, &mut [IoSlice::new(&bytes)]).at("writing", &path)?;
        file.sync().at("syncing", &path)
    }
}

impl CleanedGroup {
    /// Removes the files: the group is not to take its place.
    pub fn discard(self) -> Result<(), StorageError> {
        discard(&self.place, self.base_offset)
    }
}

fn discard(place: &Place, base_offset: i64) -> Result<(), StorageError> {
    for suffix in names::SEGMENT_SUFFIXES {
        let path = cleaned_path(place, base_offset, suffix);
        remove_if_exists(&*place.disk, &path).at("removing", &path)?;
    }
    Ok(())
}
