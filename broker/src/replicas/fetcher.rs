//! Following: one task and one fetch session per leading broker, for all partitions that it leads and this broker
//! follows (`ReplicaFetcherThread`, with KIP-227's incremental sessions).
//!
//! A request names only what changed since the one before. A partition that arrives while a fetch waits at the
//! leader is asked for at once, by a second request behind the first.

use jackdaw_settings::HostPort;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;
use jackdaw_replication::{FetchState, FetchedPartition};
use jackdaw_wire::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic, ReplicaState};
use jackdaw_wire::messages::fetch_response::PartitionData;
use jackdaw_wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use jackdaw_wire::messages::{BrokerId, FetchRequest, FetchResponse, ListOffsetsRequest, TopicName};
use jackdaw_wire::types::kafka_base64;
use jackdaw_wire::{ErrorCode, StrBytes, Uuid};
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;

use super::append::Followed;
use super::partition::Partition;
use super::session::{INITIAL_EPOCH, NO_SESSION, next_epoch};
use super::shared::Shared;
use crate::clock;
use crate::net::{ClientError, NodeClient};

/// The first pause after a partition's error; doubles up to `replica.fetch.backoff.ms`. Right after an election the
/// leader may simply not have heard of it yet.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// Requests on their way to one leader.
const PIPELINED: usize = 2;
const TOPIC_IDS_FROM: i16 = 13;
const REPLICA_STATE_FROM: i16 = 15;
const LIST_OFFSETS_VERSION: i16 = 8;

/// A partition of a topic.
type Key = (Uuid, i32);

/// What is followed where.
#[derive(Default)]
pub(super) struct Fetchers {
    leaders: Mutex<HashMap<i32, Handle>>,
    following: Mutex<HashMap<Key, i32>>,
    /// Leaders whose connection ended, until they answer again.
    pub lost: watch::Sender<LostLeaders>,
}

/// By broker id.
pub type LostLeaders = BTreeMap<i32, Loss>;

/// A connection to a leader that ended.
#[derive(Clone, Copy, Debug)]
pub struct Loss {
    /// The registration under which the leader was reached.
    pub broker_epoch: i64,
    pub at: Instant,
}

struct Handle {
    inbox: Arc<Inbox>,
    task: tokio::task::JoinHandle<()>,
}

/// What a fetcher has to take over; at most one entry per partition.
#[derive(Default)]
struct Inbox {
    changes: Mutex<HashMap<Key, Option<Arc<Partition>>>>,
    arrived: Notify,
}

