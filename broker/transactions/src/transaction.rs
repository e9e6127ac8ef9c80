//! One transactional id: its producer, its state, and the transition that is under way (`TransactionMetadata`).

use std::collections::BTreeSet;

use jackdaw_wire::{ErrorCode, TopicPartition};

use crate::coordinator::Now;
use crate::state::State;

pub(crate) const NO_PRODUCER_ID: i64 = -1;
pub(crate) const NO_EPOCH: i16 = -1;
pub(crate) const NO_TIMESTAMP: i64 = -1;

/// Producers are never given the largest epoch: it is left for fencing them.
pub(crate) fn is_exhausted(epoch: i16) -> bool {
    epoch >= i16::MAX - 1
}

/// What a transition makes of a transaction once it is appended (`TxnTransitMetadata`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Transit {
    pub state: State,
    pub producer_id: i64,
    pub last_producer_id: i64,
    pub producer_epoch: i16,
    pub last_producer_epoch: i16,
    pub timeout_ms: i32,
    pub partitions: BTreeSet<TopicPartition>,
    pub start_ms: i64,
    pub begun_steady_ms: i64,
    pub updated_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Transaction {
    pub producer_id: i64,
    /// The producer id before a rotation, for whoever repeats the request that caused it.
    pub last_producer_id: i64,
    pub producer_epoch: i16,
    pub last_producer_epoch: i16,
    pub timeout_ms: i32,
    pub state: State,
    /// While prepared: those whose marker is not written yet.
    pub partitions: BTreeSet<TopicPartition>,
    pub start_ms: i64,
    /// When it began, on the clock that no one sets; not in the log. While ongoing.
    pub begun_steady_ms: i64,
    pub updated_ms: i64,
    /// The state it is on its way to. One transition at a time.
    pub pending: Option<State>,
    /// A fencing was not appended: its epoch was never told to anyone, and is used again.
    pub has_failed_fence: bool,
}

impl Transaction {
    /// Of an id that is heard of for the first time.
    pub fn new(producer_id: i64, timeout_ms: i32, now_ms: i64) -> Self {
        Self {
            producer_id,
            last_producer_id: NO_PRODUCER_ID,
            producer_epoch: NO_EPOCH,
            last_producer_epoch: NO_EPOCH,
            timeout_ms,
            state: State::Empty,
            partitions: BTreeSet::new(),
            start_ms: NO_TIMESTAMP,
            begun_steady_ms: 0,
            updated_ms: now_ms,
            pending: None,
            has_failed_fence: false,
        }
    }

    fn transit(&mut self, state: State, updated_ms: i64) -> Transit {
        debug_assert!(self.pending.is_none(), "{self:?} is on its way already, and not to {state:?}");
        debug_assert!(state.may_follow(self.state), "{state:?} after {self:?}");
        self.pending = Some(state);
        Transit {
            state,
            producer_id: self.producer_id,
            last_producer_id: self.producer_id,
            producer_epoch: self.producer_epoch,
            last_producer_epoch: self.last_producer_epoch,
            timeout_ms: self.timeout_ms,
            partitions: self.partitions.clone(),
            start_ms: self.start_ms,
            begun_steady_ms: self.begun_steady_ms,
            updated_ms,
        }
    }

    /// The next epoch for a producer that begins, or goes on after an error of its own (KIP-360). `expected` is the
    /// epoch it says it has.
    pub fn bump_epoch(
        &mut self,
        timeout_ms: i32,
        expected: Option<i16>,
        now_ms: i64,
    ) -> Result<Transit, ErrorCode> {
        let (epoch, last) = match expected {
            None => (self.producer_epoch + 1, NO_EPOCH),
            Some(expected) if self.producer_epoch == NO_EPOCH || expected == self.producer_epoch => {
                (self.producer_epoch + 1, self.producer_epoch)
            }
            // It asks again, and the first answer was lost.
            Some(expected) if expected == self.last_producer_epoch => {
                (self.producer_epoch, self.last_producer_epoch)
            }
            Some(_) => return Err(ErrorCode::ProducerFenced),
        };
        let mut transit = self.transit(State::Empty, now_ms);
        transit.producer_epoch = epoch;
        transit.last_producer_epoch = last;
        transit.timeout_ms = timeout_ms;
        transit.partitions.clear();
        transit.start_ms = NO_TIMESTAMP;
        Ok(transit)
    }

