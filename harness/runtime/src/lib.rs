//! Observe, plan, execute: one plan, on a Docker engine or as processes on loopback.

pub mod clock;
pub mod digest;
pub mod logline;
pub mod model;
pub mod process;
