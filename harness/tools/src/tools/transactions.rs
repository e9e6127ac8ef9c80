//! `kafka-transactions.sh`: lists and describes transactions, finds those that hang, and aborts them
//! (`org.apache.kafka.tools.TransactionsCommand`).

use super::metadata_quorum::table;
use super::offsets_reset::partitions_of;
use crate::admin::{ADMIN, Admin, MOVED, Result, To, text, topic_name};
use crate::argparse::{Arg, Given, Group, Kind, Parser};
use crate::cli::{KAFKA_VERSION, now_ms, run_with};
use crate::clients::consumer::{Place, leader_of};
use crate::errors::{Exception, check};
use crate::properties::{self, Properties};
use crate::{errln, outln};
use jackdaw_wire::ErrorCode;
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::describe_producers_response::ProducerState;
use kafka_protocol::messages::describe_transactions_response::TransactionState;
use kafka_protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use kafka_protocol::messages::{
    DescribeProducersRequest, DescribeTransactionsRequest, ListTransactionsRequest, ProducerId,
    TransactionalId, WriteTxnMarkersRequest,
};

/// That of the release, which this tool tells beside its version.
const KAFKA_COMMIT: &str = "2ae524ed625438c5";

static NEWER: Group = Group {
    title: "Brokers on versions 3.0 and above",
    description: "For newer brokers, only the start offset of the transaction to be aborted is required",
    exclusive: false,
    required: false,
};
static OLDER: Group = Group {
    title: "Brokers on versions older than 3.0",
    description: "For older brokers, you must provide all of these arguments",
    exclusive: false,
    required: false,
};

static COMMANDS: Parser = Parser {
    description: "This tool is used to analyze the transactional state of producers in the cluster. It can be used to \
                  detect and recover from hanging transactions.",
    args: &[
        Arg::flag(&["-v", "--version"], "show the version of this Kafka distribution and exit"),
        Arg::new(&["--command-config"], "property file containing configs to be passed to admin client").metavar("FILE"),
        Arg::new(
            &["--bootstrap-server"],
            "hostname and port for the broker to connect to, in the form `host:port`  (multiple comma-separated entries \
             can be given)",
        )
        .metavar("host:port")
        .required(),
    ],
    commands: &[
        Parser { help: "list transactions", ..Parser::new("list") },
        Parser {
            help: "describe the state of an active transactional-id",
            description: "Describe the state of an active transactional-id.",
            args: &[Arg::new(&["--transactional-id"], "transactional id").required()],
            ..Parser::new("describe")
        },
        Parser {
            help: "describe the states of active producers for a topic partition",
            args: &[
                Arg::new(&["--broker-id"], "optional broker id to describe the producer state on a specific replica")
                    .kind(Kind::Integer),
                Arg::new(&["--topic"], "topic name").required(),
                Arg::new(&["--partition"], "partition number").kind(Kind::Integer).required(),
            ],
            ..Parser::new("describe-producers")
        },
        Parser {
            help: "abort a hanging transaction (requires administrative privileges)",
            args: &[
                Arg::new(&["--topic"], "topic name").required(),
                Arg::new(&["--partition"], "partition number").kind(Kind::Integer).required(),
                Arg::new(&["--start-offset"], "start offset of the transaction to abort").kind(Kind::Long).group(&NEWER),
                Arg::new(&["--producer-id"], "producer id").kind(Kind::Long).group(&OLDER),
                Arg::new(&["--producer-epoch"], "producer epoch").kind(Kind::Integer).group(&OLDER),
                Arg::new(&["--coordinator-epoch"], "coordinator epoch").kind(Kind::Integer).group(&OLDER),
            ],
            ..Parser::new("abort")
        },
        Parser {
            help: "find hanging transactions",
            args: &[
                Arg::new(&["--broker-id"], "broker id to search for hanging transactions").kind(Kind::Integer),
                Arg::new(
                    &["--max-transaction-timeout"],
                    "maximum transaction timeout in minutes to limit the scope of the search (15 minutes by default)",
                )
                .kind(Kind::Integer)
                .default("15"),
                Arg::new(&["--topic"], "topic name to limit search to (required if --partition is specified)"),
                Arg::new(&["--partition"], "partition number").kind(Kind::Integer),
            ],
            ..Parser::new("find-hanging")
        },
    ],
    commands_title: "commands",
    metavar: "COMMAND",
    default_help: false,
    ..Parser::new("kafka-transactions.sh")
};

