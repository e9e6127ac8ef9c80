//! A folder that was damaged in any way opens or is refused with a typed error: never a panic, never memory without
//! bound, and what is still whole in front of the damage is served. The damage is structured: it is made by file kind,
//! and by fields that lie under a right checksum. A failing seed is printed and replays (`JACKDAW_SIM_SEED`).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use jackdaw_log::{Disk, Log, LogConfig, OpenMode, OpenState};
use jackdaw_sim::disk::SimDisk;
use jackdaw_sim::seeds::{Rng, for_some_time};
use jackdaw_wire::batch::{BatchBuilder, complete_batches};
use jackdaw_wire::control_record::ControlRecord;
use jackdaw_wire::segment::Segment as Piece;
use jackdaw_wire::types::TopicPartition;

const FOLDER: &str = "/data/orders-0";
const NOW_MS: i64 = 1_000_000;
/// Far more than these small logs need, far less than a length that lies asks for.
const HARMLESS_BYTES: usize = 256 << 20;
/// Where fields lie in a batch, and how long they are.
const FIELDS: [(usize, usize); 13] = [
    (0, 8),
    (8, 4),
    (12, 4),
    (16, 1),
    (17, 4),
    (21, 2),
    (23, 4),
    (27, 8),
    (35, 8),
    (43, 8),
    (51, 2),
    (53, 4),
    (57, 4),
];

/// A batch, and where it lies.
struct Written {
    base: i64,
    last: i64,
    segment: i64,
    position: usize,
    bytes: Bytes,
}

struct Folder {
    rng: Rng,
    disk: SimDisk,
    config: Arc<LogConfig>,
    written: Vec<Written>,
    /// Batches that end before it are whole.
    whole_before: i64,
}

fn open(disk: &SimDisk, config: &Arc<LogConfig>, state: OpenState) -> Result<Log, jackdaw_log::OpenError> {
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    Log::open(shared, Path::new(FOLDER), TopicPartition::new("orders", 0), Arc::clone(config), state, NOW_MS)
}

fn batch(rng: &mut Rng, base: i64, epoch: i32, log: &Log) -> Bytes {
    let producer = rng.between(1, 5);
    let entry = log.producers().get(producer);
    let next = entry.map_or(0, |entry| entry.last_sequence().wrapping_add(1).max(0));
    let is_open = entry.is_some_and(|entry| entry.current_txn_first_offset.is_some());
    let mut builder = BatchBuilder::new(base, epoch);
    if producer <= 2 && is_open && rng.chance(50) {
        let (key, value) = ControlRecord::Abort { coordinator_epoch: 0 }.encode().unwrap();
        let mut builder = builder.transactional().control().producer(producer, 0, -1);
        builder.append(NOW_MS, Some(&key), Some(&value));
        return builder.build();
    }
    match producer {
        1 | 2 => builder = builder.transactional().producer(producer, 0, next),
        3 | 4 => builder = builder.producer(producer, 0, next),
        _ => {}
    }
    for _ in 0..rng.between(1, 4) {
        let value = vec![b'v'; rng.below(120) as usize];
        builder.append(NOW_MS + rng.between(-500, 500), Some(b"key"), Some(&value));
    }
    builder.build()
}

