//! One broker, called directly.

use jackdaw_wire::metadata_record::RemoveTopicRecord;

use super::*;
use crate::replicas::shared::TopicRef;

pub(super) struct Single {
    pub(super) manager: ReplicaManager,
    metadata: Metadata,
    sink: Arc<Sink>,
    pub(super) folder: tempfile::TempDir,
}

/// Broker 1 leads partitions 0, 1 and 2, alone.
pub(super) async fn single(settings: &[(&str, &str)]) -> Single {
    with_replicas(settings, &[1], &[1]).await
}

async fn with_replicas(settings: &[(&str, &str)], replicas: &[i32], isr: &[i32]) -> Single {
    with_options(settings, replicas, isr, |_| {}).await
}

pub(super) async fn with_options(
    settings: &[(&str, &str)],
    replicas: &[i32],
    isr: &[i32],
    change: impl FnOnce(&mut ReplicaOptions),
) -> Single {
    let folder = tempfile::tempdir().unwrap();
    let sink = Arc::<Sink>::default();
    let mut options = options(1, folder.path(), Arc::clone(&sink), settings);
    change(&mut options);
    let manager = ReplicaManager::open(options).unwrap();
    let mut metadata = Metadata::default();
    let mut records = vec![version_record(), topic_record()];
    records.extend((1..=3).map(|id| broker_record(id, i64::from(id), 1)));
    records.extend((0..3).map(|index| partition_record(index, replicas, isr, 1, (0, 0))));
    let (image, delta) = metadata.apply(&records);
    manager.apply(&image, &delta).await;
    Single { manager, metadata, sink, folder }
}

impl Single {
    pub(super) async fn apply(&mut self, records: &[MetadataRecord]) {
        let (image, delta) = self.metadata.apply(records);
        self.manager.apply(&image, &delta).await;
    }

    pub(super) async fn reopened(self, settings: &[(&str, &str)], clean: bool) -> Self {
        let Self { manager, metadata, sink, folder } = self;
        if clean {
            manager.shutdown(7).await;
        }
        drop(manager);
        let manager = ReplicaManager::open(options(1, folder.path(), Arc::clone(&sink), settings)).unwrap();
        let image = Arc::new(metadata.image.clone());
        manager.apply(&image, &MetadataDelta::default()).await;
        Self { manager, metadata, sink, folder }
    }
}

#[tokio::test]
async fn what_is_produced_is_fetched() {
    let s = single(&[]).await;
    for acks in [-1, 1, 0] {
        assert_eq!(produce(&s.manager, acks, 0, batch(&["a", "b"])).await.error_code, 0);
    }
    let answer = produce(&s.manager, -1, 0, batch(&["c"])).await;
    assert_eq!((answer.base_offset, answer.log_start_offset, answer.log_append_time_ms), (6, 0, -1));
    let fetch = Fetch::default();
    assert_eq!(told(&fetch.of(&s.manager, &[(0, 0), (1, 0)]).await), ["0:[a,b,a,b,a,b,c]hw7", "1:[]hw0"]);
    assert_eq!(told(&fetch.of(&s.manager, &[(0, 6)]).await), ["0:[c]hw7"]);
    for version in [4, 6, 7, 11, 12] {
        let fetch = Fetch { version, ..Fetch::default() };
        assert_eq!(told(&fetch.of(&s.manager, &[(0, 6)]).await), ["0:[c]hw7"], "version {version}");
    }
}

