//! `kafka-leader-election.sh`: elects the preferred leader, or one that is behind
//! (`org.apache.kafka.tools.LeaderElectionCommand`).

use super::partitions_in;
use crate::admin::{ADMIN, Admin, MOVED, Result, To, topic_name};
use crate::cli::{Done, end, help_or_version, message_and_trace, properties_of};
use crate::clients::consumer::Place;
use crate::errors::{Exception, check, exception};
use crate::jopt::{self, Given};
use crate::options::leader_election::OPTIONS;
use crate::outln;
use jackdaw_wire::ErrorCode;
use kafka_protocol::messages::ElectLeadersRequest;
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use serde_json::Value;
use std::collections::BTreeMap;

const FAILED: &str = "org.apache.kafka.server.common.AdminCommandFailedException";
const OPERATION: &str = "org.apache.kafka.server.common.AdminOperationException";
const TIMEOUT_MS: i32 = 30_000;

/// Runs it. Kafka's tool ends with 0 whatever it told.
pub fn run(args: &[String]) -> i32 {
    end(OPTIONS, elect(args), |exception| {
        message_and_trace(exception);
        0
    })
}

fn failed(message: String) -> Exception {
    Exception::new(FAILED, message)
}

fn elect(args: &[String]) -> Done {
    let given = jopt::parse(OPTIONS, args)?;
    let about = "This tool attempts to elect a new leader for a set of topic partitions. The type of elections supported \
                 are preferred replicas and unclean replicas.";
    help_or_version(&given, args, about)?;
    validate(&given)?;
    let name = given.value("election-type")?.unwrap_or_default();
    let (kind, name) = match name.to_lowercase().as_str() {
        "preferred" => (0, "PREFERRED"),
        "unclean" => (1, "UNCLEAN"),
        _ => {
            let class = "joptsimple.OptionArgumentConversionException";
            let message = format!("Cannot parse argument '{name}' of option election-type");
            let cause = format!("Value [{name}] is not one of [[PREFERRED,UNCLEAN]]");
            let cause = Exception::new("joptsimple.ValueConversionException", cause);
            return Err(Exception::new(class, message).because(cause).into());
        }
    };
    let places: Option<Vec<Place>> = match (given.value("path-to-json-file")?, given.value("topic")?) {
        (Some(path), _) => Some(read(&path)?),
        (None, Some(topic)) => Some(vec![(topic, given.number("partition")?.unwrap_or_default())]),
        (None, None) => None,
    };
    let mut properties = properties_of(&given, "admin.config")?;
    properties.insert("bootstrap.servers".into(), given.value("bootstrap-server")?.unwrap_or_default());
    properties.entry("default.api.timeout.ms".into()).or_insert_with(|| "30000".into());
    properties.entry("request.timeout.ms".into()).or_insert_with(|| "15000".into());
    let mut admin = Admin::create(ADMIN, &properties)?;
    let told = ask(&mut admin, kind, places.as_deref())?;
    Ok(show(name, &told)?)
}

fn validate(given: &Given) -> Result<()> {
    let missing: Vec<&str> =
        ["bootstrap-server", "election-type"].into_iter().filter(|option| !given.has(option)).collect();
    if !missing.is_empty() {
        return Err(failed(format!("Missing required option(s): {}", missing.join(", "))));
    }
    let scopes = ["topic", "all-topic-partitions", "path-to-json-file"];
    if scopes.iter().filter(|option| given.has(option)).count() != 1 {
        let scopes = scopes.join(", ");
        return Err(failed(format!("One and only one of the following options is required: {scopes}")));
    }
    match (given.has("topic"), given.has("partition")) {
        (true, false) => Err(failed("Missing required option(s): partition".to_owned())),
        (false, true) => Err(failed("Option partition is only allowed if topic is used".to_owned())),
        _ => Ok(()),
    }
}

