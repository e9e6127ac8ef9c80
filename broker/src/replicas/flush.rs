//! Group commit: one flush of a partition at a time, and all that was appended meanwhile goes with the next.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use jackdaw_log::FlushTicket;
use tokio::sync::oneshot;

use super::partition::{Partition, owes_flush};
use crate::clock::{self, SteadyMs};

/// Whether a flush runs, and who waits for the next.
#[derive(Debug)]
pub(super) struct FlushGate {
    inner: Mutex<Gate>,
    /// When it was flushed last, or made, as [`SteadyMs`].
    last_ms: AtomicI64,
}

impl FlushGate {
    pub fn new(now: SteadyMs) -> Self {
        Self { inner: Mutex::default(), last_ms: AtomicI64::new(now.0) }
    }

    pub fn last(&self) -> SteadyMs {
        SteadyMs(self.last_ms.load(Ordering::Relaxed))
    }
}

#[derive(Debug, Default)]
struct Gate {
    running: bool,
    /// Asked for while one runs: it may have begun before the asker's records were there.
    again: bool,
    waiting: Vec<oneshot::Sender<()>>,
}

impl Partition {
    /// Asks for a flush of all that is appended so far, on a thread that may block. Returns at once.
    pub fn request_flush(self: &Arc<Self>) {
        {
            let mut gate = self.flush.inner.lock().unwrap_or_else(PoisonError::into_inner);
            if std::mem::replace(&mut gate.running, true) {
                gate.again = true;
                return;
            }
        }
        let partition = Arc::clone(self);
        self.context.runtime.spawn_blocking(move || partition.flush_until_done());
    }

    /// Resolves when all that is appended so far is flushed; to an error where it cannot be.
    pub fn flush_and_wait(self: &Arc<Self>) -> oneshot::Receiver<()> {
        let (done, receiver) = oneshot::channel();
        self.flush.inner.lock().unwrap_or_else(PoisonError::into_inner).waiting.push(done);
        self.request_flush();
        receiver
    }

    /// Flushes where `flush.messages` asks for it; whether nothing is owed any more. On a thread that may block.
    pub fn flush_what_is_owed(self: &Arc<Self>) -> bool {
        let owes = self.write_for(|writer, _| owes_flush(&writer.log));
        match owes.blocking_recv() {
            Ok(false) => true,
            Ok(true) => self.flush_all(),
            // The node stops.
            Err(_) => false,
        }
    }

    fn flush_until_done(self: &Arc<Self>) {
        loop {
            let waiting = {
                let mut gate = self.flush.inner.lock().unwrap_or_else(PoisonError::into_inner);
                gate.again = false;
                std::mem::take(&mut gate.waiting)
            };
            if self.flush_all() {
                // Whoever gave up waiting is no matter.
                for done in waiting {
                    let _ = done.send(());
                }
            }
            let mut gate = self.flush.inner.lock().unwrap_or_else(PoisonError::into_inner);
            if !gate.again && gate.waiting.is_empty() {
                gate.running = false;
                return;
            }
        }
    }

    /// Whether all that was there is flushed.
    fn flush_all(self: &Arc<Self>) -> bool {
        loop {
            let plan = self.write_for(|writer, _| (!writer.closed).then(|| writer.log.flush_plan()));
            // On a blocking thread: the writer is away for the length of a few appends at most.
            let Ok(Some(plan)) = plan.blocking_recv() else { return false };
            match plan.and_then(|plan| plan.run()) {
                Ok(ticket) => match self.note_flushed(ticket).blocking_recv() {
                    Ok(true) => return true,
                    Ok(false) => {}
                    Err(_) => return false,
                },
                Err(error) => {
                    self.storage_failed(&error);
                    return false;
                }
            }
        }
    }

    /// Takes note of what was flushed; whether the plan was still about this log. One from before a truncation proves
    /// nothing of what was appended after it, and there is a new one to make.
    pub(super) fn note_flushed(self: &Arc<Self>, ticket: FlushTicket) -> oneshot::Receiver<bool> {
        self.write_for(move |writer, partition| {
            let counts = writer.log.flushed(&ticket);
            partition.flushed(writer.log.flushed_offset());
            if counts {
                partition.flush.last_ms.store(clock::steady().0, Ordering::Relaxed);
                partition.dir.recovery_points_moved();
            }
            counts
        })
    }
}
