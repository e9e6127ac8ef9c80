//! What an image makes of its environment, as data: one node's `server.properties` with the place each line came from.
//! It must not know how a node is started; the runtimes write the file and run the broker.

use std::fmt;

use jackdaw_compose::{Diagnostic, Span};
use jackdaw_settings::listeners::{self, ProtocolMap};

use crate::Provider;
use crate::lint::is_loopback;

/// Where a property came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A variable of the container; the span is its value.
    Environment {
        /// The variable's name.
        name: String,
        /// Where its value was written.
        span: Span,
    },
    /// A line of a mounted `server.properties`.
    File(Span),
    /// The image's own configuration or its entrypoint.
    Image,
}

impl Origin {
    /// The place to underline; nowhere for what the image adds.
    pub fn span(&self) -> Span {
        match self {
            Origin::Environment { span, .. } | Origin::File(span) => span.clone(),
            Origin::Image => Span::default(),
        }
    }
}

/// One line of `server.properties`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// Key, as Kafka knows it.
    pub key: String,
    /// Value, verbatim.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
}

/// An ordered `server.properties`; setting a key again keeps its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties(Vec<Property>);

impl Properties {
    /// Sets or replaces a key.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<String>, origin: Origin) {
        let (key, value) = (key.into(), value.into());
        match self.0.iter_mut().find(|p| p.key == key) {
            Some(property) => {
                property.value = value;
                property.origin = origin;
            }
            None => self.0.push(Property { key, value, origin }),
        }
    }

    /// Sets a key that nothing has set.
    pub fn set_default(&mut self, key: &str, value: impl Into<String>, origin: Origin) {
        if self.get(key).is_none() {
            self.set(key, value, origin);
        }
    }

    /// Removes a key.
    pub fn remove(&mut self, key: &str) {
        self.0.retain(|p| p.key != key);
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.property(key).map(|p| p.value.as_str())
    }

    /// The line of a key.
    pub fn property(&self, key: &str) -> Option<&Property> {
        self.0.iter().find(|p| p.key == key)
    }

    /// The place where a key's value was written; nowhere if it was not.
    pub fn span(&self, key: &str) -> Span {
        self.property(key).map(|p| p.origin.span()).unwrap_or_default()
    }

    /// The lines in order.
    pub fn iter(&self) -> impl Iterator<Item = &Property> {
        self.0.iter()
    }

    /// Whether there is no line.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text of a `server.properties`, escaped as Java's `Properties.load` wants it.
    pub fn to_text(&self) -> String {
        self.0.iter().map(|p| jackdaw_settings::properties::format_line(&p.key, &p.value)).collect()
    }
}

/// `NAME://HOST:PORT`. An empty host means every interface when listening.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Listener name, upper case.
    pub name: String,
    /// Host, without brackets.
    pub host: String,
    /// Port; 0 lets the system choose.
    pub port: u16,
    /// Where it was written.
    pub span: Span,
}

impl Listener {
    /// Reads `NAME://HOST:PORT`.
    pub fn parse(text: &str) -> Option<Self> {
        crate::node::listener(text, &Span::default())
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "{}://[{}]:{}", self.name, self.host, self.port)
        } else {
            write!(f, "{}://{}:{}", self.name, self.host, self.port)
        }
    }
}

/// One entry of `controller.quorum.voters`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voter {
    /// Node id.
    pub id: i32,
    /// Host by which the other nodes reach it.
    pub host: String,
    /// Port of its controller listener.
    pub port: u16,
    /// Where it was written.
    pub span: Span,
}

/// `process.roles`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    /// Serves clients.
    pub broker: bool,
    /// Votes.
    pub controller: bool,
}

/// How a node comes by its cluster id; an id that is already on the volume wins over all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterIdOrigin {
    /// The environment says it.
    Given(Span),
    /// The image has a fixed one (apache).
    Image,
    /// Derived from the voters and the project's name.
    Derived,
}

/// A cluster id and how it was come by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterId {
    /// 16 bytes in base64url, 22 characters.
    pub value: String,
    /// How it was come by.
    pub origin: ClusterIdOrigin,
}

/// A folder in the container and what is mounted over it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataDir {
    /// Absolute path in the container, an entry of `log.dirs`.
    pub path: String,
    /// Index into the service's mounts of the one that holds it; none: the data goes with the container.
    pub mount: Option<usize>,
}

