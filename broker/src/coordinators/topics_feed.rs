//! What group coordinators of the consumer protocol know of the cluster's topics: made from the image when topics change,
//! and shared by all of them.
//!
//! Nobody else needs it, so without that protocol it is never made.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jackdaw_groups::{Topic, Topics};
use jackdaw_metadata::{MetadataDelta, MetadataImage, TopicImage};
use jackdaw_wire::{StrBytes, Uuid};
use tokio::sync::watch;

pub struct TopicsFeed {
    /// None: nobody asks.
    topics: Option<watch::Sender<Arc<Topics>>>,
    /// As they were handed out last.
    known: Mutex<BTreeMap<Uuid, Arc<Topic>>>,
}

impl TopicsFeed {
    pub fn new(is_needed: bool) -> Self {
        let topics = is_needed.then(|| watch::Sender::new(Arc::default()));
        Self { topics, known: Mutex::default() }
    }

    /// What a coordinator looks at; none where it needs nothing.
    pub fn subscribe(&self) -> Option<watch::Receiver<Arc<Topics>>> {
        self.topics.as_ref().map(watch::Sender::subscribe)
    }

    /// Before any coordinator hears of the image. Topics are looked at anew when they change, as in
    /// `GroupMetadataManager.onNewMetadataImage`; a broker's rack alone is no such change.
    pub fn apply(&self, image: &MetadataImage, delta: &MetadataDelta) {
        let Some(sender) = &self.topics else { return };
        if !delta.from_snapshot && delta.changed_topics.is_empty() && delta.deleted_topics.is_empty() {
            return;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = BTreeMap::new();
        let (mut differs, mut has_new) = (false, false);
        for topic in image.topics.iter() {
            let before = known.get(&topic.id);
            let is_same = !delta.from_snapshot && !delta.changed_topics.contains_key(&topic.id);
            let now = match before.filter(|_| is_same) {
                Some(before) => Arc::clone(before),
                None => Arc::new(seen(topic, image)),
            };
            has_new |= before.is_none();
            differs |= before.is_none_or(|before| **before != *now);
            next.insert(topic.id, now);
        }
        differs |= next.len() != known.len();
        if !differs {
            return;
        }
        *known = next;
        let version = image.provenance.offset;
        sender.send_modify(|topics| {
            let created_in = if has_new { version } else { topics.created_in };
            *topics = Arc::new(Topics::new(version, created_in, known.values().cloned()));
        });
    }
}

fn seen(topic: &TopicImage, image: &MetadataImage) -> Topic {
    let rack_of = |id: &i32| image.broker(*id).and_then(|broker| broker.rack.as_deref());
    let mut racks: Vec<Vec<&str>> =
        topic.partitions.values().map(|p| p.replicas.iter().filter_map(rack_of).collect()).collect();
    Topic::new(topic.id, StrBytes::from_string(topic.name.to_string()), &mut racks)
}
