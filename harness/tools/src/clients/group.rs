//! Membership in a consumer group of the classic protocol, with the range assignor (`ConsumerCoordinator`).
//!
//! It is a state that its consumer asks for the next step; heartbeats go out whenever the consumer waits.

use super::consumer::Place;
use crate::admin::{Admin, MOVED, Result, To, text, topic_name};
use crate::errors::{Exception, check};
use crate::properties::Properties;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use jackdaw_wire::ErrorCode;
use kafka_protocol::messages::consumer_protocol_assignment::TopicPartition;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, GroupId, HeartbeatRequest, JoinGroupRequest,
    JoinGroupResponse, LeaveGroupRequest, OffsetCommitRequest, OffsetFetchRequest, SyncGroupRequest,
};
use kafka_protocol::protocol::{Decodable as _, Encodable as _, StrBytes};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// `heartbeat.interval.ms`, `session.timeout.ms`, `max.poll.interval.ms`, `auto.commit.interval.ms`
const HEARTBEAT: Duration = Duration::from_secs(3);
const SESSION_TIMEOUT_MS: i32 = 45_000;
const REBALANCE_TIMEOUT_MS: i32 = 300_000;
const COMMIT: Duration = Duration::from_secs(5);
const CONSUMER: &str = "consumer";
const RANGE: &str = "range";
/// The version of what members and their leader tell each other.
const PROTOCOL_VERSION: i16 = 1;

/// What a member has to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Go on.
    Stay,
    /// Join, for the first time or again.
    Rejoin,
}

/// See the head of this file.
pub struct Group {
    id: GroupId,
    session_timeout_ms: i32,
    rebalance_timeout_ms: i32,
    heartbeat: Duration,
    commit: Duration,
    member_id: StrBytes,
    instance_id: Option<StrBytes>,
    generation: i32,
    coordinator: Option<i32>,
    joined: bool,
    heard: Instant,
    committed: Instant,
    last: BTreeMap<Place, i64>,
}

impl Group {
    /// A group that nobody joined yet.
    pub fn new(id: &str, properties: &Properties) -> Self {
        let ms = |key: &str| properties.get(key).and_then(|value| value.trim().parse::<i32>().ok());
        let duration = |key: &str, default: Duration| {
            ms(key).map_or(default, |ms| Duration::from_millis(ms.max(0) as u64))
        };
        Group {
            id: GroupId(text(id)),
            session_timeout_ms: ms("session.timeout.ms").unwrap_or(SESSION_TIMEOUT_MS),
            rebalance_timeout_ms: ms("max.poll.interval.ms").unwrap_or(REBALANCE_TIMEOUT_MS),
            heartbeat: duration("heartbeat.interval.ms", HEARTBEAT),
            commit: duration("auto.commit.interval.ms", COMMIT),
            member_id: StrBytes::default(),
            instance_id: properties.get("group.instance.id").map(|id| text(id)),
            generation: -1,
            coordinator: None,
            joined: false,
            heard: Instant::now(),
            committed: Instant::now(),
            last: BTreeMap::new(),
        }
    }

    /// Whether it was joined and nothing else was heard.
    pub fn is_member(&self) -> bool {
        self.joined
    }

    /// When there is something to do.
    pub fn next_due(&self) -> Duration {
        self.heartbeat
            .saturating_sub(self.heard.elapsed())
            .min(self.commit.saturating_sub(self.committed.elapsed()))
    }

    /// Whether offsets are to be committed.
    pub fn commit_due(&self) -> bool {
        self.joined && self.committed.elapsed() >= self.commit
    }

    fn to(&mut self, admin: &mut Admin) -> Result<To> {
        let node = match self.coordinator {
            Some(node) => node,
            None => {
                let id = self.id.to_string();
                *self.coordinator.insert(admin.coordinator(0, &id)?)
            }
        };
        Ok(To::Node(node))
    }

