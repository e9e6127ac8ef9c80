//! Commands on containers that exist: down, stop, start, restart, kill.

use crate::cli::{Down, Global, Kill, Named, Timed};
use crate::exit::{Exit, Result, Stop};
use crate::project::{Loaded, for_existing, runtime};
use crate::terminal::Terminal;
use jackdaw_runtime::execute::execute;
use jackdaw_runtime::model::{Observed, ProjectSpec};
use jackdaw_runtime::plan::{self, Act, DownOptions};
use jackdaw_runtime::ports;
use jackdaw_runtime::runtime::Runtime;

/// Everything that these commands work on.
pub struct Existing {
    /// Project name.
    pub name: String,
    /// Where it runs.
    pub runtime: Box<dyn Runtime>,
    /// What the file wants, where there is one.
    pub spec: Option<ProjectSpec>,
    /// The file, where there is one.
    pub loaded: Option<Loaded>,
    /// What is there.
    pub observed: Observed,
}

/// Loads and observes; refuses names that neither the file nor the runtime knows.
///
/// # Errors
/// What is to be said.
pub async fn existing(global: &Global, services: &[String], terminal: &Terminal) -> Result<Existing> {
    let (name, loaded) = for_existing(global, terminal)?;
    let runtime = runtime(global, &name, terminal).await?;
    let mut spec = loaded.as_ref().map(Loaded::spec_of_existing);
    let observed = runtime.observe(&name, spec.as_ref()).await?;
    if let Some(spec) = &mut spec {
        ports::recall(spec, &observed);
    }
    let of_file =
        |service: &String| loaded.as_ref().is_some_and(|loaded| loaded.project.service(service).is_some());
    if let Some(unknown) = services.iter().find(|name| observed.of(name).is_none() && !of_file(name)) {
        return Err(Stop::bad_input(format!("no such service: {unknown}")));
    }
    Ok(Existing { name, runtime, spec, loaded, observed })
}

/// `down`
pub async fn down(global: &Global, down: Down, terminal: Terminal) -> Result {
    let it = existing(global, &[], &terminal).await?;
    let options = DownOptions {
        volumes: down.volumes,
        remove_orphans: down.remove_orphans,
        grace_ms: down.timeout.map(|seconds| seconds * 1000),
    };
    let kind = it.runtime.kind();
    let plan = plan::down(&it.name, it.spec.as_ref(), &it.observed, kind, &options);
    if plan.is_empty() {
        terminal.warn(&format!("nothing of project {} is there", it.name));
    }
    execute(&*it.runtime, it.spec.as_ref(), &plan, &terminal).await?;
    if let Some(spec) = it.spec.as_ref().filter(|_| !down.remove_orphans) {
        warn_of_orphans(spec, &it.observed, &terminal);
    }
    Ok(Exit::Done)
}

/// Names containers that belong to the project but not to the file.
pub fn warn_of_orphans(spec: &ProjectSpec, observed: &Observed, terminal: &Terminal) {
    let orphans: Vec<&str> =
        plan::orphans(spec, observed).iter().map(|instance| instance.name.as_str()).collect();
    if !orphans.is_empty() {
        terminal.warn(&format!(
            "the project has containers that the file does not know: {} (remove them with --remove-orphans)",
            orphans.join(", ")
        ));
    }
}

async fn act(global: &Global, services: &[String], act: Act, terminal: Terminal) -> Result {
    let it = existing(global, services, &terminal).await?;
    let kind = it.runtime.kind();
    let plan = plan::act(&it.name, it.spec.as_ref(), &it.observed, kind, services, &act);
    if it.observed.instances.is_empty() && matches!(act, Act::Start | Act::Restart { .. }) {
        return Err(Stop::failed(format!("project {} has no container to start: use up", it.name)));
    }
    execute(&*it.runtime, it.spec.as_ref(), &plan, &terminal).await?;
    Ok(Exit::Done)
}

/// `stop`
pub async fn stop(global: &Global, timed: Timed, terminal: Terminal) -> Result {
    let grace_ms = timed.timeout.map(|seconds| seconds * 1000);
    act(global, &timed.services, Act::Stop { grace_ms }, terminal).await
}

/// `start`
pub async fn start(global: &Global, named: Named, terminal: Terminal) -> Result {
    act(global, &named.services, Act::Start, terminal).await
}

/// `restart`
pub async fn restart(global: &Global, timed: Timed, terminal: Terminal) -> Result {
    let grace_ms = timed.timeout.map(|seconds| seconds * 1000);
    act(global, &timed.services, Act::Restart { grace_ms }, terminal).await
}

/// `pause`
pub async fn pause(global: &Global, named: Named, terminal: Terminal) -> Result {
    act(global, &named.services, Act::Pause, terminal).await
}

/// `unpause`
pub async fn unpause(global: &Global, named: Named, terminal: Terminal) -> Result {
    act(global, &named.services, Act::Unpause, terminal).await
}

/// `kill`
pub async fn kill(global: &Global, kill: Kill, terminal: Terminal) -> Result {
    if jackdaw_runtime::signal::number(&kill.signal).is_none() {
        return Err(Stop::bad_input(format!("{} is not a signal", kill.signal)));
    }
    act(global, &kill.services, Act::Kill { signal: kill.signal }, terminal).await
}
