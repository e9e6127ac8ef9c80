//! One accepted connection: its frames, its replies, its end.
//!
//! Must not know what a request means beyond its header, and must not hold more of a peer's bytes than the budget of
//! its listener grants.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;
use jackdaw_wire::api::{self, Extras, Scope};
use jackdaw_wire::frame::{FrameError, decode_request_header};
use jackdaw_wire::keep;
use jackdaw_wire::messages::{ApiKey, ResponseHeader};
use jackdaw_wire::protocol::{Encodable, StrBytes};
use jackdaw_wire::segment::{self, Segment};
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::net::tcp::WriteHalf;
use tokio::sync::watch;

use super::frames::{Frame, Frames};
use super::memory::{FREE_BYTES, FREE_WORK_BYTES, Traffic};
use super::pace::{Pace, Patience, TooSlow};
use super::quotas::Place;
use super::server::{Handler, Limits};
use super::work;
use crate::budget::Charge;
use crate::clock;
use crate::dispatch::{self, RequestContext, Response};

/// Produce requests of one connection that may be under way at once.
const MAX_PIPELINED: usize = 32;
/// Fetch requests of one connection that may be under way at once: one that waits for records, and the next one of
/// its session, which ends that wait. A follower need not sit out a wait to ask for a partition that is new to it.
const MAX_PIPELINED_FETCHES: usize = 2;
/// A request that goes beyond its budget keeps others from that for so long at most while it is served: it may wait for
/// others itself, such as the first member of a group for the next.
const TURN_IN_SERVICE: Duration = Duration::from_secs(5);
/// Longest single attempt to send a piece of a file without any progress. It holds no memory.
const FILE_STALLED: Duration = Duration::from_secs(60);
/// What one `sendfile` may move before others get their turn.
const SENDFILE_BYTES: usize = 1 << 20;

/// Where a connection came from.
pub struct Origin {
    pub listener: Arc<str>,
    pub scope: Scope,
    pub traffic: Traffic,
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
    #[error("max.connections are open, and another broker needs a place")]
    Evicted,
    #[error("{0}")]
    Handler(String),
    #[error("the peer ended in the middle of a request")]
    Truncated,
    #[error("{}", too_slow(what, slow, *is_pressed))]
    Slow { what: &'static str, slow: TooSlow, is_pressed: bool },
    #[error(
        "Invalid receive (a {name} of {request_bytes} bytes would take {work_bytes} bytes of memory, and \
         {total_bytes} are there for all)"
    )]
    TooMuchWork { name: &'static str, request_bytes: usize, work_bytes: usize, total_bytes: usize },
    #[error("no progress for {} ms in the middle of a file", .0.as_millis())]
    FileStalled(Duration),
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl Ended {
    fn unreadable(context: &RequestContext, why: &FrameError) -> Self {
        Self::Handler(dispatch::unreadable(context, why))
    }
}

fn too_slow(what: &str, slow: &TooSlow, is_pressed: bool) -> String {
    let (moved_bytes, waited) = (slow.moved_bytes, slow.waited);
    let why = if is_pressed { ", and others wait for the memory that it holds" } else { "" };
    format!("{moved_bytes} bytes of a {what} in {} ms are too few{why}", waited.as_millis())
}

struct Answer {
    context: RequestContext,
    response: Response,
    reply: Charge,
}

/// A request taken off the wire.
struct Request {
    context: RequestContext,
    body: Bytes,
    /// What working on it takes beside its bytes.
    work_bytes: usize,
    /// What its reply will hold.
    reply: Charge,
    is_alone: bool,
    admission: Admission,
}

/// How far a request has got on its way to its handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Admission {
    Read,
    /// It holds what working on it takes.
    Charged,
    /// Its reply may be made as well.
    Admitted,
}

impl Request {
    /// Whether there is memory for its answer, without a wait.
    fn try_admit(&mut self) -> bool {
        if self.admission == Admission::Read {
            let charge = &self.context.charge;
            let is_little = self.is_alone && self.work_bytes <= FREE_WORK_BYTES;
            if charge.try_add(self.work_bytes) || (is_little && charge.try_add_free(self.work_bytes)) {
                self.admission = Admission::Charged;
            }
        }
        if self.admission == Admission::Charged && self.reply.try_add(0) {
            self.admission = Admission::Admitted;
        }
        self.admission == Admission::Admitted
    }

    /// Resolves when there is. May be dropped and called again.
    async fn admit(&mut self) {
        if self.admission == Admission::Read {
            self.context.charge.wait_for(self.work_bytes).await;
            self.admission = Admission::Charged;
        }
        self.reply.wait_for(0).await;
        self.admission = Admission::Admitted;
    }
}

