//! The entrypoints of the images, step by step as their scripts call them: whoever replaces one of the steps, or calls
//! them one by one, finds the others as they were. Each family's steps are in one place here.

use super::node::{become_broker, configure, configured, ensure, plan};
use super::scripts;
use crate::cli::{Container, ContainerStep, Convention};
use crate::exit::{Exit, Result, Stop};
use jackdaw_beside::inside;
use jackdaw_conventions::{NodePlan, Provider};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// bitnami's variable that names the folder of scripts, and what it is without.
const SCRIPTS_VARIABLE: &str = "KAFKA_INITSCRIPTS_DIR";
const NOT_FOUND: u8 = 127;
const CANNOT_EXECUTE: u8 = 126;

/// `container`
pub fn run(call: Container) -> Result {
    let provider = match call.convention {
        Some(Convention::Bitnami) => Provider::Bitnami,
        Some(Convention::Apache) => Provider::Apache,
        Some(Convention::Confluent) => Provider::Confluent,
        None => from_environment(),
    };
    match call.step {
        ContainerStep::Entrypoint => entrypoint(provider, call.words),
        ContainerStep::Setup => setup(&plan(provider, &[])).map(|()| Exit::Done),
        ContainerStep::Run => start(provider, &call.words),
        ContainerStep::Configure => configure(&plan(provider, &[])).map(|_| Exit::Done),
        ContainerStep::Ensure => ensure(&plan(provider, &[])).map(|()| Exit::Done),
        ContainerStep::Launch => launch(&plan(provider, &[]), &call.words),
    }
}

fn from_environment() -> Provider {
    let names: Vec<String> = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect();
    Provider::of_environment(names.iter().map(String::as_str))
}

/// Starts a node where the command is the image's own (or nothing is); becomes any other command.
fn entrypoint(provider: Provider, words: Vec<String>) -> Result {
    let own = provider.layout().command;
    let words: Vec<String> = words.iter().map(|word| jackdaw_beside::shown(word).to_owned()).collect();
    let Some((first, rest)) = words.split_first() else { return start(provider, &[]) };
    // bitnami's entrypoint prepares a node wherever its run script is among the words, however it is called.
    let names_run =
        |word: &String| word.split_whitespace().any(|part| part == "run.sh" || part.ends_with("/run.sh"));
    if provider == Provider::Bitnami && words.iter().any(names_run) {
        let plan = plan(provider, &[]);
        setup(&plan)?;
        if own == [first] {
            return launch(&plan, rest);
        }
    } else if own == [first] {
        return start(provider, rest);
    }
    let here = jackdaw_beside::own_words(&words);
    let error = Command::new(&here[0]).args(&here[1..]).exec();
    let exit = match error.kind() {
        std::io::ErrorKind::NotFound => Exit::Command(NOT_FOUND),
        _ => Exit::Command(CANNOT_EXECUTE),
    };
    Err(Stop { exit, message: format!("{first}: {error}") })
}

/// All steps of a node, with the words of the image's run script.
fn start(provider: Provider, words: &[String]) -> Result {
    match provider {
        // The entrypoint has prepared it; whoever replaced the entrypoint has it prepared here.
        Provider::Bitnami if configured(provider).is_some() => launch(&plan(provider, &[]), words),
        Provider::Bitnami => {
            let plan = plan(provider, &[]);
            setup(&plan)?;
            launch(&plan, words)
        }
        // `run NAME=value…`: as if the environment said so.
        Provider::Apache | Provider::Confluent => {
            let (set, rest): (Vec<&String>, Vec<&String>) =
                words.iter().partition(|word| !word.starts_with('-') && word.contains('='));
            let pairs = set.into_iter().filter_map(|word| word.split_once('='));
            let more: Vec<(String, String)> =
                pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            let plan = plan(provider, &more);
            configure(&plan)?;
            ensure(&plan)?;
            launch(&plan, &rest.into_iter().cloned().collect::<Vec<_>>())
        }
    }
}

/// What bitnami's entrypoint does before its run script.
fn setup(plan: &NodePlan) -> Result<()> {
    configure(plan)?;
    ensure(plan)?;
    let named = std::env::var(SCRIPTS_VARIABLE).ok().filter(|named| !named.is_empty());
    let folder = named.as_deref().or(plan.init_scripts_dir);
    let volume = plan.provider.layout().volumes.first();
    match (folder, volume) {
        (Some(folder), Some(volume)) => scripts::run_once(&inside(folder), &inside(volume)),
        _ => Ok(()),
    }
}

/// Becomes the node, on the settings that were made.
fn launch(plan: &NodePlan, words: &[String]) -> Result {
    let made = plan.provider.layout().made_config;
    let Some(properties) = configured(plan.provider) else {
        return Err(Stop::failed(format!("{made} is not there: the configure step makes it")));
    };
    ensure(plan)?;
    let extra = std::env::var("KAFKA_EXTRA_FLAGS").ok().filter(|_| plan.provider == Provider::Bitnami);
    let extra = extra.iter().flat_map(|flags| flags.split_whitespace().map(str::to_owned));
    let flags: Vec<String> = extra.chain(words.iter().cloned()).collect();
    become_broker(plan, &properties, &flags)
}
