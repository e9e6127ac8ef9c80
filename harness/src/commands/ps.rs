//! `ps`, and the table that `up` ends with.

use super::act::existing;
use crate::cli::{Format, Global, Ps};
use crate::exit::{Exit, Result, Stop};
use crate::terminal::{Terminal, result, table};
use jackdaw_runtime::clock;
use jackdaw_runtime::model::{BoundPort, Instance, Observed, ProjectSpec, State};
use jackdaw_runtime::plan::roles;
use jackdaw_runtime::ready::{Vantage, looks};
use serde_json::json;
use std::net::IpAddr;

/// `ps`
pub async fn run(global: &Global, ps: Ps, terminal: Terminal) -> Result {
    let it = existing(global, &ps.services, &terminal).await?;
    let shown: Vec<&Instance> = it
        .observed
        .instances
        .iter()
        .filter(|instance| ps.all || !matches!(instance.state, State::Exited | State::Created | State::Dead))
        .filter(|instance| ps.services.is_empty() || ps.services.contains(&instance.service))
        .collect();
    if ps.quiet {
        shown.iter().for_each(|instance| result(&instance.id));
        return Ok(Exit::Done);
    }
    match ps.format {
        Format::Table => {
            let rows: Vec<Vec<String>> = shown.iter().map(|instance| row(instance)).collect();
            result(&table(&["NAME", "IMAGE", "COMMAND", "SERVICE", "CREATED", "STATUS", "PORTS"], &rows));
        }
        Format::Json => {
            let all: Vec<_> =
                shown.iter().map(|instance| document(&it.name, it.spec.as_ref(), instance)).collect();
            let text = serde_json::to_string_pretty(&all).map_err(|error| Stop::failed(error.to_string()))?;
            result(&text);
        }
    }
    Ok(Exit::Done)
}

fn row(instance: &Instance) -> Vec<String> {
    let age = clock::human(clock::now_ms().saturating_sub(instance.created_ms));
    let mut command: String = instance.command.chars().take(22).collect();
    if command.len() < instance.command.len() {
        command.push('…');
    }
    vec![
        instance.name.clone(),
        instance.image.clone(),
        format!("\"{command}\""),
        instance.service.clone(),
        format!("{age} ago"),
        status(instance),
        ports(&instance.ports),
    ]
}

/// `Up 5 seconds (healthy)`, `Exited (137) 2 minutes ago`: Docker's words.
pub fn status(instance: &Instance) -> String {
    let since = |at: Option<u64>| clock::human(clock::now_ms().saturating_sub(at.unwrap_or_default()));
    let code = instance.exit_code.unwrap_or(0);
    match instance.state {
        State::Running => {
            let health = instance.health.as_ref().map(|health| format!(" ({health})")).unwrap_or_default();
            format!("Up {}{health}", since(instance.started_ms))
        }
        State::Paused => format!("Up {} (Paused)", since(instance.started_ms)),
        State::Restarting => format!("Restarting ({code}) {} ago", since(instance.finished_ms)),
        State::Exited => format!("Exited ({code}) {} ago", since(instance.finished_ms)),
        State::Created => "Created".into(),
        State::Dead => "Dead".into(),
    }
}

/// `0.0.0.0:9092->9092/tcp`; on processes one entry per port and not one per address.
fn ports(ports: &[BoundPort]) -> String {
    let mut shown: Vec<String> = Vec::new();
    for port in ports {
        let ip = match port.ip {
            IpAddr::V6(ip) => format!("[{ip}]"),
            IpAddr::V4(ip) => ip.to_string(),
        };
        let tail = format!(":{}->{}/{}", port.published, port.target, port.protocol);
        if !shown.iter().any(|other| other.ends_with(&tail)) {
            shown.push(format!("{ip}{tail}"));
        }
    }
    shown.join(", ")
}

fn document(project: &str, spec: Option<&ProjectSpec>, instance: &Instance) -> serde_json::Value {
    let publishers = instance.ports.iter().map(|port| {
        json!({
            "URL": port.ip.to_string(),
            "TargetPort": port.target,
            "PublishedPort": port.published,
            "Protocol": port.protocol,
        })
    });
    let node =
        spec.and_then(|spec| spec.service(&instance.service)).and_then(|service| service.node.as_ref());
    json!({
        "ID": instance.id,
        "Name": instance.name,
        "Project": project,
        "Service": instance.service,
        "Image": instance.image,
        "Command": instance.command,
        "State": instance.state.word(),
        "Status": status(instance),
        "Health": instance.health.as_deref().unwrap_or_default(),
        "ExitCode": instance.exit_code.unwrap_or(0),
        "Restarts": instance.restarts,
        "Pid": instance.pid,
        "Address": instance.address.map(|address| address.to_string()),
        "NodeId": node.map(|node| node.node_id),
        "Roles": node.map(|node| roles(node.roles)),
        "Publishers": publishers.collect::<Vec<_>>(),
    })
}

/// The table at the end of `up`: service, node, roles, state; then the line for a client's configuration.
pub fn summary(spec: &ProjectSpec, observed: &Observed, ready: bool) -> String {
    let rows: Vec<Vec<String>> = spec
        .services
        .iter()
        .filter_map(|service| Some((service, observed.of(&service.name)?)))
        .map(|(service, instance)| {
            let node = service.node.as_ref();
            let state = match (instance.state, ready && node.is_some()) {
                (State::Running, true) => "ready".to_owned(),
                (State::Exited, _) if service.is_tool() && instance.exit_code == Some(0) => "done".to_owned(),
                (State::Exited, _) if service.is_tool() => {
                    format!("failed ({})", instance.exit_code.unwrap_or(0))
                }
                (state, _) => state.word().to_owned(),
            };
            vec![
                service.name.clone(),
                node.map_or_else(|| "-".into(), |node| node.node_id.to_string()),
                node.map_or("-", |node| roles(node.roles)).to_owned(),
                state,
            ]
        })
        .collect();
    let mut text = table(&["SERVICE", "NODE", "ROLES", "STATE"], &rows);
    for (label, line) in bootstrap(spec, observed) {
        text += &format!("\n{label}{line}");
    }
    text
}

/// Bootstrap lines by where they are used from.
fn bootstrap(spec: &ProjectSpec, observed: &Observed) -> Vec<(&'static str, String)> {
    let running: Vec<_> = spec
        .services
        .iter()
        .filter(|s| observed.of(&s.name).is_some_and(|i| i.state == State::Running))
        .collect();
    let all = looks(spec, &running);
    let line = |vantage: Vantage| {
        let of = all.iter().filter(|look| look.vantage == vantage && !look.brokers.is_empty());
        let first = of.clone().next().map(|look| look.listener.clone())?;
        let addresses: Vec<String> =
            of.filter(|look| look.listener == first).map(|look| look.address()).collect();
        Some(addresses.join(","))
    };
    let host = line(Vantage::Host).map(|line| ("\nbootstrap.servers=", line));
    let inside = line(Vantage::Network).map(|line| ("inside the network: bootstrap.servers=", line));
    host.into_iter().chain(inside).collect()
}
