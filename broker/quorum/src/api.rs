//! The machine's vocabulary: what it is told, what it asks to be done, and what it cannot survive.
//!
//! Only values live here; no rule does.

use std::collections::BTreeSet;

use bytes::Bytes;
use jackdaw_wire::OffsetAndEpoch;
use jackdaw_wire::messages::{
    BeginQuorumEpochRequest, BeginQuorumEpochResponse, DescribeQuorumRequest, DescribeQuorumResponse,
    EndQuorumEpochRequest, EndQuorumEpochResponse, FetchRequest, FetchResponse, FetchSnapshotRequest,
    FetchSnapshotResponse, VoteRequest, VoteResponse,
};

/// What a node knows of its quorum before it starts. Defaults as in Kafka's `RaftConfig`.
#[derive(Debug, Clone)]
pub struct Config {
    /// `node.id`: a voter when `voters` holds it, an observer otherwise.
    pub node_id: i32,
    pub voters: BTreeSet<i32>,
    pub cluster_id: String,
    /// The shortest wait for a leader before a candidacy; the longest is twice that.
    pub election_timeout_ms: i64,
    /// How long a follower fetches in vain before it becomes a candidate. A leader resigns after 1.5 times that
    /// without a majority (`LeaderState.CHECK_QUORUM_TIMEOUT_FACTOR`).
    pub fetch_timeout_ms: i64,
    pub election_backoff_max_ms: i64,
    pub request_timeout_ms: i64,
    pub retry_backoff_ms: i64,
    /// How long a Fetch may wait at the leader.
    pub fetch_max_wait_ms: i32,
    /// The most records of one Fetch (`KafkaRaftClient.MAX_FETCH_SIZE_BYTES`).
    pub fetch_max_bytes: i32,
    /// How long the next voter in line waits before its early candidacy: longer than an election takes on a slow
    /// disk, as two early candidates would only be in each other's way.
    pub early_step_ms: i64,
    /// The only entropy: jitter of timers and the choice of a voter to ask.
    pub random_seed: u64,
}

impl Config {
    pub fn new(node_id: i32, voters: impl IntoIterator<Item = i32>, cluster_id: impl Into<String>) -> Self {
        Self {
            node_id,
            voters: voters.into_iter().collect(),
            cluster_id: cluster_id.into(),
            election_timeout_ms: 1_000,
            fetch_timeout_ms: 2_000,
            election_backoff_max_ms: 1_000,
            request_timeout_ms: 2_000,
            retry_backoff_ms: 20,
            fetch_max_wait_ms: 500,
            fetch_max_bytes: 8 << 20,
            early_step_ms: 100,
            random_seed: 0,
        }
    }
}

/// What `quorum-state` holds: the highest epoch seen, and this node's vote or the elected leader in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ElectionState {
    pub epoch: i32,
    pub leader: Option<i32>,
    pub voted: Option<i32>,
}

/// Who leads, as far as this node knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LeaderAndEpoch {
    /// Node id of the leader of `epoch`; `None` while an election is open.
    pub leader: Option<i32>,
    pub epoch: i32,
}

impl LeaderAndEpoch {
    pub fn is_leader(&self, node_id: i32) -> bool {
        self.leader == Some(node_id)
    }
}

/// Requests of the quorum's protocol, decoded.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    Vote(VoteRequest),
    BeginQuorumEpoch(BeginQuorumEpochRequest),
    EndQuorumEpoch(EndQuorumEpochRequest),
    /// A Fetch of `__cluster_metadata`.
    Fetch(FetchRequest),
    FetchSnapshot(FetchSnapshotRequest),
    DescribeQuorum(DescribeQuorumRequest),
}

/// The answer of the same kind as the request.
#[derive(Debug, Clone, PartialEq)]
pub enum Response {
    Vote(VoteResponse),
    BeginQuorumEpoch(BeginQuorumEpochResponse),
    EndQuorumEpoch(EndQuorumEpochResponse),
    Fetch(FetchResponse),
    FetchSnapshot(FetchSnapshotResponse),
    DescribeQuorum(DescribeQuorumResponse),
}

/// One atomic batch that wants to be appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewAppend {
    /// Comes back in the effect; the shell keeps the records under it.
    pub ticket: u64,
    /// The epoch in which the records were made.
    pub epoch: i32,
    /// How many offsets they take; at least one.
    pub record_count: u32,
}

/// Several batches, so that one flush serves them all.
pub type Appends = Vec<NewAppend>;

