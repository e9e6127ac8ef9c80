//! Carries a plan out: neighbouring steps of a kind at the same time, kinds one after the other.

use crate::model::{Instance, ProjectSpec, ServiceSpec, State};
use crate::plan::{Plan, Step};
use crate::runtime::{Outcome, Result, Runtime, RuntimeError};
use futures_util::future::join_all;
use futures_util::stream::StreamExt as _;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time between two looks at a dependency that is waited for.
const WAIT_REST: Duration = Duration::from_millis(200);
/// Log lines shown of an instance that failed.
const LAST_LINES: usize = 20;
/// A dependency that is waited for longer than this will not come.
const WAIT_TIMEOUT: Duration = Duration::from_secs(600);

/// Hears how the work goes on.
pub trait Progress: Sync {
    /// A step begins.
    fn begins(&self, step: &Step);
    /// It is done.
    fn done(&self, step: &Step, took: Duration);
    /// Something worth knowing was found on the way.
    fn warn(&self, warning: &str);
    /// A service is left out after all.
    fn left_out(&self, service: &str, reason: &str);
}

/// Does all steps.
///
/// # Errors
/// The first failure, after the steps beside it have ended.
pub async fn execute(
    runtime: &dyn Runtime,
    spec: Option<&ProjectSpec>,
    plan: &Plan,
    progress: &dyn Progress,
) -> Result<()> {
    let mut skipped: BTreeSet<String> = BTreeSet::new();
    for group in plan.steps.chunk_by(Step::goes_with) {
        let out = Mutex::new(Vec::new());
        let wanted = group.iter().filter(|step| step.service().is_none_or(|name| !skipped.contains(name)));
        let works = wanted.map(|step| one(runtime, spec, plan, step, progress, &out));
        let ended = join_all(works).await;
        skipped.extend(out.into_inner().unwrap_or_else(PoisonError::into_inner));
        ended.into_iter().collect::<Result<Vec<()>>>()?;
    }
    runtime.finish(&plan.project).await
}

async fn one(
    runtime: &dyn Runtime,
    spec: Option<&ProjectSpec>,
    plan: &Plan,
    step: &Step,
    progress: &dyn Progress,
    skipped: &Mutex<Vec<String>>,
) -> Result<()> {
    if let Step::LeaveOut(out) = step {
        progress.left_out(&out.service, &out.reason);
        return Ok(());
    }
    progress.begins(step);
    let began = Instant::now();
    let skip = |services: Vec<String>, reason: &str| {
        services.iter().for_each(|service| progress.left_out(service, reason));
        skipped.lock().unwrap_or_else(PoisonError::into_inner).extend(services);
    };
    if let Step::Wait { service, dependency, condition, required } = step {
        match wait(runtime, spec, &plan.project, dependency, condition).await {
            Err(gone @ RuntimeError::Unavailable(_)) => return Err(gone),
            Err(why) if *required => {
                let why = with_last_lines(runtime, &plan.project, dependency, format!("{service}: {why}"));
                return Err(RuntimeError::Failed(why.await));
            }
            Err(why) => skip(vec![service.clone()], &why.to_string()),
            Ok(()) => progress.done(step, began.elapsed()),
        }
        return Ok(());
    }
    match runtime.step(&plan.project, spec, step).await? {
        Outcome::Done => progress.done(step, began.elapsed()),
        Outcome::Warned(warnings) => {
            progress.done(step, began.elapsed());
            warnings.iter().for_each(|warning| progress.warn(warning));
        }
        Outcome::Kept(why) => progress.warn(&why),
        Outcome::LeftOut(services, reason) => skip(services, &reason),
    }
    Ok(())
}

/// Waits until a dependency is as its dependant wants it. A Kafka node without a healthcheck of the file's is healthy
/// once it answers.
async fn wait(
    runtime: &dyn Runtime,
    spec: Option<&ProjectSpec>,
    project: &str,
    dependency: &str,
    condition: &str,
) -> Result<()> {
    let deadline = Instant::now() + WAIT_TIMEOUT;
    let service = spec.and_then(|spec| Some((spec, spec.service(dependency)?)));
    let lost = |why: &str| Err(RuntimeError::Failed(format!("{dependency} {why}")));
    loop {
        let observed = runtime.observe(project, spec).await?;
        let Some(instance) = observed.of(dependency) else {
            return Err(RuntimeError::Failed(format!("{dependency} is not there")));
        };
        match judge(instance, condition) {
            Verdict::Met => return Ok(()),
            Verdict::Lost(why) => return lost(&why),
            Verdict::Open => {}
        }
        if condition == HEALTHY
            && instance.state == State::Running
            && let Some((spec, service)) = service
            && is_healthy(runtime, spec, service, instance).await?
        {
            return Ok(());
        }
        if Instant::now() > deadline {
            return lost("took too long");
        }
        tokio::time::sleep(WAIT_REST).await;
    }
}

