//! A scenario as it was understood: what cluster it wants, what is done, what may differ.
//! Data only: [`crate::parse`] makes it, [`crate::run`] does it.

use crate::cluster::REFERENCE;
use crate::schema::Api;
use jackdaw_compose::Span;
use jackdaw_compose::yaml::Node;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// One scenario.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The name of its folder.
    pub name: String,
    /// The obligation that it protects.
    pub protects: String,
    /// Where the obligation comes from.
    pub source: String,
    /// The cluster that it wants.
    pub shape: Shape,
    /// Where that was written, or would be.
    pub cluster_span: Span,
    /// What is done, in order.
    pub steps: Vec<Step>,
    /// Where another provider may answer otherwise.
    pub differences: Vec<Difference>,
    /// Digest of the cluster and the steps: a recording of other steps is stale.
    pub digest: String,
}

impl Scenario {
    /// Whether it needs Apache Kafka, whoever is under test.
    pub fn needs_reference(&self) -> bool {
        let needs =
            |step: &Step| matches!(step.verb, Verb::Provider(Provider::Reference, _) | Verb::Dump(..));
        !self.shape.by_reference.is_empty() || self.steps.iter().any(needs)
    }
}

/// The cluster of a scenario. Scenarios of equal shapes share one, unless it is to be fresh.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shape {
    /// Roles by node id.
    pub nodes: BTreeMap<i32, Role>,
    /// Settings of all nodes.
    pub settings: BTreeMap<String, String>,
    /// Settings of one node.
    pub node_settings: BTreeMap<i32, BTreeMap<String, String>>,
    /// Nodes that Apache Kafka runs, whoever is under test.
    pub by_reference: BTreeSet<i32>,
    /// The release of Apache Kafka whose answers count, and which takes part where Apache Kafka does.
    pub release: String,
    /// Whether nobody may have used it before.
    pub fresh: bool,
    /// Whether it is started before the first step.
    pub started: bool,
}

/// The release that Jackdaw is held to.
pub const RELEASE: &str = "3.7.0";

impl Shape {
    /// The provider whose answers count, as `up --provider` knows it.
    pub fn reference(&self) -> String {
        match self.release.as_str() {
            RELEASE => REFERENCE.to_owned(),
            release => format!("{REFERENCE}:{release}"),
        }
    }
}

/// `process.roles`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Both.
    Combined,
    /// A controller alone.
    Controller,
    /// A broker alone.
    Broker,
}

impl Role {
    /// As `process.roles` has it.
    pub fn setting(self) -> &'static str {
        match self {
            Role::Combined => "broker,controller",
            Role::Controller => "controller",
            Role::Broker => "broker",
        }
    }
}

/// A node, said outright or by what it does at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// By its id.
    Node(i32),
    /// The active controller.
    Controller,
    /// The broker of lowest id that is not the active controller.
    NotController,
    /// The leader of a partition.
    Leader(String, i32),
}

/// Who runs a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// Who the scenario is run to look at.
    UnderTest,
    /// Apache Kafka, always.
    Reference,
}

/// Which of a node's listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// The one between containers.
    Client,
    /// The one of the host.
    External,
    /// The controllers'.
    Controller,
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The node.
    pub who: Who,
    /// Its listener.
    pub listener: Listener,
}

/// One step.
#[derive(Clone, Debug)]
pub struct Step {
    /// Unique title, the heading in the transcript.
    pub title: String,
    /// Where it was written.
    pub span: Span,
    /// Fields to leave out of the transcript.
    pub redact: Vec<String>,
    /// Names for values of the reply: name and path.
    pub save: Vec<(String, String)>,
    /// The reply's arrays are told in their own order.
    pub ordered: bool,
    /// Asked again while the reply has this error code: what clients retry by themselves.
    pub retry: Option<i64>,
    /// What is done.
    pub verb: Verb,
}

