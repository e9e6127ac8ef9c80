//! The APIs of Apache Kafka 3.7.0: one table of keys, version ranges, listeners and what of them is built here.
//!
//! Ranges and listeners are those of 3.7.0's own message definitions (`validVersions`, `listeners`), the
//! `forwarded` mark is `ApiKeys.forwardable`. What is served beyond 3.7.0 where a setting asks for it is in a table of
//! its own ([`Extras`]). Nothing else in the project may know a version range.

use kafka_protocol::messages::ApiKey;

/// Which kind of listener a request came in on (`ApiMessageType.ListenerType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// A listener for clients and other brokers.
    Broker,
    /// A listener of `controller.listener.names`.
    Controller,
}

/// A set of scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scopes {
    pub broker: bool,
    pub controller: bool,
}

impl Scopes {
    pub const fn has(self, scope: Scope) -> bool {
        match scope {
            Scope::Broker => self.broker,
            Scope::Controller => self.controller,
        }
    }
}

const NOWHERE: Scopes = Scopes { broker: false, controller: false };
const BROKER: Scopes = Scopes { broker: true, controller: false };
const CONTROLLER: Scopes = Scopes { broker: false, controller: true };
const BOTH: Scopes = Scopes { broker: true, controller: true };
/// No version is flexible.
const NEVER: i16 = i16::MAX;

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Api {
    pub key: ApiKey,
    /// The name in Kafka's message definitions, without `Request`.
    pub name: &'static str,
    pub min_version: i16,
    pub max_version: i16,
    /// The first flexible version (KIP-482); `i16::MAX` if there is none.
    pub flexible_from: i16,
    /// Where 3.7.0 offers it in KRaft mode.
    pub scopes: Scopes,
    /// Where it is answered here. Only this is advertised.
    pub built: Scopes,
    /// Whether brokers pass it on to the active controller in an Envelope (`ApiKeys.forwardable`).
    pub forwarded: bool,
}

impl Api {
    /// Whether 3.7.0 has this version.
    pub const fn has_version(&self, version: i16) -> bool {
        version >= self.min_version && version <= self.max_version
    }

    pub const fn is_flexible(&self, version: i16) -> bool {
        version >= self.flexible_from
    }

    /// Request header version: 2 for flexible versions, else 1; version 0 of ControlledShutdown has no client id.
    pub const fn request_header_version(&self, version: i16) -> i16 {
        if matches!(self.key, ApiKey::ControlledShutdown) && version == 0 {
            0
        } else if self.is_flexible(version) {
            2
        } else {
            1
        }
    }

    /// Response header version: 1 for flexible versions, else 0; ApiVersions is always 0, as a client that asked
    /// in a version unknown here must still be able to read the answer (KIP-511).
    pub const fn response_header_version(&self, version: i16) -> i16 {
        if matches!(self.key, ApiKey::ApiVersions) || !self.is_flexible(version) { 0 } else { 1 }
    }
}

macro_rules! apis {
    ($($key:literal $name:ident $min:literal..=$max:literal flexible $flexible:tt in $scopes:ident built $built:ident $forward:ident;)*) => {
        /// Every API of 3.7.0, in the order of keys, which is the order of an ApiVersions reply.
        pub const APIS: &[Api] = &[$(Api {
            key: ApiKey::$name,
            name: stringify!($name),
            min_version: $min,
            max_version: $max,
            flexible_from: $flexible,
            scopes: $scopes,
            built: $built,
            forwarded: apis!(@ $forward),
        }),*];
        // The number is written beside each name for the reader; it must be true.
        const _: () = { $(assert!(ApiKey::$name as i16 == $key);)* };
    };
    (@ forwarded) => { true };
    (@ local) => { false };
}

