//! The records of `__consumer_offsets`: keys and values with their version in front, of which a table tells the fields.
//!
//! The facts are those of Kafka 3.7's record definitions (`OffsetCommitKey`, `GroupMetadataValue`, …). What a record
//! does to a group is the business of `jackdaw-groups`.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::record_codec::{RecordError, Versioned, record_structs};

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
}

/// What a record is about (`GroupMetadataManager.readMessageKey`).
#[derive(Debug, Clone, PartialEq)]
pub enum GroupKey {
    Offset(OffsetCommitKey),
    Group(GroupMetadataKey),
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
