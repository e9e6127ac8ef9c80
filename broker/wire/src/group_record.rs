//! The records of `__consumer_offsets`: keys and values with their version in front, of which a table tells the fields.
//!
//! The facts are those of Kafka's record definitions (`OffsetCommitKey`, `GroupMetadataValue`, …): of 3.7 for offsets and
//! classic groups, of 4.1 for groups of the consumer protocol (KIP-848), which older coordinators pass over. What a
//! record does to a group is the business of `jackdaw-groups`.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use uuid::Uuid;

use crate::record_codec::{Codec, RecordError, Shape, Versioned, WithLength, read_uvarint, record_structs};
use crate::varint;

record_structs! {
    /// Whose offset, and of what.
    OffsetCommitKey 0..=1 flexible 32767 {
        group: String, since 0;
        topic: String, since 0;
        partition: i32, since 0;
    }

    OffsetCommitValue 0..=4 flexible 4 {
        offset: i64, since 0;
        leader_epoch: i32 = -1, since 3 ignorable true;
        metadata: String, since 0;
        commit_timestamp: i64, since 0;
        /// Version 1 alone has it, and so it is written for whoever sets it.
        expire_timestamp: i64 = -1, since 1 until 1 ignorable true;
    }

    GroupMetadataKey 2..=2 flexible 32767 {
        group: String, since 2;
    }

    GroupMetadataValue 0..=4 flexible 4 {
        protocol_type: String, since 0;
        generation: i32, since 0;
        protocol: Option<String>, since 0;
        leader: Option<String>, since 0;
        current_state_timestamp: i64 = -1, since 2 ignorable true;
        members: Vec<GroupMember>, since 0;
    }

    GroupMember {
        member_id: String, since 0;
        group_instance_id: Option<String>, since 3 ignorable true;
        client_id: String, since 0;
        client_host: String, since 0;
        rebalance_timeout: i32 = -1, since 1 ignorable true;
        session_timeout: i32, since 0;
        subscription: Bytes, since 0;
        assignment: Bytes, since 0;
    }

    /// The key of what is kept once for a group of the consumer protocol: its epoch, the epoch of its target.
    ConsumerGroupKey 0..=0 flexible 32767 {
        group: String, since 0;
    }

    /// The key of what is kept for each of its members, or of its regular expressions.
    ConsumerGroupPartKey 0..=0 flexible 32767 {
        group: String, since 0;
        /// A member's id, or the expression.
        part: String, since 0;
    }

    ConsumerGroupMetadataValue 0..=0 flexible 0 {
        epoch: i32, since 0;
        /// Of the topics that it subscribes to (KIP-1101).
        metadata_hash: i64 = 0, since 0 tag 0;
    }

    ConsumerGroupMemberMetadataValue 0..=0 flexible 0 {
        instance_id: Option<String>, since 0;
        rack_id: Option<String>, since 0;
        client_id: String, since 0;
        client_host: String, since 0;
        subscribed_topic_names: Vec<String>, since 0;
        subscribed_topic_regex: Option<String>, since 0;
        rebalance_timeout_ms: i32 = -1, since 0;
        server_assignor: Option<String>, since 0;
        /// Null for members of the consumer protocol, which is written; left out is not null (the default of
        /// Kafka's generated class).
        classic_member_metadata: Option<ClassicMemberMetadata> = Some(ClassicMemberMetadata::default()), since 0 tag 0;
    }

    ClassicMemberMetadata {
        session_timeout_ms: i32, since 0;
        supported_protocols: Vec<ClassicProtocol>, since 0;
    }

    ClassicProtocol {
        name: String, since 0;
        metadata: Bytes, since 0;
    }

    ConsumerGroupTargetAssignmentMetadataValue 0..=0 flexible 0 {
        assignment_epoch: i32, since 0;
    }

    ConsumerGroupTargetAssignmentMemberValue 0..=0 flexible 0 {
        topic_partitions: Vec<AssignedTopic>, since 0;
    }

    ConsumerGroupCurrentMemberAssignmentValue 0..=0 flexible 0 {
        member_epoch: i32, since 0;
        previous_member_epoch: i32, since 0;
        state: i8, since 0;
        assigned_partitions: Vec<AssignedTopic>, since 0;
        partitions_pending_revocation: Vec<AssignedTopic>, since 0;
    }

    AssignedTopic {
        topic_id: Uuid, since 0;
        partitions: Vec<i32>, since 0;
    }

    ConsumerGroupRegularExpressionValue 0..=0 flexible 0 {
        topics: Vec<String>, since 0;
        version: i64, since 0;
        timestamp: i64, since 0;
    }
}

