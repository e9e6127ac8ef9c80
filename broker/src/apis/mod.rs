//! What a listener answers itself, and what it passes on.
//!
//! Answers come from the newest image and from this broker's configuration; records and replication are the replica
//! manager's, and whatever changes the cluster is the active controller's.

mod alter_configs;
pub mod api_versions;
mod auto_topics;
pub mod cluster;
pub mod configs;
mod coordinators;
pub mod forward;
mod groups;
mod metadata;
mod of_controller;
mod produce;
mod producer_ids;
mod table;
mod transactions;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use jackdaw_metadata::MetadataImage;
use jackdaw_wire::api::Extras;
use tokio::sync::watch;

use crate::config::Config;
use crate::coordinators::groups::GroupCoordinators;
use crate::coordinators::transactions::{MarkerWriter, TransactionCoordinators};
use crate::dispatch::{RequestContext, Response};
use crate::net::Handler;
use crate::replicas::ReplicaManager;
use crate::to_controller::ControllerLink;

pub use of_controller::ControllerApis;

/// Operations that a client without an authorizer in its way may do, as bits of Kafka's `AclOperation`.
mod operations {
    pub const CLUSTER: i32 = 0b1_1111_1010_0000;
    pub const TOPIC: i32 = 0b1101_1111_1000;
    pub const GROUP: i32 = 0b1_0100_1000;
    /// Since 4.0 groups have configurations.
    pub const GROUP_WITH_CONFIGS: i32 = 0b1101_0100_1000;
    /// Not asked for.
    pub const NOT_TOLD: i32 = i32::MIN;
}

/// How often a request hears again what it has asked before. Clients ask for nothing twice, and keep answers by what
/// was asked for.
const MOST_REPETITIONS: usize = 16;

/// What a request asks for again is answered again, as the reference does, but only [`MOST_REPETITIONS`] times: four
/// bytes more must not make a reply longer by a whole group as often as a client likes.
fn rarely_again<T, K: Eq + std::hash::Hash>(
    asked: impl IntoIterator<Item = T>,
    by: impl Fn(&T) -> K,
) -> impl Iterator<Item = T> {
    let (mut seen, mut repetitions) = (std::collections::HashSet::new(), 0);
    asked.into_iter().filter(move |item| {
        let is_new = seen.insert(by(item));
        repetitions += usize::from(!is_new);
        is_new || repetitions <= MOST_REPETITIONS
    })
}

/// The answers of a broker listener.
pub struct BrokerApis {
    inner: Arc<Inner>,
}

/// What the answers are made from.
pub struct Parts {
    pub config: Arc<Config>,
    pub cluster_id: String,
    pub image: watch::Receiver<Arc<MetadataImage>>,
    /// The newest committed offset that anybody here may have heard of.
    pub given: watch::Receiver<i64>,
    pub replicas: Arc<ReplicaManager>,
    pub groups: Arc<GroupCoordinators>,
    pub transactions: Arc<TransactionCoordinators>,
    pub markers: Arc<MarkerWriter>,
    pub controller: Arc<dyn ControllerLink>,
    /// This broker's epoch, -1 before it is registered.
    pub broker_epoch: Arc<std::sync::atomic::AtomicI64>,
}

struct Inner {
    parts: Parts,
    auto_topics: auto_topics::AutoTopics,
    producer_ids: producer_ids::ProducerIds,
}

impl Inner {
    fn image(&self) -> Arc<MetadataImage> {
        Arc::clone(&self.parts.image.borrow())
    }
}

impl BrokerApis {
    pub fn new(parts: Parts) -> Self {
        let auto_topics =
            auto_topics::AutoTopics::new(Arc::clone(&parts.config), Arc::clone(&parts.controller));
        let producer_ids = producer_ids::ProducerIds::new(
            parts.config.node_id,
            Arc::clone(&parts.broker_epoch),
            Arc::clone(&parts.controller),
        );
        Self { inner: Arc::new(Inner { parts, auto_topics, producer_ids }) }
    }
}

impl Handler for BrokerApis {
    fn handle(&self, context: RequestContext, body: Bytes) -> BoxFuture<'static, Response> {
        let api = Arc::clone(&self.inner);
        table::answer(Ask { image: api.image(), api, context, body })
    }

    fn extras(&self) -> Extras {
        self.inner.parts.config.groups.extras()
    }
}

/// A request on its way to its handler.
struct Ask {
    api: Arc<Inner>,
    context: RequestContext,
    body: Bytes,
    /// The newest when it came.
    image: Arc<MetadataImage>,
}

#[cfg(test)]
mod tests {
    use super::{MOST_REPETITIONS, rarely_again};

    #[test]
    fn what_is_asked_for_again_is_answered_again_a_few_times_in_the_order_of_the_request() {
        let asked = ["b", "a", "b", "c", "a"];
        assert_eq!(rarely_again(asked, |name| *name).collect::<Vec<_>>(), asked);
        let asked = std::iter::repeat_n("a", 1_000_000).chain(["b"]);
        let answered: Vec<_> = rarely_again(asked, |name| *name).collect();
        assert_eq!((answered.len(), answered.last()), (1 + MOST_REPETITIONS + 1, Some(&"b")));
    }
}
