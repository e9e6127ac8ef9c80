//! The last offset of each key, by a hash of the key, in bounded memory (`SkimpyOffsetMap`).
//!
//! A key is known by 128 bits of a hash that nobody outside can choose keys for: two keys that were taken for one
//! would lose a record.

use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher;

/// Bytes of a slot: the hash and the offset, as in Kafka.
pub(crate) const SLOT_BYTES: usize = 24;
const EMPTY: i64 = -1;

#[derive(Debug, Clone, Copy)]
struct Slot {
    hash: (u64, u64),
    offset: i64,
}

/// How much memory keys may take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MapBudget {
    /// `log.cleaner.dedupe.buffer.size`, of one thread.
    pub bytes: usize,
    /// `log.cleaner.io.buffer.load.factor`: how full the map may get.
    pub load_factor: f64,
}

/// Keys and offsets of one round of compaction.
#[derive(Debug)]
pub(crate) struct OffsetMap {
    slots: Vec<Slot>,
    seeds: (u64, u64),
    len: usize,
    most: usize,
    /// Every record up to here is in the map.
    latest_offset: i64,
}

impl OffsetMap {
    /// A map for at most `records` keys, within the budget. `seeds` has to be random.
    pub fn new(budget: &MapBudget, records: u64, seeds: (u64, u64)) -> Self {
        let load_factor = budget.load_factor.clamp(0.01, 1.0);
        let affordable = (budget.bytes / SLOT_BYTES).max(2);
        // Never quite full: a search ends at an empty slot.
        let wanted = usize::try_from(records).unwrap_or(usize::MAX).saturating_add(1) as f64 / load_factor;
        let count = (wanted.ceil() as usize).saturating_add(1).min(affordable);
        let most = ((count as f64 * load_factor) as usize).clamp(1, count - 1);
        let empty = Slot { hash: (0, 0), offset: EMPTY };
        Self { slots: vec![empty; count], seeds, len: 0, most, latest_offset: -1 }
    }

    /// For the hash of the next key.
    pub fn key(&self) -> KeyHash {
        KeyHash { seeds: self.seeds, hashers: KeyHash::begun(self.seeds) }
    }

    fn find(&self, hash: (u64, u64)) -> usize {
        let mut at = (hash.0 % self.slots.len() as u64) as usize;
        while self.slots[at].offset != EMPTY && self.slots[at].hash != hash {
            at = (at + 1) % self.slots.len();
        }
        at
    }

    /// Whether no further key fits.
    pub fn is_full(&self) -> bool {
        self.len >= self.most
    }

    pub fn put(&mut self, hash: (u64, u64), offset: i64) {
        let at = self.find(hash);
        if self.slots[at].offset == EMPTY {
            self.len += 1;
        }
        self.slots[at] = Slot { hash, offset };
    }

    /// The last offset of a key; -1 where it is not in the map.
    pub fn get(&self, hash: (u64, u64)) -> i64 {
        self.slots[self.find(hash)].offset
    }

    pub fn latest_offset(&self) -> i64 {
        self.latest_offset
    }

    pub fn reached(&mut self, offset: i64) {
        self.latest_offset = self.latest_offset.max(offset);
    }
}

/// The hashes of keys, one after the other, each of which may come in pieces.
pub(crate) struct KeyHash {
    seeds: (u64, u64),
    hashers: (DefaultHasher, DefaultHasher),
}

impl KeyHash {
    fn begun(seeds: (u64, u64)) -> (DefaultHasher, DefaultHasher) {
        let one = |seed: u64| {
            let mut hasher = DefaultHasher::new();
            hasher.write_u64(seed);
            hasher
        };
        (one(seeds.0), one(seeds.1))
    }

    pub fn add(&mut self, piece: &[u8]) {
        self.hashers.0.write(piece);
        self.hashers.1.write(piece);
    }

    /// The hash of the key that was added; the next one begins.
    pub fn take(&mut self) -> (u64, u64) {
        let done = std::mem::replace(&mut self.hashers, Self::begun(self.seeds));
        (done.0.finish(), done.1.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(map: &OffsetMap, pieces: &[&[u8]]) -> (u64, u64) {
        let mut hash = map.key();
        pieces.iter().for_each(|piece| hash.add(piece));
        hash.take()
    }

    #[test]
    fn a_key_in_pieces_is_the_same_key() {
        let map = OffsetMap::new(&MapBudget { bytes: 100 * SLOT_BYTES, load_factor: 0.9 }, 10, (3, 9));
        let key: Vec<u8> = (0..100).collect();
        let whole = hash(&map, &[&key]);
        for at in 0..key.len() {
            let (one, two) = key.split_at(at);
            assert_eq!(hash(&map, &[one, two]), whole, "{at}");
            assert_ne!(hash(&map, &[one]), whole, "{at}");
        }
    }

    #[test]
    fn the_last_offset_of_each_key_is_kept_until_the_memory_is_used() {
        let mut map = OffsetMap::new(&MapBudget { bytes: 100 * SLOT_BYTES, load_factor: 0.9 }, 1000, (3, 9));
        let mut put = 0_i64;
        while !map.is_full() {
            map.put(hash(&map, &[format!("key-{put}").as_bytes()]), put);
            map.put(hash(&map, &[format!("key-{put}").as_bytes()]), put + 1000);
            put += 1;
        }
        assert_eq!(put, 90);
        for key in 0..90 {
            assert_eq!(map.get(hash(&map, &[format!("key-{key}").as_bytes()])), key + 1000);
        }
        assert_eq!(map.get(hash(&map, &[b"another"])), -1);
    }

    #[test]
    fn a_small_log_takes_little_memory() {
        let map = OffsetMap::new(&MapBudget { bytes: 128 << 20, load_factor: 0.9 }, 10, (0, 0));
        assert!(map.slots.len() < 20 && map.most >= 10, "{} {}", map.slots.len(), map.most);
    }
}
