//! Answers the requests of voters: Vote, BeginQuorumEpoch, EndQuorumEpoch, with the errors of `KafkaRaftClient`.

use jackdaw_wire::messages::{
    BeginQuorumEpochRequest, BeginQuorumEpochResponse, EndQuorumEpochRequest, EndQuorumEpochResponse,
    VoteRequest, VoteResponse,
};
use jackdaw_wire::types::METADATA_TOPIC_NAME;
use jackdaw_wire::{ErrorCode, OffsetAndEpoch, StrBytes};

use crate::machine::Quorum;
use crate::messages::{self, singleton};
use crate::state::State;
use crate::{Effect, QuorumError, Request, Response};

impl Quorum {
    pub(crate) fn handle_request(&mut self, token: u64, request: Request) -> Result<(), QuorumError> {
        let response = match request {
            Request::Vote(request) => Response::Vote(self.handle_vote(&request)),
            Request::BeginQuorumEpoch(request) => {
                Response::BeginQuorumEpoch(self.handle_begin_epoch(&request)?)
            }
            Request::EndQuorumEpoch(request) => Response::EndQuorumEpoch(self.handle_end_epoch(&request)?),
            Request::DescribeQuorum(request) => Response::DescribeQuorum(self.handle_describe(&request)),
            Request::Fetch(request) => {
                self.handle_fetch(token, request);
                return Ok(());
            }
            Request::FetchSnapshot(request) => {
                self.handle_fetch_snapshot(token, &request);
                return Ok(());
            }
        };
        self.out.push(Effect::Reply { token, response });
        Ok(())
    }

    /// Not enforced where it is not given.
    pub(crate) fn is_own_cluster(&self, cluster_id: Option<&StrBytes>) -> bool {
        cluster_id.is_none_or(|id| id.as_str() == self.config.cluster_id)
    }

    fn validate_voter_request(&self, sender: i32, epoch: i32) -> Option<ErrorCode> {
        if epoch < self.epoch {
            Some(ErrorCode::FencedLeaderEpoch)
        } else if sender < 0 {
            Some(ErrorCode::InvalidRequest)
        } else if !self.is_voter() || !self.config.voters.contains(&sender) || sender == self.config.node_id {
            Some(ErrorCode::InconsistentVoterSet)
        } else {
            None
        }
    }

    fn handle_vote(&mut self, request: &VoteRequest) -> VoteResponse {
        if !self.is_own_cluster(request.cluster_id.as_ref()) {
            return VoteResponse::default().with_error_code(ErrorCode::InconsistentClusterId.code());
        }
        let Some(partition) = singleton!(request.topics, topic_name, partition_index) else {
            return VoteResponse::default().with_error_code(ErrorCode::InvalidRequest.code());
        };
        let (candidate, epoch) = (partition.candidate_id.0, partition.candidate_epoch);
        let end = OffsetAndEpoch::new(partition.last_offset, partition.last_offset_epoch);
        if end.offset < 0 || end.epoch < 0 || end.epoch >= epoch {
            return messages::vote_response(Some(ErrorCode::InvalidRequest), self.leader_and_epoch(), false);
        }
        if let Some(error) = self.validate_voter_request(candidate, epoch) {
            return messages::vote_response(Some(error), self.leader_and_epoch(), false);
        }
        let (waited, planned_ms) = (self.waits_for_election(), self.evidence.early_deadline_ms);
        if epoch > self.epoch {
            self.become_unattached(epoch);
        }
        let granted = match &self.state {
            State::Unattached { .. } => end >= self.log.end(),
            State::Voted { candidate: voted, .. } => *voted == candidate,
            _ => false,
        };
        if granted && matches!(self.state, State::Unattached { .. }) {
            self.become_voted(epoch, candidate);
        } else if !granted && waited {
            self.plan_next_campaign(planned_ms);
        }
        messages::vote_response(None, self.leader_and_epoch(), granted)
    }

