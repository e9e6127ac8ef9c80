//! Record batches of magic 2 and message sets of magic 0 and 1: built with every fault that a scenario asks
//! for, and read for the transcript.
//!
//! It is the harness's own, so that no batch is judged by the code that wrote it.

use crate::value::{Reader, put_uvarint};
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};

/// Bytes of a batch before its records.
const HEADER_BYTES: usize = 61;
/// A batch that decompresses to more is not read.
const MAX_BYTES: u64 = 64 << 20;
const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];

/// One record.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// Key; none is null.
    pub key: Option<Vec<u8>>,
    /// Value; none is null.
    pub value: Option<Vec<u8>>,
    /// Headers.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Creation time; none is the batch's.
    pub timestamp_ms: Option<i64>,
    /// Another offset delta than its place.
    pub offset_delta: Option<i64>,
}

/// A batch, sound unless it is told otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// 0, 1 or 2.
    pub magic: i8,
    /// A codec's name.
    pub codec: String,
    /// First offset.
    pub base_offset: i64,
    /// Leader epoch.
    pub leader_epoch: i64,
    /// Creation time of records that have none.
    pub timestamp_ms: i64,
    /// Another first timestamp.
    pub first_timestamp_ms: Option<i64>,
    /// Another greatest timestamp.
    pub max_timestamp_ms: Option<i64>,
    /// The timestamps are said to be the broker's.
    pub log_append_time: bool,
    /// Part of a transaction.
    pub transactional: bool,
    /// A control batch.
    pub control: bool,
    /// Producer id, -1 for none.
    pub producer_id: i64,
    /// Producer epoch.
    pub producer_epoch: i64,
    /// Sequence of the first record.
    pub base_sequence: i64,
    /// Another last offset delta.
    pub last_offset_delta: Option<i64>,
    /// Another number of records.
    pub count: Option<i64>,
    /// A wrong checksum.
    pub wrong_crc: bool,
    /// Another length.
    pub length: Option<i64>,
    /// Bytes to leave out at the end.
    pub cut_bytes: usize,
    /// The records.
    pub records: Vec<Record>,
}

impl Default for Batch {
    fn default() -> Self {
        Batch {
            magic: 2,
            codec: "none".into(),
            base_offset: 0,
            leader_epoch: -1,
            timestamp_ms: 0,
            first_timestamp_ms: None,
            max_timestamp_ms: None,
            log_append_time: false,
            transactional: false,
            control: false,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            last_offset_delta: None,
            count: None,
            wrong_crc: false,
            length: None,
            cut_bytes: 0,
            records: Vec::new(),
        }
    }
}

fn put_varint(out: &mut Vec<u8>, value: i64) {
    put_uvarint(out, ((value << 1) ^ (value >> 63)) as u64);
}

fn put_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    put_varint(out, bytes.map_or(-1, |bytes| bytes.len() as i64));
    out.extend(bytes.unwrap_or_default());
}

fn put_bytes32(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    out.extend((bytes.map_or(-1, |bytes| bytes.len() as i32)).to_be_bytes());
    out.extend(bytes.unwrap_or_default());
}

/// The number of a codec.
pub fn codec(name: &str) -> Option<u8> {
    CODECS.iter().position(|known| *known == name).map(|at| at as u8)
}

fn compress(codec: u8, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    match codec {
        1 => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(bytes)?;
            encoder.finish()
        }
        2 => snap::raw::Encoder::new().compress_vec(bytes).map_err(std::io::Error::other),
        3 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            encoder.write_all(bytes)?;
            encoder.finish().map_err(std::io::Error::other)
        }
        4 => zstd::stream::encode_all(bytes, 0),
        _ => Ok(bytes.to_vec()),
    }
}

fn decompress(codec: u8, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let read = match codec {
        0 => return Ok(bytes.to_vec()),
        1 => flate2::read::GzDecoder::new(bytes).take(MAX_BYTES).read_to_end(&mut out),
        2 => return snappy(bytes),
        3 => lz4_flex::frame::FrameDecoder::new(bytes).take(MAX_BYTES).read_to_end(&mut out),
        4 => zstd::stream::Decoder::new(bytes)
            .and_then(|mut d| d.by_ref().take(MAX_BYTES).read_to_end(&mut out)),
        _ => return Err(format!("codec {codec}")),
    };
    read.map_err(|error| error.to_string())?;
    Ok(out)
}

