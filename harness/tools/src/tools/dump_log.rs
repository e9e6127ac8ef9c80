//! `kafka-dump-log.sh`: what is in a segment, a snapshot or an index (`kafka.tools.DumpLogSegments`).
//!
//! It reads files and nothing else; formats come from `wire`.

use crate::cli::{Done, check_required, end, help_or_version, uncaught};
use crate::decoders::{Decoder, control};
use crate::errors::Exception;
use crate::jopt::{self, Given};
use crate::options::dump_log::OPTIONS;
use crate::{errln, outln, print};
use jackdaw_wire::batch::{self, BatchRef, HEADER_BYTES, NO_SEQUENCE, TimestampType};
use jackdaw_wire::{Buf as _, Bytes};
use std::collections::BTreeMap;
use std::path::Path;

const UNPACKED_LIMIT_BYTES: usize = 1 << 30;

/// Runs it.
pub fn run(args: &[String]) -> i32 {
    end(OPTIONS, dump(args), uncaught)
}

/// Pairs of numbers that do not fit, by file.
type Complaints = BTreeMap<String, Vec<(i64, i64)>>;

struct Options {
    contents: bool,
    deep: bool,
    bare: bool,
    verify_only: bool,
    sanity_only: bool,
    max_bytes: usize,
    decoder: Decoder,
}

fn dump(args: &[String]) -> Done {
    let given = jopt::parse(OPTIONS, args)?;
    let about = "This tool helps to parse a log file and dump its contents to the console, useful for debugging a \
                 seemingly corrupt log segment.";
    help_or_version(&given, args, about)?;
    check_required(&given, &["files"])?;
    let options = options(&given)?;
    let (mut mismatches, mut gaps) = (Complaints::new(), Complaints::new());
    let mut times = TimeComplaints::default();
    for file in given.value("files")?.unwrap_or_default().split(',') {
        outln!("Dumping {file}");
        let path = Path::new(file);
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let suffix = name.rfind('.').map_or("", |at| &name[at..]);
        match suffix {
            ".log" | ".checkpoint" => dump_batches(path, &name, &options, &mut gaps)?,
            ".index" => dump_index(path, &name, &options, &mut mismatches)?,
            ".timeindex" => dump_time_index(path, &name, &options, &mut times)?,
            ".txnindex" => dump_aborted(path)?,
            ".snapshot" => dump_producers(path)?,
            _ => errln!("Ignoring unknown file {file}"),
        }
    }
    for (file, pairs) in mismatches {
        errln!("Mismatches in :{file}");
        pairs.iter().rev().for_each(|(index, log)| errln!("  Index offset: {index}, log offset: {log}"));
    }
    times.print();
    for (file, pairs) in gaps {
        errln!("Non-consecutive offsets in {file}");
        pairs.iter().rev().for_each(|(first, second)| errln!("  {first} is followed by {second}"));
    }
    Ok(())
}

fn options(given: &Given) -> Done<Options> {
    let decoders = ["offsets-decoder", "transaction-log-decoder", "cluster-metadata-decoder"];
    let decoder = match decoders.iter().position(|option| given.has(option)) {
        Some(0) => Decoder::Offsets,
        Some(1) => Decoder::Transactions,
        Some(_) => Decoder::Metadata,
        None => {
            for option in ["key-decoder-class", "value-decoder-class"] {
                let class = given.value(option)?.unwrap_or_default();
                if class != "kafka.serializer.StringDecoder" && class != "kafka.serializer.DefaultDecoder" {
                    return Err(Exception::new("java.lang.ClassNotFoundException", class).into());
                }
            }
            Decoder::Text
        }
    };
    let contents = given.has("print-data-log")
        || decoder != Decoder::Text
        || given.has("value-decoder-class")
        || given.has("key-decoder-class");
    Ok(Options {
        contents,
        deep: contents || given.has("deep-iteration"),
        bare: given.has("skip-record-metadata"),
        verify_only: given.has("verify-index-only"),
        sanity_only: given.has("index-sanity-check"),
        max_bytes: given.number::<i32>("max-bytes")?.map_or(usize::MAX, |max| match max {
            i32::MAX => usize::MAX,
            max => usize::try_from(max).unwrap_or_default(),
        }),
        decoder,
    })
}

fn read(path: &Path) -> Result<Bytes, Exception> {
    std::fs::read(path).map(Bytes::from).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            Exception::new("java.nio.file.NoSuchFileException", path.display().to_string())
        }
        _ => Exception::new("java.io.IOException", error.to_string()),
    })
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

