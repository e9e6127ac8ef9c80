//! Many scenarios: each gets a cluster of its shape, shared where it need not be fresh; several run at once.
//! It must not decide whether a transcript is right.

use crate::cluster::{Means, Project, REFERENCE};
use crate::model::{Scenario, Shape};
use crate::run::{Section, run, tidy};
use jackdaw_compose::Diagnostic;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

/// What became of one scenario.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its name.
    pub name: String,
    /// Its transcript, or why there is none.
    pub result: Result<Vec<Section>, Failure>,
    /// Time from its first step to its last.
    pub took: Duration,
}

/// Why a scenario has no transcript.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{why}\n{logs}")]
pub struct Failure {
    /// The reason, with its place.
    pub why: String,
    /// Where the cluster's logs are kept.
    pub logs: String,
}

/// Reads scenarios by name from their folder, all of them where none is named; in the order of their names.
///
/// # Errors
/// What is wrong with any of them, ready to be drawn; or that there is no such scenario.
pub fn load(folder: &Path, names: &[String]) -> Result<Vec<Scenario>, LoadError> {
    let listed =
        std::fs::read_dir(folder).map_err(|error| LoadError::Folder(folder.display().to_string(), error))?;
    let mut all: Vec<String> = listed
        .flatten()
        .filter(|entry| entry.path().join("scenario.yml").is_file())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    if all.is_empty() {
        return Err(LoadError::Empty(folder.display().to_string()));
    }
    all.sort();
    for name in names {
        if !all.contains(name) {
            let near = jackdaw_compose::nearest(name, all.iter().map(String::as_str)).map(str::to_owned);
            return Err(LoadError::Unknown(name.clone(), folder.display().to_string(), near));
        }
    }
    all.retain(|name| names.is_empty() || names.contains(name));
    let (mut scenarios, mut findings) = (Vec::new(), Vec::new());
    for name in all {
        let path = folder.join(&name).join("scenario.yml");
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(&path).map_err(|error| LoadError::Folder(shown.clone(), error))?;
        match crate::parse(&name, &shown, &text) {
            Ok(scenario) => scenarios.push(scenario),
            Err(found) => findings.extend(found),
        }
    }
    if findings.is_empty() { Ok(scenarios) } else { Err(LoadError::Findings(findings)) }
}

/// Why scenarios cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A folder or file.
    #[error("{0}: {1}")]
    Folder(String, std::io::Error),
    /// A name that no scenario of the folder has, and the nearest that one has.
    #[error("there is no scenario `{0}` in {1}{near}", near = .2.as_ref().map(|near| format!("; did you mean `{near}`?")).unwrap_or_default())]
    Unknown(String, String, Option<String>),
    /// A folder without any.
    #[error("{0}: there is no scenario in it: each is a folder with a scenario.yml")]
    Empty(String),
    /// What is wrong with the files.
    #[error("{} finding(s) in scenarios", .0.len())]
    Findings(Vec<Diagnostic>),
}

/// Runs scenarios, `jobs` clusters at a time; `told` hears of each as it ends. Those in which Apache Kafka takes
/// part come last and one by one: two clusters of JVMs beside each other lose their sessions for want of a
/// processor.
pub fn run_all(scenarios: &[Scenario], means: &Means, jobs: usize, told: &mut dyn FnMut(Outcome)) {
    let all = means.provider.starts_with(REFERENCE);
    let (slow, quick): (Vec<_>, Vec<_>) =
        groups(scenarios).into_iter().partition(|group| all || group.iter().any(|one| one.needs_reference()));
    run_queue(quick.into(), means, jobs, told);
    run_queue(slow.into(), &Means { runtime: Some("process".to_owned()), ..means.clone() }, 1, told);
}

fn run_queue(queue: VecDeque<Vec<&Scenario>>, means: &Means, jobs: usize, told: &mut dyn FnMut(Outcome)) {
    let queue = Mutex::new(queue);
    let (sender, outcomes) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            let (sender, queue) = (sender.clone(), &queue);
            scope.spawn(move || {
                loop {
                    let group = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some(group) = group else { return };
                    run_group(&group, means, &mut |outcome| drop(sender.send(outcome)));
                }
            });
        }
        drop(sender);
        outcomes.iter().for_each(told);
    });
}

/// Scenarios that share a cluster, the largest group first. Where providers change nobody comes after.
fn groups(scenarios: &[Scenario]) -> Vec<Vec<&Scenario>> {
    let mut groups: Vec<(&Shape, Vec<&Scenario>)> = Vec::new();
    for scenario in scenarios {
        let alone = |one: &Scenario| one.shape.fresh || one.needs_reference();
        let shared = groups.iter_mut().find(|(shape, group)| {
            **shape == scenario.shape && !alone(scenario) && !group.iter().any(|one| alone(one))
        });
        match shared {
            Some((_, group)) => group.push(scenario),
            None => groups.push((&scenario.shape, vec![scenario])),
        }
    }
    groups.sort_by_key(|(_, group)| std::cmp::Reverse(group.len()));
    groups.into_iter().map(|(_, group)| group).collect()
}

fn run_group(group: &[&Scenario], means: &Means, told: &mut dyn FnMut(Outcome)) {
    let mut cluster: Option<Project> = None;
    for (at, scenario) in group.iter().enumerate() {
        let began = Instant::now();
        let mut end = |result, began: Instant| {
            told(Outcome { name: scenario.name.clone(), result, took: began.elapsed() });
        };
        let mut project = match cluster.take() {
            Some(project) => project,
            None => match Project::up(&scenario.shape, means) {
                Ok(project) => project,
                Err((trouble, logs)) => {
                    let place = scenario.cluster_span.position().map(|at| format!("{at}: "));
                    let why = format!("{}the cluster did not start: {trouble}", place.unwrap_or_default());
                    end(Err(Failure { why, logs }), began);
                    continue;
                }
            },
        };
        let began = Instant::now();
        match run(scenario, &mut project) {
            Ok(sections) => {
                end(Ok(sections), began);
                // What cannot be tidied is not used again.
                if at + 1 < group.len() && tidy(scenario, &mut project).is_ok() {
                    cluster = Some(project);
                }
            }
            Err(failed) => {
                let logs = project.keep_logs();
                end(Err(Failure { why: failed.to_string(), logs }), began);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_of_one_shape_share_a_cluster_unless_they_want_a_fresh_one() {
        let scenario = |name: &str, cluster: &str| {
            let text = format!("protects: a\nsource: b\ncluster: {cluster}\nsteps: [{{ kill: node 1 }}]\n");
            crate::parse(name, "f", &text).unwrap()
        };
        let scenarios = [
            scenario("a", "{ brokers: 1 }"),
            scenario("b", "{ brokers: 3 }"),
            scenario("c", "{ brokers: 3, fresh: true }"),
            scenario("d", "{ brokers: 3 }"),
            scenario("e", "{ brokers: 3, fresh: true }"),
            scenario("f", "{ nodes: { 2: { provider: apache-kafka } } }"),
            scenario("g", "{ nodes: { 2: { provider: apache-kafka } } }"),
        ];
        let names: Vec<Vec<&str>> =
            groups(&scenarios).iter().map(|group| group.iter().map(|s| s.name.as_str()).collect()).collect();
        assert_eq!(names, [vec!["b", "d"], vec!["a"], vec!["c"], vec!["e"], vec!["f"], vec!["g"]]);
    }
}
