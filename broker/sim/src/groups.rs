//! One group under coordinators that crash, move and linger, with members that are slow, silent or gone, over a network
//! that loses requests and replies.
//!
//! Drives `jackdaw-groups` with a model of the log (what is committed, and a tail that a new leader may or may not
//! have) and members of a few lines that do what clients do. After each step it checks what a group promises: no
//! partition has two owners in one generation; no committed offset goes back, on no coordinator; and once the faults
//! stop, everyone has a part and goes on committing.

use std::collections::{BTreeMap, BTreeSet};

use jackdaw_groups::{Caller, Config, Effect, Groups, RecordPlace, Reply, Request};
use jackdaw_wire::batch::BatchRef;
use jackdaw_wire::compression::Compression;
use jackdaw_wire::messages::join_group_request::JoinGroupRequestProtocol;
use jackdaw_wire::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use jackdaw_wire::messages::offset_fetch_request::OffsetFetchRequestGroup;
use jackdaw_wire::messages::sync_group_request::SyncGroupRequestAssignment;
use jackdaw_wire::messages::{
    GroupId, HeartbeatRequest, JoinGroupRequest, OffsetCommitRequest, SyncGroupRequest, TopicName,
};
use jackdaw_wire::types::Now;
use jackdaw_wire::{Bytes, ErrorCode, StrBytes, Uuid};

use crate::events::Events;
use crate::seeds::{Rng, is_traced};

const MEMBERS: usize = 4;
const PARTITIONS: i32 = 7;
const SESSION_MS: i32 = 3_000;
const REBALANCE_MS: i32 = 2_000;
/// A request that is not answered by then is given up, and was lost or has arrived: later it does not arrive.
const REQUEST_TIMEOUT_MS: i64 = 4_000;
const FAULTS_END_MS: i64 = 60_000;
const END_MS: i64 = 90_000;

fn group_id() -> GroupId {
    GroupId(StrBytes::from_static_str("g"))
}

/// A coordinator: of the present leadership, or of a former one that does not know it yet.
struct Coordinator {
    groups: Groups,
    /// Appends whose outcome is to come: ticket, base offset, end offset.
    outstanding: Vec<(u64, i64, i64)>,
    /// Who waits, by token.
    waiting: BTreeMap<u64, Asked>,
    next_token: u64,
    /// When its timers are looked at next.
    tick_at_ms: Option<i64>,
}

/// A request that a coordinator has.
struct Asked {
    member: usize,
    life: u64,
    number: u64,
    request: Request,
}

/// What a member does at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    Joining,
    Syncing,
    Fetching,
    Working,
}

struct Member {
    /// Counts its lives: replies to a former one are not its own.
    life: u64,
    up: bool,
    /// Frozen until then: it neither sends nor reads, and believes what it believed.
    frozen_until_ms: i64,
    doing: Doing,
    id: StrBytes,
    generation: i32,
    /// The leadership it talks to.
    coordinator: u64,
    /// What it assigns, if it leads.
    assigns: Vec<(StrBytes, Vec<i32>)>,
    /// Its partitions, each with the last offset that it knows to be committed.
    owned: BTreeMap<i32, i64>,
    request: u64,
    commits: u64,
}

enum Event {
    /// A request arrives.
    Arrives {
        leadership: u64,
        member: usize,
        life: u64,
        number: u64,
        request: Box<Request>,
    },
    /// A reply arrives.
    Answered {
        member: usize,
        life: u64,
        number: u64,
        reply: Box<Reply>,
    },
    /// A request is given up.
    GivenUp {
        member: usize,
        life: u64,
        number: u64,
    },
    /// A member does the next thing.
    Acts {
        member: usize,
        life: u64,
    },
    /// Timers of a coordinator.
    Tick {
        leadership: u64,
    },
    /// Replicas have the log of this leadership up to here.
    Committed {
        leadership: u64,
        up_to: i64,
    },
    /// The leadership is told to be over.
    Resigns {
        leadership: u64,
    },
    /// A new leader has loaded the log.
    Loaded {
        leadership: u64,
    },
    Fault,
}

