//! A producer: batches per partition, one request at a time to each leader, retries, idempotence (`KafkaProducer`).
//!
//! It is driven by its caller: nothing is sent and no reply is seen unless `send`, `poll` or `flush` runs.

use super::consumer::Header;
use crate::admin::{Admin, Kind, Link, RETRY_BACKOFF, Result, To, text, topic_name};
use crate::errors::{Exception, error, exception};
use crate::print;
use crate::properties::Properties;
use jackdaw_wire::ErrorCode;
use jackdaw_wire::batch::{BatchBuilder, HEADER_BYTES};
use jackdaw_wire::compression::Compression;
use jackdaw_wire::records::HeadersRef;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{InitProducerIdRequest, MetadataRequest, ProduceRequest, ProduceResponse};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::task::JoinSet;

const PRODUCER: Kind = Kind { class: "", log: "Producer", id: "producer-1" };
/// A repetition of what was appended before.
/// A record's own bytes beside its key, value and headers, at most (`DefaultRecord`).
const RECORD_OVERHEAD_BYTES: usize = 21;

/// What is sent.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// Topic.
    pub topic: String,
    /// Partition; without it the key decides, else chance.
    pub partition: Option<i32>,
    /// Key.
    pub key: Option<Vec<u8>>,
    /// Value.
    pub value: Option<Vec<u8>>,
    /// Headers.
    pub headers: Vec<Header>,
    /// Time; now without it.
    pub timestamp_ms: Option<i64>,
}

impl Record {
    fn size_bytes(&self) -> usize {
        let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        let headers = self.headers.iter().map(|(key, value)| key.len() + length(value) + 10).sum::<usize>();
        length(&self.key) + length(&self.value) + headers + RECORD_OVERHEAD_BYTES
    }
}

/// What became of a record.
#[derive(Debug)]
pub struct Delivery {
    /// The record.
    pub record: Record,
    /// When `send` was called.
    pub sent: Instant,
    /// Partition and offset.
    pub outcome: Result<(i32, i64)>,
}

struct Batch {
    records: Vec<(Record, Instant)>,
    size_bytes: usize,
    created: Instant,
    attempts: u32,
    /// The first sequence number, once it was sent.
    sequence: Option<i32>,
}

type Place = (String, i32);
type Answer = (i32, Vec<(Place, Batch)>, std::result::Result<(Link, ProduceResponse), Exception>);

struct Settings {
    acks: i16,
    codec: Compression,
    batch_bytes: usize,
    linger: Duration,
    retries: u32,
    retry_backoff: Duration,
    request_timeout: Duration,
    delivery_timeout: Duration,
    max_block: Duration,
    max_request_bytes: usize,
    buffer_bytes: usize,
    idempotent: bool,
}

/// See the head of this file.
pub struct Producer {
    admin: Admin,
    settings: Settings,
    client_id: String,
    leaders: BTreeMap<String, Vec<(i32, i32)>>,
    queues: BTreeMap<Place, VecDeque<Batch>>,
    queued_bytes: usize,
    flights: JoinSet<Answer>,
    busy: Vec<i32>,
    flying: Vec<Place>,
    id: Option<(i64, i16)>,
    sequences: BTreeMap<Place, i32>,
    /// The partition that records without a key go to, and how many bytes went there.
    sticky: BTreeMap<String, (i32, usize)>,
    done: Vec<Delivery>,
}

