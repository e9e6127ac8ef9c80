//! The real log, compacted on a disk that forgets, and interrupted at any operation. Whatever happens: a consumer sees
//! each key's last committed value, nothing that was aborted, and nothing that was never written. A failing seed is
//! printed and replays (`JACKDAW_SIM_SEED`).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use jackdaw_log::{CleanError, CleanOptions, Disk, Log, LogConfig, MapBudget, OpenState};
use jackdaw_sim::disk::SimDisk;
use jackdaw_sim::seeds::{Rng, for_each_seed};
use jackdaw_wire::batch::{BatchBuilder, BatchRef, complete_batches};
use jackdaw_wire::compression::Compression;
use jackdaw_wire::control_record::ControlRecord;
use jackdaw_wire::segment::Segment as Piece;
use jackdaw_wire::types::TopicPartition;

const FOLDER: &str = "/data/orders-0";
const SEEDS: u64 = 60;
const STEPS: u64 = 150;
const KEYS: i64 = 12;
const PRODUCERS: i64 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Open,
    Committed,
    Aborted,
}

#[derive(Debug, Clone)]
struct Written {
    key: i64,
    /// None: a tombstone.
    value: Option<u64>,
    producer: Option<i64>,
    fate: Fate,
}

struct Model {
    rng: Rng,
    disk: SimDisk,
    config: Arc<LogConfig>,
    log: Option<Log>,
    /// By offset; markers are not here.
    written: BTreeMap<i64, Written>,
    /// Where each marker lies: producer and whether it commits.
    markers: BTreeMap<i64, (i64, bool)>,
    sequences: BTreeMap<i64, BTreeMap<i64, i32>>,
    next_value: u64,
    now_ms: i64,
    recovery_point: i64,
    checkpoint: Option<i64>,
    cleaned: u64,
}

