//! Host names to addresses: a hosts file first (names that a launcher gave to loopback addresses), then the system.
//!
//! Must not cache the system's answers: containers change their address when they come back.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use jackdaw_settings::HostPort;

/// Resolves names: its own table first, the system's resolver for all others.
#[derive(Debug, Default)]
pub struct Resolver {
    hosts: HashMap<String, Vec<IpAddr>>,
}

impl Resolver {
    /// A resolver that knows only what the system knows.
    pub fn system() -> Self {
        Self::default()
    }

    /// Reads a file in the format of `/etc/hosts`; lines that are not understood are errors with their number.
    pub fn from_hosts_file(path: &Path) -> io::Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))?;
        Self::parse(&text).map_err(|(line, what)| {
            io::Error::new(io::ErrorKind::InvalidData, format!("{}:{line}: {what}", path.display()))
        })
    }

    /// Parses `/etc/hosts` text; the error carries the 1-based line.
    pub fn parse(text: &str) -> Result<Self, (usize, String)> {
        let mut hosts: HashMap<String, Vec<IpAddr>> = HashMap::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            let Some(address) = words.next() else { continue };
            let address: IpAddr =
                address.parse().map_err(|_| (index + 1, format!("`{address}` is not an IP address")))?;
            for name in words {
                hosts.entry(name.to_ascii_lowercase()).or_default().push(address);
            }
        }
        Ok(Self { hosts })
    }

    /// All addresses of a host, in order of preference.
    ///
    /// # Errors
    /// The system resolver's error, or `NotFound` when it knows no address.
    pub async fn resolve(&self, target: &HostPort) -> io::Result<Vec<SocketAddr>> {
        // Before an address is taken for one: a launcher that gives a service a loopback address of its own says here
        // what its 127.0.0.1 is.
        if let Some(addresses) = self.hosts.get(&target.host.to_ascii_lowercase()) {
            return Ok(addresses.iter().map(|a| SocketAddr::new(*a, target.port)).collect());
        }
        if let Ok(address) = target.host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, target.port)]);
        }
        let found: Vec<_> = tokio::net::lookup_host((target.host.as_str(), target.port)).await?.collect();
        if found.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("no address for {}", target.host)));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_hosts_file_comes_before_the_system() {
        let resolver =
            Resolver::parse("# comment\n127.0.1.10  Kafka00Service kafka00 127.0.0.1 # tail\n\n::1 six\n")
                .unwrap();
        let resolved = resolver.resolve(&HostPort::new("kafka00SERVICE", 9092)).await.unwrap();
        assert_eq!(resolved, vec!["127.0.1.10:9092".parse().unwrap()]);
        let resolved = resolver.resolve(&HostPort::new("six", 1)).await.unwrap();
        assert_eq!(resolved, vec!["[::1]:1".parse().unwrap()]);
        for (address, expected) in [("127.0.0.1", "127.0.1.10:1"), ("127.0.0.2", "127.0.0.2:1")] {
            let resolved = resolver.resolve(&HostPort::new(address, 1)).await.unwrap();
            assert_eq!(resolved, vec![expected.parse().unwrap()], "{address}");
        }
    }

    #[test]
    fn a_bad_hosts_line_names_its_line() {
        assert_eq!(
            Resolver::parse("127.0.0.1 a\nnope b\n").unwrap_err(),
            (2, "`nope` is not an IP address".to_owned())
        );
    }
}
