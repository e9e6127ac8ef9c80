//! One member of a group (`MemberMetadata`).

use jackdaw_wire::{Bytes, StrBytes};

/// The protocols that a member can do, in the order it likes them, each with what it says about itself.
pub(crate) type Protocols = Vec<(StrBytes, Bytes)>;

#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub id: StrBytes,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<StrBytes>,
    pub client_id: StrBytes,
    pub client_host: StrBytes,
    pub rebalance_timeout_ms: i32,
    pub session_timeout_ms: i32,
    pub protocols: Protocols,
    pub assignment: Bytes,
    /// The JoinGroup that waits for the others.
    pub joining: Option<u64>,
    /// The SyncGroup that waits for the leader's assignment.
    pub syncing: Option<u64>,
    /// It has not been through a rebalance yet: its session does not count, so that one who joins and is never heard
    /// of again goes away all the same.
    pub is_new: bool,
    /// When its session ends. None while it waits for a reply: the group is the one who is late then.
    pub deadline_ms: Option<i64>,
}

impl Member {
    pub fn is_waiting(&self) -> bool {
        self.joining.is_some() || self.syncing.is_some()
    }

    /// `completeAndScheduleNextExpiration`
    pub fn expect_within(&mut self, timeout_ms: i64, steady_ms: i64) {
        let is_exempt = !self.is_new && self.is_waiting();
        self.deadline_ms = (!is_exempt).then(|| steady_ms.saturating_add(timeout_ms.max(0)));
    }

    /// The member was heard of.
    pub fn heard(&mut self, steady_ms: i64) {
        self.expect_within(i64::from(self.session_timeout_ms), steady_ms);
    }

    pub fn metadata(&self, protocol: &str) -> Bytes {
        let found = self.protocols.iter().find(|(name, _)| &**name == protocol);
        found.map(|(_, metadata)| metadata.clone()).unwrap_or_default()
    }

    pub fn supports(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|(name, _)| &**name == protocol)
    }
}
