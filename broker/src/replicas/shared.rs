//! What all requests share: the image, the partitions that are here, the sessions.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use jackdaw_metadata::{MetadataImage, TopicImage};
use jackdaw_wire::fetch::{LeaderAndEpoch, NodeEndpoint};
use jackdaw_wire::{ErrorCode, StrBytes, Uuid};

use super::ReplicaOptions;
use super::admin::Defaults;
use super::cleaner::CleaningState;
use super::dirs::Dir;
use super::fetcher::Fetchers;
use super::partition::{Context, Partition};
use super::session::SessionCache;
use super::upkeep::Upkeep;
use super::verify::Verifications;
use super::without_effect::WithoutEffect;
use crate::net::Peers;

/// A partition that the image puts here.
#[derive(Clone)]
pub(super) enum Hosted {
    Online(Arc<Partition>),
    /// Its directory failed, or its log could not be opened.
    Offline,
}

/// The partitions that are here, by topic id and index.
pub(super) type HostedMap = HashMap<(Uuid, i32), Hosted>;

/// The inner part of a replica manager.
pub(super) struct Shared {
    pub options: ReplicaOptions,
    pub context: Arc<Context>,
    pub dirs: Vec<Arc<Dir>>,
    pub image: RwLock<Arc<MetadataImage>>,
    pub hosted: RwLock<HostedMap>,
    /// Held while a directory is chosen for a new log.
    pub placing: Mutex<()>,
    pub sessions: SessionCache,
    pub fetchers: Fetchers,
    pub verifications: Verifications,
    /// Coordinators that transactions are verified with.
    pub peers: Peers,
    pub upkeep: Upkeep,
    pub cleaning: CleaningState,
    /// The broker's own settings, which topics override.
    pub defaults: RwLock<Arc<Defaults>>,
    pub without_effect: WithoutEffect,
    /// The first image has come.
    pub has_image: AtomicBool,
}

/// How a request names a topic.
#[derive(Debug, Clone, Copy)]
pub(super) enum TopicRef<'a> {
    Name(&'a str),
    Id(&'a Uuid),
}

impl Shared {
    pub fn image(&self) -> Arc<MetadataImage> {
        Arc::clone(&self.image.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn hosted(&self, topic_id: Uuid, partition: i32) -> Option<Hosted> {
        self.hosted.read().unwrap_or_else(PoisonError::into_inner).get(&(topic_id, partition)).cloned()
    }

    /// Every partition that serves.
    pub fn online(&self) -> Vec<Arc<Partition>> {
        let hosted = self.hosted.read().unwrap_or_else(PoisonError::into_inner);
        let online = |hosted: &Hosted| match hosted {
            Hosted::Online(partition) => Some(Arc::clone(partition)),
            Hosted::Offline => None,
        };
        hosted.values().filter_map(online).collect()
    }

    /// The local replica that a request means, or what Kafka says of one that is not here
    /// (`ReplicaManager.getPartitionOrError`).
    pub fn locate(
        &self,
        image: &MetadataImage,
        topic: TopicRef<'_>,
        partition: i32,
    ) -> Result<Arc<Partition>, ErrorCode> {
        let topic = match topic {
            TopicRef::Name(name) => image.topics.by_name(name).ok_or(ErrorCode::UnknownTopicOrPartition)?,
            TopicRef::Id(id) => image.topics.by_id(id).ok_or(ErrorCode::UnknownTopicId)?,
        };
        if !topic.partitions.contains_key(&partition) {
            return Err(ErrorCode::UnknownTopicOrPartition);
        }
        match self.hosted(topic.id, partition) {
            Some(Hosted::Online(partition)) => Ok(partition),
            Some(Hosted::Offline) => Err(ErrorCode::KafkaStorageError),
            None => Err(ErrorCode::NotLeaderOrFollower),
        }
    }
}

/// Where a partition's leader is, for a client that asked the wrong broker (KIP-951).
pub(super) fn leader_hint(
    image: &MetadataImage,
    topic: Option<&Arc<TopicImage>>,
    partition: i32,
    listener: &str,
) -> (LeaderAndEpoch, Option<NodeEndpoint>) {
    let registration = topic.and_then(|topic| topic.partitions.get(&partition));
    let Some(registration) = registration else {
        return (LeaderAndEpoch { leader_id: -1, leader_epoch: -1 }, None);
    };
    let leader = LeaderAndEpoch { leader_id: registration.leader, leader_epoch: registration.leader_epoch };
    let broker = image.broker(registration.leader).filter(|broker| !broker.fenced);
    let endpoint = broker.and_then(|broker| {
        broker.endpoint(listener).map(|endpoint| NodeEndpoint {
            node_id: broker.id,
            host: StrBytes::from_string(endpoint.host.clone()),
            port: i32::from(endpoint.port),
            rack: broker.rack.as_ref().map(|rack| StrBytes::from_string(rack.to_string())),
        })
    });
    (leader, endpoint)
}
