//! One accepted connection: its frames, its replies, its end.
//!
//! Must not know what a request means beyond its header, and must not hold more of a peer's bytes than the budget of
//! its listener grants.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use jackdaw_wire::api::{self, Extras, Scope};
use jackdaw_wire::frame::decode_request_header;
use jackdaw_wire::messages::{ApiKey, ResponseHeader};
use jackdaw_wire::protocol::Encodable;
use jackdaw_wire::segment::{self, Segment};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::time::Instant;

use super::server::{Handler, Limits};
use crate::budget::Charge;
use crate::dispatch::{RequestContext, Response};

/// Produce requests of one connection that may be under way at once.
const MAX_PIPELINED: usize = 32;
/// Fetch requests of one connection that may be under way at once: one that waits for records, and the next one of
/// its session, which ends that wait. A follower need not sit out a wait to ask for a partition that is new to it.
const MAX_PIPELINED_FETCHES: usize = 2;
/// A peer that stops in the middle of a request holds memory for nothing.
const STALLED: Duration = Duration::from_secs(30);
/// Longest single write attempt without any progress.
const WRITE_STALLED: Duration = Duration::from_secs(60);
/// What one `sendfile` may move before others get their turn.
const SENDFILE_BYTES: usize = 1 << 20;

/// Where a connection came from.
pub struct Origin {
    pub listener: Arc<str>,
    pub scope: Scope,
    pub peer: SocketAddr,
    pub node_id: i32,
}

