//! `server.properties` to a typed [`Config`]: every key that Kafka 3.7 knows, its defaults and its refusals.
//!
//! Must not read the environment, open sockets or touch log folders: a configuration is data.
//!
//! Fields are seen by the broker alone, unless the harness reads them: so the compiler tells of a setting that is parsed
//! and that nobody reads.

mod build;
pub mod dynamic;
pub mod groups;
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

use groups::GroupRules;
pub use jackdaw_settings::listeners::{self, Listener, Voter};
pub use values::{Problem, Values};

/// What a node needs to know before it starts, in Kafka's terms; durations are milliseconds, sizes bytes.
#[derive(Clone, Debug)]
pub struct Config {
    pub node_id: i32,
    pub roles: Roles,
    /// `controller.quorum.voters`, in the order of the file.
    pub(crate) voters: Vec<Voter>,
    /// Every listener that this node opens, those of the controller included.
    pub listeners: Vec<Listener>,
    /// What is told to clients and peers; never a controller listener.
    pub(crate) advertised_listeners: Vec<Listener>,
    /// Names of the listeners on which controllers are reached; the first is used to reach them.
    pub controller_listener_names: Vec<Arc<str>>,
    /// Name of the listener on which brokers reach each other.
    pub(crate) inter_broker_listener_name: Arc<str>,
    pub(crate) rack: Option<String>,
    pub(crate) log_dirs: Vec<PathBuf>,
    pub(crate) metadata_log_dir: PathBuf,
    pub(crate) network: NetworkConfig,
    pub(crate) quorum: QuorumConfig,
    pub(crate) metadata_log: MetadataLogConfig,
    pub(crate) lifecycle: LifecycleConfig,
    pub(crate) replication: ReplicationConfig,
    pub(crate) storage: StorageConfig,
    pub(crate) topics: TopicsConfig,
    pub(crate) groups: GroupsConfig,
    pub(crate) transactions: TransactionsConfig,
    pub(crate) producers: ProducersConfig,
    /// The broker's values of all topic-level settings, under their topic-level names.
    pub(crate) topic_defaults: TopicConfigs,
    /// Of these, what the file sets.
    pub(crate) topic_overrides: BTreeMap<String, String>,
    /// Feature level of metadata.version for a cluster that is started for the first time.
    pub(crate) bootstrap_metadata_version: i16,
    /// The settings as they were read, for DescribeConfigs.
    pub(crate) values: Arc<Values>,
}

/// `process.roles`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roles {
    pub broker: bool,
    pub controller: bool,
}

/// What a listener has of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListenerLimits {
    pub(crate) max_connections: Option<i32>,
    pub(crate) max_connection_creation_rate: Option<i32>,
}

#[derive(Clone, Debug)]
pub struct NetworkConfig {
    pub(crate) request_max_bytes: i32,
    /// None unless set: at Kafka's default the system tunes the size, which no fixed one matches.
    pub(crate) send_buffer_bytes: Option<i32>,
    /// As above.
    pub(crate) receive_buffer_bytes: Option<i32>,
    pub(crate) listen_backlog: i32,
    pub(crate) max_connections: i32,
    pub(crate) max_connections_per_ip: i32,
    pub(crate) max_connections_per_ip_overrides: BTreeMap<String, i32>,
    /// New connections per second, over windows of these.
    pub(crate) max_connection_creation_rate: i32,
    pub(crate) quota_window_num: i32,
    pub(crate) quota_window_size_seconds: i32,
    /// `listener.name.{name}.*`, by the name in small letters.
    pub(crate) listener_limits: BTreeMap<String, ListenerLimits>,
    pub(crate) connections_max_idle_ms: i64,
    /// `queued.max.request.bytes`; -1 means no limit of the operator's.
    pub(crate) queued_max_request_bytes: i64,
    pub(crate) request_timeout_ms: i32,
}

#[derive(Clone, Debug)]
pub struct QuorumConfig {
    pub(crate) election_timeout_ms: i32,
    pub(crate) fetch_timeout_ms: i32,
    pub(crate) election_backoff_max_ms: i32,
    pub(crate) request_timeout_ms: i32,
    pub(crate) retry_backoff_ms: i32,
}

#[derive(Clone, Debug)]
pub struct MetadataLogConfig {
    pub(crate) segment_bytes: i32,
    pub(crate) segment_ms: i64,
    pub(crate) max_retention_bytes: i64,
    pub(crate) max_retention_ms: i64,
    pub(crate) max_bytes_between_snapshots: i64,
    pub(crate) max_snapshot_interval_ms: i64,
    /// Pause after which the active controller writes a `NoOpRecord`; 0 turns it off.
    pub(crate) max_idle_interval_ms: i32,
}

