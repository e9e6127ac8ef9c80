//! `up`: plan, preflight, execute, wait until ready, say what there is; then stay with it or leave it.

use super::act::warn_of_orphans;
use super::logs::{Style, merged};
use super::ps::{status, summary};
use crate::cli::{Format, Global, Up};
use crate::exit::{Exit, Result, Stop};
use crate::project::{loaded, runtime_for};
use crate::terminal::{Terminal, result};
use futures_util::stream::{self, FuturesUnordered, Stream, StreamExt as _};
use jackdaw_runtime::execute::{execute, with_last_lines};
use jackdaw_runtime::interrupt::Interrupts;
use jackdaw_runtime::logline::LogOptions;
use jackdaw_runtime::lower::{provide_by, select};
use jackdaw_runtime::model::{Instance, Observed, ProjectSpec, ServiceSpec, State};
use jackdaw_runtime::plan::{self, Act, Plan, Step, UpOptions};
use jackdaw_runtime::process::protocol::Happening;
use jackdaw_runtime::ready::{Look, Vantage, keep_to_this_machine, looks, until_ready};
use jackdaw_runtime::runtime::Runtime;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How often the instances are looked at while they are waited for.
const INSTANCE_REST: Duration = Duration::from_millis(100);
/// Looks without an answer after which whoever runs them is gone: one that is restarted answers within this.
const MOST_UNANSWERED: u32 = 50;
/// A script that makes topics on brokers that serve is done within this time.
const TOOL_PATIENCE: Duration = Duration::from_secs(3);
/// What services that were stopped said to their end is there within this time: some looks at their logs.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// A node that came back so often will not become ready.
const TOO_MANY_RESTARTS: u32 = 3;

struct Session<'a> {
    runtime: Box<dyn Runtime>,
    spec: &'a ProjectSpec,
    selected: Vec<&'a ServiceSpec>,
    terminal: Terminal,
    up: &'a Up,
}

/// `up`
pub async fn run(global: &Global, up: Up, terminal: Terminal) -> Result {
    let file = loaded(global, &terminal)?;
    let runtime = runtime_for(global, &file.project.name, &up.provider, &terminal).await?;
    let (mut spec, mut left_out) = file.spec(&*runtime)?;
    provide_by(&mut spec, &up.provider).map_err(Stop::bad_input)?;
    let observed = runtime.observe(&spec.name, Some(&spec)).await?;
    runtime.settle_ports(&mut spec, &observed).await?;
    let known = |name: &String| left_out.iter().any(|out| out.service == *name);
    let names: Vec<String> = up.services.iter().filter(|name| !known(name)).cloned().collect();
    let nothing_else = !up.services.is_empty() && names.is_empty();
    left_out.retain(|out| up.services.is_empty() || up.services.contains(&out.service));
    let selected = match nothing_else {
        true => Vec::new(),
        false => select(&spec, &names, up.no_deps)
            .map_err(|name| Stop::bad_input(format!("no such service: {name}")))?,
    };
    if spec.nodes().next().is_none() {
        terminal.warn(
            "the file has no Kafka node: known are the images of bitnami, apache and confluent, and services with \
             the environment of a KRaft node whose image is to be built",
        );
    }
    let means = runtime.means()?;
    let running: Vec<&ServiceSpec> = selected.iter().copied().filter(|service| means.runs(service)).collect();
    file.tell_unheeded(means.kind, &running, &terminal);
    let options = UpOptions {
        force_recreate: up.force_recreate,
        no_recreate: up.no_recreate,
        no_start: up.no_start,
        remove_orphans: up.remove_orphans,
        renew_anonymous: up.renew_anon_volumes,
    };
    let plan = plan::up(&spec, &selected, &left_out, &observed, &means, &options);
    preflight(&*runtime, &spec, &plan, &observed, &terminal).await?;
    if up.dry_run {
        print_plan(&plan, up.format)?;
        return Ok(Exit::Done);
    }
    if !up.remove_orphans {
        warn_of_orphans(&spec, &observed, &terminal);
    }
    let session = Session { runtime, spec: &spec, selected, terminal, up: &up };
    session.work(&plan).await
}

