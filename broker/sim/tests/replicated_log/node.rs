//! One broker: its disk, and of each partition the real log under the real replica. What the broker's shell does between
//! the two is restated here, as short as it can be.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use jackdaw_log::{
    AppendError, Checkpoint, CleanError, CleanOptions, Disk, FlushPlan, FlushTicket, Log, LogConfig, LogDir,
    MapBudget, OpenError, OpenState, ReadError, StorageError,
};
use jackdaw_replication::{BrokerView, Registration, Replica};
use jackdaw_sim::disk::SimDisk;
use jackdaw_wire::batch::complete_batches;
use jackdaw_wire::segment::Segment as Piece;
use jackdaw_wire::types::TopicPartition;

use super::oracle::Written;

pub const LAG_MS: i64 = 3_000;

pub type Brokers = BTreeMap<i32, BrokerView>;

/// A flush on its way: the plan is carried out at one time and told of at another.
#[derive(Debug)]
pub enum Flush {
    Planned(FlushPlan),
    Done(FlushTicket),
}

pub struct Part {
    pub log: Log,
    pub replica: Replica,
    pub flush: Option<Flush>,
    pub cleaned_to: Option<i64>,
    pub config: Arc<LogConfig>,
    /// So far its records were compared with what is committed.
    pub verified: i64,
}

/// What a node is while it runs with its directory.
pub struct Running {
    pub dir: LogDir,
    pub parts: Vec<Part>,
}

pub struct Node {
    pub id: i32,
    pub disk: SimDisk,
    pub running: Option<Running>,
    /// How far each log was flushed when it last ran.
    pub flushed: Vec<i64>,
    pub is_durable: bool,
    pub min_insync: usize,
}

pub fn of_append(error: AppendError) -> StorageError {
    match error {
        AppendError::Storage(error) => error,
        other => panic!("{other}"),
    }
}

pub fn of_read(error: ReadError) -> StorageError {
    match error {
        ReadError::Storage(error) => error,
        other => panic!("{other}"),
    }
}

fn of_cleaning(error: CleanError) -> StorageError {
    match error {
        CleanError::Storage(error) => error,
        other => panic!("{other}"),
    }
}

pub fn partition(number: usize) -> TopicPartition {
    TopicPartition::new("orders", number as i32)
}

impl Node {
    pub fn new(id: i32, is_durable: bool, min_insync: usize) -> Self {
        Self { id, disk: SimDisk::new(), running: None, flushed: Vec::new(), is_durable, min_insync }
    }

    /// Opens the directory and its logs, as after a crash.
    /// `limits` are the highest that its high watermarks may be.
    pub fn start(
        &mut self,
        configs: &[Arc<LogConfig>],
        limits: &[i64],
        now_ms: i64,
    ) -> Result<(), StorageError> {
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let path = PathBuf::from("/data");
        let dir = match LogDir::open(Arc::clone(&disk), &path) {
            Ok(dir) => dir,
            Err(jackdaw_log::LogDirError::Storage(error)) => return Err(error),
            Err(other) => panic!("{other}"),
        };
        let points = dir.read_checkpoint(Checkpoint::RecoveryPoint)?;
        let marks = dir.read_checkpoint(Checkpoint::Replication)?;
        let cleaned = dir.read_checkpoint(Checkpoint::Cleaner)?;
        let mut parts = Vec::new();
        for (number, (config, limit)) in configs.iter().zip(limits).enumerate() {
            let tp = partition(number);
            let recovery_point = points.get(&tp).copied().unwrap_or(0);
            let state = OpenState { recovery_point, ..OpenState::default() };
            let folder = dir.folder_of(&tp);
            let opened = Log::open(Arc::clone(&disk), &folder, tp.clone(), Arc::clone(config), state, now_ms);
            let log = opened.map_err(|error| match error {
                OpenError::Storage(error) => error,
                other => panic!("{other}"),
            })?;
            let mark = marks.get(&tp).copied().unwrap_or(0).min(log.log_end_offset()).min(*limit);
            parts.push(Part {
                replica: Replica::new(self.id, mark, self.min_insync, LAG_MS),
                log,
                flush: None,
                cleaned_to: cleaned.get(&tp).copied(),
                config: Arc::clone(config),
                verified: 0,
            });
        }
        self.running = Some(Running { dir, parts });
        Ok(())
    }

    pub fn note_flushed(&mut self) {
        if let Some(running) = &self.running {
            self.flushed = running.parts.iter().map(|part| part.log.flushed_offset()).collect();
        }
    }

