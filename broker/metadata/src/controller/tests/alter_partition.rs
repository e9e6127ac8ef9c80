//! What a leader may say of its ISR.

use jackdaw_wire::messages::alter_partition_request::{BrokerState as Member, PartitionData, TopicData};

use super::*;

pub fn request(
    cluster: &Cluster,
    leader: i32,
    topic: Uuid,
    partition: i32,
    isr: &[i32],
) -> AlterPartitionRequest {
    let image = cluster.controller.image();
    let present = image.topics.by_id(&topic).and_then(|t| t.partitions.get(&partition)).cloned();
    let (leader_epoch, partition_epoch) = present.map_or((0, 0), |p| (p.leader_epoch, p.partition_epoch));
    let members = isr.iter().map(|id| {
        let epoch = image.broker(*id).map_or(-1, |b| b.epoch);
        Member::default().with_broker_id((*id).into()).with_broker_epoch(epoch)
    });
    let data = PartitionData::default()
        .with_partition_index(partition)
        .with_leader_epoch(leader_epoch)
        .with_partition_epoch(partition_epoch)
        .with_new_isr(isr.iter().map(|id| BrokerId(*id)).collect())
        .with_new_isr_with_epochs(members.collect());
    AlterPartitionRequest::default()
        .with_broker_id(leader.into())
        .with_broker_epoch(image.broker(leader).map_or(-1, |b| b.epoch))
        .with_topics(vec![
            TopicData::default()
                .with_topic_id(topic)
                .with_topic_name(text("t").into())
                .with_partitions(vec![data]),
        ])
}

fn edit(
    mut request: AlterPartitionRequest,
    change: impl FnOnce(&mut PartitionData),
) -> AlterPartitionRequest {
    change(&mut request.topics[0].partitions[0]);
    request
}

/// What the leader does next hangs on the code: retry, wait for metadata, or look for another controller.
#[test]
fn alterations_are_refused_with_the_code_that_tells_the_leader_what_to_do() {
    let mut cluster = Cluster::of(4);
    let t = cluster.create(assigned("t", "1 2 3"));
    cluster.fence(3);
    cluster.ask(3, registration(9).with_log_dirs(vec![id(109)]));
    let good = request(&cluster, 1, t, 0, &[1, 2]);
    let isr = |ids: &[i32]| request(&cluster, 1, t, 0, ids);
    let cases = [
        ("unknown topic id", 3, request(&cluster, 1, id(999), 0, &[1]), ErrorCode::UnknownTopicId),
        ("unknown partition", 3, request(&cluster, 1, t, 7, &[1]), ErrorCode::UnknownTopicOrPartition),
        ("stale broker", 3, good.clone().with_broker_epoch(1), ErrorCode::StaleBrokerEpoch),
        ("later leader epoch", 3, edit(good.clone(), |p| p.leader_epoch += 1), ErrorCode::NotController),
        (
            "later partition epoch",
            3,
            edit(good.clone(), |p| p.partition_epoch += 1),
            ErrorCode::NotController,
        ),
        ("older leader epoch", 3, edit(good.clone(), |p| p.leader_epoch -= 1), ErrorCode::FencedLeaderEpoch),
        ("not the leader", 3, request(&cluster, 2, t, 0, &[1, 2]), ErrorCode::InvalidRequest),
        (
            "older partition epoch",
            3,
            edit(good.clone(), |p| p.partition_epoch -= 1),
            ErrorCode::InvalidUpdateVersion,
        ),
        ("not a replica", 3, isr(&[1, 4]), ErrorCode::InvalidRequest),
        ("twice the same", 3, isr(&[1, 1]), ErrorCode::InvalidRequest),
        ("without the leader", 3, isr(&[2]), ErrorCode::InvalidRequest),
        ("empty", 3, isr(&[]), ErrorCode::InvalidRequest),
        (
            "recovering again",
            3,
            edit(good.clone(), |p| p.leader_recovery_state = 1),
            ErrorCode::InvalidRequest,
        ),
        ("a fenced member", 3, isr(&[1, 2, 3]), ErrorCode::IneligibleReplica),
        ("a fenced member, old", 1, isr(&[1, 2, 3]), ErrorCode::OperationNotAttempted),
        (
            "a member's older epoch",
            3,
            edit(good.clone(), |p| p.new_isr_with_epochs[1].broker_epoch -= 1),
            ErrorCode::IneligibleReplica,
        ),
    ];
    for (what, version, request, expected) in cases {
        let outcome = cluster.ask(version, request);
        assert_eq!(error_of(&outcome.response), Some(expected), "{what}");
        assert!(outcome.records.is_empty(), "{what}");
    }
}

