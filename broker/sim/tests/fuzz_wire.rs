//! What the node believes of a message: the table of messages agrees with the decoder, lies are found out before they
//! cost memory, and no bytes at all make decoding panic.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::{Buf, Bytes};
use jackdaw_sim::messages::{self, Encoded, Meaning};
use jackdaw_sim::seeds::{Rng, for_each_seed, for_some_time};
use jackdaw_wire::frame::{FrameError, Measure, decode_request, decode_response, measure_request};
use jackdaw_wire::messages::*;
use jackdaw_wire::record_codec::Versioned;
use jackdaw_wire::schema::{self, Message};
use jackdaw_wire::{Decodable, Encodable, Request, consumer_group};

/// A message of the table, and the decoder that is made for it.
struct Probe {
    message: &'static Message,
    /// As the node reads it.
    decode: fn(i16, &mut Bytes) -> Result<(), FrameError>,
    /// Without a look at it before, and written again.
    rewrite: fn(i16, &mut Bytes) -> Result<Vec<u8>, String>,
    /// One that says nothing, in the versions that can say so.
    default: fn(i16) -> Option<Vec<u8>>,
    is_request: bool,
}

impl Probe {
    fn versions(&self) -> std::ops::RangeInclusive<i16> {
        // The decoder has no version 6 of DescribeGroups, whose request is that of 5.
        let is_5 = self.message.name == "DescribeGroups";
        0..=(self.message.max_version - i16::from(is_5))
    }
}

fn rewrite<M: Decodable + Encodable>(version: i16, body: &mut Bytes) -> Result<Vec<u8>, String> {
    let message = M::decode(body, version).map_err(|error| error.to_string())?;
    let mut out = Vec::new();
    message.encode(&mut out, version).map_err(|error| error.to_string())?;
    Ok(out)
}

fn encoded_default<M: Encodable + Default>(version: i16) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    M::default().encode(&mut out, version).ok().map(|()| out)
}

fn request<R: Request + Default>() -> Probe {
    Probe {
        message: schema::request(R::KEY).unwrap(),
        decode: |version, body| decode_request::<R>(version, body).map(drop),
        rewrite: rewrite::<R>,
        default: encoded_default::<R>,
        is_request: true,
    }
}

fn response<R: Request>() -> Probe
where
    R::Response: Default,
{
    Probe {
        message: schema::response(R::KEY).unwrap(),
        decode: |version, body| decode_response::<R>(version, body).map(drop),
        rewrite: rewrite::<R::Response>,
        default: encoded_default::<R::Response>,
        is_request: false,
    }
}

fn rewrite_own<T: Versioned>(version: i16, body: &mut Bytes) -> Result<Vec<u8>, String> {
    let mut out = bytes::BytesMut::new();
    let message: T = consumer_group::decode(version, body).map_err(|error| error.to_string())?;
    message.write_version(&mut out, version).map_err(|error| error.to_string())?;
    Ok(out.to_vec())
}

macro_rules! own {
    ($api:ident, $request:ident) => {
        Probe {
            message: schema::request(ApiKey::$api as i16).unwrap(),
            decode: |version, body| {
                consumer_group::decode_request::<consumer_group::$request>(ApiKey::$api, version, body)
                    .map(drop)
            },
            rewrite: rewrite_own::<consumer_group::$request>,
            default: |version| {
                consumer_group::encode(version, &consumer_group::$request::default()).ok().map(|b| b.to_vec())
            },
            is_request: true,
        }
    };
}

/// Every API that the decoder has, asked by `request` or by `response`.
macro_rules! probes {
    ($of:ident) => { probes!($of:
        ProduceRequest FetchRequest ListOffsetsRequest MetadataRequest ControlledShutdownRequest OffsetCommitRequest
        OffsetFetchRequest FindCoordinatorRequest JoinGroupRequest HeartbeatRequest LeaveGroupRequest SyncGroupRequest
        DescribeGroupsRequest ListGroupsRequest ApiVersionsRequest CreateTopicsRequest DeleteTopicsRequest
        DeleteRecordsRequest InitProducerIdRequest OffsetForLeaderEpochRequest AddPartitionsToTxnRequest
        AddOffsetsToTxnRequest EndTxnRequest WriteTxnMarkersRequest TxnOffsetCommitRequest DescribeConfigsRequest
        AlterConfigsRequest DescribeLogDirsRequest CreatePartitionsRequest DeleteGroupsRequest ElectLeadersRequest
        IncrementalAlterConfigsRequest AlterPartitionReassignmentsRequest ListPartitionReassignmentsRequest
        OffsetDeleteRequest VoteRequest BeginQuorumEpochRequest EndQuorumEpochRequest DescribeQuorumRequest
        AlterPartitionRequest UpdateFeaturesRequest EnvelopeRequest FetchSnapshotRequest DescribeClusterRequest
        DescribeProducersRequest BrokerRegistrationRequest BrokerHeartbeatRequest UnregisterBrokerRequest
        DescribeTransactionsRequest ListTransactionsRequest AllocateProducerIdsRequest ControllerRegistrationRequest
        AssignReplicasToDirsRequest
    ) };
    ($of:ident: $($request:ident)*) => { vec![$($of::<$request>()),*] };
}

