//! Advertised addresses against published ports and names: where clients are sent after their first connection.
//! It must not look at the quorum.

use jackdaw_compose::{Code, Diagnostic, Port, Protocol, Published, Service, Span};

use super::{View, first_line, is_loopback};
use crate::cluster::on_host_network;
use crate::plan::{Listener, NodePlan};

pub(super) fn check(view: &View<'_>, node: &NodePlan, service: &Service, out: &mut Vec<Diagnostic>) {
    if !node.roles.broker || on_host_network(service) {
        return;
    }
    for advertised in &node.advertised {
        let Some(listener) = node.listeners.iter().find(|l| l.name == advertised.name) else { continue };
        if node.is_controller_listener(&advertised.name) {
            continue;
        }
        if is_loopback(&advertised.host) {
            published(view, node, service, listener, advertised, out);
            inter_broker(view, node, advertised, out);
        } else {
            resolvable(view, node, service, advertised, out);
            internal(node, service, listener, advertised, out);
        }
    }
}

fn ports_of(service: &Service, target: u16) -> impl Iterator<Item = &Port> {
    service.ports.iter().filter(move |port| port.target == target && port.protocol == Protocol::Tcp)
}

/// What is advertised on localhost must be published, on that port and to that listener.
fn published(
    view: &View<'_>,
    node: &NodePlan,
    service: &Service,
    listener: &Listener,
    advertised: &Listener,
    out: &mut Vec<Diagnostic>,
) {
    // Who shares another's network is published by that one.
    let shared = service.network_mode.as_ref().and_then(|mode| mode.value.strip_prefix("service:"));
    let service = shared.and_then(|name| view.project.service(name)).unwrap_or(service);
    let leads_here = |port: &Port| match port.published {
        // What is advertised follows.
        Published::Ephemeral | Published::AnyOf(..) => true,
        Published::Port(at) => at == advertised.port,
    };
    let is_here = ports_of(service, listener.port).any(leads_here);
    if is_here || is_forwarded(view, advertised.port) || is_for_itself(node, service, advertised) {
        return;
    }
    let elsewhere = service.ports.iter().find(|port| port.published == Published::Port(advertised.port));
    let here = ports_of(service, listener.port).find_map(|port| match port.published {
        Published::Port(at) => Some((at, &port.span)),
        _ => None,
    });
    let (port, inside) = (advertised.port, listener.port);
    let base = |message: String, label: &str| {
        let span = if advertised.span.is_nowhere() { &service.name.span } else { &advertised.span };
        Diagnostic::new(Code::AdvertisedNotPublished, message, span).label(label.to_owned())
    };
    out.push(match (here, elsewhere) {
        (Some((at, span)), _) => base(
            format!(
                "clients of the host are sent to {}:{port}, and this listener is published on {at}",
                advertised.host
            ),
            "another port",
        )
        .related(&first_line(span), "published here")
        .help(format!(
            "advertise {}://{}:{at}, or publish \"{port}:{inside}\"",
            advertised.name, advertised.host
        )),
        (None, Some(other)) => base(
            format!(
                "the host's port {port} leads to {}, and {} listens on {inside}",
                other.target, advertised.name
            ),
            "another listener's port",
        )
        .related(&first_line(&other.span), "published here")
        .help(format!("publish \"{port}:{inside}\"")),
        (None, None) => base(
            format!("clients of the host are sent to {}:{port}, which is not published", advertised.host),
            "not published",
        )
        .help(format!("add \"{port}:{inside}\" to the ports of `{}`", service.name.value)),
    });
}

/// Whether another service publishes the port that is advertised, such as a proxy before the nodes.
fn is_forwarded(view: &View<'_>, port: u16) -> bool {
    let is_node = |service: &Service| view.nodes.iter().any(|node| node.service == service.name.value);
    let mut others = view.project.services.iter().filter(|service| !is_node(service));
    others.any(|other| other.ports.iter().any(|at| at.published == Published::Port(port)))
}

