//! A small cluster to ask, and words for what it writes.

mod alter_partition;
mod brokers;
mod configs;
mod features;
mod image;
mod random;
mod reassignments;
mod takeover;
mod topics;

use std::collections::BTreeMap;
use std::sync::Arc;

use jackdaw_wire::messages::broker_registration_request::Feature;
use jackdaw_wire::messages::create_topics_request::{CreatableReplicaAssignment, CreatableTopic};
use jackdaw_wire::messages::*;
use jackdaw_wire::{ErrorCode, MetadataRecord, StrBytes};
use uuid::Uuid;

use super::timers::Tick;
use super::*;
use crate::config_schema::EffectiveConfig;
use crate::image::ResourceType;

/// Knows one topic setting of each kind.
pub struct Schema;

impl ConfigSchema for Schema {
    fn validate_topic(&self, configs: &BTreeMap<String, String>) -> Result<(), String> {
        match configs.keys().find(|key| !["retention.ms", "cleanup.policy"].contains(&key.as_str())) {
            Some(key) => Err(format!("Unknown topic config name: {key}")),
            None => Ok(()),
        }
    }

    fn validate_group(&self, configs: &BTreeMap<String, String>) -> Result<(), String> {
        match configs.keys().find(|key| key.as_str() != "consumer.session.timeout.ms") {
            Some(key) => Err(format!("Unknown group config name: {key}")),
            None => Ok(()),
        }
    }

    fn is_list(&self, _: ResourceType, key: &str) -> bool {
        key == "cleanup.policy"
    }

    fn default_value(&self, _: ResourceType, key: &str) -> Option<String> {
        (key == "cleanup.policy").then(|| "delete".into())
    }

    fn effective_topic_configs(
        &self,
        topic: &BTreeMap<String, String>,
        _: &BTreeMap<String, String>,
        _: &BTreeMap<String, String>,
    ) -> Vec<EffectiveConfig> {
        let name = "retention.ms".to_owned();
        let (value, source) = match topic.get(&name) {
            Some(value) => (value.clone(), 1),
            None => ("604800000".into(), 5),
        };
        vec![EffectiveConfig { name, value: Some(value), source, is_sensitive: false }]
    }
}

/// A controller, and the clock and entropy that it is given.
pub struct Cluster {
    pub controller: Controller,
    pub now_ms: i64,
    random: u64,
}

pub fn settings() -> ControllerSettings {
    ControllerSettings {
        node_id: 1,
        cluster_id: "the-cluster".into(),
        voters: vec![1, 2, 3],
        session_timeout_ms: 9_000,
        default_partitions: 1,
        default_replication_factor: 1,
        delete_topics: true,
        rebalance_interval_ms: Some(300_000),
        no_op_interval_ms: None,
        consumer_groups: false,
        bootstrap: Vec::new(),
    }
}

pub fn id(n: u128) -> Uuid {
    Uuid::from_u128(1_000 + n)
}

pub fn text(s: &str) -> StrBytes {
    StrBytes::from_string(s.to_owned())
}

pub fn topic(name: &str, partitions: i32, replication_factor: i16) -> CreatableTopic {
    CreatableTopic::default()
        .with_name(text(name).into())
        .with_num_partitions(partitions)
        .with_replication_factor(replication_factor)
}

/// `"1 2 3, 2 3 1"`: the replicas of partition 0, then of partition 1.
pub fn assigned(name: &str, replicas: &str) -> CreatableTopic {
    let assignments = (0..).zip(replicas.split(',')).map(|(index, ids)| {
        let ids = ids.split_whitespace().map(|id| BrokerId(id.parse().unwrap()));
        CreatableReplicaAssignment::default().with_partition_index(index).with_broker_ids(ids.collect())
    });
    topic(name, -1, -1).with_assignments(assignments.collect())
}

