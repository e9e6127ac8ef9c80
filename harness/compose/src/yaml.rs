//! YAML text to a tree whose every key and value knows where it was written.
//! Anchors, aliases and merge keys are resolved here. It must not know what a compose file is.

use std::collections::HashMap;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Tag};

use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::source::{Source, Span, Spanned};

/// Nodes that aliases may add to one document; real compose files stay far below.
const MAX_NODES: usize = 200_000;

/// Nesting beyond this is no compose file; the bound keeps recursion over the tree within the stack.
const MAX_DEPTH: usize = 100;

/// Lines inside brackets that may be indented less than YAML allows.
const MAX_PADDED_LINES: usize = 500;

/// Deeper than any block that a bracket could stand in.
const PADDING: usize = 2 * MAX_DEPTH;

/// How a value wants to be merged over an earlier file's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mark {
    /// By the rule of its place.
    #[default]
    None,
    /// `!reset`: the value goes away.
    Reset,
    /// `!override`: the value replaces what was there.
    Override,
}

/// One value of the document.
#[derive(Clone, Debug)]
pub struct Node {
    pub kind: Kind,
    pub span: Span,
    pub mark: Mark,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(String),
    Seq(Vec<Node>),
    Map(Vec<Entry>),
}

/// One key and its value; the order of the file is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub key: Spanned<String>,
    pub value: Node,
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

impl Node {
    pub fn new(kind: Kind, span: &Span) -> Self {
        Self { kind, span: span.clone(), mark: Mark::None }
    }

    pub fn str(text: impl Into<String>, span: &Span) -> Self {
        Self::new(Kind::Str(text.into()), span)
    }

    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.kind {
            Kind::Map(entries) => entries.iter().find(|e| e.key.value == key).map(|e| &e.value),
            _ => None,
        }
    }

    pub fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        match &mut self.kind {
            Kind::Map(entries) => entries.iter_mut().find(|e| e.key.value == key).map(|e| &mut e.value),
            _ => None,
        }
    }

    /// Sets a key, keeping its place if it was there. Does nothing on what is not a mapping.
    pub fn set(&mut self, key: &str, value: Node) {
        if let Kind::Map(entries) = &mut self.kind {
            match entries.iter_mut().find(|e| e.key.value == key) {
                Some(entry) => entry.value = value,
                None => {
                    let key = Spanned::new(key.to_owned(), value.span.clone());
                    entries.push(Entry { key, value });
                }
            }
        }
    }

    pub fn remove(&mut self, key: &str) -> Option<Node> {
        match &mut self.kind {
            Kind::Map(entries) => {
                let at = entries.iter().position(|e| e.key.value == key)?;
                Some(entries.remove(at).value)
            }
            _ => None,
        }
    }

    pub fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Map(entries) => entries,
            _ => &[],
        }
    }

    pub fn items(&self) -> &[Node] {
        match &self.kind {
            Kind::Seq(items) => items,
            _ => &[],
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        match &self.kind {
            Kind::Str(text) => Some(text),
            _ => None,
        }
    }

    /// A value that variables were to give and that came to nothing.
    pub fn is_emptied(&self) -> bool {
        self.as_str().is_some_and(|text| text.trim().is_empty()) && self.span.text().contains('$')
    }

    pub fn is_null(&self) -> bool {
        self.kind == Kind::Null
    }

    /// A scalar as text, the way Compose prints numbers and booleans.
    pub fn scalar_text(&self) -> Option<String> {
        match &self.kind {
            Kind::Str(text) => Some(text.clone()),
            Kind::Bool(value) => Some(value.to_string()),
            Kind::Int(value) => Some(value.to_string()),
            Kind::Float(value) => Some(value.to_string()),
            Kind::Null | Kind::Seq(_) | Kind::Map(_) => None,
        }
    }

    /// What it is, for messages.
    pub fn type_name(&self) -> &'static str {
        match self.kind {
            Kind::Null => "nothing",
            Kind::Bool(_) => "a boolean",
            Kind::Int(_) | Kind::Float(_) => "a number",
            Kind::Str(_) => "a string",
            Kind::Seq(_) => "a list",
            Kind::Map(_) => "a mapping",
        }
    }

    fn count(&self) -> usize {
        1 + match &self.kind {
            Kind::Seq(items) => items.iter().map(Node::count).sum(),
            Kind::Map(entries) => entries.iter().map(|e| e.value.count()).sum(),
            _ => 0usize,
        }
    }
}

