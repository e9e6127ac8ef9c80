//! A member of the consumer protocol: it says what it has with each heartbeat, gives up first what it is no longer told,
//! and begins anew where it is fenced.

use std::collections::BTreeSet;

use jackdaw_groups::{Caller, Request};
use jackdaw_wire::consumer_group::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, TopicPartitions,
};
use jackdaw_wire::{ErrorCode, StrBytes, Uuid};

use super::members::UNKNOWN_OFFSET;
use super::{Doing, REBALANCE_MS, TOPIC_ID, World, group_id};

impl World {
    pub(super) fn heartbeat_request(&mut self, at: usize) -> Request {
        let member = &mut self.members[at];
        let joins = member.doing == Doing::Joining && member.generation <= 0;
        if joins {
            member.generation = 0;
        }
        let is_full = joins || std::mem::take(&mut member.says_all);
        let owned = TopicPartitions {
            topic_id: TOPIC_ID,
            partitions: member.owned.keys().copied().collect(),
            ..Default::default()
        };
        let request = ConsumerGroupHeartbeatRequest {
            group_id: group_id().to_string(),
            member_id: member.id.to_string(),
            member_epoch: member.generation,
            rebalance_timeout_ms: if is_full { REBALANCE_MS } else { -1 },
            subscribed_topic_names: is_full.then(|| vec!["t".to_owned()]),
            topic_partitions: Some(if member.owned.is_empty() { Vec::new() } else { vec![owned] }),
            ..Default::default()
        };
        let caller = Caller {
            version: 1,
            client_id: StrBytes::from(format!("m{at}")),
            client_host: StrBytes::from_static_str("/127.0.0.1"),
        };
        Request::ConsumerHeartbeat { caller, unique: Uuid::nil(), request }
    }

    pub(super) fn say_all_again(&mut self, at: usize) {
        let member = &mut self.members[at];
        member.request += 1;
        member.says_all = true;
        if member.doing != Doing::Joining {
            member.doing = member.next_doing();
        }
        self.look_for_coordinator(at);
        self.act_after(at, 10, 150);
    }

    /// It is fenced, or unknown: what it had is not its own any more.
    fn begin_anew(&mut self, at: usize) {
        self.members[at].generation = 0;
        self.rejoin(at);
    }

    pub(super) fn heartbeat_answered(&mut self, at: usize, reply: ConsumerGroupHeartbeatResponse) {
        match ErrorCode::try_from_code(reply.error_code) {
            None => {}
            Some(ErrorCode::UnknownMemberId | ErrorCode::GroupIdNotFound) => return self.begin_anew(at),
            Some(ErrorCode::FencedMemberEpoch) => return self.begin_anew(at),
            Some(_) => return self.go_on(at),
        }
        self.members[at].generation = reply.member_epoch;
        let Some(assignment) = reply.assignment else {
            self.members[at].doing = self.members[at].next_doing();
            return self.act_after(at, 50, 400);
        };
        let told: BTreeSet<i32> =
            assignment.topic_partitions.iter().flat_map(|topic| topic.partitions.iter().copied()).collect();
        let new: BTreeSet<i32> =
            told.iter().copied().filter(|p| !self.members[at].owned.contains_key(p)).collect();
        self.gets(at, &new);
        let member = &mut self.members[at];
        let had = member.owned.len();
        member.owned.retain(|partition, _| told.contains(partition));
        let gave_up = member.owned.len() < had;
        member.owned.extend(new.into_iter().map(|partition| (partition, UNKNOWN_OFFSET)));
        member.doing = member.next_doing();
        // What it gave up it says soon.
        let (low_ms, high_ms) = if gave_up { (1, 100) } else { (20, 300) };
        self.act_after(at, low_ms, high_ms);
    }
}

impl super::Member {
    /// Where to begin must be known before anything is committed.
    fn next_doing(&self) -> Doing {
        match self.owned.values().any(|offset| *offset == UNKNOWN_OFFSET) {
            true => Doing::Fetching,
            false => Doing::Working,
        }
    }
}