#[tokio::test]
async fn a_request_is_answered_partition_by_partition() {
    let s = single(&[("max.message.bytes", "200")]).await;
    let long = "x".repeat(300);
    let parts =
        [(0, batch(&["a"])), (1, batch(&[&long])), (9, batch(&["a"])), (2, Bytes::from_static(b"junk"))];
    let request = produce_request(-1, 5_000, &parts);
    let produced = s.manager.produce(&context(ApiKey::Produce, 9), request).await;
    assert!(produced.failed);
    let errors: Vec<_> = produced.response.responses[0]
        .partition_responses
        .iter()
        .map(|p| (p.index, error_of(p.error_code), p.base_offset))
        .collect();
    assert_eq!(
        errors,
        [
            (0, None, 0),
            (1, Some(ErrorCode::MessageTooLarge), -1),
            (9, Some(ErrorCode::UnknownTopicOrPartition), -1),
            (2, Some(ErrorCode::InvalidRecord), -1),
        ]
    );
    let acks = produce(&s.manager, 2, 0, batch(&["a"])).await;
    assert_eq!(error_of(acks.error_code), Some(ErrorCode::InvalidRequiredAcks));
}

#[tokio::test]
async fn a_batch_that_was_sent_before_keeps_its_offset() {
    let s = single(&[]).await;
    for (sequence, expected) in
        [(0, Ok(0)), (1, Ok(1)), (0, Ok(0)), (5, Err(ErrorCode::OutOfOrderSequenceNumber)), (2, Ok(2))]
    {
        let answer = produce(&s.manager, -1, 0, batch_of(42, sequence, &["a"])).await;
        let outcome = error_of(answer.error_code).map_or(Ok(answer.base_offset), Err);
        assert_eq!(outcome, expected, "sequence {sequence}");
    }
}

#[tokio::test]
async fn pipelined_requests_keep_their_order() {
    let s = single(&[]).await;
    let submit = |n: i32| {
        let request = produce_request(-1, 5_000, &[(0, batch_of(7, n, &[&n.to_string()]))]);
        s.manager.produce(&context(ApiKey::Produce, 9), request)
    };
    // The futures are polled last first: order is that of the calls.
    let mut waiting: Vec<_> = (0..20).map(submit).collect();
    while let Some(last) = waiting.pop() {
        assert!(!last.await.failed);
    }
    let fetched = Fetch::default().of(&s.manager, &[(0, 0)]).await;
    let expected: Vec<String> = (0..20).map(|n: i32| n.to_string()).collect();
    assert_eq!(told(&fetched), [format!("0:[{}]hw20", expected.join(","))]);
}

#[tokio::test]
async fn a_long_poll_is_woken_by_the_partition_it_waits_for() {
    let s = single(&[]).await;
    let fetch = Fetch { max_wait_ms: 60_000, ..Fetch::default() };
    let waiting = s.manager.fetch(&context(ApiKey::Fetch, 16), fetch.request(&[(0, 0), (1, 0)]));
    let waiting = tokio::spawn(waiting);
    produce(&s.manager, 1, 2, batch(&["elsewhere"])).await;
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    produce(&s.manager, 1, 1, batch(&["here"])).await;
    assert_eq!(told(&decode_fetch(16, waiting.await.unwrap())), ["0:[]hw0", "1:[here]hw1"]);
}

#[tokio::test]
async fn min_bytes_are_waited_for_and_the_timeout_ends_it() {
    let s = single(&[]).await;
    let fetch = Fetch { max_wait_ms: 60_000, min_bytes: 100, ..Fetch::default() };
    let waiting =
        tokio::spawn(s.manager.fetch(&context(ApiKey::Fetch, 16), fetch.request(&[(0, 0), (1, 0)])));
    produce(&s.manager, 1, 0, batch(&["a"])).await;
    produce(&s.manager, 1, 1, batch(&["b"])).await;
    assert_eq!(told(&decode_fetch(16, waiting.await.unwrap())), ["0:[a]hw1", "1:[b]hw1"]);
    produce(&s.manager, 1, 1, batch(&[&"c".repeat(200)])).await;
    let fits_not = Fetch { max_wait_ms: 60_000, min_bytes: 300, max_bytes: 300, ..Fetch::default() };
    let told_at_once = told(&fits_not.of(&s.manager, &[(0, 0), (1, 1)]).await);
    assert_eq!(told_at_once, ["0:[a]hw1", "1:[]hw2"], "what does not fit counts");
    let fetch = Fetch { max_wait_ms: 10, min_bytes: 1_000_000, ..Fetch::default() };
    assert_eq!(told(&fetch.of(&s.manager, &[(0, 0)]).await), ["0:[a]hw1"]);
}

