//! Replicas move (KIP-455; Kafka's `ReplicationControlManager.alterPartitionReassignments`): the new ones are added,
//! and the old ones go once the new ones are in sync, which `PartitionChange` sees to.

use jackdaw_settings::keys::topics;
use jackdaw_wire::messages::alter_partition_reassignments_request::ReassignablePartition;
use jackdaw_wire::messages::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use jackdaw_wire::messages::list_partition_reassignments_response::{
    OngoingPartitionReassignment, OngoingTopicReassignment,
};
use jackdaw_wire::messages::*;
use jackdaw_wire::metadata_record::PartitionChangeRecord;
use jackdaw_wire::{ErrorCode, MetadataRecord, StrBytes};

use super::Controller;
use super::error::{ApiError, code_of};
use super::partition_change::{Election, PartitionChange};
use crate::image::{ConfigResource, MetadataImage, TopicImage};
use crate::partition::PartitionRegistration;

impl Controller {
    pub(super) fn alter_partition_reassignments(
        &self,
        request: &AlterPartitionReassignmentsRequest,
        records: &mut Vec<MetadataRecord>,
    ) -> AlterPartitionReassignmentsResponse {
        let topics = request.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|target| {
                let altered = self.alter_reassignment(&topic.name, target);
                let error = altered.map(|record| records.extend(record.map(MetadataRecord::from))).err();
                ReassignablePartitionResponse::default()
                    .with_partition_index(target.partition_index)
                    .with_error_code(code_of(error.as_ref()))
                    .with_error_message(error.as_ref().and_then(ApiError::text))
            });
            ReassignableTopicResponse::default()
                .with_name(topic.name.clone())
                .with_partitions(partitions.collect())
        });
        AlterPartitionReassignmentsResponse::default()
            .with_error_message(None)
            .with_responses(topics.collect())
    }

    fn alter_reassignment(
        &self,
        name: &str,
        target: &ReassignablePartition,
    ) -> Result<Option<PartitionChangeRecord>, ApiError> {
        let unknown = |what: String| ApiError::new(ErrorCode::UnknownTopicOrPartition, what);
        let topic = self.image.topics.by_name(name);
        let topic = topic.ok_or_else(|| unknown(format!("Unable to find a topic named {name}.")))?;
        let index = target.partition_index;
        let partition = topic.partitions.get(&index);
        let partition =
            partition.ok_or_else(|| unknown(format!("Unable to find partition {name}:{index}.")))?;
        let change = match &target.replicas {
            Some(replicas) => {
                // Refuses what no partition may be made of; what it would begin as is of no interest.
                self.check_assignment(replicas, None)?;
                reassigned(partition, replicas.iter().map(|id| id.0).collect())
            }
            None => self.reverted(topic, index, partition)?,
        };
        Ok(self.build_change(change, partition, (topic.id, index), &|broker| self.is_active(broker)))
    }

    /// Back to where the replicas were (`PartitionReassignmentRevert`).
    fn reverted<'a>(
        &self,
        topic: &TopicImage,
        index: i32,
        partition: &'a PartitionRegistration,
    ) -> Result<PartitionChange<'a>, ApiError> {
        if partition.adding_replicas.is_empty() && partition.removing_replicas.is_empty() {
            return Err(ErrorCode::NoReassignmentInProgress.into());
        }
        let stays = |replica: &i32| !partition.adding_replicas.contains(replica);
        let mut change = PartitionChange::new(partition);
        change.replicas.retain(stays);
        change.isr.retain(stays);
        change.set_reassignment(Vec::new(), Vec::new());
        let unclean = self.is_unclean_election_enabled(&topic.name);
        if unclean {
            change.election = Election::Unclean;
        }
        if change.isr.is_empty() {
            let first = change.replicas.first().copied();
            change.isr.extend(first);
            let refuse = |text: String| Err(ApiError::new(ErrorCode::InvalidReplicaAssignment, text));
            match first {
                None => {
                    return refuse(
                        "Invalid replica assignment: addingReplicas contains all replicas.".into(),
                    );
                }
                Some(_) if !unclean => {
                    return refuse(format!(
                        "Unable to revert partition assignment for {}:{index} because it would require an unclean \
                         leader election.",
                        topic.name
                    ));
                }
                Some(_) => {}
            }
        }
        Ok(change)
    }

    fn is_unclean_election_enabled(&self, topic: &str) -> bool {
        const KEY: &str = topics::UNCLEAN_LEADER_ELECTION_ENABLE.name;
        let nothing = std::collections::BTreeMap::new();
        let of = |resource| self.image.config(&resource).map_or(&nothing, |configs| &**configs);
        let (own, node, cluster) = (
            of(ConfigResource::topic(topic)),
            of(ConfigResource::broker(self.settings.node_id)),
            of(ConfigResource::default_broker()),
        );
        let effective = self.schema.effective_topic_configs(own, node, cluster);
        let value = effective.into_iter().find(|config| config.name == KEY).and_then(|config| config.value);
        value.is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }
}

