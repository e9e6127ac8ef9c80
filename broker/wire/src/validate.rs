//! What a leader checks and stamps before records enter its log: `LogValidator`, and the part of
//! `UnifiedLog.analyzeAndValidateRecords` that needs no log.
//!
//! A batch of magic 2 stays where it was received: its records are walked (through a stream, if compressed), its
//! fixed header is rewritten, its body is handed on untouched. Only what the reference itself rewrites is rewritten
//! here, in `validate_cold`: another `compression.type`, magic 0 and 1.
//! Errors name what happened; which error code that is, is decided where replies are made.

use bytes::Bytes;

use crate::batch::{self, BatchError, BatchHeader, BatchRef, HEADER_BYTES, NO_TIMESTAMP, TimestampType};
use crate::compression::{self, Allowance, Compression, CompressionError};
use crate::records::{self, RecordShape, RecordsError, StructureError};
use crate::types::TopicPartition;
use crate::validate_cold;
pub use crate::validate_cold::RECORD_LIMIT_BYTES;

/// Who appends (`AppendOrigin`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendOrigin {
    /// A Produce request: not trusted.
    Client,
    /// A coordinator of this broker: may write control batches.
    Coordinator,
}

/// What a topic's configuration and the request say about an append.
#[derive(Debug, Clone)]
pub struct ValidateOptions<'a> {
    /// Named in errors.
    pub topic_partition: &'a TopicPartition,
    pub origin: AppendOrigin,
    /// `compression.type`: none for `producer`, as it comes; `Some(Compression::None)` for `uncompressed`.
    pub compression: Option<Compression>,
    /// `cleanup.policy` contains `compact`: every record needs a key.
    pub compacted: bool,
    /// `message.timestamp.type`
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`
    pub timestamp_after_max_ms: i64,
    /// `max.message.bytes`
    pub max_message_bytes: usize,
    /// What the records may unpack to, with those of the request's other partitions.
    pub allowance: &'a Allowance,
}

/// What a log must know of a batch it writes, so that it need not look again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchInfo {
    pub base_offset: i64,
    pub last_offset: i64,
    pub partition_leader_epoch: i32,
    pub max_timestamp: i64,
    /// The batch's last offset, as in the reference, whose time index points behind batches of magic 2.
    pub offset_of_max_ts: i64,
    pub timestamp_type: TimestampType,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub last_sequence: i32,
    pub is_transactional: bool,
    pub is_control: bool,
    pub compression: Compression,
    pub record_count: i32,
    /// Header and body.
    pub size_bytes: usize,
}

/// A batch ready to be written: header, then body.
#[derive(Debug, Clone)]
pub struct StampedBatch {
    pub header: [u8; HEADER_BYTES],
    /// The records: a slice of what was received, unless they had to be rewritten.
    pub body: Bytes,
    pub info: BatchInfo,
}

impl StampedBatch {
    /// # Errors
    /// `UnknownCompression` for an id without a codec.
    pub(crate) fn new(header: BatchHeader, body: Bytes) -> Result<Self, BatchError> {
        let info = BatchInfo {
            base_offset: header.base_offset,
            last_offset: header.last_offset(),
            partition_leader_epoch: header.partition_leader_epoch,
            max_timestamp: header.max_timestamp,
            offset_of_max_ts: header.last_offset(),
            timestamp_type: header.timestamp_type(),
            producer_id: header.producer_id,
            producer_epoch: header.producer_epoch,
            base_sequence: header.base_sequence,
            last_sequence: header.last_sequence(),
            is_transactional: header.is_transactional(),
            is_control: header.is_control(),
            compression: header.compression()?,
            record_count: header.record_count,
            size_bytes: HEADER_BYTES + body.len(),
        };
        Ok(Self { header: header.to_bytes(), body, info })
    }

    /// A whole batch as it stands, its header as stamped by someone else: what a broker wrote itself with
    /// `BatchBuilder`.
    pub fn from_batch(batch: &BatchRef) -> Result<Self, BatchError> {
        Self::new(batch.header, batch.bytes.slice(HEADER_BYTES..))
    }

    /// Moves the batch to another place in the log. Neither field is covered by the checksum, so validation may run
    /// before the writer knows the offset.
    pub fn restamp(&mut self, base_offset: i64, partition_leader_epoch: i32) {
        let shift = base_offset - self.info.base_offset;
        self.info.base_offset = base_offset;
        self.info.last_offset += shift;
        self.info.offset_of_max_ts += shift;
        self.info.partition_leader_epoch = partition_leader_epoch;
        self.header[0..8].copy_from_slice(&base_offset.to_be_bytes());
        self.header[12..16].copy_from_slice(&partition_leader_epoch.to_be_bytes());
    }

    /// The batch in one piece; copies.
    pub fn to_bytes(&self) -> Bytes {
        [&self.header[..], &self.body].concat().into()
    }
}

/// What may be appended, in order.
#[derive(Debug, Clone)]
pub struct ValidatedBatches {
    /// One batch; none where the bytes hold not even one whole batch, which the reference lets pass in silence.
    pub batches: Vec<StampedBatch>,
    /// The broker's time, where the topic is stamped with it: what a Produce reply says.
    pub log_append_time_ms: Option<i64>,
}

/// One record that was refused (KIP-467).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordError {
    /// The record's place in its batch.
    pub batch_index: i32,
    pub message: String,
}

/// More of them say nothing more, and a small batch may hold records without end.
pub(crate) const MOST_RECORD_ERRORS: usize = 10_000;

/// Why an append is refused. Each variant names the error the reference answers with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValidateError {
    /// CORRUPT_MESSAGE
    #[error("{0}")]
    Corrupt(String),
    /// INVALID_RECORD
    #[error("{0}")]
    InvalidRecord(String),
    /// INVALID_RECORD, with the records and the message in the reply.
    #[error("{message}")]
    InvalidRecords { message: String, record_errors: Vec<RecordError> },
    /// INVALID_TIMESTAMP, with the records and the message in the reply.
    #[error("One or more records have been rejected due to invalid timestamp")]
    InvalidTimestamps { record_errors: Vec<RecordError> },
    /// MESSAGE_TOO_LARGE
    #[error(
        "The record batch size in the append to {topic_partition} is {size_bytes} bytes which exceeds the maximum configured value of {max_bytes}."
    )]
    TooLarge { topic_partition: TopicPartition, size_bytes: usize, max_bytes: usize },
    /// MESSAGE_TOO_LARGE: what the batch holds, and not the batch.
    #[error("{0}")]
    UnpacksTooLarge(String),
    /// UNSUPPORTED_COMPRESSION_TYPE
    #[error("{0}")]
    UnsupportedCompression(String),
    /// UNKNOWN_SERVER_ERROR: what the reference answers to data that is not of its codec.
    #[error("{0}")]
    Unpackable(String),
}

impl ValidateError {
    /// The refused records, for the reply.
    pub fn record_errors(&self) -> &[RecordError] {
        match self {
            Self::InvalidRecords { record_errors, .. } | Self::InvalidTimestamps { record_errors } => {
                record_errors
            }
            _ => &[],
        }
    }

    /// The message for the reply: the reference sends one only along with refused records.
    pub fn reply_message(&self) -> Option<String> {
        (!self.record_errors().is_empty()).then(|| self.to_string())
    }
}

impl From<BatchError> for ValidateError {
    fn from(error: BatchError) -> Self {
        match error {
            BatchError::UnknownCompression(_) => Self::Unpackable(error.to_string()),
            _ => Self::Corrupt(error.to_string()),
        }
    }
}

impl From<StructureError> for ValidateError {
    fn from(error: StructureError) -> Self {
        Self::InvalidRecord(error.to_string())
    }
}

impl From<CompressionError> for ValidateError {
    fn from(error: CompressionError) -> Self {
        match error {
            CompressionError::TooLarge { .. } | CompressionError::AllowanceSpent => {
                Self::UnpacksTooLarge(error.to_string())
            }
            error => Self::Unpackable(error.to_string()),
        }
    }
}

impl From<RecordsError> for ValidateError {
    fn from(error: RecordsError) -> Self {
        match error {
            RecordsError::Compression(error) => error.into(),
            RecordsError::Structure(error) => error.into(),
        }
    }
}

/// What a Produce request of a version may hold for a partition (`ProduceRequest.validateRecords`). To be asked for
/// each partition before anything is appended.
pub fn check_produce_version(version: i16, records: &[u8]) -> Result<(), ValidateError> {
    const V2_FROM: i16 = 3;
    const ZSTD_FROM: i16 = 7;
    if version < V2_FROM {
        return Ok(());
    }
    let refuse = |what: &str| {
        Err(ValidateError::InvalidRecord(format!("Produce requests with version {version} {what}")))
    };
    let first_bytes = match whole_batch(records)? {
        Some(size_bytes) => size_bytes,
        None => return refuse("must have at least one record batch per partition"),
    };
    if batch::magic_of_next(records) != Some(batch::MAGIC_V2) {
        return refuse("are only allowed to contain record batches with magic version 2");
    }
    if version < ZSTD_FROM && BatchHeader::parse(records)?.compression()? == Compression::Zstd {
        return Err(ValidateError::UnsupportedCompression(format!(
            "Produce requests with version {version} are not allowed to use ZStandard compression"
        )));
    }
    if whole_batch(&records[first_bytes..])?.is_some() {
        return refuse("are only allowed to contain exactly one record batch per partition");
    }
    Ok(())
}

/// The size of the batch that the bytes begin with, if all of it is there.
fn whole_batch(records: &[u8]) -> Result<Option<usize>, ValidateError> {
    match batch::size_of_next(records) {
        Ok(size_bytes) => Ok((size_bytes <= records.len()).then_some(size_bytes)),
        Err(BatchError::Truncated { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Checks the records of one partition and stamps them: base offset, leader epoch, largest timestamp, and the
/// broker's time where the topic asks for it.
///
/// # Errors
/// See [`ValidateError`]. Nothing of a refused append may be written.
pub fn validate_for_append(
    records: Bytes,
    options: &ValidateOptions<'_>,
    offset: i64,
    leader_epoch: i32,
    now_ms: i64,
) -> Result<ValidatedBatches, ValidateError> {
    let log_append_time_ms = (options.timestamp_type == TimestampType::LogAppendTime).then_some(now_ms);
    let Some(size_bytes) = whole_batch(&records)? else {
        return Ok(ValidatedBatches { batches: Vec::new(), log_append_time_ms });
    };
    let stamp = Stamp { offset, leader_epoch, now_ms };
    let stamped = if batch::magic_of_next(&records) == Some(batch::MAGIC_V2) {
        let rest = &records[size_bytes..];
        let batch = BatchRef::parse(&records)?;
        if options.origin == AppendOrigin::Client && batch.header.base_offset != 0 {
            return Err(ValidateError::InvalidRecord(format!(
                "The baseOffset of the record batch in the append to {} should be 0, but it is {}",
                options.topic_partition, batch.header.base_offset
            )));
        }
        check_size(options, size_bytes)?;
        batch.check_crc().map_err(|error| {
            ValidateError::Corrupt(format!("{error} in topic partition {}", options.topic_partition))
        })?;
        batch.header.compression()?;
        if whole_batch(rest)?.is_some() {
            return Err(ValidateError::InvalidRecord(
                "Compressed outer record has more than one batch".into(),
            ));
        }
        check_batch(&batch.header, options)?;
        validate_batch(batch, options, stamp)?
    } else {
        validate_cold::convert_legacy(&records, options, stamp)?
    };
    Ok(ValidatedBatches { batches: vec![stamped], log_append_time_ms })
}

/// Where and when an append happens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp {
    pub offset: i64,
    pub leader_epoch: i32,
    pub now_ms: i64,
}

pub(crate) fn check_size(options: &ValidateOptions<'_>, size_bytes: usize) -> Result<(), ValidateError> {
    if size_bytes <= options.max_message_bytes {
        return Ok(());
    }
    let topic_partition = options.topic_partition.clone();
    Err(ValidateError::TooLarge { topic_partition, size_bytes, max_bytes: options.max_message_bytes })
}

/// `LogValidator.validateBatch`
fn check_batch(header: &BatchHeader, options: &ValidateOptions<'_>) -> Result<(), ValidateError> {
    if options.origin != AppendOrigin::Client {
        return Ok(());
    }
    let refuse = |what: String| {
        Err(ValidateError::InvalidRecord(format!("{what} in topic partition {}", options.topic_partition)))
    };
    let (base_offset, last_offset, count) = (header.base_offset, header.last_offset(), header.record_count);
    let count_from_offsets = i64::from(header.last_offset_delta) + 1;
    if count_from_offsets <= 0 {
        return refuse(format!("Batch has an invalid offset range: [{base_offset}, {last_offset}]"));
    }
    if count <= 0 {
        return refuse(format!("Invalid reported count for record batch: {count}"));
    }
    if count_from_offsets != i64::from(count) {
        return refuse(format!(
            "Inconsistent batch offset range [{base_offset}, {last_offset}] and count of records {count}"
        ));
    }
    if header.is_control() {
        return refuse("Clients are not allowed to write control records".into());
    }
    if header.has_producer_id() && header.base_sequence < 0 {
        return refuse(format!(
            "Invalid sequence number {} in record batch with producerId {}",
            header.base_sequence, header.producer_id
        ));
    }
    Ok(())
}

/// Walks the records of a batch of magic 2 and stamps its header.
fn validate_batch(
    batch: BatchRef,
    options: &ValidateOptions<'_>,
    stamp: Stamp,
) -> Result<StampedBatch, ValidateError> {
    let mut header = batch.header;
    let source = header.compression()?;
    let target = options.compression.unwrap_or(source);
    let mut checks = Checks::new(options, stamp.now_ms, header.timestamp_type());
    // Control records are compressed only if they came so.
    let keeps_codec = source == target || (source == Compression::None && header.is_control());
    let mut offsets_are_true = true;
    checks.partial = source != Compression::None && keeps_codec;
    let visit = |index: i32, record: RecordShape| {
        let offset = header.base_offset + i64::from(record.offset_delta);
        let is_valid = checks.record(index, offset, header.timestamp_of(record.timestamp_delta_ms), record);
        // As in the reference, offsets count only where records are unpacked.
        offsets_are_true &= !is_valid || record.offset_delta == index;
    };
    if source == Compression::None {
        records::scan(batch.body(), header.record_count, visit)?;
    } else {
        let mut stream = compression::reader(source, batch.body(), options.allowance)?;
        records::scan_stream(&mut stream, header.record_count, &mut Vec::new(), visit)?;
    }
    let max_timestamp = checks.finish()?;
    let is_plain = source == Compression::None && target == Compression::None;
    if !keeps_codec {
        return validate_cold::rebuild(&batch, target, options, stamp);
    }
    if !is_plain && !offsets_are_true {
        // 3.7 means to write such a batch anew, and fails: its iterator has skipped what would have to be copied.
        return Err(ValidateError::Unpackable("key is skipped in PartialDefaultRecord".into()));
    }
    // The last record gets the last offset, however the offsets before it may lie.
    let last_offset = stamp.offset + i64::from(header.record_count) - 1;
    header.base_offset = last_offset - i64::from(header.last_offset_delta);
    header.partition_leader_epoch = stamp.leader_epoch;
    let max_timestamp = match options.timestamp_type {
        TimestampType::CreateTime => max_timestamp,
        TimestampType::LogAppendTime => stamp.now_ms,
    };
    if header.timestamp_type() != options.timestamp_type || header.max_timestamp != max_timestamp {
        header.set_timestamp_type(options.timestamp_type);
        header.max_timestamp = max_timestamp;
        header.crc = header.compute_crc(batch.body());
    }
    Ok(StampedBatch::new(header, batch.bytes.slice(HEADER_BYTES..))?)
}

/// The checks of single records, and what they gather (`LogValidator.validateRecord`).
pub(crate) struct Checks<'a> {
    options: &'a ValidateOptions<'a>,
    now_ms: i64,
    /// What the batch says its timestamps are.
    batch_timestamp_type: TimestampType,
    max_timestamp: i64,
    errors: Vec<RecordError>,
    error_count: usize,
    has_invalid_timestamp: bool,
    /// Whether the reference would know of records only their shape, which shows in its messages.
    pub partial: bool,
}

impl<'a> Checks<'a> {
    pub(crate) fn new(
        options: &'a ValidateOptions<'a>,
        now_ms: i64,
        batch_timestamp_type: TimestampType,
    ) -> Self {
        Self {
            options,
            now_ms,
            batch_timestamp_type,
            max_timestamp: NO_TIMESTAMP,
            errors: Vec::new(),
            error_count: 0,
            has_invalid_timestamp: false,
            partial: false,
        }
    }

    /// Checks one record; says whether it may stay.
    #[inline(always)]
    pub(crate) fn record(&mut self, index: i32, offset: i64, timestamp_ms: i64, record: RecordShape) -> bool {
        self.max_timestamp = self.max_timestamp.max(timestamp_ms);
        if self.options.compacted && !record.has_key() {
            self.refuse_keyless(index);
            return false;
        }
        if self.options.timestamp_type == TimestampType::CreateTime && timestamp_ms != NO_TIMESTAMP {
            let age_ms = self.now_ms.wrapping_sub(timestamp_ms);
            if age_ms > self.options.timestamp_before_max_ms
                || age_ms.wrapping_neg() > self.options.timestamp_after_max_ms
            {
                self.refuse_timestamp(index, offset, timestamp_ms);
                return false;
            }
        } else if self.batch_timestamp_type == TimestampType::LogAppendTime {
            self.refuse_timestamp_type(index, offset, timestamp_ms, record);
            return false;
        }
        true
    }

    pub(crate) fn refuse(&mut self, batch_index: i32, message: String) {
        self.error_count += 1;
        if self.errors.len() < MOST_RECORD_ERRORS {
            self.errors.push(RecordError { batch_index, message });
        }
    }

    #[cold]
    fn refuse_keyless(&mut self, index: i32) {
        let topic_partition = self.options.topic_partition;
        self.refuse(
            index,
            format!("Compacted topic cannot accept message without key in topic partition {topic_partition}"),
        );
    }

    #[cold]
    fn refuse_timestamp(&mut self, index: i32, offset: i64, timestamp_ms: i64) {
        self.has_invalid_timestamp = true;
        let from_ms = self.now_ms.wrapping_sub(self.options.timestamp_before_max_ms);
        let to_ms = self.now_ms.wrapping_add(self.options.timestamp_after_max_ms);
        self.refuse(
            index,
            format!(
                "Timestamp {timestamp_ms} of message with offset {offset} is out of range. The timestamp should be \
                 within [{from_ms}, {to_ms}]"
            ),
        );
    }

    #[cold]
    fn refuse_timestamp_type(&mut self, index: i32, offset: i64, timestamp_ms: i64, record: RecordShape) {
        self.has_invalid_timestamp = true;
        let (kind, least) = if self.partial { ("PartialDefaultRecord", -1) } else { ("DefaultRecord", 0) };
        let (key, value) = (record.key_size_bytes.max(least), record.value_size_bytes.max(least));
        self.refuse(
            index,
            format!(
                "Invalid timestamp type in message {kind}(offset={offset}, timestamp={timestamp_ms}, key={key} bytes, \
                 value={value} bytes). Producer should not set timestamp type to LogAppendTime."
            ),
        );
    }

    /// The largest timestamp, or the refusal (`LogValidator.processRecordErrors`).
    pub(crate) fn finish(self) -> Result<i64, ValidateError> {
        let Self { errors: record_errors, error_count, .. } = self;
        if record_errors.is_empty() {
            return Ok(self.max_timestamp);
        }
        if self.has_invalid_timestamp {
            return Err(ValidateError::InvalidTimestamps { record_errors });
        }
        let shown: Vec<String> = record_errors
            .iter()
            .take(3)
            .map(|error| {
                format!("RecordError(batchIndex={}, message='{}')", error.batch_index, error.message)
            })
            .collect();
        let message = format!(
            "One or more records have been rejected due to {error_count} record errors in total, and only showing the \
             first three errors at most: [{}]",
            shown.join(", ")
        );
        Err(ValidateError::InvalidRecords { message, record_errors })
    }
}
