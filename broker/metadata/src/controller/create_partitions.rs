//! More partitions for topics that are there (Kafka's `ReplicationControlManager.createPartitions`).

use std::collections::HashMap;

use jackdaw_wire::messages::create_partitions_request::CreatePartitionsTopic;
use jackdaw_wire::messages::create_partitions_response::CreatePartitionsTopicResult;
use jackdaw_wire::messages::{CreatePartitionsRequest, CreatePartitionsResponse};
use jackdaw_wire::{ErrorCode, MetadataRecord};

use super::error::{ApiError, code_of};
use super::{Controller, Work};

impl Controller {
    pub(super) fn create_partitions(
        &self,
        request: &CreatePartitionsRequest,
        work: &mut Work,
        records: &mut Vec<MetadataRecord>,
    ) -> CreatePartitionsResponse {
        let mut seen = HashMap::new();
        for topic in &request.topics {
            *seen.entry(&*topic.name).or_insert(0) += 1;
        }
        let mut results = Vec::with_capacity(request.topics.len());
        for topic in &request.topics {
            let error = match seen.remove(&*topic.name) {
                Some(1) => {
                    let before = records.len();
                    let error = self.add_partitions(topic, work, records).err();
                    if error.is_some() {
                        records.truncate(before);
                    }
                    error
                }
                Some(_) => Some(ApiError::new(ErrorCode::InvalidRequest, "Duplicate topic name.")),
                // A duplicate that was told already.
                None => continue,
            };
            results.push(
                CreatePartitionsTopicResult::default()
                    .with_name(topic.name.clone())
                    .with_error_code(code_of(error.as_ref()))
                    .with_error_message(error.as_ref().and_then(ApiError::text)),
            );
        }
        if request.validate_only {
            records.clear();
        }
        CreatePartitionsResponse::default().with_results(results)
    }

    fn add_partitions(
        &self,
        topic: &CreatePartitionsTopic,
        work: &mut Work,
        records: &mut Vec<MetadataRecord>,
    ) -> Result<(), ApiError> {
        let image = self.image.topics.by_name(&topic.name).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        let present = image.partitions.len() as i32;
        let invalid = |text: String| Err(ApiError::new(ErrorCode::InvalidPartitions, text));
        if topic.count == present {
            return invalid(format!("Topic already has {present} partition(s)."));
        }
        if topic.count < present {
            return invalid(format!(
                "The topic {} currently has {present} partition(s); {} would not be an increase.",
                &*topic.name, topic.count
            ));
        }
        let additional = (topic.count - present) as usize;
        let Some(first) = image.partitions.values().next() else {
            return Err(ErrorCode::UnknownServerError.into());
        };
        let replication_factor = first.replicas.len();
        let partitions = match &topic.assignments {
            Some(assignments) if assignments.len() != additional => {
                let text = format!(
                    "Attempted to add {additional} additional partition(s), but only {} assignment(s) were specified.",
                    assignments.len()
                );
                return Err(ApiError::new(ErrorCode::InvalidReplicaAssignment, text));
            }
            Some(assignments) => (present..)
                .zip(assignments)
                .map(|(index, a)| self.assigned_partition(index, &a.broker_ids, Some(replication_factor)))
                .collect::<Result<Vec<_>, _>>()?,
            None => self.place(additional, replication_factor as i16, work)?,
        };
        for (index, partition) in (present..).zip(&partitions) {
            records.push(partition.to_record(image.id, index).into());
        }
        Ok(())
    }
}
