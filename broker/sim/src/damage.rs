//! Bytes as they should not be: bits flipped, lengths that lie, ends cut off, parts of something else. And what reading
//! them costs, in the one measure that also counts memory which was asked for and never touched.

use jackdaw_wire::{Bytes, varint};

use crate::seeds::Rng;

/// Damages the bytes in one place, or in a few.
pub fn damage(bytes: &mut Vec<u8>, rng: &mut Rng) {
    for _ in 0..=rng.below(3) {
        damage_once(bytes, rng);
    }
}

fn damage_once(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let length = bytes.len() as u64;
    let at = rng.below(length) as usize;
    match rng.below(8) {
        0 if length > 0 => bytes[at] ^= 1 << rng.below(8),
        1 if length > 0 => bytes[at] = *rng.pick(&[0, 1, 2, 0x7f, 0x80, 0xff]).unwrap_or(&0),
        2 => overwrite(bytes, at, &extreme(rng)),
        3 => {
            let lie = *rng.pick(&[u32::MAX, u32::MAX - 1, 1 << 31, 1 << 24, 70_000, 200]).unwrap_or(&0);
            let mut varint = Vec::new();
            varint::put_u32(&mut varint, lie);
            bytes.splice(at..(at + 1).min(bytes.len()), varint);
        }
        4 => bytes.truncate(at),
        5 => {
            let end = at + rng.below(length - at as u64 + 1) as usize;
            bytes.drain(at..end);
        }
        6 => {
            let count = rng.below(40).min(length - at as u64) as usize;
            let copy = bytes[at..at + count].to_vec();
            let to = rng.below(length) as usize;
            bytes.splice(to..to, copy);
        }
        _ => {
            let count = 1 + rng.below(20) as usize;
            let zeros = rng.chance(50);
            let more = (0..count).map(|_| if zeros { 0 } else { rng.next_u64() as u8 }).collect::<Vec<_>>();
            bytes.splice(at..at, more);
        }
    }
}

/// A number at one of its ends, in the bytes that numbers have.
fn extreme(rng: &mut Rng) -> Vec<u8> {
    let number = *rng.pick(&[i64::MAX, i64::MIN, -1, -2, 0, 1, 70_000, i64::MAX - 1]).unwrap_or(&0);
    let width = *rng.pick(&[2, 4, 8]).unwrap_or(&4);
    let bits = 8 * width as u32;
    let shrunk = if number.unsigned_abs() <= 70_000 { number } else { number >> (64 - bits) };
    shrunk.to_be_bytes()[8 - width..].to_vec()
}

fn overwrite(bytes: &mut [u8], at: usize, with: &[u8]) {
    bytes[at..].iter_mut().zip(with).for_each(|(byte, other)| *byte = *other);
}

/// The same, damaged more often than not.
pub fn often_damaged(bytes: &[u8], rng: &mut Rng) -> Bytes {
    let mut bytes = bytes.to_vec();
    if rng.chance(70) {
        damage(&mut bytes, rng);
    }
    bytes.into()
}

/// The address space of this process from some moment on.
#[derive(Debug)]
pub struct AddressSpace {
    before_bytes: usize,
    bound_bytes: usize,
}

impl AddressSpace {
    /// May grow by so much.
    pub fn bounded(bound_bytes: usize) -> Self {
        Self { before_bytes: peak_bytes(), bound_bytes }
    }

    /// # Panics
    /// Once it has been larger than it may.
    pub fn check(&self) {
        let grown_bytes = peak_bytes().saturating_sub(self.before_bytes);
        assert!(
            grown_bytes <= self.bound_bytes,
            "the address space grew by {grown_bytes} bytes of at most {}",
            self.bound_bytes
        );
    }
}

/// What it was at most; 0 where the system does not tell.
fn peak_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<usize>().map_or(0, |kib| kib * 1024)
}
