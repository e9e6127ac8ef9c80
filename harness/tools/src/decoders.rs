//! The records of Kafka's own logs as `kafka-dump-log.sh` shows them, and markers.

use jackdaw_wire::control_record::ControlRecord;
use jackdaw_wire::group_record::{self, GroupKey, OffsetCommitValue};
use jackdaw_wire::transaction_record::{TransactionLogKey, TransactionLogValue};
use jackdaw_wire::{Bytes, MetadataRecord};

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
            let value = match value {
                None => "<DELETE>".to_owned(),
                Some(value) => format!("{} bytes", value.len()),
            };
            (Some(format!("group_metadata::group={}", key.group)), Some(value))
        }
        _ => (Some("unknown::version".to_owned()), value.map(|value| format!("{} bytes", value.len()))),
    }
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
