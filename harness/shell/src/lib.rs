//! The shell and the small tools of the image: `/bin/bash`, coreutils, grep, sed and nc, each under its own name.
//!
//! The work is done by well-kept crates (brush, uutils); what is ours is the table of names, and the few tools that
//! no crate offers or offers only with a tree of dependencies larger than the shell's. Nothing here knows Kafka.

mod bash;
mod forward;
mod input;
mod nc;
mod own;
mod sockets;
mod utilities;

use std::ffi::OsString;

/// Does the work of one name; the words after it come in, the exit code goes out.
type Tool = fn(&str, Vec<OsString>) -> i32;

/// The names that mean the shell.
const SHELLS: [&str; 2] = ["bash", "sh"];

fn tools() -> impl Iterator<Item = &'static (&'static str, Tool)> {
    utilities::TABLE.iter().chain([&utilities::SED]).chain(own::TABLE)
}

/// Every name that [`run`] answers to, in the order of the table.
pub fn names() -> impl Iterator<Item = &'static str> {
    SHELLS.into_iter().chain(tools().map(|(name, _)| *name))
}

/// Runs the tool of that name; none where there is no such tool. `words` come without the name.
pub fn run(name: &str, words: Vec<OsString>) -> Option<i32> {
    // A login shell is called with a dash before its name.
    let plain = name.strip_prefix('-').unwrap_or(name);
    if SHELLS.contains(&plain) {
        return Some(bash::run(name, words));
    }
    tools().find(|(known, _)| *known == name).map(|(known, tool)| tool(known, words))
}

/// Runs a shell script file as `bash FILE` does, in this process; its exit code.
pub fn run_script(file: &std::path::Path) -> i32 {
    bash::run("bash", vec![file.into()])
}
