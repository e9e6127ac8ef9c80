//! A metadata quorum through reordering, loss, duplication, partitions, crashes and false evidence.
//!
//! Drives `jackdaw-quorum` as the shell of the broker does: effects in order, flushes that end later. A crash loses
//! what was not synced, and may come between two effects of one step. After each step the [`oracle`] is asked; once
//! faults stop, a leader must commit again and everybody must learn of it.

pub mod disk;
pub mod oracle;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use jackdaw_quorum::{Config, Effect, Input, NewAppend, Quorum, Request, Response};
use jackdaw_wire::OffsetAndEpoch;
use jackdaw_wire::batch::BatchBuilder;

use crate::events::Events;
use crate::seeds::{Rng, is_traced};
use disk::{Batch, Disk, split};
use oracle::Oracle;

const FAULTS_END_MS: i64 = 6_000;
const QUIET_MS: i64 = 4_000;
const CLUSTER_ID: &str = "simulated";

/// What a scenario lets happen.
#[derive(Debug, Clone, Copy)]
pub struct Faults {
    pub voters: i32,
    pub observers: i32,
    pub loss_percent: u64,
    /// Messages that take up to 300 ms instead of 3, longer than every timeout.
    pub slow_percent: u64,
    pub duplicate_percent: u64,
    /// Per fault event, each 20 to 200 ms. Crashes also come between two effects, and soon after a candidacy.
    pub crash_percent: u64,
    /// Everybody crashes at once.
    pub power_percent: u64,
    /// A disk ends no flush for up to a second, longer than every timeout.
    pub stall_percent: u64,
    pub partition_percent: u64,
    pub false_evidence_percent: u64,
    pub snapshot_percent: u64,
    pub resign_percent: u64,
}

impl Faults {
    pub const NONE: Self = Self {
        voters: 3,
        observers: 1,
        loss_percent: 0,
        slow_percent: 0,
        duplicate_percent: 0,
        crash_percent: 0,
        power_percent: 0,
        stall_percent: 0,
        partition_percent: 0,
        false_evidence_percent: 0,
        snapshot_percent: 0,
        resign_percent: 0,
    };

    /// For that many voters, each kind of fault often, seldom or not at all: some breaches need much of one kind, and
    /// peace from the others (swarm testing).
    pub fn drawn(seed: u64, voters: i32) -> Self {
        let mut rng = Rng::new(!seed);
        let mut draw = |percent: u64| percent * rng.below(4) / 2;
        Self {
            voters,
            observers: 1,
            loss_percent: draw(5),
            slow_percent: draw(5),
            duplicate_percent: draw(5),
            crash_percent: draw(25),
            power_percent: draw(2),
            stall_percent: draw(30),
            partition_percent: draw(25),
            false_evidence_percent: draw(25),
            snapshot_percent: draw(15),
            resign_percent: draw(5),
        }
    }
}

#[derive(Debug, Clone)]
enum Body {
    Request(Request),
    Response(Response),
    Failed,
}

#[derive(Debug, Clone)]
enum Event {
    Deliver { from: i32, from_life: u64, to: i32, to_life: Option<u64>, correlation: u64, body: Body },
    Wake { node: i32, life: u64 },
    Flushed { node: i32, life: u64, id: u64, changes: usize },
    Evidence { node: i32, input: Input },
    Crash { node: i32, life: u64 },
    Restart { node: i32 },
    Client,
    Fault,
}

struct Node {
    id: i32,
    /// Which life after how many crashes.
    life: u64,
    machine: Option<Quorum>,
    disk: Disk,
    /// As last told by the machine.
    epoch: i32,
    wake_at_ms: i64,
    stalled_until_ms: i64,
    next_token: u64,
    /// Who asked, with what correlation, in which life.
    askers: BTreeMap<u64, (i32, u64, u64)>,
}

/// What a run has seen, for tests that ask for more than safety.
#[derive(Debug, Clone, Copy, Default)]
pub struct Report {
    pub elections: u64,
    pub committed_offset: i64,
    /// When the first leader was elected.
    pub first_leader_ms: Option<i64>,
    pub crashes: u64,
    pub snapshots_fetched: u64,
}

