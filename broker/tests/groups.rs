//! A coordinator whose log cannot be read does not serve, and says why; the others go on.

mod support;

use std::sync::Arc;

use jackdaw_broker::net::{NodeClient, Resolver};
use jackdaw_wire::ErrorCode;
use jackdaw_wire::messages::{DescribeGroupsRequest, GroupId};
use jackdaw_wire::protocol::StrBytes;
use support::*;

/// By Java's hash, of two partitions.
const GROUP_OF_PARTITION_0: &str = "b";
const GROUP_OF_PARTITION_1: &str = "a";

#[test]
fn node_process() {
    be_a_node_if_asked();
}

/// What both groups' coordinators say, once it is as expected.
async fn eventually_told(client: &NodeClient, expected: [i16; 2]) {
    let groups = [GROUP_OF_PARTITION_0, GROUP_OF_PARTITION_1].map(|id| GroupId(StrBytes::from(id)));
    let request = DescribeGroupsRequest::default().with_groups(groups.to_vec());
    eventually("the coordinators answer", async || {
        let reply = ask(client, 5, &request).await?;
        let told: Vec<i16> = reply.groups.iter().map(|group| group.error_code).collect();
        if told == expected { Ok(()) } else { Err(format!("{told:?}")) }
    })
    .await;
}

#[tokio::test]
async fn an_unreadable_record_stops_its_own_partition_and_no_other() {
    let mut cluster = Cluster::start(1, "offsets.topic.num.partitions=2").await;
    let client = cluster.node(0).client();
    assert_eq!(create_topic(&client, "__consumer_offsets", 2, 1).await, 0);
    topic_ready(&client, "__consumer_offsets", 1).await;
    eventually_told(&client, [0, 0]).await;

    // Only an administrator's client may write there.
    let admin = NodeClient::new(cluster.node(0).address(), Arc::new(Resolver::system()), "__admin_client");
    let keyless = ["no coordinator writes this".to_owned()];
    let written = produce(&admin, "__consumer_offsets", 0, -1, &keyless).await.unwrap();
    assert_eq!((written.error_code, written.base_offset), (0, 0));

    cluster.node_mut(0).kill();
    cluster.node_mut(0).start();
    cluster.ready().await;
    let client = cluster.node(0).client();
    eventually_told(&client, [ErrorCode::CoordinatorNotAvailable.code(), 0]).await;
    let line = "The coordinator of __consumer_offsets-0 does not serve: the record at offset 0 cannot be read: its \
                key is missing. The other partitions go on";
    assert!(cluster.node(0).log_text().contains(line), "{}", cluster.node(0).log_text());
}
