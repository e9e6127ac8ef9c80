//! The machine itself: one step in, effects out; transitions between states and what each does as time passes.
//!
//! Requests are answered in `inbound` and `serve`, replies handled in `responses`, early elections in `evidence`.

use jackdaw_wire::OffsetAndEpoch;
use jackdaw_wire::messages::FetchRequest;

use crate::candidate::Candidate;
use crate::connection::{Connections, Readiness};
use crate::evidence::Evidence;
use crate::follower::Follower;
use crate::leader::Leader;
use crate::log_state::LogState;
use crate::messages;
use crate::state::{Random, Resigned, State};
use crate::{Appends, Config, Effect, ElectionState, Input, LeaderAndEpoch, QuorumError, Request};

/// `KafkaRaftClient.RETRY_BACKOFF_BASE_MS`.
const ELECTION_BACKOFF_BASE_MS: i64 = 100;

/// A flush that was asked for and has not ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flushing {
    pub id: u64,
    /// What will be on the disk when it ends; a truncation lowers it.
    pub end_offset: i64,
}

/// One node of the metadata quorum, voter or observer.
#[derive(Debug, Clone)]
pub struct Quorum {
    pub(crate) config: Config,
    pub(crate) log: LogState,
    pub(crate) epoch: i32,
    pub(crate) state: State,
    /// What this node knows to be committed; unlike a leader's own mark it outlives elections.
    pub(crate) high_watermark: Option<i64>,
    pub(crate) connections: Connections,
    pub(crate) evidence: Evidence,
    pub(crate) random: Random,
    pub(crate) flushing: Option<Flushing>,
    next_flush: u64,
    pub(crate) shutdown_deadline_ms: Option<i64>,
    pub(crate) stopped: bool,
    pub(crate) now_ms: i64,
    pub(crate) out: Vec<Effect>,
    /// Where in `out` this step's `Persist` stands: a later one takes its place, so that a step fsyncs once.
    persist_at: Option<usize>,
    persisted: Option<ElectionState>,
    told_leader: Option<(LeaderAndEpoch, bool)>,
    deadline_ms: Option<i64>,
}

impl Quorum {
    /// A node as it was when it stopped (`QuorumState.initialize`). `persisted` is what `quorum-state` holds with
    /// the voters it names (none named: not checked); `log` is the log as recovered, all of it on the disk.
    pub fn new(
        config: Config,
        persisted: Option<(ElectionState, Vec<i32>)>,
        log: LogState,
        now_ms: i64,
    ) -> Result<Self, QuorumError> {
        let on_disk = persisted.as_ref().map(|(election, _)| *election);
        let (mut election, named) = persisted.unwrap_or_default();
        let is_voter = config.voters.contains(&config.node_id);
        if !named.is_empty() && !config.voters.iter().eq(named.iter()) {
            let configured = config.voters.iter().copied().collect();
            return Err(QuorumError::VotersChanged { found: named, configured });
        }
        if election.voted.is_some() && !is_voter {
            return Err(QuorumError::VotedObserver { epoch: election.epoch, node_id: config.node_id });
        }
        if election.epoch < log.last_epoch() {
            election = ElectionState { epoch: log.last_epoch(), leader: None, voted: None };
        }
        let peers = config.voters.iter().copied().filter(|&peer| peer != config.node_id);
        let connections = Connections::new(peers, config.request_timeout_ms, config.retry_backoff_ms);
        let mut quorum = Self {
            connections,
            random: Random(config.random_seed),
            epoch: election.epoch,
            state: State::Unattached { election_deadline_ms: None },
            high_watermark: None,
            evidence: Evidence::default(),
            flushing: None,
            next_flush: 0,
            shutdown_deadline_ms: None,
            stopped: false,
            now_ms,
            out: Vec::new(),
            persist_at: None,
            persisted: on_disk,
            told_leader: None,
            deadline_ms: Some(now_ms),
            log,
            config,
        };
        quorum.state = quorum.initial_state(election);
        Ok(quorum)
    }

