//! One scenario on one cluster: its steps in order, each with what it was answered.
//!
//! It waits for conditions, with deadlines; the one place that rests between two looks is [`Runner::until`].

use crate::body::{self, Known};
use crate::client::{Connection, ending};
use crate::cluster::{Cluster, Trouble};
use crate::model::*;
use crate::schema::{Api, api};
use crate::transcript::{NOW_LIES_BACK_MS, Naming, Teller, error_name};
use crate::value::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Rest between two looks at a condition.
const REST: Duration = Duration::from_millis(25);
/// Time for what every cluster does on its own.
const SETTLE: Duration = Duration::from_secs(60);
/// Time in which raw bytes are answered or their connection closed.
const RAW: Duration = Duration::from_secs(10);

/// One step and what it was answered; empty where nothing was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// The step's title.
    pub title: String,
    /// Lines.
    pub text: String,
}

/// A step that could not be done.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{place}: {step}: {why}")]
pub struct Failed {
    /// File, line and column.
    pub place: String,
    /// The step's title.
    pub step: String,
    /// Why.
    pub why: String,
}

type Outcome<T = ()> = Result<T, String>;

/// Runs a scenario.
///
/// # Errors
/// The first step that could not be done.
pub fn run(scenario: &Scenario, cluster: &mut dyn Cluster) -> Result<Vec<Section>, Failed> {
    let mut runner = Runner::new(&scenario.shape, cluster);
    let mut sections = Vec::new();
    for step in &scenario.steps {
        let text = runner.step(step).map_err(|why| Failed {
            place: step.span.position().map(|at| at.to_string()).unwrap_or_default(),
            step: step.title.clone(),
            why,
        })?;
        sections.push(Section { title: step.title.clone(), text });
    }
    Ok(sections)
}

/// Brings a used cluster back to what a scenario may expect: all nodes up, no topics.
///
/// # Errors
/// Why it cannot be used again.
pub fn tidy(scenario: &Scenario, cluster: &mut dyn Cluster) -> Outcome {
    let mut runner = Runner::new(&scenario.shape, cluster);
    for node in scenario.shape.nodes.keys() {
        // What runs is not harmed by either.
        let _ = runner.cluster.act(Act::Resume, *node);
        runner.cluster.act(Act::Start, *node).map_err(text)?;
    }
    runner.condition(&Condition::AllRegistered, SETTLE)?;
    let reply = runner.metadata(runner.first(), None)?;
    let names: Vec<String> =
        topics(&reply).filter_map(|topic| topic.get("name")?.str().map(str::to_owned)).collect();
    if names.is_empty() {
        return Ok(());
    }
    let wanted = |name: &String| object(&[("name", Value::Str(name.clone()))]);
    let body = object(&[
        ("topics", Value::Array(names.iter().map(wanted).collect())),
        ("timeout_ms", Value::Int(30_000)),
    ]);
    runner.ask(runner.first(), "DeleteTopics", 6, &body)?;
    names.into_iter().try_for_each(|name| runner.condition(&Condition::Gone(name), SETTLE))
}

/// A structure of these fields.
fn object(fields: &[(&str, Value)]) -> Value {
    Value::Struct(fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
}

/// Whether any part of a reply has that error code.
fn has_error(value: &Value, code: i64) -> bool {
    match value {
        Value::Struct(fields) => fields.iter().any(|(name, value)| {
            (name == "error_code" && value.int() == Some(code)) || has_error(value, code)
        }),
        Value::Array(items) => items.iter().any(|item| has_error(item, code)),
        _ => false,
    }
}

fn text(trouble: Trouble) -> String {
    trouble.0
}

fn topics(metadata: &Value) -> impl Iterator<Item = &Value> {
    metadata.get("topics").map(Value::items).unwrap_or_default().iter()
}

fn ids(value: Option<&Value>) -> Vec<i32> {
    value.map(Value::items).unwrap_or_default().iter().filter_map(|id| id.int()).map(|id| id as i32).collect()
}

/// A reply that is on its way.
struct Pending {
    request: Request,
    reply: JoinHandle<Result<Value, String>>,
}

struct Runner<'a> {
    cluster: &'a mut dyn Cluster,
    shape: &'a Shape,
    /// Nodes that run, as far as the scenario decides.
    running: BTreeSet<i32>,
    naming: Naming,
    saved: BTreeMap<String, Value>,
    connections: BTreeMap<SocketAddr, Connection>,
    pending: BTreeMap<String, Pending>,
}

