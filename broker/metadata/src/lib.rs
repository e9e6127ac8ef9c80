//! The metadata log's records to a cluster image, and admin requests to records.
//!
//! Pure: no clock, no socket, no file, no thread, no randomness of its own. Time and entropy come in as
//! inputs, records and replies go out as values.

pub mod apply;
pub mod config_schema;
pub mod controller;
pub mod coordinator;
pub mod delta;
pub mod features;
pub mod image;
pub mod partition;
pub mod placement;
pub mod random;
pub mod registration;
mod snapshot;
pub mod topic_name;

pub use apply::ApplyError;
pub use delta::{MetadataDelta, PartitionDelta, TopicDelta};
pub use image::{
    ConfigResource, FeaturesImage, MetadataImage, Provenance, ResourceType, TopicImage, TopicsImage,
};
pub use partition::{LeaderRecoveryState, NO_LEADER, PartitionRegistration};
pub use registration::{BrokerRegistration, ControllerRegistration, Endpoint, VersionRange};
