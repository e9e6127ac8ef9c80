//! One local replica through its roles: leader, follower or neither; epoch fencing and read bounds.

use jackdaw_wire::ErrorCode;

use crate::brokers::Brokers;
use crate::follower::FollowerState;
use crate::isr::Isr;
use crate::leader::{Effects, LeaderState};
use crate::remote::RemoteReplica;
use crate::{NO_LEADER, UNKNOWN_EPOCH, UNKNOWN_OFFSET};

/// A partition as the metadata log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    pub replicas: Vec<i32>,
    pub isr: Vec<i32>,
    /// [`NO_LEADER`] where there is none.
    pub leader: i32,
    pub leader_epoch: i32,
    pub partition_epoch: i32,
    /// Replicas that a reassignment adds: they do not count for the replication factor yet.
    pub adding: Vec<i32>,
}

/// What the local replica is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// No image has told yet, or the partition went offline.
    Unassigned,
    Leader(LeaderState),
    Follower(FollowerState),
}

/// What becoming leader meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BecameLeader {
    /// An older image than what is known already: nothing was done.
    pub skipped: bool,
    /// This epoch begins at this offset: the log's epoch cache must say so before anything is appended.
    pub new_epoch: Option<(i32, i64)>,
    /// The replica was no leader before.
    pub was_elected: bool,
    pub effects: Effects,
}

/// What becoming follower meant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BecameFollower {
    /// An older image than what is known already: nothing was done.
    pub skipped: bool,
    /// The leader epoch is new: fetching starts over, from the log end.
    pub restart_fetching: bool,
}

/// How far a reader may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// To the log end: followers.
    LogEnd,
    /// To the high watermark: `read_uncommitted`.
    HighWatermark,
    /// To the last stable offset: `read_committed`.
    LastStable,
}

/// The offsets of a replica at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetBounds {
    pub log_start: i64,
    pub last_stable: i64,
    pub high_watermark: i64,
    pub log_end: i64,
}

impl OffsetBounds {
    /// The exclusive end of what a reader may see.
    pub fn upper(&self, isolation: Isolation) -> i64 {
        match isolation {
            Isolation::LogEnd => self.log_end,
            Isolation::HighWatermark => self.high_watermark,
            Isolation::LastStable => self.last_stable.min(self.high_watermark),
        }
    }

    /// Whether a fetch at the offset is within the log. The end itself is: there is just nothing yet
    /// (`LocalLog.read`: the bound is the log end, whatever the isolation).
    pub fn holds(&self, offset: i64) -> bool {
        self.log_start <= offset && offset <= self.log_end
    }
}

/// Why an append is refused before anything is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AppendRefusal {
    #[error("not the leader")]
    NotLeader,
    #[error("the ISR has {isr} members, and min.insync.replicas is {min}")]
    NotEnoughReplicas { isr: usize, min: usize },
}

impl AppendRefusal {
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::NotLeader => ErrorCode::NotLeaderOrFollower,
            Self::NotEnoughReplicas { .. } => ErrorCode::NotEnoughReplicas,
        }
    }
}

/// One local replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    local: i32,
    leader: i32,
    leader_epoch: i32,
    partition_epoch: i32,
    high_watermark: i64,
    role: Role,
    min_insync: usize,
    max_lag_ms: i64,
    /// Proposals of one replica differ across its terms as well.
    next_proposal: u64,
}

impl Replica {
    /// A replica whose log is open. `high_watermark` is the checkpointed one, within the log;
    /// `min_insync` is `min.insync.replicas`, `max_lag_ms` is `replica.lag.time.max.ms`.
    pub fn new(local: i32, high_watermark: i64, min_insync: usize, max_lag_ms: i64) -> Self {
        Self {
            local,
            leader: NO_LEADER,
            leader_epoch: UNKNOWN_EPOCH,
            partition_epoch: UNKNOWN_EPOCH,
            high_watermark,
            role: Role::Unassigned,
            min_insync,
            max_lag_ms,
            next_proposal: 0,
        }
    }

    pub fn leader_epoch(&self) -> i32 {
        self.leader_epoch
    }

    pub fn partition_epoch(&self) -> i32 {
        match &self.role {
            Role::Leader(leader) => leader.partition_epoch,
            Role::Follower(_) | Role::Unassigned => self.partition_epoch,
        }
    }

