//! `ps`, and the table that `up` ends with.

use super::act::existing;
use super::up::Waited;
use crate::cli::{Format, Global, Ps};
use crate::exit::{Exit, Result, Stop};
use crate::terminal::{Terminal, result, table};
use jackdaw_runtime::clock;
use jackdaw_runtime::model::{BoundPort, Instance, Observed, ProjectSpec, ServiceSpec, State};
use jackdaw_runtime::plan::roles;
use jackdaw_runtime::ready::{Look, Vantage, looks};
use serde_json::json;
use std::net::IpAddr;

/// `ps`
pub async fn run(global: &Global, ps: Ps, terminal: Terminal) -> Result {
    let states = states(&ps)?;
    let it = existing(global, &ps.services, &terminal).await?;
    let shown: Vec<&Instance> = it
        .observed
        .instances
        .iter()
        .filter(|instance| match states.is_empty() {
            true => ps.all || !matches!(instance.state, State::Exited | State::Created | State::Dead),
            false => states.iter().any(|state| state == instance.state.word()),
        })
        .filter(|instance| ps.services.is_empty() || ps.services.contains(&instance.service))
        .collect();
    if ps.only_services {
        let mut names: Vec<&str> = shown.iter().map(|instance| instance.service.as_str()).collect();
        names.dedup();
        names.into_iter().for_each(result);
        return Ok(Exit::Done);
    }
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
            // One document a line, as Docker Compose does since 2.21.
            shown.iter().for_each(|i| result(&document(&it.name, it.spec.as_ref(), i).to_string()));
        }
    }
    Ok(Exit::Done)
}

/// The states that `--status` and `--filter status=…` ask for.
fn states(ps: &Ps) -> Result<Vec<String>> {
    const KNOWN: [&str; 7] = ["paused", "restarting", "removing", "running", "dead", "created", "exited"];
    let mut states = ps.status.clone();
    for filter in &ps.filter {
        match filter.split_once('=') {
            Some(("status", state)) => states.push(state.to_owned()),
            _ => return Err(Stop::bad_input(format!("--filter takes status=STATE, not `{filter}`"))),
        }
    }
    match states.iter().find(|state| !KNOWN.contains(&state.as_str())) {
        Some(unknown) => Err(Stop::bad_input(format!("`{unknown}` is no state: {}", KNOWN.join(", ")))),
        None => Ok(states),
    }
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
            let health = match instance.health.as_deref() {
                None => String::new(),
                Some("starting") => " (health: starting)".to_owned(),
                Some(health) => format!(" ({health})"),
            };
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

pub fn document(project: &str, spec: Option<&ProjectSpec>, instance: &Instance) -> serde_json::Value {
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
pub fn summary(spec: &ProjectSpec, observed: &Observed, ready: bool, waited: &Waited) -> String {
    let rows: Vec<Vec<String>> = spec
        .services
        .iter()
        .filter_map(|service| Some((service, observed.of(&service.name)?)))
        .map(|(service, instance)| {
            let node = service.node.as_ref();
            let state = match (instance.state, ready && node.is_some()) {
                (State::Running, true) if waited.not_ready.contains(&service.name) => "not ready".to_owned(),
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
    for (label, line) in bootstrap(spec, observed, waited) {
        text += &format!("\n{label}bootstrap.servers={line}");
    }
    text
}

/// Bootstrap lines of each cluster by where they are used from: the label before one, and the addresses.
fn bootstrap(spec: &ProjectSpec, observed: &Observed, waited: &Waited) -> Vec<(String, String)> {
    let is_running = |service: &&ServiceSpec| {
        service.node.is_some() && observed.of(&service.name).is_some_and(|i| i.state == State::Running)
    };
    let running: Vec<&ServiceSpec> = spec.services.iter().filter(is_running).collect();
    let mut clusters: Vec<Option<usize>> = running.iter().map(|service| service.quorum).collect();
    clusters.sort_unstable();
    clusters.dedup();
    let mut lines = Vec::new();
    for (at, cluster) in clusters.iter().enumerate() {
        let nodes: Vec<&ServiceSpec> =
            running.iter().copied().filter(|node| node.quorum == *cluster).collect();
        let all = looks(spec, &nodes);
        let line = |vantage: Vantage| {
            let is_of = |look: &&Look| look.vantage == vantage && !look.brokers.is_empty();
            let answers = |look: &&Look| vantage != Vantage::Host || !waited.silent.contains(&look.address());
            let of = || all.iter().filter(is_of).filter(answers);
            let first = of().next().map(|look| look.listener.clone())?;
            Some(of().filter(|look| look.listener == first).map(Look::address).collect::<Vec<_>>().join(","))
        };
        let names: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
        let of = if clusters.len() > 1 { format!("{}: ", names.join(", ")) } else { String::new() };
        let gap = if at == 0 { "\n" } else { "" };
        lines.extend(line(Vantage::Host).map(|line| (format!("{gap}{of}"), line)));
        lines.extend(line(Vantage::Network).map(|line| (format!("{of}inside the network: "), line)));
    }
    lines
}
