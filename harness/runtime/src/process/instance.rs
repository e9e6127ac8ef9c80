//! One instance under supervision: a task that owns the child process, its ports, its log and its
//! restart policy.
//!
//! It knows nothing of Kafka and nothing of other instances.

use super::forward::Forwarding;
use super::health::{FIRST_MS, Health, probe};
use super::holder;
use super::logs::{LogWriter, ROTATE_AT_BYTES};
use super::protocol::{Event, Happening, InstanceSpec};
use super::restart::Restarts;
use crate::clock;
use crate::logline::Stream;
use crate::model::{BoundPort, Instance, State};
use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

/// What outlives a supervisor.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Saved {
    /// The instance as it was created.
    pub spec: InstanceSpec,
    /// Its state when last seen.
    pub seen: Instance,
    /// Start time of `seen.pid`, in clock ticks since boot.
    pub pid_started: Option<u64>,
}

/// What an instance is asked to do; the sender hears when it is done, or why not.
#[derive(Debug)]
pub enum Order {
    /// Start, by hand.
    Start,
    /// Stop within the grace period.
    Stop {
        /// Another grace period than the spec's.
        grace_ms: Option<u64>,
    },
    /// Send a signal.
    Kill {
        /// Its number.
        signal: i32,
    },
    /// Freeze it.
    Pause,
    /// Let it go on.
    Unpause,
    /// Kill and end the task.
    Remove,
}

/// How long the end of what a process printed is waited for after its exit: something that it left behind may hold its
/// output open.
const LAST_WORDS: Duration = Duration::from_millis(500);

type Answer = oneshot::Sender<Result<(), String>>;

/// The way to an instance's task.
#[derive(Debug)]
pub struct InstanceHandle {
    orders: mpsc::Sender<(Order, Answer)>,
    /// Its state.
    pub seen: watch::Receiver<Saved>,
}

impl InstanceHandle {
    /// Gives an order and waits until it is done.
    ///
    /// # Errors
    /// Why it was not done.
    pub async fn order(&self, order: Order) -> Result<(), String> {
        let (answer, done) = oneshot::channel();
        let gone = || "the instance is gone".to_owned();
        self.orders.send((order, answer)).await.map_err(|_| gone())?;
        done.await.map_err(|_| gone())?
    }
}

/// What all instances of a supervisor share.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// Words put before every command: the guard that lets no child outlive the supervisor.
    pub guard: Vec<String>,
    /// Where connections are carried.
    pub forwarding: tokio::runtime::Handle,
    /// Where events are told.
    pub events: broadcast::Sender<Event>,
    /// Folder of the project, for the log.
    pub dir: super::paths::ProjectDir,
    /// Told after each change of a [`Saved`].
    pub changed: Arc<dyn Changed>,
}

/// Hears of every change before anybody else does.
pub trait Changed: Send + Sync + std::fmt::Debug {
    /// The instance is now this; `None`: it is gone.
    fn changed(&self, name: &str, saved: Option<&Saved>);
}

struct Task {
    saved: Saved,
    publish: watch::Sender<Saved>,
    around: Surroundings,
    log: Arc<Mutex<LogWriter>>,
    child: Option<Child>,
    output: JoinSet<()>,
    forwarding: Option<Forwarding>,
    restarts: Restarts,
    started: Instant,
    by_hand: bool,
    restart_at: Option<Instant>,
    kill_at: Option<Instant>,
    waiting: Vec<Answer>,
    health: Health,
    check_at: Option<Instant>,
    check: Option<JoinHandle<(bool, String)>>,
}

/// Makes an instance's task; nothing is started yet.
///
/// # Errors
/// When its log cannot be opened.
pub fn spawn(saved: Saved, around: Surroundings) -> std::io::Result<InstanceHandle> {
    let log = LogWriter::open(&around.dir.log(&saved.spec.name), ROTATE_AT_BYTES)?;
    let (orders, inbox) = mpsc::channel(16);
    let (publish, seen) = watch::channel(saved.clone());
    let task = Task {
        saved,
        publish,
        around,
        log: Arc::new(Mutex::new(log)),
        child: None,
        output: JoinSet::new(),
        forwarding: None,
        restarts: Restarts::default(),
        started: Instant::now(),
        by_hand: false,
        restart_at: None,
        kill_at: None,
        waiting: Vec::new(),
        health: Health::default(),
        check_at: None,
        check: None,
    };
    task.tell();
    tokio::spawn(task.run(inbox));
    Ok(InstanceHandle { orders, seen })
}

