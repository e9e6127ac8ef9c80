//! Variables that do not do what their author thinks: misspelt, another image's, or without meaning here.
//! It must not change a plan.

use jackdaw_compose::{Code, Diagnostic, Spanned, nearest};
use jackdaw_settings::keys;

use crate::{Provider, apache, bitnami, confluent};

/// What tunes the Java virtual machine or the image's own scripts.
pub(crate) const MEANINGLESS: [&str; 17] = [
    "JMX_PORT",
    "KAFKA_DEBUG",
    "KAFKA_EXTRA_FLAGS",
    "KAFKA_GC_LOG_OPTS",
    "KAFKA_HEAP_OPT",
    "KAFKA_HEAP_OPTS",
    "KAFKA_JMX_HOSTNAME",
    "KAFKA_JMX_OPTS",
    "KAFKA_JMX_PORT",
    "KAFKA_JVM_OPTS",
    "KAFKA_JVM_PERFORMANCE_OPTS",
    "KAFKA_LOG4J_LOGGERS",
    "KAFKA_LOG4J_OPTS",
    "KAFKA_LOG4J_ROOT_LOGLEVEL",
    "KAFKA_OPTS",
    "KAFKA_TOOLS_LOG4J_LOGLEVEL",
    "JAVA_TOOL_OPTIONS",
];

/// What every bitnami file carries and no KRaft node needs.
const NO_OPS: [&str; 3] = ["ALLOW_PLAINTEXT_LISTENER", "KAFKA_ENABLE_KRAFT", "BITNAMI_DEBUG"];

/// What is to be said about the variables of a node, by their names.
pub(crate) fn check<'a>(
    provider: Provider,
    names: impl IntoIterator<Item = &'a Spanned<String>>,
) -> Vec<Diagnostic> {
    let known = known(provider);
    let found = names.into_iter().filter_map(|spanned| {
        let name = spanned.value.as_str();
        let found = verdict(provider, name, &known)?;
        let diagnostic = match found {
            Verdict::Meaningless => {
                let message = format!("{name} has no meaning here: there is no Java virtual machine");
                Diagnostic::new(Code::MeaninglessVariable, message, &spanned.span).label("no effect")
            }
            Verdict::Foreign(instead) => {
                let message = format!("the {provider} image does not read {name}");
                let help = format!("write {instead}");
                Diagnostic::new(Code::ForeignVariable, message, &spanned.span)
                    .label("another image's")
                    .help(help)
            }
            Verdict::NearMiss(near) => {
                let message = format!("the {provider} image does not know {name}");
                let help = near_miss_help(&near);
                Diagnostic::new(Code::NearMissVariable, message, &spanned.span).label("ignored").help(help)
            }
        };
        Some(diagnostic)
    });
    found.collect()
}

fn near_miss_help(near: &str) -> String {
    if near == "KAFKA_KRAFT_CLUSTER_ID" || near == "CLUSTER_ID" {
        return format!(
            "did you mean {near}? With the original image each node makes up an id of its own and the quorum \
             never forms; here one id is derived from the voters, so the cluster starts all the same"
        );
    }
    format!("did you mean {near}?")
}

enum Verdict {
    Meaningless,
    Foreign(String),
    NearMiss(String),
}

