//! Settings of brokers that are made while they run (KIP-226): what may be set (`DynamicBrokerConfig.validate`), and
//! what of it acts.
//!
//! Must not apply anything; the parts that a setting concerns do.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::schema::Dynamic;
use super::{CleanerConfig, Config, NetworkConfig, ProducersConfig, validate};
use jackdaw_settings::keys::{self, Honour, parse, topics};

/// Whose settings are changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Broker,
    AllBrokers,
}

/// What somebody wants to make of the settings of a level.
pub struct Alteration<'a> {
    pub level: Level,
    pub before: &'a Dynamic,
    pub after: &'a Dynamic,
    /// What the other level has, and keeps.
    pub other: &'a Dynamic,
}

/// Whether a broker can run with what an alteration leaves; the error is Kafka's own text.
pub fn check(config: &Config, alteration: &Alteration<'_>) -> Result<(), String> {
    let Alteration { level, before, after: set, other } = *alteration;
    // The kinds of sets are Scala's.
    let refuse_as = |kind: &str, why: &str, names: Vec<&String>| match names.as_slice() {
        [] => Ok(()),
        names => {
            let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
            Err(format!("{why}: {kind}({})", names.join(", ")))
        }
    };
    let refuse = |why: &str, names| refuse_as("Set", why, names);
    let with = |is: &dyn Fn(&str) -> bool| set.keys().filter(|name| is(name)).collect::<Vec<_>>();
    let is_fixed = |name: &str| keys::find(name).is_some_and(|key| !key.dynamic);
    refuse("Cannot update these configs dynamically", with(&is_fixed))?;
    let why = "These security configs can be dynamically updated only per-listener using the listener prefix";
    refuse_as("HashSet", why, with(&|name| name.starts_with("ssl.") && keys::find(name).is_some()))?;
    for (name, value) in set {
        if let Some(key) = keys::find(base_name(name)) {
            parse(key, value.trim())?;
        }
    }
    if level == Level::AllBrokers {
        let why = "Cannot update these configs at default cluster level, broker id must be specified";
        refuse(why, with(&is_of_one_broker))?;
    }
    let with = |set| match level {
        Level::Broker => config.with_dynamic(set, other),
        Level::AllBrokers => config.with_dynamic(other, set),
    };
    // Rules between settings are `require`d by Kafka, and Scala says so.
    let after = with(set).map_err(|why| match why.as_str() {
        // Which Kafka does not look for: it divides by their number.
        validate::NO_CLEANERS => "/ by zero".to_owned(),
        _ => format!("requirement failed: {why}"),
    })?;
    let cleaner = with(before).map_or_else(|_| config.storage.cleaner.clone(), |c| c.storage.cleaner);
    check_cleaner(&cleaner, &after.storage.cleaner).and_then(|()| check_connections(config, &after)).map_err(
        |why| {
            format!("Invalid value {CONFIG_EXCEPTION}: {why} for configuration Invalid dynamic configuration")
        },
    )
}

/// `ListenerConnectionQuota.validateReconfiguration`: a listener that lets nobody in could only be mended by a restart.
fn check_connections(before: &Config, after: &Config) -> Result<(), String> {
    let limits = |config: &Config, listener: &str| {
        let own = config.network.listener_limits.get(listener).copied().unwrap_or_default();
        [
            ("max.connections", own.max_connections.unwrap_or(config.network.max_connections)),
            (
                "max.connection.creation.rate",
                own.max_connection_creation_rate.unwrap_or(config.network.max_connection_creation_rate),
            ),
        ]
    };
    for listener in &after.listeners {
        let name = listener.name.to_ascii_lowercase();
        let wanted = limits(after, &name);
        if wanted == limits(before, &name) {
            continue;
        }
        if let Some((key, value)) = wanted.into_iter().find(|(_, value)| *value <= 0) {
            return Err(format!("Invalid {key} {value}"));
        }
    }
    Ok(())
}

/// Kafka wraps the refusals of its parts as values of a setting of that name.
const CONFIG_EXCEPTION: &str = "org.apache.kafka.common.config.ConfigException";

