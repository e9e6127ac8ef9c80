//! JoinGroup: who may come in, as whom, and whether the group must settle anew because of it.

use jackdaw_wire::messages::join_group_request::JoinGroupRequestProtocol;
use jackdaw_wire::messages::{GroupId, JoinGroupRequest, JoinGroupResponse};
use jackdaw_wire::types::Now;
use jackdaw_wire::{ErrorCode, StrBytes, Uuid, keep};

use crate::api::{Caller, Reply, join_refusal, sync_refusal};
use crate::group::{Group, GroupState};
use crate::machine::{Context, Groups, Write, of_group_write};
use crate::member::{Member, Protocols};
use crate::record;

/// How long a new member is waited for, whatever its session timeout: it cannot send heartbeats before it has an
/// answer, and it may never hear of it (`NewMemberJoinTimeoutMs`).
const NEW_MEMBER_JOIN_TIMEOUT_MS: i64 = 5 * 60 * 1000;
/// From this version on a member must come with the id that it was given (KIP-394).
pub(crate) const MEMBER_ID_REQUIRED_FROM: i16 = 4;
/// From this version on a leader is told when nobody needs its assignment (KIP-814).
const SKIPS_ASSIGNMENT_FROM: i16 = 9;

/// A request to join, taken apart.
struct Joining {
    token: u64,
    instance_id: Option<StrBytes>,
    client_id: StrBytes,
    client_host: StrBytes,
    rebalance_timeout_ms: i32,
    session_timeout_ms: i32,
    protocol_type: StrBytes,
    protocols: Protocols,
    requires_known_id: bool,
    can_skip_assignment: bool,
    reason: StrBytes,
}

/// A static member that came back under a new id, while its record is on its way to the log.
#[derive(Debug)]
pub(crate) struct StaticReplacement {
    token: u64,
    instance_id: StrBytes,
    old_id: StrBytes,
    new_id: StrBytes,
    /// The leader's id before: a member that cannot be told to skip the assignment must not take itself for it.
    leader_before: StrBytes,
    can_skip_assignment: bool,
    rebalance_timeout_ms: i32,
    session_timeout_ms: i32,
}

/// A request without slices of the frame that it came in: a member is made of it, that stays.
pub(crate) fn kept(request: JoinGroupRequest) -> JoinGroupRequest {
    let protocols = request.protocols.iter().map(|protocol| {
        JoinGroupRequestProtocol::default()
            .with_name(keep::text(&protocol.name))
            .with_metadata(keep::bytes(&protocol.metadata))
    });
    JoinGroupRequest::default()
        .with_group_id(GroupId(keep::text(&request.group_id)))
        .with_session_timeout_ms(request.session_timeout_ms)
        .with_rebalance_timeout_ms(request.rebalance_timeout_ms)
        .with_member_id(keep::text(&request.member_id))
        .with_group_instance_id(request.group_instance_id.as_ref().map(keep::text))
        .with_protocol_type(keep::text(&request.protocol_type))
        .with_protocols(protocols.collect())
        .with_reason(request.reason.as_ref().map(keep::text))
}

