//! Server and client against each other and against peers that misbehave, over real sockets on loopback.

use jackdaw_settings::HostPort;
use std::fs::File;
use std::io::Write as _;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::future::BoxFuture;
use jackdaw_wire::api;
use jackdaw_wire::messages::api_versions_response::ApiVersion;
use jackdaw_wire::messages::{
    ApiVersionsRequest, ApiVersionsResponse, DescribeClusterRequest, DescribeClusterResponse, FetchRequest,
    ProduceRequest,
};
use jackdaw_wire::protocol::{Request, StrBytes};
use jackdaw_wire::segment::Segment;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::pace::{Patience, Speed};
use super::*;
use crate::config::{Config, Listener};
use crate::dispatch::{RequestContext, Response, Scope};

const SOON: Duration = Duration::from_secs(10);

/// Answers ApiVersions and DescribeCluster; Produce in version 9 and Fetch in version 12 wait for `release`, which their
/// other versions give.
#[derive(Default)]
struct Fake {
    release: std::sync::Arc<Notify>,
}

impl Handler for Fake {
    fn handle(&self, context: RequestContext, body: Bytes) -> BoxFuture<'static, Response> {
        let release = self.release.clone();
        Box::pin(async move {
            match context.api_key {
                ApiVersionsRequest::KEY => {
                    let keys = api::advertised(Scope::Broker).map(|row| {
                        ApiVersion::default()
                            .with_api_key(row.key as i16)
                            .with_min_version(row.min_version)
                            .with_max_version(row.max_version)
                    });
                    Response::encode(&context, &ApiVersionsResponse::default().with_api_keys(keys.collect()))
                }
                DescribeClusterRequest::KEY => {
                    let id = StrBytes::from_string(body.len().to_string());
                    Response::encode(&context, &DescribeClusterResponse::default().with_cluster_id(id))
                }
                ProduceRequest::KEY if context.api_version == 9 => {
                    release.notified().await;
                    Response::Body(vec![Segment::Bytes(Bytes::from_static(b"slow"))])
                }
                ProduceRequest::KEY => {
                    release.notify_one();
                    Response::Body(vec![Segment::Bytes(Bytes::from_static(b"fast"))])
                }
                FetchRequest::KEY if context.api_version == 12 => {
                    release.notified().await;
                    Response::Body(vec![Segment::Bytes(Bytes::from_static(b"waited"))])
                }
                FetchRequest::KEY => {
                    release.notify_one();
                    Response::Body(vec![Segment::Bytes(Bytes::from_static(b"newer"))])
                }
                _ => Response::Close("not for this test".to_owned()),
            }
        })
    }
}

async fn start(settings: &str) -> (Server, HostPort) {
    start_with(settings, std::sync::Arc::new(Fake::default())).await
}

async fn start_with(settings: &str, handler: std::sync::Arc<dyn Handler>) -> (Server, HostPort) {
    start_patient(settings, handler, Patience::default()).await
}

async fn start_patient(
    settings: &str,
    handler: std::sync::Arc<dyn Handler>,
    patience: Patience,
) -> (Server, HostPort) {
    let text = format!(
        "process.roles=broker\nnode.id=1\ncontroller.quorum.voters=2@k:1\ncontroller.listener.names=C\n\
         listeners=PLAINTEXT://127.0.0.1:0\n{settings}"
    );
    let (config, _) = Config::parse("s", text.as_bytes(), &[]).unwrap();
    let mut limits = Limits::new(&config.network);
    std::sync::Arc::get_mut(&mut limits).unwrap().patience = patience;
    let listener = Listener { port: 0, ..config.listeners[0].clone() };
    let bound =
        server::bind(&listener, Scope::Broker, Traffic::Clients, &Resolver::system(), &limits).await.unwrap();
    let address = HostPort::new(bound.address.ip().to_string(), bound.address.port());
    let server = Server::new(1, limits, tokio::runtime::Handle::current());
    server.serve(bound, handler);
    (server, address)
}

