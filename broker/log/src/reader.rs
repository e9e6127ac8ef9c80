//! Reading a log while it is written: each read works on what the log was at one moment and waits for nobody.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use jackdaw_wire::batch::{BatchHeader, BatchRef, RecordsError, Visit};
use jackdaw_wire::compression::{Allowance, CompressionError};
use jackdaw_wire::records::RecordShape;
use jackdaw_wire::segment::Segment as Piece;
use jackdaw_wire::types::TopicPartition;

use crate::batch::HeaderWalk;
use crate::checkpoint::EpochEntry;
use crate::epochs::EpochCache;
use crate::error::{AtPath, ReadError, StorageError};
use crate::index::AbortedTxn;
use crate::names;
use crate::segment::Segment;
use crate::shared::{Published, Shared};

/// Where an offset lies (`LogOffsetMetadata`). Two of one segment can be subtracted, which is how a fetch that
/// waits for `min_bytes` counts without reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetPosition {
    pub offset: i64,
    pub segment_base_offset: i64,
    /// Bytes into that segment.
    pub position: u64,
}

impl OffsetPosition {
    /// Bytes from `self` up to `later`; `None` when they lie in different segments.
    pub fn bytes_to(&self, later: &OffsetPosition) -> Option<u64> {
        let same = self.segment_base_offset == later.segment_base_offset;
        same.then(|| later.position.saturating_sub(self.position))
    }
}

/// What a read found.
#[derive(Debug, Clone)]
pub struct ReadResult {
    /// Whole batches, the last perhaps cut off; one piece, or none when there is nothing to read yet.
    pub records: Vec<Piece>,
    pub size_bytes: usize,
    /// Where the read began.
    pub start: OffsetPosition,
    /// What there was to read in this segment, without the limit.
    pub available_bytes: usize,
    /// There is more in a later segment.
    pub goes_on: bool,
    /// The limit was smaller than the first batch, and only a part of it is here.
    pub is_first_batch_incomplete: bool,
}

/// What ListOffsets asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetQuery {
    /// -2, and -4 where nothing is tiered.
    Earliest,
    /// -1: the log end; what a consumer may see of it is the caller's to cut.
    Latest,
    /// -3 (KIP-734).
    MaxTimestamp,
    /// The first record at or after this time, in milliseconds since the epoch.
    AtOrAfter(i64),
}

/// ListOffsets' answer (`TimestampAndOffset`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampAndOffset {
    /// -1 for the ends of the log.
    pub timestamp_ms: i64,
    pub offset: i64,
    pub leader_epoch: Option<i32>,
}

/// What came of a search that may not take for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Search {
    Done(Option<TimestampAndOffset>),
    /// It was given up.
    TooLong,
}

/// Reads one log. Cheap to clone; usable from any thread.
#[derive(Debug, Clone)]
pub struct LogReader {
    shared: Arc<Shared>,
}

/// A segment may be removed between the look at the log and the opening of its file; the next look shows it gone.
const LOOKS: usize = 3;

impl LogReader {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    pub fn partition(&self) -> &TopicPartition {
        &self.shared.place.partition
    }

    pub fn log_start_offset(&self) -> i64 {
        self.shared.with(|published| published.log_start_offset)
    }

    /// The offset of the next record.
    pub fn log_end_offset(&self) -> i64 {
        self.shared.with(|published| published.log_end_offset)
    }

    /// Where the next record will lie.
    pub fn end_position(&self) -> OffsetPosition {
        self.shared.with(|published| end_of(published))
    }

    /// The log's bytes on disk, without indexes.
    pub fn size_bytes(&self) -> u64 {
        self.shared.look().segments.iter().map(|segment| segment.size_bytes()).sum()
    }

    /// The last stable offset below `high_watermark`: what `read_committed` may see.
    pub fn last_stable_offset(&self, high_watermark: i64) -> i64 {
        self.shared.with(|published| published.last_stable_offset(high_watermark))
    }

