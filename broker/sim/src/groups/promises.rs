//! What a group promises, whatever happens to its coordinators and members.

use std::collections::{BTreeMap, BTreeSet};

use jackdaw_groups::{Effect, Reply, Request};
use jackdaw_wire::batch::BatchRef;
use jackdaw_wire::group_record::{self, GroupKey, GroupMetadataValue, key_type};
use jackdaw_wire::messages::offset_fetch_request::OffsetFetchRequestGroup;
use jackdaw_wire::{Bytes, StrBytes};

use super::classic::assigned;
use super::{MEMBERS, Mode, PARTITIONS, World, group_id};

/// Who is in the group, if the log is believed.
#[derive(Debug, Default)]
pub(super) struct Roll(BTreeSet<StrBytes>);

impl Roll {
    pub(super) fn read(&mut self, batch: &Bytes) {
        let batch = BatchRef::parse(batch).expect("a batch of ours");
        let mut scratch = Vec::new();
        for record in batch.records(1 << 20, &mut scratch).expect("records of ours") {
            let record = record.expect("a record of ours");
            let key = GroupKey::decode(Bytes::copy_from_slice(record.key.unwrap_or_default()))
                .expect("a key of ours");
            let value = record.value.map(Bytes::copy_from_slice);
            match (key, value) {
                (GroupKey::Group(_), None) => self.0.clear(),
                (GroupKey::Group(_), Some(value)) => {
                    let (value, _) =
                        group_record::decode::<GroupMetadataValue>(value).expect("a group of ours");
                    self.0 = value.members.into_iter().map(|member| member.member_id.into()).collect();
                }
                (GroupKey::ConsumerPart(key_type::CONSUMER_MEMBER, key), None) => {
                    self.0.remove(&StrBytes::from(key.part));
                }
                (GroupKey::ConsumerPart(key_type::CONSUMER_MEMBER, key), Some(_)) => {
                    self.0.insert(key.part.into());
                }
                _ => {}
            }
        }
    }
}

impl World {
    /// A member gets partitions into its hands. Whoever else still has one of them must be out of the group, or was told
    /// so by a coordinator that is deposed: that one cannot know better, and Kafka's does not, but no commit comes of it.
    pub(super) fn gets(&mut self, at: usize, partitions: &BTreeSet<i32>) {
        let id = &self.members[at].id;
        if !self.roll.0.contains(id) || self.members[at].is_misled {
            // Out itself, and about to hear of it.
            return;
        }
        for (other, member) in self.members.iter().enumerate().filter(|(other, m)| *other != at && m.up) {
            let both: Vec<&i32> = partitions.iter().filter(|p| member.owned.contains_key(p)).collect();
            assert!(
                both.is_empty() || member.is_misled || !self.roll.0.contains(&member.id),
                "members {other} and {at} both have {both:?}"
            );
        }
    }

    pub(super) fn check_reply(&mut self, leadership: u64, request: &Request, reply: &Reply) {
        match (request, reply) {
            // A group that was of the other protocol in between begins to count anew.
            (Request::Sync(request), Reply::Sync(reply))
                if reply.error_code == 0 && self.mode == Mode::Classic =>
            {
                let owners = self.owners.entry(request.generation_id).or_default();
                for partition in assigned(&reply.assignment) {
                    let owner = owners.entry(partition).or_insert_with(|| request.member_id.clone());
                    assert_eq!(
                        *owner, request.member_id,
                        "partition {partition} has two owners in generation {}",
                        request.generation_id
                    );
                }
            }
            (Request::Commit { request, .. }, Reply::Commit(reply)) => {
                let told = reply.topics.iter().flat_map(|topic| &topic.partitions);
                let done: BTreeSet<i32> =
                    told.filter(|p| p.error_code == 0).map(|p| p.partition_index).collect();
                let asked = request.topics.iter().flat_map(|topic| &topic.partitions);
                for partition in asked.filter(|p| done.contains(&p.partition_index)) {
                    let (index, offset) = (partition.partition_index, partition.committed_offset);
                    let before = self.acknowledged.insert(index, offset).unwrap_or(-1);
                    assert!(offset >= before, "partition {index} went back from {before} to {offset}");
                }
            }
            // One that lingers may tell what was; who leads may not.
            (Request::Fetch { .. }, Reply::Fetch(reply)) if leadership == self.leadership => {
                for partition in reply.topics.iter().flat_map(|topic| &topic.partitions) {
                    let known = self.acknowledged.get(&partition.partition_index).copied().unwrap_or(-1);
                    let is_told = partition.error_code == 0;
                    assert!(
                        !is_told || partition.committed_offset >= known,
                        "{partition:?} is behind {known}"
                    );
                }
            }
            _ => {}
        }
    }

    /// A new coordinator knows every offset that was acknowledged.
    pub(super) fn check_offsets(&mut self, leadership: u64) {
        let now = self.now();
        let Some(coordinator) = self.coordinators.get_mut(&leadership) else { return };
        let group = OffsetFetchRequestGroup::default().with_group_id(group_id()).with_topics(None);
        coordinator.groups.handle(now, u64::MAX, Request::Fetch { group, require_stable: false });
        let mut known: BTreeMap<i32, i64> = BTreeMap::new();
        for effect in coordinator.groups.take_effects() {
            if let Effect::Reply { reply: Reply::Fetch(reply), .. } = effect {
                let told = reply.topics.iter().flat_map(|topic| &topic.partitions);
                known.extend(told.map(|p| (p.partition_index, p.committed_offset)));
            }
        }
        for (partition, offset) in &self.acknowledged {
            let has = known.get(partition).copied().unwrap_or(-1);
            assert!(has >= *offset, "partition {partition} went back from {offset} to {has}");
        }
    }

    pub(super) fn check_progress(&self) {
        let up: BTreeSet<&StrBytes> = self.members.iter().map(|member| &member.id).collect();
        assert_eq!(up.len(), MEMBERS, "every member has an id of its own");
        let owned: Vec<i32> = self.members.iter().flat_map(|member| member.owned.keys().copied()).collect();
        let distinct: BTreeSet<i32> = owned.iter().copied().collect();
        let states: Vec<_> = self.members.iter().map(|m| (m.doing, m.generation, &m.owned)).collect();
        assert_eq!(owned.len(), PARTITIONS as usize, "each partition has one owner at the end: {states:?}");
        assert_eq!(distinct.len(), owned.len(), "no partition has two at the end: {states:?}");
        for member in &self.members {
            assert!(member.commits > 0, "every member committed something: {states:?}");
        }
    }
}
