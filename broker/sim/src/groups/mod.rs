//! One group under coordinators that crash, move and linger, with members that are slow, silent or gone, over a network
//! that loses requests and replies.
//!
//! Drives `jackdaw-groups` with a model of the log (what is committed, and a tail that a new leader may or may not
//! have) and members of a few lines that do what clients do: of the classic protocol, of the consumer protocol
//! (KIP-848), or of both, each life of a member of another, so that the group goes back and forth between them. After
//! each step it checks what a group promises ([`promises`]): nobody gets a partition while somebody else who is in the
//! group has it; no committed offset goes back, on no coordinator; and once the faults stop, everyone has a part and
//! goes on committing.

mod classic;
mod consumer;
mod members;
mod promises;

use std::collections::BTreeMap;
use std::sync::Arc;

use jackdaw_groups::{Config, ConsumerConfig, Effect, Groups, RecordPlace, Reply, Request, Topic, Topics};
use jackdaw_wire::batch::BatchRef;
use jackdaw_wire::compression::Compression;
use jackdaw_wire::messages::GroupId;
use jackdaw_wire::types::Now;
use jackdaw_wire::{Bytes, ErrorCode, StrBytes, Uuid};

use crate::events::Events;
use crate::seeds::{Rng, is_traced};
use promises::Roll;

const MEMBERS: usize = 4;
const PARTITIONS: i32 = 7;
const SESSION_MS: i32 = 3_000;
const REBALANCE_MS: i32 = 2_000;
/// The longest that a member does without a heartbeat.
const BEAT_MS: i64 = 800;
/// A request that is not answered by then is given up, and was lost or has arrived: later it does not arrive.
const REQUEST_TIMEOUT_MS: i64 = 4_000;
const FAULTS_END_MS: i64 = 60_000;
const END_MS: i64 = 90_000;

const TOPIC_ID: Uuid = Uuid::from_u128(116);

/// Which protocols the members speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Classic,
    Consumer,
    /// Each life of a member one of the two.
    Mixed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Classic,
    Consumer,
}

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
    kind: Kind,
    id: StrBytes,
    /// Or the epoch.
    generation: i32,
    /// The next heartbeat leaves nothing out.
    says_all: bool,
    /// A coordinator that does not know yet that it is deposed told it what is its own.
    is_misled: bool,
    /// When it last sent one.
    beat_at_ms: i64,
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
    mode: Mode,
    rng: Rng,
    events: Events<Event>,
    /// Batches with their base offsets.
    log: Vec<(i64, Bytes)>,
    roll: Roll,
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
pub fn run(mode: Mode, seed: u64) {
    let mut world = World {
        mode,
        roll: Roll::default(),
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
            kind: Kind::Classic,
            says_all: false,
            is_misled: false,
            beat_at_ms: 0,
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
                    self.given_up(member);
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
        self.roll = Roll::default();
        self.log.iter().for_each(|(_, batch)| self.roll.read(batch));
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
            consumer: ConsumerConfig {
                session_timeout_ms: SESSION_MS,
                ..ConsumerConfig::with_defaults(self.mode != Mode::Classic)
            },
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
        let mut racks = vec![Vec::new(); PARTITIONS as usize];
        let topic = Topic::new(TOPIC_ID, StrBytes::from_static_str("t"), &mut racks);
        groups.set_topics(Arc::new(Topics::new(1, 1, [Arc::new(topic)])));
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
                    self.trace(|| {
                        format!("leadership {leadership} answers member {}: {reply:?}", asked.member)
                    });
                    if assigns(&reply) {
                        self.members[asked.member].is_misled = leadership != self.leadership;
                    }
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
            self.roll.read(&batch);
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
}

/// Whether the reply tells a member what is its own.
fn assigns(reply: &Reply) -> bool {
    match reply {
        Reply::Sync(reply) => reply.error_code == 0,
        Reply::ConsumerHeartbeat(reply) => reply.assignment.is_some(),
        _ => false,
    }
}

fn count_of(batch: &Bytes) -> i64 {
    i64::from(BatchRef::parse(batch).expect("a batch of ours").header.record_count)
}
