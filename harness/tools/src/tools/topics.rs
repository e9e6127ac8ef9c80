//! `kafka-topics.sh`: creates, lists, describes, alters and deletes topics (`org.apache.kafka.tools.TopicCommand`).

use crate::admin::{ADMIN, Admin, Broker, MOVED, To, ids, text, topic_name};
use crate::cli::{
    Done, Stop, check_invalid, check_required, end, help_or_version, message_and_trace, properties_of,
};
use crate::errors::{Exception, check};
use crate::jopt::{self, Given};
use crate::options::topics::OPTIONS;
use crate::{outln, print};
use jackdaw_wire::ErrorCode;
use jackdaw_wire::Uuid;
use jackdaw_wire::types::{UuidError, kafka_base64, parse_kafka_base64};
use kafka_protocol::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};
use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsTopics;
use kafka_protocol::messages::list_partition_reassignments_response::OngoingPartitionReassignment;
use kafka_protocol::messages::metadata_response::{MetadataResponsePartition, MetadataResponseTopic};
use kafka_protocol::messages::{
    BrokerId, CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest,
    ListPartitionReassignmentsRequest,
};
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};

const CLASS: &str = "org.apache.kafka.tools.TopicCommand";
const ACTIONS: [&str; 5] = ["alter", "create", "describe", "list", "delete"];
const REPORTS: [&str; 4] = [
    "under-replicated-partitions",
    "under-min-isr-partitions",
    "at-min-isr-partitions",
    "unavailable-partitions",
];
const TIMEOUT_MS: i32 = 30_000;

/// Runs it.
pub fn run(args: &[String]) -> i32 {
    end(OPTIONS, command(args), message_and_trace)
}

fn command(args: &[String]) -> Done {
    let given = jopt::parse(OPTIONS, args)?;
    help_or_version(
        &given,
        args,
        if args.is_empty() {
            "Create, delete, describe, or change a topic."
        } else {
            "This tool helps to create, delete, describe, or change a topic."
        },
    )?;
    check_args(&given)?;
    let mut properties = properties_of(&given, "command-config")?;
    if let Some(servers) = given.value("bootstrap-server")? {
        properties.insert("bootstrap.servers".into(), servers);
    }
    let mut admin = Admin::create(ADMIN, &properties)?;
    let action = if given.has("create") {
        create
    } else if given.has("alter") {
        alter
    } else if given.has("list") {
        list
    } else if given.has("describe") {
        describe
    } else {
        delete
    };
    action(&mut admin, &given).map_err(|exception| {
        outln!("Error while executing topic command : {}", exception.message);
        print::log("ERROR", CLASS, &format!("{}\n", exception.trace()));
        Stop::Code(1)
    })
}

fn check_args(given: &Given) -> Done {
    if ACTIONS.iter().filter(|action| given.has(action)).count() != 1 {
        let said =
            "Command must include exactly one action: --list, --describe, --create, --alter or --delete";
        return Err(Stop::Usage(said.to_owned()));
    }
    if !given.has("bootstrap-server") {
        return Err(Exception::argument("--bootstrap-server must be specified").into());
    }
    if given.has("describe") && given.has("if-exists") {
        match (given.has("topic"), given.has("topic-id")) {
            (false, false) => {
                return Err(Stop::Usage("--topic or --topic-id is required to describe a topic".to_owned()));
            }
            (true, true) => outln!(
                "Only topic id will be used when both --topic and --topic-id are specified and topicId is not \
                 Uuid.ZERO_UUID"
            ),
            _ => {}
        }
    }
    if !given.has("list") && !given.has("describe") {
        check_required(given, &["topic"])?;
    }
    if given.has("alter") {
        if given.has("config") {
            return Err(Stop::Usage(
                "Option combination \"[[bootstrap-server], [config]]\" can't be used with option \"[alter]\" (the \
                 kafka-configs CLI supports altering topic configs with a --bootstrap-server option)"
                    .to_owned(),
            ));
        }
        check_required(given, &["partitions"])?;
    }
    let only_with = |option: &str, allowed: &[&str], more: &[&str]| {
        let mut refused: Vec<&str> = ACTIONS.iter().filter(|name| !allowed.contains(name)).copied().collect();
        refused.extend(more);
        check_invalid(given, option, &refused)
    };
    only_with("config", &["alter", "create"], &[])?;
    only_with("delete-config", &["alter"], &["bootstrap-server"])?;
    only_with("partitions", &["alter", "create"], &[])?;
    only_with("replication-factor", &["create"], &[])?;
    only_with("replica-assignment", &["alter", "create"], &[])?;
    if given.has("create") {
        check_invalid(given, "replica-assignment", &["partitions", "replication-factor"])?;
    }
    for report in REPORTS {
        only_with(report, &["describe"], &["topics-with-overrides"])?;
    }
    only_with("topics-with-overrides", &["describe"], &REPORTS)?;
    only_with("if-exists", &["alter", "delete", "describe"], &[])?;
    only_with("if-not-exists", &["create"], &[])?;
    only_with("exclude-internal", &["list", "describe"], &[])
}

