//! `kafka-configs.sh`: describes and alters the configuration of topics, brokers and other entities
//! (`kafka.admin.ConfigCommand`).

use crate::admin::{ADMIN, Admin, MOVED, Result, To, text};
use crate::cli::{Done, Stop, check_invalid, end, help_or_version, properties_of};
use crate::errors::{Exception, check};
use crate::jopt::{self, Given};
use crate::options::configs::OPTIONS;
use crate::properties::{self, Properties};
use crate::{errln, outln};
use kafka_protocol::messages::alter_configs_request::{AlterConfigsResource, AlterableConfig as Replaced};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource as IncrementalResource, AlterableConfig,
};
use kafka_protocol::messages::{
    AlterConfigsRequest, DescribeConfigsRequest, IncrementalAlterConfigsRequest,
    ListClientMetricsResourcesRequest,
};
use std::collections::BTreeMap;

/// Types of resources (`ConfigResource.Type`).
const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const BROKER_LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
/// Sources of a value (`ConfigEntry.ConfigSource`), by number.
const SOURCES: [&str; 8] = [
    "UNKNOWN",
    "DYNAMIC_TOPIC_CONFIG",
    "DYNAMIC_BROKER_CONFIG",
    "DYNAMIC_DEFAULT_BROKER_CONFIG",
    "STATIC_BROKER_CONFIG",
    "DEFAULT_CONFIG",
    "DYNAMIC_BROKER_LOGGER_CONFIG",
    "DYNAMIC_CLIENT_METRICS_CONFIG",
];
const DEFAULT_CONFIG: i8 = 5;
/// `AlterConfigOp.OpType`
const SET: i8 = 0;
const DELETE: i8 = 1;

const TYPES: [&str; 7] = ["topics", "clients", "users", "brokers", "ips", "broker-loggers", "client-metrics"];
const NAMED: [(&str, &str); 6] = [
    ("topic", "topics"),
    ("client", "clients"),
    ("user", "users"),
    ("broker", "brokers"),
    ("broker-logger", "broker-loggers"),
    ("ip", "ips"),
];
const DEFAULTS: [(&str, &str); 4] = [
    ("client-defaults", "clients"),
    ("user-defaults", "users"),
    ("broker-defaults", "brokers"),
    ("ip-defaults", "ips"),
];

/// One setting.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its value, unless it is kept secret.
    pub value: Option<String>,
    /// Whether nobody set it.
    pub is_default: bool,
    source: i8,
    sensitive: bool,
    synonyms: Vec<String>,
}

/// Runs it.
pub fn run(args: &[String]) -> i32 {
    end(OPTIONS, command(args), |exception| {
        let plain = [
            "java.lang.IllegalArgumentException",
            "org.apache.kafka.common.errors.InvalidConfigurationException",
        ];
        if plain.contains(&exception.class.as_str()) || exception.class.starts_with("joptsimple.") {
            errln!("{}", exception.message);
        } else {
            errln!("Error while executing config command with args '{}'", args.join(" "));
            errln!("{}", exception.trace());
        }
        1
    })
}

/// What is described or altered.
struct Entities {
    types: Vec<String>,
    names: Vec<String>,
}

fn command(args: &[String]) -> Done {
    let given = jopt::parse(OPTIONS, args)?;
    let about = "This tool helps to manipulate and describe entity config for a topic, client, user, broker, ip or \
                 client-metrics";
    help_or_version(&given, args, about)?;
    let entities = entities(&given)?;
    check_args(&given, &entities)?;
    if given.has("zookeeper") {
        return Err(
            Exception::argument("--zookeeper: there is no ZooKeeper here; use --bootstrap-server").into()
        );
    }
    let mut properties = properties_of(&given, "command-config")?;
    let servers = if given.has("bootstrap-server") { "bootstrap-server" } else { "bootstrap-controller" };
    properties.insert("bootstrap.servers".into(), given.value(servers)?.unwrap_or_default());
    let mut admin = Admin::create(ADMIN, &properties)?;
    if given.has("alter") {
        return Ok(alter(&mut admin, &given, &entities)?);
    }
    Ok(describe(&mut admin, &given, &entities)?)
}

