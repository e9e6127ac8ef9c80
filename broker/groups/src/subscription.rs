//! The topics in a consumer's metadata (`ConsumerProtocol.deserializeSubscription`, version 0, which every later one
//! begins with). The rest of the metadata is the assignor's and nobody else's.

use std::collections::BTreeSet;

use jackdaw_wire::{Buf, Bytes, StrBytes};

/// The protocol type of consumers.
pub(crate) const CONSUMER: &str = "consumer";

/// None where it cannot be understood.
pub(crate) fn topics(mut metadata: Bytes) -> Option<BTreeSet<StrBytes>> {
    if metadata.try_get_i16().ok()? < 0 {
        return None;
    }
    let count = metadata.try_get_i32().ok()?;
    let mut topics = BTreeSet::new();
    // A negative count is a null array, which the field does not allow.
    for _ in 0..u32::try_from(count).ok()? {
        let length = usize::try_from(metadata.try_get_i16().ok()?).ok()?;
        if length > metadata.len() {
            return None;
        }
        topics.insert(StrBytes::from_utf8(metadata.split_to(length)).ok()?);
    }
    let user_data = metadata.try_get_i32().ok()?;
    let is_whole = user_data < 0 || user_data as usize <= metadata.len();
    is_whole.then_some(topics)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_read_and_what_is_broken_is_not_guessed_at() {
        let read = |bytes: &'static [u8]| {
            topics(Bytes::from_static(bytes))
                .map(|topics| topics.iter().map(|t| t.to_string()).collect::<Vec<_>>())
        };
        assert_eq!(read(b"\0\0\0\0\0\x02\0\x01b\0\x01a\0\0\0\x01x"), Some(vec!["a".into(), "b".into()]));
        // A later version has more behind it.
        assert_eq!(read(b"\0\x03\0\0\0\x01\0\x01a\xff\xff\xff\xff\0\0\0\0"), Some(vec!["a".into()]));
        assert_eq!(read(b"\0\0\0\0\0\0\xff\xff\xff\xff"), Some(vec![]));
        for broken in [
            &b""[..],
            b"\xff\xff\0\0\0\0\xff\xff\xff\xff",
            b"\0\0\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\0\0\0\0\0\x02\0\x01a",
            b"\0\0\0\0\0\x01\0\x09a\xff\xff\xff\xff",
            b"\0\0\0\0\0\0\0\0\0\x05x",
        ] {
            assert_eq!(read(broken), None, "{broken:?}");
        }
    }
}