    pub fn part(&mut self, number: usize) -> Option<&mut Part> {
        self.running.as_mut().map(|running| &mut running.parts[number])
    }

    /// Up to where the log counts as held.
    pub fn held_end(&self, log: &Log) -> i64 {
        if self.is_durable { log.flushed_offset() } else { log.log_end_offset() }
    }
}

impl Running {
    pub fn write_checkpoints(&self) -> Result<(), StorageError> {
        let names: Vec<_> = (0..self.parts.len()).map(partition).collect();
        let of = |value: fn(&Part) -> Option<i64>| {
            let values = names.iter().zip(&self.parts);
            values.filter_map(move |(name, part)| Some((name, value(part)?))).collect::<Vec<_>>()
        };
        self.dir.write_checkpoint(Checkpoint::RecoveryPoint, of(|part| Some(part.log.recovery_point())))?;
        self.dir.write_checkpoint(Checkpoint::Replication, of(|part| Some(part.replica.high_watermark())))?;
        self.dir.write_checkpoint(Checkpoint::Cleaner, of(|part| part.cleaned_to))
    }

    /// A round of compaction below the high watermark. Whether there was anything to do.
    pub fn clean(&mut self, number: usize, now_ms: i64) -> Result<bool, StorageError> {
        let part = &mut self.parts[number];
        let high_watermark = part.replica.high_watermark();
        let reader = part.log.reader();
        let cleanable =
            reader.cleanable(part.cleaned_to, high_watermark, &part.config, now_ms).map_err(of_read)?;
        if cleanable.cleanable_bytes == 0 {
            return Ok(false);
        }
        part.log.flush()?;
        self.write_checkpoints()?;
        let part = &mut self.parts[number];
        let budget = MapBudget { bytes: 1 << 14, load_factor: 0.9 };
        let options = CleanOptions { budget, write_buffer_bytes: 700, seeds: (3, 4), now_ms };
        let mut cleaning = part.log.begin_cleaning(&cleanable, options);
        let next = cleaning.index(&mut |_| Ok(())).map_err(of_cleaning)?;
        while let Some(group) = cleaning.next_group(&mut |_| Ok(())).map_err(of_cleaning)? {
            part.log.swap_in(group, now_ms)?;
        }
        part.cleaned_to = Some(next);
        self.write_checkpoints()?;
        Ok(true)
    }
}

impl Part {
    /// Takes the role that the metadata gives. What was not flushed counts after a flush.
    pub fn take_role(
        &mut self,
        id: i32,
        registration: &Registration,
        held_end: i64,
        now_ms: i64,
        brokers: &Brokers,
    ) -> Result<(), StorageError> {
        let end = self.log.log_end_offset();
        if registration.leader != id {
            self.replica.become_follower(registration, end, self.log.latest_epoch());
            return Ok(());
        }
        let became = self.replica.become_leader(registration, end, held_end, now_ms, brokers);
        match became.new_epoch {
            Some((epoch, start)) => self.log.assign_epoch_start(epoch, start),
            None => Ok(()),
        }
    }

    /// All records of the log.
    pub fn records(&self) -> Result<BTreeMap<i64, Written>, StorageError> {
        let (reader, end) = (self.log.reader(), self.log.log_end_offset());
        let mut records = BTreeMap::new();
        let mut offset = reader.log_start_offset();
        while offset < end {
            let bytes = contents(&reader.read(offset, 4_000, end, true).map_err(of_read)?.records);
            let before = offset;
            for batch in complete_batches(&bytes).map(Result::unwrap) {
                batch.check_crc().unwrap();
                offset = batch.header.next_offset();
                let mut scratch = Vec::new();
                for record in batch.records(1 << 20, &mut scratch).unwrap().map(Result::unwrap) {
                    let at = batch.header.base_offset + i64::from(record.offset_delta);
                    let key = u64::from_be_bytes(record.key.unwrap().try_into().unwrap());
                    let value = std::str::from_utf8(record.value.unwrap()).unwrap().trim().parse().unwrap();
                    records.insert(at, Written { key, value });
                }
            }
            if offset == before {
                // A gap up to the end.
                break;
            }
        }
        Ok(records)
    }
}

pub fn contents(records: &[Piece]) -> Bytes {
    let bytes = records.iter().flat_map(|piece| match piece {
        Piece::Bytes(bytes) => bytes.to_vec(),
        Piece::File { .. } => panic!("the simulated disk has no files of the system"),
    });
    bytes.collect::<Vec<u8>>().into()
}

/// Makes what a directory begins with durable.
pub fn format(disk: &SimDisk) {
    disk.create_dir_all(Path::new("/data")).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
}
