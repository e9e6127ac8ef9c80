//! The coordinator, asked as brokers and producers ask it; its log is a list, and tells everything after a restart.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use jackdaw_transactions::{
    AppendFailure, Coordinator, Effect, MarkerOutcome, Markers, Now, Reply, Request, Settings, State,
};
use jackdaw_wire::transaction_record::{TransactionLogKey, TransactionLogValue};
use jackdaw_wire::{ErrorCode, TopicPartition};

const SETTINGS: Settings = Settings {
    max_timeout_ms: 900_000,
    id_expiration_ms: 604_800_000,
    abort_interval_ms: 10_000,
    expire_interval_ms: 3_600_000,
    request_timeout_ms: 30_000,
};
const ID: &str = "shop";

struct Bench {
    coordinator: Coordinator,
    log: Vec<(Bytes, Option<Bytes>)>,
    markers: VecDeque<Markers>,
    /// How the next appends end; well, where nothing is said.
    outcomes: VecDeque<ErrorCode>,
    now: Now,
    next_id: i64,
    token: u64,
}

impl Bench {
    fn new() -> Self {
        let now = Now { wall_ms: 1_700_000_000_000, steady_ms: 0 };
        let mut coordinator = Coordinator::new(SETTINGS);
        coordinator.leads(3, now);
        coordinator.loaded(now);
        let (log, markers, outcomes) = (Vec::new(), VecDeque::new(), VecDeque::new());
        Self { coordinator, log, markers, outcomes, now, next_id: 1000, token: 0 }
    }

    /// Carries effects out until there are none; what was replied to `token`.
    fn settle(&mut self, token: u64) -> Option<Reply> {
        let mut answer = None;
        loop {
            self.coordinator.validate();
            let effects = self.coordinator.take_effects();
            if effects.is_empty() {
                return answer;
            }
            for effect in effects {
                match effect {
                    Effect::Reply { token: to, reply } if to == token => answer = Some(reply),
                    Effect::Reply { .. } => {}
                    Effect::WriteMarkers(markers) => self.markers.push_back(markers),
                    Effect::Append { ticket, records, .. } => {
                        let outcome = match self.outcomes.pop_front() {
                            Some(error) => Err(AppendFailure::of(error)),
                            None => {
                                self.log.extend(records);
                                Ok(())
                            }
                        };
                        self.coordinator.appended(self.now, ticket, outcome);
                    }
                }
            }
        }
    }

    fn ask(&mut self, request: Request) -> Reply {
        self.token += 1;
        self.coordinator.handle(self.now, self.token, request);
        self.settle(self.token).expect("every request is answered")
    }

    fn init_with(&mut self, expected: Option<(i64, i16)>) -> Reply {
        let request = |fresh_id| Request::InitProducerId {
            transactional_id: ID.into(),
            timeout_ms: 60_000,
            expected,
            fresh_id,
        };
        match self.ask(request(None)) {
            Reply::NeedsProducerId => {
                self.next_id += 1;
                let fresh = self.next_id;
                self.ask(request(Some(fresh)))
            }
            reply => reply,
        }
    }

    fn init(&mut self) -> (i64, i16) {
        match self.init_with(None) {
            Reply::ProducerId { producer_id, producer_epoch } => (producer_id, producer_epoch),
            other => panic!("{other:?}"),
        }
    }

    fn add(&mut self, producer: (i64, i16), partitions: &[i32]) -> Reply {
        self.ask(Request::AddPartitions {
            transactional_id: ID.into(),
            producer_id: producer.0,
            producer_epoch: producer.1,
            partitions: tps(partitions),
        })
    }

    fn end(&mut self, producer: (i64, i16), commits: bool) -> Reply {
        self.ask(Request::End {
            transactional_id: ID.into(),
            producer_id: producer.0,
            producer_epoch: producer.1,
            commits,
        })
    }

    fn verify(&mut self, producer: (i64, i16), partitions: &[i32]) -> Reply {
        self.ask(Request::Verify {
            transactional_id: ID.into(),
            producer_id: producer.0,
            producer_epoch: producer.1,
            partitions: tps(partitions),
        })
    }

    fn state(&mut self) -> Option<State> {
        match self.ask(Request::Describe { transactional_id: ID.into() }) {
            Reply::Described(described) => Some(described.state),
            Reply::Error(ErrorCode::TransactionalIdNotFound) => None,
            other => panic!("{other:?}"),
        }
    }

