//! The cluster: a controller that is always right, three brokers, and the dice that decide what happens to them.

use std::sync::Arc;

use jackdaw_log::{LogConfig, StorageError};
use jackdaw_replication::{
    AlterOutcome, BrokerView, CommittedIsr, Effects, FetchState, FetchedPartition, FollowerFetch, OutOfRange,
    Proposal, Registration, Step,
};
use jackdaw_sim::disk::Fault;
use jackdaw_sim::seeds::{Rng, is_traced};
use jackdaw_wire::ErrorCode;
use jackdaw_wire::batch::{BatchBuilder, BatchRef};
use jackdaw_wire::validate::{AppendOrigin, StampedBatch};

use super::node::{Brokers, Flush, Node, contents, format, of_append, of_read};
use super::oracle::Oracle;

const BROKERS: [i32; 3] = [1, 2, 3];
const NO_LEADER: i32 = -1;
const KEYS: u64 = 7;
/// More failures in a row than descriptors are lacking for.
const PATIENCE: usize = 6;

/// What happened, so that a test can tell that it did.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    committed: i64,
    elections: i64,
    kills: i64,
    power_cuts: i64,
    blackouts: i64,
    compactions: i64,
    truncations: i64,
    failed_directories: i64,
    lacking_descriptors: i64,
    gaps: i64,
}

impl Tally {
    pub fn counts(&self) -> [(&'static str, i64); 10] {
        [
            ("committed records", self.committed),
            ("elections", self.elections),
            ("kills", self.kills),
            ("power cuts", self.power_cuts),
            ("blackouts", self.blackouts),
            ("compactions", self.compactions),
            ("truncations", self.truncations),
            ("failed directories", self.failed_directories),
            ("calls without descriptors", self.lacking_descriptors),
            ("copied gaps", self.gaps),
        ]
    }

    pub fn and(mut self, other: &Self) -> Self {
        self.committed += other.committed;
        self.elections += other.elections;
        self.kills += other.kills;
        self.power_cuts += other.power_cuts;
        self.blackouts += other.blackouts;
        self.compactions += other.compactions;
        self.truncations += other.truncations;
        self.failed_directories += other.failed_directories;
        self.lacking_descriptors += other.lacking_descriptors;
        self.gaps += other.gaps;
        self
    }
}

pub struct Cluster {
    rng: Rng,
    is_durable: bool,
    /// Nothing is done that may lose what is committed: all is kept to the end.
    is_spared: bool,
    nodes: Vec<Node>,
    brokers: Brokers,
    partitions: Vec<Registration>,
    oracles: Vec<Oracle>,
    configs: Vec<Arc<LogConfig>>,
    /// To the controller: from which node, of which partition.
    proposals: Vec<(usize, usize, Proposal)>,
    next_epoch: i64,
    next_value: u64,
    now_ms: i64,
    pub tally: Tally,
}

impl Cluster {
    pub fn new(seed: u64, is_durable: bool) -> Self {
        let mut rng = Rng::new(seed);
        let min_insync = rng.between(1, 2) as usize;
        let configs = (0..3).map(|number| {
            Arc::new(LogConfig {
                compact: number > 0,
                delete: false,
                segment_bytes: rng.between(600, 2500) as i32,
                index_interval_bytes: rng.between(0, 300) as i32,
                preallocate: rng.chance(10),
                ..LogConfig::default()
            })
        });
        let configs: Vec<_> = configs.collect();
        let first = |number: usize| Registration {
            replicas: BROKERS.to_vec(),
            isr: BROKERS.to_vec(),
            leader: BROKERS[number % BROKERS.len()],
            leader_epoch: 0,
            partition_epoch: 0,
            adding: Vec::new(),
        };
        let mut cluster = Self {
            rng,
            is_durable,
            is_spared: !is_durable && seed.is_multiple_of(2),
            nodes: BROKERS.iter().map(|id| Node::new(*id, is_durable, min_insync)).collect(),
            brokers: Brokers::new(),
            partitions: (0..configs.len()).map(first).collect(),
            oracles: configs.iter().map(|_| Oracle::default()).collect(),
            configs,
            proposals: Vec::new(),
            next_epoch: 0,
            next_value: 0,
            now_ms: 1_000_000,
            tally: Tally::default(),
        };
        for node in 0..BROKERS.len() {
            format(&cluster.nodes[node].disk);
            cluster.start(node);
        }
        cluster
    }

