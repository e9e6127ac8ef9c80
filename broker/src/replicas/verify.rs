//! Verification that a transaction includes the partitions it writes to (KIP-890 as 3.7 has it): the first batch of a
//! transaction in a partition waits until the coordinator has confirmed it (`AddPartitionsToTxnManager`).
//!
//! Requests of one transactional id are appended in the order they came in, those behind a verification too: clients
//! send several at a time, and a later sequence before an earlier one would be refused.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use jackdaw_log::VerificationGuard;
use jackdaw_metadata::coordinator::partition_for;
use jackdaw_metadata::topic_name::TRANSACTION_STATE_TOPIC;
use jackdaw_wire::batch::{BatchHeader, NO_SEQUENCE};
use jackdaw_wire::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use jackdaw_wire::messages::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, TopicName, TransactionalId,
};
use jackdaw_wire::{ErrorCode, StrBytes, TopicPartition, keep};
use tokio::sync::oneshot;

use super::partition::Partition;
use super::pending::AppendResult;
use super::produce::{Append, Part};
use super::shared::{Shared, TopicRef};
use crate::clock;
use crate::net::ClientError;

/// The version in which brokers ask each other.
const VERIFY_VERSION: i16 = 4;

/// Requests of one id that may wait behind a verification. A producer has five under way at the most; whoever opens
/// connection after connection to have more of them wait is refused. Their records hold what they hold of the budget.
const MAX_WAITING: usize = 64;

/// Who waits behind a verification, by transactional id.
#[derive(Default)]
pub(super) struct Verifications {
    waiting: Mutex<HashMap<TransactionalId, VecDeque<Append>>>,
}

impl Verifications {
    /// Takes the turn for an id; keeps the request where others are before it.
    fn begin(&self, id: &TransactionalId, append: Append) -> Turn {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        match waiting.get_mut(id) {
            Some(queue) if queue.len() >= MAX_WAITING => Turn::Refused(append),
            Some(queue) => {
                queue.push_back(append);
                Turn::Later
            }
            None => {
                waiting.insert(id.clone(), VecDeque::new());
                Turn::Now(append)
            }
        }
    }

    /// Whoever waits next; without one the turn is over.
    fn next(&self, id: &TransactionalId) -> Option<Append> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let next = waiting.get_mut(id)?.pop_front();
        if next.is_none() {
            waiting.remove(id);
        }
        next
    }
}

/// When a request is verified.
enum Turn {
    Now(Append),
    /// Behind those that are kept already.
    Later,
    /// Too many are.
    Refused(Append),
}

/// What a partition says of a batch: its transaction is open here, or this guard will open it.
type Begun = Result<Option<VerificationGuard>, ErrorCode>;

/// The first look at a part of a request, where it is of a transaction.
fn begin(partition: &Arc<Partition>, batch: &BatchHeader) -> oneshot::Receiver<Begun> {
    partition.start_verification(batch.producer_id, batch.producer_epoch, batch.base_sequence)
}

impl Partition {
    /// `Partition.maybeStartTransactionVerification`.
    fn start_verification(self: &Arc<Self>, id: i64, epoch: i16, sequence: i32) -> oneshot::Receiver<Begun> {
        self.write_for(move |writer, partition| {
            if writer.closed || partition.state().replica.as_leader().is_none() {
                return Err(ErrorCode::NotLeaderOrFollower);
            }
            Ok(writer.log.start_verification(id, sequence, epoch, clock::wall().0))
        })
    }
}

impl Shared {
    /// Appends what is open already in this call; all else once the coordinator has answered.
    pub fn verify_and_submit(self: &Arc<Self>, id: TransactionalId, append: Append) {
        // A slice of the request would keep its records in memory.
        let id = TransactionalId(keep::text(&id));
        let append = match self.verifications.begin(&id, append) {
            Turn::Now(append) => append,
            Turn::Later => return,
            Turn::Refused(append) => {
                let refuse = |part: &Part| {
                    append.pending.answer(part.slot, refusal(ErrorCode::ConcurrentTransactions));
                };
                return append.parts.iter().for_each(refuse);
            }
        };
        let mut begun = Vec::with_capacity(append.parts.len());
        for part in &append.parts {
            begun.push(part.transactional().map(|batch| begin(&part.partition, &batch)));
        }
        let is_open = |answer: &mut oneshot::Receiver<Begun>| matches!(answer.try_recv(), Ok(Ok(None)));
        let all_open = begun.iter_mut().flatten().all(is_open);
        let (shared, runtime) = (Arc::clone(self), self.context.runtime.clone());
        if !all_open {
            runtime.spawn(async move { shared.verify_in_turn(id, append).await });
            return;
        }
        append.submit();
        if let Some(next) = self.verifications.next(&id) {
            runtime.spawn(async move { shared.verify_in_turn(id, next).await });
        }
    }