type Result<T = ()> = std::result::Result<T, Exception>;

/// `1:2,2:3` as lists of brokers.
fn assignment(given: &Given) -> Result<Vec<Vec<i32>>> {
    let Some(list) = given.value("replica-assignment")?.filter(|list| !list.is_empty()) else {
        return Ok(Vec::new());
    };
    let mut partitions: Vec<Vec<i32>> = Vec::new();
    for (index, partition) in list.split(',').enumerate() {
        let mut brokers = Vec::new();
        for id in partition.split(':').map(str::trim) {
            brokers.push(id.parse().map_err(|_| {
                Exception::new("java.lang.NumberFormatException", format!("For input string: \"{id}\""))
            })?);
        }
        let distinct: BTreeSet<&i32> = brokers.iter().collect();
        if distinct.len() < brokers.len() {
            let twice = distinct.iter().filter(|id| brokers.iter().filter(|other| other == *id).count() > 1);
            let twice = twice.map(ToString::to_string).collect::<Vec<_>>().join(",");
            return Err(Exception::new(
                "org.apache.kafka.server.common.AdminCommandFailedException",
                format!("Partition replica lists may not contain duplicate entries: {twice}"),
            ));
        }
        if partitions.first().is_some_and(|first| first.len() != brokers.len()) {
            return Err(Exception::new(
                "org.apache.kafka.server.common.AdminOperationException",
                format!("Partition {index} has different replication factor: {brokers:?}"),
            ));
        }
        partitions.push(brokers);
    }
    Ok(partitions)
}

fn configs(given: &Given) -> Result<BTreeMap<String, String>> {
    let mut configs = BTreeMap::new();
    for config in given.values("config") {
        let mut parts: Vec<&str> = config.split('=').map(str::trim).collect();
        // As `String.split`: empty parts at the end count for nothing.
        while parts.last().is_some_and(|part| part.is_empty()) {
            parts.pop();
        }
        let [name, value] = parts[..] else {
            return Err(Exception::argument(
                "requirement failed: Invalid topic config: all configs to be added must be in the format \"key=val\".",
            ));
        };
        configs.insert(name.to_owned(), value.to_owned());
    }
    Ok(configs)
}

