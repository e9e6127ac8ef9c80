//! Whatever bytes arrive, decoding ends in a value or an error: never in a panic, never in memory without end.
//! Each test prints its seed; `JACKDAW_SEED=…` replays it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use jackdaw_wire::batch::{BatchRef, complete_batches};
use jackdaw_wire::control_record::ControlRecord;
use jackdaw_wire::metadata_record::MetadataRecord;

/// splitmix64.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        use std::hash::{BuildHasher, RandomState};
        let given = std::env::var("JACKDAW_SEED").ok().and_then(|text| text.parse().ok());
        let seed = given.unwrap_or_else(|| RandomState::new().hash_one(0));
        println!("JACKDAW_SEED={seed}");
        Self(seed)
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e3779b97f4a7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58476d1ce4e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d049bb133111eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.roll() % end.max(1) as u64) as usize
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.roll() as u8).collect()
    }

    /// `original` with a few bytes changed, or cut off, or both.
    fn damaged(&mut self, original: &[u8]) -> Bytes {
        let mut bytes = original.to_vec();
        for _ in 0..self.below(4) {
            let at = self.below(bytes.len());
            if let Some(byte) = bytes.get_mut(at) {
                *byte = [self.roll() as u8, 0xff, 0x7f, 0x80, 0][self.below(5)];
            }
        }
        if self.below(3) == 0 {
            bytes.truncate(self.below(original.len()));
        }
        bytes.into()
    }
}

fn golden_batches() -> Vec<Bytes> {
    let text = include_str!("data/batches-3.7.0.txt");
    let lines = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
    lines
        .map(|(_, hex)| {
            (0..hex.len() / 2)
                .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("hex"))
                .collect()
        })
        .collect()
}

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
        let original = &originals[dice.below(originals.len())];
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
