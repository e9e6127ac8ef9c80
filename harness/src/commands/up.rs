//! `up`: plan, preflight, execute, wait until ready, say what there is; then stay with it or leave it.

use super::act::warn_of_orphans;
use super::logs::{Style, merged};
use super::ps::{status, summary};
use crate::cli::{Format, Global, Up};
use crate::exit::{Exit, Result, Stop};
use crate::project::{Nodes, loaded, runtime_for};
use crate::terminal::{Terminal, result};
use futures_util::stream::{self, FuturesUnordered, Stream, StreamExt as _};
use jackdaw_runtime::execute::{execute, with_last_lines};
use jackdaw_runtime::interrupt::Interrupts;
use jackdaw_runtime::logline::LogOptions;
use jackdaw_runtime::lower::{provide_by, select};
use jackdaw_runtime::model::{Instance, LeftOut, Observed, ProjectSpec, ServiceSpec, State};
use jackdaw_runtime::plan::{self, Act, Plan, Step, UpOptions};
use jackdaw_runtime::process::protocol::Happening;
use jackdaw_runtime::ready::{Look, Vantage, doubtful, looks, nobody_answers, until_ready};
use jackdaw_runtime::runtime::Runtime;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// How often the instances are looked at while they are waited for.
const INSTANCE_REST: Duration = Duration::from_millis(100);
/// Looks without an answer after which whoever runs them is gone: one that is restarted answers within this.
const MOST_UNANSWERED: u32 = 50;
/// A script that makes topics on brokers that serve is done within this time.
const TOOL_PATIENCE: Duration = Duration::from_secs(3);
/// What services that were stopped said to their end is there within this time: some looks at their logs.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// An address that nothing in the file leads to may be led to by somebody who starts meanwhile: a proxy, say.
const DOUBT_PATIENCE: Duration = Duration::from_secs(3);
/// A node that came back so often will not become ready.
const TOO_MANY_RESTARTS: u32 = 3;

/// What came of waiting.
#[derive(Debug, Default)]
pub struct Waited {
    /// Nodes that are not ready.
    pub not_ready: BTreeSet<String>,
    /// Advertised addresses at which nobody answers, or that cannot be seen from here.
    pub silent: BTreeSet<String>,
    /// Why what is not ready is not.
    lost: Vec<String>,
    /// No node is ready.
    is_all_lost: bool,
}

impl Waited {
    fn take(&mut self, other: Waited) {
        self.not_ready.extend(other.not_ready);
        self.silent.extend(other.silent);
        self.lost.extend(other.lost);
    }
}

/// A launcher of Kafka that starts none has not done what was asked.
const NO_NODE: &str = "no Kafka node was started: the file has none. Known are the images of bitnami, apache and \
                       confluent, and services of other images with the environment of a KRaft node";

struct Session<'a> {
    runtime: Box<dyn Runtime>,
    spec: &'a ProjectSpec,
    selected: Vec<&'a ServiceSpec>,
    terminal: Terminal,
    up: &'a Up,
}

/// `up`
pub async fn run(global: &Global, up: Up, terminal: Terminal) -> Result {
    let nodes = if up.no_start || !up.provider.is_empty() { Nodes::May } else { Nodes::Start };
    let file = loaded(global, nodes, &terminal)?;
    let runtime = runtime_for(global, &file.project.name, &up.provider, &terminal).await?;
    let (mut spec, mut left_out) = file.spec(&*runtime)?;
    provide_by(&mut spec, &up.provider).map_err(Stop::bad_input)?;
    scale(&mut spec, &mut left_out, &up.scale)?;
    if up.build {
        terminal
            .warn("--build: no image is built here; Kafka's are stood in for, others are taken as they are");
    }
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
    let done = session.work(&plan).await?;
    match spec.nodes().next() {
        None if up.services.is_empty() && done == Exit::Done => Err(Stop::failed(NO_NODE)),
        _ => Ok(done),
    }
}

/// Takes the words of `--scale` into the spec: a service has one container, or none.
fn scale(spec: &mut ProjectSpec, left_out: &mut Vec<LeftOut>, words: &[String]) -> Result<()> {
    for word in words {
        let number =
            word.split_once('=').and_then(|(name, number)| Some((name, number.parse::<u32>().ok()?)));
        let (name, number) =
            number.ok_or_else(|| Stop::bad_input(format!("--scale takes SERVICE=NUMBER, not `{word}`")))?;
        if spec.service(name).is_none() && !left_out.iter().any(|out| out.service == name) {
            return Err(Stop::bad_input(format!("no such service: {name}")));
        }
        match number {
            0 => {
                spec.services.retain(|service| service.name != name);
                left_out.retain(|out| out.service != name);
                left_out.push(LeftOut { service: name.to_owned(), reason: "its scale is 0".into() });
            }
            1 => {}
            _ => {
                return Err(Stop::bad_input(format!(
                    "--scale {word}: each service has one container here; write a service for each node"
                )));
            }
        }
    }
    Ok(())
}

