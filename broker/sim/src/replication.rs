//! One partition on three brokers, through loss, delay, reordering, slow followers and crashes.
//!
//! Drives `jackdaw-replication` with a model of the log (records with epochs, and how much of them was synced), a
//! controller of a few lines (fencing, clean elections, AlterPartition) and a network that drops and delays. After
//! each event it checks what Kafka promises under clean elections:
//! an acknowledged record is on every leader and never changes; replicas are equal below the high watermark;
//! a replica's high watermark never goes back while it runs; and once faults stop, everything catches up.
//!
//! A crash may lose unsynced records only while another member of the ISR lives that has them: Kafka promises no
//! more than that without fsync.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use jackdaw_replication::follower::FetchedPartition;
use jackdaw_replication::isr::INELIGIBLE_REPLICA;
use jackdaw_replication::{
    AlterOutcome, BrokerView, CommittedIsr, Effects, FetchState, FollowerFetch, NO_LEADER, Proposal,
    Registration, Replica, Step,
};
use jackdaw_wire::ErrorCode;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const BROKERS: [i32; 3] = [1, 2, 3];
const MIN_INSYNC: usize = 2;
const LAG_MS: i64 = 3_000;
const FETCH_TIMEOUT_MS: i64 = 400;
const FAULTS_END_MS: i64 = 60_000;
const END_MS: i64 = 100_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Record {
    epoch: i32,
    value: u64,
}

/// A partition's log as far as replication can tell.
#[derive(Debug, Default)]
struct ModelLog {
    records: Vec<Record>,
    /// The epoch cache: where each epoch starts.
    epochs: Vec<(i32, i64)>,
    synced: usize,
}

impl ModelLog {
    fn end(&self) -> i64 {
        self.records.len() as i64
    }

    fn latest_epoch(&self) -> Option<i32> {
        self.epochs.last().map(|(epoch, _)| *epoch)
    }

    fn assign_epoch(&mut self, epoch: i32, start: i64) {
        if self.latest_epoch().is_none_or(|latest| latest < epoch) {
            self.epochs.push((epoch, start));
        }
    }

    fn append(&mut self, record: Record) {
        self.assign_epoch(record.epoch, self.end());
        self.records.push(record);
    }

    fn truncate(&mut self, end: i64) {
        self.records.truncate(end as usize);
        self.epochs.retain(|(_, start)| *start < end);
        self.synced = self.synced.min(self.records.len());
    }

    /// `LeaderEpochFileCache.endOffsetFor`.
    fn end_of_epoch(&self, epoch: i32) -> Option<(i32, i64)> {
        if self.latest_epoch() == Some(epoch) {
            return Some((epoch, self.end()));
        }
        let (_, next_start) = *self.epochs.iter().find(|(e, _)| *e > epoch)?;
        let floor = self.epochs.iter().rev().find(|(e, _)| *e <= epoch);
        Some((floor.map_or(epoch, |(e, _)| *e), next_start))
    }
}

/// The metadata of one version: what the controller published.
#[derive(Debug, Clone)]
struct Image {
    partition: Registration,
    brokers: BTreeMap<i32, BrokerView>,
}

/// An acknowledgement that a producer waits for.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    offset: i64,
    record: Record,
}

