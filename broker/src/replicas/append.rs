//! Writing records: a leader's append with its acknowledgement, a follower's append with what else the leader said.

use std::sync::Arc;

use bytes::Bytes;
use jackdaw_log::{AppendError, AppendInfo, CompressionType, LogConfig, StorageError, VerificationGuard};
use jackdaw_replication::{FetchedPartition, FollowerState, OutOfRange, Step};
use jackdaw_wire::batch::TimestampType;
use jackdaw_wire::compression::{Allowance, Compression};
use jackdaw_wire::validate::{self, AppendOrigin, ValidateError, ValidateOptions, ValidatedBatches};
use jackdaw_wire::{ErrorCode, TopicPartition};

use super::interest::Change;
use super::partition::{After, Partition, Writer, owes_flush};
use super::pending::{AppendResult, Pending};
use crate::clock::{self, WallMs};
use crate::{apart, errors};

/// Records up to here are looked through in about a millisecond, which others can wait.
const SMALL_BYTES: usize = 2 << 20;

/// Records for one partition, and who wants to know.
pub(super) struct Submission {
    /// None where the request says null.
    pub records: Option<Bytes>,
    pub acks: i16,
    pub origin: AppendOrigin,
    /// Refused in any other leader epoch: what is written belongs to the state that one leadership began with.
    pub required_epoch: Option<i32>,
    /// Shown by the first batch of a transaction that the coordinator has confirmed.
    pub guard: Option<VerificationGuard>,
    pub pending: Arc<Pending>,
    /// The partition's place in the request.
    pub slot: usize,
}

/// What a follower's fetcher does next with a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Followed {
    /// Fetch on, at once.
    On,
    /// Fetch on after what was appended is flushed.
    AfterFlush,
    /// Ask the leader where its log lies.
    AskBounds,
    /// Try again after a pause.
    Retry(ErrorCode),
    /// Nothing more until the image changes.
    Stop,
}

impl Partition {
    /// Appends as the leader, in submission order. Every outcome reaches `pending`.
    pub fn submit(self: &Arc<Self>, submission: Submission) {
        self.write(move |writer, partition| partition.append_leader(writer, &submission));
    }

    fn append_leader(self: &Arc<Self>, writer: &mut Writer, submission: &Submission) {
        let Submission { acks, pending, slot, required_epoch, .. } = submission;
        let checked = self.state().replica.check_append(*acks == -1);
        let epoch = match checked {
            _ if !self.dir.is_online() => {
                return pending.answer(*slot, AppendResult::failed(ErrorCode::KafkaStorageError));
            }
            Ok(epoch) if !writer.closed && required_epoch.is_none_or(|required| required == epoch) => epoch,
            Ok(_) => return pending.answer(*slot, AppendResult::failed(ErrorCode::NotLeaderOrFollower)),
            Err(refusal) => {
                let mut result = AppendResult::failed(refusal.code());
                if refusal.code() == ErrorCode::NotEnoughReplicas {
                    result.log_start_offset = writer.log.log_start_offset();
                }
                return pending.answer(*slot, result);
            }
        };
        match self.write_records(writer, submission, epoch, clock::wall()) {
            Err(result) => pending.answer(*slot, result),
            Ok((info, log_append_time_ms)) => {
                let result = AppendResult {
                    error: None,
                    base_offset: info.first_offset,
                    // A repetition is answered with the time of what it repeats (`UnifiedLog.append`).
                    log_append_time_ms: match info.is_duplicate {
                        true => info.max_timestamp_ms,
                        false => log_append_time_ms.unwrap_or(-1),
                    },
                    log_start_offset: info.log_start_offset,
                    ..AppendResult::default()
                };
                pending.appended(*slot, result);
                self.appended(writer, &info, submission);
            }
        }
    }

