//! Finalized features.

use jackdaw_wire::messages::update_features_request::FeatureUpdateKey;
use jackdaw_wire::metadata_record::FeatureLevelRecord;

use super::*;

/// A level that some node cannot follow would stop that node for good: every one of them is asked.
#[test]
fn levels_change_only_where_every_node_can_follow() {
    let mut cluster = Cluster::of(2);
    let update = |level: i16, kind: i8| {
        let update = FeatureUpdateKey::default()
            .with_feature(text("metadata.version"))
            .with_max_version_level(level)
            .with_upgrade_type(kind);
        UpdateFeaturesRequest::default().with_feature_updates(vec![update])
    };
    let register = |controller: i32, max: i16| {
        let feature = jackdaw_wire::messages::controller_registration_request::Feature::default()
            .with_name(text("metadata.version"))
            .with_min_supported_version(1)
            .with_max_supported_version(max);
        ControllerRegistrationRequest::default().with_controller_id(controller).with_features(vec![feature])
    };
    let mut log = String::new();
    let mut ask = |cluster: &mut Cluster, what: &str, request: Request| {
        let outcome = cluster.ask(1, request);
        let told = match &outcome.response {
            Response::UpdateFeatures(r) => r.results[0].error_message.as_deref().unwrap_or("done").to_owned(),
            _ => return,
        };
        let line = format!("{what}: {told} {}", cluster.show(&outcome.records).trim());
        log += line.trim_end();
        log.push('\n');
    };
    ask(&mut cluster, "before the others registered", update(18, 2).into());
    ask(&mut cluster, "", register(2, 18).into());
    ask(&mut cluster, "", register(3, 19).into());
    ask(&mut cluster, "higher than one controller", update(19, 1).into());
    ask(&mut cluster, "lower", update(18, 2).into());
    ask(&mut cluster, "without a word", update(17, 1).into());
    ask(&mut cluster, "other records", update(14, 2).into());
    ask(&mut cluster, "other records by force", update(14, 3).into());
    ask(&mut cluster, "too low", update(3, 2).into());
    ask(&mut cluster, "no kind", update(18, 0).into());
    ask(&mut cluster, "negative", update(-1, 1).into());
    insta::assert_snapshot!(log, @r"
    before the others registered: Invalid update version 18 for feature metadata.version. controller 2 has not registered, and may not support this feature
    higher than one controller: Invalid update version 19 for feature metadata.version. Controller 2 only supports versions 1-18
    lower: done FeatureLevelRecord
    without a word: Invalid update version 17 for feature metadata.version. Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe downgrade.
    other records: Invalid metadata.version 14. Refusing to perform the requested downgrade because it might delete metadata information.
    other records by force: Invalid metadata.version 14. Unsafe metadata downgrade is not supported in this version.
    too low: Invalid metadata.version 3. Unable to set a metadata.version less than 3.3-IV0
    no kind: Invalid update version 18 for feature metadata.version. The controller does not support the given upgrade type.
    negative: Invalid update version -1 for feature metadata.version. A feature version cannot be less than 0.
    ");
}

/// `group.version` of 4.x: the settings of every node must allow it, and while nobody has said a level they decide
/// alone.
#[test]
fn the_protocol_of_groups_is_switched_where_the_settings_of_every_node_allow_it() {
    const NAME: &str = "group.version";
    let mut log = String::new();
    for (settings_name_it, brokers_name_it) in [(false, true), (true, false), (true, true)] {
        let alone = ControllerSettings { voters: vec![1], consumer_groups: settings_name_it, ..settings() };
        let mut cluster = Cluster::empty(alone);
        let mut broker = registration(1);
        if brokers_name_it {
            broker.features.push(
                jackdaw_wire::messages::broker_registration_request::Feature::default()
                    .with_name(text(NAME))
                    .with_max_supported_version(1),
            );
        }
        cluster.ask(3, broker);
        log += &format!("controller {settings_name_it}, broker {brokers_name_it}\n");
        for (level, kind) in [(1, 1), (2, 1), (0, 1), (0, 2), (1, 2), (1, 1)] {
            let update = FeatureUpdateKey::default()
                .with_feature(text(NAME))
                .with_max_version_level(level)
                .with_upgrade_type(kind);
            let request = UpdateFeaturesRequest::default().with_feature_updates(vec![update]);
            let outcome = cluster.ask(1, request);
            let Response::UpdateFeatures(r) = &outcome.response else { panic!() };
            let told = r.results[0].error_message.as_deref().unwrap_or("done").to_owned();
            let image = cluster.controller.image();
            let level_is = [false, true].map(|is_named| image.features.group_version(is_named));
            log += &format!("{level} by {kind}: {told} {level_is:?}\n");
        }
        // What was said is not lost with the log.
        let kept = cluster.controller.image().to_records();
        let kept = kept.iter().filter_map(|record| match record {
            MetadataRecord::FeatureLevel(r) if r.name == NAME => Some(r.feature_level),
            _ => None,
        });
        log += &format!("kept: {:?}\n", kept.collect::<Vec<_>>());
    }
    insta::assert_snapshot!(log, @r"
    controller false, broker true
    1 by 1: Invalid update version 1 for feature group.version. Local controller 1 does not support this feature. [0, 1]
    2 by 1: Invalid update version 2 for feature group.version. Local controller 1 does not support this feature. [0, 1]
    0 by 1: done [0, 0]
    0 by 2: done [0, 0]
    1 by 2: Invalid update version 1 for feature group.version. Local controller 1 does not support this feature. [0, 0]
    1 by 1: Invalid update version 1 for feature group.version. Local controller 1 does not support this feature. [0, 0]
    kept: [0]
    controller true, broker false
    1 by 1: Invalid update version 1 for feature group.version. Broker 1 does not support this feature. [0, 1]
    2 by 1: Invalid update version 2 for feature group.version. Local controller 1 only supports versions 0-1 [0, 1]
    0 by 1: Invalid update version 0 for feature group.version. Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe downgrade. [0, 1]
    0 by 2: done [0, 0]
    1 by 2: Invalid update version 1 for feature group.version. Broker 1 does not support this feature. [0, 0]
    1 by 1: Invalid update version 1 for feature group.version. Broker 1 does not support this feature. [0, 0]
    kept: [0]
    controller true, broker true
    1 by 1: done [1, 1]
    2 by 1: Invalid update version 2 for feature group.version. Local controller 1 only supports versions 0-1 [1, 1]
    0 by 1: Invalid update version 0 for feature group.version. Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe downgrade. [1, 1]
    0 by 2: done [0, 0]
    1 by 2: Invalid update version 1 for feature group.version. Can't downgrade to a newer version. [0, 0]
    1 by 1: done [1, 1]
    kept: [1]
    ");
}

/// Kafka's storage tool may have been told to switch them on, or off, when the cluster was formatted.
#[test]
fn a_bootstrap_file_may_say_the_level_of_another_feature() {
    for level in [0, 1] {
        let feature = |name: &str, level| -> MetadataRecord {
            FeatureLevelRecord { name: name.into(), feature_level: level, ..Default::default() }.into()
        };
        let bootstrap = vec![feature("metadata.version", 19), feature("group.version", level)];
        let cluster = Cluster::empty(ControllerSettings { consumer_groups: true, bootstrap, ..settings() });
        assert_eq!(cluster.controller.image().features.group_version(true), level);
    }
}
