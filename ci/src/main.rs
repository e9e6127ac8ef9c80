//! The gate: every check that lands or refuses a change, in one program.
//!
//! `cargo run -p ci` runs the steps of [`STEPS`] in order and ends with one summary; `-- full` runs the long ones
//! in place of their short forms and keeps the result in `fixtures/results`; apart from the gate, `-- suites` has other
//! people's tests judge, and `-- samples` brings other people's compose files up. The same program runs at a desk and in
//! CI; under `CI=true` a part that the machine lacks (a Docker engine, a JVM) is a failure and not a skip. It starts
//! nothing that it does not end.

mod conformance;
mod dependencies;
mod results;
mod samples;
mod suites;
mod tidy;

use anyhow::Context as _;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

/// In which of the gate's two sizes a step runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Size {
    /// In both.
    Always,
    /// At every landing.
    Landing,
    /// In `full`, in place of the short form.
    Full,
}

/// What a step that passed has to say; often nothing.
type Outcome = anyhow::Result<String>;

/// One step of the gate.
struct Step {
    name: &'static str,
    size: Size,
    /// What the step protects, shown by `cargo run -p ci -- list`.
    why: &'static str,
    run: fn() -> Outcome,
}

/// A step that was run.
struct Done {
    name: &'static str,
    took: Duration,
    outcome: Outcome,
}

/// The gate, in the order in which it runs: the quick refusals first.
const STEPS: &[Step] = &[
    Step { name: "format", size: Size::Always, why: "one layout of the code", run: format },
    Step {
        name: "tidy",
        size: Size::Always,
        why: "the invariants and house rules of ARCHITECTURE.md",
        run: tidy::run,
    },
    Step {
        name: "dependencies",
        size: Size::Always,
        why: "no unused dependency, no unexplained duplicate, no unknown licence",
        run: dependencies::run,
    },
    Step { name: "clippy", size: Size::Always, why: "no warning in any target", run: clippy },
    Step { name: "tests", size: Size::Always, why: "every test of the workspace", run: tests },
    Step {
        name: "fuzz-all",
        size: Size::Full,
        why: "ten minutes of each test that makes up what it reads; the tests run them for seconds",
        run: fuzz,
    },
    Step {
        name: "differences",
        size: Size::Always,
        why: "the README's table of differences is that of the scenarios",
        run: conformance::differences,
    },
    Step {
        name: "conformance",
        size: Size::Always,
        why: "every scenario is answered as Apache Kafka 3.7.0 answered it",
        run: conformance::processes,
    },
    Step {
        name: "conformance-docker",
        size: Size::Landing,
        why: "so are some on a Docker engine",
        run: conformance::docker,
    },
    Step {
        name: "reference",
        size: Size::Landing,
        why: "Apache Kafka itself still answers some as recorded",
        run: conformance::reference,
    },
    Step {
        name: "conformance-docker-all",
        size: Size::Full,
        why: "every scenario is answered alike on a Docker engine",
        run: conformance::docker_all,
    },
    Step {
        name: "reference-all",
        size: Size::Full,
        why: "Apache Kafka itself still answers every scenario as recorded",
        run: conformance::reference_all,
    },
    Step { name: "image", size: Size::Full, why: "the image of a release is under 25 MB", run: image },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => closed(&gate(|step| step.size != Size::Full)),
        ["full"] => {
            let done = gate(|step| step.size != Size::Landing);
            match results::keep(&done) {
                Ok(file) => eprintln!("the result is in {}", file.display()),
                Err(error) => {
                    eprintln!("the result could not be kept: {error:#}");
                    return ExitCode::FAILURE;
                }
            }
            closed(&done)
        }
        ["list"] => {
            list();
            ExitCode::SUCCESS
        }
        ["suites", words @ ..] => suites::main(words),
        ["samples", words @ ..] => samples::main(words),
        names if names.iter().all(|name| STEPS.iter().any(|step| step.name == *name)) => {
            closed(&gate(|step| names.contains(&step.name)))
        }
        _ => {
            eprintln!(
                "usage: cargo run -p ci [-- list | full | STEP … | suites … | samples FOLDER]; the steps are:"
            );
            list();
            ExitCode::from(2)
        }
    }
}

fn list() {
    for step in STEPS {
        let when = match step.size {
            Size::Always => "",
            Size::Landing => " (not in `full`)",
            Size::Full => " (in `full` alone)",
        };
        println!("{:23} {}{when}", step.name, step.why);
    }
    println!(
        "and, apart from the gate, `suites [NAME …]`: other people's tests on Apache Kafka and on Jackdaw"
    );
    suites::list();
    println!(
        "and `samples FOLDER`: what becomes of the compose files in a folder, as a table in fixtures/samples.md"
    );
}

