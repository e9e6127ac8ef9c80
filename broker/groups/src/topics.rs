//! What the coordinator knows of the cluster's topics: a picture that is handed to it, and never asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use jackdaw_wire::{StrBytes, Uuid};
use twox_hash::XxHash3_64;

/// A topic, as far as assigning its partitions needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    pub id: Uuid,
    pub name: StrBytes,
    pub partitions: i32,
    /// Changes with everything that groups are rebalanced for (`Utils.computeTopicHash`).
    pub hash: u64,
}

impl Topic {
    /// `racks` has for each partition the racks of its replicas' brokers, as far as they have one.
    pub fn new(id: Uuid, name: StrBytes, racks: &mut [Vec<&str>]) -> Self {
        const MAGIC: u8 = 0;
        let mut input = vec![MAGIC];
        let (high, low) = id.as_u64_pair();
        input.extend(high.to_le_bytes());
        input.extend(low.to_le_bytes());
        put_text(&mut input, &name);
        let partitions = i32::try_from(racks.len()).unwrap_or(i32::MAX);
        input.extend(partitions.to_le_bytes());
        for (index, racks) in (0_i32..).zip(racks) {
            input.extend(index.to_le_bytes());
            racks.sort_unstable();
            for rack in racks {
                let length = i32::try_from(rack.encode_utf16().count()).unwrap_or(i32::MAX);
                input.extend(length.to_le_bytes());
                put_text(&mut input, rack);
            }
        }
        Self { id, name, partitions, hash: XxHash3_64::oneshot(&input) }
    }
}

/// As hash4j feeds a text: its UTF-16 units, then their number.
fn put_text(input: &mut Vec<u8>, text: &str) {
    let mut units = 0_i32;
    for unit in text.encode_utf16() {
        input.extend(unit.to_le_bytes());
        units += 1;
    }
    input.extend(units.to_le_bytes());
}

/// All topics at one moment.
#[derive(Debug, Clone, Default)]
pub struct Topics {
    /// Grows whenever anything here changes; -1: nothing is known yet.
    pub version: i64,
    /// The version that last brought a topic that was not there before.
    pub created_in: i64,
    by_name: BTreeMap<StrBytes, Arc<Topic>>,
    by_id: BTreeMap<Uuid, Arc<Topic>>,
}

impl Topics {
    pub fn new(version: i64, created_in: i64, topics: impl IntoIterator<Item = Arc<Topic>>) -> Self {
        let by_name: BTreeMap<_, _> = topics.into_iter().map(|topic| (topic.name.clone(), topic)).collect();
        let by_id = by_name.values().map(|topic| (topic.id, Arc::clone(topic))).collect();
        Self { version, created_in, by_name, by_id }
    }

    pub fn by_name(&self, name: &StrBytes) -> Option<&Topic> {
        self.by_name.get(name).map(|topic| &**topic)
    }

    pub fn by_id(&self, id: &Uuid) -> Option<&Topic> {
        self.by_id.get(id).map(|topic| &**topic)
    }

    pub fn names(&self) -> impl Iterator<Item = &StrBytes> {
        self.by_name.keys()
    }

    /// `Utils.computeGroupHash` over those that exist, which come in the order of their names.
    pub(crate) fn hash_of<'a>(&self, names: impl IntoIterator<Item = &'a StrBytes>) -> i64 {
        let mut input = Vec::new();
        for topic in names.into_iter().filter_map(|name| self.by_name(name)) {
            input.extend(topic.hash.to_le_bytes());
        }
        match input.is_empty() {
            true => 0,
            false => XxHash3_64::oneshot(&input).cast_signed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers are those of hash4j, fed as `Utils.computeTopicHash` and `computeGroupHash` feed it: whoever takes a
    /// group over finds its topics as they were.
    #[test]
    fn topics_are_hashed_as_kafka_hashes_them() {
        let name = StrBytes::from_static_str;
        let plain = Topic::new(Uuid::from_u128(116), name("t"), &mut [vec![], vec![]]);
        assert_eq!(plain.hash.cast_signed(), 1_503_824_262_102_934_431);
        let id = Uuid::from_u64_pair(0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210);
        let mut racks = [vec!["bb", "a"], vec![]];
        let with_racks = Topic { name: name("u"), ..Topic::new(id, name("grün"), &mut racks) };
        assert_eq!(with_racks.hash.cast_signed(), -2_150_438_246_920_669_847);
        let topics = Topics::new(1, 1, [Arc::new(with_racks), Arc::new(plain)]);
        let (t, u, gone) = (name("t"), name("u"), name("s"));
        assert_eq!(topics.hash_of([&gone, &t, &u]), -3_853_389_537_657_314_996);
        assert_eq!(topics.hash_of([&gone]), 0);
    }
}