    /// Sends a heartbeat if one is due, and tells what the answer asks for.
    ///
    /// # Errors
    /// When the coordinator refuses.
    pub fn step(&mut self, admin: &mut Admin) -> Result<Step> {
        if !self.joined {
            return Ok(Step::Rejoin);
        }
        if self.heard.elapsed() < self.heartbeat {
            return Ok(Step::Stay);
        }
        self.heard = Instant::now();
        let to = self.to(admin)?;
        let request = HeartbeatRequest::default()
            .with_group_id(self.id.clone())
            .with_generation_id(self.generation)
            .with_member_id(self.member_id.clone())
            .with_group_instance_id(self.instance_id.clone());
        match ErrorCode::try_from_code(admin.ask(to, "heartbeat", &request)?.error_code) {
            None => return Ok(Step::Stay),
            Some(error) if MOVED.contains(&error.code()) => {
                self.coordinator = None;
                return Ok(Step::Stay);
            }
            Some(ErrorCode::IllegalGeneration | ErrorCode::UnknownMemberId) => {
                self.member_id = StrBytes::default();
                self.joined = false;
            }
            // Still a member: what was read may be committed before the partitions go.
            Some(ErrorCode::RebalanceInProgress) => {}
            Some(error) => return Err(error.into()),
        }
        Ok(Step::Rejoin)
    }

    /// Joins, and tells the partitions that are this member's.
    ///
    /// # Errors
    /// When the coordinator refuses.
    pub fn join(
        &mut self,
        admin: &mut Admin,
        topics: &[String],
        counts: &BTreeMap<String, i32>,
    ) -> Result<Vec<Place>> {
        self.joined = false;
        // The answer comes when all members have joined, or their time is over.
        let patience = Duration::from_millis(self.rebalance_timeout_ms.max(0) as u64 + 5_000);
        loop {
            let to = self.to(admin)?;
            let request = self.join_request(topics)?;
            let answer = admin.patiently(patience, |admin| admin.ask(to, "joinGroup", &request))?;
            match ErrorCode::try_from_code(answer.error_code) {
                None => {}
                Some(ErrorCode::MemberIdRequired) => {
                    self.member_id = answer.member_id;
                    continue;
                }
                Some(ErrorCode::UnknownMemberId) => {
                    self.member_id = StrBytes::default();
                    continue;
                }
                Some(error) if MOVED.contains(&error.code()) || error == ErrorCode::RebalanceInProgress => {
                    self.coordinator = None;
                    admin.pause();
                    continue;
                }
                Some(error) => return Err(error.into()),
            }
            self.member_id = answer.member_id.clone();
            self.generation = answer.generation_id;
            let shares =
                if answer.leader == answer.member_id { shares(&answer, counts)? } else { Vec::new() };
            let request = SyncGroupRequest::default()
                .with_group_id(self.id.clone())
                .with_generation_id(self.generation)
                .with_member_id(self.member_id.clone())
                .with_group_instance_id(self.instance_id.clone())
                .with_protocol_type(Some(text(CONSUMER)))
                .with_protocol_name(Some(text(RANGE)))
                .with_assignments(shares);
            let answer = admin.ask(to, "syncGroup", &request)?;
            match ErrorCode::try_from_code(answer.error_code) {
                None => {
                    (self.joined, self.heard, self.committed) = (true, Instant::now(), Instant::now());
                    self.last.clear();
                    return assigned(answer.assignment);
                }
                Some(ErrorCode::IllegalGeneration | ErrorCode::UnknownMemberId) => {
                    self.member_id = StrBytes::default()
                }
                Some(ErrorCode::RebalanceInProgress) => {}
                Some(error) if MOVED.contains(&error.code()) => self.coordinator = None,
                Some(error) => return Err(error.into()),
            }
        }
    }

    fn join_request(&self, topics: &[String]) -> Result<JoinGroupRequest> {
        let subscription = ConsumerProtocolSubscription::default()
            .with_topics(topics.iter().map(|topic| text(topic)).collect())
            .with_user_data(None);
        let protocol = JoinGroupRequestProtocol::default()
            .with_name(text(RANGE))
            .with_metadata(encoded(|out, version| subscription.encode(out, version))?);
        Ok(JoinGroupRequest::default()
            .with_group_id(self.id.clone())
            .with_session_timeout_ms(self.session_timeout_ms)
            .with_rebalance_timeout_ms(self.rebalance_timeout_ms)
            .with_member_id(self.member_id.clone())
            .with_group_instance_id(self.instance_id.clone())
            .with_protocol_type(text(CONSUMER))
            .with_protocols(vec![protocol]))
    }

