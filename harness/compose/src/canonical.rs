//! One file's tree, checked against the table of keys and brought into long form.
//! It must not merge files or look at what lies outside the file.

use std::path::{Path, PathBuf};

use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::schema::{Object, Shape, TOP};
use crate::short;
use crate::source::{Span, Spanned};
use crate::suggest::nearest;
use crate::units;
use crate::yaml::{Entry, Kind, Mark, Node};

/// Checks one file; relative paths are made absolute from `base_dir`.
pub(crate) fn canonicalize(
    root: Node,
    base_dir: &Path,
    home: Option<&Path>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Node {
    let mut canon = Canon { base_dir, home, path: Vec::new(), diagnostics };
    match root.kind {
        Kind::Map(_) => canon.object(root, &TOP),
        _ => {
            let message = format!("a compose file is a mapping, and here it is {}", root.type_name());
            canon.diagnostics.push(
                Diagnostic::new(Code::NotAMapping, message, &root.span)
                    .label("mapping expected")
                    .help("start with `services:`"),
            );
            Node::new(Kind::Map(Vec::new()), &root.span)
        }
    }
}

/// The walk over one file.
pub(crate) struct Canon<'a> {
    pub(crate) base_dir: &'a Path,
    home: Option<&'a Path>,
    path: Vec<String>,
    diagnostics: &'a mut Vec<Diagnostic>,
}

