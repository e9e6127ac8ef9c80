//! Java's `.properties` text, both ways, with the place of each entry.
//!
//! It knows no key. It differs from `java.util.Properties` in one thing: bytes are read as UTF-8 where they are valid
//! UTF-8, and only otherwise as Latin-1.

use std::ops::Range;

/// One entry of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub key: String,
    pub value: String,
    /// The line of the key, 1-based.
    pub line: usize,
    /// Where the value stands in the text, as far as it stands on the line of its key.
    pub value_at: Range<usize>,
}

/// An entry that Java refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The line of its key, 1-based.
    pub line: usize,
    /// Where its value, or the whole of it, stands in the text.
    pub at: Range<usize>,
    /// In Java's words.
    pub why: &'static str,
}

/// A file's text.
pub fn text_of(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}

/// Splits a text into its entries, in its order, duplicates included: to Java the last one counts.
pub fn parse(text: &str) -> Vec<Result<Entry, Malformed>> {
    let entry = |Logical { line, at, first_line_bytes, text }: Logical| {
        let (key, value) = split(&text);
        let value_from = (text.len() - value.len()).min(first_line_bytes);
        let value_at = at + value_from..at + first_line_bytes;
        match (unescape(key), unescape(value)) {
            (Some(key), Some(value)) => Ok(Entry { key, value, line, value_at }),
            _ => Err(Malformed { line, at: value_at, why: "Malformed \\uxxxx encoding." }),
        }
    };
    logical_lines(text).into_iter().map(entry).collect()
}

/// One line that reads back as this key and value.
pub fn format_line(key: &str, value: &str) -> String {
    let mut line = String::with_capacity(key.len() + value.len() + 2);
    escape(key, true, &mut line);
    line.push('=');
    escape(value, false, &mut line);
    line.push('\n');
    line
}

const BLANKS: [char; 3] = [' ', '\t', '\u{c}'];

/// A line without blanks in front, joined with those that continue it.
struct Logical {
    line: usize,
    /// Where it begins in the text.
    at: usize,
    /// How much of it stands on the line that it begins on.
    first_line_bytes: usize,
    text: String,
}

/// Comments and empty lines are left out.
fn logical_lines(text: &str) -> Vec<Logical> {
    let mut lines = Vec::new();
    let mut open: Option<Logical> = None;
    let mut next_at = 0;
    for (index, natural) in text.split('\n').enumerate() {
        let line_at = next_at;
        next_at += natural.len() + 1;
        // To Java a lone CR ends a line as well; none occurs inside a line of files that people write.
        let whole = natural.strip_suffix('\r').unwrap_or(natural);
        let part = whole.trim_start_matches(BLANKS);
        if open.is_none() && (part.is_empty() || part.starts_with(['#', '!'])) {
            continue;
        }
        let backslashes = part.len() - part.trim_end_matches('\\').len();
        let continues = backslashes % 2 == 1;
        let content = if continues { &part[..part.len() - 1] } else { part };
        let mut logical = open.take().unwrap_or_else(|| Logical {
            line: index + 1,
            at: line_at + (whole.len() - part.len()),
            first_line_bytes: content.len(),
            text: String::new(),
        });
        logical.text.push_str(content);
        if continues {
            open = Some(logical);
        } else {
            lines.push(logical);
        }
    }
    lines.extend(open);
    lines
}

/// The key ends at the first unescaped `=`, `:` or blank.
fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = line.char_indices().find(|(_, letter)| {
        let ends = !escaped && (BLANKS.contains(letter) || matches!(letter, '=' | ':'));
        escaped = !escaped && *letter == '\\';
        ends
    });
    let Some((end, _)) = end else { return (line, "") };
    let rest = line[end..].trim_start_matches(BLANKS);
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (&line[..end], rest.trim_start_matches(BLANKS))
}

