//! A leader lets in what the reference lets in, stamps what the reference stamps, and copies nothing on the way.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::LazyLock;

use bytes::{Bytes, BytesMut};
use common::{Dice, golden_batch, golden_batches};
use jackdaw_wire::batch::{
    BatchBuilder, BatchHeader, BatchRef, HEADER_BYTES, TimestampType, complete_batches,
};
use jackdaw_wire::compression::{Allowance, Compression};
use jackdaw_wire::down_convert::{DownConversionError, Wanted, down_convert};
use jackdaw_wire::legacy;
use jackdaw_wire::types::TopicPartition;
use jackdaw_wire::validate::*;

static ALLOWANCE: LazyLock<Allowance> = LazyLock::new(|| Allowance::new(usize::MAX));
const NOW_MS: i64 = 1_700_000_000_000;
const CODECS: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

fn options(topic_partition: &TopicPartition) -> ValidateOptions<'_> {
    ValidateOptions {
        topic_partition,
        origin: AppendOrigin::Client,
        compression: None,
        compacted: false,
        timestamp_type: TimestampType::CreateTime,
        timestamp_before_max_ms: i64::MAX,
        timestamp_after_max_ms: i64::MAX,
        max_message_bytes: 1_048_588,
        // More than all tests of a run unpack.
        allowance: &ALLOWANCE,
    }
}

/// Three records, of which the second has no key and is the youngest.
fn three_records() -> BatchBuilder {
    let mut batch = BatchBuilder::new(0, -1);
    batch.append(NOW_MS - 20, Some(b"a"), Some(b"first first first first"));
    batch.append(NOW_MS - 10, None, Some(b"second second second"));
    batch.append(NOW_MS - 30, Some(b"c"), None);
    batch
}