struct World {
    rng: Rng,
    events: Events<Event>,
    /// Batches with their base offsets.
    log: Vec<(i64, Bytes)>,
    end: i64,
    committed: i64,
    leadership: u64,
    coordinators: BTreeMap<u64, Coordinator>,
    members: Vec<Member>,
    owners: BTreeMap<i32, BTreeMap<i32, StrBytes>>,
    acknowledged: BTreeMap<i32, i64>,
    ids: u128,
    traced: bool,
}

/// Runs one seed.
///
/// # Panics
/// Where a promise is broken.
pub fn run(seed: u64) {
    let mut world = World {
        rng: Rng::new(seed),
        events: Events::default(),
        log: Vec::new(),
        end: 0,
        committed: 0,
        leadership: 0,
        coordinators: BTreeMap::new(),
        members: Vec::new(),
        owners: BTreeMap::new(),
        acknowledged: BTreeMap::new(),
        ids: 0,
        traced: is_traced(),
    };
    world.elect();
    for at in 0..MEMBERS {
        world.members.push(Member::new());
        world.revive(at);
    }
    world.events.after(500, Event::Fault);
    while world.events.now_ms() < END_MS {
        let Some(event) = world.events.next_event() else { break };
        world.step(event);
    }
    world.check_progress();
}

impl Member {
    fn new() -> Self {
        Self {
            life: 0,
            up: false,
            frozen_until_ms: 0,
            doing: Doing::Joining,
            id: StrBytes::default(),
            generation: -1,
            coordinator: 0,
            assigns: Vec::new(),
            owned: BTreeMap::new(),
            request: 0,
            commits: 0,
        }
    }
}

impl World {
    fn now(&self) -> Now {
        let steady_ms = self.events.now_ms();
        Now { wall_ms: 1_700_000_000_000 + steady_ms, steady_ms }
    }

    fn has_faults(&self) -> bool {
        self.events.now_ms() < FAULTS_END_MS
    }

