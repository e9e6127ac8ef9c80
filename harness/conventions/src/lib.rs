//! What the bitnami, apache and confluent images make of their environment.
//! It must not start anything: a service goes in, a plan of a Kafka node and diagnostics come out.

mod alone;
mod apache;
mod bitnami;
mod cluster;
mod cluster_id;
mod confluent;
mod draft;
mod input;
mod lint;
mod node;
mod plan;
mod properties;
mod provider;
mod settings;
mod variables;

pub use cluster::{Cluster, entrypoint, starts_node};
pub use cluster_id::derived as derived_cluster_id;
pub use input::{Files, OwnFiles, Variable};
pub use plan::{
    ClusterId, ClusterIdOrigin, DataDir, Listener, NodePlan, Origin, Properties, Property, Roles, Voter,
};
pub use provider::{Layout, Provider};

use jackdaw_compose::Service;

/// Whose conventions a service's image follows; none for any other image. Whether the service starts a node
/// or uses the image for its tools, [`starts_node`] says.
pub fn provide(service: &Service) -> Option<Provider> {
    service.image.as_ref().and_then(|image| Provider::of_image(image))
}
