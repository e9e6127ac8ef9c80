//! The real log on a disk that fails: no descriptors at any call, no room, errors, writes that are done by half.
//!
//! Without descriptors nothing is lost: what failed is asked for again, and the log is then that of a disk which never
//! failed. After any other failure the log is dropped, as the broker does with the directory, and what is opened again
//! has all that was flushed and nothing that was not written. A failing seed is printed and replays
//! (`JACKDAW_SIM_SEED`).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use jackdaw_log::{
    AppendError, CleanError, CleanOptions, Disk, Log, LogConfig, MapBudget, OpenError, OpenState, ReadError,
    StorageError,
};
use jackdaw_sim::disk::{Fault, SimDisk};
use jackdaw_sim::seeds::{Rng, for_each_seed, is_traced};
use jackdaw_wire::batch::{BatchBuilder, BatchRef, complete_batches};
use jackdaw_wire::control_record::ControlRecord;
use jackdaw_wire::segment::Segment as Piece;
use jackdaw_wire::types::TopicPartition;
use jackdaw_wire::validate::{AppendOrigin, StampedBatch};

const FOLDER: &str = "/data/orders-0";
const SEEDS: u64 = 24;
const STEPS: u64 = 90;
const KEYS: u64 = 9;
const NO_FAULT: u64 = u64::MAX;

/// What is done to a log.
#[derive(Clone)]
enum Op {
    Lead(Bytes),
    Follow(Bytes),
    Truncate(i64),
    StartOver(i64),
    AdvanceStart(i64),
    Retain,
    EpochStart(i32),
    Flush,
    Clean,
    /// A clean stop, and a start.
    Stop,
}

impl std::fmt::Debug for Op {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let offsets = |bytes: &Bytes| -> Vec<_> {
            let batches = complete_batches(bytes).map(Result::unwrap);
            batches.map(|batch| (batch.header.base_offset, batch.header.last_offset())).collect()
        };
        match self {
            Op::Lead(bytes) => write!(f, "lead {:?}", offsets(bytes)),
            Op::Follow(bytes) => write!(f, "follow {:?}", offsets(bytes)),
            Op::Truncate(offset) => write!(f, "truncate to {offset}"),
            Op::StartOver(offset) => write!(f, "start over at {offset}"),
            Op::AdvanceStart(offset) => write!(f, "start at {offset}"),
            Op::Retain => write!(f, "remove what is before the start"),
            Op::EpochStart(epoch) => write!(f, "begin epoch {epoch}"),
            Op::Flush => write!(f, "flush"),
            Op::Clean => write!(f, "compact"),
            Op::Stop => write!(f, "stop and start"),
        }
    }
}

/// A log and its disk.
struct Side {
    disk: SimDisk,
    config: Arc<LogConfig>,
    log: Option<Log>,
    recovery_point: i64,
    log_start: i64,
    cleaned_to: Option<i64>,
}

fn storage(error: AppendError) -> StorageError {
    match error {
        AppendError::Storage(error) => error,
        other => panic!("{other}"),
    }
}

impl Side {
    fn new(config: &Arc<LogConfig>) -> Self {
        let disk = SimDisk::new();
        disk.create_dir_all(Path::new("/data")).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        let mut side = Self {
            disk,
            config: Arc::clone(config),
            log: None,
            recovery_point: 0,
            log_start: 0,
            cleaned_to: None,
        };
        side.open(false, 0).unwrap();
        side
    }

    fn open(&mut self, clean_shutdown: bool, now_ms: i64) -> Result<(), StorageError> {
        let state = OpenState {
            clean_shutdown,
            recovery_point: self.recovery_point,
            log_start_offset: self.log_start,
            ..OpenState::default()
        };
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let partition = TopicPartition::new("orders", 0);
        let opened = Log::open(disk, Path::new(FOLDER), partition, Arc::clone(&self.config), state, now_ms);
        self.log = Some(opened.map_err(|error| match error {
            OpenError::Storage(error) => error,
            other => panic!("{other}"),
        })?);
        Ok(())
    }

    fn log(&mut self) -> &mut Log {
        self.log.as_mut().unwrap()
    }

