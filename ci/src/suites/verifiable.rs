//! Kafka's own VerifiableProducer, VerifiableConsumer and TransactionalMessageCopier, which its system tests drive:
//! each says in JSON what it sent, was assigned, consumed and committed. What must be true of it is said here.

use super::Room;
use super::cluster::{BOOTSTRAP, Cluster};
use super::interrupt::Group;
use super::table::{Ended, Results};
use anyhow::{Context as _, ensure};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Messages of a case: several batches to each partition.
const MESSAGES: usize = 2_000;
/// A JVM's start, a rebalance and the messages, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(90);

const ASSIGNORS: [&str; 4] = ["Range", "RoundRobin", "Sticky", "CooperativeSticky"];

/// Only the reference's jars are needed, which the provider fetches.
pub fn prepare(_: &Room) -> anyhow::Result<()> {
    Ok(())
}

/// Every case, one after the other.
pub fn run(room: &Room, cluster: &Cluster, log: &Path) -> anyhow::Result<Results> {
    let bench = Bench { room, cluster, log: File::options().append(true).open(log)? };
    let mut results = Results::new();
    let mut case = |name: String, done: anyhow::Result<()>| {
        if let Err(error) = &done
            && !room.interrupt.came()
        {
            eprintln!("   {name}: {error:#}");
        }
        results.insert(name, if done.is_ok() { Ended::Passes } else { Ended::Fails });
    };
    for acks in ["0", "1", "-1"] {
        case(format!("acks={acks}: what is acknowledged is consumed, once"), bench.acknowledged(acks));
    }
    for assignor in ASSIGNORS {
        case(format!("{assignor}Assignor: two members share and hand over"), bench.shared(assignor));
    }
    case("a static member comes back to its partitions".into(), bench.comes_back());
    case("a broker is killed: nothing acknowledged is lost".into(), bench.broker_killed());
    case("a copy in transactions, some of them aborted, is whole".into(), bench.copied());
    Ok(results)
}

struct Bench<'a> {
    room: &'a Room,
    cluster: &'a Cluster,
    log: File,
}

