//! The cleaner: compacts what is compacted, the filthiest log first, on threads of its own (`LogCleaner`,
//! `LogCleanerManager`). What compaction is, is `jackdaw-log`'s; which log, when and how fast is decided here.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use jackdaw_log::{Checkpoint, CleanError, CleanOptions, CleanStats, Cleanable, MapBudget, ReadError};
use jackdaw_wire::Uuid;
use tokio::sync::watch;

use super::partition::Partition;
use super::shared::Shared;
use crate::clock;
use crate::config::CleanerConfig;

/// A thread that waits because of `log.cleaner.io.max.bytes.per.second` looks up this often.
const NAP: Duration = Duration::from_millis(100);

/// What the threads know of each other.
pub(super) struct CleaningState {
    busy: Mutex<Busy>,
    /// The orders of the threads there are; others make other threads. None where nobody compacts, or no more.
    orders: watch::Sender<Option<Orders>>,
}

/// Threads of different orders are told apart by the place in memory.
type Orders = Arc<CleanerConfig>;

impl Default for CleaningState {
    fn default() -> Self {
        Self { busy: Mutex::default(), orders: watch::Sender::new(None) }
    }
}

#[derive(Default)]
struct Busy {
    cleaning: HashSet<(Uuid, i32)>,
    /// Their records could not be read; they stay as they are until the next start.
    uncleanable: HashSet<(Uuid, i32)>,
}

impl CleaningState {
    fn busy(&self) -> MutexGuard<'_, Busy> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whoever compacts gives up at the next batch.
    pub fn stop(&self) {
        self.orders.send_replace(None);
    }

    #[cfg(test)]
    pub fn is_busy(&self) -> bool {
        !self.busy().cleaning.is_empty()
    }

    fn are_over(&self, orders: &Orders) -> bool {
        self.orders.borrow().as_ref().is_none_or(|now| !Arc::ptr_eq(now, orders))
    }
}

/// Starts `log.cleaner.threads` threads.
pub(super) fn start(shared: &Arc<Shared>, config: &CleanerConfig) {
    if !config.enable {
        return;
    }
    let orders = Arc::new(config.clone());
    shared.cleaning.orders.send_replace(Some(Arc::clone(&orders)));
    shared.start_cleaners(&orders);
}

/// Other threads take over from those there are, which give up at the next batch (`LogCleaner.reconfigure`). Nothing
/// happens where nobody compacts.
pub(super) fn reconfigure(shared: &Arc<Shared>, config: &CleanerConfig) {
    let wanted = Arc::new(config.clone());
    let is_news = shared.cleaning.orders.send_if_modified(|orders| match orders {
        Some(now) if **now != *wanted => {
            *now = Arc::clone(&wanted);
            true
        }
        _ => false,
    });
    if is_news {
        shared.start_cleaners(&wanted);
    }
}

async fn run(shared: Weak<Shared>, number: i32, orders: Orders) {
    let backoff = Duration::from_millis(u64::try_from(orders.backoff_ms).unwrap_or(0).max(1));
    let Some(mut changed) = shared.upgrade().map(|shared| shared.cleaning.orders.subscribe()) else { return };
    loop {
        let work = {
            let Some(shared) = shared.upgrade().filter(|shared| !shared.cleaning.are_over(&orders)) else {
                return;
            };
            shared.grab_filthiest().map(|(partition, cleanable)| {
                let (runtime, orders) = (shared.context.runtime.clone(), Arc::clone(&orders));
                runtime.spawn_blocking(move || shared.clean(&partition, &cleanable, number, &orders))
            })
        };
        let cleaned = match work {
            None => false,
            // A panic is reported where it happens; the log stays marked as busy, and is left alone.
            Some(work) => work.await.unwrap_or(false),
        };
        if !cleaned {
            // Other orders, or the end, wake whoever sleeps.
            drop(tokio::time::timeout(backoff, changed.changed()).await);
        }
    }
}

impl Shared {
    fn start_cleaners(self: &Arc<Self>, orders: &Orders) {
        for number in 0..orders.threads {
            self.context.runtime.spawn(run(Arc::downgrade(self), number, Arc::clone(orders)));
        }
    }

    /// The log of which the largest part is dirty, if it is time for any. It counts as busy from here on.
    fn grab_filthiest(&self) -> Option<(Arc<Partition>, Cleanable)> {
        let now_ms = clock::wall().0;
        let mut busy = self.cleaning.busy();
        let mut filthiest: Option<(Arc<Partition>, Cleanable)> = None;
        for partition in self.online() {
            let (key, config) = ((partition.topic_id, partition.tp.partition), partition.config());
            if !config.compact || busy.cleaning.contains(&key) || busy.uncleanable.contains(&key) {
                continue;
            }
            let checkpoint = partition.dir.cleaned_to(&partition.tp);
            let high_watermark = partition.state().replica.high_watermark();
            let cleanable = match partition.reader.cleanable(checkpoint, high_watermark, &config, now_ms) {
                Ok(cleanable) => cleanable,
                Err(ReadError::Storage(error)) => {
                    partition.storage_failed(&error);
                    continue;
                }
                Err(_) => continue,
            };
            if cleanable.checkpoint_is_wrong {
                partition.dir.set_cleaned(&partition.tp, cleanable.first_dirty_offset);
            }
            let is_filthier =
                filthiest.as_ref().is_none_or(|(_, other)| cleanable.dirty_ratio() > other.dirty_ratio());
            if cleanable.is_due(&config) && is_filthier {
                filthiest = Some((partition, cleanable));
            }
        }
        if let Some((partition, _)) = &filthiest {
            busy.cleaning.insert((partition.topic_id, partition.tp.partition));
        }
        filthiest
    }

