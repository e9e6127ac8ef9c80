//! Whole nodes over real sockets on loopback: quorum, controller, loader and a broker's life, without partitions.

use crate::raft::LeaderAndEpoch;
use jackdaw_settings::HostPort;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::future::BoxFuture;
use jackdaw_log::RealDisk;
use jackdaw_metadata::{MetadataDelta, MetadataImage, PartitionRegistration};
use jackdaw_wire::api::{self, Scope};
use jackdaw_wire::messages::api_versions_response::ApiVersion;
use jackdaw_wire::messages::create_topics_request::CreatableTopic;
use jackdaw_wire::messages::*;
use jackdaw_wire::protocol::{Decodable, Encodable, Request as _, StrBytes};
use jackdaw_wire::types::random_uuid;
use tokio::sync::watch;

use super::*;
use crate::config::{Config, Listener};
use crate::lifecycle::{BrokerState, Lifecycle, LifecycleOptions};
use crate::loader::{self, LoaderHandle, Publisher};
use crate::net::{Handler, Limits, NodeClient, Resolver, Server, Traffic, server};
use crate::raft::{RaftOptions, VoterAddress};
use crate::to_controller::{ControllerChannel, ControllerLink, ask};

const SOON: Duration = Duration::from_secs(20);
const CLUSTER_ID: &str = "AAAAAAAAQACAAAAAAAAAAQ";

/// A listener that answers the quorum and the controller.
#[derive(Default)]
struct Listening {
    node: OnceLock<(RaftHandle, ControllerHandle)>,
}

impl Handler for Arc<Listening> {
    fn handle(&self, context: RequestContext, body: Bytes) -> BoxFuture<'static, Response> {
        let node = self.node.get().cloned();
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
            let Some((raft, controller)) = node else { return Response::Close("not started yet".into()) };
            match raft.serve(&context, &body).await {
                Some(response) => response,
                None => controller.handle_request(&context, body).await,
            }
        })
    }
}

/// Notes what it is told.
#[derive(Default)]
struct Told(Mutex<Vec<(i64, usize)>>);

impl Publisher for Told {
    fn publish<'a>(&'a self, image: &'a Arc<MetadataImage>, delta: &'a MetadataDelta) -> BoxFuture<'a, ()> {
        assert!(!delta.is_empty());
        self.0.lock().unwrap().push((image.provenance.offset, delta.changed_topics.len()));
        Box::pin(std::future::ready(()))
    }
}

struct Node {
    raft: RaftHandle,
    server: Server,
    loader: LoaderHandle,
    lifecycle: Option<Lifecycle>,
    channel: ControllerChannel,
    told: Arc<Told>,
}

impl Node {
    fn image(&self) -> Arc<MetadataImage> {
        Arc::clone(&self.loader.images.borrow())
    }

    async fn sees(&self, what: &str, condition: impl Fn(&MetadataImage) -> bool) -> Arc<MetadataImage> {
        let mut images = self.loader.images.clone();
        let seen = tokio::time::timeout(SOON, images.wait_for(|image| condition(image))).await;
        Arc::clone(&seen.unwrap_or_else(|_| panic!("never saw {what}")).unwrap())
    }

    /// As a kill: its port closes and it says nothing more.
    async fn kill(&mut self) {
        self.lifecycle = None;
        self.server.close(Duration::ZERO).await;
    }
}

fn settings(node_id: i32) -> ControllerSettings {
    ControllerSettings {
        node_id,
        cluster_id: CLUSTER_ID.into(),
        voters: vec![1, 2, 3],
        session_timeout_ms: 9_000,
        default_partitions: 1,
        default_replication_factor: 1,
        delete_topics: true,
        rebalance_interval_ms: None,
        no_op_interval_ms: Some(500),
        consumer_groups: false,
        bootstrap: Vec::new(),
    }
}

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

async fn join(
    id: i32,
    voters: &[VoterAddress],
    folder: &Path,
    (server, address, listening): (Server, HostPort, Arc<Listening>),
) -> Node {
    let resolver = Arc::new(Resolver::system());
    let options = RaftOptions::new(id, CLUSTER_ID, voters.to_vec(), folder.join(id.to_string()));
    let raft = crate::raft::start(options, Arc::new(RealDisk), Arc::clone(&resolver)).await.unwrap();
    let (controller, events) = start(ControllerOptions {
        settings: settings(id),
        schema: TopicSchema::default(),
        raft: raft.clone(),
    });
    let told = Arc::new(Told::default());
    let publisher: Arc<dyn Publisher> = Arc::clone(&told) as _;
    let loader = loader::start(raft.clone(), Some(events), vec![publisher]).await;
    let inter_broker_listener: Arc<str> = "PLAINTEXT".into();
    let watch = BrokerWatch {
        node_id: id,
        own_incarnation: None,
        resolver: Arc::clone(&resolver),
        inter_broker_listener,
    };
    controller.watch_brokers(loader.images.clone(), watch);
    assert!(listening.node.set((raft.clone(), controller)).is_ok());
    let clients: HashMap<i32, NodeClient> = voters
        .iter()
        .map(|v| {
            (v.id, NodeClient::new(HostPort::new(v.host.clone(), v.port), Arc::clone(&resolver), "test"))
        })
        .collect();
    let channel = ControllerChannel::new(raft.leader(), clients);
    let lifecycle = Lifecycle::start(life(id, &address, channel.clone(), loader.images.clone()));
    lifecycle.ready_to_unfence().await;
    Node { raft, server, loader, lifecycle: Some(lifecycle), channel, told }
}

