//! Files of `java.util.Properties`, and pairs from the command line.

use crate::errors::Exception;
use std::collections::BTreeMap;

/// Keys and values.
pub type Properties = BTreeMap<String, String>;

/// Reads a file.
///
/// # Errors
/// As Java says when there is none.
pub fn load(path: &str) -> Result<Properties, Exception> {
    let text = std::fs::read(path).map_err(|error| {
        let missing = error.kind() == std::io::ErrorKind::NotFound;
        let class =
            if missing { "java.nio.file.NoSuchFileException" } else { "java.nio.file.AccessDeniedException" };
        Exception::new(class, path)
    })?;
    Ok(parse(&String::from_utf8_lossy(&text)))
}

/// The pairs of a text.
pub fn parse(text: &str) -> Properties {
    let mut properties = Properties::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let mut line = line.trim_start().to_owned();
        if line.starts_with(['#', '!']) {
            continue;
        }
        while line.chars().rev().take_while(|letter| *letter == '\\').count() % 2 == 1 {
            line.pop();
            let Some(next) = lines.next() else { break };
            line.push_str(next.trim_start());
        }
        if !line.is_empty() {
            let (key, value) = pair(&line);
            properties.insert(key, value);
        }
    }
    properties
}

fn pair(line: &str) -> (String, String) {
    let mut escaped = false;
    let end = line.char_indices().find(|(_, letter)| {
        let ends = !escaped && (letter.is_whitespace() || matches!(letter, '=' | ':'));
        escaped = !escaped && *letter == '\\';
        ends
    });
    let (key, rest) = line.split_at(end.map_or(line.len(), |(at, _)| at));
    let rest = rest.trim_start();
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start();
    (unescape(key), unescape(value))
}

fn unescape(text: &str) -> String {
    let mut letters = text.chars();
    let mut plain = String::new();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            plain.push(letter);
            continue;
        }
        match letters.next() {
            Some('t') => plain.push('\t'),
            Some('n') => plain.push('\n'),
            Some('r') => plain.push('\r'),
            Some('f') => plain.push('\u{c}'),
            Some('u') => {
                let digits: String = letters.by_ref().take(4).collect();
                plain.extend(u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32));
            }
            Some(other) => plain.push(other),
            None => {}
        }
    }
    plain
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
        assert_eq!(parse(text), Properties::from(due));
    }
}
