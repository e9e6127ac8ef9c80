//! What recovery after an unclean stop believes, and what it takes for a loss.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use bytes::Bytes;
use common::{NOW_MS, TestLog, batch, clean, end_marker, keyed, transactional};
use jackdaw_log::{LogConfig, OpenState, names};
use jackdaw_wire::batch::BatchRef;

fn small_segments() -> LogConfig {
    LogConfig { segment_bytes: 1000, index_interval_bytes: 200, ..LogConfig::default() }
}

fn unclean(recovery_point: i64) -> OpenState {
    OpenState { recovery_point, ..OpenState::default() }
}

/// A log of these batches, each appended by itself.
fn log_of(config: LogConfig, batches: &[Bytes]) -> TestLog {
    let mut log = TestLog::new(config);
    for batch in batches {
        log.append_verbatim(std::slice::from_ref(batch));
    }
    log
}

fn base_offset(batch: &Bytes) -> i64 {
    BatchRef::parse(batch).unwrap().header.base_offset
}

fn base_offsets(log: &TestLog) -> Vec<i64> {
    log.all().iter().map(base_offset).collect()
}

/// Base offsets of the segments.
fn segments(log: &TestLog) -> Vec<i64> {
    let logs = log.files().into_iter().filter(|name| name.ends_with(".log"));
    logs.filter_map(|name| names::offset_of_file(&name)).collect()
}

fn path(log: &TestLog, base: i64) -> std::path::PathBuf {
    log.folder().join(names::segment_file(base, ".log"))
}

fn cut_off(log: &TestLog, base: i64, bytes: u64) {
    let file = std::fs::OpenOptions::new().write(true).open(path(log, base)).unwrap();
    file.set_len(file.metadata().unwrap().len() - bytes).unwrap();
}

/// What is derived from the records: sequences, open and aborted transactions, epochs.
fn derived(log: &mut TestLog) -> String {
    let end = log.end();
    log.log.high_watermark_moved(end);
    let producers: Vec<_> =
        log.log.producers().producers().map(|p| (p.producer_id, p.last_sequence())).collect();
    let aborted = log.log.reader().aborted_transactions(0, log.end()).unwrap();
    format!(
        "{:?} first unstable {:?}, aborted {aborted:?}, {:?}",
        std::collections::BTreeMap::from_iter(producers),
        log.log.producers().first_unstable_offset(),
        log.log.epochs()
    )
}

/// A follower's copy of what a compacted leader has: gaps between segments, inside them, and before the end.
fn copy_with_gaps() -> Vec<Bytes> {
    (0..60)
        .map(|number| {
            let (base, epoch) = (number * number * 3, (number / 20) as i32);
            match number % 10 {
                3 => transactional(base, epoch, 7, 0, number as i32),
                6 => end_marker(base, epoch, 7, number > 30),
                _ => batch(base, epoch, NOW_MS + number, 2, (number % 4 == 1).then_some((number, 5))),
            }
        })
        .collect()
}

#[test]
fn a_copy_of_a_compacted_log_keeps_every_record_after_an_unclean_stop() {
    let batches = copy_with_gaps();
    let offsets: Vec<i64> = batches.iter().map(base_offset).collect();
    for recovery_point in [0, 1, 500, 3_000, offsets[59]] {
        let mut log = log_of(small_segments(), &batches);
        assert!(segments(&log).len() > 5);
        let (end, before) = (log.end(), derived(&mut log));
        log.reopen(unclean(recovery_point));
        assert_eq!(
            (log.end(), base_offsets(&log)),
            (end, offsets.clone()),
            "recovery point {recovery_point}"
        );
        assert_eq!(derived(&mut log), before, "recovery point {recovery_point}");
    }
}

#[test]
fn what_a_follower_fetched_from_a_compacted_leader_outlives_a_kill() {
    let compacted = LogConfig { compact: true, delete: false, ..small_segments() };
    let mut leader = TestLog::new(compacted.clone());
    for number in 0..1_000 {
        let key = if number % 9 == 0 { format!("kept-{number}") } else { format!("key-{}", number % 50) };
        leader.append_verbatim(&[keyed(number, None, &[(&key, Some("a value of some length"))])]);
    }
    clean(&mut leader, 0, NOW_MS, 10_000);
    let mut follower = log_of(compacted, &leader.all());
    let (end, offsets) = (follower.end(), base_offsets(&follower));
    assert!(offsets.len() < 200, "{} batches are left", offsets.len());
    follower.reopen(unclean(0));
    assert_eq!((follower.end(), base_offsets(&follower)), (end, offsets));
}

#[test]
fn behind_a_torn_segment_nothing_is_part_of_the_log() {
    let mut log = log_of(small_segments(), &copy_with_gaps());
    let (bases, offsets) = (segments(&log), base_offsets(&log));
    let torn = bases[2];
    cut_off(&log, torn, 1);
    log.reopen(unclean(0));
    let kept: Vec<i64> = offsets.into_iter().filter(|offset| *offset < bases[3]).collect();
    assert_eq!(base_offsets(&log), kept[..kept.len() - 1]);
    assert_eq!(segments(&log), bases[..3]);
    // The end of the log is where the next record goes.
    let end = log.end();
    log.append_verbatim(&[batch(end, 9, NOW_MS, 1, None)]);
    assert_eq!(base_offsets(&log).last(), Some(&end));
}

