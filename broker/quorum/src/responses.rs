//! Handles the replies of other voters, as `KafkaRaftClient.handleResponse` does.

use bytes::Bytes;
use jackdaw_wire::batch::complete_batches;
use jackdaw_wire::messages::{
    BeginQuorumEpochResponse, EndQuorumEpochResponse, FetchResponse, FetchSnapshotResponse, VoteResponse,
    fetch_response,
};
use jackdaw_wire::types::METADATA_TOPIC_NAME;
use jackdaw_wire::{ErrorCode, OffsetAndEpoch};

use crate::machine::Quorum;
use crate::messages::{self, singleton};
use crate::state::State;
use crate::{Effect, QuorumError, Response};

/// What became of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Done with; the voter may be asked again at once.
    Handled,
    /// Of no use; ask again after the backoff.
    Retry,
}

/// What every reply carries: an error and the sender's view of the leader.
#[derive(Debug, Clone, Copy)]
struct Verdict {
    error: Option<ErrorCode>,
    leader: Option<i32>,
    epoch: i32,
}

impl Verdict {
    fn new(error_code: i16, leader_id: i32, epoch: i32) -> Self {
        Self { error: error_of(error_code), leader: (leader_id >= 0).then_some(leader_id), epoch }
    }
}

/// `None` for no error; a code that is not known counts as UNKNOWN_SERVER_ERROR.
fn error_of(code: i16) -> Option<ErrorCode> {
    match code {
        0 => None,
        code => Some(ErrorCode::try_from_code(code).unwrap_or(ErrorCode::UnknownServerError)),
    }
}

impl Quorum {
    pub(crate) fn handle_response(
        &mut self,
        from: i32,
        correlation: u64,
        response: Response,
    ) -> Result<(), QuorumError> {
        if !self.connections.expects(from, correlation) {
            return Ok(());
        }
        let outcome = match response {
            Response::Vote(response) => self.handle_vote_response(from, &response)?,
            Response::BeginQuorumEpoch(response) => self.handle_begin_response(from, &response)?,
            Response::EndQuorumEpoch(response) => self.handle_end_response(from, &response)?,
            Response::Fetch(response) => self.handle_fetch_response(from, response)?,
            Response::FetchSnapshot(response) => self.handle_snapshot_response(from, response)?,
            // Never asked for.
            Response::DescribeQuorum(_) => Outcome::Retry,
        };
        match outcome {
            Outcome::Handled => self.connections.succeeded(from, correlation),
            Outcome::Retry => self.connections.failed(from, correlation, self.now_ms),
        }
        Ok(())
    }

    /// What all replies have in common (`maybeHandleCommonResponse`); `None`: there is more to handle.
    fn handle_common(
        &mut self,
        from: i32,
        api: &'static str,
        verdict: Verdict,
    ) -> Result<Option<Outcome>, QuorumError> {
        let Verdict { error, leader, epoch } = verdict;
        if epoch < self.epoch || error == Some(ErrorCode::UnknownLeaderEpoch) {
            return Ok(Some(Outcome::Retry));
        }
        let stale = matches!(error, Some(ErrorCode::FencedLeaderEpoch | ErrorCode::NotLeaderOrFollower));
        if epoch > self.epoch || stale {
            let before = (self.epoch, self.state.name());
            self.follow_word(leader, epoch)?;
            // An answer without news would be asked for again at once, without end.
            let has_news = before != (self.epoch, self.state.name());
            return Ok(Some(if has_news { Outcome::Handled } else { Outcome::Retry }));
        }
        if leader.is_some() && self.election().leader.is_none() {
            self.follow_word(leader, epoch)?;
            return Ok(error.map(|_| Outcome::Handled));
        }
        match error {
            Some(ErrorCode::BrokerNotAvailable) => Ok(Some(Outcome::Retry)),
            Some(error @ (ErrorCode::InconsistentGroupProtocol | ErrorCode::InvalidRequest)) => {
                Err(QuorumError::Refused { from, api, error: name_of(error) })
            }
            _ => Ok(None),
        }
    }

