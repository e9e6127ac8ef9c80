//! The log on the machine's disk: rolls, producers, transactions, retention, leftovers, a JVM's files.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{NOW_MS, TestLog, batch, end_marker, stamped, transactional};
use jackdaw_log::{AppendError, LogConfig, OffsetQuery, OpenState, ReadError, TimestampAndOffset, names};
use jackdaw_wire::types::Uuid;
use jackdaw_wire::validate::AppendOrigin;

fn small_segments() -> LogConfig {
    LogConfig { segment_bytes: 1000, index_interval_bytes: 200, ..LogConfig::default() }
}

/// A log of `count` batches of two records, 10 ms apart.
fn filled(config: LogConfig, count: i64) -> TestLog {
    let mut log = TestLog::new(config);
    for number in 0..count {
        log.append_verbatim(&[batch(number * 2, 0, NOW_MS + number * 10, 2, None)]);
    }
    log
}

fn clean(log: &TestLog) -> OpenState {
    OpenState { clean_shutdown: true, recovery_point: log.end(), ..OpenState::default() }
}

#[test]
fn a_new_log_is_an_empty_segment_with_kafkas_file_names() {
    let log = TestLog::new(LogConfig::default());
    let prefix = "00000000000000000000";
    assert_eq!(log.files(), [".index", ".log", ".timeindex"].map(|suffix| format!("{prefix}{suffix}")));
    assert_eq!((log.log.log_start_offset(), log.end()), (0, 0));
    assert!(log.read(0, 100, 0).is_empty());
}

#[test]
fn segments_roll_by_size_by_time_and_at_the_end_of_relative_offsets() {
    let by_size = filled(small_segments(), 20);
    assert!(by_size.log.segment_count() > 3);

    let mut by_time = TestLog::new(LogConfig { segment_ms: 1000, ..LogConfig::default() });
    for (offset, timestamp_ms, segments) in [(0, NOW_MS, 1), (1, NOW_MS + 1000, 1), (2, NOW_MS + 1001, 2)] {
        by_time.append_verbatim(&[batch(offset, 0, timestamp_ms, 1, None)]);
        assert_eq!(by_time.log.segment_count(), segments, "at {timestamp_ms}");
    }

    let mut by_offset = TestLog::new(LogConfig::default());
    let far = i64::from(i32::MAX);
    for (offset, segments) in [(0, 1), (far, 1), (far + 1, 2)] {
        by_offset.append_verbatim(&[batch(offset, 0, NOW_MS, 1, None)]);
        assert_eq!(by_offset.log.segment_count(), segments, "at {offset}");
    }
    assert_eq!(by_offset.read(1, 1, i64::MAX), [far]);
}

#[test]
fn a_leaders_append_larger_than_a_segment_is_refused() {
    let mut log = TestLog::new(LogConfig { segment_bytes: 100, ..LogConfig::default() });
    let refused =
        log.log.append_leader(&[stamped(&batch(0, 0, NOW_MS, 3, None))], AppendOrigin::Client, None, NOW_MS);
    assert!(matches!(refused, Err(AppendError::LargerThanSegment { .. })));
    assert_eq!(log.end(), 0);
}