    fn written(&mut self, coordinator_epoch: i32, outcomes: &[(i32, MarkerOutcome)]) {
        let outcomes = outcomes.iter().map(|(p, outcome)| (TopicPartition::new("t", *p), *outcome)).collect();
        let request = Request::MarkersWritten { transactional_id: ID.into(), coordinator_epoch, outcomes };
        self.coordinator.handle(self.now, 0, request);
        self.settle(0);
    }

    /// Every marker arrives.
    fn deliver(&mut self) {
        while let Some(markers) = self.markers.pop_front() {
            let outcomes: Vec<_> =
                markers.partitions.iter().map(|tp| (tp.partition, MarkerOutcome::Written)).collect();
            self.written(markers.coordinator_epoch, &outcomes);
        }
    }

    fn pass(&mut self, ms: i64) {
        self.now = Now { wall_ms: self.now.wall_ms + ms, steady_ms: self.now.steady_ms + ms };
        self.coordinator.tick(self.now);
        self.settle(0);
    }

    /// Another broker takes over.
    fn reload(&mut self) {
        self.coordinator = Coordinator::new(SETTINGS);
        self.markers.clear();
        self.coordinator.leads(4, self.now);
        for (key, value) in &self.log {
            self.coordinator.load(Some(key.clone()), value.clone()).unwrap();
        }
        self.coordinator.loaded(self.now);
        self.settle(0);
    }
}

fn tps(partitions: &[i32]) -> BTreeSet<TopicPartition> {
    partitions.iter().map(|partition| TopicPartition::new("t", *partition)).collect()
}

const fn refused(error: ErrorCode) -> Reply {
    Reply::Error(error)
}

#[test]
fn a_transaction_is_over_when_every_partition_has_its_marker() {
    let mut b = Bench::new();
    let producer = b.init();
    assert_eq!(producer, (1001, 0));
    assert_eq!(b.add(producer, &[0, 1]), Reply::Done);
    let before = b.log.len();
    assert_eq!(b.add(producer, &[1]), Reply::Done);
    assert_eq!(b.log.len(), before, "what is in it already is not written again");
    assert_eq!(b.end(producer, true), Reply::Done);
    let markers = b.markers.pop_front().unwrap();
    assert_eq!((markers.commits, markers.coordinator_epoch, markers.producer_epoch), (true, 3, 0));
    assert_eq!(markers.partitions, tps(&[0, 1]));
    b.written(3, &[(0, MarkerOutcome::Written)]);
    assert_eq!(b.state(), Some(State::PrepareCommit));
    assert_eq!(b.add(producer, &[2]), refused(ErrorCode::ConcurrentTransactions));
    b.written(3, &[(1, MarkerOutcome::Written)]);
    assert_eq!(b.state(), Some(State::CompleteCommit));
    assert_eq!(b.add(producer, &[2]), Reply::Done);
}

#[test]
fn ends_are_taken_only_where_they_fit() {
    use ErrorCode as E;
    let outcomes = |prepare: &dyn Fn(&mut Bench, (i64, i16))| {
        [true, false].map(|commits| {
            let mut b = Bench::new();
            let producer = b.init();
            prepare(&mut b, producer);
            b.end(producer, commits)
        })
    };
    let none = outcomes(&|_, _| {});
    assert_eq!(none, [refused(E::InvalidTxnState), refused(E::InvalidTxnState)]);
    let open = |b: &mut Bench, producer| assert_eq!(b.add(producer, &[0]), Reply::Done);
    assert_eq!(outcomes(&open), [Reply::Done, Reply::Done]);
    let committing = |b: &mut Bench, producer| {
        open(b, producer);
        b.end(producer, true);
    };
    assert_eq!(
        outcomes(&committing),
        [refused(E::ConcurrentTransactions), refused(E::ConcurrentTransactions)]
    );
    let committed = |b: &mut Bench, producer| {
        committing(b, producer);
        b.deliver();
    };
    assert_eq!(outcomes(&committed), [Reply::Done, refused(E::InvalidTxnState)]);
    let aborted = |b: &mut Bench, producer| {
        open(b, producer);
        b.end(producer, false);
        b.deliver();
    };
    assert_eq!(outcomes(&aborted), [refused(E::InvalidTxnState), Reply::Done]);
    let mut b = Bench::new();
    let (id, epoch) = b.init();
    assert_eq!(b.end((id + 1, epoch), true), refused(E::InvalidProducerIdMapping));
    assert_eq!(b.end((id, epoch + 1), true), refused(E::ProducerFenced));
    assert_eq!(b.add((id, epoch + 1), &[0]), refused(E::ProducerFenced));
}