#[derive(Debug)]
struct Node {
    up: bool,
    /// Counts starts: messages of a former life are not its own.
    life: u64,
    broker_epoch: i64,
    log: ModelLog,
    replica: Replica,
    brokers: BTreeMap<i32, BrokerView>,
    applied: usize,
    checkpointed_hw: i64,
    highest_hw: i64,
    fetch: Option<(u64, FetchState)>,
    waiting: Vec<Waiting>,
    /// Lost records in a crash, and the controller has not fenced it since: it may still join by a late
    /// AlterPartition. Nobody else may crash until then.
    lost: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Reply {
    id: u64,
    fetched: FetchedPartition,
    records: Vec<(i32, u64)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Event {
    Image { node: usize, life: u64, version: usize },
    Fetch { from: usize, to: usize, id: u64, broker_epoch: i64, state: FetchState },
    FetchReply { to: usize, life: u64, reply: Reply },
    FetchTimeout { node: usize, life: u64, id: u64 },
    Alter { from: usize, life: u64, broker_epoch: i64, proposal: Proposal },
    AlterReply { to: usize, life: u64, proposal: u64, answer: Result<CommittedIsr, ErrorCode> },
    Write,
    CheckIsr { node: usize },
    Fault,
    Crash { node: usize },
    Restart { node: usize, life: u64 },
    Fence { node: usize, life: u64 },
    Unfence { node: usize, life: u64 },
}

/// What a run came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    pub acknowledged: usize,
    pub elections: i32,
    pub crashes: u32,
    pub lossy_crashes: u32,
    pub truncated_records: u64,
}

/// One seeded run.
pub struct Simulation {
    rng: StdRng,
    now_ms: i64,
    queue: BinaryHeap<Reverse<(i64, u64)>>,
    events: BTreeMap<u64, Event>,
    sequence: u64,
    nodes: Vec<Node>,
    images: Vec<Image>,
    acknowledged: Vec<Waiting>,
    next_value: u64,
    /// Grows a follower's pace apart from the others'.
    slow: usize,
    outcome: Outcome,
}

impl Simulation {
    pub fn new(seed: u64) -> Self {
        let view =
            |id: &i32| (*id, BrokerView { epoch: i64::from(*id), fenced: false, shutting_down: false });
        let partition = Registration {
            replicas: BROKERS.to_vec(),
            isr: BROKERS.to_vec(),
            leader: BROKERS[0],
            leader_epoch: 0,
            partition_epoch: 0,
            adding: Vec::new(),
        };
        let node = |id: &i32| Node {
            up: true,
            life: 0,
            broker_epoch: i64::from(*id),
            log: ModelLog::default(),
            replica: Replica::new(*id, 0, MIN_INSYNC, LAG_MS),
            brokers: BTreeMap::new(),
            applied: 0,
            checkpointed_hw: 0,
            highest_hw: 0,
            fetch: None,
            waiting: Vec::new(),
            lost: false,
        };
        let mut rng = StdRng::seed_from_u64(seed);
        let slow = rng.random_range(0..BROKERS.len());
        let mut simulation = Self {
            rng,
            now_ms: 0,
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            sequence: 0,
            nodes: BROKERS.iter().map(node).collect(),
            images: vec![Image { partition, brokers: BROKERS.iter().map(view).collect() }],
            acknowledged: Vec::new(),
            next_value: 0,
            slow,
            outcome: Outcome {
                acknowledged: 0,
                elections: 0,
                crashes: 0,
                lossy_crashes: 0,
                truncated_records: 0,
            },
        };
        simulation.publish();
        simulation.at(10, Event::Write);
        simulation.at(500, Event::Fault);
        for node in 0..BROKERS.len() {
            simulation.at(LAG_MS / 2, Event::CheckIsr { node });
        }
        simulation
    }

    /// Runs to the end.
    ///
    /// # Panics
    /// When a promise is broken; the caller prints the seed.
    pub fn run(mut self) -> Outcome {
        while let Some(Reverse((time_ms, key))) = self.queue.pop() {
            if time_ms > END_MS {
                break;
            }
            self.now_ms = time_ms;
            let event = self.events.remove(&key).expect("an event is queued once");
            self.act(event);
            self.check();
        }
        self.check_progress();
        self.outcome.acknowledged = self.acknowledged.len();
        self.outcome
    }

    fn faulty(&self) -> bool {
        self.now_ms < FAULTS_END_MS
    }

    fn at(&mut self, delay_ms: i64, event: Event) {
        self.sequence += 1;
        self.queue.push(Reverse((self.now_ms + delay_ms, self.sequence)));
        self.events.insert(self.sequence, event);
    }

    /// Puts a message on the wire: it may be lost, and messages overtake each other.
    fn send(&mut self, event: Event) {
        if self.faulty() && self.rng.random_bool(0.05) {
            return;
        }
        let tail_ms = if self.faulty() && self.rng.random_bool(0.05) { 1_500 } else { 20 };
        let delay_ms = self.rng.random_range(1..=tail_ms);
        self.at(delay_ms, event);
    }

