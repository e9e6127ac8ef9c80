//! A command in a container, with our terminal where we have one.

use super::error::failed;
use crate::runtime::{ExecSpec, Result};
use bollard::Docker;
use bollard::container::LogOutput;
use bollard::exec::{CreateExecOptions, ResizeExecOptions, StartExecOptions, StartExecResults};
use futures_util::StreamExt as _;
use std::io::Read as _;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// The terminal as it was, put back when dropped.
struct Raw(rustix::termios::Termios);

impl Raw {
    fn enter() -> Option<Self> {
        use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
        let before = tcgetattr(std::io::stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(std::io::stdin(), OptionalActions::Now, &raw).ok()?;
        Some(Raw(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let now = rustix::termios::OptionalActions::Now;
        let _ = rustix::termios::tcsetattr(std::io::stdin(), now, &self.0);
    }
}

/// Our standard input in pieces. The thread ends with the process: a blocked read cannot be taken back.
fn stdin() -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(4);
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = std::io::stdin().lock().read(&mut buffer) {
            if sender.blocking_send(buffer[..read].to_vec()).is_err() {
                return;
            }
        }
    });
    receiver
}

async fn feed(mut input: std::pin::Pin<Box<dyn AsyncWrite + Send>>) {
    let mut pieces = stdin();
    while let Some(piece) = pieces.recv().await {
        if input.write_all(&piece).await.is_err() || input.flush().await.is_err() {
            return;
        }
    }
    let _ = input.shutdown().await;
}

async fn follow_size(docker: Docker, id: String) {
    let Ok(mut changes) = signal(SignalKind::window_change()) else { return };
    loop {
        if let Ok(size) = rustix::termios::tcgetwinsize(std::io::stdout()) {
            let options = ResizeExecOptions { height: size.ws_row, width: size.ws_col };
            let _ = docker.resize_exec(&id, options).await;
        }
        if changes.recv().await.is_none() {
            return;
        }
    }
}

/// Runs it; its exit code.
///
/// # Errors
/// When the engine refuses.
pub async fn run(docker: &Docker, container: &str, exec: ExecSpec) -> Result<i32> {
    let options = CreateExecOptions {
        attach_stdin: Some(exec.interactive),
        attach_stdout: Some(!exec.detach),
        attach_stderr: Some(!exec.detach),
        tty: Some(exec.tty),
        env: Some(exec.env),
        cmd: Some(exec.command),
        user: exec.user,
        working_dir: exec.working_dir,
        ..CreateExecOptions::default()
    };
    let id = docker.create_exec(container, options).await.map_err(failed)?.id;
    let start = StartExecOptions { detach: exec.detach, tty: exec.tty, output_capacity: None };
    let StartExecResults::Attached { mut output, input } =
        docker.start_exec(&id, Some(start)).await.map_err(failed)?
    else {
        return Ok(0);
    };
    let raw = exec.tty.then(Raw::enter).flatten();
    let mut helpers = tokio::task::JoinSet::new();
    if exec.interactive {
        helpers.spawn(feed(input));
    }
    if raw.is_some() {
        helpers.spawn(follow_size(docker.clone(), id.clone()));
    }
    while let Some(Ok(piece)) = output.next().await {
        let written = match piece {
            LogOutput::StdErr { message } => write(&mut std::io::stderr(), &message),
            LogOutput::StdOut { message } | LogOutput::Console { message } | LogOutput::StdIn { message } => {
                write(&mut std::io::stdout(), &message)
            }
        };
        if written.is_err() {
            break;
        }
    }
    drop(raw);
    let code = docker.inspect_exec(&id).await.map_err(failed)?.exit_code;
    Ok(i32::try_from(code.unwrap_or(0)).unwrap_or(255))
}

fn write(to: &mut impl std::io::Write, bytes: &[u8]) -> std::io::Result<()> {
    to.write_all(bytes)?;
    to.flush()
}

/// Runs it without a terminal to its end: its exit code, and what it printed on each stream.
async fn run_through(
    docker: &Docker,
    container: &str,
    command: Vec<String>,
) -> Result<(Option<i64>, Vec<u8>, Vec<u8>)> {
    let options = CreateExecOptions {
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        cmd: Some(command),
        ..CreateExecOptions::default()
    };
    let id = docker.create_exec(container, options).await.map_err(failed)?.id;
    let started = docker.start_exec(&id, None).await.map_err(failed)?;
    let (mut said, mut complained) = (Vec::new(), Vec::new());
    if let StartExecResults::Attached { mut output, .. } = started {
        while let Some(Ok(piece)) = output.next().await {
            match piece {
                LogOutput::StdErr { message } => complained.extend_from_slice(&message),
                other => said.extend_from_slice(&other.into_bytes()),
            }
        }
    }
    let code = docker.inspect_exec(&id).await.map_err(failed)?.exit_code;
    Ok((code, said, complained))
}

/// Runs it without a terminal; whether its exit code is 0.
///
/// # Errors
/// When the engine refuses.
pub async fn succeeds(docker: &Docker, container: &str, command: Vec<String>) -> Result<bool> {
    Ok(run_through(docker, container, command).await?.0 == Some(0))
}

/// Runs it without a terminal; what it printed on its standard output, or, where that is nothing, on the other.
///
/// # Errors
/// When the engine refuses.
pub async fn capture(docker: &Docker, container: &str, command: Vec<String>) -> Result<String> {
    let (_, said, complained) = run_through(docker, container, command).await?;
    let spoken = if said.is_empty() { complained } else { said };
    Ok(String::from_utf8_lossy(&spoken).into_owned())
}
