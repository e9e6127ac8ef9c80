//! Byte for byte what Apache Kafka 3.7.0 writes. The hexadecimal texts came out of its own classes
//! (`MetadataRecordSerde`, `MessageUtil.toByteBuffer`, and `kafka-storage format` for the snapshot).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use bytes::{Bytes, BytesMut};
use common::{golden_batch, unhex};
use jackdaw_wire::batch::{BatchBuilder, BatchRef, batches};
use jackdaw_wire::control_record::*;
use jackdaw_wire::metadata_record::*;
use jackdaw_wire::types::{DIR_LOST, Uuid};

const TOPIC: Uuid = Uuid::from_u128(0x0102030405060708090a0b0c0d0e0f10);
const DIR_1: Uuid = Uuid::from_u64_pair(5, 100);
const DIR_2: Uuid = Uuid::from_u64_pair(6, 200);

/// The record is written as the reference writes it, and read back as it was.
fn check(record: impl Into<MetadataRecord>, version: i16, hex: &str) {
    let record = record.into();
    let encoded = record.encode(version).unwrap();
    assert_eq!(encoded, unhex(hex), "{record:?} wrote {encoded:02x?}");
    assert_eq!(MetadataRecord::decode_versioned(encoded), Ok((record, version)));
}

#[test]
fn registrations_are_kafkas() {
    let broker = RegisterBrokerRecord {
        broker_id: 3,
        incarnation_id: TOPIC,
        broker_epoch: 77,
        end_points: vec![BrokerEndpoint {
            name: "PLAINTEXT".into(),
            host: "kafka-0".into(),
            port: 39092,
            ..Default::default()
        }],
        features: vec![BrokerFeature {
            name: "metadata.version".into(),
            min_supported_version: 1,
            max_supported_version: 19,
            ..Default::default()
        }],
        rack: Some("r1".into()),
        log_dirs: vec![DIR_1, DIR_2],
        ..Default::default()
    };
    check(
        broker.clone(),
        3,
        "01000300000003000102030405060708090a0b0c0d0e0f10000000000000004d020a504c41494e54455854086b61666b612d3098b4000000
         02116d657461646174612e76657273696f6e000100130003723101000100210300000000000000050000000000000064000000000000000600
         000000000000c8",
    );
    check(
        RegisterBrokerRecord { rack: None, log_dirs: vec![], ..broker },
        0,
        "010000000000030102030405060708090a0b0c0d0e0f10000000000000004d020a504c41494e54455854086b61666b612d3098b400000002
         116d657461646174612e76657273696f6e0001001300000100",
    );
    check(
        RegisterControllerRecord {
            controller_id: 3,
            incarnation_id: TOPIC,
            end_points: vec![ControllerEndpoint {
                name: "CONTROLLER".into(),
                host: "kafka-0".into(),
                port: 9093,
                ..Default::default()
            }],
            ..Default::default()
        },
        0,
        "011b00000000030102030405060708090a0b0c0d0e0f1000020b434f4e54524f4c4c4552086b61666b612d3023850000000100",
    );
    check(
        BrokerRegistrationChangeRecord {
            broker_id: 3,
            broker_epoch: 77,
            fenced: -1,
            in_controlled_shutdown: 1,
            log_dirs: vec![DIR_2],
            ..Default::default()
        },
        2,
        "01110200000003000000000000004d030001ff010101021102000000000000000600000000000000c8",
    );
}

#[test]
fn topics_and_partitions_are_kafkas() {
    check(
        TopicRecord { name: "orders".into(), topic_id: TOPIC, ..Default::default() },
        0,
        "010200076f72646572730102030405060708090a0b0c0d0e0f1000",
    );
    let partition = PartitionRecord {
        partition_id: 1,
        topic_id: TOPIC,
        replicas: vec![1, 2, 300],
        isr: vec![1, 2],
        leader: 1,
        leader_epoch: 4,
        partition_epoch: 9,
        directories: vec![DIR_1, DIR_2, DIR_LOST],
        ..Default::default()
    };
    check(
        partition.clone(),
        1,
        "010301000000010102030405060708090a0b0c0d0e0f100400000001000000020000012c03000000010000000201010000000100000004
         000000090400000000000000050000000000000064000000000000000600000000000000c80000000000000000000000000000000200",
    );
    check(
        PartitionRecord {
            leader_recovery_state: 1,
            eligible_leader_replicas: Some(vec![300]),
            last_known_elr: Some(vec![]),
            ..partition
        },
        2,
        "010302000000010102030405060708090a0b0c0d0e0f100400000001000000020000012c03000000010000000201010000000100000004
         000000090400000000000000050000000000000064000000000000000600000000000000c800000000000000000000000000000002
         030001010105020000012c020101",
    );
}

