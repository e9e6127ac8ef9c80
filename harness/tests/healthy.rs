//! `jackdaw healthy` is true when the node serves, and only then: neither one that has joined nothing yet, nor one that
//! hangs, nor one that is gone passes for well.

#![allow(clippy::unwrap_used, reason = "a panic in a test's helper is the failure report")]

mod support;

use rustix::process::Signal;
use std::process::Output;
use std::time::Instant;
use support::{PATIENCE, Project, said, signal};

fn healthy(project: &Project) -> Output {
    let properties = project.state("instances/jd-healthy-one-1/server.properties");
    project.run(&format!("healthy --timeout-ms 500 {}", properties.display()))
}

fn until(project: &Project, well: bool, words: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let output = healthy(project);
        let code = if well { 0 } else { 1 };
        if output.status.code() == Some(code) && said(&output).contains(words) {
            return;
        }
        assert!(Instant::now() < deadline, "{well}, `{words}`: {}", said(&output));
    }
}

#[test]
fn a_node_is_well_when_it_serves_and_only_then() {
    let project = Project::of_brokers("healthy");
    project.ok("up --no-start");
    assert!(said(&healthy(&project)).contains("no node runs here"), "it was never started");

    // One voter of two: its port is open, and there is no cluster to be part of.
    project.ok("start one");
    until(&project, false, "no answer within 500 ms");
    project.ok("start two");
    until(&project, true, "");

    let node = project.pid("one");
    signal(node, Signal::STOP);
    until(&project, false, "no answer within 500 ms");
    signal(node, Signal::CONT);
    until(&project, true, "");
    project.ok("kill one");
    until(&project, false, "no node runs here");
}