impl Folder {
    /// A log that was stopped cleanly; whether it counts as such is another matter.
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let config = Arc::new(LogConfig {
            segment_bytes: rng.between(700, 3000) as i32,
            index_interval_bytes: rng.between(0, 300) as i32,
            ..LogConfig::default()
        });
        let disk = SimDisk::new();
        disk.create_dir_all(Path::new("/data")).unwrap();
        let mut log = open(&disk, &config, OpenState::default()).unwrap();
        let (mut written, mut epoch) = (Vec::new(), 0);
        for _ in 0..rng.between(5, 40) {
            epoch += i32::from(rng.chance(15));
            let base = log.log_end_offset();
            let bytes = batch(&mut rng, base, epoch, &log);
            let info = log.append_follower(&bytes, NOW_MS).unwrap();
            written.push(Written {
                base,
                last: info.last_offset,
                segment: info.position.segment_base_offset,
                position: info.position.position as usize,
                bytes,
            });
        }
        log.close_clean().unwrap();
        drop(log);
        disk.kill();
        Self { rng, disk, config, written, whole_before: i64::MAX }
    }

    fn names(&self) -> Vec<String> {
        self.disk.list(Path::new(FOLDER)).unwrap().into_iter().map(|file| file.name).collect()
    }

    /// Nothing is promised of what lies at or behind a place in a file.
    fn damaged(&mut self, name: &str, position: usize) {
        let Some(segment) = name.strip_suffix(".log").and_then(|base| base.parse::<i64>().ok()) else {
            return;
        };
        let is_whole = |w: &&Written| {
            w.segment > segment || (w.segment == segment && w.position + w.bytes.len() > position)
        };
        let first = self.written.iter().find(is_whole).map_or(segment, |w| w.base.min(segment.max(w.base)));
        self.whole_before = self.whole_before.min(first);
    }

    fn damage(&mut self) {
        let names = self.names();
        let Some(name) = self.rng.pick(&names).cloned() else { return };
        let path = Path::new(FOLDER).join(&name);
        match self.rng.below(10) {
            0 => {
                self.damaged(&name, 0);
                self.disk.remove_file(&path).unwrap();
            }
            1 => self.swap(&name, &names),
            2 => self.foreign(),
            3 | 4 => self.lie(),
            _ => self.bytes(&name, &path),
        }
    }

    fn bytes(&mut self, name: &str, path: &Path) {
        let mut rng = self.rng.clone();
        self.rng.next_u64();
        let mut from = usize::MAX;
        self.disk.tamper(path, |bytes| {
            let at = rng.below(bytes.len() as u64 + 1) as usize;
            from = at;
            match rng.below(5) {
                0 => bytes.truncate(at),
                1 => bytes.extend((0..rng.below(600)).map(|_| rng.clone().next_u64() as u8)),
                2 => {
                    let fill = *rng.pick(&[0, 0xff, b'9', b'\n']).unwrap();
                    let end = (at + rng.below(100) as usize).min(bytes.len());
                    bytes[at..end].fill(fill);
                }
                _ if at < bytes.len() => bytes[at] ^= 1 << rng.below(8),
                _ => bytes.push(7),
            }
        });
        self.damaged(name, from);
    }

    /// Two files of a kind have each other's contents.
    fn swap(&mut self, name: &str, names: &[String]) {
        let kind = name.rsplit('.').next().unwrap_or("");
        let others: Vec<_> = names.iter().filter(|other| *other != name && other.ends_with(kind)).collect();
        let Some(other) = self.rng.pick(&others).map(|other| (*other).clone()) else { return };
        let paths = [Path::new(FOLDER).join(name), Path::new(FOLDER).join(&other)];
        let (mut first, mut second) = (Vec::new(), Vec::new());
        self.disk.tamper(&paths[0], |bytes| first.clone_from(bytes));
        self.disk.tamper(&paths[1], |bytes| {
            second.clone_from(bytes);
            bytes.clone_from(&first);
        });
        self.disk.tamper(&paths[0], |bytes| bytes.clone_from(&second));
        self.damaged(name, 0);
        self.damaged(&other, 0);
    }

    /// What nobody put there: names that are nearly right, and copies under another name.
    fn foreign(&mut self) {
        let base = self.rng.between(0, 90);
        let names = [
            format!("{base:020}.log"),
            format!("{base:020}.snapshot"),
            format!("{base:020}.index"),
            format!("{base:020}.txnindex"),
            format!("{base:020}.log.deleted"),
            format!("{base:020}.log.cleaned"),
            format!("{base:020}.log.swap"),
            format!("{base:020}.index.swap"),
            "99999999999999999999.log".to_owned(),
            "09223372036854775807.log".to_owned(),
            "-0000000000000000001.log".to_owned(),
            "x.log".to_owned(),
            ".snapshot".to_owned(),
            "leader-epoch-checkpoint.tmp".to_owned(),
            "partition.metadata".to_owned(),
        ];
        let name = self.rng.pick(&names).unwrap().clone();
        let contents = match self.rng.below(3) {
            0 => Vec::new(),
            1 => (0..self.rng.below(400)).map(|_| self.rng.next_u64() as u8).collect(),
            _ => self.rng.pick(&self.written).map(|w| w.bytes.to_vec()).unwrap_or_default(),
        };
        let path: PathBuf = Path::new(FOLDER).join(&name);
        let file = self.disk.open(&path, OpenMode::Truncate).unwrap();
        file.write_at(0, &mut [IoSlice::new(&contents)]).unwrap();
        // A segment that is swapped in takes the place of those that its records came from.
        let as_log = name.strip_suffix(".swap").unwrap_or(&name).to_owned();
        if as_log.ends_with(".log") {
            let base = as_log.strip_suffix(".log").and_then(|base| base.parse().ok()).unwrap_or(i64::MAX);
            let swapped = complete_batches(&contents.into()).next().and_then(Result::ok);
            let first = swapped.map_or(base, |batch| batch.header.base_offset.min(base));
            self.whole_before =
                self.whole_before.min(if name.ends_with(".swap") { first.min(0) } else { base });
        }
    }

    /// A field of a batch has another value, mostly under a right checksum.
    fn lie(&mut self) {
        let at = self.rng.below(self.written.len() as u64) as usize;
        let (segment, position, length) = {
            let w = &self.written[at];
            (w.segment, w.position, w.bytes.len())
        };
        let (field, width) = *self.rng.pick(&FIELDS).unwrap();
        let extremes = [0, 1, -1, i64::MAX, i64::MIN, i64::from(i32::MAX), i64::from(i32::MIN), 1 << 40];
        let value = *self.rng.pick(&extremes).unwrap();
        let value = if width == 4 && value == i64::MAX { i64::from(i32::MAX) } else { value };
        let is_checked = self.rng.chance(80);
        let name = format!("{segment:020}.log");
        self.disk.tamper(&Path::new(FOLDER).join(&name), |bytes| {
            let Some(bytes) = bytes.get_mut(position..position + length) else { return };
            bytes[field..field + width].copy_from_slice(&value.to_be_bytes()[8 - width..]);
            if is_checked && field != 17 {
                let crc = crc32c(&bytes[21..]);
                bytes[17..21].copy_from_slice(&crc.to_be_bytes());
            }
        });
        self.damaged(&name, position);
    }

    fn check(&mut self) {
        let clean_shutdown = self.rng.chance(40);
        let recovery_point = if self.rng.chance(50) { 0 } else { self.rng.between(0, 90) };
        let state = OpenState { clean_shutdown, recovery_point, ..OpenState::default() };
        let Ok(mut log) = open(&self.disk, &self.config, state) else { return };
        self.check_whole(&log);
        self.go_on(&mut log);
        drop(log);
        self.disk.kill();
        if let Ok(mut log) = open(&self.disk, &self.config, OpenState { recovery_point, ..state }) {
            self.go_on(&mut log);
        }
    }

    fn check_whole(&self, log: &Log) {
        let reader = log.reader();
        for whole in self.written.iter().filter(|w| w.last < self.whole_before) {
            let read = reader.read(whole.base, 1, log.log_end_offset(), true);
            let found = read.map(|read| contents(&read.records));
            let is_served = found.as_ref().is_ok_and(|bytes| bytes.starts_with(&whole.bytes));
            assert!(is_served, "{} is whole before {}: {found:?}", whole.base, self.whole_before);
        }
    }

    /// Whatever it is, it can be used: what fails, fails with an error.
    fn go_on(&mut self, log: &mut Log) {
        let reader = log.reader();
        let (start, end) = (log.log_start_offset(), log.log_end_offset());
        let mut offset = start;
        for _ in 0..60 {
            let Ok((read, _)) = reader.read_committed(offset, 700, end, true) else { break };
            let bytes: Bytes = contents(&read.records).into();
            let Some(last) = complete_batches(&bytes).filter_map(Result::ok).last() else { break };
            offset = last.header.next_offset();
        }
        for timestamp_ms in [0, NOW_MS, NOW_MS + 400] {
            let _ = reader.find_offset(jackdaw_log::OffsetQuery::AtOrAfter(timestamp_ms));
        }
        if end < i64::MAX - 1000 {
            let bytes = batch(&mut self.rng, end, log.latest_epoch().unwrap_or(0), log);
            let _ = log.append_follower(&bytes, NOW_MS);
        }
        let _ = log.flush();
        let at = self.rng.between(start, start.saturating_add(60));
        let _ = match self.rng.below(5) {
            0 => log.truncate_to(at, NOW_MS).map(drop),
            1 => log.truncate_fully_and_start_at(at, NOW_MS),
            2 => log.advance_log_start(at).map(drop),
            3 => log.enforce_retention(NOW_MS, end).map(drop),
            _ => log.close_clean(),
        };
    }
}

fn contents(records: &[Piece]) -> Vec<u8> {
    let bytes = records.iter().flat_map(|piece| match piece {
        Piece::Bytes(bytes) => bytes.to_vec(),
        Piece::File { .. } => panic!("the simulated disk has no files of the system"),
    });
    bytes.collect()
}

/// CRC-32C, bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg()))
    })
}

/// The address space that this process has taken at most.
fn peak_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

#[test]
fn a_damaged_folder_opens_or_is_refused_and_what_is_whole_in_front_is_served() {
    let before = peak_bytes();
    for_some_time(3, |seed| {
        let mut folder = Folder::new(seed);
        for _ in 0..folder.rng.between(1, 3) {
            folder.damage();
        }
        folder.check();
    });
    let grown = peak_bytes() - before;
    assert!(grown < HARMLESS_BYTES, "the address space grew by {grown} bytes");
}