    /// A new producer id, where the epochs of the old one are used up.
    pub fn rotate_id(&mut self, fresh_id: i64, timeout_ms: i32, keeps_epoch: bool, now_ms: i64) -> Transit {
        let last = if keeps_epoch { self.producer_epoch } else { NO_EPOCH };
        let mut transit = self.transit(State::Empty, now_ms);
        transit.producer_id = fresh_id;
        transit.producer_epoch = 0;
        transit.last_producer_epoch = last;
        transit.timeout_ms = timeout_ms;
        transit.partitions.clear();
        transit.start_ms = NO_TIMESTAMP;
        transit
    }

    pub fn add_partitions(&mut self, added: BTreeSet<TopicPartition>, now: Now) -> Transit {
        let begins = self.state != State::Ongoing;
        let mut transit = self.transit(State::Ongoing, now.wall_ms);
        if begins {
            transit.start_ms = now.wall_ms;
            transit.begun_steady_ms = now.steady_ms;
        }
        transit.partitions.extend(added);
        transit
    }

    /// Shuts the producer out: the epoch that its markers will have. None is left where the last one is in use.
    pub fn fence(&mut self) -> Option<i16> {
        let epoch =
            if self.has_failed_fence { self.producer_epoch } else { self.producer_epoch.checked_add(1)? };
        self.transit(State::PrepareEpochFence, self.updated_ms);
        Some(epoch)
    }

    pub fn prepare_end(&mut self, commits: bool, now_ms: i64) -> Transit {
        self.transit(if commits { State::PrepareCommit } else { State::PrepareAbort }, now_ms)
    }

    pub fn prepare_complete(&mut self, now_ms: i64) -> Transit {
        let state = match self.state {
            State::PrepareCommit => State::CompleteCommit,
            _ => State::CompleteAbort,
        };
        self.has_failed_fence = false;
        let mut transit = self.transit(state, now_ms);
        transit.partitions.clear();
        transit
    }

    /// The transition was appended.
    pub fn complete(&mut self, transit: Transit) {
        debug_assert_eq!(self.pending, Some(transit.state), "{self:?}");
        self.pending = None;
        self.state = transit.state;
        self.updated_ms = transit.updated_ms;
        self.start_ms = transit.start_ms;
        self.begun_steady_ms = transit.begun_steady_ms;
        match transit.state {
            State::Empty => {
                self.producer_id = transit.producer_id;
                self.last_producer_id = transit.last_producer_id;
                self.producer_epoch = transit.producer_epoch;
                self.last_producer_epoch = transit.last_producer_epoch;
                self.timeout_ms = transit.timeout_ms;
                self.partitions.clear();
            }
            State::Ongoing => self.partitions.extend(transit.partitions),
            State::CompleteCommit | State::CompleteAbort => self.partitions.clear(),
            State::PrepareCommit | State::PrepareAbort => {}
            State::Dead | State::PrepareEpochFence => {
                debug_assert!(false, "{:?} is never appended", transit.state);
            }
        }
    }

    /// Loaded from the log, which has the wall's time: how long it has been open is taken from there once.
    pub fn resume(&mut self, now: Now) {
        let open_ms = now.wall_ms.saturating_sub(self.start_ms).max(0);
        self.begun_steady_ms = now.steady_ms.saturating_sub(open_ms);
    }

    /// Whether it has been open for longer than it may.
    pub fn is_late(&self, steady_ms: i64) -> bool {
        self.state == State::Ongoing
            && self.begun_steady_ms.saturating_add(i64::from(self.timeout_ms)) < steady_ms
    }

    /// Whether a producer that says who it is may go on as this one.
    pub fn knows(&self, producer_id: i64, producer_epoch: i16) -> bool {
        self.producer_epoch == NO_EPOCH
            || producer_id == self.producer_id
            || (producer_id == self.last_producer_id && is_exhausted(producer_epoch))
    }

    pub fn validate(&self) {
        assert!(self.state != State::Dead && self.state != State::PrepareEpochFence, "{self:?}");
        assert!(self.pending.is_none_or(|next| next.may_follow(self.state)), "{self:?}");
        if self.state == State::Empty {
            assert!(self.partitions.is_empty(), "{self:?}");
        }
        if self.state == State::Ongoing {
            assert!(self.start_ms >= 0, "{self:?}");
        }
    }
}
