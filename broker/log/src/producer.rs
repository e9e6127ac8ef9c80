//! What a partition knows of the producers that write to it (Kafka's `ProducerStateManager`): epochs, sequences,
//! the last five batches, open transactions. It finds duplicates and gaps, and bounds what `read_committed` sees.
//!
//! Pure: no clock, no files. The log keeps it in `.snapshot` files and rebuilds it from them and its records.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jackdaw_wire::types::TopicPartition;
use jackdaw_wire::validate::AppendOrigin;

use crate::batch::{BatchMeta, EndMarker};
use crate::error::AppendError;

/// So many batches of a producer are remembered: as many as may be in flight (KIP-185).
pub(crate) const BATCHES_REMEMBERED: usize = 5;
const NO_PRODUCER_EPOCH: i16 = -1;
const NO_SEQUENCE: i32 = -1;
const NO_TIMESTAMP: i64 = -1;
const NO_COORDINATOR_EPOCH: i32 = -1;

/// Tells one verification of a producer's transaction from every other (KIP-890, `VerificationGuard`): an answer of
/// the coordinator counts only while nothing was appended, and no transaction ended, since it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerificationGuard(pub u64);

/// A transaction of which this partition does not know yet that it is part (`VerificationStateEntry`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Verification {
    guard: VerificationGuard,
    began_ms: i64,
    /// A batch with a higher one waits until this one is written: it would shut the lower one out.
    lowest_sequence: i32,
    epoch: i16,
}

/// Whence records come, which decides how they are checked (`AppendOrigin`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// From a producer: sequences and duplicates are checked.
    Client,
    /// Written by this broker's group or transaction coordinator.
    Coordinator,
    /// From the leader, who has checked already.
    Replication,
}

impl From<AppendOrigin> for Origin {
    fn from(origin: AppendOrigin) -> Self {
        match origin {
            AppendOrigin::Client => Origin::Client,
            AppendOrigin::Coordinator => Origin::Coordinator,
        }
    }
}

/// A batch that was appended (`BatchMetadata`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerBatch {
    pub last_sequence: i32,
    pub last_offset: i64,
    pub offset_delta: i32,
    pub timestamp_ms: i64,
}

impl ProducerBatch {
    /// Wraps like the sequences themselves.
    pub fn first_sequence(&self) -> i32 {
        let first = i64::from(self.last_sequence) - i64::from(self.offset_delta);
        let wrapped = if first < 0 { first + (i64::from(i32::MAX) + 1) } else { first };
        wrapped as i32
    }

    pub fn first_offset(&self) -> i64 {
        self.last_offset - i64::from(self.offset_delta)
    }
}

/// One producer (`ProducerStateEntry`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerEntry {
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub coordinator_epoch: i32,
    pub last_timestamp_ms: i64,
    /// Where its open transaction began.
    pub current_txn_first_offset: Option<i64>,
    /// The oldest first, at most five; empty right after a new epoch or an end marker in it.
    pub batches: Vec<ProducerBatch>,
}

impl ProducerEntry {
    fn empty(producer_id: i64) -> Self {
        Self {
            producer_id,
            producer_epoch: NO_PRODUCER_EPOCH,
            coordinator_epoch: NO_COORDINATOR_EPOCH,
            last_timestamp_ms: NO_TIMESTAMP,
            current_txn_first_offset: None,
            batches: Vec::new(),
        }
    }

    pub fn last_sequence(&self) -> i32 {
        self.batches.last().map_or(NO_SEQUENCE, |batch| batch.last_sequence)
    }

    pub fn last_data_offset(&self) -> i64 {
        self.batches.last().map_or(-1, |batch| batch.last_offset)
    }

    pub(crate) fn last_offset_delta(&self) -> i32 {
        self.batches.last().map_or(0, |batch| batch.offset_delta)
    }

