//! The settings of topics, as the controller checks and describes them, and those of groups, as it checks them.

use std::collections::BTreeMap;

use jackdaw_log::TopicConfigs;
use jackdaw_metadata::ResourceType;
use jackdaw_metadata::config_schema::{ConfigSchema, EffectiveConfig};

use crate::config::groups::GroupRules;
use jackdaw_settings::keys::topics::{self, TopicKey};
use jackdaw_settings::keys::{self, Key, Kind};

/// `DescribeConfigsResponse.ConfigSource`.
mod source {
    pub const TOPIC: i8 = 1;
    pub const BROKER: i8 = 2;
    pub const ALL_BROKERS: i8 = 3;
    pub const STATIC: i8 = 4;
    pub const DEFAULT: i8 = 5;
}

/// The table with this node's configuration file on top of its defaults.
#[derive(Debug, Clone, Default)]
pub struct TopicSchema {
    /// Topic-level names, as far as the file sets them.
    file: BTreeMap<String, String>,
    defaults: TopicConfigs,
    groups: GroupRules,
}

impl TopicSchema {
    /// `file` has topic-level names (`Config::topic_overrides`). What the file's own checks let through and the
    /// table refuses is left at its default.
    pub fn new(file: BTreeMap<String, String>, groups: GroupRules) -> Self {
        let pairs = file.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let defaults = TopicConfigs::default().with(pairs).unwrap_or_default();
        Self { file, defaults, groups }
    }

    fn effective(
        &self,
        TopicKey { key, synonyms }: &TopicKey,
        topic: &BTreeMap<String, String>,
        node: &BTreeMap<String, String>,
        cluster: &BTreeMap<String, String>,
    ) -> (String, i8) {
        let synonym = |set: &BTreeMap<String, String>| {
            synonyms.iter().find_map(|s| set.get(s.name).map(|value| s.to_topic(value)))
        };
        if let Some(value) = topic.get(key.name) {
            return (value.clone(), source::TOPIC);
        }
        synonym(node)
            .map(|value| (value, source::BROKER))
            .or_else(|| synonym(cluster).map(|value| (value, source::ALL_BROKERS)))
            .or_else(|| self.file.get(key.name).map(|value| (value.clone(), source::STATIC)))
            .unwrap_or_else(|| (key.default.unwrap_or_default().to_owned(), source::DEFAULT))
    }
}

/// The row of a topic's or a node's key.
fn row(resource: ResourceType, key: &str) -> Option<&'static Key> {
    match resource {
        ResourceType::Topic => topics::find(key).map(|row| &row.key),
        ResourceType::Broker => keys::find(key),
        _ => None,
    }
}

impl ConfigSchema for TopicSchema {
    fn validate_topic(&self, configs: &BTreeMap<String, String>) -> Result<(), String> {
        let pairs = configs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        self.defaults.with(pairs).map(drop).map_err(|error| error.to_string())
    }

    fn validate_group(&self, configs: &BTreeMap<String, String>) -> Result<(), String> {
        self.groups.check(configs)
    }

    fn is_list(&self, resource: ResourceType, key: &str) -> bool {
        row(resource, key).is_some_and(|key| key.kind == Kind::List)
    }

    fn default_value(&self, resource: ResourceType, key: &str) -> Option<String> {
        row(resource, key).and_then(|key| key.default).map(str::to_owned)
    }

    fn effective_topic_configs(
        &self,
        topic: &BTreeMap<String, String>,
        node: &BTreeMap<String, String>,
        cluster: &BTreeMap<String, String>,
    ) -> Vec<EffectiveConfig> {
        // The table is sorted by name, as the reply is to be.
        let configs = topics::all().map(|row| {
            let (value, source) = self.effective(row, topic, node, cluster);
            EffectiveConfig { name: row.key.name.to_owned(), value: Some(value), source, is_sensitive: false }
        });
        configs.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    /// The reply of CreateTopics tells which level a setting came from: tools show it.
    #[test]
    fn the_strongest_level_wins_and_is_named() {
        let schema = TopicSchema::new(map(&[("segment.bytes", "1000")]), GroupRules::default());
        let none = map(&[]);
        let hours = map(&[("log.retention.hours", "2"), ("log.segment.bytes", "77")]);
        for (name, topic, node, cluster, expected) in [
            ("retention.ms", &[("retention.ms", "5")][..], &hours, &none, ("5", source::TOPIC)),
            ("retention.ms", &[], &hours, &none, ("7200000", source::BROKER)),
            ("segment.bytes", &[], &none, &hours, ("77", source::ALL_BROKERS)),
            ("segment.bytes", &[], &none, &none, ("1000", source::STATIC)),
            ("retention.ms", &[], &none, &none, ("604800000", source::DEFAULT)),
        ] {
            let all = schema.effective_topic_configs(&map(topic), node, cluster);
            let found = all.iter().find(|config| config.name == name).unwrap();
            assert_eq!((found.value.as_deref(), found.source), (Some(expected.0), expected.1), "{name}");
            assert!(all.is_sorted_by_key(|config| config.name.clone()));
        }
    }

    #[test]
    fn settings_are_refused_in_kafkas_words() {
        let schema = TopicSchema::default();
        for (pair, expected) in [
            (("no.such", "1"), "Unknown topic config name: no.such"),
            (
                ("retention.ms", "x"),
                "Invalid value x for configuration retention.ms: Not a number of type LONG",
            ),
        ] {
            assert_eq!(schema.validate_topic(&map(&[pair])).unwrap_err(), expected);
        }
        assert!(schema.is_list(ResourceType::Topic, "cleanup.policy"));
        assert!(schema.is_list(ResourceType::Broker, "log.cleanup.policy"));
        assert!(!schema.is_list(ResourceType::Topic, "retention.ms"));
    }
}