    /// The committed offsets of partitions; -1 where there is none.
    ///
    /// # Errors
    /// When the coordinator refuses.
    pub fn committed(&mut self, admin: &mut Admin, places: &[Place]) -> Result<BTreeMap<Place, i64>> {
        let id = self.id.to_string();
        let found = fetch_offsets(admin, &id, Some(places))?;
        Ok(found.into_iter().map(|(place, committed)| (place, committed.offset)).collect())
    }

    /// Commits offsets, unless they are as they were.
    ///
    /// # Errors
    /// When the coordinator refuses.
    pub fn commit(&mut self, admin: &mut Admin, offsets: &[(Place, i64)]) -> Result<()> {
        self.committed = Instant::now();
        let news: Vec<&(Place, i64)> =
            offsets.iter().filter(|(place, offset)| self.last.get(place) != Some(offset)).collect();
        if news.is_empty() || !self.joined {
            return Ok(());
        }
        let mut topics: BTreeMap<&str, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
        for ((topic, partition), offset) in news {
            let partition = OffsetCommitRequestPartition::default()
                .with_partition_index(*partition)
                .with_committed_offset(*offset)
                .with_committed_metadata(Some(StrBytes::default()));
            topics.entry(topic).or_default().push(partition);
        }
        let topic = |(name, partitions): (&str, Vec<OffsetCommitRequestPartition>)| {
            OffsetCommitRequestTopic::default().with_name(topic_name(name)).with_partitions(partitions)
        };
        let request = OffsetCommitRequest::default()
            .with_group_id(self.id.clone())
            .with_generation_id_or_member_epoch(self.generation)
            .with_member_id(self.member_id.clone())
            .with_group_instance_id(self.instance_id.clone())
            .with_topics(topics.into_iter().map(topic).collect());
        admin.retrying(MOVED, |admin| {
            let to = self.to(admin)?;
            let answer = admin.ask(to, "offsetCommit", &request)?;
            for partition in answer.topics.iter().flat_map(|topic| &topic.partitions) {
                if MOVED.contains(&partition.error_code) {
                    self.coordinator = None;
                }
                check(partition.error_code, None)?;
            }
            Ok(())
        })?;
        self.last.extend(offsets.iter().cloned());
        Ok(())
    }

    /// Leaves; a member with an id of its own stays.
    ///
    /// # Errors
    /// When the coordinator does not answer.
    pub fn leave(&mut self, admin: &mut Admin) -> Result<()> {
        if !self.joined || self.instance_id.is_some() {
            return Ok(());
        }
        self.joined = false;
        let to = self.to(admin)?;
        admin.ask_by_version(to, "leaveGroup", |version| {
            let request = LeaveGroupRequest::default().with_group_id(self.id.clone());
            if version >= 3 {
                request.with_members(vec![MemberIdentity::default().with_member_id(self.member_id.clone())])
            } else {
                request.with_member_id(self.member_id.clone())
            }
        })?;
        Ok(())
    }
}

/// A committed offset.
#[derive(Debug, Clone)]
pub struct Committed {
    /// The offset; -1 for none.
    pub offset: i64,
}

