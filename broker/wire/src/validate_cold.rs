//! The appends whose records must be written anew, as the reference writes them anew: another `compression.type`,
//! message sets of magic 0 and 1.

use bytes::Bytes;

use crate::batch::{BatchBuilder, BatchError, BatchRef, HEADER_BYTES, NO_TIMESTAMP, TimestampType};
use crate::compression::{Allowance, Compression, CompressionError, Packer};
use crate::legacy::{self, LegacyError, Message};
use crate::records::{HeadersRef, RecordShape, StructureError};
use crate::validate::{Checks, Stamp, StampedBatch, ValidateError, ValidateOptions, check_size};

/// A compressed record that unpacks to more is refused where it must be in memory: to be packed anew here, or to be
/// given to a client of old. One is there at a time. The reference has no limit and runs out of memory instead.
pub const RECORD_LIMIT_BYTES: usize = 64 << 20;

impl From<LegacyError> for ValidateError {
    fn from(error: LegacyError) -> Self {
        match error {
            LegacyError::Batch(error) => error.into(),
            LegacyError::Compression(error) => error.into(),
            error => Self::Corrupt(error.to_string()),
        }
    }
}

/// A batch that is written anew: what is packed of it is in memory.
struct Rewriting<'a> {
    builder: BatchBuilder,
    packer: Packer,
    options: &'a ValidateOptions<'a>,
    plain_bytes: usize,
}

impl<'a> Rewriting<'a> {
    /// At the place of the append.
    fn new(
        builder: BatchBuilder,
        target: Compression,
        options: &'a ValidateOptions<'a>,
        stamp: Stamp,
    ) -> Result<Self, ValidateError> {
        let builder = match options.timestamp_type {
            TimestampType::CreateTime => builder,
            TimestampType::LogAppendTime => builder.log_append_time(stamp.now_ms),
        };
        Ok(Self { builder, packer: Packer::new(target)?, options, plain_bytes: 0 })
    }

    fn append_at(
        &mut self,
        offset_delta: i32,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: HeadersRef<'_>,
    ) -> Result<(), ValidateError> {
        self.builder.append_at(offset_delta, timestamp_ms, key, value, headers);
        let is_plain = self.packer.codec() == Compression::None;
        self.plain_bytes += self.builder.size_bytes() - HEADER_BYTES;
        if is_plain && self.plain_bytes > self.options.max_message_bytes {
            // It is refused for its size, which is still to be told.
            self.builder.drop_records();
        }
        Ok(self.builder.pack(&mut self.packer)?)
    }

    /// Looks at the batch's size once more, as it may have grown.
    fn finish(self) -> Result<StampedBatch, ValidateError> {
        if self.packer.codec() == Compression::None {
            check_size(self.options, HEADER_BYTES + self.plain_bytes)?;
        }
        let unpackable = |error: CompressionError| ValidateError::Unpackable(error.to_string());
        let bytes = self.builder.build_packed(self.packer).map_err(unpackable)?;
        check_size(self.options, bytes.len())?;
        Ok(StampedBatch::from_batch(&BatchRef::parse(&bytes)?)?)
    }
}

/// Writes the records of a validated batch into a new one, at contiguous offsets.
pub(crate) fn rebuild(
    batch: &BatchRef,
    target: Compression,
    options: &ValidateOptions<'_>,
    stamp: Stamp,
) -> Result<StampedBatch, ValidateError> {
    let header = batch.header;
    let mut builder = BatchBuilder::new(stamp.offset, stamp.leader_epoch).producer(
        header.producer_id,
        header.producer_epoch,
        header.base_sequence,
    );
    if header.is_transactional() {
        builder = builder.transactional();
    }
    if header.is_control() {
        builder = builder.control();
    }
    let mut rebuilt = Rewriting::new(builder, target, options, stamp)?;
    let mut delta = 0;
    batch.each_record(&Allowance::new(usize::MAX), RECORD_LIMIT_BYTES, |record| {
        let timestamp_ms = header.timestamp_of(record.timestamp_delta_ms);
        if timestamp_ms < NO_TIMESTAMP {
            return Err(ValidateError::Unpackable(format!("Invalid negative timestamp {timestamp_ms}")));
        }
        delta += 1;
        rebuilt.append_at(delta - 1, timestamp_ms, record.key, record.value, record.headers)
    })?;
    rebuilt.finish()
}

