//! A consumer: positions, one fetch at a time from each leader, records as they were written (`KafkaConsumer`).
//!
//! With a group it is a member of it ([`super::group`]); without, it takes every partition of its topics.

use super::group::{Group, Step};
use crate::admin::{Admin, Kind, Link, MOVED, Result, To, topic_name};
use crate::errors::{Exception, check};
use crate::print;
use crate::properties::Properties;
use jackdaw_wire::ErrorCode;
use jackdaw_wire::Uuid;
use jackdaw_wire::batch::{self, BatchRef, TimestampType};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::{AbortedTransaction, PartitionData};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    BrokerId, FetchRequest, FetchResponse, ListOffsetsRequest, MetadataRequest, TopicName,
};
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const CONSUMER: Kind = Kind { class: "", log: "Consumer", id: "consumer-1" };
/// Errors of a leader that is behind the client: it is asked again.
const LEADER_IS_BEHIND: [ErrorCode; 2] = [ErrorCode::UnknownLeaderEpoch, ErrorCode::OffsetNotAvailable];
/// `metadata.max.age.ms`
const METADATA_MAX_AGE: Duration = Duration::from_secs(300);
/// How often topics that are not there yet are looked for.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// What a batch may unpack to.
const UNPACKED_LIMIT_BYTES: usize = 1 << 30;
/// Times that ask for an end of the log (`ListOffsetsRequest`).
pub const LATEST: i64 = -1;
/// See [`LATEST`].
pub const EARLIEST: i64 = -2;

/// A topic and one of its partitions.
pub type Place = (String, i32);

/// What is consumed.
#[derive(Debug, Clone)]
pub enum Source {
    /// A topic.
    Topic(String),
    /// The topics whose whole names match.
    Pattern(Regex),
    /// One partition, from an offset, or from [`LATEST`] or [`EARLIEST`].
    Partition(Place, i64),
}

/// The key and the value of a header.
pub type Header = (String, Option<Vec<u8>>);

/// A record that was read.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Time, -1 for none.
    pub timestamp_ms: i64,
    /// Whose time it is.
    pub log_append_time: bool,
    /// Key.
    pub key: Option<Vec<u8>>,
    /// Value.
    pub value: Option<Vec<u8>>,
    /// Headers.
    pub headers: Vec<Header>,
}

/// What a group does to a member.
#[derive(Debug, Clone)]
pub enum Event {
    /// It takes partitions.
    Revoked(Vec<Place>),
    /// It gives partitions.
    Assigned(Vec<Place>),
}

struct Position {
    offset: i64,
    leader: i32,
    topic_id: Uuid,
}

/// A partition, its leader, and its topic's id.
type Led = (i32, i32, Uuid);
type Landed = (i32, Vec<Place>, std::result::Result<(Link, FetchResponse), Exception>);

/// See the head of this file.
pub struct Consumer {
    admin: Admin,
    client_id: String,
    source: Source,
    group: Option<Group>,
    committed: bool,
    reset: String,
    read_committed: bool,
    max_wait_ms: i32,
    min_bytes: i32,
    fetch_bytes: i32,
    partition_bytes: i32,
    positions: BTreeMap<Place, Position>,
    flights: JoinSet<Landed>,
    flying: BTreeSet<i32>,
    looked: Option<Instant>,
    warned: BTreeSet<String>,
    ready: VecDeque<Fetched>,
    events: Vec<Event>,
}

