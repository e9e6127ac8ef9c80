//! `kafka-consumer-groups.sh`: lists and describes groups, deletes them and their offsets
//! (`kafka.admin.ConsumerGroupCommand`). Offsets are moved in [`super::offsets_reset`].

use super::offsets_reset;
use crate::admin::{ADMIN, Admin, MOVED, Result, To, text, topic_name};
use crate::cli::{Done, Stop, check_invalid, check_required, end, help_or_version, properties_of, uncaught};
use crate::clients::consumer::{LATEST, Place, list_offset};
use crate::clients::group::fetch_offsets;
use crate::errors::{Exception, check, exception};
use crate::groups::{self, Member};
use crate::jopt::{self, Given};
use crate::options::consumer_groups::OPTIONS;
use crate::{errln, outln, print};
use jackdaw_wire::ErrorCode;
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::{DeleteGroupsRequest, GroupId, OffsetDeleteRequest};
use std::collections::BTreeMap;

const ACTIONS: [&str; 5] = ["list", "describe", "delete", "reset-offsets", "delete-offsets"];
const STATES: [&str; 5] = ["PreparingRebalance", "CompletingRebalance", "Stable", "Dead", "Empty"];
const NONE: &str = "-";

/// Runs it.
pub fn run(args: &[String]) -> i32 {
    let given = match jopt::parse(OPTIONS, args) {
        Ok(given) => given,
        Err(exception) => return uncaught(exception),
    };
    end(OPTIONS, command(&given, args), |exception| {
        if exception.class.starts_with("joptsimple.") {
            return end(OPTIONS, Err(Stop::Usage(exception.message)), uncaught);
        }
        uncaught(exception)
    })
}

fn command(given: &Given, args: &[String]) -> Done {
    check_args(given)?;
    let about = "This tool helps to list all consumer groups, describe a consumer group, delete consumer group info, or \
                 reset consumer group offsets.";
    help_or_version(given, args, about)?;
    if ACTIONS.iter().filter(|action| given.has(action)).count() != 1 {
        let said = "Command must include exactly one action: --list, --describe, --delete, --reset-offsets, --delete-offsets";
        return Err(Stop::Usage(said.to_owned()));
    }
    let mut properties = properties_of(given, "command-config")?;
    properties.insert("bootstrap.servers".into(), given.value("bootstrap-server")?.unwrap_or_default());
    if let Some(ms) = given.number::<i64>("timeout")? {
        properties.insert("default.api.timeout.ms".into(), ms.to_string());
    }
    let mut admin = Admin::create(ADMIN, &properties)?;
    let done = if given.has("list") {
        list(&mut admin, given).map_err(Stop::from)
    } else if given.has("describe") {
        describe(&mut admin, given).map_err(Stop::from)
    } else if given.has("delete") {
        delete(&mut admin, given).map_err(Stop::from)
    } else if given.has("reset-offsets") {
        offsets_reset::run(&mut admin, given)
    } else {
        delete_offsets(&mut admin, given).map_err(Stop::from)
    };
    match done {
        Err(Stop::Thrown(error)) if error.class == "java.lang.IllegalArgumentException" => {
            Err(Stop::Usage(error.message))
        }
        Err(Stop::Thrown(error)) => {
            // Kafka's tool ends with 0 all the same, and so where an option's value is looked at only now.
            print_error(&format!("Executing consumer group command failed due to {}", error.message));
            errln!("{}", error.trace());
            Ok(())
        }
        done => done,
    }
}

/// A line apart, on stdout as everything that this tool says.
pub fn print_error(message: &str) {
    outln!("\nError: {message}");
}

fn check_args(given: &Given) -> Done {
    let usage = |message: &str| Err(Stop::Usage(message.to_owned()));
    check_required(given, &["bootstrap-server"])?;
    let scoped = given.has("group") || given.has("all-groups");
    if given.has("describe") {
        if !scoped {
            return usage("Option [describe] takes one of these options: [group], [all-groups]");
        }
        if ["members", "offsets", "state"].iter().filter(|option| given.has(option)).count() > 1 {
            return usage(
                "Option [describe] takes at most one of these options: [members], [offsets], [state]",
            );
        }
        if given.value("state")?.is_some() {
            return usage("Option [describe] does not take a value for [state]");
        }
    }
    if given.has("delete") {
        if !scoped {
            return usage("Option [delete] takes one of these options: [group], [all-groups]");
        }
        if given.has("topic") {
            return usage(
                "The consumer does not support topic-specific offset deletion from a consumer group.",
            );
        }
    }
    if given.has("delete-offsets") && !(given.has("group") && given.has("topic")) {
        return usage("Option [delete-offsets] takes the following options: [group], [topic]");
    }
    if given.has("reset-offsets") {
        offsets_reset::check_args(given, scoped)?;
    }
    check_invalid(given, "group", &["all-groups"])?;
    check_invalid(given, "group", &["list"])?;
    check_invalid(given, "topic", &["list", "describe"])
}

