//! A client of a cluster for tools that ask one thing after the other: bootstrap addresses, connections to nodes,
//! versions, and what is asked again (`KafkaAdminClient`).
//!
//! It prints what Kafka's client logs while nobody answers, and nothing else. Everything waits in place; a tool that
//! has a second thing to do meanwhile uses a thread.

use crate::errors::{Exception, check};
use crate::print;
use crate::properties::Properties;
use jackdaw_client::Connection;
use jackdaw_wire::ErrorCode;
use kafka_protocol::messages::api_versions_response::ApiVersionsResponse;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    ApiVersionsRequest, BrokerId, DescribeClusterRequest, DescribeClusterResponse, FindCoordinatorRequest,
    MetadataRequest, MetadataResponse, TopicName,
};
use kafka_protocol::protocol::{Request, StrBytes};
use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// `request.timeout.ms` and `default.api.timeout.ms`
const REQUEST_TIMEOUT_MS: u64 = 30_000;
const API_TIMEOUT_MS: u64 = 60_000;
/// `socket.connection.setup.timeout.ms`
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// `reconnect.backoff.ms` and its maximum.
const RECONNECT_BACKOFF: Duration = Duration::from_millis(50);
const RECONNECT_BACKOFF_MAX: Duration = Duration::from_secs(1);
/// Kinds of endpoints in DescribeCluster.
const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;
/// `retry.backoff.ms`
pub const RETRY_BACKOFF: Duration = Duration::from_millis(100);

/// Codes that are answered by looking again who leads or coordinates what.
pub const MOVED: &[i16] = &[
    ErrorCode::LeaderNotAvailable.code(),
    ErrorCode::NotLeaderOrFollower.code(),
    ErrorCode::NetworkException.code(),
    ErrorCode::CoordinatorLoadInProgress.code(),
    ErrorCode::CoordinatorNotAvailable.code(),
    ErrorCode::NotCoordinator.code(),
    ErrorCode::NotController.code(),
];

/// What a request is sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// Whoever answers.
    Any,
    /// The controller, or who passes on to it.
    Controller,
    /// That broker.
    Node(i32),
}

/// A broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    /// Node id.
    pub id: i32,
    /// Advertised host.
    pub host: String,
    /// Advertised port.
    pub port: u16,
    /// Rack.
    pub rack: Option<String>,
}

impl Broker {
    /// As Kafka's `Node.toString`.
    pub fn shown(&self) -> String {
        let Broker { id, host, port, rack } = self;
        format!("{host}:{port} (id: {id} rack: {})", rack.as_deref().unwrap_or("null"))
    }
}

/// A connection and the versions that its other end knows.
pub struct Link {
    /// The connection.
    pub connection: Connection,
    versions: ApiVersionsResponse,
}

/// How the client calls itself in what it logs and in what it throws when it cannot be made.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// As in `Failed to create new KafkaAdminClient`; nothing where the cause comes alone.
    pub class: &'static str,
    /// As in `[AdminClient clientId=…]`.
    pub log: &'static str,
    /// Its id, where no property gives another.
    pub id: &'static str,
}

/// That of most tools.
pub const ADMIN: Kind = Kind { class: "KafkaAdminClient", log: "AdminClient", id: "adminclient-1" };

/// See the head of this file.
pub struct Admin {
    runtime: Runtime,
    kind: Kind,
    client_id: String,
    bootstrap: Vec<(String, u16)>,
    brokers: Vec<Broker>,
    controller: i32,
    controllers: bool,
    links: BTreeMap<i32, Link>,
    /// Text of the hosts file of the service that it runs beside.
    hosts: String,
    request_timeout: Duration,
    api_timeout: Duration,
}

/// Result of what can throw.
pub type Result<T> = std::result::Result<T, Exception>;

