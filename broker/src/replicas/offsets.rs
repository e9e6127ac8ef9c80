//! Offsets by time and by epoch: ListOffsets and OffsetForLeaderEpoch.

use std::collections::HashSet;
use std::num::NonZero;
use std::sync::{Arc, LazyLock};
use std::thread;

use jackdaw_log::{OffsetQuery, ReadError, Search, TimestampAndOffset};
use jackdaw_wire::messages::list_offsets_request::ListOffsetsPartition;
use jackdaw_wire::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use jackdaw_wire::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use jackdaw_wire::messages::offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult};
use jackdaw_wire::messages::{
    ListOffsetsRequest, ListOffsetsResponse, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
};
use jackdaw_wire::{ErrorCode, TopicPartition};
use tokio::sync::Semaphore;

use super::partition::Partition;
use super::shared::{Shared, TopicRef};
use crate::clock;
use crate::dispatch::RequestContext;
use crate::errors;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
/// The replica id of a consumer.
const CONSUMER: i32 = -1;
/// The replica id of a tool that reads from any replica.
const DEBUGGING: i32 = -2;
/// From here on clients know OFFSET_NOT_AVAILABLE.
const OFFSET_NOT_AVAILABLE_FROM: i16 = 5;
const TIMESTAMPS_FROM: i16 = 1;
/// Before, a reply has no room for the epoch (KIP-320).
const LEADER_EPOCHS_FROM: i16 = 4;

/// A search by time that unpacks more takes its turn among others of its kind, one for each processor at the most: a
/// few kilobytes of records may stand for gigabytes.
const SHORT_SEARCH_BYTES: usize = 4 << 20;
static LONG_SEARCHES: LazyLock<Semaphore> =
    LazyLock::new(|| Semaphore::new(thread::available_parallelism().map_or(1, NonZero::get)));

/// Who asks, as far as the answer depends on it.
#[derive(Clone, Copy)]
struct Asker {
    version: i16,
    replica: i32,
    reads_committed: bool,
}

/// Timestamp, offset and epoch; -1 for each that is not known.
type Found = (i64, i64, i32);

impl Shared {
    pub async fn list_offsets(
        self: &Arc<Self>,
        context: &RequestContext,
        request: ListOffsetsRequest,
    ) -> ListOffsetsResponse {
        let image = self.image();
        let asker = Asker {
            version: context.api_version,
            replica: request.replica_id.0,
            reads_committed: request.isolation_level == 1,
        };
        let mut seen = HashSet::new();
        let twice: HashSet<TopicPartition> = request
            .topics
            .iter()
            .flat_map(|t| t.partitions.iter().map(|p| TopicPartition::new(&**t.name, p.partition_index)))
            .filter(|tp| !seen.insert(tp.clone()))
            .collect();
        let mut topics = Vec::with_capacity(request.topics.len());
        for topic in request.topics {
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for ask in topic.partitions {
                let tp = TopicPartition::new(&**topic.name, ask.partition_index);
                let located = self.locate(&image, TopicRef::Name(&topic.name), ask.partition_index);
                if asker.version < TIMESTAMPS_FROM {
                    let found = located.and_then(|partition| partition.boundaries(asker, &ask));
                    partitions.push(boundaries_response(&ask, found));
                    continue;
                }
                let found = match located {
                    _ if twice.contains(&tp) => Err(ErrorCode::InvalidRequest),
                    Ok(partition) => partition.list_offset(asker, &ask).await,
                    Err(error) => Err(error),
                };
                partitions.push(list_offset_response(asker, &ask, found));
            }
            let response = ListOffsetsTopicResponse::default().with_name(topic.name);
            topics.push(response.with_partitions(partitions));
        }
        ListOffsetsResponse::default().with_topics(topics)
    }

    pub fn offset_for_leader_epoch(
        &self,
        request: OffsetForLeaderEpochRequest,
    ) -> OffsetForLeaderEpochResponse {
        let image = self.image();
        let topics = request.topics.into_iter().map(|topic| {
            let answer = |ask: &OffsetForLeaderPartition| {
                let end = self
                    .locate(&image, TopicRef::Name(&topic.topic), ask.partition)
                    .and_then(|partition| partition.epoch_end(ask));
                let response = EpochEndOffset::default().with_partition(ask.partition);
                match end {
                    Ok((epoch, offset)) => response.with_leader_epoch(epoch).with_end_offset(offset),
                    Err(error) => response.with_error_code(error.code()),
                }
            };
            let partitions = topic.partitions.iter().map(answer).collect();
            OffsetForLeaderTopicResult::default().with_topic(topic.topic.clone()).with_partitions(partitions)
        });
        OffsetForLeaderEpochResponse::default().with_topics(topics.collect())
    }
}

/// Version 0 has a list of offsets, and no room for anything else.
fn boundaries_response(
    ask: &ListOffsetsPartition,
    found: Result<Vec<i64>, ErrorCode>,
) -> ListOffsetsPartitionResponse {
    let response = ListOffsetsPartitionResponse::default().with_partition_index(ask.partition_index);
    match found {
        Ok(offsets) => response.with_old_style_offsets(offsets),
        Err(error) => response.with_error_code(error.code()),
    }
}

fn query(timestamp: i64) -> OffsetQuery {
    match timestamp {
        LATEST => OffsetQuery::Latest,
        EARLIEST | EARLIEST_LOCAL => OffsetQuery::Earliest,
        MAX_TIMESTAMP => OffsetQuery::MaxTimestamp,
        timestamp => OffsetQuery::AtOrAfter(timestamp),
    }
}

