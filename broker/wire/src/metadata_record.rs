//! The records of `__cluster_metadata`: one table of their fields, one of their keys, and the frame around them.
//!
//! The facts are those of Kafka 3.7's record definitions. Field names are Kafka's own. What a record does to a
//! cluster is the business of `jackdaw-metadata`.

use bytes::{Bytes, BytesMut};
use uuid::Uuid;

use crate::record_codec::{Codec as _, RecordError, Versioned, read_uvarint, record_structs};
use crate::varint;

/// The only frame version there is (`AbstractApiMessageSerde`).
const FRAME_VERSION: u32 = 1;

/// The levels of `metadata.version` that change how a record is written (`MetadataVersion`).
mod level {
    /// 3.3-IV3
    pub const CONTROLLED_SHUTDOWN: i16 = 7;
    /// 3.4-IV0
    pub const ZK_MIGRATION: i16 = 8;
    /// 3.7-IV2
    pub const DIRECTORIES: i16 = 17;
    /// 3.8-IV0, which 3.7 knows and does not offer.
    pub const ELIGIBLE_LEADERS: i16 = 20;
}

record_structs! {
    /// A broker process has registered.
    RegisterBrokerRecord 0..=3 flexible 0 {
        broker_id: i32, since 0;
        is_migrating_zk_broker: bool, since 2;
        incarnation_id: Uuid, since 0;
        /// The offset of this very record.
        broker_epoch: i64, since 0;
        end_points: Vec<BrokerEndpoint>, since 0;
        features: Vec<BrokerFeature>, since 0;
        rack: Option<String>, since 0;
        fenced: bool = true, since 0;
        in_controlled_shutdown: bool, since 1;
        log_dirs: Vec<Uuid>, since 3 tag 0;
    }

    BrokerEndpoint {
        name: String, since 0;
        host: String, since 0;
        port: u16, since 0;
        /// `SecurityProtocol.id`: 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL.
        security_protocol: i16, since 0;
    }

    BrokerFeature {
        name: String, since 0;
        min_supported_version: i16, since 0;
        max_supported_version: i16, since 0;
    }

    /// A broker id is gone for good.
    UnregisterBrokerRecord 0..=0 flexible 0 {
        broker_id: i32, since 0;
        broker_epoch: i64, since 0;
    }

    TopicRecord 0..=0 flexible 0 {
        name: String, since 0;
        topic_id: Uuid, since 0;
    }

    PartitionRecord 0..=2 flexible 0 {
        partition_id: i32 = -1, since 0;
        topic_id: Uuid, since 0;
        /// The first one is the preferred leader.
        replicas: Vec<i32>, since 0;
        isr: Vec<i32>, since 0;
        removing_replicas: Vec<i32>, since 0;
        adding_replicas: Vec<i32>, since 0;
        /// -1: none.
        leader: i32 = -1, since 0;
        /// 0: recovered; 1: recovering from an unclean election.
        leader_recovery_state: i8, since 0 tag 0;
        leader_epoch: i32 = -1, since 0;
        partition_epoch: i32 = -1, since 0;
        /// One per replica, in the order of `replicas`.
        directories: Vec<Uuid>, since 1;
        eligible_leader_replicas: Option<Vec<i32>>, since 2 tag 1;
        last_known_elr: Option<Vec<i32>>, since 2 tag 2;
    }

    ConfigRecord 0..=0 flexible 0 {
        /// `ConfigResource.Type.id`: 2 topic, 4 broker, 8 broker logger, 16 client metrics.
        resource_type: i8, since 0;
        resource_name: String, since 0;
        name: String, since 0;
        /// None deletes it.
        value: Option<String>, since 0;
    }

    /// What changed of a partition; `None` is "as before".
    PartitionChangeRecord 0..=2 flexible 0 {
        partition_id: i32 = -1, since 0;
        topic_id: Uuid, since 0;
        isr: Option<Vec<i32>>, since 0 tag 0;
        /// -2: as before; -1: none.
        leader: i32 = -2, since 0 tag 1;
        replicas: Option<Vec<i32>>, since 0 tag 2;
        removing_replicas: Option<Vec<i32>>, since 0 tag 3;
        adding_replicas: Option<Vec<i32>>, since 0 tag 4;
        /// -1: as before.
        leader_recovery_state: i8 = -1, since 0 tag 5;
        directories: Option<Vec<Uuid>>, since 1 tag 8;
        eligible_leader_replicas: Option<Vec<i32>>, since 2 tag 6;
        last_known_elr: Option<Vec<i32>>, since 2 tag 7;
    }

    /// Fencing as written before metadata.version 6; later `BrokerRegistrationChangeRecord`.
    FenceBrokerRecord 0..=0 flexible 0 {
        id: i32, since 0;
        epoch: i64, since 0;
    }

    /// Unfencing as written before metadata.version 6.
    UnfenceBrokerRecord 0..=0 flexible 0 {
        id: i32, since 0;
        epoch: i64, since 0;
    }

    /// Removes a topic with all its partitions.
    RemoveTopicRecord 0..=0 flexible 0 {
        topic_id: Uuid, since 0;
    }

    DelegationTokenRecord 0..=0 flexible 0 {
        owner: String, since 0;
        requester: String, since 0;
        renewers: Vec<String>, since 0;
        issue_timestamp: i64, since 0;
        max_timestamp: i64, since 0;
        expiration_timestamp: i64, since 0;
        token_id: String, since 0;
    }

    UserScramCredentialRecord 0..=0 flexible 0 {
        name: String, since 0;
        mechanism: i8, since 0;
        salt: Bytes, since 0;
        stored_key: Bytes, since 0;
        server_key: Bytes, since 0;
        iterations: i32, since 0;
    }

    /// A finalized feature. `metadata.version` is the first record of every log and snapshot, so its version is 0 for ever.
    FeatureLevelRecord 0..=0 flexible 0 {
        name: String, since 0;
        /// 0 removes the feature.
        feature_level: i16, since 0;
    }

    ClientQuotaRecord 0..=0 flexible 0 {
        entity: Vec<EntityData>, since 0;
        key: String, since 0;
        value: f64, since 0;
        remove: bool, since 0;
    }

    EntityData {
        entity_type: String, since 0;
        /// None: the default entity of this type.
        entity_name: Option<String>, since 0;
    }

    ProducerIdsRecord 0..=0 flexible 0 {
        broker_id: i32, since 0;
        broker_epoch: i64 = -1, since 0;
        /// The first id that nobody has been given.
        next_producer_id: i64, since 0;
    }

    BrokerRegistrationChangeRecord 0..=2 flexible 0 {
        broker_id: i32, since 0;
        broker_epoch: i64, since 0;
        /// -1: unfenced; 0: as before; 1: fenced.
        fenced: i8, since 0 tag 0;
        /// 0: as before; 1: stopping.
        in_controlled_shutdown: i8, since 1 tag 1;
        /// Empty: as before.
        log_dirs: Vec<Uuid>, since 2 tag 2;
    }

    AccessControlEntryRecord 0..=0 flexible 0 {
        id: Uuid, since 0;
        resource_type: i8, since 0;
        resource_name: String, since 0;
        pattern_type: i8, since 0;
        principal: String, since 0;
        host: String, since 0;
        operation: i8, since 0;
        permission_type: i8, since 0;
    }

    RemoveAccessControlEntryRecord 0..=0 flexible 0 {
        id: Uuid, since 0;
    }

    /// Keeps the log and its observers moving where nothing happens.
    NoOpRecord 0..=0 flexible 0 {}

    ZkMigrationStateRecord 0..=0 flexible 0 {
        /// 0: none, which is all a cluster that never knew ZooKeeper writes.
        zk_migration_state: i8, since 0;
    }

    RemoveUserScramCredentialRecord 0..=0 flexible 0 {
        name: String, since 0;
        mechanism: i8, since 0;
    }

    /// The records up to the end marker are one change, though more than one batch (KIP-868).
    BeginTransactionRecord 0..=0 flexible 0 {
        name: Option<String>, since 0 tag 0;
    }

    EndTransactionRecord 0..=0 flexible 0 {}

    AbortTransactionRecord 0..=0 flexible 0 {
        reason: Option<String>, since 0 tag 0;
    }

    RemoveDelegationTokenRecord 0..=0 flexible 0 {
        token_id: String, since 0;
    }

    /// A controller process has registered (KIP-919).
    RegisterControllerRecord 0..=0 flexible 0 {
        controller_id: i32, since 0;
        incarnation_id: Uuid, since 0;
        zk_migration_ready: bool, since 0;
        end_points: Vec<ControllerEndpoint>, since 0;
        features: Vec<ControllerFeature>, since 0;
    }

    ControllerEndpoint {
        name: String, since 0;
        host: String, since 0;
        port: u16, since 0;
        /// `SecurityProtocol.id`, as of a broker.
        security_protocol: i16, since 0;
    }

    ControllerFeature {
        name: String, since 0;
        min_supported_version: i16, since 0;
        max_supported_version: i16, since 0;
    }
}