    /// Whether the writer is to hear of the high watermark: it remembers ended transactions until they are below.
    pub fn has_ended_transactions(&self) -> bool {
        self.shared.with(|published| published.ended.is_some())
    }

    pub fn latest_epoch(&self) -> Option<i32> {
        self.shared.with(|published| published.epochs.latest_epoch())
    }

    /// All epochs of the log.
    pub fn epochs(&self) -> Arc<EpochCache> {
        self.shared.with(|published| Arc::clone(&published.epochs))
    }

    /// Where the records of `epoch`, or of the largest before it, end: `(epoch, end offset)`; `None` when unknown.
    pub fn end_offset_for_epoch(&self, epoch: i32) -> Option<(i32, i64)> {
        self.shared.with(|published| published.epochs.end_offset_for(epoch, published.log_end_offset))
    }

    /// Reads whole batches from the one that holds `start_offset` on, of up to `max_bytes`, and nothing at or behind
    /// `upper_bound_offset` (exclusive; the high watermark, the last stable offset or the log end). With
    /// `min_one_batch` the first batch comes whole even if it is larger.
    ///
    /// Batches are given as they lie in the file: the first may begin before `start_offset`. Empty at the bound.
    ///
    /// # Errors
    /// `OffsetOutOfRange` below the log's start and above its end.
    pub fn read(
        &self,
        start_offset: i64,
        max_bytes: usize,
        upper_bound_offset: i64,
        min_one_batch: bool,
    ) -> Result<ReadResult, ReadError> {
        self.with_looks(|log| {
            read_at(log, &self.shared, start_offset, max_bytes, upper_bound_offset, min_one_batch)
        })
    }

    /// As [`LogReader::read`], with the aborted transactions of which records may have been read: both of one moment,
    /// because compaction removes records and their entries together.
    pub fn read_committed(
        &self,
        start_offset: i64,
        max_bytes: usize,
        upper_bound_offset: i64,
        min_one_batch: bool,
    ) -> Result<(ReadResult, Vec<AbortedTxn>), ReadError> {
        self.with_looks(|log| {
            let read =
                read_at(log, &self.shared, start_offset, max_bytes, upper_bound_offset, min_one_batch)?;
            if read.size_bytes == 0 {
                return Ok((read, Vec::new()));
            }
            let aborted = aborted_between(log, start_offset, end_of_read(log, &read)?)?;
            Ok((read, aborted))
        })
    }

    /// Where `offset` lies.
    ///
    /// # Errors
    /// As [`LogReader::read`].
    pub fn position_of(&self, offset: i64) -> Result<OffsetPosition, ReadError> {
        self.with_looks(|log| {
            check_range(log, &self.shared, offset)?;
            if offset >= log.log_end_offset {
                return Ok(end_of(log));
            }
            Ok(find_from(log, offset)?.map_or_else(|| end_of(log), |found| found.position(offset)))
        })
    }

    /// Finds an offset by time, or one of the log's ends. `None` when no record is that late.
    pub fn find_offset(&self, query: OffsetQuery) -> Result<Option<TimestampAndOffset>, ReadError> {
        self.find_offset_within(query, usize::MAX).map(|search| match search {
            Search::Done(found) => found,
            Search::TooLong => None,
        })
    }

    /// As [`LogReader::find_offset`], unless more than so many bytes of records would have to be unpacked for it.
    pub fn find_offset_within(&self, query: OffsetQuery, unpacked_bytes: usize) -> Result<Search, ReadError> {
        self.with_looks(|log| match query {
            OffsetQuery::Earliest => {
                let first = log.epochs.earliest().filter(|entry| entry.start_offset <= log.log_start_offset);
                let epoch = first.map(|entry: EpochEntry| entry.epoch);
                Ok(Search::Done(Some(end_point(log.log_start_offset, epoch))))
            }
            OffsetQuery::Latest => {
                Ok(Search::Done(Some(end_point(log.log_end_offset, log.epochs.latest_epoch()))))
            }
            OffsetQuery::MaxTimestamp => max_timestamp(log).map(Search::Done),
            OffsetQuery::AtOrAfter(timestamp_ms) => {
                find_by_time(log, &self.shared, timestamp_ms, &Allowance::new(unpacked_bytes))
            }
        })
    }

