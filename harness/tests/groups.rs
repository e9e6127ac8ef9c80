//! Consumers of librdkafka in groups: they share the partitions, take over from each other, and go on where the
//! group was, whatever broker coordinates it.

#![allow(clippy::unwrap_used, reason = "a panic in a test helper is the failure report")]

mod common;

use common::Cluster;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const PARTITIONS: i32 = 6;
const DEADLINE: Duration = Duration::from_secs(60);
/// One partition, so that all groups of a test have one coordinator.
const SETTINGS: [&str; 4] = [
    "KAFKA_CFG_OFFSETS_TOPIC_REPLICATION_FACTOR=3",
    "KAFKA_CFG_OFFSETS_TOPIC_NUM_PARTITIONS=1",
    "KAFKA_CFG_GROUP_INITIAL_REBALANCE_DELAY_MS=0",
    "KAFKA_CFG_DEFAULT_REPLICATION_FACTOR=3",
];

/// What a member has and had.
#[derive(Default)]
struct Seen {
    assigned: BTreeSet<i32>,
    /// Offsets by partition, in the order of their coming.
    records: BTreeMap<i32, Vec<i64>>,
}

/// A consumer in a thread of its own, which commits what it reads.
struct Member {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Member {
    fn join(cluster: &Cluster, group: &str, assignor: &str, instance: Option<&str>) -> Self {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", cluster.bootstrap())
            .set("group.id", group)
            .set("partition.assignment.strategy", assignor)
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "false")
            .set("session.timeout.ms", "6000")
            .set("heartbeat.interval.ms", "300");
        if let Some(instance) = instance {
            config.set("group.instance.id", instance);
        }
        let consumer: BaseConsumer = config.create().unwrap();
        consumer.subscribe(&[group]).unwrap();
        let (seen, stop) = (Arc::<Mutex<Seen>>::default(), Arc::<AtomicBool>::default());
        let (seen_there, stop_there) = (Arc::clone(&seen), Arc::clone(&stop));
        let thread = std::thread::spawn(move || consume(&consumer, &seen_there, &stop_there));
        Self { seen, stop, thread: Some(thread) }
    }

    fn assigned(&self) -> BTreeSet<i32> {
        self.seen.lock().unwrap().assigned.clone()
    }

    fn records(&self) -> BTreeMap<i32, Vec<i64>> {
        self.seen.lock().unwrap().records.clone()
    }

    /// Commits and goes; a static member does not tell the group.
    fn stop(mut self) -> BTreeMap<i32, Vec<i64>> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.take().unwrap().join().unwrap();
        self.records()
    }
}

fn consume(consumer: &BaseConsumer, seen: &Mutex<Seen>, stop: &AtomicBool) {
    while !stop.load(Ordering::SeqCst) {
        // Errors are of brokers that were killed: what counts is what comes after.
        let polled = consumer.poll(Duration::from_millis(50)).and_then(Result::ok);
        let assigned = consumer.assignment().unwrap();
        let mut seen = seen.lock().unwrap();
        seen.assigned = assigned.elements().iter().map(|element| element.partition()).collect();
        if let Some(message) = polled {
            seen.records.entry(message.partition()).or_default().push(message.offset());
            drop(seen);
            consumer.commit_message(&message, CommitMode::Async).unwrap();
        }
    }
    let began = Instant::now();
    // The coordinator may be moving at this moment.
    while let Err(error) = consumer.commit_consumer_state(CommitMode::Sync) {
        let nothing = error.rdkafka_error_code() == Some(rdkafka::types::RDKafkaErrorCode::NoOffset);
        if nothing || began.elapsed() > DEADLINE {
            break;
        }
    }
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

fn create_topic(cluster: &Cluster, topic: &str) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", cluster.bootstrap()).create().unwrap();
    let topic = NewTopic::new(topic, PARTITIONS, TopicReplication::Fixed(3));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let results = runtime.block_on(admin.create_topics([&topic], &AdminOptions::new())).unwrap();
    results.into_iter().for_each(|result| assert!(result.is_ok(), "{result:?}"));
}

/// Writes as many records to each partition.
fn produce(cluster: &Cluster, topic: &str, each: usize) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap())
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .create()
        .unwrap();
    for partition in 0..PARTITIONS {
        for _ in 0..each {
            producer.send(BaseRecord::<(), str>::to(topic).payload("x").partition(partition)).unwrap();
        }
    }
    producer.flush(DEADLINE).unwrap();
}

