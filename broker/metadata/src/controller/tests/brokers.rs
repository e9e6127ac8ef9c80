//! Brokers come, beat, stop and go.

use super::*;

/// A broker that may not register must learn why: its start hangs on this code.
#[test]
fn registrations_are_refused_for_kafkas_reasons() {
    let mut cluster = Cluster::of(2);
    let feature = |min, max| {
        vec![
            Feature::default()
                .with_name(text("metadata.version"))
                .with_min_supported_version(min)
                .with_max_supported_version(max),
        ]
    };
    for (what, request, expected) in [
        ("other cluster", registration(9).with_cluster_id(text("x")), ErrorCode::InconsistentClusterId),
        (
            "living session",
            registration(1).with_incarnation_id(id(77)).with_log_dirs(vec![id(301)]),
            ErrorCode::DuplicateBrokerRegistration,
        ),
        (
            "from ZooKeeper",
            registration(9).with_is_migrating_zk_broker(true),
            ErrorCode::BrokerIdNotRegistered,
        ),
        ("too old", registration(9).with_features(feature(1, 18)), ErrorCode::UnsupportedVersion),
        ("too new", registration(9).with_features(feature(20, 20)), ErrorCode::UnsupportedVersion),
        ("no version", registration(9).with_features(vec![]), ErrorCode::UnsupportedVersion),
        ("no directory", registration(9).with_log_dirs(vec![]), ErrorCode::InvalidRegistration),
        ("reserved", registration(9).with_log_dirs(vec![Uuid::from_u128(2)]), ErrorCode::InvalidRegistration),
        ("twice", registration(9).with_log_dirs(vec![id(5), id(5)]), ErrorCode::InvalidRegistration),
        ("of broker 1", registration(9).with_log_dirs(vec![id(101)]), ErrorCode::InvalidRegistration),
    ] {
        let outcome = cluster.ask(3, request);
        assert_eq!(error_of(&outcome.response), Some(expected), "{what}");
        assert!(outcome.records.is_empty(), "{what}");
    }
}

/// A directory is held under a lock: who has all of the old process's directories knows it dead. Anyone else may be a
/// second node that was given the same id by mistake, and must not depose the first.
#[test]
fn only_who_holds_every_directory_of_a_living_session_succeeds_it_at_once() {
    let duplicate = Some(ErrorCode::DuplicateBrokerRegistration);
    for (what, before, after, expected) in [
        ("the same", vec![101], vec![101], None),
        ("the same two, turned round", vec![101, 102], vec![102, 101], None),
        ("one more", vec![101], vec![101, 102], None),
        ("one of two", vec![101, 102], vec![102], duplicate),
        ("one of two and a new one", vec![101, 102], vec![102, 103], duplicate),
        ("another", vec![101], vec![301], duplicate),
    ] {
        let directories = |ids: Vec<u128>| ids.into_iter().map(id).collect::<Vec<_>>();
        let mut cluster = Cluster::empty(settings());
        cluster.ask(3, registration(1).with_log_dirs(directories(before)));
        cluster.unfence(1);
        let epoch = cluster.epoch(1);
        let request = registration(1).with_incarnation_id(id(77)).with_log_dirs(directories(after));
        let outcome = cluster.ask(3, request);
        assert_eq!(error_of(&outcome.response), expected, "{what}");
        let registered = cluster.controller.image().broker(1).unwrap();
        assert_eq!((registered.epoch != epoch, registered.fenced), (expected.is_none(), expected.is_none()));
    }
}

/// The epoch fences everything that an earlier incarnation still sends.
#[test]
fn the_broker_epoch_is_the_offset_of_the_registration() {
    let mut cluster = Cluster::of(0);
    let offset = cluster.controller.next_offset();
    let outcome = cluster.ask(3, registration(1));
    let Response::RegisterBroker(response) = outcome.response else { panic!() };
    assert_eq!((response.broker_epoch, cluster.epoch(1)), (offset, offset));

    cluster.now_ms += 100;
    let outcome = cluster.ask(3, registration(1).with_incarnation_id(id(77)));
    assert_eq!(error_of(&outcome.response), None, "a fenced broker has no session to protect");
    assert_eq!(cluster.epoch(1), offset + 1);

    let stale = cluster.heartbeat(1).with_broker_epoch(offset);
    assert_eq!(error_of(&cluster.ask(1, stale).response), Some(ErrorCode::StaleBrokerEpoch));
    let unknown = cluster.heartbeat(1).with_broker_id(8.into());
    assert_eq!(error_of(&cluster.ask(1, unknown).response), Some(ErrorCode::StaleBrokerEpoch));
}

