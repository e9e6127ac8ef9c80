//! Nodes come, beat, stop and go (Kafka's `ClusterControlManager`, `BrokerHeartbeatManager` and
//! `ReplicationControlManager.processBrokerHeartbeat`).

use jackdaw_wire::messages::*;
use jackdaw_wire::metadata_record::{
    BrokerEndpoint, BrokerFeature, BrokerRegistrationChangeRecord, ControllerEndpoint, ControllerFeature,
    FenceBrokerRecord, ProducerIdsRecord, RegisterBrokerRecord, RegisterControllerRecord,
    UnfenceBrokerRecord, UnregisterBrokerRecord,
};
use jackdaw_wire::types::{is_reserved_directory_id, kafka_base64};
use jackdaw_wire::{ErrorCode, MetadataRecord};
use uuid::Uuid;

use super::error::ApiError;
use super::sessions::{BrokerState, Heartbeat};
use super::{Controller, PRODUCER_ID_BLOCK_SIZE, Work};
use crate::features;
use crate::registration::BrokerRegistration;

impl Controller {
    pub(super) fn register_broker(
        &mut self,
        request: &BrokerRegistrationRequest,
        work: &Work,
        records: &mut Vec<MetadataRecord>,
    ) -> Result<BrokerRegistrationResponse, ApiError> {
        let broker = request.broker_id.0;
        if *request.cluster_id != *self.settings.cluster_id {
            let text = format!(
                "Expected cluster ID {}, but got cluster ID {}",
                self.settings.cluster_id, &*request.cluster_id
            );
            return Err(ApiError::new(ErrorCode::InconsistentClusterId, text));
        }
        let registered = self.image.brokers.get(&broker);
        if registered.is_some_and(|b| b.incarnation_id != request.incarnation_id && !is_heir(b, request))
            && self.sessions.has_valid_session(broker, work.now_ms)
        {
            let text = "Another broker is registered with that broker id.";
            return Err(ApiError::new(ErrorCode::DuplicateBrokerRegistration, text));
        }
        if request.is_migrating_zk_broker {
            let text = "Controller does not support registering ZK brokers.";
            return Err(ApiError::new(ErrorCode::BrokerIdNotRegistered, text));
        }
        let with_directories = self.image.metadata_version().has_directories();
        if with_directories {
            self.check_directories(broker, &request.log_dirs)?;
        }
        if registered.is_some_and(|b| !b.fenced) {
            // The registration fences the broker, and a fenced one leads nothing. Kafka 3.7 leaves it its partitions
            // here, which then have a leader that nobody can reach until it is back.
            let in_isr = self.index.with_broker_in_isr(broker);
            self.update_leaders_and_isrs(Some(broker), None, in_isr, records);
        }
        let features = self.registered_features(request)?;
        let broker_epoch = self.next_offset + records.len() as i64;
        let end_points = request.listeners.iter().map(|listener| BrokerEndpoint {
            name: listener.name.to_string(),
            host: listener.host.to_string(),
            port: listener.port,
            security_protocol: listener.security_protocol,
            ..Default::default()
        });
        let record = RegisterBrokerRecord {
            broker_id: broker,
            incarnation_id: request.incarnation_id,
            broker_epoch,
            end_points: end_points.collect(),
            features,
            rack: request.rack.as_ref().map(|rack| rack.to_string()),
            log_dirs: if with_directories { request.log_dirs.clone() } else { Vec::new() },
            ..Default::default()
        };
        records.push(record.into());
        Ok(BrokerRegistrationResponse::default().with_broker_epoch(broker_epoch))
    }

    fn check_directories(&self, broker: i32, directories: &[Uuid]) -> Result<(), ApiError> {
        let refuse = |text: String| Err(ApiError::new(ErrorCode::InvalidRegistration, text));
        if directories.is_empty() {
            return refuse("No directories specified in request".into());
        }
        if directories.iter().any(is_reserved_directory_id) {
            return refuse("Reserved directory ID in request".into());
        }
        for (at, directory) in directories.iter().enumerate() {
            if directories[..at].contains(directory) {
                return refuse("Duplicate directory ID in request".into());
            }
        }
        for directory in directories {
            let owner = self.image.brokers.values().find(|b| b.directories.contains(directory));
            if let Some(owner) = owner.filter(|owner| owner.id != broker) {
                let directory = kafka_base64(directory);
                return refuse(format!(
                    "Broker {} is already registered with directory {directory}",
                    owner.id
                ));
            }
        }
        Ok(())
    }

