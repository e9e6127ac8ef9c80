//! The supervisor of one project: owns its processes, serves its control socket, keeps `state.json`.
//!
//! It runs on the main thread of its process: the death signal of a child is tied to the thread that made
//! it (prctl(2), PR_SET_PDEATHSIG), and the main thread lives as long as the process. Connections are
//! carried by a second thread.

use super::instance::{self, Changed, InstanceHandle, Order, Saved, Surroundings};
use super::paths::{ProjectDir, short_socket};
use super::protocol::{Event, Reply, Request};
use crate::interrupt::Interrupts;
use rustix::fs::FlockOperation;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{RwLock, broadcast, mpsc};

/// Line on standard output that tells the starter that commands are accepted.
pub const READY: &str = "ready";

const LOCK_ATTEMPTS: u32 = 10;
const LOCK_REST: Duration = Duration::from_millis(10);

/// Everything that survives a supervisor, written whole at every change.
#[derive(Debug)]
struct StateFile {
    dir: ProjectDir,
    all: Mutex<BTreeMap<String, Saved>>,
}

impl Changed for StateFile {
    fn changed(&self, name: &str, saved: Option<&Saved>) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        match saved {
            Some(saved) => drop(all.insert(name.to_owned(), saved.clone())),
            None => drop(all.remove(name)),
        }
        if let Err(error) = write_state(&self.dir, &all) {
            narrate(&format!("{}: {error}", self.dir.state().display()));
        }
    }
}

/// Reads what the last supervisor kept.
pub fn read_state(dir: &ProjectDir) -> BTreeMap<String, Saved> {
    let text = fs::read_to_string(dir.state()).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// Replaces what the next supervisor will find.
///
/// # Errors
/// As the file system says.
pub fn write_state(dir: &ProjectDir, all: &BTreeMap<String, Saved>) -> io::Result<()> {
    let part = dir.state().with_extension("part");
    fs::write(&part, serde_json::to_vec(all)?)?;
    fs::rename(part, dir.state())
}

/// The lock that says that a supervisor lives; `None` while another process holds it.
///
/// # Errors
/// When the lock file cannot be opened.
pub fn try_lock(dir: &ProjectDir) -> io::Result<Option<File>> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).read(true).open(dir.lock())?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// As [`try_lock`]; a command that looks whether a supervisor lives holds the lock for an instant.
fn patient_lock(dir: &ProjectDir) -> io::Result<Option<File>> {
    for _ in 0..LOCK_ATTEMPTS {
        if let Some(lock) = try_lock(dir)? {
            return Ok(Some(lock));
        }
        std::thread::sleep(LOCK_REST);
    }
    Ok(None)
}

fn narrate(text: &str) {
    eprintln!("{} {text}", crate::clock::rfc3339(crate::clock::now_ns()));
}

struct Supervisor {
    around: Surroundings,
    instances: RwLock<BTreeMap<String, Arc<InstanceHandle>>>,
    quit: mpsc::Sender<()>,
}

/// Runs the supervisor of the project in `root` until it is told to quit. `guard` is put before every
/// command that it starts.
///
/// # Errors
/// When another supervisor holds the project, or its folder cannot be used.
pub fn run(root: &Path, guard: Vec<String>) -> io::Result<()> {
    let dir = ProjectDir::at(root.to_owned());
    let Some(mut lock) = patient_lock(&dir)? else {
        return Err(io::Error::other(format!("another supervisor holds {}", root.display())));
    };
    // A session of its own: the terminal's Ctrl-C is the launcher's business.
    let _ = rustix::process::setsid();
    lock.set_len(0)?;
    write!(lock, "{}", std::process::id())?;
    let carriers = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("forward")
        .enable_all()
        .build()?;
    let forwarding = carriers.handle().clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(dir, guard, forwarding))?;
    carriers.shutdown_background();
    Ok(())
}

async fn serve(dir: ProjectDir, guard: Vec<String>, forwarding: tokio::runtime::Handle) -> io::Result<()> {
    let saved = read_state(&dir);
    let state = Arc::new(StateFile { dir: dir.clone(), all: Mutex::new(saved.clone()) });
    let (events, _) = broadcast::channel(256);
    let around = Surroundings { guard, forwarding, events, dir: dir.clone(), changed: state };
    let mut instances = BTreeMap::new();
    for (name, mut saved) in saved {
        settle(&mut saved);
        instances.insert(name, Arc::new(instance::spawn(saved, around.clone())?));
    }
    let (quit, mut quitting) = mpsc::channel(1);
    let supervisor = Arc::new(Supervisor { around, instances: RwLock::new(instances), quit });

    let (_folder, socket) = short_socket(&dir.socket())?;
    let _ = fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket)?;
    let mut interrupts = Interrupts::listen()?;
    println!("{READY}");
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(tokio::spawn(answer(Arc::clone(&supervisor), stream))),
                Err(error) => narrate(&format!("control socket: {error}")),
            },
            () = interrupts.next() => break,
            _ = quitting.recv() => break,
        }
    }
    supervisor.stop_all().await;
    let _ = fs::remove_file(&socket);
    Ok(())
}

