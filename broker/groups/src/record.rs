//! What the machine writes: batches of `__consumer_offsets` (`GroupMetadataManager.storeGroup`,
//! `generateOffsetRecords`).

use std::collections::BTreeMap;

use jackdaw_wire::batch::BatchBuilder;
use jackdaw_wire::compression::Compression;
use jackdaw_wire::group_record::{
    self, GroupMember, GroupMetadataKey, GroupMetadataValue, OffsetCommitKey, OffsetCommitValue,
};
use jackdaw_wire::record_codec::RecordError;
use jackdaw_wire::{Bytes, StrBytes};

use crate::consumer::{self, Change};
use crate::group::Group;
use crate::machine::Context;
use crate::member::Member;
use crate::offsets::{CommittedOffset, TopicPartition};

/// The versions that `metadata.version` 3.0 and later write.
const OFFSET_KEY_VERSION: i16 = 1;
const OFFSET_VALUE_VERSION: i16 = 3;
/// The only version with an expiry of its own.
const EXPIRING_OFFSET_VALUE_VERSION: i16 = 1;
pub(crate) const GROUP_KEY_VERSION: i16 = 2;
pub(crate) const GROUP_VALUE_VERSION: i16 = 3;

/// A transaction's producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Producer {
    pub id: i64,
    pub epoch: i16,
}

/// The group as it is, with these assignments.
pub(crate) fn group(
    group: &Group,
    assignment: &BTreeMap<StrBytes, Bytes>,
    context: &Context<'_>,
) -> Result<Bytes, RecordError> {
    let protocol = group.protocol.clone().unwrap_or_default();
    let member = |m: &Member| GroupMember {
        member_id: m.id.to_string(),
        group_instance_id: m.instance_id.as_ref().map(ToString::to_string),
        client_id: m.client_id.to_string(),
        client_host: m.client_host.to_string(),
        rebalance_timeout: m.rebalance_timeout_ms,
        session_timeout: m.session_timeout_ms,
        subscription: m.metadata(&protocol),
        assignment: assignment.get(&m.id).cloned().unwrap_or_default(),
        ..Default::default()
    };
    let value = GroupMetadataValue {
        protocol_type: group.protocol_type.clone().unwrap_or_default().to_string(),
        generation: group.generation,
        protocol: group.protocol.as_ref().map(ToString::to_string),
        leader: group.leader.as_ref().map(ToString::to_string),
        current_state_timestamp: group.state_since_ms.unwrap_or(-1),
        members: group.members.values().map(member).collect(),
        ..Default::default()
    };
    let value = group_record::encode(&value, GROUP_VALUE_VERSION)?;
    let mut batch = BatchBuilder::new(0, -1);
    batch.append(context.now.wall_ms, Some(&group_key(&group.id)?), Some(&value));
    build(batch, context.config.compression)
}

pub(crate) fn offsets(
    group: &StrBytes,
    offsets: &BTreeMap<TopicPartition, CommittedOffset>,
    producer: Option<Producer>,
    context: &Context<'_>,
) -> Result<Bytes, RecordError> {
    let mut batch = BatchBuilder::new(0, -1);
    if let Some(producer) = producer {
        batch = batch.transactional().producer(producer.id, producer.epoch, 0);
    }
    for (partition, offset) in offsets {
        let version = match offset.expire_timestamp_ms {
            Some(_) => EXPIRING_OFFSET_VALUE_VERSION,
            None => OFFSET_VALUE_VERSION,
        };
        let value = OffsetCommitValue {
            offset: offset.offset,
            leader_epoch: offset.leader_epoch,
            metadata: offset.metadata.to_string(),
            commit_timestamp: offset.commit_timestamp_ms,
            expire_timestamp: offset.expire_timestamp_ms.unwrap_or(-1),
            ..Default::default()
        };
        let value = group_record::encode(&value, version)?;
        batch.append(context.now.wall_ms, Some(&offset_key(group, partition)?), Some(&value));
    }
    build(batch, context.config.compression)
}

/// What else goes with a group's offsets.
pub(crate) enum Ends {
    Nothing,
    /// The group of the classic protocol.
    Classic,
    /// Everything that says there was a group of the consumer protocol.
    Consumer(Vec<Change>),
}

/// Offsets are gone, and perhaps the group. None where there is nothing to say.
pub(crate) fn tombstones(
    group: &StrBytes,
    offsets: &[TopicPartition],
    ends: &Ends,
    wall_ms: i64,
    compression: Compression,
) -> Option<Result<Bytes, RecordError>> {
    if offsets.is_empty() && matches!(ends, Ends::Nothing) {
        return None;
    }
    let mut batch = BatchBuilder::new(0, -1);
    let mut fill = || {
        for partition in offsets {
            batch.append(wall_ms, Some(&offset_key(group, partition)?), None);
        }
        match ends {
            Ends::Nothing => {}
            Ends::Classic => batch.append(wall_ms, Some(&group_key(group)?), None),
            Ends::Consumer(changes) => consumer::append(&mut batch, group, changes, wall_ms)?,
        }
        Ok(())
    };
    Some(fill().and_then(|()| build(batch, compression)))
}

fn offset_key(group: &StrBytes, partition: &TopicPartition) -> Result<Bytes, RecordError> {
    let key = OffsetCommitKey {
        group: group.to_string(),
        topic: partition.0.to_string(),
        partition: partition.1,
        ..Default::default()
    };
    group_record::encode(&key, OFFSET_KEY_VERSION)
}

fn group_key(group: &StrBytes) -> Result<Bytes, RecordError> {
    let key = GroupMetadataKey { group: group.to_string(), ..Default::default() };
    group_record::encode(&key, GROUP_KEY_VERSION)
}

pub(crate) fn build(batch: BatchBuilder, compression: Compression) -> Result<Bytes, RecordError> {
    match compression {
        Compression::None => Ok(batch.build()),
        // Only writing to memory can fail, and does not.
        codec => batch.build_compressed(codec).map_err(|_| RecordError::TooLong(0)),
    }
}
