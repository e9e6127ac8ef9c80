//! Leaders: who must go, who may come, and who should (Kafka's `ReplicationControlManager`).

use jackdaw_wire::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use jackdaw_wire::messages::{ElectLeadersRequest, ElectLeadersResponse, TopicName};
use jackdaw_wire::metadata_record::PartitionChangeRecord;
use jackdaw_wire::types::DIR_UNASSIGNED;
use jackdaw_wire::{ErrorCode, MetadataRecord, StrBytes};
use uuid::Uuid;

use super::error::{ApiError, code_of};
use super::index::PartitionId;
use super::partition_change::{Election, PartitionChange, Surroundings};
use super::{Controller, MAX_RECORDS_PER_REQUEST};
use crate::partition::PartitionRegistration;

/// The most elections of one rebalance (`MAX_ELECTIONS_PER_IMBALANCE`).
const MAX_ELECTIONS_PER_REBALANCE: usize = 1_000;

impl Controller {
    /// Finishes a change with what the cluster allows. `is_active` says which brokers count as alive.
    pub(super) fn build_change(
        &self,
        change: PartitionChange<'_>,
        partition: &PartitionRegistration,
        (topic_id, partition_id): PartitionId,
        is_active: &dyn Fn(i32) -> bool,
    ) -> Option<PartitionChangeRecord> {
        // A directory that this very record assigns counts: a replica without a leader would otherwise wait until its
        // broker is next unfenced (as it does in Kafka 3.7, whose `LeaderAcceptor` sees the old one).
        let assigned = change.assigned_directory();
        let can_lead = |broker: i32| {
            let directory = match assigned {
                Some((to, directory)) if to == broker => directory,
                _ => partition.directory(broker).unwrap_or(DIR_UNASSIGNED),
            };
            is_active(broker)
                && self.image.brokers.get(&broker).is_some_and(|b| b.has_online_directory(&directory))
        };
        let around = Surroundings {
            can_lead: &can_lead,
            default_directory: &|broker| self.default_directory(broker),
            version: self.image.metadata_version(),
        };
        change.build(topic_id, partition_id, &around)
    }

    /// Takes a broker out of ISRs and leaderships, or lets it into leaderships, in the partitions given
    /// (`generateLeaderAndIsrUpdates`). Records that say so of the broker itself may come before or after: neither
    /// is in the image yet.
    ///
    /// `unclean.leader.election.enable` is not asked, because Kafka 3.7's KRaft controller does not either: an
    /// unclean election happens on ElectLeaders alone.
    pub(super) fn update_leaders_and_isrs(
        &self,
        remove: Option<i32>,
        add: Option<i32>,
        partitions: Vec<PartitionId>,
        records: &mut Vec<MetadataRecord>,
    ) {
        let is_active =
            |broker: i32| Some(broker) != remove && (Some(broker) == add || self.is_active(broker));
        for id in partitions {
            let Some(partition) = self.partition(id) else { continue };
            let mut change = PartitionChange::new(partition);
            change.isr.retain(|broker| Some(*broker) != remove);
            records.extend(self.build_change(change, partition, id, &is_active).map(MetadataRecord::from));
        }
    }

    pub(super) fn partition(&self, (topic, partition): PartitionId) -> Option<&PartitionRegistration> {
        self.image.topics.by_id(&topic)?.partitions.get(&partition).map(|p| &**p)
    }

    /// Elections that bring preferred leaders back, and whether there may be more.
    pub(super) fn preferred_leader_changes(&self) -> (Vec<MetadataRecord>, bool) {
        let mut records = Vec::new();
        for id in self.index.imbalanced() {
            if records.len() >= MAX_ELECTIONS_PER_REBALANCE {
                return (records, true);
            }
            let Some(partition) = self.partition(id) else { continue };
            let mut change = PartitionChange::new(partition);
            change.election = Election::Preferred;
            let record = self.build_change(change, partition, id, &|broker| self.is_active(broker));
            records.extend(record.map(MetadataRecord::from));
        }
        (records, false)
    }

    pub(super) fn elect_leaders(
        &self,
        request: &ElectLeadersRequest,
        records: &mut Vec<MetadataRecord>,
    ) -> Result<ElectLeadersResponse, ApiError> {
        let election = match request.election_type {
            0 => Election::Preferred,
            1 => Election::Unclean,
            unknown => {
                let text = format!("Unknown election type {unknown}");
                return Err(ApiError::new(ErrorCode::InvalidRequest, text));
            }
        };
        let mut results = Vec::new();
        match &request.topic_partitions {
            Some(topics) => {
                for topic in topics {
                    let partitions = topic.partitions.iter().map(|partition| {
                        let error = self.elect_leader(&topic.topic, *partition, election, records).err();
                        partition_result(*partition, error.as_ref())
                    });
                    results.push(result(topic.topic.clone(), partitions.collect()));
                }
            }
            None => {
                for topic in self.image.topics.iter() {
                    let name = TopicName(StrBytes::from_string(topic.name.to_string()));
                    let mut partitions = Vec::new();
                    for partition in topic.partitions.keys() {
                        let error = self.elect_leader(&topic.name, *partition, election, records).err();
                        // With all partitions asked for, those that need nothing are not told.
                        if !error.as_ref().is_some_and(|e| e.code == ErrorCode::ElectionNotNeeded) {
                            partitions.push(partition_result(*partition, error.as_ref()));
                        }
                    }
                    results.push(result(name, partitions));
                    if records.len() > MAX_RECORDS_PER_REQUEST {
                        break;
                    }
                }
            }
        }
        Ok(ElectLeadersResponse::default().with_replica_election_results(results))
    }

    fn elect_leader(
        &self,
        topic: &str,
        partition_id: i32,
        election: Election,
        records: &mut Vec<MetadataRecord>,
    ) -> Result<(), ApiError> {
        let unknown = |what: String| ApiError::new(ErrorCode::UnknownTopicOrPartition, what);
        let image =
            self.image.topics.by_name(topic).ok_or_else(|| unknown(format!("No such topic as {topic}")))?;
        let partition = image
            .partitions
            .get(&partition_id)
            .ok_or_else(|| unknown(format!("No such partition as {topic}-{partition_id}")))?;
        let not_needed = match election {
            Election::Preferred => partition.has_preferred_leader(),
            Election::Online | Election::Unclean => partition.leader().is_some(),
        };
        if not_needed {
            return Err(ApiError::new(
                ErrorCode::ElectionNotNeeded,
                "Leader election not needed for topic partition.",
            ));
        }
        let mut change = PartitionChange::new(partition);
        change.election = election;
        let id: (Uuid, i32) = (image.id, partition_id);
        match self.build_change(change, partition, id, &|broker| self.is_active(broker)) {
            Some(record) => records.push(record.into()),
            None if election == Election::Preferred => {
                let text = "The preferred leader was not available.";
                return Err(ApiError::new(ErrorCode::PreferredLeaderNotAvailable, text));
            }
            None => {
                let text = "Eligible topic partition leaders are not available.";
                return Err(ApiError::new(ErrorCode::EligibleLeadersNotAvailable, text));
            }
        }
        Ok(())
    }
}

fn result(topic: TopicName, partitions: Vec<PartitionResult>) -> ReplicaElectionResult {
    ReplicaElectionResult::default().with_topic(topic).with_partition_result(partitions)
}

fn partition_result(partition: i32, error: Option<&ApiError>) -> PartitionResult {
    PartitionResult::default()
        .with_partition_id(partition)
        .with_error_code(code_of(error))
        .with_error_message(error.and_then(ApiError::text))
}