#[tokio::test]
async fn limits_hold_save_for_the_first_batch() {
    let s = single(&[]).await;
    for partition in 0..3 {
        produce(&s.manager, 1, partition, batch(&["0123456789"])).await;
    }
    let all = [(0, 0), (1, 0), (2, 0)];
    let one = Fetch { max_bytes: 10, ..Fetch::default() };
    assert_eq!(told(&one.of(&s.manager, &all).await), ["0:[0123456789]hw1", "1:[]hw1", "2:[]hw1"]);
    let each = Fetch { partition_max_bytes: 1, ..Fetch::default() };
    let fetched = each.of(&s.manager, &all).await;
    let sizes: Vec<_> =
        fetched.responses[0].partitions.iter().map(|p| p.records.as_ref().unwrap().len()).collect();
    assert_eq!(sizes, [78, 0, 0], "the first comes whole, of the others nothing does");
}

#[tokio::test]
async fn a_session_tells_only_what_is_new() {
    let s = single(&[]).await;
    produce(&s.manager, 1, 0, batch(&["a"])).await;
    let first = Fetch { session: (0, 0), ..Fetch::default() };
    let first = first.of(&s.manager, &[(0, 0), (1, 0), (2, 0)]).await;
    assert_eq!(told(&first), ["0:[a]hw1", "1:[]hw0", "2:[]hw0"]);
    let id = first.session_id;
    assert_ne!(id, 0);
    let next = |epoch: i32| Fetch { session: (id, epoch), ..Fetch::default() };
    assert_eq!(told(&next(1).of(&s.manager, &[(0, 1)]).await), [""; 0]);
    produce(&s.manager, 1, 2, batch(&["b"])).await;
    assert_eq!(told(&next(2).of(&s.manager, &[]).await), ["2:[b]hw1"]);
    assert_eq!(told(&next(3).of(&s.manager, &[]).await), ["2:[b]hw1"], "not asked on: told again");
    assert_eq!(told(&next(4).of(&s.manager, &[(2, 1)]).await), [""; 0]);
    let wrong = next(4).of(&s.manager, &[]).await;
    assert_eq!(error_of(wrong.error_code), Some(ErrorCode::InvalidFetchSessionEpoch));
    let waiting = Fetch { max_wait_ms: 60_000, ..next(5) };
    let waiting = tokio::spawn(s.manager.fetch(&context(ApiKey::Fetch, 16), waiting.request(&[])));
    tokio::task::yield_now().await;
    produce(&s.manager, 1, 1, batch(&["c"])).await;
    assert_eq!(told(&decode_fetch(16, waiting.await.unwrap())), ["1:[c]hw1"]);
}

