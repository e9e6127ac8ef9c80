//! Whether the node of this container serves: it is registered and unfenced in its own eyes, and answers on one of its
//! listeners. Run every few seconds, so it starts no threads and no runtime, and reads what the node itself reads.

use crate::cli::Healthy;
use crate::exit::{Exit, Result, Stop};
use jackdaw_broker::config::listeners::is_any_address;
use jackdaw_broker::config::{Config, Listener};
use jackdaw_runtime::kafka;
use std::fs;
use std::io;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

/// Options of `broker` that take a value.
const WITH_VALUE: [&str; 4] = ["--hosts", "--cluster-id", "--override", "--forward"];

/// A node that runs here: its configuration, and the settings that win over it.
#[derive(Debug, Default, PartialEq)]
struct Running {
    properties: PathBuf,
    overrides: Vec<(String, String)>,
}

/// `healthy`
pub fn run(healthy: &Healthy) -> Result {
    let running = match &healthy.properties {
        Some(properties) => Running { properties: properties.clone(), overrides: Vec::new() },
        None => running().ok_or_else(|| Stop::failed("no node runs here"))?,
    };
    let (config, _) = Config::from_properties(&running.properties, &running.overrides).map_err(|errors| {
        Stop::failed(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    })?;
    look(&config, Duration::from_millis(healthy.timeout_ms)).map(|()| Exit::Done).map_err(Stop::failed)
}

/// The node's own command line tells what it reads.
fn running() -> Option<Running> {
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut ids: Vec<u32> = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    ids.sort_unstable();
    ids.into_iter().find_map(|id| {
        let line = fs::read(format!("/proc/{id}/cmdline")).ok()?;
        let words = line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
        node_of(&words.collect::<Vec<_>>())
    })
}

/// What `jackdaw broker …` reads, if a process is that.
fn node_of(words: &[String]) -> Option<Running> {
    let [program, command, rest @ ..] = words else { return None };
    if program.rsplit('/').next() != Some("jackdaw") || command != "broker" {
        return None;
    }
    let mut running = Running::default();
    let mut rest = rest.iter();
    while let Some(word) = rest.next() {
        if WITH_VALUE.contains(&word.as_str()) {
            let value = rest.next()?;
            if word == "--override" {
                let (key, value) = value.split_once('=')?;
                running.overrides.push((key.to_owned(), value.to_owned()));
            }
        } else if !word.is_empty() && !word.starts_with('-') {
            running.properties = word.into();
        }
    }
    (!running.properties.as_os_str().is_empty()).then_some(running)
}

fn look(config: &Config, limit: Duration) -> std::result::Result<(), String> {
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
            format!("{place}: no answer within {} ms", limit.as_millis())
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
        let read = |line: &str| node_of(&line.split(' ').map(str::to_owned).collect::<Vec<_>>());
        let running = |file: &str, overrides: &[(&str, &str)]| {
            let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
            Some(Running { properties: file.into(), overrides: overrides.iter().map(own).collect() })
        };
        for (line, expected) in [
            (
                "/usr/bin/jackdaw broker --cluster-id ID /etc/jackdaw/server.properties",
                running("/etc/jackdaw/server.properties", &[]),
            ),
            (
                "jackdaw broker s.properties --override node.id=2 ",
                running("s.properties", &[("node.id", "2")]),
            ),
            ("jackdaw healthy", None),
            ("jackdaw broker", None),
            ("/bin/bash -c jackdaw broker x", None),
        ] {
            assert_eq!(read(line), expected, "{line}");
        }
    }
}
