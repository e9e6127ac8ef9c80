//! All Kafka nodes of a project: which services are nodes, which nodes form one quorum, and its cluster id.
//! It must not judge; [`crate::lint`] does.

use jackdaw_compose::{Code, Diagnostic, Project, Service, Severity};

use crate::input::{Files, Input, MountedFiles, variables_of};
use crate::plan::{ClusterId, ClusterIdOrigin, NodePlan};
use crate::{Provider, alone, apache, bitnami, cluster_id, confluent, lint, node, variables};

/// Codes whose findings are gathered into one, whatever their words.
const SAID_ONCE: [Code; 6] = [
    Code::ForeignVariable,
    Code::MeaninglessVariable,
    Code::OtherVersion,
    Code::NoStartPeriod,
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
}

impl Cluster {
    /// Applies each image's conventions and checks the nodes against each other.
    pub fn of(project: &Project) -> Self {
        let mut nodes = Vec::new();
        let mut diagnostics = Vec::new();
        for service in &project.services {
            let Some(provider) = crate::provide(service) else { continue };
            if !starts_node(service, provider) {
                continue;
            }
            let files = MountedFiles { project, service };
            let plan = plan(
                provider,
                Input::new(variables_of(service), &files).of_version(lint::version_of(service)),
                service,
            );
            diagnostics.extend(plan.diagnostics.iter().cloned());
            let set = service.environment.iter().filter(|var| var.value.is_some());
            diagnostics.extend(variables::check(provider, set.map(|var| &var.name)));
            nodes.push(plan);
        }
        let quorums = quorums(project, &nodes);
        for quorum in &quorums {
            diagnostics.extend(settle_cluster_id(project, &mut nodes, quorum));
        }
        lint::lint(project, &nodes, &quorums, &mut diagnostics);
        let diagnostics = gathered(diagnostics);
        Self { nodes, quorums, diagnostics }
    }

    /// The node that a service runs.
    pub fn node(&self, service: &str) -> Option<&NodePlan> {
        self.nodes.iter().find(|node| node.service == service)
    }
}

fn plan(provider: Provider, input: Input<'_>, service: &Service) -> NodePlan {
    node::plan(provider, draft(provider, input), &service.name, &service.name.span, Some(service))
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
    let input = Input::new(crate::input::variables_from(env), files);
    let nowhere = jackdaw_compose::Span::default();
    let said = variables::check(provider, input.variables().iter().map(|variable| &variable.name));
    let mut draft = draft(provider, input);
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

/// Nodes that name a common voter form one quorum. A voter on localhost is nobody else's, unless both nodes
/// share the host's network.
fn quorums(project: &Project, nodes: &[NodePlan]) -> Vec<Vec<usize>> {
    let key = |node: &NodePlan| -> Vec<String> {
        let on_host = project.service(&node.service).is_some_and(on_host_network);
        let local = |host: &str| lint::is_loopback(host) && !on_host;
        let own = |host: &str| if local(host) { format!("{}!{host}", node.service) } else { host.to_owned() };
        node.voters.iter().map(|v| format!("{}@{}:{}", v.id, own(&v.host), v.port)).collect()
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

/// Whether a service has the host's network stack instead of networks.
pub(crate) fn on_host_network(service: &Service) -> bool {
    service.network_mode.as_ref().is_some_and(|mode| mode.value == "host")
}

/// One id for the quorum: the one that is given, else the image's, else a derived one.
fn settle_cluster_id(project: &Project, nodes: &mut [NodePlan], quorum: &[usize]) -> Option<Diagnostic> {
    let has_invalid = |node: &NodePlan| node.diagnostics.iter().any(|d| d.code == Code::InvalidClusterId);
    if quorum.iter().any(|at| has_invalid(&nodes[*at])) {
        return None;
    }
    let lacking: Vec<usize> = quorum.iter().copied().filter(|at| nodes[*at].cluster_id.is_none()).collect();
    let first = *lacking.first()?;
    let given = quorum.iter().find_map(|at| nodes[*at].cluster_id.clone());
    let was_given = given.is_some();
    let id = given.unwrap_or_else(|| {
        let voters = &nodes[first].voters;
        let value = if voters.is_empty() {
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
    (quorum.len() > 1).then(|| found.help(help))
}

/// What is said of several nodes in the same words is said once, with the other places beside it.
fn gathered(mut found: Vec<Diagnostic>) -> Vec<Diagnostic> {
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
