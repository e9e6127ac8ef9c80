//! The project a command is about: its file loaded and judged, the runtime that holds it, the spec for it.

use crate::cli::{Global, RuntimeChoice, ZooKeeperChoice};
use crate::exit::{Exit, Result, Stop};
use crate::inside;
use crate::terminal::{Terminal, narrate};
use clap::ValueEnum as _;
use jackdaw_compose::{
    Code, Diagnostic, LoadOptions, MountKind, Owner, Project, Severity, Target, Unheeded, has_errors, load,
    sort,
};
use jackdaw_conventions::{Cluster, ZooKeeper, excuse_others};
use jackdaw_runtime::docker::DockerRuntime;
use jackdaw_runtime::lower::lower;
use jackdaw_runtime::model::{LeftOut, ProjectSpec, ServiceSpec};
use jackdaw_runtime::plan::{Kind, Means};
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
    /// What was said about it.
    said: Vec<Diagnostic>,
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

fn cluster_of(global: &Global, project: &Project) -> Cluster {
    let policy = match global.zookeeper {
        ZooKeeperChoice::Replace => ZooKeeper::Replace,
        ZooKeeperChoice::Refuse => ZooKeeper::Refuse,
    };
    Cluster::with(project, policy)
}

/// Whether nodes start on their settings now, and on those of a broker of ours.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Nodes {
    Start,
    /// They are made and do not start, or something else may run in our broker's place: what it would refuse is no more
    /// than a warning.
    May,
}

/// Loads the project and says what is to be said about it.
///
/// # Errors
/// With exit code 2 where anything forbids a start.
pub fn loaded(global: &Global, nodes: Nodes, terminal: &Terminal) -> Result<Loaded> {
    let read = load(&options(global)?);
    let mut diagnostics = read.diagnostics;
    let cluster = read.project.as_ref().map(|project| cluster_of(global, project));
    if let Some(project) = &read.project {
        excuse_others(project, &mut diagnostics);
    }
    diagnostics.extend(cluster.iter().flat_map(|cluster| cluster.diagnostics.clone()));
    if let (Some(project), Some(cluster)) = (&read.project, &cluster) {
        let mut refused = crate::settings::refused(project, cluster);
        if nodes == Nodes::May {
            refused.iter_mut().for_each(|found| found.severity = Severity::Warning);
        }
        diagnostics.extend(refused);
    }
    sort(&mut diagnostics);
    tell(&diagnostics, terminal);
    match (read.project, cluster) {
        (Some(project), Some(cluster)) if !has_errors(&diagnostics) => {
            Ok(Loaded { project, cluster, said: diagnostics })
        }
        _ => Err(Stop { exit: Exit::BadInput, message: String::new() }),
    }
}

/// Loads what `config` prints: the file is understood, whatever becomes of Kafka in it. With `judged`, what is to be said
/// of that is said.
///
/// # Errors
/// With exit code 2 where the file itself is not understood.
pub fn loaded_text(global: &Global, terminal: &Terminal, judged: bool) -> Result<Loaded> {
    let read = load(&options(global)?);
    let is_understood = !has_errors(&read.diagnostics);
    let mut diagnostics = read.diagnostics;
    let cluster = read.project.as_ref().map(|project| cluster_of(global, project));
    if let (Some(project), Some(cluster), true) = (&read.project, &cluster, judged) {
        diagnostics.extend(cluster.diagnostics.clone());
        diagnostics.extend(crate::settings::refused(project, cluster));
    }
    sort(&mut diagnostics);
    tell(&diagnostics, terminal);
    match (read.project, cluster) {
        (Some(project), Some(cluster)) if is_understood => Ok(Loaded { project, cluster, said: diagnostics }),
        _ => Err(Stop { exit: Exit::BadInput, message: String::new() }),
    }
}

