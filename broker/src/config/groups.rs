//! Settings of single groups: what may be set, in Kafka 4.1's words (`GroupConfig.validate`), and what a group's
//! coordinator makes of it.
//!
//! Must not know where they are kept.

use std::collections::BTreeMap;

use jackdaw_groups::OwnSettings;

use super::values::Values;
use jackdaw_settings::keys;
use jackdaw_settings::keys::parse;

const SESSION: &str = "consumer.session.timeout.ms";
const HEARTBEAT: &str = "consumer.heartbeat.interval.ms";

/// The broker-level setting that a group's own stands in for.
pub fn broker_level(name: &str) -> String {
    format!("group.{name}")
}

/// What the broker's settings allow a group to have.
#[derive(Clone, Copy, Debug, Default)]
pub struct GroupRules {
    session: Bounds,
    heartbeat: Bounds,
}

#[derive(Clone, Copy, Debug, Default)]
struct Bounds {
    /// Of groups that have none of their own.
    default_ms: i32,
    min_ms: i32,
    max_ms: i32,
}

/// `group.consumer.min.session.timeout.ms` of `consumer.session.timeout.ms`.
fn bound(which: &str, name: &str) -> String {
    broker_level(&name.replacen("consumer.", &format!("consumer.{which}."), 1))
}

impl GroupRules {
    pub fn of(values: &Values) -> Self {
        let bounds = |name: &str| Bounds {
            default_ms: values.number(&broker_level(name)),
            min_ms: values.number(&bound("min", name)),
            max_ms: values.number(&bound("max", name)),
        };
        Self { session: bounds(SESSION), heartbeat: bounds(HEARTBEAT) }
    }

    /// Checks all that is set on a group.
    ///
    /// # Errors
    /// Kafka's own text about the first setting that will not do.
    pub fn check(&self, set: &BTreeMap<String, String>) -> Result<(), String> {
        let unknown = set.keys().find(|name| keys::of_groups().all(|key| key.name != name.as_str()));
        if let Some(name) = unknown {
            return Err(format!("Unknown group config name: {name}"));
        }
        for key in keys::of_groups() {
            set.get(key.name).map_or(Ok(()), |value| parse(key, value.trim()).map(drop))?;
        }
        let own = own_settings(set);
        let heartbeat_ms = own.heartbeat_interval_ms.unwrap_or(self.heartbeat.default_ms);
        let session_ms = own.session_timeout_ms.unwrap_or(self.session.default_ms);
        for (name, value_ms, bounds) in
            [(HEARTBEAT, heartbeat_ms, self.heartbeat), (SESSION, session_ms, self.session)]
        {
            if value_ms < bounds.min_ms {
                return Err(format!("{name} must be greater than or equal to {}", bound("min", name)));
            }
            if value_ms > bounds.max_ms {
                return Err(format!("{name} must be less than or equal to {}", bound("max", name)));
            }
        }
        if session_ms <= heartbeat_ms {
            return Err(format!("{SESSION} must be greater than {HEARTBEAT}"));
        }
        Ok(())
    }
}

/// What was set on a group; what does not parse is not set, as another controller let it pass.
pub fn own_settings(set: &BTreeMap<String, String>) -> OwnSettings {
    let number = |name: &str| set.get(name)?.trim().parse().ok();
    OwnSettings { session_timeout_ms: number(SESSION), heartbeat_interval_ms: number(HEARTBEAT) }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    #[test]
    fn settings_of_a_group_are_refused_in_kafkas_words() {
        let text = "process.roles=broker\nnode.id=1\ncontroller.quorum.voters=2@k:1\n\
                    controller.listener.names=C\ngroup.consumer.min.session.timeout.ms=8000\n\
                    group.consumer.max.heartbeat.interval.ms=20000\n";
        let rules = GroupRules::of(&Config::parse("s", text.as_bytes(), &[]).unwrap().0.values);
        let told = [
            &[][..],
            &[(SESSION, "60000"), (HEARTBEAT, "9000")],
            &[("share.session.timeout.ms", "50000")],
            &[(SESSION, "soon")],
            &[(HEARTBEAT, "0")],
            &[(SESSION, "7999")],
            &[(SESSION, "60001")],
            &[(HEARTBEAT, "4999")],
            &[(HEARTBEAT, "20001")],
            &[(SESSION, "8000"), (HEARTBEAT, "8000")],
        ]
        .map(|pairs| {
            let set = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            rules.check(&set).err().unwrap_or("may be".into())
        });
        insta::assert_snapshot!(told.join("\n"), @r"
        may be
        may be
        Unknown group config name: share.session.timeout.ms
        Invalid value soon for configuration consumer.session.timeout.ms: Not a number of type INT
        Invalid value 0 for configuration consumer.heartbeat.interval.ms: Value must be at least 1
        consumer.session.timeout.ms must be greater than or equal to group.consumer.min.session.timeout.ms
        consumer.session.timeout.ms must be less than or equal to group.consumer.max.session.timeout.ms
        consumer.heartbeat.interval.ms must be greater than or equal to group.consumer.min.heartbeat.interval.ms
        consumer.heartbeat.interval.ms must be less than or equal to group.consumer.max.heartbeat.interval.ms
        consumer.session.timeout.ms must be greater than consumer.heartbeat.interval.ms
        ");
    }

    /// The rows' defaults are shown nowhere else and must be those of the broker's settings.
    #[test]
    fn defaults_are_the_brokers() {
        for key in keys::of_groups() {
            let of_broker = keys::find(&broker_level(key.name)).unwrap();
            assert_eq!((key.default, key.check), (of_broker.default, of_broker.check), "{}", key.name);
        }
    }
}
