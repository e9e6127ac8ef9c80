//! The engine's socket once more, for clients that know only a newer API than the engine has: testcontainers for Rust
//! asks in the newest version of its day, negotiates none, and Debian's engine refuses it. The requests pass as they
//! are but for the version in their path.

use std::io::{self, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A socket that relays as long as this process lives.
pub struct Relay {
    folder: TempDir,
}

impl Relay {
    /// Before the engine that the docker command talks to.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("engine.sock")).unwrap();
        let version = Command::new("docker").args(["version", "--format", "{{.Server.APIVersion}}"]).output();
        let version = String::from_utf8(version.unwrap().stdout).unwrap();
        let newest = minor(version.trim()).unwrap();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                std::thread::spawn(move || relay(client, newest));
            }
        });
        Self { folder }
    }

    /// What goes into DOCKER_HOST.
    pub fn host(&self) -> String {
        format!("unix://{}", self.folder.path().join("engine.sock").display())
    }
}

fn engine() -> PathBuf {
    let host = std::env::var("DOCKER_HOST").unwrap_or_default();
    host.strip_prefix("unix://").map_or_else(|| Path::new("/var/run/docker.sock").into(), PathBuf::from)
}

/// Of `1.MINOR`.
fn minor(version: &str) -> Option<u32> {
    version.strip_prefix("1.")?.parse().ok()
}

/// One request, and whatever follows it both ways; an error is of a side that has gone.
fn relay(client: UnixStream, newest: u32) -> io::Result<()> {
    let engine = UnixStream::connect(engine())?;
    let mut request = BufReader::new(client.try_clone()?);
    let (mut to_engine, mut to_client) = (engine.try_clone()?, client);
    to_engine.write_all(head(&mut request, newest)?.as_bytes())?;
    std::thread::spawn(move || {
        let copied = io::copy(&mut request, &mut to_engine);
        // The engine may still have an answer to give.
        copied.and_then(|_| to_engine.shutdown(Shutdown::Write))
    });
    copy_at_once(engine, &mut to_client)?;
    to_client.shutdown(Shutdown::Both)
}

/// Logs that are followed come in small parts, each of which somebody waits for.
fn copy_at_once(mut from: impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            count => to.write_all(&buffer[..count])?,
        }
    }
}

/// A request's head: in a version that the engine has, and the last of its connection, which nobody else looks into.
fn head(request: &mut impl io::BufRead, newest: u32) -> io::Result<String> {
    let mut head = String::new();
    request.read_line(&mut head)?;
    if let Some((method, rest)) = head.split_once(" /v1.")
        && let Some((version, path)) = rest.split_once('/')
        && version.parse().is_ok_and(|version: u32| version > newest)
    {
        head = format!("{method} /v1.{newest}/{path}");
    }
    let mut upgrades = false;
    loop {
        let mut line = String::new();
        if request.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let lower = line.to_ascii_lowercase();
        upgrades |= lower.starts_with("upgrade:");
        if line.trim().is_empty() {
            break;
        }
        if !lower.starts_with("connection: keep-alive") {
            head.push_str(&line);
        }
    }
    head.push_str(if upgrades { "\r\n" } else { "Connection: close\r\n\r\n" });
    Ok(head)
}

#[test]
fn only_the_version_is_changed_and_a_connection_is_for_one_request() {
    let relayed = |text: &str| head(&mut text.as_bytes(), 41).unwrap();
    let host = "host: x\r\n\r\n";
    assert_eq!(
        relayed(&format!("POST /v1.53/containers/create?a=/v1.53/ HTTP/1.1\r\n{host}")),
        "POST /v1.41/containers/create?a=/v1.53/ HTTP/1.1\r\nhost: x\r\nConnection: close\r\n\r\n"
    );
    let older = relayed(&format!("GET /v1.40/info HTTP/1.1\r\nConnection: keep-alive\r\n{host}"));
    assert_eq!(older, "GET /v1.40/info HTTP/1.1\r\nhost: x\r\nConnection: close\r\n\r\n");
    let upgrade = "POST /v1.53/exec/1/start HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
    assert_eq!(relayed(upgrade), upgrade.replace("53", "41"));
}
