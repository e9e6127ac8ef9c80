//! One broker as an image of testcontainers: what its container is given and what it waits for.
//!
//! A broker has to tell its clients the port that the engine publishes, which nobody knows before the container runs.
//! So the container waits for a file with that address, and starts then.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use testcontainers::core::{ContainerPort, ContainerState, ExecCommand, WaitFor};
use testcontainers::{Image, TestcontainersError};

/// The port for clients, published by the engine.
pub const CLIENTS: ContainerPort = ContainerPort::Tcp(9092);
/// The port for brokers, and for clients on the same network.
pub(crate) const INSIDE: u16 = 19_092;
const CONTROLLERS: u16 = 9093;
/// Jackdaw's image, as the documentation has it made.
const IMAGE: &str = "jackdaw:latest";
const LATEST: &str = "latest";
/// What a node of Kafka's says when it serves, and one of Jackdaw's too.
const READY: &str = "Kafka Server started";
/// The container's command: waits for the address, forgets it for the next start, becomes what the image runs.
const COMMAND: &str = "until [ -f /tmp/advertised ]; do sleep 0.05; done; . /tmp/advertised; \
    rm /tmp/advertised; exec /etc/kafka/docker/run";
/// What the cluster relies on, or every broker has a value of its own for.
const OWN: [&str; 9] = [
    "advertised.listeners",
    "controller.listener.names",
    "controller.quorum.voters",
    "inter.broker.listener.name",
    "listener.security.protocol.map",
    "listeners",
    "log.dirs",
    "node.id",
    "process.roles",
];

/// One broker that is its own controller, on Jackdaw's image.
///
/// ```no_run
/// use jackdaw_testcontainers::{Broker, CLIENTS};
/// use jackdaw_testcontainers::testcontainers::{TestcontainersError, runners::AsyncRunner};
///
/// # async fn example() -> Result<(), TestcontainersError> {
/// let broker = Broker::default().setting("num.partitions", 6).start().await?;
/// let port = broker.get_host_port_ipv4(CLIENTS).await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Broker {
    name: String,
    tag: String,
    /// The name by which others on its network reach it.
    host: String,
    environment: BTreeMap<String, String>,
    settings: Vec<(String, String)>,
}

impl Default for Broker {
    fn default() -> Self {
        let blank = Self {
            name: String::new(),
            tag: String::new(),
            host: String::new(),
            environment: BTreeMap::new(),
            settings: Vec::new(),
        };
        blank.image(IMAGE).member(1, &["localhost".to_owned()])
    }
}

impl Broker {
    /// The image's name, with its tag.
    #[must_use]
    pub fn image(mut self, reference: &str) -> Self {
        let (name, tag) = match reference.rsplit_once(':') {
            // What comes after the port of a registry is no tag.
            Some((name, tag)) if !tag.contains('/') => (name, tag),
            _ => (reference, LATEST),
        };
        (self.name, self.tag) = (name.to_owned(), tag.to_owned());
        self
    }

    /// A line of the broker's `server.properties`.
    #[must_use]
    pub fn setting(mut self, key: &str, value: impl fmt::Display) -> Self {
        self.settings.push((key.to_owned(), value.to_string()));
        self.environment.insert(variable(key), value.to_string());
        self
    }

    /// A setting that was made and is not for the user to make.
    pub(crate) fn own_setting(&self) -> Option<&str> {
        self.settings.iter().map(|(key, _)| key.as_str()).find(|key| OWN.contains(key))
    }

    pub(crate) fn reference(&self) -> String {
        format!("{}:{}", self.name, self.tag)
    }

    /// The one of that id among the nodes of these names.
    pub(crate) fn member(mut self, id: u16, hosts: &[String]) -> Self {
        let voters: Vec<String> =
            (1..).zip(hosts).map(|(id, host): (u16, _)| format!("{id}@{host}:{CONTROLLERS}")).collect();
        let (replicas, in_sync) = if hosts.len() < 3 { (hosts.len(), 1) } else { (3, 2) };
        let listeners = format!("CLIENTS://:9092,INSIDE://:{INSIDE},CONTROLLER://:{CONTROLLERS}");
        let mut set = |key: &str, value: String| self.environment.insert(variable(key), value);
        set("node.id", id.to_string());
        set("process.roles", "broker,controller".into());
        set("controller.quorum.voters", voters.join(","));
        set("controller.listener.names", "CONTROLLER".into());
        set("listeners", listeners);
        set(
            "listener.security.protocol.map",
            "CLIENTS:PLAINTEXT,INSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT".into(),
        );
        set("inter.broker.listener.name", "INSIDE".into());
        set("log.dirs", "/var/lib/kafka/data".into());
        set("group.initial.rebalance.delay.ms", "0".into());
        set("offsets.topic.num.partitions", "1".into());
        set("offsets.topic.replication.factor", replicas.to_string());
        set("transaction.state.log.num.partitions", "1".into());
        set("transaction.state.log.replication.factor", replicas.to_string());
        set("transaction.state.log.min.isr", in_sync.to_string());
        for (key, value) in &self.settings {
            self.environment.insert(variable(key), value.clone());
        }
        self.host = hosts.get(usize::from(id) - 1).cloned().unwrap_or_default();
        self
    }
}

