//! From settings to the typed [`Config`].
//!
//! Must not know wording of refusals beyond single fields; `validate` has the rules between settings.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jackdaw_groups::{Assignor, ConsumerConfig, MigrationPolicy};
use jackdaw_log::TopicConfigs;
use jackdaw_settings::metadata_version::{self, LATEST, MINIMUM_BOOTSTRAP};
use jackdaw_settings::properties;
use jackdaw_wire::compression::Compression;

use super::groups::GroupRules;
use super::values::{Problem, Values};
use super::{
    CleanerConfig, Config, GroupsConfig, LifecycleConfig, Listener, ListenerLimits, MetadataLogConfig,
    NetworkConfig, ProducersConfig, QuorumConfig, ReplicationConfig, Roles, StorageConfig, TopicsConfig,
    TransactionsConfig, listeners, validate,
};
use jackdaw_settings::keys::{self, split_csv, topics};

impl Config {
    /// Reads `server.properties`. Overrides win over the file.
    ///
    /// # Errors
    /// Everything that is wrong, each with file and line, in the words of Kafka where Kafka refuses it too.
    pub fn from_properties(
        path: &Path,
        overrides: &[(String, String)],
    ) -> Result<(Self, Vec<Problem>), Vec<Problem>> {
        let file = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|e| vec![problem(&file, None, e.to_string())])?;
        Self::parse(&file, &bytes, overrides)
    }

    /// The same from text; `file` is what messages call it.
    ///
    /// # Errors
    /// As [`Config::from_properties`].
    pub fn parse(
        file: &str,
        bytes: &[u8],
        overrides: &[(String, String)],
    ) -> Result<(Self, Vec<Problem>), Vec<Problem>> {
        let entries: Result<Vec<_>, _> = properties::parse(&properties::text_of(bytes)).into_iter().collect();
        let malformed = |m: properties::Malformed| vec![problem(file, Some(m.line), m.why.to_owned())];
        Self::of(Values::new(file, entries.map_err(malformed)?, overrides))
    }

    /// The same from settings that were read before.
    ///
    /// # Errors
    /// As [`Config::from_properties`].
    pub(super) fn from_settings(settings: BTreeMap<String, String>) -> Result<Self, Vec<Problem>> {
        let settings: Vec<(String, String)> = settings.into_iter().collect();
        Self::of(Values::new("", Vec::new(), &settings)).map(|(config, _)| config)
    }

    fn of(mut values: Values) -> Result<(Self, Vec<Problem>), Vec<Problem>> {
        let config = build(&mut values);
        let warnings = std::mem::take(&mut values.warnings);
        match config {
            Some(mut config) if values.errors.is_empty() => {
                config.values = Arc::new(values);
                Ok((config, warnings))
            }
            _ => Err(values.errors),
        }
    }
}

fn problem(file: &str, line: Option<usize>, message: String) -> Problem {
    Problem { file: file.to_owned(), line, key: None, message }
}

/// None where a setting is missing without which nothing else can be told.
fn build(values: &mut Values) -> Option<Config> {
    let roles = roles(values)?;
    let node_id = node_id(values)?;
    let voters = listeners::voters(&values.list("controller.quorum.voters")).unwrap_or_else(|why| {
        values.error("controller.quorum.voters", why);
        Vec::new()
    });
    let Names { protocols, controller_names, listeners, advertised, inter_broker } = names(values)?;
    validate::validate(
        values,
        &validate::Parts {
            roles,
            node_id,
            voters: &voters,
            listeners: &listeners,
            advertised: &advertised,
            controller_names: &controller_names,
            protocols: &protocols,
            inter_broker: inter_broker.as_deref(),
        },
    );
    let log_dirs = log_dirs(values);
    let (topic_defaults, topic_overrides) = topic_defaults(values);
    Some(Config {
        node_id,
        roles,
        voters,
        listeners,
        advertised_listeners: advertised,
        controller_listener_names: controller_names.iter().map(|name| Arc::from(name.as_str())).collect(),
        inter_broker_listener_name: Arc::from(inter_broker.unwrap_or_default()),
        rack: values.get("broker.rack").map(str::to_owned),
        metadata_log_dir: metadata_log_dir(values, &log_dirs),
        log_dirs,
        network: network(values),
        quorum: quorum(values),
        metadata_log: metadata_log(values),
        lifecycle: lifecycle(values),
        replication: replication(values),
        storage: storage(values),
        topics: topics(values),
        groups: groups(values),
        transactions: TransactionsConfig {
            max_timeout_ms: values.number("transaction.max.timeout.ms"),
            id_expiration_ms: values.number("transactional.id.expiration.ms"),
            load_buffer_bytes: values.number("transaction.state.log.load.buffer.size"),
            abort_interval_ms: values.number("transaction.abort.timed.out.transaction.cleanup.interval.ms"),
            expire_interval_ms: values.number("transaction.remove.expired.transaction.cleanup.interval.ms"),
        },
        producers: ProducersConfig {
            id_expiration_ms: values.number("producer.id.expiration.ms"),
            id_expiration_check_interval_ms: values.number("producer.id.expiration.check.interval.ms"),
            verify_transactions: values.is_true("transaction.partition.verification.enable"),
        },
        topic_defaults,
        topic_overrides,
        bootstrap_metadata_version: bootstrap_metadata_version(values),
        values: Arc::default(),
    })
}

