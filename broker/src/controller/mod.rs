//! The controller of a node: while this node leads the quorum, requests become records, and replies leave when the
//! records are committed.
//!
//! What belongs here: the task around the pure controller, its requests and replies on the wire, evidence that a broker
//! is gone. What must not be here: what a request does to the
//! cluster (`jackdaw-metadata` has it) and how records get committed (the quorum has it).

pub mod bootstrap;
mod envelope;
mod evidence;
mod requests;
mod schema;
mod task;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use jackdaw_metadata::MetadataImage;
use jackdaw_metadata::controller::{ApiError, ControllerSettings, Request, Response as Reply};
use jackdaw_wire::{ApiKey, ErrorCode};
use tokio::sync::{mpsc, oneshot, watch};

use crate::dispatch::{RequestContext, Response};
use crate::loader::LogEvent;
use crate::raft::RaftHandle;

pub use evidence::BrokerWatch;
pub use requests::{answer_on_standby, refuse};
pub use schema::TopicSchema;

/// Requests that wait for their turn; beyond these, senders wait.
const REQUEST_QUEUE: usize = 256;
/// Log events that the loader may be ahead of the controller.
const EVENT_QUEUE: usize = 256;

/// What the controller of a node is made of.
pub struct ControllerOptions {
    pub settings: ControllerSettings,
    pub schema: TopicSchema,
    pub raft: RaftHandle,
}

/// A request on its way to the controller's task.
pub(crate) struct Call {
    api_version: i16,
    request: Request,
    reply: oneshot::Sender<Reply>,
}

/// A cheap handle on this node's controller.
#[derive(Clone)]
pub struct ControllerHandle {
    calls: mpsc::Sender<Call>,
    gone: mpsc::Sender<Gone>,
    raft: RaftHandle,
}

/// A broker whose connection was closed and whose address refuses a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Gone {
    broker: i32,
    /// The registration that this is about.
    epoch: i64,
}

/// Starts the controller. The sender is for the loader.
pub fn start(options: ControllerOptions) -> (ControllerHandle, mpsc::Sender<LogEvent>) {
    let (calls, call_queue) = mpsc::channel(REQUEST_QUEUE);
    let (events, event_queue) = mpsc::channel(EVENT_QUEUE);
    let (gone, gone_queue) = mpsc::channel(REQUEST_QUEUE);
    let raft = options.raft.clone();
    tokio::spawn(task::Task::new(options).run(call_queue, event_queue, gone_queue));
    (ControllerHandle { calls, gone, raft }, events)
}

impl ControllerHandle {
    /// Answers a request for the active controller, an Envelope around one included. The future ends when what the
    /// reply says is committed. Without being active it says NOT_CONTROLLER, in the shape of the reply.
    pub async fn handle_request(&self, context: &RequestContext, body: Bytes) -> Response {
        if context.api_key == ApiKey::Envelope as i16 {
            return envelope::answer(self, context, body).await;
        }
        match requests::decode(context.api_key, context.api_version, body) {
            Ok(request) => requests::encode(context, &self.call(context.api_version, request).await),
            Err(reason) => Response::Close(reason),
        }
    }

    /// Asks without a wire in between.
    pub async fn call(&self, api_version: i16, request: Request) -> Reply {
        let stopped = ApiError::new(ErrorCode::NotController, "No controller appears to be active.");
        let refusal = request.refuse(&stopped);
        let (reply, answer) = oneshot::channel();
        if self.calls.send(Call { api_version, request, reply }).await.is_err() {
            return refusal;
        }
        answer.await.unwrap_or(refusal)
    }

    /// Watches every unfenced broker of the image for evidence that its process is gone. Standby controllers watch
    /// too: when the active one dies together with its broker, the next must know of both.
    pub fn watch_brokers(&self, images: watch::Receiver<Arc<MetadataImage>>, watch: BrokerWatch) {
        tokio::spawn(evidence::run(images, watch, self.gone.clone()));
    }

    pub(crate) fn raft(&self) -> &RaftHandle {
        &self.raft
    }
}
