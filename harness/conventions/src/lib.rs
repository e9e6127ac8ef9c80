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
mod others;
mod plan;
mod provider;
mod variables;
mod zookeeper;

pub use apache::bundled as bundled_properties;
pub use cluster::{Cluster, entrypoint, excuse_others, starts_node};
pub use cluster_id::derived as derived_cluster_id;
pub use input::{Files, OwnFiles, Variable};
pub use plan::{
    ClusterId, ClusterIdOrigin, DataDir, Listener, NodePlan, Origin, Properties, Property, Roles, Voter,
};
pub use provider::{Layout, Provider};
pub use zookeeper::ZooKeeper;

use jackdaw_compose::Service;

/// Whose conventions a service's image follows; none for any other image. Whether the service starts a node
/// or uses the image for its tools, [`starts_node`] says.
pub fn provide(service: &Service) -> Option<Provider> {
    let image = service.image.as_ref().map_or("", |image| image.value.trim());
    Provider::of_image(image).or_else(|| assumed(service))
}

/// The family whose variables a service without a known image is given: its image is to be built, or its name came to
/// nothing, or it is somebody else's. What the service says makes it a node: its variables, or a command that starts a
/// broker.
pub(crate) fn assumed(service: &Service) -> Option<Provider> {
    let image = service.image.as_ref().map_or("", |image| image.value.trim());
    if Provider::of_image(image).is_some() {
        return None;
    }
    let is_named = Provider::is_named_kafka(image);
    let is_unknown = image.is_empty() || service.build.is_some() || is_named;
    let has = |suffix: &str| {
        let names = [format!("KAFKA_CFG_{suffix}"), format!("KAFKA_{suffix}")];
        service.environment.iter().any(|variable| names.contains(&variable.name.value))
    };
    let is_reached = || ["LISTENERS", "ADVERTISED_LISTENERS", "BROKER_ID"].iter().any(|name| has(name));
    let is_kraft = has("PROCESS_ROLES") && has("NODE_ID");
    let is_node = is_kraft && (is_unknown || is_reached());
    let keeps_zookeeper = has("ZOOKEEPER_CONNECT") && (is_named || (is_unknown && is_reached()));
    let is_started = is_named && command::starts_broker(service);
    let family = || Provider::of_environment(service.environment.iter().map(|v| v.name.value.as_str()));
    match others::is_debezium(image) || is_started {
        true => Some(Provider::Apache),
        false => (is_node || keeps_zookeeper).then(family),
    }
}
