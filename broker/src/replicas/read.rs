//! Reading one partition for a fetch: epochs, bounds, divergence, records by reference, the follower's position.

use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use jackdaw_log::{AbortedTxn, CompressionType, ReadError};
use jackdaw_replication::{FollowerFetch, FollowerRefusal, Isolation, OffsetBounds};
use jackdaw_wire::batch::MAGIC_V2;
use jackdaw_wire::fetch::magic_of_version;
use jackdaw_wire::segment::Segment;
use jackdaw_wire::{ErrorCode, OffsetAndEpoch};

use super::partition::{After, Partition};
use super::session::Ask;
use crate::clock;
use crate::errors;

/// Who reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Who {
    /// The follower's broker id; -1 for a consumer.
    pub follower: i32,
    /// The follower's broker epoch; -1 where it does not say.
    pub broker_epoch: i64,
    pub isolation: Isolation,
    /// Followers and old consumers read from leaders only; newer ones from any replica (KIP-392).
    pub leader_only: bool,
}

/// How much may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limit {
    /// Less than zero is an error where there is something to read (`LogSegment.read`).
    pub max_bytes: i64,
    /// The first batch comes whole even if it is larger (KIP-74).
    pub min_one_batch: bool,
    /// A part of a first batch comes too, which is how clients older than KIP-74 learn to ask for more.
    pub parts: bool,
}

/// What a partition has for a fetch.
#[derive(Debug, Clone)]
pub(super) struct PartitionRead {
    pub error: Option<ErrorCode>,
    /// There was no such partition.
    pub is_unknown: bool,
    /// Why nothing of this is for a client of this version.
    pub version_error: Option<ErrorCode>,
    pub high_watermark: i64,
    pub last_stable_offset: i64,
    pub log_start: i64,
    pub diverging: Option<OffsetAndEpoch>,
    /// The replica that the consumer is to read from in place of this one.
    pub preferred: Option<i32>,
    pub aborted: Option<Vec<AbortedTxn>>,
    pub records: Vec<Segment>,
    pub size_bytes: usize,
    /// What counts for `min_bytes`, whether or not it fitted into this reply.
    pub available_bytes: usize,
    /// The reader is behind the segment that is written to: not kept waiting (`DelayedFetch`, case F).
    pub is_behind: bool,
    /// There is something to read from the asked offset on, whether or not it fitted.
    pub has_more: bool,
    /// The follower waits to be let into the ISR: look again with its next fetch, changed or not.
    pub look_again: bool,
}

impl PartitionRead {
    /// For a partition that did not exist when the fetch came: told without a look at any log, and no reason to answer
    /// before the others have something (`KafkaApis.handleFetchRequest`).
    pub fn unknown(error: ErrorCode) -> Self {
        Self { is_unknown: true, aborted: Some(Vec::new()), ..Self::failed(error) }
    }

    pub fn failed(error: ErrorCode) -> Self {
        Self { error: Some(error), ..Self::nothing() }
    }

    pub fn nothing() -> Self {
        Self {
            error: None,
            is_unknown: false,
            version_error: None,
            high_watermark: -1,
            last_stable_offset: -1,
            log_start: -1,
            diverging: None,
            preferred: None,
            aborted: None,
            records: Vec::new(),
            size_bytes: 0,
            available_bytes: 0,
            is_behind: false,
            has_more: false,
            look_again: false,
        }
    }

    /// Something is told in place of records.
    pub fn is_refused(&self) -> bool {
        self.error.is_some() || self.diverging.is_some() || self.preferred.is_some()
    }

    /// Whether the fetch is answered at once because of it.
    pub fn is_urgent(&self) -> bool {
        self.is_refused() && !self.is_unknown || self.is_behind
    }
}

/// The state's side of a read: bounds as of one moment.
struct Looked {
    bounds: OffsetBounds,
    diverging: Option<OffsetAndEpoch>,
    look_again: bool,
}

