//! Simulated time: events in order of their time, and of their making where times are equal.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

struct Entry<E> {
    at_ms: i64,
    order: u64,
    event: E,
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<E> Eq for Entry<E> {}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Reversed: the heap's greatest is the earliest.
impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at_ms, other.order).cmp(&(self.at_ms, self.order))
    }
}

/// What will happen, and the time it is now.
pub struct Events<E> {
    heap: BinaryHeap<Entry<E>>,
    now_ms: i64,
    order: u64,
}

impl<E> Default for Events<E> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), now_ms: 0, order: 0 }
    }
}

impl<E> Events<E> {
    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    pub fn after(&mut self, delay_ms: i64, event: E) {
        self.order += 1;
        self.heap.push(Entry { at_ms: self.now_ms + delay_ms.max(0), order: self.order, event });
    }

    /// The next event; time moves to it.
    pub fn next_event(&mut self) -> Option<E> {
        let entry = self.heap.pop()?;
        self.now_ms = entry.at_ms;
        Some(entry.event)
    }
}
