//! apache/kafka 3.7: `KAFKA_*` after a mounted `server.properties`, or the image's own configuration whole.
//! It must not check one node against another.

use jackdaw_compose::{Code, Diagnostic, Spanned};

use crate::draft::Draft;
use crate::input::{Input, Variable};
use crate::plan::Origin;

/// The image's cluster id where `CLUSTER_ID` is not set.
pub(crate) const CLUSTER_ID: &str = "5L6g3nShT-eMCtK--X86sw";

/// `KAFKA_*` variables that are no properties. `KAFKA_HEAP_OPT` is spelt so in the image.
pub(crate) const NOT_MAPPED: [&str; 11] = [
    "KAFKA_VERSION",
    "KAFKA_HEAP_OPT",
    "KAFKA_JMX_HOSTNAME",
    "KAFKA_LOG4J_OPTS",
    "KAFKA_OPTS",
    "KAFKA_JMX_OPTS",
    "KAFKA_JVM_PERFORMANCE_OPTS",
    "KAFKA_GC_LOG_OPTS",
    "KAFKA_LOG4J_ROOT_LOGLEVEL",
    "KAFKA_LOG4J_LOGGERS",
    "KAFKA_TOOLS_LOG4J_LOGLEVEL",
];

/// Kafka's `config/kraft/server.properties`, which the image falls back to.
const BUNDLED: [(&str, &str); 22] = [
    ("process.roles", "broker,controller"),
    ("node.id", "1"),
    ("controller.quorum.voters", "1@localhost:9093"),
    ("listeners", "PLAINTEXT://:9092,CONTROLLER://:9093"),
    ("inter.broker.listener.name", "PLAINTEXT"),
    ("advertised.listeners", "PLAINTEXT://localhost:9092"),
    ("controller.listener.names", "CONTROLLER"),
    (
        "listener.security.protocol.map",
        "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL",
    ),
    ("num.network.threads", "3"),
    ("num.io.threads", "8"),
    ("socket.send.buffer.bytes", "102400"),
    ("socket.receive.buffer.bytes", "102400"),
    ("socket.request.max.bytes", "104857600"),
    ("log.dirs", "/tmp/kraft-combined-logs"),
    ("num.partitions", "1"),
    ("num.recovery.threads.per.data.dir", "1"),
    ("offsets.topic.replication.factor", "1"),
    ("transaction.state.log.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
    ("log.retention.hours", "168"),
    ("log.segment.bytes", "1073741824"),
    ("log.retention.check.interval.ms", "300000"),
];

/// The text of [`BUNDLED`].
pub fn bundled() -> String {
    BUNDLED.iter().map(|(key, value)| format!("{key}={value}\n")).collect()
}

/// The property that a `KAFKA_*` variable sets: `_` is a dot, `__` an underscore, `___` a dash.
pub(crate) fn property(name: &str) -> String {
    let key = name.replace("KAFKA_", "").to_lowercase().replace('_', ".");
    key.replace("...", "-").replace("..", "_")
}

/// What `/etc/kafka/docker/configure` and the image's wrapper make of their input.
pub(crate) fn draft(mut input: Input<'_>) -> Draft {
    let mut draft = Draft::default();
    let given = input.get("CLUSTER_ID").map(|v| v.value.clone());
    draft.given_cluster_id = given;
    draft.image_cluster_id = Some(CLUSTER_ID);
    let controller_only = input.text("KAFKA_PROCESS_ROLES") == Some("controller");
    if controller_only && let Some(advertised) = input.get("KAFKA_ADVERTISED_LISTENERS") {
        let message = "the apache image refuses advertised listeners on a controller-only node";
        draft.diagnostics.push(
            Diagnostic::new(Code::ControllerAdvertised, message, &advertised.name.span)
                .label("not on a controller")
                .help("remove KAFKA_ADVERTISED_LISTENERS here: clients never speak to a controller"),
        );
    }
    listeners_from_advertised(&mut input, controller_only);
    ssl(&mut input, &mut draft);
    const MOUNTED: &str = "/mnt/shared/config/server.properties";
    let file = input.files.read(MOUNTED);
    if let Some(file) = &file {
        draft.read_file(file);
        draft.config_file = Some(MOUNTED.to_owned());
    }
    let mapped =
        |v: &&Variable| v.name.value.starts_with("KAFKA_") && !NOT_MAPPED.contains(&v.name.value.as_str());
    for variable in input.variables().iter().filter(mapped) {
        draft.set_from(&property(&variable.name.value), variable);
    }
    if draft.properties.is_empty() {
        for (key, value) in BUNDLED {
            draft.properties.set(key, value, Origin::Image);
        }
    } else if file.is_none() && draft.properties.get("process.roles").is_none() {
        draft.lost_default = input.variables().iter().find(mapped).map(|v| v.name.clone());
    }
    // Kafka's own default, which the image leaves alone: not the folder that it declares as a volume.
    draft.properties.set_default("log.dirs", "/tmp/kafka-logs", Origin::Image);
    draft
}

/// `KAFKA_LISTENERS` unset: the advertised ones with the host replaced by 0.0.0.0.
fn listeners_from_advertised(input: &mut Input<'_>, controller_only: bool) {
    if input.get("KAFKA_LISTENERS").is_some() || controller_only {
        return;
    }
    let Some(advertised) = input.get("KAFKA_ADVERTISED_LISTENERS").cloned() else { return };
    let listeners: Vec<String> = advertised.value.value.split(',').map(any_host).collect();
    let value = Spanned::new(listeners.join(","), advertised.value.span);
    input.set(Variable { name: Spanned::nowhere(String::from("KAFKA_LISTENERS")), value });
}

fn any_host(listener: &str) -> String {
    match listener.split_once("://").and_then(|(name, rest)| Some((name, rest.split_once(':')?.1))) {
        Some((name, port)) => format!("{name}://0.0.0.0:{port}"),
        None => listener.to_owned(),
    }
}

/// File names in `/etc/kafka/secrets` become the locations and passwords that Kafka reads.
fn ssl(input: &mut Input<'_>, draft: &mut Draft) {
    if !input.text("KAFKA_ADVERTISED_LISTENERS").is_some_and(|advertised| advertised.contains("SSL://")) {
        return;
    }
    let wants_truststore = input
        .text("KAFKA_SSL_CLIENT_AUTH")
        .is_some_and(|a| a.contains("required") || a.contains("requested"));
    let mut needed = vec![
        ("KAFKA_SSL_KEYSTORE_FILENAME", "KAFKA_SSL_KEYSTORE_LOCATION", false),
        ("KAFKA_SSL_KEY_CREDENTIALS", "KAFKA_SSL_KEY_PASSWORD", true),
        ("KAFKA_SSL_KEYSTORE_CREDENTIALS", "KAFKA_SSL_KEYSTORE_PASSWORD", true),
    ];
    if wants_truststore {
        needed.push(("KAFKA_SSL_TRUSTSTORE_FILENAME", "KAFKA_SSL_TRUSTSTORE_LOCATION", false));
        needed.push(("KAFKA_SSL_TRUSTSTORE_CREDENTIALS", "KAFKA_SSL_TRUSTSTORE_PASSWORD", true));
    }
    for (from, to, is_password) in needed {
        let Some(variable) = input.get(from).cloned() else {
            let span =
                input.get("KAFKA_ADVERTISED_LISTENERS").map(|v| v.value.span.clone()).unwrap_or_default();
            let message = format!("TLS is advertised, and {from} is not set");
            draft
                .diagnostics
                .push(Diagnostic::new(Code::MissingSetting, message, &span).label("needs a keystore"));
            continue;
        };
        let path = format!("/etc/kafka/secrets/{}", variable.value.value);
        let value = if is_password {
            input.files.read(&path).map(|file| file.text().trim_end().to_owned()).unwrap_or_default()
        } else {
            path
        };
        input.set(Variable {
            name: Spanned::nowhere(to.to_owned()),
            value: Spanned::new(value, variable.value.span),
        });
    }
}