fn life(
    id: i32,
    address: &HostPort,
    channel: ControllerChannel,
    images: watch::Receiver<Arc<MetadataImage>>,
) -> LifecycleOptions {
    let advertised = Listener {
        name: "PLAINTEXT".into(),
        host: address.host.clone(),
        port: address.port,
        security_protocol: "PLAINTEXT".into(),
    };
    LifecycleOptions {
        incarnation: random_uuid(rand::random),
        node_id: id,
        cluster_id: CLUSTER_ID.into(),
        advertised_listeners: vec![advertised],
        rack: None,
        directories: vec![random_uuid(rand::random)],
        previous_broker_epoch: -1,
        heartbeat_interval_ms: 2_000,
        registration_timeout_ms: 20_000,
        features: crate::lifecycle::supported_features(false),
        channel,
        images,
        broker_epoch: Arc::new(AtomicI64::new(-1)),
    }
}

async fn three(folder: &Path) -> BTreeMap<i32, Node> {
    let mut ports = Vec::new();
    for id in 1..=3 {
        ports.push((id, listen().await));
    }
    let voters: Vec<VoterAddress> = ports
        .iter()
        .map(|(id, (_, address, _))| VoterAddress { id: *id, host: address.host.clone(), port: address.port })
        .collect();
    let mut nodes = BTreeMap::new();
    for (id, listening) in ports {
        nodes.insert(id, join(id, &voters, folder, listening).await);
    }
    nodes
}

async fn unfenced(nodes: &BTreeMap<i32, Node>) {
    for node in nodes.values() {
        node.sees("three unfenced brokers", |image| {
            image.brokers.values().filter(|broker| !broker.fenced).count() == 3
        })
        .await;
    }
}

fn creation(name: &str, partitions: i32) -> CreateTopicsRequest {
    let topic = CreatableTopic::default()
        .with_name(TopicName(StrBytes::from_string(name.to_owned())))
        .with_num_partitions(partitions)
        .with_replication_factor(3);
    CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(10_000)
}

