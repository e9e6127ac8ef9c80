//! Evidence that a broker's process is gone: its connection closed, and a fresh connect to it refused.
//!
//! Evidence shortens the session timeout and replaces nothing: a broker that does not answer, cannot be reached, or
//! was never connected to, is left to its session. A connection that merely closed is tried again first.

use jackdaw_settings::HostPort;
use std::collections::{BTreeMap, HashMap};
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use jackdaw_metadata::{BrokerRegistration, MetadataImage};
use jackdaw_wire::Uuid;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::Gone;
use crate::net::{ClientError, Link, NodeClient, Resolver};

/// How long one connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// First and longest pause after a connect that told nothing. The first is short: a process that is being killed
/// resets a connect or two before its port is closed.
const RETRY_MIN: Duration = Duration::from_millis(10);
const RETRY_MAX: Duration = Duration::from_millis(500);

type Brokers = BTreeMap<i32, Arc<BrokerRegistration>>;

/// How brokers are reached.
pub struct BrokerWatch {
    pub node_id: i32,
    /// The incarnation that this node's own broker registers with; none where this node is no broker. This process
    /// holds the node's directories, so a registration of any other incarnation is one of a dead process.
    pub own_incarnation: Option<Uuid>,
    pub resolver: Arc<Resolver>,
    /// The listener on which brokers reach each other.
    pub inter_broker_listener: Arc<str>,
}

/// One watcher per unfenced broker other than this node's own, for as long as its registration stands.
pub(super) async fn run(
    mut images: watch::Receiver<Arc<MetadataImage>>,
    watch: BrokerWatch,
    gone: mpsc::Sender<Gone>,
) {
    let mut watchers: HashMap<i32, (i64, Watcher)> = HashMap::new();
    let mut known = Arc::default();
    loop {
        let brokers = Arc::clone(&images.borrow_and_update().brokers);
        // The map is shared as long as no broker changes: most images cost one comparison.
        if !Arc::ptr_eq(&brokers, &known) {
            watchers.retain(|id, (epoch, _)| brokers.get(id).is_some_and(|b| b.epoch == *epoch && !b.fenced));
            if let Some(before) =
                watch.own_incarnation.and_then(|own| earlier_self(&brokers, watch.node_id, own))
            {
                let _ = gone.send(before).await;
            }
            for broker in brokers.values().filter(|b| !b.fenced && b.id != watch.node_id) {
                watchers
                    .entry(broker.id)
                    .or_insert_with(|| (broker.epoch, Watcher::start(broker, &watch, gone.clone())));
            }
            known = brokers;
        }
        if images.changed().await.is_err() {
            return;
        }
    }
}

/// This node's broker as an earlier process registered it.
fn earlier_self(brokers: &Brokers, node_id: i32, own: Uuid) -> Option<Gone> {
    let registered = brokers.get(&node_id).filter(|b| !b.fenced && b.incarnation_id != own)?;
    Some(Gone { broker: node_id, epoch: registered.epoch })
}

/// Ends its task when dropped.
struct Watcher(Option<JoinHandle<()>>);

impl Watcher {
    fn start(broker: &BrokerRegistration, watch: &BrokerWatch, gone: mpsc::Sender<Gone>) -> Self {
        let Some(endpoint) = broker.endpoint(&watch.inter_broker_listener) else { return Self(None) };
        let target = HostPort::new(endpoint.host.clone(), endpoint.port);
        let client = NodeClient::new(target, Arc::clone(&watch.resolver), "controller-watch");
        let about = Gone { broker: broker.id, epoch: broker.epoch };
        Self(Some(tokio::spawn(async move {
            if until_gone(&client).await {
                // Without a controller to tell, there is nobody to act.
                let _ = gone.send(about).await;
            }
        })))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// Returns true once a connection stood, closed, and could not be made again because nobody listens.
async fn until_gone(client: &NodeClient) -> bool {
    let mut stood = false;
    let mut pause = RETRY_MIN;
    let mut link = client.link();
    loop {
        match client.connect(CONNECT_TIMEOUT).await {
            Ok(()) => {
                (stood, pause) = (true, RETRY_MIN);
                if link.wait_for(|link| *link != Link::Connected).await.is_err() {
                    return false;
                }
            }
            Err(ClientError::Connect { source, .. })
                if stood && source.kind() == ErrorKind::ConnectionRefused =>
            {
                return true;
            }
            Err(_) => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(RETRY_MAX);
            }
        }
    }
}