impl Groups {
    pub(crate) fn join(
        &mut self,
        now: Now,
        token: u64,
        caller: &Caller,
        unique: Uuid,
        request: JoinGroupRequest,
    ) {
        let (id, member_id) = (request.group_id.0.clone(), request.member_id.clone());
        let bounds = self.config.min_session_timeout_ms..=self.config.max_session_timeout_ms;
        let is_known = self.groups.contains_key(&id);
        let refused = match () {
            () if !bounds.contains(&request.session_timeout_ms) => Some(ErrorCode::InvalidSessionTimeout),
            () if !is_known && !member_id.is_empty() => Some(ErrorCode::UnknownMemberId),
            () => None,
        };
        if let Some(error) = refused {
            return self.reply(token, Reply::Join(join_refusal(&member_id, error)));
        }
        if !is_known {
            self.new_group(id.clone(), now.wall_ms);
        }
        let joining = Joining {
            token,
            requires_known_id: caller.version >= MEMBER_ID_REQUIRED_FROM
                && request.group_instance_id.is_none(),
            can_skip_assignment: caller.version >= SKIPS_ASSIGNMENT_FROM,
            instance_id: request.group_instance_id,
            client_id: caller.client_id.clone(),
            client_host: caller.client_host.clone(),
            // Version 0 has none (`maybeOverrideRebalanceTimeout`).
            rebalance_timeout_ms: match caller.version {
                0 => request.session_timeout_ms,
                _ => request.rebalance_timeout_ms,
            },
            session_timeout_ms: request.session_timeout_ms,
            protocol_type: request.protocol_type,
            protocols: request.protocols.into_iter().map(|p| (p.name, p.metadata)).collect(),
            reason: request.reason.unwrap_or(StrBytes::from_static_str("not provided")),
        };
        self.with(now, &id, |group, context| {
            group.join(context, &member_id, joining, unique);
            if group.state == GroupState::PreparingRebalance {
                group.complete_join_if_all_are_there(context);
            }
        });
    }
}

impl Group {
    fn join(&mut self, context: &mut Context<'_>, member_id: &StrBytes, joining: Joining, unique: Uuid) {
        let is_unknown = member_id.is_empty();
        if !self.accepts(member_id, context.config.max_size) {
            self.remove(context, member_id);
            let reply = join_refusal(&StrBytes::default(), ErrorCode::GroupMaxSizeReached);
            return context.reply_join(joining.token, reply);
        }
        if !self.supports(&joining.protocol_type, joining.protocols.iter().map(|(name, _)| name)) {
            return context
                .reply_join(joining.token, join_refusal(member_id, ErrorCode::InconsistentGroupProtocol));
        }
        match is_unknown {
            true => self.join_new(context, joining, unique),
            false => self.join_known(context, member_id, joining),
        }
    }

    /// `acceptJoiningMember`
    fn accepts(&self, member_id: &StrBytes, max_size: usize) -> bool {
        let member = self.members.get(member_id);
        match self.state {
            GroupState::Empty => true,
            GroupState::PreparingRebalance => {
                member.is_some_and(|m| m.joining.is_some()) || self.joined() < max_size
            }
            GroupState::CompletingRebalance | GroupState::Stable => {
                member.is_some() || self.members.len() < max_size
            }
        }
    }

    fn join_new(&mut self, context: &mut Context<'_>, joining: Joining, unique: Uuid) {
        let name = joining.instance_id.as_ref().unwrap_or(&joining.client_id);
        let new_id = StrBytes::from_string(format!("{name}-{unique}"));
        let known = joining.instance_id.as_ref().and_then(|i| self.static_members.get(i)).cloned();
        let state = self.state.name();
        match known {
            Some(old_id) => {
                tracing::info!(
                    target: "kafka.coordinator.group",
                    "Static member of group {} in {state} state joins with an unknown member id; {new_id} takes the \
                     place of {old_id}", self.id
                );
                self.replace_static(context, joining, old_id, new_id);
            }
            None if joining.requires_known_id => {
                tracing::info!(
                    target: "kafka.coordinator.group",
                    "Dynamic member with unknown member id joins group {} in {state} state. Created a new member id \
                     {new_id} and request the member to rejoin with this id.", self.id
                );
                let deadline_ms = context.now.steady_ms.saturating_add(i64::from(joining.session_timeout_ms));
                self.pending_members.insert(new_id.clone(), deadline_ms);
                context.reply_join(joining.token, join_refusal(&new_id, ErrorCode::MemberIdRequired));
            }
            None => self.add_and_rebalance(context, new_id, joining),
        }
    }