impl Known for Runner<'_> {
    fn saved(&self, name: &str) -> Option<Value> {
        self.saved.get(name).cloned()
    }
    fn topic_id(&self, topic: &str) -> Option<[u8; 16]> {
        self.naming.topics.iter().rev().find(|(_, name)| name == topic).map(|(id, _)| *id)
    }
    fn now_ms(&self) -> i64 {
        self.naming.now_ms
    }
}

impl<'a> Runner<'a> {
    fn new(shape: &'a Shape, cluster: &'a mut dyn Cluster) -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_ms = since_epoch.as_millis() as i64 - NOW_LIES_BACK_MS;
        // Without names the transcript differs, and shows why.
        let naming = Naming::new(now_ms, cluster.names().unwrap_or_default());
        let running = if shape.started { shape.nodes.keys().copied().collect() } else { BTreeSet::new() };
        Runner {
            cluster,
            shape,
            running,
            naming,
            saved: BTreeMap::new(),
            connections: BTreeMap::new(),
            pending: BTreeMap::new(),
        }
    }

    fn step(&mut self, step: &Step) -> Outcome<String> {
        match &step.verb {
            Verb::Create(create) => self.create(create).map(|()| String::new()),
            Verb::Request(request) => self.request(step, request),
            Verb::Background(name, request) => self.background(name, request).map(|()| String::new()),
            Verb::Join(name) => self.join(step, name),
            Verb::Pipeline(to, requests) => self.pipeline(step, to, requests),
            Verb::Raw(to, bytes) => self.raw(to, bytes),
            Verb::Act(act, whom) => self.act(*act, whom).map(|()| String::new()),
            Verb::Share(from, with) => self.cluster.share(*from, *with).map(|()| String::new()).map_err(text),
            Verb::Wipe(node) => self.cluster.wipe(*node).map(|()| String::new()).map_err(text),
            Verb::Await(condition, within) => self.condition(condition, *within).map(|()| String::new()),
            Verb::Refused(node, words) => self.refused(*node, words),
            Verb::RefusedFile(settings, words) => {
                let (code, log) = self.cluster.run_alone(settings).map_err(text)?;
                Ok(ending_words(code, &log, words))
            }
            Verb::Provider(provider, whom) => self.provide(*provider, whom).map(|()| String::new()),
            Verb::Dump(whom, contents) => self.dump(whom, contents),
        }
    }

    // ── asking ──────────────────────────────────────────────────────────────────────────────────────

    fn brokers(&self) -> Vec<i32> {
        let is_broker = |node: &&i32| self.shape.nodes.get(*node) != Some(&Role::Controller);
        self.running.iter().filter(is_broker).copied().collect()
    }

    fn first(&self) -> i32 {
        self.brokers().first().or(self.running.first()).copied().unwrap_or(1)
    }

    fn ask(&mut self, node: i32, name: &str, version: i16, body: &Value) -> Outcome<Value> {
        let is_controller = self.shape.nodes.get(&node) == Some(&Role::Controller);
        let listener = if is_controller { Listener::Controller } else { Listener::Client };
        let address = self.cluster.address(node, listener).map_err(text)?;
        let api = api(name).ok_or_else(|| format!("no API {name}"))?;
        let mut connection =
            self.connection(address).map_err(|error| format!("node {node}: {}", ending(&error)))?;
        let reply = connection.ask(api, version, body);
        let reply = reply.map_err(|error| format!("node {node}, {name}: {}", ending(&error)))?;
        self.connections.insert(address, connection);
        self.naming.learn(&reply);
        Ok(reply)
    }

    /// The connection to an address, taken out; it is put back once it is sound.
    fn connection(&mut self, address: SocketAddr) -> io::Result<Connection> {
        match self.connections.remove(&address) {
            Some(connection) => Ok(connection),
            None => Connection::open(address),
        }
    }

    fn metadata(&mut self, node: i32, topic: Option<&str>) -> Outcome<Value> {
        let topics = match topic {
            None => Value::Null,
            Some(name) => Value::Array(vec![object(&[("name", Value::Str(name.to_owned()))])]),
        };
        // Looking for a topic must not make it.
        let quietly = ("allow_auto_topic_creation", Value::Bool(false));
        self.ask(node, "Metadata", 12, &object(&[("topics", topics), quietly]))
    }

    /// A partition as a broker shows it.
    fn partition(&mut self, node: i32, topic: &str, number: i32) -> Outcome<Value> {
        let reply = self.metadata(node, Some(topic))?;
        let topic = topics(&reply).next().ok_or("Metadata names no topic")?;
        let partitions = topic.get("partitions").map(Value::items).unwrap_or_default();
        let is_it = |one: &&Value| one.get("partition_index").and_then(Value::int) == Some(i64::from(number));
        partitions.iter().find(is_it).cloned().ok_or_else(|| format!("node {node} knows no such partition"))
    }

    fn controller(&mut self) -> Outcome<i32> {
        let partition = object(&[("partition_index", Value::Int(0))]);
        let topic = object(&[
            ("topic_name", Value::Str("__cluster_metadata".into())),
            ("partitions", Value::Array(vec![partition])),
        ]);
        let body = object(&[("topics", Value::Array(vec![topic]))]);
        let mut last = "no node runs".to_owned();
        for node in self.running.clone() {
            match self.ask(node, "DescribeQuorum", 1, &body) {
                Ok(reply) => {
                    let leader =
                        reply.at("topics.0.partitions.0.leader_id").and_then(Value::int).unwrap_or(-1) as i32;
                    if self.running.contains(&leader) {
                        return Ok(leader);
                    }
                    last = format!("node {node} names {leader} as the controller");
                }
                Err(why) => last = why,
            }
        }
        Err(last)
    }

    fn who(&mut self, who: &Who) -> Outcome<i32> {
        match who {
            Who::Node(id) => Ok(*id),
            Who::Controller => self.until(SETTLE, Self::controller),
            Who::NotController => {
                let controller = self.until(SETTLE, Self::controller)?;
                let other = self.brokers().into_iter().find(|node| *node != controller);
                other.ok_or_else(|| "no other broker runs".into())
            }
            Who::Leader(topic, number) => self.until(SETTLE, |runner| {
                let partition = runner.partition(runner.first(), topic, *number)?;
                let leader = partition.get("leader_id").and_then(Value::int).filter(|leader| *leader >= 0);
                leader.map(|leader| leader as i32).ok_or_else(|| format!("{topic}-{number} has no leader"))
            }),
        }
    }

    fn target(&mut self, target: &Target) -> Outcome<SocketAddr> {
        let node = self.who(&target.who)?;
        self.cluster.address(node, target.listener).map_err(text)
    }

    // ── waiting ─────────────────────────────────────────────────────────────────────────────────────

    /// Looks again and again until there is something to see; the last reason why not is the error.
    fn until<T>(&mut self, within: Duration, mut look: impl FnMut(&mut Self) -> Outcome<T>) -> Outcome<T> {
        let began = Instant::now();
        loop {
            match look(self) {
                Ok(seen) => return Ok(seen),
                Err(why) if began.elapsed() >= within => {
                    return Err(format!("not within {} s: {why}", within.as_secs()));
                }
                Err(_) => std::thread::sleep(REST),
            }
        }
    }

    fn condition(&mut self, condition: &Condition, within: Duration) -> Outcome {
        self.until(within, |runner| runner.holds(condition))
    }

    fn holds(&mut self, condition: &Condition) -> Outcome {
        match condition {
            Condition::Controller => return self.controller().map(drop),
            Condition::Ended(node) => {
                let code = self.cluster.exit_code(*node).map_err(text)?;
                return code.map(drop).ok_or_else(|| format!("node {node} runs"));
            }
            Condition::HighWatermark(topic, number, offset) => {
                return self.high_watermark(topic, *number, *offset);
            }
            Condition::Config(key, whose, value) => return self.config(key, whose, value),
            _ => {}
        }
        for node in self.brokers() {
            self.shows(node, condition).map_err(|why| format!("node {node}: {why}"))?;
        }
        Ok(())
    }

    /// Whether one broker's metadata shows it.
    fn shows(&mut self, node: i32, condition: &Condition) -> Outcome {
        let must = |holds: bool, seen: String| if holds { Ok(()) } else { Err(seen) };
        match condition {
            Condition::Leader(topic, number, _)
            | Condition::NotLeader(topic, number, _)
            | Condition::Replicas(topic, number, _)
            | Condition::Isr(topic, number, _) => {
                let partition = self.partition(node, topic, *number)?;
                let leader = partition.get("leader_id").and_then(Value::int).unwrap_or(-1) as i32;
                let replicas = ids(partition.get("replica_nodes"));
                let mut isr = ids(partition.get("isr_nodes"));
                isr.sort_unstable();
                let holds = match condition {
                    Condition::Leader(.., wanted) => leader == *wanted,
                    Condition::NotLeader(.., not) => leader >= 0 && leader != *not,
                    Condition::Replicas(.., wanted) => replicas == *wanted,
                    Condition::Isr(.., wanted) => {
                        let mut wanted = wanted.clone();
                        wanted.sort_unstable();
                        isr == wanted
                    }
                    _ => false,
                };
                let seen = format!("leader {leader}, replicas {replicas:?} and ISR {isr:?}");
                must(holds, format!("{topic}-{number} has {seen}"))
            }
            Condition::Gone(topic) | Condition::There(topic) => {
                let reply = self.metadata(node, Some(topic))?;
                let code =
                    topics(&reply).next().and_then(|topic| topic.get("error_code")?.int()).unwrap_or(-1);
                let wanted = if matches!(condition, Condition::Gone(_)) { 3 } else { 0 };
                must(code == wanted, format!("topic {topic}: {code} {}", error_name(code)))
            }
            _ => {
                let reply = self.metadata(node, None)?;
                let brokers = reply.get("brokers").map(Value::items).unwrap_or_default();
                let shown: BTreeSet<i32> = brokers
                    .iter()
                    .filter_map(|broker| broker.get("node_id")?.int())
                    .map(|id| id as i32)
                    .collect();
                let holds = match condition {
                    Condition::Registered(node) => shown.contains(node),
                    Condition::Fenced(node) => !shown.contains(node),
                    _ => {
                        let roles = self.shape.nodes.iter().filter(|(_, role)| **role != Role::Controller);
                        roles.map(|(node, _)| *node).all(|node| shown.contains(&node))
                    }
                };
                must(holds, format!("it shows the brokers {shown:?}"))
            }
        }
    }

    fn high_watermark(&mut self, topic: &str, number: i32, wanted: i64) -> Outcome {
        let leader = self.partition(self.first(), topic, number)?;
        let leader = leader.get("leader_id").and_then(Value::int).unwrap_or(-1) as i32;
        let partition = object(&[
            ("partition_index", Value::Int(i64::from(number))),
            ("timestamp", Value::Int(-1)),
            ("current_leader_epoch", Value::Int(-1)),
        ]);
        let named =
            object(&[("name", Value::Str(topic.to_owned())), ("partitions", Value::Array(vec![partition]))]);
        let body = object(&[("replica_id", Value::Int(-1)), ("topics", Value::Array(vec![named]))]);
        let reply = self.ask(leader, "ListOffsets", 7, &body)?;
        let seen = reply.at("topics.0.partitions.0.offset").and_then(Value::int).unwrap_or(-1);
        let code = reply.at("topics.0.partitions.0.error_code").and_then(Value::int).unwrap_or(-1);
        if code != 0 {
            return Err(format!("{topic}-{number} at node {leader}: {code} {}", error_name(code)));
        }
        if seen == wanted { Ok(()) } else { Err(format!("the high watermark of {topic}-{number} is {seen}")) }
    }

    fn config(&mut self, key: &str, whose: &Configured, wanted: &str) -> Outcome {
        let nodes = match whose {
            Configured::Node(node) => vec![*node],
            Configured::Topic(_) | Configured::AllBrokers => self.brokers(),
        };
        for node in nodes {
            let (kind, name) = match whose {
                Configured::Topic(topic) => (2, topic.clone()),
                Configured::Node(_) | Configured::AllBrokers => (4, node.to_string()),
            };
            let resource = object(&[
                ("resource_type", Value::Int(kind)),
                ("resource_name", Value::Str(name)),
                ("configuration_keys", Value::Array(vec![Value::Str(key.to_owned())])),
            ]);
            let body = object(&[("resources", Value::Array(vec![resource]))]);
            let reply = self.ask(node, "DescribeConfigs", 4, &body)?;
            let seen = reply.at("results.0.configs.0.value").and_then(Value::str);
            if seen != Some(wanted) {
                return Err(format!("node {node}: {key} is {}", seen.unwrap_or("not told")));
            }
        }
        Ok(())
    }

    // ── doing ───────────────────────────────────────────────────────────────────────────────────────

    fn create(&mut self, create: &Create) -> Outcome {
        let assignment = |(number, replicas): (usize, &Vec<i32>)| {
            let ids = replicas.iter().map(|id| Value::Int(i64::from(*id))).collect();
            object(&[("partition_index", Value::Int(number as i64)), ("broker_ids", Value::Array(ids))])
        };
        let config = |(name, value): &(String, String)| {
            object(&[("name", Value::Str(name.clone())), ("value", Value::Str(value.clone()))])
        };
        let topic = object(&[
            ("name", Value::Str(create.topic.clone())),
            ("num_partitions", Value::Int(-1)),
            ("replication_factor", Value::Int(-1)),
            ("assignments", Value::Array(create.assignment.iter().enumerate().map(assignment).collect())),
            ("configs", Value::Array(create.configs.iter().map(config).collect())),
        ]);
        let body = object(&[("topics", Value::Array(vec![topic])), ("timeout_ms", Value::Int(30_000))]);
        let reply = self.ask(self.first(), "CreateTopics", 7, &body)?;
        let topic = reply.at("topics.0").ok_or("CreateTopics names no topic")?;
        match topic.get("error_code").and_then(Value::int) {
            Some(0) => {}
            code => {
                let code = code.unwrap_or(-1);
                let why = topic.get("error_message").and_then(Value::str).unwrap_or_default();
                return Err(format!("{code} {}: {why}", error_name(code)));
            }
        }
        for (number, replicas) in create.assignment.iter().enumerate() {
            let number = number as i32;
            let leader = replicas.first().copied().unwrap_or(-1);
            self.condition(&Condition::Leader(create.topic.clone(), number, leader), SETTLE)?;
            self.condition(&Condition::Isr(create.topic.clone(), number, replicas.clone()), SETTLE)?;
            // A broker shows a leader a little before the leader serves.
            self.condition(&Condition::HighWatermark(create.topic.clone(), number, 0), SETTLE)?;
        }
        Ok(())
    }

    fn built(&self, request: &Request, version: i16) -> Outcome<Value> {
        let lenient = request.versions.len() > 1;
        body::build(&request.api.request, request.body.as_ref(), version, lenient, self)
            .map_err(|finding| finding.message)
    }

    /// One reply, or how the connection ended in place of it.
    fn exchange(&mut self, request: &Request, version: i16) -> Outcome<Result<Value, String>> {
        let body = self.built(request, version)?;
        let address = self.target(&request.to)?;
        let mut connection = match self.connection(address) {
            Ok(connection) => connection,
            Err(error) => return Ok(Err(ending(&error))),
        };
        if request.no_reply {
            connection.send(request.api, version, &body).map_err(|error| ending(&error))?;
            // What comes next on this connection shows that nothing came before it.
            let probe = api("ApiVersions").ok_or("no API ApiVersions")?;
            let answer = connection.ask(probe, 0, &object(&[]));
            return Ok(Err(match answer {
                Ok(_) => {
                    self.connections.insert(address, connection);
                    "no reply".into()
                }
                Err(error) => ending(&error),
            }));
        }
        match connection.ask(request.api, version, &body) {
            Ok(reply) => {
                self.connections.insert(address, connection);
                Ok(Ok(reply))
            }
            Err(error) => Ok(Err(ending(&error))),
        }
    }

    fn tell(&mut self, step: &Step, api: &Api, reply: &Result<Value, String>) -> String {
        match reply {
            Err(ending) => format!("{ending}\n"),
            Ok(value) => {
                let naming = &mut self.naming;
                Teller { api: &api.name, redact: &step.redact, ordered: step.ordered, naming }
                    .tell(&api.response, value)
            }
        }
    }

    fn save(&mut self, step: &Step, reply: &Result<Value, String>) -> Outcome {
        for (name, path) in &step.save {
            let value = reply.as_ref().ok().and_then(|reply| reply.at(path));
            let value = value.ok_or_else(|| format!("the reply has no `{path}` to save as `{name}`"))?;
            self.saved.insert(name.clone(), value.clone());
        }
        Ok(())
    }

    fn request(&mut self, step: &Step, request: &Request) -> Outcome<String> {
        let mut told: Vec<(Vec<i16>, String)> = Vec::new();
        for version in &request.versions {
            let reply = match step.retry {
                None => self.exchange(request, *version)?,
                Some(code) => self.until(SETTLE, |runner| match runner.exchange(request, *version)? {
                    Ok(reply) if has_error(&reply, code) => Err(format!("{code} {}", error_name(code))),
                    reply => Ok(reply),
                })?,
            };
            self.save(step, &reply)?;
            let text = self.tell(step, request.api, &reply);
            match told.last_mut() {
                Some((versions, same)) if *same == text => versions.push(*version),
                _ => told.push((vec![*version], text)),
            }
        }
        if request.versions.len() == 1 {
            return Ok(told.into_iter().map(|(_, text)| text).collect());
        }
        Ok(told.into_iter().fold(String::new(), |mut out, (versions, text)| {
            let names: Vec<String> = versions.iter().map(|version| format!("v{version}")).collect();
            let _ = writeln!(out, "{}:", names.join(" "));
            text.lines().for_each(|line| {
                let _ = writeln!(out, "  {line}");
            });
            out
        }))
    }

    fn background(&mut self, name: &str, request: &Request) -> Outcome {
        let version = request.versions.first().copied().unwrap_or_default();
        let body = self.built(request, version)?;
        let address = self.target(&request.to)?;
        let mut connection = Connection::open(address).map_err(|error| ending(&error))?;
        let api = request.api;
        let id = connection.send(api, version, &body).map_err(|error| ending(&error))?;
        let reply =
            std::thread::spawn(move || connection.reply(api, version, id).map_err(|error| ending(&error)));
        self.pending.insert(name.to_owned(), Pending { request: request.clone(), reply });
        Ok(())
    }

    fn join(&mut self, step: &Step, name: &str) -> Outcome<String> {
        let pending = self.pending.remove(name).ok_or_else(|| format!("`{name}` was joined before"))?;
        let reply = pending.reply.join().map_err(|_| "the thread that waits for it ended".to_owned())?;
        self.save(step, &reply)?;
        Ok(self.tell(step, pending.request.api, &reply))
    }

    fn pipeline(&mut self, step: &Step, to: &Target, requests: &[Request]) -> Outcome<String> {
        let address = self.target(to)?;
        let mut connection = Connection::open(address).map_err(|error| ending(&error))?;
        let mut sent = Vec::new();
        for request in requests {
            let version = request.versions.first().copied().unwrap_or_default();
            let body = self.built(request, version)?;
            let id = connection.send(request.api, version, &body).map_err(|error| ending(&error))?;
            if !request.no_reply {
                sent.push((request.api, version, id));
            }
        }
        let mut out = String::new();
        for (api, version, id) in sent {
            let reply = connection.reply(api, version, id).map_err(|error| ending(&error));
            let _ = writeln!(out, "{} v{version}:", api.name);
            self.tell(step, api, &reply).lines().for_each(|line| {
                let _ = writeln!(out, "  {line}");
            });
        }
        Ok(out)
    }

    fn raw(&mut self, to: &Target, bytes: &[u8]) -> Outcome<String> {
        let address = self.target(to)?;
        let mut connection = Connection::open(address).map_err(|error| ending(&error))?;
        let sent = connection.send_raw(bytes);
        let answer = sent.and_then(|()| connection.frame(RAW));
        Ok(match answer {
            Ok(frame) => format!("a reply of {} bytes\n", frame.len()),
            Err(error) => format!("{}\n", ending(&error)),
        })
    }

    fn act(&mut self, act: Act, whom: &[Who]) -> Outcome {
        let nodes = whom.iter().map(|who| self.who(who)).collect::<Outcome<Vec<i32>>>()?;
        for node in nodes {
            self.cluster.act(act, node).map_err(text)?;
            match act {
                Act::Start | Act::Resume => self.running.insert(node),
                Act::Kill | Act::Stop | Act::Pause => self.running.remove(&node),
            };
        }
        if act != Act::Resume {
            self.connections.clear();
        }
        Ok(())
    }

    fn provide(&mut self, provider: Provider, whom: &[Who]) -> Outcome {
        for who in whom {
            let node = self.who(who)?;
            self.cluster.provide(node, provider).map_err(text)?;
            self.running.insert(node);
        }
        self.connections.clear();
        Ok(())
    }

    fn dump(&mut self, whom: &[Who], contents: &[String]) -> Outcome<String> {
        let mut out = String::new();
        for who in whom {
            let node = self.who(who)?;
            let _ = writeln!(out, "node {node}:");
            self.cluster.dump(node, contents).map_err(text)?.lines().for_each(|line| {
                let _ = writeln!(out, "  {}", self.naming.line(line));
            });
        }
        Ok(out)
    }

    fn refused(&mut self, node: i32, words: &[String]) -> Outcome<String> {
        self.cluster.act(Act::Start, node).map_err(text)?;
        self.condition(&Condition::Ended(node), SETTLE)?;
        let code = self.cluster.exit_code(node).map_err(text)?;
        let log = self.cluster.log(node).map_err(text)?;
        Ok(ending_words(code, &log, words))
    }
}

/// How a node ended, and which of the words it printed.
fn ending_words(code: Option<i64>, log: &str, words: &[String]) -> String {
    let mut out = code.map_or("does not end\n".to_owned(), |code| format!("exits with {code}\n"));
    for word in words {
        let says = if log.contains(word.as_str()) { "says" } else { "does not say" };
        let _ = writeln!(out, "{says}: {word}");
    }
    out
}
