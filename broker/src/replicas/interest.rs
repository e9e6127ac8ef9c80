//! Who waits for which partitions: a reader is woken by exactly the ones that changed.
//!
//! A fetch session (or one waiting fetch without a session) has an [`Interest`]; each of its partitions keeps a
//! [`Subscriber`] with the slot it has there. A change costs one mark per subscriber, and an idle partition nothing.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Notify;

/// The changed slots of one reader, and its alarm.
#[derive(Debug)]
pub(super) struct Interest {
    marks: Mutex<Marks>,
    alarm: Notify,
    /// When the follower behind it fetched last, on the steady clock; its partitions without a mark have been caught up then.
    pub last_fetch_ms: AtomicI64,
    /// Counts the fetches of the session: an older one that still waits is done when a newer comes.
    turn: AtomicU64,
    /// The follower's broker id; -1 for a consumer.
    pub follower: i32,
}

#[derive(Debug, Default)]
struct Marks {
    slots: Vec<u32>,
    marked: Vec<bool>,
}

impl Interest {
    pub fn new(follower: i32) -> Arc<Self> {
        Arc::new(Self {
            marks: Mutex::default(),
            alarm: Notify::new(),
            last_fetch_ms: AtomicI64::new(i64::MIN),
            turn: AtomicU64::new(0),
            follower,
        })
    }

    /// Marks a slot as changed; `wakes` where a waiting fetch may have its bytes now.
    fn mark(&self, slot: u32, wakes: bool) {
        {
            let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
            let at = slot as usize;
            if marks.marked.len() <= at {
                marks.marked.resize(at + 1, false);
            }
            if !std::mem::replace(&mut marks.marked[at], true) {
                marks.slots.push(slot);
            }
        }
        if wakes {
            self.alarm.notify_one();
        }
    }

    /// Takes the marks: what changes from here on marks again.
    pub fn take(&self) -> Vec<u32> {
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        let slots = std::mem::take(&mut marks.slots);
        for slot in &slots {
            marks.marked[*slot as usize] = false;
        }
        slots
    }

    /// A new fetch of the session begins; one that waits is done with waiting.
    pub fn begin_turn(&self) -> u64 {
        let turn = self.turn.fetch_add(1, Ordering::AcqRel) + 1;
        if turn > 1 {
            self.alarm.notify_one();
        }
        turn
    }

    /// Whether a newer fetch has come. Passes the alarm on to it.
    pub fn is_superseded(&self, turn: u64) -> bool {
        let superseded = self.turn.load(Ordering::Acquire) != turn;
        if superseded {
            self.alarm.notify_one();
        }
        superseded
    }

    /// Waits for a mark that wakes. May return without one.
    pub async fn changed(&self) {
        self.alarm.notified().await;
    }
}

/// What changed of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Records were appended: followers read them.
    LogEnd,
    /// Records were committed: consumers read them. Followers hear of it with their next reply.
    HighWatermark,
    /// The log start moved: told with the next reply.
    LogStart,
    /// Role, epoch or existence: every reader looks again.
    Role,
}

/// A partition's way to one reader.
#[derive(Debug)]
pub(super) struct Subscriber {
    interest: Weak<Interest>,
    slot: u32,
    /// Reads to the log end.
    follower: i32,
}

impl Subscriber {
    pub fn new(interest: &Arc<Interest>, slot: u32) -> Self {
        Self { interest: Arc::downgrade(interest), slot, follower: interest.follower }
    }

    /// Tells the reader. Returns false when there is none any more.
    pub fn tell(&self, change: Change) -> bool {
        let Some(interest) = self.interest.upgrade() else { return false };
        let is_follower = self.follower >= 0;
        match change {
            Change::LogEnd if is_follower => interest.mark(self.slot, true),
            Change::LogEnd => {}
            Change::HighWatermark => interest.mark(self.slot, !is_follower),
            Change::LogStart => interest.mark(self.slot, false),
            Change::Role => interest.mark(self.slot, true),
        }
        true
    }

    pub fn is(&self, interest: &Arc<Interest>, slot: u32) -> bool {
        self.slot == slot && std::ptr::eq(self.interest.as_ptr(), Arc::as_ptr(interest))
    }

    /// The follower that reads here, and when its session fetched last.
    pub fn follower(&self) -> Option<(i32, i64)> {
        if self.follower < 0 {
            return None;
        }
        let interest = self.interest.upgrade()?;
        Some((self.follower, interest.last_fetch_ms.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_marked_once_until_it_is_taken() {
        let interest = Interest::new(2);
        let subscriber = Subscriber::new(&interest, 7);
        assert!(subscriber.tell(Change::LogEnd) && subscriber.tell(Change::HighWatermark));
        assert_eq!(interest.take(), [7]);
        assert_eq!(interest.take(), [0_u32; 0]);
        subscriber.tell(Change::LogStart);
        assert_eq!(interest.take(), [7]);
        drop(interest);
        assert!(!subscriber.tell(Change::Role), "nobody is there any more");
    }

    #[test]
    fn consumers_hear_of_commits_and_not_of_appends() {
        let interest = Interest::new(-1);
        let subscriber = Subscriber::new(&interest, 0);
        subscriber.tell(Change::LogEnd);
        assert!(interest.take().is_empty());
        subscriber.tell(Change::HighWatermark);
        assert_eq!(interest.take(), [0]);
    }
}
