//! SHA-256 in hexadecimal, to tell contents apart: a service's configuration, the image that is streamed.

use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// SHA-256 of `bytes`.
pub fn hex(bytes: &[u8]) -> String {
    text(&Sha256::digest(bytes))
}

/// Bytes in lower-case hexadecimal.
pub fn text(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