    pub fn step(&mut self) {
        self.now_ms += self.rng.between(0, 60);
        let node = self.rng.below(BROKERS.len() as u64) as usize;
        let number = self.rng.below(self.configs.len() as u64) as usize;
        let dice = self.rng.below(1000);
        match dice {
            0..=249 => self.produce(number),
            250..=599 => self.fetch(node, number),
            600..=759 => self.flush(node, number),
            760..=819 => self.answer(),
            820..=839 => self.check_isr(number),
            840..=889 => self.clean(node, number),
            890..=909 => self.checkpoint(node),
            910..=919 => self.crash(node, false),
            920..=929 => self.crash(node, true),
            930..=933 => self.blackout(),
            934..=969 => self.start(node),
            970..=981 => self.prefer(number),
            982..=991 => self.arm(node),
            _ => self.close_idle(node),
        }
        self.trace(&format!("{dice} node {node} partition {number}"));
        self.note_commits();
        if self.rng.chance(4) {
            self.check();
        }
    }

    fn trace(&mut self, what: &str) {
        if is_traced() {
            let ends = self.nodes.iter_mut().map(|node| {
                let parts = node.running.iter().flat_map(|running| &running.parts);
                parts
                    .map(|p| (p.log.flushed_offset(), p.replica.high_watermark(), p.log.log_end_offset()))
                    .collect::<Vec<_>>()
            });
            eprintln!("{} {what}: {:?}", self.now_ms, ends.collect::<Vec<_>>());
        }
    }

    /// Everything works from here on: all catch up, and have what is committed.
    pub fn settle(&mut self) {
        for round in 0..400 {
            self.now_ms += 50;
            for node in 0..BROKERS.len() {
                self.nodes[node].disk.mend();
                if self.nodes[node].running.is_none() {
                    self.start(node);
                }
                for number in 0..self.configs.len() {
                    self.flush(node, number);
                    self.fetch(node, number);
                }
            }
            self.answer();
            if round == 0 {
                (0..self.configs.len()).for_each(|number| self.produce(number));
            }
            self.note_commits();
        }
        self.check();
        for (number, registration) in self.partitions.iter().enumerate() {
            assert_eq!(
                registration.isr.len(),
                BROKERS.len(),
                "partition {number}: not everyone is back in sync"
            );
        }
        for node in &mut self.nodes {
            for (number, oracle) in self.oracles.iter().enumerate() {
                let part = node.part(number).unwrap();
                let ends = (part.log.log_end_offset(), part.replica.high_watermark());
                assert_eq!(ends, (oracle.end(), oracle.end()), "partition {number} of broker {}", node.id);
            }
        }
        self.tally.committed = self.oracles.iter().map(Oracle::end).sum();
    }

    // What the controller decides.

    fn registered(&mut self, number: usize) {
        for node in 0..BROKERS.len() {
            self.take_role(node, number);
        }
    }

    fn take_role(&mut self, node: usize, number: usize) {
        let (registration, brokers, now_ms) =
            (self.partitions[number].clone(), self.brokers.clone(), self.now_ms);
        for _ in 0..PATIENCE {
            let state = &mut self.nodes[node];
            let id = state.id;
            let Some(held) = state.running.as_ref().map(|r| state.held_end(&r.parts[number].log)) else {
                return;
            };
            let Some(part) = state.part(number) else { return };
            let told = part.take_role(id, &registration, held, now_ms, &brokers);
            if self.took(node, told).is_some() {
                return;
            }
        }
    }

