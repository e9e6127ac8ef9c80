//! Scripts: one line a step, as one would tell it; what the machine says to it stands indented below.
//!
//! `#` begins a comment. `a#1` is the id that the first join without an id made from client id (or instance) `a`.
//! `topics t=4 u=2` are the cluster's from there on, `own session=60000 heartbeat=9000` the group's own settings. `hb m epoch=0 topics=t owned=t-0` is a heartbeat of the consumer
//! protocol; joining ones are full.
//! Appends are committed at once, unless `hold` stands before; then `stored` and `failed CODE` settle the oldest.

#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod told;

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;

use jackdaw_groups::{
    Caller, Config, ConsumerConfig, Effect, GroupSettings, Groups, OwnSettings, RecordPlace, Request, Topic,
    Topics,
};
use jackdaw_wire::batch::{BatchBuilder, BatchRef};
use jackdaw_wire::compression::Compression;
use jackdaw_wire::consumer_group::{ConsumerGroupHeartbeatRequest, TopicPartitions};
use jackdaw_wire::control_record::ControlRecord;
use jackdaw_wire::messages::join_group_request::JoinGroupRequestProtocol;
use jackdaw_wire::messages::leave_group_request::MemberIdentity;
use jackdaw_wire::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use jackdaw_wire::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use jackdaw_wire::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use jackdaw_wire::messages::sync_group_request::SyncGroupRequestAssignment;
use jackdaw_wire::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use jackdaw_wire::messages::*;
use jackdaw_wire::types::Now;
use jackdaw_wire::{Bytes, BytesMut, Decodable, Encodable, ErrorCode, StrBytes, Uuid};

use told::{records_told, told};

pub fn config() -> Config {
    Config {
        min_session_timeout_ms: 6_000,
        max_session_timeout_ms: 1_800_000,
        max_size: usize::MAX,
        initial_rebalance_delay_ms: 3_000,
        max_metadata_length: 4_096,
        retention_ms: 86_400_000,
        retention_check_interval_ms: 600_000,
        compression: Compression::None,
        consumer: ConsumerConfig::with_defaults(false),
    }
}

/// The same where the consumer protocol is served.
pub fn consumer_config() -> Config {
    Config { consumer: ConsumerConfig::with_defaults(true), ..config() }
}

/// The wall is at this when the steady clock is at 0.
const WALL_MS: i64 = 1_700_000_000_000;

pub struct Play {
    config: Config,
    groups: Groups,
    steady_ms: i64,
    /// Everything that was written: offset, batch.
    log: Vec<(i64, Bytes)>,
    log_end: i64,
    holds: bool,
    outstanding: VecDeque<(u64, i64)>,
    tokens: BTreeMap<u64, String>,
    next_token: u64,
    made_ids: BTreeMap<String, usize>,
    topics: Topics,
    settings: Arc<GroupSettings>,
    text: String,
    /// What requests came in: nothing that is kept may keep these.
    frames: Vec<Bytes>,
}

/// Plays the script with these settings, and gives what was said.
pub fn play(config: Config, script: &str) -> String {
    let mut play = Play {
        groups: Groups::new(config.clone()),
        config,
        steady_ms: 0,
        log: Vec::new(),
        log_end: 0,
        holds: false,
        outstanding: VecDeque::new(),
        tokens: BTreeMap::new(),
        next_token: 0,
        made_ids: BTreeMap::new(),
        topics: Topics::default(),
        settings: Arc::default(),
        text: String::new(),
        frames: Vec::new(),
    };
    play.groups.loaded(play.now());
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        writeln!(play.text, "{line}").unwrap();
        let step = line.split('#').next().unwrap_or_default();
        // `a#1` is an id, ` #` a comment.
        let step =
            if step.ends_with(' ') || step.is_empty() { step } else { line.split(" #").next().unwrap() };
        if !step.trim().is_empty() {
            play.step(step.trim());
        }
    }
    let kept = play.frames.iter().filter(|frame| !frame.is_unique()).count();
    assert_eq!(kept, 0, "requests are kept in memory by what was made of them");
    play.text
}