#[derive(Clone, Debug)]
pub struct LifecycleConfig {
    pub(crate) heartbeat_interval_ms: i32,
    pub(crate) session_timeout_ms: i32,
    pub(crate) initial_registration_timeout_ms: i32,
    pub(crate) controlled_shutdown_enable: bool,
}

#[derive(Clone, Debug)]
pub struct ReplicationConfig {
    pub(crate) lag_time_max_ms: i64,
    pub(crate) socket_timeout_ms: i32,
    /// Per partition.
    pub(crate) fetch_max_bytes: i32,
    pub(crate) fetch_wait_max_ms: i32,
    pub(crate) fetch_min_bytes: i32,
    pub(crate) fetch_response_max_bytes: i32,
    pub(crate) fetch_backoff_ms: i32,
    pub(crate) high_watermark_checkpoint_interval_ms: i64,
    pub(crate) auto_leader_rebalance_enable: bool,
    pub(crate) leader_imbalance_check_interval_seconds: i64,
    /// `replica.selector.class` is the rack-aware one (KIP-392).
    pub(crate) rack_aware_reads: bool,
    pub(crate) max_incremental_fetch_session_cache_slots: i32,
    /// Largest Fetch reply to a client.
    pub(crate) consumer_fetch_max_bytes: i32,
}

#[derive(Clone, Debug)]
pub struct StorageConfig {
    pub(crate) retention_check_interval_ms: i64,
    pub(crate) flush_scheduler_interval_ms: i64,
    pub(crate) flush_offset_checkpoint_interval_ms: i32,
    pub(crate) flush_start_offset_checkpoint_interval_ms: i32,
    pub(crate) cleaner: CleanerConfig,
}

/// `log.cleaner.*`, without the defaults of topics among them.
#[derive(Clone, Debug, PartialEq)]
pub struct CleanerConfig {
    pub(crate) enable: bool,
    pub(crate) threads: i32,
    /// Of all threads together, as the next one.
    pub(crate) dedupe_buffer_bytes: i64,
    pub(crate) io_buffer_bytes: i32,
    pub(crate) load_factor: f64,
    pub(crate) max_bytes_per_second: f64,
    pub(crate) backoff_ms: i64,
}

#[derive(Clone, Debug)]
pub struct TopicsConfig {
    pub(crate) num_partitions: i32,
    pub(crate) default_replication_factor: i32,
    pub(crate) auto_create_enable: bool,
    pub(crate) delete_enable: bool,
    pub(crate) offsets_topic_partitions: i32,
    pub(crate) offsets_topic_replication_factor: i16,
    pub(crate) offsets_topic_segment_bytes: i32,
    pub(crate) transactions_topic_partitions: i32,
    pub(crate) transactions_topic_replication_factor: i16,
    pub(crate) transactions_topic_min_isr: i32,
    pub(crate) transactions_topic_segment_bytes: i32,
}

/// Groups and their offsets; the topic they live in is among [`TopicsConfig`].
#[derive(Clone, Debug)]
pub struct GroupsConfig {
    pub(crate) min_session_timeout_ms: i32,
    pub(crate) max_session_timeout_ms: i32,
    pub(crate) initial_rebalance_delay_ms: i32,
    pub(crate) max_size: i32,
    /// `offset.metadata.max.bytes`, which Kafka counts in characters.
    pub(crate) max_metadata_length: i32,
    pub(crate) load_buffer_bytes: i32,
    pub(crate) compression: Compression,
    pub(crate) retention_minutes: i32,
    pub(crate) retention_check_interval_ms: i64,
    pub(crate) commit_timeout_ms: i32,
    pub(crate) commit_required_acks: i16,
    /// Groups of the consumer protocol (KIP-848).
    pub(crate) consumer: ConsumerConfig,
    /// What may be set on single ones of them.
    pub(crate) rules: GroupRules,
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
    pub(crate) id_expiration_ms: i32,
    pub(crate) id_expiration_check_interval_ms: i32,
    /// `transaction.partition.verification.enable`
    pub(crate) verify_transactions: bool,
}

/// `transaction.*`
#[derive(Clone, Debug)]
pub struct TransactionsConfig {
    pub(crate) max_timeout_ms: i32,
    pub(crate) id_expiration_ms: i32,
    pub(crate) load_buffer_bytes: i32,
    pub(crate) abort_interval_ms: i32,
    pub(crate) expire_interval_ms: i32,
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
