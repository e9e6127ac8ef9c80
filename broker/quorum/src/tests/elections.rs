//! Votes, epochs, and who leads them.

use super::check;

#[test]
fn a_lone_voter_elects_itself_at_once() {
    check(
        "lone_voter",
        "
        node 1 voters=1
        flushed
        append 2
        flushed
        ",
    );
    check("lone_voter_restarted", "node 1 voters=1 epoch=4 leader=1 log=10 epochs=0@4");
}

#[test]
fn a_candidate_persists_its_vote_before_it_asks() {
    check(
        "candidate_wins",
        "
        node 1 voters=1,2,3 epoch=2 log=10 epochs=0@1,5@2
        at 2000
        answer 2 granted
        # BeginQuorumEpoch goes to both until they acknowledge or fetch
        answer 2 leader=1
        fetch 3 epoch=3 end=10@2
        ",
    );
}

#[test]
fn votes_are_given_once_and_only_to_logs_as_long() {
    check(
        "votes",
        "
        node 1 voters=1,2,3 epoch=2 log=10 epochs=0@1,5@2
        # a shorter log of the same epoch
        vote 2 epoch=3 end=9@2
        # an older epoch, however long
        vote 2 epoch=3 end=99@1
        vote 3 epoch=3 end=10@2
        # again, as a duplicate: still granted
        vote 3 epoch=3 end=10@2
        vote 2 epoch=3 end=99@2
        vote 2 epoch=2 end=10@2
        # a newer epoch asks anew
        vote 2 epoch=4 end=10@3
        ",
    );
}

#[test]
fn requests_are_refused_with_kafkas_errors() {
    check(
        "refusals",
        "
        node 1 voters=1,2,3 epoch=2 log=10 epochs=0@1,5@2
        vote 2 epoch=3 end=10@2 cluster=other
        begin 2 epoch=3 cluster=other
        end 2 epoch=3 cluster=other
        fetch 2 epoch=2 end=10@2 cluster=other
        # no candidate has records of its own epoch
        vote 2 epoch=3 end=10@3
        vote 9 epoch=3 end=10@2
        vote -1 epoch=3 end=10@2
        begin 9 epoch=3
        begin 2 epoch=1
        end 2 epoch=1
        fetch 2 epoch=1 end=10@1
        fetch 2 epoch=3 end=10@2
        fetch 2 epoch=2 end=10@2
        fetch 2 epoch=2 end=10@3
        describe
        ",
    );
}

#[test]
fn an_observer_neither_votes_nor_campaigns() {
    check(
        "observer",
        "
        node 4 voters=3
        vote 3 epoch=1 end=0@0
        # no leader is known yet: asked again after the backoff
        answer 3 error=NOT_LEADER_OR_FOLLOWER epoch=0
        at 20
        answer 3 error=FENCED_LEADER_EPOCH epoch=3 leader=3
        answer 3 records=0..2@3 hw=1 leader=3
        at 9000
        ",
    );
}

#[test]
fn a_lost_election_is_tried_again_after_a_backoff() {
    check(
        "lost_election",
        "
        node 1 voters=1,2,3
        at 2000
        answer 2 rejected
        answer 3 rejected
        at 2300
        # a voter that knows a leader ends the candidacy
        answer 2 rejected leader=3
        ",
    );
}

#[test]
fn a_restarted_leader_never_leads_its_epoch_again() {
    check(
        "restarted_leader",
        "
        node 1 voters=1,2,3 epoch=4 leader=1 log=10 epochs=0@1,5@4
        vote 2 epoch=4 end=10@3
        fetch 2 epoch=4 end=10@4
        answer 2 leader=1
        vote 2 epoch=5 end=10@4
        ",
    );
}

#[test]
fn a_log_that_is_ahead_of_quorum_state_wins() {
    check("log_ahead", "node 1 voters=1,2,3 epoch=2 leader=3 log=10 epochs=0@1,5@4");
}

#[test]
fn a_leader_that_no_majority_fetches_from_resigns() {
    check(
        "check_quorum",
        "
        node 1 voters=1,2,3,4,5
        at 2000
        answer 2 granted
        answer 3 granted
        at 4900
        # one of four is not enough, two with the leader are a majority
        fetch 2 epoch=1 end=1@1
        fetch 3 epoch=1 end=1@1
        at 7899
        at 7900
        ",
    );
}

#[test]
fn a_leader_that_stops_names_the_longest_log_first() {
    check(
        "handover",
        "
        node 1 voters=1,2,3
        at 2000
        answer 2 granted
        flushed
        fetch 3 epoch=1 end=1@1
        append 1
        shutdown
        answer 3 leader=1
        vote 3 epoch=2 end=2@1
        begin 3 epoch=2
        ",
    );
}

#[test]
fn successors_campaign_one_after_the_other() {
    check(
        "successors",
        "
        node 2 voters=1,2,3 epoch=4 leader=1 log=10 epochs=0@4
        end 1 epoch=4 successors=3,2
        at 499
        at 500
        ",
    );
    check(
        "first_successor",
        "
        node 2 voters=1,2,3 epoch=4 leader=1 log=10 epochs=0@4
        end 1 epoch=4 successors=2,3
        ",
    );
}

#[test]
fn two_leaders_in_one_epoch_are_fatal() {
    check(
        "two_leaders",
        "
        node 2 voters=1,2,3 epoch=4 leader=1
        begin 3 epoch=4
        ",
    );
}

#[test]
fn a_node_that_forgot_its_own_epoch_gives_it_up() {
    check(
        "forgotten_epoch",
        "
        node 1 voters=1,2,3
        at 2000
        answer 2 error=FENCED_LEADER_EPOCH epoch=7 leader=1
        ",
    );
}