impl Model {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let config = LogConfig {
            compact: true,
            delete: false,
            segment_bytes: rng.between(600, 2500) as i32,
            index_interval_bytes: rng.between(0, 300) as i32,
            delete_retention_ms: if rng.chance(50) { 2_000 } else { 1_000_000 },
            min_compaction_lag_ms: if rng.chance(20) { 3_000 } else { 0 },
            ..LogConfig::default()
        };
        let mut model = Self {
            rng,
            disk: SimDisk::new(),
            config: Arc::new(config),
            log: None,
            written: BTreeMap::new(),
            markers: BTreeMap::new(),
            sequences: BTreeMap::new(),
            next_value: 0,
            now_ms: 1_000_000,
            recovery_point: 0,
            checkpoint: None,
            cleaned: 0,
        };
        model.disk.create_dir_all(Path::new("/data")).unwrap();
        model.disk.sync_dir(Path::new("/")).unwrap();
        model.open();
        model
    }

    fn open(&mut self) {
        let state = OpenState { recovery_point: self.recovery_point, ..OpenState::default() };
        let partition = TopicPartition::new("orders", 0);
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let config = Arc::clone(&self.config);
        self.log = Some(Log::open(disk, Path::new(FOLDER), partition, config, state, self.now_ms).unwrap());
    }

    fn log(&mut self) -> &mut Log {
        self.log.as_mut().unwrap()
    }

    fn end(&self) -> i64 {
        self.log.as_ref().unwrap().log_end_offset()
    }

    fn is_open(&self, producer: i64) -> bool {
        self.written.values().any(|w| w.producer == Some(producer) && w.fate == Fate::Open)
    }

    fn append(&mut self, producer: Option<i64>) {
        let base = self.end();
        let mut builder = BatchBuilder::new(base, 0);
        let count = self.rng.between(1, 4);
        if let Some(producer) = producer {
            let sequence = self.next_sequence(producer);
            builder = builder.transactional().producer(producer, 0, sequence);
            self.sequences.entry(producer).or_default().insert(base, sequence + count as i32);
        }
        for number in 0..count {
            let key = self.rng.below(KEYS as u64) as i64;
            self.next_value += 1;
            let value = (!self.rng.chance(15)).then_some(self.next_value);
            let text = value.map(|value| format!("{value:040}"));
            builder.append(self.now_ms, Some(&key.to_be_bytes()), text.as_deref().map(str::as_bytes));
            let fate = if producer.is_some() { Fate::Open } else { Fate::Committed };
            self.written.insert(base + number, Written { key, value, producer, fate });
        }
        let codecs = [Compression::None, Compression::None, Compression::Lz4, Compression::Gzip];
        let codec = *self.rng.pick(&codecs).unwrap();
        let batch = if codec == Compression::None {
            builder.build()
        } else {
            builder.build_compressed(codec).unwrap()
        };
        let now_ms = self.now_ms;
        self.log().append_follower(&batch, now_ms).unwrap();
    }

    fn next_sequence(&self, producer: i64) -> i32 {
        let sequences = self.sequences.get(&producer);
        sequences.and_then(|by_offset| by_offset.values().next_back().copied()).unwrap_or(0)
    }

    fn end_transaction(&mut self, producer: i64) {
        let is_commit = self.rng.chance(60);
        let coordinator_epoch = 0;
        let marker = match is_commit {
            true => ControlRecord::Commit { coordinator_epoch },
            false => ControlRecord::Abort { coordinator_epoch },
        };
        let (key, value) = marker.encode().unwrap();
        let mut builder =
            BatchBuilder::new(self.end(), 0).transactional().control().producer(producer, 0, -1);
        builder.append(self.now_ms, Some(&key), Some(&value));
        let (at, now_ms) = (self.end(), self.now_ms);
        self.log().append_follower(&builder.build(), now_ms).unwrap();
        self.markers.insert(at, (producer, is_commit));
        self.decide();
    }

    /// What the markers say of the records.
    fn decide(&mut self) {
        for (offset, written) in &mut self.written {
            let Some(producer) = written.producer else { continue };
            let marker = self.markers.range(offset..).find(|(_, (of, _))| *of == producer);
            written.fate = match marker {
                None => Fate::Open,
                Some((_, (_, true))) => Fate::Committed,
                Some((_, (_, false))) => Fate::Aborted,
            };
        }
    }

    fn flush(&mut self) {
        self.log().flush().unwrap();
        self.recovery_point = self.log().recovery_point();
    }

    fn crash(&mut self) {
        let (before, floor) = (self.end(), self.recovery_point);
        let power = self.rng.chance(70);
        self.log = None;
        self.disk.break_after(None);
        if power {
            self.disk.power_cut(&mut self.rng)
        } else {
            self.disk.kill()
        }
        self.open();
        let end = self.end();
        assert!(end >= floor && end <= before, "it ended at {before}, was flushed to {floor}, ends at {end}");
        self.written.split_off(&end);
        self.markers.split_off(&end);
        for by_offset in self.sequences.values_mut() {
            by_offset.split_off(&end);
        }
        self.decide();
        let end = self.end();
        self.log().high_watermark_moved(end);
        self.check();
    }

    fn clean(&mut self) {
        let (end, now_ms, config) = (self.end(), self.now_ms, Arc::clone(&self.config));
        self.log().high_watermark_moved(end);
        let cleanable = self.log().reader().cleanable(self.checkpoint, end, &config, now_ms).unwrap();
        if cleanable.cleanable_bytes == 0 {
            return;
        }
        self.flush();
        let slots = if self.rng.chance(30) { self.rng.between(3, 20) } else { 10_000 } as usize;
        let options = CleanOptions {
            budget: MapBudget { bytes: slots * 24, load_factor: 0.9 },
            write_buffer_bytes: self.rng.between(1, 2000) as usize,
            seeds: (self.rng.next_u64(), self.rng.next_u64()),
            now_ms,
        };
        if self.rng.chance(40) {
            self.disk.break_after(Some(self.rng.below(120)));
        }
        let outcome = self.round(&cleanable, options);
        self.disk.break_after(None);
        match outcome {
            Ok(next) => {
                self.checkpoint = Some(next);
                self.cleaned += 1;
                self.check();
            }
            Err(CleanError::Storage(_)) => self.crash(),
            Err(other) => panic!("{other}"),
        }
    }

    fn round(
        &mut self,
        cleanable: &jackdaw_log::Cleanable,
        options: CleanOptions,
    ) -> Result<i64, CleanError> {
        let now_ms = self.now_ms;
        let mut cleaning = self.log().begin_cleaning(cleanable, options);
        let next = cleaning.index(&mut |_| Ok(()))?;
        // Writing goes on beside it.
        if self.rng.chance(30) {
            self.disk_is_fine(|model| model.append(None));
        }
        while let Some(group) = cleaning.next_group(&mut |_| Ok(()))? {
            assert!(self.log().swap_in(group, now_ms)?);
        }
        Ok(next)
    }

    fn disk_is_fine(&mut self, work: impl FnOnce(&mut Self)) {
        let operations = self.disk.operations_left();
        self.disk.break_after(None);
        work(self);
        self.disk.break_after(operations);
    }

    /// Reads as a `read_committed` consumer does.
    fn consumed(&mut self) -> BTreeMap<i64, (i64, Option<u64>)> {
        let reader = self.log().reader();
        let end = self.end();
        let stable = reader.last_stable_offset(end);
        let mut seen = BTreeMap::new();
        let mut offset = reader.log_start_offset();
        while offset < stable {
            let (read, aborted) = reader.read_committed(offset, 700, stable, true).unwrap();
            let bytes = Bytes::from(read.records.iter().flat_map(contents).collect::<Vec<u8>>());
            let mut ahead: BTreeSet<(i64, i64)> =
                aborted.iter().map(|txn| (txn.first_offset, txn.producer_id)).collect();
            let mut open = BTreeSet::new();
            let before = offset;
            for batch in complete_batches(&bytes).map(Result::unwrap) {
                offset = batch.header.next_offset();
                take_records(&batch, &mut ahead, &mut open, &mut seen);
            }
            if offset == before {
                // A gap up to the end.
                break;
            }
        }
        seen
    }

    fn check(&mut self) {
        let seen = self.consumed();
        for (offset, (key, value)) in &seen {
            let written = self.written.get(offset).unwrap_or_else(|| panic!("{offset} was never written"));
            assert_eq!((written.key, written.value), (*key, *value), "at {offset}");
            assert_eq!(written.fate, Fate::Committed, "{offset} is seen");
        }
        let end = self.end();
        let stable = self.log().reader().last_stable_offset(end);
        let mut expected = BTreeMap::new();
        for (offset, written) in self.written.range(..stable).filter(|(_, w)| w.fate == Fate::Committed) {
            expected.insert(written.key, (*offset, written.value));
        }
        let mut last = BTreeMap::new();
        for (offset, (key, value)) in &seen {
            last.insert(*key, (*offset, *value));
        }
        for (key, (offset, value)) in expected {
            match value {
                Some(_) => assert_eq!(last.get(&key), Some(&(offset, value)), "key {key}"),
                // Its tombstone may be gone, but nothing from before it may be seen.
                None => assert!(last.get(&key).is_none_or(|found| found.0 == offset), "key {key}"),
            }
        }
        for (producer, by_offset) in &self.sequences {
            let Some(next) = by_offset.values().next_back() else { continue };
            let kept =
                self.log.as_ref().unwrap().producers().get(*producer).map(|entry| entry.last_sequence());
            assert_eq!(kept, Some(next - 1), "the last sequence of producer {producer}");
        }
    }

    fn step(&mut self) {
        self.now_ms += self.rng.between(0, 300);
        let producer = self.rng.below(PRODUCERS as u64) as i64;
        match self.rng.below(100) {
            0..=39 => self.append(None),
            40..=59 => self.append(Some(producer)),
            60..=74 if self.is_open(producer) => self.end_transaction(producer),
            75..=79 => self.flush(),
            80..=92 => self.clean(),
            93..=96 => self.crash(),
            _ => {}
        }
    }
}