fn roles(values: &mut Values) -> Option<Roles> {
    let roles = values.list("process.roles");
    if roles.is_empty() {
        let why = "Missing required configuration `process.roles`: it must name broker, controller or both. \
                   ZooKeeper mode is not provided.";
        if !values.errors.iter().any(|e| e.key.as_deref() == Some("process.roles")) {
            values.error("process.roles", why.to_owned());
        }
        return None;
    }
    let has = |role: &str| roles.iter().filter(|r| *r == role).count();
    let (broker, controller) = (has("broker"), has("controller"));
    values.require(broker < 2 && controller < 2, "process.roles", || {
        format!("Duplicate role names found in `process.roles`: {}", roles.join(", "))
    });
    Some(Roles { broker: broker > 0, controller: controller > 0 })
}

/// `node.id` and `broker.id` are one setting under two names.
fn node_id(values: &mut Values) -> Option<i32> {
    let read = |name: &str| values.explicit(name).and_then(|id| id.parse::<i32>().ok());
    let (node, broker) = (read("node.id"), read("broker.id"));
    if let (Some(a), Some(b)) = (node, broker)
        && a != b
    {
        values.error("broker.id", "You must set `node.id` to the same value as `broker.id`.".to_owned());
    }
    let id = node.or(broker).filter(|id| *id >= 0);
    values.require(id.is_some(), "node.id", || {
        "Missing configuration `node.id` which is required when `process.roles` is defined (i.e. when running in \
         KRaft mode)."
            .to_owned()
    });
    if let Some(id) = id {
        // Both names show it (`KafkaConfig.populateSynonyms`).
        values.populate("node.id", id.to_string());
        values.populate("broker.id", id.to_string());
    }
    id
}

struct Names {
    protocols: listeners::ProtocolMap,
    controller_names: Vec<String>,
    listeners: Vec<Listener>,
    advertised: Vec<Listener>,
    inter_broker: Option<String>,
}

fn names(values: &mut Values) -> Option<Names> {
    // Kafka splits this one without trimming, and so refuses blanks where the names are looked up.
    let controller_names: Vec<String> = values
        .text("controller.listener.names")
        .split(',')
        .filter(|n| !n.is_empty())
        .map(str::to_owned)
        .collect();
    let map = listeners::protocol_map(values.text("listener.security.protocol.map"));
    let mut protocols = or_error(values, "listener.security.protocol.map", map)?;
    if values.explicit("listener.security.protocol.map").is_none() {
        protocols =
            listeners::with_controller_defaults(protocols, &controller_names, values.text("listeners"));
    }
    let bound = listeners::endpoints(values.text("listeners"), &protocols, true);
    let bound = or_error(values, "listeners", bound)?;
    let is_controller = |l: &Listener| controller_names.iter().any(|name| **name == *l.name);
    let advertised = match values.explicit("advertised.listeners").map(str::to_owned) {
        Some(text) => {
            let advertised = listeners::endpoints(&text, &protocols, false);
            or_error(values, "advertised.listeners", advertised)?
        }
        None => bound.iter().filter(|l| !is_controller(l)).cloned().collect(),
    };
    let inter_broker = inter_broker(values, &protocols);
    Some(Names { protocols, controller_names, listeners: bound, advertised, inter_broker })
}

fn or_error<T>(values: &mut Values, key: &str, outcome: Result<T, String>) -> Option<T> {
    outcome.map_err(|why| values.error(key, why)).ok()
}

