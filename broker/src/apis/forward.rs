//! Requests that only the active controller can answer: wrapped into an Envelope with who sent them (KIP-590), their
//! replies passed back as they came.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use jackdaw_metadata::controller::ApiError;
use jackdaw_wire::api;
use jackdaw_wire::frame;
use jackdaw_wire::messages::{DefaultPrincipalData, EnvelopeRequest, EnvelopeResponse, RequestHeader};
use jackdaw_wire::protocol::{Encodable, StrBytes};
use jackdaw_wire::{ErrorCode, segment::Segment};

use super::Inner;
use crate::controller;
use crate::dispatch::{RequestContext, Response};
use crate::errors::{self, LinkError};
use crate::loader;
use crate::to_controller::{ControllerLink, ask};

/// How long a request may look for an active controller before its sender is told to try again.
const PATIENCE: Duration = Duration::from_secs(30);

impl Inner {
    /// Passes a client's request on, and the reply back.
    pub(super) async fn forward(&self, context: &RequestContext, body: Bytes) -> Response {
        match self.ask_controller(context, body.clone()).await {
            Ok(reply) => Response::Body(vec![Segment::Bytes(reply)]),
            Err(error) => controller::refuse(context, body, &ApiError::from(errors::of_link(&error))),
        }
    }

    /// The active controller's reply to a client's request. What this node's own controller has answered, this node
    /// knows by then; of what another has, it hears a moment later, as in Kafka.
    pub(super) async fn ask_controller(
        &self,
        context: &RequestContext,
        body: Bytes,
    ) -> Result<Bytes, LinkError> {
        let controller = self.parts.controller.as_ref();
        let reply = envelope(context, body, controller).await?;
        if controller.active() == Some(self.parts.config.node_id) {
            loader::acted(&self.parts.image, &self.parts.given).await;
        }
        Ok(reply)
    }
}

/// The reply's body, its inner header taken off.
pub(super) async fn envelope(
    context: &RequestContext,
    body: Bytes,
    controller: &dyn ControllerLink,
) -> Result<Bytes, LinkError> {
    let codec = |e: &dyn std::fmt::Display| LinkError::Codec(e.to_string());
    let row = api::find(context.api_key).ok_or_else(|| codec(&"unknown API"))?;
    let header = RequestHeader::default()
        .with_request_api_key(context.api_key)
        .with_request_api_version(context.api_version)
        .with_correlation_id(context.correlation_id)
        .with_client_id(context.client_id.clone());
    let mut inner = BytesMut::with_capacity(body.len() + 64);
    let header_version = row.request_header_version(context.api_version);
    header.encode(&mut inner, header_version).map_err(|e| codec(&e))?;
    inner.put_slice(&body);
    let request = EnvelopeRequest::default()
        .with_request_data(inner.freeze())
        .with_request_principal(Some(anonymous().map_err(|e| codec(&e))?))
        .with_client_host_address(match context.peer.ip() {
            std::net::IpAddr::V4(ip) => Bytes::copy_from_slice(&ip.octets()),
            std::net::IpAddr::V6(ip) => Bytes::copy_from_slice(&ip.octets()),
        });
    let reply: EnvelopeResponse = ask(controller, 0, &request, PATIENCE).await?;
    match (ErrorCode::try_from_code(reply.error_code), reply.response_data) {
        (None, Some(mut data)) if data.has_remaining() => {
            let version = row.response_header_version(context.api_version);
            frame::take_response_header(version, &mut data).map_err(|e| codec(&e))?;
            Ok(data)
        }
        (Some(code), _) => Err(LinkError::Refused(code)),
        (None, _) => Err(codec(&"an envelope without a reply")),
    }
}

/// `User:ANONYMOUS`, as `DefaultKafkaPrincipalBuilder` serializes who came over PLAINTEXT: a version, then the data.
fn anonymous() -> Result<Bytes, String> {
    let principal = DefaultPrincipalData::default()
        .with_type(StrBytes::from_static_str("User"))
        .with_name(StrBytes::from_static_str("ANONYMOUS"));
    let mut bytes = BytesMut::new();
    bytes.put_i16(0);
    principal.encode(&mut bytes, 0).map_err(|e| e.to_string())?;
    Ok(bytes.freeze())
}
