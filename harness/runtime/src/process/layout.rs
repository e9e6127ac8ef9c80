//! What a container's file system and name service become on loopback: paths, server.properties, hosts.

use super::address::{AddressBook, is_on_host};
use super::instance::data_dir;
use super::paths::ProjectDir;
use super::volumes;
use crate::model::{MountSource, PortSpec, ProjectSpec, ServiceSpec};
use crate::runtime::{Result, RuntimeError};
use crate::volume::{META_PROPERTIES, cluster_id_in};
use jackdaw_conventions::{Listener, NodePlan};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Where a path of the container lies on this machine.
pub fn on_host(dir: &ProjectDir, service: &ServiceSpec, path: &str) -> PathBuf {
    let below = |target: &str| {
        let rest = path.strip_prefix(target.trim_end_matches('/'))?;
        (rest.is_empty() || rest.starts_with('/')).then(|| rest.trim_start_matches('/').to_owned())
    };
    let mounts = service.mounts.iter().filter_map(|mount| Some((mount, below(&mount.target)?)));
    let deepest = mounts.max_by_key(|(mount, _)| mount.target.len());
    let own = data_dir(dir, &service.container);
    match deepest {
        Some((mount, rest)) => match &mount.source {
            MountSource::Volume(name) => {
                let part = mount.options.subpath.as_deref().unwrap_or_default().trim_start_matches('/');
                below_it(volumes::folder(dir, name).join(part), &rest)
            }
            MountSource::Bind(source) => below_it(source.clone(), &rest),
            MountSource::Anonymous
            | MountSource::Tmpfs { .. }
            | MountSource::Other(..)
            | MountSource::Text { .. } => own.join(path.trim_start_matches('/')),
        },
        None => own.join(path.trim_start_matches('/')),
    }
}

/// The path itself where there is no rest: with a slash at its end a file would be looked for as a folder.
fn below_it(path: PathBuf, rest: &str) -> PathBuf {
    if rest.is_empty() { path } else { path.join(rest) }
}

/// Writes the secrets and configs whose content the compose file has, where the service finds them.
///
/// # Errors
/// As the file system says.
pub fn write_texts(dir: &ProjectDir, service: &ServiceSpec) -> Result<()> {
    for mount in &service.mounts {
        let MountSource::Text { text, mode, .. } = &mount.source else { continue };
        let path = on_host(dir, service, &mount.target);
        let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| {
            // Made anew: one that may only be read could not be written again.
            fs::remove_file(&path).or_else(|error| match error.kind() {
                io::ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            })?;
            fs::write(&path, text)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(*mode))
        });
        written.map_err(RuntimeError::io(&path))?;
    }
    Ok(())
}

/// A listener list with the service's own address in place of "every interface" and of its names.
fn at_address(listeners: &[Listener], address: IpAddr) -> String {
    let moved = listeners.iter().map(|listener| Listener { host: address.to_string(), ..listener.clone() });
    moved.map(|listener| listener.to_string()).collect::<Vec<_>>().join(",")
}

/// The node's server.properties as it has to be on loopback: listeners bound to the service's address,
/// paths of the container where they lie here.
pub fn properties(dir: &ProjectDir, service: &ServiceSpec, node: &NodePlan, address: IpAddr) -> String {
    let origin = || jackdaw_conventions::Origin::Image;
    let mut properties = node.properties.clone();
    if !is_on_host(service) {
        properties.set("listeners", at_address(&node.listeners, address), origin());
        // Without it Kafka advertises what it listens on, which was just changed.
        let advertised: Vec<String> = node.advertised.iter().map(ToString::to_string).collect();
        if !advertised.is_empty() && node.roles.broker {
            properties.set("advertised.listeners", advertised.join(","), origin());
        }
    }
    let moved: Vec<(String, String)> = properties
        .iter()
        .filter(|property| is_path(service, &property.key, &property.value))
        .map(|property| {
            let paths = property.value.split(',').map(|path| on_host(dir, service, path.trim()));
            let paths: Vec<String> = paths.map(|path| path.display().to_string()).collect();
            (property.key.clone(), paths.join(","))
        })
        .collect();
    for (key, value) in moved {
        properties.set(key, value, origin());
    }
    properties.to_text()
}

/// Log folders always, other absolute paths where they lead into a mount.
fn is_path(service: &ServiceSpec, key: &str, value: &str) -> bool {
    if matches!(key, "log.dirs" | "log.dir" | "metadata.log.dir") {
        return true;
    }
    let mounted = |mount: &crate::model::MountSpec| Path::new(value).starts_with(&mount.target);
    value.starts_with('/') && service.mounts.iter().any(mounted)
}

/// Folders that hold the node's data.
pub fn data_dirs(dir: &ProjectDir, service: &ServiceSpec, node: &NodePlan) -> Vec<PathBuf> {
    node.data_dirs.iter().map(|data| on_host(dir, service, &data.path)).collect()
}

