//! ConsumerGroupHeartbeat: members join, say what they want and have, are told what they get, and leave
//! (`GroupMetadataManager.consumerGroupHeartbeat`, `consumerGroupLeave`).

use std::collections::BTreeSet;
use std::sync::Arc;

use jackdaw_wire::consumer_group::{
    Assignment, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, TopicPartitions,
};
use jackdaw_wire::types::{Now, kafka_base64};
use jackdaw_wire::{ErrorCode, StrBytes, Uuid};

use super::draft::Draft;
use super::member::{LEAVE_EPOCH, LEAVE_STATIC_EPOCH};
use super::step::{Planned, Refused, Step};
use super::timers::{Due, TimerChange};
use super::{About, Assignor, Change, ConsumerConfig, Current, Member, Partitions, Resolved, migrate, regex};
use crate::api::{Caller, Reply, Request};
use crate::group::GroupState;
use crate::machine::Groups;

/// Regular expressions that were just looked at are not looked at again so soon.
const REGEX_REFRESH_MIN_INTERVAL_MS: i64 = 10_000;
/// From this version on members make up their own ids (KIP-1082).
const OWN_ID_FROM: i16 = 1;

type Beat = ConsumerGroupHeartbeatRequest;

impl Groups {
    pub(crate) fn consumer_heartbeat(&mut self, now: Now, token: u64, request: Request) {
        let Request::ConsumerHeartbeat { caller, unique, request: beat } = request.clone() else { return };
        if let Err(refused) = check(caller.version, &beat, &self.config.consumer) {
            return self.refuse_with(token, &request, refused);
        }
        let id = StrBytes::from(beat.group_id.clone());
        if !self.groups.contains_key(&id) {
            if beat.member_epoch != 0 {
                let what = if beat.member_epoch < 0 { "Group" } else { "Consumer group" };
                let message = format!("{what} {id} not found.");
                return self.refuse_with(token, &request, Refused::new(ErrorCode::GroupIdNotFound, message));
            }
            self.new_group(id.clone(), now.wall_ms);
        }
        let leaves = beat.member_epoch < 0;
        self.consumer_step(now, &id, Some((token, request)), |step| match leaves {
            true => leave(step, &beat),
            false => heartbeat(step, &caller, unique, &beat),
        });
        // Whoever waited for a group that is of another protocol from here on is told to ask again.
        let converts = self.groups.get(&id).is_some_and(|group| group.is_writing && group.consumer.is_none());
        if converts {
            self.with(now, &id, |group, context| group.interrupt(context));
        }
    }

    /// Members whose time is over are out, if it still is.
    pub(crate) fn end_members(&mut self, now: Now, id: &StrBytes, due: &[(StrBytes, Due)]) {
        let Some(group) = self.groups.get(id).and_then(|group| group.consumer.as_ref()) else { return };
        let is_over = |(member, due): &&(StrBytes, Due)| {
            group.members.get(member).is_some_and(|member| match due {
                Due::Rebalance { epoch } => member.current.epoch == *epoch,
                Due::Session | Due::Join | Due::Sync => true,
            })
        };
        let over: Vec<&(StrBytes, Due)> = due.iter().filter(is_over).collect();
        for (member, due) in &over {
            let why = match due {
                Due::Session => "the member session expired".to_owned(),
                Due::Rebalance { epoch } => format!("it failed to transition from epoch {epoch} in time"),
                Due::Join => "the classic member failed to join within the rebalance timeout".to_owned(),
                Due::Sync => "the member failed to sync within timeout".to_owned(),
            };
            tracing::info!(
                target: "kafka.coordinator.group",
                "[GroupId {id}] Member {member} fenced from the group because {why}."
            );
        }
        let members: BTreeSet<StrBytes> = over.into_iter().map(|(member, _)| member.clone()).collect();
        if members.is_empty() {
            return;
        }
        self.consumer_step(now, id, None, |step| {
            Ok(Planned { ends: members.iter().cloned().collect(), ..fence(step, &members)? })
        });
    }

