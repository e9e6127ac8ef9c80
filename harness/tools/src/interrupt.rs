//! Ctrl-C and SIGTERM for tools that run until then: they are told, and get a moment to say good-bye.

use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

static SIGNAL: AtomicI32 = AtomicI32::new(0);
/// How long a tool that was told may take to end; it may be waiting for a broker that does not answer.
const GRACE: Duration = Duration::from_secs(3);

/// From now on SIGINT and SIGTERM are kept for [`code`]; if the tool does not end then, `last_words` are its end.
pub fn listen(last_words: impl FnOnce() + Send + 'static) {
    std::thread::spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        let number = runtime.block_on(async {
            let (Ok(mut int), Ok(mut term)) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
            else {
                return 0;
            };
            tokio::select! { _ = int.recv() => 2, _ = term.recv() => 15 }
        });
        if number == 0 {
            return;
        }
        SIGNAL.store(number, Ordering::SeqCst);
        std::thread::sleep(GRACE);
        last_words();
        std::process::exit(128 + number);
    });
}

/// The exit code that a signal asks for, if one came.
pub fn code() -> Option<i32> {
    match SIGNAL.load(Ordering::SeqCst) {
        0 => None,
        number => Some(128 + number),
    }
}
