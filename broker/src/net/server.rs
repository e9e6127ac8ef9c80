//! Listeners: ports, the limits that a node's connections share, and their end.
//!
//! Requests of one connection are served one after the other, as Kafka does by muting a channel; only Produce
//! requests overlap, since a replica manager takes them in call order. Whatever is wrong with a connection ends that
//! connection, with one line in the log, and nothing else. What requests mean is the handler's business.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use jackdaw_settings::HostPort;
use jackdaw_wire::api::{Extras, Scope};
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::acceptor;
use super::memory::{Memories, Traffic};
use super::pace::Patience;
use super::quotas::{self, Quotas};
use super::resolve::Resolver;
use crate::config::{Listener, NetworkConfig};
use crate::descriptors;
use crate::dispatch::{RequestContext, Response};

/// Answers requests.
pub trait Handler: Send + Sync + 'static {
    /// What must happen in the order of arrival happens in this call; the future is polled beside those of other
    /// requests of the same connection only for Produce.
    fn handle(&self, context: RequestContext, body: Bytes) -> BoxFuture<'static, Response>;

    /// What is served beyond 3.7.0's APIs.
    fn extras(&self) -> Extras {
        Extras::default()
    }
}

/// Limits that all listeners of a node share.
#[derive(Debug)]
pub struct Limits {
    pub request_max_bytes: usize,
    /// Negative: connections may idle for ever.
    pub idle_ms: i64,
    pub(super) memories: Memories,
    pub(super) patience: Patience,
    pub(super) quotas: Arc<Quotas>,
    send_buffer_bytes: Option<u32>,
    receive_buffer_bytes: Option<u32>,
    backlog: u32,
}

impl Limits {
    /// From the settings; names in `max.connections.per.ip.overrides` count from [`Limits::resolve`] on.
    pub fn new(config: &NetworkConfig) -> Arc<Self> {
        let unsigned = |n: i32| usize::try_from(n).unwrap_or_default();
        Arc::new(Self {
            request_max_bytes: unsigned(config.request_max_bytes),
            idle_ms: config.connections_max_idle_ms,
            memories: Memories::new(config),
            patience: Patience::default(),
            quotas: Quotas::new(config, descriptors::for_connections()),
            send_buffer_bytes: config.send_buffer_bytes.and_then(|n| u32::try_from(n).ok()),
            receive_buffer_bytes: config.receive_buffer_bytes.and_then(|n| u32::try_from(n).ok()),
            backlog: u32::try_from(config.listen_backlog).unwrap_or(50),
        })
    }

    /// Takes changed limits of connections, for those that are opened from here on.
    pub async fn set(&self, config: &NetworkConfig, resolver: &Resolver) {
        let mut ips = quotas::literal_ips(config);
        // Those that need no look at a name hold at once.
        self.quotas.set(config, ips.clone());
        for (host, count) in &config.max_connections_per_ip_overrides {
            match resolver.resolve(&HostPort::new(host.clone(), 0)).await {
                Ok(addresses) => {
                    let count = usize::try_from(*count).unwrap_or_default();
                    ips.extend(addresses.iter().map(|address| (address.ip(), count)));
                }
                Err(error) => tracing::error!(
                    target: "kafka.network.SocketServer",
                    "max.connections.per.ip.overrides names the host {host}, which has no effect: {error}"
                ),
            }
        }
        self.quotas.set(config, ips);
    }
}

/// A port that is bound, and accepts nothing yet: those who connect wait in its backlog.
#[derive(Debug)]
pub struct Bound {
    pub name: Arc<str>,
    pub scope: Scope,
    /// The real address, also where port 0 was asked for.
    pub address: SocketAddr,
    pub traffic: Traffic,
    pub(super) socket: TcpListener,
}

/// A port could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("Socket server failed to bind to {host}:{port}: {source}.")]
pub struct BindError {
    host: String,
    port: u16,
    source: io::Error,
}

/// Opens a listener's port.
///
/// # Errors
/// The system's reason, with Kafka's wording around it.
pub async fn bind(
    listener: &Listener,
    scope: Scope,
    traffic: Traffic,
    resolver: &Resolver,
    limits: &Limits,
) -> Result<Bound, BindError> {
    let fail = |source| BindError { host: listener.host.clone(), port: listener.port, source };
    let candidates = if listener.host.is_empty() {
        // All interfaces: an IPv6 socket takes IPv4 too, where the machine has IPv6 at all.
        vec![SocketAddr::from(([0_u16; 8], listener.port)), SocketAddr::from(([0_u8; 4], listener.port))]
    } else {
        let target = HostPort::new(listener.host.clone(), listener.port);
        resolver.resolve(&target).await.map_err(fail)?
    };
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in candidates {
        match listen(address, limits) {
            Ok(socket) => {
                let address = socket.local_addr().map_err(fail)?;
                return Ok(Bound { name: listener.name.clone(), scope, address, traffic, socket });
            }
            Err(e) if e.kind() == io::ErrorKind::AddrInUse => return Err(fail(e)),
            Err(e) => last = e,
        }
    }
    Err(fail(last))
}

fn listen(address: SocketAddr, limits: &Limits) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    // Accepted sockets inherit both.
    if let Some(bytes) = limits.send_buffer_bytes {
        socket.set_send_buffer_size(bytes)?;
    }
    if let Some(bytes) = limits.receive_buffer_bytes {
        socket.set_recv_buffer_size(bytes)?;
    }
    socket.bind(address)?;
    socket.listen(limits.backlog)
}

/// The running listeners of a node.
#[derive(Debug)]
pub struct Server {
    limits: Arc<Limits>,
    node_id: i32,
    /// Changes to true once: connections end after the request they are serving.
    stop: watch::Sender<bool>,
    /// Where connections are served. They are accepted on the runtime that [`Server::serve`] is called in.
    runtime: Handle,
}

impl Server {
    pub fn new(node_id: i32, limits: Arc<Limits>, runtime: Handle) -> Self {
        Self { limits, node_id, stop: watch::Sender::new(false), runtime }
    }

    pub fn limits(&self) -> &Arc<Limits> {
        &self.limits
    }

    /// Starts to accept on a bound listener.
    pub fn serve(&self, bound: Bound, handler: Arc<dyn Handler>) {
        let limits = Arc::clone(&self.limits);
        let mut stop = self.stop.subscribe();
        let (node_id, runtime) = (self.node_id, self.runtime.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = acceptor::accept(bound, limits, handler, stop.clone(), node_id, runtime) => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
        });
    }

    /// Closes all listeners at once and every connection after the request it is serving; resolves when all are
    /// gone or `patience` has passed.
    pub async fn close(&self, patience: Duration) {
        self.stop.send_replace(true);
        // Each task holds a receiver; the last one to go resolves this.
        let _ = tokio::time::timeout(patience, self.stop.closed()).await;
    }
}
