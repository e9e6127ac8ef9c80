//! What a node must know before its quorum starts. Values come from `server.properties`; nothing here reads files.

use std::path::PathBuf;

/// Where a voter listens, from `controller.quorum.voters`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoterAddress {
    pub id: i32,
    pub host: String,
    pub port: u16,
}

/// Settings of the quorum and of the metadata log. Defaults are those of Kafka's `RaftConfig` and `KafkaConfig`.
#[derive(Debug, Clone)]
pub struct RaftOptions {
    /// `node.id`. The node is a voter when `voters` holds it, an observer otherwise.
    pub node_id: i32,
    /// `cluster.id` of `meta.properties`.
    pub cluster_id: String,
    /// `controller.quorum.voters`.
    pub voters: Vec<VoterAddress>,
    /// `metadata.log.dir`; the log lies in `__cluster_metadata-0` below it.
    pub metadata_log_dir: PathBuf,
    /// `controller.quorum.election.timeout.ms`
    pub election_timeout_ms: u64,
    /// `controller.quorum.fetch.timeout.ms`
    pub fetch_timeout_ms: u64,
    /// `controller.quorum.election.backoff.max.ms`
    pub election_backoff_max_ms: u64,
    /// `controller.quorum.request.timeout.ms`
    pub request_timeout_ms: u64,
    /// `controller.quorum.retry.backoff.ms`
    pub retry_backoff_ms: u64,
    /// `metadata.log.segment.bytes`
    pub segment_bytes: u32,
    /// `metadata.log.segment.ms`
    pub segment_ms: u64,
    /// `metadata.max.retention.bytes`; negative: without bound.
    pub retention_bytes: i64,
    /// `metadata.max.retention.ms`; negative: without bound.
    pub retention_ms: i64,
    /// `metadata.log.max.record.bytes.between.snapshots`
    pub max_bytes_between_snapshots: u64,
    /// `metadata.log.max.snapshot.interval.ms`; 0: no snapshots by time.
    pub max_snapshot_interval_ms: u64,
}

impl RaftOptions {
    /// Kafka 3.7's defaults for a node of this quorum.
    pub fn new(
        node_id: i32,
        cluster_id: impl Into<String>,
        voters: Vec<VoterAddress>,
        metadata_log_dir: PathBuf,
    ) -> Self {
        Self {
            node_id,
            cluster_id: cluster_id.into(),
            voters,
            metadata_log_dir,
            election_timeout_ms: 1_000,
            fetch_timeout_ms: 2_000,
            election_backoff_max_ms: 1_000,
            request_timeout_ms: 2_000,
            retry_backoff_ms: 20,
            segment_bytes: 1 << 30,
            segment_ms: 7 * 24 * 60 * 60 * 1_000,
            retention_bytes: 100 << 20,
            retention_ms: 7 * 24 * 60 * 60 * 1_000,
            max_bytes_between_snapshots: 20 << 20,
            max_snapshot_interval_ms: 60 * 60 * 1_000,
        }
    }
}
