//! Whether a node serves: it is registered and unfenced in its own eyes, and answers on one of its listeners.
//!
//! The node's process looks at itself, over the network and from a thread of its own, whenever it is asked over a local
//! socket. Whoever asks is started every few seconds, so that half takes nothing but a few system calls: it reads no
//! configuration, and whatever it does not run stays out of its memory.

use crate::cli::Healthy;
use crate::exit::{Exit, Result, Stop};
use jackdaw_broker::config::listeners::is_any_address;
use jackdaw_broker::config::{Config, Listener};
use jackdaw_runtime::kafka;
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, RawDir, open, openat, stat};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketType};
use rustix::path::DecInt;
use std::io::{self, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

/// How long the answer to a question may be on its way, and the question itself.
const WAY: Duration = Duration::from_millis(100);
/// The answer of a node that is well; any other is the reason.
const WELL: &[u8] = b"well";

/// `healthy`
pub fn run(healthy: &Healthy) -> Result {
    let properties = healthy.properties.as_deref().map(|path| path.as_os_str().as_bytes());
    let Some(pid) = running(properties) else { return Err(Stop::failed("no node runs here")) };
    let mut told = [0; 512];
    match ask(pid, healthy.timeout_ms, &mut told) {
        Ok(length) if &told[..length] == WELL => Ok(Exit::Done),
        Ok(length) => Err(Stop::failed(String::from_utf8_lossy(&told[..length]))),
        Err(Errno::AGAIN) => Err(Stop::failed(silence(healthy.timeout_ms))),
        Err(error) => Err(Stop::failed(format!("process {pid}: {error}"))),
    }
}

fn silence(limit_ms: u32) -> String {
    format!("no answer within {limit_ms} ms")
}

/// The first process that is a node, of that configuration if one is given.
fn running(properties: Option<&[u8]>) -> Option<u32> {
    let folder = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let processes = open(c"/proc", folder, Mode::empty()).ok()?;
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut entries = RawDir::new(&processes, &mut buffer);
    while let Some(Ok(entry)) = entries.next() {
        let Some(pid) = number(entry.file_name().to_bytes()) else { continue };
        if is_node(&processes, pid, properties).unwrap_or(false) {
            return Some(pid);
        }
    }
    None
}

fn number(text: &[u8]) -> Option<u32> {
    text.iter().try_fold(0_u32, |number, digit| match digit {
        b'0'..=b'9' => number.checked_mul(10)?.checked_add(u32::from(digit - b'0')),
        _ => None,
    })
}

fn is_node(processes: &OwnedFd, pid: u32, properties: Option<&[u8]>) -> rustix::io::Result<bool> {
    let process =
        openat(processes, DecInt::new(pid).as_c_str(), OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let line = openat(&process, c"cmdline", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut words = [0; 4096];
    let length = rustix::io::read(&line, &mut words)?;
    Ok(is_broker(&words[..length], properties))
}

/// Whether a command line is `jackdaw broker …`, with that configuration among its words if one is given.
fn is_broker(line: &[u8], properties: Option<&[u8]>) -> bool {
    let mut words = line.split(|byte| *byte == 0);
    let program = words.next().and_then(|program| program.rsplit(|byte| *byte == b'/').next());
    program == Some(b"jackdaw")
        && words.next() == Some(b"broker")
        && properties.is_none_or(|properties| words.any(|word| word == properties))
}

/// Asks a node, and waits for its answer.
fn ask(pid: u32, limit_ms: u32, told: &mut [u8]) -> rustix::io::Result<usize> {
    let (name, length) = name_of(pid)?;
    let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    let limit = Duration::from_millis(limit_ms.into()) + WAY;
    set_socket_timeout(&socket, Timeout::Send, Some(limit))?;
    set_socket_timeout(&socket, Timeout::Recv, Some(limit))?;
    rustix::net::connect(&socket, &SocketAddrUnix::new_abstract_name(&name[..length])?)?;
    rustix::net::send(&socket, &limit_ms.to_be_bytes(), SendFlags::NOSIGNAL)?;
    let mut length = 0;
    loop {
        match rustix::net::recv(&socket, &mut told[length..], RecvFlags::empty())? {
            (0, _) => return Ok(length),
            (more, _) => length += more,
        }
    }
}

/// The name of a node's socket: of its process, and of the namespace that the process is numbered in, as containers may
/// share a network.
fn name_of(pid: u32) -> rustix::io::Result<([u8; 64], usize)> {
    let namespace = stat(c"/proc/self/ns/pid")?.st_ino;
    let (mut name, mut length) = ([0; 64], 0);
    for part in [b"jackdaw-healthy-", DecInt::new(namespace).as_bytes(), b"-", DecInt::new(pid).as_bytes()] {
        name[length..length + part.len()].copy_from_slice(part);
        length += part.len();
    }
    Ok((name, length))
}

/// Answers those who ask how this process's node is, for as long as it lives.
///
/// # Errors
/// When there can be no socket or no thread for it.
pub fn answer(properties: PathBuf, overrides: Vec<(String, String)>) -> io::Result<()> {
    let (name, length) = name_of(std::process::id())?;
    let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name[..length])?)?;
    let serve = move || {
        // What is wrong with it is the node's to say.
        let Ok((config, _)) = Config::from_properties(&properties, &overrides) else { return };
        for mut asking in listener.incoming().flatten() {
            // Whoever is gone needs no answer.
            let _ = tell(&mut asking, &config);
        }
    };
    std::thread::Builder::new().name("healthy".into()).spawn(serve).map(drop)
}

fn tell(asking: &mut UnixStream, config: &Config) -> io::Result<()> {
    let mut limit_ms = [0; 4];
    asking.set_read_timeout(Some(WAY))?;
    asking.read_exact(&mut limit_ms)?;
    match look(config, u32::from_be_bytes(limit_ms)) {
        Ok(()) => asking.write_all(WELL),
        Err(why) => asking.write_all(why.as_bytes()),
    }
}

fn look(config: &Config, limit_ms: u32) -> std::result::Result<(), String> {
    let limit = Duration::from_millis(limit_ms.into());
    let is_controllers = |listener: &&Listener| config.controller_listener_names.contains(&listener.name);
    let for_clients = |listener: &&Listener| !is_controllers(listener);
    let plain = |listener: &&Listener| &*listener.security_protocol == "PLAINTEXT";
    let all = || config.listeners.iter();
    let listener = match config.roles.broker {
        true => all().filter(for_clients).find(plain).or_else(|| all().find(for_clients)),
        false => all().find(is_controllers),
    };
    let listener = listener.ok_or("the node opens no listener")?;
    let host = match listener.host.as_str() {
        any if any.is_empty() || is_any_address(any) => "127.0.0.1",
        host => host,
    };
    let place = format!("{host}:{}", listener.port);
    let said = |error: io::Error| match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
            format!("{place}: {}", silence(limit_ms))
        }
        _ => format!("{place}: {error}"),
    };
    let address = (host, listener.port).to_socket_addrs().map_err(said)?.next();
    let address = address.ok_or_else(|| format!("{place}: no address"))?;
    if !plain(&listener) {
        // TLS or SASL stands before it: that it accepts is all that can be seen.
        return TcpStream::connect_timeout(&address, limit).map(drop).map_err(said);
    }
    if !config.roles.broker {
        return kafka::speaks(&address, limit).map_err(said);
    }
    match kafka::shows(&address, limit, config.node_id).map_err(said)? {
        true => Ok(()),
        false => Err(format!("{place}: broker {} is not registered and unfenced", config.node_id)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_found_by_its_command_line() {
        for (line, any, of_s) in [
            ("/usr/bin/jackdaw broker --cluster-id ID /etc/jackdaw/server.properties", true, false),
            ("jackdaw broker s.properties --override node.id=2 ", true, true),
            ("jackdaw healthy s.properties", false, false),
            ("jackdaw", false, false),
            ("/bin/bash -c jackdaw broker s.properties", false, false),
            ("", false, false),
        ] {
            let line = line.replace(' ', "\0");
            let found = |properties| is_broker(line.as_bytes(), properties);
            assert_eq!((found(None), found(Some(b"s.properties"))), (any, of_s), "{line}");
        }
        assert_eq!([number(b"417"), number(b"self"), number(b"99999999999")], [Some(417), None, None]);
    }
}
