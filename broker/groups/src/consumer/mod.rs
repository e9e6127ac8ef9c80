//! Groups of the consumer protocol (KIP-848), as Kafka 4.1's group coordinator has them: the coordinator assigns, and
//! each member is brought to its part of the assignment by heartbeats of its own.
//!
//! What is here is the state that the log holds. It changes by [`Change`]s alone, each of which is a record: the same
//! `apply` serves a request that is being answered ([`draft`]) and a log that is being loaded.

mod assignor;
mod classic;
mod describe;
mod draft;
mod heartbeat;
mod member;
mod migrate;
mod offsets;
mod protocol;
mod reconcile;
mod record;
mod regex;
mod step;
mod timers;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jackdaw_wire::{StrBytes, Uuid};

pub use assignor::Assignor;
pub(crate) use member::{About, Classic, Current, Member, MemberState};
pub(crate) use offsets::CommitKind;
pub(crate) use record::{append, encode, load_of_group, load_of_part};
pub(crate) use step::ConsumerWrite;
pub(crate) use timers::{TimerChange, Timers};

/// Partitions by topic.
pub(crate) type Partitions = BTreeMap<Uuid, BTreeSet<i32>>;

/// The settings of this protocol.
#[derive(Debug, Clone)]
pub struct ConsumerConfig {
    /// Whether it is served (`group.coordinator.rebalance.protocols`).
    pub enabled: bool,
    /// `group.consumer.session.timeout.ms`
    pub session_timeout_ms: i32,
    /// `group.consumer.heartbeat.interval.ms`
    pub heartbeat_interval_ms: i32,
    /// `group.consumer.max.size`
    pub max_size: usize,
    /// `group.consumer.assignors`; the first is the default.
    pub assignors: Vec<Assignor>,
    pub migration: MigrationPolicy,
    /// `group.consumer.regex.refresh.interval.ms`
    pub regex_refresh_interval_ms: i64,
}

impl ConsumerConfig {
    /// Kafka's defaults, but for being served or not.
    pub fn with_defaults(enabled: bool) -> Self {
        Self {
            enabled,
            session_timeout_ms: 45_000,
            heartbeat_interval_ms: 5_000,
            max_size: usize::MAX,
            assignors: vec![Assignor::Uniform, Assignor::Range],
            migration: MigrationPolicy::Bidirectional,
            regex_refresh_interval_ms: 600_000,
        }
    }

    pub(crate) fn default_assignor(&self) -> Assignor {
        self.assignors.first().copied().unwrap_or(Assignor::Uniform)
    }
}

/// `group.consumer.migration.policy`: which way a group with members may go from one protocol to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MigrationPolicy {
    Bidirectional,
    Upgrade,
    Downgrade,
    Disabled,
}

impl MigrationPolicy {
    /// None for a word that Kafka does not know, which it takes for `disabled`.
    pub fn parse(word: &str) -> Option<Self> {
        [
            ("bidirectional", Self::Bidirectional),
            ("upgrade", Self::Upgrade),
            ("downgrade", Self::Downgrade),
            ("disabled", Self::Disabled),
        ]
        .into_iter()
        .find_map(|(name, policy)| word.eq_ignore_ascii_case(name).then_some(policy))
    }

    pub(crate) fn upgrades(self) -> bool {
        matches!(self, Self::Bidirectional | Self::Upgrade)
    }

    pub(crate) fn downgrades(self) -> bool {
        matches!(self, Self::Bidirectional | Self::Downgrade)
    }
}

/// The topics that a regular expression stood for when it was last looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Resolved {
    pub topics: BTreeSet<StrBytes>,
    /// The version of [`crate::Topics`] that was looked at.
    pub version: i64,
    pub wall_ms: i64,
}

/// One record of a group of the consumer protocol; `None` is a tombstone.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Change {
    /// The group's epoch, and the hash of the topics that it subscribes to.
    Group(Option<(i32, i64)>),
    /// 4.0 and before wrote down what the topics looked like; nobody needs it any more.
    PartitionMetadata {
        is_there: bool,
    },
    Member(StrBytes, Option<Arc<About>>),
    TargetEpoch(Option<i32>),
    Target(StrBytes, Option<Arc<Partitions>>),
    Current(StrBytes, Option<Current>),
    Regex(StrBytes, Option<Resolved>),
    /// The group of this name is of the classic protocol no longer.
    ClassicGone,
    /// It is from here on, and this is its record's value.
    Classic(jackdaw_wire::group_record::GroupMetadataValue),
}

