//! The one table of keys, of nodes and of topics: every key of Kafka 3.7's `KafkaConfig` and `LogConfig`, its type,
//! default and bounds, whether Kafka can change it while running, and what this broker makes of it.
//!
//! Must not parse files, compare settings with each other or know what a value does to a node; the broker's `config`
//! does.

mod groups;
mod node;
mod security;
mod service;
mod storage;
pub mod topics;
mod value;

pub use value::{Value, parse};

/// Kafka's `ConfigDef.Type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Bool,
    Str,
    Int,
    Short,
    Long,
    Double,
    /// Items separated by commas.
    List,
    /// Never shown.
    Password,
    /// Name of a Java class.
    Class,
}

/// Bounds that Kafka puts on a single value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Check {
    Any,
    AtLeast(i64),
    Between(f64, f64),
    /// The value, or each item of a list.
    OneOf(&'static [&'static str]),
    NonEmpty,
    /// A version string that `MetadataVersion.fromVersionString` knows.
    MetadataVersion,
    /// `[partition]:[broker]` pairs or `*` (`ThrottledReplicaListValidator`).
    ThrottledReplicas,
}

/// What this broker does with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Honour {
    Acts,
    /// Accepted; a warning names the reason where the value differs from the default.
    NoEffect(&'static str),
    /// Another value than the default is refused, as leaving it out would break a promise that it makes.
    Refused,
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    pub name: &'static str,
    pub kind: Kind,
    /// As one would write it; none where Kafka has null.
    pub default: Option<&'static str>,
    pub check: Check,
    /// In Kafka's `DynamicBrokerConfig.AllDynamicConfigs`.
    pub dynamic: bool,
    /// Not shown by DescribeConfigs.
    pub internal: bool,
    pub honour: Honour,
    pub doc: &'static str,
}

const ZK: &str = "only ZooKeeper mode reads it";
const THREADS: &str = "this broker needs no such sizes";
const CLIENTS: &str = "connections between nodes have limits of their own";
const LOGDIRS: &str = "moving replicas between log directories is not built";
const STARTUP: &str = "a start waits for what it needs without a limit";
const ELR: &str = "Kafka 3.7 does not finish it either";
const EARLY: &str = "there is no authorizer that listeners would wait for";
const LINGER: &str = "what comes together is written together, and nothing waits for more";
const RECOVERY: &str = "logs are opened several at a time, whatever their number";
const FORMAT: &str = "Kafka ignores it since 3.0";
const FETCHERS: &str = "one session per leader carries all partitions";
const PURGATORY: &str = "answered requests leave nothing to be cleared away";
const COORDINATOR: &str = "there is one coordinator, which serves the protocols that are named";
const METRICS: &str = "metrics are not reported";
const QUOTAS: &str = "quotas are not built";
const TLS: &str = "TLS is not served";
const SASL: &str = "SASL is not served";
const TIERED: &str = "tiered storage is not built";
const UNSTABLE: &str = "nothing unreleased is served";

macro_rules! keys {
    ($table:ident $($name:literal: $kind:ident = $default:tt, $check:ident $(($($bound:expr),*))?,
        $update:ident $($internal:ident)?, $honour:ident $(($why:ident))?; $doc:literal)*) => {
        pub(super) static $table: &[Key] = &[$(Key {
            name: $name,
            kind: Kind::$kind,
            default: keys!(@default $default),
            check: keys!(@check $check $(($($bound),*))?),
            dynamic: keys!(@update $update),
            internal: keys!(@internal $($internal)?),
            honour: keys!(@honour $honour $(($why))?),
            doc: $doc,
        }),*];
    };
    (@default none) => { None };
    (@default $value:literal) => { Some($value) };
    (@check any) => { Check::Any };
    (@check at_least($min:expr)) => { Check::AtLeast($min) };
    (@check between($min:expr, $max:expr)) => { Check::Between($min, $max) };
    (@check one_of($($item:expr),*)) => { Check::OneOf(&[$($item),*]) };
    (@check non_empty) => { Check::NonEmpty };
    (@check metadata_version) => { Check::MetadataVersion };
    (@check throttled_replicas) => { Check::ThrottledReplicas };
    (@update fixed) => { false };
    (@update dynamic) => { true };
    (@internal internal) => { true };
    (@internal) => { false };
    (@honour acts) => { Honour::Acts };
    (@honour refused) => { Honour::Refused };
    (@honour no_effect($why:ident)) => { Honour::NoEffect($why) };
}
use keys;

/// Every key, in Kafka's order within its subject.
pub fn all() -> impl Iterator<Item = &'static Key> {
    [node::NODE, storage::STORAGE, service::SERVICE, security::SECURITY].into_iter().flatten()
}

