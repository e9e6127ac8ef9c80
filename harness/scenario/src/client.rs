//! A connection that sends requests by the table of [`crate::schema`] and reads the replies. Blocking, with
//! a deadline on everything; it retries nothing.

use crate::schema::Api;
use crate::value::{Reader, Value, decode, encode};
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Time to connect.
const CONNECT: Duration = Duration::from_secs(5);
/// Time for a reply; a little more than Kafka's own 30 s for requests that wait.
pub const REPLY: Duration = Duration::from_secs(40);
/// A reply beyond this is a fault of the other side.
const MAX_REPLY_BYTES: usize = 128 << 20;

/// A connection to one listener.
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
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, CONNECT)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(REPLY))?;
        Ok(Connection { stream, correlation_id: 0 })
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// As the system says.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends a request, and returns its correlation id.
    ///
    /// # Errors
    /// As the system says, or when the value does not fit the table.
    pub fn send(&mut self, api: &Api, version: i16, body: &Value) -> io::Result<i32> {
        self.correlation_id += 1;
        let flexible = api.flexible.has(version);
        let body = encode(&api.request, body, version, flexible).map_err(io::Error::other)?;
        let client = b"jackdaw-scenario";
        let mut frame = vec![0; 4];
        frame.extend(api.key.to_be_bytes());
        frame.extend(version.to_be_bytes());
        frame.extend(self.correlation_id.to_be_bytes());
        frame.extend((client.len() as i16).to_be_bytes());
        frame.extend(client);
        if flexible {
            frame.push(0);
        }
        frame.extend(body);
        let length = (frame.len() - 4) as u32;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        self.stream.write_all(&frame)?;
        Ok(self.correlation_id)
    }

    /// The next frame, without its length.
    ///
    /// # Errors
    /// At the end of the stream, and when it takes longer than `within`.
    pub fn frame(&mut self, within: Duration) -> io::Result<Vec<u8>> {
        self.stream.set_read_timeout(Some(within))?;
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length) as usize;
        if length > MAX_REPLY_BYTES {
            return Err(io::Error::other(format!("a reply of {length} bytes")));
        }
        let mut frame = vec![0; length];
        self.stream.read_exact(&mut frame)?;
        Ok(frame)
    }

    /// The reply to a request that was sent.
    ///
    /// # Errors
    /// When there is none, or it is not that API's.
    pub fn reply(&mut self, api: &Api, version: i16, correlation_id: i32) -> io::Result<Value> {
        let frame = self.frame(REPLY)?;
        read_reply(&frame, api, version, correlation_id).map_err(io::Error::other)
    }

    /// Asks and reads the answer.
    ///
    /// # Errors
    /// As [`Connection::send`] and [`Connection::reply`].
    pub fn ask(&mut self, api: &Api, version: i16, body: &Value) -> io::Result<Value> {
        let id = self.send(api, version, body)?;
        self.reply(api, version, id)
    }
}

fn read_reply(frame: &[u8], api: &Api, version: i16, correlation_id: i32) -> Result<Value, String> {
    let mut reader = Reader::new(frame);
    let answered = reader.int(4)?;
    if answered != i64::from(correlation_id) {
        return Err(format!("the reply is to request {answered}, {correlation_id} is due"));
    }
    // KIP-511: an unknown version of ApiVersions is answered in version 0, and its header is never flexible.
    let is_api_versions = api.name == "ApiVersions";
    let version = if is_api_versions && !api.versions.has(version) { 0 } else { version };
    let flexible = api.flexible.has(version);
    if flexible && !is_api_versions && reader.uvarint()? != 0 {
        return Err("tagged fields in the header of a reply".into());
    }
    let left = reader.left();
    decode(&api.response, reader.take(left)?, version, flexible)
}

/// What an error of a connection means to a scenario.
pub fn ending(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            "the connection was closed".into()
        }
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "no answer in time".into(),
        io::ErrorKind::ConnectionRefused => "the connection was refused".into(),
        _ => error.to_string(),
    }
}
