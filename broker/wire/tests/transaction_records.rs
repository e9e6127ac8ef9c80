//! Keys and values of `__transaction_state`, byte for byte as Apache Kafka 3.7.0's own classes write them
//! (`MessageUtil.toVersionPrefixedBytes`).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::unhex;
use jackdaw_wire::record_codec::RecordError;
use jackdaw_wire::transaction_record::*;

#[test]
fn keys_are_kafkas() {
    let key = TransactionLogKey { transactional_id: "shop".into(), ..Default::default() };
    assert_eq!(key.encode(), Ok(unhex("0000000473686f70")));
    assert_eq!(TransactionLogKey::decode(unhex("0000000473686f70")), Ok(Some(key)));
    assert_eq!(TransactionLogKey::decode(unhex("0007")), Ok(None), "of a later Kafka");
    assert_eq!(TransactionLogKey::decode(unhex("00")), Err(RecordError::Truncated));
}

#[test]
fn values_are_kafkas() {
    let ongoing = TransactionLogValue {
        producer_id: 258,
        producer_epoch: 7,
        transaction_timeout_ms: 60_000,
        transaction_status: 1,
        transaction_partitions: Some(vec![TransactionPartitions {
            topic: "t".into(),
            partition_ids: vec![0, 3],
            ..Default::default()
        }]),
        transaction_last_update_timestamp_ms: 1_700_000_000_000,
        transaction_start_timestamp_ms: 1_700_000_000_001,
        ..Default::default()
    };
    let empty = TransactionLogValue {
        transaction_status: 0,
        transaction_partitions: None,
        transaction_start_timestamp_ms: -1,
        ..ongoing.clone()
    };
    for (value, written, flexible) in [
        (
            ongoing,
            "0000000000000000010200070000ea6001000000010001740000000200000000000000030000018bcfe568000000018bcfe56801",
            "0001000000000000010200070000ea6001020274030000000000000003000000018bcfe568000000018bcfe5680100",
        ),
        (
            empty,
            "0000000000000000010200070000ea6000ffffffff0000018bcfe56800ffffffffffffffff",
            "0001000000000000010200070000ea6000000000018bcfe56800ffffffffffffffff00",
        ),
    ] {
        assert_eq!(value.encode(), Ok(unhex(written)));
        assert_eq!(TransactionLogValue::decode(unhex(written)), Ok(value.clone()));
        assert_eq!(TransactionLogValue::decode(unhex(flexible)), Ok(value), "version 1 is read");
    }
}