fn entities(given: &Given) -> Result<Entities> {
    let flags = NAMED.iter().chain(&DEFAULTS).filter(|(flag, _)| given.has(flag));
    let mut types = given.values("entity-type");
    types.extend(flags.map(|(_, kind)| (*kind).to_owned()));
    let mut values = given.values("entity-name").into_iter();
    let mut names: Vec<String> = given
        .order(&["entity-name", "entity-default"])
        .into_iter()
        .map(|option| if option == "entity-name" { values.next().unwrap_or_default() } else { String::new() })
        .collect();
    for (flag, _) in NAMED.iter().filter(|(flag, _)| given.has(flag)) {
        names.push(given.value(flag)?.unwrap_or_default());
    }
    names.extend(DEFAULTS.iter().filter(|(flag, _)| given.has(flag)).map(|_| String::new()));
    Ok(Entities { types, names })
}

fn check_args(given: &Given, entities: &Entities) -> Done {
    let Entities { types, names } = entities;
    let wrong = |message: String| Err(Stop::from(Exception::argument(message)));
    if given.has("alter") == given.has("describe") {
        return Err(Stop::Usage("Command must include exactly one action: --describe, --alter".to_owned()));
    }
    check_invalid(given, "describe", &["alter", "add-config", "delete-config"])?;
    let servers = given.has("bootstrap-server") || given.has("bootstrap-controller");
    let (allowed, connect) = match servers {
        true => (&TYPES[..], "--bootstrap-server or --bootstrap-controller"),
        false => (&["users", "brokers"][..], "--zookeeper"),
    };
    if let Some(kind) = types.iter().find(|kind| !allowed.contains(&kind.as_str())) {
        let allowed = allowed.join(", ");
        return wrong(format!(
            "Invalid entity type {kind}, the entity type must be one of {allowed} with a {connect} argument"
        ));
    }
    let both = types.len() == 2
        && types.iter().any(|kind| kind == "users")
        && types.iter().any(|kind| kind == "clients");
    match types.len() {
        0 => return wrong("At least one entity type must be specified".to_owned()),
        2.. if !both => {
            return wrong("Only 'users' and 'clients' entity types may be specified together".to_owned());
        }
        _ => {}
    }
    let generic = ["entity-name", "entity-type", "entity-default"].iter().any(|option| given.has(option));
    if generic && NAMED.iter().chain(&DEFAULTS).any(|(flag, _)| given.has(flag)) {
        let said =
            "--entity-{type,name,default} should not be used in conjunction with specific entity flags";
        return wrong(said.to_owned());
    }
    let connects = ["bootstrap-server", "bootstrap-controller", "zookeeper"];
    match connects.iter().filter(|option| given.has(option)).count() {
        0 => {
            return wrong(
                "One of the required --bootstrap-server, --boostrap-controller, or --zookeeper arguments must be specified"
                    .to_owned(),
            );
        }
        1 => {}
        _ => {
            return wrong(
                "Only one of --bootstrap-server, --boostrap-controller, and --zookeeper can be specified"
                    .to_owned(),
            );
        }
    }
    let kind = types[0].as_str();
    let named = names.iter().any(|name| !name.is_empty());
    if matches!(kind, "brokers" | "broker-loggers")
        && let Some(id) = names.iter().find(|name| !name.is_empty() && name.parse::<i32>().is_err())
    {
        return wrong(format!(
            "The entity name for {kind} must be a valid integer broker id, but it is: {id}"
        ));
    }
    if given.has("describe") && kind == "broker-loggers" && !named {
        return wrong(format!("an entity name must be specified with --describe of {}", types.join(",")));
    }
    if given.has("alter") { check_alter(given, entities, named) } else { Ok(()) }
}

