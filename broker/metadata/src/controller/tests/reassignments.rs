//! Replicas that move.

use jackdaw_wire::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};

use super::*;

fn moved(replicas: Option<&[i32]>) -> AlterPartitionReassignmentsRequest {
    let replicas = replicas.map(|ids| ids.iter().map(|id| BrokerId(*id)).collect());
    let partition = ReassignablePartition::default().with_partition_index(0).with_replicas(replicas);
    let topic = ReassignableTopic::default().with_name(text("t").into()).with_partitions(vec![partition]);
    AlterPartitionReassignmentsRequest::default().with_topics(vec![topic])
}

fn listed(cluster: &mut Cluster) -> String {
    let outcome = cluster.ask(0, ListPartitionReassignmentsRequest::default().with_topics(None));
    let Response::ListPartitionReassignments(r) = &outcome.response else { panic!() };
    let partitions = r.topics.iter().flat_map(|t| &t.partitions);
    let told = partitions.map(|p| {
        let ids = |ids: &[BrokerId]| ids.iter().map(|id| id.0.to_string()).collect::<Vec<_>>().join(" ");
        let who = [&p.replicas, &p.adding_replicas, &p.removing_replicas].map(|who| ids(who));
        format!("{} adding [{}] removing [{}]", who[0], who[1], who[2])
    });
    let told: Vec<String> = told.collect();
    if told.is_empty() { "nothing".to_owned() } else { told.join(", ") }
}

/// The old replicas go only once the new ones hold everything: else a move could lose records.
#[test]
fn replicas_are_added_and_go_when_the_new_ones_are_in_sync() {
    let mut cluster = Cluster::of(4);
    cluster.create(assigned("t", "1 2"));
    let mut log = String::new();
    let mut ask = |cluster: &mut Cluster, what: &str, replicas: Option<&[i32]>| {
        let outcome = cluster.ask(0, moved(replicas));
        let Response::AlterPartitionReassignments(r) = &outcome.response else { panic!() };
        let partition = &r.responses[0].partitions[0];
        let error = error_of(&outcome.response).map_or(String::new(), |e| format!("{e:?} "));
        let text = partition.error_message.as_deref().unwrap_or_default();
        let line = format!("{what}: {error}{text}{}", cluster.show(&outcome.records).trim());
        log += &format!("{}\n  under way: {}\n", line.trim_end(), listed(cluster));
    };
    ask(&mut cluster, "the order alone", Some(&[2, 1]));
    ask(&mut cluster, "nothing to cancel", None);
    ask(&mut cluster, "to new brokers", Some(&[3, 4]));
    ask(&mut cluster, "cancelled", None);
    ask(&mut cluster, "one goes", Some(&[1]));
    ask(&mut cluster, "one comes", Some(&[1, 3]));
    ask(&mut cluster, "elsewhere meanwhile", Some(&[1, 4]));
    ask(&mut cluster, "nobody", Some(&[]));
    ask(&mut cluster, "one twice", Some(&[1, 1]));
    ask(&mut cluster, "a stranger", Some(&[9]));
    insta::assert_snapshot!(log, @r"
    the order alone: change t-0 replicas=[2, 1] directories=2
      under way: nothing
    nothing to cancel: NoReassignmentInProgress
      under way: nothing
    to new brokers: change t-0 replicas=[3, 4, 1, 2] removing=[1, 2] adding=[3, 4] directories=4
      under way: 3 4 1 2 adding [3 4] removing [1 2]
    cancelled: change t-0 leader=1 replicas=[1, 2] removing=[] adding=[] directories=2
      under way: nothing
    one goes: change t-0 leader=1 isr=[1] replicas=[1] directories=1
      under way: nothing
    one comes: change t-0 replicas=[1, 3] adding=[3] directories=2
      under way: 1 3 adding [3] removing []
    elsewhere meanwhile: change t-0 replicas=[1, 4, 3] removing=[3] adding=[4] directories=3
      under way: 1 4 3 adding [4] removing [3]
    nobody: InvalidReplicaAssignment The manual partition assignment includes an empty replica list.
      under way: 1 4 3 adding [4] removing [3]
    one twice: InvalidReplicaAssignment The manual partition assignment includes the broker 1 more than once.
      under way: 1 4 3 adding [4] removing [3]
    a stranger: InvalidReplicaAssignment The manual partition assignment includes broker 9, but no such broker is registered.
      under way: 1 4 3 adding [4] removing [3]
    ");
}