#[test]
fn whoever_takes_an_id_shuts_the_other_out_first() {
    let mut b = Bench::new();
    let first = b.init();
    b.add(first, &[0]);
    assert_eq!(b.init_with(None), refused(ErrorCode::ConcurrentTransactions));
    let markers = b.markers[0].clone();
    assert_eq!((markers.commits, markers.producer_epoch), (false, 1), "aborted in the name of a later epoch");
    assert_eq!(b.init_with(None), refused(ErrorCode::ConcurrentTransactions), "the marker is on its way");
    b.deliver();
    assert_eq!(b.init(), (first.0, 2));
    assert_eq!(b.end(first, true), refused(ErrorCode::ProducerFenced));
}

/// Somebody sets the clock, or NTP mends it: a transaction is as old as it has been open. After a failover there is only
/// the log to tell, which has the wall's time, as in Kafka.
#[test]
fn a_transaction_is_late_by_how_long_it_is_open_wherever_the_wall_clock_went() {
    let hour_ms = 3_600_000;
    for jump_ms in [-hour_ms, 0, hour_ms] {
        let mut b = Bench::new();
        let producer = b.init();
        b.add(producer, &[0]);
        b.now.wall_ms += jump_ms;
        for _ in 0..6 {
            b.pass(10_000);
            assert_eq!(b.state(), Some(State::Ongoing), "{jump_ms}");
        }
        b.pass(10_001);
        assert_eq!(b.state(), Some(State::PrepareAbort), "{jump_ms}");
    }
    for (jump_ms, left_ms) in [(-hour_ms, 60_000), (0, 20_000), (hour_ms, 0)] {
        let mut b = Bench::new();
        let producer = b.init();
        b.add(producer, &[0]);
        b.pass(40_000);
        b.now.wall_ms += jump_ms;
        b.reload();
        b.pass(left_ms.max(10_000));
        let expected = if left_ms == 0 { State::PrepareAbort } else { State::Ongoing };
        assert_eq!(b.state(), Some(expected), "{jump_ms}");
        b.pass(10_001);
        assert_eq!(b.state(), Some(State::PrepareAbort), "{jump_ms}");
    }
}

#[test]
fn a_producer_may_go_on_after_its_own_error() {
    let mut b = Bench::new();
    let (id, _) = b.init();
    let next = |epoch| Reply::ProducerId { producer_id: id, producer_epoch: epoch };
    assert_eq!(b.init_with(Some((id, 0))), next(1));
    assert_eq!(b.init_with(Some((id, 0))), next(1), "it asks again: the answer was lost");
    assert_eq!(b.init_with(Some((id, 1))), next(2));
    assert_eq!(b.init_with(Some((id, 0))), refused(ErrorCode::ProducerFenced));
    assert_eq!(b.init_with(Some((id + 7, 2))), refused(ErrorCode::ProducerFenced));
    assert_eq!(b.init(), (id, 3));
    assert_eq!(b.init_with(Some((id, 2))), refused(ErrorCode::ProducerFenced), "another took the id since");
}

#[test]
fn used_up_epochs_bring_a_new_producer_id() {
    let mut b = Bench::new();
    let (id, _) = b.init();
    while b.init() != (id, i16::MAX - 1) {}
    let rotated = b.init_with(Some((id, i16::MAX - 1)));
    assert_eq!(rotated, Reply::ProducerId { producer_id: id + 1, producer_epoch: 0 });
    let again = b.init_with(Some((id, i16::MAX - 1)));
    assert_eq!(again, rotated, "it asks again: the answer was lost");
}

#[test]
fn verification_tells_what_is_not_part_of_the_transaction() {
    let mut b = Bench::new();
    let producer = b.init();
    b.add(producer, &[0, 1]);
    assert_eq!(b.verify(producer, &[0, 1]), Reply::Verified(vec![]));
    assert_eq!(b.verify(producer, &[1, 2]), Reply::Verified(vec![TopicPartition::new("t", 2)]));
    assert_eq!(b.verify((producer.0, 5), &[0]), refused(ErrorCode::ProducerFenced));
    assert_eq!(b.verify((7, 0), &[0]), refused(ErrorCode::InvalidProducerIdMapping));
    b.end(producer, true);
    assert_eq!(b.verify(producer, &[0]), refused(ErrorCode::ConcurrentTransactions));
}