/// `KafkaConfig.getInterBrokerListenerNameAndSecurityProtocol`
fn inter_broker(values: &mut Values, protocols: &listeners::ProtocolMap) -> Option<String> {
    let by_protocol = values.explicit("security.inter.broker.protocol").is_some();
    let Some(name) = values.explicit("inter.broker.listener.name").map(str::to_uppercase) else {
        return Some(values.text("security.inter.broker.protocol").to_owned());
    };
    values.require(!by_protocol, "inter.broker.listener.name", || {
        "Only one of inter.broker.listener.name and security.inter.broker.protocol should be set.".to_owned()
    });
    if !protocols.contains_key(&name) {
        values.error(
            "inter.broker.listener.name",
            format!(
                "Listener with name {name} defined in inter.broker.listener.name not found in \
                 listener.security.protocol.map."
            ),
        );
        return None;
    }
    Some(name)
}

fn log_dirs(values: &Values) -> Vec<PathBuf> {
    let text = values.get("log.dirs").unwrap_or(values.text("log.dir"));
    split_csv(text).into_iter().map(PathBuf::from).collect()
}

fn metadata_log_dir(values: &Values, log_dirs: &[PathBuf]) -> PathBuf {
    match values.explicit("metadata.log.dir") {
        Some(dir) => PathBuf::from(dir),
        None => log_dirs.first().cloned().unwrap_or_default(),
    }
}

fn network(values: &mut Values) -> NetworkConfig {
    NetworkConfig {
        request_max_bytes: values.number("socket.request.max.bytes"),
        send_buffer_bytes: values.explicit("socket.send.buffer.bytes").and_then(|n| n.parse().ok()),
        receive_buffer_bytes: values.explicit("socket.receive.buffer.bytes").and_then(|n| n.parse().ok()),
        listen_backlog: values.number("socket.listen.backlog.size"),
        max_connections: values.number("max.connections"),
        max_connections_per_ip: values.number("max.connections.per.ip"),
        max_connections_per_ip_overrides: per_ip_overrides(values),
        max_connection_creation_rate: values.number("max.connection.creation.rate"),
        quota_window_num: values.number("quota.window.num"),
        quota_window_size_seconds: values.number("quota.window.size.seconds"),
        listener_limits: listener_limits(values),
        connections_max_idle_ms: values.number("connections.max.idle.ms"),
        queued_max_request_bytes: values.number("queued.max.request.bytes"),
        request_timeout_ms: values.number("request.timeout.ms"),
    }
}

fn listener_limits(values: &Values) -> BTreeMap<String, ListenerLimits> {
    let mut limits: BTreeMap<String, ListenerLimits> = BTreeMap::new();
    for (name, value) in values.originals() {
        let Some((listener, key)) = keys::of_listener(&name) else { continue };
        let limits = limits.entry(listener.to_owned()).or_default();
        // Checked with all the other values.
        let value = value.trim().parse().ok();
        match key.name {
            "max.connections" => limits.max_connections = value,
            _ => limits.max_connection_creation_rate = value,
        }
    }
    limits
}

fn per_ip_overrides(values: &mut Values) -> BTreeMap<String, i32> {
    const KEY: &str = "max.connections.per.ip.overrides";
    let mut overrides = BTreeMap::new();
    for pair in split_csv(values.text(KEY)) {
        match pair.rsplit_once(':').map(|(host, count)| (host.trim(), count.trim().parse())) {
            Some((host, Ok(count))) if !host.is_empty() => {
                overrides.insert(host.to_owned(), count);
            }
            _ => values.error(
                KEY,
                format!("Error parsing configuration property '{KEY}': `{pair}` is not host:count"),
            ),
        }
    }
    overrides
}

fn quorum(values: &Values) -> QuorumConfig {
    QuorumConfig {
        election_timeout_ms: values.number("controller.quorum.election.timeout.ms"),
        fetch_timeout_ms: values.number("controller.quorum.fetch.timeout.ms"),
        election_backoff_max_ms: values.number("controller.quorum.election.backoff.max.ms"),
        request_timeout_ms: values.number("controller.quorum.request.timeout.ms"),
        retry_backoff_ms: values.number("controller.quorum.retry.backoff.ms"),
    }
}