fn client(address: &HostPort) -> NodeClient {
    NodeClient::new(address.clone(), std::sync::Arc::new(Resolver::system()), "test")
}

async fn raw(address: &HostPort) -> TcpStream {
    TcpStream::connect((address.host.as_str(), address.port)).await.unwrap()
}

async fn read_to_end(mut stream: TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    // A reset is an end as well: the server had unread bytes of ours.
    let _ = tokio::time::timeout(SOON, stream.read_to_end(&mut all)).await.unwrap();
    all
}

/// A Produce or a Fetch of nothing, in the versions that these tests use; bytes behind a request are nobody's business.
fn nothing(key: i16, is_flexible: bool) -> Vec<u8> {
    match (key, is_flexible) {
        (ProduceRequest::KEY, true) => [&[0; 7][..], &[1, 0]].concat(),
        (FetchRequest::KEY, true) => [&[0; 25][..], &[1, 1, 1, 0]].concat(),
        _ => vec![0; 40],
    }
}

fn frame(key: i16, version: i16, correlation: i32, flexible: bool, body: &[u8]) -> Bytes {
    let mut header = BytesMut::new();
    header.put_i16(key);
    header.put_i16(version);
    header.put_i32(correlation);
    header.put_i16(-1);
    if flexible {
        header.put_u8(0);
    }
    header.put_slice(body);
    let mut frame = BytesMut::new();
    frame.put_u32(u32::try_from(header.len()).unwrap());
    frame.put_slice(&header);
    frame.freeze()
}

#[tokio::test]
async fn requests_are_pipelined_and_answered_in_order() {
    let (_server, address) = start("").await;
    let client = client(&address);
    let request = DescribeClusterRequest::default();
    let one = client.request(1, &request, SOON);
    let two = client.request(0, &request, SOON);
    let (one, two) = tokio::join!(one, two);
    // Version 1 has one byte more than version 0, which the fake shows as the cluster's id.
    assert_eq!((&*one.unwrap().cluster_id, &*two.unwrap().cluster_id), ("3", "2"));
    assert_eq!(*client.link().borrow(), Link::Connected);
    assert_eq!(client.served_versions(3, SOON).await.unwrap(), Some((0, 12)));
}

#[tokio::test]
async fn a_fast_produce_does_not_overtake_a_slow_one() {
    let (_server, address) = start("").await;
    let mut stream = raw(&address).await;
    stream.write_all(&frame(0, 9, 1, true, &nothing(0, true))).await.unwrap();
    // Only the second request releases the first, so both must be under way at once.
    stream.write_all(&frame(0, 8, 2, false, &nothing(0, false))).await.unwrap();
    let mut replies = [0; 8 + 1 + 4 + 8 + 4];
    tokio::time::timeout(SOON, stream.read_exact(&mut replies)).await.unwrap().unwrap();
    assert_eq!(&replies, b"\0\0\0\x09\0\0\0\x01\0slow\0\0\0\x08\0\0\0\x02fast");
}

/// A follower asks for a partition that is new to it while its fetch before that still waits.
#[tokio::test]
async fn a_fetch_begins_while_the_one_before_it_waits() {
    let (_server, address) = start("").await;
    let mut stream = raw(&address).await;
    stream.write_all(&frame(1, 12, 1, true, &nothing(1, true))).await.unwrap();
    stream.write_all(&frame(1, 11, 2, false, &nothing(1, false))).await.unwrap();
    let mut replies = [0; 8 + 1 + 6 + 8 + 5];
    tokio::time::timeout(SOON, stream.read_exact(&mut replies)).await.unwrap().unwrap();
    assert_eq!(&replies, b"\0\0\0\x0b\0\0\0\x01\0waited\0\0\0\x09\0\0\0\x02newer");
}

