//! Compose text to a typed model with source spans.
//! It must not start anything or ask an engine: files and variables go in, a [`Project`] and diagnostics come out.

mod build;
mod canonical;
mod check;
mod codes;
mod complete;
mod diagnostic;
mod dotenv;
mod effect;
mod interpolate;
mod keys;
mod load;
mod merge;
mod model;
mod render;
mod schema;
mod short;
mod source;
mod suggest;
mod unheeded;
mod units;
pub mod yaml;

pub use codes::{Code, UnknownCode, explain};
pub use diagnostic::{Diagnostic, Severity, has_errors, sort};
pub use effect::{Case, Effect, Target};
pub use keys::{Key, keys};
pub use model::*;
pub use render::{to_config_json, to_config_yaml};
pub use source::{Position, Source, Span, Spanned};
pub use suggest::{edit_distance, nearest};
pub use unheeded::{Owner, Unheeded, told};
pub use units::bytes;

use std::collections::BTreeMap;
use std::path::PathBuf;

/// What is loaded, and from where.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// `-f`; empty: COMPOSE_FILE, else compose.yaml, compose.yml, docker-compose.yaml or docker-compose.yml
    /// (and its override file) in the working directory or a parent of it.
    pub files: Vec<PathBuf>,
    /// `-p`.
    pub project_name: Option<String>,
    /// `--profile`, beside COMPOSE_PROFILES.
    pub profiles: Vec<String>,
    /// `--env-file`; empty: `.env` in the project's directory.
    pub env_files: Vec<PathBuf>,
    /// The variables of the process.
    pub env: BTreeMap<String, String>,
    /// Where the search for a file starts, and what relative `files` are relative to.
    pub working_dir: PathBuf,
    /// `--project-directory`.
    pub project_directory: Option<PathBuf>,
}

/// A project, if there is one, and what is to be said about it. With an error among the diagnostics
/// nothing may be started, even where a project could be made out.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// None where the text could not be understood at all.
    pub project: Option<Project>,
    /// Errors first, then by place.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads, interpolates, merges and checks a project. Never fails: what is wrong is among the diagnostics.
pub fn load(options: &LoadOptions) -> Loaded {
    load::load(options)
}
