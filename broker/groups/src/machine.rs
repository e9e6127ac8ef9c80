//! The groups of one partition: where requests, outcomes, records and the time come in.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use jackdaw_wire::messages::{JoinGroupResponse, SyncGroupResponse};
use jackdaw_wire::record_codec::RecordError;
use jackdaw_wire::types::Now;
use jackdaw_wire::{Bytes, ErrorCode, StrBytes};

use crate::api::{Append, Config, Effect, Reply, Request, join_refusal, sync_refusal};
use crate::commit::OffsetWrite;
use crate::consumer::ConsumerWrite;
use crate::group::Group;
use crate::join::{StaticReplacement, kept};
use crate::load::Loading;
use crate::settings::{GroupSettings, Times};
use crate::topics::Topics;

/// What an append was for.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub group: StrBytes,
    pub incarnation: u64,
    pub what: Write,
}

#[derive(Debug)]
pub(crate) enum Write {
    /// The assignment of a generation.
    Assignment {
        generation: i32,
        assignment: BTreeMap<StrBytes, Bytes>,
    },
    /// A static member under its new id.
    StaticMember(StaticReplacement),
    /// The group without members.
    Emptied,
    Offsets(OffsetWrite),
    /// A step of a group of the consumer protocol.
    Consumer(Box<ConsumerWrite>),
}

/// What leaves the machine, and what it waits for.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    effects: Vec<Effect>,
    waiting: BTreeMap<u64, Waiting>,
    next_ticket: u64,
    /// Appends that failed before they began.
    failed: VecDeque<(u64, ErrorCode)>,
}

impl Outbox {
    pub fn answer(&mut self, token: u64, reply: Option<Reply>) {
        self.effects.extend(reply.map(|reply| Effect::Reply { token, reply }));
    }
}

/// What a step of a group has at hand.
pub(crate) struct Context<'a> {
    pub now: Now,
    pub config: &'a Config,
    pub out: &'a mut Outbox,
}

impl Context<'_> {
    pub fn reply(&mut self, token: u64, reply: Reply) {
        self.out.effects.push(Effect::Reply { token, reply });
    }

    pub fn reply_join(&mut self, token: u64, reply: JoinGroupResponse) {
        self.reply(token, Reply::Join(reply));
    }

    pub fn reply_sync(&mut self, token: u64, reply: SyncGroupResponse) {
        self.reply(token, Reply::Sync(reply));
    }

    /// Writes; the outcome comes back to [`Groups::appended`].
    pub fn write(&mut self, group: &Group, what: Write, batch: Result<Bytes, RecordError>) {
        self.out.next_ticket += 1;
        let ticket = self.out.next_ticket;
        let (name, incarnation) = (group.id.clone(), group.incarnation);
        self.out.waiting.insert(ticket, Waiting { group: name, incarnation, what });
        match batch {
            Ok(batch) => self.out.effects.push(Effect::Append(Append { ticket: Some(ticket), batch })),
            // What is too long for its field is too large for a record.
            Err(_) => self.out.failed.push_back((ticket, ErrorCode::MessageTooLarge)),
        }
    }

    /// Writes, and does not wait.
    pub fn write_unasked(&mut self, batch: Result<Bytes, RecordError>) {
        match batch {
            Ok(batch) => self.out.effects.push(Effect::Append(Append { ticket: None, batch })),
            Err(error) => {
                tracing::error!(target: "kafka.coordinator.group", "Failed to write tombstones: {error}");
            }
        }
    }
}

/// The coordinator of one partition's groups.
#[derive(Debug)]
pub struct Groups {
    pub(crate) config: Config,
    pub(crate) topics: Arc<Topics>,
    settings: Arc<GroupSettings>,
    pub(crate) groups: BTreeMap<StrBytes, Group>,
    /// Groups with offsets in open transactions, by producer id.
    producers: BTreeMap<i64, BTreeSet<StrBytes>>,
    pub(crate) out: Outbox,
    pub(crate) loading: Option<Loading>,
    pub(crate) expire_at_ms: Option<i64>,
    deadlines: BTreeMap<StrBytes, i64>,
    timeline: BTreeSet<(i64, StrBytes)>,
    pub(crate) next_incarnation: u64,
    has_resigned: bool,
}

