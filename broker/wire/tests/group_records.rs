//! Keys and values of `__consumer_offsets`, byte for byte as Apache Kafka 3.7.0's own classes write them
//! (`MessageUtil.toVersionPrefixedBytes`).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use bytes::Bytes;
use common::unhex;
use jackdaw_wire::group_record::*;
use jackdaw_wire::record_codec::{RecordError, Versioned};

/// `record` is written in this version as the reference writes it; what is read back is what that version can hold.
fn check<T: Versioned + Clone + PartialEq + std::fmt::Debug>(
    record: &T,
    read_back: &T,
    version: i16,
    hex: &str,
) {
    let encoded = encode(record, version).unwrap();
    assert_eq!(encoded, unhex(hex), "version {version} of {record:?} wrote {encoded:02x?}");
    assert_eq!(decode::<T>(encoded), Ok((read_back.clone(), version)));
}

#[test]
fn keys_are_kafkas() {
    let offset =
        OffsetCommitKey { group: "myGroup".into(), topic: "t".into(), partition: 7, ..Default::default() };
    check(&offset, &offset, 0, "000000076d7947726f757000017400000007");
    check(&offset, &offset, 1, "000100076d7947726f757000017400000007");
    let group = GroupMetadataKey { group: "myGroup".into(), ..Default::default() };
    check(&group, &group, 2, "000200076d7947726f7570");
    let key = |hex| GroupKey::decode(unhex(hex));
    assert_eq!(key("000100076d7947726f757000017400000007"), Ok(GroupKey::Offset(offset)));
    assert_eq!(key("000200076d7947726f7570"), Ok(GroupKey::Group(group)));
    let consumer = ConsumerGroupKey { group: "myGroup".into(), ..Default::default() };
    assert_eq!(key("000300076d7947726f7570"), Ok(GroupKey::Consumer(3, consumer)));
    assert_eq!(key("000900076d7947726f7570"), Ok(GroupKey::Unknown(9)));
    assert_eq!(key("00"), Err(RecordError::Truncated));
    assert_eq!(key("000200"), Err(RecordError::Truncated));
}

#[test]
fn offsets_are_kafkas() {
    let value = OffsetCommitValue {
        offset: 258,
        leader_epoch: 5,
        metadata: "né".into(),
        commit_timestamp: 1_700_000_000_000,
        expire_timestamp: 1_700_000_086_400,
        ..Default::default()
    };
    let without_epoch = OffsetCommitValue { leader_epoch: -1, ..value.clone() };
    let timeless = OffsetCommitValue { expire_timestamp: -1, ..value.clone() };
    let plain = OffsetCommitValue { leader_epoch: -1, ..timeless.clone() };
    for (version, read_back, hex) in [
        (0, &plain, "0000000000000000010200036ec3a90000018bcfe56800"),
        (1, &without_epoch, "0001000000000000010200036ec3a90000018bcfe568000000018bcfe6b980"),
        (2, &plain, "0002000000000000010200036ec3a90000018bcfe56800"),
        (3, &timeless, "000300000000000001020000000500036ec3a90000018bcfe56800"),
        (4, &timeless, "0004000000000000010200000005046ec3a90000018bcfe5680000"),
    ] {
        check(&value, read_back, version, hex);
    }
    assert_eq!(
        decode::<OffsetCommitValue>(unhex("0005")),
        Err(RecordError::UnknownVersion { record: "OffsetCommitValue", version: 5 })
    );
}