fn probes() -> Vec<Probe> {
    let mut all = probes!(request);
    all.extend([
        own!(ConsumerGroupHeartbeat, ConsumerGroupHeartbeatRequest),
        own!(ConsumerGroupDescribe, ConsumerGroupDescribeRequest),
    ]);
    all.extend(probes!(response));
    all
}

fn for_each_message(rounds: usize, rng: &mut Rng, mut check: impl FnMut(&Probe, i16, &mut Rng)) {
    for probe in probes() {
        for version in probe.versions() {
            (0..rounds).for_each(|_| check(&probe, version, rng));
        }
    }
}

/// The address space that this process has taken at most. What is asked for counts, also where it is never touched.
fn peak_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// Far more than all small messages take together, far less than one lie asks for.
const HARMLESS_BYTES: usize = 192 << 20;

#[test]
fn the_table_is_probed_whole() {
    let probed = |is_request| {
        let mut keys: Vec<i16> = probes()
            .iter()
            .filter(|probe| probe.is_request == is_request)
            .map(|probe| probe.message.api_key)
            .collect();
        keys.sort_unstable();
        keys
    };
    let keys = |messages: &[Message]| messages.iter().map(|message| message.api_key).collect::<Vec<_>>();
    assert_eq!(probed(true), keys(schema::all_requests()));
    assert_eq!(probed(false), keys(schema::all_responses()));
}

#[test]
fn the_decoder_reads_what_the_table_says_to_the_same_end_and_writes_it_again() {
    for_each_seed(30, |seed| {
        for_each_message(3, &mut Rng::new(seed), |probe, version, rng| {
            let name = probe.message.name;
            let sent = messages::random(probe.message, version, rng).bytes;
            let behind = [&sent[..], b"behind"].concat();
            let mut body = Bytes::from(behind.clone());
            (probe.decode)(version, &mut body).unwrap_or_else(|error| panic!("{error}: {sent:02x?}"));
            assert_eq!(&body[..], b"behind", "{name} {version}: {sent:02x?}");
            let written = (probe.rewrite)(version, &mut behind.into());
            assert_eq!(written.as_ref(), Ok(&sent), "{name} {version}");
        });
    });
}

#[test]
fn what_the_decoder_writes_by_default_is_in_the_table() {
    let mut count = 0;
    for_each_message(1, &mut Rng::new(0), |probe, version, _| {
        if let Some(bytes) = (probe.default)(version) {
            let mut body = Bytes::from(bytes);
            let read = (probe.decode)(version, &mut body);
            assert!(read.is_ok() && body.is_empty(), "{} {version}: {read:?}", probe.message.name);
            count += 1;
        }
    });
    assert!(count > 200, "{count} of them");
}

/// A tag that only the decoder knows would be a way around the table.
#[test]
fn the_decoder_knows_no_tag_that_the_table_does_not_know() {
    for_each_seed(30, |seed| {
        for_each_message(3, &mut Rng::new(seed), |probe, version, rng| {
            let sent = messages::with_near_tags(probe.message, version, rng).bytes;
            let mut body = Bytes::from(sent.clone());
            match (probe.rewrite)(version, &mut body) {
                Ok(_) => assert!(body.is_empty(), "{} {version}: {sent:02x?}", probe.message.name),
                Err(error) => {
                    let is_refused = error.contains("is not valid for version");
                    assert!(is_refused, "{} {version}: {error}: {sent:02x?}", probe.message.name);
                }
            }
        });
    });
}

