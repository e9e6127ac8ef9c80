//! Changes as records of `__consumer_offsets` in Kafka's format, and back (`GroupCoordinatorRecordHelpers`,
//! `GroupMetadataManager.replay`).

use std::sync::Arc;

use jackdaw_wire::batch::BatchBuilder;
use jackdaw_wire::compression::Compression;
use jackdaw_wire::group_record::{
    self, AssignedTopic, ClassicMemberMetadata, ClassicProtocol, ConsumerGroupCurrentMemberAssignmentValue,
    ConsumerGroupKey, ConsumerGroupMemberMetadataValue, ConsumerGroupMetadataValue, ConsumerGroupPartKey,
    ConsumerGroupRegularExpressionValue, ConsumerGroupTargetAssignmentMemberValue,
    ConsumerGroupTargetAssignmentMetadataValue, GroupMetadataKey, key_type,
};
use jackdaw_wire::record_codec::{RecordError, Versioned};
use jackdaw_wire::{Bytes, StrBytes};

use super::{About, Change, Classic, Current, MemberState, Partitions, Resolved};
use crate::record::{GROUP_KEY_VERSION, GROUP_VALUE_VERSION, build};

/// One batch of all of them: they are applied together or not at all.
pub(crate) fn encode(
    group: &StrBytes,
    changes: &[Change],
    wall_ms: i64,
    compression: Compression,
) -> Result<Bytes, RecordError> {
    let mut batch = BatchBuilder::new(0, -1);
    append(&mut batch, group, changes, wall_ms)?;
    build(batch, compression)
}

pub(crate) fn append(
    batch: &mut BatchBuilder,
    group: &StrBytes,
    changes: &[Change],
    wall_ms: i64,
) -> Result<(), RecordError> {
    for change in changes {
        let (key, value) = key_and_value(group, change)?;
        batch.append(wall_ms, Some(&key), value.as_deref());
    }
    Ok(())
}

fn key_and_value(group: &StrBytes, change: &Change) -> Result<(Bytes, Option<Bytes>), RecordError> {
    let of_group = |key_type| {
        group_record::encode_key(
            &ConsumerGroupKey { group: group.to_string(), ..Default::default() },
            key_type,
        )
    };
    let of_part = |key_type, part: &StrBytes| {
        let key =
            ConsumerGroupPartKey { group: group.to_string(), part: part.to_string(), ..Default::default() };
        group_record::encode_key(&key, key_type)
    };
    let classic_key = || {
        let key = GroupMetadataKey { group: group.to_string(), ..Default::default() };
        group_record::encode(&key, GROUP_KEY_VERSION)
    };
    Ok(match change {
        Change::Group(value) => {
            let value = value.map(|(epoch, metadata_hash)| ConsumerGroupMetadataValue {
                epoch,
                metadata_hash,
                ..Default::default()
            });
            (of_group(key_type::CONSUMER_GROUP)?, value_of(value.as_ref())?)
        }
        // It is only ever deleted.
        Change::PartitionMetadata { .. } => (of_group(key_type::CONSUMER_PARTITION_METADATA)?, None),
        Change::TargetEpoch(epoch) => {
            let value = epoch.map(|assignment_epoch| ConsumerGroupTargetAssignmentMetadataValue {
                assignment_epoch,
                ..Default::default()
            });
            (of_group(key_type::CONSUMER_TARGET)?, value_of(value.as_ref())?)
        }
        Change::Target(id, target) => {
            let value = target.as_ref().map(|target| ConsumerGroupTargetAssignmentMemberValue {
                topic_partitions: assigned_topics(target),
                ..Default::default()
            });
            (of_part(key_type::CONSUMER_MEMBER_TARGET, id)?, value_of(value.as_ref())?)
        }
        Change::Member(id, about) => {
            let value = about.as_ref().map(|about| member_value(about));
            (of_part(key_type::CONSUMER_MEMBER, id)?, value_of(value.as_ref())?)
        }
        Change::Current(id, current) => {
            let value = current.as_ref().map(|current| ConsumerGroupCurrentMemberAssignmentValue {
                member_epoch: current.epoch,
                previous_member_epoch: current.previous_epoch,
                state: current.state.code(),
                assigned_partitions: assigned_topics(&current.assigned),
                partitions_pending_revocation: assigned_topics(&current.revoking),
                ..Default::default()
            });
            (of_part(key_type::CONSUMER_MEMBER_CURRENT, id)?, value_of(value.as_ref())?)
        }
        Change::Regex(regex, resolved) => {
            let value = resolved.as_ref().map(|resolved| ConsumerGroupRegularExpressionValue {
                topics: resolved.topics.iter().map(ToString::to_string).collect(),
                version: resolved.version,
                timestamp: resolved.wall_ms,
                ..Default::default()
            });
            (of_part(key_type::CONSUMER_REGEX, regex)?, value_of(value.as_ref())?)
        }
        Change::ClassicGone => (classic_key()?, None),
        Change::Classic(value) => (classic_key()?, Some(group_record::encode(value, GROUP_VALUE_VERSION)?)),
    })
}

