//! What is asked of a node to see whether it answers: ApiVersions and Metadata over one connection, as any
//! client's first two requests are.

use jackdaw_client::{Connection, ask};
use kafka_protocol::messages::metadata_response::MetadataResponseBroker;
use kafka_protocol::messages::{ApiVersionsRequest, MetadataRequest};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

const CLIENT_ID: &str = "jackdaw";
/// Every broker since 0.10 knows these versions.
const API_VERSIONS: i16 = 0;
const METADATA: i16 = 1;

/// A broker as Metadata names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Broker {
    /// Node id.
    pub id: i32,
    /// Advertised host.
    pub host: String,
    /// Advertised port.
    pub port: i32,
}

/// A node that is asked.
#[derive(Debug)]
pub struct Node(Connection);

impl Node {
    /// Connects.
    ///
    /// # Errors
    /// As the system says.
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        Connection::open(address, CLIENT_ID).await.map(Node)
    }

    /// Asks for the API versions; whoever answers speaks Kafka.
    ///
    /// # Errors
    /// When the connection fails or the answer is not Kafka's.
    pub async fn api_versions(&mut self) -> io::Result<usize> {
        let answer = self.0.exchange(API_VERSIONS, &ApiVersionsRequest::default()).await?;
        Ok(answer.api_keys.len())
    }

    /// The unfenced brokers, by id, as this listener shows them.
    ///
    /// # Errors
    /// When the connection fails or the answer is not Kafka's.
    pub async fn brokers(&mut self) -> io::Result<Vec<Broker>> {
        let request = MetadataRequest::default().with_topics(Some(Vec::new()));
        let answer = self.0.exchange(METADATA, &request).await?;
        let broker = |broker: &MetadataResponseBroker| Broker {
            id: broker.node_id.0,
            host: broker.host.to_string(),
            port: broker.port,
        };
        let mut brokers: Vec<Broker> = answer.brokers.iter().map(broker).collect();
        brokers.sort();
        Ok(brokers)
    }
}

/// Whether whoever listens there speaks Kafka, asked without a runtime.
///
/// # Errors
/// When the connection fails, the time is over, or the answer is not Kafka's.
pub fn speaks(address: &SocketAddr, limit: Duration) -> io::Result<()> {
    ask(address, CLIENT_ID, limit, API_VERSIONS, &ApiVersionsRequest::default()).map(drop)
}

/// Whether a node shows that broker among the unfenced ones, asked without a runtime.
///
/// # Errors
/// When the connection fails, the time is over, or the answer is not Kafka's.
pub fn shows(address: &SocketAddr, limit: Duration, id: i32) -> io::Result<bool> {
    let request = MetadataRequest::default().with_topics(Some(Vec::new()));
    let answer = ask(address, CLIENT_ID, limit, METADATA, &request)?;
    Ok(answer.brokers.iter().any(|broker| broker.node_id.0 == id))
}