fn dump_batches(path: &Path, name: &str, options: &Options, gaps: &mut Complaints) -> Result<(), Exception> {
    let number = |text: &str| {
        text.parse::<i64>().map_err(|_| {
            Exception::new("java.lang.NumberFormatException", format!("For input string: \"{text}\""))
        })
    };
    if name == jackdaw_log::names::BOOTSTRAP_CHECKPOINT {
        outln!("KRaft bootstrap snapshot");
    } else if let Some(id) = name.strip_suffix(".checkpoint") {
        let (offset, epoch) = id.split_once('-').unwrap_or((id, "0"));
        outln!("Snapshot end offset: {}, epoch: {}", number(offset)?, number(epoch)?);
    } else {
        outln!("Log starting offset: {}", number(name.split('.').next().unwrap_or_default())?);
    }
    let whole = read(path)?;
    let bytes = whole.slice(..whole.len().min(options.max_bytes));
    let mut position = 0;
    let mut last: Option<i64> = None;
    for found in batch::complete_batches(&bytes) {
        let Ok(found) = found else { break };
        show_batch(&found, position);
        if options.deep {
            show_records(&found, options, &mut last, gaps.entry(absolute(path)).or_default())?;
        }
        position += found.bytes.len();
    }
    gaps.retain(|_, pairs| !pairs.is_empty());
    let rest = bytes.len() - position;
    if rest > 0 && options.max_bytes == usize::MAX {
        outln!("Found {rest} invalid bytes at the end of {name}");
    }
    Ok(())
}

fn time_type(found: &BatchRef) -> &'static str {
    match found.header.timestamp_type() {
        TimestampType::LogAppendTime => "LogAppendTime",
        TimestampType::CreateTime => "CreateTime",
    }
}

fn show_batch(found: &BatchRef, position: usize) {
    let header = &found.header;
    let horizon = header
        .delete_horizon_ms()
        .map_or("OptionalLong.empty".to_owned(), |ms| format!("OptionalLong[{ms}]"));
    print::out(format_args!(
        "baseOffset: {} lastOffset: {} count: {} baseSequence: {} lastSequence: {} producerId: {} producerEpoch: {} \
         partitionLeaderEpoch: {} isTransactional: {} isControl: {} deleteHorizonMs: {horizon}",
        header.base_offset,
        header.last_offset(),
        header.record_count,
        header.base_sequence,
        header.last_sequence(),
        header.producer_id,
        header.producer_epoch,
        header.partition_leader_epoch,
        header.is_transactional(),
        header.is_control(),
    ));
    outln!(
        " position: {position} {}: {} size: {} magic: 2 compresscodec: {} crc: {} isvalid: {}",
        time_type(found),
        header.max_timestamp,
        found.bytes.len(),
        header.compression().map_or("unknown", |codec| codec.name()),
        header.crc,
        found.bytes.len() >= HEADER_BYTES && found.check_crc().is_ok()
    );
}

fn show_records(
    found: &BatchRef,
    options: &Options,
    last: &mut Option<i64>,
    gaps: &mut Vec<(i64, i64)>,
) -> Result<(), Exception> {
    let wrong = |what: String| Exception::new("org.apache.kafka.common.InvalidRecordException", what);
    let header = found.header;
    let mut scratch = Vec::new();
    let records =
        found.records(UNPACKED_LIMIT_BYTES, &mut scratch).map_err(|error| wrong(error.to_string()))?;
    for record in records {
        let record = record.map_err(|error| wrong(error.to_string()))?;
        let offset = header.base_offset + i64::from(record.offset_delta);
        if let Some(before) = last.filter(|before| offset != before + 1) {
            gaps.push((before, offset));
        }
        *last = Some(offset);
        let mut prefix = "| ";
        if !options.bare {
            let size = |bytes: Option<&[u8]>| bytes.map_or(-1, |bytes| bytes.len() as i64);
            let sequence = match header.base_sequence {
                NO_SEQUENCE => NO_SEQUENCE,
                base => batch::increment_sequence(base, record.offset_delta),
            };
            let keys: Vec<String> =
                record.headers.iter().map(|(key, _)| String::from_utf8_lossy(key).into_owned()).collect();
            print::out(format_args!(
                "| offset: {offset} {}: {} keySize: {} valueSize: {} sequence: {sequence} headerKeys: [{}]",
                time_type(found),
                header.timestamp_of(record.timestamp_delta_ms),
                size(record.key),
                size(record.value),
                keys.join(",")
            ));
            prefix = " ";
            if header.is_control() {
                print::out(format_args!(
                    "{}",
                    control(record.key.unwrap_or_default(), record.value.unwrap_or_default())
                ));
            }
        }
        if options.contents && !header.is_control() {
            let (key, payload) = options.decoder.decode(offset, record.key, record.value);
            if let Some(key) = key {
                print::out(format_args!("{prefix}key: {key}"));
            }
            if let Some(payload) = payload {
                print::out(format_args!(" payload: {payload}"));
            }
        }
        outln!();
    }
    Ok(())
}

