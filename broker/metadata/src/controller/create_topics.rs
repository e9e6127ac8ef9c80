//! New topics (Kafka's `ControllerApis.createTopics` and `ReplicationControlManager.createTopics`).

use std::collections::{BTreeMap, HashMap, HashSet};

use jackdaw_wire::messages::create_topics_request::CreatableTopic;
use jackdaw_wire::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use jackdaw_wire::messages::{BrokerId, CreateTopicsRequest, CreateTopicsResponse};
use jackdaw_wire::metadata_record::{ConfigRecord, TopicRecord};
use jackdaw_wire::types::METADATA_TOPIC_NAME;
use jackdaw_wire::{ErrorCode, MetadataRecord, StrBytes};

use super::error::ApiError;
use super::request::failed_topic;
use super::{Controller, MAX_RECORDS_PER_REQUEST, Work};
use crate::image::{ConfigResource, ResourceType};
use crate::partition::{LeaderRecoveryState, PartitionRegistration};
use crate::placement::{self, UsableBroker};
use crate::topic_name;

impl Controller {
    pub(super) fn create_topics(
        &self,
        request: &CreateTopicsRequest,
        work: &mut Work,
        records: &mut Vec<MetadataRecord>,
    ) -> Result<CreateTopicsResponse, ApiError> {
        let mut seen = HashMap::new();
        for topic in &request.topics {
            *seen.entry(&*topic.name).or_insert(0) += 1;
        }
        let mut results = Vec::with_capacity(request.topics.len());
        for topic in request.topics.iter().filter(|t| seen.get(&*t.name) == Some(&1)) {
            if &*topic.name == METADATA_TOPIC_NAME {
                continue;
            }
            let before = records.len();
            let created = self.create_topic(topic, work, records);
            if records.len() > MAX_RECORDS_PER_REQUEST {
                return Err(ApiError::too_many_records());
            }
            results.push(created.unwrap_or_else(|error| {
                records.truncate(before);
                failed_topic(topic.name.clone(), &error)
            }));
        }
        // Kafka tells these after the others.
        let mut told = HashSet::new();
        for topic in &request.topics {
            let error = match seen.get(&*topic.name) {
                Some(1) if &*topic.name == METADATA_TOPIC_NAME => {
                    ApiError::new(ErrorCode::TopicAuthorizationFailed, "Authorization failed.")
                }
                Some(2..) => ApiError::new(ErrorCode::InvalidRequest, "Duplicate topic name."),
                _ => continue,
            };
            if told.insert(&*topic.name) {
                results.push(failed_topic(topic.name.clone(), &error));
            }
        }
        if request.validate_only {
            records.clear();
        }
        Ok(CreateTopicsResponse::default().with_topics(results))
    }

    fn create_topic(
        &self,
        topic: &CreatableTopic,
        work: &mut Work,
        records: &mut Vec<MetadataRecord>,
    ) -> Result<CreatableTopicResult, ApiError> {
        self.check_new_name(&topic.name)?;
        let configs = self.creation_configs(topic)?;
        let partitions = if topic.assignments.is_empty() {
            self.placed_partitions(topic, work)?
        } else {
            self.assigned_partitions(topic)?
        };
        let topic_id = work.entropy.uuid();
        let name = topic.name.to_string();
        records.push(TopicRecord { name: name.clone(), topic_id, ..Default::default() }.into());
        for (key, value) in &configs {
            let record = ConfigRecord {
                resource_type: ResourceType::Topic.id(),
                resource_name: name.clone(),
                name: key.clone(),
                value: Some(value.clone()),
                ..Default::default()
            };
            records.push(record.into());
        }
        let count = partitions.len() as i32;
        let replication_factor = partitions.first().map_or(0, |p| p.replicas.len() as i16);
        for (index, partition) in (0..).zip(&partitions) {
            records.push(partition.to_record(topic_id, index).into());
        }
        Ok(CreatableTopicResult::default()
            .with_name(topic.name.clone())
            .with_error_message(None)
            .with_topic_id(topic_id)
            .with_num_partitions(count)
            .with_replication_factor(replication_factor)
            .with_configs(Some(self.described_configs(&configs))))
    }