    /// Validates and writes. What needs no acknowledgement, because nothing was written, is an error here.
    fn write_records(
        self: &Arc<Self>,
        writer: &mut Writer,
        submission: &Submission,
        epoch: i32,
        now: WallMs,
    ) -> Result<(AppendInfo, Option<i64>), AppendResult> {
        let Submission { records, origin, guard, pending, .. } = submission;
        let log_start_offset = writer.log.log_start_offset();
        let failed = |code| AppendResult { log_start_offset, ..AppendResult::failed(code) };
        // The reference fails on null where it would look at the first batch.
        let records = records.as_ref().ok_or_else(|| failed(ErrorCode::UnknownServerError))?;
        let config = Arc::clone(writer.log.config());
        let options = validate_options(&config, &self.tp, *origin, &pending.allowance);
        let place = (writer.log.log_end_offset(), epoch, now.0);
        let validated = validate_where_it_may_take_long(records, &options, place);
        let ValidatedBatches { batches, log_append_time_ms } = validated.map_err(|error| {
            let code = errors::of_validation(&error);
            let is_known = matches!(code, ErrorCode::MessageTooLarge | ErrorCode::CorruptMessage);
            AppendResult {
                record_errors: error.record_errors().to_vec(),
                message: error.reply_message(),
                log_start_offset: if is_known { -1 } else { log_start_offset },
                ..AppendResult::failed(code)
            }
        })?;
        if batches.is_empty() {
            return Err(AppendResult { log_start_offset, ..AppendResult::nothing() });
        }
        let info = writer.log.append_leader(&batches, *origin, *guard, now.0).map_err(|error| {
            if let AppendError::Storage(error) = &error {
                self.storage_failed(error);
            }
            let code = errors::of_append(&error);
            let is_known = matches!(
                code,
                ErrorCode::RecordListTooLarge | ErrorCode::CorruptMessage | ErrorCode::KafkaStorageError
            );
            tracing::info!(
                target: "kafka.server.ReplicaManager",
                "Error processing append operation on partition {}: {error}", self.tp
            );
            AppendResult {
                log_start_offset: if is_known { -1 } else { log_start_offset },
                ..AppendResult::failed(code)
            }
        })?;
        Ok((info, log_append_time_ms))
    }

    /// Advances the state after a leader's append, and settles its acknowledgement.
    fn appended(self: &Arc<Self>, writer: &mut Writer, info: &AppendInfo, submission: &Submission) {
        let Submission { acks, pending, slot, .. } = submission;
        let log_end = writer.log.log_end_offset();
        let flush_due = owes_flush(&writer.log);
        let required = info.last_offset + 1;
        let brokers = self.context.brokers();
        let mut after = After::default();
        let mut answered = *acks != -1;
        {
            let mut state = self.state();
            if !flush_due {
                state.durable_end = log_end;
            }
            state.refresh_followers();
            let durable_end = state.durable_end;
            if *acks == -1 {
                state.wait_for_all(required, Arc::clone(pending), *slot);
            } else if required > durable_end {
                state.wait_for_flush(required, Arc::clone(pending), *slot);
                answered = false;
            }
            let leader = state.replica.as_leader_mut();
            let effects = leader.map(|l| l.appended(log_end, durable_end, clock::steady().0, &brokers));
            state.settle(self, effects.unwrap_or_default(), &mut after);
            if info.is_duplicate {
                state.release_committed(&mut after);
            } else {
                state.tell(Change::LogEnd);
            }
        }
        self.finish(after);
        if answered {
            pending.complete(*slot, None);
        }
        if flush_due || info.rolled {
            self.request_flush();
        }
    }

    /// Acts on a leader's reply as its follower.
    pub fn follow(
        self: &Arc<Self>,
        writer: &mut Writer,
        reply: &FetchedPartition,
        records: &Bytes,
    ) -> Followed {
        if writer.closed {
            return Followed::Stop;
        }
        let step = match self.state().replica.as_follower_mut() {
            Some(follower) => follower.fetched(reply),
            None => return Followed::Stop,
        };
        match step {
            Step::Append => self.append_follower(writer, reply, records),
            Step::Truncate { epoch, end_offset } => self.truncate_to_epoch(writer, epoch, end_offset),
            Step::AskBounds => Followed::AskBounds,
            Step::Retry(error) => Followed::Retry(error),
            Step::Stop => Followed::Stop,
            Step::Ignore => Followed::On,
        }
    }

