//! Which log directory holds which replica, told to the active controller (Kafka's `AssignmentsManager`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jackdaw_wire::messages::assign_replicas_to_dirs_request::{DirectoryData, PartitionData, TopicData};
use jackdaw_wire::messages::{AssignReplicasToDirsRequest, AssignReplicasToDirsResponse, BrokerId};
use jackdaw_wire::{ErrorCode, Uuid};

use super::{ControllerChannel, ask, latest};
use crate::errors::LinkError;

/// `AssignReplicasToDirsRequest.MAX_ASSIGNMENTS_PER_REQUEST`.
const MAX_PER_REQUEST: usize = 2_250;
const PATIENCE: Duration = Duration::from_secs(30);
const RETRY_PAUSE: Duration = Duration::from_millis(500);

type Replica = (Uuid, i32);

/// Takes assignments of this broker's replicas. Cheap to clone.
#[derive(Clone)]
pub struct Assignments {
    queue: latest::Sender<Replica, Uuid>,
}

impl Assignments {
    /// Starts the sender; it ends when every handle is dropped.
    pub fn start(node_id: i32, broker_epoch: Arc<AtomicI64>, channel: ControllerChannel) -> Self {
        let (queue, assigned) = latest::channel();
        tokio::spawn(run(node_id, broker_epoch, channel, assigned));
        Self { queue }
    }

    /// The replica lies in this directory. Sent until the controller has it; a later call for the same replica
    /// counts instead of an earlier one.
    pub fn assign(&self, topic_id: Uuid, partition: i32, directory: Uuid) {
        self.queue.put((topic_id, partition), directory);
    }
}

async fn run(
    node_id: i32,
    broker_epoch: Arc<AtomicI64>,
    channel: ControllerChannel,
    mut queue: latest::Receiver<Replica, Uuid>,
) {
    let mut pending: BTreeMap<Replica, Uuid> = BTreeMap::new();
    loop {
        if pending.is_empty() {
            match queue.recv().await {
                Some(assigned) => pending = assigned,
                None => return,
            }
        }
        pending.append(&mut queue.take());
        let sent: Vec<(Replica, Uuid)> =
            pending.iter().take(MAX_PER_REQUEST).map(|(replica, directory)| (*replica, *directory)).collect();
        let request = request(node_id, broker_epoch.load(Ordering::Acquire), &sent);
        match ask(&channel, 0, &request, PATIENCE).await {
            Ok(response) if response.error_code == 0 => settle(&mut pending, &response),
            Ok(response) => {
                tracing::warn!(
                    target: "org.apache.kafka.server.AssignmentsManager",
                    "[AssignmentsManager id={node_id}] The controller refused the assignment with {}; trying again.",
                    ErrorCode::name_of(response.error_code)
                );
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            Err(LinkError::Stopped) => return,
            Err(_) => tokio::time::sleep(RETRY_PAUSE).await,
        }
    }
}

fn request(node_id: i32, broker_epoch: i64, sent: &[(Replica, Uuid)]) -> AssignReplicasToDirsRequest {
    let mut directories: BTreeMap<Uuid, BTreeMap<Uuid, Vec<PartitionData>>> = BTreeMap::new();
    for ((topic, partition), directory) in sent {
        let partitions = directories.entry(*directory).or_default().entry(*topic).or_default();
        partitions.push(PartitionData::default().with_partition_index(*partition));
    }
    let directories = directories.into_iter().map(|(id, topics)| {
        let topics = topics
            .into_iter()
            .map(|(topic, partitions)| TopicData::default().with_topic_id(topic).with_partitions(partitions));
        DirectoryData::default().with_id(id).with_topics(topics.collect())
    });
    AssignReplicasToDirsRequest::default()
        .with_broker_id(BrokerId(node_id))
        .with_broker_epoch(broker_epoch)
        .with_directories(directories.collect())
}

/// Whatever the controller answered is settled: it has the assignment, or the replica is not (any more) ours to
/// assign, which the next image will say.
fn settle(pending: &mut BTreeMap<Replica, Uuid>, response: &AssignReplicasToDirsResponse) {
    for directory in &response.directories {
        for topic in &directory.topics {
            for partition in &topic.partitions {
                let replica = (topic.topic_id, partition.partition_index);
                // Assigned elsewhere in the meantime: that is still to be sent.
                if pending.get(&replica) == Some(&directory.id) {
                    pending.remove(&replica);
                }
            }
        }
    }
}
