//! The task of one partition's coordinator: it loads, serves and resigns, and is the only one to touch the machine.
//!
//! It decides nothing: what a request means is the machine's, what an append needs the replica manager's.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use jackdaw_wire::ErrorCode;
use jackdaw_wire::batch::{BatchHeader, BatchRef, complete_batches};
use jackdaw_wire::control_record::ControlRecord;
use jackdaw_wire::records::RecordRef;
use tokio::sync::{mpsc, oneshot, watch};

use super::{Append, Effect, LoadError, LoadedMarker, Machine, Phase, Place, Shared};
use crate::clock;
use crate::replicas::OwnAppend;

/// A batch that unpacks to more than this is not a coordinator's: none is larger than a segment of its topic.
const LARGEST_UNPACKED_BATCH_BYTES: usize = 100 << 20;
/// Lines about what cannot be read; all of it is counted in the last one.
const LINES: u64 = 100;
/// Until a log that could not be read is read again.
const READ_AGAIN_AFTER: Duration = Duration::from_millis(200);
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

/// How far a log is loaded.
#[derive(Debug, Default)]
struct Progress {
    /// The offset to read at next; none before anything was read.
    next: Option<i64>,
    offsets: i64,
    passed_over: u64,
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
        if let Some(epoch) = self.epoch() {
            tracing::info!(
                target: "kafka.coordinator",
                "Elected as the coordinator of {topic}-{partition} in epoch {epoch}"
            );
        }
        let begun = clock::now();
        self.tell_epoch();
        let progress = self.load().await;
        if self.epoch().is_some() {
            self.machine.loaded(self.shared.now());
            self.carry_out();
            self.phase.set(Phase::SERVING);
            let passed_over = match progress.passed_over {
                0 => String::new(),
                count => format!("; {count} records or batches were passed over"),
            };
            tracing::info!(
                target: "kafka.coordinator",
                "Loaded {} offsets of {topic}-{partition} in {} milliseconds{passed_over}",
                progress.offsets, begun.elapsed().as_millis()
            );
            self.serve().await;
        }
        self.resign();
        tracing::info!(target: "kafka.coordinator", "Resigned as the coordinator of {topic}-{partition}");
    }

    /// Reads the log up to its end, unless the leadership ends first. Where the disk or the partition's role does not
    /// let it read yet it tries again: clients hear meanwhile that it loads, and nobody is told half of the truth.
    async fn load(&mut self) -> Progress {
        let mut progress = Progress::default();
        let mut reported = None;
        while let Some(epoch) = self.epoch() {
            let Err(code) = self.load_on(epoch, &mut progress).await else { break };
            if reported.replace(code) != Some(code) {
                self.report_waiting(code, progress.next);
            }
            let _ = tokio::time::timeout(READ_AGAIN_AFTER, self.epochs.changed()).await;
        }
        progress
    }

    fn report_waiting(&self, code: ErrorCode, next: Option<i64>) {
        let (topic, partition) = (self.shared.options.topic, self.partition);
        match code {
            // The image is ahead of the partition's role.
            ErrorCode::NotLeaderOrFollower | ErrorCode::UnknownTopicOrPartition => tracing::debug!(
                target: "kafka.coordinator", "{topic}-{partition} is not led here yet: {code}"
            ),
            _ => tracing::error!(
                target: "kafka.coordinator",
                "The log of {topic}-{partition} cannot be read at {}: {code}. Its coordinator goes on loading \
                 as soon as it can",
                next.map_or_else(|| "its start".to_owned(), |offset| format!("offset {offset}"))
            ),
        }
    }

    async fn load_on(&mut self, epoch: i32, progress: &mut Progress) -> Result<(), ErrorCode> {
        let shared = Arc::clone(&self.shared);
        let options = &shared.options;
        let log = options.replicas.own_log(options.topic, self.partition, epoch)?;
        let start = log.start_offset();
        let mut next = progress.next.map_or(start, |next| next.max(start));
        while next < log.end_offset() && self.epoch().is_some() {
            progress.next = Some(next);
            let read = log.read(next, options.load_buffer_bytes).await;
            let (mut reached, unreadable) = match read {
                Ok(bytes) if bytes.is_empty() => (log.next_segment(next), None),
                Ok(bytes) => self.load_batches(&bytes, next, progress).await,
                Err(ErrorCode::CorruptMessage) => (next, Some("it is corrupt".to_owned())),
                Err(code) => return Err(code),
            };
            if let Some(why) = unreadable {
                // What does not tell where it ends hides what comes behind it in its segment.
                let behind = log.next_segment(reached);
                self.pass_over(
                    progress,
                    format_args!(
                        "the batch at offset {reached}, and what is behind it up to offset {behind}: {why}"
                    ),
                );
                reached = behind;
            }
            progress.offsets += reached - next;
            next = reached;
        }
        progress.next = Some(next);
        Ok(())
    }

    /// How far it came, and why no farther.
    async fn load_batches(
        &mut self,
        bytes: &Bytes,
        from: i64,
        progress: &mut Progress,
    ) -> (i64, Option<String>) {
        let mut next = from;
        for batch in complete_batches(bytes) {
            match batch {
                Ok(batch) => {
                    self.load_batch(&batch, progress);
                    next = batch.header.next_offset().max(next);
                }
                Err(error) => return (next, Some(error.to_string())),
            }
            // A long log must not keep this thread from everyone else.
            tokio::task::yield_now().await;
        }
        (next, (next == from).then(|| "it is cut off".to_owned()))
    }

    /// Loads what of a batch can be read.
    fn load_batch(&mut self, batch: &BatchRef, progress: &mut Progress) {
        let base = batch.header.base_offset;
        let mut scratch = Vec::new();
        let checked = batch.check_crc().map_err(|error| error.to_string());
        let records = checked.and_then(|()| {
            batch.records(LARGEST_UNPACKED_BATCH_BYTES, &mut scratch).map_err(|error| error.to_string())
        });
        let records = match records {
            Ok(records) => records,
            Err(why) => return self.pass_over(progress, format_args!("the batch at offset {base}: {why}")),
        };
        let mut batch_offset = None;
        for record in records {
            let record = match record {
                Ok(record) => record,
                Err(why) => {
                    return self
                        .pass_over(progress, format_args!("the rest of the batch at offset {base}: {why}"));
                }
            };
            let offset = base.saturating_add(i64::from(record.offset_delta));
            if batch.header.is_control() {
                self.load_control(&batch.header, &record);
                continue;
            }
            let place = Place {
                offset,
                batch_offset: *batch_offset.get_or_insert(offset),
                producer_id: batch.header.producer_id,
                producer_epoch: batch.header.producer_epoch,
                is_transactional: batch.header.is_transactional(),
            };
            let copied = |bytes: Option<&[u8]>| bytes.map(Bytes::copy_from_slice);
            match self.machine.load(&place, copied(record.key), copied(record.value)) {
                Ok(()) => {}
                Err(LoadError::UnknownKey(version)) => self.pass_over_unknown(progress, version, offset),
                Err(LoadError::Unreadable(why)) => {
                    let key_type = key_type(record.key);
                    self.pass_over(
                        progress,
                        format_args!("the record at offset {offset}, {key_type}: {why}"),
                    );
                }
            }
        }
    }

    fn load_control(&mut self, header: &BatchHeader, record: &RecordRef<'_>) {
        let control = ControlRecord::decode(record.key.unwrap_or_default(), record.value.unwrap_or_default());
        let is_commit = match control {
            Ok(ControlRecord::Commit { .. }) => true,
            Ok(ControlRecord::Abort { .. }) => false,
            _ => return,
        };
        let (producer_id, producer_epoch) = (header.producer_id, header.producer_epoch);
        self.machine.load_marker(LoadedMarker { producer_id, producer_epoch, is_commit });
    }

    fn pass_over(&self, progress: &mut Progress, what: fmt::Arguments<'_>) {
        progress.passed_over += 1;
        if progress.passed_over <= LINES {
            let (topic, partition) = (self.shared.options.topic, self.partition);
            tracing::error!(
                target: "kafka.coordinator",
                "Loading {topic}-{partition} passes over what it cannot read: {what}"
            );
        }
    }

    fn pass_over_unknown(&self, progress: &mut Progress, version: i16, offset: i64) {
        progress.passed_over += 1;
        if progress.passed_over <= LINES {
            let (topic, partition) = (self.shared.options.topic, self.partition);
            tracing::warn!(
                target: "kafka.coordinator",
                "Unknown message key with version {version} at offset {offset} while loading {topic}-{partition}. \
                 Ignoring it. It could be a left over from an aborted upgrade."
            );
        }
    }

    async fn serve(&mut self) {
        while self.epoch().is_some() {
            let deadline = self.machine.next_deadline().map(|ms| self.shared.instant_of(ms));
            let deadline = deadline.unwrap_or_else(|| clock::now() + IDLE);
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

/// The number that stands in front of each key of Kafka's internal topics.
fn key_type(key: Option<&[u8]>) -> String {
    match key.and_then(|key| key.first_chunk()) {
        Some(number) => format!("key type {}", i16::from_be_bytes(*number)),
        None => "without a key type".to_owned(),
    }
}
