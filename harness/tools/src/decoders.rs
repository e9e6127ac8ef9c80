//! The records of Kafka's own logs as `kafka-dump-log.sh` shows them, and markers.

use jackdaw_wire::control_record::ControlRecord;
use jackdaw_wire::group_record::{self, GroupKey, GroupMember, GroupMetadataValue, OffsetCommitValue};
use jackdaw_wire::transaction_record::{TransactionLogKey, TransactionLogValue};
use jackdaw_wire::{Buf as _, Bytes, MetadataRecord};
use kafka_protocol::messages::ConsumerProtocolAssignment;
use kafka_protocol::protocol::Decodable as _;
use serde_json::json;

/// How keys and values are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decoder {
    /// As text.
    Text,
    /// Those of `__consumer_offsets`.
    Offsets,
    /// Those of `__transaction_state`.
    Transactions,
    /// Those of `__cluster_metadata`.
    Metadata,
}

/// Names of a transaction's states by number (`TransactionState`).
const STATES: [&str; 8] = [
    "Empty",
    "Ongoing",
    "PrepareCommit",
    "PrepareAbort",
    "CompleteCommit",
    "CompleteAbort",
    "Dead",
    "PrepareEpochFence",
];

type Shown = (Option<String>, Option<String>);

impl Decoder {
    /// Key and value of a record, where it has them.
    pub fn decode(self, offset: i64, key: Option<&[u8]>, value: Option<&[u8]>) -> Shown {
        match self {
            Decoder::Text => (key.map(text), value.map(text)),
            Decoder::Offsets => offsets(key, value),
            Decoder::Transactions => transactions(key, value),
            Decoder::Metadata => {
                let decoded = MetadataRecord::decode_versioned(copy(value));
                let shown = decoded.and_then(|(record, version)| record.to_json(version));
                let shown = shown.unwrap_or_else(|error| format!("Error at {offset}, skipping. {error}"));
                (None, Some(shown))
            }
        }
    }
}

fn copy(bytes: Option<&[u8]>) -> Bytes {
    Bytes::copy_from_slice(bytes.unwrap_or_default())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `GroupMetadataManager.formatRecordKeyAndValue`
fn offsets(key: Option<&[u8]>, value: Option<&[u8]>) -> Shown {
    let Ok(decoded) = GroupKey::decode(copy(key)) else {
        return (Some("<corrupt key>".to_owned()), value.map(|_| "<corrupt value>".to_owned()));
    };
    match decoded {
        GroupKey::Offset(key) => {
            let shown =
                format!("offset_commit::group={},partition={}-{}", key.group, key.topic, key.partition);
            let value = value.map_or_else(
                || "<DELETE>".to_owned(),
                |value| match group_record::decode::<OffsetCommitValue>(copy(Some(value))) {
                    Ok((value, _)) if value.metadata.is_empty() => format!("offset={}", value.offset),
                    Ok((value, _)) => format!("offset={},metadata={}", value.offset, value.metadata),
                    Err(_) => "<corrupt value>".to_owned(),
                },
            );
            (Some(shown), Some(value))
        }
        GroupKey::Group(key) => {
            let value = value.map_or_else(
                || "<DELETE>".to_owned(),
                |value| match group_record::decode::<GroupMetadataValue>(copy(Some(value))) {
                    Ok((value, _)) => group(&value),
                    Err(_) => "<corrupt value>".to_owned(),
                },
            );
            (Some(format!("group_metadata::group={}", key.group)), Some(value))
        }
        GroupKey::Consumer(kind, _) | GroupKey::ConsumerPart(kind, _) | GroupKey::Unknown(kind) => {
            (Some(format!("unknown::version={kind}")), None)
        }
    }
}

fn group(value: &GroupMetadataValue) -> String {
    let members: Vec<String> = value.members.iter().map(|member| assigned(value, member)).collect();
    json!({
        "protocolType": value.protocol_type,
        "protocol": value.protocol,
        "generationId": value.generation,
        "assignment": format!("{{{}}}", members.join(",")),
    })
    .to_string()
}

/// What a member has: partitions by name where it is a consumer, else bytes.
fn assigned(group: &GroupMetadataValue, member: &GroupMember) -> String {
    let id = &member.member_id;
    let mut bytes = member.assignment.clone();
    let version = bytes.try_get_i16().unwrap_or_default().clamp(0, 3);
    let decoded = ConsumerProtocolAssignment::decode(&mut bytes, version);
    let Some(assignment) = decoded.ok().filter(|_| group.protocol_type == "consumer") else {
        return format!("{id}={}", hex(&member.assignment));
    };
    let partitions: Vec<String> = assignment
        .assigned_partitions
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(|partition| format!("{}-{partition}", &*topic.topic)))
        .collect();
    let user_data = hex(&assignment.user_data.unwrap_or_default());
    let separator = if user_data.is_empty() { "" } else { ":" };
    format!("{id}=[{}]{separator}{user_data}", partitions.join(", "))
}

