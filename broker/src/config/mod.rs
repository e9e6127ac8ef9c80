//! `server.properties` to a typed [`Config`]: every key that Kafka 3.7 knows, its defaults and its refusals.
//!
//! Must not read the environment, open sockets or touch log folders: a configuration is data.

mod build;
pub mod dynamic;
pub mod groups;
pub mod keys;
pub mod listeners;
pub mod schema;
mod validate;
pub(crate) mod values;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use jackdaw_groups::ConsumerConfig;
use jackdaw_log::TopicConfigs;
use jackdaw_wire::api::Extras;
use jackdaw_wire::compression::Compression;

use crate::net::HostPort;
use groups::GroupRules;
pub use values::{Problem, Values};

/// What a node needs to know before it starts, in Kafka's terms; durations are milliseconds, sizes bytes.
#[derive(Clone, Debug)]
pub struct Config {
    pub node_id: i32,
    pub roles: Roles,
    /// `controller.quorum.voters`, in the order of the file.
    pub voters: Vec<Voter>,
    /// Every listener that this node opens, those of the controller included.
    pub listeners: Vec<Listener>,
    /// What is told to clients and peers; never a controller listener.
    pub advertised_listeners: Vec<Listener>,
    /// Names of the listeners on which controllers are reached; the first is used to reach them.
    pub controller_listener_names: Vec<Arc<str>>,
    /// Name of the listener on which brokers reach each other.
    pub inter_broker_listener_name: Arc<str>,
    pub rack: Option<String>,
    pub log_dirs: Vec<PathBuf>,
    pub metadata_log_dir: PathBuf,
    pub network: NetworkConfig,
    pub quorum: QuorumConfig,
    pub metadata_log: MetadataLogConfig,
    pub lifecycle: LifecycleConfig,
    pub replication: ReplicationConfig,
    pub storage: StorageConfig,
    pub topics: TopicsConfig,
    pub groups: GroupsConfig,
    pub transactions: TransactionsConfig,
    pub producers: ProducersConfig,
    /// The broker's values of all topic-level settings, under their topic-level names.
    pub topic_defaults: TopicConfigs,
    /// Of these, what the file sets.
    pub topic_overrides: BTreeMap<String, String>,
    /// Feature level of metadata.version for a cluster that is started for the first time.
    pub bootstrap_metadata_version: i16,
    /// The settings as they were read, for DescribeConfigs.
    pub values: Arc<Values>,
}

/// `process.roles`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roles {
    pub broker: bool,
    pub controller: bool,
}

/// One entry of `controller.quorum.voters`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voter {
    pub id: i32,
    pub address: HostPort,
}

/// A listener, bound or advertised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Upper case, as Kafka normalises it.
    pub name: Arc<str>,
    /// Empty: all interfaces (of a bound listener), the canonical host name (of an advertised one).
    pub host: String,
    pub port: u16,
    /// Name of the security protocol; only PLAINTEXT is served.
    pub security_protocol: Arc<str>,
}

/// What a listener has of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListenerLimits {
    pub max_connections: Option<i32>,
    pub max_connection_creation_rate: Option<i32>,
}

#[derive(Clone, Debug)]
pub struct NetworkConfig {
    pub request_max_bytes: i32,
    /// None unless set: at Kafka's default the system tunes the size, which no fixed one matches.
    pub send_buffer_bytes: Option<i32>,
    /// As above.
    pub receive_buffer_bytes: Option<i32>,
    pub listen_backlog: i32,
    pub max_connections: i32,
    pub max_connections_per_ip: i32,
    pub max_connections_per_ip_overrides: BTreeMap<String, i32>,
    /// New connections per second, over windows of these.
    pub max_connection_creation_rate: i32,
    pub quota_window_num: i32,
    pub quota_window_size_seconds: i32,
    /// `listener.name.{name}.*`, by the name in small letters.
    pub listener_limits: BTreeMap<String, ListenerLimits>,
    pub connections_max_idle_ms: i64,
    /// `queued.max.request.bytes`; -1 means no limit of the operator's.
    pub queued_max_request_bytes: i64,
    pub request_timeout_ms: i32,
    pub controller_socket_timeout_ms: i32,
}

#[derive(Clone, Debug)]
pub struct QuorumConfig {
    pub election_timeout_ms: i32,
    pub fetch_timeout_ms: i32,
    pub election_backoff_max_ms: i32,
    pub linger_ms: i32,
    pub request_timeout_ms: i32,
    pub retry_backoff_ms: i32,
}

#[derive(Clone, Debug)]
pub struct MetadataLogConfig {
    pub segment_bytes: i32,
    pub segment_ms: i64,
    pub segment_min_bytes: i32,
    pub max_retention_bytes: i64,
    pub max_retention_ms: i64,
    pub max_bytes_between_snapshots: i64,
    pub max_snapshot_interval_ms: i64,
    /// Pause after which the active controller writes a `NoOpRecord`; 0 turns it off.
    pub max_idle_interval_ms: i32,
}

