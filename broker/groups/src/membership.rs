//! Heartbeats, leaving, and members that are not heard of any more.

use jackdaw_wire::messages::leave_group_request::MemberIdentity;
use jackdaw_wire::messages::leave_group_response::MemberResponse;
use jackdaw_wire::messages::{HeartbeatRequest, HeartbeatResponse, LeaveGroupRequest, LeaveGroupResponse};
use jackdaw_wire::types::Now;
use jackdaw_wire::{ErrorCode, StrBytes};

use crate::api::{Reply, code, join_refusal, sync_refusal};
use crate::group::{Group, GroupState};
use crate::machine::{Context, Groups};

impl Groups {
    pub(crate) fn heartbeat(&mut self, now: Now, token: u64, request: &HeartbeatRequest) {
        let beat = self.with(now, &request.group_id.0, |group, context| group.heartbeat(context, request));
        let error = beat.unwrap_or(Err(ErrorCode::UnknownMemberId)).err();
        self.reply(token, Reply::Heartbeat(HeartbeatResponse::default().with_error_code(code(error))));
    }

    pub(crate) fn leave(&mut self, now: Now, token: u64, request: LeaveGroupRequest) {
        let LeaveGroupRequest { group_id, members, .. } = request;
        let mut left = Vec::with_capacity(members.len());
        for leaving in &members {
            let outcome = self.with(now, &group_id.0, |group, context| group.leave(context, leaving));
            let error = outcome.unwrap_or(Err(ErrorCode::UnknownMemberId)).err();
            let response = MemberResponse::default()
                .with_member_id(leaving.member_id.clone())
                .with_group_instance_id(leaving.group_instance_id.clone())
                .with_error_code(code(error));
            left.push(response);
        }
        self.reply(token, Reply::Leave(LeaveGroupResponse::default().with_members(left)));
    }
}

impl Group {
    fn heartbeat(&mut self, context: &mut Context<'_>, request: &HeartbeatRequest) -> Result<(), ErrorCode> {
        let instance = request.group_instance_id.as_ref();
        self.check_generation(&request.member_id, instance, request.generation_id)?;
        if self.state == GroupState::Empty {
            return Err(ErrorCode::UnknownMemberId);
        }
        self.hear(context, &request.member_id);
        match self.state {
            GroupState::PreparingRebalance => Err(ErrorCode::RebalanceInProgress),
            _ => Ok(()),
        }
    }

    /// The member's session begins anew.
    pub(crate) fn hear(&mut self, context: &Context<'_>, member_id: &StrBytes) {
        if let Some(member) = self.members.get_mut(member_id) {
            member.heard(context.now.steady_ms);
        }
    }

    fn leave(&mut self, context: &mut Context<'_>, leaving: &MemberIdentity) -> Result<(), ErrorCode> {
        let instance = leaving.group_instance_id.as_ref();
        let reason = leaving.reason.as_deref().unwrap_or("not provided");
        let member_id = if leaving.member_id.is_empty() {
            // An administrator names a static member by its instance alone (KIP-345).
            let current = instance.and_then(|instance| self.static_members.get(instance));
            current.cloned().ok_or(ErrorCode::UnknownMemberId)?
        } else {
            leaving.member_id.clone()
        };
        if self.pending_members.contains_key(&member_id) {
            self.remove_pending(context, &member_id);
            return Ok(());
        }
        self.check_member(&member_id, instance)?;
        let reason = format!("Removing member {member_id} on LeaveGroup; client reason: {reason}");
        self.remove_and_rebalance(context, &member_id, &reason);
        Ok(())
    }

    /// Whoever waits is to ask again: the group is about to be one of the consumer protocol.
    pub(crate) fn interrupt(&mut self, context: &mut Context<'_>) {
        for member in self.members.values_mut() {
            if let Some(token) = member.joining.take() {
                context.reply_join(token, join_refusal(&member.id, ErrorCode::RebalanceInProgress));
            }
            if let Some(token) = member.syncing.take() {
                context.reply_sync(token, sync_refusal(ErrorCode::RebalanceInProgress));
            }
        }
    }

    /// Takes a member out; whoever waits for its reply hears that there is none of this name.
    pub(crate) fn remove(&mut self, context: &mut Context<'_>, member_id: &StrBytes) {
        let Some(member) = self.take(member_id) else { return };
        if let Some(token) = member.joining {
            let reply = join_refusal(&StrBytes::default(), ErrorCode::UnknownMemberId);
            context.reply_join(token, reply);
        }
        if let Some(token) = member.syncing {
            context.reply_sync(token, sync_refusal(ErrorCode::UnknownMemberId));
        }
    }

    /// `removeMemberAndUpdateGroup`
    fn remove_and_rebalance(&mut self, context: &mut Context<'_>, member_id: &StrBytes, reason: &str) {
        self.remove(context, member_id);
        match self.state {
            GroupState::Empty => {}
            GroupState::Stable | GroupState::CompletingRebalance => self.prepare_rebalance(context, reason),
            GroupState::PreparingRebalance => self.complete_join_if_all_are_there(context),
        }
    }

    /// `removePendingMemberAndUpdateGroup`
    fn remove_pending(&mut self, context: &mut Context<'_>, member_id: &StrBytes) {
        self.pending_members.remove(member_id);
        if self.state == GroupState::PreparingRebalance {
            self.complete_join_if_all_are_there(context);
        }
    }

    /// Ends the sessions that are over.
    pub(crate) fn end_sessions(&mut self, context: &mut Context<'_>) {
        let now_ms = context.now.steady_ms;
        let is_due = |deadline_ms: Option<i64>| deadline_ms.is_some_and(|due_ms| due_ms <= now_ms);
        let overdue = self.pending_members.iter().filter(|(_, due)| is_due(Some(**due)));
        let pending: Vec<StrBytes> = overdue.map(|(id, _)| id.clone()).collect();
        for id in pending {
            tracing::info!(
                target: "kafka.coordinator.group",
                "Pending member {id} in group {} has been removed after session timeout expiration.", self.id
            );
            self.remove_pending(context, &id);
        }
        let overdue = self.members.values().filter(|m| is_due(m.deadline_ms));
        let silent: Vec<StrBytes> = overdue.map(|m| m.id.clone()).collect();
        for id in silent {
            // An earlier one's end may have given this one a new session.
            let Some(member) = self.members.get_mut(&id).filter(|m| is_due(m.deadline_ms)) else { continue };
            member.deadline_ms = None;
            if !member.is_new && member.is_waiting() {
                continue;
            }
            tracing::info!(
                target: "kafka.coordinator.group",
                "Member {id} in group {} has failed, removing it from the group", self.id
            );
            let reason = format!("removing member {id} on heartbeat expiration");
            self.remove_and_rebalance(context, &id, &reason);
        }
    }
}
