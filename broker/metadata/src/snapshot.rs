//! The image as records, in the order of Kafka's snapshots (`MetadataImage.write`).

use jackdaw_wire::MetadataRecord;
use jackdaw_wire::metadata_record::{
    BrokerEndpoint, BrokerFeature, ClientQuotaRecord, ConfigRecord, ControllerEndpoint, ControllerFeature,
    EntityData, FeatureLevelRecord, PartitionRecord, ProducerIdsRecord, RegisterBrokerRecord,
    RegisterControllerRecord, TopicRecord, ZkMigrationStateRecord,
};
use uuid::Uuid;

use crate::features;
use crate::image::MetadataImage;
use crate::partition::PartitionRegistration;
use crate::registration::{BrokerRegistration, ControllerRegistration};

impl MetadataImage {
    /// Everything the image holds, as records at its own `metadata.version`, which comes first because it tells how
    /// to read the rest. The control records around a snapshot are not among them.
    pub fn to_records(&self) -> Vec<MetadataRecord> {
        let version = self.metadata_version();
        let mut records = Vec::new();
        if version.0 >= features::MINIMUM_BOOTSTRAP {
            records.push(feature(features::METADATA_VERSION, version.0));
            records.extend(self.features.finalized.iter().map(|(name, level)| feature(name, *level)));
        }
        if version.has_migration() {
            let zk_migration_state = self.features.zk_migration_state.unwrap_or(0);
            records.push(ZkMigrationStateRecord { zk_migration_state, ..Default::default() }.into());
        }
        records.extend(self.brokers.values().map(|broker| broker.to_record().into()));
        if version.has_controller_registration() {
            records.extend(self.controllers.values().map(|c| c.to_record().into()));
        }
        for topic in self.topics.iter() {
            let (name, topic_id) = (topic.name.to_string(), topic.id);
            records.push(TopicRecord { name, topic_id, ..Default::default() }.into());
            let partitions = topic.partitions.iter();
            records.extend(partitions.map(|(id, partition)| partition.to_record(topic.id, *id).into()));
        }
        self.add_configs(&mut records);
        self.add_quotas(&mut records);
        if self.next_producer_id > 0 {
            let next_producer_id = self.next_producer_id;
            records.push(ProducerIdsRecord { broker_id: -1, next_producer_id, ..Default::default() }.into());
        }
        records.extend(self.security.acls.values().cloned().map(MetadataRecord::from));
        records.extend(self.security.scram.values().cloned().map(MetadataRecord::from));
        records.extend(self.security.delegation_tokens.values().cloned().map(MetadataRecord::from));
        records
    }

    fn add_configs(&self, records: &mut Vec<MetadataRecord>) {
        for (resource, values) in self.configs.iter() {
            records.extend(values.iter().map(|(name, value)| {
                let record = ConfigRecord {
                    resource_type: resource.resource_type.id(),
                    resource_name: resource.name.clone(),
                    name: name.clone(),
                    value: Some(value.clone()),
                    ..Default::default()
                };
                record.into()
            }));
        }
    }

    fn add_quotas(&self, records: &mut Vec<MetadataRecord>) {
        for (entity, values) in &self.security.quotas {
            let entity: Vec<EntityData> = entity
                .iter()
                .map(|(entity_type, entity_name)| EntityData {
                    entity_type: entity_type.clone(),
                    entity_name: entity_name.clone(),
                    ..Default::default()
                })
                .collect();
            records.extend(values.iter().map(|(key, value)| {
                let (entity, key) = (entity.clone(), key.clone());
                ClientQuotaRecord { entity, key, value: *value, ..Default::default() }.into()
            }));
        }
    }
}

fn feature(name: &str, feature_level: i16) -> MetadataRecord {
    FeatureLevelRecord { name: name.to_owned(), feature_level, ..Default::default() }.into()
}

impl BrokerRegistration {
    /// The registration as one record, with all that changed since it was made.
    pub fn to_record(&self) -> RegisterBrokerRecord {
        let end_points = self.listeners.values().map(|e| BrokerEndpoint {
            name: e.name.clone(),
            host: e.host.clone(),
            port: e.port,
            security_protocol: e.security_protocol,
            ..Default::default()
        });
        let features = self.features.iter().map(|(name, range)| BrokerFeature {
            name: name.clone(),
            min_supported_version: range.min,
            max_supported_version: range.max,
            ..Default::default()
        });
        RegisterBrokerRecord {
            broker_id: self.id,
            is_migrating_zk_broker: self.is_migrating_zk_broker,
            incarnation_id: self.incarnation_id,
            broker_epoch: self.epoch,
            end_points: end_points.collect(),
            features: features.collect(),
            rack: self.rack.as_deref().map(str::to_owned),
            fenced: self.fenced,
            in_controlled_shutdown: self.in_controlled_shutdown,
            log_dirs: self.directories.clone(),
            ..Default::default()
        }
    }
}

impl ControllerRegistration {
    /// The registration as a record.
    pub fn to_record(&self) -> RegisterControllerRecord {
        let end_points = self.listeners.values().map(|e| ControllerEndpoint {
            name: e.name.clone(),
            host: e.host.clone(),
            port: e.port,
            security_protocol: e.security_protocol,
            ..Default::default()
        });
        let features = self.features.iter().map(|(name, range)| ControllerFeature {
            name: name.clone(),
            min_supported_version: range.min,
            max_supported_version: range.max,
            ..Default::default()
        });
        RegisterControllerRecord {
            controller_id: self.id,
            incarnation_id: self.incarnation_id,
            zk_migration_ready: self.zk_migration_ready,
            end_points: end_points.collect(),
            features: features.collect(),
            ..Default::default()
        }
    }
}

impl PartitionRegistration {
    /// The partition as one record.
    pub fn to_record(&self, topic_id: Uuid, partition_id: i32) -> PartitionRecord {
        PartitionRecord {
            partition_id,
            topic_id,
            replicas: self.replicas.clone(),
            isr: self.isr.clone(),
            removing_replicas: self.removing_replicas.clone(),
            adding_replicas: self.adding_replicas.clone(),
            leader: self.leader,
            leader_recovery_state: self.leader_recovery_state.value(),
            leader_epoch: self.leader_epoch,
            partition_epoch: self.partition_epoch,
            directories: self.directories.clone(),
            ..Default::default()
        }
    }
}
