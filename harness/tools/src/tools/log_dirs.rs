//! `kafka-log-dirs.sh`: what lies in the log directories of brokers (`org.apache.kafka.tools.LogDirsCommand`).

use crate::admin::{ADMIN, Admin, Result, To};
use crate::cli::{Done, check_required, end, help_or_version, message_and_trace, properties_of, terse};
use crate::errors::{Exception, check, exception};
use crate::jopt;
use crate::options::log_dirs::OPTIONS;
use crate::outln;
use kafka_protocol::messages::DescribeLogDirsRequest;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Runs it.
pub fn run(args: &[String]) -> i32 {
    end(OPTIONS, describe(args), message_and_trace)
}

fn describe(args: &[String]) -> Done {
    let given = jopt::parse(OPTIONS, args)?;
    let about = "This tool helps to query log directory usage on the specified brokers.";
    help_or_version(&given, args, about)?;
    check_required(&given, &["bootstrap-server", "describe"])?;
    let mut properties = properties_of(&given, "command-config")?;
    properties.insert("bootstrap.servers".into(), given.value("bootstrap-server")?.unwrap_or_default());
    properties.entry("client.id".into()).or_insert_with(|| "log-dirs-tool".into());
    let mut admin = Admin::create(ADMIN, &properties)?;
    let list = |option: &str| -> Done<Vec<String>> {
        let text = given.value(option)?.unwrap_or_default();
        Ok(text.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect())
    };
    let topics = list("topic-list")?;
    let mut asked: BTreeSet<i32> = BTreeSet::new();
    for id in list("broker-list")? {
        asked.insert(id.parse().map_err(|_| {
            Exception::new("java.lang.NumberFormatException", format!("For input string: \"{id}\""))
        })?);
    }
    let brokers = admin.brokers("describeCluster").map_err(Exception::in_execution)?;
    let there: BTreeSet<i32> = brokers.iter().map(|broker| broker.id).collect();
    let missing: BTreeSet<i32> = asked.difference(&there).copied().collect();
    if !missing.is_empty() {
        return Err(terse(format!(
            "ERROR: The given brokers do not exist from --broker-list: {}. Current existent brokers: {}",
            commas(&missing),
            commas(&there)
        ))
        .into());
    }
    let meant = if asked.is_empty() { there } else { asked };
    outln!("Querying brokers for log directories information");
    let mut found = Vec::new();
    for id in &meant {
        let folders = folders(&mut admin, *id, &topics).map_err(Exception::in_execution)?;
        found.push(json!({ "broker": id, "logDirs": folders }));
    }
    outln!("Received log directory information from brokers {}", commas(&meant));
    outln!("{}", json!({ "version": 1, "brokers": found }));
    Ok(())
}

fn commas(ids: &BTreeSet<i32>) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn folders(admin: &mut Admin, broker: i32, topics: &[String]) -> Result<Vec<Value>> {
    let request = DescribeLogDirsRequest::default().with_topics(None);
    let answer = admin.ask(To::Node(broker), "describeLogDirs", &request)?;
    check(answer.error_code, None)?;
    let folder = |folder: &kafka_protocol::messages::describe_log_dirs_response::DescribeLogDirsResult| {
        let error = (folder.error_code != 0).then(|| exception(folder.error_code, None).class);
        let meant = folder
            .topics
            .iter()
            .filter(|topic| topics.is_empty() || topics.contains(&topic.name.to_string()));
        let mut partitions: Vec<Value> = meant
            .flat_map(|topic| {
                topic.partitions.iter().map(|partition| {
                    json!({
                        "partition": format!("{}-{}", topic.name.to_string(), partition.partition_index),
                        "size": partition.partition_size,
                        "offsetLag": partition.offset_lag,
                        "isFuture": partition.is_future_key,
                    })
                })
            })
            .collect();
        partitions.sort_by_key(|partition| partition["partition"].to_string());
        json!({ "partitions": partitions, "error": error, "logDir": folder.log_dir.to_string() })
    };
    Ok(answer.results.iter().map(folder).collect())
}
