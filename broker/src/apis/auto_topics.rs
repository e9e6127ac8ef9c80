//! Topics that come to be because someone asked for them (`AutoTopicCreationManager`).
//!
//! Must not wait: the asker hears that the topic is unknown and asks again.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::BytesMut;
use jackdaw_metadata::topic_name::{self, GROUP_METADATA_TOPIC, TRANSACTION_STATE_TOPIC};
use jackdaw_wire::keep;
use jackdaw_wire::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use jackdaw_wire::messages::{ApiKey, CreateTopicsRequest, TopicName};
use jackdaw_wire::protocol::{Encodable, StrBytes};

use super::forward;
use crate::budget::Charge;
use crate::config::{Config, TopicsConfig};
use crate::dispatch::RequestContext;
use crate::to_controller::ControllerLink;

const CREATE_TOPICS_VERSION: i16 = 7;

#[derive(Clone)]
pub(super) struct AutoTopics {
    config: Arc<Config>,
    controller: Arc<dyn ControllerLink>,
    in_flight: Arc<Mutex<HashSet<TopicName>>>,
}

impl AutoTopics {
    pub fn new(config: Arc<Config>, controller: Arc<dyn ControllerLink>) -> Self {
        Self { config, controller, in_flight: Arc::default() }
    }

    /// Asks the controller for those of the topics that can be created and are not being created already.
    pub fn create(&self, context: &RequestContext, names: &[TopicName]) {
        let mut in_flight = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        let valid = names.iter().filter(|name| topic_name::validate(name).is_ok());
        // Of their own: they outlive the request, which may be large.
        let own = valid.map(|name| TopicName(keep::text(name)));
        let names: Vec<TopicName> = own.filter(|name| in_flight.insert(name.clone())).collect();
        drop(in_flight);
        if names.is_empty() {
            return;
        }
        let this = self.clone();
        let context = RequestContext {
            api_key: ApiKey::CreateTopics as i16,
            api_version: CREATE_TOPICS_VERSION,
            // The request that asked for the topics is answered long before.
            charge: Charge::default(),
            ..context.clone()
        };
        tokio::spawn(async move {
            this.send(&context, &names).await;
            let mut in_flight = this.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
            for name in &names {
                in_flight.remove(name);
            }
        });
    }

    async fn send(&self, context: &RequestContext, names: &[TopicName]) {
        let list = names.iter().map(|name| &***name).collect::<Vec<_>>().join(", ");
        let request = CreateTopicsRequest::default()
            .with_timeout_ms(self.config.network.request_timeout_ms)
            .with_topics(names.iter().map(|name| creatable(&self.config.topics, name)).collect());
        let mut body = BytesMut::new();
        if let Err(e) = request.encode(&mut body, CREATE_TOPICS_VERSION) {
            tracing::error!(target: "kafka.server.DefaultAutoTopicCreationManager", "CreateTopics of {list}: {e}");
            return;
        }
        tracing::info!(
            target: "kafka.server.DefaultAutoTopicCreationManager",
            "Sent auto-creation request for Set({list}) to the active controller."
        );
        if let Err(e) = forward::envelope(context, body.freeze(), self.controller.as_ref()).await {
            tracing::warn!(
                target: "kafka.server.DefaultAutoTopicCreationManager",
                "Auto topic creation failed for Set({list}): {e}"
            );
        }
    }
}

fn creatable(config: &TopicsConfig, name: &TopicName) -> CreatableTopic {
    let topic = CreatableTopic::default().with_name(name.clone());
    match &***name {
        GROUP_METADATA_TOPIC => topic
            .with_num_partitions(config.offsets_topic_partitions)
            .with_replication_factor(config.offsets_topic_replication_factor)
            .with_configs(settings(&[
                ("cleanup.policy", "compact"),
                ("segment.bytes", &config.offsets_topic_segment_bytes.to_string()),
                ("compression.type", "producer"),
            ])),
        TRANSACTION_STATE_TOPIC => topic
            .with_num_partitions(config.transactions_topic_partitions)
            .with_replication_factor(config.transactions_topic_replication_factor)
            .with_configs(settings(&[
                ("unclean.leader.election.enable", "false"),
                ("compression.type", "uncompressed"),
                ("cleanup.policy", "compact"),
                ("min.insync.replicas", &config.transactions_topic_min_isr.to_string()),
                ("segment.bytes", &config.transactions_topic_segment_bytes.to_string()),
            ])),
        _ => topic
            .with_num_partitions(config.num_partitions)
            .with_replication_factor(i16::try_from(config.default_replication_factor).unwrap_or(i16::MAX)),
    }
}

fn settings(settings: &[(&'static str, &str)]) -> Vec<CreatableTopicConfig> {
    let setting = |(name, value): &(&'static str, &str)| {
        CreatableTopicConfig::default()
            .with_name(StrBytes::from_static_str(name))
            .with_value(Some(StrBytes::from_string((*value).to_owned())))
    };
    settings.iter().map(setting).collect()
}