/// A request as it is decoded: its texts are slices of the frame that it came in. Left as it is where its version has
/// no words for it.
fn through_the_wire(request: Request) -> (Request, Option<Bytes>) {
    fn pass<R: Encodable + Decodable>(request: &R, version: i16) -> Option<(R, Bytes)> {
        let mut encoded = BytesMut::new();
        request.encode(&mut encoded, version).ok()?;
        let frame = encoded.freeze();
        Some((R::decode(&mut frame.clone(), version).ok()?, frame))
    }
    let passed = match &request {
        Request::Join { caller, unique, request } => pass(request, caller.version).map(|(request, frame)| {
            (Request::Join { caller: caller.clone(), unique: *unique, request }, frame)
        }),
        Request::Sync(request) => pass(request, 5).map(|(request, frame)| (Request::Sync(request), frame)),
        Request::Commit { version, request } => pass(request, *version)
            // Only old versions have a word for it, and the scripts use it with all.
            .map(|(decoded, frame)| (decoded.with_retention_time_ms(request.retention_time_ms), frame))
            .map(|(request, frame)| (Request::Commit { version: *version, request }, frame)),
        Request::TxnCommit(request) => {
            pass(request, 3).map(|(request, frame)| (Request::TxnCommit(request), frame))
        }
        _ => None,
    };
    match passed {
        Some((request, frame)) => (request, Some(frame)),
        None => (request, None),
    }
}

/// The words of a step: `name=value` pairs apart from plain ones.
struct Words<'a> {
    plain: Vec<&'a str>,
    named: BTreeMap<&'a str, &'a str>,
}

impl<'a> Words<'a> {
    fn of(text: &'a str) -> Self {
        let (named, plain): (Vec<&str>, Vec<&str>) =
            text.split_whitespace().partition(|word| word.contains('='));
        Self { plain, named: named.iter().filter_map(|pair| pair.split_once('=')).collect() }
    }

    fn text(&self, name: &str) -> Option<StrBytes> {
        self.named.get(name).map(|value| StrBytes::from((*value).to_owned()))
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.named.get(name).map(|value| value.parse().unwrap_or_else(|_| panic!("{name}={value}")))
    }
}

fn group_id() -> GroupId {
    GroupId(StrBytes::from_static_str("g"))
}

/// The metadata of a consumer that subscribes to these topics.
pub fn subscription(topics: &[&str]) -> Bytes {
    let mut bytes = vec![0, 0];
    bytes.extend((topics.len() as i32).to_be_bytes());
    for topic in topics {
        bytes.extend((topic.len() as i16).to_be_bytes());
        bytes.extend(topic.as_bytes());
    }
    bytes.extend((-1_i32).to_be_bytes());
    bytes.into()
}

/// The id of a topic: its name tells it.
fn topic_id(name: &str) -> Uuid {
    Uuid::from_u128(name.bytes().fold(0, |id, byte| id << 8 | u128::from(byte)))
}

/// `t-0,t-1` or `none`.
fn owned(text: &str) -> Vec<TopicPartitions> {
    let mut all: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for word in text.split(',').filter(|word| word.contains('-')) {
        let (topic, index) = partition(word);
        all.entry(topic.to_string()).or_default().push(index);
    }
    let one = |(topic, partitions): (String, _)| TopicPartitions {
        topic_id: topic_id(&topic),
        partitions,
        ..Default::default()
    };
    all.into_iter().map(one).collect()
}

/// An assignment as the leader of a classic group gives it: `t-0+t-1`, or bytes that mean nothing.
fn assignment(text: &str) -> Bytes {
    if !text.contains('-') {
        return Bytes::copy_from_slice(text.as_bytes());
    }
    let mut all: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for word in text.split('+') {
        let (topic, index) = partition(word);
        all.entry(topic.to_string()).or_default().push(index);
    }
    let mut bytes = vec![0, 0];
    bytes.extend((all.len() as i32).to_be_bytes());
    for (topic, indexes) in all {
        bytes.extend((topic.len() as i16).to_be_bytes());
        bytes.extend(topic.as_bytes());
        bytes.extend((indexes.len() as i32).to_be_bytes());
        indexes.iter().for_each(|index| bytes.extend(index.to_be_bytes()));
    }
    bytes.extend((-1_i32).to_be_bytes());
    bytes.into()
}

