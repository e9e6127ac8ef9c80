//! What has to be done now and then: checkpoints, ISR checks, retention, timed flushes, deletions; and the stop.
//!
//! One task with one timer for all partitions. A checkpoint that says nothing new is not written.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jackdaw_log::{Checkpoint, StorageError};
use tokio::time::Instant;

use super::dirs::Dir;
use super::partition::Partition;
use super::shared::Shared;
use crate::clock::{self, SteadyMs, WallMs};

/// `log.retention.check.interval.ms` begins that long after the start (`LogManager.InitialTaskDelayMs`).
const INITIAL_DELAY: Duration = Duration::from_secs(30);
/// How often files and folders whose delay has passed are looked for.
const DELETION_CHECK: Duration = Duration::from_secs(10);

/// A folder that is marked for deletion.
pub(super) struct Doomed {
    pub dir: Arc<Dir>,
    pub folder: PathBuf,
    pub due: SteadyMs,
}

/// What waits for its time.
#[derive(Default)]
pub(super) struct Upkeep {
    doomed: Mutex<Vec<Doomed>>,
}

impl Upkeep {
    pub fn doom(&self, doomed: Doomed) {
        self.doomed.lock().unwrap_or_else(PoisonError::into_inner).push(doomed);
    }

    fn take_due(&self, now: SteadyMs) -> Vec<Doomed> {
        let mut doomed = self.doomed.lock().unwrap_or_else(PoisonError::into_inner);
        let (due, rest) = std::mem::take(&mut *doomed).into_iter().partition(|d| d.due <= now);
        *doomed = rest;
        due
    }
}

/// What is done at an interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    CheckIsr,
    HighWatermarks,
    RecoveryPoints,
    LogStarts,
    Retention,
    TimedFlush,
    ExpireProducers,
    Deletions,
}

struct Timer {
    task: Task,
    every: Duration,
    next: Instant,
}

fn millis(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0).max(1))
}

fn timers(shared: &Shared) -> Vec<Timer> {
    let (replication, storage) = (&shared.options.replication, &shared.options.storage);
    let now = clock::timer();
    let recovery_points = millis(i64::from(storage.flush_offset_checkpoint_interval_ms));
    let log_starts = millis(i64::from(storage.flush_start_offset_checkpoint_interval_ms));
    let high_watermarks = millis(replication.high_watermark_checkpoint_interval_ms);
    let retention = millis(storage.retention_check_interval_ms);
    let check_isr = millis(replication.lag_time_max_ms / 2);
    let producers = millis(i64::from(shared.options.producers.id_expiration_check_interval_ms));
    let mut timers = vec![
        Timer { task: Task::CheckIsr, every: check_isr, next: now + check_isr },
        Timer { task: Task::HighWatermarks, every: high_watermarks, next: now + high_watermarks },
        Timer { task: Task::RecoveryPoints, every: recovery_points, next: now + recovery_points },
        Timer { task: Task::LogStarts, every: log_starts, next: now + log_starts },
        Timer { task: Task::Retention, every: retention, next: now + INITIAL_DELAY.min(retention) },
        Timer { task: Task::ExpireProducers, every: producers, next: now + producers },
        Timer { task: Task::Deletions, every: DELETION_CHECK, next: now + DELETION_CHECK },
    ];
    // `log.flush.scheduler.interval.ms` is practically never by default.
    let flush = storage.flush_scheduler_interval_ms;
    if flush < i64::MAX {
        timers.push(Timer { task: Task::TimedFlush, every: millis(flush), next: now + millis(flush) });
    }
    timers
}

/// Runs until the replica manager is gone.
pub(super) async fn run(shared: std::sync::Weak<Shared>) {
    let Some(mut timers) = shared.upgrade().map(|shared| timers(&shared)) else { return };
    loop {
        let Some(next) = timers.iter().map(|timer| timer.next).min() else { return };
        tokio::time::sleep_until(next).await;
        let Some(shared) = shared.upgrade() else { return };
        let now = clock::timer();
        let mut due = Vec::new();
        for timer in timers.iter_mut().filter(|timer| timer.next <= now) {
            due.push(timer.task);
            timer.next = now + timer.every;
        }
        if due == [Task::Deletions] && !shared.has_deletions() {
            continue;
        }
        let work = shared.context.runtime.spawn_blocking({
            let shared = Arc::clone(&shared);
            move || due.into_iter().for_each(|task| shared.do_task(task))
        });
        drop(shared);
        // A panic is reported where it happens; the next round comes all the same.
        let _ = work.await;
    }
}