/// The segment that an index belongs to.
fn segment(path: &Path, name: &str) -> Result<Bytes, Exception> {
    read(&path.with_file_name(format!("{}.log", name.split('.').next().unwrap_or_default())))
}

fn base_offset(name: &str) -> i64 {
    name.split('.').next().and_then(|digits| digits.parse().ok()).unwrap_or_default()
}

/// Offsets and positions of an index, up to the first entry that was never written.
fn index_entries(bytes: &Bytes, base: i64) -> Vec<(i64, usize)> {
    const ENTRY_BYTES: usize = 8;
    let mut entries = Vec::new();
    for (index, mut entry) in bytes.chunks_exact(ENTRY_BYTES).enumerate() {
        let (offset, position) = (base + i64::from(entry.get_i32()), entry.get_i32());
        if offset == base && index > 0 {
            break;
        }
        entries.push((offset, usize::try_from(position).unwrap_or_default()));
    }
    entries
}

fn dump_index(
    path: &Path,
    name: &str,
    options: &Options,
    complaints: &mut Complaints,
) -> Result<(), Exception> {
    let log = segment(path, name)?;
    let bytes = read(path)?;
    if bytes.is_empty() {
        outln!("{} is empty.", path.display());
        return Ok(());
    }
    let entries = index_entries(&bytes, base_offset(name));
    if options.sanity_only {
        return sane(path, bytes.len(), 8, entries.last().map(|entry| entry.0), base_offset(name));
    }
    for (offset, position) in entries {
        let found = batch::complete_batches(&log.slice(position.min(log.len())..)).next();
        let last = found.and_then(Result::ok).map(|found| found.header.last_offset());
        let last = last.ok_or_else(|| Exception::new("java.util.NoSuchElementException", ""))?;
        if last != offset {
            complaints.entry(absolute(path)).or_default().push((offset, last));
        }
        if !options.verify_only {
            outln!("offset: {offset} position: {position}");
        }
    }
    Ok(())
}

fn sane(path: &Path, size: usize, entry: usize, last: Option<i64>, base: i64) -> Result<(), Exception> {
    let corrupt =
        |what: String| Exception::new("org.apache.kafka.storage.internals.log.CorruptIndexException", what);
    if !size.is_multiple_of(entry) {
        return Err(corrupt(format!(
            "Index file {} is corrupt, found {size} bytes which is neither positive nor a multiple of {entry}.",
            path.display()
        )));
    }
    if last.is_some_and(|last| last < base) {
        return Err(corrupt(format!("Index file {} is corrupt", path.display())));
    }
    outln!("{} passed sanity check.", path.display());
    Ok(())
}

/// What is wrong in indexes of times.
#[derive(Default)]
struct TimeComplaints {
    mismatches: Complaints,
    out_of_order: Complaints,
    not_found: Complaints,
}

impl TimeComplaints {
    fn print(&self) {
        for (file, pairs) in &self.mismatches {
            errln!("Found timestamp mismatch in :{file}");
            pairs.iter().for_each(|(index, log)| errln!("  Index timestamp: {index}, log timestamp: {log}"));
        }
        for (file, pairs) in &self.out_of_order {
            errln!("Found out of order timestamp in :{file}");
            pairs.iter().for_each(|(index, before)| {
                errln!("  Index timestamp: {index}, Previously indexed timestamp: {before}")
            });
        }
        for pairs in self.not_found.values() {
            errln!("The following indexed offsets are not found in the log.");
            pairs.iter().for_each(|(index, log)| errln!("Indexed offset: {index}, found log offset: {log}"));
        }
    }
}

