//! What `check` found: one line an obligation, for people as a table and for programs as JSON.

use serde::Serialize;
use std::fmt;

/// How an obligation fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Seen as expected.
    Kept,
    /// Seen otherwise, or not seen at all.
    Broken,
    /// Could not be looked at; `seen` says why.
    Skipped,
}

/// One obligation on one subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Which obligation: the names are stable.
    pub obligation: &'static str,
    /// What it was held against: a listener, a topic, a codec.
    pub subject: String,
    /// The verdict.
    pub verdict: Verdict,
    /// What the file, or Kafka's rule, promises.
    pub expected: String,
    /// What was seen.
    pub seen: String,
}

impl Line {
    /// Compares what was expected with what was seen.
    pub fn compare(
        obligation: &'static str,
        subject: impl Into<String>,
        expected: impl Into<String>,
        seen: Result<String, String>,
    ) -> Self {
        let expected = expected.into();
        let (verdict, seen) = match seen {
            Ok(seen) if seen == expected => (Verdict::Kept, seen),
            Ok(seen) | Err(seen) => (Verdict::Broken, seen),
        };
        Self { obligation, subject: subject.into(), verdict, expected, seen }
    }

    /// Says why an obligation was not looked at.
    pub fn skipped(obligation: &'static str, subject: impl Into<String>, reason: impl Into<String>) -> Self {
        let subject = subject.into();
        Self { obligation, subject, verdict: Verdict::Skipped, expected: String::new(), seen: reason.into() }
    }
}

/// All lines, in the order in which they were looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The lines.
    pub lines: Vec<Line>,
}

impl Report {
    /// Whether nothing is broken.
    pub fn holds(&self) -> bool {
        self.lines.iter().all(|line| line.verdict != Verdict::Broken)
    }

    fn count(&self, verdict: Verdict) -> usize {
        self.lines.iter().filter(|line| line.verdict == verdict).count()
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { obligation, subject, expected, seen, .. } = self;
        match self.verdict {
            Verdict::Kept => write!(f, "ok      {obligation:12} {subject}: {seen}"),
            Verdict::Broken => {
                write!(
                    f,
                    "BROKEN  {obligation:12} {subject}\n        expected {expected}\n        seen     {seen}"
                )
            }
            Verdict::Skipped => write!(f, "skipped {obligation:12} {subject}: {seen}"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        write!(f, "{} kept, {} broken", self.count(Verdict::Kept), self.count(Verdict::Broken))?;
        match self.count(Verdict::Skipped) {
            0 => writeln!(f),
            skipped => writeln!(f, ", {skipped} skipped"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_shows_expectation_and_sight_only_where_they_differ() {
        let report = Report {
            lines: vec![
                Line::compare("quorum", "kafka0", "voters 0,1,2", Ok("voters 0,1,2".into())),
                Line::compare("reachable", "EXTERNAL of kafka1", "an answer", Err("refused".into())),
                Line::skipped("records", "gzip", "no listener is meant for the host"),
            ],
        };
        assert!(!report.holds());
        insta::assert_snapshot!(report.to_string(), @r"
        ok      quorum       kafka0: voters 0,1,2
        BROKEN  reachable    EXTERNAL of kafka1
                expected an answer
                seen     refused
        skipped records      gzip: no listener is meant for the host
        1 kept, 1 broken, 1 skipped
        ");
    }
}
