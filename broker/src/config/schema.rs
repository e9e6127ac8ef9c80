//! Settings of topics and brokers as they are told to clients: value, source, and the names a value could have come
//! from (`ConfigHelper`).
//!
//! Must not decide what a setting does.

use std::collections::BTreeMap;

use jackdaw_log::TopicConfigs;

use super::groups::broker_level;
use super::{Config, Values};
use jackdaw_settings::keys::topics::{self, TopicKey};
use jackdaw_settings::keys::{self, Key, Kind, split_list};

/// `DescribeConfigsResponse.ConfigSource`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum Source {
    Topic = 1,
    DynamicBroker = 2,
    DynamicDefaultBroker = 3,
    StaticBroker = 4,
    Default = 5,
    Group = 8,
}

/// `DescribeConfigsResponse.ConfigType`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum Type {
    Unknown = 0,
    Boolean = 1,
    String = 2,
    Int = 3,
    Short = 4,
    Long = 5,
    Double = 6,
    List = 7,
    Class = 8,
    Password = 9,
}

/// One setting as DescribeConfigs tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    pub name: String,
    /// None where there is none, and where it is not to be shown.
    pub value: Option<String>,
    pub source: Source,
    pub read_only: bool,
    pub sensitive: bool,
    pub kind: Type,
    pub doc: Option<&'static str>,
    /// Name, value and source of everything that the value could have come from, the winner first.
    pub synonyms: Vec<(String, Option<String>, Source)>,
}

/// Settings that were made while the cluster runs.
pub type Dynamic = BTreeMap<String, String>;

/// The three layers over the defaults that a broker's settings have.
#[derive(Clone, Copy)]
pub struct Layers<'a> {
    pub values: &'a Values,
    /// Of this broker.
    pub broker: &'a Dynamic,
    /// Of all brokers.
    pub cluster: &'a Dynamic,
}

impl Layers<'_> {
    /// `ConfigHelper.configSynonyms`: everything set under one of the names, layer by layer; none of it counts before
    /// the name itself.
    fn synonyms(&self, name: &str, names: &[&str], sensitive: bool) -> Vec<(String, Option<String>, Source)> {
        let dynamic = |layer: &Dynamic, name: &str| layer.get(name).cloned();
        let fixed = |name: &str| self.values.explicit(name).map(str::to_owned);
        let default = |name: &str| keys::find(name).and_then(|key| key.default).map(str::to_owned);
        let mut all = Vec::new();
        let mut add = |source, read: &dyn Fn(&str) -> Option<String>| {
            for name in names {
                if let Some(value) = read(name) {
                    all.push(((*name).to_owned(), (!sensitive).then_some(value), source));
                }
            }
        };
        add(Source::DynamicBroker, &|name| dynamic(self.broker, name));
        add(Source::DynamicDefaultBroker, &|name| dynamic(self.cluster, name));
        add(Source::StaticBroker, &fixed);
        add(Source::Default, &default);
        all.into_iter().skip_while(|(found, ..)| found != name).collect()
    }

    fn names(name: &str) -> Vec<&str> {
        match keys::synonyms(name) {
            [] => vec![name],
            names => names.to_vec(),
        }
    }
}

/// A topic's settings, all of them.
pub fn describe_topic(config: &Config, layers: Layers<'_>, topic: &Dynamic) -> Vec<Described> {
    let effective = effective(config, layers, topic);
    let describe = |TopicKey { key, synonyms }: &'static TopicKey| {
        let value = effective.get(key.name).map(ToString::to_string);
        let mut synonyms = match synonyms.first() {
            Some(first) => layers.synonyms(first.name, &Layers::names(first.name), false),
            None => Vec::new(),
        };
        if topic.contains_key(key.name) {
            synonyms.insert(0, (key.name.to_owned(), value.clone(), Source::Topic));
        }
        Described {
            name: key.name.to_owned(),
            value,
            source: synonyms.first().map_or(Source::Default, |(.., source)| *source),
            read_only: false,
            sensitive: false,
            kind: type_of(key.kind),
            doc: Some(key.doc),
            synonyms,
        }
    };
    topics::all().map(describe).collect()
}

