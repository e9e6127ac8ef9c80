//! The data side of transactions on one broker: what is read while they are open, how they end, who may write.

use jackdaw_wire::messages::describe_producers_request::TopicRequest;
use jackdaw_wire::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use jackdaw_wire::messages::{DescribeProducersRequest, TransactionalId};

use super::single::{Single, with_options};
use super::*;
use crate::config::Config;
use crate::config::dynamic::Current;
use crate::config::schema::Dynamic;

const PRODUCER: i64 = 42;

async fn unverified() -> Single {
    with_options(&[], &[1], &[1], |options| options.producers.verify_transactions = false).await
}

fn transactional(sequence: i32, values: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::new(0, -1).transactional().producer(PRODUCER, 0, sequence);
    values.iter().for_each(|value| builder.append(now_ms(), None, Some(value.as_bytes())));
    builder.build()
}

async fn produce_in_transaction(manager: &ReplicaManager, records: Bytes) -> PartitionProduceResponse {
    let id = TransactionalId(StrBytes::from_static_str("shop"));
    let request = produce_request(-1, 5_000, &[(0, records)]).with_transactional_id(Some(id));
    let produced = manager.produce(&context(ApiKey::Produce, 9), request).await;
    produced.response.responses[0].partition_responses[0].clone()
}

fn marker(coordinator_epoch: i32, commits: bool, partitions: &[i32]) -> WritableTxnMarker {
    let topic = WritableTxnMarkerTopic::default()
        .with_name(TopicName(StrBytes::from_static_str(TOPIC)))
        .with_partition_indexes(partitions.to_vec());
    WritableTxnMarker::default()
        .with_producer_id(PRODUCER.into())
        .with_producer_epoch(0)
        .with_coordinator_epoch(coordinator_epoch)
        .with_transaction_result(commits)
        .with_topics(vec![topic])
}

async fn end(manager: &ReplicaManager, marker: WritableTxnMarker) -> Vec<Option<ErrorCode>> {
    let results = manager.write_txn_markers(&[marker]).await;
    results.into_iter().flatten().map(|(_, error)| error).collect()
}

/// Offsets of the log's data, as `read_committed` is told of them: last stable offset and aborted transactions.
async fn stable(manager: &ReplicaManager, offset: i64) -> (i64, Vec<(i64, i64)>) {
    let fetch = Fetch { reads_committed: true, ..Fetch::default() };
    let fetched = fetch.of(manager, &[(0, offset)]).await;
    let partition = &fetched.responses[0].partitions[0];
    let aborted = partition.aborted_transactions.iter().flatten();
    (partition.last_stable_offset, aborted.map(|txn| (*txn.producer_id, txn.first_offset)).collect())
}

#[tokio::test]
async fn whoever_reads_committed_waits_for_the_end_of_a_transaction() {
    let s = unverified().await;
    assert_eq!(produce_in_transaction(&s.manager, transactional(0, &["a", "b"])).await.error_code, 0);
    assert_eq!(told(&Fetch::default().of(&s.manager, &[(0, 0)]).await), ["0:[a,b]hw2"]);
    assert_eq!(stable(&s.manager, 0).await, (0, vec![]));
    let fetch = Fetch { reads_committed: true, max_wait_ms: 60_000, ..Fetch::default() };
    let waiting = tokio::spawn(s.manager.fetch(&context(ApiKey::Fetch, 16), fetch.request(&[(0, 0)])));
    tokio::task::yield_now().await;
    assert_eq!(end(&s.manager, marker(0, true, &[0])).await, [None]);
    let fetched = decode_fetch(16, waiting.await.unwrap());
    let partition = &fetched.responses[0].partitions[0];
    assert_eq!((partition.high_watermark, partition.last_stable_offset), (3, 3));
    assert!(partition.records.as_ref().is_some_and(|records| !records.is_empty()));
}

#[tokio::test]
async fn aborted_records_are_named_to_whoever_reads_committed() {
    let s = unverified().await;
    produce(&s.manager, -1, 0, batch(&["before"])).await;
    produce_in_transaction(&s.manager, transactional(0, &["a"])).await;
    assert_eq!(end(&s.manager, marker(0, false, &[0])).await, [None]);
    produce_in_transaction(&s.manager, transactional(1, &["b"])).await;
    assert_eq!(end(&s.manager, marker(0, true, &[0])).await, [None]);
    assert_eq!(stable(&s.manager, 0).await, (5, vec![(PRODUCER, 1)]));
    assert_eq!(stable(&s.manager, 3).await, (5, vec![]), "the aborted one is behind");
}

#[tokio::test]
async fn markers_are_refused_for_the_reasons_kafka_has() {
    let s = unverified().await;
    produce_in_transaction(&s.manager, transactional(0, &["a"])).await;
    assert_eq!(
        end(&s.manager, marker(5, true, &[0, 9])).await,
        [None, Some(ErrorCode::UnknownTopicOrPartition)]
    );
    let fenced = Some(ErrorCode::TransactionCoordinatorFenced);
    assert_eq!(end(&s.manager, marker(4, true, &[0])).await, [fenced]);
    let topic = TopicRequest::default()
        .with_name(TopicName(StrBytes::from_static_str(TOPIC)))
        .with_partition_indexes(vec![0, 9]);
    let request = DescribeProducersRequest::default().with_topics(vec![topic]);
    let described = s.manager.describe_producers(request).await;
    let [first, unknown] = &described.topics[0].partitions[..] else { panic!("{described:?}") };
    assert_eq!(error_of(unknown.error_code), Some(ErrorCode::UnknownTopicOrPartition));
    let producer = &first.active_producers[0];
    let seen = (*producer.producer_id, producer.last_sequence, producer.coordinator_epoch);
    assert_eq!((seen, producer.current_txn_start_offset), ((PRODUCER, 0, 5), -1));
}

