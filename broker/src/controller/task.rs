//! The one task that runs the pure controller: decides, appends in order, and answers when it is committed.

use crate::loader::LogEvent;
use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use jackdaw_metadata::ApplyError;
use jackdaw_metadata::controller::{ApiError, Controller, LogStart, Request, Response as Reply, TickReason};
use jackdaw_wire::{ErrorCode, MetadataRecord};
use tokio::sync::{mpsc, oneshot};

use super::{Call, ControllerOptions, Gone};
use crate::clock::{self, SteadyMs};
use crate::raft::{AppendError, LeaderAndEpoch, RaftHandle};

const LOGGER: &str = "org.apache.kafka.controller.QuorumController";
const REPLICATION_LOGGER: &str = "org.apache.kafka.controller.ReplicationControlManager";
/// Batches that may wait for the log; beyond these, requests wait.
const APPEND_QUEUE: usize = 256;
/// Records that are appended as one batch at most, where several requests came together.
const MAX_RECORDS_TOGETHER: usize = 4_000;
/// Requests held while this node knows itself elected and has not taken over yet.
const MAX_HELD: usize = 1_024;

/// The controller's task.
pub(super) struct Task {
    options: ControllerOptions,
    active: Option<Active>,
    /// The leader as the loader last told.
    leader: LeaderAndEpoch,
    waiting: VecDeque<Waiting>,
    held: Vec<Call>,
    gone: HashSet<Gone>,
    appends: mpsc::Sender<Batch>,
    failures: mpsc::Receiver<Failure>,
}

struct Active {
    epoch: i32,
    controller: Controller,
    committed_offset: i64,
}

/// A reply that waits for its offset.
struct Waiting {
    commit_offset: i64,
    request: Request,
    reply: Reply,
    to: oneshot::Sender<Reply>,
}

/// Records on their way to the log.
struct Batch {
    epoch: i32,
    metadata_version: i16,
    records: Vec<MetadataRecord>,
    /// The offset that the last record was given when it was made.
    last_offset: i64,
}

/// The log did not take what was decided: the controller must go.
struct Failure {
    epoch: i32,
    reason: String,
    /// Another leads by now, as it must when a quorum elects: no error (Kafka's `NotLeaderException` is no fault either).
    is_deposed: bool,
}

impl Task {
    pub(super) fn new(options: ControllerOptions) -> Self {
        let (appends, append_queue) = mpsc::channel(APPEND_QUEUE);
        let (failed, failures) = mpsc::channel(1);
        tokio::spawn(append_all(options.raft.clone(), append_queue, failed));
        Self {
            options,
            active: None,
            leader: LeaderAndEpoch::default(),
            waiting: VecDeque::new(),
            held: Vec::new(),
            gone: HashSet::new(),
            appends,
            failures,
        }
    }

    pub(super) async fn run(
        mut self,
        mut calls: mpsc::Receiver<Call>,
        mut events: mpsc::Receiver<LogEvent>,
        mut gone: mpsc::Receiver<Gone>,
    ) {
        loop {
            let deadline = self.next_deadline();
            // Commits first: replies are what everyone waits for.
            tokio::select! {
                biased;
                event = events.recv() => match event {
                    Some(event) => self.event(event).await,
                    None => return,
                },
                Some(failure) = self.failures.recv() => self.failed(failure).await,
                Some(gone) = gone.recv() => self.broker_gone(gone).await,
                () = tokio::time::sleep_until(deadline.into()) => self.tick().await,
                call = calls.recv() => match call {
                    Some(call) => self.call(call).await,
                    None => return,
                },
            }
        }
    }

    fn next_deadline(&self) -> Instant {
        const NEVER: Duration = Duration::from_secs(3_600);
        let due_ms = self.active.as_ref().and_then(|active| active.controller.next_deadline_ms());
        match due_ms {
            Some(due_ms) => SteadyMs(due_ms).instant(),
            None => clock::now() + NEVER,
        }
    }

    async fn event(&mut self, event: LogEvent) {
        match event {
            LogEvent::Committed(offset) => self.committed(offset),
            LogEvent::Leader { leader, log } => {
                self.leader = leader;
                self.stand_down(&refusal(leader));
                match log {
                    Some(log) => self.take_over(leader.epoch, *log).await,
                    None => self.refuse_held(),
                }
            }
        }
    }

