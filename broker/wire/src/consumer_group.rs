//! ConsumerGroupHeartbeat and ConsumerGroupDescribe in the versions of Kafka 4.1 (KIP-848, KIP-1082, KIP-1099), and the
//! version of DescribeGroups that came with them (KIP-1043): they are younger than the messages of `kafka_protocol`.
//!
//! Fields and codecs only: what a heartbeat does to a group is the business of `jackdaw-groups`.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::ApiKey;
use kafka_protocol::messages::describe_groups_response as messages;
use uuid::Uuid;

use crate::frame::{self, FrameError};
use crate::record_codec::{Versioned, nullable_structs, record_structs};

record_structs! {
    ConsumerGroupHeartbeatRequest 0..=1 flexible 0 {
        group_id: String, since 0;
        member_id: String, since 0;
        /// 0 to join, -1 to leave, -2 to leave for a while.
        member_epoch: i32, since 0;
        instance_id: Option<String>, since 0;
        rack_id: Option<String>, since 0;
        /// -1: as before.
        rebalance_timeout_ms: i32 = -1, since 0;
        /// None: as before. So are the other nullable ones.
        subscribed_topic_names: Option<Vec<String>>, since 0;
        subscribed_topic_regex: Option<String>, since 1;
        server_assignor: Option<String>, since 0;
        /// What the member owns.
        topic_partitions: Option<Vec<TopicPartitions>>, since 0;
    }

    ConsumerGroupHeartbeatResponse 0..=1 flexible 0 {
        throttle_time_ms: i32, since 0;
        error_code: i16, since 0;
        error_message: Option<String>, since 0;
        member_id: Option<String>, since 0;
        member_epoch: i32, since 0;
        heartbeat_interval_ms: i32, since 0;
        /// None: as before.
        assignment: Option<Assignment>, since 0;
    }

    Assignment {
        topic_partitions: Vec<TopicPartitions>, since 0;
    }

    TopicPartitions {
        topic_id: Uuid, since 0;
        partitions: Vec<i32>, since 0;
    }

    ConsumerGroupDescribeRequest 0..=1 flexible 0 {
        group_ids: Vec<String>, since 0;
        include_authorized_operations: bool, since 0;
    }

    ConsumerGroupDescribeResponse 0..=1 flexible 0 {
        throttle_time_ms: i32, since 0;
        groups: Vec<DescribedConsumerGroup>, since 0;
    }

    DescribedConsumerGroup {
        error_code: i16, since 0;
        error_message: Option<String>, since 0;
        group_id: String, since 0;
        group_state: String, since 0;
        group_epoch: i32, since 0;
        assignment_epoch: i32, since 0;
        assignor_name: String, since 0;
        members: Vec<DescribedConsumer>, since 0;
        authorized_operations: i32 = i32::MIN, since 0;
    }

    DescribedConsumer {
        member_id: String, since 0;
        instance_id: Option<String>, since 0;
        rack_id: Option<String>, since 0;
        member_epoch: i32, since 0;
        client_id: String, since 0;
        client_host: String, since 0;
        subscribed_topic_names: Vec<String>, since 0;
        subscribed_topic_regex: Option<String>, since 0;
        assignment: DescribedAssignment, since 0;
        target_assignment: DescribedAssignment, since 0;
        /// 0: classic, 1: of the consumer protocol.
        member_type: i8 = -1, since 1 ignorable true;
    }

    DescribedAssignment {
        topic_partitions: Vec<DescribedTopicPartitions>, since 0;
    }

    DescribedTopicPartitions {
        topic_id: Uuid, since 0;
        topic_name: String, since 0;
        partitions: Vec<i32>, since 0;
    }

    /// Its request is that of version 5.
    DescribeGroupsResponse 6..=6 flexible 5 {
        throttle_time_ms: i32, since 1;
        groups: Vec<DescribedGroup>, since 0;
    }

    DescribedGroup {
        error_code: i16, since 0;
        error_message: Option<String>, since 6;
        group_id: String, since 0;
        group_state: String, since 0;
        protocol_type: String, since 0;
        protocol_data: String, since 0;
        members: Vec<DescribedMember>, since 0;
        authorized_operations: i32 = i32::MIN, since 3;
    }

    DescribedMember {
        member_id: String, since 0;
        group_instance_id: Option<String>, since 4;
        client_id: String, since 0;
        client_host: String, since 0;
        member_metadata: Bytes, since 0;
        member_assignment: Bytes, since 0;
    }
}

nullable_structs! {
    Assignment;
}

