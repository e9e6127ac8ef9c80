//! A controller takes over a log, keeps it moving, and refuses in the right shape.

use jackdaw_wire::metadata_record::FeatureLevelRecord;

use super::*;

fn names(records: &[MetadataRecord]) -> Vec<&'static str> {
    records.iter().map(|r| r.name().trim_end_matches("Record")).collect()
}

fn take_over(log: LogStart, bootstrap: Vec<MetadataRecord>) -> Result<Vec<&'static str>, ActivationError> {
    let settings = ControllerSettings { bootstrap, ..settings() };
    Controller::activate(settings, Arc::new(Schema), log, 0).map(|(_, records)| names(&records))
}

/// Readers publish nothing of an open transaction: whoever forgets to end or abort one stops the whole cluster.
#[test]
fn a_takeover_writes_what_the_log_lacks() {
    let level = |feature_level| {
        let name = "metadata.version".to_owned();
        MetadataRecord::from(FeatureLevelRecord { name, feature_level, ..Default::default() })
    };
    let used = |feature_level| {
        let mut image = MetadataImage::default();
        image.apply(5, &level(feature_level), &mut MetadataDelta::default()).unwrap();
        image
    };
    let log = |image: MetadataImage, open_transaction| {
        let is_empty = image.provenance.offset < 0;
        LogStart { next_offset: image.provenance.offset + 2, image, is_empty, open_transaction }
    };
    let mut table = String::new();
    for (what, log, bootstrap) in [
        ("empty", log(MetadataImage::default(), false), vec![]),
        ("empty, bootstrap at 12", log(MetadataImage::default(), false), vec![level(12)]),
        ("empty, bootstrap at 7", log(MetadataImage::default(), false), vec![level(7)]),
        ("left inside the bootstrap", log(MetadataImage::default(), true), vec![]),
        ("used", log(used(19), false), vec![]),
        ("used, left inside a transaction", log(used(19), true), vec![]),
        ("used, older, left inside a transaction", log(used(12), true), vec![]),
    ] {
        let written = take_over(log, bootstrap).map_or_else(|e| e.to_string(), |names| names.join(" "));
        table += &format!("{what}: {written}\n");
    }
    insta::assert_snapshot!(table, @r"
    empty: BeginTransaction FeatureLevel ZkMigrationState EndTransaction
    empty, bootstrap at 12: FeatureLevel ZkMigrationState
    empty, bootstrap at 7: FeatureLevel
    left inside the bootstrap: AbortTransaction BeginTransaction FeatureLevel ZkMigrationState EndTransaction
    used: 
    used, left inside a transaction: AbortTransaction
    used, older, left inside a transaction: Detected in-progress transaction, but the metadata.version 3.6-IV0 does not support transactions. Cannot continue.
    ");
}

/// The first session timeout counts from the takeover: nobody can have been heard before.
#[test]
fn sessions_start_afresh_with_a_new_controller() {
    let cluster = Cluster::of(2);
    let log = LogStart {
        image: cluster.controller.image().clone(),
        next_offset: 100,
        is_empty: false,
        open_transaction: false,
    };
    let (mut controller, records) = Controller::activate(settings(), Arc::new(Schema), log, 50_000).unwrap();
    assert!(records.is_empty());
    assert_eq!(controller.next_deadline_ms(), Some(59_001));
    assert!(controller.tick(59_000).unwrap().is_none());
    assert!(controller.tick(59_001).unwrap().is_some());
}

#[test]
fn an_idle_log_is_kept_moving() {
    let mut cluster = Cluster::empty(ControllerSettings { no_op_interval_ms: Some(500), ..settings() });
    for expected in [500, 1_000, 1_500] {
        assert_eq!(cluster.controller.next_deadline_ms(), Some(expected));
        assert!(cluster.tick().is_none());
        cluster.now_ms = expected;
        let tick = cluster.tick().unwrap();
        assert_eq!((tick.reason, names(&tick.records)), (TickReason::NoOp, vec!["NoOp"]));
    }
}

/// A reply waits for everything before it, because it was decided on all of that.
#[test]
fn even_a_refusal_waits_for_what_it_was_decided_on() {
    let mut cluster = Cluster::of(1);
    let create = CreateTopicsRequest::default().with_topics(vec![topic("t", 1, 1)]);
    let made = cluster.ask(7, create.clone());
    let refused = cluster.ask(7, create);
    assert!(refused.records.is_empty());
    assert_eq!(made.commit_offset, refused.commit_offset);
}

/// The forwarding broker and the client look for the error where Kafka puts it.
#[test]
fn a_refusal_has_the_shape_of_the_reply() {
    let error = ApiError::new(ErrorCode::NotController, "No controller appears to be active.");
    let topics = vec![topic("a", 1, 1), topic("b", 1, 1)];
    let request = Request::from(CreateTopicsRequest::default().with_topics(topics));
    let Response::CreateTopics(r) = request.refuse(&error) else { panic!() };
    assert_eq!(r.topics.len(), 2);
    assert!(Response::CreateTopics(r).says_not_controller());
    let heartbeat = Request::from(BrokerHeartbeatRequest::default());
    assert_eq!(error_of(&heartbeat.refuse(&error)), Some(ErrorCode::NotController));
    assert!(!Response::Heartbeat(BrokerHeartbeatResponse::default()).says_not_controller());
}

#[test]
fn controllers_register_from_3_7_on() {
    let mut cluster = Cluster::of(0);
    let request = ControllerRegistrationRequest::default().with_controller_id(2).with_incarnation_id(id(2));
    let outcome = cluster.ask(0, request);
    assert_eq!(names(&outcome.records), ["RegisterController"]);
    assert_eq!(cluster.controller.image().controllers[&2].incarnation_id, id(2));
}