/// Runs it.
pub fn run(args: &[String]) -> i32 {
    if args.iter().take_while(|word| word.starts_with('-')).any(|word| word == "-v" || word == "--version") {
        outln!("{KAFKA_VERSION} (Commit:{KAFKA_COMMIT})");
        return 0;
    }
    run_with(&COMMANDS, args, command)
}

/// What is wrong, on stderr, and 1.
fn failed(message: &str, why: Option<&Exception>) -> Result<i32> {
    match why {
        None => errln!("{message}"),
        Some(why) => {
            errln!("{message}: {}. Enable debug logging for additional detail.", why.message);
        }
    }
    Ok(1)
}

fn command(given: &Given) -> Result<i32> {
    let mut properties = match given.value("command_config") {
        Some(path) => match properties::load(path) {
            Ok(properties) => properties,
            Err(error) => return failed("Failed to load admin client properties", Some(&error)),
        },
        None => Properties::new(),
    };
    properties
        .insert("bootstrap.servers".into(), given.value("bootstrap_server").unwrap_or_default().to_owned());
    let mut admin = Admin::create(ADMIN, &properties)?;
    match given.commands[0] {
        "list" => list(&mut admin),
        "describe" => describe(&mut admin, given.value("transactional_id").unwrap_or_default()),
        "describe-producers" => describe_producers(&mut admin, given),
        "abort" => abort(&mut admin, given),
        _ => find_hanging(&mut admin, given),
    }
}

/// Transactional id, coordinator, producer id and state of the transactions of these producers, or of all.
fn listed(admin: &mut Admin, producers: &[i64]) -> Result<Vec<(String, i32, i64, String)>> {
    let request = ListTransactionsRequest::default()
        .with_producer_id_filters(producers.iter().copied().map(ProducerId).collect());
    let mut found = Vec::new();
    for broker in admin.brokers("listTransactions")? {
        let answer = admin.ask(To::Node(broker.id), "listTransactions", &request)?;
        check(answer.error_code, None)?;
        found.extend(answer.transaction_states.into_iter().map(|one| {
            (
                one.transactional_id.to_string(),
                broker.id,
                one.producer_id.0,
                one.transaction_state.to_string(),
            )
        }));
    }
    Ok(found)
}

fn list(admin: &mut Admin) -> Result<i32> {
    let found = match listed(admin, &[]) {
        Ok(found) => found,
        Err(error) => return failed("Failed to list transactions", Some(&error)),
    };
    let rows: Vec<Vec<String>> = found
        .into_iter()
        .map(|(id, coordinator, producer, state)| {
            vec![id, coordinator.to_string(), producer.to_string(), state]
        })
        .collect();
    table(&["TransactionalId", "Coordinator", "ProducerId", "TransactionState"], &rows);
    Ok(0)
}

fn described(admin: &mut Admin, id: &str) -> Result<(i32, TransactionState)> {
    let request =
        DescribeTransactionsRequest::default().with_transactional_ids(vec![TransactionalId(text(id))]);
    admin.retrying(MOVED, |admin| {
        let node = admin.coordinator(1, id)?;
        let mut answer = admin.ask(To::Node(node), "describeTransactions", &request)?;
        let state = answer.transaction_states.pop().ok_or_else(|| Exception::from(ErrorCode::UnknownServerError))?;
        if state.error_code == ErrorCode::TransactionalIdNotFound.code() {
            let said = format!("DescribeTransactions request for transactionalId `{id}` failed because the ID could not be found");
            return Err(Exception::kafka("TransactionalIdNotFoundException", said));
        }
        check(state.error_code, None)?;
        Ok((node, state))
    })
}

fn places(state: &TransactionState) -> Vec<Place> {
    let of = |topic: &kafka_protocol::messages::describe_transactions_response::TopicData| {
        let name = topic.topic.to_string();
        topic.partitions.iter().map(|partition| (name.clone(), *partition)).collect::<Vec<Place>>()
    };
    state.topics.iter().flat_map(of).collect()
}

