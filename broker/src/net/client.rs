//! The client side of Kafka's protocol, as brokers and controllers use it towards each other: one connection per
//! peer, requests pipelined, replies matched in order, `ApiVersions` first.
//!
//! It knows no request's meaning and retries none: what to do after a failure is the caller's decision. A request
//! that times out closes the connection, as Kafka's `NetworkClient` does, because every later reply would be behind it.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use jackdaw_settings::HostPort;
use jackdaw_wire::frame;
use jackdaw_wire::messages::{ApiVersionsRequest, RequestHeader};
use jackdaw_wire::protocol::{Encodable, HeaderVersion, Request, StrBytes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot, watch};

use super::resolve::Resolver;
use crate::clock;

/// First pause after a failed connect; doubles up to [`BACKOFF_MAX`].
const BACKOFF_MIN: Duration = Duration::from_millis(10);
const BACKOFF_MAX: Duration = Duration::from_millis(250);
/// Requests queued towards one peer before callers wait.
const QUEUE_REQUESTS: usize = 64;
/// A length prefix beyond this is garbage, not a reply.
const MAX_REPLY_BYTES: usize = 1 << 30;
const API_VERSIONS_VERSION: i16 = 3;
const UNSUPPORTED_VERSION: i16 = 35;

/// What is known of the peer's process, for those who act on evidence (early elections, early fencing).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Never tried, or the last attempts told nothing (no route, no name, no answer).
    Idle,
    /// Connected, and the peer answered `ApiVersions`.
    Connected,
    /// The connection that stood was closed; no newer attempt has succeeded or been refused.
    Closed,
    /// The newest connect was refused: no process listens at that address.
    Refused,
}

/// Why a request has no reply.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("{target} cannot be resolved: {source}")]
    Resolve { target: HostPort, source: io::Error },
    #[error("connection to {target} could not be made: {source}")]
    Connect { target: HostPort, source: io::Error },
    #[error("connection to {0} was closed before the reply")]
    Closed(HostPort),
    #[error("no reply from {0} within {ms} ms", ms = .1.as_millis())]
    Timeout(HostPort, Duration),
    #[error("{target} serves API {api_key} in {}, not in version {version}", versions(*.served))]
    UnsupportedVersion { target: HostPort, api_key: i16, version: i16, served: Option<(i16, i16)> },
    #[error("API {api_key} version {version}: {what}")]
    Codec { api_key: i16, version: i16, what: String },
}

fn versions(served: Option<(i16, i16)>) -> String {
    served.map_or_else(|| "no version".to_owned(), |(min, max)| format!("versions {min} to {max}"))
}

/// A cheap handle on the connection to one peer.
#[derive(Clone, Debug)]
pub struct NodeClient {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    target: HostPort,
    resolver: Arc<Resolver>,
    client_id: StrBytes,
    link: watch::Sender<Link>,
    slot: tokio::sync::Mutex<Slot>,
}

#[derive(Debug, Default)]
struct Slot {
    connection: Option<Connection>,
    backoff: Duration,
    not_before: Option<Instant>,
}

#[derive(Clone, Debug)]
struct Connection {
    requests: mpsc::Sender<Outgoing>,
    versions: Arc<[(i16, i16, i16)]>,
}

#[derive(Debug)]
struct Outgoing {
    frame: BytesMut,
    reply: oneshot::Sender<Bytes>,
}