    /// Asks whether a transaction includes a partition that a coordinator of this broker is about to write to. The
    /// guard goes with the append; none where nothing is to be verified.
    pub async fn verify_own(
        &self,
        tp: &TopicPartition,
        id: &TransactionalId,
        (producer_id, producer_epoch): (i64, i16),
    ) -> Result<Option<VerificationGuard>, ErrorCode> {
        if !self.verifies_transactions() {
            return Ok(None);
        }
        let partition = self.locate(&self.image(), TopicRef::Name(&tp.topic), tp.partition)?;
        let begun = partition.start_verification(producer_id, producer_epoch, NO_SEQUENCE).await;
        let Some(guard) = begun.unwrap_or(Err(ErrorCode::NotLeaderOrFollower))? else { return Ok(None) };
        let errors = self.ask_coordinator(id, (producer_id, producer_epoch), std::slice::from_ref(tp)).await;
        let error = match errors {
            Ok(errors) => errors.get(tp).copied(),
            Err(error) => Some(error),
        };
        error.map_or(Ok(Some(guard)), |error| Err(refusal(error).error.unwrap_or(error)))
    }

    async fn verify_in_turn(self: Arc<Self>, id: TransactionalId, append: Append) {
        let mut turn = Some(append);
        while let Some(append) = turn {
            self.verify(&id, append).await;
            turn = self.verifications.next(&id);
        }
    }

    async fn verify(&self, id: &TransactionalId, mut append: Append) {
        let mut unverified: Vec<TopicPartition> = Vec::new();
        let mut producer = None;
        let mut refused: HashMap<usize, ErrorCode> = HashMap::new();
        for part in &mut append.parts {
            let Some(batch) = part.transactional() else { continue };
            let id_and_epoch = (batch.producer_id, batch.producer_epoch);
            if producer.is_some_and(|(id, _)| id != batch.producer_id) {
                refused.insert(part.slot, ErrorCode::InvalidProducerIdMapping);
                continue;
            }
            producer = producer.or(Some(id_and_epoch));
            // Unanswered only when the node stops.
            match begin(&part.partition, &batch).await.unwrap_or(Err(ErrorCode::NotLeaderOrFollower)) {
                Err(error) => {
                    refused.insert(part.slot, error);
                }
                Ok(guard) => {
                    part.guard = guard;
                    unverified.extend(guard.map(|_| part.partition.tp.clone()));
                }
            }
        }
        let mut errors = HashMap::new();
        if let Some(producer) = producer.filter(|_| !unverified.is_empty()) {
            errors = match self.ask_coordinator(id, producer, &unverified).await {
                Ok(errors) => errors,
                Err(error) => unverified.iter().map(|tp| (tp.clone(), error)).collect(),
            };
        }
        let pending = Arc::clone(&append.pending);
        append.parts.retain(|part| {
            let error = refused.get(&part.slot).or_else(|| errors.get(&part.partition.tp));
            if let Some(error) = error {
                pending.answer(part.slot, refusal(*error));
            }
            error.is_none()
        });
        append.submit();
    }

    /// Asks the coordinator of the id which of the partitions are not part of its transaction. `Err` concerns all.
    async fn ask_coordinator(
        &self,
        id: &TransactionalId,
        (producer_id, producer_epoch): (i64, i16),
        partitions: &[TopicPartition],
    ) -> Result<HashMap<TopicPartition, ErrorCode>, ErrorCode> {
        let image = self.image();
        let topic = image.topics.by_name(TRANSACTION_STATE_TOPIC);
        let leader = topic.and_then(|topic| {
            let count = i32::try_from(topic.partitions.len()).ok()?;
            topic.partitions.get(&partition_for(id, count)).map(|partition| partition.leader)
        });
        // Without a coordinator the transaction has surely not begun.
        let client = leader.and_then(|leader| self.peers.client(&image, leader));
        let client = client.ok_or(ErrorCode::CoordinatorNotAvailable)?;
        let transaction = AddPartitionsToTxnTransaction::default()
            .with_transactional_id(id.clone())
            .with_producer_id(producer_id.into())
            .with_producer_epoch(producer_epoch)
            .with_verify_only(true)
            .with_topics(by_topic(partitions));
        let request = AddPartitionsToTxnRequest::default().with_transactions(vec![transaction]);
        let timeout = self.options.request_timeout;
        let reply: Result<AddPartitionsToTxnResponse, _> =
            client.request(VERIFY_VERSION, &request, timeout).await;
        match reply {
            Ok(reply) => unverified(reply),
            // An older broker, that cannot be asked: the records are taken as they are.
            Err(ClientError::UnsupportedVersion { .. }) => Ok(HashMap::new()),
            Err(error) => {
                tracing::warn!(
                    target: "kafka.server.AddPartitionsToTxnManager",
                    "AddPartitionsToTxnRequest failed with a network exception: {error}"
                );
                Err(ErrorCode::NetworkException)
            }
        }
    }
}

