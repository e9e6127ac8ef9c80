//! Evidence shortens a timer; it never replaces a rule.
//!
//! KRaft 3.7 has no pre-vote: a Vote of a higher epoch deposes a healthy leader. So a voter campaigns before its
//! timer in three cases only, in order of voter id, [`Config::early_step_ms`](crate::Config::early_step_ms) apart:
//! * it never had a log nor a vote, and a majority of the voters is reached (the first start of a cluster). Its
//!   epoch is then 1, which cannot depose anybody;
//! * the leader sent EndQuorumEpoch (Kafka's own rule, in `inbound`);
//! * the leader's connection closed and a fresh connect was refused, and a majority of the voters, this one
//!   included, say by Kafka's own Fetch that they know of no leader. A voter that has lost its leader says so by
//!   naming none; a JVM voter names it until its own timer ends, and then nothing is gained. Who then refuses a
//!   candidate with a shorter log is next.
//!
//! All of it can be wrong, as a firewall can refuse a connection: the votes decide, by the usual rules.

use std::collections::{BTreeMap, BTreeSet};

use crate::follower::Inquiry;
use crate::machine::Quorum;
use crate::state::State;

#[derive(Debug, Clone, Default)]
pub(crate) struct Evidence {
    pub reached: BTreeSet<i32>,
    pub lost: BTreeSet<i32>,
    /// An unattached voter campaigns then, if that is before its timer.
    pub early_deadline_ms: Option<i64>,
}

impl Quorum {
    pub(crate) fn peer_reached(&mut self, peer: i32) {
        self.evidence.lost.remove(&peer);
        self.evidence.reached.insert(peer);
        self.connections.end_backoff(peer);
        self.plan_first_campaign();
    }

    pub(crate) fn peer_lost(&mut self, peer: i32) {
        self.evidence.reached.remove(&peer);
        self.evidence.lost.insert(peer);
    }

    /// The place of this node among the voters that `others` leaves in the race; the first waits for nobody.
    pub(crate) fn early_delay_ms(&self, others: impl Fn(i32) -> bool) -> i64 {
        let before =
            self.config.voters.iter().filter(|&&voter| voter < self.config.node_id && others(voter)).count();
        self.config.early_step_ms * i64::try_from(before).unwrap_or(i64::MAX)
    }

    fn plan_first_campaign(&mut self) {
        let fresh =
            self.epoch == 0 && self.log.is_pristine() && matches!(self.state, State::Unattached { .. });
        if !fresh || !self.is_voter() || self.evidence.early_deadline_ms.is_some() {
            return;
        }
        let reached = self.config.voters.intersection(&self.evidence.reached).count() + 1;
        if reached >= self.majority() {
            let delay_ms = self.early_delay_ms(|voter| self.evidence.reached.contains(&voter));
            self.evidence.early_deadline_ms = Some(self.now_ms + delay_ms);
        }
    }

    /// The leader that a Fetch is answered with: none, when this follower has evidence that it is gone.
    pub(crate) fn leader_to_name(&self) -> crate::LeaderAndEpoch {
        let mut current = self.leader_and_epoch();
        if let State::Follower(follower) = &self.state
            && self.evidence.lost.contains(&follower.leader)
        {
            current.leader = None;
        }
        current
    }

    /// While the leader is lost, asks the other voters for one, and campaigns when a majority knows none.
    pub(crate) fn poll_inquiry(&mut self) {
        let (now_ms, step_ms) = (self.now_ms, self.config.early_step_ms);
        let State::Follower(follower) = &mut self.state else { return };
        let leader = follower.leader;
        if !self.evidence.lost.contains(&leader) {
            follower.inquiry = None;
            return;
        }
        let inquiry = follower
            .inquiry
            .get_or_insert_with(|| Inquiry { since_ms: now_ms, answers: BTreeMap::new() })
            .clone();
        let agreeing = inquiry.answers.values().filter(|(names_leader, _)| !names_leader).count() + 1;
        let contradicted = inquiry.answers.values().any(|(names_leader, _)| *names_leader);
        let campaign_ms = inquiry.since_ms + self.early_delay_ms(|voter| voter != leader);
        if agreeing >= self.majority() && !contradicted {
            if now_ms >= campaign_ms {
                return self.campaign_at(now_ms);
            }
            self.wake_at(campaign_ms);
        }
        let ask = Quorum::plain_fetch;
        for peer in self.peers() {
            if peer == leader || self.evidence.lost.contains(&peer) {
                continue;
            }
            match inquiry.answers.get(&peer) {
                Some((false, _)) => {}
                Some((true, asked_ms)) if now_ms < asked_ms + step_ms => self.wake_at(asked_ms + step_ms),
                _ => self.send(peer, ask(self.epoch, self.log.end())),
            }
        }
    }

    /// What `peer` answered to a Fetch while the leader is lost.
    pub(crate) fn note_answer(&mut self, peer: i32, names_leader: bool) {
        let now_ms = self.now_ms;
        if let State::Follower(follower) = &mut self.state
            && peer != follower.leader
            && let Some(inquiry) = &mut follower.inquiry
        {
            inquiry.answers.insert(peer, (names_leader, now_ms));
        }
    }

    /// Evidence has put this node into an election, or is about to.
    pub(crate) fn waits_for_election(&self) -> bool {
        match &self.state {
            State::Follower(follower) => follower.inquiry.is_some(),
            State::Unattached { .. } => self.evidence.early_deadline_ms.is_some(),
            State::Candidate(_) => !self.evidence.lost.is_empty(),
            _ => false,
        }
    }

    /// This voter refused its vote to a candidate with a shorter log, while it waited for an election itself: it is
    /// the next in line, and at once if those who are not gone cannot elect the other one without it.
    pub(crate) fn plan_next_campaign(&mut self, planned_ms: Option<i64>) {
        if matches!(self.state, State::Unattached { .. }) {
            let others = self.peers().difference(&self.evidence.lost).count();
            let is_needed = others < self.majority();
            let delay_ms =
                if is_needed { 0 } else { self.config.early_step_ms + self.early_delay_ms(|_| true) };
            let next_ms = self.now_ms + delay_ms;
            self.evidence.early_deadline_ms =
                Some(planned_ms.map_or(next_ms, |planned| planned.min(next_ms)));
        }
    }
}
