//! A group as it will be once the records of the step at hand are in the log.
//!
//! Whatever a step decides after it changed something it decides on the draft; nobody else sees it before it is
//! written.

use std::borrow::Cow;
use std::sync::Arc;

use jackdaw_wire::{ErrorCode, StrBytes};

use super::assignor::Spec;
use super::reconcile::{self, Goal};
use super::step::{Becomes, Planned, Refused, Step};
use super::timers::TimerChange;
use super::{Assignor, Change, ConsumerGroup, MemberState, Partitions};

pub(crate) struct Draft<'a> {
    pub group: Cow<'a, ConsumerGroup>,
    pub changes: Vec<Change>,
    pub timers: Vec<TimerChange>,
    /// The topics were looked at.
    saw_topics: bool,
}

impl<'a> Draft<'a> {
    pub fn of(group: &'a ConsumerGroup) -> Self {
        Self { group: Cow::Borrowed(group), changes: Vec::new(), timers: Vec::new(), saw_topics: false }
    }

    /// A group that was not of this protocol before.
    pub fn new(changes: Vec<Change>) -> Self {
        let mut draft = Self {
            group: Cow::Owned(ConsumerGroup::default()),
            changes: Vec::new(),
            timers: Vec::new(),
            saw_topics: false,
        };
        changes.into_iter().for_each(|change| draft.put(change));
        draft
    }

    pub fn put(&mut self, change: Change) {
        self.group.to_mut().apply(&change);
        self.changes.push(change);
    }

    pub fn time(&mut self, change: TimerChange) {
        self.timers.push(change);
    }

    pub fn finish(self, step: &Step<'_>) -> Planned {
        let becomes = match self.changes.is_empty() {
            true => Becomes::Same,
            false => Becomes::Consumer(Box::new(self.group.into_owned())),
        };
        Planned {
            changes: self.changes,
            becomes,
            timers: self.timers,
            topics_seen: self.saw_topics.then_some(step.topics.version),
            ..Planned::default()
        }
    }

    /// The group's epoch moves on where it must, or where its topics do not look as they did
    /// (`updateSubscriptionMetadata`).
    pub fn bump_epoch(&mut self, step: &Step<'_>, must: bool) {
        if !must && step.group.topics_seen == Some(step.topics.version) {
            return;
        }
        let hash = step.topics.hash_of(self.group.subscribed_topics());
        if must || hash != self.group.metadata_hash {
            let epoch = self.group.epoch.saturating_add(1);
            tracing::info!(
                target: "kafka.coordinator.group",
                "[GroupId {}] Bumped group epoch to {epoch} with metadata hash {hash}.", step.group.id
            );
            self.put(Change::Group(Some((epoch, hash))));
        }
        self.saw_topics = true;
        if self.group.has_partition_metadata {
            self.put(Change::PartitionMetadata { is_there: false });
        }
    }

    /// A target for the group's epoch, unless there is one.
    pub fn assign(&mut self, step: &Step<'_>) {
        if self.group.epoch <= self.group.target_epoch {
            return;
        }
        let assignor = self.preferred_assignor().unwrap_or(step.config.consumer.default_assignor());
        let assigned = assignor.assign(&Spec::of(&self.group, step.topics));
        tracing::info!(
            target: "kafka.coordinator.group",
            "[GroupId {}] Computed a new target assignment for epoch {} with '{}' assignor.",
            step.group.id, self.group.epoch, assignor.name()
        );
        for (id, part) in assigned {
            if self.group.targets.get(&id).is_none_or(|target| **target != part) {
                self.put(Change::Target(id, Some(Arc::new(part))));
            }
        }
        self.put(Change::TargetEpoch(Some(self.group.epoch)));
    }

    /// What most members ask for; among equals the first by name, where Kafka leaves it to its hash map.
    pub fn preferred_assignor(&self) -> Option<Assignor> {
        preferred_assignor(&self.group)
    }

    /// One member comes a step nearer to the target, if it can.
    pub fn reconcile(&mut self, id: &StrBytes, owned: Option<&Partitions>) -> Result<(), Refused> {
        let group = &*self.group;
        let Some(member) = group.members.get(id) else { return Ok(()) };
        if member.current.is_reconciled_to(group.target_epoch) {
            return Ok(());
        }
        let (target, timeout_ms) = (group.target_of(id), i64::from(member.about.rebalance_timeout_ms));
        let is_taken = |topic: &jackdaw_wire::Uuid, partition: i32| group.is_owned(topic, partition);
        let goal = Goal { epoch: group.target_epoch, target: &target, owned, is_taken: &is_taken };
        let next = reconcile::next(&member.current, &goal).map_err(|_| Refused {
            code: ErrorCode::FencedMemberEpoch,
            message: Some(
                "The consumer group member is in a unknown state. The member must abandon all its partitions and \
                 rejoin."
                    .to_owned(),
            ),
        })?;
        if next == member.current {
            return Ok(());
        }
        // Classic members are waited for when they join and sync.
        if member.about.classic.is_none() {
            let waits = next.state == MemberState::Unrevoked;
            let timer = waits.then_some((timeout_ms, next.epoch));
            self.timers.push(TimerChange::Rebalance(id.clone(), timer));
        }
        self.put(Change::Current(id.clone(), Some(next)));
        Ok(())
    }
}

pub(crate) fn preferred_assignor(group: &ConsumerGroup) -> Option<Assignor> {
    let asked =
        group.members.values().filter_map(|m| m.about.assignor.as_deref()).filter_map(Assignor::parse);
    let mut votes: Vec<(Assignor, usize)> = Vec::new();
    for assignor in asked {
        match votes.iter_mut().find(|(known, _)| *known == assignor) {
            Some((_, count)) => *count += 1,
            None => votes.push((assignor, 1)),
        }
    }
    votes
        .into_iter()
        .max_by(|a, b| a.1.cmp(&b.1).then_with(|| b.0.name().cmp(a.0.name())))
        .map(|(found, _)| found)
}
