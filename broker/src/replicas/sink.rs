//! The way of an ISR change to the controller, as far as a partition sees it.
//!
//! Who sends AlterPartition, batches changes and finds the controller is behind [`AlterPartitionSink`].

use std::sync::Arc;

pub use jackdaw_replication::{BrokerState, CommittedIsr};
use jackdaw_wire::{ErrorCode, Uuid};

/// One partition's entry of AlterPartition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IsrChange {
    pub topic: Arc<str>,
    pub topic_id: Uuid,
    pub partition: i32,
    pub leader_epoch: i32,
    pub partition_epoch: i32,
    /// The wanted ISR. The leader's own entry has epoch -1: the sender puts its current broker epoch there.
    pub isr: Vec<BrokerState>,
    /// As in the request: 0 recovered. A leader that changes its ISR has recovered.
    pub leader_recovery_state: i8,
}

/// Takes the controller's answer. Called exactly once; dropped uncalled only when the node stops.
pub type IsrChangeDone = Box<dyn FnOnce(Result<CommittedIsr, ErrorCode>) + Send>;

/// Sends ISR changes to the active controller, whoever that is, until it answers (`AlterPartitionManager`).
///
/// Errors of the request as a whole (`NOT_CONTROLLER`, `STALE_BROKER_EPOCH`, a lost connection) are the sender's to
/// retry; `done` hears the partition's own result.
pub trait AlterPartitionSink: Send + Sync {
    /// Queues the change and returns at once. A partition has one change in flight at a time.
    fn submit(&self, change: IsrChange, done: IsrChangeDone);
}
