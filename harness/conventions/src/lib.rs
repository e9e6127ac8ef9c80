//! What the bitnami, apache and confluent images make of their environment.
//! It must not start anything: a service goes in, a plan of a Kafka node and diagnostics come out.

mod alone;
mod apache;
mod bitnami;
mod cluster;
mod cluster_id;
mod command;
mod confluent;
mod draft;
mod input;
mod lint;
mod meant;
mod node;
mod plan;
mod provider;
mod variables;

pub use apache::bundled as bundled_properties;
pub use cluster::{Cluster, entrypoint, excuse_others, starts_node};
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
    let image = service.image.as_ref().map_or("", |image| image.value.trim());
    Provider::of_image(image).or_else(|| assumed(service))
}

/// The family whose variables a service without a known image is given: its image is to be built, or its name came to
/// nothing, or is a Kafka of somebody else. Only an environment that makes a KRaft node says enough.
pub(crate) fn assumed(service: &Service) -> Option<Provider> {
    let image = service.image.as_ref().map_or("", |image| image.value.trim());
    let unknown = image.is_empty() || service.build.is_some() || Provider::is_named_kafka(image);
    let has = |suffix: &str| {
        let names = [format!("KAFKA_CFG_{suffix}"), format!("KAFKA_{suffix}")];
        service.environment.iter().any(|variable| names.contains(&variable.name.value))
    };
    let is_node = has("PROCESS_ROLES") && has("NODE_ID");
    let family = || Provider::of_environment(service.environment.iter().map(|v| v.name.value.as_str()));
    (unknown && is_node && Provider::of_image(image).is_none()).then(family)
}
