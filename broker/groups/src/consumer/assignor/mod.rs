//! The assignors of the coordinator (KIP-848): from who subscribes to what, and who had what, to who is to have what.
//!
//! They know nothing of epochs, of records, or of what members have at the moment.

mod range;
mod uniform;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jackdaw_wire::{StrBytes, Uuid};

use super::{About, ConsumerGroup, Partitions};
use crate::topics::Topics;

/// An assignor that is built in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assignor {
    /// Evenly, and with as little moved as may be.
    Uniform,
    /// Ranges of each topic, so that topics of equal size lie side by side.
    Range,
}

impl Assignor {
    /// As members ask for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Range => "range",
        }
    }

    /// By its name, or by Kafka's class.
    pub fn parse(word: &str) -> Option<Self> {
        const CLASSES: &str = "org.apache.kafka.coordinator.group.assignor.";
        match word.strip_prefix(CLASSES).unwrap_or(word) {
            "uniform" | "UniformAssignor" => Some(Self::Uniform),
            "range" | "RangeAssignor" => Some(Self::Range),
            _ => None,
        }
    }

    pub(crate) fn assign(self, spec: &Spec<'_>) -> BTreeMap<StrBytes, Partitions> {
        match self {
            Self::Range => range::assign(spec),
            Self::Uniform if spec.is_homogeneous => uniform::assign_homogeneous(spec),
            Self::Uniform => uniform::assign_heterogeneous(spec),
        }
    }
}

/// What an assignor goes by.
pub(crate) struct Spec<'a> {
    pub members: BTreeMap<&'a StrBytes, MemberSpec<'a>>,
    /// How many partitions each topic has that somebody subscribes to.
    pub partitions: BTreeMap<Uuid, i32>,
    /// Everyone subscribes to the same.
    pub is_homogeneous: bool,
}

pub(crate) struct MemberSpec<'a> {
    pub instance_id: Option<&'a StrBytes>,
    /// What it subscribes to, of what there is.
    pub topics: BTreeSet<Uuid>,
    /// What it was to have before.
    pub target: Arc<Partitions>,
}

impl<'a> Spec<'a> {
    pub fn of(group: &'a ConsumerGroup, topics: &Topics) -> Self {
        let mut partitions = BTreeMap::new();
        let mut members = BTreeMap::new();
        for (id, member) in &group.members {
            let mut subscribed = BTreeSet::new();
            for topic in group.topics_of(&member.about).filter_map(|name| topics.by_name(name)) {
                subscribed.insert(topic.id);
                partitions.insert(topic.id, topic.partitions);
            }
            let instance_id = member.about.instance_id.as_ref();
            members.insert(id, MemberSpec { instance_id, topics: subscribed, target: group.target_of(id) });
        }
        Self { members, partitions, is_homogeneous: is_homogeneous(group) }
    }
}

/// `ConsumerGroup.subscriptionType`: one expression for all and no names beside it, or the same names for all.
fn is_homogeneous(group: &ConsumerGroup) -> bool {
    let mut all = group.members.values().map(|member| &member.about);
    let Some(first) = all.next() else { return true };
    let is_pure = |about: &About| about.regex().is_none() || about.topics.is_empty();
    is_pure(first) && all.all(|about| about.topics == first.topics && about.regex() == first.regex())
}

#[cfg(test)]
mod tests;
