//! A reply as a list of pieces, so that record bytes reach the socket from where they already are.
//!
//! A segment is a value: nothing here reads, writes or sends.

use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;

/// One piece of a reply.
#[derive(Debug, Clone)]
pub enum Segment {
    /// Bytes in memory.
    Bytes(Bytes),
    /// `len` bytes of `file` from `offset` on, to be sent without passing through this process (`sendfile`).
    File { file: Arc<File>, offset: u64, len: usize },
}

impl Segment {
    /// How many bytes of the reply this piece is.
    pub fn len(&self) -> usize {
        match self {
            Segment::Bytes(bytes) => bytes.len(),
            Segment::File { len, .. } => *len,
        }
    }

    /// How many bytes of it are in memory.
    pub fn memory_bytes(&self) -> usize {
        match self {
            Segment::Bytes(bytes) => bytes.len(),
            Segment::File { .. } => 0,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<Bytes> for Segment {
    fn from(bytes: Bytes) -> Self {
        Segment::Bytes(bytes)
    }
}

/// Total length in bytes.
pub fn total_bytes(segments: &[Segment]) -> usize {
    segments.iter().map(Segment::len).sum()
}
