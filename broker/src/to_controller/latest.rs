//! What waits to be sent, as the newest value of each key: bounded by the keys, however long the other side takes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

type Waiting<K, V> = Arc<Mutex<BTreeMap<K, V>>>;

/// Puts values in. Cheap to clone.
pub(super) struct Sender<K, V> {
    waiting: Waiting<K, V>,
    /// One word is enough, however many values there are.
    wake: mpsc::Sender<()>,
}

impl<K, V> Clone for Sender<K, V> {
    fn clone(&self) -> Self {
        Self { waiting: Arc::clone(&self.waiting), wake: self.wake.clone() }
    }
}

/// Takes all values out.
pub(super) struct Receiver<K, V> {
    waiting: Waiting<K, V>,
    woken: mpsc::Receiver<()>,
}

/// Both ends.
pub(super) fn channel<K: Ord, V>() -> (Sender<K, V>, Receiver<K, V>) {
    let (wake, woken) = mpsc::channel(1);
    let waiting = Waiting::default();
    (Sender { waiting: Arc::clone(&waiting), wake }, Receiver { waiting, woken })
}

impl<K: Ord, V> Sender<K, V> {
    /// Returns the value that this one takes the place of.
    pub fn put(&self, key: K, value: V) -> Option<V> {
        let displaced = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(key, value);
        // Full: who is woken anyway takes this too. Closed: nobody takes anything any more.
        let _ = self.wake.try_send(());
        displaced
    }
}

impl<K: Ord, V> Receiver<K, V> {
    /// All that waits; nothing once every sender is gone.
    pub async fn recv(&mut self) -> Option<BTreeMap<K, V>> {
        loop {
            let is_open = self.woken.recv().await.is_some();
            let taken = self.take();
            if !taken.is_empty() {
                return Some(taken);
            }
            if !is_open {
                return None;
            }
        }
    }

    /// All that waits now.
    pub fn take(&self) -> BTreeMap<K, V> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    /// Whoever reports the same partition again and again while no controller answers fills no memory.
    #[tokio::test]
    async fn a_key_has_one_place_and_its_newest_value() {
        let (sender, mut receiver) = channel();
        for round in 0..10_000 {
            for key in 0..3 {
                assert_eq!(sender.put(key, round), (round > 0).then(|| round - 1));
            }
        }
        assert_eq!(receiver.waiting.lock().unwrap().len(), 3);
        assert_eq!(receiver.recv().await.unwrap(), BTreeMap::from([(0, 9_999), (1, 9_999), (2, 9_999)]));
        assert_eq!(receiver.recv().now_or_never(), None, "it waits");
        sender.put(7, 1);
        assert_eq!(receiver.take(), BTreeMap::from([(7, 1)]));
        assert_eq!(receiver.recv().now_or_never(), None, "woken for what was taken already");
    }

    #[tokio::test]
    async fn what_was_put_before_the_last_sender_went_is_still_taken() {
        let (sender, mut receiver) = channel();
        let other = sender.clone();
        sender.put(1, 'a');
        drop(sender);
        other.put(2, 'b');
        drop(other);
        assert_eq!(receiver.recv().await.unwrap(), BTreeMap::from([(1, 'a'), (2, 'b')]));
        assert_eq!(receiver.recv().await, None);
    }
}
