//! Log lines on stdout in Kafka's log4j layout, so that launchers and people find what they look for:
//! `[2024-01-31 12:00:00,000] INFO [KafkaRaftServer nodeId=0] message (kafka.server.KafkaRaftServer)`.
//!
//! The target of an event is the logger's name; fields other than the message are appended as `name=value`. Must not
//! buffer: a line that is only in memory when a process dies is the one that was needed.

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, level_filters::LevelFilter, span};

/// Environment variable that sets the level: ERROR, WARN, INFO, DEBUG or TRACE.
pub const LEVEL_VARIABLE: &str = "JACKDAW_LOG_LEVEL";

/// Starts logging for the whole process. Does nothing when it has been started before.
pub fn init(level: Option<LevelFilter>) {
    let from_environment = || std::env::var(LEVEL_VARIABLE).ok()?.parse().ok();
    let level = level.or_else(from_environment).unwrap_or(LevelFilter::INFO);
    // A process that embeds several nodes calls this for each; the first call counts.
    let _ = tracing::subscriber::set_global_default(Log4j { level });
}

struct Log4j {
    level: LevelFilter,
}

impl Subscriber for Log4j {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.level
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level)
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let metadata = event.metadata();
        let text = format_line(crate::clock::wall_time(), *metadata.level(), &line, &logger(metadata));
        // One write per line, so that lines of several threads do not mix. A closed stdout must not stop a broker.
        let _ = std::io::stdout().lock().write_all(text.as_bytes());
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// A target that names a Kafka class stays; a module path of ours becomes a dotted one.
fn logger(metadata: &Metadata<'_>) -> String {
    metadata.target().replace("::", ".")
}

#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a String cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

fn format_line(now: SystemTime, level: Level, line: &Line, logger: &str) -> String {
    format!("[{}] {level} {}{} ({logger})\n", Timestamp(now), line.message, line.fields)
}

/// `yyyy-MM-dd HH:mm:ss,SSS` in UTC: containers run in UTC, and the zone database is not worth its weight.
struct Timestamp(SystemTime);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = self.0.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (seconds, millis) = (since.as_secs(), since.subsec_millis());
        let (day, second) = (seconds / 86_400, seconds % 86_400);
        let (year, month, day) = civil(day);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02},{millis:03}")
    }
}

/// Days since 1970 to a date, in eras of 400 years that begin on the first of March.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_line_reads_as_log4j_writes_it() {
        let line = Line {
            message: "[KafkaRaftServer nodeId=0] Kafka Server started".to_owned(),
            fields: String::new(),
        };
        for (millis, stamp) in [
            (0, "1970-01-01 00:00:00,000"),
            (951_826_394_007, "2000-02-29 12:13:14,007"),
            (1_706_702_400_123, "2024-01-31 12:00:00,123"),
            (1_709_251_199_999, "2024-02-29 23:59:59,999"),
        ] {
            let now = UNIX_EPOCH + Duration::from_millis(millis);
            assert_eq!(
                format_line(now, Level::INFO, &line, "kafka.server.KafkaRaftServer"),
                format!(
                    "[{stamp}] INFO [KafkaRaftServer nodeId=0] Kafka Server started (kafka.server.KafkaRaftServer)\n"
                )
            );
        }
    }
}