    fn committed(&mut self, offset: i64) {
        let Some(active) = &mut self.active else { return };
        active.committed_offset = offset;
        while self.waiting.front().is_some_and(|waiting| waiting.commit_offset <= offset) {
            if let Some(waiting) = self.waiting.pop_front() {
                // Who asked may have gone away; what was decided stands.
                let _ = waiting.to.send(waiting.reply);
            }
        }
    }

    async fn take_over(&mut self, epoch: i32, log: LogStart) {
        let committed_offset = log.next_offset - 1;
        tracing::info!(
            target: LOGGER,
            "[QuorumController id={}] Becoming the active controller at epoch {epoch}, next write offset {}.",
            self.options.raft.node_id(),
            log.next_offset
        );
        let schema = std::sync::Arc::new(self.options.schema.clone());
        match Controller::activate(self.options.settings.clone(), schema, log, clock::steady().0) {
            Ok((controller, records)) => {
                self.active = Some(Active { epoch, controller, committed_offset });
                self.append(records).await;
                for gone in std::mem::take(&mut self.gone) {
                    self.broker_gone(gone).await;
                }
                for call in std::mem::take(&mut self.held) {
                    self.call(call).await;
                }
            }
            Err(error) => {
                let reason = error.to_string();
                self.failed(Failure { epoch, reason, is_deposed: false }).await;
            }
        }
    }

    /// Drops the controller with everything that is not committed, and tells everyone who waits to ask elsewhere.
    fn stand_down(&mut self, error: &ApiError) {
        if let Some(active) = self.active.take() {
            tracing::info!(
                target: LOGGER,
                "[QuorumController id={}] No longer the active controller of epoch {}.",
                self.options.raft.node_id(),
                active.epoch
            );
        }
        for waiting in self.waiting.drain(..) {
            let _ = waiting.to.send(waiting.request.refuse(error));
        }
    }

    fn refuse_held(&mut self) {
        let error = refusal(self.leader);
        for call in self.held.drain(..) {
            let _ = call.reply.send(call.request.refuse(&error));
        }
    }

    async fn failed(&mut self, failure: Failure) {
        let current = self.active.as_ref().map_or(self.leader.epoch, |active| active.epoch);
        if failure.epoch != current {
            return;
        }
        let (id, Failure { epoch, reason, .. }) = (self.options.raft.node_id(), &failure);
        if failure.is_deposed {
            tracing::info!(target: LOGGER, "[QuorumController id={id}] Giving up epoch {epoch}: {reason}");
        } else {
            tracing::error!(target: LOGGER, "[QuorumController id={id}] Giving up epoch {epoch}: {reason}");
        }
        self.stand_down(&ApiError::new(ErrorCode::NotController, "No controller appears to be active."));
        self.refuse_held();
        self.options.raft.resign(failure.epoch).await;
    }

    async fn call(&mut self, call: Call) {
        let now_ms = clock::steady().0;
        let Some(active) = &mut self.active else {
            let elected = self.options.raft.leader().borrow().is_leader(self.options.raft.node_id());
            if elected && self.held.len() < MAX_HELD {
                self.held.push(call);
            } else {
                let error = refusal(*self.options.raft.leader().borrow());
                let _ = call.reply.send(call.request.refuse(&error));
            }
            return;
        };
        let Call { api_version, request, reply } = call;
        match active.controller.handle(now_ms, rand::random(), api_version, &request) {
            Ok(outcome) => {
                if outcome.commit_offset <= active.committed_offset {
                    let _ = reply.send(outcome.response);
                } else {
                    let (commit_offset, to) = (outcome.commit_offset, reply);
                    self.waiting.push_back(Waiting { commit_offset, request, reply: outcome.response, to });
                }
                self.append(outcome.records).await;
            }
            Err(error) => self.contradicted(&error).await,
        }
    }

