//! Members of the classic protocol in a group of the consumer protocol: JoinGroup, SyncGroup, Heartbeat and LeaveGroup
//! bring them, in their own words, to what heartbeats bring the others to (`classicGroupJoinToConsumerGroup`, …). To such a
//! member its epoch is the generation, and nobody leads.

use std::collections::BTreeSet;

use jackdaw_wire::messages::leave_group_response::MemberResponse;
use jackdaw_wire::messages::{
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    LeaveGroupResponse, SyncGroupRequest, SyncGroupResponse,
};
use jackdaw_wire::types::{Now, kafka_base64};
use jackdaw_wire::{ErrorCode, StrBytes, Uuid};

use super::draft::Draft;
use super::heartbeat::{
    Joining, check_instance, check_size, fence, not_a_member, subscribe, subscribe_static, update,
};
use super::step::{Planned, Refused, Step};
use super::timers::TimerChange;
use super::{About, Classic, ConsumerGroup, Member, MemberState, migrate, protocol};
use crate::api::{Caller, Reply, Request, code, join_refusal};
use crate::join::MEMBER_ID_REQUIRED_FROM;
use crate::machine::Groups;
use crate::subscription::CONSUMER;

impl Groups {
    /// Takes a classic request to a group of the consumer protocol that has members.
    pub(crate) fn ask_as_classic(&mut self, now: Now, token: u64, id: &StrBytes, request: Request) {
        let asked = Some((token, request.clone()));
        self.consumer_step(now, id, asked, |step| {
            let Some(group) = &step.group.consumer else { return Err(ErrorCode::UnknownMemberId.into()) };
            match &request {
                Request::Join { caller, unique, request } => join(step, group, caller, *unique, request),
                Request::Sync(request) => sync(step, group, request),
                Request::Heartbeat(request) => heartbeat(step, group, request),
                Request::Leave(request) => leave(step, group, request),
                _ => Err(ErrorCode::UnknownServerError.into()),
            }
        });
    }
}

fn join(
    step: &Step<'_>,
    group: &ConsumerGroup,
    caller: &Caller,
    unique: Uuid,
    request: &JoinGroupRequest,
) -> Result<Planned, Refused> {
    let is_new = request.member_id.is_empty();
    let id = if is_new { StrBytes::from(kafka_base64(&unique)) } else { request.member_id.clone() };
    let mut draft = Draft::of(group);
    check_size(step, &draft, &id)?;
    if !supports(group, request) {
        return Err(ErrorCode::InconsistentGroupProtocol.into());
    }
    let instance = request.group_instance_id.as_ref();
    if is_new && instance.is_none() && caller.version >= MEMBER_ID_REQUIRED_FROM {
        let reply = Reply::Join(join_refusal(&id, ErrorCode::MemberIdRequired));
        return Ok(Planned { reply: Some(reply), ..Planned::default() });
    }
    let creates = instance.is_none() || is_new;
    let joining = Joining { id: &id, epoch: -1, owned: None, creates, is_classic: true };
    let replaced = instance.and_then(|instance| group.static_members.get(instance));
    let replaced = replaced.and_then(|id| group.members.get(id));
    let before = match instance {
        None => subscribe(step, &draft, &joining)?,
        Some(instance) => subscribe_static(step, &mut draft, &joining, instance)?,
    };
    let said =
        request.protocols.first().and_then(|protocol| protocol::subscription(protocol.metadata.clone()));
    // Malformed metadata harms nobody but whoever sent it.
    let said = said.ok_or(ErrorCode::UnknownServerError)?;
    let owned = protocol::by_id(&said.owned, step.topics);
    let bumps = update(&mut draft, &id, &before, about(&before, caller, request, said));
    draft.bump_epoch(step, bumps);
    draft.assign(step);
    draft.reconcile(&id, Some(&owned))?;
    draft.time(TimerChange::Joined(id.clone()));
    draft.time(TimerChange::Session(id.clone(), i64::from(request.session_timeout_ms)));
    draft.time(TimerChange::Sync(id.clone(), i64::from(rebalance_timeout_ms(caller, request))));
    let epoch = draft.group.members.get(&id).map_or(0, |member| member.current.epoch);
    let reply = JoinGroupResponse::default()
        .with_member_id(id)
        .with_generation_id(epoch)
        .with_protocol_type(Some(StrBytes::from_static_str(CONSUMER)))
        .with_protocol_name(request.protocols.first().map(|protocol| protocol.name.clone()));
    let reply = Some(Reply::Join(reply));
    // The last member of the consumer protocol came back as a classic one.
    let is_last = replaced.is_some_and(|member| member.about.classic.is_none())
        && draft.group.classic_members() == draft.group.members.len()
        && migrate::may_be_classic(step, draft.group.members.len());
    if is_last {
        let Draft { group, mut changes, .. } = draft;
        changes.extend(group.tombstones());
        // Whoever waits for what is free by now would not hear of it as long as the group is stable.
        let unsettled = group.members.values().any(|m| !m.current.is_reconciled_to(group.target_epoch));
        let reason =
            unsettled.then(|| format!("Downgrade group {} from consumer to classic.", step.group.id));
        let planned = migrate::into_classic(step, &group, &BTreeSet::new(), changes, reason)?;
        return Ok(Planned { reply, ..planned });
    }
    Ok(Planned { reply, ..draft.finish(step) })
}

