//! Keeps a line from being written for each of very many things of one kind.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::clock;

/// What happens again and again is told again only so often.
const TOLD_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Seldom(Mutex<(Option<Instant>, usize)>);

impl Default for Seldom {
    fn default() -> Self {
        Self::new()
    }
}

impl Seldom {
    pub const fn new() -> Self {
        Self(Mutex::new((None, 0)))
    }

    /// What to add to a line about one more, where one is due.
    pub fn due(&self) -> Option<String> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, untold) = &mut *told;
        if last.is_some_and(|last| last.elapsed() < TOLD_EVERY) {
            *untold += 1;
            return None;
        }
        *last = Some(clock::now());
        match std::mem::take(untold) {
            0 => Some(String::new()),
            more => Some(format!(" ({more} more since the last such line)")),
        }
    }
}
