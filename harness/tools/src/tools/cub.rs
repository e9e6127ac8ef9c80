//! `cub kafka-ready`: waits until a cluster has so many brokers (Confluent's image utilities).

use crate::admin::{ADMIN, Admin, brokers};
use crate::argparse::{Arg, Given, Group, Kind, Parser, Refusal, parse};
use crate::errors::Exception;
use crate::properties::{self, Properties};
use crate::{errln, print};
use kafka_protocol::messages::MetadataRequest;
use std::time::{Duration, Instant};

static WHERE: Group = Group { title: "", description: "", exclusive: true, required: true };

static COMMANDS: Parser = Parser {
    description: "Confluent Platform Utility Belt.",
    commands: &[Parser {
        help: "Check if Kafka is ready.",
        description: "Check if Kafka is ready.",
        args: &[
            Arg::new(&["--bootstrap_broker_list", "-b"], "List of bootstrap brokers.").group(&WHERE),
            Arg::new(&["--zookeeper_connect", "-z"], "Zookeeper connect string.").group(&WHERE),
            Arg::new(
                &["--config", "-c"],
                "Path to config properties file (required when security is enabled).",
            ),
            Arg::new(
                &["--security-protocol", "-s"],
                "Security protocol to use when multiple listeners are enabled.",
            ),
            Arg::new(&["expected_brokers"], "Minimum number of brokers to wait for").kind(Kind::Integer),
            Arg::new(&["timeout"], "Time in secs to wait for the number of nodes to be available.")
                .kind(Kind::Integer),
        ],
        ..Parser::new("kafka-ready")
    }],
    default_help: false,
    ..Parser::new("cub")
};

/// Runs it.
pub fn run(args: &[String]) -> i32 {
    match parse(&COMMANDS, args) {
        Ok(given) => match wait(&given) {
            Ok(()) => 0,
            Err(why) => {
                errln!("{why}");
                1
            }
        },
        Err(Refusal::Help) => 0,
        Err(refusal) => {
            refusal.print();
            // As Python's argparse.
            2
        }
    }
}

fn wait(given: &Given) -> Result<(), String> {
    let Some(servers) = given.value("bootstrap_broker_list") else {
        return Err("-z: there is no ZooKeeper here; ask the brokers with -b HOST:PORT".to_owned());
    };
    let mut properties = match given.value("config") {
        Some(path) => properties::load(path).map_err(|error| error.to_string())?,
        None => Properties::new(),
    };
    properties.insert("bootstrap.servers".into(), servers.to_owned());
    if let Some(protocol) = given.value("security_protocol") {
        properties.insert("security.protocol".into(), protocol.to_owned());
    }
    let expected = given.number::<usize>("expected_brokers").unwrap_or_default();
    let deadline = Instant::now() + Duration::from_secs(given.number("timeout").unwrap_or_default());
    loop {
        let found = look(&properties);
        match &found {
            Ok(found) if found.len() >= expected => return Ok(()),
            _ if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(100)),
            Ok(found) => {
                let found: Vec<String> = found.clone();
                let said = format!(
                    "Expected {expected} brokers but found only {}. Brokers found [{}].",
                    found.len(),
                    found.join(", ")
                );
                return Err(format!(
                    "[{}] ERROR {said} (io.confluent.admin.utils.ClusterStatus)",
                    print::now()
                ));
            }
            Err(error) => {
                return Err(format!(
                    "[{}] ERROR Error while getting broker list. (io.confluent.admin.utils.ClusterStatus)\n{}",
                    print::now(),
                    error.trace()
                ));
            }
        }
    }
}

/// The brokers that are there now.
fn look(properties: &Properties) -> Result<Vec<String>, Exception> {
    let mut admin = Admin::create(ADMIN, properties)?;
    let servers = admin.bootstrap_nodes().len();
    let request = MetadataRequest::default().with_topics(Some(Vec::new()));
    let mut last =
        Exception::kafka("TimeoutException", "Timed out waiting for a node assignment. Call: listNodes");
    for index in 0..servers {
        match admin.ask_bootstrap(index, &request) {
            Ok(answer) => return Ok(brokers(&answer).iter().map(|broker| broker.shown()).collect()),
            Err(error) => last = error,
        }
    }
    Err(last)
}
