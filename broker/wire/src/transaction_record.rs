//! The records of `__transaction_state`: a key and a value with their version in front.
//!
//! The facts are those of Kafka 3.7's `TransactionLogKey` and `TransactionLogValue`. What a record does to a
//! transaction is the business of `jackdaw-transactions`.

use bytes::{Buf, Bytes};

use crate::group_record;
use crate::record_codec::{RecordError, Versioned, record_structs};

record_structs! {
    TransactionLogKey 0..=0 flexible 32767 {
        transactional_id: String, since 0;
    }

    TransactionLogValue 0..=1 flexible 1 {
        producer_id: i64, since 0;
        producer_epoch: i16, since 0;
        transaction_timeout_ms: i32, since 0;
        /// `TransactionState.id`
        transaction_status: i8, since 0;
        /// None while nothing has begun.
        transaction_partitions: Option<Vec<TransactionPartitions>>, since 0;
        /// Milliseconds since 1970, as the next one.
        transaction_last_update_timestamp_ms: i64, since 0;
        transaction_start_timestamp_ms: i64, since 0;
    }

    TransactionPartitions {
        topic: String, since 0;
        partition_ids: Vec<i32>, since 0;
    }
}

/// What Kafka 3.7 writes: the highest version that is not flexible.
const WRITTEN_VERSION: i16 = 0;

impl TransactionLogKey {
    pub fn encode(&self) -> Result<Bytes, RecordError> {
        group_record::encode(self, WRITTEN_VERSION)
    }

    /// None for a key of a later Kafka, which is passed over.
    pub fn decode(key: Bytes) -> Result<Option<Self>, RecordError> {
        let version = key.clone().try_get_i16().map_err(|_| RecordError::Truncated)?;
        if !(Self::MIN_VERSION..=Self::MAX_VERSION).contains(&version) {
            return Ok(None);
        }
        group_record::decode(key).map(|(key, _)| Some(key))
    }
}

impl TransactionLogValue {
    pub fn encode(&self) -> Result<Bytes, RecordError> {
        group_record::encode(self, WRITTEN_VERSION)
    }

    pub fn decode(value: Bytes) -> Result<Self, RecordError> {
        group_record::decode(value).map(|(value, _)| value)
    }
}
