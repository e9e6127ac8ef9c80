//! The real log on a disk that forgets, against a model that is a list of batches. Whatever happens: what was
//! flushed survives, what is read is what was written, and epochs and producers are those of the records that are
//! left. A failing seed is printed and replays (`JACKDAW_SIM_SEED`).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use jackdaw_log::{AppendError, Disk, Log, LogConfig, OffsetQuery, OpenState, ReadError};
use jackdaw_sim::disk::SimDisk;
use jackdaw_sim::seeds::{Rng, for_each_seed};
use jackdaw_wire::batch::{BatchBuilder, BatchRef};
use jackdaw_wire::segment::Segment as Piece;
use jackdaw_wire::types::TopicPartition;
use jackdaw_wire::validate::{AppendOrigin, StampedBatch};

const FOLDER: &str = "/data/orders-0";
const SEEDS: u64 = 60;
const STEPS: u64 = 120;

#[derive(Debug, Clone)]
struct ModelBatch {
    base: i64,
    last: i64,
    epoch: i32,
    producer: Option<(i64, i32)>,
    timestamps: Vec<i64>,
    bytes: Bytes,
}

/// What the log has to hold.
struct Model {
    rng: Rng,
    disk: SimDisk,
    config: Arc<LogConfig>,
    log: Option<Log>,
    batches: Vec<ModelBatch>,
    start: i64,
    /// Where it started before; a crash may undo the removal of what lies between.
    durable_end: i64,
    epoch: i32,
    now_ms: i64,
    /// The next sequence of each producer.
    sequences: BTreeMap<i64, i32>,
    /// As the directory's checkpoint has it.
    recovery_point: i64,
}

