//! Obligations on a running cluster, seen over sockets only: by librdkafka and by raw requests.
//! It must not call into the broker, start anything, or take a node's word for what a client sees.

pub mod records;
