//! Finalized features.

use jackdaw_wire::messages::update_features_request::FeatureUpdateKey;

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
