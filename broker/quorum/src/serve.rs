//! What the leader serves: Fetch with its waiting, FetchSnapshot, DescribeQuorum.

use jackdaw_wire::messages::{
    DescribeQuorumRequest, DescribeQuorumResponse, FetchRequest, FetchSnapshotRequest,
};
use jackdaw_wire::messages::{FetchResponse, describe_quorum_response};
use jackdaw_wire::types::METADATA_TOPIC_NAME;
use jackdaw_wire::{ErrorCode, OffsetAndEpoch};

use crate::leader::ParkedFetch;
use crate::machine::Quorum;
use crate::messages::{self, singleton};
use crate::state::State;
use crate::{Effect, LeaderAndEpoch, Response, Validity};

/// The metadata log may be read by anybody; more than this do not wait at once.
const MAX_PARKED_FETCHES: usize = 4_096;

impl Quorum {
    /// A request for the current leader, of its epoch (`validateLeaderOnlyRequest`).
    fn validate_leader_request(&self, epoch: i32) -> Option<ErrorCode> {
        if epoch < self.epoch {
            Some(ErrorCode::FencedLeaderEpoch)
        } else if epoch > self.epoch {
            Some(ErrorCode::UnknownLeaderEpoch)
        } else if !self.is_leader() {
            Some(ErrorCode::NotLeaderOrFollower)
        } else {
            None
        }
    }

    fn fetch_error(&self, error: ErrorCode, current: LeaderAndEpoch) -> FetchResponse {
        messages::fetch_response(Some(error), current, None, self.log.start_offset, Validity::Valid)
    }

    fn reply_fetch_error(&mut self, token: u64, error: ErrorCode) {
        let response = Response::Fetch(self.fetch_error(error, self.leader_to_name()));
        self.out.push(Effect::Reply { token, response });
    }

    pub(crate) fn refuse_parked(&mut self, token: u64) {
        self.reply_fetch_error(token, ErrorCode::NotLeaderOrFollower);
    }

    pub(crate) fn handle_fetch(&mut self, token: u64, request: FetchRequest) {
        let top_level = if !self.is_own_cluster(request.cluster_id.as_ref()) {
            Some(ErrorCode::InconsistentClusterId)
        } else if messages::fetch_partition(&request).is_none() {
            Some(ErrorCode::InvalidRequest)
        } else {
            None
        };
        let (Some(partition), None) = (messages::fetch_partition(&request), top_level) else {
            let code = top_level.map_or(0, |error| error.code());
            let response = Response::Fetch(FetchResponse::default().with_error_code(code));
            self.out.push(Effect::Reply { token, response });
            return;
        };
        let replica = messages::replica_id(&request);
        let invalid = request.max_wait_ms < 0
            || partition.fetch_offset < 0
            || partition.last_fetched_epoch < 0
            || partition.last_fetched_epoch > partition.current_leader_epoch
            || (replica == self.config.node_id && self.is_leader());
        if invalid {
            return self.reply_fetch_error(token, ErrorCode::InvalidRequest);
        }
        let (offset, epoch) = (partition.fetch_offset, partition.current_leader_epoch);
        if let Some(error) = self.validate_leader_request(epoch) {
            return self.reply_fetch_error(token, error);
        }
        let validity = self.log.validate_end(offset, partition.last_fetched_epoch);
        if validity == Validity::Valid {
            self.count_fetch(replica, offset);
        }
        let waits = validity == Validity::Valid && offset >= self.log.end_offset && request.max_wait_ms > 0;
        let fetch = ParkedFetch {
            token,
            replica,
            offset,
            deadline_ms: self.now_ms + i64::from(request.max_wait_ms),
            request,
        };
        self.park_or_answer(fetch, waits, validity);
    }

    fn count_fetch(&mut self, replica: i32, offset: i64) {
        let (now_ms, recheck_ms, end) = (self.now_ms, self.check_quorum_timeout_ms(), self.log.end_offset);
        if let State::Leader(leader) = &mut self.state
            && leader.fetched(replica, offset, end, now_ms, recheck_ms)
        {
            self.leader_mark_moved();
        }
    }

    fn park_or_answer(&mut self, fetch: ParkedFetch, waits: bool, validity: Validity) {
        let State::Leader(leader) = &mut self.state else { return };
        if !waits || leader.has_news_for(fetch.replica) {
            return self.answer_fetch(&fetch, validity);
        }
        // A replica that asks again has given up its earlier question, as after a broken connection.
        let superseded = leader
            .parked
            .iter()
            .position(|parked| fetch.replica >= 0 && parked.replica == fetch.replica)
            .or_else(|| (leader.parked.len() >= MAX_PARKED_FETCHES).then_some(0))
            .map(|at| leader.parked.remove(at));
        leader.parked.push(fetch);
        if let Some(old) = superseded {
            self.answer_fetch(&old, Validity::Valid);
        }
    }