    /// Looks what the group's regular expressions stand for now (`refreshRegularExpressions`). Matching is linear in the
    /// names, so it is done here and at once.
    pub(crate) fn resolve_regexes(&mut self, now: Now, id: &StrBytes) {
        self.consumer_step(now, id, None, |step| {
            let Some(group) = &step.group.consumer else { return Ok(Planned::default()) };
            let mut draft = Draft::of(group);
            let mut differs = false;
            for text in group.subscribed_regexes() {
                let topics = match regex::compile(text) {
                    Ok(regex) => regex::matches(&regex, step.topics.names()),
                    Err(why) => {
                        // Another broker took it.
                        tracing::error!(
                            target: "kafka.coordinator.group",
                            "[GroupId {}] Couldn't parse regular expression '{text}' due to `{why}`. Ignoring it.",
                            step.group.id
                        );
                        BTreeSet::new()
                    }
                };
                differs |= group.regexes.get(text).map_or(!topics.is_empty(), |old| old.topics != topics);
                let resolved = Resolved { topics, version: step.topics.version, wall_ms: now.wall_ms };
                draft.put(Change::Regex(text.clone(), Some(resolved)));
            }
            draft.bump_epoch(step, differs);
            Ok(draft.finish(step))
        });
    }
}

/// `throwIfConsumerGroupHeartbeatRequestIsInvalid`
fn check(version: i16, beat: &Beat, config: &ConsumerConfig) -> Result<(), Refused> {
    let invalid = |message: &str| Err(Refused::new(ErrorCode::InvalidRequest, message));
    let is_blank = |text: &str| text.trim().is_empty();
    let is_blank_name = |text: &Option<String>| text.as_deref().is_some_and(is_blank);
    let must_have_id = version >= OWN_ID_FROM || beat.member_epoch > 0 || beat.member_epoch == LEAVE_EPOCH;
    match () {
        () if must_have_id && is_blank(&beat.member_id) => return invalid("MemberId can't be empty."),
        () if is_blank(&beat.group_id) => return invalid("GroupId can't be empty."),
        () if is_blank_name(&beat.instance_id) => return invalid("InstanceId can't be empty."),
        () if is_blank_name(&beat.rack_id) => return invalid("RackId can't be empty."),
        () => {}
    }
    match beat.member_epoch {
        0 if beat.rebalance_timeout_ms == -1 => {
            return invalid("RebalanceTimeoutMs must be provided in first request.");
        }
        0 if beat.topic_partitions.as_ref().is_none_or(|owned| !owned.is_empty()) => {
            return invalid("TopicPartitions must be empty when (re-)joining.");
        }
        0 if beat.subscribed_topic_names.is_none() && beat.subscribed_topic_regex.is_none() => {
            return invalid(
                "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
            );
        }
        LEAVE_STATIC_EPOCH if beat.instance_id.is_none() => return invalid("InstanceId can't be null."),
        ..LEAVE_STATIC_EPOCH => return invalid("MemberEpoch is invalid."),
        _ => {}
    }
    let known = |name: &str| config.assignors.iter().any(|assignor| assignor.name() == name);
    match &beat.server_assignor {
        Some(name) if !known(name) => {
            let names: Vec<&str> = config.assignors.iter().map(|assignor| assignor.name()).collect();
            let names = names.join(", ");
            let message = format!("ServerAssignor {name} is not supported. Supported assignors: {names}.");
            Err(Refused::new(ErrorCode::UnsupportedAssignor, message))
        }
        _ => Ok(()),
    }
}

/// `getOrMaybeCreateConsumerGroup`
fn open<'a>(step: &Step<'a>, creates: bool) -> Result<Draft<'a>, Refused> {
    let group = step.group;
    match &group.consumer {
        Some(consumer) => Ok(Draft::of(consumer)),
        None if !creates => {
            let message = format!("Group {} is not a consumer group.", group.id);
            Err(Refused::new(ErrorCode::GroupIdNotFound, message))
        }
        None if group.state == GroupState::Empty => {
            let was_written = group.generation > 0;
            Ok(Draft::new(was_written.then_some(Change::ClassicGone).into_iter().collect()))
        }
        None => migrate::upgrade(step),
    }
}

