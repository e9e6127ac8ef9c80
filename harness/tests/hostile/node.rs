//! One node under a limit of descriptors and of address space, with the records that it acknowledged at its start.
//!
//! It is the `jackdaw` binary as a process of its own: what is known of it came over a socket, from its log, or from
//! `/proc`. What is sent to it is no business of this file.

use crate::wire::{Connection, PATIENCE};
use jackdaw_wire::batch::{BatchBuilder, complete_batches};
use jackdaw_wire::messages::create_topics_request::CreatableTopic;
use jackdaw_wire::messages::fetch_request::{FetchPartition, FetchTopic};
use jackdaw_wire::messages::metadata_request::MetadataRequestTopic;
use jackdaw_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use jackdaw_wire::messages::*;
use jackdaw_wire::protocol::StrBytes;
use jackdaw_wire::{Bytes, ErrorCode};
use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What the node may have of each, as `ulimit` sets it.
const DESCRIPTORS: usize = 1024;
const ADDRESS_SPACE_KIB: u64 = 512 << 10;
const CLUSTER_ID: &str = "HsDBs9l6UUmQq7Y5E6bNlw";
/// No value that a frame is damaged with, so that a damaged request hardly ever speaks of this very node.
const NODE_ID: i32 = 1913;
/// The topic whose records are read back after each case.
const KEPT: &str = "kept";
/// The topic that cases may write to.
pub const SCRATCH: &str = "scratch";

pub struct Node {
    folder: TempDir,
    host: Ipv4Addr,
    child: Mutex<Child>,
    acknowledged: Vec<Bytes>,
}

