//! A refusal as a client sees it: Kafka's error code and, where Kafka has one, its text.

use jackdaw_wire::{ErrorCode, StrBytes};

// Codes of 3.7 that the table of names does not have yet.
/// A member of the new ISR may not be in it.
pub const INELIGIBLE_REPLICA: ErrorCode = ErrorCode::Unknown(107);
/// The ISR was changed, and with it the leader.
pub const NEW_LEADER_ELECTED: ErrorCode = ErrorCode::Unknown(108);
/// A broker cannot register as it is.
pub const INVALID_REGISTRATION: ErrorCode = ErrorCode::Unknown(119);

/// Kafka's `ApiError`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// The code on the wire.
    pub code: ErrorCode,
    /// The text on the wire, in the APIs that have one.
    pub message: Option<String>,
}

impl ApiError {
    /// A refusal with a text.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: Some(message.into()) }
    }

    /// The text as a field of a reply.
    pub fn text(&self) -> Option<StrBytes> {
        self.message.clone().map(StrBytes::from_string)
    }

    /// Requests that would write more records than one operation may (`MAX_RECORDS_PER_USER_OP`).
    pub fn too_many_records() -> Self {
        Self::new(ErrorCode::PolicyViolation, "Unable to perform excessively large batch operation.")
    }
}

/// A refusal without a text.
impl From<ErrorCode> for ApiError {
    fn from(code: ErrorCode) -> Self {
        Self { code, message: None }
    }
}

/// The code of an outcome: 0 when there is no error.
pub(super) fn code_of(error: Option<&ApiError>) -> i16 {
    error.map_or(0, |e| e.code.code())
}
