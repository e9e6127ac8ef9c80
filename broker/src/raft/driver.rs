//! The quorum's own thread: takes commands, replies, ends of flushes and the time to the machine, and carries out
//! what the machine wants, in order.
//!
//! The thread blocks for what must be on the disk before the next effect (`quorum-state`, truncations), as Kafka's
//! raft-io-thread does; the log's flushes run on a thread beside it, so that appends go on and share the next one.

use std::collections::HashMap;
use std::sync::mpsc as std_mpsc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use jackdaw_log::{FlushPlan, FlushTicket, StorageError};
use jackdaw_quorum::{Effect, Input, NewAppend, Quorum};
use jackdaw_wire::OffsetAndEpoch;
use jackdaw_wire::batch::{BatchBuilder, HEADER_BYTES};
use jackdaw_wire::control_record::{ControlRecord, LeaderChangeMessage, LeaderChangeVoter};
use jackdaw_wire::messages::{FetchResponse, FetchSnapshotResponse};
use jackdaw_wire::metadata_record::MetadataRecord;
use jackdaw_wire::record_codec::RecordError;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};

use super::error::RaftError;
use super::feeder::{Feeder, Progress, SnapshotTrigger};
use super::handle::{AppendError, Command, LeaderAndEpoch, RaftEvent, RaftResponse, SnapshotError};
use super::peers::Peers;
use super::snapshots::{MAX_BATCH_BYTES, snapshot_batches};
use super::storage::Storage;
use crate::clock;

/// `KafkaRaftManager` gives the quorum that long to hand over.
const SHUTDOWN_TIMEOUT_MS: i64 = 5_000;
/// How often old snapshots are looked for (`RaftMetadataLogCleanerManager`).
const CLEAN_INTERVAL: Duration = Duration::from_secs(60);
/// The most commands taken before what they ask for is begun.
const COMMANDS_AT_ONCE: usize = 256;

/// What a record takes besides its value, at most: length, attributes, deltas, key and header count
/// (`DefaultRecord.MAX_RECORD_OVERHEAD`).
const MAX_RECORD_OVERHEAD_BYTES: usize = 21;

/// What reaches the thread besides commands.
pub(super) enum Event {
    Input(Input),
    Flushed {
        id: u64,
        outcome: Result<FlushTicket, StorageError>,
    },
    SnapshotWritten {
        id: OffsetAndEpoch,
        outcome: Result<u64, RaftError>,
        reply: oneshot::Sender<Result<(), SnapshotError>>,
    },
    /// A subscriber's feeder could not read the log.
    Unreadable(RaftError),
}

struct PendingAppend {
    values: Vec<Bytes>,
    epoch: i32,
    reply: oneshot::Sender<Result<i64, AppendError>>,
}

/// Wall-clock milliseconds as they were when this node started, and steady from there on: timers are counted in them.
/// They are written into batches and snapshots too, where nothing hangs on a clock that was set since.
struct Clock {
    base_ms: i64,
    start: Instant,
}