fn append_with(
    records: &Bytes,
    change: impl FnOnce(&mut ValidateOptions<'_>),
) -> Result<StampedBatch, ValidateError> {
    let topic_partition = TopicPartition::new("orders", 3);
    let mut options = options(&topic_partition);
    change(&mut options);
    validate_for_append(records.clone(), &options, 500, 7, NOW_MS)
        .map(|validated| validated.batches.into_iter().next().expect("one batch"))
}

fn append(records: &Bytes) -> Result<StampedBatch, ValidateError> {
    append_with(records, |_| {})
}

/// Offset, timestamp, key, value.
type Read = (i64, i64, Option<Vec<u8>>, Option<Vec<u8>>);

/// Reads a stamped batch back, checking all that a reader relies on.
fn read_back(stamped: &StampedBatch) -> Vec<Read> {
    let batch = BatchRef::parse(&stamped.to_bytes()).unwrap();
    batch.check_crc().unwrap();
    let header = batch.header;
    assert_eq!(stamped.info.base_offset, header.base_offset);
    assert_eq!(stamped.info.last_offset, header.last_offset());
    assert_eq!(stamped.info.max_timestamp, header.max_timestamp);
    assert_eq!(stamped.info.size_bytes, batch.bytes.len());
    let mut scratch = Vec::new();
    let records: Vec<_> = batch.records(1 << 26, &mut scratch).unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(records.len(), header.record_count as usize);
    let timestamps = records.iter().map(|record| header.timestamp_of(record.timestamp_delta_ms));
    assert_eq!(timestamps.max(), Some(header.max_timestamp));
    let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
    records
        .iter()
        .map(|record| {
            let offset = header.base_offset + i64::from(record.offset_delta);
            (offset, header.timestamp_of(record.timestamp_delta_ms), owned(record.key), owned(record.value))
        })
        .collect()
}

#[test]
fn a_batch_is_stamped_where_it_lies() {
    for codec in CODECS {
        let received = match codec {
            Compression::None => three_records().build(),
            codec => three_records().build_compressed(codec).unwrap(),
        };
        let stamped = append(&received).unwrap();
        assert_eq!(stamped.body.as_ptr(), received[HEADER_BYTES..].as_ptr(), "{codec:?} was copied");
        assert_eq!(
            (stamped.info.base_offset, stamped.info.last_offset, stamped.info.record_count),
            (500, 502, 3)
        );
        assert_eq!((stamped.info.partition_leader_epoch, stamped.info.max_timestamp), (7, NOW_MS - 10));
        let crc = BatchHeader::parse(&stamped.header).unwrap().crc;
        assert_eq!(
            crc,
            BatchHeader::parse(&received).unwrap().crc,
            "nothing that the checksum covers has changed"
        );
        let offsets: Vec<_> = read_back(&stamped).iter().map(|record| record.0).collect();
        assert_eq!(offsets, [500, 501, 502]);
    }
}

#[test]
fn a_stamped_batch_can_move_before_it_is_written() {
    let mut stamped = append(&three_records().build()).unwrap();
    stamped.restamp(9_000, 8);
    assert_eq!(
        (stamped.info.base_offset, stamped.info.last_offset, stamped.info.offset_of_max_ts),
        (9_000, 9_002, 9_002)
    );
    assert_eq!(read_back(&stamped)[2].0, 9_002);
    assert_eq!(BatchHeader::parse(&stamped.header).unwrap().partition_leader_epoch, 8);
}

#[test]
fn the_topics_codec_is_used_where_it_differs() {
    for codec in CODECS {
        for target in CODECS {
            let received = match codec {
                Compression::None => three_records().build(),
                codec => three_records().build_compressed(codec).unwrap(),
            };
            let stamped = append_with(&received, |options| options.compression = Some(target)).unwrap();
            assert_eq!(stamped.info.compression, target);
            let records = read_back(&stamped);
            assert_eq!(
                records,
                read_back(&append(&three_records().build()).unwrap()),
                "{codec:?} to {target:?}"
            );
        }
    }
}

#[test]
fn a_rewritten_batch_keeps_its_producer() {
    let received = golden_batch("gzip");
    let mut header = BatchHeader::parse(&received).unwrap();
    header.base_offset = 0;
    let received: Bytes = [&header.to_bytes()[..], &received[HEADER_BYTES..]].concat().into();
    let stamped = append_with(&received, |options| options.compression = Some(Compression::Zstd)).unwrap();
    let info = stamped.info;
    assert_eq!(
        (info.producer_id, info.producer_epoch, info.base_sequence, info.last_sequence),
        (7000, 3, 42, 44)
    );
    assert!(info.is_transactional);
    let batch = BatchRef::parse(&stamped.to_bytes()).unwrap();
    let mut scratch = Vec::new();
    let first = batch.records(1 << 20, &mut scratch).unwrap().next().unwrap().unwrap();
    assert_eq!(first.headers.iter().next(), Some((&b"h1"[..], Some(&b"v1"[..]))));
}

#[test]
fn log_append_time_is_the_brokers() {
    for codec in [Compression::None, Compression::Lz4] {
        let received = three_records().build_compressed(codec).unwrap();
        let stamped =
            append_with(&received, |options| options.timestamp_type = TimestampType::LogAppendTime).unwrap();
        assert_eq!(stamped.body.as_ptr(), received[HEADER_BYTES..].as_ptr());
        assert_eq!(
            (stamped.info.timestamp_type, stamped.info.max_timestamp),
            (TimestampType::LogAppendTime, NOW_MS)
        );
        assert!(read_back(&stamped).iter().all(|record| record.1 == NOW_MS));
    }
}

#[test]
fn a_wrong_max_timestamp_is_corrected() {
    let received = three_records().build();
    let mut header = BatchHeader::parse(&received).unwrap();
    header.max_timestamp = 5;
    header.crc = header.compute_crc(&received[HEADER_BYTES..]);
    let wrong = [&header.to_bytes()[..], &received[HEADER_BYTES..]].concat().into();
    assert_eq!(append(&wrong).unwrap().info.max_timestamp, NOW_MS - 10);
}

#[test]
fn wrong_offsets_inside_a_compressed_batch_fail_as_in_the_reference_unless_it_is_packed_anew() {
    let mut batch = BatchBuilder::new(0, -1);
    batch.append_at(1, NOW_MS, None, Some(b"x"), Default::default());
    batch.append_at(2, NOW_MS, None, Some(b"y"), Default::default());
    let received = batch.build_compressed(Compression::Gzip).unwrap();
    let mut header = BatchHeader::parse(&received).unwrap();
    header.last_offset_delta = 1;
    header.crc = header.compute_crc(&received[HEADER_BYTES..]);
    let received = [&header.to_bytes()[..], &received[HEADER_BYTES..]].concat().into();
    assert!(matches!(append(&received), Err(ValidateError::Unpackable(_))));
    let repacked = append_with(&received, |options| options.compression = Some(Compression::Lz4)).unwrap();
    let offsets: Vec<_> = read_back(&repacked).iter().map(|record| record.0).collect();
    assert_eq!(offsets, [500, 501]);
}

/// Changes the header of three records and makes the checksum true again.
fn with_header(change: impl FnOnce(&mut BatchHeader)) -> Bytes {
    let good = three_records().build();
    let mut header = BatchHeader::parse(&good).unwrap();
    change(&mut header);
    header.crc = header.compute_crc(&good[HEADER_BYTES..]);
    [&header.to_bytes()[..], &good[HEADER_BYTES..]].concat().into()
}

#[test]
fn what_a_client_may_not_send_is_refused() {
    use ValidateError::*;
    let good = three_records().build();
    let mut flipped = good.to_vec();
    flipped[70] ^= 1;
    let text = |error: &ValidateError| match error {
        Corrupt(text) => format!("corrupt: {text}"),
        InvalidRecord(text) => format!("invalid: {text}"),
        other => format!("{other:?}"),
    };
    let table: Vec<(Bytes, &str)> = vec![
        (flipped.into(), "corrupt: Record is corrupt (stored crc = "),
        (
            with_header(|header| header.base_offset = 4),
            "invalid: The baseOffset of the record batch in the append to orders-3 should be 0, but it is 4",
        ),
        (
            with_header(|header| header.last_offset_delta = -1),
            "invalid: Batch has an invalid offset range: [0, -1] in topic partition orders-3",
        ),
        (
            with_header(|header| header.record_count = 0),
            "invalid: Invalid reported count for record batch: 0 in topic partition orders-3",
        ),
        (
            with_header(|header| header.record_count = 2),
            "invalid: Inconsistent batch offset range [0, 2] and count of records 2 in topic partition orders-3",
        ),
        (
            with_header(|header| (header.record_count, header.last_offset_delta) = (2, 1)),
            "invalid: Incorrect declared batch size, records still remaining in file",
        ),
        (
            with_header(|header| (header.record_count, header.last_offset_delta) = (4, 3)),
            "invalid: Incorrect declared batch size, premature EOF reached",
        ),
        (
            with_header(|header| header.attributes |= 0x20),
            "invalid: Clients are not allowed to write control records in topic partition orders-3",
        ),
        (
            with_header(|header| header.producer_id = 9),
            "invalid: Invalid sequence number -1 in record batch with producerId 9 in topic partition orders-3",
        ),
        ([&good[..], &good[..]].concat().into(), "invalid: Compressed outer record has more than one batch"),
        (with_header(|header| header.attributes |= 4), "Unpackable"),
        (with_header(|header| header.attributes |= 7), "Unpackable"),
    ];
    for (received, expected) in table {
        let error = append(&received).unwrap_err();
        assert!(text(&error).starts_with(expected), "{} is not {expected}", text(&error));
        assert_eq!(error.reply_message(), None);
    }
    let error = append_with(&good, |options| options.max_message_bytes = good.len() - 1).unwrap_err();
    assert!(matches!(error, TooLarge { .. }));
    let coordinator = |options: &mut ValidateOptions<'_>| options.origin = AppendOrigin::Coordinator;
    assert!(append_with(&with_header(|header| header.attributes |= 0x20), coordinator).is_ok());
}

#[test]
fn refused_records_are_named_one_by_one() {
    for codec in [Compression::None, Compression::Snappy] {
        let received = three_records().build_compressed(codec).unwrap();
        let error = append_with(&received, |options| options.compacted = true).unwrap_err();
        let [refused] = error.record_errors() else { panic!("{error:?}") };
        assert_eq!(refused.batch_index, 1);
        assert_eq!(
            error.reply_message().unwrap(),
            "One or more records have been rejected due to 1 record errors in total, and only showing the first three \
             errors at most: [RecordError(batchIndex=1, message='Compacted topic cannot accept message without key in \
             topic partition orders-3')]"
        );
        let error = append_with(&received, |options| options.timestamp_before_max_ms = 15).unwrap_err();
        assert!(matches!(error, ValidateError::InvalidTimestamps { .. }));
        assert_eq!(
            error.reply_message().unwrap(),
            "One or more records have been rejected due to invalid timestamp"
        );
        let refused: Vec<_> = error.record_errors().iter().map(|error| error.batch_index).collect();
        assert_eq!(refused, [0, 2]);
        assert_eq!(
            error.record_errors()[1].message,
            "Timestamp 1699999999970 of message with offset 2 is out of range. The timestamp should be within \
             [1699999999985, 9223370336854775807]"
                .replace("9223370336854775807", &NOW_MS.wrapping_add(i64::MAX).to_string())
        );
    }
}

#[test]
fn timestamps_may_be_missing_and_may_not_be_too_young() {
    let mut batch = BatchBuilder::new(0, -1);
    batch.append(-1, None, Some(b"x"));
    let untimed = batch.build();
    assert!(append_with(&untimed, |options| options.timestamp_before_max_ms = 0).is_ok());
    let mut batch = BatchBuilder::new(0, -1);
    batch.append(NOW_MS + 11, None, Some(b"x"));
    let young = batch.build();
    assert!(append_with(&young, |options| options.timestamp_after_max_ms = 11).is_ok());
    assert!(append_with(&young, |options| options.timestamp_after_max_ms = 10).is_err());
}

#[test]
fn each_produce_version_takes_what_it_may() {
    let good = three_records().build();
    let zstd = three_records().build_compressed(Compression::Zstd).unwrap();
    let two: Bytes = [&good[..], &good[..]].concat().into();
    let cut = good.slice(..good.len() - 1);
    let one_and_a_bit: Bytes = [&good[..], &cut[..]].concat().into();
    for (version, records, expected) in [
        (2, &cut, Ok(())),
        (3, &good, Ok(())),
        (3, &one_and_a_bit, Ok(())),
        (3, &cut, Err("Produce requests with version 3 must have at least one record batch per partition")),
        (
            3,
            &golden_batch("v1 none"),
            Err(
                "Produce requests with version 3 are only allowed to contain record batches with magic version 2",
            ),
        ),
        (6, &zstd, Err("Produce requests with version 6 are not allowed to use ZStandard compression")),
        (7, &zstd, Ok(())),
        (
            9,
            &two,
            Err(
                "Produce requests with version 9 are only allowed to contain exactly one record batch per partition",
            ),
        ),
    ] {
        let result = check_produce_version(version, records).map_err(|error| error.to_string());
        assert_eq!(result, expected.map_err(str::to_owned), "version {version}");
    }
}

#[test]
fn message_sets_of_old_clients_become_batches() {
    for (name, received) in golden_batches() {
        let Some((magic, codec)) = name.split_once(' ') else { continue };
        let stamped = append(&received).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(stamped.info.compression.name(), codec, "{name}");
        let (first_ms, second_ms) = if magic == "v0" { (-1, -1) } else { (1600000000123, 1600000000100) };
        let hello = Some(b"hello hello hello hello hello hello".to_vec());
        let expected = [(500, first_ms, Some(b"k1".to_vec()), hello.clone()), (501, second_ms, None, hello)];
        assert_eq!(read_back(&stamped), expected, "{name}");
    }
}

fn for_old_client(log: &Bytes, magic: i8, first_offset: i64) -> Result<Bytes, DownConversionError> {
    let wanted = Wanted { magic, first_offset, record_limit_bytes: 4 << 20, unpacked_bytes: 4 << 20 };
    down_convert(complete_batches(log), log.len(), &wanted)
}

#[test]
fn old_clients_are_given_message_sets() {
    let stamped = append(&three_records().build()).unwrap();
    let mut log = BytesMut::from(&stamped.to_bytes()[..]);
    log.extend_from_slice(&golden_batch("endtxn"));
    let log = log.freeze();
    for magic in [0, 1] {
        let set = for_old_client(&log, magic, 501).unwrap();
        let messages: Vec<_> = legacy::messages(&set).collect::<Result<_, _>>().unwrap();
        let seen: Vec<_> =
            messages.iter().map(|message| (message.offset, message.timestamp_ms, message.key)).collect();
        let timestamp = |timestamp_ms| if magic == 0 { -1 } else { timestamp_ms };
        assert_eq!(
            seen,
            [(501, timestamp(NOW_MS - 10), None), (502, timestamp(NOW_MS - 30), Some(&b"c"[..]))]
        );
        messages.iter().for_each(|message| message.check_crc().unwrap());
    }
    let zstd = append(&three_records().build_compressed(Compression::Zstd).unwrap()).unwrap().to_bytes();
    assert!(matches!(for_old_client(&zstd, 1, 0), Err(DownConversionError::Zstd)));
}

#[test]
fn whatever_is_let_in_can_be_read() {
    let mut dice = Dice::new();
    let originals = golden_batches();
    let mut let_in = 0;
    for _ in 0..30_000 {
        let (_, original) = &originals[dice.below(originals.len())];
        let mut damaged = dice.damaged(original).to_vec();
        // Let many get past the first checks.
        if damaged.len() > HEADER_BYTES && damaged[16] == 2 && dice.below(4) > 0 {
            damaged[..8].fill(0);
            let crc = crc32c::crc32c(&damaged[21..]);
            damaged[17..21].copy_from_slice(&crc.to_be_bytes());
        }
        let target = CODECS[dice.below(CODECS.len())];
        let with_target = dice.below(3) == 0;
        let damaged = Bytes::from(damaged);
        let _ = check_produce_version(9, &damaged);
        let topic_partition = TopicPartition::new("t", 0);
        let mut options = options(&topic_partition);
        options.compression = with_target.then_some(target);
        if let Ok(validated) = validate_for_append(damaged, &options, 500, 7, NOW_MS) {
            for stamped in &validated.batches {
                let_in += 1;
                let batch = BatchRef::parse(&stamped.to_bytes()).unwrap();
                batch.check_crc().unwrap();
                assert_eq!(
                    (batch.header.base_offset, batch.header.next_offset()),
                    (500, 500 + i64::from(batch.header.record_count))
                );
                let mut scratch = Vec::new();
                let records = batch.records(1 << 26, &mut scratch).unwrap();
                assert_eq!(records.filter(Result::is_ok).count(), batch.header.record_count as usize);
            }
        }
    }
    assert!(let_in > 100, "{let_in} of 30000 is no test of what is let in");
}

/// The error's name, as the reference would answer.
fn answer(error: &ValidateError) -> &'static str {
    match error {
        ValidateError::Corrupt(_) => "CORRUPT_MESSAGE",
        ValidateError::InvalidRecord(_) | ValidateError::InvalidRecords { .. } => "INVALID_RECORD",
        ValidateError::InvalidTimestamps { .. } => "INVALID_TIMESTAMP",
        ValidateError::TooLarge { .. } | ValidateError::UnpacksTooLarge(_) => "MESSAGE_TOO_LARGE",
        ValidateError::UnsupportedCompression(_) => "UNSUPPORTED_COMPRESSION_TYPE",
        ValidateError::Unpackable(_) => "UNKNOWN_SERVER_ERROR",
    }
}

