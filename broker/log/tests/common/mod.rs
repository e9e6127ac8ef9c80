//! A log in a temporary folder, and batches to put into it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "every test file uses some of it")]

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use jackdaw_log::{CleanOptions, Log, LogConfig, MapBudget, OpenState, RealDisk};
use jackdaw_wire::batch::{BatchBuilder, BatchRef};
use jackdaw_wire::control_record::ControlRecord;
use jackdaw_wire::segment::Segment as Piece;
use jackdaw_wire::types::TopicPartition;
use jackdaw_wire::validate::StampedBatch;

/// When the tests take place.
pub const NOW_MS: i64 = 1_700_000_000_000;

pub struct TestLog {
    root: tempfile::TempDir,
    pub config: Arc<LogConfig>,
    pub log: Log,
}

impl TestLog {
    pub fn new(config: LogConfig) -> Self {
        let root = tempfile::tempdir().unwrap();
        let config = Arc::new(config);
        let log = open(&root, &config, OpenState::default());
        Self { root, config, log }
    }

    /// Drops the log as a crash does, and opens it again.
    pub fn reopen(&mut self, state: OpenState) {
        self.log = open(&self.root, &self.config, state);
    }

    pub fn folder(&self) -> PathBuf {
        self.log.folder().to_path_buf()
    }

    pub fn end(&self) -> i64 {
        self.log.log_end_offset()
    }

    pub fn append_verbatim(&mut self, batches: &[Bytes]) {
        self.log.append_follower(&batches.concat().into(), NOW_MS).unwrap();
    }

    /// Names in the folder, in order.
    pub fn files(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.folder())
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// All batches, as a reader of everything gets them.
    pub fn all(&self) -> Vec<Bytes> {
        let reader = self.log.reader();
        let mut batches = Vec::new();
        let mut offset = reader.log_start_offset();
        while offset < self.end() {
            let read = reader.read(offset, 1 << 16, self.end(), true).unwrap();
            let bytes = Bytes::from(read.records.iter().flat_map(contents).collect::<Vec<u8>>());
            let before = offset;
            for batch in jackdaw_wire::batch::complete_batches(&bytes).map(Result::unwrap) {
                offset = batch.header.next_offset();
                batches.push(batch.bytes);
            }
            if offset == before {
                // A gap up to the end.
                break;
            }
        }
        batches
    }

    /// Base offsets of the batches that a read from `offset` on finds.
    pub fn read(&self, offset: i64, max_bytes: usize, bound: i64) -> Vec<i64> {
        let read = self.log.reader().read(offset, max_bytes, bound, true).unwrap();
        let bytes = Bytes::from(read.records.iter().flat_map(contents).collect::<Vec<u8>>());
        jackdaw_wire::batch::complete_batches(&bytes).map(|batch| batch.unwrap().header.base_offset).collect()
    }
}

fn open(root: &tempfile::TempDir, config: &Arc<LogConfig>, state: OpenState) -> Log {
    let partition = TopicPartition::new("orders", 0);
    Log::open(Arc::new(RealDisk), &root.path().join("orders-0"), partition, Arc::clone(config), state, NOW_MS)
        .unwrap()
}

fn contents(piece: &Piece) -> Vec<u8> {
    use std::os::unix::fs::FileExt as _;
    match piece {
        Piece::Bytes(bytes) => bytes.to_vec(),
        Piece::File { file, offset, len } => {
            let mut bytes = vec![0; *len];
            file.read_exact_at(&mut bytes, *offset).unwrap();
            bytes
        }
    }
}

pub fn clean_options(now_ms: i64, slots: usize) -> CleanOptions {
    CleanOptions {
        budget: MapBudget { bytes: slots * 24, load_factor: 0.9 },
        write_buffer_bytes: 64,
        seeds: (1, 2),
        now_ms,
    }
}

/// One round over all that may be compacted; where it ended.
pub fn clean(log: &mut TestLog, from: i64, now_ms: i64, slots: usize) -> i64 {
    let (end, config) = (log.end(), log.config.clone());
    log.log.high_watermark_moved(end);
    let cleanable = log.log.reader().cleanable(Some(from), end, &config, now_ms).unwrap();
    let mut cleaning = log.log.begin_cleaning(&cleanable, clean_options(now_ms, slots));
    let next = cleaning.index(&mut |_| Ok(())).unwrap();
    while let Some(group) = cleaning.next_group(&mut |_| Ok(())).unwrap() {
        assert!(log.log.swap_in(group, now_ms).unwrap());
    }
    next
}

/// A batch of `records` records, the last of which has the largest timestamp.
pub fn batch(base: i64, epoch: i32, timestamp_ms: i64, records: i64, producer: Option<(i64, i32)>) -> Bytes {
    let mut builder = BatchBuilder::new(base, epoch);
    if let Some((id, sequence)) = producer {
        builder = builder.producer(id, 0, sequence);
    }
    fill(builder, timestamp_ms, records)
}

fn fill(mut builder: BatchBuilder, timestamp_ms: i64, records: i64) -> Bytes {
    for number in 0..records {
        builder.append(timestamp_ms - records + 1 + number, Some(b"key"), Some(&[b'v'; 40]));
    }
    builder.build()
}

/// One record in a transaction.
pub fn transactional(base: i64, epoch: i32, producer: i64, producer_epoch: i16, sequence: i32) -> Bytes {
    fill(
        BatchBuilder::new(base, epoch).transactional().producer(producer, producer_epoch, sequence),
        NOW_MS,
        1,
    )
}

/// The end of a transaction.
pub fn end_marker(base: i64, epoch: i32, producer: i64, is_abort: bool) -> Bytes {
    let coordinator_epoch = 0;
    let marker = if is_abort {
        ControlRecord::Abort { coordinator_epoch }
    } else {
        ControlRecord::Commit { coordinator_epoch }
    };
    let (key, value) = marker.encode().unwrap();
    let mut builder = BatchBuilder::new(base, epoch).transactional().control().producer(producer, 0, -1);
    builder.append(NOW_MS, Some(&key), Some(&value));
    builder.build()
}

/// A batch of keys and values; no value is a tombstone. With a producer it is of a transaction.
pub fn keyed(base: i64, producer: Option<(i64, i32)>, records: &[(&str, Option<&str>)]) -> Bytes {
    let mut builder = BatchBuilder::new(base, 0);
    if let Some((id, sequence)) = producer {
        builder = builder.transactional().producer(id, 0, sequence);
    }
    for (key, value) in records {
        builder.append(NOW_MS, Some(key.as_bytes()), value.map(str::as_bytes));
    }
    builder.build()
}

/// As validation leaves a batch.
pub fn stamped(bytes: &Bytes) -> StampedBatch {
    StampedBatch::from_batch(&BatchRef::parse(bytes).unwrap()).unwrap()
}