impl Partition {
    /// Why a consumer of this version of Fetch gets no records, whatever there is (`maybeConvertFetchedData`).
    pub fn refuse_version(&self, version: i16) -> Option<ErrorCode> {
        const ZSTD_FROM: i16 = 10;
        if version >= ZSTD_FROM {
            return None;
        }
        let config = self.config();
        if config.compression_type == CompressionType::Zstd {
            return Some(ErrorCode::UnsupportedCompressionType);
        }
        let converts = magic_of_version(version) < MAGIC_V2;
        (converts && !config.message_downconversion_enable).then_some(ErrorCode::UnsupportedVersion)
    }

    /// Reads. `counts` for the first look of a fetch, which tells the follower's position; a later one tells
    /// nothing new (`readFromPurgatory`).
    pub fn read(self: &Arc<Self>, ask: &Ask, who: &Who, limit: Limit, counts: bool) -> PartitionRead {
        let mut after = After::default();
        let looked = self.look(ask, who, counts, &mut after);
        self.finish(after);
        match looked {
            Err(error) => PartitionRead::failed(error),
            Ok(looked) => self.read_records(ask, who, limit, &looked).unwrap_or_else(|error| {
                if let ReadError::Storage(error) = &error {
                    self.storage_failed(error);
                }
                PartitionRead::failed(errors::of_read(&error))
            }),
        }
    }

