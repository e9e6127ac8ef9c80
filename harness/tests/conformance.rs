//! `conformance` from the outside: what is wrong is told with its place and a remedy, and no cluster stays up.

#![allow(clippy::unwrap_used, reason = "a panic in a test's helper is the failure report")]

use jackdaw_scenario::fixture::{Fixture, reference};
use jackdaw_scenario::run::Section;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Scenarios and recordings of a test's own. Whatever a run leaves behind lies in there too.
struct Rooms(tempfile::TempDir);

impl Rooms {
    fn new() -> Self {
        Rooms(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A scenario on one node, with a recording that fits it.
    fn recorded(&self, name: &str, settings: &str, steps: &str) {
        let cluster = format!("{{ brokers: 1, settings: {{ {settings} }} }}");
        let text = format!("protects: a\nsource: b\ncluster: {cluster}\nsteps:\n{steps}");
        let scenario = jackdaw_scenario::parse(name, "f", &text).unwrap();
        let section = |step: &jackdaw_scenario::model::Step| Section {
            title: step.title.clone(),
            text: "(something else)\n".into(),
        };
        let fixture = Fixture {
            provider: reference(&scenario),
            date: "2026-01-02".into(),
            digest: scenario.digest.clone(),
            sections: scenario.steps.iter().map(section).collect(),
        };
        self.write(&format!("scenarios/{name}/scenario.yml"), &text);
        self.write(&format!("fixtures/{name}.snap"), &fixture.to_text(name));
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_jackdaw"));
        command
            .args(["--runtime", "process", "conformance", "--fixtures", "fixtures"])
            .args(words)
            .current_dir(self.0.path())
            .env("TMPDIR", self.0.path())
            .env("CI", "");
        command
    }

    /// Exit code, and everything that was said.
    fn run(&self, words: &[&str]) -> (Option<i32>, String) {
        let output = self.command(words).output().unwrap();
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
        (output.status.code(), said)
    }

    /// Folders of clusters.
    fn folders(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.0.path()).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.to_string_lossy().contains("jackdaw-scenario-")).collect()
    }

    /// The one kept folder of a cluster.
    fn kept(&self) -> PathBuf {
        let kept = self.folders();
        assert_eq!(kept.len(), 1, "{kept:?}");
        kept.into_iter().next().unwrap()
    }

    /// Fails while a process has anything to do with these rooms.
    fn is_quiet(&self) {
        let root = self.0.path().to_string_lossy().into_owned();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let words = String::from_utf8_lossy(&words).replace('\0', " ");
            assert!(!words.contains(&root), "still there: {words}");
        }
    }
}

fn log_of(folder: &Path) -> String {
    fs::read_to_string(folder.join("cluster.log")).unwrap()
}

#[test]
fn faults_of_the_input_are_told_before_anything_starts() {
    let rooms = Rooms::new();
    let steps = "  - await: all nodes are registered\n";
    for name in ["good", "other-version", "stale", "no-recording"] {
        rooms.recorded(name, "", steps);
    }
    let edited = |name: &str, from: &str, to: &str| {
        let path = rooms.0.path().join(format!("fixtures/{name}.snap"));
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(path, text.replace(from, to)).unwrap();
    };
    edited("other-version", "Apache Kafka 3.7.0", "Apache Kafka 3.9.0");
    edited("stale", "scenario: ", "scenario: 0");
    fs::remove_file(rooms.0.path().join("fixtures/no-recording.snap")).unwrap();
    rooms.write("wrong/step/scenario.yml", "protects: a\nsource: b\nsteps:\n  - requst: Metadata\n");
    rooms.write("wrong/wait/scenario.yml", "protects: a\nsource: b\nsteps:\n  - await: leader of t-0 is 9\n");
    fs::create_dir(rooms.0.path().join("empty")).unwrap();
    let cases: [(&[&str], &[&str]); 9] = [
        (&["--scenarios", "wrong", "step"], &["wrong/step/scenario.yml:4:5", "did you mean `request`?"]),
        (&["--scenarios", "wrong", "wait"], &["wrong/wait/scenario.yml:4:12", "the cluster has no broker 9"]),
        (&["other-version"], &["fixtures/other-version.snap:2: ", "3.9.0", "`jackdaw record other-version`"]),
        (&["stale"], &["fixtures/stale.snap:5: ", "`jackdaw record stale`"]),
        (&["no-recording"], &["fixtures/no-recording.snap:1: ", "`jackdaw record no-recording`"]),
        (&["goood"], &["no scenario `goood` in scenarios", "did you mean `good`?"]),
        (&["--scenarios", "empty"], &["empty", "no scenario"]),
        (&["--provider", "kafka", "good"], &["no provider is called `kafka`", "apache-kafka[:VERSION]"]),
        (
            &["--provider", "apache-kafka:2.8.0", "good"],
            &["`2.8.0` is no release of Apache Kafka from 3.3.0 on"],
        ),
    ];
    for (words, expected) in cases {
        let (code, said) = rooms.run(words);
        assert_eq!(code, Some(2), "{words:?}: {said}");
        expected.iter().for_each(|part| assert!(said.contains(part), "{words:?} lacks {part}: {said}"));
    }
    rooms.is_quiet();
}

