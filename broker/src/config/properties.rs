//! Java's `.properties` format, with the line of each entry kept for messages.
//!
//! Must not know any key. Differs from `java.util.Properties` in one thing: text is read as UTF-8 where it is
//! valid UTF-8, and only otherwise as Latin-1.

/// One entry; the line is that of its key, 1-based.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub key: String,
    pub value: String,
    pub line: usize,
}

/// Splits a file into entries, duplicates included, in file order.
///
/// # Errors
/// A malformed `\uXXXX` escape, as in Java, with its line.
pub fn parse(bytes: &[u8]) -> Result<Vec<Entry>, (usize, String)> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|b| char::from(*b)).collect(),
    };
    let mut entries = Vec::new();
    for (line, logical) in logical_lines(&text) {
        let (key, value) = split(&logical);
        let key = unescape(key).map_err(|e| (line, e))?;
        let value = unescape(value).map_err(|e| (line, e))?;
        entries.push(Entry { key, value, line });
    }
    Ok(entries)
}

const BLANKS: [char; 3] = [' ', '\t', '\u{c}'];

/// Lines without blanks in front and comments, continued ones joined.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (index, natural) in text.split('\n').enumerate() {
        // Java ends lines at CR as well; a lone CR inside a line does not occur in files that people write.
        let natural = natural.strip_suffix('\r').unwrap_or(natural).trim_start_matches(BLANKS);
        if open.is_none() && (natural.is_empty() || natural.starts_with(['#', '!'])) {
            continue;
        }
        let backslashes = natural.len() - natural.trim_end_matches('\\').len();
        let continues = backslashes % 2 == 1;
        let part = if continues { &natural[..natural.len() - 1] } else { natural };
        let (line, mut joined) = open.take().unwrap_or((index + 1, String::new()));
        joined.push_str(part);
        if continues {
            open = Some((line, joined));
        } else {
            lines.push((line, joined));
        }
    }
    lines.extend(open);
    lines
}

/// The key ends at the first unescaped `=`, `:` or blank.
fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = line.char_indices().find(|(_, c)| {
        let ends = !escaped && (BLANKS.contains(c) || matches!(c, '=' | ':'));
        escaped = !escaped && *c == '\\';
        ends
    });
    let Some((end, _)) = end else { return (line, "") };
    let rest = line[end..].trim_start_matches(BLANKS);
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (&line[..end], rest.trim_start_matches(BLANKS))
}

fn unescape(raw: &str) -> Result<String, String> {
    if !raw.contains('\\') {
        return Ok(raw.to_owned());
    }
    let mut units: Vec<u16> = Vec::with_capacity(raw.len());
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        let mut buffer = [0; 2];
        let plain = match c {
            '\\' => match chars.next() {
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('f') => '\u{c}',
                Some('u') => {
                    let digits: String = chars.by_ref().take(4).collect();
                    let unit = (digits.len() == 4).then(|| u16::from_str_radix(&digits, 16).ok()).flatten();
                    units.push(unit.ok_or_else(|| "Malformed \\uxxxx encoding.".to_owned())?);
                    continue;
                }
                Some(other) => other,
                None => continue,
            },
            other => other,
        };
        units.extend_from_slice(plain.encode_utf16(&mut buffer));
    }
    Ok(String::from_utf16_lossy(&units))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, String, usize)> {
        parse(text.as_bytes()).unwrap().into_iter().map(|e| (e.key, e.value, e.line)).collect()
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
            ("path=C:\\\\tmp\\tx", "path", "C:\\tmp\tx"),
            ("snow=\\u2603\\uD83D\\uDE00", "snow", "☃😀"),
            ("a = b\\\n   c\\\n  d", "a", "bcd"),
            ("a = b\\\\", "a", "b\\"),
            ("a=b\r", "a", "b"),
        ] {
            assert_eq!(read(text), [(key.to_owned(), value.to_owned(), 1)], "{text:?}");
        }
    }

    #[test]
    fn comments_are_left_out_and_lines_counted() {
        let lines: Vec<_> =
            read("# x\n\n! y\na=1\\\n# not a comment\nb=2\n").into_iter().map(|e| (e.1, e.2)).collect();
        assert_eq!(lines, [("1# not a comment".to_owned(), 4), ("2".to_owned(), 6)]);
    }

    #[test]
    fn a_broken_escape_names_its_line() {
        assert_eq!(parse(b"a=1\nb=\\u12").unwrap_err().0, 2);
    }
}