impl Clock {
    fn now_ms(&self) -> i64 {
        self.base_ms + i64::try_from(self.start.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    fn instant(&self, at_ms: i64) -> Instant {
        self.start + Duration::from_millis(u64::try_from(at_ms - self.base_ms).unwrap_or(0))
    }
}

pub(super) struct Driver {
    node_id: i32,
    quorum: Quorum,
    storage: Storage,
    clock: Clock,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Receiver<Event>,
    event_sender: mpsc::Sender<Event>,
    flusher: std_mpsc::Sender<(u64, FlushPlan)>,
    peers: Peers,
    runtime: Handle,
    progress: watch::Sender<Progress>,
    leader: watch::Sender<LeaderAndEpoch>,
    trigger: SnapshotTrigger,
    replies: HashMap<u64, oneshot::Sender<RaftResponse>>,
    appends: HashMap<u64, PendingAppend>,
    next_token: u64,
    stopping: Vec<oneshot::Sender<()>>,
    stopped: bool,
}

/// What the driver is made of.
pub(super) struct Parts {
    pub node_id: i32,
    pub quorum: Quorum,
    pub storage: Storage,
    pub now_ms: i64,
    pub commands: mpsc::Receiver<Command>,
    pub events: (mpsc::Sender<Event>, mpsc::Receiver<Event>),
    pub peers: Peers,
    pub runtime: Handle,
    pub leader: watch::Sender<LeaderAndEpoch>,
    pub trigger: SnapshotTrigger,
}

impl Driver {
    /// # Errors
    /// When the flushing thread cannot be started.
    pub fn new(parts: Parts) -> Result<Self, RaftError> {
        let (event_sender, events) = parts.events;
        let latest_snapshot = parts.storage.latest_snapshot();
        Ok(Self {
            flusher: start_flusher(event_sender.clone())?,
            node_id: parts.node_id,
            quorum: parts.quorum,
            storage: parts.storage,
            clock: Clock { base_ms: parts.now_ms, start: clock::now() },
            commands: parts.commands,
            events,
            event_sender,
            peers: parts.peers,
            runtime: parts.runtime,
            progress: watch::Sender::new(Progress { latest_snapshot, ..Progress::default() }),
            leader: parts.leader,
            trigger: parts.trigger,
            replies: HashMap::new(),
            appends: HashMap::new(),
            next_token: 0,
            stopping: Vec::new(),
            stopped: false,
        })
    }

    /// Runs until the quorum is stopped, or every handle is gone.
    ///
    /// # Errors
    /// What no node can go on from.
    pub async fn run(mut self) -> Result<(), RaftError> {
        self.step(Input::Tick)?;
        let mut clean = tokio::time::interval(CLEAN_INTERVAL);
        clean.tick().await;
        while !self.stopped {
            let deadline_ms = self.quorum.next_deadline_ms();
            let wake = tokio::time::Instant::from_std(
                self.clock.instant(
                    deadline_ms
                        .unwrap_or(i64::MAX / 2)
                        .min(self.clock.now_ms() + CLEAN_INTERVAL.as_millis() as i64),
                ),
            );
            tokio::select! {
                event = self.events.recv() => match event {
                    Some(event) => self.handle_event(event)?,
                    None => break,
                },
                command = self.commands.recv() => match command {
                    Some(command) => self.handle_commands(command)?,
                    None => break,
                },
                _ = clean.tick() => self.clean()?,
                () = tokio::time::sleep_until(wake) => self.step(Input::Tick)?,
            }
        }
        self.storage.close()?;
        for reply in self.stopping.drain(..) {
            // Whoever asked may have given up waiting.
            let _ = reply.send(());
        }
        Ok(())
    }

    // ---- what comes in ----

    fn handle_event(&mut self, event: Event) -> Result<(), RaftError> {
        match event {
            Event::Input(input) => self.step(input),
            Event::Flushed { id, outcome } => {
                self.storage.flushed(&outcome?);
                self.step(Input::Flushed { id })
            }
            Event::SnapshotWritten { id, outcome, reply } => self.snapshot_written(id, outcome, reply),
            Event::Unreadable(error) => Err(error),
        }
    }

    /// Takes the command and those that wait behind it; appends in a row become one step, and so share one flush.
    fn handle_commands(&mut self, first: Command) -> Result<(), RaftError> {
        let mut appends = Vec::new();
        let mut next = Some(first);
        let mut taken = 0;
        while let Some(command) = next {
            taken += 1;
            match command {
                Command::Append { epoch, metadata_version, records, reply } => {
                    appends.extend(self.take_append(epoch, metadata_version, &records, reply));
                }
                other => {
                    self.begin_appends(&mut appends)?;
                    self.handle_command(other)?;
                }
            }
            next = if taken < COMMANDS_AT_ONCE { self.commands.try_recv().ok() } else { None };
        }
        self.begin_appends(&mut appends)
    }

    fn begin_appends(&mut self, appends: &mut Vec<NewAppend>) -> Result<(), RaftError> {
        if appends.is_empty() { Ok(()) } else { self.step(Input::Append(std::mem::take(appends))) }
    }

    fn take_append(
        &mut self,
        epoch: i32,
        metadata_version: i16,
        records: &[MetadataRecord],
        reply: oneshot::Sender<Result<i64, AppendError>>,
    ) -> Option<NewAppend> {
        let values = encode(records, metadata_version);
        let refusal = match &values {
            Err(error) => Some(AppendError::Unwritable { metadata_version, reason: error.to_string() }),
            Ok(values) => {
                let records_bytes: usize =
                    values.iter().map(|value| value.len() + MAX_RECORD_OVERHEAD_BYTES).sum();
                let size_bytes = HEADER_BYTES + records_bytes;
                (size_bytes > MAX_BATCH_BYTES)
                    .then_some(AppendError::TooLarge { size_bytes, max_bytes: MAX_BATCH_BYTES })
            }
        };
        match (values, refusal) {
            (Ok(values), None) if !values.is_empty() => {
                self.next_token += 1;
                let (ticket, record_count) =
                    (self.next_token, u32::try_from(values.len()).unwrap_or(u32::MAX));
                self.appends.insert(ticket, PendingAppend { values, epoch, reply });
                Some(NewAppend { ticket, epoch, record_count })
            }
            (_, refusal) => {
                let end = self.quorum.log().end_offset - 1;
                let _ = reply.send(refusal.map_or(Ok(end), Err));
                None
            }
        }
    }

    fn handle_command(&mut self, command: Command) -> Result<(), RaftError> {
        match command {
            // Gathered by the caller.
            Command::Append { reply, .. } => drop(reply),
            Command::Request { request, reply } => {
                self.next_token += 1;
                self.replies.insert(self.next_token, reply);
                self.step(Input::Request { token: self.next_token, request })?;
            }
            Command::Subscribe { events } => self.subscribe(events),
            Command::WriteSnapshot { id, last_contained_log_time_ms, metadata_version, records, reply } => {
                self.begin_snapshot(id, last_contained_log_time_ms, metadata_version, &records, reply);
            }
            Command::Resign { epoch } => self.step(Input::Resign { epoch })?,
            Command::Shutdown { reply } => {
                self.stopping.push(reply);
                let deadline_ms = self.clock.now_ms() + SHUTDOWN_TIMEOUT_MS;
                self.step(Input::Shutdown { deadline_ms })?;
            }
        }
        Ok(())
    }

    fn subscribe(&self, events: mpsc::Sender<RaftEvent>) {
        let feeder = Feeder::new(
            self.storage.reader.clone(),
            self.storage.snapshots.clone(),
            self.progress.subscribe(),
            events,
            self.node_id,
            self.trigger,
        );
        let driver = self.event_sender.clone();
        self.runtime.spawn(async move {
            if let Err(error) = feeder.run().await {
                // Nobody listens to a quorum that has stopped.
                let _ = driver.send(Event::Unreadable(error)).await;
            }
        });
    }

    // ---- snapshots ----

    fn begin_snapshot(
        &mut self,
        id: OffsetAndEpoch,
        last_contained_log_time_ms: i64,
        metadata_version: i16,
        records: &[MetadataRecord],
        reply: oneshot::Sender<Result<(), SnapshotError>>,
    ) {
        let high_watermark = self.quorum.high_watermark().unwrap_or(0);
        let epoch_end = self.quorum.log().end_for_epoch(id.epoch);
        let refusal = if self.storage.has_snapshot(id) || id.offset < self.quorum.log().start_offset {
            Some(Ok(()))
        } else if id.offset > high_watermark {
            Some(Err(SnapshotError::Uncommitted { id, high_watermark }))
        } else if epoch_end.epoch != id.epoch || epoch_end.offset < id.offset {
            Some(Err(SnapshotError::EpochMismatch { id }))
        } else {
            None
        };
        let unwritable =
            |error: RecordError| SnapshotError::Unwritable { metadata_version, reason: error.to_string() };
        let batches = encode(records, metadata_version).and_then(|values| {
            snapshot_batches(id, last_contained_log_time_ms, self.clock.now_ms(), &values)
        });
        match (refusal, batches) {
            (Some(outcome), _) => drop(reply.send(outcome)),
            (None, Err(error)) => drop(reply.send(Err(unwritable(error)))),
            (None, Ok(batches)) => {
                let (files, unique) = (self.storage.snapshots.clone(), self.storage.next_unique());
                let events = self.event_sender.clone();
                self.runtime.spawn_blocking(move || {
                    let outcome = files.write(id, &batches, unique);
                    // A stopped quorum finds the file when it starts again.
                    let _ = events.blocking_send(Event::SnapshotWritten { id, outcome, reply });
                });
            }
        }
    }

    fn snapshot_written(
        &mut self,
        id: OffsetAndEpoch,
        outcome: Result<u64, RaftError>,
        reply: oneshot::Sender<Result<(), SnapshotError>>,
    ) -> Result<(), RaftError> {
        let size_bytes = outcome?;
        if id.offset < self.quorum.log().start_offset {
            // The log was taken over from the leader meanwhile.
            self.storage.snapshots.remove(id)?;
        } else if !self.storage.has_snapshot(id) {
            self.storage.snapshot_written(id, size_bytes);
            self.step(Input::SnapshotCreated { id, size_bytes })?;
            self.tell_snapshot();
        }
        let _ = reply.send(Ok(()));
        self.clean()
    }

    fn tell_snapshot(&self) {
        let latest_snapshot = self.storage.latest_snapshot();
        self.progress.send_modify(|progress| progress.latest_snapshot = latest_snapshot);
    }

    fn clean(&mut self) -> Result<(), RaftError> {
        let high_watermark = self.quorum.high_watermark().unwrap_or(0);
        match self.storage.clean(self.clock.now_ms(), high_watermark)? {
            Some(log_start) => self.step(Input::Cleaned { log_start }),
            None => Ok(()),
        }
    }

    // ---- effects ----

    fn step(&mut self, input: Input) -> Result<(), RaftError> {
        let mut effects = Vec::new();
        let now_ms = self.clock.now_ms();
        tracing::trace!(target: "kafka.raft", "[RaftManager id={}] {input:?}", self.node_id);
        self.quorum.step(now_ms, input, &mut effects)?;
        for effect in effects {
            tracing::trace!(target: "kafka.raft", "[RaftManager id={}] {effect:?}", self.node_id);
            self.carry_out(effect)?;
        }
        Ok(())
    }

    fn carry_out(&mut self, effect: Effect) -> Result<(), RaftError> {
        let now_ms = self.clock.now_ms();
        match effect {
            Effect::Persist(election) => self.storage.persist(election)?,
            Effect::AppendLeaderChange { base_offset, epoch, leader, voters, granting } => {
                self.append_leader_change(base_offset, epoch, leader, &voters, &granting)?;
            }
            Effect::Append { ticket, base_offset, epoch } => self.append(ticket, base_offset, epoch)?,
            Effect::RejectAppend { ticket, current } => {
                if let Some(append) = self.appends.remove(&ticket) {
                    let refusal = AppendError::NotLeader { epoch: append.epoch, current };
                    let _ = append.reply.send(Err(refusal));
                }
            }
            Effect::AppendFetched { records, .. } => self.storage.append(&records, now_ms)?,
            Effect::Truncate { end_offset } => self.storage.truncate(end_offset, now_ms)?,
            Effect::Flush { id } => {
                let plan = self.storage.flush_plan()?;
                // The flusher ends only after this sender.
                let _ = self.flusher.send((id, plan));
            }
            Effect::FlushNow => self.storage.flush_now()?,
            Effect::SnapshotChunk { id, position, bytes } => {
                self.storage.write_chunk(id, position, &bytes)?
            }
            Effect::RestartLogAt { id, .. } => {
                self.storage.restart_at(id, now_ms)?;
                self.tell_snapshot();
            }
            Effect::Send { to, correlation, request } => self.peers.send(to, correlation, request),
            Effect::Reply { token, response } => self.reply(token, response),
            Effect::ReplyFetch { token, response, offset, end, max_bytes } => {
                self.reply_fetch(token, response, (offset, end), max_bytes)?;
            }
            Effect::ReplySnapshot { token, response, id, position, max_bytes } => {
                self.reply_snapshot(token, response, id, position, max_bytes)?;
            }
            Effect::Leader { current, epoch_start } => self.tell_leader(current, epoch_start),
            Effect::HighWatermark(mark) => {
                self.storage.high_watermark_moved(mark);
                self.progress.send_modify(|progress| progress.high_watermark = mark);
            }
            Effect::ShutdownComplete => self.stopped = true,
        }
        Ok(())
    }

    fn append_leader_change(
        &mut self,
        base_offset: i64,
        epoch: i32,
        leader: i32,
        voters: &[i32],
        granting: &[i32],
    ) -> Result<(), RaftError> {
        let voter = |&voter_id: &i32| LeaderChangeVoter { voter_id, ..LeaderChangeVoter::default() };
        let message = LeaderChangeMessage {
            version: 0,
            leader_id: leader,
            voters: voters.iter().map(voter).collect(),
            granting_voters: granting.iter().map(voter).collect(),
            ..LeaderChangeMessage::default()
        };
        let now_ms = self.clock.now_ms();
        let batch = ControlRecord::LeaderChange(message).to_batch(base_offset, epoch, now_ms);
        let batch = batch
            .map_err(|error| RaftError::Undecodable { offset: base_offset, reason: error.to_string() })?;
        self.storage.append(&batch, now_ms)
    }

    fn append(&mut self, ticket: u64, base_offset: i64, epoch: i32) -> Result<(), RaftError> {
        let Some(append) = self.appends.remove(&ticket) else { return Ok(()) };
        let now_ms = self.clock.now_ms();
        let mut builder = BatchBuilder::new(base_offset, epoch);
        for value in &append.values {
            builder.append(now_ms, None, Some(value));
        }
        let last_offset = builder.next_offset() - 1;
        self.storage.append(&builder.build(), now_ms)?;
        // Whoever asked may have given up waiting; the records stand all the same.
        let _ = append.reply.send(Ok(last_offset));
        Ok(())
    }

    fn reply(&mut self, token: u64, response: RaftResponse) {
        if let Some(reply) = self.replies.remove(&token) {
            // The connection may be gone.
            let _ = reply.send(response);
        }
    }

    fn reply_fetch(
        &mut self,
        token: u64,
        mut response: FetchResponse,
        (offset, end): (i64, i64),
        max_bytes: i32,
    ) -> Result<(), RaftError> {
        let records = self.storage.read(offset, end, max_bytes)?;
        if let Some(partition) = response.responses.first_mut().and_then(|topic| topic.partitions.first_mut())
        {
            partition.records = Some(records);
        }
        self.reply(token, RaftResponse::Fetch(response));
        Ok(())
    }

    fn reply_snapshot(
        &mut self,
        token: u64,
        mut response: FetchSnapshotResponse,
        id: OffsetAndEpoch,
        position: i64,
        max_bytes: i32,
    ) -> Result<(), RaftError> {
        let (position, length) =
            (u64::try_from(position).unwrap_or(0), usize::try_from(max_bytes).unwrap_or(0));
        let bytes = self.storage.snapshots.read(id, position, length)?;
        if let Some(partition) = response.topics.first_mut().and_then(|topic| topic.partitions.first_mut()) {
            partition.unaligned_records = bytes;
        }
        self.reply(token, RaftResponse::FetchSnapshot(response));
        Ok(())
    }

    fn tell_leader(&self, current: LeaderAndEpoch, epoch_start: Option<i64>) {
        let (id, state, epoch) = (self.node_id, self.quorum.state_name(), current.epoch);
        let leader = current.leader.map_or_else(|| "unknown".to_owned(), |leader| leader.to_string());
        tracing::info!(
            target: "kafka.raft",
            "[RaftManager id={id}] {state} in epoch {epoch}, leader {leader}"
        );
        self.leader.send_replace(current);
        self.progress.send_modify(|progress| {
            progress.leader = current;
            progress.epoch_start = epoch_start;
        });
    }
}

fn encode(records: &[MetadataRecord], metadata_version: i16) -> Result<Vec<Bytes>, RecordError> {
    records.iter().map(|record| record.encode(record.highest_version_for(metadata_version))).collect()
}

/// Syncs the log beside the quorum's thread, one plan at a time.
fn start_flusher(events: mpsc::Sender<Event>) -> Result<std_mpsc::Sender<(u64, FlushPlan)>, RaftError> {
    let (sender, plans) = std_mpsc::channel::<(u64, FlushPlan)>();
    let run = move || {
        while let Ok((id, plan)) = plans.recv() {
            if events.blocking_send(Event::Flushed { id, outcome: plan.run() }).is_err() {
                break;
            }
        }
    };
    std::thread::Builder::new().name("raft-flush".to_owned()).spawn(run).map_err(RaftError::Thread)?;
    Ok(sender)
}