fn check_alter(given: &Given, entities: &Entities, named: bool) -> Done {
    let wrong = |message: String| Err(Stop::from(Exception::argument(message)));
    let with_default =
        entities.types.iter().any(|kind| matches!(kind.as_str(), "users" | "clients" | "brokers" | "ips"));
    if with_default && entities.names.is_empty() {
        return wrong(
            "an entity-name or default entity must be specified with --alter of users, clients, brokers or ips".to_owned(),
        );
    }
    if !with_default && !named {
        return wrong(format!(
            "an entity name must be specified with --alter of {}",
            entities.types.join(",")
        ));
    }
    match (given.has("add-config"), given.has("add-config-file"), given.has("delete-config")) {
        (true, true, _) => wrong("Only one of --add-config or --add-config-file must be specified".to_owned()),
        (false, false, false) => wrong(
            "At least one of --add-config, --add-config-file, or --delete-config must be specified with --alter".to_owned(),
        ),
        _ => Ok(()),
    }
}

/// `k1=v1,k2=[v1,v2]`; commas in brackets part nothing.
fn added(given: &Given) -> Result<Properties> {
    let mut added = match given.value("add-config-file")? {
        Some(path) => properties::load(&path)?,
        None => Properties::new(),
    };
    for config in given.value("add-config")?.map(|configs| split(&configs)).unwrap_or_default() {
        let Some((key, value)) =
            config.split_once('=').filter(|(_, value)| value.starts_with('[') || !value.contains('='))
        else {
            return Err(Exception::argument(
                "requirement failed: Invalid entity config: all configs to be added must be in the format \"key=val\".",
            ));
        };
        added.insert(key.trim().to_owned(), value.replace(['[', ']'], "").trim().to_owned());
    }
    let plain =
        |key: &String| key.chars().all(|letter| letter.is_ascii_alphanumeric() || "._-".contains(letter));
    match added.keys().find(|key| !plain(key)) {
        Some(key) => Err(Exception::argument(format!("Invalid character found for config key: {key}"))),
        None => Ok(added),
    }
}

fn split(configs: &str) -> Vec<String> {
    let (mut parts, mut depth) = (vec![String::new()], 0);
    for letter in configs.chars() {
        match letter {
            '[' => depth += 1,
            ']' => depth -= 1,
            _ => {}
        }
        if letter == ',' && depth == 0 {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(letter);
        }
    }
    // As `String.split`: empty parts at the end count for nothing.
    while parts.len() > 1 && parts.last().is_some_and(String::is_empty) {
        parts.pop();
    }
    parts
}

/// The type of resource, and the source of what was set for it.
fn resource(kind: &str, name: &str) -> Result<(i8, Option<i8>)> {
    Ok(match kind {
        "topics" => (TOPIC, Some(1)),
        "brokers" if name.is_empty() => (BROKER, Some(3)),
        "brokers" => (BROKER, Some(2)),
        "broker-loggers" => (BROKER_LOGGER, None),
        "client-metrics" => (CLIENT_METRICS, Some(7)),
        _ => {
            return Err(Exception::kafka(
                "UnsupportedVersionException",
                format!("{kind}: quotas and SCRAM credentials are not built yet"),
            ));
        }
    })
}

fn target(kind: i8, name: &str) -> To {
    match name.parse() {
        Ok(id) if kind == BROKER || kind == BROKER_LOGGER => To::Node(id),
        _ => To::Any,
    }
}

/// The settings of one resource, by name; only what was set for it, unless all are wanted.
fn of(admin: &mut Admin, kind: &str, name: &str, synonyms: bool, all: bool) -> Result<Vec<Entry>> {
    let (number, source) = resource(kind, name)?;
    let mut entries =
        resources(admin, number, &[name.to_owned()], synonyms).map_err(Exception::in_execution)?;
    let mut entries = entries.remove(name).unwrap_or_default();
    entries.retain(|entry| all || source.is_none_or(|source| entry.source == source));
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(entries)
}