    fn elect(&mut self, number: usize, leader: i32) {
        let registration = &mut self.partitions[number];
        registration.leader = leader;
        registration.leader_epoch += 1;
        registration.partition_epoch += 1;
        self.tally.elections += 1;
        self.registered(number);
    }

    fn prefer(&mut self, number: usize) {
        let isr = self.partitions[number].isr.clone();
        if let Some(leader) = self.rng.pick(&isr).copied()
            && self.nodes[place(leader)].running.is_some()
            && leader != self.partitions[number].leader
        {
            self.elect(number, leader);
        }
    }

    /// The broker is gone: it leaves the ISRs, but is never the last to leave one.
    fn fence(&mut self, node: usize) {
        let id = self.nodes[node].id;
        if let Some(view) = self.brokers.get_mut(&id) {
            view.fenced = true;
        }
        self.proposals.retain(|(from, _, _)| *from != node);
        // All of it is decided before anybody acts on it, and perhaps fails, too.
        for registration in &mut self.partitions {
            if registration.isr.len() > 1 {
                registration.isr.retain(|member| *member != id);
            }
            registration.partition_epoch += 1;
            if registration.leader == id {
                let alive: Vec<i32> =
                    registration.isr.iter().copied().filter(|member| *member != id).collect();
                registration.leader = self.rng.pick(&alive).copied().unwrap_or(NO_LEADER);
                registration.leader_epoch += 1;
                self.tally.elections += 1;
            }
        }
        (0..self.partitions.len()).for_each(|number| self.registered(number));
    }

    fn answer(&mut self) {
        for (from, number, proposal) in std::mem::take(&mut self.proposals) {
            let answer = self.decide(self.nodes[from].id, number, &proposal);
            let (brokers, now_ms) = (self.brokers.clone(), self.now_ms);
            let Some(part) = self.nodes[from].part(number) else { continue };
            let Some(leader) = part.replica.as_leader_mut() else { continue };
            let (outcome, effects) = leader.altered(proposal.id, answer, now_ms, &brokers);
            if let AlterOutcome::Retry(again) = outcome {
                self.proposals.push((from, number, again));
            }
            self.effects(from, number, effects);
            self.registered(number);
        }
    }

    fn decide(&mut self, from: i32, number: usize, proposal: &Proposal) -> Result<CommittedIsr, ErrorCode> {
        let registration = &mut self.partitions[number];
        if registration.leader != from || registration.leader_epoch != proposal.leader_epoch {
            return Err(ErrorCode::FencedLeaderEpoch);
        }
        if registration.partition_epoch != proposal.partition_epoch {
            return Err(ErrorCode::InvalidUpdateVersion);
        }
        let is_eligible = |member: &jackdaw_replication::BrokerState| {
            let view = self.brokers[&member.broker];
            !view.fenced && (member.epoch == -1 || member.epoch == view.epoch)
        };
        if !proposal.isr.iter().all(is_eligible) {
            return Err(ErrorCode::IneligibleReplica);
        }
        registration.isr = proposal.isr.iter().map(|member| member.broker).collect();
        registration.partition_epoch += 1;
        Ok(CommittedIsr {
            leader_epoch: registration.leader_epoch,
            partition_epoch: registration.partition_epoch,
            isr: registration.isr.clone(),
        })
    }

    // What happens to brokers.

    /// The value, unless the disk failed: without descriptors the node goes on, after anything else it is gone, and what
    /// a sync did not save may be lost.
    fn took<T>(&mut self, node: usize, told: Result<T, StorageError>) -> Option<T> {
        match told {
            Ok(value) => Some(value),
            Err(error) if error.is_out_of_descriptors() => {
                self.tally.lacking_descriptors += 1;
                None
            }
            Err(error) => {
                self.trace(&format!("node {node}: {error}"));
                self.tally.failed_directories += 1;
                self.loses_power(node);
                self.nodes[node].running = None;
                self.nodes[node].disk.mend();
                self.nodes[node].disk.power_cut(&mut self.rng);
                self.fence(node);
                None
            }
        }
    }