/// Whether these members together have read everything up to this offset.
fn have_read(members: &[&Member], end: i64) -> bool {
    let mut read: BTreeSet<(i32, i64)> = BTreeSet::new();
    for member in members {
        let records = member.records();
        read.extend(records.iter().flat_map(|(partition, offsets)| offsets.iter().map(|o| (*partition, *o))));
    }
    (0..PARTITIONS).all(|partition| (0..end).all(|offset| read.contains(&(partition, offset))))
}

/// Whether the members share all partitions, each with some.
fn share(members: &[&Member]) -> bool {
    let parts: Vec<BTreeSet<i32>> = members.iter().map(|member| member.assigned()).collect();
    let all: BTreeSet<i32> = parts.iter().flatten().copied().collect();
    let count: usize = parts.iter().map(BTreeSet::len).sum();
    parts.iter().all(|part| !part.is_empty()) && count == PARTITIONS as usize && all.len() == count
}

/// The service of the broker that coordinates the groups.
fn coordinator(cluster: &Cluster) -> String {
    let client: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", cluster.bootstrap()).create().unwrap();
    let metadata = client.fetch_metadata(Some("__consumer_offsets"), DEADLINE).unwrap();
    let leader = metadata.topics()[0].partitions()[0].leader();
    cluster.services()[usize::try_from(leader).unwrap()].clone()
}

/// Two members come, share, lose their coordinator, and one of them; a third begins where they ended.
fn live_through(cluster: &Cluster, assignor: &str) {
    create_topic(cluster, assignor);
    produce(cluster, assignor, 20);
    let first = Member::join(cluster, assignor, assignor, None);
    eventually("one member has all", || first.assigned().len() == PARTITIONS as usize);
    let second = Member::join(cluster, assignor, assignor, None);
    eventually("two members share", || share(&[&first, &second]));
    produce(cluster, assignor, 20);
    eventually("both read on", || have_read(&[&first, &second], 40));

    let lost = coordinator(cluster);
    cluster.ok(&["kill", &lost]);
    produce(cluster, assignor, 20);
    eventually("both read on without their coordinator", || have_read(&[&first, &second], 60));
    eventually("another broker coordinates", || coordinator(cluster) != lost);
    cluster.ok(&["start", &lost]);

    let third = Member::join(cluster, assignor, assignor, None);
    eventually("three members share", || share(&[&first, &second, &third]));
    let early = second.stop();
    eventually("two members share again", || share(&[&first, &third]));
    assert!(early.values().flatten().count() > 0, "the second member read something");
    first.stop();
    third.stop();

    produce(cluster, assignor, 5);
    let last = Member::join(cluster, assignor, assignor, None);
    eventually("the rest is read", || last.records().values().map(Vec::len).sum::<usize>() >= 30);
    let records = last.stop();
    let expected: BTreeMap<i32, Vec<i64>> =
        (0..PARTITIONS).map(|partition| (partition, (60..65).collect())).collect();
    assert_eq!(records, expected, "what was committed is not read again, and nothing is left out");
}

#[test]
fn eager_and_cooperative_members_share_take_over_and_go_on() {
    let cluster = Cluster::up(&SETTINGS);
    for assignor in ["range", "roundrobin", "cooperative-sticky"] {
        eprintln!("with the assignor {assignor}");
        live_through(&cluster, assignor);
    }
}

#[test]
fn a_static_member_comes_back_to_its_own_and_a_dead_one_is_replaced() {
    let cluster = Cluster::up(&SETTINGS);
    let topic = "static";
    create_topic(&cluster, topic);
    produce(&cluster, topic, 10);
    let first = Member::join(&cluster, topic, "range", Some("one"));
    let second = Member::join(&cluster, topic, "range", Some("two"));
    eventually("two members share", || share(&[&first, &second]) && have_read(&[&first, &second], 10));
    let (kept, left) = (first.assigned(), second.assigned());
    second.stop();
    let second = Member::join(&cluster, topic, "range", Some("two"));
    eventually("it has its own again", || second.assigned() == left);
    assert_eq!(first.assigned(), kept, "nobody else was disturbed");

    // It tells nobody that it goes, so the group learns it from its silence, as of a process that was killed.
    second.stop();
    eventually("the other one takes over", || first.assigned().len() == PARTITIONS as usize);

    cluster.ok(&["restart"]);
    produce(&cluster, topic, 5);
    eventually("the group outlives a restart of all brokers", || {
        let records = first.records();
        (0..PARTITIONS).all(|partition| records.get(&partition).is_some_and(|o| o.last() == Some(&14)))
    });
    first.stop();
}