/// Moves that are under way, as of an image: a controller that does not lead answers this too.
pub fn list_partition_reassignments(
    image: &MetadataImage,
    request: &ListPartitionReassignmentsRequest,
) -> ListPartitionReassignmentsResponse {
    let ongoing = |topic: &TopicImage, index: i32| {
        let partition = topic.partitions.get(&index)?;
        let moves = !partition.adding_replicas.is_empty() || !partition.removing_replicas.is_empty();
        let ids = |ids: &[i32]| ids.iter().map(|id| BrokerId(*id)).collect();
        moves.then(|| {
            OngoingPartitionReassignment::default()
                .with_partition_index(index)
                .with_replicas(ids(&partition.replicas))
                .with_adding_replicas(ids(&partition.adding_replicas))
                .with_removing_replicas(ids(&partition.removing_replicas))
        })
    };
    let told = |topic: &TopicImage, indexes: &[i32]| {
        let partitions: Vec<_> = indexes.iter().filter_map(|index| ongoing(topic, *index)).collect();
        let name = TopicName(StrBytes::from_string(topic.name.to_string()));
        (!partitions.is_empty())
            .then(|| OngoingTopicReassignment::default().with_name(name).with_partitions(partitions))
    };
    let topics: Vec<OngoingTopicReassignment> = match &request.topics {
        None => {
            let all = |topic: &TopicImage| topic.partitions.keys().copied().collect::<Vec<_>>();
            image.topics.iter().filter_map(|topic| told(topic, &all(topic))).collect()
        }
        Some(asked) => {
            let known = asked.iter().filter_map(|t| Some((image.topics.by_name(&t.name)?, t)));
            known.filter_map(|(topic, asked)| told(topic, &asked.partition_indexes)).collect()
        }
    };
    ListPartitionReassignmentsResponse::default().with_error_message(None).with_topics(topics)
}

/// The replicas of the target first, then those that will go (`PartitionReassignmentReplicas`).
fn reassigned(partition: &PartitionRegistration, target: Vec<i32>) -> PartitionChange<'_> {
    let sorted = |mut ids: Vec<i32>| {
        ids.sort_unstable();
        ids
    };
    let current = &partition.replicas;
    let removing = sorted(current.iter().copied().filter(|id| !target.contains(id)).collect());
    let adding = sorted(target.iter().copied().filter(|id| !current.contains(id)).collect());
    let mut change = PartitionChange::new(partition);
    change.replicas = target;
    change.replicas.extend(&removing);
    // As in Kafka, an empty set leaves what is there: a move that is under way is not cut short by naming its end.
    let removing = if removing.is_empty() { partition.removing_replicas.clone() } else { removing };
    let adding = if adding.is_empty() { partition.adding_replicas.clone() } else { adding };
    change.set_reassignment(removing, adding);
    change
}