impl DescribedGroup {
    /// The same group as older versions tell it, and why it is not there, in words.
    pub fn of(group: messages::DescribedGroup, error_message: Option<String>) -> Self {
        let member = |member: messages::DescribedGroupMember| DescribedMember {
            member_id: member.member_id.to_string(),
            group_instance_id: member.group_instance_id.map(|id| id.to_string()),
            client_id: member.client_id.to_string(),
            client_host: member.client_host.to_string(),
            member_metadata: member.member_metadata,
            member_assignment: member.member_assignment,
            ..Default::default()
        };
        Self {
            error_code: group.error_code,
            error_message,
            group_id: group.group_id.to_string(),
            group_state: group.group_state.to_string(),
            protocol_type: group.protocol_type.to_string(),
            protocol_data: group.protocol_data.to_string(),
            members: group.members.into_iter().map(member).collect(),
            authorized_operations: group.authorized_operations,
            ..Default::default()
        }
    }
}

/// Reads the request of an API behind its header. Bytes behind it are ignored, as the reference ignores them.
///
/// # Errors
/// `Malformed`, as `frame::decode_request`.
pub fn decode_request<T: Versioned>(api: ApiKey, version: i16, body: &mut Bytes) -> Result<T, FrameError> {
    frame::measure_request(api as i16, version, body)?;
    decode(version, body)
}

/// Reads what comes from a node that is trusted: a response.
///
/// # Errors
/// `Malformed`; no more memory is taken than the bytes that are there can fill.
pub fn decode<T: Versioned>(version: i16, body: &mut Bytes) -> Result<T, FrameError> {
    let read = T::shape(version).and_then(|shape| T::read(body, shape));
    read.map_err(|error| FrameError::Malformed { api: T::NAME, version, reason: error.to_string() })
}

/// The body of a response.
///
/// # Errors
/// `Unwritable` where a value is too long for its field.
pub fn encode<T: Versioned>(version: i16, response: &T) -> Result<Bytes, FrameError> {
    let mut out = BytesMut::new();
    let written = response.write_version(&mut out, version);
    written.map_err(|error| FrameError::Unwritable { api: T::NAME, version, reason: error.to_string() })?;
    Ok(out.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A member joins as Java's client of 4.1 does it; the bytes are laid out by hand after the message definition.
    #[test]
    fn a_first_heartbeat_has_the_bytes_of_the_definition() {
        let request = ConsumerGroupHeartbeatRequest {
            group_id: "g".into(),
            member_id: "m".into(),
            rebalance_timeout_ms: 300_000,
            subscribed_topic_regex: Some("t.*".into()),
            topic_partitions: Some(vec![]),
            ..Default::default()
        };
        let bytes = encode(1, &request).unwrap();
        assert_eq!(&bytes[..], b"\x02g\x02m\0\0\0\0\0\0\0\x04\x93\xe0\0\x04t.*\0\x01\0");
        assert_eq!(decode::<ConsumerGroupHeartbeatRequest>(1, &mut bytes.clone()), Ok(request.clone()));
        assert!(encode(0, &request).is_err(), "version 0 has no regular expression");
    }

    #[test]
    fn an_assignment_may_be_none_and_a_member_type_left_out() {
        let mut response = ConsumerGroupHeartbeatResponse { member_epoch: 2, ..Default::default() };
        assert_eq!(&encode(1, &response).unwrap()[..], b"\0\0\0\0\0\0\0\0\0\0\0\x02\0\0\0\0\xff\0");
        response.assignment = Some(Assignment::default());
        assert_eq!(&encode(1, &response).unwrap()[..], b"\0\0\0\0\0\0\0\0\0\0\0\x02\0\0\0\0\x01\x01\0\0");
        let member = DescribedConsumer { member_type: 1, ..Default::default() };
        let group = DescribedConsumerGroup { members: vec![member], ..Default::default() };
        let described = ConsumerGroupDescribeResponse { groups: vec![group], ..Default::default() };
        let (old, new) = (encode(0, &described).unwrap(), encode(1, &described).unwrap());
        assert_eq!(old.len() + 1, new.len());
    }

    /// Version 5 as `kafka_protocol` writes it, with the one field that version 6 has more.
    #[test]
    fn a_described_group_says_why_it_is_not_there() {
        use kafka_protocol::messages::DescribeGroupsResponse as Older;
        use kafka_protocol::protocol::{Encodable, StrBytes};
        let member = messages::DescribedGroupMember::default()
            .with_member_id(StrBytes::from_static_str("m"))
            .with_group_instance_id(Some(StrBytes::from_static_str("i")))
            .with_member_metadata(Bytes::from_static(b"abc"));
        let group = messages::DescribedGroup::default()
            .with_error_code(69)
            .with_group_state(StrBytes::from_static_str("Dead"))
            .with_members(vec![member])
            .with_authorized_operations(7);
        let mut older = BytesMut::new();
        Older::default().with_groups(vec![group.clone()]).encode(&mut older, 5).unwrap();
        let told = |message| {
            let groups = vec![DescribedGroup::of(group.clone(), message)];
            encode(6, &DescribeGroupsResponse { groups, ..Default::default() }).unwrap()
        };
        // Behind the throttle time, the number of groups and the error code.
        let (before, behind) = older.split_at(7);
        assert_eq!(told(None), [before, b"\0", behind].concat());
        assert_eq!(told(Some("no".into())), [before, b"\x03no", behind].concat());
    }
}
