//! The few types that every crate of the broker shares: partitions, offsets with epochs, and Kafka's ids.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE_NO_PAD};
pub use uuid::Uuid;

/// No id. Kafka's `Uuid.ZERO_UUID`.
pub const ZERO_UUID: Uuid = Uuid::nil();
/// The topic id of `__cluster_metadata`. Kafka's `Uuid.METADATA_TOPIC_ID`.
pub const METADATA_TOPIC_ID: Uuid = Uuid::from_u128(1);
/// The name of the metadata topic; its one partition is 0.
pub const METADATA_TOPIC_NAME: &str = "__cluster_metadata";
/// A replica whose broker has not said where it is, as it was registered without directories.
/// Kafka's `DirectoryId.MIGRATING`.
pub const DIR_MIGRATING: Uuid = Uuid::from_u128(0);
/// A replica that its broker will place itself. Kafka's `DirectoryId.UNASSIGNED`.
pub const DIR_UNASSIGNED: Uuid = Uuid::from_u128(1);
/// A replica in a directory that its broker has lost. Kafka's `DirectoryId.LOST`.
pub const DIR_LOST: Uuid = Uuid::from_u128(2);

/// Directory ids below this number are reserved (`DirectoryId.reserved`).
const FIRST_FREE_DIRECTORY_ID: u128 = 100;

/// Whether `id` may not be the id of a real log directory.
pub fn is_reserved_directory_id(id: &Uuid) -> bool {
    id.as_u128() < FIRST_FREE_DIRECTORY_ID
}

/// The time, as state machines are told it that both write it down and count in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since the epoch: what is written to records. It may jump.
    pub wall_ms: i64,
    /// Milliseconds since some moment of this process: what timers are counted in. It never jumps.
    pub steady_ms: i64,
}

/// One partition of a topic, by name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    pub topic: Arc<str>,
    pub partition: i32,
}

impl TopicPartition {
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }

    /// `__cluster_metadata-0`.
    pub fn cluster_metadata() -> Self {
        Self::new(METADATA_TOPIC_NAME, 0)
    }
}

/// `topic-partition`, as in folder names and log lines.
impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// An offset and the leader epoch it belongs to. What the offset is (an end, a snapshot's exclusive end, …) is
/// the user's to say. Kafka's `OffsetAndEpoch`; ordered by epoch first, as `OffsetAndEpoch.compareTo`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OffsetAndEpoch {
    pub offset: i64,
    pub epoch: i32,
}

impl OffsetAndEpoch {
    pub const fn new(offset: i64, epoch: i32) -> Self {
        Self { offset, epoch }
    }
}

impl PartialOrd for OffsetAndEpoch {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for OffsetAndEpoch {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.epoch, self.offset).cmp(&(other.epoch, other.offset))
    }
}

impl fmt::Display for OffsetAndEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OffsetAndEpoch(offset={}, epoch={})", self.offset, self.epoch)
    }
}

/// As lenient as `java.util.Base64`: padding may be left out, and the last character may carry spare bits.
const JAVA_BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Why a text is no id of Kafka's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UuidError {
    #[error("Input string `{shown}` is too long to be decoded as a base64 UUID")]
    TooLong { shown: String },
    #[error("Input string `{text}` is not base64url")]
    NotBase64 { text: String },
    #[error(
        "Input string `{text}` decodes as {bytes} bytes, which is not equal to the expected 16 bytes of a base64-encoded UUID"
    )]
    WrongLength { text: String, bytes: usize },
}

/// The 22 characters that Kafka prints for an id: base64url without padding.
pub fn kafka_base64(id: &Uuid) -> String {
    URL_SAFE_NO_PAD.encode(id.as_bytes())
}

/// Reads an id as `Uuid.fromString` does: base64url, padded or not, of exactly 16 bytes, at most 24 characters.
pub fn parse_kafka_base64(text: &str) -> Result<Uuid, UuidError> {
    const LONGEST: usize = 24;
    if text.chars().count() > LONGEST {
        return Err(UuidError::TooLong { shown: text.chars().take(LONGEST).collect() });
    }
    let decoded = JAVA_BASE64.decode(text).map_err(|_| UuidError::NotBase64 { text: text.to_owned() })?;
    match <[u8; 16]>::try_from(decoded.as_slice()) {
        Ok(bytes) => Ok(Uuid::from_bytes(bytes)),
        Err(_) => Err(UuidError::WrongLength { text: text.to_owned(), bytes: decoded.len() }),
    }
}

/// A version 4 id from entropy the caller brings. As `Uuid.randomUuid`: never reserved, and never one whose text
/// starts with a dash, which command lines would read as an option; `entropy` is asked again until it fits.
pub fn random_uuid(mut entropy: impl FnMut() -> u128) -> Uuid {
    loop {
        let mut bytes = entropy().to_be_bytes();
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        let id = Uuid::from_bytes(bytes);
        // 62 is what base64url spells as '-': the top six bits decide the first character.
        if bytes[0] >> 2 != 62 && !is_reserved_directory_id(&id) {
            return id;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_spelled_as_kafka_spells_them() {
        assert_eq!(kafka_base64(&METADATA_TOPIC_ID), "AAAAAAAAAAAAAAAAAAAAAQ");
        let id = parse_kafka_base64("4L6g3nShT-eMCtK--X86sw").unwrap();
        assert_eq!(kafka_base64(&id), "4L6g3nShT-eMCtK--X86sw");
        assert_eq!(parse_kafka_base64("AAAAAAAAAAAAAAAAAAAAAQ=="), Ok(METADATA_TOPIC_ID));
        assert!(parse_kafka_base64("abcdefghijklmnopqrstuv").is_ok(), "hand-made ids have spare bits set");
    }

    #[test]
    fn texts_that_are_no_ids_are_told_why() {
        let too_long = "x".repeat(25);
        for (text, expected) in [
            (too_long.as_str(), UuidError::TooLong { shown: "x".repeat(24) }),
            ("not an id", UuidError::NotBase64 { text: "not an id".into() }),
            ("AAAA", UuidError::WrongLength { text: "AAAA".into(), bytes: 3 }),
            ("", UuidError::WrongLength { text: String::new(), bytes: 0 }),
        ] {
            assert_eq!(parse_kafka_base64(text), Err(expected));
        }
    }

    #[test]
    fn random_ids_never_start_with_a_dash() {
        let mut rolls = [62u128 << 122, 1].into_iter();
        let id = random_uuid(|| rolls.next().unwrap());
        assert_eq!(rolls.next(), None, "the first roll spells a leading dash and is thrown away");
        assert_eq!(id.get_version_num(), 4);
    }
}