/// The variables of this process.
pub fn variables(global: &Global) -> Result<std::collections::BTreeMap<String, String>> {
    Ok(options(global)?.env)
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
            let cluster = cluster_of(global, &project);
            Ok((project.name.value.clone(), Some(Loaded { project, cluster, said: Vec::new() })))
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

    /// Says which keys of the services that run, and of what they use, have no effect there. That an image is not built,
    /// but another one assumed, was said before.
    pub fn tell_unheeded(&self, on: Kind, running: &[&ServiceSpec], terminal: &Terminal) {
        let target = match on {
            Kind::Docker => Target::Docker,
            Kind::Process => Target::Process,
        };
        let is_said = |key: &Unheeded| {
            let assumed = self.said.iter().filter(|said| said.code == Code::AssumedImage);
            let mut places = assumed.flat_map(|said| {
                std::iter::once(&said.span).chain(said.related.iter().map(|(span, _)| span))
            });
            !key.value.is_nowhere() && places.any(|place| place.position() == key.value.position())
        };
        let keys = self.project.unheeded.iter().filter(|key| concerns(key, running) && !is_said(key));
        tell(&jackdaw_compose::told(keys, target), terminal);
    }

    /// The services that a runtime of that kind runs.
    pub fn running_on<'a>(&self, kind: Kind, spec: &'a ProjectSpec) -> Vec<&'a ServiceSpec> {
        let has_tools = !inside::names().kafka.is_empty();
        let means = Means { kind, own_image: None, has_tools };
        spec.services.iter().filter(|service| means.runs(service)).collect()
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

/// Whether a key is one of those services', or of something that they use.
fn concerns(key: &Unheeded, running: &[&ServiceSpec]) -> bool {
    running.iter().any(|service| {
        let compose = &service.compose;
        let is_owner = match &key.owner {
            Owner::Project => true,
            Owner::Service(name) => service.name == *name,
            Owner::Network(network) => compose.networks.iter().any(|on| on.key.value == *network),
            Owner::Volume(volume) => {
                compose.mounts.iter().any(|mount| mount.kind == MountKind::Volume(volume.clone()))
            }
            Owner::Secret(secret) => compose.secrets.iter().any(|mount| mount.source.value == *secret),
            Owner::Config(config) => compose.configs.iter().any(|mount| mount.source.value == *config),
        };
        is_owner && (!key.only_kafka || service.stands_in.is_some())
    })
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
    let (runtime, why) = found(project).await?;
    if let Some(why) = why {
        terminal.status(&format!("{why}; services run as processes"));
    }
    Ok(runtime)
}

/// The runtime that is asked for, else all that answer.
///
/// # Errors
/// With exit code 3 where the one asked for does not answer.
pub async fn runtimes(global: &Global) -> Result<Vec<Box<dyn Runtime>>> {
    if asked(global)?.is_some() {
        let any = Terminal::detect(true);
        return Ok(vec![runtime(global, "", &any).await?]);
    }
    let mut all: Vec<Box<dyn Runtime>> = vec![Box::new(ProcessRuntime::new(inside::names())?)];
    if let Ok(docker) = DockerRuntime::connect(inside::names()).await {
        all.push(Box::new(docker));
    }
    Ok(all)
}

/// The kind of the runtime that [`runtime`] would give. Nothing is said, and one that was asked for need not answer.
///
/// # Errors
/// When neither is there.
pub async fn kind(global: &Global, project: &str) -> Result<Kind> {
    Ok(match asked(global)? {
        Some(RuntimeChoice::Process) => Kind::Process,
        Some(RuntimeChoice::Docker) => Kind::Docker,
        None => found(project).await?.0.kind(),
    })
}

/// The runtime where none is asked for; why it is not an engine, where none answers.
async fn found(project: &str) -> Result<(Box<dyn Runtime>, Option<String>)> {
    let process = ProcessRuntime::new(inside::names());
    if let Ok(process) = &process
        && !supervisor::read_state(&process.dir(project)).is_empty()
    {
        return Ok((Box::new(process.clone()), None));
    }
    match DockerRuntime::connect(inside::names()).await {
        Ok(docker) => Ok((Box::new(docker), None)),
        Err(why) => Ok((Box::new(process?), Some(why.to_string()))),
    }
}
