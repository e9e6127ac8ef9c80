//! Coordinators: state machines over internal topics, one for each partition that this broker leads.
//!
//! A [`Machine`] is pure: requests, loaded records, append outcomes and the time go in, [`Effect`]s come out.
//! [`Coordinators`] is what runs them. It follows the image ([`Coordinators::apply`]): a partition that this broker
//! comes to lead gets a machine and a task of its own ([`task`]), which loads the local log up to its end, then
//! serves; one that it no longer leads resigns, and whoever waits there is answered. Appends go to the local
//! partition in the epoch of the leadership that the machine belongs to, so a deposed coordinator writes nothing.
//!
//! To build a coordinator: implement [`Machine`] for the pure crate's type; make [`Coordinators`] with a function
//! that makes an empty machine for a partition; have `apply` called after the replica manager's; find the partition
//! of a key with [`Coordinators::partition_of`]; [`Coordinators::ask`] and answer. What a machine wants done beyond
//! replies and appends (asking other brokers) it says as [`Effect::Perform`]; whoever performs it reports back with
//! [`Coordinators::tell`].
//!
//! But for [`groups`] and [`transactions`], nothing here knows what a group or a transaction is.

pub mod groups;
pub mod settings_feed;
mod task;
pub mod topics_feed;
pub mod transactions;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use jackdaw_log::VerificationGuard;
use jackdaw_metadata::MetadataImage;
use jackdaw_wire::{ErrorCode, Uuid};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

pub use jackdaw_wire::types::Now;

use crate::clock::{self, SteadyMs};
use crate::replicas::ReplicaManager;
use task::{Message, Task};

/// Requests that may wait for a partition's task; whoever has more waits with them.
const QUEUE: usize = 1024;

/// Where a loaded record lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub offset: i64,
    /// The offset of its batch's first record.
    pub batch_offset: i64,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub is_transactional: bool,
}

/// The end of a transaction, as a loaded log tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadedMarker {
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub is_commit: bool,
}

/// What a machine wants done.
#[derive(Debug)]
pub enum Effect<R, C> {
    /// An answer to the request with this token. One for a token that was answered, or was told and not asked, is
    /// dropped.
    Reply {
        token: u64,
        reply: R,
    },
    Append(Append),
    /// Whatever else.
    Perform(C),
}

/// A batch to be written to the machine's own partition.
#[derive(Debug)]
pub struct Append {
    /// Under which the outcome is told; none where nobody asks.
    pub ticket: Option<u64>,
    /// A batch from offset 0 on.
    pub batch: Bytes,
    pub acks: i16,
    pub timeout_ms: u64,
    /// For a batch of a transaction: what [`ReplicaManager::verify_transaction`] gave.
    pub guard: Option<VerificationGuard>,
}

/// Why a record of the log is passed over.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Of a later Kafka.
    #[error("its key has the unknown version {0}")]
    UnknownKey(i16),
    #[error("{0}")]
    Unreadable(String),
}

/// A coordinator's state for one partition.
///
/// Calls come one at a time, and each ends with its effects being carried out in order.
pub trait Machine: Send + 'static {
    type Request: Send + 'static;
    type Reply: Send + 'static;
    type Command: Send + 'static;

    /// The epoch that the machine leads its partition in: told before anything is loaded, and when it leads on in
    /// a later one.
    fn leads(&mut self, _now: Now, _leader_epoch: i32) {}
    /// One record of the log, in order. What cannot be read changes nothing, and does not keep the next one out.
    fn load(&mut self, place: &Place, key: Option<Bytes>, value: Option<Bytes>) -> Result<(), LoadError>;
    /// A transaction marker in the log.
    fn load_marker(&mut self, marker: LoadedMarker);
    /// The log's end is reached: from here on it serves.
    fn loaded(&mut self, now: Now);
    fn handle(&mut self, now: Now, token: u64, request: Self::Request);
    /// What became of an append: the batch's base offset, or as which error a producer would have heard of it.
    fn appended(&mut self, now: Now, ticket: u64, outcome: Result<i64, ErrorCode>);
    fn tick(&mut self, now: Now);
    /// In `steady_ms`: when `tick` is due.
    fn next_deadline(&self) -> Option<i64>;
    /// It leads no longer: everyone who waits is to be answered, and whoever still asks.
    fn resign(&mut self, now: Now);
    /// What the calls so far want done.
    fn take_effects(&mut self) -> Vec<Effect<Self::Reply, Self::Command>>;
}

