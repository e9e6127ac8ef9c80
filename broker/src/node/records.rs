//! Where records are served: the connections of a broker's listeners, its partitions and its coordinators.
//!
//! What keeps the node a member of its cluster has the runtime that it was started on to itself: the quorum, the
//! controller, registration and heartbeats, the loader, everything that accepts. No client's work and no slow disk is
//! in front of it.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

/// Threads for files, and for what takes long. Each may wait for a disk, and has a stack.
const BLOCKING_THREADS: usize = 64;

/// A runtime that is given up, not waited for, when it is dropped.
pub struct RecordsRuntime(Option<Runtime>, Handle);

impl RecordsRuntime {
    pub fn start() -> io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        builder.enable_all().thread_name("jackdaw-records").max_blocking_threads(BLOCKING_THREADS);
        let runtime = builder.build()?;
        let handle = runtime.handle().clone();
        Ok(Self(Some(runtime), handle))
    }

    pub fn handle(&self) -> &Handle {
        &self.1
    }
}

impl Drop for RecordsRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // Whatever still runs has nothing left to save.
            runtime.shutdown_background();
        }
    }
}