/// Java's stream of blocks behind a header of 16 bytes, or one bare block as librdkafka sends it.
fn snappy(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let block =
        |bytes: &[u8]| snap::raw::Decoder::new().decompress_vec(bytes).map_err(|error| error.to_string());
    let Some(blocks) = bytes.strip_prefix(b"\x82SNAPPY\0") else { return block(bytes) };
    let mut reader = Reader::new(blocks);
    reader.take(8)?;
    let mut out = Vec::new();
    while reader.left() > 0 {
        let size = reader.int(4)? as usize;
        out.extend(block(reader.take(size)?)?);
    }
    Ok(out)
}

impl Batch {
    /// Its bytes.
    ///
    /// # Errors
    /// An unknown codec or magic.
    pub fn bytes(&self) -> Result<Vec<u8>, String> {
        let codec = codec(&self.codec).ok_or_else(|| format!("no codec `{}`", self.codec))?;
        let mut bytes = match self.magic {
            2 => self.batch(codec),
            0 | 1 => self.message_set(codec),
            other => return Err(format!("magic {other}: there are 0, 1 and 2")),
        }
        .map_err(|error| error.to_string())?;
        bytes.truncate(bytes.len() - self.cut_bytes.min(bytes.len()));
        Ok(bytes)
    }

    fn batch(&self, codec: u8) -> std::io::Result<Vec<u8>> {
        let time_of = |record: &Record| record.timestamp_ms.unwrap_or(self.timestamp_ms);
        let first = self.first_timestamp_ms.or_else(|| self.records.first().map(time_of)).unwrap_or(-1);
        let greatest = self.max_timestamp_ms.or_else(|| self.records.iter().map(time_of).max()).unwrap_or(-1);
        let mut records = Vec::new();
        for (at, record) in self.records.iter().enumerate() {
            let mut body = vec![0];
            put_varint(&mut body, time_of(record) - first);
            put_varint(&mut body, record.offset_delta.unwrap_or(at as i64));
            put_bytes(&mut body, record.key.as_deref());
            put_bytes(&mut body, record.value.as_deref());
            put_varint(&mut body, record.headers.len() as i64);
            for (name, value) in &record.headers {
                put_bytes(&mut body, Some(name.as_bytes()));
                put_bytes(&mut body, Some(value));
            }
            put_varint(&mut records, body.len() as i64);
            records.extend(body);
        }
        let count = self.records.len() as i64;
        let flags = [(self.log_append_time, 8), (self.transactional, 16), (self.control, 32)];
        let flags: u16 = flags.iter().filter(|(set, _)| *set).map(|(_, bit)| bit).sum();
        let mut body = Vec::new();
        body.extend((u16::from(codec) | flags).to_be_bytes());
        body.extend((self.last_offset_delta.unwrap_or(count - 1) as i32).to_be_bytes());
        body.extend(first.to_be_bytes());
        body.extend(greatest.to_be_bytes());
        body.extend(self.producer_id.to_be_bytes());
        body.extend((self.producer_epoch as i16).to_be_bytes());
        body.extend((self.base_sequence as i32).to_be_bytes());
        body.extend((self.count.unwrap_or(count) as i32).to_be_bytes());
        body.extend(compress(codec, &records)?);
        let crc = crc32c::crc32c(&body) ^ u32::from(self.wrong_crc);
        let mut out = Vec::new();
        out.extend(self.base_offset.to_be_bytes());
        out.extend((self.length.unwrap_or(body.len() as i64 + 9) as i32).to_be_bytes());
        out.extend((self.leader_epoch as i32).to_be_bytes());
        out.push(2);
        out.extend(crc.to_be_bytes());
        out.extend(body);
        Ok(out)
    }

    fn message_set(&self, codec: u8) -> std::io::Result<Vec<u8>> {
        let mut inner = Vec::new();
        for (at, record) in self.records.iter().enumerate() {
            let offset = self.base_offset + record.offset_delta.unwrap_or(at as i64);
            let time = record.timestamp_ms.unwrap_or(self.timestamp_ms);
            inner.extend(self.message(0, offset, time, record.key.as_deref(), record.value.as_deref()));
        }
        if codec == 0 {
            return Ok(inner);
        }
        let last = self.base_offset + self.records.len() as i64 - 1;
        Ok(self.message(codec, last, self.timestamp_ms, None, Some(&compress(codec, &inner)?)))
    }