/// A cluster of voters 1.. and observers after them.
pub struct World {
    faults: Faults,
    rng: Rng,
    events: Events<Event>,
    nodes: Vec<Node>,
    oracle: Oracle,
    /// Links that carry nothing, one way each.
    cut: BTreeSet<(i32, i32)>,
    quiet: bool,
    traced: bool,
    next_value: u64,
    report: Report,
}

/// Runs one seed to its end.
///
/// # Panics
/// When a promise is broken, or nothing is committed after the faults stopped.
pub fn run(seed: u64, faults: Faults) -> Report {
    let mut world = World::new(seed, faults);
    world.run_until(FAULTS_END_MS);
    world.heal();
    let committed_before = world.oracle.committed_end();
    world.run_until(FAULTS_END_MS + QUIET_MS);
    world.check_progress(committed_before);
    world.report.committed_offset = world.oracle.committed_end();
    world.report
}

impl World {
    fn new(seed: u64, faults: Faults) -> Self {
        let mut world = Self {
            faults,
            rng: Rng::new(seed),
            events: Events::default(),
            nodes: Vec::new(),
            oracle: Oracle::default(),
            cut: BTreeSet::new(),
            quiet: false,
            traced: is_traced(),
            next_value: 0,
            report: Report::default(),
        };
        for id in 1..=faults.voters + faults.observers {
            world.nodes.push(Node {
                id,
                life: 0,
                machine: None,
                disk: Disk::default(),
                epoch: 0,
                wake_at_ms: i64::MAX,
                stalled_until_ms: 0,
                next_token: 0,
                askers: BTreeMap::new(),
            });
            let delay_ms = world.rng.between(0, 50);
            world.events.after(delay_ms, Event::Restart { node: id });
        }
        world.events.after(1, Event::Client);
        world.events.after(100, Event::Fault);
        world
    }

    fn config(&mut self, node: i32) -> Config {
        Config {
            election_timeout_ms: 100,
            fetch_timeout_ms: 200,
            election_backoff_max_ms: 100,
            request_timeout_ms: 200,
            retry_backoff_ms: 5,
            fetch_max_wait_ms: 50,
            fetch_max_bytes: 100,
            early_step_ms: 10,
            random_seed: self.rng.next_u64(),
            ..Config::new(node, 1..=self.faults.voters, CLUSTER_ID)
        }
    }

    fn run_until(&mut self, end_ms: i64) {
        while self.events.now_ms() < end_ms {
            match self.events.next_event() {
                Some(event) => self.happen(event),
                None => break,
            }
        }
    }