/// Why a connection was closed from this side; a peer that closes orderly is no such reason.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    #[error("Invalid receive (size = {0})")]
    NegativeSize(i32),
    #[error("Invalid receive (size = {size_bytes} larger than {max_bytes})")]
    Oversize { size_bytes: usize, max_bytes: usize },
    #[error("Unknown API key {0}")]
    UnknownApi(i16),
    #[error("Received request api key {name} which is not enabled on this listener")]
    NotHere { name: &'static str },
    #[error("Received request for api with key {key} ({name}) and unsupported version {version}")]
    UnknownVersion { key: i16, name: &'static str, version: i16 },
    #[error("Error parsing request header: {0}")]
    Header(String),
    #[error("{0}")]
    Handler(String),
    #[error("the peer ended in the middle of a request")]
    Truncated,
    #[error("no progress for {0:?} in the middle of a {1}")]
    Stalled(Duration, &'static str),
    #[error("{0}")]
    Io(#[from] io::Error),
}

struct Answer {
    context: RequestContext,
    response: Response,
}

/// A request taken off the wire.
struct Request {
    context: RequestContext,
    body: Bytes,
}

/// Serves a connection until either side ends it.
pub async fn run(
    mut stream: TcpStream,
    origin: Origin,
    limits: &Limits,
    handler: &dyn Handler,
    mut stop: watch::Receiver<bool>,
) -> Result<(), Ended> {
    stream.set_nodelay(true)?;
    let (read, mut write) = stream.split();
    let mut frames = Frames { read, buffer: BytesMut::new(), expected: None, charge: None };
    let mut answers: FuturesOrdered<_> = FuturesOrdered::new();
    // A request that must wait until all before it are answered.
    let mut next: Option<Request> = None;
    let mut fetches = 0;
    let idle = Duration::from_millis(u64::try_from(limits.idle_ms).unwrap_or(u64::MAX >> 20));
    let mut last_used = Instant::now();
    loop {
        let may_begin = |r: &mut Request| may_begin(r.context.api_key, answers.len(), fetches);
        if let Some(request) = next.take_if(may_begin) {
            let Request { context, body } = request;
            fetches += usize::from(is_fetch(context.api_key));
            let served = handler.handle(context.clone(), body);
            answers.push_back(async move { Answer { context, response: served.await } });
            continue;
        }
        let may_read = next.is_none() && answers.len() < MAX_PIPELINED;
        tokio::select! {
            biased;
            Some(answer) = answers.next(), if !answers.is_empty() => {
                fetches -= usize::from(is_fetch(answer.context.api_key));
                send(&mut write, answer).await?;
                last_used = Instant::now();
            }
            frame = frames.next(limits), if may_read => {
                let Some((frame, charge)) = frame? else { return Ok(()) };
                next = Some(parse(&origin, handler.extras(), frame, charge)?);
                last_used = Instant::now();
            }
            () = stopped(&mut stop), if answers.is_empty() => return Ok(()),
            () = tokio::time::sleep_until(last_used + idle), if answers.is_empty() => return Ok(()),
        }
    }
}

fn is_fetch(api_key: i16) -> bool {
    api_key == ApiKey::Fetch as i16
}

/// Whether a request may begin while others of its connection are under way. A Fetch overtakes no other kind of
/// request: it may be meant to see what that did.
fn may_begin(api_key: i16, under_way: usize, fetches: usize) -> bool {
    under_way == 0
        || api_key == ApiKey::Produce as i16
        || (is_fetch(api_key) && fetches == under_way && fetches < MAX_PIPELINED_FETCHES)
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the server itself is gone, which is as good as its word.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// The header of a request, checked against what this listener serves.
fn parse(origin: &Origin, extras: Extras, frame: Bytes, charge: Charge) -> Result<Request, Ended> {
    let mut body = frame;
    let mut start = body.get(..4).ok_or_else(|| Ended::Header("fewer than 4 bytes".to_owned()))?;
    let (api_key, api_version) = (start.get_i16(), start.get_i16());
    let row = api::find(api_key).ok_or(Ended::UnknownApi(api_key))?;
    if extras.max_version(origin.scope, row).is_none() {
        return Err(Ended::NotHere { name: row.name });
    }
    if !extras.is_enabled(origin.scope, row, api_version) {
        return Err(Ended::UnknownVersion { key: api_key, name: row.name, version: api_version });
    }
    let header = decode_request_header(&mut body).map_err(|e| Ended::Header(e.to_string()))?;
    let context = RequestContext {
        listener: origin.listener.clone(),
        scope: origin.scope,
        api_key,
        api_version,
        correlation_id: header.correlation_id,
        client_id: Some(header.client_id).filter(|id| !id.is_empty()),
        peer: origin.peer,
        charge,
    };
    Ok(Request { context, body })
}

/// Frames as they arrive. `next` may be dropped at any await and called again.
struct Frames<'a> {
    read: ReadHalf<'a>,
    buffer: BytesMut,
    expected: Option<usize>,
    charge: Option<Charge>,
}

impl Frames<'_> {
    /// The next whole frame; none when the peer has closed between two.
    async fn next(&mut self, limits: &Limits) -> Result<Option<(Bytes, Charge)>, Ended> {
        let length = match self.expected {
            Some(length) => length,
            None => match self.length(limits).await? {
                Some(length) => length,
                None => return Ok(None),
            },
        };
        if self.charge.is_none() {
            let charge = Charge::of(&limits.budget);
            charge.wait_for(length).await;
            self.charge = Some(charge);
        }
        while self.buffer.len() < length {
            self.buffer.reserve(length - self.buffer.len());
            match tokio::time::timeout(STALLED, self.read.read_buf(&mut self.buffer)).await {
                Ok(Ok(0)) => return Err(Ended::Truncated),
                Ok(read) => drop(read?),
                Err(_) => return Err(Ended::Stalled(STALLED, "request")),
            }
        }
        self.expected = None;
        let frame = self.buffer.split_to(length).freeze();
        if self.buffer.is_empty() {
            // An idle connection keeps no memory.
            self.buffer = BytesMut::new();
        }
        Ok(Some((frame, self.charge.take().unwrap_or_default())))
    }

    async fn length(&mut self, limits: &Limits) -> Result<Option<usize>, Ended> {
        while self.buffer.len() < 4 {
            if self.buffer.is_empty() {
                // No memory before there is something to read.
                self.read.readable().await?;
            }
            self.buffer.reserve(4096);
            let read = match self.read.read_buf(&mut self.buffer).await {
                // A reset instead of an orderly close is how many clients go away.
                Err(e) if self.buffer.is_empty() && e.kind() == io::ErrorKind::ConnectionReset => 0,
                read => read?,
            };
            if read == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(Ended::Truncated) };
            }
        }
        let size = self.buffer.get_i32();
        let size_bytes = usize::try_from(size).map_err(|_| Ended::NegativeSize(size))?;
        if size_bytes > limits.request_max_bytes {
            return Err(Ended::Oversize { size_bytes, max_bytes: limits.request_max_bytes });
        }
        self.expected = Some(size_bytes);
        Ok(Some(size_bytes))
    }
}