// `in NOWHERE`: LeaderAndIsr, StopReplica and UpdateMetadata belong to ZooKeeper mode; ConsumerGroupDescribe is
// unstable in 3.7.0; the telemetry APIs are offered only with a metrics reporter that receives telemetry.
apis! {
     0 Produce 0..=10 flexible 9 in BROKER built BROKER local;
     1 Fetch 0..=16 flexible 12 in BOTH built BOTH local;
     2 ListOffsets 0..=8 flexible 6 in BROKER built BROKER local;
     3 Metadata 0..=12 flexible 9 in BROKER built BROKER local;
     4 LeaderAndIsr 0..=7 flexible 4 in NOWHERE built NOWHERE local;
     5 StopReplica 0..=4 flexible 2 in NOWHERE built NOWHERE local;
     6 UpdateMetadata 0..=8 flexible 6 in NOWHERE built NOWHERE local;
     7 ControlledShutdown 0..=3 flexible 3 in CONTROLLER built CONTROLLER local;
     8 OffsetCommit 0..=9 flexible 8 in BROKER built BROKER local;
     9 OffsetFetch 0..=9 flexible 6 in BROKER built BROKER local;
    10 FindCoordinator 0..=4 flexible 3 in BROKER built BROKER local;
    11 JoinGroup 0..=9 flexible 6 in BROKER built BROKER local;
    12 Heartbeat 0..=4 flexible 4 in BROKER built BROKER local;
    13 LeaveGroup 0..=5 flexible 4 in BROKER built BROKER local;
    14 SyncGroup 0..=5 flexible 4 in BROKER built BROKER local;
    15 DescribeGroups 0..=5 flexible 5 in BROKER built BROKER local;
    16 ListGroups 0..=4 flexible 3 in BROKER built BROKER local;
    17 SaslHandshake 0..=1 flexible NEVER in BOTH built NOWHERE local;
    18 ApiVersions 0..=3 flexible 3 in BOTH built BOTH local;
    19 CreateTopics 0..=7 flexible 5 in BOTH built BOTH forwarded;
    20 DeleteTopics 0..=6 flexible 4 in BOTH built BOTH forwarded;
    21 DeleteRecords 0..=2 flexible 2 in BROKER built BROKER local;
    22 InitProducerId 0..=4 flexible 2 in BROKER built BROKER local;
    23 OffsetForLeaderEpoch 0..=4 flexible 4 in BROKER built BROKER local;
    24 AddPartitionsToTxn 0..=4 flexible 3 in BROKER built BROKER local;
    25 AddOffsetsToTxn 0..=3 flexible 3 in BROKER built BROKER local;
    26 EndTxn 0..=3 flexible 3 in BROKER built BROKER local;
    27 WriteTxnMarkers 0..=1 flexible 1 in BROKER built BROKER local;
    28 TxnOffsetCommit 0..=3 flexible 3 in BROKER built BROKER local;
    29 DescribeAcls 0..=3 flexible 2 in BOTH built NOWHERE local;
    30 CreateAcls 0..=3 flexible 2 in BOTH built NOWHERE forwarded;
    31 DeleteAcls 0..=3 flexible 2 in BOTH built NOWHERE forwarded;
    32 DescribeConfigs 0..=4 flexible 4 in BOTH built BOTH local;
    33 AlterConfigs 0..=2 flexible 2 in BOTH built BOTH forwarded;
    34 AlterReplicaLogDirs 0..=2 flexible 2 in BROKER built NOWHERE local;
    35 DescribeLogDirs 0..=4 flexible 2 in BROKER built BROKER local;
    36 SaslAuthenticate 0..=2 flexible 2 in BOTH built NOWHERE local;
    37 CreatePartitions 0..=3 flexible 2 in BOTH built BOTH forwarded;
    38 CreateDelegationToken 0..=3 flexible 2 in BOTH built NOWHERE forwarded;
    39 RenewDelegationToken 0..=2 flexible 2 in BOTH built NOWHERE forwarded;
    40 ExpireDelegationToken 0..=2 flexible 2 in BOTH built NOWHERE forwarded;
    41 DescribeDelegationToken 0..=3 flexible 2 in BOTH built NOWHERE local;
    42 DeleteGroups 0..=2 flexible 2 in BROKER built BROKER local;
    43 ElectLeaders 0..=2 flexible 2 in BOTH built BOTH forwarded;
    44 IncrementalAlterConfigs 0..=1 flexible 1 in BOTH built BOTH forwarded;
    45 AlterPartitionReassignments 0..=0 flexible 0 in BOTH built BOTH forwarded;
    46 ListPartitionReassignments 0..=0 flexible 0 in BOTH built BOTH forwarded;
    47 OffsetDelete 0..=0 flexible NEVER in BROKER built BROKER local;
    48 DescribeClientQuotas 0..=1 flexible 1 in BROKER built NOWHERE local;
    49 AlterClientQuotas 0..=1 flexible 1 in BOTH built NOWHERE forwarded;
    50 DescribeUserScramCredentials 0..=0 flexible 0 in BOTH built NOWHERE local;
    51 AlterUserScramCredentials 0..=0 flexible 0 in BOTH built NOWHERE forwarded;
    52 Vote 0..=0 flexible 0 in CONTROLLER built CONTROLLER local;
    53 BeginQuorumEpoch 0..=0 flexible NEVER in CONTROLLER built CONTROLLER local;
    54 EndQuorumEpoch 0..=0 flexible NEVER in CONTROLLER built CONTROLLER local;
    55 DescribeQuorum 0..=1 flexible 0 in BOTH built BOTH forwarded;
    56 AlterPartition 0..=3 flexible 0 in CONTROLLER built CONTROLLER local;
    57 UpdateFeatures 0..=1 flexible 0 in BOTH built BOTH forwarded;
    58 Envelope 0..=0 flexible 0 in CONTROLLER built CONTROLLER local;
    59 FetchSnapshot 0..=0 flexible 0 in CONTROLLER built CONTROLLER local;
    60 DescribeCluster 0..=1 flexible 0 in BOTH built BOTH local;
    61 DescribeProducers 0..=0 flexible 0 in BROKER built BROKER local;
    62 BrokerRegistration 0..=3 flexible 0 in CONTROLLER built CONTROLLER local;
    63 BrokerHeartbeat 0..=1 flexible 0 in CONTROLLER built CONTROLLER local;
    64 UnregisterBroker 0..=0 flexible 0 in BOTH built BOTH forwarded;
    65 DescribeTransactions 0..=0 flexible 0 in BROKER built BROKER local;
    66 ListTransactions 0..=0 flexible 0 in BROKER built BROKER local;
    67 AllocateProducerIds 0..=0 flexible 0 in CONTROLLER built CONTROLLER forwarded;
    68 ConsumerGroupHeartbeat 0..=0 flexible 0 in BROKER built NOWHERE local;
    69 ConsumerGroupDescribe 0..=0 flexible 0 in NOWHERE built NOWHERE local;
    70 ControllerRegistration 0..=0 flexible 0 in CONTROLLER built CONTROLLER local;
    71 GetTelemetrySubscriptions 0..=0 flexible 0 in NOWHERE built NOWHERE local;
    72 PushTelemetry 0..=0 flexible 0 in NOWHERE built NOWHERE local;
    73 AssignReplicasToDirs 0..=0 flexible 0 in CONTROLLER built CONTROLLER local;
    74 ListClientMetricsResources 0..=0 flexible 0 in BROKER built NOWHERE local;
}

