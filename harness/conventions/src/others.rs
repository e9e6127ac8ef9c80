//! Kafka images of others: debezium's has names of its own for a few settings, wurstmeister's starts from the settings
//! that come with Kafka. The rest is as apache's image has it.
//! It must not judge; what comes out is read as apache's variables.

use jackdaw_compose::{Service, Spanned};

use crate::input::Variable;

/// Its own names, and those that they stand for.
const NAMES: [(&str, &str); 5] = [
    ("NODE_ID", "KAFKA_NODE_ID"),
    ("BROKER_ID", "KAFKA_BROKER_ID"),
    ("NODE_ROLE", "KAFKA_PROCESS_ROLES"),
    ("ZOOKEEPER_CONNECT", "KAFKA_ZOOKEEPER_CONNECT"),
    ("LOG_DIRS", "KAFKA_LOG_DIRS"),
];

/// What Kafka's own settings' files say of the topics that it keeps for itself, where Kafka's defaults want three brokers.
const ONE_REPLICA: [&str; 3] = [
    "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR",
    "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR",
    "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR",
];

/// Whether an image is debezium's Kafka.
pub(crate) fn is_debezium(image: &str) -> bool {
    is_by("debezium", image)
}

fn is_by(maker: &str, image: &str) -> bool {
    let name = image.split('@').next().unwrap_or(image);
    let mut parts = name.rsplit('/');
    let repository = parts.next().and_then(|name| name.split(':').next());
    repository == Some("kafka") && parts.next() == Some(maker)
}

/// The variables that such an image's entrypoint makes of those that are given.
pub(crate) fn with_defaults(service: &Service, variables: &mut Vec<Variable>) {
    let image = service.image.as_ref().map_or("", |image| image.value.trim());
    let mut defaults: Vec<(&str, String)> = Vec::new();
    if is_debezium(image) {
        defaults = of_debezium(service, variables);
    } else if is_by("wurstmeister", image) {
        defaults.push(("KAFKA_LOG_DIRS", String::from("/kafka/kafka-logs")));
    }
    if !defaults.is_empty() {
        defaults.extend(ONE_REPLICA.map(|name| (name, String::from("1"))));
    }
    for (name, value) in defaults {
        if !variables.iter().any(|variable| variable.name.value == name) {
            variables
                .push(Variable { name: Spanned::nowhere(name.to_owned()), value: Spanned::nowhere(value) });
        }
    }
}

fn of_debezium(service: &Service, variables: &mut [Variable]) -> Vec<(&'static str, String)> {
    for (own, name) in NAMES {
        for variable in variables.iter_mut().filter(|variable| variable.name.value == own) {
            variable.name.value = name.to_owned();
            if variable.value.value == "combined" {
                variable.value.value = String::from("broker,controller");
            }
        }
    }
    let value = |name: &str| variables.iter().find(|v| v.name.value == name).map(|v| v.value.value.clone());
    let is_kraft = value("KAFKA_ZOOKEEPER_CONNECT").is_none();
    let host = value("ADVERTISED_HOST_NAME").or_else(|| value("HOST_NAME"));
    let host = host.unwrap_or_else(|| service.name.value.clone());
    let port = value("ADVERTISED_PORT").unwrap_or_else(|| String::from("9092"));
    let id = value("KAFKA_NODE_ID").or_else(|| value("KAFKA_BROKER_ID")).unwrap_or_else(|| String::from("1"));
    let mut defaults = vec![
        ("KAFKA_ADVERTISED_LISTENERS", format!("PLAINTEXT://{host}:{port}")),
        ("KAFKA_LOG_DIRS", format!("/kafka/data/{id}")),
    ];
    if is_kraft {
        let map = "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL";
        defaults.extend([
            ("KAFKA_PROCESS_ROLES", String::from("broker,controller")),
            ("KAFKA_CONTROLLER_QUORUM_VOTERS", format!("{id}@{}:9093", service.name.value)),
            ("KAFKA_LISTENERS", String::from("PLAINTEXT://:9092,CONTROLLER://:9093")),
            ("KAFKA_CONTROLLER_LISTENER_NAMES", String::from("CONTROLLER")),
            ("KAFKA_LISTENER_SECURITY_PROTOCOL_MAP", map.to_owned()),
            ("KAFKA_NODE_ID", id),
        ]);
    } else {
        defaults.push(("KAFKA_BROKER_ID", id));
    }
    defaults
}
