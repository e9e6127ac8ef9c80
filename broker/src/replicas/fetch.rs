//! Fetch: the request becomes a set of partitions, is read at once, waits for what changes, and is answered by
//! reference (KIP-74's limits, KIP-227's sessions, KIP-516's topic ids, KIP-951's leader hints).

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Buf;
use jackdaw_metadata::MetadataImage;
use jackdaw_replication::Isolation;
use jackdaw_wire::fetch::{
    self, AbortedTransaction, FetchReply, FetchedPartition, FetchedTopic, NodeEndpoint,
};
use jackdaw_wire::messages::FetchRequest;
use jackdaw_wire::messages::fetch_request::{FetchTopic, ForgottenTopic};
use jackdaw_wire::segment::Segment;
use jackdaw_wire::{ErrorCode, StrBytes, Uuid};
use tokio::time::Instant;

use super::interest::Interest;
use super::nearest::Reader;
use super::old_format;
use super::read::{Limit, PartitionRead, Who};
use super::session::{Ask, FINAL_EPOCH, FetchSet, INITIAL_EPOCH, Key, NO_SESSION, SharedSet, Slot, locked};
use super::shared::{Shared, TopicRef, leader_hint};
use crate::clock;
use crate::dispatch::{RequestContext, Response};

const MAX_BYTES_FROM: i16 = 3;
const SESSIONS_FROM: i16 = 7;
const FOLLOWER_READS_FROM: i16 = 11;
const TOPIC_IDS_FROM: i16 = 13;
const REPLICA_STATE_FROM: i16 = 15;
const LEADER_HINTS_FROM: i16 = 16;
/// From here on a reply's header has a byte for tagged fields.
const FLEXIBLE_FROM: i16 = 12;

/// What becomes of the set after the reply.
enum Keep {
    Nothing,
    /// As a new session, where there is room.
    New,
    Session(i32),
}

/// A fetch under way.
struct Fetching {
    shared: Arc<Shared>,
    context: RequestContext,
    who: Who,
    /// Where the consumer says that it is.
    rack: StrBytes,
    max_bytes: i64,
    min_bytes: usize,
    deadline: Instant,
    keep: Keep,
    set: SharedSet,
    interest: Arc<Interest>,
    turn: u64,
}

/// What a look at the partitions came to.
#[derive(Debug, Clone, Copy, Default)]
struct Visit {
    /// What counts for `min_bytes`.
    bytes: usize,
    /// Something has to be told at once.
    is_urgent: bool,
}

impl Shared {
    /// Takes the request's positions into account and reads what is there, in the order of calls. The future waits
    /// for more where there is too little.
    pub fn fetch(
        self: &Arc<Self>,
        context: &RequestContext,
        request: FetchRequest,
    ) -> impl Future<Output = Response> + Send + 'static + use<> {
        let begun = match self.begin_fetch(context, request) {
            Err(error) => {
                let reply = FetchReply { error_code: error.code(), ..FetchReply::default() };
                Ok(encode(context, reply))
            }
            Ok(fetching) => {
                let visit = fetching.visit(true);
                // Made before the session's next fetch can begin: that one reads into the same set.
                if fetching.is_enough(visit) { Ok(fetching.reply()) } else { Err(fetching) }
            }
        };
        async move {
            match begun {
                Ok(response) => response,
                Err(fetching) => fetching.wait_and_reply().await,
            }
        }
    }

    fn begin_fetch(
        self: &Arc<Self>,
        context: &RequestContext,
        request: FetchRequest,
    ) -> Result<Fetching, ErrorCode> {
        let version = context.api_version;
        let who = who(version, &request);
        let max_bytes = if version >= MAX_BYTES_FROM { request.max_bytes } else { i32::MAX };
        let max_bytes = max_bytes.min(self.options.replication.consumer_fetch_max_bytes);
        let min_bytes = usize::try_from(request.min_bytes.min(max_bytes)).unwrap_or(0);
        let max_wait_ms = u64::try_from(request.max_wait_ms).unwrap_or(0);
        let (session_id, epoch) = if version >= SESSIONS_FROM {
            (request.session_id, request.session_epoch)
        } else {
            (NO_SESSION, FINAL_EPOCH)
        };
        let asks = asks(version, request.topics);
        let (set, keep) = if epoch == INITIAL_EPOCH || epoch == FINAL_EPOCH {
            if session_id != NO_SESSION {
                self.sessions.remove(session_id);
            }
            let mut set = FetchSet::new(who.follower);
            asks.into_iter().for_each(|(key, ask)| set.ask(key, ask));
            let keep = if epoch == FINAL_EPOCH { Keep::Nothing } else { Keep::New };
            (Arc::new(Mutex::new(set)), keep)
        } else {
            let forgotten = forgotten(version, request.forgotten_topics_data);
            let uses_ids = version >= TOPIC_IDS_FROM;
            let now_ms = clock::steady().0;
            let turn = self.sessions.turn(session_id, epoch, uses_ids, asks, &forgotten, now_ms)?;
            let keep = if turn.ended { Keep::Nothing } else { Keep::Session(turn.session_id) };
            (turn.set, keep)
        };
        let interest = Arc::clone(&locked(&set).interest);
        interest.last_fetch_ms.store(clock::steady().0, Ordering::Relaxed);
        Ok(Fetching {
            shared: Arc::clone(self),
            context: context.clone(),
            who,
            rack: request.rack_id,
            max_bytes: max_bytes.into(),
            min_bytes,
            deadline: clock::timer() + Duration::from_millis(max_wait_ms),
            keep,
            set,
            turn: interest.begin_turn(),
            interest,
        })
    }
}

