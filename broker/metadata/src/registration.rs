//! Brokers and controllers as they registered.

use std::collections::BTreeMap;
use std::sync::Arc;

use jackdaw_wire::types::{DIR_LOST, DIR_MIGRATING, DIR_UNASSIGNED};
use uuid::Uuid;

/// One address that a node advertises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The listener's name.
    pub name: String,
    /// Host as advertised.
    pub host: String,
    /// Port as advertised.
    pub port: u16,
    /// 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL.
    pub security_protocol: i16,
}

/// The levels of one feature that a node supports, both inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionRange {
    /// Lowest level.
    pub min: i16,
    /// Highest level.
    pub max: i16,
}

impl VersionRange {
    /// Whether the level lies in the range.
    pub fn contains(self, level: i16) -> bool {
        self.min <= level && level <= self.max
    }
}

/// A broker as it registered, and what the controller made of it since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerRegistration {
    /// Node id.
    pub id: i32,
    /// The broker epoch: the offset of its registration record.
    pub epoch: i64,
    /// New at each start of the process.
    pub incarnation_id: Uuid,
    /// Listeners by name; CONTROLLER is never among them.
    pub listeners: BTreeMap<String, Endpoint>,
    /// Supported feature levels by feature name.
    pub features: BTreeMap<String, VersionRange>,
    /// Rack, where one is set.
    pub rack: Option<Arc<str>>,
    /// A fenced broker leads nothing, is in no ISR, and is not shown to clients.
    pub fenced: bool,
    /// Asked to stop, and still moving its leaders away.
    pub in_controlled_shutdown: bool,
    /// A ZooKeeper broker under migration.
    pub is_migrating_zk_broker: bool,
    /// Online log directories, sorted.
    pub directories: Vec<Uuid>,
}

impl BrokerRegistration {
    /// The endpoint of a listener.
    pub fn endpoint(&self, listener: &str) -> Option<&Endpoint> {
        self.listeners.get(listener)
    }

    /// Whether a replica in this directory is alive. A directory that is not known yet counts as alive; so does
    /// every one of a broker that registered before directories were told (KAFKA-16162).
    pub fn has_online_directory(&self, directory: &Uuid) -> bool {
        match *directory {
            DIR_UNASSIGNED | DIR_MIGRATING => true,
            DIR_LOST => false,
            _ => self.directories.is_empty() || self.directories.contains(directory),
        }
    }

    /// The directory of a new replica: the only one, or one that the broker will choose.
    pub fn default_directory(&self) -> Uuid {
        match self.directories.as_slice() {
            [] => DIR_MIGRATING,
            [only] => *only,
            _ => DIR_UNASSIGNED,
        }
    }

    /// Neither fenced nor stopping: may join an ISR and lead.
    pub fn is_active(&self) -> bool {
        !self.fenced && !self.in_controlled_shutdown
    }
}

/// A controller as it registered (KIP-919).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControllerRegistration {
    /// Node id.
    pub id: i32,
    /// New at each start of the process.
    pub incarnation_id: Uuid,
    /// Whether it could take part in a migration from ZooKeeper.
    pub zk_migration_ready: bool,
    /// Listeners by name.
    pub listeners: BTreeMap<String, Endpoint>,
    /// Supported feature levels by feature name.
    pub features: BTreeMap<String, VersionRange>,
}
