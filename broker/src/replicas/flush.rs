//! Group commit: one flush of a partition at a time, and all that was appended meanwhile goes with the next.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use super::partition::Partition;

/// Whether a flush runs, and who waits for the next.
#[derive(Debug)]
pub(super) struct FlushGate {
    inner: Mutex<Gate>,
    /// When it was flushed last, or made.
    last_ms: AtomicI64,
}

impl FlushGate {
    pub fn new(now_ms: i64) -> Self {
        Self { inner: Mutex::default(), last_ms: AtomicI64::new(now_ms) }
    }

    pub fn last_ms(&self) -> i64 {
        self.last_ms.load(Ordering::Relaxed)
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

    /// Resolves when all that is appended so far is flushed, or cannot be.
    pub fn flush_and_wait(self: &Arc<Self>) -> oneshot::Receiver<()> {
        let (done, receiver) = oneshot::channel();
        self.flush.inner.lock().unwrap_or_else(PoisonError::into_inner).waiting.push(done);
        self.request_flush();
        receiver
    }

    fn flush_until_done(self: &Arc<Self>) {
        loop {
            let waiting = {
                let mut gate = self.flush.inner.lock().unwrap_or_else(PoisonError::into_inner);
                gate.again = false;
                std::mem::take(&mut gate.waiting)
            };
            self.flush_once();
            // Whoever gave up waiting is no matter.
            for done in waiting {
                let _ = done.send(());
            }
            let mut gate = self.flush.inner.lock().unwrap_or_else(PoisonError::into_inner);
            if !gate.again && gate.waiting.is_empty() {
                gate.running = false;
                return;
            }
        }
    }

    fn flush_once(self: &Arc<Self>) {
        let plan = self.write_for(|writer, _| (!writer.closed).then(|| writer.log.flush_plan()));
        // On a blocking thread: the writer is away for the length of a few appends at most.
        let Ok(Some(plan)) = plan.blocking_recv() else { return };
        let outcome = plan.and_then(|plan| {
            let up_to = plan.up_to();
            plan.run().map(|ticket| (ticket, up_to))
        });
        match outcome {
            Ok((ticket, up_to)) => {
                self.write(move |writer, partition| {
                    writer.log.flushed(&ticket);
                    // A truncation meanwhile may have taken back what the plan was about.
                    partition.flushed(up_to.min(writer.log.log_end_offset()));
                });
                self.flush.last_ms.store(super::now_ms(), Ordering::Relaxed);
                self.dir.recovery_points_moved();
            }
            Err(error) => self.storage_failed(&error),
        }
    }
}