fn who(version: i16, request: &FetchRequest) -> Who {
    let (replica, broker_epoch) = if version >= REPLICA_STATE_FROM {
        (request.replica_state.replica_id.0, request.replica_state.replica_epoch)
    } else {
        (request.replica_id.0, -1)
    };
    let is_follower = replica >= 0;
    let isolation = match request.isolation_level {
        _ if is_follower => Isolation::LogEnd,
        1 => Isolation::LastStable,
        _ => Isolation::HighWatermark,
    };
    let leader_only = is_follower || version < FOLLOWER_READS_FROM;
    Who { follower: replica.max(-1), broker_epoch, isolation, leader_only }
}

fn key(version: i16, name: &StrBytes, topic_id: Uuid, partition: i32) -> Key {
    if version >= TOPIC_IDS_FROM {
        Key { topic_id, name: StrBytes::default(), partition }
    } else {
        Key { topic_id: Uuid::nil(), name: name.clone(), partition }
    }
}

fn asks(version: i16, topics: Vec<FetchTopic>) -> Vec<(Key, Ask)> {
    let mut asks = Vec::new();
    for topic in &topics {
        for p in &topic.partitions {
            let ask = Ask {
                offset: p.fetch_offset,
                max_bytes: p.partition_max_bytes,
                current_leader_epoch: p.current_leader_epoch,
                last_fetched_epoch: p.last_fetched_epoch,
                log_start: p.log_start_offset,
            };
            asks.push((key(version, &topic.topic, topic.topic_id, p.partition), ask));
        }
    }
    asks
}

fn forgotten(version: i16, topics: Vec<ForgottenTopic>) -> Vec<Key> {
    let keys = |topic: &ForgottenTopic| {
        let key = |p: &i32| key(version, &topic.topic, topic.topic_id, *p);
        topic.partitions.iter().map(key).collect::<Vec<_>>()
    };
    topics.iter().flat_map(keys).collect()
}

impl Fetching {
    async fn wait_and_reply(self) -> Response {
        if !self.interest.is_superseded(self.turn) && !locked(&self.set).is_subscribed {
            // From here on changes are heard of; what changed before is seen by one more look.
            locked(&self.set).subscribe();
            let visit = self.visit(false);
            if self.is_enough(visit) {
                return self.reply();
            }
        }
        let timer = tokio::time::sleep_until(self.deadline);
        tokio::pin!(timer);
        loop {
            tokio::select! {
                () = self.interest.changed() => {
                    if self.interest.is_superseded(self.turn) {
                        return self.reply_superseded();
                    }
                    let visit = self.visit(false);
                    if self.is_enough(visit) {
                        return self.reply();
                    }
                }
                () = &mut timer => {
                    if self.interest.is_superseded(self.turn) {
                        return self.reply_superseded();
                    }
                    self.visit(false);
                    return self.reply();
                }
            }
        }
    }

    fn is_enough(&self, visit: Visit) -> bool {
        visit.is_urgent || visit.bytes >= self.min_bytes || clock::timer() >= self.deadline
    }

    /// Reads every partition that may have something new (`ReplicaManager.readFromLog`).
    fn visit(&self, counts: bool) -> Visit {
        let image = self.shared.image();
        let mut set = locked(&self.set);
        set.take_marks();
        let mut visit = Visit::default();
        let mut unknown = 0;
        let mut left = self.max_bytes;
        let mut min_one_batch = self.context.api_version >= MAX_BYTES_FROM;
        for at in std::mem::take(&mut set.active) {
            let Some(read) = self.read_slot(&image, &mut set, at, left, min_one_batch, counts) else {
                continue;
            };
            if read.size_bytes > 0 {
                min_one_batch = false;
            }
            left = left.saturating_sub_unsigned(read.size_bytes as u64).max(0);
            visit.bytes += read.available_bytes;
            visit.is_urgent |= read.is_urgent();
            unknown += usize::from(read.is_unknown);
            let is_incremental = set.is_incremental;
            let Some(slot) = set.slot_mut(at) else { continue };
            slot.is_active = false;
            let tells = has_news(slot, &read);
            let stays = tells || read.has_more || read.look_again;
            slot.read = (tells || !is_incremental).then(|| Box::new(read));
            if stays {
                set.activate(at);
            }
        }
        // Nothing to wait for. What is unknown stays active, so that none of it is missed here.
        visit.is_urgent |= unknown == set.len();
        visit
    }

