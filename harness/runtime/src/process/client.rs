//! The commands' side of the control socket, and starting a supervisor where none lives.

use super::paths::{ProjectDir, short_socket};
use super::protocol::{Event, Reply, Request};
use super::supervisor::{self, READY};
use crate::runtime::{Result, RuntimeError};
use futures_util::stream::{self, BoxStream, StreamExt as _};
use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader as StdBufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// Time in which a supervisor that was told to end has ended: the longest grace period is its business.
const END_TIMEOUT: Duration = Duration::from_secs(60);
/// Time in which a supervisor that is just starting accepts commands.
const START_TIMEOUT: Duration = Duration::from_secs(2);
const END_REST: Duration = Duration::from_millis(10);

async fn send(
    dir: &ProjectDir,
    request: &Request,
) -> std::io::Result<(Lines<BufReader<OwnedReadHalf>>, OwnedWriteHalf)> {
    let (_folder, socket) = short_socket(&dir.socket())?;
    let (read, mut write) = UnixStream::connect(socket).await?.into_split();
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    write.write_all(&line).await?;
    Ok((BufReader::new(read).lines(), write))
}

/// Whether a supervisor lives, listening or not.
fn is_locked(dir: &ProjectDir) -> bool {
    dir.lock().exists() && supervisor::try_lock(dir).is_ok_and(|lock| lock.is_none())
}

/// Whether a supervisor accepts commands.
pub async fn lives(dir: &ProjectDir) -> bool {
    ask(dir, &Request::List).await.is_ok()
}

/// One request, one answer.
///
/// # Errors
/// [`RuntimeError::Unavailable`] without a supervisor; [`RuntimeError::Failed`] with its reason where it
/// refuses.
pub async fn ask(dir: &ProjectDir, request: &Request) -> Result<Reply> {
    let gone = |error: std::io::Error| RuntimeError::Unavailable(format!("the supervisor is gone: {error}"));
    let (mut lines, _open) = send(dir, request).await.map_err(gone)?;
    let line = lines.next_line().await.map_err(gone)?;
    let line = line.ok_or_else(|| RuntimeError::Unavailable("the supervisor hung up".into()))?;
    match serde_json::from_str(&line) {
        Ok(Reply::Refused { why }) => Err(RuntimeError::Failed(why)),
        Ok(reply) => Ok(reply),
        Err(error) => Err(RuntimeError::Unavailable(format!("the supervisor is of another build: {error}"))),
    }
}

/// Events from now on; ends with the supervisor.
///
/// # Errors
/// Without a supervisor.
pub async fn events(dir: &ProjectDir) -> Result<BoxStream<'static, Event>> {
    let gone = |error: std::io::Error| RuntimeError::Unavailable(format!("the supervisor is gone: {error}"));
    let (mut lines, open) = send(dir, &Request::Events).await.map_err(gone)?;
    // The first line says that the subscription stands: nothing that happens after it is missed.
    lines.next_line().await.map_err(gone)?;
    let events = stream::unfold((lines, open), |(mut lines, open)| async move {
        let line = lines.next_line().await.ok()??;
        let reply = serde_json::from_str(&line).ok()?;
        Some((supervisor::event(reply), (lines, open)))
    });
    Ok(events.filter_map(std::future::ready).boxed())
}

/// Makes sure that a supervisor of this project accepts commands.
///
/// # Errors
/// When it does not start; its own words where it left some.
pub async fn ensure(dir: &ProjectDir, program: &Path) -> Result<()> {
    let deadline = tokio::time::Instant::now() + START_TIMEOUT;
    while is_locked(dir) {
        if lives(dir).await {
            return Ok(());
        }
        if tokio::time::Instant::now() > deadline {
            // It speaks another build's language, or is stuck: its nodes are ended with it.
            end(dir).await?;
        }
        tokio::time::sleep(END_REST).await;
    }
    std::fs::create_dir_all(dir.root()).map_err(RuntimeError::io(dir.root()))?;
    let (dir, program) = (dir.clone(), program.to_owned());
    let started = tokio::task::spawn_blocking(move || start(&dir, &program)).await;
    started.map_err(|error| RuntimeError::Failed(error.to_string()))?
}

fn start(dir: &ProjectDir, program: &Path) -> Result<()> {
    let path = dir.supervisor_log();
    let log = OpenOptions::new().create(true).append(true).open(&path).map_err(RuntimeError::io(&path))?;
    let mut child = Command::new(program)
        .arg("supervise")
        .arg(dir.root())
        .current_dir(dir.root())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .map_err(RuntimeError::io(program))?;
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        let _ = StdBufReader::new(stdout).read_line(&mut line);
    }
    if line.trim() == READY {
        return Ok(());
    }
    // It lost a race against another starter, or failed: then it has ended and said why.
    let _ = child.wait();
    if is_locked(dir) {
        return Ok(());
    }
    let said = super::logs::last_lines(&path, 5).join("\n");
    Err(RuntimeError::Failed(format!("the supervisor did not start: {said}")))
}

/// Ends a supervisor by signal, with everything it runs, and waits until it is gone.
///
/// # Errors
/// When it does not end.
pub async fn end(dir: &ProjectDir) -> Result<()> {
    let pid = supervisor::pid(dir).and_then(rustix::process::Pid::from_raw);
    if !is_locked(dir) {
        return Ok(());
    }
    if let Some(pid) = pid {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    let waited = async {
        while is_locked(dir) {
            tokio::time::sleep(END_REST).await;
        }
    };
    tokio::time::timeout(END_TIMEOUT, waited)
        .await
        .map_err(|_| RuntimeError::Failed("the supervisor does not end".into()))
}
