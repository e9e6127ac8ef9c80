//! ISR changes on their way to the active controller: one request at a time, with all that waits
//! (Kafka's `DefaultAlterPartitionManager`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jackdaw_wire::messages::alter_partition_request::{BrokerState, PartitionData, TopicData};
use jackdaw_wire::messages::alter_partition_response::PartitionData as Answer;
use jackdaw_wire::messages::{AlterPartitionRequest, AlterPartitionResponse, BrokerId};
use jackdaw_wire::{ErrorCode, Uuid};

use super::{ControllerChannel, ask, latest};
use crate::errors::LinkError;
use crate::replicas::{AlterPartitionSink, CommittedIsr, IsrChange, IsrChangeDone};

const VERSION: i16 = 3;
/// How long one request may look for a controller; then it is built anew, with what has come since.
const PATIENCE: Duration = Duration::from_secs(30);
/// After an error of the whole request (`AlterPartitionManager`).
const RETRY_PAUSE: Duration = Duration::from_millis(50);

type Key = (Uuid, i32);
type Change = (IsrChange, IsrChangeDone);

/// Takes ISR changes from partitions. Of each partition the newest waits.
pub struct IsrSender {
    queue: latest::Sender<Key, Change>,
}

impl IsrSender {
    /// Starts the sender; it ends when this handle is dropped.
    pub fn start(node_id: i32, broker_epoch: Arc<AtomicI64>, channel: ControllerChannel) -> Self {
        let (queue, changes) = latest::channel();
        tokio::spawn(run(node_id, broker_epoch, channel, changes));
        Self { queue }
    }
}

impl AlterPartitionSink for IsrSender {
    fn submit(&self, change: IsrChange, done: IsrChangeDone) {
        let key = (change.topic_id, change.partition);
        give_up(self.queue.put(key, (change, done)));
    }
}