    /// What ListOffsets had before there were timestamps (`UnifiedLog.legacyFetchOffsetsBefore`): where segments begin,
    /// and the log's end if there is anything in the last one; the latest `most`, of those that were written to for
    /// the last time by `AtOrAfter`. The latest first.
    pub fn boundaries(&self, query: OffsetQuery, most: usize, now_ms: i64) -> Vec<i64> {
        let log = self.shared.look();
        let begin =
            |segment: &Arc<Segment>| (segment.base_offset.max(log.log_start_offset), segment.modified_ms());
        let mut all: Vec<(i64, i64)> = log.segments.iter().map(begin).collect();
        if log.active_bytes > 0 {
            all.push((log.log_end_offset, now_ms));
        }
        let count = match query {
            OffsetQuery::Latest => all.len(),
            OffsetQuery::Earliest => 1,
            OffsetQuery::MaxTimestamp => 0,
            OffsetQuery::AtOrAfter(ms) => {
                all.iter().rposition(|(_, modified_ms)| *modified_ms <= ms).map_or(0, |at| at + 1)
            }
        };
        all[..count].iter().rev().take(most).map(|(offset, _)| *offset).collect()
    }

    /// Transactions that were aborted and of which a `read_committed` consumer sees records between the two offsets;
    /// in order of their ends (`LocalLog.collectAbortedTransactions`).
    pub fn aborted_transactions(
        &self,
        from_offset: i64,
        to_offset: i64,
    ) -> Result<Vec<AbortedTxn>, ReadError> {
        self.with_looks(|log| Ok(aborted_between(log, from_offset, to_offset)?))
    }

    pub(crate) fn with_looks<T>(
        &self,
        read: impl Fn(&Published) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let mut looks = 0;
        loop {
            looks += 1;
            match read(&self.shared.look()) {
                Err(ReadError::Storage(error)) if looks < LOOKS && is_gone(&error) => {}
                other => return other,
            }
        }
    }
}

/// An offset at or behind the end of what was read, as near as the index tells (`LogSegment.fetchUpperBoundOffset`).
fn end_of_read(log: &Published, read: &ReadResult) -> Result<i64, StorageError> {
    let Some(number) = log.segment_of(read.start.segment_base_offset) else { return Ok(log.log_end_offset) };
    if let Some(offset) =
        log.segments[number].indexed_offset_at(read.start.position + read.size_bytes as u64)?
    {
        return Ok(offset);
    }
    Ok(log.segments.get(number + 1).map_or(log.log_end_offset, |next| next.base_offset))
}

pub(crate) fn aborted_between(
    log: &Published,
    from_offset: i64,
    to_offset: i64,
) -> Result<Vec<AbortedTxn>, StorageError> {
    let mut found = Vec::new();
    let first = log.segment_of(from_offset).unwrap_or(0);
    for segment in &log.segments[first..] {
        for txn in segment.aborted()?.iter() {
            if txn.last_offset >= from_offset && txn.first_offset < to_offset {
                found.push(*txn);
            }
            if txn.last_stable_offset >= to_offset {
                return Ok(found);
            }
        }
    }
    Ok(found)
}

fn is_gone(error: &StorageError) -> bool {
    error.source.kind() == std::io::ErrorKind::NotFound
}

fn end_of(log: &Published) -> OffsetPosition {
    let segment_base_offset = log.segments.last().map_or(0, |segment| segment.base_offset);
    OffsetPosition { offset: log.log_end_offset, segment_base_offset, position: log.active_bytes }
}

