//! Transaction coordinators on this broker: the machine of `jackdaw-transactions`, hosted, and the way of its markers
//! to the leaders of the partitions (`TransactionMarkerChannelManager`).
//!
//! What a request means is that crate's; which of it a version can say is `apis::transactions`'s.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use jackdaw_metadata::MetadataImage;
use jackdaw_metadata::topic_name::{GROUP_METADATA_TOPIC, TRANSACTION_STATE_TOPIC};
use jackdaw_transactions::{AppendFailure, Coordinator, MarkerOutcome, Markers, Reply, Request, Settings};
use jackdaw_wire::batch::BatchBuilder;
use jackdaw_wire::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use jackdaw_wire::messages::{TopicName, WriteTxnMarkersRequest, WriteTxnMarkersResponse};
use jackdaw_wire::{ErrorCode, StrBytes, TopicPartition};

use super::groups::GroupCoordinators;
use super::{Append, CoordinatorOptions, Coordinators, Effect, LoadError, LoadedMarker, Machine, Now, Place};
use crate::config::Config;
use crate::net::{ClientError, Peers, Resolver};
use crate::replicas::{MarkerResults, ReplicaManager};

/// The version in which brokers send markers to each other.
const MARKERS_VERSION: i16 = 1;
const ALL_IN_SYNC: i16 = -1;

/// The transaction coordinators of this broker.
pub type TransactionCoordinators = Coordinators<HostedTransactions>;

/// One partition's transactions.
pub struct HostedTransactions {
    coordinator: Coordinator,
    /// When it was called last: the time of what it writes.
    wall_ms: i64,
}

/// Coordinators with the broker's settings.
pub fn coordinators(
    config: &Config,
    resolver: &Arc<Resolver>,
    replicas: Arc<ReplicaManager>,
    writer: Arc<MarkerWriter>,
) -> Arc<TransactionCoordinators> {
    let transactions = &config.transactions;
    let settings = Settings {
        max_timeout_ms: transactions.max_timeout_ms,
        id_expiration_ms: i64::from(transactions.id_expiration_ms),
        abort_interval_ms: i64::from(transactions.abort_interval_ms),
        expire_interval_ms: i64::from(transactions.expire_interval_ms),
        request_timeout_ms: config.network.request_timeout_ms,
    };
    let channel = Arc::new(MarkerChannel {
        peers: Peers::new(
            Arc::clone(resolver),
            Arc::clone(&config.inter_broker_listener_name),
            format!("TxnMarkerSenderThread-{}", config.node_id),
        ),
        timeout: Duration::from_millis(u64::try_from(config.network.request_timeout_ms).unwrap_or(0)),
        replicas: Arc::clone(&replicas),
        writer,
    });
    Arc::new_cyclic(|coordinators: &Weak<TransactionCoordinators>| {
        let coordinators = Weak::clone(coordinators);
        Coordinators::new(CoordinatorOptions {
            topic: TRANSACTION_STATE_TOPIC,
            replicas,
            load_buffer_bytes: usize::try_from(transactions.load_buffer_bytes).unwrap_or(0),
            default_partitions: config.topics.transactions_topic_partitions,
            make: Box::new(move |_| HostedTransactions {
                coordinator: Coordinator::new(settings),
                wall_ms: 0,
            }),
            perform: Box::new(move |partition, markers| {
                let (channel, coordinators) = (Arc::clone(&channel), Weak::clone(&coordinators));
                tokio::spawn(async move { channel.deliver(partition, markers, coordinators).await });
            }),
        })
    })
}

fn time(now: Now) -> jackdaw_transactions::Now {
    jackdaw_transactions::Now { wall_ms: now.wall_ms, steady_ms: now.steady_ms }
}

impl HostedTransactions {
    fn at(&mut self, now: Now) -> jackdaw_transactions::Now {
        self.wall_ms = now.wall_ms;
        time(now)
    }
}

impl Machine for HostedTransactions {
    type Request = Request;
    type Reply = Reply;
    type Command = Markers;

    fn leads(&mut self, now: Now, leader_epoch: i32) {
        let now = self.at(now);
        self.coordinator.leads(leader_epoch, now);
    }