#[test]
fn partition_changes_are_kafkas() {
    check(
        PartitionChangeRecord {
            partition_id: 1,
            topic_id: TOPIC,
            isr: Some(vec![2]),
            leader: -1,
            ..Default::default()
        },
        0,
        "010500000000010102030405060708090a0b0c0d0e0f1002000502000000020104ffffffff",
    );
    check(
        PartitionChangeRecord {
            partition_id: 1,
            topic_id: TOPIC,
            replicas: Some(vec![2, 3]),
            removing_replicas: Some(vec![]),
            leader_recovery_state: 0,
            directories: Some(vec![DIR_1]),
            eligible_leader_replicas: Some(vec![1]),
            ..Default::default()
        },
        2,
        "010502000000010102030405060708090a0b0c0d0e0f100502090300000002000000030301010501000605020000000108110200000000
         000000050000000000000064",
    );
}

#[test]
fn the_other_records_are_kafkas() {
    check(
        ConfigRecord {
            resource_type: 2,
            resource_name: "orders".into(),
            name: "retention.ms".into(),
            value: None,
            ..Default::default()
        },
        0,
        "01040002076f72646572730d726574656e74696f6e2e6d730000",
    );
    check(
        ClientQuotaRecord {
            entity: vec![EntityData { entity_type: "user".into(), entity_name: None, ..Default::default() }],
            key: "producer_byte_rate".into(),
            value: 1024.5,
            ..Default::default()
        },
        0,
        "010e0002057573657200001370726f64756365725f627974655f7261746540900200000000000000",
    );
    check(
        ProducerIdsRecord { broker_id: 2, broker_epoch: 55, next_producer_id: 4000, ..Default::default() },
        0,
        "010f000000000200000000000000370000000000000fa000",
    );
    check(NoOpRecord::default(), 0, "01140000");
    check(
        BeginTransactionRecord { name: Some("Bootstrap records".into()), ..Default::default() },
        0,
        "01170001001212426f6f747374726170207265636f726473",
    );
    check(EndTransactionRecord::default(), 0, "01180000");
    check(
        UserScramCredentialRecord {
            name: "alice".into(),
            mechanism: 1,
            salt: Bytes::from_static(&[1, 2]),
            stored_key: Bytes::from_static(&[3]),
            server_key: Bytes::new(),
            iterations: 4096,
            ..Default::default()
        },
        0,
        "010b0006616c696365010301020203010000100000",
    );
}

#[test]
fn control_records_are_kafkas() {
    let voter = |voter_id| LeaderChangeVoter { voter_id, ..Default::default() };
    for (record, kind, value) in [
        (
            ControlRecord::LeaderChange(LeaderChangeMessage {
                leader_id: 2,
                voters: vec![voter(1), voter(2)],
                granting_voters: vec![voter(2)],
                ..Default::default()
            }),
            2,
            "000000000002030000000100000000020002000000020000",
        ),
        (
            ControlRecord::SnapshotHeader(SnapshotHeaderRecord {
                last_contained_log_timestamp: 123456789,
                ..Default::default()
            }),
            3,
            "000000000000075bcd1500",
        ),
        (ControlRecord::SnapshotFooter(SnapshotFooterRecord::default()), 4, "000000"),
    ] {
        let (key, encoded) = record.encode().unwrap();
        assert_eq!(&key[..], [0, 0, 0, kind]);
        assert_eq!(encoded, unhex(value), "{record:?}");
        assert_eq!(ControlRecord::decode(&key, &encoded), Ok(record));
    }
}

/// `bootstrap.checkpoint` as `kafka-storage format` left it: header, `metadata.version` 19, footer.
const BOOTSTRAP_CHECKPOINT: &str = "
    000000000000000000000047000000000222b95d68002000000000000001a204e5bdc4000001a204e5bdc4ffffffffff
    ffffffffffffffffff000000012a00000008000000031600000000000000000000000000000000000000010000004f00
    000000029fc9f04b000000000000000001a204e5bdfc000001a204e5bdfcffffffffffffffffffffffffffff00000001
    3a000000012e010c00116d657461646174612e76657273696f6e0013000000000000000000020000003f000000000220
    2ad0b7002000000000000001a204e5bdfe000001a204e5bdfeffffffffffffffffffffffffffff000000011a00000008
    000000040600000000";