    fn message(
        &self,
        codec: u8,
        offset: i64,
        time: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Vec<u8> {
        let mut body = vec![self.magic as u8, codec | if self.log_append_time { 8 } else { 0 }];
        if self.magic == 1 {
            body.extend(time.to_be_bytes());
        }
        put_bytes32(&mut body, key);
        put_bytes32(&mut body, value);
        let mut out = offset.to_be_bytes().to_vec();
        out.extend((body.len() as i32 + 4).to_be_bytes());
        let mut crc = flate2::Crc::new();
        crc.update(&body);
        out.extend((crc.sum() ^ u32::from(self.wrong_crc)).to_be_bytes());
        out.extend(body);
        out
    }
}

/// How run-dependent values of a batch are written.
pub trait Names {
    /// A time.
    fn time(&mut self, ms: i64) -> String;
    /// A producer id.
    fn producer(&mut self, id: i64) -> String;
}

/// Batches and message sets as lines.
pub fn describe(mut bytes: &[u8], names: &mut dyn Names) -> String {
    let mut out = String::new();
    while !bytes.is_empty() {
        let length = bytes.get(8..12).map(|b| i32::from_be_bytes([b[0], b[1], b[2], b[3]]));
        let end = length.and_then(|length| usize::try_from(length).ok()).map(|length| length + 12);
        let Some(end) = end.filter(|end| *end <= bytes.len() && bytes.len() > 17) else {
            let _ = writeln!(out, "{} bytes of a batch that goes on", bytes.len());
            break;
        };
        let one = &bytes[..end];
        let described = if one[16] == 2 { batch(one, names) } else { message(one, names) };
        out += &described.unwrap_or_else(|why| format!("unreadable batch of {end} bytes: {why}\n"));
        bytes = &bytes[end..];
    }
    out
}

fn text(bytes: Option<&[u8]>) -> String {
    match bytes {
        None => "null".into(),
        Some(bytes) if bytes.len() > 64 => format!("{} bytes", bytes.len()),
        Some(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) if !text.chars().any(char::is_control) => format!("\"{text}\""),
            _ => bytes.iter().fold("0x".into(), |text, byte| text + &format!("{byte:02x}")),
        },
    }
}

fn batch(bytes: &[u8], names: &mut dyn Names) -> Result<String, String> {
    let mut header = Reader::new(bytes);
    let base_offset = header.int(8)?;
    header.take(4)?;
    let leader_epoch = header.int(4)?;
    header.take(1)?;
    let crc = header.int(4)? as u32;
    let attributes = header.int(2)? as u16;
    let last_delta = header.int(4)?;
    let (first_ms, greatest_ms) = (header.int(8)?, header.int(8)?);
    let (producer, producer_epoch, sequence) = (header.int(8)?, header.int(2)?, header.int(4)?);
    let count = header.int(4)?;
    let mut out = format!("batch {base_offset}..{} of leader epoch {leader_epoch}", base_offset + last_delta);
    let codec = (attributes & 7) as u8;
    if codec != 0 {
        let _ = write!(out, ", {}", CODECS.get(usize::from(codec)).unwrap_or(&"unknown codec"));
    }
    for (bit, word) in
        [(8, "log append time"), (16, "transactional"), (32, "control"), (64, "delete horizon")]
    {
        if attributes & bit != 0 {
            let _ = write!(out, ", {word}");
        }
    }
    if producer >= 0 {
        let _ = write!(out, ", {} epoch {producer_epoch} sequence {sequence}", names.producer(producer));
    }
    let _ = write!(out, ", {count} records to {}", names.time(greatest_ms));
    if crc32c::crc32c(&bytes[21..]) != crc {
        out += ", WRONG CHECKSUM";
    }
    out.push('\n');
    let records = decompress(codec, &bytes[HEADER_BYTES.min(bytes.len())..])?;
    let mut reader = Reader::new(&records);
    for _ in 0..count {
        let size = usize::try_from(reader.varint()?).map_err(|_| "a record of negative size")?;
        let mut record = Reader::new(reader.take(size)?);
        record.take(1)?;
        let (time, offset) = (record.varint()?, record.varint()?);
        let (key, value) = (text(varbytes(&mut record)?), text(varbytes(&mut record)?));
        let time_ms = if attributes & 8 != 0 { greatest_ms } else { first_ms + time };
        let _ = write!(out, "  {} {key}: {value} at {}", base_offset + offset, names.time(time_ms));
        for _ in 0..record.varint()? {
            let (name, value) = (text(varbytes(&mut record)?), text(varbytes(&mut record)?));
            let _ = write!(out, ", {name}={value}");
        }
        out.push('\n');
    }
    match reader.left() {
        0 => Ok(out),
        left => Ok(out + &format!("  {left} bytes behind the last record\n")),
    }
}