fn gate(chosen: impl Fn(&Step) -> bool) -> Vec<Done> {
    let mut all = Vec::new();
    for step in STEPS.iter().filter(|step| chosen(step)) {
        eprintln!("── {}: {}", step.name, step.why);
        let start = Instant::now();
        let outcome = (step.run)();
        let took = start.elapsed();
        match &outcome {
            Ok(said) if said.is_empty() => eprintln!("   ok, {:.1} s", took.as_secs_f32()),
            Ok(said) => eprintln!("   ok, {:.1} s: {said}", took.as_secs_f32()),
            Err(error) => eprintln!("   FAILED after {:.1} s: {error:#}", took.as_secs_f32()),
        }
        all.push(Done { name: step.name, took, outcome });
    }
    all
}

/// The one summary.
fn closed(done: &[Done]) -> ExitCode {
    let failed: Vec<&str> = done.iter().filter(|step| step.outcome.is_err()).map(|step| step.name).collect();
    if failed.is_empty() {
        eprintln!("the gate is open");
        ExitCode::SUCCESS
    } else {
        eprintln!("the gate is shut: {}", failed.join(", "));
        ExitCode::FAILURE
    }
}

/// The crate that is a workspace of its own; its manifest says why. One of the harness's tests runs its tests.
const APART: &str = "harness/testcontainers/Cargo.toml";

fn format() -> Outcome {
    cargo(&["fmt", "--all", "--check"])?;
    cargo(&["fmt", "--manifest-path", APART, "--check"])
}

fn clippy() -> Outcome {
    cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"])?;
    cargo(&[
        "clippy",
        "--manifest-path",
        APART,
        "--all-targets",
        "--locked",
        "--quiet",
        "--",
        "-D",
        "warnings",
    ])
}

fn tests() -> Outcome {
    cargo(&["test", "--workspace", "--locked", "--no-fail-fast"])
}

/// As many files of tests at once as there are processors, so that none shortens what another has of the machine. A
/// test that fails prints its seed.
fn fuzz() -> Outcome {
    const SECONDS: &str = "600";
    let mut files: Vec<String> = std::fs::read_dir(tidy::root().join("broker/sim/tests"))?
        .filter_map(|file| file.ok()?.file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".rs").map(str::to_owned))
        .filter(|name| name.starts_with("fuzz_"))
        .collect();
    files.sort_unstable();
    anyhow::ensure!(!files.is_empty(), "there is nothing to run");
    cargo(&["test", "-p", "jackdaw-sim", "--locked", "--no-run"])?;
    let fuzz_one = |file: &str| {
        let arguments = ["test", "-p", "jackdaw-sim", "--locked", "--test", file];
        let mut command = Command::new(env!("CARGO"));
        command.args(arguments).current_dir(tidy::root()).env("JACKDAW_FUZZ_SECONDS", SECONDS);
        let ended = command.output()?;
        let is_fine = ended.status.success();
        if !is_fine {
            [ended.stdout, ended.stderr].iter().for_each(|said| eprint!("{}", String::from_utf8_lossy(said)));
        }
        anyhow::ensure!(is_fine, "JACKDAW_FUZZ_SECONDS={SECONDS} cargo {}", arguments.join(" "));
        Ok(())
    };
    let at_once = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    for some in files.chunks(at_once) {
        std::thread::scope(|scope| {
            let running: Vec<_> = some.iter().map(|file| scope.spawn(|| fuzz_one(file))).collect();
            running.into_iter().try_for_each(|one| {
                one.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a thread that runs a test panicked")))
            })
        })?;
    }
    Ok(format!("{SECONDS} s of {}", files.join(", ")))
}

/// A development build's image is twice as large, and a release takes too long to build at every landing.
fn image() -> Outcome {
    const LIMIT_BYTES: u64 = 25_000_000;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("image.tar");
    let file_name = file.to_str().context("a folder for temporary files that is text")?;
    cargo(&["run", "--release", "--quiet", "-p", "harness", "--", "image", "build", "--output", file_name])?;
    let bytes = std::fs::metadata(&file)?.len();
    anyhow::ensure!(bytes < LIMIT_BYTES, "it has {bytes} bytes of at most {LIMIT_BYTES}");
    Ok(format!("{:.1} MB", bytes as f64 / 1e6))
}

/// Runs cargo in the workspace; its own output goes to the terminal.
fn cargo(arguments: &[&str]) -> Outcome {
    let status = Command::new(env!("CARGO")).args(arguments).current_dir(tidy::root()).status()?;
    anyhow::ensure!(status.success(), "cargo {} ended with {status}", arguments.join(" "));
    Ok(String::new())
}

/// Whether a part that this machine lacks is a failure.
fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|ci| ci == "true")
}

#[cfg(test)]
mod tests_of_the_gate {
    use super::*;

    #[test]
    fn each_step_has_a_name_of_its_own_and_either_size_is_a_whole_gate() {
        for (at, step) in STEPS.iter().enumerate() {
            assert!(STEPS[..at].iter().all(|other| other.name != step.name), "{}", step.name);
        }
        for step in STEPS.iter().filter(|step| step.size == Size::Landing) {
            let long = format!("{}-all", step.name);
            let is_long = |other: &Step| other.size == Size::Full && other.name == long;
            assert!(STEPS.iter().any(is_long), "{} has no long form", step.name);
        }
    }
}
