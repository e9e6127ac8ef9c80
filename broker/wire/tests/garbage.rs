//! Whatever bytes arrive, decoding ends in a value or an error: never in a panic, never in memory without end.
//! Each test prints its seed; `JACKDAW_SEED=…` replays it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use bytes::Bytes;
use common::{Dice, golden_batches};
use jackdaw_wire::api;
use jackdaw_wire::batch::{BatchRef, complete_batches};
use jackdaw_wire::compression::Allowance;
use jackdaw_wire::control_record::ControlRecord;
use jackdaw_wire::down_convert::{Wanted, down_convert};
use jackdaw_wire::frame::{LENGTH_BYTES, decode_request, decode_request_header, encode_request};
use jackdaw_wire::legacy::{self, Message};
use jackdaw_wire::messages::*;
use jackdaw_wire::metadata_record::MetadataRecord;
use jackdaw_wire::protocol::{Request, StrBytes};

fn read_batches(bytes: &Bytes) {
    let mut scratch = Vec::new();
    for batch in complete_batches(bytes).flatten() {
        let _ = batch.check_crc();
        if let Ok(records) = batch.records(1 << 20, &mut scratch) {
            for record in records.flatten() {
                let _ = record.headers.iter().count();
                let _ = batch.header.timestamp_of(record.timestamp_delta_ms);
                let _ =
                    ControlRecord::decode(record.key.unwrap_or_default(), record.value.unwrap_or_default());
            }
        }
    }
}

#[test]
fn garbage_is_no_batch() {
    let mut dice = Dice::new();
    for _ in 0..20_000 {
        let length = dice.below(200);
        read_batches(&dice.bytes(length).into());
    }
}

#[test]
fn damaged_batches_are_survived() {
    let mut dice = Dice::new();
    let originals = golden_batches();
    for _ in 0..30_000 {
        let (_, original) = &originals[dice.below(originals.len())];
        let damaged = dice.damaged(original);
        let _ = BatchRef::parse(&damaged);
        read_batches(&damaged);
    }
}

#[test]
fn damaged_metadata_records_are_survived() {
    let mut dice = Dice::new();
    for record in MetadataRecord::one_of_each() {
        for version in record.versions() {
            let encoded = record.encode(version).unwrap();
            assert_eq!(MetadataRecord::decode_versioned(encoded.clone()), Ok((record.clone(), version)));
            for _ in 0..2_000 {
                let damaged = dice.damaged(&encoded);
                if let Ok((read, version)) = MetadataRecord::decode_versioned(damaged) {
                    // What was read can be written and is read the same again.
                    let written = read.encode(version).unwrap();
                    let again = MetadataRecord::decode_versioned(written.clone()).unwrap();
                    assert_eq!(again.0.encode(version).unwrap(), written);
                }
            }
        }
    }
}

#[test]
fn damaged_message_sets_are_survived() {
    let mut dice = Dice::new();
    let originals = golden_batches();
    for _ in 0..10_000 {
        let (_, original) = &originals[dice.below(originals.len())];
        let damaged = dice.damaged(original);
        for message in legacy::messages(&damaged).flatten() {
            let _ = message.check_crc();
            let inner = |inner: Message<'_>| inner.check_crc();
            let _ = message.unpack(&Allowance::new(1 << 20), 1 << 20, inner);
        }
        let magic = dice.below(2) as i8;
        let wanted = Wanted { magic, first_offset: 0, record_limit_bytes: 1 << 20, unpacked_bytes: 1 << 20 };
        let _ = down_convert(complete_batches(&damaged), damaged.len(), &wanted);
    }
}

/// Requests of one kind in every version: whole ones, damaged ones, and garbage behind a good header.
fn requests<R: Request + Default + PartialEq>(dice: &mut Dice) {
    let api = api::find(R::KEY).unwrap();
    for version in api.min_version..=api.max_version {
        // A default request cannot always be written in every version; where not, garbage has to do.
        let whole = encode_request(version, 1, &StrBytes::from_static_str("fuzz"), &R::default());
        for round in 0..150 {
            let mut body = match &whole {
                Ok(frame) if round == 0 => frame.slice(LENGTH_BYTES..),
                Ok(frame) if round % 2 == 0 => dice.damaged(&frame[LENGTH_BYTES..]),
                _ => {
                    let length = dice.below(60);
                    let mut bytes =
                        [&R::KEY.to_be_bytes()[..], &version.to_be_bytes(), &[0, 0, 0, 9, 0, 0]].concat();
                    bytes.extend(dice.bytes(length).into_iter().map(|byte| match byte % 4 {
                        0 => 0x7f,
                        1 => 0xff,
                        2 => 0,
                        _ => byte,
                    }));
                    bytes.into()
                }
            };
            if let Ok(header) = decode_request_header(&mut body) {
                let read = decode_request::<R>(header.api_version, &mut body);
                assert!(
                    round > 0 || whole.is_err() || read.is_ok(),
                    "{} {version}: {:?}",
                    api.name,
                    read.err()
                );
            }
        }
    }
}

#[test]
fn damaged_requests_are_survived() {
    let mut dice = Dice::new();
    macro_rules! all {
        ($($request:ident)*) => { $(requests::<$request>(&mut dice);)* };
    }
    all! {
        ProduceRequest FetchRequest ListOffsetsRequest MetadataRequest OffsetCommitRequest OffsetFetchRequest
        FindCoordinatorRequest JoinGroupRequest HeartbeatRequest LeaveGroupRequest SyncGroupRequest
        DescribeGroupsRequest ListGroupsRequest ApiVersionsRequest CreateTopicsRequest
        DeleteTopicsRequest DeleteRecordsRequest InitProducerIdRequest OffsetForLeaderEpochRequest
        AddPartitionsToTxnRequest AddOffsetsToTxnRequest EndTxnRequest WriteTxnMarkersRequest TxnOffsetCommitRequest
        DescribeConfigsRequest AlterConfigsRequest DescribeLogDirsRequest
        CreatePartitionsRequest DeleteGroupsRequest ElectLeadersRequest IncrementalAlterConfigsRequest
        AlterPartitionReassignmentsRequest VoteRequest BeginQuorumEpochRequest EndQuorumEpochRequest
        DescribeQuorumRequest AlterPartitionRequest UpdateFeaturesRequest EnvelopeRequest FetchSnapshotRequest
        DescribeClusterRequest BrokerRegistrationRequest BrokerHeartbeatRequest UnregisterBrokerRequest
        AllocateProducerIdsRequest ControllerRegistrationRequest AssignReplicasToDirsRequest
    }
}