    fn trace(&self, line: impl FnOnce() -> String) {
        if self.traced {
            eprintln!("{:>6} {}", self.events.now_ms(), line());
        }
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Arrives { leadership, member, life, number, request } => {
                self.arrives(leadership, member, life, number, *request);
            }
            Event::Answered { member, life, number, reply } => self.answered(member, life, number, *reply),
            Event::GivenUp { member, life, number } => {
                let given_up = &self.members[member];
                if given_up.life == life && given_up.request == number {
                    self.trace(|| format!("member {member} gives its request up"));
                    self.rejoin(member);
                }
            }
            Event::Acts { member, life } => self.acts(member, life),
            Event::Tick { leadership } => {
                let now = self.now();
                if let Some(coordinator) = self.coordinators.get_mut(&leadership) {
                    coordinator.tick_at_ms = None;
                    coordinator.groups.tick(now);
                    self.carry_out(leadership);
                }
            }
            Event::Committed { leadership, up_to } => self.is_committed(leadership, up_to),
            Event::Resigns { leadership } => {
                let now = self.now();
                if let Some(coordinator) = self.coordinators.get_mut(&leadership) {
                    coordinator.groups.resign(now);
                    self.carry_out(leadership);
                    self.coordinators.remove(&leadership);
                }
            }
            Event::Loaded { leadership } => self.load(leadership),
            Event::Fault => self.fault(),
        }
    }

    // ── coordinators ────────────────────────────────────────────────────────────────────────────────

    /// Another leadership begins. It may lack what was not committed.
    fn elect(&mut self) {
        self.leadership += 1;
        let leadership = self.leadership;
        let tail = self.log.iter().filter(|(offset, _)| *offset >= self.committed).count() as u64;
        let kept = self.log.len() - self.rng.below(tail + 1) as usize;
        self.log.truncate(kept);
        self.end = self.log.last().map_or(0, |(offset, batch)| offset + count_of(batch));
        self.trace(|| format!("leadership {leadership} begins with a log up to {}", self.end));
        let delay_ms = self.rng.between(0, 300);
        self.events.after(delay_ms, Event::Loaded { leadership });
    }

    fn load(&mut self, leadership: u64) {
        if leadership != self.leadership {
            return;
        }
        let config = Config {
            min_session_timeout_ms: 1,
            max_session_timeout_ms: 100_000,
            max_size: MEMBERS * 4,
            initial_rebalance_delay_ms: 200,
            max_metadata_length: 100,
            retention_ms: 10_000_000,
            retention_check_interval_ms: 10_000,
            compression: Compression::None,
        };
        let mut groups = Groups::new(config);
        for (offset, batch) in &self.log {
            let batch = BatchRef::parse(batch).expect("a batch of ours");
            let place = RecordPlace { batch_offset: *offset, producer_id: -1, is_transactional: false };
            let mut scratch = Vec::new();
            for record in batch.records(1 << 20, &mut scratch).expect("records of ours") {
                let record = record.expect("a record of ours");
                let copied = |bytes: Option<&[u8]>| bytes.map(Bytes::copy_from_slice);
                groups
                    .load(place, copied(record.key), copied(record.value))
                    .expect("what was written is read");
            }
        }
        groups.loaded(self.now());
        let coordinator = Coordinator {
            groups,
            outstanding: Vec::new(),
            waiting: BTreeMap::new(),
            next_token: 0,
            tick_at_ms: None,
        };
        self.coordinators.insert(leadership, coordinator);
        self.check_offsets(leadership);
        self.carry_out(leadership);
        // What it has is the log now.
        let delay_ms = self.rng.between(1, 100);
        self.events.after(delay_ms, Event::Committed { leadership, up_to: self.end });
    }

    fn arrives(&mut self, leadership: u64, member: usize, life: u64, number: u64, request: Request) {
        let now = self.now();
        let Some(coordinator) = self.coordinators.get_mut(&leadership) else {
            // Loading, or gone: the one says so, the other says nothing.
            if leadership == self.leadership
                && let Some(reply) = request.refusal(ErrorCode::CoordinatorLoadInProgress)
            {
                self.send_reply(member, life, number, reply);
            }
            return;
        };
        coordinator.next_token += 1;
        let token = coordinator.next_token;
        coordinator.waiting.insert(token, Asked { member, life, number, request: request.clone() });
        coordinator.groups.handle(now, token, request);
        self.carry_out(leadership);
    }

    fn carry_out(&mut self, leadership: u64) {
        let Some(coordinator) = self.coordinators.get_mut(&leadership) else { return };
        let effects = coordinator.groups.take_effects();
        for effect in effects {
            match effect {
                Effect::Append(append) => self.append(leadership, append.ticket, append.batch),
                Effect::Reply { token, reply } => {
                    let Some(coordinator) = self.coordinators.get_mut(&leadership) else { continue };
                    let asked = coordinator.waiting.remove(&token).expect("one reply to a request");
                    self.check_reply(leadership, &asked.request, &reply);
                    self.send_reply(asked.member, asked.life, asked.number, reply);
                }
            }
        }
        let now_ms = self.events.now_ms();
        if let Some(coordinator) = self.coordinators.get_mut(&leadership)
            && let Some(due_ms) = coordinator.groups.next_deadline()
            && coordinator.tick_at_ms.is_none_or(|tick_ms| tick_ms > due_ms)
        {
            coordinator.tick_at_ms = Some(due_ms);
            self.events.after(due_ms - now_ms, Event::Tick { leadership });
        }
    }

    fn append(&mut self, leadership: u64, ticket: Option<u64>, batch: Bytes) {
        let base = self.end;
        let end = base + count_of(&batch);
        let leads = leadership == self.leadership;
        if leads {
            self.log.push((base, batch));
            self.end = end;
        }
        if let (Some(ticket), Some(coordinator)) = (ticket, self.coordinators.get_mut(&leadership)) {
            coordinator.outstanding.push((ticket, base, if leads { end } else { i64::MAX }));
        }
        let delay_ms = self.rng.between(1, if self.has_faults() { 400 } else { 20 });
        self.events.after(delay_ms, Event::Committed { leadership, up_to: end });
    }

    /// The replicas have it, unless the leadership is over: then its appends fail.
    fn is_committed(&mut self, leadership: u64, up_to: i64) {
        let leads = leadership == self.leadership;
        if leads {
            self.committed = self.committed.max(up_to);
        }
        let (now, committed) = (self.now(), self.committed);
        let slow = self.has_faults() && self.rng.chance(3);
        let Some(coordinator) = self.coordinators.get_mut(&leadership) else { return };
        let is_settled = |(_, _, end): &(u64, i64, i64)| !leads || *end <= committed;
        let settled: Vec<_> = coordinator.outstanding.iter().copied().filter(is_settled).collect();
        coordinator.outstanding.retain(|one| !is_settled(one));
        for (ticket, base, _) in settled {
            let outcome = match leads {
                // It is in the log, and whoever waits hears otherwise.
                true if slow => Err(ErrorCode::RequestTimedOut),
                true => Ok(base),
                false => Err(ErrorCode::NotLeaderOrFollower),
            };
            coordinator.groups.appended(now, ticket, outcome);
        }
        self.carry_out(leadership);
    }

    // ── members ─────────────────────────────────────────────────────────────────────────────────────

    fn revive(&mut self, at: usize) {
        let commits = self.members[at].commits;
        let life = self.members[at].life + 1;
        self.members[at] = Member { life, up: true, commits, ..Member::new() };
        self.act_after(at, 1, 200);
    }

    fn act_after(&mut self, at: usize, low_ms: i64, high_ms: i64) {
        let delay_ms = self.rng.between(low_ms, high_ms);
        self.events.after(delay_ms, Event::Acts { member: at, life: self.members[at].life });
    }

    /// It looks for the coordinator anew, and joins.
    fn rejoin(&mut self, at: usize) {
        let member = &mut self.members[at];
        member.request += 1;
        member.doing = Doing::Joining;
        member.owned.clear();
        member.generation = -1;
        self.act_after(at, 10, 150);
    }

    fn acts(&mut self, at: usize, life: u64) {
        let now_ms = self.events.now_ms();
        let member = &self.members[at];
        if !member.up || member.life != life {
            return;
        }
        if member.frozen_until_ms > now_ms {
            let delay_ms = member.frozen_until_ms - now_ms;
            return self.events.after(delay_ms, Event::Acts { member: at, life });
        }
        let request = match member.doing {
            Doing::Joining => {
                // What it is told may be out of date.
                let stale = self.has_faults() && self.rng.chance(10);
                let known: Vec<u64> = self.coordinators.keys().copied().collect();
                let old = self.rng.pick(&known).copied();
                let leadership = old.filter(|_| stale).unwrap_or(self.leadership);
                self.members[at].coordinator = leadership;
                self.join_request(at)
            }
            Doing::Syncing => self.sync_request(at),
            Doing::Fetching => {
                let group = OffsetFetchRequestGroup::default().with_group_id(group_id()).with_topics(None);
                Request::Fetch { group, require_stable: true }
            }
            Doing::Working if self.rng.chance(50) => self.commit_request(at),
            Doing::Working => Request::Heartbeat(
                HeartbeatRequest::default()
                    .with_group_id(group_id())
                    .with_generation_id(self.members[at].generation)
                    .with_member_id(self.members[at].id.clone()),
            ),
        };
        self.send(at, request);
    }

    fn send(&mut self, at: usize, request: Request) {
        self.members[at].request += 1;
        let (life, number, leadership) =
            (self.members[at].life, self.members[at].request, self.members[at].coordinator);
        self.events.after(REQUEST_TIMEOUT_MS, Event::GivenUp { member: at, life, number });
        if self.has_faults() && self.rng.chance(3) {
            return;
        }
        let delay_ms = self.rng.between(1, 50);
        let request = Box::new(request);
        self.events.after(delay_ms, Event::Arrives { leadership, member: at, life, number, request });
    }

    fn send_reply(&mut self, member: usize, life: u64, number: u64, reply: Reply) {
        if self.has_faults() && self.rng.chance(3) {
            return;
        }
        let delay_ms = self.rng.between(1, 50);
        self.events.after(delay_ms, Event::Answered { member, life, number, reply: Box::new(reply) });
    }

    fn join_request(&mut self, at: usize) -> Request {
        self.ids += 1;
        let protocol = JoinGroupRequestProtocol::default()
            .with_name(StrBytes::from_static_str("range"))
            .with_metadata(Bytes::from_static(b"\0\0\0\0\0\x01\0\x01t\xff\xff\xff\xff"));
        let request = JoinGroupRequest::default()
            .with_group_id(group_id())
            .with_session_timeout_ms(SESSION_MS)
            .with_rebalance_timeout_ms(REBALANCE_MS)
            .with_member_id(self.members[at].id.clone())
            .with_protocol_type(StrBytes::from_static_str("consumer"))
            .with_protocols(vec![protocol]);
        let caller = Caller {
            version: 9,
            client_id: StrBytes::from(format!("m{at}")),
            client_host: StrBytes::from_static_str("/127.0.0.1"),
        };
        Request::Join { caller, unique: Uuid::from_u128(self.ids), request }
    }

    fn sync_request(&self, at: usize) -> Request {
        let member = &self.members[at];
        let assignment = |(id, partitions): &(StrBytes, Vec<i32>)| {
            let bytes: Vec<u8> = partitions.iter().map(|partition| *partition as u8).collect();
            SyncGroupRequestAssignment::default().with_member_id(id.clone()).with_assignment(bytes.into())
        };
        let request = SyncGroupRequest::default()
            .with_group_id(group_id())
            .with_generation_id(member.generation)
            .with_member_id(member.id.clone())
            .with_assignments(member.assigns.iter().map(assignment).collect());
        Request::Sync(request)
    }

    fn commit_request(&self, at: usize) -> Request {
        let member = &self.members[at];
        let partition = |(index, offset): (&i32, &i64)| {
            OffsetCommitRequestPartition::default()
                .with_partition_index(*index)
                .with_committed_offset(offset + 1)
                .with_commit_timestamp(-1)
        };
        let topic = OffsetCommitRequestTopic::default()
            .with_name(TopicName(StrBytes::from_static_str("t")))
            .with_partitions(member.owned.iter().map(partition).collect());
        let request = OffsetCommitRequest::default()
            .with_group_id(group_id())
            .with_generation_id_or_member_epoch(member.generation)
            .with_member_id(member.id.clone())
            .with_retention_time_ms(-1)
            .with_topics(vec![topic]);
        Request::Commit(request)
    }

    fn answered(&mut self, at: usize, life: u64, number: u64, reply: Reply) {
        let now_ms = self.events.now_ms();
        let member = &mut self.members[at];
        if !member.up || member.life != life || member.request != number {
            return;
        }
        if member.frozen_until_ms > now_ms {
            let delay_ms = member.frozen_until_ms - now_ms;
            let reply = Box::new(reply);
            return self.events.after(delay_ms, Event::Answered { member: at, life, number, reply });
        }
        // The request is done; what is given up from here on is the next one.
        member.request += 1;
        match reply {
            Reply::Join(reply) => self.joined(at, reply),
            Reply::Sync(reply) if reply.error_code == 0 => {
                member.owned = reply.assignment.iter().map(|byte| (i32::from(*byte), -1)).collect();
                member.doing = Doing::Fetching;
                self.act_after(at, 1, 20);
            }
            Reply::Fetch(reply) if reply.error_code == 0 => self.fetched(at, &reply),
            Reply::Commit(reply) => {
                let errors = reply.topics.iter().flat_map(|topic| &topic.partitions).map(|p| p.error_code);
                match errors.max() {
                    None | Some(0) => {
                        member.owned.values_mut().for_each(|offset| *offset += 1);
                        member.commits += 1;
                        self.act_after(at, 50, 400);
                    }
                    Some(_) => self.rejoin(at),
                }
            }
            Reply::Heartbeat(reply) if reply.error_code == 0 => self.act_after(at, 50, 400),
            _ => self.rejoin(at),
        }
    }

    fn joined(&mut self, at: usize, reply: jackdaw_wire::messages::JoinGroupResponse) {
        let member = &mut self.members[at];
        match ErrorCode::try_from_code(reply.error_code) {
            None => {
                member.id = reply.member_id;
                member.generation = reply.generation_id;
                let ids: Vec<StrBytes> = reply.members.into_iter().map(|member| member.member_id).collect();
                let part = |at: usize| (0..PARTITIONS).filter(|p| *p as usize % ids.len() == at).collect();
                member.assigns = ids.iter().enumerate().map(|(at, id)| (id.clone(), part(at))).collect();
                member.doing = Doing::Syncing;
                self.act_after(at, 1, 20);
            }
            Some(ErrorCode::MemberIdRequired) => {
                member.id = reply.member_id;
                self.act_after(at, 1, 20);
            }
            Some(ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration) => {
                member.id = StrBytes::default();
                self.rejoin(at);
            }
            Some(_) => self.rejoin(at),
        }
    }

    fn fetched(
        &mut self,
        at: usize,
        reply: &jackdaw_wire::messages::offset_fetch_response::OffsetFetchResponseGroup,
    ) {
        let partitions: Vec<_> = reply.topics.iter().flat_map(|topic| &topic.partitions).collect();
        if partitions.iter().any(|partition| partition.error_code != 0) {
            // Something is still on its way to the log: ask again.
            return self.act_after(at, 20, 60);
        }
        let member = &mut self.members[at];
        for partition in partitions {
            if let Some(known) = member.owned.get_mut(&partition.partition_index) {
                *known = partition.committed_offset;
            }
        }
        member.doing = Doing::Working;
        self.act_after(at, 1, 100);
    }

    // ── faults ──────────────────────────────────────────────────────────────────────────────────────

    fn fault(&mut self) {
        if !self.has_faults() {
            for at in 0..MEMBERS {
                if !self.members[at].up {
                    self.revive(at);
                }
                self.members[at].commits = 0;
            }
            return;
        }
        let at = self.rng.below(MEMBERS as u64) as usize;
        match self.rng.below(6) {
            0 => {
                self.trace(|| format!("leadership {} crashes", self.leadership));
                self.coordinators.remove(&self.leadership);
                self.elect();
            }
            1 | 2 => {
                let (old, lingers_ms) = (self.leadership, self.rng.between(0, 4_000));
                self.trace(|| format!("leadership {old} moves, and lingers for {lingers_ms} ms"));
                self.events.after(lingers_ms, Event::Resigns { leadership: old });
                self.elect();
            }
            3 => {
                let until_ms = self.events.now_ms() + self.rng.between(100, 8_000);
                self.trace(|| format!("member {at} freezes until {until_ms}"));
                self.members[at].frozen_until_ms = until_ms;
            }
            4 => {
                self.trace(|| format!("member {at} dies"));
                self.members[at].up = false;
            }
            _ => {
                if !self.members[at].up {
                    self.revive(at);
                }
            }
        }
        let delay_ms = self.rng.between(100, 3_000);
        self.events.after(delay_ms, Event::Fault);
    }

    // ── promises ────────────────────────────────────────────────────────────────────────────────────

    fn check_reply(&mut self, leadership: u64, request: &Request, reply: &Reply) {
        match (request, reply) {
            (Request::Sync(request), Reply::Sync(reply)) if reply.error_code == 0 => {
                let owners = self.owners.entry(request.generation_id).or_default();
                for byte in &reply.assignment {
                    let owner = owners.entry(i32::from(*byte)).or_insert_with(|| request.member_id.clone());
                    assert_eq!(
                        *owner, request.member_id,
                        "partition {byte} has two owners in generation {}",
                        request.generation_id
                    );
                }
            }
            (Request::Commit(request), Reply::Commit(reply)) => {
                let told = reply.topics.iter().flat_map(|topic| &topic.partitions);
                let done: BTreeSet<i32> =
                    told.filter(|p| p.error_code == 0).map(|p| p.partition_index).collect();
                let asked = request.topics.iter().flat_map(|topic| &topic.partitions);
                for partition in asked.filter(|p| done.contains(&p.partition_index)) {
                    let (index, offset) = (partition.partition_index, partition.committed_offset);
                    let before = self.acknowledged.insert(index, offset).unwrap_or(-1);
                    assert!(offset >= before, "partition {index} went back from {before} to {offset}");
                }
            }
            // One that lingers may tell what was; who leads may not.
            (Request::Fetch { .. }, Reply::Fetch(reply)) if leadership == self.leadership => {
                for partition in reply.topics.iter().flat_map(|topic| &topic.partitions) {
                    let known = self.acknowledged.get(&partition.partition_index).copied().unwrap_or(-1);
                    let is_told = partition.error_code == 0;
                    assert!(
                        !is_told || partition.committed_offset >= known,
                        "{partition:?} is behind {known}"
                    );
                }
            }
            _ => {}
        }
    }

    /// A new coordinator knows every offset that was acknowledged.
    fn check_offsets(&mut self, leadership: u64) {
        let now = self.now();
        let Some(coordinator) = self.coordinators.get_mut(&leadership) else { return };
        let group = OffsetFetchRequestGroup::default().with_group_id(group_id()).with_topics(None);
        coordinator.groups.handle(now, u64::MAX, Request::Fetch { group, require_stable: false });
        let mut known: BTreeMap<i32, i64> = BTreeMap::new();
        for effect in coordinator.groups.take_effects() {
            if let Effect::Reply { reply: Reply::Fetch(reply), .. } = effect {
                let told = reply.topics.iter().flat_map(|topic| &topic.partitions);
                known.extend(told.map(|p| (p.partition_index, p.committed_offset)));
            }
        }
        for (partition, offset) in &self.acknowledged {
            let has = known.get(partition).copied().unwrap_or(-1);
            assert!(has >= *offset, "partition {partition} went back from {offset} to {has}");
        }
    }

    fn check_progress(&self) {
        let up: BTreeSet<&StrBytes> = self.members.iter().map(|member| &member.id).collect();
        assert_eq!(up.len(), MEMBERS, "every member has an id of its own");
        let owned: Vec<i32> = self.members.iter().flat_map(|member| member.owned.keys().copied()).collect();
        let distinct: BTreeSet<i32> = owned.iter().copied().collect();
        let states: Vec<_> = self.members.iter().map(|m| (m.doing, m.generation, &m.owned)).collect();
        assert_eq!(owned.len(), PARTITIONS as usize, "each partition has one owner at the end: {states:?}");
        assert_eq!(distinct.len(), owned.len(), "no partition has two at the end: {states:?}");
        for member in &self.members {
            assert!(member.commits > 0, "every member committed something: {states:?}");
        }
    }
}

fn count_of(batch: &Bytes) -> i64 {
    i64::from(BatchRef::parse(batch).expect("a batch of ours").header.record_count)
}
