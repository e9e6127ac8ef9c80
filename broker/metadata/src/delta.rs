//! What changed between two images: enough for a publisher to act on changes alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use uuid::Uuid;

use crate::image::{ConfigResource, MetadataImage, TopicImage};
use crate::partition::PartitionRegistration;
use crate::registration::BrokerRegistration;

/// Changes from one published image to the next.
#[derive(Debug, Clone, Default)]
pub struct MetadataDelta {
    /// The new image came from a snapshot, or is the first one.
    pub from_snapshot: bool,
    /// Topics created, or with changed partitions, by id.
    pub changed_topics: BTreeMap<Uuid, TopicDelta>,
    /// Topics deleted, by id, as they were in the image before.
    pub deleted_topics: BTreeMap<Uuid, Arc<TopicImage>>,
    /// Brokers changed, registered or gone, each with its registration before.
    pub changed_brokers: BTreeMap<i32, Option<Arc<BrokerRegistration>>>,
    /// Controllers that registered anew.
    pub changed_controllers: BTreeSet<i32>,
    /// Resources whose configuration changed.
    pub changed_configs: BTreeSet<ConfigResource>,
    /// Whether a finalized feature changed.
    pub features_changed: bool,
    /// Whether a block of producer ids was handed out.
    pub producer_ids_changed: bool,
}

impl MetadataDelta {
    /// Whether nothing at all changed.
    pub fn is_empty(&self) -> bool {
        !self.from_snapshot
            && self.changed_topics.is_empty()
            && self.deleted_topics.is_empty()
            && self.changed_brokers.is_empty()
            && self.changed_controllers.is_empty()
            && self.changed_configs.is_empty()
            && !self.features_changed
            && !self.producer_ids_changed
    }
}

impl MetadataDelta {
    /// What a publisher that knows `old` must be told when a snapshot put `new` in its place.
    pub fn between(old: &MetadataImage, new: &MetadataImage) -> Self {
        let mut delta = Self { from_snapshot: true, ..Self::default() };
        for topic in old.topics.iter().filter(|topic| new.topics.by_id(&topic.id).is_none()) {
            delta.deleted_topics.insert(topic.id, Arc::clone(topic));
        }
        for topic in new.topics.iter() {
            let before = old.topics.by_id(&topic.id);
            let partitions: BTreeMap<i32, PartitionDelta> = topic
                .partitions
                .iter()
                .filter_map(|(id, current)| {
                    let previous = before.and_then(|topic| topic.partitions.get(id)).cloned();
                    let changed = previous.as_ref() != Some(current);
                    changed.then(|| (*id, PartitionDelta { previous, current: Arc::clone(current) }))
                })
                .collect();
            if before.is_none() || !partitions.is_empty() {
                let (name, created) = (Arc::clone(&topic.name), before.is_none());
                delta.changed_topics.insert(topic.id, TopicDelta { name, created, partitions });
            }
        }
        for id in changed_keys(&old.brokers, &new.brokers) {
            delta.changed_brokers.insert(id, old.brokers.get(&id).cloned());
        }
        delta.changed_controllers = changed_keys(&old.controllers, &new.controllers);
        delta.changed_configs = changed_keys(&old.configs, &new.configs);
        delta.features_changed = old.features != new.features;
        delta.producer_ids_changed = old.next_producer_id != new.next_producer_id;
        delta
    }
}

fn changed_keys<K: Ord + Clone, V: PartialEq>(old: &BTreeMap<K, V>, new: &BTreeMap<K, V>) -> BTreeSet<K> {
    old.keys().chain(new.keys()).filter(|key| old.get(key) != new.get(key)).cloned().collect()
}

/// Changes of one topic.
#[derive(Debug, Clone)]
pub struct TopicDelta {
    /// The topic's name.
    pub name: Arc<str>,
    /// Whether the topic is new in this delta.
    pub created: bool,
    /// Changed and new partitions; their present state is in the new image.
    pub partitions: BTreeMap<i32, PartitionDelta>,
}

/// One changed partition.
#[derive(Debug, Clone)]
pub struct PartitionDelta {
    /// As it was in the image before; `None` for a new partition.
    pub previous: Option<Arc<PartitionRegistration>>,
    /// As it is now.
    pub current: Arc<PartitionRegistration>,
}