impl Model {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let config = LogConfig {
            segment_bytes: rng.between(1500, 6000) as i32,
            index_interval_bytes: rng.between(0, 500) as i32,
            segment_ms: if rng.chance(30) { 2_000 } else { 1_000_000 },
            retention_bytes: if rng.chance(50) { 10_000 } else { -1 },
            retention_ms: -1,
            preallocate: rng.chance(20),
            ..LogConfig::default()
        };
        let mut model = Self {
            rng,
            disk: SimDisk::new(),
            config: Arc::new(config),
            log: None,
            batches: Vec::new(),
            start: 0,
            durable_end: 0,
            epoch: 0,
            now_ms: 1_000_000,
            sequences: BTreeMap::new(),
            recovery_point: 0,
        };
        model.disk.create_dir_all(Path::new("/data")).unwrap();
        model.disk.sync_dir(Path::new("/")).unwrap();
        model.open(false);
        model
    }

    fn open(&mut self, clean_shutdown: bool) {
        let state = OpenState { clean_shutdown, recovery_point: self.recovery_point, ..OpenState::default() };
        let partition = TopicPartition::new("orders", 0);
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let config = Arc::clone(&self.config);
        self.log = Some(Log::open(disk, Path::new(FOLDER), partition, config, state, self.now_ms).unwrap());
    }

    fn log(&mut self) -> &mut Log {
        self.log.as_mut().unwrap()
    }

    fn end(&self) -> i64 {
        self.batches.last().map_or(self.start, |batch| batch.last + 1)
    }

    fn new_batch(&mut self, base: i64, producer: Option<(i64, i32)>) -> ModelBatch {
        let mut builder = BatchBuilder::new(base, self.epoch);
        if let Some((id, sequence)) = producer {
            builder = builder.producer(id, 0, sequence);
        }
        let records = self.rng.between(1, 5);
        let mut timestamps = Vec::new();
        for _ in 0..records {
            let timestamp = self.now_ms + self.rng.between(-300, 300);
            let value: Vec<u8> = (0..self.rng.below(200)).map(|_| self.rng.next_u64() as u8).collect();
            builder.append(timestamp, Some(b"key"), Some(&value));
            timestamps.push(timestamp);
        }
        let bytes = builder.build();
        ModelBatch { base, last: base + records - 1, epoch: self.epoch, producer, timestamps, bytes }
    }

    fn choose_producer(&mut self) -> Option<(i64, i32)> {
        let id = self.rng.between(0, 5);
        if id >= 4 {
            return None;
        }
        // A producer may be remembered longer than its records are kept.
        let remembered = self.log().producers().get(id).map_or(0, |entry| entry.last_sequence() + 1);
        Some((id, self.sequences.get(&id).copied().unwrap_or(remembered)))
    }

    fn remember(&mut self, batch: ModelBatch) {
        if let Some((id, sequence)) = batch.producer {
            self.sequences.insert(id, sequence + batch.timestamps.len() as i32);
        }
        self.batches.push(batch);
    }

    fn append_as_leader(&mut self) {
        let producer = self.choose_producer();
        let batch = self.new_batch(self.end(), producer);
        let stamped = [StampedBatch::from_batch(&BatchRef::parse(&batch.bytes).unwrap()).unwrap()];
        let now_ms = self.now_ms;
        let info = self.log().append_leader(&stamped, AppendOrigin::Client, None, now_ms).unwrap();
        assert_eq!((info.first_offset, info.last_offset, info.is_duplicate), (batch.base, batch.last, false));
        self.remember(batch);
        self.repeat_or_skip(&stamped[0], producer);
    }

    /// A batch that comes again is answered with its first offsets; one that leaves a gap is refused.
    fn repeat_or_skip(&mut self, sent: &StampedBatch, producer: Option<(i64, i32)>) {
        let Some((id, _)) = producer else { return };
        let (end, now_ms, epoch) = (self.end(), self.now_ms, self.epoch);
        if self.rng.chance(20) {
            let mut again = sent.clone();
            again.restamp(end, epoch);
            let info = self.log().append_leader(&[again], AppendOrigin::Client, None, now_ms).unwrap();
            assert!(info.is_duplicate);
            assert_eq!((info.first_offset, info.last_offset), (sent.info.base_offset, sent.info.last_offset));
        }
        if self.rng.chance(20) {
            let sequence = self.sequences[&id] + 7;
            let gap = self.new_batch(end, Some((id, sequence)));
            let gap = StampedBatch::from_batch(&BatchRef::parse(&gap.bytes).unwrap()).unwrap();
            let refused = self.log().append_leader(&[gap], AppendOrigin::Client, None, now_ms);
            assert!(matches!(refused, Err(AppendError::OutOfOrderSequence { .. })), "{refused:?}");
        }
        assert_eq!(self.log().log_end_offset(), end);
    }

    fn append_as_follower(&mut self) {
        let mut bytes = Vec::new();
        for _ in 0..self.rng.between(1, 4) {
            let producer = self.choose_producer();
            let batch = self.new_batch(self.end(), producer);
            bytes.extend_from_slice(&batch.bytes);
            self.remember(batch);
        }
        // A fetch may end in the middle of a batch.
        let whole = bytes.len();
        bytes.extend_from_within(..self.rng.below(60) as usize);
        let now_ms = self.now_ms;
        let info = self.log().append_follower(&bytes.into(), now_ms).unwrap();
        assert_eq!((info.size_bytes, info.last_offset + 1), (whole, self.end()));
    }

    fn truncate(&mut self) {
        let offset = self.rng.between(self.start, self.end());
        let now_ms = self.now_ms;
        self.log().truncate_to(offset, now_ms).unwrap();
        self.recovery_point = self.recovery_point.min(self.log.as_ref().unwrap().recovery_point());
        self.forget_from(offset);
        // A batch in the middle of which the cut lies goes as a whole, and the log ends where the cut was.
        let end = self.log().log_end_offset();
        if end != self.end() {
            assert_eq!(end, offset);
            self.batches.retain(|batch| batch.last < offset);
            self.log().truncate_fully_and_start_at(offset, now_ms).unwrap();
            self.batches.clear();
            self.sequences.clear();
            self.start = offset;
            self.durable_end = offset;
        }
    }

    fn forget_from(&mut self, offset: i64) {
        self.batches.retain(|batch| batch.last < offset);
        self.durable_end = self.durable_end.min(offset);
        self.sequences = self.sequences_of_records();
        // A leader of a new epoch writes next: the old tail is another history.
        self.epoch += 1;
    }

    fn sequences_of_records(&self) -> BTreeMap<i64, i32> {
        let producers = self.batches.iter().filter(|batch| batch.base >= self.start);
        producers
            .filter_map(|batch| {
                batch.producer.map(|(id, sequence)| (id, sequence + batch.timestamps.len() as i32))
            })
            .collect()
    }

    fn flush(&mut self) {
        let plan = self.log().flush_plan().unwrap();
        let up_to = plan.up_to();
        let ticket = plan.run().unwrap();
        if self.rng.chance(20) {
            self.append_as_follower();
        }
        self.log().flushed(&ticket);
        self.durable_end = self.durable_end.max(up_to);
        assert!(self.log().flushed_offset() >= up_to);
        if self.rng.chance(50) {
            self.recovery_point = self.log().recovery_point();
        }
    }

    fn retain(&mut self) {
        let (end, now_ms) = (self.end(), self.now_ms);
        self.log().enforce_retention(now_ms, end).unwrap();
        let start = self.log().log_start_offset();
        assert!(start >= self.start);
        self.start = start;
    }

    fn crash(&mut self) {
        let (power, before) = (self.rng.chance(70), self.end());
        self.log = None;
        if power {
            self.disk.power_cut(&mut self.rng);
        } else {
            self.disk.kill();
        }
        self.open(false);
        let (start, end) = (self.log().log_start_offset(), self.log().log_end_offset());
        assert!(start <= self.start, "the log starts at {start}, later than {}", self.start);
        if power {
            assert!(end >= self.durable_end, "flushed up to {}, but it ends at {end}", self.durable_end);
        } else {
            assert_eq!(end, before);
        }
        self.start = start;
        self.batches.retain(|batch| batch.last < end);
        assert_eq!(self.end(), end, "the log ends inside a batch");
        self.sequences = self.sequences_of_records();
        self.durable_end = end.min(self.durable_end);
        self.epoch += 1;
        self.check_everything();
    }

    fn stop_cleanly(&mut self) {
        self.log().close_clean().unwrap();
        self.recovery_point = self.log().recovery_point();
        assert_eq!(self.recovery_point, self.end());
        self.durable_end = self.end();
        let producers = self.log().producers().clone();
        self.log = None;
        if self.rng.chance(50) {
            self.disk.power_cut(&mut self.rng);
        }
        self.open(true);
        let ends = (self.log().log_start_offset(), self.log().log_end_offset());
        assert!(ends.0 <= self.start);
        self.start = ends.0;
        assert_eq!(ends.1, self.end());
        for entry in producers.producers() {
            let kept = self.log().producers().get(entry.producer_id).map(|kept| kept.last_sequence());
            assert_eq!(kept, Some(entry.last_sequence()), "a clean stop forgets no producer");
        }
        self.check_everything();
    }

    fn live(&self) -> impl Iterator<Item = &ModelBatch> {
        self.batches.iter().filter(|batch| batch.last >= self.start)
    }

    fn check_everything(&mut self) {
        self.check_reads();
        let log = self.log.as_ref().unwrap();
        for batch in self.live() {
            let epoch = log.epochs().epoch_for_offset(batch.base.max(self.start));
            assert_eq!(epoch, Some(batch.epoch), "epoch of {} in {:?}", batch.base, log.epochs());
        }
        for (id, next) in &self.sequences {
            let last = log.producers().get(*id).map(|entry| entry.last_sequence());
            assert_eq!(last, Some(next - 1), "producer {id}");
        }
        for entry in log.producers().producers() {
            let is_known = self.sequences.contains_key(&entry.producer_id);
            assert!(is_known || entry.last_data_offset() < self.start, "{entry:?} has no records");
        }
        self.check_times();
    }

    fn check_reads(&mut self) {
        let (start, end) = (self.start, self.end());
        let reader = self.log().reader();
        let expected: Vec<u8> = self.live().flat_map(|batch| batch.bytes.to_vec()).collect();
        let mut found = Vec::new();
        let mut offset = start;
        while offset < end {
            let max_bytes = self.rng.between(1, 3000) as usize;
            let read = reader.read(offset, max_bytes, end, true).unwrap();
            let bytes = Bytes::from(read.records.iter().flat_map(contents).collect::<Vec<u8>>());
            let mut batches = jackdaw_wire::batch::complete_batches(&bytes).map(Result::unwrap).peekable();
            assert!(batches.peek().is_some(), "nothing at {offset} of {start}..{end}");
            for batch in batches {
                offset = batch.header.next_offset();
                found.extend_from_slice(&batch.bytes);
            }
        }
        assert!(found == expected, "what is read is not what was written");
        assert!(reader.read(end, 100, end, true).unwrap().records.is_empty());
        for outside in [start - 1, end + 1] {
            let refused = reader.read(outside, 100, end, true);
            assert!(matches!(refused, Err(ReadError::OffsetOutOfRange { .. })), "{outside}");
        }
        self.check_bounded_reads();
    }

    /// Nothing at or behind the bound is read.
    fn check_bounded_reads(&mut self) {
        let reader = self.log().reader();
        let bases: Vec<i64> =
            self.live().map(|batch| batch.base).filter(|base| *base >= self.start).collect();
        for _ in 0..10 {
            let (Some(from), Some(bound)) = (self.rng.pick(&bases).copied(), self.rng.pick(&bases).copied())
            else {
                return;
            };
            let read = reader.read(from, 1 << 20, bound, true).unwrap();
            let bytes = Bytes::from(read.records.iter().flat_map(contents).collect::<Vec<u8>>());
            let offsets: Vec<i64> =
                jackdaw_wire::batch::batches(&bytes).map(|batch| batch.unwrap().header.base_offset).collect();
            assert!(offsets.iter().all(|offset| *offset < bound), "{from}..{bound}: {offsets:?}");
            assert_eq!(offsets.first().copied(), (from < bound).then_some(from));
        }
    }

    fn check_times(&mut self) {
        for _ in 0..5 {
            let wanted = self.now_ms - self.rng.between(-500, 20_000);
            let expected = self.live().find_map(|batch| {
                let first = batch.timestamps.iter().position(|timestamp| *timestamp >= wanted)?;
                Some((batch.timestamps[first], batch.base + first as i64))
            });
            let found = self.log().reader().find_offset(OffsetQuery::AtOrAfter(wanted)).unwrap();
            assert_eq!(found.map(|found| (found.timestamp_ms, found.offset)), expected, "time {wanted}");
        }
    }

    fn step(&mut self) {
        self.now_ms += self.rng.between(0, 400);
        match self.rng.below(100) {
            0..=39 => self.append_as_leader(),
            40..=59 => self.append_as_follower(),
            60..=64 => self.truncate(),
            65..=76 => self.flush(),
            77..=82 => self.retain(),
            83..=85 => self.epoch += 1,
            86..=92 => self.check_reads(),
            93..=97 => self.crash(),
            _ => self.stop_cleanly(),
        }
    }
}