/// The row of an API key from the wire; none if 3.7.0 does not know the key.
pub fn find(key: i16) -> Option<&'static Api> {
    // Keys are dense from 0, which `keys_are_dense` checks.
    usize::try_from(key).ok().and_then(|index| APIS.get(index))
}

/// The row of an API. Keys that 3.7.0 does not have are not in the table.
pub fn of(key: ApiKey) -> Option<&'static Api> {
    find(key as i16)
}

/// What an ApiVersions reply lists on this kind of listener without further settings: all of 3.7.0's range, or nothing
/// at all.
pub fn advertised(scope: Scope) -> impl Iterator<Item = &'static Api> {
    APIS.iter().filter(move |api| api.built.has(scope))
}

/// What a node serves beyond 3.7.0, because its settings say so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extras {
    /// The feature that groups of the consumer protocol are switched by (`group.version` of 4.x).
    pub group_version: bool,
    /// Groups of the consumer protocol (KIP-848), as 4.1.0 has them.
    pub consumer_groups: bool,
}

/// With the feature: the last version of the API that tells of it. Older ones cannot tell of a feature that may be at 0
/// (KAFKA-17492).
const WITH_GROUP_VERSION: &[(ApiKey, i16)] = &[(ApiKey::ApiVersions, 4)];

/// With groups of the consumer protocol: the last version of each API that speaks of them. Offsets have in 3.7.0
/// already what such members need.
const WITH_CONSUMER_GROUPS: &[(ApiKey, i16)] = &[
    (ApiKey::DescribeGroups, 6),
    (ApiKey::ListGroups, 5),
    (ApiKey::ConsumerGroupHeartbeat, 1),
    (ApiKey::ConsumerGroupDescribe, 1),
];

