//! `kafka-verifiable-consumer.sh`: reads as a member of a group and tells as JSON what it is given, reads and commits
//! (`org.apache.kafka.tools.VerifiableConsumer`).

use super::verifiable_producer::{CONNECTION, SERVERS, tell};
use crate::argparse::{Arg, Given, Kind, Parser};
use crate::cli::run_or_help;
use crate::clients::consumer::{Consumer, Event, Fetched, Place, Source};
use crate::errors::Exception;
use crate::properties::{self, Properties};
use crate::{interrupt, print};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

const RANGE: &str = "org.apache.kafka.clients.consumer.RangeAssignor";
/// How long one look lasts: signals are seen in between.
const LOOK: Duration = Duration::from_millis(100);

static OPTIONS: Parser = Parser {
    description: "This tool consumes messages from a specific topic and emits consumer events (e.g. group rebalances, \
                  received messages, and offsets committed) as JSON objects to STDOUT.",
    args: &[
        Arg::new(
            &["--bootstrap-server"],
            "REQUIRED unless --broker-list(deprecated) is specified. The server(s) to connect to. Comma-separated list of \
             Kafka brokers in the form HOST1:PORT1,HOST2:PORT2,...",
        )
        .metavar(SERVERS)
        .group(&CONNECTION),
        Arg::new(
            &["--broker-list"],
            "DEPRECATED, use --bootstrap-server instead; ignored if --bootstrap-server is specified.  Comma-separated list \
             of Kafka brokers in the form HOST1:PORT1,HOST2:PORT2,...",
        )
        .metavar(SERVERS)
        .group(&CONNECTION),
        Arg::new(&["--topic"], "Consumes messages from this topic.").required(),
        Arg::new(&["--group-id"], "The groupId shared among members of the consumer group").required(),
        Arg::new(&["--group-instance-id"], "A unique identifier of the consumer instance"),
        Arg::new(
            &["--max-messages"],
            "Consume this many messages. If -1 (the default), the consumer will consume until the process is killed \
             externally",
        )
        .kind(Kind::Integer)
        .metavar("MAX-MESSAGES")
        .default("-1"),
        Arg::new(&["--session-timeout"], "Set the consumer's session timeout")
            .kind(Kind::Integer)
            .metavar("TIMEOUT_MS")
            .default("30000"),
        Arg::flag(&["--verbose"], "Enable to log individual consumed records"),
        Arg::flag(&["--enable-autocommit"], "Enable offset auto-commit on consumer"),
        Arg::new(&["--reset-policy"], "Set reset policy (must be either 'earliest', 'latest', or 'none'")
            .metavar("RESETPOLICY")
            .default("earliest"),
        Arg::new(
            &["--assignment-strategy"],
            "Set assignment strategy (e.g. org.apache.kafka.clients.consumer.RoundRobinAssignor)",
        )
        .metavar("ASSIGNMENTSTRATEGY")
        .default(RANGE),
        Arg::new(
            &["--consumer.config"],
            "Consumer config properties file (config options shared with command line parameters will be overridden).",
        )
        .metavar("CONFIG_FILE"),
    ],
    ..Parser::new("verifiable-consumer")
};

/// Runs it.
pub fn run(args: &[String]) -> i32 {
    run_or_help(&OPTIONS, args, consume)
}

fn properties_of(given: &Given) -> Result<Properties, Exception> {
    let mut properties = match given.value("consumer.config") {
        Some(path) => properties::load(path)?,
        None => Properties::new(),
    };
    let strategy = given.value("assignment_strategy").unwrap_or(RANGE);
    if strategy != RANGE {
        let said = format!("{strategy}: the tools' consumer knows the range assignor alone");
        return Err(Exception::new("java.lang.UnsupportedOperationException", said));
    }
    let servers = given.value("bootstrap_server").or_else(|| given.value("broker_list")).unwrap_or_default();
    for (key, value) in [
        ("bootstrap.servers", servers),
        ("enable.auto.commit", if given.is("enable_autocommit") { "true" } else { "false" }),
        ("auto.offset.reset", given.value("reset_policy").unwrap_or("earliest")),
        ("session.timeout.ms", given.value("session_timeout").unwrap_or("30000")),
    ] {
        properties.insert(key.to_owned(), value.to_owned());
    }
    if let Some(id) = given.value("group_instance_id") {
        properties.insert("group.instance.id".into(), id.to_owned());
    }
    Ok(properties)
}

