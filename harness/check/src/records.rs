//! Records through librdkafka: written, read back and compared, for each codec and both kinds of producer.
//! It knows a bootstrap address and nothing else of the cluster.

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders, OwnedMessage, Timestamp};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// How long any one step may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// Value sizes in bytes: empty, tiny, ordinary, several pages, and near the default `max.message.bytes`.
const VALUE_SIZES: [usize; 6] = [0, 1, 100, 1_024, 100_000, 900_000];

/// A compression codec by librdkafka's name and by the number in a batch's attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// Stored as sent.
    None,
    /// RFC 1952.
    Gzip,
    /// Snappy in xerial's framing.
    Snappy,
    /// LZ4 frames.
    Lz4,
    /// Zstandard (KIP-110).
    Zstd,
}

impl Codec {
    /// Every codec, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The low three bits of a batch's attributes.
    pub fn number(self) -> i16 {
        self as i16
    }

    /// The value of `compression.type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// One round: which topic, how it is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Round {
    /// `bootstrap.servers`.
    pub bootstrap: String,
    /// An existing topic; its partition 0 is used.
    pub topic: String,
    /// Codec of the producer.
    pub codec: Codec,
    /// `enable.idempotence`.
    pub idempotent: bool,
}

/// What a record is compared by.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Content {
    key: Option<Vec<u8>>,
    value: Vec<u8>,
    headers: Vec<(String, Option<Vec<u8>>)>,
    timestamp_ms: i64,
}

/// Writes a set of records and reads them back; the error says what differed.
/// Returns the offset of the first record written.
pub async fn round_trip(round: &Round) -> Result<i64, String> {
    let written = contents(round);
    let first = write(round, &written).await?;
    let blocking = round.clone();
    let expected = written.len();
    let found = tokio::task::spawn_blocking(move || read(&blocking, first, expected))
        .await
        .map_err(|error| format!("the reader ended early: {error}"))??;
    match written.iter().zip(&found).position(|(written, found)| written != found) {
        None => Ok(first),
        Some(index) => Err(format!(
            "record {index} (offset {}) came back different: wrote {}, read {}",
            first + index as i64,
            describe(&written[index]),
            describe(&found[index])
        )),
    }
}

fn describe(content: &Content) -> String {
    format!(
        "key {:?}, {} value bytes, {} headers, timestamp {}",
        content.key.as_ref().map(|key| String::from_utf8_lossy(key).into_owned()),
        content.value.len(),
        content.headers.len(),
        content.timestamp_ms
    )
}

/// Text that every codec can shrink, so that librdkafka does not fall back to storing it plain.
fn contents(round: &Round) -> Vec<Content> {
    let base_ms = 1_700_000_000_000;
    let line = format!("{} {} the quick brown jackdaw ", round.codec.name(), round.idempotent);
    VALUE_SIZES
        .iter()
        .enumerate()
        .map(|(index, size)| Content {
            key: (index % 2 == 0).then(|| format!("key-{index}").into_bytes()),
            value: line.bytes().cycle().take(*size).collect(),
            headers: (0..index)
                .map(|header| (format!("h{header}"), (header != 1).then(|| vec![header as u8; header])))
                .collect(),
            timestamp_ms: base_ms + index as i64,
        })
        .collect()
}

async fn write(round: &Round, contents: &[Content]) -> Result<i64, String> {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", &round.bootstrap)
        .set("compression.type", round.codec.name())
        .set("enable.idempotence", round.idempotent.to_string())
        .set("acks", "all")
        .set("linger.ms", "20")
        .set("message.timeout.ms", DEADLINE.as_millis().to_string())
        .create()
        .map_err(|error| error.to_string())?;
    let mut sent = Vec::new();
    for content in contents {
        let mut headers = OwnedHeaders::new();
        for (key, value) in &content.headers {
            headers = headers.insert(Header { key, value: value.as_ref() });
        }
        let mut record = FutureRecord::<[u8], [u8]>::to(&round.topic)
            .partition(0)
            .payload(&content.value)
            .timestamp(content.timestamp_ms)
            .headers(headers);
        if let Some(key) = &content.key {
            record = record.key(key);
        }
        sent.push(producer.send_result(record).map_err(|(error, _)| error.to_string())?);
    }
    let mut first = None;
    for delivery in sent {
        match delivery.await {
            Ok(Ok(delivered)) => first = first.or(Some(delivered.offset)),
            Ok(Err((error, _))) => return Err(format!("not acknowledged: {error}")),
            Err(_) => return Err("not acknowledged: the producer ended".to_owned()),
        }
    }
    first.ok_or_else(|| "nothing was written".to_owned())
}

