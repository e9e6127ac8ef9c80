//! Questions about partitions that would otherwise walk all of them.
//!
//! Kept from deltas alone, so that it can never know more than the image (Kafka's `BrokersToIsrs` and the maps
//! of `ReplicationControlManager`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jackdaw_wire::types::is_reserved_directory_id;
use uuid::Uuid;

use crate::delta::MetadataDelta;
use crate::image::{MetadataImage, TopicImage};
use crate::partition::PartitionRegistration;
use crate::topic_name::{has_collision_chars, unify_collision_chars};

/// A partition by its topic's id.
pub type PartitionId = (Uuid, i32);

/// Partitions by what the controller asks of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct PartitionIndex {
    in_isr: BTreeMap<i32, BTreeSet<PartitionId>>,
    led: BTreeMap<i32, usize>,
    leaderless: BTreeSet<PartitionId>,
    imbalanced: BTreeSet<PartitionId>,
    in_directory: BTreeMap<Uuid, BTreeSet<PartitionId>>,
    colliding: BTreeMap<String, BTreeSet<Arc<str>>>,
}

impl PartitionIndex {
    /// Builds the index of a whole image.
    pub fn of(image: &MetadataImage) -> Self {
        let mut index = Self::default();
        for topic in image.topics.iter() {
            index.add_name(&topic.name);
            for (partition, registration) in &topic.partitions {
                index.add((topic.id, *partition), registration);
            }
        }
        index
    }

    /// Follows the image through a change.
    pub fn update(&mut self, delta: &MetadataDelta) {
        for topic in delta.deleted_topics.values() {
            self.remove_topic(topic);
        }
        for (topic_id, topic) in &delta.changed_topics {
            if topic.created {
                self.add_name(&topic.name);
            }
            for (partition, change) in &topic.partitions {
                let id = (*topic_id, *partition);
                if let Some(previous) = &change.previous {
                    self.remove(id, previous);
                }
                self.add(id, &change.current);
            }
        }
    }

    /// Partitions with this broker in their ISR.
    pub fn with_broker_in_isr(&self, broker: i32) -> Vec<PartitionId> {
        self.in_isr.get(&broker).map(|set| set.iter().copied().collect()).unwrap_or_default()
    }

    /// Whether the broker leads anything.
    pub fn leads(&self, broker: i32) -> bool {
        self.led.contains_key(&broker)
    }

    /// Partitions without a leader.
    pub fn leaderless(&self) -> Vec<PartitionId> {
        self.leaderless.iter().copied().collect()
    }

    /// Partitions that another than the preferred replica leads.
    pub fn imbalanced(&self) -> impl Iterator<Item = PartitionId> {
        self.imbalanced.iter().copied()
    }

    /// Whether there is any such partition.
    pub fn is_imbalanced(&self) -> bool {
        !self.imbalanced.is_empty()
    }

    /// Partitions with a replica in this directory.
    pub fn in_directory(&self, directory: &Uuid) -> Vec<PartitionId> {
        self.in_directory.get(directory).map(|set| set.iter().copied().collect()).unwrap_or_default()
    }

    /// A topic whose name would meet this one in metrics.
    pub fn colliding_topic(&self, name: &str) -> Option<&Arc<str>> {
        self.colliding.get(&unify_collision_chars(name))?.first()
    }

    fn add_name(&mut self, name: &Arc<str>) {
        if has_collision_chars(name) {
            self.colliding.entry(unify_collision_chars(name)).or_default().insert(Arc::clone(name));
        }
    }

    fn remove_topic(&mut self, topic: &TopicImage) {
        remove_from(&mut self.colliding, &unify_collision_chars(&topic.name), &topic.name);
        for (partition, registration) in &topic.partitions {
            self.remove((topic.id, *partition), registration);
        }
    }

    fn add(&mut self, id: PartitionId, partition: &PartitionRegistration) {
        for broker in &partition.isr {
            self.in_isr.entry(*broker).or_default().insert(id);
        }
        match partition.leader() {
            Some(leader) => *self.led.entry(leader).or_default() += 1,
            None => drop(self.leaderless.insert(id)),
        }
        if !partition.has_preferred_leader() {
            self.imbalanced.insert(id);
        }
        for directory in partition.directories.iter().filter(|d| !is_reserved_directory_id(d)) {
            self.in_directory.entry(*directory).or_default().insert(id);
        }
    }

    fn remove(&mut self, id: PartitionId, partition: &PartitionRegistration) {
        for broker in &partition.isr {
            remove_from(&mut self.in_isr, broker, &id);
        }
        if let Some(leader) = partition.leader()
            && let Some(count) = self.led.get_mut(&leader)
        {
            *count -= 1;
            if *count == 0 {
                self.led.remove(&leader);
            }
        }
        self.leaderless.remove(&id);
        self.imbalanced.remove(&id);
        for directory in &partition.directories {
            remove_from(&mut self.in_directory, directory, &id);
        }
    }
}

fn remove_from<K: Ord, V: Ord>(map: &mut BTreeMap<K, BTreeSet<V>>, key: &K, value: &V) {
    if let Some(set) = map.get_mut(key) {
        set.remove(value);
        if set.is_empty() {
            map.remove(key);
        }
    }
}
