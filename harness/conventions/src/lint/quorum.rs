//! The nodes of one quorum: ids, voters, cluster id.
//! It must not look at clients.

use jackdaw_compose::{Code, Diagnostic, Service};

use super::{View, is_loopback};
use crate::cluster::on_host_network;
use crate::plan::{ClusterIdOrigin, NodePlan, Voter};

pub(super) fn check(view: &View<'_>, members: &[&NodePlan], out: &mut Vec<Diagnostic>) {
    node_ids(members, out);
    cluster_ids(members, out);
    voters_agree(members, out);
    for node in members {
        let Some(service) = view.service(node) else { continue };
        for voter in &node.voters {
            resolves(view, node, service, voter, out);
            port(members, voter, out);
        }
    }
}

fn node_ids(members: &[&NodePlan], out: &mut Vec<Diagnostic>) {
    for (at, node) in members.iter().enumerate().filter(|(_, node)| node.node_id >= 0) {
        let Some(first) = members[..at].iter().find(|other| other.node_id == node.node_id) else { continue };
        let message =
            format!("`{}` and `{}` both have the node id {}", first.service, node.service, node.node_id);
        out.push(
            Diagnostic::new(Code::DuplicateNodeId, message, &id_span(node))
                .label("taken")
                .related(&id_span(first), format!("the id of `{}`", first.service))
                .help("give each node an id of its own"),
        );
    }
}

fn id_span(node: &NodePlan) -> jackdaw_compose::Span {
    let own = node.properties.span("node.id");
    if own.is_nowhere() { node.properties.span("broker.id") } else { own }
}

fn cluster_ids(members: &[&NodePlan], out: &mut Vec<Diagnostic>) {
    let ids = members.iter().filter_map(|node| Some((node, node.cluster_id.as_ref()?)));
    let ids: Vec<_> = ids.collect();
    let Some((first_node, first)) = ids.first() else { return };
    for (node, id) in &ids[1..] {
        if id.value == first.value {
            continue;
        }
        let span = |id: &crate::ClusterId| match &id.origin {
            ClusterIdOrigin::Given(span) => span.clone(),
            _ => Default::default(),
        };
        let (place, other) = match (&id.origin, &first.origin) {
            (ClusterIdOrigin::Given(place), _) => (place.clone(), span(first)),
            _ => (span(first), span(id)),
        };
        let message = format!(
            "`{}` has the cluster id {} and `{}` has {}: every vote would be refused",
            first_node.service, first.value, node.service, id.value
        );
        out.push(
            Diagnostic::new(Code::ClusterIdsDisagree, message, &place)
                .label("another id")
                .related(&other, "the other id")
                .help("write the same id on every node"),
        );
        return;
    }
}

fn voters_agree(members: &[&NodePlan], out: &mut Vec<Diagnostic>) {
    let sorted = |node: &NodePlan| {
        let mut voters: Vec<(i32, String, u16)> =
            node.voters.iter().map(|v| (v.id, v.host.clone(), v.port)).collect();
        voters.sort();
        voters
    };
    let Some(first) = members.first() else { return };
    let Some(other) = members.iter().find(|node| sorted(node) != sorted(first)) else { return };
    let key = "controller.quorum.voters";
    let message = format!("`{}` and `{}` name different voters of one quorum", first.service, other.service);
    out.push(
        Diagnostic::new(Code::VotersDisagree, message, &other.properties.span(key))
            .label(format!("the voters of `{}`", other.service))
            .related(&first.properties.span(key), format!("the voters of `{}`", first.service))
            .help("write the same voters on every node"),
    );
}

/// A voter's host must be a name that this node's networks know.
fn resolves(view: &View<'_>, node: &NodePlan, service: &Service, voter: &Voter, out: &mut Vec<Diagnostic>) {
    if on_host_network(service) || voter.host.parse::<std::net::Ipv6Addr>().is_ok() {
        return;
    }
    if is_loopback(&voter.host) {
        if voter.id != node.node_id || node.voters.len() > 1 {
            let message = format!(
                "the voter {} is at {} for `{}`: in a container that is the container itself",
                voter.id, voter.host, node.service
            );
            out.push(
                Diagnostic::new(Code::VoterUnresolvable, message, &voter.span)
                    .label("itself")
                    .help("write the name of the voter's service"),
            );
        }
        return;
    }
    let own =
        service.hostname.as_ref().is_some_and(|name| name.value == voter.host) && voter.id == node.node_id;
    let extra = service.extra_hosts.iter().any(|entry| entry.value.0 == voter.host);
    if own || extra || voter.host.contains('.') || view.reached(service, &voter.host).is_some() {
        return;
    }
    let known: Vec<&str> = view.project.services.iter().map(|s| s.name.value.as_str()).collect();
    let elsewhere = view.project.services.iter().find(|other| other.is_called(&voter.host));
    let help = match (elsewhere, jackdaw_compose::nearest(&voter.host, known.iter().copied())) {
        (Some(other), _) => format!("put `{}` and `{}` on one network", node.service, other.name.value),
        (None, Some(near)) => format!("did you mean {near}?"),
        (None, None) => String::from("write the name of the voter's service"),
    };
    let message = format!(
        "`{}` cannot resolve the voter {}: no service it can reach is named {}",
        node.service, voter.id, voter.host
    );
    let mut found = Diagnostic::new(Code::VoterUnresolvable, message, &voter.span.narrowed_word(&voter.host))
        .label("unknown name")
        .help(help);
    if view.may_be_elsewhere(service) {
        found.severity = jackdaw_compose::Severity::Warning;
    }
    out.push(found);
}

/// A voter's port must be the one on which that node's controller listener listens.
fn port(members: &[&NodePlan], voter: &Voter, out: &mut Vec<Diagnostic>) {
    let Some(node) = members.iter().find(|node| node.node_id == voter.id && node.roles.controller) else {
        return;
    };
    let Some(listener) = node.controller_listener() else { return };
    if listener.port == voter.port {
        return;
    }
    let where_it_listens = match listener.port {
        0 => String::from("a port that the system chooses"),
        port => port.to_string(),
    };
    let message = format!(
        "the voter {} is said to listen on {}, and `{}` listens for controllers on {where_it_listens}",
        voter.id, voter.port, node.service
    );
    out.push(
        Diagnostic::new(Code::VoterPort, message, &voter.span)
            .label("another port")
            .related(&listener.span, "its controller listener")
            .help(match listener.port {
                0 => format!("write {}://{}:{}", listener.name, listener.host, voter.port),
                port => format!("write {}@{}:{port}", voter.id, voter.host),
            }),
    );
}

/// Voters that no node of the project is.
pub(super) fn missing_voters(view: &View<'_>, members: &[&NodePlan], out: &mut Vec<Diagnostic>) {
    let Some(first) = members.first() else { return };
    let disabled = |host: &str| view.project.disabled_services.iter().any(|name| name.value == host);
    for voter in &first.voters {
        if members.iter().any(|node| node.node_id == voter.id) || disabled(&voter.host) {
            continue;
        }
        let message = format!("the voter {} at {} is no node of this project", voter.id, voter.host);
        out.push(
            Diagnostic::new(Code::VoterMissing, message, &voter.span)
                .label("not in the file")
                .help("a majority of all voters must run; remove it if it does not run elsewhere"),
        );
    }
}
