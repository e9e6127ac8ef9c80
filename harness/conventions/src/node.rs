//! One node: from the `server.properties` that its image made to a plan, with Kafka's own refusals
//! (`KafkaConfig.validateValues`) told before anything starts.
//! It must not look at other nodes; [`crate::lint`] does.

use jackdaw_compose::{Code, Diagnostic, Service, Severity, Span};
use jackdaw_settings::listeners::{PLAINTEXT, SECURITY_PROTOCOLS};

use crate::Provider;
use crate::cluster::on_host_network;
use crate::draft::Draft;
use crate::input::below;
use crate::plan::{
    ClusterId, ClusterIdOrigin, DataDir, Listener, NodePlan, Origin, Properties, Roles, Voter,
};
use crate::{cluster_id, zookeeper};

/// A plan of the node; `service` is absent inside a container.
pub(crate) fn plan(
    provider: Provider,
    draft: Draft,
    name: &str,
    name_span: &Span,
    service: Option<&Service>,
) -> NodePlan {
    let mut maker =
        Maker { draft, provider, name, name_span, in_container: service.is_none(), diagnostics: Vec::new() };
    let roles = maker.roles();
    let node_id = if roles.is_some() { maker.node_id() } else { -1 };
    let voters = if roles.is_some() { maker.voters() } else { Vec::new() };
    let roles = roles.unwrap_or_default();
    let controller_listener_names = maker.names("controller.listener.names");
    let listeners = maker.listeners("listeners", "PLAINTEXT://:9092");
    let mut advertised = maker.advertised(&listeners, &controller_listener_names);
    let nameless = advertised.iter().filter(|listener| listener.host.is_empty());
    let nameless = nameless.map(|listener| listener.name.clone()).collect();
    if service.is_some_and(|service| !on_host_network(service)) {
        maker.name_the_nameless(&mut advertised);
    }
    let inter_broker_listener = maker.inter_broker();
    let cluster_id = maker.cluster_id();
    let layout = provider.layout();
    let user =
        service.and_then(|s| s.user.as_ref()).map_or(layout.user, |user| user.value.as_str()).to_owned();
    let data_dirs = maker.data_dirs(service);
    let mut diagnostics = std::mem::take(&mut maker.draft.diagnostics);
    diagnostics.append(&mut maker.diagnostics);
    let mut plan = NodePlan {
        service: name.to_owned(),
        provider,
        properties: maker.draft.properties,
        cluster_id,
        node_id,
        roles,
        listeners,
        advertised,
        nameless,
        voters,
        controller_listener_names,
        inter_broker_listener,
        data_dirs,
        user,
        init_scripts_dir: (provider == Provider::Bitnami).then_some("/docker-entrypoint-initdb.d"),
        is_made_by_command: maker.draft.is_made_by_command,
        config_file: maker.draft.config_file,
        ignores_environment: maker.draft.ignores_environment,
        ignores_command: maker.draft.ignores_command,
        diagnostics,
    };
    // Without roles one thing is wrong, and the rest would only repeat it.
    if plan.roles != Roles::default() {
        let found = refusals(&plan);
        plan.diagnostics.extend(found);
    }
    plan
}

struct Maker<'a> {
    draft: Draft,
    provider: Provider,
    name: &'a str,
    name_span: &'a Span,
    in_container: bool,
    diagnostics: Vec<Diagnostic>,
}

