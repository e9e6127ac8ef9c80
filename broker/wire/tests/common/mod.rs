//! What the tests of this crate share: the reference's bytes, and dice that tell their seed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test file uses its own part")]

use bytes::Bytes;

/// Bytes from hexadecimal text; spaces and line ends are skipped.
pub fn unhex(text: &str) -> Bytes {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// Batches and message sets that Apache Kafka 3.7.0 wrote, by name.
pub fn golden_batches() -> Vec<(&'static str, Bytes)> {
    let lines = include_str!("../data/batches-3.7.0.txt").lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.rsplit_once(' ')).map(|(name, hex)| (name, unhex(hex))).collect()
}

pub fn golden_batch(name: &str) -> Bytes {
    let found = golden_batches().into_iter().find(|(found, _)| *found == name);
    found.unwrap_or_else(|| panic!("no batch {name}")).1
}

/// splitmix64. `JACKDAW_SEED=…` replays what a failed test printed.
pub struct Dice(u64);

impl Dice {
    pub fn new() -> Self {
        use std::hash::{BuildHasher, RandomState};
        let given = std::env::var("JACKDAW_SEED").ok().and_then(|text| text.parse().ok());
        let seed = given.unwrap_or_else(|| RandomState::new().hash_one(0));
        println!("JACKDAW_SEED={seed}");
        Self(seed)
    }

    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e3779b97f4a7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58476d1ce4e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d049bb133111eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.roll() % end.max(1) as u64) as usize
    }

    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.roll() as u8).collect()
    }

    /// `original` with a few bytes changed, or cut off, or both.
    pub fn damaged(&mut self, original: &[u8]) -> Bytes {
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