fn contents(piece: &Piece) -> Vec<u8> {
    match piece {
        Piece::Bytes(bytes) => bytes.to_vec(),
        Piece::File { .. } => panic!("the simulated disk has no files of the system"),
    }
}

#[test]
fn what_is_flushed_survives_and_nothing_else_is_made_up() {
    for_each_seed(SEEDS, |seed| {
        let mut model = Model::new(seed);
        for _ in 0..STEPS {
            model.step();
        }
        model.check_everything();
    });
}

#[test]
fn a_failing_disk_is_told_as_a_storage_error() {
    let mut model = Model::new(1);
    model.append_as_leader();
    model.disk.break_at(Some(Path::new(FOLDER)));
    let batch = model.new_batch(model.end(), None);
    let now_ms = model.now_ms;
    let told = model.log().append_follower(&batch.bytes, now_ms);
    assert!(matches!(told, Err(AppendError::Storage(_))), "{told:?}");
    assert!(model.log().flush().is_err());
    model.disk.break_at(None);
    model.log().flush().unwrap();
    model.check_reads();
}

#[test]
fn a_lost_or_zeroed_index_is_rebuilt_or_not_believed() {
    for_each_seed(10, |seed| {
        let mut model = Model::new(seed);
        for _ in 0..40 {
            model.append_as_leader();
        }
        model.stop_cleanly();
        let listing = model.disk.list(Path::new(FOLDER)).unwrap();
        for file in listing.iter().filter(|file| file.name.ends_with("index")) {
            let path = Path::new(FOLDER).join(&file.name);
            match model.rng.below(4) {
                0 => model.disk.remove_file(&path).unwrap(),
                1 => model.disk.tamper(&path, |bytes| bytes.push(7)),
                2 => model.disk.tamper(&path, |bytes| bytes.resize(10_485_760 / 24 * 24, 0)),
                _ => {}
            }
        }
        model.log = None;
        model.disk.kill();
        model.open(true);
        model.check_everything();
    });
}