    fn load(&mut self, _: &Place, key: Option<Bytes>, value: Option<Bytes>) -> Result<(), LoadError> {
        self.coordinator.load(key, value).map_err(|error| match error {
            jackdaw_transactions::LoadError::UnknownKey(version) => LoadError::UnknownKey(version),
            other => LoadError::Unreadable(other.to_string()),
        })
    }

    /// Nobody writes to this topic in a transaction.
    fn load_marker(&mut self, _: LoadedMarker) {}

    fn loaded(&mut self, now: Now) {
        let now = self.at(now);
        self.coordinator.loaded(now);
    }

    fn handle(&mut self, now: Now, token: u64, request: Request) {
        let now = self.at(now);
        self.coordinator.handle(now, token, request);
    }

    fn appended(&mut self, now: Now, ticket: u64, outcome: Result<i64, ErrorCode>) {
        let now = self.at(now);
        self.coordinator.appended(now, ticket, outcome.map(drop).map_err(AppendFailure::of));
    }

    fn tick(&mut self, now: Now) {
        let now = self.at(now);
        self.coordinator.tick(now);
    }

    fn next_deadline(&self) -> Option<i64> {
        self.coordinator.next_deadline()
    }

    fn resign(&mut self, _: Now) {
        self.coordinator.resign();
    }

    fn take_effects(&mut self) -> Vec<Effect<Reply, Markers>> {
        let wall_ms = self.wall_ms;
        let effect = |effect| match effect {
            jackdaw_transactions::Effect::Reply { token, reply } => Effect::Reply { token, reply },
            jackdaw_transactions::Effect::WriteMarkers(markers) => Effect::Perform(markers),
            jackdaw_transactions::Effect::Append { ticket, records, timeout_ms } => {
                let mut batch = BatchBuilder::new(0, 0);
                for (key, value) in &records {
                    batch.append(wall_ms, Some(key), value.as_deref());
                }
                Effect::Append(Append {
                    ticket: Some(ticket),
                    batch: batch.build(),
                    acks: ALL_IN_SYNC,
                    timeout_ms: u64::try_from(timeout_ms).unwrap_or(0),
                    guard: None,
                })
            }
        };
        self.coordinator.take_effects().into_iter().map(effect).collect()
    }
}

/// Writes markers to the partitions that this broker leads.
pub struct MarkerWriter {
    pub replicas: Arc<ReplicaManager>,
    pub groups: Arc<GroupCoordinators>,
}

impl MarkerWriter {
    /// What became of each marker. Offsets that were committed in the transaction count from here on
    /// (`GroupCoordinator.onTransactionCompleted`); a coordinator that is loading finds the marker in its log.
    pub async fn write(&self, markers: &[WritableTxnMarker]) -> Vec<MarkerResults> {
        let results = self.replicas.write_txn_markers(markers).await;
        for (marker, results) in markers.iter().zip(&results) {
            let offsets =
                results.iter().filter(|(tp, error)| *tp.topic == *GROUP_METADATA_TOPIC && error.is_none());
            for (tp, _) in offsets {
                let ended = jackdaw_groups::Request::TransactionEnded {
                    producer_id: *marker.producer_id,
                    is_commit: marker.transaction_result,
                };
                let _ = self.groups.tell(tp.partition, ended.into()).await;
            }
        }
        results
    }
}

/// Takes markers to whoever leads their partitions.
struct MarkerChannel {
    peers: Peers,
    timeout: Duration,
    replicas: Arc<ReplicaManager>,
    writer: Arc<MarkerWriter>,
}

/// Where a marker is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Destination {
    Broker(i32),
    /// The partition has no leader now.
    Nobody,
    /// There is no such partition.
    Nowhere,
}

fn destination(image: &MetadataImage, tp: &TopicPartition) -> Destination {
    let topic = image.topics.by_name(&tp.topic);
    match topic.and_then(|topic| topic.partitions.get(&tp.partition)) {
        None => Destination::Nowhere,
        Some(partition) if partition.leader < 0 => Destination::Nobody,
        Some(partition) => Destination::Broker(partition.leader),
    }
}

