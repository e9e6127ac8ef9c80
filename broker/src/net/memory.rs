//! What requests and replies of a node may hold in memory, apart for those whom the cluster depends on.
//!
//! Clients, brokers and controllers each have budgets of their own: clients cannot take what a follower's fetch, a
//! heartbeat or a vote needs. Where clients and brokers share one listener nobody is known by where he comes in; there
//! requests of the kind that followers send (Fetch) belong to the brokers' budget, and all others to the clients'.
//! Must not wait for anything; those who hold the budgets do.

use std::sync::Arc;

use jackdaw_wire::messages::ApiKey;

use crate::budget::Budget;
use crate::config::NetworkConfig;

/// Requests so small are read at once, one of each connection, also where others hold everything: who asks for little
/// does not wait for those who ask for much.
pub const FREE_BYTES: usize = 16 << 10;
/// The same of a request in the form in which it is worked on, and of its reply.
pub const FREE_WORK_BYTES: usize = 64 << 10;
/// Requests in memory at once where the operator sets no bound, beside the largest one.
const CLIENTS_BYTES: usize = 64 << 20;
/// The same between nodes, whose requests are small and whose number is bounded.
const NODES_BYTES: usize = 32 << 20;
/// Replies that are made in memory; records are sent from their files.
const REPLIES_BYTES: usize = 64 << 20;

/// Who comes in on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    Clients,
    /// The other brokers, on a listener beside those of clients.
    Brokers,
    /// Clients and brokers on the only listener that there is.
    Shared,
    Controllers,
}

/// The budgets that requests of one kind share.
#[derive(Debug)]
pub struct Memory {
    pub requests: Arc<Budget>,
    pub replies: Arc<Budget>,
}

impl Memory {
    fn new(requests_bytes: usize, replies_bytes: usize) -> Self {
        Self { requests: Budget::new(requests_bytes), replies: Budget::new(replies_bytes) }
    }
}

/// The budgets of a node.
#[derive(Debug)]
pub struct Memories {
    clients: Memory,
    brokers: Memory,
    controllers: Memory,
}

impl Memories {
    /// `queued.max.request.bytes` bounds what clients hold. As in Kafka one request may go beyond it.
    pub fn new(config: &NetworkConfig) -> Self {
        let wanted = usize::try_from(config.queued_max_request_bytes).ok().filter(|n| *n > 0);
        Self {
            clients: Memory::new(wanted.unwrap_or(CLIENTS_BYTES), REPLIES_BYTES),
            brokers: Memory::new(NODES_BYTES, NODES_BYTES),
            controllers: Memory::new(NODES_BYTES, NODES_BYTES),
        }
    }

    /// The budgets of a request.
    pub fn of(&self, traffic: Traffic, api_key: i16) -> &Memory {
        match traffic {
            Traffic::Controllers => &self.controllers,
            Traffic::Brokers => &self.brokers,
            Traffic::Shared if api_key == ApiKey::Fetch as i16 => &self.brokers,
            Traffic::Shared | Traffic::Clients => &self.clients,
        }
    }
}