/// The broker's values with those of the topic over them; what no longer parses is left out, as the controller let it
/// pass once.
fn effective(config: &Config, layers: Layers<'_>, topic: &Dynamic) -> TopicConfigs {
    let defaults = with_dynamic(config, layers.broker, layers.cluster);
    let known = topic.iter().filter(|(name, _)| topics::find(name).is_some());
    defaults.with(known.map(|(name, value)| (name.as_str(), value.as_str()))).unwrap_or(defaults)
}

/// The broker's values of topic-level settings, with what was set while running over those of the file.
pub fn with_dynamic(config: &Config, broker: &Dynamic, cluster: &Dynamic) -> TopicConfigs {
    let mut set: Vec<(&str, String)> = Vec::new();
    for layer in [cluster, broker] {
        for row in topics::all() {
            if let Some(value) = row.synonyms.iter().find_map(|s| Some(s.to_topic(layer.get(s.name)?))) {
                set.push((row.key.name, value));
            }
        }
    }
    let defaults = &config.topic_defaults;
    defaults.with(set.iter().map(|(name, text)| (*name, text.as_str()))).unwrap_or_else(|_| defaults.clone())
}

/// A broker's settings: every key that is not internal, and what the file sets besides.
pub fn describe_broker(layers: Layers<'_>) -> Vec<Described> {
    let known = keys::all().filter(|key| !key.internal).map(|key| broker_key(layers, key, key.name));
    let originals = layers.values.originals();
    let unknown = originals.keys().filter(|name| keys::find(name).is_none_or(|key| key.internal));
    let mut all: Vec<Described> = known.collect();
    all.extend(unknown.map(|name| match keys::find(name) {
        Some(key) => broker_key(layers, key, name),
        None => unknown_key(layers, name),
    }));
    all
}

fn broker_key(layers: Layers<'_>, key: &'static Key, name: &str) -> Described {
    let sensitive = key.kind == Kind::Password;
    let synonyms = layers.synonyms(name, &Layers::names(name), sensitive);
    let set =
        [layers.broker, layers.cluster].into_iter().find_map(|layer| layer.get(name).map(String::as_str));
    let value = set.or_else(|| layers.values.get(name)).map(|value| shown(key, value));
    Described {
        name: name.to_owned(),
        value: value.filter(|_| !sensitive),
        source: synonyms.first().map_or(Source::Default, |(.., source)| *source),
        read_only: !key.dynamic,
        sensitive,
        kind: type_of(key.kind),
        doc: Some(key.doc),
        synonyms,
    }
}

/// A key without a type might be a password for all that is known: it is named, and its value is not.
fn unknown_key(layers: Layers<'_>, name: &str) -> Described {
    let synonyms = layers.synonyms(name, &[name], true);
    Described {
        name: name.to_owned(),
        value: None,
        source: synonyms.first().map_or(Source::Default, |(.., source)| *source),
        read_only: true,
        sensitive: true,
        kind: Type::Unknown,
        doc: None,
        synonyms,
    }
}

/// A group's settings, all of them. What the broker gives a group that has none of its own, Kafka calls a default.
pub fn describe_group(values: &Values, group: &Dynamic) -> Vec<Described> {
    let describe = |key: &'static Key| {
        let (value, source) = match group.get(key.name) {
            Some(value) => (Some(value.as_str()), Source::Group),
            None => (values.get(&broker_level(key.name)), Source::Default),
        };
        let value = value.map(|value| shown(key, value));
        Described {
            name: key.name.to_owned(),
            value: value.clone(),
            source,
            read_only: false,
            sensitive: false,
            kind: type_of(key.kind),
            doc: Some(key.doc),
            synonyms: vec![(key.name.to_owned(), value, source)],
        }
    };
    keys::of_groups().map(describe).collect()
}

/// What was set while running, for all brokers.
pub fn describe_cluster_default(layers: Layers<'_>) -> Vec<Described> {
    let describe = |name: &String| {
        let mut described = match keys::find(name) {
            Some(key) => broker_key(layers, key, name),
            None => unknown_key(layers, name),
        };
        described.synonyms.retain(|(.., source)| *source == Source::DynamicDefaultBroker);
        // Whatever single brokers have set over it.
        described.value = layers.cluster.get(name).filter(|_| !described.sensitive).cloned();
        described.source = described.synonyms.first().map_or(Source::Default, |(.., source)| *source);
        described
    };
    layers.cluster.keys().map(describe).collect()
}

