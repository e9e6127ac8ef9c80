//! Listeners and connections: frames in, replies out in the order of their requests.
//!
//! Requests of one connection are served one after the other, as Kafka does by muting a channel; only Produce
//! requests overlap, since a replica manager takes them in call order. Memory is bounded by a budget of bytes for
//! requests that are being read or served. Whatever is wrong with a connection ends that connection, with one line in
//! the log, and nothing else. What requests mean is the handler's business.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use jackdaw_wire::api::{Extras, Scope};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::connection;
use super::resolve::{HostPort, Resolver};
use crate::budget::Budget;
use crate::config::{Listener, NetworkConfig};
use crate::dispatch::{RequestContext, Response};

/// Pause after a failed accept: out of file descriptors is the usual reason, and spinning would not free any.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Requests in memory at once where the operator sets no bound; one of the largest allowed always fits.
const REQUEST_BUDGET_BYTES: usize = 64 << 20;

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
    pub(super) budget: Arc<Budget>,
    connections: Arc<Semaphore>,
    per_ip: PerIp,
    send_buffer_bytes: Option<u32>,
    receive_buffer_bytes: Option<u32>,
    backlog: u32,
}

#[derive(Debug)]
struct PerIp {
    allowed: RwLock<Allowed>,
    open: Mutex<HashMap<IpAddr, usize>>,
}

#[derive(Debug)]
struct Allowed {
    each: usize,
    overrides: BTreeMap<IpAddr, usize>,
}

impl Allowed {
    fn new(config: &NetworkConfig) -> Self {
        let unsigned = |n: i32| usize::try_from(n).unwrap_or_default();
        let overrides = config.max_connections_per_ip_overrides.iter();
        let overrides = overrides.filter_map(|(host, n)| Some((host.parse().ok()?, unsigned(*n)))).collect();
        Self { each: unsigned(config.max_connections_per_ip), overrides }
    }
}

impl Limits {
    /// From the settings. Names in `max.connections.per.ip.overrides` must be addresses.
    pub fn new(config: &NetworkConfig) -> Arc<Self> {
        let unsigned = |n: i32| usize::try_from(n).unwrap_or_default();
        let request_max_bytes = unsigned(config.request_max_bytes);
        let wanted = usize::try_from(config.queued_max_request_bytes).ok().filter(|n| *n > 0);
        let budget_bytes = wanted.unwrap_or(REQUEST_BUDGET_BYTES).max(request_max_bytes);
        let per_ip = PerIp { allowed: RwLock::new(Allowed::new(config)), open: Mutex::default() };
        Arc::new(Self {
            request_max_bytes,
            idle_ms: config.connections_max_idle_ms,
            budget: Budget::new(budget_bytes),
            connections: Arc::new(Semaphore::new(
                unsigned(config.max_connections).min(Semaphore::MAX_PERMITS),
            )),
            per_ip,
            send_buffer_bytes: config.send_buffer_bytes.and_then(|n| u32::try_from(n).ok()),
            receive_buffer_bytes: config.receive_buffer_bytes.and_then(|n| u32::try_from(n).ok()),
            backlog: u32::try_from(config.listen_backlog).unwrap_or(50),
        })
    }

    /// Takes changed limits of connections per address, for those that are opened from here on.
    pub fn set(&self, config: &NetworkConfig) {
        *self.per_ip.allowed.write().unwrap_or_else(PoisonError::into_inner) = Allowed::new(config);
    }
}

impl PerIp {
    fn enter(self: &PerIp, ip: IpAddr) -> bool {
        let limit = {
            let allowed = self.allowed.read().unwrap_or_else(PoisonError::into_inner);
            allowed.overrides.get(&ip).copied().unwrap_or(allowed.each)
        };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(ip).or_default();
        if *count >= limit {
            return false;
        }
        *count += 1;
        true
    }

    fn leave(&self, ip: IpAddr) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&ip) {
            *count -= 1;
            if *count == 0 {
                open.remove(&ip);
            }
        }
    }
}

/// A connection's place under the limits, given back on drop.
struct Place {
    limits: Arc<Limits>,
    ip: IpAddr,
    _slot: Option<OwnedSemaphorePermit>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.limits.per_ip.leave(self.ip);
    }
}

/// A port that is bound, and accepts nothing yet: those who connect wait in its backlog.
#[derive(Debug)]
pub struct Bound {
    pub name: Arc<str>,
    pub scope: Scope,
    /// The real address, also where port 0 was asked for.
    pub address: SocketAddr,
    /// The listener between brokers does not count towards `max.connections`, or clients could shut peers out.
    pub privileged: bool,
    socket: TcpListener,
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
    privileged: bool,
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
                return Ok(Bound { name: listener.name.clone(), scope, address, privileged, socket });
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
}

impl Server {
    pub fn new(node_id: i32, limits: Arc<Limits>) -> Self {
        Self { limits, node_id, stop: watch::Sender::new(false) }
    }

    pub fn limits(&self) -> &Arc<Limits> {
        &self.limits
    }

    /// Starts to accept on a bound listener.
    pub fn serve(&self, bound: Bound, handler: Arc<dyn Handler>) {
        let limits = Arc::clone(&self.limits);
        let mut stop = self.stop.subscribe();
        let node_id = self.node_id;
        tokio::spawn(async move {
            tokio::select! {
                () = accept(bound, limits, handler, stop.clone(), node_id) => {}
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

async fn accept(
    bound: Bound,
    limits: Arc<Limits>,
    handler: Arc<dyn Handler>,
    stop: watch::Receiver<bool>,
    node_id: i32,
) {
    loop {
        let slot = match bound.privileged {
            true => None,
            false => Arc::clone(&limits.connections).acquire_owned().await.ok(),
        };
        let (stream, peer) = match bound.socket.accept().await {
            Ok(accepted) => accepted,
            Err(e) => {
                tracing::error!(target: "kafka.network.Acceptor", "Error while accepting connection: {e}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        if !limits.per_ip.enter(peer.ip()) {
            tracing::info!(
                target: "kafka.network.SocketServer",
                "[SocketServer nodeId={node_id}] Rejected connection from {}, address already has the configured \
                 maximum of connections.",
                peer.ip()
            );
            continue;
        }
        let place = Place { limits: Arc::clone(&limits), ip: peer.ip(), _slot: slot };
        let origin = connection::Origin { listener: bound.name.clone(), scope: bound.scope, peer, node_id };
        tokio::spawn(run(stream, origin, place, Arc::clone(&handler), stop.clone()));
    }
}

async fn run(
    stream: TcpStream,
    origin: connection::Origin,
    place: Place,
    handler: Arc<dyn Handler>,
    stop: watch::Receiver<bool>,
) {
    let (node_id, peer, listener) = (origin.node_id, origin.peer, origin.listener.clone());
    if let Err(why) = connection::run(stream, origin, &place.limits, handler.as_ref(), stop).await {
        tracing::info!(
            target: "kafka.network.SocketServer",
            "[SocketServer listener={listener}, nodeId={node_id}] Closing connection from {peer}: {why}"
        );
    }
    drop(place);
}