    /// The features of a broker, if it supports every finalized one. One that says nothing of `metadata.version`
    /// is taken to know only the first.
    fn registered_features(
        &self,
        request: &BrokerRegistrationRequest,
    ) -> Result<Vec<BrokerFeature>, ApiError> {
        let mut named: Vec<(String, i16, i16)> = request
            .features
            .iter()
            .map(|f| (f.name.to_string(), f.min_supported_version, f.max_supported_version))
            .collect();
        if !named.iter().any(|(name, ..)| name == features::METADATA_VERSION) {
            named.push((features::METADATA_VERSION.into(), features::MINIMUM, features::MINIMUM));
        }
        named.into_iter().map(|(name, min, max)| self.registered_feature(name, min, max)).collect()
    }

    fn registered_feature(&self, name: String, min: i16, max: i16) -> Result<BrokerFeature, ApiError> {
        let finalized = match name.as_str() {
            features::METADATA_VERSION => Some(self.image.metadata_version().0),
            other => self.image.features.finalized.get(other).copied(),
        };
        if let Some(level) = finalized.filter(|level| !(min..=max).contains(level)) {
            let text = format!(
                "Unable to register because the broker does not support version {level} of {name}. It wants a \
                 version between {min} and {max}, inclusive."
            );
            return Err(ApiError::new(ErrorCode::UnsupportedVersion, text));
        }
        let (min_supported_version, max_supported_version) = (min, max);
        Ok(BrokerFeature { name, min_supported_version, max_supported_version, ..Default::default() })
    }

    pub(super) fn register_controller(
        &self,
        request: &ControllerRegistrationRequest,
        records: &mut Vec<MetadataRecord>,
    ) -> Result<ControllerRegistrationResponse, ApiError> {
        if !self.image.metadata_version().has_controller_registration() {
            let text = "The current MetadataVersion is too old to support controller registrations.";
            return Err(ApiError::new(ErrorCode::UnsupportedVersion, text));
        }
        let end_points = request.listeners.iter().map(|listener| ControllerEndpoint {
            name: listener.name.to_string(),
            host: listener.host.to_string(),
            port: listener.port,
            security_protocol: listener.security_protocol,
            ..Default::default()
        });
        let features = request.features.iter().map(|feature| ControllerFeature {
            name: feature.name.to_string(),
            min_supported_version: feature.min_supported_version,
            max_supported_version: feature.max_supported_version,
            ..Default::default()
        });
        let record = RegisterControllerRecord {
            controller_id: request.controller_id,
            incarnation_id: request.incarnation_id,
            zk_migration_ready: request.zk_migration_ready,
            end_points: end_points.collect(),
            features: features.collect(),
            ..Default::default()
        };
        records.push(record.into());
        Ok(ControllerRegistrationResponse::default())
    }

    pub(super) fn unregister_broker(
        &self,
        request: &UnregisterBrokerRequest,
        records: &mut Vec<MetadataRecord>,
    ) -> Result<UnregisterBrokerResponse, ApiError> {
        let broker_id = request.broker_id.0;
        let Some(broker) = self.image.brokers.get(&broker_id) else {
            let text = format!("Broker ID {broker_id} is not currently registered");
            return Err(ApiError::new(ErrorCode::BrokerIdNotRegistered, text));
        };
        let in_isr = self.index.with_broker_in_isr(broker_id);
        self.update_leaders_and_isrs(Some(broker_id), None, in_isr, records);
        let broker_epoch = broker.epoch;
        records.push(UnregisterBrokerRecord { broker_id, broker_epoch, ..Default::default() }.into());
        Ok(UnregisterBrokerResponse::default())
    }

    /// A request from a broker counts only if the broker is registered in the epoch that it names.
    pub(super) fn check_broker_epoch(&self, broker: i32, epoch: i64) -> Result<(), ApiError> {
        let stale = |text: String| ApiError::new(ErrorCode::StaleBrokerEpoch, text);
        let registered = self.image.brokers.get(&broker).map(|b| b.epoch);
        match registered {
            Some(registered) if registered == epoch => Ok(()),
            Some(registered) => {
                Err(stale(format!("Expected broker epoch {registered}, but got broker epoch {epoch}")))
            }
            None => Err(stale(format!("No broker registration found for broker id {broker}"))),
        }
    }