/// The state of an instance that was just created.
pub fn fresh(spec: InstanceSpec) -> Saved {
    let command = spec.command.join(" ");
    let seen = Instance {
        id: spec.name.clone(),
        name: spec.name.clone(),
        service: spec.service.clone(),
        image: spec.image.clone(),
        state: State::Created,
        exit_code: None,
        health: None,
        hash: Some(spec.hash.clone()),
        created_ms: spec.created_ms,
        started_ms: None,
        finished_ms: None,
        restarts: 0,
        ports: Vec::new(),
        publishes: bound_ports(&spec),
        address: Some(spec.address),
        pid: None,
        error: None,
        command,
    };
    Saved { spec, seen, pid_started: None }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

async fn exit_of(child: &mut Option<Child>) -> std::io::Result<ExitStatus> {
    match child {
        Some(child) => child.wait().await,
        None => std::future::pending().await,
    }
}

async fn outcome_of(check: &mut Option<JoinHandle<(bool, String)>>) -> (bool, String) {
    match check {
        Some(check) => check.await.unwrap_or_else(|error| (false, error.to_string())),
        None => std::future::pending().await,
    }
}

impl Task {
    async fn run(mut self, mut inbox: mpsc::Receiver<(Order, Answer)>) {
        loop {
            tokio::select! {
                order = inbox.recv() => match order {
                    Some((Order::Remove, answer)) => return self.remove(answer).await,
                    Some((order, answer)) => self.obey(order, answer).await,
                    None => return,
                },
                status = exit_of(&mut self.child) => self.exited(status.ok()).await,
                () = until(self.restart_at) => {
                    self.restart_at = None;
                    if let Err(why) = self.start().await {
                        self.could_not_start(&why);
                    }
                }
                () = until(self.kill_at) => {
                    self.kill_at = None;
                    self.signal(Signal::KILL);
                }
                () = until(self.check_at) => {
                    self.check_at = None;
                    let probed = |spec| tokio::spawn(probe(spec, self.around.guard.clone()));
                    self.check = self.saved.spec.health.clone().map(probed);
                }
                (passed, said) = outcome_of(&mut self.check) => {
                    self.check = None;
                    self.checked(passed, &said);
                }
            }
        }
    }

    async fn obey(&mut self, order: Order, answer: Answer) {
        match order {
            Order::Start if self.child.is_some() => drop(answer.send(Ok(()))),
            Order::Start => {
                self.by_hand = false;
                self.restarts = Restarts::default();
                self.saved.seen.restarts = 0;
                self.restart_at = None;
                let started = self.start().await;
                if let Err(why) = &started {
                    self.could_not_start(why);
                }
                let _ = answer.send(started);
            }
            Order::Stop { grace_ms } => {
                self.by_hand = true;
                if self.child.is_none() {
                    self.stay_down();
                    let _ = answer.send(Ok(()));
                    return;
                }
                let grace = Duration::from_millis(grace_ms.unwrap_or(self.saved.spec.stop_grace_ms));
                let signal = Signal::from_named_raw(self.saved.spec.stop_signal).unwrap_or(Signal::TERM);
                self.signal(signal);
                // A frozen one hears of it when it goes on.
                self.unpause();
                self.kill_at = Some(Instant::now() + grace);
                self.waiting.push(answer);
            }
            Order::Kill { signal } => {
                // moby's containerKill: whatever the signal, what dies of it stays down.
                self.by_hand = true;
                let Some(signal) = Signal::from_named_raw(signal) else {
                    let _ = answer.send(Err(format!("{signal} is not a signal")));
                    return;
                };
                if self.child.is_none() {
                    self.stay_down();
                    let _ = answer.send(Err(format!("{} is not running", self.saved.spec.name)));
                    return;
                }
                self.signal(signal);
                self.unpause();
                if signal == Signal::KILL {
                    self.waiting.push(answer);
                } else {
                    let _ = answer.send(Ok(()));
                }
            }
            Order::Pause => {
                let _ = answer.send(self.pause());
            }
            Order::Unpause => {
                let done = self.unpause();
                let _ = answer.send(done.ok_or_else(|| format!("{} is not paused", self.saved.spec.name)));
            }
            Order::Remove => {}
        }
    }

    /// Freezes it. Its health is not asked for meanwhile.
    fn pause(&mut self) -> Result<(), String> {
        if self.saved.seen.state != State::Running {
            return Err(format!("{} is not running", self.saved.spec.name));
        }
        self.signal_all(Signal::STOP);
        self.saved.seen.state = State::Paused;
        self.check_at = None;
        if let Some(check) = self.check.take() {
            check.abort();
        }
        self.tell();
        Ok(())
    }

    /// Lets it go on, if it is frozen.
    fn unpause(&mut self) -> Option<()> {
        if self.saved.seen.state != State::Paused {
            return None;
        }
        self.signal_all(Signal::CONT);
        self.saved.seen.state = State::Running;
        self.check_at =
            self.saved.spec.health.as_ref().map(|_| Instant::now() + Duration::from_millis(FIRST_MS));
        self.tell();
        Some(())
    }

    async fn remove(mut self, answer: Answer) {
        self.by_hand = true;
        if self.child.is_some() {
            self.signal(Signal::KILL);
            let status = exit_of(&mut self.child).await;
            self.exited(status.ok()).await;
        }
        self.around.changed.changed(&self.saved.spec.name, None);
        self.event(Happening::Removed);
        let _ = answer.send(Ok(()));
    }

    async fn start(&mut self) -> Result<(), String> {
        let forwarding = Forwarding::open(&self.saved.spec.forwards, &self.around.forwarding)
            .await
            .map_err(|(address, error)| port_refusal(address, &error))?;
        let mut words = self.around.guard.iter().chain(&self.saved.spec.command);
        let program = words.next().ok_or_else(|| "there is no command to run".to_owned())?;
        let mut command = Command::new(program);
        command
            .args(words)
            .env_clear()
            .envs(&self.saved.spec.env)
            .current_dir(&self.saved.spec.cwd)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if self.saved.spec.starts_others {
            command.process_group(0);
        }
        let mut child = command.spawn().map_err(|error| format!("{program}: {error}"))?;
        if let Some(stream) = child.stdout.take() {
            self.output.spawn(keep(stream, Stream::Out, Arc::clone(&self.log)));
        }
        if let Some(stream) = child.stderr.take() {
            self.output.spawn(keep(stream, Stream::Err, Arc::clone(&self.log)));
        }
        let seen = &mut self.saved.seen;
        seen.pid = child.id().map(|pid| pid as i32);
        seen.state = State::Running;
        seen.started_ms = Some(clock::now_ms());
        seen.error = None;
        self.health = Health::default();
        seen.health = self.saved.spec.health.as_ref().map(|_| self.health.word().to_owned());
        self.check_at =
            self.saved.spec.health.as_ref().map(|_| Instant::now() + Duration::from_millis(FIRST_MS));
        seen.ports = bound_ports(&self.saved.spec);
        self.saved.pid_started = seen.pid.and_then(holder::start_time);
        self.child = Some(child);
        self.forwarding = Some(forwarding);
        self.started = Instant::now();
        self.tell();
        self.event(Happening::Started);
        Ok(())
    }

    async fn exited(&mut self, status: Option<ExitStatus>) {
        // As a shell has it, and Docker: 128 + n for signal n.
        let code = status
            .and_then(|status| status.code().or_else(|| status.signal().map(|signal| 128 + signal)))
            .map_or(255, i64::from);
        let ran_ms = self.started.elapsed().as_millis() as u64;
        if self.saved.spec.starts_others {
            self.end_the_others();
        }
        // Whoever hears of the exit finds the reason in the log.
        let told = async { while self.output.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(LAST_WORDS, told).await;
        self.output.detach_all();
        self.child = None;
        self.check_at = None;
        if let Some(check) = self.check.take() {
            check.abort();
        }
        if let Some(forwarding) = self.forwarding.take() {
            forwarding.close().await;
        }
        self.kill_at = None;
        let delay_ms = self.restarts.after_exit(self.saved.spec.restart, code, ran_ms, self.by_hand);
        self.restart_at = delay_ms.map(|delay| Instant::now() + Duration::from_millis(delay));
        let seen = &mut self.saved.seen;
        seen.state = if delay_ms.is_some() { State::Restarting } else { State::Exited };
        seen.restarts = self.restarts.count;
        seen.exit_code = Some(code);
        seen.finished_ms = Some(clock::now_ms());
        seen.pid = None;
        seen.health = None;
        seen.ports.clear();
        self.saved.pid_started = None;
        self.tell();
        self.event(Happening::Exited { code, restarting: delay_ms.is_some() });
        for answer in self.waiting.drain(..) {
            let _ = answer.send(Ok(()));
        }
    }

    fn could_not_start(&mut self, why: &str) {
        self.note(why);
        let seen = &mut self.saved.seen;
        seen.error = Some(why.to_owned());
        seen.exit_code = Some(128);
        seen.state = State::Exited;
        self.tell();
        self.event(Happening::Exited { code: 128, restarting: false });
    }

    fn stay_down(&mut self) {
        self.restart_at = None;
        if self.saved.seen.state == State::Restarting {
            self.saved.seen.state = State::Exited;
            self.tell();
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = self.child.as_ref().and_then(Child::id).and_then(|pid| Pid::from_raw(pid as i32));
        if let Some(pid) = pid {
            // It may have ended meanwhile; its exit is what is waited for.
            // As in a container, the first one hands on what asks it to stop, and all end with it.
            let _ = match self.saved.spec.starts_others && signal == Signal::KILL {
                true => rustix::process::kill_process_group(pid, signal),
                false => rustix::process::kill_process(pid, signal),
            };
        }
    }

    /// To all of its processes.
    fn signal_all(&self, signal: Signal) {
        match self.saved.seen.pid.and_then(Pid::from_raw) {
            Some(group) if self.saved.spec.starts_others => {
                let _ = rustix::process::kill_process_group(group, signal);
            }
            _ => self.signal(signal),
        }
    }

    /// A container's processes end with its first one.
    fn end_the_others(&self) {
        if let Some(group) = self.saved.seen.pid.and_then(Pid::from_raw) {
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
    }

    fn checked(&mut self, passed: bool, said: &str) {
        let Some(spec) = &self.saved.spec.health else { return };
        let since_start_ms = self.started.elapsed().as_millis() as u64;
        let next_ms = self.health.after(spec, passed, since_start_ms);
        self.check_at = Some(Instant::now() + Duration::from_millis(next_ms));
        let word = self.health.word();
        if self.saved.seen.health.as_deref() != Some(word) {
            if word == "unhealthy" {
                self.note(&format!("unhealthy: {}", said.lines().last().unwrap_or("its healthcheck fails")));
            }
            self.saved.seen.health = Some(word.to_owned());
            self.tell();
        }
    }

    fn note(&self, text: &str) {
        let line = format!("jackdaw: {text}");
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = log.write(Stream::Err, line.as_bytes());
    }

    fn tell(&self) {
        self.around.changed.changed(&self.saved.spec.name, Some(&self.saved));
        self.publish.send_replace(self.saved.clone());
    }

    fn event(&self, what: Happening) {
        // Nobody listening is no error.
        let _ = self.around.events.send(Event { name: self.saved.spec.name.clone(), what });
    }
}

fn port_refusal(address: std::net::SocketAddr, error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => format!("{address} is taken by {}", holder::told(address)),
        _ => format!("{address}: {error}"),
    }
}

fn bound_ports(spec: &InstanceSpec) -> Vec<BoundPort> {
    // Those on its own address are for whoever runs beside it.
    let published = spec.forwards.iter().filter(|forward| forward.from.ip() != spec.address);
    let bound = published.map(|forward| BoundPort {
        ip: forward.from.ip(),
        published: forward.from.port(),
        target: forward.to.port(),
        protocol: "tcp".into(),
    });
    bound.collect()
}

async fn keep(stream: impl AsyncRead + Unpin, kind: Stream, log: Arc<Mutex<LogWriter>>) {
    let mut lines = BufReader::with_capacity(64 * 1024, stream);
    let mut line = Vec::new();
    while let Ok(read) = lines.read_until(b'\n', &mut line).await {
        if read == 0 {
            return;
        }
        // A full disk must not stop the program whose output this is.
        let _ = log.lock().unwrap_or_else(PoisonError::into_inner).write(kind, &line);
        line.clear();
    }
}

/// The pid file's content of a run that may still be alive.
pub fn leftover(saved: &Saved) -> Option<Pid> {
    let (pid, started) = (saved.seen.pid?, saved.pid_started?);
    holder::is_alive(pid, started).then(|| Pid::from_raw(pid)).flatten()
}

/// Where an instance's unnamed data lies.
pub fn data_dir(dir: &super::paths::ProjectDir, name: &str) -> PathBuf {
    dir.instance(name).join("data")
}
