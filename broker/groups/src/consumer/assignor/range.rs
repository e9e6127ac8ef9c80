//! The range assignor: each topic is cut into ranges, one a subscriber, in an order that is the same for every topic
//! (`RangeAssignor`).

use std::collections::BTreeMap;

use jackdaw_wire::{StrBytes, Uuid};

use super::{MemberSpec, Partitions, Spec};

/// How far a topic has been given away.
struct Cut {
    partitions: i32,
    subscribers: i32,
    next: i32,
    /// Subscribers that have had a range.
    served: i32,
}

impl Cut {
    /// The next range: those that come first get one partition more where it does not come out even.
    fn take(&mut self) -> std::ops::Range<i32> {
        let extra = i32::from(self.served < self.partitions % self.subscribers);
        let start = self.next;
        self.next = start + self.partitions / self.subscribers + extra;
        self.served += 1;
        start..self.next
    }
}

pub(super) fn assign(spec: &Spec<'_>) -> BTreeMap<StrBytes, Partitions> {
    let mut cuts: BTreeMap<Uuid, Cut> = BTreeMap::new();
    for topic in spec.members.values().flat_map(|member| &member.topics) {
        let partitions = spec.partitions.get(topic).copied().unwrap_or(0);
        let cut = cuts.entry(*topic).or_insert(Cut { partitions, subscribers: 0, next: 0, served: 0 });
        cut.subscribers += 1;
    }
    // Static members first: their names outlive restarts, so their ranges do.
    let mut order: Vec<(&&StrBytes, &MemberSpec<'_>)> = spec.members.iter().collect();
    order.sort_by_key(|(id, member)| {
        (member.instance_id.is_none(), member.instance_id.cloned(), (**id).clone())
    });
    let mut assigned = BTreeMap::new();
    for (id, member) in order {
        let mut part = Partitions::new();
        for topic in &member.topics {
            let range = cuts.get_mut(topic).map(Cut::take).unwrap_or_default();
            if !range.is_empty() {
                part.insert(*topic, range.collect());
            }
        }
        assigned.insert((*id).clone(), part);
    }
    assigned
}
