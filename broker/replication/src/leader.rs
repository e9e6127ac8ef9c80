//! The leader of a partition: who has what, how far everything is committed, and who is in sync.
//!
//! Kafka's `Partition` as far as it leads. It never sees a record: its caller appends, reads and replies.

use jackdaw_wire::ErrorCode;

use crate::brokers::Brokers;
use crate::isr::{AlterOutcome, BrokerState, CommittedIsr, Isr, Proposal, Verdict, verdict};
use crate::remote::{RemoteReplica, StaleBrokerEpoch};

/// What the caller has to do after an input. Nothing, most of the time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effects {
    /// The high watermark advanced to this offset: answer who waits for it.
    pub high_watermark: Option<i64>,
    /// Send this to the controller, and bring its outcome back.
    pub alter_partition: Option<Proposal>,
}

/// One fetch of a follower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FollowerFetch {
    pub broker: i32,
    /// The follower's broker epoch, or -1 from one that does not say (Fetch below 15).
    pub broker_epoch: i64,
    /// The offset it asks for: it has everything before.
    pub offset: i64,
    pub log_start: i64,
    /// The leader's end as of the read, so that later appends do not put the follower behind.
    pub leader_end: i64,
    pub now_ms: i64,
}

/// Why a follower's fetch does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FollowerRefusal {
    /// Not among the replicas that are known here (`Partition.followerReplicaOrThrow`).
    #[error("broker {0} is no replica of this partition")]
    NotAReplica(i32),
    #[error(transparent)]
    Stale(#[from] StaleBrokerEpoch),
}

/// The leader's state in one leader epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderState {
    pub(crate) local: i32,
    pub(crate) epoch: i32,
    pub(crate) epoch_start: i64,
    pub(crate) partition_epoch: i32,
    pub(crate) isr: Isr,
    pub(crate) remotes: Vec<RemoteReplica>,
    pub(crate) replication_factor: usize,
    /// Where the next record goes.
    pub(crate) log_end: i64,
    /// How far the local log counts as held: behind `log_end` while a flush is owed before acknowledgement.
    pub(crate) durable_end: i64,
    pub(crate) high_watermark: i64,
    /// `min.insync.replicas` as configured.
    pub(crate) min_insync: usize,
    pub(crate) max_lag_ms: i64,
    pub(crate) next_proposal: u64,
}

impl LeaderState {
    pub fn epoch(&self) -> i32 {
        self.epoch
    }

    pub fn partition_epoch(&self) -> i32 {
        self.partition_epoch
    }

    /// The log end when this epoch began.
    pub fn epoch_start(&self) -> i64 {
        self.epoch_start
    }

    /// The committed ISR.
    pub fn isr(&self) -> &[i32] {
        self.isr.members()
    }

    /// The proposal that the controller has not answered.
    pub fn pending(&self) -> Option<&Proposal> {
        self.isr.pending()
    }

    /// How many the maximal ISR holds: the committed members and the one about to join.
    pub fn maximal_isr_len(&self) -> usize {
        self.isr.maximal_len()
    }

    pub fn remotes(&self) -> &[RemoteReplica] {
        &self.remotes
    }

    pub fn high_watermark(&self) -> i64 {
        self.high_watermark
    }

    pub fn log_end(&self) -> i64 {
        self.log_end
    }

    /// `min.insync.replicas`, but never more than there are replicas (`effectiveMinIsr`).
    pub fn effective_min_isr(&self) -> usize {
        self.min_insync.min(self.replication_factor)
    }

    /// Whether too few replicas are in sync to commit anything.
    pub fn is_under_min_isr(&self) -> bool {
        self.isr.members().len() < self.effective_min_isr()
    }

    /// Whether an acknowledged record at `required` (exclusive end) is committed, and whether by enough replicas
    /// (`checkEnoughReplicasReachOffset`). `None` while it is not.
    pub fn acknowledged(&self, required: i64) -> Option<Result<(), ErrorCode>> {
        if self.high_watermark < required {
            return None;
        }
        if self.effective_min_isr() <= self.isr.maximal_len() {
            Some(Ok(()))
        } else {
            Some(Err(ErrorCode::NotEnoughReplicasAfterAppend))
        }
    }