#[test]
fn groups_are_kafkas() {
    let member = GroupMember {
        member_id: "m-1".into(),
        group_instance_id: Some("i-1".into()),
        client_id: "c".into(),
        client_host: "/127.0.0.1".into(),
        rebalance_timeout: 60_000,
        session_timeout: 10_000,
        subscription: Bytes::from_static(&[1, 2]),
        assignment: Bytes::from_static(&[3]),
        ..Default::default()
    };
    let group = |since, member| GroupMetadataValue {
        protocol_type: "consumer".into(),
        generation: 3,
        protocol: Some("range".into()),
        leader: Some("m-1".into()),
        current_state_timestamp: since,
        members: vec![member],
        ..Default::default()
    };
    let dynamic = GroupMember { group_instance_id: None, ..member.clone() };
    let oldest = GroupMember { rebalance_timeout: -1, ..dynamic.clone() };
    let since = 1_700_000_000_000;
    for (version, read_back, hex) in [
        (
            0,
            group(-1, oldest),
            "00000008636f6e73756d657200000003000572616e676500036d2d310000000100036d2d31000163000a2f3132372e302e302e31\
             000027100000000201020000000103",
        ),
        (
            1,
            group(-1, dynamic.clone()),
            "00010008636f6e73756d657200000003000572616e676500036d2d310000000100036d2d31000163000a2f3132372e302e302e31\
             0000ea60000027100000000201020000000103",
        ),
        (
            2,
            group(since, dynamic),
            "00020008636f6e73756d657200000003000572616e676500036d2d310000018bcfe568000000000100036d2d31000163000a2f31\
             32372e302e302e310000ea60000027100000000201020000000103",
        ),
        (
            3,
            group(since, member.clone()),
            "00030008636f6e73756d657200000003000572616e676500036d2d310000018bcfe568000000000100036d2d310003692d310001\
             63000a2f3132372e302e302e310000ea60000027100000000201020000000103",
        ),
        (
            4,
            group(since, member.clone()),
            "000409636f6e73756d6572000000030672616e6765046d2d310000018bcfe5680002046d2d3104692d3102630b2f3132372e302e\
             302e310000ea600000271003010202030000",
        ),
    ] {
        check(&group(since, member.clone()), &read_back, version, hex);
    }
    let empty = GroupMetadataValue { protocol_type: "consumer".into(), generation: 4, ..Default::default() };
    check(&empty, &empty, 3, "00030008636f6e73756d657200000004ffffffffffffffffffffffff00000000");
}

/// Laid out by hand after the record definitions of Kafka 4.1; its own tool reads what is written here in the tests of
/// the groups that Kafka takes over.
#[test]
fn groups_of_the_consumer_protocol_are_kafkas() {
    let group = ConsumerGroupMetadataValue { epoch: 3, metadata_hash: 5, ..Default::default() };
    check(&group, &group, 0, "0000000000030100080000000000000005");
    let hashless = ConsumerGroupMetadataValue { epoch: 3, ..Default::default() };
    check(&hashless, &hashless, 0, "00000000000300");
    let member = ConsumerGroupMemberMetadataValue {
        client_id: "c".into(),
        client_host: "/h".into(),
        subscribed_topic_names: vec!["t".into()],
        subscribed_topic_regex: Some(String::new()),
        rebalance_timeout_ms: 60_000,
        classic_member_metadata: None,
        ..Default::default()
    };
    // A member of the consumer protocol says that it is no classic one.
    check(&member, &member, 0, "000000000263032f68020274010000ea6000010001 00".replace(' ', "").as_str());
    let protocol =
        ClassicProtocol { name: "range".into(), metadata: Bytes::from_static(&[7]), ..Default::default() };
    let metadata = ClassicMemberMetadata {
        session_timeout_ms: 45_000,
        supported_protocols: vec![protocol],
        ..Default::default()
    };
    let classic =
        ConsumerGroupMemberMetadataValue { classic_member_metadata: Some(metadata), ..member.clone() };
    check(
        &classic,
        &classic,
        0,
        "000000000263032f68020274010000ea6000010010010000afc8020672616e676502070000",
    );
    let topic =
        AssignedTopic { topic_id: uuid::Uuid::from_u128(1), partitions: vec![0, 2], ..Default::default() };
    let current = ConsumerGroupCurrentMemberAssignmentValue {
        member_epoch: 4,
        previous_member_epoch: 3,
        state: 1,
        assigned_partitions: vec![topic],
        ..Default::default()
    };
    let hex =
        "000000000004000000030102000000000000000000000000000000010300000000000000020001 00".replace(' ', "");
    check(&current, &current, 0, &hex);
}
