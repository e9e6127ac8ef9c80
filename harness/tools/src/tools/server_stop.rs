//! `kafka-server-stop.sh`: signals the broker that was meant, and no other.
//!
//! In a container of our image, and beside a service of the process runtime, that is the broker there, as of Kafka's
//! script. A host may run the brokers of many projects: there one has to say which.

use crate::properties;
use crate::{errln, outln};
use rustix::process::{Pid, Signal, kill_process};
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// What names a broker. The first two are Kafka's (KIP-1038).
const OPTIONS: [&str; 4] = ["--process-role", "--node-id", "--project", "--pid"];
const HOW: &str =
    "Say which: --pid=PID, --node-id=ID, --process-role=ROLE, --project=NAME, or several of them";
const NOTHING: &str = "No kafka server to stop";

/// A broker that runs.
#[derive(Debug, Clone, Default)]
struct Running {
    pid: i32,
    properties: String,
    node_id: Option<String>,
    roles: Option<String>,
    /// The hosts file of the service that it is, where it is one.
    hosts: Option<String>,
}

impl Running {
    /// The project of the process runtime, and its service: `PROJECT/instances/SERVICE/hosts`.
    fn project(&self) -> Option<(&str, &str)> {
        let mut folders = Path::new(self.hosts.as_deref()?).ancestors().skip(1).filter_map(Path::file_name);
        let (service, _, project) = (folders.next()?, folders.next()?, folders.next()?);
        Some((project.to_str()?, service.to_str()?))
    }
}

impl fmt::Display for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node_id = self.node_id.as_deref().unwrap_or("?");
        write!(f, "pid {}, node.id {node_id}, {}", self.pid, self.properties)?;
        match self.project() {
            Some((project, service)) => write!(f, ", {service} of project {project}"),
            None => write!(f, ", of no project"),
        }
    }
}

/// Where the tool runs.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// Whatever broker is here is the one of this container.
    Container,
    /// Beside a service of the process runtime, which has this hosts file.
    Service(String),
    Host,
}

impl Place {
    fn here() -> Self {
        let is_image = || {
            let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
            release.lines().any(|line| line == "ID=jackdaw")
        };
        match std::env::var(jackdaw_beside::HOSTS) {
            Ok(hosts) => Self::Service(hosts),
            Err(_) if is_image() => Self::Container,
            Err(_) => Self::Host,
        }
    }
}

/// What the words ask for.
#[derive(Debug, Default)]
struct Choice<'a> {
    role: Option<&'a str>,
    node_id: Option<&'a str>,
    project: Option<&'a str>,
    pid: Option<&'a str>,
}

impl<'a> Choice<'a> {
    /// `--name=value`, as Kafka's script has it, and `--name value`.
    ///
    /// # Errors
    /// The first word that is none of them: whoever mistypes one must not stop what it did not name.
    fn of(words: &'a [String]) -> Result<Self, String> {
        let mut choice = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (word.as_str(), None),
            };
            let slot = match OPTIONS.iter().position(|option| *option == name) {
                Some(0) => &mut choice.role,
                Some(1) => &mut choice.node_id,
                Some(2) => &mut choice.project,
                Some(_) => &mut choice.pid,
                None => return Err(format!("{word} is no option. {HOW}")),
            };
            let value = value.or_else(|| words.next().map(String::as_str)).filter(|value| !value.is_empty());
            *slot = Some(value.ok_or_else(|| format!("{name} takes a value. {HOW}"))?);
        }
        Ok(choice)
    }

    fn is_empty(&self) -> bool {
        [self.role, self.node_id, self.project, self.pid].iter().all(Option::is_none)
    }

    fn means(&self, broker: &Running) -> bool {
        let is = |wanted: Option<&str>, has: Option<&str>| wanted.is_none_or(|wanted| has == Some(wanted));
        // As in Kafka's script the node's id says more than its role.
        let role = self.role.filter(|_| self.node_id.is_none());
        is(self.pid, Some(&broker.pid.to_string()))
            && is(self.node_id, broker.node_id.as_deref())
            && is(role, broker.roles.as_deref())
            && is(self.project, broker.project().map(|(project, _)| project))
    }
}

/// Stops brokers; the exit code: 0 for a signal that was sent, 1 where nothing was.
pub fn run(args: &[String]) -> i32 {
    let choice = match Choice::of(args) {
        Ok(choice) => choice,
        Err(why) => {
            errln!("{why}");
            return 1;
        }
    };
    if choice.role.is_some() && choice.node_id.is_some() {
        outln!("When both node-id and process-role are provided, the value for node-id will take precedence");
    }
    let signal = std::env::var("SIGNAL").unwrap_or_else(|_| "TERM".to_owned());
    let Some(signal) = named(&signal) else {
        errln!("{signal}: no such signal");
        return 1;
    };
    match meant(running(Path::new("/proc")), &choice, &Place::here()) {
        Ok(brokers) => brokers.iter().map(|broker| send(broker.pid, signal)).max().unwrap_or(0),
        Err(why) => {
            outln!("{why}");
            1
        }
    }
}

