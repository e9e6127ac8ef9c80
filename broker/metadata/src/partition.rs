//! One partition as the metadata log knows it.

use jackdaw_wire::metadata_record::{PartitionChangeRecord, PartitionRecord};
use jackdaw_wire::types::{DIR_MIGRATING, DIR_UNASSIGNED};
use thiserror::Error;
use uuid::Uuid;

/// The leader of a partition that has none.
pub const NO_LEADER: i32 = -1;

/// "As before" for the leader in a `PartitionChangeRecord`.
pub const NO_LEADER_CHANGE: i32 = -2;
/// "As before" for the leader recovery state in a `PartitionChangeRecord`.
pub const NO_RECOVERY_CHANGE: i8 = -1;

/// A partition's record that makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MergeError {
    /// Not one directory per replica.
    #[error("{directories} directories for {replicas} replicas")]
    DirectoryCount {
        /// Directories in the record.
        directories: usize,
        /// Replicas.
        replicas: usize,
    },
    /// A leader recovery state that does not exist.
    #[error("unknown leader recovery state {0}")]
    RecoveryState(i8),
}

/// Whether the leader still recovers from an unclean election (KIP-704).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LeaderRecoveryState {
    /// Elected from the ISR, or recovered since.
    #[default]
    Recovered,
    /// Elected outside the ISR and not yet recovered.
    Recovering,
}

impl LeaderRecoveryState {
    /// The value in records and requests.
    pub fn value(self) -> i8 {
        match self {
            Self::Recovered => 0,
            Self::Recovering => 1,
        }
    }

    /// Reads the value of a record; anything but 0 and 1 is unknown.
    pub fn of(value: i8) -> Option<Self> {
        match value {
            0 => Some(Self::Recovered),
            1 => Some(Self::Recovering),
            _ => None,
        }
    }
}

/// Replicas, leader and epochs of one partition (Kafka's `PartitionRegistration`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionRegistration {
    /// Broker ids in order of preference.
    pub replicas: Vec<i32>,
    /// The log directory of each replica, in the order of `replicas` (KIP-858).
    pub directories: Vec<Uuid>,
    /// The in-sync replicas.
    pub isr: Vec<i32>,
    /// Replicas that a reassignment is taking away.
    pub removing_replicas: Vec<i32>,
    /// Replicas that a reassignment is adding.
    pub adding_replicas: Vec<i32>,
    /// The leader, or [`NO_LEADER`].
    pub leader: i32,
    /// Whether the leader recovers from an unclean election.
    pub leader_recovery_state: LeaderRecoveryState,
    /// Grows with each change of the leader.
    pub leader_epoch: i32,
    /// Grows with each change of anything here.
    pub partition_epoch: i32,
}

impl PartitionRegistration {
    /// The leader, where there is one.
    pub fn leader(&self) -> Option<i32> {
        (self.leader != NO_LEADER).then_some(self.leader)
    }

    /// The broker that should lead when everything is well: the first replica.
    pub fn preferred_replica(&self) -> i32 {
        self.replicas.first().copied().unwrap_or(NO_LEADER)
    }

    /// Whether the preferred replica leads.
    pub fn has_preferred_leader(&self) -> bool {
        self.leader == self.preferred_replica()
    }

    /// Whether this broker is a replica.
    pub fn has_replica(&self, broker: i32) -> bool {
        self.replicas.contains(&broker)
    }

    /// The directory that the log says this broker keeps the replica in; `None` for a broker that has none.
    pub fn directory(&self, broker: i32) -> Option<Uuid> {
        let at = self.replicas.iter().position(|r| *r == broker)?;
        self.directories.get(at).copied()
    }

    /// Reads a record. One from before directories existed leaves every replica where it is, wherever that may be.
    pub fn from_record(record: &PartitionRecord) -> Result<Self, MergeError> {
        let state = record.leader_recovery_state;
        Ok(Self {
            replicas: record.replicas.clone(),
            directories: directories_or_migrating(record.directories.clone(), record.replicas.len())?,
            isr: record.isr.clone(),
            removing_replicas: record.removing_replicas.clone(),
            adding_replicas: record.adding_replicas.clone(),
            leader: record.leader,
            leader_recovery_state: LeaderRecoveryState::of(state).ok_or(MergeError::RecoveryState(state))?,
            leader_epoch: record.leader_epoch,
            partition_epoch: record.partition_epoch,
        })
    }

    /// What the partition is after a change. A named leader makes a new leader epoch, even if it is the same one.
    pub fn merge(&self, change: &PartitionChangeRecord) -> Result<Self, MergeError> {
        let replicas = change.replicas.clone().unwrap_or_else(|| self.replicas.clone());
        let directories = match (&change.directories, &change.replicas) {
            (Some(directories), _) if !directories.is_empty() => directories.clone(),
            (_, Some(replicas)) => {
                replicas.iter().map(|r| self.directory(*r).unwrap_or(DIR_UNASSIGNED)).collect()
            }
            _ => self.directories.clone(),
        };
        let new_leader = change.leader != NO_LEADER_CHANGE;
        let leader_recovery_state = match change.leader_recovery_state {
            NO_RECOVERY_CHANGE => self.leader_recovery_state,
            state => LeaderRecoveryState::of(state).ok_or(MergeError::RecoveryState(state))?,
        };
        Ok(Self {
            directories: directories_or_migrating(directories, replicas.len())?,
            replicas,
            isr: change.isr.clone().unwrap_or_else(|| self.isr.clone()),
            removing_replicas: change
                .removing_replicas
                .clone()
                .unwrap_or_else(|| self.removing_replicas.clone()),
            adding_replicas: change.adding_replicas.clone().unwrap_or_else(|| self.adding_replicas.clone()),
            leader: if new_leader { change.leader } else { self.leader },
            leader_recovery_state,
            leader_epoch: self.leader_epoch.wrapping_add(i32::from(new_leader)),
            partition_epoch: self.partition_epoch.wrapping_add(1),
        })
    }

    /// Whether a reassignment is under way.
    pub fn is_reassigning(&self) -> bool {
        !self.removing_replicas.is_empty() || !self.adding_replicas.is_empty()
    }
}

fn directories_or_migrating(directories: Vec<Uuid>, replicas: usize) -> Result<Vec<Uuid>, MergeError> {
    match directories.len() {
        0 => Ok(vec![DIR_MIGRATING; replicas]),
        count if count == replicas => Ok(directories),
        count => Err(MergeError::DirectoryCount { directories: count, replicas }),
    }
}
