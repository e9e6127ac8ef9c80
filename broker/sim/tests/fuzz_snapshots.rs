//! Metadata records and snapshots of them, damaged: they are read or refused, what is read is written again alike, and
//! an image takes each or says why not. A failing seed is printed and replays (`JACKDAW_SIM_SEED`).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use jackdaw_metadata::{MetadataDelta, MetadataImage};
use jackdaw_sim::damage::{AddressSpace, damage, often_damaged};
use jackdaw_sim::seeds::{Rng, for_some_time};
use jackdaw_wire::batch::{BatchBuilder, complete_batches};
use jackdaw_wire::control_record::ControlRecord;
use jackdaw_wire::metadata_record::{
    BrokerEndpoint, ConfigRecord, FeatureLevelRecord, PartitionChangeRecord, PartitionRecord,
    RegisterBrokerRecord, TopicRecord,
};
use jackdaw_wire::{Bytes, MetadataRecord, Uuid};

const HARMLESS_BYTES: usize = 160 << 20;
/// Of all kinds that are written together.
const BROKERS: i32 = 3;

fn registration(id: i32) -> MetadataRecord {
    let end_point =
        BrokerEndpoint { name: "PLAINTEXT".into(), host: "broker".into(), port: 9092, ..Default::default() };
    MetadataRecord::RegisterBroker(RegisterBrokerRecord {
        broker_id: id,
        broker_epoch: i64::from(id) + 7,
        end_points: vec![end_point],
        ..Default::default()
    })
}

/// A cluster of a few brokers and topics.
fn cluster(rng: &mut Rng) -> Vec<MetadataRecord> {
    let level = FeatureLevelRecord {
        name: "metadata.version".into(),
        feature_level: *rng.pick(&[1, 8, 14, 19]).unwrap(),
        ..Default::default()
    };
    let mut records = vec![MetadataRecord::FeatureLevel(level)];
    records.extend((0..BROKERS).map(registration));
    for topic in 0..3_u128 {
        let id = Uuid::from_u128(topic + 100);
        records.push(MetadataRecord::Topic(TopicRecord {
            name: format!("topic-{topic}"),
            topic_id: id,
            ..Default::default()
        }));
        for partition_id in 0..3 {
            records.push(MetadataRecord::Partition(PartitionRecord {
                partition_id,
                topic_id: id,
                replicas: (0..BROKERS).collect(),
                isr: vec![0, 1],
                leader: 0,
                ..Default::default()
            }));
        }
        records.push(MetadataRecord::Config(ConfigRecord {
            resource_type: 2,
            resource_name: format!("topic-{topic}"),
            name: "retention.ms".into(),
            value: Some("1000".into()),
            ..Default::default()
        }));
        records.push(MetadataRecord::PartitionChange(PartitionChangeRecord {
            partition_id: 1,
            topic_id: id,
            leader: rng.between(-2, 3) as i32,
            ..Default::default()
        }));
    }
    records.extend(MetadataRecord::one_of_each());
    records
}

/// As they lie in the log; each in any version that it can be written in.
fn values(records: &[MetadataRecord], rng: &mut Rng) -> Vec<Bytes> {
    let written = records.iter().filter_map(|record| {
        let versions = record.versions();
        let version = rng.between(i64::from(*versions.start()), i64::from(*versions.end()));
        record.encode(version as i16).ok()
    });
    written.collect()
}

fn read(value: Bytes) -> Option<MetadataRecord> {
    let (record, version) = MetadataRecord::decode_versioned(value).ok()?;
    // Compared as bytes: a quota may be no number, which equals nothing.
    let written = record.encode(version).unwrap();
    assert_eq!(MetadataRecord::decode(written.clone()).unwrap().encode(version).unwrap(), written);
    record.to_json(version).unwrap();
    Some(record)
}

fn apply(values: impl IntoIterator<Item = Bytes>) -> MetadataImage {
    let (mut image, empty) = (MetadataImage::default(), MetadataImage::default());
    let mut delta = MetadataDelta::default();
    for (offset, value) in (0..).zip(values) {
        let Some(record) = read(value) else { continue };
        // A node stops there; what an image holds after the refusals of others is asked for all the same.
        let before = image.clone();
        if image.apply(offset, &record, &mut delta).is_err() {
            image = before;
        }
    }
    let again = image.to_records();
    let mut copy = MetadataImage::default();
    for (offset, record) in (0..).zip(&again) {
        copy.apply(offset, record, &mut MetadataDelta::default()).unwrap();
    }
    let _ = (MetadataDelta::between(&empty, &image), MetadataDelta::between(&image, &empty));
    image
}

#[test]
fn damaged_records_are_refused_or_read_and_applied_or_refused() {
    let space = AddressSpace::bounded(HARMLESS_BYTES);
    for_some_time(2, |seed| {
        let rng = &mut Rng::new(seed);
        let records = cluster(rng);
        let mut all: Vec<Bytes> =
            values(&records, rng).iter().map(|value| often_damaged(value, rng)).collect();
        // Some come twice, or too early.
        for _ in 0..rng.below(6) {
            let (from, to) = (rng.below(all.len() as u64), rng.below(all.len() as u64));
            all.insert(to as usize, all[from as usize].clone());
        }
        apply(all);
        space.check();
    });
}

#[test]
fn a_damaged_snapshot_is_read_as_far_as_it_is_one() {
    let space = AddressSpace::bounded(HARMLESS_BYTES);
    for_some_time(2, |seed| {
        let rng = &mut Rng::new(seed);
        let records = cluster(rng);
        let mut bytes = Vec::new();
        let mut offset = 0;
        for some in values(&records, rng).chunks(7) {
            let mut batch = BatchBuilder::new(offset, 3);
            some.iter().for_each(|value| batch.append(1, None, Some(value)));
            offset = batch.next_offset();
            bytes.extend_from_slice(&batch.build());
        }
        damage(&mut bytes, rng);
        let mut found = Vec::new();
        for batch in complete_batches(&bytes.into()).map_while(Result::ok) {
            let mut scratch = Vec::new();
            let Ok(records) = batch.records(8 << 20, &mut scratch) else { continue };
            for record in records.map_while(Result::ok) {
                let _ =
                    ControlRecord::decode(record.key.unwrap_or_default(), record.value.unwrap_or_default());
                found.extend(record.value.map(Bytes::copy_from_slice));
            }
        }
        apply(found);
        space.check();
    });
}
