//! Kafka on the wire: frames, request headers, record batches, and the records that Kafka keeps in its own logs.
//!
//! Values in, values out: this crate has no clock, no socket and no file of its own. `segment::Segment` may name
//! a file, but only whoever owns the socket reads it.

pub mod api;
pub mod batch;
pub mod compression;
pub mod consumer_group;
pub mod control_record;
pub mod down_convert;
pub mod error_code;
pub mod fetch;
pub mod frame;
pub mod group_record;
pub mod keep;
pub mod legacy;
pub mod metadata_record;
pub mod record_codec;
pub mod records;
pub mod schema;
pub mod segment;
pub mod transaction_record;
pub mod types;
pub mod validate;
mod validate_cold;
pub mod varint;

/// The request and response structs of Kafka's RPCs.
pub use kafka_protocol::messages;
/// `Encodable`, `Decodable`, `Request`, `StrBytes`, …
pub use kafka_protocol::protocol;

pub use bytes::{Buf, BufMut, Bytes, BytesMut};
pub use error_code::ErrorCode;
pub use kafka_protocol::messages::ApiKey;
pub use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Message, Request, StrBytes};
pub use metadata_record::MetadataRecord;
pub use types::{OffsetAndEpoch, TopicPartition, Uuid};
