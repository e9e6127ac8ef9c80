//! Replicas and the log directories they lie in (KIP-858).

use jackdaw_wire::messages::assign_replicas_to_dirs_response::{DirectoryData, PartitionData, TopicData};
use jackdaw_wire::messages::{AssignReplicasToDirsRequest, AssignReplicasToDirsResponse};
use jackdaw_wire::metadata_record::BrokerRegistrationChangeRecord;
use jackdaw_wire::{ErrorCode, MetadataRecord};
use uuid::Uuid;

use super::Controller;
use super::error::ApiError;
use super::index::PartitionId;
use super::partition_change::PartitionChange;
use crate::registration::BrokerRegistration;

impl Controller {
    /// Directories that were online until now take their replicas out of ISRs and leaderships.
    pub(super) fn directories_offline(
        &self,
        broker_id: i32,
        broker_epoch: i64,
        offline: &[Uuid],
        records: &mut Vec<MetadataRecord>,
    ) {
        let Some(broker) = self.image.brokers.get(&broker_id) else { return };
        let (lost, log_dirs): (Vec<Uuid>, Vec<Uuid>) =
            broker.directories.iter().copied().partition(|directory| offline.contains(directory));
        if lost.is_empty() {
            return;
        }
        for directory in &lost {
            let partitions = self.index.in_directory(directory);
            self.update_leaders_and_isrs(Some(broker_id), None, partitions, records);
        }
        records.push(
            BrokerRegistrationChangeRecord { broker_id, broker_epoch, log_dirs, ..Default::default() }.into(),
        );
    }

    pub(super) fn assign_replicas_to_dirs(
        &self,
        request: &AssignReplicasToDirsRequest,
        records: &mut Vec<MetadataRecord>,
    ) -> Result<AssignReplicasToDirsResponse, ApiError> {
        if !self.image.metadata_version().has_directories() {
            let text = "Directory assignment is not supported yet.";
            return Err(ApiError::new(ErrorCode::UnsupportedVersion, text));
        }
        let broker_id = request.broker_id.0;
        self.check_broker_epoch(broker_id, request.broker_epoch)?;
        let Some(broker) = self.image.brokers.get(&broker_id) else {
            return Err(ErrorCode::BrokerIdNotRegistered.into());
        };
        let mut offline: Vec<PartitionId> = Vec::new();
        let mut directories = Vec::with_capacity(request.directories.len());
        for directory in &request.directories {
            let is_offline = !broker.has_online_directory(&directory.id);
            let mut topics = Vec::with_capacity(directory.topics.len());
            for topic in &directory.topics {
                let partitions = topic.partitions.iter().map(|partition| {
                    let id = (topic.topic_id, partition.partition_index);
                    let error = self.assign(broker, id, directory.id, records).err();
                    if error.is_none() && is_offline {
                        offline.push(id);
                    }
                    PartitionData::default()
                        .with_partition_index(partition.partition_index)
                        .with_error_code(error.map_or(0, |e| e.code()))
                });
                let partitions = partitions.collect();
                topics.push(TopicData::default().with_topic_id(topic.topic_id).with_partitions(partitions));
            }
            directories.push(DirectoryData::default().with_id(directory.id).with_topics(topics));
        }
        self.update_leaders_and_isrs(Some(broker_id), None, offline, records);
        Ok(AssignReplicasToDirsResponse::default().with_directories(directories))
    }

    fn assign(
        &self,
        broker: &BrokerRegistration,
        id: PartitionId,
        directory: Uuid,
        records: &mut Vec<MetadataRecord>,
    ) -> Result<(), ErrorCode> {
        let topic = self.image.topics.by_id(&id.0).ok_or(ErrorCode::UnknownTopicId)?;
        let partition = topic.partitions.get(&id.1).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        if !partition.has_replica(broker.id) {
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        let mut change = PartitionChange::new(partition);
        change.assign_directory(broker.id, directory);
        let record = self.build_change(change, partition, id, &|b| self.is_active(b));
        records.extend(record.map(MetadataRecord::from));
        Ok(())
    }
}
