//! A shell that is a container's first process: signals that ask it to stop are handed to what it runs.
//!
//! The kernel gives the first process of a container no default action for them, and bash ignores them there: a
//! container that was started as `bash -c 'prepare && run'` would have to be killed, its logs unclosed.

use std::collections::BTreeMap;
use std::fs;
use tokio::signal::unix::{SignalKind, signal};

/// Hands SIGTERM and SIGINT on, for as long as the runtime lives: to the processes at the ends of the tree, so that a
/// script in between sees its command end and comes to its own end.
pub(crate) fn to_the_last() {
    for (kind, name) in [
        (SignalKind::terminate(), rustix::process::Signal::TERM),
        (SignalKind::interrupt(), rustix::process::Signal::INT),
    ] {
        let Ok(mut received) = signal(kind) else { continue };
        tokio::spawn(async move {
            while received.recv().await.is_some() {
                for child in last_descendants() {
                    let _ = rustix::process::kill_process(child, name);
                }
            }
        });
    }
}

/// Ctrl-C at the prompt ends the line (the terminal forgets it) and not the shell.
pub(crate) fn ignore_interrupts() {
    if let Ok(mut received) = signal(SignalKind::interrupt()) {
        tokio::spawn(async move { while received.recv().await.is_some() {} });
    }
}

/// Descendants of this process that have no children.
fn last_descendants() -> Vec<rustix::process::Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let parents: BTreeMap<i32, i32> = ids.filter_map(|id| Some((id, parent(id)?))).collect();
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let is_ours = |id: i32| {
        let mut above = std::iter::successors(Some(id), |id| parents.get(id).copied());
        above.any(|id| id == own) && id != own
    };
    let has_children = |id: i32| parents.values().any(|parent| *parent == id);
    let last = parents.keys().copied().filter(|id| is_ours(*id) && !has_children(*id));
    last.filter_map(rustix::process::Pid::from_raw).collect()
}

/// `/proc/PID/stat`: the name in brackets may hold anything, the parent is the second word behind it.
fn parent(id: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_the_tree_are_found() {
        let mut middle =
            std::process::Command::new("/bin/sh").args(["-c", "sleep 60; true"]).spawn().unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        let middle_id = i32::try_from(middle.id()).unwrap();
        let last = loop {
            let of_middle = |id: &i32| parent(*id) == Some(middle_id);
            let found: Vec<i32> = last_descendants()
                .into_iter()
                .map(|pid| pid.as_raw_nonzero().get())
                .filter(of_middle)
                .collect();
            if let [last] = found.as_slice() {
                break *last;
            }
            assert!(std::time::Instant::now() < deadline);
        };
        assert!(!last_descendants().iter().any(|pid| pid.as_raw_nonzero().get() == middle_id));
        let last = rustix::process::Pid::from_raw(last).unwrap();
        rustix::process::kill_process(last, rustix::process::Signal::KILL).unwrap();
        assert!(middle.wait().unwrap().success(), "the script came to its own end");
    }
}
