//! A client that connects anew again and again while something else happens to the node, and what it waits.
//!
//! Beside the node it asks an echo in this process, which tells what the machine takes to wake a thread.

use crate::node::Node;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

/// Between two fresh clients.
const PAUSE: Duration = Duration::from_millis(5);

#[derive(Debug, Default, Clone)]
pub struct Waits {
    pub worst: Duration,
    /// The echo's worst.
    pub echo: Duration,
    pub count: usize,
    refused: Option<String>,
}

impl Waits {
    /// Whether each was answered, and in time.
    pub fn judged(&self, within: Duration, share_of_echo: u32) -> Result<(), String> {
        if let Some(error) = &self.refused {
            return Err(format!("a fresh client is not answered: {error}"));
        }
        let bound = within + self.echo * share_of_echo;
        if self.worst <= bound {
            return Ok(());
        }
        Err(format!("a fresh client waited {:?}, which is more than {bound:?}", self.worst))
    }
}

pub struct Bystander<'scope> {
    stop: Arc<AtomicBool>,
    thread: ScopedJoinHandle<'scope, Waits>,
}

impl<'scope> Bystander<'scope> {
    pub fn watch<'env>(scope: &'scope Scope<'scope, 'env>, node: &'env Node) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        Self { stop, thread: scope.spawn(move || connect_until(node, &stopped)) }
    }

    /// What it waited so far; it ends.
    pub fn waits(self) -> Waits {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn connect_until(node: &Node, stop: &AtomicBool) -> Waits {
    let echo = Echo::start();
    let mut waits = Waits::default();
    loop {
        waits.echo = waits.echo.max(echo.round_trips());
        match node.fresh_client() {
            Ok(wait) => waits.worst = waits.worst.max(wait),
            Err(error) => {
                waits.refused.get_or_insert_with(|| error.to_string());
                return waits;
            }
        }
        waits.count += 1;
        if stop.load(Ordering::Relaxed) {
            return waits;
        }
        std::thread::sleep(PAUSE);
    }
}

/// Gives back each byte that it gets.
struct Echo(TcpListener);

impl Echo {
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let accepting = listener.try_clone().unwrap();
        std::thread::spawn(move || {
            for stream in accepting.incoming() {
                let Ok(mut stream) = stream else { return };
                let mut byte = [0];
                while stream.read_exact(&mut byte).is_ok() && byte != [0] {
                    let _ = stream.write_all(&byte);
                }
                if byte == [0] {
                    return;
                }
            }
        });
        Self(listener)
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.0.local_addr().unwrap()).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// A connection and two questions, as a fresh client has them.
    fn round_trips(&self) -> Duration {
        let begun = Instant::now();
        let mut stream = self.connect();
        for _ in 0..2 {
            let mut byte = [1];
            stream.write_all(&byte).unwrap();
            stream.read_exact(&mut byte).unwrap();
        }
        begun.elapsed()
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.connect().write_all(&[0]);
    }
}
