//! The image: what every node makes of the same records.

use jackdaw_wire::metadata_record::*;

use super::*;
use crate::apply::ApplyError;
use crate::image::ConfigResource;

/// A snapshot replaces the log: what it forgets is lost to the cluster for ever.
#[test]
fn a_snapshot_read_back_is_the_same_image() {
    let mut cluster = Cluster::of(3);
    cluster.create(assigned("a", "1 2 3, 2 3 1"));
    cluster.create(topic("b", 3, 2));
    cluster.fence(2);
    let epoch = cluster.epoch(1);
    cluster.ask(0, AllocateProducerIdsRequest::default().with_broker_id(1.into()).with_broker_epoch(epoch));
    cluster.ask(0, ControllerRegistrationRequest::default().with_controller_id(2).with_incarnation_id(id(2)));
    let mut image = cluster.controller.image().clone();
    let entity = |name: Option<&str>| EntityData {
        entity_type: "user".into(),
        entity_name: name.map(str::to_owned),
        ..Default::default()
    };
    for record in [
        ConfigRecord {
            resource_type: 4,
            resource_name: "1".into(),
            name: "log.retention.ms".into(),
            value: Some("5".into()),
            ..Default::default()
        }
        .into(),
        FeatureLevelRecord { name: "other".into(), feature_level: 3, ..Default::default() }.into(),
        ClientQuotaRecord {
            entity: vec![entity(None)],
            key: "rate".into(),
            value: 1.5,
            ..Default::default()
        }
        .into(),
        AccessControlEntryRecord { id: id(1), principal: "User:a".into(), ..Default::default() }.into(),
        UserScramCredentialRecord { name: "a".into(), mechanism: 1, ..Default::default() }.into(),
        DelegationTokenRecord { token_id: "t".into(), ..Default::default() }.into(),
    ] {
        let record: MetadataRecord = record;
        image.apply(1_000, &record, &mut MetadataDelta::default()).unwrap();
    }
    let records = image.to_records();
    let mut read = MetadataImage::default();
    for record in &records {
        let version = record.highest_version_for(19);
        let decoded = MetadataRecord::decode(record.encode(version).unwrap()).unwrap();
        read.apply(1_000, &decoded, &mut MetadataDelta::default()).unwrap();
    }
    assert_eq!(read.to_records(), records);
    assert_eq!(PartitionIndex::of(&read), PartitionIndex::of(&image));

    let mut order: Vec<&str> = records.iter().map(|r| r.name().trim_end_matches("Record")).collect();
    order.dedup();
    assert_eq!(
        order.join(" "),
        "FeatureLevel ZkMigrationState RegisterBroker RegisterController Topic Partition Topic Partition Config \
         ClientQuota ProducerIds AccessControlEntry UserScramCredential DelegationToken"
    );
}

/// A publisher acts on changes alone: what a delta does not tell, no partition will ever hear.
#[test]
fn a_delta_tells_the_state_before_the_first_change() {
    let mut cluster = Cluster::of(2);
    let old = cluster.create(assigned("old", "1 2"));
    let before = cluster.controller.image().clone();
    let (mut image, mut delta) = (before.clone(), MetadataDelta::default());
    let mut apply = |record: MetadataRecord| image.apply(500, &record, &mut delta).unwrap();
    let change = |topic_id, isr: Vec<i32>| -> MetadataRecord {
        PartitionChangeRecord { topic_id, partition_id: 0, isr: Some(isr), ..Default::default() }.into()
    };
    let made = |topic_id, name: &str| -> [MetadataRecord; 2] {
        [
            TopicRecord { topic_id, name: name.into(), ..Default::default() }.into(),
            PartitionRecord { topic_id, partition_id: 0, replicas: vec![1], leader: 1, ..Default::default() }
                .into(),
        ]
    };
    apply(change(old, vec![1]));
    made(id(1), "new").into_iter().for_each(&mut apply);
    made(id(2), "fleeting").into_iter().for_each(&mut apply);
    apply(RemoveTopicRecord { topic_id: id(2), ..Default::default() }.into());
    apply(change(old, vec![1, 2]));
    assert_eq!(delta.changed_topics.len(), 2, "the fleeting topic was never seen");
    let change_of_old = &delta.changed_topics[&old].partitions[&0];
    assert_eq!(change_of_old.previous.as_ref(), before.partition("old", 0));
    assert_eq!(Some(&change_of_old.current), image.partition("old", 0));
    assert!(
        delta.changed_topics[&id(1)].created
            && delta.changed_topics[&id(1)].partitions[&0].previous.is_none()
    );

    let removed: MetadataRecord = RemoveTopicRecord { topic_id: old, ..Default::default() }.into();
    image.apply(501, &removed, &mut delta).unwrap();
    assert_eq!(&delta.deleted_topics[&old], before.topics.by_id(&old).unwrap(), "as it was before");
    assert!(!delta.changed_topics.contains_key(&old));
}

#[test]
fn a_deleted_topic_takes_its_configuration_along() {
    let mut cluster = Cluster::of(1);
    cluster.create(topic("t", 1, 1));
    let (mut image, mut delta) = (cluster.controller.image().clone(), MetadataDelta::default());
    let config = ConfigRecord {
        resource_type: 2,
        resource_name: "t".into(),
        name: "retention.ms".into(),
        value: Some("5".into()),
        ..Default::default()
    };
    image.apply(1, &config.into(), &mut delta).unwrap();
    assert_eq!(image.topic_config("t").unwrap()["retention.ms"], "5");
    let topic_id = image.topics.id_of("t").unwrap();
    image.apply(2, &RemoveTopicRecord { topic_id, ..Default::default() }.into(), &mut delta).unwrap();
    assert_eq!(image.topic_config("t"), None);
    assert!(delta.changed_configs.contains(&ConfigResource::topic("t")));
}