pub(super) async fn preflight(
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
        let waited = if ready { self.until_ready(began).await? } else { Waited::default() };
        if waited.is_all_lost && waited.silent.is_empty() {
            return Err(Stop::failed(waited.lost.join("\n")));
        }
        let observed = match ready {
            true => self.tools_ended().await?,
            false => self.runtime.observe(&self.spec.name, Some(self.spec)).await?,
        };
        result(&summary(self.spec, &observed, ready, &waited));
        if waited.lost.is_empty() { Ok(()) } else { Err(Stop::failed(waited.lost.join("\n"))) }
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

    /// Waits for each cluster of the file, however the others fare.
    async fn until_ready(&self, began: Instant) -> Result<Waited> {
        let timeout = Duration::from_secs(self.up.wait_timeout);
        let observed = self.runtime.observe(&self.spec.name, Some(self.spec)).await?;
        let there = |service: &&&ServiceSpec| service.node.is_some() && observed.of(&service.name).is_some();
        let mut clusters: Vec<Vec<&ServiceSpec>> = Vec::new();
        for node in self.selected.iter().filter(there).copied() {
            match clusters.iter_mut().find(|cluster| cluster[0].quorum == node.quorum) {
                Some(cluster) => cluster.push(node),
                None => clusters.push(vec![node]),
            }
        }
        let are_several = clusters.len() > 1;
        let all = clusters.iter().map(|nodes| async move {
            let found = tokio::select! {
                found = self.looks(nodes, timeout) => found,
                stop = self.watch_instances(nodes) => Err(stop),
            };
            let took = began.elapsed().as_secs_f32();
            let title =
                if are_several { format!("Cluster {} ready", names(nodes)) } else { "Cluster ready".into() };
            if found.as_ref().is_ok_and(|found| found.lost.is_empty()) {
                self.terminal.say(&format!(" {} {title:<54}{took:>6.1}s", self.terminal.narrated("32", "✔")));
            }
            (nodes, found)
        });
        let mut waited = Waited::default();
        for (nodes, found) in futures_util::future::join_all(all).await {
            match found {
                Ok(found) => waited.take(found),
                Err(stop) => {
                    waited.not_ready.extend(nodes.iter().map(|node| node.name.clone()));
                    waited.lost.push(stop.message);
                }
            }
        }
        waited.is_all_lost = !clusters.is_empty()
            && clusters.iter().flatten().all(|node| waited.not_ready.contains(&node.name));
        Ok(waited)
    }

    /// Looks at every advertised address from its vantage; says which are ready as they become so. Then at those to which
    /// nothing in the file leads.
    async fn looks(&self, nodes: &[&ServiceSpec], timeout: Duration) -> Result<Waited> {
        let began = Instant::now();
        let mut all = looks(self.spec, nodes);
        let doubt = doubtful(self.spec, &mut all).await;
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
        let mut waited = Waited::default();
        for (look, why) in doubt.unseen {
            self.terminal.warn(&why);
            waited.silent.insert(look.address());
        }
        let left = timeout.saturating_sub(began.elapsed()).min(DOUBT_PATIENCE);
        for (look, outcome) in self.look(None, doubt.looks, left).await? {
            let Err(why) = outcome else { continue };
            waited.silent.insert(look.address());
            waited.not_ready.insert(look.service.clone());
            let why = nobody_answers(self.spec, &look, &why);
            waited.lost.push(format!("{} is not ready: {why}", look.service));
        }
        Ok(waited)
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
        let options = LogOptions { follow: true, since, ..LogOptions::default() };
        let style = Style { terminal: self.terminal, prefix: !self.up.no_log_prefix, timestamps: false };
        let mut lines = merged(&*self.runtime, name, &instances, &options, style);
        let mut events = events.map(Some).chain(stream::iter([None]));
        let report = self.report(began);
        tokio::pin!(report);
        let mut reported = false;
        let aborts = self.up.abort_on_container_exit || self.up.exit_code_from.is_some();
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
                        if aborts && !restarting {
                            self.stop_all_showing(lines, interrupts).await?;
                            return self.exit_code(&name, code).await;
                        }
                        if reported && self.all_ended().await? { return Ok(Exit::Done) }
                    }
                    Some(_) => {}
                    None => return Err(Stop::failed("whoever ran the services is gone")),
                },
                () = interrupts.next() => return self.stop_all_showing(lines, interrupts).await,
            }
        }
    }

    /// The code of the service that was asked for, else of the container that ended first.
    async fn exit_code(&self, first: &str, code: i64) -> Result {
        let observed = self.runtime.observe(&self.spec.name, Some(self.spec)).await?;
        let asked = self.up.exit_code_from.as_ref().and_then(|service| observed.of(service));
        let code = match asked.filter(|instance| instance.name != first) {
            Some(instance) => instance.exit_code.unwrap_or(0),
            None => code,
        };
        Ok(Exit::Command(u8::try_from(code).unwrap_or(255)))
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

fn names(nodes: &[&ServiceSpec]) -> String {
    nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>().join(", ")
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
