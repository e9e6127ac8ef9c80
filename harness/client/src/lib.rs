//! A connection that asks Kafka's requests one by one and reads the answers: for whoever looks at a cluster from
//! outside. A single question has a blocking form, for programs that live only as long as the answer takes.
//!
//! It decodes with the protocol's own crate and retries nothing; time limits are the caller's. Scenarios have a client
//! of their own, which also sends what no client should.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, ToSocketAddrs};

/// An answer beyond this is no Kafka's.
const MAX_REPLY_BYTES: usize = 64 << 20;

/// A connection to one listener.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    client_id: StrBytes,
    correlation_id: i32,
}

impl Connection {
    /// Connects; every request names `client_id`.
    ///
    /// # Errors
    /// As the system says.
    pub async fn open(address: impl ToSocketAddrs, client_id: impl Into<String>) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, client_id: StrBytes::from_string(client_id.into()), correlation_id: 0 })
    }

    /// Asks, and reads the answer.
    ///
    /// # Errors
    /// When the connection fails, or the answer is not the one to this request.
    pub async fn exchange<R: Request>(&mut self, version: i16, request: &R) -> io::Result<R::Response> {
        self.send(version, request).await?;
        let answer = self.receive().await?;
        decode::<R>(version, self.correlation_id, answer)
    }

    /// Asks what is not answered, as Produce with acks=0.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn send<R: Request>(&mut self, version: i16, request: &R) -> io::Result<()> {
        self.correlation_id += 1;
        let frame = encode(version, self.correlation_id, &self.client_id, request)?;
        self.stream.write_all(&frame).await
    }

    async fn receive(&mut self) -> io::Result<Bytes> {
        let mut answer = vec![0; checked(self.stream.read_u32().await?)?];
        self.stream.read_exact(&mut answer).await?;
        Ok(answer.into())
    }
}

/// Asks a single question over a connection of its own, without a runtime; all of it may take `limit`.
///
/// # Errors
/// When the connection fails or the time is over (`WouldBlock` or `TimedOut`), or the answer is not the one to this
/// request.
pub fn ask<R: Request>(
    address: &SocketAddr,
    client_id: impl Into<String>,
    limit: Duration,
    version: i16,
    request: &R,
) -> io::Result<R::Response> {
    const CORRELATION_ID: i32 = 1;
    let deadline = Instant::now() + limit;
    // A limit of zero would be none.
    let left = || Some(deadline.saturating_duration_since(Instant::now()).max(Duration::from_micros(1)));
    let frame = encode(version, CORRELATION_ID, &StrBytes::from_string(client_id.into()), request)?;
    let mut stream = std::net::TcpStream::connect_timeout(address, limit)?;
    stream.set_write_timeout(left())?;
    stream.write_all(&frame)?;
    stream.set_read_timeout(left())?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; checked(u32::from_be_bytes(length))?];
    stream.set_read_timeout(left())?;
    stream.read_exact(&mut answer)?;
    decode::<R>(version, CORRELATION_ID, answer.into())
}

/// A request with its header and its length.
fn encode<R: Request>(
    version: i16,
    correlation_id: i32,
    client_id: &StrBytes,
    request: &R,
) -> io::Result<BytesMut> {
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(client_id.clone()));
    let mut frame = BytesMut::from(&[0_u8; 4][..]);
    header.encode(&mut frame, R::header_version(version)).map_err(codec::<R>(version))?;
    request.encode(&mut frame, version).map_err(codec::<R>(version))?;
    let length = u32::try_from(frame.len() - 4).map_err(|_| invalid("the request is too long"))?;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    Ok(frame)
}

/// The answer to the request of that number.
fn decode<R: Request>(version: i16, correlation_id: i32, mut answer: Bytes) -> io::Result<R::Response> {
    let header = ResponseHeader::decode(&mut answer, R::Response::header_version(version))
        .map_err(codec::<R>(version))?;
    if header.correlation_id != correlation_id {
        return Err(invalid("the answer belongs to another question"));
    }
    R::Response::decode(&mut answer, version).map_err(codec::<R>(version))
}

fn checked(length: u32) -> io::Result<usize> {
    match length as usize {
        length if length > MAX_REPLY_BYTES => {
            Err(invalid(&format!("an answer of {length} bytes is not Kafka's")))
        }
        length => Ok(length),
    }
}

fn codec<R: Request>(version: i16) -> impl Fn(anyhow::Error) -> io::Error {
    move |error| invalid(&format!("API {} version {version}: {error}", R::KEY))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}
