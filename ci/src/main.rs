//! The gate: every check that lands or refuses a change, in one program.
//!
//! `cargo run -p ci` runs the steps of [`STEPS`] in order and ends with one summary. The same
//! program runs at a desk and in CI. It starts nothing that it does not end.

mod dependencies;
mod tidy;

use std::process::{Command, ExitCode};
use std::time::Instant;

/// One step of the gate.
struct Step {
    name: &'static str,
    /// What the step protects, shown by `cargo run -p ci -- list`.
    why: &'static str,
    run: fn() -> anyhow::Result<()>,
}

/// The gate, in the order in which it runs: the quick refusals first.
const STEPS: &[Step] = &[
    Step { name: "format", why: "one layout of the code", run: format },
    Step { name: "tidy", why: "the invariants and house rules of ARCHITECTURE.md", run: tidy::run },
    Step {
        name: "dependencies",
        why: "no unused dependency, no unexplained duplicate, no unknown licence",
        run: dependencies::run,
    },
    Step { name: "clippy", why: "no warning in any target", run: clippy },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => gate(|_| true),
        ["list"] => {
            STEPS.iter().for_each(|step| println!("{:14} {}", step.name, step.why));
            ExitCode::SUCCESS
        }
        names if names.iter().all(|name| STEPS.iter().any(|step| step.name == *name)) => {
            gate(|step| names.contains(&step.name))
        }
        _ => {
            eprintln!("usage: cargo run -p ci [-- list | STEP …]; the steps are:");
            STEPS.iter().for_each(|step| eprintln!("  {:14} {}", step.name, step.why));
            ExitCode::from(2)
        }
    }
}

fn gate(chosen: impl Fn(&Step) -> bool) -> ExitCode {
    let mut failed = Vec::new();
    for step in STEPS.iter().filter(|step| chosen(step)) {
        eprintln!("── {}: {}", step.name, step.why);
        let start = Instant::now();
        match (step.run)() {
            Ok(()) => eprintln!("   ok, {:.1} s", start.elapsed().as_secs_f32()),
            Err(error) => {
                eprintln!("   FAILED: {error:#}");
                failed.push(step.name);
            }
        }
    }
    if failed.is_empty() {
        eprintln!("the gate is open");
        ExitCode::SUCCESS
    } else {
        eprintln!("the gate is shut: {}", failed.join(", "));
        ExitCode::FAILURE
    }
}

fn format() -> anyhow::Result<()> {
    cargo(&["fmt", "--all", "--check"])
}

fn clippy() -> anyhow::Result<()> {
    cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"])
}

/// Runs cargo in the workspace; its own output goes to the terminal.
fn cargo(arguments: &[&str]) -> anyhow::Result<()> {
    let status = Command::new(env!("CARGO")).args(arguments).current_dir(tidy::root()).status()?;
    anyhow::ensure!(status.success(), "cargo {} ended with {status}", arguments.join(" "));
    Ok(())
}
