//! The markers of decided transactions: sent until every partition has its own, then the transaction is complete
//! (`TransactionMarkerChannelManager`, `TransactionMarkerRequestCompletionHandler`).

use std::collections::BTreeSet;

use jackdaw_wire::{ErrorCode, TopicPartition};

use crate::coordinator::{Coordinator, InFlight, Now};
use crate::requests::Effect;
use crate::transaction::Transaction;

/// Pause before markers are sent again to where they did not arrive.
const RESEND_MS: i64 = 100;

/// Markers to be written by the leaders of these partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Markers {
    pub transactional_id: String,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub coordinator_epoch: i32,
    pub commits: bool,
    pub partitions: BTreeSet<TopicPartition>,
}

/// What became of a marker in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkerOutcome {
    Written,
    /// The partition is no more: nothing is to be written there.
    Gone,
    /// It may be written later, perhaps by another leader.
    Retry,
    /// Another coordinator, or a later epoch of the producer, has been there: this one is to do nothing more.
    Fenced,
}

impl MarkerOutcome {
    /// What a leader's answer means. Kafka's channel dies of those it does not know; here they are tried again.
    pub fn of(error: Option<ErrorCode>) -> Self {
        match error {
            None => Self::Written,
            Some(ErrorCode::InvalidProducerEpoch | ErrorCode::TransactionCoordinatorFenced) => Self::Fenced,
            Some(ErrorCode::UnsupportedForMessageFormat | ErrorCode::UnsupportedVersion) => Self::Gone,
            Some(_) => Self::Retry,
        }
    }
}

impl Coordinator {
    /// Sends the markers of a prepared transaction whose completion is pending.
    pub(crate) fn send_markers(&mut self, id: &str, now: Now) {
        let Some(transaction) = self.transactions.get(id) else { return };
        if transaction.partitions.is_empty() {
            return self.append_completion(id, now);
        }
        let markers = self.markers_of(id, transaction, transaction.partitions.clone());
        self.effects.push(Effect::WriteMarkers(markers));
    }

    fn markers_of(
        &self,
        id: &str,
        transaction: &Transaction,
        partitions: BTreeSet<TopicPartition>,
    ) -> Markers {
        Markers {
            transactional_id: id.to_owned(),
            producer_id: transaction.producer_id,
            producer_epoch: transaction.producer_epoch,
            coordinator_epoch: self.epoch,
            commits: transaction.state == crate::State::PrepareCommit,
            partitions,
        }
    }

    pub(crate) fn markers_written(
        &mut self,
        id: &str,
        coordinator_epoch: i32,
        outcomes: Vec<(TopicPartition, MarkerOutcome)>,
        now: Now,
    ) {
        if coordinator_epoch != self.epoch {
            // They were sent again in the present one.
            return;
        }
        let Some(transaction) = self.transactions.get_mut(id) else { return };
        let awaits = transaction.state.is_prepared() && transaction.pending.is_some();
        if !awaits || self.completing.contains(id) {
            return;
        }
        let mut again = BTreeSet::new();
        for (tp, outcome) in outcomes {
            match outcome {
                MarkerOutcome::Written | MarkerOutcome::Gone => {
                    transaction.partitions.remove(&tp);
                }
                MarkerOutcome::Retry => {
                    again.insert(tp);
                }
                MarkerOutcome::Fenced => {
                    tracing::info!(
                        target: "kafka.coordinator.transaction.TransactionMarkerRequestCompletionHandler",
                        "Sending {id}'s transaction marker for partition {tp} has permanently failed; cancel sending \
                         any more transaction markers"
                    );
                    return;
                }
            }
        }
        again.retain(|tp| transaction.partitions.contains(tp));
        if transaction.partitions.is_empty() {
            self.append_completion(id, now);
        } else if !again.is_empty() {
            self.resend.entry(id.to_owned()).or_default().extend(again);
            self.resend_ms = Some(self.resend_ms.unwrap_or(now.steady_ms + RESEND_MS));
        }
    }

    /// Every marker is written: the transaction is over once this is in the log.
    pub(crate) fn append_completion(&mut self, id: &str, now: Now) {
        let Some(transaction) = self.transactions.get_mut(id) else { return };
        // It is pending since the markers were sent.
        transaction.pending = None;
        let transit = transaction.prepare_complete(now.wall_ms);
        self.completing.insert(id.to_owned());
        self.append(id, transit, InFlight::Completion);
    }

    /// The completion was not appended. Whoever is not the coordinator any more is told so by resigning.
    pub(crate) fn completion_failed(&mut self, id: String, now: Now) {
        self.incomplete.insert(id);
        self.resend_ms = Some(self.resend_ms.unwrap_or(now.steady_ms + RESEND_MS));
    }

    pub(crate) fn resend_due(&mut self, now: Now) {
        if self.resend_ms.is_none_or(|due_ms| due_ms > now.steady_ms) {
            return;
        }
        self.resend_ms = None;
        for (id, partitions) in std::mem::take(&mut self.resend) {
            let Some(transaction) = self.transactions.get(&id) else { continue };
            let partitions = partitions.intersection(&transaction.partitions).cloned().collect();
            let markers = self.markers_of(&id, transaction, partitions);
            if !markers.partitions.is_empty() {
                self.effects.push(Effect::WriteMarkers(markers));
            }
        }
        for id in std::mem::take(&mut self.incomplete) {
            self.append_completion(&id, now);
        }
    }

    /// It leads on in a later epoch: markers of the former may be refused, and are sent anew.
    pub(crate) fn send_all_markers(&mut self, now: Now) {
        self.resend.clear();
        let waiting = |(id, transaction): (&String, &Transaction)| {
            let waits = transaction.state.is_prepared() && transaction.pending.is_some();
            (waits && !self.completing.contains(id)).then(|| id.clone())
        };
        let waiting: Vec<String> = self.transactions.iter().filter_map(waiting).collect();
        for id in waiting {
            self.send_markers(&id, now);
        }
    }
}
