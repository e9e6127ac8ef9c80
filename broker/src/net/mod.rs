//! Sockets: the server that speaks to clients and peers, the client that speaks to other nodes, and names.
//!
//! Nothing here knows what a request means; `dispatch` does.

pub mod client;
pub mod resolve;

pub use client::{ClientError, Link, NodeClient};
pub use resolve::{HostPort, Resolver};
