//! Consumer groups on this broker: the machine of `jackdaw-groups`, hosted.
//!
//! What a request means is that crate's; which of it a version can say is `apis::groups`'s.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use jackdaw_groups::{GroupSettings, Groups, RecordPlace, Reply, Request, TopicPartition, Topics};
use jackdaw_log::VerificationGuard;
use jackdaw_metadata::MetadataDelta;
use jackdaw_metadata::topic_name::GROUP_METADATA_TOPIC;
use jackdaw_wire::{ErrorCode, StrBytes};
use tokio::sync::watch;

use super::settings_feed::SettingsFeed;
use super::topics_feed::TopicsFeed;
use super::{Append, CoordinatorOptions, Coordinators, Effect, LoadError, LoadedMarker, Machine, Now, Place};
use crate::config::Config;
use crate::replicas::ReplicaManager;

/// The group coordinators of this broker.
pub type GroupCoordinators = Coordinators<HostedGroups>;

/// A request, and what its append needs if it is part of a transaction.
#[derive(Debug)]
pub struct GroupRequest {
    pub request: Request,
    pub guard: Option<VerificationGuard>,
}

impl From<Request> for GroupRequest {
    fn from(request: Request) -> Self {
        Self { request, guard: None }
    }
}

/// One partition's groups.
pub struct HostedGroups {
    groups: Groups,
    /// Only groups of the consumer protocol look at these.
    topics: Option<watch::Receiver<Arc<Topics>>>,
    settings: Option<watch::Receiver<Arc<GroupSettings>>>,
    /// Of the request being handled.
    guard: Option<VerificationGuard>,
    acks: i16,
    timeout_ms: u64,
}

/// What coordinators know of the cluster.
pub struct Known {
    pub topics: Arc<TopicsFeed>,
    pub settings: Arc<SettingsFeed>,
}

/// Coordinators with the broker's settings.
pub fn coordinators(config: &Config, replicas: Arc<ReplicaManager>, known: Known) -> GroupCoordinators {
    let size = |value: i32| usize::try_from(value).unwrap_or(0);
    let groups = &config.groups;
    let settings = jackdaw_groups::Config {
        min_session_timeout_ms: groups.min_session_timeout_ms,
        max_session_timeout_ms: groups.max_session_timeout_ms,
        max_size: size(groups.max_size),
        initial_rebalance_delay_ms: i64::from(groups.initial_rebalance_delay_ms),
        max_metadata_length: size(groups.max_metadata_length),
        retention_ms: i64::from(groups.retention_minutes).saturating_mul(60_000),
        retention_check_interval_ms: groups.retention_check_interval_ms,
        compression: groups.compression,
        consumer: groups.consumer.clone(),
    };
    let acks = groups.commit_required_acks;
    let timeout_ms = u64::try_from(groups.commit_timeout_ms).unwrap_or(0);
    Coordinators::new(CoordinatorOptions {
        topic: GROUP_METADATA_TOPIC,
        replicas,
        load_buffer_bytes: size(groups.load_buffer_bytes),
        default_partitions: config.topics.offsets_topic_partitions,
        make: Box::new(move |_| HostedGroups {
            groups: Groups::new(settings.clone()),
            topics: known.topics.subscribe(),
            settings: known.settings.subscribe(),
            guard: None,
            acks,
            timeout_ms,
        }),
        perform: Box::new(|_, command| match command {}),
    })
}

impl GroupCoordinators {
    /// Offsets of topics that are gone are of no use to anybody (`handleDeletedPartitions`).
    pub fn forget_deleted(self: &Arc<Self>, delta: &MetadataDelta) {
        let partitions = |topic: &jackdaw_metadata::TopicImage| {
            let name = StrBytes::from_string(topic.name.to_string());
            topic.partitions.keys().map(|index| (name.clone(), *index)).collect::<Vec<TopicPartition>>()
        };
        let deleted: Vec<TopicPartition> =
            delta.deleted_topics.values().flat_map(|topic| partitions(topic)).collect();
        if deleted.is_empty() {
            return;
        }
        let this = Arc::clone(self);
        // Whoever publishes an image must not wait for a coordinator's queue.
        tokio::spawn(async move {
            for partition in this.led() {
                // One that is still loading keeps them until they expire, as in Kafka.
                let _ = this.tell(partition, Request::PartitionsDeleted(deleted.clone()).into()).await;
            }
        });
    }
}

impl HostedGroups {
    /// Looks at the cluster again.
    fn look(&mut self) {
        if let Some(topics) = changed(&mut self.topics) {
            self.groups.set_topics(topics);
        }
        if let Some(settings) = changed(&mut self.settings) {
            self.groups.set_settings(settings);
        }
    }
}

/// What was not looked at yet.
fn changed<T>(receiver: &mut Option<watch::Receiver<Arc<T>>>) -> Option<Arc<T>> {
    // Without a sender the node stops, and what is known will do.
    let receiver = receiver.as_mut().filter(|receiver| receiver.has_changed().unwrap_or(false))?;
    Some(Arc::clone(&receiver.borrow_and_update()))
}

impl Machine for HostedGroups {
    type Request = GroupRequest;
    type Reply = Reply;
    type Command = Infallible;

    fn load(&mut self, place: &Place, key: Option<Bytes>, value: Option<Bytes>) -> Result<(), LoadError> {
        let place = RecordPlace {
            batch_offset: place.batch_offset,
            producer_id: place.producer_id,
            is_transactional: place.is_transactional,
        };
        self.groups.load(place, key, value).map_err(|error| match error {
            jackdaw_groups::LoadError::UnknownKey(version) => LoadError::UnknownKey(version),
            other => LoadError::Unreadable(other.to_string()),
        })
    }

    fn load_marker(&mut self, marker: LoadedMarker) {
        self.groups.load_marker(marker.producer_id, marker.is_commit);
    }

    fn loaded(&mut self, now: Now) {
        if let Some(topics) = &mut self.topics {
            let topics = Arc::clone(&topics.borrow_and_update());
            self.groups.set_topics(topics);
        }
        if let Some(settings) = &mut self.settings {
            let settings = Arc::clone(&settings.borrow_and_update());
            self.groups.set_settings(settings);
        }
        self.groups.loaded(now);
    }

    fn handle(&mut self, now: Now, token: u64, request: GroupRequest) {
        self.look();
        self.guard = request.guard;
        self.groups.handle(now, token, request.request);
    }

    fn appended(&mut self, now: Now, ticket: u64, outcome: Result<i64, ErrorCode>) {
        self.groups.appended(now, ticket, outcome);
    }

    fn tick(&mut self, now: Now) {
        self.look();
        self.groups.tick(now);
    }

    fn next_deadline(&self) -> Option<i64> {
        self.groups.next_deadline()
    }

    fn resign(&mut self, now: Now) {
        self.groups.resign(now);
    }

    fn take_effects(&mut self) -> Vec<Effect<Reply, Infallible>> {
        // A commit in a transaction is appended in the very call that handles it.
        let guard = self.guard.take();
        let effect = |effect| match effect {
            jackdaw_groups::Effect::Reply { token, reply } => Effect::Reply { token, reply },
            jackdaw_groups::Effect::Append(append) => Effect::Append(Append {
                ticket: append.ticket,
                batch: append.batch,
                // Nobody waits for tombstones: whoever loads the log without them forgets the same again.
                acks: append.ticket.map_or(0, |_| self.acks),
                timeout_ms: self.timeout_ms,
                guard,
            }),
        };
        self.groups.take_effects().into_iter().map(effect).collect()
    }
}