    async fn broker_gone(&mut self, gone: Gone) {
        let now_ms = clock::steady().0;
        match &mut self.active {
            None => {
                // One entry a broker: what was heard of its earlier registrations is void.
                self.gone.retain(|other| other.broker != gone.broker);
                self.gone.insert(gone);
            }
            Some(active) => match active.controller.broker_gone(gone.broker, gone.epoch, now_ms) {
                Ok(Some(tick)) => self.acted(tick.reason, tick.records).await,
                Ok(None) => {}
                Err(error) => self.contradicted(&error).await,
            },
        }
    }

    async fn tick(&mut self) {
        let now_ms = clock::steady().0;
        let Some(active) = &mut self.active else { return };
        match active.controller.tick(now_ms) {
            Ok(Some(tick)) => self.acted(tick.reason, tick.records).await,
            Ok(None) => {}
            Err(error) => self.contradicted(&error).await,
        }
    }

    async fn acted(&mut self, reason: TickReason, records: Vec<MetadataRecord>) {
        let me = self.options.raft.node_id();
        match reason {
            TickReason::NoOp => {}
            TickReason::SessionTimeout { broker } => tracing::info!(
                target: REPLICATION_LOGGER,
                "[QuorumController id={me}] Fencing broker {broker} because its session has timed out."
            ),
            TickReason::BrokerGone { broker } => tracing::info!(
                target: REPLICATION_LOGGER,
                "[QuorumController id={me}] Broker {broker} leads nothing any more because its connection was closed \
                 and a new one is refused. It is fenced when its session ends."
            ),
            TickReason::Rebalance { partitions } => tracing::info!(
                target: REPLICATION_LOGGER,
                "[QuorumController id={me}] Electing the preferred leader of {partitions} partition(s)."
            ),
        }
        self.append(records).await;
    }

    async fn contradicted(&mut self, error: &ApplyError) {
        let epoch = self.active.as_ref().map_or(self.leader.epoch, |active| active.epoch);
        let reason = format!("a record of its own contradicts the image: {error}");
        self.failed(Failure { epoch, reason, is_deposed: false }).await;
    }

    async fn append(&mut self, records: Vec<MetadataRecord>) {
        let Some(active) = &self.active else { return };
        if records.is_empty() {
            return;
        }
        let batch = Batch {
            epoch: active.epoch,
            metadata_version: active.controller.metadata_version(),
            last_offset: active.controller.next_offset() - 1,
            records,
        };
        // The other side ends with the quorum, and then the loader's events end this task.
        let _ = self.appends.send(batch).await;
    }
}

/// What one who asks the wrong node is told (`ControllerExceptions.newWrongControllerException`).
fn refusal(leader: LeaderAndEpoch) -> ApiError {
    let text = match leader.leader {
        Some(id) => format!("The active controller appears to be node {id}."),
        None => "No controller appears to be active.".to_owned(),
    };
    ApiError::new(ErrorCode::NotController, text)
}

/// Appends batches in order; those that wait together go into the log together, which is as atomic as each was.
async fn append_all(raft: RaftHandle, mut queue: mpsc::Receiver<Batch>, failed: mpsc::Sender<Failure>) {
    let mut next = None;
    // After a failure the rest of the epoch is void.
    let mut void_epoch = None;
    loop {
        let first = match next.take() {
            Some(batch) => Some(batch),
            None => queue.recv().await,
        };
        let Some(mut batch) = first else { return };
        while let Ok(more) = queue.try_recv() {
            let fits = more.epoch == batch.epoch
                && more.metadata_version == batch.metadata_version
                && batch.records.len() + more.records.len() <= MAX_RECORDS_TOGETHER;
            if !fits {
                next = Some(more);
                break;
            }
            batch.records.extend(more.records);
            batch.last_offset = more.last_offset;
        }
        let epoch = batch.epoch;
        if void_epoch == Some(epoch) {
            continue;
        }
        let (reason, is_deposed) = match raft.append(epoch, batch.metadata_version, batch.records).await {
            Ok(offset) if offset == batch.last_offset => continue,
            Ok(offset) => {
                (format!("the log gave offset {offset} to a record meant for {}", batch.last_offset), false)
            }
            Err(AppendError::Stopped) => return,
            Err(error) => (error.to_string(), matches!(error, AppendError::NotLeader { .. })),
        };
        void_epoch = Some(epoch);
        if failed.send(Failure { epoch, reason, is_deposed }).await.is_err() {
            return;
        }
    }
}