    fn adopt_epoch(&mut self, epoch: i16) {
        if self.producer_epoch != epoch {
            self.batches.clear();
            self.producer_epoch = epoch;
        }
    }

    fn remember(&mut self, batch: ProducerBatch) {
        if self.batches.len() == BATCHES_REMEMBERED {
            self.batches.remove(0);
        }
        self.batches.push(batch);
    }

    fn find_duplicate(&self, meta: &BatchMeta) -> Option<ProducerBatch> {
        if meta.producer_epoch != self.producer_epoch {
            return None;
        }
        let same = |batch: &&ProducerBatch| {
            batch.first_sequence() == meta.base_sequence && batch.last_sequence == meta.last_sequence
        };
        self.batches.iter().find(same).copied()
    }
}

/// A transaction that ended in this append (`CompletedTxn`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CompletedTxn {
    pub producer_id: i64,
    pub first_offset: i64,
    pub last_offset: i64,
    pub is_aborted: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Txn {
    producer_id: i64,
    /// Set once it has ended.
    last_offset: Option<i64>,
}

/// The changes one append makes to one producer (`ProducerAppendInfo`); nothing is changed before they are applied.
#[derive(Debug)]
struct Update {
    /// As it was before the append.
    current_epoch: i16,
    current_last_sequence: i32,
    /// Starts from the entry without its batches; gathers those of this append.
    updated: ProducerEntry,
    started: Vec<i64>,
    verification: Option<Verification>,
    /// A batch of a transaction settles what was to be verified.
    settles_verification: bool,
}

/// The changes one append makes: checked, not yet applied.
#[derive(Debug, Default)]
pub(crate) struct Updates {
    by_producer: HashMap<i64, Update>,
    pub completed: Vec<CompletedTxn>,
}

/// The producers of one partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProducerState {
    producers: HashMap<i64, ProducerEntry>,
    /// Open transactions by first offset.
    ongoing: BTreeMap<i64, Txn>,
    /// Ended ones whose end marker is not yet below the high watermark.
    unreplicated: BTreeMap<i64, Txn>,
    verifications: HashMap<i64, Verification>,
    next_guard: u64,
    /// Up to where (exclusive) records are taken into account.
    map_end_offset: i64,
}

impl ProducerState {
    pub fn map_end_offset(&self) -> i64 {
        self.map_end_offset
    }

    pub(crate) fn set_map_end_offset(&mut self, offset: i64) {
        self.map_end_offset = offset;
    }

    pub fn producers(&self) -> impl ExactSizeIterator<Item = &ProducerEntry> {
        self.producers.values()
    }

    pub fn get(&self, producer_id: i64) -> Option<&ProducerEntry> {
        self.producers.get(&producer_id)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.producers.is_empty() && self.unreplicated.is_empty()
    }

    /// Takes over what a snapshot says; producers that are long silent stay out.
    pub(crate) fn load(
        &mut self,
        entries: Vec<ProducerEntry>,
        snapshot_offset: i64,
        now_ms: i64,
        expiration_ms: i64,
    ) {
        for entry in entries {
            if is_expired(&entry, now_ms, expiration_ms) {
                continue;
            }
            if let Some(first_offset) = entry.current_txn_first_offset {
                self.ongoing.insert(first_offset, Txn { producer_id: entry.producer_id, last_offset: None });
            }
            self.producers.insert(entry.producer_id, entry);
        }
        self.map_end_offset = snapshot_offset;
    }

    pub(crate) fn clear(&mut self, map_end_offset: i64) {
        self.producers = HashMap::new();
        self.ongoing.clear();
        self.unreplicated.clear();
        self.map_end_offset = map_end_offset;
    }

    /// The batch that `meta` repeats, if the producer's last five hold one with its epoch and sequences.
    pub(crate) fn find_duplicate(&self, meta: &BatchMeta) -> Option<ProducerBatch> {
        self.producers.get(&meta.producer_id).and_then(|entry| entry.find_duplicate(meta))
    }

