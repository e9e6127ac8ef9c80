//! The decision: a transaction ends because its producer says so, because another takes its id, or because its time
//! is up (`TransactionCoordinator.endTransaction`).

use jackdaw_wire::ErrorCode;

use crate::coordinator::{Coordinator, InFlight, Now};
use crate::requests::Reply;
use crate::state::State;
use crate::transaction::NO_EPOCH;

impl Coordinator {
    pub(crate) fn end(&mut self, now: Now, token: u64, id: &str, producer: (i64, i16), commits: bool) {
        if id.is_empty() {
            return self.fail(token, ErrorCode::InvalidRequest);
        }
        match self.may_end(id, producer, commits) {
            Err(error) => self.fail(token, error),
            Ok(false) => self.reply(token, Reply::Done),
            Ok(true) => {
                let Some(transaction) = self.transactions.get_mut(id) else { return };
                let transit = transaction.prepare_end(commits, now.wall_ms);
                let waiter = InFlight::End { token: Some(token), answer: Reply::Done, fences: false };
                self.append(id, transit, waiter);
            }
        }
    }

    /// Whether there is anything to end; not where it has ended that way already.
    fn may_end(&self, id: &str, (producer_id, epoch): (i64, i16), commits: bool) -> Result<bool, ErrorCode> {
        let transaction = self.transactions.get(id).ok_or(ErrorCode::InvalidProducerIdMapping)?;
        if transaction.producer_id != producer_id {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        if transaction.producer_epoch != epoch {
            return Err(ErrorCode::ProducerFenced);
        }
        if transaction.pending.is_some() {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        match (transaction.state, commits) {
            (State::Ongoing, _) => Ok(true),
            (State::CompleteCommit, true) | (State::CompleteAbort, false) => Ok(false),
            (State::PrepareCommit, true) | (State::PrepareAbort, false) => {
                Err(ErrorCode::ConcurrentTransactions)
            }
            _ => Err(ErrorCode::InvalidTxnState),
        }
    }

    /// Aborts an open transaction in the name of a later epoch, which its producer does not know. Whoever asked for
    /// the id is to come again.
    pub(crate) fn fence(&mut self, now: Now, token: u64, id: &str) {
        let answer = Reply::Error(ErrorCode::ConcurrentTransactions);
        self.abort_fenced(now, Some(token), answer, id);
    }

    pub(crate) fn abort_fenced(&mut self, now: Now, token: Option<u64>, answer: Reply, id: &str) {
        let Some(transaction) = self.transactions.get_mut(id) else { return };
        let Some(epoch) = transaction.fence() else {
            tracing::error!(
                target: "kafka.coordinator.transaction",
                "Cannot fence the producer of {id}: it has the largest epoch"
            );
            if let Some(token) = token {
                self.fail(token, ErrorCode::UnknownServerError);
            }
            return;
        };
        // The way is free for the abort, which is written with the new epoch.
        transaction.pending = None;
        transaction.producer_epoch = epoch;
        transaction.last_producer_epoch = NO_EPOCH;
        let transit = transaction.prepare_end(false, now.wall_ms);
        self.append(id, transit, InFlight::End { token, answer, fences: true });
    }
}