#[tokio::test]
async fn a_transaction_that_no_coordinator_confirms_writes_nothing() {
    let s = with_options(&[], &[1], &[1], |_| {}).await;
    let refused = produce_in_transaction(&s.manager, transactional(0, &["a"])).await;
    assert_eq!(error_of(refused.error_code), Some(ErrorCode::NotEnoughReplicas));
    let message = refused.error_message.unwrap_or_default();
    assert!(message.ends_with("Underlying error: COORDINATOR_NOT_AVAILABLE"), "{message}");
    let nameless = produce(&s.manager, -1, 0, transactional(0, &["a"])).await;
    assert_eq!(error_of(nameless.error_code), Some(ErrorCode::TransactionalIdAuthorizationFailed));
    assert_eq!(told(&Fetch::default().of(&s.manager, &[(0, 0)]).await), ["0:[]hw0"]);
}

/// A manager's settings: those of a file, and those that were made while it runs.
fn current(set: &[(&str, &str)]) -> Current {
    let file = "process.roles=broker\nnode.id=1\ncontroller.quorum.voters=2@k:1\ncontroller.listener.names=C\n\
                log.cleaner.dedupe.buffer.size=2097152\nlog.cleanup.policy=compact\nlog.segment.bytes=200\n";
    let config = Config::parse("s", file.as_bytes(), &[]).unwrap().0;
    let set = set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Current::of(&config, &set, &Dynamic::new())
}

#[tokio::test]
async fn verification_is_switched_off_and_on_while_the_broker_runs() {
    let s = with_options(&[], &[1], &[1], |_| {}).await;
    let image = s.manager.image();
    let plain = ("log.cleanup.policy", "delete");
    let refused = Some(ErrorCode::NotEnoughReplicas);
    let first = produce_in_transaction(&s.manager, transactional(0, &["a"])).await;
    assert_eq!(error_of(first.error_code), refused, "no coordinator confirms it");
    let off = ("transaction.partition.verification.enable", "false");
    s.manager.reconfigure(&image, &current(&[plain, off]));
    let second = produce_in_transaction(&s.manager, transactional(0, &["a"])).await;
    assert_eq!(error_of(second.error_code), None);
    assert_eq!(end(&s.manager, marker(0, true, &[0])).await, [None]);
    s.manager.reconfigure(&image, &current(&[plain]));
    let third = produce_in_transaction(&s.manager, transactional(1, &["b"])).await;
    assert_eq!(error_of(third.error_code), refused);
    assert_eq!(stable(&s.manager, 0).await, (2, vec![]));
}

/// Writes one key twenty times, two of them into each segment.
async fn write_one_key(s: &Single) {
    for number in 0..20 {
        let mut builder = BatchBuilder::new(0, -1);
        builder.append(now_ms(), Some(b"key"), Some(format!("value-{number}").as_bytes()));
        assert_eq!(produce(&s.manager, -1, 0, builder.build()).await.error_code, 0);
    }
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.expect(what);
}

/// What is left of the values once the cleaner has noted that it was there.
async fn compacted(s: &Single) -> Vec<String> {
    let checkpoint = s.folder.path().join("data/cleaner-offset-checkpoint");
    // It may have been there before the last of them was written. Those two are in the segment that is written to.
    let is_noted = || std::fs::read_to_string(&checkpoint).is_ok_and(|text| text.contains("orders 0 18"));
    until("the cleaner's checkpoint", is_noted).await;
    let mut values = Vec::new();
    let mut offset = 0;
    while offset < 20 {
        let fetched = Fetch::default().of(&s.manager, &[(0, offset)]).await;
        let records = fetched.responses[0].partitions[0].records.clone().unwrap_or_default();
        values.extend(super::values(&records));
        let last = jackdaw_wire::batch::batches(&records).last().unwrap().unwrap();
        offset = last.header.next_offset();
    }
    values
}

fn is_short(values: &[String]) -> bool {
    values.len() < 6 && values.last().is_some_and(|last| last == "value-19")
}

#[tokio::test]
async fn the_cleaner_compacts_and_remembers_where_it_was() {
    let settings = [("cleanup.policy", "compact"), ("segment.bytes", "200")];
    let s = with_options(&settings, &[1], &[1], |_| {}).await;
    write_one_key(&s).await;
    let values = compacted(&s).await;
    assert!(is_short(&values), "{values:?}");
}

#[tokio::test]
async fn the_cleaner_takes_orders_while_it_waits_and_while_it_works() {
    const HOUR_MS: i64 = 3_600_000;
    let settings = [("cleanup.policy", "compact"), ("segment.bytes", "200")];
    let s = with_options(&settings, &[1], &[1], |o| o.storage.cleaner.backoff_ms = HOUR_MS).await;
    let image = s.manager.image();
    // Its first look is over once other orders have come, and they let it wait as long.
    s.manager.reconfigure(&image, &current(&[("log.cleaner.backoff.ms", "3600001")]));
    tokio::task::yield_now().await;
    write_one_key(&s).await;
    let slow = [("log.cleaner.backoff.ms", "10"), ("log.cleaner.io.max.bytes.per.second", "1")];
    s.manager.reconfigure(&image, &current(&slow));
    until("a cleaner at work", || s.manager.shared.cleaning.is_busy()).await;
    // At a byte a second it would work for minutes.
    s.manager.reconfigure(&image, &current(&[("log.cleaner.backoff.ms", "10")]));
    let values = compacted(&s).await;
    assert!(is_short(&values), "{values:?}");
}
