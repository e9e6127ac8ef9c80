//! `kafka-storage.sh`: makes ids, formats log directories and tells how they are formatted (`kafka.tools.StorageTool`).
//!
//! It knows of a configuration only what names directories and the node; the rest is the broker's to judge.

use crate::argparse::{Arg, Given, Parser, Refusal, Takes, parse};
use crate::cli::{now_ms, uncaught};
use crate::errors::Exception;
use crate::properties::{self, Properties};
use crate::{errln, outln};
use jackdaw_log::{MetaProperties, RealDisk, replace_file};
use jackdaw_settings::metadata_version::{self, LATEST};
use jackdaw_wire::MetadataRecord;
use jackdaw_wire::Uuid;
use jackdaw_wire::batch::BatchBuilder;
use jackdaw_wire::control_record::{ControlRecord, SnapshotFooterRecord, SnapshotHeaderRecord};
use jackdaw_wire::metadata_record::FeatureLevelRecord;
use jackdaw_wire::types::{kafka_base64, random_uuid};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

const CONFIG: Arg = Arg::new(&["--config", "-c"], "The Kafka configuration file to use.").required();

const PARSER: Parser = Parser {
    description: "The Kafka storage tool.",
    commands: &[
        Parser {
            help: "Get information about the Kafka log directories on this node.",
            args: &[CONFIG],
            ..Parser::new("info")
        },
        Parser {
            help: "Format the Kafka log directories on this node.",
            args: &[
                CONFIG,
                Arg::new(&["--cluster-id", "-t"], "The cluster ID to use.").required(),
                Arg::new(
                    &["--add-scram", "-S"],
                    "A SCRAM_CREDENTIAL to add to the __cluster_metadata log e.g.\n\
                     'SCRAM-SHA-256=[name=alice,password=alice-secret]'\n\
                     'SCRAM-SHA-512=[name=alice,iterations=8192,salt=\"N3E=\",saltedpassword=\"YCE=\"]'",
                )
                .takes(Takes::Each),
                Arg::flag(&["--ignore-formatted", "-g"], ""),
                Arg::new(
                    &["--release-version", "-r"],
                    "A KRaft release version to use for the initial metadata version. The minimum is 3.0, the default is 3.7-IV4",
                ),
            ],
            ..Parser::new("format")
        },
        Parser { help: "Print a random UUID.", ..Parser::new("random-uuid") },
    ],
    ..Parser::new("kafka-storage")
};
static COMMANDS: Parser = PARSER;

enum Stop {
    /// A line on stderr, and 1.
    Terse(String),
    Thrown(Exception),
}

impl From<Exception> for Stop {
    fn from(exception: Exception) -> Self {
        Stop::Thrown(exception)
    }
}

fn terse<T>(message: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Terse(message.into()))
}

/// Runs it.
pub fn run(args: &[String]) -> i32 {
    let given = match parse(&COMMANDS, args) {
        Ok(given) => given,
        Err(refusal) => return refused(&refusal),
    };
    let done = match given.commands[..] {
        ["random-uuid"] => {
            outln!("{}", kafka_base64(&random_uuid(rand::random::<u128>)));
            Ok(0)
        }
        ["info"] => configuration(&given).and_then(|properties| info(&properties)),
        _ => configuration(&given).and_then(|properties| format(&given, &properties)),
    };
    match done {
        Ok(code) => code,
        Err(Stop::Terse(message)) => {
            errln!("{message}");
            1
        }
        Err(Stop::Thrown(exception)) => uncaught(exception),
    }
}

/// `parseArgsOrFail`, for which a help that was printed is a failure as well.
fn refused(refusal: &Refusal) -> i32 {
    refusal.print();
    1
}

fn configuration(given: &Given) -> Result<Properties, Stop> {
    Ok(properties::load(given.value("config").unwrap_or_default())?)
}

fn directories(properties: &Properties) -> Vec<String> {
    let set = |key: &str| properties.get(key).map(|value| value.trim()).filter(|value| !value.is_empty());
    let logs = set("log.dirs").or_else(|| set("log.dir")).unwrap_or("/tmp/kafka-logs");
    let all: BTreeSet<&str> = logs.split(',').map(str::trim).chain(set("metadata.log.dir")).collect();
    let inside = |folder: &str| jackdaw_beside::inside(folder).display().to_string();
    all.into_iter().filter(|folder| !folder.is_empty()).map(inside).collect()
}

fn is_kraft(properties: &Properties) -> bool {
    properties.get("process.roles").is_some_and(|roles| !roles.trim().is_empty())
}

