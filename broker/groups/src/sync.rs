//! SyncGroup: the leader brings the assignment, everyone gets a part of it, once it is in the log.

use std::collections::BTreeMap;

use jackdaw_wire::messages::{SyncGroupRequest, SyncGroupResponse};
use jackdaw_wire::types::Now;
use jackdaw_wire::{Bytes, ErrorCode, StrBytes, keep};

use crate::api::{Reply, sync_refusal};
use crate::group::{Group, GroupState};
use crate::machine::{Context, Groups, Write, of_group_write};
use crate::member::Member;
use crate::record;

impl Groups {
    pub(crate) fn sync(&mut self, now: Now, token: u64, request: SyncGroupRequest) {
        let id = request.group_id.0.clone();
        let synced = self.with(now, &id, |group, context| group.sync(context, token, request));
        if let Err(error) = synced.unwrap_or(Err(ErrorCode::UnknownMemberId)) {
            self.reply(token, Reply::Sync(sync_refusal(error)));
        }
    }
}

impl Group {
    fn sync(
        &mut self,
        context: &mut Context<'_>,
        token: u64,
        request: SyncGroupRequest,
    ) -> Result<(), ErrorCode> {
        let member_id = &request.member_id;
        self.check_generation(member_id, request.group_instance_id.as_ref(), request.generation_id)?;
        let differs = |asked: &Option<StrBytes>, is: &Option<StrBytes>| asked.is_some() && asked != is;
        if differs(&request.protocol_type, &self.protocol_type)
            || differs(&request.protocol_name, &self.protocol)
        {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        match self.state {
            GroupState::Empty => return Err(ErrorCode::UnknownMemberId),
            GroupState::PreparingRebalance => return Err(ErrorCode::RebalanceInProgress),
            GroupState::CompletingRebalance => {
                let member = self.members.get_mut(member_id).ok_or(ErrorCode::UnknownMemberId)?;
                if let Some(before) = member.syncing.replace(token) {
                    // Kafka leaves it without an answer for ever.
                    context.reply_sync(before, sync_refusal(ErrorCode::RebalanceInProgress));
                }
                self.has_synced(member_id);
                if self.is_leader(member_id) {
                    self.store_assignment(context, request);
                }
            }
            GroupState::Stable => {
                self.has_synced(member_id);
                let member = self.members.get_mut(member_id).ok_or(ErrorCode::UnknownMemberId)?;
                member.heard(context.now.steady_ms);
                let reply = assigned_reply(&self.protocol_type, &self.protocol, member);
                context.reply_sync(token, reply);
            }
        }
        Ok(())
    }

    fn has_synced(&mut self, member_id: &StrBytes) {
        self.pending_sync.remove(member_id);
        if self.pending_sync.is_empty() {
            self.sync_deadline_ms = None;
        }
    }

    fn store_assignment(&mut self, context: &mut Context<'_>, request: SyncGroupRequest) {
        tracing::info!(
            target: "kafka.coordinator.group",
            "Assignment received from leader {} for group {} for generation {}. The group has {} members, {} of which \
             are static.",
            request.member_id, self.id, self.generation, self.members.len(), self.static_members.len()
        );
        let mut given: BTreeMap<StrBytes, Bytes> =
            request.assignments.into_iter().map(|a| (a.member_id, a.assignment)).collect();
        let assignment: BTreeMap<StrBytes, Bytes> = self
            .members
            .keys()
            .map(|id| (id.clone(), keep::bytes(&given.remove(id).unwrap_or_default())))
            .collect();
        let batch = record::group(self, &assignment, context);
        context.write(self, Write::Assignment { generation: self.generation, assignment }, batch);
    }

    /// The assignment is in the log, or is not.
    pub(crate) fn assigned(
        &mut self,
        context: &mut Context<'_>,
        generation: i32,
        mut assignment: BTreeMap<StrBytes, Bytes>,
        error: Option<ErrorCode>,
    ) {
        if self.state != GroupState::CompletingRebalance || self.generation != generation {
            return;
        }
        if let Some(error) = error.map(of_group_write) {
            self.withdraw_assignment(context, error);
            let reason = format!("Error {error} when storing group assignment during SyncGroup");
            return self.prepare_rebalance(context, &reason);
        }
        for member in self.members.values_mut() {
            member.assignment = assignment.remove(&member.id).unwrap_or_default();
            if let Some(token) = member.syncing.take() {
                context.reply_sync(token, assigned_reply(&self.protocol_type, &self.protocol, member));
                member.heard(context.now.steady_ms);
            }
        }
        self.enter(GroupState::Stable, context.now);
    }

    /// There is no assignment after all (`resetAndPropagateAssignmentError`).
    pub(crate) fn withdraw_assignment(&mut self, context: &mut Context<'_>, error: ErrorCode) {
        for member in self.members.values_mut() {
            member.assignment = Bytes::new();
            if let Some(token) = member.syncing.take() {
                context.reply_sync(token, sync_refusal(error));
                member.heard(context.now.steady_ms);
            }
        }
    }
}

fn assigned_reply(
    protocol_type: &Option<StrBytes>,
    protocol: &Option<StrBytes>,
    member: &Member,
) -> SyncGroupResponse {
    SyncGroupResponse::default()
        .with_protocol_type(protocol_type.clone())
        .with_protocol_name(protocol.clone())
        .with_assignment(member.assignment.clone())
}
