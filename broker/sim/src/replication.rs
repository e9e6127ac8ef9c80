//! One partition on three brokers, through loss, delay, duplication, reordering, cut links and crashes.
//!
//! Drives `jackdaw-replication` under the real controller of `jackdaw-metadata`, with a model of the log (records with
//! epochs, and how much of them was synced) and a network that drops, delays, repeats and cuts off. After each event
//! the oracle checks what Kafka promises under clean elections: what any replica takes for committed is in the log of
//! each member of the ISR and never changes; a replica's high watermark never goes back while it runs, and moves only
//! with `min.insync.replicas` members in sync; and once faults stop, everything catches up.
//!
//! What must not be here: a guard that the broker does not have. Answers reach a replica whether or not it still waits
//! for them, for it is its own rule to know them.

mod cluster;
mod faults;
mod log;
mod oracle;

use std::collections::BTreeMap;

use jackdaw_replication::follower::FetchedPartition;
use jackdaw_replication::{
    AlterOutcome, BrokerView, CommittedIsr, Effects, FetchState, FollowerFetch, FollowerRefusal, Proposal,
    Registration, Replica, Step,
};
use jackdaw_wire::ErrorCode;

use crate::events::Events;
use crate::seeds::{Rng, is_traced};
use cluster::{Beat, Cluster, Told};
use faults::Link;
use log::{ModelLog, Record};
use oracle::Oracle;

const BROKERS: [i32; 3] = [1, 2, 3];
/// The controller's place in the network, after the brokers.
const CONTROLLER: usize = BROKERS.len();
const MIN_INSYNC: usize = 2;
const LAG_MS: i64 = 3_000;
const FETCH_TIMEOUT_MS: i64 = 400;
const ALTER_TIMEOUT_MS: i64 = 1_000;
const HEARTBEAT_MS: i64 = 250;
const FAULTS_END_MS: i64 = 60_000;
const WRITES_END_MS: i64 = 90_000;
const END_MS: i64 = 100_000;

/// An acknowledgement that a producer waits for.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    offset: i64,
    record: Record,
    since_ms: i64,
}

/// How much a follower takes at a time, and how long it then rests.
#[derive(Debug, Clone, Copy)]
struct Pace {
    records: usize,
    pause_ms: i64,
}

const USUAL_PACE: Pace = Pace { records: 10, pause_ms: 5 };

#[derive(Debug)]
struct Node {
    up: bool,
    /// Its ports are open: since it was unfenced for the first time in this life.
    serves: bool,
    /// Counts starts: what was sent to a former life does not arrive.
    life: u64,
    broker_epoch: i64,
    log: ModelLog,
    replica: Replica,
    brokers: BTreeMap<i32, BrokerView>,
    /// The image that it acts on.
    applied: Option<usize>,
    /// The partition as it last acted on it.
    registration: Option<Registration>,
    /// Images wait until then: who acts on them is slow.
    stalled_until_ms: i64,
    checkpointed_hw: i64,
    highest_hw: i64,
    /// The fetch that it waits for, or the pause before the next.
    asking: Option<u64>,
    slow: Option<Pace>,
    waiting: Vec<Waiting>,
    /// Asks the controller to be let go.
    leaving: bool,
    /// The directory of its replica: it is here no more until the next start.
    directory_failed: bool,
    loses_power: bool,
}

impl Node {
    fn new(id: i32) -> Self {
        Self {
            up: true,
            serves: true,
            life: 0,
            broker_epoch: -1,
            log: ModelLog::default(),
            replica: Replica::new(id, 0, MIN_INSYNC, LAG_MS),
            brokers: BTreeMap::new(),
            applied: None,
            registration: None,
            stalled_until_ms: 0,
            checkpointed_hw: 0,
            highest_hw: 0,
            asking: None,
            slow: None,
            waiting: Vec::new(),
            leaving: false,
            directory_failed: false,
            loses_power: false,
        }
    }
}

#[derive(Debug, Clone)]
struct Reply {
    id: u64,
    fetched: FetchedPartition,
    records: Vec<Record>,
}

