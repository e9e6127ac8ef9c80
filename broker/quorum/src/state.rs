//! The states a node can be in (`EpochState` and its classes) and the small ones among them.

use std::collections::BTreeSet;

use crate::candidate::Candidate;
use crate::follower::Follower;
use crate::leader::Leader;

/// The state within the current epoch. The epoch itself is the machine's.
#[derive(Debug, Clone)]
pub(crate) enum State {
    /// The epoch's leader is unknown and nobody has this node's vote. `None`: an observer, which never campaigns.
    Unattached {
        election_deadline_ms: Option<i64>,
    },
    Voted {
        candidate: i32,
        election_deadline_ms: i64,
    },
    Candidate(Candidate),
    Leader(Leader),
    Follower(Follower),
    Resigned(Resigned),
}

/// A leader that steps down, or one that was restarted: it tells the voters so until they know, and neither leads
/// nor votes in its epoch again.
#[derive(Debug, Clone)]
pub(crate) struct Resigned {
    pub unacked: BTreeSet<i32>,
    /// The other voters, the one with the longest log first.
    pub successors: Vec<i32>,
    pub election_deadline_ms: i64,
}

impl State {
    pub fn name(&self) -> &'static str {
        match self {
            State::Unattached { .. } => "Unattached",
            State::Voted { .. } => "Voted",
            State::Candidate(_) => "Candidate",
            State::Leader(_) => "Leader",
            State::Follower(_) => "Follower",
            State::Resigned(_) => "Resigned",
        }
    }
}

/// SplitMix64: jitter does not need more, and a seed replays it.
#[derive(Debug, Clone)]
pub(crate) struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number in `0..bound`; 0 when the bound is not positive.
    pub fn below(&mut self, bound: i64) -> i64 {
        match u64::try_from(bound) {
            Ok(bound @ 1..) => i64::try_from(self.next() % bound).unwrap_or(0),
            _ => 0,
        }
    }
}
