//! Docker Compose's smaller words: port, rm, wait, pull. Each does what a script that calls it relies on.

use super::act::existing;
use crate::cli::{Build, Global, Named, Port, Pull, Rm};
use crate::exit::{Exit, Result, Stop};
use crate::project::loaded_text;
use crate::terminal::{Terminal, result};
use jackdaw_runtime::execute::execute;
use jackdaw_runtime::model::{Instance, State};
use jackdaw_runtime::plan::{Plan, Step};
use std::net::IpAddr;
use std::time::Duration;

/// How often a container that is waited for is looked at.
const REST: Duration = Duration::from_millis(100);
/// Docker's default for the time to stop.
const GRACE_MS: u64 = 10_000;

/// `port`
pub async fn port(global: &Global, port: Port, terminal: Terminal) -> Result {
    let it = existing(global, std::slice::from_ref(&port.service), &terminal).await?;
    let instance = it.observed.of(&port.service);
    let instance = instance
        .ok_or_else(|| Stop::failed(format!("no container found for service \"{}\"", port.service)))?;
    let is_it = |bound: &&jackdaw_runtime::model::BoundPort| {
        bound.target == port.port && bound.protocol == port.protocol
    };
    let Some(bound) = instance.ports.iter().chain(&instance.publishes).find(is_it) else {
        let (number, protocol) = (port.port, &port.protocol);
        return Err(Stop::failed(format!("no port {number}/{protocol} for container {}", instance.name)));
    };
    result(&match bound.ip {
        IpAddr::V4(ip) => format!("{ip}:{}", bound.published),
        IpAddr::V6(ip) => format!("[{ip}]:{}", bound.published),
    });
    Ok(Exit::Done)
}

/// `rm`
pub async fn rm(global: &Global, rm: Rm, terminal: Terminal) -> Result {
    let it = existing(global, &rm.services, &terminal).await?;
    let wanted = |instance: &&Instance| rm.services.is_empty() || rm.services.contains(&instance.service);
    let wanted: Vec<&Instance> = it.observed.instances.iter().filter(wanted).collect();
    let live = || wanted.iter().filter(|instance| instance.state.is_live());
    let mut steps: Vec<Step> = Vec::new();
    if rm.stop {
        steps.extend(live().map(|instance| Step::Stop {
            service: instance.service.clone(),
            container: instance.name.clone(),
            grace_ms: GRACE_MS,
        }));
    }
    let going = wanted.iter().filter(|instance| rm.stop || !instance.state.is_live());
    steps.extend(going.map(|instance| Step::Remove {
        service: instance.service.clone(),
        container: instance.name.clone(),
        reason: "rm".into(),
        volumes: rm.volumes,
    }));
    if steps.is_empty() {
        terminal.say("No stopped containers");
        return Ok(Exit::Done);
    }
    let plan = Plan { project: it.name.clone(), runtime: it.runtime.kind(), steps };
    execute(&*it.runtime, it.spec.as_ref(), &plan, &terminal).await?;
    Ok(Exit::Done)
}

/// `wait`
pub async fn wait(global: &Global, named: Named, terminal: Terminal) -> Result {
    if named.services.is_empty() {
        return Err(Stop::bad_input("wait takes the services to wait for"));
    }
    let it = existing(global, &named.services, &terminal).await?;
    let mut last = 0;
    for service in &named.services {
        loop {
            let observed = it.runtime.observe(&it.name, it.spec.as_ref()).await?;
            match observed.of(service) {
                Some(instance) if matches!(instance.state, State::Exited | State::Dead) => {
                    last = instance.exit_code.unwrap_or(0);
                    result(&format!("container {:?} exited with status code {last}", instance.name));
                    break;
                }
                Some(_) => tokio::time::sleep(REST).await,
                None => return Err(Stop::failed(format!("no containers for service {service:?}"))),
            }
        }
    }
    Ok(Exit::Command(u8::try_from(last).unwrap_or(255)))
}

/// `build`: whatever the file builds is stood in for, where its environment makes it a node, or left out.
///
/// # Errors
/// Where a service that was to be built runs nowhere: whoever called it relies on its image.
pub fn build(global: &Global, build: &Build, terminal: &Terminal) -> Result {
    let file = loaded_text(global, terminal, false)?;
    if let Some(unknown) = build.services.iter().find(|name| file.project.service(name).is_none()) {
        return Err(Stop::bad_input(format!("no such service: {unknown}")));
    }
    let is_asked = |name: &String| build.services.is_empty() || build.services.contains(name);
    let wanted = file.project.services.iter().filter(|s| s.build.is_some() && is_asked(&s.name.value));
    let mut left_out = Vec::new();
    for service in wanted {
        let name = &service.name.value;
        match jackdaw_conventions::provide(service) {
            Some(_) if build.quiet => {}
            Some(provider) => terminal.say(&format!(
                " - {name}: nothing is built, this program stands in for {}",
                provider.usual_image()
            )),
            None => left_out.push(name.as_str()),
        }
    }
    if left_out.is_empty() {
        return Ok(Exit::Done);
    }
    Err(Stop::failed(format!(
        "no image is built here, and {} would need one: `docker compose build` builds it, and its `image:` is then used",
        left_out.join(", ")
    )))
}

/// `pull`: this program is Kafka's image, and an engine gets the others when `up` needs them.
pub fn pull(global: &Global, pull: &Pull, terminal: &Terminal) -> Result {
    let file = loaded_text(global, terminal, false)?;
    let is_asked = |name: &String| pull.services.is_empty() || pull.services.contains(name);
    for service in file.project.services.iter().filter(|service| is_asked(&service.name.value)) {
        if pull.quiet {
            continue;
        }
        let (name, image) =
            (&service.name.value, service.image.as_ref().map_or("", |image| image.value.as_str()));
        terminal.say(&match jackdaw_conventions::provide(service) {
            Some(_) => format!(" - {name}: nothing to pull, this program stands in for {image}"),
            None => format!(" - {name}: {image} is pulled by `up`, where an engine runs it"),
        });
    }
    Ok(Exit::Done)
}