    /// Checks one batch on top of the state and of `updates`, and notes its effect there.
    pub(crate) fn check(
        &self,
        updates: &mut Updates,
        meta: &BatchMeta,
        marker: Option<EndMarker>,
        origin: Origin,
        partition: &TopicPartition,
    ) -> Result<(), AppendError> {
        let update = updates
            .by_producer
            .entry(meta.producer_id)
            .or_insert_with(|| self.begin_update(meta.producer_id));
        update.settles_verification |= meta.is_transactional;
        if meta.is_control {
            let Some(marker) = marker else { return Ok(()) };
            let completed = update.end_transaction(meta, marker, origin, partition)?;
            updates.completed.extend(completed);
            return Ok(());
        }
        update.add_batch(meta, origin, partition)
    }

    fn begin_update(&self, producer_id: i64) -> Update {
        let current = self.producers.get(&producer_id);
        let mut updated = match current {
            Some(entry) => ProducerEntry { batches: Vec::new(), ..entry.clone() },
            None => ProducerEntry::empty(producer_id),
        };
        updated.batches.reserve(1);
        Update {
            current_epoch: updated.producer_epoch,
            current_last_sequence: current.map_or(NO_SEQUENCE, ProducerEntry::last_sequence),
            updated,
            started: Vec::new(),
            verification: self.verifications.get(&producer_id).copied(),
            settles_verification: false,
        }
    }

    /// Begins to verify that a producer's transaction includes this partition, or goes on with it. `None` where its
    /// transaction is open here already: nothing is to be verified (`UnifiedLog.maybeStartTransactionVerification`).
    pub(crate) fn start_verification(
        &mut self,
        producer_id: i64,
        sequence: i32,
        epoch: i16,
        now_ms: i64,
    ) -> Option<VerificationGuard> {
        if self.has_open_transaction(producer_id) {
            return None;
        }
        let next_guard = &mut self.next_guard;
        let entry = self.verifications.entry(producer_id).or_insert_with(|| {
            *next_guard += 1;
            let guard = VerificationGuard(*next_guard);
            Verification { guard, began_ms: now_ms, lowest_sequence: sequence, epoch }
        });
        if epoch == entry.epoch {
            entry.lowest_sequence = entry.lowest_sequence.min(sequence);
        } else if epoch > entry.epoch {
            entry.epoch = epoch;
            entry.lowest_sequence = sequence;
        }
        Some(entry.guard)
    }

    /// Whether a batch of a transaction may be written: the transaction is open here, or was verified with this
    /// guard and nothing happened since.
    pub(crate) fn is_verified(&self, producer_id: i64, guard: Option<VerificationGuard>) -> bool {
        let expected = self.verifications.get(&producer_id).map(|entry| entry.guard);
        self.has_open_transaction(producer_id) || (guard.is_some() && guard == expected)
    }

    /// Applies what was checked, without the ends of transactions (`ProducerStateManager.update`).
    pub(crate) fn apply(&mut self, updates: Updates) -> Vec<CompletedTxn> {
        for (producer_id, update) in updates.by_producer {
            if update.settles_verification {
                self.verifications.remove(&producer_id);
            }
            for first_offset in &update.started {
                self.ongoing.insert(*first_offset, Txn { producer_id, last_offset: None });
            }
            let news = update.updated;
            match self.producers.get_mut(&producer_id) {
                Some(entry) => {
                    entry.adopt_epoch(news.producer_epoch);
                    for batch in news.batches {
                        entry.remember(batch);
                    }
                    entry.coordinator_epoch = news.coordinator_epoch;
                    entry.current_txn_first_offset = news.current_txn_first_offset;
                    entry.last_timestamp_ms = news.last_timestamp_ms;
                }
                None => {
                    self.producers.insert(producer_id, news);
                }
            }
        }
        updates.completed
    }