    fn apply(&mut self, op: &Op, now_ms: i64) -> Result<(), StorageError> {
        let end = self.log.as_ref().map_or(0, Log::log_end_offset);
        match op {
            Op::Lead(bytes) => {
                let batch = [StampedBatch::from_batch(&BatchRef::parse(bytes).unwrap()).unwrap()];
                let led = self.log().append_leader(&batch, AppendOrigin::Coordinator, None, now_ms);
                led.map(drop).map_err(storage)
            }
            Op::Follow(bytes) => self.log().append_follower(bytes, now_ms).map(drop).map_err(storage),
            Op::Truncate(offset) => {
                let cut = self.log().truncate_to(*offset, now_ms).map(drop);
                self.recovery_point = self.recovery_point.min(self.log().recovery_point());
                cut
            }
            Op::StartOver(offset) => {
                let cut = self.log().truncate_fully_and_start_at(*offset, now_ms);
                self.recovery_point = self.recovery_point.min(*offset);
                self.log_start = *offset;
                cut
            }
            Op::AdvanceStart(offset) => {
                self.log().advance_log_start(*offset)?;
                self.log_start = self.log().log_start_offset();
                Ok(())
            }
            Op::Retain => self.log().enforce_retention(now_ms, end).map(drop),
            Op::EpochStart(epoch) => self.log().assign_epoch_start(*epoch, end),
            Op::Flush => self.flush(),
            Op::Clean => self.clean(end, now_ms),
            Op::Stop => {
                if self.log.is_some() {
                    self.log().close_clean()?;
                    self.recovery_point = self.log().recovery_point();
                    self.log = None;
                }
                self.open(true, now_ms)
            }
        }
    }

    fn flush(&mut self) -> Result<(), StorageError> {
        self.log().flush()?;
        self.recovery_point = self.log().recovery_point();
        Ok(())
    }

    fn clean(&mut self, end: i64, now_ms: i64) -> Result<(), StorageError> {
        let (config, from) = (Arc::clone(&self.config), self.cleaned_to);
        self.flush()?;
        let as_storage = |error: CleanError| match error {
            CleanError::Storage(error) => error,
            other => panic!("{other}"),
        };
        let cleanable = match self.log().reader().cleanable(from, end, &config, now_ms) {
            Err(ReadError::Storage(error)) => return Err(error),
            cleanable => cleanable.unwrap(),
        };
        let budget = MapBudget { bytes: 1 << 16, load_factor: 0.9 };
        let options = CleanOptions { budget, write_buffer_bytes: 500, seeds: (1, 2), now_ms };
        let mut cleaning = self.log().begin_cleaning(&cleanable, options);
        let next = cleaning.index(&mut |_| Ok(())).map_err(as_storage)?;
        while let Some(group) = cleaning.next_group(&mut |_| Ok(())).map_err(as_storage)? {
            assert!(self.log().swap_in(group, now_ms)?);
        }
        self.cleaned_to = Some(next);
        Ok(())
    }

    fn crash(&mut self, power: Option<&mut Rng>, now_ms: i64) -> Result<(), StorageError> {
        self.log = None;
        match power {
            Some(rng) => self.disk.power_cut(rng),
            None => self.disk.kill(),
        }
        self.open(false, now_ms)
    }

    /// All that a log is to the world.
    fn view(&mut self) -> View {
        let is_compacted = self.config.compact;
        let log = self.log();
        let (start, end) = (log.log_start_offset(), log.log_end_offset());
        let reader = log.reader();
        let stable = reader.last_stable_offset(end);
        let mut batches = Vec::new();
        let (mut aborted, mut ends) = (Vec::new(), Vec::new());
        let mut offset = start;
        while offset < end {
            let (read, txns) = reader.read_committed(offset, 900, end, true).unwrap();
            let bytes = Bytes::from(read.records.iter().flat_map(contents).collect::<Vec<u8>>());
            let before = offset;
            for batch in complete_batches(&bytes).map(Result::unwrap) {
                offset = batch.header.next_offset();
                ends.push(offset);
                // Compaction in several goes may write a batch otherwise.
                if !is_compacted {
                    batches.push((batch.header.base_offset, batch.bytes));
                    continue;
                }
                let mut scratch = Vec::new();
                for record in batch.records(1 << 20, &mut scratch).unwrap().map(Result::unwrap) {
                    let at = batch.header.base_offset + i64::from(record.offset_delta);
                    batches.push((at, Bytes::copy_from_slice(record.value.unwrap())));
                }
            }
            aborted.extend(txns.iter().map(|txn| (txn.producer_id, txn.first_offset)));
            if offset == before {
                break;
            }
        }
        aborted.sort_unstable();
        aborted.dedup();
        // A producer may be remembered longer than its records are kept, or not.
        let known = log.producers().producers().filter(|producer| producer.last_data_offset() >= start);
        let producers = known.map(|p| (p.producer_id, (p.producer_epoch, p.last_sequence())));
        // One that no record is of may be noted at the end, after a record of it failed.
        let noted = log.epochs().entries().iter().filter(|entry| entry.start_offset < end);
        let epochs = noted.map(|entry| (entry.epoch, entry.start_offset)).collect();
        View { start, end, stable, epochs, producers: producers.collect(), aborted, batches, ends }
    }
}

