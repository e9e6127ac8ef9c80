//! The vocabulary of Kafka's configuration, as the broker, the launcher and the tools share it: the keys of nodes and
//! of topics, listeners and their security protocols, names of metadata versions, and the text of property files.
//!
//! It is pure: it reads no file, and knows neither the broker nor the harness.

mod host_port;
pub mod keys;
pub mod listeners;
pub mod metadata_version;
pub mod properties;

pub use host_port::HostPort;