    fn handle_begin_epoch(
        &mut self,
        request: &BeginQuorumEpochRequest,
    ) -> Result<BeginQuorumEpochResponse, QuorumError> {
        if !self.is_own_cluster(request.cluster_id.as_ref()) {
            let code = ErrorCode::InconsistentClusterId.code();
            return Ok(BeginQuorumEpochResponse::default().with_error_code(code));
        }
        let Some(partition) = singleton!(request.topics, topic_name, partition_index) else {
            let code = ErrorCode::InvalidRequest.code();
            return Ok(BeginQuorumEpochResponse::default().with_error_code(code));
        };
        let (leader, epoch) = (partition.leader_id.0, partition.leader_epoch);
        let error = self.validate_voter_request(leader, epoch);
        if error.is_none() {
            self.follow_word(Some(leader), epoch)?;
        }
        Ok(messages::begin_epoch_response(error, self.leader_and_epoch()))
    }

    fn handle_end_epoch(
        &mut self,
        request: &EndQuorumEpochRequest,
    ) -> Result<EndQuorumEpochResponse, QuorumError> {
        if !self.is_own_cluster(request.cluster_id.as_ref()) {
            let code = ErrorCode::InconsistentClusterId.code();
            return Ok(EndQuorumEpochResponse::default().with_error_code(code));
        }
        let Some(partition) = singleton!(request.topics, topic_name, partition_index) else {
            let code = ErrorCode::InvalidRequest.code();
            return Ok(EndQuorumEpochResponse::default().with_error_code(code));
        };
        let (leader, epoch) = (partition.leader_id.0, partition.leader_epoch);
        let error = self.validate_voter_request(leader, epoch);
        if error.is_none() {
            self.follow_word(Some(leader), epoch)?;
            let campaign_ms = self.now_ms + self.end_epoch_delay_ms(leader, &partition.preferred_successors);
            if let State::Follower(follower) = &mut self.state
                && follower.leader == leader
            {
                follower.fetch_deadline_ms = campaign_ms;
            }
        }
        Ok(messages::end_epoch_response(error, self.leader_and_epoch()))
    }

    /// `KafkaRaftClient.endEpochElectionBackoff`: the first successor at once, the others each twice as late as the
    /// one before. A leader that names no successor was restarted: then in order of voter id.
    fn end_epoch_delay_ms(&self, leader: i32, successors: &[i32]) -> i64 {
        let position = successors.iter().position(|&id| id == self.config.node_id);
        match position {
            Some(0) => 0,
            Some(position) => {
                let max_ms = self.config.election_backoff_max_ms;
                let base_ms = max_ms >> (successors.len() - 1).min(62);
                base_ms.checked_shl(position as u32 - 1).map_or(max_ms, |delay_ms| delay_ms.min(max_ms))
            }
            None => self.early_delay_ms(|voter| voter != leader),
        }
    }

    /// Someone says who leads an epoch (`KafkaRaftClient.maybeTransition`).
    pub(crate) fn follow_word(&mut self, leader: Option<i32>, epoch: i32) -> Result<(), QuorumError> {
        if epoch > self.epoch {
            match leader {
                Some(leader) if leader == self.config.node_id && self.is_voter() => {
                    self.become_forgotten_leader(epoch);
                }
                Some(leader) if self.config.voters.contains(&leader) => self.become_follower(epoch, leader),
                _ => self.become_unattached(epoch),
            }
            return Ok(());
        }
        let known = self.election().leader;
        if epoch < self.epoch || leader.is_none() || leader == known {
            return Ok(());
        }
        match (leader, known) {
            (Some(leader), None) if leader != self.config.node_id && self.config.voters.contains(&leader) => {
                self.become_follower(epoch, leader);
                Ok(())
            }
            _ => Err(QuorumError::InconsistentLeader { epoch, told: leader, known }),
        }
    }
}