fn heartbeat(step: &Step<'_>, caller: &Caller, unique: Uuid, beat: &Beat) -> Result<Planned, Refused> {
    let creates = beat.member_epoch == 0;
    let mut draft = open(step, creates)?;
    let id = match beat.member_id.as_str() {
        "" => StrBytes::from(kafka_base64(&unique)),
        id => StrBytes::from(id.to_owned()),
    };
    check_size(step, &draft, &id)?;
    let owned = beat.topic_partitions.as_deref().map(partitions);
    let joining =
        Joining { id: &id, epoch: beat.member_epoch, owned: owned.as_ref(), creates, is_classic: false };
    let instance = beat.instance_id.clone().map(StrBytes::from);
    let before = match &instance {
        None => subscribe(step, &draft, &joining)?,
        Some(instance) => subscribe_static(step, &mut draft, &joining, instance)?,
    };
    let about = said(&before.about, caller, beat, instance);
    let mut bumps = draft.group.epoch == 0;
    bumps |= update(&mut draft, &id, &before, about);
    let (rebalances, resolves) = update_regexes(step, &mut draft, &id, &before)?;
    draft.bump_epoch(step, bumps || rebalances);
    draft.assign(step);
    draft.reconcile(&id, owned.as_ref())?;
    draft.time(TimerChange::Session(id.clone(), i64::from(step.times.session_timeout_ms)));
    let current = draft.group.members.get(&id).map(|member| member.current.clone()).unwrap_or_default();
    let is_full = beat.rebalance_timeout_ms != -1
        && (beat.subscribed_topic_names.is_some() || beat.subscribed_topic_regex.is_some())
        && beat.topic_partitions.is_some();
    let tells = creates || is_full || current.assigned != before.current.assigned;
    let reply = ConsumerGroupHeartbeatResponse {
        member_id: Some(id.to_string()),
        member_epoch: current.epoch,
        heartbeat_interval_ms: step.times.heartbeat_interval_ms,
        assignment: tells.then(|| told(&current.assigned)),
        ..Default::default()
    };
    Ok(Planned { reply: Some(Reply::ConsumerHeartbeat(reply)), resolves, ..draft.finish(step) })
}

/// What the member says of itself from here on; what it does not say stays.
fn said(before: &About, caller: &Caller, beat: &Beat, instance_id: Option<StrBytes>) -> About {
    let text = |said: &Option<String>, before: &Option<StrBytes>| {
        said.clone().map(StrBytes::from).or_else(|| before.clone())
    };
    let topics = beat.subscribed_topic_names.as_ref();
    About {
        instance_id: instance_id.or_else(|| before.instance_id.clone()),
        rack_id: text(&beat.rack_id, &before.rack_id),
        rebalance_timeout_ms: match beat.rebalance_timeout_ms {
            -1 => before.rebalance_timeout_ms,
            given_ms => given_ms,
        },
        client_id: caller.client_id.clone(),
        client_host: caller.client_host.clone(),
        topics: topics.map_or_else(
            || before.topics.clone(),
            |topics| topics.iter().map(|topic| StrBytes::from(topic.clone())).collect(),
        ),
        topic_regex: text(&beat.subscribed_topic_regex, &before.topic_regex),
        assignor: text(&beat.server_assignor, &before.assignor),
        classic: None,
    }
}

/// Who wants to be in the group, and how.
pub(super) struct Joining<'a> {
    pub id: &'a StrBytes,
    pub epoch: i32,
    pub owned: Option<&'a Partitions>,
    /// Somebody who is not there may come.
    pub creates: bool,
    pub is_classic: bool,
}

pub(super) fn check_size(step: &Step<'_>, draft: &Draft<'_>, id: &StrBytes) -> Result<(), Refused> {
    let most = step.config.consumer.max_size;
    if draft.group.members.len() < most || draft.group.members.contains_key(id) {
        return Ok(());
    }
    let message = format!("The consumer group has reached its maximum capacity of {most} members.");
    Err(Refused::new(ErrorCode::GroupMaxSizeReached, message))
}

pub(super) fn not_a_member(step: &Step<'_>, id: &StrBytes) -> Refused {
    let message = format!("Member {id} is not a member of group {}.", step.group.id);
    Refused::new(ErrorCode::UnknownMemberId, message)
}

/// `getOrMaybeSubscribeDynamicConsumerGroupMember`
pub(super) fn subscribe(
    step: &Step<'_>,
    draft: &Draft<'_>,
    joining: &Joining<'_>,
) -> Result<Member, Refused> {
    let member = match draft.group.members.get(joining.id) {
        Some(member) => member.clone(),
        None if joining.creates => Member::default(),
        None => return Err(not_a_member(step, joining.id)),
    };
    if !joining.is_classic {
        check_epoch(&member.current, joining)?;
    }
    Ok(member)
}

