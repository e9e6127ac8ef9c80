//! The requests of transactions: to the coordinator of the transactional id, and back in the words of the version
//! that was asked in; and what other brokers' coordinators ask of the partitions here.
//!
//! What a request comes to is decided by `jackdaw-transactions`.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use jackdaw_metadata::MetadataImage;
use jackdaw_metadata::topic_name::GROUP_METADATA_TOPIC;
use jackdaw_transactions::{Listed, Reply, Request, State};
use jackdaw_wire::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use jackdaw_wire::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult,
};
use jackdaw_wire::messages::describe_transactions_response::{self, TopicData};
use jackdaw_wire::messages::list_transactions_response;
use jackdaw_wire::messages::write_txn_markers_request::WritableTxnMarker;
use jackdaw_wire::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
};
use jackdaw_wire::messages::*;
use jackdaw_wire::{ErrorCode, StrBytes, TopicPartition};

use super::{Inner, producer_ids, rarely_again};
use crate::dispatch::{RequestContext, Response};
use crate::replicas::MarkerResults;

/// Below these versions PRODUCER_FENCED is not known, and INVALID_PRODUCER_EPOCH stands for it (KIP-588).
const FENCED_KNOWN_FROM: i16 = 2;
const FENCED_KNOWN_TO_INIT_FROM: i16 = 4;
/// From this version on brokers ask, for several transactions at once (KIP-890).
const SEVERAL_TRANSACTIONS_FROM: i16 = 4;

fn stopping() -> Response {
    Response::Close("the coordinator stops with its node".to_owned())
}

fn code_in(version: i16, known_from: i16, error: Option<ErrorCode>) -> i16 {
    match error {
        Some(ErrorCode::ProducerFenced) if version < known_from => ErrorCode::InvalidProducerEpoch.code(),
        error => error.map_or(0, |error| error.code()),
    }
}

impl Inner {
    /// Asks the coordinator of a transactional id.
    async fn ask_coordinator(&self, id: &str, request: Request) -> Result<Reply, Response> {
        let transactions = &self.parts.transactions;
        match transactions.ask(transactions.partition_of(id), request).await {
            Ok(Some(reply)) => Ok(reply),
            Ok(None) => Err(stopping()),
            Err((why, _)) => Ok(Reply::Error(why.code())),
        }
    }

    pub(super) async fn init_producer_id(
        &self,
        context: &RequestContext,
        request: InitProducerIdRequest,
    ) -> Result<InitProducerIdResponse, Response> {
        let refusal = |error| {
            producer_ids::refusal_code(code_in(context.api_version, FENCED_KNOWN_TO_INIT_FROM, Some(error)))
        };
        if let Err(error) = producer_ids::check(&request, self.parts.config.transactions.max_timeout_ms) {
            return Ok(refusal(error));
        }
        let Some(id) = &request.transactional_id else { return Ok(self.producer_ids.reply().await) };
        let has_producer = *request.producer_id >= 0;
        let mut fresh_id = None;
        loop {
            let asked = Request::InitProducerId {
                transactional_id: id.to_string(),
                timeout_ms: request.transaction_timeout_ms,
                expected: has_producer.then_some((*request.producer_id, request.producer_epoch)),
                fresh_id,
            };
            match self.ask_coordinator(id, asked).await? {
                Reply::ProducerId { producer_id, producer_epoch } => {
                    return Ok(InitProducerIdResponse::default()
                        .with_producer_id(ProducerId(producer_id))
                        .with_producer_epoch(producer_epoch));
                }
                Reply::NeedsProducerId if fresh_id.is_none() => match self.producer_ids.fresh().await {
                    Ok(fresh) => fresh_id = Some(fresh),
                    Err(error) => return Ok(refusal(error)),
                },
                Reply::Error(error) => return Ok(refusal(error)),
                _ => return Ok(refusal(ErrorCode::UnknownServerError)),
            }
        }
    }

    pub(super) async fn add_partitions(
        &self,
        context: &RequestContext,
        image: &MetadataImage,
        request: AddPartitionsToTxnRequest,
    ) -> Result<Response, Response> {
        let version = context.api_version;
        if version < SEVERAL_TRANSACTIONS_FROM {
            let producer = (*request.v3_and_below_producer_id, request.v3_and_below_producer_epoch);
            let topics = request.v3_and_below_topics;
            let id = &request.v3_and_below_transactional_id;
            let results = self.add_to_one(version, image, id, producer, false, &topics).await?;
            let reply = AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(results);
            return Ok(Response::encode(context, &reply));
        }
        let mut transactions = Vec::with_capacity(request.transactions.len());
        for asked in request.transactions {
            let producer = (*asked.producer_id, asked.producer_epoch);
            let id = &asked.transactional_id;
            let topics =
                self.add_to_one(version, image, id, producer, asked.verify_only, &asked.topics).await?;
            let result = AddPartitionsToTxnResult::default().with_transactional_id(asked.transactional_id);
            transactions.push(result.with_topic_results(topics));
        }
        let reply = AddPartitionsToTxnResponse::default().with_results_by_transaction(transactions);
        Ok(Response::encode(context, &reply))
    }