#[test]
fn producers_are_checked_as_kafka_checks_them() {
    let mut log = TestLog::new(LogConfig::default());
    let mut send = |producer: i64, epoch: i16, sequence: i32, records: i64| {
        let mut bytes = batch(log.end(), 0, NOW_MS, records, Some((producer, sequence))).to_vec();
        bytes[51..53].copy_from_slice(&epoch.to_be_bytes());
        let crc = crc32c::crc32c(&bytes[21..]).to_be_bytes();
        bytes[17..21].copy_from_slice(&crc);
        match log.log.append_leader(&[stamped(&bytes.into())], AppendOrigin::Client, None, NOW_MS) {
            Ok(info) if info.is_duplicate => {
                format!("duplicate of {}..={}", info.first_offset, info.last_offset)
            }
            Ok(info) => format!("{}..={}", info.first_offset, info.last_offset),
            Err(AppendError::OutOfOrderSequence { current, .. }) => format!("out of order after {current}"),
            Err(AppendError::InvalidSequenceForNewEpoch { current_epoch, .. }) => {
                format!("not 0 after epoch {current_epoch}")
            }
            Err(AppendError::InvalidProducerEpoch { last_seen, .. }) => format!("fenced by {last_seen}"),
            Err(other) => other.to_string(),
        }
    };
    for ((producer, epoch, sequence, records), outcome) in [
        ((1, 0, 0, 2), "0..=1"),
        ((1, 0, 0, 2), "duplicate of 0..=1"),
        ((1, 0, 3, 1), "out of order after 1"),
        ((1, 0, 2, 1), "2..=2"),
        ((1, 0, 3, 1), "3..=3"),
        ((1, 0, 4, 1), "4..=4"),
        ((1, 0, 5, 1), "5..=5"),
        ((1, 0, 2, 1), "duplicate of 2..=2"),
        ((1, 0, 6, 1), "6..=6"),
        // The sixth batch pushed the first one out of memory: it is no longer known as a duplicate.
        ((1, 0, 0, 2), "out of order after 6"),
        ((1, 1, 5, 1), "not 0 after epoch 0"),
        ((1, 1, 0, 1), "7..=7"),
        ((1, 0, 7, 1), "fenced by 1"),
        // A producer that is not known may start anywhere: its records may have been deleted.
        ((2, 0, i32::MAX - 1, 2), "8..=9"),
        ((2, 0, 0, 1), "10..=10"),
        ((3, 0, i32::MAX, 3), "11..=13"),
        ((3, 0, 2, 1), "14..=14"),
        ((3, 0, i32::MAX, 3), "duplicate of 11..=13"),
    ] {
        assert_eq!(
            send(producer, epoch, sequence, records),
            outcome,
            "{producer} {epoch} {sequence} {records}"
        );
    }
}

#[test]
fn followers_take_only_what_continues_their_log() {
    let mut log = filled(LogConfig::default(), 2);
    let mut torn = batch(4, 0, NOW_MS, 2, None).to_vec();
    torn[80] ^= 1;
    let twice = [batch(4, 0, NOW_MS, 2, None), batch(5, 0, NOW_MS, 1, None)].concat();
    for (bytes, complaint) in [
        (batch(3, 0, NOW_MS, 1, None), "Unexpected offset"),
        (torn.into(), "corrupt"),
        (twice.into(), "Out of order offsets"),
    ] {
        let told = log.log.append_follower(&bytes, NOW_MS).unwrap_err().to_string();
        assert!(told.contains(complaint), "{told}");
        assert_eq!(log.end(), 4);
    }
}

#[test]
fn reads_respect_limits_bounds_and_ends() {
    let log = filled(LogConfig::default(), 5);
    let size = batch(0, 0, NOW_MS, 2, None).len();
    for ((offset, max_bytes, bound), found) in [
        ((0, 1, 10), &[0][..]),
        ((1, 1, 10), &[0]),
        ((0, 2 * size, 10), &[0, 2]),
        ((3, usize::MAX, 10), &[2, 4, 6, 8]),
        ((0, usize::MAX, 6), &[0, 2, 4]),
        ((6, usize::MAX, 6), &[]),
        ((8, usize::MAX, 6), &[]),
        ((10, usize::MAX, 10), &[]),
    ] {
        assert_eq!(log.read(offset, max_bytes, bound), found, "{offset} {max_bytes} {bound}");
    }
    let reader = log.log.reader();
    let cut = reader.read(0, 10, 10, false).unwrap();
    assert!(cut.is_first_batch_incomplete && cut.size_bytes == 10);
    for outside in [-1, 11] {
        assert!(matches!(reader.read(outside, 1, 10, true), Err(ReadError::OffsetOutOfRange { .. })));
    }
    let (from, to) = (reader.position_of(2).unwrap(), reader.end_position());
    assert_eq!(from.bytes_to(&to), Some(4 * size as u64));
}

#[test]
fn offsets_are_found_by_time() {
    let mut log = filled(small_segments(), 20);
    let at = |timestamp_ms, offset| Some(TimestampAndOffset { timestamp_ms, offset, leader_epoch: Some(0) });
    let reader = log.log.reader();
    for (query, found) in [
        (OffsetQuery::Earliest, at(-1, 0)),
        (OffsetQuery::Latest, at(-1, 40)),
        (OffsetQuery::MaxTimestamp, at(NOW_MS + 190, 39)),
        (OffsetQuery::AtOrAfter(0), at(NOW_MS - 1, 0)),
        (OffsetQuery::AtOrAfter(NOW_MS), at(NOW_MS, 1)),
        (OffsetQuery::AtOrAfter(NOW_MS + 101), at(NOW_MS + 109, 22)),
        (OffsetQuery::AtOrAfter(NOW_MS + 190), at(NOW_MS + 190, 39)),
        (OffsetQuery::AtOrAfter(NOW_MS + 191), None),
    ] {
        assert_eq!(reader.find_offset(query).unwrap(), found, "{query:?}");
    }
    log.log.advance_log_start(7).unwrap();
    assert_eq!(reader.find_offset(OffsetQuery::Earliest).unwrap(), at(-1, 7));
}