    fn answer_fetch(&mut self, fetch: &ParkedFetch, validity: Validity) {
        let State::Leader(leader) = &mut self.state else { return };
        leader.tell(fetch.replica);
        let mark = leader.high_watermark;
        let current = self.leader_and_epoch();
        let response = messages::fetch_response(None, current, mark, self.log.start_offset, validity);
        let (token, offset, end) = (fetch.token, fetch.offset, self.log.end_offset);
        if validity == Validity::Valid && offset < end {
            let max_bytes = self.config.fetch_max_bytes.min(fetch.request.max_bytes.max(1));
            self.out.push(Effect::ReplyFetch { token, response, offset, end, max_bytes });
        } else {
            self.out.push(Effect::Reply { token, response: Response::Fetch(response) });
        }
    }

    /// Answers the waiting fetches that now have records or a higher high watermark to learn of.
    pub(crate) fn answer_parked(&mut self) {
        let end = self.log.end_offset;
        self.answer_parked_where(|leader, fetch| fetch.offset < end || leader.has_news_for(fetch.replica));
    }

    pub(crate) fn expire_parked(&mut self) {
        let now_ms = self.now_ms;
        self.answer_parked_where(|_, fetch| fetch.deadline_ms <= now_ms);
        let State::Leader(leader) = &self.state else { return };
        if let Some(deadline_ms) = leader.parked.iter().map(|fetch| fetch.deadline_ms).min() {
            self.wake_at(deadline_ms);
        }
    }

    fn answer_parked_where(&mut self, is_due: impl Fn(&crate::leader::Leader, &ParkedFetch) -> bool) {
        let State::Leader(leader) = &mut self.state else { return };
        let (due, waiting) =
            std::mem::take(&mut leader.parked).into_iter().partition(|fetch| is_due(leader, fetch));
        leader.parked = waiting;
        let due: Vec<ParkedFetch> = due;
        for fetch in due {
            self.answer_fetch(&fetch, Validity::Valid);
        }
    }

    pub(crate) fn handle_fetch_snapshot(&mut self, token: u64, request: &FetchSnapshotRequest) {
        let current = self.leader_to_name();
        let reply = |response| Effect::Reply { token, response: Response::FetchSnapshot(response) };
        if !self.is_own_cluster(request.cluster_id.as_ref()) {
            let code = ErrorCode::InconsistentClusterId.code();
            return self
                .out
                .push(reply(jackdaw_wire::messages::FetchSnapshotResponse::default().with_error_code(code)));
        }
        let Some(partition) = singleton!(request.topics, name, partition) else {
            return self.out.push(reply(messages::fetch_snapshot_unknown(request)));
        };
        let id = OffsetAndEpoch::new(partition.snapshot_id.end_offset, partition.snapshot_id.epoch);
        let size_bytes = self.log.snapshots.get(&id).copied();
        let position = partition.position;
        let within = |size: u64| u64::try_from(position).is_ok_and(|position| position < size);
        let error = match (self.validate_leader_request(partition.current_leader_epoch), size_bytes) {
            (Some(error), _) => Some(error),
            (None, None) => Some(ErrorCode::SnapshotNotFound),
            (None, Some(size)) if !within(size) => Some(ErrorCode::PositionOutOfRange),
            _ => None,
        };
        let (None, Some(size_bytes)) = (error, size_bytes) else {
            return self.out.push(reply(messages::fetch_snapshot_response(error, current, None)));
        };
        let (now_ms, recheck_ms) = (self.now_ms, self.check_quorum_timeout_ms());
        if let State::Leader(leader) = &mut self.state {
            leader.heard_from(request.replica_id.0, now_ms, recheck_ms);
        }
        let response = messages::fetch_snapshot_response(None, current, Some((id, size_bytes, position)));
        let max_bytes = request.max_bytes.clamp(1, self.config.fetch_max_bytes);
        self.out.push(Effect::ReplySnapshot { token, response, id, position, max_bytes });
    }

    pub(crate) fn handle_describe(&mut self, request: &DescribeQuorumRequest) -> DescribeQuorumResponse {
        if singleton!(request.topics, topic_name, partition_index).is_none() {
            return messages::describe_error(request, ErrorCode::UnknownTopicOrPartition);
        }
        let (epoch, now_ms) = (self.epoch, self.now_ms);
        match &mut self.state {
            State::Leader(leader) => messages::describe_response(leader.describe(epoch, now_ms)),
            _ => messages::describe_response(
                describe_quorum_response::PartitionData::default()
                    .with_error_code(ErrorCode::NotLeaderOrFollower.code()),
            ),
        }
    }
}
