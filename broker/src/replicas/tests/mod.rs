//! A replica manager called directly, with an image that the test writes. What brokers do together is tried on
//! clusters of real processes (`broker/tests`).

mod durable;
mod single;
mod transactions;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use jackdaw_log::{LogDir, RealDisk, TopicConfigs};
use jackdaw_metadata::{MetadataDelta, MetadataImage};
use jackdaw_wire::batch::BatchBuilder;
use jackdaw_wire::messages::fetch_request::{FetchPartition, FetchTopic};
use jackdaw_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use jackdaw_wire::messages::produce_response::PartitionProduceResponse;
use jackdaw_wire::messages::{
    ApiKey, FetchRequest, FetchResponse, ListOffsetsRequest, ProduceRequest, TopicName,
};
use jackdaw_wire::metadata_record::{
    BrokerEndpoint, FeatureLevelRecord, MetadataRecord, PartitionRecord, RegisterBrokerRecord, TopicRecord,
};
use jackdaw_wire::segment::Segment;
use jackdaw_wire::{Decodable, ErrorCode, StrBytes, Uuid};

use super::*;
use crate::budget::Charge;
use crate::config::{CleanerConfig, ProducersConfig, ReplicationConfig, StorageConfig};
use crate::dispatch::Scope;

fn now_ms() -> i64 {
    crate::clock::wall().0
}

const TOPIC: &str = "orders";

fn topic_id() -> Uuid {
    Uuid::from_u128(0x1234_5678_9abc)
}

fn replication_config() -> ReplicationConfig {
    ReplicationConfig {
        lag_time_max_ms: 30_000,
        socket_timeout_ms: 30_000,
        fetch_max_bytes: 1 << 20,
        fetch_wait_max_ms: 500,
        fetch_min_bytes: 1,
        fetch_response_max_bytes: 10 << 20,
        fetch_backoff_ms: 1_000,
        high_watermark_checkpoint_interval_ms: 5_000,
        auto_leader_rebalance_enable: false,
        leader_imbalance_check_interval_seconds: 300,
        rack_aware_reads: false,
        max_incremental_fetch_session_cache_slots: 1_000,
        consumer_fetch_max_bytes: 57_671_680,
    }
}

fn storage_config() -> StorageConfig {
    StorageConfig {
        retention_check_interval_ms: 300_000,
        flush_scheduler_interval_ms: i64::MAX,
        flush_offset_checkpoint_interval_ms: 60_000,
        flush_start_offset_checkpoint_interval_ms: 60_000,
        cleaner: CleanerConfig {
            enable: true,
            threads: 1,
            dedupe_buffer_bytes: 1 << 20,
            io_buffer_bytes: 1 << 16,
            load_factor: 0.9,
            max_bytes_per_second: f64::MAX,
            backoff_ms: 20,
        },
    }
}

/// The metadata log of a test: records in, image and delta out.
#[derive(Default)]
struct Metadata {
    image: MetadataImage,
    offset: i64,
}

impl Metadata {
    fn apply(&mut self, records: &[MetadataRecord]) -> (Arc<MetadataImage>, MetadataDelta) {
        let mut delta = MetadataDelta::default();
        for record in records {
            self.offset += 1;
            self.image.apply(self.offset, record, &mut delta).unwrap();
        }
        (Arc::new(self.image.clone()), delta)
    }
}

fn broker_record(id: i32, epoch: i64, port: u16) -> MetadataRecord {
    let end_points = vec![BrokerEndpoint {
        name: "INTERNAL".to_owned(),
        host: "127.0.0.1".to_owned(),
        port,
        ..BrokerEndpoint::default()
    }];
    MetadataRecord::RegisterBroker(RegisterBrokerRecord {
        broker_id: id,
        incarnation_id: Uuid::from_u128(epoch as u128 + 1_000),
        broker_epoch: epoch,
        end_points,
        fenced: false,
        ..RegisterBrokerRecord::default()
    })
}

fn version_record() -> MetadataRecord {
    MetadataRecord::FeatureLevel(FeatureLevelRecord {
        name: "metadata.version".to_owned(),
        feature_level: 19,
        ..FeatureLevelRecord::default()
    })
}