/// `getOrMaybeSubscribeStaticConsumerGroupMember`: who comes back under a name takes the place of who had it.
pub(super) fn subscribe_static(
    step: &Step<'_>,
    draft: &mut Draft<'_>,
    joining: &Joining<'_>,
    instance: &StrBytes,
) -> Result<Member, Refused> {
    let id = joining.id;
    let held = draft.group.static_members.get(instance).cloned();
    let holder = held.and_then(|held| Some((held.clone(), draft.group.members.get(&held)?.clone())));
    let Some((held, holder)) = holder else {
        return match joining.creates {
            true => Ok(draft.group.members.get(id).cloned().unwrap_or_default()),
            false => {
                let message = format!("Instance id {instance} is unknown.");
                Err(Refused::new(ErrorCode::UnknownMemberId, message))
            }
        };
    };
    if !joining.creates {
        check_instance(&held, id, instance)?;
        if !joining.is_classic {
            check_epoch(&holder.current, joining)?;
        }
        return Ok(holder);
    }
    let is_released = holder.current.epoch == LEAVE_STATIC_EPOCH;
    if !joining.is_classic && holder.about.classic.is_none() && !is_released {
        let message = format!(
            "Static member {id} with instance id {instance} cannot join the group because the instance id is owned by \
             {held} member."
        );
        return Err(Refused::new(ErrorCode::UnreleasedInstanceId, message));
    }
    tracing::info!(
        target: "kafka.coordinator.group",
        "[GroupId {}] Static member with instance id {instance} re-joins the consumer group. Created a new member {id} \
         to replace the existing member {held}.",
        step.group.id
    );
    let target = draft.group.target_of(&held);
    remove(draft, &held);
    let current = Current { epoch: 0, previous_epoch: 0, ..holder.current.clone() };
    draft.put(Change::Member(id.clone(), Some(Arc::clone(&holder.about))));
    draft.put(Change::Target(id.clone(), Some(target)));
    draft.put(Change::Current(id.clone(), Some(current.clone())));
    Ok(Member { about: holder.about, current })
}

pub(super) fn check_instance(held: &StrBytes, id: &StrBytes, instance: &StrBytes) -> Result<(), Refused> {
    if held == id {
        return Ok(());
    }
    let message = format!("Static member {id} with instance id {instance} was fenced by member {held}.");
    Err(Refused::new(ErrorCode::FencedInstanceId, message))
}

/// The member speaks in its epoch, or in the one before, if it did not hear of the last and has nothing but what that
/// gave it (`throwIfConsumerGroupMemberEpochIsInvalid`).
fn check_epoch(current: &Current, joining: &Joining<'_>) -> Result<(), Refused> {
    let (received, known) = (joining.epoch, current.epoch);
    let has_no_more = |owned: &Partitions| {
        owned.iter().all(|(topic, owned)| {
            owned.is_subset(current.assigned.get(topic).unwrap_or(&BTreeSet::new()))
                && current.assigned.contains_key(topic)
        })
    };
    let fenced = |how: &str| {
        let message = format!(
            "The consumer group member has a {how} member epoch ({received}) than the one known by the group coordinator \
             ({known}). The member must abandon all its partitions and rejoin."
        );
        Err(Refused::new(ErrorCode::FencedMemberEpoch, message))
    };
    match () {
        () if received > known => fenced("greater"),
        () if received < known
            && (received != current.previous_epoch || !joining.owned.is_some_and(has_no_more)) =>
        {
            fenced("smaller")
        }
        () => Ok(()),
    }
}

/// Puts the member down, if there is anything new about it. True where its topics are others.
pub(super) fn update(draft: &mut Draft<'_>, id: &StrBytes, before: &Member, about: About) -> bool {
    let is_new = !draft.group.members.contains_key(id);
    let differs = about.topics != before.about.topics;
    if is_new || about != *before.about {
        draft.put(Change::Member(id.clone(), Some(Arc::new(about))));
    }
    differs
}

/// `maybeUpdateRegularExpressions`: whether the group is to be rebalanced, and whether its expressions are to be looked
/// at again.
fn update_regexes(
    step: &Step<'_>,
    draft: &mut Draft<'_>,
    id: &StrBytes,
    before: &Member,
) -> Result<(bool, bool), Refused> {
    let now = draft.group.members.get(id).and_then(|member| member.about.regex().cloned());
    let had = before.about.regex().cloned();
    let (mut rebalances, mut is_due) = (false, false);
    if now != had {
        if let Some(had) = had.filter(|had| draft.group.subscribers_of(had) == 0) {
            draft.put(Change::Regex(had, None));
        }
        match &now {
            Some(text) if draft.group.subscribers_of(text) == 1 => {
                regex::compile(text).map_err(|why| {
                    let message =
                        format!("SubscribedTopicRegex `{text}` is not a valid regular expression: {why}.");
                    Refused::new(ErrorCode::InvalidRegularExpression, message)
                })?;
                is_due = true;
            }
            Some(text) => rebalances = draft.group.regexes.contains_key(text),
            // It reads no longer what the expression stood for.
            None => rebalances = true,
        }
    }
    let group = &draft.group;
    let subscribed = group.subscribed_regexes().len();
    if subscribed == 0 {
        return Ok((rebalances, false));
    }
    let last = group.regexes.values().next();
    let wall_ms = step.now.wall_ms;
    let since_ms = last.map(|last| wall_ms.saturating_sub(last.wall_ms));
    if since_ms.is_some_and(|since_ms| since_ms <= REGEX_REFRESH_MIN_INTERVAL_MS) {
        return Ok((rebalances, false));
    }
    is_due |= subscribed != group.regexes.len();
    is_due |= last.map_or(0, |last| last.version) < step.topics.created_in;
    is_due |= since_ms.is_none_or(|since_ms| since_ms > step.config.consumer.regex_refresh_interval_ms);
    Ok((rebalances, is_due))
}

