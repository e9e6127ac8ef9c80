//! Dynamic configurations.

use jackdaw_wire::messages::alter_configs_request;
use jackdaw_wire::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};

use super::*;

fn resource(kind: i8, name: &str, changes: &[(i8, &str, Option<&str>)]) -> AlterConfigsResource {
    let configs = changes.iter().map(|(operation, key, value)| {
        AlterableConfig::default()
            .with_config_operation(*operation)
            .with_name(text(key))
            .with_value(value.map(text))
    });
    AlterConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configs(configs.collect())
}

#[test]
fn settings_are_set_deleted_appended_to_and_subtracted_from() {
    let mut cluster = Cluster::of(1);
    cluster.create(topic("t", 1, 1));
    let mut log = String::new();
    for (what, resources) in [
        ("set", vec![resource(2, "t", &[(0, "retention.ms", Some("5"))])]),
        ("same", vec![resource(2, "t", &[(0, "retention.ms", Some("5"))])]),
        ("append", vec![resource(2, "t", &[(2, "cleanup.policy", Some("compact"))])]),
        ("subtract", vec![resource(2, "t", &[(3, "cleanup.policy", Some("delete"))])]),
        ("delete", vec![resource(2, "t", &[(1, "retention.ms", None)])]),
        ("append to no list", vec![resource(2, "t", &[(2, "retention.ms", Some("5"))])]),
        ("unknown key", vec![resource(2, "t", &[(0, "no.such", Some("5"))])]),
        ("unknown topic", vec![resource(2, "x", &[(0, "retention.ms", Some("5"))])]),
        ("no topic", vec![resource(2, "", &[])]),
        ("broker", vec![resource(4, "1", &[(0, "log.retention.ms", Some("5"))])]),
        ("broker again", vec![resource(4, "1", &[(0, "log.retention.ms", Some("5"))])]),
        ("all brokers", vec![resource(4, "", &[(0, "log.retention.ms", Some("5"))])]),
        ("no such broker", vec![resource(4, "8", &[])]),
        ("no number", vec![resource(4, "x", &[])]),
        ("negative", vec![resource(4, "-1", &[])]),
        ("unknown type", vec![resource(77, "x", &[])]),
        ("twice", vec![resource(4, "1", &[]), resource(4, "1", &[])]),
    ] {
        let outcome = cluster.ask(1, IncrementalAlterConfigsRequest::default().with_resources(resources));
        let Response::IncrementalAlterConfigs(r) = &outcome.response else { panic!() };
        let message = r.responses[0].error_message.as_deref().unwrap_or_default();
        let error = error_of(&outcome.response).map_or(String::new(), |e| format!("{e:?} "));
        log += &format!("{what}: {error}{message}{}\n", cluster.show(&outcome.records).trim());
    }
    insta::assert_snapshot!(log, @r#"
    set: config 2/t retention.ms=Some("5")
    same: 
    append: config 2/t cleanup.policy=Some("delete,compact")
    subtract: config 2/t cleanup.policy=Some("compact")
    delete: config 2/t retention.ms=None
    append to no list: InvalidConfig Can't APPEND to key retention.ms because its type is not LIST.
    unknown key: InvalidConfig Unknown topic config name: no.such
    unknown topic: UnknownTopicOrPartition The topic 'x' does not exist.
    no topic: InvalidRequest Default topic resources are not allowed.
    broker: config 4/1 log.retention.ms=Some("5")
    broker again: config 4/1 log.retention.ms=Some("5")
    all brokers: config 4/ log.retention.ms=Some("5")
    no such broker: BrokerIdNotRegistered No node with id 8 found.
    no number: InvalidRequest Unable to parse broker name as a base 10 number.
    negative: InvalidRequest Invalid negative broker ID.
    unknown type: UnsupportedVersion Unknown resource type 77.
    twice: InvalidRequest Duplicate resource.
    "#);
}

/// The older request names all that shall be set: whoever forgets a key loses it, in Kafka as here.
#[test]
fn a_replaced_configuration_loses_what_is_not_named() {
    let mut cluster = Cluster::of(1);
    cluster.create(topic("t", 1, 1));
    let replace = |kind: i8, name: &str, pairs: &[(&str, &str)]| {
        let configs = pairs.iter().map(|(key, value)| {
            alter_configs_request::AlterableConfig::default()
                .with_name(text(key))
                .with_value(Some(text(value)))
        });
        alter_configs_request::AlterConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(text(name))
            .with_configs(configs.collect())
    };
    let mut log = String::new();
    for (what, resources) in [
        ("two", vec![replace(2, "t", &[("retention.ms", "5"), ("cleanup.policy", "compact")])]),
        ("one", vec![replace(2, "t", &[("retention.ms", "5")])]),
        ("another", vec![replace(2, "t", &[("cleanup.policy", "delete")])]),
        ("none", vec![replace(2, "t", &[])]),
        ("unknown key", vec![replace(2, "t", &[("no.such", "5")])]),
        ("broker", vec![replace(4, "1", &[("log.retention.ms", "5")])]),
        ("broker again", vec![replace(4, "1", &[("log.retention.ms", "5")])]),
        ("unknown type", vec![replace(77, "x", &[])]),
        ("twice", vec![replace(4, "1", &[]), replace(4, "1", &[])]),
    ] {
        let outcome = cluster.ask(2, AlterConfigsRequest::default().with_resources(resources));
        let Response::AlterConfigs(r) = &outcome.response else { panic!() };
        let message = r.responses[0].error_message.as_deref().unwrap_or_default();
        let error = error_of(&outcome.response).map_or(String::new(), |e| format!("{e:?} "));
        log += &format!(
            "{what}: {error}{message}{}\n",
            cluster.show(&outcome.records).trim().replace('\n', "; ")
        );
    }
    insta::assert_snapshot!(log, @r#"
    two: config 2/t cleanup.policy=Some("compact"); config 2/t retention.ms=Some("5")
    one: config 2/t cleanup.policy=None
    another: config 2/t cleanup.policy=Some("delete"); config 2/t retention.ms=None
    none: config 2/t cleanup.policy=None
    unknown key: InvalidConfig Unknown topic config name: no.such
    broker: config 4/1 log.retention.ms=Some("5")
    broker again: config 4/1 log.retention.ms=Some("5")
    unknown type: UnsupportedVersion Unknown resource type 77.
    twice: InvalidRequest Duplicate resource.
    "#);
}

/// A setting of a group that nothing reads would be one without effect: they come with the groups that have them.
#[test]
fn groups_have_settings_where_they_may_speak_the_consumer_protocol() {
    const KEY: &str = "consumer.session.timeout.ms";
    let mut log = String::new();
    for consumer_groups in [false, true] {
        let mut cluster = Cluster::empty(ControllerSettings { consumer_groups, ..settings() });
        for (what, resource) in [
            ("set", resource(32, "g", &[(0, KEY, Some("50000"))])),
            ("same", resource(32, "g", &[(0, KEY, Some("50000"))])),
            ("append", resource(32, "g", &[(2, KEY, Some("1"))])),
            ("unknown key", resource(32, "g", &[(0, "share.session.timeout.ms", Some("50000"))])),
            ("all groups", resource(32, "", &[(0, KEY, Some("50000"))])),
            ("delete", resource(32, "g", &[(1, KEY, None)])),
        ] {
            let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
            let outcome = cluster.ask(1, request);
            let Response::IncrementalAlterConfigs(r) = &outcome.response else { panic!() };
            let message = r.responses[0].error_message.as_deref().unwrap_or_default();
            let error = error_of(&outcome.response).map_or(String::new(), |e| format!("{e:?} "));
            log += format!("{what}: {error}{message}{}", cluster.show(&outcome.records).trim()).trim_end();
            log.push('\n');
        }
    }
    insta::assert_snapshot!(log, @r#"
    set: UnsupportedVersion Unknown resource type 32.
    same: UnsupportedVersion Unknown resource type 32.
    append: UnsupportedVersion Unknown resource type 32.
    unknown key: UnsupportedVersion Unknown resource type 32.
    all groups: UnsupportedVersion Unknown resource type 32.
    delete: UnsupportedVersion Unknown resource type 32.
    set: config 32/g consumer.session.timeout.ms=Some("50000")
    same:
    append: InvalidConfig Can't APPEND to key consumer.session.timeout.ms because its type is not LIST.
    unknown key: InvalidConfig Unknown group config name: share.session.timeout.ms
    all groups: InvalidRequest Default group resources are not allowed.
    delete: config 32/g consumer.session.timeout.ms=None
    "#);
}
