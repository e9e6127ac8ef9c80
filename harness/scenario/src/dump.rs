//! Kafka's own `DumpLogSegments` over the data of a node: what it read, and every complaint it has.
//!
//! The judge is the tool; this only chooses its files and reads its words. It must not open a segment itself.

use crate::cluster::{Done, Trouble};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const TOOL: [&str; 3] = ["kafka-tool", "kafka.tools.DumpLogSegments", "--files"];
/// The folder of the metadata log, whose length depends on the run.
const METADATA: &str = "__cluster_metadata-0";
/// Words on standard output with which the tool complains.
const COMPLAINTS: [&str; 4] =
    ["isvalid: false", "isValid: false", " invalid bytes at the end of ", "Error at "];

/// Reads every log, index and snapshot below a folder; `run` runs a command of the product and gives what it
/// printed on both streams.
///
/// # Errors
/// When a folder cannot be listed, or the tool cannot be run.
pub fn read(data: &Path, run: impl Fn(&[&str]) -> Done<String>) -> Done<String> {
    let mut folders = BTreeMap::new();
    partitions(data, &mut folders).map_err(|error| Trouble(format!("{}: {error}", data.display())))?;
    if folders.is_empty() {
        return Err(Trouble(format!("{}: no partition is in it", data.display())));
    }
    let of = |kinds: &[&str], is_metadata: bool| -> Vec<&PathBuf> {
        let chosen = folders.iter().filter(|(name, _)| (name.as_str() == METADATA) == is_metadata);
        let files = chosen.flat_map(|(_, files)| files);
        files.filter(|file| kinds.iter().any(|kind| file.to_string_lossy().ends_with(kind))).collect()
    };
    let tool = |files: Vec<&PathBuf>, flags: &[&str]| -> Done<String> {
        if files.is_empty() {
            return Ok(String::new());
        }
        let files = files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(",");
        run(&TOOL.iter().copied().chain([files.as_str()]).chain(flags.iter().copied()).collect::<Vec<_>>())
    };
    let all = [".log", ".index", ".timeindex", ".txnindex", ".snapshot"];
    let indexes = [".index", ".timeindex"];
    let words = [
        tool(of(&all, false), &["--deep-iteration"])?,
        tool(of(&indexes, false), &["--index-sanity-check"])?,
        tool(of(&[".log", ".index", ".timeindex", ".checkpoint"], true), &["--cluster-metadata-decoder"])?,
        tool(of(&indexes, true), &["--index-sanity-check"])?,
    ];
    Ok(told(&words.concat(), folders.keys()))
}

/// Topics of Kafka's own whose records the tool decodes, each with the flag that asks for it.
pub const DECODED: [(&str, &str); 2] =
    [("__consumer_offsets", "--offsets-decoder"), ("__transaction_state", "--transaction-log-decoder")];

/// The records of these topics, as the tool decodes them: offset, key and value.
///
/// # Errors
/// When a folder cannot be listed, or the tool cannot be run.
pub fn contents(data: &Path, topics: &[String], run: impl Fn(&[&str]) -> Done<String>) -> Done<String> {
    let mut folders = BTreeMap::new();
    partitions(data, &mut folders).map_err(|error| Trouble(format!("{}: {error}", data.display())))?;
    let mut out = String::new();
    for (name, mut files) in folders {
        let topic = name.rsplit_once('-').map_or("", |(topic, _)| topic);
        let Some((_, flag)) = DECODED.into_iter().find(|(known, _)| *known == topic) else { continue };
        if !topics.iter().any(|wanted| wanted == topic) {
            continue;
        }
        files.retain(|file| file.extension().is_some_and(|extension| extension == "log"));
        files.sort();
        let files = files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(",");
        let words = run(&TOOL.iter().copied().chain([files.as_str(), flag]).collect::<Vec<_>>())?;
        let _ = writeln!(out, "{name} holds:");
        words.lines().filter_map(record).for_each(|record| {
            let _ = writeln!(out, "  {record}");
        });
    }
    Ok(out)
}

/// A record, a marker or a complaint.
fn record(line: &str) -> Option<String> {
    const WORDS: [&str; 2] = [" key: ", " endTxnMarker: "];
    let Some(rest) = line.strip_prefix("| offset: ") else {
        let is_complaint = COMPLAINTS.iter().any(|complaint| line.contains(complaint)) || !is_known(line);
        return is_complaint.then(|| format!("complaint: {line}"));
    };
    let offset = rest.split(' ').next().unwrap_or_default();
    let told = WORDS.iter().find_map(|word| rest.split_once(word)).map_or("nothing", |(_, told)| told);
    Some(format!("{offset} {}", told.replacen(" payload: ", " = ", 1)))
}

/// The files of each partition, by the name of its folder.
fn partitions(folder: &Path, found: &mut BTreeMap<String, Vec<PathBuf>>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            partitions(&path, found)?;
        } else if let (Some(name), true) = (folder.file_name(), has_log(folder)?) {
            found.entry(name.to_string_lossy().into_owned()).or_default().push(path);
        }
    }
    Ok(())
}

fn has_log(folder: &Path) -> io::Result<bool> {
    let mut files = fs::read_dir(folder)?.flatten();
    Ok(files.any(|file| file.path().extension().is_some_and(|extension| extension == "log")))
}