    fn join_known(&mut self, context: &mut Context<'_>, member_id: &StrBytes, joining: Joining) {
        let token = joining.token;
        if self.pending_members.contains_key(member_id) {
            if joining.instance_id.is_some() {
                // An id that was given to a dynamic member; Kafka fails at this, too.
                return context.reply_join(token, join_refusal(member_id, ErrorCode::UnknownServerError));
            }
            return self.add_and_rebalance(context, member_id.clone(), joining);
        }
        if let Err(error) = self.check_member(member_id, joining.instance_id.as_ref()) {
            return context.reply_join(token, join_refusal(member_id, error));
        }
        let is_leader = self.is_leader(member_id);
        let is_same = self.members.get(member_id).is_some_and(|m| m.protocols == joining.protocols);
        match self.state {
            GroupState::PreparingRebalance => self.rejoin(context, member_id, joining),
            // It may not have heard the answer of the join before.
            GroupState::CompletingRebalance if is_same => {
                context.reply_join(token, self.joined_reply(member_id, is_leader));
            }
            // A leader that comes again wants to assign again.
            GroupState::Stable if is_same && !is_leader => {
                context.reply_join(token, self.joined_reply(member_id, false));
            }
            GroupState::CompletingRebalance | GroupState::Stable => self.rejoin(context, member_id, joining),
            GroupState::Empty => {
                context.reply_join(token, join_refusal(member_id, ErrorCode::UnknownMemberId));
            }
        }
    }

    fn add_and_rebalance(&mut self, context: &mut Context<'_>, id: StrBytes, joining: Joining) {
        let reason = format!(
            "Adding new member {id} with group instance id {}; client reason: {}",
            joining.instance_id.as_deref().unwrap_or("null"),
            joining.reason
        );
        let mut member = Member {
            id,
            instance_id: joining.instance_id,
            client_id: joining.client_id,
            client_host: joining.client_host,
            rebalance_timeout_ms: joining.rebalance_timeout_ms,
            session_timeout_ms: joining.session_timeout_ms,
            protocols: joining.protocols,
            assignment: jackdaw_wire::Bytes::new(),
            joining: Some(joining.token),
            syncing: None,
            is_new: true,
            deadline_ms: None,
        };
        member.expect_within(NEW_MEMBER_JOIN_TIMEOUT_MS, context.now.steady_ms);
        if self.state == GroupState::PreparingRebalance && self.generation == 0 {
            self.new_member_added = true;
        }
        self.add(member, &joining.protocol_type);
        self.rebalance_if_possible(context, &reason);
    }

    fn rejoin(&mut self, context: &mut Context<'_>, member_id: &StrBytes, joining: Joining) {
        let reason = format!(
            "Member {member_id} joining group during {}; client reason: {}",
            self.state.name(),
            joining.reason
        );
        self.update(context, member_id, joining);
        self.rebalance_if_possible(context, &reason);
    }

    fn update(&mut self, context: &mut Context<'_>, member_id: &StrBytes, joining: Joining) {
        let Some(member) = self.members.get_mut(member_id) else { return };
        member.protocols = joining.protocols;
        member.rebalance_timeout_ms = joining.rebalance_timeout_ms;
        member.session_timeout_ms = joining.session_timeout_ms;
        if let Some(before) = member.joining.replace(joining.token) {
            // Kafka leaves it without an answer for ever.
            context.reply_join(before, join_refusal(member_id, ErrorCode::RebalanceInProgress));
        }
    }