/// The groups that are meant.
pub fn meant(admin: &mut Admin, given: &Given) -> Result<Vec<String>> {
    if given.has("all-groups") {
        return Ok(groups::list(admin, &[])
            .map_err(Exception::in_execution)?
            .into_iter()
            .map(|group| group.id)
            .collect());
    }
    let mut named = given.values("group");
    named.sort();
    named.dedup();
    Ok(named)
}

fn list(admin: &mut Admin, given: &Given) -> Result<()> {
    if !given.has("state") {
        for group in groups::list(admin, &[]).map_err(Exception::in_execution)? {
            outln!("{}", group.id);
        }
        return Ok(());
    }
    let asked = given.value("state")?.unwrap_or_default();
    let mut states = Vec::new();
    for name in asked.split(',').map(str::trim).filter(|_| !asked.is_empty()) {
        if !STATES.contains(&name) {
            let valid = STATES.join(", ");
            return Err(Exception::argument(format!(
                "Invalid state list '{asked}'. Valid states are: {valid}"
            )));
        }
        states.push(name.to_owned());
    }
    let listed = groups::list(admin, &states).map_err(Exception::in_execution)?;
    let width = listed.iter().map(|group| group.id.len()).max().unwrap_or_default().max(15);
    outln!("{:width$} STATE", "GROUP");
    for group in listed {
        outln!("{:width$} {}", group.id, group.state);
    }
    Ok(())
}

fn describe(admin: &mut Admin, given: &Given) -> Result<()> {
    for group in meant(admin, given)? {
        let described = groups::describe(admin, &group).map_err(Exception::in_execution)?;
        if given.has("members") {
            if is_shown(&group, &described.state, described.members.len())? {
                show_members(&group, &described.members, given.has("verbose"));
            }
        } else if given.has("state") {
            if is_shown(&group, &described.state, 1)? {
                let broker = &described.coordinator;
                let coordinator = format!("{}:{} ({})", broker.host, broker.port, broker.id);
                let width = coordinator.len().max(25);
                let row = |columns: [&str; 5]| {
                    let [group, coordinator, strategy, state, members] = columns;
                    print::out(format_args!(
                        "\n{group:width$} {coordinator:25} {strategy:20} {state:15} {members}"
                    ));
                };
                row(["GROUP", "COORDINATOR (ID)", "ASSIGNMENT-STRATEGY", "STATE", "#MEMBERS"]);
                let count = described.members.len().to_string();
                row([&group, &coordinator, &described.assignor, &described.state, &count]);
                outln!();
            }
        } else {
            let rows = offsets(admin, &group, &described.members).map_err(Exception::in_execution)?;
            if is_shown(&group, &described.state, rows.len())? {
                show_offsets(&rows);
            }
        }
    }
    Ok(())
}

fn is_shown(group: &str, state: &str, rows: usize) -> Result<bool> {
    match state {
        "Dead" => print_error(&format!("Consumer group '{group}' does not exist.")),
        "Empty" => errln!("\nConsumer group '{group}' has no active members."),
        "PreparingRebalance" | "CompletingRebalance" => {
            errln!("\nWarning: Consumer group '{group}' is rebalancing.");
        }
        "Stable" => {}
        other => {
            return Err(Exception::new(
                "org.apache.kafka.common.KafkaException",
                format!("Expected a valid consumer group state, but found '{other}'."),
            ));
        }
    }
    Ok(state != "Dead" && rows > 0)
}

/// One line about a partition, or about a member without one.
type Row = [String; 9];

