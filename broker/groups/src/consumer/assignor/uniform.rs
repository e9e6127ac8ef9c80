//! The uniform assignor: nobody has two partitions more than anybody else who could have them, and within that everyone
//! keeps what they had (`UniformAssignor` and its two builders).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;

use jackdaw_wire::{StrBytes, Uuid};

use super::{Partitions, Spec};

type TopicPartition = (Uuid, i32);

/// Everyone subscribes to the same topics: each member has a quota.
pub(super) fn assign_homogeneous(spec: &Spec<'_>) -> BTreeMap<StrBytes, Partitions> {
    let members = spec.members.len();
    let Some(subscribed) = spec.members.values().next().map(|member| &member.topics) else {
        return BTreeMap::new();
    };
    let taken: BTreeSet<TopicPartition> =
        spec.members.values().flat_map(|member| flat(&member.target)).collect();
    let mut unassigned: Vec<TopicPartition> = Vec::new();
    let mut total = 0;
    for topic in subscribed {
        let partitions = spec.partitions.get(topic).copied().unwrap_or(0);
        total += usize::try_from(partitions).unwrap_or(0);
        unassigned.extend((0..partitions).map(|index| (*topic, index)).filter(|p| !taken.contains(p)));
    }
    let (least, mut with_one_more) = (total / members, total % members);
    let mut assigned: BTreeMap<StrBytes, Partitions> = BTreeMap::new();
    let mut unfilled: Vec<(&StrBytes, usize)> = Vec::new();
    for (at, (id, member)) in spec.members.iter().enumerate() {
        let mut takes_one_more = with_one_more > 0;
        let mut quota = least + usize::from(takes_one_more);
        let mut kept = Partitions::new();
        for (topic, partitions) in member.target.iter().filter(|(topic, _)| subscribed.contains(topic)) {
            let stays: BTreeSet<i32> = partitions.iter().copied().take(quota).collect();
            unassigned.extend(partitions.difference(&stays).map(|index| (*topic, *index)));
            quota -= stays.len();
            if !stays.is_empty() {
                kept.insert(*topic, stays);
            }
        }
        // Whoever comes later and has one more already may keep it, as long as enough are left to take them all.
        if quota > 0 && takes_one_more && members - at > with_one_more {
            quota -= 1;
            takes_one_more = false;
        }
        with_one_more -= usize::from(takes_one_more);
        if quota > 0 {
            unfilled.push((id, quota));
        }
        assigned.insert((*id).clone(), kept);
    }
    let mut left = unassigned.into_iter();
    for (id, quota) in unfilled {
        let part = assigned.entry(id.clone()).or_default();
        for (topic, index) in left.by_ref().take(quota) {
            part.entry(topic).or_default().insert(index);
        }
    }
    assigned
}

fn flat(partitions: &Arc<Partitions>) -> Vec<TopicPartition> {
    partitions.iter().flat_map(|(topic, all)| all.iter().map(|index| (*topic, *index))).collect()
}

/// Passes over all topics while some partition can be moved to somebody who has less.
const MOST_PASSES: usize = 16;

/// Members subscribe to different topics: topic by topic, whoever has least gets more, and then whoever has most gives.
pub(super) fn assign_heterogeneous(spec: &Spec<'_>) -> BTreeMap<StrBytes, Partitions> {
    let mut sharing = Sharing::of(spec);
    let mut order: Vec<Uuid> = sharing.topics.keys().copied().collect();
    order.sort_by(|a, b| sharing.topics[a].before(&sharing.topics[b]).then_with(|| a.cmp(b)));
    for topic in &order {
        sharing.hand_out(topic);
    }
    order.retain(|topic| sharing.topics[topic].subscribers.len() > 1);
    for _ in 0..MOST_PASSES {
        let moved: usize = order.iter().map(|topic| sharing.balance(topic)).sum();
        if moved == 0 {
            break;
        }
    }
    sharing.into_assignment(spec)
}

/// One topic being shared out. Members are told by their place in the order of ids.
struct Shared {
    subscribers: Vec<usize>,
    /// By partition.
    owners: Vec<Option<usize>>,
}