/// A member goes, for good or for a while.
fn leave(step: &Step<'_>, beat: &Beat) -> Result<Planned, Refused> {
    let Some(group) = &step.group.consumer else {
        let message = format!("Group {} is not a consumer group.", step.group.id);
        return Err(Refused::new(ErrorCode::GroupIdNotFound, message));
    };
    let id = StrBytes::from(beat.member_id.clone());
    let member = match beat.instance_id.clone().map(StrBytes::from) {
        None => group.members.get(&id).ok_or_else(|| not_a_member(step, &id))?,
        Some(instance) => {
            let held = group.static_members.get(&instance);
            let held = held.ok_or_else(|| {
                Refused::new(ErrorCode::UnknownMemberId, format!("Instance id {instance} is unknown."))
            })?;
            check_instance(held, &id, &instance)?;
            group.members.get(held).ok_or_else(|| not_a_member(step, &id))?
        }
    };
    let reply = ConsumerGroupHeartbeatResponse {
        member_id: Some(id.to_string()),
        member_epoch: beat.member_epoch,
        ..Default::default()
    };
    let reply = Some(Reply::ConsumerHeartbeat(reply));
    if beat.member_epoch == LEAVE_STATIC_EPOCH {
        // What it has stays its own until its session ends.
        let current =
            Current { epoch: LEAVE_STATIC_EPOCH, revoking: Partitions::new(), ..member.current.clone() };
        let mut draft = Draft::of(group);
        draft.put(Change::Current(id, Some(current)));
        return Ok(Planned { reply, ..draft.finish(step) });
    }
    tracing::info!(
        target: "kafka.coordinator.group",
        "[GroupId {}] Member {id} left the consumer group.", step.group.id
    );
    Ok(Planned { reply, ..fence(step, &BTreeSet::from([id]))? })
}

/// Members are out of the group, which may make it one of the classic protocol (`consumerGroupFenceMembers`).
pub(super) fn fence(step: &Step<'_>, members: &BTreeSet<StrBytes>) -> Result<Planned, Refused> {
    let Some(group) = step.group.consumer.as_ref().filter(|_| !members.is_empty()) else {
        return Ok(Planned::default());
    };
    if migrate::may_downgrade_without(step, group, members) {
        return migrate::downgrade(step, group, members);
    }
    let mut draft = Draft::of(group);
    for id in members {
        let regex = group.members.get(id).and_then(|member| member.about.regex().cloned());
        remove(&mut draft, id);
        if let Some(regex) = regex.filter(|regex| draft.group.subscribers_of(regex) == 0) {
            draft.put(Change::Regex(regex, None));
        }
    }
    draft.bump_epoch(step, true);
    Ok(draft.finish(step))
}

fn remove(draft: &mut Draft<'_>, id: &StrBytes) {
    draft.put(Change::Current(id.clone(), None));
    draft.put(Change::Target(id.clone(), None));
    draft.put(Change::Member(id.clone(), None));
    draft.time(TimerChange::Forget(id.clone()));
}

pub(super) fn partitions(topics: &[TopicPartitions]) -> Partitions {
    topics.iter().map(|topic| (topic.topic_id, topic.partitions.iter().copied().collect())).collect()
}

fn told(assigned: &Partitions) -> Assignment {
    let topic = |(topic_id, all): (&Uuid, &BTreeSet<i32>)| TopicPartitions {
        topic_id: *topic_id,
        partitions: all.iter().copied().collect(),
        ..Default::default()
    };
    Assignment { topic_partitions: assigned.iter().map(topic).collect(), ..Default::default() }
}

/// What the assignor of a name is known by here, for whoever asks.
pub(super) fn assignor_name(assignor: Option<Assignor>, config: &ConsumerConfig) -> String {
    assignor.unwrap_or(config.default_assignor()).name().to_owned()
}
