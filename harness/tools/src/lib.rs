//! Kafka's command line tools without a JVM: their names, options, words and exit codes, over Kafka's own requests.
//!
//! One table, [`TOOLS`], says which there are; the links of the image, `jackdaw NAME` and the documentation come from
//! it. What the tools of Apache Kafka 3.7.0 print is recorded in `fixtures/apache-kafka-3.7.0/tools`, and ours are held
//! to it. Nothing here calls into the broker: what a tool knows of a cluster came over a socket, and what it knows of
//! files it reads with `wire`.

pub mod admin;
mod argparse;
mod cli;
mod clients;
mod decoders;
pub mod errors;
mod formatter;
mod groups;
mod interrupt;
mod jopt;
mod jopt_help;
mod options;
pub mod print;
mod properties;
mod tools;

pub use cli::{Tool, dispatch, find, names, run};
pub use tools::TOOLS;