impl Admin {
    /// Takes `bootstrap.servers` and the rest of the client's properties.
    ///
    /// # Errors
    /// When an address is none or none is known, or the properties ask for what is not built.
    pub fn create(kind: Kind, properties: &Properties) -> Result<Self> {
        let wrap = |cause: Exception| match kind.class {
            "" => cause,
            class => {
                let message = format!("Failed to create new {class}");
                Exception::new("org.apache.kafka.common.KafkaException", message).because(cause)
            }
        };
        Self::new(kind, properties).map_err(wrap)
    }

    fn new(kind: Kind, properties: &Properties) -> Result<Self> {
        let config = |text: String| Exception::new("org.apache.kafka.common.config.ConfigException", text);
        let protocol = properties.get("security.protocol").map_or("PLAINTEXT", String::as_str);
        if !protocol.eq_ignore_ascii_case("PLAINTEXT") {
            return Err(config(format!(
                "security.protocol={protocol}: Jackdaw's tools speak PLAINTEXT; TLS and SASL are not built yet"
            )));
        }
        let number = |key: &str, default: u64| match properties.get(key) {
            None => Ok(default),
            Some(text) => text.trim().parse().map_err(|_| {
                config(format!("Invalid value {text} for configuration {key}: Not a number of type INT"))
            }),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Exception::new("java.io.IOException", error.to_string()))?;
        let mut admin = Admin {
            runtime,
            kind,
            client_id: properties.get("client.id").map_or(kind.id, String::as_str).to_owned(),
            bootstrap: Vec::new(),
            brokers: Vec::new(),
            controller: -1,
            controllers: properties.contains_key("bootstrap.controllers"),
            links: BTreeMap::new(),
            hosts: jackdaw_beside::hosts().unwrap_or_default(),
            request_timeout: Duration::from_millis(number("request.timeout.ms", REQUEST_TIMEOUT_MS)?),
            api_timeout: Duration::from_millis(number("default.api.timeout.ms", API_TIMEOUT_MS)?),
        };
        // KIP-919: the controllers themselves are asked.
        let key = if admin.controllers { "bootstrap.controllers" } else { "bootstrap.servers" };
        let servers = properties.get(key).map_or("", String::as_str);
        for server in servers.split(',').map(str::trim).filter(|server| !server.is_empty()) {
            let address =
                host_and_port(server).ok_or_else(|| config(format!("Invalid url in {key}: {server}")))?;
            if admin.resolve(&address.0, address.1).is_empty() {
                let host = &address.0;
                let said = format!(
                    "Couldn't resolve server {server} from {key} as DNS resolution failed for {host}"
                );
                print::log("WARN", "org.apache.kafka.clients.ClientUtils", &said);
            } else {
                admin.bootstrap.push(address);
            }
        }
        if admin.bootstrap.is_empty() {
            return Err(config(format!("No resolvable bootstrap urls given in {key}")));
        }
        Ok(admin)
    }

    /// The addresses of a host; IPv4 first, as a listener on the loopback of a desk mostly has it.
    fn resolve(&self, host: &str, port: u16) -> Vec<SocketAddr> {
        if let Some(known) = jackdaw_beside::address_in(&self.hosts, host) {
            return vec![SocketAddr::new(known, port)];
        }
        let mut found: Vec<SocketAddr> =
            (host.trim_matches(['[', ']']), port).to_socket_addrs().into_iter().flatten().collect();
        found.sort_by_key(SocketAddr::is_ipv6);
        found
    }

    /// The bootstrap servers as Kafka shows nodes that it knows no id of.
    pub fn bootstrap_nodes(&self) -> Vec<String> {
        let node = |(index, (host, port)): (usize, &(String, u16))| {
            Broker { id: -1 - index as i32, host: host.clone(), port: *port, rack: None }.shown()
        };
        self.bootstrap.iter().enumerate().map(node).collect()
    }

    /// Waits, as one does before asking again.
    pub fn pause(&self) {
        print::flush();
        std::thread::sleep(RETRY_BACKOFF);
    }

