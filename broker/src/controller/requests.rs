//! The controller's requests and replies on the wire.

use bytes::{Bytes, BytesMut};
use jackdaw_metadata::MetadataImage;
use jackdaw_metadata::controller::{
    ApiError, Request, Response as Reply, delete_on_standby, list_partition_reassignments,
};
use jackdaw_wire::frame::decode_request;
use jackdaw_wire::messages::*;
use jackdaw_wire::protocol::Encodable;
use jackdaw_wire::segment::Segment;

use crate::dispatch::{RequestContext, Response};

macro_rules! apis {
    ($($key:ident $request:ident => $variant:ident;)*) => {
        /// Reads a request that the controller answers. The error says what is wrong with it, for a log line.
        pub(super) fn decode(api_key: i16, version: i16, mut body: Bytes) -> Result<Request, String> {
            match ApiKey::try_from(api_key) {
                $(Ok(ApiKey::$key) => decode_request::<$request>(version, &mut body)
                    .map(Request::from)
                    .map_err(|error| error.to_string()),)*
                _ => Err(format!("API {api_key} is not for the controller")),
            }
        }

        /// Writes a reply's body.
        pub(super) fn encode_body(reply: &Reply, version: i16) -> Result<Bytes, String> {
            let mut out = BytesMut::new();
            let encoded = match reply {
                $(Reply::$variant(reply) => reply.encode(&mut out, version),)*
            };
            encoded.map(|()| out.freeze()).map_err(|error| error.to_string())
        }
    };
}

apis! {
    BrokerRegistration BrokerRegistrationRequest => RegisterBroker;
    BrokerHeartbeat BrokerHeartbeatRequest => Heartbeat;
    UnregisterBroker UnregisterBrokerRequest => UnregisterBroker;
    ControllerRegistration ControllerRegistrationRequest => RegisterController;
    AlterPartition AlterPartitionRequest => AlterPartition;
    AssignReplicasToDirs AssignReplicasToDirsRequest => AssignReplicasToDirs;
    AllocateProducerIds AllocateProducerIdsRequest => AllocateProducerIds;
    CreateTopics CreateTopicsRequest => CreateTopics;
    DeleteTopics DeleteTopicsRequest => DeleteTopics;
    CreatePartitions CreatePartitionsRequest => CreatePartitions;
    ElectLeaders ElectLeadersRequest => ElectLeaders;
    IncrementalAlterConfigs IncrementalAlterConfigsRequest => IncrementalAlterConfigs;
    AlterConfigs AlterConfigsRequest => AlterConfigs;
    AlterPartitionReassignments AlterPartitionReassignmentsRequest => AlterPartitionReassignments;
    ListPartitionReassignments ListPartitionReassignmentsRequest => ListPartitionReassignments;
    UpdateFeatures UpdateFeaturesRequest => UpdateFeatures;
}

/// A reply for its connection.
pub(super) fn encode(context: &RequestContext, reply: &Reply) -> Response {
    match encode_body(reply, context.api_version) {
        Ok(body) => Response::Body(vec![Segment::Bytes(body)]),
        Err(reason) => Response::Close(format!(
            "reply to API {} version {} cannot be encoded: {reason}",
            context.api_key, context.api_version
        )),
    }
}

/// What a controller answers although it does not lead, because it only reads (`QuorumController.appendReadEvent`).
pub fn answer_on_standby(
    context: &RequestContext,
    body: &Bytes,
    image: &MetadataImage,
    may_delete_topics: bool,
) -> Option<Response> {
    let version = context.api_version;
    let request = decode(context.api_key, version, body.clone()).ok()?;
    let reply: Reply = match request {
        Request::ListPartitionReassignments(request) => list_partition_reassignments(image, &request).into(),
        Request::DeleteTopics(request) => {
            delete_on_standby(image, may_delete_topics, &request, version)?.into()
        }
        _ => return None,
    };
    Some(encode(context, &reply))
}

/// The reply to a request that no controller could be asked, with the error wherever the reply has room for it.
pub fn refuse(context: &RequestContext, body: Bytes, error: &ApiError) -> Response {
    if context.api_key == ApiKey::DescribeQuorum as i16 {
        let refusal = DescribeQuorumResponse::default().with_error_code(error.code.code());
        return Response::encode(context, &refusal);
    }
    match decode(context.api_key, context.api_version, body) {
        Ok(request) => encode(context, &request.refuse(error)),
        Err(reason) => Response::Close(reason),
    }
}
