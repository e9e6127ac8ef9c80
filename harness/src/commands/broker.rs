//! `broker`: one node, in the foreground; and the same with Apache Kafka itself.

use crate::cli::{ApacheKafka, Broker};
use crate::exit::{Exit, Result, Stop};
use jackdaw_broker::node::{RunOptions, run_blocking};
use jackdaw_runtime::process::reference::{Node, Release};

/// `broker`
pub fn run(broker: Broker) -> Result {
    let overrides = broker.overrides.into_iter().map(|setting| {
        let pair = setting.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
        pair.ok_or_else(|| Stop::bad_input(format!("--override takes KEY=VALUE, not `{setting}`")))
    });
    let exit = run_blocking(RunOptions {
        properties: broker.properties,
        hosts: broker.hosts,
        cluster_id: broker.cluster_id,
        overrides: overrides.collect::<Result<_>>()?,
    });
    Ok(Exit::Command(u8::try_from(exit.code()).unwrap_or(1)))
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