struct View {
    start: i64,
    end: i64,
    stable: i64,
    epochs: Vec<(i32, i64)>,
    producers: BTreeMap<i64, (i16, i32)>,
    aborted: Vec<(i64, i64)>,
    batches: Vec<(i64, Bytes)>,
    /// Of batches.
    ends: Vec<i64>,
}

fn contents(piece: &Piece) -> Vec<u8> {
    match piece {
        Piece::Bytes(bytes) => bytes.to_vec(),
        Piece::File { .. } => panic!("the simulated disk has no files of the system"),
    }
}

/// Decides what happens next to a log.
struct Script {
    rng: Rng,
    epoch: i32,
    value: u64,
    now_ms: i64,
    is_compacted: bool,
}

impl Script {
    fn new(seed: u64) -> Self {
        Self { rng: Rng::new(seed), epoch: 0, value: 0, now_ms: 1_000_000, is_compacted: seed % 3 == 2 }
    }

    fn config(&mut self) -> Arc<LogConfig> {
        Arc::new(LogConfig {
            compact: self.is_compacted,
            delete: false,
            segment_bytes: self.rng.between(700, 3000) as i32,
            index_interval_bytes: self.rng.between(0, 300) as i32,
            preallocate: self.rng.chance(15),
            ..LogConfig::default()
        })
    }

    fn batch(&mut self, base: i64, log: &Log) -> Bytes {
        let mut builder = BatchBuilder::new(base, self.epoch);
        let producer = self.rng.between(1, 6);
        let entry = log.producers().get(producer);
        let is_open = entry.is_some_and(|entry| entry.current_txn_first_offset.is_some());
        let next = entry.map_or(0, |entry| entry.last_sequence() + 1);
        if !self.is_compacted && producer <= 2 && is_open && self.rng.chance(40) {
            return self.marker(base, producer);
        }
        match producer {
            _ if self.is_compacted => {}
            1 | 2 => builder = builder.transactional().producer(producer, 0, next),
            3 | 4 => builder = builder.producer(producer, 0, next),
            _ => {}
        }
        for _ in 0..self.rng.between(1, 4) {
            self.value += 1;
            let key = self.rng.below(KEYS).to_be_bytes();
            let size = self.rng.below(120) as usize;
            let value = format!("{:>size$}", self.value);
            builder.append(self.now_ms, Some(&key), Some(value.as_bytes()));
        }
        builder.build()
    }

    fn marker(&mut self, base: i64, producer: i64) -> Bytes {
        let coordinator_epoch = 0;
        let marker = match self.rng.chance(50) {
            true => ControlRecord::Commit { coordinator_epoch },
            false => ControlRecord::Abort { coordinator_epoch },
        };
        let (key, value) = marker.encode().unwrap();
        let mut builder =
            BatchBuilder::new(base, self.epoch).transactional().control().producer(producer, 0, -1);
        builder.append(self.now_ms, Some(&key), Some(&value));
        builder.build()
    }

    fn next_op(&mut self, side: &mut Side) -> Op {
        self.now_ms += self.rng.between(0, 300);
        let log = side.log.as_ref().unwrap();
        let (start, end) = (log.log_start_offset(), log.log_end_offset());
        match self.rng.below(100) {
            0..=39 => Op::Lead(self.batch(end, log)),
            40..=61 => {
                // A copy of a compacted log has gaps. Each of these has a producer of its own, or none.
                let gap = if self.is_compacted { self.rng.between(0, 3) } else { 0 };
                let mut bytes = self.batch(end + gap, log).to_vec();
                for _ in 0..self.rng.below(8) {
                    let base = complete_batches(&bytes.clone().into()).last().unwrap().unwrap();
                    let mut more = BatchBuilder::new(base.header.next_offset() + gap, self.epoch);
                    self.value += 1;
                    let key = self.rng.below(KEYS).to_be_bytes();
                    more.append(self.now_ms, Some(&key), Some(format!("{:>200}", self.value).as_bytes()));
                    bytes.extend(more.build());
                }
                Op::Follow(bytes.into())
            }
            62..=68 => self.cut(side),
            // A transaction that begins before the start begins there, once it is read from the records.
            69..=71 => Op::AdvanceStart(self.rng.between(start, log.reader().last_stable_offset(end))),
            72..=74 => Op::Retain,
            75..=78 => {
                self.epoch += 1;
                Op::EpochStart(self.epoch)
            }
            79..=88 => Op::Flush,
            89..=95 if self.is_compacted => Op::Clean,
            _ => Op::Stop,
        }
    }

