//! Three nodes: replication, the loss of any of them, and their return.

mod support;

use std::time::{Duration, Instant};

use jackdaw_wire::messages::*;

use support::*;

#[test]
fn node_process() {
    be_a_node_if_asked();
}

fn numbered(from: usize, to: usize) -> Vec<String> {
    (from..to).map(|n| format!("record {n}")).collect()
}

/// Sends to whoever leads until it is acknowledged.
async fn produce_somewhere(cluster: &Cluster, via: i32, topic: &str, values: &[String]) -> i64 {
    let via = cluster.node(via).client();
    eventually("an acknowledgement", async || {
        let shown = metadata(&via, Some(topic)).await?;
        let leader = shown.topics[0].partitions.first().ok_or("no partitions")?.leader_id.0;
        if leader < 0 {
            return Err("no leader".to_owned());
        }
        let reply = produce(&cluster.node(leader).client(), topic, 0, -1, values).await?;
        if reply.error_code == 0 { Ok(reply.base_offset) } else { Err(format!("error {}", reply.error_code)) }
    })
    .await
}

#[tokio::test]
async fn three_nodes_replicate_and_outlive_their_leader() {
    let settings = "default.replication.factor=3\nmin.insync.replicas=2\nauto.create.topics.enable=false";
    let mut cluster = Cluster::start(3, settings).await;
    let client = cluster.node(0).client();
    assert_eq!(create_topic(&client, "orders", 1, 3).await, 0);
    let topic = topic_ready(&client, "orders", 3).await;
    let leader = topic.partitions[0].leader_id.0;
    produce_somewhere(&cluster, 0, "orders", &numbered(0, 100)).await;

    cluster.node_mut(leader).kill();
    let survivor = (leader + 1) % 3;
    produce_somewhere(&cluster, survivor, "orders", &numbered(100, 200)).await;
    let client = cluster.node(survivor).client();
    let shown = topic_ready(&client, "orders", 2).await;
    let next = shown.partitions[0].leader_id.0;
    assert_ne!(next, leader);
    let found = consume_all(&cluster.node(next).client(), "orders", 0).await.unwrap();
    let expected: Vec<_> = (0_i64..).zip(numbered(0, 200)).collect();
    assert_eq!(found, expected);

    cluster.node_mut(leader).start();
    cluster.ready().await;
    topic_ready(&client, "orders", 3).await;
    produce_somewhere(&cluster, survivor, "orders", &numbered(200, 210)).await;
}

/// The node of the lost directory goes on, and fetches into it no more: nobody may take its replica for one in sync.
#[tokio::test]
async fn writes_go_on_when_a_followers_log_directory_fails() {
    let settings = "default.replication.factor=3\nmin.insync.replicas=2\nauto.create.topics.enable=false\n\
                    log.segment.bytes=20000";
    let mut cluster = Cluster::prepare(3, settings);
    let second = cluster.add_log_dir(2);
    cluster.nodes.iter_mut().for_each(Node::start);
    cluster.ready().await;
    let client = cluster.node(0).client();
    assert_eq!(create_topic(&client, "orders", 12, 3).await, 0);
    let topic = topic_ready(&client, "orders", 3).await;
    let lies_there = |index: i32| second.join(format!("orders-{index}")).exists();
    let hit: Vec<(i32, i32)> = topic
        .partitions
        .iter()
        .map(|p| (p.partition_index, p.leader_id.0))
        .filter(|(index, leader)| *leader != 2 && lies_there(*index))
        .collect();
    let rolls = vec!["x".repeat(15_000)];
    for (index, leader) in &hit {
        assert_eq!(
            produce(&cluster.node(*leader).client(), "orders", *index, -1, &rolls).await.unwrap().error_code,
            0
        );
    }
    assert!(hit.len() > 1, "no replica lies in the second directory: {topic:?}");

    // The next segment has no folder to go to.
    std::fs::rename(&second, second.with_extension("gone")).unwrap();
    let mut slowest = Duration::ZERO;
    for round in 0..10 {
        for (index, leader) in &hit {
            let asked = Instant::now();
            let client = cluster.node(*leader).client();
            let reply = produce(&client, "orders", *index, -1, &rolls).await.unwrap();
            assert_eq!(reply.error_code, 0, "round {round}, partition {index}, after {:?}", asked.elapsed());
            slowest = slowest.max(asked.elapsed());
        }
    }
    eprintln!("the slowest of {} writes took {slowest:?}", 10 * hit.len());
    let shown = topic_ready(&client, "orders", 2).await;
    for (index, _) in &hit {
        let partition = shown.partitions.iter().find(|p| p.partition_index == *index).unwrap();
        assert!(!partition.isr_nodes.contains(&BrokerId(2)), "{partition:?}");
    }
}

