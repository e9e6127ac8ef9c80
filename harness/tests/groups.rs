//! Consumers of librdkafka in groups, of either protocol: they share the partitions, take over from each other, and go on
//! where the group was, whatever broker coordinates it.

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

/// Beside [`SETTINGS`], for groups of the consumer protocol (KIP-848), with sessions as short as above.
const CONSUMER_SETTINGS: [&str; 6] = [
    "KAFKA_CFG_GROUP_COORDINATOR_REBALANCE_PROTOCOLS=classic,consumer",
    "KAFKA_CFG_GROUP_CONSUMER_MIN_SESSION_TIMEOUT_MS=6000",
    "KAFKA_CFG_GROUP_CONSUMER_SESSION_TIMEOUT_MS=6000",
    "KAFKA_CFG_GROUP_CONSUMER_MIN_HEARTBEAT_INTERVAL_MS=300",
    "KAFKA_CFG_GROUP_CONSUMER_HEARTBEAT_INTERVAL_MS=300",
    "KAFKA_CFG_AUTO_CREATE_TOPICS_ENABLE=false",
];
/// In place of the name of an assignor: the member speaks the consumer protocol.
const CONSUMER: &str = "consumer";

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
    /// The topic has the name of the group.
    fn join(cluster: &Cluster, group: &str, assignor: &str, instance: Option<&str>) -> Self {
        Self::join_group(cluster, group, group, assignor, instance)
    }

    fn join_group(
        cluster: &Cluster,
        group: &str,
        topic: &str,
        assignor: &str,
        instance: Option<&str>,
    ) -> Self {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", cluster.bootstrap())
            .set("group.id", group)
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "false");
        match assignor {
            CONSUMER => config.set("group.protocol", "consumer"),
            assignor => config
                .set("partition.assignment.strategy", assignor)
                .set("session.timeout.ms", "6000")
                .set("heartbeat.interval.ms", "300"),
        };
        if let Some(instance) = instance {
            config.set("group.instance.id", instance);
        }
        let consumer: BaseConsumer = config.create().unwrap();
        consumer.subscribe(&[topic]).unwrap();
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

fn with_consumer_protocol() -> Cluster {
    Cluster::up(&[&SETTINGS[..], &CONSUMER_SETTINGS].concat())
}

#[test]
fn members_of_the_consumer_protocol_share_take_over_and_go_on() {
    live_through(&with_consumer_protocol(), CONSUMER);
}

#[test]
fn members_may_subscribe_to_what_matches_an_expression() {
    let cluster = with_consumer_protocol();
    create_topic(&cluster, "orders-one");
    produce(&cluster, "orders-one", 5);
    // librdkafka takes what begins so for an expression, and leaves it to the coordinator.
    let member = Member::join_group(&cluster, "g", "^orders-.*", CONSUMER, None);
    eventually("it reads what matches", || have_read(&[&member], 5));
    member.stop();
}

#[test]
fn a_group_goes_from_one_protocol_to_the_other_and_back_while_it_reads() {
    let cluster = with_consumer_protocol();
    let topic = "migrated";
    create_topic(&cluster, topic);
    produce(&cluster, topic, 10);
    let first = Member::join(&cluster, topic, "range", None);
    let second = Member::join(&cluster, topic, "range", None);
    eventually("two classic members share", || {
        share(&[&first, &second]) && have_read(&[&first, &second], 10)
    });

    let third = Member::join(&cluster, topic, CONSUMER, None);
    eventually("a consumer shares with classic members", || share(&[&first, &second, &third]));
    produce(&cluster, topic, 10);
    eventually("all read on", || have_read(&[&first, &second, &third], 20));
    first.stop();
    let fourth = Member::join(&cluster, topic, CONSUMER, None);
    second.stop();
    eventually("two consumers share", || share(&[&third, &fourth]));

    let lost = coordinator(&cluster);
    cluster.ok(&["kill", &lost]);
    eventually("another broker coordinates", || coordinator(&cluster) != lost);
    cluster.ok(&["start", &lost]);

    let fifth = Member::join(&cluster, topic, "range", None);
    eventually("a classic member shares with consumers", || share(&[&third, &fourth, &fifth]));
    third.stop();
    fourth.stop();
    eventually("a classic member has all", || fifth.assigned().len() == PARTITIONS as usize);
    let sixth = Member::join(&cluster, topic, "range", None);
    eventually("two classic members share again", || share(&[&fifth, &sixth]));
    fifth.stop();
    sixth.stop();

    produce(&cluster, topic, 5);
    let last = Member::join(&cluster, topic, CONSUMER, None);
    eventually("the rest is read", || last.records().values().map(Vec::len).sum::<usize>() >= 30);
    let records = last.stop();
    let expected: BTreeMap<i32, Vec<i64>> =
        (0..PARTITIONS).map(|partition| (partition, (20..25).collect())).collect();
    assert_eq!(records, expected, "what was committed is not read again, and nothing is left out");
}
