//! The way to the active controller, whoever that is (Kafka's `NodeToControllerChannelManager`).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use jackdaw_wire::frame::decode_response;
use jackdaw_wire::messages::*;
use jackdaw_wire::protocol::Request;
use jackdaw_wire::{ErrorCode, api};
use tokio::sync::watch;

use super::ControllerLink;
use crate::clock;
use crate::errors::LinkError;
use crate::net::NodeClient;
use crate::raft::LeaderAndEpoch;

/// The pause before the same controller is asked again. A new leader ends it early.
const RETRY_PAUSE: Duration = Duration::from_millis(20);
const MAX_RETRY_PAUSE: Duration = Duration::from_millis(500);

/// Sends requests to the leader of the quorum, and again where it has moved. Cheap to clone.
#[derive(Clone)]
pub struct ControllerChannel {
    pub(crate) leader: watch::Receiver<LeaderAndEpoch>,
    pub(crate) voters: Arc<HashMap<i32, NodeClient>>,
}

impl ControllerChannel {
    /// `voters` are the clients to every controller of the quorum, this node's own included.
    pub fn new(leader: watch::Receiver<LeaderAndEpoch>, voters: HashMap<i32, NodeClient>) -> Self {
        Self { leader, voters: Arc::new(voters) }
    }

    /// The leader as this node knows it.
    pub fn leader(&self) -> LeaderAndEpoch {
        *self.leader.borrow()
    }

    async fn exchange(
        &self,
        api_key: i16,
        api_version: i16,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, LinkError> {
        let row = api::find(api_key).ok_or_else(|| LinkError::Codec(format!("unknown API {api_key}")))?;
        let headers = (row.request_header_version(api_version), row.response_header_version(api_version));
        let deadline = clock::now() + timeout;
        let mut leader = self.leader.clone();
        let mut pause = RETRY_PAUSE;
        loop {
            let left = deadline.saturating_duration_since(clock::now());
            if left.is_zero() {
                return Err(LinkError::Timeout);
            }
            let target = leader.borrow_and_update().leader.and_then(|id| self.voters.get(&id)).cloned();
            if let Some(client) = target {
                let sent = client.request_raw(api_key, api_version, headers, body.clone(), left);
                let answer = tokio::select! {
                    answer = sent => answer,
                    // Whoever led cannot answer any more; what it did with the request, nobody knows.
                    moved = leader.changed() => {
                        moved.map_err(|_| LinkError::Stopped)?;
                        pause = RETRY_PAUSE;
                        continue;
                    }
                };
                match answer {
                    Ok(reply) if !says_not_controller(api_key, api_version, &reply) => return Ok(reply),
                    Ok(_) => {}
                    Err(error) => tracing::debug!(
                        target: "kafka.server.NodeToControllerRequestThread",
                        "{} to the controller: {error}", row.name
                    ),
                }
            }
            let left = deadline.saturating_duration_since(clock::now());
            match tokio::time::timeout(pause.min(left), leader.changed()).await {
                Ok(Ok(())) => pause = RETRY_PAUSE,
                Ok(Err(_)) => return Err(LinkError::Stopped),
                Err(_) => pause = (pause * 2).min(MAX_RETRY_PAUSE),
            }
        }
    }
}

impl ControllerLink for ControllerChannel {
    fn send(
        &self,
        api_key: i16,
        api_version: i16,
        body: Bytes,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<Bytes, LinkError>> {
        Box::pin(self.exchange(api_key, api_version, body, timeout))
    }

    fn active(&self) -> Option<i32> {
        self.leader().leader
    }
}

/// Whether a reply says that its sender is not the active controller (any more).
fn says_not_controller(api_key: i16, version: i16, reply: &Bytes) -> bool {
    let code = ErrorCode::NotController.code();
    let mut reply = reply.clone();
    let reply = &mut reply;
    match ApiKey::try_from(api_key) {
        Ok(ApiKey::Envelope) => is_refused::<EnvelopeRequest>(reply, version, |r| r.error_code),
        Ok(ApiKey::BrokerRegistration) => {
            is_refused::<BrokerRegistrationRequest>(reply, version, |r| r.error_code)
        }
        Ok(ApiKey::BrokerHeartbeat) => is_refused::<BrokerHeartbeatRequest>(reply, version, |r| r.error_code),
        Ok(ApiKey::ControllerRegistration) => {
            is_refused::<ControllerRegistrationRequest>(reply, version, |r| r.error_code)
        }
        Ok(ApiKey::AllocateProducerIds) => {
            is_refused::<AllocateProducerIdsRequest>(reply, version, |r| r.error_code)
        }
        Ok(ApiKey::AssignReplicasToDirs) => {
            is_refused::<AssignReplicasToDirsRequest>(reply, version, |r| r.error_code)
        }
        Ok(ApiKey::AlterPartition) => {
            decode_response::<AlterPartitionRequest>(version, reply).is_ok_and(|r| {
                // Also of one partition: its leader knows more than the controller that was asked.
                let mut partitions = r.topics.iter().flat_map(|topic| &topic.partitions);
                r.error_code == code || partitions.any(|p| p.error_code == code)
            })
        }
        _ => false,
    }
}

fn is_refused<R: Request>(reply: &mut Bytes, version: i16, code: impl Fn(&R::Response) -> i16) -> bool {
    decode_response::<R>(version, reply).is_ok_and(|reply| code(&reply) == ErrorCode::NotController.code())
}