    /// `KafkaApis.handleAddPartitionsToTxnRequest`, for one of its transactions.
    async fn add_to_one(
        &self,
        version: i16,
        image: &MetadataImage,
        id: &str,
        (producer_id, producer_epoch): (i64, i16),
        only_verifies: bool,
        topics: &[AddPartitionsToTxnTopic],
    ) -> Result<Vec<AddPartitionsToTxnTopicResult>, Response> {
        let exists = |tp: &TopicPartition| {
            image.topics.by_name(&tp.topic).is_some_and(|topic| topic.partitions.contains_key(&tp.partition))
        };
        let partitions: BTreeSet<TopicPartition> = topics
            .iter()
            .flat_map(|topic| topic.partitions.iter().map(|p| TopicPartition::new(&**topic.name, *p)))
            .collect();
        if !partitions.iter().all(exists) {
            // One that does not exist keeps all others out.
            return Ok(by_topic(topics, |tp| match exists(tp) {
                true => ErrorCode::OperationNotAttempted.code(),
                false => ErrorCode::UnknownTopicOrPartition.code(),
            }));
        }
        let transactional_id = id.to_owned();
        let request = match only_verifies {
            true => Request::Verify { transactional_id, producer_id, producer_epoch, partitions },
            false => Request::AddPartitions { transactional_id, producer_id, producer_epoch, partitions },
        };
        let all = |error| by_topic(topics, |_| code_in(version, FENCED_KNOWN_FROM, error));
        Ok(match self.ask_coordinator(id, request).await? {
            Reply::Done => all(None),
            Reply::Verified(missing) => by_topic(topics, |tp| match missing.contains(tp) {
                true => ErrorCode::InvalidTxnState.code(),
                false => 0,
            }),
            Reply::Error(error) => all(Some(error)),
            _ => all(Some(ErrorCode::UnknownServerError)),
        })
    }

    pub(super) async fn add_offsets(
        &self,
        context: &RequestContext,
        request: AddOffsetsToTxnRequest,
    ) -> Result<Response, Response> {
        let partition = self.parts.groups.partition_of(&request.group_id);
        let asked = Request::AddPartitions {
            transactional_id: request.transactional_id.to_string(),
            producer_id: *request.producer_id,
            producer_epoch: request.producer_epoch,
            partitions: BTreeSet::from([TopicPartition::new(GROUP_METADATA_TOPIC, partition)]),
        };
        let error = self.done(&request.transactional_id, asked).await?;
        let code = code_in(context.api_version, FENCED_KNOWN_FROM, error);
        Ok(Response::encode(context, &AddOffsetsToTxnResponse::default().with_error_code(code)))
    }

    pub(super) async fn end_transaction(
        &self,
        context: &RequestContext,
        request: EndTxnRequest,
    ) -> Result<Response, Response> {
        let asked = Request::End {
            transactional_id: request.transactional_id.to_string(),
            producer_id: *request.producer_id,
            producer_epoch: request.producer_epoch,
            commits: request.committed,
        };
        let error = self.done(&request.transactional_id, asked).await?;
        let code = code_in(context.api_version, FENCED_KNOWN_FROM, error);
        Ok(Response::encode(context, &EndTxnResponse::default().with_error_code(code)))
    }

    /// Asks for something that is either done or refused.
    async fn done(&self, id: &str, request: Request) -> Result<Option<ErrorCode>, Response> {
        if id.is_empty() {
            return Ok(Some(ErrorCode::InvalidRequest));
        }
        Ok(match self.ask_coordinator(id, request).await? {
            Reply::Done => None,
            Reply::Error(error) => Some(error),
            _ => Some(ErrorCode::UnknownServerError),
        })
    }

