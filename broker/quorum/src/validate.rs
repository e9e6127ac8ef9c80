//! What must hold after every step, checked in debug builds and in simulation. A breach is a bug of this crate.

use crate::machine::Quorum;
use crate::state::State;

impl Quorum {
    /// Panics, naming the rule that does not hold.
    pub fn validate(&self) {
        let log = &self.log;
        assert!(log.start_offset <= log.end_offset, "the log's start is beyond its end: {log:?}");
        assert!(log.flushed_offset <= log.end_offset, "more is flushed than there is: {log:?}");
        assert!(log.epochs.is_sorted(), "epochs and their starts must rise together: {log:?}");
        assert!(log.last_epoch() <= self.epoch, "the log knows an epoch that the node does not: {log:?}");
        if let Some(flushing) = &self.flushing {
            assert!(flushing.end_offset <= log.end_offset, "a flush cannot end beyond the log");
        }
        if let Some(mark) = self.high_watermark {
            assert!(mark <= log.end_offset, "the high watermark {mark} is beyond the log's end: {log:?}");
        }
        if !self.is_voter() {
            let observing =
                matches!(self.state, State::Unattached { election_deadline_ms: None } | State::Follower(_));
            assert!(observing, "an observer is {}", self.state.name());
        }
        match &self.state {
            State::Leader(leader) => {
                assert!(leader.epoch_start < log.end_offset, "an epoch opens with its LEADER_CHANGE");
                assert_eq!(log.last_epoch(), self.epoch, "a leader's log ends in its own epoch");
                if let Some(mark) = leader.high_watermark {
                    assert!(mark > leader.epoch_start, "nothing is committed before the epoch's own batch");
                    assert!(self.high_watermark >= Some(mark), "a leader forgot what it committed");
                }
            }
            State::Follower(follower) => {
                assert_ne!(follower.leader, self.config.node_id, "a node cannot follow itself");
                assert!(self.config.voters.contains(&follower.leader), "a leader is a voter");
            }
            State::Voted { candidate, .. } => {
                assert_ne!(*candidate, self.config.node_id, "a vote for oneself is a candidacy");
            }
            State::Unattached { .. } | State::Candidate(_) | State::Resigned(_) => {}
        }
    }
}
