//! The requests of transactions: what other brokers' coordinators ask of the partitions here.

use jackdaw_wire::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
};
use jackdaw_wire::messages::{TopicName, WriteTxnMarkersRequest, WriteTxnMarkersResponse};
use jackdaw_wire::{ErrorCode, StrBytes};

use crate::replicas::{MarkerResults, ReplicaManager};

/// Writes the ends of transactions. One result for each producer id, as the reply is built in Kafka.
pub(super) async fn write_markers(
    replicas: &ReplicaManager,
    request: WriteTxnMarkersRequest,
) -> WriteTxnMarkersResponse {
    let results = replicas.write_txn_markers(&request.markers).await;
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
