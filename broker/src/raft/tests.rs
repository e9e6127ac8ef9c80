//! Whole quorums of three shells over real sockets on loopback and real files.

use jackdaw_settings::HostPort;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use jackdaw_log::RealDisk;
use jackdaw_wire::OffsetAndEpoch;
use jackdaw_wire::api::{self, Scope};
use jackdaw_wire::messages::api_versions_response::ApiVersion;
use jackdaw_wire::messages::{
    ApiVersionsRequest, ApiVersionsResponse, DescribeQuorumRequest, TopicName, describe_quorum_request,
};
use jackdaw_wire::metadata_record::{ConfigRecord, MetadataRecord, NoOpRecord};
use jackdaw_wire::protocol::{Request, StrBytes};
use tokio::sync::mpsc;

use super::*;
use crate::config::{Config, Listener};
use crate::dispatch::{RequestContext, Response};
use crate::net::{Handler, Limits, Server, Traffic, server};

const SOON: Duration = Duration::from_secs(20);
const METADATA_VERSION: i16 = 19;
const CLUSTER_ID: &str = "AAAAAAAAQACAAAAAAAAAAQ";

/// A controller listener that serves the quorum's requests and nothing else.
#[derive(Default)]
struct Listening {
    raft: OnceLock<RaftHandle>,
}

impl Handler for Arc<Listening> {
    fn handle(&self, context: RequestContext, body: Bytes) -> BoxFuture<'static, Response> {
        let raft = self.raft.get().cloned();
        Box::pin(async move {
            if context.api_key == ApiVersionsRequest::KEY {
                let keys = api::advertised(Scope::Controller).map(|row| {
                    ApiVersion::default()
                        .with_api_key(row.key as i16)
                        .with_min_version(row.min_version)
                        .with_max_version(row.max_version)
                });
                return Response::encode(
                    &context,
                    &ApiVersionsResponse::default().with_api_keys(keys.collect()),
                );
            }
            let Some(raft) = raft else { return Response::Close("not started yet".to_owned()) };
            let answer = raft.serve(&context, &body).await;
            answer.unwrap_or_else(|| Response::Close("not for this test".to_owned()))
        })
    }
}

struct Node {
    raft: RaftHandle,
    server: Server,
    events: mpsc::Receiver<RaftEvent>,
}

/// Ports first, so that everybody can be told of everybody.
async fn listen() -> (Server, HostPort, Arc<Listening>) {
    let text = "process.roles=broker\nnode.id=1\ncontroller.quorum.voters=2@k:1\ncontroller.listener.names=C\n\
                listeners=PLAINTEXT://127.0.0.1:0\n";
    let (config, _) = Config::parse("s", text.as_bytes(), &[]).unwrap();
    let limits = Limits::new(&config.network);
    let listener = Listener { port: 0, ..config.listeners[0].clone() };
    let bound =
        server::bind(&listener, Scope::Controller, Traffic::Controllers, &Resolver::system(), &limits)
            .await
            .unwrap();
    let address = HostPort::new(bound.address.ip().to_string(), bound.address.port());
    let server = Server::new(1, limits, tokio::runtime::Handle::current());
    let listening = Arc::new(Listening::default());
    server.serve(bound, Arc::new(Arc::clone(&listening)));
    (server, address, listening)
}

/// With timers that no test waits for: whatever happens in time, happens by evidence.
fn options(id: i32, voters: &[VoterAddress], folder: &Path) -> RaftOptions {
    let defaults = RaftOptions::new(id, CLUSTER_ID, voters.to_vec(), folder.join(id.to_string()));
    RaftOptions { election_timeout_ms: 60_000, fetch_timeout_ms: 60_000, ..defaults }
}

async fn join(options: RaftOptions) -> (RaftHandle, mpsc::Receiver<RaftEvent>) {
    let raft = start(options, Arc::new(RealDisk), Arc::new(Resolver::system())).await.unwrap();
    let (sender, events) = mpsc::channel(16);
    raft.subscribe(sender).await;
    (raft, events)
}

async fn three_voters(folder: &Path) -> (BTreeMap<i32, Node>, Vec<VoterAddress>) {
    crate::logging::init(None);
    let mut ports = Vec::new();
    for id in 1..=3 {
        ports.push((id, listen().await));
    }
    let voters: Vec<VoterAddress> = ports
        .iter()
        .map(|(id, (_, address, _))| VoterAddress { id: *id, host: address.host.clone(), port: address.port })
        .collect();
    let mut nodes = BTreeMap::new();
    for (id, (server, _, listening)) in ports {
        let (raft, events) = join(options(id, &voters, folder)).await;
        assert!(listening.raft.set(raft.clone()).is_ok());
        nodes.insert(id, Node { raft, server, events });
    }
    (nodes, voters)
}