impl Maker<'_> {
    fn get(&self, key: &str) -> Option<String> {
        self.draft.properties.get(key).map(str::trim).filter(|v| !v.is_empty()).map(str::to_owned)
    }

    fn span(&self, key: &str) -> Span {
        let span = self.draft.properties.span(key);
        if span.is_nowhere() { self.name_span.clone() } else { span }
    }

    /// What sets a property of this node.
    fn variable(&self, key: &str) -> String {
        setter(self.provider, &self.draft.properties, self.draft.ignores_environment, key)
    }

    fn missing(&mut self, key: &str, example: &str) {
        let written = self.draft.properties.span(key);
        // A value that came to nothing: most often a variable of the compose file that is not set.
        let found = if written.is_nowhere() {
            let message = format!("the node `{}` has no `{key}`", self.name);
            let help = format!("set {}, for example {example}", self.variable(key));
            Diagnostic::new(Code::MissingSetting, message, self.name_span)
                .label(format!("no {key}"))
                .help(help)
        } else {
            let help = match written_variable(&written) {
                Some(name) => {
                    format!("set {name} in the environment or in .env, for example {name}={example}")
                }
                None => format!("write a value, for example {example}"),
            };
            let message = format!("`{key}` of the node `{}` is empty", self.name);
            Diagnostic::new(Code::MissingSetting, message, &written).label("empty").help(help)
        };
        self.diagnostics.push(found);
    }

    fn roles(&mut self) -> Option<Roles> {
        let Some(text) = self.get("process.roles") else {
            match self.get("zookeeper.connect") {
                Some(_) => self.zookeeper(),
                None => self.no_roles(),
            }
            return None;
        };
        let mut roles = Roles::default();
        let mut understood = true;
        for role in text.split(',').map(str::trim).filter(|role| !role.is_empty()) {
            match role {
                "broker" => roles.broker = true,
                "controller" => roles.controller = true,
                other => {
                    let message = format!("`{other}` is no role: there are broker and controller");
                    let span = self.span("process.roles").narrowed_word(other);
                    self.diagnostics
                        .push(Diagnostic::new(Code::InvalidSetting, message, &span).label("no such role"));
                    understood = false;
                }
            }
        }
        understood.then_some(roles)
    }

    /// A node whose brokers, or whose way to KRaft, cannot be seen from here.
    fn zookeeper(&mut self) {
        if self.draft.is_refused {
            return;
        }
        let own = if self.in_container { "localhost" } else { self.name };
        let message = format!("`{}` keeps its metadata in ZooKeeper, which is not supported", self.name);
        let settings = zookeeper::alone(&self.draft, own);
        let help = format!(
            "run it in KRaft mode, without ZooKeeper: set {}",
            zookeeper::lines(self.provider, &self.draft, &settings, true)
        );
        let span = self.span("zookeeper.connect");
        let mut found = Diagnostic::new(Code::ZooKeeperMode, message, &span).label("ZooKeeper").help(help);
        found.severity = Severity::Error;
        self.diagnostics.push(found);
    }

    fn no_roles(&mut self) {
        let lost = self.draft.lost_default.clone();
        self.missing("process.roles", "broker,controller");
        if let (Some(lost), Some(last)) = (lost, self.diagnostics.last_mut()) {
            last.related.push((
                lost.span,
                String::from("one variable is enough to discard the image's own configuration"),
            ));
        }
    }

    fn node_id(&mut self) -> i32 {
        let (node, broker) = (self.get("node.id"), self.get("broker.id"));
        if let (Some(node), Some(broker)) = (&node, &broker)
            && node != broker
        {
            let message =
                format!("node.id is {node} and broker.id is {broker}: Kafka refuses two different ids");
            let other = self.span("broker.id");
            self.diagnostics.push(
                Diagnostic::new(Code::NodeIdsDisagree, message, &self.span("node.id"))
                    .label("node.id")
                    .related(&other, "broker.id")
                    .help(format!("remove {}", self.variable("broker.id"))),
            );
        }
        let key = if node.is_some() { "node.id" } else { "broker.id" };
        let Some(text) = node.or(broker) else {
            self.missing("node.id", "1");
            return -1;
        };
        match text.parse::<i32>() {
            Ok(id) if id >= 0 => id,
            _ => {
                let message = format!("`{text}` is not a node id: a number from 0 on");
                self.diagnostics
                    .push(Diagnostic::new(Code::InvalidSetting, message, &self.span(key)).label("node id"));
                -1
            }
        }
    }

    fn voters(&mut self) -> Vec<Voter> {
        let Some(text) = self.get("controller.quorum.voters") else {
            self.missing("controller.quorum.voters", "1@HOST:9093");
            return Vec::new();
        };
        let span = self.span("controller.quorum.voters");
        let mut voters: Vec<Voter> = Vec::new();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let place = span.narrowed(entry);
            match voter(entry, &place) {
                Some(voter) if voters.iter().any(|v| v.id == voter.id) => {
                    let message = format!("two voters have the id {}", voter.id);
                    self.diagnostics
                        .push(Diagnostic::new(Code::DuplicateNodeId, message, &place).label("second voter"));
                }
                Some(voter) => voters.push(voter),
                None => {
                    let message = format!("`{entry}` is not a voter: write ID@HOST:PORT");
                    self.diagnostics
                        .push(Diagnostic::new(Code::InvalidSetting, message, &place).label("not a voter"));
                }
            }
        }
        voters
    }

    fn names(&self, key: &str) -> Vec<String> {
        let text = self.get(key).unwrap_or_default();
        text.split(',').map(|name| name.trim().to_uppercase()).filter(|name| !name.is_empty()).collect()
    }

    fn listeners(&mut self, key: &str, default: &str) -> Vec<Listener> {
        let text = self.get(key).unwrap_or_else(|| default.to_owned());
        let span = self.draft.properties.span(key);
        let mut out = Vec::new();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let place = span.narrowed(entry);
            match listener(entry, &place) {
                Some(listener) => out.push(listener),
                None => {
                    let message = format!("`{entry}` is not a listener: write NAME://HOST:PORT");
                    self.diagnostics.push(
                        Diagnostic::new(Code::InvalidListener, message, &place).label("not a listener"),
                    );
                }
            }
        }
        out
    }

    /// Without `advertised.listeners`, the listeners that are not the controllers'.
    fn advertised(&mut self, listeners: &[Listener], controllers: &[String]) -> Vec<Listener> {
        if self.get("advertised.listeners").is_some() {
            return self.listeners("advertised.listeners", "");
        }
        listeners.iter().filter(|l| !controllers.contains(&l.name)).cloned().collect()
    }

    /// Kafka advertises the canonical name of its host where none is given, which in a container is one that its
    /// networks know. The service's name is known there, too, and wherever the node runs.
    fn name_the_nameless(&mut self, advertised: &mut [Listener]) {
        let broken = self.diagnostics.iter().any(|d| d.code == Code::InvalidListener);
        if broken || advertised.iter().all(|listener| !listener.host.is_empty()) {
            return;
        }
        for listener in advertised.iter_mut().filter(|listener| listener.host.is_empty()) {
            listener.host = self.name.to_owned();
        }
        let text: Vec<String> = advertised.iter().map(ToString::to_string).collect();
        let origin = match self.draft.properties.property("advertised.listeners") {
            Some(property) => property.origin.clone(),
            None => Origin::Image,
        };
        self.draft.properties.set("advertised.listeners", text.join(","), origin);
    }

    fn inter_broker(&self) -> Option<String> {
        let named =
            self.get("inter.broker.listener.name").or_else(|| self.get("security.inter.broker.protocol"));
        Some(named.unwrap_or_else(|| String::from("PLAINTEXT")).to_uppercase())
    }

    fn cluster_id(&mut self) -> Option<ClusterId> {
        let Some(given) = self.draft.given_cluster_id.take() else {
            let fixed = self.draft.image_cluster_id?;
            return Some(ClusterId { value: fixed.to_owned(), origin: ClusterIdOrigin::Image });
        };
        let value = given.value.trim();
        if !cluster_id::is_uuid(value) {
            let message = format!("`{value}` is no UUID: Kafka 3.7 takes it for a cluster id all the same");
            let help = format!(
                "write one such as {}, the same for every node",
                cluster_id::derived(Some(value), &[])
            );
            self.diagnostics.push(
                Diagnostic::new(Code::InvalidClusterId, message, &given.span)
                    .label(format!("{} characters", value.chars().count()))
                    .help(help),
            );
        }
        Some(ClusterId { value: value.to_owned(), origin: ClusterIdOrigin::Given(given.span) })
    }

    fn data_dirs(&self, service: Option<&Service>) -> Vec<DataDir> {
        let default = self.provider.layout().data_dir;
        let dirs = self.get("log.dirs").or_else(|| self.get("log.dir")).unwrap_or_else(|| default.to_owned());
        let metadata = self.get("metadata.log.dir");
        let mut paths: Vec<String> = metadata.into_iter().collect();
        for dir in dirs.split(',').map(str::trim).filter(|dir| !dir.is_empty()) {
            if !paths.iter().any(|p| p == dir) {
                paths.push(dir.to_owned());
            }
        }
        let mount_of = |path: &str| {
            let mounts = service.map(|s| s.mounts.as_slice()).unwrap_or_default().iter().enumerate();
            let over = mounts.filter(|(_, mount)| below(path, &mount.target).is_some());
            over.max_by_key(|(_, mount)| mount.target.len()).map(|(at, _)| at)
        };
        paths.into_iter().map(|path| DataDir { mount: mount_of(&path), path }).collect()
    }
}

