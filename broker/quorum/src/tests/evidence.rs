//! Early elections, and what keeps them from doing harm.

use super::check;

#[test]
fn the_first_start_waits_for_a_majority_and_for_nothing_else() {
    check(
        "first_start",
        "
        node 1 voters=1,2,3
        at 5
        reached 3
        answer 3 granted
        ",
    );
    check(
        "first_start_in_line",
        "
        node 3 voters=1,2,3,4,5
        at 5
        reached 1
        reached 4
        at 104
        at 105
        ",
    );
}

#[test]
fn a_voter_with_a_history_does_not_campaign_because_others_are_there() {
    check(
        "not_fresh",
        "
        node 1 voters=1,2,3 epoch=1
        reached 2
        reached 3
        at 900
        ",
    );
}

#[test]
fn a_lost_leader_is_replaced_when_a_majority_has_lost_it() {
    check(
        "lost_leader",
        "
        node 2 voters=1,2,3 epoch=4 leader=1 log=10 epochs=0@4
        at 10
        failed 1
        lost 1
        answer 3 error=NOT_LEADER_OR_FOLLOWER
        ",
    );
    check(
        "lost_leader_in_line",
        "
        node 3 voters=1,2,3 epoch=4 leader=1 log=10 epochs=0@4
        at 10
        failed 1
        lost 1
        answer 2 error=NOT_LEADER_OR_FOLLOWER
        at 109
        at 110
        ",
    );
}

#[test]
fn a_leader_that_others_still_follow_is_left_alone() {
    check(
        "contradicted",
        "
        node 2 voters=1,2,3 epoch=4 leader=1 log=10 epochs=0@4
        at 10
        failed 1
        lost 1
        answer 3 error=NOT_LEADER_OR_FOLLOWER leader=1
        at 110
        answer 3 error=NOT_LEADER_OR_FOLLOWER leader=1
        # it is back
        reached 1
        answer 1 hw=10 leader=1
        ",
    );
}

#[test]
fn a_follower_names_no_leader_that_it_has_lost() {
    check(
        "naming",
        "
        node 3 voters=1,2,3 epoch=4 leader=1 log=10 epochs=0@4
        fetch 2 epoch=4 end=10@4
        lost 1
        fetch 2 epoch=4 end=10@4
        reached 1
        fetch 2 epoch=4 end=10@4
        ",
    );
}

#[test]
fn the_one_with_the_longer_log_is_next_in_line() {
    check(
        "longer_log",
        "
        node 3 voters=1,2,3,4,5 epoch=4 leader=1 log=10 epochs=0@4
        lost 1
        vote 2 epoch=5 end=9@4
        at 200
        # a second try of the one that cannot win does not put it off
        vote 2 epoch=6 end=9@4
        at 299
        at 300
        ",
    );
    check(
        "longer_log_needed",
        "
        node 3 voters=1,2,3 epoch=4 leader=1 log=10 epochs=0@4
        lost 1
        # the other survivor cannot win without this one
        vote 2 epoch=5 end=9@4
        ",
    );
}

#[test]
fn survivors_that_each_voted_for_themselves_do_not_wait_for_the_dead() {
    check(
        "split_vote",
        "
        node 2 voters=1,2,3 epoch=4 leader=1 log=10 epochs=0@4
        lost 1
        answer 3 error=NOT_LEADER_OR_FOLLOWER
        vote 3 epoch=5 end=10@4
        answer 3 rejected
        at 300
        answer 3 granted
        ",
    );
    check(
        "split_vote_evidence_last",
        "
        node 2 voters=1,2,3 epoch=4 log=10 epochs=0@4
        at 2000
        answer 3 rejected
        lost 1
        at 2300
        ",
    );
    // The dead one may live: its late vote still counts, and without a refusal it is waited for.
    check(
        "split_vote_late",
        "
        node 2 voters=1,2,3 epoch=4 log=10 epochs=0@4
        lost 1
        at 2000
        answer 3 rejected
        answer 1 granted
        ",
    );
}

#[test]
fn a_candidate_that_is_overtaken_by_a_shorter_log_goes_on() {
    check(
        "overtaken",
        "
        node 2 voters=1,2,3 epoch=4 leader=1 log=10 epochs=0@4
        lost 1
        answer 3 error=NOT_LEADER_OR_FOLLOWER
        vote 3 epoch=6 end=9@4
        ",
    );
}

#[test]
fn a_stop_does_not_wait_when_nobody_is_left_to_lead() {
    check(
        "nobody_left",
        "
        node 1 voters=1,2,3
        at 2000
        answer 2 granted
        lost 3
        shutdown
        lost 2
        ",
    );
}