/// A node whose image is not the cluster's must stop before it acts on it.
#[test]
fn records_that_contradict_the_image_are_errors() {
    let mut cluster = Cluster::of(1);
    let t = cluster.create(topic("t", 1, 1));
    let image = cluster.controller.image().clone();
    let fails = |record: MetadataRecord| {
        image.clone().apply(9, &record, &mut MetadataDelta::default()).unwrap_err().to_string()
    };
    let change = PartitionChangeRecord { topic_id: t, ..Default::default() };
    let errors = [
        fails(TopicRecord { topic_id: id(9), name: "t".into(), ..Default::default() }.into()),
        fails(RemoveTopicRecord { topic_id: Uuid::nil(), ..Default::default() }.into()),
        fails(PartitionRecord { topic_id: Uuid::nil(), ..Default::default() }.into()),
        fails(PartitionChangeRecord { partition_id: 5, ..change.clone() }.into()),
        fails(PartitionChangeRecord { partition_id: 0, leader_recovery_state: 7, ..change.clone() }.into()),
        fails(
            PartitionChangeRecord { partition_id: 0, directories: Some(vec![id(1), id(2)]), ..change }.into(),
        ),
        fails(
            BrokerRegistrationChangeRecord { broker_id: 1, broker_epoch: 999, ..Default::default() }.into(),
        ),
        fails(UnregisterBrokerRecord { broker_id: 7, broker_epoch: 5, ..Default::default() }.into()),
        fails(
            FeatureLevelRecord { name: "metadata.version".into(), feature_level: 20, ..Default::default() }
                .into(),
        ),
    ];
    let table = errors.join("\n").replace(&t.to_string(), "<t>");
    insta::assert_snapshot!(table, @r"
    duplicate TopicRecord for t
    RemoveTopicRecord for unknown topic 00000000-0000-0000-0000-000000000000
    PartitionRecord for unknown topic 00000000-0000-0000-0000-000000000000
    PartitionChangeRecord for unknown partition 5 of topic <t>
    partition 0 of topic <t>: unknown leader recovery state 7
    partition 0 of topic <t>: 2 directories for 1 replicas
    BrokerRegistrationChangeRecord: no registration of broker 1 with epoch 999
    UnregisterBrokerRecord: no registration of broker 7 with epoch 5
    metadata.version 20 is not supported; the highest is 19
    ");
    assert!(matches!(
        MetadataImage::default().apply(0, &PartitionRecord::default().into(), &mut MetadataDelta::default()),
        Err(ApplyError::UnknownTopic { .. })
    ));
}

/// A reassignment that another controller began is finished by the ISR that completes it.
#[test]
fn a_reassignment_ends_when_everyone_added_is_in_sync() {
    let mut cluster = Cluster::of(3);
    let t = cluster.create(assigned("t", "1 2"));
    let begin = PartitionChangeRecord {
        topic_id: t,
        partition_id: 0,
        replicas: Some(vec![3, 2, 1]),
        removing_replicas: Some(vec![1]),
        adding_replicas: Some(vec![3]),
        ..Default::default()
    };
    cluster.controller.apply(&[begin.into()], 0).unwrap();
    let grown = alter_partition::request(&cluster, 1, t, 0, &[1, 2, 3]);
    let outcome = cluster.ask(3, grown);
    assert_eq!(error_of(&outcome.response), Some(ErrorCode::NewLeaderElected));
    insta::assert_snapshot!(cluster.show(&outcome.records), @"change t-0 leader=3 isr=[2, 3] replicas=[3, 2] removing=[] adding=[] directories=2");
}

/// A broker that slept through the log gets a snapshot: it must hear of everything that is gone as well.
#[test]
fn the_difference_of_two_images_tells_what_came_changed_and_went() {
    let mut cluster = Cluster::of(2);
    cluster.create(assigned("kept", "1 2"));
    let changed = cluster.create(assigned("changed", "1 2, 2 1"));
    let gone = cluster.create(assigned("gone", "1 2"));
    let old = cluster.controller.image().clone();
    assert!(
        {
            let same = MetadataDelta::between(&old, &old.clone());
            same.changed_topics.is_empty() && same.changed_brokers.is_empty() && same.from_snapshot
        },
        "nothing but that it came from a snapshot"
    );
    let shrink = alter_partition::request(&cluster, 1, changed, 0, &[1]);
    cluster.ask(3, shrink);
    let new = cluster.create(assigned("new", "2 1"));
    let named = delete_topics_request::DeleteTopicState::default().with_name(None).with_topic_id(gone);
    cluster.ask(6, DeleteTopicsRequest::default().with_topics(vec![named]));
    cluster.register(3);
    let delta = MetadataDelta::between(&old, cluster.controller.image());
    let words: Vec<String> = delta
        .changed_topics
        .values()
        .map(|t| format!("{} created {} partitions {:?}", t.name, t.created, t.partitions.keys()))
        .collect();
    assert_eq!(delta.changed_topics.len(), 2, "{words:?}");
    assert!(delta.changed_topics[&new].created && !delta.changed_topics[&changed].created);
    assert_eq!(delta.changed_topics[&changed].partitions.keys().collect::<Vec<_>>(), [&0]);
    assert_eq!(delta.deleted_topics.keys().collect::<Vec<_>>(), [&gone]);
    assert_eq!(delta.changed_brokers, std::collections::BTreeMap::from([(3, None)]));
}