    fn read_slot(
        &self,
        image: &MetadataImage,
        set: &mut FetchSet,
        at: u32,
        left: i64,
        min_one_batch: bool,
        counts: bool,
    ) -> Option<PartitionRead> {
        let slot = set.slot_mut(at)?;
        if counts {
            slot.unknown = None;
        } else if let Some(error) = slot.unknown {
            return Some(PartitionRead::unknown(error));
        }
        let attached = slot.replica.clone().filter(|p| !p.is_gone());
        let partition = match attached {
            Some(partition) => partition,
            None => match self.shared.locate(image, topic_of(&slot.key), slot.key.partition) {
                Ok(partition) => {
                    set.attach(at, Some(Arc::clone(&partition)));
                    partition
                }
                Err(error) => {
                    set.attach(at, None);
                    let is_unknown =
                        matches!(error, ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId);
                    if !counts || !is_unknown {
                        return Some(PartitionRead::failed(error));
                    }
                    set.slot_mut(at)?.unknown = Some(error);
                    return Some(PartitionRead::unknown(error));
                }
            },
        };
        let ask = set.slot(at)?.ask;
        let replication = &self.shared.options.replication;
        let reader = Reader { rack: &self.rack, listener: &self.context.listener };
        if replication.rack_aware_reads
            && self.who.follower < 0
            && let Some(referred) = partition.refer(&ask, &reader)
        {
            return Some(referred);
        }
        let max_bytes = i64::from(ask.max_bytes).min(left);
        let limit = Limit { max_bytes, min_one_batch, parts: self.context.api_version < MAX_BYTES_FROM };
        Some(partition.read(&ask, &self.who, limit, counts))
    }

    /// The reply of a fetch that a newer one of its session overtook: nothing is taken from the session for it.
    fn reply_superseded(&self) -> Response {
        let session_id = match self.keep {
            Keep::Session(id) => id,
            Keep::New | Keep::Nothing => NO_SESSION,
        };
        encode(&self.context, FetchReply { session_id, ..FetchReply::default() })
    }

    fn reply(self) -> Response {
        let image = self.shared.image();
        let mut told = Vec::new();
        {
            let mut set = locked(&self.set);
            let order: Vec<u32> = if set.is_incremental {
                set.active.iter().copied().collect()
            } else {
                set.occupied().collect()
            };
            for at in order {
                let Some(slot) = set.slot_mut(at) else { continue };
                let Some(read) = slot.read.take() else { continue };
                slot.told_high_watermark = if read.error.is_some() { -1 } else { read.high_watermark };
                slot.told_log_start = read.log_start;
                let version = self.context.api_version;
                let mut read = *read;
                read.version_error =
                    slot.replica.as_ref().and_then(|replica| replica.refuse_version(version));
                told.push((at, slot.key.clone(), slot.ask.offset, read));
            }
            requeue(&mut set, &told);
        }
        let session_id = self.keep_set();
        let mut reply = FetchReply { session_id, ..FetchReply::default() };
        for (_, key, offset, read) in told {
            self.put(&image, &mut reply, &key, offset, read);
        }
        encode(&self.context, reply)
    }

    /// Keeps the set for the next fetch, where that was asked for.
    fn keep_set(&self) -> i32 {
        match self.keep {
            Keep::Nothing => NO_SESSION,
            Keep::Session(id) => id,
            Keep::New => {
                let is_privileged = self.who.follower >= 0;
                let uses_ids = self.context.api_version >= TOPIC_IDS_FROM;
                let now_ms = clock::steady().0;
                let sessions = &self.shared.sessions;
                let id = sessions.create(&self.set, is_privileged, uses_ids, now_ms, rand::random);
                if id != NO_SESSION {
                    let mut set = locked(&self.set);
                    set.is_incremental = true;
                    set.subscribe();
                }
                id
            }
        }
    }

