//! The options of Docker Compose's words that look at a project, copy, and run something once.

use super::Format;
use clap::Args;

/// `run`
#[derive(Debug, Args)]
pub struct Run {
    /// For scripts of Docker Compose: its container goes when the command ends
    #[arg(long, hide = true)]
    pub rm: bool,
    /// In the background, and its container stays
    #[arg(short, long)]
    pub detach: bool,
    /// Refused: the command has no standard input
    #[arg(short, long, hide = true)]
    pub interactive: bool,
    /// Refused: the command has no terminal
    #[arg(short, long, hide = true)]
    pub tty: bool,
    /// Without a terminal, as it is anyway
    #[arg(short = 'T', long = "no-tty", hide = true)]
    pub no_tty: bool,
    /// Extra variable
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub env: Vec<String>,
    /// As that user
    #[arg(short, long)]
    pub user: Option<String>,
    /// In that folder
    #[arg(short, long)]
    pub workdir: Option<String>,
    /// In place of the service's entrypoint
    #[arg(long)]
    pub entrypoint: Option<String>,
    /// Without the services that it depends on
    #[arg(long)]
    pub no_deps: bool,
    /// The service
    pub service: String,
    /// The command and its arguments; the service's own without
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<String>,
}

/// `ls`
#[derive(Debug, Args)]
pub struct Ls {
    /// Also those of which nothing runs
    #[arg(short, long)]
    pub all: bool,
    /// Names only
    #[arg(short, long)]
    pub quiet: bool,
    /// How it is printed
    #[arg(long, value_enum, default_value = "table")]
    pub format: Format,
    /// Only those of which that is so: name=TEXT
    #[arg(long, value_name = "FILTER")]
    pub filter: Vec<String>,
}

/// `cp`
#[derive(Debug, Args)]
pub struct Cp {
    /// For scripts of Docker Compose: each service has one container
    #[arg(long, hide = true, value_name = "NUMBER")]
    pub index: Option<u32>,
    /// For scripts of Docker Compose: links are followed
    #[arg(short = 'L', long, hide = true)]
    pub follow_link: bool,
    /// SERVICE:PATH, or a path of this machine
    pub source: String,
    /// The other of the two
    pub target: String,
}

/// `build`
#[derive(Debug, Args)]
pub struct Build {
    /// For scripts of Docker Compose
    #[arg(long, hide = true)]
    pub pull: bool,
    /// For scripts of Docker Compose
    #[arg(long, hide = true)]
    pub no_cache: bool,
    /// Say nothing
    #[arg(short, long)]
    pub quiet: bool,
    /// Only these services
    pub services: Vec<String>,
}
