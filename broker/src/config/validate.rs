//! What settings must be to each other: `KafkaConfig.validateValues` for KRaft, in its order and its words.
//!
//! Must not repair anything. Each refusal is an error of its own, so that all are told at once.

use super::listeners::{self, ProtocolMap};
use super::values::Values;
use super::{Listener, Roles, Voter};
use jackdaw_settings::keys::split_csv;

/// What the checks read besides the settings themselves.
pub struct Parts<'a> {
    pub roles: Roles,
    pub node_id: i32,
    pub voters: &'a [Voter],
    pub listeners: &'a [Listener],
    pub advertised: &'a [Listener],
    pub controller_names: &'a [String],
    pub protocols: &'a ProtocolMap,
    pub inter_broker: Option<&'a str>,
}

/// What no cleaner thread at all is refused with.
pub const NO_CLEANERS: &str = "log.cleaner.threads must be at least 1";

pub fn validate(values: &mut Values, parts: &Parts<'_>) {
    storage(values);
    replication(values);
    roles(values, parts);
    if parts.roles.broker {
        broker_listeners(values, parts);
    }
    let any_address = parts.advertised.iter().any(|l| listeners::is_any_address(&l.host));
    values.require(!any_address, "advertised.listeners", || {
        "advertised.listeners cannot use the nonroutable meta-address 0.0.0.0. Use a routable IP address."
            .to_owned()
    });
    network(values);
    groups(values);
    served(values, parts);
}

fn storage(values: &mut Values) {
    let roll_ms: i64 = values.number("log.roll.ms");
    let roll_set = values.explicit("log.roll.ms").is_some();
    values.require(!roll_set || roll_ms >= 1, "log.roll.ms", || {
        "log.roll.ms must be greater than or equal to 1".to_owned()
    });
    let jitter_ms: i64 = values.number("log.roll.jitter.ms");
    values.require(jitter_ms >= 0, "log.roll.jitter.ms", || {
        "log.roll.jitter.ms must be greater than or equal to 0".to_owned()
    });
    for name in ["log.retention.ms", "log.retention.minutes", "log.retention.hours"] {
        if let Some(text) = values.get(name) {
            let zero = text == "0";
            values.require(!zero, name, || {
                "log.retention.ms must be unlimited (-1) or, greater than or equal to 1".to_owned()
            });
            break;
        }
    }
    let dirs = split_csv(values.get("log.dirs").unwrap_or(values.text("log.dir")));
    values.require(!dirs.is_empty(), "log.dirs", || {
        "At least one log directory must be defined via log.dirs or log.dir.".to_owned()
    });
    let cleaners: i64 = values.number("log.cleaner.threads");
    let buffer: i64 = values.number("log.cleaner.dedupe.buffer.size");
    values.require(cleaners > 0, "log.cleaner.threads", || NO_CLEANERS.to_owned());
    values.require(
        cleaners == 0 || buffer / cleaners > 1024 * 1024,
        "log.cleaner.dedupe.buffer.size",
        || "log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread.".to_owned(),
    );
}

fn replication(values: &mut Values) {
    let wait_ms: i64 = values.number("replica.fetch.wait.max.ms");
    let timeout_ms: i64 = values.number("replica.socket.timeout.ms");
    values.require(wait_ms <= timeout_ms, "replica.socket.timeout.ms", || {
        "replica.socket.timeout.ms should always be at least replica.fetch.wait.max.ms to prevent unnecessary socket \
         timeouts"
            .to_owned()
    });
    let lag_ms: i64 = values.number("replica.lag.time.max.ms");
    values.require(wait_ms <= lag_ms, "replica.fetch.wait.max.ms", || {
        "replica.fetch.wait.max.ms should always be less than or equal to replica.lag.time.max.ms to prevent frequent \
         changes in ISR"
            .to_owned()
    });
    let acks: i16 = values.number("offsets.commit.required.acks");
    let factor: i16 = values.number("offsets.topic.replication.factor");
    values.require((-1..=factor).contains(&acks), "offsets.commit.required.acks", || {
        "offsets.commit.required.acks must be greater or equal -1 and less or equal to offsets.topic.replication.factor"
            .to_owned()
    });
}

fn voter_set(voters: &[Voter]) -> String {
    let ids: Vec<String> = voters.iter().map(|v| v.id.to_string()).collect();
    format!("Set({})", ids.join(", "))
}

