//! What a configuration of a container has to be where a process stands for the container: its listeners at the
//! service's own address, and its data where the container's folders are. Elsewhere nothing changes.

use jackdaw_beside::{ADDRESS, inside};
use jackdaw_conventions::Listener;
use jackdaw_settings::properties;
use std::collections::BTreeMap;
use std::path::Path;

/// Where Kafka keeps its data unless it is told.
const DATA: &str = "/tmp/kafka-logs";

/// The settings of that configuration that have to be others here; `given` win over its own.
///
/// # Errors
/// When it cannot be read.
pub fn moved(file: &Path, given: &[(String, String)]) -> std::io::Result<Vec<(String, String)>> {
    let Ok(address) = std::env::var(ADDRESS) else { return Ok(Vec::new()) };
    let text = properties::text_of(&std::fs::read(file)?);
    let entries = properties::parse(&text).into_iter().flatten().map(|entry| (entry.key, entry.value));
    Ok(at(&address, &entries.chain(given.iter().cloned()).collect()))
}

fn at(address: &str, settings: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let get = |key: &str| settings.get(key).map(|value| value.trim()).filter(|value| !value.is_empty());
    let list =
        |text: &str| text.split(',').map(|entry| Listener::parse(entry.trim())).collect::<Option<Vec<_>>>();
    let text = |all: &[Listener]| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let mut out = Vec::new();
    // What is no list of listeners is the broker's to refuse.
    if let Some(own) = list(get("listeners").unwrap_or("PLAINTEXT://:9092")) {
        let placed = |listener: &Listener| Listener { host: address.to_owned(), ..listener.clone() };
        out.push(("listeners".to_owned(), text(&own.iter().map(placed).collect::<Vec<_>>())));
        let is_broker = get("process.roles").is_some_and(|roles| roles.contains("broker"));
        if get("advertised.listeners").is_none() && is_broker {
            let controllers = get("controller.listener.names").unwrap_or_default().to_uppercase();
            let name = std::env::var("HOSTNAME").unwrap_or_else(|_| address.to_owned());
            let shown =
                own.into_iter().filter(|listener| !controllers.split(',').any(|c| c.trim() == listener.name));
            let named = |listener: Listener| match listener.host.is_empty() {
                true => Listener { host: name.clone(), ..listener },
                false => listener,
            };
            out.push(("advertised.listeners".to_owned(), text(&shown.map(named).collect::<Vec<_>>())));
        }
    }
    let folders = |text: &str| {
        let all = text.split(',').map(|path| inside(path.trim()).display().to_string());
        all.collect::<Vec<_>>().join(",")
    };
    for key in ["log.dirs", "log.dir", "metadata.log.dir"] {
        out.extend(get(key).map(|text| (key.to_owned(), folders(text))));
    }
    if get("log.dirs").is_none() && get("log.dir").is_none() {
        out.push(("log.dirs".to_owned(), folders(DATA)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_the_service_s_and_what_is_advertised_stays() {
        let settings = |text: &str| {
            properties::parse(text).into_iter().flatten().map(|entry| (entry.key, entry.value)).collect()
        };
        let node =
            "process.roles=broker,controller\ncontroller.listener.names=C\nlisteners=A://:9092,C://b:9093\n";
        let found: BTreeMap<String, String> =
            at("127.0.7.1", &settings(&format!("{node}log.dirs=/a,/b\nadvertised.listeners=A://x:1")))
                .into_iter()
                .collect();
        assert_eq!(found["listeners"], "A://127.0.7.1:9092,C://127.0.7.1:9093");
        assert_eq!(found["log.dirs"], "/a,/b", "there is no folder that stands for a root");
        assert!(!found.contains_key("advertised.listeners"), "{found:?}");
        let found: BTreeMap<String, String> = at("127.0.7.1", &settings(node)).into_iter().collect();
        assert!(
            found["advertised.listeners"].starts_with("A://") && !found["advertised.listeners"].contains('C')
        );
        assert_eq!(found["log.dirs"], DATA);
    }
}
