//! The leader's view of its replicas: how far each has fetched, what is committed, who still follows
//! (`LeaderState`).

use std::collections::{BTreeMap, BTreeSet};

use jackdaw_wire::messages::describe_quorum_response::{PartitionData, ReplicaState};
use jackdaw_wire::messages::{BrokerId, FetchRequest};

/// An observer that has not fetched for so long is forgotten (`LeaderState.OBSERVER_SESSION_TIMEOUT_MS`).
const OBSERVER_SESSION_TIMEOUT_MS: i64 = 300_000;

#[derive(Debug, Clone, Default)]
struct Replica {
    /// The last offset it fetched from: everything below is on its disk.
    end_offset: Option<i64>,
    last_fetch_ms: Option<i64>,
    last_fetch_leader_end: i64,
    last_caught_up_ms: Option<i64>,
    /// It knows this leader: it has answered BeginQuorumEpoch, or fetched.
    has_acknowledged: bool,
    /// The high watermark it was last told. Kafka 3.7 tells a new one only with the next records or after the wait;
    /// here a waiting Fetch is answered as soon as there is a higher one to tell, once.
    told: i64,
}

/// A Fetch that waits for records.
#[derive(Debug, Clone)]
pub(crate) struct ParkedFetch {
    pub token: u64,
    pub replica: i32,
    pub offset: i64,
    pub deadline_ms: i64,
    pub request: FetchRequest,
}

#[derive(Debug, Clone)]
pub(crate) struct Leader {
    node_id: i32,
    /// Offset of the epoch's LEADER_CHANGE batch.
    pub epoch_start: i64,
    pub high_watermark: Option<i64>,
    voters: BTreeMap<i32, Replica>,
    observers: BTreeMap<i32, Replica>,
    /// Voters that have fetched since the check of the quorum was last passed.
    fetched: BTreeSet<i32>,
    pub check_quorum_deadline_ms: i64,
    pub parked: Vec<ParkedFetch>,
}

impl Leader {
    pub fn new(
        node_id: i32,
        voters: &BTreeSet<i32>,
        epoch_start: i64,
        check_quorum_deadline_ms: i64,
    ) -> Self {
        let replica = |&voter: &i32| {
            (voter, Replica { has_acknowledged: voter == node_id, told: -1, ..Replica::default() })
        };
        Self {
            node_id,
            epoch_start,
            high_watermark: None,
            voters: voters.iter().map(replica).collect(),
            observers: BTreeMap::new(),
            fetched: BTreeSet::new(),
            check_quorum_deadline_ms,
            parked: Vec::new(),
        }
    }

    fn replica(&mut self, id: i32) -> &mut Replica {
        match self.voters.get_mut(&id) {
            Some(voter) => voter,
            None => self.observers.entry(id).or_insert_with(|| Replica { told: -1, ..Replica::default() }),
        }
    }

    /// This node's own log is on its disk up to there. Kafka counts what is only written; here the leader is held to
    /// what its followers are held to.
    pub fn flushed(&mut self, end_offset: i64) -> bool {
        self.replica(self.node_id).end_offset = Some(end_offset);
        self.advance_high_watermark()
    }

    /// A replica fetched from `offset` on. Returns whether the high watermark moved.
    pub fn fetched(&mut self, id: i32, offset: i64, leader_end: i64, now_ms: i64, recheck_ms: i64) -> bool {
        if id < 0 {
            return false;
        }
        let replica = self.replica(id);
        if offset >= leader_end {
            replica.last_caught_up_ms = replica.last_caught_up_ms.max(Some(now_ms));
        } else if replica.last_fetch_leader_end > 0 && offset >= replica.last_fetch_leader_end {
            replica.last_caught_up_ms = replica.last_caught_up_ms.max(replica.last_fetch_ms);
        }
        replica.last_fetch_leader_end = leader_end;
        replica.last_fetch_ms = replica.last_fetch_ms.max(Some(now_ms));
        replica.end_offset = Some(offset);
        replica.has_acknowledged = true;
        self.heard_from(id, now_ms, recheck_ms);
        self.voters.contains_key(&id) && self.advance_high_watermark()
    }

