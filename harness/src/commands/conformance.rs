//! `conformance` and `record`: scenarios by name, a line for each, what differs side by side, a summary.

use super::differences;
use crate::cli::{Conformance, Global, Record, Rooms, RuntimeChoice};
use crate::exit::{Exit, Result, Stop};
use crate::project::tell;
use crate::terminal::{Terminal, result};
use jackdaw_runtime::clock;
use jackdaw_runtime::interrupt::Interrupts;
use jackdaw_runtime::process::reference::Release;
use jackdaw_runtime::runtime::RuntimeError;
use jackdaw_scenario::cluster::{self, Means, take_all_down, unless_ending};
use jackdaw_scenario::compare::compare;
use jackdaw_scenario::fixture::{Fixture, Unfit, reference};
use jackdaw_scenario::junit::{Case, Ended, report};
use jackdaw_scenario::model::{RELEASE, Scenario};
use jackdaw_scenario::run::Section;
use jackdaw_scenario::suite::{LoadError, Outcome, load, run_all};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// From here on Ctrl-C and SIGTERM take down what is up before the program ends.
fn end_tidily() {
    let (listening, listens) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let ended = crate::block_on(async {
            let mut interrupts = Interrupts::listen()?;
            let _ = listening.send(());
            interrupts.next().await;
            Ok(())
        });
        if ended.is_ok() {
            take_all_down();
            std::process::exit(i32::from(Exit::Interrupted.code()));
        }
    });
    // An error: it cannot listen, and ends as any program does.
    let _ = listens.recv();
}

fn scenarios(rooms: &Rooms, names: &[String], terminal: &Terminal) -> Result<Vec<Scenario>> {
    load(&rooms.scenarios, names).map_err(|error| {
        if let LoadError::Findings(findings) = &error {
            tell(findings, terminal);
        }
        Stop::bad_input(error.to_string())
    })
}

/// Refuses where that release cannot be run.
fn is_here(release: &Release) -> std::result::Result<(), RuntimeError> {
    Release::java().and_then(|()| release.libs()).map(drop)
}

/// The same for every release that these scenarios are held to.
fn are_here<'a>(scenarios: impl IntoIterator<Item = &'a Scenario>) -> std::result::Result<(), RuntimeError> {
    let names: BTreeSet<String> = scenarios.into_iter().map(|scenario| scenario.shape.reference()).collect();
    let releases = names.iter().filter_map(|name| Release::of_provider(name).ok().flatten());
    releases.into_iter().try_for_each(|release| is_here(&release))
}

/// Scenarios that are left out, with the reason: Apache Kafka takes part in them, and it is not here. A desk may
/// lack it; CI may not.
fn left_out(
    scenarios: &mut Vec<Scenario>,
    needs: impl Fn(&Scenario) -> bool,
) -> Result<Vec<(String, String)>> {
    if !scenarios.iter().any(&needs) {
        return Ok(Vec::new());
    }
    let Err(why) = are_here(scenarios.iter().filter(|one| needs(one))) else { return Ok(Vec::new()) };
    if std::env::var("CI").is_ok_and(|ci| ci == "true") {
        return Err(why.into());
    }
    let out =
        scenarios.iter().filter(|one| needs(one)).map(|one| (one.name.clone(), why.to_string())).collect();
    scenarios.retain(|one| !needs(one));
    Ok(out)
}

fn means(global: &Global, provider: &str) -> Result<Means> {
    let runtime = match global.runtime {
        Some(RuntimeChoice::Process) => Some("process".to_owned()),
        Some(RuntimeChoice::Docker) => Some("docker".to_owned()),
        None => None,
    };
    let alone = match Release::of_provider(provider).map_err(Stop::bad_input)? {
        None => vec!["broker".to_owned()],
        Some(release) => {
            let libs = release.libs().map_err(|error| Stop::failed(error.to_string()))?;
            vec!["apache-kafka".to_owned(), "--libs".to_owned(), libs.display().to_string()]
        }
    };
    let (program, provider) = (std::env::current_exe()?, provider.to_owned());
    Ok(Means { program, provider, reference: cluster::REFERENCE.to_owned(), runtime, alone })
}

/// Recordings of another release lie in a folder of their own, beside that of the release that counts elsewhere.
fn path(rooms: &Rooms, scenario: &Scenario) -> PathBuf {
    let folder = match scenario.shape.release.as_str() {
        RELEASE => rooms.fixtures.clone(),
        release => rooms.fixtures.with_file_name(format!("apache-kafka-{release}")),
    };
    folder.join(format!("{}.snap", scenario.name))
}

/// The recordings, which must be there and fit before anything is started.
fn fixtures(rooms: &Rooms, scenarios: &[Scenario]) -> Result<BTreeMap<String, Fixture>> {
    let (mut fixtures, mut faults) = (BTreeMap::new(), Vec::new());
    for scenario in scenarios {
        let path = path(rooms, scenario);
        let fixture = match fs::read_to_string(&path) {
            Ok(text) => Fixture::parse(&text).and_then(|fixture| fixture.fits(scenario).map(|()| fixture)),
            Err(_) => Err(Unfit::Absent { name: scenario.name.clone() }),
        };
        match fixture {
            Ok(fixture) => drop(fixtures.insert(scenario.name.clone(), fixture)),
            Err(why) => faults.push(format!("{}:{}: {why}", path.display(), why.line())),
        }
    }
    if faults.is_empty() { Ok(fixtures) } else { Err(Stop::bad_input(faults.join("\n       "))) }
}

fn shown(sections: &[Section]) -> String {
    sections.iter().map(|section| format!("## {}\n{}\n", section.title, section.text)).collect()
}

