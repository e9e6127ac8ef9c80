//! A group as ConsumerGroupDescribe tells it.

use jackdaw_wire::ErrorCode;
use jackdaw_wire::StrBytes;
use jackdaw_wire::consumer_group::{
    DescribedAssignment, DescribedConsumer, DescribedConsumerGroup, DescribedTopicPartitions,
};

use super::draft::preferred_assignor;
use super::heartbeat::assignor_name;
use super::{ConsumerConfig, ConsumerGroup, Member, Partitions};
use crate::api::Reply;
use crate::machine::Groups;
use crate::topics::Topics;

impl Groups {
    pub(crate) fn describe_consumer(&mut self, token: u64, id: &StrBytes) {
        let group = self.groups.get(id);
        let described = match group.map(|group| group.consumer.as_ref()) {
            Some(Some(group)) => group.described(&self.config.consumer, &self.topics),
            found => {
                let why = if found.is_some() { "is not a consumer group" } else { "not found" };
                DescribedConsumerGroup {
                    error_code: ErrorCode::GroupIdNotFound.code(),
                    error_message: Some(format!("Group {id} {why}.")),
                    ..Default::default()
                }
            }
        };
        let described = DescribedConsumerGroup { group_id: id.to_string(), ..described };
        self.reply(token, Reply::ConsumerDescribe(Box::new(described)));
    }
}

impl ConsumerGroup {
    fn described(&self, config: &ConsumerConfig, topics: &Topics) -> DescribedConsumerGroup {
        let member = |(id, member): (&StrBytes, &Member)| {
            let text = |text: &Option<StrBytes>| text.as_ref().map(ToString::to_string);
            let about = &member.about;
            DescribedConsumer {
                member_id: id.to_string(),
                instance_id: text(&about.instance_id),
                rack_id: text(&about.rack_id),
                member_epoch: member.current.epoch,
                client_id: about.client_id.to_string(),
                client_host: about.client_host.to_string(),
                subscribed_topic_names: about.topics.iter().map(ToString::to_string).collect(),
                subscribed_topic_regex: text(&about.topic_regex),
                assignment: assignment(&member.current.assigned, topics),
                target_assignment: assignment(&self.target_of(id), topics),
                member_type: i8::from(about.classic.is_none()),
                ..Default::default()
            }
        };
        DescribedConsumerGroup {
            group_state: self.state().name().to_owned(),
            group_epoch: self.epoch,
            assignment_epoch: self.target_epoch,
            assignor_name: assignor_name(preferred_assignor(self), config),
            members: self.members.iter().map(member).collect(),
            ..Default::default()
        }
    }
}

/// Topics that are gone are not told.
fn assignment(partitions: &Partitions, topics: &Topics) -> DescribedAssignment {
    let known = partitions.iter().filter_map(|(id, all)| {
        Some(DescribedTopicPartitions {
            topic_id: *id,
            topic_name: topics.by_id(id)?.name.to_string(),
            partitions: all.iter().copied().collect(),
            ..Default::default()
        })
    });
    DescribedAssignment { topic_partitions: known.collect(), ..Default::default() }
}
