//! Settings of topics that are accepted and do nothing: each is told in the node's log once.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use jackdaw_metadata::{MetadataImage, TopicImage};
use jackdaw_settings::keys::topics;
use jackdaw_wire::Uuid;

/// What was told, by topic.
#[derive(Default)]
pub(super) struct WithoutEffect(Mutex<BTreeMap<Uuid, Vec<&'static str>>>);

impl WithoutEffect {
    /// Warns of those that the topic sets and that nobody was told of yet.
    pub fn warn(&self, image: &MetadataImage, topic: &TopicImage) {
        let Some(set) = image.topic_config(&topic.name) else { return };
        for (name, why) in topics::without_effect(set.iter().map(|(name, value)| (&**name, &**value))) {
            if self.is_news(image, topic.id, name) {
                tracing::warn!(
                    target: "kafka.server.TopicConfigHandler",
                    "`{name}` was set on topic {} and has no effect: {why}",
                    topic.name
                );
            }
        }
    }

    fn is_news(&self, image: &MetadataImage, topic: Uuid, name: &'static str) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !told.contains_key(&topic) {
            told.retain(|id, _| image.topics.by_id(id).is_some());
        }
        let names = told.entry(topic).or_default();
        let is_news = !names.contains(&name);
        if is_news {
            names.push(name);
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_told_once_and_again_for_another_topic() {
        let (told, image) = (WithoutEffect::default(), MetadataImage::default());
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        for (topic, name, is_news) in
            [(one, "a", true), (one, "a", false), (one, "b", true), (other, "a", true), (other, "a", false)]
        {
            assert_eq!(told.is_news(&image, topic, name), is_news, "{topic} {name}");
        }
        // The image has neither: what was told of a topic that is gone is forgotten when another one comes.
        assert!(!told.0.lock().unwrap().contains_key(&one));
    }
}
