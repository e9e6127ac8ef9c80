//! What a topic may be called (Kafka's `Topic`).

use thiserror::Error;

/// The longest name, in UTF-16 units as Java counts them.
const MAX_NAME_LENGTH: usize = 249;

/// The topic that keeps group offsets.
pub const GROUP_METADATA_TOPIC: &str = "__consumer_offsets";
/// The topic that keeps transactions.
pub const TRANSACTION_STATE_TOPIC: &str = "__transaction_state";

/// A name that no topic may have; the text is Kafka's own.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("Topic name is invalid: {reason}")]
pub struct InvalidTopicName {
    reason: String,
}

/// Checks a name as `Topic.validate` does.
pub fn validate(name: &str) -> Result<(), InvalidTopicName> {
    let reason = match name {
        "" => "the empty string is not allowed".to_owned(),
        "." => "'.' is not allowed".to_owned(),
        ".." => "'..' is not allowed".to_owned(),
        long if long.encode_utf16().count() > MAX_NAME_LENGTH => {
            format!("the length of '{long}' is longer than the max allowed length {MAX_NAME_LENGTH}")
        }
        odd if !odd.bytes().all(is_legal) => {
            format!(
                "'{odd}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
            )
        }
        _ => return Ok(()),
    };
    Err(InvalidTopicName { reason })
}

fn is_legal(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

/// Whether the topic is one of the coordinators' own.
pub fn is_internal(name: &str) -> bool {
    name == GROUP_METADATA_TOPIC || name == TRANSACTION_STATE_TOPIC
}

/// Whether the name could collide with another one in metric names.
pub fn has_collision_chars(name: &str) -> bool {
    name.contains(['_', '.'])
}

/// The name under which colliding topics meet.
pub fn unify_collision_chars(name: &str) -> String {
    name.replace('.', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client shows this text to its user, and users search for it.
    #[test]
    fn bad_names_are_refused_in_kafkas_words() {
        let long = "x".repeat(250);
        let table: String = ["", ".", "..", "a b", "ärger", "a/b", long.as_str()]
            .iter()
            .map(|name| format!("{}\n", validate(name).unwrap_err()))
            .collect();
        insta::assert_snapshot!(table.replace(&long, "<250 x>"), @r"
        Topic name is invalid: the empty string is not allowed
        Topic name is invalid: '.' is not allowed
        Topic name is invalid: '..' is not allowed
        Topic name is invalid: 'a b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'
        Topic name is invalid: 'ärger' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'
        Topic name is invalid: 'a/b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'
        Topic name is invalid: the length of '<250 x>' is longer than the max allowed length 249
        ");
        for good in ["a", "A.b_c-9", &"y".repeat(249), "...", "__consumer_offsets"] {
            assert_eq!(validate(good), Ok(()), "{good}");
        }
    }
}
