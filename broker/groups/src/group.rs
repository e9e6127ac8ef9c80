//! A group: its state, its members, and what can be asked of the two (`GroupMetadata`). Nothing here replies, writes
//! or sets a timer.
//!
//! Offsets are the same whatever the protocol. A group of the consumer protocol has its state in `consumer`, and is empty
//! in the eyes of the classic one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jackdaw_wire::messages::join_group_response::JoinGroupResponseMember;
use jackdaw_wire::types::Now;
use jackdaw_wire::{Bytes, ErrorCode, StrBytes};

use crate::api::Request;
use crate::consumer::{ConsumerGroup, ConsumerWrite, Timers};
use crate::member::Member;
use crate::offsets::Offsets;
use crate::subscription::{self, CONSUMER};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupState {
    /// No members; perhaps offsets.
    Empty,
    /// Waits for its members to join.
    PreparingRebalance,
    /// Waits for its leader's assignment.
    CompletingRebalance,
    Stable,
}

impl GroupState {
    /// As DescribeGroups and ListGroups say it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

/// What ends the wait for members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JoinTimer {
    /// All have joined, or the time is over.
    AllOrDeadline { deadline_ms: i64 },
    /// The group was empty: others may come, so only the time ends it, and newcomers lengthen it
    /// (`InitialDelayedJoin`).
    Initial { deadline_ms: i64, delay_ms: i64, remaining_ms: i64 },
}

