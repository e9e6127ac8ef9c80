//! What compaction keeps, told batch by batch. What it survives is tried on a disk that forgets (`jackdaw-sim`).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use bytes::Bytes;
use common::{NOW_MS, TestLog, clean, clean_options, end_marker, keyed};
use jackdaw_log::{CleanError, LogConfig};
use jackdaw_wire::batch::complete_batches;

/// Every append gets a segment of its own.
fn compacted(delete_retention_ms: i64) -> TestLog {
    TestLog::new(LogConfig {
        compact: true,
        delete: false,
        segment_bytes: 100,
        delete_retention_ms,
        ..LogConfig::default()
    })
}

/// Each batch on a word: offsets, then keys and values, or what kind of an empty batch it is.
fn told(log: &TestLog) -> String {
    let reader = log.log.reader();
    let mut words = Vec::new();
    let mut offset = reader.log_start_offset();
    while offset < log.end() {
        let read = reader.read(offset, 1 << 20, log.end(), true).unwrap();
        let mut bytes = Vec::new();
        for piece in &read.records {
            let jackdaw_wire::segment::Segment::File { file, offset, len } = piece else { panic!() };
            let mut part = vec![0; *len];
            std::os::unix::fs::FileExt::read_exact_at(&**file, &mut part, *offset).unwrap();
            bytes.extend(part);
        }
        let bytes = Bytes::from(bytes);
        for batch in complete_batches(&bytes).map(Result::unwrap) {
            batch.check_crc().unwrap();
            let header = batch.header;
            offset = header.next_offset();
            let mut scratch = Vec::new();
            let records = batch.records(1 << 20, &mut scratch).unwrap().map(Result::unwrap);
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let mut told: Vec<String> = match header.is_control() {
                true => records.map(|_| "marker".to_owned()).collect(),
                false => records
                    .map(|r| format!("{}={}", text(r.key.unwrap()), r.value.map_or("-".into(), text)))
                    .collect(),
            };
            if told.is_empty() {
                told.push("empty".to_owned());
            }
            let horizon = if header.delete_horizon_ms().is_some() { "!" } else { "" };
            words.push(format!(
                "{}..{}:{}{horizon}",
                header.base_offset,
                header.last_offset(),
                told.join(",")
            ));
        }
    }
    words.join(" ")
}

#[test]
fn each_key_keeps_its_last_value_at_its_own_offset() {
    let mut log = compacted(1_000);
    log.append_verbatim(&[keyed(0, None, &[("a", Some("1")), ("b", Some("1")), ("a", Some("2"))])]);
    log.append_verbatim(&[keyed(3, None, &[("a", Some("3")), ("c", Some("1"))])]);
    log.append_verbatim(&[keyed(5, None, &[("b", Some("2"))])]);
    log.append_verbatim(&[keyed(6, None, &[("b", Some("active"))])]);
    assert_eq!(clean(&mut log, 0, NOW_MS, 100), 6);
    assert_eq!(told(&log), "3..4:a=3,c=1 5..5:b=2 6..6:b=active");
    assert_eq!(log.log.log_start_offset(), 0, "what is gone leaves a gap and no new start");
}

#[test]
fn tombstones_stay_for_their_retention_and_then_go() {
    let mut log = compacted(1_000);
    log.append_verbatim(&[keyed(0, None, &[("a", Some("1")), ("b", Some("1"))])]);
    log.append_verbatim(&[keyed(2, None, &[("a", None)])]);
    log.append_verbatim(&[keyed(3, None, &[("c", Some("active"))])]);
    let next = clean(&mut log, 0, NOW_MS, 100);
    assert_eq!(told(&log), "0..1:b=1 2..2:a=-! 3..3:c=active");
    clean(&mut log, next, NOW_MS + 999, 100);
    assert_eq!(told(&log), "0..1:b=1 2..2:a=-! 3..3:c=active");
    clean(&mut log, next, NOW_MS + 1_000, 100);
    assert_eq!(told(&log), "0..1:b=1 3..3:c=active");
}

#[test]
fn aborted_records_go_at_once_and_markers_after_them() {
    let mut log = compacted(1_000);
    log.append_verbatim(&[keyed(0, None, &[("a", Some("1"))])]);
    log.append_verbatim(&[keyed(1, Some((7, 0)), &[("a", Some("aborted"))])]);
    log.append_verbatim(&[end_marker(2, 0, 7, true)]);
    log.append_verbatim(&[keyed(3, Some((7, 1)), &[("b", Some("1"))])]);
    log.append_verbatim(&[end_marker(4, 0, 7, false)]);
    log.append_verbatim(&[keyed(5, None, &[("c", Some("active"))])]);
    let next = clean(&mut log, 0, NOW_MS, 100);
    // A marker stays until a round has found nothing of its transaction, and for the retention of tombstones then.
    assert_eq!(told(&log), "0..0:a=1 2..2:marker 3..3:b=1 4..4:marker 5..5:c=active");
    let aborted = |log: &TestLog| log.log.reader().aborted_transactions(0, 5).unwrap().len();
    assert_eq!(aborted(&log), 1);
    clean(&mut log, next, NOW_MS, 100);
    assert_eq!(told(&log), "0..0:a=1 2..2:marker! 3..3:b=1 4..4:marker 5..5:c=active");
    assert_eq!(aborted(&log), 0);
    clean(&mut log, next, NOW_MS + 1_000, 100);
    assert_eq!(told(&log), "0..0:a=1 3..3:b=1 4..4:marker 5..5:c=active");
}

