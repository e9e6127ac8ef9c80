//! A group with members goes from one protocol to the other while they work on (KIP-848, online migration):
//! `convertToConsumerGroup`, `convertToClassicGroup`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jackdaw_wire::group_record::{GroupMember, GroupMetadataValue};
use jackdaw_wire::{Bytes, ErrorCode, StrBytes};

use super::draft::Draft;
use super::step::{Becomes, Planned, Refused, Step};
use super::timers::TimerChange;
use super::{About, Change, Classic, ConsumerGroup, Current, MemberState, Partitions, protocol};
use crate::group::Group;
use crate::member::Member as ClassicMember;
use crate::subscription::CONSUMER;

/// A classic group with members becomes a draft of one of the consumer protocol: everyone has what the last assignment
/// gave them, in an epoch of the generation's number.
pub(super) fn upgrade<'a>(step: &Step<'a>) -> Result<Draft<'a>, Refused> {
    let classic = step.group;
    check_upgrade(step)?;
    let protocol = classic.protocol.clone().or_else(|| classic.select_protocol()).unwrap_or_default();
    let mut draft = Draft::new(vec![Change::ClassicGone]);
    let mut owners = BTreeMap::new();
    let mut assigned_to: Vec<(StrBytes, Partitions)> = Vec::new();
    for (id, member) in &classic.members {
        let malformed = || cannot_upgrade(step, "the embedded consumer protocol is malformed");
        let said = protocol::subscription(member.metadata(&protocol)).ok_or_else(malformed)?;
        let assigned = assigned(step, member)?;
        for (topic, partition) in
            assigned.iter().flat_map(|(topic, all)| all.iter().map(move |p| (*topic, *p)))
        {
            if owners.insert((topic, partition), id).is_some() {
                // Kafka fails at this, too.
                return Err(ErrorCode::UnknownServerError.into());
            }
        }
        let about = About {
            instance_id: member.instance_id.clone(),
            rack_id: said.rack_id.filter(|rack| !rack.is_empty()),
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            topics: said.topics.into_iter().collect(),
            classic: Some(Classic {
                session_timeout_ms: member.session_timeout_ms,
                protocols: member.protocols.clone(),
            }),
            ..About::default()
        };
        draft.put(Change::Member(id.clone(), Some(Arc::new(about))));
        draft.time(TimerChange::Session(id.clone(), i64::from(member.session_timeout_ms)));
        assigned_to.push((id.clone(), assigned));
    }
    let epoch = classic.generation;
    let hash = step.topics.hash_of(draft.group.subscribed_topics());
    draft.put(Change::Group(Some((epoch, hash))));
    for (id, assigned) in &assigned_to {
        draft.put(Change::Target(id.clone(), Some(Arc::new(assigned.clone()))));
    }
    draft.put(Change::TargetEpoch(Some(epoch)));
    for (id, assigned) in assigned_to {
        let current = Current {
            epoch,
            previous_epoch: epoch,
            state: MemberState::Stable,
            assigned,
            revoking: Partitions::new(),
        };
        draft.put(Change::Current(id, Some(current)));
    }
    tracing::info!(
        target: "kafka.coordinator.group",
        "[GroupId {}] Converted the classic group to a consumer group.", classic.id
    );
    Ok(draft)
}

fn cannot_upgrade(step: &Step<'_>, why: &str) -> Refused {
    let id = &step.group.id;
    let message = format!("Cannot upgrade classic group {id} to consumer group because {why}.");
    tracing::info!(target: "kafka.coordinator.group", "{message}");
    Refused::new(ErrorCode::GroupIdNotFound, message)
}

/// `validateOnlineUpgrade`
fn check_upgrade(step: &Step<'_>) -> Result<(), Refused> {
    let config = &step.config.consumer;
    match () {
        () if !config.migration.upgrades() => Err(cannot_upgrade(step, "online upgrade is disabled")),
        () if !step.group.is_consumer_group() => {
            Err(cannot_upgrade(step, "the group does not use the consumer embedded protocol"))
        }
        () if step.group.members.len() > config.max_size => {
            Err(cannot_upgrade(step, "the group size exceeds the consumer group maximum size"))
        }
        () => Ok(()),
    }
}

