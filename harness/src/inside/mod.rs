//! What this program is inside a container: whatever name it is called by, the entrypoints of the images that it
//! stands in for, and its own look at its health. Nothing here knows a compose file or an engine.

pub mod beside;
pub mod container;
pub mod healthy;
mod node;
mod scripts;
mod words;

use jackdaw_runtime::docker::rootfs::Names;
use std::ffi::OsString;

/// Runs as the shell or the tool that the program was called as; its exit code. None where it was called by its own
/// name, or by one that says nothing.
pub fn as_called(program: &str, words: impl FnOnce() -> Vec<OsString>) -> Option<i32> {
    let name = program.rsplit('/').next().unwrap_or_default();
    let plain = name.strip_prefix('-').unwrap_or(name);
    if plain == "jackdaw" || !jackdaw_shell::names().any(|known| known == plain) {
        return None;
    }
    jackdaw_shell::run(name, words())
}

/// Every name that this program answers to inside a container.
pub fn names() -> Names {
    Names {
        shell: jackdaw_shell::names().map(str::to_owned).collect(),
        kafka: jackdaw_tools::names().collect(),
    }
}