/// Those that are to get the signal.
///
/// # Errors
/// Where there is none, and where it is not clear which: with all that it could be.
fn meant(running: Vec<Running>, choice: &Choice<'_>, place: &Place) -> Result<Vec<Running>, String> {
    let is_here = |broker: &Running| match place {
        Place::Service(hosts) => broker.hosts.as_ref() == Some(hosts),
        Place::Container | Place::Host => true,
    };
    let here: Vec<Running> = running.into_iter().filter(is_here).collect();
    let meant: Vec<Running> = here.iter().filter(|broker| choice.means(broker)).cloned().collect();
    let listed =
        |brokers: &[Running]| brokers.iter().map(|broker| format!("\n  {broker}")).collect::<String>();
    let project = |broker: &Running| broker.project().map(|(project, _)| project.to_owned());
    let Some(first) = meant.first() else {
        return match (place, here.is_empty()) {
            (Place::Host, false) => Err(format!("{NOTHING} is of that name. Here run{}", listed(&here))),
            _ => Err(NOTHING.to_owned()),
        };
    };
    // Brokers of different projects, or of none, have nothing to do with each other.
    let is_one = meant.len() == 1
        || (project(first).is_some() && meant.iter().all(|other| project(other) == project(first)));
    match place {
        Place::Host if choice.is_empty() => Err(format!("{HOW}. It would stop{}", listed(&meant))),
        Place::Host if !is_one => {
            Err(format!("More than one is of that name. {HOW}. It would stop{}", listed(&meant)))
        }
        _ => Ok(meant),
    }
}

fn send(pid: i32, signal: Signal) -> i32 {
    match Pid::from_raw(pid).map(|pid| kill_process(pid, signal)) {
        Some(Err(error)) => {
            errln!("kill: ({pid}) - {error}");
            1
        }
        _ => 0,
    }
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

/// The brokers that `/proc` shows, of the file system that this process sees: those of other containers have another.
fn running(processes: &Path) -> Vec<Running> {
    let root_of =
        |process: &Path| fs::metadata(process.join("root")).ok().map(|root| (root.dev(), root.ino()));
    let own_root = root_of(&processes.join("self"));
    let mut found = Vec::new();
    for entry in fs::read_dir(processes).into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let Some(mut broker) = of_command_line(pid, &String::from_utf8_lossy(&line)) else { continue };
        if own_root.is_some() && root_of(&entry.path()) != own_root {
            continue;
        }
        // A path that was given where the broker was started is relative to where it runs.
        let file = entry.path().join("cwd").join(&broker.properties);
        let properties = properties::load(&file.display().to_string()).unwrap_or_default();
        let of = |key: &str| properties.get(key).map(|value| value.trim().to_owned());
        (broker.node_id, broker.roles) = (of("node.id"), of("process.roles"));
        found.push(broker);
    }
    found.sort_by_key(|broker| broker.pid);
    found
}