impl Extras {
    /// The last version that is served of an API here; none where it is not.
    pub fn max_version(self, scope: Scope, api: &Api) -> Option<i16> {
        let with = |has: bool, table: &[(ApiKey, i16)]| {
            let row = table.iter().find(|(key, _)| *key as i16 == api.key as i16);
            row.filter(|_| has).map(|(_, max_version)| *max_version)
        };
        with(self.group_version, WITH_GROUP_VERSION)
            .or_else(|| with(self.consumer_groups && scope == Scope::Broker, WITH_CONSUMER_GROUPS))
            .or_else(|| api.built.has(scope).then_some(api.max_version))
    }

    /// What an ApiVersions reply lists on this kind of listener, each with its last version.
    pub fn advertised(self, scope: Scope) -> impl Iterator<Item = (&'static Api, i16)> {
        APIS.iter().filter_map(move |api| Some((api, self.max_version(scope, api)?)))
    }

    /// Whether a request may be served here: on this kind of listener, in this version. ApiVersions is let through in
    /// any version, as its handler answers UNSUPPORTED_VERSION in version 0 (`ApiKeys.isVersionEnabled`).
    pub fn is_enabled(self, scope: Scope, api: &Api, version: i16) -> bool {
        self.max_version(scope, api).is_some_and(|max_version| {
            matches!(api.key, ApiKey::ApiVersions) || (api.min_version..=max_version).contains(&version)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_dense() {
        for (index, api) in APIS.iter().enumerate() {
            assert_eq!(api.key as usize, index, "{}", api.name);
        }
        assert!(find(-1).is_none() && find(75).is_none());
    }

    #[test]
    fn nothing_is_built_where_the_reference_does_not_offer_it() {
        for api in APIS {
            for scope in [Scope::Broker, Scope::Controller] {
                assert!(!api.built.has(scope) || api.scopes.has(scope), "{} on {scope:?}", api.name);
            }
        }
    }

    #[test]
    fn header_versions_agree_with_the_message_definitions() {
        for api in APIS {
            for version in api.min_version..=api.max_version {
                let name = api.name;
                assert_eq!(
                    api.request_header_version(version),
                    api.key.request_header_version(version),
                    "{name} {version}"
                );
                assert_eq!(
                    api.response_header_version(version),
                    api.key.response_header_version(version),
                    "{name} {version}"
                );
            }
        }
    }

    #[test]
    fn api_versions_is_answered_in_any_version_and_others_in_theirs() {
        let is_enabled = |scope, key, version| Extras::default().is_enabled(scope, of(key).unwrap(), version);
        assert!(is_enabled(Scope::Broker, ApiKey::ApiVersions, 99));
        assert!(is_enabled(Scope::Broker, ApiKey::Produce, 0));
        assert!(!is_enabled(Scope::Broker, ApiKey::Produce, 11));
        assert!(!is_enabled(Scope::Controller, ApiKey::Produce, 3));
        assert!(!is_enabled(Scope::Broker, ApiKey::Vote, 0));
    }

    #[test]
    fn groups_of_the_consumer_protocol_are_advertised_only_where_they_are_served() {
        let plain: Vec<_> =
            Extras::default().advertised(Scope::Broker).map(|(api, max)| (api.name, max)).collect();
        let table: Vec<_> = advertised(Scope::Broker).map(|api| (api.name, api.max_version)).collect();
        assert_eq!(plain, table);
        let of_controllers: Vec<_> =
            advertised(Scope::Controller).map(|api| (api.name, api.max_version)).collect();
        let more = |extras: Extras, scope: Scope| -> Vec<_> {
            let told = extras.advertised(scope).map(|(api, max)| (api.name, max));
            told.filter(|one| !plain.contains(one) && !of_controllers.contains(one)).collect()
        };
        let feature = Extras { group_version: true, consumer_groups: false };
        assert_eq!(more(feature, Scope::Broker), [("ApiVersions", 4)]);
        let extras = Extras { group_version: true, consumer_groups: true };
        assert_eq!(
            more(extras, Scope::Broker),
            [
                ("DescribeGroups", 6),
                ("ListGroups", 5),
                ("ApiVersions", 4),
                ("ConsumerGroupHeartbeat", 1),
                ("ConsumerGroupDescribe", 1)
            ]
        );
        assert_eq!(more(extras, Scope::Controller), [("ApiVersions", 4)]);
    }
}