    /// Whether a round was done. If not, the next one is better later: it may be room or descriptors that lack.
    fn clean(&self, partition: &Arc<Partition>, cleanable: &Cleanable, thread: i32, orders: &Orders) -> bool {
        let key = (partition.topic_id, partition.tp.partition);
        let begun = clock::now();
        let round = self.clean_log(partition, cleanable, orders);
        let is_done = matches!(round, Ok(Some(_)));
        match round {
            Ok(Some((end, stats))) => {
                partition.dir.set_cleaned(&partition.tp, end);
                self.write_or_fail(partition, Checkpoint::Cleaner);
                tracing::info!(
                    target: "kafka.log.LogCleaner",
                    "Log cleaner thread {thread} cleaned log {} (dirty section = [{}, {end}]): {} bytes became {} in \
                     {} ms",
                    partition.tp, cleanable.first_dirty_offset, stats.bytes_read, stats.bytes_written,
                    begun.elapsed().as_millis()
                );
            }
            Ok(None) | Err(CleanError::Aborted) => {}
            Err(CleanError::Storage(error)) => partition.storage_failed(&error),
            Err(error @ CleanError::Unreadable { .. }) => {
                tracing::warn!(
                    target: "kafka.log.LogCleaner",
                    "Unexpected error when cleaning log {}. Marking its partition as uncleanable: {error}", partition.tp
                );
                self.cleaning.busy().uncleanable.insert(key);
            }
        }
        self.cleaning.busy().cleaning.remove(&key);
        is_done
    }

    fn write_or_fail(&self, partition: &Arc<Partition>, which: Checkpoint) -> bool {
        match self.write_checkpoint(&partition.dir, which) {
            Ok(()) => true,
            Err(error) => {
                partition.dir.note(which);
                partition.dir.failed(&error);
                false
            }
        }
    }

    /// Where the round ended; none where the log is closed, or changed under it.
    fn clean_log(
        &self,
        partition: &Arc<Partition>,
        cleanable: &Cleanable,
        orders: &Orders,
    ) -> Result<Option<(i64, CleanStats)>, CleanError> {
        // A record goes only when the one that supersedes it is durable: a power cut could take both otherwise.
        let flushed = partition.flush_and_wait().blocking_recv().is_ok();
        if !flushed || !partition.dir.is_online() || !self.write_or_fail(partition, Checkpoint::RecoveryPoint)
        {
            return Ok(None);
        }
        let (options, cleanable) = (clean_options(orders), *cleanable);
        let begun = partition.write_for(move |writer, _| {
            (!writer.closed).then(|| writer.log.begin_cleaning(&cleanable, options))
        });
        let Ok(Some(mut cleaning)) = begun.blocking_recv() else { return Ok(None) };
        let mut throttle = Throttle::new(orders);
        let mut leave =
            |bytes| throttle.wait_for(bytes, || self.cleaning.are_over(orders) || partition.is_gone());
        let end = cleaning.index(&mut leave)?;
        while let Some(group) = cleaning.next_group(&mut leave)? {
            let swapped = partition.write_for(move |writer, _| match writer.closed {
                true => group.discard().map(|()| false),
                false => writer.log.swap_in(group, clock::wall().0),
            });
            let Ok(swapped) = swapped.blocking_recv() else { return Ok(None) };
            if !swapped? {
                return Ok(None);
            }
        }
        Ok(Some((end, cleaning.stats())))
    }
}

fn clean_options(config: &CleanerConfig) -> CleanOptions {
    let threads = i64::from(config.threads.max(1));
    // A thread takes no more than Kafka's, whose map is one array.
    let bytes = (config.dedupe_buffer_bytes / threads).min(i64::from(i32::MAX));
    let io_bytes = i64::from(config.io_buffer_bytes) / threads / 2;
    CleanOptions {
        budget: MapBudget { bytes: usize::try_from(bytes).unwrap_or(0), load_factor: config.load_factor },
        write_buffer_bytes: usize::try_from(io_bytes).unwrap_or(0),
        seeds: rand::random(),
        now_ms: clock::wall().0,
    }
}

/// Keeps one thread to its share of `log.cleaner.io.max.bytes.per.second`.
struct Throttle {
    bytes_per_second: f64,
    begun: Instant,
    bytes: f64,
}

impl Throttle {
    fn new(config: &CleanerConfig) -> Self {
        let bytes_per_second = (config.max_bytes_per_second / f64::from(config.threads.max(1))).max(1.0);
        Self { bytes_per_second, begun: clock::now(), bytes: 0.0 }
    }

    fn wait_for(&mut self, bytes: usize, is_off: impl Fn() -> bool) -> Result<(), CleanError> {
        self.bytes += bytes as f64;
        loop {
            if is_off() {
                return Err(CleanError::Aborted);
            }
            let ahead = self.bytes / self.bytes_per_second - self.begun.elapsed().as_secs_f64();
            if ahead <= 0.0 {
                return Ok(());
            }
            std::thread::sleep(NAP.min(Duration::from_secs_f64(ahead.min(1.0))));
        }
    }
}
