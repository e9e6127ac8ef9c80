//! The one place where this process's failures become Kafka's error codes.

use jackdaw_log::{AppendError, ReadError};
use jackdaw_wire::ErrorCode;
use jackdaw_wire::validate::ValidateError;

/// Why the controller's answer is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    #[error("no active controller answered in time")]
    Timeout,
    #[error("{0}")]
    Codec(String),
    #[error("the controller refused the envelope: {0}")]
    Refused(ErrorCode),
    #[error("this node is stopping")]
    Stopped,
}

/// No block of producer ids: the producer is to try again (`RPCProducerIdManager`), whatever kept the block away.
pub fn of_allocation(_: &LinkError) -> ErrorCode {
    ErrorCode::CoordinatorLoadInProgress
}

/// Of a request that no controller answered (`ForwardingManager`).
pub fn of_link(error: &LinkError) -> ErrorCode {
    match error {
        LinkError::Timeout | LinkError::Stopped => ErrorCode::RequestTimedOut,
        LinkError::Refused(code) => *code,
        LinkError::Codec(_) => ErrorCode::UnknownServerError,
    }
}

/// Of records that were refused before they reached a log.
pub fn of_validation(error: &ValidateError) -> ErrorCode {
    match error {
        ValidateError::Corrupt(_) => ErrorCode::CorruptMessage,
        ValidateError::InvalidRecord(_) | ValidateError::InvalidRecords { .. } => ErrorCode::InvalidRecord,
        ValidateError::InvalidTimestamps { .. } => ErrorCode::InvalidTimestamp,
        ValidateError::TooLarge { .. } | ValidateError::UnpacksTooLarge(_) => ErrorCode::MessageTooLarge,
        ValidateError::UnsupportedCompression(_) => ErrorCode::UnsupportedCompressionType,
        ValidateError::Unpackable(_) => ErrorCode::UnknownServerError,
    }
}

/// Of records that a log refused.
pub fn of_append(error: &AppendError) -> ErrorCode {
    match error {
        AppendError::OutOfOrderSequence { .. } | AppendError::InvalidSequenceForNewEpoch { .. } => {
            ErrorCode::OutOfOrderSequenceNumber
        }
        AppendError::InvalidProducerEpoch { .. } => ErrorCode::InvalidProducerEpoch,
        AppendError::InvalidTxnState { .. } | AppendError::UnverifiedTransaction { .. } => {
            ErrorCode::InvalidTxnState
        }
        AppendError::TransactionCoordinatorFenced { .. } => ErrorCode::TransactionCoordinatorFenced,
        AppendError::LargerThanSegment { .. } => ErrorCode::RecordListTooLarge,
        AppendError::UnexpectedOffset { .. } | AppendError::OffsetsOutOfOrder { .. } => {
            ErrorCode::UnknownServerError
        }
        AppendError::Corrupt { .. } => ErrorCode::CorruptMessage,
        AppendError::Storage(_) => ErrorCode::KafkaStorageError,
    }
}

/// Of a read.
pub fn of_read(error: &ReadError) -> ErrorCode {
    match error {
        ReadError::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        ReadError::Corrupt { .. } => ErrorCode::CorruptMessage,
        ReadError::Storage(_) => ErrorCode::KafkaStorageError,
    }
}
