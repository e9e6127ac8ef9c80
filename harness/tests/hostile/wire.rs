//! Connections as hostile clients and bystanders use them: frames as they are given, replies as they come.

use jackdaw_wire::frame::{LENGTH_BYTES, decode_response, decode_response_header, encode_request};
use jackdaw_wire::protocol::{Request, StrBytes};
use rustix::net::sockopt::set_socket_linger;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// What an answer may take before it counts as one that never comes.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// A reply beyond this is not read.
const MAX_REPLY_BYTES: usize = 256 << 20;

/// A whole frame of a request.
pub fn frame<R: Request>(version: i16, request: &R) -> Vec<u8> {
    encode_request(version, 7, &StrBytes::from_static_str("hostile"), request).unwrap().to_vec()
}

/// These bytes with their length in front.
pub fn framed(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

pub struct Connection(pub TcpStream);

impl Connection {
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        // Thousands of connections come and go: none is to linger with its port.
        set_socket_linger(&stream, Some(Duration::ZERO))?;
        Ok(Self(stream))
    }

    /// Asks, and reads the answer.
    pub fn ask<R: Request>(&mut self, version: i16, request: &R) -> io::Result<R::Response> {
        self.0.write_all(&frame(version, request))?;
        let mut reply = self.reply()?.into();
        let invalid = |error: jackdaw_wire::frame::FrameError| io::Error::other(error.to_string());
        decode_response_header::<R>(version, &mut reply).map_err(invalid)?;
        decode_response::<R>(version, &mut reply).map_err(invalid)
    }

    /// The next reply, without its length.
    pub fn reply(&mut self) -> io::Result<Vec<u8>> {
        let mut length = [0; LENGTH_BYTES];
        self.0.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length) as usize;
        if length > MAX_REPLY_BYTES {
            return Err(io::Error::other(format!("a reply of {length} bytes")));
        }
        let mut reply = vec![0; length];
        self.0.read_exact(&mut reply)?;
        Ok(reply)
    }

    /// Sends bytes and waits until they are answered, or the connection is closed, or for `limit`. Whether the
    /// connection can be used again.
    pub fn provoke(&mut self, bytes: &[u8], limit: Duration) -> bool {
        let provoked = self
            .0
            .write_all(bytes)
            .and_then(|()| self.0.set_read_timeout(Some(limit)))
            .and_then(|()| self.reply());
        provoked.is_ok()
    }
}