/// Decodes, and says whether what was measured before fits it.
fn check(probe: &Probe, version: i16, bytes: Vec<u8>) -> bool {
    let name = probe.message.name;
    let bytes = Bytes::from(bytes);
    let mut body = bytes.clone();
    let read = (probe.decode)(version, &mut body);
    if probe.is_request {
        match measure_request(probe.message.api_key, version, &bytes) {
            Ok(Measure { elements, decoded_bytes }) => {
                assert!(elements <= bytes.len(), "{name} {version}: {elements} elements");
                assert!(decoded_bytes < 4096 + 600 * bytes.len(), "{name} {version}: {decoded_bytes} bytes");
            }
            Err(_) => assert!(read.is_err(), "{name} {version}: {bytes:02x?}"),
        }
    }
    if read.is_ok() {
        let consumed = bytes.len() - body.len();
        let mut same = bytes.slice(..consumed);
        let written = (probe.rewrite)(version, &mut same);
        assert!(same.is_empty(), "{name} {version}");
        // What has tags that are at their default, out of order or twice is written otherwise, but read the same.
        assert!(written.is_ok(), "{name} {version}: {written:?}: {bytes:02x?}");
    }
    read.is_ok()
}

#[test]
fn each_place_that_lies_is_found_out_before_it_costs_memory() {
    let before = peak_bytes();
    for_each_seed(1, |seed| {
        for_each_message(2, &mut Rng::new(seed), |probe, version, rng| {
            let sent: Encoded = messages::random(probe.message, version, rng);
            for place in &sent.places {
                for lie in messages::extremes(place.meaning) {
                    let is_believed = check(probe, version, sent.with(*place, &lie));
                    let name = probe.message.name;
                    assert!(!(is_believed && place.meaning == Meaning::Bool), "{name} {version}: {lie:x?}");
                }
            }
        });
    });
    let grown = peak_bytes() - before;
    println!("the address space grew by {grown} bytes");
    assert!(grown < HARMLESS_BYTES, "{grown} bytes");
}

#[test]
fn a_message_that_is_cut_off_anywhere_is_refused() {
    for_each_message(2, &mut Rng::new(1), |probe, version, rng| {
        let sent = messages::random(probe.message, version, rng).bytes;
        for end in 0..sent.len() {
            let is_read = check(probe, version, sent[..end].to_vec());
            assert!(!is_read, "{} {version}: {end} of {sent:02x?}", probe.message.name);
        }
    });
}

#[test]
fn whatever_bytes_come_decoding_ends_and_keeps_to_what_was_measured() {
    let all = probes();
    let before = peak_bytes();
    for_some_time(2, |seed| {
        let rng = &mut Rng::new(seed);
        for _ in 0..200 {
            let probe = rng.pick(&all).unwrap();
            let version = rng.between(0, i64::from(*probe.versions().end())) as i16;
            let mut sent = messages::with_near_tags(probe.message, version, rng);
            for _ in 0..=rng.below(4) {
                let lies = rng.pick(&sent.places).copied().filter(|_| rng.chance(50));
                let lies = lies
                    .and_then(|place| Some((place, rng.pick(&messages::extremes(place.meaning))?.clone())));
                match lies {
                    Some((place, lie)) if place.at + place.length <= sent.bytes.len() => {
                        sent.bytes = sent.with(place, &lie);
                    }
                    _ if sent.bytes.is_empty() => {}
                    _ => {
                        let at = rng.below(sent.bytes.len() as u64) as usize;
                        sent.bytes[at] =
                            *rng.pick(&[0, 1, 0x7f, 0x80, 0xff, rng.clone().next_u64() as u8]).unwrap();
                    }
                }
            }
            check(probe, version, sent.bytes);
        }
    });
    let grown = peak_bytes() - before;
    assert!(grown < HARMLESS_BYTES, "{grown} bytes");
}

/// Frames that ended a node: a boolean that looks like a length, in front of a length that is a lie.
#[test]
fn a_boolean_is_no_cover_for_a_length() {
    let uuid = [0; 16];
    let lie = [0x80, 0x80, 0x80, 0x80, 0x70];
    let rows: [(ApiKey, i16, Vec<u8>); 4] = [
        (ApiKey::WriteTxnMarkers, 1, [&[2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0][..], &lie].concat()),
        (ApiKey::AddPartitionsToTxn, 4, [&[2, 2, b'x', 0, 0, 0, 0, 0, 0, 0, 1, 0, 0][..], &lie].concat()),
        (ApiKey::BrokerRegistration, 2, [&[0, 0, 0, 1, 2, b'x'][..], &uuid, &[1, 1, 0], &lie].concat()),
        (ApiKey::ControllerRegistration, 0, [&[0, 0, 0, 1][..], &uuid, &lie].concat()),
    ];
    let before = peak_bytes();
    for (api, version, body) in rows {
        let all = probes();
        let probe = all.iter().find(|probe| probe.is_request && probe.message.api_key == api as i16).unwrap();
        let mut body = Bytes::from(body);
        assert!((probe.decode)(version, &mut body).is_err(), "{api:?} {version}");
        assert!(body.has_remaining());
    }
    assert!(peak_bytes() - before < HARMLESS_BYTES);
}
