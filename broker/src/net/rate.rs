//! Rates as Kafka measures them (`Rate` over a `SampledStat`): events in the last samples of a fixed length.
//!
//! Knows no clock.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// `quota.window.size.seconds` and `quota.window.num`.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub length: Duration,
    pub count: u32,
}

/// Events, sample by sample.
#[derive(Debug, Default)]
pub struct Rate {
    samples: VecDeque<(Instant, u32)>,
}

impl Rate {
    /// Counts an event; how long to wait so that the rate is within its limit again, one sample at the most.
    pub fn record(&mut self, now: Instant, limit_per_second: i32, window: Window) -> Duration {
        if limit_per_second == i32::MAX {
            self.samples.clear();
            return Duration::ZERO;
        }
        let is_open = |start: Instant| now.saturating_duration_since(start) < window.length;
        match self.samples.back_mut() {
            Some((start, events)) if is_open(*start) => *events = events.saturating_add(1),
            _ => self.samples.push_back((now, 1)),
        }
        while self.samples.len() > window.count as usize
            || self.samples.front().is_some_and(|(start, _)| now - *start >= window.length * window.count)
        {
            self.samples.pop_front();
        }
        let oldest = self.samples.front().map_or(now, |(start, _)| *start);
        let elapsed = now.saturating_duration_since(oldest);
        let whole = elapsed.as_millis() / window.length.as_millis().max(1);
        let missing = u128::from(window.count - 1).saturating_sub(whole);
        let elapsed = elapsed + window.length * u32::try_from(missing).unwrap_or_default();
        let elapsed_s = elapsed.as_secs_f64().max(0.001);
        let events: u32 = self.samples.iter().map(|(_, events)| *events).sum();
        let (rate, limit) = (f64::from(events) / elapsed_s, f64::from(limit_per_second));
        if rate <= limit {
            return Duration::ZERO;
        }
        // `QuotaUtils.boundedThrottleTime`
        let wait_s = (rate - limit) / limit * elapsed_s;
        Duration::try_from_secs_f64(wait_s).unwrap_or(window.length).min(window.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With Kafka's defaults a rate of 2 is measured over ten seconds and a part of the eleventh: twenty at once pass.
    #[test]
    fn a_burst_passes_and_what_follows_waits() {
        let window = Window { length: Duration::from_secs(1), count: 11 };
        let (mut rate, start) = (Rate::default(), Instant::now());
        let waits: Vec<u128> = (0..23).map(|_| rate.record(start, 2, window).as_millis()).collect();
        assert!(waits[..20].iter().all(|wait| *wait == 0), "{waits:?}");
        assert_eq!(waits[20..], [500, 1_000, 1_000]);
        let later = start + Duration::from_millis(10_900);
        assert_eq!(rate.record(later, 2, window).as_millis(), 1_000);
        let forgotten = start + Duration::from_secs(30);
        assert_eq!(rate.record(forgotten, 2, window).as_millis(), 0);
        assert_eq!(rate.record(forgotten, i32::MAX, window).as_millis(), 0);
    }
}