#[test]
fn retention_removes_by_size_by_age_and_before_the_start_but_never_above_the_high_watermark() {
    // Six batches to a segment, two records to a batch.
    let count = |config: LogConfig, now_ms: i64, high_watermark: i64, start: i64| {
        let mut log = filled(LogConfig { segment_bytes: 1000, ..config }, 30);
        log.log.advance_log_start(start).unwrap();
        let removed = log.log.enforce_retention(now_ms, high_watermark).unwrap();
        (removed, log.log.log_start_offset(), log.log.segment_count())
    };
    let keep = LogConfig { retention_ms: -1, retention_bytes: -1, ..LogConfig::default() };
    let by_size = LogConfig { retention_bytes: 2000, ..keep.clone() };
    let by_age = LogConfig { retention_ms: 1000, ..keep.clone() };
    assert_eq!(count(keep.clone(), i64::MAX, 60, 0), (0, 0, 5));
    assert_eq!(count(keep, NOW_MS, 60, 20), (1, 20, 4));
    assert_eq!(count(by_size.clone(), NOW_MS, 60, 0), (2, 24, 3));
    assert_eq!(count(by_size.clone(), NOW_MS, 17, 0), (1, 12, 4));
    assert_eq!(count(LogConfig { delete: false, compact: true, ..by_size }, NOW_MS, 60, 0), (0, 0, 5));
    assert_eq!(count(by_age.clone(), NOW_MS + 1131, 60, 0), (2, 24, 3));
    // All of it too old: a log always has a segment to append to.
    assert_eq!(count(by_age, NOW_MS + 1_000_000, 60, 0), (5, 60, 1));
}

#[test]
fn removed_files_wait_for_their_delay() {
    let mut log = filled(LogConfig { retention_bytes: 0, ..small_segments() }, 10);
    log.log.enforce_retention(NOW_MS, 20).unwrap();
    let doomed =
        |log: &TestLog| log.files().iter().filter(|name| name.ends_with(names::DELETED_SUFFIX)).count();
    assert!(doomed(&log) >= 6);
    assert_eq!(log.log.next_removal_ms(), Some(NOW_MS + 60_000));
    log.log.remove_doomed(NOW_MS + 59_999).unwrap();
    assert!(doomed(&log) >= 6);
    log.log.remove_doomed(NOW_MS + 60_000).unwrap();
    assert_eq!((doomed(&log), log.log.next_removal_ms()), (0, None));
}

#[test]
fn a_reader_goes_on_while_its_segment_is_removed_and_its_folder_renamed() {
    let mut log = filled(small_segments(), 10);
    let reader = log.log.reader();
    assert!(!reader.read(0, 1000, 20, true).unwrap().records.is_empty());
    log.log.mark_folder(names::FolderKind::Delete, Uuid::from_u128(1 << 100)).unwrap();
    assert!(log.folder().to_string_lossy().ends_with("-delete"));
    for offset in 0..20 {
        assert!(!reader.read(offset, 1000, 20, true).unwrap().records.is_empty(), "{offset}");
    }
}

#[test]
fn transactions_hold_the_last_stable_offset_back_until_their_end_is_replicated() {
    let mut log = TestLog::new(LogConfig::default());
    log.append_verbatim(&[
        batch(0, 0, NOW_MS, 2, None),
        transactional(2, 0, 7, 0, 0),
        transactional(3, 0, 8, 0, 0),
    ]);
    let stable = |log: &TestLog, high_watermark| log.log.reader().last_stable_offset(high_watermark);
    assert_eq!(stable(&log, 4), 2);
    log.append_verbatim(&[end_marker(4, 0, 7, true)]);
    assert_eq!(stable(&log, 4), 2, "the marker is not below the high watermark");
    log.log.high_watermark_moved(5);
    assert_eq!(stable(&log, 5), 3);
    log.append_verbatim(&[end_marker(5, 0, 8, false)]);
    log.log.high_watermark_moved(6);
    assert_eq!(stable(&log, 6), 6);
    let aborted = |from, to| -> Vec<(i64, i64)> {
        let found = log.log.reader().aborted_transactions(from, to).unwrap();
        found.iter().map(|txn| (txn.producer_id, txn.first_offset)).collect()
    };
    assert_eq!(aborted(0, 6), [(7, 2)]);
    assert_eq!((aborted(5, 6), aborted(0, 2)), (vec![], vec![]));
}