/// Serves a connection until either side ends it.
pub async fn run(
    mut stream: TcpStream,
    origin: Origin,
    limits: &Limits,
    handler: &dyn Handler,
    place: &Place,
    mut stop: watch::Receiver<bool>,
) -> Result<(), Ended> {
    stream.set_nodelay(true)?;
    let (read, mut write) = stream.split();
    let mut frames = Frames::new(read, limits, origin.traffic);
    let mut answers: FuturesOrdered<_> = FuturesOrdered::new();
    // A request that must wait until all before it are answered, or until there is memory for its answer.
    let mut next: Option<Request> = None;
    let mut fetches = 0;
    let mut last_client_id = StrBytes::default();
    let idle = Duration::from_millis(u64::try_from(limits.idle_ms).unwrap_or(u64::MAX >> 20));
    let mut last_used = clock::timer();
    loop {
        let under_way = answers.len();
        let is_next = |r: &Request| may_begin(r.context.api_key, under_way, fetches);
        if let Some(request) = next.take_if(|request| is_next(request) && request.try_admit()) {
            let Request { context, body, reply, .. } = request;
            fetches += usize::from(is_fetch(context.api_key));
            let served = handler.handle(context.clone(), body);
            answers.push_back(answer(context, served, reply));
            continue;
        }
        let may_read = next.is_none() && under_way < MAX_PIPELINED;
        let admitted = next.as_mut().filter(|request| is_next(request)).map(Request::admit);
        tokio::select! {
            biased;
            Some(answer) = answers.next(), if under_way > 0 => {
                fetches -= usize::from(is_fetch(answer.context.api_key));
                send(&mut write, answer, &limits.patience).await?;
                last_used = clock::timer();
                place.touch();
            }
            () = async move { match admitted { Some(admitted) => admitted.await, None => pending().await } } => {}
            frame = frames.next(under_way == 0), if may_read => {
                let Some(frame) = frame? else { return Ok(()) };
                let request = parse(&origin, handler.extras(), frame, &mut last_client_id)?;
                next = Some(Request { is_alone: under_way == 0, ..request });
                last_used = clock::timer();
                place.touch();
            }
            () = stopped(&mut stop), if under_way == 0 => return Ok(()),
            () = tokio::time::sleep_until(last_used + idle), if under_way == 0 => return Ok(()),
        }
    }
}

/// Waits for a response. What the request held is given back before the reply is sent, which holds its own. Records
/// that were not written yet (the reply may say that this takes too long) hold on to what they take.
async fn answer(context: RequestContext, mut served: BoxFuture<'static, Response>, reply: Charge) -> Answer {
    let charge = &context.charge;
    let mut response = None;
    if charge.has_turn() {
        response = tokio::time::timeout(TURN_IN_SERVICE, &mut served).await.ok();
        charge.pass_turn();
    }
    let response = match response {
        Some(response) => response,
        None => served.await,
    };
    if context.api_key != ApiKey::Produce as i16 {
        charge.release();
    }
    if let Response::Body(segments) = &response {
        reply.add(segments.iter().map(Segment::memory_bytes).sum());
    }
    Answer { context, response, reply }
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
fn parse(
    origin: &Origin,
    extras: Extras,
    frame: Frame<'_>,
    last_client_id: &mut StrBytes,
) -> Result<Request, Ended> {
    let Frame { bytes: mut body, charge, memory } = frame;
    let request_bytes = body.len();
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
        client_id: Some(remembered(header.client_id, last_client_id)).filter(|id| !id.is_empty()),
        peer: origin.peer,
        charge,
    };
    let work_bytes =
        work::bytes_for(api_key, api_version, &body).map_err(|e| Ended::unreadable(&context, &e))?;
    let total_bytes = memory.requests.total_bytes();
    if work_bytes > total_bytes {
        return Err(Ended::TooMuchWork { name: row.name, request_bytes, work_bytes, total_bytes });
    }
    let reply = match work::may_answer_much(api_key) {
        true => Charge::of(&memory.replies, request_bytes),
        false => Charge::default(),
    };
    Ok(Request { context, body, work_bytes, reply, is_alone: false, admission: Admission::Read })
}

/// A client's name that is no slice of its request, which would stay in memory with it.
fn remembered(client_id: StrBytes, last: &mut StrBytes) -> StrBytes {
    if *last != client_id {
        *last = keep::text(&client_id);
    }
    last.clone()
}

async fn send(write: &mut WriteHalf<'_>, answer: Answer, patience: &Patience) -> Result<(), Ended> {
    let segments = match answer.response {
        Response::Body(segments) => segments,
        Response::None => return Ok(()),
        Response::Close(why) => return Err(Ended::Handler(why)),
    };
    let head = reply_head(&answer.context, segment::total_bytes(&segments))?;
    let mut sending =
        Sending { write, patience, reply: answer.reply, pace: Pace::new(patience), sent_bytes: 0 };
    let mut pending: Vec<Bytes> = vec![head];
    for segment in segments {
        match segment {
            Segment::Bytes(bytes) => pending.push(bytes),
            Segment::File { file, offset, len } => {
                sending.write_all(&mut pending).await?;
                send_file(sending.write, &file, offset, len).await?;
                sending.pace.resume(patience);
            }
        }
    }
    sending.write_all(&mut pending).await
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

/// A reply on its way out.
struct Sending<'a, 'b> {
    write: &'a mut WriteHalf<'b>,
    patience: &'a Patience,
    reply: Charge,
    pace: Pace,
    sent_bytes: usize,
}

impl Sending<'_, '_> {
    async fn write_all(&mut self, pieces: &mut Vec<Bytes>) -> Result<(), Ended> {
        let mut first = 0;
        while first < pieces.len() {
            let slices: Vec<io::IoSlice<'_>> =
                pieces[first..].iter().take(64).map(|piece| io::IoSlice::new(piece)).collect();
            let attempt = self.write.write_vectored(&slices);
            let mut written = match tokio::time::timeout_at(self.pace.next_tick(), attempt).await {
                Ok(Ok(0)) if slices.iter().any(|s| !s.is_empty()) => {
                    return Err(io::Error::from(io::ErrorKind::WriteZero).into());
                }
                Ok(written) => written?,
                Err(_) => 0,
            };
            self.sent_bytes += written;
            self.judge()?;
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

    fn judge(&mut self) -> Result<(), Ended> {
        let is_pressed = self.reply.is_pressed() && self.reply.bytes() > FREE_BYTES;
        self.pace
            .judge(self.sent_bytes, self.patience.reply, is_pressed, self.patience)
            .map_err(|slow| Ended::Slow { what: "reply", slow, is_pressed })
    }
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
        let ready = tokio::time::timeout(FILE_STALLED, write.writable()).await;
        ready.map_err(|_| Ended::FileStalled(FILE_STALLED))??;
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
