//! The transaction coordinator among producers that come back, lose their answers and shut each other out, partitions
//! that take what Kafka's take, and coordinators that die at any moment. After every step no marker is without its
//! decision; in the end every transaction is all or nothing, what a producer was promised holds, and when the faults
//! stop nothing stays open. A failing seed is printed and replays (`JACKDAW_SIM_SEED`).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use jackdaw_sim::seeds::{Rng, for_each_seed};
use jackdaw_transactions::{
    AppendFailure, Coordinator, Effect, MarkerOutcome, Markers, Now, Reply, Request, Settings,
};
use jackdaw_wire::transaction_record::{TransactionLogKey, TransactionLogValue};
use jackdaw_wire::{ErrorCode, TopicPartition};

const SEEDS: u64 = 150;
const STEPS: u64 = 600;
const PARTITIONS: i32 = 4;
/// Two ids, of which two producers want the first.
const IDS: [&str; 3] = ["a", "a", "b"];
const PREPARE_COMMIT: i8 = 2;
const PREPARE_ABORT: i8 = 3;

type Record = (Bytes, Option<Bytes>);

#[derive(Debug, Clone)]
enum Entry {
    Data { producer: (i64, i16), transaction: u64 },
    Marker { producer: (i64, i16), commits: bool },
}

/// A partition as far as producers and markers see it (`ProducerStateManager`).
#[derive(Debug, Default)]
struct Partition {
    log: Vec<Entry>,
    epochs: BTreeMap<i64, i16>,
    coordinators: BTreeMap<i64, i32>,
    open: BTreeSet<i64>,
    /// Changes with every batch and marker of a producer: an older verification is worth nothing then.
    guards: BTreeMap<i64, u64>,
}

impl Partition {
    fn append(&mut self, producer: (i64, i16), transaction: u64, guard: u64) -> Result<(), ErrorCode> {
        let (id, epoch) = producer;
        let repeats = |entry: &Entry| matches!(entry, Entry::Data { producer: p, transaction: t } if *p == producer && *t == transaction);
        if self.log.iter().any(repeats) {
            return Ok(());
        }
        if self.epochs.get(&id).is_some_and(|known| epoch < *known) {
            return Err(ErrorCode::InvalidProducerEpoch);
        }
        if !self.open.contains(&id) && guard != self.guard(id) {
            return Err(ErrorCode::InvalidTxnState);
        }
        self.epochs.insert(id, epoch);
        self.open.insert(id);
        self.settle(id);
        self.log.push(Entry::Data { producer, transaction });
        Ok(())
    }

    fn guard(&self, id: i64) -> u64 {
        self.guards.get(&id).copied().unwrap_or(0)
    }

    fn settle(&mut self, id: i64) {
        *self.guards.entry(id).or_default() += 1;
    }

    fn mark(&mut self, markers: &Markers) -> MarkerOutcome {
        let (id, epoch) = (markers.producer_id, markers.producer_epoch);
        let is_older = self.epochs.get(&id).is_some_and(|known| epoch < *known);
        if is_older || self.coordinators.get(&id).is_some_and(|known| markers.coordinator_epoch < *known) {
            return MarkerOutcome::Fenced;
        }
        self.epochs.insert(id, epoch);
        self.coordinators.insert(id, markers.coordinator_epoch);
        self.open.remove(&id);
        self.settle(id);
        self.log.push(Entry::Marker { producer: (id, epoch), commits: markers.commits });
        MarkerOutcome::Written
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Asks who it is.
    Starting {
        fresh_id: Option<i64>,
    },
    Idle,
    Adding,
    /// To the partition with this place in its list.
    Writing {
        next: usize,
    },
    Ending {
        commits: bool,
    },
}

struct Producer {
    id: &'static str,
    identity: (i64, i16),
    stage: Stage,
    transaction: u64,
    partitions: Vec<i32>,
}

struct World {
    rng: Rng,
    now: Now,
    coordinator: Coordinator,
    epoch: i32,
    log: Vec<Record>,
    /// Appended, not yet acknowledged.
    in_flight: Vec<(u64, Vec<Record>)>,
    /// On their way, of this and of former coordinators.
    markers: Vec<Markers>,
    partitions: Vec<Partition>,
    producers: Vec<Producer>,
    replies: BTreeMap<u64, Reply>,
    next: u64,
    promised: BTreeMap<u64, bool>,
    faults: bool,
    ended: u64,
}

fn tp(partition: i32) -> TopicPartition {
    TopicPartition::new("t", partition)
}

impl World {
    fn new(seed: u64) -> Self {
        let producer = |id| Producer {
            id,
            identity: (-1, -1),
            stage: Stage::Starting { fresh_id: None },
            transaction: 0,
            partitions: Vec::new(),
        };
        let mut world = Self {
            rng: Rng::new(seed),
            now: Now { wall_ms: 1_000_000, steady_ms: 0 },
            coordinator: coordinator(),
            epoch: 0,
            log: Vec::new(),
            in_flight: Vec::new(),
            markers: Vec::new(),
            partitions: (0..PARTITIONS).map(|_| Partition::default()).collect(),
            producers: IDS.into_iter().map(producer).collect(),
            replies: BTreeMap::new(),
            next: 1000,
            promised: BTreeMap::new(),
            faults: true,
            ended: 0,
        };
        world.elect();
        world
    }