    fn cut(&mut self, side: &mut Side) -> Op {
        // What is appended next is another history.
        self.epoch += 1;
        let View { end, ends, .. } = side.view();
        if self.rng.chance(15) {
            return Op::StartOver(end + self.rng.between(0, 5));
        }
        // Replicas cut where an epoch ends. What is compacted is committed, and not cut.
        let some = if self.is_compacted { &ends[ends.len().saturating_sub(3)..] } else { &ends[..] };
        Op::Truncate(self.rng.pick(some).copied().unwrap_or(end))
    }
}

fn compare(side: &mut Side, twin: &mut Side, after: &str) {
    let (found, expected) = (side.view(), twin.view());
    assert_eq!(
        (found.start, found.end, found.stable),
        (expected.start, expected.end, expected.stable),
        "{after}"
    );
    assert_eq!(found.epochs, expected.epochs, "{after}");
    assert_eq!(found.producers, expected.producers, "{after}");
    assert_eq!(found.aborted, expected.aborted, "{after}");
    let bases = |view: &View| view.batches.iter().map(|(base, _)| *base).collect::<Vec<_>>();
    assert_eq!(bases(&found), bases(&expected), "{after}");
    assert!(found.batches == expected.batches, "{after}: what is read is not what was written");
}

/// What a failed call did is undone or finished: the same call again leads where it would have led at once.
#[test]
fn without_descriptors_nothing_is_lost_and_the_same_call_works_later() {
    let failures = Cell::new(0);
    for_each_seed(SEEDS, |seed| {
        let mut script = Script::new(seed);
        let config = script.config();
        let (mut side, mut twin) = (Side::new(&config), Side::new(&config));
        for step in 0..STEPS {
            let op = script.next_op(&mut twin);
            let gives_up = matches!(op, Op::Lead(_) | Op::Follow(_)) && script.rng.chance(30);
            if script.rng.chance(60) {
                side.log().close_idle_files();
            }
            let now_ms = script.now_ms;
            let (after, times) = (script.rng.below(14), script.rng.between(1, 4) as u64);
            side.disk.fail(Fault::Descriptors, after, times, seed);
            let mut told = side.apply(&op, now_ms);
            let is_given_up = told.is_err() && gives_up && !script.is_compacted;
            while let Err(error) = &told {
                assert!(error.is_out_of_descriptors(), "{step}: {op:?}: {error}");
                if is_given_up {
                    break;
                }
                told = side.apply(&op, now_ms);
            }
            side.disk.mend();
            if is_given_up {
                // The next call of any kind does what is left of undoing it.
                side.apply(&Op::Flush, now_ms).unwrap();
                side.apply(&Op::Retain, now_ms).unwrap();
                twin.apply(&Op::Flush, now_ms).unwrap();
            } else {
                twin.apply(&op, now_ms).unwrap();
            }
            if is_traced() {
                println!("{step}: {op:?}, after {after} calls {times} fail, given up: {is_given_up}");
            }
            compare(&mut side, &mut twin, &format!("{step}: {op:?}"));
            if script.rng.chance(8) {
                side.crash(None, now_ms).unwrap();
                twin.crash(None, now_ms).unwrap();
                compare(&mut side, &mut twin, &format!("{step}: after a kill behind {op:?}"));
            }
        }
        failures.set(failures.get() + side.disk.failures());
    });
    // A disk that never fails would prove nothing.
    println!("{} calls failed", failures.get());
    assert!(failures.get() > 0);
}