    fn handle_vote_response(&mut self, from: i32, response: &VoteResponse) -> Result<Outcome, QuorumError> {
        let Some(partition) = singleton!(response.topics, topic_name, partition_index) else {
            return Ok(Outcome::Retry);
        };
        if response.error_code != 0 {
            return Ok(Outcome::Retry);
        }
        let verdict = Verdict::new(partition.error_code, partition.leader_id.0, partition.leader_epoch);
        if let Some(outcome) = self.handle_common(from, "Vote", verdict)? {
            return Ok(outcome);
        }
        if verdict.error.is_some() {
            return Ok(Outcome::Retry);
        }
        let State::Candidate(candidate) = &mut self.state else { return Ok(Outcome::Handled) };
        candidate.record(from, partition.vote_granted);
        Ok(Outcome::Handled)
    }

    fn handle_begin_response(
        &mut self,
        from: i32,
        response: &BeginQuorumEpochResponse,
    ) -> Result<Outcome, QuorumError> {
        let Some(partition) = singleton!(response.topics, topic_name, partition_index) else {
            return Ok(Outcome::Retry);
        };
        let verdict = Verdict::new(partition.error_code, partition.leader_id.0, partition.leader_epoch);
        if let Some(outcome) = self.handle_common(from, "BeginQuorumEpoch", verdict)? {
            return Ok(outcome);
        }
        if verdict.error.is_some() {
            return Ok(Outcome::Retry);
        }
        if let State::Leader(leader) = &mut self.state {
            leader.acknowledged(from);
        }
        Ok(Outcome::Handled)
    }

    fn handle_end_response(
        &mut self,
        from: i32,
        response: &EndQuorumEpochResponse,
    ) -> Result<Outcome, QuorumError> {
        let Some(partition) = singleton!(response.topics, topic_name, partition_index) else {
            return Ok(Outcome::Retry);
        };
        let verdict = Verdict::new(partition.error_code, partition.leader_id.0, partition.leader_epoch);
        if let Some(outcome) = self.handle_common(from, "EndQuorumEpoch", verdict)? {
            return Ok(outcome);
        }
        if verdict.error.is_some() {
            return Ok(Outcome::Retry);
        }
        if let State::Resigned(resigned) = &mut self.state {
            resigned.unacked.remove(&from);
        }
        Ok(Outcome::Handled)
    }

    fn handle_fetch_response(&mut self, from: i32, response: FetchResponse) -> Result<Outcome, QuorumError> {
        let Some(partition) = messages::fetched_partition(&response) else { return Ok(Outcome::Retry) };
        if response.error_code != 0 {
            return Ok(Outcome::Retry);
        }
        let current = &partition.current_leader;
        let verdict = Verdict::new(partition.error_code, current.leader_id.0, current.leader_epoch);
        self.note_answer(from, verdict.leader.is_some() && verdict.epoch >= self.epoch);
        if let Some(outcome) = self.handle_common(from, "Fetch", verdict)? {
            return Ok(outcome);
        }
        if verdict.error.is_some() {
            return Ok(Outcome::Retry);
        }
        let State::Follower(follower) = &self.state else { return Ok(Outcome::Handled) };
        if follower.leader != from {
            return Ok(Outcome::Handled);
        }
        let (diverging, snapshot) = (&partition.diverging_epoch, &partition.snapshot_id);
        if diverging.epoch >= 0 {
            let leader_end = OffsetAndEpoch::new(diverging.end_offset, diverging.epoch);
            self.truncate(self.log.truncation_point(leader_end))?;
        } else if snapshot.epoch >= 0 || snapshot.end_offset >= 0 {
            if snapshot.epoch < 0 || snapshot.end_offset < 0 {
                return Ok(Outcome::Retry);
            }
            let id = OffsetAndEpoch::new(snapshot.end_offset, snapshot.epoch);
            self.begin_snapshot(id);
        } else {
            let records = partition.records.clone().unwrap_or_default();
            if !self.append_fetched(records) {
                return Ok(Outcome::Retry);
            }
            self.follow_high_watermark(partition)?;
        }
        self.renew_fetch_deadline();
        Ok(Outcome::Handled)
    }

    fn renew_fetch_deadline(&mut self) {
        let deadline_ms = self.now_ms + self.config.fetch_timeout_ms;
        if let State::Follower(follower) = &mut self.state {
            follower.fetch_deadline_ms = deadline_ms;
        }
    }

    fn begin_snapshot(&mut self, id: OffsetAndEpoch) {
        if let State::Follower(follower) = &mut self.state {
            follower.snapshot = Some((id, 0));
        }
    }

