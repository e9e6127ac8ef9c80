//! `kafka-delete-records.sh`: deletes records below an offset (`org.apache.kafka.tools.DeleteRecordsCommand`).

use super::partitions_in;
use crate::admin::{ADMIN, Admin, MOVED, Result, To, topic_name};
use crate::cli::{Done, check_required, end, help_or_version, properties_of, uncaught};
use crate::clients::consumer::{Place, leader_of};
use crate::errors::{Exception, check, error};
use crate::jopt;
use crate::options::delete_records::OPTIONS;
use crate::{outln, print};
use jackdaw_wire::ErrorCode;
use kafka_protocol::messages::DeleteRecordsRequest;
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const OPERATION: &str = "org.apache.kafka.server.common.AdminOperationException";
const TIMEOUT_MS: i32 = 30_000;

/// Runs it.
pub fn run(args: &[String]) -> i32 {
    end(OPTIONS, delete(args), uncaught)
}

fn delete(args: &[String]) -> Done {
    let given = jopt::parse(OPTIONS, args)?;
    let about = "This tool helps to delete records of the given partitions down to the specified offset.";
    help_or_version(&given, args, about)?;
    check_required(&given, &["bootstrap-server", "offset-json-file"])?;
    let mut properties = properties_of(&given, "command-config")?;
    properties.insert("bootstrap.servers".into(), given.value("bootstrap-server")?.unwrap_or_default());
    let mut admin = Admin::create(ADMIN, &properties)?;
    let path = given.value("offset-json-file")?.unwrap_or_default();
    let text = std::fs::read_to_string(&path).map_err(|_| {
        let cause = Exception::new("java.nio.file.NoSuchFileException", &*path);
        Exception::new("java.io.IOException", format!("Unable to read file {path}")).because(cause)
    })?;
    let offsets = offsets(&text)?;
    outln!("Executing records delete operation");
    let mut told: Vec<(Place, Result<i64>)> = Vec::new();
    for (place, offset) in offsets {
        let done = delete_one(&mut admin, &place, offset);
        if let Err(why) = &done {
            let said = format!(
                "[AdminClient clientId={}] DeleteRecords request for topic partition {}-{} failed due to an unexpected \
                 error {}",
                ADMIN.id,
                place.0,
                place.1,
                error(why.code).name()
            );
            print::log("ERROR", "org.apache.kafka.clients.admin.internals.DeleteRecordsHandler", &said);
        }
        told.push((place, done));
    }
    outln!("Records delete operation completed:");
    for ((topic, partition), outcome) in told {
        match outcome.map_err(Exception::in_execution) {
            Ok(low) => outln!("partition: {topic}-{partition}\tlow_watermark: {low}"),
            Err(error) => outln!("partition: {topic}-{partition}\terror: {}", error.message),
        }
    }
    Ok(())
}

fn offsets(text: &str) -> Result<BTreeMap<Place, i64>> {
    let wrong = |message: &str| Exception::new(OPERATION, message);
    let json: Value =
        serde_json::from_str(text).map_err(|_| wrong("The input string is not a valid JSON"))?;
    match json.get("version").map(Value::as_i64) {
        None | Some(Some(1)) => {}
        Some(version) => {
            return Err(wrong(&format!("Not supported version field value {}", version.unwrap_or_default())));
        }
    }
    let partitions = json.get("partitions").ok_or_else(|| wrong("Missing partitions field"))?;
    let (mut offsets, mut twice) = (BTreeMap::new(), BTreeSet::new());
    for (place, entry) in partitions_in(partitions)? {
        let offset = entry.get("offset").and_then(Value::as_i64);
        let offset =
            offset.ok_or_else(|| super::json_mapping(&format!("No such field exists: `{}`", "offset")))?;
        if offsets.insert(place.clone(), offset).is_some() {
            twice.insert(format!("{}-{}", place.0, place.1));
        }
    }
    if twice.is_empty() {
        return Ok(offsets);
    }
    let twice: Vec<String> = twice.into_iter().collect();
    Err(Exception::new(
        "org.apache.kafka.server.common.AdminCommandFailedException",
        format!("Offset json file contains duplicate topic partitions: {}", twice.join(",")),
    ))
}

fn delete_one(admin: &mut Admin, place: &Place, offset: i64) -> Result<i64> {
    admin.retrying(MOVED, |admin| {
        let leader = leader_of(admin, place)?;
        let partition = DeleteRecordsPartition::default().with_partition_index(place.1).with_offset(offset);
        let topic =
            DeleteRecordsTopic::default().with_name(topic_name(&place.0)).with_partitions(vec![partition]);
        let request = DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(TIMEOUT_MS);
        let answer = admin.ask(To::Node(leader), "deleteRecords", &request)?;
        let told = answer.topics.into_iter().flat_map(|topic| topic.partitions).next();
        let told = told.ok_or_else(|| Exception::from(ErrorCode::UnknownServerError))?;
        check(told.error_code, None)?;
        Ok(told.low_watermark)
    })
}