#[tokio::test]
async fn whatever_is_wrong_with_a_connection_ends_it_and_nothing_else() {
    let (_server, address) = start("socket.request.max.bytes=1000\n").await;
    let cases: [(&str, Bytes); 7] = [
        ("garbage", Bytes::from_static(b"GET / HTTP/1.1\r\n\r\n")),
        ("oversize", Bytes::from_static(&[0, 0, 4, 0, 0, 18])),
        ("negative size", Bytes::from_static(&[0xff, 0xff, 0xff, 0xff])),
        ("empty", Bytes::from_static(&[0, 0, 0, 0])),
        ("unknown API", frame(1234, 0, 1, false, b"")),
        ("unknown version", frame(3, 99, 1, false, b"")),
        ("API of controllers", frame(52, 0, 1, true, b"")),
    ];
    for (what, bytes) in cases {
        let mut stream = raw(&address).await;
        stream.write_all(&bytes).await.unwrap();
        assert_eq!(read_to_end(stream).await, b"", "{what}");
    }
    let mut truncated = raw(&address).await;
    truncated.write_all(&frame(18, 0, 1, false, b"")[..9]).await.unwrap();
    truncated.shutdown().await.unwrap();
    assert_eq!(read_to_end(truncated).await, b"");
    client(&address).request(0, &DescribeClusterRequest::default(), SOON).await.unwrap();
}

#[tokio::test]
async fn the_link_tells_a_closed_peer_from_a_refusing_one() {
    let (server, address) = start("").await;
    let client = client(&address);
    let mut link = client.link();
    assert_eq!(*link.borrow(), Link::Idle);
    client.connect(SOON).await.unwrap();
    server.close(SOON).await;
    tokio::time::timeout(SOON, link.wait_for(|l| *l == Link::Closed)).await.unwrap().unwrap();
    assert!(matches!(client.connect(SOON).await, Err(ClientError::Connect { .. })));
    assert_eq!(*link.borrow(), Link::Refused);
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_time() {
    let (_server, address) = start("connections.max.idle.ms=150\n").await;
    assert_eq!(read_to_end(raw(&address).await).await, b"");
}

/// Sends a file between two pieces of memory.
struct FromFile(std::sync::Arc<File>);

impl Handler for FromFile {
    fn handle(&self, _: RequestContext, _: Bytes) -> BoxFuture<'static, Response> {
        let pieces = vec![
            Segment::Bytes(Bytes::from_static(b"<")),
            Segment::File { file: self.0.clone(), offset: 3, len: 3_000_000 },
            Segment::Bytes(Bytes::from_static(b">")),
        ];
        Box::pin(std::future::ready(Response::Body(pieces)))
    }
}

#[tokio::test]
async fn file_segments_arrive_whole_and_in_place() {
    let mut file = tempfile::tempfile().unwrap();
    let content: Vec<u8> = (0..4_000_000_u32).map(|i| (i % 251) as u8).collect();
    file.write_all(&content).unwrap();
    let (_server, address) = start_with("", std::sync::Arc::new(FromFile(std::sync::Arc::new(file)))).await;
    let mut stream = raw(&address).await;
    stream.write_all(&frame(3, 0, 7, false, &[0; 4])).await.unwrap();
    let mut head = [0; 8];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(u32::from_be_bytes(head[..4].try_into().unwrap()), 4 + 3_000_002);
    let mut body = vec![0; 3_000_002];
    tokio::time::timeout(SOON, stream.read_exact(&mut body)).await.unwrap().unwrap();
    assert_eq!((body[0], body[3_000_001]), (b'<', b'>'));
    assert!(body[1..=3_000_000] == content[3..3_000_003]);
}

/// A request of API 60 with that many bytes behind its header.
fn describe(correlation: i32, body_bytes: usize) -> Bytes {
    frame(60, 0, correlation, true, &vec![0; body_bytes])
}

async fn answered(stream: &mut TcpStream) {
    let mut length = [0; 4];
    tokio::time::timeout(SOON, stream.read_exact(&mut length)).await.expect("no answer").unwrap();
    let mut rest = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut rest).await.unwrap();
}