    fn act(&mut self, event: Event) {
        match event {
            Event::Image { node, life, version } if self.lives(node, life) => self.apply(node, version),
            Event::Fetch { from, to, id, broker_epoch, state } => {
                self.serve_fetch(from, to, id, broker_epoch, state);
            }
            Event::FetchReply { to, life, reply } if self.lives(to, life) => self.take_reply(to, reply),
            Event::FetchTimeout { node, life, id }
                if self.lives(node, life) && self.nodes[node].fetch.is_some_and(|(sent, _)| sent == id) =>
            {
                self.nodes[node].fetch = None;
                self.fetch(node);
            }
            Event::Alter { from, life, broker_epoch, proposal } => {
                self.alter(from, life, broker_epoch, &proposal);
            }
            Event::AlterReply { to, life, proposal, answer } if self.lives(to, life) => {
                self.altered(to, proposal, answer);
            }
            Event::Write => self.write(),
            Event::CheckIsr { node } => {
                self.at(LAG_MS / 2, Event::CheckIsr { node });
                let now_ms = self.now_ms;
                let leader = self.nodes[node].replica.as_leader_mut();
                let effects = leader.map(|l| l.check_isr(now_ms)).unwrap_or_default();
                self.effects(node, effects);
            }
            Event::Fault => self.fault(),
            Event::Crash { node } => self.crash(node),
            Event::Restart { node, life } if self.nodes[node].life == life => self.restart(node),
            Event::Fence { node, life } if self.nodes[node].life == life && !self.nodes[node].up => {
                self.fence(node);
            }
            Event::Unfence { node, life } if self.lives(node, life) => self.unfence(node),
            _ => {}
        }
    }

    fn lives(&self, node: usize, life: u64) -> bool {
        self.nodes[node].up && self.nodes[node].life == life
    }

    // The controller.

    fn publish(&mut self) {
        let version = self.images.len() - 1;
        for node in 0..self.nodes.len() {
            let life = self.nodes[node].life;
            let most_ms = if self.faulty() { 300 } else { 10 };
            let delay_ms = self.rng.random_range(1..=most_ms);
            self.at(delay_ms, Event::Image { node, life, version });
        }
    }

    fn change(&mut self, change: impl FnOnce(&mut Image)) {
        let mut next = self.images.last().expect("there is always an image").clone();
        let before = next.partition.clone();
        change(&mut next);
        if next.partition.leader != before.leader {
            next.partition.leader_epoch += 1;
            self.outcome.elections += 1;
        }
        if next.partition != before {
            next.partition.partition_epoch += 1;
        }
        self.images.push(next);
        self.publish();
    }

    fn elect(image: &mut Image) {
        let can_lead = |id: &i32| image.brokers.get(id).is_some_and(|b| !b.fenced);
        if !can_lead(&image.partition.leader) {
            image.partition.leader = image.partition.isr.iter().copied().find(can_lead).unwrap_or(NO_LEADER);
        }
    }

    fn fence(&mut self, node: usize) {
        let id = BROKERS[node];
        self.change(|image| {
            if let Some(broker) = image.brokers.get_mut(&id) {
                broker.fenced = true;
            }
            // The last member stays: only it surely has what was acknowledged.
            if image.partition.isr.len() > 1 {
                image.partition.isr.retain(|member| *member != id);
            }
            Self::elect(image);
        });
        let current = &self.images.last().expect("there is always an image").partition;
        if !current.isr.contains(&id) {
            self.nodes[node].lost = false;
        }
    }

    fn unfence(&mut self, node: usize) {
        let id = BROKERS[node];
        self.change(|image| {
            if let Some(broker) = image.brokers.get_mut(&id) {
                broker.fenced = false;
            }
            Self::elect(image);
        });
    }