/// Converts a message set of magic 0 or 1 into one batch of magic 2.
pub(crate) fn convert_legacy(
    records: &Bytes,
    options: &ValidateOptions<'_>,
    stamp: Stamp,
) -> Result<StampedBatch, ValidateError> {
    let mut first = None;
    let mut source = Compression::None;
    let mut count = 0;
    for message in legacy::messages(records) {
        let message = message?;
        let first = *first.get_or_insert(message);
        check_size(options, message.size_bytes)?;
        message.check_crc()?;
        let codec = message.compression()?;
        if codec != Compression::None {
            source = codec;
        }
        if message.magic != first.magic {
            return Err(ValidateError::InvalidRecord(format!(
                "Batch magic {} is not the same as the first batch's magic byte {} in topic partition {}",
                message.magic, first.magic, options.topic_partition
            )));
        }
        count += 1;
    }
    let Some(first) = first else {
        return Err(ValidateError::InvalidRecord("Record batch has no batches at all".into()));
    };
    let target = options.compression.unwrap_or(source);
    let builder = BatchBuilder::new(stamp.offset, stamp.leader_epoch);
    let mut converted = Rewriting::new(builder, target, options, stamp)?;
    if source == Compression::None {
        // Each message is a batch of its own here: the first bad one decides.
        for message in legacy::messages(records) {
            let message = message?;
            let mut checks = Checks::new(options, stamp.now_ms, message.timestamp_type());
            append(&mut converted, &mut checks, 0, &message, message.timestamp_ms)?;
            checks.finish()?;
        }
    } else {
        if count > 1 {
            return Err(ValidateError::InvalidRecord(
                "Compressed outer record has more than one batch".into(),
            ));
        }
        let mut checks = Checks::new(options, stamp.now_ms, first.timestamp_type());
        let mut index = -1;
        first.unpack(options.allowance, RECORD_LIMIT_BYTES, |inner| {
            index += 1;
            inner.check_crc()?;
            if let Some(message) = refuse_inner(&first, &inner, options)? {
                checks.refuse(index, message);
                return Ok(());
            }
            let timestamp_ms = match first.timestamp_type() {
                TimestampType::LogAppendTime => first.timestamp_ms,
                TimestampType::CreateTime => inner.timestamp_ms,
            };
            append(&mut converted, &mut checks, index, &inner, timestamp_ms)
        })?;
        checks.finish()?;
    }
    if converted.builder.is_empty() {
        return Err(ValidateError::Corrupt(StructureError::PrematureEnd.to_string()));
    }
    converted.finish()
}

/// What an inner message of a compressed one must not be.
fn refuse_inner(
    outer: &Message<'_>,
    inner: &Message<'_>,
    options: &ValidateOptions<'_>,
) -> Result<Option<String>, BatchError> {
    if inner.compression()? != Compression::None {
        return Ok(Some(
            "Compressed outer record should not have an inner record with a compression attribute set".into(),
        ));
    }
    Ok((inner.magic != outer.magic).then(|| {
        format!(
            "Record's magic does not match outer magic {} in topic partition {}",
            outer.magic, options.topic_partition
        )
    }))
}

fn append(
    converted: &mut Rewriting<'_>,
    checks: &mut Checks<'_>,
    index: i32,
    message: &Message<'_>,
    timestamp_ms: i64,
) -> Result<(), ValidateError> {
    let shape = RecordShape {
        timestamp_delta_ms: 0,
        offset_delta: index,
        key_size_bytes: message.key.map_or(-1, |key| key.len() as i32),
        value_size_bytes: message.value.map_or(-1, |value| value.len() as i32),
    };
    if !checks.record(index, message.offset, timestamp_ms, shape) {
        return Ok(());
    }
    let delta = converted.builder.record_count();
    converted.append_at(delta, timestamp_ms, message.key, message.value, HeadersRef::default())
}
