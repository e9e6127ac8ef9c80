//! Work of a client that takes long: on a thread of its own, so that nobody else waits for that of a runtime.
//!
//! Must not decide what is long.

use std::num::NonZero;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;

use tokio::runtime::{Handle, RuntimeFlavor};

/// How many are at it. More than there are processors would only share them.
struct Gate {
    at_work: Mutex<usize>,
    has_room: Condvar,
}

static GATE: Gate = Gate { at_work: Mutex::new(0), has_room: Condvar::new() };

/// A place at work, given back when dropped.
struct Turn;

impl Turn {
    fn wait_for() -> Self {
        let most = thread::available_parallelism().map_or(1, NonZero::get);
        let at_work = GATE.at_work.lock().unwrap_or_else(PoisonError::into_inner);
        let at_work = GATE.has_room.wait_while(at_work, |at_work| *at_work >= most);
        *at_work.unwrap_or_else(PoisonError::into_inner) += 1;
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *GATE.at_work.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        GATE.has_room.notify_one();
    }
}

/// Does long work while the other tasks of this thread go on elsewhere. Not to be nested.
pub fn apart<T>(work: impl FnOnce() -> T) -> T {
    let in_turn = || {
        let _turn = Turn::wait_for();
        work()
    };
    // A runtime of one thread has nowhere else to go on.
    let has_others = Handle::try_current().is_ok_and(|h| h.runtime_flavor() == RuntimeFlavor::MultiThread);
    if has_others { tokio::task::block_in_place(in_turn) } else { in_turn() }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::apart;

    /// What is apart ends only after tasks that the same single worker has to run.
    #[test]
    fn others_go_on_while_something_takes_long() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let long = runtime.spawn(async {
            let (done, is_done) = mpsc::channel();
            tokio::spawn(async move { done.send(()) });
            apart(|| is_done.recv())
        });
        runtime.block_on(long).unwrap().unwrap();
    }
}
