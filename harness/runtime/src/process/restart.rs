//! When a process that ended is started again: Docker's rules (moby `restartmanager`), without a clock.

use crate::model::Restart;

/// Docker's first delay before a restart.
pub const FIRST_DELAY_MS: u64 = 100;
/// Docker's longest delay before a restart.
pub const LONGEST_DELAY_MS: u64 = 60_000;
/// A run of this length makes the next delay the first one again.
pub const SETTLED_MS: u64 = 10_000;

/// What is remembered between two runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restarts {
    /// Restarts since the last start by hand.
    pub count: u32,
    delay_ms: u64,
}

impl Restarts {
    /// The delay before the next run, or `None` if the process stays down. `by_hand`: it was stopped or
    /// killed by a command.
    pub fn after_exit(&mut self, policy: Restart, code: i64, ran_ms: u64, by_hand: bool) -> Option<u64> {
        let again = !by_hand
            && match policy {
                Restart::No => false,
                Restart::Always | Restart::UnlessStopped => true,
                Restart::OnFailure(limit) => code != 0 && (limit == 0 || self.count < limit),
            };
        if !again {
            return None;
        }
        self.delay_ms = match self.delay_ms {
            0 => FIRST_DELAY_MS,
            _ if ran_ms >= SETTLED_MS => FIRST_DELAY_MS,
            delay => (delay * 2).min(LONGEST_DELAY_MS),
        };
        self.count += 1;
        Some(self.delay_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_policy_answers_an_exit_as_docker_s() {
        let limited = Restart::OnFailure(2);
        let table = [
            (Restart::No, 1, false, None),
            (Restart::Always, 0, false, Some(100)),
            (Restart::Always, 137, true, None),
            (Restart::UnlessStopped, 0, false, Some(100)),
            (Restart::UnlessStopped, 143, true, None),
            (Restart::OnFailure(0), 0, false, None),
            (Restart::OnFailure(0), 1, false, Some(100)),
            (limited, 1, false, Some(100)),
        ];
        for (policy, code, by_hand, delay) in table {
            let mut restarts = Restarts::default();
            assert_eq!(restarts.after_exit(policy, code, 5, by_hand), delay, "{policy:?} {code} {by_hand}");
        }
        let mut restarts = Restarts::default();
        let delays: Vec<_> = (0..3).map(|_| restarts.after_exit(limited, 1, 5, false)).collect();
        assert_eq!(delays, [Some(100), Some(200), None], "a limit counts attempts");
    }

    #[test]
    fn delays_double_to_a_minute_and_start_over_after_ten_good_seconds() {
        let mut restarts = Restarts::default();
        let mut delay = |ran_ms| restarts.after_exit(Restart::Always, 1, ran_ms, false).expect("always");
        let delays: Vec<u64> = (0..12).map(|_| delay(5)).collect();
        assert_eq!(delays[..4], [100, 200, 400, 800]);
        assert_eq!(delays[10..], [60_000, 60_000]);
        assert_eq!(delay(10_000), 100);
    }
}
