//! The ISR of a leader: committed by the controller, or proposed to it and not yet answered (KIP-497).

use jackdaw_wire::ErrorCode;

/// A member of a proposed ISR with the epoch its leader knows it by; -1 where it was not heard of (KIP-903).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrokerState {
    pub broker: i32,
    pub epoch: i64,
}

/// A change of the ISR for the controller, as AlterPartition carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// Tells this proposal from every other of the same replica; the outcome brings it back.
    pub id: u64,
    pub leader_epoch: i32,
    pub partition_epoch: i32,
    pub isr: Vec<BrokerState>,
}

/// What the controller committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedIsr {
    pub leader_epoch: i32,
    pub partition_epoch: i32,
    pub isr: Vec<i32>,
}

/// What became of a proposal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlterOutcome {
    /// Committed, or found to be so already.
    Committed,
    /// An answer to a proposal that is no longer pending, or of another epoch.
    Stale,
    /// Surely not applied: the committed ISR stands.
    Reset,
    /// It may have been applied. Stays pending until the metadata log tells.
    AwaitMetadata,
    /// To be sent again as it was.
    Retry(Proposal),
}

/// The ISR and what is pending on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Isr {
    committed: Vec<i32>,
    pending: Option<Pending>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pending {
    proposal: Proposal,
    /// The replica that joins; none where the ISR shrinks.
    joining: Option<i32>,
}

/// What an error of the controller says about the proposal (`Partition.handleAlterPartitionError`).
pub(crate) enum Verdict {
    Reset,
    AwaitMetadata,
    Retry,
}

pub(crate) fn verdict(error: ErrorCode) -> Verdict {
    use ErrorCode as E;
    match error {
        // The controller says that the epochs are right and that nothing was applied, now or ever.
        E::OperationNotAttempted | E::IneligibleReplica => Verdict::Reset,
        E::UnknownTopicOrPartition
        | E::UnknownTopicId
        | E::FencedLeaderEpoch
        | E::InvalidUpdateVersion
        | E::InvalidRequest
        // It is applied, but another leads from here on.
        | E::NewLeaderElected => Verdict::AwaitMetadata,
        _ => Verdict::Retry,
    }
}

impl Isr {
    pub fn committed(members: Vec<i32>) -> Self {
        Self { committed: members, pending: None }
    }

    /// The committed members.
    pub fn members(&self) -> &[i32] {
        &self.committed
    }

    /// Whether an answer of the controller is awaited.
    pub fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    pub fn pending(&self) -> Option<&Proposal> {
        self.pending.as_ref().map(|p| &p.proposal)
    }

    /// Whether the maximal ISR holds the broker: the committed members and the one about to join. Whoever may
    /// already be a member must be waited for; whoever may still be one, too.
    pub fn maximal_contains(&self, broker: i32) -> bool {
        self.committed.contains(&broker) || self.joining() == Some(broker)
    }

    /// How many the maximal ISR holds.
    pub fn maximal_len(&self) -> usize {
        let joins = self.joining().is_some_and(|id| !self.committed.contains(&id));
        self.committed.len() + usize::from(joins)
    }

    fn joining(&self) -> Option<i32> {
        self.pending.as_ref().and_then(|p| p.joining)
    }

    pub fn propose(&mut self, proposal: Proposal, joining: Option<i32>) {
        debug_assert!(self.pending.is_none(), "one proposal at a time");
        self.pending = Some(Pending { proposal, joining });
    }
}