/// Why a partition's coordinator takes no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotHere {
    Loading,
    /// Another broker leads the partition, or none.
    Elsewhere,
}

impl NotHere {
    /// As `GroupCoordinator.validateGroupStatus` says it.
    pub fn code(self) -> ErrorCode {
        match self {
            Self::Loading => ErrorCode::CoordinatorLoadInProgress,
            Self::Elsewhere => ErrorCode::NotCoordinator,
        }
    }
}

/// Where a partition's task is.
#[derive(Debug, Default)]
struct Phase(AtomicU8);

impl Phase {
    const LOADING: u8 = 0;
    const SERVING: u8 = 1;

    fn set(&self, phase: u8) {
        self.0.store(phase, Ordering::Release);
    }

    fn get(&self) -> u8 {
        self.0.load(Ordering::Acquire)
    }
}

struct Hosted<M: Machine> {
    topic_id: Uuid,
    /// The epoch it leads in; none: it resigns.
    epoch: watch::Sender<Option<i32>>,
    queue: mpsc::Sender<Message<M>>,
    phase: Arc<Phase>,
    task: JoinHandle<()>,
}

/// How a kind of coordinator is run.
pub struct CoordinatorOptions<M: Machine> {
    /// The internal topic.
    pub topic: &'static str,
    pub replicas: Arc<ReplicaManager>,
    /// Bytes read at a time while loading.
    pub load_buffer_bytes: usize,
    /// The topic's partitions once it will be created.
    pub default_partitions: i32,
    /// Makes an empty machine for a partition.
    pub make: Box<dyn Fn(i32) -> M + Send + Sync>,
    /// Does what a partition's machine asked for with [`Effect::Perform`]. Must not block.
    pub perform: Box<dyn Fn(i32, M::Command) + Send + Sync>,
}

/// The coordinators of one internal topic on this broker.
pub struct Coordinators<M: Machine> {
    shared: Arc<Shared<M>>,
    hosted: Mutex<BTreeMap<i32, Hosted<M>>>,
    /// The topic's partitions in the image.
    partitions: AtomicI32,
    /// The node stops: nothing is hosted any more.
    has_stopped: AtomicBool,
}

struct Shared<M: Machine> {
    options: CoordinatorOptions<M>,
}

impl<M: Machine> Shared<M> {
    fn now(&self) -> Now {
        clock::both()
    }

    fn instant_of(&self, steady_ms: i64) -> Instant {
        SteadyMs(steady_ms).instant()
    }
}

impl<M: Machine> Coordinators<M> {
    pub fn new(options: CoordinatorOptions<M>) -> Self {
        let (partitions, has_stopped) = (options.default_partitions.into(), AtomicBool::new(false));
        let shared = Arc::new(Shared { options });
        Self { shared, hosted: Mutex::default(), partitions, has_stopped }
    }

    fn hosted(&self) -> MutexGuard<'_, BTreeMap<i32, Hosted<M>>> {
        self.hosted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The partition that coordinates this group or transactional id.
    pub fn partition_of(&self, key: &str) -> i32 {
        jackdaw_metadata::coordinator::partition_for(key, self.partitions.load(Ordering::Acquire))
    }

