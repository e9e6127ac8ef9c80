//! Ports that are known before anybody listens on them: each voter of a quorum has to be told of all the others.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use tokio::net::TcpSocket;

/// The two ports of a node.
#[derive(Debug)]
pub(crate) struct Ports {
    client: Reserved,
    controller: Reserved,
}

impl Ports {
    /// Of those that are free on 127.0.0.1.
    pub(crate) fn reserve() -> io::Result<Self> {
        Ok(Self { client: Reserved::new()?, controller: Reserved::new()? })
    }

    pub(crate) fn client(&self) -> u16 {
        self.client.port
    }

    pub(crate) fn controller(&self) -> u16 {
        self.controller.port
    }
}

/// A port that the system gives to nobody else as long as this lives: bound and not listened on, with SO_REUSEADDR,
/// so that a node's listener, which sets it too, may have the port all the same.
#[derive(Debug)]
struct Reserved {
    port: u16,
    _socket: TcpSocket,
}

impl Reserved {
    fn new() -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        Ok(Self { port: socket.local_addr()?.port(), _socket: socket })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::net::TcpListener;

    #[test]
    fn a_reserved_port_is_nobody_else_s_until_a_node_listens_on_it() {
        let ports: Vec<Ports> = (0..50).map(|_| Ports::reserve().unwrap()).collect();
        let own: BTreeSet<u16> =
            ports.iter().flat_map(|ports| [ports.client(), ports.controller()]).collect();
        assert_eq!(own.len(), 100);
        let any = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let others: Vec<TcpListener> = (0..200).map(|_| any()).collect();
        assert!(others.iter().all(|other| !own.contains(&other.local_addr().unwrap().port())));
        // std's listeners set SO_REUSEADDR, as the nodes' do.
        let node = TcpListener::bind((Ipv4Addr::LOCALHOST, ports[0].client()));
        assert!(node.is_ok(), "{node:?}");
    }
}
