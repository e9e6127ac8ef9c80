//! What the controller does without being asked: ticks, timeouts, and bringing preferred leaders back.
//! Nothing here costs anything per partition while the cluster is quiet.

use jackdaw_wire::MetadataRecord;
use jackdaw_wire::metadata_record::NoOpRecord;

use super::{Controller, ControllerSettings};
use crate::apply::ApplyError;

/// After a rebalance that stopped at its bound, the next one follows soon, but lets requests through.
const REBALANCE_AGAIN_MS: i64 = 10;

/// When what is due.
#[derive(Debug)]
pub(super) struct Timers {
    no_op_interval_ms: Option<i64>,
    next_no_op_ms: Option<i64>,
    rebalance_interval_ms: Option<i64>,
    next_rebalance_ms: Option<i64>,
}

impl Timers {
    pub(super) fn new(settings: &ControllerSettings, now_ms: i64) -> Self {
        Self {
            no_op_interval_ms: settings.no_op_interval_ms,
            next_no_op_ms: settings.no_op_interval_ms.map(|interval| now_ms + interval),
            rebalance_interval_ms: settings.rebalance_interval_ms,
            next_rebalance_ms: None,
        }
    }

    /// The clock of a rebalance starts with the first partition that is led by another than its preferred replica.
    pub(super) fn after_change(&mut self, imbalanced: bool, now_ms: i64) {
        if imbalanced && self.next_rebalance_ms.is_none() {
            self.next_rebalance_ms = self.rebalance_interval_ms.map(|interval| now_ms + interval);
        }
    }
}

/// Records made without a request.
#[derive(Debug)]
pub struct Tick {
    /// To be appended as one batch.
    pub records: Vec<MetadataRecord>,
    /// Why, for the log.
    pub reason: TickReason,
}

/// Why the controller acted on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TickReason {
    /// Keeps the log moving.
    NoOp,
    /// A broker was silent for its session timeout.
    SessionTimeout {
        /// Which broker.
        broker: i32,
    },
    /// A broker's process is known to be gone.
    BrokerGone {
        /// Which broker.
        broker: i32,
    },
    /// Preferred leaders come back.
    Rebalance {
        /// How many partitions change.
        partitions: usize,
    },
}

impl Controller {
    /// When [`Controller::tick`] next has something to do; `None` if never.
    pub fn next_deadline_ms(&self) -> Option<i64> {
        let no_op = self.timers.next_no_op_ms.filter(|_| self.image.metadata_version().has_no_op_records());
        [no_op, self.timers.next_rebalance_ms, self.sessions.next_deadline_ms()].into_iter().flatten().min()
    }

    /// When the next rebalance is due.
    #[cfg(test)]
    pub(super) fn timers_due(&self) -> Option<i64> {
        self.timers.next_rebalance_ms
    }

    /// Does one thing that is due, or nothing. One broker is fenced at a time, so that each fencing is decided on
    /// what the one before left; call again until there is nothing.
    ///
    /// # Errors
    /// As [`Controller::handle`].
    pub fn tick(&mut self, now_ms: i64) -> Result<Option<Tick>, ApplyError> {
        if let Some(broker) = self.sessions.stale_broker(now_ms) {
            return self.fence(broker, TickReason::SessionTimeout { broker }, now_ms).map(Some);
        }
        if self.timers.next_rebalance_ms.is_some_and(|due| due <= now_ms) {
            let (changes, more) = self.preferred_leader_changes();
            self.timers.next_rebalance_ms = more.then_some(now_ms + REBALANCE_AGAIN_MS);
            if !changes.is_empty() {
                let reason = TickReason::Rebalance { partitions: changes.len() };
                return self.written(changes, reason, now_ms).map(Some);
            }
            self.timers.after_change(self.index.is_imbalanced(), now_ms);
        }
        if self.timers.next_no_op_ms.is_some_and(|due| due <= now_ms) {
            self.timers.next_no_op_ms = self.timers.no_op_interval_ms.map(|interval| now_ms + interval);
            if self.image.metadata_version().has_no_op_records() {
                return self.written(vec![NoOpRecord::default().into()], TickReason::NoOp, now_ms).map(Some);
            }
        }
        Ok(None)
    }

    /// The broker's connection was closed and a fresh connect was refused: its process is gone, and waiting for
    /// the session timeout would only keep its partitions without a leader. It leaves every leadership and ISR at once,
    /// and may lead nothing until it is heard of again. The session timeout stays the upper bound for everything that is
    /// not known this surely.
    ///
    /// It is fenced when its session ends, as in Kafka: clients are told of a fenced broker no more, and librdkafka
    /// keeps asking a coordinator that is not listed for as long as it can (confluentinc/librdkafka#5511).
    ///
    /// Nothing happens unless the broker is registered in this epoch and unfenced.
    ///
    /// # Errors
    /// As [`Controller::handle`].
    pub fn broker_gone(&mut self, broker: i32, epoch: i64, now_ms: i64) -> Result<Option<Tick>, ApplyError> {
        match self.image.brokers.get(&broker) {
            Some(b) if b.epoch == epoch && !b.fenced && !self.sessions.is_gone(broker) => {
                self.sessions.mark_gone(broker);
                let mut records = Vec::new();
                let in_isr = self.index.with_broker_in_isr(broker);
                self.update_leaders_and_isrs(Some(broker), None, in_isr, &mut records);
                self.written(records, TickReason::BrokerGone { broker }, now_ms).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn fence(&mut self, broker: i32, reason: TickReason, now_ms: i64) -> Result<Tick, ApplyError> {
        let mut records = Vec::new();
        self.fence_broker(broker, &mut records);
        self.written(records, reason, now_ms)
    }

    fn written(
        &mut self,
        records: Vec<MetadataRecord>,
        reason: TickReason,
        now_ms: i64,
    ) -> Result<Tick, ApplyError> {
        self.apply(&records, now_ms)?;
        Ok(Tick { records, reason })
    }
}
