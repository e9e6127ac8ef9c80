//! One local replica: its log's writer, its state, and everyone who waits for it.
//!
//! The writer is owned by whoever writes at the moment: a submission either finds it at home and runs at once, on
//! the caller's thread, or queues behind the one that has it. So one thread at a time writes a partition, in the
//! order of submissions, no lock is held across I/O, and an idle partition has no task. State and waiters are
//! behind a lock of their own that is never held across I/O or an await.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use jackdaw_log::{Log, LogConfig, LogReader, StorageError};
use jackdaw_metadata::BrokerRegistration;
use jackdaw_replication::{
    AlterOutcome, BrokerView, Brokers, CommittedIsr, Effects, LeaderState, Proposal, Replica,
};
use jackdaw_wire::{ErrorCode, TopicPartition, Uuid};
use tokio::sync::{Notify, oneshot};

use super::dirs::Placed;
use super::flush::FlushGate;
use super::interest::{Change, Interest, Subscriber};
use super::pending::Pending;
use super::sink::{AlterPartitionSink, IsrChange};
use crate::clock::{self, SteadyMs};

/// So many jobs of others a submitter runs before it passes the writer on.
const FAIR_JOBS: usize = 32;

/// What all partitions of a broker share.
pub(super) struct Context {
    pub node_id: i32,
    pub sink: Arc<dyn AlterPartitionSink>,
    pub runtime: tokio::runtime::Handle,
    pub brokers: RwLock<Arc<BTreeMap<i32, Arc<BrokerRegistration>>>>,
}

