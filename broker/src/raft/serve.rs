//! The quorum's requests as they come in over a connection: decoded, put to the quorum, encoded again.

use bytes::Bytes;
use jackdaw_wire::messages::{
    BeginQuorumEpochRequest, DescribeQuorumRequest, EndQuorumEpochRequest, FetchRequest,
    FetchSnapshotRequest, VoteRequest,
};
use jackdaw_wire::protocol::Request;

use super::handle::{RaftHandle, RaftRequest, RaftResponse};
use crate::dispatch::{self, RequestContext, Response};

impl RaftHandle {
    /// Answers a request of the controller listener, if it is one of the quorum's; `None`: it is somebody else's.
    /// The connection is closed when the quorum has stopped.
    pub async fn serve(&self, context: &RequestContext, body: &Bytes) -> Option<Response> {
        let request = match decode(context, body)? {
            Ok(request) => request,
            Err(refusal) => return Some(refusal),
        };
        Some(match self.handle_request(request).await {
            Some(response) => encode(context, &response),
            None => Response::Close("the quorum has stopped".to_owned()),
        })
    }
}

fn decode(context: &RequestContext, body: &Bytes) -> Option<Result<RaftRequest, Response>> {
    let body = body.clone();
    Some(match context.api_key {
        VoteRequest::KEY => dispatch::decode(context, body).map(RaftRequest::Vote),
        BeginQuorumEpochRequest::KEY => dispatch::decode(context, body).map(RaftRequest::BeginQuorumEpoch),
        EndQuorumEpochRequest::KEY => dispatch::decode(context, body).map(RaftRequest::EndQuorumEpoch),
        FetchRequest::KEY => dispatch::decode(context, body).map(RaftRequest::Fetch),
        FetchSnapshotRequest::KEY => dispatch::decode(context, body).map(RaftRequest::FetchSnapshot),
        DescribeQuorumRequest::KEY => dispatch::decode(context, body).map(RaftRequest::DescribeQuorum),
        _ => return None,
    })
}

fn encode(context: &RequestContext, response: &RaftResponse) -> Response {
    match response {
        RaftResponse::Vote(response) => Response::encode(context, response),
        RaftResponse::BeginQuorumEpoch(response) => Response::encode(context, response),
        RaftResponse::EndQuorumEpoch(response) => Response::encode(context, response),
        RaftResponse::Fetch(response) => Response::encode(context, response),
        RaftResponse::FetchSnapshot(response) => Response::encode(context, response),
        RaftResponse::DescribeQuorum(response) => Response::encode(context, response),
    }
}