    fn unique(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Another broker leads the partition, and loads what is in its log.
    fn elect(&mut self) {
        // What was not acknowledged is there or is not; nothing behind what is not.
        let kept = self.rng.below(self.in_flight.len() as u64 + 1) as usize;
        let in_flight = std::mem::take(&mut self.in_flight);
        self.log.extend(in_flight.into_iter().take(kept).flat_map(|(_, records)| records));
        self.epoch += 1;
        self.coordinator = coordinator();
        self.coordinator.leads(self.epoch, self.now);
        for (key, value) in &self.log {
            self.coordinator.load(Some(key.clone()), value.clone()).unwrap();
        }
        self.coordinator.loaded(self.now);
        self.carry_out();
    }

    fn carry_out(&mut self) {
        self.coordinator.validate();
        for effect in self.coordinator.take_effects() {
            match effect {
                Effect::Reply { token, reply } => drop(self.replies.insert(token, reply)),
                Effect::Append { ticket, records, .. } => self.in_flight.push((ticket, records)),
                Effect::WriteMarkers(markers) => {
                    self.check_decision(&markers);
                    self.markers.push(markers);
                }
            }
        }
    }

    /// No marker without its decision in the log.
    fn check_decision(&self, markers: &Markers) {
        let wanted = if markers.commits { PREPARE_COMMIT } else { PREPARE_ABORT };
        let mut state = None;
        for (key, value) in &self.log {
            let id = TransactionLogKey::decode(key.clone()).unwrap().unwrap().transactional_id;
            if id == markers.transactional_id {
                state = value.clone().map(|value| TransactionLogValue::decode(value).unwrap());
            }
        }
        let state = state.unwrap();
        assert_eq!(state.transaction_status, wanted, "{markers:?}");
        assert_eq!((state.producer_id, state.producer_epoch), (markers.producer_id, markers.producer_epoch));
    }

    fn acknowledge(&mut self) {
        if self.in_flight.is_empty() {
            return;
        }
        // In order: the log has one writer.
        let (ticket, records) = self.in_flight.remove(0);
        let outcome = if self.faults && self.rng.chance(10) {
            Err(AppendFailure::of(ErrorCode::NotEnoughReplicas))
        } else {
            self.log.extend(records);
            Ok(())
        };
        self.coordinator.appended(self.now, ticket, outcome);
        self.carry_out();
    }

    fn deliver_markers(&mut self) {
        if self.markers.is_empty() {
            return;
        }
        let at = self.rng.below(self.markers.len() as u64) as usize;
        let markers = self.markers.remove(at);
        let mut outcomes = Vec::new();
        for tp in &markers.partitions {
            let lost = self.faults && self.rng.chance(15);
            let outcome = if lost {
                MarkerOutcome::Retry
            } else {
                self.partitions[tp.partition as usize].mark(&markers)
            };
            let answer_is_lost = self.faults && self.rng.chance(10);
            outcomes.push((tp.clone(), if answer_is_lost { MarkerOutcome::Retry } else { outcome }));
        }
        let request = Request::MarkersWritten {
            transactional_id: markers.transactional_id,
            coordinator_epoch: markers.coordinator_epoch,
            outcomes,
        };
        self.coordinator.handle(self.now, 0, request);
        self.carry_out();
    }

    /// Asks the coordinator and waits; none where the answer is lost, or the question.
    fn call(&mut self, request: Request) -> Option<Reply> {
        if self.faults && self.rng.chance(8) {
            return None;
        }
        let token = self.unique();
        self.coordinator.handle(self.now, token, request);
        self.carry_out();
        for _ in 0..6 {
            if let Some(reply) = self.replies.remove(&token) {
                return (!self.faults || !self.rng.chance(8)).then_some(reply);
            }
            match self.rng.below(12) {
                0 if self.faults => self.elect(),
                1..=3 => self.deliver_markers(),
                _ => self.acknowledge(),
            }
        }
        None
    }

    fn act(&mut self, number: usize) {
        let Producer { id, identity: (producer_id, producer_epoch), stage, .. } = self.producers[number];
        let transactional_id = id.to_owned();
        match stage {
            Stage::Starting { fresh_id } => {
                let timeout_ms = 60_000;
                let request =
                    Request::InitProducerId { transactional_id, timeout_ms, expected: None, fresh_id };
                match self.call(request) {
                    Some(Reply::ProducerId { producer_id, producer_epoch }) => {
                        self.producers[number].identity = (producer_id, producer_epoch);
                        self.producers[number].stage = Stage::Idle;
                    }
                    Some(Reply::NeedsProducerId) => {
                        let fresh_id = Some(self.unique() as i64);
                        self.producers[number].stage = Stage::Starting { fresh_id };
                    }
                    _ => {}
                }
            }
            Stage::Idle => {
                let transaction = self.unique();
                let chosen = (0..PARTITIONS).filter(|_| self.rng.chance(50)).collect();
                let producer = &mut self.producers[number];
                (producer.transaction, producer.partitions, producer.stage) =
                    (transaction, chosen, Stage::Adding);
            }
            Stage::Adding => {
                let partitions: BTreeSet<_> =
                    self.producers[number].partitions.iter().map(|p| tp(*p)).collect();
                let request =
                    Request::AddPartitions { transactional_id, producer_id, producer_epoch, partitions };
                let reply = self.call(request);
                self.go_on(number, reply, Stage::Writing { next: 0 });
            }
            Stage::Writing { next } => self.write(number, next),
            Stage::Ending { commits } => {
                let request = Request::End { transactional_id, producer_id, producer_epoch, commits };
                let reply = self.call(request);
                if reply == Some(Reply::Done) {
                    self.promised.insert(self.producers[number].transaction, commits);
                    self.ended += 1;
                }
                self.go_on(number, reply, Stage::Idle);
            }
        }
    }

    fn write(&mut self, number: usize, next: usize) {
        let (identity, transaction) = (self.producers[number].identity, self.producers[number].transaction);
        let Some(partition) = self.producers[number].partitions.get(next).copied() else {
            let commits = self.rng.chance(70);
            self.producers[number].stage = Stage::Ending { commits };
            return;
        };
        let guard = self.partitions[partition as usize].guard(identity.0);
        let request = Request::Verify {
            transactional_id: self.producers[number].id.to_owned(),
            producer_id: identity.0,
            producer_epoch: identity.1,
            partitions: BTreeSet::from([tp(partition)]),
        };
        let verified = self.partitions[partition as usize].open.contains(&identity.0)
            || self.call(request) == Some(Reply::Verified(Vec::new()));
        // Others get ahead between the answer and the append.
        if self.rng.chance(30) {
            self.deliver_markers();
        }
        let written = match verified {
            true => self.partitions[partition as usize].append(identity, transaction, guard),
            false => Err(ErrorCode::NotEnoughReplicas),
        };
        match written {
            Ok(()) => self.producers[number].stage = Stage::Writing { next: next + 1 },
            Err(ErrorCode::InvalidProducerEpoch) => self.restart(number),
            // It tries again, and gives up now and then.
            Err(_) if self.rng.chance(20) => self.producers[number].stage = Stage::Ending { commits: false },
            Err(_) => {}
        }
    }

    fn go_on(&mut self, number: usize, reply: Option<Reply>, stage: Stage) {
        match reply {
            Some(Reply::Done) => self.producers[number].stage = stage,
            Some(Reply::Error(
                ErrorCode::ProducerFenced | ErrorCode::InvalidProducerIdMapping | ErrorCode::InvalidTxnState,
            )) => self.restart(number),
            _ => {}
        }
    }

    fn restart(&mut self, number: usize) {
        self.producers[number].stage = Stage::Starting { fresh_id: None };
    }

    fn pass_time(&mut self, ms: i64) {
        self.now = Now { wall_ms: self.now.wall_ms + ms, steady_ms: self.now.steady_ms + ms };
        self.coordinator.tick(self.now);
        self.carry_out();
    }

    fn step(&mut self) {
        match self.rng.below(100) {
            0..=59 => {
                let number = self.rng.below(self.producers.len() as u64) as usize;
                self.act(number);
            }
            60..=74 => self.acknowledge(),
            75..=89 => self.deliver_markers(),
            90..=95 => {
                let ms = self.rng.between(10, 15_000);
                self.pass_time(ms);
            }
            96 => self.elect(),
            97 => {
                let number = self.rng.below(self.producers.len() as u64) as usize;
                self.restart(number);
            }
            _ => {}
        }
        self.check_prefixes();
    }

    /// What each record came to, by transaction.
    fn fates(&self) -> BTreeMap<u64, BTreeSet<Option<bool>>> {
        let mut fates: BTreeMap<u64, BTreeSet<Option<bool>>> = BTreeMap::new();
        for partition in &self.partitions {
            for (at, entry) in partition.log.iter().enumerate() {
                let Entry::Data { producer: (id, _), transaction } = entry else { continue };
                let marker = partition.log[at..].iter().find_map(|later| match later {
                    Entry::Marker { producer: (of, _), commits } if of == id => Some(*commits),
                    _ => None,
                });
                fates.entry(*transaction).or_default().insert(marker);
            }
        }
        fates
    }

    /// No transaction is committed here and aborted there, at any time.
    fn check_prefixes(&self) {
        for (transaction, fates) in self.fates() {
            let decided: BTreeSet<bool> = fates.iter().flatten().copied().collect();
            assert!(decided.len() < 2, "transaction {transaction} is {fates:?}");
            if let Some(promised) = self.promised.get(&transaction) {
                assert!(decided.iter().all(|fate| fate == promised), "{transaction}: {fates:?}");
            }
        }
    }

    /// The faults are over: nobody writes any more, and time passes.
    fn settle(&mut self) {
        self.faults = false;
        for _ in 0..300 {
            self.acknowledge();
            self.deliver_markers();
            self.pass_time(1_000);
        }
        assert!(self.in_flight.is_empty() && self.markers.is_empty(), "{:?}", self.markers);
        for (transaction, fates) in self.fates() {
            assert!(!fates.contains(&None), "transaction {transaction} stays open");
        }
        for partition in &self.partitions {
            assert!(partition.open.is_empty(), "{:?}", partition.open);
        }
        self.check_prefixes();
    }
}

fn coordinator() -> Coordinator {
    Coordinator::new(Settings {
        max_timeout_ms: 900_000,
        id_expiration_ms: 604_800_000,
        abort_interval_ms: 10_000,
        expire_interval_ms: 3_600_000,
        request_timeout_ms: 30_000,
    })
}

#[test]
fn transactions_are_all_or_nothing_whoever_dies() {
    let ended = std::cell::Cell::new(0);
    for_each_seed(SEEDS, |seed| {
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.step();
        }
        world.settle();
        ended.set(ended.get() + world.ended);
    });
    // Seeds in which nothing ever ends would prove nothing.
    assert!(ended.get() > 0);
}