fn end_point(offset: i64, leader_epoch: Option<i32>) -> TimestampAndOffset {
    TimestampAndOffset { timestamp_ms: -1, offset, leader_epoch }
}

fn check_range(log: &Published, shared: &Shared, offset: i64) -> Result<(), ReadError> {
    if (log.log_start_offset..=log.log_end_offset).contains(&offset) {
        return Ok(());
    }
    Err(ReadError::OffsetOutOfRange {
        offset,
        log_start_offset: log.log_start_offset,
        log_end_offset: log.log_end_offset,
        partition: shared.place.partition.clone(),
    })
}

/// How many bytes of a segment belong to the log as it was looked at.
fn limit_of(log: &Published, number: usize) -> u64 {
    if number + 1 == log.segments.len() { log.active_bytes } else { log.segments[number].size_bytes() }
}

struct Found<'a> {
    segment: &'a Arc<Segment>,
    number: usize,
    batch: crate::batch::FoundBatch,
}

impl Found<'_> {
    fn position(&self, offset: i64) -> OffsetPosition {
        OffsetPosition {
            offset,
            segment_base_offset: self.segment.base_offset,
            position: self.batch.position,
        }
    }
}

/// The batch that holds `offset`, or the first one after it.
fn find_from(log: &Published, offset: i64) -> Result<Option<Found<'_>>, StorageError> {
    let Some(first) = log.segment_of(offset) else { return Ok(None) };
    for (number, segment) in log.segments.iter().enumerate().skip(first) {
        if let Some(batch) = segment.find(offset, limit_of(log, number))? {
            return Ok(Some(Found { segment, number, batch }));
        }
    }
    Ok(None)
}

fn read_at(
    log: &Published,
    shared: &Shared,
    start_offset: i64,
    max_bytes: usize,
    upper_bound_offset: i64,
    min_one_batch: bool,
) -> Result<ReadResult, ReadError> {
    check_range(log, shared, start_offset)?;
    let nothing = |start| ReadResult {
        records: Vec::new(),
        size_bytes: 0,
        start,
        available_bytes: 0,
        goes_on: false,
        is_first_batch_incomplete: false,
    };
    if start_offset >= log.log_end_offset {
        return Ok(nothing(end_of(log)));
    }
    let Some(found) = find_from(log, start_offset)? else { return Ok(nothing(end_of(log))) };
    let start = found.position(start_offset);
    if start_offset >= upper_bound_offset {
        return Ok(nothing(start));
    }
    let limit = limit_of(log, found.number);
    let end = if upper_bound_offset >= log.log_end_offset {
        limit
    } else {
        found.segment.find(upper_bound_offset, limit)?.map_or(limit, |bound| bound.position)
    };
    let batch_bytes = found.batch.meta.size_bytes;
    let wanted = if min_one_batch { max_bytes.max(batch_bytes) } else { max_bytes };
    let available_bytes = usize::try_from(end.saturating_sub(start.position)).unwrap_or(usize::MAX);
    let later = log.segments.get(found.number + 1);
    let goes_on = later.is_some_and(|later| later.base_offset < upper_bound_offset);
    let size_bytes = available_bytes.min(wanted);
    let is_first_batch_incomplete = available_bytes > 0 && wanted < batch_bytes;
    let found_all = ReadResult { available_bytes, goes_on, is_first_batch_incomplete, ..nothing(start) };
    if size_bytes == 0 {
        return Ok(found_all);
    }
    let records = vec![piece(found.segment, start.position, size_bytes)?];
    Ok(ReadResult { records, size_bytes, ..found_all })
}

/// A range of a segment, by reference where there is a file to refer to.
fn piece(segment: &Segment, position: u64, size_bytes: usize) -> Result<Piece, StorageError> {
    let file = segment.log_file()?;
    if let Some(file) = file.os_file() {
        return Ok(Piece::File { file, offset: position, len: size_bytes });
    }
    Ok(Piece::Bytes(read_bytes(segment, position, size_bytes)?))
}