macro_rules! metadata_records {
    ($($key:literal $variant:ident: $record:ident;)*) => {
        /// A record of the metadata log.
        #[derive(Debug, Clone, PartialEq)]
        pub enum MetadataRecord {
            $($variant($record),)*
        }

        impl MetadataRecord {
            /// The key that says which record this is.
            pub const fn key(&self) -> u32 {
                match self { $(Self::$variant(_) => $key,)* }
            }

            /// The name in Kafka's record definitions.
            pub const fn name(&self) -> &'static str {
                match self { $(Self::$variant(_) => <$record as Versioned>::NAME,)* }
            }

            fn fields_json(&self, out: &mut String, version: i16) -> Result<(), RecordError> {
                match self { $(Self::$variant(record) => record.json(out, $record::shape(version)?),)* }
                Ok(())
            }

            fn write_fields(&self, out: &mut BytesMut, version: i16) -> Result<(), RecordError> {
                match self { $(Self::$variant(record) => record.write_version(out, version),)* }
            }

            fn read_fields(key: u32, version: i16, input: &mut Bytes) -> Result<Self, RecordError> {
                match key {
                    $($key => $record::read_version(input, version).map(Self::$variant),)*
                    unknown => Err(RecordError::UnknownRecordType(unknown)),
                }
            }

            /// One of each kind, with default fields. For tests of whoever must handle all of them.
            pub fn one_of_each() -> Vec<Self> {
                vec![$(Self::$variant($record::default()),)*]
            }

            /// The versions that a kind of record has.
            pub const fn versions(&self) -> std::ops::RangeInclusive<i16> {
                match self {
                    $(Self::$variant(_) => <$record as Versioned>::MIN_VERSION..=<$record as Versioned>::MAX_VERSION,)*
                }
            }
        }

        $(impl From<$record> for MetadataRecord {
            fn from(record: $record) -> Self {
                Self::$variant(record)
            }
        })*
    };
}