fn enveloped(request: &CreateTopicsRequest) -> EnvelopeRequest {
    let header = RequestHeader::default()
        .with_request_api_key(CreateTopicsRequest::KEY)
        .with_request_api_version(7)
        .with_correlation_id(77)
        .with_client_id(Some(StrBytes::from_static_str("someone")));
    let mut data = BytesMut::new();
    header.encode(&mut data, 2).unwrap();
    request.encode(&mut data, 7).unwrap();
    let mut principal = BytesMut::new();
    principal.put_i16(0);
    DefaultPrincipalData::default().encode(&mut principal, 0).unwrap();
    EnvelopeRequest::default()
        .with_request_data(data.freeze())
        .with_request_principal(Some(principal.freeze()))
        .with_client_host_address(Bytes::from_static(&[127, 0, 0, 1]))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_fresh_nodes_are_unfenced_at_once_and_create_topics() {
    let folder = tempfile::tempdir().unwrap();
    let started = Instant::now();
    let nodes = three(folder.path()).await;
    unfenced(&nodes).await;
    let ready = started.elapsed();
    for node in nodes.values() {
        node.lifecycle.as_ref().unwrap().unfenced().await.unwrap();
        let first = node.told.0.lock().unwrap()[0];
        assert!(first.0 >= 0, "told of an image with something in it");
    }

    let asked = Instant::now();
    let reply = ask(&nodes[&2].channel, 0, &enveloped(&creation("t", 3_000)), SOON).await.unwrap();
    let created = asked.elapsed();
    assert_eq!(reply.error_code, 0);
    let mut data = reply.response_data.unwrap();
    assert_eq!(ResponseHeader::decode(&mut data, 1).unwrap().correlation_id, 77);
    let topics = CreateTopicsResponse::decode(&mut data, 7).unwrap().topics;
    assert_eq!((topics[0].error_code, topics[0].num_partitions), (0, 3_000));
    for node in nodes.values() {
        let image = node.sees("the topic", |image| image.topics.by_name("t").is_some()).await;
        let topic = image.topics.by_name("t").unwrap();
        assert!(topic.partitions.values().all(|p| p.isr.len() == 3 && p.replicas.len() == 3));
    }
    eprintln!("unfenced after {ready:?}; 3000 partitions committed after {created:?}");
    assert!(ready < Duration::from_secs(2), "{ready:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_requests_at_once_are_answered_in_their_own_right() {
    let folder = tempfile::tempdir().unwrap();
    let nodes = three(folder.path()).await;
    unfenced(&nodes).await;
    let asked = Instant::now();
    let requests = (0..300).map(|n| {
        let channel = nodes[&(n % 3 + 1)].channel.clone();
        // Each name twice: one of the two must hear that the other was first.
        tokio::spawn(async move {
            let request = enveloped(&creation(&format!("t{}", n / 2), 10));
            let mut data = ask(&channel, 0, &request, SOON).await.unwrap().response_data.unwrap();
            ResponseHeader::decode(&mut data, 1).unwrap();
            CreateTopicsResponse::decode(&mut data, 7).unwrap().topics[0].error_code
        })
    });
    let mut outcomes = BTreeMap::new();
    for request in requests.collect::<Vec<_>>() {
        *outcomes.entry(request.await.unwrap()).or_insert(0) += 1;
    }
    eprintln!("300 creations after {:?}", asked.elapsed());
    assert_eq!(outcomes, BTreeMap::from([(0, 150), (ErrorCode::TopicAlreadyExists.code(), 150)]));
    let image = nodes[&1].sees("all topics", |image| image.topics.len() == 150).await;
    assert!(image.topics.iter().all(|topic| topic.partitions.len() == 10));
}

/// The node that dies is the active controller: the next one must act on what it saw before it was elected.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_node_leads_nothing_long_before_its_session_ends() {
    let folder = tempfile::tempdir().unwrap();
    let mut nodes = three(folder.path()).await;
    unfenced(&nodes).await;
    let reply = ask(&nodes[&1].channel, 0, &enveloped(&creation("t", 3)), SOON).await.unwrap();
    assert_eq!(reply.error_code, 0);
    let leader = nodes[&1].channel.leader().leader.unwrap();
    let killed = Instant::now();
    nodes.get_mut(&leader).unwrap().kill().await;
    let other = nodes.iter().find(|(id, _)| **id != leader).unwrap().1;
    let led_elsewhere = |image: &MetadataImage| {
        let left =
            |p: &PartitionRegistration| p.leader != leader && p.leader >= 0 && !p.isr.contains(&leader);
        image.topics.by_name("t").is_some_and(|topic| topic.partitions.values().all(|p| left(p)))
    };
    let image = other.sees("other leaders", led_elsewhere).await;
    let moved = killed.elapsed();
    eprintln!("others lead after {moved:?}");
    assert!(moved < Duration::from_secs(6), "only the session timeout found out: {moved:?}");
    assert!(!image.broker(leader).unwrap().fenced, "clients are told of it until its session ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_controlled_shutdown_is_over_when_the_others_lead() {
    let folder = tempfile::tempdir().unwrap();
    let nodes = three(folder.path()).await;
    unfenced(&nodes).await;
    ask(&nodes[&1].channel, 0, &enveloped(&creation("t", 30)), SOON).await.unwrap();
    let lifecycle = nodes[&1].lifecycle.as_ref().unwrap();
    let asked = Instant::now();
    tokio::time::timeout(SOON, lifecycle.controlled_shutdown()).await.unwrap();
    eprintln!("let go after {:?}", asked.elapsed());
    assert_eq!(*lifecycle.state().borrow(), BrokerState::ShuttingDown);
    assert!(asked.elapsed() < Duration::from_secs(2), "waited for a heartbeat: {:?}", asked.elapsed());
    let image = nodes[&2].sees("it fenced", |image| image.broker(1).is_some_and(|b| b.fenced)).await;
    let topic = image.topics.by_name("t").unwrap();
    assert!(topic.partitions.values().all(|p| p.leader != 1 && !p.isr.contains(&1)));
}

/// Nobody else is there to take the leaders: waiting would only hold up the stop.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_controlled_shutdown_without_a_controller_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut nodes = three(folder.path()).await;
    unfenced(&nodes).await;
    for id in [2, 3] {
        nodes.get_mut(&id).unwrap().kill().await;
        nodes[&id].raft.shutdown().await;
    }
    let lifecycle = nodes[&1].lifecycle.as_ref().unwrap();
    tokio::time::timeout(SOON, lifecycle.controlled_shutdown()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_not_active_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let nodes = three(folder.path()).await;
    unfenced(&nodes).await;
    let leader = nodes[&1].channel.leader().leader.unwrap();
    let follower = *nodes.keys().find(|id| **id != leader).unwrap();
    let (_told, wrong) = watch::channel(LeaderAndEpoch { leader: Some(follower), epoch: 1 });
    let stubborn = ControllerChannel { leader: wrong, ..nodes[&1].channel.clone() };
    let mut body = BytesMut::new();
    let heartbeat = BrokerHeartbeatRequest::default().with_broker_id(BrokerId(1));
    heartbeat.encode(&mut body, 1).unwrap();
    let patience = Duration::from_millis(200);
    let key = BrokerHeartbeatRequest::KEY;
    let answer = stubborn.send(key, 1, body.freeze(), patience).await;
    assert!(answer.is_err(), "it tries again and again, and never takes NOT_CONTROLLER for an answer");
    assert_eq!(nodes[&1].image().controllers.len(), 0, "no controller registers by itself");
}
