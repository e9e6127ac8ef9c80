//! The metadata log's records to a cluster image, and admin requests to records.
//!
//! Pure: no clock, no socket, no file, no thread, no randomness of its own. Time and entropy come in as
//! inputs, records and replies go out as values.

pub mod delta;
pub mod image;
pub mod partition;
pub mod registration;

pub use delta::{MetadataDelta, PartitionDelta, TopicDelta};
pub use image::{
    ConfigResource, FeaturesImage, MetadataImage, Provenance, ResourceType, TopicImage, TopicsImage,
};
pub use partition::{LeaderRecoveryState, NO_LEADER, PartitionRegistration};
pub use registration::{BrokerRegistration, ControllerRegistration, Endpoint, VersionRange};
