//! One node that is broker and controller: every API that it advertises, over a socket.

mod support;

use std::time::Instant;

use jackdaw_wire::messages::describe_configs_request::DescribeConfigsResource;
use jackdaw_wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use jackdaw_wire::messages::metadata_request::MetadataRequestTopic;
use jackdaw_wire::messages::*;
use jackdaw_wire::protocol::StrBytes;
use support::*;

#[test]
fn node_process() {
    be_a_node_if_asked();
}

fn values(range: std::ops::Range<i32>) -> Vec<String> {
    range.map(|n| format!("value {n}")).collect()
}

#[tokio::test]
async fn records_come_back_and_survive_a_stop_and_a_kill() {
    let mut cluster = Cluster::start(1, "num.partitions=2").await;
    let client = cluster.node(0).client();
    assert_eq!(create_topic(&client, "orders", 2, 1).await, 0);
    let topic = topic_ready(&client, "orders", 1).await;
    assert_eq!(topic.partitions.len(), 2);
    let mut expected = Vec::new();
    for (round, acks) in [(0, 1), (1, -1), (2, 1)] {
        let sent = values(round * 10..round * 10 + 10);
        let reply = produce(&client, "orders", 1, acks, &sent).await.unwrap();
        assert_eq!((reply.error_code, reply.base_offset), (0, i64::from(round) * 10));
        expected.extend(sent.into_iter().zip(0_i64..).map(|(v, n)| (i64::from(round) * 10 + n, v)));
    }
    assert_eq!(consume_all(&client, "orders", 1).await.unwrap(), expected);
    assert_eq!(cluster.node_mut(0).stop(), Some(0));
    assert!(cluster.node(0).data.join(".kafka_cleanshutdown").exists());
    cluster.node_mut(0).start();
    cluster.ready().await;
    let client = cluster.node(0).client();
    topic_ready(&client, "orders", 1).await;
    assert_eq!(consume_all(&client, "orders", 1).await.unwrap(), expected);
    cluster.node_mut(0).kill();
    cluster.node_mut(0).start();
    cluster.ready().await;
    let client = cluster.node(0).client();
    topic_ready(&client, "orders", 1).await;
    assert_eq!(consume_all(&client, "orders", 1).await.unwrap(), expected);
}

#[tokio::test]
async fn a_topic_that_is_asked_for_comes_to_be() {
    let cluster = Cluster::start(1, "num.partitions=3").await;
    let client = cluster.node(0).client();
    let wanted = MetadataRequestTopic::default().with_name(Some(name("wanted")));
    let bad = MetadataRequestTopic::default().with_name(Some(name("a bad name")));
    let request =
        MetadataRequest::default().with_topics(Some(vec![wanted, bad])).with_allow_auto_topic_creation(true);
    let reply = ask(&client, 12, &request).await.unwrap();
    let codes: Vec<i16> = reply.topics.iter().map(|t| t.error_code).collect();
    assert_eq!(codes, [3, 17]);
    assert_eq!(topic_ready(&client, "wanted", 1).await.partitions.len(), 3);
    assert_eq!(&*reply.cluster_id.unwrap(), CLUSTER_ID);
}

/// Test suites create a topic and use it in the next line.
#[tokio::test]
async fn what_was_just_decided_is_known_to_the_next_request() {
    let cluster = Cluster::start(1, "").await;
    let client = cluster.node(0).client();
    let mut failed = std::collections::BTreeMap::new();
    let mut count = |what: String, code: i16| {
        if code != 0 {
            *failed.entry((what, code)).or_insert(0) += 1;
        }
    };
    let mut creations = Vec::new();
    for n in 0..40 {
        let topic = format!("t{n}");
        let asked = Instant::now();
        assert_eq!(create_topic(&client, &topic, 1, 1).await, 0);
        creations.push(asked.elapsed());
        asks_about(&client, &topic, 0).await.into_iter().for_each(|(what, code)| count(what.into(), code));
        let more = create_partitions_request::CreatePartitionsTopic::default()
            .with_name(name(&topic))
            .with_count(2)
            .with_assignments(None);
        let request = CreatePartitionsRequest::default().with_topics(vec![more]).with_timeout_ms(10_000);
        assert_eq!(ask(&client, 3, &request).await.unwrap().results[0].error_code, 0);
        for (what, code) in asks_about(&client, &topic, 1).await {
            count(format!("{what} of a partition that was added"), code);
        }
        count("DescribeConfigs of what was altered".into(), altered_retention(&client, &topic).await);
        let gone = delete_topics_request::DeleteTopicState::default().with_name(Some(name(&topic)));
        let request = DeleteTopicsRequest::default().with_topics(vec![gone]).with_timeout_ms(10_000);
        assert_eq!(ask(&client, 6, &request).await.unwrap().responses[0].error_code, 0);
        for (what, code) in asks_about(&client, &topic, 0).await {
            count(format!("{what} of a deleted topic"), i16::from(code != 3));
        }
    }
    creations.sort();
    eprintln!("a creation took {:?}, {:?} at most", creations[20], creations[39]);
    assert!(failed.is_empty(), "of 40 each: {failed:#?}");
}

