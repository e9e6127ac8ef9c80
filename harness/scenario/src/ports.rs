//! Ports of this machine for clusters that come and go.
//!
//! They lie below the range from which the system takes the near ends of connections (32768 and up on Linux): one
//! of that range that was free a moment ago may be somebody's connection by the time that it is bound.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;
/// Clusters of one process before it comes to where its neighbour began.
const STRIDE: u32 = 97;

/// How many this process has looked at.
static TRIED: AtomicU16 = AtomicU16::new(0);

/// That many ports that were free a moment ago, no two of them equal: each is asked for once in a process, and
/// processes begin at places of their own.
///
/// # Errors
/// When there are not so many.
pub fn free_ports(count: usize) -> io::Result<Vec<u16>> {
    let begin = std::process::id().wrapping_mul(STRIDE);
    let next = |_| {
        let tried = u32::from(TRIED.fetch_add(1, Ordering::Relaxed));
        let at = begin.wrapping_add(tried) % u32::from(COUNT);
        FIRST + u16::try_from(at).unwrap_or_default()
    };
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    let free: Vec<u16> = (0..COUNT).map(next).filter(is_free).take(count).collect();
    if free.len() < count { Err(io::ErrorKind::AddrInUse.into()) } else { Ok(free) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_free_each_another_and_no_connection_s_near_end() {
        let first = free_ports(3).unwrap();
        let held: Vec<TcpListener> =
            first.iter().map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).unwrap()).collect();
        let all: Vec<u16> = first.into_iter().chain(free_ports(3).unwrap()).collect();
        assert!(all.iter().all(|port| (FIRST..FIRST + COUNT).contains(port)), "{all:?}");
        let distinct: std::collections::BTreeSet<u16> = all.iter().copied().collect();
        assert_eq!(distinct.len(), 6, "{all:?}");
        drop(held);
    }
}