impl JoinTimer {
    pub fn deadline_ms(self) -> i64 {
        match self {
            Self::AllOrDeadline { deadline_ms } | Self::Initial { deadline_ms, .. } => deadline_ms,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Group {
    pub id: StrBytes,
    /// Tells it from an earlier group of the same name.
    pub incarnation: u64,
    pub state: GroupState,
    /// When it entered its state; none where the log did not tell.
    pub state_since_ms: Option<i64>,
    pub protocol_type: Option<StrBytes>,
    pub protocol: Option<StrBytes>,
    pub generation: i32,
    pub leader: Option<StrBytes>,
    pub members: BTreeMap<StrBytes, Member>,
    /// Member ids by `group.instance.id`.
    pub static_members: BTreeMap<StrBytes, StrBytes>,
    /// Ids that were given out and have not joined yet, each with the end of its patience.
    pub pending_members: BTreeMap<StrBytes, i64>,
    /// Members of this generation that have not asked for their assignment.
    pub pending_sync: BTreeSet<StrBytes>,
    pub join_timer: Option<JoinTimer>,
    pub sync_deadline_ms: Option<i64>,
    /// Someone came while a group that was empty waits for more.
    pub new_member_added: bool,
    /// What its consumers subscribe to; none where that is not known.
    pub subscribed: Option<BTreeSet<StrBytes>>,
    pub offsets: Offsets,
    /// It is of the consumer protocol, and this is what the log holds of it.
    pub consumer: Option<Box<ConsumerGroup>>,
    pub timers: Timers,
    /// The version of the topics that were last looked at.
    pub topics_seen: Option<i64>,
    /// Records of the consumer protocol are on their way to the log.
    pub is_writing: bool,
    /// Records of which nobody knows whether they are in the log, and when they are written again.
    pub unsure: Option<(i64, Box<ConsumerWrite>)>,
    /// Whoever asks while records are on their way waits for them.
    pub waiting: VecDeque<(u64, Request)>,
}

impl Group {
    pub fn new(id: StrBytes, incarnation: u64, wall_ms: i64) -> Self {
        Self {
            id,
            incarnation,
            state: GroupState::Empty,
            state_since_ms: Some(wall_ms),
            protocol_type: None,
            protocol: None,
            generation: 0,
            leader: None,
            members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            pending_members: BTreeMap::new(),
            pending_sync: BTreeSet::new(),
            join_timer: None,
            sync_deadline_ms: None,
            new_member_added: false,
            subscribed: None,
            offsets: Offsets::default(),
            consumer: None,
            timers: Timers::default(),
            topics_seen: None,
            is_writing: false,
            unsure: None,
            waiting: VecDeque::new(),
        }
    }

    pub fn enter(&mut self, state: GroupState, now: Now) {
        self.state = state;
        self.state_since_ms = Some(now.wall_ms);
    }

    pub fn is_leader(&self, member_id: &StrBytes) -> bool {
        self.leader.as_ref() == Some(member_id)
    }

    pub fn is_consumer_group(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER)
    }

    pub fn has_all_joined(&self) -> bool {
        self.pending_members.is_empty() && self.members.values().all(|m| m.joining.is_some())
    }

    pub fn joined(&self) -> usize {
        self.members.values().filter(|m| m.joining.is_some()).count()
    }

    /// The longest that one of its members may take to join again.
    pub fn rebalance_timeout_ms(&self) -> i64 {
        self.members.values().map(|m| i64::from(m.rebalance_timeout_ms)).max().unwrap_or(0).max(0)
    }

    /// Adds a member; the first one leads, and says what kind of group it is.
    pub fn add(&mut self, member: Member, protocol_type: &StrBytes) {
        if let Some(instance) = &member.instance_id {
            self.static_members.insert(instance.clone(), member.id.clone());
        }
        if self.members.is_empty() {
            self.protocol_type = Some(protocol_type.clone());
        }
        self.leader.get_or_insert_with(|| member.id.clone());
        self.pending_members.remove(&member.id);
        self.members.insert(member.id.clone(), member);
    }

    /// Takes a member out, or an id that was given out; whoever waits for its reply is the caller's.
    pub fn take(&mut self, member_id: &StrBytes) -> Option<Member> {
        let member = self.members.remove(member_id);
        if let Some(instance) = member.as_ref().and_then(|m| m.instance_id.as_ref()) {
            self.static_members.remove(instance);
        }
        if self.is_leader(member_id) {
            self.leader = self.members.keys().next().cloned();
        }
        self.pending_members.remove(member_id);
        self.pending_sync.remove(member_id);
        member
    }

    /// A leader that has not joined is replaced by one that has (`maybeElectNewJoinedLeader`). False where nobody
    /// has.
    pub fn elect_joined_leader(&mut self) -> bool {
        let Some(leader) = &self.leader else { return false };
        if self.members.get(leader).is_some_and(|m| m.joining.is_some()) {
            return true;
        }
        let joined = self.members.values().find(|m| m.joining.is_some()).map(|m| m.id.clone());
        let found = joined.is_some();
        self.leader = joined.or_else(|| self.leader.take());
        found
    }

    /// Whether a member with these protocols fits in.
    pub fn supports<'a>(
        &self,
        protocol_type: &StrBytes,
        mut protocols: impl Iterator<Item = &'a StrBytes>,
    ) -> bool {
        if self.state == GroupState::Empty {
            return !protocol_type.is_empty() && protocols.next().is_some();
        }
        self.protocol_type.as_ref() == Some(protocol_type)
            && protocols.any(|protocol| self.members.values().all(|m| m.supports(protocol)))
    }

    pub fn select_protocol(&self) -> Option<StrBytes> {
        Self::protocol_of(self.members.values())
    }

    /// The protocol that most members like best among those that all can do; None without members.
    pub fn protocol_of<'a>(
        members: impl IntoIterator<Item = &'a Member, IntoIter: Clone>,
    ) -> Option<StrBytes> {
        let members = members.into_iter();
        let all_can = |name: &StrBytes| members.clone().all(|m| m.supports(name));
        let mut votes: Vec<(StrBytes, usize)> = Vec::new();
        for member in members.clone() {
            let (vote, _) = member.protocols.iter().find(|(name, _)| all_can(name))?;
            match votes.iter_mut().find(|(name, _)| name == vote) {
                Some((_, count)) => *count += 1,
                None => votes.push((vote.clone(), 1)),
            }
        }
        // Kafka leaves the choice between equals to its hash map.
        votes.into_iter().max_by(|a, b| a.1.cmp(&b.1).then_with(|| b.0.cmp(&a.0))).map(|(name, _)| name)
    }

    /// `initNextGeneration`
    pub fn next_generation(&mut self, now: Now) {
        self.generation = self.generation.wrapping_add(1);
        self.protocol = self.select_protocol();
        self.subscribed = self.subscribed_topics();
        self.pending_sync.clear();
        let next = match self.members.is_empty() {
            true => GroupState::Empty,
            false => GroupState::CompletingRebalance,
        };
        self.enter(next, now);
    }