    fn alter(&mut self, from: usize, life: u64, broker_epoch: i64, proposal: &Proposal) {
        let image = self.images.last().expect("there is always an image").clone();
        let (partition, id) = (&image.partition, BROKERS[from]);
        let is_eligible = |member: &jackdaw_replication::BrokerState| {
            let own_epoch = if member.broker == id { broker_epoch } else { member.epoch };
            image
                .brokers
                .get(&member.broker)
                .is_some_and(|b| !b.fenced && !b.shutting_down && (own_epoch == -1 || own_epoch == b.epoch))
        };
        let answer = if partition.leader != id || partition.leader_epoch != proposal.leader_epoch {
            Err(ErrorCode::FencedLeaderEpoch)
        } else if partition.partition_epoch != proposal.partition_epoch {
            Err(ErrorCode::InvalidUpdateVersion)
        } else if !proposal.isr.iter().all(is_eligible) {
            Err(ErrorCode::Unknown(INELIGIBLE_REPLICA))
        } else {
            let isr: Vec<i32> = proposal.isr.iter().map(|b| b.broker).collect();
            self.change(|image| image.partition.isr.clone_from(&isr));
            let committed = &self.images.last().expect("there is always an image").partition;
            Ok(CommittedIsr {
                leader_epoch: committed.leader_epoch,
                partition_epoch: committed.partition_epoch,
                isr,
            })
        };
        self.send(Event::AlterReply { to: from, life, proposal: proposal.id, answer });
        // A lost answer is a timeout at the sender, which asks again until it has one.
        let answer = Err(ErrorCode::RequestTimedOut);
        self.at(2_000, Event::AlterReply { to: from, life, proposal: proposal.id, answer });
    }

    // The brokers.

    fn apply(&mut self, node: usize, version: usize) {
        let (id, now_ms) = (BROKERS[node], self.now_ms);
        let first = if self.nodes[node].applied == 0 { version } else { self.nodes[node].applied };
        for at in first..=version {
            let image = self.images[at].clone();
            let state = &mut self.nodes[node];
            state.brokers = image.brokers;
            state.applied = at + 1;
            if image.partition.leader == id {
                let became =
                    state.replica.become_leader(&image.partition, state.log.end(), now_ms, &state.brokers);
                if let Some((epoch, start)) = became.new_epoch {
                    state.log.assign_epoch(epoch, start);
                    self.check_leader_log(node);
                }
                self.effects(node, became.effects);
            } else {
                state.waiting.clear();
                let (end, latest) = (state.log.end(), state.log.latest_epoch());
                if state.replica.become_follower(&image.partition, end, latest).restart_fetching {
                    state.fetch = None;
                }
            }
            self.reconsider(node);
        }
        self.fetch(node);
    }

    /// What a shell does after the image changed what is known of brokers.
    fn reconsider(&mut self, node: usize) {
        for id in BROKERS {
            let state = &mut self.nodes[node];
            let leader = state.replica.as_leader_mut().filter(|_| id != BROKERS[node]);
            let effects = leader.map(|l| l.reconsider(id, &state.brokers)).unwrap_or_default();
            self.effects(node, effects);
        }
    }

    fn write(&mut self) {
        let pause_ms = self.rng.random_range(1..=200);
        self.at(pause_ms, Event::Write);
        let writing_ends_ms = END_MS - 10_000;
        let node = self.rng.random_range(0..self.nodes.len());
        let state = &mut self.nodes[node];
        if !state.up || self.now_ms > writing_ends_ms {
            return;
        }
        let Ok(epoch) = state.replica.check_append(true) else { return };
        let offset = state.log.end();
        for _ in 0..self.rng.random_range(1..=3) {
            self.next_value += 1;
            let record = Record { epoch, value: self.next_value };
            let state = &mut self.nodes[node];
            state.waiting.push(Waiting { offset: state.log.end(), record });
            state.log.append(record);
        }
        debug_assert!(self.nodes[node].log.end() > offset);
        self.maybe_sync(node);
        let (now_ms, state) = (self.now_ms, &mut self.nodes[node]);
        let end = state.log.end();
        let leader = state.replica.as_leader_mut().expect("the append was allowed");
        let effects = leader.appended(end, end, now_ms, &state.brokers);
        self.effects(node, effects);
    }

    fn maybe_sync(&mut self, node: usize) {
        if self.rng.random_bool(0.2) {
            self.nodes[node].log.synced = self.nodes[node].log.records.len();
        }
    }