fn list_offset_response(
    asker: Asker,
    ask: &ListOffsetsPartition,
    found: Result<Found, ErrorCode>,
) -> ListOffsetsPartitionResponse {
    let response = ListOffsetsPartitionResponse::default().with_partition_index(ask.partition_index);
    match found {
        Ok((timestamp, offset, epoch)) => {
            let epoch = if asker.version >= LEADER_EPOCHS_FROM { epoch } else { -1 };
            response.with_timestamp(timestamp).with_offset(offset).with_leader_epoch(epoch)
        }
        Err(ErrorCode::OffsetNotAvailable) if asker.version < OFFSET_NOT_AVAILABLE_FROM => {
            response.with_error_code(ErrorCode::LeaderNotAvailable.code())
        }
        Err(error) => response.with_error_code(error.code()),
    }
}

impl Partition {
    /// `Partition.fetchOffsetForTimestamp`.
    async fn list_offset(
        self: &Arc<Self>,
        asker: Asker,
        ask: &ListOffsetsPartition,
    ) -> Result<Found, ErrorCode> {
        const NOTHING: Found = (-1, -1, -1);
        let (leader_epoch, last_fetchable, lags) = self.fetchable(asker, ask.current_leader_epoch)?;
        let query = query(ask.timestamp);
        if query == OffsetQuery::Latest {
            return if lags {
                Err(ErrorCode::OffsetNotAvailable)
            } else {
                Ok((-1, last_fetchable, leader_epoch))
            };
        }
        let found = self.find(query).await.map_err(|error| {
            if let ReadError::Storage(error) = &error {
                self.storage_failed(error);
            }
            errors::of_read(&error)
        })?;
        let found = found.filter(|found| query == OffsetQuery::Earliest || found.offset < last_fetchable);
        match found {
            Some(found) => Ok((found.timestamp_ms, found.offset, found.leader_epoch.unwrap_or(-1))),
            None if lags => Err(ErrorCode::OffsetNotAvailable),
            None => Ok(NOTHING),
        }
    }

    /// `Partition.legacyFetchOffsetsForTimestamp`: in place of what consumers may not see yet, the end of what they may.
    fn boundaries(&self, asker: Asker, ask: &ListOffsetsPartition) -> Result<Vec<i64>, ErrorCode> {
        const NO_EPOCH: i32 = -1;
        // Java fails to make a list of less than nothing.
        let most = usize::try_from(ask.max_num_offsets).map_err(|_| ErrorCode::UnknownServerError)?;
        self.fetchable(asker, NO_EPOCH)?;
        let mut offsets = self.reader.boundaries(query(ask.timestamp), most, clock::wall().0);
        let high_watermark = self.state().replica.high_watermark();
        let hidden = offsets.iter().take_while(|offset| **offset > high_watermark).count();
        if asker.replica == CONSUMER && hidden > 0 {
            offsets.splice(..hidden, [high_watermark]);
        }
        Ok(offsets)
    }

    /// The leader epoch, the end of what the asker may see, and whether that is still short of what the leader's
    /// epoch began with: clients wait then, so that offsets do not seem to go back (KIP-207).
    fn fetchable(&self, asker: Asker, callers_epoch: i32) -> Result<(i32, i64, bool), ErrorCode> {
        let state = self.state();
        let replica = &state.replica;
        replica.check_epoch(callers_epoch)?;
        let leader = replica.as_leader();
        if leader.is_none() && (asker.replica != DEBUGGING || replica.as_follower().is_none()) {
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        let high_watermark = replica.high_watermark();
        let is_consumer = asker.replica == CONSUMER;
        let last_fetchable = match is_consumer {
            true if asker.reads_committed => self.reader.last_stable_offset(high_watermark),
            true => high_watermark,
            false => self.reader.log_end_offset(),
        };
        let lags = is_consumer && leader.is_some_and(|leader| leader.epoch_start() > high_watermark);
        Ok((replica.leader_epoch(), last_fetchable, lags))
    }

    /// Looks offsets up; a search by time reads from the disk and must not keep others waiting.
    async fn find(self: &Arc<Self>, query: OffsetQuery) -> Result<Option<TimestampAndOffset>, ReadError> {
        if query == OffsetQuery::Earliest {
            return self.reader.find_offset(query);
        }
        if let Search::Done(found) = self.search(query, SHORT_SEARCH_BYTES).await? {
            return Ok(found);
        }
        // Closed only at the end of the process.
        let _turn = LONG_SEARCHES.acquire().await;
        match self.search(query, usize::MAX).await? {
            Search::Done(found) => Ok(found),
            Search::TooLong => Ok(None),
        }
    }

    async fn search(&self, query: OffsetQuery, unpacked_bytes: usize) -> Result<Search, ReadError> {
        let reader = self.reader.clone();
        let search = move || reader.find_offset_within(query, unpacked_bytes);
        // The search does not panic, and is not cancelled while someone waits for it.
        self.context.runtime.spawn_blocking(search).await.unwrap_or(Ok(Search::Done(None)))
    }

    /// `Partition.lastOffsetForLeaderEpoch`; (-1, -1) where the epoch is not known.
    fn epoch_end(&self, ask: &OffsetForLeaderPartition) -> Result<(i32, i64), ErrorCode> {
        self.state().replica.check_leader(ask.current_leader_epoch)?;
        Ok(self.reader.end_offset_for_epoch(ask.leader_epoch).unwrap_or((-1, -1)))
    }
}