/// What happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// Nothing but time passed.
    Tick,
    /// A request arrived; `token` comes back with the reply.
    Request { token: u64, request: Request },
    /// A reply to `Effect::Send`.
    Response { from: i32, correlation: u64, response: Response },
    /// No reply to `Effect::Send` will come.
    SendFailed { from: i32, correlation: u64 },
    /// The state machine above wants records in the log.
    Append(Appends),
    /// The flush of that id is done: what was in the log when it was asked for is on the disk.
    Flushed { id: u64 },
    /// A snapshot of the committed log was written and renamed.
    SnapshotCreated { id: OffsetAndEpoch, size_bytes: u64 },
    /// The shell removed segments and snapshots below the snapshot that ends at `log_start`.
    Cleaned { log_start: i64 },
    /// Evidence: a connection to that voter is open and it answers.
    PeerReached { peer: i32 },
    /// Evidence: the connection to that voter is closed (or never was open) *and* a fresh connect was refused.
    PeerLost { peer: i32 },
    /// Step down from `epoch`, if that is the one being led.
    Resign { epoch: i32 },
    /// Hand over what can be handed over until `deadline_ms`, then say `ShutdownComplete`.
    Shutdown { deadline_ms: i64 },
}

/// What is to be done, in this order, each finished before the next begins.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Write `quorum-state` and fsync it.
    Persist(ElectionState),
    /// Append the LEADER_CHANGE control batch that opens an epoch (one offset).
    AppendLeaderChange {
        base_offset: i64,
        epoch: i32,
        leader: i32,
        voters: Vec<i32>,
        granting: Vec<i32>,
    },
    /// Append the records of that ticket as one batch.
    Append {
        ticket: u64,
        base_offset: i64,
        epoch: i32,
    },
    /// The records of that ticket are not appended: this node does not lead that epoch.
    RejectAppend {
        ticket: u64,
        current: LeaderAndEpoch,
    },
    /// Append the leader's batches as they are; they begin at `base_offset`, the log's end.
    AppendFetched {
        base_offset: i64,
        records: Bytes,
    },
    /// Remove everything at and after this offset.
    Truncate {
        end_offset: i64,
    },
    /// Start to fsync the log; the end is told by `Input::Flushed`. Never two at a time.
    Flush {
        id: u64,
    },
    /// fsync the log now.
    FlushNow,
    /// Write a piece of a snapshot that is being fetched; position 0 begins the file anew.
    SnapshotChunk {
        id: OffsetAndEpoch,
        position: i64,
        bytes: Bytes,
    },
    /// The snapshot is whole: fsync and rename it, empty the log and let it start and end there, remove older
    /// snapshots.
    RestartLogAt {
        id: OffsetAndEpoch,
        size_bytes: u64,
    },
    Send {
        to: i32,
        correlation: u64,
        request: Request,
    },
    Reply {
        token: u64,
        response: Response,
    },
    /// Fill the response's one partition with whole batches of `[offset, end)`, at most `max_bytes` unless the first
    /// is larger, and reply.
    ReplyFetch {
        token: u64,
        response: FetchResponse,
        offset: i64,
        end: i64,
        max_bytes: i32,
    },
    /// Fill the response's one partition with that piece of the snapshot and reply.
    ReplySnapshot {
        token: u64,
        response: FetchSnapshotResponse,
        id: OffsetAndEpoch,
        position: i64,
        max_bytes: i32,
    },
    /// Who leads has changed. `epoch_start` is given when this node leads: the offset of the LEADER_CHANGE batch.
    Leader {
        current: LeaderAndEpoch,
        epoch_start: Option<i64>,
    },
    /// Everything below is committed. Only grows while the node runs.
    HighWatermark(i64),
    ShutdownComplete,
}

/// What no node can go on from. Kafka's raft thread dies of the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuorumError {
    #[error("quorum-state names voters {}, the configuration {}", ids(.found), ids(.configured))]
    VotersChanged { found: Vec<i32>, configured: Vec<i32> },
    #[error("quorum-state holds a vote of epoch {epoch}, but node {node_id} is not a voter")]
    VotedObserver { epoch: i32, node_id: i32 },
    #[error(
        "told of leader {} in epoch {epoch}, where {} leads: two leaders in one epoch cannot both be true",
        id(*.told), id(*.known)
    )]
    InconsistentLeader { epoch: i32, told: Option<i32>, known: Option<i32> },
    #[error("the leader asks to truncate to {offset}, below the high watermark {high_watermark}")]
    TruncationBelowHighWatermark { offset: i64, high_watermark: i64 },
    #[error("the leader's high watermark went back from {from} to {to}")]
    HighWatermarkWentBack { from: i64, to: i64 },
    #[error("a finished snapshot {id} is not beyond the log's end {end}")]
    SnapshotNotBeyondLog { id: OffsetAndEpoch, end: OffsetAndEpoch },
    #[error("node {from} answered {api} with {error}")]
    Refused { from: i32, api: &'static str, error: &'static str },
}

fn ids(nodes: &[i32]) -> String {
    nodes.iter().map(|node| node.to_string()).collect::<Vec<_>>().join(",")
}

fn id(node: Option<i32>) -> String {
    node.map_or_else(|| "nobody".to_owned(), |node| format!("node {node}"))
}