impl Canon<'_> {
    /// Where we are, for messages: `services.web.ports`.
    pub(crate) fn place(&self) -> String {
        self.path.join(".").replace(".[", "[")
    }

    pub(crate) fn say(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// The value has the wrong type; null takes its place.
    pub(crate) fn wrong(&mut self, node: &Node, expected: &str) -> Node {
        let message = format!("`{}` is {expected}, and here it is {}", self.place(), node.type_name());
        self.say(Diagnostic::new(Code::WrongType, message, &node.span).label(format!("{expected} expected")));
        Node::new(Kind::Null, &node.span)
    }

    /// The value has the right type and makes no sense; null takes its place.
    pub(crate) fn invalid(&mut self, code: Code, node: &Node, why: &str, help: Option<String>) -> Node {
        let message = format!("`{}`: {why}", self.place());
        self.say(Diagnostic::new(code, message, &node.span).label("not understood").maybe_help(help));
        Node::new(Kind::Null, &node.span)
    }

    /// An absolute path from one that is relative to the file's directory or to `~`.
    pub(crate) fn absolute(&self, path: &str) -> String {
        let expanded = match (path.strip_prefix('~'), self.home) {
            (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => {
                home.join(rest.trim_start_matches('/'))
            }
            _ => PathBuf::from(path),
        };
        clean(&self.base_dir.join(expanded)).to_string_lossy().into_owned()
    }

    /// Runs `f` one key deeper.
    pub(crate) fn at<T>(&mut self, key: &str, f: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(key.to_owned());
        let result = f(self);
        self.path.pop();
        result
    }

    /// A value by its shape; marks survive, and what is to be reset is not looked at.
    pub(crate) fn value(&mut self, node: Node, shape: &Shape) -> Node {
        let mark = node.mark;
        if mark == Mark::Reset {
            return node;
        }
        // Compose stops at a number or a time that is an unset variable; that it is not set was said, and without it
        // there is the default.
        if matches!(shape, Shape::Duration | Shape::Int | Shape::Number | Shape::Bool | Shape::Bytes)
            && node.is_emptied()
        {
            return Node { mark, ..Node::new(Kind::Null, &node.span) };
        }
        let mut out = self.shaped(node, shape);
        out.mark = mark;
        out
    }

    fn shaped(&mut self, node: Node, shape: &Shape) -> Node {
        match shape {
            Shape::Any => node,
            Shape::Str => match node.kind {
                Kind::Str(_) => node,
                _ => self.string_expected(&node),
            },
            Shape::Text => match node.scalar_text() {
                Some(text) => Node::str(text, &node.span),
                None => self.wrong(&node, "a string"),
            },
            Shape::OneOf(known) => self.one_of(node, known),
            Shape::Bool => self.boolean(node),
            Shape::Int | Shape::Number => self.number(node, matches!(shape, Shape::Int)),
            Shape::Bytes => match node.scalar_text().as_deref().map(units::bytes) {
                Some(Some(bytes)) => Node::str(bytes.to_string(), &node.span),
                Some(None) => self.invalid(
                    Code::InvalidValue,
                    &node,
                    "not a size",
                    Some(String::from("write 512m or 1g")),
                ),
                None => self.wrong(&node, "a size"),
            },
            Shape::Duration => self.duration(node),
            Shape::List(inner) => match node.kind {
                Kind::Seq(items) => self.list(items, inner, &node.span),
                _ => self.wrong(&node, "a list"),
            },
            Shape::StrOrList => match node.kind {
                Kind::Str(_) => {
                    let span = node.span.clone();
                    Node::new(Kind::Seq(vec![node]), &span)
                }
                Kind::Seq(items) => self.list(items, &Shape::Str, &node.span),
                _ => self.wrong(&node, "a string or a list"),
            },
            Shape::MapOf(inner) => self.map_of(node, inner),
            Shape::Labels => self.key_values(node, true),
            Shape::Env => self.key_values(node, false),
            Shape::Object(object) => match node.kind {
                Kind::Map(_) => self.object(node, object),
                _ => self.wrong(&node, "a mapping"),
            },
            Shape::Maybe(object) => match node.kind {
                Kind::Map(_) => self.object(node, object),
                Kind::Null => node,
                _ => self.wrong(&node, "a mapping"),
            },
            Shape::Short(form) => short::canonical(self, node, *form),
        }
    }

    fn string_expected(&mut self, node: &Node) -> Node {
        let out = self.wrong(node, "a string");
        if let (Some(text), Some(last)) = (node.scalar_text(), self.diagnostics.last_mut()) {
            last.help = Some(format!("write it in quotes: \"{text}\""));
        }
        out
    }

    fn list(&mut self, items: Vec<Node>, inner: &Shape, span: &Span) -> Node {
        let items = items.into_iter().enumerate();
        let items = items.map(|(at, item)| self.at(&format!("[{at}]"), |c| c.value(item, inner))).collect();
        Node::new(Kind::Seq(items), span)
    }

    fn map_of(&mut self, node: Node, inner: &Shape) -> Node {
        let span = node.span.clone();
        let Kind::Map(entries) = node.kind else { return self.wrong(&node, "a mapping") };
        let entries = entries.into_iter().map(|entry| {
            let value = self.at(&entry.key.value, |c| c.value(entry.value, inner));
            Entry { key: entry.key, value }
        });
        Node::new(Kind::Map(entries.collect()), &span)
    }

    /// A mapping with known keys: the rest must start with `x-`.
    pub(crate) fn object(&mut self, node: Node, object: &Object) -> Node {
        let span = node.span.clone();
        let Kind::Map(entries) = node.kind else { return self.wrong(&node, "a mapping") };
        for required in object.required {
            if !entries.iter().any(|e| e.key.value == *required) {
                let message = format!("`{}` lacks `{required}`", self.place());
                let label = format!("`{required}` is missing");
                self.say(Diagnostic::new(Code::MissingField, message, &first_line(&span)).label(label));
            }
        }
        let mut out = Vec::with_capacity(entries.len());
        for entry in entries {
            match object.field(&entry.key.value) {
                Some(field) => {
                    let value = self.at(field.name, |c| c.value(entry.value, &field.shape));
                    out.push(Entry { key: entry.key, value });
                }
                None if entry.key.value.starts_with("x-") => out.push(entry),
                None => self.unknown_key(&entry.key, object),
            }
        }
        Node::new(Kind::Map(out), &span)
    }

    fn unknown_key(&mut self, key: &Spanned<String>, object: &Object) {
        let place = if self.path.is_empty() {
            String::from("at the top of a compose file")
        } else {
            format!("in `{}`", self.place())
        };
        let message = format!("`{}` is not known {place}", key.value);
        let help = match nearest(&key.value, object.fields.iter().map(|field| field.name)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => String::from("remove it, or start its name with x- if it is yours"),
        };
        self.say(Diagnostic::new(Code::UnknownKey, message, &key.span).label("unknown key").help(help));
    }

    fn one_of(&mut self, node: Node, known: &[&str]) -> Node {
        let Some(text) = node.as_str() else { return self.wrong(&node, "a string") };
        if known.contains(&text) {
            return node;
        }
        let help = match nearest(text, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("write one of: {}", known.join(", ")),
        };
        let why = format!("`{text}` is none of the known values");
        self.invalid(Code::InvalidValue, &node, &why, Some(help))
    }

    fn boolean(&mut self, node: Node) -> Node {
        match &node.kind {
            Kind::Bool(_) => node,
            Kind::Str(text) => match units::boolean(text) {
                Some(value) => Node::new(Kind::Bool(value), &node.span),
                None => self.invalid(Code::InvalidValue, &node, "neither true nor false", None),
            },
            _ => self.wrong(&node, "a boolean"),
        }
    }

    fn number(&mut self, node: Node, integer: bool) -> Node {
        let kind = match &node.kind {
            Kind::Int(value) if integer => Some(Kind::Int(*value)),
            Kind::Int(value) => Some(Kind::Float(*value as f64)),
            Kind::Float(value) if !integer => Some(Kind::Float(*value)),
            Kind::Float(value) if value.fract() == 0.0 => Some(Kind::Int(*value as i64)),
            Kind::Str(text) if integer => text.trim().parse().ok().map(Kind::Int),
            Kind::Str(text) => text.trim().parse().ok().map(Kind::Float),
            _ => return self.wrong(&node, "a number"),
        };
        match kind {
            Some(kind) => Node::new(kind, &node.span),
            None => self.invalid(Code::InvalidValue, &node, "not a number", None),
        }
    }

    fn duration(&mut self, node: Node) -> Node {
        let Kind::Str(text) = &node.kind else {
            let help = node.scalar_text().map(|text| format!("give it a unit: {text}s"));
            return self.invalid(Code::InvalidDuration, &node, "a duration needs a unit", help);
        };
        match units::duration(text) {
            Some(duration) => Node::str(units::format_duration(duration), &node.span),
            None => {
                let why = format!("`{text}` is not a duration");
                let help = Some(String::from("write 30s, 500ms or 1m30s"));
                self.invalid(Code::InvalidDuration, &node, &why, help)
            }
        }
    }

    /// A mapping, or a list of `KEY=value`; later entries of a list win.
    fn key_values(&mut self, node: Node, empty_for_missing: bool) -> Node {
        let span = node.span.clone();
        let mut out: Vec<Entry> = Vec::new();
        let mut push = |entry: Entry| match out.iter_mut().find(|e| e.key.value == entry.key.value) {
            Some(earlier) => *earlier = entry,
            None => out.push(entry),
        };
        let missing = |span: &Span| {
            Node::new(if empty_for_missing { Kind::Str(String::new()) } else { Kind::Null }, span)
        };
        match node.kind {
            Kind::Map(entries) => {
                for entry in entries {
                    let value = match entry.value.scalar_text() {
                        _ if entry.value.mark == Mark::Reset => entry.value,
                        Some(text) => Node::str(text, &entry.value.span),
                        None if entry.value.is_null() => missing(&entry.value.span),
                        None => self
                            .at(&entry.key.value, |c| c.wrong(&entry.value, "a string, number or boolean")),
                    };
                    push(Entry { key: entry.key, value });
                }
            }
            Kind::Seq(items) => {
                for item in items {
                    match item.scalar_text() {
                        Some(text) => push(assignment(&text, &item.span, missing)),
                        None => {
                            self.wrong(&item, "a string");
                        }
                    }
                }
            }
            _ => return self.wrong(&node, "a mapping"),
        }
        Node::new(Kind::Map(out), &span)
    }
}

/// `KEY=value` with a span for each side, found in the text as it was written.
fn assignment(text: &str, span: &Span, missing: impl Fn(&Span) -> Node) -> Entry {
    let written = span.text();
    let quotes = usize::from(written.starts_with(['"', '\'']));
    let part = |from: usize, to: usize| match span.source() {
        Some(source) if to >= from => Span::new(source, span.offset_bytes() + from, to - from),
        _ => span.clone(),
    };
    let Some((name, value)) = text.split_once('=') else {
        let key = Spanned::new(text.to_owned(), part(quotes, written.len().saturating_sub(quotes)));
        let value = missing(&key.span);
        return Entry { key, value };
    };
    let (key_span, value_span) = match written.find('=') {
        Some(at) => (part(quotes, at), part(at + 1, written.len().saturating_sub(quotes))),
        None => (span.clone(), span.clone()),
    };
    Entry { key: Spanned::new(name.to_owned(), key_span), value: Node::str(value, &value_span) }
}

/// The first line of a span: an underline over many lines helps nobody.
pub(crate) fn first_line(span: &Span) -> Span {
    let line = span.text().lines().next().unwrap_or("").trim_end();
    match span.source() {
        Some(source) => Span::new(source, span.offset_bytes(), line.len()),
        None => span.clone(),
    }
}

/// A path without `.` and `..`, by its text alone as Go's `filepath.Clean` does.
pub(crate) fn clean(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir if out.file_name().is_some() => {
                out.pop();
            }
            std::path::Component::ParentDir if out.has_root() => {}
            part => out.push(part),
        }
    }
    out
}
