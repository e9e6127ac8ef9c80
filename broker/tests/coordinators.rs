//! What a coordinator cannot read in its log it passes over, says where and what it was, and serves the rest.

#![allow(clippy::unwrap_used, reason = "a panic in a test helper is the failure report")]

mod support;

use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::sync::Arc;

use jackdaw_broker::net::{NodeClient, Resolver};
use jackdaw_wire::ErrorCode;
use jackdaw_wire::batch::BatchBuilder;
use jackdaw_wire::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use jackdaw_wire::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use jackdaw_wire::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use jackdaw_wire::messages::*;
use jackdaw_wire::protocol::StrBytes;
use support::*;

const OFFSETS: &str = "__consumer_offsets";
const TRANSACTIONS: &str = "__transaction_state";
const SETTINGS: &str = "offsets.topic.num.partitions=1
transaction.state.log.num.partitions=1
group.coordinator.rebalance.protocols=classic,consumer";

#[test]
fn node_process() {
    be_a_node_if_asked();
}

/// A node with both coordinators' topics and a topic to commit offsets of.
async fn a_node() -> Cluster {
    let cluster = Cluster::start(1, SETTINGS).await;
    let client = cluster.node(0).client();
    for topic in [OFFSETS, TRANSACTIONS, "t"] {
        assert_eq!(create_topic(&client, topic, 1, 1).await, 0);
        topic_ready(&client, topic, 1).await;
    }
    cluster
}

async fn commit(client: &NodeClient, group: &'static str, offset: i64) {
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(offset);
    let topic = OffsetCommitRequestTopic::default().with_name(name("t")).with_partitions(vec![partition]);
    let request = OffsetCommitRequest::default()
        .with_group_id(GroupId(StrBytes::from_static_str(group)))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic]);
    eventually("the offset is committed", async || {
        match ask(client, 8, &request).await?.topics[0].partitions[0].error_code {
            0 => Ok(()),
            code => Err(format!("{code}")),
        }
    })
    .await;
}

/// What each group has committed, once its coordinator serves.
async fn committed(client: &NodeClient, groups: &[&'static str]) -> Vec<i64> {
    let topic = OffsetFetchRequestTopics::default().with_name(name("t")).with_partition_indexes(vec![0]);
    let group = |group: &&'static str| {
        OffsetFetchRequestGroup::default()
            .with_group_id(GroupId(StrBytes::from_static_str(group)))
            .with_topics(Some(vec![topic.clone()]))
    };
    let request = OffsetFetchRequest::default().with_groups(groups.iter().map(group).collect());
    eventually("the coordinator of groups serves", async || {
        let reply = ask(client, 8, &request).await?;
        match reply.groups.iter().find(|group| group.error_code != 0) {
            Some(group) => Err(format!("{:?}", ErrorCode::try_from_code(group.error_code))),
            None => Ok(reply.groups.iter().map(|g| g.topics[0].partitions[0].committed_offset).collect()),
        }
    })
    .await
}

async fn begin(client: &NodeClient, id: &'static str) {
    let request = InitProducerIdRequest::default()
        .with_transactional_id(Some(TransactionalId(StrBytes::from_static_str(id))))
        .with_transaction_timeout_ms(60_000)
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1);
    eventually("a producer has an id", async || match ask(client, 4, &request).await?.error_code {
        0 => Ok(()),
        code => Err(format!("{code}")),
    })
    .await;
}