impl Inbox {
    fn put(&self, key: Key, partition: Option<Arc<Partition>>) {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).insert(key, partition);
        self.arrived.notify_one();
    }

    fn take(&self) -> HashMap<Key, Option<Arc<Partition>>> {
        std::mem::take(&mut *self.changes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Fetchers {
    /// Follows `leader` from now on, from where the local log ends; -1 follows nobody.
    pub fn follow(&self, shared: &Arc<Shared>, partition: &Arc<Partition>, leader: i32) {
        let key = (partition.topic_id, partition.tp.partition);
        let mut following = self.following.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = following.get(&key).copied().filter(|before| *before != leader) {
            following.remove(&key);
            self.tell(before, key);
        }
        if leader < 0 {
            return;
        }
        following.insert(key, leader);
        let mut leaders = self.leaders.lock().unwrap_or_else(PoisonError::into_inner);
        let handle = leaders.entry(leader).or_insert_with(|| {
            let inbox = Arc::<Inbox>::default();
            let fetcher = Fetcher::new(shared, leader, Arc::clone(&inbox));
            Handle { inbox, task: shared.context.runtime.spawn(fetcher.run()) }
        });
        handle.inbox.put(key, Some(Arc::clone(partition)));
    }

    /// Follows nobody any more.
    pub fn unfollow(&self, key: Key) {
        let before = self.following.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        if let Some(before) = before {
            self.tell(before, key);
        }
    }

    fn tell(&self, leader: i32, key: Key) {
        if let Some(handle) = self.leaders.lock().unwrap_or_else(PoisonError::into_inner).get(&leader) {
            handle.inbox.put(key, None);
        }
    }

    /// A leader is back, perhaps at another address: whoever waits to try again tries now.
    pub fn wake(&self, leader: i32) {
        if let Some(handle) = self.leaders.lock().unwrap_or_else(PoisonError::into_inner).get(&leader) {
            handle.inbox.arrived.notify_one();
        }
    }

    /// Stops them all. What they have submitted is still appended.
    pub async fn stop(&self) {
        let handles = std::mem::take(&mut *self.leaders.lock().unwrap_or_else(PoisonError::into_inner));
        for handle in handles.into_values() {
            handle.task.abort();
            // Aborted, or ended by itself: either way it is over.
            let _ = handle.task.await;
        }
    }
}

/// One followed partition.
struct Following {
    partition: Arc<Partition>,
    /// What the leader's session has of it.
    told: Option<FetchState>,
    /// The log start that it was told with.
    told_start: i64,
    /// The request that told it: replies to earlier ones are about something else.
    told_in: u64,
    pause: Duration,
    /// After an error: not before then.
    not_before: Option<Instant>,
}

/// A request on its way.
type Exchange = BoxFuture<'static, Result<FetchResponse, ClientError>>;

struct Fetcher {
    shared: Weak<Shared>,
    node_id: i32,
    leader: i32,
    inbox: Arc<Inbox>,
    client: Option<(HostPort, NodeClient)>,
    broker_epoch: Arc<AtomicI64>,
    following: HashMap<Key, Following>,
    /// To be told to the leader with the next request.
    changed: HashSet<Key>,
    paused: HashSet<Key>,
    forgotten: HashMap<Key, StrBytes>,
    /// Requests sent, and replies received.
    sent: u64,
    received: u64,
    session_id: i32,
    session_epoch: i32,
    in_flight: FuturesOrdered<Exchange>,
    /// Of the connection; doubles while the leader cannot be reached.
    pause: Duration,
    not_before: Option<Instant>,
    version: i16,
    /// Whether it counts among the lost.
    is_lost: bool,
}

impl Fetcher {
    fn new(shared: &Arc<Shared>, leader: i32, inbox: Arc<Inbox>) -> Self {
        Self {
            shared: Arc::downgrade(shared),
            node_id: shared.options.node_id,
            leader,
            inbox,
            client: None,
            broker_epoch: Arc::clone(&shared.options.broker_epoch),
            following: HashMap::new(),
            changed: HashSet::new(),
            paused: HashSet::new(),
            forgotten: HashMap::new(),
            sent: 0,
            received: 0,
            session_id: NO_SESSION,
            session_epoch: INITIAL_EPOCH,
            in_flight: FuturesOrdered::new(),
            pause: FIRST_PAUSE,
            not_before: None,
            version: TOPIC_IDS_FROM,
            is_lost: false,
        }
    }

    async fn run(mut self) {
        loop {
            let Some(shared) = self.shared.upgrade() else { return };
            self.take_changes();
            self.send(&shared);
            drop(shared);
            let inbox = Arc::clone(&self.inbox);
            let next_try = self.next_try();
            tokio::select! {
                biased;
                Some(reply) = self.in_flight.next(), if !self.in_flight.is_empty() => {
                    let Some(shared) = self.shared.upgrade() else { return };
                    self.take_reply(&shared, reply).await;
                }
                () = inbox.arrived.notified() => self.not_before = None,
                () = sleep_until(next_try), if next_try.is_some() => {}
            }
        }
    }

    /// When a pause ends.
    fn next_try(&self) -> Option<Instant> {
        let paused = self.paused.iter().filter_map(|key| self.following.get(key)?.not_before).min();
        [self.not_before, paused].into_iter().flatten().min()
    }

    fn take_changes(&mut self) {
        for (key, change) in self.inbox.take() {
            match change {
                Some(partition) => {
                    // It starts over in a new epoch: what was told before is void.
                    let before = self.following.remove(&key);
                    let (told, told_start, told_in) =
                        before.map_or((None, -1, 0), |f| (f.told, f.told_start, f.told_in));
                    self.paused.remove(&key);
                    let following = Following {
                        partition,
                        told,
                        told_start,
                        told_in,
                        pause: FIRST_PAUSE,
                        not_before: None,
                    };
                    self.following.insert(key, following);
                    self.changed.insert(key);
                }
                None => self.forget(key),
            }
        }
        self.take_paused();
    }

    /// Takes those up again whose pause is over.
    fn take_paused(&mut self) {
        if self.paused.is_empty() {
            return;
        }
        let now = clock::timer();
        let (following, changed) = (&mut self.following, &mut self.changed);
        self.paused.retain(|key| {
            let Some(following) = following.get_mut(key) else { return false };
            if following.not_before.is_some_and(|not_before| not_before > now) {
                return true;
            }
            following.not_before = None;
            changed.insert(*key);
            false
        });
    }

    fn forget(&mut self, key: Key) {
        self.changed.remove(&key);
        self.paused.remove(&key);
        if let Some(Following { partition, told: Some(_), .. }) = self.following.remove(&key) {
            self.forgotten.insert(key, StrBytes::from_string(partition.tp.topic.to_string()));
        }
    }

    /// Takes a partition out of the session for a while, or until the image brings it back.
    fn pause(&mut self, key: Key, longest: Duration, stops: bool) {
        let Some(following) = self.following.get_mut(&key) else { return };
        if following.told.take().is_some() {
            let name = StrBytes::from_string(following.partition.tp.topic.to_string());
            self.forgotten.insert(key, name);
        }
        self.changed.remove(&key);
        if stops {
            self.following.remove(&key);
        } else {
            following.not_before = Some(clock::timer() + following.pause);
            following.pause = (following.pause * 2).min(longest);
            self.paused.insert(key);
        }
    }

    /// Sends a request, if there is something to ask and nothing against it.
    fn send(&mut self, shared: &Arc<Shared>) {
        let is_new = self.session_epoch == INITIAL_EPOCH;
        let waits = self.not_before.is_some_and(|not_before| clock::timer() < not_before);
        if waits || self.in_flight.len() >= PIPELINED || (is_new && !self.in_flight.is_empty()) {
            return;
        }
        self.not_before = None;
        if !self.in_flight.is_empty() && self.changed.is_empty() {
            return;
        }
        let Some(client) = self.client(shared) else { return self.pause_all(shared) };
        self.sent += 1;
        let topics = self.topics(shared);
        let is_idle = topics.is_empty() && self.forgotten.is_empty();
        let has_session = !is_new && self.following.values().any(|f| f.told.is_some());
        if (is_idle && !has_session) || (topics.is_empty() && !self.in_flight.is_empty()) {
            self.sent -= 1;
            return;
        }
        let request = self.request(shared, topics);
        if !is_new {
            self.session_epoch = next_epoch(self.session_epoch);
        }
        let version = self.version;
        let replication = &shared.options.replication;
        let timeout_ms = replication.socket_timeout_ms.max(replication.fetch_wait_max_ms);
        let timeout = Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0));
        self.in_flight.push_back(Box::pin(async move { client.request(version, &request, timeout).await }));
    }

    /// The client for the leader's present address.
    fn client(&mut self, shared: &Arc<Shared>) -> Option<NodeClient> {
        let image = shared.image();
        self.version = fetch_version(image.features.metadata_version);
        let endpoint = image.broker(self.leader)?.endpoint(&shared.options.inter_broker_listener)?;
        let target = HostPort::new(endpoint.host.clone(), endpoint.port);
        if let Some((known, client)) = &self.client
            && *known == target
        {
            return Some(client.clone());
        }
        let name = format!("broker-{}-fetcher-0", self.node_id);
        let client = NodeClient::new(target.clone(), Arc::clone(&shared.options.resolver), &name);
        self.client = Some((target, client.clone()));
        Some(client)
    }

    /// What is to be asked anew.
    fn topics(&mut self, shared: &Arc<Shared>) -> Vec<FetchTopic> {
        let is_new = self.session_epoch == INITIAL_EPOCH;
        let changed = std::mem::take(&mut self.changed);
        let asked: Vec<Key> =
            if is_new { self.following.keys().copied().collect() } else { changed.into_iter().collect() };
        let mut topics: HashMap<Uuid, FetchTopic> = HashMap::new();
        for key in asked {
            let following = self.following.get_mut(&key).filter(|f| f.not_before.is_none());
            let Some(following) = following else { continue };
            let next = following.partition.state().replica.as_follower().and_then(|f| f.next_fetch());
            let Some(next) = next else { continue };
            let start = following.partition.reader.log_start_offset();
            if !is_new && following.told == Some(next) && following.told_start == start {
                continue;
            }
            following.told = Some(next);
            following.told_start = start;
            following.told_in = self.sent;
            self.forgotten.remove(&key);
            let partition = FetchPartition::default()
                .with_partition(key.1)
                .with_current_leader_epoch(next.current_leader_epoch)
                .with_fetch_offset(next.offset)
                .with_last_fetched_epoch(next.last_fetched_epoch)
                .with_log_start_offset(start)
                .with_partition_max_bytes(shared.options.replication.fetch_max_bytes);
            let topic = topics.entry(key.0).or_insert_with(|| {
                let name = StrBytes::from_string(following.partition.tp.topic.to_string());
                FetchTopic::default().with_topic_id(key.0).with_topic(TopicName(name))
            });
            topic.partitions.push(partition);
        }
        topics.into_values().collect()
    }

    fn request(&mut self, shared: &Arc<Shared>, topics: Vec<FetchTopic>) -> FetchRequest {
        let replication = &shared.options.replication;
        let forgotten = std::mem::take(&mut self.forgotten);
        let is_new = self.session_epoch == INITIAL_EPOCH;
        let forgotten = forgotten.into_iter().filter(|_| !is_new).map(|((topic_id, partition), name)| {
            ForgottenTopic::default()
                .with_topic_id(topic_id)
                .with_topic(TopicName(name))
                .with_partitions(vec![partition])
        });
        // The fetch that opens a session comes back at once: until then there is no session in which a partition that
        // arrives meanwhile could be asked for, and it would sit out a wait that is not about it.
        let max_wait_ms = if is_new { 0 } else { replication.fetch_wait_max_ms };
        let request = FetchRequest::default()
            .with_max_wait_ms(max_wait_ms)
            .with_min_bytes(replication.fetch_min_bytes)
            .with_max_bytes(replication.fetch_response_max_bytes)
            .with_session_id(self.session_id)
            .with_session_epoch(self.session_epoch)
            .with_topics(topics)
            .with_forgotten_topics_data(forgotten.collect());
        let node_id = BrokerId(self.node_id);
        if self.version < REPLICA_STATE_FROM {
            return request.with_replica_id(node_id);
        }
        let epoch = self.broker_epoch.load(Ordering::Acquire);
        let state = ReplicaState::default().with_replica_id(node_id).with_replica_epoch(epoch);
        request.with_replica_state(state)
    }

    async fn take_reply(&mut self, shared: &Arc<Shared>, reply: Result<FetchResponse, ClientError>) {
        self.received += 1;
        let response = match reply {
            Ok(response) => response,
            Err(error) => {
                tracing::info!(
                    target: "kafka.server.ReplicaFetcherThread",
                    "[ReplicaFetcher replicaId={}, leaderId={}, fetcherId=0] {error}", self.node_id, self.leader
                );
                if matches!(error, ClientError::Closed(_)) {
                    self.lose(shared);
                }
                return self.pause_all(shared);
            }
        };
        if std::mem::take(&mut self.is_lost) {
            shared.fetchers.lost.send_modify(|lost| {
                lost.remove(&self.leader);
            });
        }
        if let Some(error) = ErrorCode::try_from_code(response.error_code) {
            tracing::info!(
                target: "kafka.server.ReplicaFetcherThread",
                "[ReplicaFetcher replicaId={}, leaderId={}, fetcherId=0] Node {} was unable to process the fetch \
                 request with (sessionId={}, epoch={}): {error}.",
                self.node_id, self.leader, self.leader, self.session_id, self.session_epoch
            );
            let is_session = matches!(
                error,
                ErrorCode::FetchSessionIdNotFound
                    | ErrorCode::InvalidFetchSessionEpoch
                    | ErrorCode::FetchSessionTopicIdError
            );
            self.start_over();
            if !is_session {
                self.pause_all(shared);
            }
            return;
        }
        self.pause = FIRST_PAUSE;
        if self.session_epoch == INITIAL_EPOCH && response.session_id != NO_SESSION {
            self.session_id = response.session_id;
            self.session_epoch = next_epoch(INITIAL_EPOCH);
        }
        let session_ended = self.session_epoch != INITIAL_EPOCH && response.session_id == NO_SESSION;
        self.follow(shared, response).await;
        if session_ended {
            // Nothing was left in it.
            self.start_over();
        }
    }

    /// The leader may be gone, and nobody may have decided that yet.
    fn lose(&mut self, shared: &Arc<Shared>) {
        let image = shared.image();
        if let Some(broker) = image.broker(self.leader).filter(|broker| !broker.fenced) {
            let loss = Loss { broker_epoch: broker.epoch, at: clock::timer() };
            shared.fetchers.lost.send_modify(|lost| {
                lost.insert(self.leader, loss);
            });
            self.is_lost = true;
        }
    }

    /// Hands each partition's part to its log, and then looks what came of it.
    async fn follow(&mut self, shared: &Arc<Shared>, response: FetchResponse) {
        let image = shared.image();
        let mut outcomes: Vec<(Key, oneshot::Receiver<Followed>)> = Vec::new();
        for topic in response.responses {
            let topic_id = if self.version >= TOPIC_IDS_FROM {
                Some(topic.topic_id)
            } else {
                image.topics.id_of(&topic.topic)
            };
            let Some(topic_id) = topic_id else { continue };
            for data in topic.partitions {
                let key = (topic_id, data.partition_index);
                let Some(following) = self.following.get(&key) else { continue };
                let Some(told) = following.told.filter(|_| following.told_in <= self.received) else {
                    continue;
                };
                let (reply, records) = fetched_partition(told, data);
                let outcome =
                    following.partition.write_for(move |writer, p| p.follow(writer, &reply, &records));
                outcomes.push((key, outcome));
            }
        }
        let mut flushes = Vec::new();
        for (key, outcome) in outcomes {
            // Dropped unanswered only when the node stops.
            let Ok(followed) = outcome.await else { return };
            let followed = match followed {
                Followed::AskBounds => self.ask_bounds(key).await,
                other => other,
            };
            if followed == Followed::AfterFlush {
                flushes.extend(self.following.get(&key).map(|f| (key, f.partition.flush_and_wait())));
            }
            self.settle(shared, key, followed);
        }
        for (key, flush) in flushes {
            // The next fetch says that we have it: not before it is true.
            if flush.await.is_err() {
                self.settle(shared, key, Followed::Stop);
            }
        }
    }

    fn settle(&mut self, shared: &Arc<Shared>, key: Key, followed: Followed) {
        let longest =
            Duration::from_millis(u64::try_from(shared.options.replication.fetch_backoff_ms).unwrap_or(0));
        match followed {
            Followed::On | Followed::AfterFlush | Followed::AskBounds => {
                if let Some(following) = self.following.get_mut(&key) {
                    following.pause = FIRST_PAUSE;
                }
                self.changed.insert(key);
            }
            Followed::Retry(error) => {
                tracing::debug!(
                    target: "kafka.server.ReplicaFetcherThread",
                    "[ReplicaFetcher replicaId={}, leaderId={}, fetcherId=0] {}-{}: {error}",
                    self.node_id, self.leader, kafka_base64(&key.0), key.1
                );
                self.pause(key, longest, false);
            }
            Followed::Stop => self.pause(key, longest, true),
        }
    }

    /// Asks the leader where its log begins and ends, and gets back into it.
    async fn ask_bounds(&mut self, key: Key) -> Followed {
        let Some(following) = self.following.get(&key) else { return Followed::Stop };
        let Some((_, client)) = self.client.clone() else {
            return Followed::Retry(ErrorCode::LeaderNotAvailable);
        };
        let partition = Arc::clone(&following.partition);
        let epoch = partition.state().replica.leader_epoch();
        let mut bounds = [0; 2];
        for (bound, timestamp) in bounds.iter_mut().zip([-2, -1]) {
            match ask_offset(&client, self.node_id, &partition, epoch, timestamp).await {
                Ok(offset) => *bound = offset,
                Err(error) => return Followed::Retry(error),
            }
        }
        let outcome = partition.write_for(move |writer, p| p.follow_bounds(writer, bounds[0], bounds[1]));
        outcome.await.unwrap_or(Followed::Stop)
    }

    /// The session is over, whatever the leader may still have of it.
    fn start_over(&mut self) {
        self.session_epoch = INITIAL_EPOCH;
        self.in_flight = FuturesOrdered::new();
        self.received = self.sent;
        self.forgotten.clear();
        self.following.values_mut().for_each(|f| f.told = None);
    }

    fn pause_all(&mut self, shared: &Arc<Shared>) {
        self.start_over();
        self.session_id = NO_SESSION;
        let longest =
            Duration::from_millis(u64::try_from(shared.options.replication.fetch_backoff_ms).unwrap_or(0));
        self.not_before = Some(clock::timer() + self.pause);
        self.pause = (self.pause * 2).min(longest);
    }
}

