//! Bytes that requests and their replies hold in memory: who takes some, who waits for some, and in which order.
//!
//! Must not know what the bytes are. Nobody waits here for ever, and this is why. Whoever finds no room queues for
//! the one *turn*, in order of arrival, and whoever has the turn takes what it needs beyond the total. It keeps the
//! turn until it has given its bytes back, so that the total is exceeded by what one request holds at the most. A
//! request with the turn is read at a sane speed or ended by its connection, is then served, and gives everything
//! back: however many requests have taken the whole budget with their first halves, one after the other completes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as Turn, Notify, OwnedMutexGuard};

/// A bound on bytes that many share.
#[derive(Debug)]
pub struct Budget {
    total_bytes: usize,
    held_bytes: AtomicUsize,
    waiting: AtomicUsize,
    freed: Notify,
    turn: Arc<Turn<()>>,
}

impl Budget {
    pub fn new(total_bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            total_bytes,
            held_bytes: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            freed: Notify::new(),
            turn: Arc::default(),
        })
    }

    pub fn total_bytes(&self) -> usize {
        self.total_bytes
    }

    pub fn held_bytes(&self) -> usize {
        self.held_bytes.load(Ordering::Acquire)
    }

    /// Somebody waits for bytes: whoever holds some without need should let go.
    pub fn is_short(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    fn try_take(&self, bytes: usize, up_to: usize) -> bool {
        let within = |held: usize| held.checked_add(bytes).filter(|sum| *sum <= up_to);
        self.held_bytes.fetch_update(Ordering::SeqCst, Ordering::Acquire, within).is_ok()
    }

    fn give(&self, bytes: usize) {
        self.held_bytes.fetch_sub(bytes, Ordering::SeqCst);
        if self.is_short() {
            self.freed.notify_one();
        }
    }
}

/// Counts a waiter for as long as it lives.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What one request holds of a budget. Clones share it: the last one that is dropped gives back what is left.
#[derive(Clone, Debug, Default)]
pub struct Charge {
    /// None for what nobody sent, such as a request that a node makes of itself.
    held: Option<Arc<Held>>,
}

#[derive(Debug)]
struct Held {
    budget: Arc<Budget>,
    bytes: AtomicUsize,
    turn: Mutex<Option<OwnedMutexGuard<()>>>,
}

impl Held {
    fn give(&self, bytes: usize) {
        let less = |held: usize| Some(held.saturating_sub(bytes));
        if let Ok(held) = self.bytes.fetch_update(Ordering::AcqRel, Ordering::Acquire, less) {
            self.budget.give(held.min(bytes));
        }
        if self.bytes.load(Ordering::Acquire) == 0 {
            self.pass_turn();
        }
    }

    fn pass_turn(&self) -> Option<OwnedMutexGuard<()>> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn has_turn(&self) -> bool {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.give(usize::MAX);
    }
}

impl Charge {
    /// Of a budget, and nothing yet.
    pub fn of(budget: &Arc<Budget>) -> Self {
        let held = Held { budget: Arc::clone(budget), bytes: AtomicUsize::new(0), turn: Mutex::default() };
        Self { held: Some(Arc::new(held)) }
    }

    /// What this request holds now.
    pub fn bytes(&self) -> usize {
        self.held.as_ref().map_or(0, |held| held.bytes.load(Ordering::Acquire))
    }

    /// Takes bytes without waiting, whether or not there is room: of what is small, or is there already.
    pub fn add(&self, bytes: usize) {
        if let Some(held) = &self.held {
            held.budget.held_bytes.fetch_add(bytes, Ordering::AcqRel);
            held.bytes.fetch_add(bytes, Ordering::AcqRel);
        }
    }

