//! The offsets of one group: committed, on their way to the log, and waiting for the end of a transaction
//! (the offset half of `GroupMetadata`).

use std::collections::{BTreeMap, BTreeSet};

use jackdaw_wire::StrBytes;

/// A partition of some topic; it need not exist any more.
pub type TopicPartition = (StrBytes, i32);

/// A committed position (`OffsetAndMetadata`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedOffset {
    pub offset: i64,
    /// -1: not told.
    pub leader_epoch: i32,
    pub metadata: StrBytes,
    pub commit_timestamp_ms: i64,
    /// Set by clients of versions 2 to 4 that ask for a retention of their own.
    pub expire_timestamp_ms: Option<i64>,
}

/// With the offset of the batch that committed it: the later one in the log counts, whenever it is heard of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    /// None while its append is not known to be done.
    pub batch_offset: Option<i64>,
    pub value: CommittedOffset,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Offsets {
    stored: BTreeMap<TopicPartition, Stored>,
    /// Appended, and not known to be committed.
    pending: BTreeMap<TopicPartition, CommittedOffset>,
    /// By producer id.
    in_transactions: BTreeMap<i64, BTreeMap<TopicPartition, Stored>>,
}

impl Offsets {
    pub fn loaded(
        stored: BTreeMap<TopicPartition, Stored>,
        in_transactions: BTreeMap<i64, BTreeMap<TopicPartition, Stored>>,
    ) -> Self {
        Self { stored, pending: BTreeMap::new(), in_transactions }
    }

    pub fn get(&self, partition: &TopicPartition) -> Option<&CommittedOffset> {
        self.stored.get(partition).map(|stored| &stored.value)
    }

    pub fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.stored.keys()
    }

    /// Whether there is anything, decided or not.
    pub fn is_empty(&self) -> bool {
        self.stored.is_empty() && self.pending.is_empty() && self.in_transactions.is_empty()
    }

    /// Whether what is stored may be overtaken any moment (`hasPendingOffsetCommitsForTopicPartition`).
    pub fn is_unstable(&self, partition: &TopicPartition) -> bool {
        self.pending.contains_key(partition)
            || self.in_transactions.values().any(|offsets| offsets.contains_key(partition))
    }

    pub fn producers(&self) -> impl Iterator<Item = i64> {
        self.in_transactions.keys().copied()
    }

    pub fn begin(&mut self, offsets: &BTreeMap<TopicPartition, CommittedOffset>) {
        self.pending.extend(offsets.iter().map(|(partition, value)| (partition.clone(), value.clone())));
    }

    /// The append is committed. An offset that was deleted meanwhile stays deleted.
    pub fn committed(&mut self, offsets: &BTreeMap<TopicPartition, CommittedOffset>, batch_offset: i64) {
        for (partition, value) in offsets {
            let Some(pending) = self.pending.get(partition) else { continue };
            let is_last = pending == value;
            let stored = Stored { batch_offset: Some(batch_offset), value: value.clone() };
            put_if_newer(&mut self.stored, partition, stored);
            if is_last {
                self.pending.remove(partition);
            }
        }
    }

    pub fn failed(&mut self, offsets: &BTreeMap<TopicPartition, CommittedOffset>) {
        for (partition, value) in offsets {
            if self.pending.get(partition) == Some(value) {
                self.pending.remove(partition);
            }
        }
    }

    pub fn begin_in_transaction(
        &mut self,
        producer_id: i64,
        offsets: &BTreeMap<TopicPartition, CommittedOffset>,
    ) {
        let of_producer = self.in_transactions.entry(producer_id).or_default();
        for (partition, value) in offsets {
            let stored = Stored { batch_offset: None, value: value.clone() };
            of_producer.insert(partition.clone(), stored);
        }
    }

    pub fn appended_in_transaction(
        &mut self,
        producer_id: i64,
        offsets: &BTreeMap<TopicPartition, CommittedOffset>,
        batch_offset: i64,
    ) {
        let Some(of_producer) = self.in_transactions.get_mut(&producer_id) else { return };
        for (partition, value) in offsets {
            if let Some(stored) = of_producer.get_mut(partition).filter(|stored| stored.value == *value) {
                stored.batch_offset = Some(batch_offset);
            }
        }
    }

    pub fn failed_in_transaction(
        &mut self,
        producer_id: i64,
        offsets: &BTreeMap<TopicPartition, CommittedOffset>,
    ) {
        let Some(of_producer) = self.in_transactions.get_mut(&producer_id) else { return };
        of_producer.retain(|partition, _| !offsets.contains_key(partition));
        if of_producer.is_empty() {
            self.in_transactions.remove(&producer_id);
        }
    }

    /// The marker is in the log. What was never known to be appended is not committed by it.
    pub fn end_transaction(&mut self, producer_id: i64, is_commit: bool) {
        let ended = self.in_transactions.remove(&producer_id).unwrap_or_default();
        if is_commit {
            for (partition, stored) in ended.into_iter().filter(|(_, s)| s.batch_offset.is_some()) {
                put_if_newer(&mut self.stored, &partition, stored);
            }
        }
    }

    /// Forgets these, decided or not; gives those that were stored.
    pub fn remove<'a>(
        &mut self,
        partitions: impl IntoIterator<Item = &'a TopicPartition>,
    ) -> Vec<TopicPartition> {
        let mut removed = Vec::new();
        for partition in partitions {
            self.pending.remove(partition);
            self.in_transactions.values_mut().for_each(|offsets| drop(offsets.remove(partition)));
            if let Some((partition, _)) = self.stored.remove_entry(partition) {
                removed.push(partition);
            }
        }
        removed
    }

    /// Forgets all; gives those that were stored.
    pub fn remove_all(&mut self) -> Vec<TopicPartition> {
        let all: Vec<TopicPartition> = self.stored.keys().cloned().collect();
        self.remove(&all)
    }

    /// Forgets what nobody has committed again for too long since `since` (KIP-211). Topics that are subscribed to
    /// and partitions with a commit under way stay.
    pub fn expire(
        &mut self,
        wall_ms: i64,
        retention_ms: i64,
        subscribed: &BTreeSet<StrBytes>,
        since: impl Fn(&CommittedOffset) -> i64,
    ) -> Vec<TopicPartition> {
        let is_expired = |(partition, stored): &(&TopicPartition, &Stored)| {
            !subscribed.contains(&partition.0)
                && !self.pending.contains_key(*partition)
                && match stored.value.expire_timestamp_ms {
                    None => wall_ms.saturating_sub(since(&stored.value)) >= retention_ms,
                    Some(expires_ms) => wall_ms >= expires_ms,
                }
        };
        let expired: Vec<TopicPartition> =
            self.stored.iter().filter(is_expired).map(|(partition, _)| partition.clone()).collect();
        expired.iter().for_each(|partition| drop(self.stored.remove(partition)));
        expired
    }
}

pub(crate) fn put_if_newer<K: Ord + Clone>(all: &mut BTreeMap<K, Stored>, key: &K, stored: Stored) {
    let is_newer = all.get(key).is_none_or(|known| known.batch_offset < stored.batch_offset);
    if is_newer {
        all.insert(key.clone(), stored);
    }
}
