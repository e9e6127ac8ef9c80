//! What administrators ask of this broker's logs: DeleteRecords (KIP-107), DescribeLogDirs (KIP-113, KIP-827), and
//! defaults that change while the broker runs (KIP-226).

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use jackdaw_log::{LogConfig, TopicConfigs};
use jackdaw_metadata::{MetadataImage, topic_name};
use jackdaw_wire::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use jackdaw_wire::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use jackdaw_wire::messages::{
    DeleteRecordsRequest, DeleteRecordsResponse, DescribeLogDirsRequest, DescribeLogDirsResponse, TopicName,
};
use jackdaw_wire::protocol::StrBytes;
use jackdaw_wire::{ErrorCode, TopicPartition};

use super::cleaner;
use super::dirs::Dir;
use super::interest::Change;
use super::partition::{Partition, Writer};
use super::shared::{Shared, TopicRef};
use crate::clock;
use crate::config::ProducersConfig;
use crate::config::dynamic::Current;

/// `DeleteRecordsRequest.HIGH_WATERMARK`
const HIGH_WATERMARK: i64 = -1;
/// `DeleteRecordsResponse.INVALID_LOW_WATERMARK`
const INVALID_LOW_WATERMARK: i64 = -1;

/// The settings of logs whose topics say nothing else.
pub(super) struct Defaults {
    pub topic: TopicConfigs,
    pub log: Arc<LogConfig>,
    pub producers: ProducersConfig,
}

impl Defaults {
    pub fn new(topic: TopicConfigs, producers: ProducersConfig) -> Arc<Self> {
        let log = Arc::new(topic.to_log_config());
        Arc::new(Self { topic, log, producers })
    }
}

impl Shared {
    pub fn defaults(&self) -> Arc<Defaults> {
        Arc::clone(&self.defaults.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From here on these are the broker's values, for the logs that are open as well.
    pub fn reconfigure(self: &Arc<Self>, image: &MetadataImage, current: &Current) {
        let (before, producers) = (self.defaults().producers, current.producers);
        if before.verify_transactions && !producers.verify_transactions {
            // First the logs: whoever verifies no more must find none that wants to be shown a guard.
            self.set_producers(producers);
        }
        *self.defaults.write().unwrap_or_else(PoisonError::into_inner) =
            Defaults::new(current.topic_defaults.clone(), producers);
        if before != producers {
            self.set_producers(producers);
        }
        for partition in self.online() {
            let config = self.config_of(image, &partition.tp.topic);
            partition.write(move |writer, partition| partition.set_config(writer, config));
        }
        cleaner::reconfigure(self, &current.cleaner);
    }

    fn set_producers(&self, producers: ProducersConfig) {
        let expiration_ms = i64::from(producers.id_expiration_ms);
        for partition in self.online() {
            partition.write(move |writer, _| {
                writer.log.set_producer_rules(expiration_ms, producers.verify_transactions);
            });
        }
    }

    /// `transaction.partition.verification.enable`, as it is now.
    pub fn verifies_transactions(&self) -> bool {
        self.defaults().producers.verify_transactions
    }

    /// Moves log starts forward, and waits until every live replica has followed (`DelayedDeleteRecords`).
    pub async fn delete_records(self: &Arc<Self>, request: DeleteRecordsRequest) -> DeleteRecordsResponse {
        let deadline = clock::timer() + Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0));
        let image = self.image();
        let mut waiting = Vec::new();
        for topic in &request.topics {
            for ask in &topic.partitions {
                let begun = self.begin_deletion(&image, &topic.name, ask.partition_index, ask.offset).await;
                waiting.push(begun);
            }
        }
        let mut waiting = waiting.into_iter();
        let mut topics = Vec::with_capacity(request.topics.len());
        for topic in request.topics {
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for ask in topic.partitions {
                let ended = match waiting.next() {
                    Some(Ok((partition, required))) => partition.wait_for_replicas(required, deadline).await,
                    Some(Err(error)) => (INVALID_LOW_WATERMARK, Some(error)),
                    None => (INVALID_LOW_WATERMARK, Some(ErrorCode::UnknownServerError)),
                };
                partitions.push(
                    DeleteRecordsPartitionResult::default()
                        .with_partition_index(ask.partition_index)
                        .with_low_watermark(ended.0)
                        .with_error_code(ended.1.map_or(0, |error| error.code())),
                );
            }
            topics
                .push(DeleteRecordsTopicResult::default().with_name(topic.name).with_partitions(partitions));
        }
        DeleteRecordsResponse::default().with_topics(topics)
    }

    async fn begin_deletion(
        &self,
        image: &MetadataImage,
        topic: &TopicName,
        index: i32,
        offset: i64,
    ) -> Result<(Arc<Partition>, i64), ErrorCode> {
        let partition = self.locate(image, TopicRef::Name(topic), index)?;
        if topic_name::is_internal(topic) {
            return Err(ErrorCode::InvalidTopicException);
        }
        let deleted = partition.write_for(move |writer, partition| partition.delete_before(writer, offset));
        // Unanswered only where the node stops.
        let required = deleted.await.unwrap_or(Err(ErrorCode::NotLeaderOrFollower))?;
        Ok((partition, required))
    }