    /// In the default mode the last member of an ISR keeps what was flushed, and no more is promised.
    fn loses_power(&mut self, node: usize) {
        let state = &mut self.nodes[node];
        state.note_flushed();
        for (number, registration) in self.partitions.iter().enumerate() {
            if registration.isr == [state.id] && !self.is_durable {
                self.oracles[number].lost_power(state.flushed.get(number).copied().unwrap_or(0));
            }
        }
    }

    fn crash(&mut self, node: usize, power: bool) {
        let id = self.nodes[node].id;
        let is_last = self.partitions.iter().any(|registration| registration.isr == [id]);
        if self.nodes[node].running.is_none() || (power && is_last && self.is_spared) {
            return;
        }
        self.nodes[node].disk.mend();
        let mut before = Vec::new();
        for number in 0..self.configs.len() {
            let part = self.nodes[node].part(number).unwrap();
            let end = if power { part.log.flushed_offset() } else { part.log.log_end_offset() };
            before.push((part.records().unwrap(), end));
        }
        if power {
            self.loses_power(node);
        }
        self.nodes[node].note_flushed();
        self.nodes[node].running = None;
        if power {
            self.tally.power_cuts += 1;
            self.nodes[node].disk.power_cut(&mut self.rng);
        } else {
            self.tally.kills += 1;
            self.nodes[node].disk.kill();
        }
        self.fence(node);
        // The next start shows what the crash took; what happened to the roles meanwhile comes after.
        let limits = self.marks();
        let (configs, now_ms) = (self.configs.clone(), self.now_ms);
        let state = &mut self.nodes[node];
        state.start(&configs, &limits, now_ms).unwrap();
        for (number, (records, end)) in before.iter().enumerate() {
            let after = state.part(number).unwrap().records().unwrap();
            let (kept, found) = (records.range(..end), after.range(..end));
            let what =
                if power { "a power cut took what was flushed" } else { "a kill took what was written" };
            let (first, last) = (found.clone().next_back(), kept.clone().next_back());
            assert!(
                kept.eq(found),
                "{what} of partition {number} on broker {}: {last:?}, and after it {first:?}",
                state.id
            );
        }
        state.running = None;
        state.disk.kill();
    }

    fn blackout(&mut self) {
        self.tally.blackouts += 1;
        let first = self.rng.below(BROKERS.len() as u64) as usize;
        for turn in 0..BROKERS.len() {
            self.crash((first + turn) % BROKERS.len(), true);
        }
    }

    /// High watermarks that may be believed.
    fn marks(&self) -> Vec<i64> {
        self.oracles.iter().map(|oracle| if oracle.has_lost() { 0 } else { i64::MAX }).collect()
    }

    fn start(&mut self, node: usize) {
        if self.nodes[node].running.is_some() {
            return;
        }
        let (configs, limits, now_ms) = (self.configs.clone(), self.marks(), self.now_ms);
        let told = self.nodes[node].start(&configs, &limits, now_ms);
        if self.took(node, told).is_none() {
            return;
        }
        let id = self.nodes[node].id;
        self.next_epoch += 1;
        self.brokers.insert(id, BrokerView { epoch: self.next_epoch, fenced: false, shutting_down: false });
        for number in 0..self.partitions.len() {
            let registration = &self.partitions[number];
            if registration.leader == NO_LEADER && registration.isr.contains(&id) {
                self.elect(number, id);
            } else {
                self.take_role(node, number);
            }
        }
        self.check();
    }

    fn arm(&mut self, node: usize) {
        let fault =
            *self.rng.pick(&[Fault::Descriptors, Fault::Descriptors, Fault::Io, Fault::Full]).unwrap();
        let times = self.rng.between(1, 3) as u64;
        let after = self.rng.below(60);
        let seed = self.rng.next_u64();
        self.nodes[node].disk.fail(fault, after, times, seed);
    }

