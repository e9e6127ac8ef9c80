//! How many connections there may be, over real sockets on loopback: who waits, who is closed, who gives way.

use jackdaw_settings::HostPort;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use jackdaw_wire::segment::Segment;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::config::{Config, Listener};
use crate::dispatch::{RequestContext, Response, Scope};

const SOON: Duration = Duration::from_secs(10);
/// Long enough for an answer that will come, short enough to wait for one that will not.
const A_MOMENT: Duration = Duration::from_millis(200);

/// Answers anything.
struct Echo;

impl Handler for Echo {
    fn handle(&self, _: RequestContext, body: Bytes) -> BoxFuture<'static, Response> {
        Box::pin(std::future::ready(Response::Body(vec![Segment::Bytes(body)])))
    }
}

/// A node with two listeners.
struct Node {
    server: Server,
    clients: HostPort,
    brokers: HostPort,
}

fn config(settings: &str) -> Config {
    let text = format!(
        "process.roles=broker\nnode.id=1\ncontroller.quorum.voters=2@k:1\ncontroller.listener.names=C\n\
         listeners=OUT://127.0.0.1:9091,IN://127.0.0.1:9092\ninter.broker.listener.name=IN\n\
         listener.security.protocol.map=OUT:PLAINTEXT,IN:PLAINTEXT,C:PLAINTEXT\n{settings}"
    );
    let (config, warnings) = Config::parse("s", text.as_bytes(), &[]).unwrap();
    assert_eq!(warnings, []);
    config
}

async fn start(settings: &str) -> Node {
    let config = config(settings);
    let limits = Limits::new(&config.network);
    limits.set(&config.network, &Resolver::system()).await;
    let server = Server::new(1, limits, tokio::runtime::Handle::current());
    let mut addresses = Vec::new();
    for (listener, traffic) in config.listeners.iter().zip([Traffic::Clients, Traffic::Brokers]) {
        let listener = Listener { port: 0, ..listener.clone() };
        let resolver = Resolver::system();
        let bound =
            server::bind(&listener, Scope::Broker, traffic, &resolver, server.limits()).await.unwrap();
        addresses.push(HostPort::new(bound.address.ip().to_string(), bound.address.port()));
        server.serve(bound, Arc::new(Echo));
    }
    let brokers = addresses.pop().unwrap();
    Node { server, clients: addresses.pop().unwrap(), brokers }
}

/// A connection, and whether it is served, closed, or left to wait.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Served,
    Closed,
    Waits,
}

async fn connect(address: &HostPort) -> TcpStream {
    TcpStream::connect((address.host.as_str(), address.port)).await.unwrap()
}

async fn ask(stream: &mut TcpStream, patience: Duration) -> Fate {
    /// ApiVersions 0 without a client's name.
    const REQUEST: &[u8] = &[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff];
    // A connection that was closed may refuse the request, or its reply.
    let _ = stream.write_all(REQUEST).await;
    let mut reply = [0; 8];
    match tokio::time::timeout(patience, stream.read_exact(&mut reply)).await {
        Ok(Ok(_)) => Fate::Served,
        Ok(Err(_)) => Fate::Closed,
        Err(_) => Fate::Waits,
    }
}

async fn fate(address: &HostPort) -> (TcpStream, Fate) {
    let mut stream = connect(address).await;
    let fate = ask(&mut stream, A_MOMENT).await;
    (stream, fate)
}

#[tokio::test]
async fn connections_per_address_are_counted() {
    for settings in [
        "max.connections.per.ip=1\n",
        "max.connections.per.ip=0\nmax.connections.per.ip.overrides=127.0.0.1:1\n",
        "max.connections.per.ip.overrides=localhost:1\n",
    ] {
        let node = start(settings).await;
        let (first, served) = fate(&node.clients).await;
        assert_eq!((served, fate(&node.clients).await.1), (Fate::Served, Fate::Closed), "{settings}");
        drop(first);
        let mut last = Fate::Closed;
        let began = Instant::now();
        while last != Fate::Served && began.elapsed() < SOON {
            last = fate(&node.clients).await.1;
        }
        assert_eq!(last, Fate::Served, "{settings}: a place is free again");
    }
}

/// One too many waits, accepted and unread; it is served as soon as another one leaves.
#[tokio::test]
async fn connections_beyond_the_number_of_all_or_of_a_listener_wait() {
    for settings in ["max.connections=2\n", "listener.name.out.max.connections=2\n"] {
        let node = start(settings).await;
        let (first, _second) = (fate(&node.clients).await, fate(&node.clients).await);
        let (mut third, waits) = fate(&node.clients).await;
        assert_eq!(waits, Fate::Waits, "{settings}");
        drop(first);
        assert_eq!(ask(&mut third, SOON).await, Fate::Served, "{settings}");
    }
}