/// Two segments: offsets 0 to 9 of epoch 5, and one more.
fn two_segments(second: &Bytes) -> TestLog {
    let config =
        LogConfig { segment_bytes: 5 * batch(0, 5, NOW_MS, 2, None).len() as i32, ..LogConfig::default() };
    let first: Vec<Bytes> = (0..5).map(|number| batch(number * 2, 5, NOW_MS, 2, None)).collect();
    let mut log = log_of(config, &first);
    let base = base_offset(second);
    // As it may lie there, whatever the log itself would say to it.
    std::fs::write(path(&log, base), second).unwrap();
    log.reopen(unclean(0));
    log
}

#[test]
fn offsets_and_epochs_that_go_back_are_remnants_and_gaps_are_not() {
    for (second, kept, end) in [
        (batch(10, 5, NOW_MS, 2, None), true, 12),
        (batch(15, 5, NOW_MS, 2, None), true, 17),
        (batch(15, 6, NOW_MS, 2, None), true, 17),
        (batch(8, 5, NOW_MS, 4, None), false, 10),
        (batch(8, 6, NOW_MS, 4, None), false, 10),
        (batch(10, 4, NOW_MS, 2, None), false, 10),
        (batch(15, 4, NOW_MS, 2, None), false, 10),
    ] {
        let log = two_segments(&second);
        let found = base_offsets(&log).contains(&base_offset(&second)) && log.all().contains(&second);
        assert_eq!((found, log.end()), (kept, end), "{:?}", BatchRef::parse(&second).unwrap().header);
        assert_eq!(base_offsets(&log)[..4], [0, 2, 4, 6]);
    }
}

#[test]
fn a_gap_with_nothing_behind_it_is_no_part_of_the_log() {
    let nothing = |log: &TestLog| std::fs::write(path(log, 20), "").unwrap();
    let half = |log: &TestLog| std::fs::write(path(log, 20), &batch(20, 5, NOW_MS, 1, None)[..50]).unwrap();
    for (case, leave) in [("empty", &nothing as &dyn Fn(&TestLog)), ("torn", &half)] {
        let mut log = two_segments(&batch(10, 5, NOW_MS, 2, None));
        leave(&log);
        log.reopen(unclean(0));
        assert_eq!((log.end(), segments(&log)), (12, vec![0, 10]), "{case}");
    }
    // What is known to have been synced is where it was.
    let mut log = two_segments(&batch(10, 5, NOW_MS, 2, None));
    nothing(&log);
    log.reopen(unclean(20));
    assert_eq!(log.end(), 20);
}

#[test]
fn a_segment_that_is_not_there_is_a_gap() {
    let mut log = log_of(small_segments(), &copy_with_gaps());
    let (bases, offsets, end) = (segments(&log), base_offsets(&log), log.end());
    std::fs::remove_file(path(&log, bases[3])).unwrap();
    log.reopen(unclean(0));
    let kept: Vec<i64> =
        offsets.into_iter().filter(|offset| !(bases[3]..bases[4]).contains(offset)).collect();
    assert_eq!((log.end(), base_offsets(&log)), (end, kept));
}

#[test]
fn an_end_that_the_index_knows_and_the_file_has_not_is_a_loss() {
    let batches = copy_with_gaps();
    for lost_batches in 1..4 {
        let mut log = log_of(small_segments(), &batches);
        let (bases, offsets) = (segments(&log), base_offsets(&log));
        let of_third: Vec<&Bytes> =
            batches.iter().filter(|batch| (bases[2]..bases[3]).contains(&base_offset(batch))).collect();
        let lost = &of_third[of_third.len() - lost_batches..];
        cut_off(&log, bases[2], lost.iter().map(|batch| batch.len() as u64).sum());
        log.reopen(unclean(0));
        let kept: Vec<i64> = offsets.into_iter().filter(|offset| *offset < base_offset(lost[0])).collect();
        assert_eq!(base_offsets(&log), kept, "{lost_batches} lost");
        // The next start finds the same, although the index was made anew.
        log.reopen(unclean(0));
        assert_eq!(base_offsets(&log), kept, "{lost_batches} lost");
    }
}

#[test]
fn an_index_that_is_no_more_than_damaged_costs_no_records() {
    fn flip(bytes: &mut [u8], from_end: usize) {
        let at = bytes.len() - from_end;
        bytes[at] ^= 0x40;
    }
    type Damage = fn(&mut Vec<u8>);
    let cases: [(&str, Damage); 3] =
        [("offset", |bytes| flip(bytes, 8)), ("position", |bytes| flip(bytes, 4)), ("all of it", Vec::clear)];
    for (what, damage) in cases {
        let mut log = log_of(small_segments(), &copy_with_gaps());
        let (bases, offsets) = (segments(&log), base_offsets(&log));
        let index = log.folder().join(names::segment_file(bases[2], ".index"));
        let mut bytes = std::fs::read(&index).unwrap();
        damage(&mut bytes);
        std::fs::write(&index, bytes).unwrap();
        log.reopen(unclean(0));
        assert_eq!(base_offsets(&log), offsets, "{what}");
    }
}

/// A directory writes its checkpoints now and then: one from before a cut is still there when the log is killed.
#[test]
fn a_recovery_point_from_before_a_cut_makes_nothing_durable_that_was_written_since() {
    let mut log = log_of(LogConfig::default(), &[keyed(0, None, &[("a", Some("1")), ("b", Some("2"))])]);
    log.log.flush().unwrap();
    let noted = log.log.recovery_point();
    assert!(noted > 0);
    log.log.truncate_to(0, NOW_MS).unwrap();
    log.append_verbatim(&[keyed(0, None, &[("c", Some("3")), ("d", Some("4"))])]);
    log.reopen(unclean(noted));
    assert_eq!((log.end(), log.log.flushed_offset()), (2, 0));
    log.log.flush().unwrap();
    assert_eq!(log.log.flushed_offset(), 2);
}