impl Change {
    /// Whether its record has no value.
    pub fn is_tombstone(&self) -> bool {
        match self {
            Self::Group(value) => value.is_none(),
            Self::PartitionMetadata { is_there } => !is_there,
            Self::Member(_, about) => about.is_none(),
            Self::TargetEpoch(epoch) => epoch.is_none(),
            Self::Target(_, target) => target.is_none(),
            Self::Current(_, current) => current.is_none(),
            Self::Regex(_, resolved) => resolved.is_none(),
            Self::ClassicGone => true,
            Self::Classic(_) => false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConsumerGroupState {
    Empty,
    Assigning,
    Reconciling,
    Stable,
}

impl ConsumerGroupState {
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Assigning => "Assigning",
            Self::Reconciling => "Reconciling",
            Self::Stable => "Stable",
        }
    }
}

/// `ConsumerGroup`
#[derive(Debug, Clone, Default)]
pub(crate) struct ConsumerGroup {
    /// Grows with everything that asks for another assignment; 0 before the first.
    pub epoch: i32,
    pub metadata_hash: i64,
    /// The epoch that the target assignment is for.
    pub target_epoch: i32,
    pub members: BTreeMap<StrBytes, Member>,
    pub targets: BTreeMap<StrBytes, Arc<Partitions>>,
    /// Member ids by `group.instance.id`.
    pub static_members: BTreeMap<StrBytes, StrBytes>,
    pub regexes: BTreeMap<StrBytes, Resolved>,
    /// Who has each partition, given up or not: nobody else may get it.
    owners: BTreeMap<Uuid, BTreeMap<i32, StrBytes>>,
    pub has_partition_metadata: bool,
}

impl ConsumerGroup {
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Group(value) => (self.epoch, self.metadata_hash) = value.unwrap_or((0, 0)),
            Change::PartitionMetadata { is_there } => self.has_partition_metadata = *is_there,
            Change::TargetEpoch(epoch) => self.target_epoch = epoch.unwrap_or(-1),
            Change::Target(id, Some(partitions)) => {
                self.targets.insert(id.clone(), Arc::clone(partitions));
            }
            Change::Target(id, None) => drop(self.targets.remove(id)),
            Change::Regex(regex, Some(resolved)) => {
                self.regexes.insert(regex.clone(), resolved.clone());
            }
            Change::Regex(regex, None) => drop(self.regexes.remove(regex)),
            Change::Member(id, Some(about)) => self.put_member(id, about),
            Change::Member(id, None) => self.remove_member(id),
            Change::Current(id, Some(current)) => self.put_current(id, current.clone()),
            // The member itself goes with its own tombstone.
            Change::Current(id, None) if self.members.contains_key(id) => {
                self.put_current(id, Current::gone());
            }
            Change::Current(_, None) | Change::ClassicGone | Change::Classic(_) => {}
        }
    }

    fn put_member(&mut self, id: &StrBytes, about: &Arc<About>) {
        if let Some(instance) = &about.instance_id {
            self.static_members.insert(instance.clone(), id.clone());
        }
        match self.members.get_mut(id) {
            Some(member) => member.about = Arc::clone(about),
            None => {
                let member = Member { about: Arc::clone(about), current: Current::default() };
                self.members.insert(id.clone(), member);
            }
        }
    }

    fn remove_member(&mut self, id: &StrBytes) {
        let Some(member) = self.members.remove(id) else { return };
        self.disown(id, &member.current);
        if let Some(instance) = &member.about.instance_id
            && self.static_members.get(instance) == Some(id)
        {
            self.static_members.remove(instance);
        }
    }

    fn put_current(&mut self, id: &StrBytes, current: Current) {
        let member = self.members.entry(id.clone()).or_default();
        let before = std::mem::replace(&mut member.current, current.clone());
        self.disown(id, &before);
        for (topic, partitions) in current.assigned.iter().chain(&current.revoking) {
            let owners = self.owners.entry(*topic).or_default();
            owners.extend(partitions.iter().map(|partition| (*partition, id.clone())));
        }
    }

    fn disown(&mut self, id: &StrBytes, current: &Current) {
        for (topic, partitions) in current.assigned.iter().chain(&current.revoking) {
            let Some(owners) = self.owners.get_mut(topic) else { continue };
            for partition in partitions {
                if owners.get(partition) == Some(id) {
                    owners.remove(partition);
                }
            }
            if owners.is_empty() {
                self.owners.remove(topic);
            }
        }
    }

    pub fn is_owned(&self, topic: &Uuid, partition: i32) -> bool {
        self.owners.get(topic).is_some_and(|owners| owners.contains_key(&partition))
    }

    pub fn state(&self) -> ConsumerGroupState {
        match () {
            () if self.members.is_empty() => ConsumerGroupState::Empty,
            () if self.epoch > self.target_epoch => ConsumerGroupState::Assigning,
            () if self.members.values().all(|m| m.current.is_reconciled_to(self.target_epoch)) => {
                ConsumerGroupState::Stable
            }
            () => ConsumerGroupState::Reconciling,
        }
    }

    pub fn target_of(&self, id: &StrBytes) -> Arc<Partitions> {
        self.targets.get(id).cloned().unwrap_or_default()
    }

    /// How many members subscribe to this regular expression.
    pub fn subscribers_of(&self, regex: &StrBytes) -> usize {
        self.members.values().filter(|m| m.about.regex() == Some(regex)).count()
    }

    /// The regular expressions that members subscribe to.
    pub fn subscribed_regexes(&self) -> BTreeSet<&StrBytes> {
        self.members.values().filter_map(|m| m.about.regex()).collect()
    }

    /// Every topic that somebody subscribes to, by its name or by an expression.
    pub fn subscribed_topics(&self) -> BTreeSet<&StrBytes> {
        let by_name = self.members.values().flat_map(|m| &m.about.topics);
        by_name.chain(self.regexes.values().flat_map(|resolved| &resolved.topics)).collect()
    }

    /// What one member subscribes to.
    pub fn topics_of<'a>(&'a self, about: &'a About) -> impl Iterator<Item = &'a StrBytes> {
        let resolved = about.regex().and_then(|regex| self.regexes.get(regex));
        about.topics.iter().chain(resolved.into_iter().flat_map(|resolved| &resolved.topics))
    }

    pub fn classic_members(&self) -> usize {
        self.members.values().filter(|m| m.about.classic.is_some()).count()
    }

    /// Everything that says that the group was there.
    pub fn tombstones(&self) -> Vec<Change> {
        let ids = || self.members.keys().cloned();
        let mut changes: Vec<Change> = ids().map(|id| Change::Current(id, None)).collect();
        changes.extend(ids().map(|id| Change::Target(id, None)));
        changes.push(Change::TargetEpoch(None));
        changes.extend(ids().map(|id| Change::Member(id, None)));
        changes.extend(self.regexes.keys().map(|regex| Change::Regex(regex.clone(), None)));
        changes.push(Change::PartitionMetadata { is_there: false });
        changes.push(Change::Group(None));
        changes
    }

    /// What must hold between any two calls: no partition is two members', and all that is had is known to be.
    pub fn validate(&self) {
        if cfg!(debug_assertions) {
            let mut seen = BTreeSet::new();
            for (id, member) in &self.members {
                for (topic, partitions) in member.current.assigned.iter().chain(&member.current.revoking) {
                    for partition in partitions {
                        assert!(
                            seen.insert((*topic, *partition)),
                            "{topic}-{partition} is owned twice: {self:?}"
                        );
                        let owner = self.owners.get(topic).and_then(|owners| owners.get(partition));
                        assert_eq!(owner, Some(id), "{topic}-{partition} has another owner: {self:?}");
                    }
                }
            }
            let owned: usize = self.owners.values().map(BTreeMap::len).sum();
            assert_eq!(owned, seen.len(), "partitions are owned by nobody: {self:?}");
        }
    }
}