fn by_topic(partitions: &[TopicPartition]) -> Vec<AddPartitionsToTxnTopic> {
    let mut topics: Vec<AddPartitionsToTxnTopic> = Vec::new();
    for tp in partitions {
        match topics.iter_mut().find(|topic| *topic.name.0 == *tp.topic) {
            Some(topic) => topic.partitions.push(tp.partition),
            None => {
                let name = TopicName(StrBytes::from_string(tp.topic.to_string()));
                topics.push(
                    AddPartitionsToTxnTopic::default().with_name(name).with_partitions(vec![tp.partition]),
                );
            }
        }
    }
    topics
}

fn unverified(reply: AddPartitionsToTxnResponse) -> Result<HashMap<TopicPartition, ErrorCode>, ErrorCode> {
    match ErrorCode::try_from_code(reply.error_code) {
        None => {}
        // Of no meaning to the producer: it did not ask.
        Some(ErrorCode::ClusterAuthorizationFailed) => return Err(ErrorCode::InvalidTxnState),
        Some(error) => return Err(error),
    }
    let mut errors = HashMap::new();
    for topic in reply.results_by_transaction.iter().flat_map(|result| &result.topic_results) {
        for partition in &topic.results_by_partition {
            let error = match ErrorCode::try_from_code(partition.partition_error_code) {
                None => continue,
                Some(ErrorCode::ProducerFenced) => ErrorCode::InvalidProducerEpoch,
                Some(error) => error,
            };
            errors.insert(TopicPartition::new(&**topic.name, partition.partition_index), error);
        }
    }
    Ok(errors)
}

/// As a producer is told of it (`ReplicaManager.appendEntries`).
fn refusal(error: ErrorCode) -> AppendResult {
    let unable = |name: &str| {
        let message = format!(
            "Unable to verify the partition has been added to the transaction. Underlying error: {name}"
        );
        (ErrorCode::NotEnoughReplicas, Some(message))
    };
    let (code, message) = match error {
        ErrorCode::InvalidTxnState => (error, Some("Partition was not added to the transaction".to_owned())),
        ErrorCode::ConcurrentTransactions => unable("CONCURRENT_TRANSACTIONS"),
        ErrorCode::CoordinatorLoadInProgress => unable("COORDINATOR_LOAD_IN_PROGRESS"),
        ErrorCode::CoordinatorNotAvailable => unable("COORDINATOR_NOT_AVAILABLE"),
        ErrorCode::NotCoordinator => unable("NOT_COORDINATOR"),
        error => (error, None),
    };
    AppendResult { message, ..AppendResult::failed(code) }
}

#[cfg(test)]
mod tests {
    use super::super::pending::Pending;
    use super::*;

    #[test]
    fn few_requests_wait_behind_a_verification() {
        let verifications = Verifications::default();
        let id = TransactionalId(StrBytes::from_static_str("t"));
        let append = || Append { parts: Vec::new(), acks: -1, pending: Arc::new(Pending::new(0)) };
        assert!(matches!(verifications.begin(&id, append()), Turn::Now(_)));
        for _ in 0..MAX_WAITING {
            assert!(matches!(verifications.begin(&id, append()), Turn::Later));
        }
        assert!(matches!(verifications.begin(&id, append()), Turn::Refused(_)));
        // Somebody else's do not count.
        let other = TransactionalId(StrBytes::from_static_str("u"));
        assert!(matches!(verifications.begin(&other, append()), Turn::Now(_)));
        assert!(verifications.next(&id).is_some());
        assert!(matches!(verifications.begin(&id, append()), Turn::Later));
    }

    #[test]
    fn producers_hear_of_a_failed_verification_in_words_they_know() {
        use ErrorCode as E;
        for (error, code, words) in [
            (E::InvalidTxnState, E::InvalidTxnState, Some("Partition was not added")),
            (E::NotCoordinator, E::NotEnoughReplicas, Some("Underlying error: NOT_COORDINATOR")),
            (E::CoordinatorLoadInProgress, E::NotEnoughReplicas, Some("COORDINATOR_LOAD_IN_PROGRESS")),
            (E::InvalidProducerEpoch, E::InvalidProducerEpoch, None),
            (E::NetworkException, E::NetworkException, None),
        ] {
            let told = refusal(error);
            assert_eq!(told.error, Some(code), "{error:?}");
            let message = told.message.unwrap_or_default();
            assert!(message.contains(words.unwrap_or_default()) && message.is_empty() == words.is_none());
        }
    }
}