impl Shared {
    fn has_deletions(&self) -> bool {
        !self.upkeep.doomed.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn do_task(self: &Arc<Self>, task: Task) {
        let (now, wall) = (clock::steady(), clock::wall());
        match task {
            Task::CheckIsr => self.online().iter().for_each(|partition| partition.check_isr(now)),
            Task::HighWatermarks => self.checkpoint(Checkpoint::Replication, false),
            Task::RecoveryPoints => self.checkpoint(Checkpoint::RecoveryPoint, false),
            Task::LogStarts => {
                self.checkpoint(Checkpoint::LogStart, false);
                self.checkpoint(Checkpoint::Cleaner, false);
            }
            Task::Retention => self.online().iter().for_each(|partition| partition.retain(wall)),
            Task::TimedFlush => self.timed_flush(now),
            Task::ExpireProducers => {
                for partition in self.online() {
                    partition.write(move |writer, _| writer.log.remove_expired_producers(wall.0));
                }
            }
            Task::Deletions => self.delete_due(now),
        }
    }

    /// Flushes logs that were not flushed for `flush.ms` (`LogManager.flushDirtyLogs`).
    fn timed_flush(self: &Arc<Self>, now: SteadyMs) {
        for partition in self.online() {
            partition.write(move |writer, partition| {
                let is_due = now.since(partition.flush.last()) >= writer.log.config().flush_ms;
                if is_due && writer.log.unflushed_records() > 0 {
                    partition.request_flush();
                }
            });
        }
    }

    fn delete_due(&self, now: SteadyMs) {
        for Doomed { dir, folder, .. } in self.upkeep.take_due(now) {
            let removed = dir.log_dir.disk().remove_dir_all(&folder);
            match removed {
                Ok(()) => tracing::info!(
                    target: "kafka.log.LogManager", "Deleted log in {}.", folder.display()
                ),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => dir.failed(&StorageError::new("removing", folder, error)),
            }
        }
    }

    /// Writes one checkpoint of each directory where it says something new.
    fn checkpoint(&self, which: Checkpoint, always: bool) {
        for dir in self.dirs.iter().filter(|dir| dir.is_online()) {
            let is_stale = dir.take_stale(which);
            if (is_stale || always)
                && let Err(error) = self.write_checkpoint(dir, which)
            {
                dir.note(which);
                dir.failed(&error);
            }
        }
    }

    pub fn write_checkpoint(&self, dir: &Arc<Dir>, which: Checkpoint) -> Result<(), StorageError> {
        let offsets: Vec<(Arc<Partition>, i64)> = self
            .online()
            .into_iter()
            .filter(|partition| partition.dir.id == dir.id)
            .filter_map(|partition| {
                let offset = partition.checkpoint(which)?;
                Some((partition, offset))
            })
            .collect();
        let entries = offsets.iter().map(|(partition, offset)| (&partition.tp, *offset));
        dir.log_dir.write_checkpoint(which, entries)
    }

    /// See [`super::ReplicaManager::shutdown`]: logs first, then checkpoints, then the marker.
    pub async fn shutdown(self: &Arc<Self>, broker_epoch: i64) {
        self.fetchers.stop().await;
        self.cleaning.stop();
        let partitions = self.online();
        let each = partitions.len().div_ceil(CLOSED_IN_PARALLEL).max(1);
        let closing = partitions.chunks(each).map(|some| {
            let some = some.to_vec();
            self.context.runtime.spawn_blocking(move || some.iter().for_each(Partition::close))
        });
        for closed in futures_util::future::join_all(closing).await {
            if let Err(error) = closed {
                tracing::error!(target: "kafka.log.LogManager", "Closing logs failed: {error}");
                return;
            }
        }
        let shared = Arc::clone(self);
        let marking = self.context.runtime.spawn_blocking(move || shared.mark_clean(broker_epoch));
        if let Err(error) = marking.await {
            tracing::error!(target: "kafka.log.LogManager", "No clean shutdown was marked: {error}");
        }
    }

    fn mark_clean(&self, broker_epoch: i64) {
        let had_image = self.has_image.load(std::sync::atomic::Ordering::Acquire);
        if !had_image {
            // Nothing was opened, and whatever marker there is still holds.
            return;
        }
        for which in [Checkpoint::Replication, Checkpoint::RecoveryPoint, Checkpoint::LogStart] {
            self.checkpoint(which, true);
        }
        self.checkpoint(Checkpoint::Cleaner, false);
        // A directory that failed stays without its marker: it is recovered at the next start.
        for dir in self.dirs.iter().filter(|dir| dir.is_online()) {
            if let Err(error) = dir.log_dir.write_clean_shutdown(broker_epoch) {
                dir.failed(&error);
            }
        }
    }
}

/// Logs are closed on so many threads: closing waits for the disk.
const CLOSED_IN_PARALLEL: usize = 8;

impl Partition {
    /// What a checkpoint says of this partition; none where the log start is that of the first segment anyway.
    fn checkpoint(self: &Arc<Self>, which: Checkpoint) -> Option<i64> {
        match which {
            Checkpoint::Replication => Some(self.state().replica.high_watermark()),
            Checkpoint::RecoveryPoint => {
                self.write_for(|writer, _| writer.log.recovery_point()).blocking_recv().ok()
            }
            Checkpoint::Cleaner => self.dir.cleaned_to(&self.tp),
            Checkpoint::LogStart => {
                let start = self.reader.log_start_offset();
                let first = self.reader.position_of(start).ok()?;
                (start > first.segment_base_offset).then_some(start)
            }
        }
    }

    fn retain(self: &Arc<Self>, now: WallMs) {
        self.write(move |writer, partition| {
            if writer.closed {
                return;
            }
            let high_watermark = partition.state().replica.high_watermark();
            let before = writer.log.log_start_offset();
            match writer.log.enforce_retention(now.0, high_watermark) {
                Ok(_) if writer.log.log_start_offset() != before => {
                    partition.dir.log_starts_moved();
                    partition.state().tell(super::interest::Change::LogStart);
                }
                Ok(_) => {}
                Err(error) => partition.storage_failed(&error),
            }
        });
    }

    /// Brings the log to the disk as a clean stop asks for. Nothing is written after it.
    fn close(self: &Arc<Self>) {
        let closed = self.write_for(|writer, partition| {
            if std::mem::replace(&mut writer.closed, true) {
                return;
            }
            if let Err(error) = writer.log.close_clean() {
                partition.storage_failed(&error);
            }
        });
        // Dropped unanswered only when the runtime is gone, and then nobody marks a clean stop.
        let _ = closed.blocking_recv();
    }
}
