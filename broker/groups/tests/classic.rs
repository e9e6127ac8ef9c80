//! What members of a group hear, step by step, after Kafka 3.7's `GroupCoordinator`.

mod script;

use insta::assert_snapshot;
use jackdaw_groups::Config;
use script::{config, play};

/// Two members from nothing to a generation that both know their part of.
const TWO: &str = "
    join a v=3
    join b v=3
    after 6000
    sync a as=a#1 gen=1 assign=a#1:t0,b#1:t1
    sync b as=b#1 gen=1
";

fn with(config: Config, before: &str, script: &str) -> String {
    play(config, &format!("{before}{script}"))
}

#[test]
fn a_group_forms_and_everyone_gets_a_part() {
    assert_snapshot!(play(
        config(),
        &format!(
            "{TWO}
        describe
        list
        list Stable Empty
        list Dead
        beat a as=a#1 gen=1
        beat a as=a#1 gen=2
        beat x as=x gen=1
        sync b as=b#1 gen=1                      # asks again
        sync b as=b#1 gen=1 type=connect
        sync b as=b#1 gen=1 protocol=roundrobin
    "
        )
    ));
}

#[test]
fn an_id_must_be_fetched_before_joining_with_it() {
    assert_snapshot!(play(
        config(),
        "
        join a
        join a as=a#1
        after 3000
        sync a as=a#1 gen=1 assign=a#1:t0
        join b                                   # an id that is never used
        join a as=a#1                            # the leader wants to assign again, and waits for b
        after 5000
        after 6000
    "
    ));
}

#[test]
fn a_new_group_waits_for_more_members_and_newcomers_lengthen_it() {
    assert_snapshot!(play(
        config(),
        "
        join a v=3 rebalance=10000
        after 2000
        join b v=3 rebalance=10000
        after 3900
        join c v=3 rebalance=10000
        after 3900
        after 3000
    "
    ));
    let at_once = Config { initial_rebalance_delay_ms: 0, ..config() };
    assert_snapshot!("a_delay_of_nothing", play(at_once, "join a v=3\nafter 0"));
}

#[test]
fn a_rebalance_waits_for_all_and_drops_who_does_not_come() {
    assert_snapshot!(with(
        config(),
        TWO,
        "
        join c v=3                               # everyone must join anew
        beat a as=a#1 gen=1
        beat b as=b#1 gen=1
        sync b as=b#1 gen=1
        commit a as=a#1 gen=1 t-0=5              # what it had is still its own
        join a as=a#1
        after 9000
        beat b as=b#1 gen=1
        after 10000                              # b is not heard of any more, and nobody waits for it
        sync c as=c#1 gen=2
        sync a as=a#1 gen=2 assign=c#1:t1
        beat b as=b#1 gen=1
        describe
    "
    ));
}

#[test]
fn a_silent_member_is_removed_and_the_others_are_told() {
    assert_snapshot!(with(
        config(),
        TWO,
        "
        after 9000
        beat a as=a#1 gen=1
        after 1000
        beat a as=a#1 gen=1
        join a as=a#1
        sync a as=a#1 gen=2 assign=a#1:t0+t1
        after 10000
        describe
    "
    ));
}

#[test]
fn a_generation_whose_members_do_not_ask_for_their_part_is_over() {
    assert_snapshot!(play(
        config(),
        "
        join a v=3 rebalance=6000 session=20000
        join b v=3 rebalance=6000 session=20000
        after 6000
        sync a as=a#1 gen=1 assign=a#1:t0,b#1:t1 # b never syncs
        after 6000
        beat b as=b#1 gen=1
        join a as=a#1
    "
    ));
}

#[test]
fn members_leave_one_by_one_and_by_their_instance() {
    assert_snapshot!(with(
        config(),
        TWO,
        "
        leave a as=a#1
        leave a as=a#1
        join b as=b#1
        sync b as=b#1 gen=2 assign=b#1:all
        join s static=i as=                      # a static member needs no id first
        join b as=b#1
        leave admin static=i
        leave admin static=other
        join c
        leave c as=c#1                           # one that only has its id
        leave b as=b#1
        describe
    "
    ));
}

#[test]
fn joining_is_refused() {
    let small = Config { max_size: 1, ..config() };
    assert_snapshot!(play(
        small,
        "
        join a session=5999
        join a session=1800001
        join a as=unknown
        list                                     # nobody came to be
        join a protocols=
        join a type=
        list
        join a v=3
        join b v=3                               # one too many
        after 3000
        join a as=other v=3
        join b v=3
        join a as=a#5 v=3 type=connect
        join a as=a#5 v=3 protocols=cooperative-sticky
        join a as=a#5 static=i
        sync a as=a#5 gen=0
        sync nobody as=x gen=1
    "
    ));
}