fn info(properties: &Properties) -> Result<i32, Stop> {
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    let mut first: Option<MetaProperties> = None;
    let folders = directories(properties);
    for folder in &folders {
        let path = Path::new(folder);
        if !path.is_dir() {
            let what = if path.exists() { "is not a directory" } else { "does not exist" };
            problems.push(format!("{folder} {what}"));
            continue;
        }
        found.push(folder);
        match (MetaProperties::read(&RealDisk, path), &first) {
            (Ok(None), _) => problems.push(format!("{folder} is not formatted.")),
            (Ok(Some(meta)), None) => first = Some(meta),
            (Ok(Some(meta)), Some(first)) if meta.cluster_id != first.cluster_id => {
                problems.push("Mismatched cluster IDs between storage directories.".to_owned());
            }
            (Ok(Some(meta)), Some(first)) if meta.node_id != first.node_id => {
                problems.push("Mismatched node IDs between storage directories.".to_owned());
            }
            (Ok(Some(_)), Some(_)) => {}
            (Err(error), _) => problems.push(format!("Error loading {folder}/meta.properties: {error}")),
        }
    }
    match (&first, is_kraft(properties)) {
        (Some(meta), true) if meta.version == 0 => problems.push(
            "The kafka configuration file appears to be for a cluster in KRaft mode, but the directories are formatted \
             for legacy mode."
                .to_owned(),
        ),
        (Some(meta), false) if meta.version == 1 => problems.push(
            "The kafka configuration file appears to be for a legacy cluster, but the directories are formatted for a \
             cluster in KRaft mode."
                .to_owned(),
        ),
        _ => {}
    }
    if !found.is_empty() {
        outln!("Found log director{}:", if found.len() == 1 { "y" } else { "ies" });
        found.iter().for_each(|folder| outln!("  {folder}"));
        outln!();
    }
    if let Some(meta) = first {
        let pairs: Vec<String> =
            pairs(&meta).into_iter().map(|(key, value)| format!("{key}={value}")).collect();
        outln!("Found metadata: {{{}}}", pairs.join(", "));
        outln!();
    }
    if problems.is_empty() {
        return Ok(0);
    }
    outln!("Found problem{}:", if problems.len() == 1 { "" } else { "s" });
    problems.iter().for_each(|problem| outln!("  {problem}"));
    outln!();
    Ok(1)
}

fn pairs(meta: &MetaProperties) -> BTreeMap<&'static str, String> {
    let mut pairs = BTreeMap::from([("version", meta.version.to_string())]);
    if let Some(id) = &meta.cluster_id {
        pairs.insert("cluster.id", id.clone());
    }
    if let Some(id) = meta.node_id {
        pairs.insert(if meta.version == 0 { "broker.id" } else { "node.id" }, id.to_string());
    }
    if let Some(id) = &meta.directory_id {
        pairs.insert("directory.id", kafka_base64(id));
    }
    pairs
}

fn format(given: &Given, properties: &Properties) -> Result<i32, Stop> {
    let asked = given
        .value("release_version")
        .or_else(|| properties.get("inter.broker.protocol.version").map(String::as_str));
    let asked = asked.unwrap_or(LATEST.name);
    let level = metadata_version::level_of(asked)
        .ok_or_else(|| Exception::argument(format!("Version {asked} is not a valid version")))?;
    let name = metadata_version::name_of(level).unwrap_or(asked);
    if level < 1 {
        return terse("Must specify a valid KRaft metadata version of at least 3.0.");
    }
    if level > LATEST.level {
        return terse(format!("Metadata version {name} is not ready for production use yet."));
    }
    if !given.values("add_scram").is_empty() {
        return terse("--add-scram: SCRAM credentials are not built yet");
    }
    if !is_kraft(properties) {
        return terse(
            "The kafka configuration file appears to be for a legacy cluster. Formatting is only supported for clusters \
             in KRaft mode.",
        );
    }
    let node_id = properties.get("node.id").or_else(|| properties.get("broker.id"));
    let node_id = node_id.and_then(|id| id.trim().parse().ok()).ok_or_else(|| {
        let message = "Missing configuration `node.id` which is required when `process.roles` is defined (i.e. when running in KRaft mode).";
        Exception::new("org.apache.kafka.common.config.ConfigException", message)
    })?;
    let cluster_id = given.value("cluster_id").unwrap_or_default().to_owned();
    let folders = directories(properties);
    let states = read_all(&folders, &cluster_id, node_id)?;
    let shown: Vec<String> =
        states.iter().map(|(folder, state)| format!("{folder}: {}", state.shown())).collect();
    outln!(
        "metaPropertiesEnsemble=MetaPropertiesEnsemble(metadataLogDir=Optional.empty, dirs={{{}}})",
        shown.join(", ")
    );
    let formatted = states.iter().find(|(_, state)| matches!(state, State::Formatted(_)));
    if let Some((folder, _)) = formatted.filter(|_| !given.is("ignore_formatted")) {
        return terse(format!(
            "Log directory {folder} is already formatted. Use --ignore-formatted to ignore this directory and format the \
             others."
        ));
    }
    if let Some((folder, _)) = states.iter().find(|(_, state)| matches!(state, State::Unreadable)) {
        return terse(format!("I/O error trying to read log directory {folder}."));
    }
    let empty: Vec<&String> =
        states.iter().filter(|(_, state)| matches!(state, State::Empty)).map(|(folder, _)| folder).collect();
    if empty.is_empty() {
        outln!("All of the log directories are already formatted.");
    }
    for folder in empty {
        outln!("Formatting {folder} with metadata.version {name}.");
        write(Path::new(folder), &cluster_id, node_id, level).map_err(|why| {
            Stop::Terse(format!("Error while writing meta.properties file {folder}: {why}"))
        })?;
    }
    Ok(0)
}