metadata_records! {
    0 RegisterBroker: RegisterBrokerRecord;
    1 UnregisterBroker: UnregisterBrokerRecord;
    2 Topic: TopicRecord;
    3 Partition: PartitionRecord;
    4 Config: ConfigRecord;
    5 PartitionChange: PartitionChangeRecord;
    7 FenceBroker: FenceBrokerRecord;
    8 UnfenceBroker: UnfenceBrokerRecord;
    9 RemoveTopic: RemoveTopicRecord;
    10 DelegationToken: DelegationTokenRecord;
    11 UserScramCredential: UserScramCredentialRecord;
    12 FeatureLevel: FeatureLevelRecord;
    14 ClientQuota: ClientQuotaRecord;
    15 ProducerIds: ProducerIdsRecord;
    17 BrokerRegistrationChange: BrokerRegistrationChangeRecord;
    18 AccessControlEntry: AccessControlEntryRecord;
    19 RemoveAccessControlEntry: RemoveAccessControlEntryRecord;
    20 NoOp: NoOpRecord;
    21 ZkMigrationState: ZkMigrationStateRecord;
    22 RemoveUserScramCredential: RemoveUserScramCredentialRecord;
    23 BeginTransaction: BeginTransactionRecord;
    24 EndTransaction: EndTransactionRecord;
    25 AbortTransaction: AbortTransactionRecord;
    26 RemoveDelegationToken: RemoveDelegationTokenRecord;
    27 RegisterController: RegisterControllerRecord;
}