const HEALTHY: &str = "service_healthy";
const COMPLETED: &str = "service_completed_successfully";
/// One look at a node that is waited for.
const LOOK_MS: u64 = 1000;

enum Verdict {
    Met,
    Open,
    Lost(String),
}

/// What the state of a dependency says.
fn judge(instance: &Instance, condition: &str) -> Verdict {
    match (condition, instance.state, instance.exit_code, instance.health.as_deref()) {
        (COMPLETED, State::Exited, Some(0), _) => Verdict::Met,
        (_, State::Exited | State::Dead, code, _) => {
            Verdict::Lost(format!("exited with code {}", code.unwrap_or(0)))
        }
        (HEALTHY, State::Running, _, Some("healthy")) => Verdict::Met,
        (HEALTHY, State::Running, _, Some("unhealthy")) => Verdict::Lost("is unhealthy".into()),
        _ => Verdict::Open,
    }
}

/// Whether it is healthy before whoever runs it says so: by the file's check, run at once, or by its answers.
async fn is_healthy(
    runtime: &dyn Runtime,
    spec: &ProjectSpec,
    service: &ServiceSpec,
    instance: &Instance,
) -> Result<bool> {
    if service.has_own_check() {
        return runtime.passes_check(service, instance).await;
    }
    if service.node.is_none() {
        let name = &service.name;
        let none = instance.health.is_none();
        let why =
            || RuntimeError::Failed(format!("{name} has no healthcheck, and another service waits for it"));
        return if none { Err(why()) } else { Ok(false) };
    }
    let mut looks = crate::ready::looks(spec, &[service]);
    crate::ready::doubtful(spec, &mut looks).await;
    // Whoever is looked from may be gone again: then it is not healthy yet.
    let found = runtime.look_from(spec, service, looks, LOOK_MS).await;
    Ok(found.is_ok_and(|found| found.iter().all(std::result::Result::is_ok)))
}

/// A message about an instance, with the last lines of its log.
pub async fn with_last_lines(runtime: &dyn Runtime, project: &str, service: &str, message: String) -> String {
    let Ok(observed) = runtime.observe(project, None).await else { return message };
    let Some(instance) = observed.of(service) else { return message };
    let options = crate::logline::LogOptions { tail: Some(LAST_LINES), ..Default::default() };
    let lines: Vec<String> = runtime.logs(project, instance, options).map(|line| line.text).collect().await;
    let mut message = message;
    if !lines.is_empty() {
        message += &format!("\nthe last lines of {service}:");
        lines.iter().for_each(|line| message += &format!("\n  {line}"));
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{seed, there};

    #[test]
    fn a_dependency_is_met_open_or_lost() {
        let spec = seed();
        let service = &spec.services[0];
        let table = [
            (HEALTHY, State::Running, None, Some("starting"), "open"),
            (HEALTHY, State::Running, None, Some("healthy"), "met"),
            (HEALTHY, State::Running, None, Some("unhealthy"), "is unhealthy"),
            (HEALTHY, State::Running, None, None, "open"),
            (HEALTHY, State::Restarting, Some(1), None, "open"),
            (HEALTHY, State::Exited, Some(0), None, "exited with code 0"),
            (COMPLETED, State::Running, None, Some("healthy"), "open"),
            (COMPLETED, State::Exited, Some(0), None, "met"),
            (COMPLETED, State::Exited, Some(3), None, "exited with code 3"),
            (COMPLETED, State::Restarting, Some(3), None, "open"),
        ];
        for (condition, state, code, health, expected) in table {
            let instance =
                Instance { exit_code: code, health: health.map(str::to_owned), ..there(service, state) };
            let said = match judge(&instance, condition) {
                Verdict::Met => "met".to_owned(),
                Verdict::Open => "open".to_owned(),
                Verdict::Lost(why) => why,
            };
            assert_eq!(said, expected, "{condition} {state:?} {code:?} {health:?}");
        }
    }
}
