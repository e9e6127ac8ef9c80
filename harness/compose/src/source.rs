//! Where a value was written: files kept in memory, spans into them, and values that carry their span.
//! It must not know YAML or Compose; anything with lines and columns can be pointed at with it.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// One text that values come from: a compose file, an `.env` file, a mounted `server.properties`,
/// or a pseudo file such as `<environment>`.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    name: String,
    text: String,
}

impl Source {
    /// `name` is what a diagnostic prints: a path as the user wrote it.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Arc<Self> {
        Arc::new(Self { name: name.into(), text: text.into() })
    }

    /// The path as the user wrote it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// A range of bytes in a [`Source`]; the default is "nowhere", for values that nobody wrote.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Span {
    source: Option<Arc<Source>>,
    offset_bytes: usize,
    len_bytes: usize,
}

impl Span {
    /// A span of `len_bytes` bytes from `offset_bytes`, clamped to the text.
    pub fn new(source: &Arc<Source>, offset_bytes: usize, len_bytes: usize) -> Self {
        let offset_bytes = offset_bytes.min(source.text.len());
        let len_bytes = len_bytes.min(source.text.len() - offset_bytes);
        Self { source: Some(Arc::clone(source)), offset_bytes, len_bytes }
    }

    /// The text that this span points into, if anyone wrote it.
    pub fn source(&self) -> Option<&Arc<Source>> {
        self.source.as_ref()
    }

    /// Start, in bytes from the start of the text.
    pub fn offset_bytes(&self) -> usize {
        self.offset_bytes
    }

    /// Length in bytes.
    pub fn len_bytes(&self) -> usize {
        self.len_bytes
    }

    /// Whether the value was written in no file.
    pub fn is_nowhere(&self) -> bool {
        self.source.is_none()
    }

    /// File, line and column (both from 1, the column in characters), if it was written anywhere.
    pub fn position(&self) -> Option<Position> {
        let source = self.source.as_ref()?;
        let before = source.text.get(..self.offset_bytes)?;
        let line = before.matches('\n').count() + 1;
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before[line_start..].chars().count() + 1;
        Some(Position { file: source.name.clone(), line, column })
    }

    /// The text under the span.
    pub fn text(&self) -> &str {
        self.source
            .as_ref()
            .and_then(|source| source.text.get(self.offset_bytes..self.offset_bytes + self.len_bytes))
            .unwrap_or("")
    }

    /// The first place inside this span where `needle` is written, or the span itself: a value that went
    /// through quoting or interpolation is no longer found and is then underlined whole.
    pub fn narrowed(&self, needle: &str) -> Self {
        self.narrowed_where(needle, |_, _| true)
    }

    /// As [`Span::narrowed`], but `needle` must stand alone: no letter, digit or `_` on either side.
    pub fn narrowed_word(&self, needle: &str) -> Self {
        let wordy = |c: char| c.is_alphanumeric() || c == '_';
        self.narrowed_where(needle, |before, after| {
            !before.chars().next_back().is_some_and(wordy) && !after.chars().next().is_some_and(wordy)
        })
    }

    fn narrowed_where(&self, needle: &str, accept: impl Fn(&str, &str) -> bool) -> Self {
        let text = self.text();
        if needle.is_empty() {
            return self.clone();
        }
        let found = text
            .match_indices(needle)
            .find(|(at, _)| accept(&text[..*at], &text[at + needle.len()..]))
            .map(|(at, _)| at);
        match found {
            Some(at) => {
                let mut span = self.clone();
                span.offset_bytes += at;
                span.len_bytes = needle.len();
                span
            }
            None => self.clone(),
        }
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position() {
            Some(at) => write!(f, "{at}+{}", self.len_bytes),
            None => f.write_str("nowhere"),
        }
    }
}

/// A place a person can go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The path as the user wrote it.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// A value and where it was written. Two are equal when their values are.
#[derive(Clone, Debug, Default)]
pub struct Spanned<T> {
    /// The value itself.
    pub value: T,
    /// Where it was written.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// A value that was written at `span`.
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }

    /// A value that nobody wrote (a default).
    pub fn nowhere(value: T) -> Self {
        Self { value, span: Span::default() }
    }
}

impl<T> Deref for Spanned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: PartialEq> PartialEq for Spanned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Spanned<T> {}

impl<T: fmt::Display> fmt::Display for Spanned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}