/// A process that was killed and is back before its session ran out may have lost its last records.
#[test]
fn a_new_incarnation_of_an_unfenced_broker_starts_outside_of_every_leadership() {
    let mut cluster = Cluster::of(2);
    cluster.create(assigned("t", "1 2, 2 1"));
    let before = cluster.heartbeat(1);
    let outcome = cluster.ask(3, registration(1).with_incarnation_id(id(77)));
    insta::assert_snapshot!(cluster.show(&outcome.records), @r"
    change t-0 leader=2 isr=[2]
    change t-1 isr=[2]
    RegisterBrokerRecord
    ");
    let Response::RegisterBroker(response) = outcome.response else { panic!() };
    assert_eq!(response.broker_epoch, outcome.commit_offset, "the offset of the registration itself");
    assert_eq!(
        error_of(&cluster.ask(1, before).response),
        Some(ErrorCode::StaleBrokerEpoch),
        "what it still sent"
    );
}

/// Killed together, all are back within their sessions: the last in each ISR keeps it, and leads again when it is
/// unfenced, and nobody else does.
#[test]
fn brokers_that_all_come_back_at_once_leave_each_partition_to_the_last_of_its_isr() {
    let mut cluster = Cluster::of(3);
    cluster.create(assigned("t", "1 2 3"));
    let mut log = String::new();
    for broker in [1, 2, 3] {
        let outcome = cluster.ask(3, registration(broker).with_incarnation_id(id(77)));
        log += &cluster.show(&outcome.records);
    }
    for broker in [1, 2, 3] {
        let outcome = cluster.unfence(broker);
        log += &cluster.show(&outcome.records);
    }
    insta::assert_snapshot!(log, @r"
    change t-0 leader=2 isr=[2, 3]
    RegisterBrokerRecord
    change t-0 leader=3 isr=[3]
    RegisterBrokerRecord
    change t-0 leader=-1
    RegisterBrokerRecord
    broker 1 unfenced
    broker 2 unfenced
    broker 3 unfenced
    change t-0 leader=3
    ");
}

#[test]
fn a_broker_is_unfenced_once_it_has_applied_its_own_registration() {
    let mut cluster = Cluster::of(0);
    cluster.register(1);
    let epoch = cluster.epoch(1);
    let mut log = String::new();
    for (offset, want_fence) in [(epoch - 1, true), (epoch - 1, false), (epoch, true), (epoch, false)] {
        let beat = cluster.heartbeat(1).with_current_metadata_offset(offset).with_want_fence(want_fence);
        let outcome = cluster.ask(1, beat);
        let Response::Heartbeat(r) = &outcome.response else { panic!() };
        log += &format!(
            "at {:+} wants {}: caught up {} fenced {} {}\n",
            offset - epoch,
            if want_fence { "fence" } else { "unfence" },
            r.is_caught_up,
            r.is_fenced,
            cluster.show(&outcome.records).trim()
        );
    }
    insta::assert_snapshot!(log.replace(" \n", "\n"), @r"
    at -1 wants fence: caught up false fenced true
    at -1 wants unfence: caught up false fenced true
    at +0 wants fence: caught up true fenced true
    at +0 wants unfence: caught up true fenced false broker 1 unfenced
    ");
}

#[test]
fn a_silent_broker_is_fenced_out_of_every_isr_and_leadership() {
    let mut cluster = Cluster::of(3);
    cluster.create(assigned("t", "1 2 3, 2 3 1"));
    cluster.create(assigned("u", "1"));
    cluster.now_ms = 9_000;
    for broker in [2, 3] {
        cluster.unfence(broker);
    }
    assert!(cluster.tick().is_none(), "the session lives through its last millisecond");
    cluster.now_ms = 9_001;
    let tick = cluster.tick().unwrap();
    assert_eq!(tick.reason, TickReason::SessionTimeout { broker: 1 });
    insta::assert_snapshot!(cluster.show(&tick.records), @r"
    change t-0 leader=2 isr=[2, 3]
    change t-1 isr=[2, 3]
    change u-0 leader=-1
    broker 1 fenced
    ");
    assert!(cluster.tick().is_none());
    insta::assert_snapshot!(cluster.partition("u", 0), @"leader -1 isr [1] epoch 1 partition epoch 1");

    let outcome = cluster.unfence(1);
    insta::assert_snapshot!(cluster.show(&outcome.records), @r"
    broker 1 unfenced
    change u-0 leader=1
    ");
}

/// Evidence may move leaders before the session ends, but only those of the process that it is about. Clients are told
/// of the broker as long as Kafka would tell of it.
#[test]
fn a_broker_known_to_be_gone_leads_nothing_at_once_and_is_fenced_when_its_session_ends() {
    let mut cluster = Cluster::of(3);
    let t = cluster.create(assigned("t", "1 2, 2 1"));
    cluster.create(assigned("alone", "1"));
    let epoch = cluster.epoch(1);
    assert!(cluster.controller.broker_gone(1, epoch - 1, 5).unwrap().is_none(), "an older epoch");
    assert!(cluster.controller.broker_gone(8, 0, 5).unwrap().is_none(), "never registered");
    let tick = cluster.controller.broker_gone(1, epoch, 5).unwrap().unwrap();
    assert_eq!(tick.reason, TickReason::BrokerGone { broker: 1 });
    insta::assert_snapshot!(cluster.show(&tick.records), @r"
    change t-0 leader=2 isr=[2]
    change t-1 isr=[2]
    change alone-0 leader=-1
    ");
    assert!(cluster.controller.broker_gone(1, epoch, 5).unwrap().is_none(), "known already");

    let back = alter_partition::request(&cluster, 2, t, 0, &[2, 1]);
    assert_eq!(error_of(&cluster.ask(3, back).response), Some(ErrorCode::IneligibleReplica));
    let outcome = cluster.unfence(3);
    assert!(outcome.records.is_empty(), "what only it could lead waits for it");
    cluster.create(assigned("u", "1 3"));
    insta::assert_snapshot!(cluster.partition("u", 0), @"leader 3 isr [3] epoch 0 partition epoch 0");

    cluster.now_ms = 9_000;
    for broker in [2, 3] {
        cluster.unfence(broker);
    }
    assert!(cluster.tick().is_none());
    cluster.now_ms = 9_001;
    let tick = cluster.tick().unwrap();
    assert_eq!(tick.reason, TickReason::SessionTimeout { broker: 1 });
    insta::assert_snapshot!(cluster.show(&tick.records), @"broker 1 fenced");
}

/// Its process is dead, whatever is left of its session: Kafka would have the next one wait.
#[test]
fn whoever_follows_a_broker_that_is_gone_may_register_at_once() {
    let mut cluster = Cluster::of(2);
    let next = || registration(1).with_incarnation_id(id(77)).with_log_dirs(vec![id(301)]);
    assert_eq!(error_of(&cluster.ask(3, next()).response), Some(ErrorCode::DuplicateBrokerRegistration));
    let epoch = cluster.epoch(1);
    cluster.controller.broker_gone(1, epoch, 5).unwrap().unwrap();
    assert_eq!(error_of(&cluster.ask(3, next()).response), None);
    assert!(cluster.controller.image().broker(1).unwrap().fenced);
}

/// A firewall can refuse a connect to a process that lives.
#[test]
fn a_broker_that_is_heard_of_after_all_leads_again_where_nobody_else_can() {
    let mut cluster = Cluster::of(2);
    let t = cluster.create(assigned("t", "1 2"));
    cluster.create(assigned("alone", "1"));
    let epoch = cluster.epoch(1);
    cluster.controller.broker_gone(1, epoch, 5).unwrap().unwrap();
    let beat = cluster.heartbeat(1);
    let outcome = cluster.ask(1, beat);
    insta::assert_snapshot!(cluster.show(&outcome.records), @"change alone-0 leader=1");
    let back = alter_partition::request(&cluster, 2, t, 0, &[2, 1]);
    assert_eq!(error_of(&cluster.ask(3, back).response), None);
}

#[test]
fn a_controlled_shutdown_moves_leaders_and_waits_for_the_others_to_hear() {
    let mut cluster = Cluster::of(3);
    cluster.create(assigned("t", "1 2 3, 3 1 2"));
    let stop = cluster.heartbeat(1).with_want_shut_down(true);
    let outcome = cluster.ask(1, stop);
    insta::assert_snapshot!(cluster.show(&outcome.records), @r"
    broker 1 stopping
    change t-0 leader=2 isr=[2, 3]
    change t-1 isr=[3, 2]
    ");
    let moved = cluster.controller.next_offset() - 1;
    for (broker, offset, expected) in [(2, moved, false), (3, moved - 1, false), (3, moved, true)] {
        let beat = cluster.heartbeat(broker).with_current_metadata_offset(offset);
        cluster.ask(1, beat);
        let stop = cluster.heartbeat(1).with_want_shut_down(true);
        let outcome = cluster.ask(1, stop);
        let Response::Heartbeat(r) = outcome.response else { panic!() };
        assert_eq!(r.should_shut_down, expected, "after broker {broker} applied {offset}");
    }
    assert!(cluster.controller.image().broker(1).unwrap().fenced);
}

#[test]
fn a_broker_that_leads_nothing_may_stop_at_once() {
    let mut cluster = Cluster::of(2);
    cluster.create(assigned("t", "1 2"));
    let stop = cluster.heartbeat(2).with_want_shut_down(true);
    let outcome = cluster.ask(1, stop);
    let Response::Heartbeat(r) = &outcome.response else { panic!() };
    assert!(r.should_shut_down && r.is_fenced);
    insta::assert_snapshot!(cluster.show(&outcome.records), @r"
    change t-0 isr=[1]
    broker 2 fenced
    ");
}

#[test]
fn a_lost_directory_takes_its_replicas_offline_and_nothing_else() {
    let mut cluster = Cluster::of(2);
    let two = registration(3).with_log_dirs(vec![id(201), id(202)]);
    cluster.ask(3, two);
    cluster.unfence(3);
    let t = cluster.create(assigned("t", "3 1, 3 2"));
    let assign = |partition: i32, directory| {
        use jackdaw_wire::messages::assign_replicas_to_dirs_request::*;
        DirectoryData::default().with_id(directory).with_topics(vec![
            TopicData::default()
                .with_topic_id(t)
                .with_partitions(vec![PartitionData::default().with_partition_index(partition)]),
        ])
    };
    let request = AssignReplicasToDirsRequest::default()
        .with_broker_id(3.into())
        .with_broker_epoch(cluster.epoch(3))
        .with_directories(vec![assign(0, id(201)), assign(1, id(202)), assign(9, id(201))]);
    let outcome = cluster.ask(0, request);
    assert_eq!(error_of(&outcome.response), Some(ErrorCode::UnknownTopicOrPartition));
    insta::assert_snapshot!(cluster.show(&outcome.records), @r"
    change t-0 directories=2
    change t-1 directories=2
    ");

    let beat = cluster.heartbeat(3).with_offline_log_dirs(vec![id(202), id(999)]);
    let outcome = cluster.ask(1, beat.clone());
    insta::assert_snapshot!(cluster.show(&outcome.records), @r"
    change t-1 leader=2 isr=[2]
    broker 3 directories=1
    ");
    assert!(cluster.ask(1, beat).records.is_empty(), "told once is enough");
}

/// Its broker lives on and is in good standing, but nothing is written there any more: a member of the ISR that does
/// not fetch stops every write for as long as a replica may lag.
#[test]
fn a_replica_in_a_lost_directory_joins_no_isr() {
    let mut cluster = Cluster::of(2);
    cluster.ask(3, registration(3).with_log_dirs(vec![id(201), id(202)]));
    cluster.unfence(3);
    let t = cluster.create(assigned("t", "1 2 3"));
    let assign = |cluster: &mut Cluster, directory: u128| {
        use jackdaw_wire::messages::assign_replicas_to_dirs_request::*;
        let partitions = vec![PartitionData::default().with_partition_index(0)];
        let topics = vec![TopicData::default().with_topic_id(t).with_partitions(partitions)];
        let request = AssignReplicasToDirsRequest::default()
            .with_broker_id(3.into())
            .with_broker_epoch(cluster.epoch(3))
            .with_directories(vec![DirectoryData::default().with_id(id(directory)).with_topics(topics)]);
        cluster.ask(0, request);
    };
    let all_in_sync = |cluster: &mut Cluster, version: i16| {
        let request = alter_partition::request(cluster, 1, t, 0, &[1, 2, 3]);
        error_of(&cluster.ask(version, request).response)
    };
    assign(&mut cluster, 202);
    let beat = cluster.heartbeat(3).with_offline_log_dirs(vec![id(202)]);
    cluster.ask(1, beat);
    assert_eq!(cluster.partition("t", 0), "leader 1 isr [1, 2] epoch 0 partition epoch 2");
    assert_eq!(all_in_sync(&mut cluster, 3), Some(ErrorCode::IneligibleReplica));
    assert_eq!(all_in_sync(&mut cluster, 1), Some(ErrorCode::OperationNotAttempted));
    assign(&mut cluster, 201);
    assert_eq!(all_in_sync(&mut cluster, 3), None, "made anew in a directory that is online");
}

#[test]
fn a_replica_in_a_replaced_directory_leads_as_soon_as_the_controller_knows_it() {
    use jackdaw_wire::messages::assign_replicas_to_dirs_request::*;
    let mut cluster = Cluster::of(2);
    let t = cluster.create(assigned("t", "2"));
    cluster.fence(2);
    let again = registration(2).with_incarnation_id(id(777)).with_log_dirs(vec![id(778)]);
    cluster.ask(3, again);
    let outcome = cluster.unfence(2);
    insta::assert_snapshot!(cluster.show(&outcome.records), @"broker 2 unfenced");
    let partitions = vec![PartitionData::default().with_partition_index(0)];
    let topics = vec![TopicData::default().with_topic_id(t).with_partitions(partitions)];
    let request = AssignReplicasToDirsRequest::default()
        .with_broker_id(2.into())
        .with_broker_epoch(cluster.epoch(2))
        .with_directories(vec![DirectoryData::default().with_id(id(778)).with_topics(topics)]);
    let outcome = cluster.ask(0, request);
    insta::assert_snapshot!(cluster.show(&outcome.records), @"change t-0 leader=2 directories=1");
}

#[test]
fn preferred_leaders_come_back_after_the_interval() {
    let mut cluster = Cluster::of(2);
    cluster.create(assigned("t", "1 2, 2 1"));
    cluster.fence(1);
    cluster.now_ms = 1_000;
    cluster.unfence(1);
    cluster.unfence(2);
    let deadline = cluster.controller.timers_due();
    assert_eq!(deadline, Some(300_000), "since the leader was first another");
    cluster.now_ms = 300_000;
    for broker in [1, 2] {
        cluster.unfence(broker);
    }
    assert!(cluster.tick().is_none(), "broker 1 is not in the ISR yet");
    let t = cluster.controller.image().topics.id_of("t").unwrap();
    let request = alter_partition::request(&cluster, 2, t, 0, &[2, 1]);
    assert_eq!(error_of(&cluster.ask(3, request).response), None);
    cluster.now_ms = 600_000;
    for broker in [1, 2] {
        cluster.unfence(broker);
    }
    let tick = cluster.tick().unwrap();
    insta::assert_snapshot!(cluster.show(&tick.records), @"change t-0 leader=1");
    assert_eq!(cluster.controller.timers_due(), None, "balanced: nothing to come back for");
}

#[test]
fn an_unregistered_broker_is_gone_from_everywhere() {
    let mut cluster = Cluster::of(2);
    cluster.create(assigned("t", "2 1"));
    let outcome = cluster.ask(0, UnregisterBrokerRequest::default().with_broker_id(2.into()));
    insta::assert_snapshot!(cluster.show(&outcome.records), @r"
    change t-0 leader=1 isr=[1]
    UnregisterBrokerRecord
    ");
    let outcome = cluster.ask(0, UnregisterBrokerRequest::default().with_broker_id(2.into()));
    assert_eq!(error_of(&outcome.response), Some(ErrorCode::BrokerIdNotRegistered));
}

#[test]
fn producer_ids_come_in_blocks_to_registered_brokers() {
    let mut cluster = Cluster::of(1);
    let ask = |epoch| AllocateProducerIdsRequest::default().with_broker_id(1.into()).with_broker_epoch(epoch);
    let epoch = cluster.epoch(1);
    for expected in [0, 1_000, 2_000] {
        let Response::AllocateProducerIds(r) = cluster.ask(0, ask(epoch)).response else { panic!() };
        assert_eq!((r.producer_id_start.0, r.producer_id_len), (expected, 1_000));
    }
    let outcome = cluster.ask(0, ask(epoch + 1));
    assert_eq!(error_of(&outcome.response), Some(ErrorCode::StaleBrokerEpoch));
}
