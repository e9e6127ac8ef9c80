//! The small notations inside values: durations, sizes, booleans, file modes, shell words.
//! It must not know which key a value belongs to.

use std::time::Duration;

/// `1h30m`, `1m30s`, `500ms`, `1.5s`; Go's syntax with Compose's days and weeks. None if it is none.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text.trim();
    let mut total_ns: u128 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let unit_ns: f64 = match &rest[..end] {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3_600e9,
            "d" => 86_400e9,
            "w" => 604_800e9,
            _ => return None,
        };
        total_ns += (number * unit_ns).round() as u128;
        rest = &rest[end..];
    }
    u64::try_from(total_ns).ok().map(Duration::from_nanos)
}

/// A duration the way Go prints it: `1m30s`, `500ms`, `0s`.
pub(crate) fn format_duration(duration: Duration) -> String {
    let fraction = |value: f64, unit: &str| format!("{value}{unit}");
    let ns = duration.as_nanos();
    if ns == 0 {
        return String::from("0s");
    }
    if ns < 1_000 {
        return format!("{ns}ns");
    }
    if ns < 1_000_000 {
        return fraction(ns as f64 / 1e3, "µs");
    }
    if ns < 1_000_000_000 {
        return fraction(ns as f64 / 1e6, "ms");
    }
    let seconds_total = duration.as_secs();
    let (hours, minutes) = (seconds_total / 3_600, seconds_total / 60 % 60);
    let seconds = (ns % 60_000_000_000) as f64 / 1e9;
    let mut out = String::new();
    if hours > 0 {
        out.push_str(&format!("{hours}h"));
    }
    if hours > 0 || minutes > 0 {
        out.push_str(&format!("{minutes}m"));
    }
    out + &fraction(seconds, "s")
}

/// `64m`, `1g`, `1.5gb`, `1024`, in binary units as Docker reads them. Negative numbers stand for "none".
pub fn bytes(text: &str) -> Option<i64> {
    let text = text.trim();
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '-')).unwrap_or(text.len());
    let number: f64 = text[..end].parse().ok()?;
    let shift = match text[end..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        "p" | "pb" | "pib" => 50,
        _ => return None,
    };
    let value = number * (1u64 << shift) as f64;
    (value.is_finite() && value.abs() < i64::MAX as f64).then_some(value as i64)
}

/// The strings that Compose takes for a boolean.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "t" | "1" | "yes" | "y" | "on" => Some(true),
        "false" | "f" | "0" | "no" | "n" | "off" => Some(false),
        _ => None,
    }
}

/// Splits a command line into words as Compose does: quotes and backslashes as in a shell, and what comes
/// after an unquoted `;`, `&`, `|`, `<` or `>` is dropped. None where quotes do not match.
pub(crate) fn shell_words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\\', None | Some('"')) => word.get_or_insert_default().push(chars.next()?),
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, Some(open)) if c == open => quote = None,
            (c, Some(_)) => word.get_or_insert_default().push(c),
            (' ' | '\t' | '\r' | '\n', None) => words.extend(word.take()),
            (';' | '&' | '|' | '<' | '>', None) => break,
            ('(', None) if !word.as_deref().is_some_and(|w| w.ends_with('$')) => return None,
            (c, None) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_printed_as_go_does() {
        let table = [
            ("30s", "30s"),
            ("90s", "1m30s"),
            ("1m", "1m0s"),
            ("1h", "1h0m0s"),
            ("1.5s", "1.5s"),
            ("500ms", "500ms"),
            ("1500ms", "1.5s"),
            ("100us", "100µs"),
            ("1d", "24h0m0s"),
            ("0", "0s"),
            ("1h30m5s", "1h30m5s"),
        ];
        for (text, expected) in table {
            assert_eq!(duration(text).map(format_duration).as_deref(), Some(expected), "{text}");
        }
        for text in ["", "30", "s", "abc", "1x", "-5s"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_are_binary() {
        let table = [
            ("1024", 1024),
            ("64m", 67_108_864),
            ("1g", 1 << 30),
            ("1.5GB", 3 << 29),
            ("2kb", 2048),
            ("-1", -1),
        ];
        for (text, expected) in table {
            assert_eq!(bytes(text), Some(expected), "{text}");
        }
        assert_eq!(bytes("many"), None);
    }

    #[test]
    fn command_lines_are_split_as_a_shell_would() {
        let table: [(&str, &[&str]); 8] = [
            ("a b  c", &["a", "b", "c"]),
            ("sh -c \"a && b\"", &["sh", "-c", "a && b"]),
            ("sh -c 'it''s'", &["sh", "-c", "its"]),
            ("a \\\"b", &["a", "\"b"]),
            ("'' x", &["", "x"]),
            ("a 'b \\n'", &["a", "b \\n"]),
            ("a > file", &["a"]),
            ("", &[]),
        ];
        for (line, expected) in table {
            let words = shell_words(line).expect(line);
            assert_eq!(words, expected, "{line}");
        }
        assert_eq!(shell_words("a 'b"), None);
    }
}
