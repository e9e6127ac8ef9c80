//! A transaction as a record of `__transaction_state`, and back (`TransactionLog`).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use jackdaw_wire::TopicPartition;
use jackdaw_wire::record_codec::RecordError;
use jackdaw_wire::transaction_record::{TransactionLogKey, TransactionLogValue, TransactionPartitions};

use crate::state::State;
use crate::transaction::{NO_EPOCH, NO_PRODUCER_ID, Transaction, Transit};

/// Why a record of the log is passed over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// Of a later Kafka.
    #[error("its key has the unknown version {0}")]
    UnknownKey(i16),
    #[error("its key is missing")]
    NoKey,
    #[error("its key: {0}")]
    Key(RecordError),
    #[error("its value: {0}")]
    Value(RecordError),
    #[error("its value: unknown transaction state id {0}")]
    State(i8),
}

pub(crate) fn key(transactional_id: &str) -> Result<Bytes, RecordError> {
    TransactionLogKey { transactional_id: transactional_id.to_owned(), ..TransactionLogKey::default() }
        .encode()
}

pub(crate) fn value(transit: &Transit) -> Result<Bytes, RecordError> {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for tp in &transit.partitions {
        topics.entry(&tp.topic).or_default().push(tp.partition);
    }
    let partitions = topics.into_iter().map(|(topic, partition_ids)| TransactionPartitions {
        topic: topic.to_owned(),
        partition_ids,
        ..TransactionPartitions::default()
    });
    TransactionLogValue {
        producer_id: transit.producer_id,
        producer_epoch: transit.producer_epoch,
        transaction_timeout_ms: transit.timeout_ms,
        transaction_status: transit.state.id(),
        transaction_partitions: (transit.state != State::Empty).then(|| partitions.collect()),
        transaction_last_update_timestamp_ms: transit.updated_ms,
        transaction_start_timestamp_ms: transit.start_ms,
        ..TransactionLogValue::default()
    }
    .encode()
}

/// The id a record is about, and its transaction; none for a tombstone.
pub(crate) fn read(
    key: Option<Bytes>,
    value: Option<Bytes>,
) -> Result<(String, Option<Transaction>), LoadError> {
    let key = key.ok_or(LoadError::NoKey)?;
    let version = key.first_chunk().map_or(-1, |version| i16::from_be_bytes(*version));
    let key =
        TransactionLogKey::decode(key).map_err(LoadError::Key)?.ok_or(LoadError::UnknownKey(version))?;
    let Some(value) = value else { return Ok((key.transactional_id, None)) };
    let value = TransactionLogValue::decode(value).map_err(LoadError::Value)?;
    let state = State::from_id(value.transaction_status).ok_or(LoadError::State(value.transaction_status))?;
    let partitions: BTreeSet<TopicPartition> = value
        .transaction_partitions
        .filter(|_| state != State::Empty)
        .into_iter()
        .flatten()
        .flat_map(|topic| {
            let name: std::sync::Arc<str> = topic.topic.into();
            topic
                .partition_ids
                .into_iter()
                .map(move |id| TopicPartition::new(std::sync::Arc::clone(&name), id))
        })
        .collect();
    let transaction = Transaction {
        producer_id: value.producer_id,
        last_producer_id: NO_PRODUCER_ID,
        producer_epoch: value.producer_epoch,
        last_producer_epoch: NO_EPOCH,
        timeout_ms: value.transaction_timeout_ms,
        state,
        partitions,
        start_ms: value.transaction_start_timestamp_ms,
        begun_steady_ms: 0,
        updated_ms: value.transaction_last_update_timestamp_ms,
        pending: None,
        has_failed_fence: false,
    };
    Ok((key.transactional_id, Some(transaction)))
}
