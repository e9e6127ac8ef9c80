//! The figures that a user feels, measured on a three-broker cluster on the process runtime:
//! time to ready, resident memory, produce and consume rates and the brokers' CPU for them.
//!
//! `cargo bench -p harness --bench figures`. Traffic stays on loopback and is bounded by RECORDS.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot measure ends there")]

#[path = "../tests/common/mod.rs"]
mod common;

use common::Cluster;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::fs;
use std::time::{Duration, Instant};

const RECORDS: usize = 1_000_000;
const RECORD_BYTES: usize = 1_024;
const PARTITIONS: i32 = 6;
const RUNS: usize = 3;
/// What /proc counts CPU time in, per second; 100 on every Linux that Rust's tier 1 covers.
const TICKS_PER_SECOND: f64 = 100.0;

fn main() {
    let mut ready_ms = Vec::new();
    for _ in 1..RUNS {
        ready_ms.push(started().1);
    }
    let (cluster, last_ms) = started();
    ready_ms.push(last_ms);
    let brokers = brokers(&cluster);
    assert_eq!(brokers.len(), 3, "three broker processes");
    println!("up -d to ready              {} ms", spread(&mut ready_ms));
    println!("resident per broker at rest {}", resident(&brokers));
    let (mut produced, mut produce_cpu, mut consumed, mut consume_cpu) = (vec![], vec![], vec![], vec![]);
    for run in 0..RUNS {
        let topic = format!("figures-{run}");
        create_topic(&cluster, &topic);
        let (rate, cpu) = measured(&brokers, || produce(&cluster.bootstrap(), &topic));
        produced.push(rate);
        produce_cpu.push(cpu);
        let (rate, cpu) = measured(&brokers, || consume(&cluster.bootstrap(), &topic));
        consumed.push(rate);
        consume_cpu.push(cpu);
    }
    println!("produce {RECORDS} x {RECORD_BYTES} B, acks=all, RF 3  {} MB/s", spread(&mut produced));
    println!("  brokers' CPU              {} s per GB", spread(&mut produce_cpu));
    println!("consume the same            {} MB/s", spread(&mut consumed));
    println!("  brokers' CPU              {} s per GB", spread(&mut consume_cpu));
    println!("resident per broker after   {}", resident(&brokers));
}

/// A fresh cluster, and the milliseconds that `up -d` took.
fn started() -> (Cluster, f64) {
    let start = Instant::now();
    let cluster = Cluster::up(&[]);
    (cluster, start.elapsed().as_secs_f64() * 1e3)
}

fn spread(values: &mut [f64]) -> String {
    values.sort_by(f64::total_cmp);
    let median = values[values.len() / 2];
    format!("{median:.1} (min {:.1}, max {:.1}, {} runs)", values[0], values[values.len() - 1], values.len())
}

/// Process ids of the project's brokers, found by their command line.
fn brokers(cluster: &Cluster) -> Vec<u32> {
    let folder = cluster.folder().to_string_lossy().into_owned();
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid: &u32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            line.contains(&folder) && line.contains(" broker ")
        })
        .collect()
}

fn resident(brokers: &[u32]) -> String {
    let of = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    };
    brokers.iter().map(|pid| format!("{:.1} MB", of(pid))).collect::<Vec<_>>().join(", ")
}

fn cpu_seconds(brokers: &[u32]) -> f64 {
    let of = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let fields: Vec<f64> = stat
            .rsplit(')')
            .next()
            .unwrap()
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(|n| n.parse().unwrap())
            .collect();
        (fields[0] + fields[1]) / TICKS_PER_SECOND
    };
    brokers.iter().map(of).sum()
}

/// MB/s, and the brokers' CPU seconds per GB.
fn measured(brokers: &[u32], work: impl FnOnce()) -> (f64, f64) {
    let (cpu, start) = (cpu_seconds(brokers), Instant::now());
    work();
    let bytes = (RECORDS * RECORD_BYTES) as f64;
    (bytes / 1e6 / start.elapsed().as_secs_f64(), (cpu_seconds(brokers) - cpu) / (bytes / 1e9))
}

fn create_topic(cluster: &Cluster, name: &str) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", cluster.bootstrap()).create().unwrap();
    let topic = NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(3));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(admin.create_topics([&topic], &AdminOptions::new())).unwrap();
}

fn produce(bootstrap: &str, topic: &str) {
    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("acks", "all")
        .set("linger.ms", "5")
        .set("batch.size", "131072")
        .set("queue.buffering.max.kbytes", "262144")
        .create()
        .unwrap();
    let payload = vec![b'x'; RECORD_BYTES];
    for number in 0..RECORDS {
        let mut record =
            BaseRecord::<(), _>::to(topic).payload(&payload).partition((number / 100) as i32 % PARTITIONS);
        while let Err((_, returned)) = producer.send(record) {
            record = returned;
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }
    producer.flush(Duration::from_secs(300)).unwrap();
}

fn consume(bootstrap: &str, topic: &str) {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "figures")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let mut assignment = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        assignment.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let (mut count, start) = (0, Instant::now());
    while count < RECORDS {
        assert!(start.elapsed() < Duration::from_secs(300), "{count} of {RECORDS} records consumed");
        if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
            assert_eq!(message.payload_len(), RECORD_BYTES);
            count += 1;
        }
    }
}