/// Names that the image reads, beside those that stand for a property.
fn known(provider: Provider) -> Vec<String> {
    let owned = |names: &[&str]| -> Vec<String> { names.iter().map(|name| (*name).to_owned()).collect() };
    let mut known = owned(&MEANINGLESS);
    let prefix = match provider {
        Provider::Bitnami => {
            known.extend(owned(&bitnami::OWN));
            known.extend(bitnami::ALIASED.iter().map(|suffix| format!("KAFKA_{suffix}")));
            known.extend(bitnami::RENAMED.iter().map(|(_, old)| (*old).to_owned()));
            "KAFKA_CFG_"
        }
        Provider::Apache => {
            known.extend(owned(&apache::NOT_MAPPED));
            known.extend(owned(&["CLUSTER_ID", "KAFKA_SSL_KEYSTORE_FILENAME", "KAFKA_SSL_KEY_CREDENTIALS"]));
            known.extend(owned(&[
                "KAFKA_SSL_KEYSTORE_CREDENTIALS",
                "KAFKA_SSL_TRUSTSTORE_FILENAME",
                "KAFKA_SSL_TRUSTSTORE_CREDENTIALS",
            ]));
            "KAFKA_"
        }
        Provider::Confluent => {
            known.extend(owned(&confluent::NOT_MAPPED));
            known.extend(owned(&["CLUSTER_ID", "KAFKA_SSL_KEYSTORE_FILENAME", "KAFKA_SSL_KEY_CREDENTIALS"]));
            known.extend(owned(&[
                "KAFKA_SSL_KEYSTORE_CREDENTIALS",
                "KAFKA_SSL_TRUSTSTORE_FILENAME",
                "KAFKA_SSL_TRUSTSTORE_CREDENTIALS",
            ]));
            "KAFKA_"
        }
    };
    let of_setting = |key: &str| format!("{prefix}{}", key.replace('.', "_").to_uppercase());
    known.extend(keys::all().map(|key| of_setting(key.name)));
    known
}

/// Whether Kafka knows a setting, by name or by one of its free prefixes.
fn is_setting(key: &str) -> bool {
    const PREFIXES: [&str; 6] =
        ["listener.name.", "sasl.", "ssl.", "metric", "confluent.", "broker.quota.plugin."];
    keys::find(key).is_some() || PREFIXES.iter().any(|prefix| key.starts_with(prefix))
}

fn verdict(provider: Provider, name: &str, known: &[String]) -> Option<Verdict> {
    if MEANINGLESS.contains(&name) {
        return Some(Verdict::Meaningless);
    }
    if let Some(verdict) = foreign(provider, name) {
        return Some(verdict);
    }
    let ours = name.starts_with("KAFKA_") || name.ends_with("CLUSTER_ID") || name == "CLUSTERID";
    if !ours || NO_OPS.contains(&name) || known.iter().any(|k| k == name) {
        return None;
    }
    let is_property = match provider {
        Provider::Bitnami => {
            name.strip_prefix("KAFKA_CFG_").is_some_and(|s| is_setting(&bitnami::property(s)))
        }
        Provider::Apache => is_setting(&apache::property(name)),
        Provider::Confluent => is_setting(&confluent::property(name)),
    };
    let is_file = name.strip_suffix("_FILE").is_some_and(|base| known.iter().any(|k| k == base));
    if is_property || (is_file && provider == Provider::Bitnami) {
        return None;
    }
    nearest(name, known.iter().map(String::as_str)).map(|near| Verdict::NearMiss(near.to_owned()))
}

fn foreign(provider: Provider, name: &str) -> Option<Verdict> {
    let is_known = |suffix: &str| is_setting(&bitnami::property(suffix));
    match provider {
        Provider::Bitnami => {
            if matches!(name, "CLUSTER_ID" | "KAFKA_CLUSTER_ID") {
                return Some(Verdict::Foreign(String::from("KAFKA_KRAFT_CLUSTER_ID")));
            }
            let suffix = name.strip_prefix("KAFKA_").filter(|s| !s.starts_with("CFG_"))?;
            let read = bitnami::OWN.contains(&name)
                || bitnami::ALIASED.contains(&suffix)
                || bitnami::RENAMED.iter().any(|(_, old)| *old == name);
            (!read && is_known(suffix)).then(|| Verdict::Foreign(format!("KAFKA_CFG_{suffix}")))
        }
        Provider::Apache | Provider::Confluent => match name {
            "KAFKA_KRAFT_CLUSTER_ID" | "KAFKA_CLUSTER_ID" => {
                Some(Verdict::Foreign(String::from("CLUSTER_ID")))
            }
            _ => {
                let suffix = name.strip_prefix("KAFKA_CFG_")?;
                Some(Verdict::Foreign(format!("KAFKA_{suffix}")))
            }
        },
    }
}