/// `LogCleaner.validateReconfiguration`: threads come and go by halves and doubles.
fn check_cleaner(now: &CleanerConfig, wanted: &CleanerConfig) -> Result<(), String> {
    let threads = now.threads;
    if !now.enable || now == wanted {
        return Ok(());
    }
    match wanted.threads {
        fewer if fewer < threads / 2 => Err(format!(
            "Log cleaner threads cannot be reduced to less than half the current value {threads}"
        )),
        more if i64::from(more) > i64::from(threads) * 2 => Err(format!(
            "Log cleaner threads cannot be increased to more than double the current value {threads}"
        )),
        _ => Ok(()),
    }
}

/// A listener's own setting goes by the rules of the general one.
fn base_name(name: &str) -> &str {
    match name.strip_prefix("listener.name.").and_then(|rest| rest.split_once('.')) {
        Some((_, base)) => base,
        None => name,
    }
}

/// `DynamicBrokerConfig.PerBrokerConfigs`: what belongs to the listeners of one broker.
fn is_of_one_broker(name: &str) -> bool {
    const OF_ALL: [&str; 3] = ["max.connections", "max.connection.creation.rate", "num.network.threads"];
    const LISTENERS: [&str; 4] =
        ["listeners", "advertised.listeners", "listener.security.protocol.map", "principal.builder.class"];
    let base = base_name(name);
    if base != name {
        return !OF_ALL.contains(&base);
    }
    let is_security = ["ssl.", "sasl."].iter().any(|prefix| name.starts_with(prefix));
    LISTENERS.contains(&name) || (is_security && keys::find(name).is_some_and(|key| key.dynamic))
}

impl Config {
    /// This configuration with settings made while running over the file's (`overrideProps`).
    ///
    /// # Errors
    /// The first refusal, in Kafka's words.
    pub fn with_dynamic(&self, broker: &Dynamic, cluster: &Dynamic) -> Result<Self, String> {
        let mut all = self.values.originals();
        for (name, value) in cluster.iter().chain(broker) {
            // Where one setting has several names, the one that was set last counts, not the strongest.
            for synonym in keys::synonyms(name) {
                all.remove(*synonym);
            }
            all.insert(name.clone(), value.clone());
        }
        let built = Self::from_settings(all);
        built.map_err(|problems| problems.into_iter().next().map(|p| p.message).unwrap_or_default())
    }
}

/// What a broker does with its dynamic settings, made anew whenever they change.
#[derive(Clone, Debug)]
pub struct Current {
    pub topic_defaults: jackdaw_log::TopicConfigs,
    pub network: NetworkConfig,
    pub cleaner: CleanerConfig,
    pub producers: ProducersConfig,
}

impl Current {
    /// As of these settings. Those that contradict the file are left out, one by one, with a line in the log: the
    /// controller took them from a broker with another file.
    pub fn of(config: &Config, broker: &Dynamic, cluster: &Dynamic) -> Self {
        let mut kept = [BTreeMap::new(), BTreeMap::new()];
        for (at, set) in [cluster, broker].into_iter().enumerate() {
            for (name, value) in set {
                kept[at].insert(name.clone(), value.clone());
                if let Err(why) = config.with_dynamic(&kept[1], &kept[0]) {
                    kept[at].remove(name);
                    tracing::error!(
                        target: "kafka.server.DynamicBrokerConfig",
                        "`{name}` was set while running, cannot be, and is left as it was: {why}"
                    );
                }
            }
        }
        let [cluster, broker] = &kept;
        let whole = config.with_dynamic(broker, cluster);
        let whole = whole.as_ref().unwrap_or(config);
        Self {
            topic_defaults: super::schema::with_dynamic(config, broker, cluster),
            network: whole.network.clone(),
            cleaner: whole.storage.cleaner.clone(),
            producers: whole.producers,
        }
    }
}