/// Whether what a node advertises on localhost is how it reaches itself: nothing of it is published, and others are sent
/// elsewhere.
fn is_for_itself(node: &NodePlan, service: &Service, advertised: &Listener) -> bool {
    service.ports.is_empty()
        && node.inter_broker_listener.as_deref() == Some(advertised.name.as_str())
        && node.advertised.iter().any(|sent| !is_loopback(&sent.host))
}

/// Brokers that replicate over localhost replicate from themselves.
fn inter_broker(view: &View<'_>, node: &NodePlan, advertised: &Listener, out: &mut Vec<Diagnostic>) {
    let others = view
        .nodes
        .iter()
        .filter(|other| other.service != node.service && other.roles.broker && same_quorum(other, node));
    if others.count() == 0 || node.inter_broker_listener.as_deref() != Some(advertised.name.as_str()) {
        return;
    }
    let message = format!(
        "`{}` tells the other brokers to reach it at {advertised}: each of them would reach itself",
        node.service
    );
    out.push(
        Diagnostic::new(Code::LocalhostAdvertised, message, &advertised.span)
            .label("localhost of whoever asks")
            .help(format!(
                "advertise {}://{}:{}, and localhost on a listener of its own",
                advertised.name, node.service, advertised.port
            )),
    );
}

fn same_quorum(a: &NodePlan, b: &NodePlan) -> bool {
    let shared =
        |v: &crate::Voter| b.voters.iter().any(|w| w.id == v.id && w.host == v.host && w.port == v.port);
    a.voters.iter().any(|voter| !is_loopback(&voter.host) && shared(voter))
}

fn resolvable(
    view: &View<'_>,
    node: &NodePlan,
    service: &Service,
    advertised: &Listener,
    out: &mut Vec<Diagnostic>,
) {
    let host = advertised.host.as_str();
    let known = host.is_empty()
        || host.contains(['.', ':'])
        || service.hostname.as_ref().is_some_and(|name| name.value == host)
        || service.extra_hosts.iter().any(|entry| entry.value.0 == host)
        || view.reached(service, host).is_some();
    // A single broker never looks itself up by this name; its clients do.
    if known || view.may_be_elsewhere(service) {
        return;
    }
    let message =
        format!("`{}` sends its clients to {advertised}, and no service is named {host}", node.service);
    let help =
        match jackdaw_compose::nearest(host, view.project.services.iter().map(|s| s.name.value.as_str())) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("write {}, or a name that every client can resolve", node.service),
        };
    let place = advertised.span.narrowed_word(host);
    out.push(Diagnostic::new(Code::AdvertisedUnresolvable, message, &place).label("unknown name").help(help));
}

/// A published port of a listener that only containers can be sent to.
fn internal(
    node: &NodePlan,
    service: &Service,
    listener: &Listener,
    advertised: &Listener,
    out: &mut Vec<Diagnostic>,
) {
    let is_name = !advertised.host.is_empty() && !advertised.host.contains(['.', ':']);
    let Some(port) = ports_of(service, listener.port).find(|_| is_name) else { return };
    let outer = node.advertised.iter().find(|other| is_loopback(&other.host));
    let Published::Port(at) = port.published else { return };
    let message = format!(
        "a client of the host that connects to port {at} is sent on to {}:{}, which it cannot resolve",
        advertised.host, advertised.port
    );
    let help = match outer {
        Some(outer) => format!("from the host, use {}:{}", outer.host, outer.port),
        None => format!("for clients of the host, add a listener that is advertised as localhost:{at}"),
    };
    let place = Diagnostic::new(Code::InternalPortPublished, message, &first_line(&port.span));
    out.push(place.label("leads to an internal listener").help(help));
}

