//! A producer and a consumer over Kafka's own requests, as far as the tools need them.
//!
//! librdkafka is what `check` sees a cluster with; the tools are to behave as Kafka's Java clients do, down to the
//! names of what goes wrong, and answer at once.

pub mod consumer;
pub mod group;
pub mod producer;