impl MetadataRecord {
    /// The version that Kafka 3.7 writes this record in, under a `metadata.version`. It follows the level, save for
    /// `BrokerRegistrationChangeRecord`, which takes the lowest version that holds what it says
    /// (`ClusterControlManager`, `ReplicationControlManager`).
    pub fn highest_version_for(&self, metadata_version: i16) -> i16 {
        match self {
            Self::RegisterBroker(_) => match metadata_version {
                level::DIRECTORIES.. => 3,
                level::ZK_MIGRATION.. => 2,
                level::CONTROLLED_SHUTDOWN.. => 1,
                _ => 0,
            },
            Self::Partition(_) | Self::PartitionChange(_) => match metadata_version {
                level::ELIGIBLE_LEADERS.. => 2,
                level::DIRECTORIES.. => 1,
                _ => 0,
            },
            Self::BrokerRegistrationChange(record) => {
                if !record.log_dirs.is_empty() {
                    2
                } else {
                    i16::from(record.in_controlled_shutdown != 0)
                }
            }
            _ => 0,
        }
    }

    /// The value of a log record: frame version, key, version, fields.
    pub fn encode(&self, version: i16) -> Result<Bytes, RecordError> {
        let mut out = BytesMut::with_capacity(64);
        self.encode_into(&mut out, version)?;
        Ok(out.freeze())
    }

    /// [`MetadataRecord::encode`] into a buffer of the caller's. What it holds after an error is not a record.
    pub fn encode_into(&self, out: &mut BytesMut, version: i16) -> Result<(), RecordError> {
        varint::put_u32(out, FRAME_VERSION);
        varint::put_u32(out, self.key());
        // A version out of range is refused by the fields right below.
        varint::put_u32(out, version.max(0) as u32);
        self.write_fields(out, version)
    }

    /// As `kafka-dump-log.sh --cluster-metadata-decoder` shows it.
    pub fn to_json(&self, version: i16) -> Result<String, RecordError> {
        let mut kind = String::new();
        for letter in self.name().chars() {
            if letter.is_ascii_uppercase() && !kind.is_empty() {
                kind.push('_');
            }
            kind.push(letter.to_ascii_uppercase());
        }
        let mut json = format!(r#"{{"type":"{kind}","version":{version},"data":"#);
        self.fields_json(&mut json, version)?;
        json.push('}');
        Ok(json)
    }

    /// Reads the value of a log record.
    pub fn decode(value: Bytes) -> Result<Self, RecordError> {
        Self::decode_versioned(value).map(|(record, _)| record)
    }

    /// Reads the value of a log record, and tells the version it was written in.
    pub fn decode_versioned(mut value: Bytes) -> Result<(Self, i16), RecordError> {
        match read_uvarint(&mut value)? {
            FRAME_VERSION => {}
            unknown => return Err(RecordError::UnknownFrameVersion(unknown)),
        }
        let key = read_uvarint(&mut value)?;
        let version = read_uvarint(&mut value)?;
        let version = i16::try_from(version).map_err(|_| RecordError::BadLength(i64::from(version)))?;
        Ok((Self::read_fields(key, version, &mut value)?, version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_shown_as_kafkas_tool_shows_them() {
        let topic = TopicRecord { name: "t\"".into(), topic_id: Uuid::from_u128(1), ..Default::default() };
        assert_eq!(
            MetadataRecord::from(topic).to_json(0).unwrap(),
            r#"{"type":"TOPIC_RECORD","version":0,"data":{"name":"t\"","topicId":"AAAAAAAAAAAAAAAAAAAAAQ"}}"#
        );
        let change = PartitionChangeRecord { partition_id: 3, isr: Some(vec![1, 2]), ..Default::default() };
        assert_eq!(
            MetadataRecord::from(change).to_json(0).unwrap(),
            r#"{"type":"PARTITION_CHANGE_RECORD","version":0,"data":{"partitionId":3,"topicId":"AAAAAAAAAAAAAAAAAAAAAA","isr":[1,2]}}"#
        );
        assert!(MetadataRecord::one_of_each().iter().all(|record| record.to_json(0).is_ok()));
    }
}