fn settings(properties: &Properties) -> Result<Settings> {
    let invalid = |key: &str, value: &str, why: &str| {
        let message = format!("Invalid value {value} for configuration {key}: {why}");
        Exception::new("org.apache.kafka.common.config.ConfigException", message)
    };
    let number = |key: &str, default: u64| match properties.get(key) {
        None => Ok(default),
        Some(value) => value.trim().parse().map_err(|_| invalid(key, value, "Not a number of type INT")),
    };
    let acks = match properties.get("acks").map_or("all", String::as_str) {
        "all" | "-1" => -1,
        "0" => 0,
        "1" => 1,
        other => return Err(invalid("acks", other, "String must be one of: all, -1, 0, 1")),
    };
    let codec = properties.get("compression.type").map_or("none", String::as_str);
    let codec = Compression::from_name(codec).ok_or_else(|| {
        invalid("compression.type", codec, "String must be one of: none, gzip, snappy, lz4, zstd")
    })?;
    let asked = properties.get("enable.idempotence").map(|value| value.trim() == "true");
    if asked == Some(true) && acks != -1 {
        let message = "Must set acks to all in order to use the idempotent producer. Otherwise we cannot guarantee \
                       idempotence.";
        return Err(Exception::new("org.apache.kafka.common.config.ConfigException", message));
    }
    let ms = |key: &str, default: u64| number(key, default).map(Duration::from_millis);
    Ok(Settings {
        acks,
        codec,
        batch_bytes: number("batch.size", 16_384)? as usize,
        linger: ms("linger.ms", 0)?,
        retries: number("retries", i32::MAX as u64)? as u32,
        retry_backoff: ms("retry.backoff.ms", 100)?,
        request_timeout: ms("request.timeout.ms", 30_000)?,
        delivery_timeout: ms("delivery.timeout.ms", 120_000)?,
        max_block: ms("max.block.ms", 60_000)?,
        max_request_bytes: number("max.request.size", 1_048_576)? as usize,
        buffer_bytes: number("buffer.memory", 33_554_432)? as usize,
        idempotent: asked.unwrap_or(true) && acks == -1,
    })
}

impl Producer {
    /// Takes a producer's properties.
    ///
    /// # Errors
    /// When they do not fit.
    pub fn create(properties: &Properties) -> Result<Self> {
        let wrap = |cause: Exception| match cause.class.ends_with("ConfigException")
            && !cause.message.contains("bootstrap")
        {
            true => cause,
            false => {
                Exception::new("org.apache.kafka.common.KafkaException", "Failed to construct kafka producer")
                    .because(cause)
            }
        };
        Ok(Producer {
            settings: settings(properties)?,
            admin: Admin::create(PRODUCER, properties).map_err(wrap)?,
            client_id: properties.get("client.id").map_or(PRODUCER.id, String::as_str).to_owned(),
            leaders: BTreeMap::new(),
            queues: BTreeMap::new(),
            queued_bytes: 0,
            flights: JoinSet::new(),
            busy: Vec::new(),
            flying: Vec::new(),
            id: None,
            sequences: BTreeMap::new(),
            sticky: BTreeMap::new(),
            done: Vec::new(),
        })
    }

    /// What became of records since this was last asked.
    pub fn done(&mut self) -> Vec<Delivery> {
        std::mem::take(&mut self.done)
    }

    /// Takes a record; it goes out with its batch. What is wrong with it is told with the deliveries.
    pub fn send(&mut self, record: Record) {
        let sent = Instant::now();
        if let Err(refused) = self.enqueue(record, sent) {
            let (record, error) = *refused;
            self.done.push(Delivery { record, sent, outcome: Err(error) });
        }
        self.poll(Duration::ZERO);
        while self.queued_bytes > self.settings.buffer_bytes {
            self.poll(RETRY_BACKOFF);
        }
    }

    fn enqueue(
        &mut self,
        record: Record,
        sent: Instant,
    ) -> std::result::Result<(), Box<(Record, Exception)>> {
        let size = record.size_bytes();
        if !self.leaders.contains_key(&record.topic)
            && let Err(error) = self.look_up(&record.topic.clone())
        {
            return Err(Box::new((record, error)));
        }
        let limit = self.settings.max_request_bytes;
        if size + HEADER_BYTES > limit {
            let message = format!(
                "The message is {} bytes when serialized which is larger than {limit}, which is the value of the \
                 max.request.size configuration.",
                size + HEADER_BYTES
            );
            return Err(Box::new((record, Exception::kafka("RecordTooLargeException", message))));
        }
        let partition = self.partition(&record, size);
        let queue = self.queues.entry((record.topic.clone(), partition)).or_default();
        let limit = self.settings.batch_bytes;
        let flying = self.flying.iter().any(|(topic, index)| *topic == record.topic && *index == partition);
        let open = queue.back().is_some_and(|batch| batch.attempts == 0 && batch.size_bytes + size <= limit);
        if !open || (flying && queue.is_empty()) {
            let batch = Batch {
                records: Vec::new(),
                size_bytes: HEADER_BYTES,
                created: sent,
                attempts: 0,
                sequence: None,
            };
            queue.push_back(batch);
        }
        if let Some(batch) = queue.back_mut() {
            batch.size_bytes += size;
            batch.records.push((record, sent));
            self.queued_bytes += size;
        }
        Ok(())
    }