    /// A voter fetched records or a piece of a snapshot: a majority of them renews the leader's term until
    /// `now_ms + recheck_ms`.
    pub fn heard_from(&mut self, id: i32, now_ms: i64, recheck_ms: i64) {
        if id == self.node_id || !self.voters.contains_key(&id) {
            return;
        }
        self.fetched.insert(id);
        if self.fetched.len() >= self.voters.len() / 2 {
            self.fetched.clear();
            self.check_quorum_deadline_ms = now_ms + recheck_ms;
        }
    }

    /// The largest offset on the disks of a majority, once it lies beyond the epoch's first batch: earlier epochs'
    /// records are committed only through one of this epoch.
    fn advance_high_watermark(&mut self) -> bool {
        let mut ends: Vec<Option<i64>> = self.voters.values().map(|voter| voter.end_offset).collect();
        ends.sort_unstable_by(|left, right| right.cmp(left));
        match ends[self.voters.len() / 2] {
            Some(end) if end > self.epoch_start && Some(end) > self.high_watermark => {
                self.high_watermark = Some(end);
                true
            }
            _ => false,
        }
    }

    pub fn acknowledged(&mut self, id: i32) {
        if let Some(voter) = self.voters.get_mut(&id) {
            voter.has_acknowledged = true;
        }
    }

    pub fn unacknowledging(&self) -> Vec<i32> {
        self.voters.iter().filter(|(_, voter)| !voter.has_acknowledged).map(|(&id, _)| id).collect()
    }

    /// The other voters, the one that has fetched the most first.
    pub fn successors(&self) -> Vec<i32> {
        let mut others: Vec<_> = self.voters.iter().filter(|&(&id, _)| id != self.node_id).collect();
        others.sort_by_key(|&(&id, voter)| (std::cmp::Reverse(voter.end_offset), id));
        others.into_iter().map(|(&id, _)| id).collect()
    }

    /// Whether that replica does not know the present high watermark yet.
    pub fn has_news_for(&self, id: i32) -> bool {
        let replica = self.voters.get(&id).or_else(|| self.observers.get(&id));
        replica.is_some_and(|replica| self.high_watermark.is_some_and(|mark| mark > replica.told))
    }

    pub fn tell(&mut self, id: i32) {
        let mark = self.high_watermark.unwrap_or(-1);
        if id >= 0 {
            self.replica(id).told = mark;
        }
    }

    /// `LeaderState.describeQuorum`.
    pub fn describe(&mut self, epoch: i32, now_ms: i64) -> PartitionData {
        self.observers.retain(|_, observer| {
            observer.last_fetch_ms.is_some_and(|last| now_ms - last < OBSERVER_SESSION_TIMEOUT_MS)
        });
        let states = |replicas: &BTreeMap<i32, Replica>| {
            replicas
                .iter()
                .map(|(&id, replica)| {
                    let own = (id == self.node_id).then_some(now_ms);
                    ReplicaState::default()
                        .with_replica_id(BrokerId(id))
                        .with_log_end_offset(replica.end_offset.unwrap_or(-1))
                        .with_last_fetch_timestamp(own.or(replica.last_fetch_ms).unwrap_or(-1))
                        .with_last_caught_up_timestamp(own.or(replica.last_caught_up_ms).unwrap_or(-1))
                })
                .collect()
        };
        PartitionData::default()
            .with_leader_id(BrokerId(self.node_id))
            .with_leader_epoch(epoch)
            .with_high_watermark(self.high_watermark.unwrap_or(-1))
            .with_current_voters(states(&self.voters))
            .with_observers(states(&self.observers))
    }
}
