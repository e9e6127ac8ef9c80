//! The command line of Jackdaw: parses, calls, and turns the outcome into an exit code.

mod cli;
mod commands;
mod exit;
mod inside;
mod project;
mod settings;
mod terminal;

use exit::Stop;
use std::process::ExitCode;
use terminal::Terminal;

fn main() -> ExitCode {
    // As the image's health check calls it, every few seconds: all else would be most of its cost.
    if std::env::args_os().skip(1).eq(["healthy"]) {
        return match inside::healthy::run(&cli::Healthy::default()) {
            Ok(exit) => exit.into(),
            Err(stop) => end(Err(stop), Terminal::detect(false)),
        };
    }
    let program = std::env::args_os().next().unwrap_or_default();
    let words = || std::env::args_os().skip(1).collect();
    if let Some(code) = inside::as_called(&program.to_string_lossy(), words) {
        // The exit code of a process is its lowest byte.
        return ExitCode::from(code.to_le_bytes()[0]);
    }
    let words = cli::arguments(std::env::args_os().map(|word| word.to_string_lossy().into_owned()));
    // Before any thread: the death signal belongs to the thread that asks for it.
    if words.get(1).is_some_and(|word| word == commands::guard::WORD) {
        return commands::guard::run(&words[2..]);
    }
    if let Some(code) = commands::tools::run(&words) {
        return code;
    }
    let cli = cli::parse(&words);
    let is_plain = cli.global.no_color || cli.global.ansi.as_deref() == Some("never");
    let terminal = Terminal::detect(is_plain);
    end(commands::run(&cli.global, cli.command, terminal), terminal)
}

/// Says what was not done; the exit code.
fn end(done: exit::Result, terminal: Terminal) -> ExitCode {
    match done {
        Ok(exit) => exit.into(),
        Err(Stop { exit, message }) => {
            if !message.is_empty() {
                terminal.say(&format!("{} {message}", terminal.narrated("31", "error:")));
            }
            exit.into()
        }
    }
}

/// Runs a command's future on a runtime of its own.
fn block_on<T>(work: impl Future<Output = exit::Result<T>>) -> exit::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let done = runtime.block_on(work);
    // A blocked read of the terminal must not keep the program from ending.
    runtime.shutdown_background();
    done
}
