//! Kafka's partition log on disk: segments, indexes, leader epochs, producer state, recovery and retention. It
//! reaches the disk through one small trait and knows no network, no clock and no other partition.
//!
//! A [`Log`] has one writer. Readers hold a [`LogReader`] and never wait for what the writer does on the disk.
//! Every file is Kafka's own, so that a JVM can go on where this one stops, and the other way round.

mod checkpoint;
mod config;
mod dir;
mod disk;
mod epochs;
mod error;
mod meta;
pub mod names;

pub use checkpoint::EpochEntry;
pub use config::{
    Check, CompressionType, ConfigError, LogConfig, Synonym, TOPIC_CONFIGS, TimestampType, TopicConfigDef,
    TopicConfigs, Unit, Value, ValueType, lookup,
};
pub use dir::{Checkpoint, LogDir, LogDirError, PartitionFolder};
pub use disk::{Disk, DiskFile, DiskLock, FileInfo, OpenMode, RealDisk};
pub use epochs::EpochCache;
pub use error::{AppendError, OpenError, ReadError, StorageError};
pub use meta::{CleanShutdown, MetaProperties, QuorumState, QuorumStateStore, read_topic_id, write_topic_id};