fn consume(given: &Given) -> Result<i32, Exception> {
    let topic = given.value("topic").unwrap_or_default().to_owned();
    let mut consumer =
        Consumer::create(&properties_of(given)?, Source::Topic(topic), given.value("group_id"))?;
    let most = given.number::<i64>("max_messages").and_then(|most| usize::try_from(most).ok());
    let mut consumed = 0;
    interrupt::listen(|| ());
    tell("startup_complete", json!({}));
    while most.is_none_or(|most| consumed < most) && interrupt::code().is_none() {
        print::flush();
        let batch = match consumer.batch(LOOK) {
            Ok(batch) => batch,
            Err(error) => {
                let class = "org.apache.kafka.tools.VerifiableConsumer";
                print::log_thrown(
                    "ERROR",
                    class,
                    "Error during processing, terminating consumer process: ",
                    &error,
                );
                break;
            }
        };
        tell_events(&mut consumer);
        if batch.is_empty() {
            continue;
        }
        let count = batch.len();
        let left = most.map_or(usize::MAX, |most| most - consumed);
        let offsets = tell_records(batch, left, given.is("verbose"), count);
        consumed += offsets.1;
        if !given.is("enable_autocommit") {
            let error = consumer.commit(&offsets.0).err();
            let told: Vec<Value> = offsets
                .0
                .iter()
                .map(|((topic, partition), offset)| json!({ "topic": topic, "partition": partition, "offset": offset }))
                .collect();
            let success = error.is_none();
            match error {
                None => tell("offsets_committed", json!({ "offsets": told, "success": success })),
                Some(error) => {
                    tell(
                        "offsets_committed",
                        json!({ "offsets": told, "error": error.message, "success": success }),
                    );
                }
            }
        }
    }
    let places = consumer.positions().into_iter().map(|(place, _)| place).collect();
    let closed = consumer.close();
    tell_event(Event::Revoked(places));
    tell("shutdown_complete", json!({}));
    closed?;
    Ok(interrupt::code().unwrap_or(0))
}

fn tell_events(consumer: &mut Consumer) {
    consumer.events().into_iter().for_each(tell_event);
}

fn tell_event(event: Event) {
    let (name, places) = match event {
        Event::Revoked(places) => ("partitions_revoked", places),
        Event::Assigned(places) => ("partitions_assigned", places),
    };
    let places: Vec<Value> =
        places.iter().map(|(topic, partition)| json!({ "topic": topic, "partition": partition })).collect();
    tell(name, json!({ "partitions": places }));
}

/// Tells what came, up to so many records; where to go on, and how many were told.
fn tell_records(batch: Vec<Fetched>, left: usize, verbose: bool, count: usize) -> (Vec<(Place, i64)>, usize) {
    let mut partitions: BTreeMap<Place, (usize, i64, i64)> = BTreeMap::new();
    let mut told = 0;
    for record in batch.into_iter().take(left) {
        told += 1;
        let text =
            |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        if verbose {
            tell(
                "record_data",
                json!({
                    "key": text(&record.key),
                    "value": text(&record.value),
                    "topic": record.topic,
                    "partition": record.partition,
                    "offset": record.offset,
                }),
            );
        }
        let seen =
            partitions.entry((record.topic, record.partition)).or_insert((0, record.offset, record.offset));
        (seen.0, seen.2) = (seen.0 + 1, record.offset);
    }
    let summaries: Vec<Value> = partitions
        .iter()
        .map(|((topic, partition), (count, first, last))| {
            json!({ "topic": topic, "partition": partition, "count": count, "minOffset": first, "maxOffset": last })
        })
        .collect();
    tell("records_consumed", json!({ "count": count, "partitions": summaries }));
    (partitions.into_iter().map(|(place, (_, _, last))| (place, last + 1)).collect(), told)
}
