//! All Kafka nodes of a project: which services are nodes, which nodes form one quorum, and its cluster id.
//! It must not judge; [`crate::lint`] does.

use jackdaw_compose::{Code, Diagnostic, Project, Service, Severity};

use crate::input::{Files, Input, MountedFiles, variables_of};
use crate::meant::{self, Gathered};
use crate::plan::{ClusterId, ClusterIdOrigin, NodePlan};
use crate::zookeeper::{Drafted, ZooKeeper};
use crate::{
    Provider, alone, apache, bitnami, cluster_id, command, confluent, lint, node, others, variables,
    zookeeper,
};

/// Codes whose findings are gathered into one, whatever their words.
const SAID_ONCE: [Code; 7] = [
    Code::AssumedImage,
    Code::DerivedVoters,
    Code::ForeignVariable,
    Code::MeaninglessVariable,
    Code::OtherVersion,
    Code::InternalPortPublished,
    Code::DerivedClusterId,
];

/// Codes whose findings are gathered where the words are the same.
const GATHERED: [Code; 3] = [Code::NearMissVariable, Code::InvalidClusterId, Code::EnvironmentIgnored];

/// All Kafka nodes of a project, and what is to be said about them together.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// In the order of the file.
    pub nodes: Vec<NodePlan>,
    /// Indices of the nodes that form one quorum, quorum by quorum.
    pub quorums: Vec<Vec<usize>>,
    /// Of the nodes and of their being together; errors first.
    pub diagnostics: Vec<Diagnostic>,
    /// Services that the nodes as they run have no use for: their ZooKeeper.
    pub unneeded: Vec<String>,
}

impl Cluster {
    /// Applies each image's conventions and checks the nodes against each other.
    pub fn of(project: &Project) -> Self {
        Self::with(project, ZooKeeper::default())
    }

    /// As [`Cluster::of`], and what becomes of brokers in ZooKeeper mode.
    pub fn with(project: &Project, policy: ZooKeeper) -> Self {
        let mut diagnostics = Vec::new();
        let mut gathered: Vec<Gathered<'_>> = Vec::new();
        for service in &project.services {
            let Some(provider) = crate::provide(service) else { continue };
            diagnostics.extend(MountedFiles { project, service }.missing());
            if !starts_node(service, provider) {
                continue;
            }
            diagnostics.extend(assumption(service, provider));
            let set = service.environment.iter().filter(|var| var.value.is_some());
            diagnostics.extend(variables::check(provider, set.map(|var| &var.name)));
            let mut variables = variables_of(service);
            others::with_defaults(service, &mut variables);
            if meant::of_another_image(provider, &mut variables) {
                let (name, span) = (&service.name.value, &service.name.span);
                diagnostics.push(meant::said_of_another_image(provider, name, span));
            }
            if service.image.as_ref().is_some_and(|image| Provider::is_confluent_local(&image.value)) {
                confluent::with_local_defaults(&mut variables);
            }
            gathered.push(Gathered { service, provider, variables });
        }
        diagnostics.extend(meant::voters_of_bootstrap_servers(&mut gathered));
        let mut drafts: Vec<Drafted<'_>> = Vec::new();
        for Gathered { service, provider, variables } in gathered {
            let files = MountedFiles { project, service };
            let input = Input::new(variables, &files).of_version(lint::version_of(service));
            let draft = command::draft(service, provider, &files, || draft(provider, input));
            drafts.push(Drafted { service, provider, draft });
        }
        let unneeded = zookeeper::replace(project, &mut drafts, policy, &mut diagnostics);
        let mut nodes = Vec::new();
        for Drafted { service, provider, draft } in drafts {
            let plan = node::plan(provider, draft, &service.name, &service.name.span, Some(service));
            diagnostics.extend(plan.diagnostics.iter().cloned());
            nodes.push(plan);
        }
        let quorums = quorums(project, &nodes);
        for quorum in &quorums {
            let twins = quorums
                .iter()
                .filter(|other| nodes[other[0]].voters_text() == nodes[quorum[0]].voters_text());
            let is_only = twins.count() == 1;
            diagnostics.extend(settle_cluster_id(project, &mut nodes, quorum, is_only));
        }
        lint::lint(project, &nodes, &quorums, &mut diagnostics);
        let diagnostics = gathered_once(diagnostics);
        Self { nodes, quorums, diagnostics, unneeded }
    }

    /// The quorum of a service's node, as an index into `quorums`.
    pub fn quorum_of(&self, service: &str) -> Option<usize> {
        let at = self.nodes.iter().position(|node| node.service == service)?;
        self.quorums.iter().position(|quorum| quorum.contains(&at))
    }

    /// The node that a service runs.
    pub fn node(&self, service: &str) -> Option<&NodePlan> {
        self.nodes.iter().find(|node| node.service == service)
    }
}

