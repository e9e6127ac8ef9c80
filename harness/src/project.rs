//! The project a command is about: its file loaded and judged, the runtime that holds it, the spec for it.

use crate::cli::{Global, RuntimeChoice};
use crate::exit::{Exit, Result, Stop};
use crate::inside;
use crate::terminal::{Terminal, narrate};
use clap::ValueEnum as _;
use jackdaw_compose::{Diagnostic, LoadOptions, Project, Severity, has_errors, load, sort};
use jackdaw_conventions::{Cluster, excuse_others};
use jackdaw_runtime::docker::DockerRuntime;
use jackdaw_runtime::lower::lower;
use jackdaw_runtime::model::{LeftOut, ProjectSpec};
use jackdaw_runtime::process::host::ProcessRuntime;
use jackdaw_runtime::process::supervisor;
use jackdaw_runtime::runtime::Runtime;
use std::os::unix::fs::MetadataExt as _;

/// A loaded project.
pub struct Loaded {
    /// What the file says.
    pub project: Project,
    /// Its Kafka nodes.
    pub cluster: Cluster,
}

fn options(global: &Global) -> Result<LoadOptions> {
    Ok(LoadOptions {
        files: global.files.clone(),
        project_name: global.project_name.clone(),
        profiles: global.profiles.clone(),
        env_files: global.env_files.clone(),
        env: std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect(),
        working_dir: std::env::current_dir()?,
        project_directory: global.project_directory.clone(),
    })
}

/// Loads the project and says what is to be said about it.
///
/// # Errors
/// With exit code 2 where anything forbids a start.
pub fn loaded(global: &Global, terminal: &Terminal) -> Result<Loaded> {
    let read = load(&options(global)?);
    let mut diagnostics = read.diagnostics;
    let cluster = read.project.as_ref().map(Cluster::of);
    if let Some(project) = &read.project {
        excuse_others(project, &mut diagnostics);
    }
    diagnostics.extend(cluster.iter().flat_map(|cluster| cluster.diagnostics.clone()));
    sort(&mut diagnostics);
    tell(&diagnostics, terminal);
    match (read.project, cluster) {
        (Some(project), Some(cluster)) if !has_errors(&diagnostics) => Ok(Loaded { project, cluster }),
        _ => Err(Stop { exit: Exit::BadInput, message: String::new() }),
    }
}

/// Loads quietly for commands that work on what is there: only errors are said, and without a file the
/// project's name is enough.
///
/// # Errors
/// As [`loaded`].
pub fn for_existing(global: &Global, terminal: &Terminal) -> Result<(String, Option<Loaded>)> {
    let mut read = load(&options(global)?);
    if let Some(project) = &read.project {
        excuse_others(project, &mut read.diagnostics);
    }
    let errors: Vec<Diagnostic> =
        read.diagnostics.into_iter().filter(|diagnostic| diagnostic.severity == Severity::Error).collect();
    match (read.project, &global.project_name) {
        (Some(project), _) if errors.is_empty() => {
            let cluster = Cluster::of(&project);
            Ok((project.name.value.clone(), Some(Loaded { project, cluster })))
        }
        (_, Some(name)) if global.files.is_empty() => Ok((name.clone(), None)),
        _ => {
            tell(&errors, terminal);
            Err(Stop { exit: Exit::BadInput, message: String::new() })
        }
    }
}

/// Prints diagnostics as a person reads them.
pub fn tell(diagnostics: &[Diagnostic], terminal: &Terminal) {
    for diagnostic in diagnostics {
        narrate(&diagnostic.render(terminal.err, terminal.width));
    }
}

impl Loaded {
    /// What is there to work on, for commands that make nothing: its hashes are nobody's.
    pub fn spec_of_existing(&self) -> ProjectSpec {
        lower(&self.project, &self.cluster, "").0
    }

    /// What the runtime has to make of it.
    ///
    /// # Errors
    /// When the running program cannot be looked at.
    pub fn spec(&self, runtime: &dyn Runtime) -> Result<(ProjectSpec, Vec<LeftOut>)> {
        let build = match runtime.means()?.own_image {
            Some(image) => image,
            None => {
                let program = std::fs::metadata("/proc/self/exe")?;
                format!("{}-{}-{}", program.ino(), program.mtime_nsec(), program.size())
            }
        };
        Ok(lower(&self.project, &self.cluster, &build))
    }
}

/// The runtime that the command line or the environment names.
fn asked(global: &Global) -> Result<Option<RuntimeChoice>> {
    match (global.runtime, std::env::var("JACKDAW_RUNTIME").as_deref()) {
        (Some(choice), _) => Ok(Some(choice)),
        (None, Ok(name)) if !name.is_empty() => {
            let unknown =
                |_| Stop::bad_input(format!("JACKDAW_RUNTIME is `docker` or `process`, not `{name}`"));
            Ok(Some(RuntimeChoice::from_str(name, true).map_err(unknown)?))
        }
        _ => Ok(None),
    }
}

/// The runtime for nodes of these providers (words of `up --provider`): Apache Kafka runs as a process, wherever
/// else it might.
///
/// # Errors
/// As [`runtime`].
pub async fn runtime_for(
    global: &Global,
    project: &str,
    providers: &[String],
    terminal: &Terminal,
) -> Result<Box<dyn Runtime>> {
    let is_foreign = |word: &String| word.split_once('=').is_some_and(|(_, provider)| provider != "jackdaw");
    match asked(global)? {
        None if providers.iter().any(is_foreign) => Ok(Box::new(ProcessRuntime::new(inside::names())?)),
        _ => runtime(global, project, terminal).await,
    }
}

/// The runtime to use: the one asked for; else the one that holds the project already; else an engine that
/// answers; else processes.
///
/// # Errors
/// With exit code 3 where the one asked for does not answer.
pub async fn runtime(global: &Global, project: &str, terminal: &Terminal) -> Result<Box<dyn Runtime>> {
    match asked(global)? {
        Some(RuntimeChoice::Process) => return Ok(Box::new(ProcessRuntime::new(inside::names())?)),
        Some(RuntimeChoice::Docker) => return Ok(Box::new(DockerRuntime::connect(inside::names()).await?)),
        None => {}
    }
    let process = ProcessRuntime::new(inside::names());
    if let Ok(process) = &process
        && !supervisor::read_state(&process.dir(project)).is_empty()
    {
        return Ok(Box::new(process.clone()));
    }
    match DockerRuntime::connect(inside::names()).await {
        Ok(docker) => Ok(Box::new(docker)),
        Err(why) => {
            terminal.status(&format!("{why}; services run as processes"));
            Ok(Box::new(process?))
        }
    }
}