impl Node {
    /// A node that serves, and has acknowledged some records.
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("jackdaw-hostile-").tempdir().unwrap();
        let host = address_of_its_own();
        let properties = folder.path().join("server.properties");
        fs::write(&properties, properties_of(host, &folder.path().join("data").display().to_string()))
            .unwrap();
        let log = File::create(folder.path().join("log")).unwrap();
        let limits = format!("ulimit -n {DESCRIPTORS}; ulimit -v {ADDRESS_SPACE_KIB}; exec \"$@\"");
        let child = Command::new("sh")
            .args(["-c", &limits, "sh", env!("CARGO_BIN_EXE_jackdaw"), "broker"])
            .args(["--cluster-id", CLUSTER_ID])
            .arg(properties)
            .stdin(Stdio::null())
            .stderr(log.try_clone().unwrap())
            .stdout(log)
            .spawn()
            .unwrap();
        let mut node = Self { folder, host, child: Mutex::new(child), acknowledged: Vec::new() };
        node.until_it_serves();
        node.create_topics();
        node.acknowledge_records();
        node
    }

    pub fn clients(&self) -> SocketAddr {
        (self.host, 9092).into()
    }

    pub fn controllers(&self) -> SocketAddr {
        (self.host, 9093).into()
    }

    /// How it ended, if it did.
    pub fn end(&self) -> Option<String> {
        self.child.lock().unwrap().try_wait().unwrap().map(|status| status.to_string())
    }

    /// How it ended, if it does within that time.
    pub fn end_within(&self, limit: Duration) -> Option<String> {
        let deadline = Instant::now() + limit;
        loop {
            match self.end() {
                None if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(10)),
                end => return end,
            }
        }
    }

    fn until_it_serves(&self) {
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = self.greet(None) {
            let end = self.end();
            assert!(
                end.is_none() && Instant::now() < deadline,
                "the node does not serve: {error}, {end:?}\n{}",
                self.tail()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What a client does first: it connects, asks for the APIs, and for a topic's metadata.
    pub fn fresh_client(&self) -> io::Result<Duration> {
        self.greet(Some(KEPT))
    }

    fn greet(&self, topic: Option<&'static str>) -> io::Result<Duration> {
        let begun = Instant::now();
        let mut connection = Connection::open(self.clients())?;
        let apis = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str("bystander"))
            .with_client_software_version(StrBytes::from_static_str("1"));
        let apis = connection.ask(3, &apis)?;
        let topics =
            topic.map(|name| vec![MetadataRequestTopic::default().with_name(Some(topic_name(name)))]);
        let metadata = connection.ask(9, &MetadataRequest::default().with_topics(topics.or(Some(vec![]))))?;
        let code =
            apis.error_code.max(metadata.topics.iter().map(|topic| topic.error_code).max().unwrap_or(0));
        match (code, metadata.brokers.len()) {
            (0, 1) => Ok(begun.elapsed()),
            (0, brokers) => Err(io::Error::other(format!("{brokers} brokers"))),
            (code, _) => Err(io::Error::other(format!("{:?}", ErrorCode::try_from_code(code)))),
        }
    }

    fn create_topics(&self) {
        let topic = |name| {
            CreatableTopic::default()
                .with_name(topic_name(name))
                .with_num_partitions(1)
                .with_replication_factor(1)
        };
        let request = CreateTopicsRequest::default()
            .with_topics([KEPT, SCRATCH].map(topic).to_vec())
            .with_timeout_ms(10_000);
        let mut connection = Connection::open(self.clients()).unwrap();
        let reply = connection.ask(5, &request).unwrap();
        assert!(reply.topics.iter().all(|topic| topic.error_code == 0), "{reply:?}");
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = self.fresh_client() {
            assert!(Instant::now() < deadline, "{KEPT} is not there: {error}");
        }
    }

    fn acknowledge_records(&mut self) {
        let mut connection = Connection::open(self.clients()).unwrap();
        for batch in 0..10_u32 {
            let values: Vec<Bytes> =
                (0..10_u32).map(|at| format!("record {}", batch * 10 + at).into()).collect();
            let mut records = BatchBuilder::new(0, -1);
            values.iter().for_each(|value| records.append(1_700_000_000_000, None, Some(value)));
            let records = records.build();
            let deadline = Instant::now() + PATIENCE;
            loop {
                let reply = connection.ask(8, &produce(KEPT, -1, records.clone())).unwrap();
                match reply.responses[0].partition_responses[0].error_code {
                    0 => break,
                    code => assert!(Instant::now() < deadline, "{:?}", ErrorCode::try_from_code(code)),
                }
            }
            self.acknowledged.extend(values);
        }
    }

    /// Reads back what was acknowledged.
    pub fn serves_what_it_acknowledged(&self) -> Result<(), String> {
        let mut connection = Connection::open(self.clients()).map_err(|error| error.to_string())?;
        let partition = FetchPartition::default()
            .with_current_leader_epoch(-1)
            .with_log_start_offset(-1)
            .with_partition_max_bytes(1 << 20);
        let topic = FetchTopic::default().with_topic(topic_name(KEPT)).with_partitions(vec![partition]);
        let request = FetchRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_max_bytes(1 << 20)
            .with_session_epoch(-1)
            .with_topics(vec![topic]);
        let reply = connection.ask(11, &request).map_err(|error| error.to_string())?;
        let partition = &reply.responses[0].partitions[0];
        let mut values = Vec::new();
        let mut scratch = Vec::new();
        for batch in complete_batches(partition.records.as_ref().ok_or("no records")?) {
            let batch = batch.map_err(|error| error.to_string())?;
            batch.check_crc().map_err(|error| error.to_string())?;
            for record in batch.records(1 << 20, &mut scratch).map_err(|error| error.to_string())? {
                let record = record.map_err(|error| error.to_string())?;
                values.push(Bytes::copy_from_slice(record.value.unwrap_or_default()));
            }
        }
        match partition.error_code == 0 && values == self.acknowledged {
            true => Ok(()),
            false => Err(format!(
                "{} of {} records, error {}",
                values.len(),
                self.acknowledged.len(),
                partition.error_code
            )),
        }
    }

    /// From here on [`Node::memory`] tells the peak anew.
    pub fn forget_peak(&self) {
        let file = format!("/proc/{}/clear_refs", self.pid());
        fs::write(file, "5").unwrap();
    }

    /// In KiB, of the process: what is resident, the peak of it, and the address space.
    pub fn memory(&self) -> Memory {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
        };
        Memory {
            resident_kib: number("VmRSS:"),
            peak_kib: number("VmHWM:"),
            address_space_kib: number("VmSize:"),
        }
    }

    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).map_or(0, Iterator::count)
    }

    fn pid(&self) -> u32 {
        self.child.lock().unwrap().id()
    }

    /// The end of its log.
    pub fn tail(&self) -> String {
        let bytes = fs::read(self.folder.path().join("log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(1 << 20)..]).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(25)..];
        last.iter().map(|line| format!("    {}\n", line.chars().take(300).collect::<String>())).collect()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let mut child = self.child.lock().unwrap();
        let _ = child.kill();
        let _ = child.wait();
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Memory {
    pub resident_kib: u64,
    pub peak_kib: u64,
    pub address_space_kib: u64,
}

/// A Produce of these records to a topic's only partition.
pub fn produce(topic: &'static str, acks: i16, records: Bytes) -> ProduceRequest {
    let data = PartitionProduceData::default().with_records(Some(records));
    let data = TopicProduceData::default().with_name(topic_name(topic)).with_partition_data(vec![data]);
    ProduceRequest::default()
        .with_transactional_id(None)
        .with_acks(acks)
        .with_timeout_ms(10_000)
        .with_topic_data(vec![data])
}

pub fn topic_name(name: &'static str) -> TopicName {
    TopicName(StrBytes::from_static_str(name))
}

fn properties_of(host: Ipv4Addr, data: &str) -> String {
    format!(
        "process.roles=broker,controller
node.id={NODE_ID}
controller.quorum.voters={NODE_ID}@{host}:9093
listeners=PLAINTEXT://{host}:9092,CONTROLLER://{host}:9093
advertised.listeners=PLAINTEXT://{host}:9092
controller.listener.names=CONTROLLER
log.dirs={data}
auto.create.topics.enable=false
log.retention.ms=-1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
"
    )
}

/// Nodes of other tests, and of other runs of this one, have others.
fn address_of_its_own() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let id = std::process::id();
    Ipv4Addr::new(127, 201 + (id >> 8) as u8 % 50, id as u8, NEXT.fetch_add(1, Ordering::Relaxed))
}
