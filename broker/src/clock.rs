//! The node's clocks, and the only file that reads them.
//!
//! The wall clock steps: somebody sets it, NTP mends it. It is for what is written into records and files, and for what
//! is compared with those: [`WallMs`]. How long something takes, or is ago, is no matter of the wall: [`SteadyMs`], or an
//! `Instant`.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jackdaw_wire::types::Now;

/// Where the steady clock starts. State machines take 0 for "never", and that is to be long ago.
const STEADY_START_MS: i64 = 1_000_000_000_000;

/// Milliseconds since 1970, as the wall has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WallMs(pub i64);

/// Milliseconds of a clock that never steps. Means nothing to another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SteadyMs(pub i64);

impl SteadyMs {
    /// That many milliseconds later.
    pub fn plus(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds since then.
    pub fn since(self, then: Self) -> i64 {
        self.0.saturating_sub(then.0)
    }

    /// The same moment on the clock of `std`.
    pub fn instant(self) -> Instant {
        let ms = u64::try_from(self.0.saturating_sub(STEADY_START_MS)).unwrap_or(0);
        started() + Duration::from_millis(ms)
    }
}

fn started() -> Instant {
    static STARTED: OnceLock<Instant> = OnceLock::new();
    *STARTED.get_or_init(Instant::now)
}

/// The wall clock.
pub fn wall() -> WallMs {
    let since = wall_time().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallMs(ms(since))
}

/// The wall clock, as `std` tells it.
pub fn wall_time() -> SystemTime {
    SystemTime::now()
}

/// The steady clock.
pub fn steady() -> SteadyMs {
    SteadyMs(STEADY_START_MS.saturating_add(ms(started().elapsed())))
}

/// Both, for machines that write the time down and count in it.
pub fn both() -> Now {
    Now { wall_ms: wall().0, steady_ms: steady().0 }
}

/// The steady clock, as `std` tells it.
pub fn now() -> Instant {
    Instant::now()
}

/// The steady clock of the runtime's timers, which tests can hold still.
pub fn timer() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steady_clock_is_far_from_never_and_goes_on() {
        let before = steady();
        assert!(before.0 >= STEADY_START_MS);
        let later = before.plus(1_500);
        assert_eq!((later.since(before), before.since(later)), (1_500, -1_500));
        assert_eq!(later.instant() - before.instant(), Duration::from_millis(1_500));
        let now = now();
        assert!(steady() >= before && before.instant() <= now);
    }
}
