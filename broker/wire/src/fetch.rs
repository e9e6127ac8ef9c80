//! Fetch replies, written around the records instead of over them: the reply is a list of segments in which the
//! records are the log's own.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::protocol::StrBytes;

use crate::frame::{FrameError, LENGTH_BYTES};
use crate::segment::{self, Segment};
use crate::types::{OffsetAndEpoch, Uuid};
use crate::varint;

const FLEXIBLE_FROM: i16 = 12;
const TOPIC_IDS_FROM: i16 = 13;
const NODE_ENDPOINTS_FROM: i16 = 16;
const MAX_VERSION: i16 = 16;

/// The newest message format that a version of Fetch can carry. Below 2, records must go through
/// [`crate::down_convert`] first.
pub const fn magic_of_version(version: i16) -> i8 {
    match version {
        ..2 => 0,
        2..4 => 1,
        _ => 2,
    }
}

/// A Fetch reply. What a version has no field for is left out of it, as all of it is ignorable.
#[derive(Debug, Clone, Default)]
pub struct FetchReply {
    pub throttle_time_ms: i32,
    /// Of the whole request; 0 for none.
    pub error_code: i16,
    /// 0 outside of fetch sessions (KIP-227).
    pub session_id: i32,
    pub topics: Vec<FetchedTopic>,
    /// Where the leaders are that partitions with NOT_LEADER_OR_FOLLOWER or FENCED_LEADER_EPOCH name (KIP-951).
    pub node_endpoints: Vec<NodeEndpoint>,
}

/// A topic in a reply: up to version 12 its name is sent, from 13 on its id.
#[derive(Debug, Clone, Default)]
pub struct FetchedTopic {
    pub name: StrBytes,
    pub topic_id: Uuid,
    pub partitions: Vec<FetchedPartition>,
}

/// A partition in a reply.
#[derive(Debug, Clone)]
pub struct FetchedPartition {
    pub partition: i32,
    /// 0 for none.
    pub error_code: i16,
    pub high_watermark: i64,
    pub last_stable_offset: i64,
    pub log_start_offset: i64,
    /// The largest epoch known to both sides, and its end: the fetcher must truncate (KIP-595).
    pub diverging_epoch: Option<OffsetAndEpoch>,
    pub current_leader: Option<LeaderAndEpoch>,
    /// The snapshot to fetch instead (KIP-630).
    pub snapshot_id: Option<OffsetAndEpoch>,
    /// None where the fetcher reads uncommitted.
    pub aborted_transactions: Option<Vec<AbortedTransaction>>,
    /// -1 for none.
    pub preferred_read_replica: i32,
    /// Consecutive pieces of the log. Where there is nothing to read this is empty: on null librdkafka breaks.
    pub records: Option<Vec<Segment>>,
}

impl FetchedPartition {
    /// A partition without records, its offsets unknown: what goes with an error.
    pub fn empty(partition: i32, error_code: i16) -> Self {
        Self {
            partition,
            error_code,
            high_watermark: -1,
            last_stable_offset: -1,
            log_start_offset: -1,
            diverging_epoch: None,
            current_leader: None,
            snapshot_id: None,
            // Kafka leaves the field at its default, which is empty and not null.
            aborted_transactions: Some(Vec::new()),
            preferred_read_replica: -1,
            records: Some(Vec::new()),
        }
    }