/// The variable that apache/kafka makes a setting of.
fn variable(key: &str) -> String {
    let name = key.replace('_', "__").replace('-', "___").replace('.', "_");
    format!("KAFKA_{}", name.to_uppercase())
}

/// Where clients find a port; `localhost` may mean an address on which another port was published.
pub(crate) fn address(host: &str, port: u16) -> String {
    let host = if host == "localhost" { "127.0.0.1" } else { host };
    format!("{host}:{port}")
}

impl Image for Broker {
    fn name(&self) -> &str {
        &self.name
    }

    fn tag(&self) -> &str {
        &self.tag
    }

    /// None yet: it starts in [`Image::exec_after_start`].
    fn ready_conditions(&self) -> Vec<WaitFor> {
        Vec::new()
    }

    fn env_vars(&self) -> impl IntoIterator<Item = (impl Into<Cow<'_, str>>, impl Into<Cow<'_, str>>)> {
        &self.environment
    }

    fn entrypoint(&self) -> Option<&str> {
        Some("sh")
    }

    fn cmd(&self) -> impl IntoIterator<Item = impl Into<Cow<'_, str>>> {
        ["-c", COMMAND]
    }

    fn expose_ports(&self) -> &[ContainerPort] {
        &[CLIENTS]
    }

    fn exec_after_start(&self, state: ContainerState) -> Result<Vec<ExecCommand>, TestcontainersError> {
        let clients = address(&state.host().to_string(), state.host_port_ipv4(CLIENTS)?);
        let listeners = format!("CLIENTS://{clients},INSIDE://{}:{INSIDE}", self.host);
        let tell = format!(
            "echo 'export KAFKA_ADVERTISED_LISTENERS={listeners}' > /tmp/advertised.new && \
             mv /tmp/advertised.new /tmp/advertised"
        );
        let ready = vec![WaitFor::message_on_either_std(READY)];
        Ok(vec![ExecCommand::new(["sh", "-c", &tell]).with_container_ready_conditions(ready)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_a_name_and_a_tag() {
        for (reference, expected) in [
            ("jackdaw:latest", ("jackdaw", "latest")),
            ("apache/kafka", ("apache/kafka", "latest")),
            ("localhost:5000/apache/kafka", ("localhost:5000/apache/kafka", "latest")),
            ("localhost:5000/apache/kafka:3.7.0", ("localhost:5000/apache/kafka", "3.7.0")),
        ] {
            let broker = Broker::default().image(reference);
            assert_eq!((broker.name(), broker.tag()), expected, "{reference}");
        }
    }

    #[test]
    fn a_setting_is_the_variable_that_the_image_reads_and_outlives_membership() {
        assert_eq!(variable("listener.name.sasl_ssl.x-y"), "KAFKA_LISTENER_NAME_SASL__SSL_X___Y");
        let hosts = ["a", "b", "c"].map(str::to_owned);
        let broker = Broker::default().setting("offsets.topic.num.partitions", 5).member(2, &hosts);
        let of = |key: &str| broker.environment[&variable(key)].as_str();
        assert_eq!(of("offsets.topic.num.partitions"), "5");
        assert_eq!(of("controller.quorum.voters"), "1@a:9093,2@b:9093,3@c:9093");
        assert_eq!((of("node.id"), of("transaction.state.log.min.isr"), &*broker.host), ("2", "2", "b"));
    }

    #[test]
    fn a_broker_s_own_settings_are_not_the_user_s() {
        assert_eq!(Broker::default().setting("num.partitions", 2).own_setting(), None);
        assert_eq!(Broker::default().setting("node.id", 2).own_setting(), Some("node.id"));
    }
}