fn describe(admin: &mut Admin, id: &str) -> Result<i32> {
    let (node, state) = match described(admin, id) {
        Ok(found) => found,
        Err(error) => {
            let message = format!("Failed to describe transaction state of transactional-id `{id}`");
            return failed(&message, Some(&error));
        }
    };
    let started = state.transaction_start_time_ms;
    let shown = |number: i64| if started < 0 { "None".to_owned() } else { number.to_string() };
    let places: Vec<String> =
        places(&state).iter().map(|(topic, partition)| format!("{topic}-{partition}")).collect();
    table(
        &[
            "CoordinatorId",
            "TransactionalId",
            "ProducerId",
            "ProducerEpoch",
            "TransactionState",
            "TransactionTimeoutMs",
            "CurrentTransactionStartTimeMs",
            "TransactionDurationMs",
            "TopicPartitions",
        ],
        &[vec![
            node.to_string(),
            id.to_owned(),
            state.producer_id.0.to_string(),
            state.producer_epoch.to_string(),
            state.transaction_state.to_string(),
            state.transaction_timeout_ms.to_string(),
            shown(started),
            shown(now_ms() - started),
            places.join(","),
        ]],
    );
    Ok(0)
}

fn place_of(given: &Given) -> Place {
    (given.value("topic").unwrap_or_default().to_owned(), given.number("partition").unwrap_or_default())
}

/// The producers of a partition, as its leader or that broker knows them.
fn producers(admin: &mut Admin, place: &Place, broker: Option<i32>) -> Result<Vec<ProducerState>> {
    let topic = TopicRequest::default().with_name(topic_name(&place.0)).with_partition_indexes(vec![place.1]);
    let request = DescribeProducersRequest::default().with_topics(vec![topic]);
    admin.retrying(MOVED, |admin| {
        let node = match broker {
            Some(node) => node,
            None => leader_of(admin, place)?,
        };
        let answer = admin.ask(To::Node(node), "describeProducers", &request)?;
        let told = answer.topics.into_iter().flat_map(|topic| topic.partitions).next();
        let told = told.ok_or_else(|| Exception::from(ErrorCode::UnknownServerError))?;
        check(told.error_code, told.error_message.as_deref())?;
        Ok(told.active_producers)
    })
}

fn describe_producers(admin: &mut Admin, given: &Given) -> Result<i32> {
    let (place, broker) = (place_of(given), given.number::<i32>("broker_id"));
    let found = match producers(admin, &place, broker) {
        Ok(found) => found,
        Err(error) => {
            let whom = broker.map_or("leader".to_owned(), |id| format!("broker {id}"));
            let message =
                format!("Failed to describe producers for partition {}-{} on {whom}", place.0, place.1);
            return failed(&message, Some(&error));
        }
    };
    let row = |state: &ProducerState| {
        let start = state.current_txn_start_offset;
        vec![
            state.producer_id.0.to_string(),
            state.producer_epoch.to_string(),
            state.coordinator_epoch.to_string(),
            state.last_sequence.to_string(),
            state.last_timestamp.to_string(),
            if start < 0 { "None".to_owned() } else { start.to_string() },
        ]
    };
    table(
        &[
            "ProducerId",
            "ProducerEpoch",
            "LatestCoordinatorEpoch",
            "LastSequence",
            "LastTimestamp",
            "CurrentTransactionStartOffset",
        ],
        &found.iter().map(row).collect::<Vec<_>>(),
    );
    Ok(0)
}

fn abort(admin: &mut Admin, given: &Given) -> Result<i32> {
    let place = place_of(given);
    let shown = format!("{}-{}", place.0, place.1);
    let (id, epoch, coordinator_epoch) = match (
        given.number::<i64>("start_offset"),
        given.number::<i64>("producer_id"),
    ) {
        (None, None) => {
            return failed(
                "The transaction to abort must be identified either with --start-offset (for brokers on 3.0 or above) or \
                 with --producer-id, --producer-epoch, and --coordinator-epoch (for older brokers)",
                None,
            );
        }
        (None, Some(id)) => {
            let Some(epoch) = given.number::<i16>("producer_epoch") else {
                return failed("Missing required argument --producer-epoch", None);
            };
            let Some(coordinator_epoch) = given.number::<i32>("coordinator_epoch") else {
                return failed("Missing required argument --coordinator-epoch", None);
            };
            (id, epoch, coordinator_epoch.max(0))
        }
        (Some(start), _) => {
            let found = match producers(admin, &place, None) {
                Ok(found) => found,
                Err(error) => {
                    let message = format!("Failed to validate producer state for partition {shown}");
                    return failed(&message, Some(&error));
                }
            };
            let Some(state) = found.into_iter().find(|state| state.current_txn_start_offset == start) else {
                let said = format!(
                    "Could not find any open transactions starting at offset {start} on partition {shown}"
                );
                return failed(&said, None);
            };
            (state.producer_id.0, state.producer_epoch as i16, state.coordinator_epoch.max(0))
        }
    };
    let topic = WritableTxnMarkerTopic::default()
        .with_name(topic_name(&place.0))
        .with_partition_indexes(vec![place.1]);
    let marker = WritableTxnMarker::default()
        .with_producer_id(ProducerId(id))
        .with_producer_epoch(epoch)
        .with_coordinator_epoch(coordinator_epoch)
        .with_transaction_result(false)
        .with_topics(vec![topic]);
    let request = WriteTxnMarkersRequest::default().with_markers(vec![marker]);
    let done = admin.retrying(MOVED, |admin| {
        let leader = leader_of(admin, &place)?;
        let answer = admin.ask(To::Node(leader), "abortTransaction", &request)?;
        let told =
            answer.markers.iter().flat_map(|marker| &marker.topics).flat_map(|topic| &topic.partitions);
        told.into_iter().try_for_each(|partition| check(partition.error_code, None))
    });
    match done {
        Ok(()) => Ok(0),
        Err(error) => {
            let message = format!(
                "Failed to abort transaction AbortTransactionSpec(topicPartition={shown}, producerId={id}, \
                 producerEpoch={epoch}, coordinatorEpoch={coordinator_epoch})"
            );
            failed(&message, Some(&error))
        }
    }
}