/// `ConfigDef.convertToString` of the parsed value.
fn shown(key: &Key, value: &str) -> String {
    let value = value.trim();
    match key.kind {
        Kind::Bool => value.to_ascii_lowercase(),
        Kind::List => split_list(value).join(","),
        Kind::Int | Kind::Short | Kind::Long => value.strip_prefix('+').unwrap_or(value).to_owned(),
        _ => value.to_owned(),
    }
}

fn type_of(kind: Kind) -> Type {
    match kind {
        Kind::Bool => Type::Boolean,
        Kind::Str => Type::String,
        Kind::Int => Type::Int,
        Kind::Short => Type::Short,
        Kind::Long => Type::Long,
        Kind::Double => Type::Double,
        Kind::List => Type::List,
        Kind::Password => Type::Password,
        Kind::Class => Type::Class,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(settings: &str) -> Config {
        let text = format!(
            "process.roles=broker\nnode.id=1\ncontroller.quorum.voters=2@k:1\ncontroller.listener.names=C\n{settings}"
        );
        Config::parse("s", text.as_bytes(), &[]).unwrap().0
    }

    fn told(described: &[Described], name: &str) -> String {
        let found = described.iter().find(|d| d.name == name).unwrap();
        let synonyms: Vec<_> = found
            .synonyms
            .iter()
            .map(|(n, v, s)| format!("{s:?} {n}={}", v.as_deref().unwrap_or("-")))
            .collect();
        let value = found.value.as_deref().unwrap_or("-");
        format!("{value} {:?} {:?} [{}]", found.kind, found.source, synonyms.join("; "))
    }

    #[test]
    fn topics_show_where_a_value_came_from() {
        let config = config("log.segment.bytes=5000\nlog.retention.hours=1\n");
        let none = Dynamic::new();
        let cluster = Dynamic::from([("min.insync.replicas".to_owned(), "2".to_owned())]);
        let topic = Dynamic::from([("segment.bytes".to_owned(), "7000".to_owned())]);
        let layers = Layers { values: &config.values, broker: &none, cluster: &cluster };
        let described = describe_topic(&config, layers, &topic);
        for (name, expected) in [
            (
                "segment.bytes",
                "7000 Int Topic [Topic segment.bytes=7000; StaticBroker log.segment.bytes=5000; Default log.segment.bytes=1073741824]",
            ),
            (
                "min.insync.replicas",
                "2 Int DynamicDefaultBroker [DynamicDefaultBroker min.insync.replicas=2; Default min.insync.replicas=1]",
            ),
            // The strongest name is log.retention.ms, which nobody set: Kafka calls that a default.
            ("retention.ms", "3600000 Long Default []"),
            ("cleanup.policy", "delete List Default [Default log.cleanup.policy=delete]"),
            ("remote.storage.enable", "false Boolean Default []"),
        ] {
            assert_eq!(told(&described, name), expected, "{name}");
        }
        assert_eq!(described.len(), topics::all().count());
    }

    #[test]
    fn brokers_show_everything_but_secrets() {
        let config =
            config("ssl.keystore.password=secret\nmy.own=secret\nlog.retention.ms=5\nbroker.rack=r\n");
        let broker = Dynamic::from([("log.retention.ms".to_owned(), "9".to_owned())]);
        let none = Dynamic::new();
        let described = describe_broker(Layers { values: &config.values, broker: &broker, cluster: &none });
        for (name, expected) in [
            ("ssl.keystore.password", "- Password StaticBroker [StaticBroker ssl.keystore.password=-]"),
            ("my.own", "- Unknown StaticBroker [StaticBroker my.own=-]"),
            (
                "log.retention.ms",
                "9 Long DynamicBroker [DynamicBroker log.retention.ms=9; StaticBroker log.retention.ms=5; Default log.retention.hours=168]",
            ),
            ("log.retention.hours", "168 Int Default [Default log.retention.hours=168]"),
            ("broker.id", "1 Int StaticBroker [StaticBroker broker.id=1; Default broker.id=-1]"),
            ("advertised.listeners", "- String Default []"),
        ] {
            assert_eq!(told(&described, name), expected, "{name}");
        }
        assert!(!described.iter().any(|d| d.name == "unstable.api.versions.enable"));
    }
}