/// Reads the documents of a text; empty ones are left out. None means that `diagnostics` has an error that
/// says why.
pub fn parse(source: &Arc<Source>, diagnostics: &mut Vec<Diagnostic>) -> Option<Vec<Node>> {
    let mut padded_lines: Vec<usize> = Vec::new();
    let mut spaced = source.text().to_owned();
    let mut spaced_lines = 0;
    loop {
        let text = Padded::new(&spaced, &padded_lines);
        match parse_padded(source, &text, diagnostics) {
            Ok(documents) => return documents,
            Err(error) => {
                let line = error.marker().line();
                let in_flow =
                    error.info().starts_with("invalid indentation") && !error.info().contains("anchor");
                if in_flow && !padded_lines.contains(&line) && padded_lines.len() < MAX_PADDED_LINES {
                    padded_lines.push(line);
                    continue;
                }
                let offset = text.byte(error.marker().index());
                if error.info().contains("valid YAML whitespace")
                    && spaced_lines < MAX_PADDED_LINES
                    && let Some(tabs) = tabs_after_colon(&spaced, offset)
                {
                    spaced.replace_range(tabs.clone(), &" ".repeat(tabs.len()));
                    spaced_lines += 1;
                    continue;
                }
                let len = source
                    .text()
                    .get(offset..)
                    .and_then(|rest| rest.chars().next())
                    .map_or(0, char::len_utf8);
                let message = format!("{} is not valid YAML: {}", source.name(), error.info());
                diagnostics.push(
                    Diagnostic::new(Code::YamlSyntax, message, &Span::new(source, offset, len))
                        .maybe_help(tab_help(source, offset)),
                );
                return None;
            }
        }
    }
}

/// `Ok(None)` where a diagnostic says what is wrong, `Err` where the text is no YAML.
fn parse_padded(
    source: &Arc<Source>,
    text: &Padded,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<Option<Vec<Node>>, ScanError> {
    let mut builder = Builder::new(source, text);
    let mut said = Vec::new();
    for event in Parser::new_from_str(&text.text) {
        let (event, at) = event?;
        builder.event(event, at, &mut said);
        if builder.gave_up {
            break;
        }
    }
    let failed = !said.is_empty();
    diagnostics.append(&mut said);
    Ok((!failed).then_some(builder.documents))
}

/// The text with some lines moved to the right. YAML wants what stands in brackets to be indented deeper than
/// the block around it; Compose's own reader does not mind a closing bracket under its key, and neither do we.
struct Padded {
    text: String,
    /// Byte in the original of each character; empty where nothing was moved and all is ASCII.
    byte_of_char: Vec<usize>,
    original_len: usize,
}

impl Padded {
    fn new(original: &str, lines: &[usize]) -> Self {
        let original_len = original.len();
        if lines.is_empty() && original.is_ascii() {
            return Self { text: original.to_owned(), byte_of_char: Vec::new(), original_len };
        }
        let mut text = String::with_capacity(original_len);
        let mut byte_of_char = Vec::with_capacity(original_len);
        let mut start = 0;
        for (at, line) in original.split_inclusive('\n').enumerate() {
            if lines.contains(&(at + 1)) {
                text.extend(std::iter::repeat_n(' ', PADDING));
                byte_of_char.extend(std::iter::repeat_n(start, PADDING));
            }
            text.push_str(line);
            byte_of_char.extend(line.char_indices().map(|(offset, _)| start + offset));
            start += line.len();
        }
        Self { text, byte_of_char, original_len }
    }

    fn byte(&self, char_index: usize) -> usize {
        if self.byte_of_char.is_empty() {
            return char_index.min(self.original_len);
        }
        self.byte_of_char.get(char_index).copied().unwrap_or(self.original_len)
    }
}

/// The blanks between a colon and what follows at `offset`, if there is a tab among them: it is as good as a space there,
/// which our reader does not know.
fn tabs_after_colon(text: &str, offset: usize) -> Option<std::ops::Range<usize>> {
    let blank = |c: char| c == ' ' || c == '\t';
    let before = text.get(..offset)?;
    let start = before.trim_end_matches(blank).len();
    let end = offset + text[offset..].find(|c| !blank(c)).unwrap_or(text.len() - offset);
    (before[..start].ends_with(':') && text[start..end].contains('\t')).then_some(start..end)
}

fn tab_help(source: &Source, offset: usize) -> Option<String> {
    let text = source.text();
    let line_start = text.get(..offset)?.rfind('\n').map_or(0, |at| at + 1);
    let line = text[line_start..].lines().next()?;
    let indentation = &line[..line.len() - line.trim_start().len()];
    indentation.contains('\t').then(|| String::from("YAML takes no tabs for indentation: use spaces"))
}

/// A container that is being filled.
struct Open {
    node: Node,
    anchor: usize,
    key: Option<Spanned<String>>,
    /// Values of `<<`, and the place among the entries where they were written.
    merges: Vec<(usize, Node)>,
}

struct Builder<'a> {
    source: &'a Arc<Source>,
    text: &'a Padded,
    stack: Vec<Open>,
    anchors: HashMap<usize, Node>,
    documents: Vec<Node>,
    nodes: usize,
    gave_up: bool,
}

