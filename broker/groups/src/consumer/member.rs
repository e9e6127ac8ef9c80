//! One member: what it said of itself, and how far it has come (`ConsumerGroupMember`).

use std::collections::BTreeSet;
use std::sync::Arc;

use jackdaw_wire::StrBytes;

use super::Partitions;
use crate::member::Protocols;

/// The epoch with which a member leaves, and which stands for one that left.
pub(crate) const LEAVE_EPOCH: i32 = -1;
/// The epoch of a static member that left and may come back (KIP-345).
pub(crate) const LEAVE_STATIC_EPOCH: i32 = -2;

/// What a classic member has besides (KIP-848, "classic members in a consumer group").
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Classic {
    pub session_timeout_ms: i32,
    pub protocols: Protocols,
}

/// What a member says of itself: one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct About {
    pub instance_id: Option<StrBytes>,
    pub rack_id: Option<StrBytes>,
    pub rebalance_timeout_ms: i32,
    pub client_id: StrBytes,
    pub client_host: StrBytes,
    pub topics: BTreeSet<StrBytes>,
    /// Empty: none, as Kafka keeps it for members that never named one.
    pub topic_regex: Option<StrBytes>,
    pub assignor: Option<StrBytes>,
    /// It speaks the classic protocol.
    pub classic: Option<Classic>,
}

impl Default for About {
    fn default() -> Self {
        Self {
            instance_id: None,
            rack_id: None,
            rebalance_timeout_ms: -1,
            client_id: StrBytes::default(),
            client_host: StrBytes::default(),
            topics: BTreeSet::new(),
            topic_regex: Some(StrBytes::default()),
            assignor: None,
            classic: None,
        }
    }
}

impl About {
    pub fn regex(&self) -> Option<&StrBytes> {
        self.topic_regex.as_ref().filter(|regex| !regex.is_empty())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MemberState {
    /// It has what it is to have in its epoch.
    Stable,
    /// It must give partitions up before it comes to the next epoch.
    Unrevoked,
    /// It is in the target's epoch, and waits for partitions that others still have.
    Unreleased,
    /// Of a later Kafka.
    Unknown,
}

impl MemberState {
    pub fn code(self) -> i8 {
        match self {
            Self::Stable => 0,
            Self::Unrevoked => 1,
            Self::Unreleased => 2,
            Self::Unknown => 127,
        }
    }

    pub fn of_code(code: i8) -> Self {
        match code {
            0 => Self::Stable,
            1 => Self::Unrevoked,
            2 => Self::Unreleased,
            _ => Self::Unknown,
        }
    }
}

/// How far a member has come: one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Current {
    pub epoch: i32,
    /// The epoch before, which it may still speak in if it did not hear of the last one.
    pub previous_epoch: i32,
    pub state: MemberState,
    pub assigned: Partitions,
    /// It has them, and was told to give them up.
    pub revoking: Partitions,
}

impl Default for Current {
    fn default() -> Self {
        Self {
            epoch: 0,
            previous_epoch: -1,
            state: MemberState::Stable,
            assigned: Partitions::new(),
            revoking: Partitions::new(),
        }
    }
}

impl Current {
    pub fn gone() -> Self {
        Self { epoch: LEAVE_EPOCH, previous_epoch: LEAVE_EPOCH, ..Self::default() }
    }

    /// Everything that nobody else may have.
    pub fn held(&self) -> Partitions {
        let mut held = self.assigned.clone();
        for (topic, partitions) in &self.revoking {
            held.entry(*topic).or_default().extend(partitions);
        }
        held
    }

    pub fn is_reconciled_to(&self, target_epoch: i32) -> bool {
        self.state == MemberState::Stable && self.epoch == target_epoch
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Member {
    pub about: Arc<About>,
    pub current: Current,
}
