//! Published ports: accept on a host address, copy to the service's loopback address.
//!
//! Knows nothing of Kafka. Each port lives exactly as long as the process behind it, as with an engine:
//! while a broker is down its published port refuses.

use super::protocol::Forward;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;

/// Bytes read at once in each direction: a fetch response in few system calls.
const BUFFER_BYTES: usize = 128 * 1024;
/// A service that does not accept within this time is down for the client's purposes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Rest after a failed accept (out of descriptors), so that it does not spin.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// The open ports of one running process. Dropping it closes them and every connection
/// through them, soon; [`Forwarding::close`] before it returns.
#[derive(Debug)]
pub struct Forwarding {
    tasks: JoinSet<()>,
}

impl Forwarding {
    /// Opens all ports, or none.
    ///
    /// # Errors
    /// The first socket that could not be bound, with its address; not for an address that the machine no longer has.
    pub async fn open(
        forwards: &[Forward],
        runtime: &tokio::runtime::Handle,
    ) -> Result<Self, (SocketAddr, io::Error)> {
        let mut listeners = Vec::with_capacity(forwards.len());
        for forward in forwards {
            match bind(forward.from) {
                Ok(std) => listeners.push((std, forward.to)),
                // Networks come and go, those of containers above all: nobody can knock there.
                Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {}
                Err(error) => return Err((forward.from, error)),
            }
        }
        let mut tasks = JoinSet::new();
        for (listener, to) in listeners {
            tasks.spawn_on(serve(listener, to), runtime);
        }
        Ok(Forwarding { tasks })
    }

    /// Closes them; when it returns, the ports are free.
    pub async fn close(mut self) {
        self.tasks.shutdown().await;
    }

    /// Number of open ports.
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether nothing is forwarded.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }
}

/// Binds as a server does: `SO_REUSEADDR` set, so that connections in TIME_WAIT do not hold the port, and
/// an IPv6 socket that leaves IPv4 alone.
pub fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    bind(&socket, &address)?;
    listen(&socket, 1024)?;
    Ok(socket.into())
}

async fn serve(listener: std::net::TcpListener, to: SocketAddr) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => drop(connections.spawn(carry(client, to))),
                Err(_) => tokio::time::sleep(ACCEPT_REST).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Connects from a port that a server may have as soon as the connection has ended: as any other port that the system
/// gives to a connection, it could be one that a file publishes.
async fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.connect(to).await
}

async fn carry(mut client: TcpStream, to: SocketAddr) {
    let connected = tokio::time::timeout(CONNECT_TIMEOUT, connect(to)).await;
    let Ok(Ok(mut service)) = connected else { return };
    let _ = (client.set_nodelay(true), service.set_nodelay(true));
    // Either side's failure ends both; there is nobody to tell but the two of them.
    let _ = copy_bidirectional_with_sizes(&mut client, &mut service, BUFFER_BYTES, BUFFER_BYTES).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    tokio::io::copy(&mut read, &mut write).await.unwrap();
                });
            }
        });
        address
    }

    #[tokio::test]
    async fn an_address_that_is_gone_keeps_no_other_from_being_opened() {
        let to = echo().await;
        let gone = "203.0.113.1:0".parse().unwrap();
        let there = "127.0.0.1:0".parse().unwrap();
        let forwards = [gone, there].map(|from| Forward { from, to });
        let open = Forwarding::open(&forwards, &tokio::runtime::Handle::current()).await.unwrap();
        assert_eq!(open.len(), 1);
    }

    #[tokio::test]
    async fn a_port_that_a_connection_of_ours_had_can_be_opened_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = connect(listener.local_addr().unwrap()).await.unwrap();
        let port = client.local_addr().unwrap();
        let (mut served, _) = listener.accept().await.unwrap();
        drop(client);
        assert_eq!(served.read(&mut [0; 1]).await.unwrap(), 0);
        drop((served, listener));
        bind(port).unwrap();
    }

    #[tokio::test]
    async fn bytes_reach_the_service_and_closing_frees_the_port() {
        let to = echo().await;
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let handle = tokio::runtime::Handle::current();
        let forward = Forward { from: free, to };
        let open = Forwarding::open(std::slice::from_ref(&forward), &handle).await.unwrap();
        let mut client = TcpStream::connect(free).await.unwrap();
        client.write_all(b"jackdaw").await.unwrap();
        let mut back = [0; 7];
        client.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"jackdaw");

        let (address, error) = Forwarding::open(&[forward], &handle).await.unwrap_err();
        assert_eq!((address, error.kind()), (free, io::ErrorKind::AddrInUse));
        open.close().await;
        bind(free).unwrap();
        assert_eq!(client.read(&mut back).await.unwrap_or(0), 0, "the connection went with its port");
    }
}
