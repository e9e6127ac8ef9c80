//! The task of one partition's coordinator: it loads, serves and resigns, and is the only one to touch the machine.
//!
//! It decides nothing: what a request means is the machine's, what an append needs the replica manager's.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use jackdaw_wire::ErrorCode;
use jackdaw_wire::batch::{BatchRef, complete_batches};
use jackdaw_wire::control_record::ControlRecord;
use tokio::sync::{mpsc, oneshot, watch};

use super::{Append, Effect, LoadError, LoadedMarker, Machine, Phase, Place, Shared};
use crate::replicas::{OwnAppend, OwnLog};

/// A batch that unpacks to more than this is not a coordinator's.
const LARGEST_UNPACKED_BATCH_BYTES: usize = 1 << 30;
/// No deadline: far enough for a sleep that something else will end.
const IDLE: Duration = Duration::from_secs(24 * 60 * 60);

/// A request on its way to the machine, and where its answer goes.
pub(super) struct Message<M: Machine> {
    pub request: M::Request,
    pub answer: Option<oneshot::Sender<M::Reply>>,
}

pub(super) struct Task<M: Machine> {
    shared: Arc<Shared<M>>,
    partition: i32,
    epochs: watch::Receiver<Option<i32>>,
    messages: mpsc::Receiver<Message<M>>,
    phase: Arc<Phase>,
    machine: M,
    waiting: HashMap<u64, oneshot::Sender<M::Reply>>,
    next_token: u64,
    appends: FuturesUnordered<BoxFuture<'static, (u64, Result<i64, ErrorCode>)>>,
}

/// Why a partition is not loaded.
#[derive(Debug, thiserror::Error)]
enum NotLoaded {
    #[error("the record at offset {offset} cannot be read: {why}")]
    Record { offset: i64, why: LoadError },
    #[error("the batch at offset {offset} cannot be read: {why}")]
    Batch { offset: i64, why: String },
    #[error("the log cannot be read at offset {offset}: {code}")]
    Log { offset: i64, code: ErrorCode },
}

impl<M: Machine> Task<M> {
    pub fn new(
        shared: Arc<Shared<M>>,
        partition: i32,
        epochs: watch::Receiver<Option<i32>>,
        messages: mpsc::Receiver<Message<M>>,
        phase: Arc<Phase>,
    ) -> Self {
        let machine = (shared.options.make)(partition);
        Self {
            shared,
            partition,
            epochs,
            messages,
            phase,
            machine,
            waiting: HashMap::new(),
            next_token: 0,
            appends: FuturesUnordered::new(),
        }
    }

    fn epoch(&self) -> Option<i32> {
        *self.epochs.borrow()
    }

    fn tell_epoch(&mut self) {
        if let Some(epoch) = self.epoch() {
            self.machine.leads(self.shared.now(), epoch);
        }
    }

    pub async fn run(mut self) {
        let topic = self.shared.options.topic;
        let partition = self.partition;
        tracing::info!(
            target: "kafka.coordinator",
            "Elected as the coordinator of {topic}-{partition} in epoch {:?}", self.epoch()
        );
        let begun = Instant::now();
        self.tell_epoch();
        match self.load().await {
            Ok(offsets) => {
                self.machine.loaded(self.shared.now());
                self.carry_out();
                self.phase.set(Phase::SERVING);
                tracing::info!(
                    target: "kafka.coordinator",
                    "Loaded {offsets} offsets of {topic}-{partition} in {} milliseconds", begun.elapsed().as_millis()
                );
                self.serve().await;
            }
            Err(error) if self.epoch().is_some() => {
                self.phase.set(Phase::BROKEN);
                tracing::error!(
                    target: "kafka.coordinator",
                    "The coordinator of {topic}-{partition} does not serve: {error}. The other partitions go on"
                );
                // Nobody else ends it.
                let _ = self.epochs.wait_for(Option::is_none).await;
            }
            Err(_) => {}
        }
        self.resign();
        tracing::info!(target: "kafka.coordinator", "Resigned as the coordinator of {topic}-{partition}");
    }

    /// Reads the log up to its end, unless the leadership ends first. Gives the number of offsets.
    async fn load(&mut self) -> Result<i64, NotLoaded> {
        let Some(epoch) = self.epoch() else { return Ok(0) };
        let options = &self.shared.options;
        let log = options.replicas.own_log(options.topic, self.partition, epoch);
        let log = log.map_err(|code| NotLoaded::Log { offset: -1, code })?;
        let start = log.start_offset();
        let mut offset = start;
        while offset < log.end_offset() && self.epoch().is_some() {
            let next = self.load_from(&log, offset).await?;
            if next == offset {
                break;
            }
            offset = next;
        }
        Ok(offset - start)
    }