#[tokio::test]
async fn a_broker_finds_a_place_when_clients_have_taken_all() {
    let node = start("max.connections=2\n").await;
    let (mut old, mut new) = (fate(&node.clients).await.0, fate(&node.clients).await.0);
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(ask(&mut old, SOON).await, Fate::Served);
    let (_broker, served) = fate(&node.brokers).await;
    assert_eq!(served, Fate::Served);
    // Who was used last stays.
    assert_eq!((ask(&mut new, SOON).await, ask(&mut old, SOON).await), (Fate::Closed, Fate::Served));
}

#[tokio::test]
async fn limits_may_change_while_connections_wait() {
    let node = start("max.connections=1\n").await;
    let _first = fate(&node.clients).await;
    let (mut second, waits) = fate(&node.clients).await;
    assert_eq!(waits, Fate::Waits);
    node.server.limits().set(&config("max.connections=2\n").network, &Resolver::system()).await;
    assert_eq!(ask(&mut second, SOON).await, Fate::Served);
}

/// Accepting pauses; nobody is refused.
#[tokio::test]
async fn new_connections_come_no_faster_than_their_rate() {
    for rate in ["max.connection.creation.rate=1", "listener.name.out.max.connection.creation.rate=1"] {
        let node = start(&format!("{rate}\nquota.window.num=2\n")).await;
        assert_eq!(fate(&node.clients).await.1, Fate::Served, "{rate}");
        let began = Instant::now();
        assert_eq!(ask(&mut connect(&node.clients).await, SOON).await, Fate::Served, "{rate}");
        assert!(began.elapsed() > Duration::from_millis(500), "{rate}: {:?}", began.elapsed());
    }
}

const CHILD: &str = "JACKDAW_TEST_WITHOUT_DESCRIPTORS";

/// Runs a test again in a process of its own, whose limits it may change.
fn in_a_process_of_its_own(test: &str) -> Option<String> {
    if std::env::var_os(CHILD).is_some() {
        return None;
    }
    let mut again = std::process::Command::new(std::env::current_exe().unwrap());
    let output = again.args([test, "--exact", "--nocapture"]).env(CHILD, "1").output().unwrap();
    let told =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    Some(told)
}

/// A limit this low leaves half of its descriptors to connections, and something else takes those.
#[test]
fn without_descriptors_connections_are_closed_one_by_one_and_served_again_afterwards() {
    let test = "net::connection_tests::without_descriptors_connections_are_closed_one_by_one_and_served_again_afterwards";
    if let Some(told) = in_a_process_of_its_own(test) {
        let lines: Vec<&str> =
            told.lines().filter(|line| line.contains("the limit is 64 file descriptors")).collect();
        assert_eq!(lines.len(), 1, "one line: {told}");
        assert!(lines[0].contains("(ulimit -n)"), "the remedy: {}", lines[0]);
        return;
    }
    crate::logging::init(None);
    let limit = rustix::process::Rlimit { current: Some(64), maximum: Some(64) };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let node = start("").await;
        // One connection is made while there are descriptors at both ends, and waits in the backlog.
        let mut waiting: Vec<TcpStream> = Vec::new();
        waiting.push(connect(&node.clients).await);
        let mut taken = Vec::new();
        while let Ok(file) = std::fs::File::open("/dev/null") {
            taken.push(file);
        }
        assert_eq!(ask(&mut waiting[0], SOON).await, Fate::Closed);
        taken.clear();
        assert_eq!(ask(&mut connect(&node.clients).await, SOON).await, Fate::Served);
    });
}

#[tokio::test]
async fn clients_leave_descriptors_for_everything_else() {
    let network = config("").network;
    let quotas = quotas::Quotas::new(&network, 2);
    let door = |traffic| quotas::Door { listener: Arc::from("OUT"), scope: Scope::Broker, traffic };
    let (clients, brokers) = (door(Traffic::Clients), door(Traffic::Brokers));
    let ip = "127.0.0.1".parse().unwrap();
    let (first, second) =
        (quotas.enter(&clients, ip).await.unwrap(), quotas.enter(&clients, ip).await.unwrap());
    assert_eq!(quotas.enter(&clients, ip).await.unwrap_err(), quotas::Refused::Descriptors(2));
    // A broker has its place, and a client gives way.
    let broker = quotas.enter(&brokers, ip).await.unwrap();
    tokio::time::timeout(SOON, async {
        tokio::select! { () = first.evicted() => {}, () = second.evicted() => {} }
    })
    .await
    .unwrap();
    drop((first, second, broker));
    quotas.enter(&clients, ip).await.unwrap();
}