/// What a step does.
#[derive(Clone, Debug)]
pub enum Verb {
    /// Makes a topic and waits until every broker knows its leaders.
    Create(Create),
    /// Sends a request in each of its versions and tells the replies.
    Request(Request),
    /// Sends a request and goes on; [`Verb::Join`] tells the reply.
    Background(String, Request),
    /// Waits for a reply.
    Join(String),
    /// Sends requests over one connection, then reads the replies in order.
    Pipeline(Target, Vec<Request>),
    /// Sends bytes as they are, and tells what comes back.
    Raw(Target, Vec<u8>),
    /// Stops, kills, starts nodes.
    Act(Act, Vec<Who>),
    /// Deletes the data of a stopped node.
    Wipe(i32),
    /// From now on the second node has the folder of the first one.
    Share(i32, i32),
    /// Waits for a condition.
    Await(Condition, Duration),
    /// Starts a node that must refuse to run, and says these words.
    Refused(i32, Vec<String>),
    /// Runs one node on a file of these settings, without a cluster around it: it must refuse to run, and say these
    /// words. Null takes a setting of the plain file away.
    RefusedFile(BTreeMap<String, Option<String>>, Vec<String>),
    /// Starts nodes with this provider from now on, on the data that they have.
    Provider(Provider, Vec<Who>),
    /// Has Kafka's own tool read the data of stopped nodes, and decode the records of these topics.
    Dump(Vec<Who>, Vec<String>),
}

/// `create`
#[derive(Clone, Debug)]
pub struct Create {
    /// Name.
    pub topic: String,
    /// Replicas by partition.
    pub assignment: Vec<Vec<i32>>,
    /// Settings.
    pub configs: Vec<(String, String)>,
}

/// `request`
#[derive(Clone, Debug)]
pub struct Request {
    /// The API.
    pub api: &'static Api,
    /// Versions in which it is sent.
    pub versions: Vec<i16>,
    /// Where to.
    pub to: Target,
    /// Its fields.
    pub body: Option<Node>,
    /// No reply is due (Produce with acks 0).
    pub no_reply: bool,
}

/// What is done to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// SIGKILL.
    Kill,
    /// SIGTERM, and until it ended.
    Stop,
    /// Start it.
    Start,
    /// SIGSTOP: it keeps its connections and says nothing.
    Pause,
    /// SIGCONT.
    Resume,
}

impl Act {
    /// The verb in the file.
    pub fn word(self) -> &'static str {
        match self {
            Act::Kill => "kill",
            Act::Stop => "stop",
            Act::Start => "start",
            Act::Pause => "pause",
            Act::Resume => "resume",
        }
    }
}

/// What is waited for. All running brokers must agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// `leader of T-P is N`
    Leader(String, i32, i32),
    /// `leader of T-P is not N`
    NotLeader(String, i32, i32),
    /// `isr of T-P is N, N`
    Isr(String, i32, Vec<i32>),
    /// `replicas of T-P are N, N`, in that order.
    Replicas(String, i32, Vec<i32>),
    /// `node N is registered`: every broker shows it.
    Registered(i32),
    /// `node N is fenced`: no broker shows it.
    Fenced(i32),
    /// `topic T is gone`
    Gone(String),
    /// `topic T is there`
    There(String),
    /// `high watermark of T-P is N`, as the leader tells consumers.
    HighWatermark(String, i32, i64),
    /// `config K of topic T is V`, `config K of node N is V`, `config K of all brokers is V`: as brokers describe it.
    Config(String, Configured, String),
    /// `all nodes are registered`
    AllRegistered,
    /// `a controller is known`
    Controller,
    /// `node N has ended`: its process.
    Ended(i32),
}

/// What Jackdaw says where it differs on purpose.
#[derive(Clone, Debug)]
pub enum Ours {
    /// These words.
    Words(String),
    /// The reference's words, without the list items that begin with one of these lines.
    Lacks(Vec<String>),
}

/// Whose configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Configured {
    /// A topic's, as every broker tells it.
    Topic(String),
    /// A broker's own.
    Node(i32),
    /// The default of all brokers, as every broker tells it of itself.
    AllBrokers,
}

/// Where a provider may answer otherwise.
#[derive(Clone, Debug)]
pub struct Difference {
    /// Title of the step.
    pub step: String,
    /// What Jackdaw says there instead.
    pub ours: Ours,
    /// Why that is meant.
    pub reason: String,
    /// Where it was written.
    pub span: Span,
}