#[test]
fn an_open_transaction_holds_compaction_back() {
    let mut log = compacted(1_000);
    log.append_verbatim(&[keyed(0, None, &[("a", Some("1"))])]);
    log.append_verbatim(&[keyed(1, None, &[("a", Some("2"))])]);
    log.append_verbatim(&[keyed(2, Some((7, 0)), &[("a", Some("open"))])]);
    log.append_verbatim(&[keyed(3, None, &[("a", Some("3"))])]);
    log.append_verbatim(&[keyed(4, None, &[("a", Some("active"))])]);
    assert_eq!(clean(&mut log, 0, NOW_MS, 100), 2);
    assert_eq!(told(&log), "1..1:a=2 2..2:a=open 3..3:a=3 4..4:a=active");
}

#[test]
fn a_producers_last_sequence_outlives_its_records() {
    let mut log = compacted(1_000);
    log.append_verbatim(&[keyed(0, Some((7, 0)), &[("a", Some("1")), ("a", Some("2"))])]);
    log.append_verbatim(&[end_marker(2, 0, 7, false)]);
    log.append_verbatim(&[keyed(3, None, &[("a", Some("3"))])]);
    log.append_verbatim(&[keyed(4, None, &[("b", Some("active"))])]);
    clean(&mut log, 0, NOW_MS, 100);
    assert_eq!(told(&log), "0..1:empty 2..2:marker 3..3:a=3 4..4:b=active");
    log.reopen(jackdaw_log::OpenState::default());
    assert_eq!(log.log.producers().get(7).map(|entry| entry.last_sequence()), Some(1));
}

#[test]
fn a_round_ends_where_its_memory_does_and_the_next_goes_on() {
    let mut log = compacted(1_000);
    for number in 0..20 {
        let key = format!("key-{}", number % 10);
        log.append_verbatim(&[keyed(number, None, &[(&key, Some(&number.to_string()))])]);
    }
    let mut next = 0;
    let mut rounds = 0;
    while next < 19 {
        let ended = clean(&mut log, next, NOW_MS, 6);
        assert!(ended > next, "{ended} after {next}");
        (next, rounds) = (ended, rounds + 1);
    }
    assert!(rounds > 2);
    let expected: Vec<String> = (9..20).map(|n| format!("{n}..{n}:key-{}={n}", n % 10)).collect();
    assert_eq!(told(&log), expected.join(" "), "the active segment's key-9 hides none of the others");
    assert!(log.log.segment_count() < 20, "what is empty joins its neighbour");
}

#[test]
fn what_changed_meanwhile_is_not_replaced() {
    let mut log = compacted(1_000);
    for number in 0..4 {
        log.append_verbatim(&[keyed(number, None, &[("a", Some("1"))])]);
    }
    let config = log.config.clone();
    let cleanable = log.log.reader().cleanable(None, 4, &config, NOW_MS).unwrap();
    assert!(cleanable.is_due(&config), "{cleanable:?}");
    let mut cleaning = log.log.begin_cleaning(&cleanable, clean_options(NOW_MS, 100));
    cleaning.index(&mut |_| Ok(())).unwrap();
    let group = cleaning.next_group(&mut |_| Ok(())).unwrap().unwrap();
    log.log.truncate_to(1, NOW_MS).unwrap();
    assert!(!log.log.swap_in(group, NOW_MS).unwrap());
    assert_eq!(told(&log), "0..0:a=1");
    let called_off = cleaning.index(&mut |_| Err(CleanError::Aborted));
    assert!(matches!(called_off, Err(CleanError::Aborted)));
    let left = log.files().into_iter().filter(|name| name.contains(".cleaned") || name.contains(".swap"));
    assert_eq!(left.count(), 0);
}

#[test]
fn lags_and_the_dirty_part_decide_when_it_is_time() {
    let due = |config: LogConfig, checkpoint: Option<i64>, now_ms: i64| {
        let mut log = TestLog::new(LogConfig { compact: true, segment_bytes: 100, ..config });
        for number in 0..10 {
            log.append_verbatim(&[keyed(number, None, &[("a", Some("1"))])]);
        }
        let config = log.config.clone();
        let cleanable = log.log.reader().cleanable(checkpoint, 10, &config, now_ms).unwrap();
        (cleanable.first_dirty_offset, cleanable.first_uncleanable_offset, cleanable.is_due(&config))
    };
    let plain = LogConfig::default();
    assert_eq!(due(plain.clone(), None, NOW_MS), (0, 9, true));
    assert_eq!(due(plain.clone(), Some(4), NOW_MS), (4, 9, true));
    assert_eq!(due(plain.clone(), Some(6), NOW_MS), (6, 9, false), "a third of it is dirty");
    assert_eq!(due(plain.clone(), Some(99), NOW_MS), (0, 9, true), "no checkpoint of this log");
    let lag = LogConfig { min_compaction_lag_ms: 1_000, ..plain.clone() };
    assert_eq!(due(lag.clone(), None, NOW_MS + 999), (0, 0, false));
    assert_eq!(due(lag, None, NOW_MS + 1_000), (0, 9, true));
    let overdue = LogConfig { max_compaction_lag_ms: 1_000, ..plain };
    assert_eq!(due(overdue.clone(), Some(8), NOW_MS + 1_000), (8, 9, false));
    assert_eq!(due(overdue, Some(8), NOW_MS + 1_001), (8, 9, true));
}