#[test]
fn a_snapshot_is_read_and_written_as_kafka_does() {
    let file = unhex(BOOTSTRAP_CHECKPOINT);
    let mut rewritten = BytesMut::new();
    for (index, batch) in batches(&file).enumerate() {
        let batch = batch.unwrap();
        batch.check_crc().unwrap();
        let (offset, timestamp_ms) = (batch.header.base_offset, batch.header.base_timestamp);
        let mut scratch = Vec::new();
        for record in batch.records(1 << 20, &mut scratch).unwrap() {
            let record = record.unwrap();
            let value = record.value.unwrap();
            if batch.header.is_control() {
                let control = ControlRecord::decode(record.key.unwrap(), value).unwrap();
                assert_eq!(control.kind(), [3, 0, 4][index]);
                rewritten.extend_from_slice(&control.to_batch(offset, 0, timestamp_ms).unwrap());
            } else {
                let (metadata, version) =
                    MetadataRecord::decode_versioned(Bytes::copy_from_slice(value)).unwrap();
                let expected = FeatureLevelRecord {
                    name: "metadata.version".into(),
                    feature_level: 19,
                    ..Default::default()
                };
                assert_eq!(metadata, expected.into());
                let mut builder = BatchBuilder::new(offset, 0);
                builder.append(timestamp_ms, None, Some(&metadata.encode(version).unwrap()));
                rewritten.extend_from_slice(&builder.build());
            }
        }
    }
    assert_eq!(rewritten, file);
}

const HELLO: &[u8] = b"hello hello hello hello hello hello";

#[test]
fn batches_of_every_codec_are_read_as_kafka_wrote_them() {
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let bytes = golden_batch(codec);
        let batch = BatchRef::parse(&bytes).unwrap();
        batch.check_crc().unwrap();
        let header = batch.header;
        assert_eq!(header.compression().unwrap().name(), codec);
        assert_eq!(
            (header.base_offset, header.last_offset(), header.partition_leader_epoch),
            (1000, 1002, 5)
        );
        assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (7000, 3, 42));
        assert!(header.is_transactional() && !header.is_control());
        let mut scratch = Vec::new();
        let records: Vec<_> =
            batch.records(1 << 20, &mut scratch).unwrap().collect::<Result<_, _>>().unwrap();
        let seen: Vec<_> = records
            .iter()
            .map(|record| {
                (
                    header.timestamp_of(record.timestamp_delta_ms),
                    record.key,
                    record.value,
                    record.headers.len(),
                )
            })
            .collect();
        assert_eq!(
            seen,
            [
                (1600000000123, Some(&b"k1"[..]), Some(HELLO), 2),
                (1600000000100, None, Some(HELLO), 0),
                (1600000099999, Some(&b"k3"[..]), None, 0),
            ],
            "{codec}"
        );
        let headers: Vec<_> = records[0].headers.iter().collect();
        assert_eq!(headers, [(&b"h1"[..], Some(&b"v1"[..])), (&b"h2"[..], None)]);
    }
}

#[test]
fn a_batch_built_here_is_the_batch_built_there() {
    let original = golden_batch("none");
    let batch = BatchRef::parse(&original).unwrap();
    let mut builder = BatchBuilder::new(1000, 5).producer(7000, 3, 42).transactional();
    let mut scratch = Vec::new();
    for record in batch.records(0, &mut scratch).unwrap() {
        let record = record.unwrap();
        let timestamp_ms = batch.header.timestamp_of(record.timestamp_delta_ms);
        builder.append_at(record.offset_delta, timestamp_ms, record.key, record.value, record.headers);
    }
    assert_eq!(builder.build(), original);
}

#[test]
fn an_end_marker_is_kafkas() {
    let bytes = golden_batch("endtxn");
    let (key, value) = ControlRecord::Commit { coordinator_epoch: 13 }.encode().unwrap();
    let mut builder = BatchBuilder::new(77, 5).producer(9, 2, -1).transactional().control();
    builder.append(1600000000000, Some(&key), Some(&value));
    assert_eq!(builder.build(), bytes);
}