    pub async fn describe_log_dirs(&self, request: &DescribeLogDirsRequest) -> DescribeLogDirsResponse {
        let wanted: Option<HashSet<TopicPartition>> = request.topics.as_ref().map(|topics| {
            let partitions = topics
                .iter()
                .flat_map(|t| t.partitions.iter().map(|index| TopicPartition::new(&**t.topic, *index)));
            partitions.collect()
        });
        let mut results = Vec::with_capacity(self.dirs.len());
        for dir in &self.dirs {
            let here = self.online().into_iter().filter(|partition| Arc::ptr_eq(&partition.dir, dir));
            let mut topics: BTreeMap<Arc<str>, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
            for partition in here {
                // Kafka names every topic that is here, also where none of its partitions was asked for.
                let told = topics.entry(Arc::clone(&partition.tp.topic)).or_default();
                if wanted.as_ref().is_none_or(|wanted| wanted.contains(&partition.tp)) {
                    told.push(partition.described());
                }
            }
            let topics = topics.into_iter().map(|(name, mut partitions)| {
                partitions.sort_by_key(|partition| partition.partition_index);
                let name = TopicName(StrBytes::from_string(name.to_string()));
                DescribeLogDirsTopic::default().with_name(name).with_partitions(partitions)
            });
            results.push(described(dir, topics.collect()));
        }
        DescribeLogDirsResponse::default().with_results(results)
    }
}

fn described(dir: &Dir, topics: Vec<DescribeLogDirsTopic>) -> DescribeLogDirsResult {
    let path = dir.log_dir.path();
    let shown = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let result =
        DescribeLogDirsResult::default().with_log_dir(StrBytes::from_string(shown.display().to_string()));
    let space = if dir.is_online() { rustix::fs::statvfs(path).ok() } else { None };
    let Some(space) = space else { return result.with_error_code(ErrorCode::KafkaStorageError.code()) };
    let bytes = |blocks: u64| i64::try_from(blocks.saturating_mul(space.f_frsize)).unwrap_or(i64::MAX);
    result
        .with_topics(topics)
        .with_total_bytes(bytes(space.f_blocks))
        .with_usable_bytes(bytes(space.f_bavail))
}

impl Partition {
    /// `Partition.deleteRecordsOnLeader`; the offset that all replicas are to start at.
    fn delete_before(self: &Arc<Self>, writer: &mut Writer, offset: i64) -> Result<i64, ErrorCode> {
        let high_watermark = {
            let state = self.state();
            let leader = state.replica.as_leader().filter(|_| !writer.closed);
            leader.ok_or(ErrorCode::NotLeaderOrFollower)?.high_watermark()
        };
        if !writer.log.config().delete {
            return Err(ErrorCode::PolicyViolation);
        }
        let required = if offset == HIGH_WATERMARK { high_watermark } else { offset };
        if !(0..=high_watermark).contains(&required) {
            return Err(ErrorCode::OffsetOutOfRange);
        }
        match writer.log.advance_log_start(required) {
            Ok(true) => {
                self.dir.log_starts_moved();
                self.state().tell(Change::LogStart);
            }
            Ok(false) => {}
            Err(error) => {
                self.storage_failed(&error);
                return Err(ErrorCode::KafkaStorageError);
            }
        }
        Ok(required)
    }

    /// The least log start among the replicas that live (`Partition.lowWatermarkIfLeader`).
    fn low_watermark(&self) -> Result<i64, ErrorCode> {
        let brokers = self.context.brokers();
        let state = self.state();
        let leader = state.replica.as_leader().ok_or(ErrorCode::NotLeaderOrFollower)?;
        let lives = |id: i32| jackdaw_replication::Brokers::broker(&brokers, id).is_some_and(|b| !b.fenced);
        let others = leader.remotes().iter().filter(|remote| lives(remote.broker)).map(|r| r.log_start);
        Ok(others.fold(self.reader.log_start_offset(), i64::min))
    }

    async fn wait_for_replicas(
        &self,
        required: i64,
        deadline: tokio::time::Instant,
    ) -> (i64, Option<ErrorCode>) {
        loop {
            let moved = self.log_starts.notified();
            tokio::pin!(moved);
            // From here on no move is missed.
            moved.as_mut().enable();
            match self.low_watermark() {
                Ok(low) if low >= required => return (low, None),
                Ok(low) => {
                    if tokio::time::timeout_at(deadline, moved).await.is_err() {
                        return (low, Some(ErrorCode::RequestTimedOut));
                    }
                }
                Err(error) => return (INVALID_LOW_WATERMARK, Some(error)),
            }
        }
    }

    fn described(&self) -> DescribeLogDirsPartition {
        let lag = self.state().replica.high_watermark() - self.reader.log_end_offset();
        DescribeLogDirsPartition::default()
            .with_partition_index(self.tp.partition)
            .with_partition_size(i64::try_from(self.reader.size_bytes()).unwrap_or(i64::MAX))
            .with_offset_lag(lag.max(0))
    }
}
