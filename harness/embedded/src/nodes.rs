//! The nodes of a cluster on one runtime: opened together, waited for, stopped together.

use crate::Error;
use crate::ports::Ports;
use futures_util::future::{join_all, try_join_all};
use jackdaw_broker::config::Config;
use jackdaw_broker::net::Resolver;
use jackdaw_broker::node::dirs::new_id;
use jackdaw_broker::node::{Node, StartError};
use jackdaw_wire::types::kafka_base64;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;
use tokio::sync::oneshot;

/// A cluster that is not ready by then never is.
const PATIENCE: Duration = Duration::from_secs(30);
/// Nodes that are not stopped by then are left to themselves: nobody needs their data.
const STOP_PATIENCE: Duration = Duration::from_secs(3);

/// Each node's configuration, by node id from 1.
///
/// # Errors
/// When a node refuses its settings.
pub(crate) fn configs(
    ports: &[Ports],
    folder: &Path,
    settings: &[(String, String)],
) -> Result<Vec<Arc<Config>>, Error> {
    let voters: Vec<String> =
        (1..).zip(ports).map(|(id, ports)| format!("{id}@127.0.0.1:{}", ports.controller())).collect();
    let config = |(id, ports): (i32, &Ports)| {
        let text = properties(id, ports, &voters, &folder.join(id.to_string()));
        let (config, warnings) = Config::parse("server.properties", text.as_bytes(), settings)
            .map_err(|refusals| Error::Settings(refusals.iter().map(ToString::to_string).collect()))?;
        for warning in warnings.iter().filter(|_| id == 1) {
            tracing::warn!("{warning}");
        }
        Ok(Arc::new(config))
    };
    (1..).zip(ports).map(config).collect()
}

/// A node's `server.properties`.
fn properties(id: i32, ports: &Ports, voters: &[String], data: &Path) -> String {
    let (client, controller, voters) = (ports.client(), ports.controller(), voters.join(","));
    let (replicas, in_sync) = match voters.matches('@').count() {
        few @ 1..=2 => (few, 1),
        _ => (3, 2),
    };
    format!(
        "process.roles=broker,controller\n\
         node.id={id}\n\
         controller.quorum.voters={voters}\n\
         controller.listener.names=CONTROLLER\n\
         listeners=PLAINTEXT://127.0.0.1:{client},CONTROLLER://127.0.0.1:{controller}\n\
         log.dirs={}\n\
         controlled.shutdown.enable=false\n\
         group.initial.rebalance.delay.ms=0\n\
         offsets.topic.num.partitions=1\n\
         offsets.topic.replication.factor={replicas}\n\
         transaction.state.log.num.partitions=1\n\
         transaction.state.log.replication.factor={replicas}\n\
         transaction.state.log.min.isr={in_sync}\n",
        data.display()
    )
}

/// Runs the nodes on a runtime of their own: says once whether they are ready, and stops them when `stop` resolves,
/// whichever way.
pub(crate) fn run(
    configs: Vec<Arc<Config>>,
    ports: Vec<Ports>,
    ready: &mpsc::Sender<Result<(), Error>>,
    stop: oneshot::Receiver<()>,
) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("jackdaw").build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return drop(ready.send(Err(Error::Threads(error)))),
    };
    runtime.block_on(async {
        let started = tokio::time::timeout(PATIENCE, start(configs)).await;
        drop(ports);
        match started.unwrap_or(Err(Error::NotReady(PATIENCE))) {
            Ok(nodes) => {
                // Whoever asked is waiting; were it gone, `stop` would be resolved.
                let _ = ready.send(Ok(()));
                let _ = stop.await;
                let stopped = join_all(nodes.into_iter().map(Node::stop));
                let _ = tokio::time::timeout(STOP_PATIENCE, stopped).await;
            }
            Err(error) => drop(ready.send(Err(error))),
        }
    });
    runtime.shutdown_timeout(STOP_PATIENCE);
}

/// Every node serves, and knows of all the others.
async fn start(configs: Vec<Arc<Config>>) -> Result<Vec<Node>, Error> {
    let cluster_id = kafka_base64(&new_id());
    let opened = configs.into_iter().map(|config| {
        let (id, cluster_id) = (config.node_id, cluster_id.as_str());
        async move {
            let node = Node::open(config, Arc::new(Resolver::system()), Some(cluster_id)).await;
            node.map_err(|source| Error::Broker { id, source })
        }
    });
    let mut nodes = try_join_all(opened).await?;
    let count = nodes.len();
    let waited = (1..)
        .zip(&mut nodes)
        .map(async |(id, node)| ready(node, count).await.map_err(|source| Error::Broker { id, source }));
    try_join_all(waited).await?;
    Ok(nodes)
}

async fn ready(node: &mut Node, brokers: usize) -> Result<(), StartError> {
    let failure = node.failure();
    let all = async {
        node.become_ready().await?;
        let mut images = node.images();
        let all_serve = images
            .wait_for(|image| image.brokers.values().filter(|broker| !broker.fenced).count() == brokers);
        // A loader that has stopped is a failure, which resolves below.
        match all_serve.await {
            Ok(_) => Ok::<(), StartError>(()),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        ready = all => ready,
        error = failure => Err(error),
    }
}
