//! Consumer groups as an administrator sees them: listed, described, with their offsets.

use crate::admin::{Admin, Broker, MOVED, Result, To, text};
use crate::clients::consumer::Place;
use crate::errors::{Exception, check};
use bytes::{Buf as _, Bytes};
use jackdaw_wire::ErrorCode;
use kafka_protocol::messages::{
    ConsumerProtocolAssignment, DescribeGroupsRequest, GroupId, ListGroupsRequest,
};
use kafka_protocol::protocol::Decodable as _;
use std::collections::BTreeMap;

/// A group in a list.
#[derive(Debug)]
pub struct Listed {
    /// Its id.
    pub id: String,
    /// Its state.
    pub state: String,
}

/// A member.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its id.
    pub id: String,
    /// The id that it gave itself.
    pub instance_id: Option<String>,
    /// Its client's id.
    pub client_id: String,
    /// Where it is.
    pub host: String,
    /// Its partitions.
    pub assigned: Vec<Place>,
}

/// A group.
#[derive(Debug)]
pub struct Described {
    /// Its state.
    pub state: String,
    /// How partitions are given out.
    pub assignor: String,
    /// Its members.
    pub members: Vec<Member>,
    /// Who coordinates it.
    pub coordinator: Broker,
}

/// The groups of consumers on all brokers, by id.
///
/// # Errors
/// When a broker does not answer.
pub fn list(admin: &mut Admin, states: &[String]) -> Result<Vec<Listed>> {
    let mut groups = BTreeMap::new();
    for broker in admin.brokers("findAllBrokers")? {
        let answer = admin.retrying(MOVED, |admin| {
            let answer = admin.ask_by_version(To::Node(broker.id), "listConsumerGroups", |version| {
                let request = ListGroupsRequest::default();
                match version >= 4 {
                    true => request.with_states_filter(states.iter().map(|state| text(state)).collect()),
                    false => request,
                }
            })?;
            check(answer.error_code, None)?;
            Ok(answer)
        })?;
        for group in answer.groups {
            if group.protocol_type.is_empty() || &*group.protocol_type == "consumer" {
                groups.insert(group.group_id.to_string(), group.group_state.to_string());
            }
        }
    }
    Ok(groups.into_iter().map(|(id, state)| Listed { id, state }).collect())
}

/// One group.
///
/// # Errors
/// When its coordinator refuses, or it is a group of others than consumers.
pub fn describe(admin: &mut Admin, group: &str) -> Result<Described> {
    let (node, answer) = admin.retrying(MOVED, |admin| {
        let node = admin.coordinator(0, group)?;
        let request = DescribeGroupsRequest::default().with_groups(vec![GroupId(text(group))]);
        let mut answer = admin.ask(To::Node(node), "describeConsumerGroups", &request)?;
        let group = answer.groups.pop().ok_or_else(|| Exception::from(ErrorCode::UnknownServerError))?;
        check(group.error_code, None)?;
        Ok((node, group))
    })?;
    let kind = answer.protocol_type.to_string();
    if !kind.is_empty() && kind != "consumer" {
        return Err(Exception::argument(format!("GroupId {group} is not a consumer group ({kind}).")));
    }
    let coordinator = admin.brokers("describeCluster")?.into_iter().find(|broker| broker.id == node);
    let members = answer.members.into_iter().map(|member| {
        Ok(Member {
            id: member.member_id.to_string(),
            instance_id: member.group_instance_id.map(|id| id.to_string()),
            client_id: member.client_id.to_string(),
            host: member.client_host.to_string(),
            assigned: assigned(member.member_assignment)?,
        })
    });
    Ok(Described {
        state: answer.group_state.to_string(),
        assignor: answer.protocol_data.to_string(),
        members: members.collect::<Result<_>>()?,
        coordinator: coordinator.unwrap_or(Broker { id: node, host: String::new(), port: 0, rack: None }),
    })
}

fn assigned(mut bytes: Bytes) -> Result<Vec<Place>> {
    if bytes.len() < 2 {
        return Ok(Vec::new());
    }
    let version = bytes.get_i16().clamp(0, 3);
    let assignment = ConsumerProtocolAssignment::decode(&mut bytes, version)
        .map_err(|error| Exception::kafka("SchemaException", error.to_string()))?;
    let mut places: Vec<Place> = assignment
        .assigned_partitions
        .iter()
        .flat_map(|part| part.partitions.iter().map(|partition| (part.topic.to_string(), *partition)))
        .collect();
    places.sort();
    Ok(places)
}
