//! The cluster as of one offset of the metadata log. A clone costs a few reference counts.
//!
//! It is derived from the log alone, and can be thrown away and read again.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jackdaw_wire::metadata_record::{
    AccessControlEntryRecord, DelegationTokenRecord, UserScramCredentialRecord,
};
use uuid::Uuid;

use crate::features::{self, MetadataVersion};
use crate::partition::PartitionRegistration;
use crate::registration::{BrokerRegistration, ControllerRegistration};

/// Where in the log an image stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Provenance {
    /// Last offset included, or -1.
    pub offset: i64,
    /// Epoch of that offset, or -1.
    pub epoch: i32,
    /// When the leader appended its batch, in milliseconds since 1970.
    pub append_time_ms: i64,
}

impl Default for Provenance {
    fn default() -> Self {
        Self { offset: -1, epoch: -1, append_time_ms: 0 }
    }
}

/// Everything that the metadata log says.
#[derive(Debug, Clone, Default)]
pub struct MetadataImage {
    /// How far the log is included.
    pub provenance: Provenance,
    /// Finalized features.
    pub features: FeaturesImage,
    /// Registered brokers by id, fenced ones included.
    pub brokers: Arc<BTreeMap<i32, Arc<BrokerRegistration>>>,
    /// Registered controllers by id.
    pub controllers: Arc<BTreeMap<i32, Arc<ControllerRegistration>>>,
    /// Topics and their partitions.
    pub topics: TopicsImage,
    /// Dynamic configurations: what was set, never defaults.
    pub configs: Arc<BTreeMap<ConfigResource, Arc<BTreeMap<String, String>>>>,
    /// The first producer id that was not handed out yet; 0 before the first block.
    pub next_producer_id: i64,
    /// Quotas, ACLs, credentials and tokens: kept as they are read, so that no snapshot loses them.
    pub security: Arc<SecurityImage>,
}

/// The parts of a quota's entity: type and name, the name being `None` for the default; sorted.
pub type QuotaEntity = Vec<(String, Option<String>)>;

/// What this node keeps for others, and does not act on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SecurityImage {
    /// Client quotas by entity and key.
    pub quotas: BTreeMap<QuotaEntity, BTreeMap<String, f64>>,
    /// ACLs by id.
    pub acls: BTreeMap<Uuid, AccessControlEntryRecord>,
    /// SCRAM credentials by mechanism and user.
    pub scram: BTreeMap<(i8, String), UserScramCredentialRecord>,
    /// Delegation tokens by id.
    pub delegation_tokens: BTreeMap<String, DelegationTokenRecord>,
}

impl MetadataImage {
    /// The level that records are written in; the lowest one before any was finalized.
    pub fn metadata_version(&self) -> MetadataVersion {
        MetadataVersion(self.features.metadata_version.max(features::MINIMUM))
    }

    /// A registered broker.
    pub fn broker(&self, id: i32) -> Option<&Arc<BrokerRegistration>> {
        self.brokers.get(&id)
    }

    /// A partition by topic name.
    pub fn partition(&self, topic: &str, partition: i32) -> Option<&Arc<PartitionRegistration>> {
        self.topics.by_name(topic)?.partitions.get(&partition)
    }

    /// What was set on a resource.
    pub fn config(&self, resource: &ConfigResource) -> Option<&Arc<BTreeMap<String, String>>> {
        self.configs.get(resource)
    }

    /// What was set on a topic.
    pub fn topic_config(&self, topic: &str) -> Option<&Arc<BTreeMap<String, String>>> {
        self.configs.get(&ConfigResource::topic(topic))
    }
}

/// Finalized features.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FeaturesImage {
    /// `metadata.version` as a feature level (19 is 3.7-IV4); 0 before the first record.
    pub metadata_version: i16,
    /// The other finalized features by name, none of them at 0 but `group.version`.
    pub finalized: BTreeMap<String, i16>,
    /// ZooKeeper migration state as in the record: 0 NONE; `None` before the first record.
    pub zk_migration_state: Option<i8>,
}

impl FeaturesImage {
    /// The level of `group.version` for a node whose settings name the consumer protocol, or do not: the one that was
    /// said. Where nobody said any the settings decide, as in 3.7, which has no such feature and whose controllers read
    /// no log that has it above 0; so it is not raised unasked.
    pub fn group_version(&self, is_named: bool) -> i16 {
        let unsaid = if is_named { features::LATEST_GROUP_VERSION } else { 0 };
        self.finalized.get(features::GROUP_VERSION).copied().unwrap_or(unsaid)
    }
}

/// Topics by id and by name.
#[derive(Debug, Clone, Default)]
pub struct TopicsImage {
    pub(crate) by_id: Arc<HashMap<Uuid, Arc<TopicImage>>>,
    pub(crate) by_name: Arc<BTreeMap<Arc<str>, Uuid>>,
}

impl TopicsImage {
    /// A topic by id.
    pub fn by_id(&self, id: &Uuid) -> Option<&Arc<TopicImage>> {
        self.by_id.get(id)
    }

    /// A topic by name.
    pub fn by_name(&self, name: &str) -> Option<&Arc<TopicImage>> {
        self.by_id.get(self.by_name.get(name)?)
    }

    /// A topic's id by name.
    pub fn id_of(&self, name: &str) -> Option<Uuid> {
        self.by_name.get(name).copied()
    }

    /// All topics, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<TopicImage>> {
        self.by_name.values().filter_map(|id| self.by_id.get(id))
    }

    /// How many topics there are.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}

/// One topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicImage {
    /// Its name.
    pub name: Arc<str>,
    /// Its id.
    pub id: Uuid,
    /// Partitions by index.
    pub partitions: BTreeMap<i32, Arc<PartitionRegistration>>,
}

/// What a dynamic configuration belongs to (`ConfigResource.Type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceType {
    /// A topic.
    Topic,
    /// A broker, or with an empty name all brokers.
    Broker,
    /// A broker's loggers.
    BrokerLogger,
    /// A group (since 4.0).
    Group,
    /// A type that this version does not know, by its number: kept, and without effect.
    Other(i8),
}

impl ResourceType {
    /// The number in records and requests.
    pub fn id(self) -> i8 {
        match self {
            Self::Topic => 2,
            Self::Broker => 4,
            Self::BrokerLogger => 8,
            Self::Group => 32,
            Self::Other(id) => id,
        }
    }

    /// Reads that number.
    pub fn of(id: i8) -> Self {
        match id {
            2 => Self::Topic,
            4 => Self::Broker,
            8 => Self::BrokerLogger,
            32 => Self::Group,
            other => Self::Other(other),
        }
    }
}

/// A resource that configurations are set on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfigResource {
    /// Its type.
    pub resource_type: ResourceType,
    /// Its name; empty for the default of all brokers.
    pub name: String,
}

impl ConfigResource {
    /// A topic.
    pub fn topic(name: impl Into<String>) -> Self {
        Self { resource_type: ResourceType::Topic, name: name.into() }
    }

    /// A group.
    pub fn group(name: impl Into<String>) -> Self {
        Self { resource_type: ResourceType::Group, name: name.into() }
    }

    /// One broker.
    pub fn broker(id: i32) -> Self {
        Self { resource_type: ResourceType::Broker, name: id.to_string() }
    }

    /// The default of all brokers.
    pub fn default_broker() -> Self {
        Self { resource_type: ResourceType::Broker, name: String::new() }
    }
}
