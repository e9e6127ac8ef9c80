//! `kafka-producer-perf-test.sh`: how fast records can be written (`org.apache.kafka.tools.ProducerPerformance`).

use crate::argparse::{Arg, Given, Group, Kind, Parser, Refusal, Takes};
use crate::cli::run_or_help;
use crate::clients::producer::{Delivery, Producer, Record};
use crate::errors::Exception;
use crate::properties::{self, Properties};
use crate::{errln, outln, print};
use std::time::{Duration, Instant};

static PAYLOAD: Group = Group {
    title: "",
    description: "either --record-size or --payload-file must be specified but not both.",
    exclusive: true,
    required: true,
};

static OPTIONS: Parser = Parser {
    description: "This tool is used to verify the producer performance.",
    args: &[
        Arg::new(&["--topic"], "produce messages to this topic").required(),
        Arg::new(&["--num-records"], "number of messages to produce")
            .kind(Kind::Long)
            .metavar("NUM-RECORDS")
            .required(),
        Arg::new(
            &["--record-size"],
            "message size in bytes. Note that you must provide exactly one of --record-size or --payload-file.",
        )
        .kind(Kind::Integer)
        .metavar("RECORD-SIZE")
        .group(&PAYLOAD),
        Arg::new(
            &["--payload-file"],
            "file to read the message payloads from. This works only for UTF-8 encoded text files. Payloads will be read \
             from this file and a payload will be randomly selected when sending messages. Note that you must provide \
             exactly one of --record-size or --payload-file.",
        )
        .metavar("PAYLOAD-FILE")
        .group(&PAYLOAD),
        Arg::new(
            &["--payload-delimiter"],
            "provides delimiter to be used when --payload-file is provided. Defaults to new line. Note that this parameter \
             will be ignored if --payload-file is not provided.",
        )
        .metavar("PAYLOAD-DELIMITER")
        .default("\\n"),
        Arg::new(
            &["--throughput"],
            "throttle maximum message throughput to *approximately* THROUGHPUT messages/sec. Set this to -1 to disable \
             throttling.",
        )
        .kind(Kind::Integer)
        .required(),
        Arg::new(
            &["--producer-props"],
            "kafka producer related configuration properties like bootstrap.servers,client.id etc. These configs take \
             precedence over those passed via --producer.config.",
        )
        .takes(Takes::Many)
        .metavar("PROP-NAME=PROP-VALUE"),
        Arg::new(&["--producer.config"], "producer config properties file.").metavar("CONFIG-FILE"),
        Arg::flag(&["--print-metrics"], "print out metrics at the end of the test."),
        Arg::new(
            &["--transactional-id"],
            "The transactionalId to use if transaction-duration-ms is > 0. Useful when testing the performance of \
             concurrent transactions.",
        )
        .metavar("TRANSACTIONAL-ID")
        .default("performance-producer-default-transactional-id"),
        Arg::new(
            &["--transaction-duration-ms"],
            "The max age of each transaction. The commitTransaction will be called after this time has elapsed. \
             Transactions are only enabled if this value is positive.",
        )
        .kind(Kind::Long)
        .metavar("TRANSACTION-DURATION")
        .default("0"),
    ],
    ..Parser::new("producer-performance")
};

/// Runs it.
pub fn run(args: &[String]) -> i32 {
    run_or_help(&OPTIONS, args, measure)
}

fn measure(given: &Given) -> Result<i32, Exception> {
    let count = given.number::<u64>("num_records").unwrap_or_default();
    let throughput = given.number::<i64>("throughput").unwrap_or(-1);
    if given.values("producer_props").is_empty() && given.value("producer.config").is_none() {
        Refusal::of(&OPTIONS, "Either --producer-props or --producer.config must be specified.").print();
        return Ok(1);
    }
    if given.number::<i64>("transaction_duration_ms").unwrap_or_default() > 0 {
        let said = "--transaction-duration-ms: the tools' producer has no transactions yet";
        return Err(Exception::new("java.lang.UnsupportedOperationException", said));
    }
    let payloads = payloads(given)?;
    let mut producer = Producer::create(&properties_of(given)?)?;
    let topic = given.value("topic").unwrap_or_default().to_owned();
    let size = given.number::<usize>("record_size").unwrap_or_default();
    let mut stats = Stats::new(count);
    let started = Instant::now();
    let mut random = 0_u64;
    for index in 0..count {
        let value = match payloads.is_empty() {
            true => (0..size).map(|_| b'A' + (next(&mut random) % 26) as u8).collect(),
            false => payloads[(next(&mut random) % payloads.len() as u64) as usize].clone(),
        };
        producer.send(Record { topic: topic.clone(), value: Some(value), ..Record::default() });
        stats.take(producer.done());
        if throughput > 0 {
            let due = started + Duration::from_secs_f64((index + 1) as f64 / throughput as f64);
            let mut now = Instant::now();
            while now < due {
                producer.poll(due - now);
                stats.take(producer.done());
                match producer.next_due() {
                    None => std::thread::sleep(due.saturating_duration_since(Instant::now())),
                    Some(_) => std::thread::yield_now(),
                }
                now = Instant::now();
            }
        }
    }
    producer.flush();
    stats.take(producer.done());
    stats.print_total();
    if given.is("print_metrics") {
        errln!("--print-metrics: this producer keeps no metrics");
    }
    Ok(0)
}

