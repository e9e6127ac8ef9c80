//! Connections that hold on to what they got: a request a byte at a time, replies that nobody reads, and
//! many at once.

use crate::node::{Node, SCRATCH, produce, topic_name};
use crate::wire::{Connection, frame};
use jackdaw_wire::Bytes;
use jackdaw_wire::batch::BatchBuilder;
use jackdaw_wire::messages::fetch_request::{FetchPartition, FetchTopic};
use jackdaw_wire::messages::*;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

/// Not in one burst: what is beyond Kafka's backlog of 50 (`socket.listen.backlog.size`) the system itself lets wait for
/// a second, the bystander with it.
fn open(address: SocketAddr, count: usize) -> Result<Vec<Connection>, String> {
    let opened = (0..count).map(|at| {
        if at % 20 == 19 {
            std::thread::sleep(Duration::from_millis(3));
        }
        Connection::open(address).map_err(|error| format!("no connection: {error}"))
    });
    opened.collect()
}

/// A request of that many bytes of records, which has to be served whoever else holds on to what.
fn produces(node: &Node, bytes: usize) -> Result<(), String> {
    let mut records = BatchBuilder::new(0, -1);
    records.append(1_700_000_000_000, None, Some(&vec![b'x'; bytes]));
    let mut connection = Connection::open(node.clients()).map_err(|error| error.to_string())?;
    let reply = connection.ask(8, &produce(SCRATCH, -1, records.build()));
    let reply = reply.map_err(|error| format!("a Produce of {bytes} bytes: {error}"))?;
    match reply.responses[0].partition_responses[0].error_code {
        0 => Ok(()),
        code => Err(format!("a Produce of {bytes} bytes: error {code}")),
    }
}

/// Requests whose bytes come one at a time, on many connections.
pub fn dripped(node: &Node) -> Result<String, String> {
    let request = frame(8, &produce(SCRATCH, -1, Bytes::from(vec![0; 200])));
    let request = &request[..request.len().min(300)];
    let connections = open(node.clients(), 100)?;
    for byte in request {
        for connection in &connections {
            // Whoever is too slow may be shut out.
            let _ = (&connection.0).write_all(&[*byte]);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    produces(node, 900_000)?;
    Ok(format!("{} connections, {} bytes each", connections.len(), request.len()))
}

/// Requests that claim many megabytes, of which a few bytes come.
pub fn halves(node: &Node) -> Result<String, String> {
    const CLAIMED_BYTES: u32 = 50 << 20;
    let connections = open(node.clients(), 200)?;
    for connection in &connections {
        let begun = [&CLAIMED_BYTES.to_be_bytes()[..], &[0, 0, 0, 8]].concat();
        (&connection.0).write_all(&begun).map_err(|error| error.to_string())?;
    }
    (0..3).try_for_each(|_| produces(node, 900_000))?;
    Ok(format!("{} connections, {} MB claimed each", connections.len(), CLAIMED_BYTES >> 20))
}

/// Requests with large replies that nobody reads.
pub fn unread(node: &Node) -> Result<String, String> {
    (0..8).try_for_each(|_| produces(node, 900_000))?;
    let partition = FetchPartition::default()
        .with_current_leader_epoch(-1)
        .with_log_start_offset(-1)
        .with_partition_max_bytes(50 << 20);
    let topic = FetchTopic::default().with_topic(topic_name(SCRATCH)).with_partitions(vec![partition]);
    let fetch = FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_bytes(50 << 20)
        .with_session_epoch(-1)
        .with_topics(vec![topic]);
    let all_topics = MetadataRequest::default().with_topics(None);
    let requests = [frame(11, &fetch), frame(9, &all_topics), frame(3, &ApiVersionsRequest::default())];
    let connections = open(node.clients(), 60)?;
    let mut sent = 0;
    for (at, connection) in connections.iter().enumerate() {
        connection.0.set_nonblocking(true).map_err(|error| error.to_string())?;
        let pipeline = requests[at % requests.len()].repeat(2_000);
        let mut rest = &pipeline[..];
        // Until the node reads no more, or has read enough.
        while !rest.is_empty() {
            match (&connection.0).write(rest) {
                Ok(written) => {
                    sent += written;
                    rest = &rest[written..];
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.to_string()),
            }
        }
    }
    std::thread::sleep(Duration::from_secs(1));
    produces(node, 900_000)?;
    Ok(format!("{} connections, {} MB of requests", connections.len(), sent >> 20))
}

/// As many connections as there is room for, and a fresh client has room beside them.
pub fn many(node: &Node) -> Result<String, String> {
    let connections = open(node.clients(), 900 - node.descriptors())?;
    std::thread::sleep(Duration::from_millis(300));
    produces(node, 900_000)?;
    Ok(format!("{} connections", connections.len()))
}
