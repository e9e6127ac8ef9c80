//! confluentinc/cp-kafka 7.x: `KAFKA_*`, with dots, underscores and dashes.
//! It must not check one node against another.

use jackdaw_compose::{Code, Diagnostic, Span, Spanned};

use crate::draft::Draft;
use crate::input::{Input, Variable};
use crate::plan::Origin;

/// `KAFKA_*` variables that are no properties.
pub(crate) const NOT_MAPPED: [&str; 11] = [
    "KAFKA_VERSION",
    "KAFKA_HEAP_OPTS",
    "KAFKA_LOG4J_OPTS",
    "KAFKA_OPTS",
    "KAFKA_JMX_OPTS",
    "KAFKA_JMX_HOSTNAME",
    "KAFKA_JVM_PERFORMANCE_OPTS",
    "KAFKA_GC_LOG_OPTS",
    "KAFKA_LOG4J_ROOT_LOGLEVEL",
    "KAFKA_LOG4J_LOGGERS",
    "KAFKA_TOOLS_LOG4J_LOGLEVEL",
];

/// What confluent-local's entrypoint sets where a variable is not set or empty (its `configureDefaults`), without the
/// REST proxy, which is no part of Kafka.
const LOCAL: [(&str, &str); 14] = [
    ("CLUSTER_ID", "4L6g3nShT-eMCtK--X86sw"),
    ("KAFKA_NODE_ID", "1"),
    ("KAFKA_PROCESS_ROLES", "broker,controller"),
    ("KAFKA_CONTROLLER_QUORUM_VOTERS", "1@localhost:29093"),
    ("KAFKA_CONTROLLER_LISTENER_NAMES", "CONTROLLER"),
    ("KAFKA_INTER_BROKER_LISTENER_NAME", "PLAINTEXT"),
    (
        "KAFKA_LISTENERS",
        "PLAINTEXT://localhost:29092,CONTROLLER://localhost:29093,PLAINTEXT_HOST://0.0.0.0:9092",
    ),
    ("KAFKA_ADVERTISED_LISTENERS", "PLAINTEXT://localhost:29092,PLAINTEXT_HOST://localhost:9092"),
    (
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP",
        "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PLAINTEXT_HOST:PLAINTEXT",
    ),
    ("KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR", "1"),
    ("KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR", "1"),
    ("KAFKA_TRANSACTION_STATE_LOG_MIN_ISR", "1"),
    ("KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS", "0"),
    ("KAFKA_LOG_DIRS", "/tmp/kraft-combined-logs"),
];

/// The variables of a confluent-local container.
pub(crate) fn with_local_defaults(variables: &mut Vec<Variable>) {
    variables.retain(|variable| !variable.value.value.is_empty());
    for (name, value) in LOCAL {
        if !variables.iter().any(|variable| variable.name.value == name) {
            let (name, value) = (Spanned::nowhere(name.to_owned()), Spanned::nowhere(value.to_owned()));
            variables.push(Variable { name, value });
        }
    }
}

/// The property that a `KAFKA_*` variable sets: `_` is a dot, `__` an underscore, `___` a dash.
pub(crate) fn property(name: &str) -> String {
    let key = name.strip_prefix("KAFKA_").unwrap_or(name).to_lowercase().replace('_', ".");
    key.replace("...", "-").replace("..", "_")
}

/// What `/etc/confluent/docker/configure` makes of its input.
pub(crate) fn draft(mut input: Input<'_>) -> Draft {
    let mut draft =
        Draft { given_cluster_id: input.get("CLUSTER_ID").map(|v| v.value.clone()), ..Draft::default() };
    listeners_from_advertised(&mut input);
    let mapped =
        |v: &&Variable| v.name.value.starts_with("KAFKA_") && !NOT_MAPPED.contains(&v.name.value.as_str());
    for variable in input.variables().iter().filter(mapped) {
        draft.set_from(&property(&variable.name.value), variable);
    }
    let roles = input.text("KAFKA_PROCESS_ROLES").unwrap_or_default();
    if roles.contains("broker") && input.get("KAFKA_ADVERTISED_LISTENERS").is_none() {
        let span = input.get("KAFKA_PROCESS_ROLES").map(|v| v.value.span.clone()).unwrap_or_default();
        draft.diagnostics.push(missing("KAFKA_ADVERTISED_LISTENERS", &span));
    }
    draft.properties.set_default("log.dirs", "/var/lib/kafka/data", Origin::Image);
    draft
}

fn missing(name: &str, span: &Span) -> Diagnostic {
    let message = format!("the confluent image demands {name}");
    Diagnostic::new(Code::MissingSetting, message, span)
        .label("a broker's roles")
        .help(format!("set {name} to the addresses by which clients reach this broker"))
}

/// `KAFKA_LISTENERS` unset on a broker: the advertised ones with the host replaced by 0.0.0.0.
fn listeners_from_advertised(input: &mut Input<'_>) {
    if input.get("KAFKA_LISTENERS").is_some() {
        return;
    }
    let Some(advertised) = input.get("KAFKA_ADVERTISED_LISTENERS").cloned() else { return };
    let any_host = |listener: &str| {
        let parts =
            listener.split_once("://").and_then(|(name, rest)| Some((name, rest.rsplit_once(':')?.1)));
        parts.map_or_else(|| listener.to_owned(), |(name, port)| format!("{name}://0.0.0.0:{port}"))
    };
    let listeners: Vec<String> = advertised.value.value.split(',').map(any_host).collect();
    let value = Spanned::new(listeners.join(","), advertised.value.span);
    input.set(Variable { name: Spanned::nowhere(String::from("KAFKA_LISTENERS")), value });
}
