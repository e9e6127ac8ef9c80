//! What is said to the user about a file: one code, one message, the place, and what to write instead.
//! It must not decide anything: finding faults is the business of the modules that raise diagnostics.

use std::fmt;

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};

use crate::codes::Code;
use crate::source::{Position, Span};

/// Related places further away than this are listed instead of drawn.
const MAX_DRAWN_LINES: usize = 12;

/// How sure it is that the file will not do what its author wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It works; it could be better.
    Hint,
    /// It may fail, or does something else than it seems to say.
    Warning,
    /// It surely fails: nothing is started.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Hint => "hint",
            Severity::Warning => "warning",
            Severity::Error => "error",
        })
    }
}

/// One finding. [`Diagnostic::render`] draws it for a terminal; `Display` is its one-line form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The stable code that `jackdaw explain` elaborates.
    pub code: Code,
    /// Error, warning or hint.
    pub severity: Severity,
    /// One sentence: what is wrong and what will come of it.
    pub message: String,
    /// The place that is underlined; nowhere for findings about the command line.
    pub span: Span,
    /// A few words under the underlined place.
    pub label: String,
    /// What to write instead.
    pub help: Option<String>,
    /// Other places that belong to the finding (all in the same file are drawn, the rest are listed).
    pub related: Vec<(Span, String)>,
}

impl Diagnostic {
    /// A finding with the severity that the code's table gives it.
    pub fn new(code: Code, message: impl Into<String>, span: &Span) -> Self {
        Self {
            code,
            severity: code.severity(),
            message: message.into(),
            span: span.clone(),
            label: String::from("here"),
            help: None,
            related: Vec::new(),
        }
    }

    /// The words under the underlined place.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// What to write instead.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// As [`Diagnostic::help`], where there may be nothing to advise.
    #[must_use]
    pub fn maybe_help(mut self, help: Option<String>) -> Self {
        self.help = help.or(self.help);
        self
    }

    /// Another place that belongs to the finding.
    #[must_use]
    pub fn related(mut self, span: &Span, label: impl Into<String>) -> Self {
        self.related.push((span.clone(), label.into()));
        self
    }

    /// File, line and column of the underlined place.
    pub fn position(&self) -> Option<Position> {
        self.span.position()
    }

    /// The finding as a person reads it: message, file, the underlined lines, help. A hint that nothing is to be done
    /// about is one line.
    pub fn render(&self, colour: bool, width: usize) -> String {
        if self.severity == Severity::Hint && self.help.is_none() {
            return match self.related.len() {
                0 => format!("{self}\n"),
                1 => format!("{self} (and in one more place)\n"),
                more => format!("{self} (and in {more} more places)\n"),
            };
        }
        let theme = if colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let handler = GraphicalReportHandler::new_themed(theme)
            .with_width(width)
            .with_links(false)
            .with_context_lines(1);
        let mut drawn = String::new();
        let report = Report::of(self);
        // A String takes whatever is written to it; the one-line form is the fallback if drawing itself fails.
        match handler.render_report(&mut drawn, &report) {
            Ok(()) => drawn,
            Err(fmt::Error) => format!("{self}\n"),
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(at) = self.position() {
            write!(f, "{at}: ")?;
        }
        write!(f, "{}[{}]: {}", self.severity, self.code, self.message)
    }
}

/// Errors first, then by place; the order in which they are printed. What an alias repeats is said once.
pub fn sort(diagnostics: &mut Vec<Diagnostic>) {
    let key = |d: &Diagnostic| {
        let at = d.position().map(|at| (at.file, at.line, at.column));
        (std::cmp::Reverse(d.severity), at, d.code)
    };
    diagnostics.sort_by_cached_key(key);
    diagnostics.dedup_by(|b, a| a.code == b.code && a.span == b.span && !a.span.is_nowhere());
}

/// Whether any of them forbids a start.
pub fn has_errors(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|d| d.severity == Severity::Error)
}

/// The form in which miette wants it.
#[derive(Debug)]
struct Report {
    message: String,
    code: String,
    severity: Severity,
    help: Option<String>,
    source: Option<NamedSource<String>>,
    labels: Vec<LabeledSpan>,
}

impl Report {
    fn of(diagnostic: &Diagnostic) -> Self {
        let source = diagnostic.span.source();
        let mut labels = Vec::new();
        let mut elsewhere: Vec<(String, Vec<String>)> = Vec::new();
        let line = diagnostic.position().map_or(0, |at| at.line);
        if source.is_some() {
            let span = &diagnostic.span;
            labels.push(LabeledSpan::new_primary_with_span(
                Some(diagnostic.label.clone()),
                (span.offset_bytes(), span.len_bytes()),
            ));
        }
        for (span, label) in &diagnostic.related {
            let Some(place) = span.position() else { continue };
            if span.source() == source && place.line.abs_diff(line) <= MAX_DRAWN_LINES {
                let at = (span.offset_bytes(), span.len_bytes());
                labels.push(LabeledSpan::new_with_span(Some(label.clone()), at));
                continue;
            }
            match elsewhere.iter_mut().find(|(said, _)| said == label) {
                Some((_, places)) => places.push(place.to_string()),
                None => elsewhere.push((label.clone(), vec![place.to_string()])),
            }
        }
        let elsewhere =
            elsewhere.into_iter().map(|(label, places)| format!("{label}: {}", places.join(", ")));
        let help = diagnostic.help.clone().into_iter().chain(elsewhere).collect::<Vec<_>>().join("\n");
        Self {
            message: diagnostic.message.clone(),
            code: diagnostic.code.to_string(),
            severity: diagnostic.severity,
            help: Some(help).filter(|help| !help.is_empty()),
            source: source.map(|s| NamedSource::new(s.name(), s.text().to_owned())),
            labels,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Report {}

impl miette::Diagnostic for Report {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(&self.code))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.severity {
            Severity::Hint => miette::Severity::Advice,
            Severity::Warning => miette::Severity::Warning,
            Severity::Error => miette::Severity::Error,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.labels.iter().cloned()))
    }
}