fn metadata_log(values: &mut Values) -> MetadataLogConfig {
    let segment_bytes: i32 = values.number("metadata.log.segment.bytes");
    let segment_min_bytes: i32 = values.number("metadata.log.segment.min.bytes");
    values.require(segment_bytes >= segment_min_bytes, "metadata.log.segment.bytes", || {
        format!("Cannot set metadata.log.segment.bytes below {segment_min_bytes}: {segment_bytes}")
    });
    MetadataLogConfig {
        segment_bytes,
        segment_ms: values.number("metadata.log.segment.ms"),
        max_retention_bytes: values.number("metadata.max.retention.bytes"),
        max_retention_ms: values.number("metadata.max.retention.ms"),
        max_bytes_between_snapshots: values.number("metadata.log.max.record.bytes.between.snapshots"),
        max_snapshot_interval_ms: values.number("metadata.log.max.snapshot.interval.ms"),
        max_idle_interval_ms: values.number("metadata.max.idle.interval.ms"),
    }
}

fn lifecycle(values: &Values) -> LifecycleConfig {
    LifecycleConfig {
        heartbeat_interval_ms: values.number("broker.heartbeat.interval.ms"),
        session_timeout_ms: values.number("broker.session.timeout.ms"),
        initial_registration_timeout_ms: values.number("initial.broker.registration.timeout.ms"),
        controlled_shutdown_enable: values.is_true("controlled.shutdown.enable"),
    }
}

fn replication(values: &Values) -> ReplicationConfig {
    ReplicationConfig {
        lag_time_max_ms: values.number("replica.lag.time.max.ms"),
        socket_timeout_ms: values.number("replica.socket.timeout.ms"),
        fetch_max_bytes: values.number("replica.fetch.max.bytes"),
        fetch_wait_max_ms: values.number("replica.fetch.wait.max.ms"),
        fetch_min_bytes: values.number("replica.fetch.min.bytes"),
        fetch_response_max_bytes: values.number("replica.fetch.response.max.bytes"),
        fetch_backoff_ms: values.number("replica.fetch.backoff.ms"),
        high_watermark_checkpoint_interval_ms: values.number("replica.high.watermark.checkpoint.interval.ms"),
        auto_leader_rebalance_enable: values.is_true("auto.leader.rebalance.enable"),
        leader_imbalance_check_interval_seconds: values.number("leader.imbalance.check.interval.seconds"),
        rack_aware_reads: values.text("replica.selector.class") == validate::RACK_AWARE_SELECTOR,
        max_incremental_fetch_session_cache_slots: values.number("max.incremental.fetch.session.cache.slots"),
        consumer_fetch_max_bytes: values.number("fetch.max.bytes"),
    }
}

fn storage(values: &Values) -> StorageConfig {
    StorageConfig {
        retention_check_interval_ms: values.number("log.retention.check.interval.ms"),
        flush_scheduler_interval_ms: values.number("log.flush.scheduler.interval.ms"),
        flush_offset_checkpoint_interval_ms: values.number("log.flush.offset.checkpoint.interval.ms"),
        flush_start_offset_checkpoint_interval_ms: values
            .number("log.flush.start.offset.checkpoint.interval.ms"),
        cleaner: CleanerConfig {
            enable: values.is_true("log.cleaner.enable"),
            threads: values.number("log.cleaner.threads"),
            dedupe_buffer_bytes: values.number("log.cleaner.dedupe.buffer.size"),
            io_buffer_bytes: values.number("log.cleaner.io.buffer.size"),
            load_factor: values.number("log.cleaner.io.buffer.load.factor"),
            max_bytes_per_second: values.number("log.cleaner.io.max.bytes.per.second"),
            backoff_ms: values.number("log.cleaner.backoff.ms"),
        },
    }
}

fn topics(values: &Values) -> TopicsConfig {
    TopicsConfig {
        num_partitions: values.number("num.partitions"),
        default_replication_factor: values.number("default.replication.factor"),
        auto_create_enable: values.is_true("auto.create.topics.enable"),
        delete_enable: values.is_true("delete.topic.enable"),
        offsets_topic_partitions: values.number("offsets.topic.num.partitions"),
        offsets_topic_replication_factor: values.number("offsets.topic.replication.factor"),
        offsets_topic_segment_bytes: values.number("offsets.topic.segment.bytes"),
        transactions_topic_partitions: values.number("transaction.state.log.num.partitions"),
        transactions_topic_replication_factor: values.number("transaction.state.log.replication.factor"),
        transactions_topic_min_isr: values.number("transaction.state.log.min.isr"),
        transactions_topic_segment_bytes: values.number("transaction.state.log.segment.bytes"),
    }
}