    /// `updateStaticMemberAndRebalance`
    fn replace_static(
        &mut self,
        context: &mut Context<'_>,
        joining: Joining,
        old_id: StrBytes,
        new_id: StrBytes,
    ) {
        let (Some(instance_id), leader_before) =
            (joining.instance_id.clone(), self.leader.clone().unwrap_or_default())
        else {
            return;
        };
        self.rename_static(context, &instance_id, &old_id, &new_id);
        let (rebalance_timeout_ms, session_timeout_ms) = match self.members.get(&new_id) {
            Some(member) => (member.rebalance_timeout_ms, member.session_timeout_ms),
            None => return,
        };
        let replacement = StaticReplacement {
            token: joining.token,
            instance_id,
            old_id,
            new_id: new_id.clone(),
            leader_before,
            can_skip_assignment: joining.can_skip_assignment,
            rebalance_timeout_ms,
            session_timeout_ms,
        };
        let reason = joining.reason.clone();
        self.update(context, &new_id, joining);
        match self.state {
            GroupState::Stable if self.select_protocol() == self.protocol => {
                let batch = record::group(self, &self.assignments(), context);
                context.write(self, Write::StaticMember(replacement), batch);
            }
            GroupState::Stable | GroupState::CompletingRebalance => {
                let reason = format!("Updating metadata for static member {new_id}; client reason: {reason}");
                self.prepare_rebalance(context, &reason);
            }
            GroupState::PreparingRebalance | GroupState::Empty => {}
        }
    }

    /// Whoever waits under the old id is fenced.
    fn rename_static(
        &mut self,
        context: &mut Context<'_>,
        instance_id: &StrBytes,
        old_id: &StrBytes,
        new_id: &StrBytes,
    ) {
        let Some(mut member) = self.members.remove(old_id) else { return };
        if let Some(token) = member.joining.take() {
            context.reply_join(token, join_refusal(old_id, ErrorCode::FencedInstanceId));
        }
        if let Some(token) = member.syncing.take() {
            context.reply_sync(token, sync_refusal(ErrorCode::FencedInstanceId));
        }
        member.id = new_id.clone();
        member.heard(context.now.steady_ms);
        self.members.insert(new_id.clone(), member);
        if self.is_leader(old_id) {
            self.leader = Some(new_id.clone());
        }
        if self.pending_sync.remove(old_id) {
            self.pending_sync.insert(new_id.clone());
        }
        self.static_members.insert(instance_id.clone(), new_id.clone());
    }

    /// The record of a static member's new id is in the log, or is not.
    pub(crate) fn static_member_stored(
        &mut self,
        context: &mut Context<'_>,
        replacement: StaticReplacement,
        error: Option<ErrorCode>,
    ) {
        let StaticReplacement { token, new_id, old_id, instance_id, .. } = &replacement;
        let is_waiting = self.members.get(new_id).is_some_and(|m| m.joining == Some(*token));
        // Where the group began to settle anew meanwhile, that gives the answer.
        if !is_waiting || self.state != GroupState::Stable {
            return;
        }
        if let Some(member) = self.members.get_mut(new_id) {
            member.joining = None;
            if error.is_some() {
                member.rebalance_timeout_ms = replacement.rebalance_timeout_ms;
                member.session_timeout_ms = replacement.session_timeout_ms;
            }
        }
        let mut reply = self.joined_reply(new_id, false);
        match error {
            Some(error) => {
                tracing::warn!(
                    target: "kafka.coordinator.group",
                    "Failed to persist metadata for group {}: {error}", self.id
                );
                self.rename_static(context, instance_id, new_id, old_id);
                reply.error_code = of_group_write(error).code();
                reply.member_id = StrBytes::default();
                reply.leader = replacement.leader_before.clone();
            }
            None if replacement.can_skip_assignment => {
                let is_leader = self.is_leader(new_id);
                reply = self.joined_reply(new_id, is_leader).with_skip_assignment(is_leader);
            }
            None => reply.leader = replacement.leader_before.clone(),
        }
        context.reply_join(*token, reply);
    }

    /// A member is in; the leader is told of everyone.
    pub(crate) fn joined_reply(&self, member_id: &StrBytes, tells_roll: bool) -> JoinGroupResponse {
        JoinGroupResponse::default()
            .with_generation_id(self.generation)
            .with_protocol_type(self.protocol_type.clone())
            .with_protocol_name(self.protocol.clone())
            .with_leader(self.leader.clone().unwrap_or_default())
            .with_member_id(member_id.clone())
            .with_members(if tells_roll { self.roll() } else { Vec::new() })
    }
}
