//! Whatever bytes arrive, decoding ends in a value or an error: never in a panic, never in memory without end.
//! Each test prints its seed; `JACKDAW_SEED=…` replays it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use bytes::Bytes;
use common::{Dice, golden_batches};
use jackdaw_wire::batch::{BatchRef, complete_batches};
use jackdaw_wire::control_record::ControlRecord;
use jackdaw_wire::metadata_record::MetadataRecord;

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