/// What a predecessor left: its processes died with it, or are ended now.
fn settle(saved: &mut Saved) {
    if let Some(pid) = instance::leftover(saved) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
    buried(saved);
}

/// The state of an instance whose supervisor is gone.
pub fn buried(saved: &mut Saved) {
    if saved.seen.state.is_live() {
        saved.seen.state = crate::model::State::Exited;
        saved.seen.exit_code = Some(137);
        saved.seen.error = Some("its supervisor is gone".into());
    }
    saved.seen.pid = None;
    saved.seen.health = None;
    saved.seen.ports.clear();
    saved.pid_started = None;
}

async fn answer(supervisor: Arc<Supervisor>, stream: UnixStream) {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    if !matches!(BufReader::new(read).read_line(&mut line).await, Ok(1..)) {
        return;
    }
    let reply = match serde_json::from_str(&line) {
        Ok(Request::Events) => {
            let mut events = supervisor.around.events.subscribe();
            let mut said = say(&mut write, &Reply::Done).await;
            while said.is_ok() {
                said = match events.recv().await {
                    Ok(event) => say(&mut write, &Reply::Event(event)).await,
                    // A reader that fell behind misses the oldest, never the last: it then asks for the state.
                    Err(RecvError::Lagged(_)) => Ok(()),
                    Err(RecvError::Closed) => return,
                };
            }
            return;
        }
        Ok(request) => supervisor.obey(request).await,
        Err(error) => Reply::Refused { why: format!("not understood: {error}") },
    };
    // A caller that hung up does not want to know.
    let _ = say(&mut write, &reply).await;
}

async fn say(write: &mut (impl tokio::io::AsyncWrite + Unpin), reply: &Reply) -> io::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    write.write_all(&line).await
}

impl Supervisor {
    async fn obey(&self, request: Request) -> Reply {
        let done = match request {
            Request::List | Request::Events => return self.list().await,
            Request::Create(spec) => self.create(*spec).await,
            Request::Start { name } => self.order(&name, Order::Start).await,
            Request::Stop { name, grace_ms } => self.order(&name, Order::Stop { grace_ms }).await,
            Request::Kill { name, signal } => self.order(&name, Order::Kill { signal }).await,
            Request::Pause { name } => self.order(&name, Order::Pause).await,
            Request::Unpause { name } => self.order(&name, Order::Unpause).await,
            Request::Remove { name } => {
                let removed = self.order(&name, Order::Remove).await;
                self.instances.write().await.remove(&name);
                removed
            }
            Request::Quit => {
                if !self.instances.read().await.is_empty() {
                    return Reply::Refused { why: "there are instances left".into() };
                }
                let _ = self.quit.send(()).await;
                Ok(())
            }
        };
        done.map_or_else(|why| Reply::Refused { why }, |()| Reply::Done)
    }

    async fn list(&self) -> Reply {
        let mut instances: Vec<_> =
            self.instances.read().await.values().map(|handle| handle.seen.borrow().seen.clone()).collect();
        instances.sort_by_key(|instance| instance.created_ms);
        Reply::Instances { instances }
    }

    async fn create(&self, spec: super::protocol::InstanceSpec) -> Result<(), String> {
        let mut instances = self.instances.write().await;
        if instances.contains_key(&spec.name) {
            return Err(format!("{} is there already", spec.name));
        }
        let name = spec.name.clone();
        // What its predecessor of that name printed went with it.
        super::logs::remove(&self.around.dir.log(&name)).map_err(|error| error.to_string())?;
        let handle =
            instance::spawn(instance::fresh(spec), self.around.clone()).map_err(|error| error.to_string())?;
        instances.insert(name, Arc::new(handle));
        Ok(())
    }

    async fn order(&self, name: &str, order: Order) -> Result<(), String> {
        let handle = self.instances.read().await.get(name).cloned();
        handle.ok_or_else(|| format!("there is no {name}"))?.order(order).await
    }

    async fn stop_all(&self) {
        let handles: Vec<_> = self.instances.read().await.values().cloned().collect();
        let stops = handles.iter().map(|handle| handle.order(Order::Stop { grace_ms: None }));
        futures_util::future::join_all(stops).await;
    }
}

/// The supervisor's process id, as the holder of the lock wrote it.
pub fn pid(dir: &ProjectDir) -> Option<i32> {
    fs::read_to_string(dir.lock()).ok()?.trim().parse().ok()
}

/// What an event stream yields.
pub fn event(reply: Reply) -> Option<Event> {
    match reply {
        Reply::Event(event) => Some(event),
        _ => None,
    }
}