impl Bench<'_> {
    fn tool(&self, class: &str, words: &[&str]) -> anyhow::Result<Tool> {
        let mut command = self.cluster.tool(&format!("org.apache.kafka.tools.{class}"));
        command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(self.log.try_clone()?);
        let (mut child, group) = self.room.interrupt.spawn(&mut command)?;
        let said = child.stdout.take().context("its output is piped")?;
        let heard = Arc::new(Heard::default());
        let mut log = self.log.try_clone()?;
        let (to, class) = (Arc::clone(&heard), class.to_owned());
        thread::spawn(move || {
            for line in BufReader::new(said).lines().map_while(Result::ok) {
                // For a person who looks for the cause; no result depends on it.
                let _ = writeln!(log, "{class}: {line}");
                to.add(serde_json::from_str(&line).ok());
            }
            to.end();
        });
        Ok(Tool { child, heard, _group: group })
    }

    fn producer(&self, topic: &str, words: &[&str]) -> anyhow::Result<Tool> {
        let messages = MESSAGES.to_string();
        let all = ["--bootstrap-server", BOOTSTRAP, "--topic", topic, "--max-messages", &messages];
        self.tool("VerifiableProducer", &[&all, words].concat())
    }

    /// A member of the topic's group, which has the topic's name.
    fn consumer(&self, topic: &str, words: &[&str]) -> anyhow::Result<Tool> {
        let all = ["--bootstrap-server", BOOTSTRAP, "--topic", topic, "--group-id", topic, "--verbose"];
        self.tool("VerifiableConsumer", &[&all, words].concat())
    }

    /// Sends all messages and has each acknowledged.
    fn produced(&self, topic: &str, words: &[&str]) -> anyhow::Result<Vec<Value>> {
        let sent = self.producer(topic, words)?.until("it ends", |heard| heard.ended)?;
        let acknowledged = named(&sent, "producer_send_success").count();
        ensure!(acknowledged == MESSAGES, "{acknowledged} of {MESSAGES} messages were acknowledged");
        Ok(sent)
    }

    fn acknowledged(&self, acks: &str) -> anyhow::Result<()> {
        let topic = format!("verifiable-acks{acks}");
        let sent = self.produced(&topic, &["--acks", acks])?;
        let consumer = self.consumer(&topic, &["--max-messages", &MESSAGES.to_string()])?;
        let consumed = consumer.until("it ends", |heard| heard.ended)?;
        once(&values(&sent), &[&consumed])?;
        let mut commits = named(&consumed, "offsets_committed").peekable();
        ensure!(commits.peek().is_some(), "nothing was committed");
        ensure!(commits.all(|commit| commit["success"] == true), "a commit failed");
        Ok(())
    }

    fn shared(&self, assignor: &str) -> anyhow::Result<()> {
        let topic = format!("verifiable-{}", assignor.to_lowercase());
        let class = format!("org.apache.kafka.clients.consumer.{assignor}Assignor");
        let words = ["--assignment-strategy", &class];
        let (first, second) = (self.consumer(&topic, &words)?, self.consumer(&topic, &words)?);
        for member in [&first, &second] {
            member.wait("two partitions are its own", |heard| owned(&heard.events).len() == 2)?;
        }
        let whole = &owned(&first.events()) | &owned(&second.events());
        ensure!(whole.len() == 4, "the members share {whole:?}");
        let sent = self.produced(&topic, &["--acks", "-1"])?;
        second.wait("its half is consumed", |heard| heard.consumed + first.consumed() >= MESSAGES)?;
        let left = first.ended_gently()?;
        second.wait("all partitions are its own", |heard| owned(&heard.events).len() == 4)?;
        let more = self.produced(&topic, &["--acks", "-1", "--value-prefix", "7"])?;
        let before = texts(&left, "record_data").count();
        second.wait("the rest is consumed", |heard| heard.consumed + before >= 2 * MESSAGES)?;
        once(&(&values(&sent) | &values(&more)), &[&left, &second.ended_gently()?])
    }

    fn comes_back(&self) -> anyhow::Result<()> {
        let topic = "verifiable-static";
        let member = |name| self.consumer(topic, &["--group-instance-id", name]);
        let (first, second) = (member("a")?, member("b")?);
        for member in [&first, &second] {
            member.wait("two partitions are its own", |heard| owned(&heard.events).len() == 2)?;
        }
        let before = owned(&first.events());
        let rebalances = named(&second.events(), "partitions_assigned").count();
        first.ended_gently()?;
        let again = member("a")?;
        again.wait("its partitions are its own again", |heard| owned(&heard.events) == before)?;
        let now = named(&second.events(), "partitions_assigned").count();
        ensure!(now == rebalances, "the other member was disturbed");
        Ok(())
    }

    fn broker_killed(&self) -> anyhow::Result<()> {
        let topic = "verifiable-kill";
        let producer = self.producer(topic, &["--acks", "-1", "--throughput", "500"])?;
        producer.wait("it sends", |heard| heard.events.len() > MESSAGES / 5)?;
        self.cluster.act(&["kill", "kafka2"])?;
        let sent = producer.until("it ends", |heard| heard.ended);
        self.cluster.act(&["start", "kafka2"])?;
        let acknowledged = values(&sent?);
        ensure!(acknowledged.len() > MESSAGES / 2, "only {} messages were acknowledged", acknowledged.len());
        let consumer = self.consumer(topic, &[])?;
        let whole = |heard: &Said| acknowledged.is_subset(&texts(&heard.events, "record_data").collect());
        consumer.wait("what was acknowledged is consumed", |heard| {
            heard.consumed >= acknowledged.len() && whole(heard)
        })?;
        consumer.ended_gently().map(drop)
    }

    fn copied(&self) -> anyhow::Result<()> {
        let (from, to) = ("verifiable-original", "verifiable-copy");
        let sent = self.produced(from, &["--acks", "-1"])?;
        let words = ["--broker-list", BOOTSTRAP, "--input-topic", from, "--output-topic", to, "--group-mode"];
        let group = ["--input-partition", "0", "--consumer-group", "copiers", "--transactional-id", "copier"];
        let how = ["--transaction-size", "100", "--enable-random-aborts", "--use-group-metadata"];
        self.tool("TransactionalMessageCopier", &[&words[..], &group, &how].concat())?
            .until("it ends", |heard| heard.ended)?;
        let config = self.room.folder.join("read-committed.properties");
        fs::write(&config, "isolation.level=read_committed\n")?;
        let config = config.display().to_string();
        let consumer = self.consumer(to, &["--consumer.config", &config])?;
        consumer.wait("the copy is consumed", |heard| heard.consumed >= MESSAGES)?;
        once(&values(&sent), &[&consumer.ended_gently()?])
    }
}

