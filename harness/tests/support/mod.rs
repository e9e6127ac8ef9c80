//! A project of one test, driven by the command line: its own folder, its own ports, gone when dropped.

#![allow(dead_code, reason = "each test takes the part it needs")]

use serde_json::Value;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Once;
use std::time::{Duration, Instant};

/// Time in which anything that is waited for has to happen.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Longer than any of these programs takes on a slow machine.
const TOO_LONG: Duration = Duration::from_secs(20 * 60);

/// Prints its arguments, ends politely on SIGTERM, and fails at once where a file `crash` lies in its folder.
const STAND_IN: &str = "#!/bin/sh
trap 'echo asked to stop; exit 0' TERM
echo \"standing in: $*\"
[ -e crash ] && exit 3
while :; do sleep 0.1; done
";

/// One project.
pub struct Project {
    folder: tempfile::TempDir,
    name: String,
    runtime: &'static str,
    env: Vec<(&'static str, OsString)>,
    /// Host ports of its two nodes, where it has those of [`Project::of_brokers`].
    pub ports: Vec<u16>,
}

impl Project {
    /// A project with that compose file.
    pub fn new(name: &str, runtime: &'static str, text: &str) -> Self {
        bound_the_wait();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("compose.yml"), text).unwrap();
        Project { folder, name: format!("jd-{name}"), runtime, env: Vec::new(), ports: Vec::new() }
    }

    /// With a variable for its commands.
    pub fn with(mut self, variable: &'static str, value: impl Into<OsString>) -> Self {
        self.env.push((variable, value.into()));
        self
    }

    /// Two nodes `one` and `two` whose program is a stand-in that only runs.
    pub fn of_stand_ins(name: &str, restart: &str) -> Self {
        let project = Self::of_brokers(name);
        let script = project.path("stand-in");
        fs::write(&script, STAND_IN).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        project.write(restart, "");
        project.with("JACKDAW_BROKER", script)
    }

    /// The same two nodes as real brokers.
    pub fn of_brokers(name: &str) -> Self {
        let mut project = Self::new(name, "process", "");
        project.ports = jackdaw_scenario::ports::free_ports(2).unwrap();
        project.write("unless-stopped", "");
        project
    }

    /// Writes the compose file of the two nodes; `extra` goes into the environment of `two`.
    pub fn write(&self, restart: &str, extra: &str) {
        let mut text = String::from("volumes: {one: {}, two: {}}\nservices:\n");
        for (id, name) in ["one", "two"].iter().enumerate() {
            let port = self.ports[id];
            text += &format!(
                "  {name}:
    image: bitnami/kafka:3.7.0
    restart: {restart}
    ports: ['{port}:{port}']
    volumes: ['{name}:/bitnami/kafka']
    environment:
      KAFKA_KRAFT_CLUSTER_ID: HsDBs9l6UUmQq7Y5E6bNlw
      KAFKA_CFG_NODE_ID: {id}
      KAFKA_CFG_PROCESS_ROLES: controller,broker
      KAFKA_CFG_CONTROLLER_QUORUM_VOTERS: 0@one:9093,1@two:9093
      KAFKA_CFG_LISTENERS: PLAINTEXT://:9092,CONTROLLER://:9093,EXTERNAL://:{port}
      KAFKA_CFG_ADVERTISED_LISTENERS: PLAINTEXT://{name}:9092,EXTERNAL://localhost:{port}
      KAFKA_CFG_LISTENER_SECURITY_PROTOCOL_MAP: CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,EXTERNAL:PLAINTEXT
      KAFKA_CFG_CONTROLLER_LISTENER_NAMES: CONTROLLER
      KAFKA_CFG_INTER_BROKER_LISTENER_NAME: PLAINTEXT
"
            );
            if id == 1 {
                text += extra;
            }
        }
        self.write_text(&text);
    }

    /// Writes the compose file.
    pub fn write_text(&self, text: &str) {
        fs::write(self.path("compose.yml"), text).unwrap();
    }

    /// A path in the test's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where the runtime keeps this project.
    pub fn state(&self, name: &str) -> PathBuf {
        self.path("home").join(&self.name).join(name)
    }

    /// The command, ready to run.
    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_jackdaw"));
        command.args(["--runtime", self.runtime, "-p", &self.name]).args(line.split_whitespace());
        command.current_dir(self.folder.path()).env("JACKDAW_HOME", self.path("home"));
        command.env_remove("COMPOSE_FILE").stdin(Stdio::null());
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, line: &str) -> Output {
        self.command(line).output().unwrap()
    }

    /// Runs a command that has to succeed; what it printed.
    pub fn ok(&self, line: &str) -> String {
        let output = self.run(line);
        assert!(output.status.success(), "jackdaw {line}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// `ps -a` of one service.
    pub fn instance(&self, service: &str) -> Value {
        let all = self.ok("ps -a --format json");
        let mut all = all.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        all.find(|instance| instance["Service"] == service).unwrap_or(Value::Null)
    }

    /// Follows a service's log until it has a line with `text`.
    pub fn until_printed(&self, service: &str, text: &str) {
        let mut follow = self.command(&format!("logs -f {service}")).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(follow.stdout.take().unwrap()).lines();
        assert!(lines.map_while(Result::ok).any(|line| line.contains(text)), "{service} never says {text}");
        follow.kill().unwrap();
        follow.wait().unwrap();
    }

    /// Waits until a service is as wanted.
    pub fn until(&self, service: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let instance = self.instance(service);
            if wanted(&instance) {
                return instance;
            }
            assert!(Instant::now() < deadline, "{service} stays {instance}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Process id of a service's main process.
    pub fn pid(&self, service: &str) -> i32 {
        i32::try_from(self.instance(service)["Pid"].as_i64().expect("it runs")).unwrap()
    }
}

/// Something that is read until it ends may never do so: then this program fails, and holds up nothing else.
fn bound_the_wait() {
    static WATCH: Once = Once::new();
    WATCH.call_once(|| {
        std::thread::spawn(|| {
            std::thread::sleep(TOO_LONG);
            eprintln!("not done after {} minutes", TOO_LONG.as_secs() / 60);
            std::process::abort();
        });
    });
}

impl Drop for Project {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", said(&self.run("logs --tail 30")));
        }
        let _ = self.run("down -v -t 1 --remove-orphans");
    }
}

/// Everything that a command said.
pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Whether a process is gone (a zombie counts as gone).
pub fn is_gone(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with('Z'))
}

/// Waits until a process is gone.
pub fn until_gone(pid: i32) {
    let id = rustix::process::Pid::from_raw(pid).expect("a process id");
    // One that is gone already cannot be opened.
    let Ok(its_end) = rustix::process::pidfd_open(id, rustix::process::PidfdFlags::empty()) else { return };
    let mut awaited = [rustix::event::PollFd::new(&its_end, rustix::event::PollFlags::IN)];
    let ended = rustix::event::poll(&mut awaited, Some(&PATIENCE.try_into().unwrap())).unwrap();
    assert!(ended > 0, "process {pid} does not end");
}

/// Sends a signal.
pub fn signal(pid: i32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid).expect("a process id");
    rustix::process::kill_process(pid, signal).unwrap();
}
