//! `broker`: one node, in the foreground; and the same with Apache Kafka itself.

use crate::cli::{ApacheKafka, Broker};
use crate::exit::{Exit, Result, Stop};
use crate::inside::healthy;
use jackdaw_broker::node::{RunOptions, run_blocking};
use jackdaw_runtime::process::forward::Forwarding;
use jackdaw_runtime::process::protocol::Forward;
use jackdaw_runtime::process::reference::{Node, Release};
use std::net::{Ipv4Addr, SocketAddr};

/// `broker`
pub fn run(broker: Broker) -> Result {
    let overrides = broker.overrides.into_iter().map(|setting| {
        let pair = setting.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
        pair.ok_or_else(|| Stop::bad_input(format!("--override takes KEY=VALUE, not `{setting}`")))
    });
    let overrides: Vec<_> = overrides.collect::<Result<_>>()?;
    beside(&broker.forward)?;
    healthy::answer(broker.properties.clone(), overrides.clone())?;
    let exit = run_blocking(RunOptions {
        properties: broker.properties,
        hosts: broker.hosts,
        cluster_id: broker.cluster_id,
        overrides,
    });
    Ok(Exit::Command(u8::try_from(exit.code()).unwrap_or(1)))
}

/// Carries ports of the loopback address to the node's, for as long as this process lives.
fn beside(forwards: &[String]) -> Result<()> {
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