    fn close_idle(&mut self, node: usize) {
        for part in self.nodes[node].running.iter().flat_map(|running| &running.parts) {
            part.log.close_idle_files();
        }
    }

    // What brokers do.

    fn effects(&mut self, node: usize, number: usize, effects: Effects) {
        self.proposals.extend(effects.alter_partition.map(|proposal| (node, number, proposal)));
    }

    fn leader_of(&self, number: usize) -> Option<usize> {
        let leader = self.partitions[number].leader;
        let node = BROKERS.iter().position(|id| *id == leader)?;
        let running = self.nodes[node].running.as_ref()?;
        running.parts[number].replica.as_leader().map(|_| node)
    }

    fn produce(&mut self, number: usize) {
        let Some(node) = self.leader_of(number) else { return };
        let now_ms = self.now_ms;
        let Some(part) = self.nodes[node].part(number) else { return };
        let Ok(epoch) = part.replica.check_append(true) else { return };
        let mut builder = BatchBuilder::new(part.log.log_end_offset(), epoch);
        for _ in 0..self.rng.between(1, 4) {
            self.next_value += 1;
            let key = self.rng.below(KEYS).to_be_bytes();
            let size = self.rng.below(100) as usize;
            let value = format!("{:>size$}", self.next_value);
            builder.append(now_ms, Some(&key), Some(value.as_bytes()));
        }
        let batch = [StampedBatch::from_batch(&BatchRef::parse(&builder.build()).unwrap()).unwrap()];
        let Some(part) = self.nodes[node].part(number) else { return };
        let told = part.log.append_leader(&batch, AppendOrigin::Client, None, now_ms).map_err(of_append);
        if self.took(node, told).is_some() {
            self.appended(node, number);
        }
    }

    fn appended(&mut self, node: usize, number: usize) {
        let (brokers, now_ms) = (self.brokers.clone(), self.now_ms);
        let state = &mut self.nodes[node];
        let held = state.held_end(&state.running.as_ref().unwrap().parts[number].log);
        let part = state.part(number).unwrap();
        let end = part.log.log_end_offset();
        let Some(leader) = part.replica.as_leader_mut() else { return };
        let effects = leader.appended(end, held, now_ms, &brokers);
        self.effects(node, number, effects);
    }

    fn check_isr(&mut self, number: usize) {
        // Now and then a follower lags for longer than it may.
        if self.rng.chance(20) {
            self.now_ms += super::node::LAG_MS + 1;
        }
        let Some(node) = self.leader_of(number) else { return };
        let now_ms = self.now_ms;
        let part = self.nodes[node].part(number).unwrap();
        let effects = part.replica.as_leader_mut().map(|leader| leader.check_isr(now_ms)).unwrap_or_default();
        self.effects(node, number, effects);
    }

    /// One step of a flush: other work goes on between them, for as long as a slow disk takes.
    fn flush(&mut self, node: usize, number: usize) {
        let (brokers, now_ms) = (self.brokers.clone(), self.now_ms);
        let Some(part) = self.nodes[node].part(number) else { return };
        match part.flush.take() {
            None => {
                let told = part.log.flush_plan();
                let plan = self.took(node, told);
                if let (Some(plan), Some(part)) = (plan, self.nodes[node].part(number)) {
                    part.flush = Some(Flush::Planned(plan));
                }
            }
            Some(Flush::Planned(plan)) => {
                let told = plan.run();
                let ticket = self.took(node, told);
                if let (Some(ticket), Some(part)) = (ticket, self.nodes[node].part(number)) {
                    part.flush = Some(Flush::Done(ticket));
                }
            }
            Some(Flush::Done(ticket)) => {
                part.log.flushed(&ticket);
                let flushed = part.log.flushed_offset();
                let leader = part.replica.as_leader_mut();
                let effects = leader.map(|l| l.flushed(flushed, now_ms, &brokers)).unwrap_or_default();
                self.effects(node, number, effects);
            }
        }
    }

