//! The scripts that run once in a data volume's life, before the node first starts
//! (bitnami's `/docker-entrypoint-initdb.d`).

use super::words::say;
use crate::exit::{Exit, Result, Stop};
use jackdaw_runtime::interrupt::Interrupts;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use tokio::process::Command;

/// The image's own mark, so that a volume may pass between the two.
const DONE: &str = ".user_scripts_initialized";
/// As a shell has it for a process that SIGTERM ended.
const TERMINATED: u8 = 143;

/// Runs the folder's `*.sh` in the order of their names, unless the volume says that they ran already.
///
/// # Errors
/// When one of them fails: the node is not started then.
pub fn run_once(folder: &Path, volume: &Path) -> Result<()> {
    let mark = volume.join(DONE);
    let scripts = scripts(folder);
    if scripts.is_empty() || mark.exists() {
        return Ok(());
    }
    say(&format!("running the scripts of {}", folder.display()));
    crate::block_on(async {
        let mut interrupts = Interrupts::listen()?;
        for script in scripts {
            let name = script.display();
            match run(&script, &mut interrupts).await? {
                Some(0) => {}
                Some(code) => return Err(Stop::failed(format!("{name} ended with exit code {code}"))),
                None => return Err(Stop { exit: Exit::Command(TERMINATED), message: String::new() }),
            }
        }
        Ok(())
    })?;
    match fs::write(&mark, "") {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Stop::failed(format!("{}: {error}", mark.display()))),
    }
}

/// Regular files (or links to them) that end in `.sh`, sorted.
fn scripts(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sh") && path.is_file())
        .collect();
    found.sort();
    found
}

/// Its exit code; none where this process was asked to stop meanwhile, and the script with it.
async fn run(script: &Path, interrupts: &mut Interrupts) -> Result<Option<i32>> {
    let runs_itself = fs::metadata(script)?.permissions().mode() & 0o111 != 0;
    let mut words = jackdaw_beside::own_words(&[script.display().to_string()]);
    if !runs_itself {
        words.insert(0, jackdaw_beside::inside("/bin/bash").display().to_string());
    }
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    let mut child = command.spawn()?;
    tokio::select! {
        ended = child.wait() => Ok(Some(ended?.code().unwrap_or(1))),
        () = interrupts.next() => {
            let pid = child.id().and_then(|pid| rustix::process::Pid::from_raw(pid.cast_signed()));
            if let Some(pid) = pid {
                // It may be gone already.
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            }
            child.wait().await?;
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_run_in_order_and_once_in_a_volume_s_life() {
        let (scripts, volume) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let told = volume.path().join("told");
        let write = |name: &str, text: &str, mode: u32| {
            let path = scripts.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        };
        write("2-second.sh", &format!("#!/bin/sh\necho second >> {}\n", told.display()), 0o755);
        write("1-first.sh", &format!("echo first >> {}\n", told.display()), 0o644);
        write("notes.txt", "exit 1", 0o755);
        for _ in 0..2 {
            run_once(scripts.path(), volume.path()).unwrap();
            assert_eq!(fs::read_to_string(&told).unwrap(), "first\nsecond\n");
        }
        fs::remove_file(volume.path().join(DONE)).unwrap();
        write("0-fails.sh", "exit 3", 0o644);
        let failed = run_once(scripts.path(), volume.path()).unwrap_err();
        assert!(failed.to_string().ends_with("0-fails.sh ended with exit code 3"), "{failed}");
        assert!(!volume.path().join(DONE).exists());
    }
}
