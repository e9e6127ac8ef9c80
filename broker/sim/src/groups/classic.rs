//! A member of the classic protocol, eager: it has nothing in its hands when it joins.

use std::collections::BTreeSet;

use jackdaw_groups::{Caller, Request};
use jackdaw_wire::messages::join_group_request::JoinGroupRequestProtocol;
use jackdaw_wire::messages::sync_group_request::SyncGroupRequestAssignment;
use jackdaw_wire::messages::{
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, SyncGroupRequest, SyncGroupResponse,
};
use jackdaw_wire::{Bytes, ErrorCode, StrBytes, Uuid};

use super::members::UNKNOWN_OFFSET;
use super::{Doing, PARTITIONS, REBALANCE_MS, SESSION_MS, World, group_id};

impl World {
    pub(super) fn join_request(&mut self, at: usize) -> Request {
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

    pub(super) fn sync_request(&self, at: usize) -> Request {
        let member = &self.members[at];
        let assignment = |(id, partitions): &(StrBytes, Vec<i32>)| {
            SyncGroupRequestAssignment::default()
                .with_member_id(id.clone())
                .with_assignment(assignment(partitions))
        };
        let request = SyncGroupRequest::default()
            .with_group_id(group_id())
            .with_generation_id(member.generation)
            .with_member_id(member.id.clone())
            .with_assignments(member.assigns.iter().map(assignment).collect());
        Request::Sync(request)
    }

    pub(super) fn classic_heartbeat_request(&self, at: usize) -> Request {
        Request::Heartbeat(
            HeartbeatRequest::default()
                .with_group_id(group_id())
                .with_generation_id(self.members[at].generation)
                .with_member_id(self.members[at].id.clone()),
        )
    }

    pub(super) fn joined(&mut self, at: usize, reply: JoinGroupResponse) {
        let member = &mut self.members[at];
        match ErrorCode::try_from_code(reply.error_code) {
            None => {
                member.id = reply.member_id;
                member.generation = reply.generation_id;
                // In a group of the consumer protocol nobody is told to assign.
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

    pub(super) fn synced(&mut self, at: usize, reply: SyncGroupResponse) {
        if reply.error_code != 0 {
            return self.rejoin(at);
        }
        let given = assigned(&reply.assignment);
        self.gets(at, &given);
        let member = &mut self.members[at];
        member.owned = given.into_iter().map(|partition| (partition, UNKNOWN_OFFSET)).collect();
        member.doing = Doing::Fetching;
        self.act_after(at, 1, 20);
    }
}

/// Partitions of `t` as consumers are assigned them (`ConsumerProtocolAssignment`, version 0).
fn assignment(partitions: &[i32]) -> Bytes {
    let mut bytes = b"\0\0\0\0\0\x01\0\x01t".to_vec();
    bytes.extend((partitions.len() as i32).to_be_bytes());
    partitions.iter().for_each(|partition| bytes.extend(partition.to_be_bytes()));
    bytes.extend((-1_i32).to_be_bytes());
    bytes.into()
}

/// And back: without topics there are none.
pub(super) fn assigned(bytes: &[u8]) -> BTreeSet<i32> {
    let numbers = bytes.get(13..).unwrap_or_default().chunks_exact(4);
    let numbers = numbers.map(|four| i32::from_be_bytes([four[0], four[1], four[2], four[3]]));
    // Behind them stands that there is no data of an assignor.
    numbers.filter(|number| *number >= 0).collect()
}