fn assigned(step: &Step<'_>, member: &ClassicMember) -> Result<Partitions, Refused> {
    // It joined and has not asked yet.
    if member.assignment.is_empty() {
        return Ok(Partitions::new());
    }
    match protocol::assignment(member.assignment.clone()) {
        Some((named, false)) => Ok(protocol::by_id(&named, step.topics)),
        Some((_, true)) => Err(cannot_upgrade(
            step,
            "an unsupported custom assignor is in use. Please refer to the documentation or switch to a default assignor \
             before re-attempting the upgrade",
        )),
        None => Err(cannot_upgrade(step, "the embedded consumer protocol is malformed")),
    }
}

/// Whether all that are left when these go are classic members (`validateOnlineDowngradeWithFencedMembers`).
pub(super) fn may_downgrade_without(
    step: &Step<'_>,
    group: &ConsumerGroup,
    leaving: &BTreeSet<StrBytes>,
) -> bool {
    let stays = || group.members.iter().filter(|(id, _)| !leaving.contains(*id));
    let count = stays().count();
    count > 0 && stays().all(|(_, member)| member.about.classic.is_some()) && may_be_classic(step, count)
}

pub(super) fn may_be_classic(step: &Step<'_>, members: usize) -> bool {
    step.config.consumer.migration.downgrades() && members <= step.config.max_size
}

/// The group goes on as a classic one without these members, and is to settle anew.
pub(super) fn downgrade(
    step: &Step<'_>,
    group: &ConsumerGroup,
    leaving: &BTreeSet<StrBytes>,
) -> Result<Planned, Refused> {
    let reason = format!("Downgrade group {} from consumer to classic.", step.group.id);
    into_classic(step, group, leaving, group.tombstones(), Some(reason))
}

/// The changes so far end with the tombstones of `group`; what it is from here on is added to them.
pub(super) fn into_classic(
    step: &Step<'_>,
    group: &ConsumerGroup,
    leaving: &BTreeSet<StrBytes>,
    mut changes: Vec<Change>,
    rebalances: Option<String>,
) -> Result<Planned, Refused> {
    let mut members = Vec::new();
    for (id, member) in group.members.iter().filter(|(id, _)| !leaving.contains(*id)) {
        let Some(classic) = &member.about.classic else { continue };
        members.push(ClassicMember {
            id: id.clone(),
            instance_id: member.about.instance_id.clone(),
            client_id: member.about.client_id.clone(),
            client_host: member.about.client_host.clone(),
            rebalance_timeout_ms: member.about.rebalance_timeout_ms,
            session_timeout_ms: classic.session_timeout_ms,
            protocols: classic.protocols.clone(),
            assignment: Bytes::new(),
            joining: None,
            syncing: None,
            is_new: false,
            deadline_ms: None,
        });
    }
    let protocol = Group::protocol_of(&members);
    let name = protocol.clone().unwrap_or_default();
    for member in &mut members {
        let version = protocol::subscription(member.metadata(&name)).map_or(0, |said| said.version);
        // What it has, where Kafka writes what it is to have: were the group upgraded again before everyone has
        // joined, what this one has not given up would be somebody else's.
        let held = group.members.get(&member.id).map(|member| member.current.held()).unwrap_or_default();
        member.assignment = protocol::encode_assignment(version, &held, step.topics);
    }
    changes.push(Change::Classic(GroupMetadataValue {
        protocol_type: CONSUMER.to_owned(),
        generation: group.epoch,
        protocol: protocol.as_ref().map(ToString::to_string),
        leader: members.first().map(|member| member.id.to_string()),
        current_state_timestamp: step.now.wall_ms,
        members: members.iter().map(|member| recorded(member, &name)).collect(),
        ..Default::default()
    }));
    let becomes = Becomes::Classic { members, generation: group.epoch, protocol, rebalances };
    Ok(Planned { changes, becomes, ..Planned::default() })
}

fn recorded(member: &ClassicMember, protocol: &StrBytes) -> GroupMember {
    GroupMember {
        member_id: member.id.to_string(),
        group_instance_id: member.instance_id.as_ref().map(ToString::to_string),
        client_id: member.client_id.to_string(),
        client_host: member.client_host.to_string(),
        rebalance_timeout: member.rebalance_timeout_ms,
        session_timeout: member.session_timeout_ms,
        subscription: member.metadata(protocol),
        assignment: member.assignment.clone(),
        ..Default::default()
    }
}