/// A broker, if that command line is one's.
fn of_command_line(pid: i32, line: &str) -> Option<Running> {
    let words: Vec<&str> = line.split('\0').filter(|word| !word.is_empty()).collect();
    let program = words.first().map_or("", |word| word.rsplit('/').next().unwrap_or_default());
    if !(program == "jackdaw" || program == "exe") || words.get(1) != Some(&"broker") {
        return None;
    }
    let hosts = words.iter().position(|word| *word == "--hosts").and_then(|at| words.get(at + 1));
    let file = words[2..].iter().find(|word| word.ends_with(".properties"));
    Some(Running {
        pid,
        properties: file.map_or_else(String::new, |file| (*file).to_owned()),
        hosts: hosts.map(|hosts| (*hosts).to_owned()),
        ..Running::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two brokers of project `one`, one of project `two`, one of none.
    fn machine() -> Vec<Running> {
        let broker = |pid, node_id: &str, roles: &str, hosts: Option<&str>| Running {
            pid,
            properties: format!("/etc/{pid}.properties"),
            node_id: Some(node_id.to_owned()),
            roles: Some(roles.to_owned()),
            hosts: hosts.map(str::to_owned),
        };
        vec![
            broker(11, "1", "broker,controller", Some("/state/one/instances/kafka1/hosts")),
            broker(12, "2", "broker", Some("/state/one/instances/kafka2/hosts")),
            broker(21, "1", "broker", Some("/state/two/instances/kafka1/hosts")),
            broker(31, "3", "broker,controller", None),
        ]
    }

    fn stopped(words: &str, place: &Place) -> Result<Vec<i32>, String> {
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        let meant = meant(machine(), &Choice::of(&words)?, place)?;
        Ok(meant.iter().map(|broker| broker.pid).collect())
    }

    #[test]
    fn on_a_host_nothing_is_stopped_that_was_not_named() {
        insta::assert_snapshot!(stopped("", &Place::Host).unwrap_err(), @r"
        Say which: --pid=PID, --node-id=ID, --process-role=ROLE, --project=NAME, or several of them. It would stop
          pid 11, node.id 1, /etc/11.properties, kafka1 of project one
          pid 12, node.id 2, /etc/12.properties, kafka2 of project one
          pid 21, node.id 1, /etc/21.properties, kafka1 of project two
          pid 31, node.id 3, /etc/31.properties, of no project
        ");
        insta::assert_snapshot!(stopped("--node-id=1", &Place::Host).unwrap_err(), @r"
        More than one is of that name. Say which: --pid=PID, --node-id=ID, --process-role=ROLE, --project=NAME, or several of them. It would stop
          pid 11, node.id 1, /etc/11.properties, kafka1 of project one
          pid 21, node.id 1, /etc/21.properties, kafka1 of project two
        ");
        for refused in
            ["--process-role=broker,controller", "--node-id=7", "--pid=99", "--nodeid=1", "11", "--pid="]
        {
            assert!(stopped(refused, &Place::Host).is_err(), "{refused}");
        }
    }

    #[test]
    fn on_a_host_one_that_is_named_is_stopped() {
        for (words, pids) in [
            ("--pid=31", vec![31]),
            ("--pid 31", vec![31]),
            ("--node-id=2", vec![12]),
            ("--node-id=1 --project=two", vec![21]),
            ("--project=one", vec![11, 12]),
            ("--project=one --process-role=broker", vec![12]),
            ("--node-id=3 --process-role=broker", vec![31]),
        ] {
            assert_eq!(stopped(words, &Place::Host), Ok(pids), "{words}");
        }
    }

    #[test]
    fn beside_a_service_its_own_broker_alone_is_stopped() {
        let place = |name: &str| Place::Service(format!("/state/{name}/hosts"));
        assert_eq!(stopped("", &place("one/instances/kafka2")), Ok(vec![12]));
        assert_eq!(stopped("--node-id=1", &place("two/instances/kafka1")), Ok(vec![21]));
        assert_eq!(stopped("--node-id=1", &place("one/instances/kafka2")), Err(NOTHING.to_owned()));
        assert_eq!(stopped("", &place("one/instances/app")), Err(NOTHING.to_owned()));
    }

    #[test]
    fn in_a_container_its_broker_is_stopped_as_by_kafka_s_script() {
        let of = |words: &str, brokers: &[Running]| {
            let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
            let meant = meant(brokers.to_vec(), &Choice::of(&words).unwrap(), &Place::Container);
            meant.map(|brokers| brokers.iter().map(|broker| broker.pid).collect::<Vec<_>>())
        };
        let one = &machine()[3..];
        assert_eq!(of("", one), Ok(vec![31]));
        assert_eq!(of("--node-id=3", one), Ok(vec![31]));
        assert_eq!(of("--node-id=4", one), Err(NOTHING.to_owned()));
        assert_eq!(of("", &[]), Err(NOTHING.to_owned()));
    }

    #[test]
    fn brokers_are_told_by_their_command_lines() {
        let line = |words: &[&str]| of_command_line(5, &words.join("\0"));
        let broker = line(&[
            "/usr/bin/jackdaw",
            "broker",
            "--hosts",
            "/s/p/instances/k/hosts",
            "/s/server.properties",
        ]);
        let broker = broker.unwrap();
        assert_eq!(
            (broker.properties.as_str(), broker.project()),
            ("/s/server.properties", Some(("p", "k")))
        );
        assert!(line(&["/proc/self/exe", "broker", "a.properties"]).is_some());
        for other in [&["jackdaw", "up"][..], &["java", "broker", "a.properties"], &["jackdaw"], &[]] {
            assert!(line(other).is_none(), "{other:?}");
        }
    }

    #[test]
    fn what_a_broker_is_stands_in_its_properties() {
        let folder = tempfile::tempdir().unwrap();
        let process = |pid: &str, line: &str, properties: &str| {
            let of = |name: &str| folder.path().join(pid).join(name);
            fs::create_dir_all(of("cwd")).unwrap();
            fs::create_dir_all(of("root")).unwrap();
            fs::write(of("cmdline"), line).unwrap();
            fs::write(of("cwd/server.properties"), properties).unwrap();
        };
        process("7", "jackdaw\0broker\0server.properties\0", "node.id = 4\nprocess.roles=broker\n");
        process("8", "sleep\0broker\0server.properties\0", "node.id=5\n");
        let found = running(folder.path());
        let told: Vec<_> = found.iter().map(|b| (b.pid, b.node_id.as_deref(), b.roles.as_deref())).collect();
        assert_eq!(told, [(7, Some("4"), Some("broker"))]);
        // One with another root is another container's.
        std::os::unix::fs::symlink("8", folder.path().join("self")).unwrap();
        assert!(running(folder.path()).is_empty());
    }
}