#[test]
fn an_append_that_failed_leaves_everything_as_it_was() {
    let mut b = Bench::new();
    let producer = b.init();
    for (error, told) in [
        (ErrorCode::NotEnoughReplicas, ErrorCode::CoordinatorNotAvailable),
        (ErrorCode::RequestTimedOut, ErrorCode::CoordinatorNotAvailable),
        (ErrorCode::NotLeaderOrFollower, ErrorCode::NotCoordinator),
        (ErrorCode::RecordListTooLarge, ErrorCode::UnknownServerError),
    ] {
        b.outcomes.push_back(error);
        assert_eq!(b.add(producer, &[0]), refused(told), "{error:?}");
        assert_eq!(b.state(), Some(State::Empty));
    }
    b.add(producer, &[0]);
    b.outcomes.push_back(ErrorCode::NotEnoughReplicas);
    assert_eq!(b.end(producer, true), refused(ErrorCode::CoordinatorNotAvailable));
    assert!(b.markers.is_empty(), "no marker without its decision");
    b.outcomes.push_back(ErrorCode::NotEnoughReplicas);
    assert_eq!(b.init_with(None), refused(ErrorCode::CoordinatorNotAvailable));
    assert_eq!(b.init_with(None), refused(ErrorCode::ConcurrentTransactions));
    assert_eq!(b.markers[0].producer_epoch, 1, "the epoch of the fencing that failed is used again");
}

#[test]
fn a_decision_survives_its_coordinator() {
    let mut b = Bench::new();
    let producer = b.init();
    b.add(producer, &[0, 1]);
    b.reload();
    assert_eq!(b.state(), Some(State::Ongoing));
    assert_eq!(b.end(producer, true), Reply::Done);
    b.reload();
    let markers = b.markers[0].clone();
    assert_eq!((markers.commits, markers.coordinator_epoch, markers.partitions), (true, 4, tps(&[0, 1])));
    assert_eq!(b.end(producer, true), refused(ErrorCode::ConcurrentTransactions));
    b.deliver();
    b.reload();
    assert_eq!((b.state(), b.markers.len()), (Some(State::CompleteCommit), 0));
}

#[test]
fn markers_are_sent_until_each_has_arrived() {
    let mut b = Bench::new();
    let producer = b.init();
    b.add(producer, &[0, 1, 2]);
    b.end(producer, false);
    b.markers.clear();
    b.written(3, &[(0, MarkerOutcome::Gone), (1, MarkerOutcome::Retry), (2, MarkerOutcome::Written)]);
    assert!(b.markers.is_empty(), "not at once");
    b.pass(100);
    assert_eq!(b.markers.pop_front().unwrap().partitions, tps(&[1]));
    b.outcomes.push_back(ErrorCode::NotEnoughReplicas);
    b.written(3, &[(1, MarkerOutcome::Written)]);
    assert_eq!(b.state(), Some(State::PrepareAbort), "its end is not in the log yet");
    b.pass(100);
    assert_eq!(b.state(), Some(State::CompleteAbort));
}

#[test]
fn a_later_leadership_sends_its_own_markers() {
    let mut b = Bench::new();
    let producer = b.init();
    b.add(producer, &[0]);
    b.end(producer, true);
    b.markers.clear();
    b.coordinator.leads(5, b.now);
    b.settle(0);
    assert_eq!(b.markers.pop_front().unwrap().coordinator_epoch, 5);
    b.written(3, &[(0, MarkerOutcome::Fenced)]);
    b.written(5, &[(0, MarkerOutcome::Written)]);
    assert_eq!(b.state(), Some(State::CompleteCommit));
}

#[test]
fn a_transaction_that_takes_too_long_is_aborted() {
    let mut b = Bench::new();
    let producer = b.init();
    b.add(producer, &[0]);
    b.pass(50_000);
    assert!(b.markers.is_empty());
    b.pass(20_000);
    let markers = b.markers[0].clone();
    assert_eq!((markers.commits, markers.producer_epoch), (false, 1));
    assert_eq!(b.end(producer, true), refused(ErrorCode::ProducerFenced));
    b.deliver();
    assert_eq!(b.state(), Some(State::CompleteAbort));
}

