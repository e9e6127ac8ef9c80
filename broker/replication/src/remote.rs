//! What a leader knows of one follower: how far it fetched and when it had last caught up (Kafka's `Replica`).

use crate::brokers::Brokers;
use crate::{UNKNOWN_OFFSET, leader::FollowerFetch};

/// A fetch of a broker incarnation that is over (`Replica.updateFetchStateOrThrow`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stale fetch of broker {broker}: broker epoch {got}, expected {expected}")]
pub struct StaleBrokerEpoch {
    pub broker: i32,
    pub got: i64,
    pub expected: i64,
}

/// The state of one follower on its leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteReplica {
    /// Its broker.
    pub broker: i32,
    /// The offset it asked for last: it has everything before. -1 before its first fetch in this role.
    pub log_end: i64,
    /// Its log start, as it said.
    pub log_start: i64,
    /// The broker epoch of its last fetch. -1 is a follower too old to know (KIP-903). `None` before the first fetch
    /// in this role, and before the first since it was taken out of the ISR: what it had before is no reason to take
    /// it back. Its log directory may have failed, and then it lives and fetches no more.
    pub broker_epoch: Option<i64>,
    /// The leader's end when it fetched last.
    pub last_fetch_leader_end: i64,
    /// When it fetched last, in ms.
    pub last_fetch_ms: i64,
    /// When it was last known to have everything, in ms.
    pub last_caught_up_ms: i64,
}

impl RemoteReplica {
    /// A follower that was never heard of.
    pub fn unknown(broker: i32) -> Self {
        Self {
            broker,
            log_end: UNKNOWN_OFFSET,
            log_start: UNKNOWN_OFFSET,
            broker_epoch: None,
            last_fetch_leader_end: 0,
            last_fetch_ms: 0,
            last_caught_up_ms: 0,
        }
    }

    /// The state at the start of a leader epoch (`Replica.resetReplicaState`). Members of the ISR start as caught
    /// up now, so that they have a full lag time to be heard of; others start as never caught up, so that they do
    /// not hold the high watermark back.
    pub fn reset(&mut self, now_ms: i64, leader_end: i64, new_leader: bool, in_sync: bool) {
        if new_leader {
            *self = Self::unknown(self.broker);
            self.last_fetch_leader_end = UNKNOWN_OFFSET;
        } else if in_sync {
            self.last_fetch_leader_end = leader_end;
            self.last_fetch_ms = now_ms;
        } else {
            self.must_fetch(leader_end);
        }
        self.last_caught_up_ms = if in_sync { now_ms } else { 0 };
    }

    /// It may join the ISR with its next fetch, and is waited for as soon as it has caught up again.
    pub fn must_fetch(&mut self, leader_end: i64) {
        self.broker_epoch = None;
        self.last_fetch_leader_end = leader_end;
        self.last_fetch_ms = 0;
        self.last_caught_up_ms = 0;
    }

    /// Takes a fetch into account. A fetch that reaches the leader's end has caught up now; one that reaches the
    /// end which the leader had at the fetch before had caught up then. The second rule keeps a follower in sync
    /// that is always a little behind under steady writes.
    pub fn fetched(&mut self, fetch: &FollowerFetch, brokers: &impl Brokers) -> Result<(), StaleBrokerEpoch> {
        let alive = brokers.broker(self.broker).and_then(|b| b.alive_epoch());
        if let Some(expected) = alive
            && fetch.broker_epoch != -1
            && expected > fetch.broker_epoch
        {
            return Err(StaleBrokerEpoch { broker: self.broker, got: fetch.broker_epoch, expected });
        }
        if fetch.offset >= fetch.leader_end {
            self.last_caught_up_ms = self.last_caught_up_ms.max(fetch.now_ms);
        } else if fetch.offset >= self.last_fetch_leader_end {
            self.last_caught_up_ms = self.last_caught_up_ms.max(self.last_fetch_ms);
        }
        self.log_end = fetch.offset;
        self.log_start = fetch.log_start;
        self.last_fetch_leader_end = self.last_fetch_leader_end.max(fetch.leader_end);
        self.last_fetch_ms = fetch.now_ms;
        self.broker_epoch = Some(fetch.broker_epoch);
        Ok(())
    }

    /// The follower fetched at `fetch_ms` and had nothing left to ask for here.
    ///
    /// An incremental fetch session says nothing of a partition that did not change, and a leader that visits only
    /// what changed does not come by here: this stands in for the visit.
    pub fn still_caught_up(&mut self, fetch_ms: i64) {
        self.last_fetch_ms = self.last_fetch_ms.max(fetch_ms);
        self.last_caught_up_ms = self.last_caught_up_ms.max(fetch_ms);
    }

    /// Whether it has everything, or had so within the lag time (`ReplicaState.isCaughtUp`).
    pub fn is_caught_up(&self, leader_end: i64, now_ms: i64, max_lag_ms: i64) -> bool {
        self.log_end == leader_end || now_ms - self.last_caught_up_ms <= max_lag_ms
    }

    /// Whether the controller would let it into the ISR, as far as is known here (`isReplicaIsrEligible`): it has
    /// fetched since it left the ISR, and its broker serves.
    pub fn is_eligible(&self, brokers: &impl Brokers) -> bool {
        let Some(view) = brokers.broker(self.broker) else { return false };
        let Some(fetched_as) = self.broker_epoch else { return false };
        !view.fenced && !view.shutting_down && (fetched_as == -1 || fetched_as == view.epoch)
    }
}
