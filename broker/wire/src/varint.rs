//! Variable-length integers as Kafka writes them (`ByteUtils`): base 128, least significant group first; signed
//! ones zigzag-encoded. Reading works on slices and never panics.

use bytes::BufMut;

/// Why a variable-length integer could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VarintError {
    #[error("the bytes end inside a variable-length integer")]
    Truncated,
    #[error("a variable-length integer has too many bytes")]
    TooLong,
}

/// The longest encoding of 32 bits.
const LONGEST_32: usize = 5;
/// The longest encoding of 64 bits.
const LONGEST_64: usize = 10;

/// Reads an unsigned integer at `at` and moves `at` behind it.
// Always inlined, here and below: the walk over a batch's records is little else than these.
#[inline(always)]
pub fn read_u32(bytes: &[u8], at: &mut usize) -> Result<u32, VarintError> {
    // Nearly all of them are one byte or two: lengths of keys and values, offset deltas.
    if let Some(&first) = bytes.get(*at) {
        if first < 0x80 {
            *at += 1;
            return Ok(u32::from(first));
        }
        if let Some(&second) = bytes.get(*at + 1)
            && second < 0x80
        {
            *at += 2;
            return Ok(u32::from(first & 0x7f) | u32::from(second) << 7);
        }
    }
    read_u32_slow(bytes, at)
}

fn read_u32_slow(bytes: &[u8], at: &mut usize) -> Result<u32, VarintError> {
    let mut value = 0u32;
    for (index, &byte) in bytes.get(*at..).unwrap_or_default().iter().take(LONGEST_32).enumerate() {
        value |= u32::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            *at += index + 1;
            return Ok(value);
        }
    }
    Err(if bytes.len().saturating_sub(*at) < LONGEST_32 {
        VarintError::Truncated
    } else {
        VarintError::TooLong
    })
}

#[inline(always)]
fn read_u64(bytes: &[u8], at: &mut usize) -> Result<u64, VarintError> {
    if let Some(&byte) = bytes.get(*at)
        && byte < 0x80
    {
        *at += 1;
        return Ok(u64::from(byte));
    }
    read_u64_slow(bytes, at)
}

fn read_u64_slow(bytes: &[u8], at: &mut usize) -> Result<u64, VarintError> {
    let mut value = 0u64;
    for (index, &byte) in bytes.get(*at..).unwrap_or_default().iter().take(LONGEST_64).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            *at += index + 1;
            return Ok(value);
        }
    }
    Err(if bytes.len().saturating_sub(*at) < LONGEST_64 {
        VarintError::Truncated
    } else {
        VarintError::TooLong
    })
}

/// Reads a signed (zigzag) integer at `at` and moves `at` behind it.
#[inline(always)]
pub fn read_i32(bytes: &[u8], at: &mut usize) -> Result<i32, VarintError> {
    let raw = read_u32(bytes, at)?;
    Ok((raw >> 1) as i32 ^ -((raw & 1) as i32))
}

/// Reads a signed (zigzag) integer at `at` and moves `at` behind it.
#[inline(always)]
pub fn read_i64(bytes: &[u8], at: &mut usize) -> Result<i64, VarintError> {
    let raw = read_u64(bytes, at)?;
    Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
}

pub fn put_u32(out: &mut impl BufMut, mut value: u32) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

fn put_u64(out: &mut impl BufMut, mut value: u64) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

pub fn put_i32(out: &mut impl BufMut, value: i32) {
    put_u32(out, ((value << 1) ^ (value >> 31)) as u32);
}

pub fn put_i64(out: &mut impl BufMut, value: i64) {
    put_u64(out, ((value << 1) ^ (value >> 63)) as u64);
}

/// Encoded length in bytes.
pub fn len_u32(value: u32) -> usize {
    (32 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Encoded length in bytes.
pub fn len_i32(value: i32) -> usize {
    len_u32(((value << 1) ^ (value >> 31)) as u32)
}

/// Encoded length in bytes.
pub fn len_i64(value: i64) -> usize {
    let zigzag = ((value << 1) ^ (value >> 63)) as u64;
    (64 - (zigzag | 1).leading_zeros() as usize).div_ceil(7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signed_values_survive_and_take_the_announced_room() {
        let edges =
            [0, 1, -1, 63, 64, -64, -65, 8191, 8192, i32::MAX as i64, i32::MIN as i64, i64::MAX, i64::MIN];
        for value in edges {
            let mut out = Vec::new();
            put_i64(&mut out, value);
            let mut at = 0;
            assert_eq!(read_i64(&out, &mut at), Ok(value));
            assert_eq!((at, len_i64(value)), (out.len(), out.len()), "{value}");
            if let Ok(value) = i32::try_from(value) {
                let mut out = Vec::new();
                put_i32(&mut out, value);
                let mut at = 0;
                assert_eq!(read_i32(&out, &mut at), Ok(value));
                assert_eq!((at, len_i32(value)), (out.len(), out.len()), "{value}");
            }
        }
    }

    #[test]
    fn truncated_and_endless_integers_are_told_apart() {
        assert_eq!(read_u32(&[], &mut 0), Err(VarintError::Truncated));
        assert_eq!(read_u32(&[0x80, 0x80], &mut 0), Err(VarintError::Truncated));
        assert_eq!(read_u32(&[0x80; 5], &mut 0), Err(VarintError::TooLong));
        assert_eq!(read_i64(&[0xff; 10], &mut 0), Err(VarintError::TooLong));
        assert_eq!(
            read_u32(&[1], &mut 7),
            Err(VarintError::Truncated),
            "a position behind the end is no panic"
        );
    }
}