/// What is said of a node whose image says nothing.
fn assumption(service: &Service, provider: Provider) -> Option<Diagnostic> {
    crate::assumed(service)?;
    let name = &service.name.value;
    let usual = provider.usual_image();
    let image = service.image.as_ref().filter(|image| !image.value.trim().is_empty());
    let (why, span) = match (image, &service.image, &service.build) {
        (_, _, Some(build)) => (String::from("is to be built"), crate::lint::first_line(&build.span)),
        (Some(image), ..) => (format!("is {}", image.value), image.span.clone()),
        (None, Some(empty), None) => (String::from("is empty"), empty.span.clone()),
        (None, None, None) => (String::from("is not named"), service.name.span.clone()),
    };
    let message = format!("the image of `{name}` {why}: by what it says it is run as {usual}");
    let found = Diagnostic::new(Code::AssumedImage, message, &span).label("not known");
    Some(found.help(format!("write `image: {usual}`; what another image adds to Kafka is not there")))
}

fn draft(provider: Provider, input: Input<'_>) -> crate::draft::Draft {
    match provider {
        Provider::Bitnami => bitnami::draft(input),
        Provider::Apache => apache::draft(input),
        Provider::Confluent => confluent::draft(input),
    }
}

/// What a node started inside a container runs with, and everything that is to be said about its variables. There the
/// project's name is not known, so an id that is derived is derived from the voters alone.
pub fn entrypoint(
    provider: Provider,
    env: impl IntoIterator<Item = (String, String)>,
    files: &dyn Files,
) -> NodePlan {
    let nowhere = jackdaw_compose::Span::default();
    let mut given = crate::input::variables_from(env);
    let mut said = variables::check(provider, given.iter().map(|variable| &variable.name));
    if meant::of_another_image(provider, &mut given) {
        said.push(meant::said_of_another_image(provider, "this node", &nowhere));
    }
    let mut draft = draft(provider, Input::new(given, files));
    alone::without_zookeeper(&mut draft);
    let mut plan = node::plan(provider, draft, "this node", &nowhere, None);
    if plan.cluster_id.is_none() && !jackdaw_compose::has_errors(&plan.diagnostics) {
        let value = cluster_id::derived(None, &plan.voters);
        plan.cluster_id = Some(ClusterId { value, origin: ClusterIdOrigin::Derived });
    }
    plan.diagnostics.extend(said);
    jackdaw_compose::sort(&mut plan.diagnostics);
    plan
}

/// Whether a service of that image starts a node: with its own command, or with one that calls the image's
/// start scripts. Others use the image for its tools.
pub fn starts_node(service: &Service, provider: Provider) -> bool {
    let given = |words: &Option<jackdaw_compose::Spanned<Vec<String>>>| {
        words.as_ref().map(|words| words.value.join(" ")).filter(|text| !text.is_empty())
    };
    let (entrypoint, command) = (given(&service.entrypoint), given(&service.command));
    if entrypoint.is_none() && command.is_none() {
        return true;
    }
    let text = [entrypoint.unwrap_or_default(), command.unwrap_or_default()].join(" ");
    let scripts = provider.layout().start_scripts;
    let bitnami_run =
        ["/run.sh", "run.sh"].iter().any(|run| text.split_whitespace().any(|word| word == *run));
    scripts.iter().any(|script| text.contains(script)) || bitnami_run || text.contains("kafka-server-start")
}

/// Nodes that name a common voter form one quorum, whatever they call it: two services that each call themselves
/// `kafka`, or localhost, are two voters, and one service under two names is one.
fn quorums(project: &Project, nodes: &[NodePlan]) -> Vec<Vec<usize>> {
    let key = |node: &NodePlan| -> Vec<String> {
        let service = project.service(&node.service);
        let place = |host: &str| service.map_or_else(|| host.to_owned(), |from| place(project, from, host));
        node.voters.iter().map(|v| format!("{}@{}:{}", v.id, place(&v.host), v.port)).collect()
    };
    let mut groups: Vec<(Vec<String>, Vec<usize>)> = Vec::new();
    for (at, node) in nodes.iter().enumerate() {
        let mut voters = key(node);
        let mut members = vec![at];
        let (touching, apart): (Vec<_>, Vec<_>) =
            groups.into_iter().partition(|(others, _)| others.iter().any(|v| voters.contains(v)));
        groups = apart;
        for (others, earlier) in touching {
            voters.extend(others);
            members.extend(earlier);
        }
        members.sort_unstable();
        groups.push((voters, members));
    }
    let mut quorums: Vec<Vec<usize>> = groups.into_iter().map(|(_, members)| members).collect();
    quorums.sort();
    quorums
}