impl Groups {
    /// Without groups: the log has them.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            topics: Arc::default(),
            settings: Arc::default(),
            groups: BTreeMap::new(),
            producers: BTreeMap::new(),
            out: Outbox::default(),
            loading: Some(Loading::default()),
            expire_at_ms: None,
            deadlines: BTreeMap::new(),
            timeline: BTreeSet::new(),
            next_incarnation: 0,
            has_resigned: false,
        }
    }

    /// What the calls so far want done, in order.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.out.effects)
    }

    /// The cluster's topics look like this from here on. Groups of the consumer protocol that read them are rebalanced when
    /// one of their members is next heard of.
    pub fn set_topics(&mut self, topics: Arc<Topics>) {
        self.topics = topics;
    }

    /// Single groups have these settings from here on; each member hears of them with its next heartbeat.
    pub fn set_settings(&mut self, settings: Arc<GroupSettings>) {
        self.settings = settings;
    }

    pub(crate) fn times_of(&self, id: &StrBytes) -> Times {
        Times::of(id, &self.settings, &self.config.consumer)
    }

    /// When [`Groups::tick`] is due, in `steady_ms`.
    pub fn next_deadline(&self) -> Option<i64> {
        let group = self.timeline.first().map(|(deadline_ms, _)| *deadline_ms);
        group.into_iter().chain(self.expire_at_ms).min()
    }

    pub(crate) fn new_group(&mut self, id: StrBytes, wall_ms: i64) -> &mut Group {
        self.next_incarnation += 1;
        let group = Group::new(id.clone(), self.next_incarnation, wall_ms);
        self.groups.entry(id).or_insert(group)
    }

    /// Runs a step of a group, if there is one of this name, and sees to its timers.
    pub(crate) fn with<T>(
        &mut self,
        now: Now,
        id: &StrBytes,
        step: impl FnOnce(&mut Group, &mut Context<'_>) -> T,
    ) -> Option<T> {
        let group = self.groups.get_mut(id)?;
        let mut context = Context { now, config: &self.config, out: &mut self.out };
        let result = step(group, &mut context);
        group.validate();
        let deadline_ms = group.next_deadline();
        self.schedule(id, deadline_ms);
        Some(result)
    }

    pub(crate) fn schedule(&mut self, id: &StrBytes, deadline_ms: Option<i64>) {
        let before = match deadline_ms {
            Some(deadline_ms) => self.deadlines.insert(id.clone(), deadline_ms),
            None => self.deadlines.remove(id),
        };
        if before == deadline_ms {
            return;
        }
        if let Some(before) = before {
            self.timeline.remove(&(before, id.clone()));
        }
        if let Some(deadline_ms) = deadline_ms {
            self.timeline.insert((deadline_ms, id.clone()));
        }
    }

    /// The group is no more.
    pub(crate) fn forget(&mut self, id: &StrBytes) {
        self.schedule(id, None);
        if let Some(group) = self.groups.remove(id) {
            group.offsets.producers().for_each(|producer| self.no_longer_open(producer, id));
        }
    }

    pub(crate) fn open_for(&mut self, producer_id: i64, id: &StrBytes) {
        self.producers.entry(producer_id).or_default().insert(id.clone());
    }

    fn no_longer_open(&mut self, producer_id: i64, id: &StrBytes) {
        if let Some(groups) = self.producers.get_mut(&producer_id) {
            groups.remove(id);
            if groups.is_empty() {
                self.producers.remove(&producer_id);
            }
        }
    }

    /// Takes a request; the reply to `token` may come with a later call.
    pub fn handle(&mut self, now: Now, token: u64, request: Request) {
        if self.has_resigned {
            return self.refuse(token, &request, ErrorCode::NotCoordinator);
        }
        match request.group().and_then(|id| self.groups.get_mut(&id)) {
            Some(group) if group.is_writing => group.waiting.push_back((token, request)),
            _ => self.serve(now, token, request),
        }
        self.settle_failed(now);
    }

    pub(crate) fn serve(&mut self, now: Now, token: u64, request: Request) {
        let request = match request {
            Request::Join { caller, unique, request } => {
                Request::Join { caller, unique, request: kept(request) }
            }
            request => request,
        };
        if let Some(id) = self.of_consumer_group(now, &request) {
            return self.ask_as_classic(now, token, &id, request);
        }
        match request {
            Request::ConsumerHeartbeat { .. } => self.consumer_heartbeat(now, token, request),
            Request::ConsumerDescribe(id) => self.describe_consumer(token, &id.0),
            Request::Join { caller, unique, request } => self.join(now, token, &caller, unique, request),
            Request::Sync(request) => self.sync(now, token, request),
            Request::Heartbeat(request) => self.heartbeat(now, token, &request),
            Request::Leave(request) => self.leave(now, token, request),
            Request::Commit { version, request } => self.commit(now, token, version, request),
            Request::TxnCommit(request) => self.txn_commit(now, token, request),
            Request::Fetch { group, require_stable } => self.fetch(token, &group, require_stable),
            Request::Describe(id) => self.describe(token, id),
            Request::List { states, types } => self.list(token, &states, &types),
            Request::Delete(id) => self.delete(now, token, id),
            Request::DeleteOffsets(request) => self.delete_offsets(now, token, &request),
            Request::TransactionEnded { producer_id, is_commit } => {
                for id in self.producers.remove(&producer_id).unwrap_or_default() {
                    if let Some(group) = self.groups.get_mut(&id) {
                        group.offsets.end_transaction(producer_id, is_commit);
                    }
                }
            }
            Request::PartitionsDeleted(partitions) => self.partitions_deleted(now, &partitions),
        }
    }

    /// Whether a classic request is to a group of the consumer protocol. One without members becomes what whoever joins
    /// it wants (`maybeDeleteEmptyConsumerGroup`).
    fn of_consumer_group(&mut self, now: Now, request: &Request) -> Option<StrBytes> {
        let id = match request {
            Request::Join { request, .. } => &request.group_id.0,
            Request::Sync(request) => &request.group_id.0,
            Request::Heartbeat(request) => &request.group_id.0,
            Request::Leave(request) => &request.group_id.0,
            _ => return None,
        };
        let group = self.groups.get_mut(id)?;
        let consumer = group.consumer.as_ref()?;
        if !consumer.members.is_empty() || !matches!(request, Request::Join { .. }) {
            return Some(id.clone());
        }
        let tombstones = consumer.tombstones();
        group.consumer = None;
        let (id, wall_ms, compression) = (id.clone(), now.wall_ms, self.config.compression);
        let batch = crate::consumer::encode(&id, &tombstones, wall_ms, compression);
        self.with(now, &id, |_, context| context.write_unasked(batch));
        None
    }

    pub(crate) fn reply(&mut self, token: u64, reply: Reply) {
        self.out.effects.push(Effect::Reply { token, reply });
    }

    pub(crate) fn refuse(&mut self, token: u64, request: &Request, error: ErrorCode) {
        if let Some(reply) = request.refusal(error) {
            self.reply(token, reply);
        }
    }

    /// What became of an append: the batch's base offset once it is committed, or the error that a producer would
    /// have been told.
    pub fn appended(&mut self, now: Now, ticket: u64, outcome: Result<i64, ErrorCode>) {
        self.settle(now, ticket, outcome);
        self.settle_failed(now);
    }

    fn settle_failed(&mut self, now: Now) {
        while let Some((ticket, error)) = self.out.failed.pop_front() {
            self.settle(now, ticket, Err(error));
        }
    }

    fn settle(&mut self, now: Now, ticket: u64, outcome: Result<i64, ErrorCode>) {
        let Some(Waiting { group: id, incarnation, what }) = self.out.waiting.remove(&ticket) else { return };
        let lives = self.groups.get(&id).is_some_and(|group| group.incarnation == incarnation);
        match what {
            // Whoever waited was answered when the group went away.
            _ if !lives && !matches!(what, Write::Offsets(_) | Write::Consumer(_)) => {}
            Write::Assignment { generation, assignment } => {
                self.with(now, &id, |group, context| {
                    group.assigned(context, generation, assignment, outcome.err());
                });
            }
            Write::StaticMember(replacement) => {
                self.with(now, &id, |group, context| {
                    group.static_member_stored(context, replacement, outcome.err());
                });
            }
            Write::Emptied => {
                if let Err(error) = outcome {
                    tracing::warn!(
                        target: "kafka.coordinator.group",
                        "Failed to write empty metadata for group {id}: {error}"
                    );
                }
            }
            Write::Offsets(write) => self.offsets_written(&id, lives, write, outcome),
            Write::Consumer(write) => self.consumer_written(now, &id, lives, *write, outcome),
        }
    }

    /// Timers are due.
    pub fn tick(&mut self, now: Now) {
        while let Some((deadline_ms, id)) = self.timeline.first().cloned() {
            if deadline_ms > now.steady_ms {
                break;
            }
            match self.groups.get(&id).is_some_and(|group| group.is_writing || group.consumer.is_some()) {
                true => self.consumer_tick(now, &id),
                false => drop(self.with(now, &id, |group, context| group.tick(context))),
            }
        }
        if self.expire_at_ms.is_some_and(|due_ms| due_ms <= now.steady_ms) {
            self.expire_at_ms = Some(now.steady_ms.saturating_add(self.config.retention_check_interval_ms));
            self.expire(now);
        }
        self.settle_failed(now);
    }

    /// Another broker coordinates these groups now, or none: everyone who waits is told to look for it, and whoever
    /// asks from here on (`onGroupUnloaded`).
    pub fn resign(&mut self, now: Now) {
        self.has_resigned = true;
        self.loading = None;
        self.expire_at_ms = None;
        let error = ErrorCode::NotCoordinator;
        for group in self.groups.values_mut() {
            for (token, request) in std::mem::take(&mut group.waiting) {
                self.out.answer(token, request.refusal(error));
            }
            for member in group.members.values_mut() {
                if let Some(token) = member.joining.take() {
                    let reply = Reply::Join(join_refusal(&member.id, error));
                    self.out.effects.push(Effect::Reply { token, reply });
                }
                if let Some(token) = member.syncing.take() {
                    self.out.effects.push(Effect::Reply { token, reply: Reply::Sync(sync_refusal(error)) });
                }
            }
        }
        self.groups.clear();
        self.producers.clear();
        self.deadlines.clear();
        self.timeline.clear();
        let tickets: Vec<u64> = self.out.waiting.keys().copied().collect();
        tickets.into_iter().for_each(|ticket| self.settle(now, ticket, Err(ErrorCode::NotLeaderOrFollower)));
    }
}

/// How the outcome of writing a group reaches its members (`GroupMetadataManager.storeGroup`).
pub(crate) fn of_group_write(error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::UnknownTopicOrPartition
        | ErrorCode::NotEnoughReplicas
        | ErrorCode::NotEnoughReplicasAfterAppend => ErrorCode::CoordinatorNotAvailable,
        ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError => ErrorCode::NotCoordinator,
        ErrorCode::RequestTimedOut => ErrorCode::RebalanceInProgress,
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge | ErrorCode::InvalidFetchSize => {
            ErrorCode::UnknownServerError
        }
        other => other,
    }
}

/// How the outcome of writing offsets reaches whoever committed them
/// (`GroupMetadataManager.maybeConvertOffsetCommitError`).
pub fn of_offset_write(error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::UnknownTopicOrPartition
        | ErrorCode::NotEnoughReplicas
        | ErrorCode::NotEnoughReplicasAfterAppend => ErrorCode::CoordinatorNotAvailable,
        ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError => ErrorCode::NotCoordinator,
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge | ErrorCode::InvalidFetchSize => {
            ErrorCode::InvalidCommitOffsetSize
        }
        other => other,
    }
}