    /// The last stable offset once this transaction has ended: where another producer's open one begins, or its own
    /// end.
    pub(crate) fn last_stable_offset(&self, completed: &CompletedTxn) -> i64 {
        let other = self.ongoing.iter().find(|(_, txn)| txn.producer_id != completed.producer_id);
        other.map_or(completed.last_offset + 1, |(first_offset, _)| *first_offset)
    }

    pub(crate) fn complete(&mut self, completed: &CompletedTxn) {
        if let Some(mut txn) = self.ongoing.remove(&completed.first_offset) {
            txn.last_offset = Some(completed.last_offset);
            self.unreplicated.insert(completed.first_offset, txn);
        }
    }

    /// Transactions whose end is below the high watermark no longer hold the last stable offset back.
    pub(crate) fn forget_replicated(&mut self, high_watermark: i64) {
        self.unreplicated.retain(|_, txn| txn.last_offset.is_none_or(|last| last >= high_watermark));
    }

    /// The first offset of a transaction that is open, or ended but not yet replicated.
    pub fn first_unstable_offset(&self) -> Option<i64> {
        let ongoing = self.ongoing.keys().next();
        let unreplicated = self.unreplicated.keys().next();
        ongoing.into_iter().chain(unreplicated).min().copied()
    }

    /// Where the first open transaction begins.
    pub(crate) fn first_open_offset(&self) -> Option<i64> {
        self.ongoing.keys().next().copied()
    }

    /// First and last offsets of the ended transactions that are not known to be replicated.
    pub(crate) fn ended(&self) -> Option<Arc<Vec<(i64, i64)>>> {
        let ended = self.unreplicated.iter().filter_map(|(first, txn)| Some((*first, txn.last_offset?)));
        (!self.unreplicated.is_empty()).then(|| Arc::new(ended.collect()))
    }

    pub fn has_open_transaction(&self, producer_id: i64) -> bool {
        self.producers.get(&producer_id).is_some_and(|entry| entry.current_txn_first_offset.is_some())
    }

    /// When the oldest open transaction was last written to; for the metric of hanging ones.
    pub fn oldest_open_transaction_ms(&self) -> Option<i64> {
        let oldest = self.ongoing.values().next()?;
        self.producers.get(&oldest.producer_id).map(|entry| entry.last_timestamp_ms)
    }

    /// Forgets producers that were silent for `expiration_ms` and have no open transaction, and verifications that
    /// nothing came of.
    pub(crate) fn remove_expired(&mut self, now_ms: i64, expiration_ms: i64) {
        self.verifications.retain(|_, entry| now_ms.saturating_sub(entry.began_ms) < expiration_ms);
        self.producers.retain(|_, entry| !is_expired(entry, now_ms, expiration_ms));
        if self.producers.is_empty() {
            self.producers = HashMap::new();
        }
    }
}

fn is_expired(entry: &ProducerEntry, now_ms: i64, expiration_ms: i64) -> bool {
    entry.current_txn_first_offset.is_none()
        && now_ms.saturating_sub(entry.last_timestamp_ms) >= expiration_ms
}

impl Update {
    fn check_epoch(
        &self,
        meta: &BatchMeta,
        origin: Origin,
        partition: &TopicPartition,
    ) -> Result<(), AppendError> {
        if meta.producer_epoch >= self.updated.producer_epoch {
            return Ok(());
        }
        let fenced = AppendError::InvalidProducerEpoch {
            producer_id: meta.producer_id,
            offset: meta.base_offset,
            partition: partition.clone(),
            epoch: meta.producer_epoch,
            last_seen: self.updated.producer_epoch,
        };
        if origin == Origin::Replication {
            // The leader took it; a follower's log has to stay the same as the leader's.
            tracing::warn!("{fenced}");
            return Ok(());
        }
        Err(fenced)
    }