#[derive(Clone, Debug)]
pub struct LifecycleConfig {
    pub heartbeat_interval_ms: i32,
    pub session_timeout_ms: i32,
    pub initial_registration_timeout_ms: i32,
    pub controlled_shutdown_enable: bool,
}

#[derive(Clone, Debug)]
pub struct ReplicationConfig {
    pub lag_time_max_ms: i64,
    pub socket_timeout_ms: i32,
    /// Per partition.
    pub fetch_max_bytes: i32,
    pub fetch_wait_max_ms: i32,
    pub fetch_min_bytes: i32,
    pub fetch_response_max_bytes: i32,
    pub fetch_backoff_ms: i32,
    pub high_watermark_checkpoint_interval_ms: i64,
    pub auto_leader_rebalance_enable: bool,
    pub leader_imbalance_check_interval_seconds: i64,
    /// `replica.selector.class` is the rack-aware one (KIP-392).
    pub rack_aware_reads: bool,
    pub max_incremental_fetch_session_cache_slots: i32,
    /// Largest Fetch reply to a client.
    pub consumer_fetch_max_bytes: i32,
}

#[derive(Clone, Debug)]
pub struct StorageConfig {
    pub retention_check_interval_ms: i64,
    pub flush_scheduler_interval_ms: i64,
    pub flush_offset_checkpoint_interval_ms: i32,
    pub flush_start_offset_checkpoint_interval_ms: i32,
    pub num_recovery_threads_per_data_dir: i32,
    pub cleaner: CleanerConfig,
}

/// `log.cleaner.*`, without the defaults of topics among them.
#[derive(Clone, Debug, PartialEq)]
pub struct CleanerConfig {
    pub enable: bool,
    pub threads: i32,
    /// Of all threads together, as the next one.
    pub dedupe_buffer_bytes: i64,
    pub io_buffer_bytes: i32,
    pub load_factor: f64,
    pub max_bytes_per_second: f64,
    pub backoff_ms: i64,
}

#[derive(Clone, Debug)]
pub struct TopicsConfig {
    pub num_partitions: i32,
    pub default_replication_factor: i32,
    pub auto_create_enable: bool,
    pub delete_enable: bool,
    pub offsets_topic_partitions: i32,
    pub offsets_topic_replication_factor: i16,
    pub offsets_topic_segment_bytes: i32,
    pub transactions_topic_partitions: i32,
    pub transactions_topic_replication_factor: i16,
    pub transactions_topic_min_isr: i32,
    pub transactions_topic_segment_bytes: i32,
}

/// Groups and their offsets; the topic they live in is among [`TopicsConfig`].
#[derive(Clone, Debug)]
pub struct GroupsConfig {
    pub min_session_timeout_ms: i32,
    pub max_session_timeout_ms: i32,
    pub initial_rebalance_delay_ms: i32,
    pub max_size: i32,
    /// `offset.metadata.max.bytes`, which Kafka counts in characters.
    pub max_metadata_length: i32,
    pub load_buffer_bytes: i32,
    pub compression: Compression,
    pub retention_minutes: i32,
    pub retention_check_interval_ms: i64,
    pub commit_timeout_ms: i32,
    pub commit_required_acks: i16,
    /// Groups of the consumer protocol (KIP-848).
    pub consumer: ConsumerConfig,
    /// What may be set on single ones of them.
    pub rules: GroupRules,
}

impl GroupsConfig {
    /// What is served beyond 3.7.0's APIs on their account.
    pub fn extras(&self) -> Extras {
        Extras { group_version: self.consumer.enabled, consumer_groups: self.consumer.enabled }
    }
}

/// What logs know of producers (`ProducerStateManagerConfig`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducersConfig {
    pub id_expiration_ms: i32,
    pub id_expiration_check_interval_ms: i32,
    /// `transaction.partition.verification.enable`
    pub verify_transactions: bool,
}

/// `transaction.*`
#[derive(Clone, Debug)]
pub struct TransactionsConfig {
    pub max_timeout_ms: i32,
    pub id_expiration_ms: i32,
    pub load_buffer_bytes: i32,
    pub abort_interval_ms: i32,
    pub expire_interval_ms: i32,
}

impl Config {
    pub fn is_controller_listener(&self, name: &str) -> bool {
        self.controller_listener_names.iter().any(|n| &**n == name)
    }

    pub fn voter(&self, id: i32) -> Option<&Voter> {
        self.voters.iter().find(|v| v.id == id)
    }
}

#[cfg(test)]
mod tests;
