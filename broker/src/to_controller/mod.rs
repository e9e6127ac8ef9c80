//! The broker's way to the active controller, whoever that is: single requests, ISR changes, directories of replicas.
//!
//! What belongs here: finding the controller, trying again where it has moved, and what waits to be told. What must not
//! be here: what a request does to the cluster, and whether it should be sent.

mod assignments;
mod channel;
mod isr_sender;
mod latest;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use jackdaw_wire::frame;
use jackdaw_wire::protocol::Request;

use crate::errors::LinkError;

pub use assignments::Assignments;
pub use channel::ControllerChannel;
pub use isr_sender::IsrSender;

/// The way to whoever is the active controller. It finds it, tries again where it has moved, and gives up in time.
pub trait ControllerLink: Send + Sync {
    /// Sends an encoded request body; the reply's body comes back.
    fn send(
        &self,
        api_key: i16,
        api_version: i16,
        body: Bytes,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<Bytes, LinkError>>;

    /// The active controller as this node knows it.
    fn active(&self) -> Option<i32>;
}

/// Asks the controller something in this broker's own name.
pub async fn ask<R: Request>(
    controller: &dyn ControllerLink,
    api_version: i16,
    request: &R,
    timeout: Duration,
) -> Result<R::Response, LinkError> {
    let codec = |e: &dyn std::fmt::Display| LinkError::Codec(e.to_string());
    let mut body = BytesMut::new();
    request.encode(&mut body, api_version).map_err(|e| codec(&e))?;
    let mut reply = controller.send(R::KEY, api_version, body.freeze(), timeout).await?;
    frame::decode_response::<R>(api_version, &mut reply).map_err(|e| codec(&e))
}