async fn preflight(
    runtime: &dyn Runtime,
    spec: &ProjectSpec,
    plan: &Plan,
    observed: &Observed,
    terminal: &Terminal,
) -> Result<()> {
    let starts = |step: &Step| matches!(step, Step::Create { .. } | Step::Start { .. });
    let names: Vec<&str> = plan.steps.iter().filter(|step| starts(step)).filter_map(Step::service).collect();
    let starting: Vec<&ServiceSpec> =
        spec.services.iter().filter(|service| names.contains(&service.name.as_str())).collect();
    let found = runtime.preflight(spec, &starting, observed).await?;
    found.warnings.iter().for_each(|warning| terminal.warn(warning));
    if found.errors.is_empty() {
        return Ok(());
    }
    Err(Stop::bad_input(found.errors.join("\n       ")))
}

fn print_plan(plan: &Plan, format: Format) -> Result<()> {
    let text = match format {
        Format::Table => plan.to_string(),
        Format::Json => {
            serde_json::to_string_pretty(plan).map_err(|error| Stop::failed(error.to_string()))?
        }
    };
    result(text.trim_end());
    Ok(())
}

impl Session<'_> {
    async fn work(&self, plan: &Plan) -> Result {
        let began = Instant::now();
        let mut interrupts = Interrupts::listen()?;
        let done = tokio::select! {
            done = execute(&*self.runtime, Some(self.spec), plan, &self.terminal) => done,
            () = interrupts.next() => return self.stop_all(&mut interrupts).await,
        };
        done?;
        if self.up.no_start {
            return Ok(Exit::Done);
        }
        let detached = self.up.detach || self.up.wait;
        if !detached {
            return self.attached(began, &mut interrupts).await;
        }
        tokio::select! {
            done = self.report(began) => done.map(|()| Exit::Done),
            () = interrupts.next() => Ok(Exit::Interrupted),
        }
    }

    /// Waits until ready and prints the table.
    async fn report(&self, began: Instant) -> Result<()> {
        let ready = !self.up.no_wait;
        if ready {
            self.until_ready(began).await?;
        }
        let observed = match ready {
            true => self.tools_ended().await?,
            false => self.runtime.observe(&self.spec.name, Some(self.spec)).await?,
        };
        result(&summary(self.spec, &observed, ready));
        Ok(())
    }

    /// Gives services that make topics and end the moment that they need once the brokers serve. One that failed is
    /// told, with the last of its log: nothing else may have asked for it.
    async fn tools_ended(&self) -> Result<Observed> {
        let deadline = Instant::now() + TOOL_PATIENCE;
        loop {
            let observed = self.runtime.observe(&self.spec.name, Some(self.spec)).await?;
            let of = |service: &&&ServiceSpec| observed.of(&service.name);
            let tools = || self.selected.iter().filter(|service| service.is_tool());
            let busy = tools().any(|tool| of(&tool).is_some_and(|tool| tool.state.is_live()));
            if busy && Instant::now() < deadline {
                tokio::time::sleep(INSTANCE_REST).await;
                continue;
            }
            for tool in tools() {
                let Some(instance) = of(&tool) else { continue };
                let failed = matches!(instance.state, State::Exited | State::Restarting)
                    && instance.exit_code.is_some_and(|code| code != 0);
                if failed {
                    let why = self.blame(&tool.name, &status(instance)).await;
                    self.terminal.warn(&why.message);
                }
            }
            return Ok(observed);
        }
    }

    async fn until_ready(&self, began: Instant) -> Result<()> {
        let timeout = Duration::from_secs(self.up.wait_timeout);
        let observed = self.runtime.observe(&self.spec.name, Some(self.spec)).await?;
        let nodes: Vec<&ServiceSpec> = self
            .selected
            .iter()
            .copied()
            .filter(|service| service.node.is_some() && observed.of(&service.name).is_some())
            .collect();
        if nodes.is_empty() {
            return Ok(());
        }
        let works = self.looks(&nodes, timeout);
        tokio::select! {
            outcome = works => outcome?,
            stop = self.watch_instances(&nodes) => return Err(stop),
        }
        let took = began.elapsed().as_secs_f32();
        self.terminal.say(&format!(" {} Cluster ready {:>46.1}s", self.terminal.narrated("32", "✔"), took));
        Ok(())
    }

    /// Looks at every advertised address from its vantage; says which are ready as they become so.
    async fn looks(&self, nodes: &[&ServiceSpec], timeout: Duration) -> Result<()> {
        let mut all = looks(self.spec, nodes);
        let told = keep_to_this_machine(&mut all).await;
        told.iter().for_each(|warning| self.terminal.warn(warning));
        let total = all.len();
        let mut pending: FuturesUnordered<_> =
            batches(&all, nodes).into_iter().map(|(from, batch)| self.look(from, batch, timeout)).collect();
        let mut ready = 0;
        self.terminal.status(&format!(" waiting for {total} addresses of {} nodes", nodes.len()));
        while let Some(found) = pending.next().await {
            for (look, outcome) in found? {
                if let Err(why) = outcome {
                    return Err(self.blame(&look.service, &why).await);
                }
                ready += 1;
                self.terminal
                    .status(&format!(" {ready} of {total} addresses answer, {} last", look.address()));
            }
        }
        Ok(())
    }

    async fn look(
        &self,
        from: Option<&ServiceSpec>,
        batch: Vec<Look>,
        timeout: Duration,
    ) -> Result<Vec<(Look, std::result::Result<(), String>)>> {
        let deadline = Instant::now() + timeout;
        let found = loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(from) = from else { break until_ready(&batch, &BTreeMap::new(), left).await };
            let timeout_ms = left.as_millis() as u64;
            match self.runtime.look_from(self.spec, from, batch.clone(), timeout_ms).await {
                Ok(found) => break found,
                Err(error) if Instant::now() > deadline => return Err(error.into()),
                // The container that was looked from ended meanwhile; its policy may bring it back.
                Err(_) => tokio::time::sleep(INSTANCE_REST).await,
            }
        };
        Ok(batch.into_iter().zip(found).collect())
    }

    /// Ends when a node can no longer become ready, or nobody is there to tell.
    async fn watch_instances(&self, nodes: &[&ServiceSpec]) -> Stop {
        let mut before: BTreeMap<&str, u32> = BTreeMap::new();
        let mut unanswered = 0;
        loop {
            tokio::time::sleep(INSTANCE_REST).await;
            let observed = match self.runtime.observe(&self.spec.name, Some(self.spec)).await {
                Ok(observed) => observed,
                Err(error) if unanswered == MOST_UNANSWERED => return error.into(),
                Err(_) => {
                    unanswered += 1;
                    continue;
                }
            };
            unanswered = 0;
            for node in nodes {
                let Some(instance) = observed.of(&node.name) else {
                    return self.blame(&node.name, "it was removed meanwhile").await;
                };
                let before = *before.entry(&node.name).or_insert(instance.restarts);
                if let Some(why) = hopeless(instance, before) {
                    return self.blame(&node.name, &why).await;
                }
            }
        }
    }

    /// The error for a node that is not ready, with the last of its log.
    async fn blame(&self, service: &str, why: &str) -> Stop {
        let is_tool = self.spec.service(service).is_some_and(ServiceSpec::is_tool);
        let message = match is_tool {
            true => format!("{service} did not do its work: {why}"),
            false => format!("{service} is not ready: {why}"),
        };
        Stop::failed(with_last_lines(&*self.runtime, &self.spec.name, service, message).await)
    }

    async fn attached(&self, began: Instant, interrupts: &mut Interrupts) -> Result {
        let name = &self.spec.name;
        let observed = self.runtime.observe(name, Some(self.spec)).await?;
        if observed.instances.is_empty() {
            return Ok(Exit::Done);
        }
        let events = self.runtime.events(name).await?;
        let mine = |instance: &&Instance| {
            self.selected.iter().any(|service| service.name == instance.service && service.compose.attach)
        };
        let instances: Vec<&Instance> = observed.instances.iter().filter(mine).collect();
        let earliest = jackdaw_runtime::clock::now_ns() - began.elapsed().as_nanos() as u64;
        let since = Some(jackdaw_runtime::clock::rfc3339(earliest));
        let options = LogOptions { follow: true, tail: None, since };
        let style = Style { terminal: self.terminal, prefix: !self.up.no_log_prefix, timestamps: false };
        let mut lines = merged(&*self.runtime, name, &instances, &options, style);
        let mut events = events.map(Some).chain(stream::iter([None]));
        let report = self.report(began);
        tokio::pin!(report);
        let mut reported = false;
        loop {
            tokio::select! {
                done = &mut report, if !reported => {
                    reported = true;
                    if let Err(stop) = done {
                        self.terminal.say(&format!("{} {stop}", self.terminal.narrated("31", "error:")));
                    }
                    if self.all_ended().await? { return Ok(Exit::Done) }
                }
                Some(line) = lines.next() => result(&line),
                Some(event) = events.next() => match event.map(|event| (event.name, event.what)) {
                    Some((name, Happening::Exited { code, restarting })) => {
                        let again = if restarting { " (restarting)" } else { "" };
                        self.terminal.say(&format!("{name} exited with code {code}{again}"));
                        if reported && self.all_ended().await? { return Ok(Exit::Done) }
                    }
                    Some(_) => {}
                    None => return Err(Stop::failed("whoever ran the services is gone")),
                },
                () = interrupts.next() => return self.stop_all_showing(lines, interrupts).await,
            }
        }
    }

    /// Stops, and shows what the services say to their end.
    async fn stop_all_showing(
        &self,
        mut lines: impl Stream<Item = String> + Unpin,
        interrupts: &mut Interrupts,
    ) -> Result {
        let stopping = self.stop_all(interrupts);
        tokio::pin!(stopping);
        loop {
            tokio::select! {
                done = &mut stopping => {
                    while let Ok(Some(line)) = tokio::time::timeout(LAST_WORDS, lines.next()).await {
                        result(&line);
                    }
                    return done;
                }
                Some(line) = lines.next() => result(&line),
            }
        }
    }

    async fn all_ended(&self) -> Result<bool> {
        let observed = self.runtime.observe(&self.spec.name, Some(self.spec)).await?;
        let live = |service: &&ServiceSpec| observed.of(&service.name).is_some_and(|i| i.state.is_live());
        Ok(!self.selected.iter().any(live))
    }

    /// First Ctrl-C: ask to stop. Second: kill.
    async fn stop_all(&self, interrupts: &mut Interrupts) -> Result {
        self.terminal.say("Gracefully stopping... (press Ctrl+C again to force)");
        let name = &self.spec.name;
        let kind = self.runtime.kind();
        let names: Vec<String> = self.selected.iter().map(|service| service.name.clone()).collect();
        let plan_of =
            |observed: &Observed, act: &Act| plan::act(name, Some(self.spec), observed, kind, &names, act);
        let observed = self.runtime.observe(name, Some(self.spec)).await?;
        let grace_ms = self.up.timeout.map(|seconds| seconds * 1000);
        let stop = plan_of(&observed, &Act::Stop { grace_ms });
        tokio::select! {
            done = execute(&*self.runtime, Some(self.spec), &stop, &self.terminal) => done?,
            () = interrupts.next() => {
                let kill = plan_of(&observed, &Act::Kill { signal: "SIGKILL".into() });
                execute(&*self.runtime, Some(self.spec), &kill, &self.terminal).await?;
            }
        }
        Ok(Exit::Interrupted)
    }
}