    fn partition(&mut self, record: &Record, size: usize) -> i32 {
        let partitions = self.leaders.get(&record.topic).map_or(1, Vec::len).max(1);
        if let Some(partition) = record.partition {
            return partition;
        }
        if let Some(key) = &record.key {
            return (murmur2(key) & 0x7fff_ffff) as i32 % partitions as i32;
        }
        let any = || (rand::random::<u32>() as usize % partitions) as i32;
        let sticky = self.sticky.entry(record.topic.clone()).or_insert_with(|| (any(), 0));
        if sticky.1 >= self.settings.batch_bytes.max(1) {
            *sticky = (any(), 0);
        }
        sticky.1 += size;
        sticky.0
    }

    /// Learns who leads a topic's partitions; the topic is created if brokers do that.
    fn look_up(&mut self, topic: &str) -> Result<()> {
        let deadline = Instant::now() + self.settings.max_block;
        let asked = MetadataRequestTopic::default().with_name(Some(topic_name(topic)));
        let request =
            MetadataRequest::default().with_topics(Some(vec![asked])).with_allow_auto_topic_creation(true);
        let mut tries = 0;
        loop {
            let answer = self.admin.ask(To::Any, "metadata", &request)?;
            self.admin.learned(&answer, |_| ());
            tries += 1;
            let Some(found) = answer.topics.first() else {
                return Err(Exception::from(ErrorCode::UnknownTopicOrPartition));
            };
            match ErrorCode::try_from_code(found.error_code) {
                None if !found.partitions.is_empty() => {
                    let mut leaders: Vec<(i32, i32)> =
                        found.partitions.iter().map(|one| (one.partition_index, one.leader_id.0)).collect();
                    leaders.sort_unstable();
                    self.leaders.insert(topic.to_owned(), leaders);
                    return Ok(());
                }
                Some(ErrorCode::InvalidTopicException) => {
                    let said = format!(
                        "[Producer clientId={}] Metadata response reported invalid topics [{topic}]",
                        self.client_id
                    );
                    print::log("ERROR", "org.apache.kafka.clients.Metadata", &said);
                    let message = format!("Invalid topics: [{topic}]");
                    return Err(Exception::kafka("InvalidTopicException", message));
                }
                Some(ErrorCode::TopicAuthorizationFailed) => {
                    let message = format!("Not authorized to access topics: [{topic}]");
                    return Err(Exception::kafka("TopicAuthorizationException", message));
                }
                error => {
                    let name = error.unwrap_or(ErrorCode::LeaderNotAvailable).name();
                    let said = format!(
                        "[Producer clientId={}] Error while fetching metadata with correlation id {tries} : {{{topic}={name}}}",
                        self.client_id
                    );
                    print::log("WARN", "org.apache.kafka.clients.NetworkClient", &said);
                }
            }
            if Instant::now() + RETRY_BACKOFF > deadline {
                let waited = self.settings.max_block.as_millis();
                let message = format!("Topic {topic} not present in metadata after {waited} ms.");
                return Err(Exception::kafka("TimeoutException", message));
            }
            self.admin.pause();
        }
    }

    /// When there is something to do, unless something happens before.
    pub fn next_due(&self) -> Option<Duration> {
        if !self.flights.is_empty() {
            return Some(Duration::ZERO);
        }
        let first = self.queues.values().filter_map(|queue| queue.front()).map(|batch| batch.created).min();
        first.map(|created| (created + self.settings.linger).saturating_duration_since(Instant::now()))
    }

    /// Sends what is ready, and takes in what comes within that time.
    pub fn poll(&mut self, wait: Duration) {
        self.dispatch(false);
        self.take_in(wait);
    }

    /// Sends everything, and waits until nothing is left.
    pub fn flush(&mut self) {
        while !(self.queues.is_empty() && self.flights.is_empty()) {
            self.dispatch(true);
            self.take_in(Duration::from_secs(1));
        }
    }

    fn take_in(&mut self, wait: Duration) {
        if self.flights.is_empty() {
            // Nothing flies although something is queued: a retry waits for its time, or for a leader.
            if !wait.is_zero() && !self.queues.is_empty() {
                std::thread::sleep(wait.min(self.settings.retry_backoff));
            }
            return;
        }
        let flights = &mut self.flights;
        let landed =
            self.admin.runtime().block_on(async { tokio::time::timeout(wait, flights.join_next()).await });
        let mut landed = landed.ok().flatten();
        while let Some(answer) = landed.take() {
            if let Ok(answer) = answer {
                self.land(answer);
            }
            landed = self.flights.try_join_next();
        }
    }

