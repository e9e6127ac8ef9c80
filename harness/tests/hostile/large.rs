//! Requests that are large.

use crate::batches::packed;
use crate::node::{Node, SCRATCH, produce};
use crate::wire::{Connection, PATIENCE, frame};
use jackdaw_wire::compression::Compression;

/// A request's largest size (`socket.request.max.bytes`).
const LARGEST_BYTES: usize = 100 << 20;

fn send(node: &Node, frame: &[u8]) -> Result<(), String> {
    let mut connection = Connection::open(node.clients()).map_err(|error| error.to_string())?;
    connection.provoke(frame, PATIENCE);
    node.end().map_or(Ok(()), Err)
}

/// The largest request that is allowed, and one in which nothing is true.
pub fn largest(node: &Node) -> Result<String, String> {
    let batch = packed(Compression::None, 1, &vec![0; LARGEST_BYTES - 1_000]);
    let honest = frame(8, &produce(SCRATCH, -1, batch.into()));
    let mut garbage = honest.clone();
    garbage[20..].fill(0x01);
    for frame in [honest, garbage] {
        send(node, &frame)?;
    }
    Ok(format!("2 requests of {} MB", LARGEST_BYTES >> 20))
}