fn roles(values: &mut Values, parts: &Parts<'_>) {
    values.require(!parts.voters.is_empty(), "controller.quorum.voters", || {
        "If using process.roles, controller.quorum.voters must contain a parseable set of voters.".to_owned()
    });
    values.require(
        values.explicit("control.plane.listener.name").is_none(),
        "control.plane.listener.name",
        || "control.plane.listener.name is not supported in KRaft mode.".to_owned(),
    );
    match parts.roles {
        Roles { broker: true, controller: false } => broker_only(values, parts),
        Roles { broker: false, controller: true } => controller_only(values, parts),
        _ => {
            controllers_not_advertised(values, parts);
            controller(values, parts);
        }
    }
}

fn controllers_not_advertised(values: &mut Values, parts: &Parts<'_>) {
    let shown = parts.advertised.iter().any(|l| parts.controller_names.iter().any(|c| **c == *l.name));
    values.require(!shown, "advertised.listeners", || {
        "The advertised.listeners config must not contain KRaft controller listeners from controller.listener.names \
         when process.roles contains the broker role because Kafka clients that send requests via advertised listeners \
         do not send requests to KRaft controllers -- they only send requests to KRaft brokers."
            .to_owned()
    });
}

fn broker_only(values: &mut Values, parts: &Parts<'_>) {
    controllers_not_advertised(values, parts);
    let is_voter = parts.voters.iter().any(|v| v.id == parts.node_id);
    values.require(!is_voter, "controller.quorum.voters", || {
        format!(
            "If process.roles contains just the 'broker' role, the node id {} must not be included in the set of \
             voters controller.quorum.voters={}",
            parts.node_id,
            voter_set(parts.voters)
        )
    });
    values.require(!parts.controller_names.is_empty(), "controller.listener.names", || {
        "controller.listener.names must contain at least one value when running KRaft with just the broker role"
            .to_owned()
    });
    let listens = parts.listeners.iter().any(|l| parts.controller_names.iter().any(|c| **c == *l.name));
    values.require(!listens, "controller.listener.names", || {
        "controller.listener.names must not contain a value appearing in the 'listeners' configuration when running \
         KRaft with just the broker role"
            .to_owned()
    });
    for name in parts.controller_names {
        let name = name.to_uppercase();
        values.require(parts.protocols.contains_key(&name), "controller.listener.names", || {
            format!(
                "Controller listener with name {name} defined in controller.listener.names not found in \
                 listener.security.protocol.map  (an explicit security mapping for each controller listener is required \
                 if listener.security.protocol.map is non-empty, or if there are security protocols other than \
                 PLAINTEXT in use)"
            )
        });
    }
    if parts.controller_names.len() > 1 {
        values.warn(
            "controller.listener.names",
            format!(
                "controller.listener.names has multiple entries; only the first will be used since \
                 process.roles=broker: [{}]",
                parts.controller_names.join(", ")
            ),
        );
    }
}

fn controller_only(values: &mut Values, parts: &Parts<'_>) {
    values.require(values.explicit("advertised.listeners").is_none(), "advertised.listeners", || {
        "The advertised.listeners config must be empty when process.roles=controller".to_owned()
    });
    let others = parts.listeners.iter().any(|l| !parts.controller_names.iter().any(|c| **c == *l.name));
    values.require(!others, "listeners", || {
        "The listeners config must only contain KRaft controller listeners from controller.listener.names when \
         process.roles=controller"
            .to_owned()
    });
    controller(values, parts);
}

fn controller(values: &mut Values, parts: &Parts<'_>) {
    let is_voter = parts.voters.iter().any(|v| v.id == parts.node_id);
    values.require(is_voter, "controller.quorum.voters", || {
        format!(
            "If process.roles contains the 'controller' role, the node id {} must be included in the set of voters \
             controller.quorum.voters={}",
            parts.node_id,
            voter_set(parts.voters)
        )
    });
    let listens = |name: &String| parts.listeners.iter().any(|l| *l.name == **name);
    if !parts.controller_names.iter().any(listens) {
        values.error(
            "controller.listener.names",
            "controller.listener.names must contain at least one value appearing in the 'listeners' configuration when \
             running the KRaft controller role"
                .to_owned(),
        );
    } else if !parts.controller_names.iter().all(listens) {
        values.error(
            "controller.listener.names",
            "controller.listener.names must only contain values appearing in the 'listeners' configuration when running \
             the KRaft controller role"
                .to_owned(),
        );
    }
}