/// Eight bytes may claim a hundred megabytes; what was claimed and never sent stands in nobody's way.
#[tokio::test]
async fn claimed_lengths_cost_nothing() {
    let (_server, address) = start("").await;
    let mut claimers = Vec::new();
    for _ in 0..100 {
        let mut stream = raw(&address).await;
        stream.write_all(&[6, 0x3f, 0, 0, 0, 60, 0, 0]).await.unwrap();
        claimers.push(stream);
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut stream = raw(&address).await;
    stream.write_all(&describe(1, 1_000_000)).await.unwrap();
    answered(&mut stream).await;
}

/// More halves than the budget has room for, and then their other halves: all are answered.
#[tokio::test]
async fn requests_whose_halves_fill_the_budget_all_complete() {
    let (_server, address) =
        start("socket.request.max.bytes=150000\nqueued.max.request.bytes=150000\n").await;
    let request = describe(1, 120_000);
    // So much that sockets hold it whether it is read or not.
    let (first, second) = request.split_at(60_000);
    let mut streams = Vec::new();
    for _ in 0..20 {
        streams.push(raw(&address).await);
    }
    let halves = streams.iter_mut().map(|stream| stream.write_all(first));
    futures_util::future::join_all(halves).await;
    let rest = streams.iter_mut().map(|stream| async {
        stream.write_all(second).await.unwrap();
        answered(stream).await;
    });
    futures_util::future::join_all(rest).await;
}

/// The default, but for one measure, at fifty times its speed.
fn patience(change: impl FnOnce(&mut Patience)) -> Patience {
    let mut patience = Patience { tick: Duration::from_millis(5), ..Patience::default() };
    change(&mut patience);
    patience
}

const NEVER: Speed = Speed { quiet_ticks: u32::MAX, grace_ticks: u32::MAX, bytes_per_tick: 0 };

#[tokio::test]
async fn a_request_that_comes_too_slowly_is_ended() {
    let handler = std::sync::Arc::new(Fake::default());
    let (_server, address) = start_patient("", handler, patience(|_| {})).await;
    let request = describe(1, 100_000);
    for (what, sent, dripped) in [
        ("half a length", 2, 0),
        ("half a request", 50_000, 0),
        ("a byte now and then", 4, 1_000),
        ("a byte now and then of a length", 1, 1),
    ] {
        let mut stream = raw(&address).await;
        stream.write_all(&request[..sent]).await.unwrap();
        let (mut read, mut write) = stream.split();
        let dripping = async {
            for byte in &request[sent..sent + dripped] {
                tokio::time::sleep(Duration::from_millis(15)).await;
                if write.write_all(&[*byte]).await.is_err() {
                    break;
                }
            }
            std::future::pending::<()>().await;
        };
        let mut end = Vec::new();
        tokio::select! {
            ended = tokio::time::timeout(SOON, read.read_to_end(&mut end)) => drop(ended.expect(what)),
            () = dripping => {}
        }
        assert_eq!(end, b"", "{what}");
    }
    // An idle connection is no request that comes slowly.
    let mut idle = raw(&address).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    idle.write_all(&describe(1, 10)).await.unwrap();
    answered(&mut idle).await;
}

/// Halves that never become whole hold the budget only until somebody else needs it.
#[tokio::test]
async fn halves_held_open_give_way_to_those_who_wait() {
    let patience = patience(|patience| patience.request = NEVER);
    let settings = "socket.request.max.bytes=1000000\nqueued.max.request.bytes=1000000\n";
    let (server, address) = start_patient(settings, std::sync::Arc::new(Fake::default()), patience).await;
    let memory = server.limits().memories.of(Traffic::Clients, 60);
    let request = describe(1, 120_000);
    let mut held = Vec::new();
    for _ in 0..50 {
        let mut stream = raw(&address).await;
        stream.write_all(&request[..60_000]).await.unwrap();
        held.push(stream);
    }
    while memory.requests.held_bytes() < 900_000 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // A small request is answered meanwhile, and does not even make those give way.
    let began = std::time::Instant::now();
    let mut small = raw(&address).await;
    small.write_all(&describe(1, 10_000)).await.unwrap();
    answered(&mut small).await;
    eprintln!("a small request: {:?}", began.elapsed());
    let mut large = raw(&address).await;
    large.write_all(&request).await.unwrap();
    answered(&mut large).await;
    eprintln!("a large request: {:?}", began.elapsed());
    drop(held);
    let given_back = async {
        while memory.requests.held_bytes() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, given_back).await.unwrap();
}

/// Answers with ten megabytes.
struct Large;

impl Handler for Large {
    fn handle(&self, _: RequestContext, _: Bytes) -> BoxFuture<'static, Response> {
        Box::pin(std::future::ready(Response::from(Bytes::from(vec![0; 10_000_000]))))
    }
}

