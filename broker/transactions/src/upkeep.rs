//! What comes with time: transactions that took too long are aborted, ids that nobody uses are forgotten.

use crate::coordinator::{Coordinator, Now, Pending};
use crate::record;
use crate::requests::{Effect, Reply};
use crate::state::State;

/// Tombstones of one batch, in bytes of their keys.
const TOMBSTONES_BYTES: usize = 16 * 1024;

impl Coordinator {
    pub fn tick(&mut self, now: Now) {
        self.resend_due(now);
        if self.next_abort_ms <= now.steady_ms {
            self.next_abort_ms = now.steady_ms + self.settings.abort_interval_ms;
            self.abort_timed_out(now);
        }
        if self.next_expiry_ms <= now.steady_ms {
            self.next_expiry_ms = now.steady_ms + self.settings.expire_interval_ms;
            self.expire_ids(now);
        }
    }

    /// In steady milliseconds: when [`Coordinator::tick`] is due.
    pub fn next_deadline(&self) -> Option<i64> {
        let resend_ms = self.resend_ms.unwrap_or(i64::MAX);
        let next = self.next_abort_ms.min(self.next_expiry_ms).min(resend_ms);
        (next < i64::MAX).then_some(next)
    }

    fn abort_timed_out(&mut self, now: Now) {
        let is_late = |(_, transaction): &(&String, &crate::transaction::Transaction)| {
            transaction.pending.is_none() && transaction.is_late(now.steady_ms)
        };
        let late: Vec<String> = self.transactions.iter().filter(is_late).map(|(id, _)| id.clone()).collect();
        for id in late {
            tracing::info!(
                target: "kafka.coordinator.transaction.TransactionCoordinator",
                "Rolling back the transaction of {id}, which has timed out"
            );
            self.abort_fenced(now, None, Reply::Done, &id);
        }
    }

    fn expire_ids(&mut self, now: Now) {
        let oldest_ms = now.wall_ms.saturating_sub(self.settings.id_expiration_ms);
        let mut ids: Vec<(String, i16)> = Vec::new();
        let mut records = Vec::new();
        let mut bytes = 0;
        let mut batches = Vec::new();
        for (id, transaction) in &mut self.transactions {
            let is_expired = transaction.pending.is_none()
                && transaction.state.may_expire()
                && transaction.updated_ms <= oldest_ms;
            let Some(key) = is_expired.then(|| record::key(id).ok()).flatten() else { continue };
            transaction.pending = Some(State::Dead);
            bytes += key.len();
            ids.push((id.clone(), transaction.producer_epoch));
            records.push((key, None));
            if bytes >= TOMBSTONES_BYTES {
                batches.push((std::mem::take(&mut ids), std::mem::take(&mut records)));
                bytes = 0;
            }
        }
        if !ids.is_empty() {
            batches.push((ids, records));
        }
        for (ids, records) in batches {
            let timeout_ms = self.settings.request_timeout_ms;
            let ticket = self.ticket(Pending::Expired(ids));
            self.effects.push(Effect::Append { ticket, records, timeout_ms });
        }
    }

    pub(crate) fn expired(&mut self, ids: Vec<(String, i16)>, is_written: bool) {
        for (id, epoch) in ids {
            let Some(transaction) = self.transactions.get_mut(&id) else { continue };
            let is_same = transaction.pending == Some(State::Dead) && transaction.producer_epoch == epoch;
            if is_written && is_same {
                self.transactions.remove(&id);
            } else {
                transaction.pending = None;
            }
        }
    }
}
