//! Record batches that come from anywhere: what validation lets through is whole and can be read again by everybody,
//! and nothing that comes makes it panic or costs memory without bound. A failing seed is printed and replays
//! (`JACKDAW_SIM_SEED`).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use jackdaw_sim::damage::{AddressSpace, damage};
use jackdaw_sim::seeds::{Rng, for_some_time};
use jackdaw_wire::batch::{
    BatchBuilder, BatchHeader, BatchRef, HEADER_BYTES, TimestampType, complete_batches,
};
use jackdaw_wire::compression::{Allowance, Compression};
use jackdaw_wire::control_record::ControlRecord;
use jackdaw_wire::down_convert::{DownConversionError, Wanted, down_convert};
use jackdaw_wire::legacy::{self, LegacyError};
use jackdaw_wire::types::TopicPartition;
use jackdaw_wire::validate::{AppendOrigin, ValidateOptions, check_produce_version, validate_for_append};

const NOW_MS: i64 = 1_700_000_000_000;
const UNPACKED_BYTES: usize = 4 << 20;
/// A zstd frame may ask for a window of 128 MB, as Kafka's own reader allows.
const HARMLESS_BYTES: usize = 320 << 20;
const CODECS: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
const CRC_AT: usize = 17;
const LEGACY_CRC_AT: usize = 12;

fn batch(rng: &mut Rng) -> Bytes {
    let mut records = BatchBuilder::new(0, rng.between(-1, 3) as i32);
    if rng.chance(40) {
        records = records.producer(rng.between(0, 9), 0, rng.between(0, 100) as i32);
        if rng.chance(50) {
            records = records.transactional();
        }
    }
    if rng.chance(10) {
        records = records.control();
    }
    for at in 0..rng.between(1, 6) {
        let key = rng.chance(80).then_some(&b"key"[..]);
        let size = if rng.chance(5) { 20_000 } else { rng.below(60) };
        let value = rng.chance(90).then(|| vec![rng.next_u64() as u8; size as usize]);
        records.append(NOW_MS + at - 3, key, value.as_deref());
    }
    records.build_compressed(*rng.pick(&CODECS).unwrap()).unwrap()
}

fn for_old_client(records: &Bytes, magic: i8, first_offset: i64) -> Result<Bytes, DownConversionError> {
    let unpacked_bytes = UNPACKED_BYTES;
    let wanted = Wanted { magic, first_offset, record_limit_bytes: unpacked_bytes, unpacked_bytes };
    down_convert(complete_batches(records), records.len(), &wanted)
}

/// The same bytes under the sum that is true of them.
fn summed(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.get(16).is_some_and(|magic| *magic < 2) {
        let computed = legacy::Message::parse(&bytes).map(|message| message.check_crc());
        if let Ok(Err(LegacyError::Crc { computed, .. })) = computed {
            bytes[LEGACY_CRC_AT..LEGACY_CRC_AT + 4].copy_from_slice(&computed.to_be_bytes());
        }
    } else if let Ok(header) = BatchHeader::parse(&bytes) {
        let crc = header.compute_crc(&bytes[HEADER_BYTES..]);
        bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
    }
    bytes
}

/// A few bytes as a client could send them: of one magic or another, one damage or another.
fn sent(rng: &mut Rng) -> Bytes {
    let honest = batch(rng);
    let mut bytes = match rng.below(4) {
        magic @ 0..=1 => for_old_client(&honest, magic as i8, 0).unwrap_or(honest).to_vec(),
        _ => honest.to_vec(),
    };
    if rng.chance(10) {
        bytes.extend_from_slice(&batch(rng));
    }
    if rng.chance(85) {
        damage(&mut bytes, rng);
    }
    if rng.chance(50) && bytes.len() > 12 {
        let size = (bytes.len() - 12) as i32;
        bytes[8..12].copy_from_slice(&size.to_be_bytes());
    }
    if rng.chance(90) { summed(bytes).into() } else { bytes.into() }
}