fn find_hanging(admin: &mut Admin, given: &Given) -> Result<i32> {
    let (broker, topic) = (given.number::<i32>("broker_id"), given.value("topic"));
    if topic.is_none() && broker.is_none() {
        return failed(
            "The `find-hanging` command requires either --topic or --broker-id to limit the scope of the search",
            None,
        );
    }
    if given.value("partition").is_some() && topic.is_none() {
        return failed("The --partition argument requires --topic to be provided", None);
    }
    let limit_ms = given.number::<i64>("max_transaction_timeout").unwrap_or(15) * 60_000;
    let mut hanging = Vec::new();
    for place in searched(admin, given, topic, broker)? {
        for state in producers(admin, &place, broker)? {
            let open = state.current_txn_start_offset >= 0 && now_ms() - state.last_timestamp > limit_ms;
            if open && !is_expected(admin, &place, state.producer_id.0)? {
                hanging.push((place.clone(), state));
            }
        }
    }
    let row = |((topic, partition), state): &(Place, ProducerState)| {
        vec![
            topic.clone(),
            partition.to_string(),
            state.producer_id.0.to_string(),
            state.producer_epoch.to_string(),
            state.coordinator_epoch.to_string(),
            state.current_txn_start_offset.to_string(),
            state.last_timestamp.to_string(),
            ((now_ms() - state.last_timestamp) / 60_000).to_string(),
        ]
    };
    table(
        &[
            "Topic",
            "Partition",
            "ProducerId",
            "ProducerEpoch",
            "CoordinatorEpoch",
            "StartOffset",
            "LastTimestamp",
            "Duration(min)",
        ],
        &hanging.iter().map(row).collect::<Vec<_>>(),
    );
    Ok(0)
}

/// The partitions that are looked at: of a topic, or those that a broker has.
fn searched(
    admin: &mut Admin,
    given: &Given,
    topic: Option<&str>,
    broker: Option<i32>,
) -> Result<Vec<Place>> {
    if let (Some(topic), Some(partition)) = (topic, given.number("partition")) {
        return Ok(vec![(topic.to_owned(), partition)]);
    }
    if let (Some(topic), None) = (topic, broker) {
        return partitions_of(admin, topic);
    }
    let mut places = Vec::new();
    for found in admin.metadata("listTopics", None)?.topics {
        let name = found.name.as_ref().map(|name| name.to_string()).unwrap_or_default();
        let there = found.partitions.iter().filter(|partition| {
            broker.is_none_or(|broker| partition.replica_nodes.iter().any(|replica| replica.0 == broker))
        });
        if topic.is_none_or(|topic| topic == name) {
            places.extend(there.map(|partition| (name.clone(), partition.partition_index)));
        }
    }
    Ok(places)
}

/// Whether a coordinator knows of the transaction, so that its marker is still to come.
fn is_expected(admin: &mut Admin, place: &Place, producer: i64) -> Result<bool> {
    let Some((id, ..)) = listed(admin, &[producer])?.into_iter().find(|(_, _, found, _)| *found == producer)
    else {
        return Ok(false);
    };
    Ok(described(admin, &id).is_ok_and(|(_, state)| places(&state).contains(place)))
}
