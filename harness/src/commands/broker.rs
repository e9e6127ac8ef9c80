//! `broker`: one node, in the foreground; and the same with Apache Kafka itself.

use crate::cli::{ApacheKafka, Broker};
use crate::exit::{Exit, Result, Stop};
use crate::inside::{beside, healthy};
use jackdaw_broker::node::{RunOptions, run_blocking};
use jackdaw_runtime::process::forward::Forwarding;
use jackdaw_runtime::process::protocol::Forward;
use jackdaw_runtime::process::reference::{Node, Release};
use rustix::process::{Resource, getrlimit};
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// How many arenas glibc's allocator may have. It reads this at a program's start.
const ARENAS: &str = "MALLOC_ARENA_MAX";
/// What each arena reserves of the address space, whatever is in it.
const ARENA_BYTES: u64 = 64 << 20;
/// The share of a limited address space that arenas may take: what is left is for what the node really holds.
const ARENAS_SHARE: u64 = 4;

/// `broker`
pub fn run(broker: Broker) -> Result {
    fit_into_the_address_space()?;
    let overrides = broker.overrides.into_iter().map(|setting| {
        let pair = setting.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
        pair.ok_or_else(|| Stop::bad_input(format!("--override takes KEY=VALUE, not `{setting}`")))
    });
    let mut overrides: Vec<_> = overrides.collect::<Result<_>>()?;
    let moved = beside::moved(&broker.properties, &overrides);
    overrides
        .extend(moved.map_err(|error| Stop::failed(format!("{}: {error}", broker.properties.display())))?);
    end_with_the_parent();
    open_beside(&broker.forward)?;
    healthy::answer(broker.properties.clone(), overrides.clone())?;
    let exit = run_blocking(RunOptions {
        properties: broker.properties,
        hosts: broker.hosts,
        cluster_id: broker.cluster_id,
        overrides,
    });
    Ok(Exit::Command(u8::try_from(exit.code()).unwrap_or(1)))
}

/// A node that a script started ends with it, however that ends: in a container it would, too.
fn end_with_the_parent() {
    if std::env::var_os(jackdaw_beside::ADDRESS).is_some() && !jackdaw_beside::is_first() {
        let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    }
}

/// Where the address space is limited (`ulimit -v`), becomes this program again with fewer arenas: eight for each core,
/// as they are by default, would leave no room for a request of some size.
fn fit_into_the_address_space() -> Result<()> {
    let is_set = std::env::var_os(ARENAS).is_some() || std::env::var_os("GLIBC_TUNABLES").is_some();
    let Some(arenas) = arenas_in(getrlimit(Resource::As).current).filter(|_| !is_set) else { return Ok(()) };
    let mut words = std::env::args_os();
    let name = words.next().unwrap_or_else(|| OsString::from("jackdaw"));
    let mut again = Command::new("/proc/self/exe");
    let error = again.arg0(name).args(words).env(ARENAS, arenas.to_string()).exec();
    Err(Stop::failed(format!("this program cannot be run again with {ARENAS}={arenas}: {error}")))
}

/// The arenas for which a limited address space has room.
fn arenas_in(limit_bytes: Option<u64>) -> Option<u64> {
    limit_bytes.map(|limit_bytes| (limit_bytes / ARENAS_SHARE / ARENA_BYTES).max(1))
}

/// Carries ports of the loopback address to the node's, for as long as this process lives.
fn open_beside(forwards: &[String]) -> Result<()> {
    let read = |text: &String| {
        let (from, to) = text.split_once('=')?;
        let at = |port: &str| Some(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port.parse().ok()?));
        Some(Forward { from: at(from)?, to: at(to)? })
    };
    let wrong = |text: &String| Stop::bad_input(format!("--forward takes PORT=PORT, not `{text}`"));
    let forwards: Vec<Forward> =
        forwards.iter().map(|text| read(text).ok_or_else(|| wrong(text))).collect::<Result<_>>()?;
    if forwards.is_empty() {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let open = runtime.block_on(Forwarding::open(&forwards, runtime.handle()));
    let open = open.map_err(|(address, error)| Stop::failed(format!("{address}: {error}")))?;
    // Both end with the process.
    std::mem::forget((open, runtime));
    Ok(())
}

/// `apache-kafka`
pub fn reference(node: ApacheKafka) -> Result {
    let ApacheKafka { libs, hosts, cluster_id, properties } = node;
    Err(Node { libs, hosts, cluster_id, properties }.run().into())
}

/// `kafka-tool`
pub fn tool(class: &str, words: &[String]) -> Result {
    Err(Release::default().become_tool(class, words).into())
}

#[cfg(test)]
mod tests {
    use super::arenas_in;

    #[test]
    fn arenas_take_a_quarter_of_a_limited_address_space() {
        assert_eq!(arenas_in(None), None);
        for (limit_mib, arenas) in [(64, 1), (512, 2), (4096, 16)] {
            assert_eq!(arenas_in(Some(limit_mib << 20)), Some(arenas), "{limit_mib} MiB");
        }
    }
}