    /// Appends the whole batches that continue the log; false when there is something else in their place. The last
    /// batch may be cut off, as a leader cuts its reply by bytes.
    fn append_fetched(&mut self, records: Bytes) -> bool {
        let base_offset = self.log.end_offset;
        let (mut expected, mut last_epoch, mut size_bytes) = (base_offset, self.log.last_epoch(), 0);
        let mut ends = Vec::new();
        for batch in complete_batches(&records) {
            let Ok(batch) = batch else { return false };
            let (header, epoch) = (&batch.header, batch.header.partition_leader_epoch);
            let continues = header.base_offset == expected
                && header.last_offset_delta >= 0
                && (last_epoch..=self.epoch).contains(&epoch)
                && batch.check_crc().is_ok();
            if !continues {
                return false;
            }
            (expected, last_epoch) = (header.next_offset(), epoch);
            size_bytes += batch.bytes.len();
            ends.push((epoch, expected));
        }
        if ends.is_empty() {
            return records.is_empty();
        }
        for (epoch, end_offset) in ends {
            self.log.appended(epoch, end_offset);
        }
        self.out.push(Effect::AppendFetched { base_offset, records: records.slice(..size_bytes) });
        true
    }

    fn follow_high_watermark(
        &mut self,
        partition: &fetch_response::PartitionData,
    ) -> Result<(), QuorumError> {
        if partition.high_watermark < 0 {
            return Ok(());
        }
        let mark = partition.high_watermark.min(self.log.end_offset);
        match self.high_watermark {
            Some(known) if mark < known => Err(QuorumError::HighWatermarkWentBack { from: known, to: mark }),
            _ => {
                self.raise_high_watermark(mark);
                Ok(())
            }
        }
    }

    fn handle_snapshot_response(
        &mut self,
        from: i32,
        response: FetchSnapshotResponse,
    ) -> Result<Outcome, QuorumError> {
        let Some(partition) = singleton!(response.topics, name, index) else { return Ok(Outcome::Retry) };
        if response.error_code != 0 {
            return Ok(Outcome::Retry);
        }
        let current = &partition.current_leader;
        let verdict = Verdict::new(partition.error_code, current.leader_id.0, current.leader_epoch);
        if let Some(outcome) = self.handle_common(from, "FetchSnapshot", verdict)? {
            return Ok(outcome);
        }
        let State::Follower(follower) = &mut self.state else { return Ok(Outcome::Handled) };
        let Some((id, here)) = follower.snapshot else { return Ok(Outcome::Retry) };
        let told = OffsetAndEpoch::new(partition.snapshot_id.end_offset, partition.snapshot_id.epoch);
        let gone = verdict.error == Some(ErrorCode::SnapshotNotFound) || told.offset < 0 || told.epoch < 0;
        // Kafka's raft thread dies of a wrong id or position; to begin anew loses nothing.
        if gone || (verdict.error.is_none() && (told != id || partition.position != here)) {
            follower.snapshot = None;
            self.renew_fetch_deadline();
            return Ok(Outcome::Handled);
        }
        let bytes = partition.unaligned_records.clone();
        if verdict.error.is_some() || (bytes.is_empty() && here < partition.size) {
            return Ok(Outcome::Retry);
        }
        let size_bytes = partition.size;
        let end = here + i64::try_from(bytes.len()).unwrap_or(i64::MAX);
        follower.snapshot = (end < size_bytes).then_some((id, end));
        self.out.push(Effect::SnapshotChunk { id, position: here, bytes });
        if end >= size_bytes {
            self.finish_snapshot(id, size_bytes)?;
        }
        self.renew_fetch_deadline();
        Ok(Outcome::Handled)
    }

    /// `KafkaMetadataLog.truncateToLatestSnapshot`.
    fn finish_snapshot(&mut self, id: OffsetAndEpoch, size_bytes: i64) -> Result<(), QuorumError> {
        let end = self.log.end();
        let latest_epoch = self.log.epochs.last().map_or(0, |&(epoch, _)| epoch);
        let beyond = id.epoch > latest_epoch || (id.epoch == latest_epoch && id.offset > end.offset);
        let below_mark = self.high_watermark.is_some_and(|mark| id.offset < mark);
        if !beyond || below_mark {
            return Err(QuorumError::SnapshotNotBeyondLog { id, end });
        }
        self.restart_log_at(id, u64::try_from(size_bytes).unwrap_or(0));
        Ok(())
    }
}

fn name_of(error: ErrorCode) -> &'static str {
    match error {
        ErrorCode::InvalidRequest => "INVALID_REQUEST",
        _ => "INCONSISTENT_GROUP_PROTOCOL",
    }
}