/// Where a name leads from inside a service: to a service of the file, as `service!NAME`, or wherever it says.
fn place(project: &Project, from: &Service, host: &str) -> String {
    if on_host_network(from) {
        return host.to_owned();
    }
    // Who shares another's network is where that one is.
    let shared = from.network_mode.as_ref().and_then(|mode| mode.value.strip_prefix("service:"));
    let at = shared.and_then(|name| project.service(name)).unwrap_or(from);
    let is_own = at.hostname.as_ref().is_some_and(|name| name.value == host);
    let reached = match lint::is_loopback(host) || is_own {
        true => Some(at),
        false => lint::reached(project, at, host),
    };
    reached.map_or_else(|| host.to_owned(), |service| format!("service!{}", service.name.value))
}

/// Whether a service has the host's network stack instead of networks.
pub(crate) fn on_host_network(service: &Service) -> bool {
    service.network_mode.as_ref().is_some_and(|mode| mode.value == "host")
}

/// One id for the quorum: the one that is given, else the image's, else a derived one.
/// Clusters whose voters are written alike (`1@localhost:9093`) are told apart by the service.
fn settle_cluster_id(
    project: &Project,
    nodes: &mut [NodePlan],
    quorum: &[usize],
    is_only: bool,
) -> Option<Diagnostic> {
    let lacking: Vec<usize> = quorum.iter().copied().filter(|at| nodes[*at].cluster_id.is_none()).collect();
    let first = *lacking.first()?;
    let given = quorum.iter().find_map(|at| nodes[*at].cluster_id.clone());
    let was_given = given.is_some();
    let id = given.unwrap_or_else(|| {
        let voters = &nodes[first].voters;
        let value = if voters.is_empty() || !is_only {
            cluster_id::derived(Some(&format!("{}/{}", project.name.value, nodes[first].service)), voters)
        } else {
            cluster_id::derived(Some(&project.name), voters)
        };
        ClusterId { value, origin: ClusterIdOrigin::Derived }
    });
    let value = id.value.clone();
    for at in lacking {
        nodes[at].cluster_id = Some(id.clone());
    }
    let service = project.service(&nodes[first].service)?;
    let message = if was_given {
        format!("`{}` is given no cluster id: it takes that of the other nodes, {value}", service.name.value)
    } else {
        format!("no cluster id is given: {value} is derived from the voters")
    };
    let variable = match nodes[first].provider {
        Provider::Bitnami => "KAFKA_KRAFT_CLUSTER_ID",
        Provider::Apache | Provider::Confluent => "CLUSTER_ID",
    };
    let help = format!("to run the file with the original image, too, set {variable}={value} on every node");
    let found = Diagnostic::new(Code::DerivedClusterId, message, &service.name.span).label("no cluster id");
    // What was made of a node's ZooKeeper was said, and its cluster id goes with it.
    (quorum.len() > 1 && !nodes[first].ignores_command).then(|| found.help(help))
}

/// An env file that only services without Kafka lack keeps none of the nodes from starting: those services are left
/// out, and what was an error is a warning. That the image of a node is empty is said with what is assumed in its place.
pub fn excuse_others(project: &Project, diagnostics: &mut Vec<Diagnostic>) {
    let is_assumed = |found: &Diagnostic| {
        let mut services = project.services.iter();
        services.any(|service| {
            service.image.as_ref().is_some_and(|image| image.span == found.span)
                && crate::assumed(service).is_some()
        })
    };
    diagnostics.retain(|found| found.code != Code::MissingImage || !is_assumed(found));
    let is_kafka =
        |name: &str| project.service(name).is_some_and(|service| crate::provide(service).is_some());
    let wanted = |d: &Diagnostic| {
        let mut here = project.missing_env_files.iter().filter(|missing| missing.path.span == d.span);
        here.any(|missing| is_kafka(&missing.service))
    };
    for found in diagnostics.iter_mut().filter(|d| d.code == Code::EnvFileNotFound && !d.span.is_nowhere()) {
        if !wanted(found) && !project.missing_env_files.is_empty() {
            found.severity = Severity::Warning;
            found.message += ": who wants it is left out";
        }
    }
}

/// What is said of several nodes in the same words is said once, with the other places beside it.
fn gathered_once(mut found: Vec<Diagnostic>) -> Vec<Diagnostic> {
    jackdaw_compose::sort(&mut found);
    // A misspelt cluster id says already that one is derived.
    let misspelt = found.iter().any(|d| {
        d.code == Code::NearMissVariable && d.help.as_ref().is_some_and(|help| help.contains("CLUSTER_ID"))
    });
    let mut out: Vec<Diagnostic> = Vec::new();
    for diagnostic in found {
        if misspelt && diagnostic.code == Code::DerivedClusterId {
            continue;
        }
        let same = |d: &&mut Diagnostic| {
            d.code == diagnostic.code
                && (SAID_ONCE.contains(&d.code)
                    || (GATHERED.contains(&d.code) && d.message == diagnostic.message))
        };
        match out.iter_mut().find(same) {
            Some(first) if diagnostic.severity <= Severity::Error => {
                first.related.push((diagnostic.span, String::from("and here")));
            }
            _ => out.push(diagnostic),
        }
    }
    out
}
