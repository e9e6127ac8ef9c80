//! What members of a group of the consumer protocol are told, and what is written down, after Kafka 4.1's
//! `GroupMetadataManager`.

mod script;

use insta::assert_snapshot;
use jackdaw_groups::{Assignor, Config, ConsumerConfig, MigrationPolicy};
use script::{config, consumer_config, play};

fn consumers(change: impl FnOnce(&mut ConsumerConfig)) -> Config {
    let mut config = consumer_config();
    change(&mut config.consumer);
    config
}

/// Two members that have come to their parts.
const TWO: &str = "
    topics t=3
    hb a
    hb b
    hb a epoch=1 owned=t-0,t-1,t-2
    hb a epoch=1 owned=t-0,t-1
    hb b epoch=2
";

fn after_two(script: &str) -> String {
    play(consumer_config(), &format!("{TWO}{script}"))
}

#[test]
fn members_give_up_before_others_get() {
    assert_snapshot!(after_two(
        "
        describe-consumer
        hb a epoch=2                             # nothing new
        list
        list type=classic
        list type=consumer stable
        describe
    "
    ));
}

#[test]
fn epochs_fence_and_a_lost_reply_does_not() {
    assert_snapshot!(after_two(
        "
        hb a epoch=3                             # ahead
        hb b epoch=0 owned=t-2                   # joins with something in its hands
        hb a epoch=1 owned=t-0,t-1               # did not hear of 2, and has nothing that is not its own
        hb a epoch=1 owned=t-0,t-2               # has what is another's
        hb a epoch=1                             # does not say what it has
        hb x epoch=1
        hb a epoch=0                             # begins anew
    "
    ));
}

#[test]
fn members_leave_and_their_parts_are_free_at_once() {
    assert_snapshot!(after_two(
        "
        hb a epoch=-1
        hb b epoch=2 owned=t-2
        hb b epoch=-1
        describe-consumer
        delete
        describe-consumer
        hb a epoch=-1
    "
    ));
}

#[test]
fn silence_ends_a_session_and_slowness_a_rebalance() {
    assert_snapshot!(after_two(
        "
        after 40000
        hb b epoch=2
        after 6000                               # a is silent for 45 seconds
        hb b epoch=2 owned=t-2
        hb c rebalance=10000
        hb b epoch=3 owned=t-0,t-1,t-2 rebalance=10000
        after 5000
        hb b epoch=3                             # it is heard of, and gives nothing up
        after 5000
        hb c epoch=4
        hb c epoch=5
    "
    ));
}

/// KIP-848: whoever runs a group sets its times, and no member asks for its own.
#[test]
fn a_group_has_times_of_its_own_where_they_were_set() {
    assert_snapshot!(play(
        consumer_config(),
        "
        topics t=1
        own session=60000 heartbeat=9000
        hb a
        after 59000
        reload                                   # sessions begin anew
        after 59000
        hb a epoch=1
        own session=45000                        # which holds from the next heartbeat on
        after 59000
        hb a epoch=1
        after 45000
    "
    ));
}

#[test]
fn static_members_come_back_to_what_they_had() {
    assert_snapshot!(play(
        consumer_config(),
        "
        topics t=2
        hb a static=i
        hb b static=j
        hb a epoch=1 owned=t-0
        hb b epoch=2
        hb c static=i                            # the name is taken
        hb c epoch=2 static=i
        hb a epoch=-2 static=i
        describe-consumer
        hb c static=i                            # in its place
        hb a epoch=2 static=i owned=t-0
        hb x epoch=-2 static=k
        hb x epoch=-1 static=i
        hb b epoch=-2 static=j
        after 45000                              # too long away
        hb c epoch=-1 static=i
    "
    ));
}