/// Records by partition, then the complaints.
fn told<'a>(words: &str, folders: impl Iterator<Item = &'a String>) -> String {
    let mut records: BTreeMap<&str, u64> = folders.map(|name| (name.as_str(), 0)).collect();
    let mut complaints = Vec::new();
    let mut file = Path::new("");
    for line in words.lines() {
        if let Some(path) = line.strip_prefix("Dumping ") {
            file = Path::new(path);
        } else if let Some(count) = line.strip_prefix("baseOffset: ").and_then(count) {
            let folder = file.parent().and_then(Path::file_name).and_then(|name| name.to_str());
            let of = folder.and_then(|name| records.get_mut(name));
            of.into_iter().for_each(|sum| *sum += count);
        }
        if COMPLAINTS.iter().any(|complaint| line.contains(complaint)) || !is_known(line) {
            complaints.push(line);
        }
    }
    let mut out = String::new();
    for (name, count) in records {
        let _ = match name {
            METADATA => writeln!(out, "{name}: read"),
            _ => writeln!(out, "{name}: {count} records"),
        };
    }
    complaints.iter().for_each(|complaint| {
        let _ = writeln!(out, "complaint: {complaint}");
    });
    out
}

fn count(batch: &str) -> Option<u64> {
    batch.split_once(" count: ")?.1.split(' ').next()?.parse().ok()
}

/// Lines that tell what a sound file holds; everything else, on either stream, is a complaint.
fn is_known(line: &str) -> bool {
    const KNOWN: [&str; 12] = [
        "Dumping ",
        "Log starting offset: ",
        "Snapshot end offset: ",
        "KRaft bootstrap snapshot",
        "baseOffset: ",
        "| offset: ",
        "offset: ",
        "timestamp: ",
        "producerId: ",
        "version: ",
        // Libraries that want a configuration of their own.
        "log4j:",
        "SLF4J:",
    ];
    let is_sound = |end: &str| line.ends_with(end);
    KNOWN.iter().any(|known| line.starts_with(known))
        || is_sound(" passed sanity check.")
        || is_sound(" is empty.")
        || line.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = "Dumping /d/t-0/0.log\nLog starting offset: 0\nbaseOffset: 0 lastOffset: 1 count: 2 \
                         baseSequence: -1 isvalid: true\n| offset: 0 CreateTime: 5\nDumping /d/t-0/0.index\n\
                         /d/t-0/0.index is empty.\nlog4j:WARN no appenders\n";

    #[test]
    fn records_are_counted_by_partition_and_every_complaint_is_told() {
        let folders = ["__cluster_metadata-0".to_owned(), "t-0".to_owned()];
        let sound = "__cluster_metadata-0: read\nt-0: 2 records\n";
        assert_eq!(told(SOUND, folders.iter()), sound);
        for complaint in [
            "baseOffset: 2 lastOffset: 2 count: 0 isvalid: false",
            "Found 12 invalid bytes at the end of 0.log",
            "| offset: 1 payload: Error at 1, skipping. null",
            "Mismatches in :/d/t-0/0.index",
            "  Index offset: 3, log offset: 4",
            "Exception in thread \"main\" java.lang.IllegalStateException",
        ] {
            let all = told(&format!("{SOUND}{complaint}\n"), folders.iter());
            assert_eq!(all, format!("{sound}complaint: {complaint}\n"));
        }
    }

    #[test]
    fn records_are_told_as_the_tool_decodes_them() {
        let folder = tempfile::tempdir().unwrap();
        for file in [
            "__transaction_state-3/1.log",
            "__transaction_state-3/0.log",
            "__transaction_state-3/0.index",
            "t-0/0.log",
        ] {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let shown = folder.path().display().to_string();
        let run = |words: &[&str]| {
            let files = words[3..].join(" ").replace(&shown, "");
            assert_eq!(
                files,
                "/__transaction_state-3/0.log,/__transaction_state-3/1.log --transaction-log-decoder"
            );
            Ok("Dumping 0.log\nLog starting offset: 0\nbaseOffset: 7 lastOffset: 7 count: 1 isvalid: true\n\
                | offset: 7 CreateTime: 5 keySize: 5 headerKeys: [] key: x::y=z payload: a: b\n\
                | offset: 8 CreateTime: 5 headerKeys: [] endTxnMarker: ABORT coordinatorEpoch: 4\nKafkaException: no\n"
                .to_owned())
        };
        let topics = [DECODED[1].0.to_owned()];
        let told = contents(folder.path(), &topics, run).unwrap();
        let due = "__transaction_state-3 holds:\n  7 x::y=z = a: b\n  8 ABORT coordinatorEpoch: 4\n  \
                   complaint: KafkaException: no\n";
        assert_eq!(told, due);
        assert_eq!(contents(folder.path(), &[], |_| Err(Trouble("it ran".into()))).unwrap(), "");
    }

    #[test]
    fn the_tool_gets_the_metadata_log_with_its_own_decoder() {
        let folder = tempfile::tempdir().unwrap();
        for file in ["t-0/0.log", "t-0/0.index", "t-0/x.tmp", "__cluster_metadata-0/0.log", "meta.properties"]
        {
            let path = folder.path().join("data").join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let runs = std::cell::RefCell::new(String::new());
        let shown = folder.path().display().to_string();
        let run = |words: &[&str]| {
            let _ = writeln!(runs.borrow_mut(), "{}", words[3..].join(" ").replace(&shown, ""));
            Ok(String::new())
        };
        assert_eq!(read(folder.path(), run).unwrap(), "__cluster_metadata-0: read\nt-0: 0 records\n");
        assert_eq!(
            runs.into_inner(),
            "/data/t-0/0.index,/data/t-0/0.log --deep-iteration\n/data/t-0/0.index --index-sanity-check\n\
             /data/__cluster_metadata-0/0.log --cluster-metadata-decoder\n"
        );
        assert!(read(&folder.path().join("data/t-0/x"), |_| Ok(String::new())).is_err(), "no such folder");
    }
}