fn take_records(
    batch: &BatchRef,
    ahead: &mut BTreeSet<(i64, i64)>,
    open: &mut BTreeSet<i64>,
    seen: &mut BTreeMap<i64, (i64, Option<u64>)>,
) {
    let header = &batch.header;
    while let Some((first, producer)) =
        ahead.first().copied().filter(|(first, _)| *first <= header.last_offset())
    {
        ahead.remove(&(first, producer));
        open.insert(producer);
    }
    if header.is_control() {
        open.remove(&header.producer_id);
        return;
    }
    if header.is_transactional() && open.contains(&header.producer_id) {
        return;
    }
    let mut scratch = Vec::new();
    for record in batch.records(1 << 20, &mut scratch).unwrap().map(Result::unwrap) {
        let key = i64::from_be_bytes(record.key.unwrap().try_into().unwrap());
        let value = record.value.map(|value| std::str::from_utf8(value).unwrap().parse().unwrap());
        seen.insert(header.base_offset + i64::from(record.offset_delta), (key, value));
    }
}

fn contents(piece: &Piece) -> Vec<u8> {
    match piece {
        Piece::Bytes(bytes) => bytes.to_vec(),
        Piece::File { .. } => panic!("the simulated disk has no files of the system"),
    }
}

#[test]
fn the_last_value_of_each_key_survives_every_interruption() {
    let rounds = std::cell::Cell::new(0);
    for_each_seed(SEEDS, |seed| {
        let mut model = Model::new(seed);
        for _ in 0..STEPS {
            model.step();
        }
        model.check();
        rounds.set(rounds.get() + model.cleaned);
    });
    // Seeds that never compact would prove nothing.
    assert!(rounds.get() > 0);
}