#[tokio::test]
async fn offsets_epochs_and_names_that_do_not_fit() {
    let mut s = single(&[]).await;
    produce(&s.manager, 1, 0, batch(&["a", "b"])).await;
    s.apply(&[partition_record(0, &[1], &[1], 1, (3, 1))]).await;
    produce(&s.manager, 1, 0, batch(&["c"])).await;
    let plain = Fetch::default();
    for (fetch, ask, expected) in [
        (plain.clone(), (0, 9), "0:OffsetOutOfRange"),
        (plain.clone(), (7, 0), "7:UnknownTopicOrPartition"),
        (Fetch { leader_epoch: 2, ..plain.clone() }, (0, 0), "0:FencedLeaderEpoch"),
        (Fetch { leader_epoch: 4, ..plain.clone() }, (0, 0), "0:UnknownLeaderEpoch"),
        (Fetch { leader_epoch: 3, last_epoch: 0, ..plain.clone() }, (0, 2), "0:[c]hw3"),
        (Fetch { leader_epoch: 3, last_epoch: 0, ..plain.clone() }, (0, 3), "0:diverges@2/0"),
        (Fetch { leader_epoch: 3, last_epoch: 2, ..plain.clone() }, (0, 2), "0:diverges@2/0"),
        (Fetch { replica: 2, leader_epoch: 3, ..plain.clone() }, (0, 0), "0:UnknownLeaderEpoch"),
        (Fetch { replica: 2, ..plain.clone() }, (0, 0), "0:NotLeaderOrFollower"),
    ] {
        assert_eq!(told(&fetch.of(&s.manager, &[ask]).await), [expected], "{ask:?}");
    }
    let request = Fetch::default().request(&[(0, 0)]);
    let mut request = request;
    request.topics[0].topic_id = Uuid::from_u128(77);
    let unknown = s.manager.fetch(&context(ApiKey::Fetch, 16), request).await;
    assert_eq!(told(&decode_fetch(16, unknown)), ["0:UnknownTopicId"]);
}

#[tokio::test]
async fn acks_all_wait_for_the_follower_and_time_out_without() {
    let s = with_replicas(&[("min.insync.replicas", "2")], &[1, 2, 3], &[1, 2]).await;
    let request = produce_request(-1, 20, &[(0, batch(&["a"]))]);
    let produced = s.manager.produce(&context(ApiKey::Produce, 9), request).await;
    let answer = &produced.response.responses[0].partition_responses[0];
    assert_eq!(error_of(answer.error_code), Some(ErrorCode::RequestTimedOut));
    let request = produce_request(-1, 60_000, &[(0, batch(&["b"]))]);
    let waiting = tokio::spawn(s.manager.produce(&context(ApiKey::Produce, 9), request));
    let follower = Fetch { replica: 2, replica_epoch: 2, leader_epoch: 0, ..Fetch::default() };
    assert_eq!(told(&follower.of(&s.manager, &[(0, 0)]).await), ["0:[a,b]hw0"]);
    assert!(!waiting.is_finished());
    assert_eq!(told(&follower.of(&s.manager, &[(0, 2)]).await), ["0:[]hw2"]);
    let produced = waiting.await.unwrap();
    assert_eq!(produced.response.responses[0].partition_responses[0].error_code, 0);
    assert_eq!(told(&Fetch::default().of(&s.manager, &[(0, 0)]).await), ["0:[a,b]hw2"]);
}

/// Where nothing gets committed, nobody is left to be told of it: not whose time is over, and not whose connection is.
#[tokio::test]
async fn producers_that_have_gone_are_owed_nothing() {
    let s = with_replicas(&[("min.insync.replicas", "2")], &[1, 2, 3], &[1, 2]).await;
    let shared = &s.manager.shared;
    let partition = shared.locate(&shared.image(), TopicRef::Name(TOPIC), 0).unwrap();
    for _ in 0..3 {
        let request = produce_request(-1, 1, &[(0, batch(&["a"]))]);
        s.manager.produce(&context(ApiKey::Produce, 9), request).await;
        assert_eq!(partition.owed(), 0);
    }
    let request = || produce_request(-1, 60_000, &[(0, batch(&["b"]))]);
    let waiting: Vec<_> =
        (0..4).map(|_| s.manager.produce(&context(ApiKey::Produce, 9), request())).collect();
    assert_eq!(partition.owed(), 4);
    drop(waiting);
    assert_eq!(partition.owed(), 0);
}

#[tokio::test]
async fn too_few_in_sync_are_told_before_the_append() {
    let s = with_replicas(&[("min.insync.replicas", "2")], &[1, 2], &[1]).await;
    let answer = produce(&s.manager, -1, 0, batch(&["a"])).await;
    assert_eq!(error_of(answer.error_code), Some(ErrorCode::NotEnoughReplicas));
    assert_eq!(produce(&s.manager, 1, 0, batch(&["a"])).await.base_offset, 0, "nothing was appended before");
}

