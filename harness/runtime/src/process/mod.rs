//! Services as processes on loopback, for machines without an engine.
//!
//! One supervisor per project (the same binary, detached) owns the children; commands talk to it over a
//! Unix socket and may come and go. Everything it keeps lies in one folder per project.

pub mod address;
pub mod client;
pub mod forward;
pub mod health;
pub mod holder;
pub mod host;
pub mod inside;
pub mod instance;
pub mod layout;
pub mod logs;
pub mod paths;
pub mod protocol;
pub mod reference;
pub mod restart;
pub mod supervisor;
mod top;
pub mod volumes;
