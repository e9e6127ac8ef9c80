//! A ProduceRequest whose partitions are answered one by one, from wherever their acknowledgements come.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use jackdaw_wire::ErrorCode;
use jackdaw_wire::compression::Allowance;
use jackdaw_wire::validate::RecordError;
use tokio::sync::Notify;

/// What the reply says of one partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct AppendResult {
    pub error: Option<ErrorCode>,
    pub base_offset: i64,
    /// -1 unless the topic is stamped with the broker's time.
    pub log_append_time_ms: i64,
    pub log_start_offset: i64,
    pub record_errors: Vec<RecordError>,
    pub message: Option<String>,
}

impl AppendResult {
    pub fn failed(error: ErrorCode) -> Self {
        Self { error: Some(error), ..Self::nothing() }
    }

    /// No error, and nothing was appended.
    pub fn nothing() -> Self {
        Self { base_offset: -1, log_append_time_ms: -1, log_start_offset: -1, ..Self::default() }
    }
}

/// The partitions of one request, by their place in it.
#[derive(Debug)]
pub(super) struct Pending {
    slots: Mutex<Vec<Slot>>,
    open: AtomicUsize,
    done: Notify,
    /// What the records of all of them may unpack to.
    pub allowance: Allowance,
}

#[derive(Debug, Default)]
struct Slot {
    result: AppendResult,
    is_done: bool,
}

impl Pending {
    pub fn new(partitions: usize) -> Self {
        Self::for_records(partitions, 0)
    }

    /// For a request with so many bytes of records.
    pub fn for_records(partitions: usize, records_bytes: usize) -> Self {
        Self {
            allowance: Allowance::for_records(records_bytes),
            slots: Mutex::new((0..partitions).map(|_| Slot::default()).collect()),
            open: AtomicUsize::new(partitions),
            done: Notify::new(),
        }
    }

    /// The append happened; its acknowledgement is still to come.
    pub fn appended(&self, slot: usize, result: AppendResult) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get_mut(slot).filter(|slot| !slot.is_done) {
            slot.result = result;
        }
    }

    /// The partition's last word. Whatever comes later (an acknowledgement after the timeout) is not heard.
    pub fn complete(&self, slot: usize, error: Option<ErrorCode>) {
        {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(slot) = slots.get_mut(slot).filter(|slot| !slot.is_done) else { return };
            slot.is_done = true;
            slot.result.error = error.or(slot.result.error);
        }
        if self.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.done.notify_one();
        }
    }

    /// Both in one.
    pub fn answer(&self, slot: usize, result: AppendResult) {
        let error = result.error;
        self.appended(slot, result);
        self.complete(slot, error);
    }

    pub fn is_done(&self) -> bool {
        self.open.load(Ordering::Acquire) == 0
    }

    pub async fn wait(&self) {
        while !self.is_done() {
            self.done.notified().await;
        }
    }

    /// Answers whatever is still open with a timeout.
    pub fn time_out(&self) {
        let count = self.slots.lock().unwrap_or_else(PoisonError::into_inner).len();
        for slot in 0..count {
            self.complete(slot, Some(ErrorCode::RequestTimedOut));
        }
    }

    pub fn take_results(&self) -> Vec<AppendResult> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *slots).into_iter().map(|slot| slot.result).collect()
    }
}
