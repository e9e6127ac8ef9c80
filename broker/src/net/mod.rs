//! Sockets: the server that speaks to clients and peers, the client that speaks to other nodes, and names.
//!
//! Nothing here knows what a request means; `dispatch` does.

pub mod client;
mod connection;
pub mod peers;
pub mod resolve;
pub mod server;

pub use client::{ClientError, Link, NodeClient};
pub use peers::Peers;
pub use resolve::{HostPort, Resolver};
pub use server::{BindError, Bound, Handler, Limits, Server};

#[cfg(test)]
mod tests;
