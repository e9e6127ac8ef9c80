//! Just enough of a Kafka client to see whether a node answers: ApiVersions and Metadata over one
//! connection, as any client's first two requests are.

use bytes::{BufMut as _, Bytes, BytesMut};
use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, ApiVersionsResponse, MetadataRequest, MetadataResponse, RequestHeader,
    ResponseHeader,
};
use kafka_protocol::protocol::{Decodable, Encodable, Request, StrBytes};
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Every broker since 0.10 knows these versions.
const API_VERSIONS: i16 = 0;
const METADATA: i16 = 1;
/// An answer to these two requests is far smaller; anything larger is no Kafka.
const FRAME_LIMIT_BYTES: usize = 4 * 1024 * 1024;

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

/// A connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    correlation_id: i32,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// As the system says.
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, correlation_id: 0 })
    }

    /// Asks for the API versions; whoever answers speaks Kafka.
    ///
    /// # Errors
    /// When the connection fails or the answer is not Kafka's.
    pub async fn api_versions(&mut self) -> io::Result<usize> {
        let answer: ApiVersionsResponse =
            self.ask(ApiKey::ApiVersions, API_VERSIONS, &ApiVersionsRequest::default()).await?;
        Ok(answer.api_keys.len())
    }

    /// The unfenced brokers, by id, as this listener shows them.
    ///
    /// # Errors
    /// When the connection fails or the answer is not Kafka's.
    pub async fn brokers(&mut self) -> io::Result<Vec<Broker>> {
        let request = MetadataRequest::default().with_topics(Some(Vec::new()));
        let answer: MetadataResponse = self.ask(ApiKey::Metadata, METADATA, &request).await?;
        let broker = |broker: &kafka_protocol::messages::metadata_response::MetadataResponseBroker| Broker {
            id: broker.node_id.0,
            host: broker.host.to_string(),
            port: broker.port,
        };
        let mut brokers: Vec<Broker> = answer.brokers.iter().map(broker).collect();
        brokers.sort();
        Ok(brokers)
    }

    async fn ask<R: Request, A: Decodable>(
        &mut self,
        key: ApiKey,
        version: i16,
        request: &R,
    ) -> io::Result<A> {
        self.correlation_id += 1;
        let header = RequestHeader::default()
            .with_request_api_key(key as i16)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation_id)
            .with_client_id(Some(StrBytes::from_static_str("jackdaw")));
        let mut frame = BytesMut::new();
        frame.put_i32(0);
        header.encode(&mut frame, key.request_header_version(version)).map_err(io::Error::other)?;
        request.encode(&mut frame, version).map_err(io::Error::other)?;
        let length = (frame.len() - 4) as u32;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        self.stream.write_all(&frame).await?;
        let mut answer = self.receive().await?;
        let header = ResponseHeader::decode(&mut answer, key.response_header_version(version))
            .map_err(io::Error::other)?;
        if header.correlation_id != self.correlation_id {
            return Err(io::Error::other("the answer belongs to another question"));
        }
        A::decode(&mut answer, version).map_err(io::Error::other)
    }

    async fn receive(&mut self) -> io::Result<Bytes> {
        let length = self.stream.read_u32().await? as usize;
        if length > FRAME_LIMIT_BYTES {
            return Err(io::Error::other("the answer is not Kafka's"));
        }
        let mut answer = vec![0; length];
        self.stream.read_exact(&mut answer).await?;
        Ok(answer.into())
    }
}
