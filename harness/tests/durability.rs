//! Nothing acknowledged is lost: brokers are killed at random under a stream of acks=all writes,
//! and every acknowledged record is found once and in order afterwards.

#![allow(clippy::unwrap_used, reason = "a panic in a test helper is the failure report")]

mod common;

use common::Cluster;
use rdkafka::ClientContext;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const TOPIC: &str = "ledger";
const PARTITIONS: i32 = 6;
/// Rounds of kill and return; each takes a few seconds.
const ROUNDS: usize = 6;
/// Records that must have been acknowledged between two faults before the next one strikes.
const RECORDS_BETWEEN_FAULTS: u64 = 2_000;
const DEADLINE: Duration = Duration::from_secs(60);

/// What the brokers acknowledged: per partition, the offset and the number of each record.
#[derive(Default)]
struct Acknowledged {
    records: Mutex<BTreeMap<i32, Vec<(i64, u64)>>>,
    count: AtomicU64,
    refused: Mutex<Vec<String>>,
}

impl ClientContext for &'static Acknowledged {}

impl ProducerContext for &'static Acknowledged {
    type DeliveryOpaque = Box<u64>;

    fn delivery(&self, result: &DeliveryResult<'_>, number: Box<u64>) {
        match result {
            Ok(message) => {
                let mut records = self.records.lock().unwrap();
                records.entry(message.partition()).or_default().push((message.offset(), *number));
                self.count.fetch_add(1, Ordering::SeqCst);
            }
            Err((error, _)) => self.refused.lock().unwrap().push(format!("{number}: {error}")),
        }
    }
}

#[test]
fn every_acknowledged_record_survives_random_kills() {
    let seed =
        std::env::var("JACKDAW_CHAOS_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos() as u64
        });
    eprintln!("replay the order of faults with JACKDAW_CHAOS_SEED={seed}");
    let cluster = Cluster::up(&["KAFKA_CFG_MIN_INSYNC_REPLICAS=2", "KAFKA_CFG_DEFAULT_REPLICATION_FACTOR=3"]);
    create_topic(&cluster);
    let acknowledged: &'static Acknowledged = Box::leak(Box::default());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| produce(&cluster.bootstrap(), acknowledged, &stop));
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            strike(&cluster, acknowledged, seed);
        }));
        stop.store(true, Ordering::SeqCst);
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    });
    let refused = acknowledged.refused.lock().unwrap();
    assert!(
        refused.is_empty(),
        "an idempotent producer with time to spare loses nothing: {:?}",
        refused.first()
    );
    let expected = acknowledged.records.lock().unwrap().clone();
    let found = consume(&cluster.bootstrap(), &expected);
    compare(&expected, &found, seed);
}

fn create_topic(cluster: &Cluster) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", cluster.bootstrap()).create().unwrap();
    let topic = NewTopic::new(TOPIC, PARTITIONS, TopicReplication::Fixed(3));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let results = runtime.block_on(admin.create_topics([&topic], &AdminOptions::new())).unwrap();
    results.into_iter().for_each(|result| assert!(result.is_ok(), "{result:?}"));
}

/// Writes numbered records until told to stop, then waits for the last acknowledgement.
fn produce(bootstrap: &str, acknowledged: &'static Acknowledged, stop: &AtomicBool) {
    let producer: ThreadedProducer<&'static Acknowledged> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("linger.ms", "2")
        .set("queue.buffering.max.messages", "5000")
        .set("message.timeout.ms", "120000")
        .create_with_context(acknowledged)
        .unwrap();
    for number in 0_u64.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let payload = number.to_be_bytes();
        let partition = (number % PARTITIONS as u64) as i32;
        let mut record = BaseRecord::<(), _, _>::with_opaque_to(TOPIC, Box::new(number))
            .payload(&payload[..])
            .partition(partition);
        while let Err((_, returned)) = producer.send(record) {
            record = returned; // The queue is full: the pace is the cluster's.
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }
    producer.flush(Duration::from_secs(130)).unwrap();
}

/// Kills a random broker, waits until it is back, and again.
fn strike(cluster: &Cluster, acknowledged: &Acknowledged, seed: u64) {
    let services = cluster.services();
    let mut state = seed;
    for round in 0..ROUNDS {
        await_records(acknowledged, RECORDS_BETWEEN_FAULTS);
        // Knuth's MMIX generator: any spread will do, the seed must replay it.
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let victim = &services[(state >> 33) as usize % services.len()];
        eprintln!("round {round}: kill {victim} after {}", acknowledged.count.load(Ordering::SeqCst));
        cluster.ok(&["kill", "-s", "SIGKILL", victim]);
        await_records(acknowledged, RECORDS_BETWEEN_FAULTS);
        cluster.ok(&["up", "-d"]);
    }
    await_records(acknowledged, RECORDS_BETWEEN_FAULTS);
}

fn await_records(acknowledged: &Acknowledged, more: u64) {
    let (goal, start) = (acknowledged.count.load(Ordering::SeqCst) + more, Instant::now());
    while acknowledged.count.load(Ordering::SeqCst) < goal {
        assert!(
            start.elapsed() < DEADLINE,
            "no progress: {} records",
            acknowledged.count.load(Ordering::SeqCst)
        );
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// Reads each partition up to its last acknowledged offset.
fn consume(bootstrap: &str, expected: &BTreeMap<i32, Vec<(i64, u64)>>) -> BTreeMap<i32, Vec<(i64, u64)>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "nobody")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_uncommitted")
        .create()
        .unwrap();
    let mut assignment = TopicPartitionList::new();
    for partition in expected.keys() {
        assignment.add_partition_offset(TOPIC, *partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let ends: BTreeMap<i32, i64> = expected
        .iter()
        .map(|(p, records)| (*p, records.iter().map(|(offset, _)| *offset).max().unwrap_or(-1)))
        .collect();
    let mut found: BTreeMap<i32, Vec<(i64, u64)>> = BTreeMap::new();
    let start = Instant::now();
    while ends
        .iter()
        .any(|(p, end)| found.get(p).and_then(|r| r.last()).is_none_or(|(offset, _)| offset < end))
    {
        assert!(start.elapsed() < DEADLINE, "the end of each partition was not reached");
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let number = u64::from_be_bytes(message.payload().unwrap().try_into().unwrap());
                found.entry(message.partition()).or_default().push((message.offset(), number));
            }
            Some(Err(error)) => eprintln!("consumer: {error}"),
            None => {}
        }
    }
    found
}

fn compare(expected: &BTreeMap<i32, Vec<(i64, u64)>>, found: &BTreeMap<i32, Vec<(i64, u64)>>, seed: u64) {
    for (partition, acknowledged) in expected {
        let records = &found[partition];
        for pair in records.windows(2) {
            assert!(
                pair[0].1 < pair[1].1,
                "partition {partition}, seed {seed}: out of order or twice: {pair:?}"
            );
            assert_eq!(pair[0].0 + 1, pair[1].0, "partition {partition}, seed {seed}: a gap in the offsets");
        }
        let by_offset: BTreeMap<i64, u64> = records.iter().copied().collect();
        for (offset, number) in acknowledged {
            assert_eq!(
                by_offset.get(offset),
                Some(number),
                "partition {partition}, offset {offset}, seed {seed}: acknowledged and not found"
            );
        }
    }
    let total: usize = expected.values().map(Vec::len).sum();
    eprintln!("{total} acknowledged records found once and in order");
}
