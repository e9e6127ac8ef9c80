//! `kafka-cluster.sh`: a cluster's id, and brokers that are gone for good (`org.apache.kafka.tools.ClusterTool`).

use crate::admin::{ADMIN, Admin, MOVED, To};
use crate::argparse::{Arg, Given, Group, Kind, Parser, parse};
use crate::cli::{bootstrap, message_and_trace};
use crate::errors::{Exception, check};
use crate::{outln, print};
use kafka_protocol::messages::{BrokerId, UnregisterBrokerRequest};

const UNSUPPORTED: &str = "org.apache.kafka.common.errors.UnsupportedVersionException";

static CONNECTION: Group = Group { title: "", description: "", exclusive: true, required: true };
const SERVERS: Arg = Arg::new(
    &["--bootstrap-server", "-b"],
    "A list of host/port pairs to use for establishing the connection to the Kafka cluster.",
)
.group(&CONNECTION);
const CONTROLLERS: Arg = Arg::new(
    &["--bootstrap-controller", "-C"],
    "A list of host/port pairs to use for establishing the connection to the KRaft controllers.",
)
.group(&CONNECTION);
const CONFIG: Arg =
    Arg::new(&["--config", "-c"], "A property file containing configurations for the Admin client.");

static COMMANDS: Parser = Parser {
    description: "The Kafka cluster tool.",
    commands: &[
        Parser {
            help: "Get information about the ID of a cluster.",
            args: &[SERVERS, CONTROLLERS, CONFIG],
            ..Parser::new("cluster-id")
        },
        Parser {
            help: "Unregister a broker.",
            args: &[
                SERVERS,
                CONTROLLERS,
                CONFIG,
                Arg::new(&["--id", "-i"], "The ID of the broker to unregister.")
                    .kind(Kind::Integer)
                    .required(),
            ],
            ..Parser::new("unregister")
        },
    ],
    ..Parser::new("kafka-cluster")
};

/// Runs it.
pub fn run(args: &[String]) -> i32 {
    match parse(&COMMANDS, args) {
        Ok(given) => command(&given).map_or_else(message_and_trace, |()| 0),
        Err(refusal) => {
            refusal.print();
            1
        }
    }
}

fn command(given: &Given) -> Result<(), Exception> {
    let mut admin = Admin::create(ADMIN, &bootstrap(given, "config")?)?;
    if given.commands[..] == ["cluster-id"] {
        outln!("Cluster ID: {}", admin.cluster_id().map_err(Exception::in_execution)?);
        return Ok(());
    }
    let id = given.number("id").unwrap_or_default();
    let request = UnregisterBrokerRequest::default().with_broker_id(BrokerId(id));
    let done = admin.retrying(MOVED, |admin| {
        let answer = admin.ask(To::Controller, "unregisterBroker", &request)?;
        // Kafka's client takes its own words.
        check(answer.error_code, None)
    });
    match done {
        Ok(()) => outln!("Broker {id} is no longer registered."),
        Err(error) if error.class == UNSUPPORTED => {
            outln!("The target cluster does not support the broker unregistration API.");
        }
        Err(error) => {
            let said = format!(
                "[AdminClient clientId={}] Unregister broker request for broker ID {id} failed: {}",
                ADMIN.id, error.message
            );
            print::log("ERROR", "org.apache.kafka.clients.admin.KafkaAdminClient", &said);
            return Err(error.in_execution());
        }
    }
    Ok(())
}