/// None where a `\u` has no four hexadecimal digits behind it.
fn unescape(raw: &str) -> Option<String> {
    if !raw.contains('\\') {
        return Some(raw.to_owned());
    }
    // UTF-16, as two escapes may be one letter.
    let mut units: Vec<u16> = Vec::with_capacity(raw.len());
    let mut letters = raw.chars();
    while let Some(letter) = letters.next() {
        let plain = match letter {
            '\\' => match letters.next() {
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('f') => '\u{c}',
                Some('u') => {
                    let digits: String = letters.by_ref().take(4).collect();
                    let is_hex = digits.len() == 4 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
                    units.push(u16::from_str_radix(&digits, 16).ok().filter(|_| is_hex)?);
                    continue;
                }
                Some(other) => other,
                None => continue,
            },
            other => other,
        };
        units.extend_from_slice(plain.encode_utf16(&mut [0; 2]));
    }
    Some(String::from_utf16_lossy(&units))
}

fn escape(text: &str, is_key: bool, out: &mut String) {
    for (at, letter) in text.chars().enumerate() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{c}' => out.push_str("\\f"),
            ' ' if is_key || at == 0 => out.push_str("\\ "),
            '=' | ':' if is_key => {
                out.push('\\');
                out.push(letter);
            }
            '#' | '!' if is_key && at == 0 => {
                out.push('\\');
                out.push(letter);
            }
            _ => out.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<Entry> {
        parse(text).into_iter().map(Result::unwrap).collect()
    }

    #[test]
    fn entries_are_split_as_java_splits_them() {
        for (text, key, value) in [
            ("a=b", "a", "b"),
            ("  a : b ", "a", "b "),
            ("a b c", "a", "b c"),
            ("a", "a", ""),
            ("a==b", "a", "=b"),
            ("a\\=b=c", "a=b", "c"),
            ("c\\ d e", "c d", "e"),
            ("path=C:\\\\tmp\\tx", "path", "C:\\tmp\tx"),
            ("snow=\\u2603\\uD83D\\uDE00", "snow", "☃😀"),
            ("a = b\\\n   c\\\n  d", "a", "bcd"),
            ("a = b\\\\", "a", "b\\"),
            ("a=b\r", "a", "b"),
            ("a=\\", "a", ""),
        ] {
            let entries: Vec<_> = read(text).into_iter().map(|entry| (entry.key, entry.value)).collect();
            assert_eq!(entries, [(key.to_owned(), value.to_owned())], "{text:?}");
        }
    }

    #[test]
    fn comments_are_left_out_and_places_are_those_of_the_text() {
        let text = "# x\n\n! y\n  a= 1\\\n# not a comment\r\nb\nc=\\\n  9";
        let entries: Vec<_> = read(text)
            .into_iter()
            .map(|entry| (entry.line, entry.value, text[entry.value_at].to_owned()))
            .collect();
        let due = [(4, "1# not a comment", "1"), (6, "", ""), (7, "9", "")];
        assert_eq!(entries, due.map(|(line, value, at)| (line, value.to_owned(), at.to_owned())));
    }

    #[test]
    fn a_broken_escape_is_told_with_its_place_and_the_rest_is_read() {
        for broken in ["b=\\u12", "b=\\u+123", "b=\\uzzzz"] {
            let text = format!("a=1\n{broken}\nc=2");
            let entries = parse(&text);
            let Err(Malformed { line, at, .. }) = &entries[1] else { panic!("{broken} was read") };
            assert_eq!((*line, &text[at.clone()]), (2, &broken[2..]));
            assert!(entries[0].is_ok() && entries[2].is_ok());
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for (key, value) in
            [("a.b", "x"), ("k=:", " lead"), ("#k", "a\nb\\c"), ("p q", "\u{c}CONTROLLER:PLAINTEXT,A:B")]
        {
            let entries: Vec<_> =
                read(&format_line(key, value)).into_iter().map(|entry| (entry.key, entry.value)).collect();
            assert_eq!(entries, [(key.to_owned(), value.to_owned())]);
        }
    }

    #[test]
    fn bytes_that_are_no_utf_8_are_latin_1() {
        assert_eq!(text_of("ä".as_bytes()), "ä");
        assert_eq!(text_of(&[b'x', 0xe4]), "xä");
    }
}