#[tokio::test]
async fn a_follower_that_caught_up_is_proposed_for_the_isr() {
    let s = with_replicas(&[], &[1, 2], &[1]).await;
    produce(&s.manager, 1, 0, batch(&["a"])).await;
    let follower = |epoch| Fetch { replica: 2, replica_epoch: epoch, leader_epoch: 0, ..Fetch::default() };
    assert_eq!(
        told(&follower(1).of(&s.manager, &[(0, 1)]).await),
        ["0:NotLeaderOrFollower"],
        "a former life"
    );
    follower(2).of(&s.manager, &[(0, 1)]).await;
    let (change, done) = s.sink.changes.lock().unwrap().pop().expect("an ISR change");
    let isr: Vec<_> = change.isr.iter().map(|b| (b.broker, b.epoch)).collect();
    assert_eq!((isr, change.partition_epoch, change.topic_id), (vec![(1, -1), (2, 2)], 0, topic_id()));
    done(Ok(CommittedIsr { leader_epoch: 0, partition_epoch: 1, isr: vec![1, 2] }));
    follower(2).of(&s.manager, &[(0, 1)]).await;
    assert!(s.sink.changes.lock().unwrap().is_empty(), "it is in");
}

#[tokio::test]
async fn a_proposal_that_is_overtaken_while_the_follower_waits_is_made_again() {
    let mut s = with_replicas(&[], &[1, 2], &[1]).await;
    let proposed =
        |s: &Single| s.sink.changes.lock().unwrap().pop().map(|(change, _)| change.partition_epoch);
    let follower = Fetch { replica: 2, replica_epoch: 2, leader_epoch: 0, ..Fetch::default() };
    let opened = Fetch { session: (0, 0), ..follower.clone() }.of(&s.manager, &[(0, 0)]).await;
    assert_eq!(proposed(&s), Some(0));
    let waiting = Fetch { session: (opened.session_id, 1), max_wait_ms: 60_000, ..follower.clone() };
    let waiting = tokio::spawn(s.manager.fetch(&context(ApiKey::Fetch, 16), waiting.request(&[])));
    tokio::task::yield_now().await;
    s.apply(&[partition_record(0, &[1, 2], &[1], 1, (0, 1))]).await;
    tokio::task::yield_now().await;
    Fetch { session: (opened.session_id, 2), ..follower }.of(&s.manager, &[]).await;
    assert_eq!(proposed(&s), Some(1));
    waiting.abort();
}

#[tokio::test]
async fn what_does_not_exist_is_no_reason_to_answer_at_once() {
    let mut s = single(&[]).await;
    let fetch = Fetch { max_wait_ms: 60_000, version: 12, ..Fetch::default() };
    let both = s.manager.fetch(&context(ApiKey::Fetch, 12), fetch.request(&[(9, 0), (0, 0)]));
    let both = tokio::spawn(both);
    tokio::task::yield_now().await;
    assert!(!both.is_finished());
    assert_eq!(told(&fetch.of(&s.manager, &[(9, 0)]).await), ["9:UnknownTopicOrPartition"], "alone it is");
    produce(&s.manager, 1, 0, batch(&["a"])).await;
    let both = decode_fetch(12, both.await.unwrap());
    assert_eq!(told(&both), ["9:UnknownTopicOrPartition", "0:[a]hw1"]);
    let waiting = s.manager.fetch(&context(ApiKey::Fetch, 12), fetch.request(&[(9, 0), (0, 1), (1, 0)]));
    let waiting = tokio::spawn(waiting);
    tokio::task::yield_now().await;
    let remove = RemoveTopicRecord { topic_id: topic_id(), ..Default::default() };
    s.apply(&[MetadataRecord::RemoveTopic(remove)]).await;
    let gone = decode_fetch(12, waiting.await.unwrap());
    assert_eq!(
        told(&gone),
        [9, 0, 1].map(|p| format!("{p}:UnknownTopicOrPartition")),
        "it was there: told at once"
    );
}

