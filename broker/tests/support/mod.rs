//! Clusters of real processes on loopback for the tests beside this folder: started, asked, killed, started again.
//!
//! A node is this very test binary, run again with a test that does nothing but be a node. What is known of it came
//! over a socket or from its log.

#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

use jackdaw_settings::HostPort;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use jackdaw_broker::net::{NodeClient, Resolver};
use jackdaw_broker::node::{self, RunOptions};
use jackdaw_wire::messages::create_topics_request::CreatableTopic;
use jackdaw_wire::messages::fetch_request::{FetchPartition, FetchTopic};
use jackdaw_wire::messages::fetch_response::PartitionData;
use jackdaw_wire::messages::metadata_request::MetadataRequestTopic;
use jackdaw_wire::messages::metadata_response::MetadataResponseTopic;
use jackdaw_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use jackdaw_wire::messages::produce_response::PartitionProduceResponse;
use jackdaw_wire::messages::*;
use jackdaw_wire::protocol::{Request, StrBytes};
use rustix::event::{PollFd, PollFlags, poll};

pub const CLUSTER_ID: &str = "5L6g3nShT-eMCtK--X86sw";
/// What anything may take at most; machines that build are slow at times.
pub const PATIENCE: Duration = Duration::from_secs(30);
const NODE_VARIABLE: &str = "JACKDAW_TEST_NODE";
const DESCRIPTORS_VARIABLE: &str = "JACKDAW_TEST_DESCRIPTORS";

/// The body of the test `node_process`, without which a test binary cannot have nodes.
pub fn be_a_node_if_asked() {
    let Ok(properties) = std::env::var(NODE_VARIABLE) else { return };
    if let Ok(most) = std::env::var(DESCRIPTORS_VARIABLE) {
        let most = Some(most.parse().unwrap());
        let limit = rustix::process::Rlimit { current: most, maximum: most };
        rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
    }
    let options = RunOptions {
        properties: PathBuf::from(properties),
        hosts: None,
        cluster_id: Some(CLUSTER_ID.to_owned()),
        overrides: Vec::new(),
    };
    std::process::exit(node::run_blocking(options).code());
}