    /// The leader's broker id, or [`NO_LEADER`].
    pub fn leader_id(&self) -> i32 {
        self.leader
    }

    pub fn high_watermark(&self) -> i64 {
        match &self.role {
            Role::Leader(leader) => leader.high_watermark,
            Role::Follower(follower) => follower.high_watermark(),
            Role::Unassigned => self.high_watermark,
        }
    }

    pub fn role(&self) -> &Role {
        &self.role
    }

    pub fn as_leader(&self) -> Option<&LeaderState> {
        match &self.role {
            Role::Leader(leader) => Some(leader),
            Role::Follower(_) | Role::Unassigned => None,
        }
    }

    pub fn as_leader_mut(&mut self) -> Option<&mut LeaderState> {
        match &mut self.role {
            Role::Leader(leader) => Some(leader),
            Role::Follower(_) | Role::Unassigned => None,
        }
    }

    pub fn as_follower(&self) -> Option<&FollowerState> {
        match &self.role {
            Role::Follower(follower) => Some(follower),
            Role::Leader(_) | Role::Unassigned => None,
        }
    }

    pub fn as_follower_mut(&mut self) -> Option<&mut FollowerState> {
        match &mut self.role {
            Role::Follower(follower) => Some(follower),
            Role::Leader(_) | Role::Unassigned => None,
        }
    }

    /// Leads from `log_end` on (`Partition.makeLeader`). Called again for each change of the registration while it
    /// leads. What is held beyond `durable_end` is owed a flush first: it counts when [`LeaderState::flushed`] says so.
    ///
    /// An image of the partition epoch that the controller's answer told already says nothing of what was proposed on
    /// top of it: that stays pending. Kafka 3.7 forgets it, and with it the replica that is about to join, which may be
    /// in the controller's ISR by then and is not waited for.
    pub fn become_leader(
        &mut self,
        registration: &Registration,
        log_end: i64,
        durable_end: i64,
        now_ms: i64,
        brokers: &impl Brokers,
    ) -> BecameLeader {
        if registration.partition_epoch < self.partition_epoch() {
            return BecameLeader { skipped: true, ..BecameLeader::default() };
        }
        let was_leader = self.as_leader().is_some();
        let new_epoch = registration.leader_epoch > self.leader_epoch || !was_leader;
        // Images come gathered: another may have led in an epoch that was never heard of here, and followers may have
        // truncated what they had told of. Kafka 3.7 goes on with what it knew of them.
        let was_continuous = was_leader && registration.leader_epoch <= self.leader_epoch.saturating_add(1);
        let is_news = new_epoch || registration.partition_epoch > self.partition_epoch();
        let mut leader = self.take_leader(registration, log_end, durable_end);
        if is_news {
            leader.set_isr(registration.isr.clone());
        }
        leader.partition_epoch = registration.partition_epoch;
        leader.replication_factor = registration.replicas.len() - registration.adding.len();
        leader.remotes.retain(|r| registration.replicas.contains(&r.broker));
        for id in registration.replicas.iter().filter(|id| **id != self.local) {
            if !leader.remotes.iter().any(|r| r.broker == *id) {
                leader.remotes.push(RemoteReplica::unknown(*id));
            }
        }
        if new_epoch {
            leader.epoch = registration.leader_epoch;
            leader.epoch_start = log_end;
            for remote in &mut leader.remotes {
                let in_sync = registration.isr.contains(&remote.broker);
                remote.reset(now_ms, log_end, !was_continuous, in_sync);
            }
        }
        self.leader = self.local;
        self.leader_epoch = registration.leader_epoch;
        self.partition_epoch = registration.partition_epoch;
        // The ISR may be down to this replica alone.
        let high_watermark = leader.advance(now_ms, brokers);
        self.role = Role::Leader(leader);
        BecameLeader {
            skipped: false,
            new_epoch: new_epoch.then_some((registration.leader_epoch, log_end)),
            was_elected: !was_leader,
            effects: Effects { high_watermark, alter_partition: None },
        }
    }

