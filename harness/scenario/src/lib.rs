//! Scenarios as data: what is done to a cluster and what it answers, told as a transcript that must be the
//! same for every provider.
//!
//! What is known of a cluster came over a socket; clusters are started through the product's own command
//! line. It must not call into the broker, and shares no codec with it.

mod body;
pub mod client;
pub mod cluster;
pub mod compare;
mod dump;
pub mod fixture;
pub mod junit;
pub mod model;
mod parse;
pub mod ports;
pub mod records;
pub mod run;
pub mod schema;
pub mod suite;
pub mod transcript;
pub mod value;

pub use parse::parse;