    fn fetch(&mut self, node: usize) {
        let state = &self.nodes[node];
        let asked = state.replica.as_follower().and_then(|f| f.next_fetch().map(|n| (f.leader(), n)));
        let (Some((leader, fetch)), None) = (asked, state.fetch) else { return };
        let Some(to) = BROKERS.iter().position(|id| *id == leader) else { return };
        let (life, broker_epoch) = (state.life, state.broker_epoch);
        self.sequence += 1;
        let id = self.sequence;
        self.nodes[node].fetch = Some((id, fetch));
        self.send(Event::Fetch { from: node, to, id, broker_epoch, state: fetch });
        self.at(FETCH_TIMEOUT_MS, Event::FetchTimeout { node, life, id });
    }

    fn serve_fetch(&mut self, from: usize, to: usize, id: u64, broker_epoch: i64, asked: FetchState) {
        if !self.nodes[to].up {
            return;
        }
        let mut reply = Reply {
            id,
            fetched: FetchedPartition {
                asked,
                error: None,
                diverging: None,
                high_watermark: 0,
                log_start: 0,
            },
            records: Vec::new(),
        };
        match self.read(from, to, broker_epoch, asked, &mut reply) {
            Ok(effects) => self.effects(to, effects),
            Err(error) => reply.fetched.error = Some(error),
        }
        reply.fetched.high_watermark = self.nodes[to].replica.high_watermark();
        let life = self.nodes[from].life;
        self.send(Event::FetchReply { to: from, life, reply });
    }

    fn read(
        &mut self,
        from: usize,
        to: usize,
        broker_epoch: i64,
        asked: FetchState,
        reply: &mut Reply,
    ) -> Result<Effects, ErrorCode> {
        let most = if from == self.slow { 2 } else { 10 };
        let now_ms = self.now_ms;
        let state = &mut self.nodes[to];
        state.replica.check_leader(asked.current_leader_epoch)?;
        if asked.last_fetched_epoch >= 0 {
            let found = state.log.end_of_epoch(asked.last_fetched_epoch);
            let (epoch, end) = found.ok_or(ErrorCode::OffsetOutOfRange)?;
            if epoch < asked.last_fetched_epoch || end < asked.offset {
                reply.fetched.diverging = Some((epoch, end));
                return Ok(Effects::default());
            }
        }
        let unread = state.log.records.get(asked.offset as usize..).ok_or(ErrorCode::OffsetOutOfRange)?;
        reply.records = unread.iter().take(most).map(|r| (r.epoch, r.value)).collect();
        let fetch = FollowerFetch {
            broker: BROKERS[from],
            broker_epoch,
            offset: asked.offset,
            log_start: 0,
            leader_end: state.log.end(),
            now_ms,
        };
        let leader = state.replica.as_leader_mut().ok_or(ErrorCode::NotLeaderOrFollower)?;
        leader.follower_fetched(&fetch, &state.brokers).map_err(|_| ErrorCode::NotLeaderOrFollower)
    }

    fn take_reply(&mut self, node: usize, reply: Reply) {
        let state = &mut self.nodes[node];
        if state.fetch.is_none_or(|(id, _)| id != reply.id) {
            return;
        }
        state.fetch = None;
        let Some(follower) = state.replica.as_follower_mut() else { return };
        match follower.fetched(&reply.fetched) {
            Step::Append => {
                for (epoch, value) in reply.records {
                    state.log.append(Record { epoch, value });
                }
                let (end, latest) = (state.log.end(), state.log.latest_epoch());
                follower.appended(end, latest, reply.fetched.high_watermark);
                self.maybe_sync(node);
            }
            Step::Truncate { epoch, end_offset } => {
                let log = &mut state.log;
                let target = follower.truncation(epoch, end_offset, |e| log.end_of_epoch(e));
                assert!(!target.below_high_watermark, "truncates what is committed: {target:?}");
                self.outcome.truncated_records += (log.end() - target.offset) as u64;
                log.truncate(target.offset);
                follower.truncated(log.end(), log.latest_epoch());
            }
            Step::AskBounds => panic!("a clean follower is never out of its leader's range: {reply:?}"),
            Step::Ignore | Step::Retry(_) | Step::Stop => {}
        }
        let pause_ms = if node == self.slow { 150 } else { 5 };
        self.sequence += 1;
        let id = self.sequence;
        let state = &mut self.nodes[node];
        if let Some(next) = state.replica.as_follower().and_then(|f| f.next_fetch()) {
            // The pause is a fetch that is never sent and soon times out.
            state.fetch = Some((id, next));
            let life = state.life;
            self.at(pause_ms, Event::FetchTimeout { node, life, id });
        }
    }

