//! The broker process: the thin shell of tokio around the pure crates.
//!
//! What belongs here: sockets, tasks, files opened at start, signals, and the joins between the crates.
//! What must not be here: rules of elections, placement, replication or logs; those live in the crates below,
//! which know no clock, no socket and no tokio.

mod apart;
pub mod apis;
pub mod budget;
mod clock;
pub mod config;
pub mod controller;
pub mod coordinators;
mod descriptors;
pub mod dispatch;
pub mod errors;
pub mod lifecycle;
pub mod loader;
pub mod logging;
pub mod net;
pub mod node;
pub mod raft;
pub mod replicas;
mod seldom;
pub mod to_controller;