    /// Records up to `log_end` are in the local log, and count up to `durable_end`.
    pub fn appended(
        &mut self,
        log_end: i64,
        durable_end: i64,
        now_ms: i64,
        brokers: &impl Brokers,
    ) -> Effects {
        debug_assert!(log_end >= self.log_end && durable_end <= log_end);
        self.log_end = log_end;
        self.durable_end = self.durable_end.max(durable_end);
        Effects { high_watermark: self.advance(now_ms, brokers), alter_partition: None }
    }

    /// The local log was flushed up to `durable_end`.
    pub fn flushed(&mut self, durable_end: i64, now_ms: i64, brokers: &impl Brokers) -> Effects {
        self.durable_end = self.durable_end.max(durable_end.min(self.log_end));
        Effects { high_watermark: self.advance(now_ms, brokers), alter_partition: None }
    }

    /// A follower fetched. Its position may commit records and may bring it into the ISR.
    pub fn follower_fetched(
        &mut self,
        fetch: &FollowerFetch,
        brokers: &impl Brokers,
    ) -> Result<Effects, FollowerRefusal> {
        let remote = self
            .remotes
            .iter_mut()
            .find(|r| r.broker == fetch.broker)
            .ok_or(FollowerRefusal::NotAReplica(fetch.broker))?;
        let before = remote.log_end;
        remote.fetched(fetch, brokers)?;
        let moved = before != remote.log_end;
        let alter_partition = self.propose_expansion(fetch.broker, brokers);
        // First the expansion: a joining replica must hold the high watermark from here on.
        let high_watermark = if moved { self.advance(fetch.now_ms, brokers) } else { None };
        Ok(Effects { high_watermark, alter_partition })
    }

    /// A follower's session fetched at `fetch_ms`, and had nothing left to ask for here.
    pub fn still_caught_up(&mut self, broker: i32, fetch_ms: i64) {
        let end = self.log_end;
        if let Some(remote) = self.remotes.iter_mut().find(|r| r.broker == broker && r.log_end == end) {
            remote.still_caught_up(fetch_ms);
        }
    }

    /// Looks again whether a follower may join, after the image changed what is known of its broker.
    pub fn reconsider(&mut self, broker: i32, brokers: &impl Brokers) -> Effects {
        Effects { high_watermark: None, alter_partition: self.propose_expansion(broker, brokers) }
    }

    /// What the follower had counts for nothing any more: before it may join, it has to fetch.
    pub fn must_fetch_again(&mut self, broker: i32) {
        if let Some(remote) = self.remotes.iter_mut().find(|r| r.broker == broker)
            && !self.isr.maximal_contains(broker)
        {
            remote.must_fetch(self.log_end);
        }
    }

    /// Whether a follower holds all that is committed and waits to be let in.
    pub fn is_waiting_to_join(&self, broker: i32) -> bool {
        !self.isr.members().contains(&broker)
            && self.remotes.iter().any(|r| r.broker == broker && self.holds_committed(r))
    }

    /// Proposes to drop members that have not caught up for longer than the lag time (`maybeShrinkIsr`).
    pub fn check_isr(&mut self, now_ms: i64) -> Effects {
        if self.isr.is_pending() {
            return Effects::default();
        }
        let (end, lag) = (self.log_end, self.max_lag_ms);
        let stays = |id: &i32| {
            *id == self.local
                || self.remotes.iter().any(|r| r.broker == *id && r.is_caught_up(end, now_ms, lag))
        };
        let kept: Vec<i32> = self.isr.members().iter().copied().filter(stays).collect();
        if kept.len() == self.isr.members().len() {
            return Effects::default();
        }
        Effects { high_watermark: None, alter_partition: Some(self.propose(&kept, None)) }
    }

    /// The controller's answer to a proposal.
    pub fn altered(
        &mut self,
        proposal_id: u64,
        answer: Result<CommittedIsr, ErrorCode>,
        now_ms: i64,
        brokers: &impl Brokers,
    ) -> (AlterOutcome, Effects) {
        let nothing = Effects::default();
        let Some(pending) = self.isr.pending().filter(|p| p.id == proposal_id) else {
            return (AlterOutcome::Stale, nothing);
        };
        match answer {
            Err(error) => match verdict(error) {
                Verdict::Retry => (AlterOutcome::Retry(pending.clone()), nothing),
                Verdict::AwaitMetadata => (AlterOutcome::AwaitMetadata, nothing),
                Verdict::Reset => {
                    // Whoever was to join did not: it may have no directory to fetch into any more.
                    self.set_isr(self.isr.members().to_vec());
                    (AlterOutcome::Reset, nothing)
                }
            },
            Ok(committed) => {
                if committed.leader_epoch != self.epoch || committed.partition_epoch < self.partition_epoch {
                    return (AlterOutcome::Stale, nothing);
                }
                self.set_isr(committed.isr);
                self.partition_epoch = committed.partition_epoch;
                let high_watermark = self.advance(now_ms, brokers);
                (AlterOutcome::Committed, Effects { high_watermark, alter_partition: None })
            }
        }
    }

