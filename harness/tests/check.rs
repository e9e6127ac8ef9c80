//! A three-broker cluster is held to its own file, a leader's SIGKILL included, on each runtime.

mod common;

use common::Cluster;

/// Every obligation of `check --disruptive` is kept, and none is skipped.
fn holds_on(runtime: &'static str) {
    let cluster = Cluster::up_on(runtime, &[]);
    let report = cluster.ok(&["check", "--disruptive"]);
    assert!(report.contains(" kept, 0 broken") && !report.contains("skipped"), "{report}");
    let again = cluster.run(&["up", "-d"]);
    let told = String::from_utf8_lossy(&again.stderr);
    assert!(again.status.success(), "{told}");
    for made in ["Created", "Started", "Recreated"] {
        assert!(!told.contains(made), "a second `up` changes nothing: {told}");
    }
}

#[test]
fn a_cluster_of_processes_keeps_what_its_file_promises() {
    holds_on("process");
}

#[test]
fn a_cluster_of_containers_keeps_what_its_file_promises() {
    if common::engine_answers("a_cluster_of_containers_keeps_what_its_file_promises") {
        holds_on("docker");
    }
}