/// The state of each transactional id, once its coordinator serves.
async fn states(client: &NodeClient, ids: &[&'static str]) -> Vec<String> {
    let ids = ids.iter().map(|id| TransactionalId(StrBytes::from_static_str(id))).collect();
    let request = DescribeTransactionsRequest::default().with_transactional_ids(ids);
    eventually("the coordinator of transactions serves", async || {
        let reply = ask(client, 0, &request).await?;
        match reply.transaction_states.iter().find(|state| state.error_code != 0) {
            Some(state) => Err(format!("{:?}", ErrorCode::try_from_code(state.error_code))),
            None => Ok(reply.transaction_states.iter().map(|s| s.transaction_state.to_string()).collect()),
        }
    })
    .await
}

/// Writes a record to a coordinator's topic, where only an administrator's client may; its offset.
async fn intrude(cluster: &Cluster, topic: &str, key: Option<&[u8]>, value: Option<&[u8]>) -> i64 {
    let admin = NodeClient::new(cluster.node(0).address(), Arc::new(Resolver::system()), "__admin_client");
    let mut batch = BatchBuilder::new(0, -1);
    batch.append(1_700_000_000_000, key, value);
    let written = produce_batch(&admin, topic, 0, -1, batch.build()).await.unwrap();
    assert_eq!(written.error_code, 0);
    written.base_offset
}

/// Until the line is in the log; a node may serve before it is.
async fn says(cluster: &Cluster, line: &str) {
    eventually(line, async || {
        let text = cluster.node(0).log_text();
        let said: String =
            text.lines().filter(|line| line.contains("Loading ") || line.contains("Unknown")).collect();
        if text.contains(line) { Ok(()) } else { Err(said) }
    })
    .await;
}

/// Key, value, and what is said of the record. Keys are those of group `g`, topic `t` and member `m`.
type Unreadable = (Option<&'static [u8]>, Option<&'static [u8]>, &'static str);

const OF_GROUPS: &[Unreadable] = &[
    (None, Some(b"nobody's"), "without a key type: its key is missing"),
    (Some(b"\0"), Some(b""), "without a key type: its key: the record ends early"),
    (
        Some(b"\0\x01\0\x01g\0\x01t\0\0\0\0"),
        Some(b"\0\x03\0"),
        "key type 1: its value: the record ends early",
    ),
    (Some(b"\0\x02\0\x01g"), Some(b"\0\x09"), "key type 2: its value: "),
    (Some(b"\0\x02\x7f\xffg"), Some(b"\0\x03"), "key type 2: its key: the record ends early"),
    (Some(b"\0\x03\0\x01g"), Some(b"\0\x09"), "key type 3: its value: "),
    (Some(b"\0\x05\0\x01g\0\x01m"), Some(b"\0\0\xff\xff\xff\xff\x0f"), "key type 5: its value: "),
    (Some(b"\0\x06\0\x01g"), Some(b"\0\0\x01"), "key type 6: its value: the record ends early"),
    (Some(b"\0\x07\0\x01g\0\x01m"), Some(b"\0\0\xff\xff\xff\xff\x0f"), "key type 7: its value: "),
    (Some(b"\0\x08\0\x01g\0\x01m"), Some(b"\0\0"), "key type 8: its value: the record ends early"),
    (Some(b"\0\x10\0\x01g\0\x01r"), Some(b"\0\0\x7f"), "key type 16: its value: the record ends early"),
];

const OF_TRANSACTIONS: &[Unreadable] = &[
    (None, Some(b"nobody's"), "without a key type: its key is missing"),
    (Some(b"\0\0\0\x09i"), Some(b""), "key type 0: its key: the record ends early"),
    (Some(b"\0\0\0\x01i"), Some(b"\0\0\0"), "key type 0: its value: the record ends early"),
    (
        Some(b"\0\0\0\x01i"),
        Some(b"\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\x01\x2a\xff\xff\xff\xff\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
        "key type 0: its value: unknown transaction state id 42",
    ),
];

/// One unreadable record once took a coordinator's partition down until somebody mended the file.
#[tokio::test]
async fn records_that_cannot_be_read_are_named_and_passed_over_and_the_rest_is_served() {
    let mut cluster = a_node().await;
    let client = cluster.node(0).client();
    commit(&client, "before", 5).await;
    begin(&client, "before").await;
    let mut lines = Vec::new();
    for (topic, all) in [(OFFSETS, OF_GROUPS), (TRANSACTIONS, OF_TRANSACTIONS)] {
        for (key, value, said) in all {
            let offset = intrude(&cluster, topic, *key, *value).await;
            lines.push(format!(
                "Loading {topic}-0 passes over what it cannot read: the record at offset {offset}, {said}"
            ));
        }
        let offset = intrude(&cluster, topic, Some(b"\0\x63"), Some(b"of a later Kafka")).await;
        lines
            .push(format!("Unknown message key with version 99 at offset {offset} while loading {topic}-0."));
    }
    commit(&client, "after", 7).await;
    begin(&client, "after").await;
    let groups = committed(&client, &["before", "after"]).await;

    cluster.node_mut(0).kill();
    cluster.node_mut(0).start();
    cluster.ready().await;
    let client = cluster.node(0).client();
    assert_eq!(committed(&client, &["before", "after"]).await, groups);
    assert_eq!(groups, [5, 7]);
    assert_eq!(states(&client, &["before", "after"]).await, ["Empty", "Empty"]);
    for line in lines {
        says(&cluster, &line).await;
    }
    // They serve on: what is written now is kept, too.
    commit(&client, "later", 9).await;
    begin(&client, "later").await;
}

/// A bit that flipped while the node was down costs the batch that it lies in, and a length that is none what lies
/// behind it in its segment.
#[tokio::test]
async fn batches_that_cannot_be_read_are_named_and_passed_over_and_the_rest_is_served() {
    const GROUPS: [&str; 9] = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
    let mut cluster = Cluster::start(1, SETTINGS).await;
    let client = cluster.node(0).client();
    let small_segments = CreatableTopicConfig::default()
        .with_name(StrBytes::from_static_str("segment.bytes"))
        .with_value(Some(StrBytes::from_static_str("500")));
    let topic = CreatableTopic::default()
        .with_name(name(OFFSETS))
        .with_num_partitions(1)
        .with_replication_factor(1)
        .with_configs(vec![small_segments]);
    let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000);
    assert_eq!(ask(&client, 7, &request).await.unwrap().topics[0].error_code, 0);
    assert_eq!(create_topic(&client, "t", 1, 1).await, 0);
    topic_ready(&client, OFFSETS, 1).await;
    topic_ready(&client, "t", 1).await;
    for (offset, group) in GROUPS.iter().enumerate() {
        commit(&client, group, offset as i64).await;
    }
    cluster.node_mut(0).stop();
    let file = cluster.node(0).data.join(format!("{OFFSETS}-0/00000000000000000000.log"));
    let begins = batches_in(&fs::read(&file).unwrap());
    assert_eq!(begins.len(), 4, "one commit is one batch");
    let overwrite = |at: u64, bytes: &[u8]| {
        let mut file = fs::File::options().write(true).open(&file).unwrap();
        file.seek(SeekFrom::Start(at)).unwrap();
        file.write_all(bytes).unwrap();
    };
    // The second batch's records, and the third one's length.
    overwrite(begins[1] + 70, b"\xa5\xa5");
    overwrite(begins[2] + 8, &[0, 0, 0, 1]);
    cluster.node_mut(0).start();
    cluster.ready().await;
    let client = cluster.node(0).client();
    assert_eq!(committed(&client, &GROUPS).await, [0, -1, -1, -1, 4, 5, 6, 7, 8]);
    let passed_over = format!("Loading {OFFSETS}-0 passes over what it cannot read: the batch at offset");
    says(&cluster, &format!("{passed_over} 1: Record is corrupt")).await;
    says(&cluster, &format!("{passed_over} 2, and what is behind it up to offset 4: ")).await;
    commit(&client, "later", 9).await;
}

/// Where each batch of a segment begins.
fn batches_in(segment: &[u8]) -> Vec<u64> {
    let mut begins = Vec::new();
    let mut at = 0;
    while let Some(length) = segment.get(at + 8..at + 12) {
        begins.push(at as u64);
        at += 12 + i32::from_be_bytes(length.try_into().unwrap()) as usize;
    }
    begins
}
