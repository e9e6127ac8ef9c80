//! What administrators ask: groups described, listed and deleted, offsets deleted.

use std::collections::BTreeMap;

use jackdaw_wire::messages::delete_groups_response::DeletableGroupResult;
use jackdaw_wire::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use jackdaw_wire::messages::list_groups_response::ListedGroup;
use jackdaw_wire::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use jackdaw_wire::messages::{GroupId, OffsetDeleteRequest, OffsetDeleteResponse, TopicName};
use jackdaw_wire::types::Now;
use jackdaw_wire::{ErrorCode, StrBytes};

use crate::api::{Reply, code};
use crate::group::{Group, GroupState};
use crate::machine::Groups;
use crate::member::Member;
use crate::offsets::TopicPartition;
use crate::subscription::CONSUMER;

impl Groups {
    pub(crate) fn describe(&mut self, token: u64, id: GroupId) {
        let found = self.groups.get(&id.0);
        let (group, not_found) = match found.filter(|group| group.consumer.is_none()) {
            Some(group) => (group.described(), None),
            // As is told of groups that never were, and of those of the consumer protocol.
            None => {
                let why = if found.is_some() { "is not a classic group" } else { "not found" };
                let dead = DescribedGroup::default().with_group_state(StrBytes::from_static_str("Dead"));
                (dead, Some(format!("Group {} {why}.", id.0)))
            }
        };
        self.reply(token, Reply::Describe { group: group.with_group_id(id), not_found });
    }

    pub(crate) fn list(&mut self, token: u64, states: &[StrBytes], types: &[StrBytes]) {
        // From 4.1 on case does not matter.
        let lenient = self.config.consumer.enabled;
        let has = |all: &[StrBytes], name: &str| {
            let is =
                |asked: &StrBytes| **asked == *name || (lenient && asked.trim().eq_ignore_ascii_case(name));
            all.is_empty() || all.iter().any(is)
        };
        // There are few names, while groups and filters may be many.
        let (mut by_state, mut by_type) = (BTreeMap::new(), BTreeMap::new());
        let mut is_asked = |group: &&Group| {
            let (state, kind) = (group.state_name(), group.type_name());
            group.is_told()
                && *by_state.entry(state).or_insert_with(|| has(states, state))
                && *by_type.entry(kind).or_insert_with(|| has(types, kind))
        };
        let listed = |group: &Group| {
            ListedGroup::default()
                .with_group_id(GroupId(group.id.clone()))
                .with_protocol_type(group.told_protocol_type())
                .with_group_state(StrBytes::from_static_str(group.state_name()))
                .with_group_type(StrBytes::from_static_str(group.type_name()))
        };
        let all = self.groups.values().filter(|group| is_asked(group)).map(listed).collect();
        self.reply(token, Reply::List(all));
    }

    pub(crate) fn delete(&mut self, now: Now, token: u64, id: GroupId) {
        let error = match self.groups.get(&id.0).map(Group::is_empty) {
            None => Some(ErrorCode::GroupIdNotFound),
            Some(true) => {
                self.clean(now, &id.0, true, |group| group.offsets.remove_all());
                None
            }
            Some(false) => Some(ErrorCode::NonEmptyGroup),
        };
        let result = DeletableGroupResult::default().with_group_id(id).with_error_code(code(error));
        self.reply(token, Reply::Delete(result));
    }

    pub(crate) fn delete_offsets(&mut self, now: Now, token: u64, request: &OffsetDeleteRequest) {
        let id = &request.group_id.0;
        let error = match self.groups.get(id) {
            None => Some(ErrorCode::GroupIdNotFound),
            Some(group) if group.is_empty() || group.consumer.is_some() || group.is_consumer_group() => None,
            Some(_) => Some(ErrorCode::NonEmptyGroup),
        };
        let (mut topics, mut deleted) = (BTreeMap::new(), Vec::new());
        if error.is_none()
            && let Some(group) = self.groups.get(id)
        {
            for topic in &request.topics {
                let is_used = !group.is_empty() && group.is_subscribed(&topic.name.0);
                let error = is_used.then_some(ErrorCode::GroupSubscribedToTopic);
                let told: &mut Vec<OffsetDeleteResponsePartition> =
                    topics.entry(topic.name.0.clone()).or_default();
                for partition in &topic.partitions {
                    if error.is_none() {
                        deleted.push((topic.name.0.clone(), partition.partition_index));
                    }
                    let result = OffsetDeleteResponsePartition::default()
                        .with_partition_index(partition.partition_index)
                        .with_error_code(code(error));
                    told.push(result);
                }
            }
        }
        if !deleted.is_empty() {
            self.clean(now, id, false, |group| group.offsets.remove(&deleted));
        }
        let topic = |(name, partitions)| {
            OffsetDeleteResponseTopic::default().with_name(TopicName(name)).with_partitions(partitions)
        };
        let reply = OffsetDeleteResponse::default()
            .with_error_code(code(error))
            .with_topics(topics.into_iter().map(topic).collect());
        self.reply(token, Reply::DeleteOffsets(reply));
    }

    pub(crate) fn partitions_deleted(&mut self, now: Now, partitions: &[TopicPartition]) {
        let ids: Vec<StrBytes> = self.groups.keys().cloned().collect();
        for id in ids {
            self.clean(now, &id, false, |group| group.offsets.remove(partitions));
        }
    }
}

impl Group {
    /// Whether it is there for whoever asks: one that is being made is not yet.
    fn is_told(&self) -> bool {
        !(self.is_writing && self.consumer.is_none() && self.generation == 0 && self.offsets.is_empty())
    }

    /// As ListGroups says it (`Group.GroupType`).
    fn type_name(&self) -> &'static str {
        if self.consumer.is_some() { "Consumer" } else { "Classic" }
    }

    fn told_protocol_type(&self) -> StrBytes {
        match self.consumer {
            Some(_) => StrBytes::from_static_str(CONSUMER),
            None => self.protocol_type.clone().unwrap_or_default(),
        }
    }

    fn described(&self) -> DescribedGroup {
        let protocol = match self.state {
            GroupState::Stable => self.protocol.clone(),
            _ => None,
        };
        let member = |m: &Member| {
            let told = DescribedGroupMember::default()
                .with_member_id(m.id.clone())
                .with_group_instance_id(m.instance_id.clone())
                .with_client_id(m.client_id.clone())
                .with_client_host(m.client_host.clone());
            match &protocol {
                Some(protocol) => told
                    .with_member_metadata(m.metadata(protocol))
                    .with_member_assignment(m.assignment.clone()),
                None => told,
            }
        };
        DescribedGroup::default()
            .with_group_state(StrBytes::from_static_str(self.state.name()))
            .with_protocol_type(self.protocol_type.clone().unwrap_or_default())
            .with_members(self.members.values().map(member).collect())
            .with_protocol_data(protocol.clone().unwrap_or_default())
    }
}
