//! The metadata side of the simulated cluster: the real controller of `jackdaw-metadata`, its brokers' sessions, and
//! the images that it leaves behind, one for each batch of records.
//!
//! It decides nothing itself. What reaches a broker, when, and what gets lost on the way is not its business.

use std::collections::BTreeMap;
use std::sync::Arc;

use jackdaw_metadata::config_schema::{ConfigSchema, EffectiveConfig};
use jackdaw_metadata::controller::{Controller, ControllerSettings, LogStart, Request, Response};
use jackdaw_metadata::features::{LATEST, METADATA_VERSION};
use jackdaw_metadata::{MetadataImage, ResourceType};
use jackdaw_replication::{BrokerView, CommittedIsr, Proposal, Registration};
use jackdaw_wire::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use jackdaw_wire::messages::alter_partition_request::{BrokerState, PartitionData, TopicData};
use jackdaw_wire::messages::assign_replicas_to_dirs_request as assignment;
use jackdaw_wire::messages::broker_registration_request::Feature;
use jackdaw_wire::messages::create_topics_request::{CreatableReplicaAssignment, CreatableTopic};
use jackdaw_wire::messages::*;
use jackdaw_wire::metadata_record::FeatureLevelRecord;
use jackdaw_wire::{ErrorCode, StrBytes};
use uuid::Uuid;

const CLUSTER_ID: &str = "simulated";
const TOPIC: &str = "t";
const SESSION_MS: i64 = 1_500;
/// The version of AlterPartition that names broker epochs.
const ALTER_PARTITION_VERSION: i16 = 3;
/// 3.5-IV2: a smaller ISR still needs a new leader epoch there.
const OLD_LEVEL: i16 = 11;

/// The metadata of one version: what the controller published.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Image {
    /// The last metadata offset that it includes.
    pub offset: i64,
    pub partition: Registration,
    pub brokers: BTreeMap<i32, BrokerView>,
}

/// The answer to a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// It is fenced.
    Wait,
    Serve,
    GoDown,
}

/// What a broker says of itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beat {
    pub epoch: i64,
    pub applied: i64,
    /// Asks to be let go.
    pub leaving: bool,
    /// The directory of the replica failed.
    pub directory_failed: bool,
}

/// Each broker has two directories: the replica lies in this one.
fn replica_directory(broker: i32) -> Uuid {
    Uuid::from_u64_pair(1_000, broker as u64)
}

/// No setting matters here.
struct NoConfigs;

impl ConfigSchema for NoConfigs {
    fn validate_topic(&self, _: &BTreeMap<String, String>) -> Result<(), String> {
        Ok(())
    }

    fn validate_group(&self, _: &BTreeMap<String, String>) -> Result<(), String> {
        Ok(())
    }

    fn is_list(&self, _: ResourceType, _: &str) -> bool {
        false
    }

    fn default_value(&self, _: ResourceType, _: &str) -> Option<String> {
        None
    }

    fn effective_topic_configs(
        &self,
        _: &BTreeMap<String, String>,
        _: &BTreeMap<String, String>,
        _: &BTreeMap<String, String>,
    ) -> Vec<EffectiveConfig> {
        Vec::new()
    }
}

pub(super) struct Cluster {
    controller: Controller,
    images: Vec<Image>,
    topic: Uuid,
    requests: u64,
}

