//! A request's way from a connection to the one that answers it.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
pub use jackdaw_wire::api::Scope;
use jackdaw_wire::frame;
use jackdaw_wire::protocol::{Encodable, Request, StrBytes};
use jackdaw_wire::segment::Segment;

use crate::budget::Charge;

/// What is known of a request besides its body.
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// Name of the listener that the connection came in on.
    pub listener: Arc<str>,
    pub scope: Scope,
    pub api_key: i16,
    pub api_version: i16,
    pub correlation_id: i32,
    pub client_id: Option<StrBytes>,
    pub peer: SocketAddr,
    /// What this request holds of its listener's budget; given back as soon as nothing of it is in memory.
    pub charge: Charge,
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Response {
    /// The encoded body; the connection puts length and header before it.
    Body(Vec<Segment>),
    /// Nothing is sent (Produce with acks=0).
    None,
    /// The connection is closed, with this reason in one log line.
    Close(String),
}

impl Response {
    /// Encodes a reply in the version that the request came in.
    pub fn encode<T: Encodable>(context: &RequestContext, body: &T) -> Self {
        let mut buffer = BytesMut::new();
        match body.encode(&mut buffer, context.api_version) {
            Ok(()) => Self::Body(vec![Segment::Bytes(buffer.freeze())]),
            Err(e) => Self::Close(format!(
                "reply to API {} version {} cannot be encoded: {e}",
                context.api_key, context.api_version
            )),
        }
    }
}

/// A body that is encoded already.
impl From<Bytes> for Response {
    fn from(body: Bytes) -> Self {
        Self::Body(vec![Segment::Bytes(body)])
    }
}

/// Reads a request's body in its version; what cannot be read closes the connection, as in Kafka.
pub fn decode<R: Request>(context: &RequestContext, mut body: Bytes) -> Result<R, Response> {
    frame::decode_request(context.api_version, &mut body)
        .map_err(|e| Response::Close(unreadable(context, &e)))
}

/// As Kafka says of a request that it cannot read.
pub fn unreadable(context: &RequestContext, why: &frame::FrameError) -> String {
    let (key, version) = (context.api_key, context.api_version);
    format!("Error getting request for apiKey: {key}, apiVersion: {version}: {why}")
}