impl<'a> Builder<'a> {
    fn new(source: &'a Arc<Source>, text: &'a Padded) -> Self {
        Self {
            source,
            text,
            stack: Vec::new(),
            anchors: HashMap::new(),
            documents: Vec::new(),
            nodes: 0,
            gave_up: false,
        }
    }

    fn byte(&self, char_index: usize) -> usize {
        self.text.byte(char_index)
    }

    fn span(&self, at: saphyr_parser::Span) -> Span {
        let start = self.byte(at.start.index());
        let end = self.byte(at.end.index()).max(start);
        let text = self.source.text().get(start..end).unwrap_or("");
        Span::new(self.source, start, text.trim_end().len())
    }

    fn event(&mut self, event: Event<'_>, at: saphyr_parser::Span, diagnostics: &mut Vec<Diagnostic>) {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let span = quoted_part(self.span(at), style);
                let mut node = scalar(&text, style, tag.as_deref(), &span);
                self.tag(tag.as_deref(), &mut node, diagnostics);
                self.value(node, anchor, diagnostics);
            }
            Event::SequenceStart(anchor, tag) => {
                self.open(Kind::Seq(Vec::new()), anchor, tag.as_deref(), at, diagnostics)
            }
            Event::MappingStart(anchor, tag) => {
                self.open(Kind::Map(Vec::new()), anchor, tag.as_deref(), at, diagnostics)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(at, diagnostics),
            Event::Alias(anchor) => {
                let span = self.span(at);
                self.alias(anchor, &span, diagnostics);
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => {}
        }
    }

    fn open(
        &mut self,
        kind: Kind,
        anchor: usize,
        tag: Option<&Tag>,
        at: saphyr_parser::Span,
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        let mut node = Node::new(kind, &self.span(at));
        self.tag(tag, &mut node, diagnostics);
        if self.stack.len() >= MAX_DEPTH {
            let message = format!("nesting deeper than {MAX_DEPTH} levels");
            diagnostics.push(Diagnostic::new(Code::AliasBomb, message, &node.span));
            self.gave_up = true;
        }
        self.stack.push(Open { node, anchor, key: None, merges: Vec::new() });
    }