/// The offsets that a group has committed, of the given partitions or of all.
///
/// # Errors
/// When the coordinator refuses.
pub fn fetch_offsets(
    admin: &mut Admin,
    group: &str,
    places: Option<&[Place]>,
) -> Result<BTreeMap<Place, Committed>> {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in places.unwrap_or_default() {
        topics.entry(topic).or_default().push(*partition);
    }
    admin.retrying(MOVED, |admin| {
        let node = admin.coordinator(0, group)?;
        let answer = admin.ask_by_version(To::Node(node), "offsetFetch", |version| {
            let id = GroupId(text(group));
            if version >= 8 {
                let topic = |(name, partitions): (&&str, &Vec<i32>)| {
                    OffsetFetchRequestTopics::default()
                        .with_name(topic_name(name))
                        .with_partition_indexes(partitions.clone())
                };
                let asked = OffsetFetchRequestGroup::default()
                    .with_group_id(id)
                    .with_topics(places.map(|_| topics.iter().map(topic).collect()));
                OffsetFetchRequest::default().with_groups(vec![asked])
            } else {
                let topic = |(name, partitions): (&&str, &Vec<i32>)| {
                    OffsetFetchRequestTopic::default()
                        .with_name(topic_name(name))
                        .with_partition_indexes(partitions.clone())
                };
                OffsetFetchRequest::default()
                    .with_group_id(id)
                    .with_topics(places.map(|_| topics.iter().map(topic).collect()))
            }
        })?;
        check(answer.error_code, None)?;
        let mut found = BTreeMap::new();
        for topic in answer.topics {
            for partition in topic.partitions {
                check(partition.error_code, None)?;
                let committed = Committed { offset: partition.committed_offset };
                found.insert((topic.name.to_string(), partition.partition_index), committed);
            }
        }
        for group in answer.groups {
            check(group.error_code, None)?;
            for topic in group.topics {
                for partition in topic.partitions {
                    check(partition.error_code, None)?;
                    let committed = Committed { offset: partition.committed_offset };
                    found.insert((topic.name.to_string(), partition.partition_index), committed);
                }
            }
        }
        Ok(found)
    })
}

fn encoded(write: impl FnOnce(&mut BytesMut, i16) -> anyhow::Result<()>) -> Result<Bytes> {
    let mut out = BytesMut::new();
    out.put_i16(PROTOCOL_VERSION);
    write(&mut out, PROTOCOL_VERSION).map_err(|_| Exception::from(ErrorCode::UnknownServerError))?;
    Ok(out.freeze())
}

/// What the leader gives to each member (`RangeAssignor`).
fn shares(
    answer: &JoinGroupResponse,
    counts: &BTreeMap<String, i32>,
) -> Result<Vec<SyncGroupRequestAssignment>> {
    let mut subscribers: BTreeMap<String, Vec<StrBytes>> = BTreeMap::new();
    for member in &answer.members {
        let mut metadata = member.metadata.clone();
        let version = if metadata.len() >= 2 { metadata.get_i16().clamp(0, 3) } else { 0 };
        let subscription = ConsumerProtocolSubscription::decode(&mut metadata, version);
        for topic in subscription.map_err(|_| Exception::from(ErrorCode::UnknownServerError))?.topics {
            subscribers.entry(topic.to_string()).or_default().push(member.member_id.clone());
        }
    }
    let mut given: BTreeMap<StrBytes, Vec<TopicPartition>> =
        answer.members.iter().map(|member| (member.member_id.clone(), Vec::new())).collect();
    for (topic, mut members) in subscribers {
        members.sort();
        let count = counts.get(&topic).copied().unwrap_or_default() as usize;
        let (each, more) = (count / members.len(), count % members.len());
        let mut next = 0;
        for (index, member) in members.into_iter().enumerate() {
            let share = each + usize::from(index < more);
            let partitions: Vec<i32> = (next..next + share).map(|partition| partition as i32).collect();
            next += share;
            if !partitions.is_empty() {
                let part =
                    TopicPartition::default().with_topic(topic_name(&topic)).with_partitions(partitions);
                given.entry(member).or_default().push(part);
            }
        }
    }
    let share = |(member, partitions): (StrBytes, Vec<TopicPartition>)| {
        let assignment =
            ConsumerProtocolAssignment::default().with_assigned_partitions(partitions).with_user_data(None);
        let assignment = encoded(|out, version| assignment.encode(out, version))?;
        Ok(SyncGroupRequestAssignment::default().with_member_id(member).with_assignment(assignment))
    };
    given.into_iter().map(share).collect()
}

fn assigned(mut bytes: Bytes) -> Result<Vec<Place>> {
    if bytes.len() < 2 {
        return Ok(Vec::new());
    }
    let version = bytes.get_i16().clamp(0, 3);
    let assignment = ConsumerProtocolAssignment::decode(&mut bytes, version)
        .map_err(|_| Exception::from(ErrorCode::UnknownServerError))?;
    let places = assignment
        .assigned_partitions
        .iter()
        .flat_map(|part| part.partitions.iter().map(|partition| (part.topic.to_string(), *partition)));
    Ok(places.collect())
}
