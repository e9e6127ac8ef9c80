//! A partition's leader tells who is in sync (Kafka's `ReplicationControlManager.alterPartition`).

use std::collections::BTreeSet;

use jackdaw_wire::messages::alter_partition_request::{BrokerState, PartitionData};
use jackdaw_wire::messages::alter_partition_response::{
    PartitionData as PartitionResult, TopicData as TopicResult,
};
use jackdaw_wire::messages::{AlterPartitionRequest, AlterPartitionResponse, BrokerId};
use jackdaw_wire::{ErrorCode, MetadataRecord};

use super::Controller;
use super::error::ApiError;
use super::partition_change::PartitionChange;
use crate::image::TopicImage;
use crate::partition::{LeaderRecoveryState, NO_LEADER_CHANGE, PartitionRegistration};

/// From this version on topics are named by id, and errors are more exact.
const WITH_TOPIC_IDS: i16 = 2;
/// From this version on each member of the ISR comes with its broker epoch (KIP-903).
const WITH_BROKER_EPOCHS: i16 = 3;

impl Controller {
    pub(super) fn alter_partition(
        &self,
        request: &AlterPartitionRequest,
        version: i16,
        records: &mut Vec<MetadataRecord>,
    ) -> Result<AlterPartitionResponse, ApiError> {
        let broker = request.broker_id.0;
        if request.topics.is_empty() {
            return Ok(AlterPartitionResponse::default());
        }
        self.check_broker_epoch(broker, request.broker_epoch)?;
        let mut topics = Vec::with_capacity(request.topics.len());
        for data in &request.topics {
            let (topic, unknown) = if version >= WITH_TOPIC_IDS {
                (self.image.topics.by_id(&data.topic_id), ErrorCode::UnknownTopicId)
            } else {
                (self.image.topics.by_name(&data.topic_name), ErrorCode::UnknownTopicOrPartition)
            };
            let partitions = data.partitions.iter().map(|partition| {
                let altered = match topic {
                    Some(topic) => self.alter_one(broker, version, topic, partition, records),
                    None => Err(unknown),
                };
                altered.unwrap_or_else(|error| refused(partition.partition_index, error))
            });
            topics.push(
                TopicResult::default()
                    .with_topic_name(data.topic_name.clone())
                    .with_topic_id(data.topic_id)
                    .with_partitions(partitions.collect()),
            );
        }
        Ok(AlterPartitionResponse::default().with_topics(topics))
    }

    fn alter_one(
        &self,
        broker: i32,
        version: i16,
        topic: &TopicImage,
        data: &PartitionData,
        records: &mut Vec<MetadataRecord>,
    ) -> Result<PartitionResult, ErrorCode> {
        let index = data.partition_index;
        let partition = topic.partitions.get(&index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        let isr = new_isr(data, version);
        self.check_alteration(broker, version, partition, data, &isr)?;
        let mut change = PartitionChange::new(partition);
        change.isr = isr.iter().map(|member| member.broker_id.0).collect();
        change.recovery_state =
            LeaderRecoveryState::of(data.leader_recovery_state).ok_or(ErrorCode::InvalidRequest)?;
        let record = self.build_change(change, partition, (topic.id, index), &|b| self.is_active(b));
        let altered = match &record {
            Some(record) => partition.merge(record).map_err(|_| ErrorCode::UnknownServerError)?,
            None => PartitionRegistration::clone(partition),
        };
        let new_leader = record.as_ref().map_or(NO_LEADER_CHANGE, |r| r.leader);
        records.extend(record.map(MetadataRecord::from));
        if new_leader != NO_LEADER_CHANGE && new_leader != broker {
            // The ISR completed a reassignment, and with it the leader changed: the asking one must look again.
            return Err(match version {
                WITH_TOPIC_IDS.. => ErrorCode::NewLeaderElected,
                _ => ErrorCode::FencedLeaderEpoch,
            });
        }
        Ok(PartitionResult::default()
            .with_partition_index(index)
            .with_leader_id(BrokerId(altered.leader))
            .with_leader_epoch(altered.leader_epoch)
            .with_isr(altered.isr.into_iter().map(BrokerId).collect())
            .with_leader_recovery_state(altered.leader_recovery_state.value())
            .with_partition_epoch(altered.partition_epoch))
    }

    /// The rules in Kafka's order: which error comes first decides what the leader does next.
    fn check_alteration(
        &self,
        broker: i32,
        version: i16,
        partition: &PartitionRegistration,
        data: &PartitionData,
        isr: &[BrokerState],
    ) -> Result<(), ErrorCode> {
        // A leader that knows more than this controller has heard of a newer one.
        if data.leader_epoch > partition.leader_epoch || data.partition_epoch > partition.partition_epoch {
            return Err(ErrorCode::NotController);
        }
        if data.leader_epoch < partition.leader_epoch {
            return Err(ErrorCode::FencedLeaderEpoch);
        }
        if broker != partition.leader {
            return Err(ErrorCode::InvalidRequest);
        }
        if data.partition_epoch < partition.partition_epoch {
            return Err(ErrorCode::InvalidUpdateVersion);
        }
        let ids: BTreeSet<i32> = isr.iter().map(|member| member.broker_id.0).collect();
        let valid = ids.len() == isr.len() && ids.iter().all(|id| partition.has_replica(*id));
        if !valid || !ids.contains(&partition.leader) {
            return Err(ErrorCode::InvalidRequest);
        }
        let recovering = data.leader_recovery_state == LeaderRecoveryState::Recovering.value();
        if recovering && (isr.len() > 1 || partition.leader_recovery_state == LeaderRecoveryState::Recovered)
        {
            return Err(ErrorCode::InvalidRequest);
        }
        match isr.iter().all(|member| self.may_join_isr(partition, member)) {
            true => Ok(()),
            false if version >= WITH_TOPIC_IDS => Err(ErrorCode::IneligibleReplica),
            false => Err(ErrorCode::OperationNotAttempted),
        }
    }

    /// Kafka does not ask for the directory: it relies on the leader's seeing a fetch first. A fetch that was under way
    /// when the directory failed would bring the replica back, and every write would wait for it.
    fn may_join_isr(&self, partition: &PartitionRegistration, member: &BrokerState) -> bool {
        let id = member.broker_id.0;
        self.image.brokers.get(&id).is_some_and(|broker| {
            self.is_active(id)
                && (member.broker_epoch == -1 || member.broker_epoch == broker.epoch)
                && partition.directory(id).is_some_and(|directory| broker.has_online_directory(&directory))
        })
    }
}

fn new_isr(data: &PartitionData, version: i16) -> Vec<BrokerState> {
    if version >= WITH_BROKER_EPOCHS {
        return data.new_isr_with_epochs.clone();
    }
    let without_epoch = |id: &BrokerId| BrokerState::default().with_broker_id(*id).with_broker_epoch(-1);
    data.new_isr.iter().map(without_epoch).collect()
}

fn refused(partition: i32, error: ErrorCode) -> PartitionResult {
    PartitionResult::default().with_partition_index(partition).with_error_code(error.code())
}