fn groups(values: &mut Values) -> GroupsConfig {
    const CODEC: &str = "offsets.topic.compression.codec";
    let codec: i32 = values.number(CODEC);
    let compression = u8::try_from(codec).ok().and_then(Compression::from_id);
    values.require(compression.is_some(), CODEC, || format!("Unknown compression type id: {codec}"));
    GroupsConfig {
        min_session_timeout_ms: values.number("group.min.session.timeout.ms"),
        max_session_timeout_ms: values.number("group.max.session.timeout.ms"),
        initial_rebalance_delay_ms: values.number("group.initial.rebalance.delay.ms"),
        max_size: values.number("group.max.size"),
        max_metadata_length: values.number("offset.metadata.max.bytes"),
        load_buffer_bytes: values.number("offsets.load.buffer.size"),
        compression: compression.unwrap_or(Compression::None),
        retention_minutes: values.number("offsets.retention.minutes"),
        retention_check_interval_ms: values.number("offsets.retention.check.interval.ms"),
        commit_timeout_ms: values.number("offsets.commit.timeout.ms"),
        commit_required_acks: values.number("offsets.commit.required.acks"),
        consumer: consumer_groups(values),
        rules: GroupRules::of(values),
    }
}

/// Naming the protocol is enough to have it served: 3.7 switches its newer coordinator on by that, too
/// (`KafkaConfig.isNewGroupCoordinatorEnabled`).
fn consumer_groups(values: &mut Values) -> ConsumerConfig {
    const ASSIGNORS: &str = "group.consumer.assignors";
    let mut assignors = Vec::new();
    for word in values.list(ASSIGNORS) {
        match Assignor::parse(&word) {
            Some(assignor) => assignors.push(assignor),
            None => values
                .error(ASSIGNORS, format!("{word} is no assignor that is built in: uniform and range are")),
        }
    }
    let policy = MigrationPolicy::parse(values.text("group.consumer.migration.policy"));
    ConsumerConfig {
        enabled: values.list("group.coordinator.rebalance.protocols").iter().any(|word| word == "consumer"),
        session_timeout_ms: values.number("group.consumer.session.timeout.ms"),
        heartbeat_interval_ms: values.number("group.consumer.heartbeat.interval.ms"),
        max_size: usize::try_from(values.number::<i32>("group.consumer.max.size")).unwrap_or(usize::MAX),
        assignors,
        migration: policy.unwrap_or(MigrationPolicy::Disabled),
        regex_refresh_interval_ms: values.number("group.consumer.regex.refresh.interval.ms"),
    }
}

/// `KafkaConfig.extractLogConfigMap`: what the broker's settings make of the topic-level ones.
fn topic_defaults(values: &mut Values) -> (TopicConfigs, BTreeMap<String, String>) {
    let mut set: Vec<(&'static str, &'static str, String)> = Vec::new();
    // Kafka ignores message.format.version since inter.broker.protocol.version 3.0, below which no KRaft node starts.
    for row in topics::all().filter(|row| row.key.name != "message.format.version") {
        let Some((synonym, text)) = row.synonyms.iter().find_map(|s| Some((s, values.explicit(s.name)?)))
        else {
            continue;
        };
        let no_limit = row.key.name == "retention.ms" && text.parse().is_ok_and(|number: i64| number < 0);
        let text = if no_limit { "-1".to_owned() } else { synonym.to_topic(text) };
        set.push((row.key.name, synonym.name, text));
    }
    let defaults = TopicConfigs::default();
    match defaults.with(set.iter().map(|(name, _, text)| (*name, text.as_str()))) {
        Ok(configs) => (configs, set.into_iter().map(|(name, _, text)| (name.to_owned(), text)).collect()),
        Err(refusal) => {
            let refusal = refusal.to_string();
            let culprit =
                set.iter().find(|(name, ..)| refusal.contains(name)).map_or("log.dirs", |(_, b, _)| b);
            values.error(culprit, refusal);
            (defaults, BTreeMap::new())
        }
    }
}

/// `BootstrapDirectory.readFromConfiguration`
fn bootstrap_metadata_version(values: &Values) -> i16 {
    let level = values.explicit("inter.broker.protocol.version").and_then(metadata_version::level_of);
    level.map_or(LATEST.level, |level| level.max(MINIMUM_BOOTSTRAP))
}
