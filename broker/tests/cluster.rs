//! Three nodes: replication, the loss of any of them, and their return.

mod support;

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
