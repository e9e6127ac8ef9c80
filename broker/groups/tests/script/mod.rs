//! Scripts: one line a step, as one would tell it; what the machine says to it stands indented below.
//!
//! `#` begins a comment. `a#1` is the id that the first join without an id made from client id (or instance) `a`.
//! Appends are committed at once, unless `hold` stands before; then `stored` and `failed CODE` settle the oldest.

#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;

use jackdaw_groups::{Caller, Config, Effect, Groups, RecordPlace, Reply, Request};
use jackdaw_wire::batch::{BatchBuilder, BatchRef};
use jackdaw_wire::compression::Compression;
use jackdaw_wire::control_record::ControlRecord;
use jackdaw_wire::group_record::{self, GroupKey, GroupMetadataValue, OffsetCommitValue};
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
use jackdaw_wire::{Bytes, ErrorCode, StrBytes, Uuid};

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
    }
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
    text: String,
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
        text: String::new(),
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
    play.text
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
            verb => {
                let request = self.request(verb, &words);
                self.next_token += 1;
                self.tokens.insert(self.next_token, words.plain.first().unwrap_or(&verb).to_string());
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
                        .with_assignment(Bytes::copy_from_slice(part.as_bytes()))
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
                    .with_topics((!asked.is_empty()).then_some(asked));
                Request::Fetch { group, require_stable: words.plain.contains(&"stable") }
            }
            "describe" => Request::Describe(group_id()),
            "list" => {
                Request::List(words.plain.iter().map(|state| StrBytes::from((*state).to_owned())).collect())
            }
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
        Request::Commit(request)
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

fn error(code: i16) -> String {
    ErrorCode::try_from_code(code).map_or("ok".to_owned(), |error| format!("{error:?}"))
}

fn told(reply: &Reply) -> String {
    match reply {
        Reply::Join(r) if r.error_code != 0 => {
            let id = if r.member_id.is_empty() { String::new() } else { format!(", {}", r.member_id) };
            format!("{}{id}", error(r.error_code))
        }
        Reply::Join(r) => {
            let members: Vec<String> = r.members.iter().map(|m| m.member_id.to_string()).collect();
            let protocol = r.protocol_name.as_deref().unwrap_or("none");
            let roll =
                if members.is_empty() { String::new() } else { format!(", leads {}", members.join(" ")) };
            let skip = if r.skip_assignment { ", need not assign" } else { "" };
            let follows = if members.is_empty() { format!(", follows {}", r.leader) } else { String::new() };
            format!("joined as {} gen {} {protocol}{follows}{roll}{skip}", r.member_id, r.generation_id)
        }
        Reply::Sync(r) if r.error_code != 0 => error(r.error_code),
        Reply::Sync(r) => format!("assigned {:?}", String::from_utf8_lossy(&r.assignment)),
        Reply::Heartbeat(r) => error(r.error_code),
        Reply::Leave(r) => {
            let members: Vec<String> = r.members.iter().map(|m| error(m.error_code)).collect();
            if r.error_code != 0 { error(r.error_code) } else { members.join(" ") }
        }
        Reply::Commit(r) => {
            let partitions =
                r.topics.iter().flat_map(|t| t.partitions.iter().map(move |p| (t.name.to_string(), p)));
            let lines = partitions.map(|(t, p)| format!("{t}-{} {}", p.partition_index, error(p.error_code)));
            lines.collect::<Vec<_>>().join(", ")
        }
        Reply::TxnCommit(r) => {
            let partitions =
                r.topics.iter().flat_map(|t| t.partitions.iter().map(move |p| (t.name.to_string(), p)));
            let lines = partitions.map(|(t, p)| format!("{t}-{} {}", p.partition_index, error(p.error_code)));
            lines.collect::<Vec<_>>().join(", ")
        }
        Reply::Fetch(r) if r.error_code != 0 => error(r.error_code),
        Reply::Fetch(r) => {
            let partitions =
                r.topics.iter().flat_map(|t| t.partitions.iter().map(move |p| (t.name.to_string(), p)));
            let lines = partitions.map(|(t, p)| match p.error_code {
                0 => format!("{t}-{}={}", p.partition_index, p.committed_offset),
                code => format!("{t}-{} {}", p.partition_index, error(code)),
            });
            format!("[{}]", lines.collect::<Vec<_>>().join(", "))
        }
        Reply::Describe(r) => {
            let members = r.members.iter().map(|m| {
                format!(
                    "{}@{}={:?}",
                    m.member_id,
                    m.client_host,
                    String::from_utf8_lossy(&m.member_assignment)
                )
            });
            let members: Vec<String> = members.collect();
            format!("{} {} {:?} {}", r.group_state, r.protocol_type, &*r.protocol_data, members.join(" "))
        }
        Reply::List(groups) => {
            let lines =
                groups.iter().map(|g| format!("{} {} {}", &*g.group_id, g.protocol_type, g.group_state));
            format!("[{}]", lines.collect::<Vec<_>>().join(", "))
        }
        Reply::Delete(r) => error(r.error_code),
        Reply::DeleteOffsets(r) => {
            let partitions =
                r.topics.iter().flat_map(|t| t.partitions.iter().map(move |p| (t.name.to_string(), p)));
            let lines = partitions.map(|(t, p)| format!("{t}-{} {}", p.partition_index, error(p.error_code)));
            format!("{} {}", error(r.error_code), lines.collect::<Vec<_>>().join(", "))
        }
    }
}

fn records_told(batch: &Bytes) -> String {
    let batch = BatchRef::parse(batch).unwrap();
    let mut scratch = Vec::new();
    let mut lines = Vec::new();
    for record in batch.records(1 << 20, &mut scratch).unwrap() {
        let record = record.unwrap();
        let value = record.value.map(Bytes::copy_from_slice);
        lines.push(match (GroupKey::decode(Bytes::copy_from_slice(record.key.unwrap())).unwrap(), value) {
            (GroupKey::Offset(key), None) => format!("offset {}-{} gone", key.topic, key.partition),
            (GroupKey::Offset(key), Some(value)) => {
                let (value, version) = group_record::decode::<OffsetCommitValue>(value).unwrap();
                let old = if version == 3 { "" } else { " (expires)" };
                format!("offset {}-{}={}{old}", key.topic, key.partition, value.offset)
            }
            (GroupKey::Group(_), None) => "group gone".to_owned(),
            (GroupKey::Group(_), Some(value)) => {
                let (value, _) = group_record::decode::<GroupMetadataValue>(value).unwrap();
                let members = value
                    .members
                    .iter()
                    .map(|m| format!(" {}={:?}", m.member_id, String::from_utf8_lossy(&m.assignment)));
                format!(
                    "group gen {} {}{}",
                    value.generation,
                    value.protocol.as_deref().unwrap_or("none"),
                    members.collect::<String>()
                )
            }
            (GroupKey::Unknown(version), _) => format!("unknown {version}"),
        });
    }
    let producer = match batch.header.is_transactional() {
        true => format!(" in a transaction of {}", batch.header.producer_id),
        false => String::new(),
    };
    format!("{}{producer}", lines.join(", "))
}