fn varbytes<'a>(reader: &mut Reader<'a>) -> Result<Option<&'a [u8]>, String> {
    match usize::try_from(reader.varint()?) {
        Ok(length) => reader.take(length).map(Some),
        Err(_) => Ok(None),
    }
}

fn message(bytes: &[u8], names: &mut dyn Names) -> Result<String, String> {
    let mut reader = Reader::new(bytes);
    let offset = reader.int(8)?;
    reader.take(4)?;
    let crc = reader.int(4)? as u32;
    let (magic, attributes) = (reader.int(1)?, reader.int(1)? as u8);
    let time = if magic == 1 { format!(" at {}", names.time(reader.int(8)?)) } else { String::new() };
    let mut bytes32 = || -> Result<Option<&[u8]>, String> {
        match usize::try_from(reader.int(4)?) {
            Ok(length) => reader.take(length).map(Some),
            Err(_) => Ok(None),
        }
    };
    let (key, value) = (bytes32()?, bytes32()?);
    let mut sum = flate2::Crc::new();
    sum.update(&bytes[16..]);
    let wrong = if sum.sum() == crc { "" } else { ", WRONG CHECKSUM" };
    let codec = attributes & 7;
    let head = format!("message {offset} of magic {magic}");
    if codec == 0 {
        return Ok(format!("{head}, {}: {}{time}{wrong}\n", text(key), text(value)));
    }
    let inner = describe(&decompress(codec, value.unwrap_or_default())?, names);
    let inner: String = inner.lines().map(|line| format!("  {line}\n")).collect();
    Ok(format!(
        "{head}, {}{time}{wrong}\n{inner}",
        CODECS.get(usize::from(codec)).unwrap_or(&"unknown codec")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Plain;

    impl Names for Plain {
        fn time(&mut self, ms: i64) -> String {
            ms.to_string()
        }
        fn producer(&mut self, id: i64) -> String {
            format!("producer {id}")
        }
    }

    fn three() -> Vec<Record> {
        let record = |value: &str| Record { value: Some(value.as_bytes().to_vec()), ..Record::default() };
        let headers = vec![("h".to_owned(), b"1".to_vec())];
        vec![record("a"), Record { key: Some(b"k".to_vec()), headers, ..record("b") }, Record::default()]
    }

    #[test]
    fn what_is_built_is_read_in_every_codec_and_format() {
        let mut out = String::new();
        for magic in [2, 1, 0] {
            for codec in CODECS.iter().filter(|codec| magic == 2 || **codec != "zstd") {
                let batch = Batch {
                    magic,
                    codec: (*codec).into(),
                    timestamp_ms: 5,
                    records: three(),
                    ..Batch::default()
                };
                out += &describe(&batch.bytes().unwrap(), &mut Plain);
            }
        }
        insta::assert_snapshot!(out);
    }

    #[test]
    fn faults_are_built_as_asked_and_seen() {
        let base = || Batch { records: three(), ..Batch::default() };
        let faults = [
            Batch { wrong_crc: true, ..base() },
            Batch { count: Some(4), ..base() },
            Batch { cut_bytes: 5, ..base() },
            Batch { magic: 1, wrong_crc: true, ..base() },
        ];
        let told: String =
            faults.iter().map(|batch| describe(&batch.bytes().unwrap(), &mut Plain) + "\n").collect();
        insta::assert_snapshot!(told);
        assert!(Batch { codec: "lzma".into(), ..base() }.bytes().is_err());
        assert!(Batch { magic: 3, ..base() }.bytes().is_err());
    }
}
