//! Which partition of its topic coordinates a group or a transactional id.

/// `Utils.abs(key.hashCode) % partitions`; Java hashes UTF-16 units.
pub fn partition_for(key: &str, partitions: i32) -> i32 {
    let hash =
        key.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    // `Utils.abs` says 0 where there is no absolute value.
    hash.checked_abs().unwrap_or(0) % partitions.max(1)
}

#[cfg(test)]
mod tests {
    use super::partition_for;

    /// Every client and every broker must come to the same partition. The numbers are a JVM's.
    #[test]
    fn a_key_is_hashed_as_java_does() {
        for (key, partition) in
            [("", 0), ("g", 3), ("myGroup", 17), ("grün", 49), ("😀-group", 43), ("polygenelubricants", 0)]
        {
            assert_eq!(partition_for(key, 50), partition, "{key}");
        }
    }
}