impl Consumer {
    /// Takes a consumer's properties; with a `group.id` of the user's it joins that group.
    ///
    /// # Errors
    /// When the properties do not fit.
    pub fn create(properties: &Properties, source: Source, group: Option<&str>) -> Result<Self> {
        let number = |key: &str, default: i32| match properties.get(key) {
            None => Ok(default),
            Some(text) => text.trim().parse().map_err(|_| {
                let message =
                    format!("Invalid value {text} for configuration {key}: Not a number of type INT");
                Exception::new("org.apache.kafka.common.config.ConfigException", message)
            }),
        };
        let wrap = |cause: Exception| {
            let message = "Failed to construct kafka consumer";
            Exception::new("org.apache.kafka.common.KafkaException", message).because(cause)
        };
        let isolation = properties.get("isolation.level").map_or("read_uncommitted", String::as_str);
        let reset = properties.get("auto.offset.reset").map_or("latest", String::as_str);
        for (key, value, known) in [
            ("isolation.level", isolation, &["read_committed", "read_uncommitted"][..]),
            ("auto.offset.reset", reset, &["latest", "earliest", "none"][..]),
        ] {
            if !known.contains(&value) {
                let message = format!(
                    "Invalid value {value} for configuration {key}: String must be one of: {}",
                    known.join(", ")
                );
                return Err(Exception::new("org.apache.kafka.common.config.ConfigException", message));
            }
        }
        Ok(Consumer {
            admin: Admin::create(CONSUMER, properties).map_err(wrap)?,
            client_id: properties.get("client.id").map_or(CONSUMER.id, String::as_str).to_owned(),
            source,
            group: group.map(|group| Group::new(group, properties)),
            committed: properties.get("enable.auto.commit").is_none_or(|value| value.trim() == "true"),
            reset: reset.to_owned(),
            read_committed: isolation == "read_committed",
            max_wait_ms: number("fetch.max.wait.ms", 500)?,
            min_bytes: number("fetch.min.bytes", 1)?,
            fetch_bytes: number("fetch.max.bytes", 52_428_800)?,
            partition_bytes: number("max.partition.fetch.bytes", 1_048_576)?,
            positions: BTreeMap::new(),
            flights: JoinSet::new(),
            flying: BTreeSet::new(),
            looked: None,
            warned: BTreeSet::new(),
            ready: VecDeque::new(),
            events: Vec::new(),
        })
    }

    /// The next record, if one comes within that time.
    ///
    /// # Errors
    /// When a partition cannot be read.
    pub fn next(&mut self, wait: Duration) -> Result<Option<Fetched>> {
        let deadline = Instant::now() + wait;
        loop {
            if let Some(record) = self.ready.pop_front() {
                return Ok(Some(record));
            }
            self.keep_up()?;
            self.dispatch()?;
            let left = deadline.saturating_duration_since(Instant::now());
            let due = self.group.as_ref().map_or(left, |group| group.next_due().min(left));
            print::flush();
            if self.flights.is_empty() {
                std::thread::sleep(due.min(LOOK_AGAIN));
            } else {
                let flights = &mut self.flights;
                let landed = self
                    .admin
                    .runtime()
                    .block_on(async { tokio::time::timeout(due, flights.join_next()).await });
                let mut landed = landed.ok().flatten();
                while let Some(answer) = landed.take() {
                    if let Ok(answer) = answer {
                        self.land(answer)?;
                    }
                    landed = self.flights.try_join_next();
                }
            }
            if self.ready.is_empty() && Instant::now() >= deadline {
                return Ok(None);
            }
        }
    }

    /// What comes within that time, all of it at once.
    ///
    /// # Errors
    /// When a partition cannot be read.
    pub fn batch(&mut self, wait: Duration) -> Result<Vec<Fetched>> {
        let first = self.next(wait)?;
        Ok(first.into_iter().chain(self.ready.drain(..)).collect())
    }

    /// What the group gave and took since this was last asked.
    pub fn events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Commits the given offsets.
    ///
    /// # Errors
    /// When the group's coordinator refuses.
    pub fn commit(&mut self, offsets: &[(Place, i64)]) -> Result<()> {
        match &mut self.group {
            Some(group) => group.commit(&mut self.admin, offsets),
            None => Ok(()),
        }
    }

    /// Whether all that was read is handed out.
    pub fn is_drained(&self) -> bool {
        self.ready.is_empty()
    }

    /// Which partitions are read, from where on.
    pub fn positions(&self) -> Vec<(Place, i64)> {
        self.positions.iter().map(|(place, position)| (place.clone(), position.offset)).collect()
    }

    /// Commits what was handed out and leaves the group.
    ///
    /// # Errors
    /// When the group's coordinator refuses.
    pub fn close(&mut self) -> Result<()> {
        self.rewind();
        let Some(group) = &mut self.group else { return Ok(()) };
        if self.committed {
            let offsets = self.positions.iter().map(|(place, position)| (place.clone(), position.offset));
            let offsets: Vec<(Place, i64)> = offsets.collect();
            group.commit(&mut self.admin, &offsets)?;
        }
        group.leave(&mut self.admin)
    }

