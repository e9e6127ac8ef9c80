//! Kafka nodes from compose files: what each image makes of its environment, and what is said before a start.

mod alarms;
mod clusters;
mod commands;
mod images;
mod traps;
mod unheard;
mod zookeeper;

use std::path::Path;

use jackdaw_compose::{LoadOptions, Project, Severity, load};
use jackdaw_conventions::Cluster;

/// A project `p` from one text; the text must be a good compose file.
fn project(dir: &Path, text: &str) -> Project {
    std::fs::write(dir.join("compose.yml"), text).expect("a file");
    let options = LoadOptions {
        working_dir: dir.to_path_buf(),
        project_name: Some(String::from("p")),
        ..LoadOptions::default()
    };
    let loaded = load(&options);
    assert!(!jackdaw_compose::has_errors(&loaded.diagnostics), "{:#?}\n{text}", loaded.diagnostics);
    loaded.project.expect("it loads")
}

fn cluster(text: &str) -> Cluster {
    let dir = tempfile::tempdir().expect("a temporary folder");
    Cluster::of(&project(dir.path(), text))
}

/// Findings at or above a severity, one a line.
fn said(cluster: &Cluster, least: Severity) -> String {
    let found = cluster.diagnostics.iter().filter(|d| d.severity >= least);
    found.map(|d| format!("{d}\n")).collect()
}
