//! `kafka-server-start.sh` and `kafka-server-stop.sh`: the broker of this program, started and stopped by the script's
//! words.

use crate::cli::{KAFKA_VERSION, Stop, end, uncaught};
use crate::jopt::{self, Given, HELP, Opt};
use crate::properties;
use crate::{errln, outln, print};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

const OPTIONS: &[Opt] = &[
    Opt::text("override", "", "Optional property that should override values set in server.properties file"),
    Opt::flag("version", "Print version information and exit."),
    Opt { text: "Print usage information.", ..HELP },
];
/// This program, also after its file was replaced.
const ITSELF: &str = "/proc/self/exe";

/// Starts a broker in the foreground, or with `-daemon` behind the back of the caller.
pub fn start(args: &[String]) -> i32 {
    let (daemon, args) = match args.split_first() {
        Some((first, rest)) if first == "-daemon" => (true, rest),
        _ => (false, args),
    };
    if args.is_empty() {
        outln!("USAGE: kafka-server-start.sh [-daemon] server.properties [--override property=value]*");
        return 1;
    }
    let mut options = Vec::new();
    let usage = "USAGE: java [options] KafkaServer server.properties [--override property=value]*";
    if args.iter().any(|word| word == "--help") {
        return end(OPTIONS, Err(Stop::Usage(usage.to_owned())), uncaught);
    }
    if args.iter().any(|word| word == "--version") {
        outln!("{KAFKA_VERSION}");
        return 0;
    }
    match jopt::parse(OPTIONS, &args[1..]).map_err(Stop::from).and_then(|given| overrides(&given)) {
        Ok(settings) => {
            settings.into_iter().for_each(|setting| options.extend(["--override".to_owned(), setting]))
        }
        Err(stop) => return end(OPTIONS, Err(stop), uncaught),
    }
    let mut broker = Command::new(ITSELF);
    broker.arg0("jackdaw").arg("broker").args(options).arg(&args[0]);
    if let Some(hosts) = std::env::var_os(jackdaw_beside::HOSTS) {
        broker.arg("--hosts").arg(hosts);
    }
    print::flush();
    if daemon { detach(broker) } else { failed(&broker.exec()) }
}

fn failed(error: &std::io::Error) -> i32 {
    errln!("the broker cannot be run: {error}");
    1
}

fn overrides(given: &Given) -> Result<Vec<String>, Stop> {
    if !given.words.is_empty() {
        return Err(Stop::Usage(format!("Found non argument parameters: {}", given.words.join(","))));
    }
    Ok(properties::pairs(&given.values("override"))
        .into_iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect())
}

/// As `kafka-run-class.sh -daemon -name kafkaServer`: what it prints goes to `$LOG_DIR/kafkaServer.out`.
fn detach(mut broker: Command) -> i32 {
    let folder = std::env::var("LOG_DIR").unwrap_or_else(|_| "/tmp/jackdaw-logs".to_owned());
    let file = fs::create_dir_all(&folder)
        .and_then(|()| fs::File::create(Path::new(&folder).join("kafkaServer.out")));
    let said = file.and_then(|file| Ok((file.try_clone()?, file)));
    let (stdout, stderr) = match said {
        Ok(files) => files,
        Err(error) => return failed(&error),
    };
    let started = broker.process_group(0).stdin(Stdio::null()).stdout(stdout).stderr(stderr).spawn();
    started.err().map_or(0, |error| failed(&error))
}

/// A broker that runs.
struct Running {
    pid: i32,
    properties: String,
}

/// Stops brokers: all, or those of one node id or role.
pub fn stop(args: &[String]) -> i32 {
    let wanted =
        |name: &str| args.iter().find_map(|word| word.strip_prefix(name)).filter(|value| !value.is_empty());
    let (role, node) = (wanted("--process-role="), wanted("--node-id="));
    if role.is_some() && node.is_some() {
        outln!("When both node-id and process-role are provided, the value for node-id will take precedence");
    }
    let running = running();
    if running.is_empty() {
        outln!("No kafka server to stop");
        return 1;
    }
    let signal = std::env::var("SIGNAL").unwrap_or_else(|_| "TERM".to_owned());
    let Some(signal) = named(&signal) else {
        errln!("{signal}: no such signal");
        return 1;
    };
    let mut code = 0;
    for broker in running {
        let properties = properties::load(&broker.properties).unwrap_or_default();
        let is = |key: &str, value: &str| properties.get(key).is_some_and(|set| set.trim() == value);
        let meant = match (node, role) {
            (Some(node), _) => is("node.id", node),
            (None, Some(role)) => is("process.roles", role),
            (None, None) => true,
        };
        if !meant {
            continue;
        }
        let sent = Pid::from_raw(broker.pid).map(|pid| kill_process(pid, signal));
        if let Some(Err(error)) = sent {
            errln!("kill: ({}) - {error}", broker.pid);
            code = 1;
        }
    }
    code
}

fn named(signal: &str) -> Option<Signal> {
    Some(match signal.trim_start_matches("SIG") {
        "HUP" | "1" => Signal::HUP,
        "INT" | "2" => Signal::INT,
        "QUIT" | "3" => Signal::QUIT,
        "KILL" | "9" => Signal::KILL,
        "TERM" | "15" => Signal::TERM,
        _ => return None,
    })
}

/// The brokers of this machine, or of this container. Beside a service of the process runtime, which shares the
/// machine with others, only that service's own.
fn running() -> Vec<Running> {
    let own = std::env::var(jackdaw_beside::HOSTS).ok();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        let words: Vec<&str> = line.split('\0').filter(|word| !word.is_empty()).collect();
        let program = words.first().map_or("", |word| word.rsplit('/').next().unwrap_or_default());
        let ours = (program == "jackdaw" || program == "exe") && words.get(1) == Some(&"broker");
        let hosts = words.iter().position(|word| *word == "--hosts").and_then(|at| words.get(at + 1));
        if ours && own.as_deref().is_none_or(|own| hosts == Some(&own)) {
            let file = words[2..].iter().find(|word| word.ends_with(".properties"));
            found.push(Running { pid, properties: file.map_or_else(String::new, |file| (*file).to_owned()) });
        }
    }
    found
}
