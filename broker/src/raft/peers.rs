//! The other voters, as this node reaches them: their connections, and what the connections say of them.
//!
//! Requests are sent as the machine asks for them, one at a time and voter; nothing is retried here.

use jackdaw_settings::HostPort;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jackdaw_quorum::{Input, Request, Response};
use jackdaw_wire::messages::{BrokerId, FetchRequest, fetch_request};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::driver::Event;
use super::options::RaftOptions;
use crate::net::{ClientError, Link, NodeClient, Resolver};

const FETCH_KEY: i16 = 1;
/// Kafka 3.7's own.
const FETCH_MAX_VERSION: i16 = 16;
/// Since version 15 a Fetch says who fetches in its replica state (KIP-903).
const FETCH_REPLICA_STATE_VERSION: i16 = 15;
/// First and longest pause between attempts to reach a voter that is not there.
const RECONNECT_MIN: Duration = Duration::from_millis(10);
const RECONNECT_MAX: Duration = Duration::from_millis(200);

pub(super) struct Peers {
    clients: BTreeMap<i32, NodeClient>,
    events: mpsc::Sender<Event>,
    runtime: Handle,
    timeout: Duration,
}

impl Peers {
    /// Begins to hold a connection to every other voter.
    pub fn new(
        options: &RaftOptions,
        resolver: &Arc<Resolver>,
        events: mpsc::Sender<Event>,
        runtime: Handle,
    ) -> Self {
        let client_id = format!("raft-client-{}", options.node_id);
        let timeout = Duration::from_millis(options.request_timeout_ms);
        let clients: BTreeMap<i32, NodeClient> = options
            .voters
            .iter()
            .filter(|voter| voter.id != options.node_id)
            .map(|voter| {
                let target = HostPort::new(voter.host.clone(), voter.port);
                (voter.id, NodeClient::new(target, Arc::clone(resolver), &client_id))
            })
            .collect();
        for (&peer, client) in &clients {
            runtime.spawn(hold_link(peer, client.clone(), events.clone(), timeout));
        }
        Self { clients, events, runtime, timeout }
    }

    /// Sends; the reply, or that there is none, comes as an event.
    pub fn send(&self, to: i32, correlation: u64, request: Request) {
        let Some(client) = self.clients.get(&to).cloned() else { return };
        let (events, timeout) = (self.events.clone(), self.timeout);
        self.runtime.spawn(async move {
            let input = match exchange(&client, request, timeout).await {
                Ok(response) => Input::Response { from: to, correlation, response },
                Err(error) => {
                    tracing::debug!(target: "kafka.raft", "request to voter {to} failed: {error}");
                    Input::SendFailed { from: to, correlation }
                }
            };
            // A quorum that has stopped needs no answer.
            let _ = events.send(Event::Input(input)).await;
        });
    }
}

async fn exchange(client: &NodeClient, request: Request, timeout: Duration) -> Result<Response, ClientError> {
    Ok(match request {
        Request::Vote(request) => Response::Vote(client.request(0, &request, timeout).await?),
        Request::BeginQuorumEpoch(request) => {
            Response::BeginQuorumEpoch(client.request(0, &request, timeout).await?)
        }
        Request::EndQuorumEpoch(request) => {
            Response::EndQuorumEpoch(client.request(0, &request, timeout).await?)
        }
        Request::Fetch(request) => {
            let served = client.served_versions(FETCH_KEY, timeout).await?;
            let version = served.map_or(FETCH_MAX_VERSION, |(_, max)| max.min(FETCH_MAX_VERSION));
            let request = fetch_as_of(version, request);
            Response::Fetch(client.request(version, &request, timeout).await?)
        }
        Request::FetchSnapshot(request) => {
            Response::FetchSnapshot(client.request(0, &request, timeout).await?)
        }
        Request::DescribeQuorum(request) => {
            Response::DescribeQuorum(client.request(1, &request, timeout).await?)
        }
    })
}

/// Puts the replica's id where that version has it.
fn fetch_as_of(version: i16, mut request: FetchRequest) -> FetchRequest {
    if version < FETCH_REPLICA_STATE_VERSION {
        request.replica_id = request.replica_state.replica_id;
        request.replica_state = fetch_request::ReplicaState::default();
    } else {
        request.replica_id = BrokerId(-1);
    }
    request
}

/// Keeps a connection to the voter and tells what it says: that the voter is there, or that its connection closed
/// and a fresh connect was refused.
async fn hold_link(peer: i32, client: NodeClient, events: mpsc::Sender<Event>, timeout: Duration) {
    let mut link = client.link();
    let mut pause = RECONNECT_MIN;
    let mut told = None;
    loop {
        let state = *link.borrow_and_update();
        let evidence = match state {
            Link::Connected => Some(Input::PeerReached { peer }),
            Link::Refused => Some(Input::PeerLost { peer }),
            Link::Idle | Link::Closed => None,
        };
        let is_news = told.replace(state) != Some(state);
        if let Some(evidence) = evidence
            && is_news
            && events.send(Event::Input(evidence)).await.is_err()
        {
            return;
        }
        if state == Link::Connected {
            pause = RECONNECT_MIN;
            if link.changed().await.is_err() {
                return;
            }
        } else if client.connect(timeout).await.is_err() {
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(RECONNECT_MAX),
                () = events.closed() => return,
            }
        }
    }
}