    /// Lets one batch of each partition whose leader is free take off.
    fn dispatch(&mut self, all: bool) {
        let mut loads: BTreeMap<i32, Vec<Place>> = BTreeMap::new();
        let now = Instant::now();
        let places: Vec<Place> = self.queues.keys().cloned().collect();
        for place in places {
            let Some(batch) = self.queues.get(&place).and_then(|queue| queue.front()) else { continue };
            let waiting = self.queues.get(&place).is_some_and(|queue| queue.len() > 1);
            let full = batch.size_bytes >= self.settings.batch_bytes;
            let due = now >= batch.created + self.settings.linger;
            if now >= batch.created + self.settings.delivery_timeout {
                self.expire(&place);
                continue;
            }
            if self.flying.contains(&place) || !(all || full || due || waiting || batch.attempts > 0) {
                continue;
            }
            match self.leader(&place) {
                Some(leader) if !self.busy.contains(&leader) => loads.entry(leader).or_default().push(place),
                _ => {}
            }
        }
        for (leader, places) in loads {
            self.take_off(leader, places);
        }
    }

    fn leader(&mut self, place: &Place) -> Option<i32> {
        if !self.leaders.contains_key(&place.0) {
            // What is wrong shows when the batch expires; a leader may come back before.
            self.look_up(&place.0.clone()).ok()?;
        }
        let leaders = self.leaders.get(&place.0)?;
        leaders
            .iter()
            .find(|(index, _)| *index == place.1)
            .map(|(_, leader)| *leader)
            .filter(|leader| *leader >= 0)
    }

    fn expire(&mut self, place: &Place) {
        let waited = self.settings.delivery_timeout.as_millis();
        let (topic, partition) = place;
        if let Some(batch) = self.pop(place) {
            let message = format!(
                "Expiring {} record(s) for {topic}-{partition}:{waited} ms has passed since batch creation",
                batch.records.len()
            );
            self.fail(batch, &Exception::kafka("TimeoutException", message));
        }
    }

    fn pop(&mut self, place: &Place) -> Option<Batch> {
        let queue = self.queues.get_mut(place)?;
        let batch = queue.pop_front();
        if queue.is_empty() {
            self.queues.remove(place);
        }
        batch
    }

    fn fail(&mut self, batch: Batch, error: &Exception) {
        if batch.sequence.is_some() {
            // Its numbers are never seen by the broker: what follows starts anew, as a producer of another id.
            self.id = None;
            self.sequences.clear();
            self.queues.values_mut().flatten().for_each(|batch| batch.sequence = None);
        }
        for (record, sent) in batch.records {
            self.queued_bytes = self.queued_bytes.saturating_sub(record.size_bytes());
            self.done.push(Delivery { record, sent, outcome: Err(error.clone()) });
        }
    }

    fn take_off(&mut self, leader: i32, places: Vec<Place>) {
        if self.settings.idempotent && self.id.is_none() {
            match self.new_id() {
                Ok(id) => self.id = Some(id),
                Err(error) => {
                    places
                        .iter()
                        .filter_map(|place| self.pop(place))
                        .collect::<Vec<_>>()
                        .into_iter()
                        .for_each(|batch| self.fail(batch, &error));
                    return;
                }
            }
        }
        let Ok(link) = self.admin.lend(leader) else {
            places.iter().for_each(|place| {
                self.leaders.remove(&place.0);
            });
            return;
        };
        let mut load = Vec::new();
        let mut topics: BTreeMap<String, Vec<PartitionProduceData>> = BTreeMap::new();
        for place in places {
            let Some(mut batch) = self.pop(&place) else { continue };
            if self.id.is_some() && batch.sequence.is_none() {
                let next = self.sequences.entry(place.clone()).or_default();
                batch.sequence = Some(*next);
                *next = jackdaw_wire::batch::increment_sequence(*next, batch.records.len() as i32);
            }
            batch.attempts += 1;
            match encode(&batch, self.id, self.settings.codec) {
                Ok(records) => {
                    let data =
                        PartitionProduceData::default().with_index(place.1).with_records(Some(records));
                    topics.entry(place.0.clone()).or_default().push(data);
                    self.flying.push(place.clone());
                    load.push((place, batch));
                }
                Err(error) => self.fail(batch, &error),
            }
        }
        let topic = |(name, partitions): (String, Vec<PartitionProduceData>)| {
            TopicProduceData::default().with_name(topic_name(&name)).with_partition_data(partitions)
        };
        let request = ProduceRequest::default()
            .with_acks(self.settings.acks)
            .with_timeout_ms(self.settings.request_timeout.as_millis() as i32)
            .with_topic_data(topics.into_iter().map(topic).collect());
        self.busy.push(leader);
        let limit = self.settings.request_timeout;
        self.flights.spawn_on(fly(leader, link, request, load, limit), self.admin.runtime().handle());
    }