pub fn registration(broker: i32) -> BrokerRegistrationRequest {
    BrokerRegistrationRequest::default()
        .with_broker_id(broker.into())
        .with_cluster_id(text("the-cluster"))
        .with_incarnation_id(id(broker as u128))
        .with_features(vec![
            Feature::default()
                .with_name(text("metadata.version"))
                .with_min_supported_version(1)
                .with_max_supported_version(19),
        ])
        .with_log_dirs(vec![id(100 + broker as u128)])
}

impl Cluster {
    /// An empty cluster, taken over at offset 1 (the leader change is at 0).
    pub fn empty(settings: ControllerSettings) -> Self {
        let log = LogStart {
            image: MetadataImage::default(),
            next_offset: 1,
            is_empty: true,
            open_transaction: false,
        };
        let (controller, _) = Controller::activate(settings, Arc::new(Schema), log, 0).unwrap();
        Self { controller, now_ms: 0, random: 7 }
    }

    /// Brokers 1 to n, all unfenced.
    pub fn of(brokers: i32) -> Self {
        let mut cluster = Self::empty(settings());
        for broker in 1..=brokers {
            cluster.register(broker);
            cluster.unfence(broker);
        }
        cluster
    }

    pub fn ask(&mut self, version: i16, request: impl Into<Request>) -> Outcome {
        self.random += 1;
        let (now_ms, random) = (self.now_ms, self.random);
        self.controller.handle(now_ms, random, version, &request.into()).unwrap()
    }

    pub fn register(&mut self, broker: i32) {
        let outcome = self.ask(3, registration(broker));
        assert_eq!(error_of(&outcome.response), None);
    }

    pub fn epoch(&self, broker: i32) -> i64 {
        self.controller.image().broker(broker).unwrap().epoch
    }

    pub fn heartbeat(&self, broker: i32) -> BrokerHeartbeatRequest {
        BrokerHeartbeatRequest::default()
            .with_broker_id(broker.into())
            .with_broker_epoch(self.epoch(broker))
            .with_current_metadata_offset(self.controller.next_offset() - 1)
    }

    pub fn unfence(&mut self, broker: i32) -> Outcome {
        let heartbeat = self.heartbeat(broker);
        self.ask(1, heartbeat)
    }

    pub fn fence(&mut self, broker: i32) -> Outcome {
        let heartbeat = self.heartbeat(broker).with_want_fence(true);
        self.ask(1, heartbeat)
    }

    pub fn create(&mut self, topic: CreatableTopic) -> Uuid {
        let name = topic.name.clone();
        let outcome = self.ask(7, CreateTopicsRequest::default().with_topics(vec![topic]));
        assert_eq!(error_of(&outcome.response), None, "{:?}", outcome.response);
        self.controller.image().topics.id_of(&name).unwrap()
    }

    pub fn tick(&mut self) -> Option<Tick> {
        self.controller.tick(self.now_ms).unwrap()
    }

    /// Records in words.
    pub fn show(&self, records: &[MetadataRecord]) -> String {
        records.iter().map(|record| self.show_one(record) + "\n").collect()
    }

    fn topic_name(&self, id: &Uuid) -> String {
        self.controller.image().topics.by_id(id).map_or("gone".into(), |topic| topic.name.to_string())
    }

