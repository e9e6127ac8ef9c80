//! Connections to the other brokers of the image, one per broker and made when it is first asked for.
//!
//! It knows where a broker listens, and nothing of what is said to it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jackdaw_metadata::MetadataImage;

use super::client::NodeClient;
use super::resolve::Resolver;
use jackdaw_settings::HostPort;

/// The brokers that one sender talks to, by id.
#[derive(Debug)]
pub struct Peers {
    resolver: Arc<Resolver>,
    listener: Arc<str>,
    client_id: String,
    clients: Mutex<HashMap<i32, NodeClient>>,
}

impl Peers {
    /// `listener` is the one that brokers talk to each other on.
    pub fn new(resolver: Arc<Resolver>, listener: Arc<str>, client_id: String) -> Self {
        Self { resolver, listener, client_id, clients: Mutex::default() }
    }

    /// The way to a broker that is alive by this image; a broker that moved gets a new connection.
    pub fn client(&self, image: &MetadataImage, broker: i32) -> Option<NodeClient> {
        let registration = image.broker(broker).filter(|registration| !registration.fenced)?;
        let endpoint = registration.endpoint(&self.listener)?;
        let target = HostPort::new(endpoint.host.clone(), endpoint.port);
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let known = clients.get(&broker).filter(|client| *client.target() == target);
        if let Some(client) = known {
            return Some(client.clone());
        }
        let client = NodeClient::new(target, Arc::clone(&self.resolver), &self.client_id);
        clients.insert(broker, client.clone());
        Some(client)
    }
}
