//! What members of either protocol do: they ask, wait, give up, commit, and go on from what was committed before them.

use jackdaw_groups::{Reply, Request};
use jackdaw_wire::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use jackdaw_wire::messages::offset_fetch_request::OffsetFetchRequestGroup;
use jackdaw_wire::messages::offset_fetch_response::OffsetFetchResponseGroup;
use jackdaw_wire::messages::{OffsetCommitRequest, TopicName};
use jackdaw_wire::{ErrorCode, StrBytes};

use super::{BEAT_MS, Doing, Event, Kind, Member, Mode, REQUEST_TIMEOUT_MS, World, group_id};

/// A partition of which a member does not know yet where to begin.
pub(super) const UNKNOWN_OFFSET: i64 = -2;

impl World {
    pub(super) fn revive(&mut self, at: usize) {
        let commits = self.members[at].commits;
        let life = self.members[at].life + 1;
        let kind = match self.mode {
            Mode::Classic => Kind::Classic,
            Mode::Consumer => Kind::Consumer,
            Mode::Mixed => *self.rng.pick(&[Kind::Classic, Kind::Consumer]).expect("there are two"),
        };
        let id = match kind {
            Kind::Classic => StrBytes::default(),
            Kind::Consumer => StrBytes::from(format!("c{at}-{life}")),
        };
        self.trace(|| format!("member {at} is up as a {kind:?} one"));
        self.members[at] = Member { life, up: true, commits, kind, id, ..Member::new() };
        self.act_after(at, 1, 200);
    }

    pub(super) fn act_after(&mut self, at: usize, low_ms: i64, high_ms: i64) {
        let delay_ms = self.rng.between(low_ms, high_ms);
        self.events.after(delay_ms, Event::Acts { member: at, life: self.members[at].life });
    }

    /// It gives up what it has, looks for the coordinator anew, and joins.
    pub(super) fn rejoin(&mut self, at: usize) {
        let member = &mut self.members[at];
        member.request += 1;
        member.doing = Doing::Joining;
        member.owned.clear();
        member.is_misled = false;
        member.generation = -1;
        self.act_after(at, 10, 150);
    }

    /// Where the member believes its coordinator to be, which may be out of date.
    pub(super) fn look_for_coordinator(&mut self, at: usize) {
        let stale = self.has_faults() && self.rng.chance(10);
        let known: Vec<u64> = self.coordinators.keys().copied().collect();
        let old = self.rng.pick(&known).copied();
        self.members[at].coordinator = old.filter(|_| stale).unwrap_or(self.leadership);
    }

    pub(super) fn acts(&mut self, at: usize, life: u64) {
        let now_ms = self.events.now_ms();
        let member = &self.members[at];
        if !member.up || member.life != life {
            return;
        }
        if member.frozen_until_ms > now_ms {
            let delay_ms = member.frozen_until_ms - now_ms;
            return self.events.after(delay_ms, Event::Acts { member: at, life });
        }
        let (kind, doing, owns) = (member.kind, member.doing, !member.owned.is_empty());
        let may_commit = owns && now_ms - member.beat_at_ms < BEAT_MS;
        let request = match doing {
            Doing::Joining => {
                self.look_for_coordinator(at);
                match kind {
                    Kind::Classic => self.join_request(at),
                    Kind::Consumer => self.heartbeat_request(at),
                }
            }
            Doing::Syncing => self.sync_request(at),
            Doing::Fetching => {
                let group = OffsetFetchRequestGroup::default().with_group_id(group_id()).with_topics(None);
                Request::Fetch { group, require_stable: true }
            }
            Doing::Working if may_commit && self.rng.chance(50) => self.commit_request(at),
            Doing::Working => {
                self.members[at].beat_at_ms = now_ms;
                match kind {
                    Kind::Classic => self.classic_heartbeat_request(at),
                    Kind::Consumer => self.heartbeat_request(at),
                }
            }
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

    pub(super) fn send_reply(&mut self, member: usize, life: u64, number: u64, reply: Reply) {
        if self.has_faults() && self.rng.chance(3) {
            return;
        }
        let delay_ms = self.rng.between(1, 50);
        self.events.after(delay_ms, Event::Answered { member, life, number, reply: Box::new(reply) });
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
        Request::Commit { version: 9, request }
    }

    pub(super) fn given_up(&mut self, at: usize) {
        self.trace(|| format!("member {at} gives its request up"));
        self.go_on(at);
    }

    /// Something went wrong that says nothing of the member: a classic one joins again, one of the consumer protocol
    /// keeps what it has and says all of it to whoever coordinates now.
    pub(super) fn go_on(&mut self, at: usize) {
        match self.members[at].kind {
            Kind::Classic => self.rejoin(at),
            Kind::Consumer => self.say_all_again(at),
        }
    }

    pub(super) fn answered(&mut self, at: usize, life: u64, number: u64, reply: Reply) {
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
            Reply::Sync(reply) => self.synced(at, reply),
            Reply::ConsumerHeartbeat(reply) => self.heartbeat_answered(at, reply),
            Reply::Fetch(reply) if reply.error_code == 0 => self.fetched(at, &reply),
            Reply::Commit(reply) => {
                let errors = reply.topics.iter().flat_map(|topic| &topic.partitions).map(|p| p.error_code);
                match errors.max().and_then(ErrorCode::try_from_code) {
                    None => {
                        member.owned.values_mut().for_each(|offset| *offset += 1);
                        member.commits += 1;
                        self.act_after(at, 50, 400);
                    }
                    Some(_) => self.go_on(at),
                }
            }
            Reply::Heartbeat(reply) if reply.error_code == 0 => self.act_after(at, 50, 400),
            _ => self.go_on(at),
        }
    }

    fn fetched(&mut self, at: usize, reply: &OffsetFetchResponseGroup) {
        let partitions: Vec<_> = reply.topics.iter().flat_map(|topic| &topic.partitions).collect();
        if partitions.iter().any(|partition| partition.error_code != 0) {
            // Something is still on its way to the log: ask again.
            return self.act_after(at, 20, 60);
        }
        let member = &mut self.members[at];
        for (index, offset) in member.owned.iter_mut().filter(|(_, offset)| **offset == UNKNOWN_OFFSET) {
            let known = partitions.iter().find(|partition| partition.partition_index == *index);
            *offset = known.map_or(-1, |partition| partition.committed_offset);
        }
        member.doing = Doing::Working;
        self.act_after(at, 1, 100);
    }
}
