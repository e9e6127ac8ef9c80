//! The names of Kafka 3.7.0's metadata versions and their feature levels (`MetadataVersion`).
//!
//! What a version changes is not said here: `jackdaw-metadata` knows it.

/// A metadata version that has a feature level, or 3.0-IV0, which has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    pub name: &'static str,
    pub level: i16,
}

/// The level of versions from before KRaft.
pub const NO_LEVEL: i16 = -1;
/// What a log without any level is written in (3.0-IV1).
pub const MINIMUM: i16 = 1;
/// The first level that may stand in `bootstrap.checkpoint` (3.3-IV0, `MINIMUM_BOOTSTRAP_VERSION`).
pub const MINIMUM_BOOTSTRAP: i16 = 4;
/// What Kafka 3.7.0 formats with, and the highest that it takes in production (`LATEST_PRODUCTION`).
pub const LATEST: Version = KRAFT[19];

/// From the oldest to the newest.
pub const KRAFT: [Version; 21] = [
    Version { name: "3.0-IV0", level: NO_LEVEL },
    Version { name: "3.0-IV1", level: 1 },
    Version { name: "3.1-IV0", level: 2 },
    Version { name: "3.2-IV0", level: 3 },
    Version { name: "3.3-IV0", level: 4 },
    Version { name: "3.3-IV1", level: 5 },
    Version { name: "3.3-IV2", level: 6 },
    Version { name: "3.3-IV3", level: 7 },
    Version { name: "3.4-IV0", level: 8 },
    Version { name: "3.5-IV0", level: 9 },
    Version { name: "3.5-IV1", level: 10 },
    Version { name: "3.5-IV2", level: 11 },
    Version { name: "3.6-IV0", level: 12 },
    Version { name: "3.6-IV1", level: 13 },
    Version { name: "3.6-IV2", level: 14 },
    Version { name: "3.7-IV0", level: 15 },
    Version { name: "3.7-IV1", level: 16 },
    Version { name: "3.7-IV2", level: 17 },
    Version { name: "3.7-IV3", level: 18 },
    Version { name: "3.7-IV4", level: 19 },
    Version { name: "3.8-IV0", level: 20 },
];

/// Releases from before KRaft, each with the number of its internal versions (`-IV0` and so on).
const BEFORE_KRAFT: [(&str, u8); 19] = [
    ("0.8.0", 0),
    ("0.8.1", 0),
    ("0.8.2", 0),
    ("0.9.0", 0),
    ("0.10.0", 2),
    ("0.10.1", 3),
    ("0.10.2", 1),
    ("0.11.0", 3),
    ("1.0", 1),
    ("1.1", 1),
    ("2.0", 2),
    ("2.1", 3),
    ("2.2", 2),
    ("2.3", 2),
    ("2.4", 2),
    ("2.5", 1),
    ("2.6", 1),
    ("2.7", 3),
    ("2.8", 2),
];

/// The level of a version by its name: `3.7-IV4`, or a release such as `3.7` or `3.7.1`, which means the last of its
/// versions; [`NO_LEVEL`] from before KRaft; none for a name that Kafka does not know (`fromVersionString`).
pub fn level_of(name: &str) -> Option<i16> {
    let counted = if name.starts_with("0.") { 3 } else { 2 };
    let key = name.splitn(counted + 1, '.').take(counted).collect::<Vec<_>>().join(".");
    let is_meant = |version: &&Version| version.name == key || release_of(version) == key;
    if let Some(version) = KRAFT.iter().rfind(is_meant) {
        return Some(version.level);
    }
    let (release, internal) = match key.split_once("-IV") {
        Some((release, number)) => (release, Some(number)),
        None => (key.as_str(), None),
    };
    let (_, count) = BEFORE_KRAFT.iter().find(|(known, _)| *known == release)?;
    let is_known = |number: &str| (0..*count).any(|known| known.to_string() == number);
    internal.is_none_or(is_known).then_some(NO_LEVEL)
}

/// The name of a level, as Kafka's log lines and tools print it.
pub fn name_of(level: i16) -> Option<&'static str> {
    KRAFT.iter().rfind(|version| version.level == level).map(|version| version.name)
}

fn release_of(version: &Version) -> &'static str {
    version.name.split('-').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_mean_the_levels_of_3_7() {
        for (name, level) in [
            ("3.7", Some(19)),
            ("3.7-IV4", Some(19)),
            ("3.7-IV0", Some(15)),
            ("3.7.0", Some(19)),
            ("3.3-IV0", Some(4)),
            ("3.6", Some(14)),
            ("3.6.1", Some(14)),
            ("3.0", Some(1)),
            ("3.0-IV0", Some(NO_LEVEL)),
            ("3.8", Some(20)),
            ("2.8", Some(NO_LEVEL)),
            ("2.8-IV1", Some(NO_LEVEL)),
            ("2.8-IV2", None),
            ("2.8-IV01", None),
            ("0.10.2", Some(NO_LEVEL)),
            ("0.10.2.1", Some(NO_LEVEL)),
            ("0.9.0-IV0", None),
            ("3.7-IV5", None),
            ("1.2", None),
            ("4.0", None),
            ("3", None),
            ("", None),
        ] {
            assert_eq!(level_of(name), level, "{name}");
        }
    }

    #[test]
    fn levels_have_the_names_of_3_7() {
        for (level, name) in
            [(19, Some("3.7-IV4")), (15, Some("3.7-IV0")), (1, Some("3.0-IV1")), (0, None), (21, None)]
        {
            assert_eq!(name_of(level), name, "{level}");
        }
        assert_eq!((LATEST.name, LATEST.level), ("3.7-IV4", 19));
    }
}
