//! Reproducible randomness from a seed that the caller brings: the pure crates have none of their own.

use jackdaw_wire::types::random_uuid;
use uuid::Uuid;

/// SplitMix64: spreads one seed over as many numbers as a request needs. Not for secrets.
#[derive(Debug, Clone)]
pub struct Entropy(u64);

impl Entropy {
    /// Starts from a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which must not be 0.
    pub fn below(&mut self, bound: usize) -> usize {
        // The bias of a plain remainder is far below anything placement could show: bounds are broker counts.
        (self.next_u64() % bound.max(1) as u64) as usize
    }

    /// Shuffles in place (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }

    /// A new id as Kafka makes them.
    pub fn uuid(&mut self) -> Uuid {
        random_uuid(|| (u128::from(self.next_u64()) << 64) | u128::from(self.next_u64()))
    }
}
