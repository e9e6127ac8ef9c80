//! A run that is ended early, by Ctrl-C or a signal: whatever it started is ended too, and whoever would keep its
//! results hears of it.
//!
//! Must not know what runs, nor keep anything itself.

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Whether the run is to end, and what it has started; clones are of the same run.
#[derive(Clone, Default)]
pub struct Interrupt(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    came: bool,
    groups: Vec<Pid>,
}

/// A program that was started and whatever it starts itself, for as long as this is kept.
pub struct Group {
    id: Pid,
    interrupt: Interrupt,
}

impl Interrupt {
    /// Hears from now on of Ctrl-C and of whoever else asks this process to end.
    pub fn watched() -> anyhow::Result<Self> {
        let interrupt = Self::default();
        let mut signals = Signals::new([SIGINT, SIGTERM]).context("signals cannot be watched")?;
        let told = interrupt.clone();
        thread::spawn(move || signals.forever().for_each(|_| told.come()));
        Ok(interrupt)
    }

    /// Asks all that runs to end; the second time nobody is asked.
    fn come(&self) {
        let mut state = self.state();
        let signal = if state.came { Signal::KILL } else { Signal::TERM };
        state.came = true;
        for group in &state.groups {
            // One that has just ended is not there.
            let _ = kill_process_group(*group, signal);
        }
    }

    pub fn came(&self) -> bool {
        self.state().came
    }

    /// An error where the run is to end.
    pub fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(!self.came(), "interrupted");
        Ok(())
    }

    /// Starts a program in a process group of its own, so that a Ctrl-C reaches it through here alone.
    pub fn spawn(&self, command: &mut Command) -> anyhow::Result<(Child, Group)> {
        // Held over the start: nobody comes to be behind the interrupt's back.
        let mut state = self.state();
        anyhow::ensure!(!state.came, "interrupted");
        let child = command.process_group(0).spawn().with_context(|| format!("{command:?}"))?;
        let id = Pid::from_child(&child);
        state.groups.push(id);
        Ok((child, Group { id, interrupt: self.clone() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.interrupt.state().groups.retain(|id| *id != self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt as _;

    #[test]
    fn all_that_runs_is_ended_and_nothing_more_begins() {
        let interrupt = Interrupt::default();
        let (mut patient, _group) = interrupt.spawn(Command::new("sleep").arg("60")).unwrap();
        let (mut done, group) = interrupt.spawn(&mut Command::new("true")).unwrap();
        assert!(done.wait().unwrap().success());
        drop(group);
        assert_eq!(interrupt.state().groups, [Pid::from_child(&patient)]);
        assert!(interrupt.check().is_ok());

        interrupt.come();
        assert_eq!(patient.wait().unwrap().signal(), Some(SIGTERM));
        assert_eq!(interrupt.check().unwrap_err().to_string(), "interrupted");
        assert!(interrupt.spawn(&mut Command::new("true")).is_err());
    }

    #[test]
    fn who_does_not_end_when_asked_is_killed() {
        let interrupt = Interrupt::default();
        // It says when it is deaf.
        let deaf = "trap '' TERM; echo; while :; do sleep 60; done";
        let mut command = Command::new("sh");
        command.args(["-c", deaf]).stdout(std::process::Stdio::piped());
        let (mut child, _group) = interrupt.spawn(&mut command).unwrap();
        let said = child.stdout.take().unwrap();
        std::io::Read::read_exact(&mut { said }, &mut [0]).unwrap();
        interrupt.come();
        assert!(child.try_wait().unwrap().is_none());
        interrupt.come();
        assert_eq!(child.wait().unwrap().signal(), Some(Signal::KILL.as_raw()));
    }
}