enum State {
    Empty,
    Unreadable,
    Formatted(MetaProperties),
}

impl State {
    fn shown(&self) -> String {
        let meta = match self {
            State::Empty => return "EMPTY".to_owned(),
            State::Unreadable => return "ERROR".to_owned(),
            State::Formatted(meta) => meta,
        };
        let mut shown = format!("MetaProperties(version={}", meta.version);
        if let Some(id) = &meta.cluster_id {
            shown += &format!(", clusterId={id}");
        }
        if let Some(id) = meta.node_id {
            shown += &format!(", nodeId={id}");
        }
        if let Some(id) = &meta.directory_id {
            shown += &format!(", directoryId={}", kafka_base64(id));
        }
        shown + ")"
    }
}

fn read_all(folders: &[String], cluster_id: &str, node_id: i32) -> Result<Vec<(String, State)>, Exception> {
    let mut states = Vec::new();
    for folder in folders {
        let state = match MetaProperties::read(&RealDisk, Path::new(folder)) {
            Ok(None) => State::Empty,
            Ok(Some(meta)) => State::Formatted(meta),
            Err(_) => State::Unreadable,
        };
        if let State::Formatted(meta) = &state {
            let path = format!("{folder}/meta.properties");
            let wrong = |message: String| Err(Exception::new("java.lang.RuntimeException", message));
            if let Some(id) = meta.cluster_id.as_ref().filter(|id| *id != cluster_id) {
                return wrong(format!("Invalid cluster.id in: {path}. Expected {cluster_id}, but read {id}"));
            }
            if let Some(id) = meta.node_id.filter(|id| *id != node_id) {
                return wrong(format!(
                    "Stored node id {id} doesn't match previous node id {node_id} in {path}. If you moved your data, make sure your configured node id matches. If you intend to create a new node, you should remove all data in your data directories."
                ));
            }
        }
        states.push((folder.clone(), state));
    }
    Ok(states)
}

fn write(folder: &Path, cluster_id: &str, node_id: i32, level: i16) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    // Synced, with the folder: a power cut must not leave a folder that says it is formatted without it.
    let checkpoint = folder.join(jackdaw_log::names::BOOTSTRAP_CHECKPOINT);
    replace_file(&RealDisk, &checkpoint, &bootstrap(level)?).map_err(|error| error.to_string())?;
    let directory_id: Uuid = random_uuid(rand::random::<u128>);
    let meta = MetaProperties {
        cluster_id: Some(cluster_id.to_owned()),
        node_id: Some(node_id),
        directory_id: Some(directory_id),
        version: 1,
    };
    meta.write(&RealDisk, folder).map_err(|error| error.to_string())
}

/// A snapshot with the level of the metadata's version and nothing else (`BatchFileWriter`).
fn bootstrap(level: i16) -> Result<Vec<u8>, String> {
    const EPOCH: i32 = 0;
    let now = now_ms();
    let header = ControlRecord::SnapshotHeader(SnapshotHeaderRecord::default());
    let footer = ControlRecord::SnapshotFooter(SnapshotFooterRecord::default());
    let record: MetadataRecord =
        FeatureLevelRecord { name: "metadata.version".into(), feature_level: level, ..Default::default() }
            .into();
    let mut data = BatchBuilder::new(1, EPOCH);
    let value = record.encode(0).map_err(|error| error.to_string())?;
    data.append(now, None, Some(&value));
    let header = header.to_batch(0, EPOCH, now).map_err(|error| error.to_string())?;
    let footer = footer.to_batch(2, EPOCH, now).map_err(|error| error.to_string())?;
    Ok([header, data.build(), footer].concat())
}