/// Names that were set and will do nothing, with the reason: for a warning.
pub fn without_effect(set: &Dynamic) -> Vec<(Arc<str>, &'static str)> {
    const STATIC: &str = "it is read at the start only";
    const UNKNOWN: &str = "no part of this broker reads it";
    let why = |name: &str| match keys::find(name).or(keys::of_listener(name).map(|(_, key)| key)) {
        Some(key) => match key.honour {
            Honour::NoEffect(why) => Some(why),
            Honour::Refused => Some("what it asks for is not built"),
            Honour::Acts if acts_while_running(key.name) => None,
            Honour::Acts => Some(STATIC),
        },
        None => Some(UNKNOWN),
    };
    set.keys().filter_map(|name| Some((Arc::from(name.as_str()), why(name)?))).collect()
}

fn acts_while_running(name: &str) -> bool {
    /// Of the network (`SocketServer`), the cleaner (`LogCleaner`) and producers (`ProducerStateManagerConfig`).
    const OF_PARTS: [&str; 12] = [
        "max.connections",
        "max.connection.creation.rate",
        "max.connections.per.ip",
        "max.connections.per.ip.overrides",
        "log.cleaner.threads",
        "log.cleaner.dedupe.buffer.size",
        "log.cleaner.io.buffer.load.factor",
        "log.cleaner.io.buffer.size",
        "log.cleaner.io.max.bytes.per.second",
        "log.cleaner.backoff.ms",
        "producer.id.expiration.ms",
        "transaction.partition.verification.enable",
    ];
    let of_topics = || topics::all().any(|row| row.synonyms.iter().any(|s| s.name == name));
    OF_PARTS.contains(&name) || of_topics()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dynamic(pairs: &[(&str, &str)]) -> Dynamic {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn config() -> Config {
        let text = "process.roles=broker\nnode.id=1\ncontroller.quorum.voters=2@k:1\n\
                    controller.listener.names=C\nlog.retention.ms=5\nmax.connections.per.ip=0\n\
                    max.connections.per.ip.overrides=127.0.0.1:7\nlog.cleaner.threads=4\n";
        Config::parse("s", text.as_bytes(), &[]).unwrap().0
    }

    /// Tools show these texts to whoever typed the setting.
    #[test]
    fn what_cannot_be_set_while_running_is_refused_in_kafkas_words() {
        let none = Dynamic::new();
        let rows = [
            (Level::Broker, ("num.partitions", "2")),
            (Level::Broker, ("log.retention.hours", "2")),
            (Level::Broker, ("ssl.keystore.location", "x")),
            (Level::Broker, ("log.retention.ms", "soon")),
            (Level::AllBrokers, ("advertised.listeners", "PLAINTEXT://x:1")),
            (Level::Broker, ("log.retention.ms", "0")),
            (Level::Broker, ("max.connections.per.ip.overrides", "")),
            (Level::AllBrokers, ("log.retention.ms", "7")),
            (Level::Broker, ("a.key.of.nobody", "7")),
            (Level::Broker, ("log.cleaner.threads", "0")),
            (Level::Broker, ("log.cleaner.threads", "1")),
            (Level::AllBrokers, ("log.cleaner.threads", "9")),
            (Level::AllBrokers, ("log.cleaner.threads", "8")),
            (Level::AllBrokers, ("max.connections", "0")),
            (Level::Broker, ("listener.name.plaintext.max.connections", "0")),
            (Level::Broker, ("listener.name.plaintext.max.connection.creation.rate", "0")),
            (Level::Broker, ("listener.name.plaintext.max.connections", "many")),
            (Level::Broker, ("listener.name.plaintext.max.connections", "5")),
        ];
        let told: String = rows
            .iter()
            .map(|(level, pair)| {
                let (level, after) = (*level, &dynamic(&[*pair]));
                let outcome = check(&config(), &Alteration { level, before: &none, after, other: &none });
                format!("{level:?} {}={}: {}\n", pair.0, pair.1, outcome.err().unwrap_or("may be".into()))
            })
            .collect();
        insta::assert_snapshot!(told, @r"
    Broker num.partitions=2: Cannot update these configs dynamically: Set(num.partitions)
    Broker log.retention.hours=2: Cannot update these configs dynamically: Set(log.retention.hours)
    Broker ssl.keystore.location=x: These security configs can be dynamically updated only per-listener using the listener prefix: HashSet(ssl.keystore.location)
    Broker log.retention.ms=soon: Invalid value soon for configuration log.retention.ms: Not a number of type LONG
    AllBrokers advertised.listeners=PLAINTEXT://x:1: Cannot update these configs at default cluster level, broker id must be specified: Set(advertised.listeners)
    Broker log.retention.ms=0: requirement failed: log.retention.ms must be unlimited (-1) or, greater than or equal to 1
    Broker max.connections.per.ip.overrides=: requirement failed: max.connections.per.ip can be set to zero only if max.connections.per.ip.overrides property is set.
    AllBrokers log.retention.ms=7: may be
    Broker a.key.of.nobody=7: may be
    Broker log.cleaner.threads=0: / by zero
    Broker log.cleaner.threads=1: Invalid value org.apache.kafka.common.config.ConfigException: Log cleaner threads cannot be reduced to less than half the current value 4 for configuration Invalid dynamic configuration
    AllBrokers log.cleaner.threads=9: Invalid value org.apache.kafka.common.config.ConfigException: Log cleaner threads cannot be increased to more than double the current value 4 for configuration Invalid dynamic configuration
    AllBrokers log.cleaner.threads=8: may be
    AllBrokers max.connections=0: Invalid value org.apache.kafka.common.config.ConfigException: Invalid max.connections 0 for configuration Invalid dynamic configuration
    Broker listener.name.plaintext.max.connections=0: Invalid value org.apache.kafka.common.config.ConfigException: Invalid max.connections 0 for configuration Invalid dynamic configuration
    Broker listener.name.plaintext.max.connection.creation.rate=0: Invalid value org.apache.kafka.common.config.ConfigException: Invalid max.connection.creation.rate 0 for configuration Invalid dynamic configuration
    Broker listener.name.plaintext.max.connections=many: Invalid value many for configuration max.connections: Not a number of type INT
    Broker listener.name.plaintext.max.connections=5: may be
    ");
    }

    #[test]
    fn limits_of_connections_act_while_running_and_those_of_a_listener_as_well() {
        let set = dynamic(&[
            ("max.connections", "9"),
            ("max.connection.creation.rate", "8"),
            ("listener.name.plaintext.max.connections", "7"),
            ("listener.name.plaintext.num.network.threads", "6"),
        ]);
        let idle: Vec<_> = without_effect(&set).into_iter().map(|(name, _)| name).collect();
        assert_eq!(idle, [Arc::from("listener.name.plaintext.num.network.threads")]);
        let network = Current::of(&config(), &set, &Dynamic::new()).network;
        let own = network.listener_limits["plaintext"];
        assert_eq!((network.max_connections, network.max_connection_creation_rate), (9, 8));
        assert_eq!((own.max_connections, own.max_connection_creation_rate), (Some(7), None));
    }

    #[test]
    fn the_brokers_own_settings_win_over_those_of_all_and_of_the_file() {
        let (cluster, broker) =
            (dynamic(&[("log.retention.ms", "7")]), dynamic(&[("log.retention.ms", "9")]));
        let none = Dynamic::new();
        for (broker, cluster, expected) in
            [(&none, &none, "5"), (&none, &cluster, "7"), (&broker, &cluster, "9")]
        {
            let current = Current::of(&config(), broker, cluster);
            assert_eq!(
                current.topic_defaults.get("retention.ms").map(|v| v.to_string()).as_deref(),
                Some(expected)
            );
        }
        // One setting that cannot be does not take the others with it.
        let mixed = dynamic(&[("log.retention.ms", "9"), ("max.connections.per.ip.overrides", "")]);
        let current = Current::of(&config(), &mixed, &none);
        assert_eq!(current.network.max_connections_per_ip_overrides.len(), 1);
        assert_eq!(current.topic_defaults.get("retention.ms").map(|v| v.to_string()).as_deref(), Some("9"));
    }
}