#[tokio::test]
async fn who_is_behind_the_last_segment_is_not_kept_waiting() {
    let s = single(&[("segment.bytes", "100")]).await;
    for value in ["a", "b", "c"] {
        produce(&s.manager, 1, 0, batch(&[value])).await;
    }
    let fetch = Fetch { max_wait_ms: 60_000, min_bytes: 1_000, ..Fetch::default() };
    assert_eq!(told(&fetch.of(&s.manager, &[(0, 0)]).await), ["0:[a]hw3"]);
}

#[tokio::test]
async fn losing_the_lead_answers_those_who_wait() {
    let mut s = with_replicas(&[], &[1, 2], &[1, 2]).await;
    let request = produce_request(-1, 60_000, &[(0, batch(&["a"]))]);
    let producer = tokio::spawn(s.manager.produce(&context(ApiKey::Produce, 10), request));
    let fetch = Fetch { max_wait_ms: 60_000, version: 10, ..Fetch::default() };
    let consumer = tokio::spawn(s.manager.fetch(&context(ApiKey::Fetch, 10), fetch.request(&[(0, 0)])));
    tokio::task::yield_now().await;
    s.apply(&[partition_record(0, &[1, 2], &[1, 2], 2, (1, 1))]).await;
    let produced = producer.await.unwrap().response;
    let answer = &produced.responses[0].partition_responses[0];
    assert_eq!(error_of(answer.error_code), Some(ErrorCode::NotLeaderOrFollower));
    assert_eq!((answer.current_leader.leader_id.0, answer.current_leader.leader_epoch), (2, 1));
    assert_eq!(produced.node_endpoints[0].node_id.0, 2);
    assert_eq!(told(&decode_fetch(10, consumer.await.unwrap())), ["0:NotLeaderOrFollower"]);
}

#[tokio::test]
async fn offsets_are_listed_by_time_and_by_name() {
    let s = single(&[]).await;
    let mut builder = BatchBuilder::new(0, -1);
    [(1_000, "a"), (3_000, "b"), (2_000, "c")]
        .iter()
        .for_each(|(time, value)| builder.append(*time, None, Some(value.as_bytes())));
    produce(&s.manager, 1, 0, builder.build()).await;
    for (timestamp, expected) in [
        (-1, (-1, 3, 0)),
        (-2, (-1, 0, 0)),
        (-3, (3_000, 2, 0)),
        (-4, (-1, 0, 0)),
        (1_500, (3_000, 1, 0)),
        (9_000, (-1, -1, -1)),
    ] {
        use jackdaw_wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
        let partition =
            ListOffsetsPartition::default().with_timestamp(timestamp).with_current_leader_epoch(-1);
        let topic = ListOffsetsTopic::default()
            .with_name(TopicName(StrBytes::from_static_str(TOPIC)))
            .with_partitions(vec![partition]);
        let request = ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![topic]);
        let response = s.manager.list_offsets(&context(ApiKey::ListOffsets, 8), request).await;
        let found = &response.topics[0].partitions[0];
        assert_eq!(found.error_code, 0);
        assert_eq!((found.timestamp, found.offset, found.leader_epoch), expected, "timestamp {timestamp}");
    }
}

