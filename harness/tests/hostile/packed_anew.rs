//! Records that unpack to far more than they are, where they must be packed anew: for consumers that know nothing
//! younger than message sets, from producers that know nothing younger, and for topics with a codec of their own.

use crate::batches::packed;
use crate::node::{Node, SCRATCH, produce, topic_name};
use crate::wire::Connection;
use jackdaw_wire::compression::{Compression, Packer};
use jackdaw_wire::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use jackdaw_wire::messages::fetch_request::{FetchPartition, FetchTopic};
use jackdaw_wire::messages::{BrokerId, CreateTopicsRequest, FetchRequest};
use jackdaw_wire::protocol::StrBytes;
use jackdaw_wire::{Bytes, legacy, varint};

/// The last version of Fetch that is answered with message sets of magic 1.
const FETCH_VERSION: i16 = 3;
/// A version of Produce that takes batches.
const NOW: i16 = 8;
const TOO_LARGE: i16 = 10;
/// A node's allowance for one request is 256 MiB.
const UNPACKED_BYTES: usize = 240 << 20;
const CLIENTS: usize = 4;

/// A batch in gzip of so many records with zeros for values.
pub fn zeros(count: usize, value_bytes: usize) -> Result<Vec<u8>, String> {
    let mut packer = Packer::new(Compression::Gzip).map_err(|error| error.to_string())?;
    let piece = vec![0; 1 << 20];
    let mut write = |bytes: &[u8]| packer.write(bytes).map_err(|error| error.to_string());
    for at in 0..count {
        let mut head = vec![0, 0];
        varint::put_i32(&mut head, at as i32);
        head.push(1);
        varint::put_i32(&mut head, value_bytes as i32);
        let mut size = Vec::new();
        varint::put_i32(&mut size, (head.len() + value_bytes + 1) as i32);
        write(&size)?;
        write(&head)?;
        let mut left = value_bytes;
        while left > 0 {
            let now = left.min(piece.len());
            write(&piece[..now])?;
            left -= now;
        }
        write(&[0])?;
    }
    Ok(packed(Compression::Gzip, count as i32, &packer.finish().map_err(|error| error.to_string())?))
}

/// The code of the answer, and the offset that the records got.
fn append(node: &Node, version: i16, topic: &'static str, records: &[u8]) -> Result<(i16, i64), String> {
    let request = produce(topic, -1, Bytes::copy_from_slice(records));
    let reply = Connection::open(node.clients()).and_then(|mut open| open.ask(version, &request));
    let reply = reply.map_err(|error| error.to_string())?;
    let partition = &reply.responses[0].partition_responses[0];
    Ok((partition.error_code, partition.base_offset))
}

/// Several at once; each has to come to `expected`.
fn at_once(expected: i16, work: impl Fn() -> Result<i16, String> + Sync) -> Result<(), String> {
    let answers = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(&work)).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect::<Vec<_>>()
    });
    answers.into_iter().try_for_each(|answer| match answer? {
        code if code == expected => Ok(()),
        code => Err(format!("error {code} in place of {expected}")),
    })
}

fn fetch(node: &Node, offset: i64) -> Result<(i16, Bytes), String> {
    let partition = FetchPartition::default().with_fetch_offset(offset).with_partition_max_bytes(50 << 20);
    let topic = FetchTopic::default().with_topic(topic_name(SCRATCH)).with_partitions(vec![partition]);
    let request = FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_bytes(50 << 20)
        .with_topics(vec![topic]);
    let mut connection = Connection::open(node.clients()).map_err(|error| error.to_string())?;
    let reply = connection.ask(FETCH_VERSION, &request).map_err(|error| error.to_string())?;
    let partition = &reply.responses[0].partitions[0];
    Ok((partition.error_code, partition.records.clone().unwrap_or_default()))
}

/// Fetches of several such consumers at once: of many batches that unpack to 240 MB each, and of one record that does.
pub fn consumers(node: &Node) -> Result<String, String> {
    let (many, one) = (zeros(240, UNPACKED_BYTES / 240)?, zeros(1, UNPACKED_BYTES)?);
    let first = append(node, NOW, SCRATCH, &many)?;
    append(node, NOW, SCRATCH, &many)?;
    let last = append(node, NOW, SCRATCH, &one)?;
    for ((refused, offset), expected) in [(first, 0), (last, TOO_LARGE)] {
        if refused != 0 {
            return Err(format!("a batch is refused with {refused}"));
        }
        at_once(expected, || match fetch(node, offset)? {
            (0, records) if records.len() < many.len() => Err(format!("{} bytes", records.len())),
            (code, _) => Ok(code),
        })?;
    }
    Ok(format!("{CLIENTS} fetches each of {} MB in {} KB", UNPACKED_BYTES >> 20, many.len() >> 10))
}

/// The same records to a topic that has them packed anew, and as message sets of producers of old.
pub fn producers(node: &Node) -> Result<String, String> {
    const PACKED_ANEW: &str = "packed-anew";
    const UNPACKED_BYTES: usize = 120 << 20;
    let config = CreatableTopicConfig::default()
        .with_name(StrBytes::from_static_str("compression.type"))
        .with_value(Some(StrBytes::from_static_str("lz4")));
    let topic = CreatableTopic::default()
        .with_name(topic_name(PACKED_ANEW))
        .with_num_partitions(1)
        .with_replication_factor(1)
        .with_configs(vec![config]);
    let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(10_000);
    let created = Connection::open(node.clients()).and_then(|mut open| open.ask(5, &request));
    created.map_err(|error| error.to_string())?;
    let (many, one) = (zeros(120, UNPACKED_BYTES / 120)?, zeros(1, UNPACKED_BYTES)?);
    for (records, expected) in [(&many, 0), (&one, TOO_LARGE)] {
        at_once(expected, || Ok(append(node, NOW, PACKED_ANEW, records)?.0))?;
    }
    let (_, offset) = append(node, NOW, SCRATCH, &many)?;
    let (_, old) = fetch(node, offset)?;
    let first = legacy::messages(&old).next().ok_or("no message")?.map_err(|error| error.to_string())?;
    let old = &old[..first.size_bytes];
    for topic in [SCRATCH, PACKED_ANEW] {
        at_once(0, || Ok(append(node, 2, topic, old)?.0))?;
    }
    Ok(format!("{CLIENTS} each of {} MB in {} KB", UNPACKED_BYTES >> 20, many.len() >> 10))
}
