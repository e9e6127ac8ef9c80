//! Which `metadata.version` brings what (Kafka's `MetadataVersion`), and the feature that 3.7 does not have:
//! `group.version` (`GroupVersion` of 4.x).

use jackdaw_settings::metadata_version;
pub use jackdaw_settings::metadata_version::{MINIMUM, MINIMUM_BOOTSTRAP};

/// The feature that says how records are written.
pub const METADATA_VERSION: &str = "metadata.version";
/// What Kafka 3.7.0 formats with, and the highest that this node understands.
pub const LATEST: i16 = metadata_version::LATEST.level;

/// The feature that says which protocols groups may speak (KIP-848).
pub const GROUP_VERSION: &str = "group.version";
/// The highest level, from which on groups of the consumer protocol are served.
pub const LATEST_GROUP_VERSION: i16 = 1;
/// What another feature than `metadata.version` needs of that to leave 0: 3.3-IV3 (`Feature.validateVersion`).
pub const MINIMUM_OF_OTHERS: i16 = 7;

/// The finalized level of `metadata.version`, with what it allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MetadataVersion(pub i16);

impl MetadataVersion {
    /// 3.2-IV0: unclean elections leave a mark (KIP-704).
    pub fn has_leader_recovery(self) -> bool {
        self.0 >= 3
    }

    /// 3.3-IV1: an idle log is kept moving.
    pub fn has_no_op_records(self) -> bool {
        self.0 >= 5
    }

    /// 3.3-IV2: `BrokerRegistrationChangeRecord` instead of fence and unfence records.
    pub fn has_registration_changes(self) -> bool {
        self.0 >= 6
    }

    /// 3.3-IV3: brokers that stop are marked so.
    pub fn has_controlled_shutdown(self) -> bool {
        self.0 >= 7
    }

    /// 3.4-IV0: the log knows whether the cluster came from ZooKeeper.
    pub fn has_migration(self) -> bool {
        self.0 >= 8
    }

    /// Before 3.6-IV0 a smaller ISR needs a new leader epoch (KAFKA-15021).
    pub fn bumps_leader_epoch_on_isr_shrink(self) -> bool {
        self.0 < 12
    }

    /// 3.6-IV1: changes of more than one batch (KIP-868).
    pub fn has_transactions(self) -> bool {
        self.0 >= 13
    }

    /// 3.7-IV0: controllers register (KIP-919).
    pub fn has_controller_registration(self) -> bool {
        self.0 >= 15
    }

    /// 3.7-IV2: replicas are assigned to log directories (KIP-858).
    pub fn has_directories(self) -> bool {
        self.0 >= 17
    }

    /// Whether the records of this level are not those of the lower one (`MetadataVersion.checkIfMetadataChanged`).
    pub fn changed_records_since(self, lower: Self) -> bool {
        const CHANGED: [i16; 11] = [1, 3, 5, 6, 7, 8, 11, 13, 14, 15, 17];
        CHANGED.iter().any(|level| (lower.0 + 1..=self.0).contains(level))
    }

    /// The name of the level, as in logs and messages of Kafka's.
    pub fn name(self) -> &'static str {
        metadata_version::name_of(self.0).unwrap_or("unknown")
    }
}
