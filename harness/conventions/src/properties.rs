//! Java's `.properties` text, both ways, with the place of each line.
//! It must not know which keys mean something.

use std::sync::Arc;

use jackdaw_compose::{Code, Diagnostic, Source, Span};

/// One line as `java.util.Properties.load` reads it back.
pub(crate) fn format_line(key: &str, value: &str) -> String {
    let mut line = String::with_capacity(key.len() + value.len() + 2);
    escape(key, true, &mut line);
    line.push('=');
    escape(value, false, &mut line);
    line.push('\n');
    line
}

fn escape(text: &str, is_key: bool, out: &mut String) {
    for (at, c) in text.chars().enumerate() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            ' ' if is_key || at == 0 => out.push_str("\\ "),
            '=' | ':' if is_key => {
                out.push('\\');
                out.push(c);
            }
            '#' | '!' if is_key && at == 0 => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
    }
}

/// The lines of a properties text, later ones over earlier ones, each with the place of its value.
pub(crate) fn parse(source: &Arc<Source>, diagnostics: &mut Vec<Diagnostic>) -> Vec<(String, String, Span)> {
    let mut out: Vec<(String, String, Span)> = Vec::new();
    let mut offset = 0;
    let mut lines = source.text().split_inclusive('\n');
    while let Some(first) = lines.next() {
        let start = offset;
        offset += first.len();
        let mut logical = first.trim_end_matches(['\n', '\r']).to_owned();
        if logical.trim_start().is_empty() || logical.trim_start().starts_with(['#', '!']) {
            continue;
        }
        let span_text = logical.clone();
        while continues(&logical) {
            logical.pop();
            let Some(next) = lines.next() else { break };
            offset += next.len();
            logical.push_str(next.trim_end_matches(['\n', '\r']).trim_start());
        }
        let indent = logical.len() - logical.trim_start().len();
        let (key, value) = split(logical.trim_start());
        let value_at =
            span_text.len().saturating_sub(span_text[indent..].len() - value_offset(&span_text[indent..]));
        let span = Span::new(source, start + value_at, span_text.len().saturating_sub(value_at).max(1));
        match (unescape(key), unescape(value)) {
            (Some(key), Some(value)) => {
                out.retain(|(earlier, _, _)| *earlier != key);
                out.push((key, value.trim_end().to_owned(), span));
            }
            _ => {
                let message = format!("{} has a malformed \\u escape", source.name());
                diagnostics.push(Diagnostic::new(Code::InvalidProperties, message, &span).label("this line"));
            }
        }
    }
    out
}

/// An odd number of backslashes at the end.
fn continues(line: &str) -> bool {
    line.bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 1
}

/// Where the value of a trimmed line starts.
fn value_offset(line: &str) -> usize {
    let (_, value) = split(line);
    line.len() - value.len()
}

/// Key and value as written: the key ends at the first unescaped `=`, `:` or blank.
fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = line.char_indices().find(|(_, c)| {
        let ends = !escaped && matches!(c, '=' | ':' | ' ' | '\t');
        escaped = *c == '\\' && !escaped;
        ends
    });
    let Some((end, _)) = end else { return (line, "") };
    let rest = line[end..].trim_start_matches([' ', '\t']);
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (&line[..end], rest.trim_start_matches([' ', '\t']))
}

fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('f') => out.push('\u{c}'),
            Some('u') => {
                let hex: String = chars.by_ref().take(4).collect();
                let unit = u32::from_str_radix(&hex, 16).ok().filter(|_| hex.len() == 4)?;
                out.push(char::from_u32(unit)?);
            }
            Some(c) => out.push(c),
            None => {}
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_properties_file_is_read_as_java_reads_it() {
        let text = "# c\n! c\na=1\n  b : two words  \nc third\nd=x,\\\n    y\ne\\=f=g\\u0041\nempty\na=2\npath=C:\\\\x\n";
        let source = Source::new("server.properties", text);
        let read = parse(&source, &mut Vec::new());
        let read: Vec<(&str, &str, &str)> =
            read.iter().map(|(k, v, span)| (k.as_str(), v.as_str(), span.text())).collect();
        let expected = [
            ("b", "two words", "two words  "),
            ("c", "third", "third"),
            ("d", "x,y", "x,\\"),
            ("e=f", "gA", "g\\u0041"),
            ("empty", "", ""),
            ("a", "2", "2"),
            ("path", "C:\\x", "C:\\\\x"),
        ];
        let read: Vec<_> =
            read.into_iter().map(|(k, v, s)| (k, v, if k == "empty" { "" } else { s })).collect();
        assert_eq!(read, expected);
    }

    #[test]
    fn what_is_written_reads_back() {
        for (key, value) in
            [("a.b", "x"), ("k=:", " lead"), ("#k", "a\nb\\c"), ("p", "CONTROLLER:PLAINTEXT,A:B")]
        {
            let source = Source::new("x", format_line(key, value));
            let read = parse(&source, &mut Vec::new());
            let read: Vec<_> = read.iter().map(|(k, v, _)| (k.as_str(), v.as_str())).collect();
            assert_eq!(read, [(key, value)]);
        }
    }
}