/// The variable of the compose file that stands in a value, where the value is nothing else.
fn written_variable(span: &Span) -> Option<String> {
    let text = span.text().trim().trim_matches(['"', '\'']);
    let name =
        text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')).or_else(|| text.strip_prefix('$'))?;
    name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_').then(|| name.to_owned())
}

/// What sets a property: the variable that does, the one that would, or the property's line in a file where no variable
/// has an effect.
fn setter(provider: Provider, properties: &Properties, ignores_environment: bool, key: &str) -> String {
    match properties.property(key).map(|property| &property.origin) {
        Some(Origin::Environment { name, .. }) => name.clone(),
        Some(Origin::File(_)) => key.to_owned(),
        _ if ignores_environment => key.to_owned(),
        _ => variable(provider, key),
    }
}

impl NodePlan {
    /// What sets a property of this node, to be named in a remedy.
    pub(crate) fn setter(&self, key: &str) -> String {
        setter(self.provider, &self.properties, self.ignores_environment, key)
    }
}

/// The variable that sets a property with this image.
pub(crate) fn variable(provider: Provider, key: &str) -> String {
    let dashed = |key: &str| key.replace('-', "___").replace('_', "__").replace('.', "_").to_uppercase();
    match provider {
        Provider::Bitnami => format!("KAFKA_CFG_{}", key.replace('.', "_").to_uppercase()),
        Provider::Apache | Provider::Confluent => format!("KAFKA_{}", dashed(key)),
    }
}