fn read(round: &Round, first: i64, count: usize) -> Result<Vec<Content>, String> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &round.bootstrap)
        .set("group.id", "jackdaw-check")
        .set("enable.auto.commit", "false")
        .set("check.crcs", "true")
        .create()
        .map_err(|error| error.to_string())?;
    let mut assignment = TopicPartitionList::new();
    assignment
        .add_partition_offset(&round.topic, 0, Offset::Offset(first))
        .and_then(|()| consumer.assign(&assignment))
        .map_err(|error| error.to_string())?;
    let (mut found, start) = (Vec::new(), Instant::now());
    while found.len() < count {
        if start.elapsed() > DEADLINE {
            return Err(format!(
                "read {} of {count} records from offset {first} in {DEADLINE:?}",
                found.len()
            ));
        }
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) if message.offset() != first + found.len() as i64 => {
                return Err(format!(
                    "offset {} where {} was due",
                    message.offset(),
                    first + found.len() as i64
                ));
            }
            Some(Ok(message)) => found.push(content_of(&message)),
            // Transport errors mend themselves; the deadline bounds them.
            Some(Err(KafkaError::MessageConsumption(code))) if is_fatal(code) => return Err(code.to_string()),
            Some(Err(_)) | None => {}
        }
    }
    Ok(found)
}

fn is_fatal(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::OffsetOutOfRange | RDKafkaErrorCode::InvalidMessage | RDKafkaErrorCode::BadMessage
    )
}

fn content_of(message: &BorrowedMessage<'_>) -> Content {
    let headers = message.headers().map(|headers| {
        headers.iter().map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect()
    });
    Content {
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().unwrap_or_default().to_vec(),
        headers: headers.unwrap_or_default(),
        timestamp_ms: match message.timestamp() {
            Timestamp::CreateTime(at_ms) => at_ms,
            Timestamp::LogAppendTime(_) | Timestamp::NotAvailable => -1,
        },
    }
}

fn admin(bootstrap: &str) -> Result<AdminClient<DefaultClientContext>, String> {
    ClientConfig::new().set("bootstrap.servers", bootstrap).create().map_err(|error| error.to_string())
}

/// Creates a topic with these settings; an error names Kafka's code.
pub async fn create_topic(
    bootstrap: &str,
    name: &str,
    partitions: i32,
    replication_factor: i32,
    settings: &[(&str, &str)],
) -> Result<(), String> {
    let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(replication_factor));
    for (key, value) in settings {
        topic = topic.set(key, value);
    }
    let options = AdminOptions::new().request_timeout(Some(DEADLINE)).operation_timeout(Some(DEADLINE));
    let results =
        admin(bootstrap)?.create_topics([&topic], &options).await.map_err(|error| error.to_string())?;
    results.into_iter().try_for_each(|result| result.map(drop).map_err(|(_, code)| code.to_string()))
}

/// Deletes a topic that a check made.
pub async fn delete_topic(bootstrap: &str, name: &str) -> Result<(), String> {
    let options = AdminOptions::new().request_timeout(Some(DEADLINE));
    let results =
        admin(bootstrap)?.delete_topics(&[name], &options).await.map_err(|error| error.to_string())?;
    results.into_iter().try_for_each(|result| result.map(drop).map_err(|(_, code)| code.to_string()))
}

/// Sends one record with acks=all and no retry, and gives back librdkafka's error code.
pub async fn send_once(bootstrap: &str, topic: &str) -> Result<(), RDKafkaErrorCode> {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("acks", "all")
        .set("retries", "0")
        .set("message.timeout.ms", "10000")
        .create()
        .map_err(|_| RDKafkaErrorCode::Fail)?;
    let record = FutureRecord::<[u8], [u8]>::to(topic).payload(b"one");
    let delivery: Result<_, (KafkaError, OwnedMessage)> = producer.send(record, DEADLINE).await;
    match delivery {
        Ok(_) => Ok(()),
        Err((error, _)) => Err(error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail)),
    }
}