    /// What a consumer group reads; none where one member's metadata cannot be understood.
    pub fn subscribed_topics(&self) -> Option<BTreeSet<StrBytes>> {
        if !self.is_consumer_group() {
            return None;
        }
        if self.members.is_empty() {
            return Some(BTreeSet::new());
        }
        let protocol = self.protocol.as_ref()?;
        let mut all = BTreeSet::new();
        for member in self.members.values() {
            all.append(&mut subscription::topics(member.metadata(protocol))?);
        }
        Some(all)
    }

    pub fn is_subscribed(&self, topic: &StrBytes) -> bool {
        if let Some(consumer) = &self.consumer {
            return consumer.subscribed_topics().contains(topic);
        }
        self.subscribed.as_ref().is_none_or(|topics| topics.contains(topic))
    }

    /// What the leader is told of everyone.
    pub fn roll(&self) -> Vec<JoinGroupResponseMember> {
        let protocol = self.protocol.clone().unwrap_or_default();
        let line = |member: &Member| {
            JoinGroupResponseMember::default()
                .with_member_id(member.id.clone())
                .with_group_instance_id(member.instance_id.clone())
                .with_metadata(member.metadata(&protocol))
        };
        self.members.values().map(line).collect()
    }

    pub fn assignments(&self) -> BTreeMap<StrBytes, Bytes> {
        self.members.values().map(|m| (m.id.clone(), m.assignment.clone())).collect()
    }

    /// Whether a request speaks for a member that there is, and, if it names an instance, for the one that holds the
    /// name now (`validateCurrentMember`).
    pub fn check_member(
        &self,
        member_id: &StrBytes,
        instance_id: Option<&StrBytes>,
    ) -> Result<(), ErrorCode> {
        if let Some(instance) = instance_id {
            match self.static_members.get(instance) {
                Some(current) if current != member_id => return Err(ErrorCode::FencedInstanceId),
                Some(_) => {}
                None => return Err(ErrorCode::UnknownMemberId),
            }
        }
        if self.members.contains_key(member_id) { Ok(()) } else { Err(ErrorCode::UnknownMemberId) }
    }

    /// As above, and of this generation.
    pub fn check_generation(
        &self,
        member_id: &StrBytes,
        instance_id: Option<&StrBytes>,
        generation: i32,
    ) -> Result<(), ErrorCode> {
        self.check_member(member_id, instance_id)?;
        if generation == self.generation { Ok(()) } else { Err(ErrorCode::IllegalGeneration) }
    }

    /// When the next of its timers is due.
    pub fn next_deadline(&self) -> Option<i64> {
        if self.is_writing {
            return self.unsure.as_ref().map(|(again_ms, _)| *again_ms);
        }
        if self.consumer.is_some() {
            return self.timers.next();
        }
        let members = self.members.values().filter_map(|m| m.deadline_ms);
        let pending = self.pending_members.values().copied();
        let join = self.join_timer.map(JoinTimer::deadline_ms);
        members.chain(pending).chain(join).chain(self.sync_deadline_ms).min()
    }

    /// Whether nobody is in it, whatever its protocol.
    pub fn is_empty(&self) -> bool {
        match &self.consumer {
            Some(consumer) => consumer.members.is_empty(),
            None => self.state == GroupState::Empty,
        }
    }

    /// As DescribeGroups and ListGroups say it.
    pub fn state_name(&self) -> &'static str {
        self.consumer.as_ref().map_or(self.state.name(), |consumer| consumer.state().name())
    }

    /// What must hold between any two calls.
    pub fn validate(&self) {
        let GroupState::Empty = self.state else {
            debug_assert!(
                self.state == GroupState::PreparingRebalance || !self.members.is_empty(),
                "{self:?} has a generation without members"
            );
            debug_assert_eq!(
                self.state == GroupState::PreparingRebalance,
                self.join_timer.is_some(),
                "{self:?}"
            );
            return;
        };
        debug_assert!(
            self.members.is_empty() && self.join_timer.is_none(),
            "{self:?} is empty and has members"
        );
    }
}