    fn address(&self, id: i32) -> Option<(String, u16)> {
        match usize::try_from(-1 - id) {
            Ok(index) => self.bootstrap.get(index).cloned(),
            Err(_) => {
                let broker = self.brokers.iter().find(|broker| broker.id == id)?;
                Some((broker.host.clone(), broker.port))
            }
        }
    }

    /// Connects to a node unless that was done; ids below 0 are the bootstrap servers.
    fn connect(&mut self, id: i32) -> io::Result<()> {
        if self.links.contains_key(&id) {
            return Ok(());
        }
        let (host, port) = self.address(id).ok_or(io::ErrorKind::NotFound)?;
        let addresses = self.resolve(&host, port);
        let (client_id, request_timeout) = (self.client_id.clone(), self.request_timeout);
        let link = self.runtime.block_on(async {
            let opened = tokio::time::timeout(CONNECT_TIMEOUT, open(&addresses, &client_id)).await;
            let mut connection = opened.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            let asked = tokio::time::timeout(request_timeout, versions(&mut connection)).await;
            match asked.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))? {
                Ok(versions) => Ok(Link { connection, versions }),
                // An older broker answers in the oldest version, whatever the question's.
                Err(_) => {
                    let mut connection = open(&addresses, &client_id).await?;
                    let request = ApiVersionsRequest::default();
                    let versions = connection.exchange(0, &request).await?;
                    Ok(Link { connection, versions })
                }
            }
        });
        match link {
            Ok(link) => {
                self.links.insert(id, link);
                Ok(())
            }
            Err(error) => {
                let at = addresses.first().map_or_else(String::new, |address| address.ip().to_string());
                let Kind { log, .. } = self.kind;
                let said = format!(
                    "[{log} clientId={}] Connection to node {id} ({host}/{at}:{port}) could not be established. \
                     Node may not be available.",
                    self.client_id
                );
                print::log("WARN", "org.apache.kafka.clients.NetworkClient", &said);
                Err(error)
            }
        }
    }

    /// A node that answers: one that did, else the bootstrap servers in turn, until the time is over.
    fn any(&mut self, call: &str, deadline: Instant) -> Result<i32> {
        if let Some(id) = self.links.keys().next_back() {
            return Ok(*id);
        }
        let mut backoff = RECONNECT_BACKOFF;
        loop {
            let known: Vec<i32> = self.brokers.iter().map(|broker| broker.id).collect();
            for id in (0..self.bootstrap.len()).map(|index| -1 - index as i32).chain(known) {
                if self.connect(id).is_ok() {
                    return Ok(id);
                }
            }
            if Instant::now() + backoff > deadline {
                let message = format!("Timed out waiting for a node assignment. Call: {call}");
                return Err(Exception::kafka("TimeoutException", message));
            }
            std::thread::sleep(backoff);
            backoff = (backoff * 2).min(RECONNECT_BACKOFF_MAX);
        }
    }

    /// Tries one node once; `make` is told the version.
    fn try_node<R: Request>(&mut self, id: i32, make: impl Fn(i16) -> R) -> Result<R::Response> {
        let gone = |error: io::Error| match error.kind() {
            io::ErrorKind::TimedOut => {
                Exception { code: ErrorCode::NetworkException.code(), ..ErrorCode::RequestTimedOut.into() }
            }
            _ => Exception::from(ErrorCode::NetworkException),
        };
        self.connect(id).map_err(gone)?;
        let limit = self.request_timeout;
        let link = self.links.get_mut(&id).ok_or_else(|| Exception::from(ErrorCode::NetworkException))?;
        let version = link.version::<R>()?;
        let request = make(version);
        let exchange = link.connection.exchange(version, &request);
        let answer = self.runtime.block_on(async { tokio::time::timeout(limit, exchange).await });
        match answer.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(answer) => Ok(answer),
            Err(error) => {
                self.links.remove(&id);
                Err(gone(error))
            }
        }
    }

    /// Asks, and asks again while the connection fails and there is time. `call` is the name that Kafka's client has
    /// for it.
    ///
    /// # Errors
    /// When nobody answers in time, or the other end does not know the request.
    pub fn ask<R: Request + Clone>(&mut self, to: To, call: &str, request: &R) -> Result<R::Response> {
        self.ask_by_version(to, call, |_| request.clone())
    }

    /// The same, for a request whose fields differ by version.
    ///
    /// # Errors
    /// As [`Admin::ask`].
    pub fn ask_by_version<R: Request>(
        &mut self,
        to: To,
        call: &str,
        make: impl Fn(i16) -> R,
    ) -> Result<R::Response> {
        let deadline = Instant::now() + self.api_timeout;
        let mut backoff = RECONNECT_BACKOFF;
        loop {
            let id = match to {
                To::Any => self.any(call, deadline)?,
                To::Node(id) => {
                    self.learn(call, deadline, Some(id))?;
                    id
                }
                To::Controller => {
                    self.learn(call, deadline, None)?;
                    self.controller
                }
            };
            match self.try_node(id, &make) {
                Err(error) if error.is(ErrorCode::NetworkException) && Instant::now() < deadline => {
                    self.brokers.clear();
                    std::thread::sleep(backoff);
                    backoff = (backoff * 2).min(RECONNECT_BACKOFF_MAX);
                }
                answer => return answer,
            }
        }
    }

    /// Asks one bootstrap server, once.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn ask_bootstrap<R: Request + Clone>(&mut self, index: usize, request: &R) -> Result<R::Response> {
        self.try_node(-1 - index as i32, |_| request.clone())
    }

    /// The versions that a node knows.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn versions(&mut self, id: i32) -> Result<&ApiVersionsResponse> {
        self.connect(id).map_err(|_| Exception::from(ErrorCode::NetworkException))?;
        self.links
            .get(&id)
            .map(|link| &link.versions)
            .ok_or_else(|| Exception::from(ErrorCode::NetworkException))
    }

    /// Learns the brokers, until `wanted` or, without it, the controller is among them.
    fn learn(&mut self, call: &str, deadline: Instant, wanted: Option<i32>) -> Result<()> {
        loop {
            let id = wanted.unwrap_or(self.controller);
            if self.brokers.iter().any(|broker| broker.id == id) {
                return Ok(());
            }
            let id = self.any(call, deadline)?;
            match self.look(id) {
                Err(error) if !error.is(ErrorCode::NetworkException) => return Err(error),
                _ => {}
            }
            let id = wanted.unwrap_or(self.controller);
            if self.brokers.iter().any(|broker| broker.id == id) {
                return Ok(());
            }
            if Instant::now() > deadline {
                let message = format!("Timed out waiting for a node assignment. Call: {call}");
                return Err(Exception::kafka("TimeoutException", message));
            }
            self.pause();
        }
    }

    /// Asks a node who is there.
    fn look(&mut self, id: i32) -> Result<()> {
        if self.controllers {
            let request = DescribeClusterRequest::default().with_endpoint_type(CONTROLLERS);
            let answer = self.try_node(id, |_| request.clone())?;
            check(answer.error_code, answer.error_message.as_deref())?;
            self.controller = answer.controller_id.0;
            self.brokers = members(&answer);
            return Ok(());
        }
        let request = MetadataRequest::default().with_topics(Some(Vec::new()));
        let answer = self.try_node(id, |_| request.clone())?;
        self.take(&answer);
        Ok(())
    }

    /// The cluster's id.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn cluster_id(&mut self) -> Result<String> {
        let kind = if self.controllers { CONTROLLERS } else { BROKERS };
        let answer = self.ask_by_version(To::Any, "describeCluster", |version| {
            let request = DescribeClusterRequest::default();
            if version >= 1 { request.with_endpoint_type(kind) } else { request }
        })?;
        check(answer.error_code, answer.error_message.as_deref())?;
        Ok(answer.cluster_id.to_string())
    }

    /// Where the quorum is asked: a broker passes it on, of the controllers only the active one answers.
    pub fn quorum(&self) -> To {
        if self.controllers { To::Controller } else { To::Any }
    }

    fn take(&mut self, answer: &MetadataResponse) {
        self.controller = answer.controller_id.0;
        self.brokers = brokers(answer);
    }

    /// Asks what takes longer than other requests.
    pub fn patiently<T>(&mut self, limit: Duration, work: impl FnOnce(&mut Self) -> T) -> T {
        let usual = std::mem::replace(&mut self.request_timeout, limit);
        let done = work(self);
        self.request_timeout = usual;
        done
    }

    /// Connects to a node and gives the connection away, to whoever waits for several at a time.
    ///
    /// # Errors
    /// When nobody is there.
    pub fn lend(&mut self, id: i32) -> Result<Link> {
        self.connect(id).map_err(|_| Exception::from(ErrorCode::NetworkException))?;
        self.links.remove(&id).ok_or_else(|| Exception::from(ErrorCode::NetworkException))
    }

    /// Takes a connection back.
    pub fn give_back(&mut self, id: i32, link: Link) {
        self.links.entry(id).or_insert(link);
    }

    /// What futures run on.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Keeps what Metadata says of the brokers, and tells it.
    pub fn learned<T>(&mut self, answer: &MetadataResponse, what: impl Fn(&MetadataResponse) -> T) -> T {
        self.take(answer);
        what(answer)
    }

    /// The brokers that there are.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn brokers(&mut self, call: &str) -> Result<Vec<Broker>> {
        let deadline = Instant::now() + self.api_timeout;
        loop {
            let id = self.any(call, deadline)?;
            match self.look(id) {
                Err(error) if error.is(ErrorCode::NetworkException) && Instant::now() < deadline => {
                    self.pause()
                }
                done => return done.map(|()| self.brokers.clone()),
            }
        }
    }

    /// Forgets who is who, so that the next request looks again.
    pub fn forget(&mut self) {
        self.brokers.clear();
    }

    /// Does something again while it is told to ask elsewhere (or one of `codes`), until the time is over.
    ///
    /// # Errors
    /// Those of `work`.
    pub fn retrying<T>(&mut self, codes: &[i16], mut work: impl FnMut(&mut Self) -> Result<T>) -> Result<T> {
        let deadline = Instant::now() + self.api_timeout;
        loop {
            match work(self) {
                Err(error) if codes.contains(&error.code) && Instant::now() < deadline => {
                    self.forget();
                    self.pause();
                }
                done => return done,
            }
        }
    }

    /// Metadata of all topics, or of those named; none is created.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn metadata(&mut self, call: &str, topics: Option<&[String]>) -> Result<MetadataResponse> {
        let topic = |name: &String| MetadataRequestTopic::default().with_name(Some(topic_name(name)));
        let topics = topics.map(|topics| topics.iter().map(topic).collect());
        let request = MetadataRequest::default().with_topics(topics).with_allow_auto_topic_creation(false);
        let answer = self.ask(To::Any, call, &request)?;
        self.take(&answer);
        Ok(answer)
    }

    /// The coordinator of a group (kind 0) or of a transactional id (kind 1).
    ///
    /// # Errors
    /// When there is none in time.
    pub fn coordinator(&mut self, kind: i8, key: &str) -> Result<i32> {
        self.retrying(MOVED, |admin| {
            // Version 4 asks for many, those before for one.
            let answer = admin.ask_by_version(To::Any, "findCoordinator", |version| {
                let request = FindCoordinatorRequest::default();
                let request = if version >= 1 { request.with_key_type(kind) } else { request };
                if version >= 4 {
                    request.with_coordinator_keys(vec![text(key)])
                } else {
                    request.with_key(text(key))
                }
            })?;
            let (code, said, node) = match answer.coordinators.first() {
                Some(found) => (found.error_code, &found.error_message, found.node_id),
                None => (answer.error_code, &answer.error_message, answer.node_id),
            };
            check(code, said.as_deref())?;
            Ok(node.0)
        })
    }
}

