//! What a producer notices when a broker dies that leads partitions and is the active controller: the longest time
//! without an acknowledgement (acks=all) in any partition, on a three-broker cluster on the process runtime.
//!
//! `cargo bench -p harness --bench failover`, or `cargo test` for an unoptimised broker. Traffic stays on loopback:
//! PARTITIONS records each PACE, for KILLS rounds of a few seconds.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot measure ends there")]

#[path = "../tests/common/mod.rs"]
mod common;

use common::Cluster;
use rdkafka::ClientContext;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const KILLS: usize = 12;
const PARTITIONS: i32 = 6;
const PACE: Duration = Duration::from_millis(5);
/// Traffic before the kill, once every partition is acknowledged, and after it. Each kill comes a STEP later: clients
/// look around once a second, and figures must not hang on when.
const BEFORE: Duration = Duration::from_millis(500);
const STEP: Duration = Duration::from_millis(170);
const AFTER: Duration = Duration::from_secs(5);

/// When each partition was last acknowledged, and the longest pause before an acknowledgement.
#[derive(Default)]
struct Pauses(Mutex<BTreeMap<i32, (Option<Instant>, Duration)>>);

impl ClientContext for &'static Pauses {}

impl ProducerContext for &'static Pauses {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let message = match result {
            Ok(message) => message,
            Err((error, _)) => return eprintln!("not delivered: {error}"),
        };
        let (mut pauses, now) = (self.0.lock().unwrap(), Instant::now());
        let (last, longest) = pauses.entry(rdkafka::Message::partition(message)).or_default();
        *longest = (*longest).max(last.map_or(Duration::ZERO, |last| now - last));
        *last = Some(now);
    }
}

fn main() {
    let cluster = Cluster::up(&["KAFKA_CFG_MIN_INSYNC_REPLICAS=2"]);
    let mut gaps_ms = Vec::new();
    for kill in 0..KILLS {
        // A topic of its own: leaders are spread over the brokers again.
        let topic = format!("failover-{kill}");
        create_topic(&cluster, &topic);
        let (controller, pauses) = killed(&cluster, &topic, BEFORE + STEP * kill as u32);
        cluster.ok(&["up", "-d"]);
        let per_partition: Vec<u128> = pauses.values().map(|(_, longest)| longest.as_millis()).collect();
        println!("kill {kill} of {controller}: longest pause per partition, ms {per_partition:?}");
        gaps_ms.push(per_partition.into_iter().max().unwrap());
    }
    gaps_ms.sort_unstable();
    println!(
        "no acknowledgement for     {} ms (min {}, max {}, {KILLS} kills)",
        gaps_ms[KILLS / 2],
        gaps_ms[0],
        gaps_ms[KILLS - 1]
    );
}

/// Writes, kills the active controller meanwhile, and returns its service and the pauses.
fn killed(
    cluster: &Cluster,
    topic: &str,
    before: Duration,
) -> (String, BTreeMap<i32, (Option<Instant>, Duration)>) {
    let pauses: &'static Pauses = Box::leak(Box::default());
    let stop = AtomicBool::new(false);
    let controller = active_controller(cluster);
    std::thread::scope(|scope| {
        scope.spawn(|| produce(&cluster.bootstrap(), topic, pauses, &stop));
        while pauses.0.lock().unwrap().len() < PARTITIONS as usize {
            std::thread::park_timeout(PACE);
        }
        std::thread::park_timeout(before);
        cluster.ok(&["kill", "-s", "SIGKILL", &controller]);
        std::thread::park_timeout(AFTER);
        stop.store(true, Ordering::SeqCst);
    });
    (controller, std::mem::take(&mut *pauses.0.lock().unwrap()))
}

/// The service whose log tells of the newest epoch that it leads.
fn active_controller(cluster: &Cluster) -> String {
    let newest = |service: &String| {
        let logs = cluster.ok(&["logs", service]);
        let epochs = logs.lines().filter_map(|line| {
            line.split_once("] Leader in epoch ")?.1.split(',').next()?.parse::<i32>().ok()
        });
        epochs.max()
    };
    cluster.services().into_iter().max_by_key(newest).unwrap()
}

fn create_topic(cluster: &Cluster, name: &str) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", cluster.bootstrap()).create().unwrap();
    let topic = NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(3));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let results = runtime.block_on(admin.create_topics([&topic], &AdminOptions::new())).unwrap();
    results.into_iter().for_each(|result| assert!(result.is_ok(), "{result:?}"));
}

fn produce(bootstrap: &str, topic: &str, pauses: &'static Pauses, stop: &AtomicBool) {
    let producer: ThreadedProducer<&'static Pauses> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("linger.ms", "0")
        .create_with_context(pauses)
        .unwrap();
    while !stop.load(Ordering::SeqCst) {
        for partition in 0..PARTITIONS {
            let record = BaseRecord::<(), _>::to(topic).payload("x").partition(partition);
            // A full queue is a pause too: it shows in the figures.
            let _ = producer.send(record);
        }
        std::thread::park_timeout(PACE);
    }
    producer.flush(Duration::from_secs(60)).unwrap();
}