fn topic_record() -> MetadataRecord {
    MetadataRecord::Topic(TopicRecord {
        name: TOPIC.to_owned(),
        topic_id: topic_id(),
        ..TopicRecord::default()
    })
}

fn partition_record(
    index: i32,
    replicas: &[i32],
    isr: &[i32],
    leader: i32,
    epochs: (i32, i32),
) -> MetadataRecord {
    MetadataRecord::Partition(PartitionRecord {
        partition_id: index,
        topic_id: topic_id(),
        replicas: replicas.to_vec(),
        isr: isr.to_vec(),
        leader,
        leader_epoch: epochs.0,
        partition_epoch: epochs.1,
        directories: vec![Uuid::from_u128(1); replicas.len()],
        ..PartitionRecord::default()
    })
}

/// Takes ISR changes and keeps them for the test.
#[derive(Default)]
struct Sink {
    changes: Mutex<Vec<(IsrChange, IsrChangeDone)>>,
}

impl AlterPartitionSink for Sink {
    fn submit(&self, change: IsrChange, done: IsrChangeDone) {
        self.changes.lock().unwrap().push((change, done));
    }
}

fn options(node_id: i32, folder: &Path, sink: Arc<Sink>, settings: &[(&str, &str)]) -> ReplicaOptions {
    let log_dir = Arc::new(LogDir::open(Arc::new(RealDisk), &folder.join("data")).unwrap());
    ReplicaOptions {
        node_id,
        replication: replication_config(),
        storage: storage_config(),
        topic_defaults: TopicConfigs::default().with(settings.iter().copied()).unwrap(),
        producers: ProducersConfig {
            id_expiration_ms: 86_400_000,
            id_expiration_check_interval_ms: 600_000,
            verify_transactions: true,
        },
        request_timeout: Duration::from_secs(30),
        log_dirs: vec![(log_dir, Uuid::from_u128(500 + node_id as u128))],
        inter_broker_listener: Arc::from("INTERNAL"),
        resolver: Arc::default(),
        alter_partition: sink,
        broker_epoch: Arc::new(AtomicI64::new(i64::from(node_id))),
    }
}

fn context(api: ApiKey, version: i16) -> RequestContext {
    RequestContext {
        listener: Arc::from("INTERNAL"),
        scope: Scope::Broker,
        api_key: api as i16,
        api_version: version,
        correlation_id: 1,
        client_id: Some(StrBytes::from_static_str("test")),
        peer: SocketAddr::from(([127, 0, 0, 1], 1)),
        charge: Charge::default(),
    }
}

/// A batch with these values. Its time is now: older ones would roll the segment, and forget their producer.
fn batch(values: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::new(0, -1);
    values.iter().for_each(|value| builder.append(now_ms(), None, Some(value.as_bytes())));
    builder.build()
}

/// A batch of an idempotent producer.
fn batch_of(producer_id: i64, sequence: i32, values: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::new(0, -1).producer(producer_id, 0, sequence);
    values.iter().for_each(|value| builder.append(now_ms(), None, Some(value.as_bytes())));
    builder.build()
}

fn produce_request(acks: i16, timeout_ms: i32, parts: &[(i32, Bytes)]) -> ProduceRequest {
    let data = |(index, records): &(i32, Bytes)| {
        PartitionProduceData::default().with_index(*index).with_records(Some(records.clone()))
    };
    let topic = TopicProduceData::default()
        .with_name(TopicName(StrBytes::from_static_str(TOPIC)))
        .with_partition_data(parts.iter().map(data).collect());
    ProduceRequest::default().with_acks(acks).with_timeout_ms(timeout_ms).with_topic_data(vec![topic])
}

async fn produce(
    manager: &ReplicaManager,
    acks: i16,
    partition: i32,
    records: Bytes,
) -> PartitionProduceResponse {
    let request = produce_request(acks, 5_000, &[(partition, records)]);
    let produced = manager.produce(&context(ApiKey::Produce, 9), request).await;
    produced.response.responses[0].partition_responses[0].clone()
}

fn error_of(code: i16) -> Option<ErrorCode> {
    ErrorCode::try_from_code(code)
}

/// A fetch as tests write it.
#[derive(Clone)]
struct Fetch {
    version: i16,
    replica: i32,
    replica_epoch: i64,
    max_wait_ms: i32,
    min_bytes: i32,
    max_bytes: i32,
    partition_max_bytes: i32,
    session: (i32, i32),
    leader_epoch: i32,
    last_epoch: i32,
    reads_committed: bool,
}

