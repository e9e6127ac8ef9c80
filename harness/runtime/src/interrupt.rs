//! Ctrl-C and SIGTERM, which ask for the same: end what was begun, then the program.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Hears both from the moment it is made: one that comes while nobody waits is kept for who waits next. A listener made
/// only where it is waited for would miss what came just before, and nothing else answers then: once listened for, a
/// signal no longer ends the program.
#[derive(Debug)]
pub struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    /// From here on.
    ///
    /// # Errors
    /// When the system refuses the handler.
    pub fn listen() -> io::Result<Self> {
        Ok(Interrupts {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// The next one.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