fn read_bytes(segment: &Segment, position: u64, size_bytes: usize) -> Result<Bytes, StorageError> {
    let path = segment.path(names::LOG_SUFFIX);
    let mut bytes = vec![0; size_bytes];
    let read = segment.log_file()?.read_at(position, &mut bytes).at("reading", &path)?;
    bytes.truncate(read);
    Ok(bytes.into())
}

fn max_timestamp(log: &Published) -> Result<Option<TimestampAndOffset>, ReadError> {
    let mut latest = None;
    for segment in log.segments.iter() {
        let max = segment.max_timestamp()?;
        // The later of equals, as Scala's `maxBy` on the copied buffer keeps the first: only a larger one replaces.
        if latest.is_none_or(|best: crate::segment::TimestampOffset| max.timestamp_ms > best.timestamp_ms) {
            latest = Some(max);
        }
    }
    Ok(latest.map(|max| TimestampAndOffset {
        timestamp_ms: max.timestamp_ms,
        offset: max.offset,
        leader_epoch: log.epochs.latest_epoch(),
    }))
}

/// `UnifiedLog.searchOffsetInLocalLog`: the first segment that reaches that time, then its first record that does.
fn find_by_time(
    log: &Published,
    shared: &Shared,
    timestamp_ms: i64,
    allowance: &Allowance,
) -> Result<Search, ReadError> {
    let mut buffer = Vec::new();
    for (number, segment) in log.segments.iter().enumerate() {
        if segment.largest_timestamp_ms()? < timestamp_ms {
            continue;
        }
        let from_offset = segment.offset_by_time(timestamp_ms)?.max(log.log_start_offset);
        let position = segment.position_before(from_offset)?;
        let path = segment.path(names::LOG_SUFFIX);
        let file = segment.log_file()?;
        let mut walk = HeaderWalk::new(&*file, &path, position, limit_of(log, number));
        while let Some(Ok(found)) = walk.next()? {
            if found.meta.max_timestamp_ms < timestamp_ms {
                continue;
            }
            let bytes = read_bytes(segment, found.position, found.meta.size_bytes)?;
            let corrupt = |why| {
                let partition = shared.place.partition.clone();
                ReadError::Corrupt { offset: found.meta.base_offset, partition, why }
            };
            let batch = BatchRef::parse(&bytes).map_err(|error| corrupt(error.to_string()))?;
            let (header, from_offset) = (&batch.header, log.log_start_offset);
            let mut first = FirstRecord { header, timestamp_ms, from_offset, found: None };
            match batch.walk(allowance, &mut buffer, &mut first) {
                Ok(()) => {}
                Err(RecordsError::Compression(CompressionError::AllowanceSpent)) => {
                    return Ok(Search::TooLong);
                }
                Err(error) => return Err(corrupt(error.to_string())),
            }
            if first.found.is_some() {
                return Ok(Search::Done(first.found));
            }
        }
        break;
    }
    Ok(Search::Done(None))
}

/// Looks for the first record of a batch from an offset and from a time on.
struct FirstRecord<'a> {
    header: &'a BatchHeader,
    timestamp_ms: i64,
    from_offset: i64,
    found: Option<TimestampAndOffset>,
}

impl Visit for FirstRecord<'_> {
    type Error = RecordsError;

    fn record(&mut self, record: RecordShape) -> Result<ControlFlow<()>, RecordsError> {
        let timestamp_ms = self.header.timestamp_of(record.timestamp_delta_ms);
        let offset = self.header.base_offset + i64::from(record.offset_delta);
        if timestamp_ms < self.timestamp_ms || offset < self.from_offset {
            return Ok(ControlFlow::Continue(()));
        }
        let leader_epoch = Some(self.header.partition_leader_epoch).filter(|epoch| *epoch >= 0);
        self.found = Some(TimestampAndOffset { timestamp_ms, offset, leader_epoch });
        Ok(ControlFlow::Break(()))
    }
}