impl MarkerChannel {
    /// Sends the markers, and tells the coordinator what became of them.
    async fn deliver(&self, partition: i32, markers: Markers, coordinators: Weak<TransactionCoordinators>) {
        let image = self.replicas.image();
        let mut by_destination: BTreeMap<Destination, Vec<TopicPartition>> = BTreeMap::new();
        for tp in &markers.partitions {
            by_destination.entry(destination(&image, tp)).or_default().push(tp.clone());
        }
        let (image, markers_ref) = (&image, &markers);
        let sent = by_destination.into_iter().map(|(destination, tps)| async move {
            let all = |tps: Vec<TopicPartition>, outcome| tps.into_iter().map(|tp| (tp, outcome)).collect();
            match destination {
                Destination::Nowhere => all(tps, MarkerOutcome::Gone),
                Destination::Nobody => all(tps, MarkerOutcome::Retry),
                Destination::Broker(broker) => self.send(image, broker, markers_ref, tps).await,
            }
        });
        let outcomes: Vec<Vec<(TopicPartition, MarkerOutcome)>> = join_all(sent).await;
        let told = Request::MarkersWritten {
            transactional_id: markers.transactional_id,
            coordinator_epoch: markers.coordinator_epoch,
            outcomes: outcomes.into_iter().flatten().collect(),
        };
        if let Some(coordinators) = coordinators.upgrade() {
            // Whoever leads the partition now loads the decision, and sends markers of its own.
            let _ = coordinators.tell(partition, told).await;
        }
    }

    async fn send(
        &self,
        image: &MetadataImage,
        broker: i32,
        markers: &Markers,
        tps: Vec<TopicPartition>,
    ) -> Vec<(TopicPartition, MarkerOutcome)> {
        let marker = marker_of(markers, &tps);
        if broker == self.replicas.node_id() {
            let results = self.writer.write(&[marker]).await;
            return results.into_iter().flatten().map(|(tp, e)| (tp, MarkerOutcome::of(e))).collect();
        }
        let reply: Result<WriteTxnMarkersResponse, ClientError> = match self.peers.client(image, broker) {
            Some(client) => {
                let request = WriteTxnMarkersRequest::default().with_markers(vec![marker]);
                client.request(MARKERS_VERSION, &request, self.timeout).await
            }
            None => return tps.into_iter().map(|tp| (tp, MarkerOutcome::Retry)).collect(),
        };
        let reply = reply.inspect_err(|error| {
            tracing::info!(
                target: "kafka.coordinator.transaction.TransactionMarkerChannelManager",
                "Markers of {} did not reach broker {broker}: {error}", markers.transactional_id
            );
        });
        let told = |tp: &TopicPartition| {
            let mut topics = reply.as_ref().ok()?.markers.iter().flat_map(|marker| &marker.topics);
            let topic = topics.find(|topic| *topic.name.0 == *tp.topic)?;
            topic.partitions.iter().find(|told| told.partition_index == tp.partition)
        };
        let outcome = |tp: &TopicPartition| match told(tp) {
            Some(told) => MarkerOutcome::of(ErrorCode::try_from_code(told.error_code)),
            None => MarkerOutcome::Retry,
        };
        tps.into_iter().map(|tp| (tp.clone(), outcome(&tp))).collect()
    }
}

fn marker_of(markers: &Markers, tps: &[TopicPartition]) -> WritableTxnMarker {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for tp in tps {
        topics.entry(&tp.topic).or_default().push(tp.partition);
    }
    let topic = |(name, indexes): (&str, Vec<i32>)| {
        WritableTxnMarkerTopic::default()
            .with_name(TopicName(StrBytes::from_string(name.to_owned())))
            .with_partition_indexes(indexes)
    };
    WritableTxnMarker::default()
        .with_producer_id(markers.producer_id.into())
        .with_producer_epoch(markers.producer_epoch)
        .with_coordinator_epoch(markers.coordinator_epoch)
        .with_transaction_result(markers.commits)
        .with_topics(topics.into_iter().map(topic).collect())
}