/// What an append came to, in the words of the fixture.
fn outcome(result: Result<ValidatedBatches, ValidateError>) -> String {
    let hex = |bytes: Option<&[u8]>| match bytes {
        Some(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        None => "null".to_owned(),
    };
    let validated = match result {
        Ok(validated) => validated,
        Err(error) => {
            let refused =
                error.record_errors().iter().map(|error| format!("{}:{}", error.batch_index, error.message));
            let refused: Vec<_> = refused.collect();
            return format!("err {} {}", answer(&error), refused.join(";")).trim_end().to_owned();
        }
    };
    let Some(stamped) = validated.batches.first() else { return "empty".to_owned() };
    let batch = BatchRef::parse(&stamped.to_bytes()).unwrap();
    batch.check_crc().unwrap();
    let header = batch.header;
    let mut scratch = Vec::new();
    let records = batch.records(1 << 26, &mut scratch).unwrap().map(|record| {
        let record = record.unwrap();
        let offset = header.base_offset + i64::from(record.offset_delta);
        let timestamp_ms = header.timestamp_of(record.timestamp_delta_ms);
        format!("{offset}/{timestamp_ms}/{}/{}", hex(record.key), hex(record.value))
    });
    let records: Vec<_> = records.collect();
    format!(
        "ok base={} last={} epoch={} attr={} basets={} maxts={} pid={} pe={} seq={} n={} offts={} [{}]",
        header.base_offset,
        header.last_offset(),
        header.partition_leader_epoch,
        header.attributes,
        header.base_timestamp,
        header.max_timestamp,
        header.producer_id,
        header.producer_epoch,
        header.base_sequence,
        header.record_count,
        stamped.info.offset_of_max_ts,
        records.join(",")
    )
}

#[test]
fn verdicts_are_those_of_the_references_validator() {
    let topic_partition = TopicPartition::new("t", 0);
    let fixture = include_str!("data/validator-3.7.0.txt").lines().filter(|line| !line.starts_with('#'));
    for line in fixture {
        let (input, expected) = line.split_once('\t').unwrap();
        let fields: Vec<&str> = input.split(' ').collect();
        let [compression, compacted, log_append_time, window_ms, hex] = fields[..] else { panic!("{input}") };
        let window_ms = window_ms.parse().unwrap();
        let options = ValidateOptions {
            compression: match compression {
                "producer" => None,
                "uncompressed" => Some(Compression::None),
                codec => Some(Compression::from_name(codec).unwrap()),
            },
            compacted: compacted == "true",
            timestamp_type: match log_append_time {
                "true" => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            timestamp_before_max_ms: window_ms,
            timestamp_after_max_ms: window_ms,
            ..options(&topic_partition)
        };
        let result = validate_for_append(common::unhex(hex), &options, 500, 7, NOW_MS);
        assert_eq!(outcome(result), expected, "{input}");
    }
}

/// A batch of one record, whose value is zeros that unpack without end for what they cost to send.
fn bomb(codec: Compression, value_bytes: usize) -> Bytes {
    let mut batch = BatchBuilder::new(0, -1);
    batch.append(NOW_MS, Some(b"k"), Some(&vec![0; value_bytes]));
    batch.build_compressed(codec).unwrap()
}

fn append_within(
    allowance: &Allowance,
    records: &Bytes,
    compression: Option<Compression>,
) -> Result<ValidatedBatches, ValidateError> {
    let topic_partition = TopicPartition::new("orders", 3);
    let options = ValidateOptions { allowance, compression, ..options(&topic_partition) };
    validate_for_append(records.clone(), &options, 500, 7, NOW_MS)
}

#[test]
fn what_unpacks_to_more_than_a_request_may_is_refused_as_too_large() {
    const PACKED: [Compression; 4] =
        [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
    const UNPACKED: usize = 4 << 20;
    for codec in PACKED {
        let records = bomb(codec, UNPACKED);
        for (target, allowed, is_taken) in [
            (None, UNPACKED + 100, true),
            (None, UNPACKED, false),
            (None, 0, false),
            (Some(Compression::Gzip), UNPACKED / 2, false),
        ] {
            let allowance = Allowance::new(allowed);
            let result = append_within(&allowance, &records, target);
            match result {
                Ok(_) => assert!(is_taken, "{codec:?} {allowed}"),
                Err(ValidateError::UnpacksTooLarge(_)) => assert!(!is_taken, "{codec:?} {allowed}"),
                Err(error) => panic!("{codec:?} {allowed}: {error}"),
            }
            // What other batches of the request unpacked to is gone for this one.
            let again = append_within(&allowance, &records, None);
            assert!(matches!(again, Err(ValidateError::UnpacksTooLarge(_))), "{codec:?} {allowed}");
        }
    }
}

/// Message sets are unpacked whole: the request's allowance bounds the memory too.
#[test]
fn old_messages_that_unpack_to_more_than_a_request_may_are_refused_as_too_large() {
    for codec in [Compression::Gzip, Compression::Snappy, Compression::Lz4] {
        let old = for_old_client(&bomb(codec, 1 << 20), 1, 0).unwrap();
        for (allowed, is_taken) in [(2 << 20, true), (1 << 20, false)] {
            let allowance = Allowance::new(allowed);
            let result = append_within(&allowance, &old, None);
            match result {
                Ok(_) => assert!(is_taken, "{codec:?} {allowed}"),
                Err(ValidateError::UnpacksTooLarge(_)) => assert!(!is_taken, "{codec:?} {allowed}"),
                Err(error) => panic!("{codec:?} {allowed}: {error}"),
            }
        }
    }
}
