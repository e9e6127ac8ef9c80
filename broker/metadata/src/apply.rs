//! Records of the metadata log, applied to the image one by one.
//!
//! Transaction markers are not for the image: whoever reads the log publishes nothing of an open transaction.

use std::collections::BTreeMap;
use std::sync::Arc;

use jackdaw_wire::MetadataRecord;
use jackdaw_wire::metadata_record::{
    BrokerRegistrationChangeRecord, ClientQuotaRecord, ConfigRecord, FeatureLevelRecord,
    PartitionChangeRecord, PartitionRecord, RegisterBrokerRecord, RegisterControllerRecord, TopicRecord,
};
use thiserror::Error;
use uuid::Uuid;

use crate::delta::{MetadataDelta, PartitionDelta, TopicDelta};
use crate::features;
use crate::image::{ConfigResource, MetadataImage, QuotaEntity, ResourceType, TopicImage};
use crate::partition::{MergeError, PartitionRegistration};
use crate::registration::{BrokerRegistration, ControllerRegistration, Endpoint, VersionRange};

/// A record that contradicts the image. The log is damaged, or written by a version that this one does not know:
/// a node that met one must stop, as Kafka's does, because its image is no longer the cluster's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ApplyError {
    /// A topic was created twice.
    #[error("duplicate TopicRecord for {0}")]
    DuplicateTopic(String),
    /// A record names a topic that is not there.
    #[error("{record} for unknown topic {topic}")]
    UnknownTopic {
        /// Which record.
        record: &'static str,
        /// The topic's id.
        topic: Uuid,
    },
    /// A change of a partition that is not there.
    #[error("PartitionChangeRecord for unknown partition {partition} of topic {topic}")]
    UnknownPartition {
        /// The topic's id.
        topic: Uuid,
        /// The partition's index.
        partition: i32,
    },
    /// A record for a broker that is not registered in that epoch.
    #[error("{record}: no registration of broker {broker} with epoch {epoch}")]
    UnknownBroker {
        /// Which record.
        record: &'static str,
        /// The broker's id.
        broker: i32,
        /// The epoch that the record names.
        epoch: i64,
    },
    /// A partition record that makes no sense.
    #[error("partition {partition} of topic {topic}: {source}")]
    BadPartition {
        /// The topic's id.
        topic: Uuid,
        /// The partition's index.
        partition: i32,
        /// What is wrong.
        source: MergeError,
    },
    /// A level of `metadata.version` that this node does not know.
    #[error("metadata.version {0} is not supported; the highest is {max}", max = features::LATEST)]
    UnsupportedMetadataVersion(i16),
}

