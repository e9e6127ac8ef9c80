//! Metadata: the cluster as one listener shows it (`KafkaApis.handleTopicMetadataRequest`, `KRaftMetadataCache`).

use std::collections::HashSet;

use jackdaw_metadata::{MetadataImage, PartitionRegistration, TopicImage, topic_name};
use jackdaw_wire::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use jackdaw_wire::messages::{BrokerId, MetadataRequest, MetadataResponse, TopicName};
use jackdaw_wire::protocol::StrBytes;
use jackdaw_wire::{ErrorCode, Uuid};

use super::{Inner, cluster, operations};
use crate::dispatch::RequestContext;
use crate::loader;

/// From this version on topics may be asked for by id.
const BY_ID: i16 = 12;

/// What of the request shapes every topic of the reply.
struct View<'a> {
    image: &'a MetadataImage,
    listener: &'a str,
    api_version: i16,
    topic_operations: i32,
}

impl Inner {
    /// Waits for what was decided, so that nobody is told of a leader that is known to be gone.
    pub(super) async fn metadata_as_decided(
        &self,
        context: &RequestContext,
        request: &MetadataRequest,
    ) -> MetadataResponse {
        loader::settled(&self.parts.image, &self.parts.given).await;
        let image = loader::decided(&self.parts.image, self.parts.replicas.lost_leaders()).await;
        self.metadata(context, &image, request)
    }

    pub(super) fn metadata(
        &self,
        context: &RequestContext,
        image: &MetadataImage,
        request: &MetadataRequest,
    ) -> MetadataResponse {
        let version = context.api_version;
        let topics = || request.topics.iter().flatten();
        if version < BY_ID && topics().any(|topic| topic.name.is_none() || topic.topic_id != Uuid::nil()) {
            return refusal(request, ErrorCode::InvalidRequest);
        }
        let told = |asked: bool, operations| if asked { operations } else { operations::NOT_TOLD };
        let view = View {
            image,
            listener: &context.listener,
            api_version: version,
            topic_operations: told(request.include_topic_authorized_operations, operations::TOPIC),
        };
        let alive = cluster::alive_brokers(image, &context.listener, self.parts.config.node_id);
        let brokers = alive.into_iter().map(|node| {
            MetadataResponseBroker::default()
                .with_node_id(BrokerId(node.id))
                .with_host(node.host)
                .with_port(node.port)
                .with_rack(node.rack)
        });
        let controller = cluster::shown_controller(image, &self.parts.replicas.lost_leaders().borrow());
        MetadataResponse::default()
            .with_brokers(brokers.collect())
            .with_cluster_id(Some(StrBytes::from_string(self.parts.cluster_id.clone())))
            .with_controller_id(BrokerId(controller))
            .with_topics(self.topics(context, &view, request))
            .with_cluster_authorized_operations(told(
                request.include_cluster_authorized_operations,
                operations::CLUSTER,
            ))
    }

    fn topics(
        &self,
        context: &RequestContext,
        view: &View<'_>,
        request: &MetadataRequest,
    ) -> Vec<MetadataResponseTopic> {
        let asked = match &request.topics {
            None => return view.all(),
            Some(asked) if asked.is_empty() && view.api_version == 0 => return view.all(),
            Some(asked) => asked,
        };
        if asked.iter().any(|topic| topic.topic_id != Uuid::nil()) {
            let mut seen = HashSet::new();
            let ids = asked.iter().map(|t| t.topic_id).filter(|id| *id != Uuid::nil() && seen.insert(*id));
            return ids.map(|id| view.by_id(id)).collect();
        }
        let mut seen = HashSet::new();
        let names = asked.iter().filter_map(|t| t.name.as_ref()).filter(|name| seen.insert(&***name));
        let may_create = request.allow_auto_topic_creation && self.parts.config.topics.auto_create_enable;
        let mut missing = Vec::new();
        let mut topics = Vec::new();
        for name in names {
            match view.image.topics.by_name(name) {
                Some(topic) => topics.push(view.topic(topic)),
                None => missing.push(name.clone()),
            }
        }
        if may_create && !missing.is_empty() {
            self.auto_topics.create(context, &missing);
        }
        topics.extend(missing.into_iter().map(|name| view.missing(name)));
        topics
    }
}

