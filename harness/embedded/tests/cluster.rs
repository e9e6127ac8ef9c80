//! What a test does with a cluster inside its own process, seen by librdkafka.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

use jackdaw_embedded::{Cluster, Error};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::net::TcpListener;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

fn client(cluster: &Cluster) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cluster.bootstrap_servers());
    config
}

async fn create(cluster: &Cluster, topic: &str, replicas: i32) {
    let admin: AdminClient<DefaultClientContext> = client(cluster).create().unwrap();
    let topic = NewTopic::new(topic, 1, TopicReplication::Fixed(replicas));
    let made = admin.create_topics(&[topic], &AdminOptions::new()).await.unwrap();
    assert!(made.iter().all(Result::is_ok), "{made:?}");
}

fn produce(cluster: &Cluster, topic: &str, payload: &str) {
    let producer: BaseProducer = client(cluster).set("acks", "all").create().unwrap();
    producer.send(BaseRecord::<(), str>::to(topic).payload(payload)).unwrap();
    producer.flush(PATIENCE).unwrap();
}

/// The first record, by a member of a group.
fn consume(cluster: &Cluster, topic: &str) -> String {
    let consumer: BaseConsumer =
        client(cluster).set("group.id", "readers").set("auto.offset.reset", "earliest").create().unwrap();
    consumer.subscribe(&[topic]).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(Ok(record)) = consumer.poll(Duration::from_millis(100)) {
            return String::from_utf8(record.payload().unwrap().to_vec()).unwrap();
        }
    }
    panic!("no record of {topic} within {PATIENCE:?}");
}

#[tokio::test]
async fn three_brokers_keep_replicas_and_serve_groups() {
    let cluster = Cluster::builder().brokers(3).start().unwrap();
    let watcher: BaseConsumer = client(&cluster).create().unwrap();
    let shown = watcher.fetch_metadata(None, PATIENCE).unwrap();
    let ids: Vec<i32> = shown.brokers().iter().map(|broker| broker.id()).collect();
    assert_eq!(ids.len(), 3, "{ids:?}");
    create(&cluster, "greetings", 3).await;
    produce(&cluster, "greetings", "hello");
    assert_eq!(consume(&cluster, "greetings"), "hello");
    let shown = watcher.fetch_metadata(Some("greetings"), PATIENCE).unwrap();
    assert_eq!(shown.topics()[0].partitions()[0].replicas().len(), 3);
}

#[tokio::test]
async fn clusters_stand_side_by_side_and_know_nothing_of_each_other() {
    let clusters = [0, 1].map(|_| Cluster::builder().start().unwrap());
    for (cluster, payload) in clusters.iter().zip(["one", "two"]) {
        create(cluster, "same", 1).await;
        produce(cluster, "same", payload);
    }
    assert_eq!(clusters.each_ref().map(|cluster| consume(cluster, "same")), ["one", "two"]);
}

#[tokio::test]
async fn a_dropped_cluster_leaves_nothing_behind_and_ends_at_once() {
    let cluster = Cluster::builder().brokers(3).start().unwrap();
    create(&cluster, "t", 3).await;
    // A client that stays connected, and waits.
    let consumer: BaseConsumer = client(&cluster).set("group.id", "readers").create().unwrap();
    consumer.subscribe(&["t"]).unwrap();
    assert!(consumer.poll(Duration::from_millis(200)).is_none());
    let (folder, addresses) = (cluster.folder().to_owned(), cluster.bootstrap_servers().to_owned());
    assert!(folder.join("1/meta.properties").is_file());
    let began = Instant::now();
    drop(cluster);
    assert!(began.elapsed() < Duration::from_secs(3), "stopped in {:?}", began.elapsed());
    assert!(!folder.exists());
    for address in addresses.split(',') {
        let free = TcpListener::bind(address);
        assert!(free.is_ok(), "{address}: {free:?}");
    }
}

#[test]
fn what_cannot_be_is_refused_with_its_reason() {
    let refused = |builder: jackdaw_embedded::Builder| builder.start().unwrap_err().to_string();
    assert_eq!(refused(Cluster::builder().brokers(0)), Error::NoBroker.to_string());
    assert_eq!(
        refused(Cluster::builder().setting("node.id", 7)),
        "`node.id` is the cluster's own: it gives each node its value"
    );
    let number = refused(Cluster::builder().setting("num.partitions", "many"));
    assert!(number.contains("Invalid value many for configuration num.partitions"), "{number}");
}
