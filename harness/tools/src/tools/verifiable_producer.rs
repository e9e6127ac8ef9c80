//! `kafka-verifiable-producer.sh`: writes rising numbers and tells as JSON what became of each
//! (`org.apache.kafka.tools.VerifiableProducer`).

use crate::argparse::{Arg, Given, Group, Kind, Parser};
use crate::cli::{now_ms, run_or_help};
use crate::clients::producer::{Delivery, Producer, Record};
use crate::errors::Exception;
use crate::properties::{self, Properties};
use crate::{interrupt, outln, print};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The brokers of a verifiable client.
pub static CONNECTION: Group = Group {
    title: "Connection Group",
    description: "Group of arguments for connection to brokers",
    exclusive: true,
    required: true,
};
/// How they are called in the help.
pub const SERVERS: &str = "HOST1:PORT1[,HOST2:PORT2[...]]";

static OPTIONS: Parser = Parser {
    description: "This tool produces increasing integers to the specified topic and prints JSON metadata to stdout on each \
                  \"send\" request, making externally visible which messages have been acked and which have not.",
    args: &[
        Arg::new(&["--topic"], "Produce messages to this topic.").required(),
        Arg::new(
            &["--bootstrap-server"],
            "REQUIRED: The server(s) to connect to. Comma-separated list of Kafka brokers in the form \
             HOST1:PORT1,HOST2:PORT2,...",
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
        Arg::new(
            &["--max-messages"],
            "Produce this many messages. If -1, produce messages until the process is killed externally.",
        )
        .kind(Kind::Integer)
        .metavar("MAX-MESSAGES")
        .default("-1"),
        Arg::new(
            &["--throughput"],
            "If set >= 0, throttle maximum message throughput to *approximately* THROUGHPUT messages/sec.",
        )
        .kind(Kind::Integer)
        .default("-1"),
        Arg::new(&["--acks"], "Acks required on each produced message. See Kafka docs on acks for details.")
            .kind(Kind::Integer)
            .choices(&["0", "1", "-1"])
            .metavar("ACKS")
            .default("-1"),
        Arg::new(&["--producer.config"], "Producer config properties file.").metavar("CONFIG_FILE"),
        Arg::new(
            &["--message-create-time"],
            "Send messages with creation time starting at the arguments value, in milliseconds since epoch",
        )
        .kind(Kind::Long)
        .metavar("CREATETIME")
        .default("-1"),
        Arg::new(
            &["--value-prefix"],
            "If specified, each produced value will have this prefix with a dot separator",
        )
        .kind(Kind::Integer)
        .metavar("VALUE-PREFIX"),
        Arg::new(
            &["--repeating-keys"],
            "If specified, each produced record will have a key starting at 0 increment by 1 up to the number specified \
             (exclusive), then the key is set to 0 again",
        )
        .kind(Kind::Integer)
        .metavar("REPEATING-KEYS"),
    ],
    ..Parser::new("verifiable-producer")
};

/// Runs it.
pub fn run(args: &[String]) -> i32 {
    run_or_help(&OPTIONS, args, produce)
}

/// An event, a line; its time and its name stand in front.
pub fn tell(name: &str, more: Value) {
    let mut event = json!({ "timestamp": now_ms(), "name": name });
    if let (Value::Object(event), Value::Object(more)) = (&mut event, more) {
        event.extend(more);
    }
    outln!("{event}");
}

fn properties_of(given: &Given) -> Result<Properties, Exception> {
    let servers = given.value("bootstrap_server").or_else(|| given.value("broker_list")).unwrap_or_default();
    let mut properties = Properties::from([
        ("bootstrap.servers".to_owned(), servers.to_owned()),
        ("acks".to_owned(), given.value("acks").unwrap_or("-1").to_owned()),
        ("retries".to_owned(), "0".to_owned()),
    ]);
    if let Some(path) = given.value("producer.config") {
        properties.extend(properties::load(path)?);
    }
    Ok(properties)
}

fn produce(given: &Given) -> Result<i32, Exception> {
    let mut producer = Producer::create(&properties_of(given)?)?;
    let topic = given.value("topic").unwrap_or_default().to_owned();
    let most =
        given.number::<i64>("max_messages").and_then(|most| u64::try_from(most).ok()).unwrap_or(u64::MAX);
    let throughput = given.number::<i64>("throughput").unwrap_or(-1);
    let prefix = given.value("value_prefix").map(|prefix| format!("{prefix}.")).unwrap_or_default();
    let keys = given.number::<u64>("repeating_keys").filter(|keys| *keys > 0);
    let mut create_time = given.number::<i64>("message_create_time").filter(|time| *time != -1);
    let (started, start_ms) = (Instant::now(), now_ms());
    let (mut sent, mut acked) = (0_u64, 0_u64);
    interrupt::listen(|| ());
    tell("startup_complete", json!({}));
    print::flush();
    while sent < most && interrupt::code().is_none() {
        let record = Record {
            topic: topic.clone(),
            key: keys.map(|keys| (sent % keys).to_string().into_bytes()),
            value: Some(format!("{prefix}{sent}").into_bytes()),
            timestamp_ms: create_time,
            ..Record::default()
        };
        create_time = create_time.map(|time| time + now_ms() - start_ms);
        sent += 1;
        producer.send(record);
        acked += report(&mut producer);
        if throughput > 0 {
            let due = started + Duration::from_secs_f64(sent as f64 / throughput as f64);
            print::flush();
            while Instant::now() < due && interrupt::code().is_none() {
                producer.poll(due.saturating_duration_since(Instant::now()));
                acked += report(&mut producer);
                print::flush();
                let left = due.saturating_duration_since(Instant::now());
                std::thread::sleep(left.min(Duration::from_millis(1)));
            }
        }
    }
    producer.flush();
    acked += report(&mut producer);
    tell("shutdown_complete", json!({}));
    let average = 1000.0 * acked as f64 / started.elapsed().as_millis().max(1) as f64;
    tell(
        "tool_data",
        json!({ "sent": sent, "acked": acked, "target_throughput": throughput, "avg_throughput": average }),
    );
    Ok(interrupt::code().unwrap_or(0))
}

/// Tells what became of records; how many arrived.
fn report(producer: &mut Producer) -> u64 {
    let mut acked = 0;
    for Delivery { record, outcome, .. } in producer.done() {
        let text =
            |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let (key, value) = (text(&record.key), text(&record.value));
        match outcome {
            Ok((partition, offset)) => {
                acked += 1;
                tell(
                    "producer_send_success",
                    json!({ "key": key, "value": value, "offset": offset, "topic": record.topic, "partition": partition }),
                );
            }
            Err(error) => tell(
                "producer_send_error",
                json!({
                    "key": key,
                    "value": value,
                    "topic": record.topic,
                    "message": error.message,
                    "exception": format!("class {}", error.class),
                }),
            ),
        }
    }
    acked
}