/// The whole reply says one error (`MetadataRequest.getErrorResponse`).
fn refusal(request: &MetadataRequest, code: ErrorCode) -> MetadataResponse {
    let topics = request.topics.iter().flatten().map(|topic| {
        MetadataResponseTopic::default()
            .with_error_code(code.code())
            .with_name(Some(topic.name.clone().unwrap_or_default()))
            .with_topic_id(topic.topic_id)
            .with_topic_authorized_operations(operations::NOT_TOLD)
    });
    MetadataResponse::default()
        .with_cluster_id(None)
        .with_controller_id(BrokerId(-1))
        .with_topics(topics.collect())
        .with_cluster_authorized_operations(operations::NOT_TOLD)
}

impl View<'_> {
    fn all(&self) -> Vec<MetadataResponseTopic> {
        self.image.topics.iter().map(|topic| self.topic(topic)).collect()
    }

    fn by_id(&self, id: Uuid) -> MetadataResponseTopic {
        match self.image.topics.by_id(&id) {
            Some(topic) => self.topic(topic),
            None => MetadataResponseTopic::default()
                .with_error_code(ErrorCode::UnknownTopicId.code())
                .with_name(None)
                .with_topic_id(id)
                .with_topic_authorized_operations(operations::NOT_TOLD),
        }
    }

    /// Whether or not its creation is under way, a topic that is not there is unknown: clients ask again.
    fn missing(&self, name: TopicName) -> MetadataResponseTopic {
        let code = match topic_name::validate(&name) {
            Ok(()) => ErrorCode::UnknownTopicOrPartition,
            Err(_) => ErrorCode::InvalidTopicException,
        };
        MetadataResponseTopic::default()
            .with_error_code(code.code())
            .with_is_internal(topic_name::is_internal(&name))
            .with_name(Some(name))
            .with_topic_authorized_operations(self.topic_operations)
    }

    fn topic(&self, topic: &TopicImage) -> MetadataResponseTopic {
        let partitions = topic.partitions.iter().map(|(index, partition)| self.partition(*index, partition));
        MetadataResponseTopic::default()
            .with_name(Some(TopicName(StrBytes::from_string(topic.name.to_string()))))
            .with_topic_id(topic.id)
            .with_is_internal(topic_name::is_internal(&topic.name))
            .with_partitions(partitions.collect())
            .with_topic_authorized_operations(self.topic_operations)
    }

    fn partition(&self, index: i32, partition: &PartitionRegistration) -> MetadataResponsePartition {
        let replicas = self.ids(&partition.replicas);
        let isr = self.ids(&partition.isr);
        let whole = replicas.len() == partition.replicas.len() && isr.len() == partition.isr.len();
        let leader = self.image.broker(partition.leader);
        let (leader_id, code) = match leader.map(|leader| leader.endpoint(self.listener).is_some()) {
            Some(true) if whole => (partition.leader, 0),
            Some(true) => (partition.leader, ErrorCode::ReplicaNotAvailable.code()),
            // Versions below 6 have no word for a leader that lacks this listener.
            Some(false) if self.api_version >= 6 => (-1, ErrorCode::ListenerNotFound.code()),
            _ => (-1, ErrorCode::LeaderNotAvailable.code()),
        };
        let offline = partition.replicas.iter().zip(&partition.directories).filter(|(id, directory)| {
            !self.image.broker(**id).is_some_and(|broker| {
                !broker.fenced
                    && broker.endpoint(self.listener).is_some()
                    && broker.has_online_directory(directory)
            })
        });
        MetadataResponsePartition::default()
            .with_error_code(code)
            .with_partition_index(index)
            .with_leader_id(BrokerId(leader_id))
            .with_leader_epoch(partition.leader_epoch)
            .with_replica_nodes(replicas)
            .with_isr_nodes(isr)
            .with_offline_replicas(offline.map(|(id, _)| BrokerId(*id)).collect())
    }

    /// Version 0 knows no offline replicas: it leaves those that are not there out.
    fn ids(&self, ids: &[i32]) -> Vec<BrokerId> {
        let shown = |id: &&i32| {
            self.api_version > 0
                || self.image.broker(**id).is_some_and(|b| !b.fenced && b.endpoint(self.listener).is_some())
        };
        ids.iter().filter(shown).map(|id| BrokerId(*id)).collect()
    }
}