/// A generator that is as good as it has to be (splitmix64, as Java's `SplittableRandom`).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ *state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

fn properties_of(given: &Given) -> Result<Properties, Exception> {
    let mut properties = match given.value("producer.config") {
        Some(path) => properties::load(path)?,
        None => Properties::new(),
    };
    for property in given.values("producer_props") {
        let pieces: Vec<&str> = property.split('=').collect();
        let [key, value] = pieces[..] else {
            return Err(Exception::argument(format!("Invalid property: {property}")));
        };
        properties.insert(key.to_owned(), value.to_owned());
    }
    properties.entry("client.id".into()).or_insert_with(|| "perf-producer-client".into());
    Ok(properties)
}

fn payloads(given: &Given) -> Result<Vec<Vec<u8>>, Exception> {
    let Some(path) = given.value("payload_file") else { return Ok(Vec::new()) };
    let shown = std::path::absolute(path).unwrap_or_default();
    outln!("Reading payloads from: {}", shown.display());
    let text = std::fs::read(path).unwrap_or_default();
    if text.is_empty() {
        return Err(Exception::argument("File does not exist or empty file provided."));
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    let delimiter = match given.value("payload_delimiter") {
        None | Some("\\n") => "\n",
        Some(delimiter) => delimiter,
    };
    let mut parts: Vec<&str> = text.split(delimiter).collect();
    while parts.last().is_some_and(|part| part.is_empty()) {
        parts.pop();
    }
    outln!("Number of messages read: {}", parts.len());
    Ok(parts.into_iter().map(|part| part.as_bytes().to_vec()).collect())
}

/// What is measured, in all and in the last few seconds.
struct Stats {
    started: Instant,
    latencies: Vec<u32>,
    sampling: u64,
    total: Window,
    window: Window,
}

struct Window {
    started: Instant,
    count: u64,
    bytes: u64,
    latency_ms: u64,
    most_ms: u64,
}

impl Window {
    fn new() -> Self {
        Window { started: Instant::now(), count: 0, bytes: 0, latency_ms: 0, most_ms: 0 }
    }

    fn add(&mut self, bytes: u64, latency_ms: u64) {
        self.count += 1;
        self.bytes += bytes;
        self.latency_ms += latency_ms;
        self.most_ms = self.most_ms.max(latency_ms);
    }

    /// Records and MB a second, mean latency.
    fn rates(&self) -> (f64, f64, f64) {
        let seconds = (self.started.elapsed().as_millis() as f64 / 1000.0).max(0.001);
        let megabytes = self.bytes as f64 / (1024.0 * 1024.0);
        (self.count as f64 / seconds, megabytes / seconds, self.latency_ms as f64 / self.count as f64)
    }
}

impl Stats {
    const INTERVAL: Duration = Duration::from_secs(5);
    const MOST_SAMPLES: u64 = 500_000;

    fn new(count: u64) -> Self {
        let sampling = (count / count.clamp(1, Self::MOST_SAMPLES)).max(1);
        Stats {
            started: Instant::now(),
            latencies: Vec::new(),
            sampling,
            total: Window::new(),
            window: Window::new(),
        }
    }

    fn take(&mut self, done: Vec<Delivery>) {
        for Delivery { record, sent, outcome } in done {
            if let Err(error) = outcome {
                errln!("{}", error.trace());
                continue;
            }
            let latency_ms = sent.elapsed().as_millis() as u64;
            let bytes = record.value.map_or(0, |value| value.len() as u64);
            if self.total.count.is_multiple_of(self.sampling) {
                self.latencies.push(u32::try_from(latency_ms).unwrap_or(u32::MAX));
            }
            self.total.add(bytes, latency_ms);
            self.window.add(bytes, latency_ms);
            if self.window.started.elapsed() >= Self::INTERVAL {
                let (records, megabytes, mean) = self.window.rates();
                outln!(
                    "{} records sent, {records:.1} records/sec ({megabytes:.2} MB/sec), {mean:.1} ms avg latency, {:.1} ms \
                     max latency.",
                    self.window.count,
                    self.window.most_ms as f64
                );
                print::flush();
                self.window = Window::new();
            }
        }
    }

    fn print_total(&mut self) {
        self.total.started = self.started;
        self.latencies.sort_unstable();
        let percentile = |share: f64| {
            let index = (share * self.latencies.len() as f64) as usize;
            self.latencies.get(index).or(self.latencies.last()).copied().unwrap_or_default()
        };
        let (records, megabytes, mean) = self.total.rates();
        outln!(
            "{} records sent, {records:.6} records/sec ({megabytes:.2} MB/sec), {mean:.2} ms avg latency, {:.2} ms max \
             latency, {} ms 50th, {} ms 95th, {} ms 99th, {} ms 99.9th.",
            self.total.count,
            self.total.most_ms as f64,
            percentile(0.5),
            percentile(0.95),
            percentile(0.99),
            percentile(0.999)
        );
    }
}