impl MetadataImage {
    /// Applies the record at `offset` and notes in `delta` what it changed.
    ///
    /// # Errors
    /// See [`ApplyError`]; the image is then no longer usable.
    pub fn apply(
        &mut self,
        offset: i64,
        record: &MetadataRecord,
        delta: &mut MetadataDelta,
    ) -> Result<(), ApplyError> {
        use MetadataRecord as R;
        self.provenance.offset = self.provenance.offset.max(offset);
        match record {
            R::RegisterBroker(r) => self.register_broker(r, delta),
            R::UnregisterBroker(r) => {
                self.change_broker("UnregisterBrokerRecord", r.broker_id, r.broker_epoch, delta, |_| None)?;
            }
            R::FenceBroker(r) => self.fence("FenceBrokerRecord", r.id, r.epoch, true, delta)?,
            R::UnfenceBroker(r) => self.fence("UnfenceBrokerRecord", r.id, r.epoch, false, delta)?,
            R::BrokerRegistrationChange(r) => self.change_registration(r, delta)?,
            R::RegisterController(r) => {
                let registration = Arc::new(ControllerRegistration::from(r));
                Arc::make_mut(&mut self.controllers).insert(r.controller_id, registration);
                delta.changed_controllers.insert(r.controller_id);
            }
            R::Topic(r) => self.create_topic(r, delta)?,
            R::RemoveTopic(r) => self.remove_topic(r.topic_id, delta)?,
            R::Partition(r) => self.set_partition(r, delta)?,
            R::PartitionChange(r) => self.change_partition(r, delta)?,
            R::Config(r) => self.set_config(r, delta),
            R::FeatureLevel(r) => self.set_feature(r, delta)?,
            R::ZkMigrationState(r) => {
                self.features.zk_migration_state = Some(r.zk_migration_state);
                delta.features_changed = true;
            }
            R::ProducerIds(r) => {
                self.next_producer_id = r.next_producer_id;
                delta.producer_ids_changed = true;
            }
            R::ClientQuota(r) => self.set_quota(r),
            R::AccessControlEntry(r) => drop(self.security_mut().acls.insert(r.id, r.clone())),
            R::RemoveAccessControlEntry(r) => drop(self.security_mut().acls.remove(&r.id)),
            R::UserScramCredential(r) => {
                self.security_mut().scram.insert((r.mechanism, r.name.clone()), r.clone());
            }
            R::RemoveUserScramCredential(r) => {
                self.security_mut().scram.remove(&(r.mechanism, r.name.clone()));
            }
            R::DelegationToken(r) => {
                self.security_mut().delegation_tokens.insert(r.token_id.clone(), r.clone());
            }
            R::RemoveDelegationToken(r) => drop(self.security_mut().delegation_tokens.remove(&r.token_id)),
            R::NoOp(_) | R::BeginTransaction(_) | R::EndTransaction(_) | R::AbortTransaction(_) => {}
        }
        Ok(())
    }

    fn security_mut(&mut self) -> &mut crate::image::SecurityImage {
        Arc::make_mut(&mut self.security)
    }

    fn register_broker(&mut self, record: &RegisterBrokerRecord, delta: &mut MetadataDelta) {
        let registration = Arc::new(BrokerRegistration::from(record));
        let previous = Arc::make_mut(&mut self.brokers).insert(record.broker_id, registration);
        delta.changed_brokers.entry(record.broker_id).or_insert(previous);
    }

    /// Replaces the registration of a broker in one epoch, or takes it away.
    fn change_broker(
        &mut self,
        record: &'static str,
        broker: i32,
        epoch: i64,
        delta: &mut MetadataDelta,
        change: impl FnOnce(&BrokerRegistration) -> Option<BrokerRegistration>,
    ) -> Result<(), ApplyError> {
        let previous = self.brokers.get(&broker).filter(|b| b.epoch == epoch).cloned();
        let previous = previous.ok_or(ApplyError::UnknownBroker { record, broker, epoch })?;
        let next = change(&previous);
        if next.as_ref() == Some(&*previous) {
            return Ok(());
        }
        let brokers = Arc::make_mut(&mut self.brokers);
        match next {
            Some(next) => brokers.insert(broker, Arc::new(next)),
            None => brokers.remove(&broker),
        };
        delta.changed_brokers.entry(broker).or_insert(Some(previous));
        Ok(())
    }

    fn fence(
        &mut self,
        record: &'static str,
        broker: i32,
        epoch: i64,
        fenced: bool,
        delta: &mut MetadataDelta,
    ) -> Result<(), ApplyError> {
        self.change_broker(record, broker, epoch, delta, |b| Some(BrokerRegistration { fenced, ..b.clone() }))
    }

    fn change_registration(
        &mut self,
        record: &BrokerRegistrationChangeRecord,
        delta: &mut MetadataDelta,
    ) -> Result<(), ApplyError> {
        let name = "BrokerRegistrationChangeRecord";
        self.change_broker(name, record.broker_id, record.broker_epoch, delta, |previous| {
            let mut next = previous.clone();
            match record.fenced {
                0 => {}
                change => next.fenced = change > 0,
            }
            next.in_controlled_shutdown |= record.in_controlled_shutdown > 0;
            if !record.log_dirs.is_empty() {
                next.directories = sorted(&record.log_dirs);
            }
            Some(next)
        })
    }