    /// Puts positions back to the first record that was read and not handed out.
    fn rewind(&mut self) {
        let unread = std::mem::take(&mut self.ready);
        for record in unread.into_iter().rev() {
            if let Some(position) = self.positions.get_mut(&(record.topic, record.partition)) {
                position.offset = record.offset;
            }
        }
    }

    /// The place in the group, and who leads what, as of now.
    fn keep_up(&mut self) -> Result<()> {
        let fresh = self.looked.is_some_and(|looked| looked.elapsed() < METADATA_MAX_AGE);
        let lost = self.positions.values().any(|position| position.leader < 0);
        let empty = self.positions.is_empty() && self.group.as_ref().is_none_or(|group| !group.is_member());
        if !fresh || ((lost || empty) && self.looked.is_none_or(|looked| looked.elapsed() >= LOOK_AGAIN)) {
            self.look()?;
        }
        let Some(group) = &mut self.group else { return Ok(()) };
        if self.committed && group.commit_due() {
            let first_unread = |place: &Place| {
                let unread =
                    self.ready.iter().find(|record| record.topic == place.0 && record.partition == place.1);
                unread.map(|record| record.offset)
            };
            let offsets: Vec<(Place, i64)> = self
                .positions
                .iter()
                .map(|(place, position)| (place.clone(), first_unread(place).unwrap_or(position.offset)))
                .collect();
            group.commit(&mut self.admin, &offsets)?;
        }
        match group.step(&mut self.admin)? {
            Step::Stay => Ok(()),
            Step::Rejoin => self.rejoin(),
        }
    }

    fn rejoin(&mut self) -> Result<()> {
        self.rewind();
        let offsets: Vec<(Place, i64)> = self.positions();
        let topics = self.topics()?;
        let names: Vec<String> = topics.keys().cloned().collect();
        let counts = topics.into_iter().map(|(topic, partitions)| (topic, partitions.len() as i32)).collect();
        let Some(group) = &mut self.group else { return Ok(()) };
        if self.committed && group.is_member() && !offsets.is_empty() {
            // A refusal is no news: the group has moved on.
            let _ = group.commit(&mut self.admin, &offsets);
        }
        let assigned = group.join(&mut self.admin, &names, &counts)?;
        let committed = group.committed(&mut self.admin, &assigned)?;
        if !offsets.is_empty() {
            self.events.push(Event::Revoked(offsets.into_iter().map(|(place, _)| place).collect()));
        }
        self.events.push(Event::Assigned(assigned.clone()));
        self.positions.clear();
        for place in assigned {
            let start = committed.get(&place).copied().filter(|offset| *offset >= 0);
            let offset = match start {
                Some(offset) => offset,
                None => self.reset_offset(&place)?,
            };
            self.positions.insert(place, Position { offset, leader: -1, topic_id: Uuid::nil() });
        }
        self.look()
    }

    /// The topics that are meant, with their partitions and leaders; those that are missing are created where
    /// brokers do that.
    fn topics(&mut self) -> Result<BTreeMap<String, Vec<Led>>> {
        let named = match &self.source {
            Source::Topic(topic) | Source::Partition((topic, _), _) => Some(topic.clone()),
            Source::Pattern(_) => None,
        };
        let topic = |topic: &String| MetadataRequestTopic::default().with_name(Some(topic_name(topic)));
        let request = MetadataRequest::default()
            .with_topics(named.as_ref().map(|name| vec![topic(name)]))
            .with_allow_auto_topic_creation(true);
        let answer = self.admin.ask(To::Any, "metadata", &request)?;
        self.admin.learned(&answer, |_| ());
        let mut topics = BTreeMap::new();
        for topic in answer.topics {
            let name = topic.name.as_ref().map(|name| name.to_string()).unwrap_or_default();
            let meant = match &self.source {
                Source::Pattern(pattern) => pattern.is_match(&name) && !topic.is_internal,
                _ => true,
            };
            match ErrorCode::try_from_code(topic.error_code) {
                None if meant => {
                    let partition =
                        |one: &kafka_protocol::messages::metadata_response::MetadataResponsePartition| {
                            (one.partition_index, one.leader_id.0, topic.topic_id)
                        };
                    topics.insert(name, topic.partitions.iter().map(partition).collect());
                }
                Some(ErrorCode::InvalidTopicException) => {
                    let said = format!(
                        "[Consumer clientId={}] Metadata response reported invalid topics [{name}]",
                        self.client_id
                    );
                    print::log("ERROR", "org.apache.kafka.clients.Metadata", &said);
                    return Err(Exception::kafka(
                        "InvalidTopicException",
                        format!("Invalid topics: [{name}]"),
                    ));
                }
                Some(error) if meant && self.warned.insert(name.clone()) => {
                    let said = format!(
                        "[Consumer clientId={}] Error while fetching metadata with correlation id 2 : {{{name}={}}}",
                        self.client_id,
                        error.name()
                    );
                    print::log("WARN", "org.apache.kafka.clients.NetworkClient", &said);
                }
                _ => {}
            }
        }
        Ok(topics)
    }