impl Cluster {
    /// All brokers registered and unfenced, and one topic of one partition with its replicas in the order given.
    /// `old` is a cluster whose level makes a new leader epoch of each smaller ISR.
    pub fn new(replicas: &[i32], old: bool) -> Self {
        let settings = ControllerSettings {
            node_id: 100,
            cluster_id: CLUSTER_ID.into(),
            voters: vec![100],
            session_timeout_ms: SESSION_MS,
            default_partitions: 1,
            default_replication_factor: 1,
            delete_topics: true,
            rebalance_interval_ms: None,
            no_op_interval_ms: None,
            consumer_groups: false,
            bootstrap: vec![
                FeatureLevelRecord {
                    name: METADATA_VERSION.into(),
                    feature_level: if old { OLD_LEVEL } else { LATEST },
                    ..Default::default()
                }
                .into(),
            ],
        };
        let log = LogStart {
            image: MetadataImage::default(),
            next_offset: 0,
            is_empty: true,
            open_transaction: false,
        };
        let (controller, _) = Controller::activate(settings, Arc::new(NoConfigs), log, 0)
            .unwrap_or_else(|error| panic!("an empty log can be led: {error}"));
        let mut cluster = Self { controller, images: Vec::new(), topic: Uuid::nil(), requests: 0 };
        let mut brokers = replicas.to_vec();
        brokers.sort_unstable();
        for id in brokers {
            let epoch = cluster.register(0, id, 0).unwrap_or_else(|| panic!("broker {id} is refused"));
            let beat = Beat { epoch, applied: i64::MAX, leaving: false, directory_failed: false };
            cluster.heartbeat(0, id, beat);
        }
        cluster.create_topic(replicas);
        replicas.iter().for_each(|id| cluster.assign_directory(*id));
        cluster.images = vec![cluster.image()];
        cluster
    }

    fn create_topic(&mut self, replicas: &[i32]) {
        let ids = replicas.iter().map(|id| BrokerId(*id)).collect();
        let assignment = CreatableReplicaAssignment::default().with_broker_ids(ids);
        let topic = CreatableTopic::default()
            .with_name(text(TOPIC).into())
            .with_num_partitions(-1)
            .with_replication_factor(-1)
            .with_assignments(vec![assignment]);
        self.ask(0, 7, CreateTopicsRequest::default().with_topics(vec![topic]).into());
        let created = self.controller.image().topics.by_name(TOPIC);
        self.topic = created.map(|topic| topic.id).unwrap_or_else(|| panic!("the topic is refused"));
    }

    fn assign_directory(&mut self, id: i32) {
        let partitions = vec![assignment::PartitionData::default()];
        let topic = assignment::TopicData::default().with_topic_id(self.topic).with_partitions(partitions);
        let directory = assignment::DirectoryData::default().with_id(replica_directory(id));
        let request = AssignReplicasToDirsRequest::default()
            .with_broker_id(id.into())
            .with_broker_epoch(self.controller.image().broker(id).map_or(-1, |broker| broker.epoch))
            .with_directories(vec![directory.with_topics(vec![topic])]);
        self.ask(0, 0, request.into());
    }

    /// Whether the cluster's level knows that a broker may lose one of its directories.
    pub fn has_directories(&self) -> bool {
        self.controller.image().metadata_version().has_directories()
    }

    /// What was published, oldest first.
    pub fn images(&self) -> &[Image] {
        &self.images
    }

    pub fn partition(&self) -> &Registration {
        &self.images.last().unwrap_or_else(|| panic!("there is always an image")).partition
    }

    /// A new incarnation; its broker epoch, or nothing while the former session lasts.
    pub fn register(&mut self, now_ms: i64, id: i32, incarnation: u64) -> Option<i64> {
        let feature = Feature::default()
            .with_name(text(METADATA_VERSION))
            .with_min_supported_version(1)
            .with_max_supported_version(LATEST);
        let request = BrokerRegistrationRequest::default()
            .with_broker_id(id.into())
            .with_cluster_id(text(CLUSTER_ID))
            .with_incarnation_id(Uuid::from_u64_pair(id as u64, incarnation))
            .with_features(vec![feature])
            .with_log_dirs(vec![replica_directory(id), Uuid::from_u64_pair(1_001, id as u64)]);
        match self.ask(now_ms, 1, request.into()) {
            Response::RegisterBroker(answer) if answer.error_code == 0 => Some(answer.broker_epoch),
            _ => None,
        }
    }

    /// What the broker is to do.
    pub fn heartbeat(&mut self, now_ms: i64, id: i32, beat: Beat) -> Told {
        let failed = beat.directory_failed.then(|| replica_directory(id));
        let request = BrokerHeartbeatRequest::default()
            .with_broker_id(id.into())
            .with_broker_epoch(beat.epoch)
            .with_current_metadata_offset(beat.applied)
            .with_want_shut_down(beat.leaving)
            .with_offline_log_dirs(failed.into_iter().collect());
        let answer = self.ask(now_ms, 1, request.into());
        match answer {
            Response::Heartbeat(answer) if answer.error_code == 0 && answer.should_shut_down => Told::GoDown,
            Response::Heartbeat(answer) if answer.error_code == 0 && !answer.is_fenced => Told::Serve,
            _ => Told::Wait,
        }
    }