    pub(super) async fn describe_transactions(
        &self,
        context: &RequestContext,
        request: DescribeTransactionsRequest,
    ) -> Result<Response, Response> {
        let mut states = Vec::with_capacity(request.transactional_ids.len());
        for id in rarely_again(request.transactional_ids, TransactionalId::clone) {
            let asked = Request::Describe { transactional_id: id.to_string() };
            let reply = match id.is_empty() {
                true => Reply::Error(ErrorCode::InvalidRequest),
                false => self.ask_coordinator(&id, asked).await?,
            };
            let state =
                describe_transactions_response::TransactionState::default().with_transactional_id(id.clone());
            states.push(match reply {
                Reply::Described(described) => state
                    .with_transaction_state(StrBytes::from_static_str(described.state.name()))
                    .with_transaction_timeout_ms(described.timeout_ms)
                    .with_transaction_start_time_ms(described.start_ms)
                    .with_producer_id(ProducerId(described.producer_id))
                    .with_producer_epoch(described.producer_epoch)
                    .with_topics(described_topics(&described.partitions)),
                Reply::Error(error) => state.with_error_code(error.code()),
                _ => state.with_error_code(ErrorCode::UnknownServerError.code()),
            });
        }
        let reply = DescribeTransactionsResponse::default().with_transaction_states(states);
        Ok(Response::encode(context, &reply))
    }

    pub(super) async fn list_transactions(
        &self,
        context: &RequestContext,
        request: ListTransactionsRequest,
    ) -> Result<Response, Response> {
        let transactions = &self.parts.transactions;
        let reply = ListTransactionsResponse::default();
        if transactions.is_loading() {
            let code = ErrorCode::CoordinatorLoadInProgress.code();
            return Ok(Response::encode(context, &reply.with_error_code(code)));
        }
        let (states, unknown) = state_filters(&request.state_filters);
        let producer_ids: BTreeSet<i64> = request.producer_id_filters.iter().map(|id| id.0).collect();
        let mut listed: Vec<Listed> = Vec::new();
        for partition in transactions.led() {
            let states = (!request.state_filters.is_empty()).then(|| states.clone());
            let asked = Request::List { producer_ids: producer_ids.clone(), states };
            // One that has moved meanwhile is listed where it is now.
            if let Ok(Some(Reply::Listed(some))) = transactions.ask(partition, asked).await {
                listed.extend(some);
            }
        }
        let state = |listed: Listed| {
            list_transactions_response::TransactionState::default()
                .with_transactional_id(TransactionalId(StrBytes::from_string(listed.transactional_id)))
                .with_producer_id(ProducerId(listed.producer_id))
                .with_transaction_state(StrBytes::from_static_str(listed.state.name()))
        };
        let reply = reply
            .with_unknown_state_filters(unknown)
            .with_transaction_states(listed.into_iter().map(state).collect());
        Ok(Response::encode(context, &reply))
    }

    /// Writes the ends of transactions. One result for each producer id, as the reply is built in Kafka.
    pub(super) async fn write_markers(&self, request: WriteTxnMarkersRequest) -> WriteTxnMarkersResponse {
        // Kafka makes no batch of a marker without a producer, and fails on it (`MemoryRecordsBuilder`).
        let has_producer =
            |marker: &WritableTxnMarker| marker.producer_id.0 != -1 && marker.producer_epoch != -1;
        let results = match request.markers.iter().all(has_producer) {
            true => self.parts.markers.write(&request.markers).await,
            false => request.markers.iter().map(failed_marker).collect(),
        };
        let mut merged = Merged::default();
        for (marker, results) in request.markers.iter().zip(results) {
            merged.add(marker.producer_id, results);
        }
        WriteTxnMarkersResponse::default().with_markers(merged.markers)
    }
}

fn failed_marker(marker: &WritableTxnMarker) -> MarkerResults {
    let partitions = marker.topics.iter().flat_map(|topic| {
        topic.partition_indexes.iter().map(|index| TopicPartition::new(&**topic.name, *index))
    });
    partitions.map(|tp| (tp, Some(ErrorCode::UnknownServerError))).collect()
}

fn by_topic(
    topics: &[AddPartitionsToTxnTopic],
    code: impl Fn(&TopicPartition) -> i16,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let result = |topic: &AddPartitionsToTxnTopic| {
        let partition = |index: &i32| {
            AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(*index)
                .with_partition_error_code(code(&TopicPartition::new(&**topic.name, *index)))
        };
        AddPartitionsToTxnTopicResult::default()
            .with_name(topic.name.clone())
            .with_results_by_partition(topic.partitions.iter().map(partition).collect())
    };
    topics.iter().map(result).collect()
}