#[tokio::test]
async fn the_other_answers_are_kafkas() {
    let cluster = Cluster::start(1, "").await;
    let client = cluster.node(0).client();
    let described = ask(&client, 1, &DescribeClusterRequest::default().with_endpoint_type(1)).await.unwrap();
    assert_eq!((&*described.cluster_id, described.brokers.len()), (CLUSTER_ID, 1));
    let found = ask(
        &client,
        4,
        &FindCoordinatorRequest::default().with_coordinator_keys(vec!["g".to_owned().into()]),
    )
    .await
    .unwrap();
    assert_eq!(found.coordinators[0].error_code, 15);
    let init = InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1);
    let first = ask(&client, 4, &init).await.unwrap();
    let second = ask(&client, 4, &init).await.unwrap();
    assert_eq!((first.error_code, second.error_code, first.producer_epoch), (0, 0, 0));
    assert_eq!(*second.producer_id, *first.producer_id + 1);
    assert_eq!(create_topic(&client, "t", 1, 1).await, 0);
    assert_eq!(create_topic(&client, "t", 1, 1).await, 36);
    topic_ready(&client, "t", 1).await;
    let resource = DescribeConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(StrBytes::from_static_str("t"))
        .with_configuration_keys(None);
    let configs =
        ask(&client, 4, &DescribeConfigsRequest::default().with_resources(vec![resource])).await.unwrap();
    assert!(configs.results[0].configs.len() > 25, "{configs:?}");
    let partition = ListOffsetsPartition::default().with_timestamp(-1).with_current_leader_epoch(-1);
    let topic = ListOffsetsTopic::default().with_name(name("t")).with_partitions(vec![partition]);
    let offsets = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic]);
    let offsets = ask(&client, 7, &offsets).await.unwrap();
    assert_eq!((offsets.topics[0].partitions[0].error_code, offsets.topics[0].partitions[0].offset), (0, 0));
    let deleted = DeleteTopicsRequest::default()
        .with_topics(vec![delete_topics_request::DeleteTopicState::default().with_name(Some(name("t")))])
        .with_timeout_ms(10_000);
    assert_eq!(ask(&client, 6, &deleted).await.unwrap().responses[0].error_code, 0);
    let quorum = DescribeQuorumRequest::default().with_topics(vec![
        describe_quorum_request::TopicData::default()
            .with_topic_name(name("__cluster_metadata"))
            .with_partitions(vec![describe_quorum_request::PartitionData::default().with_partition_index(0)]),
    ]);
    let quorum = ask(&client, 1, &quorum).await.unwrap();
    assert_eq!(quorum.topics[0].partitions[0].leader_id.0, 0, "{quorum:?}");
}

#[tokio::test]
async fn a_broker_whose_last_log_dir_fails_ends() {
    let mut cluster = Cluster::start(1, "").await;
    let client = cluster.node(0).client();
    let data = cluster.node(0).data.clone();
    // What is open stays open; nothing new can be made there.
    std::fs::rename(&data, data.with_extension("gone")).unwrap();
    std::fs::write(&data, "").unwrap();
    assert_eq!(create_topic(&client, "orders", 1, 1).await, 0);
    let node = cluster.node_mut(0);
    assert_eq!(node.until_it_ends(), Some(1));
    let log = std::fs::read_to_string(&node.log).unwrap();
    let reason =
        format!("Exiting Kafka due to fatal exception: all log dirs in {} have failed", data.display());
    assert!(log.contains(&reason), "{log}");
}
