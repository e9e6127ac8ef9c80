//! Record batches that lie: about their counts, offsets, sums, timestamps, sequences and sizes, plain and in each
//! codec.

use crate::node::{Node, SCRATCH, produce};
use crate::wire::{Connection, frame};
use jackdaw_wire::batch::{BatchBuilder, BatchHeader, HEADER_BYTES, LOG_OVERHEAD_BYTES};
use jackdaw_wire::compression::{Compression, compress};
use jackdaw_wire::{Bytes, BytesMut, varint};
use std::time::Duration;

const CODECS: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
/// `max.message.bytes`, as it is where nobody set it.
const MAX_MESSAGE_BYTES: usize = 1_048_588;
const ANSWERED_SOON: Duration = Duration::from_millis(300);
/// Where each field of a batch's header begins, and its bytes (`DefaultRecordBatch`).
const FIELDS: &[(&str, usize, usize)] = &[
    ("base offset", 0, 8),
    ("length", 8, 4),
    ("leader epoch", 12, 4),
    ("magic", 16, 1),
    ("CRC", 17, 4),
    ("attributes", 21, 2),
    ("last offset delta", 23, 4),
    ("base timestamp", 27, 8),
    ("max timestamp", 35, 8),
    ("producer id", 43, 8),
    ("producer epoch", 51, 2),
    ("base sequence", 53, 4),
    ("count", 57, 4),
];
const CRC_AT: usize = 17;

/// The extremes of a field of that many bytes, and its neighbours of zero.
fn extremes(bytes: usize) -> Vec<Vec<u8>> {
    let whole: &[i64] = &[0, 1, 2, -1, -2, i64::MAX, i64::MIN, i64::MAX - 1, i64::MIN + 1];
    let bits = 8 * bytes as u32;
    let shrunk = |value: i64| match value {
        small if small.unsigned_abs() < 3 => small,
        large => large >> (64 - bits),
    };
    whole.iter().map(|value| shrunk(*value).to_be_bytes()[8 - bytes..].to_vec()).collect()
}

/// A batch of a few records, packed.
fn batch(codec: Compression) -> Bytes {
    let mut records = BatchBuilder::new(0, -1);
    for at in 0..5_i64 {
        records.append(1_700_000_000_000 + at, Some(b"key"), Some(format!("value {at}").as_bytes()));
    }
    records.build_compressed(codec).unwrap()
}

/// The same bytes under a sum that is true of them.
pub fn summed(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Ok(header) = BatchHeader::parse(&bytes) {
        let crc = header.compute_crc(&bytes[HEADER_BYTES..]);
        bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
    }
    bytes
}

/// Every field of the header in turn at its extremes, with a sum that is true and one that is not; every byte of the
/// records; every length of the whole.
pub fn lies(node: &Node) -> Result<String, String> {
    let mut liars = Vec::new();
    for codec in CODECS {
        let honest = batch(codec);
        for (_, at, bytes) in FIELDS {
            for extreme in extremes(*bytes) {
                let mut liar = honest.to_vec();
                liar[*at..at + bytes].copy_from_slice(&extreme);
                liars.extend([summed(liar.clone()), liar]);
            }
        }
        for at in HEADER_BYTES..honest.len() {
            for byte in [0x00, 0x01, 0x7f, 0x80, 0xff] {
                let mut liar = honest.to_vec();
                liar[at] = byte;
                liars.push(summed(liar));
            }
        }
        for length in 0..honest.len() {
            let mut liar = honest[..length].to_vec();
            if length > LOG_OVERHEAD_BYTES {
                let size = i32::try_from(length - LOG_OVERHEAD_BYTES).unwrap();
                liar[8..LOG_OVERHEAD_BYTES].copy_from_slice(&size.to_be_bytes());
            }
            liars.push(summed(liar));
        }
        liars.push([&honest[..], &honest].concat());
    }
    let mut connection = None;
    for liar in &liars {
        for (version, acks) in [(8, -1), (3, 1)] {
            let open = match connection.take() {
                Some(open) => open,
                None => Connection::open(node.clients()).map_err(|error| error.to_string())?,
            };
            let mut open: Connection = open;
            let sent =
                open.provoke(&frame(version, &produce(SCRATCH, acks, liar.clone().into())), ANSWERED_SOON);
            if let Some(end) = node.end() {
                return Err(format!("{end} by {liar:02x?}"));
            }
            connection = sent.then_some(open);
        }
    }
    Ok(format!("{} batches, twice each", liars.len()))
}

/// A record of zeros in each codec that unpacks to more than a request may (`Allowance`), on several connections at once.
pub fn bombs(node: &Node) -> Result<String, String> {
    const UNPACKED_BYTES: usize = 300 << 20;
    const TOO_LARGE: i16 = 10;
    // Attributes, deltas of timestamp and offset, no key; no headers behind the value.
    let mut body = BytesMut::new();
    body.extend_from_slice(&[0, 0, 0, 1]);
    varint::put_i64(&mut body, UNPACKED_BYTES as i64);
    let inner_bytes = body.len() + UNPACKED_BYTES + 1;
    let mut record = BytesMut::new();
    varint::put_i64(&mut record, inner_bytes as i64);
    record.extend_from_slice(&body);
    record.resize(record.len() + UNPACKED_BYTES + 1, 0);
    let mut sizes = Vec::new();
    for codec in &CODECS[1..] {
        let small = compress(*codec, &record).map_err(|error| error.to_string())?;
        let request = produce(SCRATCH, -1, packed(*codec, 1, &small).into());
        if small.len() > MAX_MESSAGE_BYTES {
            continue;
        }
        sizes.push(format!("{} KB of {codec:?}", small.len() >> 10));
        let answers = std::thread::scope(|scope| {
            let send = || {
                let mut connection = Connection::open(node.clients())?;
                let reply = connection.ask(8, &request)?;
                Ok::<i16, std::io::Error>(reply.responses[0].partition_responses[0].error_code)
            };
            let senders: Vec<_> = (0..3).map(|_| scope.spawn(send)).collect();
            senders.into_iter().map(|sender| sender.join().unwrap()).collect::<Vec<_>>()
        });
        for answer in answers {
            match answer {
                Ok(TOO_LARGE) => {}
                other => return Err(format!("{codec:?}: {other:?}")),
            }
        }
    }
    Ok(format!("{}, three times each", sizes.join(", ")))
}

/// Held for the cases that blow up.
pub fn packed(codec: Compression, count: i32, body: &[u8]) -> Vec<u8> {
    let mut bytes = BytesMut::from(&batch(Compression::None)[..HEADER_BYTES]);
    bytes.extend_from_slice(body);
    let size = i32::try_from(bytes.len() - LOG_OVERHEAD_BYTES).unwrap();
    bytes[8..12].copy_from_slice(&size.to_be_bytes());
    bytes[21..23].copy_from_slice(&i16::from(codec.id()).to_be_bytes());
    bytes[23..27].copy_from_slice(&(count - 1).to_be_bytes());
    bytes[57..61].copy_from_slice(&count.to_be_bytes());
    summed(bytes.to_vec())
}
