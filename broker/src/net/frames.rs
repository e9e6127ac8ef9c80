//! Requests as they arrive on one connection.
//!
//! Must not believe a length before its bytes are there: a buffer grows with what has come, and holds of the budget
//! what it takes of memory. Must not know what a request means.

use std::io;
use std::os::fd::AsFd;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::net::tcp::ReadHalf;

use super::connection::Ended;
use super::memory::{FREE_BYTES, Memory, Traffic};
use super::pace::Pace;
use super::server::Limits;
use crate::budget::Charge;

/// Room for the first bytes of a request, and for the whole of most.
const FIRST_READ_BYTES: usize = 4096;

/// A whole request.
pub struct Frame<'a> {
    pub bytes: Bytes,
    /// Given back when the last slice of the bytes is gone, if not before.
    pub charge: Charge,
    /// The budgets that its answer belongs to.
    pub memory: &'a Memory,
}

/// A buffer that gives back what it holds of the budget when nobody reads it any more.
struct Charged {
    bytes: BytesMut,
    charge: Charge,
    length: usize,
}

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Charged {
    fn drop(&mut self) {
        self.charge.give(self.length);
    }
}

/// A request of which some bytes are there.
struct Arriving<'a> {
    length: usize,
    charge: Charge,
    memory: &'a Memory,
    pace: Pace,
}

/// Reads requests. `next` may be dropped at any await and called again.
pub struct Frames<'a> {
    read: ReadHalf<'a>,
    limits: &'a Limits,
    traffic: Traffic,
    buffer: BytesMut,
    arriving: Option<Arriving<'a>>,
    /// How long a started length has been waited for.
    pace: Option<Pace>,
}

impl<'a> Frames<'a> {
    pub fn new(read: ReadHalf<'a>, limits: &'a Limits, traffic: Traffic) -> Self {
        Self { read, limits, traffic, buffer: BytesMut::new(), arriving: None, pace: None }
    }

    /// The next whole request; none when the peer has closed between two. `is_alone`: no other request of this
    /// connection is under way.
    pub async fn next(&mut self, is_alone: bool) -> Result<Option<Frame<'a>>, Ended> {
        let patience = &self.limits.patience;
        [self.pace.as_mut(), self.arriving.as_mut().map(|a| &mut a.pace)]
            .into_iter()
            .flatten()
            .for_each(|pace| pace.resume(patience));
        if self.arriving.is_none() && !self.begin().await? {
            return Ok(None);
        }
        let Self { read, buffer, arriving, .. } = self;
        let Some(Arriving { length, charge, memory: _, pace }) = arriving else { return Ok(None) };
        while buffer.len() < *length {
            let is_full = buffer.len() == buffer.capacity();
            let arrived = match is_full {
                true => tokio::time::timeout_at(pace.next_tick(), read.readable())
                    .await
                    .map(|ready| ready.map(|()| 1)),
                false => tokio::time::timeout_at(pace.next_tick(), read.read_buf(buffer)).await,
            };
            match arrived {
                Ok(Ok(0)) => return Err(Ended::Truncated),
                Ok(arrived) if is_full => {
                    arrived?;
                    let wanted = capacity_for(*length, buffer.len(), available(read));
                    take(charge, wanted, is_alone).await;
                    buffer.reserve(wanted - buffer.len());
                    pace.resume(patience);
                }
                Ok(arrived) => drop(arrived?),
                Err(_) => {}
            }
            let is_pressed = charge.is_pressed() && charge.bytes() > FREE_BYTES;
            pace.judge(buffer.len(), patience.request, is_pressed, patience).map_err(|slow| Ended::Slow {
                what: "request",
                slow,
                is_pressed,
            })?;
        }
        take(charge, *length, is_alone).await;
        let frame = buffer.split_to(*length);
        if buffer.is_empty() {
            // An idle connection keeps no memory.
            *buffer = BytesMut::new();
        }
        Ok(self.arriving.take().map(|Arriving { charge, memory, .. }| Frame {
            bytes: Bytes::from_owner(Charged {
                length: charge.bytes(),
                bytes: frame,
                charge: charge.clone(),
            }),
            charge,
            memory,
        }))
    }

    /// The length of the next request and its API, which tells the budget; false when the peer has closed before.
    async fn begin(&mut self) -> Result<bool, Ended> {
        let limits = self.limits;
        let patience = &limits.patience;
        while self.buffer.len() < 4 || (self.buffer.len() < 6 && claimed(&self.buffer) >= 2) {
            if self.buffer.is_empty() {
                // No memory before there is something to read.
                self.read.readable().await?;
            }
            self.buffer.reserve(FIRST_READ_BYTES);
            let pace = self.pace.get_or_insert_with(|| Pace::new(patience));
            let read = tokio::time::timeout_at(pace.next_tick(), self.read.read_buf(&mut self.buffer)).await;
            let read = match read {
                Err(_) => None,
                // A reset instead of an orderly close is how many clients go away.
                Ok(Err(e)) if self.buffer.is_empty() && e.kind() == io::ErrorKind::ConnectionReset => Some(0),
                Ok(read) => Some(read?),
            };
            match read {
                Some(0) if self.buffer.is_empty() => return Ok(false),
                Some(0) => return Err(Ended::Truncated),
                _ => {}
            }
            if !self.buffer.is_empty() {
                pace.judge(self.buffer.len(), patience.request, false, patience)
                    .map_err(|slow| Ended::Slow { what: "request", slow, is_pressed: false })?;
            }
            if self.buffer.len() >= 4 {
                check(claimed(&self.buffer), limits.request_max_bytes)?;
            }
        }
        let length = check(self.buffer.get_i32(), limits.request_max_bytes)?;
        let api_key = self.buffer.get(..2).map_or(-1, |mut key| key.get_i16());
        let memory = limits.memories.of(self.traffic, api_key);
        let pace = self.pace.take().unwrap_or_else(|| Pace::new(patience));
        self.arriving = Some(Arriving { length, charge: Charge::of(&memory.requests, length), memory, pace });
        Ok(true)
    }
}