async fn send(write: &mut WriteHalf<'_>, answer: Answer) -> Result<(), Ended> {
    let segments = match answer.response {
        Response::Body(segments) => segments,
        Response::None => return Ok(()),
        Response::Close(why) => return Err(Ended::Handler(why)),
    };
    let head = reply_head(&answer.context, segment::total_bytes(&segments))?;
    let mut pending: Vec<Bytes> = vec![head];
    for segment in segments {
        match segment {
            Segment::Bytes(bytes) => pending.push(bytes),
            Segment::File { file, offset, len } => {
                write_all(write, &mut pending).await?;
                send_file(write, &file, offset, len).await?;
            }
        }
    }
    write_all(write, &mut pending).await
}

/// Length and header of a reply.
fn reply_head(context: &RequestContext, body_bytes: usize) -> Result<Bytes, Ended> {
    let unencodable = |what: String| Ended::Handler(format!("reply header: {what}"));
    let version =
        api::find(context.api_key).map_or(0, |row| row.response_header_version(context.api_version));
    let mut head = BytesMut::zeroed(4);
    ResponseHeader::default()
        .with_correlation_id(context.correlation_id)
        .encode(&mut head, version)
        .map_err(|e| unencodable(e.to_string()))?;
    let length = i32::try_from(head.len() - 4 + body_bytes).map_err(|e| unencodable(e.to_string()))?;
    head[..4].copy_from_slice(&length.to_be_bytes());
    Ok(head.freeze())
}

async fn write_all(write: &mut WriteHalf<'_>, pieces: &mut Vec<Bytes>) -> Result<(), Ended> {
    let mut first = 0;
    while first < pieces.len() {
        let slices: Vec<io::IoSlice<'_>> =
            pieces[first..].iter().take(64).map(|piece| io::IoSlice::new(piece)).collect();
        let attempt = tokio::time::timeout(WRITE_STALLED, write.write_vectored(&slices)).await;
        let mut written = attempt.map_err(|_| Ended::Stalled(WRITE_STALLED, "reply"))??;
        if written == 0 && slices.iter().any(|s| !s.is_empty()) {
            return Err(io::Error::from(io::ErrorKind::WriteZero).into());
        }
        while first < pieces.len() && written >= pieces[first].len() {
            written -= pieces[first].len();
            first += 1;
        }
        if written > 0 {
            pieces[first].advance(written);
        }
    }
    pieces.clear();
    Ok(())
}

/// Bytes of a file that never pass through this process.
async fn send_file(
    write: &mut WriteHalf<'_>,
    file: &std::fs::File,
    mut offset: u64,
    len: usize,
) -> Result<(), Ended> {
    let end = offset + len as u64;
    while offset < end {
        let wanted = usize::try_from(end - offset).unwrap_or(SENDFILE_BYTES).min(SENDFILE_BYTES);
        let ready = tokio::time::timeout(WRITE_STALLED, write.writable()).await;
        ready.map_err(|_| Ended::Stalled(WRITE_STALLED, "reply"))??;
        let socket: &TcpStream = write.as_ref();
        let sent = socket.try_io(Interest::WRITABLE, || {
            Ok(rustix::fs::sendfile(socket.as_fd(), file, Some(&mut offset), wanted)?)
        });
        match sent {
            Ok(0) => return Err(Ended::Handler("a log file is shorter than its reply".to_owned())),
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}