    fn put(
        &self,
        image: &MetadataImage,
        reply: &mut FetchReply,
        key: &Key,
        offset: i64,
        read: PartitionRead,
    ) {
        let version = self.context.api_version;
        let topic = match topic_of(key) {
            TopicRef::Name(name) => image.topics.by_name(name),
            TopicRef::Id(id) => image.topics.by_id(id),
        };
        let mut partition = fetched(version, key.partition, offset, read);
        let is_elsewhere = partition.error_code == ErrorCode::NotLeaderOrFollower.code()
            || partition.error_code == ErrorCode::FencedLeaderEpoch.code();
        if version >= LEADER_HINTS_FROM && is_elsewhere {
            let (leader, endpoint) = leader_hint(image, topic, key.partition, &self.context.listener);
            partition.current_leader = Some(leader);
            add_endpoint(&mut reply.node_endpoints, endpoint);
        }
        let same =
            reply.topics.last_mut().filter(|last| last.topic_id == key.topic_id && last.name == key.name);
        match same {
            Some(topic) => topic.partitions.push(partition),
            None => reply.topics.push(FetchedTopic {
                name: key.name.clone(),
                topic_id: key.topic_id,
                partitions: vec![partition],
            }),
        }
    }
}

fn add_endpoint(endpoints: &mut Vec<NodeEndpoint>, endpoint: Option<NodeEndpoint>) {
    if let Some(endpoint) = endpoint
        && !endpoints.iter().any(|known| known.node_id == endpoint.node_id)
    {
        endpoints.push(endpoint);
    }
}

fn topic_of(key: &Key) -> TopicRef<'_> {
    if key.topic_id.is_nil() { TopicRef::Name(&key.name) } else { TopicRef::Id(&key.topic_id) }
}

/// Whether an incremental reply has to name the partition (`CachedPartition.maybeUpdateResponseData`).
fn has_news(slot: &Slot, read: &PartitionRead) -> bool {
    read.size_bytes > 0
        || read.is_refused()
        || slot.told_high_watermark != read.high_watermark
        || slot.told_log_start != read.log_start
}

/// Who was served goes to the back, so that under a limit everyone gets a turn; who has nothing more leaves.
fn requeue(set: &mut FetchSet, told: &[(u32, Key, i64, PartitionRead)]) {
    let mut served = Vec::new();
    for (at, _, _, read) in told {
        let stays = read.has_more || read.look_again || read.is_refused();
        if let Some(slot) = set.slot_mut(*at).filter(|_| read.size_bytes > 0 || !stays) {
            slot.is_active = false;
        }
        if read.size_bytes > 0 {
            served.push(*at);
        }
    }
    let mut active = std::mem::take(&mut set.active);
    active.retain(|at| set.slot(*at).is_some_and(|slot| slot.is_active));
    set.active = active;
    served.into_iter().for_each(|at| set.activate(at));
}

fn fetched(version: i16, index: i32, offset: i64, read: PartitionRead) -> FetchedPartition {
    if let Some(error) = read.version_error {
        return FetchedPartition::withheld(index, error.code());
    }
    let error = match read.error {
        // Clients that old do not know the code, and would not retry.
        Some(ErrorCode::KafkaStorageError) if version <= 5 => Some(ErrorCode::NotLeaderOrFollower),
        other => other,
    };
    let magic = fetch::magic_of_version(version);
    let records =
        if magic < 2 { old_format::convert(&read.records, magic, offset) } else { Ok(read.records) };
    let records = match records {
        Ok(records) => records,
        Err(error) => return FetchedPartition::withheld(index, error.code()),
    };
    let aborted = read.aborted.map(|aborted| {
        let one = |txn: jackdaw_log::AbortedTxn| AbortedTransaction {
            producer_id: txn.producer_id,
            first_offset: txn.first_offset,
        };
        aborted.into_iter().map(one).collect()
    });
    FetchedPartition {
        high_watermark: read.high_watermark,
        last_stable_offset: read.last_stable_offset,
        log_start_offset: read.log_start,
        diverging_epoch: read.diverging,
        preferred_read_replica: read.preferred.unwrap_or(-1),
        aborted_transactions: aborted,
        records: Some(records),
        ..FetchedPartition::empty(index, error.map_or(0, |error| error.code()))
    }
}

/// Encodes the body; the frame's length and header are the connection's to put before it.
fn encode(context: &RequestContext, reply: FetchReply) -> Response {
    let header_bytes = if context.api_version >= FLEXIBLE_FROM { 9 } else { 8 };
    match fetch::encode_fetch_response(context.api_version, context.correlation_id, reply) {
        Ok(mut segments) => {
            if let Some(Segment::Bytes(first)) = segments.first_mut() {
                first.advance(header_bytes.min(first.len()));
            }
            Response::Body(segments)
        }
        Err(error) => Response::Close(error.to_string()),
    }
}
