//! Carries a plan out: neighbouring steps of a kind at the same time, kinds one after the other.

use crate::model::{ProjectSpec, State};
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
        Outcome::LeftOut(services, reason) => skip(services, &reason),
    }
    Ok(())
}

/// Waits until a dependency is as its dependant wants it. A Kafka node is healthy once it answers.
async fn wait(
    runtime: &dyn Runtime,
    spec: Option<&ProjectSpec>,
    project: &str,
    dependency: &str,
    condition: &str,
) -> Result<()> {
    let deadline = Instant::now() + WAIT_TIMEOUT;
    let service = spec.and_then(|spec| spec.service(dependency));
    if let (Some(spec), Some(service)) = (spec, service)
        && service.node.is_some()
        && condition == "service_healthy"
    {
        let looks = crate::ready::looks(spec, &[service]);
        let timeout_ms = WAIT_TIMEOUT.as_millis() as u64;
        let findings = runtime.look_from(spec, service, looks, timeout_ms).await?;
        return findings
            .into_iter()
            .collect::<std::result::Result<(), String>>()
            .map_err(RuntimeError::Failed);
    }
    loop {
        let observed = runtime.observe(project, spec).await?;
        let failed = |why: String| Err(RuntimeError::Failed(format!("{dependency} {why}")));
        let Some(instance) = observed.of(dependency) else { return failed("is not there".into()) };
        match (condition, instance.state, instance.exit_code, instance.health.as_deref()) {
            ("service_completed_successfully", State::Exited, Some(0), _) => return Ok(()),
            (_, State::Exited, Some(code), _) => return failed(format!("exited with code {code}")),
            ("service_healthy", State::Running, _, Some("healthy")) => return Ok(()),
            ("service_healthy", State::Running, _, Some("unhealthy")) => {
                return failed("is unhealthy".into());
            }
            ("service_healthy", State::Running, _, None) => return failed("has no healthcheck".into()),
            _ if Instant::now() > deadline => return failed("took too long".into()),
            _ => tokio::time::sleep(WAIT_REST).await,
        }
    }
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