/// The names that a service resolves, as a container's would: itself as localhost, and everyone it shares
/// a network with.
pub fn names(spec: &ProjectSpec, service: &ServiceSpec, book: &AddressBook) -> BTreeMap<String, IpAddr> {
    let mut names = BTreeMap::new();
    let own = own_address(service, book);
    // Who shares another's network is where that one is.
    let at = shared_with(service).and_then(|name| spec.service(name)).unwrap_or(service);
    for (name, address) in service.compose.extra_hosts.iter().map(|entry| &entry.value) {
        let address =
            if address == "host-gateway" { Some(Ipv4Addr::LOCALHOST.into()) } else { address.parse().ok() };
        names.extend(address.map(|address| (name.clone(), address)));
    }
    for network in &at.compose.networks {
        for other in &spec.services {
            let Some(address) = book.get(&other.name) else { continue };
            let known = other.compose.names_on(&network.key.value);
            if !known.is_empty() {
                names.insert(other.container.clone(), *address);
            }
            names.extend(known.into_iter().map(|name| (name.to_owned(), *address)));
        }
    }
    for (other, name) in &service.compose.links {
        names.extend(book.get(other).map(|address| (name.clone(), *address)));
    }
    names.insert("localhost".into(), own);
    // Written as an address it means the container itself, too.
    names.insert(Ipv4Addr::LOCALHOST.to_string(), own);
    names.extend(service.compose.hostname.as_ref().map(|hostname| (hostname.value.clone(), own)));
    names
}

/// The other service whose network a service has (`network_mode: service:NAME`).
fn shared_with(service: &ServiceSpec) -> Option<&str> {
    service.compose.network_mode.as_ref()?.value.strip_prefix("service:")
}

/// A node's own address; that of the node whose network a service shares; the machine's for any other.
pub fn own_address(service: &ServiceSpec, book: &AddressBook) -> IpAddr {
    let name = shared_with(service).unwrap_or(&service.name);
    book.get(name).copied().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

/// `names` as an /etc/hosts file.
pub fn hosts_file(names: &BTreeMap<String, IpAddr>) -> String {
    names.iter().fold(String::new(), |mut text, (name, address)| {
        let _ = writeln!(text, "{address} {name}");
        text
    })
}

/// Host sockets of one published port. `all` are this machine's addresses.
pub fn sockets(port: &PortSpec, published: u16, all: &[IpAddr]) -> Vec<SocketAddr> {
    let wanted = |ip: &IpAddr| match port.host_ip {
        None => true,
        Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) => ip.is_ipv4(),
        Some(IpAddr::V6(Ipv6Addr::UNSPECIFIED)) => ip.is_ipv6(),
        Some(one) => *ip == one,
    };
    let mut chosen: Vec<IpAddr> = all.iter().copied().filter(wanted).collect();
    // Any address of 127/8 can be bound, though no interface lists it.
    chosen.extend(port.host_ip.filter(|ip| chosen.is_empty() && !ip.is_unspecified()));
    chosen.into_iter().map(|ip| SocketAddr::new(ip, published)).collect()
}

/// The cluster id that a data folder was formatted with.
pub fn cluster_id_on(folder: &Path) -> Option<String> {
    cluster_id_in(&std::fs::read_to_string(folder.join(META_PROPERTIES)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::seed;

    fn book() -> AddressBook {
        let at = |last| IpAddr::V4(Ipv4Addr::new(127, 0, 7, last));
        [("Kafka00Service", 10), ("Kafka01Service", 11), ("Kafka02Service", 12)]
            .map(|(name, last)| (name.to_owned(), at(last)))
            .into()
    }

    #[test]
    fn a_node_listens_on_its_own_address_and_keeps_what_it_advertises() {
        let spec = seed();
        let (service, node) = spec.nodes().next().unwrap();
        let dir = ProjectDir::at("/state/seed".into());
        insta::assert_snapshot!(properties(&dir, service, node, book()["Kafka00Service"]));
    }

    #[test]
    fn names_resolve_as_in_a_container() {
        let spec = seed();
        insta::assert_snapshot!(hosts_file(&names(&spec, &spec.services[1], &book())));
    }

    #[test]
    fn a_host_address_in_the_file_restricts_where_a_port_is_open() {
        let all: Vec<IpAddr> = ["127.0.0.1", "::1", "192.0.2.2"].map(|ip| ip.parse().unwrap()).to_vec();
        let sockets_of = |host_ip: Option<&str>| {
            let host_ip = host_ip.map(|ip| ip.parse().unwrap());
            let port =
                PortSpec { host_ip, published: Some(9092), open: None, target: 9092, protocol: "tcp".into() };
            sockets(&port, 9092, &all).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(sockets_of(None), ["127.0.0.1:9092", "[::1]:9092", "192.0.2.2:9092"]);
        assert_eq!(sockets_of(Some("0.0.0.0")), ["127.0.0.1:9092", "192.0.2.2:9092"]);
        assert_eq!(sockets_of(Some("127.0.0.1")), ["127.0.0.1:9092"]);
        assert_eq!(sockets_of(Some("127.9.9.9")), ["127.9.9.9:9092"]);
    }
}
