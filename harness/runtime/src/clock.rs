//! Wall-clock time as text and back: RFC 3339 in UTC, and "3 minutes ago".

use std::time::{SystemTime, UNIX_EPOCH};

use chrono::{DateTime, NaiveDate};

/// Nanoseconds since the Unix epoch.
pub fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

/// Milliseconds since the Unix epoch.
pub fn now_ms() -> u64 {
    now_ns() / 1_000_000
}

/// `2024-08-30T12:34:56.000000789Z`, as Docker stamps log lines.
pub fn rfc3339(ns: u64) -> String {
    DateTime::from_timestamp_nanos(ns as i64).format("%Y-%m-%dT%H:%M:%S%.9fZ").to_string()
}

/// Nanoseconds since the epoch of an RFC 3339 time, with or without fraction, `Z` or an offset.
pub fn parse_rfc3339(text: &str) -> Option<u64> {
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let days = NaiveDate::parse_from_str(date, "%Y-%m-%d").ok()?.to_epoch_days();
    let (time, offset_s) = match time.find(['Z', 'z', '+', '-']) {
        Some(at) => (&time[..at], offset_seconds(&time[at..])?),
        None => (time, 0),
    };
    let (clock, fraction) = time.split_once('.').unwrap_or((time, ""));
    let mut parts = clock.split(':').map(|part| part.parse::<i64>().ok());
    let of_day = parts.next()?? * 3600 + parts.next()?? * 60 + parts.next().flatten().unwrap_or(0);
    let nanos = format!("{fraction:0<9}").get(..9)?.parse::<i64>().ok()?;
    let ns = (i64::from(days) * 86_400 + of_day - offset_s).checked_mul(1_000_000_000)?.checked_add(nanos)?;
    u64::try_from(ns).ok()
}

/// The time that a word of `logs --since` means, as Docker reads it (`GetTimestamp`): a duration before `now_ns`, seconds
/// since the epoch, a date, or a time with as much after the hour as there is. Without a zone it is UTC.
pub fn moment(text: &str, now_ns: u64) -> Option<u64> {
    if let Some(ago) = duration_ns(text) {
        return Some(u64::try_from((i128::from(now_ns) - ago).max(0)).unwrap_or(u64::MAX));
    }
    if !text.contains('-') {
        let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
        if seconds.is_empty() || !digits(seconds) || !digits(fraction) {
            return None;
        }
        let nanos: u64 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
        return Some(seconds.parse::<u64>().ok()?.saturating_mul(1_000_000_000).saturating_add(nanos));
    }
    let bare = text.trim_end_matches(['Z', 'z']);
    let is_number = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
    let date = bare.split(['T', 't', ' ']).next()?;
    if date.split('-').count() != 3 || !date.split('-').all(is_number) {
        return None;
    }
    match bare.len() - date.len() {
        0 => parse_rfc3339(&format!("{date}T00:00:00")),
        3 => parse_rfc3339(&format!("{bare}:00:00")),
        _ => parse_rfc3339(text),
    }
}

/// Go's durations: `10m`, `1h30m`, `1.5s`, `-300ms`. A bare 0 is a time.
fn duration_ns(text: &str) -> Option<i128> {
    let (sign, mut rest) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let mut total = 0.0;
    while !rest.is_empty() {
        let unit_at = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..unit_at].parse().ok()?;
        let unit = &rest[unit_at..];
        let end = unit.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(unit.len());
        let factor = match &unit[..end] {
            "ns" => 1.0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        total += number * factor;
        rest = &unit[end..];
    }
    (!text.is_empty() && total.is_finite()).then_some(sign * total as i128)
}

fn offset_seconds(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (hours, minutes) = zone[1..].split_once(':')?;
    let offset = hours.parse::<i64>().ok()? * 3600 + minutes.parse::<i64>().ok()? * 60;
    Some(if zone.starts_with('-') { -offset } else { offset })
}

/// "Less than a second", "5 seconds", "About a minute", "3 hours": Docker's words for a duration.
pub fn human(duration_ms: u64) -> String {
    let seconds = duration_ms / 1000;
    let (minutes, hours) = (seconds / 60, (seconds + 1800) / 3600);
    match () {
        () if seconds < 1 => "Less than a second".into(),
        () if seconds == 1 => "1 second".into(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".into(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".into(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        () if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        () => format!("{} months", hours / 24 / 30),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_survive_the_way_to_text_and_back() {
        for (ns, text) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (951_782_400_000_000_001, "2000-02-29T00:00:00.000000001Z"),
            (1_725_021_296_123_456_789, "2024-08-30T12:34:56.123456789Z"),
        ] {
            assert_eq!(rfc3339(ns), text);
            assert_eq!(parse_rfc3339(text), Some(ns));
        }
        assert_eq!(parse_rfc3339("2024-08-30T14:34:56.5+02:00"), Some(1_725_021_296_500_000_000));
        assert_eq!(parse_rfc3339("0001-01-01T00:00:00Z"), None, "Docker's zero time is no time");
    }

    #[test]
    fn a_moment_is_a_duration_ago_a_time_or_nothing() {
        let now = 1_725_021_296_000_000_000;
        let at = |text: &str| moment(text, now).map(rfc3339).unwrap_or_else(|| "refused".into());
        for (text, expected) in [
            ("10m", "2024-08-30T12:24:56.000000000Z"),
            ("1h30m", "2024-08-30T11:04:56.000000000Z"),
            ("1.5s", "2024-08-30T12:34:54.500000000Z"),
            ("2024-08-30", "2024-08-30T00:00:00.000000000Z"),
            ("2024-08-30T12", "2024-08-30T12:00:00.000000000Z"),
            ("2024-08-30T12:30", "2024-08-30T12:30:00.000000000Z"),
            ("2024-08-30T14:34:56.5+02:00", "2024-08-30T12:34:56.500000000Z"),
            ("42", "1970-01-01T00:00:42.000000000Z"),
            ("1725021296.5", "2024-08-30T12:34:56.500000000Z"),
            ("yesterday", "refused"),
            ("10x", "refused"),
            ("", "refused"),
            ("2024-08", "refused"),
        ] {
            assert_eq!(at(text), expected, "{text}");
        }
    }

    #[test]
    fn durations_read_as_docker_s_do() {
        let said: Vec<String> =
            [10, 1000, 59_000, 61_000, 600_000, 4_000_000, 90_000_000].map(human).to_vec();
        assert_eq!(
            said,
            [
                "Less than a second",
                "1 second",
                "59 seconds",
                "About a minute",
                "10 minutes",
                "About an hour",
                "25 hours"
            ]
        );
    }
}
