//! The follower's rules: truncation by epochs, high watermark, and what an answer makes it do.

#![allow(clippy::unwrap_used, reason = "a panic in a test's helper is the failure report")]

use jackdaw_replication::follower::{FetchedPartition, FollowerState, OutOfRange, Step};
use jackdaw_replication::{Registration, Replica};
use jackdaw_wire::ErrorCode;

/// A log of 100 records: epoch 1 up to 40, epoch 3 up to 80, epoch 4 up to 100.
fn local_end_of(epoch: i32) -> Option<(i32, i64)> {
    [(4, 100), (3, 80), (1, 40)].into_iter().find(|(e, _)| *e <= epoch)
}

fn follower() -> FollowerState {
    FollowerState::new(2, 7, 50, 100, Some(4))
}

fn reply(follower: &FollowerState) -> FetchedPartition {
    FetchedPartition {
        asked: follower.next_fetch().unwrap(),
        error: None,
        diverging: None,
        high_watermark: 0,
        log_start: 0,
    }
}

#[test]
fn truncation_follows_the_leaders_epochs() {
    for (leader_says, offset, why) in [
        ((4, 90), 90, "the same epoch ended earlier on the leader"),
        ((4, 120), 100, "never beyond the local end"),
        ((3, 70), 70, "the epoch before, shorter on the leader"),
        ((3, 95), 80, "the epoch before, shorter here: asks again from its end"),
        ((2, 60), 40, "an epoch that is unknown here: back to the one before, then asks again"),
        ((0, 20), 20, "below everything known here: the leader's offset"),
        ((-1, 30), 30, "no epoch at all: the leader's offset"),
        ((-1, -1), 50, "the leader knows nothing: the high watermark"),
    ] {
        let target = follower().truncation(leader_says.0, leader_says.1, local_end_of);
        assert_eq!(target.offset, offset, "{leader_says:?}: {why}");
        assert_eq!(target.below_high_watermark, offset < 50, "{leader_says:?}: {why}");
    }
}

#[test]
fn answers_decide_the_next_step() {
    for (error, diverging, step) in [
        (None, None, Step::Append),
        (None, Some((3, 70)), Step::Truncate { epoch: 3, end_offset: 70 }),
        (Some(ErrorCode::OffsetOutOfRange), None, Step::AskBounds),
        (Some(ErrorCode::UnknownLeaderEpoch), None, Step::Retry(ErrorCode::UnknownLeaderEpoch)),
        (Some(ErrorCode::NotLeaderOrFollower), None, Step::Retry(ErrorCode::NotLeaderOrFollower)),
        (Some(ErrorCode::FencedLeaderEpoch), None, Step::Stop),
    ] {
        let mut follower = follower();
        let answer = FetchedPartition { error, diverging, ..reply(&follower) };
        assert_eq!(follower.fetched(&answer), step, "{error:?} {diverging:?}");
        assert_eq!(follower.next_fetch().is_none(), step == Step::Stop, "{error:?}");
    }
}

#[test]
fn an_answer_to_an_older_question_is_dropped() {
    let mut follower = follower();
    let late = reply(&follower);
    follower.truncated(80, Some(3));
    assert_eq!(follower.fetched(&late), Step::Ignore);
    let mut other_epoch = reply(&follower);
    other_epoch.asked.current_leader_epoch = 6;
    assert_eq!(follower.fetched(&other_epoch), Step::Ignore);
}

#[test]
fn the_high_watermark_comes_with_answers_and_never_passes_the_log_end() {
    let mut follower = follower();
    assert_eq!(follower.appended(110, Some(7), 200), Some(110));
    assert_eq!(follower.appended(120, Some(7), 115), Some(115));
    assert_eq!(follower.appended(130, Some(7), 20), None, "a leader that is behind takes nothing back");
    assert_eq!(follower.high_watermark(), 115);
    follower.truncated(90, Some(4));
    assert_eq!(follower.high_watermark(), 90, "what is gone is not committed here");
    follower.validate();
}

#[test]
fn out_of_range_goes_to_where_the_leader_is() {
    for (start, end, way) in [
        (0, 60, OutOfRange::TruncateTo(60)),
        (150, 200, OutOfRange::StartAt(150)),
        (0, 200, OutOfRange::Continue),
    ] {
        assert_eq!(follower().out_of_range(start, end), way, "leader has {start}..{end}");
    }
}

#[test]
fn a_log_without_epochs_is_truncated_before_the_first_fetch() {
    let mut old = FollowerState::new(2, 7, 50, 100, None);
    assert_eq!((old.truncate_first(), old.next_fetch()), (Some(50), None));
    old.truncated(50, None);
    assert_eq!(old.next_fetch().map(|f| (f.offset, f.last_fetched_epoch)), Some((50, -1)));
    let empty = FollowerState::new(2, 7, 0, 0, None);
    assert_eq!(empty.truncate_first(), None);
}

#[test]
fn requests_are_fenced_by_the_leader_epoch() {
    let mut replica = Replica::new(1, 0, 1, 30_000);
    let registration = Registration {
        replicas: vec![1, 2],
        isr: vec![1, 2],
        leader: 2,
        leader_epoch: 5,
        partition_epoch: 9,
        adding: Vec::new(),
    };
    assert!(replica.become_follower(&registration, 0, None).restart_fetching);
    assert!(!replica.become_follower(&registration, 0, None).restart_fetching, "the same image again");
    for (epoch, expected) in [
        (-1, Err(ErrorCode::NotLeaderOrFollower)),
        (4, Err(ErrorCode::FencedLeaderEpoch)),
        (6, Err(ErrorCode::UnknownLeaderEpoch)),
        (5, Err(ErrorCode::NotLeaderOrFollower)),
    ] {
        assert_eq!(replica.check_leader(epoch).map(|_| ()), expected, "caller in epoch {epoch}");
    }
    assert_eq!(replica.check_epoch(5), Ok(()));
    let older = Registration { partition_epoch: 8, leader_epoch: 6, ..registration };
    assert!(replica.become_follower(&older, 0, None).skipped, "partition epochs never go back");
}
