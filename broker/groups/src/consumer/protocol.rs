//! What classic consumers say in their metadata, and are told in their assignment (`ConsumerProtocol`, versions 0 to 3,
//! which all begin alike). Here a coordinator reads and writes what only clients did before.

use jackdaw_wire::{Buf, BufMut, Bytes, BytesMut, StrBytes};

use super::Partitions;
use crate::topics::Topics;

/// Topics with partitions, by name.
type Named = Vec<(StrBytes, Vec<i32>)>;

/// A member's metadata.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Subscription {
    pub version: i16,
    pub topics: Vec<StrBytes>,
    pub owned: Named,
    pub rack_id: Option<StrBytes>,
}

/// From this version on a member says what it owns.
const OWNED_FROM: i16 = 1;
/// From this version on it says of which generation that is.
const GENERATION_FROM: i16 = 2;
/// From this version on it says which rack it is in (KIP-881).
const RACK_FROM: i16 = 3;

/// None where it cannot be understood.
pub(super) fn subscription(mut input: Bytes) -> Option<Subscription> {
    let version = input.try_get_i16().ok().filter(|version| *version >= 0)?;
    let topics = list(&mut input, text)?;
    bytes(&mut input)?;
    let owned = if version >= OWNED_FROM { list(&mut input, topic)? } else { Vec::new() };
    if version >= GENERATION_FROM {
        input.try_get_i32().ok()?;
    }
    let rack_id = if version >= RACK_FROM { nullable_text(&mut input)? } else { None };
    Some(Subscription { version, topics, owned, rack_id })
}

/// An assignment, and whether there is data of a custom assignor with it.
pub(super) fn assignment(mut input: Bytes) -> Option<(Named, bool)> {
    input.try_get_i16().ok().filter(|version| *version >= 0)?;
    let topics = list(&mut input, topic)?;
    let user_data = bytes(&mut input)?;
    Some((topics, user_data.is_some_and(|data| !data.is_empty())))
}

/// An assignment in this version; topics that are gone are left out.
pub(super) fn encode_assignment(version: i16, partitions: &Partitions, topics: &Topics) -> Bytes {
    let known = partitions.iter().filter_map(|(id, all)| Some((&topics.by_id(id)?.name, all)));
    let known: Vec<_> = known.collect();
    let mut out = BytesMut::new();
    out.put_i16(version.min(RACK_FROM));
    put_length(&mut out, known.len());
    for (name, all) in known {
        out.put_i16(i16::try_from(name.len()).unwrap_or(i16::MAX));
        out.put_slice(name.as_bytes());
        put_length(&mut out, all.len());
        all.iter().for_each(|partition| out.put_i32(*partition));
    }
    // No data of an assignor.
    out.put_i32(-1);
    out.freeze()
}

/// By id, as far as the topics are known.
pub(super) fn by_id(named: &Named, topics: &Topics) -> Partitions {
    let known = named.iter().filter_map(|(name, all)| Some((topics.by_name(name)?.id, all)));
    known.map(|(id, all)| (id, all.iter().copied().collect())).collect()
}

fn put_length(out: &mut BytesMut, length: usize) {
    out.put_i32(i32::try_from(length).unwrap_or(i32::MAX));
}

fn list<T>(input: &mut Bytes, mut read: impl FnMut(&mut Bytes) -> Option<T>) -> Option<Vec<T>> {
    let count = u32::try_from(input.try_get_i32().ok()?).ok()?;
    // Every element takes bytes: a count that lies ends early.
    (0..count).map(|_| read(input)).collect()
}

fn topic(input: &mut Bytes) -> Option<(StrBytes, Vec<i32>)> {
    Some((text(input)?, list(input, |input| input.try_get_i32().ok())?))
}

fn text(input: &mut Bytes) -> Option<StrBytes> {
    nullable_text(input)?
}

fn nullable_text(input: &mut Bytes) -> Option<Option<StrBytes>> {
    let length = input.try_get_i16().ok()?;
    let Ok(length) = usize::try_from(length) else { return Some(None) };
    if length > input.len() {
        return None;
    }
    StrBytes::from_utf8(input.split_to(length)).ok().map(Some)
}

fn bytes(input: &mut Bytes) -> Option<Option<Bytes>> {
    let length = input.try_get_i32().ok()?;
    let Ok(length) = usize::try_from(length) else { return Some(None) };
    (length <= input.len()).then(|| Some(input.split_to(length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_members_say_is_read_in_every_version_and_not_guessed_at() {
        let read = |input: &'static [u8]| subscription(Bytes::from_static(input));
        let topics = vec![StrBytes::from_static_str("a")];
        let plain = Subscription { version: 0, topics, owned: vec![], rack_id: None };
        assert_eq!(read(b"\0\0\0\0\0\x01\0\x01a\xff\xff\xff\xff"), Some(plain));
        let full = read(
            b"\0\x03\0\0\0\x01\0\x01a\0\0\0\x01x\0\0\0\x01\0\x01a\0\0\0\x02\0\0\0\0\0\0\0\x07\0\0\0\x05\0\x01r",
        )
        .unwrap();
        assert_eq!(full.owned, vec![(StrBytes::from_static_str("a"), vec![0, 7])]);
        assert_eq!((full.version, full.rack_id.as_deref()), (3, Some("r")));
        for broken in [
            &b""[..],
            b"\xff\xff\0\0\0\0\xff\xff\xff\xff",
            b"\0\x01\0\0\0\0\xff\xff\xff\xff",
            b"\0\0\x7f\xff\xff\xff\0\x01a",
            b"\0\0\0\0\0\x01\xff\xff\xff\xff\xff\xff",
        ] {
            assert_eq!(read(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn an_assignment_is_read_as_it_was_written() {
        let id = jackdaw_wire::Uuid::from_u128(7);
        let topic = crate::Topic::new(id, StrBytes::from_static_str("t"), &mut [vec![], vec![]]);
        let topics = Topics::new(1, 1, [std::sync::Arc::new(topic)]);
        let gone = jackdaw_wire::Uuid::from_u128(8);
        let partitions = Partitions::from([(id, [0, 1].into()), (gone, [0].into())]);
        let bytes = encode_assignment(1, &partitions, &topics);
        assert_eq!(&bytes[..], b"\0\x01\0\0\0\x01\0\x01t\0\0\0\x02\0\0\0\0\0\0\0\x01\xff\xff\xff\xff");
        let (named, has_data) = assignment(bytes).unwrap();
        assert!(!has_data);
        assert_eq!(by_id(&named, &topics), Partitions::from([(id, [0, 1].into())]));
    }
}