    async fn load_from(&mut self, log: &OwnLog, offset: i64) -> Result<i64, NotLoaded> {
        let read = log.read(offset, self.shared.options.load_buffer_bytes).await;
        let bytes = read.map_err(|code| NotLoaded::Log { offset, code })?;
        let mut next = offset;
        for batch in complete_batches(&bytes) {
            let batch = batch.map_err(|e| NotLoaded::Batch { offset: next, why: e.to_string() })?;
            load_batch(&mut self.machine, &batch)?;
            next = batch.header.next_offset();
            // A long log must not keep this thread from everyone else.
            tokio::task::yield_now().await;
        }
        Ok(next)
    }

    async fn serve(&mut self) {
        while self.epoch().is_some() {
            let deadline = self.machine.next_deadline().map(|ms| self.shared.instant_of(ms));
            let deadline = deadline.unwrap_or_else(|| Instant::now() + IDLE);
            tokio::select! {
                biased;
                changed = self.epochs.changed() => match changed {
                    Ok(()) => self.tell_epoch(),
                    Err(_) => return,
                },
                Some((ticket, outcome)) = self.appends.next(), if !self.appends.is_empty() => {
                    self.machine.appended(self.shared.now(), ticket, outcome);
                }
                () = tokio::time::sleep_until(deadline.into()) => self.machine.tick(self.shared.now()),
                message = self.messages.recv() => match message {
                    Some(message) => self.handle(message),
                    None => return,
                },
            }
            self.carry_out();
        }
    }

    fn handle(&mut self, message: Message<M>) {
        self.next_token += 1;
        let token = self.next_token;
        if let Some(answer) = message.answer {
            self.waiting.insert(token, answer);
        }
        self.machine.handle(self.shared.now(), token, message.request);
    }

    fn resign(&mut self) {
        self.machine.resign(self.shared.now());
        self.carry_out();
        self.messages.close();
        while let Ok(message) = self.messages.try_recv() {
            self.handle(message);
            self.carry_out();
        }
    }

    fn carry_out(&mut self) {
        for effect in self.machine.take_effects() {
            match effect {
                Effect::Reply { token, reply } => {
                    if let Some(answer) = self.waiting.remove(&token) {
                        // The asker's connection may be gone.
                        let _ = answer.send(reply);
                    }
                }
                Effect::Append(append) => self.append(append),
                Effect::Perform(command) => (self.shared.options.perform)(self.partition, command),
            }
        }
    }

    fn append(&mut self, append: Append) {
        let options = &self.shared.options;
        let outcome = match self.epoch() {
            None => std::future::ready(Err(ErrorCode::NotLeaderOrFollower)).boxed(),
            Some(leader_epoch) => {
                let own = OwnAppend {
                    batch: append.batch,
                    leader_epoch,
                    acks: append.acks,
                    timeout: Duration::from_millis(append.timeout_ms),
                    guard: append.guard,
                };
                options.replicas.append_own(options.topic, self.partition, own).boxed()
            }
        };
        if let Some(ticket) = append.ticket {
            self.appends.push(async move { (ticket, outcome.await) }.boxed());
        }
    }
}

fn load_batch<M: Machine>(machine: &mut M, batch: &BatchRef) -> Result<(), NotLoaded> {
    let header = &batch.header;
    let base = header.base_offset;
    let bad = |why: String| NotLoaded::Batch { offset: base, why };
    batch.check_crc().map_err(|e| bad(e.to_string()))?;
    let mut scratch = Vec::new();
    let records =
        batch.records(LARGEST_UNPACKED_BATCH_BYTES, &mut scratch).map_err(|e| bad(e.to_string()))?;
    let mut batch_offset = None;
    for record in records {
        let record = record.map_err(|e| bad(e.to_string()))?;
        let offset = base + i64::from(record.offset_delta);
        if header.is_control() {
            let control =
                ControlRecord::decode(record.key.unwrap_or_default(), record.value.unwrap_or_default());
            let is_commit = match control {
                Ok(ControlRecord::Commit { .. }) => true,
                Ok(ControlRecord::Abort { .. }) => false,
                _ => continue,
            };
            let (producer_id, producer_epoch) = (header.producer_id, header.producer_epoch);
            machine.load_marker(LoadedMarker { producer_id, producer_epoch, is_commit });
            continue;
        }
        let place = Place {
            offset,
            batch_offset: *batch_offset.get_or_insert(offset),
            producer_id: header.producer_id,
            producer_epoch: header.producer_epoch,
            is_transactional: header.is_transactional(),
        };
        let copied = |bytes: Option<&[u8]>| bytes.map(Bytes::copy_from_slice);
        let loaded = machine.load(&place, copied(record.key), copied(record.value));
        loaded.map_err(|why| NotLoaded::Record { offset, why })?;
    }
    Ok(())
}
