//! Produce: every partition is submitted in the call, the reply waits for what `acks` asks for.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jackdaw_log::VerificationGuard;
use jackdaw_wire::batch::BatchHeader;
use jackdaw_wire::messages::produce_response::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse, TopicProduceResponse,
};
use jackdaw_wire::messages::{BrokerId, ProduceRequest, ProduceResponse, TopicName};
use jackdaw_wire::validate::AppendOrigin;
use jackdaw_wire::{ErrorCode, StrBytes, keep, validate};

use super::Produced;
use super::append::Submission;
use super::partition::Partition;
use super::pending::{AppendResult, Pending};
use super::shared::{Shared, TopicRef, leader_hint};
use crate::dispatch::RequestContext;
use crate::errors;

const LEADER_HINTS_FROM: i16 = 10;
/// Only an admin client writes to topics that belong to the brokers (`AdminUtils.ADMIN_CLIENT_ID`).
const ADMIN_CLIENT_ID: &str = "__admin_client";
const INTERNAL_TOPICS: [&str; 2] = ["__consumer_offsets", "__transaction_state"];

/// The partitions of a request in its order: what the reply is put together from.
struct Asked {
    topics: Vec<(TopicName, Vec<i32>)>,
    pending: Arc<Pending>,
    waiting: Waiting,
}

/// Where a request waits. Whoever goes away is forgotten there.
pub(super) struct Waiting {
    pub pending: Arc<Pending>,
    pub partitions: Vec<Arc<Partition>>,
}

impl Waiting {
    /// Whatever is still open is answered with a timeout.
    pub fn give_up(&self) {
        if !self.pending.is_done() {
            self.pending.time_out();
            self.partitions.iter().for_each(|partition| partition.gave_up());
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.give_up();
    }
}

/// Records for one partition of a request.
pub(super) struct Part {
    pub partition: Arc<Partition>,
    /// None where the request says null.
    pub records: Option<Bytes>,
    /// The partition's place in the request.
    pub slot: usize,
    pub guard: Option<VerificationGuard>,
}

impl Part {
    /// The header of the one batch that a Produce request has for a partition, where it is of a transaction.
    pub fn transactional(&self) -> Option<BatchHeader> {
        BatchHeader::parse(self.records.as_ref()?).ok().filter(BatchHeader::is_transactional)
    }
}

/// What is left of a request to be appended.
pub(super) struct Append {
    pub parts: Vec<Part>,
    pub acks: i16,
    pub pending: Arc<Pending>,
}

impl Append {
    fn is_transactional(&self) -> bool {
        self.parts.iter().any(|part| part.transactional().is_some())
    }