/// What is wrong with an outcome, if anything.
fn judged(outcome: &Outcome, scenario: &Scenario, fixture: &Fixture, provider: &str) -> Option<String> {
    let ours = match &outcome.result {
        Ok(sections) => sections,
        Err(failure) => return Some(failure.to_string()),
    };
    let named = if provider == "jackdaw" { scenario.differences.as_slice() } else { &[] };
    let differ = compare(&fixture.sections, ours, named);
    let told_by = if provider == "jackdaw" { "Jackdaw" } else { provider };
    let told: String = differ.iter().map(|step| step.side_by_side(&fixture.provider, told_by)).collect();
    (!differ.is_empty()).then_some(told)
}

/// `conformance`
pub fn run(global: &Global, wanted: &Conformance, terminal: Terminal) -> Result {
    let mut scenarios = scenarios(&wanted.rooms, &wanted.names, &terminal)?;
    if wanted.differences {
        return differences::run(&scenarios, wanted.into.as_deref());
    }
    let release = Release::of_provider(&wanted.provider).map_err(Stop::bad_input)?;
    let fixtures = fixtures(&wanted.rooms, &scenarios)?;
    release.as_ref().map_or(Ok(()), is_here)?;
    let skipped = left_out(&mut scenarios, Scenario::needs_reference)?;
    skipped.iter().for_each(|(name, why)| result(&format!("skipped {name}: {why}")));
    end_tidily();
    let means = means(global, &wanted.provider)?;
    let mut cases = Vec::new();
    run_all(&scenarios, &means, wanted.jobs, &mut |outcome| {
        let scenario = scenarios.iter().find(|scenario| scenario.name == outcome.name);
        let (Some(scenario), Some(fixture)) = (scenario, fixtures.get(&outcome.name)) else { return };
        let failure = judged(&outcome, scenario, fixture, &wanted.provider);
        line(&outcome, failure.as_deref(), "differs");
        if let (true, Ok(sections)) = (wanted.show, &outcome.result) {
            result(&shown(sections));
        }
        cases.push(Case { name: outcome.name, took: outcome.took, ended: failure.into() });
    });
    unless_ending();
    let without_run = |(name, why)| Case { name, took: Duration::ZERO, ended: Ended::Skipped(why) };
    cases.extend(skipped.into_iter().map(without_run));
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(file) = &wanted.junit {
        fs::write(file, report(&wanted.provider, &cases))
            .map_err(|error| Stop::failed(format!("{}: {error}", file.display())))?;
    }
    let differences: usize = scenarios.iter().map(|scenario| scenario.differences.len()).sum();
    Ok(summed_up(&cases, if release.is_none() { differences } else { 0 }))
}

fn summed_up(cases: &[Case], differences: usize) -> Exit {
    let names = |wanted: fn(&Ended) -> bool| -> Vec<&str> {
        cases.iter().filter(|case| wanted(&case.ended)).map(|case| case.name.as_str()).collect()
    };
    let failed = names(|ended| matches!(ended, Ended::Failed(_)));
    let skipped = names(|ended| matches!(ended, Ended::Skipped(_)));
    let mut sum = format!(
        "{} of {} scenarios answer as Apache Kafka did, {differences} named difference(s)",
        cases.len() - failed.len() - skipped.len(),
        cases.len()
    );
    if !skipped.is_empty() {
        sum += &format!(", {} skipped", skipped.len());
    }
    result(&sum);
    if failed.is_empty() {
        return Exit::Done;
    }
    result(&format!("not: {}", failed.join(", ")));
    Exit::Failed
}

fn line(outcome: &Outcome, failure: Option<&str>, word: &str) {
    let word = match (failure, &outcome.result) {
        (None, _) => "ok",
        (Some(_), Ok(_)) => word,
        (Some(_), Err(_)) => "failed",
    };
    result(&format!("{word:7} {:40} {:6.1} s", outcome.name, outcome.took.as_secs_f32()));
    if let Some(failure) = failure {
        result(failure.trim_end());
    }
}

/// `record`
pub fn record(global: &Global, wanted: &Record, terminal: Terminal) -> Result {
    let scenarios = scenarios(&wanted.rooms, &wanted.names, &terminal)?;
    are_here(&scenarios)?;
    let means = means(global, cluster::REFERENCE)?;
    end_tidily();
    let date = clock::rfc3339(clock::now_ns()).split('T').next().unwrap_or_default().to_owned();
    let mut trouble = Vec::new();
    run_all(&scenarios, &means, 1, &mut |outcome| {
        let scenario = scenarios.iter().find(|scenario| scenario.name == outcome.name);
        let kept = match (&outcome.result, scenario) {
            (Ok(sections), Some(scenario)) => {
                let fixture = Fixture {
                    provider: reference(scenario),
                    date: date.clone(),
                    digest: scenario.digest.clone(),
                    sections: sections.clone(),
                };
                let path = path(&wanted.rooms, scenario);
                let made = path.parent().map_or(Ok(()), fs::create_dir_all);
                made.and_then(|()| fs::write(&path, fixture.to_text(&outcome.name)))
                    .map_err(|error| format!("{}: {error}", path.display()))
            }
            (Err(failure), _) => Err(failure.to_string()),
            (Ok(_), None) => Ok(()),
        };
        line(&outcome, kept.as_ref().err().map(String::as_str), "failed");
        if kept.is_err() {
            trouble.push(outcome.name.clone());
        }
    });
    unless_ending();
    result(&format!("{} of {} scenarios recorded", scenarios.len() - trouble.len(), scenarios.len()));
    Ok(if trouble.is_empty() { Exit::Done } else { Exit::Failed })
}