#[derive(Debug, Clone)]
enum Event {
    Image { node: usize, life: u64, version: usize },
    Fetch { from: usize, to: usize, life: u64, id: u64, broker_epoch: i64, state: FetchState },
    FetchReply { to: usize, life: u64, reply: Reply },
    FetchAgain { node: usize, life: u64, id: u64 },
    Alter { from: usize, life: u64, broker_epoch: i64, proposal: Proposal },
    AlterReply { to: usize, life: u64, proposal: u64, answer: Result<CommittedIsr, ErrorCode> },
    Write,
    CheckIsr { node: usize },
    Heartbeat { node: usize },
    Fault,
    Heal { links: Vec<Link> },
    Prefer { replicas: Vec<i32> },
    Restart { node: usize, life: u64 },
    FailDirectory { node: usize },
    Repair { node: usize, life: u64 },
}

/// What a run came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    pub acknowledged: usize,
    pub elections: i32,
    pub crashes: u32,
    pub shutdowns: u32,
    pub lossy_crashes: u32,
    pub truncated_records: u64,
    /// Fetches of another leader epoch than the leader's.
    pub fenced_fetches: u32,
    /// Fetches of a former incarnation.
    pub stale_fetches: u32,
    /// Answers to a follower that had come further, or elsewhere.
    pub old_replies: u32,
    /// Images older than what the replica knew from the controller's answer.
    pub old_images: u32,
    /// The controller's answers to what was no longer proposed.
    pub old_answers: u32,
    /// Proposals that were sent again, since nobody knew what had become of them.
    pub retries: u32,
    /// Epochs led by one broker with epochs in between that it never heard of.
    pub missed_epochs: u32,
    pub failed_directories: u32,
    /// The longest that a producer waited for an acknowledgement which it got.
    pub slowest_ack_ms: i64,
}

/// One seeded run.
pub struct Simulation {
    rng: Rng,
    events: Events<Event>,
    nodes: Vec<Node>,
    cluster: Cluster,
    /// So many images are on their way.
    published: usize,
    /// How often each link is cut.
    cuts: [[u32; BROKERS.len() + 1]; BROKERS.len() + 1],
    oracle: Oracle,
    faults_end_ms: i64,
    next_value: u64,
    next_fetch: u64,
    outcome: Outcome,
    is_traced: bool,
}