    fn close(&mut self, at: saphyr_parser::Span, diagnostics: &mut Vec<Diagnostic>) {
        let Some(mut open) = self.stack.pop() else { return };
        let end = self.byte(at.end.index()).max(open.node.span.offset_bytes());
        let start = open.node.span.offset_bytes();
        let text = self.source.text().get(start..end).unwrap_or("");
        open.node.span = Span::new(self.source, start, text.trim_end().len().max(1));
        if let Kind::Map(entries) = &mut open.node.kind {
            merge_keys(entries, open.merges);
        }
        self.value(open.node, open.anchor, diagnostics);
    }

    fn alias(&mut self, anchor: usize, span: &Span, diagnostics: &mut Vec<Diagnostic>) {
        let Some(node) = self.anchors.get(&anchor).cloned() else {
            let message = "the alias stands inside the value that it repeats";
            diagnostics.push(Diagnostic::new(Code::YamlSyntax, message, span));
            return;
        };
        self.nodes += node.count();
        if self.nodes > MAX_NODES {
            let message =
                format!("the aliases of {} expand to more than {MAX_NODES} values", self.source.name());
            diagnostics.push(Diagnostic::new(Code::AliasBomb, message, span));
            self.gave_up = true;
            return;
        }
        self.value(node, 0, diagnostics);
    }

    fn tag(&self, tag: Option<&Tag>, node: &mut Node, diagnostics: &mut Vec<Diagnostic>) {
        let Some(tag) = tag else { return };
        match (tag.handle.as_str(), tag.suffix.as_str()) {
            ("!", "reset") => node.mark = Mark::Reset,
            ("!", "override") => node.mark = Mark::Override,
            ("!", "") => {}
            _ if tag.is_yaml_core_schema() => {}
            (handle, suffix) => {
                let message = format!("the tag {handle}{suffix} means nothing in a compose file");
                diagnostics.push(
                    Diagnostic::new(Code::UnknownTag, message, &node.span)
                        .label("tagged value")
                        .help("Compose knows !reset and !override"),
                );
            }
        }
    }

    fn value(&mut self, node: Node, anchor: usize, diagnostics: &mut Vec<Diagnostic>) {
        self.nodes += 1;
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.stack.last_mut() else {
            if !node.is_null() {
                self.documents.push(node);
            }
            return;
        };
        match &mut open.node.kind {
            Kind::Seq(items) => items.push(node),
            Kind::Map(entries) => match open.key.take() {
                None => match node.scalar_text() {
                    Some(text) => open.key = Some(Spanned::new(text, node.span)),
                    None => {
                        let message = format!("a key is a string, and here it is {}", node.type_name());
                        diagnostics.push(Diagnostic::new(Code::WrongType, message, &node.span).label("key"));
                        open.key = Some(Spanned::new(String::new(), node.span));
                    }
                },
                Some(key) if key.value == "<<" => {
                    push_merge(entries.len(), &key, node, &mut open.merges, diagnostics)
                }
                Some(key) => push_entry(entries, key, node, diagnostics),
            },
            _ => {}
        }
    }
}

/// A quoted scalar's span ends at its closing quote; the parser's goes on over a comment behind it.
fn quoted_part(span: Span, style: ScalarStyle) -> Span {
    let quote = match style {
        ScalarStyle::SingleQuoted => '\'',
        ScalarStyle::DoubleQuoted => '"',
        _ => return span,
    };
    let text = span.text();
    let mut escaped = false;
    let mut closed = None;
    for (at, c) in text.char_indices().skip(1) {
        match closed {
            // Two single quotes are one quote that is meant.
            Some(end) if c == '\'' && quote == c && at == end => closed = None,
            Some(_) => break,
            None if c == quote && !escaped => closed = Some(at + 1),
            None => {}
        }
        escaped = c == '\\' && quote == '"' && !escaped;
    }
    match (closed, span.source()) {
        (Some(len), Some(source)) => Span::new(source, span.offset_bytes(), len),
        _ => span,
    }
}