#[test]
fn a_wait_in_vain_names_its_step_and_leaves_only_logs() {
    let rooms = Rooms::new();
    rooms.recorded("vain", "", "  - await: topic t is there\n    within: 1\n");
    let (code, said) = rooms.run(&["vain", "--junit", "report.xml"]);
    assert_eq!(code, Some(1), "{said}");
    let place = "scenarios/vain/scenario.yml:5:5: await topic t is there: not within 1 s: node 1: topic t: 3 UNKNOWN_TOPIC_OR_PARTITION";
    let folder = rooms.kept();
    let logs = format!("its logs are in {}", folder.join("cluster.log").display());
    assert!(said.contains(place) && said.contains(&logs), "{said}");
    assert!(log_of(&folder).contains("Kafka Server started"), "{}", log_of(&folder));
    let report = fs::read_to_string(rooms.0.path().join("report.xml")).unwrap();
    assert!(report.contains("failures=\"1\"") && report.contains("not within 1 s"), "{report}");
    rooms.is_quiet();
}

#[test]
fn a_run_that_is_ended_takes_its_clusters_down() {
    let rooms = Rooms::new();
    rooms.recorded("long", "", "  - await: topic t is there\n    within: 600\n");
    let mut run = rooms.command(&["long"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // Ended while the cluster comes up, or just after.
    while rooms.folders().is_empty() {
        assert!(run.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::yield_now();
    }
    let id = rustix::process::Pid::from_child(&run);
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(130));
    assert!(rooms.folders().is_empty(), "{:?}", rooms.folders());
    rooms.is_quiet();
}

#[test]
fn a_cluster_that_does_not_start_is_told_with_the_scenario_and_taken_down() {
    let rooms = Rooms::new();
    rooms.recorded("dead", "num.partitions: many", "  - await: all nodes are registered\n");
    let (code, said) = rooms.run(&["dead"]);
    assert_eq!(code, Some(1), "{said}");
    let folder = rooms.kept();
    let logs = format!("its logs are in {}", folder.join("cluster.log").display());
    for part in ["scenarios/dead/scenario.yml:3:10: the cluster did not start", "num.partitions", &logs] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(folder.join("cluster.log").is_file(), "{said}");
    rooms.is_quiet();
}

#[test]
fn what_differs_is_shown_with_its_step_and_nothing_is_left() {
    let rooms = Rooms::new();
    rooms.recorded(
        "differs",
        "",
        "  - { name: who is there, request: DescribeCluster, redact: [brokers] }\n",
    );
    let (code, said) = rooms.run(&["differs"]);
    assert_eq!(code, Some(1), "{said}");
    for part in ["differs differs", "step: who is there", "(something else)", "0 of 1 scenarios answer"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("its logs are in"), "a cluster that worked leaves nothing: {said}");
    rooms.is_quiet();
}

#[test]
fn without_a_jvm_scenarios_that_need_one_are_skipped_by_name_and_fail_in_ci() {
    let rooms = Rooms::new();
    rooms.recorded("mixed", "", "  - { provider: apache-kafka, node: node 1 }\n");
    let run = |ci: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_jackdaw"))
            .args(["conformance", "--fixtures", "fixtures"])
            .current_dir(rooms.0.path())
            .env("PATH", rooms.0.path())
            .env("CI", ci)
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
        (output.status.code(), said)
    };
    let (code, said) = run("");
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("skipped mixed: Apache Kafka needs Java 17") && said.contains("1 skipped"),
        "{said}"
    );
    let (code, said) = run("true");
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("Apache Kafka needs Java 17"), "{said}");
}