fn voter(entry: &str, span: &Span) -> Option<Voter> {
    let (id, address) = entry.split_once('@')?;
    let (host, port) = address.rsplit_once(':')?;
    let host = host.trim_matches(['[', ']']);
    let id = id.trim().parse().ok().filter(|id| *id >= 0)?;
    let port = port.trim().parse().ok()?;
    (!host.is_empty()).then(|| Voter { id, host: host.to_owned(), port, span: span.clone() })
}

pub(crate) fn listener(entry: &str, span: &Span) -> Option<Listener> {
    let (name, address) = entry.split_once("://")?;
    let (host, port) = address.rsplit_once(':')?;
    let named = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    let host = host.trim_matches(['[', ']']).to_owned();
    let port = port.trim().parse().ok()?;
    named.then(|| Listener { name: name.to_uppercase(), host, port, span: span.clone() })
}

/// What Kafka itself refuses, in the order in which a person would mend it.
fn refusals(plan: &NodePlan) -> Vec<Diagnostic> {
    let mut out = Vec::new();
    protocols(plan, &mut out);
    ports(plan, &mut out);
    // A listener that was not understood is missed by everything that looks for it.
    if !plan.diagnostics.iter().any(|found| found.code == Code::InvalidListener) {
        controllers(plan, &mut out);
        if plan.roles.broker {
            advertised(plan, &mut out);
        }
    }
    membership(plan, &mut out);
    out
}