#[test]
fn a_transaction_opens_only_with_the_guard_it_was_verified_with() {
    let mut log = TestLog::new(LogConfig::default());
    log.reopen(OpenState { verify_transactions: true, ..OpenState::default() });
    let append = |log: &mut TestLog, sequence, guard| {
        let batch = stamped(&transactional(log.end(), 0, 7, 0, sequence));
        log.log.append_leader(&[batch], AppendOrigin::Client, guard, NOW_MS)
    };
    let refused = append(&mut log, 0, None);
    assert!(matches!(refused, Err(AppendError::UnverifiedTransaction { producer_id: 7, .. })));
    let guard = log.log.start_verification(7, 0, 0, NOW_MS);
    assert_eq!(log.log.start_verification(7, 3, 0, NOW_MS), guard, "it goes on");
    let early = append(&mut log, 3, guard);
    assert!(matches!(early, Err(AppendError::OutOfOrderSequence { incoming: 3, current: 0, .. })));
    append(&mut log, 0, guard).unwrap();
    append(&mut log, 1, None).unwrap();
    assert_eq!(log.log.start_verification(7, 2, 0, NOW_MS), None, "it is open");
    let marker = stamped(&end_marker(log.end(), 0, 7, true));
    log.log.append_leader(&[marker], AppendOrigin::Coordinator, None, NOW_MS).unwrap();
    let stale = append(&mut log, 2, guard);
    assert!(matches!(stale, Err(AppendError::UnverifiedTransaction { .. })), "confirmed before the marker");
}

#[test]
fn aborted_transactions_and_producers_are_rebuilt_after_a_crash() {
    let mut log = TestLog::new(LogConfig::default());
    log.append_verbatim(&[
        transactional(0, 0, 7, 0, 0),
        end_marker(1, 0, 7, true),
        transactional(2, 0, 8, 0, 5),
    ]);
    std::fs::remove_file(log.folder().join("00000000000000000000.txnindex")).unwrap();
    log.reopen(OpenState::default());
    assert_eq!(log.log.reader().aborted_transactions(0, 3).unwrap().len(), 1);
    assert_eq!(log.log.producers().first_unstable_offset(), Some(2));
    assert!(log.log.producers().has_open_transaction(8) && !log.log.producers().has_open_transaction(7));
}

#[test]
fn a_torn_tail_is_cut_and_everything_before_it_stays() {
    for cut in [1, 30, 61, 70, 150] {
        let mut log = filled(LogConfig::default(), 5);
        let path = log.folder().join("00000000000000000000.log");
        let size = std::fs::metadata(&path).unwrap().len();
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(size - cut).unwrap();
        log.reopen(OpenState::default());
        assert_eq!(log.end(), 8, "{cut} bytes cut");
        log.append_verbatim(&[batch(8, 1, NOW_MS, 1, None)]);
        assert_eq!(log.read(0, usize::MAX, 9), [0, 2, 4, 6, 8]);
    }
}

#[test]
fn a_killed_jvms_zero_tailed_indexes_are_read_by_content_and_trimmed() {
    let mut log = filled(small_segments(), 20);
    log.log.close_clean().unwrap();
    let sizes = |log: &TestLog| -> Vec<u64> {
        let names = log.files().into_iter().filter(|name| name.ends_with("index"));
        names.map(|name| std::fs::metadata(log.folder().join(name)).unwrap().len()).collect()
    };
    let before = sizes(&log);
    for name in log.files().into_iter().filter(|name| name.ends_with("index")) {
        let size = if name.ends_with(".index") { 10_485_760 } else { 10_485_756 };
        let path = log.folder().join(name);
        std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(size).unwrap();
    }
    // Killed after its last flush: the segments before the recovery point are not recovered.
    log.reopen(OpenState { recovery_point: log.end() - 1, ..OpenState::default() });
    for offset in 0..40 {
        assert_eq!(log.read(offset, 1, 40), [offset / 2 * 2]);
    }
    let found = log.log.reader().find_offset(OffsetQuery::AtOrAfter(NOW_MS + 101)).unwrap();
    assert_eq!(found.map(|found| found.offset), Some(22));
    log.log.close_clean().unwrap();
    let last = before.len() - 2;
    assert_eq!(sizes(&log)[last..], before[last..], "the active segment's indexes are trimmed");
}