impl Link {
    /// The newest version that both ends know.
    ///
    /// # Errors
    /// When there is none.
    pub fn version<R: Request>(&self) -> Result<i16> {
        let ours = R::VERSIONS;
        let range = self.versions.api_keys.iter().find(|range| range.api_key == R::KEY);
        let newest = range.map(|range| (range.max_version.min(ours.max), range.min_version.max(ours.min)));
        let name = kafka_protocol::messages::ApiKey::try_from(R::KEY)
            .map_or_else(|()| R::KEY.to_string(), |key| format!("{key:?}"));
        match newest {
            Some((newest, oldest)) if newest >= oldest => Ok(newest),
            _ => Err(Exception::kafka(
                "UnsupportedVersionException",
                format!("The node does not support {name}"),
            )),
        }
    }
}

fn members(answer: &DescribeClusterResponse) -> Vec<Broker> {
    let member = |member: &DescribeClusterBroker| Broker {
        id: member.broker_id.0,
        host: member.host.to_string(),
        port: u16::try_from(member.port).unwrap_or_default(),
        rack: None,
    };
    answer.brokers.iter().map(member).collect()
}

/// Metadata's brokers, by id.
pub fn brokers(answer: &MetadataResponse) -> Vec<Broker> {
    let mut brokers: Vec<Broker> = answer
        .brokers
        .iter()
        .map(|broker| Broker {
            id: broker.node_id.0,
            host: broker.host.to_string(),
            port: u16::try_from(broker.port).unwrap_or_default(),
            rack: broker.rack.as_ref().map(|rack| rack.to_string()),
        })
        .collect();
    brokers.sort_by_key(|broker| broker.id);
    brokers
}