fn push_entry(
    entries: &mut Vec<Entry>,
    key: Spanned<String>,
    value: Node,
    diagnostics: &mut Vec<Diagnostic>,
) {
    if let Some(first) = entries.iter().find(|e| e.key.value == key.value) {
        let message = format!("`{}` is given twice in one mapping", key.value);
        diagnostics.push(
            Diagnostic::new(Code::DuplicateKey, message, &key.span)
                .label("second time")
                .related(&first.key.span, "first time")
                .help("keep one of the two"),
        );
        return;
    }
    entries.push(Entry { key, value });
}

fn push_merge(
    at: usize,
    key: &Spanned<String>,
    node: Node,
    merges: &mut Vec<(usize, Node)>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let parts = match node.kind {
        Kind::Map(_) => vec![node],
        Kind::Seq(items) => items,
        _ => vec![node],
    };
    for part in parts {
        if matches!(part.kind, Kind::Map(_)) {
            merges.push((at, part));
        } else {
            let message = format!("`<<` takes mappings, and this is {}", part.type_name());
            diagnostics.push(Diagnostic::new(Code::MergeKey, message, &key.span).label("merge key"));
        }
    }
}

/// Entries of merged mappings stand where `<<` stood. What the mapping says itself wins, then the first merged one.
fn merge_keys(entries: &mut Vec<Entry>, merges: Vec<(usize, Node)>) {
    let mut inserted = 0;
    for (at, merge) in merges {
        let Kind::Map(merged) = merge.kind else { continue };
        for entry in merged {
            if !entries.iter().any(|e| e.key.value == entry.key.value) {
                entries.insert((at + inserted).min(entries.len()), entry);
                inserted += 1;
            }
        }
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>, span: &Span) -> Node {
    let core = tag.filter(|tag| tag.is_yaml_core_schema()).map(|tag| tag.suffix.as_str());
    let kind = match (core, style) {
        (Some("str"), _) => Kind::Str(text.to_owned()),
        (Some("null"), _) => Kind::Null,
        (Some("int" | "float" | "bool"), _) | (None, ScalarStyle::Plain) => plain(text),
        _ => Kind::Str(text.to_owned()),
    };
    Node::new(kind, span)
}

/// The core schema with the extras that Compose's reader (go-yaml 3) keeps from YAML 1.1: octal with a
/// leading 0 and underscores in numbers, but not `yes` and `no`.
fn plain(text: &str) -> Kind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Kind::Null,
        "true" | "True" | "TRUE" => return Kind::Bool(true),
        "false" | "False" | "FALSE" => return Kind::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Kind::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" => return Kind::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Kind::Float(f64::NEG_INFINITY),
        _ => {}
    }
    let first = text.as_bytes()[0];
    if !(first.is_ascii_digit() || matches!(first, b'-' | b'+' | b'.')) {
        return Kind::Str(text.to_owned());
    }
    let digits = text.replace('_', "");
    if let Some(value) = integer(&digits) {
        return Kind::Int(value);
    }
    let float_like =
        digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'-' | b'+'))
            && digits.bytes().any(|b| b.is_ascii_digit());
    match digits.parse::<f64>() {
        Ok(value) if float_like => Kind::Float(value),
        _ => Kind::Str(text.to_owned()),
    }
}

fn integer(digits: &str) -> Option<i64> {
    let (negative, rest) = match digits.as_bytes().first()? {
        b'-' => (true, &digits[1..]),
        b'+' => (false, &digits[1..]),
        _ => (false, digits),
    };
    let (radix, rest) = match rest.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &rest[2..]),
        [b'0', b'o' | b'O', ..] => (8, &rest[2..]),
        [b'0', b'b' | b'B', ..] => (2, &rest[2..]),
        [b'0', _, ..] => (8, &rest[1..]),
        _ => (10, rest),
    };
    if rest.is_empty() || !rest.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    let value = i64::from_str_radix(rest, radix).ok()?;
    Some(if negative { -value } else { value })
}