    fn append_follower(
        self: &Arc<Self>,
        writer: &mut Writer,
        reply: &FetchedPartition,
        records: &Bytes,
    ) -> Followed {
        let mut rolled = false;
        if !records.is_empty() {
            match self.append_verbatim(writer, records) {
                Ok(info) => rolled = info.rolled,
                Err(error) => return self.follow_failed(&error),
            }
        }
        let flush_due = owes_flush(&writer.log);
        let (log_end, latest) = (writer.log.log_end_offset(), writer.log.latest_epoch());
        let advanced = {
            let mut state = self.state();
            if !flush_due {
                state.durable_end = log_end;
            }
            let Some(follower) = state.replica.as_follower_mut() else { return Followed::Stop };
            let advanced = follower.appended(log_end, latest, reply.high_watermark);
            if advanced.is_some() {
                state.tell(Change::HighWatermark);
            }
            advanced
        };
        if let Some(high_watermark) = advanced {
            self.dir.high_watermarks_moved();
            writer.log.high_watermark_moved(high_watermark);
        }
        if let Err(error) = self.follow_log_start(writer, reply.log_start) {
            return self.follow_failed(&AppendError::Storage(error));
        }
        if rolled && !flush_due {
            self.request_flush();
        }
        if flush_due { Followed::AfterFlush } else { Followed::On }
    }

    /// A leader whose log starts inside a batch sends that batch whole: an empty log then begins with it
    /// (`appendRecordsToFollowerOrFutureReplica`).
    fn append_verbatim(
        self: &Arc<Self>,
        writer: &mut Writer,
        records: &Bytes,
    ) -> Result<AppendInfo, AppendError> {
        let now_ms = clock::wall().0;
        match writer.log.append_follower(records, now_ms) {
            Err(AppendError::UnexpectedOffset { first_offset, last_offset, log_end_offset, .. })
                if log_end_offset == writer.log.log_start_offset()
                    && first_offset < log_end_offset
                    && last_offset >= log_end_offset =>
            {
                writer.log.truncate_fully_and_start_at(first_offset, now_ms)?;
                writer.log.append_follower(records, now_ms)
            }
            other => other,
        }
    }

    fn follow_log_start(
        self: &Arc<Self>,
        writer: &mut Writer,
        leader_start: i64,
    ) -> Result<(), StorageError> {
        // Never beyond what is known to be committed here (`maybeIncrementLogStartOffset`).
        let high_watermark = self.state().replica.high_watermark();
        if leader_start > writer.log.log_start_offset() && leader_start <= high_watermark {
            writer.log.advance_log_start(leader_start)?;
            self.dir.log_starts_moved();
        }
        Ok(())
    }

    fn truncate_to_epoch(self: &Arc<Self>, writer: &mut Writer, epoch: i32, end_offset: i64) -> Followed {
        let target = {
            let state = self.state();
            let Some(follower) = state.replica.as_follower() else { return Followed::Stop };
            let log = &writer.log;
            follower.truncation(epoch, end_offset, |epoch| log.end_offset_for_epoch(epoch))
        };
        if target.below_high_watermark {
            tracing::warn!(
                target: "kafka.server.ReplicaFetcherThread",
                "Truncating {} to offset {} below high watermark {}",
                self.tp, target.offset, self.state().replica.high_watermark()
            );
        }
        self.truncate_follower(writer, target.offset)
    }

    /// Cuts the log, as a follower must that has what its leader has not.
    pub fn truncate_follower(self: &Arc<Self>, writer: &mut Writer, offset: i64) -> Followed {
        tracing::info!(
            target: "kafka.server.ReplicaFetcherThread", "Truncating partition {} to offset {offset}", self.tp
        );
        let truncated = writer.log.truncate_to(offset, clock::wall().0);
        self.after_cut(writer, truncated.map(drop), |follower, log_end, latest| {
            follower.truncated(log_end, latest);
        })
    }

