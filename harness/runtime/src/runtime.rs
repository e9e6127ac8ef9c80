//! What a runtime can do, so that commands need not know which one they have.

use crate::logline::{LogLine, LogOptions};
use crate::model::{Instance, Observed, ProjectSpec, ServiceSpec};
use crate::plan::{Kind, Means, Step};
use crate::process::protocol::Event;
use crate::ready::{Findings, Look};
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

/// Why something was not done. The message is for the user.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// What was asked for cannot be, and it is the asker's to change it.
    #[error("{0}")]
    Refused(String),
    /// The machinery failed.
    #[error("{0}")]
    Failed(String),
    /// No engine, or no folder to work in.
    #[error("{0}")]
    Unavailable(String),
    /// A file or folder.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

impl RuntimeError {
    /// An I/O error with its path.
    pub fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| RuntimeError::Io { path, source }
    }
}

/// Result of a runtime's work.
pub type Result<T> = std::result::Result<T, RuntimeError>;

/// What became of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Done,
    /// Done, and this is worth knowing.
    Warned(Vec<String>),
    /// Not done, for this reason, and nothing is wrong with that.
    Kept(String),
    /// Services that are left out, and why.
    LeftOut(Vec<String>, String),
}

/// What stands in the way, found before anything was changed.
#[derive(Debug, Clone, Default)]
pub struct Preflight {
    /// Nothing may be started.
    pub errors: Vec<String>,
    /// Worth knowing.
    pub warnings: Vec<String>,
}

/// A command to run beside a service.
#[derive(Debug, Clone)]
pub struct ExecSpec {
    /// The words.
    pub command: Vec<String>,
    /// With a terminal.
    pub tty: bool,
    /// With our standard input.
    pub interactive: bool,
    /// In the background.
    pub detach: bool,
    /// Extra environment.
    pub env: Vec<String>,
    /// As that user.
    pub user: Option<String>,
    /// In that folder.
    pub working_dir: Option<String>,
}

/// Titles, and rows under them.
pub type Table = (Vec<String>, Vec<Vec<String>>);

/// A project as `ls` shows it.
#[derive(Debug, Clone, Default)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// The states of its containers, in Docker's words.
    pub states: Vec<String>,
    /// Its compose files, with `,` between them.
    pub config_files: String,
}

/// A place where services run.
pub trait Runtime: Send + Sync {
    /// Which one it is.
    fn kind(&self) -> Kind;

    /// What the planner has to know. Costs a look at the running program.
    fn means(&self) -> Result<Means>;

    /// What is there of a project. `spec` tells which images are of interest.
    fn observe<'a>(
        &'a self,
        project: &'a str,
        spec: Option<&'a ProjectSpec>,
    ) -> BoxFuture<'a, Result<Observed>>;

    /// Settles the host ports that the file leaves open, and what is advertised with them.
    fn settle_ports<'a>(
        &'a self,
        spec: &'a mut ProjectSpec,
        observed: &'a Observed,
    ) -> BoxFuture<'a, Result<()>>;

    /// Looks for what would fail later: taken ports, folders that cannot be written, volumes of another
    /// cluster. `starting` are the services that will be made or started.
    fn preflight<'a>(
        &'a self,
        spec: &'a ProjectSpec,
        starting: &'a [&'a ServiceSpec],
        observed: &'a Observed,
    ) -> BoxFuture<'a, Result<Preflight>>;

    /// Does one step. [`Step::Wait`] and [`Step::LeaveOut`] are not the runtime's.
    fn step<'a>(
        &'a self,
        project: &'a str,
        spec: Option<&'a ProjectSpec>,
        step: &'a Step,
    ) -> BoxFuture<'a, Result<Outcome>>;

    /// Called after the last step of a plan.
    fn finish<'a>(&'a self, project: &'a str) -> BoxFuture<'a, Result<()>>;

    /// An instance's log.
    fn logs<'a>(
        &'a self,
        project: &'a str,
        instance: &'a Instance,
        options: LogOptions,
    ) -> BoxStream<'static, LogLine>;

    /// What happens to the project's instances from now on.
    fn events<'a>(&'a self, project: &'a str) -> BoxFuture<'a, Result<BoxStream<'static, Event>>>;

    /// Runs a command beside a service; its exit code.
    fn exec<'a>(
        &'a self,
        project: &'a str,
        instance: &'a Instance,
        exec: ExecSpec,
    ) -> BoxFuture<'a, Result<i32>>;

    /// The processes of an instance: titles, and a row for each.
    fn top<'a>(&'a self, instance: &'a Instance) -> BoxFuture<'a, Result<Table>>;

    /// The projects of which anything is there.
    fn projects(&self) -> BoxFuture<'_, Result<Vec<Listed>>>;

    /// Whether that path is a folder in an instance.
    fn is_folder<'a>(
        &'a self,
        project: &'a str,
        instance: &'a Instance,
        path: &'a str,
    ) -> BoxFuture<'a, Result<bool>>;

    /// What lies at a path in an instance, as an archive whose entries begin with the path's last name.
    fn copy_out<'a>(
        &'a self,
        project: &'a str,
        instance: &'a Instance,
        path: &'a str,
    ) -> BoxFuture<'a, Result<Vec<u8>>>;

    /// Puts an archive's entries into a folder of an instance.
    fn copy_in<'a>(
        &'a self,
        project: &'a str,
        instance: &'a Instance,
        folder: &'a str,
        archive: Vec<u8>,
    ) -> BoxFuture<'a, Result<()>>;

    /// Runs a command beside a service and gives what it printed.
    fn capture<'a>(&'a self, instance: &'a Instance, command: Vec<String>) -> BoxFuture<'a, Result<String>>;

    /// Whether the file's healthcheck of a service passes now. A runtime that asks often enough by itself says no.
    fn passes_check<'a>(
        &'a self,
        service: &'a ServiceSpec,
        instance: &'a Instance,
    ) -> BoxFuture<'a, Result<bool>>;

    /// Names that a service resolves and this program's system does not.
    fn names(&self, spec: &ProjectSpec, service: &ServiceSpec) -> BTreeMap<String, IpAddr>;

    /// Looks at advertised addresses from inside the network, from where `from` stands, until all answer
    /// as they should or the time is over.
    fn look_from<'a>(
        &'a self,
        spec: &'a ProjectSpec,
        from: &'a ServiceSpec,
        looks: Vec<Look>,
        timeout_ms: u64,
    ) -> BoxFuture<'a, Result<Findings>>;
}
