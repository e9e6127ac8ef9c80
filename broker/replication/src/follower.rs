//! The follower of a partition: what it asks for next, where it truncates, and how far it knows of commits.
//!
//! Kafka's `AbstractFetcherThread` for one partition, with truncation on fetch (KIP-595) as the only way. It
//! never sees a record: its caller sends the fetches, truncates and appends.

use jackdaw_wire::ErrorCode;

use crate::UNKNOWN_EPOCH;

/// What a fetch of this partition asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchState {
    /// The local log end.
    pub offset: i64,
    /// The epoch of the last record before it, or -1 where none is known. The leader compares it with its own.
    pub last_fetched_epoch: i32,
    pub current_leader_epoch: i32,
}

/// A leader's reply for this partition, without its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchedPartition {
    /// What was asked for, to tell an answer to an older question.
    pub asked: FetchState,
    pub error: Option<ErrorCode>,
    /// The largest epoch of the leader's that is not above the asked one, and its end offset there.
    pub diverging: Option<(i32, i64)>,
    pub high_watermark: i64,
    pub log_start: i64,
}

/// Where to truncate to, and what is then to be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TruncationTarget {
    pub offset: i64,
    /// Below what was known to be committed: only after an unclean election.
    pub below_high_watermark: bool,
}

/// What the caller does with a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The answer is to an older question: drop it.
    Ignore,
    /// Append the records, if any, then call [`FollowerState::appended`].
    Append,
    /// Truncate as [`FollowerState::truncation`] says, then call [`FollowerState::truncated`].
    Truncate { epoch: i32, end_offset: i64 },
    /// The leader's log lies elsewhere: ask for its bounds, then [`FollowerState::out_of_range`].
    AskBounds,
    /// Ask again after the backoff.
    Retry(ErrorCode),
    /// The leader is of a newer epoch: fetch no more until the image tells.
    Stop,
}

/// How to get back into the leader's range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutOfRange {
    /// The local log is longer than the leader's: truncate to the leader's end.
    TruncateTo(i64),
    /// The leader no longer has what comes next: drop everything and start there.
    StartAt(i64),
    /// The local log end is in range after all.
    Continue,
}

/// The follower's state under one leader epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowerState {
    leader: i32,
    epoch: i32,
    log_end: i64,
    last_epoch: i32,
    high_watermark: i64,
    stopped: bool,
    /// No epoch is known for the log: the first thing is to truncate to the high watermark.
    truncate_first: bool,
}

impl FollowerState {
    /// Follows `leader` from the local log end. A log with records but without any epoch was written before
    /// epochs were: it is truncated to its high watermark first (`AbstractFetcherThread.partitionFetchState`).
    pub fn new(
        leader: i32,
        epoch: i32,
        high_watermark: i64,
        log_end: i64,
        latest_epoch: Option<i32>,
    ) -> Self {
        Self {
            leader,
            epoch,
            log_end,
            last_epoch: latest_epoch.unwrap_or(UNKNOWN_EPOCH),
            high_watermark: high_watermark.min(log_end),
            stopped: false,
            truncate_first: latest_epoch.is_none() && high_watermark < log_end,
        }
    }

    /// The leader's broker id, or -1.
    pub fn leader(&self) -> i32 {
        self.leader
    }

    pub fn epoch(&self) -> i32 {
        self.epoch
    }

    pub fn high_watermark(&self) -> i64 {
        self.high_watermark
    }

    pub fn log_end(&self) -> i64 {
        self.log_end
    }

    /// The offset to truncate to before the first fetch, if any.
    pub fn truncate_first(&self) -> Option<i64> {
        self.truncate_first.then_some(self.high_watermark)
    }

    /// What to ask the leader for; `None` where there is no leader to ask, or none that would answer.
    pub fn next_fetch(&self) -> Option<FetchState> {
        let asks = self.leader >= 0 && !self.stopped && !self.truncate_first;
        asks.then_some(FetchState {
            offset: self.log_end,
            last_fetched_epoch: self.last_epoch,
            current_leader_epoch: self.epoch,
        })
    }