    /// Gets the follower back into its leader's range.
    pub fn follow_bounds(
        self: &Arc<Self>,
        writer: &mut Writer,
        leader_start: i64,
        leader_end: i64,
    ) -> Followed {
        let way = match self.state().replica.as_follower() {
            Some(follower) if !writer.closed => follower.out_of_range(leader_start, leader_end),
            _ => return Followed::Stop,
        };
        match way {
            OutOfRange::TruncateTo(offset) => self.truncate_follower(writer, offset),
            OutOfRange::Continue => Followed::Retry(ErrorCode::OffsetOutOfRange),
            OutOfRange::StartAt(offset) => {
                tracing::warn!(
                    target: "kafka.server.ReplicaFetcherThread",
                    "Truncate fully and reset fetch offset for partition {} from {} to the current leader's start \
                     offset {offset} because the local replica's end offset is smaller than the current leader's \
                     start offsets.",
                    self.tp, writer.log.log_end_offset()
                );
                let cut = writer.log.truncate_fully_and_start_at(offset, clock::wall().0);
                self.after_cut(writer, cut, |follower, log_end, _| follower.restarted(log_end))
            }
        }
    }

    fn after_cut(
        self: &Arc<Self>,
        writer: &mut Writer,
        cut: Result<(), StorageError>,
        note: impl FnOnce(&mut FollowerState, i64, Option<i32>),
    ) -> Followed {
        if let Err(error) = cut {
            return self.follow_failed(&AppendError::Storage(error));
        }
        let (log_end, latest) = (writer.log.log_end_offset(), writer.log.latest_epoch());
        let mut state = self.state();
        state.durable_end = state.durable_end.min(log_end);
        if let Some(follower) = state.replica.as_follower_mut() {
            note(follower, log_end, latest);
        }
        self.dir.recovery_points_moved();
        self.dir.cleaned_no_further(&self.tp, Some(log_end));
        Followed::On
    }

    fn follow_failed(self: &Arc<Self>, error: &AppendError) -> Followed {
        tracing::error!(
            target: "kafka.server.ReplicaFetcherThread",
            "Error while processing data for partition {}: {error}", self.tp
        );
        match error {
            AppendError::Storage(error) => {
                self.storage_failed(error);
                Followed::Stop
            }
            other => Followed::Retry(errors::of_append(other)),
        }
    }
}

/// Validates small records here and now. Whether those of a batch are small shows when they are unpacked: it is begun,
/// and where it comes to more, begun again apart from the other work of this thread.
fn validate_where_it_may_take_long(
    records: &Bytes,
    options: &ValidateOptions<'_>,
    (offset, epoch, now_ms): (i64, i32, i64),
) -> Result<ValidatedBatches, ValidateError> {
    let validate = |options: &ValidateOptions<'_>| {
        validate::validate_for_append(records.clone(), options, offset, epoch, now_ms)
    };
    let left_bytes = options.allowance.left_bytes();
    let small_bytes = left_bytes.min(SMALL_BYTES);
    if records.len() <= SMALL_BYTES {
        let allowance = Allowance::new(small_bytes);
        let validated = validate(&ValidateOptions { allowance: &allowance, ..options.clone() });
        let is_large = matches!(validated, Err(ValidateError::UnpacksTooLarge(_)));
        if !is_large || left_bytes <= SMALL_BYTES {
            options.allowance.take(small_bytes - allowance.left_bytes());
            return validated;
        }
    }
    apart::apart(|| validate(options))
}

fn validate_options<'a>(
    config: &LogConfig,
    tp: &'a TopicPartition,
    origin: AppendOrigin,
    allowance: &'a Allowance,
) -> ValidateOptions<'a> {
    ValidateOptions {
        topic_partition: tp,
        origin,
        compression: match config.compression_type {
            CompressionType::Producer => None,
            CompressionType::Uncompressed => Some(Compression::None),
            CompressionType::Gzip => Some(Compression::Gzip),
            CompressionType::Snappy => Some(Compression::Snappy),
            CompressionType::Lz4 => Some(Compression::Lz4),
            CompressionType::Zstd => Some(Compression::Zstd),
        },
        compacted: config.compact,
        timestamp_type: match config.message_timestamp_type {
            jackdaw_log::TimestampType::CreateTime => TimestampType::CreateTime,
            jackdaw_log::TimestampType::LogAppendTime => TimestampType::LogAppendTime,
        },
        timestamp_before_max_ms: config.message_timestamp_before_max_ms,
        timestamp_after_max_ms: config.message_timestamp_after_max_ms,
        max_message_bytes: usize::try_from(config.max_message_bytes).unwrap_or(0),
        allowance,
    }
}
