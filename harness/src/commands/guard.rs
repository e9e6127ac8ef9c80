//! Between the supervisor and each of its children: asks the kernel to kill this process when the
//! supervisor goes, then becomes the child's program. The wish survives exec (prctl(2)).

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

/// First word of the command line that means this.
pub const WORD: &str = "guard";
/// As a shell has it: the program is not there.
const NOT_FOUND: u8 = 127;
/// The supervisor was gone before the wish was heard.
const ORPHANED: u8 = 137;

/// `guard PARENT PROGRAM ARGUMENT…`; returns only where it fails.
pub fn run(words: &[String]) -> ExitCode {
    let (Some(parent), Some(program)) = (words.first(), words.get(1)) else {
        return ExitCode::from(NOT_FOUND);
    };
    let signal = Some(rustix::process::Signal::KILL);
    if let Err(error) = rustix::process::set_parent_process_death_signal(signal) {
        eprintln!("jackdaw: no death signal: {error}");
    }
    let now = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get().to_string());
    if now.as_ref() != Some(parent) {
        return ExitCode::from(ORPHANED);
    }
    let own = std::process::id().to_string();
    let error = Command::new(program).args(&words[2..]).env(jackdaw_beside::FIRST, own).exec();
    eprintln!("jackdaw: {program}: {error}");
    ExitCode::from(NOT_FOUND)
}