    /// What to do with a reply.
    pub fn fetched(&mut self, reply: &FetchedPartition) -> Step {
        if self.next_fetch() != Some(reply.asked) {
            return Step::Ignore;
        }
        match reply.error {
            None => match reply.diverging {
                Some((epoch, end_offset)) => Step::Truncate { epoch, end_offset },
                None => Step::Append,
            },
            Some(ErrorCode::OffsetOutOfRange) => Step::AskBounds,
            Some(ErrorCode::FencedLeaderEpoch) => {
                self.stopped = true;
                Step::Stop
            }
            Some(error) => Step::Retry(error),
        }
    }

    /// The records were appended and the log ends at `log_end`, in epoch `last_epoch`. Takes the leader's high
    /// watermark as far as the local log reaches. Returns the new one if it advanced.
    ///
    /// Kafka lets a follower's high watermark fall when a new leader's is still behind; here it stays: what was
    /// committed once is committed, and a replica that is promoted then knows so.
    pub fn appended(
        &mut self,
        log_end: i64,
        last_epoch: Option<i32>,
        leader_high_watermark: i64,
    ) -> Option<i64> {
        self.log_end = log_end;
        self.last_epoch = last_epoch.unwrap_or(self.last_epoch);
        let known = leader_high_watermark.min(log_end);
        if known <= self.high_watermark {
            return None;
        }
        self.high_watermark = known;
        Some(known)
    }

    /// Where to truncate when the leader says that its largest epoch not above ours is `epoch`, and ends at
    /// `end_offset` (`getOffsetTruncationState`, KIP-279). `local_end_of` finds the local log's largest epoch not
    /// above the given one, and its end offset.
    ///
    /// Where the local log does not know that epoch, it goes back to the end of its next smaller one, and the
    /// next fetch asks again from there.
    pub fn truncation(
        &self,
        epoch: i32,
        end_offset: i64,
        local_end_of: impl FnOnce(i32) -> Option<(i32, i64)>,
    ) -> TruncationTarget {
        let offset = if end_offset < 0 {
            // The leader does not know. The start of fetching is all that is left (Kafka's initial fetch offset).
            self.high_watermark
        } else if epoch == UNKNOWN_EPOCH {
            end_offset.min(self.log_end)
        } else {
            match local_end_of(epoch) {
                Some((local_epoch, local_end)) if local_epoch == epoch => {
                    local_end.min(end_offset).min(self.log_end)
                }
                Some((_, local_end)) => local_end.min(self.log_end),
                None => end_offset.min(self.log_end),
            }
        };
        TruncationTarget { offset, below_high_watermark: offset < self.high_watermark }
    }

    /// The log was truncated and ends at `log_end`, in epoch `last_epoch`.
    pub fn truncated(&mut self, log_end: i64, last_epoch: Option<i32>) {
        self.log_end = log_end;
        self.last_epoch = last_epoch.unwrap_or(UNKNOWN_EPOCH);
        self.high_watermark = self.high_watermark.min(log_end);
        self.truncate_first = false;
    }

    /// The log was dropped and starts over at `offset`.
    pub fn restarted(&mut self, offset: i64) {
        self.log_end = offset;
        self.last_epoch = UNKNOWN_EPOCH;
        self.high_watermark = offset;
        self.truncate_first = false;
    }

    /// How to get back into the leader's range (`fetchOffsetAndTruncate`).
    pub fn out_of_range(&self, leader_start: i64, leader_end: i64) -> OutOfRange {
        if leader_end < self.log_end {
            OutOfRange::TruncateTo(leader_end)
        } else if leader_start > self.log_end {
            OutOfRange::StartAt(leader_start)
        } else {
            OutOfRange::Continue
        }
    }

    /// Checks what must hold after every input.
    pub fn validate(&self) {
        assert!(self.high_watermark <= self.log_end, "high watermark beyond the log end: {self:?}");
    }
}