/// A different loopback network for each cluster of a test binary, and likely for each test binary.
fn network() -> String {
    static NEXT: AtomicU8 = AtomicU8::new(0);
    let own = (std::process::id() % 200) as u8 + 20;
    format!("127.{own}.{}", 10 + NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A node that runs, or could.
pub struct Node {
    pub id: i32,
    pub host: String,
    properties: PathBuf,
    pub log: PathBuf,
    pub data: PathBuf,
    /// The limit of its file descriptors, where it has one of its own.
    pub descriptors: Option<u64>,
    child: Option<Child>,
}

impl Node {
    pub fn start(&mut self) {
        assert!(self.child.is_none(), "node {} runs already", self.id);
        let log = File::options().create(true).append(true).open(&self.log).unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .envs(self.descriptors.map(|most| (DESCRIPTORS_VARIABLE, most.to_string())))
            .args(["--exact", "node_process", "--nocapture"])
            .env(NODE_VARIABLE, &self.properties)
            .stdin(Stdio::null())
            .stderr(Stdio::from(log.try_clone().unwrap()))
            .stdout(Stdio::from(log))
            .spawn()
            .unwrap();
        self.child = Some(child);
    }

    /// SIGKILL, and gone when this returns.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// SIGTERM; the exit code, waited for.
    pub fn stop(&mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(self.child.as_ref().unwrap());
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.until_it_ends()
    }

    /// The exit code, waited for.
    pub fn until_it_ends(&mut self) -> Option<i32> {
        let mut child = self.child.take().unwrap();
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        let pid = rustix::process::Pid::from_child(&child);
        let its_end = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap();
        let mut awaited = [PollFd::new(&its_end, PollFlags::IN)];
        let has_ended = poll(&mut awaited, Some(&PATIENCE.try_into().unwrap())).unwrap() > 0;
        if !has_ended {
            child.kill().unwrap();
        }
        let status = child.wait().unwrap();
        assert!(has_ended, "node {} did not end:\n{}", self.id, self.tail());
        status.code()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    pub fn log_text(&self) -> String {
        let mut text = String::new();
        File::open(&self.log).and_then(|mut f| f.read_to_string(&mut text)).unwrap();
        text
    }

    fn tail(&self) -> String {
        let text = self.log_text();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    pub fn address(&self) -> HostPort {
        HostPort::new(self.host.clone(), 9092)
    }

    pub fn client(&self) -> NodeClient {
        NodeClient::new(self.address(), Arc::new(Resolver::system()), "test")
    }

    pub fn controller_client(&self) -> NodeClient {
        let address = HostPort::new(self.host.clone(), 9093);
        NodeClient::new(address, Arc::new(Resolver::system()), "test")
    }

    /// How many file descriptors it holds.
    pub fn open_descriptors(&self) -> usize {
        let pid = self.child.as_ref().unwrap().id();
        std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
    }

    /// Resident memory in KiB.
    pub fn resident_kib(&self) -> u64 {
        let pid = self.child.as_ref().unwrap().id();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

/// Nodes that are killed when the test ends, whichever way.
pub struct Cluster {
    pub nodes: Vec<Node>,
    folder: tempfile::TempDir,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            node.kill();
        }
        if std::thread::panicking() {
            for node in &self.nodes {
                eprintln!("---- node {} ----\n{}", node.id, node.tail());
            }
        }
    }
}

impl Cluster {
    /// Nodes that are broker and controller each, with the settings added; started, and ready.
    pub async fn start(nodes: usize, settings: &str) -> Self {
        let mut cluster = Self::prepare(nodes, settings);
        for node in &mut cluster.nodes {
            node.start();
        }
        cluster.ready().await;
        cluster
    }

    pub fn prepare(count: usize, settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let network = network();
        let host = |id: usize| format!("{network}.{}", id + 1);
        let voters: Vec<String> = (0..count).map(|id| format!("{id}@{}:9093", host(id))).collect();
        let nodes = (0..count).map(|id| {
            let own = host(id);
            let data = folder.path().join(format!("data{id}"));
            let text = format!(
                "process.roles=broker,controller\nnode.id={id}\ncontroller.quorum.voters={}\n\
                 listeners=PLAINTEXT://{own}:9092,CONTROLLER://{own}:9093\ncontroller.listener.names=CONTROLLER\n\
                 advertised.listeners=PLAINTEXT://{own}:9092\nlog.dirs={}\n{settings}\n",
                voters.join(","),
                data.display()
            );
            let properties = folder.path().join(format!("server{id}.properties"));
            std::fs::write(&properties, text).unwrap();
            let log = folder.path().join(format!("node{id}.log"));
            Node { id: id as i32, host: own, properties, log, data, descriptors: None, child: None }
        });
        Self { nodes: nodes.collect(), folder }
    }

    /// Gives a node that has not been started a second log directory, and tells where it is.
    pub fn add_log_dir(&mut self, id: i32) -> PathBuf {
        let second = self.path().join(format!("data{id}-second"));
        let node = self.node_mut(id);
        let text = std::fs::read_to_string(&node.properties).unwrap();
        let both = format!("log.dirs={},{}", node.data.display(), second.display());
        let one = format!("log.dirs={}", node.data.display());
        std::fs::write(&node.properties, text.replace(&one, &both)).unwrap();
        second
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Every running node answers and shows every running node.
    pub async fn ready(&mut self) {
        let running: Vec<i32> =
            self.nodes.iter_mut().filter_map(|n| n.is_running().then_some(n.id)).collect();
        for id in &running {
            let client = self.node(*id).client();
            eventually(&format!("node {id} shows all brokers"), async || {
                let reply = metadata(&client, None).await?;
                let mut shown: Vec<i32> = reply.brokers.iter().map(|b| b.node_id.0).collect();
                shown.sort_unstable();
                (shown == running).then_some(()).ok_or_else(|| format!("{shown:?}"))
            })
            .await;
        }
    }

    pub fn node(&self, id: i32) -> &Node {
        self.nodes.iter().find(|n| n.id == id).unwrap()
    }

    pub fn node_mut(&mut self, id: i32) -> &mut Node {
        self.nodes.iter_mut().find(|n| n.id == id).unwrap()
    }
}

/// Tries until it works; an error is what is missing still.
pub async fn eventually<T>(what: &str, mut attempt: impl AsyncFnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match attempt().await {
            Ok(found) => return found,
            Err(missing) => assert!(Instant::now() < deadline, "{what}: not in {PATIENCE:?}: {missing}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub async fn ask<R: Request>(client: &NodeClient, version: i16, request: &R) -> Result<R::Response, String> {
    client.request(version, request, PATIENCE).await.map_err(|e| e.to_string())
}

pub fn name(text: &str) -> TopicName {
    TopicName(StrBytes::from_string(text.to_owned()))
}

/// Metadata of all topics, or of one without creating it.
pub async fn metadata(client: &NodeClient, topic: Option<&str>) -> Result<MetadataResponse, String> {
    let topics = topic.map(|topic| vec![MetadataRequestTopic::default().with_name(Some(name(topic)))]);
    let request = MetadataRequest::default().with_topics(topics).with_allow_auto_topic_creation(false);
    ask(client, 12, &request).await
}

/// Waits until the topic's every partition has a leader and as many replicas in sync as asked; then tells of it.
pub async fn topic_ready(client: &NodeClient, topic: &str, in_sync: usize) -> MetadataResponseTopic {
    eventually(&format!("{topic} has leaders and {in_sync} in sync"), async || {
        let reply = metadata(client, Some(topic)).await?;
        let found = reply.topics[0].clone();
        let good = found.error_code == 0
            && !found.partitions.is_empty()
            && found.partitions.iter().all(|p| p.error_code == 0 && p.isr_nodes.len() >= in_sync);
        if good { Ok(found) } else { Err(format!("{found:?}")) }
    })
    .await
}

pub async fn create_topic(client: &NodeClient, topic: &str, partitions: i32, replicas: i16) -> i16 {
    let topic = CreatableTopic::default()
        .with_name(name(topic))
        .with_num_partitions(partitions)
        .with_replication_factor(replicas);
    let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000);
    ask(client, 7, &request).await.unwrap().topics[0].error_code
}

/// What the node says to each of these about partition `index` of a topic that has been there since a moment ago, in this
/// order on one connection: the error of each, 0 where it found the topic.
pub async fn asks_about(client: &NodeClient, topic: &str, index: i32) -> [(&'static str, i16); 5] {
    use describe_configs_request::DescribeConfigsResource;
    let resource = DescribeConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(StrBytes::from_string(topic.to_owned()));
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
    let described = ask(client, 4, &request).await.unwrap().results[0].error_code;

    use list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
    let partition = ListOffsetsPartition::default()
        .with_partition_index(index)
        .with_current_leader_epoch(-1)
        .with_timestamp(-1);
    let asked = ListOffsetsTopic::default().with_name(name(topic)).with_partitions(vec![partition]);
    let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![asked]);
    let listed = ask(client, 7, &request).await.unwrap().topics[0].partitions[0].error_code;

    use delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
    let partition = DeleteRecordsPartition::default().with_partition_index(index).with_offset(0);
    let asked = DeleteRecordsTopic::default().with_name(name(topic)).with_partitions(vec![partition]);
    let request = DeleteRecordsRequest::default().with_timeout_ms(10_000).with_topics(vec![asked]);
    let deleted = ask(client, 2, &request).await.unwrap().topics[0].partitions[0].error_code;

    let produced = produce(client, topic, index, 1, &["one".to_owned()]).await.unwrap().error_code;

    let asked = describe_log_dirs_request::DescribableLogDirTopic::default()
        .with_topic(name(topic))
        .with_partitions(vec![index]);
    let request = DescribeLogDirsRequest::default().with_topics(Some(vec![asked]));
    let lies = ask(client, 4, &request).await.unwrap().results.iter().any(|dir| !dir.topics.is_empty());
    [
        ("DescribeConfigs", described),
        ("ListOffsets", listed),
        ("DeleteRecords", deleted),
        ("Produce", produced),
        ("DescribeLogDirs", if lies { 0 } else { 3 }),
    ]
}

/// Sets `retention.ms` and asks for it: 0 where the reply has it.
pub async fn altered_retention(client: &NodeClient, topic: &str) -> i16 {
    use describe_configs_request::DescribeConfigsResource;
    use incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
    let text = |text: &str| StrBytes::from_string(text.to_owned());
    let config = AlterableConfig::default()
        .with_name(text("retention.ms"))
        .with_config_operation(0)
        .with_value(Some(text("12345")));
    let resource = AlterConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(text(topic))
        .with_configs(vec![config]);
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    assert_eq!(ask(client, 1, &request).await.unwrap().responses[0].error_code, 0);
    let resource = DescribeConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(text(topic))
        .with_configuration_keys(Some(vec![text("retention.ms")]));
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
    let result = ask(client, 4, &request).await.unwrap().results.remove(0);
    let value = result.configs.first().and_then(|config| config.value.as_deref().map(str::to_owned));
    i16::from(value.as_deref() != Some("12345"))
}

/// An uncompressed batch of these values, without keys.
pub fn batch(values: &[String]) -> Bytes {
    let mut records = BytesMut::new();
    for (index, value) in values.iter().enumerate() {
        let mut record = BytesMut::new();
        record.extend_from_slice(&[0]);
        zigzag(&mut record, 0);
        zigzag(&mut record, index as i64);
        zigzag(&mut record, -1);
        zigzag(&mut record, value.len() as i64);
        record.extend_from_slice(value.as_bytes());
        zigzag(&mut record, 0);
        zigzag(&mut records, record.len() as i64);
        records.extend_from_slice(&record);
    }
    let last = values.len() as i32 - 1;
    let now_ms = 1_700_000_000_000_i64;
    let mut covered = BytesMut::new();
    covered.extend_from_slice(&0_i16.to_be_bytes());
    covered.extend_from_slice(&last.to_be_bytes());
    covered.extend_from_slice(&now_ms.to_be_bytes());
    covered.extend_from_slice(&now_ms.to_be_bytes());
    covered.extend_from_slice(&(-1_i64).to_be_bytes());
    covered.extend_from_slice(&(-1_i16).to_be_bytes());
    covered.extend_from_slice(&(-1_i32).to_be_bytes());
    covered.extend_from_slice(&(last + 1).to_be_bytes());
    covered.extend_from_slice(&records);
    let mut batch = BytesMut::new();
    batch.extend_from_slice(&0_i64.to_be_bytes());
    batch.extend_from_slice(&(covered.len() as i32 + 9).to_be_bytes());
    batch.extend_from_slice(&(-1_i32).to_be_bytes());
    batch.extend_from_slice(&[2]);
    batch.extend_from_slice(&crc32c::crc32c(&covered).to_be_bytes());
    batch.extend_from_slice(&covered);
    batch.freeze()
}

fn zigzag(out: &mut BytesMut, value: i64) {
    let mut left = ((value << 1) ^ (value >> 63)) as u64;
    while left >= 0x80 {
        out.extend_from_slice(&[(left as u8) | 0x80]);
        left >>= 7;
    }
    out.extend_from_slice(&[left as u8]);
}

fn read_zigzag(bytes: &[u8], at: &mut usize) -> i64 {
    let (mut value, mut shift) = (0_u64, 0);
    loop {
        let byte = bytes[*at];
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return ((value >> 1) as i64) ^ -((value & 1) as i64);
        }
        shift += 7;
    }
}

/// Offsets and values of uncompressed batches.
pub fn records(bytes: &[u8]) -> Vec<(i64, String)> {
    let mut found = Vec::new();
    let mut start = 0;
    while start + 61 <= bytes.len() {
        let base = i64::from_be_bytes(bytes[start..start + 8].try_into().unwrap());
        let length = i32::from_be_bytes(bytes[start + 8..start + 12].try_into().unwrap()) as usize;
        let end = start + 12 + length;
        if end > bytes.len() {
            break;
        }
        let mut at = start + 61;
        while at < end {
            let size = read_zigzag(bytes, &mut at) as usize;
            let next = at + size;
            at += 1;
            read_zigzag(bytes, &mut at);
            let delta = read_zigzag(bytes, &mut at);
            assert_eq!(read_zigzag(bytes, &mut at), -1, "no keys here");
            let length = read_zigzag(bytes, &mut at) as usize;
            found.push((base + delta, String::from_utf8(bytes[at..at + length].to_vec()).unwrap()));
            at = next;
        }
        start = end;
    }
    found
}

pub async fn produce(
    client: &NodeClient,
    topic: &str,
    partition: i32,
    acks: i16,
    values: &[String],
) -> Result<PartitionProduceResponse, String> {
    produce_batch(client, topic, partition, acks, batch(values)).await
}

pub async fn produce_batch(
    client: &NodeClient,
    topic: &str,
    partition: i32,
    acks: i16,
    batch: Bytes,
) -> Result<PartitionProduceResponse, String> {
    let data = PartitionProduceData::default().with_index(partition).with_records(Some(batch));
    let topic = TopicProduceData::default().with_name(name(topic)).with_partition_data(vec![data]);
    let request = ProduceRequest::default()
        .with_transactional_id(None)
        .with_acks(acks)
        .with_timeout_ms(10_000)
        .with_topic_data(vec![topic]);
    let reply = ask(client, 9, &request).await?;
    Ok(reply.responses[0].partition_responses[0].clone())
}

/// One Fetch without a session, in the last version that names topics by name.
pub async fn fetch(
    client: &NodeClient,
    topic: &str,
    partition: i32,
    offset: i64,
    wait_ms: i32,
) -> Result<PartitionData, String> {
    let wanted = FetchPartition::default()
        .with_partition(partition)
        .with_current_leader_epoch(-1)
        .with_fetch_offset(offset)
        .with_last_fetched_epoch(-1)
        .with_log_start_offset(-1)
        .with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default().with_topic(name(topic)).with_partitions(vec![wanted]);
    let request = FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(wait_ms)
        .with_min_bytes(1)
        .with_max_bytes(1 << 20)
        .with_session_id(0)
        .with_session_epoch(-1)
        .with_topics(vec![topic]);
    let reply = ask(client, 12, &request).await?;
    if reply.error_code != 0 {
        return Err(format!("error {}", reply.error_code));
    }
    Ok(reply.responses[0].partitions[0].clone())
}

/// Everything that a consumer sees of a partition from its start.
pub async fn consume_all(
    client: &NodeClient,
    topic: &str,
    partition: i32,
) -> Result<Vec<(i64, String)>, String> {
    let mut all: Vec<(i64, String)> = Vec::new();
    loop {
        let offset = all.last().map_or(0, |(offset, _)| offset + 1);
        let data = fetch(client, topic, partition, offset, 0).await?;
        if data.error_code != 0 {
            return Err(format!("error {}", data.error_code));
        }
        let found = records(&data.records.unwrap_or_default());
        if found.is_empty() {
            return Ok(all);
        }
        all.extend(found.into_iter().filter(|(at, _)| *at >= offset));
    }
}
