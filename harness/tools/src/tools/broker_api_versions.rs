//! `kafka-broker-api-versions.sh`: which versions of which requests each broker knows
//! (`kafka.admin.BrokerApiVersionsCommand`).

use crate::admin::{Admin, Kind, brokers};
use crate::cli::{Done, check_required, end, help_or_version, properties_of, uncaught};
use crate::errors::Exception;
use crate::options::broker_api_versions::OPTIONS;
use crate::{jopt, outln, print};
use jackdaw_wire::api::{APIS, Api};
use kafka_protocol::messages::MetadataRequest;
use kafka_protocol::messages::api_versions_response::{ApiVersion, ApiVersionsResponse};
use std::collections::BTreeMap;

/// This tool has a client of its own, which tries each bootstrap server once.
const CLIENT: Kind = Kind { class: "", log: "LegacyAdminClient", id: "admin-1" };
/// APIs of controllers alone; no client asks for them.
const NOT_FOR_CLIENTS: [i16; 8] = [52, 53, 54, 59, 62, 63, 70, 73];

/// Runs it.
pub fn run(args: &[String]) -> i32 {
    end(OPTIONS, show(args), uncaught)
}

fn show(args: &[String]) -> Done {
    let given = jopt::parse(OPTIONS, args)?;
    help_or_version(&given, args, "This tool helps to retrieve broker version information.")?;
    check_required(&given, &["bootstrap-server"])?;
    let mut properties = properties_of(&given, "command-config")?;
    properties.insert("bootstrap.servers".into(), given.value("bootstrap-server")?.unwrap_or_default());
    let mut admin = Admin::create(CLIENT, &properties)?;
    let brokers = loop {
        let request = MetadataRequest::default().with_topics(None);
        let servers = admin.bootstrap_nodes();
        let answer = (0..servers.len()).find_map(|index| admin.ask_bootstrap(index, &request).ok());
        let nobody = || {
            let message = format!("Request METADATA failed on brokers List({})", servers.join(", "));
            Exception::new("java.lang.RuntimeException", message)
        };
        let found = admin.learned(&answer.ok_or_else(nobody)?, brokers);
        if !found.is_empty() {
            break found;
        }
        admin.pause();
    };
    for broker in brokers {
        match admin.versions(broker.id) {
            Ok(versions) => print::out(format_args!("{} -> {}\n", broker.shown(), table(versions))),
            Err(error) => outln!("{} -> ERROR: {error}", broker.shown()),
        }
    }
    Ok(())
}

/// `NodeApiVersions.toString`
fn table(versions: &ApiVersionsResponse) -> String {
    let mut lines: BTreeMap<i16, String> = APIS
        .iter()
        .filter(|api| !NOT_FOR_CLIENTS.contains(&(api.key as i16)))
        .map(|api| (api.key as i16, format!("{}({}): UNSUPPORTED", api.name, api.key as i16)))
        .collect();
    lines.extend(versions.api_keys.iter().map(|range| (range.api_key, line(range))));
    let lines: Vec<String> = lines.into_values().collect();
    format!("(\n\t{}\n)", lines.join(",\n\t"))
}

fn line(range: &ApiVersion) -> String {
    let known: Option<&Api> = APIS.iter().find(|api| api.key as i16 == range.api_key);
    let name = known.map_or("UNKNOWN", |api| api.name);
    let versions = match (range.min_version, range.max_version) {
        (min, max) if min == max => min.to_string(),
        (min, max) => format!("{min} to {max}"),
    };
    let usable = match known {
        None => String::new(),
        Some(api) if api.max_version < range.min_version => " [unusable: node too new]".to_owned(),
        Some(api) if range.max_version < api.min_version => " [unusable: node too old]".to_owned(),
        Some(api) => format!(" [usable: {}]", api.max_version.min(range.max_version)),
    };
    format!("{name}({}): {versions}{usable}", range.api_key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_that_of_kafkas_tool() {
        let range = |key, min, max| {
            ApiVersion::default().with_api_key(key).with_min_version(min).with_max_version(max)
        };
        let versions = ApiVersionsResponse::default().with_api_keys(vec![
            range(0, 3, 11),
            range(1, 20, 21),
            range(55, 0, 0),
            range(999, 0, 1),
        ]);
        let shown = table(&versions);
        let told: Vec<&str> = shown.lines().filter(|line| !line.contains("UNSUPPORTED")).collect();
        assert_eq!(
            told,
            [
                "(",
                "\tProduce(0): 3 to 11 [usable: 10],",
                "\tFetch(1): 20 to 21 [unusable: node too new],",
                "\tDescribeQuorum(55): 0 [usable: 0],",
                "\tUNKNOWN(999): 0 to 1",
                ")",
            ]
        );
        assert!(shown.contains("\tLeaderAndIsr(4): UNSUPPORTED,") && !shown.contains("Vote("));
    }
}