    fn altered(&mut self, node: usize, proposal: u64, answer: Result<CommittedIsr, ErrorCode>) {
        let now_ms = self.now_ms;
        let state = &mut self.nodes[node];
        let Some(leader) = state.replica.as_leader_mut() else { return };
        let (outcome, effects) = leader.altered(proposal, answer, now_ms, &state.brokers);
        self.effects(node, effects);
        if let AlterOutcome::Retry(again) = outcome {
            self.propose(node, again);
        }
    }

    fn propose(&mut self, node: usize, proposal: Proposal) {
        let (life, broker_epoch) = (self.nodes[node].life, self.nodes[node].broker_epoch);
        // The sender retries until the controller answers: only delay, and answers that get lost.
        let delay_ms = self.rng.random_range(1..=if self.faulty() { 500 } else { 10 });
        self.at(delay_ms, Event::Alter { from: node, life, broker_epoch, proposal });
    }

    fn effects(&mut self, node: usize, effects: Effects) {
        if let Some(high_watermark) = effects.high_watermark {
            self.acknowledge(node, high_watermark);
        }
        if let Some(proposal) = effects.alter_partition {
            self.propose(node, proposal);
        }
    }

    fn acknowledge(&mut self, node: usize, high_watermark: i64) {
        let state = &mut self.nodes[node];
        let Some(leader) = state.replica.as_leader() else { return };
        let (done, waiting): (Vec<_>, Vec<_>) =
            state.waiting.iter().copied().partition(|w| w.offset < high_watermark);
        let acknowledged = done.into_iter().filter(|w| leader.acknowledged(w.offset + 1) == Some(Ok(())));
        self.acknowledged.extend(acknowledged);
        state.waiting = waiting;
    }

    // Faults.

    fn fault(&mut self) {
        if !self.faulty() {
            return;
        }
        let pause_ms = self.rng.random_range(200..=4_000);
        self.at(pause_ms, Event::Fault);
        let node = self.rng.random_range(0..self.nodes.len());
        if self.nodes[node].up && !self.nodes.iter().any(|n| n.lost) {
            self.at(0, Event::Crash { node });
        }
    }

    fn crash(&mut self, node: usize) {
        let isr = &self.images.last().expect("there is always an image").partition.isr;
        let others_have_it = isr.iter().any(|id| *id != BROKERS[node] && self.nodes[(*id - 1) as usize].up);
        let in_isr = isr.contains(&BROKERS[node]);
        // A shrink that is on its way may leave the dead leader as the last member.
        let shrinking = self.events.values().any(|e| matches!(e, Event::Alter { from, .. } if *from == node));
        let loses = (others_have_it || !in_isr) && !shrinking && self.rng.random_bool(0.5);
        self.outcome.crashes += 1;
        let state = &mut self.nodes[node];
        state.up = false;
        state.life += 1;
        state.waiting.clear();
        state.fetch = None;
        if self.rng.random_bool(0.5) {
            state.checkpointed_hw = state.replica.high_watermark();
        }
        state.replica.go_offline();
        if loses && state.log.synced < state.log.records.len() {
            self.outcome.lossy_crashes += 1;
            let kept = self.rng.random_range(state.log.synced..=state.log.records.len());
            state.log.truncate(kept as i64);
            state.lost = true;
        }
        let life = state.life;
        let fenced_after_ms = self.rng.random_range(50..=2_000);
        let restart_after_ms = self.rng.random_range(10..=5_000);
        self.at(fenced_after_ms, Event::Fence { node, life });
        self.at(restart_after_ms, Event::Restart { node, life });
    }