fn value_of<T: Versioned>(value: Option<&T>) -> Result<Option<Bytes>, RecordError> {
    value.map(|value| group_record::encode(value, 0)).transpose()
}

fn assigned_topics(partitions: &Partitions) -> Vec<AssignedTopic> {
    let topic = |(topic_id, all): (&jackdaw_wire::Uuid, &std::collections::BTreeSet<i32>)| AssignedTopic {
        topic_id: *topic_id,
        partitions: all.iter().copied().collect(),
        ..Default::default()
    };
    partitions.iter().map(topic).collect()
}

fn partitions(topics: Vec<AssignedTopic>) -> Partitions {
    topics.into_iter().map(|topic| (topic.topic_id, topic.partitions.into_iter().collect())).collect()
}

fn member_value(about: &About) -> ConsumerGroupMemberMetadataValue {
    let text = |text: &Option<StrBytes>| text.as_ref().map(ToString::to_string);
    let classic = |classic: &Classic| ClassicMemberMetadata {
        session_timeout_ms: classic.session_timeout_ms,
        supported_protocols: classic
            .protocols
            .iter()
            .map(|(name, metadata)| ClassicProtocol {
                name: name.to_string(),
                metadata: metadata.clone(),
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    };
    ConsumerGroupMemberMetadataValue {
        instance_id: text(&about.instance_id),
        rack_id: text(&about.rack_id),
        client_id: about.client_id.to_string(),
        client_host: about.client_host.to_string(),
        subscribed_topic_names: about.topics.iter().map(ToString::to_string).collect(),
        subscribed_topic_regex: text(&about.topic_regex),
        rebalance_timeout_ms: about.rebalance_timeout_ms,
        server_assignor: text(&about.assignor),
        classic_member_metadata: about.classic.as_ref().map(classic),
        ..Default::default()
    }
}

fn about(value: ConsumerGroupMemberMetadataValue) -> About {
    let classic = |classic: ClassicMemberMetadata| Classic {
        session_timeout_ms: classic.session_timeout_ms,
        protocols: classic.supported_protocols.into_iter().map(|p| (p.name.into(), p.metadata)).collect(),
    };
    About {
        instance_id: value.instance_id.map(StrBytes::from),
        rack_id: value.rack_id.map(StrBytes::from),
        rebalance_timeout_ms: value.rebalance_timeout_ms,
        client_id: value.client_id.into(),
        client_host: value.client_host.into(),
        topics: value.subscribed_topic_names.into_iter().map(StrBytes::from).collect(),
        topic_regex: value.subscribed_topic_regex.map(StrBytes::from),
        assignor: value.server_assignor.map(StrBytes::from),
        classic: value.classic_member_metadata.map(classic),
    }
}

/// What a record about a group as a whole says.
pub(crate) fn load_of_group(key_type: i16, value: Option<Bytes>) -> Result<Change, RecordError> {
    Ok(match key_type {
        key_type::CONSUMER_GROUP => {
            let value = read::<ConsumerGroupMetadataValue>(value)?;
            Change::Group(value.map(|value| (value.epoch, value.metadata_hash)))
        }
        key_type::CONSUMER_TARGET => {
            let value = read::<ConsumerGroupTargetAssignmentMetadataValue>(value)?;
            Change::TargetEpoch(value.map(|value| value.assignment_epoch))
        }
        _ => Change::PartitionMetadata { is_there: value.is_some() },
    })
}

/// What a record about a member or a regular expression says.
pub(crate) fn load_of_part(key_type: i16, part: String, value: Option<Bytes>) -> Result<Change, RecordError> {
    let part = StrBytes::from(part);
    Ok(match key_type {
        key_type::CONSUMER_MEMBER => {
            let value = read::<ConsumerGroupMemberMetadataValue>(value)?;
            Change::Member(part, value.map(|value| Arc::new(about(value))))
        }
        key_type::CONSUMER_MEMBER_TARGET => {
            let value = read::<ConsumerGroupTargetAssignmentMemberValue>(value)?;
            Change::Target(part, value.map(|value| Arc::new(partitions(value.topic_partitions))))
        }
        key_type::CONSUMER_MEMBER_CURRENT => {
            let value = read::<ConsumerGroupCurrentMemberAssignmentValue>(value)?;
            let current = value.map(|value| Current {
                epoch: value.member_epoch,
                previous_epoch: value.previous_member_epoch,
                state: MemberState::of_code(value.state),
                assigned: partitions(value.assigned_partitions),
                revoking: partitions(value.partitions_pending_revocation),
            });
            Change::Current(part, current)
        }
        _ => {
            let value = read::<ConsumerGroupRegularExpressionValue>(value)?;
            let resolved = value.map(|value| Resolved {
                topics: value.topics.into_iter().map(StrBytes::from).collect(),
                version: value.version,
                wall_ms: value.timestamp,
            });
            Change::Regex(part, resolved)
        }
    })
}

fn read<T: Versioned>(value: Option<Bytes>) -> Result<Option<T>, RecordError> {
    value.map(|value| Ok(group_record::decode(value)?.0)).transpose()
}
