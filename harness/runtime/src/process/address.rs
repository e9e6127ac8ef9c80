//! A loopback address for each service: 127.0.x.y, x from the project's name, y from the service's, the
//! next free one where that is taken. Kept while the project is up, so that restarts keep their address.

use super::holder;
use super::paths::ProjectDir;
use crate::digest;
use crate::model::ServiceSpec;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Addresses by service name.
pub type AddressBook = BTreeMap<String, IpAddr>;

/// Reads the addresses in use.
pub fn read(dir: &ProjectDir) -> AddressBook {
    let text = fs::read_to_string(dir.addresses()).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// Keeps the addresses.
///
/// # Errors
/// As the file system says.
pub fn write(dir: &ProjectDir, book: &AddressBook) -> io::Result<()> {
    fs::create_dir_all(dir.root())?;
    fs::write(dir.addresses(), serde_json::to_vec_pretty(book)?)
}

/// Whether a service shares the host's own loopback (`network_mode: host`).
pub fn is_on_host(service: &ServiceSpec) -> bool {
    service.compose.network_mode.as_ref().is_some_and(|mode| mode.value == "host")
}

/// Gives an address to each of `services` that has none, or whose address is not free any more; where an address
/// `stays`, it is not looked at again. `is_free` says whether a service could listen there; a new address is one that
/// `is_claimed` first.
pub fn assign(
    project: &str,
    services: &[&ServiceSpec],
    book: &mut AddressBook,
    stays: bool,
    is_free: &dyn Fn(SocketAddr) -> bool,
    is_claimed: &dyn Fn(IpAddr) -> bool,
) -> Result<(), String> {
    let third = 1 + byte(project) % 254;
    for service in services {
        if is_on_host(service) {
            book.insert(service.name.clone(), IpAddr::V4(Ipv4Addr::LOCALHOST));
            continue;
        }
        if stays && book.contains_key(&service.name) {
            continue;
        }
        let ports: Vec<u16> = service
            .node
            .iter()
            .flat_map(|node| node.listeners.iter().map(|listener| listener.port))
            .collect();
        let fits = |ip: IpAddr| ports.iter().all(|port| is_free(SocketAddr::new(ip, *port)));
        if book.get(&service.name).is_some_and(|ip| fits(*ip)) {
            continue;
        }
        let first = byte(&service.name);
        let mut candidates = (0..=253u8)
            .map(|step| 1 + (u16::from(first) + u16::from(step)) % 254)
            .map(|last| IpAddr::V4(Ipv4Addr::new(127, 0, third, last as u8)));
        let others = |ip: &IpAddr| !book.iter().any(|(name, taken)| taken == ip && *name != service.name);
        let Some(found) = candidates.find(|ip| others(ip) && is_claimed(*ip) && fits(*ip)) else {
            return Err(no_address(service, third, &ports));
        };
        book.insert(service.name.clone(), found);
    }
    Ok(())
}

fn no_address(service: &ServiceSpec, third: u8, ports: &[u16]) -> String {
    let anywhere = IpAddr::V4(Ipv4Addr::new(127, 0, third, 1));
    let held = ports.iter().find_map(|port| Some((port, holder::of(SocketAddr::new(anywhere, *port))?)));
    match held {
        Some((port, holder)) => {
            format!(
                "{} needs port {port} on an address of its own, but {holder} holds it on all of them",
                service.name
            )
        }
        None => format!("{}: no address in 127.0.{third}.0/24 has its ports free", service.name),
    }
}

fn byte(name: &str) -> u8 {
    u8::from_str_radix(&digest::hex(name.as_bytes())[..2], 16).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claim::Claims;
    use crate::testing::seed;

    #[test]
    fn addresses_are_stable_distinct_and_step_over_taken_ones() {
        let spec = seed();
        let services: Vec<_> = spec.services.iter().collect();
        let mut book = AddressBook::new();
        assign("seed", &services, &mut book, false, &|_| true, &|_| true).unwrap();
        let mut again = AddressBook::new();
        assign("seed", &services, &mut again, false, &|_| true, &|_| true).unwrap();
        assert_eq!(book, again);
        let distinct: std::collections::BTreeSet<_> = book.values().collect();
        assert_eq!(distinct.len(), services.len());
        assert!(book.values().all(|ip| ip.to_string().starts_with("127.0.")), "{book:?}");

        let taken = book["Kafka00Service"];
        assign("seed", &services, &mut again, false, &|at| at.ip() != taken, &|_| true).unwrap();
        assert_ne!(again["Kafka00Service"], taken);
        assert_eq!(again["Kafka02Service"], book["Kafka02Service"], "the others stay where they are");

        let moved = again.clone();
        assign("seed", &services, &mut again, true, &|_| false, &|_| true).unwrap();
        assert_eq!(again, moved, "an address that others may know stays, whoever listens there");
    }

    #[test]
    fn two_launchers_that_look_at_the_same_moment_find_different_addresses() {
        let spec = seed();
        let services: Vec<_> = spec.services.iter().collect();
        let (one, other) = (Claims::default(), Claims::default());
        let [one, other] = [&one, &other].map(|claims| {
            let mut book = AddressBook::new();
            assign("two launchers", &services, &mut book, false, &|_| true, &|ip| claims.take(ip)).unwrap();
            book
        });
        assert!(one.values().all(|ip| other.values().all(|another| another != ip)), "{one:?} {other:?}");
    }

    #[test]
    fn a_port_held_on_every_address_is_named() {
        let spec = seed();
        let refused =
            assign("seed", &[&spec.services[0]], &mut AddressBook::new(), false, &|_| false, &|_| true);
        assert!(refused.unwrap_err().contains("no address in 127.0."));
    }
}
