//! bitnami/kafka 3.7: `KAFKA_CFG_*` and its aliases, `*_FILE` secrets, a mounted `server.properties`.
//! It must not check one node against another.

use jackdaw_compose::{Code, Diagnostic, Span, Spanned};

use crate::draft::Draft;
use crate::input::{Input, Variable};
use crate::plan::Origin;

/// What is left of Kafka's own `server.properties` when the image has commented out all that belongs to one
/// mode, and the data folder that it sets.
const DEFAULTS: [(&str, &str); 13] = [
    ("num.network.threads", "3"),
    ("num.io.threads", "8"),
    ("socket.send.buffer.bytes", "102400"),
    ("socket.receive.buffer.bytes", "102400"),
    ("socket.request.max.bytes", "104857600"),
    ("log.dirs", "/bitnami/kafka/data"),
    ("num.partitions", "1"),
    ("num.recovery.threads.per.data.dir", "1"),
    ("offsets.topic.replication.factor", "1"),
    ("transaction.state.log.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
    ("log.retention.hours", "168"),
    ("log.retention.check.interval.ms", "300000"),
];

/// Bare names that are aliases of `KAFKA_CFG_*` and win over them (`kafka_create_alias_environment_variables`).
pub(crate) const ALIASED: [&str; 32] = [
    "ADVERTISED_LISTENERS",
    "BROKER_ID",
    "NODE_ID",
    "CONTROLLER_QUORUM_VOTERS",
    "PROCESS_ROLES",
    "DEFAULT_REPLICATION_FACTOR",
    "DELETE_TOPIC_ENABLE",
    "INTER_BROKER_LISTENER_NAME",
    "LISTENERS",
    "LISTENER_SECURITY_PROTOCOL_MAP",
    "LOG_DIRS",
    "LOG_FLUSH_INTERVAL_MESSAGES",
    "LOG_FLUSH_INTERVAL_MS",
    "LOG_MESSAGE_FORMAT_VERSION",
    "LOG_RETENTION_BYTES",
    "LOG_RETENTION_CHECK_INTERVALS_MS",
    "LOG_RETENTION_HOURS",
    "LOG_SEGMENT_BYTES",
    "MESSAGE_MAX_BYTES",
    "NUM_IO_THREADS",
    "NUM_NETWORK_THREADS",
    "NUM_PARTITIONS",
    "NUM_RECOVERY_THREADS_PER_DATA_DIR",
    "OFFSETS_TOPIC_REPLICATION_FACTOR",
    "SOCKET_RECEIVE_BUFFER_BYTES",
    "SOCKET_REQUEST_MAX_BYTES",
    "SOCKET_SEND_BUFFER_BYTES",
    "SSL_ENDPOINT_IDENTIFICATION_ALGORITHM",
    "TRANSACTION_STATE_LOG_MIN_ISR",
    "TRANSACTION_STATE_LOG_REPLICATION_FACTOR",
    "ZOOKEEPER_CONNECT",
    "ZOOKEEPER_CONNECTION_TIMEOUT_MS",
];

/// Old names of whole variables; the suffix aliases above are applied after them and win.
pub(crate) const RENAMED: [(&str, &str); 8] = [
    ("KAFKA_CFG_LOG_DIRS", "KAFKA_LOGS_DIRS"),
    ("KAFKA_CFG_LOG_SEGMENT_BYTES", "KAFKA_SEGMENT_BYTES"),
    ("KAFKA_CFG_MESSAGE_MAX_BYTES", "KAFKA_MAX_MESSAGE_BYTES"),
    ("KAFKA_CFG_ZOOKEEPER_CONNECTION_TIMEOUT_MS", "KAFKA_ZOOKEEPER_CONNECT_TIMEOUT_MS"),
    ("KAFKA_CFG_AUTO_CREATE_TOPICS_ENABLE", "KAFKA_AUTO_CREATE_TOPICS_ENABLE"),
    ("KAFKA_CLIENT_USERS", "KAFKA_BROKER_USER"),
    ("KAFKA_CLIENT_PASSWORDS", "KAFKA_BROKER_PASSWORD"),
    ("KAFKA_CLIENT_LISTENER_NAME", "KAFKA_CLIENT_LISTENER"),
];

/// Variables that the image itself reads, beside `KAFKA_CFG_*`.
pub(crate) const OWN: [&str; 22] = [
    "ALLOW_PLAINTEXT_LISTENER",
    "BITNAMI_DEBUG",
    "KAFKA_CERTIFICATE_PASSWORD",
    "KAFKA_CLIENT_LISTENER_NAME",
    "KAFKA_CLIENT_PASSWORDS",
    "KAFKA_CLIENT_USERS",
    "KAFKA_CONTROLLER_PASSWORD",
    "KAFKA_CONTROLLER_USER",
    "KAFKA_ENABLE_KRAFT",
    "KAFKA_EXTRA_FLAGS",
    "KAFKA_HEAP_OPTS",
    "KAFKA_INITSCRIPTS_DIR",
    "KAFKA_INTER_BROKER_PASSWORD",
    "KAFKA_INTER_BROKER_USER",
    "KAFKA_KRAFT_CLUSTER_ID",
    "KAFKA_MOUNTED_CONF_DIR",
    "KAFKA_OPTS",
    "KAFKA_SKIP_KRAFT_STORAGE_INIT",
    "KAFKA_TLS_CLIENT_AUTH",
    "KAFKA_TLS_TRUSTSTORE_FILE",
    "KAFKA_TLS_TYPE",
    "KAFKA_VOLUME_DIR",
];

/// The property that a `KAFKA_CFG_*` variable sets.
pub(crate) fn property(suffix: &str) -> String {
    let key = suffix.to_lowercase().replace('_', ".");
    key.replace("sasl.ssl", "sasl_ssl").replace("sasl.plaintext", "sasl_plaintext")
}

/// What the entrypoint makes of its input.
pub(crate) fn draft(mut input: Input<'_>) -> Draft {
    let mut draft = Draft::default();
    read_secret_files(&mut input, &mut draft);
    apply_aliases(&mut input);
    draft.given_cluster_id = input.get("KAFKA_KRAFT_CLUSTER_ID").map(|v| v.value.clone());
    let config_dir = input.text("KAFKA_MOUNTED_CONF_DIR").unwrap_or("/bitnami/kafka/config").to_owned();
    let path = format!("{config_dir}/server.properties");
    if let Some(file) = input.files.read(&path) {
        draft.read_file(&file);
        draft.config_file = Some(path);
        draft.ignores_environment = true;
        let ignored = input.variables().iter().find(|v| v.name.value.starts_with("KAFKA_CFG_"));
        if let Some(ignored) = ignored {
            let message = format!("the mounted {} makes the image ignore KAFKA_CFG_* variables", file.name());
            draft.diagnostics.push(
                Diagnostic::new(Code::EnvironmentIgnored, message, &ignored.name.span)
                    .label("ignored, and those like it")
                    .help("remove the variables, or the mounted file"),
            );
        }
        return draft;
    }
    for (key, value) in DEFAULTS {
        draft.properties.set(key, value, Origin::Image);
    }
    older_defaults(&input, &mut draft);
    for variable in input.variables() {
        if let Some(suffix) = variable.name.value.strip_prefix("KAFKA_CFG_") {
            draft.set_from(&property(suffix), variable);
        }
    }
    sasl(&input, &mut draft);
    draft
}

/// The images of Kafka 3.3 to 3.5 ran in KRaft mode where nothing was said, as a node of its own.
const OLDER_DEFAULTS: [(&str, &str); 7] = [
    ("process.roles", "controller,broker"),
    ("node.id", "1"),
    ("listeners", "PLAINTEXT://:9092,CONTROLLER://:9093"),
    ("advertised.listeners", "PLAINTEXT://:9092"),
    ("listener.security.protocol.map", "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT"),
    ("controller.listener.names", "CONTROLLER"),
    ("controller.quorum.voters", "1@127.0.0.1:9093"),
];

fn older_defaults(input: &Input<'_>, draft: &mut Draft) {
    let is_older = input.version.is_some_and(|version| ((3, 3)..(3, 6)).contains(&version));
    let switched_off = input.text("KAFKA_ENABLE_KRAFT").is_some_and(|v| matches!(v, "no" | "false"));
    let says_mode = ["KAFKA_CFG_PROCESS_ROLES", "KAFKA_CFG_ZOOKEEPER_CONNECT"]
        .iter()
        .any(|name| input.get(name).is_some());
    if !is_older || switched_off || says_mode {
        return;
    }
    for (key, value) in OLDER_DEFAULTS {
        draft.properties.set(key, value, Origin::Image);
    }
    // A bare broker.id is the node's id, too, and the only voter's.
    if let (None, Some(id)) = (input.get("KAFKA_CFG_NODE_ID"), input.text("KAFKA_CFG_BROKER_ID")) {
        draft.properties.set("node.id", id, Origin::Image);
        draft.properties.set("controller.quorum.voters", format!("{id}@127.0.0.1:9093"), Origin::Image);
    }
}

/// `NAME_FILE` names a file with the value of NAME; an unreadable one is passed over by the image, with a warning.
fn read_secret_files(input: &mut Input<'_>, draft: &mut Draft) {
    let named: Vec<Variable> = input.variables().to_vec();
    for variable in named {
        let Some(target) = variable.name.value.strip_suffix("_FILE") else { continue };
        let is_secret = OWN.contains(&target) || target.starts_with("KAFKA_CFG_");
        if !is_secret {
            continue;
        }
        match input.files.read(&variable.value) {
            Some(file) => {
                let text = file.text().trim_end_matches(['\n', '\r']).to_owned();
                let value = Spanned::new(text, Span::new(&file, 0, file.text().len()));
                input.set(Variable {
                    name: Spanned::new(target.to_owned(), variable.name.span.clone()),
                    value,
                });
            }
            None => {
                let message =
                    format!("{} names {}, which cannot be read", variable.name.value, variable.value.value);
                draft.diagnostics.push(
                    Diagnostic::new(Code::SecretFile, message, &variable.value.span)
                        .label("no such file in the container")
                        .help("mount it with `secrets` or `volumes`"),
                );
            }
        }
    }
}

/// The old names become the new ones; a bare alias wins over the `KAFKA_CFG_*` that it stands for.
fn apply_aliases(input: &mut Input<'_>) {
    let suffixes =
        ALIASED.into_iter().map(|suffix| (format!("KAFKA_CFG_{suffix}"), format!("KAFKA_{suffix}")));
    let renamed = RENAMED.into_iter().map(|(new, old)| (new.to_owned(), old.to_owned()));
    for (new, old) in renamed.chain(suffixes) {
        if let Some(variable) = input.variables().iter().find(|v| v.name.value == old).cloned() {
            input.set(Variable { name: Spanned::new(new, variable.name.span), value: variable.value });
        }
    }
}

/// Users and passwords become one JAAS line per listener and mechanism (`kafka_configure_server_jaas`).
fn sasl(input: &Input<'_>, draft: &mut Draft) {
    let map = draft.properties.get("listener.security.protocol.map").unwrap_or_default().to_owned();
    let inter_broker = input.text("KAFKA_CFG_INTER_BROKER_LISTENER_NAME").unwrap_or("INTERNAL").to_owned();
    let controllers = input.text("KAFKA_CFG_CONTROLLER_LISTENER_NAMES").unwrap_or("CONTROLLER").to_owned();
    for (listener, protocol) in map.split(',').filter_map(|pair| pair.trim().split_once(':')) {
        if !protocol.starts_with("SASL_") {
            continue;
        }
        let is_controller = controllers.contains(listener) && listener != inter_broker;
        let mechanisms = if is_controller {
            input.text("KAFKA_CFG_SASL_MECHANISM_CONTROLLER_PROTOCOL")
        } else {
            input.text("KAFKA_CFG_SASL_ENABLED_MECHANISMS")
        };
        for mechanism in mechanisms.unwrap_or_default().split(',').map(str::trim).filter(|m| !m.is_empty()) {
            let Some(jaas) = jaas(input, mechanism, is_controller, listener == inter_broker) else {
                continue;
            };
            let (listener, mechanism) = (listener.to_lowercase(), mechanism.to_lowercase());
            let key = format!("listener.name.{listener}.{mechanism}.sasl.jaas.config");
            draft.properties.set_default(&key, jaas, Origin::Image);
        }
    }
}

fn jaas(input: &Input<'_>, mechanism: &str, controller: bool, inter_broker: bool) -> Option<String> {
    let own = match (controller, inter_broker) {
        (true, _) => Some(("KAFKA_CONTROLLER_USER", "KAFKA_CONTROLLER_PASSWORD")),
        (_, true) => Some(("KAFKA_INTER_BROKER_USER", "KAFKA_INTER_BROKER_PASSWORD")),
        _ => None,
    };
    let own = own.map(|(user, password)| {
        (input.text(user).unwrap_or_default().to_owned(), input.text(password).unwrap_or_default().to_owned())
    });
    let identity =
        own.as_ref().map(|(user, password)| format!(" username=\"{user}\" password=\"{password}\""));
    let identity = identity.unwrap_or_default();
    if mechanism.starts_with("SCRAM") {
        return Some(format!("org.apache.kafka.common.security.scram.ScramLoginModule required{identity};"));
    }
    if mechanism != "PLAIN" {
        return None;
    }
    let list = |name: &str| -> Vec<String> {
        let text = input.text(name).unwrap_or_default();
        text.split([',', ';', ' ']).filter(|part| !part.is_empty()).map(str::to_owned).collect()
    };
    let clients = list("KAFKA_CLIENT_USERS").into_iter().zip(list("KAFKA_CLIENT_PASSWORDS"));
    let mut users: Vec<(String, String)> = if controller { Vec::new() } else { clients.collect() };
    users.extend(own);
    let users: String = users.iter().map(|(user, password)| format!(" user_{user}=\"{password}\"")).collect();
    Some(format!("org.apache.kafka.common.security.plain.PlainLoginModule required{identity}{users};"))
}