    fn new_id(&mut self) -> Result<(i64, i16)> {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(None)
            .with_transaction_timeout_ms(i32::MAX);
        self.admin.retrying(&[7, 13, 14, 15, 16], |admin| {
            let answer = admin.ask(To::Any, "initProducerId", &request)?;
            crate::errors::check(answer.error_code, None)?;
            Ok((answer.producer_id.0, answer.producer_epoch))
        })
    }

    fn land(&mut self, (leader, load, answer): Answer) {
        self.busy.retain(|busy| *busy != leader);
        self.flying.retain(|place| !load.iter().any(|(landed, _)| landed == place));
        let answer = match answer {
            Ok((link, answer)) => {
                self.admin.give_back(leader, link);
                Ok(answer)
            }
            Err(error) => Err(error),
        };
        for (place, batch) in load {
            let told = answer.as_ref().map(|answer| of_partition(answer, &place));
            match told {
                Ok(Some(told)) if told.error_code == 0 => self.succeed(&place, batch, told.base_offset),
                Ok(Some(told)) if told.error_code == ErrorCode::DuplicateSequenceNumber.code() => {
                    self.succeed(&place, batch, -1)
                }
                Ok(None) => self.succeed(&place, batch, -1),
                Ok(Some(told)) => {
                    let why = exception(told.error_code, told.error_message.as_deref());
                    self.again(&place, batch, why);
                }
                Err(error) => self.again(&place, batch, error.clone()),
            }
        }
    }

    fn succeed(&mut self, place: &Place, batch: Batch, base_offset: i64) {
        for (index, (record, sent)) in batch.records.into_iter().enumerate() {
            self.queued_bytes = self.queued_bytes.saturating_sub(record.size_bytes());
            let offset = if base_offset < 0 { -1 } else { base_offset + index as i64 };
            self.done.push(Delivery { record, sent, outcome: Ok((place.1, offset)) });
        }
    }

    /// Sends a batch once more where that may help; one that is too large goes in halves.
    fn again(&mut self, place: &Place, mut batch: Batch, why: Exception) {
        self.leaders.remove(&place.0);
        let now = Instant::now();
        if why.is(ErrorCode::MessageTooLarge) && batch.records.len() > 1 {
            let rest = batch.records.split_off(batch.records.len() / 2);
            let size = |records: &[(Record, Instant)]| {
                records.iter().map(|(record, _)| record.size_bytes()).sum::<usize>()
            };
            let sequence = batch
                .sequence
                .map(|first| jackdaw_wire::batch::increment_sequence(first, batch.records.len() as i32));
            let second = Batch { size_bytes: size(&rest) + HEADER_BYTES, records: rest, sequence, ..batch };
            batch.size_bytes = size(&batch.records) + HEADER_BYTES;
            let first = Batch { attempts: 0, ..batch };
            let queue = self.queues.entry(place.clone()).or_default();
            queue.push_front(second);
            queue.push_front(first);
            return;
        }
        let tries_left = (self.settings.retries + 1).saturating_sub(batch.attempts);
        let in_time = now < batch.created + self.settings.delivery_timeout;
        if !error(why.code).is_retriable() || tries_left == 0 || !in_time {
            self.fail(batch, &why);
            return;
        }
        let (topic, partition) = place;
        let said = format!(
            "[Producer clientId={}] Got error produce response on topic-partition {topic}-{partition}, retrying ({} \
             attempts left). Error: {}",
            self.client_id,
            tries_left - 1,
            error(why.code).name()
        );
        print::log("WARN", "org.apache.kafka.clients.producer.internals.Sender", &said);
        std::thread::sleep(self.settings.retry_backoff);
        self.queues.entry(place.clone()).or_default().push_front(batch);
    }
}