    /// The state to lead with: what there is, or one that begins at the log end.
    fn take_leader(&mut self, registration: &Registration, log_end: i64, durable_end: i64) -> LeaderState {
        let high_watermark = self.high_watermark().min(log_end);
        match std::mem::replace(&mut self.role, Role::Unassigned) {
            Role::Leader(leader) => leader,
            Role::Follower(_) | Role::Unassigned => {
                // Far apart, so that an answer to an earlier term's proposal fits none of this one.
                self.next_proposal += 1 << 32;
                LeaderState {
                    local: self.local,
                    epoch: registration.leader_epoch,
                    epoch_start: log_end,
                    partition_epoch: registration.partition_epoch,
                    isr: Isr::committed(Vec::new()),
                    remotes: Vec::new(),
                    replication_factor: registration.replicas.len(),
                    log_end,
                    durable_end,
                    high_watermark,
                    min_insync: self.min_insync,
                    max_lag_ms: self.max_lag_ms,
                    next_proposal: self.next_proposal,
                }
            }
        }
    }

    /// Follows, or waits for a leader where there is none (`Partition.makeFollower`). `log_end` and
    /// `latest_epoch` are the local log's: where fetching starts over from.
    pub fn become_follower(
        &mut self,
        registration: &Registration,
        log_end: i64,
        latest_epoch: Option<i32>,
    ) -> BecameFollower {
        if registration.partition_epoch < self.partition_epoch() {
            return BecameFollower { skipped: true, restart_fetching: false };
        }
        let follows = self.as_follower().is_some();
        let restart = registration.leader_epoch > self.leader_epoch || !follows;
        if restart {
            let high_watermark = self.high_watermark();
            self.role = Role::Follower(FollowerState::new(
                registration.leader,
                registration.leader_epoch,
                high_watermark,
                log_end,
                latest_epoch,
            ));
        }
        self.leader = registration.leader;
        self.leader_epoch = registration.leader_epoch;
        self.partition_epoch = registration.partition_epoch;
        BecameFollower { skipped: false, restart_fetching: restart }
    }

    /// Serves no longer: the directory failed or the partition goes away.
    pub fn go_offline(&mut self) {
        self.high_watermark = self.high_watermark();
        self.partition_epoch = self.partition_epoch();
        self.role = Role::Unassigned;
    }

    /// Takes a changed `min.insync.replicas`.
    pub fn set_min_insync(&mut self, min_insync: usize, now_ms: i64, brokers: &impl Brokers) -> Effects {
        self.min_insync = min_insync;
        self.as_leader_mut().map(|l| l.set_min_insync(min_insync, now_ms, brokers)).unwrap_or_default()
    }

    /// Compares the epoch that a caller takes for the current one; -1 from callers that do not say
    /// (`checkCurrentLeaderEpoch`, KIP-320).
    pub fn check_epoch(&self, callers: i32) -> Result<(), ErrorCode> {
        match callers {
            UNKNOWN_EPOCH => Ok(()),
            epoch if epoch < self.leader_epoch => Err(ErrorCode::FencedLeaderEpoch),
            epoch if epoch > self.leader_epoch => Err(ErrorCode::UnknownLeaderEpoch),
            _ => Ok(()),
        }
    }

    /// Whether a request that only a leader may answer can be answered here (`getLocalLog`).
    pub fn check_leader(&self, callers_epoch: i32) -> Result<&LeaderState, ErrorCode> {
        self.check_epoch(callers_epoch)?;
        self.as_leader().ok_or(ErrorCode::NotLeaderOrFollower)
    }

    /// Whether an append may go ahead, and in which epoch. `all` is acks=all: refused while the ISR is under the
    /// minimum (`appendRecordsToLeader`).
    pub fn check_append(&self, all: bool) -> Result<i32, AppendRefusal> {
        let leader = self.as_leader().ok_or(AppendRefusal::NotLeader)?;
        if all && leader.is_under_min_isr() {
            let (isr, min) = (leader.isr().len(), leader.effective_min_isr());
            return Err(AppendRefusal::NotEnoughReplicas { isr, min });
        }
        Ok(leader.epoch())
    }

    /// Checks what must hold after every input.
    pub fn validate(&self) {
        assert!(self.high_watermark() > UNKNOWN_OFFSET, "a high watermark below zero: {self:?}");
        match &self.role {
            Role::Leader(leader) => {
                leader.validate();
                assert_eq!(leader.epoch, self.leader_epoch, "leads in another epoch: {self:?}");
            }
            Role::Follower(follower) => follower.validate(),
            Role::Unassigned => {}
        }
    }
}
