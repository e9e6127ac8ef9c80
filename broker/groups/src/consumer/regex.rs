//! Regular expressions over topic names: RE2's syntax, which Kafka takes, for a crate of the same family.
//!
//! Matching is linear in the name, and a program is limited in size: no expression can hold a coordinator up.

use jackdaw_wire::StrBytes;
use regex::{Regex, RegexBuilder};

/// Bytes that a compiled expression may take.
const LARGEST_PROGRAM_BYTES: usize = 1 << 20;

/// An expression that must match a whole name.
///
/// # Errors
/// Why it is none, in one line.
pub(super) fn compile(text: &str) -> Result<Regex, String> {
    let whole = format!("^(?:{})$", translate(text));
    RegexBuilder::new(&whole).size_limit(LARGEST_PROGRAM_BYTES).build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => "expression is too large".to_owned(),
        error => {
            // The last line has the reason; those before draw the place.
            let text = error.to_string();
            text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
        }
    })
}

/// RE2 has quoting (`\Q…\E`), takes any escaped punctuation for itself, and has no sets within classes.
fn translate(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    let mut in_class = false;
    let mut class_begins = false;
    while let Some(c) = rest.next() {
        let begins = std::mem::take(&mut class_begins);
        match (c, rest.peek().copied()) {
            ('\\', Some('Q')) => {
                rest.next();
                quote(&mut rest, &mut out);
            }
            ('\\', Some(next)) if next.is_ascii_punctuation() => {
                rest.next();
                push_literal(&mut out, next);
            }
            ('\\', Some(next)) => {
                rest.next();
                out.extend(['\\', next]);
            }
            ('[', Some(':')) if in_class => out.push('['),
            ('[', _) if in_class => out.push_str("\\["),
            ('[', _) => {
                (in_class, class_begins) = (true, true);
                out.push('[');
            }
            ('^', _) if begins => {
                class_begins = true;
                out.push('^');
            }
            // The first one in a class is a member of it.
            (']', _) if begins => out.push_str("\\]"),
            (']', _) if in_class && out.ends_with(':') => out.push(']'),
            (']', _) => {
                in_class = false;
                out.push(']');
            }
            ('&' | '~', _) if in_class => push_literal(&mut out, c),
            (c, _) => out.push(c),
        }
    }
    out
}

fn quote(rest: &mut std::iter::Peekable<std::str::Chars<'_>>, out: &mut String) {
    while let Some(c) = rest.next() {
        if c == '\\' && rest.peek() == Some(&'E') {
            rest.next();
            return;
        }
        push_literal(out, c);
    }
}

fn push_literal(out: &mut String, c: char) {
    out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
}

/// The names that match.
pub(super) fn matches<'a>(
    regex: &Regex,
    names: impl Iterator<Item = &'a StrBytes>,
) -> std::collections::BTreeSet<StrBytes> {
    names.filter(|name| regex.is_match(name)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `com.google.re2j.Pattern.matches` has it.
    #[test]
    fn expressions_are_re2s_and_match_whole_names() {
        for (text, name, expected) in [
            ("foo", "foo", true),
            ("foo", "foobar", false),
            ("foo.*", "foobar", true),
            ("foo|bar", "bar", true),
            ("foo|bar", "foobar", false),
            (r"a\.b", "a.b", true),
            (r"a\.b", "axb", false),
            (r"\Qa.b\E.*", "a.bc", true),
            (r"\Qa.b", "axb", false),
            (r"[a-c[]+", "ab[", true),
            ("[]a]+", "a]", true),
            ("[^]a]+", "b", true),
            ("[[:alpha:]]+", "abc", true),
            ("[a&&b]+", "a&b", true),
            (r"\_x\-", "_x-", true),
            ("(?i)FOO", "foo", true),
            (r"\pL+\d{2}", "ab12", true),
            (".*", "", true),
            ("^a$", "a", true),
        ] {
            assert_eq!(compile(text).unwrap().is_match(name), expected, "{text} {name}");
        }
        for broken in ["(", "[", "*", r"a\", "(?=a)", r"\1", "a{1001}{1001}{1001}"] {
            let why = compile(broken).unwrap_err();
            assert!(!why.is_empty() && !why.contains('\n'), "{broken}: {why}");
        }
    }
}