    fn check_new_name(&self, name: &str) -> Result<(), ApiError> {
        let invalid = |text: String| ApiError::new(ErrorCode::InvalidTopicException, text);
        if self.image.topics.by_name(name).is_some() {
            let text = format!("Topic '{name}' already exists.");
            return Err(ApiError::new(ErrorCode::TopicAlreadyExists, text));
        }
        if topic_name::has_collision_chars(name)
            && let Some(other) = self.index.colliding_topic(name)
        {
            return Err(invalid(format!("Topic '{name}' collides with existing topic: {other}")));
        }
        topic_name::validate(name).map_err(|error| invalid(error.to_string()))
    }

    fn creation_configs(&self, topic: &CreatableTopic) -> Result<BTreeMap<String, String>, ApiError> {
        let invalid = |text: String| ApiError::new(ErrorCode::InvalidConfig, text);
        let nulls: Vec<&str> = topic.configs.iter().filter(|c| c.value.is_none()).map(|c| &*c.name).collect();
        if !nulls.is_empty() {
            return Err(invalid(format!("Null value not supported for topic configs: {}", nulls.join(","))));
        }
        let set =
            topic.configs.iter().filter_map(|c| Some((c.name.to_string(), c.value.as_ref()?.to_string())));
        let configs: BTreeMap<String, String> = set.collect();
        if !configs.is_empty() {
            self.schema.validate_topic(&configs).map_err(invalid)?;
        }
        Ok(configs)
    }

    fn described_configs(&self, topic: &BTreeMap<String, String>) -> Vec<CreatableTopicConfigs> {
        let nothing = BTreeMap::new();
        let of = |resource| self.image.config(&resource).map_or(&nothing, |configs| &**configs);
        let node = of(ConfigResource::broker(self.settings.node_id));
        let cluster = of(ConfigResource::default_broker());
        let effective = self.schema.effective_topic_configs(topic, node, cluster);
        let described = effective.into_iter().map(|config| {
            let value = config.value.filter(|_| !config.is_sensitive).map(StrBytes::from_string);
            CreatableTopicConfigs::default()
                .with_name(StrBytes::from_string(config.name))
                .with_value(value)
                .with_config_source(config.source)
                .with_is_sensitive(config.is_sensitive)
        });
        described.collect()
    }

    fn placed_partitions(
        &self,
        topic: &CreatableTopic,
        work: &mut Work,
    ) -> Result<Vec<PartitionRegistration>, ApiError> {
        let replication_factor = match topic.replication_factor {
            -1 => self.settings.default_replication_factor,
            n if n <= 0 => {
                let text = "Replication factor must be larger than 0, or -1 to use the default value.";
                return Err(ApiError::new(ErrorCode::InvalidReplicationFactor, text));
            }
            n => n,
        };
        let count = match topic.num_partitions {
            -1 => self.settings.default_partitions,
            n if n <= 0 => {
                let text = "Number of partitions was set to an invalid non-positive value.";
                return Err(ApiError::new(ErrorCode::InvalidPartitions, text));
            }
            n => n,
        };
        self.place(count as usize, replication_factor, work)
    }

    /// New partitions wherever the cluster has room (shared with CreatePartitions).
    pub(super) fn place(
        &self,
        count: usize,
        replication_factor: i16,
        work: &mut Work,
    ) -> Result<Vec<PartitionRegistration>, ApiError> {
        if count > MAX_RECORDS_PER_REQUEST {
            return Err(ApiError::too_many_records());
        }
        let refuse = |why: &str| {
            let text = format!("Unable to replicate the partition {replication_factor} time(s): {why}");
            ApiError::new(ErrorCode::InvalidReplicationFactor, text)
        };
        let brokers: Vec<UsableBroker> = self
            .sessions
            .usable()
            .filter_map(|(id, fenced)| {
                let rack = self.image.brokers.get(&id)?.rack.clone();
                Some(UsableBroker { id, rack, fenced })
            })
            .collect();
        let placed = placement::place(&brokers, count, replication_factor, &mut work.entropy)
            .map_err(|error| refuse(&error.to_string()))?;
        let partitions = placed.into_iter().map(|replicas| {
            self.new_partition(replicas)
                .ok_or_else(|| refuse("All brokers are currently fenced or in controlled shutdown."))
        });
        partitions.collect()
    }