    fn initial_state(&mut self, election: ElectionState) -> State {
        let node_id = self.config.node_id;
        // `KafkaRaftClient.initialize`: a lone voter need not wait for anybody.
        let is_lone = self.is_voter() && self.config.voters.len() == 1;
        let election_deadline_ms = if is_lone { self.now_ms } else { self.random_election_deadline() };
        match (election.voted, election.leader) {
            // It may have appended what a crash took away: it must not lead this epoch again, nor vote in it.
            (_, Some(leader)) if leader == node_id => State::Resigned(Resigned {
                unacked: self.peers(),
                successors: Vec::new(),
                election_deadline_ms,
            }),
            (Some(voted), _) if voted == node_id => {
                State::Candidate(Candidate::new(node_id, &self.config.voters, 1, election_deadline_ms))
            }
            (Some(candidate), _) => State::Voted { candidate, election_deadline_ms },
            (None, Some(leader)) => {
                State::Follower(Follower::new(leader, self.now_ms + self.config.fetch_timeout_ms))
            }
            (None, None) if !self.is_voter() => State::Unattached { election_deadline_ms: None },
            (None, None) => State::Unattached { election_deadline_ms: Some(election_deadline_ms) },
        }
    }

    /// Takes one input and appends what is to be done. After an error the node must stop; the effects are void.
    pub fn step(&mut self, now_ms: i64, input: Input, effects: &mut Vec<Effect>) -> Result<(), QuorumError> {
        // A clock that went back would open deadlines that have passed.
        self.now_ms = self.now_ms.max(now_ms);
        self.persist_at = None;
        if self.told_leader.is_none() {
            // The first step: `quorum-state` is there from now on, and not behind the log.
            self.persist();
            self.tell_leader();
        }
        if !self.stopped {
            self.take(input)?;
            self.poll()?;
        }
        if cfg!(debug_assertions) {
            self.validate();
        }
        effects.append(&mut self.out);
        Ok(())
    }

    /// When to step with `Input::Tick`, if nothing else happens before.
    pub fn next_deadline_ms(&self) -> Option<i64> {
        self.deadline_ms
    }

    fn take(&mut self, input: Input) -> Result<(), QuorumError> {
        match input {
            Input::Tick => {}
            Input::Request { token, request } => self.handle_request(token, request)?,
            Input::Response { from, correlation, response } => {
                self.handle_response(from, correlation, response)?;
            }
            Input::SendFailed { from, correlation } => {
                self.connections.failed(from, correlation, self.now_ms)
            }
            Input::Append(appends) => self.append(appends),
            Input::Flushed { id } => self.handle_flushed(id),
            Input::SnapshotCreated { id, size_bytes } => {
                self.log.snapshots.insert(id, size_bytes);
            }
            Input::Cleaned { log_start } => self.log.cleaned(log_start),
            Input::PeerReached { peer } => self.peer_reached(peer),
            Input::PeerLost { peer } => self.peer_lost(peer),
            Input::Resign { epoch } => {
                if epoch == self.epoch && matches!(self.state, State::Leader(_)) {
                    self.become_resigned();
                }
            }
            Input::Shutdown { deadline_ms } => self.shutdown_deadline_ms = Some(deadline_ms),
        }
        Ok(())
    }

    // ---- what is known ----

    pub fn is_voter(&self) -> bool {
        self.config.voters.contains(&self.config.node_id)
    }

    pub fn is_leader(&self) -> bool {
        matches!(self.state, State::Leader(_))
    }

    pub fn epoch(&self) -> i32 {
        self.epoch
    }

    pub fn log(&self) -> &LogState {
        &self.log
    }

    pub fn high_watermark(&self) -> Option<i64> {
        self.high_watermark
    }

