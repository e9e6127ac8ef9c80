//! What this broker itself writes to and reads from partitions it leads: the coordinators' topics.
//!
//! Must not know what the records mean.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jackdaw_log::{OffsetQuery, VerificationGuard};
use jackdaw_wire::messages::TransactionalId;
use jackdaw_wire::validate::AppendOrigin;
use jackdaw_wire::{ErrorCode, TopicPartition};

use super::ReplicaManager;
use super::append::Submission;
use super::partition::Partition;
use super::pending::Pending;
use super::produce::Waiting;
use super::read::in_memory;
use super::shared::TopicRef;
use crate::errors;

/// A batch of a coordinator (`ReplicaManager.appendForGroup`, `appendRecords` with `AppendOrigin.COORDINATOR`).
#[derive(Debug, Clone)]
pub struct OwnAppend {
    pub batch: Bytes,
    /// The leadership that the batch belongs to; in any other it is refused.
    pub leader_epoch: i32,
    pub acks: i16,
    /// How long the acknowledgements may take.
    pub timeout: Duration,
    /// From [`ReplicaManager::verify_transaction`], for a batch of a transaction.
    pub guard: Option<VerificationGuard>,
}

/// A partition that this broker leads, to be read up to its end.
pub struct OwnLog {
    partition: Arc<Partition>,
}

impl ReplicaManager {
    /// Appends in the call; the future waits for what `acks` asks for, and gives the batch's base offset.
    ///
    /// # Errors
    /// As a Produce request would be answered.
    pub fn append_own(
        &self,
        topic: &str,
        partition: i32,
        append: OwnAppend,
    ) -> impl Future<Output = Result<i64, ErrorCode>> + Send + 'static + use<> {
        let located = self.shared.locate(&self.shared.image(), TopicRef::Name(topic), partition);
        let submitted = located.map(|partition| {
            let pending = Arc::new(Pending::new(1));
            partition.submit(Submission {
                records: Some(append.batch),
                acks: append.acks,
                origin: AppendOrigin::Coordinator,
                required_epoch: Some(append.leader_epoch),
                guard: append.guard,
                pending: Arc::clone(&pending),
                slot: 0,
            });
            Waiting { pending, partitions: vec![partition] }
        });
        async move {
            let waiting = submitted?;
            let pending = &waiting.pending;
            if !pending.is_done() && tokio::time::timeout(append.timeout, pending.wait()).await.is_err() {
                waiting.give_up();
            }
            let result = pending.take_results().into_iter().next().ok_or(ErrorCode::UnknownServerError)?;
            result.error.map_or(Ok(result.base_offset), Err)
        }
    }

    /// Verifies, before a coordinator of this broker appends for a producer's transaction, that the transaction
    /// includes the partition (`maybeStartTransactionVerificationForPartition`).
    ///
    /// # Errors
    /// As the append would be answered.
    pub async fn verify_transaction(
        &self,
        tp: &TopicPartition,
        transactional_id: &TransactionalId,
        producer_id: i64,
        producer_epoch: i16,
    ) -> Result<Option<VerificationGuard>, ErrorCode> {
        self.shared.verify_own(tp, transactional_id, (producer_id, producer_epoch)).await
    }

    /// The log of a partition that this broker leads in this epoch or a later one.
    pub fn own_log(&self, topic: &str, partition: i32, leader_epoch: i32) -> Result<OwnLog, ErrorCode> {
        let partition = self.shared.locate(&self.shared.image(), TopicRef::Name(topic), partition)?;
        let leads = partition.state().replica.check_append(false).is_ok_and(|epoch| epoch >= leader_epoch);
        if leads { Ok(OwnLog { partition }) } else { Err(ErrorCode::NotLeaderOrFollower) }
    }
}

impl OwnLog {
    pub fn start_offset(&self) -> i64 {
        self.partition.reader.log_start_offset()
    }

    /// The offset of the next record, committed or not: as a leader it never loses what it has.
    pub fn end_offset(&self) -> i64 {
        self.partition.reader.log_end_offset()
    }

    /// Where the segment behind the one of this offset begins; the log's end behind the last.
    pub fn next_segment(&self, offset: i64) -> i64 {
        let begins = self.partition.reader.boundaries(OffsetQuery::Latest, usize::MAX, 0);
        begins.into_iter().filter(|begin| *begin > offset).min().unwrap_or_else(|| self.end_offset())
    }

    /// Whole batches from this offset on, of up to `max_bytes` but at least one; the last may be cut off. Reads on a
    /// thread that may block.
    pub async fn read(&self, from: i64, max_bytes: usize) -> Result<Bytes, ErrorCode> {
        let partition = Arc::clone(&self.partition);
        let read = tokio::task::spawn_blocking(move || {
            let end = partition.reader.log_end_offset();
            let found = partition.reader.read(from, max_bytes, end, true).map_err(|error| {
                if let jackdaw_log::ReadError::Storage(error) = &error {
                    partition.storage_failed(error);
                }
                errors::of_read(&error)
            })?;
            let Some(piece) = found.records.first() else { return Ok(Bytes::new()) };
            in_memory(piece).map_err(|_| ErrorCode::KafkaStorageError)
        });
        read.await.unwrap_or(Err(ErrorCode::UnknownServerError))
    }
}
