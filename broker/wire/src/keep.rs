//! Values of a request that outlive it.
//!
//! What is decoded are slices of the frame that it came in: whoever keeps a name of ten bytes keeps a frame of up to a
//! hundred megabytes. What is kept is copied here.

use bytes::Bytes;
use kafka_protocol::protocol::StrBytes;

/// A text of its own.
pub fn text(text: &StrBytes) -> StrBytes {
    StrBytes::from_string(text.to_string())
}

/// Bytes of their own.
pub fn bytes(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}
