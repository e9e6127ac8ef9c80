//! Which replica a consumer had better read from: one in its own rack (KIP-392). Whether it may is asked of the state
//! of the partition; nothing is read here.

use std::sync::PoisonError;

use super::partition::Partition;
use super::read::PartitionRead;
use super::session::Ask;

/// The consumer, as far as the choice depends on it.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    pub rack: &'a str,
    pub listener: &'a str,
}

impl Partition {
    /// What a leader answers in place of records: the replica in sync that has the offset, is in the consumer's rack
    /// and is caught up most. `None` where the leader had better serve it itself (`RackAwareReplicaSelector`,
    /// `ReplicaManager.findPreferredReadReplica`).
    pub fn refer(&self, ask: &Ask, reader: &Reader<'_>) -> Option<PartitionRead> {
        if reader.rack.is_empty() || !self.dir.is_online() {
            return None;
        }
        let brokers = self.context.brokers.read().unwrap_or_else(PoisonError::into_inner).clone();
        let is_near = |id: i32| {
            brokers.get(&id).is_some_and(|broker| {
                broker.rack.as_deref() == Some(reader.rack) && broker.endpoint(reader.listener).is_some()
            })
        };
        let state = self.state();
        let leader = state.replica.as_leader()?;
        if is_near(self.context.node_id) {
            return None;
        }
        let near = leader.remotes().iter().filter(|remote| {
            leader.isr().contains(&remote.broker)
                && (remote.log_start..=remote.log_end).contains(&ask.offset)
                && is_near(remote.broker)
        });
        let nearest = near.max_by_key(|remote| (remote.log_end, remote.last_caught_up_ms, remote.broker))?;
        if let Err(error) = state.replica.check_epoch(ask.current_leader_epoch) {
            return Some(PartitionRead::failed(error));
        }
        let high_watermark = leader.high_watermark();
        Some(PartitionRead {
            high_watermark,
            last_stable_offset: self.reader.last_stable_offset(high_watermark),
            log_start: self.reader.log_start_offset(),
            preferred: Some(nearest.broker),
            ..PartitionRead::nothing()
        })
    }
}
