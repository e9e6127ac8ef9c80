//! `run`: a command of its own on a service's image, with the service's files and environment, to its end.

use super::up::preflight;
use crate::cli::{Global, Run};
use crate::exit::{Exit, Result, Stop};
use crate::project::{Nodes, loaded, runtime};
use crate::terminal::{Terminal, narrate, result};
use futures_util::stream::{BoxStream, StreamExt as _};
use jackdaw_compose::{EnvVar, Spanned};
use jackdaw_conventions::{provide, starts_node};
use jackdaw_runtime::execute::execute;
use jackdaw_runtime::interrupt::Interrupts;
use jackdaw_runtime::logline::{LogLine, LogOptions, Stream};
use jackdaw_runtime::lower::select;
use jackdaw_runtime::model::{ProjectSpec, Restart, ServiceSpec, State};
use jackdaw_runtime::plan::{self, Step, UpOptions};
use jackdaw_runtime::runtime::Runtime;
use jackdaw_runtime::{clock, digest};
use std::time::Duration;

/// How often the container is looked at.
const REST: Duration = Duration::from_millis(50);
/// What it said to its end is there within this time.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// `run`
pub async fn run(global: &Global, once: Run, terminal: Terminal) -> Result {
    if once.interactive || once.tty {
        return Err(Stop::bad_input(
            "run gives its command no terminal and no standard input: leave -i and -t out, or use `exec` in a service \
             that runs",
        ));
    }
    let file = loaded(global, Nodes::Start, &terminal)?;
    let runtime = runtime(global, &file.project.name, &terminal).await?;
    let (mut spec, left_out) = file.spec(&*runtime)?;
    let observed = runtime.observe(&spec.name, Some(&spec)).await?;
    runtime.settle_ports(&mut spec, &observed).await?;
    let Some(service) = spec.service(&once.service) else {
        let why = left_out.iter().find(|out| out.service == once.service);
        return Err(match why {
            Some(out) => Stop::failed(format!("{} cannot be run: {}", out.service, out.reason)),
            None => Stop::bad_input(format!("no such service: {}", once.service)),
        });
    };
    let needed: Vec<String> = service
        .compose
        .depends_on
        .iter()
        .map(|on| on.service.value.clone())
        .filter(|_| !once.no_deps)
        .collect();
    let own = one_off(&spec, service, &once)?;
    let name = own.name.clone();
    spec.services.push(own);
    let means = runtime.means()?;
    let mut selected = match needed.is_empty() {
        true => Vec::new(),
        false => select(&spec, &needed, false).unwrap_or_default(),
    };
    selected.extend(spec.service(&name).filter(|own| means.runs(own)));
    if selected.last().is_none_or(|last| last.name != name) {
        return Err(Stop::failed(format!("{} is run by a container engine only", once.service)));
    }
    let options = UpOptions { no_recreate: true, ..UpOptions::default() };
    let plan = plan::up(&spec, &selected, &[], &observed, &means, &options);
    preflight(&*runtime, &spec, &plan, &observed, &terminal).await?;
    let mut interrupts = Interrupts::listen()?;
    tokio::select! {
        done = execute(&*runtime, Some(&spec), &plan, &terminal) => done?,
        () = interrupts.next() => {
            gone(&*runtime, &spec, &name).await?;
            return Ok(Exit::Interrupted);
        }
    }
    if once.detach {
        result(&spec.service(&name).map(|own| own.container.clone()).unwrap_or_default());
        return Ok(Exit::Done);
    }
    let ended = follow(&*runtime, &spec, &name, &mut interrupts).await;
    gone(&*runtime, &spec, &name).await?;
    ended
}

/// The service as the command line has it, under a name of its own: nobody takes it for the service itself.
fn one_off(spec: &ProjectSpec, service: &ServiceSpec, once: &Run) -> Result<ServiceSpec> {
    let mut own = service.clone();
    let tail = digest::hex(clock::now_ns().to_string().as_bytes());
    own.name = format!("{}-run-{}", service.name, &tail[..12]);
    own.container = format!("{}-{}", spec.name, own.name);
    own.hash = tail;
    own.ports.clear();
    own.readdressed.clear();
    own.restart = Restart::No;
    let compose = &mut own.compose;
    compose.name = Spanned::nowhere(own.name.clone());
    compose.container_name = None;
    compose.ports.clear();
    compose.restart = jackdaw_compose::Restart::No;
    if let Some(entrypoint) = &once.entrypoint {
        let words = entrypoint.split_whitespace().map(str::to_owned).collect();
        compose.entrypoint = Some(Spanned::nowhere(words));
        compose.command = None;
    }
    if !once.command.is_empty() {
        compose.command = Some(Spanned::nowhere(once.command.clone()));
    }
    compose.user = once.user.clone().map(Spanned::nowhere).or(compose.user.take());
    compose.working_dir = once.workdir.clone().or(compose.working_dir.take());
    if once.no_deps {
        compose.depends_on.clear();
    }
    for pair in &once.env {
        let (name, value) = match pair.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (pair.as_str(), std::env::var(pair).ok()),
        };
        compose.environment.retain(|variable| variable.name.value != name);
        let name = Spanned::nowhere(name.to_owned());
        compose.environment.push(EnvVar { name, value: value.map(Spanned::nowhere) });
    }
    if provide(compose).is_some_and(|provider| starts_node(compose, provider)) {
        let name = &service.name;
        return Err(Stop::bad_input(format!(
            "{name} would start a node of the cluster, which `up {name}` does: name the command to run"
        )));
    }
    (own.node, own.quorum, own.reference) = (None, None, None);
    Ok(own)
}

/// Shows what it prints until it ends; its code.
async fn follow(
    runtime: &dyn Runtime,
    spec: &ProjectSpec,
    name: &str,
    interrupts: &mut Interrupts,
) -> Result {
    let lost = || Stop::failed(format!("{name} is gone"));
    let first = runtime.observe(&spec.name, None).await?;
    let options = LogOptions { follow: true, ..LogOptions::default() };
    let mut lines = runtime.logs(&spec.name, first.of(name).ok_or_else(lost)?, options);
    loop {
        tokio::select! {
            Some(line) = lines.next() => show(&line),
            () = interrupts.next() => return Ok(Exit::Interrupted),
            () = tokio::time::sleep(REST) => {
                let observed = runtime.observe(&spec.name, None).await?;
                let instance = observed.of(name).ok_or_else(lost)?;
                if matches!(instance.state, State::Exited | State::Dead) {
                    rest(lines).await;
                    let code = instance.exit_code.unwrap_or(0);
                    return Ok(Exit::Command(u8::try_from(code).unwrap_or(255)));
                }
            }
        }
    }
}

async fn rest(mut lines: BoxStream<'static, LogLine>) {
    while let Ok(Some(line)) = tokio::time::timeout(LAST_WORDS, lines.next()).await {
        show(&line);
    }
}

fn show(line: &LogLine) {
    match line.stream {
        Stream::Out => result(&line.text),
        Stream::Err => narrate(&format!("{}\n", line.text)),
    }
}

async fn gone(runtime: &dyn Runtime, spec: &ProjectSpec, name: &str) -> Result<()> {
    let observed = runtime.observe(&spec.name, None).await?;
    let Some(instance) = observed.of(name) else { return Ok(()) };
    let (service, container) = (name.to_owned(), instance.name.clone());
    let step = Step::Remove { service, container, reason: "it has ended".into(), volumes: true };
    runtime.step(&spec.name, Some(spec), &step).await?;
    Ok(runtime.finish(&spec.name).await?)
}