    pub fn submit(self) {
        for Part { partition, records, slot, guard } in self.parts {
            partition.submit(Submission {
                records,
                acks: self.acks,
                origin: AppendOrigin::Client,
                required_epoch: None,
                guard,
                pending: Arc::clone(&self.pending),
                slot,
            });
        }
    }
}

impl Asked {
    /// Answers every partition with the same error.
    fn refuse_all(mut self, request: &ProduceRequest, error: ErrorCode) -> Self {
        for topic in &request.topic_data {
            let indexes = topic.partition_data.iter().map(|data| data.index).collect();
            self.topics.push((topic.name.clone(), indexes));
        }
        let count: usize = self.topics.iter().map(|(_, indexes)| indexes.len()).sum();
        (0..count).for_each(|slot| self.pending.answer(slot, AppendResult::failed(error)));
        self
    }
}

/// `RequestUtils.hasTransactionalRecords`.
fn has_transactional_records(request: &ProduceRequest) -> bool {
    let records = request.topic_data.iter().flat_map(|topic| &topic.partition_data).map(|data| &data.records);
    records.flatten().any(|records| BatchHeader::parse(records).is_ok_and(|header| header.is_transactional()))
}

impl Shared {
    /// Submits every partition; see [`super::ReplicaManager::produce`].
    pub fn produce(
        self: &Arc<Self>,
        context: &RequestContext,
        request: ProduceRequest,
    ) -> impl Future<Output = Produced> + Send + 'static + use<> {
        let timeout = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0));
        let asked = self.submit_all(context, request);
        let (shared, context) = (Arc::clone(self), context.clone());
        async move {
            if !asked.pending.is_done() && tokio::time::timeout(timeout, asked.pending.wait()).await.is_err()
            {
                asked.waiting.give_up();
            }
            shared.produced(&context, asked)
        }
    }

    fn submit_all(self: &Arc<Self>, context: &RequestContext, request: ProduceRequest) -> Asked {
        let image = self.image();
        let count = request.topic_data.iter().map(|topic| topic.partition_data.len()).sum();
        let records = request.topic_data.iter().flat_map(|topic| &topic.partition_data);
        let records_bytes = records.filter_map(|data| data.records.as_ref()).map(Bytes::len).sum();
        let pending = Arc::new(Pending::for_records(count, records_bytes));
        let waiting = Waiting { pending: Arc::clone(&pending), partitions: Vec::with_capacity(count) };
        let mut asked = Asked { topics: Vec::with_capacity(request.topic_data.len()), pending, waiting };
        if request.transactional_id.is_none() && has_transactional_records(&request) {
            return asked.refuse_all(&request, ErrorCode::TransactionalIdAuthorizationFailed);
        }
        let mut parts = Vec::with_capacity(count);
        let mut slot = 0;
        for topic in request.topic_data {
            let known = image.topics.by_name(&topic.name);
            let refused = refuse_topic(context, &topic.name, request.acks);
            let mut indexes = Vec::with_capacity(topic.partition_data.len());
            for data in topic.partition_data {
                indexes.push(data.index);
                let records = data.records;
                // In the order of `KafkaApis.handleProduceRequest` and `ReplicaManager.appendRecords`.
                let partition = match known.filter(|topic| topic.partitions.contains_key(&data.index)) {
                    None => Err(ErrorCode::UnknownTopicOrPartition),
                    Some(_) => check_records(context.api_version, records.as_ref())
                        .and_then(|()| refused.map_or(Ok(()), Err))
                        .and_then(|()| self.locate(&image, TopicRef::Name(&topic.name), data.index)),
                };
                match partition {
                    Err(error) => asked.pending.answer(slot, AppendResult::failed(error)),
                    Ok(partition) => parts.push(Part { partition, records, slot, guard: None }),
                }
                slot += 1;
            }
            // Of its own: a slice of the request would keep all its records in memory until they are acknowledged.
            asked.topics.push((TopicName(keep::text(&topic.name)), indexes));
        }
        asked.waiting.partitions.extend(parts.iter().map(|part| Arc::clone(&part.partition)));
        let append = Append { parts, acks: request.acks, pending: Arc::clone(&asked.pending) };
        match request.transactional_id {
            Some(id) if append.is_transactional() && self.verifies_transactions() => {
                self.verify_and_submit(id, append);
            }
            _ => append.submit(),
        }
        asked
    }

    fn produced(&self, context: &RequestContext, asked: Asked) -> Produced {
        let mut results = asked.pending.take_results().into_iter();
        let image = self.image();
        let mut failed = false;
        let mut endpoints: Vec<NodeEndpoint> = Vec::new();
        let mut responses = Vec::with_capacity(asked.topics.len());
        for (name, indexes) in asked.topics {
            let topic = image.topics.by_name(&name);
            let mut partitions = Vec::with_capacity(indexes.len());
            for index in indexes {
                let result = results.next().unwrap_or_default();
                failed |= result.error.is_some();
                let is_elsewhere = result.error == Some(ErrorCode::NotLeaderOrFollower);
                let mut partition = partition_response(index, result);
                if context.api_version >= LEADER_HINTS_FROM && is_elsewhere {
                    let (leader, endpoint) = leader_hint(&image, topic, index, &context.listener);
                    partition.current_leader = LeaderIdAndEpoch::default()
                        .with_leader_id(BrokerId(leader.leader_id))
                        .with_leader_epoch(leader.leader_epoch);
                    let known = |e: &jackdaw_wire::fetch::NodeEndpoint| {
                        endpoints.iter().any(|known| known.node_id.0 == e.node_id)
                    };
                    if let Some(endpoint) = endpoint.filter(|e| !known(e)) {
                        let node = NodeEndpoint::default()
                            .with_node_id(BrokerId(endpoint.node_id))
                            .with_host(endpoint.host)
                            .with_port(endpoint.port)
                            .with_rack(endpoint.rack);
                        endpoints.push(node);
                    }
                }
                partitions.push(partition);
            }
            responses
                .push(TopicProduceResponse::default().with_name(name).with_partition_responses(partitions));
        }
        let response = ProduceResponse::default().with_responses(responses).with_node_endpoints(endpoints);
        Produced { response, failed }
    }
}

/// What keeps a whole topic out.
fn refuse_topic(context: &RequestContext, name: &TopicName, acks: i16) -> Option<ErrorCode> {
    if !(-1..=1).contains(&acks) {
        return Some(ErrorCode::InvalidRequiredAcks);
    }
    let is_admin = context.client_id.as_ref().is_some_and(|id| &**id == ADMIN_CLIENT_ID);
    let is_internal = INTERNAL_TOPICS.contains(&&***name);
    (is_internal && !is_admin).then_some(ErrorCode::InvalidTopicException)
}

/// Null passes here, as in the reference, and fails where the log is.
fn check_records(version: i16, records: Option<&Bytes>) -> Result<(), ErrorCode> {
    let checked = records.map_or(Ok(()), |records| validate::check_produce_version(version, records));
    checked.map_err(|error| errors::of_validation(&error))
}

fn partition_response(index: i32, result: AppendResult) -> PartitionProduceResponse {
    // Kafka knows no offset for what was not acknowledged (`ProducePartitionStatus` keeps what was appended).
    let record_errors = result.record_errors.into_iter().map(|error| {
        BatchIndexAndErrorMessage::default()
            .with_batch_index(error.batch_index)
            .with_batch_index_error_message(Some(StrBytes::from_string(error.message)))
    });
    PartitionProduceResponse::default()
        .with_index(index)
        .with_error_code(result.error.map_or(0, |error| error.code()))
        .with_base_offset(result.base_offset)
        .with_log_append_time_ms(result.log_append_time_ms)
        .with_log_start_offset(result.log_start_offset)
        .with_record_errors(record_errors.collect())
        .with_error_message(result.message.map(StrBytes::from_string))
}
