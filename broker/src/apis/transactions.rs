//! The requests of transactions: what other brokers' coordinators ask of the partitions here.

use jackdaw_groups::Request;
use jackdaw_metadata::topic_name::GROUP_METADATA_TOPIC;
use jackdaw_wire::messages::write_txn_markers_request::WritableTxnMarker;
use jackdaw_wire::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
};
use jackdaw_wire::messages::{TopicName, WriteTxnMarkersRequest, WriteTxnMarkersResponse};
use jackdaw_wire::{ErrorCode, StrBytes, TopicPartition};

use crate::coordinators::groups::GroupCoordinators;
use crate::replicas::{MarkerResults, ReplicaManager};

/// Writes the ends of transactions. One result for each producer id, as the reply is built in Kafka.
pub(super) async fn write_markers(
    replicas: &ReplicaManager,
    groups: &GroupCoordinators,
    request: WriteTxnMarkersRequest,
) -> WriteTxnMarkersResponse {
    let results = replicas.write_txn_markers(&request.markers).await;
    for (marker, results) in request.markers.iter().zip(&results) {
        tell_groups(groups, marker, results).await;
    }
    let mut merged: Vec<WritableTxnMarkerResult> = Vec::new();
    for (marker, results) in request.markers.iter().zip(results) {
        let at = match merged.iter().position(|known| known.producer_id == marker.producer_id) {
            Some(at) => at,
            None => {
                merged.push(WritableTxnMarkerResult::default().with_producer_id(marker.producer_id));
                merged.len() - 1
            }
        };
        merge(&mut merged[at].topics, results);
    }
    WriteTxnMarkersResponse::default().with_markers(merged)
}

/// Offsets that were committed in the transaction count from here on, or never (`onTransactionCompleted`).
async fn tell_groups(groups: &GroupCoordinators, marker: &WritableTxnMarker, results: &MarkerResults) {
    let (producer_id, is_commit) = (*marker.producer_id, marker.transaction_result);
    let ended = |(tp, error): &&(TopicPartition, Option<ErrorCode>)| {
        error.is_none() && &*tp.topic == GROUP_METADATA_TOPIC
    };
    for (tp, _) in results.iter().filter(ended) {
        // Whoever leads the partition by now has read the marker.
        let _ = groups.tell(tp.partition, Request::TransactionEnded { producer_id, is_commit }.into()).await;
    }
}

fn merge(topics: &mut Vec<WritableTxnMarkerTopicResult>, results: MarkerResults) {
    for (tp, error) in results {
        let at = match topics.iter().position(|topic| *topic.name.0 == *tp.topic) {
            Some(at) => at,
            None => {
                let name = TopicName(StrBytes::from_string(tp.topic.to_string()));
                topics.push(WritableTxnMarkerTopicResult::default().with_name(name));
                topics.len() - 1
            }
        };
        let result = WritableTxnMarkerPartitionResult::default()
            .with_partition_index(tp.partition)
            .with_error_code(error.map_or(0, |error: ErrorCode| error.code()));
        let partitions = &mut topics[at].partitions;
        match partitions.iter_mut().find(|known| known.partition_index == tp.partition) {
            Some(known) => *known = result,
            None => partitions.push(result),
        }
    }
}