    /// Others wait for what this request holds.
    pub fn is_pressed(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.budget.is_short())
    }

    /// Takes a few bytes also where everything is taken, from half as much again that is kept for such.
    pub fn try_add_free(&self, bytes: usize) -> bool {
        let Some(held) = &self.held else { return true };
        let took = held.budget.try_take(bytes, held.budget.total_bytes + held.budget.total_bytes / 2);
        if took {
            held.bytes.fetch_add(bytes, Ordering::AcqRel);
        }
        took
    }

    /// Takes bytes where there is room for them, or where this request has the turn.
    pub fn try_add(&self, bytes: usize) -> bool {
        let Some(held) = &self.held else { return true };
        if held.budget.try_take(bytes, held.budget.total_bytes) {
            held.bytes.fetch_add(bytes, Ordering::AcqRel);
            return true;
        }
        if held.has_turn() {
            self.add(bytes);
            return true;
        }
        false
    }

    /// Takes bytes as soon as there is room for them or it is this request's turn. May be dropped while it waits: its
    /// place in the queue is lost then, and nothing was taken.
    pub async fn wait_for(&self, bytes: usize) {
        if self.try_add(bytes) {
            return;
        }
        let Some(held) = &self.held else { return };
        let _waiting = Waiting::new(&held.budget.waiting);
        let turn = Arc::clone(&held.budget.turn).lock_owned();
        tokio::pin!(turn);
        loop {
            // Asked again from within the queue: what was given back before is told to nobody.
            if self.try_add(bytes) {
                // What was freed may be room for others as well.
                held.budget.freed.notify_one();
                return;
            }
            tokio::select! {
                turn = &mut turn => {
                    *held.turn.lock().unwrap_or_else(PoisonError::into_inner) = Some(turn);
                    self.add(bytes);
                    return;
                }
                () = held.budget.freed.notified() => {}
            }
        }
    }

    /// Whether this request goes beyond the total.
    pub fn has_turn(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.has_turn())
    }

    /// Lets the next one go beyond the total, though this one has not given back what it holds: it takes its time.
    pub fn pass_turn(&self) {
        if let Some(held) = &self.held {
            held.pass_turn();
        }
    }

    /// Gives back a part: so much of the request is not in memory any more.
    pub fn give(&self, bytes: usize) {
        if let Some(held) = &self.held {
            held.give(bytes);
        }
    }

    /// Gives everything back before the request is answered: nothing of it is in memory any more. Again is nothing.
    pub fn release(&self) {
        self.give(usize::MAX);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn the_last_clone_gives_back_what_was_not_released() {
        let budget = Budget::new(100);
        let charge = Charge::of(&budget);
        assert!(charge.try_add(60));
        let clone = charge.clone();
        drop(charge);
        assert_eq!(budget.held_bytes(), 60);
        clone.give(50);
        assert_eq!((budget.held_bytes(), clone.bytes()), (10, 10));
        clone.give(40);
        assert_eq!((budget.held_bytes(), clone.bytes()), (0, 0));
        clone.add(5);
        clone.release();
        clone.release();
        assert_eq!(budget.held_bytes(), 0);
        clone.add(7);
        drop(clone);
        assert_eq!(budget.held_bytes(), 0);
        Charge::default().release();
    }

    #[tokio::test]
    async fn whoever_waits_first_goes_beyond_the_total_and_nobody_else_does() {
        let budget = Budget::new(100);
        let [one, two, three] = [(); 3].map(|()| Charge::of(&budget));
        for half in [&one, &two] {
            assert!(half.try_add(50));
        }
        assert!(!budget.is_short());
        // Each half request wants another half: the first one gets it, the others wait for its end.
        one.wait_for(50).await;
        let wait_two = two.wait_for(50);
        tokio::pin!(wait_two);
        assert!(wait_two.as_mut().now_or_never().is_none());
        assert!(
            three.wait_for(1).now_or_never().is_none(),
            "the turn is taken, and dropping a wait takes nothing"
        );
        assert!(budget.is_short());
        assert_eq!(budget.held_bytes(), 150);
        drop(one);
        wait_two.await;
        assert_eq!((budget.held_bytes(), budget.is_short()), (100, false));
    }

    /// The order in which tasks run is the runtime's; that all of them end is what counts.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn halves_that_fill_the_budget_all_become_whole() {
        let budget = Budget::new(1000);
        let halves: Vec<Charge> = (0..200).map(|_| Charge::of(&budget)).collect();
        for half in &halves {
            half.wait_for(5).await;
        }
        assert_eq!(budget.held_bytes(), 1000);
        let whole = halves.into_iter().map(|charge| {
            tokio::spawn(async move {
                charge.wait_for(3).await;
                tokio::task::yield_now().await;
                charge.wait_for(900).await;
                charge.release();
            })
        });
        let all = futures_util::future::join_all(whole);
        tokio::time::timeout(Duration::from_secs(60), all).await.unwrap();
        assert_eq!((budget.held_bytes(), budget.is_short()), (0, false));
    }
}