fn names(listeners: &[Listener]) -> String {
    listeners.iter().map(|l| &*l.name).collect::<Vec<_>>().join(",")
}

fn broker_listeners(values: &mut Values, parts: &Parts<'_>) {
    if parts.advertised.is_empty() {
        values.error(
            "advertised.listeners",
            "There must be at least one advertised listener. Perhaps all listeners appear in controller.listener.names?"
                .to_owned(),
        );
        return;
    }
    if let Some(inter_broker) = parts.inter_broker {
        let known = parts.advertised.iter().any(|l| &*l.name == inter_broker);
        values.require(known, "inter.broker.listener.name", || {
            format!(
                "inter.broker.listener.name must be a listener name defined in advertised.listeners. The valid options \
                 based on currently configured listeners are {}",
                names(parts.advertised)
            )
        });
    }
    let bound = parts.advertised.iter().all(|a| parts.listeners.iter().any(|l| l.name == a.name));
    values.require(bound, "advertised.listeners", || {
        format!(
            "advertised.listeners listener names must be equal to or a subset of the ones defined in listeners. Found \
             {}. The valid options based on the current configuration are {}",
            names(parts.advertised),
            names(parts.listeners)
        )
    });
}

fn network(values: &mut Values) {
    let queued: i64 = values.number("queued.max.request.bytes");
    let largest: i64 = values.number("socket.request.max.bytes");
    values.require(queued <= 0 || queued >= largest, "queued.max.request.bytes", || {
        "queued.max.request.bytes must be larger or equal to socket.request.max.bytes".to_owned()
    });
    let per_ip: i32 = values.number("max.connections.per.ip");
    let no_overrides = values.text("max.connections.per.ip.overrides").is_empty();
    values.require(per_ip != 0 || !no_overrides, "max.connections.per.ip", || {
        "max.connections.per.ip can be set to zero only if max.connections.per.ip.overrides property is set.".to_owned()
    });
    let idle_ms: i64 = values.number("connections.max.idle.ms");
    let delay_ms: i64 = values.number("connection.failed.authentication.delay.ms");
    values.require(idle_ms < 0 || delay_ms < idle_ms, "connections.max.idle.ms", || {
        format!(
            "connection.failed.authentication.delay.ms={delay_ms} should always be less than \
             connections.max.idle.ms={idle_ms} to prevent failed authentication responses from timing out"
        )
    });
}

fn groups(values: &mut Values) {
    for subject in ["heartbeat.interval", "session.timeout"] {
        let name = |bound: &str| format!("group.consumer.{bound}{subject}.ms");
        let (max, min, own) = (name("max."), name("min."), name(""));
        for (left, relation, right) in
            [(&max, "greater", &min), (&own, "greater", &min), (&own, "less", &max)]
        {
            let (a, b): (i64, i64) = (values.number(left), values.number(right));
            let holds = if relation == "less" { a <= b } else { a >= b };
            values.require(holds, left, || format!("{left} must be {relation} than or equals to {right}"));
        }
    }
}

/// What this broker, unlike Kafka, does not serve, and what Kafka accepts although nothing would come of it.
fn served(values: &mut Values, parts: &Parts<'_>) {
    for listener in parts.listeners {
        values.require(&*listener.security_protocol == "PLAINTEXT", "listeners", || {
            format!(
                "listener {} uses {}, which is not built; only PLAINTEXT is served",
                listener.name, listener.security_protocol
            )
        });
    }
    let selector = values.text("replica.selector.class").to_owned();
    let known = ["", RACK_AWARE_SELECTOR, LEADER_SELECTOR].contains(&selector.as_str());
    values.require(known, "replica.selector.class", || {
        format!("Invalid value {selector} for configuration replica.selector.class: Class {selector} could not be found.")
    });
}

/// Kafka's own selectors (KIP-392).
pub const RACK_AWARE_SELECTOR: &str = "org.apache.kafka.common.replica.RackAwareReplicaSelector";
const LEADER_SELECTOR: &str = "org.apache.kafka.common.replica.LeaderSelector";
