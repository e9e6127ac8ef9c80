//! A refusal as a client sees it: Kafka's error code and, where Kafka has one, its text.

use jackdaw_wire::{ErrorCode, StrBytes};

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
