//! Sockets: the server that speaks to clients and peers, the client that speaks to other nodes, and names.
//!
//! Nothing here knows what a request means; `dispatch` does.

mod acceptor;
pub mod client;
mod connection;
mod frames;
pub mod memory;
mod pace;
pub mod peers;
mod quotas;
mod rate;
pub mod resolve;
pub mod server;
mod work;

pub use client::{ClientError, Link, NodeClient};
pub use memory::Traffic;
pub use peers::Peers;
pub use resolve::Resolver;
pub use server::{BindError, Bound, Handler, Limits, Server};

#[cfg(test)]
mod connection_tests;
#[cfg(test)]
mod tests;