/// What a tool said so far.
#[derive(Default)]
struct Said {
    events: Vec<Value>,
    /// Records among them.
    consumed: usize,
    ended: bool,
}

#[derive(Default)]
struct Heard {
    said: Mutex<Said>,
    more: Condvar,
}

impl Heard {
    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, event: Option<Value>) {
        let mut said = self.said();
        said.consumed += usize::from(event.as_ref().is_some_and(|event| event["name"] == "record_data"));
        said.events.extend(event);
        self.more.notify_all();
    }

    fn end(&self) {
        self.said().ended = true;
        self.more.notify_all();
    }
}

/// A tool that runs; killed when dropped.
struct Tool {
    child: Child,
    heard: Arc<Heard>,
    _group: Group,
}

impl Tool {
    fn wait(&self, what: &str, met: impl Fn(&Said) -> bool) -> anyhow::Result<()> {
        let (said, _) = self
            .heard
            .more
            .wait_timeout_while(self.heard.said(), PATIENCE, |said| !met(said) && !said.ended)
            .unwrap_or_else(PoisonError::into_inner);
        ensure!(met(&said), "not so within {} s: {what}", PATIENCE.as_secs());
        Ok(())
    }

    /// All that it said once that is so.
    fn until(self, what: &str, met: impl Fn(&Said) -> bool) -> anyhow::Result<Vec<Value>> {
        self.wait(what, met)?;
        Ok(self.events())
    }

    fn events(&self) -> Vec<Value> {
        self.heard.said().events.clone()
    }

    fn consumed(&self) -> usize {
        self.heard.said().consumed
    }

    /// Asks it to end, which a consumer does by leaving its group; all that it said.
    fn ended_gently(self) -> anyhow::Result<Vec<Value>> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        self.until("it ends", |heard| heard.ended)
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        // Where it has ended, there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn named<'a>(events: &'a [Value], name: &'a str) -> impl Iterator<Item = &'a Value> {
    events.iter().filter(move |event| event["name"] == name)
}

fn texts<'a>(events: &'a [Value], name: &'a str) -> impl Iterator<Item = String> {
    named(events, name).filter_map(|event| event["value"].as_str()).map(str::to_owned)
}

/// The values that were acknowledged.
fn values(events: &[Value]) -> BTreeSet<String> {
    texts(events, "producer_send_success").collect()
}

/// The partitions that a member has, by what it was given and what was taken from it.
fn owned(events: &[Value]) -> BTreeSet<i64> {
    let mut owned = BTreeSet::new();
    for event in events {
        let partitions = event["partitions"].as_array().into_iter().flatten();
        let partitions = partitions.filter_map(|partition| partition["partition"].as_i64());
        match event["name"].as_str() {
            Some("partitions_assigned") => owned.extend(partitions),
            Some("partitions_revoked") => partitions.for_each(|partition| {
                owned.remove(&partition);
            }),
            _ => {}
        }
    }
    owned
}

/// Each of these values was consumed, by one of these members, one time.
fn once(sent: &BTreeSet<String>, members: &[&[Value]]) -> anyhow::Result<()> {
    let mut missing = sent.clone();
    for value in members.iter().flat_map(|events| texts(events, "record_data")) {
        ensure!(missing.remove(&value), "{value} was consumed twice, or never sent");
    }
    ensure!(missing.is_empty(), "{} values were never consumed", missing.len());
    Ok(())
}