#[test]
fn the_isr_shrinks_and_grows_without_a_new_leader_epoch() {
    let mut cluster = Cluster::of(3);
    let t = cluster.create(assigned("t", "1 2 3"));
    let mut log = cluster.partition("t", 0) + "\n";
    for isr in [&[1, 2][..], &[1], &[1, 3], &[1, 3, 2]] {
        let request = request(&cluster, 1, t, 0, isr);
        let outcome = cluster.ask(3, request);
        let Response::AlterPartition(r) = &outcome.response else { panic!() };
        let p = &r.topics[0].partitions[0];
        log +=
            &format!("{:?} -> partition epoch {}; {}\n", isr, p.partition_epoch, cluster.partition("t", 0));
    }
    insta::assert_snapshot!(log, @r"
    leader 1 isr [1, 2, 3] epoch 0 partition epoch 0
    [1, 2] -> partition epoch 1; leader 1 isr [1, 2] epoch 0 partition epoch 1
    [1] -> partition epoch 2; leader 1 isr [1] epoch 0 partition epoch 2
    [1, 3] -> partition epoch 3; leader 1 isr [1, 3] epoch 0 partition epoch 3
    [1, 3, 2] -> partition epoch 4; leader 1 isr [1, 3, 2] epoch 0 partition epoch 4
    ");
}

/// Brokers before 3.6 learned of a smaller ISR only through a new leader epoch (KAFKA-15021).
#[test]
fn under_an_old_metadata_version_a_smaller_isr_makes_a_new_leader_epoch() {
    let level = jackdaw_wire::metadata_record::FeatureLevelRecord {
        name: "metadata.version".into(),
        feature_level: 11,
        ..Default::default()
    };
    let mut cluster = Cluster::empty(ControllerSettings { bootstrap: vec![level.into()], ..settings() });
    for broker in [1, 2] {
        cluster.register(broker);
        cluster.unfence(broker);
    }
    let t = cluster.create(assigned("t", "1 2"));
    let shrink = request(&cluster, 1, t, 0, &[1]);
    let outcome = cluster.ask(2, shrink);
    insta::assert_snapshot!(cluster.show(&outcome.records), @"change t-0 leader=1 isr=[1]");
}

/// With the last member of the ISR gone there is no leader, whatever the topic is set to: Kafka 3.7's KRaft
/// controller elects uncleanly only when it is asked to.
#[test]
fn unclean_elections_happen_only_by_hand() {
    let mut cluster = Cluster::of(2);
    let t = cluster.create(assigned("t", "1 2"));
    let shrink = request(&cluster, 1, t, 0, &[1]);
    cluster.ask(3, shrink);
    cluster.fence(1);
    insta::assert_snapshot!(cluster.partition("t", 0), @"leader -1 isr [1] epoch 1 partition epoch 2");
    let mut log = String::new();
    for (what, kind) in [("preferred", 0), ("unclean", 1), ("unclean again", 1), ("unknown", 5)] {
        let topic = elect_leaders_request::TopicPartitions::default()
            .with_topic(text("t").into())
            .with_partitions(vec![0]);
        let request =
            ElectLeadersRequest::default().with_election_type(kind).with_topic_partitions(Some(vec![topic]));
        let outcome = cluster.ask(2, request);
        let error = error_of(&outcome.response);
        log += &format!("{what}: {error:?} {}\n", cluster.show(&outcome.records).trim());
    }
    insta::assert_snapshot!(log.replace(" \n", "\n"), @r"
    preferred: Some(PreferredLeaderNotAvailable)
    unclean: None change t-0 leader=2 isr=[2] recovery=1
    unclean again: Some(ElectionNotNeeded)
    unknown: Some(InvalidRequest)
    ");
}