impl Shared {
    /// Topics with more partitions a subscriber come first, then those with fewer subscribers.
    fn before(&self, other: &Self) -> std::cmp::Ordering {
        let (own, others) =
            (self.owners.len() * other.subscribers.len(), other.owners.len() * self.subscribers.len());
        others.cmp(&own).then_with(|| self.subscribers.len().cmp(&other.subscribers.len()))
    }
}

struct Sharing {
    topics: BTreeMap<Uuid, Shared>,
    /// Partitions of each member.
    sizes: Vec<usize>,
}

impl Sharing {
    fn of(spec: &Spec<'_>) -> Self {
        let mut topics: BTreeMap<Uuid, Shared> = BTreeMap::new();
        let mut sizes = vec![0; spec.members.len()];
        for (at, member) in spec.members.values().enumerate() {
            for topic in &member.topics {
                let count = usize::try_from(spec.partitions.get(topic).copied().unwrap_or(0)).unwrap_or(0);
                let shared = topics
                    .entry(*topic)
                    .or_insert_with(|| Shared { subscribers: Vec::new(), owners: vec![None; count] });
                shared.subscribers.push(at);
                for index in member.target.get(topic).into_iter().flatten() {
                    let slot = usize::try_from(*index).ok().and_then(|index| shared.owners.get_mut(index));
                    if let Some(slot @ None) = slot {
                        *slot = Some(at);
                        sizes[at] += 1;
                    }
                }
            }
        }
        Self { topics, sizes }
    }

    /// Gives what nobody has to whoever has least.
    fn hand_out(&mut self, topic: &Uuid) {
        let Self { topics, sizes } = self;
        let Some(shared) = topics.get_mut(topic) else { return };
        let mut least: BinaryHeap<Reverse<(usize, usize)>> =
            shared.subscribers.iter().map(|member| Reverse((sizes[*member], *member))).collect();
        for slot in shared.owners.iter_mut().filter(|slot| slot.is_none()) {
            let Some(Reverse((size, member))) = least.pop() else { return };
            *slot = Some(member);
            sizes[member] = size + 1;
            least.push(Reverse((size + 1, member)));
        }
    }

    /// Moves partitions from whoever has most to whoever has least, while that brings them closer. Gives their number.
    fn balance(&mut self, topic: &Uuid) -> usize {
        let Self { topics, sizes } = self;
        let Some(shared) = topics.get_mut(topic) else { return 0 };
        let mut owned: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (index, owner) in shared.owners.iter().enumerate() {
            if let Some(owner) = owner {
                owned.entry(*owner).or_default().push(index);
            }
        }
        let by_size = || shared.subscribers.iter().map(|member| (sizes[*member], *member));
        let mut least: BTreeSet<(usize, usize)> = by_size().collect();
        let mut moved = 0;
        loop {
            let gives =
                least.iter().rev().find(|(_, member)| owned.get(member).is_some_and(|all| !all.is_empty()));
            let (Some(gives), Some(takes)) = (gives.copied(), least.first().copied()) else { return moved };
            if gives.0 <= takes.0 + 1 {
                return moved;
            }
            let Some(index) = owned.get_mut(&gives.1).and_then(Vec::pop) else { return moved };
            owned.entry(takes.1).or_default().push(index);
            shared.owners[index] = Some(takes.1);
            for ((size, member), now) in [(gives, gives.0 - 1), (takes, takes.0 + 1)] {
                least.remove(&(size, member));
                least.insert((now, member));
                sizes[member] = now;
            }
            moved += 1;
        }
    }

    fn into_assignment(self, spec: &Spec<'_>) -> BTreeMap<StrBytes, Partitions> {
        let ids: Vec<&&StrBytes> = spec.members.keys().collect();
        let mut assigned: BTreeMap<StrBytes, Partitions> =
            ids.iter().map(|id| ((**id).clone(), Partitions::new())).collect();
        for (topic, shared) in self.topics {
            for (index, owner) in (0_i32..).zip(shared.owners) {
                let id = owner.and_then(|owner| ids.get(owner));
                if let Some(part) = id.and_then(|id| assigned.get_mut(**id)) {
                    part.entry(topic).or_default().insert(index);
                }
            }
        }
        assigned
    }
}