/// `t-0` to topic and index.
fn partition(text: &str) -> (TopicName, i32) {
    let (topic, index) = text.rsplit_once('-').unwrap();
    (TopicName(StrBytes::from(topic.to_owned())), index.parse().unwrap())
}

impl Play {
    fn now(&self) -> Now {
        Now { wall_ms: WALL_MS + self.steady_ms, steady_ms: self.steady_ms }
    }

    fn expand(&self, id: &str) -> StrBytes {
        let expanded = id.split_once('#').map(|(name, n)| {
            format!("{name}-{}", Uuid::from_u128(n.parse::<u128>().unwrap() | (name.len() as u128) << 64))
        });
        StrBytes::from(expanded.unwrap_or_else(|| id.to_owned()))
    }

    fn shorten(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, count) in &self.made_ids {
            for n in 1..=*count {
                let id = format!("{name}#{n}");
                text = text.replace(&*self.expand(&id), &id);
            }
        }
        text
    }

    fn step(&mut self, step: &str) {
        let (verb, rest) = step.split_once(' ').unwrap_or((step, ""));
        let words = Words::of(rest);
        match verb {
            "after" => return self.pass(words.plain[0].parse().unwrap()),
            "hold" => self.holds = true,
            "stored" => {
                let (ticket, offset) = self.outstanding.pop_front().unwrap();
                self.groups.appended(self.now(), ticket, Ok(offset));
            }
            "failed" => {
                let (ticket, _) = self.outstanding.pop_front().unwrap();
                let code = ErrorCode::try_from_code(words.plain[0].parse().unwrap()).unwrap();
                self.groups.appended(self.now(), ticket, Err(code));
            }
            "reload" => return self.reload(),
            "marker" => {
                let (producer, is_commit) = (words.number("producer").unwrap(), words.plain[0] == "commit");
                self.write_marker(producer, is_commit);
                self.groups.handle(
                    self.now(),
                    0,
                    Request::TransactionEnded { producer_id: producer, is_commit },
                );
            }
            "resign" => self.groups.resign(self.now()),
            "topics" => self.set_topics(&words),
            "own" => self.set_own(&words),
            verb => {
                let request = self.request(verb, &words);
                self.next_token += 1;
                self.tokens.insert(self.next_token, words.plain.first().unwrap_or(&verb).to_string());
                let (request, frame) = through_the_wire(request);
                self.frames.extend(frame);
                self.groups.handle(self.now(), self.next_token, request);
            }
        }
        self.drain();
    }

    fn request(&mut self, verb: &str, words: &Words<'_>) -> Request {
        let member = words.named.get("as").map(|id| self.expand(id)).unwrap_or_default();
        let instance = words.text("static");
        let generation = words.number("gen").unwrap_or(-1);
        match verb {
            "join" => self.join(words, member, instance),
            "sync" => {
                let given = words.named.get("assign").into_iter().flat_map(|list| list.split(','));
                let assignments = given.map(|pair| {
                    let (id, part) = pair.split_once(':').unwrap();
                    SyncGroupRequestAssignment::default()
                        .with_member_id(self.expand(id))
                        .with_assignment(assignment(part))
                });
                let request = SyncGroupRequest::default()
                    .with_group_id(group_id())
                    .with_generation_id(generation)
                    .with_member_id(member)
                    .with_group_instance_id(instance)
                    .with_protocol_type(words.text("type"))
                    .with_protocol_name(words.text("protocol"))
                    .with_assignments(assignments.collect());
                Request::Sync(request)
            }
            "beat" => Request::Heartbeat(
                HeartbeatRequest::default()
                    .with_group_id(group_id())
                    .with_generation_id(generation)
                    .with_member_id(member)
                    .with_group_instance_id(instance),
            ),
            "leave" => {
                let leaving =
                    MemberIdentity::default().with_member_id(member).with_group_instance_id(instance);
                Request::Leave(
                    LeaveGroupRequest::default().with_group_id(group_id()).with_members(vec![leaving]),
                )
            }
            "commit" => self.commit(words, member, instance, generation),
            "txn" => self.txn_commit(words, member, generation),
            "fetch" => {
                let asked = words.plain.iter().filter(|word| word.contains('-')).map(|word| {
                    let (topic, index) = partition(word);
                    OffsetFetchRequestTopics::default().with_name(topic).with_partition_indexes(vec![index])
                });
                let asked: Vec<_> = asked.collect();
                let group = OffsetFetchRequestGroup::default()
                    .with_group_id(group_id())
                    .with_member_id((!member.is_empty()).then_some(member))
                    .with_member_epoch(generation)
                    .with_topics((!asked.is_empty()).then_some(asked));
                Request::Fetch { group, require_stable: words.plain.contains(&"stable") }
            }
            "describe" => Request::Describe(group_id()),
            "list" => {
                let states = words.plain.iter().map(|state| StrBytes::from((*state).to_owned())).collect();
                Request::List { states, types: words.text("type").into_iter().collect() }
            }
            "hb" => self.heartbeat(words, instance),
            "describe-consumer" => Request::ConsumerDescribe(group_id()),
            "delete" => Request::Delete(group_id()),
            "delete-offsets" => {
                let topics = words.plain.iter().map(|word| {
                    let (topic, index) = partition(word);
                    let partition = OffsetDeleteRequestPartition::default().with_partition_index(index);
                    OffsetDeleteRequestTopic::default().with_name(topic).with_partitions(vec![partition])
                });
                let request =
                    OffsetDeleteRequest::default().with_group_id(group_id()).with_topics(topics.collect());
                Request::DeleteOffsets(request)
            }
            "topic-deleted" => Request::PartitionsDeleted(
                words
                    .plain
                    .iter()
                    .map(|word| {
                        let (topic, index) = partition(word);
                        (topic.0, index)
                    })
                    .collect(),
            ),
            other => panic!("no step {other}"),
        }
    }

    fn join(&mut self, words: &Words<'_>, member: StrBytes, instance: Option<StrBytes>) -> Request {
        let client = words.plain[0];
        let name = words.named.get("static").unwrap_or(&client).to_string();
        let mut unique = Uuid::nil();
        if member.is_empty() {
            let count = self.made_ids.entry(name.clone()).or_default();
            *count += 1;
            unique = Uuid::from_u128(*count as u128 | (name.len() as u128) << 64);
        }
        let topics: Vec<&str> = words.named.get("topics").map_or(vec!["t"], |list| list.split(',').collect());
        let protocols = words.named.get("protocols").unwrap_or(&"range").split(',').filter(|p| !p.is_empty());
        let protocols = protocols.map(|name| {
            JoinGroupRequestProtocol::default()
                .with_name(StrBytes::from(name.to_owned()))
                .with_metadata(subscription(&topics))
        });
        let request = JoinGroupRequest::default()
            .with_group_id(group_id())
            .with_session_timeout_ms(words.number("session").unwrap_or(10_000))
            .with_rebalance_timeout_ms(words.number("rebalance").unwrap_or(60_000))
            .with_member_id(member)
            .with_group_instance_id(instance)
            .with_protocol_type(words.text("type").unwrap_or(StrBytes::from_static_str("consumer")))
            .with_protocols(protocols.collect());
        let caller = Caller {
            version: words.number("v").unwrap_or(9),
            client_id: StrBytes::from(client.to_owned()),
            client_host: StrBytes::from_static_str("/127.0.0.1"),
        };
        Request::Join { caller, unique, request }
    }

    fn commit(
        &self,
        words: &Words<'_>,
        member: StrBytes,
        instance: Option<StrBytes>,
        generation: i32,
    ) -> Request {
        let metadata = words.number("metadata").map(|length| StrBytes::from("x".repeat(length)));
        let topics = words.named.iter().filter(|(name, _)| name.contains('-')).map(|(name, offset)| {
            let (topic, index) = partition(name);
            let partition = OffsetCommitRequestPartition::default()
                .with_partition_index(index)
                .with_committed_offset(offset.parse().unwrap())
                .with_commit_timestamp(-1)
                .with_committed_metadata(metadata.clone());
            OffsetCommitRequestTopic::default().with_name(topic).with_partitions(vec![partition])
        });
        let request = OffsetCommitRequest::default()
            .with_group_id(group_id())
            .with_generation_id_or_member_epoch(generation)
            .with_member_id(member)
            .with_group_instance_id(instance)
            .with_retention_time_ms(words.number("retention").unwrap_or(-1))
            .with_topics(topics.collect());
        Request::Commit { version: words.number("v").unwrap_or(9), request }
    }

    fn heartbeat(&mut self, words: &Words<'_>, instance: Option<StrBytes>) -> Request {
        let name = words.plain[0];
        let epoch = words.number("epoch").unwrap_or(0);
        let text = |name: &str| words.named.get(name).map(|text| (*text).to_owned());
        let topics = words.named.get("topics").map(|list| {
            list.split(',').filter(|topic| !topic.is_empty()).map(str::to_owned).collect::<Vec<_>>()
        });
        let joins = epoch == 0;
        let regex = text("regex");
        let request = ConsumerGroupHeartbeatRequest {
            group_id: words.named.get("group").map_or("g", |group| group).to_owned(),
            member_id: text("as").unwrap_or_else(|| name.to_owned()),
            member_epoch: epoch,
            instance_id: instance.map(|instance| instance.to_string()),
            rack_id: text("rack"),
            rebalance_timeout_ms: words.number("rebalance").unwrap_or(if joins { 60_000 } else { -1 }),
            subscribed_topic_names: topics
                .or_else(|| (joins && regex.is_none()).then(|| vec!["t".to_owned()])),
            subscribed_topic_regex: regex,
            server_assignor: text("assignor"),
            topic_partitions: match words.named.get("owned") {
                None => joins.then(Vec::new),
                Some(list) => Some(owned(list)),
            },
            ..Default::default()
        };
        let caller = Caller {
            version: words.number("v").unwrap_or(1),
            client_id: StrBytes::from(name.to_owned()),
            client_host: StrBytes::from_static_str("/127.0.0.1"),
        };
        Request::ConsumerHeartbeat { caller, unique: Uuid::from_u128(1), request }
    }

    fn set_topics(&mut self, words: &Words<'_>) {
        let version = self.topics.version + 1;
        let is_new = |name: &str| self.topics.by_name(&StrBytes::from(name.to_owned())).is_none();
        let created_in =
            if words.named.keys().any(|name| is_new(name)) { version } else { self.topics.created_in };
        let topics = words.named.iter().map(|(name, count)| {
            let mut racks = vec![Vec::new(); count.parse().unwrap()];
            Arc::new(Topic::new(topic_id(name), StrBytes::from((*name).to_owned()), &mut racks))
        });
        self.topics = Topics::new(version, created_in, topics);
        self.groups.set_topics(Arc::new(self.topics.clone()));
    }

    fn set_own(&mut self, words: &Words<'_>) {
        let own = OwnSettings {
            session_timeout_ms: words.number("session"),
            heartbeat_interval_ms: words.number("heartbeat"),
        };
        self.settings = Arc::new(GroupSettings::from([(group_id().0, own)]));
        self.groups.set_settings(Arc::clone(&self.settings));
    }

    fn txn_commit(&self, words: &Words<'_>, member: StrBytes, generation: i32) -> Request {
        let topics = words.named.iter().filter(|(name, _)| name.contains('-')).map(|(name, offset)| {
            let (topic, index) = partition(name);
            let partition = TxnOffsetCommitRequestPartition::default()
                .with_partition_index(index)
                .with_committed_offset(offset.parse().unwrap());
            TxnOffsetCommitRequestTopic::default().with_name(topic).with_partitions(vec![partition])
        });
        let request = TxnOffsetCommitRequest::default()
            .with_group_id(group_id())
            .with_generation_id(generation)
            .with_member_id(member)
            .with_producer_id(ProducerId(words.number("producer").unwrap()))
            .with_topics(topics.collect());
        Request::TxnCommit(request)
    }

    /// Time passes, from one deadline to the next.
    fn pass(&mut self, ms: i64) {
        let until_ms = self.steady_ms + ms;
        while let Some(due_ms) = self.groups.next_deadline().filter(|due_ms| *due_ms <= until_ms) {
            self.steady_ms = due_ms.max(self.steady_ms);
            let begun = self.text.len();
            self.groups.tick(self.now());
            self.drain();
            if self.text.len() > begun {
                let at = format!("  at {}:\n", self.steady_ms);
                self.text.insert_str(begun, &at);
            }
        }
        self.steady_ms = until_ms;
    }

    fn drain(&mut self) {
        loop {
            let effects = self.groups.take_effects();
            if effects.is_empty() {
                return;
            }
            for effect in effects {
                match effect {
                    Effect::Reply { token, reply } => {
                        let who = self.tokens.remove(&token).expect("one reply to a request");
                        let line = self.shorten(&told(&reply));
                        writeln!(self.text, "  {who}: {line}").unwrap();
                    }
                    Effect::Append(append) => {
                        let line = self.shorten(&records_told(&append.batch));
                        let (note, offset) =
                            (if append.ticket.is_some() { "" } else { " (nobody waits)" }, self.log_end);
                        writeln!(self.text, "  log: {line}{note}").unwrap();
                        self.append(append.batch);
                        if let Some(ticket) = append.ticket {
                            self.outstanding.push_back((ticket, offset));
                        }
                    }
                }
            }
            while let Some((ticket, offset)) = self.outstanding.pop_front_if(|_| !self.holds) {
                self.groups.appended(self.now(), ticket, Ok(offset));
            }
        }
    }

    fn append(&mut self, batch: Bytes) {
        let count = BatchRef::parse(&batch).unwrap().header.record_count;
        self.log.push((self.log_end, batch));
        self.log_end += i64::from(count);
    }

    fn write_marker(&mut self, producer: i64, is_commit: bool) {
        let control = match is_commit {
            true => ControlRecord::Commit { coordinator_epoch: 0 },
            false => ControlRecord::Abort { coordinator_epoch: 0 },
        };
        let (key, value) = control.encode().unwrap();
        let mut batch = BatchBuilder::new(0, -1).control().transactional().producer(producer, 0, -1);
        batch.append(0, Some(&key), Some(&value));
        self.append(batch.build());
    }

    /// Another broker loads the log.
    fn reload(&mut self) {
        self.groups = Groups::new(self.config.clone());
        self.groups.set_topics(Arc::new(self.topics.clone()));
        self.groups.set_settings(Arc::clone(&self.settings));
        self.outstanding.clear();
        for (offset, batch) in &self.log {
            let batch = BatchRef::parse(batch).unwrap();
            let mut scratch = Vec::new();
            for record in batch.records(1 << 20, &mut scratch).unwrap() {
                let record = record.unwrap();
                if batch.header.is_control() {
                    let control = ControlRecord::decode(record.key.unwrap(), record.value.unwrap()).unwrap();
                    self.groups.load_marker(
                        batch.header.producer_id,
                        matches!(control, ControlRecord::Commit { .. }),
                    );
                    continue;
                }
                let place = RecordPlace {
                    batch_offset: *offset,
                    producer_id: batch.header.producer_id,
                    is_transactional: batch.header.is_transactional(),
                };
                let copied = |bytes: Option<&[u8]>| bytes.map(Bytes::copy_from_slice);
                self.groups.load(place, copied(record.key), copied(record.value)).unwrap();
            }
        }
        self.groups.loaded(self.now());
        self.drain();
    }
}
