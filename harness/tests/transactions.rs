//! Transactions as librdkafka writes and reads them: over partitions and with offsets, committed and aborted, while the
//! broker that coordinates them is killed; and a second producer that shuts the first one out.

#![allow(clippy::unwrap_used, reason = "a panic in a test helper is the failure report")]

mod common;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use common::Cluster;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

const SOURCE: &str = "source";
const LEDGER: &str = "ledger";
const PARTITIONS: i32 = 3;
const PATIENCE: Duration = Duration::from_secs(60);
const TRANSACTIONS: usize = 40;
/// Each writes so many records, spread over the partitions.
const RECORDS: usize = 6;

/// Reports of deliveries are taken by a thread of its own: commit and abort wait for them.
type Transactional = ThreadedProducer<DefaultProducerContext>;

fn create_topics(cluster: &Cluster) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", cluster.bootstrap()).create().unwrap();
    let topic = |name| NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(3));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let created =
        runtime.block_on(admin.create_topics(&[topic(SOURCE), topic(LEDGER)], &AdminOptions::new())).unwrap();
    assert!(created.iter().all(Result::is_ok), "{created:?}");
}

fn producer(cluster: &Cluster, id: &str) -> Transactional {
    let producer: Transactional = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap())
        .set("transactional.id", id)
        .set("transaction.timeout.ms", "60000")
        .create()
        .unwrap();
    retried(|| producer.init_transactions(PATIENCE));
    producer
}

/// Does what a client library asks for: tries again what is retriable.
fn retried(mut work: impl FnMut() -> Result<(), KafkaError>) {
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = work() {
        let KafkaError::Transaction(told) = &error else { panic!("{error}") };
        assert!(told.is_retriable() && Instant::now() < deadline, "{error}");
    }
}

/// One transaction; whether it was committed. What librdkafka says is to be aborted is aborted.
fn transact(producer: &Transactional, number: usize, commits: bool) -> bool {
    producer.begin_transaction().unwrap();
    for record in 0..RECORDS {
        let payload = format!("{number}.{record}");
        let partition = (record as i32) % PARTITIONS;
        producer.send(BaseRecord::<(), str>::to(LEDGER).payload(&payload).partition(partition)).unwrap();
    }
    if !commits {
        retried(|| producer.abort_transaction(PATIENCE));
        return false;
    }
    loop {
        match producer.commit_transaction(PATIENCE) {
            Ok(()) => return true,
            Err(KafkaError::Transaction(told)) if told.is_retriable() => {}
            Err(KafkaError::Transaction(told)) if told.txn_requires_abort() => {
                retried(|| producer.abort_transaction(PATIENCE));
                return false;
            }
            Err(error) => panic!("transaction {number}: {error}"),
        }
    }
}

/// Everything that a `read_committed` consumer sees up to the end, by transaction.
fn committed(cluster: &Cluster) -> BTreeMap<usize, usize> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap())
        .set("group.id", "nobody")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed")
        .create()
        .unwrap();
    let mut assignment = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        assignment.add_partition_offset(LEDGER, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let (mut seen, mut ended) = (BTreeMap::new(), 0);
    let deadline = Instant::now() + PATIENCE;
    while ended < PARTITIONS {
        assert!(Instant::now() < deadline, "the ends were not reached: {seen:?}");
        match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(message)) => {
                let text = std::str::from_utf8(message.payload().unwrap()).unwrap();
                let number = text.split('.').next().unwrap().parse().unwrap();
                *seen.entry(number).or_default() += 1;
            }
            Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
            // Of brokers that are away for a while.
            Some(Err(_)) | None => {}
        }
    }
    seen
}

fn cluster() -> Cluster {
    let cluster = Cluster::up(&[
        "KAFKA_CFG_TRANSACTION_STATE_LOG_NUM_PARTITIONS=3",
        "KAFKA_CFG_TRANSACTION_STATE_LOG_REPLICATION_FACTOR=3",
        "KAFKA_CFG_TRANSACTION_STATE_LOG_MIN_ISR=2",
        "KAFKA_CFG_OFFSETS_TOPIC_NUM_PARTITIONS=3",
        "KAFKA_CFG_OFFSETS_TOPIC_REPLICATION_FACTOR=3",
        "KAFKA_CFG_MIN_INSYNC_REPLICAS=2",
    ]);
    create_topics(&cluster);
    cluster
}

#[test]
fn transactions_are_all_or_nothing_while_brokers_die() {
    let cluster = cluster();
    let producer = producer(&cluster, "ledger-writer");
    let services = cluster.services();
    let mut expected = BTreeMap::new();
    for number in 0..TRANSACTIONS {
        if number % 10 == 5 {
            // Each in turn: one of them coordinates, and each leads something.
            let service = &services[(number / 10) % services.len()];
            cluster.ok(&["kill", service]);
        }
        if transact(&producer, number, number % 3 != 2) {
            expected.insert(number, RECORDS);
        }
        if number % 10 == 9 {
            let service = &services[(number / 10) % services.len()];
            cluster.ok(&["start", service]);
        }
    }
    assert!(expected.len() > TRANSACTIONS / 3, "{expected:?}");
    assert_eq!(committed(&cluster), expected);
}

#[test]
fn offsets_go_with_the_transaction_that_they_are_committed_in() {
    let cluster = cluster();
    let producer = producer(&cluster, "copier");
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap())
        .set("group.id", "copiers")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .create()
        .unwrap();
    let mut partition = TopicPartitionList::new();
    partition.add_partition(SOURCE, 0);
    let position = || {
        let found = consumer.committed_offsets(partition.clone(), PATIENCE).unwrap();
        found.elements()[0].offset()
    };
    let commit = |number: usize, offset: i64, commits: bool| {
        producer.begin_transaction().unwrap();
        let payload = format!("{number}.0");
        producer.send(BaseRecord::<(), str>::to(LEDGER).payload(&payload).partition(0)).unwrap();
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(SOURCE, 0, Offset::Offset(offset)).unwrap();
        let group = consumer.group_metadata().unwrap();
        retried(|| producer.send_offsets_to_transaction(&offsets, &group, PATIENCE));
        match commits {
            true => retried(|| producer.commit_transaction(PATIENCE)),
            false => retried(|| producer.abort_transaction(PATIENCE)),
        }
    };
    commit(1, 10, true);
    assert_eq!(position(), Offset::Offset(10));
    commit(2, 20, false);
    assert_eq!(position(), Offset::Offset(10), "the transaction was aborted");
    commit(3, 30, true);
    assert_eq!(position(), Offset::Offset(30));
    assert_eq!(committed(&cluster), BTreeMap::from([(1, 1), (3, 1)]));
}

#[test]
fn a_second_producer_shuts_the_first_one_out() {
    let cluster = cluster();
    let first = producer(&cluster, "the-one");
    first.begin_transaction().unwrap();
    first.send(BaseRecord::<(), str>::to(LEDGER).payload("1.0").partition(0)).unwrap();
    first.flush(PATIENCE).unwrap();
    let second = producer(&cluster, "the-one");
    assert!(transact(&second, 2, true));
    let refused = first.commit_transaction(PATIENCE).unwrap_err();
    let KafkaError::Transaction(told) = &refused else { panic!("{refused}") };
    assert!(!told.is_retriable(), "{told}");
    let fatal = first.client().fatal_error().map(|(code, _)| code);
    assert_eq!(fatal, Some(RDKafkaErrorCode::Fenced), "{told}");
    assert_eq!(committed(&cluster), BTreeMap::from([(2, RECORDS)]));
}
