//! Files of `java.util.Properties`, and pairs from the command line.

use crate::errors::Exception;
use jackdaw_settings::properties::{Malformed, parse as parse_entries, text_of};
use std::collections::BTreeMap;

/// Keys and values.
pub type Properties = BTreeMap<String, String>;

/// Reads a file.
///
/// # Errors
/// As Java says when there is none, or one with a broken escape.
pub fn load(path: &str) -> Result<Properties, Exception> {
    let bytes = std::fs::read(path).map_err(|error| {
        let missing = error.kind() == std::io::ErrorKind::NotFound;
        let class =
            if missing { "java.nio.file.NoSuchFileException" } else { "java.nio.file.AccessDeniedException" };
        Exception::new(class, path)
    })?;
    parse(&text_of(&bytes)).map_err(|malformed| Exception::argument(malformed.why))
}

/// The pairs of a text.
fn parse(text: &str) -> Result<Properties, Malformed> {
    parse_entries(text).into_iter().map(|entry| entry.map(|entry| (entry.key, entry.value))).collect()
}

/// Pairs `key=value` from the command line (`CommandLineUtils.parseKeyValueArgs`).
pub fn pairs(words: &[String]) -> Properties {
    let split = |word: &String| match word.split_once('=') {
        Some((key, value)) => (key.to_owned(), value.to_owned()),
        None => (word.clone(), String::new()),
    };
    words.iter().map(split).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_as_java_reads_them() {
        let text = "# a comment\n\n a = 1\nb: two words \nc\\ d e\nlong=x,\\\n   y\ntab=\\t\\u0041\nempty\n";
        let due =
            [("a", "1"), ("b", "two words "), ("c d", "e"), ("empty", ""), ("long", "x,y"), ("tab", "\tA")];
        let due = due.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(parse(text), Ok(Properties::from(due)));
    }
}
