//! Runs a scenario for many seeds, or for the one that failed.
//!
//! `JACKDAW_SIM_SEEDS=n` runs n seeds instead of the few of a plain `cargo test`; `JACKDAW_SIM_FROM=n` begins there;
//! `JACKDAW_SIM_SEED=n` replays one, and `JACKDAW_SIM_TRACE=1` shows each step of it. Fuzzing runs by time instead of
//! by count: `JACKDAW_FUZZ_SECONDS=n` says how long, and the other names mean the same.

use std::panic::{self, AssertUnwindSafe};
use std::time::{Duration, Instant};

/// SplitMix64. Its own here, so that a seed means the same with every version of every library.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed ^ 0x6A61_636B_6461_7721)
    }

    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number in `0..bound`; 0 for a bound of 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next_u64() % bound }
    }

    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low).max(0) as u64 + 1) as i64
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> Option<&'a T> {
        choices.get(self.below(choices.len() as u64) as usize)
    }
}

fn number_from(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Whether each step is to be shown on stderr.
pub fn is_traced() -> bool {
    number_from("JACKDAW_SIM_TRACE").is_some()
}

/// Runs `scenario` for `default_count` seeds, or as the environment says.
///
/// # Panics
/// At the first seed that fails, after printing it.
pub fn for_each_seed(default_count: u64, scenario: impl Fn(u64)) {
    if let Some(seed) = number_from("JACKDAW_SIM_SEED") {
        return scenario(seed);
    }
    let first = number_from("JACKDAW_SIM_FROM").unwrap_or(0);
    let count = number_from("JACKDAW_SIM_SEEDS").unwrap_or(default_count);
    (first..first + count).for_each(|seed| run(seed, &scenario));
}

/// Runs `scenario` for one seed after the other for `default_seconds`, or as the environment says.
///
/// # Panics
/// At the first seed that fails, after printing it.
pub fn for_some_time(default_seconds: u64, scenario: impl Fn(u64)) {
    if let Some(seed) = number_from("JACKDAW_SIM_SEED") {
        return scenario(seed);
    }
    let first = number_from("JACKDAW_SIM_FROM").unwrap_or(0);
    let length = Duration::from_secs(number_from("JACKDAW_FUZZ_SECONDS").unwrap_or(default_seconds));
    let start = Instant::now();
    (first..)
        .take_while(|seed| *seed == first || start.elapsed() < length)
        .for_each(|seed| run(seed, &scenario));
}

fn run(seed: u64, scenario: impl Fn(u64)) {
    if let Err(failure) = panic::catch_unwind(AssertUnwindSafe(|| scenario(seed))) {
        eprintln!("simulation failed; replay it with JACKDAW_SIM_SEED={seed}");
        panic::resume_unwind(failure);
    }
}
