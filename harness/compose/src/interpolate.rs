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

    /// Fills in every variable of `text`. A dollar sign that begins none stays as it is.
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
                    let inner = braced(&after[1..]).ok_or_else(|| Fault::Malformed(shown(&rest[at..])))?;
                    out.push_str(&self.braced(inner)?);
                    rest = &after[1 + inner.len() + 1..];
                }
                Some(c) if is_name_start(c) => {
                    let end = after.find(|c| !is_name_char(c)).unwrap_or(after.len());
                    out.push_str(&self.value(&after[..end]));
                    rest = &after[end..];
                }
                _ => {
                    out.push('$');
                    rest = after;
                }
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

    fn braced(&mut self, inner: &str) -> Result<String, Fault> {
        let (name, operation) = inner.split_at(name_len(inner));
        if operation.is_empty() {
            return Ok(self.value(name));
        }
        let (ignore_empty, operation) = match operation.strip_prefix(':') {
            Some(operation) => (true, operation),
            None => (false, operation),
        };
        let (operator, argument) = operation.split_at(1);
        let set = (self.lookup)(name).filter(|value| !(ignore_empty && value.is_empty()));
        let is_used = matches!((operator, &set), ("-" | "?", None) | ("+", Some(_)));
        // Compose fills it in whether it is used or not: what is wrong with it is wrong in any case.
        let argument = if is_used { self.fill(argument)? } else { Self::new(self.lookup).fill(argument)? };
        match (operator, set) {
            ("?", None) => Err(Fault::Required(name.to_owned(), argument)),
            _ if is_used => Ok(argument),
            (_, set) => Ok(set.filter(|_| operator != "+").unwrap_or_default()),
        }
    }
}

/// What stands between the brace that was opened and the one that closes it; none where that is no variable. As in
/// compose-go, a default reaches to the brace that balances its own, or else to the last one of the line.
fn braced(text: &str) -> Option<&str> {
    let line = text.lines().next().unwrap_or_default();
    let name = name_len(line);
    let operation = line.get(name..).filter(|_| name > 0)?;
    if operation.starts_with('}') {
        return Some(&line[..name]);
    }
    let operator = operation.strip_prefix(':').unwrap_or(operation).chars().next()?;
    let last = line.rfind('}').filter(|_| "-?+".contains(operator))?;
    let (mut open, mut at) = (1usize, 1);
    let bytes = line.as_bytes();
    while at <= last {
        match bytes[at] {
            b'}' => {
                open -= 1;
                if open == 0 {
                    return Some(&line[..at]);
                }
            }
            b'{' => {
                open += 1;
                at += 1;
            }
            _ => {}
        }
        at += 1;
    }
    Some(&line[..last])
}

/// The length of the name at the beginning.
fn name_len(text: &str) -> usize {
    let end = text.find(|c| !is_name_char(c)).unwrap_or(text.len());
    if text.starts_with(is_name_start) { end } else { 0 }
}

/// The beginning of what is no variable, as far as it is worth showing.
fn shown(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.find('}').map_or(line, |at| &line[..=at]).to_owned()
}

fn is_name_start(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
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
            (
                "^/(sys|proc)($|/) $(hostname) {print $1} $? end$ a $ b",
                "^/(sys|proc)($|/) $(hostname) {print $1} $? end$ a $ b",
            ),
            ("$é $-", "$é $-"),
            (r#"${SET:-{"a":1}} x"#, "value x"),
            (r#"${NONE:-{"a":1}} x"#, r#"{"a":1} x"#),
            ("${NONE:-{}}", "{}"),
            ("${NONE:-a}${SET}}", "avalue}"),
            ("${SET:+{x}}", "{x}"),
            ("${NONE-b:-c}", "b:-c"),
            ("${NONE:-$$}", "$"),
            ("${none:-$SET$}", "value$"),
        ];
        for (text, expected) in table {
            assert_eq!(fill(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_variable_is_refused_and_what_is_required_is_demanded() {
        for text in [
            "${",
            "${SET",
            "${}",
            "${1x}",
            "${SET!x}",
            "${SET:x}",
            "${SET:}",
            "${NONE:-a\nb}",
            "${NONE:-{}} ${SET}",
        ] {
            assert!(matches!(fill(text), Err(Fault::Malformed(_))), "{text}");
        }
        let required = |message: &str| Err(Fault::Required(String::from("NONE"), message.to_owned()));
        assert_eq!(fill("${NONE:?say why}"), required("say why"));
        assert_eq!(fill("${NONE?${SET}}"), required("value"));
        assert_eq!(fill("${SET:-${NONE:?why}}"), required("why"), "also where the default is not used");
    }
}