#[test]
fn the_protocol_is_one_that_all_know_and_most_like() {
    assert_snapshot!(play(
        config(),
        "
        join a v=3 protocols=range,roundrobin,sticky
        join b v=3 protocols=sticky,roundrobin
        join c v=3 protocols=sticky,range,roundrobin
        join d v=3 protocols=range               # has nothing in common with b
        after 6000
    "
    ));
}

#[test]
fn a_static_member_returns_to_its_part_without_a_rebalance() {
    let formed = "
        join a static=i as= protocols=range,roundrobin
        join b v=5 static=j as= protocols=range,roundrobin
        after 6000
        sync a as=i#1 gen=1 static=i assign=i#1:t0,j#1:t1
        sync b as=j#1 gen=1 static=j
    ";
    assert_snapshot!(with(
        config(),
        formed,
        "
        join a static=i as= protocols=range,roundrobin # the leader, and it can be told not to assign
        beat old as=i#1 gen=1 static=i
        sync a as=i#2 gen=1 static=i
        join b v=8 static=j as= protocols=range,roundrobin # one that cannot
        beat b as=j#2 gen=1 static=j
        commit old as=j#1 gen=1 static=j t-1=4
        leave old as=j#1 static=j
        join a static=i as= protocols=roundrobin # now the protocol changes, and the group with it
        describe
    "
    ));
    assert_snapshot!(
        "a_static_member_whose_return_cannot_be_written",
        with(
            config(),
            formed,
            "
        hold
        join a static=i as=
        failed 19                                # NOT_ENOUGH_REPLICAS
        beat a as=i#1 gen=1 static=i
        join b static=j as=
        stored
        join a static=i as=
        resign
    "
        )
    );
}

#[test]
fn static_members_outlast_a_rebalance_and_dynamic_ones_do_not() {
    assert_snapshot!(play(
        config(),
        "
        join a static=i as= session=300000
        join b v=3 session=300000
        after 6000
        sync a as=i#1 gen=1 assign=i#1:t0,b#1:t1
        sync b as=b#1 gen=1
        join c v=3 session=300000
        after 60000
        describe
        leave c as=c#1
        after 60000                              # only the static one is left, and it does not come
        describe
        after 300000                             # nor lives
        describe
    "
    ));
}

#[test]
fn nothing_is_promised_before_it_is_written() {
    assert_snapshot!(play(
        config(),
        "
        hold
        join a v=3
        join b v=3
        after 6000
        sync a as=a#1 gen=1 assign=a#1:t0,b#1:t1
        sync b as=b#1 gen=1
        commit a as=a#1 gen=1 t-0=1
        failed 7                                 # REQUEST_TIMED_OUT
        join a as=a#1
        join b as=b#1
        sync a as=a#1 gen=2 assign=a#1:t0,b#1:t1
        stored
        sync b as=b#1 gen=2
        commit a as=a#1 gen=2 t-0=1
        fetch r t-0
        fetch r stable t-0
        stored
        fetch r stable t-0
        commit a as=a#1 gen=2 t-0=2
        commit a as=a#1 gen=2 t-0=3
        failed 3
        failed 10
        fetch r stable t-0
        commit a as=a#1 gen=2 t-0=4
        resign
        beat a as=a#1 gen=2
    "
    ));
}

#[test]
fn whoever_waits_when_the_coordinator_moves_is_sent_on() {
    assert_snapshot!(play(
        config(),
        "
        join a v=3
        join b v=3
        resign
        join a v=3
        commit x t-0=1
        fetch x
        list
    "
    ));
}

#[test]
fn a_group_goes_on_where_another_broker_left_it() {
    assert_snapshot!(with(
        config(),
        TWO,
        "
        commit a as=a#1 gen=1 t-0=7 u-1=8
        reload
        describe
        beat b as=b#1 gen=1
        fetch r
        sync b as=b#1 gen=1
        after 9000
        beat a as=a#1 gen=1
        after 1000                               # b is not heard of at its new coordinator
        leave a as=a#1
        reload
        describe
        fetch r
        delete
        reload
        describe
    "
    ));
    let smaller = "
        join a v=3
        join b v=3
        after 6000
        sync a as=a#1 gen=1 assign=a#1:t0,b#1:t1
        reload
        describe
    ";
    assert_snapshot!("a_group_of_one_is_reloaded", play(config(), smaller));
}

#[test]
fn the_second_of_two_requests_for_one_member_wins() {
    assert_snapshot!(with(
        config(),
        TWO,
        "
        join c v=3
        join first as=a#1
        join second as=a#1
        join b as=b#1
        sync first as=b#1 gen=2
        sync second as=b#1 gen=2
        sync a as=a#1 gen=2 assign=b#1:x
    "
    ));
}
