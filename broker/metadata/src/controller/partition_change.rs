//! From what a partition should become to the record that makes it so (Kafka's `PartitionChangeBuilder`).

use jackdaw_wire::metadata_record::PartitionChangeRecord;
use uuid::Uuid;

use crate::features::MetadataVersion;
use crate::partition::{LeaderRecoveryState, NO_LEADER, NO_LEADER_CHANGE, PartitionRegistration};

/// How a leader is found when the present one will not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Election {
    /// The preferred replica if it can lead, else as `Online`.
    Preferred,
    /// The present leader if it can stay, else the first replica of the ISR that can lead.
    Online,
    /// As `Online`, and if nobody can, the first live replica outside the ISR: this can lose records.
    Unclean,
}

/// What a change must know of the cluster.
pub struct Surroundings<'a> {
    /// Whether the broker may lead this partition.
    pub can_lead: &'a dyn Fn(i32) -> bool,
    /// The directory of a replica that has none yet.
    pub default_directory: &'a dyn Fn(i32) -> Uuid,
    /// The level that the record is written in.
    pub version: MetadataVersion,
}

/// A partition on its way to be changed. Whatever is not set stays.
pub struct PartitionChange<'a> {
    partition: &'a PartitionRegistration,
    /// The ISR as it should become.
    pub isr: Vec<i32>,
    /// The replicas as they should become.
    pub replicas: Vec<i32>,
    removing: Vec<i32>,
    adding: Vec<i32>,
    /// Whether the leader will be recovering.
    pub recovery_state: LeaderRecoveryState,
    /// How to elect.
    pub election: Election,
    assigned: Option<(i32, Uuid)>,
}

impl<'a> PartitionChange<'a> {
    /// Starts from the partition as it is.
    pub fn new(partition: &'a PartitionRegistration) -> Self {
        Self {
            partition,
            isr: partition.isr.clone(),
            replicas: partition.replicas.clone(),
            removing: partition.removing_replicas.clone(),
            adding: partition.adding_replicas.clone(),
            recovery_state: partition.leader_recovery_state,
            election: Election::Online,
            assigned: None,
        }
    }

    /// Who is to go and who to come, of the replicas.
    pub fn set_reassignment(&mut self, removing: Vec<i32>, adding: Vec<i32>) {
        (self.removing, self.adding) = (removing, adding);
    }

    /// The broker keeps its replica in this directory.
    pub fn assign_directory(&mut self, broker: i32, directory: Uuid) {
        self.assigned = Some((broker, directory));
    }

    /// The broker and the directory that this change assigns.
    pub fn assigned_directory(&self) -> Option<(i32, Uuid)> {
        self.assigned
    }

    /// The record, or none when nothing changes.
    pub fn build(
        mut self,
        topic_id: Uuid,
        partition_id: i32,
        around: &Surroundings<'_>,
    ) -> Option<PartitionChangeRecord> {
        let mut record = PartitionChangeRecord { topic_id, partition_id, ..Default::default() };
        self.complete_reassignment();
        self.elect(&mut record, around);
        self.bump_leader_epoch(&mut record, around.version);
        // The last member of an ISR stays in it when it goes: only it has everything that was acknowledged.
        if record.isr.is_none() && !self.isr.is_empty() && self.isr != self.partition.isr {
            record.isr = Some(self.isr.clone());
        }
        self.set_assignment(&mut record, around);
        if self.recovery_state != self.partition.leader_recovery_state {
            record.leader_recovery_state = self.recovery_state.value();
        }
        let untouched = PartitionChangeRecord { topic_id, partition_id, ..Default::default() };
        (record != untouched).then_some(record)
    }

    /// A reassignment is complete when everyone added is in the ISR and someone stays in it
    /// (`PartitionReassignmentReplicas.maybeCompleteReassignment`).
    fn complete_reassignment(&mut self) {
        if self.removing.is_empty() && self.adding.is_empty() {
            return;
        }
        let stays = |replica: &i32| !self.removing.contains(replica);
        let isr: Vec<i32> = self.isr.iter().copied().filter(stays).collect();
        let replicas: Vec<i32> = self.replicas.iter().copied().filter(stays).collect();
        let complete = !isr.is_empty()
            && !replicas.is_empty()
            && self.adding.iter().all(|replica| isr.contains(replica));
        if complete {
            (self.isr, self.replicas) = (isr, replicas);
            self.removing.clear();
            self.adding.clear();
        }
    }

    fn elect(&self, record: &mut PartitionChangeRecord, around: &Surroundings<'_>) {
        let can_lead = |replica: &i32| self.isr.contains(replica) && (around.can_lead)(*replica);
        let present = Some(self.partition.leader).filter(can_lead);
        let first = self.replicas.iter().copied().find(can_lead);
        let preferred = self.replicas.first().copied().filter(can_lead);
        let clean = match self.election {
            Election::Preferred => preferred.or(present).or(first),
            Election::Online | Election::Unclean => present.or(first),
        };
        let unclean = match (clean, self.election) {
            (None, Election::Unclean) => self.replicas.iter().copied().find(|r| (around.can_lead)(*r)),
            _ => None,
        };
        let leader = clean.or(unclean).unwrap_or(NO_LEADER);
        if leader == self.partition.leader {
            return;
        }
        record.leader = leader;
        if unclean.is_some() {
            record.isr = Some(vec![leader]);
            if self.partition.leader_recovery_state != LeaderRecoveryState::Recovering
                && around.version.has_leader_recovery()
            {
                record.leader_recovery_state = LeaderRecoveryState::Recovering.value();
            }
        }
    }

    /// Naming the leader makes a new leader epoch: needed when a replica leaves, and once also when the ISR shrank.
    fn bump_leader_epoch(&self, record: &mut PartitionChangeRecord, version: MetadataVersion) {
        if record.leader != NO_LEADER_CHANGE {
            return;
        }
        let lost = |before: &[i32], after: &[i32]| before.iter().any(|replica| !after.contains(replica));
        let isr_shrank = lost(&self.partition.isr, &self.isr);
        if lost(&self.partition.replicas, &self.replicas)
            || (version.bumps_leader_epoch_on_isr_shrink() && isr_shrank)
        {
            record.leader = self.partition.leader;
        }
    }

    fn set_assignment(&self, record: &mut PartitionChangeRecord, around: &Surroundings<'_>) {
        if !self.replicas.is_empty() {
            if around.version.has_directories() {
                let directories: Vec<Uuid> =
                    self.replicas.iter().map(|r| self.directory(*r, around)).collect();
                if directories != self.partition.directories {
                    record.directories = Some(directories);
                }
            }
            if self.replicas != self.partition.replicas {
                record.replicas = Some(self.replicas.clone());
            }
        }
        if self.removing != self.partition.removing_replicas {
            record.removing_replicas = Some(self.removing.clone());
        }
        if self.adding != self.partition.adding_replicas {
            record.adding_replicas = Some(self.adding.clone());
        }
    }

    fn directory(&self, replica: i32, around: &Surroundings<'_>) -> Uuid {
        match self.assigned {
            Some((broker, directory)) if broker == replica => directory,
            _ => self.partition.directory(replica).unwrap_or_else(|| (around.default_directory)(replica)),
        }
    }
}