impl Context {
    pub fn brokers(&self) -> BrokersOf {
        BrokersOf(Arc::clone(&self.brokers.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// The brokers of the present image, as the replication rules ask for them.
pub(super) struct BrokersOf(Arc<BTreeMap<i32, Arc<BrokerRegistration>>>);

impl Brokers for BrokersOf {
    fn broker(&self, id: i32) -> Option<BrokerView> {
        let broker = self.0.get(&id)?;
        Some(BrokerView {
            epoch: broker.epoch,
            fenced: broker.fenced,
            shutting_down: broker.in_controlled_shutdown,
        })
    }
}

/// A job for the writer.
type Job = Box<dyn FnOnce(&mut Writer, &Arc<Partition>) + Send>;

/// What only the one who writes may touch.
pub(super) struct Writer {
    pub log: Log,
    /// The log is closed or gone: nothing may be written any more.
    pub closed: bool,
}

#[derive(Default)]
struct Cell {
    /// Away while someone writes.
    writer: Option<Box<Writer>>,
    /// Not empty only while the writer is away.
    queue: VecDeque<Job>,
}

/// A producer that waits for this partition.
struct Ack {
    /// Exclusive end offset of its records.
    required: i64,
    pending: Arc<Pending>,
    slot: usize,
}

/// Role, waiters and readers.
pub(super) struct State {
    pub replica: Replica,
    subscribers: Vec<Subscriber>,
    /// acks=all, by required offset.
    acks: VecDeque<Ack>,
    /// acks=1 whose records are to be flushed first.
    local_acks: VecDeque<Ack>,
    /// How many of them may be of producers that have given up.
    given_up: usize,
    /// How far the log counts as held here: behind its end only while a flush is owed.
    pub durable_end: i64,
}

/// One local replica.
pub(super) struct Partition {
    pub tp: TopicPartition,
    pub topic_id: Uuid,
    pub dir: Placed,
    pub reader: LogReader,
    pub context: Arc<Context>,
    pub flush: FlushGate,
    /// As the log has it, for whoever need not wait for the writer.
    pub config: RwLock<Arc<LogConfig>>,
    state: Mutex<State>,
    cell: Mutex<Cell>,
    /// No longer served here: readers look the partition up again.
    gone: AtomicBool,
    /// The log start of a replica moved, or whose counts may have changed.
    pub log_starts: Notify,
}

/// Whether `flush.messages` asks for a flush before anything more is promised.
pub(super) fn owes_flush(log: &Log) -> bool {
    let limit = log.config().flush_messages;
    limit != i64::MAX && log.unflushed_records() >= limit
}

/// How far the log counts as held here. Nobody knows of an opened log that more of it was synced than its recovery
/// point says.
pub(super) fn held_end(log: &Log) -> i64 {
    if owes_flush(log) { log.flushed_offset() } else { log.log_end_offset() }
}

/// What is left to do once the state is unlocked.
#[derive(Default)]
pub(super) struct After {
    done: Vec<(Ack, Option<ErrorCode>)>,
    proposal: Option<Proposal>,
}

/// Broker ids as Kafka's log has them.
pub(super) fn ids(brokers: impl Iterator<Item = i32>) -> String {
    brokers.map(|id| id.to_string()).collect::<Vec<_>>().join(",")
}

impl Partition {
    pub fn new(log: Log, topic_id: Uuid, dir: Placed, context: Arc<Context>, replica: Replica) -> Arc<Self> {
        let reader = log.reader();
        let durable_end = held_end(&log);
        let config = RwLock::new(Arc::clone(log.config()));
        let state = State {
            replica,
            subscribers: Vec::new(),
            acks: VecDeque::new(),
            local_acks: VecDeque::new(),
            given_up: 0,
            durable_end,
        };
        let cell = Cell { writer: Some(Box::new(Writer { log, closed: false })), queue: VecDeque::new() };
        Arc::new(Self {
            tp: reader.partition().clone(),
            topic_id,
            dir,
            reader,
            context,
            flush: FlushGate::new(clock::steady()),
            config,
            state: Mutex::new(state),
            cell: Mutex::new(cell),
            gone: AtomicBool::new(false),
            log_starts: Notify::new(),
        })
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cell(&self) -> MutexGuard<'_, Cell> {
        self.cell.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn config(&self) -> Arc<LogConfig> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Runs the job with the writer: now, or in its turn.
    pub fn write(self: &Arc<Self>, job: impl FnOnce(&mut Writer, &Arc<Self>) + Send + 'static) {
        let mut writer = {
            let mut cell = self.cell();
            match cell.writer.take() {
                Some(writer) => writer,
                None => return cell.queue.push_back(Box::new(job)),
            }
        };
        job(&mut writer, self);
        self.run_queued(writer);
    }

    /// As [`Partition::write`]; the result arrives when the job has run. An error means that the node stops.
    pub fn write_for<T: Send + 'static>(
        self: &Arc<Self>,
        job: impl FnOnce(&mut Writer, &Arc<Self>) -> T + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (result, receiver) = oneshot::channel();
        // Nobody may be waiting for the result any more, which changes nothing about the job.
        self.write(move |writer, partition| drop(result.send(job(writer, partition))));
        receiver
    }

    fn run_queued(self: &Arc<Self>, mut writer: Box<Writer>) {
        for _ in 0..FAIR_JOBS {
            let job = {
                let mut cell = self.cell();
                match cell.queue.pop_front() {
                    Some(job) => job,
                    None => {
                        cell.writer = Some(writer);
                        return;
                    }
                }
            };
            job(&mut writer, self);
        }
        let partition = Arc::clone(self);
        self.context.runtime.spawn(async move { partition.run_queued(writer) });
    }

    /// Adds a reader, which from here on hears of changes.
    pub fn subscribe(&self, interest: &Arc<Interest>, slot: u32) {
        self.state().subscribers.push(Subscriber::new(interest, slot));
    }

    pub fn unsubscribe(&self, interest: &Arc<Interest>, slot: u32) {
        self.state().subscribers.retain(|s| !s.is(interest, slot));
    }

    /// Acts on effects that were decided with the state unlocked again.
    pub fn finish(self: &Arc<Self>, after: After) {
        for (ack, error) in after.done {
            ack.pending.complete(ack.slot, error);
        }
        if let Some(proposal) = after.proposal {
            self.propose(proposal);
        }
    }

    fn propose(self: &Arc<Self>, proposal: Proposal) {
        tracing::debug!(
            target: "kafka.cluster.Partition",
            "[Partition {} broker={}] Submitting the ISR {} of leader epoch {} and partition epoch {}",
            self.tp, self.context.node_id, ids(proposal.isr.iter().map(|member| member.broker)),
            proposal.leader_epoch, proposal.partition_epoch
        );
        let id = proposal.id;
        let change = IsrChange {
            topic: Arc::clone(&self.tp.topic),
            topic_id: self.topic_id,
            partition: self.tp.partition,
            leader_epoch: proposal.leader_epoch,
            partition_epoch: proposal.partition_epoch,
            isr: proposal.isr,
            leader_recovery_state: 0,
        };
        let partition = Arc::downgrade(self);
        let done = move |answer| {
            if let Some(partition) = partition.upgrade() {
                partition.altered(id, answer);
            }
        };
        self.context.sink.submit(change, Box::new(done));
    }

    /// The controller's answer to an ISR change.
    fn altered(self: &Arc<Self>, id: u64, answer: Result<CommittedIsr, ErrorCode>) {
        let brokers = self.context.brokers();
        let error = answer.as_ref().err().copied();
        let mut after = After::default();
        let mut again = None;
        {
            let mut state = self.state();
            let Some(leader) = state.replica.as_leader_mut() else { return };
            let (outcome, effects) = leader.altered(id, answer, clock::steady().0, &brokers);
            match outcome {
                AlterOutcome::Committed => {
                    let (isr, epoch) = (leader.isr().to_vec(), leader.partition_epoch());
                    state.settle(self, effects, &mut after);
                    state.reconsider(self, &brokers, &mut after);
                    drop(state);
                    self.log_isr(&isr, epoch);
                }
                // Whoever waits to join asks again with its next fetch.
                AlterOutcome::Reset => state.tell_followers_quietly(),
                AlterOutcome::Retry(proposal) => again = Some(proposal),
                AlterOutcome::Stale | AlterOutcome::AwaitMetadata => {}
            }
        }
        if let Some(error) = error {
            tracing::info!(
                target: "kafka.cluster.Partition",
                "[Partition {} broker={}] Failed to alter partition: {error}",
                self.tp, self.context.node_id
            );
        }
        self.finish(after);
        if let Some(proposal) = again {
            self.propose(proposal);
        }
    }

    fn log_isr(&self, isr: &[i32], partition_epoch: i32) {
        tracing::info!(
            target: "kafka.cluster.Partition",
            "[Partition {} broker={}] ISR updated to {} and version updated to {partition_epoch}",
            self.tp, self.context.node_id, ids(isr.iter().copied())
        );
    }

    /// Looks for members of the ISR that lag, as `isr-expiration` does.
    pub fn check_isr(self: &Arc<Self>, now: SteadyMs) {
        let mut after = After::default();
        {
            let mut state = self.state();
            state.refresh_followers();
            let Some(leader) = state.replica.as_leader_mut() else { return };
            let effects = leader.check_isr(now.0);
            if let Some(proposal) = &effects.alter_partition {
                tracing::info!(
                    target: "kafka.cluster.Partition",
                    "[Partition {} broker={}] Shrinking ISR from {} to {}. Leader: (highWatermark: {}, endOffset: {}).",
                    self.tp, self.context.node_id, ids(leader.isr().iter().copied()),
                    ids(proposal.isr.iter().map(|member| member.broker)), leader.high_watermark(),
                    leader.log_end()
                );
            }
            state.settle(self, effects, &mut after);
        }
        self.finish(after);
    }

    /// Brokers changed in the image: someone may join now.
    pub fn reconsider(self: &Arc<Self>) {
        let brokers = self.context.brokers();
        let mut after = After::default();
        self.state().reconsider(self, &brokers, &mut after);
        self.finish(after);
    }

    /// A producer waits no longer: its time is over, or its connection.
    pub fn gave_up(&self) {
        let mut state = self.state();
        state.given_up += 1;
        // Not for each of them: where nothing gets committed, very many may be waiting.
        if 2 * state.given_up >= state.acks.len() + state.local_acks.len() {
            state.given_up = 0;
            state.acks.retain(|ack| !ack.pending.is_done());
            state.local_acks.retain(|ack| !ack.pending.is_done());
        }
    }

    /// How many acknowledgements are owed.
    #[cfg(test)]
    pub fn owed(&self) -> usize {
        let state = self.state();
        state.acks.len() + state.local_acks.len()
    }

    /// A follower's broker lost a log directory, maybe that of its replica.
    pub fn must_fetch_again(&self, broker: i32) {
        if let Some(leader) = self.state().replica.as_leader_mut() {
            leader.must_fetch_again(broker);
        }
    }

    /// The log is flushed up to here.
    pub fn flushed(self: &Arc<Self>, up_to: i64) {
        let brokers = self.context.brokers();
        let mut after = After::default();
        {
            let mut state = self.state();
            state.durable_end = state.durable_end.max(up_to);
            state.release_local(&mut after);
            let effects =
                state.replica.as_leader_mut().map(|l| l.flushed(up_to, clock::steady().0, &brokers));
            state.settle(self, effects.unwrap_or_default(), &mut after);
        }
        self.finish(after);
    }

    /// The directory failed, or the partition leaves this broker: everyone who waits hears of it.
    pub fn go_offline(self: &Arc<Self>, error: ErrorCode, gone: bool) {
        if gone {
            self.gone.store(true, Ordering::Release);
        }
        let mut after = After::default();
        {
            let mut state = self.state();
            state.replica.go_offline();
            state.fail_waiting(error, &mut after);
            state.tell(Change::Role);
        }
        self.finish(after);
        self.log_starts.notify_waiters();
    }

    /// A storage error concerns the whole directory.
    pub fn storage_failed(self: &Arc<Self>, error: &StorageError) {
        self.dir.failed(error);
    }
}

impl State {
    /// Tells every reader, and forgets those that are gone.
    pub fn tell(&mut self, change: Change) {
        self.subscribers.retain(|s| s.tell(change));
    }

    fn tell_followers_quietly(&mut self) {
        self.tell(Change::LogStart);
    }

    /// Turns effects into what is to be done after the lock, and tells readers.
    pub fn settle(&mut self, partition: &Arc<Partition>, effects: Effects, after: &mut After) {
        if let Some(high_watermark) = effects.high_watermark {
            partition.dir.high_watermarks_moved();
            self.release_committed(after);
            self.tell(Change::HighWatermark);
            if partition.reader.has_ended_transactions() {
                let partition = Arc::clone(partition);
                let runtime = partition.context.runtime.clone();
                // Behind the lock's back: the writer may be taken by someone who waits for this lock.
                runtime.spawn(async move {
                    partition.write(move |writer, _| writer.log.high_watermark_moved(high_watermark));
                });
            }
        }
        if effects.alter_partition.is_some() {
            after.proposal = effects.alter_partition;
        }
    }

    /// Takes note that followers which had nothing left to ask for have fetched since.
    pub fn refresh_followers(&mut self) {
        let Some(leader) = self.replica.as_leader_mut() else { return };
        for (broker, fetched_ms) in self.subscribers.iter().filter_map(Subscriber::follower) {
            leader.still_caught_up(broker, fetched_ms);
        }
    }

    fn reconsider(&mut self, partition: &Arc<Partition>, brokers: &BrokersOf, after: &mut After) {
        let Some(leader) = self.replica.as_leader_mut() else { return };
        let waiting: Vec<i32> =
            leader.remotes().iter().map(|r| r.broker).filter(|b| leader.is_waiting_to_join(*b)).collect();
        for broker in waiting {
            let Some(leader) = self.replica.as_leader_mut() else { return };
            let effects = leader.reconsider(broker, brokers);
            self.settle(partition, effects, after);
        }
    }

    /// Adds a producer that waits for all of the ISR.
    pub fn wait_for_all(&mut self, required: i64, pending: Arc<Pending>, slot: usize) {
        if pending.is_done() {
            return;
        }
        let at = self.acks.partition_point(|ack| ack.required <= required);
        self.acks.insert(at, Ack { required, pending, slot });
    }

    /// Adds a producer that waits for the local flush.
    pub fn wait_for_flush(&mut self, required: i64, pending: Arc<Pending>, slot: usize) {
        if pending.is_done() {
            return;
        }
        let at = self.local_acks.partition_point(|ack| ack.required <= required);
        self.local_acks.insert(at, Ack { required, pending, slot });
    }

    /// Lets go of producers whose records are committed.
    pub fn release_committed(&mut self, after: &mut After) {
        let Some(leader) = self.replica.as_leader() else { return };
        release(&mut self.acks, leader, after);
    }

    fn release_local(&mut self, after: &mut After) {
        let is_flushed = |ack: &Ack| ack.required <= self.durable_end;
        while self.local_acks.front().is_some_and(is_flushed) {
            after.done.extend(self.local_acks.pop_front().map(|ack| (ack, None)));
        }
    }

    /// Whoever waits here waits for nothing any more.
    pub fn fail_waiting(&mut self, error: ErrorCode, after: &mut After) {
        let waiting = self.acks.drain(..).chain(self.local_acks.drain(..));
        after.done.extend(waiting.map(|ack| (ack, Some(error))));
    }
}

fn release(acks: &mut VecDeque<Ack>, leader: &LeaderState, after: &mut After) {
    while let Some(outcome) = acks.front().and_then(|ack| leader.acknowledged(ack.required)) {
        after.done.extend(acks.pop_front().map(|ack| (ack, outcome.err())));
    }
}