    fn clean(&mut self, node: usize, number: usize) {
        let now_ms = self.now_ms;
        let Some(running) = self.nodes[node].running.as_mut().filter(|_| self.configs[number].compact) else {
            return;
        };
        let told = running.clean(number, now_ms);
        let cleaned = self.took(node, told).unwrap_or(false);
        self.tally.compactions += i64::from(cleaned);
    }

    fn checkpoint(&mut self, node: usize) {
        let Some(running) = self.nodes[node].running.as_ref() else { return };
        let told = running.write_checkpoints();
        self.took(node, told);
    }

    fn fetch(&mut self, node: usize, number: usize) {
        let (is_durable, id) = (self.is_durable, self.nodes[node].id);
        let Some(part) = self.nodes[node].part(number) else { return };
        // A fetch says that what lies before it is held: not before it is true.
        if is_durable && part.log.flushed_offset() < part.log.log_end_offset() {
            return;
        }
        let part = self.nodes[node].part(number).unwrap();
        let Some(follower) = part.replica.as_follower() else { return };
        if let Some(offset) = follower.truncate_first() {
            return self.truncate(node, number, offset);
        }
        let (leader, Some(asked)) = (follower.leader(), follower.next_fetch()) else { return };
        let to = place(leader);
        let Some(broker_epoch) = self.brokers.get(&id).map(|view| view.epoch) else { return };
        let mut reply =
            FetchedPartition { asked, error: None, diverging: None, high_watermark: 0, log_start: 0 };
        let bytes = match self.read(to, number, (id, broker_epoch), asked, &mut reply) {
            Ok(bytes) => bytes,
            Err(Some(error)) => {
                reply.error = Some(error);
                bytes::Bytes::new()
            }
            Err(None) => return,
        };
        self.take_reply(node, number, &reply, &bytes);
    }

    /// `None` where the leader's disk failed.
    fn read(
        &mut self,
        to: usize,
        number: usize,
        (from, broker_epoch): (i32, i64),
        asked: FetchState,
        reply: &mut FetchedPartition,
    ) -> Result<bytes::Bytes, Option<ErrorCode>> {
        let (brokers, now_ms, max_bytes) = (self.brokers.clone(), self.now_ms, self.rng.between(1, 1500));
        let part = self.nodes[to].part(number).ok_or(None)?;
        part.replica.check_leader(asked.current_leader_epoch).map_err(Some)?;
        if asked.last_fetched_epoch >= 0 {
            let found = part.log.end_offset_for_epoch(asked.last_fetched_epoch);
            let (epoch, end) = found.ok_or(Some(ErrorCode::OffsetOutOfRange))?;
            if epoch < asked.last_fetched_epoch || end < asked.offset {
                reply.diverging = Some((epoch, end));
                return Ok(bytes::Bytes::new());
            }
        }
        let end = part.log.log_end_offset();
        if asked.offset > end {
            return Err(Some(ErrorCode::OffsetOutOfRange));
        }
        let told = part.log.reader().read(asked.offset, max_bytes as usize, end, true).map_err(of_read);
        let read = self.took(to, told).ok_or(None)?;
        let part = self.nodes[to].part(number).ok_or(None)?;
        let fetch = FollowerFetch {
            broker: from,
            broker_epoch,
            offset: asked.offset,
            log_start: 0,
            leader_end: end,
            now_ms,
        };
        let leader = part.replica.as_leader_mut().ok_or(None)?;
        let fetched = leader.follower_fetched(&fetch, &brokers);
        reply.high_watermark = part.replica.high_watermark();
        let effects = fetched.map_err(|_| Some(ErrorCode::NotLeaderOrFollower))?;
        self.effects(to, number, effects);
        Ok(contents(&read.records))
    }