    /// As [`FetchedPartition::empty`], where there may be records that a client of this version cannot be given: Kafka
    /// then says null.
    pub fn withheld(partition: i32, error_code: i16) -> Self {
        Self { records: None, ..Self::empty(partition, error_code) }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaderAndEpoch {
    /// -1 if there is none.
    pub leader_id: i32,
    pub leader_epoch: i32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbortedTransaction {
    pub producer_id: i64,
    pub first_offset: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeEndpoint {
    pub node_id: i32,
    pub host: StrBytes,
    pub port: i32,
    pub rack: Option<StrBytes>,
}

/// A whole frame as segments: length, response header, response. The length in front counts the files' bytes too.
///
/// # Errors
/// `Unwritable` for a version that does not exist, and for more bytes than a frame can hold.
pub fn encode_fetch_response(
    version: i16,
    correlation_id: i32,
    reply: FetchReply,
) -> Result<Vec<Segment>, FrameError> {
    let unwritable = |reason: String| FrameError::Unwritable { api: "Fetch", version, reason };
    if !(0..=MAX_VERSION).contains(&version) {
        return Err(unwritable("there is no such version".into()));
    }
    let mut writer = Writer { version, out: BytesMut::with_capacity(256), cuts: Vec::new() };
    writer.out.put_i32(0);
    writer.out.put_i32(correlation_id);
    writer.tagged_fields(&[]);
    writer.reply(reply).map_err(unwritable)?;
    let Writer { mut out, cuts, .. } = writer;
    let records_bytes: usize = cuts.iter().map(|(_, records)| segment::total_bytes(records)).sum();
    let bytes = out.len() - LENGTH_BYTES + records_bytes;
    let length = i32::try_from(bytes).map_err(|_| unwritable(format!("{bytes} bytes do not fit a frame")))?;
    out[..LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
    Ok(interleave(out.freeze(), cuts))
}

/// What was written, with the records put in where they belong.
fn interleave(written: Bytes, cuts: Vec<(usize, Vec<Segment>)>) -> Vec<Segment> {
    let mut segments = Vec::with_capacity(2 * cuts.len() + 1);
    let mut from = 0;
    for (at, records) in cuts {
        segments.push(written.slice(from..at).into());
        segments.extend(records);
        from = at;
    }
    if from < written.len() {
        segments.push(written.slice(from..).into());
    }
    segments
}

struct Writer {
    version: i16,
    out: BytesMut,
    /// Records, and how many written bytes come before them.
    cuts: Vec<(usize, Vec<Segment>)>,
}

impl Writer {
    fn is_flexible(&self) -> bool {
        self.version >= FLEXIBLE_FROM
    }

    fn length(&mut self, length: usize) -> Result<(), String> {
        let length = i32::try_from(length).map_err(|_| format!("a length of {length} is too large"))?;
        if self.is_flexible() {
            varint::put_u32(&mut self.out, length as u32 + 1);
        } else {
            self.out.put_i32(length);
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), String> {
        if self.is_flexible() {
            self.length(text.len())?;
        } else {
            self.out
                .put_i16(i16::try_from(text.len()).map_err(|_| format!("a name of {} bytes", text.len()))?);
        }
        self.out.put_slice(text.as_bytes());
        Ok(())
    }

    /// The tagged section of a flexible version: fields with rising tags, already written out.
    fn tagged_fields(&mut self, fields: &[(u32, &[u8])]) {
        if self.is_flexible() {
            varint::put_u32(&mut self.out, fields.len() as u32);
            for (tag, field) in fields {
                varint::put_u32(&mut self.out, *tag);
                varint::put_u32(&mut self.out, field.len() as u32);
                self.out.put_slice(field);
            }
        }
    }

    fn reply(&mut self, reply: FetchReply) -> Result<(), String> {
        if self.version >= 1 {
            self.out.put_i32(reply.throttle_time_ms);
        }
        if self.version >= 7 {
            self.out.put_i16(reply.error_code);
            self.out.put_i32(reply.session_id);
        }
        self.length(reply.topics.len())?;
        for topic in reply.topics {
            self.topic(topic)?;
        }
        if self.version >= NODE_ENDPOINTS_FROM && !reply.node_endpoints.is_empty() {
            let endpoints = node_endpoints(self.version, &reply.node_endpoints)?;
            self.tagged_fields(&[(0, &endpoints)]);
        } else {
            self.tagged_fields(&[]);
        }
        Ok(())
    }

    fn topic(&mut self, topic: FetchedTopic) -> Result<(), String> {
        if self.version >= TOPIC_IDS_FROM {
            self.out.put_slice(topic.topic_id.as_bytes());
        } else {
            self.text(&topic.name)?;
        }
        self.length(topic.partitions.len())?;
        for partition in topic.partitions {
            self.partition(partition)?;
        }
        self.tagged_fields(&[]);
        Ok(())
    }

    fn partition(&mut self, partition: FetchedPartition) -> Result<(), String> {
        self.out.put_i32(partition.partition);
        self.out.put_i16(partition.error_code);
        self.out.put_i64(partition.high_watermark);
        if self.version >= 4 {
            self.out.put_i64(partition.last_stable_offset);
        }
        if self.version >= 5 {
            self.out.put_i64(partition.log_start_offset);
        }
        if self.version >= 4 {
            self.aborted_transactions(partition.aborted_transactions.as_deref())?;
        }
        if self.version >= 11 {
            self.out.put_i32(partition.preferred_read_replica);
        }
        self.records(partition.records)?;
        // Each of these is two numbers and an empty tagged section.
        let diverging = partition.diverging_epoch.map(|end| epoch_then_offset(end.epoch, end.offset));
        let leader = partition.current_leader.map(|leader| {
            let mut field = [0; 9];
            field[0..4].copy_from_slice(&leader.leader_id.to_be_bytes());
            field[4..8].copy_from_slice(&leader.leader_epoch.to_be_bytes());
            field
        });
        let snapshot = partition.snapshot_id.map(|id| {
            let mut field = [0; 13];
            field[0..8].copy_from_slice(&id.offset.to_be_bytes());
            field[8..12].copy_from_slice(&id.epoch.to_be_bytes());
            field
        });
        let fields = [
            (0, diverging.as_ref().map(|field| &field[..])),
            (1, leader.as_ref().map(|field| &field[..])),
            (2, snapshot.as_ref().map(|field| &field[..])),
        ];
        let mut present = [(0, &[][..]); 3];
        let mut count = 0;
        for (tag, field) in fields {
            if let Some(field) = field {
                present[count] = (tag, field);
                count += 1;
            }
        }
        self.tagged_fields(&present[..count]);
        Ok(())
    }

    fn records(&mut self, records: Option<Vec<Segment>>) -> Result<(), String> {
        let Some(records) = records else {
            self.null();
            return Ok(());
        };
        let records_bytes = segment::total_bytes(&records);
        self.length(records_bytes)?;
        if records_bytes > 0 {
            self.cuts.push((self.out.len(), records));
        }
        Ok(())
    }

    /// In place of a length.
    fn null(&mut self) {
        if self.is_flexible() {
            self.out.put_u8(0);
        } else {
            self.out.put_i32(-1);
        }
    }

    fn aborted_transactions(&mut self, aborted: Option<&[AbortedTransaction]>) -> Result<(), String> {
        let Some(aborted) = aborted else {
            self.null();
            return Ok(());
        };
        self.length(aborted.len())?;
        for transaction in aborted {
            self.out.put_i64(transaction.producer_id);
            self.out.put_i64(transaction.first_offset);
            self.tagged_fields(&[]);
        }
        Ok(())
    }
}

fn epoch_then_offset(epoch: i32, end_offset: i64) -> [u8; 13] {
    let mut field = [0; 13];
    field[0..4].copy_from_slice(&epoch.to_be_bytes());
    field[4..12].copy_from_slice(&end_offset.to_be_bytes());
    field
}

fn node_endpoints(version: i16, endpoints: &[NodeEndpoint]) -> Result<Bytes, String> {
    let mut writer = Writer { version, out: BytesMut::new(), cuts: Vec::new() };
    writer.length(endpoints.len())?;
    for endpoint in endpoints {
        writer.out.put_i32(endpoint.node_id);
        writer.text(&endpoint.host)?;
        writer.out.put_i32(endpoint.port);
        match &endpoint.rack {
            Some(rack) => writer.text(rack)?,
            None => writer.out.put_u8(0),
        }
        writer.tagged_fields(&[]);
    }
    Ok(writer.out.freeze())
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::fetch_response as message;
    use kafka_protocol::messages::{ApiKey, BrokerId, FetchResponse, ProducerId, TopicName};

    use super::*;
    use crate::{api, frame};

    fn flatten(segments: &[Segment]) -> Bytes {
        let mut out = BytesMut::new();
        for segment in segments {
            let Segment::Bytes(bytes) = segment else { panic!("a file where bytes are expected") };
            out.extend_from_slice(bytes);
        }
        out.freeze()
    }

    /// A reply that says all there is to say, as far as a version has words for it.
    fn reply(version: i16, records: &Bytes) -> FetchReply {
        let full = FetchedPartition {
            high_watermark: 10,
            last_stable_offset: 9,
            log_start_offset: 1,
            diverging_epoch: Some(OffsetAndEpoch::new(7, 3)),
            current_leader: Some(LeaderAndEpoch { leader_id: 2, leader_epoch: 4 }),
            snapshot_id: Some(OffsetAndEpoch::new(5, 2)),
            aborted_transactions: Some(vec![AbortedTransaction { producer_id: 77, first_offset: 3 }]),
            preferred_read_replica: if version >= 11 { 2 } else { -1 },
            records: Some(vec![records.slice(..3).into(), records.slice(3..).into()]),
            ..FetchedPartition::empty(0, 0)
        };
        let topic = |name, partitions| FetchedTopic {
            name: StrBytes::from_static_str(name),
            topic_id: Uuid::from_u128(9),
            partitions,
        };
        FetchReply {
            throttle_time_ms: 1,
            error_code: 0,
            session_id: if version >= 7 { 5 } else { 0 },
            topics: vec![
                topic("orders", vec![full.clone(), FetchedPartition::empty(1, 6)]),
                topic(
                    "payments",
                    vec![FetchedPartition { partition: 8, ..full }, FetchedPartition::withheld(9, 76)],
                ),
            ],
            node_endpoints: vec![NodeEndpoint {
                node_id: 2,
                host: StrBytes::from_static_str("kafka-2"),
                port: 9092,
                rack: None,
            }],
        }
    }

    /// The same in the words of the generated messages.
    fn as_message(version: i16, reply: &FetchReply) -> FetchResponse {
        let partition = |from: &FetchedPartition| {
            let mut to = message::PartitionData::default()
                .with_partition_index(from.partition)
                .with_error_code(from.error_code)
                .with_high_watermark(from.high_watermark)
                .with_last_stable_offset(from.last_stable_offset)
                .with_log_start_offset(from.log_start_offset)
                .with_preferred_read_replica(BrokerId(from.preferred_read_replica))
                .with_records(from.records.as_deref().map(flatten));
            to.aborted_transactions = from.aborted_transactions.as_ref().map(|aborted| {
                let one = |from: &AbortedTransaction| {
                    message::AbortedTransaction::default()
                        .with_producer_id(ProducerId(from.producer_id))
                        .with_first_offset(from.first_offset)
                };
                aborted.iter().map(one).collect()
            });
            if version >= FLEXIBLE_FROM {
                if let Some(end) = from.diverging_epoch {
                    to.diverging_epoch =
                        message::EpochEndOffset::default().with_epoch(end.epoch).with_end_offset(end.offset);
                }
                if let Some(leader) = from.current_leader {
                    to.current_leader = message::LeaderIdAndEpoch::default()
                        .with_leader_id(BrokerId(leader.leader_id))
                        .with_leader_epoch(leader.leader_epoch);
                }
                if let Some(id) = from.snapshot_id {
                    to.snapshot_id =
                        message::SnapshotId::default().with_end_offset(id.offset).with_epoch(id.epoch);
                }
            }
            to
        };
        let topic = |from: &FetchedTopic| {
            message::FetchableTopicResponse::default()
                .with_topic(TopicName(from.name.clone()))
                .with_topic_id(from.topic_id)
                .with_partitions(from.partitions.iter().map(partition).collect())
        };
        let endpoint = |from: &NodeEndpoint| {
            message::NodeEndpoint::default()
                .with_node_id(BrokerId(from.node_id))
                .with_host(from.host.clone())
                .with_port(from.port)
        };
        let mut response = FetchResponse::default()
            .with_throttle_time_ms(reply.throttle_time_ms)
            .with_session_id(reply.session_id)
            .with_responses(reply.topics.iter().map(topic).collect());
        if version >= NODE_ENDPOINTS_FROM {
            response.node_endpoints = reply.node_endpoints.iter().map(endpoint).collect();
        }
        response
    }

    #[test]
    fn every_version_is_written_as_the_generated_messages_write_it() {
        let records = Bytes::from_static(b"not really records");
        let api = api::of(ApiKey::Fetch).unwrap();
        for version in 0..=MAX_VERSION {
            let reply = reply(version, &records);
            let expected = frame::encode_response(api, version, 42, &as_message(version, &reply)).unwrap();
            let segments = encode_fetch_response(version, 42, reply).unwrap();
            assert_eq!(flatten(&segments), expected, "version {version}");
        }
        assert!(encode_fetch_response(17, 42, FetchReply::default()).is_err());
    }

    #[test]
    fn records_are_sent_from_where_they_are() {
        let records = Bytes::from_static(b"not really records");
        let segments = encode_fetch_response(12, 42, reply(12, &records)).unwrap();
        let starts: Vec<_> = segments
            .iter()
            .filter_map(|segment| match segment {
                Segment::Bytes(bytes) => Some(bytes.as_ptr()),
                Segment::File { .. } => None,
            })
            .collect();
        assert!(starts.contains(&records.as_ptr()), "the first piece of the records was copied");
    }

    #[test]
    fn an_empty_fetch_has_an_empty_record_set() {
        let topics =
            vec![FetchedTopic { partitions: vec![FetchedPartition::empty(0, 0)], ..Default::default() }];
        let segments = encode_fetch_response(11, 1, FetchReply { topics, ..Default::default() }).unwrap();
        assert!(flatten(&segments).ends_with(&[0, 0, 0, 0]), "a length of zero, not of -1");
    }
}