    /// Brings what is hosted in line with the image: after the replica manager has taken its roles from it.
    pub fn apply(&self, image: &MetadataImage) {
        let node_id = self.shared.options.replicas.node_id();
        let topic = image.topics.by_name(self.shared.options.topic);
        let count = topic.map_or(self.shared.options.default_partitions, |topic| {
            i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX)
        });
        self.partitions.store(count, Ordering::Release);
        let mut hosted = self.hosted();
        hosted.retain(|index, hosted| {
            let leads = topic.is_some_and(|topic| {
                topic.id == hosted.topic_id
                    && topic.partitions.get(index).is_some_and(|p| p.leader == node_id)
            });
            if !leads {
                hosted.epoch.send_replace(None);
            }
            leads
        });
        let Some(topic) = topic.filter(|_| !self.has_stopped.load(Ordering::Acquire)) else { return };
        for (index, partition) in topic.partitions.iter().filter(|(_, p)| p.leader == node_id) {
            match hosted.get(index) {
                // Leading on in a later epoch: what is known stays true.
                Some(hosted) => {
                    hosted.epoch.send_if_modified(|epoch| {
                        epoch.replace(partition.leader_epoch) != Some(partition.leader_epoch)
                    });
                }
                None => {
                    let new = self.elect(*index, topic.id, partition.leader_epoch);
                    hosted.insert(*index, new);
                }
            }
        }
    }

    fn elect(&self, partition: i32, topic_id: Uuid, leader_epoch: i32) -> Hosted<M> {
        let (epoch, epochs) = watch::channel(Some(leader_epoch));
        let (queue, messages) = mpsc::channel(QUEUE);
        let phase = Arc::<Phase>::default();
        let task = Task::new(Arc::clone(&self.shared), partition, epochs, messages, Arc::clone(&phase));
        Hosted {
            topic_id,
            epoch,
            queue,
            phase,
            task: self.shared.options.replicas.runtime().spawn(task.run()),
        }
    }

    fn enter(&self, partition: i32) -> Result<mpsc::Sender<Message<M>>, NotHere> {
        let hosted = self.hosted();
        let hosted = hosted.get(&partition).ok_or(NotHere::Elsewhere)?;
        match hosted.phase.get() {
            Phase::LOADING => Err(NotHere::Loading),
            _ => Ok(hosted.queue.clone()),
        }
    }

    /// Whether a partition's machine takes requests now.
    pub fn check(&self, partition: i32) -> Result<(), NotHere> {
        self.enter(partition).map(drop)
    }

    /// Asks a partition's machine. None where the node stops before there is an answer.
    ///
    /// # Errors
    /// The machine takes no requests; the request comes back.
    pub async fn ask(
        &self,
        partition: i32,
        request: M::Request,
    ) -> Result<Option<M::Reply>, (NotHere, M::Request)> {
        let queue = match self.enter(partition) {
            Ok(queue) => queue,
            Err(why) => return Err((why, request)),
        };
        let (answer, answered) = oneshot::channel();
        match queue.send(Message { request, answer: Some(answer) }).await {
            Ok(()) => Ok(answered.await.ok()),
            Err(mpsc::error::SendError(message)) => Err((NotHere::Elsewhere, message.request)),
        }
    }

    /// Tells a partition's machine something that has no answer.
    pub async fn tell(&self, partition: i32, request: M::Request) -> Result<(), NotHere> {
        let sent = self.enter(partition)?.send(Message { request, answer: None }).await;
        sent.map_err(|_| NotHere::Elsewhere)
    }

    /// The partitions that this broker leads, whatever their phase.
    pub fn led(&self) -> Vec<i32> {
        self.hosted().keys().copied().collect()
    }

    /// Whether a partition that this broker leads is still being loaded.
    pub fn is_loading(&self) -> bool {
        self.hosted().values().any(|hosted| hosted.phase.get() == Phase::LOADING)
    }

    /// Resigns everywhere; returns when everyone who waited is answered.
    pub async fn shutdown(&self) {
        let hosted = {
            let mut hosted = self.hosted();
            self.has_stopped.store(true, Ordering::Release);
            std::mem::take(&mut *hosted)
        };
        for hosted in hosted.values() {
            hosted.epoch.send_replace(None);
        }
        for (_, hosted) in hosted {
            // A panic of the task is reported where it happens.
            let _ = hosted.task.await;
        }
    }
}