    /// "Leader", "Follower", …: Kafka's names, as `current-state` shows them.
    pub fn state_name(&self) -> &'static str {
        self.state.name()
    }

    pub fn leader_and_epoch(&self) -> LeaderAndEpoch {
        LeaderAndEpoch { leader: self.election().leader, epoch: self.epoch }
    }

    pub(crate) fn election(&self) -> ElectionState {
        let (leader, voted) = match &self.state {
            State::Unattached { .. } => (None, None),
            State::Voted { candidate, .. } => (None, Some(*candidate)),
            State::Candidate(_) => (None, Some(self.config.node_id)),
            State::Leader(_) | State::Resigned(_) => (Some(self.config.node_id), None),
            State::Follower(follower) => (Some(follower.leader), None),
        };
        ElectionState { epoch: self.epoch, leader, voted }
    }

    pub(crate) fn peers(&self) -> std::collections::BTreeSet<i32> {
        self.config.voters.iter().copied().filter(|&peer| peer != self.config.node_id).collect()
    }

    pub(crate) fn majority(&self) -> usize {
        self.config.voters.len() / 2 + 1
    }

    /// 1.5 fetch timeouts, as `LeaderState.CHECK_QUORUM_TIMEOUT_FACTOR`.
    pub(crate) fn check_quorum_timeout_ms(&self) -> i64 {
        self.config.fetch_timeout_ms * 3 / 2
    }

    fn random_election_deadline(&mut self) -> i64 {
        let timeout_ms = self.config.election_timeout_ms;
        self.now_ms + timeout_ms + self.random.below(timeout_ms)
    }

    /// `KafkaRaftClient.binaryExponentialElectionBackoffMs`, but never less than half its base: there is no pre-vote,
    /// and a loser that comes back at once deposes the winner before that one could tell.
    pub(crate) fn election_backoff_deadline(&mut self, retries: u32) -> i64 {
        let spread_ms = ELECTION_BACKOFF_BASE_MS * (2 << retries.saturating_sub(1).min(20));
        let backoff_ms = ELECTION_BACKOFF_BASE_MS / 2 + self.random.below(spread_ms);
        self.now_ms + backoff_ms.min(self.config.election_backoff_max_ms)
    }

    // ---- transitions ----

    fn persist(&mut self) {
        if self.persisted == Some(self.election()) {
            return;
        }
        self.persisted = Some(self.election());
        let effect = Effect::Persist(self.election());
        match self.persist_at {
            // What this step promises rests on the last state as well as on an earlier one of a lower claim.
            Some(at) => self.out[at] = effect,
            None => {
                self.persist_at = Some(self.out.len());
                self.out.push(effect);
            }
        }
    }

    fn tell_leader(&mut self) {
        let current = self.leader_and_epoch();
        let epoch_start = match &self.state {
            State::Leader(leader) => Some(leader.epoch_start),
            _ => None,
        };
        // A resigned leader is still its epoch's leader on disk and to peers, but leads no more.
        let leads = epoch_start.is_some();
        if self.told_leader != Some((current, leads)) {
            self.told_leader = Some((current, leads));
            let current = match &self.state {
                State::Resigned(_) => LeaderAndEpoch { leader: None, ..current },
                _ => current,
            };
            self.out.push(Effect::Leader { current, epoch_start });
        }
    }

    /// Enters a state and makes it durable; what was in flight belongs to the old one.
    fn enter(&mut self, epoch: i32, state: State) {
        let parked = match &mut self.state {
            State::Leader(leader) => std::mem::take(&mut leader.parked),
            _ => Vec::new(),
        };
        self.epoch = epoch;
        self.state = state;
        self.persist();
        self.tell_leader();
        self.connections.reset_all();
        for fetch in parked {
            self.refuse_parked(fetch.token);
        }
    }

    pub(crate) fn become_unattached(&mut self, epoch: i32) {
        let election_deadline_ms = match &self.state {
            _ if !self.is_voter() => None,
            State::Unattached { election_deadline_ms: Some(at) } => Some(*at),
            State::Voted { election_deadline_ms, .. } => Some(*election_deadline_ms),
            State::Candidate(candidate) => Some(candidate.election_deadline_ms),
            _ => Some(self.random_election_deadline()),
        };
        self.evidence.early_deadline_ms = None;
        self.enter(epoch, State::Unattached { election_deadline_ms });
    }

    pub(crate) fn become_voted(&mut self, epoch: i32, candidate: i32) {
        let election_deadline_ms = self.random_election_deadline();
        self.evidence.early_deadline_ms = None;
        self.enter(epoch, State::Voted { candidate, election_deadline_ms });
    }

    pub(crate) fn become_follower(&mut self, epoch: i32, leader: i32) {
        let fetch_deadline_ms = self.now_ms + self.config.fetch_timeout_ms;
        self.evidence.early_deadline_ms = None;
        self.enter(epoch, State::Follower(Follower::new(leader, fetch_deadline_ms)));
    }

    /// An epoch that this node once opened, as others say, without a memory of it: its disk was replaced. Like a
    /// restarted leader it neither leads nor votes in it.
    pub(crate) fn become_forgotten_leader(&mut self, epoch: i32) {
        let election_deadline_ms = self.random_election_deadline();
        let resigned = Resigned { unacked: self.peers(), successors: Vec::new(), election_deadline_ms };
        self.evidence.early_deadline_ms = None;
        self.enter(epoch, State::Resigned(resigned));
    }

    fn become_resigned(&mut self) {
        let State::Leader(leader) = &self.state else { return };
        let successors = leader.successors();
        let election_deadline_ms = self.random_election_deadline();
        let resigned = Resigned { unacked: self.peers(), successors, election_deadline_ms };
        // Soft: a leader that is restarted begins as resigned anyway (`QuorumState.transitionToResigned`).
        self.enter(self.epoch, State::Resigned(resigned));
    }

    fn become_candidate(&mut self) {
        let retries = match &self.state {
            State::Candidate(candidate) => candidate.retries + 1,
            _ => 1,
        };
        let election_deadline_ms = self.random_election_deadline();
        self.evidence.early_deadline_ms = None;
        let candidate =
            Candidate::new(self.config.node_id, &self.config.voters, retries, election_deadline_ms);
        self.enter(self.epoch + 1, State::Candidate(candidate));
        // The vote request speaks of the log's end; a crash must not make that a lie, for a vote once given stands.
        self.flush_now();
        self.maybe_become_leader();
    }

    pub(crate) fn maybe_become_leader(&mut self) {
        let State::Candidate(candidate) = &self.state else { return };
        if !candidate.is_won() {
            return;
        }
        let granting = candidate.granting();
        let (node_id, base_offset) = (self.config.node_id, self.log.end_offset);
        let check_deadline_ms = self.now_ms + self.check_quorum_timeout_ms();
        let mut leader = Leader::new(node_id, &self.config.voters, base_offset, check_deadline_ms);
        leader.flushed(self.log.flushed_offset);
        self.enter(self.epoch, State::Leader(leader));
        self.log.appended(self.epoch, base_offset + 1);
        let voters = self.config.voters.iter().copied().collect();
        let leader = node_id;
        self.out.push(Effect::AppendLeaderChange {
            base_offset,
            epoch: self.epoch,
            leader,
            voters,
            granting,
        });
    }

    // ---- the log ----

    fn append(&mut self, appends: Appends) {
        let current = self.leader_and_epoch();
        let before = self.log.end_offset;
        for append in appends {
            if !self.is_leader() || append.epoch != self.epoch {
                self.out.push(Effect::RejectAppend { ticket: append.ticket, current });
                continue;
            }
            let base_offset = self.log.end_offset;
            self.log.appended(self.epoch, base_offset + i64::from(append.record_count.max(1)));
            self.out.push(Effect::Append { ticket: append.ticket, base_offset, epoch: self.epoch });
        }
        if self.log.end_offset > before {
            self.answer_parked();
        }
    }

    fn handle_flushed(&mut self, id: u64) {
        match self.flushing {
            Some(flushing) if flushing.id == id => {
                self.flushing = None;
                self.log.flushed_offset = self.log.flushed_offset.max(flushing.end_offset);
                self.count_own_flush();
            }
            _ => {}
        }
    }

    fn count_own_flush(&mut self) {
        if let State::Leader(leader) = &mut self.state
            && leader.flushed(self.log.flushed_offset)
        {
            self.leader_mark_moved();
        }
    }

    fn flush_now(&mut self) {
        if self.log.flushed_offset < self.log.end_offset {
            self.out.push(Effect::FlushNow);
            self.log.flushed_offset = self.log.end_offset;
        }
    }

    /// Starts a flush when there is something to flush and none is under way: appends in between share the next.
    fn flush_later(&mut self) {
        if self.flushing.is_none() && self.log.flushed_offset < self.log.end_offset {
            self.next_flush += 1;
            self.flushing = Some(Flushing { id: self.next_flush, end_offset: self.log.end_offset });
            self.out.push(Effect::Flush { id: self.next_flush });
        }
    }

    pub(crate) fn truncate(&mut self, end_offset: i64) -> Result<(), QuorumError> {
        if let Some(high_watermark) = self.high_watermark
            && end_offset < high_watermark
        {
            return Err(QuorumError::TruncationBelowHighWatermark { offset: end_offset, high_watermark });
        }
        self.log.truncated(end_offset);
        if let Some(flushing) = &mut self.flushing {
            flushing.end_offset = flushing.end_offset.min(end_offset);
        }
        self.out.push(Effect::Truncate { end_offset });
        Ok(())
    }

    pub(crate) fn restart_log_at(&mut self, id: OffsetAndEpoch, size_bytes: u64) {
        self.log.restarted(id, size_bytes);
        self.flushing = None;
        self.out.push(Effect::RestartLogAt { id, size_bytes });
        self.raise_high_watermark(id.offset);
    }

    pub(crate) fn raise_high_watermark(&mut self, mark: i64) {
        if self.high_watermark.is_none_or(|known| known < mark) {
            self.high_watermark = Some(mark);
            self.out.push(Effect::HighWatermark(mark));
        }
    }

    pub(crate) fn leader_mark_moved(&mut self) {
        if let State::Leader(leader) = &self.state
            && let Some(mark) = leader.high_watermark
        {
            self.raise_high_watermark(mark);
            self.answer_parked();
        }
    }

    // ---- time ----

    pub(crate) fn wake_at(&mut self, at_ms: i64) {
        self.deadline_ms = Some(self.deadline_ms.map_or(at_ms, |known| known.min(at_ms)));
    }

    /// Does what the state asks for at this time, until it asks for nothing more.
    fn poll(&mut self) -> Result<(), QuorumError> {
        loop {
            self.deadline_ms = None;
            let before = (self.epoch, self.state.name());
            self.maybe_complete_shutdown();
            if self.stopped {
                self.deadline_ms = None;
                return Ok(());
            }
            match &self.state {
                State::Unattached { .. } => self.poll_unattached(),
                State::Voted { election_deadline_ms, .. } => self.campaign_at(*election_deadline_ms),
                State::Candidate(_) => self.poll_candidate(),
                State::Leader(_) => self.poll_leader(),
                State::Follower(_) => self.poll_follower(),
                State::Resigned(_) => self.poll_resigned(),
            }
            if before == (self.epoch, self.state.name()) {
                break;
            }
        }
        self.flush_later();
        Ok(())
    }

    /// Becomes a candidate at that time, unless the node is about to stop.
    pub(crate) fn campaign_at(&mut self, at_ms: i64) {
        if self.shutdown_deadline_ms.is_some() {
            return;
        }
        if self.now_ms >= at_ms { self.become_candidate() } else { self.wake_at(at_ms) }
    }

    fn poll_unattached(&mut self) {
        let State::Unattached { election_deadline_ms } = self.state else { return };
        match election_deadline_ms {
            None => self.fetch_from_any_voter(),
            Some(deadline_ms) => {
                let early_ms = self.evidence.early_deadline_ms.unwrap_or(i64::MAX);
                self.campaign_at(deadline_ms.min(early_ms));
            }
        }
    }

    fn poll_candidate(&mut self) {
        self.maybe_become_leader();
        let State::Candidate(candidate) = &self.state else { return };
        let (retries, election_deadline_ms) = (candidate.retries, candidate.election_deadline_ms);
        let (lost, unrecorded) = (candidate.is_lost(&self.evidence.lost), candidate.unrecorded());
        if self.shutdown_deadline_ms.is_none() {
            if let Some(backoff_deadline_ms) = candidate.backoff_deadline_ms {
                return self.campaign_at(backoff_deadline_ms);
            }
            // A lost vote need not time out: it is tried again soon.
            if lost || self.now_ms >= election_deadline_ms {
                let backoff_deadline_ms = self.election_backoff_deadline(retries);
                if let State::Candidate(candidate) = &mut self.state {
                    candidate.backoff_deadline_ms = Some(backoff_deadline_ms);
                }
                return self.wake_at(backoff_deadline_ms);
            }
            self.wake_at(election_deadline_ms);
        }
        if !lost {
            let (epoch, end) = (self.epoch, self.log.end());
            for voter in unrecorded {
                self.send(voter, |config| Request::Vote(messages::vote_request(config, epoch, end)));
            }
        }
    }

    fn poll_leader(&mut self) {
        self.count_own_flush();
        let lone = self.config.voters.len() == 1;
        let State::Leader(leader) = &self.state else { return };
        let check_deadline_ms = leader.check_quorum_deadline_ms;
        if self.shutdown_deadline_ms.is_some() || (!lone && self.now_ms >= check_deadline_ms) {
            return self.become_resigned();
        }
        let unacknowledging = leader.unacknowledging();
        if !lone {
            self.wake_at(check_deadline_ms);
        }
        let epoch = self.epoch;
        for voter in unacknowledging {
            self.send(voter, |config| {
                Request::BeginQuorumEpoch(messages::begin_epoch_request(config, epoch))
            });
        }
        self.expire_parked();
    }

    fn poll_resigned(&mut self) {
        let State::Resigned(resigned) = &self.state else { return };
        let (unacked, successors) = (resigned.unacked.clone(), resigned.successors.clone());
        let election_deadline_ms = resigned.election_deadline_ms;
        let epoch = self.epoch;
        for voter in unacked {
            self.send(voter, |config| {
                Request::EndQuorumEpoch(messages::end_epoch_request(config, epoch, &successors))
            });
        }
        self.campaign_at(election_deadline_ms);
    }

    fn poll_follower(&mut self) {
        let State::Follower(follower) = &self.state else { return };
        let (leader, deadline_ms) = (follower.leader, follower.fetch_deadline_ms);
        if self.is_voter() {
            if self.shutdown_deadline_ms.is_some() {
                return;
            }
            self.campaign_at(deadline_ms);
            self.poll_inquiry();
            if matches!(self.state, State::Follower(_)) {
                self.fetch_from_leader();
            }
        } else if self.now_ms >= deadline_ms {
            self.fetch_from_any_voter();
        } else {
            self.wake_at(deadline_ms);
            if self.connections.has_timed_out(leader, self.now_ms) {
                self.fetch_from_any_voter();
                self.connections.reset(leader);
            } else if let Readiness::BackingOff { until_ms } = self.connections.readiness(leader, self.now_ms)
            {
                self.wake_at(until_ms);
                self.fetch_from_any_voter();
            } else {
                self.fetch_from_leader();
            }
        }
    }

    fn fetch_from_leader(&mut self) {
        let State::Follower(follower) = &self.state else { return };
        let (leader, snapshot, not_before_ms) =
            (follower.leader, follower.snapshot, follower.fetch_not_before_ms);
        // What a voter's Fetch says it has, counts for the commit: it must be on the disk.
        if self.is_voter() && self.log.flushed_offset < self.log.end_offset {
            return;
        }
        if self.now_ms < not_before_ms {
            return self.wake_at(not_before_ms);
        }
        let (epoch, end) = (self.epoch, self.log.end());
        self.send(leader, |config| match snapshot {
            Some((id, position)) => {
                Request::FetchSnapshot(messages::fetch_snapshot_request(config, epoch, id, position))
            }
            None => Request::Fetch(messages::fetch_request(config, epoch, end)),
        });
    }

    /// Asks one voter at a time for the leader (`maybeSendAnyVoterFetch`), beginning at a random one.
    fn fetch_from_any_voter(&mut self) {
        let voters: Vec<i32> = self.peers().into_iter().collect();
        let first = usize::try_from(self.random.below(voters.len() as i64)).unwrap_or(0);
        let mut ready = None;
        for at in 0..voters.len() {
            let voter = voters[(first + at) % voters.len()];
            match self.connections.readiness(voter, self.now_ms) {
                Readiness::Ready => ready = ready.or(Some(voter)),
                Readiness::Awaiting { until_ms } => return self.wake_at(until_ms),
                Readiness::BackingOff { until_ms } => self.wake_at(until_ms),
            }
        }
        if let Some(voter) = ready {
            self.send(voter, Self::plain_fetch(self.epoch, self.log.end()));
        }
    }

    pub(crate) fn plain_fetch(epoch: i32, end: OffsetAndEpoch) -> impl FnOnce(&Config) -> Request {
        move |config| {
            let fetch: FetchRequest = messages::fetch_request(config, epoch, end);
            Request::Fetch(fetch)
        }
    }

    /// Sends when nothing is in flight to that voter and it is not backing off; else looks again in time.
    pub(crate) fn send(&mut self, to: i32, request: impl FnOnce(&Config) -> Request) {
        match self.connections.readiness(to, self.now_ms) {
            Readiness::Ready => {
                let (correlation, until_ms) = self.connections.sent(to, self.now_ms);
                let request = request(&self.config);
                self.out.push(Effect::Send { to, correlation, request });
                self.wake_at(until_ms);
            }
            Readiness::Awaiting { until_ms } | Readiness::BackingOff { until_ms } => self.wake_at(until_ms),
        }
    }

    /// `KafkaRaftClient.maybeCompleteShutdown`; and there is no use in waiting for a leader when those who are not
    /// gone cannot elect one.
    fn maybe_complete_shutdown(&mut self) {
        let Some(deadline_ms) = self.shutdown_deadline_ms else { return };
        let has_remote_leader = matches!(self.state, State::Follower(_));
        let hopeless = self.config.voters.difference(&self.evidence.lost).count() < self.majority();
        let lone = self.peers().is_empty();
        if self.now_ms >= deadline_ms || !self.is_voter() || lone || has_remote_leader || hopeless {
            self.flush_now();
            self.stopped = true;
            let parked = match &mut self.state {
                State::Leader(leader) => std::mem::take(&mut leader.parked),
                _ => Vec::new(),
            };
            for fetch in parked {
                self.refuse_parked(fetch.token);
            }
            self.out.push(Effect::ShutdownComplete);
        } else {
            self.wake_at(deadline_ms);
        }
    }
}