fn offsets(admin: &mut Admin, group: &str, members: &[Member]) -> Result<Vec<Row>> {
    let committed = fetch_offsets(admin, group, None)?;
    let mut rows = Vec::new();
    let mut row = |admin: &mut Admin, place: &Place, member: [&str; 3]| -> Result<()> {
        let end = list_offset(admin, place, LATEST, false)?;
        let offset = committed.get(place).map(|committed| committed.offset).filter(|offset| *offset >= 0);
        let shown = |number: Option<i64>| number.map_or(NONE.to_owned(), |number| number.to_string());
        rows.push([
            group.to_owned(),
            place.0.clone(),
            place.1.to_string(),
            shown(offset),
            end.to_string(),
            shown(offset.map(|offset| end - offset)),
            member[0].to_owned(),
            member[1].to_owned(),
            member[2].to_owned(),
        ]);
        Ok(())
    };
    let mut members: Vec<&Member> = members.iter().filter(|member| !member.assigned.is_empty()).collect();
    members.sort_by_key(|member| std::cmp::Reverse(member.assigned.len()));
    for member in &members {
        for place in &member.assigned {
            row(admin, place, [&member.id, &member.host, &member.client_id])?;
        }
    }
    for place in committed.keys() {
        if !members.iter().any(|member| member.assigned.contains(place)) {
            row(admin, place, [NONE, NONE, NONE])?;
        }
    }
    Ok(rows)
}

fn show_offsets(rows: &[Row]) {
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or_default().max(15);
    let widths = [width(0), width(1), 10, 15, 15, 15, width(6), width(7), 0];
    let show = |columns: Vec<&str>| {
        let padded: Vec<String> =
            columns.iter().zip(widths).map(|(column, width)| format!("{column:width$}")).collect();
        outln!("{}", padded.join(" "));
    };
    outln!();
    show(vec![
        "GROUP",
        "TOPIC",
        "PARTITION",
        "CURRENT-OFFSET",
        "LOG-END-OFFSET",
        "LAG",
        "CONSUMER-ID",
        "HOST",
        "CLIENT-ID",
    ]);
    rows.iter().for_each(|row| show(row.iter().map(String::as_str).collect()));
}

fn show_members(group: &str, members: &[Member], verbose: bool) {
    let with_instances =
        members.iter().any(|member| member.instance_id.as_ref().is_some_and(|id| !id.is_empty()));
    let instance = |member: &Member| member.instance_id.clone().unwrap_or_default();
    let width = |least: usize, of: &dyn Fn(&Member) -> usize| {
        members.iter().map(of).max().unwrap_or_default().max(least)
    };
    let widths = [
        group.len().max(15),
        width(15, &|member| member.id.len()),
        width(17, &|member| instance(member).len()),
        width(15, &|member| member.host.len()),
        width(15, &|member| member.client_id.len()),
        15,
    ];
    let show = |columns: [&str; 6], last: &str| {
        for (index, (column, width)) in columns.iter().zip(widths).enumerate() {
            if index != 2 || with_instances {
                print::out(format_args!("{column:width$} "));
            }
        }
        outln!("{}", if verbose { last } else { "" });
    };
    outln!();
    show(["GROUP", "CONSUMER-ID", "GROUP-INSTANCE-ID", "HOST", "CLIENT-ID", "#PARTITIONS"], "ASSIGNMENT");
    for member in members {
        let mut topics: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (topic, partition) in &member.assigned {
            topics.entry(topic).or_default().push(partition.to_string());
        }
        let topics: Vec<String> = topics
            .into_iter()
            .map(|(topic, partitions)| format!("{topic}({})", partitions.join(",")))
            .collect();
        let assigned = if topics.is_empty() { NONE.to_owned() } else { topics.join(", ") };
        let count = member.assigned.len().to_string();
        show([group, &member.id, &instance(member), &member.host, &member.client_id, &count], &assigned);
    }
}

fn delete(admin: &mut Admin, given: &Given) -> Result<()> {
    let (mut deleted, mut failed) = (Vec::new(), Vec::new());
    for group in meant(admin, given)? {
        let done = admin.retrying(MOVED, |admin| {
            let node = admin.coordinator(0, &group)?;
            let request = DeleteGroupsRequest::default().with_groups_names(vec![GroupId(text(&group))]);
            let answer = admin.ask(To::Node(node), "deleteConsumerGroups", &request)?;
            answer.results.iter().try_for_each(|result| check(result.error_code, None))
        });
        match done {
            Ok(()) => deleted.push(format!("'{group}'")),
            Err(error) => failed.push((group, error.in_execution())),
        }
    }
    if failed.is_empty() {
        outln!("Deletion of requested consumer groups ({}) was successful.", deleted.join(", "));
        return Ok(());
    }
    print_error("Deletion of some consumer groups failed:");
    for (group, error) in failed {
        outln!("* Group '{group}' could not be deleted due to: {error}");
    }
    if !deleted.is_empty() {
        outln!("\nThese consumer groups were deleted successfully: {}", deleted.join(", "));
    }
    Ok(())
}