    fn at(&self, id: i32) -> usize {
        id as usize - 1
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Deliver { from, from_life, to, to_life, correlation, body } => {
                self.deliver(from, from_life, to, to_life, correlation, body);
            }
            Event::Wake { node, life } => {
                let at = self.at(node);
                if self.nodes[at].life == life && self.events.now_ms() >= self.nodes[at].wake_at_ms {
                    self.nodes[at].wake_at_ms = i64::MAX;
                    self.step(node, Input::Tick);
                }
            }
            Event::Flushed { node, life, id, changes } => {
                let at = self.at(node);
                if self.nodes[at].life == life {
                    self.nodes[at].disk.synced_up_to(changes);
                    self.disk_changed(node);
                    self.step(node, Input::Flushed { id });
                }
            }
            Event::Evidence { node, input } => self.step(node, input),
            Event::Crash { node, life } => {
                if !self.quiet && self.nodes[self.at(node)].life == life {
                    self.crash(node);
                }
            }
            Event::Restart { node } => self.start(node),
            Event::Client => {
                self.append_somewhere();
                // A lull lets logs become equal, and what is in doubt stay in doubt.
                let longest_ms = if self.rng.chance(10) { 400 } else { 30 };
                let delay_ms = self.rng.between(1, longest_ms);
                self.events.after(delay_ms, Event::Client);
            }
            Event::Fault if self.quiet => {}
            Event::Fault => {
                self.inject();
                let delay_ms = self.rng.between(20, 200);
                self.events.after(delay_ms, Event::Fault);
            }
        }
    }

    // ---- nodes ----

    fn start(&mut self, id: i32) {
        let (at, now_ms, config) = (self.at(id), self.events.now_ms(), self.config(id));
        let node = &mut self.nodes[at];
        if node.machine.is_some() {
            return;
        }
        let voters = config.voters.iter().copied().collect();
        let persisted = node.disk.election.map(|election| (election, voters));
        let machine = Quorum::new(config, persisted, node.disk.recover(), now_ms);
        node.machine = Some(machine.expect("what a node wrote, it can start from"));
        self.disk_changed(id);
        self.step(id, Input::Tick);
        let peers: Vec<i32> = self.nodes.iter().map(|node| node.id).filter(|&peer| peer != id).collect();
        for peer in peers {
            let delay_ms = self.rng.between(0, 10);
            if self.nodes[self.at(peer)].machine.is_some() {
                self.events
                    .after(delay_ms, Event::Evidence { node: peer, input: Input::PeerReached { peer: id } });
                self.events.after(delay_ms, Event::Evidence { node: id, input: Input::PeerReached { peer } });
            }
        }
    }

    fn crash(&mut self, id: i32) {
        let at = self.at(id);
        let node = &mut self.nodes[at];
        if node.machine.take().is_none() {
            return;
        }
        node.life += 1;
        node.wake_at_ms = i64::MAX;
        node.askers.clear();
        node.disk.crash(&mut self.rng);
        self.disk_changed(id);
        self.report.crashes += 1;
        // A killed process is noticed at once, a machine without power is not.
        let noticed_percent = if self.rng.chance(60) { 90 } else { 0 };
        for peer in 1..=self.nodes.len() as i32 {
            if peer != id && self.rng.chance(noticed_percent) {
                let delay_ms = self.rng.between(1, 10);
                self.events
                    .after(delay_ms, Event::Evidence { node: peer, input: Input::PeerLost { peer: id } });
            }
        }
        // Half of them are back at once, within the election that they left.
        let longest_ms = if self.rng.chance(50) { 20 } else { 600 };
        let delay_ms = self.rng.between(1, longest_ms);
        self.events.after(delay_ms, Event::Restart { node: id });
    }

    fn disk_changed(&mut self, id: i32) {
        if id <= self.faults.voters {
            self.oracle.synced(id, &self.nodes[self.at(id)].disk);
        }
    }

    /// While votes for it are under way, a candidate may go and come back; the more so the more it can lose.
    fn plan_crash(&mut self, id: i32) {
        let node = &self.nodes[self.at(id)];
        let weight = if node.stalled_until_ms > self.events.now_ms() { 3 } else { 1 };
        if !self.quiet && self.rng.chance(weight * self.faults.crash_percent) {
            let (life, delay_ms) = (node.life, self.rng.between(1, 10));
            self.events.after(delay_ms, Event::Crash { node: id, life });
        }
    }

    fn step(&mut self, id: i32, input: Input) {
        let (at, now_ms) = (self.at(id), self.events.now_ms());
        let Some(machine) = &mut self.nodes[at].machine else { return };
        let mut effects = Vec::new();
        if self.traced {
            eprintln!("{now_ms} node {id} {} {}: {input:?}", machine.state_name(), machine.epoch());
        }
        if let Err(error) = machine.step(now_ms, input, &mut effects) {
            panic!("node {id} cannot go on: {error}");
        }
        let crash_after = (!self.quiet && self.rng.below(1_000) < self.faults.crash_percent / 5)
            .then(|| self.rng.below(effects.len() as u64 + 1) as usize);
        for (done, effect) in effects.into_iter().enumerate() {
            if crash_after == Some(done) {
                return self.crash(id);
            }
            if self.traced {
                eprintln!("    {effect:?}");
            }
            self.carry_out(id, effect);
        }
        self.plan_wake(id);
    }

    fn plan_wake(&mut self, id: i32) {
        let (at, now_ms) = (self.at(id), self.events.now_ms());
        let node = &mut self.nodes[at];
        let deadline_ms = node.machine.as_ref().and_then(Quorum::next_deadline_ms);
        if let Some(deadline_ms) = deadline_ms
            && deadline_ms < node.wake_at_ms
        {
            node.wake_at_ms = deadline_ms;
            // At least a millisecond: a machine that always wants to be woken now would stop time.
            let delay_ms = (deadline_ms - now_ms).max(1);
            self.events.after(delay_ms, Event::Wake { node: id, life: node.life });
        }
    }

    fn carry_out(&mut self, id: i32, effect: Effect) {
        let at = self.at(id);
        match effect {
            Effect::Persist(election) => {
                if election.voted == Some(id) {
                    self.oracle.voted(id, election.epoch, id);
                    self.plan_crash(id);
                }
                self.nodes[at].disk.election = Some(election);
            }
            Effect::AppendLeaderChange { base_offset, epoch, leader, granting, .. } => {
                let value = format!("leader {leader} by {granting:?}");
                self.append(id, base_offset, epoch, &[value.into_bytes()]);
            }
            Effect::Append { ticket, base_offset, epoch } => {
                let count = 1 + ticket % 3;
                let values: Vec<Vec<u8>> =
                    (0..count).map(|record| format!("{ticket}.{record}").into_bytes()).collect();
                self.append(id, base_offset, epoch, &values);
            }
            Effect::RejectAppend { .. } | Effect::ShutdownComplete => {}
            Effect::AppendFetched { base_offset, records } => {
                assert_eq!(base_offset, self.nodes[at].disk.end_offset());
                for batch in split(&records) {
                    self.append_batch(id, batch);
                }
            }
            Effect::Truncate { end_offset } => self.nodes[at].disk.truncate(end_offset),
            Effect::Flush { id: flush } => {
                let (life, changes) = (self.nodes[at].life, self.nodes[at].disk.change_count());
                let stalled_ms = self.nodes[at].stalled_until_ms - self.events.now_ms();
                let delay_ms = stalled_ms.max(0) + self.rng.between(0, 3);
                self.events.after(delay_ms, Event::Flushed { node: id, life, id: flush, changes });
            }
            Effect::FlushNow => {
                self.nodes[at].disk.sync();
                self.disk_changed(id);
            }
            Effect::SnapshotChunk { id: snapshot, position, bytes } => {
                let disk = &mut self.nodes[at].disk;
                if position == 0 {
                    disk.partial = Some((snapshot, Vec::new()));
                }
                let (partial_id, content) = disk.partial.as_mut().expect("a piece before the first");
                assert_eq!((*partial_id, content.len() as i64), (snapshot, position), "a piece out of place");
                content.extend_from_slice(&bytes);
            }
            Effect::RestartLogAt { id: snapshot, .. } => {
                self.nodes[at].disk.restart_at(snapshot);
                self.disk_changed(id);
                assert_eq!(
                    self.nodes[at].disk.snapshots[&snapshot],
                    Oracle::snapshot_content(snapshot),
                    "a fetched snapshot is not the one that was written"
                );
                self.report.snapshots_fetched += 1;
            }
            Effect::Send { to, correlation, request } => self.send(id, to, correlation, request),
            Effect::Reply { token, response } => self.reply(id, token, response),
            Effect::ReplyFetch { token, mut response, offset, end, max_bytes } => {
                let records = self.read(id, offset, end, max_bytes);
                response.responses[0].partitions[0].records = Some(records);
                self.reply(id, token, Response::Fetch(response));
            }
            Effect::ReplySnapshot { token, mut response, id: snapshot, position, max_bytes } => {
                let content = &self.nodes[at].disk.snapshots[&snapshot];
                let from = position as usize;
                let to = content.len().min(from + max_bytes as usize);
                response.topics[0].partitions[0].unaligned_records = content.slice(from..to);
                self.reply(id, token, Response::FetchSnapshot(response));
            }
            Effect::Leader { current, epoch_start } => {
                self.nodes[at].epoch = current.epoch;
                if epoch_start.is_some() {
                    self.report.elections += 1;
                    self.report.first_leader_ms.get_or_insert(self.events.now_ms());
                    let node = &self.nodes[at];
                    self.oracle.elected(id, node.life, current.epoch, &node.disk);
                }
            }
            Effect::HighWatermark(mark) => {
                let voters = self.nodes.iter().take(self.faults.voters as usize);
                let voters = voters.map(|node| (node.id, &node.disk));
                let node = &self.nodes[at];
                self.oracle.committed(id, node.epoch, mark, &node.disk, voters);
            }
        }
    }

    // ---- logs ----

    fn append(&mut self, id: i32, base_offset: i64, epoch: i32, values: &[Vec<u8>]) {
        let mut builder = BatchBuilder::new(base_offset, epoch);
        for value in values {
            builder.append(0, None, Some(value));
        }
        let end_offset = builder.next_offset();
        self.append_batch(id, Batch { base_offset, end_offset, epoch, bytes: builder.build() });
    }

    fn append_batch(&mut self, id: i32, batch: Batch) {
        let at = self.at(id);
        let disk = &mut self.nodes[at].disk;
        let before = disk.end();
        self.oracle.appended(id, before, &batch);
        disk.append(batch);
    }

    fn read(&self, id: i32, offset: i64, end: i64, max_bytes: i32) -> Bytes {
        let disk = &self.nodes[self.at(id)].disk;
        assert_eq!(disk.end_offset(), end, "the machine and its disk disagree about the log's end");
        let first = disk.batches().partition_point(|batch| batch.end_offset <= offset);
        let mut records = Vec::new();
        for batch in &disk.batches()[first..] {
            if records.is_empty() || records.len() + batch.bytes.len() <= max_bytes as usize {
                records.extend_from_slice(&batch.bytes);
            } else {
                // A leader may cut its reply within a batch.
                records.extend_from_slice(&batch.bytes[..batch.bytes.len() / 2]);
                break;
            }
        }
        records.into()
    }

    fn append_somewhere(&mut self) {
        let leaders: Vec<(i32, i32)> = self
            .nodes
            .iter()
            .filter_map(|node| {
                node.machine.as_ref().filter(|machine| machine.is_leader()).map(|m| (node.id, m.epoch()))
            })
            .collect();
        let Some(&(id, epoch)) = self.rng.pick(&leaders) else { return };
        let stale = self.rng.chance(5);
        let count = self.rng.between(1, 3);
        let appends = (0..count)
            .map(|_| {
                self.next_value += 1;
                let ticket = self.next_value;
                NewAppend { ticket, epoch: epoch - i32::from(stale), record_count: 1 + (ticket % 3) as u32 }
            })
            .collect();
        self.step(id, Input::Append(appends));
    }

    // ---- the network ----

    fn send(&mut self, from: i32, to: i32, correlation: u64, request: Request) {
        let life = self.nodes[self.at(from)].life;
        self.transmit(from, life, to, None, correlation, Body::Request(request));
    }

    fn reply(&mut self, from: i32, token: u64, response: Response) {
        let at = self.at(from);
        if let (Response::Vote(vote), Some(&(candidate, ..))) = (&response, self.nodes[at].askers.get(&token))
            && let Some(partition) = vote.topics.first().and_then(|topic| topic.partitions.first())
            && partition.vote_granted
        {
            self.oracle.voted(from, partition.leader_epoch, candidate);
        }
        let life = self.nodes[at].life;
        let asker = self.nodes[at].askers.remove(&token);
        let (to, correlation, to_life) = asker.expect("a reply to nobody, or a second one");
        self.transmit(from, life, to, Some(to_life), correlation, Body::Response(response));
    }

    fn transmit(
        &mut self,
        from: i32,
        from_life: u64,
        to: i32,
        to_life: Option<u64>,
        correlation: u64,
        body: Body,
    ) {
        let lost =
            self.cut.contains(&(from, to)) || (!self.quiet && self.rng.chance(self.faults.loss_percent));
        if lost {
            // Sometimes the sender learns that its connection broke, sometimes it only hears nothing.
            if self.rng.chance(50) && matches!(body, Body::Request(_)) {
                let delay_ms = self.rng.between(1, 20);
                let (from_life, to_life) = (0, Some(from_life));
                let body = Body::Failed;
                self.events.after(
                    delay_ms,
                    Event::Deliver { from: to, from_life, to: from, to_life, correlation, body },
                );
            }
            return;
        }
        let copies = if !self.quiet && self.rng.chance(self.faults.duplicate_percent) { 2 } else { 1 };
        for _ in 0..copies {
            let delay_ms = if !self.quiet && self.rng.chance(self.faults.slow_percent) {
                self.rng.between(10, 300)
            } else {
                self.rng.between(0, 3)
            };
            let body = body.clone();
            self.events.after(delay_ms, Event::Deliver { from, from_life, to, to_life, correlation, body });
        }
    }

    fn deliver(
        &mut self,
        from: i32,
        from_life: u64,
        to: i32,
        to_life: Option<u64>,
        correlation: u64,
        body: Body,
    ) {
        let at = self.at(to);
        let node = &mut self.nodes[at];
        // A reply belongs to a connection, and that to one life of its asker.
        if to_life.is_some_and(|life| life != node.life) {
            return;
        }
        if node.machine.is_none() {
            if matches!(body, Body::Request(_)) {
                let (to_life, body) = (Some(from_life), Body::Failed);
                self.events.after(
                    1,
                    Event::Deliver { from: to, from_life: 0, to: from, to_life, correlation, body },
                );
            }
            return;
        }
        let input = match body {
            Body::Request(request) => {
                node.next_token += 1;
                node.askers.insert(node.next_token, (from, correlation, from_life));
                Input::Request { token: node.next_token, request }
            }
            Body::Response(response) => Input::Response { from, correlation, response },
            Body::Failed => Input::SendFailed { from, correlation },
        };
        self.step(to, input);
    }

    // ---- faults ----

    fn leader(&self) -> Option<&Node> {
        self.nodes.iter().find(|node| node.machine.as_ref().is_some_and(Quorum::is_leader))
    }

    /// The node's disk stands still, and sometimes the leader goes while it does.
    fn stall(&mut self, id: i32) {
        let at = self.at(id);
        self.nodes[at].stalled_until_ms = self.events.now_ms() + self.rng.between(20, 1_000);
        if let Some((node, life)) = self.leader().map(|leader| (leader.id, leader.life))
            && self.rng.chance(self.faults.crash_percent)
        {
            let delay_ms = self.rng.between(1, 40);
            self.events.after(delay_ms, Event::Crash { node, life });
        }
    }

    fn inject(&mut self) {
        let everyone: Vec<i32> = (1..=self.nodes.len() as i32).collect();
        let node = *self.rng.pick(&everyone).expect("a cluster has nodes");
        if self.rng.chance(self.faults.crash_percent) {
            self.crash(node);
        }
        if self.rng.chance(self.faults.power_percent) {
            everyone.iter().for_each(|&id| self.crash(id));
        }
        if self.rng.chance(self.faults.stall_percent) {
            self.stall(node);
        }
        if self.rng.chance(self.faults.partition_percent) {
            self.cut.clear();
            for &from in &everyone {
                for &to in &everyone {
                    if self.rng.chance(25) {
                        self.cut.insert((from, to));
                    }
                }
            }
        } else if self.rng.chance(30) {
            self.cut.clear();
        }
        if self.rng.chance(self.faults.false_evidence_percent) {
            let peer = *self.rng.pick(&everyone).expect("a cluster has nodes");
            let reached = self.rng.chance(40);
            let input = if reached { Input::PeerReached { peer } } else { Input::PeerLost { peer } };
            for &node in &everyone {
                if node != peer && self.rng.chance(60) {
                    self.events.after(0, Event::Evidence { node, input: input.clone() });
                }
            }
        }
        if self.rng.chance(self.faults.snapshot_percent) {
            self.snapshot(node);
        }
        if self.rng.chance(self.faults.resign_percent)
            && let Some(epoch) = self.nodes[self.at(node)].machine.as_ref().map(Quorum::epoch)
        {
            self.step(node, Input::Resign { epoch });
        }
    }

    /// A node snapshots what it knows to be committed, and may remove what two snapshots ago stood for.
    fn snapshot(&mut self, id: i32) {
        let at = self.at(id);
        let node = &mut self.nodes[at];
        let mark = node.machine.as_ref().and_then(Quorum::high_watermark).unwrap_or(0);
        let Some(last) = node.disk.batches().iter().rev().find(|batch| batch.end_offset <= mark) else {
            return;
        };
        let snapshot = OffsetAndEpoch::new(last.end_offset, last.epoch);
        if node.disk.snapshots.contains_key(&snapshot) {
            return;
        }
        let content = Oracle::snapshot_content(snapshot);
        let size_bytes = content.len() as u64;
        node.disk.snapshots.insert(snapshot, content.into());
        let kept = node.disk.snapshots.keys().rev().nth(1).copied();
        self.step(id, Input::SnapshotCreated { id: snapshot, size_bytes });
        let node = &mut self.nodes[at];
        if let Some(kept) = kept
            && node.machine.is_some()
            && node.disk.start_offset() < kept.offset
        {
            node.disk.clean(kept.offset);
            self.step(id, Input::Cleaned { log_start: kept.offset });
        }
    }

    fn heal(&mut self) {
        self.quiet = true;
        self.cut.clear();
        self.nodes.iter_mut().for_each(|node| node.stalled_until_ms = 0);
        for id in 1..=self.nodes.len() as i32 {
            self.start(id);
            for peer in 1..=self.nodes.len() as i32 {
                self.events.after(1, Event::Evidence { node: id, input: Input::PeerReached { peer } });
            }
        }
    }

    fn check_progress(&mut self, committed_before: i64) {
        let committed = self.oracle.committed_end();
        assert!(committed > committed_before, "nothing is committed after the faults have stopped");
        for node in &self.nodes {
            let machine = node.machine.as_ref().expect("everybody runs once faults have stopped");
            let known = machine.high_watermark().unwrap_or(0);
            assert!(
                known > committed_before,
                "node {} ({}) knows of {known} of {committed} committed, {committed_before} before",
                node.id,
                machine.state_name()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeds::for_each_seed;

    /// A second or two of a plain `cargo test`.
    const SEEDS: u64 = 60;

    #[test]
    fn three_voters_keep_their_promises_through_every_fault() {
        for_each_seed(SEEDS, |seed| {
            run(seed, Faults::drawn(seed, 3));
        });
    }

    #[test]
    fn five_voters_keep_their_promises_through_every_fault() {
        for_each_seed(SEEDS / 3, |seed| {
            run(seed, Faults::drawn(seed, 5));
        });
    }

    #[test]
    fn a_lone_voter_keeps_what_it_committed_through_crashes() {
        for_each_seed(SEEDS / 3, |seed| {
            run(seed, Faults { observers: 2, ..Faults::drawn(seed, 1) });
        });
    }

    #[test]
    fn a_first_start_elects_within_milliseconds_and_only_once() {
        for_each_seed(SEEDS / 3, |seed| {
            let report = run(seed, Faults::NONE);
            // Nodes start within 50 ms of each other, evidence takes up to 10, a vote some round trips.
            let first_leader_ms = report.first_leader_ms.expect("there was an election");
            assert!(first_leader_ms < 90, "the first leader came after {first_leader_ms} ms");
            assert!(report.elections <= 2, "{} elections without a fault", report.elections);
        });
    }
}