    fn take_reply(&mut self, node: usize, number: usize, reply: &FetchedPartition, bytes: &bytes::Bytes) {
        let now_ms = self.now_ms;
        let leader_end =
            self.leader_of(number).and_then(|to| Some(self.nodes[to].part(number)?.log.log_end_offset()));
        let Some(part) = self.nodes[node].part(number) else { return };
        let Some(follower) = part.replica.as_follower_mut() else { return };
        match follower.fetched(reply) {
            Step::Append => {
                let before = part.log.log_end_offset();
                let told = match bytes.is_empty() {
                    true => Ok(None),
                    false => part.log.append_follower(bytes, now_ms).map(Some).map_err(of_append),
                };
                let Some(info) = self.took(node, told) else { return };
                self.tally.gaps += i64::from(info.is_some_and(|info| info.first_offset > before));
                let part = self.nodes[node].part(number).unwrap();
                let (end, latest) = (part.log.log_end_offset(), part.log.latest_epoch());
                if let Some(follower) = part.replica.as_follower_mut() {
                    follower.appended(end, latest, reply.high_watermark);
                }
            }
            Step::Truncate { epoch, end_offset } => {
                let log = &part.log;
                let target = follower.truncation(epoch, end_offset, |e| log.end_offset_for_epoch(e));
                // In the default mode only after the last of an ISR lost what was committed.
                assert!(
                    !self.is_durable || !target.below_high_watermark,
                    "truncates what is committed: {target:?}"
                );
                self.truncate(node, number, target.offset);
            }
            Step::AskBounds => match follower.out_of_range(0, leader_end.unwrap_or(0)) {
                OutOfRange::TruncateTo(offset) => self.truncate(node, number, offset),
                OutOfRange::StartAt(_) => panic!("nobody removes what a log begins with"),
                OutOfRange::Continue => {}
            },
            Step::Ignore | Step::Retry(_) | Step::Stop => {}
        }
    }

    fn truncate(&mut self, node: usize, number: usize, offset: i64) {
        let now_ms = self.now_ms;
        let part = self.nodes[node].part(number).unwrap();
        let told = part.log.truncate_to(offset, now_ms);
        self.tally.truncations += 1;
        if self.took(node, told).is_none() {
            return;
        }
        let part = self.nodes[node].part(number).unwrap();
        let (end, latest) = (part.log.log_end_offset(), part.log.latest_epoch());
        part.verified = part.verified.min(end);
        part.cleaned_to = part.cleaned_to.map(|cleaned| cleaned.min(end));
        if let Some(follower) = part.replica.as_follower_mut() {
            follower.truncated(end, latest);
        }
    }

    // The promises.

    fn note_commits(&mut self) {
        for node in &mut self.nodes {
            let id = node.id;
            for (number, oracle) in self.oracles.iter_mut().enumerate() {
                let Some(part) = node.part(number) else { continue };
                part.replica.validate();
                let high_watermark = part.replica.high_watermark();
                if high_watermark > part.verified {
                    let records = peek(&node.disk.clone(), || node.part(number).unwrap().records());
                    oracle.commits(id, &records, high_watermark);
                    node.part(number).unwrap().verified = high_watermark;
                }
            }
        }
    }

    /// Whoever may lead has all that is committed.
    fn check(&mut self) {
        for (number, registration) in self.partitions.iter().enumerate() {
            for id in &registration.isr {
                let node = &mut self.nodes[place(*id)];
                let disk = node.disk.clone();
                let Some(part) = node.part(number) else { continue };
                let records = peek(&disk, || part.records());
                let oracle = &mut self.oracles[number];
                oracle.may_lead(*id, &records, part.log.log_end_offset(), part.config.compact);
            }
        }
    }
}

/// Looks without the faults that are to strike the broker.
fn peek<T>(disk: &jackdaw_sim::disk::SimDisk, look: impl FnOnce() -> Result<T, StorageError>) -> T {
    let armed = disk.pause_faults();
    let seen = look().unwrap();
    disk.resume_faults(armed);
    seen
}

fn place(broker: i32) -> usize {
    BROKERS.iter().position(|id| *id == broker).unwrap_or(0)
}