#[test]
fn ids_that_nobody_uses_are_forgotten() {
    let mut b = Bench::new();
    let producer = b.init();
    b.pass(SETTINGS.id_expiration_ms - 1);
    assert_eq!(b.state(), Some(State::Empty));
    b.outcomes.push_back(ErrorCode::NotEnoughReplicas);
    b.pass(SETTINGS.expire_interval_ms);
    assert_eq!(b.state(), Some(State::Empty), "its tombstone was not written");
    b.pass(SETTINGS.expire_interval_ms);
    assert_eq!(b.state(), None);
    assert_eq!(b.log.last().unwrap().1, None);
    b.reload();
    assert_eq!((b.state(), b.add(producer, &[0])), (None, refused(ErrorCode::InvalidProducerIdMapping)));
}

#[test]
fn what_cannot_be_is_refused() {
    let mut b = Bench::new();
    let init = |id: &str, timeout_ms| Request::InitProducerId {
        transactional_id: id.into(),
        timeout_ms,
        expected: None,
        fresh_id: Some(1),
    };
    assert_eq!(b.ask(init("", 1)), refused(ErrorCode::InvalidRequest));
    for timeout_ms in [0, -1, 900_001] {
        assert_eq!(b.ask(init(ID, timeout_ms)), refused(ErrorCode::InvalidTransactionTimeout));
    }
    assert_eq!(b.add((1, 0), &[0]), refused(ErrorCode::InvalidProducerIdMapping));
    b.coordinator.resign();
    assert_eq!(b.ask(init(ID, 1)), refused(ErrorCode::NotCoordinator));
}

/// A value of `__transaction_state` as a damaged log might have it.
fn stored(state: State, start_ms: i64) -> Bytes {
    let value = TransactionLogValue {
        producer_id: 1,
        transaction_timeout_ms: i32::MAX,
        transaction_status: state.id(),
        transaction_partitions: Some(Vec::new()),
        transaction_last_update_timestamp_ms: i64::MIN,
        transaction_start_timestamp_ms: start_ms,
        ..TransactionLogValue::default()
    };
    value.encode().unwrap()
}

#[test]
fn a_log_that_no_coordinator_wrote_costs_its_own_id_only() {
    let key = TransactionLogKey { transactional_id: ID.into(), ..TransactionLogKey::default() };
    let load = |value: Bytes| {
        let mut b = Bench::new();
        b.coordinator.load(Some(key.encode().unwrap()), Some(value)).unwrap();
        b
    };
    for state in [State::Dead, State::PrepareEpochFence] {
        let mut b = load(stored(state, 0));
        // `validate` is for states that the coordinator itself came to.
        for (token, request) in [
            (
                1,
                Request::InitProducerId {
                    transactional_id: ID.into(),
                    timeout_ms: 1,
                    expected: None,
                    fresh_id: Some(2),
                },
            ),
            (
                2,
                Request::AddPartitions {
                    transactional_id: ID.into(),
                    producer_id: 1,
                    producer_epoch: 0,
                    partitions: tps(&[0]),
                },
            ),
        ] {
            b.coordinator.handle(b.now, token, request);
            let reply = refused(ErrorCode::UnknownServerError);
            assert_eq!(b.coordinator.take_effects(), [Effect::Reply { token, reply }], "{state:?}");
        }
    }
    let mut b = load(stored(State::Ongoing, i64::MAX));
    b.pass(SETTINGS.abort_interval_ms);
    assert_eq!(b.state(), Some(State::Ongoing), "its time is not up, ever");
}

#[test]
fn ids_are_listed_by_producer_and_state() {
    let mut b = Bench::new();
    let producer = b.init();
    let mut list = |producer_ids: &[i64], states: Option<&[State]>| {
        let request = Request::List {
            producer_ids: producer_ids.iter().copied().collect(),
            states: states.map(|states| states.iter().copied().collect()),
        };
        match b.ask(request) {
            Reply::Listed(listed) => listed.len(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((list(&[], None), list(&[producer.0], None), list(&[7], None)), (1, 1, 0));
    assert_eq!(
        (list(&[], Some(&[State::Empty])), list(&[], Some(&[State::Ongoing])), list(&[], Some(&[]))),
        (1, 0, 0)
    );
}