/// Why an instance cannot become ready any more; `before` is how often it had been brought back already.
fn hopeless(instance: &Instance, before: u32) -> Option<String> {
    match instance.state {
        State::Exited | State::Dead => {
            Some(instance.error.clone().unwrap_or_else(|| format!("it is down: {}", status(instance))))
        }
        _ if instance.restarts >= before + TOO_MANY_RESTARTS => {
            let code = instance.exit_code.unwrap_or(0);
            Some(format!("it exited {} times, last with code {code}", instance.restarts))
        }
        _ => None,
    }
}

/// Looks by the place they are taken from: `None` is this machine. An address of the network is looked at
/// from a neighbour, where there is one.
fn batches<'a>(all: &[Look], nodes: &[&'a ServiceSpec]) -> Vec<(Option<&'a ServiceSpec>, Vec<Look>)> {
    let mut batches: Vec<(Option<&ServiceSpec>, Vec<Look>)> = Vec::new();
    for look in all {
        let own = nodes.iter().copied().find(|node| node.name == look.service);
        let from = match look.vantage {
            Vantage::Host => None,
            Vantage::Itself => own,
            Vantage::Network => own.and_then(|own| neighbour(own, nodes)).or(own),
        };
        let same = |other: &Option<&ServiceSpec>| other.map(|s| &s.name) == from.map(|s| &s.name);
        match batches.iter_mut().find(|(other, _)| same(other)) {
            Some((_, batch)) => batch.push(look.clone()),
            None => batches.push((from, vec![look.clone()])),
        }
    }
    batches
}

/// The next node that shares a network with `own`.
fn neighbour<'a>(own: &ServiceSpec, nodes: &[&'a ServiceSpec]) -> Option<&'a ServiceSpec> {
    let at = nodes.iter().position(|node| node.name == own.name)?;
    let others = nodes[at + 1..].iter().chain(&nodes[..at]).copied();
    let shares = |other: &&ServiceSpec| {
        other.compose.networks.iter().any(|n| own.compose.networks.iter().any(|m| n.key.value == m.key.value))
    };
    others.into_iter().find(shares)
}