impl NodeClient {
    /// Makes the handle; no connection is opened before the first request.
    pub fn new(target: HostPort, resolver: Arc<Resolver>, client_id: &str) -> Self {
        let shared = Shared {
            target,
            resolver,
            client_id: StrBytes::from_string(client_id.to_owned()),
            link: watch::Sender::new(Link::Idle),
            slot: tokio::sync::Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    pub fn target(&self) -> &HostPort {
        &self.shared.target
    }

    /// The peer's state as last seen; changes as soon as the socket says so, not at the next request.
    pub fn link(&self) -> watch::Receiver<Link> {
        self.shared.link.subscribe()
    }

    /// Makes sure that a connection stands, trying at once (without regard to the backoff) if none does.
    ///
    /// # Errors
    /// `Resolve`, `Connect`, `Timeout` or `Closed` (the peer hung up during `ApiVersions`).
    pub async fn connect(&self, timeout: Duration) -> Result<(), ClientError> {
        let attempt = async {
            self.shared.slot.lock().await.not_before = None;
            self.shared.connection().await.map(|_| ())
        };
        self.within(timeout, attempt).await
    }

    /// The versions that the connected peer serves of one API.
    ///
    /// # Errors
    /// As [`NodeClient::connect`].
    pub async fn served_versions(
        &self,
        api_key: i16,
        timeout: Duration,
    ) -> Result<Option<(i16, i16)>, ClientError> {
        let connection = self.within(timeout, self.shared.connection()).await?;
        Ok(connection.served(api_key))
    }

    /// Sends one request and waits for its reply. Requests of one handle reach the peer in the order of their first
    /// poll. `timeout` covers connecting, sending and waiting.
    ///
    /// # Errors
    /// See [`ClientError`]; after any of them the peer may or may not have acted on the request.
    pub async fn request<R: Request>(
        &self,
        api_version: i16,
        request: &R,
        timeout: Duration,
    ) -> Result<R::Response, ClientError> {
        let mut body = BytesMut::new();
        request.encode(&mut body, api_version).map_err(|e| codec::<R>(api_version, &e))?;
        let header_versions = (R::header_version(api_version), R::Response::header_version(api_version));
        let mut reply =
            self.request_raw(R::KEY, api_version, header_versions, body.freeze(), timeout).await?;
        frame::decode_response::<R>(api_version, &mut reply).map_err(|e| codec::<R>(api_version, &e))
    }

    /// Sends an encoded body and returns the reply's body (its header already taken off).
    /// `header_versions` are those of the request and of the reply.
    ///
    /// # Errors
    /// As [`NodeClient::request`].
    pub async fn request_raw(
        &self,
        api_key: i16,
        api_version: i16,
        header_versions: (i16, i16),
        body: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, ClientError> {
        let closed = || ClientError::Closed(self.shared.target.clone());
        let exchange = async {
            let connection = self.shared.connection().await?;
            let served = connection.served(api_key);
            if !served.is_some_and(|(min, max)| (min..=max).contains(&api_version)) {
                let target = self.shared.target.clone();
                return Err(ClientError::UnsupportedVersion {
                    target,
                    api_key,
                    version: api_version,
                    served,
                });
            }
            let frame = request_frame(api_key, api_version, header_versions.0, &self.shared.client_id, &body)
                .map_err(|what| ClientError::Codec { api_key, version: api_version, what })?;
            let (reply, wait) = oneshot::channel();
            connection.requests.send(Outgoing { frame, reply }).await.map_err(|_| closed())?;
            // A connection lives as long as someone holds it; a waiter must not keep a hung-up one alive.
            drop(connection);
            wait.await.map_err(|_| closed())
        };
        let outcome = self.within(timeout, exchange).await;
        if matches!(outcome, Err(ClientError::Timeout(..))) {
            self.shared.hang_up();
        }
        strip_reply_header(outcome?, header_versions.1).map_err(|what| ClientError::Codec {
            api_key,
            version: api_version,
            what,
        })
    }

    async fn within<T>(
        &self,
        timeout: Duration,
        work: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        match tokio::time::timeout(timeout, work).await {
            Ok(outcome) => outcome,
            Err(_) => Err(ClientError::Timeout(self.shared.target.clone(), timeout)),
        }
    }
}

fn codec<R: Request>(version: i16, error: &dyn std::fmt::Display) -> ClientError {
    ClientError::Codec { api_key: R::KEY, version, what: error.to_string() }
}

impl Connection {
    fn served(&self, api_key: i16) -> Option<(i16, i16)> {
        self.versions.iter().find(|(key, ..)| *key == api_key).map(|(_, min, max)| (*min, *max))
    }
}

impl Shared {
    /// The standing connection, or a new one. The lock is held while connecting, so that callers share one attempt.
    async fn connection(&self) -> Result<Connection, ClientError> {
        let mut slot = self.slot.lock().await;
        if let Some(connection) = slot.connection.as_ref().filter(|c| !c.requests.is_closed()) {
            return Ok(connection.clone());
        }
        slot.connection = None;
        if let Some(not_before) = slot.not_before {
            tokio::time::sleep_until(not_before.into()).await;
        }
        match self.open().await {
            Ok(connection) => {
                *slot = Slot { connection: Some(connection.clone()), ..Slot::default() };
                Ok(connection)
            }
            Err(error) => {
                slot.backoff = (slot.backoff * 2).clamp(BACKOFF_MIN, BACKOFF_MAX);
                slot.not_before = Some(clock::now() + slot.backoff);
                Err(error)
            }
        }
    }

    async fn open(&self) -> Result<Connection, ClientError> {
        let addresses = self.resolver.resolve(&self.target).await.map_err(|source| {
            self.told_nothing();
            ClientError::Resolve { target: self.target.clone(), source }
        })?;
        let stream = match TcpStream::connect(&addresses[..]).await {
            Ok(stream) => stream,
            Err(source) => {
                if source.kind() == io::ErrorKind::ConnectionRefused {
                    self.link.send_replace(Link::Refused);
                } else {
                    self.told_nothing();
                }
                return Err(ClientError::Connect { target: self.target.clone(), source });
            }
        };
        let connect_error = |source| ClientError::Connect { target: self.target.clone(), source };
        stream.set_nodelay(true).map_err(connect_error)?;
        let (mut read, mut write) = stream.into_split();
        let versions = handshake(&mut read, &mut write, &self.client_id).await.map_err(connect_error)?;
        let (requests, queue) = mpsc::channel(QUEUE_REQUESTS);
        self.link.send_replace(Link::Connected);
        tokio::spawn(serve(read, write, queue, self.link.clone()));
        Ok(Connection { requests, versions })
    }

    /// A failed attempt that is no evidence of a dead process.
    fn told_nothing(&self) {
        self.link.send_if_modified(|link| {
            let before = *link;
            *link = if before == Link::Idle { Link::Idle } else { Link::Closed };
            *link != before
        });
    }

    /// Drops the standing connection; those who wait on it get `Closed`.
    fn hang_up(&self) {
        if let Ok(mut slot) = self.slot.try_lock() {
            slot.connection = None;
        }
    }
}

type Pending = Mutex<VecDeque<(i32, oneshot::Sender<Bytes>)>>;

/// Runs one connection until either side ends it. Reader and writer are polled side by side, because a peer that
/// does not read must not keep us from reading its replies.
async fn serve(
    read: OwnedReadHalf,
    write: OwnedWriteHalf,
    queue: mpsc::Receiver<Outgoing>,
    link: watch::Sender<Link>,
) {
    let pending = Pending::default();
    let ended = tokio::select! {
        ended = read_replies(read, &pending) => ended,
        ended = write_requests(write, queue, &pending) => ended,
    };
    if let Err(error) = ended {
        tracing::debug!(target: "kafka.network", "connection ended: {error}");
    }
    link.send_replace(Link::Closed);
}

async fn write_requests(
    mut write: OwnedWriteHalf,
    mut queue: mpsc::Receiver<Outgoing>,
    pending: &Pending,
) -> io::Result<()> {
    // Correlation ids count from 1 on each connection; 0 was the handshake.
    let mut correlation_id = 0_i32;
    while let Some(Outgoing { mut frame, reply }) = queue.recv().await {
        correlation_id = correlation_id.wrapping_add(1);
        pending.lock().unwrap_or_else(PoisonError::into_inner).push_back((correlation_id, reply));
        // The id sits at bytes 8..12 of every frame: length, key, version, correlation id.
        frame[8..12].copy_from_slice(&correlation_id.to_be_bytes());
        write.write_all(&frame).await?;
    }
    Ok(())
}

async fn read_replies(mut read: OwnedReadHalf, pending: &Pending) -> io::Result<()> {
    let mut buffer = BytesMut::new();
    loop {
        let reply = read_frame(&mut read, &mut buffer).await?;
        let oldest = pending.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let received = reply.get(..4).map(|mut id| id.get_i32());
        match oldest {
            // Nobody may be waiting any more; the order is kept all the same.
            Some((expected, waiter)) if received == Some(expected) => drop(waiter.send(reply)),
            _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "reply out of order")),
        }
    }
}

async fn read_frame(read: &mut OwnedReadHalf, buffer: &mut BytesMut) -> io::Result<Bytes> {
    while buffer.len() < 4 {
        fill(read, buffer, 4096).await?;
    }
    let length = buffer.get_u32() as usize;
    if length > MAX_REPLY_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("reply of {length} bytes")));
    }
    while buffer.len() < length {
        fill(read, buffer, (length - buffer.len()).min(1 << 20)).await?;
    }
    Ok(buffer.split_to(length).freeze())
}

