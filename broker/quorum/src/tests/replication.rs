//! Fetching, flushing and the high watermark.

use super::check;

#[test]
fn nothing_counts_before_it_is_on_the_disk() {
    check(
        "commit",
        "
        node 1 voters=1,2,3
        at 2000
        answer 2 granted
        # the follower has it, the leader not yet
        fetch 2 epoch=1 end=1@1
        append 2
        flushed
        # what was appended meanwhile waits for the next flush
        fetch 2 epoch=1 end=3@1
        flushed
        ",
    );
}

#[test]
fn earlier_epochs_are_committed_only_through_the_own_one() {
    check(
        "own_epoch_first",
        "
        node 1 voters=1,2,3 epoch=2 log=10 epochs=0@1,5@2
        at 2000
        answer 2 granted
        flushed
        # a majority has 10, but of epoch 2: not committed yet
        fetch 2 epoch=3 end=10@2
        fetch 2 epoch=3 end=11@3
        ",
    );
}

#[test]
fn a_waiting_fetch_is_answered_by_records_a_higher_mark_or_its_time() {
    check(
        "long_poll",
        "
        node 1 voters=1,2,3
        at 2000
        answer 2 granted
        flushed
        fetch 3 epoch=1 end=1@1
        fetch 3 epoch=1 end=1@1
        append 1
        fetch 9 epoch=1 end=2@1
        flushed
        # voter 2 commits offset 1; the observer that waits is told at once
        fetch 2 epoch=1 end=2@1
        fetch 9 epoch=1 end=2@1 wait=100
        at 2100
        # nobody waits for a node that leads no more
        fetch 9 epoch=1 end=2@1
        vote 3 epoch=2 end=2@1
        ",
    );
}

#[test]
fn appends_of_another_epoch_are_refused() {
    check(
        "appends",
        "
        node 1 voters=1,2,3
        append 1
        at 2000
        answer 2 granted
        append 1 epoch=0
        append 3
        ",
    );
}

#[test]
fn a_voter_flushes_before_it_fetches_again() {
    check(
        "follower",
        "
        node 2 voters=1,2,3 epoch=3 leader=1 log=10 epochs=0@1,5@2
        answer 1 records=10..12@3 hw=10 leader=1
        flushed
        answer 1 records=12..14@3 cut hw=12 leader=1
        flushed
        answer 1 hw=14 leader=1
        # batches that do not continue the log are not appended
        answer 1 records=99..100@3 hw=14 leader=1
        ",
    );
}

#[test]
fn a_follower_truncates_where_the_epochs_part_but_never_what_is_committed() {
    check(
        "truncation",
        "
        node 2 voters=1,2,3 epoch=3 leader=1 log=10 epochs=0@1,5@2
        answer 1 diverging=7@1 leader=1 hw=3
        answer 1 records=5..6@3 hw=6 leader=1
        flushed
        answer 1 diverging=5@1 leader=1
        ",
    );
}

#[test]
fn a_leader_tells_where_logs_part() {
    check(
        "divergence",
        "
        node 1 voters=1,2,3 epoch=5 log=20 epochs=0@1,5@2,12@5
        at 2000
        answer 2 granted
        # epoch 2 ended at 12 here
        fetch 2 epoch=6 end=15@2
        # epochs 3 and 4 never were: back to the end of 2
        fetch 2 epoch=6 end=15@4
        fetch 2 epoch=6 end=12@2
        fetch 2 epoch=6 end=0@0
        ",
    );
}

#[test]
fn a_silent_leader_is_replaced_after_the_fetch_timeout() {
    check(
        "fetch_timeout",
        "
        node 2 voters=1,2,3 epoch=3 leader=1 log=10 epochs=0@3
        failed 1
        at 20
        failed 1
        at 1999
        at 2000
        ",
    );
}

#[test]
fn the_quorum_describes_itself() {
    check(
        "describe",
        "
        node 1 voters=1,2,3
        at 2000
        answer 2 granted
        flushed
        fetch 2 epoch=1 end=1@1
        at 2100
        append 1
        fetch 9 epoch=1 end=1@1
        describe
        # observers are forgotten after five minutes
        at 302101
        ",
    );
}
