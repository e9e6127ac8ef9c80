//! One question to one address, asked over a socket, and its answer as data.
//!
//! A look is plain data so that it can be taken from elsewhere: on Docker a container of the same
//! network runs `jackdaw probe LOOK` and prints what it saw. It must not judge what it sees.

use jackdaw_client::Connection;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    ApiVersionsRequest, BrokerId, DescribeClusterRequest, DescribeQuorumRequest, FetchRequest,
    MetadataRequest, TopicName, describe_quorum_request,
};
use kafka_protocol::protocol::StrBytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(5);
/// How `check` names itself to brokers.
const CLIENT: &str = "jackdaw-check";

/// What is asked of an address.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// DescribeCluster: the brokers as this listener advertises them.
    Cluster,
    /// DescribeQuorum: the voters and the leader.
    Quorum,
    /// Metadata of one topic: its partitions' leaders and replicas.
    Topic(String),
    /// The codecs of the batches stored in partition 0 of a topic from an offset on, asked of its leader.
    Codecs { topic: String, offset: i64, leader_epoch: i32 },
}

/// A question, and where to ask it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Look {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// The question.
    pub question: Question,
}

/// A broker as a listener advertises it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advertised {
    /// Node id.
    pub node_id: i32,
    /// Host for clients of this listener.
    pub host: String,
    /// Port for clients of this listener.
    pub port: i32,
}

/// One partition as Metadata shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// Number within the topic.
    pub partition: i32,
    /// Node id of the leader, -1 for none.
    pub leader: i32,
    /// Leader epoch.
    pub leader_epoch: i32,
    /// Node ids of all replicas.
    pub replicas: Vec<i32>,
    /// Node ids of the replicas in sync.
    pub isr: Vec<i32>,
}

/// What was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seen {
    /// Answer to [`Question::Cluster`].
    Cluster { cluster_id: String, controller_id: i32, brokers: Vec<Advertised> },
    /// Answer to [`Question::Quorum`].
    Quorum { leader_id: i32, leader_epoch: i32, voters: Vec<i32>, observers: Vec<i32> },
    /// Answer to [`Question::Topic`]; `error` is Kafka's code, 0 for none.
    Topic { error: i16, partitions: Vec<Partition> },
    /// Answer to [`Question::Codecs`]: one number a batch, in order.
    Codecs(Vec<i16>),
}

/// Names that are resolved from a table instead of the system's resolver (the process runtime's services).
pub type Hosts = BTreeMap<String, IpAddr>;

/// Asks, and returns what was seen; the error says at which step it failed.
pub async fn look(look: &Look, hosts: &Hosts) -> Result<Seen, String> {
    let place = format!("{}:{}", look.host, look.port);
    match tokio::time::timeout(TIMEOUT, ask(look, hosts)).await {
        Ok(Ok(seen)) => Ok(seen),
        Ok(Err(error)) => Err(format!("{place}: {error}")),
        Err(_) => Err(format!("{place}: no answer within {TIMEOUT:?}")),
    }
}

async fn ask(look: &Look, hosts: &Hosts) -> io::Result<Seen> {
    let mut connection = match hosts.get(&look.host) {
        Some(address) => Connection::open((*address, look.port), CLIENT).await?,
        None => Connection::open((look.host.as_str(), look.port), CLIENT).await?,
    };
    let versions = ApiVersionsRequest::default()
        .with_client_software_name(StrBytes::from_static_str(CLIENT))
        .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
    connection.exchange(3, &versions).await?;
    match &look.question {
        Question::Cluster => cluster(&mut connection).await,
        Question::Quorum => quorum(&mut connection).await,
        Question::Topic(name) => topic(&mut connection, name).await,
        Question::Codecs { topic, offset, leader_epoch } => {
            codecs(&mut connection, topic, *offset, *leader_epoch).await
        }
    }
}

async fn cluster(connection: &mut Connection) -> io::Result<Seen> {
    let reply = connection.exchange(0, &DescribeClusterRequest::default()).await?;
    accept(reply.error_code)?;
    let mut brokers: Vec<Advertised> = reply
        .brokers
        .iter()
        .map(|broker| Advertised {
            node_id: broker.broker_id.0,
            host: broker.host.to_string(),
            port: broker.port,
        })
        .collect();
    brokers.sort_by_key(|broker| broker.node_id);
    Ok(Seen::Cluster {
        cluster_id: reply.cluster_id.to_string(),
        controller_id: reply.controller_id.0,
        brokers,
    })
}