/// Whether a member with these protocols fits in with the other classic ones.
fn supports(group: &ConsumerGroup, request: &JoinGroupRequest) -> bool {
    let mut classic = group.members.values().filter_map(|member| member.about.classic.as_ref());
    let all: Vec<&Classic> = classic.by_ref().collect();
    &*request.protocol_type == CONSUMER
        && request.protocols.iter().any(|asked| {
            all.iter().all(|classic| classic.protocols.iter().any(|(name, _)| *name == asked.name))
        })
}

/// Version 0 has none.
fn rebalance_timeout_ms(caller: &Caller, request: &JoinGroupRequest) -> i32 {
    match caller.version {
        0 => request.session_timeout_ms,
        _ => request.rebalance_timeout_ms,
    }
}

fn about(
    before: &Member,
    caller: &Caller,
    request: &JoinGroupRequest,
    said: protocol::Subscription,
) -> About {
    let before = &before.about;
    let rebalance_timeout_ms = match rebalance_timeout_ms(caller, request) {
        -1 => before.rebalance_timeout_ms,
        given_ms => given_ms,
    };
    About {
        instance_id: request.group_instance_id.clone().or_else(|| before.instance_id.clone()),
        rack_id: said.rack_id.filter(|rack| !rack.is_empty()).or_else(|| before.rack_id.clone()),
        rebalance_timeout_ms,
        client_id: caller.client_id.clone(),
        client_host: caller.client_host.clone(),
        topics: said.topics.into_iter().collect(),
        topic_regex: before.topic_regex.clone(),
        assignor: before.assignor.clone(),
        classic: Some(Classic {
            session_timeout_ms: request.session_timeout_ms,
            protocols: request.protocols.iter().map(|p| (p.name.clone(), p.metadata.clone())).collect(),
        }),
    }
}

/// The classic member that a request speaks for, in the generation that it is in.
fn find<'a>(
    step: &Step<'_>,
    group: &'a ConsumerGroup,
    id: &StrBytes,
    instance: Option<&StrBytes>,
    generation: i32,
) -> Result<(&'a Member, &'a Classic), Refused> {
    let unknown = || not_a_member(step, id);
    if let Some(instance) = instance {
        check_instance(group.static_members.get(instance).ok_or_else(unknown)?, id, instance)?;
    }
    let member = group.members.get(id).ok_or_else(unknown)?;
    let classic = member.about.classic.as_ref().ok_or_else(unknown)?;
    if member.current.epoch != generation {
        return Err(ErrorCode::IllegalGeneration.into());
    }
    Ok((member, classic))
}

/// A plan that changes nothing but timers.
fn only(reply: Reply, timers: Vec<TimerChange>) -> Planned {
    Planned { reply: Some(reply), timers, ..Planned::default() }
}

fn join_again(id: &StrBytes, member: &Member) -> TimerChange {
    TimerChange::JoinIfAbsent(id.clone(), i64::from(member.about.rebalance_timeout_ms))
}

