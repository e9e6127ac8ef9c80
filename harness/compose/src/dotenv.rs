//! `.env` and `env_file` text: `NAME=value` lines with quotes, comments and variables.
//! It must not read files; texts come in as [`Source`]s.

use std::sync::Arc;

use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::interpolate::Template;
use crate::source::{Source, Span, Spanned};

/// One assignment; the spans are the name's and the value's.
pub(crate) type Assignment = (Spanned<String>, Spanned<String>);

/// Reads an env file. Variables in values come from `lookup` first, then from earlier lines.
/// With `raw`, values are taken as they stand (`format: raw`).
pub(crate) fn parse(
    source: &Arc<Source>,
    raw: bool,
    lookup: &dyn Fn(&str) -> Option<String>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Assignment> {
    let mut reader = Reader { source, at: 0, raw, lookup, out: Vec::new() };
    while reader.skip_blank() {
        if let Err(diagnostic) = reader.statement() {
            diagnostics.push(*diagnostic);
            reader.skip_line();
        }
    }
    reader.out
}

struct Reader<'a> {
    source: &'a Arc<Source>,
    at: usize,
    raw: bool,
    lookup: &'a dyn Fn(&str) -> Option<String>,
    out: Vec<Assignment>,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        self.source.text().get(self.at..).unwrap_or("")
    }

    fn span(&self, start: usize, len: usize) -> Span {
        Span::new(self.source, start, len)
    }

    fn skip_line(&mut self) {
        self.at += self.rest().find('\n').map_or(self.rest().len(), |at| at + 1);
    }

    /// To the next statement; false at the end.
    fn skip_blank(&mut self) -> bool {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start_matches([' ', '\t', '\r', '\n', '\u{feff}']);
            self.at += rest.len() - trimmed.len();
            match self.rest().chars().next() {
                None => return false,
                Some('#') => self.skip_line(),
                Some(_) => return true,
            }
        }
    }

    fn statement(&mut self) -> Result<(), Box<Diagnostic>> {
        if let Some(rest) = self.rest().strip_prefix("export").filter(|r| r.starts_with([' ', '\t'])) {
            let name = rest.trim_start_matches([' ', '\t']);
            self.at = self.source.text().len() - name.len();
        }
        let start = self.at;
        let line = self.rest().lines().next().unwrap_or("");
        let name_len = line.find(['=', ':']).unwrap_or(line.len());
        let bare = name_len == line.len();
        let name = line[..name_len].trim_end().to_owned();
        let good = |c: char| c.is_alphanumeric() || "_.-[]".contains(c);
        if name.is_empty() || !name.chars().all(good) {
            let message = format!("`{}` is not a variable's name", name.trim());
            return Err(Box::new(
                Diagnostic::new(Code::EnvFileSyntax, message, &self.span(start, name.len().max(1)))
                    .label("name expected")
                    .help("write NAME=value; a comment starts with #"),
            ));
        }
        let key = Spanned::new(name.clone(), self.span(start, name.len()));
        if bare {
            self.skip_line();
            if let Some(value) = (self.lookup)(&name) {
                let span = key.span.clone();
                self.push(key, Spanned::new(value, span));
            }
            return Ok(());
        }
        self.at = start + name_len + 1;
        let value = self.value()?;
        self.push(key, value);
        Ok(())
    }

    fn push(&mut self, key: Spanned<String>, value: Spanned<String>) {
        self.out.retain(|(name, _)| name.value != key.value);
        self.out.push((key, value));
    }

    fn value(&mut self) -> Result<Spanned<String>, Box<Diagnostic>> {
        let rest = self.rest();
        let blank = rest.len() - rest.trim_start_matches([' ', '\t']).len();
        if !self.raw {
            self.at += blank;
        }
        match self.rest().chars().next() {
            Some(quote @ ('"' | '\'')) if !self.raw => self.quoted(quote),
            _ => self.unquoted(),
        }
    }

    fn unquoted(&mut self) -> Result<Spanned<String>, Box<Diagnostic>> {
        let start = self.at;
        let line = self.rest().lines().next().unwrap_or("").to_owned();
        self.skip_line();
        if self.raw {
            let span = self.span(start, line.len());
            return Ok(Spanned::new(line, span));
        }
        // As in compose-go, where the blanks before a value are gone by now: a remark needs one before it.
        let value = line.split(" #").next().unwrap_or("").trim_end();
        let span = self.span(start, value.len());
        Ok(Spanned::new(self.filled(value, &span)?, span))
    }

    fn quoted(&mut self, quote: char) -> Result<Spanned<String>, Box<Diagnostic>> {
        let start = self.at;
        let body = self.source.text()[start + 1..].to_owned();
        let mut escaped = false;
        for (at, c) in body.char_indices() {
            if c == quote && !escaped {
                self.at = start + 1 + at + 1;
                let span = self.span(start + 1, at);
                let text = &body[..at];
                if quote == '\'' {
                    return Ok(Spanned::new(text.replace("\\'", "'"), span));
                }
                let value = self.filled(&unescape(text), &span)?;
                return Ok(Spanned::new(value, span));
            }
            escaped = c == '\\' && !escaped;
        }
        let len = body.lines().next().unwrap_or("").len() + 1;
        Err(Box::new(
            Diagnostic::new(Code::EnvFileSyntax, "the quote is never closed", &self.span(start, len))
                .label("opened here")
                .help(format!("close it with {quote}, or leave both quotes out")),
        ))
    }

    fn filled(&self, text: &str, span: &Span) -> Result<String, Box<Diagnostic>> {
        let lookup = |name: &str| {
            (self.lookup)(name).or_else(|| {
                self.out.iter().find(|(key, _)| key.value == name).map(|(_, value)| value.value.clone())
            })
        };
        Template::new(&lookup).fill(text).map_err(|fault| {
            let message = format!("a variable in the value cannot be filled in: {fault:?}");
            Box::new(Diagnostic::new(Code::InvalidInterpolation, message, span).label("value"))
        })
    }
}