/// Waits until one of the nodes is told that it leads; who, and in which epoch.
async fn elected(nodes: &mut BTreeMap<i32, Node>) -> (i32, i32) {
    loop {
        let waiting =
            nodes.iter_mut().map(|(&id, node)| Box::pin(async move { (id, next(&mut node.events).await) }));
        let ((id, event), ..) = futures_util::future::select_all(waiting).await;
        if let RaftEvent::Leader(current) = event
            && current.is_leader(id)
        {
            return (id, current.epoch);
        }
    }
}

fn record(value: &str) -> MetadataRecord {
    MetadataRecord::Config(ConfigRecord {
        resource_type: 2,
        resource_name: "topic".into(),
        name: "retention.ms".into(),
        value: Some(value.into()),
        ..ConfigRecord::default()
    })
}

async fn next(events: &mut mpsc::Receiver<RaftEvent>) -> RaftEvent {
    tokio::time::timeout(SOON, events.recv())
        .await
        .expect("no event in time")
        .expect("the quorum has stopped")
}

/// Reads on until a batch with records comes.
async fn next_records(events: &mut mpsc::Receiver<RaftEvent>) -> Vec<(i64, MetadataRecord)> {
    loop {
        if let RaftEvent::Committed { records, .. } = next(events).await
            && !records.is_empty()
        {
            return records;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_voters_elect_commit_and_tell_everybody() {
    let folder = tempfile::tempdir().unwrap();
    let started = Instant::now();
    let (mut nodes, voters) = three_voters(folder.path()).await;
    let (leader, epoch) = elected(&mut nodes).await;
    let after = started.elapsed();
    let (observer, mut observed) = join(options(9, &voters, folder.path())).await;
    let raft = nodes[&leader].raft.clone();
    let last = raft.append(epoch, METADATA_VERSION, vec![record("1"), record("2")]).await.unwrap();
    assert_eq!(last, 2, "after the LEADER_CHANGE at 0");
    let expected = vec![(1, record("1")), (2, record("2"))];
    for node in nodes.values_mut() {
        assert_eq!(next_records(&mut node.events).await, expected);
    }
    assert_eq!(next_records(&mut observed).await, expected);

    let mut slowest = Duration::ZERO;
    for round in 0..50 {
        let asked = Instant::now();
        raft.append(epoch, METADATA_VERSION, vec![record(&round.to_string())]).await.unwrap();
        next_records(&mut nodes.get_mut(&leader).unwrap().events).await;
        slowest = slowest.max(asked.elapsed());
    }
    eprintln!("elected after {after:?}; slowest of 50 commits {slowest:?}");
    let stale = raft.append(epoch - 1, METADATA_VERSION, vec![record("late")]).await;
    assert!(matches!(stale, Err(AppendError::NotLeader { .. })), "{stale:?}");

    let follower = nodes.keys().copied().find(|&id| id != leader).unwrap();
    let refused = nodes[&follower].raft.append(epoch, METADATA_VERSION, vec![record("no")]).await;
    let current = LeaderAndEpoch { leader: Some(leader), epoch };
    assert_eq!(refused, Err(AppendError::NotLeader { epoch, current }));
    observer.shutdown().await;
    assert!(observer.stopped().await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_leader_is_replaced_without_waiting_for_a_timer() {
    let folder = tempfile::tempdir().unwrap();
    let (mut nodes, _) = three_voters(folder.path()).await;
    let (old, epoch) = elected(&mut nodes).await;
    nodes[&old].raft.append(epoch, METADATA_VERSION, vec![record("kept")]).await.unwrap();
    for node in nodes.values_mut() {
        assert_eq!(next_records(&mut node.events).await, [(1, record("kept"))]);
    }
    // As a kill: its port closes, nothing is handed over.
    let killed = Instant::now();
    nodes[&old].server.close(Duration::ZERO).await;
    nodes.remove(&old);
    let (new, epoch) = elected(&mut nodes).await;
    eprintln!("replaced after {:?}", killed.elapsed());
    let leader = nodes.get_mut(&new).unwrap();
    leader.raft.append(epoch, METADATA_VERSION, vec![record("more")]).await.unwrap();
    let (_, told) = next_records(&mut leader.events).await.remove(0);
    assert_eq!(told, record("more"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_leader_hands_over_and_everything_is_there_again_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (mut nodes, voters) = three_voters(folder.path()).await;
    let (old, epoch) = elected(&mut nodes).await;
    nodes[&old].raft.append(epoch, METADATA_VERSION, vec![record("kept")]).await.unwrap();
    next_records(&mut nodes.get_mut(&old).unwrap().events).await;
    let stopping = Instant::now();
    nodes[&old].raft.shutdown().await;
    eprintln!("handed over after {:?}", stopping.elapsed());
    let stopped = nodes.remove(&old).unwrap();
    let (_, later) = elected(&mut nodes).await;
    assert!(later > epoch);
    assert!(stopped.raft.stopped().await.is_ok());
    // Its port is not served by the new shell: as a follower it only asks.
    let (_again, mut events) = join(options(old, &voters, folder.path())).await;
    assert_eq!(next_records(&mut events).await, [(1, record("kept"))]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lone_voter_snapshots_restarts_from_it_and_serves_it_to_a_late_observer() {
    let folder = tempfile::tempdir().unwrap();
    let (server, address, listening) = listen().await;
    let voters = [VoterAddress { id: 1, host: address.host.clone(), port: address.port }];
    let small = RaftOptions {
        max_bytes_between_snapshots: 500,
        retention_bytes: 1,
        ..options(1, &voters, folder.path())
    };
    let (raft, events) = join(small.clone()).await;
    let mut nodes = BTreeMap::from([(1, Node { raft, server, events })]);
    let (_, epoch) = elected(&mut nodes).await;
    let mut node = nodes.remove(&1).unwrap();
    let mut written = Vec::new();
    while written.len() < 3 {
        let records = vec![record("x"), MetadataRecord::NoOp(NoOpRecord::default())];
        let last = node.raft.append(epoch, METADATA_VERSION, records).await.unwrap();
        loop {
            match next(&mut node.events).await {
                RaftEvent::SnapshotWanted { id, last_contained_log_time_ms } => {
                    let records = vec![record(&id.offset.to_string())];
                    let wrote =
                        node.raft.write_snapshot(id, last_contained_log_time_ms, METADATA_VERSION, records);
                    wrote.await.unwrap();
                    written.push(id);
                }
                RaftEvent::HighWatermark(mark) if mark > last => break,
                _ => {}
            }
        }
    }
    let newest = *written.last().unwrap();
    let beyond = OffsetAndEpoch::new(newest.offset + 1_000_000, epoch);
    let refused = node.raft.write_snapshot(beyond, 0, METADATA_VERSION, Vec::new()).await;
    assert!(matches!(refused, Err(SnapshotError::Uncommitted { .. })), "{refused:?}");
    node.raft.shutdown().await;

    let (raft, mut events) = join(small).await;
    assert!(listening.raft.set(raft.clone()).is_ok());
    let is_newest = |event: RaftEvent| match event {
        RaftEvent::Snapshot { id, records, .. } => {
            assert_eq!((id, records), (newest, vec![record(&newest.offset.to_string())]));
        }
        other => panic!("{other:?} before the snapshot"),
    };
    let mut first = next(&mut events).await;
    while matches!(first, RaftEvent::Leader(_)) {
        first = next(&mut events).await;
    }
    is_newest(first);
    let (observer, mut observed) = join(options(9, &voters, folder.path())).await;
    let mut first = next(&mut observed).await;
    while matches!(first, RaftEvent::Leader(_)) {
        first = next(&mut observed).await;
    }
    is_newest(first);
    observer.shutdown().await;
    let kept = std::fs::read_dir(storage::metadata_folder(&folder.path().join("1"))).unwrap();
    let kept =
        kept.filter(|file| file.as_ref().unwrap().file_name().to_string_lossy().ends_with(".checkpoint"));
    assert!(kept.count() <= 2, "old snapshots go");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_describes_the_quorum() {
    let folder = tempfile::tempdir().unwrap();
    let (mut nodes, _) = three_voters(folder.path()).await;
    let (leader, _) = elected(&mut nodes).await;
    let topic = describe_quorum_request::TopicData::default()
        .with_topic_name(TopicName(StrBytes::from_static_str("__cluster_metadata")))
        .with_partitions(vec![describe_quorum_request::PartitionData::default()]);
    let request = RaftRequest::DescribeQuorum(DescribeQuorumRequest::default().with_topics(vec![topic]));
    let Some(RaftResponse::DescribeQuorum(response)) = nodes[&leader].raft.handle_request(request).await
    else {
        panic!("another kind of answer");
    };
    let partition = &response.topics[0].partitions[0];
    assert_eq!((partition.error_code, partition.leader_id.0), (0, leader));
    assert_eq!(partition.current_voters.len(), 3);
    assert!(partition.high_watermark >= 1);
}
