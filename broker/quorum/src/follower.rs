//! A node that fetches from the elected leader (`FollowerState`).

use std::collections::BTreeMap;

use jackdaw_wire::OffsetAndEpoch;

#[derive(Debug, Clone)]
pub(crate) struct Follower {
    pub leader: i32,
    /// A voter campaigns, an observer looks for another leader, when nothing was fetched until then.
    pub fetch_deadline_ms: i64,
    /// The snapshot being fetched, and how many of its bytes are here.
    pub snapshot: Option<(OffsetAndEpoch, i64)>,
    /// Not before then: the leader's last answer told nothing new.
    pub fetch_not_before_ms: i64,
    /// Open while there is evidence that the leader is gone.
    pub inquiry: Option<Inquiry>,
}

/// What the other voters say of the leader that this node has lost.
#[derive(Debug, Clone)]
pub(crate) struct Inquiry {
    pub since_ms: i64,
    /// Per voter: whether it names a leader, and when it said so.
    pub answers: BTreeMap<i32, (bool, i64)>,
}

impl Follower {
    pub fn new(leader: i32, fetch_deadline_ms: i64) -> Self {
        Self { leader, fetch_deadline_ms, snapshot: None, fetch_not_before_ms: i64::MIN, inquiry: None }
    }
}