async fn run(
    node_id: i32,
    broker_epoch: Arc<AtomicI64>,
    channel: ControllerChannel,
    mut queue: latest::Receiver<Key, Change>,
) {
    let mut pending: BTreeMap<Key, Change> = BTreeMap::new();
    loop {
        if pending.is_empty() {
            match queue.recv().await {
                Some(changes) => pending = changes,
                None => return,
            }
        }
        for (key, change) in queue.take() {
            give_up(pending.insert(key, change));
        }
        let epoch = broker_epoch.load(Ordering::Acquire);
        let request = request(node_id, epoch, pending.values().map(|(change, _)| change));
        match ask(&channel, VERSION, &request, PATIENCE).await {
            Ok(response) if response.error_code == 0 => settle(&mut pending, response),
            Ok(response) => {
                tracing::warn!(
                    target: "kafka.server.DefaultAlterPartitionManager",
                    "[AlterPartitionManager id={node_id}] The controller refused AlterPartition with {}; trying again.",
                    ErrorCode::name_of(response.error_code)
                );
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            Err(LinkError::Stopped) => return,
            Err(error) => {
                tracing::debug!(target: "kafka.server.DefaultAlterPartitionManager", "AlterPartition: {error}");
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }
}

/// A second change came while the first was unanswered: the partition has moved on from the first.
fn give_up(displaced: Option<Change>) {
    if let Some((_, done)) = displaced {
        done(Err(ErrorCode::OperationNotAttempted));
    }
}

fn request<'a>(
    node_id: i32,
    broker_epoch: i64,
    changes: impl Iterator<Item = &'a IsrChange>,
) -> AlterPartitionRequest {
    let mut topics: BTreeMap<Uuid, TopicData> = BTreeMap::new();
    for change in changes {
        let members = change.isr.iter().map(|member| {
            let epoch = if member.broker == node_id { broker_epoch } else { member.epoch };
            BrokerState::default().with_broker_id(BrokerId(member.broker)).with_broker_epoch(epoch)
        });
        let partition = PartitionData::default()
            .with_partition_index(change.partition)
            .with_leader_epoch(change.leader_epoch)
            .with_partition_epoch(change.partition_epoch)
            .with_leader_recovery_state(change.leader_recovery_state)
            .with_new_isr_with_epochs(members.collect());
        let topic = topics
            .entry(change.topic_id)
            .or_insert_with(|| TopicData::default().with_topic_id(change.topic_id));
        topic.partitions.push(partition);
    }
    AlterPartitionRequest::default()
        .with_broker_id(BrokerId(node_id))
        .with_broker_epoch(broker_epoch)
        .with_topics(topics.into_values().collect())
}

/// Tells each partition its result. One that the reply leaves out stays, and is sent again.
fn settle(pending: &mut BTreeMap<Key, Change>, response: AlterPartitionResponse) {
    for topic in response.topics {
        for answer in topic.partitions {
            if let Some((_, done)) = pending.remove(&(topic.topic_id, answer.partition_index)) {
                done(result(answer));
            }
        }
    }
}

fn result(answer: Answer) -> Result<CommittedIsr, ErrorCode> {
    match ErrorCode::try_from_code(answer.error_code) {
        Some(code) => Err(code),
        None => Ok(CommittedIsr {
            leader_epoch: answer.leader_epoch,
            partition_epoch: answer.partition_epoch,
            isr: answer.isr.into_iter().map(|id| id.0).collect(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use jackdaw_wire::messages::alter_partition_response::TopicData as TopicAnswer;

    use super::*;

    fn change(partition: i32) -> IsrChange {
        let state = |broker, epoch| crate::replicas::BrokerState { broker, epoch };
        IsrChange {
            topic: "t".into(),
            topic_id: Uuid::from_u128(7),
            partition,
            leader_epoch: 3,
            partition_epoch: 4,
            isr: vec![state(1, -1), state(2, 20)],
            leader_recovery_state: 0,
        }
    }

    /// A wrong epoch would keep the leader out of its own ISR.
    #[test]
    fn one_request_has_all_changes_by_topic_and_our_own_epoch() {
        let changes = [change(0), change(1)];
        let request = request(1, 11, changes.iter());
        assert_eq!((request.broker_epoch, request.topics.len()), (11, 1));
        let partitions = &request.topics[0].partitions;
        let epochs: Vec<i64> = partitions[1].new_isr_with_epochs.iter().map(|m| m.broker_epoch).collect();
        assert_eq!((partitions.len(), epochs), (2, vec![11, 20]));
    }

    #[test]
    fn each_partition_hears_its_own_result_and_the_silent_one_stays() {
        let (told, heard) = std::sync::mpsc::channel();
        let mut pending = BTreeMap::new();
        for partition in 0..3 {
            let told = told.clone();
            let done: IsrChangeDone = Box::new(move |result| told.send((partition, result)).unwrap());
            pending.insert((Uuid::from_u128(7), partition), (change(partition), done));
        }
        let answer = |partition, code| {
            Answer::default()
                .with_partition_index(partition)
                .with_error_code(code)
                .with_leader_epoch(3)
                .with_partition_epoch(5)
                .with_isr(vec![BrokerId(1)])
        };
        let topic = TopicAnswer::default()
            .with_topic_id(Uuid::from_u128(7))
            .with_partitions(vec![answer(0, 0), answer(1, ErrorCode::InvalidUpdateVersion.code())]);
        settle(&mut pending, AlterPartitionResponse::default().with_topics(vec![topic]));
        let committed = CommittedIsr { leader_epoch: 3, partition_epoch: 5, isr: vec![1] };
        assert_eq!(heard.try_recv().unwrap(), (0, Ok(committed)));
        assert_eq!(heard.try_recv().unwrap(), (1, Err(ErrorCode::InvalidUpdateVersion)));
        assert_eq!(pending.len(), 1);
    }

    /// While no controller answers, a partition may change its mind any number of times.
    #[tokio::test]
    async fn a_partition_waits_with_its_newest_change_and_hears_of_the_one_before() {
        let (queue, changes) = latest::channel();
        let sender = IsrSender { queue };
        let (told, heard) = std::sync::mpsc::channel();
        for partition_epoch in 0..1_000 {
            for partition in 0..3 {
                let told = told.clone();
                let done = move |result| told.send((partition, partition_epoch, result)).unwrap();
                sender.submit(IsrChange { partition_epoch, ..change(partition) }, Box::new(done));
            }
        }
        let waiting = changes.take();
        let epochs: Vec<i32> = waiting.values().map(|(change, _)| change.partition_epoch).collect();
        assert_eq!(epochs, [999, 999, 999]);
        let displaced: Vec<_> = heard.try_iter().collect();
        assert_eq!(displaced.len(), 3 * 999, "each is called once");
        assert!(displaced.iter().all(|(_, _, result)| *result == Err(ErrorCode::OperationNotAttempted)));
    }
}