/// The node whose own controller decided it knows of it; the others hear of it a moment later, as in Kafka.
#[tokio::test]
async fn the_active_controllers_own_node_knows_a_topic_when_its_creation_is_answered() {
    let cluster = Cluster::start(3, "default.replication.factor=3").await;
    let quorum = describe_quorum_request::TopicData::default()
        .with_topic_name(name("__cluster_metadata"))
        .with_partitions(vec![describe_quorum_request::PartitionData::default()]);
    let request = DescribeQuorumRequest::default().with_topics(vec![quorum]);
    let quorum = ask(&cluster.node(0).client(), 1, &request).await.unwrap();
    let active = quorum.topics[0].partitions[0].leader_id.0;
    let client = cluster.node(active).client();
    let mut unknown = std::collections::BTreeMap::new();
    for n in 0..60 {
        let topic = format!("t{n}");
        assert_eq!(create_topic(&client, &topic, 1, 3).await, 0);
        for (what, code) in asks_about(&client, &topic, 0).await {
            // Where another node leads, this one says so.
            if code == 3 {
                *unknown.entry(what).or_insert(0) += 1;
            }
        }
    }
    assert!(unknown.is_empty(), "of 60 each, on node {active}: {unknown:?}");
}

/// librdkafka goes on asking a coordinator that is listed no more (confluentinc/librdkafka#5511): as in Kafka a broker that
/// was killed is listed until its session ends, though others lead at once. One that stops by itself is not.
#[tokio::test]
async fn a_killed_node_is_listed_until_its_session_ends_and_others_lead_at_once() {
    let (session, heartbeat) = (Duration::from_secs(4), Duration::from_millis(500));
    let settings = format!(
        "default.replication.factor=3\nbroker.session.timeout.ms={}\nbroker.heartbeat.interval.ms={}",
        session.as_millis(),
        heartbeat.as_millis()
    );
    let mut cluster = Cluster::start(3, &settings).await;
    assert_eq!(create_topic(&cluster.node(0).client(), "many", 6, 3).await, 0);
    topic_ready(&cluster.node(0).client(), "many", 3).await;
    let client = cluster.node(1).client();
    // As Metadata and as DescribeCluster tell it.
    let lists = async |id: i32| {
        let shown = metadata(&client, None).await.unwrap();
        let request = DescribeClusterRequest::default().with_endpoint_type(1);
        let described = ask(&client, 1, &request).await.unwrap();
        [
            shown.brokers.iter().any(|b| b.node_id.0 == id),
            described.brokers.iter().any(|b| b.broker_id.0 == id),
        ]
    };

    let killed = Instant::now();
    cluster.node_mut(0).kill();
    eventually("others lead", async || {
        let reply = metadata(&client, Some("many")).await?;
        let left = |p: &metadata_response::MetadataResponsePartition| {
            p.leader_id.0 > 0 && !p.isr_nodes.contains(&BrokerId(0))
        };
        let partitions = &reply.topics[0].partitions;
        partitions.iter().all(left).then_some(()).ok_or_else(|| format!("{partitions:?}"))
    })
    .await;
    let moved = killed.elapsed();
    assert_eq!(lists(0).await, [true; 2], "its session goes on");
    assert!(moved < session - heartbeat, "others led after {moved:?} only");
    while lists(0).await != [false; 2] {
        assert!(killed.elapsed() < session + Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let listed = killed.elapsed();
    eprintln!("others led after {moved:?}; listed for {listed:?}");
    assert!(listed > session - 2 * heartbeat, "listed for {listed:?} only");

    cluster.node_mut(0).start();
    cluster.ready().await;
    topic_ready(&client, "many", 3).await;
    cluster.node_mut(0).stop();
    assert_eq!(lists(0).await, [false; 2], "it stopped by itself");
}

#[tokio::test]
async fn a_stopping_node_hands_its_leaderships_over_first() {
    let mut cluster = Cluster::start(3, "default.replication.factor=3").await;
    let client = cluster.node(0).client();
    assert_eq!(create_topic(&client, "many", 6, 3).await, 0);
    topic_ready(&client, "many", 3).await;
    for id in 0..3 {
        assert_eq!(cluster.node_mut(id).stop(), Some(0), "node {id}");
        let other = cluster.node((id + 1) % 3).client();
        let shown = topic_ready(&other, "many", 2).await;
        assert!(shown.partitions.iter().all(|p| p.leader_id.0 != id), "{shown:?}");
        cluster.node_mut(id).start();
        cluster.ready().await;
        topic_ready(&other, "many", 3).await;
    }
}
