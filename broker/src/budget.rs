//! Bytes that requests and their replies hold in memory: who takes some, who waits for some, and in which order.
//!
//! Must not know what the bytes are. What is given back goes to the smallest requests that wait: whoever asks for a
//! little does not wait for those who ask for much. Nobody waits for ever, and this is why. Whoever finds no room also
//! queues for the one *turn*, in order of arrival, and whoever has the turn takes what it needs beyond the total. It
//! keeps the turn until it has given its bytes back or is known to wait for others, so that the total is exceeded by
//! what one request holds at a time. A request with the turn is read at a sane speed or ended by its connection, is
//! then served, and gives everything back: however many requests have taken the whole budget with their first halves,
//! one after the other completes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as Turn, Notify, OwnedMutexGuard};

/// Up to these many bytes a request belongs to the class at this place; the last class has all that are larger.
const CLASSES: [usize; 4] = [64 << 10, 256 << 10, 1 << 20, 8 << 20];

/// Those who wait for bytes, of about the same size.
#[derive(Debug, Default)]
struct Queue {
    waiting: AtomicUsize,
    freed: Notify,
}

/// A bound on bytes that many share.
#[derive(Debug)]
pub struct Budget {
    total_bytes: usize,
    held_bytes: AtomicUsize,
    waiting: AtomicUsize,
    queues: [Queue; CLASSES.len() + 1],
    turn: Arc<Turn<()>>,
}

impl Budget {
    pub fn new(total_bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            total_bytes,
            held_bytes: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            queues: Default::default(),
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
        self.tell_next();
    }

    /// Has the smallest of those who wait look again.
    fn tell_next(&self) {
        if self.is_short() {
            let waits = |queue: &&Queue| queue.waiting.load(Ordering::SeqCst) > 0;
            self.queues.iter().find(waits).inspect(|queue| queue.freed.notify_one());
        }
    }

    /// How many wait that are no larger than this class.
    fn before(&self, class: usize) -> usize {
        match self.is_short() {
            true => self.queues[..=class].iter().map(|queue| queue.waiting.load(Ordering::SeqCst)).sum(),
            false => 0,
        }
    }
}

/// Counts a waiter for as long as it lives.
struct Waiting<'a> {
    budget: &'a Budget,
    class: usize,
}

impl<'a> Waiting<'a> {
    fn new(budget: &'a Budget, class: usize) -> Self {
        budget.waiting.fetch_add(1, Ordering::SeqCst);
        budget.queues[class].waiting.fetch_add(1, Ordering::SeqCst);
        Self { budget, class }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.budget.queues[self.class].waiting.fetch_sub(1, Ordering::SeqCst);
        self.budget.waiting.fetch_sub(1, Ordering::SeqCst);
        // A word that this one may have heard last is for the next.
        self.budget.tell_next();
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
    class: usize,
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
    /// Nothing yet of a budget, for a request of that size.
    pub fn of(budget: &Arc<Budget>, request_bytes: usize) -> Self {
        let class = CLASSES.iter().position(|most| request_bytes <= *most).unwrap_or(CLASSES.len());
        let (budget, bytes) = (Arc::clone(budget), AtomicUsize::new(0));
        Self { held: Some(Arc::new(Held { budget, class, bytes, turn: Mutex::default() })) }
    }

    /// What this request holds now.
    pub fn bytes(&self) -> usize {
        self.held.as_ref().map_or(0, |held| held.bytes.load(Ordering::Acquire))
    }

    /// Others wait for what this request holds.
    pub fn is_pressed(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.budget.is_short())
    }

    /// Takes bytes without waiting, whether or not there is room: of what is small, or is there already.
    pub fn add(&self, bytes: usize) {
        if let Some(held) = &self.held {
            held.budget.held_bytes.fetch_add(bytes, Ordering::SeqCst);
            held.bytes.fetch_add(bytes, Ordering::AcqRel);
        }
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

    /// Takes bytes where there is room for them and nobody waits for it who is not larger, or where this request has
    /// the turn.
    pub fn try_add(&self, bytes: usize) -> bool {
        self.try_add_behind(bytes, 0)
    }

    fn try_add_behind(&self, bytes: usize, waiting: usize) -> bool {
        let Some(held) = &self.held else { return true };
        let budget = &held.budget;
        if budget.before(held.class) <= waiting && budget.try_take(bytes, budget.total_bytes) {
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
        let _waiting = Waiting::new(&held.budget, held.class);
        let turn = Arc::clone(&held.budget.turn).lock_owned();
        tokio::pin!(turn);
        // Asked once more from within the queue: what was given back before is told to nobody.
        let mut others = 1;
        loop {
            if self.try_add_behind(bytes, others) {
                return;
            }
            tokio::select! {
                turn = &mut turn => {
                    *held.turn.lock().unwrap_or_else(PoisonError::into_inner) = Some(turn);
                    self.add(bytes);
                    return;
                }
                () = held.budget.queues[held.class].freed.notified() => others = usize::MAX,
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
        let charge = Charge::of(&budget, 100);
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
        let [one, two, three] = [(); 3].map(|()| Charge::of(&budget, 100));
        for half in [&one, &two] {
            assert!(half.try_add(50));
        }
        assert!(!budget.is_short());
        // Each half request wants another half: the first one gets it, the others wait for its end.
        one.wait_for(50).await;
        let wait_two = two.wait_for(50);
        tokio::pin!(wait_two);
        assert!(wait_two.as_mut().now_or_never().is_none());
        let dropped = three.wait_for(1).now_or_never();
        assert!(dropped.is_none(), "the turn is taken, and dropping a wait takes nothing");
        assert!(budget.is_short());
        assert_eq!(budget.held_bytes(), 150);
        assert!(three.try_add_free(0) && !three.try_add_free(1), "small ones have half as much again");
        drop(one);
        wait_two.await;
        assert_eq!((budget.held_bytes(), budget.is_short()), (100, false));
    }

    #[tokio::test]
    async fn what_is_given_back_goes_to_the_smallest() {
        let budget = Budget::new(1_000);
        let [holds, has_turn, large, small] =
            [10, 10, 2 << 20, 1_000].map(|request_bytes| Charge::of(&budget, request_bytes));
        assert!(holds.try_add(1_000));
        has_turn.wait_for(0).now_or_never();
        has_turn.wait_for(1).await;
        let (wait_large, wait_small) = (large.wait_for(100), small.wait_for(100));
        tokio::pin!(wait_large, wait_small);
        assert!(wait_large.as_mut().now_or_never().is_none());
        assert!(wait_small.as_mut().now_or_never().is_none());
        holds.give(150);
        assert!(wait_large.as_mut().now_or_never().is_none(), "it came first, and is larger");
        wait_small.await;
        // Who is new does not overtake who waits, unless it is smaller.
        holds.give(50);
        assert!(!Charge::of(&budget, 2 << 20).try_add(1));
        assert!(Charge::of(&budget, 1_000).try_add(1));
        holds.give(100);
        wait_large.await;
    }

    /// The order in which tasks run is the runtime's; that all of them end is what counts.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn halves_that_fill_the_budget_all_become_whole() {
        let budget = Budget::new(1000);
        let sizes = [1_000, 100_000, 10 << 20].into_iter().cycle();
        let halves: Vec<Charge> = sizes.take(200).map(|bytes| Charge::of(&budget, bytes)).collect();
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