    /// `ProducerAppendInfo.checkSequence`.
    fn check_sequence(&self, meta: &BatchMeta, partition: &TopicPartition) -> Result<(), AppendError> {
        let incoming = meta.base_sequence;
        let known_epoch = self.updated.producer_epoch;
        let lowest = self.verification.map(|verification| verification.lowest_sequence);
        if let Some(current) = lowest.filter(|lowest| incoming > *lowest) {
            return Err(Self::out_of_order(meta, partition, current));
        }
        if meta.producer_epoch != known_epoch {
            if incoming == 0 || known_epoch == NO_PRODUCER_EPOCH {
                return Ok(());
            }
            return Err(AppendError::InvalidSequenceForNewEpoch {
                producer_id: meta.producer_id,
                offset: meta.base_offset,
                partition: partition.clone(),
                request_epoch: meta.producer_epoch,
                incoming,
                current_epoch: known_epoch,
            });
        }
        let current = if !self.updated.batches.is_empty() {
            self.updated.last_sequence()
        } else if meta.producer_epoch == self.current_epoch {
            self.current_last_sequence
        } else {
            NO_SEQUENCE
        };
        let follows = i64::from(incoming) == i64::from(current) + 1 || (incoming == 0 && current == i32::MAX);
        if follows || self.current_epoch == NO_PRODUCER_EPOCH {
            return Ok(());
        }
        Err(Self::out_of_order(meta, partition, current))
    }

    fn out_of_order(meta: &BatchMeta, partition: &TopicPartition, current: i32) -> AppendError {
        AppendError::OutOfOrderSequence {
            producer_id: meta.producer_id,
            offset: meta.base_offset,
            partition: partition.clone(),
            incoming: meta.base_sequence,
            current,
        }
    }

    fn add_batch(
        &mut self,
        meta: &BatchMeta,
        origin: Origin,
        partition: &TopicPartition,
    ) -> Result<(), AppendError> {
        self.check_epoch(meta, origin, partition)?;
        if origin == Origin::Client {
            self.check_sequence(meta, partition)?;
        }
        self.updated.adopt_epoch(meta.producer_epoch);
        self.updated.remember(ProducerBatch {
            last_sequence: meta.last_sequence,
            last_offset: meta.last_offset,
            offset_delta: (meta.last_offset - meta.base_offset) as i32,
            timestamp_ms: meta.max_timestamp_ms,
        });
        self.updated.last_timestamp_ms = meta.max_timestamp_ms;
        match (self.updated.current_txn_first_offset, meta.is_transactional) {
            (Some(_), false) => Err(AppendError::InvalidTxnState {
                producer_id: meta.producer_id,
                offset: meta.base_offset,
                partition: partition.clone(),
            }),
            (None, true) => {
                self.updated.current_txn_first_offset = Some(meta.base_offset);
                self.started.push(meta.base_offset);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// `ProducerAppendInfo.appendEndTxnMarker`.
    fn end_transaction(
        &mut self,
        meta: &BatchMeta,
        marker: EndMarker,
        origin: Origin,
        partition: &TopicPartition,
    ) -> Result<Option<CompletedTxn>, AppendError> {
        self.check_epoch(meta, origin, partition)?;
        if self.updated.coordinator_epoch > marker.coordinator_epoch && origin != Origin::Replication {
            return Err(AppendError::TransactionCoordinatorFenced {
                producer_id: meta.producer_id,
                offset: meta.base_offset,
                partition: partition.clone(),
                marker_epoch: marker.coordinator_epoch,
                current_epoch: self.updated.coordinator_epoch,
            });
        }
        let completed = self.updated.current_txn_first_offset.take().map(|first_offset| CompletedTxn {
            producer_id: meta.producer_id,
            first_offset,
            last_offset: meta.base_offset,
            is_aborted: marker.is_abort,
        });
        self.updated.adopt_epoch(meta.producer_epoch);
        self.updated.coordinator_epoch = marker.coordinator_epoch;
        self.updated.last_timestamp_ms = meta.max_timestamp_ms;
        Ok(completed)
    }
}
