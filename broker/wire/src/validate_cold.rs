//! The appends whose records must be written anew, as the reference writes them anew: another `compression.type`,
//! message sets of magic 0 and 1.

use bytes::Bytes;

use crate::batch::{BatchBuilder, BatchError, BatchRef, NO_TIMESTAMP, TimestampType};
use crate::compression::Compression;
use crate::legacy::{self, LegacyError, Message};
use crate::records::{HeadersRef, RecordShape, StructureError};
use crate::validate::{Checks, Stamp, StampedBatch, ValidateError, ValidateOptions, check_size};

/// What records may unpack to where all of them must be held at once, and as much again when they are packed anew. The
/// reference has no limit and runs out of memory instead.
const UNPACKED_LIMIT_BYTES: usize = 128 * 1024 * 1024;

impl From<LegacyError> for ValidateError {
    fn from(error: LegacyError) -> Self {
        match error {
            LegacyError::Batch(error) => error.into(),
            LegacyError::Compression(error) => error.into(),
            error => Self::Corrupt(error.to_string()),
        }
    }
}

/// An empty batch at the place of the append.
fn builder(options: &ValidateOptions<'_>, stamp: Stamp) -> BatchBuilder {
    let builder = BatchBuilder::new(stamp.offset, stamp.leader_epoch);
    match options.timestamp_type {
        TimestampType::CreateTime => builder,
        TimestampType::LogAppendTime => builder.log_append_time(stamp.now_ms),
    }
}

/// Packs the batch and looks at its size once more, as it may have grown.
fn finish(
    builder: BatchBuilder,
    target: Compression,
    options: &ValidateOptions<'_>,
) -> Result<StampedBatch, ValidateError> {
    let bytes = match target {
        Compression::None => builder.build(),
        codec => {
            builder.build_compressed(codec).map_err(|error| ValidateError::Unpackable(error.to_string()))?
        }
    };
    check_size(options, bytes.len())?;
    Ok(StampedBatch::from_batch(&BatchRef::parse(&bytes)?)?)
}

/// Writes the records of a validated batch into a new one, at contiguous offsets.
pub(crate) fn rebuild(
    batch: &BatchRef,
    target: Compression,
    options: &ValidateOptions<'_>,
    stamp: Stamp,
) -> Result<StampedBatch, ValidateError> {
    let header = batch.header;
    let mut rebuilt =
        builder(options, stamp).producer(header.producer_id, header.producer_epoch, header.base_sequence);
    if header.is_transactional() {
        rebuilt = rebuilt.transactional();
    }
    if header.is_control() {
        rebuilt = rebuilt.control();
    }
    let mut scratch = Vec::new();
    for (delta, record) in batch.records(UNPACKED_LIMIT_BYTES, &mut scratch)?.enumerate() {
        let record = record?;
        let timestamp_ms = header.timestamp_of(record.timestamp_delta_ms);
        if timestamp_ms < NO_TIMESTAMP {
            return Err(ValidateError::Unpackable(format!("Invalid negative timestamp {timestamp_ms}")));
        }
        rebuilt.append_at(delta as i32, timestamp_ms, record.key, record.value, record.headers);
    }
    finish(rebuilt, target, options)
}

/// Converts a message set of magic 0 or 1 into one batch of magic 2.
pub(crate) fn convert_legacy(
    records: &Bytes,
    options: &ValidateOptions<'_>,
    stamp: Stamp,
) -> Result<StampedBatch, ValidateError> {
    let outer: Vec<Message<'_>> = legacy::messages(records).collect::<Result<_, _>>()?;
    let Some(first) = outer.first().copied() else {
        return Err(ValidateError::InvalidRecord("Record batch has no batches at all".into()));
    };
    let mut source = Compression::None;
    for message in &outer {
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
    }
    let target = options.compression.unwrap_or(source);
    let mut converted = builder(options, stamp);
    if source == Compression::None {
        // Each message is a batch of its own here: the first bad one decides.
        for message in &outer {
            let mut checks = Checks::new(options, stamp.now_ms, message.timestamp_type());
            append(&mut converted, &mut checks, 0, message, message.timestamp_ms);
            checks.finish()?;
        }
    } else {
        if outer.len() > 1 {
            return Err(ValidateError::InvalidRecord(
                "Compressed outer record has more than one batch".into(),
            ));
        }
        let mut checks = Checks::new(options, stamp.now_ms, first.timestamp_type());
        let unpacked = first.unpack(UNPACKED_LIMIT_BYTES.min(options.allowance.left_bytes()))?;
        options.allowance.take(unpacked.len());
        for (index, inner) in legacy::messages(&unpacked).enumerate() {
            let (inner, index) = (inner?, index as i32);
            inner.check_crc()?;
            if let Some(message) = refuse_inner(&first, &inner, options)? {
                checks.refuse(index, message);
                continue;
            }
            let timestamp_ms = match first.timestamp_type() {
                TimestampType::LogAppendTime => first.timestamp_ms,
                TimestampType::CreateTime => inner.timestamp_ms,
            };
            append(&mut converted, &mut checks, index, &inner, timestamp_ms);
        }
        checks.finish()?;
    }
    if converted.is_empty() {
        return Err(ValidateError::Corrupt(StructureError::PrematureEnd.to_string()));
    }
    finish(converted, target, options)
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
    converted: &mut BatchBuilder,
    checks: &mut Checks<'_>,
    index: i32,
    message: &Message<'_>,
    timestamp_ms: i64,
) {
    let shape = RecordShape {
        timestamp_delta_ms: 0,
        offset_delta: index,
        key_size_bytes: message.key.map_or(-1, |key| key.len() as i32),
        value_size_bytes: message.value.map_or(-1, |value| value.len() as i32),
    };
    if checks.record(index, message.offset, timestamp_ms, shape) {
        converted.append_at(
            converted.record_count(),
            timestamp_ms,
            message.key,
            message.value,
            HeadersRef::default(),
        );
    }
}