fn place(plan: &NodePlan, key: &str) -> Span {
    plan.properties.span(key)
}

fn protocols(plan: &NodePlan, out: &mut Vec<Diagnostic>) {
    let text = plan.properties.get("listener.security.protocol.map").map(str::trim).filter(|m| !m.is_empty());
    let map = plan.protocols();
    let names = plan.listeners.iter().map(|l| (l.name.as_str(), &l.span));
    let controllers = place(plan, "controller.listener.names");
    let missing_controllers = plan.controller_listener_names.iter().map(|name| (name.as_str(), &controllers));
    let mut said: Vec<&str> = Vec::new();
    for (name, span) in names.chain(missing_controllers) {
        if said.contains(&name) {
            continue;
        }
        said.push(name);
        match map.get(name) {
            None => {
                let message = format!("the listener {name} has no security protocol");
                let help = match text {
                    Some(text) => format!(
                        "write {}={text},{name}:PLAINTEXT",
                        plan.setter("listener.security.protocol.map")
                    ),
                    None => {
                        format!("set {}={name}:PLAINTEXT,…", plan.setter("listener.security.protocol.map"))
                    }
                };
                out.push(
                    Diagnostic::new(Code::ListenerNotInMap, message, &span.narrowed_word(name))
                        .label("not in the map")
                        .help(help),
                );
            }
            Some(protocol) if protocol == PLAINTEXT => {}
            Some(protocol) if SECURITY_PROTOCOLS.contains(&protocol.as_str()) => {
                let message = format!(
                    "the listener {name} wants {protocol}, which is not built: only PLAINTEXT is served"
                );
                out.push(
                    Diagnostic::new(Code::SecurityNotBuilt, message, &span.narrowed_word(name))
                        .label(protocol.clone()),
                );
            }
            Some(protocol) => {
                let message = format!("`{protocol}` is no security protocol");
                let span = place(plan, "listener.security.protocol.map").narrowed_word(protocol);
                out.push(
                    Diagnostic::new(Code::InvalidSetting, message, &span)
                        .label("not known")
                        .help(format!("write one of: {}", SECURITY_PROTOCOLS.join(", "))),
                );
            }
        }
    }
}

fn ports(plan: &NodePlan, out: &mut Vec<Diagnostic>) {
    for (at, listener) in plan.listeners.iter().enumerate() {
        let same = |earlier: &&Listener| {
            earlier.name == listener.name || (earlier.port == listener.port && listener.port != 0)
        };
        if let Some(earlier) = plan.listeners[..at].iter().find(same) {
            let message =
                format!("the listeners {} and {} have one name or one port", earlier.name, listener.name);
            out.push(
                Diagnostic::new(Code::DuplicateListenerPort, message, &listener.span)
                    .label("second one")
                    .related(&earlier.span, "first one")
                    .help("give each listener a name and a port of its own"),
            );
        }
    }
}

fn controllers(plan: &NodePlan, out: &mut Vec<Diagnostic>) {
    let names_span = place(plan, "controller.listener.names");
    let Some(first) = plan.controller_listener_names.first() else {
        let span = place(plan, "process.roles");
        let help = format!("set {}=CONTROLLER", plan.setter("controller.listener.names"));
        let message = format!("`{}` does not say on which listener the controllers speak", plan.service);
        out.push(
            Diagnostic::new(Code::ControllerListener, message, &span)
                .label("needs controller.listener.names")
                .help(help),
        );
        return;
    };
    let listening = plan.listeners.iter().find(|l| plan.controller_listener_names.contains(&l.name));
    match listening {
        None if plan.roles.controller => {
            let message = format!("the controller listener {first} is not among the listeners");
            let help = format!("add {first}://:9093 to {}", plan.setter("listeners"));
            out.push(
                Diagnostic::new(Code::ControllerListener, message, &names_span)
                    .label("does not listen")
                    .help(help),
            );
        }
        Some(listener) if !plan.roles.controller => {
            let message = format!("{} is the controllers' listener, and this node is none", listener.name);
            out.push(
                Diagnostic::new(Code::ControllerListener, message, &listener.span)
                    .label("not on a broker-only node")
                    .help(format!("remove {listener} from the listeners")),
            );
        }
        _ => {}
    }
}

