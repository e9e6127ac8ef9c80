//! A node that asks for votes (`CandidateState`).

use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    /// `None`: not answered yet.
    votes: BTreeMap<i32, Option<bool>>,
    /// How many candidacies in a row, this one included: the backoff grows with them.
    pub retries: u32,
    pub election_deadline_ms: i64,
    /// Set once the election is lost or timed out: the next candidacy.
    pub backoff_deadline_ms: Option<i64>,
}

impl Candidate {
    pub fn new(node_id: i32, voters: &BTreeSet<i32>, retries: u32, election_deadline_ms: i64) -> Self {
        let votes = voters.iter().map(|&voter| (voter, (voter == node_id).then_some(true))).collect();
        Self { votes, retries, election_deadline_ms, backoff_deadline_ms: None }
    }

    fn count(&self, vote: Option<bool>) -> usize {
        self.votes.values().filter(|&&recorded| recorded == vote).count()
    }

    fn majority(&self) -> usize {
        self.votes.len() / 2 + 1
    }

    pub fn is_won(&self) -> bool {
        self.count(Some(true)) >= self.majority()
    }

    /// No majority can come any more. Once refused, a candidate does not wait for voters that are known to be gone:
    /// two survivors that each voted for themselves would otherwise both wait for the dead third.
    pub fn is_lost(&self, gone: &BTreeSet<i32>) -> bool {
        let is_refused = self.count(Some(false)) > 0;
        let possible = self
            .votes
            .iter()
            .filter(|(voter, vote)| match vote {
                Some(granted) => *granted,
                None => !is_refused || !gone.contains(voter),
            })
            .count();
        possible < self.majority()
    }

    /// The first answer of a voter stands: a duplicate cannot turn it.
    pub fn record(&mut self, voter: i32, granted: bool) {
        if let Some(vote @ None) = self.votes.get_mut(&voter) {
            *vote = Some(granted);
        }
    }

    pub fn unrecorded(&self) -> Vec<i32> {
        self.votes.iter().filter(|(_, vote)| vote.is_none()).map(|(&voter, _)| voter).collect()
    }

    pub fn granting(&self) -> Vec<i32> {
        self.votes.iter().filter(|(_, vote)| **vote == Some(true)).map(|(&voter, _)| voter).collect()
    }
}
