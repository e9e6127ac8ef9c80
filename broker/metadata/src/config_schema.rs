//! What the controller must know about configurations. The table of topic settings lives with the log, which this
//! crate does not know: it comes in through this trait.

use std::collections::BTreeMap;

use crate::image::ResourceType;

/// A setting as a topic gets it, with where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectiveConfig {
    /// The topic-level name.
    pub name: String,
    /// The value, if there is one.
    pub value: Option<String>,
    /// `DescribeConfigsResponse.ConfigSource`: 1 topic, 2 broker, 3 default of all brokers, 4 static, 5 default.
    pub source: i8,
    /// Its value is not shown.
    pub is_sensitive: bool,
}

/// The rules of settings (Kafka's `KafkaConfigSchema` and `ControllerConfigurationValidator`).
pub trait ConfigSchema: Send + Sync {
    /// Checks all that is set on a topic. The error is Kafka's own text, for INVALID_CONFIG.
    ///
    /// # Errors
    /// What the user is told about the first setting that will not do.
    fn validate_topic(&self, configs: &BTreeMap<String, String>) -> Result<(), String>;

    /// Checks all that is set on a group. The error is Kafka's own text, for INVALID_CONFIG.
    ///
    /// # Errors
    /// What the user is told about the first setting that will not do.
    fn validate_group(&self, configs: &BTreeMap<String, String>) -> Result<(), String>;

    /// Whether values of the key are lists, which can be appended to and subtracted from.
    fn is_list(&self, resource: ResourceType, key: &str) -> bool;

    /// The value of the key where nothing is set.
    fn default_value(&self, resource: ResourceType, key: &str) -> Option<String>;

    /// All settings of a topic, sorted by name: `topic` over `node` over `cluster` over the configuration file over
    /// the defaults. `node` and `cluster` are dynamic settings of brokers, under broker-level names.
    fn effective_topic_configs(
        &self,
        topic: &BTreeMap<String, String>,
        node: &BTreeMap<String, String>,
        cluster: &BTreeMap<String, String>,
    ) -> Vec<EffectiveConfig>;
}
