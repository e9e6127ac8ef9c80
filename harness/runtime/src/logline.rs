//! A line of a service's log, and which of them are asked for.

/// Where the line was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

impl Stream {
    /// Its mark in a log file.
    pub fn letter(self) -> char {
        match self {
            Stream::Out => 'o',
            Stream::Err => 'e',
        }
    }

    /// The stream of a mark.
    pub fn of_letter(mark: &[u8]) -> Option<Self> {
        match mark {
            b"o" => Some(Stream::Out),
            b"e" => Some(Stream::Err),
            _ => None,
        }
    }
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// RFC 3339, UTC.
    pub time: String,
    /// Where it was written.
    pub stream: Stream,
    /// The line, without its end.
    pub text: String,
}

/// Which lines are wanted.
#[derive(Debug, Clone, Default)]
pub struct LogOptions {
    /// Go on with new lines.
    pub follow: bool,
    /// Only the last so many of the old ones.
    pub tail: Option<usize>,
    /// Only from this RFC 3339 time (UTC) on.
    pub since: Option<String>,
    /// Only up to this one.
    pub until: Option<String>,
}
