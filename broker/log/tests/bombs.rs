//! A batch of a few kilobytes that unpacks to more than a gigabyte is searched by time, and compacted, in little memory.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use bytes::Bytes;
use common::{NOW_MS, TestLog, clean, keyed};
use jackdaw_log::{LogConfig, OffsetQuery, Search};
use jackdaw_wire::batch::{BatchBuilder, BatchRef, RecordsError, Visit};
use jackdaw_wire::compression::{Allowance, Compression, Packer};
use jackdaw_wire::records::RecordShape;
use jackdaw_wire::varint;
use std::ops::ControlFlow;

const VALUE_BYTES: usize = 600 << 20;
const MOST_MEMORY_KIB: u64 = 64 << 10;

/// A record of zeros, piece by piece.
fn put_zeros(packer: &mut Packer, offset_delta: i32, key: u8) {
    let mut head = vec![0];
    varint::put_i64(&mut head, i64::from(offset_delta));
    varint::put_i32(&mut head, offset_delta);
    varint::put_i32(&mut head, 1);
    head.push(key);
    varint::put_i32(&mut head, VALUE_BYTES as i32);
    let mut size = Vec::new();
    varint::put_i32(&mut size, (head.len() + VALUE_BYTES + 1) as i32);
    packer.write(&size).unwrap();
    packer.write(&head).unwrap();
    let piece = vec![0; 1 << 20];
    (0..VALUE_BYTES >> 20).for_each(|_| packer.write(&piece).unwrap());
    packer.write(&[0]).unwrap();
}

/// The keys a, b and c, each a millisecond later than the one before.
fn bomb() -> Bytes {
    let mut packer = Packer::new(Compression::Zstd).unwrap();
    put_zeros(&mut packer, 0, b'a');
    put_zeros(&mut packer, 1, b'b');
    packer.write(&[16, 0, 4, 4, 2, b'c', 2, b'1', 0]).unwrap();
    // A header that counts three records, in front of these.
    let mut small = BatchBuilder::new(0, 0);
    (0..3).for_each(|at| small.append(NOW_MS + at, Some(b"k"), None));
    let mut header = BatchRef::parse(&small.build()).unwrap().header;
    let body = packer.finish().unwrap();
    header.attributes |= i16::from(Compression::Zstd.id());
    header.batch_length = (body.len() + 49) as i32;
    header.crc = header.compute_crc(&body);
    [&header.to_bytes()[..], &body].concat().into()
}

fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn a_batch_that_unpacks_to_more_than_a_gigabyte_takes_little_memory() {
    let mut log =
        TestLog::new(LogConfig { compact: true, delete: false, segment_bytes: 100, ..LogConfig::default() });
    log.append_verbatim(&[bomb()]);
    log.append_verbatim(&[keyed(3, None, &[("a", Some("2"))])]);
    log.append_verbatim(&[keyed(4, None, &[("active", Some("1"))])]);
    let before_kib = peak_kib();

    let reader = log.log.reader();
    let latest = OffsetQuery::AtOrAfter(NOW_MS + 2);
    assert_eq!(reader.find_offset(latest).unwrap().map(|found| found.offset), Some(2));
    assert_eq!(reader.find_offset_within(latest, 2 << 20).unwrap(), Search::TooLong);

    assert_eq!(clean(&mut log, 0, NOW_MS, 100), 4);
    let batches = log.all();
    let left: Vec<(i64, i32)> = batches
        .iter()
        .map(|batch| BatchRef::parse(batch).unwrap().header)
        .map(|header| (header.base_offset, header.record_count))
        .collect();
    assert_eq!(left, [(0, 2), (3, 1), (4, 1)]);
    let cleaned = BatchRef::parse(&batches[0]).unwrap();
    cleaned.check_crc().unwrap();
    let mut offsets = Vec::new();
    let mut visit = Offsets(&mut offsets);
    cleaned.walk(&Allowance::new(usize::MAX), &mut Vec::new(), &mut visit).unwrap();
    assert_eq!(
        offsets,
        [(1, NOW_MS + 1), (2, NOW_MS + 2)].map(|(at, ms)| (at, ms - cleaned.header.base_timestamp))
    );

    let took_kib = peak_kib() - before_kib;
    assert!(took_kib < MOST_MEMORY_KIB, "{took_kib} KiB");
}

struct Offsets<'a>(&'a mut Vec<(i32, i64)>);

impl Visit for Offsets<'_> {
    type Error = RecordsError;

    fn record(&mut self, record: RecordShape) -> Result<ControlFlow<()>, RecordsError> {
        self.0.push((record.offset_delta, record.timestamp_delta_ms));
        Ok(ControlFlow::Continue(()))
    }
}