    fn look(
        self: &Arc<Self>,
        ask: &Ask,
        who: &Who,
        counts: bool,
        after: &mut After,
    ) -> Result<Looked, ErrorCode> {
        if !self.dir.is_online() {
            return Err(ErrorCode::KafkaStorageError);
        }
        let mut state = self.state();
        state.replica.check_epoch(ask.current_leader_epoch)?;
        let has_role = match who.leader_only {
            true => state.replica.as_leader().is_some(),
            false => state.replica.as_leader().is_some() || state.replica.as_follower().is_some(),
        };
        if !has_role {
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        if who.follower >= 0 {
            self.check_follower(&state.replica, ask, who)?;
        }
        let log_end = self.reader.log_end_offset();
        let log_start = self.reader.log_start_offset();
        let diverging = self.diverging(ask, log_start)?;
        let mut look_again = false;
        if diverging.is_none() {
            if !(log_start..=log_end).contains(&ask.offset) {
                return Err(ErrorCode::OffsetOutOfRange);
            }
            if counts && who.follower >= 0 {
                let fetch = FollowerFetch {
                    broker: who.follower,
                    broker_epoch: who.broker_epoch,
                    offset: ask.offset,
                    log_start: ask.log_start,
                    leader_end: log_end,
                    now_ms: clock::steady().0,
                };
                let brokers = self.context.brokers();
                let leader = state.replica.as_leader_mut().ok_or(ErrorCode::NotLeaderOrFollower)?;
                let known = leader.remotes().iter().find(|remote| remote.broker == who.follower);
                let started_at = known.map(|remote| remote.log_start);
                // A fetch of a former incarnation (`Replica.updateFetchStateOrThrow`).
                let fetched = leader.follower_fetched(&fetch, &brokers);
                let effects = fetched.map_err(|_| ErrorCode::NotLeaderOrFollower)?;
                state.settle(self, effects, after);
                if started_at != Some(ask.log_start) {
                    self.log_starts.notify_waiters();
                }
            }
            // Also while it waits: what was proposed may be undone by then, and be due again with the next fetch.
            let leader = state.replica.as_leader();
            look_again = leader.is_some_and(|leader| leader.is_waiting_to_join(who.follower));
        }
        let high_watermark = state.replica.high_watermark();
        let bounds = OffsetBounds {
            log_start,
            last_stable: self.reader.last_stable_offset(high_watermark),
            high_watermark,
            log_end,
        };
        Ok(Looked { bounds, diverging, look_again })
    }

    /// Whether the follower is one of the replicas (`Partition.followerReplicaOrThrow`).
    fn check_follower(
        &self,
        replica: &jackdaw_replication::Replica,
        ask: &Ask,
        who: &Who,
    ) -> Result<(), ErrorCode> {
        let leader = replica.as_leader().ok_or(ErrorCode::NotLeaderOrFollower)?;
        if leader.remotes().iter().any(|r| r.broker == who.follower) {
            return Ok(());
        }
        tracing::debug!(
            target: "kafka.cluster.Partition",
            "[Partition {} broker={}] {}", self.tp, self.context.node_id,
            FollowerRefusal::NotAReplica(who.follower)
        );
        // With an epoch that matches, the assignment is news that has not come here yet: to be asked again.
        Err(if ask.current_leader_epoch >= 0 {
            ErrorCode::UnknownLeaderEpoch
        } else {
            ErrorCode::NotLeaderOrFollower
        })
    }

    /// Whether the fetcher's log has what this one has not (KIP-595, `Partition.readRecords`).
    fn diverging(&self, ask: &Ask, log_start: i64) -> Result<Option<OffsetAndEpoch>, ErrorCode> {
        if ask.last_fetched_epoch < 0 {
            return Ok(None);
        }
        let found = self.reader.end_offset_for_epoch(ask.last_fetched_epoch);
        let (epoch, end) = found.ok_or(ErrorCode::OffsetOutOfRange)?;
        if ask.offset < log_start {
            return Err(ErrorCode::OffsetOutOfRange);
        }
        let diverges = epoch < ask.last_fetched_epoch || end < ask.offset;
        Ok(diverges.then_some(OffsetAndEpoch { offset: end, epoch }))
    }

    fn read_records(
        &self,
        ask: &Ask,
        who: &Who,
        limit: Limit,
        looked: &Looked,
    ) -> Result<PartitionRead, ReadError> {
        let Looked { bounds, diverging, look_again } = looked;
        let mut read = PartitionRead {
            high_watermark: bounds.high_watermark,
            last_stable_offset: bounds.last_stable,
            log_start: bounds.log_start,
            diverging: *diverging,
            aborted: (who.isolation == Isolation::LastStable).then(Vec::new),
            look_again: *look_again,
            ..PartitionRead::nothing()
        };
        let upper = bounds.upper(who.isolation);
        if diverging.is_some() || ask.offset >= upper {
            return Ok(read);
        }
        read.has_more = true;
        let Ok(max_bytes) = usize::try_from(limit.max_bytes) else {
            return Ok(PartitionRead::failed(ErrorCode::UnknownServerError));
        };
        if max_bytes == 0 && !limit.min_one_batch {
            return Ok(read);
        }
        let found = if who.isolation == Isolation::LastStable {
            let (found, aborted) =
                self.reader.read_committed(ask.offset, max_bytes, upper, limit.min_one_batch)?;
            read.aborted = Some(aborted);
            found
        } else {
            self.reader.read(ask.offset, max_bytes, upper, limit.min_one_batch)?
        };
        let asked_bytes = usize::try_from(ask.max_bytes).unwrap_or(0);
        read.available_bytes = found.available_bytes.min(asked_bytes).max(found.size_bytes);
        read.is_behind = found.goes_on;
        if found.is_first_batch_incomplete && !limit.parts {
            read.aborted = None;
            return Ok(read);
        }
        read.size_bytes = found.size_bytes;
        read.records = found.records;
        Ok(read)
    }
}

/// The bytes of a piece, wherever they are.
pub(super) fn in_memory(segment: &Segment) -> io::Result<Bytes> {
    match segment {
        Segment::Bytes(bytes) => Ok(bytes.clone()),
        Segment::File { file, offset, len } => {
            let mut bytes = vec![0; *len];
            file.read_exact_at(&mut bytes, *offset)?;
            Ok(bytes.into())
        }
    }
}