/// As one great number, which has no zeros in front.
fn hex(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    digits.trim_start_matches('0').to_owned()
}

/// `TransactionLog.formatRecordKeyAndValue`
fn transactions(key: Option<&[u8]>, value: Option<&[u8]>) -> Shown {
    let key = match TransactionLogKey::decode(copy(key)) {
        Ok(Some(key)) => key,
        _ => return (Some("<unknown key>".to_owned()), None),
    };
    let shown = value.map_or_else(
        || "<DELETE>".to_owned(),
        |value| match TransactionLogValue::decode(copy(Some(value))) {
            Err(_) => "<corrupt value>".to_owned(),
            Ok(value) => {
                let state = usize::try_from(value.transaction_status).ok().and_then(|state| STATES.get(state));
                let partitions: Vec<String> = value
                    .transaction_partitions
                    .unwrap_or_default()
                    .iter()
                    .flat_map(|topic| topic.partition_ids.iter().map(|id| format!("{}-{id}", topic.topic)))
                    .collect();
                format!(
                    "producerId:{},producerEpoch:{},state={},partitions=[{}],txnLastUpdateTimestamp={},txnTimeoutMs={}",
                    value.producer_id,
                    value.producer_epoch,
                    state.unwrap_or(&"unknown"),
                    partitions.join(","),
                    value.transaction_last_update_timestamp_ms,
                    value.transaction_timeout_ms
                )
            }
        },
    );
    (Some(format!("transaction_metadata::transactionalId={}", key.transactional_id)), Some(shown))
}

/// What a marker says, with a blank in front.
pub fn control(key: &[u8], value: &[u8]) -> String {
    match ControlRecord::decode(key, value) {
        Ok(ControlRecord::Abort { coordinator_epoch }) => {
            format!(" endTxnMarker: ABORT coordinatorEpoch: {coordinator_epoch}")
        }
        Ok(ControlRecord::Commit { coordinator_epoch }) => {
            format!(" endTxnMarker: COMMIT coordinatorEpoch: {coordinator_epoch}")
        }
        Ok(ControlRecord::SnapshotHeader(header)) => format!(
            " SnapshotHeader {{\"version\":{},\"lastContainedLogTimestamp\":{}}}",
            header.version, header.last_contained_log_timestamp
        ),
        Ok(ControlRecord::SnapshotFooter(footer)) => {
            format!(" SnapshotFooter {{\"version\":{}}}", footer.version)
        }
        Ok(ControlRecord::LeaderChange(_)) => " controlType: LEADER_CHANGE(2)".to_owned(),
        Ok(ControlRecord::Unknown { kind }) => format!(" controlType: UNKNOWN({kind})"),
        Err(error) => format!(" controlType: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_shown_with_what_its_members_have() {
        let member = |id: &str, assignment: &'static [u8]| GroupMember {
            member_id: id.into(),
            assignment: Bytes::from_static(assignment),
            ..Default::default()
        };
        let value = GroupMetadataValue {
            protocol_type: "consumer".into(),
            generation: 3,
            protocol: Some("range".into()),
            members: vec![
                member("a", b"\0\0\0\0\0\x01\0\x01t\0\0\0\x02\0\0\0\0\0\0\0\x01\xff\xff\xff\xff"),
                member("b", b"\0\0\0\0\0\0\0\0\0\x02\x0a\x0b"),
            ],
            ..Default::default()
        };
        let of = |value: &GroupMetadataValue| {
            offsets(Some(b"\0\x02\0\x01g"), Some(&group_record::encode(value, 3).unwrap()))
        };
        let key = || Some("group_metadata::group=g".to_owned());
        let shown = |assignment: &str, kind: &str| {
            Some(format!(
                r#"{{"protocolType":"{kind}","protocol":"range","generationId":3,"assignment":"{assignment}"}}"#
            ))
        };
        assert_eq!(of(&value), (key(), shown("{a=[t-0, t-1],b=[]:A0B}", "consumer")));
        let connect = GroupMetadataValue {
            protocol_type: "connect".into(),
            members: vec![member("w", b"\x01\x02\0")],
            ..value
        };
        assert_eq!(of(&connect), (key(), shown("{w=10200}", "connect")));
        assert_eq!(offsets(Some(b"\0\x02\0\x01g"), None), (key(), Some("<DELETE>".into())));
        assert_eq!(offsets(Some(b"\0\x03\0\x01g"), Some(b"")), (Some("unknown::version=3".into()), None));
    }
}