/// The length that a request begins with.
fn claimed(mut buffer: &[u8]) -> i32 {
    buffer.get_i32()
}

fn check(size: i32, max_bytes: usize) -> Result<usize, Ended> {
    let size_bytes = usize::try_from(size).map_err(|_| Ended::NegativeSize(size))?;
    if size_bytes > max_bytes {
        return Err(Ended::Oversize { size_bytes, max_bytes });
    }
    Ok(size_bytes)
}

/// Bytes that have arrived and were not read yet.
fn available(read: &ReadHalf<'_>) -> usize {
    let socket: &TcpStream = read.as_ref();
    let available = rustix::io::ioctl_fionread(socket.as_fd());
    available.ok().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or_default()
}

/// What is there and what the socket has for it, or a quarter more than there is: bytes are copied four times at the
/// most. Never more than the request needs.
fn capacity_for(length: usize, have: usize, available: usize) -> usize {
    (have + have / 4).max(FREE_BYTES).max(have + available).min(length)
}

/// Makes what a request holds that much, as soon as it may be.
async fn take(charge: &Charge, bytes: usize, is_alone: bool) {
    let more = bytes.saturating_sub(charge.bytes());
    if more == 0 || (is_alone && bytes <= FREE_BYTES && charge.try_add_free(more)) {
        return;
    }
    charge.wait_for(more).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_grows_with_what_has_come_and_not_with_what_was_claimed() {
        const CLAIMED: usize = 100 << 20;
        for (have, available, expected) in [
            (8, 0, FREE_BYTES),
            (4_096, 8_000, FREE_BYTES),
            (4_096, 60_000, 64_096),
            (1 << 20, 0, 5 << 18),
            (90 << 20, 0, CLAIMED),
            (CLAIMED - 1, 500, CLAIMED),
        ] {
            assert_eq!(capacity_for(CLAIMED, have, available), expected, "{have} and {available}");
        }
        assert_eq!(capacity_for(1_000, 600, 0), 1_000);
    }
}