    /// Looks who leads what; without a group, takes new partitions as well.
    fn look(&mut self) -> Result<()> {
        let topics = self.topics()?;
        self.looked = Some(Instant::now());
        for (topic, partitions) in topics {
            for (index, leader, topic_id) in partitions {
                let place = (topic.clone(), index);
                let meant = match &self.source {
                    Source::Partition(only, _) => place == *only,
                    _ => self.group.is_none(),
                };
                if !self.positions.contains_key(&place) && meant {
                    let offset = match &self.source {
                        Source::Partition(_, offset) if *offset >= 0 => *offset,
                        Source::Partition(_, end) => {
                            list_offset(&mut self.admin, &place, *end, self.read_committed)?
                        }
                        _ => self.reset_offset(&place)?,
                    };
                    self.positions.insert(place.clone(), Position { offset, leader, topic_id });
                }
                if let Some(position) = self.positions.get_mut(&place) {
                    (position.leader, position.topic_id) = (leader, topic_id);
                }
            }
        }
        Ok(())
    }

    fn reset_offset(&mut self, place: &Place) -> Result<i64> {
        let end = match self.reset.as_str() {
            "earliest" => EARLIEST,
            "latest" => LATEST,
            _ => {
                let message = format!(
                    "Undefined offset with no reset policy for partitions: [{}-{}]",
                    place.0, place.1
                );
                return Err(Exception::new(
                    "org.apache.kafka.clients.consumer.NoOffsetForPartitionException",
                    message,
                ));
            }
        };
        list_offset(&mut self.admin, place, end, self.read_committed)
    }

    /// Sends a fetch to each leader that has none to answer.
    fn dispatch(&mut self) -> Result<()> {
        let mut loads: BTreeMap<i32, Vec<Place>> = BTreeMap::new();
        for (place, position) in &self.positions {
            if position.leader >= 0 && !self.flying.contains(&position.leader) {
                loads.entry(position.leader).or_default().push(place.clone());
            }
        }
        for (leader, places) in loads {
            let Ok(link) = self.admin.lend(leader) else {
                self.lost(&places);
                continue;
            };
            let version = link.version::<FetchRequest>()?;
            let request = self.fetch(&places, version);
            let limit = Duration::from_millis(self.max_wait_ms.max(0) as u64) + Duration::from_secs(30);
            self.flying.insert(leader);
            self.flights
                .spawn_on(fly(leader, link, version, request, places, limit), self.admin.runtime().handle());
        }
        Ok(())
    }