async fn sleep_until(instant: Option<Instant>) {
    if let Some(instant) = instant {
        tokio::time::sleep_until(instant).await;
    }
}

fn fetched_partition(asked: FetchState, data: PartitionData) -> (FetchedPartition, Bytes) {
    let has_diverged = data.diverging_epoch.epoch >= 0 || data.diverging_epoch.end_offset >= 0;
    let reply = FetchedPartition {
        asked,
        error: ErrorCode::try_from_code(data.error_code),
        diverging: has_diverged.then_some((data.diverging_epoch.epoch, data.diverging_epoch.end_offset)),
        high_watermark: data.high_watermark,
        log_start: data.log_start_offset,
    };
    (reply, data.records.unwrap_or_default())
}

async fn ask_offset(
    client: &NodeClient,
    node_id: i32,
    partition: &Partition,
    epoch: i32,
    timestamp: i64,
) -> Result<i64, ErrorCode> {
    let ask = ListOffsetsPartition::default()
        .with_partition_index(partition.tp.partition)
        .with_current_leader_epoch(epoch)
        .with_timestamp(timestamp);
    let name = TopicName(StrBytes::from_string(partition.tp.topic.to_string()));
    let topic = ListOffsetsTopic::default().with_name(name).with_partitions(vec![ask]);
    let request = ListOffsetsRequest::default().with_replica_id(BrokerId(node_id)).with_topics(vec![topic]);
    let timeout = Duration::from_secs(30);
    let response = client.request(LIST_OFFSETS_VERSION, &request, timeout).await;
    let response = response.map_err(|_| ErrorCode::NetworkException)?;
    let found = response.topics.first().and_then(|topic| topic.partitions.first());
    let found = found.ok_or(ErrorCode::UnknownServerError)?;
    ErrorCode::try_from_code(found.error_code).map_or(Ok(found.offset), Err)
}

/// Followers choose Fetch's version by the metadata version, not by what the leader offers
/// (`MetadataVersion.fetchRequestVersion`).
fn fetch_version(metadata_version: i16) -> i16 {
    match metadata_version {
        19.. => 16,
        10.. => 15,
        9 => 14,
        2.. => 13,
        _ => 12,
    }
}