async fn fill(read: &mut OwnedReadHalf, buffer: &mut BytesMut, wanted: usize) -> io::Result<()> {
    buffer.reserve(wanted);
    if read.read_buf(buffer).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

/// A frame with correlation id 0, to be patched when it is sent.
fn request_frame(
    api_key: i16,
    api_version: i16,
    header_version: i16,
    client_id: &StrBytes,
    body: &[u8],
) -> Result<BytesMut, String> {
    let header = RequestHeader::default()
        .with_request_api_key(api_key)
        .with_request_api_version(api_version)
        .with_client_id(Some(client_id.clone()));
    let mut frame = BytesMut::with_capacity(32 + client_id.len() + body.len());
    frame.put_u32(0);
    header.encode(&mut frame, header_version).map_err(|e| e.to_string())?;
    frame.put_slice(body);
    let length = u32::try_from(frame.len() - 4).map_err(|e| e.to_string())?;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    Ok(frame)
}

fn strip_reply_header(mut reply: Bytes, header_version: i16) -> Result<Bytes, String> {
    frame::take_response_header(header_version, &mut reply).map_err(|e| e.to_string())?;
    Ok(reply)
}

/// `ApiVersions` on a fresh connection. A peer that does not know our version answers in version 0 and with its
/// table, which is all that is wanted.
async fn handshake(
    read: &mut OwnedReadHalf,
    write: &mut OwnedWriteHalf,
    client_id: &StrBytes,
) -> io::Result<Arc<[(i16, i16, i16)]>> {
    let invalid = |e: String| io::Error::new(io::ErrorKind::InvalidData, format!("ApiVersions: {e}"));
    let request = ApiVersionsRequest::default()
        .with_client_software_name(StrBytes::from_static_str("jackdaw"))
        .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
    let mut body = BytesMut::new();
    request.encode(&mut body, API_VERSIONS_VERSION).map_err(|e| invalid(e.to_string()))?;
    let header_version = ApiVersionsRequest::header_version(API_VERSIONS_VERSION);
    let frame =
        request_frame(ApiVersionsRequest::KEY, API_VERSIONS_VERSION, header_version, client_id, &body)
            .map_err(invalid)?;
    write.write_all(&frame).await?;
    let reply = read_frame(read, &mut BytesMut::new()).await?;
    let mut reply = strip_reply_header(reply, 0).map_err(invalid)?;
    let version = match reply.get(..2).map(|mut code| code.get_i16()) {
        Some(UNSUPPORTED_VERSION) => 0,
        _ => API_VERSIONS_VERSION,
    };
    let response = frame::decode_response::<ApiVersionsRequest>(version, &mut reply)
        .map_err(|e| invalid(e.to_string()))?;
    Ok(response.api_keys.iter().map(|k| (k.api_key, k.min_version, k.max_version)).collect())
}