    fn fetch(&self, places: &[Place], version: i16) -> FetchRequest {
        let mut topics: BTreeMap<&str, (Uuid, Vec<FetchPartition>)> = BTreeMap::new();
        for place in places {
            let Some(position) = self.positions.get(place) else { continue };
            let partition = FetchPartition::default()
                .with_partition(place.1)
                .with_current_leader_epoch(-1)
                .with_fetch_offset(position.offset)
                .with_partition_max_bytes(self.partition_bytes);
            let entry = topics.entry(place.0.as_str()).or_insert_with(|| (position.topic_id, Vec::new()));
            entry.1.push(partition);
        }
        let topic = |(name, (id, partitions)): (&str, (Uuid, Vec<FetchPartition>))| {
            let topic = FetchTopic::default().with_partitions(partitions);
            if version >= 13 { topic.with_topic_id(id) } else { topic.with_topic(topic_name(name)) }
        };
        FetchRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_max_wait_ms(self.max_wait_ms)
            .with_min_bytes(self.min_bytes)
            .with_max_bytes(self.fetch_bytes)
            .with_isolation_level(i8::from(self.read_committed))
            .with_session_epoch(-1)
            .with_topics(topics.into_iter().map(topic).collect())
    }

    /// Has the leaders looked up again.
    fn lost(&mut self, places: &[Place]) {
        for place in places {
            if let Some(position) = self.positions.get_mut(place) {
                position.leader = -1;
            }
        }
    }

