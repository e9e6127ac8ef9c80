//! How slowly a peer may send a request or take a reply before its connection is ended.
//!
//! Must not end anything, and counts only time in which this node waited for the peer: what a peer could not send
//! because nobody read it is not held against it.

use std::time::Duration;

use crate::clock;
use tokio::time::Instant;

/// Bytes that are asked of a peer in each tick, after a while in which nothing is asked.
#[derive(Clone, Copy, Debug)]
pub struct Speed {
    /// So many without a single byte are too many.
    pub quiet_ticks: u32,
    pub grace_ticks: u32,
    pub bytes_per_tick: usize,
}

/// What is asked of peers.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    pub tick: Duration,
    /// Of a request at any time. Clients themselves give up after half a minute (`request.timeout.ms`).
    pub request: Speed,
    /// Of a reply at any time: a consumer that is paused reads nothing, which costs a node little.
    pub reply: Speed,
    /// Of whatever holds memory that others wait for. Fast enough that a whole budget held by nobody's requests is
    /// free again within seconds, slow enough for a client at the other end of the world.
    pub pressed: Speed,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            tick: Duration::from_millis(250),
            request: Speed { quiet_ticks: 120, grace_ticks: 120, bytes_per_tick: 4 << 10 },
            reply: Speed { quiet_ticks: 240, grace_ticks: 240, bytes_per_tick: 0 },
            pressed: Speed { quiet_ticks: 4, grace_ticks: 12, bytes_per_tick: 256 << 10 },
        }
    }
}

/// Why a peer is not waited for any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooSlow {
    pub moved_bytes: usize,
    pub waited: Duration,
}

/// Ticks in which one measure was taken, and what had moved before them.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    ticks: u32,
    quiet_ticks: u32,
    moved_before: usize,
}

impl Span {
    fn tick(&mut self, moved_bytes: usize, has_moved: bool) {
        self.ticks += 1;
        self.quiet_ticks = if has_moved { 0 } else { self.quiet_ticks + 1 };
        self.moved_before = self.moved_before.min(moved_bytes);
    }

    fn is_below(&self, speed: Speed, moved_bytes: usize) -> bool {
        let asked = self.ticks.saturating_sub(speed.grace_ticks) as usize;
        self.quiet_ticks >= speed.quiet_ticks
            || moved_bytes - self.moved_before < asked.saturating_mul(speed.bytes_per_tick)
    }
}

/// One request on its way in, or one reply on its way out.
#[derive(Debug)]
pub struct Pace {
    next_tick: Instant,
    moved_at_tick: usize,
    whole: Span,
    /// Since others began to wait; none while nobody does.
    pressed: Option<Span>,
}

impl Pace {
    pub fn new(patience: &Patience) -> Self {
        Self {
            next_tick: clock::timer() + patience.tick,
            moved_at_tick: 0,
            whole: Span::default(),
            pressed: None,
        }
    }

    /// The peer is waited for again, after something else was.
    pub fn resume(&mut self, patience: &Patience) {
        self.next_tick = clock::timer() + patience.tick;
    }

    /// When to ask next whether the peer is too slow.
    pub fn next_tick(&self) -> Instant {
        self.next_tick
    }

    /// Judges a peer, where a tick has passed, by what has moved in all.
    pub fn judge(
        &mut self,
        moved_bytes: usize,
        speed: Speed,
        is_pressed: bool,
        patience: &Patience,
    ) -> Result<(), TooSlow> {
        let now = clock::timer();
        if now < self.next_tick {
            return Ok(());
        }
        self.next_tick = now + patience.tick;
        let has_moved = moved_bytes > self.moved_at_tick;
        let before = std::mem::replace(&mut self.moved_at_tick, moved_bytes);
        self.whole.tick(moved_bytes, has_moved);
        self.pressed =
            is_pressed.then(|| self.pressed.unwrap_or(Span { moved_before: before, ..Span::default() }));
        let mut is_slow = self.whole.is_below(speed, moved_bytes);
        if let Some(pressed) = &mut self.pressed {
            pressed.tick(moved_bytes, has_moved);
            is_slow |= pressed.is_below(patience.pressed, moved_bytes);
        }
        match is_slow {
            true => Err(TooSlow { moved_bytes, waited: patience.tick * self.whole.ticks }),
            false => Ok(()),
        }
    }
}