fn described_topics(partitions: &BTreeSet<TopicPartition>) -> Vec<TopicData> {
    let mut topics: Vec<TopicData> = Vec::new();
    for tp in partitions {
        match topics.last_mut().filter(|topic| *topic.topic.0 == *tp.topic) {
            Some(topic) => topic.partitions.push(tp.partition),
            None => {
                let name = TopicName(StrBytes::from_string(tp.topic.to_string()));
                topics.push(TopicData::default().with_topic(name).with_partitions(vec![tp.partition]));
            }
        }
    }
    topics
}

/// The results of a request, with the place of each: a request may name as many as fit into it.
#[derive(Default)]
struct Merged {
    markers: Vec<WritableTxnMarkerResult>,
    producers: HashMap<ProducerId, usize>,
    topics: HashMap<(usize, Arc<str>), usize>,
    partitions: HashMap<(usize, usize, i32), usize>,
}

impl Merged {
    /// The last word on a partition stands, at the place of the first.
    fn add(&mut self, producer_id: ProducerId, results: MarkerResults) {
        let marker = *self.producers.entry(producer_id).or_insert_with(|| {
            self.markers.push(WritableTxnMarkerResult::default().with_producer_id(producer_id));
            self.markers.len() - 1
        });
        let topics = &mut self.markers[marker].topics;
        for (tp, error) in results {
            let topic = *self.topics.entry((marker, tp.topic)).or_insert_with_key(|(_, name)| {
                let name = TopicName(StrBytes::from_string(name.to_string()));
                topics.push(WritableTxnMarkerTopicResult::default().with_name(name));
                topics.len() - 1
            });
            let result = WritableTxnMarkerPartitionResult::default()
                .with_partition_index(tp.partition)
                .with_error_code(error.map_or(0, |error: ErrorCode| error.code()));
            let partitions = &mut topics[topic].partitions;
            match self.partitions.entry((marker, topic, tp.partition)) {
                Entry::Occupied(known) => partitions[*known.get()] = result,
                Entry::Vacant(place) => {
                    place.insert(partitions.len());
                    partitions.push(result);
                }
            }
        }
    }
}

/// The states that a filter names, and the names that are none, each once, in the order of the request.
fn state_filters(filters: &[StrBytes]) -> (BTreeSet<State>, Vec<StrBytes>) {
    let (mut states, mut unknown, mut seen) = (BTreeSet::new(), Vec::new(), HashSet::new());
    for name in filters {
        match State::from_name(name) {
            Some(state) => drop(states.insert(state)),
            None if seen.insert(name) => unknown.push(name.clone()),
            None => {}
        }
    }
    (states, unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNT: i32 = 100_000;

    /// Each of many markers has a place of its own, and so has each of many topics and partitions of one; what comes
    /// again stands where it came first.
    #[test]
    fn results_of_markers_are_merged_in_order_and_in_linear_time() {
        let tp = |index: i32| TopicPartition::new(format!("t{}", index / 2), index % 2);
        let mut merged = Merged::default();
        merged.add(ProducerId(1), (0..COUNT).map(|index| (tp(index), None)).collect());
        (2..COUNT).for_each(|id| merged.add(ProducerId(id.into()), vec![(tp(0), None)]));
        let failed = Some(ErrorCode::NotLeaderOrFollower);
        merged.add(ProducerId(1), (0..COUNT).map(|index| (tp(index), failed)).collect());
        let ids: Vec<i64> = merged.markers.iter().map(|marker| marker.producer_id.0).collect();
        assert!(ids == (1..i64::from(COUNT)).collect::<Vec<_>>());
        let first = merged.markers[0].topics.iter().flat_map(|topic| {
            topic.partitions.iter().map(|p| (topic.name.to_string(), p.partition_index, p.error_code))
        });
        let expected = (0..COUNT).map(|index| (format!("t{}", index / 2), index % 2, 6));
        assert!(first.eq(expected));
        let shape =
            |marker: &WritableTxnMarkerResult| (marker.topics.len(), marker.topics[0].partitions.len());
        assert!(merged.markers[1..].iter().all(|marker| shape(marker) == (1, 1)));
    }

    #[test]
    fn unknown_states_are_told_of_once_in_order_and_in_linear_time() {
        let name = |index: i32| StrBytes::from_string(format!("s{index}"));
        let mut filters: Vec<StrBytes> = (0..2 * COUNT).map(|index| name(index % COUNT)).collect();
        filters.insert(5, StrBytes::from_static_str("Ongoing"));
        let (states, unknown) = state_filters(&filters);
        assert_eq!(states, BTreeSet::from([State::Ongoing]));
        assert!(unknown == (0..COUNT).map(name).collect::<Vec<_>>());
    }
}