    fn land(&mut self, (leader, places, answer): Landed) -> Result<()> {
        self.flying.remove(&leader);
        let answer = match answer {
            Ok((link, answer)) => {
                self.admin.give_back(leader, link);
                answer
            }
            Err(_) => {
                self.lost(&places);
                return Ok(());
            }
        };
        if answer.error_code != 0 {
            self.lost(&places);
            return Ok(());
        }
        for topic in answer.responses {
            for partition in topic.partitions {
                let id = topic.topic_id;
                let place = places.iter().find(|place| {
                    let named = match id.is_nil() {
                        true => topic.topic == topic_name(&place.0),
                        false => self.positions.get(*place).is_some_and(|position| position.topic_id == id),
                    };
                    named && place.1 == partition.partition_index
                });
                if let Some(place) = place.cloned() {
                    self.take(&place, &partition)?;
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, place: &Place, data: &PartitionData) -> Result<()> {
        let Some(start) = self.positions.get(place).map(|position| position.offset) else { return Ok(()) };
        match ErrorCode::try_from_code(data.error_code) {
            None => {}
            Some(ErrorCode::OffsetOutOfRange) => {
                let offset = self.reset_offset(place)?;
                if let Some(position) = self.positions.get_mut(place) {
                    position.offset = offset;
                }
                return Ok(());
            }
            // Whoever leads now, or a log that is moved, loaded or fenced: it is looked up again.
            Some(error) if error.refreshes_metadata() || LEADER_IS_BEHIND.contains(&error) => {
                self.lost(std::slice::from_ref(place));
                return Ok(());
            }
            Some(error) => return Err(error.into()),
        }
        let aborted = data.aborted_transactions.clone().unwrap_or_default();
        let (records, next) = read(place, start, data.records.as_ref(), self.read_committed, aborted)?;
        if let Some(position) = self.positions.get_mut(place) {
            position.offset = next;
        }
        self.ready.extend(records);
        Ok(())
    }
}

async fn fly(
    leader: i32,
    mut link: Link,
    version: i16,
    request: FetchRequest,
    places: Vec<Place>,
    limit: Duration,
) -> Landed {
    match tokio::time::timeout(limit, link.connection.exchange(version, &request)).await {
        Ok(Ok(answer)) => (leader, places, Ok((link, answer))),
        _ => (leader, places, Err(Exception::from(ErrorCode::NetworkException))),
    }
}

/// The records from an offset on, and the offset after what was read. Markers are passed over, and so is what was
/// aborted where only committed records are wanted.
fn read(
    place: &Place,
    start: i64,
    bytes: Option<&bytes::Bytes>,
    read_committed: bool,
    mut aborted: Vec<AbortedTransaction>,
) -> Result<(Vec<Fetched>, i64)> {
    let corrupt = |what: String| Exception::new("org.apache.kafka.common.KafkaException", what);
    let (mut records, mut next) = (Vec::new(), start);
    let Some(bytes) = bytes else { return Ok((records, next)) };
    aborted.sort_by_key(|transaction| transaction.first_offset);
    let mut aborting: BTreeSet<i64> = BTreeSet::new();
    let mut scratch = Vec::new();
    for found in batch::complete_batches(bytes) {
        let found: BatchRef = found.map_err(|error| corrupt(error.to_string()))?;
        let header = found.header;
        aborted.retain(|transaction| {
            let begun = transaction.first_offset <= header.last_offset();
            if begun {
                aborting.insert(transaction.producer_id.0);
            }
            !begun
        });
        next = next.max(header.next_offset());
        if header.is_control() {
            let mut unpacked = Vec::new();
            let marker =
                found.records(UNPACKED_LIMIT_BYTES, &mut unpacked).ok().and_then(|mut all| all.next());
            // A marker's key is a version and a kind; 0 is an abort.
            let is_abort =
                marker.and_then(|marker| marker.ok()?.key).is_some_and(|key| key.get(2..4) == Some(&[0, 0]));
            if is_abort {
                aborting.remove(&header.producer_id);
            }
            continue;
        }
        if read_committed && header.is_transactional() && aborting.contains(&header.producer_id) {
            continue;
        }
        found.check_crc().map_err(|error| corrupt(error.to_string()))?;
        let log_append_time = header.timestamp_type() == TimestampType::LogAppendTime;
        for record in
            found.records(UNPACKED_LIMIT_BYTES, &mut scratch).map_err(|error| corrupt(error.to_string()))?
        {
            let record = record.map_err(|error| corrupt(error.to_string()))?;
            let offset = header.base_offset + i64::from(record.offset_delta);
            if offset < start {
                continue;
            }
            let header_pair = |(key, value): (&[u8], Option<&[u8]>)| {
                (String::from_utf8_lossy(key).into_owned(), value.map(<[u8]>::to_vec))
            };
            records.push(Fetched {
                topic: place.0.clone(),
                partition: place.1,
                offset,
                timestamp_ms: header.timestamp_of(record.timestamp_delta_ms),
                log_append_time,
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
                headers: record.headers.iter().map(header_pair).collect(),
            });
        }
    }
    Ok((records, next))
}

/// The offset for a time, from whoever leads the partition.
///
/// # Errors
/// When the partition is not there, or its leader refuses.
pub fn list_offset(admin: &mut Admin, place: &Place, time: i64, read_committed: bool) -> Result<i64> {
    let codes: Vec<i16> = MOVED
        .iter()
        .copied()
        .chain([ErrorCode::UnknownTopicOrPartition.code(), ErrorCode::FencedLeaderEpoch.code()])
        .chain(LEADER_IS_BEHIND.map(ErrorCode::code))
        .collect();
    admin.retrying(&codes, |admin| {
        let leader = leader_of(admin, place)?;
        let partition = ListOffsetsPartition::default()
            .with_partition_index(place.1)
            .with_current_leader_epoch(-1)
            .with_timestamp(time);
        let topic =
            ListOffsetsTopic::default().with_name(topic_name(&place.0)).with_partitions(vec![partition]);
        let request = ListOffsetsRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_isolation_level(i8::from(read_committed))
            .with_topics(vec![topic]);
        let answer = admin.ask(To::Node(leader), "listOffsets", &request)?;
        let told = answer.topics.into_iter().flat_map(|topic| topic.partitions).next();
        let told = told.ok_or_else(|| Exception::from(ErrorCode::UnknownServerError))?;
        check(told.error_code, None)?;
        Ok(told.offset)
    })
}

/// Who leads a partition.
///
/// # Errors
/// When nobody does, or the partition is not there.
pub fn leader_of(admin: &mut Admin, place: &Place) -> Result<i32> {
    let answer = admin.metadata("metadata", Some(std::slice::from_ref(&place.0)))?;
    let name: TopicName = topic_name(&place.0);
    let topic = answer.topics.into_iter().find(|topic| topic.name.as_ref() == Some(&name));
    let topic = topic.ok_or_else(|| Exception::from(ErrorCode::UnknownTopicOrPartition))?;
    check(topic.error_code, None)?;
    let partition = topic.partitions.into_iter().find(|partition| partition.partition_index == place.1);
    match partition.map(|partition| partition.leader_id.0) {
        Some(leader) if leader >= 0 => Ok(leader),
        Some(_) => Err(Exception::from(ErrorCode::LeaderNotAvailable)),
        None => Err(Exception::from(ErrorCode::UnknownTopicOrPartition)),
    }
}
