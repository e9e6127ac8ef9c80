//! `$NAME` and `${NAME…}` in values, with the semantics of Compose's template language.
//! It must not know where variables come from beyond a lookup function.

use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::source::Span;
use crate::yaml::{Kind, Node};

/// Why a template could not be filled in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The text around it, which is underlined.
    Malformed(String),
    /// Name and message of `${NAME:?message}`.
    Required(String, String),
}

/// What one text needs: variables, and a note of those that are unset and have no default.
pub(crate) struct Template<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    unset: Vec<String>,
}

impl<'a> Template<'a> {
    pub(crate) fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { lookup, unset: Vec::new() }
    }

    /// Names that were needed, are not set and have no default.
    pub(crate) fn unset(&self) -> &[String] {
        &self.unset
    }

    /// Fills in every variable of `text`.
    pub(crate) fn fill(&mut self, text: &str) -> Result<String, Fault> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            let after = &rest[at + 1..];
            match after.chars().next() {
                Some('$') => {
                    out.push('$');
                    rest = &after[1..];
                }
                Some('{') => {
                    let end =
                        closing_brace(&after[1..]).ok_or_else(|| Fault::Malformed(rest[at..].to_owned()))?;
                    let inner = &after[1..1 + end];
                    let whole = &rest[at..at + 1 + 1 + end + 1];
                    out.push_str(&self.braced(inner, whole)?);
                    rest = &after[end + 2..];
                }
                Some(c) if is_name_start(c) => {
                    let end = after.find(|c| !is_name_char(c)).unwrap_or(after.len());
                    out.push_str(&self.value(&after[..end]));
                    rest = &after[end..];
                }
                _ => return Err(Fault::Malformed(rest[at..].chars().take(2).collect())),
            }
        }
        out.push_str(rest);
        Ok(out)
    }

    fn value(&mut self, name: &str) -> String {
        (self.lookup)(name).unwrap_or_else(|| {
            self.unset.push(name.to_owned());
            String::new()
        })
    }

    fn braced(&mut self, inner: &str, whole: &str) -> Result<String, Fault> {
        let end = inner.find(|c| !is_name_char(c)).unwrap_or(inner.len());
        let (name, operation) = inner.split_at(end);
        if !name.chars().next().is_some_and(is_name_start) {
            return Err(Fault::Malformed(whole.to_owned()));
        }
        if operation.is_empty() {
            return Ok(self.value(name));
        }
        let (ignore_empty, operation) = match operation.strip_prefix(':') {
            Some(operation) => (true, operation),
            None => (false, operation),
        };
        let Some(operator) = operation.chars().next().filter(|c| "-?+".contains(*c)) else {
            return Err(Fault::Malformed(whole.to_owned()));
        };
        let argument = &operation[1..];
        let set = (self.lookup)(name).filter(|value| !(ignore_empty && value.is_empty()));
        match (operator, set) {
            ('-', Some(value)) | ('?', Some(value)) => Ok(value),
            ('-', None) | ('+', Some(_)) => self.fill(argument),
            ('+', None) => Ok(String::new()),
            _ => Err(Fault::Required(name.to_owned(), self.fill(argument)?)),
        }
    }
}

fn is_name_start(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Offset of the brace that closes an already opened one, over nested `${…}`.
fn closing_brace(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '$' if chars.peek().is_some_and(|(_, next)| *next == '{') => {
                chars.next();
                depth += 1;
            }
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Variables that were missed in a whole document, each said once.
pub(crate) struct Interpolation<'a> {
    pub lookup: &'a dyn Fn(&str) -> Option<String>,
    pub said: Vec<String>,
}

impl Interpolation<'_> {
    /// Fills in every string of the tree; keys are left alone, as Compose leaves them.
    pub(crate) fn apply(&mut self, node: &mut Node, diagnostics: &mut Vec<Diagnostic>) {
        let span = node.span.clone();
        match &mut node.kind {
            Kind::Str(text) if text.contains('$') => {
                if let Some(filled) = self.fill(text, &span, diagnostics) {
                    *text = filled;
                }
            }
            Kind::Seq(items) => items.iter_mut().for_each(|item| self.apply(item, diagnostics)),
            Kind::Map(entries) => {
                entries.iter_mut().for_each(|entry| self.apply(&mut entry.value, diagnostics))
            }
            _ => {}
        }
    }

    fn fill(&mut self, text: &str, span: &Span, diagnostics: &mut Vec<Diagnostic>) -> Option<String> {
        let mut template = Template::new(self.lookup);
        let filled = template.fill(text);
        for name in template.unset() {
            if self.said.contains(name) {
                continue;
            }
            self.said.push(name.clone());
            let message = format!("the variable {name} is not set: the empty string stands in its place");
            diagnostics.push(
                Diagnostic::new(Code::UnsetVariable, message, &span.narrowed_word(name))
                    .label("not set")
                    .help(format!("set {name} in the environment or in .env, or write ${{{name}:-default}}")),
            );
        }
        match filled {
            Ok(filled) => Some(filled),
            Err(fault) => {
                diagnostics.push(fault_of(fault, span));
                None
            }
        }
    }
}

fn fault_of(fault: Fault, span: &Span) -> Diagnostic {
    match fault {
        Fault::Malformed(part) => {
            let message = format!("`{part}` is not a variable that Compose understands");
            Diagnostic::new(Code::InvalidInterpolation, message, &span.narrowed(&part))
                .label("malformed")
                .help("write ${NAME}, ${NAME:-default}, …, or $$ for a dollar sign")
        }
        Fault::Required(name, text) => {
            let text = if text.is_empty() { String::from("required variable is not set") } else { text };
            let message = format!("the variable {name} is required: {text}");
            Diagnostic::new(Code::RequiredVariable, message, &span.narrowed_word(&name))
                .label("required")
                .help(format!("set {name} in the environment, in .env or in a file given with --env-file"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(text: &str) -> Result<String, Fault> {
        let lookup = |name: &str| match name {
            "SET" => Some(String::from("value")),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        Template::new(&lookup).fill(text)
    }

    #[test]
    fn every_form_of_a_variable_means_what_compose_says() {
        let table = [
            ("plain", "plain"),
            ("$SET.x", "value.x"),
            ("${SET}", "value"),
            ("$$SET $${SET}", "$SET ${SET}"),
            ("[${NONE}]", "[]"),
            ("${NONE:-d}", "d"),
            ("${EMPTY:-d}", "d"),
            ("[${EMPTY-d}]", "[]"),
            ("${NONE-d}", "d"),
            ("${NONE:-}", ""),
            ("${SET:?no}", "value"),
            ("[${EMPTY?no}]", "[]"),
            ("${SET:+yes}", "yes"),
            ("[${EMPTY:+yes}]", "[]"),
            ("${EMPTY+yes}", "yes"),
            ("${NONE:-${SET}}", "value"),
            ("${NONE:-${NADA:-deep}} end", "deep end"),
            ("${SET:+a${SET}b}", "avalueb"),
            ("${NONE:-http://h:1/}", "http://h:1/"),
        ];
        for (text, expected) in table {
            assert_eq!(fill(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_variable_is_refused_and_what_is_required_is_demanded() {
        for text in ["$", "${", "${SET", "${}", "${1x}", "${SET!x}", "a $ b", "${SET:x}"] {
            assert!(matches!(fill(text), Err(Fault::Malformed(_))), "{text}");
        }
        let required = |message: &str| Err(Fault::Required(String::from("NONE"), message.to_owned()));
        assert_eq!(fill("${NONE:?say why}"), required("say why"));
        assert_eq!(fill("${NONE?${SET}}"), required("value"));
    }
}