impl Default for Fetch {
    fn default() -> Self {
        Self {
            version: 16,
            replica: -1,
            replica_epoch: -1,
            max_wait_ms: 0,
            min_bytes: 1,
            max_bytes: i32::MAX,
            partition_max_bytes: 1 << 20,
            session: (0, -1),
            leader_epoch: -1,
            last_epoch: -1,
            reads_committed: false,
        }
    }
}

impl Fetch {
    fn request(&self, asks: &[(i32, i64)]) -> FetchRequest {
        let partition = |(index, offset): &(i32, i64)| {
            FetchPartition::default()
                .with_partition(*index)
                .with_fetch_offset(*offset)
                .with_current_leader_epoch(self.leader_epoch)
                .with_last_fetched_epoch(self.last_epoch)
                .with_partition_max_bytes(self.partition_max_bytes)
        };
        let topic = FetchTopic::default()
            .with_topic(TopicName(StrBytes::from_static_str(TOPIC)))
            .with_topic_id(topic_id())
            .with_partitions(asks.iter().map(partition).collect());
        let request = FetchRequest::default()
            .with_max_wait_ms(self.max_wait_ms)
            .with_min_bytes(self.min_bytes)
            .with_max_bytes(self.max_bytes)
            .with_isolation_level(i8::from(self.reads_committed))
            .with_session_id(self.session.0)
            .with_session_epoch(self.session.1)
            .with_topics(if asks.is_empty() { Vec::new() } else { vec![topic] });
        if self.version >= 15 {
            let mut state = jackdaw_wire::messages::fetch_request::ReplicaState::default();
            state.replica_id = self.replica.into();
            state.replica_epoch = self.replica_epoch;
            request.with_replica_state(state)
        } else {
            request.with_replica_id(self.replica.into())
        }
    }

    async fn of(&self, manager: &ReplicaManager, asks: &[(i32, i64)]) -> FetchResponse {
        let context = context(ApiKey::Fetch, self.version);
        decode_fetch(self.version, manager.fetch(&context, self.request(asks)).await)
    }
}

fn body_bytes(response: Response) -> Bytes {
    use std::os::unix::fs::FileExt;
    let Response::Body(segments) = response else { panic!("no body: {response:?}") };
    let mut bytes = Vec::new();
    for segment in segments {
        match segment {
            Segment::Bytes(part) => bytes.extend_from_slice(&part),
            Segment::File { file, offset, len } => {
                let mut part = vec![0; len];
                file.read_exact_at(&mut part, offset).unwrap();
                bytes.extend_from_slice(&part);
            }
        }
    }
    bytes.into()
}

fn decode_fetch(version: i16, response: Response) -> FetchResponse {
    let mut bytes = body_bytes(response);
    let decoded = FetchResponse::decode(&mut bytes, version).unwrap();
    assert!(bytes.is_empty(), "the reply has a tail");
    decoded
}

/// What a reply says, one word per partition: index, error or records and high watermark.
fn told(response: &FetchResponse) -> Vec<String> {
    let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
    let word = |p: &jackdaw_wire::messages::fetch_response::PartitionData| match error_of(p.error_code) {
        Some(error) => format!("{}:{error:?}", p.partition_index),
        None if p.diverging_epoch.epoch >= 0 => {
            format!(
                "{}:diverges@{}/{}",
                p.partition_index, p.diverging_epoch.end_offset, p.diverging_epoch.epoch
            )
        }
        None => {
            let values = values(p.records.as_ref().expect("an empty record set is never null"));
            format!("{}:[{}]hw{}", p.partition_index, values.join(","), p.high_watermark)
        }
    };
    partitions.map(word).collect()
}

/// The values of all records.
fn values(records: &Bytes) -> Vec<String> {
    let mut values = Vec::new();
    for batch in jackdaw_wire::batch::batches(records) {
        let batch = batch.unwrap();
        let mut scratch = Vec::new();
        for record in batch.records(1 << 20, &mut scratch).unwrap() {
            values.push(String::from_utf8(record.unwrap().value.unwrap().to_vec()).unwrap());
        }
    }
    values
}
