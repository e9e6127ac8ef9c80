//! Scenarios as data: what is done to a cluster and what it answers, told as a transcript that must be the
//! same for every provider.
//!
//! What is known of a cluster came over a socket; clusters are started through the product's own command
//! line. It must not call into the broker, and shares no codec with it.

mod body;
pub mod model;
mod parse;
pub mod records;
pub mod schema;
pub mod value;

pub use parse::parse;