/// The settings of topics, by topic.
///
/// # Errors
/// When one of them cannot be described.
pub fn of_topics(admin: &mut Admin, topics: &[String]) -> Result<BTreeMap<String, Vec<Entry>>> {
    match topics.is_empty() {
        true => Ok(BTreeMap::new()),
        false => resources(admin, TOPIC, topics, false),
    }
}

fn resources(
    admin: &mut Admin,
    kind: i8,
    names: &[String],
    synonyms: bool,
) -> Result<BTreeMap<String, Vec<Entry>>> {
    let resource = |name: &String| {
        DescribeConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(text(name))
            .with_configuration_keys(None)
    };
    let request = DescribeConfigsRequest::default()
        .with_resources(names.iter().map(resource).collect())
        .with_include_synonyms(synonyms);
    let to = names.first().map_or(To::Any, |name| target(kind, name));
    let answer = admin.ask(to, "describeConfigs", &request)?;
    let mut found = BTreeMap::new();
    for result in answer.results {
        check(result.error_code, result.error_message.as_deref())?;
        let shown = |value: &Option<kafka_protocol::protocol::StrBytes>| {
            value.as_ref().map_or("null".to_owned(), |value| value.to_string())
        };
        let entries = result.configs.into_iter().map(|config| Entry {
            name: config.name.to_string(),
            value: config.value.as_ref().map(|value| value.to_string()),
            is_default: config.config_source == DEFAULT_CONFIG,
            source: config.config_source,
            sensitive: config.is_sensitive,
            synonyms: config
                .synonyms
                .iter()
                .map(|one| format!("{}:{}={}", source_name(one.source), &*one.name, shown(&one.value)))
                .collect(),
        });
        found.insert(result.resource_name.to_string(), entries.collect());
    }
    Ok(found)
}

fn source_name(source: i8) -> &'static str {
    usize::try_from(source).ok().and_then(|source| SOURCES.get(source)).copied().unwrap_or(SOURCES[0])
}

fn describe(admin: &mut Admin, given: &Given, entities: &Entities) -> Result<()> {
    let kind = entities.types[0].as_str();
    let all = given.has("all");
    let names = match entities.names.first() {
        Some(name) => vec![name.clone()],
        None => everything(admin, kind)?,
    };
    for name in names {
        if name.is_empty() && kind == "brokers" {
            outln!("Default configs for {kind} in the cluster are:");
        } else {
            let which = if all { "All" } else { "Dynamic" };
            outln!("{which} configs for {} {name} are:", &kind[..kind.len() - 1]);
        }
        for entry in of(admin, kind, &name, true, all)? {
            outln!(
                "  {}={} sensitive={} synonyms={{{}}}",
                entry.name,
                entry.value.as_deref().unwrap_or("null"),
                entry.sensitive,
                entry.synonyms.join(", ")
            );
        }
    }
    Ok(())
}

/// Whatever there is of a type.
fn everything(admin: &mut Admin, kind: &str) -> Result<Vec<String>> {
    match kind {
        "topics" => {
            let topics = admin.metadata("listTopics", None).map_err(Exception::in_execution)?.topics;
            let mut names: Vec<String> =
                topics.iter().filter_map(|topic| topic.name.as_ref()).map(|name| name.to_string()).collect();
            names.sort();
            Ok(names)
        }
        "brokers" => {
            let brokers = admin.brokers("describeCluster").map_err(Exception::in_execution)?;
            Ok(brokers.iter().map(|broker| broker.id.to_string()).chain([String::new()]).collect())
        }
        "client-metrics" => {
            let request = ListClientMetricsResourcesRequest::default();
            let answer = admin.ask(To::Any, "listClientMetricsResources", &request);
            let answer = answer.map_err(Exception::in_execution)?;
            check(answer.error_code, None).map_err(Exception::in_execution)?;
            Ok(answer.client_metrics_resources.iter().map(|one| one.name.to_string()).collect())
        }
        kind => resource(kind, "").map(|_| Vec::new()),
    }
}