/// What of `batches` a log holds that was opened again: a beginning of them.
fn check_prefix(view: &View, start: i64, batches: &[(i64, Bytes)]) {
    let expected: Vec<_> = batches.iter().filter(|(base, _)| *base >= view.start).collect();
    let found: Vec<_> = view.batches.iter().filter(|(base, _)| *base >= start).collect();
    assert!(found.len() <= expected.len(), "more than was written: {found:?}");
    let bases = |batches: &[&(i64, Bytes)]| batches.iter().map(|(base, _)| *base).collect::<Vec<_>>();
    assert_eq!(bases(&found), bases(&expected[..found.len()]));
    assert!(found == expected[..found.len()], "what is there is not what was written");
}

/// The same records in a log that saw nothing but them: epochs, producers and transactions have to be the same.
fn check_books(side: &mut Side, view: &View, now_ms: i64) {
    let mut fresh = Side::new(&side.config);
    let first = view.batches.first().map_or(view.end, |(base, _)| *base);
    fresh.apply(&Op::StartOver(first), now_ms).unwrap();
    for (_, bytes) in &view.batches {
        fresh.apply(&Op::Follow(bytes.clone()), now_ms).unwrap();
    }
    let expected = fresh.view();
    assert_eq!(view.stable, expected.stable);
    assert_eq!(view.aborted, expected.aborted);
    for (producer, state) in &expected.producers {
        assert_eq!(view.producers.get(producer), Some(state), "producer {producer}");
    }
    let log = side.log();
    for (base, bytes) in &view.batches {
        let epoch = BatchRef::parse(bytes).unwrap().header.partition_leader_epoch;
        assert_eq!(log.epochs().epoch_for_offset(*base), Some(epoch), "the epoch of offset {base}");
    }
}

/// After a failure nothing in the directory is promised any more, as in Kafka: it is opened again. What was flushed is
/// there, and behind it a beginning of what was written.
#[test]
fn after_a_failed_write_or_sync_what_was_flushed_is_there_and_nothing_is_made_up() {
    let failures = Cell::new(0);
    for_each_seed(SEEDS, |seed| {
        let mut script = Script::new(seed);
        script.is_compacted = false;
        let config = script.config();
        let mut side = Side::new(&config);
        let mut durable_end = 0;
        for step in 0..STEPS {
            let op = script.next_op(&mut side);
            if matches!(op, Op::AdvanceStart(_) | Op::EpochStart(_)) {
                continue;
            }
            let before = side.view();
            let now_ms = script.now_ms;
            let fault = if script.rng.chance(50) { Fault::Io } else { Fault::Full };
            if script.rng.chance(25) {
                let times = if script.rng.chance(50) { 1 } else { NO_FAULT };
                side.disk.fail(fault, script.rng.below(20), times, script.rng.next_u64());
            }
            let told = side.apply(&op, now_ms);
            side.disk.mend();
            if is_traced() {
                println!("{step}: {op:?}, flushed to {durable_end}: {told:?}");
            }
            let mut floor = durable_end;
            if let Op::Truncate(offset) | Op::StartOver(offset) = &op {
                floor = floor.min(*offset);
            }
            if told.is_ok() {
                let is_flushed = matches!(op, Op::Flush | Op::Stop);
                durable_end = if is_flushed { side.log().log_end_offset() } else { floor };
                continue;
            }
            // A page that could not be written is not written later either: only a start of the machine tells.
            let loses_power = fault == Fault::Io || script.rng.chance(50);
            let mut dice = script.rng.clone();
            side.crash(loses_power.then_some(&mut dice), now_ms).unwrap();
            let after = side.view();
            let mut written = before.batches.clone();
            if let Op::Lead(bytes) | Op::Follow(bytes) = &op {
                written.extend(
                    complete_batches(bytes).map(Result::unwrap).map(|b| (b.header.base_offset, b.bytes)),
                );
            }
            match op {
                Op::StartOver(offset) if after.batches.is_empty() => assert!(after.end <= offset),
                _ => check_prefix(&after, before.start, &written),
            }
            let kept_at_least = match &op {
                Op::Truncate(offset) | Op::StartOver(offset) => floor.min(*offset),
                _ if loses_power => floor,
                _ => before.end,
            };
            assert!(after.end >= kept_at_least, "{step}: {op:?}: {} < {kept_at_least}", after.end);
            check_books(&mut side, &after, now_ms);
            script.epoch += 1;
            durable_end = durable_end.min(after.end);
        }
        failures.set(failures.get() + side.disk.failures());
    });
    println!("{} calls failed", failures.get());
    assert!(failures.get() > 0);
}