    pub(super) fn heartbeat(
        &mut self,
        request: &BrokerHeartbeatRequest,
        work: &mut Work,
        records: &mut Vec<MetadataRecord>,
    ) -> Result<BrokerHeartbeatResponse, ApiError> {
        let (broker, epoch) = (request.broker_id.0, request.broker_epoch);
        self.check_broker_epoch(broker, epoch)?;
        let heartbeat = Heartbeat {
            metadata_offset: request.current_metadata_offset,
            want_fence: request.want_fence,
            want_shutdown: request.want_shut_down,
        };
        // The epoch is the offset of the registration, which is what a broker must have applied.
        let (current, next) = self.sessions.next_state(broker, heartbeat, epoch, self.index.leads(broker));
        if current != next {
            match next {
                BrokerState::Fenced | BrokerState::ShutdownNow => self.fence_broker(broker, records),
                BrokerState::Unfenced => self.unfence_broker(broker, epoch, records),
                BrokerState::ControlledShutdown => self.begin_controlled_shutdown(broker, epoch, records),
            }
        } else if next == BrokerState::Unfenced && self.sessions.is_gone(broker) {
            // The evidence was wrong: what nobody else could lead is its own again.
            self.update_leaders_and_isrs(None, Some(broker), self.index.leaderless(), records);
        }
        work.stopping = (next == BrokerState::ControlledShutdown).then_some(broker);
        self.sessions.touch(broker, next.is_fenced(), heartbeat.metadata_offset, work.now_ms);
        if self.image.metadata_version().has_directories() {
            self.directories_offline(broker, epoch, &request.offline_log_dirs, records);
        }
        Ok(BrokerHeartbeatResponse::default()
            .with_is_caught_up(heartbeat.metadata_offset >= epoch)
            .with_is_fenced(next.is_fenced())
            .with_should_shut_down(next == BrokerState::ShutdownNow))
    }

    /// Out of every ISR, then fenced. Without effect for a broker that is not registered.
    pub(super) fn fence_broker(&self, broker: i32, records: &mut Vec<MetadataRecord>) {
        let Some(registration) = self.image.brokers.get(&broker) else { return };
        let in_isr = self.index.with_broker_in_isr(broker);
        self.update_leaders_and_isrs(Some(broker), None, in_isr, records);
        records.push(self.fencing_record(broker, registration.epoch, true));
    }

    fn unfence_broker(&self, broker: i32, epoch: i64, records: &mut Vec<MetadataRecord>) {
        records.push(self.fencing_record(broker, epoch, false));
        self.update_leaders_and_isrs(None, Some(broker), self.index.leaderless(), records);
    }

    fn fencing_record(&self, broker_id: i32, broker_epoch: i64, fenced: bool) -> MetadataRecord {
        if self.image.metadata_version().has_registration_changes() {
            let fenced = if fenced { 1 } else { -1 };
            BrokerRegistrationChangeRecord { broker_id, broker_epoch, fenced, ..Default::default() }.into()
        } else if fenced {
            FenceBrokerRecord { id: broker_id, epoch: broker_epoch, ..Default::default() }.into()
        } else {
            UnfenceBrokerRecord { id: broker_id, epoch: broker_epoch, ..Default::default() }.into()
        }
    }

    fn begin_controlled_shutdown(&self, broker: i32, epoch: i64, records: &mut Vec<MetadataRecord>) {
        let already = self.image.brokers.get(&broker).is_some_and(|b| b.in_controlled_shutdown);
        if self.image.metadata_version().has_controlled_shutdown() && !already {
            let record = BrokerRegistrationChangeRecord {
                broker_id: broker,
                broker_epoch: epoch,
                in_controlled_shutdown: 1,
                ..Default::default()
            };
            records.push(record.into());
        }
        let in_isr = self.index.with_broker_in_isr(broker);
        self.update_leaders_and_isrs(Some(broker), None, in_isr, records);
    }

    pub(super) fn allocate_producer_ids(
        &self,
        request: &AllocateProducerIdsRequest,
        records: &mut Vec<MetadataRecord>,
    ) -> Result<AllocateProducerIdsResponse, ApiError> {
        let (broker_id, broker_epoch) = (request.broker_id.0, request.broker_epoch);
        self.check_broker_epoch(broker_id, broker_epoch)?;
        let first = self.image.next_producer_id;
        let next_producer_id = first
            .checked_add(i64::from(PRODUCER_ID_BLOCK_SIZE))
            .ok_or(ApiError::from(ErrorCode::UnknownServerError))?;
        let record = ProducerIdsRecord { broker_id, broker_epoch, next_producer_id, ..Default::default() };
        records.push(record.into());
        Ok(AllocateProducerIdsResponse::default()
            .with_producer_id_start(first.into())
            .with_producer_id_len(PRODUCER_ID_BLOCK_SIZE))
    }
}

/// Whether the request comes from a process that holds every directory of the registered incarnation, which is then
/// dead: a directory is held under an exclusive lock for as long as its process lives. Kafka lets the new process
/// wait for the end of the old one's session; evidence shortens that. Another node under the same id has directories
/// of its own, and one that says nothing of directories (before metadata.version 3.7-IV2) proves nothing.
fn is_heir(registered: &BrokerRegistration, request: &BrokerRegistrationRequest) -> bool {
    let directories = &registered.directories;
    !directories.is_empty() && directories.iter().all(|directory| request.log_dirs.contains(directory))
}