fn sync(step: &Step<'_>, group: &ConsumerGroup, request: &SyncGroupRequest) -> Result<Planned, Refused> {
    let id = &request.member_id;
    let (member, classic) = find(step, group, id, request.group_instance_id.as_ref(), request.generation_id)?;
    let own = classic.protocols.first();
    let differs = |asked: &Option<StrBytes>, is: Option<&str>| {
        asked.as_ref().is_some_and(|asked| Some(asked.as_str()) != is)
    };
    if differs(&request.protocol_type, Some(CONSUMER))
        || differs(&request.protocol_name, own.map(|(name, _)| name.as_str()))
    {
        return Err(ErrorCode::InconsistentGroupProtocol.into());
    }
    if group.epoch > member.current.epoch && member.current.state != MemberState::Unrevoked {
        let reply = SyncGroupResponse::default().with_error_code(ErrorCode::RebalanceInProgress.code());
        return Ok(only(Reply::Sync(reply), vec![join_again(id, member)]));
    }
    let version = own.and_then(|(_, metadata)| protocol::subscription(metadata.clone()));
    let version = version.map_or(0, |said| said.version);
    let reply = SyncGroupResponse::default()
        .with_protocol_type(request.protocol_type.clone())
        .with_protocol_name(request.protocol_name.clone())
        .with_assignment(protocol::encode_assignment(version, &member.current.assigned, step.topics));
    let session = TimerChange::Session(id.clone(), i64::from(classic.session_timeout_ms));
    Ok(only(Reply::Sync(reply), vec![TimerChange::Synced(id.clone()), session]))
}

/// The member is to join again where there is something for it to give up or to get.
fn heartbeat(step: &Step<'_>, group: &ConsumerGroup, request: &HeartbeatRequest) -> Result<Planned, Refused> {
    let id = &request.member_id;
    let (member, classic) = find(step, group, id, request.group_instance_id.as_ref(), request.generation_id)?;
    let mut timers = vec![TimerChange::Session(id.clone(), i64::from(classic.session_timeout_ms))];
    let current = &member.current;
    let joins = current.epoch < group.epoch
        || current.state == MemberState::Unrevoked
        || (current.state == MemberState::Unreleased && !waits(group, id, member));
    if joins {
        timers.push(join_again(id, member));
    }
    let error = joins.then_some(ErrorCode::RebalanceInProgress);
    Ok(only(Reply::Heartbeat(HeartbeatResponse::default().with_error_code(code(error))), timers))
}

/// Whether something that the member is to get is still somebody else's (`waitingOnUnreleasedPartition`).
fn waits(group: &ConsumerGroup, id: &StrBytes, member: &Member) -> bool {
    let target = group.target_of(id);
    target.iter().any(|(topic, partitions)| {
        let has = member.current.assigned.get(topic);
        let lacks = partitions.iter().filter(|partition| !has.is_some_and(|has| has.contains(partition)));
        lacks.into_iter().any(|partition| group.is_owned(topic, *partition))
    })
}

/// Anybody can be made to leave so, not only classic members: it is what administrators do.
fn leave(step: &Step<'_>, group: &ConsumerGroup, request: &LeaveGroupRequest) -> Result<Planned, Refused> {
    let (mut leaving, mut told) = (BTreeSet::new(), Vec::new());
    for one in &request.members {
        let found = match &one.group_instance_id {
            None => group.members.contains_key(&one.member_id).then(|| one.member_id.clone()),
            Some(instance) => group.static_members.get(instance).cloned(),
        };
        let is_fenced = |held: &StrBytes| {
            one.group_instance_id.is_some() && !one.member_id.is_empty() && one.member_id != *held
        };
        let error = match found {
            None => Some(ErrorCode::UnknownMemberId),
            Some(held) if is_fenced(&held) => Some(ErrorCode::FencedInstanceId),
            Some(held) => {
                leaving.insert(held);
                None
            }
        };
        told.push(
            MemberResponse::default()
                .with_member_id(one.member_id.clone())
                .with_group_instance_id(one.group_instance_id.clone())
                .with_error_code(code(error)),
        );
    }
    let reply = Some(Reply::Leave(LeaveGroupResponse::default().with_members(told)));
    Ok(Planned { reply, ..fence(step, &leaving)? })
}
