//! Rust's debug form in texts: `Some(3)` and `[BrokerState { broker: 2, epoch: -1 }]` are nothing for a node's log.
//!
//! Looks at each string of a file and at the macros that it stands in. Whoever asserts, panics or traces talks to
//! those who know the code.

/// Macros whose texts may have it.
const FOR_OURSELVES: &[&str] = &[
    "assert!",
    "assert_eq!",
    "assert_ne!",
    "debug_assert!",
    "debug_assert_eq!",
    "debug_assert_ne!",
    "panic!",
    "unreachable!",
    "trace!",
];

/// The lines, from 1, of strings that print something in its debug form.
pub fn debug_forms(text: &str) -> Vec<usize> {
    // The tests stand at the end of a file.
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let mut found = Vec::new();
    let mut open: Vec<&str> = Vec::new();
    let mut at = 0;
    while let Some(next) = code[at..].chars().next() {
        let (before, rest) = code.split_at(at);
        at += match next {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '\'' => char_literal(rest),
            '"' => {
                let length = string(before, rest);
                let is_debug = [":?}", ":#?}"].iter().any(|form| rest[..length].contains(form));
                if is_debug && !open.iter().any(|name| FOR_OURSELVES.contains(name)) {
                    found.push(before.matches('\n').count() + 1);
                }
                length
            }
            '(' => {
                open.push(word_before(before));
                1
            }
            ')' => {
                open.pop();
                1
            }
            other => other.len_utf8(),
        };
    }
    found
}

/// How long the string is that begins here.
fn string(before: &str, rest: &str) -> usize {
    let hashes = before.len() - before.trim_end_matches('#').len();
    if before[..before.len() - hashes].ends_with('r') {
        let end = format!("\"{}", "#".repeat(hashes));
        return rest[1..].find(&end).map_or(rest.len(), |found| 1 + found + end.len());
    }
    let mut is_escaped = false;
    for (index, character) in rest.char_indices().skip(1) {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return index + 1,
            _ => {}
        }
    }
    rest.len()
}

/// How long the character is that begins here, or the mark of a lifetime.
fn char_literal(rest: &str) -> usize {
    let mut characters = rest.char_indices().skip(1);
    match (characters.next(), characters.next()) {
        (Some((_, '\\')), Some((after, _))) => {
            rest[after + 1..].find('\'').map_or(rest.len(), |end| after + 1 + end + 1)
        }
        (Some(_), Some((end, '\''))) => end + 1,
        _ => 1,
    }
}

/// The name of the macro, or of the function, whose parenthesis opens here.
fn word_before(before: &str) -> &str {
    let is_part = |character: char| character.is_alphanumeric() || matches!(character, '_' | '!');
    &before[before.trim_end_matches(is_part).len()..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_debug_form_is_found_wherever_it_reaches_others() {
        for (code, expected) in [
            (r#"tracing::info!(target: "a", "b {c:?}");"#, vec![1]),
            ("f();\ntracing::warn!(\n    target: \"a\",\n    \"b {:?}\", c\n);", vec![4]),
            (r##"#[error("told of {told:?}")]"##, vec![1]),
            (r#"self.refused(&format!("{code:#?}"));"#, vec![1]),
            (r##"f('"', r#"a " {b:?}"#, '\'', "{}");"##, vec![1]),
            (r#"x('(', "a)"); assert!(f(a), "{a:?}"); log("{b:?}")"#, vec![1]),
            (r#"assert!(f(a), "{a:?}");"#, vec![]),
            (r#"tracing::trace!(target: "kafka.raft", "{input:?}");"#, vec![]),
            (r#"panic!("{}", format!("{a:?}"));"#, vec![]),
            (r#"fn f<'a>(x: &'a str) {} // prints "{x:?}""#, vec![]),
            ("f();\n#[cfg(test)]\nmod tests { fn f() { g(\"{a:?}\") } }", vec![]),
        ] {
            assert_eq!(debug_forms(code), expected, "{code}");
        }
    }
}
