//! Kafka's partition log on disk: segments, indexes, leader epochs, producer state, recovery, retention and
//! compaction. It reaches the disk through one small trait and knows no network, no clock and no other partition.
//!
//! A [`Log`] has one writer. Readers hold a [`LogReader`] and never wait for what the writer does on the disk.
//! Every file is Kafka's own, so that a JVM can go on where this one stops, and the other way round.

mod append;
mod batch;
mod checkpoint;
mod clean;
mod config;
mod cut;
mod dir;
mod disk;
mod epochs;
mod error;
mod flush;
mod handles;
mod index;
mod leftovers;
mod load;
mod log;
mod meta;
pub mod names;
mod place;
mod producer;
mod producer_snapshot;
mod reader;
mod recover;
mod segment;
mod shared;
mod snapshots;

pub use checkpoint::EpochEntry;
pub use clean::{CleanError, CleanOptions, CleanStats, Cleanable, CleanedGroup, Cleaning, Leave, MapBudget};
pub use config::{CompressionType, ConfigError, LogConfig, TimestampType, TopicConfigs};
pub use dir::{Checkpoint, LogDir, LogDirError, PartitionFolder};
pub use disk::{Disk, DiskFile, DiskLock, FileInfo, OpenMode, RealDisk, is_out_of_descriptors, replace_file};
pub use epochs::EpochCache;
pub use error::{AppendError, OpenError, ReadError, StorageError};
pub use flush::{FlushPlan, FlushTicket};
pub use handles::OpenFiles;
pub use index::AbortedTxn;
pub use log::{AppendInfo, DEFAULT_PRODUCER_EXPIRATION_MS, Log, OpenState};
pub use meta::{CleanShutdown, MetaProperties, QuorumState, QuorumStateStore, read_topic_id, write_topic_id};
pub use producer::{ProducerBatch, ProducerEntry, ProducerState, VerificationGuard};
pub use reader::{LogReader, OffsetPosition, OffsetQuery, ReadResult, Search, TimestampAndOffset};