fn delete_offsets(admin: &mut Admin, given: &Given) -> Result<()> {
    let group = given.value("group")?.unwrap_or_default();
    let topics = given.values("topic");
    let mut outcomes: BTreeMap<(String, i32), Option<String>> = BTreeMap::new();
    let mut places: Vec<Place> = Vec::new();
    for topic in &topics {
        match topic.contains(':') {
            true => places.extend(offsets_reset::places_of(topic)?),
            false => match offsets_reset::partitions_of(admin, topic) {
                Ok(found) => places.extend(found),
                Err(error) => {
                    outcomes.insert((topic.clone(), -1), Some(error.in_execution().message));
                }
            },
        }
    }
    let told = delete_places(admin, &group, &places);
    let code = match &told {
        Err(error) => error.code,
        Ok(told) => told.values().copied().find(|code| *code != 0).unwrap_or_default(),
    };
    match ErrorCode::try_from_code(code) {
        None => outln!("Request succeed for deleting offsets with topic {} group {group}", topics.join(", ")),
        Some(ErrorCode::InvalidGroupId) => print_error(&format!("'{group}' is not valid.")),
        Some(ErrorCode::GroupIdNotFound) => print_error(&format!("'{group}' does not exist.")),
        Some(ErrorCode::GroupAuthorizationFailed) => {
            print_error(&format!("Access to '{group}' is not authorized."))
        }
        Some(ErrorCode::NonEmptyGroup) => print_error(&format!(
            "Deleting offsets of a consumer group '{group}' is forbidden if the group is not empty."
        )),
        Some(
            ErrorCode::GroupSubscribedToTopic
            | ErrorCode::TopicAuthorizationFailed
            | ErrorCode::UnknownTopicOrPartition,
        ) => print_error("Encounter some partition level error, see the follow-up details:"),
        Some(error) => print_error(&format!("Encounter some unknown error: {}", error.name())),
    }
    for place in places {
        let code = match &told {
            Err(error) => error.code,
            Ok(told) => told.get(&place).copied().unwrap_or_default(),
        };
        let said = (code != 0).then(|| exception(code, None).in_execution().message);
        outcomes.insert(place, said);
    }
    outln!("\n{:30} {:15} {:15}", "TOPIC", "PARTITION", "STATUS");
    for ((topic, partition), error) in outcomes {
        let partition = if partition < 0 { "Not Provided".to_owned() } else { partition.to_string() };
        let status = error.map_or("Successful".to_owned(), |error| format!("Error: {error}"));
        outln!("{topic:30} {partition:15} {status:15}");
    }
    Ok(())
}

fn delete_places(admin: &mut Admin, group: &str, places: &[Place]) -> Result<BTreeMap<Place, i16>> {
    let mut topics: BTreeMap<&str, Vec<OffsetDeleteRequestPartition>> = BTreeMap::new();
    for (topic, partition) in places {
        let partition = OffsetDeleteRequestPartition::default().with_partition_index(*partition);
        topics.entry(topic).or_default().push(partition);
    }
    let topic = |(name, partitions): (&str, Vec<OffsetDeleteRequestPartition>)| {
        OffsetDeleteRequestTopic::default().with_name(topic_name(name)).with_partitions(partitions)
    };
    let request = OffsetDeleteRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_topics(topics.into_iter().map(topic).collect());
    admin.retrying(MOVED, |admin| {
        let node = admin.coordinator(0, group)?;
        let answer = admin.ask(To::Node(node), "deleteConsumerGroupOffsets", &request)?;
        check(answer.error_code, None)?;
        let mut told = BTreeMap::new();
        for topic in answer.topics {
            let partition =
                |one: &kafka_protocol::messages::offset_delete_response::OffsetDeleteResponsePartition| {
                    ((topic.name.to_string(), one.partition_index), one.error_code)
                };
            told.extend(topic.partitions.iter().map(partition));
        }
        Ok(told)
    })
}
