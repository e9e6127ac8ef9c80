//! What single groups of the consumer protocol have of their own, set while the cluster runs (the GROUP configs of
//! KIP-848): handed to the coordinator, and never asked for.

use std::collections::BTreeMap;

use jackdaw_wire::StrBytes;

use crate::consumer::ConsumerConfig;

/// What was set on one group; none: as the broker has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OwnSettings {
    /// `consumer.session.timeout.ms`
    pub session_timeout_ms: Option<i32>,
    /// `consumer.heartbeat.interval.ms`
    pub heartbeat_interval_ms: Option<i32>,
}

/// By group.
pub type GroupSettings = BTreeMap<StrBytes, OwnSettings>;

/// What holds for the members of a group.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub session_timeout_ms: i32,
    pub heartbeat_interval_ms: i32,
}

impl Times {
    /// `GroupMetadataManager.consumerGroupSessionTimeoutMs`, `consumerGroupHeartbeatIntervalMs`
    pub fn of(id: &StrBytes, own: &GroupSettings, config: &ConsumerConfig) -> Self {
        let own = own.get(id).copied().unwrap_or_default();
        Self {
            session_timeout_ms: own.session_timeout_ms.unwrap_or(config.session_timeout_ms),
            heartbeat_interval_ms: own.heartbeat_interval_ms.unwrap_or(config.heartbeat_interval_ms),
        }
    }
}