async fn open(addresses: &[SocketAddr], client_id: &str) -> io::Result<Connection> {
    Connection::open(addresses, client_id.to_owned()).await
}

async fn versions(connection: &mut Connection) -> io::Result<ApiVersionsResponse> {
    const NEWEST: i16 = 3;
    let request = ApiVersionsRequest::default()
        .with_client_software_name(StrBytes::from_static_str("jackdaw"))
        .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
    let answer = connection.exchange(NEWEST, &request).await?;
    if answer.error_code == 0 { Ok(answer) } else { Err(io::ErrorKind::Unsupported.into()) }
}

/// `host:port`, also with an IPv6 address, in brackets or not, and a protocol in front (`Utils.getHost`). No host at all is
/// this machine, as Java resolves an empty name.
pub fn host_and_port(server: &str) -> Option<(String, u16)> {
    let server = server.split_once("://").map_or(server, |(_, rest)| rest);
    let (host, port) = server.rsplit_once(':')?;
    let bracketed = host.starts_with('[') && host.ends_with(']');
    let plain = host.chars().all(|letter| letter.is_ascii_alphanumeric() || "-._:%".contains(letter));
    let host = if host.is_empty() { "localhost" } else { host };
    port.parse().ok().filter(|_| bracketed || plain).map(|port| (host.to_owned(), port))
}

/// A topic's name as requests have it.
pub fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

/// A text as requests have it.
pub fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// Ids of brokers with commas.
pub fn ids(ids: &[BrokerId]) -> String {
    ids.iter().map(|id| id.0.to_string()).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_kafka_reads_them() {
        for (server, due) in [
            ("localhost:9092", Some(("localhost", 9092))),
            ("PLAINTEXT://a-b.c_d:1", Some(("a-b.c_d", 1))),
            ("[::1]:9092", Some(("[::1]", 9092))),
            ("localhost", None),
            (":9092", Some(("localhost", 9092))),
            ("::1:9092", Some(("::1", 9092))),
            ("a b:9092", None),
            ("localhost:nine", None),
        ] {
            let found = host_and_port(server);
            assert_eq!(found.as_ref().map(|(host, port)| (host.as_str(), *port)), due, "{server}");
        }
    }
}
