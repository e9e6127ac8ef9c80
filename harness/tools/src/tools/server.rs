//! `kafka-server-start.sh`: the broker of this program, started by the script's words.

use crate::cli::{KAFKA_VERSION, Stop, end, uncaught};
use crate::jopt::{self, Given, HELP, Opt};
use crate::properties;
use crate::{errln, outln, print};
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
    let folder = jackdaw_beside::inside(&folder);
    let file = fs::create_dir_all(&folder)
        .and_then(|()| fs::File::create(Path::new(&folder).join("kafkaServer.out")));
    let said = file.and_then(|file| Ok((file.try_clone()?, file)));
    let (stdout, stderr) = match said {
        Ok(files) => files,
        Err(error) => return failed(&error),
    };
    // A container's processes end with its first one; those beside a service are one group.
    let is_beside = std::env::var_os(jackdaw_beside::ROOT).is_some();
    if !is_beside {
        broker.process_group(0);
    }
    let started = broker.stdin(Stdio::null()).stdout(stdout).stderr(stderr).spawn();
    started.err().map_or(0, |error| failed(&error))
}
