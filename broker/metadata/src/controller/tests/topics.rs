//! Topics are made, grow and go.

use jackdaw_wire::messages::create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic};
use jackdaw_wire::messages::create_topics_request::CreatableTopicConfig;
use jackdaw_wire::messages::delete_topics_request::DeleteTopicState;

use super::*;

fn with_config(topic: CreatableTopic, key: &str, value: Option<&str>) -> CreatableTopic {
    topic.with_configs(vec![CreatableTopicConfig::default().with_name(text(key)).with_value(value.map(text))])
}

fn create(topics: Vec<CreatableTopic>) -> CreateTopicsRequest {
    CreateTopicsRequest::default().with_topics(topics)
}

fn told(response: &Response) -> String {
    let line = |name: &str, code: i16, message: Option<&StrBytes>| {
        let error = ErrorCode::try_from_code(code).map_or("ok".into(), |e| format!("{e:?}"));
        format!("{name}: {error} {}", message.map_or("", |m| m)).trim().to_owned() + "\n"
    };
    match response {
        Response::CreateTopics(r) => {
            r.topics.iter().map(|t| line(&t.name, t.error_code, t.error_message.as_ref())).collect()
        }
        Response::CreatePartitions(r) => {
            r.results.iter().map(|t| line(&t.name, t.error_code, t.error_message.as_ref())).collect()
        }
        Response::DeleteTopics(r) => {
            let name = |t: &Option<TopicName>| t.as_ref().map_or("(no name)".into(), |n| n.to_string());
            r.responses.iter().map(|t| line(&name(&t.name), t.error_code, t.error_message.as_ref())).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_batch_has_the_topic_then_its_configs_then_its_partitions() {
    let mut cluster = Cluster::of(3);
    let topic = with_config(assigned("t", "1 2, 3 1"), "retention.ms", Some("5"));
    let outcome = cluster.ask(7, create(vec![topic]));
    insta::assert_snapshot!(cluster.show(&outcome.records), @r#"
    topic t
    config 2/t retention.ms=Some("5")
    partition 0 replicas=[1, 2] isr=[1, 2] leader=1
    partition 1 replicas=[3, 1] isr=[3, 1] leader=3
    "#);
    let Response::CreateTopics(r) = &outcome.response else { panic!() };
    let t = &r.topics[0];
    assert_eq!((t.num_partitions, t.replication_factor), (2, 2));
    assert_eq!(Some(t.topic_id), cluster.controller.image().topics.id_of("t"));
    let configs = t.configs.as_ref().unwrap();
    assert_eq!(
        (&*configs[0].name, configs[0].value.as_deref(), configs[0].config_source),
        ("retention.ms", Some("5"), 1)
    );
    assert_eq!(outcome.commit_offset, cluster.controller.next_offset() - 1);
}

/// The texts are what users see and search for.
#[test]
fn creations_are_refused_in_kafkas_words() {
    let mut cluster = Cluster::of(2);
    cluster.create(topic("there", 1, 1));
    cluster.create(topic("a.b", 1, 1));
    cluster.register(5);
    let set = |topic: CreatableTopic, partitions, rf| {
        topic.with_num_partitions(partitions).with_replication_factor(rf)
    };
    let mut gap = assigned("gap", "1, 2");
    gap.assignments[1].partition_index = 5;
    let mut same = assigned("same", "1, 2");
    same.assignments[1].partition_index = 0;
    let outcome = cluster.ask(
        7,
        create(vec![
            topic("there", 1, 1),
            topic("a_b", 1, 1),
            topic("a b", 1, 1),
            topic("rf9", 1, 9),
            topic("rf0", 1, 0),
            topic("rf-2", 1, -2),
            topic("p0", 0, 1),
            topic("twice", 1, 1),
            topic("twice", 2, 1),
            topic("__cluster_metadata", 1, 1),
            set(assigned("set-rf", "1"), -1, 1),
            set(assigned("set-p", "1"), 1, -1),
            assigned("none", ""),
            assigned("unknown", "1 8"),
            assigned("same-broker", "1 1"),
            assigned("uneven", "1 2, 1"),
            assigned("fenced", "5"),
            gap,
            same,
            with_config(topic("bad-key", 1, 1), "no.such.key", Some("1")),
            with_config(topic("null", 1, 1), "retention.ms", None),
        ]),
    );
    assert!(outcome.records.is_empty());
    insta::assert_snapshot!(told(&outcome.response), @r"
    there: TopicAlreadyExists Topic 'there' already exists.
    a_b: InvalidTopicException Topic 'a_b' collides with existing topic: a.b
    a b: InvalidTopicException Topic name is invalid: 'a b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'
    rf9: InvalidReplicationFactor Unable to replicate the partition 9 time(s): The target replication factor of 9 cannot be reached because only 3 broker(s) are registered.
    rf0: InvalidReplicationFactor Replication factor must be larger than 0, or -1 to use the default value.
    rf-2: InvalidReplicationFactor Replication factor must be larger than 0, or -1 to use the default value.
    p0: InvalidPartitions Number of partitions was set to an invalid non-positive value.
    set-rf: InvalidRequest A manual partition assignment was specified, but replication factor was not set to -1.
    set-p: InvalidRequest A manual partition assignment was specified, but numPartitions was not set to -1.
    none: InvalidReplicaAssignment The manual partition assignment includes an empty replica list.
    unknown: InvalidReplicaAssignment The manual partition assignment includes broker 8, but no such broker is registered.
    same-broker: InvalidReplicaAssignment The manual partition assignment includes the broker 1 more than once.
    uneven: InvalidReplicaAssignment The manual partition assignment includes a partition with 1 replica(s), but this is not consistent with previous partitions, which have 2 replica(s).
    fenced: InvalidReplicaAssignment All brokers specified in the manual partition assignment for partition 0 are fenced or in controlled shutdown.
    gap: InvalidReplicaAssignment partitions should be a consecutive 0-based integer sequence
    same: InvalidReplicaAssignment Found multiple manual partition assignments for partition 0
    bad-key: InvalidConfig Unknown topic config name: no.such.key
    null: InvalidConfig Null value not supported for topic configs: retention.ms
    twice: InvalidRequest Duplicate topic name.
    __cluster_metadata: TopicAuthorizationFailed Authorization failed.
    ");
}

#[test]
fn without_live_brokers_nothing_can_be_created() {
    let mut cluster = Cluster::of(0);
    cluster.register(1);
    let outcome = cluster.ask(7, create(vec![topic("t", -1, -1)]));
    insta::assert_snapshot!(told(&outcome.response), @"t: InvalidReplicationFactor Unable to replicate the partition 1 time(s): All brokers are currently fenced.");
}

#[test]
fn a_validation_writes_nothing_and_answers_as_if_it_had() {
    let mut cluster = Cluster::of(1);
    let outcome = cluster.ask(7, create(vec![topic("t", 3, 1)]).with_validate_only(true));
    assert_eq!(told(&outcome.response), "t: ok\n");
    assert!(outcome.records.is_empty() && cluster.controller.image().topics.is_empty());
}

#[test]
fn a_request_of_ten_thousand_records_is_too_large() {
    let mut cluster = Cluster::of(1);
    for partitions in [10_000, i32::MAX] {
        let outcome = cluster.ask(7, create(vec![topic("t", partitions, 1)]));
        insta::allow_duplicates! {
            insta::assert_snapshot!(told(&outcome.response), @"t: PolicyViolation Unable to perform excessively large batch operation.");
        }
        assert!(outcome.records.is_empty());
    }
    let outcome = cluster.ask(7, create(vec![topic("t", 9_999, 1)]));
    assert_eq!((told(&outcome.response).as_str(), outcome.records.len()), ("t: ok\n", 10_000));
}

#[test]
fn replicas_on_fenced_brokers_start_outside_the_isr() {
    let mut cluster = Cluster::of(2);
    cluster.register(3);
    let outcome = cluster.ask(7, create(vec![assigned("t", "3 1 2")]));
    insta::assert_snapshot!(cluster.show(&outcome.records), @r"
    topic t
    partition 0 replicas=[3, 1, 2] isr=[1, 2] leader=1
    ");
}

#[test]
fn partitions_are_added_or_refused_in_kafkas_words() {
    let mut cluster = Cluster::of(2);
    cluster.create(assigned("t", "1 2, 2 1"));
    let grow = |name: &str, count| {
        CreatePartitionsTopic::default().with_name(text(name).into()).with_count(count).with_assignments(None)
    };
    let on = |topic: CreatePartitionsTopic, replicas: &[&[i32]]| {
        let assignments = replicas.iter().map(|ids| {
            CreatePartitionsAssignment::default()
                .with_broker_ids(ids.iter().map(|id| BrokerId(*id)).collect())
        });
        topic.with_assignments(Some(assignments.collect()))
    };
    let mut log = String::new();
    for topics in [
        vec![grow("none", 2)],
        vec![grow("t", 2)],
        vec![grow("t", 1)],
        vec![grow("t", 3), grow("t", 4)],
        vec![on(grow("t", 3), &[])],
        vec![on(grow("t", 3), &[&[1]])],
        vec![on(grow("t", 4), &[&[2, 1], &[1, 2]])],
    ] {
        let outcome = cluster.ask(3, CreatePartitionsRequest::default().with_topics(topics));
        log += &(told(&outcome.response) + &cluster.show(&outcome.records));
    }
    insta::assert_snapshot!(log, @r"
    none: UnknownTopicOrPartition
    t: InvalidPartitions Topic already has 2 partition(s).
    t: InvalidPartitions The topic t currently has 2 partition(s); 1 would not be an increase.
    t: InvalidRequest Duplicate topic name.
    t: InvalidReplicaAssignment Attempted to add 1 additional partition(s), but only 0 assignment(s) were specified.
    t: InvalidReplicaAssignment The manual partition assignment includes a partition with 1 replica(s), but this is not consistent with previous partitions, which have 2 replica(s).
    t: ok
    partition 2 replicas=[2, 1] isr=[2, 1] leader=2
    partition 3 replicas=[1, 2] isr=[1, 2] leader=1
    ");
    let outcome = cluster.ask(3, CreatePartitionsRequest::default().with_topics(vec![grow("t", 9)]));
    assert_eq!(outcome.records.len(), 5);
}

#[test]
fn topics_are_deleted_by_name_and_by_id() {
    let mut cluster = Cluster::of(1);
    let ids: Vec<Uuid> = ["a", "b", "c", "d"].map(|name| cluster.create(topic(name, 2, 1))).into();
    let by = |name: Option<&str>, id| {
        DeleteTopicState::default().with_name(name.map(|n| text(n).into())).with_topic_id(id)
    };
    let nil = Uuid::nil();
    let request = DeleteTopicsRequest::default().with_topics(vec![
        by(Some("a"), nil),
        by(None, ids[1]),
        by(None, nil),
        by(Some("c"), ids[2]),
        by(Some("none"), nil),
        by(None, id(999)),
        by(Some("twice"), nil),
        by(Some("twice"), nil),
        by(Some("d"), nil),
        by(None, ids[3]),
    ]);
    let outcome = cluster.ask(6, request);
    let mut lines: Vec<String> = told(&outcome.response).lines().map(str::to_owned).collect();
    lines.sort();
    insta::assert_snapshot!(lines.join("\n"), @r"
    (no name): InvalidRequest Neither topic name nor id were specified.
    (no name): UnknownTopicId This server does not host this topic ID.
    a: ok
    b: ok
    c: InvalidRequest You may not specify both topic name and topic id.
    d: InvalidRequest The provided topic name maps to an ID that was already supplied.
    none: UnknownTopicOrPartition This server does not host this topic-partition.
    twice: InvalidRequest Duplicate topic name.
    ");
    let left: Vec<String> = cluster.controller.image().topics.iter().map(|t| t.name.to_string()).collect();
    assert_eq!(left, ["c", "d"]);
}

#[test]
fn where_deletion_is_turned_off_it_says_so_to_those_who_understand() {
    let mut cluster = Cluster::empty(ControllerSettings { delete_topics: false, ..settings() });
    for (version, expected) in [(3, ErrorCode::TopicDeletionDisabled), (2, ErrorCode::InvalidRequest)] {
        let request = DeleteTopicsRequest::default().with_topic_names(vec![text("t").into()]);
        assert_eq!(error_of(&cluster.ask(version, request).response), Some(expected));
    }
}
