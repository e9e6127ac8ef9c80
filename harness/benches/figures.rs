//! The figures that a user feels, measured on a three-broker cluster on the process runtime: time to ready, resident
//! memory, produce and consume rates and the brokers' CPU for them, and how long an acknowledgement takes.
//!
//! `cargo bench -p harness --bench figures`. `JACKDAW_BESIDE` names what is measured in turn with this build, in the
//! same run: paths of other builds of the program, `apache-kafka` or `apache-kafka:4.1.0`, with commas between.
//! Traffic stays on loopback and is bounded by RECORDS and by PACED_SECONDS.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot measure ends there")]

#[path = "../tests/common/mod.rs"]
mod common;

use common::Cluster;
use rdkafka::ClientContext;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{
    BaseRecord, DefaultProducerContext, DeliveryResult, Producer, ProducerContext, ThreadedProducer,
};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

const RECORDS: usize = 1_000_000;
const RECORD_BYTES: usize = 1_024;
const PARTITIONS: i32 = 6;
const RUNS: usize = 3;
/// Records a second, sent one by one without linger.
const PACES: [u32; 2] = [750, 5_000];
const PACED_SECONDS: u32 = 6;
/// What /proc counts CPU time in, per second; 100 on every Linux that Rust's tier 1 covers.
const TICKS_PER_SECOND: f64 = 100.0;

/// Values of each figure, in the order in which the figures are measured.
#[derive(Default)]
struct Figures(Vec<(String, Vec<f64>)>);

impl Figures {
    fn add(&mut self, name: impl Into<String>, value: f64) {
        let name = name.into();
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value),
            None => self.0.push((name, vec![value])),
        }
    }
}

fn main() {
    let beside = std::env::var("JACKDAW_BESIDE").unwrap_or_default();
    let beside = beside.split(',').filter(|name| !name.is_empty()).map(str::to_owned);
    let contenders: Vec<String> = std::iter::once("this build".to_owned()).chain(beside).collect();
    let mut figures: Vec<Figures> = contenders.iter().map(|_| Figures::default()).collect();
    println!("load before: {}", fs::read_to_string("/proc/loadavg").unwrap().trim());
    for run in 0..RUNS {
        for (contender, figures) in contenders.iter().zip(&mut figures) {
            eprintln!("run {} of {RUNS}: {contender}", run + 1);
            measure(contender, figures);
        }
    }
    for (contender, Figures(figures)) in contenders.iter().zip(&mut figures) {
        println!("{contender}");
        for (name, values) in figures {
            println!("  {name:42} {}", spread(values));
        }
    }
}

fn measure(contender: &str, figures: &mut Figures) {
    let start = Instant::now();
    let cluster = match contender {
        "this build" => Cluster::up(&[]),
        kafka if kafka.starts_with("apache-kafka") => Cluster::up_by(&format!("*={kafka}"), &[]),
        program => Cluster::up_of(Path::new(program), &[]),
    };
    figures.add("up -d to ready, ms", start.elapsed().as_secs_f64() * 1e3);
    let brokers = brokers(&cluster);
    assert_eq!(brokers.len(), 3, "three broker processes");
    figures.add("resident per broker at rest, MB", resident(&brokers));
    create_topic(&cluster, "bulk");
    let (rate, cpu) = measured(&brokers, || produce(&cluster.bootstrap(), "bulk"));
    figures.add(format!("produce {RECORDS} x {RECORD_BYTES} B, RF 3, acks=all, MB/s"), rate);
    figures.add("  brokers' CPU, s per GB", cpu);
    let (rate, cpu) = measured(&brokers, || consume(&cluster.bootstrap(), "bulk"));
    figures.add("consume the same, MB/s", rate);
    figures.add("  brokers' CPU, s per GB", cpu);
    for pace in PACES {
        let topic = format!("paced-{pace}");
        create_topic(&cluster, &topic);
        let cpu = cpu_seconds(&brokers);
        let mut waits_ms = paced(&cluster.bootstrap(), &topic, pace);
        let cpu = (cpu_seconds(&brokers) - cpu) / f64::from(PACED_SECONDS) * 100.0;
        waits_ms.sort_by(f64::total_cmp);
        for (name, part) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
            let at = ((waits_ms.len() - 1) as f64 * part) as usize;
            figures.add(format!("{pace} records/s, no linger: {name}, ms"), waits_ms[at]);
        }
        figures.add("  brokers' CPU, % of a core", cpu);
    }
    figures.add("resident per broker after, MB", resident(&brokers));
}

/// How long each acknowledgement took, in milliseconds.
#[derive(Default)]
struct Waits(Mutex<Vec<f64>>);

impl ClientContext for &'static Waits {}

impl ProducerContext for &'static Waits {
    type DeliveryOpaque = Box<Instant>;

    fn delivery(&self, result: &DeliveryResult<'_>, sent: Box<Instant>) {
        let took = sent.elapsed();
        result.as_ref().map_err(|(error, _)| error).unwrap();
        self.0.lock().unwrap().push(took.as_secs_f64() * 1e3);
    }
}

/// Sends records one by one at a pace, each to the next partition.
fn paced(bootstrap: &str, topic: &str, per_second: u32) -> Vec<f64> {
    let waits: &'static Waits = Box::leak(Box::default());
    let producer: ThreadedProducer<&'static Waits> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("acks", "all")
        .set("linger.ms", "0")
        .create_with_context(waits)
        .unwrap();
    let payload = vec![b'x'; RECORD_BYTES];
    let start = Instant::now();
    for number in 0..per_second * PACED_SECONDS {
        let due = Duration::from_secs_f64(f64::from(number) / f64::from(per_second));
        if let Some(ahead) = due.checked_sub(start.elapsed()) {
            std::thread::sleep(ahead);
        }
        let partition = number as i32 % PARTITIONS;
        let record = BaseRecord::<(), [u8], _>::with_opaque_to(topic, Box::new(Instant::now()));
        producer.send(record.payload(payload.as_slice()).partition(partition)).map_err(|(e, _)| e).unwrap();
    }
    producer.flush(Duration::from_secs(300)).unwrap();
    std::mem::take(&mut waits.0.lock().unwrap())
}

fn spread(values: &mut [f64]) -> String {
    values.sort_by(f64::total_cmp);
    let median = values[values.len() / 2];
    format!("{median:.2} (min {:.2}, max {:.2}, {} runs)", values[0], values[values.len() - 1], values.len())
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
            line.contains(&folder) && (line.contains(" broker ") || line.contains(" kafka.Kafka "))
        })
        .collect()
}

/// The largest of them.
fn resident(brokers: &[u32]) -> f64 {
    let of = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    };
    brokers.iter().map(of).fold(0.0, f64::max)
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