fn validate(bytes: &Bytes, rng: &mut Rng) {
    let topic_partition = TopicPartition::new("orders", 0);
    let is_compacted = rng.chance(20);
    let timestamps = [TimestampType::CreateTime, TimestampType::LogAppendTime];
    let allowance = Allowance::for_records(bytes.len());
    let options = ValidateOptions {
        allowance: &allowance,
        topic_partition: &topic_partition,
        origin: if rng.chance(90) { AppendOrigin::Client } else { AppendOrigin::Coordinator },
        compression: rng.chance(40).then(|| *rng.pick(&CODECS).unwrap()),
        compacted: is_compacted,
        timestamp_type: *rng.pick(&timestamps).unwrap(),
        timestamp_before_max_ms: *rng.pick(&[i64::MAX, 0, 1_000]).unwrap(),
        timestamp_after_max_ms: *rng.pick(&[i64::MAX, 0, 1_000]).unwrap(),
        max_message_bytes: *rng.pick(&[1 << 20, 100]).unwrap(),
    };
    let offset = *rng.pick(&[0, 7, i64::from(i32::MAX), 1 << 40]).unwrap();
    let Ok(validated) = validate_for_append(bytes.clone(), &options, offset, 3, NOW_MS) else { return };
    for stamped in validated.batches {
        let written = stamped.to_bytes();
        let batch = BatchRef::parse(&written).unwrap();
        batch.check_crc().unwrap();
        assert_eq!(
            (batch.bytes.len(), stamped.info.record_count),
            (written.len(), batch.header.record_count)
        );
        // What a coordinator of this node counts is believed.
        if options.origin != AppendOrigin::Client {
            continue;
        }
        assert_eq!(batch.header.base_offset, offset);
        assert_eq!(i64::from(batch.header.record_count), batch.header.next_offset() - offset);
        let mut scratch = Vec::new();
        let mut count = 0;
        for record in batch.records(UNPACKED_BYTES, &mut scratch).unwrap() {
            let record = record.unwrap();
            // As in the reference, what is not unpacked keeps the offsets that its records claim.
            let is_plain = batch.header.compression().unwrap() == Compression::None;
            assert!(is_plain || record.offset_delta == count);
            assert!(!is_compacted || record.key.is_some());
            assert_eq!(record.headers.iter().count(), record.headers.len());
            count += 1;
        }
        assert_eq!(count, batch.header.record_count);
        for magic in [0, 1] {
            let _ = for_old_client(&written, magic, offset);
        }
    }
}

/// As consumers, followers, the cleaner and coordinators look at what lies in a log.
fn read(bytes: &Bytes) {
    for batch in complete_batches(bytes).map_while(Result::ok) {
        let _ = batch.check_crc();
        let header = batch.header;
        let _ = (header.last_sequence(), header.delete_horizon_ms(), header.next_offset(), header.emptied());
        let mut scratch = Vec::new();
        let Ok(records) = batch.records(UNPACKED_BYTES, &mut scratch) else { continue };
        for record in records.map_while(Result::ok) {
            let _ = header.timestamp_of(record.timestamp_delta_ms);
            let _ = record.headers.iter().count();
            let _ = ControlRecord::decode(record.key.unwrap_or_default(), record.value.unwrap_or_default());
        }
    }
    for message in legacy::messages(bytes).map_while(Result::ok) {
        let _ = message.check_crc();
        let inner = |inner: legacy::Message<'_>| inner.check_crc();
        let _ = message.unpack(&Allowance::new(UNPACKED_BYTES), UNPACKED_BYTES, inner);
    }
    for magic in [0, 1] {
        let _ = for_old_client(bytes, magic, 0);
    }
}

#[test]
fn what_validation_lets_through_can_be_read_again() {
    let space = AddressSpace::bounded(HARMLESS_BYTES);
    for_some_time(2, |seed| {
        let rng = &mut Rng::new(seed);
        for _ in 0..50 {
            let bytes = sent(rng);
            (0..=9).for_each(|version| drop(check_produce_version(version, &bytes)));
            validate(&bytes, rng);
            read(&bytes);
        }
        space.check();
    });
}
