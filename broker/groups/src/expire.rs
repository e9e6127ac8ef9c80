//! What is forgotten: offsets that nobody has use for any more, and groups that have nothing left.

use std::collections::BTreeSet;

use jackdaw_wire::StrBytes;
use jackdaw_wire::types::Now;

use crate::group::{Group, GroupState};
use crate::machine::{Context, Groups};
use crate::offsets::TopicPartition;
use crate::record::{self, Ends};

impl Groups {
    /// Forgets offsets by their age (`cleanupGroupMetadata`).
    pub(crate) fn expire(&mut self, now: Now) {
        let retention_ms = self.config.retention_ms;
        let ids: Vec<StrBytes> = self.groups.keys().cloned().collect();
        for id in ids {
            self.clean(now, &id, false, |group| group.expire_offsets(now.wall_ms, retention_ms));
        }
    }

    /// Removes some of a group's offsets, and the group with them where nothing is left of it, or where it is to go;
    /// the log is told by tombstones, for which nobody waits.
    pub(crate) fn clean(
        &mut self,
        now: Now,
        id: &StrBytes,
        ends_group: bool,
        remove: impl FnOnce(&mut Group) -> Vec<TopicPartition>,
    ) {
        let Some(group) = self.groups.get_mut(id) else { return };
        let removed = remove(group);
        let is_over = ends_group || (group.is_empty() && !group.is_writing && group.offsets.is_empty());
        let ends = match &group.consumer {
            _ if !is_over => Ends::Nothing,
            Some(consumer) => Ends::Consumer(consumer.tombstones()),
            // Without a generation the group was never written.
            None if group.generation > 0 => Ends::Classic,
            None => Ends::Nothing,
        };
        if is_over {
            self.forget(id);
        }
        let compression = self.config.compression;
        let tombstones = record::tombstones(id, &removed, &ends, now.wall_ms, compression);
        if let Some(batch) = tombstones {
            Context { now, config: &self.config, out: &mut self.out }.write_unasked(batch);
        }
    }
}

impl Group {
    /// `removeExpiredOffsets` (KIP-211): a group's offsets age from when it became empty, those of topics that a
    /// stable group of consumers no longer reads and those of no group from their commit.
    fn expire_offsets(&mut self, wall_ms: i64, retention_ms: i64) -> Vec<TopicPartition> {
        let none = BTreeSet::new();
        let since_ms = self.state_since_ms;
        if let Some(consumer) = &self.consumer {
            let subscribed: BTreeSet<StrBytes> = consumer.subscribed_topics().into_iter().cloned().collect();
            let since = |offset: &crate::CommittedOffset| offset.commit_timestamp_ms;
            return self.offsets.expire(wall_ms, retention_ms, &subscribed, since);
        }
        match (&self.protocol_type, self.state, &self.subscribed) {
            (Some(_), GroupState::Empty, _) => {
                let since = |offset: &crate::CommittedOffset| since_ms.unwrap_or(offset.commit_timestamp_ms);
                self.offsets.expire(wall_ms, retention_ms, &none, since)
            }
            (Some(_), GroupState::Stable, Some(subscribed)) => {
                self.offsets.expire(wall_ms, retention_ms, subscribed, |offset| offset.commit_timestamp_ms)
            }
            (None, _, _) => {
                self.offsets.expire(wall_ms, retention_ms, &none, |offset| offset.commit_timestamp_ms)
            }
            _ => Vec::new(),
        }
    }
}