#[tokio::test]
async fn records_survive_a_clean_stop_and_a_crash() {
    for clean in [true, false] {
        let s = single(&[]).await;
        produce(&s.manager, -1, 0, batch(&["a", "b"])).await;
        produce(&s.manager, -1, 0, batch_of(9, 0, &["c"])).await;
        let s = s.reopened(&[], clean).await;
        assert_eq!(s.manager.previous_broker_epoch(), if clean { 7 } else { -1 });
        let fetched = Fetch::default().of(&s.manager, &[(0, 0)]).await;
        assert_eq!(told(&fetched), ["0:[a,b,c]hw3"], "clean {clean}");
        let again = produce(&s.manager, -1, 0, batch_of(9, 0, &["c"])).await;
        assert_eq!((again.error_code, again.base_offset), (0, 2), "producers are remembered; clean {clean}");
    }
}

#[tokio::test]
async fn a_deleted_topic_leaves_a_marked_folder_and_an_unknown_one_is_put_aside() {
    let mut s = single(&[("file.delete.delay.ms", "0")]).await;
    produce(&s.manager, -1, 0, batch(&["a"])).await;
    let data = s.folder.path().join("data");
    let folders = || {
        let names = std::fs::read_dir(&data).unwrap().map(|e| e.unwrap());
        let folders = names.filter(|e| e.file_type().unwrap().is_dir());
        let mut names: Vec<String> = folders.map(|e| e.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert_eq!(folders(), ["orders-0", "orders-1", "orders-2"]);
    let remove = RemoveTopicRecord { topic_id: topic_id(), ..Default::default() };
    s.apply(&[MetadataRecord::RemoveTopic(remove)]).await;
    assert!(folders().iter().all(|name| name.ends_with("-delete")), "{:?}", folders());
    let fetched = Fetch { version: 12, ..Fetch::default() }.of(&s.manager, &[(0, 0)]).await;
    assert_eq!(told(&fetched), ["0:UnknownTopicOrPartition"]);
    let Single { manager, folder, .. } = s;
    drop(manager);
    std::fs::create_dir(folder.path().join("data/other-0")).unwrap();
    let manager = ReplicaManager::open(options(1, folder.path(), Arc::default(), &[])).unwrap();
    manager.apply(&Arc::default(), &MetadataDelta::default()).await;
    let stray: Vec<_> = folders().into_iter().filter(|name| name.starts_with("other-0")).collect();
    assert!(stray.len() == 1 && stray[0].ends_with("-stray"), "{stray:?}");
}

#[tokio::test]
async fn a_flush_comes_before_the_acknowledgement() {
    let s = single(&[("flush.messages", "1")]).await;
    for acks in [1, -1] {
        let request = |n: i32| produce_request(acks, 5_000, &[(0, batch(&[&n.to_string()]))]);
        let all: Vec<_> =
            (0..10).map(|n| s.manager.produce(&context(ApiKey::Produce, 9), request(n))).collect();
        let answers = futures_util::future::join_all(all).await;
        assert!(answers.iter().all(|a| !a.failed), "acks {acks}");
    }
    let Some(shared::Hosted::Online(partition)) = s.manager.shared.hosted(topic_id(), 0) else { panic!() };
    let unflushed = partition.write_for(|writer, _| writer.log.unflushed_records()).await.unwrap();
    assert_eq!((unflushed, partition.state().durable_end), (0, 20));
}

#[tokio::test]
async fn a_directory_that_fails_takes_its_partitions_offline() {
    let s = single(&[]).await;
    let mut changed = s.manager.directories_changed();
    let Some(shared::Hosted::Online(partition)) = s.manager.shared.hosted(topic_id(), 0) else { panic!() };
    let error = jackdaw_log::StorageError::new("writing", "x", std::io::Error::other("broken"));
    partition.storage_failed(&error);
    changed.changed().await.unwrap();
    assert!(s.manager.online_directories().is_empty());
    let answer = produce(&s.manager, 1, 0, batch(&["a"])).await;
    assert_eq!(error_of(answer.error_code), Some(ErrorCode::KafkaStorageError));
    assert_eq!(told(&Fetch::default().of(&s.manager, &[(0, 0)]).await), ["0:KafkaStorageError"]);
}