fn dump_time_index(
    path: &Path,
    name: &str,
    options: &Options,
    complaints: &mut TimeComplaints,
) -> Result<(), Exception> {
    const ENTRY_BYTES: usize = 12;
    let log = segment(path, name)?;
    let base = base_offset(name);
    let offsets =
        read(&path.with_file_name(format!("{}.index", name.split('.').next().unwrap_or_default())))?;
    let offsets = index_entries(&offsets, base);
    let bytes = read(path)?;
    if options.sanity_only {
        return sane(path, bytes.len(), ENTRY_BYTES, None, base);
    }
    let mut before = -1;
    for (index, mut entry) in bytes.chunks_exact(ENTRY_BYTES).enumerate() {
        let (time, offset) = (entry.get_i64(), base + i64::from(entry.get_i32()));
        if offset == base && index > 0 {
            break;
        }
        let start =
            offsets.iter().rev().find(|(known, _)| *known <= offset).map_or(0, |(_, position)| *position);
        let mut batches = batch::complete_batches(&log.slice(start.min(log.len())..)).filter_map(Result::ok);
        match batches.find(|found| found.header.last_offset() >= offset) {
            Some(found) if found.header.last_offset() == offset => {
                let newest = newest(&found);
                if newest != time {
                    complaints.mismatches.entry(absolute(path)).or_default().push((time, newest));
                }
                if before >= time {
                    complaints.out_of_order.entry(absolute(path)).or_default().push((time, before));
                }
            }
            found => {
                let last = found.map_or(-1, |found| found.header.last_offset());
                complaints.not_found.entry(absolute(path)).or_default().push((offset, last));
            }
        }
        if !options.verify_only {
            outln!("timestamp: {time} offset: {offset}");
        }
        before = time;
    }
    Ok(())
}

fn newest(found: &BatchRef) -> i64 {
    let mut scratch = Vec::new();
    let Ok(records) = found.records(UNPACKED_LIMIT_BYTES, &mut scratch) else { return -1 };
    let times =
        records.filter_map(Result::ok).map(|record| found.header.timestamp_of(record.timestamp_delta_ms));
    times.max().unwrap_or(-1)
}

fn dump_aborted(path: &Path) -> Result<(), Exception> {
    const ENTRY_BYTES: usize = 34;
    for mut entry in read(path)?.chunks_exact(ENTRY_BYTES) {
        outln!(
            "version: {} producerId: {} firstOffset: {} lastOffset: {} lastStableOffset: {}",
            entry.get_i16(),
            entry.get_i64(),
            entry.get_i64(),
            entry.get_i64(),
            entry.get_i64()
        );
    }
    Ok(())
}

/// A snapshot of producers: version, checksum, count, then the entries (`ProducerStateManager.readSnapshot`).
fn dump_producers(path: &Path) -> Result<(), Exception> {
    let mut bytes = read(path)?;
    const HEADER_BYTES: usize = 10;
    const ENTRY_BYTES: usize = 50;
    if bytes.len() < HEADER_BYTES {
        errln!(
            "Snapshot failed schema validation: Error reading field 'crc': java.nio.BufferUnderflowException"
        );
        return Ok(());
    }
    let version = bytes.get_i16();
    if version != 1 {
        errln!("Snapshot contained an unknown file version {version}");
        return Ok(());
    }
    let (crc, rest) = (bytes.get_u32(), bytes.clone());
    let computed = crc32c::crc32c(&rest);
    if crc != computed {
        errln!("Snapshot is corrupt (CRC is no longer valid). Stored crc: {crc}. Computed crc: {computed}");
        return Ok(());
    }
    let count = bytes.get_i32();
    for _ in 0..count {
        if bytes.len() < ENTRY_BYTES {
            break;
        }
        let (id, epoch, last_sequence, last_offset) =
            (bytes.get_i64(), bytes.get_i16(), bytes.get_i32(), bytes.get_i64());
        let (offset_delta, timestamp, coordinator_epoch, first_offset) =
            (bytes.get_i32(), bytes.get_i64(), bytes.get_i32(), bytes.get_i64());
        let first_offset = match first_offset {
            -1 => "OptionalLong.empty".to_owned(),
            offset => format!("OptionalLong[{offset}]"),
        };
        print::out(format_args!(
            "producerId: {id} producerEpoch: {epoch} coordinatorEpoch: {coordinator_epoch} currentTxnFirstOffset: \
             {first_offset} lastTimestamp: {timestamp} "
        ));
        if last_offset >= 0 {
            let first_sequence = match last_sequence {
                last if last >= offset_delta => last - offset_delta,
                // Sequences wrap at the greatest number of 32 bits.
                last => i32::MAX - (offset_delta - last) + 1,
            };
            print::out(format_args!(
                "firstSequence: {first_sequence} lastSequence: {last_sequence} lastOffset: {last_offset} offsetDelta: \
                 {offset_delta} timestamp: {timestamp}"
            ));
        }
        outln!();
    }
    Ok(())
}