fn create(admin: &mut Admin, given: &Given) -> Result {
    let name = given.value("topic")?.unwrap_or_default();
    let partitions = given.number::<i32>("partitions")?;
    let factor = given.number::<i32>("replication-factor")?;
    let assignment = assignment(given)?;
    let configs = configs(given)?;
    if name.contains(['.', '_']) {
        outln!(
            "WARNING: Due to limitations in metric names, topics with a period ('.') or underscore ('_') could \
             collide. To avoid issues it is best to use either, but not both."
        );
    }
    let factor = match factor.map(|factor| i16::try_from(factor).ok().filter(|factor| *factor >= 1)) {
        None => -1,
        Some(Some(factor)) => factor,
        Some(None) => {
            return Err(Exception::argument("The replication factor must be between 1 and 32767 inclusive"));
        }
    };
    if partitions.is_some_and(|partitions| partitions < 1) {
        return Err(Exception::argument("The partitions must be greater than 0"));
    }
    let assigned = |(index, brokers): (usize, Vec<i32>)| {
        CreatableReplicaAssignment::default()
            .with_partition_index(i32::try_from(index).unwrap_or(i32::MAX))
            .with_broker_ids(brokers.into_iter().map(BrokerId).collect())
    };
    let config = |(name, value): (String, String)| {
        CreatableTopicConfig::default().with_name(text(&name)).with_value(Some(text(&value)))
    };
    let by_hand = !assignment.is_empty();
    let topic = CreatableTopic::default()
        .with_name(topic_name(&name))
        .with_num_partitions(if by_hand { -1 } else { partitions.unwrap_or(-1) })
        .with_replication_factor(if by_hand { -1 } else { factor })
        .with_assignments(assignment.into_iter().enumerate().map(assigned).collect())
        .with_configs(configs.into_iter().map(config).collect());
    let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(TIMEOUT_MS);
    let created = admin.retrying(MOVED, |admin| {
        let answer = admin.ask(To::Controller, "createTopics", &request)?;
        answer.topics.iter().try_for_each(|topic| check(topic.error_code, topic.error_message.as_deref()))
    });
    match created {
        Ok(()) => outln!("Created topic {name}."),
        Err(error) if error.is(ErrorCode::TopicAlreadyExists) && given.has("if-not-exists") => {}
        // Kafka's tool looks at values itself, before it asks.
        Err(error) if error.is(ErrorCode::InvalidConfig) && error.message.starts_with("Invalid value") => {
            let class = "org.apache.kafka.common.config.ConfigException";
            return Err(Exception { class: class.to_owned(), ..error });
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// What topics are meant by `--topic`: a regular expression for the whole name, in which commas part choices
/// (`TopicFilter`).
pub fn filter(pattern: &str) -> Result<Regex> {
    let pattern = pattern.trim().replace(',', "|").replace(' ', "");
    let pattern = pattern.trim_matches(['"', '\'']).to_owned();
    Regex::new(&format!("^(?:{pattern})$"))
        .map_err(|_| Exception::new("java.lang.RuntimeException", format!("{pattern} is an invalid regex.")))
}

/// The topics that there are and that are meant, in the order of their names.
fn wanted(admin: &mut Admin, given: &Given) -> Result<Vec<MetadataResponseTopic>> {
    let pattern = given.value("topic")?;
    let meant = pattern.as_deref().map(filter).transpose()?;
    let mut topics = admin.metadata("listTopics", None)?.topics;
    let name =
        |topic: &MetadataResponseTopic| topic.name.as_ref().map(|name| name.to_string()).unwrap_or_default();
    topics.retain(|topic| !(topic.is_internal && given.has("exclude-internal")));
    topics.retain(|topic| meant.as_ref().is_none_or(|meant| meant.is_match(&name(topic))));
    topics.sort_by_key(name);
    Ok(topics)
}

fn name_of(topic: &MetadataResponseTopic) -> String {
    topic.name.as_ref().map(|name| name.to_string()).unwrap_or_default()
}

fn ensure_found(topics: &[MetadataResponseTopic], given: &Given) -> Result {
    let asked = given.value("topic")?.unwrap_or_default();
    if asked.is_empty() || given.has("if-exists") || !topics.is_empty() {
        return Ok(());
    }
    Err(Exception::argument(format!("Topic '{asked}' does not exist as expected")))
}

fn list(admin: &mut Admin, given: &Given) -> Result {
    let names: Vec<String> = wanted(admin, given)?.iter().map(name_of).collect();
    outln!("{}", names.join("\n"));
    Ok(())
}

fn alter(admin: &mut Admin, given: &Given) -> Result {
    let count = given.number::<i32>("partitions")?.unwrap_or_default();
    given.number::<i32>("replication-factor")?;
    let assignment = assignment(given)?;
    configs(given)?;
    let topics = wanted(admin, given)?;
    ensure_found(&topics, given)?;
    if topics.is_empty() {
        return Ok(());
    }
    let topic = |topic: &MetadataResponseTopic| {
        let added = assignment.iter().skip(topic.partitions.len());
        let added = added.map(|brokers| {
            let brokers = brokers.iter().copied().map(BrokerId).collect();
            CreatePartitionsAssignment::default().with_broker_ids(brokers)
        });
        CreatePartitionsTopic::default()
            .with_name(topic_name(&name_of(topic)))
            .with_count(count)
            .with_assignments((!assignment.is_empty()).then(|| added.collect()))
    };
    let request = CreatePartitionsRequest::default()
        .with_topics(topics.iter().map(topic).collect())
        .with_timeout_ms(TIMEOUT_MS);
    admin.retrying(MOVED, |admin| {
        let answer = admin.ask(To::Controller, "createPartitions", &request)?;
        answer.results.iter().try_for_each(|topic| check(topic.error_code, topic.error_message.as_deref()))
    })
}

fn delete(admin: &mut Admin, given: &Given) -> Result {
    let topics = wanted(admin, given)?;
    ensure_found(&topics, given)?;
    if topics.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = topics.iter().map(name_of).collect();
    admin.retrying(MOVED, |admin| {
        let answer = admin.ask_by_version(To::Controller, "deleteTopics", |version| {
            let request = DeleteTopicsRequest::default().with_timeout_ms(TIMEOUT_MS);
            let topic = |name: &String| DeleteTopicState::default().with_name(Some(topic_name(name)));
            if version >= 6 {
                request.with_topics(names.iter().map(topic).collect())
            } else {
                request.with_topic_names(names.iter().map(|name| topic_name(name)).collect())
            }
        })?;
        answer.responses.iter().try_for_each(|topic| check(topic.error_code, topic.error_message.as_deref()))
    })
}

fn describe(admin: &mut Admin, given: &Given) -> Result {
    let id = given.value("topic-id")?.map(|id| topic_id(&id)).transpose()?.filter(|id| !id.is_nil());
    let topics = match id {
        Some(id) => {
            let mut topics = admin.metadata("listTopics", None)?.topics;
            topics.retain(|topic| {
                topic.topic_id == id && !(topic.is_internal && given.has("exclude-internal"))
            });
            if topics.is_empty() && !given.has("if-exists") {
                let id = kafka_base64(&id);
                return Err(Exception::argument(format!("TopicId '{id}' does not exist as expected")));
            }
            topics
        }
        None => {
            let topics = wanted(admin, given)?;
            ensure_found(&topics, given)?;
            topics
        }
    };
    for topic in &topics {
        check(topic.error_code, None)?;
    }
    let names: Vec<String> = topics.iter().map(name_of).collect();
    let mut configs = super::configs::of_topics(admin, &names)?;
    let brokers = admin.brokers("describeCluster")?;
    let moves = reassignments(admin, &topics)?;
    for mut topic in topics {
        topic.partitions.sort_by_key(|partition| partition.partition_index);
        let configs = configs.remove(&name_of(&topic)).unwrap_or_default();
        show(given, &topic, &configs, &brokers, &moves);
    }
    Ok(())
}

/// Reads a topic's id as `Uuid.fromString` does.
fn topic_id(id: &str) -> Result<Uuid> {
    parse_kafka_base64(id).map_err(|error| {
        let is_known = |letter: char| letter.is_ascii_alphanumeric() || "-_=".contains(letter);
        Exception::argument(match error {
            // In the words of `java.util.Base64`.
            UuidError::NotBase64 { text } => match text.chars().find(|letter| !is_known(*letter)) {
                Some(letter) => format!("Illegal base64 character {:x}", u32::from(letter)),
                None => "Last unit does not have enough valid bits".to_owned(),
            },
            error => error.to_string(),
        })
    })
}

type Moves = BTreeMap<(String, i32), OngoingPartitionReassignment>;

fn reassignments(admin: &mut Admin, topics: &[MetadataResponseTopic]) -> Result<Moves> {
    let topic = |topic: &MetadataResponseTopic| {
        let partitions = topic.partitions.iter().map(|partition| partition.partition_index).collect();
        ListPartitionReassignmentsTopics::default()
            .with_name(topic_name(&name_of(topic)))
            .with_partition_indexes(partitions)
    };
    let request = ListPartitionReassignmentsRequest::default()
        .with_topics(Some(topics.iter().map(topic).collect()))
        .with_timeout_ms(TIMEOUT_MS);
    let answer = admin.retrying(MOVED, |admin| {
        let answer = admin.ask(To::Controller, "listPartitionReassignments", &request)?;
        check(answer.error_code, answer.error_message.as_deref())?;
        Ok(answer)
    });
    let answer = match answer {
        Err(error) if error.is(ErrorCode::UnsupportedVersion) => return Ok(Moves::new()),
        answer => answer?,
    };
    let mut moves = Moves::new();
    for topic in answer.topics {
        let name = topic.name.to_string();
        moves
            .extend(topic.partitions.into_iter().map(|moved| ((name.clone(), moved.partition_index), moved)));
    }
    Ok(moves)
}

/// The number of replicas that the partition is to have when nothing moves any more.
fn factor(partition: &MetadataResponsePartition, moved: Option<&OngoingPartitionReassignment>) -> usize {
    let moving = moved.filter(|moved| {
        let changes =
            |id: &BrokerId| moved.removing_replicas.contains(id) || moved.adding_replicas.contains(id);
        partition.replica_nodes.iter().any(changes)
    });
    moving.map_or(partition.replica_nodes.len(), |moved| moved.replicas.len() - moved.adding_replicas.len())
}

fn show(
    given: &Given,
    topic: &MetadataResponseTopic,
    configs: &[super::configs::Entry],
    brokers: &[Broker],
    moves: &Moves,
) {
    let name = name_of(topic);
    let moved = |index: i32| moves.get(&(name.clone(), index));
    let overridden: Vec<String> = configs
        .iter()
        .filter(|entry| !entry.is_default)
        .map(|entry| format!("{}={}", entry.name, entry.value.as_deref().unwrap_or("null")))
        .collect();
    let reports = REPORTS.iter().any(|report| given.has(report));
    let overrides_only = given.has("topics-with-overrides");
    if let Some(first) = topic.partitions.first()
        && !reports
        && !(overrides_only && overridden.is_empty())
    {
        let id = if topic.topic_id.is_nil() {
            String::new()
        } else {
            format!("\tTopicId: {}", kafka_base64(&topic.topic_id))
        };
        outln!(
            "Topic: {name}{id}\tPartitionCount: {}\tReplicationFactor: {}\tConfigs: {}",
            topic.partitions.len(),
            factor(first, moved(first.partition_index)),
            overridden.join(",")
        );
    }
    if overrides_only {
        return;
    }
    let min_isr = configs.iter().find(|entry| entry.name == "min.insync.replicas");
    let min_isr: usize = min_isr.and_then(|entry| entry.value.as_deref()?.parse().ok()).unwrap_or(1);
    for partition in &topic.partitions {
        let moved = moved(partition.partition_index);
        let leader = partition.leader_id.0;
        let isr = partition.isr_nodes.len();
        let reported = [
            ("under-replicated-partitions", factor(partition, moved) > isr),
            ("unavailable-partitions", !brokers.iter().any(|broker| broker.id == leader)),
            ("under-min-isr-partitions", leader < 0 || isr < min_isr),
            ("at-min-isr-partitions", isr == min_isr),
        ];
        if reports && !reported.iter().any(|(report, holds)| *holds && given.has(report)) {
            continue;
        }
        let leader = if leader < 0 { "none".to_owned() } else { leader.to_string() };
        let moving = moved.map_or_else(String::new, |moved| {
            let (adding, removing) = (ids(&moved.adding_replicas), ids(&moved.removing_replicas));
            format!("\tAdding Replicas: {adding}\tRemoving Replicas: {removing}")
        });
        outln!(
            "\tTopic: {name}\tPartition: {}\tLeader: {leader}\tReplicas: {}\tIsr: {}{moving}",
            partition.partition_index,
            ids(&partition.replica_nodes),
            ids(&partition.isr_nodes)
        );
    }
}
