//! What is given to a node and reaches nobody: a settings' file where nothing reads it, a published port without a
//! listener, a listener that only its own container reaches.
//! It must not judge where clients are sent; `addresses` does.

use std::path::Path;

use jackdaw_compose::{Code, Diagnostic, Mount, MountKind, Protocol, Published, Service, Span};

use super::{View, first_line, is_loopback};
use crate::Provider;
use crate::cluster::on_host_network;
use crate::plan::{Listener, NodePlan};
use crate::variables::MEANINGLESS;

/// Names that files with a node's settings have.
const SETTINGS: [&str; 4] =
    ["server.properties", "kafka.properties", "broker.properties", "controller.properties"];

pub(super) fn check(view: &View<'_>, node: &NodePlan, service: &Service, out: &mut Vec<Diagnostic>) {
    settings(node, service, out);
    // Where a listener was not understood, or is not known, nothing can be said to be missing.
    let is_unclear = node.diagnostics.iter().any(|found| found.code == Code::InvalidListener);
    if is_unclear || node.is_made_by_command || on_host_network(service) {
        return;
    }
    ports(node, service, out);
    for listener in node.listeners.iter().filter(|listener| is_loopback(&listener.host)) {
        out.extend(loopback(view, node, service, listener));
    }
}

/// Files and folders of settings that no entrypoint reads.
fn settings(node: &NodePlan, service: &Service, out: &mut Vec<Diagnostic>) {
    let objects = service.secrets.iter().chain(&service.configs);
    let objects = objects.map(|mount| (mount.target.clone(), mount.source.span.clone()));
    let mounts = service.mounts.iter().filter_map(|mount| Some((settings_at(node, mount)?, place(mount))));
    let words = [&service.entrypoint, &service.command].into_iter().flatten();
    let command: Vec<&str> = words.flat_map(|words| &words.value).map(String::as_str).collect();
    let command = command.join(" ");
    for (target, span) in objects.chain(mounts) {
        let is_settings = target.rsplit('/').next().is_some_and(|name| SETTINGS.contains(&name));
        let is_read = node.config_file.as_deref() == Some(target.as_str()) || command.contains(&target);
        if is_settings && !is_read {
            out.push(unread(node, &target, &span));
        }
    }
}

fn place(mount: &Mount) -> Span {
    first_line(&mount.span).narrowed(&mount.target)
}

/// Where a mount puts a node's settings, if it does.
fn settings_at(node: &NodePlan, mount: &Mount) -> Option<String> {
    let MountKind::Bind { source, .. } = &mount.kind else { return None };
    let made = Path::new(node.provider.layout().made_config);
    if source.is_file() {
        return Some(mount.target.clone());
    }
    let over_the_image_s = made.parent().is_some_and(|folder| folder == Path::new(&mount.target));
    let inside = source.join("server.properties");
    (over_the_image_s && inside.is_file())
        .then(|| format!("{}/server.properties", mount.target.trim_end_matches('/')))
}

fn unread(node: &NodePlan, target: &str, span: &Span) -> Diagnostic {
    let layout = node.provider.layout();
    let what = match target == layout.made_config {
        true => format!("the {} image writes its own {target}", node.provider),
        false => format!("the {} image does not read {target}", node.provider),
    };
    let message = format!("{what}: none of the settings that `{}` mounts there has an effect", node.service);
    let help = match node.provider {
        Provider::Bitnami | Provider::Apache => {
            format!("mount it at {}/server.properties", layout.config_dir)
        }
        Provider::Confluent => {
            format!("set KAFKA_… variables, or start the node on it: `command: kafka-server-start {target}`")
        }
    };
    Diagnostic::new(Code::UnreadSettings, message, span).label("not read").help(help)
}

/// Published ports that lead to nobody.
fn ports(node: &NodePlan, service: &Service, out: &mut Vec<Diagnostic>) {
    let is_for_the_jvm = |target: u16| {
        let tuned = service.environment.iter().filter(|var| MEANINGLESS.contains(&var.name.value.as_str()));
        let mut values = tuned.filter_map(|var| var.value.as_ref());
        values.any(|value| value.value.split(|c: char| !c.is_ascii_digit()).any(|n| n == target.to_string()))
    };
    // Whom a port that is advertised leads astray is told of it as a client.
    let is_advertised = |published: Published| {
        let mut sent = node.advertised.iter().filter(|advertised| is_loopback(&advertised.host));
        sent.any(|advertised| published == Published::Port(advertised.port))
    };
    for port in service.ports.iter().filter(|port| port.protocol == Protocol::Tcp) {
        let listens =
            node.listeners.iter().any(|listener| matches!(listener.port, 0) || listener.port == port.target);
        if listens || is_for_the_jvm(port.target) || is_advertised(port.published) {
            continue;
        }
        let from = match port.published {
            Published::Port(at) => format!("the host's port {at}"),
            _ => String::from("a port of the host"),
        };
        let message = format!("{from} leads to {}, where `{}` does not listen", port.target, node.service);
        let there: Vec<String> = node.listeners.iter().map(|l| format!("{} on {}", l.name, l.port)).collect();
        out.push(
            Diagnostic::new(Code::PublishedWithoutListener, message, &first_line(&port.span))
                .label("nobody listens")
                .help(format!("its listeners are {}", there.join(", "))),
        );
    }
}

/// A listener on localhost that somebody else is to reach.
fn loopback(view: &View<'_>, node: &NodePlan, service: &Service, listener: &Listener) -> Option<Diagnostic> {
    let is_published = service.ports.iter().any(|port| port.target == listener.port);
    let is_advertised =
        node.advertised.iter().any(|sent| sent.name == listener.name && !is_loopback(&sent.host));
    let others = || view.nodes.iter().filter(|other| other.service != node.service);
    let is_voter = node.is_controller_listener(&listener.name)
        && others().any(|other| other.voters.iter().any(|v| v.id == node.node_id && !is_loopback(&v.host)));
    let who = match (is_published, is_advertised, is_voter) {
        (true, ..) => "its published port does not lead there",
        (_, true, _) => "those to whom it is advertised do not reach it",
        (.., true) => "the other nodes do not reach it",
        _ => return None,
    };
    let message =
        format!("{listener} is reached from inside the container of `{}` only: {who}", node.service);
    let help = format!("write {}://:{} in {}", listener.name, listener.port, node.setter("listeners"));
    Some(
        Diagnostic::new(Code::ListenerOnLoopback, message, &listener.span)
            .label("the container's own")
            .help(help),
    )
}