/// Whether the host's clients are sent to a port that is only chosen when the node is made: the one that was written
/// is not used then.
fn moves(view: &View<'_>, node: &NodePlan, advertised: &Listener) -> bool {
    let listener = node.listeners.iter().find(|listener| listener.name == advertised.name);
    let (Some(service), Some(listener)) = (view.project.service(&node.service), listener) else {
        return false;
    };
    let ports = || ports_of(service, listener.port).map(|port| port.published);
    let is_open = ports().any(|published| !matches!(published, Published::Port(_)));
    is_open && is_loopback(&advertised.host) && !ports().any(|at| at == Published::Port(advertised.port))
}

/// Two brokers behind one address.
pub(super) fn duplicates(view: &View<'_>, out: &mut Vec<Diagnostic>) {
    let mut seen: Vec<(&NodePlan, &Listener)> = Vec::new();
    for node in view.nodes.iter().filter(|node| node.roles.broker) {
        let stays = |l: &&Listener| !l.host.is_empty() && !moves(view, node, l);
        for advertised in node.advertised.iter().filter(stays) {
            let same = |(other, earlier): &&(&NodePlan, &Listener)| {
                other.service != node.service
                    && earlier.host == advertised.host
                    && earlier.port == advertised.port
            };
            match seen.iter().find(same) {
                Some((other, earlier)) => {
                    let message = format!(
                        "`{}` and `{}` both advertise {}:{}",
                        other.service, node.service, advertised.host, advertised.port
                    );
                    out.push(
                        Diagnostic::new(Code::DuplicateAdvertised, message, &advertised.span)
                            .label("taken")
                            .related(&earlier.span, format!("advertised by `{}`", other.service)),
                    );
                }
                None => seen.push((node, advertised)),
            }
        }
    }
}

/// Other services that connect to a listener which sends them to themselves.
pub(super) fn clients(view: &View<'_>, out: &mut Vec<Diagnostic>) {
    let is_node = |service: &Service| view.nodes.iter().any(|node| node.service == service.name.value);
    for client in view.project.services.iter().filter(|service| !is_node(service)) {
        for variable in client.environment.iter().filter_map(|var| var.value.as_ref()) {
            for (host, port) in addresses(&variable.value) {
                let Some(found) = misled(view, client, host, port) else { continue };
                out.push(said(&variable.span, client, host, port, found));
            }
        }
    }
}

/// `host:port` pairs in a value such as a list of bootstrap servers.
fn addresses(value: &str) -> impl Iterator<Item = (&str, u16)> {
    let entries = value.split([',', ';', ' ']).map(|entry| entry.rsplit("//").next().unwrap_or(entry));
    entries.filter_map(|entry| {
        let (host, port) = entry.trim().split_once(':')?;
        Some((host, port.parse().ok()?))
    })
}

fn misled<'a>(
    view: &View<'a>,
    client: &Service,
    host: &str,
    port: u16,
) -> Option<(&'a NodePlan, &'a Listener)> {
    let service = view.reached(client, host)?;
    let node = view.nodes.iter().find(|node| node.service == service.name.value)?;
    let listener = node.listeners.iter().find(|l| l.port == port && !node.is_controller_listener(&l.name))?;
    let advertised = node.advertised.iter().find(|l| l.name == listener.name)?;
    is_loopback(&advertised.host).then_some((node, advertised))
}

fn said(span: &Span, client: &Service, host: &str, port: u16, found: (&NodePlan, &Listener)) -> Diagnostic {
    let (node, advertised) = found;
    let message = format!(
        "`{}` connects to {host}:{port} and is sent on to {}:{}, which is itself",
        client.name.value, advertised.host, advertised.port
    );
    let inner = node.advertised.iter().find(|l| !is_loopback(&l.host));
    let inner = inner.and_then(|inner| {
        let listener = node.listeners.iter().find(|l| l.name == inner.name)?;
        Some(format!("connect to {host}:{}", listener.port))
    });
    let help = inner.unwrap_or_else(|| {
        format!("add a listener to `{}` that is advertised as {host}, and connect to that", node.service)
    });
    Diagnostic::new(Code::LocalhostAdvertised, message, &span.narrowed(&format!("{host}:{port}")))
        .label("sent to itself")
        .related(&advertised.span, "advertised here")
        .help(help)
}