fn advertised(plan: &NodePlan, out: &mut Vec<Diagnostic>) {
    for advertised in &plan.advertised {
        if plan.is_controller_listener(&advertised.name) {
            let message = format!("the controller listener {} is advertised", advertised.name);
            let help = format!("remove {advertised} from {}", plan.setter("advertised.listeners"));
            out.push(
                Diagnostic::new(Code::ControllerAdvertised, message, &advertised.span)
                    .label("for the quorum only")
                    .help(help),
            );
        } else if !plan.listeners.iter().any(|l| l.name == advertised.name) {
            let message = format!("{} is advertised, but no listener has this name", advertised.name);
            let names: Vec<&str> = plan.listeners.iter().map(|l| l.name.as_str()).collect();
            let help = format!(
                "add {}://:PORT to {} (there are: {})",
                advertised.name,
                plan.setter("listeners"),
                names.join(", ")
            );
            out.push(
                Diagnostic::new(Code::AdvertisedNotListening, message, &advertised.span)
                    .label("does not listen")
                    .help(help),
            );
        }
        if matches!(advertised.host.as_str(), "0.0.0.0" | "::") {
            let message =
                format!("{advertised} tells clients to connect to {}, which is no address", advertised.host);
            let help = format!(
                "set {} to an address that clients can reach, such as {}://{}:{}",
                plan.setter("advertised.listeners"),
                advertised.name,
                plan.service,
                advertised.port
            );
            out.push(
                Diagnostic::new(Code::AdvertisedWildcard, message, &advertised.span)
                    .label("no address")
                    .help(help),
            );
        }
    }
    let Some(name) = &plan.inter_broker_listener else { return };
    if !plan.advertised.iter().any(|l| l.name == *name) {
        let key = "inter.broker.listener.name";
        let implied = plan.properties.get(key).is_none();
        let span = if implied { place(plan, "listeners") } else { place(plan, key) };
        let names: Vec<&str> = plan.advertised.iter().map(|l| l.name.as_str()).collect();
        let message = format!("brokers replicate over {name}, and no advertised listener has this name");
        let help = format!("set {}={}", plan.setter(key), names.first().unwrap_or(&"PLAINTEXT"));
        out.push(
            Diagnostic::new(Code::InterBrokerListener, message, &span)
                .label(if implied { "PLAINTEXT is used where nothing is said" } else { "not advertised" })
                .help(help),
        );
    }
}

fn membership(plan: &NodePlan, out: &mut Vec<Diagnostic>) {
    if plan.voters.is_empty() || plan.node_id < 0 {
        return;
    }
    let own = plan.voters.iter().find(|voter| voter.id == plan.node_id);
    let ids: Vec<String> = plan.voters.iter().map(|v| v.id.to_string()).collect();
    let node_id = place(plan, "node.id");
    match own {
        None if plan.roles.controller => {
            let message = format!(
                "the controller `{}` has the id {}, and the voters are {}",
                plan.service,
                plan.node_id,
                ids.join(", ")
            );
            let voters = place(plan, "controller.quorum.voters");
            out.push(
                Diagnostic::new(Code::ControllerNotVoter, message, &node_id)
                    .label("not among the voters")
                    .related(&voters, "the voters")
                    .help("give the node the id of its voter, or add it to the voters of every node"),
            );
        }
        Some(voter) if !plan.roles.controller => {
            let message = format!(
                "`{}` is a broker only, and its id {} is among the voters",
                plan.service, plan.node_id
            );
            out.push(
                Diagnostic::new(Code::BrokerAmongVoters, message, &voter.span)
                    .label("a voter must be a controller")
                    .related(&place(plan, "process.roles"), "no controller")
                    .help("give the node the controller role, too, or another id"),
            );
        }
        _ => {}
    }
}