/// One Kafka node of a project.
#[derive(Clone, Debug)]
pub struct NodePlan {
    /// Name of the service.
    pub service: String,
    /// Whose conventions were applied.
    pub provider: Provider,
    /// The `server.properties` that the image would run with, every line with its origin.
    pub properties: Properties,
    /// None only where the settings are too broken to derive one.
    pub cluster_id: Option<ClusterId>,
    /// `node.id`; -1 where it is missing (an error says so).
    pub node_id: i32,
    /// `process.roles`.
    pub roles: Roles,
    /// `listeners`.
    pub listeners: Vec<Listener>,
    /// `advertised.listeners`, or what Kafka makes of `listeners` without them.
    pub advertised: Vec<Listener>,
    /// Names of the advertised listeners that were given no host, and have the service's name in its place.
    pub nameless: Vec<String>,
    /// `controller.quorum.voters`.
    pub voters: Vec<Voter>,
    /// `controller.listener.names`.
    pub controller_listener_names: Vec<String>,
    /// `inter.broker.listener.name`, or the name that stands for it.
    pub inter_broker_listener: Option<String>,
    /// `log.dirs`, the metadata's folder first where it is apart.
    pub data_dirs: Vec<DataDir>,
    /// What the process runs as (`user` of the service, else the image's), as `UID[:GID]`.
    pub user: String,
    /// Shell scripts that run once before the first start (bitnami's `/docker-entrypoint-initdb.d`).
    pub init_scripts_dir: Option<&'static str>,
    /// The service's own command makes the settings that its node starts on, so these are not they.
    pub is_made_by_command: bool,
    /// The path in the container of the settings' file, where one was read.
    pub config_file: Option<String>,
    /// No variable sets anything: the settings' file, or the service's own command, does.
    pub ignores_environment: bool,
    /// The service's command is of no use to what the node has become: it waits for a ZooKeeper that is not there, or
    /// calls the tools of an image that is laid out otherwise.
    pub ignores_command: bool,
    /// What is to be said about this node alone.
    pub diagnostics: Vec<Diagnostic>,
}

impl NodePlan {
    /// `controller.quorum.voters` as it was written.
    pub(crate) fn voters_text(&self) -> Vec<(i32, &str, u16)> {
        self.voters.iter().map(|voter| (voter.id, voter.host.as_str(), voter.port)).collect()
    }

    /// The listener that the controllers use.
    pub fn controller_listener(&self) -> Option<&Listener> {
        let name = self.controller_listener_names.first()?;
        self.listeners.iter().find(|listener| listener.name == *name)
    }

    /// Advertises a listener at another address than was written.
    pub fn advertise(&mut self, moved: &Listener) {
        for listener in self.advertised.iter_mut().filter(|listener| listener.name == moved.name) {
            listener.host.clone_from(&moved.host);
            listener.port = moved.port;
        }
        let all: Vec<String> = self.advertised.iter().map(ToString::to_string).collect();
        self.properties.set("advertised.listeners", all.join(","), Origin::Image);
    }

    /// A listener that is advertised on a port of the host's loopback has clients beside the node, too, such as a
    /// healthcheck: the port on which they look for it there, and its own. None where it does not listen there.
    pub fn beside(&self, moved: &Listener) -> Option<(u16, u16)> {
        let listener = self.listeners.iter().find(|listener| listener.name == moved.name)?;
        let is_anywhere =
            matches!(listener.host.as_str(), "" | "0.0.0.0" | "::") || is_loopback(&listener.host);
        (is_loopback(&moved.host) && is_anywhere).then_some((moved.port, listener.port))
    }

    /// The security protocol of each listener, by its name.
    pub(crate) fn protocols(&self) -> ProtocolMap {
        let map = self.properties.get("listener.security.protocol.map");
        let listeners = self.properties.get("listeners").unwrap_or_default();
        listeners::effective_map(map, &self.controller_listener_names, listeners)
    }

    /// Whether a listener can be asked without TLS and SASL.
    pub fn is_plaintext(&self, listener: &str) -> bool {
        self.protocols().get(listener).is_some_and(|protocol| protocol == listeners::PLAINTEXT)
    }

    /// Whether a listener serves the quorum only.
    pub fn is_controller_listener(&self, name: &str) -> bool {
        self.controller_listener_names.iter().any(|n| n == name)
    }
}