/// In a tagged field a nullable struct is marked by a varint.
impl WithLength for ClassicMemberMetadata {
    fn write_nullable(value: Option<&Self>, out: &mut BytesMut, shape: Shape) -> Result<(), RecordError> {
        varint::put_u32(out, u32::from(value.is_some()));
        value.map_or(Ok(()), |value| value.write(out, shape))
    }
    fn read_nullable(input: &mut Bytes, shape: Shape) -> Result<Option<Self>, RecordError> {
        match read_uvarint(input)? {
            0 => Ok(None),
            _ => Self::read(input, shape).map(Some),
        }
    }
    fn show(&self, out: &mut String, shape: Shape) {
        self.json(out, shape);
    }
}

/// The types of keys, which stand where a version would.
pub mod key_type {
    pub const CONSUMER_GROUP: i16 = 3;
    /// Written by 4.0 and before, deleted by 4.1.
    pub const CONSUMER_PARTITION_METADATA: i16 = 4;
    pub const CONSUMER_MEMBER: i16 = 5;
    pub const CONSUMER_TARGET: i16 = 6;
    pub const CONSUMER_MEMBER_TARGET: i16 = 7;
    pub const CONSUMER_MEMBER_CURRENT: i16 = 8;
    pub const CONSUMER_REGEX: i16 = 16;
}

/// What a record is about (`GroupMetadataManager.readMessageKey`).
#[derive(Debug, Clone, PartialEq)]
pub enum GroupKey {
    Offset(OffsetCommitKey),
    Group(GroupMetadataKey),
    /// Something of a group of the consumer protocol; the type is one of [`key_type`].
    Consumer(i16, ConsumerGroupKey),
    /// Something of one of its members, or the topics of one of its regular expressions.
    ConsumerPart(i16, ConsumerGroupPartKey),
    /// Of a later Kafka: skipped by whoever does not know it, as in Kafka.
    Unknown(i16),
}

impl GroupKey {
    pub fn decode(key: Bytes) -> Result<Self, RecordError> {
        let (version, mut fields) = split_version(key)?;
        // Bytes behind the fields are not looked at, as in Kafka.
        Ok(match version {
            0..=1 => Self::Offset(read(&mut fields, version)?),
            2 => Self::Group(read(&mut fields, version)?),
            key_type::CONSUMER_GROUP | key_type::CONSUMER_PARTITION_METADATA | key_type::CONSUMER_TARGET => {
                Self::Consumer(version, read(&mut fields, 0)?)
            }
            key_type::CONSUMER_MEMBER
            | key_type::CONSUMER_MEMBER_TARGET
            | key_type::CONSUMER_MEMBER_CURRENT
            | key_type::CONSUMER_REGEX => Self::ConsumerPart(version, read(&mut fields, 0)?),
            unknown => Self::Unknown(unknown),
        })
    }
}

/// `MessageUtil.toVersionPrefixedBytes`.
pub fn encode<T: Versioned>(record: &T, version: i16) -> Result<Bytes, RecordError> {
    let mut out = BytesMut::with_capacity(64);
    out.put_i16(version);
    record.write_version(&mut out, version)?;
    Ok(out.freeze())
}

/// A key of this type, whose fields have no versions.
pub fn encode_key<T: Versioned>(key: &T, key_type: i16) -> Result<Bytes, RecordError> {
    let mut out = BytesMut::with_capacity(64);
    out.put_i16(key_type);
    key.write_version(&mut out, 0)?;
    Ok(out.freeze())
}

/// Reads a value with its version in front.
pub fn decode<T: Versioned>(value: Bytes) -> Result<(T, i16), RecordError> {
    let (version, mut fields) = split_version(value)?;
    Ok((read(&mut fields, version)?, version))
}

fn read<T: Versioned>(fields: &mut Bytes, version: i16) -> Result<T, RecordError> {
    T::read(fields, T::shape(version)?)
}

fn split_version(mut bytes: Bytes) -> Result<(i16, Bytes), RecordError> {
    let version = bytes.try_get_i16().map_err(|_| RecordError::Truncated)?;
    Ok((version, bytes))
}
