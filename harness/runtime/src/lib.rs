//! Observe, plan, execute: one plan, on a Docker engine or as processes on loopback.
//!
//! It must not judge a compose file (that is `compose`'s and `conventions`' business) and must not print:
//! commands do.

pub mod archive;
mod claim;
pub mod clock;
pub mod digest;
pub mod docker;
pub mod execute;
pub mod interrupt;
pub mod kafka;
#[cfg(test)]
mod keys_tests;
pub mod logline;
pub mod lower;
pub mod model;
pub mod mounts;
pub mod plan;
pub mod ports;
pub mod process;
pub mod ready;
pub mod runtime;
pub mod signal;
#[cfg(test)]
mod testing;
pub mod volume;

pub use runtime::{ExecSpec, Outcome, Preflight, Runtime, RuntimeError};
