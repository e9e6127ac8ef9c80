//! WriteTxnMarkers: the ends of transactions become control batches in the partitions that this broker leads; and
//! DescribeProducers, which tells who writes to them.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future;
use jackdaw_log::ProducerEntry;
use jackdaw_metadata::topic_name;
use jackdaw_wire::batch::BatchBuilder;
use jackdaw_wire::control_record::ControlRecord;
use jackdaw_wire::messages::describe_producers_response::{PartitionResponse, ProducerState, TopicResponse};
use jackdaw_wire::messages::write_txn_markers_request::WritableTxnMarker;
use jackdaw_wire::messages::{DescribeProducersRequest, DescribeProducersResponse};
use jackdaw_wire::validate::AppendOrigin;
use jackdaw_wire::{Bytes, ErrorCode, StrBytes, TopicPartition};

use super::append::Submission;
use super::partition::Partition;
use super::pending::Pending;
use super::produce::Waiting;
use super::shared::{Shared, TopicRef};
use crate::clock;

/// The sequence of a control batch.
const NO_SEQUENCE: i32 = -1;
const UNKNOWN_TOPIC: &str = "This server does not host this topic-partition.";

/// What became of a marker in each of its partitions, in the order asked.
pub type MarkerResults = Vec<(TopicPartition, Option<ErrorCode>)>;

/// The batch that ends a transaction (`MemoryRecords.withEndTransactionMarker`).
fn marker_batch(marker: &WritableTxnMarker, now_ms: i64) -> Option<Bytes> {
    let coordinator_epoch = marker.coordinator_epoch;
    let record = match marker.transaction_result {
        true => ControlRecord::Commit { coordinator_epoch },
        false => ControlRecord::Abort { coordinator_epoch },
    };
    let (key, value) = record.encode().ok()?;
    let mut batch = BatchBuilder::new(0, 0).transactional().control().producer(
        *marker.producer_id,
        marker.producer_epoch,
        NO_SEQUENCE,
    );
    batch.append(now_ms, Some(&key), Some(&value));
    Some(batch.build())
}

impl Shared {
    /// Appends every marker to its partitions, and waits until they are committed
    /// (`KafkaApis.handleWriteTxnMarkersRequest`).
    pub async fn write_markers(self: &Arc<Self>, markers: &[WritableTxnMarker]) -> Vec<MarkerResults> {
        // All are appended before the first is waited for.
        let begun: Vec<_> = markers.iter().map(|marker| self.write_marker(marker)).collect();
        future::join_all(begun).await
    }

    fn write_marker(
        self: &Arc<Self>,
        marker: &WritableTxnMarker,
    ) -> impl Future<Output = MarkerResults> + Send + 'static + use<> {
        let image = self.image();
        let tps: Vec<TopicPartition> = marker
            .topics
            .iter()
            .flat_map(|t| t.partition_indexes.iter().map(|p| TopicPartition::new(&**t.name, *p)))
            .collect();
        let mut errors = vec![None; tps.len()];
        let pending = Arc::new(Pending::new(tps.len()));
        let mut waiting =
            Waiting { pending: Arc::clone(&pending), partitions: Vec::with_capacity(tps.len()) };
        let records = marker_batch(marker, clock::wall().0);
        for (slot, tp) in tps.iter().enumerate() {
            let located = self.locate(&image, TopicRef::Name(&tp.topic), tp.partition);
            match (located, &records) {
                (Ok(partition), Some(records)) => {
                    partition.submit(Submission {
                        records: Some(records.clone()),
                        acks: -1,
                        origin: AppendOrigin::Coordinator,
                        required_epoch: None,
                        guard: None,
                        pending: Arc::clone(&pending),
                        slot,
                    });
                    waiting.partitions.push(partition);
                }
                // No log here, whatever the reason (`ReplicaManager.getMagic`).
                _ => {
                    errors[slot] = Some(ErrorCode::UnknownTopicOrPartition);
                    pending.complete(slot, errors[slot]);
                }
            }
        }
        let timeout = self.options.request_timeout;
        async move {
            if tokio::time::timeout(timeout, pending.wait()).await.is_err() {
                waiting.give_up();
            }
            let results = pending.take_results();
            tps.into_iter().zip(results).map(|(tp, result)| (tp, result.error)).collect()
        }
    }

    /// `KafkaApis.handleDescribeProducersRequest`.
    pub async fn describe_producers(&self, request: DescribeProducersRequest) -> DescribeProducersResponse {
        let image = self.image();
        let mut topics = Vec::with_capacity(request.topics.len());
        // Asked for twice, a partition is told of once: it may have many producers.
        let mut seen = HashSet::new();
        for topic in request.topics {
            let refused = match topic_name::validate(&topic.name) {
                Err(error) => Some((ErrorCode::InvalidTopicException, Some(error.to_string()))),
                Ok(()) if image.topics.by_name(&topic.name).is_none() => {
                    Some((ErrorCode::UnknownTopicOrPartition, Some(UNKNOWN_TOPIC.to_owned())))
                }
                Ok(()) => None,
            };
            let mut partitions = Vec::with_capacity(topic.partition_indexes.len());
            for index in topic.partition_indexes {
                if !seen.insert((topic.name.clone(), index)) {
                    continue;
                }
                let response =
                    PartitionResponse::default().with_partition_index(index).with_error_message(None);
                let producers = match &refused {
                    Some(refused) => Err(refused.clone()),
                    None => match self.locate(&image, TopicRef::Name(&topic.name), index) {
                        Ok(partition) => partition.producers().await.map_err(|error| (error, None)),
                        Err(error) => Err((error, None)),
                    },
                };
                partitions.push(match producers {
                    Ok(producers) => response.with_active_producers(producers),
                    Err((error, message)) => response
                        .with_error_code(error.code())
                        .with_error_message(message.map(StrBytes::from_string)),
                });
            }
            topics.push(TopicResponse::default().with_name(topic.name).with_partitions(partitions));
        }
        DescribeProducersResponse::default().with_topics(topics)
    }
}

impl Partition {
    /// `Partition.activeProducerState`, by producer id.
    async fn producers(self: &Arc<Self>) -> Result<Vec<ProducerState>, ErrorCode> {
        let producers = self.write_for(|writer, partition| {
            let leads = !writer.closed && partition.state().replica.as_leader().is_some();
            leads.then(|| writer.log.producers().producers().map(described).collect::<Vec<_>>())
        });
        // Unanswered only when the node stops.
        let mut producers = producers.await.ok().flatten().ok_or(ErrorCode::NotLeaderOrFollower)?;
        producers.sort_by_key(|producer| producer.producer_id);
        Ok(producers)
    }
}

fn described(entry: &ProducerEntry) -> ProducerState {
    ProducerState::default()
        .with_producer_id(entry.producer_id.into())
        .with_producer_epoch(i32::from(entry.producer_epoch))
        .with_last_sequence(entry.last_sequence())
        .with_last_timestamp(entry.last_timestamp_ms)
        .with_coordinator_epoch(entry.coordinator_epoch)
        .with_current_txn_start_offset(entry.current_txn_first_offset.unwrap_or(-1))
}
