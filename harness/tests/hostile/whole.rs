//! Requests as they should be, of every API and version, for others to damage.

use jackdaw_wire::frame::{LENGTH_BYTES, encode_request};
use jackdaw_wire::messages::*;
use jackdaw_wire::protocol::{Request, StrBytes};
use jackdaw_wire::{ApiKey, Bytes};

/// A request, without its length. None where the version cannot say what is in it.
pub fn request(key: ApiKey, version: i16) -> Option<Vec<u8>> {
    fn encoded<R: Request + Default>(version: i16) -> Option<Vec<u8>> {
        let frame: Bytes = encode_request(version, 7, &StrBytes::from_static_str("h"), &R::default()).ok()?;
        Some(frame[LENGTH_BYTES..].to_vec())
    }
    macro_rules! all {
        ($($request:ident)*) => {
            [$((<$request as Request>::KEY, encoded::<$request> as fn(i16) -> Option<Vec<u8>>)),*]
        };
    }
    let all = all! {
        ProduceRequest FetchRequest ListOffsetsRequest MetadataRequest ControlledShutdownRequest OffsetCommitRequest
        OffsetFetchRequest FindCoordinatorRequest JoinGroupRequest HeartbeatRequest LeaveGroupRequest SyncGroupRequest
        DescribeGroupsRequest ListGroupsRequest ApiVersionsRequest CreateTopicsRequest DeleteTopicsRequest
        DeleteRecordsRequest InitProducerIdRequest OffsetForLeaderEpochRequest AddPartitionsToTxnRequest
        AddOffsetsToTxnRequest EndTxnRequest WriteTxnMarkersRequest TxnOffsetCommitRequest DescribeConfigsRequest
        AlterConfigsRequest DescribeLogDirsRequest CreatePartitionsRequest DeleteGroupsRequest ElectLeadersRequest
        IncrementalAlterConfigsRequest AlterPartitionReassignmentsRequest ListPartitionReassignmentsRequest
        OffsetDeleteRequest VoteRequest BeginQuorumEpochRequest EndQuorumEpochRequest DescribeQuorumRequest
        AlterPartitionRequest UpdateFeaturesRequest EnvelopeRequest FetchSnapshotRequest DescribeClusterRequest
        DescribeProducersRequest BrokerRegistrationRequest BrokerHeartbeatRequest UnregisterBrokerRequest
        DescribeTransactionsRequest ListTransactionsRequest AllocateProducerIdsRequest ControllerRegistrationRequest
        AssignReplicasToDirsRequest
    };
    let (_, encode) = all.iter().find(|(other, _)| *other == key as i16)?;
    encode(version)
}
