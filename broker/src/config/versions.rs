//! Names of Kafka's metadata versions, as `inter.broker.protocol.version` takes them.
//!
//! Must not know what a version changes; `jackdaw-metadata` and `jackdaw-wire` do.

/// `MetadataVersion` of 3.7: short name, number of its last internal version, feature level of that one; 0 where it
/// has none (before KRaft).
const VERSIONS: &[(&str, u8, i16)] = &[
    ("0.8.0", 0, 0),
    ("0.8.1", 0, 0),
    ("0.8.2", 0, 0),
    ("0.9.0", 0, 0),
    ("0.10.0", 1, 0),
    ("0.10.1", 2, 0),
    ("0.10.2", 0, 0),
    ("0.11.0", 2, 0),
    ("1.0", 0, 0),
    ("1.1", 0, 0),
    ("2.0", 1, 0),
    ("2.1", 2, 0),
    ("2.2", 1, 0),
    ("2.3", 1, 0),
    ("2.4", 1, 0),
    ("2.5", 0, 0),
    ("2.6", 0, 0),
    ("2.7", 2, 0),
    ("2.8", 1, 0),
    ("3.0", 1, 1),
    ("3.1", 0, 2),
    ("3.2", 0, 3),
    ("3.3", 3, 7),
    ("3.4", 0, 8),
    ("3.5", 2, 11),
    ("3.6", 2, 14),
    ("3.7", 4, 19),
    ("3.8", 0, 20),
];

/// The version of a freshly formatted cluster of Kafka 3.7.0: 3.7-IV4.
pub const LATEST_PRODUCTION: i16 = 19;
/// The oldest version that a cluster can be started with: 3.3-IV0.
pub const MINIMUM_BOOTSTRAP: i16 = 4;

/// `MetadataVersion.fromVersionString`: the feature level, at most 0 for versions older than KRaft's first; none for
/// an unknown name.
pub fn feature_level(name: &str) -> Option<i16> {
    let counted = if name.starts_with("0.") { 3 } else { 2 };
    let key = name.splitn(counted + 1, '.').take(counted).collect::<Vec<_>>().join(".");
    let (short, internal) = match key.split_once("-IV") {
        Some((short, number)) => (short.to_owned(), Some(number.parse::<u8>().ok()?)),
        None => (key, None),
    };
    let (_, last, level) = VERSIONS.iter().find(|(known, ..)| *known == short)?;
    let internal = internal.unwrap_or(*last);
    (internal <= *last).then(|| (level - i16::from(last - internal)).max(0))
}

/// The name of a feature level, as Kafka's log lines and tools print it.
pub fn name(level: i16) -> Option<String> {
    let (short, last, top) = VERSIONS.iter().rfind(|(_, last, top)| {
        *top > 0 && {
            let lowest = top - i16::from(*last);
            (lowest..=*top).contains(&level)
        }
    })?;
    let internal = i16::from(*last) - (top - level);
    Some(format!("{short}-IV{internal}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_levels_are_those_of_3_7() {
        for (given, level) in [
            ("3.7", Some(19)),
            ("3.7-IV4", Some(19)),
            ("3.7-IV0", Some(15)),
            ("3.7.0", Some(19)),
            ("3.3-IV0", Some(4)),
            ("3.6", Some(14)),
            ("2.8", Some(0)),
            ("0.10.2", Some(0)),
            ("3.7-IV5", None),
            ("4.0", None),
            ("", None),
        ] {
            assert_eq!(feature_level(given), level, "{given}");
        }
        assert_eq!(name(19).as_deref(), Some("3.7-IV4"));
        assert_eq!(name(15).as_deref(), Some("3.7-IV0"));
        assert_eq!(name(1).as_deref(), Some("3.0-IV1"));
        assert_eq!(name(21), None);
    }
}