/// What can be set on single groups, in the order in which Kafka checks it.
pub fn of_groups() -> impl Iterator<Item = &'static Key> {
    groups::GROUPS.iter()
}

/// The row of a key.
pub fn find(name: &str) -> Option<&'static Key> {
    all().find(|key| key.name == name)
}

/// The known key that one most likely meant, if any is near.
pub fn nearest(name: &str) -> Option<&'static str> {
    all()
        .map(|key| (distance(name, key.name), key.name))
        .filter(|(distance, known)| *distance <= 2.max(known.len() / 6))
        .min()
        .map(|(_, known)| known)
}

/// Names that stand for the same setting, the winning one first (`DynamicBrokerConfig.brokerConfigSynonyms`).
pub fn synonyms(name: &str) -> &'static [&'static str] {
    match name {
        "log.roll.ms" | "log.roll.hours" => &["log.roll.ms", "log.roll.hours"],
        "log.roll.jitter.ms" | "log.roll.jitter.hours" => &["log.roll.jitter.ms", "log.roll.jitter.hours"],
        "log.flush.interval.ms" => &["log.flush.interval.ms", "log.flush.scheduler.interval.ms"],
        "log.retention.ms" | "log.retention.minutes" | "log.retention.hours" => {
            &["log.retention.ms", "log.retention.minutes", "log.retention.hours"]
        }
        _ => &[],
    }
}

/// Families of keys whose members Kafka hands to plug-ins or to one listener.
pub fn is_family_member(name: &str) -> bool {
    ["listener.name.", "rsm.config.", "rlmm.config.", "config.providers"].iter().any(|p| name.starts_with(p))
}

/// The listener, and the key that it has a value of its own for (`SocketServer.ListenerReconfigurableConfigs`).
pub fn of_listener(name: &str) -> Option<(&str, &'static Key)> {
    const OWN: [&str; 2] = ["max.connections", "max.connection.creation.rate"];
    let (listener, base) = name.strip_prefix("listener.name.")?.split_once('.')?;
    OWN.contains(&base).then(|| find(base)).flatten().map(|key| (listener, key))
}

/// `ConfigDef.Type.LIST`.
pub fn split_list(text: &str) -> Vec<String> {
    let text = text.trim();
    if text.is_empty() { Vec::new() } else { text.split(',').map(|item| item.trim().to_owned()).collect() }
}

/// `CoreUtils.parseCsvList`: as above, without empty items.
pub fn split_csv(text: &str) -> Vec<String> {
    split_list(text).into_iter().filter(|item| !item.is_empty()).collect()
}

/// Edits (insert, delete, replace, swap of neighbours) between two names.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replace = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_every_key_of_3_7_once() {
        // For what is served as 4.1 has it.
        const OF_4_1: [&str; 2] =
            ["group.consumer.migration.policy", "group.consumer.regex.refresh.interval.ms"];
        let mut names: Vec<_> = all().map(|k| k.name).filter(|name| !OF_4_1.contains(name)).collect();
        assert_eq!(names.len(), 295);
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 295);
    }

    #[test]
    fn a_misspelt_key_finds_its_neighbour() {
        for (wrong, right) in [
            ("node.ids", Some("node.id")),
            ("advertised.listener", Some("advertised.listeners")),
            ("controller.quorum.voter", Some("controller.quorum.voters")),
            ("log.retention.hour", Some("log.retention.hours")),
            ("kraft.clter.id", None),
            ("heap.opts", None),
        ] {
            assert_eq!(nearest(wrong), right, "{wrong}");
        }
    }

    #[test]
    fn every_default_of_the_table_parses() {
        for key in all() {
            if let Some(default) = key.default {
                assert_eq!(parse(key, default).err(), None, "{}", key.name);
            }
        }
    }

    #[test]
    fn single_values_are_refused_in_kafkas_words() {
        for (name, value, expected) in [
            (
                "num.partitions",
                "x",
                "Invalid value x for configuration num.partitions: Not a number of type INT",
            ),
            (
                "num.partitions",
                "0",
                "Invalid value 0 for configuration num.partitions: Value must be at least 1",
            ),
            (
                "log.cleaner.min.cleanable.ratio",
                "1.5",
                "Invalid value 1.5 for configuration log.cleaner.min.cleanable.ratio: Value must be no more than 1",
            ),
            (
                "auto.create.topics.enable",
                "yes",
                "Invalid value yes for configuration auto.create.topics.enable: Expected value to be either true or false",
            ),
            (
                "process.roles",
                "broker,boss",
                "Invalid value boss for configuration process.roles: String must be one of: broker, controller",
            ),
        ] {
            let key = find(name).unwrap();
            assert_eq!(parse(key, value).unwrap_err(), expected);
        }
    }
}
