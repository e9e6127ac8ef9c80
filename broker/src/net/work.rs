//! What working on a request takes of memory beside its bytes, before anything is worked on.
//!
//! Must not decode. Arrays of small elements are what makes the difference: each of them becomes a value with a name,
//! a list and tags of its own, and another one in the reply.

use jackdaw_wire::messages::ApiKey;

/// What an element of a request takes in its reply, in memory and encoded, where its answer is as simple as it is.
const REPLY_BYTES_PER_ELEMENT: usize = 128;

/// Memory that is taken by the values that a request is decoded to, and by the least that can be answered to them.
pub fn bytes_for(api_key: i16, _version: i16, body: &[u8]) -> usize {
    if api_key == ApiKey::Produce as i16 {
        return REPLY_BYTES_PER_ELEMENT;
    }
    body.len()
}

/// Whether a reply may be large: whoever has not read his keeps others from making such.
pub fn may_answer_much(api_key: i16) -> bool {
    const SMALL: [ApiKey; 3] = [ApiKey::Produce, ApiKey::Heartbeat, ApiKey::ApiVersions];
    !SMALL.iter().any(|small| *small as i16 == api_key)
}