async fn quorum(connection: &mut Connection) -> io::Result<Seen> {
    let partition = describe_quorum_request::PartitionData::default().with_partition_index(0);
    let topic = describe_quorum_request::TopicData::default()
        .with_topic_name(TopicName(StrBytes::from_static_str("__cluster_metadata")))
        .with_partitions(vec![partition]);
    let reply = connection.exchange(0, &DescribeQuorumRequest::default().with_topics(vec![topic])).await?;
    accept(reply.error_code)?;
    let partition = reply
        .topics
        .into_iter()
        .flat_map(|topic| topic.partitions)
        .next()
        .ok_or_else(|| invalid("DescribeQuorum names no partition"))?;
    accept(partition.error_code)?;
    let ids = |replicas: &[kafka_protocol::messages::describe_quorum_response::ReplicaState]| {
        let mut ids: Vec<i32> = replicas.iter().map(|replica| replica.replica_id.0).collect();
        ids.sort_unstable();
        ids
    };
    Ok(Seen::Quorum {
        leader_id: partition.leader_id.0,
        leader_epoch: partition.leader_epoch,
        voters: ids(&partition.current_voters),
        observers: ids(&partition.observers),
    })
}

async fn topic(connection: &mut Connection, name: &str) -> io::Result<Seen> {
    let topic =
        MetadataRequestTopic::default().with_name(Some(TopicName(StrBytes::from_string(name.to_owned()))));
    let request =
        MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(false);
    let reply = connection.exchange(9, &request).await?;
    let topic = reply.topics.into_iter().next().ok_or_else(|| invalid("Metadata names no topic"))?;
    let ids = |brokers: &[BrokerId]| {
        let mut ids: Vec<i32> = brokers.iter().map(|broker| broker.0).collect();
        ids.sort_unstable();
        ids
    };
    let mut partitions: Vec<Partition> = topic
        .partitions
        .iter()
        .map(|partition| Partition {
            partition: partition.partition_index,
            leader: partition.leader_id.0,
            leader_epoch: partition.leader_epoch,
            replicas: ids(&partition.replica_nodes),
            isr: ids(&partition.isr_nodes),
        })
        .collect();
    partitions.sort_by_key(|partition| partition.partition);
    Ok(Seen::Topic { error: topic.error_code, partitions })
}

async fn codecs(
    connection: &mut Connection,
    topic: &str,
    offset: i64,
    leader_epoch: i32,
) -> io::Result<Seen> {
    let partition = FetchPartition::default()
        .with_partition(0)
        .with_current_leader_epoch(leader_epoch)
        .with_fetch_offset(offset)
        .with_partition_max_bytes(32 << 20);
    let topic = FetchTopic::default()
        .with_topic(TopicName(StrBytes::from_string(topic.to_owned())))
        .with_partitions(vec![partition]);
    let request = FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(1_000)
        .with_min_bytes(1)
        .with_max_bytes(32 << 20)
        .with_session_epoch(-1)
        .with_topics(vec![topic]);
    let reply = connection.exchange(11, &request).await?;
    accept(reply.error_code)?;
    let partition = reply
        .responses
        .into_iter()
        .flat_map(|topic| topic.partitions)
        .next()
        .ok_or_else(|| invalid("Fetch names no partition"))?;
    accept(partition.error_code)?;
    stored_codecs(&partition.records.unwrap_or_default()).map(Seen::Codecs)
}

/// Walks the batches by their lengths: base offset 8 bytes, length 4, leader epoch 4, magic 1, CRC 4, attributes 2.
fn stored_codecs(mut records: &[u8]) -> io::Result<Vec<i16>> {
    let mut codecs = Vec::new();
    while records.len() >= 23 {
        let length = i32::from_be_bytes([records[8], records[9], records[10], records[11]]);
        if records[16] != 2 {
            return Err(invalid(&format!("a batch of magic {} where 2 was due", records[16])));
        }
        codecs.push(i16::from_be_bytes([records[21], records[22]]) & 7);
        let end = usize::try_from(length).map_err(|_| invalid("a batch of negative length"))? + 12;
        records = records.get(end..).unwrap_or_default();
    }
    Ok(codecs)
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

fn accept(error_code: i16) -> io::Result<()> {
    match jackdaw_wire::ErrorCode::try_from_code(error_code) {
        None => Ok(()),
        Some(error) => Err(io::Error::other(format!("Kafka error {error_code} ({error})"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codecs_are_read_from_batch_attributes() {
        let batch = |codec: u8| {
            let mut bytes = vec![0; 61];
            bytes[11] = 49;
            bytes[16] = 2;
            bytes[22] = codec;
            bytes
        };
        let stored = [batch(0), batch(4), batch(3 | 16)].concat();
        assert_eq!(stored_codecs(&stored).unwrap(), [0, 4, 3]);
        assert_eq!(stored_codecs(&stored[..70]).unwrap(), [0], "a cut batch is not counted");
        let mut old = batch(0);
        old[16] = 1;
        assert!(stored_codecs(&old).is_err());
    }
}
