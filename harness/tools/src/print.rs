//! stdout and stderr of a tool. stdout is gathered, and handed on before anything is said on stderr, before a tool waits
//! and when it ends.

use crate::errors::Exception;
use std::io::{self, BufWriter, Stdout, Write as _};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// What stdout is, for those who write bytes.
pub fn stdout() -> MutexGuard<'static, BufWriter<Stdout>> {
    static OUT: OnceLock<Mutex<BufWriter<Stdout>>> = OnceLock::new();
    let out = OUT.get_or_init(|| Mutex::new(BufWriter::with_capacity(1 << 16, io::stdout())));
    out.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Hands on what was gathered; true if nobody reads it any more.
pub fn flush() -> bool {
    stdout().flush().is_err()
}

/// A text for stdout.
pub fn out(text: std::fmt::Arguments<'_>) {
    // Who closed the pipe does not want to know.
    let _ = stdout().write_fmt(text);
}

/// A text for stderr.
pub fn err(text: std::fmt::Arguments<'_>) {
    flush();
    let _ = io::stderr().write_fmt(text);
}

/// A line of the log, which the tools have on stderr (`tools-log4j.properties`).
pub fn log(level: &str, class: &str, message: &str) {
    err(format_args!("[{}] {level} {message} ({class})\n", now()));
}

/// A line of the log with what was thrown.
pub fn log_thrown(level: &str, class: &str, message: &str, exception: &Exception) {
    err(format_args!("[{}] {level} {message} ({class})\n{}\n", now(), exception.trace()));
}

/// A line for stdout.
#[macro_export]
macro_rules! outln {
    () => { $crate::print::out(format_args!("\n")) };
    ($($word:tt)*) => {{
        $crate::print::out(format_args!($($word)*));
        $crate::print::out(format_args!("\n"));
    }};
}

/// A line for stderr.
#[macro_export]
macro_rules! errln {
    ($($word:tt)*) => { $crate::print::err(format_args!("{}\n", format_args!($($word)*))) };
}

/// The time as log4j writes it, but in UTC.
pub fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    date_time(i64::try_from(since.as_millis()).unwrap_or_default(), ' ', ',')
}

/// Milliseconds since 1970 as a date and a time of day.
pub fn date_time(ms: i64, between: char, before_ms: char) -> String {
    let (days, of_day) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    // Howard Hinnant's `civil_from_days`: years that begin in March, in eras of 400.
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let (hour, minute) = (of_day / 3_600_000, of_day / 60_000 % 60);
    let (second, ms) = (of_day / 1000 % 60, of_day % 1000);
    format!("{year:04}-{month:02}-{day:02}{between}{hour:02}:{minute:02}:{second:02}{before_ms}{ms:03}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (ms, due) in [
            (0, "1970-01-01 00:00:00,000"),
            (951_782_400_000, "2000-02-29 00:00:00,000"),
            (1_709_164_799_999, "2024-02-28 23:59:59,999"),
            (-1, "1969-12-31 23:59:59,999"),
        ] {
            assert_eq!(date_time(ms, ' ', ','), due);
        }
    }
}
