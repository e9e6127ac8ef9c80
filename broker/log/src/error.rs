//! What can go wrong in a log, as types. Kafka's error codes are not chosen here: the broker maps these in one file.

use std::io;
use std::path::{Path, PathBuf};

use jackdaw_wire::types::TopicPartition;

use crate::disk::is_out_of_descriptors;

/// The disk refused. Whoever gets one takes the whole log directory offline, as Kafka's `LogDirFailureChannel`
/// does: after a failed write or sync nothing in that directory can be promised any more. One for want of descriptors
/// ([`StorageError::is_out_of_descriptors`]) is the exception.
#[derive(Debug, thiserror::Error)]
#[error("{operation} failed on {path}: {source}", path = path.display())]
pub struct StorageError {
    pub operation: &'static str,
    pub path: PathBuf,
    #[source]
    pub source: io::Error,
}

impl StorageError {
    pub fn new(operation: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self { operation, path: path.into(), source }
    }

    /// The process, or the whole machine, has no file descriptor left (EMFILE, ENFILE). That is no fault of the disk, and
    /// nothing is lost: what failed is undone, now or with the next call, and the same call may be made again.
    pub fn is_out_of_descriptors(&self) -> bool {
        is_out_of_descriptors(&self.source)
    }

    pub(crate) fn invalid(operation: &'static str, path: impl Into<PathBuf>, why: impl Into<String>) -> Self {
        Self::new(operation, path, io::Error::new(io::ErrorKind::InvalidData, why.into()))
    }
}

/// Turns an `io::Result` into one that knows its file.
pub(crate) trait AtPath<T> {
    fn at(self, operation: &'static str, path: &Path) -> Result<T, StorageError>;
}

impl<T> AtPath<T> for io::Result<T> {
    fn at(self, operation: &'static str, path: &Path) -> Result<T, StorageError> {
        self.map_err(|source| StorageError::new(operation, path, source))
    }
}

/// Why records were not appended. Only [`AppendError::Storage`] concerns the directory; after any other the log is
/// as it was.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// OUT_OF_ORDER_SEQUENCE_NUMBER (`ProducerAppendInfo.checkSequence`).
    #[error(
        "Out of order sequence number for producer {producer_id} at offset {offset} in partition {partition}: \
             {incoming} (incoming seq. number), {current} (current end sequence number)"
    )]
    OutOfOrderSequence {
        producer_id: i64,
        offset: i64,
        partition: TopicPartition,
        incoming: i32,
        current: i32,
    },
    /// OUT_OF_ORDER_SEQUENCE_NUMBER: a new epoch has to start at sequence 0.
    #[error(
        "Invalid sequence number for new epoch of producer {producer_id} at offset {offset} in partition \
             {partition}: {request_epoch} (request epoch), {incoming} (seq. number), {current_epoch} (current producer epoch)"
    )]
    InvalidSequenceForNewEpoch {
        producer_id: i64,
        offset: i64,
        partition: TopicPartition,
        request_epoch: i16,
        incoming: i32,
        current_epoch: i16,
    },
    /// INVALID_PRODUCER_EPOCH.
    #[error(
        "Epoch of producer {producer_id} at offset {offset} in {partition} is {epoch}, which is smaller than \
             the last seen epoch {last_seen}"
    )]
    InvalidProducerEpoch {
        producer_id: i64,
        offset: i64,
        partition: TopicPartition,
        epoch: i16,
        last_seen: i16,
    },
    /// INVALID_TXN_STATE: a plain write while the producer's transaction is open.
    #[error(
        "Expected transactional write from producer {producer_id} at offset {offset} in partition {partition}"
    )]
    InvalidTxnState { producer_id: i64, offset: i64, partition: TopicPartition },
    /// INVALID_TXN_STATE: nobody has verified that the producer's transaction includes this partition (KIP-890).
    #[error("Record was not part of an ongoing transaction")]
    UnverifiedTransaction { producer_id: i64, partition: TopicPartition },
    /// TRANSACTION_COORDINATOR_FENCED: an end marker of an older coordinator.
    #[error(
        "Invalid coordinator epoch for producerId {producer_id} at offset {offset} in partition {partition}: \
             {marker_epoch} (zombie), {current_epoch} (current)"
    )]
    TransactionCoordinatorFenced {
        producer_id: i64,
        offset: i64,
        partition: TopicPartition,
        marker_epoch: i32,
        current_epoch: i32,
    },
    /// RECORD_LIST_TOO_LARGE.
    #[error(
        "Message batch size is {size_bytes} bytes in append to partition {partition}, which exceeds the \
             maximum configured segment size of {limit_bytes}."
    )]
    LargerThanSegment { size_bytes: u64, limit_bytes: u64, partition: TopicPartition },
    /// The batches do not continue this log: the sender's idea of our end is wrong (`UnexpectedAppendOffsetException`).
    #[error(
        "Unexpected offset in append to {partition}. First offset {first_offset} is less than the next offset \
             {log_end_offset}"
    )]
    UnexpectedOffset { first_offset: i64, last_offset: i64, log_end_offset: i64, partition: TopicPartition },
    /// Offsets inside one append go backwards (`OffsetsOutOfOrderException`).
    #[error("Out of order offsets found in append to {partition}: {last_offset} after {previous}")]
    OffsetsOutOfOrder { previous: i64, last_offset: i64, partition: TopicPartition },
    /// CORRUPT_MESSAGE.
    #[error("Record is corrupt in topic partition {partition}: {why}")]
    Corrupt { partition: TopicPartition, why: String },
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Why a log could not be read at an offset.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// OFFSET_OUT_OF_RANGE.
    #[error(
        "Received request for offset {offset} for partition {partition}, but we only have log segments in the \
             range {log_start_offset} to {log_end_offset}."
    )]
    OffsetOutOfRange { offset: i64, log_start_offset: i64, log_end_offset: i64, partition: TopicPartition },
    /// The records on disk are not readable as batches; a broken disk or a broken file.
    #[error("Record is corrupt in topic partition {partition} at offset {offset}: {why}")]
    Corrupt { offset: i64, partition: TopicPartition, why: String },
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Why a log folder could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A batch in a recovered segment contradicts the producer state before it in a way that Kafka's loader refuses.
    #[error("Log of {partition} cannot be loaded: {why}")]
    Inconsistent { partition: TopicPartition, why: String },
}