async fn fly(
    leader: i32,
    mut link: Link,
    request: ProduceRequest,
    load: Vec<(Place, Batch)>,
    limit: Duration,
) -> Answer {
    let version = match link.version::<ProduceRequest>() {
        Ok(version) => version,
        Err(error) => return (leader, load, Err(error)),
    };
    if request.acks == 0 {
        let sent = link.connection.send(version, &request).await;
        let answer = sent
            .map(|()| (link, ProduceResponse::default()))
            .map_err(|_| Exception::from(ErrorCode::NetworkException));
        return (leader, load, answer);
    }
    let answer = match tokio::time::timeout(limit, link.connection.exchange(version, &request)).await {
        Ok(Ok(answer)) => Ok((link, answer)),
        Ok(Err(_)) => Err(Exception::from(ErrorCode::NetworkException)),
        Err(_) => Err(Exception::from(ErrorCode::RequestTimedOut)),
    };
    (leader, load, answer)
}

fn of_partition<'a>(answer: &'a ProduceResponse, place: &Place) -> Option<&'a PartitionProduceResponse> {
    let topic = answer.responses.iter().find(|topic| *topic.name == text(&place.0))?;
    topic.partition_responses.iter().find(|partition| partition.index == place.1)
}

fn encode(batch: &Batch, id: Option<(i64, i16)>, codec: Compression) -> Result<bytes::Bytes> {
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64;
    let mut builder = BatchBuilder::new(0, -1);
    if let (Some((id, epoch)), Some(sequence)) = (id, batch.sequence) {
        builder = builder.producer(id, epoch, sequence);
    }
    let mut buffer = Vec::new();
    for (index, (record, sent)) in batch.records.iter().enumerate() {
        buffer.clear();
        let pairs: Vec<(&[u8], Option<&[u8]>)> =
            record.headers.iter().map(|(key, value)| (key.as_bytes(), value.as_deref())).collect();
        let headers = HeadersRef::write(&pairs, &mut buffer);
        let time_ms = record.timestamp_ms.unwrap_or(now_ms - sent.elapsed().as_millis() as i64);
        let delta = i32::try_from(index).unwrap_or(i32::MAX);
        builder.append_at(delta, time_ms, record.key.as_deref(), record.value.as_deref(), headers);
    }
    match codec {
        Compression::None => Ok(builder.build()),
        codec => builder
            .build_compressed(codec)
            .map_err(|error| Exception::new("org.apache.kafka.common.KafkaException", error.to_string())),
    }
}

/// The hash by which Kafka's clients choose a partition (`Utils.murmur2`).
fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    let mut hash = SEED ^ data.len() as u32;
    let mut chunks = data.chunks_exact(4);
    for chunk in &mut chunks {
        let mut k = u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let rest = chunks.remainder();
    if !rest.is_empty() {
        let tail = rest.iter().rev().fold(0_u32, |tail, byte| tail << 8 | u32::from(*byte));
        hash = (hash ^ tail).wrapping_mul(M);
    }
    hash = (hash ^ hash >> 13).wrapping_mul(M);
    hash ^ hash >> 15
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `ProducerConfig.postProcessAndValidateIdempotenceConfigs`
    #[test]
    fn idempotence_that_is_asked_for_needs_every_replica_s_word() {
        for (asked, acks, expected) in [
            (None, "1", Ok(false)),
            (None, "all", Ok(true)),
            (Some("false"), "1", Ok(false)),
            (Some("true"), "-1", Ok(true)),
            (Some("true"), "1", Err("Must set acks to all in order")),
        ] {
            let mut properties = Properties::new();
            properties.insert("acks".into(), acks.into());
            properties.extend(asked.map(|value| ("enable.idempotence".into(), value.into())));
            match (settings(&properties), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found.idempotent, expected, "{asked:?} {acks}"),
                (Err(error), Err(expected)) => assert!(error.message.starts_with(expected), "{error:?}"),
                (found, _) => panic!("{asked:?} {acks}: {}", found.is_ok()),
            }
        }
    }

    /// Values of Kafka's own `UtilsTest.testMurmur2`.
    #[test]
    fn keys_go_where_kafkas_clients_put_them() {
        for (key, due) in [
            ("21", -973_932_308_i32),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()) as i32, due, "{key}");
        }
    }
}