impl Simulation {
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let is_old = rng.chance(20);
        let mut simulation = Self {
            rng,
            events: Events::default(),
            nodes: BROKERS.iter().map(|id| Node::new(*id)).collect(),
            cluster: Cluster::new(&BROKERS, is_old),
            published: 0,
            cuts: Default::default(),
            oracle: Oracle::default(),
            faults_end_ms: FAULTS_END_MS,
            next_value: 0,
            next_fetch: 0,
            outcome: Outcome::default(),
            is_traced: is_traced(),
        };
        let brokers = &simulation.cluster.images()[0].brokers;
        for (id, node) in BROKERS.iter().zip(&mut simulation.nodes) {
            node.broker_epoch = brokers[id].epoch;
        }
        simulation.publish();
        simulation.events.after(10, Event::Write);
        simulation.events.after(500, Event::Fault);
        // Some runs only, and by dice of their own: the others stay as they were when they found something.
        let mut dice = Rng::new(!seed);
        for _ in 0..if seed % 4 == 3 { 8 } else { 0 } {
            let node = dice.below(BROKERS.len() as u64) as usize;
            simulation.events.after(dice.between(1_000, FAULTS_END_MS), Event::FailDirectory { node });
        }
        for node in 0..BROKERS.len() {
            simulation.events.after(LAG_MS / 2, Event::CheckIsr { node });
            simulation.events.after(HEARTBEAT_MS, Event::Heartbeat { node });
        }
        simulation
    }

    /// A run in which nothing goes wrong but the directory of that broker's replica, at that time.
    #[cfg(test)]
    fn with_a_failed_directory(seed: u64, node: usize, at_ms: i64) -> Self {
        let mut simulation = Self::new(seed & !3);
        simulation.faults_end_ms = 0;
        simulation.events.after(at_ms, Event::FailDirectory { node });
        simulation
    }

    /// Runs to the end.
    ///
    /// # Panics
    /// When a promise is broken; the caller prints the seed.
    pub fn run(mut self) -> Outcome {
        while let Some(event) = self.events.next_event() {
            if self.events.now_ms() > END_MS {
                break;
            }
            if self.is_traced {
                eprintln!("{:>6} {event:?}", self.events.now_ms());
            }
            self.act(event);
            self.publish();
            self.check();
        }
        self.check_progress();
        self.outcome.acknowledged = self.oracle.acknowledged();
        self.outcome.elections = self.cluster.partition().leader_epoch;
        self.outcome
    }

    fn faulty(&self) -> bool {
        self.events.now_ms() < self.faults_end_ms
    }

    fn pace(&self, node: usize) -> Pace {
        self.nodes[node].slow.filter(|_| self.faulty()).unwrap_or(USUAL_PACE)
    }

    fn lives(&self, node: usize, life: u64) -> bool {
        self.nodes[node].up && self.nodes[node].life == life
    }

    /// Puts a message on the wire. It may be lost, or come twice, and messages overtake each other.
    fn send(&mut self, from: usize, to: usize, event: Event) {
        if !self.is_open(from, to) || (self.faulty() && self.rng.chance(4)) {
            return;
        }
        if self.faulty() && self.rng.chance(3) {
            let delay_ms = self.delay_ms();
            self.events.after(delay_ms, event.clone());
        }
        let delay_ms = self.delay_ms();
        self.events.after(delay_ms, event);
    }

    fn delay_ms(&mut self) -> i64 {
        let most_ms = match self.rng.below(100) {
            0..2 if self.faulty() => 8_000,
            2..10 if self.faulty() => 1_500,
            _ => 20,
        };
        self.rng.between(1, most_ms)
    }

    fn act(&mut self, event: Event) {
        match event {
            Event::Image { node, life, version } if self.lives(node, life) => {
                self.image(node, life, version);
            }
            Event::Fetch { from, to, life, id, broker_epoch, state } if self.nodes[to].serves => {
                self.serve_fetch((from, life), to, id, broker_epoch, state);
            }
            Event::FetchReply { to, life, reply } if self.lives(to, life) => self.take_reply(to, reply),
            Event::FetchAgain { node, life, id }
                if self.lives(node, life) && self.nodes[node].asking == Some(id) =>
            {
                self.nodes[node].asking = None;
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
                self.events.after(LAG_MS / 2, Event::CheckIsr { node });
                let now_ms = self.events.now_ms();
                let leader = self.nodes[node].replica.as_leader_mut();
                let effects = leader.map(|l| l.check_isr(now_ms)).unwrap_or_default();
                self.effects(node, effects);
            }
            Event::Heartbeat { node } => self.heartbeat(node),
            Event::Fault => self.fault(),
            Event::Heal { links } => self.heal(&links),
            Event::Prefer { replicas } => self.cluster.prefer(self.events.now_ms(), &replicas),
            Event::Restart { node, life } if self.nodes[node].life == life => self.restart(node),
            Event::FailDirectory { node } => self.fail_directory(node),
            Event::Repair { node, life } if self.nodes[node].life == life => self.go_down(node, true),
            _ => {}
        }
    }

    // The metadata.

    fn publish(&mut self) {
        while self.published < self.cluster.images().len() {
            let version = self.published;
            self.published += 1;
            for node in 0..self.nodes.len() {
                let life = self.nodes[node].life;
                let most_ms = if self.faulty() { 300 } else { 10 };
                let delay_ms = self.rng.between(1, most_ms);
                self.events.after(delay_ms, Event::Image { node, life, version });
            }
        }
    }

    fn heartbeat(&mut self, node: usize) {
        self.events.after(HEARTBEAT_MS, Event::Heartbeat { node });
        let now_ms = self.events.now_ms();
        self.cluster.tick(now_ms);
        let is_reachable = self.is_open(node, CONTROLLER) && self.is_open(CONTROLLER, node);
        let state = &self.nodes[node];
        if !state.up || !is_reachable {
            return;
        }
        let applied = state.applied.map_or(-1, |version| self.cluster.images()[version].offset);
        let beat = Beat {
            epoch: state.broker_epoch,
            applied,
            leaving: state.leaving,
            directory_failed: state.directory_failed,
        };
        match self.cluster.heartbeat(now_ms, BROKERS[node], beat) {
            Told::GoDown => self.stop(node),
            Told::Serve => self.nodes[node].serves = true,
            Told::Wait => {}
        }
    }

    fn alter(&mut self, from: usize, life: u64, broker_epoch: i64, proposal: &Proposal) {
        let now_ms = self.events.now_ms();
        // A controller that loses its own leadership may have written the change, or not: it cannot tell.
        let fails = self.faulty() && self.rng.chance(10);
        if fails && self.rng.chance(50) {
            return;
        }
        let answer = self.cluster.alter(now_ms, BROKERS[from], broker_epoch, proposal);
        let answer = if fails { Err(ErrorCode::NotController) } else { answer };
        let reply = Event::AlterReply { to: from, life, proposal: proposal.id, answer };
        if self.faulty() && self.rng.chance(30) {
            // The answer to the same request, sent before over a connection that was given up.
            let delay_ms = self.rng.between(1, 1_500);
            self.events.after(delay_ms, reply.clone());
        }
        self.send(CONTROLLER, from, reply);
    }

    // The brokers.

    /// Acts on all that has gathered up to `version`: one image after the other, or what came of them, as the
    /// loader does when those who act on images were slow.
    fn image(&mut self, node: usize, life: u64, version: usize) {
        let waits_ms = self.nodes[node].stalled_until_ms - self.events.now_ms();
        if waits_ms > 0 || !self.is_open(CONTROLLER, node) {
            let delay_ms = waits_ms.max(0) + self.rng.between(1, 200);
            self.events.after(delay_ms, Event::Image { node, life, version });
            return;
        }
        let gathers = self.rng.chance(50);
        let first = self.nodes[node].applied.map_or(version, |applied| applied + 1);
        for at in first..=version {
            if at == version || !gathers {
                self.apply(node, at);
            }
        }
        self.fetch(node);
    }

    fn apply(&mut self, node: usize, version: usize) {
        let image = self.cluster.images()[version].clone();
        let state = &mut self.nodes[node];
        state.brokers = image.brokers;
        state.applied = Some(version);
        if state.registration.as_ref() != Some(&image.partition) && !state.directory_failed {
            self.take_role(node, &image.partition);
            self.nodes[node].registration = Some(image.partition);
        }
        self.reconsider(node);
    }

    fn take_role(&mut self, node: usize, registration: &Registration) {
        let now_ms = self.events.now_ms();
        let state = &mut self.nodes[node];
        let (end, latest) = (state.log.end(), state.log.latest_epoch());
        if registration.leader != BROKERS[node] {
            state.waiting.clear();
            let became = state.replica.become_follower(registration, end, latest);
            if became.restart_fetching {
                state.asking = None;
            }
            self.outcome.old_images += u32::from(became.skipped);
            return;
        }
        let led = state.replica.as_leader().map(|leader| leader.epoch());
        let became = state.replica.become_leader(registration, end, end, now_ms, &state.brokers);
        if led.is_some_and(|epoch| registration.leader_epoch > epoch + 1) {
            self.outcome.missed_epochs += 1;
        }
        self.outcome.old_images += u32::from(became.skipped);
        if let Some((epoch, start)) = became.new_epoch {
            state.log.assign_epoch(epoch, start);
        }
        self.effects(node, became.effects);
    }

    /// What a shell does after the image changed what is known of brokers.
    fn reconsider(&mut self, node: usize) {
        for id in BROKERS {
            let state = &mut self.nodes[node];
            let leader = state.replica.as_leader_mut().filter(|leader| leader.is_waiting_to_join(id));
            let effects = leader.map(|l| l.reconsider(id, &state.brokers)).unwrap_or_default();
            self.effects(node, effects);
        }
    }

    fn write(&mut self) {
        let pause_ms = self.rng.between(1, 60);
        self.events.after(pause_ms, Event::Write);
        let now_ms = self.events.now_ms();
        let node = self.rng.below(BROKERS.len() as u64) as usize;
        let is_all = self.rng.chance(80);
        let state = &mut self.nodes[node];
        if !state.serves || now_ms > WRITES_END_MS {
            return;
        }
        let Ok(epoch) = state.replica.check_append(is_all) else { return };
        for _ in 0..self.rng.between(1, 3) {
            self.next_value += 1;
            let record = Record { epoch, value: self.next_value };
            let state = &mut self.nodes[node];
            if is_all {
                state.waiting.push(Waiting { offset: state.log.end(), record, since_ms: now_ms });
            }
            state.log.append(record);
        }
        self.maybe_sync(node);
        let state = &mut self.nodes[node];
        let end = state.log.end();
        let Some(leader) = state.replica.as_leader_mut() else { panic!("the append was allowed") };
        let effects = leader.appended(end, end, now_ms, &state.brokers);
        self.effects(node, effects);
    }

    fn maybe_sync(&mut self, node: usize) {
        if self.rng.chance(20) {
            self.nodes[node].log.sync();
        }
    }

    fn fetch(&mut self, node: usize) {
        let state = &self.nodes[node];
        let asked = state.replica.as_follower().and_then(|f| f.next_fetch().map(|n| (f.leader(), n)));
        let (Some((leader, fetch)), None) = (asked, state.asking) else { return };
        let Some(to) = BROKERS.iter().position(|id| *id == leader) else { return };
        let (life, broker_epoch) = (state.life, state.broker_epoch);
        let id = self.ask_again(node, FETCH_TIMEOUT_MS);
        self.send(node, to, Event::Fetch { from: node, to, life, id, broker_epoch, state: fetch });
    }

    /// The next fetch leaves after so long, unless an answer to this one comes before.
    fn ask_again(&mut self, node: usize, after_ms: i64) -> u64 {
        self.next_fetch += 1;
        let (id, life) = (self.next_fetch, self.nodes[node].life);
        self.nodes[node].asking = Some(id);
        self.events.after(after_ms, Event::FetchAgain { node, life, id });
        id
    }

    fn serve_fetch(
        &mut self,
        (from, life): (usize, u64),
        to: usize,
        id: u64,
        broker_epoch: i64,
        asked: FetchState,
    ) {
        let fetched =
            FetchedPartition { asked, error: None, diverging: None, high_watermark: 0, log_start: 0 };
        let mut reply = Reply { id, fetched, records: Vec::new() };
        match self.read(from, to, broker_epoch, asked, &mut reply) {
            Ok(effects) => self.effects(to, effects),
            Err(error) => {
                let is_fenced = matches!(error, ErrorCode::FencedLeaderEpoch | ErrorCode::UnknownLeaderEpoch);
                self.outcome.fenced_fetches += u32::from(is_fenced);
                reply.fetched.error = Some(error);
            }
        }
        reply.fetched.high_watermark = self.nodes[to].replica.high_watermark();
        self.send(to, from, Event::FetchReply { to: from, life, reply });
    }

    fn read(
        &mut self,
        from: usize,
        to: usize,
        broker_epoch: i64,
        asked: FetchState,
        reply: &mut Reply,
    ) -> Result<Effects, ErrorCode> {
        let most = self.pace(from).records;
        let now_ms = self.events.now_ms();
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
        let unread = state.log.records().get(asked.offset as usize..).ok_or(ErrorCode::OffsetOutOfRange)?;
        reply.records = unread.iter().take(most).copied().collect();
        let fetch = FollowerFetch {
            broker: BROKERS[from],
            broker_epoch,
            offset: asked.offset,
            log_start: 0,
            leader_end: state.log.end(),
            now_ms,
        };
        let leader = state.replica.as_leader_mut().ok_or(ErrorCode::NotLeaderOrFollower)?;
        leader.follower_fetched(&fetch, &state.brokers).map_err(|refusal| {
            self.outcome.stale_fetches += u32::from(matches!(refusal, FollowerRefusal::Stale(_)));
            ErrorCode::NotLeaderOrFollower
        })
    }

    fn take_reply(&mut self, node: usize, reply: Reply) {
        let state = &mut self.nodes[node];
        let was_awaited = state.asking == Some(reply.id);
        let Some(follower) = state.replica.as_follower_mut() else {
            self.outcome.old_replies += 1;
            return;
        };
        match follower.fetched(&reply.fetched) {
            Step::Append => {
                assert_eq!(reply.fetched.asked.offset, state.log.end(), "the records do not follow on");
                reply.records.iter().for_each(|record| state.log.append(*record));
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
            Step::Ignore => self.outcome.old_replies += 1,
            Step::Retry(_) | Step::Stop => {}
        }
        if was_awaited {
            let pause_ms = self.pace(node).pause_ms;
            self.ask_again(node, pause_ms);
        }
    }

    fn altered(&mut self, node: usize, proposal: u64, answer: Result<CommittedIsr, ErrorCode>) {
        let now_ms = self.events.now_ms();
        let is_answer = answer != Err(ErrorCode::RequestTimedOut);
        let state = &mut self.nodes[node];
        let Some(leader) = state.replica.as_leader_mut() else { return };
        let (outcome, effects) = leader.altered(proposal, answer, now_ms, &state.brokers);
        self.effects(node, effects);
        match outcome {
            AlterOutcome::Retry(again) => {
                self.outcome.retries += 1;
                self.propose(node, again);
            }
            AlterOutcome::Committed => self.reconsider(node),
            AlterOutcome::Stale => self.outcome.old_answers += u32::from(is_answer),
            AlterOutcome::Reset | AlterOutcome::AwaitMetadata => {}
        }
    }

    fn propose(&mut self, node: usize, proposal: Proposal) {
        let (life, broker_epoch, id) = (self.nodes[node].life, self.nodes[node].broker_epoch, proposal.id);
        self.send(node, CONTROLLER, Event::Alter { from: node, life, broker_epoch, proposal });
        let answer = Err(ErrorCode::RequestTimedOut);
        self.events.after(ALTER_TIMEOUT_MS, Event::AlterReply { to: node, life, proposal: id, answer });
    }

    fn effects(&mut self, node: usize, effects: Effects) {
        if let Some(high_watermark) = effects.high_watermark {
            let isr = self.nodes[node].replica.as_leader().map_or(0, |leader| leader.isr().len());
            assert!(isr >= MIN_INSYNC, "broker {} commits with {isr} in sync", BROKERS[node]);
            self.acknowledge(node, high_watermark);
        }
        if let Some(proposal) = effects.alter_partition {
            self.propose(node, proposal);
        }
    }

    fn acknowledge(&mut self, node: usize, high_watermark: i64) {
        let state = &mut self.nodes[node];
        self.oracle.commits(BROKERS[node], &mut state.log, high_watermark);
        let Some(leader) = state.replica.as_leader() else { return };
        let (done, waiting): (Vec<_>, Vec<_>) =
            state.waiting.iter().copied().partition(|w| w.offset < high_watermark);
        for w in done.into_iter().filter(|w| leader.acknowledged(w.offset + 1) == Some(Ok(()))) {
            self.oracle.acknowledges(w.offset, w.record);
            let waited_ms = self.events.now_ms() - w.since_ms;
            self.outcome.slowest_ack_ms = self.outcome.slowest_ack_ms.max(waited_ms);
        }
        state.waiting = waiting;
    }

    // The promises.

    fn check(&mut self) {
        for (id, node) in BROKERS.iter().zip(&mut self.nodes).filter(|(_, n)| n.up) {
            node.replica.validate();
            let hw = node.replica.high_watermark();
            assert!(hw >= node.highest_hw, "the high watermark went from {} to {hw}", node.highest_hw);
            assert!(hw <= node.log.end(), "a high watermark beyond the log end");
            node.highest_hw = hw;
            self.oracle.commits(*id, &mut node.log, hw);
        }
        for id in &self.cluster.partition().isr {
            let node = &mut self.nodes[(*id - 1) as usize];
            self.oracle.may_lead(*id, &mut node.log);
        }
    }

    fn check_progress(&self) {
        assert_eq!(self.cluster.partition().isr.len(), BROKERS.len(), "not everyone is back in sync");
        let end = self.nodes[0].log.end();
        for (id, node) in BROKERS.iter().zip(&self.nodes) {
            assert_eq!((node.log.end(), node.replica.high_watermark()), (end, end), "broker {id} lags");
        }
        assert!(self.nodes.iter().all(|n| n.waiting.is_empty()), "a producer still waits");
    }
}

#[cfg(test)]
mod tests;