    fn assigned_partitions(&self, topic: &CreatableTopic) -> Result<Vec<PartitionRegistration>, ApiError> {
        let unset = |what: &str| {
            let text = format!("A manual partition assignment was specified, but {what} was not set to -1.");
            ApiError::new(ErrorCode::InvalidRequest, text)
        };
        if topic.replication_factor != -1 {
            return Err(unset("replication factor"));
        }
        if topic.num_partitions != -1 {
            return Err(unset("numPartitions"));
        }
        let invalid = |text: String| ApiError::new(ErrorCode::InvalidReplicaAssignment, text);
        let mut partitions = BTreeMap::new();
        let mut replication_factor = None;
        for assignment in &topic.assignments {
            let index = assignment.partition_index;
            if partitions.contains_key(&index) {
                return Err(invalid(format!(
                    "Found multiple manual partition assignments for partition {index}"
                )));
            }
            let partition = self.assigned_partition(index, &assignment.broker_ids, replication_factor)?;
            replication_factor = Some(partition.replicas.len());
            partitions.insert(index, partition);
        }
        if (0..).zip(partitions.keys()).any(|(expected, index)| expected != *index) {
            return Err(invalid("partitions should be a consecutive 0-based integer sequence".into()));
        }
        Ok(partitions.into_values().collect())
    }

    /// One partition where the user wants it (shared with CreatePartitions).
    pub(super) fn assigned_partition(
        &self,
        index: i32,
        brokers: &[BrokerId],
        replication_factor: Option<usize>,
    ) -> Result<PartitionRegistration, ApiError> {
        self.check_assignment(brokers, replication_factor)?;
        self.new_partition(brokers.iter().map(|id| id.0).collect()).ok_or_else(|| {
            let text = format!(
                "All brokers specified in the manual partition assignment for partition {index} are fenced or in \
                 controlled shutdown."
            );
            ApiError::new(ErrorCode::InvalidReplicaAssignment, text)
        })
    }

    /// `ReplicationControlManager.validateManualPartitionAssignment` (shared with reassignments).
    pub(super) fn check_assignment(
        &self,
        brokers: &[BrokerId],
        replication_factor: Option<usize>,
    ) -> Result<(), ApiError> {
        let refuse = |text: String| Err(ApiError::new(ErrorCode::InvalidReplicaAssignment, text));
        if brokers.is_empty() {
            return refuse("The manual partition assignment includes an empty replica list.".into());
        }
        let mut sorted: Vec<i32> = brokers.iter().map(|id| id.0).collect();
        sorted.sort_unstable();
        for (at, id) in sorted.iter().enumerate() {
            if !self.image.brokers.contains_key(id) {
                return refuse(format!(
                    "The manual partition assignment includes broker {id}, but no such broker is registered."
                ));
            }
            if at > 0 && sorted[at - 1] == *id {
                return refuse(format!(
                    "The manual partition assignment includes the broker {id} more than once."
                ));
            }
        }
        match replication_factor.filter(|expected| *expected != brokers.len()) {
            None => Ok(()),
            Some(expected) => refuse(format!(
                "The manual partition assignment includes a partition with {} replica(s), but this is not \
                 consistent with previous partitions, which have {expected} replica(s).",
                brokers.len()
            )),
        }
    }

    /// A partition as it begins: everyone who is alive is in sync, and the first of them leads. `None` if nobody is.
    fn new_partition(&self, replicas: Vec<i32>) -> Option<PartitionRegistration> {
        let isr: Vec<i32> = replicas.iter().copied().filter(|id| self.is_active(*id)).collect();
        let leader = *isr.first()?;
        Some(PartitionRegistration {
            directories: replicas.iter().map(|id| self.default_directory(*id)).collect(),
            replicas,
            isr,
            removing_replicas: Vec::new(),
            adding_replicas: Vec::new(),
            leader,
            leader_recovery_state: LeaderRecoveryState::Recovered,
            leader_epoch: 0,
            partition_epoch: 0,
        })
    }
}