    fn restart(&mut self, node: usize) {
        // A registration of a new incarnation waits until the old session is over.
        self.fence(node);
        let epoch = self.images.len() as i64 + 100;
        let id = BROKERS[node];
        self.change(|image| {
            image.brokers.insert(id, BrokerView { epoch, fenced: true, shutting_down: false });
        });
        let state = &mut self.nodes[node];
        state.up = true;
        state.broker_epoch = epoch;
        state.applied = 0;
        state.brokers = BTreeMap::new();
        let high_watermark = state.checkpointed_hw.min(state.log.end());
        state.highest_hw = high_watermark;
        state.replica = Replica::new(id, high_watermark, MIN_INSYNC, LAG_MS);
        let life = state.life;
        let version = self.images.len() - 1;
        self.at(1, Event::Image { node, life, version });
        let unfenced_after_ms = self.rng.random_range(5..=500);
        self.at(unfenced_after_ms, Event::Unfence { node, life });
    }

    // The promises.

    fn check(&mut self) {
        for node in self.nodes.iter_mut().filter(|n| n.up) {
            node.replica.validate();
            let hw = node.replica.high_watermark();
            assert!(hw >= node.highest_hw, "the high watermark went from {} to {hw}", node.highest_hw);
            assert!(hw <= node.log.end(), "a high watermark beyond the log end");
            node.highest_hw = hw;
        }
        for (at, one) in self.nodes.iter().enumerate().filter(|(_, n)| n.up) {
            for other in self.nodes.iter().skip(at + 1).filter(|n| n.up) {
                let common = one.highest_hw.min(other.highest_hw) as usize;
                assert_eq!(
                    one.log.records[..common],
                    other.log.records[..common],
                    "replicas differ below their high watermarks"
                );
            }
        }
    }

    /// A leader has everything that was ever acknowledged.
    fn check_leader_log(&self, node: usize) {
        // A leader that learns of its election after the next one has nothing to promise any more.
        let current = &self.images.last().expect("there is always an image").partition;
        let state = &self.nodes[node];
        if state.replica.leader_epoch() != current.leader_epoch {
            return;
        }
        for acknowledged in &self.acknowledged {
            let found = state.log.records.get(acknowledged.offset as usize);
            assert_eq!(found, Some(&acknowledged.record), "broker {} leads without it", BROKERS[node]);
        }
    }

    fn check_progress(&self) {
        let current = &self.images.last().expect("there is always an image").partition;
        assert_eq!(current.isr.len(), BROKERS.len(), "not everyone is back in sync");
        let end = self.nodes[0].log.end();
        for (id, node) in BROKERS.iter().zip(&self.nodes) {
            assert_eq!((node.log.end(), node.replica.high_watermark()), (end, end), "broker {id} lags");
        }
        for acknowledged in &self.acknowledged {
            let found = self.nodes[0].log.records.get(acknowledged.offset as usize);
            assert_eq!(found, Some(&acknowledged.record), "an acknowledged record changed");
        }
        assert!(self.nodes.iter().all(|n| n.waiting.is_empty()), "a producer still waits");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_env(name: &str) -> Option<u64> {
        std::env::var(name).ok().and_then(|text| text.parse().ok())
    }

    /// `JACKDAW_SIM_SEED=n` replays one seed; `JACKDAW_SIM_RUNS=n` runs that many.
    #[test]
    fn acknowledged_records_outlive_every_fault() {
        let replayed = from_env("JACKDAW_SIM_SEED");
        let runs = from_env("JACKDAW_SIM_RUNS").unwrap_or(100);
        let seeds = replayed.map_or(0..runs, |seed| seed..seed + 1);
        let (mut acknowledged, mut lossy, mut truncated) = (0, 0, 0);
        for seed in seeds {
            let run = std::panic::catch_unwind(|| Simulation::new(seed).run());
            let outcome = run.unwrap_or_else(|_| panic!("replay with JACKDAW_SIM_SEED={seed}"));
            acknowledged += outcome.acknowledged;
            lossy += outcome.lossy_crashes;
            truncated += outcome.truncated_records;
            if replayed.is_some() {
                println!("seed {seed}: {outcome:?}");
            }
        }
        assert!(acknowledged > 0);
        // The faults must bite, or the run proves nothing.
        assert!(
            replayed.is_some() || (lossy > 0 && truncated > 0),
            "{lossy} lossy crashes, {truncated} truncated"
        );
    }
}