    /// Takes the committed members; nothing is proposed any more. Whoever was a member, or about to be one, and is none,
    /// has to fetch before it may be one again.
    pub(crate) fn set_isr(&mut self, members: Vec<i32>) {
        for remote in &mut self.remotes {
            if self.isr.maximal_contains(remote.broker) && !members.contains(&remote.broker) {
                remote.must_fetch(self.log_end);
            }
        }
        self.isr = Isr::committed(members);
    }

    /// Takes a changed `min.insync.replicas`.
    pub fn set_min_insync(&mut self, min_insync: usize, now_ms: i64, brokers: &impl Brokers) -> Effects {
        self.min_insync = min_insync;
        Effects { high_watermark: self.advance(now_ms, brokers), alter_partition: None }
    }

    /// Advances the high watermark to the least end among the replicas in sync, about to be so, or caught up and
    /// welcome to join (`maybeIncrementLeaderHW`); the last are waited for, or they would never get in under
    /// steady writes. Never under min ISR, and never backwards.
    pub(crate) fn advance(&mut self, now_ms: i64, brokers: &impl Brokers) -> Option<i64> {
        if self.is_under_min_isr() {
            return None;
        }
        let mut candidate = self.durable_end;
        for remote in &self.remotes {
            let holds_back = remote.log_end < candidate
                && (self.isr.maximal_contains(remote.broker)
                    || (remote.is_caught_up(self.log_end, now_ms, self.max_lag_ms)
                        && remote.is_eligible(brokers)));
            if holds_back {
                candidate = remote.log_end;
            }
        }
        if candidate <= self.high_watermark {
            return None;
        }
        self.high_watermark = candidate;
        Some(candidate)
    }

    fn propose_expansion(&mut self, broker: i32, brokers: &impl Brokers) -> Option<Proposal> {
        if self.isr.is_pending() || self.isr.members().contains(&broker) {
            return None;
        }
        let remote = self.remotes.iter().find(|r| r.broker == broker)?;
        if !remote.is_eligible(brokers) || !self.holds_committed(remote) {
            return None;
        }
        let mut wanted = self.isr.members().to_vec();
        wanted.push(broker);
        Some(self.propose(&wanted, Some(broker)))
    }

    /// Whether a follower has all that is committed and all that was there when the epoch began
    /// (`isFollowerInSync`).
    fn holds_committed(&self, remote: &RemoteReplica) -> bool {
        remote.log_end >= self.high_watermark && remote.log_end >= self.epoch_start
    }

    fn propose(&mut self, members: &[i32], joining: Option<i32>) -> Proposal {
        let isr =
            members.iter().map(|id| BrokerState { broker: *id, epoch: self.known_epoch(*id) }).collect();
        self.next_proposal += 1;
        let proposal = Proposal {
            id: self.next_proposal,
            leader_epoch: self.epoch,
            partition_epoch: self.partition_epoch,
            isr,
        };
        self.isr.propose(proposal.clone(), joining);
        proposal
    }

    /// The epoch a member is known by; -1 for the local broker too, which only its sender knows.
    fn known_epoch(&self, broker: i32) -> i64 {
        self.remotes.iter().find(|r| r.broker == broker).and_then(|r| r.broker_epoch).unwrap_or(-1)
    }

    /// Checks what must hold after every input.
    pub fn validate(&self) {
        assert!(self.durable_end <= self.log_end, "flushed beyond the end: {self:?}");
        assert!(self.high_watermark <= self.log_end, "high watermark beyond the log end: {self:?}");
        assert!(self.remotes.iter().all(|r| r.broker != self.local), "the leader follows itself: {self:?}");
        if let Some(pending) = self.isr.pending() {
            assert_eq!(pending.leader_epoch, self.epoch, "a proposal of another epoch is pending");
        }
    }
}
