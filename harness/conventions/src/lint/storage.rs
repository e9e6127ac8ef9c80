//! Volumes against data folders, and replication factors against the number of brokers.
//! It must not look at addresses.

use jackdaw_compose::{Code, Diagnostic, Mount, MountKind, Service, Span};

use super::{View, first_line};
use crate::Provider;
use crate::input::below;
use crate::plan::{NodePlan, Origin};

/// What people mount for other reasons than data.
const NOT_DATA: [&str; 6] = ["config", "secret", "cert", "initdb", "jaas", "plugin"];

pub(super) fn volumes(node: &NodePlan, service: &Service, out: &mut Vec<Diagnostic>) {
    if node.data_dirs.iter().any(|dir| dir.mount.is_some()) {
        return;
    }
    let Some(mount) = service.mounts.iter().find(|mount| looks_like_data(mount)) else { return };
    let Some(dir) = node.data_dirs.first() else { return };
    let message = format!(
        "`{}` keeps its data in {}, and the volume is mounted at {}: the data goes with the container",
        node.service, dir.path, mount.target
    );
    let data_dir = match node.provider {
        Provider::Bitnami => format!("{}/data", mount.target.trim_end_matches('/')),
        Provider::Apache | Provider::Confluent => mount.target.clone(),
    };
    let better = if node.provider == Provider::Bitnami { "/bitnami/kafka" } else { dir.path.as_str() };
    // The first variable takes from apache's image all that it would do without.
    let is_whole = node.properties.iter().all(|property| property.origin == Origin::Image);
    let help = match is_whole && node.provider == Provider::Apache {
        true => format!("mount it at {better}"),
        false => format!("mount it at {better}, or set {}={data_dir}", node.setter("log.dirs")),
    };
    let place = first_line(&mount.span).narrowed(&mount.target);
    let found = Diagnostic::new(Code::VolumeMissesData, message, &place).label("holds nothing").help(help);
    let said = node.properties.span("log.dirs");
    out.push(if said.is_nowhere() { found } else { found.related(&said, "the data is here") });
}

fn looks_like_data(mount: &Mount) -> bool {
    let target = mount.target.to_lowercase();
    if mount.read_only || NOT_DATA.iter().any(|word| target.contains(word)) {
        return false;
    }
    match &mount.kind {
        MountKind::Volume(_) => true,
        MountKind::Bind { .. } => {
            let last = target.rsplit('/').next().unwrap_or_default();
            ["data", "logs", "kafka-logs", "kafka"].contains(&last)
        }
        _ => false,
    }
}

/// Two nodes that write to one folder.
pub(super) fn shared(view: &View<'_>, out: &mut Vec<Diagnostic>) {
    let mut seen: Vec<(String, &NodePlan, &Span)> = Vec::new();
    for node in view.nodes {
        let Some(service) = view.service(node) else { continue };
        for dir in &node.data_dirs {
            let Some(mount) = dir.mount.and_then(|at| service.mounts.get(at)) else { continue };
            let rest = below(&dir.path, &mount.target).unwrap_or_default();
            let source = match &mount.kind {
                MountKind::Volume(name) => format!("volume {name}/{rest}"),
                MountKind::Bind { source, .. } => source.join(rest).display().to_string(),
                _ => continue,
            };
            match seen.iter().find(|(earlier, other, _)| *earlier == source && other.service != node.service)
            {
                Some((_, other, span)) => {
                    let message =
                        format!("`{}` and `{}` keep their data in one place", other.service, node.service);
                    out.push(
                        Diagnostic::new(Code::SharedVolume, message, &first_line(&mount.span))
                            .label("taken")
                            .related(&first_line(span), format!("the data of `{}`", other.service))
                            .help("give each node a volume of its own"),
                    );
                }
                None => seen.push((source, node, &mount.span)),
            }
        }
    }
}

/// Settings that ask for replicas, and what Kafka takes where they are absent.
const FACTORS: [(&str, i64); 3] = [
    ("offsets.topic.replication.factor", 3),
    ("transaction.state.log.replication.factor", 3),
    ("default.replication.factor", 1),
];

/// What must be below a replication factor, by the same rule.
const MIN_ISRS: [(&str, i64, &str, i64); 2] = [
    ("transaction.state.log.min.isr", 2, "transaction.state.log.replication.factor", 3),
    ("min.insync.replicas", 1, "default.replication.factor", 1),
];

pub(super) fn replication(view: &View<'_>, members: &[&NodePlan], out: &mut Vec<Diagnostic>) {
    let brokers: Vec<&&NodePlan> = members.iter().filter(|node| node.roles.broker).collect();
    let count = brokers.len() as i64;
    let Some(first) = brokers.first() else { return };
    let number = |node: &NodePlan, key: &str, default: i64| match node.properties.get(key) {
        Some(text) => text.trim().parse().ok(),
        None => Some(default),
    };
    for (key, default) in FACTORS {
        let Some(node) = brokers.iter().find(|node| number(node, key, default).is_some_and(|n| n > count))
        else {
            continue;
        };
        let factor = number(node, key, default).unwrap_or(default);
        let written = node.properties.get(key).is_some();
        let brokers = if count == 1 {
            String::from("there is one broker")
        } else {
            format!("there are {count} brokers")
        };
        let (message, span) = if written {
            (format!("`{key}` is {factor}, and {brokers}"), node.properties.span(key))
        } else {
            let message = format!("`{key}` is {factor} unless it is set, and {brokers}");
            let roles = node.properties.span("process.roles");
            let service = view.service(node).filter(|_| roles.is_nowhere());
            (message, service.map_or(roles, |service| service.name.span.clone()))
        };
        let help = format!("set {}={count}", first.setter(key));
        let label = if written { "too many" } else { "not set on this node" };
        out.push(Diagnostic::new(Code::ReplicationFactor, message, &span).label(label).help(help));
    }
    for (key, default, of, of_default) in MIN_ISRS {
        let too_high = |node: &&&&NodePlan| {
            let (least, factor) = (number(node, key, default), number(node, of, of_default));
            // Where neither is written, Kafka's own pair is sound.
            node.properties.get(key).is_some()
                && matches!((least, factor), (Some(least), Some(factor)) if least > factor)
        };
        if let Some(node) = brokers.iter().find(too_high) {
            let message =
                format!("`{key}` is above `{of}`: no write with acks=all to such a topic would succeed");
            let place = Diagnostic::new(Code::MinIsr, message, &node.properties.span(key)).label("too many");
            out.push(place.related(&node.properties.span(of), "replicas"));
        }
    }
}
