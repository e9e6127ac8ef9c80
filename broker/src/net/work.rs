//! What working on a request takes of memory beside its bytes, before anything is worked on.
//!
//! Must not decode. Arrays of small elements are what makes the difference: each of them becomes a value with a name,
//! a list and tags of its own, and another one in the reply.

use jackdaw_wire::frame::{self, FrameError};
use jackdaw_wire::messages::ApiKey;

/// What an element of a request takes while it is answered, where the answer is as simple as the question: a place in
/// the reply, and the reply's bytes.
const BYTES_PER_ELEMENT: usize = 128;
/// The same of a partition that is written to, which has a result to wait for.
const BYTES_PER_PRODUCED: usize = 320;

/// Memory that is taken by the values that a request is decoded to, and by the least that can be answered to them.
///
/// # Errors
/// It cannot be decoded.
pub fn bytes_for(api_key: i16, version: i16, body: &[u8]) -> Result<usize, FrameError> {
    let measure = frame::measure_request(api_key, version, body)?;
    let each = if api_key == ApiKey::Produce as i16 { BYTES_PER_PRODUCED } else { BYTES_PER_ELEMENT };
    Ok(measure.decoded_bytes.saturating_add(measure.elements.saturating_mul(each)))
}

/// Whether a reply may be large: whoever has not read his keeps others from making such.
pub fn may_answer_much(api_key: i16) -> bool {
    const SMALL: [ApiKey; 3] = [ApiKey::Produce, ApiKey::Heartbeat, ApiKey::ApiVersions];
    !SMALL.iter().any(|small| *small as i16 == api_key)
}
