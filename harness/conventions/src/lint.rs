//! The nodes of a project against each other and against its ports, networks and volumes: every trap that can
//! be seen before anything starts. Only what surely fails is an error.
//! It must not change a plan or read a file.

mod addresses;
mod quorum;
mod storage;
mod unheard;

use jackdaw_compose::{Code, Diagnostic, Project, Service};

use crate::Provider;
use crate::plan::{NodePlan, Roles};

/// Everything that the checks look at.
pub(crate) struct View<'a> {
    pub(crate) project: &'a Project,
    pub(crate) nodes: &'a [NodePlan],
}

impl<'a> View<'a> {
    /// The service that runs a node.
    pub(crate) fn service(&self, node: &NodePlan) -> Option<&'a Service> {
        self.project.service(&node.service)
    }

    /// The service that `host` names on some network that it shares with `from`.
    pub(crate) fn reached(&self, from: &Service, host: &str) -> Option<&'a Service> {
        reached(self.project, from, host)
    }

    /// Whether a name may be resolved by something that the file does not show.
    pub(crate) fn may_be_elsewhere(&self, from: &Service) -> bool {
        let external = from.networks.iter().any(|n| self.project.network(&n.key).is_some_and(|n| n.external));
        external || from.networks.is_empty()
    }
}

/// Runs every check.
pub(crate) fn lint(project: &Project, nodes: &[NodePlan], quorums: &[Vec<usize>], out: &mut Vec<Diagnostic>) {
    let view = View { project, nodes };
    // With a node that was not understood, counting nodes would only find what is missing of it.
    let is_whole = nodes.iter().all(|node| node.roles != Roles::default() && node.node_id >= 0);
    for quorum in quorums {
        let members: Vec<&NodePlan> = quorum.iter().map(|at| &nodes[*at]).collect();
        quorum::check(&view, &members, out);
        if is_whole {
            quorum::missing_voters(&view, &members, out);
            storage::replication(&view, &members, out);
        }
    }
    for node in nodes {
        let Some(service) = view.service(node) else { continue };
        addresses::check(&view, node, service, out);
        storage::volumes(node, service, out);
        unheard::check(&view, node, service, out);
        version(node, service, out);
        replicas(service, out);
    }
    addresses::duplicates(&view, out);
    addresses::clients(&view, out);
    storage::shared(&view, out);
}

/// The service that `host` names on some network that it shares with `from`: `from` itself, where it is one of several.
pub(crate) fn reached<'a>(project: &'a Project, from: &Service, host: &str) -> Option<&'a Service> {
    let is_reached = |service: &&Service| {
        let shared = service.networks.iter().filter(|n| from.networks.iter().any(|own| own.key == n.key));
        shared.into_iter().any(|n| service.names_on(&n.key).contains(&host))
    };
    let own = project.services.iter().filter(|service| service.name == from.name);
    own.chain(&project.services).find(is_reached)
}

/// Whether a host is the machine that says it.
pub(crate) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host == "::1" || host.starts_with("127.")
}

/// The first line of a span.
pub(crate) fn first_line(span: &jackdaw_compose::Span) -> jackdaw_compose::Span {
    let line = span.text().lines().next().unwrap_or_default().trim_end().to_owned();
    span.narrowed(&line)
}

/// The tag of a service's image.
fn tag_of(service: &Service) -> Option<&str> {
    let image = service.image.as_ref()?.value.as_str();
    let name = image.split('@').next()?.rsplit('/').next()?;
    name.split_once(':').map(|(_, tag)| tag)
}

/// Major and minor version in the tag of a service's image.
pub(crate) fn version_of(service: &Service) -> Option<(u32, u32)> {
    let mut numbers = tag_of(service)?.split(['.', '-']).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => Some((major, minor)),
        _ => None,
    }
}

fn version(node: &NodePlan, service: &Service, out: &mut Vec<Diagnostic>) {
    let (Some(image), Some(tag), Some(version)) = (&service.image, tag_of(service), version_of(service))
    else {
        return;
    };
    let same = match node.provider {
        Provider::Bitnami | Provider::Apache => version == (3, 7),
        Provider::Confluent => version == (7, 7),
    };
    if !same {
        let name = image.value.split('@').next().unwrap_or_default();
        let message = format!("{name} is of another version of Kafka: what runs behaves as Kafka 3.7");
        let place = image.span.narrowed(tag);
        out.push(Diagnostic::new(Code::OtherVersion, message, &place).label("another version"));
    }
}

fn replicas(service: &Service, out: &mut Vec<Diagnostic>) {
    if service.replicas > 1 {
        let message =
            format!("`{}` would start the same node {} times", service.name.value, service.replicas);
        out.push(
            Diagnostic::new(Code::Replicas, message, &service.name.span)
                .label("several replicas")
                .help("write one service for each node, with a node.id of its own"),
        );
    }
}