fn alter(admin: &mut Admin, given: &Given, entities: &Entities) -> Result<()> {
    let (kind, name) = (entities.types[0].as_str(), entities.names[0].as_str());
    let added = added(given)?;
    let deleted: Vec<String> =
        given.values("delete-config").iter().map(|key| key.trim().to_owned()).collect();
    let (number, _) = resource(kind, name)?;
    let old = of(admin, kind, name, kind == "broker-loggers", false)?;
    let is_known = |key: &str| old.iter().any(|entry| entry.name == key);
    let mut unknown: Vec<&str> = deleted.iter().map(String::as_str).filter(|key| !is_known(key)).collect();
    if kind == "broker-loggers" {
        unknown.extend(added.keys().map(String::as_str).filter(|key| !is_known(key)));
    }
    if !unknown.is_empty() {
        let what = if kind == "broker-loggers" { "broker logger(s)" } else { "config(s)" };
        let message = format!("Invalid {what}: {}", unknown.join(","));
        return Err(Exception::kafka("InvalidConfigurationException", message));
    }
    if kind == "brokers" {
        replace(admin, name, old, added, &deleted)?;
    } else {
        change(admin, number, name, added, &deleted).map_err(Exception::in_execution)?;
    }
    match name {
        "" => outln!("Completed updating default config for {kind} in the cluster."),
        name => outln!("Completed updating config for {} {name}.", &kind[..kind.len() - 1]),
    }
    Ok(())
}

fn change(admin: &mut Admin, kind: i8, name: &str, added: Properties, deleted: &[String]) -> Result<()> {
    let op = |key: &str, value: Option<&str>, operation: i8| {
        AlterableConfig::default()
            .with_name(text(key))
            .with_value(value.map(text))
            .with_config_operation(operation)
    };
    let mut configs: Vec<AlterableConfig> =
        added.iter().map(|(key, value)| op(key, Some(value), SET)).collect();
    configs.extend(deleted.iter().map(|key| op(key, Some(""), DELETE)));
    let resource = IncrementalResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configs(configs);
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    let to = if kind == BROKER_LOGGER { target(kind, name) } else { To::Controller };
    admin.retrying(MOVED, |admin| {
        let answer = admin.ask(to, "incrementalAlterConfigs", &request)?;
        answer.responses.iter().try_for_each(|one| check(one.error_code, one.error_message.as_deref()))
    })
}

/// A broker's settings are replaced as a whole, as Kafka's tool does.
fn replace(
    admin: &mut Admin,
    name: &str,
    old: Vec<Entry>,
    added: Properties,
    deleted: &[String],
) -> Result<()> {
    let mut entries: BTreeMap<String, Option<String>> =
        old.into_iter().map(|entry| (entry.name, entry.value)).collect();
    entries.extend(added.into_iter().map(|(key, value)| (key, Some(value))));
    deleted.iter().for_each(|key| {
        entries.remove(key);
    });
    let secret: Vec<&str> =
        entries.iter().filter(|(_, value)| value.is_none()).map(|(key, _)| key.as_str()).collect();
    if !secret.is_empty() {
        return Err(Exception::kafka(
            "InvalidConfigurationException",
            format!(
                "All sensitive broker config entries must be specified for --alter, missing entries: Set({})",
                secret.join(", ")
            ),
        ));
    }
    let config = |(key, value): (&String, &Option<String>)| {
        Replaced::default().with_name(text(key)).with_value(value.as_deref().map(text))
    };
    let resource = AlterConfigsResource::default()
        .with_resource_type(BROKER)
        .with_resource_name(text(name))
        .with_configs(entries.iter().map(config).collect());
    let request = AlterConfigsRequest::default().with_resources(vec![resource]);
    admin
        .retrying(MOVED, |admin| {
            let answer = admin.ask(target(BROKER, name), "alterConfigs", &request)?;
            answer.responses.iter().try_for_each(|one| check(one.error_code, one.error_message.as_deref()))
        })
        .map_err(Exception::in_execution)
}
