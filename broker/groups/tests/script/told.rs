//! What was said and written, in the words of scripts.

use jackdaw_groups::Reply;
use jackdaw_wire::batch::BatchRef;
use jackdaw_wire::consumer_group::{DescribedAssignment, DescribedConsumerGroup};
use jackdaw_wire::group_record::{
    self, AssignedTopic, ConsumerGroupCurrentMemberAssignmentValue, ConsumerGroupMemberMetadataValue,
    ConsumerGroupMetadataValue, ConsumerGroupRegularExpressionValue,
    ConsumerGroupTargetAssignmentMemberValue, ConsumerGroupTargetAssignmentMetadataValue, GroupKey,
    GroupMetadataValue, OffsetCommitValue, key_type,
};
use jackdaw_wire::{Bytes, ErrorCode, Uuid};

fn topic_name(id: &Uuid) -> String {
    String::from_utf8(id.as_bytes().iter().copied().skip_while(|byte| *byte == 0).collect()).unwrap()
}

/// What a classic member was assigned, if it is the consumers' format.
fn assignment_told(bytes: &[u8]) -> String {
    let parse = || -> Option<String> {
        let number = |at: usize| Some(i32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        bytes.first().filter(|byte| **byte == 0)?;
        let (mut at, mut words) = (6, Vec::new());
        for _ in 0..number(2)? {
            let length = usize::from(*bytes.get(at + 1)?);
            let name = std::str::from_utf8(bytes.get(at + 2..at + 2 + length)?).ok()?;
            at += 2 + length;
            let count = number(at)?;
            for _ in 0..count {
                at += 4;
                words.push(format!("{name}-{}", number(at)?));
            }
            at += 4;
        }
        Some(format!("[{}]", words.join(" ")))
    };
    parse().unwrap_or_else(|| format!("{:?}", String::from_utf8_lossy(bytes)))
}

fn error(code: i16) -> String {
    ErrorCode::try_from_code(code).map_or("ok".to_owned(), |error| format!("{error:?}"))
}

pub fn told(reply: &Reply) -> String {
    match reply {
        Reply::Join(r) if r.error_code != 0 => {
            let id = if r.member_id.is_empty() { String::new() } else { format!(", {}", r.member_id) };
            format!("{}{id}", error(r.error_code))
        }
        Reply::Join(r) => {
            let members: Vec<String> = r.members.iter().map(|m| m.member_id.to_string()).collect();
            let protocol = r.protocol_name.as_deref().unwrap_or("none");
            let roll =
                if members.is_empty() { String::new() } else { format!(", leads {}", members.join(" ")) };
            let skip = if r.skip_assignment { ", need not assign" } else { "" };
            let follows = if members.is_empty() { format!(", follows {}", r.leader) } else { String::new() };
            format!("joined as {} gen {} {protocol}{follows}{roll}{skip}", r.member_id, r.generation_id)
        }
        Reply::Sync(r) if r.error_code != 0 => error(r.error_code),
        Reply::Sync(r) => format!("assigned {}", assignment_told(&r.assignment)),
        Reply::Heartbeat(r) => error(r.error_code),
        Reply::Leave(r) => {
            let members: Vec<String> = r.members.iter().map(|m| error(m.error_code)).collect();
            if r.error_code != 0 { error(r.error_code) } else { members.join(" ") }
        }
        Reply::Commit(r) => {
            let partitions =
                r.topics.iter().flat_map(|t| t.partitions.iter().map(move |p| (t.name.to_string(), p)));
            let lines = partitions.map(|(t, p)| format!("{t}-{} {}", p.partition_index, error(p.error_code)));
            lines.collect::<Vec<_>>().join(", ")
        }
        Reply::TxnCommit(r) => {
            let partitions =
                r.topics.iter().flat_map(|t| t.partitions.iter().map(move |p| (t.name.to_string(), p)));
            let lines = partitions.map(|(t, p)| format!("{t}-{} {}", p.partition_index, error(p.error_code)));
            lines.collect::<Vec<_>>().join(", ")
        }
        Reply::Fetch(r) if r.error_code != 0 => error(r.error_code),
        Reply::Fetch(r) => {
            let partitions =
                r.topics.iter().flat_map(|t| t.partitions.iter().map(move |p| (t.name.to_string(), p)));
            let lines = partitions.map(|(t, p)| match p.error_code {
                0 => format!("{t}-{}={}", p.partition_index, p.committed_offset),
                code => format!("{t}-{} {}", p.partition_index, error(code)),
            });
            format!("[{}]", lines.collect::<Vec<_>>().join(", "))
        }
        Reply::Describe { group: r, .. } => {
            let members = r.members.iter().map(|m| {
                format!(
                    "{}@{}={:?}",
                    m.member_id,
                    m.client_host,
                    String::from_utf8_lossy(&m.member_assignment)
                )
                .replace('\0', "")
            });
            let members: Vec<String> = members.collect();
            format!("{} {} {:?} {}", r.group_state, r.protocol_type, &*r.protocol_data, members.join(" "))
        }
        Reply::List(groups) => {
            let lines = groups.iter().map(|g| {
                let other = if &*g.group_type == "Classic" { "" } else { " Consumer" };
                format!("{} {} {}{other}", &*g.group_id, g.protocol_type, g.group_state)
            });
            format!("[{}]", lines.collect::<Vec<_>>().join(", "))
        }
        Reply::Delete(r) => error(r.error_code),
        Reply::ConsumerHeartbeat(r) if r.error_code != 0 => {
            format!("{}: {}", error(r.error_code), r.error_message.as_deref().unwrap_or("no words"))
        }
        Reply::ConsumerHeartbeat(r) => {
            let assigned = r.assignment.as_ref().map_or(String::new(), |assignment| {
                let words =
                    assignment.topic_partitions.iter().map(|t| partitions_told(&t.topic_id, &t.partitions));
                format!(", has [{}]", words.collect::<Vec<_>>().join(" "))
            });
            let interval = match r.heartbeat_interval_ms {
                5_000 => String::new(),
                other => format!(", every {other} ms"),
            };
            format!(
                "{} epoch {}{interval}{assigned}",
                r.member_id.as_deref().unwrap_or("nobody"),
                r.member_epoch
            )
        }
        Reply::ConsumerDescribe(r) => described(r),
        Reply::DeleteOffsets(r) => {
            let partitions =
                r.topics.iter().flat_map(|t| t.partitions.iter().map(move |p| (t.name.to_string(), p)));
            let lines = partitions.map(|(t, p)| format!("{t}-{} {}", p.partition_index, error(p.error_code)));
            format!("{} {}", error(r.error_code), lines.collect::<Vec<_>>().join(", "))
        }
    }
}

fn partitions_told(topic: &Uuid, partitions: &[i32]) -> String {
    let name = topic_name(topic);
    partitions.iter().map(|index| format!("{name}-{index}")).collect::<Vec<_>>().join(" ")
}

fn described(r: &DescribedConsumerGroup) -> String {
    if r.error_code != 0 {
        return format!("{}: {}", error(r.error_code), r.error_message.as_deref().unwrap_or("no words"));
    }
    let list = |assignment: &DescribedAssignment| {
        let words = assignment.topic_partitions.iter().map(|t| partitions_told(&t.topic_id, &t.partitions));
        words.collect::<Vec<_>>().join(" ")
    };
    let members = r.members.iter().map(|m| {
        let kind = ["classic", "consumer"][m.member_type as usize];
        let instance = m.instance_id.as_ref().map_or(String::new(), |instance| format!(" static {instance}"));
        let regex = m.subscribed_topic_regex.as_deref().filter(|r| !r.is_empty());
        let regex = regex.map_or(String::new(), |regex| format!(" /{regex}/"));
        format!(
            "\n    {kind} {}{instance} epoch {} reads {}{regex} has [{}] of [{}]",
            m.member_id,
            m.member_epoch,
            m.subscribed_topic_names.join(","),
            list(&m.assignment),
            list(&m.target_assignment)
        )
    });
    format!(
        "{} epoch {} target {} {}{}",
        r.group_state,
        r.group_epoch,
        r.assignment_epoch,
        r.assignor_name,
        members.collect::<String>()
    )
}

fn assigned_told(topics: &[AssignedTopic]) -> String {
    topics.iter().map(|t| partitions_told(&t.topic_id, &t.partitions)).collect::<Vec<_>>().join(" ")
}

/// A record of a group of the consumer protocol.
fn consumer_record_told(key: i16, part: &str, value: Option<Bytes>) -> String {
    let what = match key {
        key_type::CONSUMER_GROUP => "consumer group",
        key_type::CONSUMER_PARTITION_METADATA => "partition metadata",
        key_type::CONSUMER_MEMBER => "member",
        key_type::CONSUMER_TARGET => "target",
        key_type::CONSUMER_MEMBER_TARGET => "target of",
        key_type::CONSUMER_MEMBER_CURRENT => "current of",
        _ => "regex",
    };
    let Some(value) = value else { return format!("{what} {part} gone").replace("  ", " ") };
    match key {
        key_type::CONSUMER_GROUP => {
            let (value, _) = group_record::decode::<ConsumerGroupMetadataValue>(value).unwrap();
            format!("{what} epoch {}", value.epoch)
        }
        key_type::CONSUMER_MEMBER => {
            let (value, _) = group_record::decode::<ConsumerGroupMemberMetadataValue>(value).unwrap();
            let classic = if value.classic_member_metadata.is_some() { " classic" } else { "" };
            format!("{what} {part}{classic} reads {}", value.subscribed_topic_names.join(","))
        }
        key_type::CONSUMER_TARGET => {
            let (value, _) =
                group_record::decode::<ConsumerGroupTargetAssignmentMetadataValue>(value).unwrap();
            format!("{what} epoch {}", value.assignment_epoch)
        }
        key_type::CONSUMER_MEMBER_TARGET => {
            let (value, _) = group_record::decode::<ConsumerGroupTargetAssignmentMemberValue>(value).unwrap();
            format!("{what} {part} [{}]", assigned_told(&value.topic_partitions))
        }
        key_type::CONSUMER_MEMBER_CURRENT => {
            let (value, _) =
                group_record::decode::<ConsumerGroupCurrentMemberAssignmentValue>(value).unwrap();
            let revoking = match &*value.partitions_pending_revocation {
                [] => String::new(),
                some => format!(" gives up [{}]", assigned_told(some)),
            };
            let state = ["", " unrevoked", " unreleased"][value.state as usize];
            format!(
                "{what} {part} epoch {} after {}{state} [{}]{revoking}",
                value.member_epoch,
                value.previous_member_epoch,
                assigned_told(&value.assigned_partitions)
            )
        }
        _ => {
            let (value, _) = group_record::decode::<ConsumerGroupRegularExpressionValue>(value).unwrap();
            format!("{what} {part} is {}", value.topics.join(","))
        }
    }
}

pub fn records_told(batch: &Bytes) -> String {
    let batch = BatchRef::parse(batch).unwrap();
    let mut scratch = Vec::new();
    let mut lines = Vec::new();
    for record in batch.records(1 << 20, &mut scratch).unwrap() {
        let record = record.unwrap();
        let value = record.value.map(Bytes::copy_from_slice);
        lines.push(match (GroupKey::decode(Bytes::copy_from_slice(record.key.unwrap())).unwrap(), value) {
            (GroupKey::Offset(key), None) => format!("offset {}-{} gone", key.topic, key.partition),
            (GroupKey::Offset(key), Some(value)) => {
                let (value, version) = group_record::decode::<OffsetCommitValue>(value).unwrap();
                let old = if version == 3 { "" } else { " (expires)" };
                format!("offset {}-{}={}{old}", key.topic, key.partition, value.offset)
            }
            (GroupKey::Group(_), None) => "group gone".to_owned(),
            (GroupKey::Group(_), Some(value)) => {
                let (value, _) = group_record::decode::<GroupMetadataValue>(value).unwrap();
                let members = value
                    .members
                    .iter()
                    .map(|m| format!(" {}={}", m.member_id, assignment_told(&m.assignment)));
                format!(
                    "group gen {} {}{}",
                    value.generation,
                    value.protocol.as_deref().unwrap_or("none"),
                    members.collect::<String>()
                )
            }
            (GroupKey::Consumer(key, _), value) => consumer_record_told(key, "", value),
            (GroupKey::ConsumerPart(key, named), value) => consumer_record_told(key, &named.part, value),
            (GroupKey::Unknown(version), _) => format!("unknown {version}"),
        });
    }
    let producer = match batch.header.is_transactional() {
        true => format!(" in a transaction of {}", batch.header.producer_id),
        false => String::new(),
    };
    format!("{}{producer}", lines.join(", "))
}