#[test]
fn leftovers_of_interrupted_work_are_cleared_or_finished() {
    let mut log = filled(small_segments(), 20);
    log.log.close_clean().unwrap();
    let folder = log.folder();
    let bases: Vec<i64> =
        log.files().iter().filter(|n| n.ends_with(".log")).filter_map(|n| names::offset_of_file(n)).collect();
    let name = |base: i64, suffix: &str| folder.join(names::segment_file(base, suffix));
    // The second segment was about to be replaced by an equal one; a later one was still being cleaned.
    std::fs::copy(name(bases[1], ".log"), name(bases[1], ".log.swap")).unwrap();
    std::fs::copy(name(bases[1], ".index"), name(bases[1], ".index.swap")).unwrap();
    std::fs::copy(name(bases[1], ".timeindex"), name(bases[1], ".timeindex.swap")).unwrap();
    std::fs::write(name(bases[2], ".log.cleaned"), "half").unwrap();
    std::fs::write(name(bases[2], ".log.swap"), "of the same unfinished work").unwrap();
    std::fs::write(name(900, ".log.deleted"), "old").unwrap();
    std::fs::write(name(900, ".index"), "orphan!!").unwrap();
    std::fs::write(folder.join("00000000000000000008-0000000001.checkpoint.deleted"), "a snapshot's")
        .unwrap();
    log.reopen(clean(&log));
    assert_eq!(log.read(0, usize::MAX, i64::MAX).first(), Some(&0));
    let mut found = Vec::new();
    while found.last().is_none_or(|last| last + 2 < log.end()) {
        found.extend(log.read(found.last().map_or(0, |last| last + 2), usize::MAX, i64::MAX));
    }
    assert_eq!(found, (0..20).map(|number| number * 2).collect::<Vec<_>>());
    let left = [".swap", ".cleaned", ".deleted"];
    let left: Vec<String> =
        log.files().into_iter().filter(|name| left.iter().any(|suffix| name.ends_with(suffix))).collect();
    assert_eq!(left, ["00000000000000000008-0000000001.checkpoint.deleted"]);
    assert!(!name(900, ".index").exists());
}

#[test]
fn a_clean_stop_needs_no_recovery_and_forgets_nobody() {
    let mut log = filled(small_segments(), 10);
    log.append_verbatim(&[batch(20, 3, NOW_MS, 2, Some((5, 0)))]);
    log.log.close_clean().unwrap();
    assert!(log.files().contains(&"00000000000000000022.snapshot".to_owned()), "{:?}", log.files());
    assert_eq!(log.log.recovery_point(), 22);
    log.reopen(clean(&log));
    assert_eq!((log.log.log_start_offset(), log.end(), log.log.latest_epoch()), (0, 22, Some(3)));
    assert_eq!(log.log.producers().get(5).map(|entry| entry.last_sequence()), Some(1));
    assert_eq!(log.log.end_offset_for_epoch(0), Some((0, 20)));
}

#[test]
fn truncation_takes_epochs_and_producers_along() {
    let mut log = filled(small_segments(), 10);
    log.append_verbatim(&[batch(20, 3, NOW_MS, 2, Some((5, 0))), batch(22, 4, NOW_MS, 2, Some((5, 2)))]);
    for (offset, last_sequence, epoch) in [(22, Some(1), 3), (20, None, 0), (8, None, 0)] {
        assert!(log.log.truncate_to(offset, NOW_MS).unwrap());
        let left = log.log.producers().get(5).map(|entry| entry.last_sequence());
        assert_eq!((log.end(), left, log.log.latest_epoch()), (offset, last_sequence, Some(epoch)));
    }
    assert!(!log.log.truncate_to(8, NOW_MS).unwrap());
    log.log.truncate_fully_and_start_at(100, NOW_MS).unwrap();
    assert_eq!((log.log.log_start_offset(), log.end(), log.log.latest_epoch()), (100, 100, None));
    log.append_verbatim(&[batch(100, 5, NOW_MS, 1, None)]);
    log.reopen(OpenState { recovery_point: 100, ..OpenState::default() });
    assert_eq!((log.log.log_start_offset(), log.end(), log.log.latest_epoch()), (100, 101, Some(5)));
}

#[test]
fn a_log_that_ends_before_its_start_begins_there_anew() {
    let mut log = filled(LogConfig::default(), 3);
    log.reopen(OpenState { log_start_offset: 50, ..OpenState::default() });
    assert_eq!((log.log.log_start_offset(), log.end()), (50, 50));
}
