//! A rebalance: members are waited for, a generation begins, assignments are waited for.

use jackdaw_wire::ErrorCode;
use jackdaw_wire::StrBytes;

use crate::group::{Group, GroupState, JoinTimer};
use crate::machine::{Context, Write};
use crate::record;

impl Group {
    pub(crate) fn rebalance_if_possible(&mut self, context: &mut Context<'_>, reason: &str) {
        if self.state != GroupState::PreparingRebalance {
            self.prepare_rebalance(context, reason);
        }
    }

    /// `prepareRebalance`
    pub(crate) fn prepare_rebalance(&mut self, context: &mut Context<'_>, reason: &str) {
        if self.state == GroupState::CompletingRebalance {
            self.withdraw_assignment(context, ErrorCode::RebalanceInProgress);
        }
        self.pending_sync.clear();
        self.sync_deadline_ms = None;
        let (now_ms, timeout_ms) = (context.now.steady_ms, self.rebalance_timeout_ms());
        self.join_timer = Some(match self.state {
            GroupState::Empty => {
                let delay_ms = context.config.initial_rebalance_delay_ms;
                let remaining_ms = (timeout_ms - delay_ms).max(0);
                JoinTimer::Initial { deadline_ms: now_ms.saturating_add(delay_ms), delay_ms, remaining_ms }
            }
            _ => JoinTimer::AllOrDeadline { deadline_ms: now_ms.saturating_add(timeout_ms) },
        });
        tracing::info!(
            target: "kafka.coordinator.group",
            "Preparing to rebalance group {} in state {} with old generation {} (reason: {reason})",
            self.id, self.state.name(), self.generation
        );
        self.enter(GroupState::PreparingRebalance, context.now);
        self.complete_join_if_all_are_there(context);
    }

    /// Unless the group was empty: then others may still come.
    pub(crate) fn complete_join_if_all_are_there(&mut self, context: &mut Context<'_>) {
        if matches!(self.join_timer, Some(JoinTimer::AllOrDeadline { .. })) && self.has_all_joined() {
            self.complete_join(context);
        }
    }

    /// The wait is over (`onCompleteJoin`): whoever has not joined is out, unless static.
    fn complete_join(&mut self, context: &mut Context<'_>) {
        self.join_timer = None;
        let is_missing = |id: &&StrBytes| {
            self.members.get(*id).is_some_and(|m| m.joining.is_none() && m.instance_id.is_none())
        };
        let missing: Vec<StrBytes> = self.members.keys().filter(is_missing).cloned().collect();
        if !missing.is_empty() {
            tracing::info!(
                target: "kafka.coordinator.group",
                "Group {} removed dynamic members who haven't joined: {}",
                self.id, list(&missing)
            );
            missing.iter().for_each(|id| self.remove(context, id));
        }
        if !self.elect_joined_leader() && !self.members.is_empty() {
            // Static members all of them, who may come back: wait on.
            let deadline_ms = context.now.steady_ms.saturating_add(self.rebalance_timeout_ms());
            self.join_timer = Some(JoinTimer::AllOrDeadline { deadline_ms });
            return;
        }
        self.next_generation(context.now);
        if self.state == GroupState::Empty {
            tracing::info!(
                target: "kafka.coordinator.group",
                "Group {} with generation {} is now empty", self.id, self.generation
            );
            let batch = record::group(self, &Default::default(), context);
            return context.write(self, Write::Emptied, batch);
        }
        tracing::info!(
            target: "kafka.coordinator.group",
            "Stabilized group {} generation {} with {} members", self.id, self.generation, self.members.len()
        );
        let ids: Vec<StrBytes> = self.members.keys().cloned().collect();
        for id in ids {
            let reply = self.joined_reply(&id, self.is_leader(&id));
            let Some(member) = self.members.get_mut(&id) else { continue };
            if let Some(token) = member.joining.take() {
                context.reply_join(token, reply);
            }
            member.heard(context.now.steady_ms);
            member.is_new = false;
            self.pending_sync.insert(id);
        }
        self.sync_deadline_ms = Some(context.now.steady_ms.saturating_add(self.rebalance_timeout_ms()));
    }

    /// Members that were given a generation and never asked for their part of it are out (`onExpirePendingSync`).
    fn remove_unsynced(&mut self, context: &mut Context<'_>) {
        let missing: Vec<StrBytes> = std::mem::take(&mut self.pending_sync).into_iter().collect();
        missing.iter().for_each(|id| self.remove(context, id));
        let reason = format!("Removing {} on pending sync request expiration", list(&missing));
        self.prepare_rebalance(context, &reason);
    }

    /// Timers that are due.
    pub(crate) fn tick(&mut self, context: &mut Context<'_>) {
        self.end_sessions(context);
        let now_ms = context.now.steady_ms;
        match self.join_timer.filter(|timer| timer.deadline_ms() <= now_ms) {
            Some(JoinTimer::Initial { delay_ms, remaining_ms, .. })
                if self.new_member_added && remaining_ms != 0 =>
            {
                self.new_member_added = false;
                let next_ms = context.config.initial_rebalance_delay_ms.min(remaining_ms);
                self.join_timer = Some(JoinTimer::Initial {
                    deadline_ms: now_ms.saturating_add(next_ms),
                    delay_ms: next_ms,
                    remaining_ms: (remaining_ms - delay_ms).max(0),
                });
            }
            Some(_) => self.complete_join(context),
            None => {}
        }
        if self.sync_deadline_ms.is_some_and(|due_ms| due_ms <= now_ms) {
            self.sync_deadline_ms = None;
            self.remove_unsynced(context);
        }
    }
}

fn list(ids: &[StrBytes]) -> String {
    ids.iter().map(|id| &**id).collect::<Vec<_>>().join(", ")
}