/// The escapes of a double-quoted value; `\$` becomes the template's `$$`.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('a') => out.push('\u{7}'),
            Some('b') => out.push('\u{8}'),
            Some('f') => out.push('\u{c}'),
            Some('v') => out.push('\u{b}'),
            Some('0') => match octal(chars.as_str()) {
                Some(c) => {
                    out.push(c);
                    chars.nth(2);
                }
                None => out.push_str("\\0"),
            },
            Some('$') => out.push_str("$$"),
            Some(c @ ('"' | '\\')) => out.push(c),
            Some(c) => out.extend(['\\', c]),
            None => out.push('\\'),
        }
    }
    out
}

/// The character of the three octal digits that follow.
fn octal(text: &str) -> Option<char> {
    let digits = text.get(..3).filter(|digits| digits.chars().all(|c| c.is_digit(8)))?;
    char::from_u32(u32::from_str_radix(digits, 8).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_env_file_is_read_as_compose_reads_it() {
        let text = "# comment\nA=1\nexport B = two words # tail\nC=\"x\\n${A}\"\nD='${A} #'\nE=\nF: yaml\nHOST\n\
                    G=${MISSING:-d}\nA=last\nI=a#b\nJ=\"\\$x\"\nK=#s3cret\nL=   # remark\n\
                    M=pa$5word$\nN=\"\\0101\\a\\09\"\nO=v\t# tail\n";
        let source = Source::new(".env", text);
        let mut diagnostics = Vec::new();
        let lookup = |name: &str| (name == "HOST").then(|| String::from("h"));
        let read = parse(&source, false, &lookup, &mut diagnostics);
        let read: Vec<(&str, &str)> =
            read.iter().map(|(k, v)| (k.value.as_str(), v.value.as_str())).collect();
        let expected = [
            ("B", "two words"),
            ("C", "x\n1"),
            ("D", "${A} #"),
            ("E", ""),
            ("F", "yaml"),
            ("HOST", "h"),
            ("G", "d"),
            ("A", "last"),
            ("I", "a#b"),
            ("J", "$x"),
            ("K", "#s3cret"),
            ("L", "# remark"),
            ("M", "pa$5word$"),
            ("N", "A\u{7}\\09"),
            ("O", "v\t# tail"),
        ];
        assert_eq!(read, expected);
        assert!(diagnostics.is_empty(), "{diagnostics:?}");
    }

    #[test]
    fn broken_lines_are_named_and_the_rest_is_read() {
        let source = Source::new("x.env", "A=1\nnot a name=2\nB=\"open\nC=3\n");
        let mut diagnostics = Vec::new();
        let read = parse(&source, false, &|_| None, &mut diagnostics);
        assert_eq!(read.len(), 2, "{read:?}");
        let said: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "x.env:2:1: error[JK0024]: `not a name` is not a variable's name",
                "x.env:3:3: error[JK0024]: the quote is never closed",
            ]
        );
    }
}
