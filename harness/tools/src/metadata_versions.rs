//! The versions of a cluster's metadata that Kafka 3.7.0 knows, with their levels (`MetadataVersion`).

use crate::errors::Exception;

/// Name and level, from the oldest to the newest.
pub const VERSIONS: [(&str, i16); 21] = [
    ("3.0-IV0", -1),
    ("3.0-IV1", 1),
    ("3.1-IV0", 2),
    ("3.2-IV0", 3),
    ("3.3-IV0", 4),
    ("3.3-IV1", 5),
    ("3.3-IV2", 6),
    ("3.3-IV3", 7),
    ("3.4-IV0", 8),
    ("3.5-IV0", 9),
    ("3.5-IV1", 10),
    ("3.5-IV2", 11),
    ("3.6-IV0", 12),
    ("3.6-IV1", 13),
    ("3.6-IV2", 14),
    ("3.7-IV0", 15),
    ("3.7-IV1", 16),
    ("3.7-IV2", 17),
    ("3.7-IV3", 18),
    (LATEST, 19),
    ("3.8-IV0", 20),
];
/// Releases that are known and have no metadata of this kind.
const BEFORE_KRAFT: [&str; 19] = [
    "0.8.0", "0.8.1", "0.8.2", "0.9.0", "0.10.0", "0.10.1", "0.10.2", "0.11.0", "1.0", "1.1", "2.0", "2.1",
    "2.2", "2.3", "2.4", "2.5", "2.6", "2.7", "2.8",
];
/// The newest one for production.
pub const LATEST: &str = "3.7-IV4";
/// Its level.
pub const LATEST_LEVEL: i16 = 19;

/// `MetadataVersion.fromVersionString`
///
/// # Errors
/// When there is none of that name.
pub fn named(text: &str) -> Result<(&'static str, i16), Exception> {
    let exact = VERSIONS.iter().find(|(name, _)| *name == text);
    let of_release =
        || VERSIONS.iter().rev().find(|(name, _)| is_of(text, name.split('-').next().unwrap_or_default()));
    let before = text.split('-').next().unwrap_or_default();
    if BEFORE_KRAFT.iter().any(|release| is_of(before, release)) {
        return Ok(("", -1));
    }
    exact
        .or_else(of_release)
        .copied()
        .ok_or_else(|| Exception::argument(format!("Version {text} is not a valid version")))
}

fn is_of(text: &str, release: &str) -> bool {
    text.strip_prefix(release).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The name of a level.
pub fn of_level(level: i16) -> Option<&'static str> {
    VERSIONS.iter().rev().find(|(_, known)| *known == level).map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_stands_for_its_last_version() {
        for (text, due) in [
            ("3.3", Some("3.3-IV3")),
            ("3.6.1", Some("3.6-IV2")),
            ("3.7-IV0", Some("3.7-IV0")),
            ("2.8", Some("")),
            ("1.2", None),
            ("3.7-IV9", None),
        ] {
            assert_eq!(named(text).ok().map(|(name, _)| name), due, "{text}");
        }
    }
}