fn read(path: &str) -> Result<Vec<Place>> {
    let text = std::fs::read_to_string(path).map_err(|_| {
        let cause = Exception::new("java.nio.file.NoSuchFileException", path);
        Exception::new("java.lang.RuntimeException", cause.to_string()).because(cause)
    })?;
    let empty = || Exception::new(OPERATION, "Replica election data is empty");
    let json: Value = serde_json::from_str(&text).map_err(|_| empty())?;
    let missing = || Exception::new(OPERATION, "Replica election data is missing \"partitions\" field");
    let places: Vec<Place> = partitions_in(json.get("partitions").ok_or_else(missing)?)?
        .into_iter()
        .map(|(place, _)| place)
        .collect();
    let mut twice: Vec<String> = places
        .iter()
        .filter(|place| places.iter().filter(|other| other == place).count() > 1)
        .map(|(topic, partition)| format!("{topic}-{partition}"))
        .collect();
    twice.sort();
    twice.dedup();
    match twice.is_empty() {
        true => Ok(places),
        false => Err(Exception::new(
            OPERATION,
            format!("Replica election data contains duplicate partitions: [{}]", twice.join(", ")),
        )),
    }
}

fn ask(admin: &mut Admin, kind: i8, places: Option<&[Place]>) -> Result<BTreeMap<Place, Option<Exception>>> {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in places.unwrap_or_default() {
        topics.entry(topic).or_default().push(*partition);
    }
    let topic = |(name, partitions): (&str, Vec<i32>)| {
        TopicPartitions::default().with_topic(topic_name(name)).with_partitions(partitions)
    };
    let request = ElectLeadersRequest::default()
        .with_election_type(kind)
        .with_topic_partitions(places.map(|_| topics.into_iter().map(topic).collect()))
        .with_timeout_ms(TIMEOUT_MS);
    let answer = admin.retrying(MOVED, |admin| {
        let answer = admin.ask(To::Controller, "electLeaders", &request)?;
        check(answer.error_code, None)?;
        Ok(answer)
    });
    let answer = answer.map_err(|error| {
        let cause = error.in_execution();
        Exception::new("java.lang.RuntimeException", cause.to_string()).because(cause)
    })?;
    let mut told = BTreeMap::new();
    for topic in answer.replica_election_results {
        for partition in topic.partition_result {
            let error = (partition.error_code != 0)
                .then(|| exception(partition.error_code, partition.error_message.as_deref()));
            told.insert((topic.topic.to_string(), partition.partition_id), error);
        }
    }
    Ok(told)
}

fn show(kind: &str, told: &BTreeMap<Place, Option<Exception>>) -> Result<()> {
    let names = |wanted: &dyn Fn(&Option<Exception>) -> bool| {
        let meant = told.iter().filter(|(_, error)| wanted(error));
        meant.map(|((topic, partition), _)| format!("{topic}-{partition}")).collect::<Vec<_>>().join(", ")
    };
    let is_noop = |error: &Option<Exception>| {
        error.as_ref().is_some_and(|error| error.is(ErrorCode::ElectionNotNeeded))
    };
    let succeeded = names(&|error| error.is_none());
    if !succeeded.is_empty() {
        outln!("Successfully completed leader election ({kind}) for partitions {succeeded}");
    }
    let noop = names(&is_noop);
    if !noop.is_empty() {
        outln!("Valid replica already elected for partitions {noop}");
    }
    let wrong: Vec<(&Place, &Exception)> = told
        .iter()
        .filter(|(_, error)| !is_noop(error))
        .filter_map(|(place, error)| Some((place, error.as_ref()?)))
        .collect();
    for ((topic, partition), error) in &wrong {
        outln!("Error completing leader election ({kind}) for partition: {topic}-{partition}: {error}");
    }
    match wrong.len() {
        0 => Ok(()),
        count => Err(Exception {
            suppressed: wrong.into_iter().map(|(_, error)| error.clone()).collect(),
            ..failed(format!("{count} replica(s) could not be elected"))
        }),
    }
}
