//! What changed between two images: enough for a publisher to act on changes alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use uuid::Uuid;

use crate::image::{ConfigResource, TopicImage};
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