    pub fn alter(
        &mut self,
        now_ms: i64,
        id: i32,
        broker_epoch: i64,
        proposal: &Proposal,
    ) -> Result<CommittedIsr, ErrorCode> {
        let member = |member: &jackdaw_replication::BrokerState| {
            let epoch = if member.broker == id { broker_epoch } else { member.epoch };
            BrokerState::default().with_broker_id(member.broker.into()).with_broker_epoch(epoch)
        };
        let data = PartitionData::default()
            .with_leader_epoch(proposal.leader_epoch)
            .with_partition_epoch(proposal.partition_epoch)
            .with_new_isr_with_epochs(proposal.isr.iter().map(member).collect());
        let topic = TopicData::default().with_topic_id(self.topic).with_partitions(vec![data]);
        let request = AlterPartitionRequest::default()
            .with_broker_id(id.into())
            .with_broker_epoch(broker_epoch)
            .with_topics(vec![topic]);
        let Response::AlterPartition(answer) = self.ask(now_ms, ALTER_PARTITION_VERSION, request.into())
        else {
            panic!("the answer is to another question");
        };
        error(answer.error_code)?;
        let partition = &answer.topics[0].partitions[0];
        error(partition.error_code)?;
        Ok(CommittedIsr {
            leader_epoch: partition.leader_epoch,
            partition_epoch: partition.partition_epoch,
            isr: partition.isr.iter().map(|id| id.0).collect(),
        })
    }

    /// Ends the sessions that are over.
    pub fn tick(&mut self, now_ms: i64) {
        while let Some(tick) = self.controller.tick(now_ms).unwrap_or_else(|error| panic!("{error}")) {
            if !tick.records.is_empty() {
                self.images.push(self.image());
            }
        }
    }

    /// Makes another replica the preferred leader, and lets it lead if it can.
    pub fn prefer(&mut self, now_ms: i64, replicas: &[i32]) {
        let ids = replicas.iter().map(|id| BrokerId(*id)).collect();
        let partition = ReassignablePartition::default().with_partition_index(0).with_replicas(Some(ids));
        let topic =
            ReassignableTopic::default().with_name(text(TOPIC).into()).with_partitions(vec![partition]);
        self.ask(now_ms, 0, AlterPartitionReassignmentsRequest::default().with_topics(vec![topic]).into());
        self.ask(now_ms, 2, ElectLeadersRequest::default().with_topic_partitions(None).into());
    }

    fn ask(&mut self, now_ms: i64, version: i16, request: Request) -> Response {
        self.requests += 1;
        let outcome = self
            .controller
            .handle(now_ms, self.requests, version, &request)
            .unwrap_or_else(|error| panic!("the controller contradicts itself: {error}"));
        if !outcome.records.is_empty() && !self.topic.is_nil() {
            self.images.push(self.image());
        }
        outcome.response
    }

    fn image(&self) -> Image {
        let image = self.controller.image();
        let broker = |b: &jackdaw_metadata::BrokerRegistration| BrokerView {
            epoch: b.epoch,
            fenced: b.fenced,
            shutting_down: b.in_controlled_shutdown,
        };
        let partition = image.topics.by_id(&self.topic).and_then(|topic| topic.partitions.get(&0));
        let partition = partition.unwrap_or_else(|| panic!("the topic is gone"));
        Image {
            offset: self.controller.next_offset() - 1,
            partition: Registration {
                replicas: partition.replicas.clone(),
                isr: partition.isr.clone(),
                leader: partition.leader,
                leader_epoch: partition.leader_epoch,
                partition_epoch: partition.partition_epoch,
                adding: partition.adding_replicas.clone(),
            },
            brokers: image.brokers.iter().map(|(id, b)| (*id, broker(b))).collect(),
        }
    }
}

fn text(s: &str) -> StrBytes {
    StrBytes::from_string(s.to_owned())
}

fn error(code: i16) -> Result<(), ErrorCode> {
    match ErrorCode::try_from_code(code) {
        None => Ok(()),
        Some(error) => Err(error),
    }
}