    fn create_topic(&mut self, record: &TopicRecord, delta: &mut MetadataDelta) -> Result<(), ApplyError> {
        if self.topics.by_id(&record.topic_id).is_some() {
            return Err(ApplyError::DuplicateTopic(record.name.clone()));
        }
        let name: Arc<str> = Arc::from(record.name.as_str());
        if Arc::make_mut(&mut self.topics.by_name).insert(Arc::clone(&name), record.topic_id).is_some() {
            return Err(ApplyError::DuplicateTopic(record.name.clone()));
        }
        let topic = TopicImage { name: Arc::clone(&name), id: record.topic_id, partitions: BTreeMap::new() };
        Arc::make_mut(&mut self.topics.by_id).insert(record.topic_id, Arc::new(topic));
        let change = TopicDelta { name, created: true, partitions: BTreeMap::new() };
        delta.changed_topics.insert(record.topic_id, change);
        Ok(())
    }

    fn remove_topic(&mut self, topic: Uuid, delta: &mut MetadataDelta) -> Result<(), ApplyError> {
        let removed = Arc::make_mut(&mut self.topics.by_id)
            .remove(&topic)
            .ok_or(ApplyError::UnknownTopic { record: "RemoveTopicRecord", topic })?;
        Arc::make_mut(&mut self.topics.by_name).remove(&removed.name);
        let resource = ConfigResource::topic(&*removed.name);
        if self.configs.contains_key(&resource) {
            Arc::make_mut(&mut self.configs).remove(&resource);
            delta.changed_configs.insert(resource);
        }
        match delta.changed_topics.remove(&topic) {
            None => drop(delta.deleted_topics.insert(topic, removed)),
            // Created and removed between two images: nobody has seen it.
            Some(change) if change.created => {}
            Some(change) => {
                let mut before = TopicImage::clone(&removed);
                for (partition, change) in change.partitions {
                    match change.previous {
                        Some(previous) => before.partitions.insert(partition, previous),
                        None => before.partitions.remove(&partition),
                    };
                }
                delta.deleted_topics.insert(topic, Arc::new(before));
            }
        }
        Ok(())
    }

    fn set_partition(
        &mut self,
        record: &PartitionRecord,
        delta: &mut MetadataDelta,
    ) -> Result<(), ApplyError> {
        let (topic, partition) = (record.topic_id, record.partition_id);
        let next = PartitionRegistration::from_record(record).map_err(|source| ApplyError::BadPartition {
            topic,
            partition,
            source,
        })?;
        self.put_partition("PartitionRecord", topic, partition, next, delta)
    }

    fn change_partition(
        &mut self,
        record: &PartitionChangeRecord,
        delta: &mut MetadataDelta,
    ) -> Result<(), ApplyError> {
        let (topic, partition) = (record.topic_id, record.partition_id);
        let image = self
            .topics
            .by_id
            .get(&topic)
            .ok_or(ApplyError::UnknownTopic { record: "PartitionChangeRecord", topic })?;
        let previous =
            image.partitions.get(&partition).ok_or(ApplyError::UnknownPartition { topic, partition })?;
        let next =
            previous.merge(record).map_err(|source| ApplyError::BadPartition { topic, partition, source })?;
        self.put_partition("PartitionChangeRecord", topic, partition, next, delta)
    }

    fn put_partition(
        &mut self,
        record: &'static str,
        topic: Uuid,
        partition: i32,
        next: PartitionRegistration,
        delta: &mut MetadataDelta,
    ) -> Result<(), ApplyError> {
        let image = Arc::make_mut(&mut self.topics.by_id)
            .get_mut(&topic)
            .ok_or(ApplyError::UnknownTopic { record, topic })?;
        let current = Arc::new(next);
        let previous = Arc::make_mut(image).partitions.insert(partition, Arc::clone(&current));
        let changes = delta.changed_topics.entry(topic).or_insert_with(|| TopicDelta {
            name: Arc::clone(&image.name),
            created: false,
            partitions: BTreeMap::new(),
        });
        changes
            .partitions
            .entry(partition)
            .and_modify(|change| change.current = Arc::clone(&current))
            .or_insert(PartitionDelta { previous, current });
        Ok(())
    }