/// Replies that nobody reads are made only up to a bound; whoever does not read gives way to those who do.
#[tokio::test]
async fn replies_that_nobody_reads_are_bounded_and_given_up() {
    let patience = patience(|patience| patience.reply = NEVER);
    let (server, address) = start_patient("", std::sync::Arc::new(Large), patience).await;
    let memory = server.limits().memories.of(Traffic::Clients, 60);
    let mut unread = Vec::new();
    for _ in 0..20 {
        let mut stream = raw(&address).await;
        stream.write_all(&describe(1, 2)).await.unwrap();
        unread.push(stream);
    }
    let mut reader = raw(&address).await;
    reader.write_all(&describe(1, 2)).await.unwrap();
    let mut peak = 0;
    let mut watch = async || loop {
        peak = memory.replies.held_bytes().max(peak);
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    tokio::select! {
        () = answered(&mut reader) => {}
        () = watch() => {}
    }
    assert!(peak <= memory.replies.total_bytes() + 20_000_000, "{peak}");
}

/// Keeps the body of Produce 8, and answers when it is told to; its other versions let go of it at once.
#[derive(Default)]
struct Holds {
    answer: std::sync::Arc<Notify>,
}

impl Handler for Holds {
    fn handle(&self, context: RequestContext, body: Bytes) -> BoxFuture<'static, Response> {
        let answer = self.answer.clone();
        let held = (context.api_version == 8).then_some(body);
        Box::pin(async move {
            answer.notified().await;
            drop((held, context));
            Response::from(Bytes::new())
        })
    }
}

#[tokio::test]
async fn what_nobody_holds_any_more_is_given_back_before_the_reply() {
    let handler = std::sync::Arc::new(Holds::default());
    let answer = handler.answer.clone();
    let (server, address) = start_with("", handler).await;
    let memory = server.limits().memories.of(Traffic::Clients, 0);
    for (version, flexible, stays) in [(8, false, true), (9, true, false)] {
        let mut stream = raw(&address).await;
        let body = [nothing(0, flexible), vec![0; 1_000_000]].concat();
        stream.write_all(&frame(0, version, 1, flexible, &body)).await.unwrap();
        let is_held = |held: usize| if stays { held > 1_000_000 } else { held > 0 && held < 1_000 };
        let held = async {
            while !is_held(memory.requests.held_bytes()) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(SOON, held).await.expect("version {version}");
        answer.notify_one();
        answered(&mut stream).await;
        assert_eq!(memory.requests.held_bytes(), 0);
    }
}

/// A few megabytes of names become half a gigabyte of values: nobody decodes them.
#[tokio::test]
async fn a_request_that_would_take_more_than_there_is_to_be_worked_on_is_refused() {
    let (_server, address) = start("").await;
    let topics = |count: u32| {
        let mut body = BytesMut::new();
        body.put_u32(count);
        (0..count).for_each(|_| body.put_slice(&[0, 1, b't']));
        frame(3, 0, 1, false, &body)
    };
    let mut large = raw(&address).await;
    large.write_all(&topics(1_000_000)).await.unwrap();
    assert_eq!(read_to_end(large).await, b"");
    let (_server, address) = start_with("", std::sync::Arc::new(Large)).await;
    let mut small = raw(&address).await;
    small.write_all(&topics(100_000)).await.unwrap();
    answered(&mut small).await;
}