#[test]
fn what_is_no_heartbeat_is_refused() {
    assert_snapshot!(play(
        consumers(|config| config.max_size = 1),
        "
        topics t=1
        hb a as=  v=1
        hb a group=
        hb a static=
        hb a rack=
        hb a rebalance=-1
        hb a owned=t-0
        hb a epoch=-2
        hb a epoch=-3
        hb a epoch=1 as=
        hb a assignor=sticky
        hb a epoch=5
        hb a
        hb b
        hb a epoch=1 regex=(
    "
    ));
}

#[test]
fn the_coordinator_makes_up_ids_for_members_of_version_0() {
    assert_snapshot!(play(consumer_config(), "topics t=1\nhb a as= v=0"));
}

#[test]
fn regular_expressions_are_resolved_and_looked_at_again() {
    assert_snapshot!(play(
        consumer_config(),
        "
        topics t1=1 t2=1 u=1
        hb a regex=t.
        hb a epoch=1
        topics t1=1 t2=1 t3=1 u=1
        hb a epoch=2                             # too soon
        after 10001
        hb a epoch=2                             # a new topic
        hb a epoch=2
        hb b regex=t.                            # the same one
        hb a epoch=3 owned=t1-0,t2-0
        hb b epoch=4
        describe-consumer
        hb b epoch=-1
        after 20000
        hb a epoch=4 regex=u owned=t1-0,t2-0     # another one
        hb a epoch=4 owned=
        hb a epoch=6
        hb a epoch=6 regex=(?=x)
        hb a epoch=6 regex= topics=t1,u          # names, from here on
    "
    ));
}

#[test]
fn topics_that_change_rebalance_those_who_read_them() {
    assert_snapshot!(play(
        consumer_config(),
        "
        hb a                                     # there is no such topic yet
        topics t=1
        hb a epoch=1
        topics t=2 u=1
        hb a epoch=2
        topics t=2 u=2                           # not its own
        hb a epoch=3
        topics u=2
        hb a epoch=3 owned=t-0,t-1
        hb a epoch=3 owned=
    "
    ));
}

#[test]
fn members_choose_the_assignor_by_majority() {
    let script = "
        topics t=2 u=2
        hb a topics=t,u assignor=range
        hb b topics=t,u
        hb b epoch=2
        hb a epoch=1 owned=t-0,u-0
        hb b epoch=2
        describe-consumer
    ";
    assert_snapshot!(play(consumer_config(), script));
    let ranges = consumers(|config| config.assignors = vec![Assignor::Range]);
    assert_snapshot!(
        "the_default_is_the_first_one",
        play(ranges, "topics t=1\nhb a assignor=uniform\nhb a\ndescribe-consumer")
    );
}

#[test]
fn another_coordinator_goes_on_where_the_log_ends() {
    assert_snapshot!(after_two(
        "
        hb c
        hb a epoch=2
        reload
        describe-consumer
        hb a epoch=2 owned=t-0
        hb b epoch=2
        after 45000                              # sessions began anew
    "
    ));
}

#[test]
fn whoever_asks_while_records_are_on_their_way_waits() {
    assert_snapshot!(play(
        consumer_config(),
        "
        topics t=2
        hold
        hb a
        hb b
        describe-consumer
        stored                                   # a is in, and b's turn comes
        stored
        hb b epoch=2
        hb a epoch=1 owned=t-0
        failed 19                                # too few replicas: nothing was written
        hb a epoch=1 owned=t-0
        failed 20                                # it is in the log, but a must ask again
        hb a epoch=2 owned=t-0
        hb c
        hb a epoch=2
        failed 7                                 # nobody knows: it is written again
        after 500
        stored
        hb c
        resign
    "
    ));
}

#[test]
fn offsets_are_committed_in_the_epoch_of_the_member() {
    assert_snapshot!(after_two(
        "
        commit a as=a gen=2 t-0=5
        commit a as=a gen=1 t-0=6
        commit a as=a gen=2 v=8 t-0=6
        commit x as=x gen=2 t-0=6
        commit x t-0=6                           # of no group, and there are members
        txn p as=a gen=1 producer=7 t-0=6
        txn p producer=7 t-1=6
        fetch a as=a gen=2 t-0
        fetch a as=a gen=1 t-0
        fetch a as=x gen=1 t-0
        fetch x t-0
        delete-offsets t-0 u-0
        delete
        hb a epoch=-1
        hb b epoch=-1
        commit x t-0=7
        after 86400000
        describe-consumer
    "
    ));
    let gone = "commit x as=x gen=3 t-0=6\ncommit x as=x gen=3 v=8 t-0=6";
    assert_snapshot!("of_a_group_that_is_gone", play(consumer_config(), gone));
    assert_snapshot!("of_a_group_that_is_gone_in_3_7", play(config(), gone));
}

#[test]
fn a_group_without_members_is_whatever_comes_next() {
    assert_snapshot!(play(
        consumer_config(),
        "
        topics t=1
        commit x t-0=5
        hb a
        hb a epoch=-1
        fetch x t-0
        join c v=3
        after 3000
        describe
        leave c as=c#1
        hb a
        describe-consumer
        fetch x t-0
        reload
        describe-consumer
        fetch x t-0
    "
    ));
}

/// Two classic members, and what they were given.
const CLASSIC: &str = "
    topics t=4
    join a v=3 session=30000
    join b v=3 session=30000
    after 6000
    sync a as=a#1 gen=1 assign=a#1:t-0+t-1,b#1:t-2+t-3
    sync b as=b#1 gen=1
";

fn after_classic(config: Config, script: &str) -> String {
    play(config, &format!("{CLASSIC}{script}"))
}

#[test]
fn a_classic_group_is_upgraded_by_its_first_consumer_and_downgraded_by_its_last() {
    assert_snapshot!(after_classic(
        consumer_config(),
        "
        hb c
        describe-consumer
        beat a as=a#1 gen=1                      # there is something to give up
        join a as=a#1 session=30000
        sync a as=a#1 gen=2
        beat a as=a#1 gen=2
        beat b as=b#1 gen=1
        join b as=b#1 session=30000              # eager: it holds nothing when it joins
        sync b as=b#1 gen=2
        hb c epoch=2
        commit a as=a#1 gen=2 t-0=5
        commit a as=a#1 gen=1 t-0=5
        hb c epoch=-1                            # the last of its protocol
        describe
        beat a as=a#1 gen=2
        join a as=a#1 session=30000
        join b as=b#1 session=30000
        sync a as=a#1 gen=3 assign=a#1:t-0+t-1,b#1:t-2+t-3
        sync b as=b#1 gen=3
        fetch x t-0
        reload
        describe
    "
    ));
}

#[test]
fn whoever_waits_in_a_classic_group_is_told_to_ask_again_when_it_is_upgraded() {
    assert_snapshot!(play(
        consumer_config(),
        "
        topics t=2
        join a v=3
        join b v=3
        after 6000
        sync b as=b#1 gen=1
        hb c                                     # nobody was given anything yet
        sync a as=a#1 gen=1 assign=a#1:t-0,b#1:t-1
        join a as=a#1
        hb c epoch=2
    "
    ));
}

#[test]
fn a_policy_says_which_way_a_group_may_go() {
    let policy = |policy| consumers(|config| config.migration = policy);
    let upgrade = "hb c\nhb c epoch=-1\ndescribe-consumer";
    assert_snapshot!("no_way", after_classic(policy(MigrationPolicy::Disabled), upgrade));
    assert_snapshot!("only_down", after_classic(policy(MigrationPolicy::Downgrade), upgrade));
    assert_snapshot!("only_up", after_classic(policy(MigrationPolicy::Upgrade), upgrade));
    assert_snapshot!(
        "not_of_consumers",
        play(consumer_config(), "join a v=3 type=connect\nafter 3000\nhb c")
    );
    assert_snapshot!(
        "a_leader_that_assigns_nonsense",
        play(
            consumer_config(),
            "topics t=1\njoin a v=3\nafter 3000\nsync a as=a#1 gen=1 assign=a#1:nonsense\nhb c",
        )
    );
}

#[test]
fn classic_members_join_a_group_of_the_consumer_protocol() {
    assert_snapshot!(after_two(
        "
        join c                                   # an id first
        join c as=AAAAAAAAAAEAAAAAAAAAAQ type=connect
        join c as=AAAAAAAAAAEAAAAAAAAAAQ session=30000 rebalance=20000
        sync c as=AAAAAAAAAAEAAAAAAAAAAQ gen=3
        hb a epoch=2 owned=t-0,t-1
        hb a epoch=2 owned=t-0
        beat c as=AAAAAAAAAAEAAAAAAAAAAQ gen=3   # what it is to get is free
        join c as=AAAAAAAAAAEAAAAAAAAAAQ session=30000 rebalance=20000
        sync c as=AAAAAAAAAAEAAAAAAAAAAQ gen=3 protocol=roundrobin
        sync c as=AAAAAAAAAAEAAAAAAAAAAQ gen=2
        sync c as=AAAAAAAAAAEAAAAAAAAAAQ gen=3
        beat a as=a gen=3                        # is no classic member
        join d protocols=roundrobin as=d         # does not fit in with c
        describe-consumer
        leave c as=AAAAAAAAAAEAAAAAAAAAAQ
        leave c as=c
    "
    ));
}

#[test]
fn classic_members_that_do_not_come_are_out() {
    assert_snapshot!(play(
        consumer_config(),
        "
        topics t=2
        hb a
        join c as=c session=30000 rebalance=5000
        after 5000                               # never asked for its part
        join c as=c session=30000 rebalance=5000
        sync c as=c gen=4
        after 4000
        hb a epoch=1 owned=t-0
        beat c as=c gen=4                        # there is something to get
        after 5000                               # and it does not join
    "
    ));
}

#[test]
fn the_last_consumer_may_come_back_as_a_classic_member() {
    assert_snapshot!(play(
        consumer_config(),
        "
        topics t=2
        hb a static=i
        join c as=c session=30000
        hb a epoch=1 owned=t-0
        join c as=c session=30000
        sync c as=c gen=2
        join a static=i v=9 session=30000
        sync a as=AAAAAAAAAAEAAAAAAAAAAQ static=i gen=2
        describe
    "
    ));
    assert_snapshot!(
        "while_somebody_waits_for_what_is_free",
        play(
            consumer_config(),
            "
        topics t=2
        hb a static=i
        join c as=c session=30000
        hb a epoch=1 owned=t-0
        join a static=i v=9 session=30000
        beat c as=c gen=2
    "
        )
    );
}