    fn set_config(&mut self, record: &ConfigRecord, delta: &mut MetadataDelta) {
        let resource = ConfigResource {
            resource_type: ResourceType::of(record.resource_type),
            name: record.resource_name.clone(),
        };
        let configs = Arc::make_mut(&mut self.configs);
        let values = Arc::make_mut(configs.entry(resource.clone()).or_default());
        match &record.value {
            Some(value) => values.insert(record.name.clone(), value.clone()),
            None => values.remove(&record.name),
        };
        if values.is_empty() {
            configs.remove(&resource);
        }
        delta.changed_configs.insert(resource);
    }

    fn set_feature(
        &mut self,
        record: &FeatureLevelRecord,
        delta: &mut MetadataDelta,
    ) -> Result<(), ApplyError> {
        if record.name == features::METADATA_VERSION {
            if !(features::MINIMUM..=features::LATEST).contains(&record.feature_level) {
                return Err(ApplyError::UnsupportedMetadataVersion(record.feature_level));
            }
            self.features.metadata_version = record.feature_level;
        // Of this one, 0 is not the same as nothing.
        } else if record.feature_level == 0 && record.name != features::GROUP_VERSION {
            self.features.finalized.remove(&record.name);
        } else {
            self.features.finalized.insert(record.name.clone(), record.feature_level);
        }
        delta.features_changed = true;
        Ok(())
    }

    fn set_quota(&mut self, record: &ClientQuotaRecord) {
        let mut entity: QuotaEntity =
            record.entity.iter().map(|e| (e.entity_type.clone(), e.entity_name.clone())).collect();
        entity.sort();
        let quotas = &mut self.security_mut().quotas;
        let values = quotas.entry(entity.clone()).or_default();
        if record.remove {
            values.remove(&record.key);
        } else {
            values.insert(record.key.clone(), record.value);
        }
        if values.is_empty() {
            quotas.remove(&entity);
        }
    }
}

fn sorted(directories: &[Uuid]) -> Vec<Uuid> {
    let mut directories = directories.to_vec();
    directories.sort_unstable();
    directories
}

impl From<&RegisterBrokerRecord> for BrokerRegistration {
    fn from(record: &RegisterBrokerRecord) -> Self {
        let listeners = record.end_points.iter().map(|e| {
            let (name, host) = (e.name.clone(), e.host.clone());
            (e.name.clone(), Endpoint { name, host, port: e.port, security_protocol: e.security_protocol })
        });
        let features = record.features.iter().map(|f| {
            (f.name.clone(), VersionRange { min: f.min_supported_version, max: f.max_supported_version })
        });
        Self {
            id: record.broker_id,
            epoch: record.broker_epoch,
            incarnation_id: record.incarnation_id,
            listeners: listeners.collect(),
            features: features.collect(),
            rack: record.rack.as_deref().map(Arc::from),
            fenced: record.fenced,
            in_controlled_shutdown: record.in_controlled_shutdown,
            is_migrating_zk_broker: record.is_migrating_zk_broker,
            directories: sorted(&record.log_dirs),
        }
    }
}

impl From<&RegisterControllerRecord> for ControllerRegistration {
    fn from(record: &RegisterControllerRecord) -> Self {
        let listeners = record.end_points.iter().map(|e| {
            let (name, host) = (e.name.clone(), e.host.clone());
            (e.name.clone(), Endpoint { name, host, port: e.port, security_protocol: e.security_protocol })
        });
        let features = record.features.iter().map(|f| {
            (f.name.clone(), VersionRange { min: f.min_supported_version, max: f.max_supported_version })
        });
        Self {
            id: record.controller_id,
            incarnation_id: record.incarnation_id,
            zk_migration_ready: record.zk_migration_ready,
            listeners: listeners.collect(),
            features: features.collect(),
        }
    }
}