    fn show_one(&self, record: &MetadataRecord) -> String {
        match record {
            MetadataRecord::PartitionChange(r) => {
                let mut words = vec![format!("change {}-{}", self.topic_name(&r.topic_id), r.partition_id)];
                if r.leader != -2 {
                    words.push(format!("leader={}", r.leader));
                }
                words.extend(r.isr.as_ref().map(|isr| format!("isr={isr:?}")));
                words.extend(r.replicas.as_ref().map(|replicas| format!("replicas={replicas:?}")));
                words.extend(r.removing_replicas.as_ref().map(|ids| format!("removing={ids:?}")));
                words.extend(r.adding_replicas.as_ref().map(|ids| format!("adding={ids:?}")));
                if r.leader_recovery_state != -1 {
                    words.push(format!("recovery={}", r.leader_recovery_state));
                }
                words.extend(r.directories.as_ref().map(|dirs| format!("directories={}", dirs.len())));
                words.join(" ")
            }
            MetadataRecord::BrokerRegistrationChange(r) => {
                let mut words = vec![format!("broker {}", r.broker_id)];
                words.extend((r.fenced == 1).then(|| "fenced".into()));
                words.extend((r.fenced == -1).then(|| "unfenced".into()));
                words.extend((r.in_controlled_shutdown == 1).then(|| "stopping".into()));
                words.extend((!r.log_dirs.is_empty()).then(|| format!("directories={}", r.log_dirs.len())));
                words.join(" ")
            }
            MetadataRecord::Partition(r) => {
                format!(
                    "partition {} replicas={:?} isr={:?} leader={}",
                    r.partition_id, r.replicas, r.isr, r.leader
                )
            }
            MetadataRecord::Topic(r) => format!("topic {}", r.name),
            MetadataRecord::Config(r) => {
                format!("config {}/{} {}={:?}", r.resource_type, r.resource_name, r.name, r.value)
            }
            MetadataRecord::RemoveTopic(_) => "remove topic".into(),
            other => other.name().to_owned(),
        }
    }

    pub fn partition(&self, name: &str, partition: i32) -> String {
        let p = self.controller.image().partition(name, partition).unwrap();
        format!(
            "leader {} isr {:?} epoch {} partition epoch {}",
            p.leader, p.isr, p.leader_epoch, p.partition_epoch
        )
    }
}

/// The index must be what it would be if built anew: checked after every scenario.
impl Drop for Cluster {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(PartitionIndex::of(&self.controller.image), self.controller.index);
        }
    }
}

/// The first error that a reply tells.
pub fn error_of(response: &Response) -> Option<ErrorCode> {
    let codes: Vec<i16> = match response {
        Response::RegisterBroker(r) => vec![r.error_code],
        Response::Heartbeat(r) => vec![r.error_code],
        Response::UnregisterBroker(r) => vec![r.error_code],
        Response::RegisterController(r) => vec![r.error_code],
        Response::AlterPartition(r) => {
            let partitions = r.topics.iter().flat_map(|t| &t.partitions).map(|p| p.error_code);
            std::iter::once(r.error_code).chain(partitions).collect()
        }
        Response::AssignReplicasToDirs(r) => {
            let topics = r.directories.iter().flat_map(|d| &d.topics);
            let partitions = topics.flat_map(|t| &t.partitions).map(|p| p.error_code);
            std::iter::once(r.error_code).chain(partitions).collect()
        }
        Response::AllocateProducerIds(r) => vec![r.error_code],
        Response::CreateTopics(r) => r.topics.iter().map(|t| t.error_code).collect(),
        Response::DeleteTopics(r) => r.responses.iter().map(|t| t.error_code).collect(),
        Response::CreatePartitions(r) => r.results.iter().map(|t| t.error_code).collect(),
        Response::ElectLeaders(r) => r
            .replica_election_results
            .iter()
            .flat_map(|t| &t.partition_result)
            .map(|p| p.error_code)
            .collect(),
        Response::IncrementalAlterConfigs(r) => r.responses.iter().map(|c| c.error_code).collect(),
        Response::AlterConfigs(r) => r.responses.iter().map(|c| c.error_code).collect(),
        Response::AlterPartitionReassignments(r) => {
            let partitions = r.responses.iter().flat_map(|t| &t.partitions).map(|p| p.error_code);
            std::iter::once(r.error_code).chain(partitions).collect()
        }
        Response::ListPartitionReassignments(r) => vec![r.error_code],
        Response::UpdateFeatures(r) => {
            std::iter::once(r.error_code).chain(r.results.iter().map(|f| f.error_code)).collect()
        }
    };
    codes.into_iter().find(|code| *code != 0).and_then(ErrorCode::try_from_code)
}
