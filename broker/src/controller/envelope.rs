//! Requests that a broker forwards for its clients (Kafka's `EnvelopeUtils`).

use std::net::{IpAddr, SocketAddr};

use bytes::{Buf, Bytes, BytesMut};
use jackdaw_wire::ErrorCode;
use jackdaw_wire::frame::{decode_principal, decode_request, decode_request_header};
use jackdaw_wire::messages::{
    ApiKey, DescribeQuorumRequest, DescribeQuorumResponse, EnvelopeRequest, EnvelopeResponse, ResponseHeader,
};
use jackdaw_wire::protocol::Encodable;

use super::{ControllerHandle, requests};
use crate::dispatch::{RequestContext, Response};
use crate::raft::{RaftRequest, RaftResponse};

/// The version of the principal's bytes (`DefaultKafkaPrincipalBuilder`).
const PRINCIPAL_VERSION: i16 = 0;

pub(super) async fn answer(controller: &ControllerHandle, context: &RequestContext, body: Bytes) -> Response {
    let envelope = match decode_request::<EnvelopeRequest>(context.api_version, &mut body.clone()) {
        Ok(envelope) => envelope,
        Err(error) => return Response::Close(error.to_string()),
    };
    let reply = match unwrap(controller, context, envelope).await {
        Ok(data) => EnvelopeResponse::default().with_response_data(Some(data)),
        Err(code) => EnvelopeResponse::default().with_response_data(None).with_error_code(code.code()),
    };
    Response::encode(context, &reply)
}

/// The inner reply with its header, or the error of the envelope itself. An inner NOT_CONTROLLER is the envelope's,
/// so that the broker looks for the new controller instead of telling its client.
async fn unwrap(
    controller: &ControllerHandle,
    context: &RequestContext,
    envelope: EnvelopeRequest,
) -> Result<Bytes, ErrorCode> {
    check_principal(envelope.request_principal)?;
    let client = client_address(&envelope.client_host_address, context.peer)?;
    let mut inner = envelope.request_data;
    let header = decode_request_header(&mut inner).map_err(|_| ErrorCode::UnsupportedVersion)?;
    let (row, version) = (header.api, header.api_version);
    if !row.forwarded {
        return Err(ErrorCode::InvalidRequest);
    }
    if !row.has_version(version) {
        return Err(ErrorCode::UnsupportedVersion);
    }
    tracing::debug!(target: "kafka.server.ControllerApis", "Forwarded request {} from {client}", row.name);
    let body = if row.key == ApiKey::DescribeQuorum {
        describe_quorum(controller, version, inner).await?
    } else {
        let request =
            requests::decode(row.key as i16, version, inner).map_err(|_| ErrorCode::UnsupportedVersion)?;
        let reply = controller.call(version, request).await;
        if reply.says_not_controller() {
            return Err(ErrorCode::NotController);
        }
        requests::encode_body(&reply, version).map_err(|_| ErrorCode::UnknownServerError)?
    };
    let mut data = BytesMut::new();
    let head = ResponseHeader::default().with_correlation_id(header.correlation_id);
    head.encode(&mut data, row.response_header_version(version))
        .map_err(|_| ErrorCode::UnknownServerError)?;
    data.extend_from_slice(&body);
    Ok(data.freeze())
}

/// Who asks is read, so that damage is noticed; nobody is authorized or refused by it yet.
fn check_principal(principal: Option<Bytes>) -> Result<(), ErrorCode> {
    let refused = ErrorCode::PrincipalDeserializationFailure;
    let mut bytes = principal.filter(|bytes| bytes.len() >= 2).ok_or(refused)?;
    if bytes.get_i16() != PRINCIPAL_VERSION {
        return Err(refused);
    }
    decode_principal(PRINCIPAL_VERSION, &mut bytes).map(drop).map_err(|_| refused)
}

fn client_address(bytes: &Bytes, peer: SocketAddr) -> Result<SocketAddr, ErrorCode> {
    let ip: IpAddr = match bytes.len() {
        4 => <[u8; 4]>::try_from(&bytes[..]).map(IpAddr::from).map_err(|_| ErrorCode::InvalidRequest)?,
        16 => <[u8; 16]>::try_from(&bytes[..]).map(IpAddr::from).map_err(|_| ErrorCode::InvalidRequest)?,
        _ => return Err(ErrorCode::InvalidRequest),
    };
    Ok(SocketAddr::new(ip, peer.port()))
}

async fn describe_quorum(
    controller: &ControllerHandle,
    version: i16,
    mut body: Bytes,
) -> Result<Bytes, ErrorCode> {
    let request: DescribeQuorumRequest =
        decode_request(version, &mut body).map_err(|_| ErrorCode::UnsupportedVersion)?;
    let answer = controller.raft().handle_request(RaftRequest::DescribeQuorum(request)).await;
    let Some(RaftResponse::DescribeQuorum(reply)) = answer else { return Err(ErrorCode::NotController) };
    if says_not_leader(&reply) {
        return Err(ErrorCode::NotController);
    }
    let mut out = BytesMut::new();
    reply.encode(&mut out, version).map_err(|_| ErrorCode::UnknownServerError)?;
    Ok(out.freeze())
}

fn says_not_leader(reply: &DescribeQuorumResponse) -> bool {
    let code = ErrorCode::NotLeaderOrFollower.code();
    let mut partitions = reply.topics.iter().flat_map(|topic| &topic.partitions);
    reply.error_code == code || partitions.any(|partition| partition.error_code == code)
}
